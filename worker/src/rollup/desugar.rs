//! Rewrites Trino's syntax that DataFusion lacks or reads differently into syntax that DataFusion has.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectNamePart, TypedString, UnaryOperator,
    Value, ValueWithSpan, VisitMut,
};

use super::aggregates::function_name;
use super::by_scan::ByScan;
use super::joins::put_rows_first;
use super::results::arguments;
use super::walk;
use crate::engine;
use crate::engine::functions::exact::{EXACT_DIVISION, EXACT_NUMBER};
use crate::engine::functions::in_order::{ALL_OF, ANY_OF};
use crate::engine::functions::json;
use crate::engine::functions::named_cast::NAMED_CAST;
use crate::format::{LogFormat, ScanColumn};

/// Rewrites each expression of a query after its parts.
pub(super) struct Desugar {
    /// The values that the scan computes, for a query over log lines.
    by_scan: Option<ByScan>,
}

/// Rewrites a query or expression over rows of tables.
pub(crate) fn over_rows(part: &mut impl VisitMut) -> Result<(), String> {
    Desugar { by_scan: None }.over(part)
}

impl Desugar {
    /// For a query over the lines of this format. `keys` are the columns that it groups by.
    pub(super) fn over_lines(format: &'static LogFormat, keys: Vec<String>) -> Self {
        Self {
            by_scan: Some(ByScan::new(format, keys)),
        }
    }

    /// Rewrites each expression.
    pub(super) fn over(&mut self, part: &mut impl VisitMut) -> Result<(), String> {
        let mut before = |expr: &mut Expr| {
            gather_conditions(expr);
            Ok(())
        };
        walk::change_exprs(part, &mut before, &mut |expr| self.rewrite(expr))
    }

    /// The values that the query takes from the scan.
    pub(super) fn computed(self) -> Vec<ScanColumn> {
        self.by_scan
            .map(|by_scan| by_scan.computed)
            .unwrap_or_default()
    }

    fn scanned(&mut self, expr: &Expr) -> Option<Expr> {
        self.by_scan.as_mut()?.column(expr)
    }

    fn rewrite(&mut self, expr: &mut Expr) -> Result<(), String> {
        if let Expr::Cast { .. } = expr {
            *expr = match self.scanned(expr) {
                Some(column) => column,
                None => named_cast(take(expr)),
            };
            return Ok(());
        }
        spell_out(expr)?;
        if let Expr::Function(function) = expr
            && !is_placeholder(function)
            && let Some(column) = self.scanned(expr)
        {
            *expr = column;
        }
        Ok(())
    }
}

/// Whether the call is an internal placeholder until planning.
fn is_placeholder(function: &Function) -> bool {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => {
            [NAMED_CAST, EXACT_DIVISION, EXACT_NUMBER, ALL_OF, ANY_OF]
                .contains(&name.value.as_str())
        }
        _ => false,
    }
}

/// Wraps the cast in a call that has the target type among its arguments.
fn named_cast(cast: Expr) -> Expr {
    let to = match &cast {
        Expr::Cast {
            kind, data_type, ..
        } => format!("{kind:?} {data_type}"),
        other => other.to_string(),
    };
    let to = Expr::value(Value::SingleQuotedString(to));
    call(NAMED_CAST, Some('"'), vec![cast, to])
}

