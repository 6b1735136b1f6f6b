//! Trino's functions, with Trino's results, as DataFusion functions. [`logmill_trino`] and [`logmill_sketch`] compute the
//! values; this module adapts them to Arrow.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, Result, exec_err, plan_err};
use datafusion::functions_aggregate as aggregate;
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr,
};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, ExprSchemable, GetFieldAccess, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

pub(crate) mod lookup;
pub(crate) mod geoip;
pub(crate) mod user_agent;
mod url;
mod time;
pub(crate) mod formats;
pub(crate) mod zoned;
pub(crate) mod time_types;
mod text;
mod rows;
mod characters;
mod math;
pub(crate) mod bits;
mod hashes;
pub(crate) mod regexp;
pub(crate) mod number;
pub(crate) mod cast;
mod extremes;
mod deferred;
pub(crate) mod attempt;
pub(crate) mod in_order;
mod stand_in;
pub(crate) mod unnest;
pub(crate) mod type_of;
pub(crate) mod named_cast;
pub(crate) mod exact;
pub(crate) mod arithmetic;
mod adapted;
pub(crate) mod arrays;
pub(crate) mod json;
pub(crate) mod ip;
mod sum;
mod avg;
mod min_max;
mod min_max_by;
pub(crate) mod sketches;
pub(crate) mod distinct;
pub(crate) mod histogram;
pub(crate) mod checksum;
pub(crate) mod intervals;
mod sketch_groups;

/// Scalar functions that DataFusion lacks or computes differently from Trino.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let own = [
        url::functions(),
        time::functions(),
        formats::functions(),
        text::functions(),
        regexp::functions(),
        number::functions(),
        json::functions(),
        characters::functions(),
        math::functions(),
        bits::functions(),
        hashes::functions(),
        sketches::scalar_functions(),
    ];
    let mut functions: Vec<Arc<ScalarUDF>> = own
        .into_iter()
        .flatten()
        .map(|function| Arc::new(ScalarUDF::new_from_impl(function)))
        .collect();
    functions.extend(extremes::functions().map(Arc::new));
    functions
        .extend(zoned::functions().map(|function| Arc::new(ScalarUDF::new_from_impl(function))));
    functions.extend(arrays::functions());
    functions.extend(math::constants().map(Arc::new));
    functions.push(Arc::new(ScalarUDF::new_from_impl(attempt::stand_in())));
    functions.push(Arc::new(ScalarUDF::new_from_impl(type_of::stand_in())));
    // DataFusion's versions of these agree with Trino's.
    functions.push(datafusion::functions::core::coalesce());
    functions.push(datafusion::functions::core::nullif());
    functions
}

/// Whether a function of the modules that list theirs never fails.
pub(crate) fn never_fails(name: &str) -> bool {
    let lists: [&[&str]; 7] = [
        &arrays::NEVER_FAIL,
        &intervals::NEVER_FAIL,
        &checksum::NEVER_FAIL,
        &characters::NEVER_FAIL,
        &math::NEVER_FAIL,
        &bits::NEVER_FAIL,
        &hashes::NEVER_FAIL,
    ];
    lists.iter().any(|list| list.contains(&name))
}

/// Whether a function of the modules that list theirs may fail for some line.
pub(crate) fn may_fail(name: &str) -> bool {
    let lists: [&[&str]; 4] = [
        &characters::MAY_FAIL,
        &math::MAY_FAIL,
        &bits::MAY_FAIL,
        &hashes::MAY_FAIL,
    ];
    lists.iter().any(|list| list.contains(&name))
}

/// Internal calls that SQL syntax is rewritten to. Users do not write them.
pub(crate) fn stand_ins() -> Vec<Arc<ScalarUDF>> {
    let binary = DataType::Binary;
    let distinct_count = Scalar::new(
        distinct::DISTINCT_COUNT,
        vec![binary.clone(), binary],
        returns_bigint,
        distinct::distinct_count,
    );
    let buckets = Scalar::new(
        histogram::BUCKETS,
        vec![DataType::Binary],
        |_| histogram::map_type(),
        histogram::buckets,
    );
    std::iter::once(named_cast::stand_in())
        .chain(exact::stand_ins())
        .chain(in_order::stand_ins())
        .map(|function| Arc::new(ScalarUDF::new_from_impl(function)))
        .chain(unnest::functions())
        .chain(
            [
                distinct_count,
                buckets,
                sketches::as_values(),
                checksum::of_sum(),
            ]
            .map(|function| Arc::new(ScalarUDF::new_from_impl(function))),
        )
        .chain([Arc::new(ScalarUDF::new_from_impl(checksum::Term::new()))])
        .collect()
}

