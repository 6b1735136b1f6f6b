//! `logmill query`: SQL over the tables, as they are now.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::rollup::{FAILED_LINES, LOG_FILES, REJECTED_LINES, engine, zones};
use crate::table::{Entry, FailedLine, Root};

mod scan;
pub(crate) mod output;

pub use output::Format;

use scan::DeltaScan;

/// Runs a query over the tables of `root`, and writes its rows to `out`.
pub async fn query(root: &Root, sql: &str, format: Format, out: impl Write + Send) -> Result<()> {
    let context = SessionContext::new_with_state(engine::query_session());
    let mut log_files = Vec::new();
    let tables = root.tables().await?;
    if tables.is_empty() {
        bail!("there are no tables here; `logmill run` makes them");
    }
    for name in tables {
        let version = root
            .read(&name)
            .await
            .with_context(|| format!("the table '{name}' can't be read"))?;
        // A log file without rejected lines is in no ledger of theirs, so that one says little.
        if name != REJECTED_LINES {
            log_files.extend(
                version
                    .entries()
                    .await?
                    .into_iter()
                    .map(|entry| (name.clone(), entry)),
            );
        }
        let url = ObjectStoreUrl::parse(format!("logmill://{}", name.replace('_', "-")))?;
        context.register_object_store(url.as_ref(), Arc::clone(version.store()));
        context.register_table(&name, Arc::new(DeltaScan::new(&version, url)?))?;
    }
    // There may be many of them, and few queries ask.
    let failed_lines = match sql.to_ascii_lowercase().contains(FAILED_LINES) {
        true => failed_lines(&log_files)?,
        false => failed_lines(&[])?,
    };
    for (name, rows) in [
        (LOG_FILES, with_table_names(&log_files)?),
        (FAILED_LINES, failed_lines),
    ] {
        // A table of this name may have been made before the name was kept for this.
        if !context.table_exist(name)? {
            let rows = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
            context.register_table(name, Arc::new(rows))?;
        }
    }

    let mut statements = Parser::parse_sql(&GenericDialect {}, sql)?;
    if statements.len() != 1 {
        bail!(
            "a query is one SQL statement, and this is {}",
            statements.len()
        );
    }
    let statement = statements.remove(0);
    zones::check(&statement).map_err(anyhow::Error::msg)?;
    let plan = engine::plan(&context.state(), statement).await?;
    let rows = context.execute_logical_plan(plan).await?;
    let schema: SchemaRef = Arc::clone(rows.schema().inner());
    let batches = rows.execute_stream().await?;
    output::write(schema, batches, format, out).await
}

/// The ledgers' entries, each with the table that it is of.
fn with_table_names(log_files: &[(String, Entry)]) -> Result<RecordBatch> {
    let names: ArrayRef = Arc::new(
        log_files
            .iter()
            .map(|(name, _)| Some(name))
            .collect::<StringArray>(),
    );
    let entries: Vec<Entry> = log_files.iter().map(|(_, entry)| entry.clone()).collect();
    let entries = Entry::batch(&entries)?;
    // They are rows of their own, in `failed_lines`.
    let shown: Vec<usize> = (0..entries.num_columns())
        .filter(|&column| entries.schema().field(column).name() != Entry::FAILURES)
        .collect();
    let entries = entries.project(&shown)?;
    let mut fields = vec![Arc::new(Field::new("table", DataType::Utf8, true))];
    fields.extend(entries.schema().fields().iter().cloned());
    let mut columns = vec![names];
    columns.extend(entries.columns().iter().cloned());
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

/// The lines that ledgers have of those on which rollups fail: the first ones of each log file.
fn failed_lines(log_files: &[(String, Entry)]) -> Result<RecordBatch> {
    let lines = || {
        log_files.iter().flat_map(|(table, entry)| {
            let failures = entry.failures.iter();
            failures.map(move |failure| (table, &entry.log_file, failure))
        })
    };
    let text = |get: fn(&FailedLine) -> &str| -> ArrayRef {
        Arc::new(
            lines()
                .map(|(_, _, failure)| Some(get(failure)))
                .collect::<StringArray>(),
        )
    };
    let tables: StringArray = lines().map(|(table, ..)| Some(table)).collect();
    let files: StringArray = lines().map(|(_, file, _)| Some(file)).collect();
    let numbers =
        lines().map(|(_, _, failure)| Some(failure.line_number).filter(|number| *number > 0));
    let columns: [(&str, ArrayRef); 5] = [
        ("table", Arc::new(tables)),
        ("log_file", Arc::new(files)),
        ("line_number", Arc::new(numbers.collect::<Int64Array>())),
        ("reason", text(|failure| &failure.reason)),
        ("line", text(|failure| &failure.line)),
    ];
    let nullable = columns.map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable)?)
}
