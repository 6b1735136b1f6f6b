//! Output columns that are computed from aggregates, such as `avg(x)` and `sum(a) / count(*)`. The averages of two log files can't be
//! merged, but their sums and counts can. So the table keeps each aggregate's *states*, which merge, in columns of their own, and computes
//! the result anew whenever rows are merged.

use std::cell::Cell;
use std::collections::HashMap;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    self, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::aggregates::{function_name, is_aggregate_name};
use super::parse::free_name;
use super::parts::{cast, parts, state_number};
use super::walk;
use crate::engine::functions::json::JSON;
use crate::engine::functions::zoned::{AT_TIMEZONE, other_zone};
use crate::table::MergeRule;

/// A state: an aggregate that merges.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    /// The column that holds it.
    pub(super) column: String,
    /// The aggregate of the lines.
    pub(super) aggregate: Expr,
    /// How it merges.
    pub(super) rule: MergeRule,
    /// For the exact state of a sum of integers: the output column with the sum. Files of tables of format 1 have only that.
    pub(super) sum: Option<String>,
}

/// The states of a table.
#[derive(Debug, Default)]
pub(super) struct States {
    /// In the order of their columns.
    pub(super) all: Vec<State>,
    /// The types of the arguments of each aggregate, by its text.
    pub(super) types: HashMap<String, Vec<DataType>>,
    /// Group keys, with the columns that hold them.
    pub(super) keys: Vec<(Expr, String)>,
    /// The types of group keys.
    pub(super) key_types: Vec<DataType>,
}

/// An expression over group keys and states, which stand in it as names that no user can write.
#[derive(Debug, Clone)]
pub(super) struct Template(Expr);

/// What group keys and states become in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Log lines.
    Lines,
    /// Rows of the table that are being merged into one.
    MergedRows,
    /// Rows of the table that a view merges.
    ViewedRows,
    /// One row of the table.
    Row,
}

impl Template {
    /// Whether it needs nothing but states: neither group keys nor values over all lines.
    pub(super) fn is_of_states(&self) -> bool {
        !walk::any(
            &self.0,
            &mut |expr| matches!(placed(expr), Some((kind, _)) if kind != "state"),
        )
    }
}

impl States {
    /// Takes an expression over aggregates and group keys apart. The states that it needs get names that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// If an aggregate has no states. The error explains the problem and what to do about it.
    pub(super) fn take_apart(&mut self, prefix: &str, expr: &Expr) -> Result<Template, String> {
        let mut template = expr.clone();
        replace(&mut template, &mut |expr| {
            let key = self.keys.iter().position(|(key, _)| key == expr);
            if let Some(key) = key {
                return Ok(Some(place("key", key)));
            }
            let Expr::Function(call) = expr else {
                return Ok(None);
            };
            if call.over.is_some() || !is_aggregate_name(&function_name(call)) {
                return Ok(None);
            }
            let types = self.types.get(&call.to_string()).cloned();
            let parts = parts(call, &types.unwrap_or_default())?;
            let mut own: Vec<usize> = Vec::with_capacity(parts.states.len());
            for (suffix, aggregate, mut rule) in parts.states {
                if let MergeRule::Paired { with, .. } = &mut rule
                    && let Some(state) = own.first()
                {
                    *with = self.all[*state].column.as_str().into();
                }
                self.know_types(call, &aggregate);
                own.push(self.column(prefix, suffix, aggregate, rule));
            }
            let mut result = parsed(&parts.result)?;
            replace(&mut result, &mut |expr| {
                let state = state_number(expr).and_then(|number| own.get(number));
                Ok(state.map(|state| place("state", *state)))
            })?;
            Ok(Some(match result {
                result @ Expr::Identifier(_) => result,
                result => Expr::Nested(Box::new(result)),
            }))
        })?;
        Ok(Template(template))
    }

    /// The expression over lines or rows.
    pub(super) fn over(&self, over: Over, template: &Template) -> Result<Expr, String> {
        let mut expr = template.0.clone();
        replace(&mut expr, &mut |expr| {
            Ok(match placed(expr) {
                Some(("key", key)) => Some(match over {
                    Over::Lines => self.keys[key].0.clone(),
                    Over::MergedRows | Over::ViewedRows | Over::Row => {
                        restored(quoted(&self.keys[key].1), self.key_types.get(key))
                    }
                }),
                Some(("state", state)) => {
                    let expr = self.all[state].over(over)?;
                    Some(match over {
                        Over::Lines => expr,
                        _ => restored(expr, self.type_of_extreme(&self.all[state])),
                    })
                }
                Some(("scalar", scalar)) => {
                    let value = quoted(&scalar_column(scalar));
                    Some(match over {
                        // It is the same for all rows.
                        Over::ViewedRows => parsed(&format!("max({value})"))?,
                        _ => value,
                    })
                }
                _ => None,
            })
        })?;
        Ok(expr)
    }

