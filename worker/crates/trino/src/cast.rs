//! Trino's casts between VARCHAR, the numbers, BOOLEAN and DATE.
//!
//! Follows `VarcharOperators`, `DoubleOperators`, `BigintOperators` and `DateOperators` of Trino 435. That version does
//! not trim blanks around a number: ` 1` is not a valid BIGINT. Only DOUBLE accepts them, because Java trims the text
//! there.

use std::cmp::Ordering;
use std::fmt;

use super::digit;
use super::iso8601::{civil_from_days, days_from_civil, days_in_month, epoch_days};

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

/// TIMESTAMP WITH TIME ZONE, in UTC, to VARCHAR: `2026-11-22 10:00:00.000 UTC`. `units_per_second` is a power of ten.
pub fn timestamp_to_varchar(instant: i64, units_per_second: i64) -> String {
    let seconds = instant.div_euclid(units_per_second);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = instant.rem_euclid(units_per_second);
    let digits = units_per_second.ilog10() as usize;
    // A timestamp spans far fewer days than a DATE.
    let date = date_to_varchar(days as i32);
    format!("{date} {hour:02}:{minute:02}:{second:02}.{fraction:0digits$} UTC")
}

/// DOUBLE to VARCHAR. A finite value always has an exponent: `1.5E0`, `1.0E-3`, `0E0`, `-0E0`, `Infinity`, `NaN`.
pub fn double_to_varchar(value: f64) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() {
            "-0E0"
        } else {
            "0E0"
        }
        .to_owned();
    }
    if !value.is_finite() {
        return not_finite(value).to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let decimal = Decimal::of(value.abs());
    format!(
        "{sign}{}E{}",
        decimal.scientific_mantissa(),
        decimal.exponent - 1
    )
}

