//! `logmill query`: SQL over the current tables, or over the lines of log files.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, anyhow, bail};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use chrono::{DateTime, Utc};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use futures::TryStreamExt;

use crate::engine;
use crate::engine::functions::cast::trino_name;
use crate::engine::functions::ip::check_shown;
use crate::format::{FORMATS, LogFormat};
use crate::rollup::{AGGREGATES, take_lookup_calls, with_now};
use crate::table::{Root, Version};

mod statement;
mod prepare;
mod databases;
mod catalog;
mod scan;
mod ledgers;
mod finality;
mod logs;
mod lookups;
mod words;
pub(crate) mod output;
pub(crate) mod final_rows;
mod chart;

pub use chart::Screen;
pub use logs::{LogNotes, LogOptions, Logs, LogsToRead};
pub use output::{Format, Style, Written};

use catalog::{Tables, Unreadable};
use databases::EveryDatabase;
use lookups::with_lookups;
use prepare::prepare;
use scan::DeltaScan;
use statement::Request;

/// Runs a query over the tables of `root`, and writes its rows to `out`. Only tables that the query names are opened. It may use the
/// lookups in the folder `rollups`, which is a path or `s3://bucket/prefix`.
///
/// # Errors
///
/// The SQL is refused, a table that the query names can't be read, or computing or writing rows fails. Some rows may have
/// been written by then.
pub async fn query(
    root: &Root,
    rollups: Option<&str>,
    sql: &str,
    style: impl Into<Style>,
    out: impl Write + Send,
) -> Result<Written> {
    let style = style.into();
    let request = Request::parse(sql)?;
    let tables = Tables::list(root, SystemTime::now().into()).await?;
    if tables.is_empty() {
        return Err(no_tables(root).await?);
    }
    let tables = Arc::new(tables);
    let done = match request {
        Request::Rows(statement) => {
            let limited = |plan| style.limited(plan);
            match stream(root, Arc::clone(&tables), rollups, *statement, limited).await {
                Ok(rows) => output::write(rows, style, out).await,
                Err(error) => Err(error),
            }
        }
        other => show(Arc::clone(&tables) as _, rollups, other, style, out).await,
    };
    done.map_err(|error| plainly(error, Some(&tables)))
}

/// Runs a query over the lines of log files, and writes its rows to `out`.
///
/// # Errors
///
/// The SQL is refused, the log files can't be listed, or computing or writing rows fails. A log file that can't be read is
/// not an error, but a note of `logs`. Some rows may have been written by then.
pub async fn query_logs(
    logs: &Arc<Logs>,
    sql: &str,
    style: impl Into<Style>,
    out: impl Write + Send,
) -> Result<Written> {
    let style = style.into();
    let done = match Request::parse(sql)? {
        Request::Rows(statement) => logs::query(logs, *statement, style, out).await,
        other => show(logs::tables(logs), logs.rollups(), other, style, out).await,
    };
    done.map_err(|error| plainly(error, None))
}

/// The rows of a table, or of the view that has its name, as `logmill query` returns them at the time `now`.
///
/// # Errors
///
/// If the table can't be read.
pub(crate) async fn rows(root: &Root, table: &str, now: DateTime<Utc>) -> Result<RecordBatch> {
    let tables = Arc::new(Tables::list(root, now).await?);
    let read = async {
        let Request::Rows(statement) = Request::parse(&format!("SELECT * FROM \"{table}\""))?
        else {
            bail!("{table} is not the name of a table");
        };
        let rows = stream(root, Arc::clone(&tables), None, *statement, Ok).await?;
        let schema = rows.schema();
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        Ok(concat_batches(&schema, &batches)?)
    };
    read.await.map_err(|error| plainly(error, Some(&tables)))
}

/// Explains why a location has no tables, and what to do.
pub(crate) async fn no_tables(root: &Root) -> Result<anyhow::Error> {
    let url = root.url();
    Ok(match root.is_table().await? {
        true => anyhow!(
            "{url} is the folder of a single table; set --tables to the folder that contains it"
        ),
        false => anyhow!("no tables found in {url}; `logmill run` creates them"),
    })
}

