//! Functions of numbers.

use std::cmp::Ordering;

use crate::digit;

/// `power(x, y)`, as Java's `Math.pow`: NaN where C's function says that one to any power is one.
pub fn power(base: f64, exponent: f64) -> f64 {
    let is_one = base.abs() == 1.0;
    match exponent.is_nan() || (is_one && exponent.is_infinite()) {
        true => f64::NAN,
        false => base.powf(exponent),
    }
}

/// `sign(x)` of a double. Zeros keep their sign, and NaN stays.
pub fn sign(number: f64) -> f64 {
    match number == 0.0 {
        true => number,
        false => number.signum(),
    }
}

fn checked_radix(radix: i64) -> Result<u32, String> {
    match u32::try_from(radix) {
        Ok(radix @ 2..=36) => Ok(radix),
        _ => Err("Radix must be between 2 and 36".to_owned()),
    }
}

/// `to_base(number, radix)`.
pub fn to_base(number: i64, radix: i64) -> Result<String, String> {
    let radix = checked_radix(radix)?;
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(rest % u64::from(radix)).unwrap_or(0);
        digits.extend(char::from_digit(digit, radix));
        rest /= u64::from(radix);
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        digits.push('-');
    }
    Ok(digits.into_iter().rev().collect())
}

/// `from_base(text, radix)`, as Java's `Long.parseLong`: a sign, and digits of any script.
pub fn from_base(text: &str, radix: i64) -> Result<i64, String> {
    let radix = checked_radix(radix)?;
    parsed(text, radix).ok_or_else(|| format!("Not a valid base-{radix} number: {text}"))
}

fn parsed(text: &str, radix: u32) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() {
        return None;
    }
    // Negative numbers reach one further.
    digits.chars().try_fold(0_i64, |number, character| {
        let digit = i64::from(digit(character, radix)?);
        let shifted = number.checked_mul(i64::from(radix))?;
        match is_negative {
            true => shifted.checked_sub(digit),
            false => shifted.checked_add(digit),
        }
    })
}

/// `format_number(x)`: about three digits and a unit, such as `1.23K`.
pub fn format_number(number: i64) -> String {
    let mut scaled = number as f64;
    let mut unit = "";
    for next in ["K", "M", "B", "T", "Q"] {
        if scaled.abs() < 1000.0 {
            break;
        }
        scaled /= 1000.0;
        unit = next;
    }
    // Negative numbers have two decimals, however large: Trino compares without the sign removed.
    let decimals = match scaled {
        scaled if scaled < 10.0 => 2,
        scaled if scaled < 100.0 => 1,
        _ => 0,
    };
    format!("{}{unit}", rounded_half_up(scaled, decimals))
}

/// The number with at most so many decimals. Ties are rounded away from zero; Rust's formatting rounds them to even.
fn rounded_half_up(number: f64, decimals: usize) -> String {
    // Numbers from 1 to 10,000 have at most 52 decimals, so this is exact.
    let exact = format!("{:.60}", number.abs());
    let (whole, fraction) = exact.split_once('.').unwrap_or((&exact, ""));
    let (kept, rest) = fraction
        .split_at_checked(decimals)
        .unwrap_or((fraction, ""));
    let mut units: u64 = format!("{whole}{kept}").parse().unwrap_or(0);
    if rest.as_bytes().first().map(|digit| digit.cmp(&b'5')) >= Some(Ordering::Equal) {
        units += 1;
    }
    let sign = if number < 0.0 && units > 0 { "-" } else { "" };
    let scale = 10_u64.pow(u32::try_from(decimals).unwrap_or(0));
    let fraction = format!("{:0decimals$}", units % scale);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{}", units / scale),
        fraction => format!("{sign}{}.{fraction}", units / scale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tests/trino compares these functions with Trino over more values.
    #[test]
    fn bases_are_javas() {
        assert_eq!(
            to_base(i64::MIN, 2).unwrap(),
            format!("-1{}", "0".repeat(63))
        );
        assert_eq!(to_base(-255, 16).unwrap(), "-ff");
        assert_eq!(to_base(0, 36).unwrap(), "0");
        assert!(to_base(1, 37).is_err());
        assert_eq!(from_base("-8000000000000000", 16), Ok(i64::MIN));
        assert_eq!(from_base("+ＦＦ", 16), Ok(255));
        assert_eq!(from_base("zZ", 36), Ok(35 * 36 + 35));
        for (text, radix) in [
            ("", 10),
            ("-", 10),
            ("2", 2),
            ("٣", 3),
            ("8000000000000000", 16),
            ("1 ", 10),
        ] {
            assert!(from_base(text, radix).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_formatted_like_trinos() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1K"),
            (1125, "1.13K"),
            (1005, "1K"),
            (12_345, "12.3K"),
            (123_456, "123K"),
            (999_999, "1000K"),
            (-123_456, "-123.46K"),
            (i64::MAX, "9223Q"),
            (i64::MIN, "-9223.37Q"),
        ];
        for (number, text) in cases {
            assert_eq!(format_number(number), text, "{number}");
        }
    }

    #[test]
    fn powers_are_javas() {
        assert!(power(1.0, f64::NAN).is_nan());
        assert!(power(-1.0, f64::INFINITY).is_nan());
        assert_eq!(power(f64::NAN, 0.0), 1.0);
        assert_eq!(sign(-0.0).to_bits(), (-0.0_f64).to_bits());
    }
}
