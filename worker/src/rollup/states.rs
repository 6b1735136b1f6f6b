//! Adds the columns that a table needs besides those of the user: the states of aggregates, the day of each row, and the mark of the row
//! for groups that a slot has no room for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, Query, SelectItem, Statement, TableFactor, Value,
};

use super::aggregates::{Part, function_name, is_distinct};
use super::days::check_plan;
use super::desugar::Desugar;
use super::parse::{ParsedRollup, column_of, select_of};
use super::parts;
use super::planning_error::plain_words;
use super::reading::{Shown, Sorted, SortedBy, View, set_now, with_now};
use super::results::{self, Over, States, Template, quoted};
use super::{every_column, schema_of};
use crate::engine;
use crate::engine::functions::json::JSON;
use crate::engine::functions::zoned::other_zone;
use crate::format::{LogFormat, ScanColumn};
use crate::table::definition::{DATE_COLUMN, IS_OTHER_COLUMN};
use crate::table::{MergeRule, sum_state};

/// A table, as SQL over the lines of a log file.
pub(super) struct TableSql {
    pub(super) statement: Statement,
    /// Values that the statement takes from the scan, in addition to the log table's columns.
    pub(super) computed: Vec<ScanColumn>,
    /// Each column's name, and how it merges; `None` in a table that keeps every row.
    pub(super) columns: Vec<(String, Option<MergeRule>)>,
    /// The column that decides which slot a row belongs to.
    pub(super) slot: String,
    /// The expression that it is, over log lines.
    pub(super) time_key: String,
    /// The query of the table that gives the result of the rollup's SQL. `None` if the table is that result.
    pub(super) view: Option<View>,
    /// The number of the SQL's own output columns. Without a view, they are the first columns of the table.
    pub(super) outputs: usize,
    /// The functions in the place of joins.
    pub(super) lookups: Vec<Arc<ScalarUDF>>,
    /// Output columns that any rows of the table give, each with its SQL over these rows.
    pub(super) regrouped: Vec<(String, String)>,
    /// The columns with t-digests, each with the values of the digest as text.
    pub(super) digested: Vec<(String, String)>,
}

/// The table that a rollup needs.
pub(super) async fn table_of(parsed: ParsedRollup) -> Result<TableSql, String> {
    for condition in &parsed.conditions {
        // Boxed, because the planner's frames leave little of a thread's stack in debug builds.
        Box::pin(check_condition(condition, &parsed)).await?;
    }
    let keys = parsed.keys();
    let (types, key_types) = types_over_lines(&parsed, &keys).await?;
    let mut states = States {
        types,
        keys,
        key_types,
        ..States::default()
    };
    let mut made = with_states(&parsed, &mut states)?;
    let first = finished(
        parsed.query.clone(),
        &made.items,
        &states.keys,
        parsed.format,
    )?;
    let types = types_of(first, &parsed).await?;
    check_arrays(&made.columns, &types)?;
    let time_key = time_key(&made.columns, &types)?;
    if parsed.merges {
        check_is_other(&made.columns)?;
    }
    let mut keys = states.keys.clone();
    if !parsed.merges || time_key.is_none() {
        let day = quoted(ScanColumn::Day.name(parsed.format).as_ref());
        if parsed.merges {
            keys.push((day.clone(), DATE_COLUMN.to_owned()));
        }
        let rule = parsed.merges.then_some(MergeRule::GroupKey);
        made.add(DATE_COLUMN, day, rule);
    }
    // With the time as the only group key, a slot has no more groups than times.
    if parsed.merges && keys.len() > 1 {
        let other = Expr::value(Value::Boolean(false));
        made.add(IS_OTHER_COLUMN, other, Some(MergeRule::GroupKey));
    }
    let slot = match time_key {
        Some(key) => made.columns[key].0.clone(),
        None => DATE_COLUMN.to_owned(),
    };
    let place = made.columns.iter().position(|(name, _)| *name == slot);
    let over_lines = place.map(|place| match &made.items[place] {
        SelectItem::ExprWithAlias { expr, .. } => expr.to_string(),
        other => other.to_string(),
    });
    let merged = parsed.merges && (time_key.is_none() || parsed.has_keys_of_conditions());
    let view = view(&parsed, &states, &made, merged, &types)?;
    let regrouped = regrouped(&parsed, &states, &made);
    let digested = digested(&made);
    let outputs = parsed.outputs.len();
    let (statement, computed) = finished(parsed.query, &made.items, &keys, parsed.format)?;
    Ok(TableSql {
        statement,
        computed,
        columns: made.columns,
        slot,
        time_key: over_lines.unwrap_or_default(),
        view,
        outputs,
        lookups: parsed.joined.functions,
        regrouped,
        digested,
    })
}