/// The first rows of a table, or of the view that has its name, as `logmill query` returns them at the time `now`, and whether there
/// are more.
///
/// # Errors
///
/// If the table can't be read.
pub(crate) async fn first_rows(
    root: &Root,
    table: &str,
    now: DateTime<Utc>,
    rows_max: usize,
) -> Result<(RecordBatch, bool)> {
    let tables = Arc::new(Tables::list(root, now).await?);
    let read = async {
        let sql = format!("SELECT * FROM \"{table}\"");
        let Request::Rows(statement) = Request::parse(&sql)? else {
            bail!("{table} is not the name of a table");
        };
        let style = Style {
            rows_max: Some(rows_max),
            ..Style::from(Format::Csv)
        };
        let limited = |plan| style.limited(plan);
        let rows = stream(root, Arc::clone(&tables), None, *statement, limited).await?;
        let schema = rows.schema();
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        let rows = concat_batches(&schema, &batches)?;
        let has_more = rows.num_rows() > rows_max;
        Ok((rows.slice(0, rows.num_rows().min(rows_max)), has_more))
    };
    read.await.map_err(|error| plainly(error, Some(&tables)))
}

/// The rows of a query over one version of a table, whose files are at this location in the store of tables. The query calls the table
/// `name`.
///
/// # Errors
///
/// If the files can't be read.
pub(crate) async fn rows_of_version(
    root: &Root,
    place: &str,
    version: &Version,
    name: &str,
    sql: &str,
) -> Result<RecordBatch> {
    let Request::Rows(statement) = Request::parse(sql)? else {
        bail!("not a SELECT: {sql}");
    };
    let tables = MemorySchemaProvider::new();
    tables.register_table(name.to_owned(), Arc::new(DeltaScan::new(place, version)?))?;
    let context = session(Arc::new(tables), None)?;
    context.register_object_store(scan::store_url()?.as_ref(), root.store()?);
    let plan = plan(&context, None, *statement, SystemTime::now().into()).await?;
    let rows = context.execute_logical_plan(plan).await?;
    let rows = rows.execute_stream().await?;
    let schema = rows.schema();
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    Ok(concat_batches(&schema, &batches)?)
}

/// The tables of `root` with their columns, for a person who writes a query. Tables that can't be read have no columns, and neither
/// have those after the first `opened_max`.
pub async fn tables(root: &Root, opened_max: usize) -> Vec<(String, Vec<String>)> {
    let Ok(tables) = Tables::list(root, SystemTime::now().into()).await else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (place, name) in tables.table_names().into_iter().enumerate() {
        let table = match place < opened_max {
            true => tables.table(&name).await.ok().flatten(),
            false => None,
        };
        let columns = table.map(|table| columns(&*table)).unwrap_or_default();
        all.push((name, columns));
    }
    all
}

/// The log tables with their columns.
pub fn log_tables() -> Vec<(String, Vec<String>)> {
    let of_format = |format: &'static LogFormat| {
        let columns = logs::columns(format).into_iter();
        let columns = columns.map(|column| column.name(format));
        (format.table.to_owned(), columns.collect())
    };
    FORMATS.map(of_format).to_vec()
}

/// The names of Trino's functions that queries may use.
pub fn function_names() -> Vec<String> {
    let aggregates = AGGREGATES.iter().map(|name| (*name).to_owned());
    let scalar = engine::function_names().iter().cloned();
    scalar.chain(aggregates).collect()
}

fn columns(table: &dyn TableProvider) -> Vec<String> {
    let schema = table.schema();
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

/// Answers DESCRIBE and SHOW TABLES.
async fn show(
    tables: Arc<dyn SchemaProvider>,
    rollups: Option<&str>,
    request: Request,
    style: Style,
    out: impl Write + Send,
) -> Result<Written> {
    let tables = with_lookups(tables, rollups);
    let columns: Vec<(&str, Vec<String>)> = match request {
        Request::Describe(name) => {
            let table = tables.table(&name).await?;
            let Some(table) = table else {
                bail!("there is no table {name}; SHOW TABLES lists the tables");
            };
            let schema = table.schema();
            let fields = || schema.fields().iter();
            vec![
                ("col_name", fields().map(|f| f.name().clone()).collect()),
                (
                    "data_type",
                    fields().map(|f| trino_name(f.data_type())).collect(),
                ),
            ]
        }
        _ => {
            let mut names = tables.table_names();
            names.sort();
            vec![("tab_name", names)]
        }
    };
    let columns = columns.into_iter().map(|(name, texts)| {
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        (name, texts)
    });
    let rows = RecordBatch::try_from_iter(columns)?;
    let schema = rows.schema();
    let rows = RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(rows)]));
    output::write(Box::pin(rows), style, out).await
}

