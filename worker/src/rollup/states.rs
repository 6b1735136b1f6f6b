//! Adds the columns that a table needs besides those of the user: the day of each row, exact states of integer sums, and the
//! mark of the row for groups that a slot has no room for.

use arrow::datatypes::{DataType, Schema};
use datafusion::sql::sqlparser::ast::{
    self, CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    SelectItem, Value,
};

use super::aggregates::function_name;
use super::parse::{ParsedRollup, expr_of, select_of};
use crate::format::ScanColumn;
use crate::table::definition::{DATE_COLUMN, IS_OTHER_COLUMN};
use crate::table::{MergeRule, sum_state};

/// Adds all columns that the table needs. `types` has the user's columns. Returns the output column that decides which
/// slot a row belongs to.
pub(super) fn add_columns(parsed: &mut ParsedRollup, types: &Schema) -> Result<String, String> {
    let merges = parsed.columns.iter().any(|(_, rule)| rule.is_some());
    let time_key = time_key(parsed, types)?;
    if merges {
        let sums: Vec<usize> = (0..parsed.columns.len())
            .filter(|&column| types.field(column).data_type() == &DataType::Int64)
            .filter(|&column| is_sum(parsed, column))
            .collect();
        keep_exact_sums(parsed, &sums)?;
        check_is_other(parsed)?;
    }
    if !merges || time_key.is_none() {
        add_day(parsed);
    }
    let is_key = |(_, rule): &&(String, Option<MergeRule>)| *rule == Some(MergeRule::GroupKey);
    // With the time as the only group key, a slot has no more groups than times.
    if merges && parsed.columns.iter().filter(is_key).count() > 1 {
        add_is_other(parsed);
    }
    Ok(match time_key {
        Some(key) => parsed.columns[key].0.clone(),
        None => DATE_COLUMN.to_owned(),
    })
}

/// The index of the first group key that is a time. Refuses an output column that would hide the one that the table is
/// partitioned by.
fn time_key(parsed: &ParsedRollup, types: &Schema) -> Result<Option<usize>, String> {
    let is_time =
        |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
    let mut columns = parsed.columns.iter().zip(types.fields());
    let time_key = columns.position(|((_, rule), field)| {
        *rule == Some(MergeRule::GroupKey) && is_time(field.data_type())
    });
    let date_column = parsed
        .columns
        .iter()
        .position(|(name, _)| name == DATE_COLUMN);
    let date_is_key = date_column.is_some()
        && date_column == time_key
        && time_key.is_some_and(|key| types.field(key).data_type() == &DataType::Date32);
    if date_column.is_some() && !date_is_key {
        return Err(
            "the output column 'date' would hide the column that the table is partitioned by: \
                    rename the output column, or make it the first time among the group keys, with the type DATE"
                .to_owned(),
        );
    }
    Ok(time_key)
}

/// Adds the day of each line to the GROUP BY, or to the output columns of a rollup that keeps every row.
fn add_day(parsed: &mut ParsedRollup) {
    let day = Expr::Identifier(Ident::with_quote('"', ScanColumn::Day.name(parsed.format)));
    let Some(select) = select_of(&mut parsed.statement) else {
        return;
    };
    select.projection.push(SelectItem::ExprWithAlias {
        expr: day.clone(),
        alias: Ident::with_quote('"', DATE_COLUMN),
    });
    let merges = parsed.columns.iter().any(|(_, rule)| rule.is_some());
    if merges && let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.push(day);
    }
    if !parsed.computed.contains(&ScanColumn::Day) {
        parsed.computed.push(ScanColumn::Day);
    }
    parsed.columns.push((
        DATE_COLUMN.to_owned(),
        merges.then_some(MergeRule::GroupKey),
    ));
}

