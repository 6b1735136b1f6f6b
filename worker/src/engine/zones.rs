//! Refuses time zones other than UTC. DataFusion knows zones, but the functions that extract hours and days ignore them:
//! `hour(x AT TIME ZONE 'America/New_York')` would return the hour in UTC.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Statement, TypedString, Value,
    visit_expressions,
};

/// Refuses a statement that names a time zone other than UTC.
pub(crate) fn check(statement: &Statement) -> Result<(), String> {
    if let Statement::Set(set) = statement {
        let set = set.to_string().to_ascii_lowercase();
        if ["time zone", "timezone", "time_zone"]
            .iter()
            .any(|name| set.contains(name))
        {
            return Err(format!("{statement} is not supported: {IN_UTC}"));
        }
    }
    let found = visit_expressions(statement, |expr| match check_expression(expr) {
        Ok(()) => ControlFlow::Continue(()),
        Err(message) => ControlFlow::Break(message),
    });
    match found {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(message) => Err(message),
    }
}

const IN_UTC: &str = "days and hours are always in UTC";

/// Checks one expression, without its parts.
pub(crate) fn check_expression(expr: &Expr) -> Result<(), String> {
    match expr {
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => match literal(time_zone) {
            Some(zone) if is_utc(zone) => Ok(()),
            _ => no_zones(expr, &timestamp.to_string()),
        },
        Expr::TypedString(TypedString {
            data_type, value, ..
        }) => match &value.value {
            Value::SingleQuotedString(text) => check_text(expr, data_type, text),
            _ => Ok(()),
        },
        Expr::Cast {
            expr: value,
            data_type,
            ..
        } => match literal(value) {
            Some(text) => check_text(expr, data_type, text),
            None => Ok(()),
        },
        Expr::Function(function) => {
            let FunctionArguments::List(list) = &function.args else {
                return Ok(());
            };
            let mut args = list.args.iter().map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => Some(arg),
                _ => None,
            });
            let (instant, zone) = (args.next().flatten(), args.next().flatten());
            let instant = instant.map(ToString::to_string).unwrap_or_default();
            let name = function.name.to_string().to_ascii_lowercase();
            match name.trim_matches('"') {
                "at_timezone" | "with_timezone" => no_zones(expr, &instant),
                // Their second argument is an Arrow type, such as Timestamp(ns, "UTC").
                "arrow_cast" | "arrow_try_cast" => match zone.and_then(literal) {
                    Some(to) if !is_arrow_type_in_utc(to) => no_zones(expr, &instant),
                    _ => Ok(()),
                },
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn no_zones(expr: &Expr, instant: &str) -> Result<(), String> {
    Err(format!(
        "{expr} is not supported: {IN_UTC}. Write date_add('hour', -5, {instant}) for the days and hours of a time zone five \
         hours behind UTC. For a time zone with daylight saving time, query in Athena"
    ))
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => literal(inner),
        _ => None,
    }
}

fn check_text(expr: &Expr, data_type: &DataType, text: &str) -> Result<(), String> {
    if !matches!(data_type, DataType::Timestamp(..) | DataType::Datetime(_)) {
        return Ok(());
    }
    match is_utc(zone_of(text)) {
        true => Ok(()),
        false => Err(format!(
            "{expr} is not supported: {IN_UTC}. Write the time in UTC, as in \
             TIMESTAMP '2026-11-20 10:00:00 UTC'"
        )),
    }
}

/// The text after the date and the time of day; it may be empty.
fn zone_of(timestamp: &str) -> &str {
    let after_date = timestamp
        .trim()
        .find(['T', 't', ' ', ':'])
        .map_or("", |at| &timestamp.trim()[at..]);
    after_date
        .trim_start_matches(['T', 't', ' '])
        .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | ','))
        .trim()
}

fn is_utc(zone: &str) -> bool {
    let zone = zone.trim().to_ascii_lowercase();
    matches!(
        zone.as_str(),
        "" | "z" | "utc" | "gmt" | "etc/utc" | "+00:00" | "-00:00" | "+0000" | "+00"
    )
}

fn is_arrow_type_in_utc(data_type: &str) -> bool {
    // The quoted parts are zones.
    data_type.split('"').skip(1).step_by(2).all(is_utc)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn checked(sql: &str) -> Result<(), String> {
        let statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        check(&statements[0])
    }

    #[test]
    fn other_zones_are_refused_wherever_they_stand() {
        for sql in [
            "SELECT hour(x AT TIME ZONE 'America/New_York') FROM t",
            "SELECT count(*) FROM t GROUP BY date_trunc('day', x AT TIME ZONE 'Europe/Berlin')",
            "SELECT 1 FROM (SELECT date(x AT TIME ZONE '+05:30') AS d FROM t) WHERE d > DATE '2026-11-20'",
            "WITH a AS (SELECT x AT TIME ZONE 'EST' AS y FROM t) SELECT * FROM a ORDER BY y",
            "EXPLAIN SELECT x AT TIME ZONE zone FROM t",
            "SELECT at_timezone(x, 'America/New_York') FROM t",
            "SELECT with_timezone(x, 'America/New_York') FROM t",
            "SELECT arrow_cast(x, 'Timestamp(Nanosecond, Some(\"America/New_York\"))') FROM t",
            "SELECT 1 FROM t WHERE x >= TIMESTAMP '2026-11-20 10:00:00 America/New_York'",
            "SELECT 1 FROM t WHERE x >= TIMESTAMP '2026-11-20T10:00:00-05:00'",
            "SELECT hour(CAST('2026-11-20 10:00:00 +05:30' AS timestamp with time zone))",
            "SELECT hour('2026-11-20 10:00 EST'::timestamptz)",
            "SET TIME ZONE 'America/New_York'",
            "SET timezone = 'America/New_York'",
            "SET datafusion.execution.time_zone = 'America/New_York'",
        ] {
            let message = checked(sql).expect_err(sql);
            assert!(message.contains("always in UTC"), "{message}");
        }
    }

    #[test]
    fn utc_is_no_other_zone() {
        for sql in [
            "SELECT hour(x AT TIME ZONE 'UTC') FROM t",
            "SELECT arrow_cast(x, 'Timestamp(Nanosecond, Some(\"UTC\"))'), arrow_cast(y, 'Int8') FROM t",
            "SELECT TIMESTAMP '2026-11-20 10:00:00', TIMESTAMP '2026-11-20 10:00:00.123 UTC', TIMESTAMP '2026-11-20T10:00:00Z'",
            "SELECT TIMESTAMP '2026-11-20', TIMESTAMP '2026-11-20 10:00:00+00:00', DATE '2026-11-20'",
            "SELECT CAST('America/New_York' AS varchar), CAST(x AS timestamp with time zone) FROM t",
            "SET datafusion.execution.batch_size = 10",
        ] {
            checked(sql).unwrap();
        }
    }
}