/// The output columns that are computed from states alone, each with its SQL over any rows of the table.
fn regrouped(parsed: &ParsedRollup, states: &States, made: &Made) -> Vec<(String, String)> {
    let outputs = parsed.outputs.iter().enumerate();
    let regrouped = outputs.filter_map(|(place, output)| {
        let is_merged = matches!(output.part, Part::State(_) | Part::Result);
        let template = made.outputs.get(&place).filter(|_| is_merged)?;
        let over = template
            .is_of_states()
            .then(|| states.over(Over::ViewedRows, template));
        Some((output.column.clone(), over?.ok()?.to_string()))
    });
    regrouped.collect()
}

/// The columns with t-digests, each with its values as text. Two digests of the same values have the same text.
fn digested(made: &Made) -> Vec<(String, String)> {
    let columns = made.items.iter().zip(&made.columns);
    let digests = columns.filter_map(|(item, (column, rule))| match (item, rule) {
        (
            SelectItem::ExprWithAlias {
                expr: Expr::Function(call),
                ..
            },
            Some(MergeRule::TDigest),
        ) => Some((column.clone(), parts::digested(call))),
        _ => None,
    });
    digests.collect()
}

/// The columns of a table, and the expressions over log lines that they begin with.
struct Made {
    items: Vec<SelectItem>,
    columns: Vec<(String, Option<MergeRule>)>,
    /// The templates of output columns with aggregates, by the column's place, of HAVING and of ORDER BY's items.
    outputs: HashMap<usize, Template>,
    having: Option<Template>,
    scalars: Vec<Template>,
    order_by: Vec<Option<Template>>,
}

impl Made {
    fn add(&mut self, column: &str, expr: Expr, rule: Option<MergeRule>) {
        self.items.push(item(column, expr));
        self.columns.push((column.to_owned(), rule));
    }
}

fn item(column: &str, expr: Expr) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', column),
    }
}

/// The statement over log lines with these output columns and group keys, rewritten for the engine.
fn finished(
    mut query: Query,
    items: &[SelectItem],
    keys: &[(Expr, String)],
    format: &'static LogFormat,
) -> Result<(Statement, Vec<ScanColumn>), String> {
    if let Some(select) = select_of(&mut query) {
        select.projection = items.to_vec();
        // The engine knows the log table without the name of its database.
        if let Some(TableFactor::Table { name, .. }) =
            select.from.first_mut().map(|from| &mut from.relation)
        {
            *name = vec![Ident::new(format.table)].into();
        }
        let keys = keys.iter().map(|(key, _)| key.clone());
        select.group_by = GroupByExpr::Expressions(keys.collect(), Vec::new());
    }
    let keys = keys.iter().filter_map(|(key, _)| column_of(key));
    let mut desugar = Desugar::over_lines(format, keys.collect());
    desugar.over(&mut query)?;
    Ok((Statement::Query(Box::new(query)), desugar.computed()))
}

/// Refuses a condition that reading decides, with the words of the user's SQL: parts of it are moved and rewritten afterwards.
async fn check_condition(condition: &Expr, parsed: &ParsedRollup) -> Result<(), String> {
    let now = SystemTime::now().into();
    let mut query = parsed.query.clone();
    if let Some(select) = select_of(&mut query) {
        select.selection = Some(condition.clone());
    }
    set_now(&mut query, now)?;
    let any = item("condition", Expr::value(Value::Boolean(true)));
    let (statement, computed) = finished(query, &[any], &[], parsed.format)?;
    let schema = schema_of(parsed.format, &every_column(parsed.format, &computed));
    let (table, lookups) = (parsed.format.table, &parsed.joined.functions);
    let planned = engine::plan_over_stream(statement, table, schema, Vec::new(), lookups).await;
    let checked = planned.and_then(|(state, plan)| check_plan(&state.optimize(&plan)?));
    checked.map_err(|error| with_now(&plain_words(&error), now))
}

/// The types of a statement's output columns.
async fn types_of(
    (statement, computed): (Statement, Vec<ScanColumn>),
    parsed: &ParsedRollup,
) -> Result<Schema, String> {
    let format = parsed.format;
    let schema = schema_of(format, &every_column(format, &computed));
    let lookups = &parsed.joined.functions;
    let types = engine::output_schema(statement, format.table, schema, lookups).await;
    let types = types.map_err(|error| plain_words(&error))?;
    Ok(types.as_ref().clone())
}

