//! Checks that a value's type does not guarantee, such as that a double is finite; and the days and slots of times.

use std::ops::RangeInclusive;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::{Result, exec_err, internal_err};
use logmill_trino::civil::{civil_from_days, days_from_civil};

use crate::engine::fallible;

/// A requirement on a computed value beyond its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// A finite double: t-digests and histograms accept no others.
    Finite,
    /// A weight of a value in a t-digest.
    Weight,
    /// A time in the years 1 to 9999, the range that Delta's readers support.
    Storable,
}

/// The check that values of this type need before a table stores them.
pub(super) fn stored_check(data_type: &DataType) -> Option<Check> {
    fallible::has_unstorable_values(data_type).then_some(Check::Storable)
}

impl Check {
    /// Fails if a value of the column violates the check in a row where it matters.
    pub(super) fn check(self, column: &ArrayRef, matters: Option<&BooleanArray>) -> Result<()> {
        let matters = |row: usize| matters.is_none_or(|matters| matters.value(row));
        match self {
            Self::Finite => {
                let numbers = column.as_primitive::<Float64Type>().iter().enumerate();
                for (row, number) in numbers {
                    if let Some(number) = number.filter(|number| !number.is_finite())
                        && matters(row)
                    {
                        return exec_err!(
                            "{number} cannot be added to a t-digest or a histogram: it is not finite"
                        );
                    }
                }
            }
            Self::Weight => {
                let weights = column.as_primitive::<Float64Type>().iter().enumerate();
                for (row, weight) in weights {
                    let is_weight = |weight: &f64| weight.is_finite() && *weight >= 1.0;
                    if let Some(weight) = weight.filter(|weight| !is_weight(weight))
                        && matters(row)
                    {
                        return exec_err!(
                            "{weight} is no weight of a value: weights are finite and at least 1"
                        );
                    }
                }
            }
            Self::Storable => {
                let storable = days_from_civil(1, 1, 1)..=days_from_civil(9999, 12, 31);
                let times = Times::of(column)?;
                for row in times.beyond(&storable) {
                    if column.is_valid(row) && matters(row) {
                        let (year, month, day) = civil_from_days(times.day(row));
                        return exec_err!(
                            "a table cannot store the date {year:04}-{month:02}-{day:02}: readers of the table support the years 1 to 9999"
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

/// The values of a time column.
pub(super) enum Times<'a> {
    /// Days since 1970.
    Days(&'a [i32]),
    /// Time since 1970 in some unit, and the number of these units in a day.
    Units(&'a [i64], i64),
}

impl<'a> Times<'a> {
    pub(super) fn of(column: &'a ArrayRef) -> Result<Self> {
        use DataType::{Date32, Timestamp};
        let day = 86_400;
        Ok(match column.data_type() {
            Date32 => Self::Days(column.as_primitive::<Date32Type>().values()),
            Timestamp(TimeUnit::Second, _) => {
                Self::Units(column.as_primitive::<TimestampSecondType>().values(), day)
            }
            Timestamp(TimeUnit::Millisecond, _) => {
                let values = column.as_primitive::<TimestampMillisecondType>().values();
                Self::Units(values, 1000 * day)
            }
            Timestamp(TimeUnit::Microsecond, _) => {
                let values = column.as_primitive::<TimestampMicrosecondType>().values();
                Self::Units(values, 1_000_000 * day)
            }
            Timestamp(TimeUnit::Nanosecond, _) => {
                let values = column.as_primitive::<TimestampNanosecondType>().values();
                Self::Units(values, 1_000_000_000 * day)
            }
            other => return internal_err!("expected a date or a timestamp, got {other}"),
        })
    }

    /// Indices of the rows whose day is outside this range. NULL rows are checked too.
    fn beyond(&self, days: &RangeInclusive<i64>) -> Vec<usize> {
        match *self {
            Self::Days(values) => rows_where(values, |&day| !days.contains(&i64::from(day))),
            Self::Units(values, per_day) => {
                let first = days.start().saturating_mul(per_day);
                let last = (days.end() + 1).saturating_mul(per_day) - 1;
                rows_where(values, |time| !(first..=last).contains(time))
            }
        }
    }

    fn day(&self, row: usize) -> i64 {
        match *self {
            Self::Days(values) => i64::from(values[row]),
            Self::Units(values, per_day) => values[row].div_euclid(per_day),
        }
    }

    /// The slot that a row belongs to: its hour, or its day if only the day is known.
    pub(super) fn slot(&self, row: usize) -> i64 {
        match *self {
            Self::Days(values) => i64::from(values[row]),
            Self::Units(values, per_day) => values[row].div_euclid(per_day / 24),
        }
    }
}

/// The indices of the values for which this holds.
fn rows_where<T>(values: &[T], is: impl Fn(&T) -> bool) -> Vec<usize> {
    // Nearly always it holds for none, which a loop without branches finds out several times faster.
    if !values.iter().fold(false, |any, value| any | is(value)) {
        return Vec::new();
    }
    (0..values.len()).filter(|&row| is(&values[row])).collect()
}
