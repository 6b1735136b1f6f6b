//! `numeric_histogram(b, x)`: the aggregate that makes a histogram, the one that unites histograms, and the map of its buckets.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Builder, MapBuilder, MapFieldNames};
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::Result;
use logmill_sketch::{NumericHistogram, SketchError};

use super::sketch_groups::{BoxedGroups, Groups, Sketch, merge_serialized};
use super::sketches::{binary, execution_error};

/// The aggregate of a value and its weight that makes a histogram. Its third argument is the largest number of buckets.
pub(crate) const HISTOGRAM: &str = "make histogram";

/// The aggregate that unites histograms. Its second argument is the largest number of buckets.
pub(crate) const UNITE_HISTOGRAMS: &str = "unite histograms";

/// The function of a histogram that returns the map from the values of its buckets to their weights.
pub(crate) const BUCKETS: &str = "buckets";

/// Largest number of buckets. A histogram takes 16 bytes for each.
pub(crate) const BUCKETS_MAX: usize = 1024;

impl Default for Histogram {
    fn default() -> Self {
        Self(NumericHistogram::new(BUCKETS_MAX))
    }
}

#[derive(Clone, Debug)]
struct Histogram(NumericHistogram);

impl Sketch for Histogram {
    fn merge_bytes(&mut self, bytes: &[u8]) -> std::result::Result<(), SketchError> {
        self.0.merge_bytes(bytes)
    }

    fn write_to(&mut self, out: &mut Vec<u8>) {
        self.0.write_to(out);
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

fn empty(buckets_max: usize) -> Histogram {
    Histogram(NumericHistogram::new(buckets_max))
}

/// Histograms of values, one for each group.
pub(super) fn of_values(buckets_max: usize) -> BoxedGroups {
    Groups::boxed(empty(buckets_max), |groups, values, rows| {
        let numbers = values[0].as_primitive::<Float64Type>();
        let weights = values[1].as_primitive::<Float64Type>();
        groups.add_rows(
            numbers,
            rows,
            |histogram: &mut Histogram, row| match weights.is_valid(row) {
                true => histogram.0.add(numbers.value(row), weights.value(row)),
                false => Ok(()),
            },
        )
    })
}

/// Unions of histograms, one for each group.
pub(super) fn unions(buckets_max: usize) -> BoxedGroups {
    Groups::boxed(empty(buckets_max), merge_serialized)
}

/// A map of doubles, in the layout that Delta's readers expect.
pub(super) fn map_type() -> DataType {
    let fields = vec![
        Field::new("key", DataType::Float64, false),
        Field::new("value", DataType::Float64, true),
    ];
    let entries = Field::new("key_value", DataType::Struct(fields.into()), false);
    DataType::Map(Arc::new(entries), false)
}

pub(super) fn buckets(args: &[ArrayRef]) -> Result<ArrayRef> {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let (keys, values) = (Float64Builder::new(), Float64Builder::new());
    let mut maps = MapBuilder::new(Some(names), keys, values);
    for bytes in binary(&args[0])? {
        if let Some(bytes) = bytes {
            for (value, weight) in NumericHistogram::read(bytes).map_err(execution_error)? {
                maps.keys().append_value(value);
                maps.values().append_value(weight);
            }
        }
        maps.append(bytes.is_some())?;
    }
    Ok(Arc::new(maps.finish()))
}
