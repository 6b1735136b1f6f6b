//! Log files that are staged or set aside for a generation of a table that can no longer become live. A run stages them again.

use std::collections::BTreeSet;

use anyhow::Result;
use logmill_shared::chain;

use super::Summary;
use crate::feeds::Feeds;
use crate::intake::listing;
use crate::intake::log_object::LogObject;
use crate::table::{Root, of_tables};

/// The tables of rollups.
pub(super) fn tables(feeds: &Feeds) -> Vec<String> {
    let live = feeds.tables.iter().filter(|feed| !feed.is_next());
    let of_rollups = live.filter(|feed| feed.rollup().is_some());
    of_rollups.map(|feed| feed.name().to_owned()).collect()
}

/// Finds the log files of strays. Those that are gone are failures of the run.
pub(super) async fn find(
    root: &Root,
    tables: &[String],
    place: &str,
    summary: &mut Summary,
) -> Result<Vec<LogObject>> {
    let found = tables.iter().map(|table| root.strays(table));
    let mut uris = BTreeSet::new();
    for (strays, table) in of_tables(found).await.into_iter().zip(tables) {
        match strays {
            Ok(strays) => uris.extend(strays.into_iter().filter_map(|stray| stray.log_file)),
            // Opening the table has reported why it can't be read. The next run finds its strays.
            Err(error) => {
                tracing::debug!(table, error = chain(&error), "strays can't be listed");
            }
        }
    }
    if uris.is_empty() {
        return Ok(Vec::new());
    }
    tracing::info!(
        log_files = uris.len(),
        "staging log files again that were staged for earlier generations of tables"
    );
    let (listed, not_found) = listing::locate(uris, place).await;
    let not_found = not_found.into_iter();
    let not_found = not_found.map(|(log_file, error)| (log_file, chain(&error)));
    summary.failed.extend(not_found);
    Ok(listed.found)
}

/// Deletes strays that are now counted. The next run finds the rest.
pub(super) async fn sweep(root: &Root, tables: &[String]) {
    let swept = tables.iter().map(|table| root.strays(table));
    for (swept, table) in of_tables(swept).await.into_iter().zip(tables) {
        if let Err(error) = swept {
            tracing::debug!(table, error = chain(&error), "strays can't be deleted");
        }
    }
}
