//! A slot: one hour, or one day, of a table's data. A slot has one file, and is the unit that a commit rewrites.
//!
//! When a day is over, the files of its hours are packed into one file, which covers all slots of that day.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use object_store::path::Path;

use logmill_trino::civil::{civil_from_days, days_from_civil};

const MICROSECONDS_PER_HOUR: i64 = 3_600_000_000;
pub(super) const HOURS_PER_DAY: i64 = 24;

/// Hive's name for the partition of rows without a time.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// One hour or one day. The order is the one in which tables are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Slot {
    /// Rows whose time is NULL.
    Null,
    /// A day, in days since 1970-01-01.
    Day(i64),
    /// An hour, in hours since 1970-01-01T00:00Z.
    Hour(i64),
}

impl Slot {
    /// The day that contains the slot, in days since 1970-01-01.
    fn days(self) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Day(days) => Some(days),
            Self::Hour(hours) => Some(hours.div_euclid(HOURS_PER_DAY)),
        }
    }

    /// The start, in hours since 1970-01-01T00:00Z. Rows without a time come first.
    pub(super) fn start(self) -> i64 {
        match self {
            Self::Null => i64::MIN,
            Self::Day(days) => days * HOURS_PER_DAY,
            Self::Hour(hours) => hours,
        }
    }

    /// The end, in hours since 1970-01-01T00:00Z; `None` without a time.
    pub(super) fn end(self) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Day(days) => Some((days + 1) * HOURS_PER_DAY),
            Self::Hour(hours) => Some(hours + 1),
        }
    }

    /// The slot of the day that contains it.
    pub(super) fn day(self) -> Self {
        self.days().map_or(Self::Null, Self::Day)
    }

    /// Whether a file of this slot contains the rows of `other`.
    pub(super) fn covers(self, other: Self) -> bool {
        self == other || self == other.day()
    }

    /// The value of the partition column, `YYYY-MM-DD`, or `None` for NULL.
    pub(super) fn date(self) -> Option<String> {
        let days = self.days()?;
        let (year, month, day) = civil_from_days(days);
        Some(format!("{year:04}-{month:02}-{day:02}"))
    }

    /// The next slot in time.
    fn next(self) -> Option<Self> {
        match self {
            Self::Null => None,
            Self::Day(days) => Some(Self::Day(days + 1)),
            Self::Hour(hours) => Some(Self::Hour(hours + 1)),
        }
    }

    /// Parses the name by which a slot is displayed.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        if name == "null" {
            return Some(Self::Null);
        }
        match name.split_once('T') {
            Some((date, hour)) => {
                let hours = days_of(date)? * HOURS_PER_DAY + hour.parse::<i64>().ok()?;
                Some(Self::Hour(hours))
            }
            None => days_of(name).map(Self::Day),
        }
    }

    /// The path of a new data file: `date=2026-11-22/T10-<unique>.parquet`. The name contains the hour, so that a commit
    /// finds the files of a slot without reading them.
    pub(super) fn new_path(self, unique: u128) -> Path {
        let partition = self.date().unwrap_or_else(|| NULL_PARTITION.to_owned());
        let kind = match self {
            Self::Hour(hours) => format!("T{:02}", hours.rem_euclid(HOURS_PER_DAY)),
            Self::Day(_) => "day".to_owned(),
            Self::Null => "null".to_owned(),
        };
        Path::from(format!("date={partition}/{kind}-{unique:032x}.parquet"))
    }

    /// The slot of a data file, from a path made by [`Slot::new_path`].
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let (partition, name) = path.strip_prefix("date=")?.split_once('/')?;
        let (kind, _) = name.split_once('-')?;
        if kind == "null" {
            return (partition == NULL_PARTITION).then_some(Self::Null);
        }
        let days = days_of(partition)?;
        match kind.strip_prefix('T') {
            Some(hour) => Some(Self::Hour(days * HOURS_PER_DAY + hour.parse::<i64>().ok()?)),
            None => (kind == "day").then_some(Self::Day(days)),
        }
    }
}

/// Slots as the ledger stores them: sorted, and consecutive ones joined into a range, `2026-11-22T10..2026-11-22T12`.
pub(super) fn names(slots: &BTreeSet<Slot>) -> Vec<String> {
    let mut ranges: Vec<(Slot, Slot)> = Vec::new();
    for &slot in slots {
        match ranges.last_mut() {
            Some((_, last)) if last.next() == Some(slot) => *last = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    let name = |(first, last): (Slot, Slot)| match first == last {
        true => first.to_string(),
        false => format!("{first}..{last}"),
    };
    ranges.into_iter().map(name).collect()
}

/// The slots with these names. `None` if a name can't be parsed.
pub(super) fn named(names: &[String]) -> Option<BTreeSet<Slot>> {
    let mut slots = BTreeSet::new();
    for name in names {
        let (first, last) = name.split_once("..").unwrap_or((name, name));
        let (mut slot, last) = (Slot::of_name(first)?, Slot::of_name(last)?);
        slots.insert(slot);
        while slot < last {
            slot = slot.next()?;
            slots.insert(slot);
        }
    }
    Some(slots)
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.date(), self) {
            (Some(date), Self::Hour(hours)) => {
                write!(f, "{date}T{:02}", hours.rem_euclid(HOURS_PER_DAY))
            }
            (Some(date), _) => f.write_str(&date),
            (None, _) => f.write_str("null"),
        }
    }
}

