//! Trino's type `ipaddress`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, LogicalPlan};
use logmill_trino::ip::{Bytes, Network};

use crate::engine::sql_text::sql;

/// The type of IP addresses: Trino's 16 bytes, in a type that nothing else has here.
pub(crate) const IP_ADDRESS: DataType = DataType::FixedSizeBinary(16);

/// Why a column of addresses can't be shown or stored, and what to write.
pub(crate) const NOT_STORED: &str =
    "has the type ipaddress, whose values are not text: write cast(… AS varchar)";

/// Refuses `contains(network, address)` with a network that is not a literal, or is invalid; leaves other expressions as they are.
pub(crate) fn check_network(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr
        && func.name() == "contains"
        && let [network, address] = args.as_slice()
        && address.get_type(schema)? == IP_ADDRESS
        && !network.get_type(schema)?.is_list()
    {
        let Expr::Literal(literal, _) = network else {
            return plan_err!(
                "{}: write the network as a literal, as in '10.0.0.0/8'",
                sql(&expr)
            );
        };
        if let Some(Some(text)) = literal.try_as_str()
            && let Err(error) = Network::parse(text)
        {
            return plan_err!("{}: {error}", sql(&expr));
        }
    }
    Ok(Transformed::no(expr))
}

/// Refuses a query whose result has addresses.
pub(crate) fn check_shown(plan: &LogicalPlan) -> Result<()> {
    let mut fields = plan.schema().fields().iter();
    match fields.find(|field| field.data_type() == &IP_ADDRESS) {
        Some(field) => plan_err!("the column '{}' {NOT_STORED}", field.name()),
        None => Ok(()),
    }
}

/// An array of addresses.
pub(super) fn column(values: impl Iterator<Item = Option<Bytes>>) -> Result<ArrayRef> {
    let values = FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 16)?;
    Ok(Arc::new(values))
}

/// The addresses of a column.
pub(super) fn addresses(values: &ArrayRef) -> Result<impl Iterator<Item = Option<Bytes>>> {
    let Some(values) = values.as_fixed_size_binary_opt() else {
        return exec_err!("expected ipaddress, got {}", values.data_type());
    };
    Ok(values.iter().map(|bytes| bytes?.try_into().ok()))
}

/// `contains(network, address)`.
pub(super) fn contains(network: &ColumnarValue, values: &ArrayRef) -> Result<ArrayRef> {
    let network = match network {
        ColumnarValue::Scalar(ScalarValue::Utf8View(network)) => network.as_deref(),
        other => return exec_err!("a network must be a literal, not {}", other.data_type()),
    };
    let network = network.map(Network::parse).transpose();
    let network = network.map_err(|error| exec_datafusion_err!("{error}"))?;
    let answers = addresses(values)?.map(|address| Some(network?.contains(address?)));
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}
