//! Trino's `try(expression)`: NULL where the expression fails.

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::deferred::Deferred;
use super::stand_in::StandIn;

const TRY: &str = "try";

/// Placeholder for `try` between parsing and [`plan`].
pub(super) fn stand_in() -> StandIn {
    StandIn::new(TRY, 1, None)
}

/// Replaces a call of `try` with a [`Try`]; leaves other expressions as they are.
pub(crate) fn plan(
    expr: Expr,
    schema: &DFSchema,
    state: &SessionState,
) -> Result<Transformed<Expr>> {
    let arguments = match StandIn::arguments(TRY, expr) {
        Ok(arguments) => arguments,
        Err(other) => return Ok(Transformed::no(other)),
    };
    let (attempted, columns) = Deferred::plan(arguments, schema, state)?;
    let [expr] = attempted.exprs.as_slice() else {
        return plan_err!("try() takes one expression");
    };
    let function = Try {
        returns: expr.data_type(&attempted.input)?,
        signature: attempted.signature(),
        attempted,
    };
    Ok(Transformed::yes(
        ScalarUDF::new_from_impl(function).call(columns),
    ))
}

/// An expression that may fail.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Try {
    attempted: Deferred,
    returns: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Try {
    fn name(&self) -> &str {
        TRY
    }

    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        Ok(format!("try({})", self.attempted.exprs[0]))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let batch = self.attempted.rows(&args)?;
        Ok(ColumnarValue::Array(self.evaluate(&batch)?))
    }
}

impl Try {
    /// Evaluates all rows at once. If a row fails, splits the batch into halves and evaluates each of them.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let result = self.attempted.exprs[0]
            .evaluate(batch)
            .and_then(|value| value.into_array(rows));
        match result {
            Err(DataFusionError::Execution(_) | DataFusionError::ArrowError(..)) if rows <= 1 => {
                Ok(new_null_array(&self.returns, rows))
            }
            Err(DataFusionError::Execution(_) | DataFusionError::ArrowError(..)) => {
                let half = rows / 2;
                let first = self.evaluate(&batch.slice(0, half))?;
                let second = self.evaluate(&batch.slice(half, rows - half))?;
                Ok(concat(&[&*first, &*second])?)
            }
            other => other,
        }
    }
}
