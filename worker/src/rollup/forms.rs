//! Forms of Trino's SQL that DataFusion lacks or takes otherwise, spelled out in those that it has.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    UnaryOperator, Value, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

use super::functions::exact::EXACT_DIVISION;

/// Spells one expression out, whose parts have been. The error is what is wrong with it.
pub(super) fn spell_out(expr: &mut Expr) -> Result<(), String> {
    let spelled = match expr {
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::Divide | BinaryOperator::Modulo
                if is_decimal(left) || is_decimal(right) =>
            {
                format!("\"{EXACT_DIVISION}\"({left}, {right}, '{op}')")
            }
            _ => return Ok(()),
        },
        Expr::Like {
            pattern,
            escape_char,
            ..
        } => {
            let escape = escape_char.take();
            let Some(text) = literal(pattern) else {
                return match escape {
                    Some(_) => Err(format!(
                        "LIKE {pattern} ESCAPE: the pattern must be a literal"
                    )),
                    None => Ok(()),
                };
            };
            let escape = match escape.map(|escape| escape.value) {
                None => None,
                Some(Value::SingleQuotedString(escape)) if escape.chars().count() == 1 => {
                    escape.chars().next()
                }
                Some(_) => return Err("LIKE … ESCAPE: the escape must be one character".to_owned()),
            };
            **pattern = Expr::value(Value::SingleQuotedString(with_backslashes(&text, escape)?));
            return Ok(());
        }
        Expr::Extract { field, expr, .. } => {
            format!("{}({expr})", field.to_string().to_lowercase())
        }
        Expr::Function(function) => match spelled_call(function)? {
            Some(spelled) => spelled,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    replace(expr, &spelled)
}

fn replace(expr: &mut Expr, spelled: &str) -> Result<(), String> {
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(spelled)
        .and_then(|mut parser| parser.parse_expr());
    *expr = parsed.map_err(|error| format!("{expr}: {error}"))?;
    Ok(())
}

/// Conditions joined by AND, and by OR, as calls: between [`gather_conditions`] and [`spell_out`].
const ALL_OF: &str = r#""all of""#;
const ANY_OF: &str = r#""any of""#;

/// Makes one call of a chain of conditions, before its parts are spelled out: they are looked at together then.
pub(super) fn gather_conditions(expr: &mut Expr) -> Result<(), String> {
    let (chain, name) = match expr {
        Expr::BinaryOp { op, .. } if *op == BinaryOperator::And => (op.clone(), ALL_OF),
        Expr::BinaryOp { op, .. } if *op == BinaryOperator::Or => (op.clone(), ANY_OF),
        _ => return Ok(()),
    };
    // A chain is parsed from the left.
    let mut conditions = Vec::new();
    let mut rest = &*expr;
    while let Expr::BinaryOp { left, op, right } = rest
        && *op == chain
    {
        conditions.push(right.to_string());
        rest = left;
    }
    conditions.push(rest.to_string());
    conditions.reverse();
    let call = format!("{name}({})", conditions.join(", "));
    replace(expr, &call)
}

/// Conditions joined by `operator`, of which `decided` decides. A condition may only be computed where those before it leave it
/// open; AND and OR compute all.
fn in_order(conditions: &[&Expr], operator: &str, decided: &str, result: u8) -> String {
    let join = |conditions: Vec<String>| conditions.join(&format!(" {operator} "));
    let before = conditions.iter().rposition(|condition| may_fail(condition));
    let Some(before) = before.filter(|before| *before > 0) else {
        return join(conditions.iter().map(ToString::to_string).collect());
    };
    let deciding: String = conditions[..before]
        .iter()
        .map(|condition| format!(" WHEN ({condition}) IS {decided} THEN {result}"))
        .collect();
    let all = conditions.iter().map(|condition| format!("({condition})"));
    format!(
        "(CASE{deciding} ELSE CAST({} AS BIGINT) END = 1)",
        join(all.collect())
    )
}

fn spelled_call(function: &Function) -> Result<Option<String>, String> {
    let FunctionArguments::List(list) = &function.args else {
        return Ok(None);
    };
    let mut args = Vec::new();
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(expr),
            _ => return Ok(None),
        }
    }
    let name = function.name.to_string().to_ascii_lowercase();
    Ok(match (name.as_str(), args.as_slice()) {
        (ALL_OF, conditions) => Some(in_order(conditions, "AND", "FALSE", 0)),
        (ANY_OF, conditions) => Some(in_order(conditions, "OR", "TRUE", 1)),
        ("if", [condition, then]) => Some(format!("CASE WHEN {condition} THEN {then} END")),
        ("if", [condition, then, otherwise]) => Some(format!(
            "CASE WHEN {condition} THEN {then} ELSE {otherwise} END"
        )),
        ("mod", [dividend, divisor]) => Some(format!("(({dividend}) % ({divisor}))")),
        ("greatest" | "least", [left, right]) => {
            let than = if name == "greatest" { ">=" } else { "<=" };
            Some(format!(
                "CASE WHEN ({left}) IS NULL OR ({right}) IS NULL THEN NULL \
                 WHEN ({left}) {than} ({right}) THEN {left} ELSE {right} END"
            ))
        }
        ("greatest" | "least", _) => {
            return Err(format!(
                "{function}: write it of two values, as {name}({name}(a, b), c)"
            ));
        }
        _ => None,
    })
}

