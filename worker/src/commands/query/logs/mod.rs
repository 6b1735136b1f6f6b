//! `logmill query --logs`: SQL over the lines of log files, without any table.
//!
//! The SQL is planned as a rollup's is, with the same functions and types. But it runs over all lines at once, so nothing
//! has to merge: any SELECT is allowed.

mod limits;
mod notes;
mod table;
mod tables;

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::Result;
use datafusion::catalog::SchemaProvider;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast::Statement;

use super::output::{self, Style, Written};
use super::{plan, session};
use crate::commands::progress::Progress;
use crate::format::{LogFormat, Recognised, unread_by_name};
use crate::intake::file_rules::FileRules;
use crate::intake::listing::{self, Listing};
use crate::intake::log_object::{Listed, LogObject, in_order};
use crate::intake::span::Span;
use crate::pipeline::ReadRows;

pub use notes::{LogNotes, LogsToRead};
pub(super) use table::columns;
use tables::LogTables;

/// The log files that a query may read.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Log files and folders of log files: paths or `s3://bucket/key`.
    pub logs: Vec<String>,
    /// A folder of lookups that the query may use, which is a path or `s3://bucket/prefix`.
    pub rollups: Option<String>,
    /// A folder of tables to leave out; empty for none.
    pub tables: String,
    /// Files to ignore.
    pub rules: FileRules,
    /// Maximum decompressed size of a log file, in bytes.
    pub max_log_file_bytes: u64,
}

/// The log files of one query: which it reads, and what is noticed about them.
pub struct Logs {
    options: LogOptions,
    notes: Mutex<LogNotes>,
    /// What the scans of the query read; `None` if it has no scan.
    to_read: Mutex<Option<LogsToRead>>,
    progress: Mutex<Box<dyn Progress>>,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

impl Logs {
    /// The log files of a query that has not begun.
    pub fn new(options: LogOptions, progress: Box<dyn Progress>) -> Arc<Self> {
        Arc::new(Self {
            options,
            notes: Mutex::default(),
            to_read: Mutex::default(),
            progress: Mutex::new(progress),
        })
    }

    /// The folder of lookups that the query may use.
    pub(super) fn rollups(&self) -> Option<&str> {
        self.options.rollups.as_deref()
    }

    /// What the query reads; `None` if it names no log table.
    pub fn to_read(&self) -> Option<LogsToRead> {
        *lock(&self.to_read)
    }

    /// Whether there was no log file to read. If the query's conditions have excluded some, this is an answer.
    pub fn found_none(&self) -> bool {
        let notes = lock(&self.notes);
        self.to_read().is_some_and(|to_read| {
            let is_restricted = to_read.is_restricted || to_read.excluded > 0;
            !is_restricted && notes.failed.is_empty() && notes.others == to_read.log_files
        })
    }

    /// Whether the query has read all log files that it should, and there were some.
    pub fn is_complete(&self) -> bool {
        self.notes().failed.is_empty() && !self.found_none()
    }

    /// What the query has noticed so far.
    pub fn notes(&self) -> LogNotes {
        lock(&self.notes).clone()
    }

    /// Lists the log files in folders that may hold those of the span. Files whose names say that they are no access logs
    /// are left out.
    async fn list(&self, format: &'static LogFormat, span: Option<Span>) -> Result<Vec<LogObject>> {
        let LogOptions { logs, tables, .. } = &self.options;
        let Listed {
            mut found,
            not_listed,
        } = match span {
            None => listing::list(logs, tables).await?,
            Some(span) => list_span(logs, tables, span).await?,
        };
        let rules = &self.options.rules;
        let mut notes = lock(&self.notes);
        let listed = found.len();
        found.retain(|found| !rules.ignores(&found.log_file));
        notes.ignored = listed - found.len();
        for each in not_listed {
            if !rules.ignores(&each.log_file) {
                notes.fail(&each.log_file, each.reason);
            }
        }
        found.retain(|found| {
            let named_as = found.log_file.named_as();
            let unread = unread_by_name(named_as, |other| other == format);
            match &unread {
                Some(Recognised::Other(kind)) => notes.skip(&found.log_file, kind),
                Some(Recognised::Claimed(format)) => notes.skip_format(&found.log_file, format),
                _ => {}
            }
            unread.is_none()
        });
        notes.find_copies(found.iter().map(|found| &found.log_file));
        Ok(found)
    }

    /// A scan of the query will read these log files.
    fn will_read(&self, found: &[LogObject], excluded: usize, is_restricted: bool) {
        let bytes = found.iter().map(|found| found.bytes).sum();
        let mut to_read = lock(&self.to_read);
        to_read.get_or_insert_default().add(LogsToRead {
            log_files: found.len(),
            bytes,
            excluded,
            is_restricted,
        });
    }

    /// All scans of the query are planned.
    fn begin(&self) {
        let to_read = *lock(&self.to_read);
        let Some(to_read) = to_read else {
            return;
        };
        let mut progress = lock(&self.progress);
        progress.reading(&to_read);
        progress.found(to_read.log_files);
        progress.found_bytes(to_read.bytes);
        progress.found_all();
    }

    fn has_read(&self, found: &LogObject, read: ReadRows) {
        let mut progress = lock(&self.progress);
        progress.done(1);
        progress.done_bytes(found.bytes, read.reading.text_bytes);
        drop(progress);
        lock(&self.notes).has_read(&found.log_file, read);
    }
}

/// Another thread's panic does not make these values wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn list_span(logs: &[String], tables: &str, span: Span) -> Result<Listed> {
    let mut all = Listed::default();
    for place in logs {
        let mut listing = Listing::begin(place, tables, span);
        while let Some(page) = listing.next().await? {
            all.found.extend(page);
        }
        all.not_listed.extend(listing.not_listed());
    }
    in_order(&mut all.found);
    Ok(all)
}

/// The log tables.
pub(super) fn tables(logs: &Arc<Logs>) -> Arc<dyn SchemaProvider> {
    Arc::new(LogTables(Arc::clone(logs)))
}

/// Runs a query over the lines of log files, and writes its rows to `out`.
///
/// # Errors
///
/// The SQL is refused, the log files can't be listed, or computing or writing rows fails. A log file that can't be read is
/// not an error, but a note of `logs`.
pub(super) async fn query(
    logs: &Arc<Logs>,
    statement: Statement,
    style: Style,
    out: impl Write + Send,
) -> Result<Written> {
    let context = session(tables(logs), logs.rollups())?;
    let plan = plan(
        &context,
        logs.rollups(),
        statement,
        SystemTime::now().into(),
    )
    .await?;
    let plan = style.limited(plan)?;
    // The log files are listed here, because the plan's conditions decide which.
    let plan = context.state().create_physical_plan(&plan).await?;
    logs.begin();
    let rows = execute_stream(plan, context.task_ctx())?;
    output::write(rows, style, out).await
}