/// The types of the arguments of each of the query's aggregates, by its text, and those of the group keys.
async fn types_over_lines(
    parsed: &ParsedRollup,
    keys: &[(Expr, String)],
) -> Result<(HashMap<String, Vec<DataType>>, Vec<DataType>), String> {
    let outputs = parsed.outputs.iter();
    let outputs = outputs.filter(|output| !matches!(output.part, Part::Key | Part::Line));
    let order_by = parsed.reading.order_by.iter();
    let order_by = order_by.filter_map(|order| match &order.by {
        Sorted::Expr(expr) if parsed.merges => Some(&**expr),
        _ => None,
    });
    let exprs = outputs.map(|output| &output.expr);
    let scalars = parsed.reading.scalars.iter().map(|scalar| &scalar.expr);
    let exprs = exprs
        .chain(&parsed.reading.having)
        .chain(order_by)
        .chain(scalars);
    let calls: Vec<_> = exprs.flat_map(results::calls).collect();
    let arguments = calls.iter().flat_map(results::arguments);
    let exprs = arguments.chain(keys.iter().map(|(key, _)| key)).enumerate();
    let items: Vec<SelectItem> = exprs
        .map(|(place, expr)| item(&format!("expression {place}"), expr.clone()))
        .collect();
    let mut types = Vec::new();
    if !items.is_empty() {
        let statement = finished(parsed.query.clone(), &items, &[], parsed.format)?;
        let schema = types_of(statement, parsed).await?;
        types = schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
    }
    let mut types = types.into_iter();
    let mut of_calls = HashMap::new();
    for call in &calls {
        let own: Vec<DataType> = types
            .by_ref()
            .take(results::arguments(call).len())
            .collect();
        check_arguments(call, &own)?;
        of_calls.insert(call.to_string(), own);
    }
    Ok((of_calls, types.collect()))
}

/// Adds the states of all aggregates, and computes the results from them. A sum of integers has an exact state, a decimal of 38
/// digits, so it is right whatever visitors write, and NULL where a bigint can't hold it.
fn with_states(parsed: &ParsedRollup, states: &mut States) -> Result<Made, String> {
    // Aggregates that are output columns themselves come first, so that results use them.
    let mut sums = Vec::new();
    for output in &parsed.outputs {
        let Part::State(rule) = &output.part else {
            continue;
        };
        match &output.expr {
            Expr::Function(call) if function_name(call) == "sum" && states.is_of_integers(call) => {
                sums.push((output, call));
            }
            expr => states.add(&output.column, expr.clone(), rule.clone()),
        }
    }
    let own = states.all.len();
    let mut sum_results = HashMap::new();
    for (output, sum) in sums {
        let (state, result) = parts::exact_sum(sum);
        states.add_sum(&sum_state(&output.column), state, &output.column);
        sum_results.insert(output.column.clone(), result);
    }
    let mut made = Made {
        items: Vec::new(),
        columns: Vec::new(),
        outputs: HashMap::new(),
        having: None,
        scalars: Vec::new(),
        order_by: Vec::new(),
    };
    for (place, output) in parsed.outputs.iter().enumerate() {
        let column = &output.column;
        match &output.part {
            Part::Line => made.add(column, output.expr.clone(), None),
            Part::Key => made.add(column, output.expr.clone(), Some(MergeRule::GroupKey)),
            Part::State(rule) => {
                made.outputs
                    .insert(place, states.take_apart(column, &output.expr)?);
                match sum_results.remove(column) {
                    Some(sum) => made.add(column, sum, Some(MergeRule::BigintSum)),
                    None => made.add(column, output.expr.clone(), Some(rule.clone())),
                }
            }
            Part::Result => {
                let template = states.take_apart(column, &output.expr)?;
                // A result must not fail when rows are merged, because nobody could mend it: it is NULL then.
                let attempted = |expr| super::desugar::call("try", None, vec![expr]);
                let of_lines = attempted(states.over(Over::Lines, &template)?);
                let mut of_rows = attempted(states.over(Over::MergedRows, &template)?);
                super::desugar::over_rows(&mut of_rows)?;
                let rule = MergeRule::Result(of_rows.to_string().into());
                made.add(column, of_lines, Some(rule));
                made.outputs.insert(place, template);
            }
            Part::Reading => {
                let template = states.take_apart(column, &output.expr)?;
                made.outputs.insert(place, template);
            }
        }
    }
    if let Some(having) = &parsed.reading.having {
        made.having = Some(states.take_apart("having", having)?);
    }
    for scalar in &parsed.reading.scalars {
        made.scalars
            .push(states.take_apart("scalar", &scalar.expr)?);
    }
    for order in &parsed.reading.order_by {
        made.order_by.push(match &order.by {
            Sorted::Expr(expr) => Some(states.take_apart("order", expr)?),
            Sorted::Output(_) => None,
        });
    }
    for state in states.all.clone().into_iter().skip(own) {
        if made.columns.iter().any(|(name, _)| *name == state.column) {
            return Err(format!(
                "the output column '{}' would hide a column that the table needs to compute another one: rename it",
                state.column
            ));
        }
        made.add(&state.column, state.aggregate, Some(state.rule));
    }
    Ok(made)
}