/// The days since 1970-01-01 of a date `YYYY-MM-DD`.
fn days_of(date: &str) -> Option<i64> {
    // The year may have a sign.
    let mut parts = date.rsplitn(3, '-');
    let mut next = || parts.next()?.parse::<i64>().ok();
    let (day, month, year) = (next()?, next()?, next()?);
    Some(days_from_civil(year, month, day))
}

/// Cuts the rows of a slot column into runs of the same slot.
pub(super) fn runs(column: &ArrayRef) -> Vec<(Slot, Range<usize>)> {
    let slot_of: Box<dyn Fn(usize) -> Slot> = match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            Box::new(|row| Slot::Hour(times.value(row).div_euclid(MICROSECONDS_PER_HOUR)))
        }
        _ => {
            let days = column.as_primitive::<Date32Type>();
            Box::new(|row| Slot::Day(i64::from(days.value(row))))
        }
    };
    let mut runs: Vec<(Slot, Range<usize>)> = Vec::new();
    for row in 0..column.len() {
        let slot = if column.is_null(row) {
            Slot::Null
        } else {
            slot_of(row)
        };
        match runs.last_mut() {
            Some((last, range)) if *last == slot => range.end = row + 1,
            _ => runs.push((slot, row..row + 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn a_path_says_its_slot() {
        for slot in [
            Slot::Hour(498_610),
            Slot::Hour(-1),
            Slot::Day(20_779),
            Slot::Day(0),
            Slot::Null,
        ] {
            let path = slot.new_path(7);
            assert_eq!(Slot::of_path(path.as_ref()), Some(slot), "{path}");
        }
        assert!(
            Slot::Hour(498_706)
                .new_path(7)
                .as_ref()
                .starts_with("date=2026-11-22/T10-")
        );
        assert_eq!(Slot::of_path("part-0001.parquet"), None);
        assert_eq!(Slot::of_path("date=2026-11-22/part-0001.parquet"), None);
    }

    #[test]
    fn names_say_their_slots() {
        let slots = |slots: &[Slot]| slots.iter().copied().collect::<BTreeSet<_>>();
        let some = slots(&[
            Slot::Null,
            Slot::Hour(498_706),
            Slot::Hour(498_707),
            Slot::Hour(498_708),
            Slot::Hour(-1),
        ]);
        assert_eq!(
            names(&some),
            ["null", "1969-12-31T23", "2026-11-22T10..2026-11-22T12"]
        );
        assert_eq!(named(&names(&some)), Some(some));
        let days = slots(&[Slot::Day(20_779), Slot::Day(20_781)]);
        assert_eq!(named(&names(&days)), Some(days));
        assert_eq!(named(&["T".to_owned()]), None);
    }

    #[test]
    fn a_day_covers_its_hours() {
        assert!(Slot::Day(1).covers(Slot::Hour(24)));
        assert!(Slot::Day(1).covers(Slot::Hour(47)));
        assert!(!Slot::Day(1).covers(Slot::Hour(48)));
        assert!(Slot::Day(-1).covers(Slot::Hour(-1)));
        assert!(Slot::Null.covers(Slot::Null));
        assert!(!Slot::Null.covers(Slot::Hour(0)));
        assert!(!Slot::Hour(24).covers(Slot::Day(1)));
    }

    #[test]
    fn rows_are_cut_where_the_slot_changes() {
        let hour = MICROSECONDS_PER_HOUR;
        let times = TimestampMicrosecondArray::from(vec![
            None,
            Some(-1),
            Some(0),
            Some(hour - 1),
            Some(hour),
        ]);
        let times: ArrayRef = Arc::new(times);
        assert_eq!(
            runs(&times),
            [
                (Slot::Null, 0..1),
                (Slot::Hour(-1), 1..2),
                (Slot::Hour(0), 2..4),
                (Slot::Hour(1), 4..5)
            ]
        );
        let days: ArrayRef = Arc::new(Date32Array::from(vec![3, 3, 4]));
        assert_eq!(runs(&days), [(Slot::Day(3), 0..2), (Slot::Day(4), 2..3)]);
    }
}
