//! DataFusion, set up to speak Trino's dialect over a stream of rows.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{CatalogProviderList, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::datasource::provider_as_source;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{
    SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
};
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::functions_window::planner::WindowFunctionPlanner;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF, SortExpr, TableSource};
use datafusion::optimizer::Optimizer;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::stream;

pub(crate) use sql_text::{is_comparison, sql};
use sql_types::TrinoTypes;

mod types;
mod unnest;
mod sql_text;
mod sql_types;
pub(crate) mod functions;
pub(crate) mod fallible;
pub(crate) mod zones;

/// Names of the scalar functions that rollups know, sorted.
static FUNCTION_NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut names: Vec<String> = functions::scalar_functions()
        .iter()
        .flat_map(|function| {
            let aliases = function.aliases().iter().cloned();
            std::iter::once(function.name().to_owned()).chain(aliases)
        })
        .chain(["concat", "if", "mod"].map(str::to_owned))
        .collect();
    names.sort();
    names
});

/// The largest side of a join that is kept in memory because the size of the other is not known. A lookup has up to 64 MB, which may
/// be compressed.
const LOOKUP_BYTES_MAX: usize = 256 << 20;

pub(crate) fn has_function(name: &str) -> bool {
    FUNCTION_NAMES.iter().any(|other| other == name)
}

pub(crate) fn function_names() -> &'static [String] {
    &FUNCTION_NAMES
}

/// The settings of all sessions. Like Trino, they sort NULL last in either direction by default.
fn config() -> SessionConfig {
    SessionConfig::new().set_str("datafusion.sql_parser.default_null_ordering", "nulls_last")
}

/// A session that knows only Trino's functions. It runs on one thread, because log files are already processed in
/// parallel.
pub(crate) fn rollup_session() -> SessionState {
    let config = config()
        .with_target_partitions(1)
        .with_information_schema(false)
        .with_collect_statistics(false)
        // Dynamic filters would stay in a plan that is run again. The scan does not use them.
        .set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false);
    let mut scalar = functions::scalar_functions();
    scalar.extend(functions::stand_ins());
    // This rule computes a group key that follows from other keys above the aggregate. A failure there can't be traced to a line.
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| rule.name() != "eliminate_group_by_constant");
    SessionStateBuilder::new()
        .with_config(config)
        .with_optimizer_rules(rules)
        .with_expr_planners(vec![
            Arc::new(functions::TrinoForms),
            Arc::new(types::OperatorTypes),
            Arc::new(AggregateFunctionPlanner),
        ])
        .with_type_planner(Arc::new(TrinoTypes))
        .with_scalar_functions(scalar)
        .with_aggregate_functions(functions::aggregate_functions())
        .build()
}

/// A session for queries over tables or log lines, as these catalogs give them. It has the functions of rollups, and also those
/// that don't merge: all aggregates and window functions.
///
/// A query that needs more than its share of memory spills to disk. Rollups must not fail for lack of memory, so they
/// have limits of their own ([`crate::memory`]).
pub(crate) fn query_session(catalogs: Arc<dyn CatalogProviderList>) -> Result<SessionState> {
    use datafusion::execution::SessionStateDefaults;
    let memory = Arc::new(FairSpillPool::new(crate::memory::for_queries()));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(memory);
    let rollups = rollup_session();
    let mut planners = rollups.expr_planners().to_vec();
    planners.push(Arc::new(WindowFunctionPlanner));
    let mut aggregate = SessionStateDefaults::default_aggregate_functions();
    aggregate.extend(functions::aggregate_functions());
    let mut config = config().with_create_default_catalog_and_schema(false);
    // A join keeps one side in memory: a lookup, and not the log lines, of which no number is known. Of two sides, DataFusion
    // takes the known one up to this size, and only if there are several partitions.
    config
        .options_mut()
        .optimizer
        .hash_join_single_partition_threshold = LOOKUP_BYTES_MAX;
    let partitions = config.target_partitions().max(2);
    let config = config.with_target_partitions(partitions);
    let session = SessionStateBuilder::new_from_existing(rollups)
        .with_config(config)
        .with_catalog_list(catalogs)
        .with_runtime_env(runtime.build_arc()?)
        .with_expr_planners(planners)
        .with_aggregate_functions(aggregate)
        .with_window_functions(SessionStateDefaults::default_window_functions());
    Ok(session.build())
}

