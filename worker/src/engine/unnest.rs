//! Plans `UNNEST`. In SQL it stands as a condition that makes rows ([`ROWS_OF`]) and as calls for its columns ([`ELEMENT_OF`]), which pass
//! through subqueries and group keys as any other expression of a line does. Here the condition becomes a node of the plan, and the calls
//! become its columns.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, UnnestOptions, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder};

use super::columns_in;
use super::functions::unnest::{ELEMENT_OF, ROWS_OF, element_type};

/// Plans the `UNNEST` of a plan and of its subqueries.
///
/// # Errors
///
/// A column of `UNNEST` is used where its rows are not.
pub(super) fn plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    let named = columns_in(&plan)?;
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(filter) if has_rows(&filter.predicate)? => {
            Ok(Transformed::yes(with_rows(filter, &named)?))
        }
        node => with_columns(node),
    })?;
    Ok(plan.data)
}

fn has_rows(predicate: &Expr) -> Result<bool> {
    predicate.exists(|expr| Ok(arguments(ROWS_OF, expr).is_some()))
}

/// The arguments of a call.
fn arguments<'e>(name: &str, expr: &'e Expr) -> Option<&'e [Expr]> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == name => Some(args),
        _ => None,
    }
}

/// A column of an `UNNEST`, from the literals with the names of both.
fn column(unnest: &Expr, name: &Expr) -> Column {
    let text = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text.clone(),
        other => other.to_string(),
    };
    Column::new_unqualified(format!("{}.{}", text(unnest), text(name)))
}

/// The filter over the rows that `UNNEST` makes of its input.
fn with_rows(filter: Filter, named: &HashSet<Column>) -> Result<LogicalPlan> {
    let mut input = filter.input.as_ref().clone();
    let mut rest = Vec::new();
    // The arrays of the second may be made from elements of the first.
    for condition in split_conjunction_owned(filter.predicate) {
        match arguments(ROWS_OF, &condition) {
            Some([unnest, arrays @ ..]) => input = unnested(input, unnest, arrays, named)?,
            _ => rest.push(condition),
        }
    }
    let Some(predicate) = conjunction(rest) else {
        return Ok(input);
    };
    let predicate = as_columns(predicate, input.schema())?.data;
    Ok(LogicalPlan::Filter(Filter::try_new(
        predicate,
        input.into(),
    )?))
}

/// The rows of a plan, each once for each element of its arrays.
fn unnested(
    input: LogicalPlan,
    unnest: &Expr,
    arrays: &[Expr],
    named: &HashSet<Column>,
) -> Result<LogicalPlan> {
    let schema = input.schema();
    let columns = schema.columns().into_iter();
    let is_needed = |column: &Column| named.contains(column) || column.relation.is_none();
    let mut exprs: Vec<Expr> = columns.filter(is_needed).map(Expr::Column).collect();
    let mut lists = Vec::with_capacity(arrays.len());
    for pair in arrays.chunks_exact(2) {
        let list = column(unnest, &pair[0]);
        let array = as_columns(pair[1].clone(), schema)?.data;
        element_type(&array.get_type(schema)?)?;
        exprs.push(array.alias(&list.name));
        lists.push(list);
    }
    let options = UnnestOptions::new().with_preserve_nulls(false);
    LogicalPlanBuilder::from(input)
        .project(exprs)?
        .unnest_columns_with_options(lists, options)?
        .build()
}

/// A node with columns in the place of calls.
fn with_columns(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = DFSchema::empty();
    for input in node.inputs() {
        schema.merge(input.schema());
    }
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(as_columns(expr, &schema)?.update_data(|expr| name.restore(expr)))
    })?
    .map_data(LogicalPlan::recompute_schema)
}

/// An expression with columns in the place of calls.
fn as_columns(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let Some([unnest, name, _]) = arguments(ELEMENT_OF, &expr) else {
            return match arguments(ROWS_OF, &expr) {
                Some(_) => {
                    plan_err!("UNNEST beside another query over the same lines is not supported")
                }
                None => Ok(Transformed::no(expr)),
            };
        };
        let column = column(unnest, name);
        match schema.has_column(&column) {
            true => Ok(Transformed::yes(Expr::Column(column))),
            false => plan_err!("UNNEST must be the last of the joined tables"),
        }
    })
}