/// `Double.toString`, which Trino's messages use.
pub(crate) fn java_double(value: f64) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() {
            "-0.0"
        } else {
            "0.0"
        }
        .to_owned();
    }
    if !value.is_finite() {
        return not_finite(value).to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let decimal = Decimal::of(value.abs());
    let digits = decimal.digits.as_str();
    match decimal.exponent {
        exponent @ 1..=7 => {
            let whole = exponent as usize;
            let (whole, part) = match digits.split_at_checked(whole) {
                Some((whole, "")) => (whole.to_owned(), "0"),
                Some((whole, part)) => (whole.to_owned(), part),
                None => (format!("{digits:0<whole$}"), "0"),
            };
            format!("{sign}{whole}.{part}")
        }
        exponent @ -2..=0 => format!(
            "{sign}0.{}{digits}",
            &"00"[..exponent.unsigned_abs() as usize]
        ),
        exponent => format!("{sign}{}E{}", decimal.scientific_mantissa(), exponent - 1),
    }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// A value as `0.digits · 10^exponent`, with the digits that Java before version 19 prints.
///
/// These are not always the shortest digits that identify the double (2e23 is `1.9999999999999998E23`), so Rust's own
/// formatting can't be used. Java uses Steele and White's algorithm, with shortcuts that affect the digits.
struct Decimal {
    digits: String,
    exponent: i32,
}

impl Decimal {
    /// `value` must be finite and positive.
    fn of(value: f64) -> Self {
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let biased = (bits >> 52) as i32;
        // value = mantissa · 2^(exponent - 52), and the mantissa's top bit is bit 52. `precision` is the number of mantissa
        // bits that the double stores: 53, or fewer if it is subnormal.
        let (mantissa, exponent, precision) = if biased == 0 {
            let shift = fraction.leading_zeros() as i32 - 11;
            (fraction << shift, -1022 - shift, 53 - shift)
        } else {
            (fraction | 1 << 52, biased - 1023, 53)
        };
        let significant = 53 - mantissa.trailing_zeros() as i32;
        if (-21..=62).contains(&exponent) && significant <= exponent + 1 {
            Self::of_integer(value as u64, exponent - precision)
        } else {
            Self::of_fraction(mantissa, exponent, precision, significant)
        }
    }

    /// The digits of an integer. `excess` is the number of bits by which it is longer than a mantissa, minus one. Beyond
    /// 2^53 the last one or two digits carry no information and are rounded off.
    fn of_integer(integer: u64, excess: i32) -> Self {
        let unit: u64 = match excess {
            ..=4 => 1,
            5..=7 => 10,
            _ => 100,
        };
        let up = unit > 1 && integer % unit >= unit / 2;
        let digits = (integer / unit + u64::from(up)).to_string();
        let exponent = digits.len() as i32 + unit.ilog10() as i32;
        Self {
            digits: digits.trim_end_matches('0').to_owned(),
            exponent,
        }
    }

    /// Generates digits of value/10^power until the rest is within half the distance to the next double.
    fn of_fraction(mantissa: u64, exponent: i32, precision: i32, significant: i32) -> Self {
        // A linear approximation of the mantissa's logarithm. The estimate may be one too high, but never too low.
        let unit_mantissa = f64::from_bits(1023 << 52 | mantissa & ((1 << 52) - 1));
        let estimate = (unit_mantissa - 1.5) * 0.289529654
            + 0.176091259
            + f64::from(exponent) * std::f64::consts::LOG10_2;
        let power = estimate.floor() as i32;

        // value/10^power = rest/scale, and half the distance to the next double is margin/scale. Each of the three is a
        // power of five times a power of two. `rest` also has the mantissa's significant bits as a factor.
        let fractional = (significant - exponent - 1).max(0);
        let mantissa = mantissa >> (53 - significant);
        let rest_fives = (-power).max(0);
        let scale_fives = power.max(0);
        let mut rest_twos = rest_fives + fractional + exponent;
        let mut margin_twos = rest_twos - precision;
        let mut scale_twos = scale_fives + fractional;
        rest_twos -= significant - 1;
        let common = rest_twos.min(scale_twos);
        rest_twos -= common;
        scale_twos -= common;
        margin_twos -= common;
        if significant == 1 {
            // Below a power of two the doubles are twice as dense. Java uses that smaller margin on both sides.
            margin_twos -= 1;
        }
        if margin_twos < 0 {
            rest_twos -= margin_twos;
            scale_twos -= margin_twos;
            margin_twos = 0;
        }
        // Java chooses between word and big-integer arithmetic by this estimate of the bits. The two don't always agree.
        let rest_bits = significant + rest_twos + bits_of_power_of_five(rest_fives);
        let ten_scale_bits = scale_twos + 1 + bits_of_power_of_five(scale_fives + 1);
        if rest_bits < 64 && ten_scale_bits < 64 {
            let scaled =
                |value: u64, fives: i32, twos: i32| (value * 5_u64.pow(fives as u32)) << twos;
            let mut division = WordDivision {
                rest: scaled(mantissa, rest_fives, rest_twos),
                margin: scaled(1, rest_fives, margin_twos),
                scale: scaled(1, scale_fives, scale_twos),
            };
            return Self::develop(power, || division.next_digit());
        }
        let scale = Natural::of(1).times_powers(scale_fives, scale_twos);
        let mut division = LongDivision {
            rest: Natural::of(mantissa).times_powers(rest_fives, rest_twos),
            margin: Natural::of(1).times_powers(rest_fives, margin_twos),
            ten_scale: scale.clone().times(10),
            scale,
        };
        Self::develop(power, || division.next_digit())
    }

    /// Generates digits until one may be the last. `power` is the power of ten of the first digit, unless that is a zero.
    fn develop(mut power: i32, mut next_digit: impl FnMut() -> Digit) -> Self {
        let mut digits = Vec::with_capacity(20);
        let mut last = next_digit();
        if last.value == 0 && !last.high {
            power -= 1;
        } else {
            digits.push(last.value);
        }
        if !(-3..8).contains(&power) {
            // The value will be printed with an exponent, and so with a digit after the point: one digit is not enough.
            (last.low, last.high) = (false, false);
        }
        while !last.low && !last.high {
            last = next_digit();
            digits.push(last.value);
        }
        let up = last.high
            && match last.rest_to_half {
                _ if !last.low => true,
                Ordering::Equal => last.value % 2 == 1,
                beyond => beyond == Ordering::Greater,
            };
        let carried = up && round_up(&mut digits);
        let exponent = power + 1 + i32::from(carried);
        let digits = digits
            .iter()
            .map(|digit| char::from(b'0' + digit))
            .collect();
        Self { digits, exponent }
    }

    /// `d.ddd`, with at least one digit after the point.
    fn scientific_mantissa(&self) -> String {
        let (first, rest) = self.digits.split_at(1);
        format!("{first}.{}", if rest.is_empty() { "0" } else { rest })
    }
}

/// A decimal digit, and whether it may be the last.
struct Digit {
    value: u8,
    /// The value is so close above the digits so far that they may end here.
    low: bool,
    /// The value is so close below the digits with this one incremented that they may end here.
    high: bool,
    rest_to_half: Ordering,
}

/// A long division that yields a value's decimal digits, in machine words. All three fields are scaled by the same
/// factor.
struct WordDivision {
    rest: u64,
    /// Half the distance to the next double: the permitted error of `rest`.
    margin: u64,
    scale: u64,
}

impl WordDivision {
    fn next_digit(&mut self) -> Digit {
        let value = (self.rest / self.scale) as u8;
        self.rest = self.rest % self.scale * 10;
        self.margin = self.margin.wrapping_mul(10);
        let ten_scale = self.scale * 10;
        let rest_to_half = (self.rest * 2).cmp(&ten_scale);
        // Java's words are signed. Java detects an overflow of the margin, and then lets the digit be the last whatever
        // `rest` is. It does not detect an overflow of the sum, so a few doubles around 3E25 end one lower.
        if self.margin > i64::MAX as u64 {
            return Digit {
                value,
                low: true,
                high: true,
                rest_to_half,
            };
        }
        let sum = self.rest + self.margin;
        let high = sum > ten_scale && sum <= i64::MAX as u64;
        Digit {
            value,
            low: self.rest < self.margin,
            high,
            rest_to_half,
        }
    }
}

/// [`WordDivision`] with numbers of any length.
struct LongDivision {
    rest: Natural,
    margin: Natural,
    scale: Natural,
    ten_scale: Natural,
}

impl LongDivision {
    fn next_digit(&mut self) -> Digit {
        let mut value = 0;
        while self.rest >= self.scale {
            self.rest.subtract(&self.scale);
            value += 1;
        }
        self.rest = std::mem::take(&mut self.rest).times(10);
        self.margin = std::mem::take(&mut self.margin).times(10);
        Digit {
            value,
            low: self.rest < self.margin,
            high: self.rest.plus(&self.margin) >= self.ten_scale,
            rest_to_half: self.rest.plus(&self.rest).cmp(&self.ten_scale),
        }
    }
}

/// Increments the last digit. Returns true if all digits were nines: they are now a one and zeros, one decimal place
/// higher.
fn round_up(digits: &mut [u8]) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return false;
        }
        *digit = 0;
    }
    if let Some(first) = digits.first_mut() {
        *first = 1;
    }
    true
}

