//! The time range of a report, and the grain of its time series.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};

/// A time range in UTC, in seconds since 1970. Its end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Range {
    pub(super) fn seconds(self) -> i64 {
        self.to.saturating_sub(self.from)
    }

    /// The range of the same length before this one.
    pub(super) fn before(self) -> Self {
        let from = self.from.saturating_sub(self.seconds());
        Self {
            from,
            to: self.from,
        }
    }

    /// Extends the range outwards to the ends of a table's own buckets: the table has no shorter times, and a row begins before most
    /// of its lines. Months and years differ in length, so only the start is moved there.
    pub(super) fn outwards(self, grain: Grain) -> Self {
        let to = match grain {
            Grain::Month | Grain::Year => self.to,
            _ => {
                let last = self.to.saturating_add(grain.seconds() - 1);
                grain.start(last)
            }
        };
        Self {
            from: grain.start(self.from),
            to,
        }
    }
}

/// The length of a bucket of a time series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grain {
    Minute,
    FiveMinutes,
    QuarterHour,
    Hour,
    SixHours,
    Day,
    Week,
    Month,
    Year,
}

impl Grain {
    const ALL: [Self; 9] = [
        Self::Minute,
        Self::FiveMinutes,
        Self::QuarterHour,
        Self::Hour,
        Self::SixHours,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Year,
    ];

    /// The finest grain with at most this many buckets in a range, or twice as many by the day. It is never finer than the table's own.
    pub(super) fn fitting(range: Range, own: Self, buckets_max: i64) -> Self {
        let fits = |grain: &Self| {
            let max = match grain {
                Self::Day => buckets_max * 2,
                _ => buckets_max,
            };
            *grain >= own && range.seconds() / grain.seconds() < max
        };
        Self::ALL.into_iter().find(fits).unwrap_or(Self::Year)
    }

    /// The grain of a time that this SQL computes from lines.
    pub(super) fn of_sql(sql: &str) -> Self {
        let unit = sql.to_ascii_lowercase();
        let unit = unit
            .strip_prefix("date_trunc('")
            .and_then(|rest| rest.split('\'').next());
        match unit {
            Some("hour") => Self::Hour,
            Some("day") => Self::Day,
            Some("week") => Self::Week,
            Some("month" | "quarter") => Self::Month,
            Some("year") => Self::Year,
            _ => Self::Minute,
        }
    }

    /// Its length in seconds. For months and years, whose lengths differ, the least length.
    pub(super) fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::QuarterHour => 900,
            Self::Hour => 3600,
            Self::SixHours => 6 * 3600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 28 * 86_400,
            Self::Year => 365 * 86_400,
        }
    }

    /// The start of the bucket that a time belongs to.
    pub(super) fn start(self, seconds: i64) -> i64 {
        let first_day = |date: NaiveDate| match self {
            Self::Year => date.with_ordinal(1),
            _ => date.with_day(1),
        };
        match self {
            Self::Month | Self::Year => DateTime::<Utc>::from_timestamp(seconds, 0)
                .and_then(|time| first_day(time.date_naive()))
                .map_or(seconds, |day| {
                    day.and_time(NaiveTime::MIN).and_utc().timestamp()
                }),
            _ => {
                let length = self.seconds();
                let offset = self.offset();
                let buckets = seconds.saturating_sub(offset).div_euclid(length);
                buckets.saturating_mul(length).saturating_add(offset)
            }
        }
    }

    /// The start of a bucket near 1970. Weeks begin on Mondays, and 1970 began on a Thursday.
    fn offset(self) -> i64 {
        match self {
            Self::Week => 4 * Self::Day.seconds(),
            _ => 0,
        }
    }

    /// The SQL of the start of the bucket that a time belongs to.
    pub(super) fn sql(self, time: &str) -> String {
        let unit = match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
            Self::FiveMinutes | Self::QuarterHour | Self::SixHours => {
                let seconds = self.seconds();
                return format!(
                    "from_unixtime(floor(to_unixtime({time}) / {seconds}) * {seconds})"
                );
            }
        };
        format!("date_trunc('{unit}', {time})")
    }

    /// The starts of all buckets of a range.
    pub(super) fn buckets(self, range: Range) -> Vec<i64> {
        let first = self.start(range.from);
        // The middle of the bucket after the next one: months and years are not equally long.
        let after = |start: &i64| {
            let next = self.start(start.saturating_add(self.seconds() + self.seconds() / 2));
            (next > *start).then_some(next)
        };
        std::iter::successors(Some(first), after)
            .take_while(|start| *start < range.to)
            .collect()
    }

    /// In words, as in "by the hour".
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::FiveMinutes => "5 minutes",
            Self::QuarterHour => "15 minutes",
            Self::Hour => "hour",
            Self::SixHours => "6 hours",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The time of a bucket in the notation that people read.
    pub(super) fn time(self, seconds: i64) -> String {
        match self >= Self::Day {
            true => text(seconds, "%Y-%m-%d"),
            false => minute(seconds),
        }
    }
}

