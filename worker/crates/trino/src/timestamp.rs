//! Timestamps as text in SQL: literals such as `TIMESTAMP '2026-11-20 10:00:00 Europe/Berlin'`, and casts from and to varchar.
//! Follows `DateTimes` and the casts of Trino 435.

use std::fmt;

use super::cast::date_to_varchar;
use super::civil::{DAY, HOUR, MINUTE, SECOND, days_from_civil, days_in_month};
use super::zone::{Zone, ZoneError};

/// A text that is not a timestamp. `Display` gives Trino's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampTextError<'a> {
    /// The text of a cast.
    Cast(&'a str),
    /// The text of a literal.
    Literal(&'a str),
    /// The time zone of a literal.
    Zone(ZoneError),
    /// The local time of a literal was skipped when the clocks of its zone changed.
    Skipped(&'a str),
}

impl fmt::Display for TimestampTextError<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cast(text) => write!(formatter, "Value cannot be cast to timestamp: {text}"),
            Self::Literal(text) => write!(
                formatter,
                "'{text}' is not a valid timestamp: write TIMESTAMP '2026-11-20 10:00:00', or \
                 TIMESTAMP '2026-11-20 10:00:00 Europe/Berlin'"
            ),
            Self::Zone(error) => error.fmt(formatter),
            Self::Skipped(text) => write!(
                formatter,
                "'{text}' was skipped when the clocks of the time zone changed"
            ),
        }
    }
}

impl std::error::Error for TimestampTextError<'_> {}

/// The parts of a text like `2026-11-20 10:00:00.123 Europe/Berlin`.
struct Parts<'a> {
    /// Milliseconds since 1970-01-01T00:00, without the fraction of the second.
    seconds: i64,
    /// The digits of the fraction of the second.
    fraction: &'a str,
    zone: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (year, rest) = year(text)?;
        let (month, rest) = two_digits(rest.strip_prefix('-')?)?;
        let (day, rest) = two_digits(rest.strip_prefix('-')?)?;
        let is_day = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        let (mut clock, mut fraction, mut zone) = (0, "", "");
        if !rest.is_empty() {
            zone = rest.strip_prefix(' ')?;
            if let Some(time) = time_of_day(zone) {
                (clock, fraction, zone) = time?;
            }
            zone = zone.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
        }
        let seconds = days_from_civil(year, month, day)
            .checked_mul(DAY)?
            .checked_add(clock)?;
        (is_day && !zone.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])).then_some(Self {
            seconds,
            fraction,
            zone: (!zone.is_empty()).then_some(zone),
        })
    }

    /// The local time in units of 10^-`digits` seconds. Further digits are rounded.
    fn local(&self, digits: usize) -> Option<i64> {
        let per_second = 10_i64.pow(digits as u32);
        // Trino fails for more digits than these.
        let kept = self.fraction.len().min(digits);
        if self.fraction.len() > digits + 12 || self.fraction.len() > 18 {
            return None;
        }
        let mut units = 0;
        for digit in self
            .fraction
            .bytes()
            .take(kept)
            .chain(std::iter::repeat_n(b'0', digits - kept))
        {
            units = units * 10 + i64::from(digit - b'0');
        }
        let rounds_up = self
            .fraction
            .as_bytes()
            .get(digits)
            .is_some_and(|digit| *digit >= b'5');
        (self.seconds / SECOND)
            .checked_mul(per_second)?
            .checked_add(units + i64::from(rounds_up))
    }
}

/// A signed year of four to nine digits, and the text after it.
fn year(text: &str) -> Option<(i64, &str)> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (year, rest) = text.split_at(text.len() - digits.len() + length);
    // The years of `java.time`.
    let year = year
        .parse::<i64>()
        .ok()
        .filter(|year| year.unsigned_abs() <= 999_999_999);
    (length >= 4).then_some((year?, rest))
}

/// One or two digits, and the text after them.
fn two_digits(text: &str) -> Option<(i64, &str)> {
    let length = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    Some((digits.parse().ok()?, rest))
}

