//! Finds the expressions of a rollup that can fail on data from a request. A line on which one fails is a failed line: it
//! is left out of that rollup, and recorded.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, Schema, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;

use super::functions::json::{self, JSON};
use super::functions::zoned::other_zone;
use super::functions::{self, arrays, in_order, lookup, unnest};
use super::sql_text::sql;

/// Upper bound for the log's own bigint columns, such as the bytes of a request or a response.
const LOG_BIGINT_MAX: u128 = 1 << 50;

/// Functions that never fail.
const NEVER_FAIL: &[&str] = &[
    "<",
    "<=",
    "<>",
    "=",
    ">",
    ">=",
    "all of",
    "any of",
    "at_timezone",
    "array of",
    "array_position",
    "between",
    "btrim",
    "ceil",
    "cardinality",
    "coalesce",
    "contains",
    "date",
    "date_format",
    "day",
    "day_of_week",
    "day_of_year",
    "exact division",
    "floor",
    "format_datetime",
    "greatest",
    "hour",
    "is_finite",
    "is_infinite",
    "is_nan",
    "json_array_contains",
    "json_array_length",
    "json_format",
    "least",
    "length",
    "lower",
    "ltrim",
    "millisecond",
    "minute",
    "month",
    "named cast",
    "nullif",
    "quarter",
    "regexp_like",
    "rtrim",
    "second",
    "sqrt",
    "starts_with",
    "substr",
    "timestamp literal",
    "to_unixtime",
    "trim",
    "truncate",
    "try",
    "try_cast",
    "upper",
    "url_encode",
    "url_extract_fragment",
    "url_extract_host",
    "url_extract_parameter",
    "url_extract_path",
    "url_extract_port",
    "url_extract_protocol",
    "url_extract_query",
    "week",
    "with_timezone",
    "year",
    "year_of_week",
    "concat",
    "substring",
    "position",
];

/// Functions whose bigint result is far from the limits of the type.
const SMALL_RESULTS: [&str; 20] = [
    "json_array_length",
    "json_size",
    "array_position",
    "cardinality",
    "day",
    "day_of_week",
    "day_of_year",
    "hour",
    "length",
    "millisecond",
    "minute",
    "month",
    "quarter",
    "second",
    "strpos",
    "url_extract_port",
    "week",
    "year",
    "year_of_week",
    "position",
];

/// Whether some values of the type can't be stored. Readers of Delta tables support only the years 1 to 9999.
pub(crate) fn has_unstorable_values(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32)
}

/// An expression that can fail on a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fallible {
    /// The expression as SQL.
    pub expression: String,
    /// What to write instead.
    pub advice: &'static str,
}

const DIVISION: &str = "division by 0 fails: write nullif(…, 0) as the divisor";

impl Fallible {
    /// Whether it is a division, which fails only if the divisor is 0.
    pub(crate) fn is_division(&self) -> bool {
        self.advice == DIVISION
    }
}

/// Whether the `WHERE` of a plan can fail for some line.
pub(crate) fn in_filter(plan: &LogicalPlan) -> Result<bool> {
    let mut found = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            in_expression(&filter.predicate, filter.input.schema(), &mut found)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(!found.is_empty())
}

