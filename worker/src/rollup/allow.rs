//! The syntax that a rollup's SQL may use.
//!
//! sqlparser accepts the SQL of a dozen engines, and DataFusion ignores part of what it accepts. An ignored construct
//! would silently make a table wrong, so a rollup may use only the syntax listed here; everything else is refused. Structs
//! are destructured without `..` and enums matched without `_`, so that a construct added by a new version of sqlparser
//! does not compile until it is decided on.

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, DuplicateTreatment,
    ExactNumberInfo, Expr, ExtractSyntax, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectNamePart, Select, TableAlias,
    TableFactor, TimezoneInfo, TypedString, UnaryOperator, Value, WildcardAdditionalOptions,
    visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use crate::format::LogFormat;

/// Refuses comments that the parser reads differently from Athena: it executes `/*! … */`, and lets comments nest. Neither
/// leaves a trace in the syntax tree.
pub(super) fn check_comments(sql: &str) -> Result<(), String> {
    // This dialect treats `/*!` as a comment, so that it is visible here. Text that can't be tokenized is left to the
    // parser to refuse.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
    for token in tokens.unwrap_or_default() {
        if let Token::Whitespace(Whitespace::MultiLineComment(comment)) = token {
            if comment.starts_with('!') {
                return Err(format!(
                    "the comment /*{comment}*/ is code to some engines and a comment to Athena: leave it out, or begin it \
                     without !"
                ));
            }
            if comment.contains("/*") {
                return Err(
                    "a comment within a comment ends at the first */ in Athena: use -- for one of them"
                        .to_owned(),
                );
            }
        }
    }
    Ok(())
}

/// Refuses anything in a SELECT besides its output columns, FROM, WHERE and GROUP BY.
pub(super) fn check_select(select: &Select) -> Result<(), String> {
    let Select {
        select_token: _,
        optimizer_hints,
        // The code that reads the SELECT checks these.
        distinct: _,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        projection,
        from: _,
        selection: _,
        group_by: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        exclude,
        into,
        lateral_views,
        prewhere,
        connect_by,
        cluster_by,
        distribute_by,
        sort_by,
        value_table_mode,
        flavor,
    } = select;
    if let Some(hint) = optimizer_hints.first() {
        return Err(format!(
            "the hint {hint} has no effect here nor in Athena: leave it out"
        ));
    }
    if *flavor != datafusion::sql::sqlparser::ast::SelectFlavor::Standard {
        return Err("FROM before SELECT is not Athena's: write SELECT … FROM …".to_owned());
    }
    if let Some(modifiers) = select_modifiers {
        return Err(format!("SELECT{modifiers} is not Athena's: leave it out"));
    }
    if let Some(top) = top {
        return Err(format!(
            "{top} can't be merged, as every log file would be cut on its own: limit the rows when you query the table"
        ));
    }
    if let Some(mode) = value_table_mode {
        return Err(format!(
            "SELECT {mode} is not Athena's: write SELECT and the columns"
        ));
    }
    if exclude.is_some() {
        return Err("SELECT … EXCLUDE is not Athena's: name the columns to keep".to_owned());
    }
    if let Some(into) = into {
        return Err(format!(
            "{into} has no place here: the table is named after the rollup's file"
        ));
    }
    if projection.is_empty() {
        return Err("SELECT has no columns: name them, or write SELECT *".to_owned());
    }
    if !lateral_views.is_empty() {
        return Err(
            "LATERAL VIEW is not Athena's, and a log line has no arrays: leave it out".to_owned(),
        );
    }
    if let Some(condition) = prewhere {
        return Err(format!("PREWHERE is not Athena's: write WHERE {condition}"));
    }
    if !connect_by.is_empty() {
        return Err(
            "CONNECT BY and START WITH are not Athena's: a rollup sees each log line by itself"
                .to_owned(),
        );
    }
    if !(cluster_by.is_empty() && distribute_by.is_empty() && sort_by.is_empty()) {
        return Err(
            "CLUSTER BY, DISTRIBUTE BY and SORT BY have no place here: the table is kept sorted by its group keys"
                .to_owned(),
        );
    }
    Ok(())
}

/// The name by which expressions may refer to the table, if FROM has a table and nothing else.
pub(super) fn table_in_from(relation: &TableFactor) -> Result<&Ident, String> {
    let TableFactor::Table {
        name,
        alias,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
    } = relation
    else {
        return Err("it must read a log table itself in FROM, no subquery".to_owned());
    };
    if sample.is_some() {
        return Err("TABLESAMPLE can't be merged: every log file counts whole".to_owned());
    }
    if version.is_some() {
        return Err(format!(
            "{relation}: a log table has no versions to travel to: write the table's name alone"
        ));
    }
    if !partitions.is_empty() {
        return Err(format!(
            "{relation}: a rollup reads every log file: write the table's name alone, and a WHERE"
        ));
    }
    if args.is_some()
        || !with_hints.is_empty()
        || *with_ordinality
        || json_path.is_some()
        || !index_hints.is_empty()
    {
        return Err(format!(
            "{relation}: a log table takes no arguments and no hints: write its name alone"
        ));
    }
    for part in &name.0 {
        if let ObjectNamePart::Identifier(part) = part {
            check_name(part)?;
        }
    }
    let Some(TableAlias {
        explicit: _,
        name: alias,
        columns,
        at,
    }) = alias
    else {
        return match name.0.last() {
            Some(ObjectNamePart::Identifier(table)) => Ok(table),
            Some(ObjectNamePart::Function(_)) | None => {
                Err(format!("{relation}: write the table's name itself"))
            }
        };
    };
    if !columns.is_empty() || at.is_some() {
        return Err(format!(
            "{relation}: a log table's columns keep their names: write the table's name, and an alias at most"
        ));
    }
    // sqlparser takes FINAL for an alias. In Athena it is one too, and has no effect.
    if alias.quote_style.is_none() && alias.value.eq_ignore_ascii_case("final") {
        return Err("FINAL is not Athena's: leave it out".to_owned());
    }
    check_name(alias).map(|()| alias)
}

/// Refuses options after `*`.
pub(super) fn check_wildcard(options: &WildcardAdditionalOptions) -> Result<(), String> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let is_plain = opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none();
    match is_plain {
        true => Ok(()),
        false => Err(format!("'*{options}' is not Athena's: name the columns")),
    }
}

