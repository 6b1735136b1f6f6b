//! Trino's casts between VARCHAR, the numbers, BOOLEAN and DATE.
//!
//! Follows `VarcharOperators`, `DoubleOperators`, `BigintOperators` and `DateOperators` of Trino 435. That version does
//! not trim blanks around a number: ` 1` is not a valid BIGINT. Only DOUBLE accepts them, because Java trims the text
//! there.

use std::cmp::Ordering;
use std::fmt;

use super::civil::{civil_from_days, days_from_civil, days_in_month};
use super::digit;
pub use super::double_text::double_to_varchar;
use super::double_text::java_double;
use super::iso8601::epoch_days;

/// The reason that a cast failed. A failed cast fails the query, unless it is a TRY_CAST. `Display` gives Trino's
/// message.
///
/// The message is formatted only on demand: a TRY_CAST over a log meets a `-` on every other line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CastError<'a> {
    /// The text isn't a value of the type.
    Varchar {
        /// The text, untrimmed.
        text: &'a str,
        /// The type's name in the message.
        to: &'static str,
    },
    /// The text isn't a DATE.
    Date(&'a str),
    /// NaN cast to an integer type shorter than BIGINT.
    NotANumber(&'static str),
    /// NaN, an infinity or an out-of-range value cast to BIGINT.
    DoubleToBigint(f64),
    /// A DOUBLE out of range for the shorter type.
    DoubleOutOfRange(f64, &'static str),
    /// A BIGINT out of range for the shorter type.
    BigintOutOfRange(i64, &'static str),
}

impl fmt::Display for CastError<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Varchar { text, to } => write!(formatter, "Cannot cast '{text}' to {to}"),
            Self::Date(text) => write!(formatter, "Value cannot be cast to date: {text}"),
            Self::NotANumber(to) => write!(formatter, "Cannot cast double NaN to {to}"),
            Self::DoubleToBigint(value) => {
                write!(formatter, "Unable to cast {} to bigint", java_double(value))
            }
            Self::DoubleOutOfRange(value, to) => {
                write!(formatter, "Out of range for {to}: {}", java_double(value))
            }
            Self::BigintOutOfRange(value, to) => {
                write!(formatter, "Out of range for {to}: {value}")
            }
        }
    }
}

impl std::error::Error for CastError<'_> {}

/// VARCHAR to DOUBLE, as `Double.parseDouble` does: ` 1.5 `, `1d`, `.5`, `0x1p3`, `NaN` and `-Infinity` are valid; `inf`,
/// `nan` and `1_000` are not.
///
/// # Errors
/// For any other text.
pub fn varchar_to_double(text: &str) -> Result<f64, CastError<'_>> {
    match usual_double(text.as_bytes()) {
        Some(value) => Ok(value),
        None => parse_double(text.trim_matches(|character| character <= ' '))
            .ok_or(CastError::Varchar { text, to: "DOUBLE" }),
    }
}

/// Fast path for at most 15 digits, with or without a point. Both operands of its one division are exact, so the quotient
/// is the nearest double.
fn usual_double(bytes: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    // Fifteen digits stay below 2^53. The 16th byte may be a point.
    if bytes.len() > 16 {
        return None;
    }
    let mut value = 0_u64;
    let mut point = None;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(index),
            _ => return None,
        }
    }
    match point {
        None if (1..=15).contains(&bytes.len()) => Some(value as f64),
        Some(index) if bytes.len() > 1 => Some(value as f64 / POWERS[bytes.len() - 1 - index]),
        _ => None,
    }
}

/// Parses what `Double.parseDouble` accepts after trimming.
fn parse_double(text: &str) -> Option<f64> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = match magnitude.as_bytes() {
        b"NaN" => f64::NAN,
        b"Infinity" => f64::INFINITY,
        [b'0', b'x' | b'X', ..] => hexadecimal(&magnitude[2..])?,
        _ => decimal(magnitude)?,
    };
    Some(if negative && !value.is_nan() {
        -value
    } else {
        value
    })
}

/// Strips the type suffix that a literal in a Java program may have.
fn without_suffix(text: &str) -> &str {
    text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text)
}

fn decimal(text: &str) -> Option<f64> {
    let number = without_suffix(text);
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (number, None),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_is_legal =
        are_digits(whole) && are_digits(part) && !(whole.is_empty() && part.is_empty());
    let exponent_is_legal = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && are_digits(digits)
    });
    // The rest is a subset of what Rust parses. Both languages round to nearest, ties to even.
    if mantissa_is_legal && exponent_is_legal {
        number.parse().ok()
    } else {
        None
    }
}

