//! Expressions, each by itself.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, CaseWhen, CeilFloorKind, DateTimeField, Expr, Ident, Spanned, Subscript,
};

use super::operators::{check_binary, check_distinct_from, check_unary, like_in_lower_case};
use super::values::{check_cast, check_extract, check_interval, check_typed_string, check_value};
use super::{
    NO_STRUCTURES, ONE_GROUPING, Scope, check_name, foreign, functions, instead_of_column, missing,
    nearest, placed, subquery,
};
use crate::engine::zones;
use crate::format::FORMATS;

/// Checks one expression of the query around the one over the log table, but not its parts. Its columns are checked when it is planned.
pub(in crate::rollup) fn check_outer(expr: &Expr) -> Result<(), String> {
    let checked = match expr {
        Expr::Identifier(name) => check_name(name),
        Expr::CompoundIdentifier(names) => names.iter().try_for_each(check_name),
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => Ok(()),
        Expr::Function(function) => functions::check_outer(function),
        expr => {
            let [format, ..] = FORMATS;
            // Columns, which need a scope, were checked above.
            let table = &Ident::new(format.table);
            let aliases = &[];
            check(
                expr,
                &Scope {
                    table,
                    format,
                    aliases,
                    lambda_parameters: Vec::new(),
                },
            )
        }
    };
    checked.map_err(|message| placed(expr.span().start, &message))
}