/// Refuses names in another engine's quotes.
pub(super) fn check_name(name: &Ident) -> Result<(), String> {
    let Ident {
        value,
        quote_style,
        span: _,
    } = name;
    match quote_style {
        None | Some('"') => Ok(()),
        Some(_) => Err(format!("{name}: names are quoted as \"{value}\" in Athena")),
    }
}

/// Refuses any expression of the SELECT that uses anything not listed here. `table` is the name by which the SELECT refers
/// to its table.
pub(super) fn check_expressions(
    select: &Select,
    table: &Ident,
    format: &LogFormat,
) -> Result<(), String> {
    let found = visit_expressions(select, |expr| match check(expr, table, format) {
        Ok(()) => ControlFlow::Continue(()),
        Err(message) => ControlFlow::Break(message),
    });
    match found {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(message) => Err(message),
    }
}

fn foreign<T>(construct: impl Display, advice: &str) -> Result<T, String> {
    Err(format!("{construct} is not Athena's: {advice}"))
}

fn missing<T>(construct: impl Display, advice: &str) -> Result<T, String> {
    Err(format!("{construct} is not available here: {advice}"))
}

const NO_STRUCTURES: &str = "a rollup computes with numbers, texts, booleans and times only";

/// Checks one expression, but not its parts.
fn check(expr: &Expr, table: &Ident, format: &LogFormat) -> Result<(), String> {
    crate::engine::zones::check_expression(expr)?;
    match expr {
        Expr::Identifier(name) => check_column(name, format),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [qualifier, name] => {
                check_name(qualifier)?;
                if !qualifier.value.eq_ignore_ascii_case(&table.value) {
                    return Err(format!(
                        "{expr}: the table is called {table} here; write {name} alone, or {table}.{name}"
                    ));
                }
                check_column(name, format)
            }
            _ => Err(format!("{expr}: write the column's name alone")),
        },
        Expr::Value(value) => check_value(&value.value),
        Expr::Nested(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => Ok(()),
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => {
            check_distinct_from(expr, right)
        }
        Expr::IsTrue(inner) => foreign(expr, &format!("write coalesce({inner}, false)")),
        Expr::IsNotTrue(inner) => foreign(expr, &format!("write NOT coalesce({inner}, false)")),
        Expr::IsFalse(inner) => foreign(expr, &format!("write NOT coalesce({inner}, true)")),
        Expr::IsNotFalse(inner) => foreign(expr, &format!("write coalesce({inner}, true)")),
        Expr::IsUnknown(inner) => foreign(expr, &format!("write {inner} IS NULL")),
        Expr::IsNotUnknown(inner) => foreign(expr, &format!("write {inner} IS NOT NULL")),
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
        Expr::BinaryOp { left, op, right } => check_binary(expr, left, op, right),
        Expr::UnaryOp { op, expr: operand } => check_unary(expr, op, operand),
        Expr::Like {
            negated: _,
            any,
            expr: _,
            pattern: _,
            escape_char: _,
        } => match any {
            true => foreign(expr, "write one LIKE for each pattern, joined by OR"),
            false => Ok(()),
        },
        Expr::ILike {
            negated: _,
            any: _,
            expr: text,
            pattern,
            escape_char: _,
        } => foreign(
            expr,
            &format!(
                "write lower({text}) LIKE lower({pattern}), with the pattern as one literal in lower case"
            ),
        ),
        Expr::SimilarTo {
            negated: _,
            expr: text,
            pattern,
            escape_char: _,
        }
        | Expr::RLike {
            negated: _,
            expr: text,
            pattern,
            regexp: _,
        } => foreign(expr, &format!("write regexp_like({text}, {pattern})")),
        Expr::AnyOp {
            left,
            compare_op: _,
            right: _,
            is_some: _,
        }
        | Expr::AllOp {
            left,
            compare_op: _,
            right: _,
        } => missing(
            expr,
            &format!("write {left} IN (…), or comparisons joined by AND or OR"),
        ),
        Expr::Cast {
            kind,
            expr: value,
            data_type,
            array,
            format,
        } => {
            match kind {
                CastKind::Cast | CastKind::TryCast => {}
                CastKind::SafeCast => {
                    return foreign(expr, &format!("write try_cast({value} AS {data_type})"));
                }
                CastKind::DoubleColon => {
                    return foreign(
                        format!("{value}::{data_type}"),
                        &format!("write CAST({value} AS {data_type})"),
                    );
                }
            }
            if *array || format.is_some() {
                return foreign(expr, "write CAST(x AS type)");
            }
            check_type(expr, data_type)
        }
        Expr::TypedString(TypedString {
            data_type,
            value,
            uses_odbc_syntax,
        }) => {
            if *uses_odbc_syntax {
                return foreign(expr, &format!("write {data_type} {value}"));
            }
            if !matches!(value.value, Value::SingleQuotedString(_)) {
                return foreign(expr, "write the text in single quotes");
            }
            check_type(expr, data_type)
        }
        Expr::Convert {
            is_try: _,
            expr: value,
            data_type: _,
            charset: _,
            target_before_value: _,
            styles: _,
        } => foreign(expr, &format!("write CAST({value} AS type)")),
        Expr::AtTimeZone {
            timestamp: _,
            time_zone: _,
        } => Err(format!(
            "{expr}: days and hours are in UTC here, and no other zone"
        )),
        Expr::Extract {
            field,
            syntax,
            expr: value,
        } => match (syntax, is_part_of_time(field)) {
            (ExtractSyntax::From, true) => Ok(()),
            (ExtractSyntax::Comma, true) => {
                foreign(expr, &format!("write extract({field} FROM {value})"))
            }
            (_, false) => missing(
                expr,
                &format!("extract takes one of {}", PARTS_OF_TIME.join(", ")),
            ),
        },
        Expr::Ceil { expr: value, field } => match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => Ok(()),
            CeilFloorKind::DateTimeField(_) | CeilFloorKind::Scale(_) => {
                foreign(expr, &format!("write ceil({value})"))
            }
        },
        Expr::Floor { expr: value, field } => match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => Ok(()),
            CeilFloorKind::DateTimeField(_) | CeilFloorKind::Scale(_) => {
                foreign(expr, &format!("write floor({value})"))
            }
        },
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
                "trim(x), ltrim(x) and rtrim(x) take off white space; regexp_replace(x, '^a+|a+$') takes off each a",
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
        Expr::Function(function) => check_function(function),
        Expr::InSubquery {
            expr: _,
            subquery: _,
            negated: _,
        }
        | Expr::Exists {
            subquery: _,
            negated: _,
        }
        | Expr::Subquery(_) => subquery(expr),
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => Err(
            "ROLLUP, CUBE and GROUPING SETS make several tables of one: write one rollup for each"
                .to_owned(),
        ),
        Expr::Collate {
            expr: value,
            collation: _,
        } => foreign(
            expr,
            &format!("texts are compared byte by byte; write {value} alone"),
        ),
        Expr::Prefixed { prefix: _, value } => foreign(expr, &format!("write {value} alone")),
        Expr::IsNormalized {
            expr: _,
            form: _,
            negated: _,
        } => foreign(expr, "there is nothing like it here"),
        Expr::InUnnest {
            expr: value,
            array_expr: _,
            negated: _,
        } => foreign(expr, &format!("write {value} IN (…)")),
        Expr::Overlay {
            expr: _,
            overlay_what: _,
            overlay_from: _,
            overlay_for: _,
        } => foreign(expr, "join the parts with || and substr(x, start, length)"),
        Expr::MatchAgainst {
            columns: _,
            match_value: _,
            opt_search_modifier: _,
        } => foreign(expr, "write LIKE or regexp_like"),
        Expr::OuterJoin(value) | Expr::Prior(value) => {
            foreign(expr, &format!("write {value} alone"))
        }
        Expr::CompoundFieldAccess {
            root: _,
            access_chain: _,
        } => missing(expr, NO_STRUCTURES),
        Expr::JsonAccess { value: _, path: _ }
        | Expr::Tuple(_)
        | Expr::Struct {
            values: _,
            fields: _,
        }
        | Expr::Named { expr: _, name: _ }
        | Expr::Dictionary(_)
        | Expr::Map(_)
        | Expr::Array(_)
        | Expr::Lambda(_)
        | Expr::MemberOf(_) => missing(expr, NO_STRUCTURES),
        Expr::Wildcard(_) | Expr::QualifiedWildcard(_, _) => {
            foreign(expr, "* is an output column by itself, or count(*)")
        }
    }
}