/// Parses what follows `0x`: hexadecimal digits with an optional point, and a mandatory exponent of 2.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = without_suffix_of_exponent(text)?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if whole.is_empty() && part.is_empty() || !are_digits(whole) || !are_digits(part) {
        return None;
    }
    let mut bits = 0_u64;
    let mut inexact = false;
    let mut scale = -4 * part.len() as i64;
    for digit in whole
        .chars()
        .chain(part.chars())
        .filter_map(|digit| digit.to_digit(16))
    {
        if bits >> 60 == 0 {
            bits = bits << 4 | u64::from(digit);
        } else {
            scale += 4;
            inexact |= digit != 0;
        }
    }
    Some(nearest_double(
        bits,
        inexact,
        scale.saturating_add(exponent),
    ))
}

/// Splits at `p` into mantissa and exponent, without the type suffix. Clamps an exponent that doesn't fit in an `i64`.
fn without_suffix_of_exponent(text: &str) -> Option<(&str, i64)> {
    let (mantissa, exponent) = without_suffix(text).split_once(['p', 'P'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX / 2);
    Some((
        mantissa,
        if exponent.starts_with('-') {
            -magnitude
        } else {
            magnitude
        },
    ))
}

/// Rounds `bits · 2^scale` to the nearest double, ties to even. If `inexact`, the true value is slightly greater.
fn nearest_double(bits: u64, inexact: bool, scale: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let shift = bits.leading_zeros();
    let bits = bits << shift;
    // `bits` is now in 2^63..2^64, so the value is 1.x · 2^exponent.
    let exponent = scale.saturating_add(63 - i64::from(shift));
    if exponent > 1023 {
        return f64::INFINITY;
    }
    if exponent < -1076 {
        return 0.0;
    }
    // A normal double keeps 53 of the 64 bits. A subnormal double keeps fewer, the smaller it is.
    let dropped = 11 + (-1022 - exponent).max(0) as u32;
    let kept = (u128::from(bits) >> dropped) as u64;
    let remainder = u128::from(bits) - (u128::from(kept) << dropped);
    let up = match remainder.cmp(&(1 << (dropped - 1))) {
        Ordering::Less => false,
        Ordering::Equal => inexact || kept & 1 == 1,
        Ordering::Greater => true,
    };
    // `biased` is one too low here; the implicit bit of a normal double adds that one. A carry out of the fraction
    // increments the exponent, which is correct.
    let biased = (exponent + 1022).max(0) as u64;
    f64::from_bits((biased << 52) + kept + u64::from(up))
}

/// VARCHAR to BIGINT, as `Long.parseLong` does: an optional sign and decimal digits of any script.
///
/// # Errors
/// For any other text, including digits with blanks around them, and for a number out of range.
pub fn varchar_to_bigint(text: &str) -> Result<i64, CastError<'_>> {
    parse_integer(text).ok_or(CastError::Varchar { text, to: "BIGINT" })
}

/// VARCHAR to INTEGER.
///
/// # Errors
/// As [`varchar_to_bigint`].
pub fn varchar_to_integer(text: &str) -> Result<i32, CastError<'_>> {
    narrow(text, "INT")
}

/// VARCHAR to SMALLINT.
///
/// # Errors
/// As [`varchar_to_bigint`].
pub fn varchar_to_smallint(text: &str) -> Result<i16, CastError<'_>> {
    narrow(text, "SMALLINT")
}

/// VARCHAR to TINYINT.
///
/// # Errors
/// As [`varchar_to_bigint`].
pub fn varchar_to_tinyint(text: &str) -> Result<i8, CastError<'_>> {
    narrow(text, "TINYINT")
}

fn narrow<'a, T: TryFrom<i64>>(text: &'a str, to: &'static str) -> Result<T, CastError<'a>> {
    parse_integer(text)
        .and_then(|value| T::try_from(value).ok())
        .ok_or(CastError::Varchar { text, to })
}

fn parse_integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if (1..=18).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit) {
        return Some(
            bytes
                .iter()
                .fold(0, |value, digit| value * 10 + i64::from(digit - b'0')),
        );
    }
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    // Accumulates downwards, because the range has one more number below zero than above.
    let value = digits.chars().try_fold(0_i64, |value, character| {
        value
            .checked_mul(10)?
            .checked_sub(i64::from(digit(character, 10)?))
    })?;
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// VARCHAR to BOOLEAN: `true`, `t`, `1`, `false`, `f` and `0`, ignoring case.
///
/// # Errors
/// For any other text.
pub fn varchar_to_boolean(text: &str) -> Result<bool, CastError<'_>> {
    let is_one_of = |words: [&str; 3]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(["true", "t", "1"]) {
        Ok(true)
    } else if is_one_of(["false", "f", "0"]) {
        Ok(false)
    } else {
        Err(CastError::Varchar {
            text,
            to: "BOOLEAN",
        })
    }
}

