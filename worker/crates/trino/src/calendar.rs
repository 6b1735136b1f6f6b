//! `date_trunc`, `date_add` and `date_diff`: Joda-Time's calendar in UTC, proleptic Gregorian. Instants are milliseconds
//! since 1970-01-01T00:00:00Z.

use std::fmt;

use super::civil::{
    DAY, HOUR, MINUTE, SECOND, civil_from_days, days_from_civil, days_in_month, floor_to_monday,
};

/// Where February 29 starts in a leap year, and March 1 in another year, in milliseconds.
const FEBRUARY_29: i64 = (31 + 28) * DAY;

/// A unit that `date_trunc` truncates to, and that `date_add` and `date_diff` count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The instant itself: nothing is truncated.
    Millisecond,
    /// The start of the second.
    Second,
    /// The start of the minute.
    Minute,
    /// The start of the hour.
    Hour,
    /// 00:00 of the day.
    Day,
    /// 00:00 of the week's Monday.
    Week,
    /// 00:00 of the first day of the month.
    Month,
    /// 00:00 of January, April, July or October 1.
    Quarter,
    /// 00:00 of January 1.
    Year,
}

/// A unit that `date_trunc` does not have for the type. `Display` gives Trino's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError {
    /// In lowercase, as in Trino's message.
    unit: String,
    of: &'static str,
}

impl fmt::Display for UnitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "'{}' is not a valid {} field",
            self.unit, self.of
        )
    }
}

impl std::error::Error for UnitError {}

impl Unit {
    /// The unit with this name, ignoring case, for `date_trunc(unit, timestamp)`. A query contains the name once, so
    /// parse it once.
    ///
    /// # Errors
    /// For any other name, which fails the query in Trino too.
    pub fn of_timestamp(name: &str) -> Result<Self, UnitError> {
        let unit = name.to_lowercase();
        Ok(match unit.as_str() {
            "millisecond" => Self::Millisecond,
            "second" => Self::Second,
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => {
                return Err(UnitError {
                    unit,
                    of: "TIMESTAMP",
                });
            }
        })
    }

    /// The unit with this name for `date_trunc(unit, date)`, where a day is the shortest unit.
    ///
    /// # Errors
    /// As [`Unit::of_timestamp`], and for a unit shorter than a day.
    pub fn of_date(name: &str) -> Result<Self, UnitError> {
        match Self::of_timestamp(name) {
            Ok(Self::Millisecond | Self::Second | Self::Minute | Self::Hour) | Err(_) => {
                Err(UnitError {
                    unit: name.to_lowercase(),
                    of: "DATE",
                })
            }
            unit => unit,
        }
    }

    /// Whether the unit has the same length everywhere and always: an hour or less.
    pub(crate) fn is_of_clock(self) -> bool {
        matches!(
            self,
            Self::Millisecond | Self::Second | Self::Minute | Self::Hour
        )
    }

    /// The start of the unit that contains the instant. Both are milliseconds since 1970-01-01T00:00:00Z, possibly
    /// negative. Returns `i64::MIN` for a start that does not fit in an `i64` (year -292,275,055).
    #[inline]
    pub fn floor_millis(self, millis: i64) -> i64 {
        let floor = |unit: i64| millis.div_euclid(unit).saturating_mul(unit);
        match self {
            Self::Millisecond => millis,
            Self::Second => floor(SECOND),
            Self::Minute => floor(MINUTE),
            Self::Hour => floor(HOUR),
            Self::Day => floor(DAY),
            _ => self.floor_days(millis.div_euclid(DAY)).saturating_mul(DAY),
        }
    }

    /// The first day of the unit that contains the day. Both are days since 1970-01-01. Every DATE is supported; days
    /// beyond an `i64` of milliseconds may not be.
    #[inline]
    pub fn floor_days(self, days: i64) -> i64 {
        let first_month: fn(i64) -> i64 = match self {
            Self::Week => return floor_to_monday(days),
            Self::Month => |month| month,
            Self::Quarter => |month| month - (month - 1) % 3,
            Self::Year => |_| 1,
            _ => return days,
        };
        let (year, month, _) = civil_from_days(days);
        days_from_civil(year, first_month(month), 1)
    }
}

/// `date_trunc(unit, timestamp)` in UTC. Both instants are milliseconds since 1970-01-01T00:00:00Z.
///
/// # Errors
/// For a unit that does not exist.
pub fn date_trunc(unit: &str, millis: i64) -> Result<i64, UnitError> {
    Ok(Unit::of_timestamp(unit)?.floor_millis(millis))
}

