//! Time zones, named as in Trino, and the calendar in them. Instants are milliseconds since 1970-01-01T00:00:00Z. A local
//! time is the instant plus the zone's offset.

use std::fmt;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::calendar::{self, Unit};
use super::civil::{DAY, MINUTE, civil_from_days, days_from_civil, days_in_month};

/// The version of the IANA time zone database that named zones come from.
pub const DATABASE_VERSION: &str = chrono_tz::IANA_TZDB_VERSION;

/// Names for UTC, besides `Z`, `UTC+0` and the like.
const UTC_NAMES: [&str; 11] = [
    "UTC",
    "Etc/UTC",
    "UCT",
    "Etc/UCT",
    "Universal",
    "Etc/Universal",
    "Zulu",
    "Z",
    "GMT0",
    "Etc/GMT0",
    "Greenwich",
];

/// Prefixes of an offset. After `Etc/GMT`, the sign has the opposite meaning, as in POSIX.
const OFFSET_PREFIXES: [&str; 6] = ["Etc/GMT", "Etc/UTC", "Etc/UT", "GMT", "UTC", "UT"];

/// Names in the IANA database that Trino refuses.
const NOT_IN_TRINO: [&str; 6] = ["EST", "HST", "MST", "ROC", "Etc/Greenwich", "Etc/Zulu"];

/// The years whose rules repeat from 2100 on. The database ends there, and these years have all combinations of leap years and
/// first weekdays.
const LAST_RULES: std::ops::Range<i64> = 2072..2100;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Rules);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// An offset in minutes.
    Fixed(i32),
    Named(Tz),
}

/// A text that is not the name of a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneError(String);

impl fmt::Display for ZoneError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}' is not a valid time zone", self.0)
    }
}

impl std::error::Error for ZoneError {}

impl fmt::Display for Zone {
    /// The name as Trino shows it: `UTC`, `+02:00` or `Europe/Berlin`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rules::Fixed(0) => formatter.write_str("UTC"),
            Rules::Fixed(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.abs();
                write!(formatter, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            Rules::Named(zone) => formatter.write_str(zone.name()),
        }
    }
}

impl Zone {
    /// Coordinated universal time, the zone of sessions.
    pub const UTC: Self = Self(Rules::Fixed(0));

    /// The zone with this name: an IANA name, or an offset such as `+02:00`, `-3`, `UTC+2` or `Etc/GMT-2`.
    ///
    /// # Errors
    /// For any other name. Names are case-sensitive.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let unknown = || ZoneError(name.to_owned());
        if UTC_NAMES.contains(&name) {
            return Ok(Self::UTC);
        }
        if let Some(minutes) = offset_of(name) {
            let minutes = minutes.filter(|minutes| minutes.abs() <= 14 * 60);
            return minutes.map(|it| Self(Rules::Fixed(it))).ok_or_else(unknown);
        }
        match name.parse::<Tz>() {
            Ok(zone) if !NOT_IN_TRINO.contains(&name) => Ok(Self(Rules::Named(zone))),
            _ => Err(unknown()),
        }
    }

    /// Whether the zone is UTC by one of its names.
    pub fn is_utc(&self) -> bool {
        *self == Self::UTC
    }

    /// The offset from UTC at an instant, in milliseconds.
    pub fn offset(&self, instant: i64) -> i64 {
        match self.0 {
            Rules::Fixed(minutes) => i64::from(minutes) * MINUTE,
            Rules::Named(zone) => {
                let instant = DateTime::from_timestamp_millis(within_database(instant));
                let offset = instant.map(|it| zone.offset_from_utc_datetime(&it.naive_utc()).fix());
                offset.map_or(0, |offset| i64::from(offset.local_minus_utc()) * 1000)
            }
        }
    }

    /// The local time of an instant.
    pub fn local(&self, instant: i64) -> i64 {
        instant.saturating_add(self.offset(instant))
    }

    /// The instant of a local time that was computed from the instant `origin`. Of two such instants, it is the one with the
    /// offset of `origin`, or else the later one. A local time that was skipped is moved on by the length of the gap.
    ///
    /// This is what Joda-Time's `DateTimeZone.convertLocalToUTC` does.
    pub fn instant(&self, local: i64, origin: i64) -> i64 {
        let offset = self.offset(origin);
        let instant = local.saturating_sub(offset);
        if self.offset(instant) == offset {
            return instant;
        }
        let estimate = self.offset(local);
        let offset = self.offset(local.saturating_sub(estimate));
        let is_skipped = self.offset(local.saturating_sub(offset)) != offset;
        // For an estimate of at least 0, the offset leads behind the gap already.
        match is_skipped && estimate < 0 {
            true => local.saturating_sub(estimate),
            false => local.saturating_sub(offset),
        }
    }

    /// The first instant with this local time, or `None` if the local time was skipped.
    pub fn first_instant(&self, local: i64) -> Option<i64> {
        // Offsets change by much less than a day, and not twice within two days.
        let before = self.offset(local.saturating_sub(DAY));
        let after = self.offset(local.saturating_add(DAY));
        let mut instants = [before, after].map(|offset| local.saturating_sub(offset));
        instants.sort_unstable();
        instants
            .into_iter()
            .find(|&instant| self.local(instant) == local)
    }

    /// As [`Zone::first_instant`], but a skipped local time is read with the offset before the gap, as in
    /// `java.time.ZonedDateTime.of`.
    pub fn first_instant_or_after_gap(&self, local: i64) -> i64 {
        self.first_instant(local)
            .unwrap_or_else(|| local.saturating_sub(self.offset(local.saturating_sub(DAY))))
    }

    /// `date_trunc` in this zone.
    pub fn floor(&self, unit: Unit, instant: i64) -> i64 {
        let offset = self.offset(instant);
        let start = unit.floor_millis(instant.saturating_add(offset));
        match unit.is_of_clock() {
            true => start.saturating_sub(offset),
            false => self.instant(start, instant),
        }
    }

    /// `date_add` in this zone. Hours have a fixed length, days do not. Returns `None` as [`calendar::add`].
    pub fn add(&self, unit: Unit, count: i64, instant: i64) -> Option<i64> {
        if unit.is_of_clock() {
            return calendar::add(unit, count, instant);
        }
        let local = calendar::add(unit, count, self.local(instant))?;
        Some(self.instant(local, instant))
    }

    /// `date_diff` in this zone. Returns `None` as [`calendar::difference`].
    pub fn difference(&self, unit: Unit, from: i64, to: i64) -> Option<i64> {
        match unit.is_of_clock() {
            true => calendar::difference(unit, from, to),
            false => calendar::difference(unit, self.local(from), self.local(to)),
        }
    }
}

