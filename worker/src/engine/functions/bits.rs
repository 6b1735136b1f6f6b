//! Trino's functions of bits.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType::{Int8, Int16, Int32, Int64};
use datafusion::common::{Result, exec_err};
use logmill_trino::bits::{self, Width};

use super::rows::{Argument, Bigint, one, two};
use super::{Scalar, returns_bigint};

/// Functions that never fail.
pub(super) const NEVER_FAIL: [&str; 7] = [
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_right_shift_arithmetic",
    "bitwise_xor",
];

/// Functions that may fail for some line.
pub(super) const MAY_FAIL: [&str; 1] = ["bit_count"];

/// The shifts. Their result has the type of the value, whose width decides which bits are lost.
pub(crate) const SHIFTS: [&str; 3] = [
    "bitwise_left_shift",
    "bitwise_right_shift",
    "bitwise_right_shift_arithmetic",
];

pub(super) fn functions() -> Vec<Scalar> {
    let of_two = |name, evaluate| Scalar::new(name, vec![Int64, Int64], returns_bigint, evaluate);
    let [left, right, arithmetic] = SHIFTS;
    vec![
        of_two("bitwise_and", |args| {
            two::<Bigint, Bigint, _>(args, |one, other| Ok(one & other))
        }),
        of_two("bitwise_or", |args| {
            two::<Bigint, Bigint, _>(args, |one, other| Ok(one | other))
        }),
        of_two("bitwise_xor", |args| {
            two::<Bigint, Bigint, _>(args, |one, other| Ok(one ^ other))
        }),
        Scalar::new("bitwise_not", vec![Int64], returns_bigint, |args| {
            one::<Bigint, i64>(args, |number| Ok(!number))
        }),
        of_two("bit_count", |args| {
            two::<Bigint, Bigint, _>(args, bits::bit_count)
        }),
        shift(left, |args| shifted(args, Width::left)),
        shift(right, |args| shifted(args, Width::right)),
        shift(arithmetic, |args| shifted(args, Width::right_arithmetic)),
    ]
}

fn shift(name: &'static str, evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>) -> Scalar {
    let overloads = [Int8, Int16, Int32, Int64].map(|value| vec![value, Int64]);
    let overloads = overloads.into_iter().collect();
    Scalar::overloaded(name, overloads, |arguments| arguments[0].clone(), evaluate)
}

fn shifted(args: &[ArrayRef], shift: fn(Width, i64, i64) -> i64) -> Result<ArrayRef> {
    let [values, shifts] = args else {
        return exec_err!("a shift takes two arguments, got {}", args.len());
    };
    let width = match values.data_type() {
        Int8 => Width(8),
        Int16 => Width(16),
        Int32 => Width(32),
        _ => Width(64),
    };
    let bigints = cast(values, &Int64)?;
    let rows = Bigint::values(&bigints)?.zip(Bigint::values(shifts)?);
    let shifted: Int64Array = rows
        .map(|(value, by)| Some(shift(width, value?, by?)))
        .collect();
    let shifted: ArrayRef = Arc::new(shifted);
    Ok(cast(&shifted, values.data_type())?)
}