/// Rewrites one expression whose parts are already rewritten. The error explains the problem and what to do about it.
///
/// Each part is moved into the new form and never copied: forms nest, and two copies at each level would be a million at
/// twenty levels.
fn spell_out(expr: &mut Expr) -> Result<(), String> {
    match expr {
        Expr::Like {
            pattern,
            escape_char,
            ..
        } => spell_pattern(pattern, escape_char.take()),
        Expr::BinaryOp { .. }
        | Expr::Extract { .. }
        | Expr::Function(_)
        | Expr::TypedString(TypedString {
            data_type: DataType::JSON,
            ..
        }) => {
            let spelled = match take(expr) {
                Expr::BinaryOp { left, op, right } => spelled_operation(*left, op, *right),
                Expr::Extract { field, expr, .. } => {
                    call(&field.to_string().to_lowercase(), None, vec![*expr])
                }
                Expr::Function(function) => spelled_call(function)?,
                // `JSON '…'`.
                Expr::TypedString(typed) => {
                    call("json_parse", None, vec![Expr::Value(typed.value)])
                }
                other => other,
            };
            *expr = spelled;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Moves an expression out and leaves NULL in its place.
fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

pub(super) fn call(name: &str, quote: Option<char>, args: Vec<Expr>) -> Expr {
    let name = Ident {
        quote_style: quote,
        ..Ident::new(name)
    };
    let args = args
        .into_iter()
        .map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)))
        .collect();
    Expr::Function(Function {
        name: vec![name].into(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

pub(super) fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

/// `CASE WHEN condition THEN result ELSE otherwise END`.
pub(super) fn case(condition: Expr, result: Expr, otherwise: Option<Box<Expr>>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: otherwise,
    }
}

fn spelled_operation(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let is_division = matches!(op, BinaryOperator::Divide | BinaryOperator::Modulo);
    if is_division && (is_decimal(&left) || is_decimal(&right)) {
        let op = Expr::value(Value::SingleQuotedString(op.to_string()));
        let (mut left, mut right) = (left, right);
        keep_digits(&mut left);
        keep_digits(&mut right);
        return call(EXACT_DIVISION, Some('"'), vec![left, right, op]);
    }
    binary(left, op, right)
}

/// Keeps the text of decimal literals, whose digits decide those of a division's result.
fn keep_digits(expr: &mut Expr) {
    match expr {
        Expr::Value(value) => {
            if let Value::Number(number, _) = &value.value
                && is_decimal_literal(number)
            {
                let text = Expr::value(Value::SingleQuotedString(number.to_string()));
                *expr = call(EXACT_NUMBER, Some('"'), vec![text]);
            }
        }
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => keep_digits(inner),
        Expr::BinaryOp { left, right, .. } => {
            keep_digits(left);
            keep_digits(right);
        }
        _ => {}
    }
}

fn is_decimal_literal(number: &str) -> bool {
    number.contains('.') && !number.contains(['e', 'E'])
}

fn spell_pattern(pattern: &mut Expr, escape: Option<ValueWithSpan>) -> Result<(), String> {
    let Some(text) = literal(pattern) else {
        return match escape {
            Some(_) => Err(format!(
                "LIKE {pattern} with ESCAPE: the pattern must be a literal"
            )),
            None => Ok(()),
        };
    };
    let escape = match escape.map(|escape| escape.value) {
        None => None,
        Some(Value::SingleQuotedString(escape)) if escape.chars().count() == 1 => {
            escape.chars().next()
        }
        Some(_) => {
            return Err("LIKE … ESCAPE: the escape must be a literal of one character".to_owned());
        }
    };
    *pattern = Expr::value(Value::SingleQuotedString(with_backslashes(&text, escape)?));
    Ok(())
}

/// Turns a chain of conditions joined by AND or OR into one call before its parts are rewritten, so that [`spell_out`]
/// sees them together.
fn gather_conditions(expr: &mut Expr) {
    let (chain, name) = match expr {
        Expr::BinaryOp {
            op: BinaryOperator::And,
            ..
        } => match put_rows_first(expr) {
            true => return,
            false => (BinaryOperator::And, ALL_OF),
        },
        Expr::BinaryOp {
            op: BinaryOperator::Or,
            ..
        } => (BinaryOperator::Or, ANY_OF),
        _ => return,
    };
    // A chain is parsed from the left.
    let mut conditions = Vec::new();
    let mut rest = take(expr);
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == chain => {
                conditions.push(*right);
                rest = *left;
            }
            first => {
                conditions.push(first);
                break;
            }
        }
    }
    conditions.reverse();
    *expr = call(name, Some('"'), conditions);
}

/// Joins conditions by `operator`. A condition may be computed only if those before it do not decide the result, but AND
/// and OR compute all of them. So if a condition may fail, the call named `in_order` joins them instead.
fn joined(conditions: Vec<Expr>, operator: BinaryOperator, in_order: &str) -> Expr {
    // Conditions that can't fail are computed together with the one before them.
    let mut steps: Vec<Expr> = Vec::new();
    for condition in conditions {
        match steps.pop() {
            None => steps.push(condition),
            Some(step) if may_fail(&condition) => steps.extend([step, condition]),
            Some(step) => steps.push(binary(step, operator.clone(), condition)),
        }
    }
    match steps.len() {
        1 => steps.remove(0),
        _ => call(in_order, Some('"'), steps),
    }
}

fn spelled_call(mut function: Function) -> Result<Expr, String> {
    let name = function_name(&function);
    let unquoted = name.trim_matches('"');
    let is_form = |arguments: usize| match unquoted {
        ALL_OF | ANY_OF => unquoted != name,
        "if" => arguments == 2 || arguments == 3,
        "mod" => arguments == 2,
        "concat" => arguments > 1,
        _ => false,
    };
    let args = match &mut function.args {
        FunctionArguments::List(list) if is_form(list.args.len()) => std::mem::take(&mut list.args),
        _ => return Ok(Expr::Function(spelled_aggregate(function, &name))),
    };
    let mut exprs = Vec::with_capacity(args.len());
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => exprs.push(expr),
            other => {
                return Err(format!(
                    "{name}: the argument {other} is not supported; write an expression"
                ));
            }
        }
    }
    if unquoted == ALL_OF {
        return Ok(joined(exprs, BinaryOperator::And, ALL_OF));
    }
    if unquoted == ANY_OF {
        return Ok(joined(exprs, BinaryOperator::Or, ANY_OF));
    }
    let mut exprs = exprs.into_iter();
    let (Some(first), Some(second)) = (exprs.next(), exprs.next()) else {
        return Err(format!("{name} takes two arguments"));
    };
    Ok(match unquoted {
        "if" => case(first, second, exprs.next().map(Box::new)),
        "mod" => nested(spelled_operation(
            nested(first),
            BinaryOperator::Modulo,
            nested(second),
        )),
        // In Trino, `concat` is NULL if any part is NULL, like `||` and unlike DataFusion's `concat`.
        _ => {
            let concat = |left, right| binary(left, BinaryOperator::StringConcat, right);
            nested(exprs.fold(concat(first, second), concat))
        }
    })
}