/// The offset in minutes that a name stands for: `None` if it is not of that form, and `Some(None)` if it is, but no offset.
fn offset_of(name: &str) -> Option<Option<i32>> {
    let prefix = OFFSET_PREFIXES
        .into_iter()
        .find(|prefix| name.starts_with(prefix));
    let offset = &name[prefix.map_or(0, str::len)..];
    if prefix.is_some() && (offset.is_empty() || name == "Etc/UT") {
        return Some(Some(0));
    }
    let (sign, digits) = match offset.as_bytes().first()? {
        b'+' => (1, &offset[1..]),
        b'-' => (-1, &offset[1..]),
        _ => return None,
    };
    let sign = if prefix == Some("Etc/GMT") {
        -sign
    } else {
        sign
    };
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| digits.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some((hours, minutes)), length) if length == 5 || prefix.is_some() => {
            (number(hours), number(minutes))
        }
        (None, 1 | 2) => (number(digits), Some(0)),
        (None, 4) if digits.is_ascii() => (number(&digits[..2]), number(&digits[2..])),
        _ => (None, None),
    };
    let minutes = hours.zip(minutes.filter(|minutes| *minutes < 60));
    Some(minutes.map(|(hours, minutes)| sign * (60 * hours + minutes)))
}

/// An instant with the same offset, in the years that the database has.
fn within_database(instant: i64) -> i64 {
    let days = instant.div_euclid(DAY);
    if days < days_from_civil(LAST_RULES.end, 1, 1) {
        return instant;
    }
    let (year, ..) = civil_from_days(days);
    let first = days_from_civil(year, 1, 1);
    let leap_and_weekday = |year: i64, first: i64| (days_in_month(year, 2), first.rem_euclid(7));
    let wanted = leap_and_weekday(year, first);
    let same = LAST_RULES.map(|year| (year, days_from_civil(year, 1, 1)));
    let same = same
        .into_iter()
        .find(|&(year, first)| leap_and_weekday(year, first) == wanted);
    same.map_or(instant, |(_, same)| instant - (first - same) * DAY)
}

#[cfg(test)]
mod tests {
    use super::super::civil::HOUR;
    use super::super::iso8601::from_iso8601_timestamp;
    use super::*;

