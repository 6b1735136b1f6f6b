//! A span of time, the log files that belong to it, and the folders that may hold them.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use logmill_shared::{LogFile, Shard};

/// Days that a folder's date may be before a log file's time. The folder's date is that of the delivery, which follows the
/// end of the log file's interval. But clocks differ, and other tools use dates in other time zones.
const EARLY: Days = Days::new(1);

/// Days that a log file may be delivered late and still be found by its time. AWS delivers nearly all log files within
/// minutes, and does not say how late the last may be. Log files that arrive later are missed where folders have dates.
/// Each extra day costs listing one more day's folder, but only for spans that ended long ago.
pub const LATE_DAYS: u64 = 7;
const LATE: Days = Days::new(LATE_DAYS);

/// The folder in AWS's paths that is followed by the region's folder and then the date's.
const SERVICE: &str = "elasticloadbalancing";

/// Key names of Hive partitions by day.
const DAY_KEYS: [&str; 4] = ["date", "day", "ds", "dt"];

/// A span of time in UTC. Its end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// Whether only the dates of folders decide, and not the times of log files.
    by_folders: bool,
}

/// A text that can't be parsed as a time.
#[derive(Debug, thiserror::Error)]
#[error("expected a time in UTC, such as 2026-11-20, 2026-11-20T10 or 2026-11-20T10:05Z")]
pub struct NotATime;

/// A span that ends before or at its beginning.
#[derive(Debug, thiserror::Error)]
#[error("the time range from {from} to {to} is empty: its end must be later than its start")]
pub struct EmptySpan {
    from: String,
    to: String,
}

/// Parses a day, an hour or a minute in UTC: `2026-11-20`, `2026-11-20T10`, `2026-11-20T10:05`, the latter two with or
/// without `Z`.
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, NotATime> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z').unwrap_or(time)),
        None => (text, "00"),
    };
    let (hour, minute) = time.split_once(':').unwrap_or((time, "00"));
    let time = NaiveTime::from_hms_opt(
        digits(hour, 2).ok_or(NotATime)?,
        digits(minute, 2).ok_or(NotATime)?,
        0,
    );
    let date = parse_date(date).ok_or(NotATime)?;
    Ok(date.and_time(time.ok_or(NotATime)?).and_utc())
}