/// Expressions of a plan that can fail for some line, without duplicates. `own_times`: columns of the line's own time.
pub(crate) fn in_plan(plan: &LogicalPlan, own_times: &[String]) -> Result<Vec<Fallible>> {
    let mut found = Vec::new();
    let mut aggregates = false;
    plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            aggregates = true;
            let input = aggregate.input.schema();
            for key in &aggregate.group_expr {
                stored(key, input, own_times, &mut found)?;
            }
            for expr in &aggregate.aggr_expr {
                if let Expr::AggregateFunction(call) = unwrapped(expr)
                    && is_stored(call.func.name())
                {
                    for value in &call.params.args {
                        stored(value, input, own_times, &mut found)?;
                    }
                }
            }
        }
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        node.apply_expressions(|expr| {
            in_expression(expr, &schema, &mut found)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    // Without aggregates, every row is stored.
    if let (false, LogicalPlan::Projection(projection)) = (aggregates, plan) {
        for expr in &projection.expr {
            stored(expr, projection.input.schema(), own_times, &mut found)?;
        }
    }
    Ok(found)
}

/// Whether the table stores an argument of the aggregate.
pub(crate) fn is_stored(aggregate: &str) -> bool {
    matches!(aggregate, "min" | "max" | "min_by" | "max_by")
}

/// Records a stored expression if it is a time that a table may not be able to store.
fn stored(
    expr: &Expr,
    schema: &DFSchema,
    own_times: &[String],
    found: &mut Vec<Fallible>,
) -> Result<()> {
    let is_time = has_unstorable_values(&expr.get_type(schema)?);
    let columns = expr.column_refs();
    if is_time
        && columns
            .iter()
            .any(|column| !own_times.contains(&column.name))
    {
        found.push(Fallible {
            expression: sql(unwrapped(expr)),
            advice: "a time outside the years 1 to 9999 cannot be stored: exclude such lines with WHERE",
        });
    }
    Ok(())
}

pub(crate) fn in_expression(
    expr: &Expr,
    schema: &DFSchema,
    found: &mut Vec<Fallible>,
) -> Result<()> {
    expr.apply(|expr| {
        if let Expr::ScalarFunction(call) = expr
            && let Some(within) = in_order::fallible(call)
        {
            found.extend(
                within
                    .iter()
                    .filter(|each| !found.contains(each))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        }
        if let Some(advice) = advice(expr, schema)?
            && !is_sound_constant(expr)
        {
            let fallible = Fallible {
                expression: sql(expr),
                advice,
            };
            if !found.contains(&fallible) {
                found.push(fallible);
            }
        }
        // A failure within try() becomes NULL.
        match expr {
            Expr::ScalarFunction(call) if call.name() == "try" => Ok(TreeNodeRecursion::Jump),
            _ => Ok(TreeNodeRecursion::Continue),
        }
    })?;
    Ok(())
}

/// Whether the expression has the same value for all lines, and does not fail.
fn is_sound_constant(expr: &Expr) -> bool {
    if !matches!(
        expr,
        Expr::ScalarFunction(_) | Expr::BinaryExpr(_) | Expr::Cast(_)
    ) || !expr.column_refs().is_empty()
    {
        return false;
    }
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    let none = DFSchema::empty();
    let Ok(expr) = simplifier.coerce(expr.clone(), &none) else {
        return false;
    };
    let rows = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &rows);
    let value = create_physical_expr(
        &expr,
        &none,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    );
    batch.is_ok_and(|batch| value.is_ok_and(|value| value.evaluate(&batch).is_ok()))
}

/// What to write instead of an expression that can fail by itself; `None` if it can't.
fn advice(expr: &Expr, schema: &DFSchema) -> Result<Option<&'static str>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let left_type = left.get_type(schema)?;
            match op {
                Operator::Divide | Operator::Modulo if left_type.is_integer() => {
                    let is_safe =
                        integer(right).is_some_and(|divisor| divisor != 0 && divisor != -1);
                    (!is_safe).then_some(DIVISION)
                }
                Operator::Plus | Operator::Minus if is_near_own_time(left, right) => None,
                Operator::Plus | Operator::Minus if left_type.is_temporal() => Some(
                    "a time beyond the range of its type fails: write try(…), and use the line's own time",
                ),
                Operator::Plus | Operator::Minus | Operator::Multiply if left_type.is_integer() => {
                    arithmetic(expr, schema)?
                }
                _ => None,
            }
        }
        Expr::Negative(inner) if inner.get_type(schema)?.is_integer() => arithmetic(expr, schema)?,
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(schema)?;
            let is_literal = matches!(*cast.expr, Expr::Literal(..));
            match is_literal || never_fails(&from, cast.field.data_type()) {
                true => None,
                false => Some(CAST),
            }
        }
        Expr::ScalarFunction(call) => function(call, expr, schema)?,
        Expr::AggregateFunction(call) if call.func.name() == "tdigest_agg" => digest(call),
        _ => None,
    })
}

const CAST: &str = "a value that cannot be cast fails: write try_cast, which returns NULL";
const ARITHMETIC: &str =
    "a result beyond the range of its type fails: write try(…), or cast to double";

