//! Which log files a query's conditions exclude, by the dates in their paths and names.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Schema};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator};
use logmill_shared::LogFile;

use crate::format::{DELIVERY_DAY, LogFormat, OfFile, ScanColumn};
use crate::intake::span::Span;

/// The longest interval of a log file. Its name has the interval's end.
const INTERVAL_MAX: TimeDelta = TimeDelta::hours(1);

/// How far the times of a log file's lines may be outside its interval, because clocks differ.
const SKEW_MAX: TimeDelta = TimeDelta::hours(1);

/// The first and the last time that a condition leaves; `None` if it sets no limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Range {
    from: Option<NaiveDateTime>,
    to: Option<NaiveDateTime>,
}

impl Range {
    fn at(time: NaiveDateTime) -> Self {
        Self {
            from: Some(time),
            to: Some(time),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            from: [self.from, other.from].into_iter().flatten().max(),
            to: [self.to, other.to].into_iter().flatten().min(),
        }
    }

    fn or(self, other: Self) -> Self {
        let both = |one: Option<_>, two: Option<_>| one.zip(two);
        Self {
            from: both(self.from, other.from).map(|(one, two)| one.min(two)),
            to: both(self.to, other.to).map(|(one, two)| one.max(two)),
        }
    }

    fn has(self, time: NaiveDateTime) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time <= to)
    }
}

/// The limits that a query's conditions set.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Of the column `day`: the days of date folders.
    delivery: Range,
    /// Of the lines' own times.
    time: Range,
}

impl Limits {
    /// The limits that follow from all of these conditions together.
    pub(super) fn of(conditions: &[Expr], format: &LogFormat) -> Self {
        let each = conditions.iter().map(|each| Self::of_one(each, format));
        each.fold(Self::default(), Self::and)
    }

    fn and(self, other: Self) -> Self {
        Self {
            delivery: self.delivery.and(other.delivery),
            time: self.time.and(other.time),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            delivery: self.delivery.or(other.delivery),
            time: self.time.or(other.time),
        }
    }

    fn of_one(condition: &Expr, format: &LogFormat) -> Self {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => Self::of_one(left, format).and(Self::of_one(right, format)),
                Operator::Or => Self::of_one(left, format).or(Self::of_one(right, format)),
                op => {
                    let limits = compared(left, *op, right, format);
                    limits.or_else(|| compared(right, op.swap()?, left, format))
                }
                .unwrap_or_default(),
            },
            Expr::Between(Between {
                expr,
                negated: false,
                low,
                high,
            }) => {
                let low = compared(expr, Operator::GtEq, low, format).unwrap_or_default();
                let high = compared(expr, Operator::LtEq, high, format).unwrap_or_default();
                low.and(high)
            }
            Expr::InList(InList {
                expr,
                list,
                negated: false,
            }) => {
                let each = list
                    .iter()
                    .map(|item| compared(expr, Operator::Eq, item, format).unwrap_or_default());
                each.reduce(Self::or).unwrap_or_default()
            }
            Expr::Like(Like {
                negated: false,
                expr,
                pattern,
                case_insensitive: false,
                ..
            }) => compared(expr, Operator::Eq, pattern, format).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// The span of time whose folders have to be listed; `None` for all.
    pub(super) fn span(self) -> Option<Span> {
        let Range { from, to } = self.delivery.and(self.time);
        if from.is_none() && to.is_none() {
            return None;
        }
        let from = from.map_or(DateTime::UNIX_EPOCH, |from| from.and_utc());
        // The end of a span is exclusive.
        let to = to.and_then(|to| to.checked_add_signed(TimeDelta::minutes(1)));
        let to = to.map_or(DateTime::<Utc>::MAX_UTC, |to| to.and_utc());
        Some(Span::new(from, to).ok()?.by_folders())
    }

    /// Whether a log file may have lines at these times. Only names that AWS gives count, because only their times are
    /// known to be those of the lines.
    pub(super) fn may_have(self, log_file: &LogFile) -> bool {
        let end = log_file
            .given_name()
            .and_then(|_| log_file.interval_end())
            .and_then(|end| NaiveDateTime::parse_from_str(end, "%Y%m%dT%H%MZ").ok());
        let Some(end) = end else {
            return true;
        };
        let wide = Range {
            from: self
                .time
                .from
                .and_then(|from| from.checked_sub_signed(SKEW_MAX)),
            to: self
                .time
                .to
                .and_then(|to| to.checked_add_signed(INTERVAL_MAX + SKEW_MAX)),
        };
        wide.has(end)
    }
}

