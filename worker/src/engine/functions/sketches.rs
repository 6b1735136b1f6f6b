//! Trino's sketches as aggregate functions, and the functions that read them. A sketch is a binary value in the format that
//! Trino's casts take (see [`logmill_sketch`]). `HyperLogLog` and `tdigest` begin with different bytes, so that `merge` can
//! tell them apart.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, ListArray};
use arrow::datatypes::DataType::{Binary, Float64, Int64, Utf8View};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, TypeSignature,
    Volatility,
};
use datafusion::physical_expr::expressions::Literal;

use super::Scalar;
use super::distinct::{
    self, APPROX_DISTINCT_SKETCH, DISTINCT_HASHES, DISTINCT_SKETCH, Hashes, UNITE_HASHES,
};
use super::histogram::{self, BUCKETS_MAX, HISTOGRAM, UNITE_HISTOGRAMS};
use super::sketch_groups::{
    AnySketch, ApproxSets, BoxedGroups, Groups, OneGroup, add_bigints, add_doubles, add_to_digests,
    add_varchars, merge_serialized,
};
use logmill_sketch::{HyperLogLog, SketchError, TDigest};

/// The function of a percentile, or an array of them, and one of the values that it is of. The result is a whole number where the
/// values are.
pub(crate) const AS_VALUES: &str = "as values";

/// Stands for `approx_percentile` where the types of values are not known before the SQL is planned.
pub(super) fn as_values() -> Scalar {
    let mut function = Scalar::new(AS_VALUES, Vec::new(), type_as_values, round_as_values);
    function.signature = Signature::any(2, Volatility::Immutable);
    function
}

fn type_as_values(types: &[DataType]) -> DataType {
    match types {
        [percentile, values] if values.is_integer() => match percentile {
            DataType::List(_) => DataType::new_list(Int64, true),
            _ => Int64,
        },
        [percentile, ..] => percentile.clone(),
        [] => Float64,
    }
}

fn round_as_values(args: &[ArrayRef]) -> Result<ArrayRef> {
    let types: Vec<DataType> = args.iter().map(|arg| arg.data_type().clone()).collect();
    let round = |values: &ArrayRef| -> Float64Array {
        values.as_primitive::<Float64Type>().unary(f64::round)
    };
    let percentiles = &args[0];
    let rounded: ArrayRef = match (type_as_values(&types), percentiles.as_list_opt::<i32>()) {
        (wanted, _) if wanted == types[0] => return Ok(Arc::clone(percentiles)),
        (_, Some(lists)) => {
            let (field, offsets, values, nulls) = lists.clone().into_parts();
            Arc::new(ListArray::try_new(
                field,
                offsets,
                Arc::new(round(&values)),
                nulls,
            )?)
        }
        (_, None) => Arc::new(round(percentiles)),
    };
    Ok(arrow::compute::cast(&rounded, &type_as_values(&types))?)
}

pub(super) fn scalar_functions() -> Vec<Scalar> {
    vec![Scalar::new(
        "value_at_quantile",
        vec![Binary, Float64],
        |_| Float64,
        value_at_quantile,
    )]
}

pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let aggregates = [
        SketchAggregate {
            name: "approx_set",
            signature: Signature::user_defined(Volatility::Immutable),
            groups: |args| {
                let add = match args.expr_fields[0].data_type() {
                    Int64 => add_bigints,
                    Float64 => add_doubles,
                    _ => add_varchars,
                };
                Ok(ApproxSets::boxed(HyperLogLog::new(), add))
            },
        },
        SketchAggregate {
            name: "tdigest_agg",
            signature: Signature::one_of(
                vec![
                    TypeSignature::Exact(vec![Float64]),
                    TypeSignature::Exact(vec![Float64, Float64]),
                ],
                Volatility::Immutable,
            ),
            groups: |_| Ok(Groups::boxed(TDigest::default(), add_to_digests)),
        },
        SketchAggregate {
            name: DISTINCT_HASHES,
            signature: Signature::user_defined(Volatility::Immutable),
            groups: |_| Ok(distinct::groups()),
        },
        SketchAggregate {
            name: DISTINCT_SKETCH,
            signature: Signature::user_defined(Volatility::Immutable),
            groups: |_| Ok(distinct::sketches()),
        },
        SketchAggregate {
            name: APPROX_DISTINCT_SKETCH,
            signature: Signature::user_defined(Volatility::Immutable),
            groups: |args| match literal(args, 1)? {
                ScalarValue::Int64(Some(index_bits @ 4..=16)) => {
                    Ok(distinct::approx_distinct(*index_bits as u8))
                }
                other => exec_err!("a HyperLogLog has 4 to 16 bits, not {other}"),
            },
        },
        SketchAggregate {
            name: HISTOGRAM,
            signature: Signature::exact(vec![Float64, Float64, Int64], Volatility::Immutable),
            groups: |args| Ok(histogram::of_values(buckets_max(args, 2)?)),
        },
        SketchAggregate {
            name: UNITE_HISTOGRAMS,
            signature: Signature::exact(vec![Binary, Int64], Volatility::Immutable),
            groups: |args| Ok(histogram::unions(buckets_max(args, 1)?)),
        },
        SketchAggregate {
            name: UNITE_HASHES,
            signature: Signature::exact(vec![Binary], Volatility::Immutable),
            groups: |_| Ok(Groups::boxed(Hashes::default(), merge_serialized)),
        },
        SketchAggregate {
            name: "merge",
            signature: Signature::exact(vec![Binary], Volatility::Immutable),
            groups: |_| Ok(Groups::boxed(AnySketch::default(), merge_serialized)),
        },
    ];
    aggregates
        .into_iter()
        .map(|aggregate| Arc::new(AggregateUDF::new_from_impl(aggregate)))
        .collect()
}