/// Normalizes the layout of the SQL, so that texts can be compared.
pub(crate) fn canonical(sql: &str) -> String {
    match Parser::parse_sql(&GenericDialect {}, sql) {
        Ok(statements) => statements.iter().map(ToString::to_string).collect(),
        Err(_) => sql.to_owned(),
    }
}

/// Plans a statement as Trino would understand it.
pub(crate) async fn plan(state: &SessionState, mut statement: Statement) -> Result<LogicalPlan> {
    zones::rewrite(&mut statement);
    let plan = state
        .statement_to_plan(DataFusionStatement::Statement(Box::new(statement)))
        .await?;
    types::check(&plan, state)?;
    let plan = unnest::plan(plan)?;
    plan.transform_up_with_subqueries(|node| {
        // An expression may refer only to columns of the node's inputs.
        let mut schema = datafusion::common::DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let named = types::name_types(expr, &schema)?.data;
            let planned = named.transform_up(|expr| {
                functions::named_cast::plan(expr)
                    .transform_data(|expr| functions::cast::plan(expr, &schema))?
                    .transform_data(|expr| functions::exact::plan(expr, &schema))?
                    .transform_data(|expr| functions::arithmetic::plan(expr, &schema))?
                    .transform_data(functions::regexp::check_pattern)?
                    .transform_data(|expr| functions::formats::check(expr, &schema))?
                    .transform_data(functions::json::check_path)?
                    .transform_data(|expr| functions::ip::check_network(expr, &schema))?
                    .transform_data(|expr| functions::time_types::plan(expr, &schema))?
                    .transform_data(|expr| functions::number::plan_comparison(expr, &schema))?
                    .transform_data(|expr| functions::in_order::plan(expr, &schema, state))?
                    .transform_data(|expr| functions::attempt::plan(expr, &schema, state))
            })?;
            Ok(planned.update_data(|expr| name.restore(expr)))
        })?
        .map_data(|node| node.recompute_schema())
    })
    .map(|plan: Transformed<LogicalPlan>| plan.data)
}

/// A plan whose only table is a stream of rows. It is planned once and run many times.
#[derive(Debug, Clone)]
pub(crate) struct StreamPlan {
    state: SessionState,
    physical: Arc<dyn ExecutionPlan>,
    input: SchemaRef,
}

impl StreamPlan {
    /// Plans `statement` over its only table, `table`. Streams must have this schema and be sorted by `order`, unless it
    /// is empty.
    pub(crate) async fn new(
        statement: Statement,
        table: &str,
        schema: SchemaRef,
        order: Vec<SortExpr>,
    ) -> Result<Self> {
        let (state, plan) =
            plan_over_stream(statement, table, Arc::clone(&schema), order, &[]).await?;
        let plan = state.optimize(&plan)?;
        Self::of_optimized(state, &plan, schema).await
    }

    /// Plans over one table made by [`source`], whose streams must have this schema.
    pub(crate) async fn of_optimized(
        state: SessionState,
        plan: &LogicalPlan,
        input: SchemaRef,
    ) -> Result<Self> {
        let planner = state.query_planner();
        Ok(Self {
            physical: planner.create_physical_plan(plan, &state).await?,
            input,
            state,
        })
    }

    /// The plan as it is executed.
    #[cfg(test)]
    pub(crate) fn physical(&self) -> &Arc<dyn ExecutionPlan> {
        &self.physical
    }

    /// The schema of the streams that the plan reads.
    pub(crate) fn input_schema(&self) -> SchemaRef {
        Arc::clone(&self.input)
    }