/// VARCHAR to DATE, in days since 1970-01-01. Accepts `2026-11-22`, fewer digits, and a signed year of up to nine digits.
/// Trims whitespace as Java defines it.
///
/// # Errors
/// For any other text, for a day that does not exist, and for a date that does not fit in 32 bits.
pub fn varchar_to_date(text: &str) -> Result<i32, CastError<'_>> {
    let trimmed = text.trim_matches(is_java_whitespace);
    let days = usual_date(trimmed.as_bytes()).or_else(|| epoch_days(trimmed));
    days.and_then(|days| i32::try_from(days).ok())
        .ok_or(CastError::Date(text))
}

fn usual_date(bytes: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else {
        return None;
    };
    let number = |digits: [u8; 4]| {
        let are_digits = digits.iter().all(u8::is_ascii_digit);
        are_digits.then(|| {
            digits
                .iter()
                .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
        })
    };
    let year = number([*y1, *y2, *y3, *y4])?;
    let month = number([b'0', b'0', *m1, *m2])?;
    let day = number([b'0', b'0', *d1, *d2])?;
    let legal = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    legal.then(|| days_from_civil(year, month, day))
}

/// `Character.isWhitespace`: Unicode's whitespace without the no-break spaces and U+0085, plus the four ASCII separators.
fn is_java_whitespace(character: char) -> bool {
    match character {
        '\u{1c}'..='\u{1f}' => true,
        '\u{85}' | '\u{a0}' | '\u{2007}' | '\u{202f}' => false,
        _ => character.is_whitespace(),
    }
}

/// DOUBLE to BIGINT. Rounds to nearest, halves away from zero.
///
/// # Errors
/// For NaN, the infinities, and a value that does not fit in 64 bits.
pub fn double_to_bigint(value: f64) -> Result<i64, CastError<'static>> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let rounded = value.round();
    if (-LIMIT..LIMIT).contains(&rounded) {
        Ok(rounded as i64)
    } else {
        Err(CastError::DoubleToBigint(value))
    }
}

/// DOUBLE to INTEGER. Rounds to nearest, halves away from zero.
///
/// # Errors
/// For NaN, the infinities, and a value out of range.
pub fn double_to_integer(value: f64) -> Result<i32, CastError<'static>> {
    narrow_double(value, "integer")
}

/// DOUBLE to SMALLINT.
///
/// # Errors
/// As [`double_to_integer`].
pub fn double_to_smallint(value: f64) -> Result<i16, CastError<'static>> {
    narrow_double(value, "smallint")
}

/// DOUBLE to TINYINT.
///
/// # Errors
/// As [`double_to_integer`].
pub fn double_to_tinyint(value: f64) -> Result<i8, CastError<'static>> {
    narrow_double(value, "tinyint")
}

fn narrow_double<T: TryFrom<i64>>(value: f64, to: &'static str) -> Result<T, CastError<'static>> {
    if value.is_nan() {
        return Err(CastError::NotANumber(to));
    }
    // The conversion to `i64` saturates, and both limits are out of range for `T`.
    T::try_from(value.round() as i64).map_err(|_| CastError::DoubleOutOfRange(value, to))
}

/// BIGINT to INTEGER.
///
/// # Errors
/// For a value out of range.
pub fn bigint_to_integer(value: i64) -> Result<i32, CastError<'static>> {
    i32::try_from(value).map_err(|_| CastError::BigintOutOfRange(value, "integer"))
}

/// BIGINT to SMALLINT.
///
/// # Errors
/// For a value out of range.
pub fn bigint_to_smallint(value: i64) -> Result<i16, CastError<'static>> {
    i16::try_from(value).map_err(|_| CastError::BigintOutOfRange(value, "smallint"))
}

/// BIGINT to TINYINT.
///
/// # Errors
/// For a value out of range.
pub fn bigint_to_tinyint(value: i64) -> Result<i8, CastError<'static>> {
    i8::try_from(value).map_err(|_| CastError::BigintOutOfRange(value, "tinyint"))
}

/// BIGINT, or a shorter integer type, to VARCHAR.
pub fn bigint_to_varchar(value: i64) -> String {
    value.to_string()
}

/// BOOLEAN to VARCHAR.
pub fn boolean_to_varchar(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// DATE, in days since 1970-01-01, to VARCHAR: `2026-11-22`. The year has at least four digits.
pub fn date_to_varchar(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}-{month:02}-{day:02}", year.abs())
}