/// The view that a rollup needs, if its table is not the result of its SQL.
fn view(
    parsed: &ParsedRollup,
    states: &States,
    made: &Made,
    merged: bool,
    types: &Schema,
) -> Result<Option<View>, String> {
    let reading = &parsed.reading;
    let outputs = &parsed.outputs;
    let is_same = |output: &super::parse::Output| {
        output.name.as_ref() == Some(&output.column) && output.part != Part::Reading
    };
    let type_of = |column: &str| types.field_with_name(column).ok().map(Field::data_type);
    let has_zone = |output: &super::parse::Output| {
        type_of(&output.column).is_some_and(|data_type| other_zone(data_type).is_some())
    };
    let is_plain = reading.outer.is_none()
        && !reading.distinct
        && reading.having.is_none()
        && reading.filters.is_empty()
        && reading.order_by.is_empty()
        && reading.limit.is_none()
        && outputs.iter().all(is_same)
        && !outputs.iter().any(has_zone);
    if is_plain && !merged {
        return Ok(None);
    }
    let is_json = |output: &super::parse::Output| type_of(&output.column) == Some(&JSON);
    if reading.outer.is_some() && outputs.iter().any(is_json) {
        return Err(
            "a query around a column of json is not supported, because a table stores it as text: cast it to varchar \
                    or a number in the inner query"
                .to_owned(),
        );
    }
    let over = if merged { Over::ViewedRows } else { Over::Row };
    let mut shown = Vec::with_capacity(outputs.len());
    for (place, output) in outputs.iter().enumerate() {
        let Some(name) = &output.name else { continue };
        let expr = match made.outputs.get(&place) {
            Some(template) if merged || output.part == Part::Reading => {
                let expr = states.over(over, template)?;
                match is_json(output) {
                    true => super::desugar::call("json_format", None, vec![expr]),
                    false => expr,
                }
            }
            // Athena's views have no columns of json.
            _ if is_json(output) => quoted(&output.column),
            _ => results::restored(quoted(&output.column), type_of(&output.column)),
        };
        shown.push(Shown {
            name: name.clone(),
            expr,
            is_instant: matches!(type_of(&output.column), Some(DataType::Timestamp(..))),
            is_key: output.part == Part::Key,
        });
    }
    let mut order_by = Vec::with_capacity(reading.order_by.len());
    for (order, template) in reading.order_by.iter().zip(&made.order_by) {
        let expr = match (&order.by, template) {
            (Sorted::Output(position), _) => {
                Expr::value(Value::Number((position + 1).to_string(), false))
            }
            (Sorted::Expr(expr), None) => (**expr).clone(),
            (Sorted::Expr(_), Some(template)) => states.over(over, template)?,
        };
        let direction = if order.options.asc == Some(false) {
            "DESC"
        } else {
            "ASC"
        };
        // In Trino, NULL is last in either direction unless the query says otherwise.
        let nulls = if order.options.nulls_first == Some(true) {
            "FIRST"
        } else {
            "LAST"
        };
        order_by.push(SortedBy {
            expr,
            direction: format!("{direction} NULLS {nulls}"),
        });
    }
    let condition = made.having.as_ref().map(|having| states.over(over, having));
    let keys = outputs
        .iter()
        .filter(|output| output.part == Part::Key && !output.is_of_condition);
    let keys = keys.map(|key| key.column.clone());
    let mut scalars = Vec::with_capacity(reading.scalars.len());
    for (scalar, template) in reading.scalars.iter().zip(&made.scalars) {
        let expr = states.over(Over::ViewedRows, template)?;
        scalars.push((expr, scalar.filters.clone()));
    }
    Ok(Some(View {
        distinct: reading.distinct,
        outputs: shown,
        scalars,
        filters: reading.filters.clone(),
        condition: condition.transpose()?,
        merged_by: merged.then(|| keys.collect()),
        order_by,
        limit: reading.limit.clone(),
        outer: reading.outer.clone(),
        outer_instants: Vec::new(),
    }))
}

