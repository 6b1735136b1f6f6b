//! `logmill retry`: retries log files that are set aside.
//!
//! Staged files that could not be committed are put back for the next commit. Log files without a usable staged file are
//! read again. A note is deleted only when the ledger has its log file, so that nothing is lost if the command is
//! interrupted.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use logmill_shared::chain;

use crate::commands::progress::Progress;
use crate::commands::run::{self, Options, Summary};
use crate::intake::listing;
use crate::rollup::Loaded;
use crate::table::{Root, SetAside};

/// The results of a retry.
#[derive(Debug, Default)]
pub struct PutBack {
    /// Number of log files that were set aside, by table.
    pub set_aside: BTreeMap<String, usize>,
    /// Log files that are still set aside, by table: URI or id, and the reason.
    pub still: BTreeMap<String, Vec<(String, String)>>,
    /// The results of reading log files again.
    pub summary: Summary,
}

/// Retries the log files that are set aside for all tables, or for one of them.
///
/// # Errors
///
/// The table does not exist, or the notes can't be read or written. Failures of single log files or tables are in the
/// result.
pub async fn put_back(
    rollups: Loaded,
    options: &Options,
    only: Option<&str>,
    progress: &mut dyn Progress,
) -> Result<PutBack> {
    let root = Root::open(&options.tables).await?;
    let tables = root.tables().await?;
    if let Some(only) = only
        && !tables.iter().any(|table| table == only)
    {
        bail!("no table '{only}' found in {}", options.tables);
    }
    let tables = || {
        let tables = tables.iter().map(String::as_str);
        tables.filter(move |table| only.is_none_or(|only| only == *table))
    };
    let mut done = PutBack::default();
    let mut log_files = BTreeSet::new();
    for table in tables() {
        let notes = root.notes(table).await?.read().await?;
        if notes.is_empty() {
            continue;
        }
        done.set_aside.insert(table.to_owned(), notes.len());
        let (known, unknown): (Vec<SetAside>, Vec<SetAside>) =
            notes.into_iter().partition(|note| note.log_file.is_some());
        root.notes(table).await?.put_back(&unknown).await?;
        log_files.extend(known.into_iter().filter_map(|note| note.log_file));
    }
    let (listed, not_found) = listing::locate(log_files, &options.tables).await;
    done.summary = run::run_over(listed, rollups, &root, options, progress).await?;
    let not_found = not_found.into_iter();
    let not_found = not_found.map(|(log_file, error)| (log_file, chain(&error)));
    done.summary.failed.extend(not_found);
    for table in tables().filter(|table| done.set_aside.contains_key(*table)) {
        let notes = root.notes(table).await?;
        if let Ok(version) = root.read(table).await {
            notes.sweep(&version).await?;
        }
        let still = notes.read().await?.into_iter();
        let still: Vec<_> = still
            .map(|note| (note.log_file.unwrap_or(note.id.to_string()), note.reason))
            .collect();
        if !still.is_empty() {
            done.still.insert(table.to_owned(), still);
        }
    }
    Ok(done)
}