/// The text of a literal.
fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// A pattern of LIKE in which a backslash escapes. In Trino's nothing does, unless ESCAPE names it.
fn with_backslashes(pattern: &str, escape: Option<char>) -> Result<String, String> {
    let mut text = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            match characters.next() {
                Some(escaped) if escaped == '%' || escaped == '_' || Some(escaped) == escape => {
                    text.extend(['\\', escaped]);
                }
                _ => {
                    return Err(format!(
                        "LIKE '{pattern}': the escape {character} must be followed by %, _ or itself"
                    ));
                }
            }
        } else if character == '\\' {
            text.push_str("\\\\");
        } else {
            text.push(character);
        }
    }
    Ok(text)
}

/// Whether computing it may fail for some line.
fn may_fail(expr: &Expr) -> bool {
    const FALLIBLE: [&str; 8] = [
        "abs",
        "date_add",
        "from_iso8601_timestamp",
        "from_unixtime",
        "lpad",
        "rpad",
        "split_part",
        "url_decode",
    ];
    let found = visit_expressions(expr, |expr| {
        let fails = match expr {
            Expr::BinaryOp {
                op: BinaryOperator::Divide | BinaryOperator::Modulo,
                ..
            } => true,
            // Of integers, whose result may be out of range.
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply,
                right,
            } => !is_interval(left) && !is_interval(right),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => !matches!(**expr, Expr::Value(_)),
            Expr::Cast { kind, .. } => *kind == CastKind::Cast,
            Expr::Function(function) => {
                FALLIBLE.contains(&function.name.to_string().to_ascii_lowercase().as_str())
            }
            _ => false,
        };
        match fails {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    found.is_break()
}

fn is_interval(expr: &Expr) -> bool {
    matches!(expr, Expr::Interval(_))
}

/// Whether it is made of numbers like 1024.0, and so may be a decimal in Trino.
fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.contains('.') && !number.contains(['e', 'E']),
            _ => false,
        },
        Expr::Nested(inner) => is_decimal(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr,
        } => is_decimal(expr),
        Expr::BinaryOp { left, op, right } => {
            let arithmetic = matches!(
                op,
                BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply
            );
            arithmetic && (is_decimal(left) || is_decimal(right))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(sql: &str) -> Result<String, String> {
        let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap();
        let mut expr = parser.parse_expr().unwrap();
        gather_conditions(&mut expr).unwrap();
        spell_out(&mut expr).map(|()| expr.to_string())
    }

    // What Trino makes of each of these is judged by tests/trino.
    #[test]
    fn a_backslash_escapes_nothing_in_like() {
        assert_eq!(spelled(r"a LIKE 'b\c%'").unwrap(), r"a LIKE 'b\\c%'");
        assert_eq!(
            spelled("a LIKE '5!%%!!' ESCAPE '!'").unwrap(),
            r"a LIKE '5\%%!'".replace("!'", r"\!'")
        );
        assert_eq!(spelled(r"a LIKE '\%' ESCAPE '\'").unwrap(), r"a LIKE '\%'");
        assert!(spelled("a LIKE 'b!c' ESCAPE '!'").is_err());
    }

    #[test]
    fn the_right_side_of_and_waits_for_the_left() {
        assert_eq!(spelled("a = 1 AND b = 2").unwrap(), "a = 1 AND b = 2");
        assert!(
            spelled("a <> 0 AND b / a > 1")
                .unwrap()
                .starts_with("(CASE WHEN (a <> 0) IS FALSE")
        );
        assert!(
            spelled("a = 0 OR cast(b AS bigint) = 1")
                .unwrap()
                .starts_with("(CASE WHEN (a = 0) IS TRUE")
        );
    }

    #[tokio::test]
    async fn many_conditions_that_may_fail_are_planned() {
        let conditions: Vec<String> = (1..=40)
            .map(|n| format!("cast(substr(client_ip, {n}, 1) AS bigint) + {n} > 0"))
            .collect();
        for operator in [" AND ", " OR "] {
            let sql = format!(
                "SELECT type, count(*) AS n FROM alb_access_logs WHERE {} GROUP BY 1",
                conditions.join(operator)
            );
            crate::rollup::Rollup::from_sql("many", &sql).await.unwrap();
        }
    }

    #[test]
    fn calls_are_spelled_out() {
        assert_eq!(
            spelled("if(a, 1, 2)").unwrap(),
            "CASE WHEN a THEN 1 ELSE 2 END"
        );
        assert_eq!(spelled("mod(a, 2)").unwrap(), "((a) % (2))");
        assert_eq!(spelled("extract(WEEK FROM a)").unwrap(), "week(a)");
    }
}