fn function(call: &ScalarFunction, expr: &Expr, schema: &DFSchema) -> Result<Option<&'static str>> {
    let args = &call.args;
    let literal = |at: usize| args.get(at).and_then(integer);
    let is_text = |at: usize| matches!(args.get(at), Some(Expr::Literal(..)));
    let name = call.name();
    Ok(match name {
        name if NEVER_FAIL.contains(&name) || functions::never_fails(name) => None,
        name if name.starts_with(lookup::PREFIX) || unnest::is_of_unnest(name) => None,
        // The state of an exact sum.
        "cast" if matches!(expr.get_type(schema)?, DataType::Decimal128(38, 0)) => None,
        "cast" if is_text(0) => None,
        "cast" => match args.first().map(|arg| arg.get_type(schema)).transpose()? {
            Some(from) if never_fails(&from, &expr.get_type(schema)?) => None,
            _ => Some(CAST),
        },
        "addition" | "subtraction" | "multiplication" | "negation" => arithmetic(expr, schema)?,
        "abs" => match args.first().map(|arg| arg.get_type(schema)).transpose()? {
            Some(DataType::Int64) if bound(&args[0], schema)?.is_none() => Some(ARITHMETIC),
            _ => None,
        },
        "round" => match literal(1) {
            _ if args.len() == 1 => None,
            Some(digits) if digits >= 0 => None,
            _ => match args[0].get_type(schema)?.is_integer() {
                true => Some(ARITHMETIC),
                false => None,
            },
        },
        // The path was checked when the query was planned.
        name if json::has_path(name) && is_text(1) => None,
        name if json::has_path(name) => {
            Some("a path that is invalid fails: write the path as a literal")
        }
        "date_trunc" if is_text(0) => None,
        "strpos" if args.len() == 2 => None,
        "strpos" => match literal(2) {
            Some(0) | None => Some("an occurrence 0 fails: write its number as a literal"),
            Some(_) => None,
        },
        "from_utf8" if args.len() == 1 => None,
        "split_part" => match literal(2) {
            Some(1..) => None,
            _ => Some("an index below 1 fails: write the index as a number"),
        },
        "lpad" | "rpad" => {
            let fits = literal(1).is_some_and(|length| (0..=8192).contains(&length));
            match fits && is_text(2) {
                true => None,
                false => {
                    Some("a length out of range or an empty padding text fails: write literals")
                }
            }
        }
        "regexp_extract" => match literal(2) {
            Some(0) => None,
            _ if args.len() == 2 => None,
            _ => Some("a group that the pattern does not have fails: write try(…)"),
        },
        "split" => {
            let limit_fits = args.len() == 2
                || literal(2).is_some_and(|limit| (1..=i64::from(i32::MAX)).contains(&limit));
            match limit_fits && is_filled_literal(args.get(1)) {
                true => None,
                false => Some("an empty delimiter or a limit below 1 fails: write literals"),
            }
        }
        "element_at" if literal(1).is_some_and(|index| index != 0) => None,
        "element_at" => Some("the index 0 fails: write the index as a number"),
        "slice" => match (literal(1), literal(2)) {
            (Some(start), Some(0..)) if start != 0 => None,
            _ => Some("the index 0 or a length below 0 fails: write numbers"),
        },
        arrays::SUBSCRIPT => Some(
            "an index beyond the array fails: write element_at(array, index), which returns NULL",
        ),
        "array_join" if args.iter().skip(1).all(|text| is_short_literal(Some(text))) => None,
        "array_join" => Some("a text that grows beyond 65,536 bytes fails: write a short literal"),
        "width_bucket" if is_finite(args.first(), schema)? => None,
        "width_bucket" => Some("NaN fails: write try(width_bucket(…))"),
        "regexp_replace" | "replace" if args.len() == 2 => None,
        "replace" | "regexp_replace" if is_short_literal(args.get(2)) => None,
        "replace" | "regexp_replace" => Some(
            "a text that grows beyond 65,536 bytes fails: write a short literal as the replacement",
        ),
        "from_iso8601_timestamp" => {
            Some("a text that is not a time fails: write try(from_iso8601_timestamp(…))")
        }
        // The literals were read when the SQL was planned.
        "date_parse" | "parse_datetime" if is_text(0) => None,
        "from_iso8601_date" | "date_parse" | "parse_datetime" => Some(
            "a text that is not such a time fails: write try(…) around the call, which returns NULL",
        ),
        "to_iso8601" => match args.first().map(|arg| arg.get_type(schema)).transpose()? {
            Some(from) if other_zone(&from).is_some() => {
                Some("an offset that is not in whole minutes, as before 1900, fails: write try(…)")
            }
            _ => None,
        },
        "url_decode" => Some("an invalid escape sequence fails: write try(url_decode(…))"),
        "date_add"
            if literal(1).is_some_and(|count| count.abs() <= STEPS_MAX)
                && args.get(2).is_some_and(is_own_time) =>
        {
            None
        }
        "from_unixtime" | "date_add" | "date_diff" => {
            Some("a time beyond the range of its type fails: write try(…)")
        }
        _ => Some("the function fails for some values: write try(…)"),
    })
}

/// Steps of any unit up to a year that a time can be moved by, and stays far within the range of its type.
const STEPS_MAX: i64 = 100_000;

/// Whether the expression is the line's own time, which the scan has read.
fn is_own_time(expr: &Expr) -> bool {
    match unwrapped(expr) {
        Expr::Column(column) => OWN_TIMES
            .iter()
            .any(|name| column.name == format!("from_iso8601_timestamp({name})")),
        _ => false,
    }
}