/// Replaces aggregates that DataFusion lacks.
fn spelled_aggregate(mut function: Function, name: &str) -> Function {
    match name {
        "every" => function.name = vec![Ident::new("bool_and")].into(),
        "count_if" => {
            function.name = vec![Ident::new("count")].into();
            if let FunctionArguments::List(list) = &mut function.args
                && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(condition))) =
                    list.args.first_mut()
            {
                // `count` counts the lines where this is not NULL.
                let one = Expr::value(Value::Number("1".into(), false));
                let counted = case(take(condition), one, None);
                list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(counted))];
            }
        }
        _ => {}
    }
    function
}

/// The text of a string literal.
pub(super) fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Rewrites a LIKE pattern to escape with backslashes. In Trino, nothing escapes unless ESCAPE names it.
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
                        "LIKE '{pattern}': the escape character {character} must be followed by %, _ or itself"
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

/// Whether computing the expression may fail for some line.
fn may_fail(expr: &Expr) -> bool {
    const FALLIBLE: &[&str] = &[
        "abs",
        "array_join",
        "date_add",
        "date_diff",
        "date_format",
        "date_parse",
        "date_trunc",
        "element_at",
        "format_datetime",
        "from_iso8601_date",
        "from_iso8601_timestamp",
        "from_unixtime",
        "is_json_scalar",
        "json_parse",
        "lpad",
        "parse_datetime",
        "regexp_extract",
        "round",
        "rpad",
        "slice",
        "split",
        "split_part",
        "to_iso8601",
        "strpos",
        "url_decode",
        "width_bucket",
    ];
    walk::any(expr, &mut |expr| match expr {
        Expr::BinaryOp {
            op: BinaryOperator::Divide | BinaryOperator::Modulo,
            ..
        } => true,
        // Integer arithmetic, whose result may be out of range.
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
        // An index beyond the array.
        Expr::CompoundFieldAccess { .. } => true,
        Expr::Function(function) => match function_name(function).as_str() {
            // A path that is no literal may be invalid.
            name if json::has_path(name) => {
                !matches!(arguments(function).as_slice(), [_, Expr::Value(_)])
            }
            name => FALLIBLE.contains(&name) || engine::functions::may_fail(name),
        },
        _ => false,
    })
}

