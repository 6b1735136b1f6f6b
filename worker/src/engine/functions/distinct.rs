//! `count(DISTINCT x)`: the set of the values' hashes while it is small, so that the count is exact but for collisions of 64-bit hashes.
//! A HyperLogLog of the same values, which is kept beside it, estimates larger counts. Both depend on the union of all values alone, so
//! merging is associative and commutative.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType,
};
use datafusion::common::Result;
use logmill_sketch::{
    HyperLogLog, SketchError, hash_bigint, hash_double, hash_varchar, xx_hash_bigint,
    xx_hash_double, xx_hash_varchar,
};

use super::sketch_groups::{ApproxSets, BoxedGroups, Groups, Sketch};
use super::sketches::{binary, execution_error};

/// The aggregate that makes the set of hashes of values. Only a quoted identifier could spell it.
pub(crate) const DISTINCT_HASHES: &str = "distinct hashes";

/// The aggregate that makes a HyperLogLog of the same hashes. `approx_set` is the same, for fewer types.
pub(crate) const DISTINCT_SKETCH: &str = "distinct sketch";

/// The aggregate of `approx_distinct`'s HyperLogLog. Its second argument is the number of bits of a bucket's index.
pub(crate) const APPROX_DISTINCT_SKETCH: &str = "approx distinct sketch";

/// The aggregate that unites such sets.
pub(crate) const UNITE_HASHES: &str = "unite hashes";

/// The function of a set and a HyperLogLog that returns the count.
pub(crate) const DISTINCT_COUNT: &str = "distinct count";

/// Maximum number of hashes in a set. It takes 8 KiB.
pub(crate) const HASHES_MAX: usize = 1024;

/// Replaces a set that would be too large. The length of a set is a multiple of 8.
const TOO_MANY: &[u8] = &[0];

/// A set of hashes, sorted, while it is small. Serialized as 8 bytes a hash, big-endian, which Athena reads with `from_big_endian_64`.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes {
    hashes: Vec<u64>,
    is_too_large: bool,
}

impl Hashes {
    fn insert(&mut self, hash: u64) {
        if self.is_too_large {
            return;
        }
        let Err(place) = self.hashes.binary_search(&hash) else {
            return;
        };
        if self.hashes.len() == HASHES_MAX {
            self.is_too_large = true;
            self.hashes = Vec::new();
            return;
        }
        self.hashes.insert(place, hash);
    }
}

impl Sketch for Hashes {
    fn merge_bytes(&mut self, bytes: &[u8]) -> std::result::Result<(), SketchError> {
        let (hashes, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            self.is_too_large = true;
            self.hashes = Vec::new();
        }
        for hash in hashes {
            self.insert(u64::from_be_bytes(*hash));
        }
        Ok(())
    }

    fn write_to(&mut self, out: &mut Vec<u8>) {
        if self.is_too_large {
            return out.extend_from_slice(TOO_MANY);
        }
        out.extend(self.hashes.iter().flat_map(|hash| hash.to_be_bytes()));
    }

    fn heap_bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>()
    }
}

/// A family of hash functions of values.
#[derive(Clone, Copy)]
pub(super) struct Family {
    text: fn(&str) -> u64,
    bigint: fn(i64) -> u64,
    double: fn(f64) -> u64,
}

/// The hashes of `approx_set`.
const MURMUR: Family = Family {
    text: hash_varchar,
    bigint: hash_bigint,
    double: hash_double,
};

/// The hashes of `approx_distinct`.
const XX_HASH: Family = Family {
    text: xx_hash_varchar,
    bigint: xx_hash_bigint,
    double: xx_hash_double,
};

impl Family {
    /// Passes each row's hash function to `add`. A NULL has no hash that means anything.
    fn hash<T>(
        self,
        values: &ArrayRef,
        add: impl FnOnce(&dyn Fn(usize) -> u64) -> Result<T>,
    ) -> Result<T> {
        match values.data_type() {
            DataType::Int64 => {
                let numbers = values.as_primitive::<Int64Type>();
                add(&|row| (self.bigint)(numbers.value(row)))
            }
            DataType::Float64 => {
                let numbers = values.as_primitive::<Float64Type>();
                add(&|row| (self.double)(numbers.value(row)))
            }
            DataType::Boolean => {
                let flags = values.as_boolean();
                add(&|row| (self.bigint)(i64::from(flags.value(row))))
            }
            DataType::Date32 => {
                let days = values.as_primitive::<Date32Type>();
                add(&|row| (self.bigint)(i64::from(days.value(row))))
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                let times = values.as_primitive::<TimestampMillisecondType>();
                add(&|row| (self.bigint)(times.value(row)))
            }
            _ => {
                let texts = super::text_values(values)?;
                add(&|row| (self.text)(texts.value(row)))
            }
        }
    }
}