/// The index of the first group key that is a time. Refuses an output column that would hide the one that the table is
/// partitioned by.
fn time_key(
    columns: &[(String, Option<MergeRule>)],
    types: &Schema,
) -> Result<Option<usize>, String> {
    let is_time =
        |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
    let mut fields = columns.iter().zip(types.fields());
    let time_key = fields.position(|((_, rule), field)| {
        *rule == Some(MergeRule::GroupKey) && is_time(field.data_type())
    });
    let date_column = columns.iter().position(|(name, _)| name == DATE_COLUMN);
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

/// Refuses arrays as group keys, by which tables would have to be sorted.
fn check_arrays(columns: &[(String, Option<MergeRule>)], types: &Schema) -> Result<(), String> {
    for ((column, rule), field) in columns.iter().zip(types.fields()) {
        if *rule == Some(MergeRule::GroupKey) && field.data_type().is_nested() {
            return Err(format!(
                "the group key '{column}' is an array, and a table has no groups of arrays: write array_join(…, ',')"
            ));
        }
    }
    Ok(())
}

/// Refuses arrays as arguments of aggregates, but for the percentiles of `approx_percentile`.
fn check_arguments(call: &Function, types: &[DataType]) -> Result<(), String> {
    let name = function_name(call);
    let is_value = |place: usize| name != "approx_percentile" || place == 0;
    let mut values = types
        .iter()
        .enumerate()
        .filter(|(place, _)| is_value(*place));
    match (name != "count" || is_distinct(call))
        && values.any(|(_, data_type)| data_type.is_nested())
    {
        true => Err(format!(
            "{call}: {name} of arrays is not supported: write it with an element, such as x[1], or with array_join(x, ',')"
        )),
        false => Ok(()),
    }
}

/// Refuses an output column with the name of the one that marks the row for other groups. The table recognises that column by its
/// name, so the name is reserved in tables without it too.
fn check_is_other(columns: &[(String, Option<MergeRule>)]) -> Result<(), String> {
    match columns.iter().any(|(name, _)| name == IS_OTHER_COLUMN) {
        true => Err(format!(
            "the output column '{IS_OTHER_COLUMN}' would hide the column that marks the row for all groups beyond the limit \
             of an hour: rename it"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::functions::cast::trino_name;
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

    #[tokio::test]
    async fn arrays_are_values_and_output_columns_but_no_keys() {
        let types = async |sql: &str| {
            let rollup = Rollup::from_sql("t", sql).await?;
            let columns = rollup.definition().columns.iter();
            let columns = columns.map(|column| trino_name(&column.data_type));
            Ok::<_, String>(columns.collect::<Vec<_>>())
        };
        let kept = types(
            "SELECT approx_percentile(target_processing_time, ARRAY[0.5, 0.99]) AS p FROM alb_access_logs",
        );
        assert_eq!(kept.await.unwrap().first().unwrap(), "array(double)");
        let kept = types("SELECT split(elb, '/') AS parts FROM alb_access_logs");
        assert_eq!(kept.await.unwrap().first().unwrap(), "array(varchar)");
        for (sql, says) in [
            (
                "SELECT split(elb, '/') AS k, count(*) AS n FROM alb_access_logs GROUP BY 1",
                "array_join",
            ),
            (
                "SELECT max(split(elb, '/')) AS m FROM alb_access_logs",
                "max of arrays",
            ),
            (
                "SELECT ARRAY[from_iso8601_timestamp(time)] AS x FROM alb_access_logs",
                "cannot store",
            ),
            (
                "SELECT elb[1] AS x FROM alb_access_logs",
                "array[index] takes an array",
            ),
            (
                "SELECT contains(split(elb, '/'), 1) AS x FROM alb_access_logs",
                "looks for bigint in array(varchar)",
            ),
            (
                "SELECT json_extract_scalar(elb, 'a') AS x FROM alb_access_logs",
                "Invalid JSON path",
            ),
        ] {
            let refused = types(sql).await.unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[tokio::test]
    async fn json_is_stored_and_shown_as_text_and_computed_with_as_json() {
        let grouped = "SELECT json_extract(elb, '$') AS j, try_cast(json_extract(elb, '$') AS varchar) || cast(count(*) AS varchar) AS n \
                       FROM alb_access_logs GROUP BY 1";
        let rollup = Rollup::from_sql("t", grouped).await.unwrap();
        let column = &rollup.definition().columns[0];
        assert_eq!(trino_name(&column.data_type), "varchar");
        let view = format!("{:?}", rollup.view().unwrap());
        assert!(view.contains("json_extract"), "{view}");
        let around = format!("SELECT cast(j AS varchar) AS j FROM ({grouped})");
        let refused = Rollup::from_sql("t", &around).await.unwrap_err();
        assert!(refused.contains("around a column of json"), "{refused}");
    }
}