    /// Adds an output column that is a state itself.
    pub(super) fn add(&mut self, column: &str, aggregate: Expr, rule: MergeRule) {
        self.all.push(State {
            column: column.to_owned(),
            aggregate,
            rule,
            sum: None,
        });
    }

    /// Adds the exact state of a sum of integers, and the output column with the sum.
    pub(super) fn add_sum(&mut self, column: &str, aggregate: Expr, sum: &str) {
        self.add(column, aggregate, MergeRule::Sum);
        if let Some(state) = self.all.last_mut() {
            state.sum = Some(sum.to_owned());
        }
    }

    pub(super) fn is_of_integers(&self, call: &Function) -> bool {
        let types = self.types.get(&call.to_string());
        types.is_some_and(|types| !types.is_empty() && types.iter().all(DataType::is_integer))
    }

    /// The type of a minimum or maximum.
    fn type_of_extreme(&self, state: &State) -> Option<&DataType> {
        let is_extreme = matches!(
            state.rule,
            MergeRule::Min | MergeRule::Max | MergeRule::Paired { .. }
        );
        let types = self.types.get(&state.aggregate.to_string());
        types.filter(|_| is_extreme)?.first()
    }

    /// Notes the types of the arguments that a state shares with the user's call.
    fn know_types(&mut self, call: &Function, state: &Expr) {
        let (Expr::Function(state), Some(types)) = (state, self.types.get(&call.to_string()))
        else {
            return;
        };
        let known = arguments(state).into_iter().map(|argument| {
            let place = arguments(call)
                .into_iter()
                .position(|other| other == argument);
            types.get(place?).cloned()
        });
        if let Some(known) = known.collect::<Option<Vec<_>>>() {
            self.types.insert(state.to_string(), known);
        }
    }

    /// The index of the state with this aggregate. Equal states are kept once.
    fn column(&mut self, prefix: &str, suffix: &str, aggregate: Expr, rule: MergeRule) -> usize {
        let mut states = self.all.iter();
        if let Some(place) = states.position(|state| state.aggregate == aggregate) {
            return place;
        }
        let is_taken = |name: &str| self.all.iter().any(|state| state.column == name);
        let column = free_name(&format!("{prefix}__{suffix}"), is_taken);
        self.add(&column, aggregate, rule);
        self.all.len() - 1
    }
}

impl State {
    fn over(&self, over: Over) -> Result<Expr, String> {
        let column = quoted(&self.column);
        let sketch = match self.rule {
            MergeRule::HyperLogLog => Some("HyperLogLog"),
            MergeRule::TDigest => Some("tdigest"),
            _ => None,
        };
        match (over, sketch) {
            (Over::Lines, _) => Ok(self.aggregate.clone()),
            // Athena shows a sketch as bytes.
            (Over::ViewedRows, Some(sketch)) => {
                parsed(&format!("merge(CAST({column} AS {sketch}))"))
            }
            (Over::Row, Some(sketch)) => parsed(&format!("CAST({column} AS {sketch})")),
            (Over::Row, None) => Ok(column),
            (Over::ViewedRows, None) if let Some(sum) = &self.sum => {
                parsed(&format!("sum(coalesce({column}, {}))", quoted(sum)))
            }
            // The count of no rows at all is 0, and the sum of no counts is NULL.
            (Over::ViewedRows, None) if is_count(&self.aggregate) => {
                parsed(&format!("coalesce(sum({column}), 0)"))
            }
            (Over::MergedRows | Over::ViewedRows, _) => match self.rule.merge_call(&self.column) {
                Some(call) => parsed(&call),
                None => Err(format!("the state '{}' does not merge", self.column)),
            },
        }
    }
}

/// The column of a view's FROM with the value of a subquery.
pub(super) fn scalar_column(scalar: usize) -> String {
    format!("scalar__{}", scalar + 1)
}

fn is_count(aggregate: &Expr) -> bool {
    matches!(aggregate, Expr::Function(call) if matches!(function_name(call).as_str(), "count" | "count_if"))
}