/// The limits that follow from a comparison of a value with a literal.
fn compared(value: &Expr, op: Operator, with: &Expr, format: &LogFormat) -> Option<Limits> {
    let Expr::Literal(literal, _) = with else {
        return None;
    };
    let (is_delivery, with) = match value {
        Expr::Column(column) if column.name == DELIVERY_DAY => (true, of_day(literal)?),
        Expr::Column(column) if column.name == format.time_column => (false, of_time(literal)?),
        value if is_time(value, format) => (false, of_instant(literal)?),
        _ => return None,
    };
    let Range { from, to } = with;
    let range = match op {
        Operator::Eq => with,
        Operator::Gt | Operator::GtEq => Range { from, to: None },
        Operator::Lt | Operator::LtEq => Range { from: None, to },
        _ => return None,
    };
    let none = Range::default();
    let (delivery, time) = match is_delivery {
        true => (range, none),
        false => (none, range),
    };
    Some(Limits { delivery, time })
}

/// Whether the expression is the time of the line, or its day.
fn is_time(value: &Expr, format: &LogFormat) -> bool {
    match value {
        Expr::Cast(cast) => is_time(&cast.expr, format),
        Expr::Column(column) => column.name == ScanColumn::Time.name(format),
        Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
            ("from_iso8601_timestamp", [Expr::Column(time)]) => time.name == format.time_column,
            ("date" | "cast", [time, ..]) => is_time(time, format),
            _ => false,
        },
        _ => false,
    }
}

/// The day that a text such as `2026/11/20` names, or a text or pattern that begins with it.
fn of_day(literal: &ScalarValue) -> Option<Range> {
    let text = literal.try_as_str()??;
    let day = NaiveDate::parse_from_str(text.get(..10)?, "%Y/%m/%d").ok()?;
    within(day.and_time(NaiveTime::MIN), TimeDelta::days(1))
}

/// The times that a text such as `2026-11-20T10` begins, to the hour, the minute or the day. Texts are compared as texts, so
/// what follows in the literal decides only within these times.
fn of_time(literal: &ScalarValue) -> Option<Range> {
    let text = literal.try_as_str()??;
    let parse = |text: String| NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M").ok();
    let minute = text.get(..16).and_then(|text| parse(text.to_owned()));
    let hour = text.get(..13).and_then(|text| parse(format!("{text}:00")));
    let day = text
        .get(..10)
        .and_then(|text| parse(format!("{text}T00:00")));
    minute
        .and_then(|minute| within(minute, TimeDelta::minutes(1)))
        .or_else(|| within(hour?, TimeDelta::hours(1)))
        .or_else(|| within(day?, TimeDelta::days(1)))
}

fn of_instant(literal: &ScalarValue) -> Option<Range> {
    let time = match literal {
        ScalarValue::TimestampSecond(Some(time), _) => DateTime::from_timestamp(*time, 0)?,
        ScalarValue::TimestampMillisecond(Some(time), _) => DateTime::from_timestamp_millis(*time)?,
        ScalarValue::TimestampMicrosecond(Some(time), _) => DateTime::from_timestamp_micros(*time)?,
        ScalarValue::TimestampNanosecond(Some(time), _) => DateTime::from_timestamp_nanos(*time),
        ScalarValue::Date32(Some(days)) => {
            let day = DateTime::from_timestamp(i64::from(*days) * 86_400, 0)?;
            return within(day.naive_utc(), TimeDelta::days(1));
        }
        _ => return None,
    };
    Some(Range::at(time.naive_utc()))
}

fn within(start: NaiveDateTime, length: TimeDelta) -> Option<Range> {
    Some(Range {
        from: Some(start),
        to: Some(start.checked_add_signed(length)?),
    })
}