/// Checks one expression, but not its parts.
pub(super) fn check(expr: &Expr, scope: &Scope<'_>) -> Result<(), String> {
    match expr {
        Expr::Identifier(name) => check_column(name, scope),
        Expr::CompoundIdentifier(names) => check_qualified(expr, names, scope),
        Expr::Value(value) => check_value(&value.value),
        Expr::Nested(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => Ok(()),
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => {
            check_distinct_from(expr, right)
        }
        Expr::InList {
            expr: _,
            list,
            negated: _,
        } => match list.is_empty() {
            true => foreign(expr, "IN needs at least one value"),
            false => Ok(()),
        },
        Expr::Between {
            expr: _,
            negated: _,
            low: _,
            high: _,
        } => Ok(()),
        Expr::BinaryOp { .. } if !scope.parameters(expr).is_empty() => {
            missing(format!("the lambda {expr}"), NO_STRUCTURES)
        }
        Expr::BinaryOp { left, op, right } => check_binary(expr, left, op, right),
        Expr::UnaryOp { op, expr: operand } => check_unary(expr, op, operand),
        Expr::Like {
            negated: _,
            any,
            expr: _,
            pattern: _,
            escape_char: _,
        } => match any {
            true => foreign(
                expr,
                "write one LIKE for each pattern, and join them with OR",
            ),
            false => Ok(()),
        },
        Expr::Cast {
            kind,
            expr: value,
            data_type,
            array,
            format,
        } => check_cast(expr, kind, value, data_type, !array && format.is_none()),
        Expr::TypedString(typed) => check_typed_string(expr, typed),
        Expr::Extract {
            field,
            syntax,
            expr: value,
        } => check_extract(expr, field, syntax, value),
        Expr::Ceil { expr: value, field } => check_rounding(expr, "ceil", value, field),
        Expr::Floor { expr: value, field } => check_rounding(expr, "floor", value, field),
        Expr::Position { expr: _, r#in: _ } => Ok(()),
        Expr::Substring {
            expr: value,
            substring_from,
            substring_for,
            special: _,
            shorthand: _,
        } => match (substring_from, substring_for) {
            (Some(_), _) => Ok(()),
            (None, Some(count)) => foreign(expr, &format!("write substr({value}, 1, {count})")),
            (None, None) => foreign(expr, "write substr(x, start, length)"),
        },
        Expr::Trim {
            trim_where,
            trim_what,
            expr: _,
            trim_characters,
        } => match trim_where.is_some() || trim_what.is_some() || trim_characters.is_some() {
            true => missing(
                expr,
                "trim(x), ltrim(x) and rtrim(x) remove white space. Remove other characters with regexp_replace, such as each a \
                 with regexp_replace(x, '^a+|a+$')",
            ),
            false => Ok(()),
        },
        Expr::Interval(interval) => check_interval(expr, interval),
        Expr::Case {
            case_token: _,
            end_token: _,
            operand: _,
            conditions,
            else_result: _,
        } => {
            for CaseWhen {
                condition: _,
                result: _,
            } in conditions
            {}
            Ok(())
        }
        Expr::AtTimeZone {
            timestamp: _,
            time_zone,
        } => zones::check_zone(expr, time_zone),
        Expr::Function(function) => functions::check_function(function),
        Expr::Array(array) => check_array(expr, array),
        Expr::CompoundFieldAccess { root, access_chain } => {
            check_subscript(expr, root, access_chain)
        }
        Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::ILike { .. }
        | Expr::SimilarTo { .. }
        | Expr::RLike { .. }
        | Expr::AnyOp { .. }
        | Expr::AllOp { .. }
        | Expr::Convert { .. }
        | Expr::InSubquery { .. }
        | Expr::Exists { .. }
        | Expr::Subquery(_)
        | Expr::GroupingSets(_)
        | Expr::Cube(_)
        | Expr::Rollup(_)
        | Expr::Collate { .. }
        | Expr::Prefixed { .. }
        | Expr::IsNormalized { .. }
        | Expr::InUnnest { .. }
        | Expr::Overlay { .. }
        | Expr::MatchAgainst { .. }
        | Expr::OuterJoin(_)
        | Expr::Prior(_)
        | Expr::JsonAccess { .. }
        | Expr::Tuple(_)
        | Expr::Struct { .. }
        | Expr::Named { .. }
        | Expr::Dictionary(_)
        | Expr::Map(_)
        | Expr::Lambda(_)
        | Expr::MemberOf(_)
        | Expr::Wildcard(_)
        | Expr::QualifiedWildcard(..) => refuse(expr, scope),
    }
}

/// Refuses an expression that no rollup may use, with what to write instead.
fn refuse(expr: &Expr, scope: &Scope<'_>) -> Result<(), String> {
    let write = |advice: &str| foreign(expr, &format!("write {advice}"));
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match expr {
        Expr::IsTrue(inner) => write(&format!("coalesce({inner}, false)")),
        Expr::IsNotTrue(inner) => write(&format!("NOT coalesce({inner}, false)")),
        Expr::IsFalse(inner) => write(&format!("NOT coalesce({inner}, true)")),
        Expr::IsNotFalse(inner) => write(&format!("coalesce({inner}, true)")),
        Expr::IsUnknown(inner) => write(&format!("{inner} IS NULL")),
        Expr::IsNotUnknown(inner) => write(&format!("{inner} IS NOT NULL")),
        Expr::ILike {
            negated,
            expr: text,
            pattern,
            ..
        } => foreign(expr, &like_in_lower_case(text, *negated, pattern)),
        Expr::SimilarTo {
            negated,
            expr: text,
            ..
        } => write(&format!(
            "{}regexp_like({text}, pattern), with the pattern as a regular expression",
            not(*negated)
        )),
        Expr::RLike {
            negated,
            expr: text,
            pattern,
            ..
        } => write(&format!("{}regexp_like({text}, {pattern})", not(*negated))),
        Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => missing(
            expr,
            &format!("write {left} IN (…), or comparisons joined with AND or OR"),
        ),
        Expr::Convert { expr: value, .. } => write(&format!("CAST({value} AS type)")),
        Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::Subquery(_) => subquery(expr),
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
            Err(format!("{expr} {ONE_GROUPING}"))
        }
        Expr::Collate { expr: value, .. } => foreign(
            expr,
            &format!("text is compared byte by byte. Write {value} alone"),
        ),
        Expr::Prefixed { value, .. } | Expr::OuterJoin(value) | Expr::Prior(value) => {
            write(&format!("{value} alone"))
        }
        Expr::IsNormalized { .. } => foreign(expr, "leave it out; rollups have no function for it"),
        Expr::InUnnest { expr: value, .. } => write(&format!("{value} IN (…)")),
        Expr::Overlay { .. } => foreign(
            expr,
            "join the parts of the text with || and substr(x, start, length)",
        ),
        Expr::MatchAgainst { .. } => write("LIKE or regexp_like"),
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
            foreign(expr, "write * only as an output column or in count(*)")
        }
        // The parameters of a lambda.
        Expr::Tuple(names) if is_parameters(names, scope) => Ok(()),
        _ => missing(expr, NO_STRUCTURES),
    }
}