pub(super) fn without_parentheses(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// A column that stands neither in an aggregate nor in a group key.
pub(super) fn ungrouped_column(expr: &Expr, keys: &[Expr]) -> Option<String> {
    let mut column = None;
    let mut expr = expr.clone();
    let _ = replace(&mut expr, &mut |expr| {
        Ok(match expr {
            expr if keys.contains(expr) => Some(place("key", 0)),
            // A subquery's value.
            expr if placed(expr).is_some() => None,
            Expr::Function(call)
                if call.over.is_none() && is_aggregate_name(&function_name(call)) =>
            {
                Some(place("state", 0))
            }
            Expr::Identifier(name) => {
                column.get_or_insert_with(|| name.value.clone());
                None
            }
            _ => None,
        })
    });
    column
}

/// The aggregates in an expression.
pub(super) fn calls(expr: &Expr) -> Vec<Function> {
    let mut found = Vec::new();
    let mut expr = expr.clone();
    let _ = replace(&mut expr, &mut |expr| {
        Ok(match expr {
            Expr::Function(call)
                if call.over.is_none() && is_aggregate_name(&function_name(call)) =>
            {
                found.push(call.clone());
                Some(place("state", 0))
            }
            _ => None,
        })
    });
    found
}

/// The expressions among the arguments of a call.
pub(super) fn arguments(call: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &call.args else {
        return Vec::new();
    };
    let expressions = list.args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    expressions.collect()
}

/// Parses an expression that this module has written.
pub(super) fn parsed(expr: &str) -> Result<Expr, String> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(expr);
    let parsed = parser.and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|error| format!("{expr}: {error}"))
}

pub(super) fn quoted(name: &str) -> Expr {
    Expr::Identifier(Ident::with_quote('"', name))
}

/// The name, if the expression is one without quotes.
pub(super) fn named(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(name) if name.quote_style.is_none() => Some(&name.value),
        _ => None,
    }
}

/// A timestamp or JSON from a table's column as the type that it had over lines: a table stores all timestamps as instants in UTC,
/// with microseconds, and JSON as text.
pub(super) fn restored(column: Expr, data_type: Option<&DataType>) -> Expr {
    if data_type == Some(&JSON) {
        let whole = Expr::value(ast::Value::SingleQuotedString("$".to_owned()));
        return super::desugar::call("json_extract", None, vec![column, whole]);
    }
    let Some(DataType::Timestamp(unit, zone)) = data_type else {
        return column;
    };
    let precision = (*unit == TimeUnit::Microsecond).then_some(6);
    let as_timestamp = |expr, zone| {
        let data_type = ast::DataType::Timestamp(precision, zone);
        cast(CastKind::Cast, expr, data_type)
    };
    match (data_type.and_then(other_zone), zone) {
        (Some(zone), _) => {
            let instant = as_timestamp(column, ast::TimezoneInfo::WithTimeZone);
            let zone = Expr::value(ast::Value::SingleQuotedString(zone.to_owned()));
            super::desugar::call(AT_TIMEZONE, None, vec![instant, zone])
        }
        (None, None) => as_timestamp(column, ast::TimezoneInfo::None),
        (None, Some(_)) => column,
    }
}

/// A name that stands for a group key, a state or a subquery's value. No column has a space in its name.
pub(super) fn place(kind: &str, index: usize) -> Expr {
    quoted(&format!("{kind} {index}"))
}

/// What a name made by [`place`] stands for.
pub(super) fn placed(expr: &Expr) -> Option<(&str, usize)> {
    let Expr::Identifier(name) = expr else {
        return None;
    };
    let (kind, index) = name.value.split_once(' ')?;
    Some((kind, index.parse().ok()?))
}

/// Replaces expressions from the outside in. What has been put in is not looked at again.
pub(super) fn replace(
    expr: &mut Expr,
    with: &mut dyn FnMut(&Expr) -> Result<Option<Expr>, String>,
) -> Result<(), String> {
    // The depth within an expression that was put in.
    let inside = Cell::new(0_usize);
    let mut before = |expr: &mut Expr| {
        if inside.get() > 0 {
            inside.set(inside.get() + 1);
        } else if let Some(other) = with(expr)? {
            *expr = other;
            inside.set(1);
        }
        Ok(())
    };
    let mut after = |_: &mut Expr| {
        inside.set(inside.get().saturating_sub(1));
        Ok(())
    };
    walk::change_exprs(expr, &mut before, &mut after)
}

#[cfg(test)]
mod tests {
    use crate::rollup::Rollup;
    use crate::table::MergeRule;