    fn at(text: &str) -> i64 {
        from_iso8601_timestamp(text).unwrap()
    }

    fn berlin() -> Zone {
        Zone::named("Europe/Berlin").unwrap()
    }

    #[test]
    fn names_are_those_of_trino() {
        for (name, shown) in [
            ("Europe/Berlin", "Europe/Berlin"),
            ("US/Pacific", "US/Pacific"),
            ("EST5EDT", "EST5EDT"),
            ("UTC", "UTC"),
            ("Etc/GMT", "UTC"),
            ("Etc/UT", "UTC"),
            ("GMT-0", "UTC"),
            ("-00:00", "UTC"),
            ("+02:00", "+02:00"),
            ("+0530", "+05:30"),
            ("-7", "-07:00"),
            ("UTC+2", "+02:00"),
            ("Etc/GMT+5", "-05:00"),
            ("-14:00", "-14:00"),
        ] {
            assert_eq!(Zone::named(name).unwrap().to_string(), shown, "{name}");
        }
        for name in [
            "",
            "europe/berlin",
            "Mars/Base",
            "EST",
            "+14:01",
            "+15",
            "+1:5",
            "+",
            "UTC+é",
            "+ä1",
            "+02:60",
            "GMT7",
            "-+1",
            "+02:00:00",
            " UTC",
        ] {
            assert!(Zone::named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_day_is_local_through_both_turns() {
        // 23 and 25 hours long.
        for (instant, start) in [
            ("2026-03-29T00:59:59Z", "2026-03-28T23:00Z"),
            ("2026-03-29T22:00:00Z", "2026-03-29T22:00Z"),
            ("2026-10-25T22:59:59Z", "2026-10-24T22:00Z"),
            ("2026-10-25T23:00:00Z", "2026-10-25T23:00Z"),
        ] {
            assert_eq!(
                berlin().floor(Unit::Day, at(instant)),
                at(start),
                "{instant}"
            );
        }
        // The hour from 2:00 to 3:00 happens twice.
        for hour in ["2026-10-25T00:00Z", "2026-10-25T01:00Z"] {
            let within = at(hour) + 30 * MINUTE;
            assert_eq!(berlin().floor(Unit::Hour, within), at(hour));
        }
        assert_eq!(
            berlin().add(Unit::Day, 1, at("2026-10-24T12:00Z")),
            Some(at("2026-10-25T13:00Z"))
        );
        assert_eq!(
            berlin().difference(Unit::Day, at("2026-10-24T12:00Z"), at("2026-10-25T12:30Z")),
            Some(0)
        );
    }

    #[test]
    fn local_times_become_instants() {
        let local = |text: &str| at(text);
        let new_york = Zone::named("America/New_York").unwrap();
        let cases = [
            (berlin(), "2026-07-01T12:00Z", Some("2026-07-01T10:00Z")),
            (berlin(), "2026-10-25T02:30Z", Some("2026-10-25T00:30Z")),
            (berlin(), "2026-03-29T02:30Z", None),
            (new_york, "2026-11-01T01:30Z", Some("2026-11-01T05:30Z")),
            (new_york, "2026-03-08T02:30Z", None),
        ];
        for (zone, text, instant) in cases {
            assert_eq!(zone.first_instant(local(text)), instant.map(at), "{text}");
        }
        for (zone, text, instant) in [
            (berlin(), "2026-03-29T02:30Z", "2026-03-29T01:30Z"),
            (new_york, "2026-03-08T02:30Z", "2026-03-08T07:30Z"),
        ] {
            assert_eq!(zone.first_instant_or_after_gap(local(text)), at(instant));
            assert_eq!(zone.instant(local(text), local(text)), at(instant));
        }
    }

    #[test]
    fn rules_go_on_after_the_database_ends() {
        for (instant, hours) in [
            ("2100-07-01T00:00Z", 2),
            ("2101-03-27T00:59Z", 1),
            ("2101-03-27T01:00Z", 2),
            ("2400-10-29T00:59Z", 2),
            ("2400-10-29T01:00Z", 1),
            ("9999-12-31T23:59Z", 1),
        ] {
            assert_eq!(berlin().offset(at(instant)), hours * HOUR, "{instant}");
        }
        for instant in [i64::MIN, i64::MAX] {
            for unit in ["hour", "day", "year"].map(|unit| Unit::of_timestamp(unit).unwrap()) {
                berlin().floor(unit, instant);
                berlin().add(unit, 1, instant);
                berlin().difference(unit, instant, 0);
            }
        }
    }
}
