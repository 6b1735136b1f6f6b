//! Trino's sketches as aggregate functions, and the functions that read them. A sketch is a binary value in the format that
//! Trino's casts take (see [`logmill_sketch`]). `HyperLogLog` and `tdigest` begin with different bytes, so that `merge` can
//! tell them apart.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array};
use arrow::datatypes::DataType::{Binary, Float64, Int64, Utf8View};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};

use super::distinct::{self, DISTINCT_HASHES, Hashes, UNITE_HASHES};
use super::sketch_groups::{
    AnySketch, ApproxSets, BoxedGroups, Groups, OneGroup, add_bigints, add_doubles, add_to_digests,
    add_varchars, merge_serialized,
};
use super::{Scalar, returns_bigint};
use logmill_sketch::{HyperLogLog, SketchError, TDigest};

pub(super) fn scalar_functions() -> Vec<Scalar> {
    vec![
        Scalar::new("cardinality", vec![Binary], returns_bigint, cardinality),
        Scalar::new(
            "value_at_quantile",
            vec![Binary, Float64],
            |_| Float64,
            value_at_quantile,
        ),
    ]
}

pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let aggregates = [
        SketchAggregate {
            name: "approx_set",
            signature: Signature::user_defined(Volatility::Immutable),
            groups: |argument| match argument {
                DataType::Int64 => ApproxSets::boxed(add_bigints),
                DataType::Float64 => ApproxSets::boxed(add_doubles),
                _ => ApproxSets::boxed(add_varchars),
            },
        },
        SketchAggregate {
            name: "tdigest_agg",
            signature: Signature::exact(vec![Float64], Volatility::Immutable),
            groups: |_| Groups::<TDigest>::boxed(add_to_digests),
        },
        SketchAggregate {
            name: DISTINCT_HASHES,
            signature: Signature::user_defined(Volatility::Immutable),
            groups: distinct::groups,
        },
        SketchAggregate {
            name: UNITE_HASHES,
            signature: Signature::exact(vec![Binary], Volatility::Immutable),
            groups: |_| Groups::<Hashes>::boxed(merge_serialized),
        },
        SketchAggregate {
            name: "merge",
            signature: Signature::exact(vec![Binary], Volatility::Immutable),
            groups: |_| Groups::<AnySketch>::boxed(merge_serialized),
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

fn cardinality(args: &[ArrayRef]) -> Result<ArrayRef> {
    let counts = binary(&args[0])?
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

/// An aggregate function whose result is a sketch.
#[derive(Debug)]
struct SketchAggregate {
    name: &'static str,
    signature: Signature,
    groups: fn(&DataType) -> BoxedGroups,
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

    /// Argument types of `approx_set`, which hashes a value by its type. Trino treats integers of all sizes as bigint.
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [DataType::Utf8 | DataType::LargeUtf8 | Utf8View] => Ok(vec![Utf8View]),
            [DataType::Int8 | DataType::Int16 | DataType::Int32 | Int64] => Ok(vec![Int64]),
            [DataType::Float32 | Float64] => Ok(vec![Float64]),
            _ => plan_err!(
                "{}() takes one varchar, bigint or double: cast the argument to one of these types",
                if self.name == DISTINCT_HASHES {
                    "count(DISTINCT …)"
                } else {
                    self.name
                }
            ),
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
        let groups = (self.groups)(args.expr_fields[0].data_type());
        Ok(Box::new(OneGroup(groups)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok((self.groups)(args.expr_fields[0].data_type()))
    }
}