impl Span {
    /// A span from one time up to another, which is exclusive.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Self, EmptySpan> {
        match from < to {
            true => Ok(Self {
                from,
                to,
                by_folders: false,
            }),
            false => Err(EmptySpan {
                from: minute(from),
                to: minute(to),
            }),
        }
    }

    /// The same span, for listing all files of the folders that may hold its log files. The caller decides about each file.
    #[must_use]
    pub fn by_folders(self) -> Self {
        Self {
            by_folders: true,
            ..self
        }
    }

    /// Its beginning, to the minute.
    pub fn from(&self) -> String {
        minute(self.from)
    }

    /// Its end, to the minute.
    pub fn to(&self) -> String {
        minute(self.to)
    }

    /// The hours since 1970-01-01T00:00Z that it touches.
    pub fn hours(&self) -> Range<i64> {
        let (from, to) = (self.from.timestamp(), self.to.timestamp());
        from.div_euclid(3600)..(to + 3599).div_euclid(3600)
    }

    /// Its days, if it begins and ends at midnight (UTC).
    pub fn days(&self) -> Option<Range<NaiveDate>> {
        let is_midnight = |time: DateTime<Utc>| time.time() == NaiveTime::MIN;
        let days = self.from.date_naive()..self.to.date_naive();
        (is_midnight(self.from) && is_midnight(self.to)).then_some(days)
    }

    /// Whether the span may contain log files of this ledger shard. Always `true` for log files without a time in their
    /// names.
    pub fn may_have(&self, shard: &Shard) -> bool {
        let hour = format!("{}:00", shard.as_str());
        match NaiveDateTime::parse_from_str(&hour, "%Y-%m-%dT%H:%M") {
            Ok(hour) => {
                let hour = hour.and_utc();
                hour < self.to && self.from < hour + TimeDelta::hours(1)
            }
            Err(_) => true,
        }
    }

    /// Whether a log file belongs to the span. The time in its name decides, which is the end of the interval that it
    /// covers. If the name has none, as in deliveries through CloudWatch Logs, the modification time decides. But if that is not
    /// near the day of its folder, the file was copied later, and the day decides.
    pub(super) fn takes(&self, log_file: &LogFile, modified: DateTime<Utc>) -> bool {
        if self.by_folders {
            return true;
        }
        let time = log_file.interval_end().and_then(|end| {
            let end = NaiveDateTime::parse_from_str(end, "%Y%m%dT%H%MZ").ok()?;
            Some(end.and_utc())
        });
        let folder = || NaiveDate::parse_from_str(&log_file.delivery_day()?, "%Y/%m/%d").ok();
        match (time, folder()) {
            (Some(time), _) => self.from <= time && time < self.to,
            (None, Some(day)) if !is_near(day, modified.date_naive()) => {
                let end = day.succ_opt().map(start_of);
                start_of(day) < self.to && end.is_none_or(|end| self.from < end)
            }
            (None, _) => self.from <= modified && modified < self.to,
        }
    }

    /// Whether the folder, or any folder below it, may hold log files of this span.
    pub(super) fn may_be_in(&self, folder: &str) -> bool {
        let Some(DateFolder { days, .. }) = DateFolder::of(folder) else {
            return true;
        };
        // At the ends of the calendar there is no day to compare with.
        let begins = days.start.checked_sub_days(LATE).map(start_of);
        let ends = days.end.checked_add_days(EARLY).map(start_of);
        begins.is_none_or(|begins| begins < self.to) && ends.is_none_or(|ends| self.from < ends)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_first, is_last) = (
            self.from == DateTime::<Utc>::MIN_UTC,
            self.to == DateTime::<Utc>::MAX_UTC,
        );
        match (is_first, is_last) {
            (false, true) => write!(f, "{} and later", self.from()),
            (true, _) => write!(f, "before {}", self.to()),
            (false, false) => write!(f, "{} to {}", self.from(), self.to()),
        }
    }
}

fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Whether two days are the same, or follow each other.
fn is_near(one: NaiveDate, other: NaiveDate) -> bool {
    one.signed_duration_since(other).abs() <= TimeDelta::days(1)
}

fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%MZ").to_string()
}

/// Whether the folder is for a single day, so that no folder below it has a date.
pub(super) fn is_day(folder: &str) -> bool {
    DateFolder::of(folder).is_some_and(|folder| folder.is_day)
}

/// A folder whose path gives the days that it covers.
struct DateFolder {
    days: Range<NaiveDate>,
    is_day: bool,
}

impl DateFolder {
    /// `None` unless the path certainly gives a date. Four digits alone are not enough: a folder that is wrongly taken for
    /// a year would be skipped, and nothing would report its log files as missing.
    fn of(folder: &str) -> Option<Self> {
        let mut parts = folder.trim_end_matches('/').rsplit('/');
        let name = parts.next()?;
        let (above, second, third) = (parts.next(), parts.next(), parts.next());
        let of_aws = |service: Option<&str>| service == Some(SERVICE);

        let day_of_hive = name
            .split_once('=')
            .filter(|(key, _)| DAY_KEYS.contains(key));
        if let Some(day) = parse_date(day_of_hive.map_or(name, |(_, date)| date)) {
            return Self::day(day);
        }
        if let Some(year) = named("year", name) {
            return Self::months(year, 1, 12);
        }
        if let (Some(year), Some(month)) =
            (above.and_then(|it| named("year", it)), named("month", name))
        {
            return Self::months(year, month, 1);
        }
        if let (Some(year), Some(month), Some(day)) = (
            second.and_then(|it| named("year", it)),
            above.and_then(|it| named("month", it)),
            named("day", name),
        ) {
            return Self::day(NaiveDate::from_ymd_opt(year as i32, month, day)?);
        }
        if let (Some(year), Some(month), Some(day)) = (
            second.and_then(|it| digits(it, 4)),
            above.and_then(|it| digits(it, 2)),
            digits(name, 2),
        ) {
            return Self::day(NaiveDate::from_ymd_opt(year as i32, month, day)?);
        }
        // …/elasticloadbalancing/<region>/yyyy/mm
        if let (Some(year), Some(month)) = (above.and_then(|it| digits(it, 4)), digits(name, 2))
            && of_aws(third)
        {
            return Self::months(year, month, 1);
        }
        let year = digits(name, 4).filter(|_| of_aws(second))?;
        Self::months(year, 1, 12)
    }