/// A time of day, such as `10:00` or `10:00:00.123`, as its milliseconds, the digits of the fraction, and the text after it.
/// `None` if the text does not begin with one; `Some(None)` if there is no such time.
fn time_of_day(text: &str) -> Option<Option<(i64, &str, &str)>> {
    let (hour, rest) = two_digits(text)?;
    let (minute, mut rest) = two_digits(rest.strip_prefix(':')?)?;
    let (mut second, mut fraction) = (0, "");
    if let Some((value, after)) = rest.strip_prefix(':').and_then(two_digits) {
        (second, rest) = (value, after);
        let digits = rest.strip_prefix('.').unwrap_or_default();
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        if length > 0 {
            (fraction, rest) = digits.split_at(length);
        }
    }
    let is_time = hour < 24 && minute < 60 && second < 60;
    let millis = hour * HOUR + minute * MINUTE + second * SECOND;
    Some(is_time.then_some((millis, fraction, rest)))
}

/// A literal: milliseconds or microseconds since 1970-01-01T00:00, an instant if there is a zone, or else a local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampLiteral {
    /// The value.
    pub units: i64,
    /// The digits of the fraction of a second that `units` counts: 3 or 6.
    pub digits: usize,
    /// The zone; `None` for a timestamp without one.
    pub zone: Option<Zone>,
}

/// The value of `TIMESTAMP 'text'`.
///
/// # Errors
/// For a text that is not a timestamp with at most six digits of a fraction.
pub fn literal(text: &str) -> Result<TimestampLiteral, TimestampTextError<'_>> {
    let malformed = || TimestampTextError::Literal(text);
    let parts = Parts::of(text)
        .filter(|parts| parts.fraction.len() <= 6)
        .ok_or_else(malformed)?;
    let digits = if parts.fraction.len() > 3 { 6 } else { 3 };
    let mut units = parts.local(digits).ok_or_else(malformed)?;
    let zone = parts
        .zone
        .map(Zone::named)
        .transpose()
        .map_err(TimestampTextError::Zone)?;
    if let Some(zone) = &zone {
        let instant = zone
            .first_instant(parts.seconds)
            .ok_or(TimestampTextError::Skipped(text))?;
        units -= (parts.seconds - instant) / SECOND * 10_i64.pow(digits as u32);
    }
    Ok(TimestampLiteral {
        units,
        digits,
        zone,
    })
}

/// VARCHAR to TIMESTAMP: the local time in units of 10^-`digits` seconds, in the zone that the text names.
///
/// # Errors
/// For a text that is not a timestamp, and for an unknown zone.
pub fn varchar_to_timestamp(text: &str, digits: usize) -> Result<i64, TimestampTextError<'_>> {
    let local = || {
        let parts = Parts::of(text.trim())?;
        let zone = parts.zone.map_or(Ok(Zone::UTC), Zone::named).ok()?;
        // A local time that was skipped is moved on.
        let moved = zone.local(zone.first_instant_or_after_gap(parts.seconds)) - parts.seconds;
        Some(parts.local(digits)? + moved / SECOND * 10_i64.pow(digits as u32))
    };
    local().ok_or(TimestampTextError::Cast(text))
}

/// VARCHAR to TIMESTAMP WITH TIME ZONE: the instant in units of 10^-`digits` seconds. Without a zone, the text is in UTC.
///
/// # Errors
/// For a text that is not a timestamp, for an unknown zone, and for an instant that Trino can't hold.
pub fn varchar_to_instant(text: &str, digits: usize) -> Result<i64, TimestampTextError<'_>> {
    let instant = || {
        let parts = Parts::of(text.trim())?;
        let zone = parts.zone.map_or(Ok(Zone::UTC), Zone::named).ok()?;
        let offset = parts.seconds - zone.first_instant_or_after_gap(parts.seconds);
        let is_held = parts.seconds << 12 >> 12 == parts.seconds;
        let units = parts.local(digits)?;
        is_held.then_some(units - offset / SECOND * 10_i64.pow(digits as u32))
    };
    instant().ok_or(TimestampTextError::Cast(text))
}

/// A local time in units of 10^-`digits` seconds as text: `2026-11-20 10:00:00.000`, with this character before the time of day.
pub fn local_to_varchar(local: i64, digits: usize, separator: char) -> String {
    let per_second = 10_i64.pow(digits as u32);
    let (seconds, fraction) = (local.div_euclid(per_second), local.rem_euclid(per_second));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    // A timestamp spans fewer days than a DATE.
    let date = date_to_varchar(days as i32);
    let sign = if days >= days_from_civil(10_000, 1, 1) {
        "+"
    } else {
        ""
    };
    format!("{sign}{date}{separator}{hour:02}:{minute:02}:{second:02}.{fraction:0digits$}")
}

