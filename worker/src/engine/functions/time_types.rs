//! Comparisons, choices and arithmetic of dates and timestamps of different types, as in Trino.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Between, Case, InList, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF, lit};

use super::time::DATE_ADD;
use super::zoned::{at_timezone, other_zone};
use crate::engine::sql_text::sql;

/// Rewrites an expression over dates and timestamps of different types, so that DataFusion computes what Trino does; leaves other
/// expressions as they are.
///
/// DataFusion would read a local time in the zone of what it is compared with, and would compare days in nanoseconds.
pub(crate) fn plan(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    check_one_zone(&expr, schema)?;
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let types = (left.get_type(schema)?, right.get_type(schema)?);
            if matches!(op, Operator::Plus | Operator::Minus) {
                return arithmetic(*left, op, *right, types);
            }
            let is_comparison = op.supports_propagation()
                || matches!(
                    op,
                    Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
                );
            let mut sides = [*left, *right];
            let is_changed = is_comparison && align(&mut sides, schema)?;
            let [left, right] = sides;
            let expr = BinaryExpr::new(Box::new(left), op, Box::new(right));
            Ok(changed(Expr::BinaryExpr(expr), is_changed))
        }
        Expr::Between(between) => {
            let mut sides = [*between.expr, *between.low, *between.high];
            let is_changed = align(&mut sides, schema)?;
            let [expr, low, high] = sides.map(Box::new);
            let between = Between::new(expr, between.negated, low, high);
            Ok(changed(Expr::Between(between), is_changed))
        }
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => {
            let mut sides = list;
            sides.push(*expr);
            let is_changed = align(&mut sides, schema)?;
            let Some(expr) = sides.pop() else {
                return plan_err!("IN needs a value");
            };
            let in_list = InList::new(Box::new(expr), sides, negated);
            Ok(changed(Expr::InList(in_list), is_changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn changed(expr: Expr, is_changed: bool) -> Transformed<Expr> {
    match is_changed {
        true => Transformed::yes(expr),
        false => Transformed::no(expr),
    }
}

/// Casts days and local times to what the other sides are, if their types differ.
fn align(sides: &mut [Expr], schema: &DFSchema) -> Result<bool> {
    let mut types = Vec::with_capacity(sides.len());
    for side in sides.iter() {
        types.push(side.get_type(schema)?);
    }
    let is_timestamp = |data_type: &&DataType| matches!(data_type, DataType::Timestamp(..));
    let timestamps: Vec<&DataType> = types.iter().filter(is_timestamp).collect();
    if timestamps.is_empty() {
        return Ok(false);
    }
    let is_zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
    let zone = timestamps
        .iter()
        .any(|data_type| is_zoned(data_type))
        .then(|| Arc::from("UTC"));
    let mut is_changed = false;
    for (side, data_type) in sides.iter_mut().zip(&types) {
        let to = match data_type {
            DataType::Date32 => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            DataType::Timestamp(unit, None) if zone.is_some() => {
                DataType::Timestamp(*unit, zone.clone())
            }
            _ => continue,
        };
        *side = side.clone().cast_to(&to, schema)?;
        is_changed = true;
    }
    Ok(is_changed)
}

/// Adds months in the zone, and everything else in UTC: in Trino, a day in an interval always has 24 hours.
fn arithmetic(
    left: Expr,
    op: Operator,
    right: Expr,
    (left_type, right_type): (DataType, DataType),
) -> Result<Transformed<Expr>> {
    let zone = other_zone(&left_type)
        .or(other_zone(&right_type))
        .map(str::to_owned);
    let is_timestamp = |data_type: &DataType| matches!(data_type, DataType::Timestamp(..));
    let is_difference = is_timestamp(&left_type) && is_timestamp(&right_type);
    let in_utc = |side: Expr, data_type: &DataType| match is_timestamp(data_type) {
        true => at_timezone(side, "UTC"),
        false => side,
    };
    let whole =
        |left, right| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    match zone {
        Some(_) if is_difference => {
            let (left, right) = (in_utc(left, &left_type), in_utc(right, &right_type));
            Ok(Transformed::yes(whole(left, right)))
        }
        Some(_) if let Some(months) = months(&left, op).or_else(|| months(&right, op)) => {
            let time = if is_timestamp(&left_type) {
                left
            } else {
                right
            };
            Ok(Transformed::yes(add_months(months, time)?))
        }
        Some(zone) => {
            let sum = whole(in_utc(left, &left_type), in_utc(right, &right_type));
            Ok(Transformed::yes(at_timezone(sum, &zone)))
        }
        None => Ok(Transformed::no(whole(left, right))),
    }
}

/// The months that an interval of only months adds.
fn months(interval: &Expr, op: Operator) -> Option<i64> {
    let months = match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)
            if interval.days == 0 && interval.nanoseconds == 0 =>
        {
            interval.months
        }
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(months)), _) => *months,
        _ => return None,
    };
    let sign = if op == Operator::Minus { -1 } else { 1 };
    Some(sign * i64::from(months))
}

fn add_months(months: i64, time: Expr) -> Result<Expr> {
    let function = super::time::functions().into_iter();
    match function
        .into_iter()
        .find(|function| function.name == DATE_ADD)
    {
        Some(function) => {
            let args = vec![lit("month"), lit(months), time];
            Ok(ScalarUDF::new_from_impl(function).call(args))
        }
        None => plan_err!("{DATE_ADD} is missing"),
    }
}

/// Refuses a choice between timestamps of different zones: the zone is part of the type.
fn check_one_zone(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let choices: Vec<&Expr> = match expr {
        Expr::Case(Case {
            when_then_expr,
            else_expr,
            ..
        }) => {
            let results = when_then_expr.iter().map(|(_, result)| &**result);
            results.chain(else_expr.as_deref()).collect()
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if matches!(func.name(), "coalesce" | "greatest" | "least" | "nullif") =>
        {
            args.iter().collect()
        }
        _ => return Ok(()),
    };
    let mut zones: Vec<String> = Vec::new();
    for choice in choices {
        let data_type = choice.get_type(schema)?;
        let zone = match (other_zone(&data_type), &data_type) {
            (Some(zone), _) => zone.to_owned(),
            (None, DataType::Timestamp(..) | DataType::Date32) => "UTC".to_owned(),
            _ => continue,
        };
        if !zones.contains(&zone) {
            zones.push(zone);
        }
    }
    match zones.as_slice() {
        [one, other, ..] => plan_err!(
            "{} is in the time zone {one} or {other}: write AT TIME ZONE around all of it, or in each of its parts",
            sql(expr)
        ),
        _ => Ok(()),
    }
}