/// sqlparser takes everything after FROM as the right side: to it, `a IS DISTINCT FROM b AND c` means
/// `a IS DISTINCT FROM (b AND c)`. To Athena, it means `(a IS DISTINCT FROM b) AND c`.
fn check_distinct_from(expr: &Expr, right: &Expr) -> Result<(), String> {
    use BinaryOperator as Op;
    let is_value = match right {
        Expr::BinaryOp {
            left: _,
            op,
            right: _,
        } => matches!(
            op,
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo | Op::StringConcat
        ),
        Expr::UnaryOp { op, expr: _ } => *op != UnaryOperator::Not,
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::TypedString(_)
        | Expr::Nested(_)
        | Expr::Function(_)
        | Expr::Cast { .. }
        | Expr::Case { .. }
        | Expr::Extract { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::Position { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. } => true,
        _ => false,
    };
    match is_value {
        true => Ok(()),
        false => Err(format!(
            "{expr}: put the comparison in parentheses, as (a IS DISTINCT FROM b) AND c"
        )),
    }
}

fn subquery(construct: impl Display) -> Result<(), String> {
    Err(format!(
        "the subquery in {construct} can't be merged: a rollup sees one log file at a time"
    ))
}

fn check_column(name: &Ident, format: &LogFormat) -> Result<(), String> {
    check_name(name)?;
    let known = |column: &str| column.eq_ignore_ascii_case(&name.value);
    match format.columns.iter().any(|column| known(column.name)) {
        true => Ok(()),
        false => Err(format!(
            "there is no column {name} in {}: it has {}",
            format.table,
            format
                .columns
                .iter()
                .map(|column| column.name)
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

fn check_value(value: &Value) -> Result<(), String> {
    match value {
        Value::Number(_, is_long) => match is_long {
            true => foreign(value, "write the number without L"),
            false => Ok(()),
        },
        Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null => Ok(()),
        Value::Placeholder(_) => Err(format!(
            "{value}: a rollup has no parameters; write the value itself"
        )),
        Value::HexStringLiteral(_) => missing(value, NO_STRUCTURES),
        Value::DollarQuotedString(_)
        | Value::TripleSingleQuotedString(_)
        | Value::TripleDoubleQuotedString(_)
        | Value::EscapedStringLiteral(_)
        | Value::UnicodeStringLiteral(_)
        | Value::SingleQuotedByteStringLiteral(_)
        | Value::DoubleQuotedByteStringLiteral(_)
        | Value::TripleSingleQuotedByteStringLiteral(_)
        | Value::TripleDoubleQuotedByteStringLiteral(_)
        | Value::SingleQuotedRawStringLiteral(_)
        | Value::DoubleQuotedRawStringLiteral(_)
        | Value::TripleSingleQuotedRawStringLiteral(_)
        | Value::TripleDoubleQuotedRawStringLiteral(_)
        | Value::NationalStringLiteral(_)
        | Value::QuoteDelimitedStringLiteral(_)
        | Value::NationalQuoteDelimitedStringLiteral(_)
        | Value::DoubleQuotedString(_) => missing(
            value,
            "write the text in single quotes, as 'text'; '' stands for a quote in it",
        ),
    }
}

fn check_binary(expr: &Expr, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<(), String> {
    use BinaryOperator as Op;
    match op {
        Op::Plus
        | Op::Minus
        | Op::Multiply
        | Op::Divide
        | Op::Modulo
        | Op::StringConcat
        | Op::Gt
        | Op::Lt
        | Op::GtEq
        | Op::LtEq
        | Op::Eq
        | Op::NotEq
        | Op::And
        | Op::Or => Ok(()),
        Op::PGRegexMatch
        | Op::PGRegexIMatch
        | Op::PGRegexNotMatch
        | Op::PGRegexNotIMatch
        | Op::Regexp => foreign(expr, &format!("write regexp_like({left}, {right})")),
        Op::PGLikeMatch | Op::PGILikeMatch | Op::PGNotLikeMatch | Op::PGNotILikeMatch => {
            foreign(expr, &format!("write {left} LIKE {right}"))
        }
        Op::PGStartsWith => foreign(expr, &format!("write starts_with({left}, {right})")),
        Op::Spaceship => foreign(expr, &format!("write {left} IS NOT DISTINCT FROM {right}")),
        Op::Xor => foreign(expr, &format!("write ({left}) <> ({right})")),
        Op::DuckIntegerDivide | Op::MyIntegerDivide => foreign(
            expr,
            &format!("write {left} / {right}, which cuts if both are integers"),
        ),
        Op::BitwiseOr
        | Op::BitwiseAnd
        | Op::BitwiseXor
        | Op::PGBitwiseXor
        | Op::PGBitwiseShiftLeft
        | Op::PGBitwiseShiftRight
        | Op::PGExp
        | Op::PGOverlap
        | Op::Match
        | Op::Custom(_)
        | Op::Arrow
        | Op::LongArrow
        | Op::HashArrow
        | Op::HashLongArrow
        | Op::AtAt
        | Op::AtArrow
        | Op::ArrowAt
        | Op::HashMinus
        | Op::AtQuestion
        | Op::Question
        | Op::QuestionAnd
        | Op::QuestionPipe
        | Op::PGCustomBinaryOperator(_)
        | Op::Overlaps
        | Op::DoubleHash
        | Op::LtDashGt
        | Op::AndLt
        | Op::AndGt
        | Op::LtLtPipe
        | Op::PipeGtGt
        | Op::AndLtPipe
        | Op::PipeAndGt
        | Op::LtCaret
        | Op::GtCaret
        | Op::QuestionHash
        | Op::QuestionDash
        | Op::QuestionDashPipe
        | Op::QuestionDoublePipe
        | Op::At
        | Op::TildeEq
        | Op::Assignment => foreign(
            expr,
            "the operators are + - * / % || = <> < <= > >= AND OR NOT",
        ),
    }
}

fn check_unary(expr: &Expr, op: &UnaryOperator, operand: &Expr) -> Result<(), String> {
    match op {
        UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not => Ok(()),
        UnaryOperator::BangNot => foreign(expr, &format!("write NOT {operand}")),
        UnaryOperator::PGAbs => foreign(expr, &format!("write abs({operand})")),
        UnaryOperator::PGSquareRoot => foreign(expr, &format!("write sqrt({operand})")),
        UnaryOperator::AtDashAt
        | UnaryOperator::BitwiseNot
        | UnaryOperator::DoubleAt
        | UnaryOperator::Hash
        | UnaryOperator::PGCubeRoot
        | UnaryOperator::PGPostfixFactorial
        | UnaryOperator::PGPrefixFactorial
        | UnaryOperator::QuestionDash
        | UnaryOperator::QuestionPipe => foreign(
            expr,
            "the operators are + - * / % || = <> < <= > >= AND OR NOT",
        ),
    }
}

/// Refuses types that Athena lacks or that mean something else there. Whether a value can be cast to the type is decided
/// later, when the types of values are known.
fn check_type(expr: &Expr, data_type: &DataType) -> Result<(), String> {
    let is_available = match data_type {
        DataType::Varchar(None)
        | DataType::Boolean
        | DataType::TinyInt(None)
        | DataType::SmallInt(None)
        | DataType::Int(None)
        | DataType::Integer(None)
        | DataType::BigInt(None)
        | DataType::Double(ExactNumberInfo::None)
        | DataType::DoublePrecision
        | DataType::Real
        | DataType::Date => true,
        // A timestamp has milliseconds. Fewer digits would require rounding, which DataFusion does not do.
        DataType::Timestamp(precision, zone) => {
            let is_zone_athenas = match zone {
                TimezoneInfo::None | TimezoneInfo::WithTimeZone | TimezoneInfo::WithoutTimeZone => {
                    true
                }
                TimezoneInfo::Tz => false,
            };
            is_zone_athenas && matches!(precision, None | Some(3) | Some(6))
        }
        _ => false,
    };
    if is_available {
        return Ok(());
    }
    if data_type.to_string().to_uppercase().contains("CHAR") {
        return Err(format!(
            "{expr}: cast to varchar, and cut with substr(x, 1, n)"
        ));
    }
    missing(
        expr,
        "the types are varchar, boolean, tinyint, smallint, integer, bigint, double, date, timestamp and timestamp \
         with time zone",
    )
}

/// The fields that Athena's `extract` takes. Each is also the name of a function.
const PARTS_OF_TIME: [&str; 15] = [
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "day_of_month",
    "day_of_week",
    "dow",
    "day_of_year",
    "doy",
    "year_of_week",
    "yow",
    "hour",
    "minute",
    "second",
];

fn is_part_of_time(field: &DateTimeField) -> bool {
    let field = field.to_string().to_ascii_lowercase();
    PARTS_OF_TIME.contains(&field.as_str())
}

fn check_interval(expr: &Expr, interval: &Interval) -> Result<(), String> {
    let Interval {
        value,
        leading_field,
        leading_precision,
        last_field,
        fractional_seconds_precision,
    } = interval;
    let is_unit = matches!(
        leading_field,
        Some(
            DateTimeField::Year
                | DateTimeField::Month
                | DateTimeField::Day
                | DateTimeField::Hour
                | DateTimeField::Minute
                | DateTimeField::Second
        )
    );
    let is_count = match &**value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
            }
            _ => false,
        },
        _ => false,
    };
    let is_plain = leading_precision.is_none()
        && last_field.is_none()
        && fractional_seconds_precision.is_none();
    match is_unit && is_count && is_plain {
        true => Ok(()),
        false => missing(
            expr,
            "write INTERVAL '1' DAY, with YEAR, MONTH, DAY, HOUR, MINUTE or SECOND",
        ),
    }
}

fn check_function(function: &Function) -> Result<(), String> {
    let Function {
        name,
        uses_odbc_syntax,
        parameters,
        args,
        filter,
        null_treatment,
        over,
        within_group,
    } = function;
    // Calls that represent SQL syntax have names that can only be written in quotes.
    let [
        ObjectNamePart::Identifier(Ident {
            value: _,
            quote_style: None,
            span: _,
        }),
    ] = name.0.as_slice()
    else {
        return Err(format!(
            "{function}: write the function's name alone, and without quotes"
        ));
    };
    if over.is_some() {
        return Err(format!(
            "{function} is a window function: compute it when you query"
        ));
    }
    if *uses_odbc_syntax {
        return foreign(function, "write the function without { fn … }");
    }
    if *parameters != FunctionArguments::None {
        return foreign(
            function,
            "write all arguments between one pair of parentheses",
        );
    }
    if !within_group.is_empty() {
        return Err(format!(
            "{function}: WITHIN GROUP has no effect on an aggregate that merges; leave it out"
        ));
    }
    if null_treatment.is_some() {
        return Err(format!(
            "{function}: IGNORE NULLS and RESPECT NULLS are for windows; leave them out"
        ));
    }
    let name = super::sql::function_name(function);
    let is_aggregate = super::sql::is_aggregate_name(&name);
    if filter.is_some() && !is_aggregate {
        return foreign(
            function,
            "FILTER is for aggregates; write CASE WHEN … THEN … END",
        );
    }
    let FunctionArgumentList {
        duplicate_treatment,
        args,
        clauses,
    } = match args {
        FunctionArguments::List(list) => list,
        FunctionArguments::Subquery(_) => return subquery(function),
        // For example `current_date`, a function that rollups lack.
        FunctionArguments::None => return Ok(()),
    };
    match duplicate_treatment {
        Some(DuplicateTreatment::Distinct) if is_aggregate => {
            return Err(format!(
                "{function}: DISTINCT does not add up over log files"
            ));
        }
        Some(_) if !is_aggregate => {
            return foreign(
                function,
                "DISTINCT and ALL are for aggregates; leave them out",
            );
        }
        _ => {}
    }
    if !clauses.is_empty() {
        return Err(format!(
            "{function}: write nothing after the arguments: ORDER BY, LIMIT, HAVING and the like have no effect here"
        ));
    }
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(_)) => {}
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => {}
            FunctionArg::Unnamed(
                FunctionArgExpr::Wildcard
                | FunctionArgExpr::QualifiedWildcard(_)
                | FunctionArgExpr::WildcardWithOptions(_),
            ) => return foreign(function, "* stands in count(*) alone"),
            FunctionArg::Named {
                name: _,
                arg: _,
                operator: _,
            }
            | FunctionArg::ExprNamed {
                name: _,
                arg: _,
                operator: _,
            } => return missing(function, "write the arguments without their names"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rollup::sql::parse;

    /// Plain rollups with extra syntax that sqlparser accepts and that DataFusion mostly ignores, each with the text of
    /// the refusal.
    const ROUND_THE_CHECK: &[(&str, &str)] = &[
        ("SELECT elb FROM alb_access_logs |> LIMIT 1", "one SELECT"),
        (
            "SELECT elb FROM alb_access_logs |> WHERE elb = 'x'",
            "one SELECT",
        ),
        (
            "SELECT elb FROM alb_access_logs |> SELECT type",
            "one SELECT",
        ),
        (
            "SELECT elb FROM alb_access_logs |> AGGREGATE count(*) AS n",
            "one SELECT",
        ),
        (
            "SELECT elb FROM alb_access_logs |> ORDER BY elb",
            "one SELECT",
        ),
        ("SELECT elb FROM alb_access_logs |> DROP elb", "one SELECT"),
        ("SELECT elb FROM alb_access_logs FOR UPDATE", "leave it out"),
        ("SELECT elb FROM alb_access_logs FOR SHARE", "leave it out"),
        (
            "SELECT elb FROM alb_access_logs FOR UPDATE OF alb_access_logs NOWAIT",
            "leave it out",
        ),
        (
            "SELECT elb FROM alb_access_logs SETTINGS max_threads = 1",
            "SETTINGS",
        ),
        ("SELECT elb FROM alb_access_logs FORMAT CSV", "FORMAT CSV"),
        ("SELECT elb FROM alb_access_logs FORMAT NULL", "FORMAT NULL"),
        ("SELECT elb FROM alb_access_logs FINAL", "FINAL"),
        (
            "SELECT elb FROM alb_access_logs FETCH FIRST 1 ROW ONLY",
            "FETCH",
        ),
        ("SELECT elb FROM alb_access_logs OFFSET 1", "OFFSET"),
        ("SELECT elb FROM alb_access_logs LIMIT 1, 2", "LIMIT"),
        ("SELECT elb FROM alb_access_logs LIMIT 1 BY elb", "LIMIT"),
        (
            "SELECT elb FROM alb_access_logs PREWHERE elb_status_code = 200",
            "WHERE elb_status_code = 200",
        ),
        (
            "SELECT elb FROM alb_access_logs START WITH elb = 'x' CONNECT BY PRIOR elb = type",
            "CONNECT BY",
        ),
        (
            "SELECT elb FROM alb_access_logs CONNECT BY PRIOR elb = type",
            "CONNECT BY",
        ),
        (
            "SELECT elb FROM alb_access_logs LATERAL VIEW explode(type) t AS x",
            "LATERAL VIEW",
        ),
        (
            "SELECT elb FROM alb_access_logs CLUSTER BY elb",
            "CLUSTER BY",
        ),
        (
            "SELECT elb FROM alb_access_logs DISTRIBUTE BY elb",
            "DISTRIBUTE BY",
        ),
        ("SELECT elb FROM alb_access_logs SORT BY elb", "SORT BY"),
        (
            "SELECT elb FROM alb_access_logs WINDOW w AS (PARTITION BY elb)",
            "windows",
        ),
        (
            "SELECT elb FROM alb_access_logs QUALIFY elb = 'x'",
            "windows",
        ),
        ("SELECT TOP 5 elb FROM alb_access_logs", "TOP 5"),
        ("SELECT elb INTO other FROM alb_access_logs", "INTO other"),
        ("SELECT AS STRUCT elb FROM alb_access_logs", ""),
        ("SELECT AS VALUE elb FROM alb_access_logs", ""),
        ("SELECT ALL elb FROM alb_access_logs", "leave ALL out"),
        (
            "SELECT DISTINCT ON (elb) elb FROM alb_access_logs",
            "GROUP BY",
        ),
        (
            "SELECT /*+ BROADCAST(x) */ elb FROM alb_access_logs",
            "hint",
        ),
        ("SELECT FROM alb_access_logs", "no columns"),
        ("FROM alb_access_logs", "FROM before SELECT"),
        ("FROM alb_access_logs SELECT elb", "FROM before SELECT"),
        ("(SELECT elb FROM alb_access_logs)", "no SELECT"),
        ("TABLE alb_access_logs", ""),
        ("VALUES (1)", "no SELECT"),
        ("EXPLAIN SELECT elb FROM alb_access_logs", "no query"),
        (
            "SELECT * EXCEPT (elb) FROM alb_access_logs",
            "name the columns",
        ),
        (
            "SELECT * EXCLUDE (elb) FROM alb_access_logs",
            "name the columns",
        ),
        (
            "SELECT * EXCLUDE elb FROM alb_access_logs",
            "name the columns",
        ),
        (
            "SELECT * REPLACE (1 AS elb) FROM alb_access_logs",
            "name the columns",
        ),
        (
            "SELECT * RENAME elb AS x FROM alb_access_logs",
            "name the columns",
        ),
        (
            "SELECT * ILIKE '%elb%' FROM alb_access_logs",
            "name the columns",
        ),
        ("SELECT a.* FROM alb_access_logs a", "name the columns"),
        (
            "SELECT a.* EXCEPT (elb) FROM alb_access_logs a",
            "name the columns",
        ),
        ("SELECT elb AS (x, y) FROM alb_access_logs", ""),
        ("SELECT elb AS `e` FROM alb_access_logs", "\"e\""),
        ("SELECT elb AS 'e' FROM alb_access_logs", "\"e\""),
        ("SELECT `elb` FROM alb_access_logs", "\"elb\""),
        ("SELECT elb FROM `alb_access_logs`", "\"alb_access_logs\""),
        (
            "SELECT elb FROM `alb_access_logs` AS a",
            "\"alb_access_logs\"",
        ),
        ("SELECT elb FROM alb_access_logs AS `a`", "\"a\""),
        (
            "SELECT elb FROM alb_access_logs FOR SYSTEM_TIME AS OF '2026-11-20 10:00:00'",
            "",
        ),
        ("SELECT elb FROM alb_access_logs FOR VERSION AS OF 1", ""),
        ("SELECT elb FROM alb_access_logs VERSION AS OF 1", ""),
        ("SELECT elb FROM alb_access_logs AT(TIMESTAMP => 1)", ""),
        ("SELECT elb FROM alb_access_logs PARTITION (p0)", ""),
        ("SELECT elb FROM alb_access_logs USE INDEX (i)", ""),
        ("SELECT elb FROM alb_access_logs FOR XML PATH", ""),
        ("SELECT elb FROM alb_access_logs FOR JSON AUTO", ""),
        ("SELECT elb FROM alb_access_logs LOCK IN SHARE MODE", ""),
        ("SELECT SQL_NO_CACHE elb FROM alb_access_logs", ""),
        ("SELECT STRAIGHT_JOIN elb FROM alb_access_logs", ""),
        ("SELECT elb FROM alb_access_logs WITH (NOLOCK)", "hints"),
        ("SELECT elb FROM alb_access_logs(1)", "arguments"),
        (
            "SELECT elb FROM alb_access_logs WITH ORDINALITY",
            "arguments",
        ),
        (
            "SELECT elb FROM alb_access_logs AS t (a, b)",
            "keep their names",
        ),
        (
            "SELECT elb FROM alb_access_logs TABLESAMPLE BERNOULLI (10)",
            "TABLESAMPLE",
        ),
        (
            "SELECT elb FROM alb_access_logs TABLESAMPLE (10 ROWS)",
            "TABLESAMPLE",
        ),
        ("SELECT elb FROM alb_access_logs SAMPLE 0.1", ""),
        ("SELECT elb FROM alb_access_logs, elb_logs", "exactly one"),
        (
            "SELECT elb FROM alb_access_logs CROSS JOIN elb_logs",
            "JOIN",
        ),
        ("SELECT elb FROM alb_access_logs ARRAY JOIN type", "JOIN"),
        ("SELECT elb FROM LATERAL (SELECT 1)", "subquery"),
        ("SELECT elb FROM UNNEST(ARRAY[1])", "subquery"),
        ("SELECT elb FROM TABLE(f(1))", "subquery"),
        (
            "SELECT elb FROM alb_access_logs MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS true)",
            "subquery",
        ),
        (
            "SELECT elb FROM alb_access_logs PIVOT (sum(x) FOR y IN (1))",
            "subquery",
        ),
        (
            "SELECT count(*) AS n FROM alb_access_logs GROUP BY ALL",
            "GROUP BY ALL",
        ),
        (
            "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY elb WITH ROLLUP",
            "ROLLUP",
        ),
        (
            "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY elb WITH TOTALS",
            "ROLLUP",
        ),
        (
            "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY CUBE (elb)",
            "CUBE",
        ),
        (
            "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY GROUPING SETS ((elb), ())",
            "GROUPING SETS",
        ),
        (
            "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY (elb, type)",
            "add it to SELECT",
        ),
        (
            "SELECT elb FROM alb_access_logs /*! WHERE elb = 'x' */",
            "without !",
        ),
        (
            "SELECT elb FROM alb_access_logs /*!50110 WHERE elb = 'x' */",
            "without !",
        ),
        (
            "SELECT elb FROM alb_access_logs /* /* */ WHERE elb = 'x' /* */ -- */",
            "first */",
        ),
    ];

    /// Expressions, each an output column of a rollup that keeps every row.
    const EXPRESSIONS: &[(&str, &str)] = &[
        ("elb ? type", ""),
        ("elb -> type", "operators"),
        ("elb ->> type", "operators"),
        ("elb #> type", "operators"),
        ("elb @> type", "operators"),
        ("elb <@ type", "operators"),
        ("elb ^ type", "operators"),
        ("elb & type", "operators"),
        ("elb | type", "operators"),
        ("elb << type", "operators"),
        ("elb >> type", "operators"),
        ("elb && type", "operators"),
        ("(elb, type) OVERLAPS (elb, type)", ""),
        ("elb_status_code DIV 2", ""),
        ("elb <=> type", "IS NOT DISTINCT FROM"),
        ("elb XOR type", "<>"),
        ("elb ~ 'b'", "regexp_like(elb, 'b')"),
        ("elb ~* 'b'", "regexp_like(elb, 'b')"),
        ("elb !~ 'b'", "regexp_like(elb, 'b')"),
        ("elb !~* 'b'", "regexp_like(elb, 'b')"),
        ("elb ~~ 'b'", "elb LIKE 'b'"),
        ("elb !~~* 'b'", "elb LIKE 'b'"),
        ("elb ^@ 'b'", ""),
        ("elb REGEXP 'b'", "regexp_like(elb, 'b')"),
        ("elb RLIKE 'b'", "regexp_like(elb, 'b')"),
        ("elb SIMILAR TO 'b'", "regexp_like(elb, 'b')"),
        ("elb ILIKE 'B'", "lower(elb)"),
        ("elb NOT ILIKE 'B'", "lower(elb)"),
        ("elb LIKE ANY ('a', 'b')", "OR"),
        ("elb GLOBAL IN ('a')", ""),
        ("elb IN ()", ""),
        ("elb IN UNNEST(ARRAY['a'])", "IN (…)"),
        ("elb IN (SELECT 1)", "subquery"),
        ("EXISTS (SELECT 1)", "subquery"),
        ("(SELECT 1)", "subquery"),
        ("elb = ANY (ARRAY['a'])", "IN (…)"),
        ("elb = SOME (ARRAY['a'])", "IN (…)"),
        ("elb > ALL (ARRAY['a'])", "IN (…)"),
        ("elb = ANY (SELECT 1)", ""),
        ("!true", ""),
        ("~elb_status_code", ""),
        ("@elb_status_code", ""),
        ("|/elb_status_code", ""),
        ("elb_status_code!", ""),
        ("elb IS TRUE", "coalesce(elb, false)"),
        ("elb IS NOT TRUE", "NOT coalesce(elb, false)"),
        ("elb IS FALSE", "NOT coalesce(elb, true)"),
        ("elb IS NOT FALSE", "coalesce(elb, true)"),
        ("elb IS UNKNOWN", "IS NULL"),
        ("elb IS NOT UNKNOWN", "IS NOT NULL"),
        ("elb IS NORMALIZED", "not Athena's"),
        ("elb IS DISTINCT FROM 'x' AND true", "in parentheses"),
        ("elb IS NOT DISTINCT FROM 'x' OR true", "in parentheses"),
        ("true IS DISTINCT FROM NOT true", "in parentheses"),
        ("true IS DISTINCT FROM elb = 'x'", "in parentheses"),
        ("true IS DISTINCT FROM elb IS NULL", "in parentheses"),
        ("elb[1]", "numbers, texts"),
        ("elb[1:2]", "numbers, texts"),
        ("(elb, type)", "numbers, texts"),
        ("ARRAY[elb]", "numbers, texts"),
        ("[elb]", "numbers, texts"),
        ("{'a': elb}", ""),
        ("MAP {'a': elb}", ""),
        ("STRUCT(elb AS a)", ""),
        ("STRUCT<a varchar>(elb)", ""),
        ("elb:a", ""),
        ("x -> x", ""),
        ("elb MEMBER OF (type)", ""),
        ("PRIOR elb", ""),
        ("elb(+)", ""),
        ("elb COLLATE \"C\"", "byte by byte"),
        ("_utf8 'a'", ""),
        ("MATCH (elb) AGAINST ('a')", "LIKE"),
        ("OVERLAY(elb PLACING 'a' FROM 1)", "substr"),
        ("elb::varchar", "CAST(elb AS VARCHAR)"),
        ("SAFE_CAST(elb AS bigint)", "try_cast(elb AS BIGINT)"),
        ("CAST(elb AS date FORMAT 'YYYY')", "CAST(x AS type)"),
        ("CAST(elb AS varchar(3))", "substr(x, 1, n)"),
        ("CAST(elb AS char)", "substr(x, 1, n)"),
        ("CAST(elb AS string)", "types are"),
        ("CAST(elb AS text)", "types are"),
        ("CAST(elb AS float)", "types are"),
        ("CAST(elb AS int8)", "types are"),
        ("CAST(elb AS bool)", "types are"),
        ("CAST(elb AS bigint unsigned)", "types are"),
        ("CAST(elb AS bigint(20))", "types are"),
        ("CAST(elb AS decimal(10, 2))", "types are"),
        ("CAST(elb AS json)", "types are"),
        ("CAST(elb AS time)", "types are"),
        ("CAST(elb AS datetime)", "types are"),
        ("CAST(elb AS timestamptz)", "types are"),
        ("CAST(elb AS timestamp(0))", "types are"),
        ("CAST(elb AS bigint array)", ""),
        ("CONVERT(bigint, elb)", ""),
        ("CONVERT(elb USING utf8)", ""),
        ("TRY_CONVERT(bigint, elb)", ""),
        ("TIME '10:00:00'", "types are"),
        ("DATETIME '2026-11-20 10:00:00'", "types are"),
        ("{d '2026-11-20'}", ""),
        ("{ts '2026-11-20 10:00:00'}", ""),
        ("DATE \"2026-11-20\"", ""),
        ("elb AT TIME ZONE 'UTC'", "UTC"),
        ("elb AT TIME ZONE 'America/New_York'", "in UTC here"),
        (
            "TIMESTAMP '2026-11-20 10:00:00 America/New_York'",
            "in UTC here",
        ),
        (
            "CAST('2026-11-20 10:00:00-05:00' AS timestamp)",
            "in UTC here",
        ),
        ("EXTRACT('year' FROM elb)", "extract takes"),
        ("EXTRACT(year, elb)", "extract(YEAR FROM elb)"),
        ("EXTRACT(lower FROM elb)", "extract takes"),
        ("EXTRACT(epoch FROM elb)", "extract takes"),
        ("EXTRACT(week(monday) FROM elb)", "extract takes"),
        ("CEIL(sent_bytes TO DAY)", "ceil(sent_bytes)"),
        ("CEIL(sent_bytes, 2)", "ceil(sent_bytes)"),
        ("FLOOR(sent_bytes TO DAY)", "floor(sent_bytes)"),
        ("SUBSTRING(elb FOR 3)", "substr(elb, 1, 3)"),
        ("TRIM('a' FROM elb)", "white space"),
        ("TRIM(BOTH 'a' FROM elb)", "white space"),
        ("TRIM(elb, 'a')", "white space"),
        ("TRIM(LEADING elb)", "ltrim"),
        ("INTERVAL '1 day'", "INTERVAL '1' DAY"),
        ("INTERVAL 1 DAY", "INTERVAL '1' DAY"),
        ("INTERVAL '1.5' DAY", "INTERVAL '1' DAY"),
        ("INTERVAL '1' WEEK", "INTERVAL '1' DAY"),
        ("INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '1' DAY"),
        ("INTERVAL '1' SECOND(3)", "INTERVAL '1' DAY"),
        ("INTERVAL elb DAY", "INTERVAL '1' DAY"),
        ("?", ""),
        ("$1", "no parameters"),
        (":name", "no parameters"),
        ("@name", ""),
        ("1L", "without L"),
        ("X'41'", "numbers, texts"),
        ("0x41", "numbers, texts"),
        ("E'a'", "single quotes"),
        ("N'a'", "single quotes"),
        ("B'1'", "single quotes"),
        ("R'a'", "single quotes"),
        ("U&'a'", "single quotes"),
        ("Q'{a}'", "single quotes"),
        ("$$a$$", "single quotes"),
        ("\"url_extract_path(request_url)\"", "no column"),
        ("\"from_iso8601_timestamp(time)\"", "no column"),
        ("no_such_column", "no column no_such_column"),
        ("b.elb", "called alb_access_logs"),
        ("x.alb_access_logs.elb", "column's name alone"),
        ("\"named cast\"(elb, 'Cast BIGINT')", "without quotes"),
        ("\"all of\"(true, false)", "without quotes"),
        ("\"exact division\"(sent_bytes, 2, '/')", "without quotes"),
        ("\"lower\"(elb)", "without quotes"),
        ("a.lower(elb)", "without quotes"),
        ("{fn lower(elb)}", "without {"),
        ("lower(elb) OVER ()", "window"),
        ("lower(DISTINCT elb)", "for aggregates"),
        ("lower(ALL elb)", "for aggregates"),
        ("lower(elb) FILTER (WHERE true)", "FILTER is for aggregates"),
        ("lower(elb) IGNORE NULLS", "IGNORE NULLS"),
        ("lower(elb IGNORE NULLS)", "nothing after the arguments"),
        ("lower(elb) WITHIN GROUP (ORDER BY elb)", "WITHIN GROUP"),
        ("lower(elb ORDER BY elb)", "nothing after the arguments"),
        ("lower(elb LIMIT 1)", "nothing after the arguments"),
        ("lower(elb HAVING MAX type)", "nothing after the arguments"),
        ("lower(elb SEPARATOR ',')", "nothing after the arguments"),
        (
            "lower(elb ON OVERFLOW ERROR)",
            "nothing after the arguments",
        ),
        ("lower(1)(elb)", "one pair of parentheses"),
        ("lower(text => elb)", "without their names"),
        ("lower(text := elb)", "without their names"),
        ("lower(*)", "count(*)"),
        ("lower(alb_access_logs.*)", "count(*)"),
        ("lower((SELECT 1))", "subquery"),
        ("lower(SELECT 1)", ""),
        (
            "CASE WHEN elb::bigint > 1 THEN 1 END",
            "CAST(elb AS BIGINT)",
        ),
        ("elb_status_code IN (1, '2'::bigint)", "CAST('2' AS BIGINT)"),
    ];

    /// Aggregates, each an output column of a rollup with groups.
    const AGGREGATES: &[(&str, &str)] = &[
        ("sum(sent_bytes) OVER ()", "window"),
        ("sum(sent_bytes ORDER BY time)", "ORDER BY"),
        ("sum(sent_bytes LIMIT 1)", ""),
        ("max(sent_bytes HAVING MAX time)", ""),
        ("max(sent_bytes) IGNORE NULLS", "IGNORE NULLS"),
        ("max(sent_bytes) RESPECT NULLS", "IGNORE NULLS"),
        ("max(sent_bytes IGNORE NULLS)", ""),
        (
            "max(sent_bytes) WITHIN GROUP (ORDER BY time)",
            "WITHIN GROUP",
        ),
        ("sum(*)", "count(*)"),
        ("count(a.*)", "count(*)"),
        ("count(* EXCLUDE (elb))", ""),
        ("count(DISTINCT elb)", "approx_set"),
        ("sum(DISTINCT sent_bytes)", "approx_set"),
        ("sum(x => sent_bytes)", "without their names"),
        ("sum(1)(sent_bytes)", "one pair of parentheses"),
        ("\"count\"(*)", ""),
        ("{fn count(*)}", "without {"),
        (
            "count(*) FILTER (WHERE elb::bigint = 1)",
            "CAST(elb AS BIGINT)",
        ),
        ("count_if(elb ILIKE 'x')", "lower(elb)"),
    ];

    fn refused(sql: &str, says: &str) -> Option<String> {
        match parse(sql) {
            Ok(_) => Some(format!("{sql}: is taken")),
            Err(message) if message.contains(says) => None,
            Err(message) => Some(format!("{sql}: {message}")),
        }
    }

    #[test]
    fn sql_that_goes_round_the_check_is_refused() {
        let queries = ROUND_THE_CHECK
            .iter()
            .map(|(sql, says)| (sql.to_string(), *says));
        let expressions = EXPRESSIONS.iter().flat_map(|(expression, says)| {
            [
                format!("SELECT {expression} AS x FROM alb_access_logs"),
                format!("SELECT type FROM alb_access_logs WHERE coalesce({expression}, NULL) = 1"),
            ]
            .map(|sql| (sql, *says))
        });
        let aggregates = AGGREGATES.iter().map(|(aggregate, says)| {
            let sql = format!("SELECT elb, {aggregate} AS x FROM alb_access_logs a GROUP BY 1");
            (sql, *says)
        });
        let wrong: Vec<String> = queries
            .chain(expressions)
            .chain(aggregates)
            .filter_map(|(sql, says)| refused(&sql, says))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_rollups_are_made_of_is_taken() {
        for expression in [
            "a.elb",
            "\"elb\"",
            "(elb)",
            "-sent_bytes + 1.5e0 * 2 % 3 / 4",
            "elb || 'x' || ''''",
            "elb != 'x' AND NOT elb <> 'y' OR elb IS NULL AND elb IS NOT NULL",
            "(elb IS DISTINCT FROM type) OR elb IS NOT DISTINCT FROM type || 'x'",
            "elb_status_code NOT BETWEEN 1 AND 2 OR elb IN ('x', NULL)",
            "elb LIKE 'x!%' ESCAPE '!' AND elb NOT LIKE '_'",
            "CASE elb WHEN 'x' THEN 1 ELSE 2 END",
            "CASE WHEN true THEN 1 END",
            "try_cast(elb AS double precision)",
            "cast(cast(from_iso8601_timestamp(time) AS timestamp(3) with time zone) AS timestamp)",
            "DATE '2026-11-20' + INTERVAL '1' MONTH",
            "TIMESTAMP '2026-11-20 10:00:00 UTC'",
            "BIGINT '5'",
            "extract(day_of_week FROM from_iso8601_timestamp(time))",
            "ceil(sent_bytes) + floor(sent_bytes)",
            "position('x' IN elb)",
            "substring(elb FROM 2 FOR 3) || substring(elb, 2)",
            "trim(elb)",
            "if(elb = 'x', 1, 2)",
            "lower(elb) /* a comment */ -- and another",
        ] {
            let sql = format!("SELECT {expression}\n AS x FROM alb_access_logs AS a");
            if let Err(message) = parse(&sql) {
                panic!("{sql}: {message}");
            }
        }
        for aggregate in [
            "count(*)",
            "count(ALL elb)",
            "count()",
            "sum(sent_bytes) FILTER (WHERE elb = 'x')",
            "count_if(elb = 'x')",
        ] {
            let sql =
                format!("SELECT elb, {aggregate} AS x FROM default.alb_access_logs GROUP BY elb");
            if let Err(message) = parse(&sql) {
                panic!("{sql}: {message}");
            }
        }
    }
}
