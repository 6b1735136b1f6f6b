//! The parts of a query: one SELECT with its output columns, FROM, WHERE and GROUP BY, and nothing else.

use datafusion::sql::sqlparser::ast::{
    Distinct, Ident, ObjectNamePart, Query, Select, SelectFlavor, SetExpr, TableAlias, TableFactor,
    WildcardAdditionalOptions, With,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use super::check_name;
use crate::rollup::parse::windows_over_lines;

/// Refuses comments that the parser reads differently from Athena: it executes `/*! … */`, and lets comments nest. Neither
/// leaves a trace in the syntax tree.
pub(in crate::rollup) fn check_comments(sql: &str) -> Result<(), String> {
    // This dialect treats `/*!` as a comment, so that it is visible here. Text that can't be tokenized is left to the
    // parser to refuse.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
    for token in tokens.unwrap_or_default() {
        if let Token::Whitespace(Whitespace::MultiLineComment(comment)) = token {
            if comment.starts_with('!') {
                return Err(format!(
                    "some engines execute the comment /*{comment}*/, and Athena ignores it: leave the comment out, or begin it \
                     without !"
                ));
            }
            if comment.contains("/*") {
                return Err(
                    "nested comments are not supported: in Athena, both comments end at the first */. Use -- for one of them"
                        .to_owned(),
                );
            }
        }
    }
    Ok(())
}

/// The query's SELECT, if the query has nothing else.
pub(in crate::rollup) fn check_query(query: &mut Query) -> Result<&mut Select, String> {
    check_clauses(query)?;
    if let Some(with) = &query.with {
        return Err(windows_over_lines(query).unwrap_or_else(|| why_not_one(with, &query.body)));
    }
    let select = match &mut *query.body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { op, .. } => {
            return Err(format!(
                "{op} cannot be merged: a rollup is one SELECT. Write a rollup for each SELECT"
            ));
        }
        SetExpr::Query(_)
        | SetExpr::Values(_)
        | SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_)
        | SetExpr::Table(_) => {
            return Err("the statement is not a SELECT: write one SELECT statement, without parentheses around it".to_owned());
        }
    };
    check_select(select)?;
    Ok(select)
}

/// Why the queries of WITH do not become one SELECT.
fn why_not_one(with: &With, body: &SetExpr) -> String {
    let names: Vec<String> = with
        .cte_tables
        .iter()
        .map(|cte| cte.alias.name.to_string())
        .collect();
    let is_joined = matches!(body, SetExpr::Select(select) if select.from.iter().map(|from| 1 + from.joins.len()).sum::<usize>() > 1);
    match is_joined {
        true => format!(
            "WITH {}: queries that each group log lines cannot be joined in a rollup, because a table has one grouping. Write a rollup for \
             each, and join their tables when you query them",
            names.join(", ")
        ),
        false => format!(
            "WITH {}: cannot be merged: a rollup is one SELECT over a log table. Write this SELECT without WITH",
            names.join(", ")
        ),
    }
}

/// Checks a query around the one over the log table, which is done when somebody reads. Its expressions are checked when it is
/// planned.
pub(in crate::rollup) fn check_around(query: &Query) -> Result<(), String> {
    check_clauses(query)?;
    match &*query.body {
        SetExpr::Select(select) => check_select(select),
        _ => Ok(()),
    }
}