/// Adds the exact state of each of these integer sums, a decimal of 38 digits, as a column beside it. So the sum of a
/// bigint is exact whatever visitors write, and it is NULL where a bigint can't hold it.
fn keep_exact_sums(parsed: &mut ParsedRollup, sums: &[usize]) -> Result<(), String> {
    for &position in sums {
        let name = parsed.columns[position].0.clone();
        let state = sum_state(&name);
        if parsed.columns.iter().any(|(other, _)| *other == state) {
            return Err(format!(
                "the output column '{state}' would hide the column with the exact sum of '{name}': rename it"
            ));
        }
        let Some(select) = select_of(&mut parsed.statement) else {
            return Ok(());
        };
        let item = &mut select.projection[position];
        let mut sum = expr_of(item).clone();
        while let Expr::Nested(inner) = sum {
            sum = *inner;
        }
        if let Expr::Function(function) = &mut sum
            && let FunctionArguments::List(list) = &mut function.args
        {
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg {
                    *arg = cast(CastKind::Cast, arg.clone(), exact_type());
                }
            }
        }
        *item = SelectItem::ExprWithAlias {
            expr: cast(CastKind::TryCast, sum.clone(), ast::DataType::BigInt(None)),
            alias: Ident::with_quote('"', &name),
        };
        select.projection.push(SelectItem::ExprWithAlias {
            expr: sum,
            alias: Ident::with_quote('"', &state),
        });
        parsed.columns[position].1 = Some(MergeRule::BigintSum);
        parsed.columns.push((state, Some(MergeRule::Sum)));
    }
    Ok(())
}

/// The type of a sum's exact state.
fn exact_type() -> ast::DataType {
    ast::DataType::Decimal(ast::ExactNumberInfo::PrecisionAndScale(38, 0))
}

fn cast(kind: CastKind, expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

/// Refuses an output column with the name of the one that [`add_is_other`] adds. The table recognises that column by its
/// name, so the name is reserved in tables without it too.
fn check_is_other(parsed: &ParsedRollup) -> Result<(), String> {
    let mut names = parsed.columns.iter().map(|(name, _)| name);
    match names.any(|name| name == IS_OTHER_COLUMN) {
        true => Err(format!(
            "the output column '{IS_OTHER_COLUMN}' would hide the column that marks the row for all groups beyond the limit \
             of an hour: rename it"
        )),
        false => Ok(()),
    }
}

/// Adds the column that marks the row for all groups that a full slot has no room for.
fn add_is_other(parsed: &mut ParsedRollup) {
    if let Some(select) = select_of(&mut parsed.statement) {
        select.projection.push(SelectItem::ExprWithAlias {
            expr: Expr::value(Value::Boolean(false)),
            alias: Ident::with_quote('"', IS_OTHER_COLUMN),
        });
        let rule = Some(MergeRule::GroupKey);
        parsed.columns.push((IS_OTHER_COLUMN.to_owned(), rule));
    }
}

/// Whether an output column is a call of `sum`.
fn is_sum(parsed: &mut ParsedRollup, position: usize) -> bool {
    let Some(select) = select_of(&mut parsed.statement) else {
        return false;
    };
    let mut expr = expr_of(&select.projection[position]);
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    matches!(expr, Expr::Function(function) if function_name(function) == "sum")
}

#[cfg(test)]
mod tests {
    use crate::rollup::Rollup;

    #[tokio::test]
    async fn the_names_of_columns_that_a_table_adds_are_taken() {
        let time = "date_trunc('hour', from_iso8601_timestamp(time))";
        for columns in [
            // A table grouped by time alone has no such column of its own.
            format!("{time} AS is_other, count(*) AS n"),
            format!("{time} AS hour, bool_or(elb = 'x') AS is_other"),
            format!("{time} AS hour, elb AS is_other, count(*) AS n"),
            format!("{time} AS hour, sum(sent_bytes) AS n, count(*) AS n__sum"),
            "elb AS date, count(*) AS n".to_owned(),
        ] {
            let keys = match columns.contains("elb AS is_other") {
                true => "1, 2",
                false => "1",
            };
            let sql = format!("SELECT {columns} FROM alb_access_logs GROUP BY {keys}");
            let refused = Rollup::from_sql("t", &sql).await.unwrap_err();
            assert!(refused.contains("would hide"), "{refused}");
        }
    }
}