pub(super) fn execution_error(error: SketchError) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

/// The number of distinct values in each sketch.
pub(super) fn cardinality(sketches: &ArrayRef) -> Result<ArrayRef> {
    let counts = binary(sketches)?
        .iter()
        .map(|bytes| {
            let Some(bytes) = bytes else { return Ok(None) };
            let sketch = HyperLogLog::from_bytes(bytes).map_err(execution_error)?;
            Ok(Some(sketch.cardinality() as i64))
        })
        .collect::<Result<Int64Array>>()?;
    Ok(Arc::new(counts))
}

fn value_at_quantile(args: &[ArrayRef]) -> Result<ArrayRef> {
    let quantiles = args[1].as_primitive::<Float64Type>();
    let values = binary(&args[0])?
        .iter()
        .zip(quantiles)
        .map(|(bytes, quantile)| {
            let (Some(bytes), Some(quantile)) = (bytes, quantile) else {
                return Ok(None);
            };
            if !(0.0..=1.0).contains(&quantile) {
                return exec_err!("Quantile should be within bounds [0, 1], was: {quantile}");
            }
            let mut digest = TDigest::from_bytes(bytes).map_err(execution_error)?;
            Ok(digest.value_at(quantile))
        })
        .collect::<Result<Float64Array>>()?;
    Ok(Arc::new(values))
}

pub(super) fn binary(array: &ArrayRef) -> Result<&BinaryArray> {
    match array.as_binary_opt() {
        Some(array) => Ok(array),
        None => exec_err!("expected varbinary, got {}", array.data_type()),
    }
}

const SOME_TYPES: &str = "varchar, bigint, double, boolean, date or timestamp";

/// An argument that is a literal.
fn literal<'a>(args: &AccumulatorArgs<'a>, place: usize) -> Result<&'a ScalarValue> {
    let literal = args.exprs.get(place);
    match literal.and_then(|expr| expr.downcast_ref::<Literal>()) {
        Some(literal) => Ok(literal.value()),
        None => exec_err!("argument {} of {} is no literal", place + 1, args.name),
    }
}

fn buckets_max(args: &AccumulatorArgs, place: usize) -> Result<usize> {
    match literal(args, place)? {
        ScalarValue::Int64(Some(buckets)) => Ok(usize::try_from(*buckets).unwrap_or(BUCKETS_MAX)),
        other => exec_err!("a histogram cannot have {other} buckets"),
    }
}

/// An aggregate function whose result is a sketch.
#[derive(Debug)]
struct SketchAggregate {
    name: &'static str,
    signature: Signature,
    groups: fn(&AccumulatorArgs) -> Result<BoxedGroups>,
}

// Names are unique, so equal names mean equal functions.
impl PartialEq for SketchAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for SketchAggregate {}

impl std::hash::Hash for SketchAggregate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for SketchAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Argument types of the aggregates that hash a value by its type.
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [value, others @ ..] = arguments else {
            return plan_err!("{}() takes a value", self.name);
        };
        let (name, types, is_any) = match self.name {
            DISTINCT_HASHES | DISTINCT_SKETCH => ("count(DISTINCT …)", SOME_TYPES, true),
            APPROX_DISTINCT_SKETCH => ("approx_distinct()", SOME_TYPES, true),
            _ => ("approx_set()", "varchar, bigint or double", false),
        };
        let taken = distinct::coerced(value)
            .filter(|coerced| is_any || matches!(coerced, Utf8View | Int64 | Float64));
        match taken {
            Some(taken) => Ok([&[taken], others].concat()),
            None => plan_err!("{name} takes one {types}: cast the argument to one of these types"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(Binary)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}[sketch]", args.name),
            Binary,
            true,
        ))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup((self.groups)(&args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok((self.groups)(&args)?)
    }
}
