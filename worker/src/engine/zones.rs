//! Rewrites Trino's syntax of timestamps and time zones, which DataFusion reads differently, into calls: to DataFusion, `x AT TIME
//! ZONE 'Europe/Berlin'` means a local time if `x` has no zone, and the zone in `TIMESTAMP '2026-11-20 10:00:00 Europe/Berlin'` does
//! not belong to the type.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, Statement, TypedString, Value, visit_expressions_mut,
};
use logmill_trino::zone::Zone;

use super::functions::zoned::{AT_TIMEZONE, TIMESTAMP_LITERAL};

/// Refuses statements that would change the session's time zone, in which local times without a zone are read.
pub(crate) fn check(statement: &Statement) -> Result<(), String> {
    let Statement::Set(set) = statement else {
        return Ok(());
    };
    let set = set.to_string().to_ascii_lowercase();
    let names = ["time zone", "timezone", "time_zone"];
    match names.iter().any(|name| set.contains(name)) {
        true => Err(format!(
            "{statement} is not supported: the session's time zone is always UTC. \
             Write x AT TIME ZONE 'Europe/Berlin' for days and hours of another time zone"
        )),
        false => Ok(()),
    }
}

/// Rewrites all expressions of a statement.
pub(super) fn rewrite(statement: &mut Statement) {
    let _ = visit_expressions_mut(statement, |expr| {
        rewrite_expression(expr);
        ControlFlow::<()>::Continue(())
    });
}

fn rewrite_expression(expr: &mut Expr) {
    let call = match std::mem::replace(expr, Expr::value(Value::Null)) {
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => call(Ident::new(AT_TIMEZONE), vec![*timestamp, *time_zone]),
        Expr::TypedString(TypedString {
            data_type: DataType::Timestamp(..),
            value,
            ..
        }) => call(
            Ident::with_quote('"', TIMESTAMP_LITERAL),
            vec![Expr::Value(value)],
        ),
        other => other,
    };
    *expr = call;
}

fn call(name: Ident, args: Vec<Expr>) -> Expr {
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: vec![name].into(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Refuses a time zone that is not a literal, or that Trino does not know.
pub(crate) fn check_zone(expr: &Expr, zone: &Expr) -> Result<(), String> {
    let name = match zone {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(name) => Some(name),
            _ => None,
        },
        _ => None,
    };
    match name {
        Some(name) => Zone::named(name).map(drop).map_err(|error| {
            format!("{expr}: {error}. Write a name such as 'Europe/Berlin', or an offset such as '+02:00'")
        }),
        None => Err(format!(
            "{expr}: the time zone must be a literal, as in x AT TIME ZONE 'Europe/Berlin'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn parsed(sql: &str) -> Statement {
        Parser::parse_sql(&GenericDialect {}, sql)
            .unwrap()
            .remove(0)
    }

    #[test]
    fn zones_become_calls_wherever_they_stand() {
        for (sql, rewritten) in [
            (
                "SELECT hour(x AT TIME ZONE 'Europe/Berlin') FROM (SELECT y AT TIME ZONE '+05:30' AS x FROM t)",
                "SELECT hour(at_timezone(x, 'Europe/Berlin')) FROM (SELECT at_timezone(y, '+05:30') AS x FROM t)",
            ),
            (
                "SELECT 1 FROM t WHERE x >= TIMESTAMP '2026-11-20 10:00:00 America/New_York'",
                "SELECT 1 FROM t WHERE x >= \"timestamp literal\"('2026-11-20 10:00:00 America/New_York')",
            ),
            (
                "SELECT x AT TIME ZONE 'A' AT TIME ZONE 'B'",
                "SELECT at_timezone(at_timezone(x, 'A'), 'B')",
            ),
            ("SELECT DATE '2026-11-20'", "SELECT DATE '2026-11-20'"),
        ] {
            let mut statement = parsed(sql);
            rewrite(&mut statement);
            assert_eq!(statement.to_string(), rewritten);
        }
    }

    #[test]
    fn the_page_names_the_version_of_the_database() {
        let page = include_str!("../../../docs/sql.md");
        let version = logmill_trino::zone::DATABASE_VERSION;
        assert!(page.contains(&format!("version {version} of the database")));
    }

    #[test]
    fn the_zone_of_the_session_stays_utc() {
        for sql in [
            "SET TIME ZONE 'America/New_York'",
            "SET timezone = 'America/New_York'",
            "SET datafusion.execution.time_zone = 'America/New_York'",
        ] {
            let message = check(&parsed(sql)).expect_err(sql);
            assert!(message.contains("always UTC"), "{message}");
        }
        check(&parsed("SET datafusion.execution.batch_size = 10")).unwrap();
    }
}
