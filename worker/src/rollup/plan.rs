//! A rollup's plan in two parts: the values computed for each line ([`PerLine`]), and the groups over them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result, internal_err};
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::{MemoryPool, UnboundedMemoryPool};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::Statement;
use futures::stream::{BoxStream, Fuse};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Mutex;

use super::checks::{Check, stored_check};
use super::per_line::{Computed, PerLine, SeenLines};
use crate::engine::fallible::{self, Fallible};
use crate::engine::functions::histogram::HISTOGRAM;
use crate::engine::{self, StreamPlan};
use crate::table::FailedLines;

/// The table of the values computed for each line.
const COMPUTED: &str = "computed";

/// How a rollup turns lines into rows.
#[derive(Debug)]
pub(crate) struct RollupPlan {
    per_line: Arc<PerLine>,
    /// Groups the computed lines; `None` for a rollup that keeps every row.
    groups: Option<StreamPlan>,
    schema: SchemaRef,
    predicate: Option<Expr>,
    fallible: Vec<Fallible>,
    /// Whether the lines come with the columns that identify them.
    with_lines: bool,
}

/// The table that a rollup is planned over, and facts about its columns.
pub(super) struct Wanted<'a> {
    /// The one log table that the statement reads.
    pub(super) table: &'a str,
    /// Its columns.
    pub(super) schema: SchemaRef,
    /// The output column that decides which hour or day a row belongs to.
    pub(super) slot: &'a str,
    /// Columns that hold the line's own time, which visitors don't write.
    pub(super) own_times: &'a [String],
    /// The functions in the place of joins.
    pub(super) lookups: &'a [Arc<ScalarUDF>],
}

impl RollupPlan {
    pub(super) async fn new(statement: Statement, wanted: Wanted<'_>) -> Result<Self> {
        let (state, plan) = engine::plan_over_stream(
            statement,
            wanted.table,
            wanted.schema,
            Vec::new(),
            wanted.lookups,
        )
        .await?;
        let mut fallible = fallible::in_plan(&plan, wanted.own_times)?;
        let table = format!("{}.", wanted.table);
        for each in &mut fallible {
            each.expression = each.expression.replace(&table, "");
        }
        let filter_fails = fallible::in_filter(&plan)?;
        let is_visitor_time = visitors_write(&plan, wanted.slot, wanted.own_times);
        let visitor_time = is_visitor_time.then_some(wanted.slot);
        let plan = state.optimize(&plan)?;
        let schema = Arc::clone(plan.schema().inner());
        let predicate = match filter_fails {
            true => None,
            false => engine::predicate(&plan)?,
        };
        let (per_line, groups) = match aggregate_of(&plan)? {
            Some(aggregate) => {
                let (per_line, groups) =
                    groups_over_lines(&plan, &aggregate, &state, visitor_time).await?;
                (per_line, Some(groups))
            }
            None => (rows_of_lines(&plan, &state)?, None),
        };
        Ok(Self {
            with_lines: !fallible.is_empty() || per_line.bounds_slots() || per_line.repeats(),
            per_line: Arc::new(per_line),
            groups,
            schema,
            predicate,
            fallible,
        })
    }

    /// The columns of the result.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The condition on lines that the plan checks first. `None` if there is no such condition, or if a line can make it
    /// fail.
    pub(super) fn predicate(&self) -> Option<&Expr> {
        self.predicate.as_ref()
    }

    /// Expressions that can fail on some line.
    pub(super) fn fallible(&self) -> &[Fallible] {
        &self.fallible
    }

    /// Whether each batch must end with the two columns that identify the lines of its rows.
    pub(super) fn with_lines(&self) -> bool {
        self.with_lines
    }

    /// Whether the number of slots that a log file may touch is bounded, because visitors write their times.
    pub(super) fn bounds_slots(&self) -> bool {
        self.per_line.bounds_slots()
    }

    /// Starts to compute the rows of one log file. When its groups reach `memory` bytes, they are flushed as one run of
    /// rows, and grouping starts over.
    pub(super) fn begin(
        &self,
        lines: BoxStream<'static, Result<RecordBatch>>,
        memory: usize,
    ) -> RowsOfLogFile<'_> {
        RowsOfLogFile {
            plan: self,
            memory,
            lines: Arc::new(Mutex::new(Lines {
                batches: lines.fuse(),
                waiting: Vec::new(),
                seen: SeenLines::default(),
                ended: false,
            })),
        }
    }
}