    /// Runs the plan over `input`, without a memory limit.
    pub(crate) async fn run(
        &self,
        input: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream> {
        self.run_in(input, Arc::new(UnboundedMemoryPool::default()))
            .await
    }

    /// Runs the plan over `input`. `memory` accounts for the memory of groups.
    pub(crate) async fn run_in(
        &self,
        input: SendableRecordBatchStream,
        memory: Arc<dyn MemoryPool>,
    ) -> Result<SendableRecordBatchStream> {
        // Clears the state that the previous run left in the plan.
        let physical = reset_plan_states(Arc::clone(&self.physical))?;
        let input = Arc::new(Input(Mutex::new(Some(input))));
        let task = TaskContext::from(&self.state);
        let config = task.session_config().clone().with_extension(input);
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(memory);
        let task = task
            .with_session_config(config)
            .with_runtime(runtime.build_arc()?);
        execute_stream(physical, Arc::new(task))
    }
}

/// The columns of the SQL's result, without a physical plan.
pub(crate) async fn output_schema(
    statement: Statement,
    table: &str,
    schema: SchemaRef,
    lookups: &[Arc<ScalarUDF>],
) -> Result<SchemaRef> {
    let (state, plan) = plan_over_stream(statement, table, schema, Vec::new(), lookups).await?;
    Ok(Arc::clone(state.optimize(&plan)?.schema().inner()))
}

/// Indices of the table's columns that the SQL names. The result may not depend on all of them, but planning the SQL
/// requires them.
pub(crate) async fn named_columns(
    statement: Statement,
    table: &str,
    schema: SchemaRef,
    lookups: &[Arc<ScalarUDF>],
) -> Result<Vec<usize>> {
    let (_, plan) =
        plan_over_stream(statement, table, Arc::clone(&schema), Vec::new(), lookups).await?;
    let named = columns_in(&plan)?;
    let named = named
        .iter()
        .filter_map(|column| schema.index_of(&column.name).ok());
    let named: BTreeSet<usize> = named.collect();
    Ok(named.into_iter().collect())
}

/// All columns that expressions of the plan name.
fn columns_in(plan: &LogicalPlan) -> Result<HashSet<Column>> {
    let mut named = HashSet::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            named.extend(expr.column_refs().into_iter().cloned());
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(named)
}

/// The condition of the filter directly above the table scan, if there is one.
pub(crate) fn predicate(plan: &LogicalPlan) -> Result<Option<Expr>> {
    // There is one table, and it is scanned once.
    let mut predicate = None;
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node
            && matches!(&*filter.input, LogicalPlan::TableScan(_))
        {
            predicate = Some(filter.predicate.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(predicate)
}

/// Plans a statement over one table, which is a stream. `lookups` are the functions in the place of its joins.
pub(crate) async fn plan_over_stream(
    statement: Statement,
    table: &str,
    schema: SchemaRef,
    order: Vec<SortExpr>,
    lookups: &[Arc<ScalarUDF>],
) -> Result<(SessionState, LogicalPlan)> {
    let context = SessionContext::new_with_state(rollup_session());
    for function in lookups {
        context.register_udf(function.as_ref().clone());
    }
    context.register_table(table, stream(schema, order)?)?;
    let state = context.state();
    let plan = plan(&state, statement).await?;
    Ok((state, plan))
}

/// Plans a statement over one table, for queries to use. It may also use window functions, and aggregates that don't merge.
pub(crate) async fn plan_over_table(
    statement: Statement,
    table: &str,
    rows: Arc<dyn TableProvider>,
) -> Result<LogicalPlan> {
    use datafusion::execution::SessionStateDefaults;
    let mut aggregate = SessionStateDefaults::default_aggregate_functions();
    aggregate.extend(functions::aggregate_functions());
    let state = SessionStateBuilder::new_from_existing(rollup_session())
        .with_aggregate_functions(aggregate)
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_table(table, rows)?;
    plan(&context.state(), statement).await
}

/// A table that reads the rows of the current run.
fn stream(schema: SchemaRef, order: Vec<SortExpr>) -> Result<Arc<dyn TableProvider>> {
    let rows = Arc::new(FromTask {
        schema: Arc::clone(&schema),
    });
    let table = StreamingTable::try_new(schema, vec![rows])?;
    Ok(Arc::new(table.with_sort_order(order)))
}

/// The same table, for a plan that is built in code.
pub(crate) fn source(schema: SchemaRef, order: Vec<SortExpr>) -> Result<Arc<dyn TableSource>> {
    Ok(provider_as_source(stream(schema, order)?))
}

/// The input rows of a run. The task context passes them to the plan.
struct Input(Mutex<Option<SendableRecordBatchStream>>);

#[derive(Debug)]
struct FromTask {
    schema: SchemaRef,
}

impl PartitionStream for FromTask {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let input = task
            .session_config()
            .get_extension::<Input>()
            .and_then(|input| input.0.lock().ok()?.take());
        input.unwrap_or_else(|| {
            let missing =
                DataFusionError::Internal("the plan was run without input rows".to_owned());
            Box::pin(RecordBatchStreamAdapter::new(
                Arc::clone(&self.schema),
                stream::once(async { Err(missing) }),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_and_comments_do_not_make_another_rollup() {
        assert_eq!(
            canonical("SELECT elb , count(*) AS n -- all\nFROM alb_access_logs GROUP BY 1"),
            canonical("select elb, COUNT(*) as n from alb_access_logs group by 1")
                .replace("COUNT", "count")
        );
        assert_ne!(canonical("SELECT 1"), canonical("SELECT 2"));
    }
}
