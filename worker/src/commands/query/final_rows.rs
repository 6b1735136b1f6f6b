//! Queries over final rows, for alerts. They see only rows that no log file will change any more. Their `now()` is the time up to
//! which rows are final.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use anyhow::{Result, bail};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::SessionContext;

use super::catalog::{Tables, final_rows, never_final};
use super::output::{self, Format, Style};
use super::prepare::output_name;
use super::statement::Request;
use super::{plainly, plan, scan, session};
use crate::engine::functions::cast::trino_name;
use crate::memory;
use crate::rollup::Rollup;
use crate::table::Root;
use crate::table::definition::{DATE_COLUMN, GROUPS};

/// A query over final rows, after planning.
#[derive(Debug)]
pub(crate) struct FinalQuery {
    /// The tables that it reads, sorted.
    pub(crate) tables: Vec<String>,
    /// Its output columns: names, and types in Trino's words.
    pub(crate) columns: Vec<(String, String)>,
    /// The output column that has the time of a row: the first one that is a time.
    pub(crate) time: Option<String>,
}

/// Plans a query over the tables of these rollups, which need not exist yet.
///
/// # Errors
///
/// The SQL is refused, or reads no table of these rollups.
pub(crate) async fn plan_final(rollups: &[Arc<Rollup>], sql: &str) -> Result<FinalQuery> {
    let now = SystemTime::now().into();
    let statement = select(sql)?;
    let tables = Arc::new(OfRollups {
        rollups: rollups.to_vec(),
        now,
        read: Mutex::default(),
    });
    let context = session(Arc::clone(&tables) as _, None)?;
    let planned = plan(&context, None, statement, now).await;
    let planned = planned.map_err(|error| plainly(error, None))?;
    let read = tables.read.lock().map(|read| read.clone());
    let tables: Vec<String> = read.unwrap_or_default().into_iter().collect();
    if tables.is_empty() {
        bail!("it reads no table");
    }
    let fields = planned.schema().fields().iter().enumerate();
    let columns = fields.map(|(place, field)| {
        let name = output_name(field.name(), place);
        (name, trino_name(field.data_type()))
    });
    let columns: Vec<_> = columns.collect();
    Ok(FinalQuery {
        tables,
        time: time_column(&planned).map(|place| columns[place].0.clone()),
        columns,
    })
}

/// Final rows of a query.
#[derive(Debug)]
pub(crate) struct FinalRows {
    /// Each row as one JSON object.
    pub(crate) rows: Vec<String>,
    /// Whether there are more.
    pub(crate) has_more: bool,
}

/// Runs a query over the final rows of the tables of `root`: those without lines of the time `until` or later. Returns only rows from
/// the time `from` on, and rows without a time.
///
/// # Errors
///
/// The SQL is refused, or a table that it names can't be read.
pub(crate) async fn rows_until(
    root: &Root,
    sql: &str,
    until: DateTime<Utc>,
    from: DateTime<Utc>,
    rows_max: usize,
) -> Result<FinalRows> {
    let statement = select(sql)?;
    let tables = Tables::list(root, until).await?.final_until(until);
    let tables = Arc::new(tables);
    let run = async {
        let context = session(Arc::clone(&tables) as _, None)?;
        // With one partition, sketches are always merged in the same order. So a row is the same each time that it is computed, and
        // has the same id.
        let config = context.copied_config().with_target_partitions(1);
        let memory = Arc::new(FairSpillPool::new(memory::for_alerts()));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(memory)
            .build_arc()?;
        let state = SessionStateBuilder::new_from_existing(context.state())
            .with_config(config)
            .with_runtime_env(runtime);
        let context = SessionContext::new_with_state(state.build());
        context.register_object_store(scan::store_url()?.as_ref(), root.store()?);
        let plan = plan(&context, None, statement, until).await?;
        let style = Style {
            rows_max: Some(rows_max),
            ..Style::from(Format::Json)
        };
        let plan = style.limited(since(plan, from)?)?;
        let rows = context.execute_logical_plan(plan).await?;
        let mut text = Vec::new();
        let written = output::write(rows.execute_stream().await?, style, &mut text).await?;
        let text = String::from_utf8(text)?;
        Ok(FinalRows {
            rows: text.lines().map(str::to_owned).collect(),
            has_more: written.has_more,
        })
    };
    run.await.map_err(|error| plainly(error, Some(&tables)))
}

fn select(sql: &str) -> Result<datafusion::sql::sqlparser::ast::Statement> {
    match Request::parse(sql)? {
        Request::Rows(statement) => Ok(*statement),
        _ => bail!("it is not a SELECT"),
    }
}

/// The index of the first output column that is a time.
fn time_column(plan: &LogicalPlan) -> Option<usize> {
    let is_time =
        |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
    let fields = plan.schema().fields();
    fields.iter().position(|field| is_time(field.data_type()))
}

/// The rows of a plan from this time on, and those without a time.
fn since(plan: LogicalPlan, from: DateTime<Utc>) -> Result<LogicalPlan> {
    let Some(place) = time_column(&plan) else {
        return Ok(plan);
    };
    let (table, field) = plan.schema().qualified_field(place);
    let from = ScalarValue::TimestampMicrosecond(Some(from.timestamp_micros()), Some("UTC".into()));
    let from = from.cast_to(field.data_type())?;
    let time = Expr::Column((table, field).into());
    let is_recent = time.clone().gt_eq(lit(from)).or(time.is_null());
    Ok(LogicalPlanBuilder::from(plan).filter(is_recent)?.build()?)
}

/// The tables of rollups, without rows.
#[derive(Debug)]
struct OfRollups {
    rollups: Vec<Arc<Rollup>>,
    now: DateTime<Utc>,
    /// The tables that a query has read.
    read: Mutex<BTreeSet<String>>,
}

impl OfRollups {
    fn rollup(&self, name: &str) -> Option<&Arc<Rollup>> {
        let mut rollups = self.rollups.iter();
        rollups.find(|rollup| rollup.definition().name == name)
    }
}

#[async_trait]
impl SchemaProvider for OfRollups {
    fn table_names(&self) -> Vec<String> {
        let names = self.rollups.iter();
        names
            .map(|rollup| rollup.definition().name.clone())
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let of_groups = name.strip_suffix(GROUPS);
        let of_groups = of_groups.and_then(|table| self.rollup(table));
        let of_groups = of_groups.filter(|rollup| rollup.view().is_some());
        let Some(rollup) = self.rollup(name).or(of_groups) else {
            return Err(never_final(name));
        };
        let definition = rollup.definition();
        if let Ok(mut read) = self.read.lock() {
            read.insert(definition.name.clone());
        }
        let mut fields: Vec<_> = definition.file_schema().fields().to_vec();
        fields.push(Arc::new(Field::new(DATE_COLUMN, DataType::Date32, true)));
        let groups = Arc::new(EmptyTable::new(Arc::new(Schema::new(fields))));
        let groups = final_rows(rollup, groups, self.now).await?;
        let view = rollup.view().filter(|_| definition.name == name);
        Ok(Some(match view {
            Some(view) => Arc::new(ViewTable::new(view.plan(groups, self.now).await?, None)),
            None => groups,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|table| table == name)
    }
}