/// The days of date folders that pass the conditions that depend on nothing but the column `day`.
pub(super) fn passing_days(
    days: &[Option<String>],
    conditions: &[Expr],
    state: &dyn Session,
) -> Result<Vec<bool>> {
    let schema = Arc::new(Schema::new(vec![Field::new(
        DELIVERY_DAY,
        ScanColumn::OfFile(OfFile::Day).data_type(),
        true,
    )]));
    let planned = DFSchema::try_from(Arc::clone(&schema))?;
    let column: ArrayRef = Arc::new(
        days.iter()
            .map(Option::as_deref)
            .collect::<StringViewArray>(),
    );
    let batch = RecordBatch::try_new(schema, vec![column])?;
    let mut passing = vec![true; days.len()];
    for condition in conditions {
        let columns = condition.column_refs();
        if columns.is_empty() || columns.iter().any(|column| column.name != DELIVERY_DAY) {
            continue;
        }
        let condition = state.create_physical_expr(unqualified(condition.clone())?, &planned)?;
        // The query itself reports a condition that fails.
        let Ok(values) = condition.evaluate(&batch) else {
            continue;
        };
        let values = values.into_array(days.len())?;
        for (passes, value) in passing.iter_mut().zip(values.as_boolean()) {
            *passes &= value == Some(true);
        }
    }
    Ok(passing)
}

/// The expression over columns without the names of their tables.
fn unqualified(expr: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let expr = expr.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                let column = datafusion::common::Column::new_unqualified(column.name);
                Transformed::yes(Expr::Column(column))
            }
            other => Transformed::no(other),
        })
    });
    Ok(expr?.data)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;
    use crate::format::ALB_ACCESS_LOGS;

    fn time(day: u32, hour: u32) -> Option<NaiveDateTime> {
        NaiveDate::from_ymd_opt(2026, 11, day)?.and_hms_opt(hour, 0, 0)
    }

    fn limits(condition: &Expr) -> (Range, Range) {
        let Limits { delivery, time } =
            Limits::of(std::slice::from_ref(condition), &ALB_ACCESS_LOGS);
        (delivery, time)
    }

    #[test]
    fn conditions_limit_days() {
        let delivered = |condition: Expr, from, to| {
            let none = Range::default();
            let range = Range { from, to };
            assert_eq!(limits(&condition), (range, none), "{condition}");
        };
        let one = col("day").eq(lit("2026/11/20"));
        delivered(one.clone(), time(20, 0), time(21, 0));
        delivered(lit("2026/11/20").lt(col("day")), time(20, 0), None);
        let other = col("day").eq(lit("2026/11/22"));
        delivered(one.clone().or(other), time(20, 0), time(23, 0));
        let elb = col("elb").eq(lit("x"));
        delivered(one.clone().or(elb.clone()), None, None);
        delivered(one.and(elb), time(20, 0), time(21, 0));
        let days = vec![lit("2026/11/20"), lit("2026/11/22")];
        let between = col("day").between(days[0].clone(), days[1].clone());
        delivered(between, time(20, 0), time(23, 0));
        delivered(
            col("day").in_list(days.clone(), false),
            time(20, 0),
            time(23, 0),
        );
        delivered(col("day").in_list(days, true), None, None);
        delivered(col("day").not_eq(lit("2026/11/20")), None, None);
        delivered(col("day").gt(lit("2026")), None, None);
    }

    #[test]
    fn conditions_limit_times() {
        let timed = |condition: Expr, from, to| {
            let none = Range::default();
            let range = Range { from, to };
            assert_eq!(limits(&condition), (none, range), "{condition}");
        };
        timed(
            col("time").gt_eq(lit("2026-11-20T10:00")),
            time(20, 10),
            None,
        );
        timed(
            col("time").like(lit("2026-11-20T10%")),
            time(20, 10),
            time(20, 11),
        );
        timed(col("time").lt(lit("2026-11-20 10:00")), None, time(21, 0));
        timed(col("time").like(lit("2026-1%")), None, None);
    }

    #[test]
    fn a_log_file_is_left_out_only_if_its_name_tells_its_times() {
        let hour = col("time").like(lit("2026-11-20T10:%"));
        let limits = Limits::of(&[hour], &ALB_ACCESS_LOGS);
        let named = |time: &str| {
            LogFile::new(format!(
                "s3://b/1_elasticloadbalancing_r_app.a.1_{time}_10.0.0.1_r.log.gz"
            ))
        };
        for (time, has) in [
            ("20261120T0855Z", false),
            ("20261120T0900Z", true),
            ("20261120T1005Z", true),
            ("20261120T1300Z", true),
            ("20261120T1305Z", false),
        ] {
            assert_eq!(limits.may_have(&named(time)), has, "{time}");
        }
        assert!(limits.may_have(&LogFile::new("file:///all_20261101T0005Z.log")));
    }
}