/// Adds `count` units. A day that the month doesn't have becomes its last day. Returns `None` if the result does not fit
/// in an `i64`, or for more units than Trino accepts.
pub fn add(unit: Unit, count: i64, instant: i64) -> Option<i64> {
    let count = i64::from(i32::try_from(count).ok()?);
    let months = match unit {
        Unit::Month => count,
        Unit::Quarter => 3 * count,
        Unit::Year => 12 * count,
        _ => return instant.checked_add(length(unit).checked_mul(count)?),
    };
    let (year, month, day) = civil_from_days(instant.div_euclid(DAY));
    let month = 12 * year + month - 1 + months;
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let day = days_from_civil(year, month, day.min(days_in_month(year, month)));
    day.checked_mul(DAY)?.checked_add(instant.rem_euclid(DAY))
}

/// The number of whole units between the two instants; negative if `to` is earlier.
pub fn difference(unit: Unit, from: i64, to: i64) -> Option<i64> {
    if to < from && matches!(unit, Unit::Month | Unit::Quarter | Unit::Year) {
        return difference(unit, to, from).map(|units| -units);
    }
    Some(match unit {
        Unit::Month => months(from, to),
        Unit::Quarter => months(from, to) / 3,
        Unit::Year => years(from, to),
        _ => to.checked_sub(from)? / length(unit),
    })
}

/// The length in milliseconds of a unit that has a fixed length.
fn length(unit: Unit) -> i64 {
    match unit {
        Unit::Second => SECOND,
        Unit::Minute => MINUTE,
        Unit::Hour => HOUR,
        Unit::Day => DAY,
        Unit::Week => 7 * DAY,
        _ => 1,
    }
}

fn months(from: i64, to: i64) -> i64 {
    let (from_year, from_month, mut from_day) = civil_from_days(from.div_euclid(DAY));
    let (to_year, to_month, to_day) = civil_from_days(to.div_euclid(DAY));
    // From the 31st to the last day of a shorter month counts as whole months.
    if to_day == days_in_month(to_year, to_month) {
        from_day = from_day.min(to_day);
    }
    let months = 12 * (to_year - from_year) + to_month - from_month;
    let is_whole = (to_day, to.rem_euclid(DAY)) >= (from_day, from.rem_euclid(DAY));
    months - i64::from(!is_whole)
}

fn years(from: i64, to: i64) -> i64 {
    let of_year = |instant: i64| {
        let (year, ..) = civil_from_days(instant.div_euclid(DAY));
        let start = days_from_civil(year, 1, 1).saturating_mul(DAY);
        (
            year,
            days_in_month(year, 2) == 29,
            instant.saturating_sub(start),
        )
    };
    let (from_year, from_is_leap, mut from) = of_year(from);
    let (to_year, to_is_leap, mut to) = of_year(to);
    // From March on, a date in a leap year is a day further from the start of the year than in another year.
    if from >= FEBRUARY_29 {
        if from_is_leap && !to_is_leap {
            from -= DAY;
        } else if !from_is_leap && to_is_leap && to >= FEBRUARY_29 {
            to -= DAY;
        }
    }
    to_year - from_year - i64::from(to < from)
}

#[cfg(test)]
mod tests {
    use super::super::iso8601::from_iso8601_timestamp;
    use super::*;

    fn at(text: &str) -> i64 {
        from_iso8601_timestamp(text).unwrap()
    }

    // tests/trino compares more cases with Trino.
    #[test]
    fn months_end_where_they_end() {
        for (unit, count, from, to) in [
            (Unit::Month, 1, "2024-01-31T10:00Z", "2024-02-29T10:00Z"),
            (Unit::Month, -11, "2024-12-31T10:00Z", "2024-01-31T10:00Z"),
            (Unit::Quarter, 1, "2023-11-30T00:00Z", "2024-02-29T00:00Z"),
            (Unit::Year, 1, "2024-02-29T12:00Z", "2025-02-28T12:00Z"),
            (Unit::Week, 2, "2026-12-25T00:00Z", "2027-01-08T00:00Z"),
        ] {
            assert_eq!(add(unit, count, at(from)), Some(at(to)), "{unit:?} {from}");
            assert_eq!(
                difference(unit, at(from), at(to)),
                Some(count),
                "{from} {to}"
            );
        }
        assert_eq!(add(Unit::Day, i64::MAX, 0), None);
        assert_eq!(add(Unit::Week, 1, i64::MAX), None);
    }

    #[test]
    fn differences_are_cut() {
        for (unit, from, to, expected) in [
            (Unit::Day, "2026-11-20T10:00Z", "2026-11-22T09:59Z", 1),
            (Unit::Day, "2026-11-22T09:59Z", "2026-11-20T10:00Z", -1),
            (Unit::Month, "2026-11-20T10:00Z", "2026-12-20T09:59Z", 0),
            (Unit::Year, "2024-03-01T00:00Z", "2025-03-01T00:00Z", 1),
            (Unit::Year, "2023-03-01T00:00Z", "2024-02-29T00:00Z", 0),
            (Unit::Quarter, "2026-11-20T10:00Z", "2026-05-20T10:00Z", -2),
        ] {
            assert_eq!(
                difference(unit, at(from), at(to)),
                Some(expected),
                "{from} {to}"
            );
        }
    }
}
