//! `logmill retry`: what is set aside is tried again.
//!
//! What is staged, and could not be committed, is put back for the next commit. Log files of which nothing usable is staged are read
//! again. A note goes when the ledger has its log file, and not before: whatever ends this early loses nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::commands::run::{self, Options, Progress, Summary};
use crate::intake::listing;
use crate::intake::log_object::Listed;
use crate::rollup::Loaded;
use crate::table::{Root, SetAside};

/// What has been tried again.
#[derive(Debug, Default)]
pub struct PutBack {
    /// Log files that were set aside, by table.
    pub set_aside: BTreeMap<String, usize>,
    /// Those that are still set aside, by table, each with its URI or id and the reason.
    pub still: BTreeMap<String, Vec<(String, String)>>,
    /// What came of reading the log files again.
    pub summary: Summary,
}

/// Tries again what is set aside for the tables, or for one of them.
///
/// # Errors
///
/// There is no such table, or the notes can't be read or written. What fails of a single log file or table is in the result.
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
        bail!("{}: there is no table '{only}'", options.tables);
    }
    let tables = || {
        let tables = tables.iter().map(String::as_str);
        tables.filter(move |table| only.is_none_or(|only| only == *table))
    };
    let mut done = PutBack::default();
    let mut log_files = BTreeSet::new();
    for table in tables() {
        let notes = root.notes(table)?.read().await?;
        if notes.is_empty() {
            continue;
        }
        done.set_aside.insert(table.to_owned(), notes.len());
        let (known, unknown): (Vec<SetAside>, Vec<SetAside>) =
            notes.into_iter().partition(|note| note.log_file.is_some());
        root.notes(table)?.put_back(&unknown).await?;
        log_files.extend(known.into_iter().filter_map(|note| note.log_file));
    }
    let mut listed = Listed::default();
    let mut gone = Vec::new();
    for uri in log_files {
        // On disk a URI is that of a path.
        let path = url::Url::parse(&uri)
            .ok()
            .filter(|url| url.scheme() == "file");
        let path = path.and_then(|url| url.to_file_path().ok());
        let place = path.map_or(uri.clone(), |path| path.display().to_string());
        match listing::list(&[place], &options.tables).await {
            Ok(each) => {
                listed.found.extend(each.found);
                listed.not_listed.extend(each.not_listed);
            }
            Err(error) => gone.push((uri, format!("{:#}", anyhow::Error::new(error)))),
        }
    }
    done.summary = run::run_over(listed, rollups, &root, options, progress).await?;
    done.summary.failed.extend(gone);
    for table in tables().filter(|table| done.set_aside.contains_key(*table)) {
        let notes = root.notes(table)?;
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
