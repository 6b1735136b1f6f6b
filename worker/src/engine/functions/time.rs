//! Trino's functions of time. Days and hours are those of the instant's time zone.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, MAX_INLINE_VIEW_LEN,
    StringViewArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use datafusion::common::{DataFusionError, Result};

use super::zoned::{
    instant_types, local_days, local_milliseconds, milliseconds, of_milliseconds, zone_of,
};
use super::{Scalar, map_text, returns_bigint, returns_timestamp, text_values, timestamp_type};
use logmill_trino::calendar::{Unit, UnitError};
use logmill_trino::{civil, iso8601};

pub(super) const DATE_ADD: &str = "date_add";

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

pub(super) fn functions() -> Vec<Scalar> {
    let part = |name, evaluate| {
        let instants = instant_types()
            .into_iter()
            .map(|instant| vec![instant])
            .collect();
        Scalar::overloaded(name, instants, returns_bigint, evaluate)
    };
    vec![
        Scalar::new(
            "from_iso8601_timestamp",
            vec![DataType::Utf8View],
            returns_timestamp,
            from_iso8601_timestamp,
        ),
        Scalar::overloaded(
            "date_trunc",
            instant_types()
                .into_iter()
                .map(|instant| vec![DataType::Utf8View, instant])
                .collect(),
            |arguments| arguments[1].clone(),
            date_trunc,
        ),
        Scalar::overloaded(
            "to_unixtime",
            instant_types()
                .into_iter()
                .map(|instant| vec![instant])
                .collect(),
            |_| DataType::Float64,
            |args| {
                let seconds = milliseconds(&args[0])?.unary(|instant| instant as f64 / 1000.0);
                let seconds: Float64Array = seconds;
                Ok(Arc::new(seconds))
            },
        ),
        Scalar::overloaded(
            "date",
            instant_types()
                .into_iter()
                .map(|instant| vec![instant])
                .collect(),
            |_| DataType::Date32,
            |args| Ok(Arc::new(local_days(&args[0])?)),
        ),
        Scalar::overloaded(
            DATE_ADD,
            instant_types()
                .into_iter()
                .map(|instant| vec![DataType::Utf8View, DataType::Int64, instant])
                .collect(),
            |arguments| arguments[2].clone(),
            date_add,
        ),
        Scalar::overloaded(
            "date_diff",
            instant_types()
                .into_iter()
                .map(|instant| vec![DataType::Utf8View, instant.clone(), instant])
                .collect(),
            returns_bigint,
            date_diff,
        ),
        part("year", |args| civil(args, |date, _| date.year)),
        part("month", |args| civil(args, |date, _| date.month)),
        part("quarter", |args| {
            civil(args, |date, _| (date.month + 2) / 3)
        }),
        part("day", |args| civil(args, |date, _| date.day)).with_alias("day_of_month"),
        part("day_of_week", |args| {
            civil(args, |_, day| (day + 3).rem_euclid(7) + 1)
        })
        .with_alias("dow"),
        part("day_of_year", |args| {
            civil(args, |date, day| {
                day - civil::days_from_civil(date.year, 1, 1) + 1
            })
        })
        .with_alias("doy"),
        part("week", |args| {
            civil(args, |_, day| {
                let thursday = thursday_of(day);
                let (year, ..) = civil::civil_from_days(thursday);
                (thursday - civil::days_from_civil(year, 1, 1)) / 7 + 1
            })
        })
        .with_alias("week_of_year"),
        part("year_of_week", |args| {
            civil(args, |_, day| civil::civil_from_days(thursday_of(day)).0)
        })
        .with_alias("yow"),
        part("hour", |args| clock(args, |of_day| of_day / 3_600_000)),
        part("minute", |args| clock(args, |of_day| of_day / 60_000 % 60)),
        part("second", |args| clock(args, |of_day| of_day / 1000 % 60)),
        part("millisecond", |args| clock(args, |of_day| of_day % 1000)),
    ]
}

pub(super) fn execution_error(error: impl ToString) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

fn from_iso8601_timestamp(args: &[ArrayRef]) -> Result<ArrayRef> {
    let instants = map_text(&args[0], |text| {
        iso8601::from_iso8601_timestamp(text)
            .map(Some)
            .map_err(execution_error)
    })?;
    Ok(Arc::new(
        TimestampMillisecondArray::from(instants).with_data_type(timestamp_type()),
    ))
}

fn date_trunc(args: &[ArrayRef]) -> Result<ArrayRef> {
    let units = text_values(&args[0])?;
    if args[1].data_type() == &DataType::Date32 {
        let days = args[1].as_primitive::<Date32Type>().iter();
        let mut last = LastUnit::new(Unit::of_date);
        let truncated = units.iter().zip(days).map(|(unit, day)| match (unit, day) {
            (Some(unit), Some(day)) => {
                let day = last.unit(unit)?.floor_days(i64::from(day));
                i32::try_from(day).map(Some).map_err(execution_error)
            }
            _ => Ok(None),
        });
        return Ok(Arc::new(truncated.collect::<Result<Date32Array>>()?));
    }
    let zone = zone_of(args[1].data_type())?;
    let floor = |unit: Unit, instant| match zone.is_utc() {
        true => unit.floor_millis(instant),
        false => zone.floor(unit, instant),
    };
    let instants = milliseconds(&args[1])?;
    let of_all = only_text(units).and_then(|unit| Unit::of_timestamp(unit).ok());
    let truncated: TimestampMillisecondArray = if let Some(unit) = of_all {
        instants.unary(|instant| floor(unit, instant))
    } else {
        let mut last = LastUnit::new(Unit::of_timestamp);
        let rows = units.iter().zip(&instants);
        let truncated = rows.map(|row| match row {
            (Some(unit), Some(instant)) => Ok(Some(floor(last.unit(unit)?, instant))),
            _ => Ok(None),
        });
        truncated.collect::<Result<_>>()?
    };
    of_milliseconds(truncated, args[1].data_type())
}

