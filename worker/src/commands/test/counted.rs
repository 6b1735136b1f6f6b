//! Counts the log lines of a test case, and reads the resulting rows of its rollup.

use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::cases::Case;
use super::csv::Cell;
use super::log_files::LogFiles;
use crate::commands::progress::Progress;
use crate::commands::query;
use crate::commands::query::output::csv_cells;
use crate::commands::run::{self, Options, Summary};
use crate::intake::file_rules::FileRules;
use crate::rollup::Rollup;
use crate::table::Root;
use crate::table::definition::REJECTED_LINES;
use crate::terminal::escaped;

/// Maximum number of omitted lines that are described.
const SHOWN_LINES: usize = 10;

/// The result of a rollup over the lines of a case.
pub(super) struct Counted {
    /// The rows of `SELECT * FROM <table>`.
    pub(super) rows: RecordBatch,
    pub(super) left_out: LeftOut,
    /// Reasons why the lines could not be counted.
    pub(super) problems: Vec<String>,
}

/// Lines that are not in any row, because they are not log lines, or because the rollup fails on them.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Their number.
    pub(super) count: usize,
    /// The first of them, each with the reason.
    pub(super) lines: Vec<String>,
}

/// Counts the lines of a case, in two commits if it has two log lines or more. `now()` is the time of the latest line, so the result
/// never changes.
pub(super) async fn count(rollup: &Arc<Rollup>, case: &Case) -> Result<Counted> {
    let folder = tempfile::tempdir()?;
    let log_folder = folder.path().join("logs");
    let tables = folder.path().join("tables").to_string_lossy().into_owned();
    let Some(files) = LogFiles::write(&case.log, rollup.format(), &log_folder)? else {
        return Ok(Counted {
            rows: RecordBatch::new_empty(Arc::new(Schema::empty())),
            left_out: LeftOut::default(),
            problems: vec![format!(
                "{}: no line is a log line of {}",
                case.log.display(),
                rollup.format().table
            )],
        });
    };
    let mut problems = Vec::new();
    for logs in &files.folders {
        let options = Options {
            logs: vec![logs.to_string_lossy().into_owned()],
            tables: tables.clone(),
            max_log_file_bytes: u64::MAX,
            threads: Some(NonZeroUsize::MIN),
            rules: FileRules::default(),
        };
        let rollups = vec![Arc::clone(rollup)].into();
        let summary = run::run(rollups, &options, &mut Silent).await?;
        problems.extend(problems_of(summary));
    }
    let root = Root::open(&tables).await?;
    let name = &rollup.definition().name;
    Ok(Counted {
        rows: query::rows(&root, name, files.latest).await?,
        left_out: left_out(&root, name, &files).await?,
        problems,
    })
}

fn problems_of(summary: Summary) -> Vec<String> {
    let failed = summary.failed.into_iter().map(|(_, reason)| reason);
    let set_aside = summary
        .set_aside
        .into_values()
        .map(|set_aside| set_aside.first.1);
    let troubles = summary
        .troubles
        .into_iter()
        .filter(|trouble| trouble.is_failure);
    failed
        .chain(set_aside)
        .chain(troubles.map(|trouble| trouble.what))
        .collect()
}

async fn left_out(root: &Root, table: &str, files: &LogFiles) -> Result<LeftOut> {
    let mut lines = rejected_lines(root, files).await?;
    let entries = root.read(table).await?.entries().await?;
    let failed: i64 = entries.iter().map(|entry| entry.failed_lines).sum();
    let count = lines.len() + usize::try_from(failed)?;
    for entry in &entries {
        lines.extend(entry.failures.iter().map(|failure| {
            let number = files.line_number(&entry.log_file, failure.line_number);
            (number, format!("fails: {}", failure.reason))
        }));
    }
    lines.sort();
    lines.truncate(SHOWN_LINES);
    let line = |(number, what): (usize, String)| format!("line {number} {}", escaped(&what));
    Ok(LeftOut {
        count,
        lines: lines.into_iter().map(line).collect(),
    })
}

/// The lines that are not log lines, by their numbers in the case.
async fn rejected_lines(root: &Root, files: &LogFiles) -> Result<Vec<(usize, String)>> {
    let tables = root.tables().await?;
    if !tables.iter().any(|table| table == REJECTED_LINES) {
        return Ok(Vec::new());
    }
    let rows = query::rows(root, REJECTED_LINES, files.latest).await?;
    let column = |name: &str| match rows.column_by_name(name) {
        Some(column) => csv_cells(column),
        None => Ok(Vec::new()),
    };
    let log_files = column("log_file")?.into_iter();
    let cells = log_files.zip(column("line_number")?).zip(column("reason")?);
    let line = |((log_file, number), reason): ((Cell, Cell), Cell)| {
        let number = files.line_number(&log_file?, number?.parse().ok()?);
        Some((number, format!("is rejected: {}", reason?)))
    };
    Ok(cells.filter_map(line).collect())
}

/// Shows no progress.
struct Silent;

impl Progress for Silent {
    fn found(&mut self, _log_files: usize) {}
    fn done(&mut self, _log_files: usize) {}
    fn end(&mut self) {}
}
