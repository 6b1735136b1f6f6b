//! Functions that write times as texts, and read them: `date_format`, `format_datetime`, `to_iso8601`, `date_parse`,
//! `parse_datetime`, `from_iso8601_date`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, StringViewBuilder, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};
use logmill_trino::time_format::TimeFormat;
use logmill_trino::{cast as trino, iso8601, timestamp};

use super::time::execution_error;
use super::zoned::{instant_types, milliseconds, without_zone, zone_of};
use super::{Scalar, map_text, returns_text, returns_timestamp, text_values, timestamp_type};

const DATE_FORMAT: &str = "date_format";
const FORMAT_DATETIME: &str = "format_datetime";
const DATE_PARSE: &str = "date_parse";
const PARSE_DATETIME: &str = "parse_datetime";

pub(super) fn functions() -> Vec<Scalar> {
    let text = || DataType::Utf8View;
    let of_times = |with: fn(DataType) -> Vec<DataType>| {
        instant_types().into_iter().map(with).collect::<Vec<_>>()
    };
    let written = |name, evaluate| {
        let overloads = of_times(|instant| vec![instant, DataType::Utf8View]);
        Scalar::overloaded(name, overloads, returns_text, evaluate)
    };
    vec![
        written(DATE_FORMAT, |args| write(args, mysql_format)),
        written(FORMAT_DATETIME, |args| write(args, joda_format)),
        Scalar::overloaded(
            "to_iso8601",
            of_times(|instant| vec![instant]),
            returns_text,
            to_iso8601,
        ),
        Scalar::new(
            DATE_PARSE,
            vec![text(), text()],
            |_| local_type(),
            |args| {
                let times = read(args, mysql_format, |format, text| {
                    format.read_local(text).map_err(execution_error)
                })?;
                Ok(Arc::new(times.with_data_type(local_type())))
            },
        ),
        Scalar::new(
            PARSE_DATETIME,
            vec![text(), text()],
            returns_timestamp,
            |args| {
                let times = read(args, joda_format, |format, text| {
                    format.read_instant(text).map_err(execution_error)
                })?;
                Ok(Arc::new(times.with_data_type(timestamp_type())))
            },
        ),
        Scalar::new(
            "from_iso8601_date",
            vec![text()],
            |_| DataType::Date32,
            |args| {
                let days = map_text(&args[0], |text| {
                    let days = iso8601::from_iso8601_date(text).map_err(execution_error)?;
                    i32::try_from(days).map(Some).map_err(execution_error)
                })?;
                Ok(Arc::new(Date32Array::from(days)))
            },
        ),
    ]
}

/// Trino's `timestamp(3)`, a local time.
fn local_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn mysql_format(pattern: &str) -> Result<TimeFormat> {
    TimeFormat::of_mysql(pattern).map_err(execution_error)
}

fn joda_format(pattern: &str) -> Result<TimeFormat> {
    TimeFormat::of_joda(pattern).map_err(execution_error)
}

/// The format that was parsed last. It is nearly always one literal for all rows.
struct LastFormat<'a> {
    parse: fn(&str) -> Result<TimeFormat>,
    last: Option<(&'a str, TimeFormat)>,
}

impl<'a> LastFormat<'a> {
    fn of(&mut self, pattern: &'a str) -> Result<&TimeFormat> {
        match &self.last {
            Some((parsed, _)) if *parsed == pattern => {}
            _ => self.last = Some((pattern, (self.parse)(pattern)?)),
        }
        match &self.last {
            Some((_, format)) => Ok(format),
            None => exec_err!("no time pattern"),
        }
    }
}

