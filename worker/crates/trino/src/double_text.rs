//! The text of a DOUBLE, with the digits that Java prints.

use std::cmp::Ordering;

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