    /// The columns of a table, each with its SQL if it is a result.
    async fn columns(select: &str) -> Vec<(String, String)> {
        let hour = "date_trunc('hour', from_iso8601_timestamp(time)) AS hour";
        let sql = format!(
            "SELECT {hour}, elb_status_code AS status, {select} FROM alb_access_logs GROUP BY 1, 2"
        );
        let rollup = Rollup::from_sql("t", &sql).await.unwrap();
        let columns = rollup.definition().columns.iter().skip(2);
        let columns = columns.filter(|column| column.name != "is_other");
        let text = |rule: &MergeRule| match rule {
            MergeRule::Result(sql) => sql.to_string(),
            rule => rule.to_string(),
        };
        let columns = columns.map(|column| {
            (
                column.name.clone(),
                column.rule.as_ref().map_or(String::new(), text),
            )
        });
        columns.collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, rule): &(&str, &str)| ((*name).to_owned(), (*rule).to_owned());
        expected.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn a_result_is_computed_from_states_that_are_kept_once() {
        assert_eq!(
            columns("avg(target_processing_time) AS mean, count(*) AS n").await,
            pairs(&[
                (
                    "mean",
                    "try((\"named cast\"(CAST(sum(\"mean__sum\") AS DOUBLE), 'Cast DOUBLE') / \"named cast\"(CAST(sum(\"mean__count\") AS DOUBLE), 'Cast DOUBLE')))"
                ),
                ("n", "sum"),
                ("mean__sum", "sum"),
                ("mean__count", "sum"),
            ])
        );
        assert_eq!(
            columns("sum(sent_bytes) / count(*) AS size, count(*) AS n, sum(sent_bytes) AS sent")
                .await,
            pairs(&[
                (
                    "size",
                    "try((\"named cast\"(TRY_CAST(sum(\"sent__sum\") AS BIGINT), 'TryCast BIGINT')) / sum(\"n\"))"
                ),
                ("n", "sum"),
                ("sent", "sum"),
                ("sent__sum", "sum"),
            ])
        );
        assert_eq!(
            columns("elb_status_code * max(sent_bytes) AS odd").await,
            pairs(&[
                ("odd", "try(\"status\" * max(\"odd__max\"))"),
                ("odd__max", "max")
            ])
        );
        assert_eq!(
            columns("approx_percentile(sent_bytes, 0.9) FILTER (WHERE elb <> 'x') AS p90").await,
            pairs(&[
                (
                    "p90",
                    "try((\"named cast\"(CAST(round(value_at_quantile(merge(\"p90__tdigest\"), 0.9e0)) AS BIGINT), 'Cast BIGINT')))"
                ),
                ("p90__tdigest", "merge (tdigest)"),
            ])
        );
    }

    #[tokio::test]
    async fn all_aggregates_with_states_are_planned() {
        for call in [
            "any_value(user_agent)",
            "approx_distinct(client_ip)",
            "approx_distinct(date(from_iso8601_timestamp(time)), 0.01)",
            "approx_percentile(sent_bytes, target_processing_time, 0.95)",
            "arbitrary(sent_bytes)",
            "avg(sent_bytes)",
            "bitwise_and_agg(sent_bytes) + bitwise_or_agg(sent_bytes)",
            "corr(sent_bytes, target_processing_time)",
            "count(DISTINCT date_trunc('day', from_iso8601_timestamp(time)))",
            "covar_pop(sent_bytes, received_bytes) + covar_samp(sent_bytes, received_bytes)",
            "geometric_mean(sent_bytes)",
            "max_by(request_url, target_processing_time)",
            "min_by(from_iso8601_timestamp(time), sent_bytes)",
            "numeric_histogram(8, target_processing_time)",
            "numeric_histogram(2, sent_bytes, received_bytes)",
            "regr_slope(sent_bytes, received_bytes)",
            "regr_intercept(sent_bytes, received_bytes)",
            "stddev(sent_bytes)",
            "stddev_pop(target_processing_time)",
            "stddev_samp(sent_bytes)",
            "variance(target_processing_time)",
            "var_pop(sent_bytes)",
            "var_samp(sent_bytes) + 1",
            "round(100 * count_if(elb_status_code >= 500) / count(*), 2)",
            "bool_or(sent_bytes > 5) AND every(sent_bytes > 0)",
            "cardinality(approx_set(client_ip))",
            "value_at_quantile(tdigest_agg(target_processing_time), 0.5)",
            "coalesce(min(target_processing_time), 0e0)",
            "coalesce(sum(target_port), 0)",
        ] {
            let found = columns(&format!("{call} AS x")).await;
            assert!(found.len() > 1, "{call}: {found:?}");
        }
    }
}