/// The time to the minute, in UTC.
pub(super) fn minute(seconds: i64) -> String {
    text(seconds, "%Y-%m-%d %H:%M")
}

/// The SQL literal of a time.
pub(super) fn timestamp_sql(seconds: i64) -> String {
    format!("TIMESTAMP '{} UTC'", text(seconds, "%Y-%m-%d %H:%M:%S"))
}

/// The SQL literal of the day of a time.
pub(super) fn date_sql(seconds: i64) -> String {
    format!("DATE '{}'", text(seconds, "%Y-%m-%d"))
}

fn text(seconds: i64, form: &str) -> String {
    let time = DateTime::<Utc>::from_timestamp(seconds, 0);
    time.map_or_else(|| seconds.to_string(), |time| time.format(form).to_string())
}

/// A length of time in words.
pub(super) fn length(seconds: i64) -> String {
    let length = TimeDelta::seconds(seconds);
    let (number, unit) = match () {
        () if length >= TimeDelta::days(3) => (length.num_days(), "days"),
        () if length >= TimeDelta::hours(3) => (length.num_hours(), "hours"),
        () => (length.num_minutes(), "minutes"),
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_series_has_a_bounded_number_of_points() {
        for (days, grain) in [
            (1, Grain::QuarterHour),
            (7, Grain::Hour),
            (30, Grain::SixHours),
            (365, Grain::Day),
            (1200, Grain::Week),
            (20_000, Grain::Year),
        ] {
            let range = Range {
                from: 0,
                to: days * DAY,
            };
            assert_eq!(Grain::fitting(range, Grain::Minute, 190), grain, "{days}");
            let buckets = grain.buckets(range);
            assert!(buckets.len() <= 381);
        }
        let range = Range { from: 0, to: DAY };
        assert_eq!(Grain::fitting(range, Grain::Hour, 190), Grain::Hour);
    }

    #[test]
    fn weeks_begin_on_mondays() {
        let monday = DateTime::parse_from_rfc3339("2026-11-23T00:00:00Z")
            .unwrap()
            .timestamp();
        let range = Range {
            from: monday + DAY,
            to: monday + 8 * DAY,
        };
        assert_eq!(Grain::Week.buckets(range), [monday, monday + 7 * DAY]);
    }

    #[test]
    fn months_and_years_without_rows_have_buckets() {
        let seconds = |day: &str| {
            let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").unwrap();
            day.and_time(NaiveTime::MIN).and_utc().timestamp()
        };
        let range = Range {
            from: seconds("2023-12-05"),
            to: seconds("2025-02-01"),
        };
        let starts = |grain: Grain| {
            let starts = grain.buckets(range).into_iter();
            starts.map(|start| grain.time(start)).collect::<Vec<_>>()
        };
        let months = starts(Grain::Month);
        assert_eq!(months.len(), 14);
        assert_eq!(
            months[..4],
            ["2023-12-01", "2024-01-01", "2024-02-01", "2024-03-01"]
        );
        assert_eq!(months[13], "2025-01-01");
        assert_eq!(
            starts(Grain::Year),
            ["2023-01-01", "2024-01-01", "2025-01-01"]
        );
    }

    #[test]
    fn a_range_has_all_rows_of_its_lines() {
        let seconds = |time: &str| {
            DateTime::parse_from_rfc3339(&format!("{time}:00Z"))
                .unwrap()
                .timestamp()
        };
        for (grain, from, to) in [
            (Grain::Minute, "2026-11-01T16:58", "2026-11-29T13:23"),
            (Grain::Hour, "2026-11-01T16:00", "2026-11-29T14:00"),
            (Grain::Day, "2026-11-01T00:00", "2026-11-30T00:00"),
            (Grain::Week, "2026-10-26T00:00", "2026-11-30T00:00"),
            (Grain::Month, "2026-11-01T00:00", "2026-11-29T13:23"),
            (Grain::Year, "2026-01-01T00:00", "2026-11-29T13:23"),
        ] {
            let range = Range {
                from: seconds("2026-11-01T16:58"),
                to: seconds("2026-11-29T13:23"),
            };
            let expected = Range {
                from: seconds(from),
                to: seconds(to),
            };
            assert_eq!(range.outwards(grain), expected, "{grain:?}");
        }
    }
}
