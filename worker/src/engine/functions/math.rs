//! Trino's mathematical functions beyond those of `number.rs`.

use std::f64::consts;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::datatypes::DataType::{Float64, Int64, Utf8View};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use logmill_trino::math;

use super::rows::{Bigint, Double, Text, one, two};
use super::{Scalar, returns_bigint, returns_text};

/// Functions that never fail.
pub(super) const NEVER_FAIL: [&str; 26] = [
    "acos",
    "asin",
    "atan",
    "atan2",
    "cbrt",
    "cos",
    "cosh",
    "degrees",
    "e",
    "exp",
    "format_number",
    "infinity",
    "ln",
    "log",
    "log10",
    "log2",
    "nan",
    "pi",
    "power",
    "pow",
    "radians",
    "sign",
    "sin",
    "sinh",
    "tan",
    "tanh",
];

/// Functions that may fail for some line.
pub(super) const MAY_FAIL: [&str; 2] = ["from_base", "to_base"];

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        of_double("acos", |args| doubles(args, f64::acos)),
        of_double("asin", |args| doubles(args, f64::asin)),
        of_double("atan", |args| doubles(args, f64::atan)),
        of_double("cbrt", |args| doubles(args, f64::cbrt)),
        of_double("cos", |args| doubles(args, f64::cos)),
        of_double("cosh", |args| doubles(args, f64::cosh)),
        of_double("degrees", |args| doubles(args, f64::to_degrees)),
        of_double("radians", |args| doubles(args, f64::to_radians)),
        of_double("exp", |args| doubles(args, f64::exp)),
        of_double("ln", |args| doubles(args, f64::ln)),
        of_double("log2", |args| doubles(args, f64::log2)),
        of_double("log10", |args| doubles(args, f64::log10)),
        of_double("sin", |args| doubles(args, f64::sin)),
        of_double("sinh", |args| doubles(args, f64::sinh)),
        of_double("tan", |args| doubles(args, f64::tan)),
        of_double("tanh", |args| doubles(args, f64::tanh)),
        of_doubles("atan2", |args| {
            two::<Double, Double, _>(args, |y, x| Ok(y.atan2(x)))
        }),
        of_doubles("log", |args| {
            two::<Double, Double, _>(args, |base, number| Ok(number.ln() / base.ln()))
        }),
        of_doubles("power", |args| {
            two::<Double, Double, _>(args, |base, exponent| Ok(math::power(base, exponent)))
        })
        .with_alias("pow"),
        Scalar::overloaded(
            "sign",
            vec![vec![Int64], vec![Float64]],
            |arguments| arguments[0].clone(),
            sign,
        ),
        Scalar::overloaded(
            "format_number",
            vec![vec![Int64], vec![Float64]],
            returns_text,
            |args| match args.first().map(|number| number.data_type()) {
                Some(Int64) => one::<Bigint, _>(args, |number| Ok(math::format_number(number))),
                // Both Java and Rust take the nearest bigint here, and 0 for NaN.
                _ => one::<Double, _>(args, |number| Ok(math::format_number(number as i64))),
            },
        ),
        Scalar::new("to_base", vec![Int64, Int64], returns_text, |args| {
            two::<Bigint, Bigint, _>(args, math::to_base)
        }),
        Scalar::new("from_base", vec![Utf8View, Int64], returns_bigint, |args| {
            two::<Text, Bigint, _>(args, math::from_base)
        }),
    ]
}

fn of_double(name: &'static str, evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>) -> Scalar {
    Scalar::new(name, vec![Float64], |_| Float64, evaluate)
}

fn of_doubles(name: &'static str, evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>) -> Scalar {
    Scalar::new(name, vec![Float64, Float64], |_| Float64, evaluate)
}

fn doubles(args: &[ArrayRef], compute: fn(f64) -> f64) -> Result<ArrayRef> {
    one::<Double, _>(args, |number| Ok(compute(number)))
}

fn sign(args: &[ArrayRef]) -> Result<ArrayRef> {
    match args.first().map(|number| number.data_type()) {
        Some(Int64) => one::<Bigint, _>(args, |number: i64| Ok(number.signum())),
        _ => doubles(args, math::sign),
    }
}

/// `pi()`, `e()`, `nan()` and `infinity()`.
pub(super) fn constants() -> impl Iterator<Item = ScalarUDF> {
    [
        ("pi", consts::PI),
        ("e", consts::E),
        ("nan", f64::NAN),
        ("infinity", f64::INFINITY),
    ]
    .into_iter()
    .map(|(name, value)| {
        ScalarUDF::new_from_impl(Constant {
            name,
            bits: value.to_bits(),
            signature: Signature::nullary(Volatility::Immutable),
        })
    })
}

/// A function without arguments. The bits of its value can be compared, unlike the value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    bits: u64,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(Float64)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = f64::from_bits(self.bits);
        Ok(ColumnarValue::Scalar(ScalarValue::Float64(Some(value))))
    }
}