/// Java's estimate of the number of bits in 5^exponent.
fn bits_of_power_of_five(exponent: i32) -> i32 {
    match exponent {
        0 => 0,
        1..=26 => 5_u64.pow(exponent as u32).ilog2() as i32 + 1,
        _ => exponent * 3,
    }
}

/// A natural number of any size: 32-bit limbs, the least significant first. The last limb is not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Natural(Vec<u32>);

impl Natural {
    fn of(value: u64) -> Self {
        let mut natural = Self(vec![value as u32, (value >> 32) as u32]);
        natural.trim();
        natural
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn times(mut self, factor: u32) -> Self {
        let mut carry = 0_u64;
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
        self
    }

    /// Multiplies by 5^fives · 2^twos; neither may be negative.
    fn times_powers(mut self, fives: i32, twos: i32) -> Self {
        for _ in 0..fives / 13 {
            self = self.times(5_u32.pow(13));
        }
        self = self
            .times(5_u32.pow((fives % 13) as u32))
            .times(1 << (twos % 32));
        if !self.0.is_empty() {
            self.0
                .splice(0..0, std::iter::repeat_n(0, (twos / 32) as usize));
        }
        self
    }

    fn plus(&self, other: &Self) -> Self {
        let (long, short) = if self.0.len() < other.0.len() {
            (other, self)
        } else {
            (self, other)
        };
        let mut sum = long.clone();
        let mut carry = 0_u64;
        for (index, limb) in sum.0.iter_mut().enumerate() {
            carry += u64::from(*limb) + u64::from(short.0.get(index).copied().unwrap_or(0));
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            sum.0.push(carry as u32);
        }
        sum
    }

    /// Subtracts `other`, which must not be greater.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = 0_i64;
        for (index, limb) in self.0.iter_mut().enumerate() {
            borrow += i64::from(*limb) - i64::from(other.0.get(index).copied().unwrap_or(0));
            *limb = borrow as u32;
            borrow >>= 32;
        }
        self.trim();
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