    fn day(day: NaiveDate) -> Option<Self> {
        Some(Self {
            days: day..day.succ_opt()?,
            is_day: true,
        })
    }

    fn months(year: u32, first: u32, months: u32) -> Option<Self> {
        let first = NaiveDate::from_ymd_opt(year as i32, first, 1)?;
        Some(Self {
            days: first..first.checked_add_months(Months::new(months))?,
            is_day: false,
        })
    }
}

/// The number in a part of a path such as `year=2026`.
fn named(key: &str, part: &str) -> Option<u32> {
    let (name, value) = part.split_once('=')?;
    (name == key && value.len() <= 4)
        .then(|| digits(value, value.len()))
        .flatten()
}

/// The date in `2026-11-20`.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(digits(year, 4)? as i32, digits(month, 2)?, digits(day, 2)?)
}

/// Parses exactly `count` digits. `parse` alone would also accept a sign.
fn digits(text: &str, count: usize) -> Option<u32> {
    let are_digits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        parse_time(text).unwrap()
    }

    fn span(from: &str, to: &str) -> Span {
        Span::new(time(from), time(to)).unwrap()
    }

    #[test]
    fn times_are_days_hours_or_minutes_in_utc() {
        let told = |text| time(text).to_rfc3339();
        assert_eq!(told("2026-11-20"), "2026-11-20T00:00:00+00:00");
        assert_eq!(told("2026-11-20T10"), "2026-11-20T10:00:00+00:00");
        assert_eq!(told("2026-11-20T10:05Z"), "2026-11-20T10:05:00+00:00");
        assert_eq!(told("2026-11-20T10:05"), "2026-11-20T10:05:00+00:00");
        for text in [
            "",
            "today",
            "2026-11",
            "2026-1-2",
            "20261120",
            "2026-02-30",
            "2026-11-20T",
            "2026-11-20Z",
            "2026-11-20T24",
            "2026-11-20T10:05:07",
            "2026-11-20T10:5",
            "2026-11-20 10",
            "2026-11-20T+1",
            "2026-11-20T10:05+01:00",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        let empty = Span::new(time("2026-11-20"), time("2026-11-20")).unwrap_err();
        assert!(empty.to_string().contains("2026-11-20T00:00Z"), "{empty}");
    }

    #[test]
    fn a_log_file_belongs_to_the_span_of_the_time_in_its_name() {
        let span = span("2026-11-20T10", "2026-11-20T11");
        let long_ago = time("2020-01-01");
        let takes = |end: &str, modified| {
            span.takes(&LogFile::new(format!("s3://b/1_{end}_r.log")), modified)
        };
        assert!(takes("20261120T1000Z", long_ago));
        assert!(takes("20261120T1055Z", long_ago));
        assert!(!takes("20261120T1100Z", long_ago));
        assert!(!takes("20261120T0955Z", time("2026-11-20T10:01")));
        // Without a time in the name, or with an invalid one, the modification time decides.
        for name in ["export", "20261120T9999Z"] {
            assert!(takes(name, time("2026-11-20T10:59")), "{name}");
            assert!(!takes(name, time("2026-11-20T11:00")), "{name}");
        }
        // A file that was copied later belongs to the day of its folder.
        let takes = |day: u32, modified: &str| {
            let file = LogFile::new(format!("s3://b/2026/11/{day}/delivered.json.gz"));
            span.takes(&file, time(modified))
        };
        assert!(takes(20, "2026-11-20T10:30") && !takes(20, "2026-11-20T11:30"));
        assert!(takes(19, "2026-11-20T10:30") && !takes(18, "2026-11-20T10:30"));
        assert!(takes(20, "2026-12-24") && !takes(21, "2026-12-24"));
    }

    #[test]
    fn folders_of_other_days_are_left_out() {
        let span = span("2026-11-20T10", "2026-11-22");
        let aws = "p/AWSLogs/123456789012/elasticloadbalancing/us-east-2";
        for held in [
            "2026/",
            "2026/11/",
            "2026/11/19/",
            "2026/11/20/",
            "2026/11/21/",
            "2026/11/22/",
            "2026/11/28/",
        ] {
            assert!(span.may_be_in(&format!("{aws}/{held}")), "{held}");
        }
        for left_out in [
            "2025/",
            "2027/",
            "2026/10/",
            "2026/12/",
            "2026/11/18/",
            "2026/11/29/",
        ] {
            assert!(!span.may_be_in(&format!("{aws}/{left_out}")), "{left_out}");
        }
        for (held, left_out) in [
            ("year=2026/", "year=2025/"),
            ("year=2026/month=11/", "year=2026/month=9/"),
            (
                "a/year=2026/month=11/day=20/",
                "a/year=2026/month=11/day=2/",
            ),
            ("date=2026-11-20/", "date=2026-11-02/"),
            ("x/2026-11-20/", "x/2026-11-02/"),
            ("x/2026/11/20/", "x/2026/11/02/"),
        ] {
            assert!(span.may_be_in(held), "{held}");
            assert!(!span.may_be_in(left_out), "{left_out}");
        }
    }

    #[test]
    fn the_turn_of_a_year_is_in_both() {
        let first = span("2026-01-01", "2026-01-01T01");
        let last = span("2025-12-31T23", "2026-01-01");
        let aws = "elasticloadbalancing/r";
        for late in ["2026/", "2026/01/", "2026/01/07/"] {
            assert!(last.may_be_in(&format!("{aws}/{late}")), "{late}");
        }
        assert!(!last.may_be_in(&format!("{aws}/2026/01/08/")));
        let span = first;
        assert!(span.may_be_in(&format!("{aws}/2025/")));
        assert!(span.may_be_in(&format!("{aws}/2025/12/")));
        assert!(span.may_be_in(&format!("{aws}/2025/12/31/")));
        assert!(!span.may_be_in(&format!("{aws}/2025/12/30/")));
        assert!(!span.may_be_in(&format!("{aws}/2025/11/")));
    }

    #[test]
    fn what_is_not_certainly_a_date_is_walked() {
        let span = span("2026-11-20", "2026-11-21");
        for folder in [
            "",
            "AWSLogs/",
            "2010/",
            "x/2010/",
            "x/2010/05/",
            "x/2026/13/45/",
            "2010/05/shop/",
            "updated=2010-01-01/",
            "shop-2010-01-01/",
            "2010-13-01/",
            "AWSLogs/2010/elasticloadbalancing/",
            "elasticloadbalancing/2010/",
            "elasticloadbalancing/us-east-2/20100/",
        ] {
            assert!(span.may_be_in(folder), "{folder}");
        }
        assert!(is_day("x/2026/11/20/") && is_day("date=2026-11-20/"));
        assert!(!is_day("elasticloadbalancing/r/2026/11/") && !is_day("x/"));
    }
}