/// An offset in milliseconds as `to_iso8601` shows it: `Z` or `+02:00`. `None` if it is not in whole minutes, which fails in Trino.
pub fn iso8601_offset(offset: i64) -> Option<String> {
    let minutes = offset.abs() / MINUTE;
    let sign = if offset < 0 { '-' } else { '+' };
    match offset {
        0 => Some("Z".to_owned()),
        _ if offset % MINUTE != 0 => None,
        _ => Some(format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::iso8601::from_iso8601_timestamp;
    use super::*;

    fn at(text: &str) -> i64 {
        from_iso8601_timestamp(text).unwrap()
    }

    #[test]
    fn literals_have_a_zone_or_none() {
        for (text, instant, zone) in [
            ("2026-11-20", "2026-11-20", None),
            ("2026-11-20 1:2", "2026-11-20T01:02Z", None),
            ("2026-11-20 10:00:00.5", "2026-11-20T10:00:00.5Z", None),
            (
                "2026-07-01 12:00:00 Europe/Berlin",
                "2026-07-01T10:00Z",
                Some("Europe/Berlin"),
            ),
            (
                "2026-07-01 12:00:00+02:00",
                "2026-07-01T10:00Z",
                Some("+02:00"),
            ),
            ("2026-07-01 UTC", "2026-07-01", Some("UTC")),
            (
                "2026-10-25 02:30 Europe/Berlin",
                "2026-10-25T00:30Z",
                Some("Europe/Berlin"),
            ),
        ] {
            let zone = zone.map(|zone| Zone::named(zone).unwrap());
            let expected = TimestampLiteral {
                units: at(instant),
                digits: 3,
                zone,
            };
            assert_eq!(literal(text), Ok(expected), "{text}");
        }
        assert_eq!(
            literal("2026-11-20 10:00:00.123456").unwrap().units % 1_000_000,
            123_456
        );
        for text in [
            "2026-03-29 02:30 Europe/Berlin",
            "2026-11-20 10:00 Mars/Base",
            "2026-11-31",
            "2026-11-20T10:00",
            "26-11-20",
            "2026-11-20 24:00",
            "2026-11-20 10:00:00.1234567",
            "",
            "2026-11-20 10",
            "2026-11-20 10:00:",
        ] {
            assert!(literal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn casts_round_and_move_on() {
        assert_eq!(
            varchar_to_timestamp(" 2026-11-20 10:00:00.9996 ", 3),
            Ok(at("2026-11-20T10:00:01Z"))
        );
        assert_eq!(
            varchar_to_timestamp("2026-03-29 02:30 Europe/Berlin", 3),
            Ok(at("2026-03-29T03:30Z"))
        );
        assert!(varchar_to_timestamp("2026-03-29 Mars/Base", 3).is_err());
        assert_eq!(
            varchar_to_instant("2026-03-29 02:30 Europe/Berlin", 3),
            Ok(at("2026-03-29T01:30Z"))
        );
        assert_eq!(
            varchar_to_instant("2026-11-20 10:00:00 +01:00", 6),
            Ok(1000 * at("2026-11-20T09:00Z"))
        );
        for text in [
            "",
            "2026-11-20x",
            "2026-11-20 10:00 x",
            "999999999-01-01 00:00",
            "-99999999999-01-01",
            "2026-11-20 \n",
        ] {
            assert!(
                varchar_to_instant(text, 3).is_err() || text.ends_with('\n'),
                "{text}"
            );
        }
    }

    #[test]
    fn times_are_written_with_their_digits() {
        assert_eq!(
            local_to_varchar(at("2026-11-20T10:05:09.12Z"), 3, ' '),
            "2026-11-20 10:05:09.120"
        );
        assert_eq!(local_to_varchar(-1, 6, 'T'), "1969-12-31T23:59:59.999999");
        assert_eq!(iso8601_offset(0).as_deref(), Some("Z"));
        assert_eq!(iso8601_offset(-90 * MINUTE).as_deref(), Some("-01:30"));
        assert_eq!(iso8601_offset(3_208_000), None);
    }
}
