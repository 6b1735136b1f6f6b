//! `logmill query`: SQL over the tables, as they are now.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::SchemaProvider;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::engine::{self, zones};
use crate::table::Root;

mod catalog;
mod scan;
mod ledgers;
pub(crate) mod output;

pub use output::Format;

use catalog::{Tables, Unreadable};

/// Runs a query over the tables of `root`, and writes its rows to `out`. Only tables that the query names are opened.
///
/// # Errors
///
/// The SQL is refused, a table that the query names can't be read, or computing or writing rows fails. Some rows may have
/// been written by then.
pub async fn query(root: &Root, sql: &str, format: Format, out: impl Write + Send) -> Result<()> {
    let statement = statement(sql)?;
    let tables = Tables::list(root).await?;
    if tables.is_empty() {
        match root.is_table().await? {
            true => bail!(
                "{} is the folder of a single table; set --tables to the folder that contains it",
                root.url()
            ),
            false => bail!(
                "no tables found in {}; `logmill run` creates them",
                root.url()
            ),
        }
    }
    let tables = Arc::new(tables);
    let done = run(root, Arc::clone(&tables), statement, format, out).await;
    done.map_err(|error| plainly(error, &tables))
}

async fn run(
    root: &Root,
    tables: Arc<Tables>,
    statement: Statement,
    format: Format,
    out: impl Write + Send,
) -> Result<()> {
    let whole = whole_table(&statement);
    let session = engine::query_session(Arc::clone(&tables) as Arc<dyn SchemaProvider>)?;
    let context = SessionContext::new_with_state(session);
    context.register_object_store(scan::store_url()?.as_ref(), root.store()?);
    // In a query around a view, the order of the view's rows has no effect.
    let view = match &whole {
        Some(name) => tables.view_plan(name).await?,
        None => None,
    };
    let plan = match view {
        Some(plan) => plan,
        None => engine::plan(&context.state(), statement).await?,
    };
    let rows = context.execute_logical_plan(plan).await?;
    let schema: SchemaRef = Arc::clone(rows.schema().inner());
    let batches = rows.execute_stream().await?;
    output::write(schema, batches, format, out).await
}

/// The name of the table, if the statement is `SELECT *` from it and nothing else.
fn whole_table(statement: &Statement) -> Option<String> {
    let sql = statement.to_string();
    let name = sql.strip_prefix("SELECT * FROM ")?;
    Some(name.trim_matches('"').to_owned())
}

fn statement(sql: &str) -> Result<Statement> {
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql)?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        bail!("give exactly one SQL statement");
    };
    zones::check(&statement).map_err(anyhow::Error::msg)?;
    Ok(statement)
}

/// Replaces an error about a table with one that names the table and says what to do, without DataFusion's context.
fn plainly(error: anyhow::Error, tables: &Tables) -> anyhow::Error {
    let root = error.downcast_ref().map(DataFusionError::find_root);
    let plain = match root {
        Some(DataFusionError::External(cause)) => cause
            .downcast_ref()
            .map(|unreadable: &Unreadable| unreadable.to_string()),
        Some(data @ (DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_))) => {
            let reason = data.strip_backtrace();
            let unreadable = tables.unreadable_data(reason.trim_start_matches("Parquet error: "));
            unreadable.map(|unreadable| unreadable.to_string())
        }
        _ => None,
    };
    plain.map_or(error, anyhow::Error::msg)
}