fn is_interval(expr: &Expr) -> bool {
    matches!(expr, Expr::Interval(_))
}

/// Whether the expression is computed from numbers like 1024.0, and so may be a decimal in Trino.
fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => is_decimal_literal(number),
            _ => false,
        },
        Expr::Nested(inner) => is_decimal(inner),
        Expr::Function(function) if is_placeholder(function) => {
            function.name.to_string() == format!("\"{EXACT_DIVISION}\"")
        }
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
    use std::time::{Duration, Instant};

    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;
    use crate::rollup::Rollup;

    fn spelled(sql: &str) -> Result<String, String> {
        let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap();
        let mut expr = parser.parse_expr().unwrap();
        gather_conditions(&mut expr);
        spell_out(&mut expr).map(|()| expr.to_string())
    }

    // tests/trino compares each of these with Trino.
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
        assert_eq!(
            spelled("a <> 0 AND b / a > 1 AND c = 2").unwrap(),
            r#""all of"(a <> 0, b / a > 1 AND c = 2)"#
        );
        assert_eq!(
            spelled("b / a > 1 AND c = 2").unwrap(),
            "b / a > 1 AND c = 2"
        );
        assert_eq!(
            spelled("a = 0 OR c = 2 OR cast(b AS bigint) = 1").unwrap(),
            r#""any of"(a = 0 OR c = 2, cast(b AS bigint) = 1)"#
                .replace("cast(b AS bigint)", "CAST(b AS BIGINT)")
        );
    }

    /// Expressions that nest a form within itself, up to the depth that the parser accepts.
    fn nested_forms() -> Vec<String> {
        let nest = |levels: usize, wrap: fn(usize, String) -> String| {
            (0..levels).fold("1 / sent_bytes".to_owned(), |inner, level| {
                wrap(level, inner)
            })
        };
        vec![
            nest(40, |level, inner| format!("greatest({inner}, {level})")),
            nest(40, |level, inner| {
                format!("least(sent_bytes, {inner}, {level})")
            }),
            nest(40, |level, inner| {
                format!("if(sent_bytes > {level}, {inner}, {level})")
            }),
            nest(40, |level, inner| format!("mod({inner}, {level} + 2)")),
            nest(40, |level, inner| {
                format!("if({inner} > {level}e0, {level}e0, target_processing_time)")
            }),
            nest(40, |level, inner| {
                format!("if({inner} BETWEEN 0e0 AND {level}, {level}e0, 1e0)")
            }),
            nest(20, |level, inner| match level {
                0 => format!("({inner} > 0)"),
                _ if level % 2 == 0 => format!("(sent_bytes <> {level} AND {inner})"),
                _ => format!("(sent_bytes = {level} OR {inner})"),
            }),
            nest(20, |level, inner| match level {
                0 => format!("({inner} > 0)"),
                _ if level % 2 == 0 => format!("({inner} AND 1 / sent_bytes > {level})"),
                _ => format!("({inner} OR cast(user_agent AS bigint) = {level})"),
            }),
        ]
    }

    // A form that copied one of its parts at each level would take hours, and all memory.
    #[test]
    fn nested_forms_are_planned_in_no_time() {
        let plan_all = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            for expression in nested_forms() {
                let sql = format!("SELECT {expression} AS x FROM alb_access_logs");
                let started = Instant::now();
                runtime.block_on(Rollup::from_sql("nested", &sql)).unwrap();
                // In a debug build, and while other tests run, it may take a second.
                let took = started.elapsed();
                assert!(took < Duration::from_secs(10), "{took:?}: {sql}");
            }
        };
        // In a debug build, DataFusion's planner needs more stack than a test's thread has.
        let thread = std::thread::Builder::new().stack_size(64 << 20);
        thread.spawn(plan_all).unwrap().join().unwrap();
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
            Rollup::from_sql("many", &sql).await.unwrap();
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