/// A session that knows these tables, and the lookups in the folder `rollups`.
fn session(tables: Arc<dyn SchemaProvider>, rollups: Option<&str>) -> Result<SessionContext> {
    let tables = with_lookups(tables, rollups);
    let session = engine::query_session(Arc::new(EveryDatabase(tables)))?;
    Ok(SessionContext::new_with_state(session))
}

/// Plans a SELECT, which may use lookups in the folder `rollups`. `now()` is the time `now`.
async fn plan(
    context: &SessionContext,
    rollups: Option<&str>,
    mut statement: Statement,
    now: DateTime<Utc>,
) -> Result<LogicalPlan> {
    if let Statement::Query(query) = &mut statement {
        // Boxed, because futures of S3 nested in those of a prompt are too deep for the compiler.
        let functions = Box::pin(take_lookup_calls(query, rollups)).await;
        for function in functions.map_err(anyhow::Error::msg)? {
            context.register_udf(function.as_ref().clone());
        }
    }
    let statement = prepare(statement, now).map_err(anyhow::Error::msg)?;
    let plan = engine::plan(&context.state(), statement).await;
    let plan = plan.map_err(|error| match error.find_root() {
        DataFusionError::Plan(message) => DataFusionError::Plan(with_now(message, now)),
        _ => error,
    })?;
    check_shown(&plan)?;
    Ok(plan)
}

/// The rows of a SELECT. `limited` may limit its plan.
async fn stream(
    root: &Root,
    tables: Arc<Tables>,
    rollups: Option<&str>,
    statement: Statement,
    limited: impl FnOnce(LogicalPlan) -> datafusion::common::Result<LogicalPlan>,
) -> Result<SendableRecordBatchStream> {
    let whole = whole_table(&statement);
    let context = session(Arc::clone(&tables) as _, rollups)?;
    context.register_object_store(scan::store_url()?.as_ref(), root.store()?);
    // In a query around a view, the order of the view's rows has no effect.
    let view = match &whole {
        Some(name) => tables.view_plan(name).await?,
        None => None,
    };
    let plan = match view {
        Some(plan) => plan,
        None => plan(&context, rollups, statement, tables.now).await?,
    };
    let rows = context.execute_logical_plan(limited(plan)?).await?;
    Ok(rows.execute_stream().await?)
}

/// The name of the table, if the statement is `SELECT *` from it and nothing else.
fn whole_table(statement: &Statement) -> Option<String> {
    let sql = statement.to_string();
    let name = sql.strip_prefix("SELECT * FROM ")?;
    Some(name.trim_matches('"').to_owned())
}

/// The error of [`rows_of_version`] in words for people who write SQL.
pub(crate) fn in_plain_words(error: anyhow::Error) -> anyhow::Error {
    plainly(error, None)
}

/// The error in words for people who write SQL. An error about a table names the table and says what to do.
fn plainly(error: anyhow::Error, tables: Option<&Tables>) -> anyhow::Error {
    let Some(error) = error.downcast_ref::<DataFusionError>() else {
        return error;
    };
    let words = match error.find_root() {
        DataFusionError::External(cause) => match cause.downcast_ref::<Unreadable>() {
            Some(unreadable) => unreadable.to_string(),
            None => logmill_shared::chain(&**cause),
        },
        data @ (DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_)) => {
            let reason = data.strip_backtrace();
            let reason = reason.trim_start_matches("Parquet error: ");
            let unreadable = tables.and_then(|tables| tables.unreadable_data(reason));
            unreadable.map_or_else(|| words::plain(error), |unreadable| unreadable.to_string())
        }
        _ => words::plain(error),
    };
    anyhow::Error::msg(words)
}
