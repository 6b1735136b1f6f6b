//! `checksum(x)`: the sum of a number for each value, in 64 bits. The number is the value's hash times a prime, as in Trino.
//!
//! The state is the exact sum of these numbers, a decimal(38,0), so it merges as other sums do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Decimal128Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType,
};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use logmill_sketch::{xx_hash, xx_hash_bigint, xx_hash_double, xx_hash_varchar};

use super::Scalar;
use super::cast::trino_name;

/// The function that returns the number of a value. Only a quoted identifier could spell it.
pub(crate) const CHECKSUM_TERM: &str = "checksum term";

/// The function of the sum that returns the checksum: 8 bytes, the least significant first.
pub(crate) const CHECKSUM: &str = "checksum of";

/// Neither fails.
pub(super) const NEVER_FAIL: [&str; 2] = [CHECKSUM_TERM, CHECKSUM];

/// `ChecksumAggregationFunction.PRIME64`.
const PRIME: u64 = 0x9E37_79B1_85EB_CA87;

const SUM: DataType = DataType::Decimal128(38, 0);

/// The function of the sum.
pub(super) fn of_sum() -> Scalar {
    Scalar::new(CHECKSUM, vec![SUM], |_| DataType::Binary, checksums)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a checksum is the sum's last 64 bits"
)]
fn checksums(args: &[ArrayRef]) -> Result<ArrayRef> {
    let sums = args[0].as_primitive::<Decimal128Type>();
    let bytes = sums.iter().map(|sum| Some((sum? as u64).to_le_bytes()));
    Ok(Arc::new(bytes.collect::<BinaryArray>()))
}

/// The function that returns the number of a value.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Term {
    signature: Signature,
}

impl Term {
    pub(super) fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Term {
    fn name(&self) -> &str {
        CHECKSUM_TERM
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [argument] = arguments else {
            return plan_err!("checksum takes one value");
        };
        match coerced(argument) {
            Some(data_type) => Ok(vec![data_type]),
            None => plan_err!(
                "checksum does not take {}: cast the value to varchar, a number or timestamp with time zone",
                trino_name(argument)
            ),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(SUM)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = ColumnarValue::values_to_arrays(&args.args)?;
        Ok(ColumnarValue::Array(Arc::new(terms(&arguments[0])?)))
    }
}

/// The type whose values have the hashes of this type's.
fn coerced(data_type: &DataType) -> Option<DataType> {
    use TimeUnit::{Microsecond, Millisecond};
    Some(match data_type {
        text if text.is_string() => DataType::Utf8View,
        integer if integer.is_signed_integer() => DataType::Int64,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        // An instant with microseconds has another hash in Trino than one with milliseconds.
        DataType::Boolean
        | DataType::Float64
        | DataType::Date32
        | DataType::Decimal128(..)
        | DataType::Timestamp(Millisecond, _)
        | DataType::Timestamp(Microsecond, None) => data_type.clone(),
        DataType::Null => DataType::Boolean,
        _ => return None,
    })
}

/// The number of each value. They follow the operators `XX_HASH_64` of Trino's types.
fn terms(values: &ArrayRef) -> Result<Decimal128Array> {
    Ok(match values.data_type() {
        DataType::Int64 => {
            let numbers = values.as_primitive::<Int64Type>();
            of_each(numbers.iter(), xx_hash_bigint)
        }
        DataType::Float64 => {
            let numbers = values.as_primitive::<Float64Type>();
            of_each(numbers.iter(), xx_hash_double)
        }
        DataType::Boolean => of_each(values.as_boolean().iter(), |flag| {
            xx_hash_bigint(i64::from(flag))
        }),
        DataType::Date32 => {
            let days = values.as_primitive::<Date32Type>();
            of_each(days.iter(), |day| xx_hash_bigint(i64::from(day)))
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            let times = values.as_primitive::<TimestampMillisecondType>();
            // Without a zone, Trino counts microseconds.
            let factor = if zone.is_some() { 1 } else { 1000 };
            of_each(times.iter(), |time| {
                xx_hash_bigint(time.wrapping_mul(factor))
            })
        }
        DataType::Timestamp(..) => {
            let times = values.as_primitive::<TimestampMicrosecondType>();
            of_each(times.iter(), xx_hash_bigint)
        }
        DataType::Decimal128(precision, _) => {
            let numbers = values.as_primitive::<Decimal128Type>();
            match precision {
                ..=18 => of_each(numbers.iter(), |number| xx_hash_bigint(low(number))),
                _ => of_each(numbers.iter(), |number| {
                    xx_hash_bigint(low(number)) ^ xx_hash_bigint(low(number >> 64))
                }),
            }
        }
        DataType::Binary => of_each(values.as_binary::<i32>().iter(), xx_hash),
        _ => of_each(super::text_values(values)?.iter(), xx_hash_varchar),
    })
}

#[allow(clippy::cast_possible_truncation, reason = "half of the number")]
fn low(number: i128) -> i64 {
    number as i64
}

/// NULL has a number too.
fn of_each<T>(values: impl Iterator<Item = Option<T>>, hash: impl Fn(T) -> u64) -> Decimal128Array {
    let terms = values.map(|value| match value {
        Some(value) => i128::from(hash(value).wrapping_mul(PRIME)),
        None => i128::from(PRIME),
    });
    Decimal128Array::from_iter_values(terms).with_data_type(SUM)
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int64Array, StringViewArray};

    use super::*;

    fn checksum_of(values: &[ArrayRef]) -> Vec<u8> {
        let terms = values.iter().map(|values| terms(values).unwrap());
        let sum: i128 = terms.flat_map(|terms| terms.values().to_vec()).sum();
        let sum: ArrayRef = Arc::new(Decimal128Array::from(vec![sum]).with_data_type(SUM));
        let bytes = checksums(&[sum]).unwrap();
        bytes.as_binary::<i32>().value(0).to_vec()
    }

    // tests/trino compares more values with Trino.
    #[test]
    fn sums_wrap_and_merge_in_any_order() {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some("")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), None]));
        let whole = checksum_of(&[texts.clone(), numbers.clone()]);
        assert_eq!(checksum_of(&[numbers, texts]), whole);
        let nulls: ArrayRef = Arc::new(BooleanArray::from(vec![None; 3]));
        let expected = PRIME.wrapping_mul(3).to_le_bytes();
        assert_eq!(checksum_of(&[nulls]), expected);
    }
}