fn write(args: &[ArrayRef], parse: fn(&str) -> Result<TimeFormat>) -> Result<ArrayRef> {
    let mut texts = StringViewBuilder::new();
    let mut last = LastFormat { parse, last: None };
    let zone = zone_of(args[0].data_type())?;
    for (instant, pattern) in milliseconds(&args[0])?.iter().zip(text_values(&args[1])?) {
        match (instant, pattern) {
            (Some(instant), Some(pattern)) => {
                texts.append_value(last.of(pattern)?.text(instant, &zone));
            }
            _ => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

fn read(
    args: &[ArrayRef],
    parse: fn(&str) -> Result<TimeFormat>,
    time: impl Fn(&TimeFormat, &str) -> Result<i64>,
) -> Result<TimestampMillisecondArray> {
    let mut last = LastFormat { parse, last: None };
    let rows = text_values(&args[0])?.iter().zip(text_values(&args[1])?);
    let times = rows.map(|row| match row {
        (Some(text), Some(pattern)) => time(last.of(pattern)?, text).map(Some),
        _ => Ok(None),
    });
    times.collect()
}

fn to_iso8601(args: &[ArrayRef]) -> Result<ArrayRef> {
    let data_type = args[0].data_type();
    let mut texts = StringViewBuilder::new();
    if data_type == &DataType::Date32 {
        for date in args[0].as_primitive::<Date32Type>() {
            texts.append_option(date.map(trino::date_to_varchar));
        }
        return Ok(Arc::new(texts.finish()));
    }
    let zone = match data_type {
        DataType::Timestamp(_, Some(_)) => Some(zone_of(data_type)?),
        _ => None,
    };
    let local = local_texts(&args[0], 'T')?;
    for (local, instant) in local.into_iter().zip(&milliseconds(&args[0])?) {
        let offset = match (instant, &zone) {
            (Some(instant), Some(zone)) => zone.offset(instant),
            _ => {
                texts.append_option(local);
                continue;
            }
        };
        let Some(offset) = timestamp::iso8601_offset(offset) else {
            return exec_err!(
                "Timezone with non-zero seconds offset cannot be rendered as ISO8601"
            );
        };
        texts.append_option(local.map(|local| local + &offset));
    }
    Ok(Arc::new(texts.finish()))
}

/// Timestamps as texts of their local times, with this character before the time of day.
pub(super) fn local_texts(array: &ArrayRef, separator: char) -> Result<Vec<Option<String>>> {
    let local = without_zone(array)?;
    Ok(match local.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = local.as_primitive::<TimestampMicrosecondType>().iter();
            let text = |time| timestamp::local_to_varchar(time, 6, separator);
            times.map(|time| time.map(text)).collect()
        }
        _ => {
            let times = milliseconds(&local)?;
            let text = |time| timestamp::local_to_varchar(time, 3, separator);
            times.iter().map(|time| time.map(text)).collect()
        }
    })
}

/// Refuses a call whose pattern is not a literal or not supported; leaves other expressions as they are.
pub(crate) fn check(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let name = func.name();
    let parse = match name {
        DATE_FORMAT | DATE_PARSE => TimeFormat::of_mysql,
        FORMAT_DATETIME | PARSE_DATETIME => TimeFormat::of_joda,
        _ => return Ok(Transformed::no(expr)),
    };
    let (Some(value), Some(Expr::Literal(pattern, _))) = (args.first(), args.get(1)) else {
        return plan_err!("{expr}: the pattern must be a literal");
    };
    let Some(Some(pattern)) = pattern.try_as_str() else {
        return Ok(Transformed::no(expr));
    };
    let format = match parse(pattern) {
        Ok(format) => format,
        Err(message) => return plan_err!("{name}: {message}"),
    };
    if matches!(name, DATE_PARSE | PARSE_DATETIME) {
        if let Err(message) = format.check_readable() {
            return plan_err!("{name} can't use the pattern '{pattern}': {message}");
        }
        if let Expr::Literal(text, _) = value
            && let Some(text) = text.try_as_str().flatten()
            && let Err(error) = format.read_instant(text)
        {
            return plan_err!("{name}('{text}', '{pattern}') fails: {error}");
        }
    }
    if format.has_zone() && name == FORMAT_DATETIME {
        let data_type = value.get_type(schema)?;
        if !matches!(data_type, DataType::Timestamp(_, Some(_)) | DataType::Null) {
            return plan_err!(
                "{name} can't use the pattern '{pattern}': a timestamp without a time zone has no zone to write"
            );
        }
    }
    Ok(Transformed::no(expr))
}

#[cfg(test)]
mod tests {
    use crate::rollup::Rollup;

    #[tokio::test]
    async fn what_can_not_be_planned_is_refused_with_the_reason() {
        for (expression, says) in [
            ("elb AT TIME ZONE 'UTC'", "takes a timestamp, not varchar"),
            (
                "at_timezone(from_iso8601_timestamp(time), elb)",
                "must be a literal",
            ),
            (
                "from_unixtime(client_port, '+15:00')",
                "not a valid time zone",
            ),
            (
                "TIMESTAMP '2026-03-29 02:30:00 Europe/Berlin'",
                "was skipped",
            ),
            ("TIMESTAMP '2026-11-31'", "not a valid timestamp"),
            ("date_parse(time, '%D')", "%D not supported"),
            ("date_parse(time, elb)", "must be a literal"),
            ("parse_datetime(time, 'yy')", "century"),
            ("parse_datetime(time, 'ZZZ')", "can't be read"),
            ("date_parse('2026-02-30', '%Y-%m-%d')", "dayOfMonth"),
            (
                "format_datetime(date_parse(time, '%Y'), 'Z')",
                "has no zone to write",
            ),
            (
                "coalesce(from_unixtime(client_port, 'Europe/Berlin'), from_unixtime(client_port))",
                "in the time zone Europe/Berlin or UTC",
            ),
        ] {
            let sql = format!("SELECT {expression} AS x FROM alb_access_logs");
            let message = Rollup::from_sql("t", &sql).await.expect_err(expression);
            assert!(message.contains(says), "{expression}: {message}");
        }
    }
}