/// The columns of log tables that have it.
const OWN_TIMES: [&str; 2] = ["time", "timestamp"];

/// Whether the operation moves the line's own time by a constant.
fn is_near_own_time(time: &Expr, interval: &Expr) -> bool {
    let is_small = |interval: &IntervalMonthDayNano| {
        i64::from(
            interval
                .months
                .unsigned_abs()
                .max(interval.days.unsigned_abs()),
        ) <= STEPS_MAX
    };
    is_own_time(time)
        && matches!(interval, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)
            if is_small(interval))
}

/// A t-digest accepts only finite numbers. The log's own doubles are finite.
fn digest(call: &AggregateFunction) -> Option<&'static str> {
    let value = call.params.args.first()?;
    if call.params.args.len() > 1 {
        return Some("a weight below 1 fails: write FILTER (WHERE weight >= 1)");
    }
    let is_tested = call.params.filter.as_ref().is_some_and(|filter| {
        let tested = filter.exists(|expr| {
            Ok(matches!(expr, Expr::ScalarFunction(test)
                if test.name() == "is_finite" && test.args.first() == Some(value)))
        });
        tested.unwrap_or(false)
    });
    let is_of_the_log =
        matches!(unwrapped(value), Expr::Column(column) if !column.name.contains('('));
    match is_tested || is_of_the_log {
        true => None,
        false => Some("NaN and Infinity fail: write tdigest_agg(x) FILTER (WHERE is_finite(x))"),
    }
}

/// Whether the replacement is a literal so short that a text from a request, about 8 KB at most, can't grow beyond the limit.
fn is_short_literal(replacement: Option<&Expr>) -> bool {
    match replacement.map(unwrapped) {
        Some(Expr::Literal(text, _)) => text
            .try_as_str()
            .flatten()
            .is_none_or(|text| text.len() <= 8),
        _ => false,
    }
}

/// Whether the number is an integer, or a double of the log itself.
fn is_finite(number: Option<&Expr>, schema: &DFSchema) -> Result<bool> {
    Ok(match number.map(unwrapped) {
        Some(Expr::Column(column)) if !column.name.contains('(') => true,
        Some(number) => number.get_type(schema)?.is_integer(),
        None => false,
    })
}

/// Whether the text is a literal that is not empty.
fn is_filled_literal(text: Option<&Expr>) -> bool {
    match text.map(unwrapped) {
        Some(Expr::Literal(text, _)) => text
            .try_as_str()
            .flatten()
            .is_none_or(|text| !text.is_empty()),
        _ => false,
    }
}

fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => unwrapped(&cast.expr),
        Expr::Alias(alias) => unwrapped(&alias.expr),
        expr => expr,
    }
}

fn never_fails(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Float64, Timestamp};
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::Utf8View);
    from == to
        || matches!(from, DataType::Null)
        || to == &JSON
        || (is_text(to) && from != &JSON)
        || (from.is_integer() && matches!(to, Float64 | DataType::Decimal128(38, 0)))
        || (matches!(from, DataType::Boolean) && (to.is_integer() || to == &Float64))
        || (from.is_integer() && to.is_integer() && from.primitive_width() <= to.primitive_width())
        || matches!(
            (from, to),
            (Date32, Timestamp(TimeUnit::Millisecond, _))
                | (Timestamp(..), Date32)
                | (
                    Timestamp(TimeUnit::Millisecond, _),
                    Timestamp(TimeUnit::Microsecond | TimeUnit::Millisecond, _)
                )
                | (DataType::Float32, Float64)
        )
}

fn integer(expr: &Expr) -> Option<i64> {
    match unwrapped(expr) {
        Expr::Literal(value, _) => match value {
            ScalarValue::Int64(value) => *value,
            ScalarValue::Int32(value) => value.map(i64::from),
            _ => None,
        },
        _ => None,
    }
}

fn arithmetic(expr: &Expr, schema: &DFSchema) -> Result<Option<&'static str>> {
    let largest: u128 = match expr.get_type(schema)? {
        DataType::Int8 => i8::MAX as u128,
        DataType::Int16 => i16::MAX as u128,
        DataType::Int32 => i32::MAX as u128,
        _ => i64::MAX as u128,
    };
    let fits = bound(expr, schema)?.is_some_and(|bound| bound <= largest);
    Ok((!fits).then_some(ARITHMETIC))
}