fn is_parameters(names: &[Expr], scope: &Scope<'_>) -> bool {
    let is_parameter = |name: &Expr| matches!(name, Expr::Identifier(name) if scope.lambda_parameters.contains(&name.value));
    !names.is_empty() && names.iter().all(is_parameter)
}

fn check_array(expr: &Expr, array: &Array) -> Result<(), String> {
    let Array { elem, named } = array;
    match named {
        true => Ok(()),
        false => {
            let elements: Vec<String> = elem.iter().map(ToString::to_string).collect();
            foreign(expr, &format!("write ARRAY[{}]", elements.join(", ")))
        }
    }
}

fn check_subscript(expr: &Expr, root: &Expr, chain: &[AccessExpr]) -> Result<(), String> {
    match chain {
        [AccessExpr::Subscript(Subscript::Index { index: _ })] => Ok(()),
        [AccessExpr::Subscript(Subscript::Slice { .. })] => {
            foreign(expr, &format!("write each element, as in {root}[1]"))
        }
        _ => missing(expr, NO_STRUCTURES),
    }
}

fn check_rounding(
    expr: &Expr,
    function: &str,
    value: &Expr,
    field: &CeilFloorKind,
) -> Result<(), String> {
    match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => Ok(()),
        CeilFloorKind::DateTimeField(_) | CeilFloorKind::Scale(_) => {
            foreign(expr, &format!("write {function}({value})"))
        }
    }
}

fn check_qualified(expr: &Expr, names: &[Ident], scope: &Scope<'_>) -> Result<(), String> {
    let table = scope.table;
    let [qualifier, name] = names else {
        return Err(format!(
            "{expr} has more than one qualifier: write the column's name alone"
        ));
    };
    check_name(qualifier)?;
    if !qualifier.value.eq_ignore_ascii_case(&table.value) {
        return Err(format!(
            "{expr} names another table: the table is called {table} in this query. Write {name} alone, or {table}.{name}"
        ));
    }
    check_column(name, scope)
}

fn check_column(name: &Ident, scope: &Scope<'_>) -> Result<(), String> {
    check_name(name)?;
    let format = scope.format;
    let known = |column: &str| column.eq_ignore_ascii_case(&name.value);
    let is_parameter = scope.lambda_parameters.iter().any(|name| known(name));
    if scope.has_column(&name.value) || is_parameter {
        return Ok(());
    }
    let aliased = |(alias, expr): &&(String, String)| known(alias) && !known(expr);
    if let Some((_, expr)) = scope.aliases.iter().find(aliased) {
        return Err(format!(
            "{name} is the name of an output column, which only ORDER BY knows: write {expr} instead"
        ));
    }
    let is_quoted = name.quote_style.is_some();
    let columns = format.columns.iter().map(|column| column.name);
    let instead = instead_of_column(&name.value.to_ascii_lowercase(), false)
        .filter(|_| !is_quoted)
        .or_else(|| nearest(&name.value, columns))
        .or_else(|| instead_of_column(&name.value, is_quoted))
        .unwrap_or_else(|| scope.list_of_columns());
    Err(format!(
        "there is no column {name} in {}{instead}",
        format.table
    ))
}