/// Refuses anything around the SELECT, such as WITH and ORDER BY.
fn check_clauses(query: &Query) -> Result<(), String> {
    let Query {
        with: _,
        body: _,
        // These three belong to the reading part, and were taken out.
        order_by: _,
        limit_clause: _,
        fetch: _,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    if let Some(operator) = pipe_operators.first() {
        return Err(format!(
            "|> {operator} is not Athena SQL: write the whole query as one SELECT"
        ));
    }
    if let Some(lock) = locks.first() {
        return Err(format!(
            "{lock} is not supported, because log files are only read: leave it out"
        ));
    }
    if let Some(clause) = for_clause {
        return Err(format!("{clause} is not Athena SQL: leave it out"));
    }
    if settings.is_some() {
        return Err("SETTINGS is not Athena SQL: leave it out".to_owned());
    }
    if let Some(clause) = format_clause {
        return Err(format!(
            "{clause} is not Athena SQL: leave it out. A table always has the Delta Lake format"
        ));
    }
    Ok(())
}

/// Refuses anything in a SELECT besides its output columns, FROM, WHERE and GROUP BY.
fn check_select(select: &Select) -> Result<(), String> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        having: _,
        named_window,
        qualify,
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
    match distinct {
        None | Some(Distinct::Distinct) => {}
        Some(Distinct::All) => {
            return Err("SELECT ALL means the same as SELECT: leave ALL out".to_owned());
        }
        Some(Distinct::On(_)) => {
            return Err(
                "DISTINCT ON is not Athena SQL: name the columns in GROUP BY instead".to_owned(),
            );
        }
    }
    if qualify.is_some() || !named_window.is_empty() {
        return Err("WINDOW and QUALIFY cannot be merged: a window would have the rows of one log file only. \
             Compute window functions when you query the table".to_owned());
    }
    if let Some(hint) = optimizer_hints.first() {
        return Err(format!(
            "the hint {hint} has no effect in a rollup or in Athena: leave it out"
        ));
    }
    if *flavor != SelectFlavor::Standard {
        return Err("FROM before SELECT is not Athena SQL: write SELECT … FROM …".to_owned());
    }
    if let Some(modifiers) = select_modifiers {
        return Err(format!("SELECT{modifiers} is not Athena SQL: leave it out"));
    }
    if let Some(top) = top {
        return Err(format!(
            "{top} cannot be merged: it would limit the rows of each log file separately. Limit the rows when you query the table"
        ));
    }
    if let Some(mode) = value_table_mode {
        return Err(format!(
            "SELECT {mode} is not Athena SQL: write SELECT and the columns"
        ));
    }
    if exclude.is_some() {
        return Err("SELECT … EXCLUDE is not Athena SQL: name the columns to keep".to_owned());
    }
    if let Some(into) = into {
        return Err(format!(
            "{into} is not supported: the table has the name of the rollup's file. Leave it out"
        ));
    }
    if projection.is_empty() {
        return Err("SELECT has no columns: name them, or write SELECT *".to_owned());
    }
    if !lateral_views.is_empty() {
        return Err(
            "LATERAL VIEW is not Athena SQL, and a log line has no arrays: leave it out".to_owned(),
        );
    }
    if let Some(condition) = prewhere {
        return Err(format!(
            "PREWHERE is not Athena SQL: write WHERE {condition}"
        ));
    }
    if !connect_by.is_empty() {
        return Err(
            "CONNECT BY and START WITH are not Athena SQL, and a rollup computes each log line separately: leave them out"
                .to_owned(),
        );
    }
    if !(cluster_by.is_empty() && distribute_by.is_empty() && sort_by.is_empty()) {
        return Err(
            "CLUSTER BY, DISTRIBUTE BY and SORT BY are not supported: the table is always sorted by its group keys. \
             Leave them out"
                .to_owned(),
        );
    }
    Ok(())
}

/// The name by which expressions may refer to the table, if FROM has a table and nothing else.
pub(in crate::rollup) fn table_in_from(relation: &TableFactor) -> Result<&Ident, String> {
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
        return Err(
            "FROM must name a log table itself: a subquery or a function is not supported"
                .to_owned(),
        );
    };
    if sample.is_some() {
        return Err(
            "TABLESAMPLE is not supported: every log file is counted as a whole. Leave it out"
                .to_owned(),
        );
    }
    if version.is_some() {
        return Err(format!(
            "{relation} is not supported: a log table has no versions. Write the table's name alone"
        ));
    }
    if !partitions.is_empty() {
        return Err(format!(
            "{relation} is not supported: a rollup reads every log file. Write the table's name alone, and select lines with WHERE"
        ));
    }
    if args.is_some()
        || !with_hints.is_empty()
        || *with_ordinality
        || json_path.is_some()
        || !index_hints.is_empty()
    {
        return Err(format!(
            "{relation} is not supported: a log table takes no arguments and no hints. Write the table's name alone"
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
            Some(ObjectNamePart::Function(_)) | None => Err(format!(
                "{relation} is not the name of a table: write the log table's name"
            )),
        };
    };
    if !columns.is_empty() || at.is_some() {
        return Err(format!(
            "{relation} is not supported: a log table's columns keep their names. Write the table's name, with at most an alias"
        ));
    }
    // sqlparser takes FINAL for an alias. In Athena it is one too, and has no effect.
    if alias.quote_style.is_none() && alias.value.eq_ignore_ascii_case("final") {
        return Err("FINAL is not Athena SQL: leave it out".to_owned());
    }
    check_name(alias).map(|()| alias)
}

/// Refuses options after `*`.
pub(in crate::rollup) fn check_wildcard(options: &WildcardAdditionalOptions) -> Result<(), String> {
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
        false => Err(format!("'*{options}' is not Athena SQL: name the columns")),
    }
}