/// The text that all rows have, if it is one short text, as a literal is.
fn only_text(texts: &StringViewArray) -> Option<&str> {
    let first = *texts.views().first()?;
    // The low 32 bits of a view are the text's length. A view of a short text holds all of it, so equal views are equal texts.
    let is_short = first as u32 <= MAX_INLINE_VIEW_LEN;
    let is_only = texts.null_count() == 0 && texts.views().iter().all(|view| *view == first);
    (is_short && is_only).then(|| texts.value(0))
}

fn date_add(args: &[ArrayRef]) -> Result<ArrayRef> {
    let is_date = args[2].data_type() == &DataType::Date32;
    let mut last = LastUnit::new(match is_date {
        true => Unit::of_date,
        false => Unit::of_timestamp,
    });
    let units = text_values(&args[0])?.iter();
    let counts = args[1].as_primitive::<Int64Type>();
    let before = milliseconds(&args[2])?;
    let zone = zone_of(args[2].data_type())?;
    let rows = units.zip(counts).zip(&before);
    let later = rows.map(|((unit, count), instant)| match (unit, count, instant) {
        (Some(unit), Some(count), Some(instant)) => zone
            .add(last.unit(unit)?, count, instant)
            .filter(|&later| is_held(later))
            .map(Some)
            .ok_or_else(|| execution_error("date_add() overflow")),
        _ => Ok(None),
    });
    let later = later.collect::<Result<TimestampMillisecondArray>>()?;
    if is_date {
        let days = later.unary::<_, Date32Type>(|instant| (instant / MILLISECONDS_PER_DAY) as i32);
        return Ok(Arc::new(days));
    }
    of_milliseconds(later, args[2].data_type())
}

fn date_diff(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut last = LastUnit::new(match args[1].data_type() {
        DataType::Date32 => Unit::of_date,
        _ => Unit::of_timestamp,
    });
    let units = text_values(&args[0])?.iter();
    let zone = zone_of(args[1].data_type())?;
    let (from, to) = (milliseconds(&args[1])?, milliseconds(&args[2])?);
    let rows = units.zip(&from).zip(&to);
    let differences = rows.map(|((unit, from), to)| match (unit, from, to) {
        (Some(unit), Some(from), Some(to)) => zone
            .difference(last.unit(unit)?, from, to)
            .map(Some)
            .ok_or_else(|| execution_error("date_diff() overflow")),
        _ => Ok(None),
    });
    Ok(Arc::new(differences.collect::<Result<Int64Array>>()?))
}

/// The unit that was parsed last. It is nearly always one literal for all rows.
struct LastUnit<'a> {
    parse: fn(&str) -> std::result::Result<Unit, UnitError>,
    last: Option<(&'a str, Unit)>,
}

impl<'a> LastUnit<'a> {
    fn new(parse: fn(&str) -> std::result::Result<Unit, UnitError>) -> Self {
        Self { parse, last: None }
    }

    fn unit(&mut self, name: &'a str) -> Result<Unit> {
        match self.last {
            Some((last, unit)) if last == name => Ok(unit),
            _ => {
                let unit = (self.parse)(name).map_err(execution_error)?;
                self.last = Some((name, unit));
                Ok(unit)
            }
        }
    }
}

/// Instants in milliseconds from seconds.
pub(super) fn from_unixtime(seconds: &Float64Array) -> Result<TimestampMillisecondArray> {
    seconds.try_unary(|seconds| {
        let millis = (seconds * 1000.0).round() as i64;
        match is_held(millis) {
            true => Ok(millis),
            false => Err(execution_error(format!("Millis overflow: {millis}"))),
        }
    })
}

/// Whether Trino can represent the instant: it stores the instant in 52 bits, and the zone in the rest.
fn is_held(instant: i64) -> bool {
    instant << 12 >> 12 == instant
}

/// The Thursday of a day's week. It determines the year to which the week belongs.
fn thursday_of(day: i64) -> i64 {
    day - (day + 3).rem_euclid(7) + 3
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
}

fn civil(args: &[ArrayRef], part: fn(Civil, i64) -> i64) -> Result<ArrayRef> {
    let days = local_days(&args[0])?;
    let parts: Int64Array = days.unary(|day| {
        let day = i64::from(day);
        let (year, month, of_month) = civil::civil_from_days(day);
        let date = Civil {
            year,
            month,
            day: of_month,
        };
        part(date, day)
    });
    Ok(Arc::new(parts))
}

fn clock(args: &[ArrayRef], part: fn(i64) -> i64) -> Result<ArrayRef> {
    let parts: Int64Array =
        local_milliseconds(&args[0])?.unary(|local| part(local.rem_euclid(MILLISECONDS_PER_DAY)));
    Ok(Arc::new(parts))
}