/// An upper bound for the absolute value of an integer, if known.
fn bound(expr: &Expr, schema: &DFSchema) -> Result<Option<u128>> {
    let both = |left: &Expr, right: &Expr, with: fn(u128, u128) -> Option<u128>| {
        let (left, right) = (bound(left, schema)?, bound(right, schema)?);
        Ok(left.zip(right).and_then(|(left, right)| with(left, right)))
    };
    match expr {
        Expr::Literal(..) => Ok(integer(expr).map(|value| u128::from(value.unsigned_abs()))),
        Expr::Alias(alias) => bound(&alias.expr, schema),
        Expr::Cast(cast) => match cast.expr.get_type(schema)?.is_integer() {
            true => bound(&cast.expr, schema),
            false => Ok(of_type(&expr.get_type(schema)?)),
        },
        Expr::Column(column) => Ok(match expr.get_type(schema)? {
            // A column that the scan computes from a URL is named like a function call.
            DataType::Int64 if !column.name.contains('(') => Some(LOG_BIGINT_MAX),
            other => of_type(&other),
        }),
        Expr::Negative(inner) => bound(inner, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Plus | Operator::Minus => both(left, right, u128::checked_add),
            Operator::Multiply => both(left, right, u128::checked_mul),
            Operator::Divide => bound(left, schema),
            Operator::Modulo => bound(right, schema),
            _ => Ok(None),
        },
        Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
            ("addition" | "subtraction", [left, right]) => both(left, right, u128::checked_add),
            ("multiplication", [left, right]) => both(left, right, u128::checked_mul),
            ("negation" | "abs", [inner]) => bound(inner, schema),
            (name, _) if SMALL_RESULTS.contains(&name) => Ok(Some(1 << 40)),
            _ => Ok(of_type(&expr.get_type(schema)?)),
        },
        _ => Ok(of_type(&expr.get_type(schema)?)),
    }
}

/// The bound that follows from a type smaller than bigint.
fn of_type(data_type: &DataType) -> Option<u128> {
    match data_type {
        DataType::Int8 => Some(1 << 7),
        DataType::Int16 => Some(1 << 15),
        DataType::Int32 => Some(1 << 31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::rollup::Rollup;

    #[tokio::test]
    async fn expressions_that_can_fail_are_named_in_sql() {
        let fallible = async |expression: &str| {
            let sql = format!("SELECT {expression} AS x FROM alb_access_logs");
            let rollup = Rollup::from_sql("t", &sql).await.unwrap();
            let found = rollup.fallible().iter().map(|each| each.expression.clone());
            found.collect::<Vec<String>>()
        };
        for (expression, expected) in [
            (
                "-sent_bytes * (received_bytes + 300)",
                "-sent_bytes * (received_bytes + 300)",
            ),
            (
                "regexp_extract(user_agent, 'it''s', target_port)",
                "regexp_extract(user_agent, 'it''s', target_port)",
            ),
            (
                "cast(substr(user_agent, 1, 3) AS bigint)",
                "cast(substr(user_agent, 1, 3) AS bigint)",
            ),
            (
                "from_iso8601_timestamp(user_agent) > from_iso8601_timestamp(time)",
                "from_iso8601_timestamp(user_agent)",
            ),
            (
                "date_add('hour', elb_status_code, from_iso8601_timestamp(time))",
                "date_add('hour', elb_status_code, from_iso8601_timestamp(time))",
            ),
            (
                "date_add('hour', 1, from_unixtime(sent_bytes)) - INTERVAL '90' MINUTE IS NULL",
                "date_add('hour', 1, from_unixtime(sent_bytes)) - INTERVAL '90' MINUTE",
            ),
        ] {
            let found = fallible(expression).await;
            assert!(
                found.iter().any(|found| found == expected),
                "{expression}: {found:?}"
            );
        }
        // A constant that fails fails for all lines.
        assert_eq!(fallible("elb || cast(1 / 0 AS varchar)").await.len(), 1);
        for sound in [
            "date_add('hour', -9, from_iso8601_timestamp(time))",
            "from_iso8601_timestamp(time) + INTERVAL '9' HOUR",
            "from_iso8601_timestamp(time) > from_unixtime(300)",
            "from_iso8601_timestamp(time) > from_iso8601_timestamp('2026-11-20T00:00:00Z')",
        ] {
            assert_eq!(fallible(sound).await, Vec::<String>::new(), "{sound}");
        }
    }

    #[tokio::test]
    async fn visitors_do_not_write_the_day_of_delivery() {
        let sql = "SELECT date_parse(day, '%Y/%m/%d') AS d, count(*) AS n FROM alb_access_logs GROUP BY 1";
        assert!(
            !Rollup::from_sql("t", sql)
                .await
                .unwrap()
                .visitors_write_times()
        );
    }
}