/// Whether an output column of the plan, before optimization, is computed from anything but these columns.
fn visitors_write(plan: &LogicalPlan, output: &str, own_times: &[String]) -> bool {
    let LogicalPlan::Projection(projection) = plan else {
        return true;
    };
    let output = projection
        .expr
        .iter()
        .find(|expr| expr.qualified_name().1 == output);
    let Some(Expr::Column(key)) = output.map(|expr| expr.clone().unalias()) else {
        return true;
    };
    let LogicalPlan::Aggregate(aggregate) = &*projection.input else {
        return true;
    };
    let place = aggregate.schema.maybe_index_of_column(&key);
    let key = place.and_then(|place| aggregate.group_expr.get(place));
    key.is_none_or(|key| {
        let columns = key.column_refs();
        columns
            .iter()
            .any(|column| !own_times.contains(&column.name))
    })
}

fn aggregate_of(plan: &LogicalPlan) -> Result<Option<Aggregate>> {
    let mut found = None;
    plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node
            && found.replace(aggregate.clone()).is_some()
        {
            return internal_err!("the plan of a rollup has more than one aggregate node");
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The steps of a rollup that keeps every row: all its output columns are computed line by line.
fn rows_of_lines(plan: &LogicalPlan, state: &SessionState) -> Result<PerLine> {
    let mut per_line = PerLine::new(plan, state)?;
    let (computed, names) = plan
        .schema()
        .iter()
        .map(|(relation, field)| {
            let column = Expr::Column(Column::new(relation.cloned(), field.name()));
            let computed = Computed {
                check: stored_check(field.data_type()),
                ..Computed::unchecked(column)
            };
            (computed, field.name().clone())
        })
        .unzip::<_, _, Vec<_>, Vec<_>>();
    if computed.iter().any(|computed| computed.check.is_some()) {
        per_line.compute(&computed, &names, plan.schema(), state)?;
    }
    Ok(per_line)
}

/// Splits an aggregate into the values computed for each line and the groups over them.
async fn groups_over_lines(
    plan: &LogicalPlan,
    aggregate: &Aggregate,
    state: &SessionState,
    visitor_time: Option<&str>,
) -> Result<(PerLine, StreamPlan)> {
    let input = aggregate.input.schema();
    let mut columns = Columns::default();
    let mut group_expr = Vec::with_capacity(aggregate.group_expr.len());
    for expr in &aggregate.group_expr {
        let computed = Computed {
            check: stored_check(&expr.get_type(input)?),
            ..Computed::unchecked(expr.clone().unalias())
        };
        let (relation, name) = expr.qualified_name();
        group_expr.push(columns.add(computed).alias_qualified(relation, name));
    }
    let mut aggr_expr = Vec::with_capacity(aggregate.aggr_expr.len());
    for expr in &aggregate.aggr_expr {
        let (relation, name) = expr.qualified_name();
        let Expr::AggregateFunction(call) = expr.clone().unalias() else {
            return internal_err!("{expr} is not an aggregate");
        };
        let call = columns.take_arguments(call, input)?;
        aggr_expr.push(Expr::AggregateFunction(call).alias_qualified(relation, name));
    }

    let mut per_line = PerLine::new(&aggregate.input, state)?;
    if let Some(name) = visitor_time {
        let key = slot_key(plan, aggregate, name)?;
        let column =
            key.and_then(|key| columns.place(&aggregate.group_expr[key].clone().unalias()));
        match column {
            Some(column) => per_line.bound_slots(column),
            None => return internal_err!("the time '{name}' is not among the group keys"),
        }
    }
    let schema = per_line.compute(&columns.computed, &columns.names(), input, state)?;
    let lines = LogicalPlanBuilder::scan(
        COMPUTED,
        engine::source(Arc::clone(&schema), Vec::new())?,
        None,
    )?;
    let lines = Arc::new(lines.build()?);
    let groups = Aggregate::try_new(lines, group_expr, aggr_expr)?;
    let groups = plan.clone().transform_down(|node| {
        Ok(match node {
            LogicalPlan::Aggregate(_) => Transformed::new(
                LogicalPlan::Aggregate(groups.clone()),
                true,
                TreeNodeRecursion::Jump,
            ),
            other => Transformed::no(other),
        })
    })?;
    let groups = StreamPlan::of_optimized(state.clone(), &groups.data, schema).await?;
    Ok((per_line, groups))
}

/// The index of the group key that is this output column.
fn slot_key(plan: &LogicalPlan, aggregate: &Aggregate, output: &str) -> Result<Option<usize>> {
    let key_of = |column: &Column| aggregate.schema.maybe_index_of_column(column);
    let index = plan.schema().index_of_column_by_name(None, output);
    let Some(index) = index else { return Ok(None) };
    let key = match plan {
        LogicalPlan::Projection(projection) => match projection.expr[index].clone().unalias() {
            Expr::Column(column) => key_of(&column),
            _ => None,
        },
        _ => Some(index),
    };
    Ok(key.filter(|key| *key < aggregate.group_expr.len()))
}

/// The values computed for each line for an aggregate, without duplicates.
#[derive(Default)]
struct Columns {
    computed: Vec<Computed>,
}

impl Columns {
    fn names(&self) -> Vec<String> {
        (0..self.computed.len()).map(Self::name).collect()
    }

    fn name(index: usize) -> String {
        format!("c{index}")
    }

    fn place(&self, expr: &Expr) -> Option<usize> {
        self.computed.iter().position(|each| each.expr == *expr)
    }

    fn index(&mut self, computed: Computed) -> usize {
        let place = self.computed.iter().position(|each| *each == computed);
        place.unwrap_or_else(|| {
            self.computed.push(computed);
            self.computed.len() - 1
        })
    }

    /// Adds a value to compute. Returns the column that will hold it.
    fn add(&mut self, computed: Computed) -> Expr {
        let index = self.index(computed);
        Expr::Column(Column::new(Some(COMPUTED), Self::name(index)))
    }

    /// Moves the arguments of an aggregate into computed columns. Returns the aggregate over these columns.
    fn take_arguments(
        &mut self,
        mut call: AggregateFunction,
        input: &datafusion::common::DFSchema,
    ) -> Result<AggregateFunction> {
        let filter = match call.params.filter.take() {
            Some(filter) => {
                let index = self.index(Computed::unchecked(*filter));
                let column = Expr::Column(Column::new(Some(COMPUTED), Self::name(index)));
                call.params.filter = Some(Box::new(column));
                Some(index)
            }
            None => None,
        };
        let name = call.func.name().to_owned();
        let mut args = Vec::with_capacity(call.params.args.len());
        for arg in std::mem::take(&mut call.params.args) {
            if matches!(arg, Expr::Literal(..)) {
                args.push(arg);
                continue;
            }
            let check = match name.as_str() {
                "tdigest_agg" if args.is_empty() => Some(Check::Finite),
                HISTOGRAM => Some(Check::Finite),
                "tdigest_agg" => Some(Check::Weight),
                name if fallible::is_stored(name) => stored_check(&arg.get_type(input)?),
                _ => None,
            };
            args.push(self.add(Computed {
                expr: arg,
                check,
                only_where: check.and(filter),
            }));
        }
        call.params.args = args;
        Ok(call)
    }
}

/// A rollup that is processing the lines of one log file.
pub(crate) struct RowsOfLogFile<'r> {
    plan: &'r RollupPlan,
    memory: usize,
    lines: Arc<Mutex<Lines>>,
}

struct Lines {
    batches: Fuse<BoxStream<'static, Result<RecordBatch>>>,
    /// Lines of the last batch that are still to be computed, the first at the end.
    waiting: Vec<RecordBatch>,
    seen: SeenLines,
    ended: bool,
}

impl Lines {
    /// The values computed for the next lines.
    async fn next(&mut self, per_line: &PerLine, with_lines: bool) -> Result<Option<RecordBatch>> {
        loop {
            let rows = per_line.rows(&mut self.waiting, with_lines, &mut self.seen)?;
            if rows.as_ref().is_some_and(|rows| rows.num_rows() > 0) {
                return Ok(rows);
            }
            if self.waiting.is_empty() {
                match self.batches.next().await {
                    Some(batch) => self.waiting.push(batch?),
                    None => break,
                }
            }
        }
        self.ended = true;
        Ok(None)
    }
}

impl RowsOfLogFile<'_> {
    /// The next rows, at most one for each group; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<RecordBatch>>> {
        let RollupPlan {
            per_line,
            with_lines,
            ..
        } = self.plan;
        if self.lines.lock().await.ended {
            return Ok(None);
        }
        let Some(groups) = &self.plan.groups else {
            let rows = self.lines.lock().await.next(per_line, *with_lines).await?;
            return Ok(rows.map(|rows| vec![rows]));
        };
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let (lines, per_line, held) = (
            Arc::clone(&self.lines),
            Arc::clone(per_line),
            Arc::clone(&pool),
        );
        let (memory, with_lines) = (self.memory, *with_lines);
        let input = futures::stream::try_unfold((), move |()| {
            let (lines, per_line, held) =
                (Arc::clone(&lines), Arc::clone(&per_line), Arc::clone(&held));
            async move {
                if held.reserved() > memory {
                    return Ok(None);
                }
                let rows = lines.lock().await.next(&per_line, with_lines).await?;
                Ok::<_, DataFusionError>(rows.map(|rows| (rows, ())))
            }
        });
        let schema = groups.input_schema();
        let input = Box::pin(RecordBatchStreamAdapter::new(schema, input));
        let rows = groups.run_in(input, pool).await?;
        Ok(Some(rows.try_collect().await?))
    }

    /// The lines on which the rollup has failed.
    pub(crate) async fn failed(self) -> FailedLines {
        std::mem::take(&mut self.lines.lock().await.seen.failed)
    }
}