/// The argument types of the aggregates here.
pub(super) fn coerced(argument: &DataType) -> Option<DataType> {
    use DataType::{Boolean, Date32, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp};
    Some(match argument {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8View,
        // Trino treats integers of all sizes as bigint.
        Int8 | Int16 | Int32 | Int64 => Int64,
        Float32 | Float64 => Float64,
        Boolean | Date32 => argument.clone(),
        Timestamp(_, zone) => Timestamp(TimeUnit::Millisecond, zone.clone()),
        _ => return None,
    })
}

/// Sets of hashes of values, one for each group.
pub(super) fn groups() -> BoxedGroups {
    Groups::boxed(Hashes::default(), |groups, values, rows| {
        MURMUR.hash(&values[0], |hash| {
            groups.add_rows(&values[0], rows, |set, row| {
                set.insert(hash(row));
                Ok(())
            })
        })
    })
}

/// HyperLogLogs of the same hashes.
pub(super) fn sketches() -> BoxedGroups {
    ApproxSets::boxed(HyperLogLog::new(), |sets, values, rows| {
        MURMUR.hash(&values[0], |hash| {
            sets.add_rows(&values[0], rows, hash);
            Ok(())
        })
    })
}

/// The sketches of `approx_distinct`, of `2^index_bits` buckets.
pub(super) fn approx_distinct(index_bits: u8) -> BoxedGroups {
    ApproxSets::boxed(
        HyperLogLog::with_index_bits(index_bits),
        |sets, values, rows| {
            XX_HASH.hash(&values[0], |hash| {
                sets.add_rows(&values[0], rows, hash);
                Ok(())
            })
        },
    )
}

/// The number of distinct values: of the set, or else of the HyperLogLog.
pub(super) fn distinct_count(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (hashes, sketches) = (binary(&args[0])?, binary(&args[1])?);
    let counts = hashes
        .iter()
        .zip(sketches)
        .map(|(hashes, sketch)| match (hashes, sketch) {
            (None, None) => Ok(0),
            (Some(hashes), _) if hashes.len() % size_of::<u64>() == 0 => {
                Ok((hashes.len() / size_of::<u64>()) as i64)
            }
            (_, Some(sketch)) => {
                let sketch = HyperLogLog::from_bytes(sketch).map_err(execution_error)?;
                Ok(sketch.cardinality() as i64)
            }
            (Some(_), None) => Ok(0),
        });
    let counts = counts.collect::<Result<Vec<i64>>>()?;
    Ok(Arc::new(Int64Array::from(counts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(hashes: impl Iterator<Item = u64>) -> Hashes {
        let mut set = Hashes::default();
        hashes.for_each(|hash| set.insert(hash));
        set
    }

    fn bytes(mut set: Hashes) -> Vec<u8> {
        let mut bytes = Vec::new();
        set.write_to(&mut bytes);
        bytes
    }

    #[test]
    fn a_set_is_a_function_of_the_union_alone() {
        let max = HASHES_MAX as u64;
        for (from, to, size) in [
            (0, 5, 40),
            (0, max, 8 * max),
            (0, max + 1, 1),
            (7, max + 9, 1),
        ] {
            let whole = bytes(set(from..to));
            assert_eq!(whole.len() as u64, size);
            // In other orders, and from parts that overlap.
            assert_eq!(bytes(set((from..to).rev().chain(from..to))), whole);
            let parts = [from..from + 3, from + 1..to.min(from + 700), from + 2..to]
                .map(|part| bytes(set(part)));
            for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
                let mut union = Hashes::default();
                for part in order {
                    union.merge_bytes(&parts[part]).unwrap();
                }
                assert_eq!(bytes(union), whole);
            }
        }
    }
}