/// The aggregate functions that rollups and queries may use.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let mut functions = sketches::aggregate_functions();
    functions.extend(min_max::min_max_udafs());
    functions.extend(min_max_by::aggregate_functions());
    functions.extend([
        aggregate::count::count_udaf(),
        sum::sum_udaf(),
        avg::trino_avg(),
        aggregate::bool_and_or::bool_and_udaf(),
        aggregate::bool_and_or::bool_or_udaf(),
    ]);
    use aggregate::bit_and_or_xor::{bit_and_udaf, bit_or_udaf};
    let bitwise = [
        (bit_and_udaf(), "bitwise_and_agg"),
        (bit_or_udaf(), "bitwise_or_agg"),
    ];
    functions
        .extend(bitwise.map(|(usual, name)| Arc::new(usual.as_ref().clone().with_aliases([name]))));
    functions
}

/// Maps SQL's special syntax, such as `SUBSTRING(x FROM n)`, `POSITION(x IN y)` and `ARRAY[x]`, to the functions above.
#[derive(Debug)]
pub(crate) struct TrinoForms;

impl ExprPlanner for TrinoForms {
    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(text::substr_udf().call(args)))
    }

    fn plan_position(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(text::strpos_udf().call(args)))
    }

    fn plan_array_literal(
        &self,
        elements: Vec<Expr>,
        _: &DFSchema,
    ) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(arrays::array_of().call(elements)))
    }

    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        let types = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        if !types.0.is_list() && !types.1.is_list() {
            return Ok(PlannerResult::Original(expr));
        }
        arrays::check_concatenated(&types.0, &types.1)?;
        let concatenation = arrays::concatenation().call(vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(concatenation))
    }

    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = access;
        match field_access {
            GetFieldAccess::ListIndex { key } => Ok(PlannerResult::Planned(
                arrays::subscript().call(vec![expr, *key]),
            )),
            _ => plan_err!("[…] takes one number, as in array[1]"),
        }
    }
}

/// Trino's `timestamp(3) with time zone`, in UTC. Other zones are types of their own: see [`zoned`].
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// A scalar function that computes whole arrays and depends only on its arguments.
struct Scalar {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    returns: fn(&[DataType]) -> DataType,
    evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

impl Scalar {
    /// A function of exactly these types. Other types are coerced or refused when the SQL is planned.
    fn new(
        name: &'static str,
        arguments: Vec<DataType>,
        returns: fn(&[DataType]) -> DataType,
        evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>,
    ) -> Self {
        Self::overloaded(name, vec![arguments], returns, evaluate)
    }

    /// A function that accepts any of these lists of types.
    fn overloaded(
        name: &'static str,
        arguments: Vec<Vec<DataType>>,
        returns: fn(&[DataType]) -> DataType,
        evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>,
    ) -> Self {
        let overloads = arguments.into_iter().map(TypeSignature::Exact).collect();
        Self {
            name,
            aliases: Vec::new(),
            signature: Signature::one_of(overloads, Volatility::Immutable),
            returns,
            evaluate,
        }
    }

    fn with_alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.to_owned());
        self
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

// Names are unique, so equal names mean equal functions.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(arguments))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        Ok(ColumnarValue::Array((self.evaluate)(&arrays)?))
    }
}

fn returns_text(_: &[DataType]) -> DataType {
    DataType::Utf8View
}

fn returns_bigint(_: &[DataType]) -> DataType {
    DataType::Int64
}

fn returns_boolean(_: &[DataType]) -> DataType {
    DataType::Boolean
}

fn returns_timestamp(_: &[DataType]) -> DataType {
    timestamp_type()
}

/// The argument as text. The signature guarantees its type.
fn text_values(array: &ArrayRef) -> Result<&StringViewArray> {
    match array.as_any().downcast_ref() {
        Some(values) => Ok(values),
        None => exec_err!("expected varchar, got {}", array.data_type()),
    }
}

/// Computes a value from each text. NULL stays NULL.
fn map_text<T>(
    array: &ArrayRef,
    mut compute: impl FnMut(&str) -> Result<Option<T>>,
) -> Result<Vec<Option<T>>> {
    text_values(array)?
        .iter()
        .map(|value| match value {
            Some(value) => compute(value),
            None => Ok(None),
        })
        .collect()
}
