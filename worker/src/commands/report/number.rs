//! Figures of a report: exact, as the query returns them, and rounded, as people read them.

use anyhow::{Result, bail};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampSecondType,
};
use serde::{Serialize, Serializer};

const SECONDS_PER_DAY: i64 = 86_400;

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// Counts and sums of integers are exact.
    Whole(i128),
    /// May be NaN or infinite.
    Double(f64),
}

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Number,
    Bytes,
}

impl Unit {
    /// The unit of a column, according to its name.
    pub(super) fn of(column: &str) -> Self {
        match column.to_ascii_lowercase().ends_with("bytes") {
            true => Self::Bytes,
            false => Self::Number,
        }
    }
}

impl Number {
    pub(super) fn as_double(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Double(number) => number,
        }
    }

    /// The difference, in the type that holds both.
    pub(super) fn minus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Self::Whole(one.saturating_sub(other)),
            (one, other) => Self::Double(one.as_double() - other.as_double()),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Self::Whole(one.saturating_add(other)),
            (one, other) => Self::Double(one.as_double() + other.as_double()),
        }
    }

    /// The figure with all its digits, in groups of three.
    pub(super) fn exact(self) -> String {
        match self {
            Self::Whole(number) => grouped(&number.to_string()),
            Self::Double(number) => double(number),
        }
    }

    /// The rounded figure: bytes in kB, MB and so on, and large numbers with four digits.
    pub(super) fn short(self, unit: Unit) -> String {
        let number = self.as_double();
        let (steps, ends): (f64, [&str; 6]) = match unit {
            Unit::Bytes => (1000.0, [" B", " kB", " MB", " GB", " TB", " PB"]),
            Unit::Number => (
                1000.0,
                ["", "", " million", " billion", " trillion", " quadrillion"],
            ),
        };
        // Counts up to a million are short enough.
        let first = match unit {
            Unit::Bytes => 1000.0,
            Unit::Number => 1e6,
        };
        if !number.is_finite() || number.abs() < first {
            let shown = match self {
                // The integer part is never rounded.
                Self::Double(number) if number.abs() >= 1000.0 => Self::Double(number.round()),
                Self::Double(number) => Self::Double(significant(number, 4)),
                whole => whole,
            };
            return format!("{}{}", shown.exact(), ends[0]);
        }
        let mut scaled = number;
        let mut step = 0;
        while scaled.abs() >= steps && step + 1 < ends.len() {
            scaled /= steps;
            step += 1;
        }
        format!("{}{}", double(significant(scaled, 4)), ends[step])
    }
}

/// JSON knows integers and doubles, but neither NaN nor infinities.
impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Whole(number) => match i64::try_from(number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => serializer.serialize_f64(number as f64),
            },
            Self::Double(number) if number.is_finite() => serializer.serialize_f64(number),
            Self::Double(_) => serializer.serialize_none(),
        }
    }
}

/// Rounds to this many significant digits.
fn significant(number: f64, digits: usize) -> f64 {
    // Decimal digits, because a multiplication by a power of ten would add errors.
    format!("{number:.*e}", digits - 1)
        .parse()
        .unwrap_or(number)
}

fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    let rounded = significant(number, 6);
    if rounded != 0.0 && (rounded.abs() >= 1e15 || rounded.abs() < 1e-6) {
        return format!("{rounded:e}");
    }
    let text = rounded.to_string();
    match text.split_once('.') {
        Some((whole, rest)) => format!("{}.{rest}", grouped(whole)),
        None => grouped(&text),
    }
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if !percent.is_finite() => "–".to_owned(),
        _ if percent > 0.0 && percent < 0.1 => "< 0.1 %".to_owned(),
        _ => format!("{percent:.1} %"),
    }
}

/// The figures of a column; `None` for NULL.
pub(super) fn numbers(column: &ArrayRef) -> Result<Vec<Option<Number>>> {
    let data_type = column.data_type();
    Ok(match data_type {
        DataType::Decimal128(_, 0) => {
            let numbers = column.as_primitive::<Decimal128Type>().iter();
            numbers.map(|number| number.map(Number::Whole)).collect()
        }
        _ if data_type.is_integer() => {
            let column = cast(column, &DataType::Int64)?;
            let numbers = column.as_primitive::<Int64Type>().iter();
            let whole = |number| Number::Whole(i128::from(number));
            numbers
                .map(|number: Option<i64>| number.map(whole))
                .collect()
        }
        _ if data_type.is_numeric() => {
            let column = cast(column, &DataType::Float64)?;
            let numbers = column.as_primitive::<Float64Type>().iter();
            numbers.map(|number| number.map(Number::Double)).collect()
        }
        DataType::Null => vec![None; column.len()],
        other => bail!("a figure has the type {other}"),
    })
}

/// The times of a column, in seconds since 1970; `None` for NULL.
pub(super) fn times(column: &ArrayRef) -> Result<Vec<Option<i64>>> {
    let (column, factor) = match column.data_type() {
        DataType::Date32 => {
            let days = cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?;
            (days, SECONDS_PER_DAY)
        }
        DataType::Timestamp(_, zone) => {
            let seconds = DataType::Timestamp(TimeUnit::Second, zone.clone());
            let times = cast(column, &seconds)?;
            let times = times.as_primitive::<TimestampSecondType>().iter();
            return Ok(times.collect());
        }
        other => bail!("a time has the type {other}"),
    };
    let numbers = column.as_primitive::<Int64Type>().iter();
    Ok(numbers
        .map(|number| number.map(|number| number.saturating_mul(factor)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_people() {
        let whole = |number| Number::Whole(number).exact();
        assert_eq!(whole(0), "0");
        assert_eq!(whole(-1_234_567), "-1,234,567");
        assert_eq!(whole(i128::MAX).len(), 51);
        let double = |number| Number::Double(number).exact();
        assert_eq!(double(0.1 + 0.2), "0.3");
        assert_eq!(double(1_234_567.891), "1,234,570");
        assert_eq!(double(f64::NAN), "NaN");
        assert_eq!(double(f64::NEG_INFINITY), "-Infinity");
        assert_eq!(double(1e300), "1e300");
        let short = |number, unit| Number::Whole(number).short(unit);
        assert_eq!(short(999_999, Unit::Number), "999,999");
        assert_eq!(short(12_345_678, Unit::Number), "12.35 million");
        assert_eq!(short(1_500, Unit::Bytes), "1.5 kB");
        assert_eq!(short(12, Unit::Bytes), "12 B");
        assert_eq!(percent(0.000_1), "< 0.1 %");
        assert_eq!(percent(0.5), "50.0 %");
        assert_eq!(percent(f64::NAN), "–");
    }

    #[test]
    fn json_has_no_nan() {
        let numbers = [
            Number::Double(f64::NAN),
            Number::Double(f64::INFINITY),
            Number::Whole(1),
        ];
        assert_eq!(serde_json::to_string(&numbers).unwrap(), "[null,null,1]");
    }
}
