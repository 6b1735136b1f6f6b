//! Stages log files again that are staged or set aside for a generation of a table that can no longer become live: a worker that did
//! not know about a swap has acknowledged them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use logmill_shared::{LogFile, chain};
use tokio_util::sync::CancellationToken;

use super::stager::Stager;
use super::tables::{ServedTable, WATCH_INTERVAL};
use crate::intake::Stage;
use crate::sleep::sleep_or_stop;
use crate::table::{Stray, TableError};

/// How long after a swap a worker checks once more.
const AFTER_A_SWAP: Duration = Duration::from_secs(30);

/// Strays that are requested at once. The stager limits how many of them are in progress.
const RESTAGED_AT_ONCE: usize = 16;

/// Looks for strays of a table periodically, and whenever the table was opened again.
pub(super) async fn restage(
    stager: Arc<Stager>,
    table: Arc<ServedTable>,
    stop: CancellationToken,
) -> Result<()> {
    let mut interval = WATCH_INTERVAL;
    while !stop.is_cancelled() {
        if let Err(error) = restage_now(&stager, &table, &stop).await {
            let feed = table.now();
            tracing::warn!(
                table = feed.name(),
                error = chain(&error),
                "looking for log files that were staged for earlier generations failed; retrying"
            );
        }
        tokio::select! {
            () = sleep_or_stop(interval, &stop) => interval = WATCH_INTERVAL,
            // After a swap there are probably strays, and a while later too: other workers notice the swap later.
            () = table.reopened.notified() => interval = AFTER_A_SWAP,
        }
    }
    Ok(())
}

async fn restage_now(
    stager: &Arc<Stager>,
    table: &ServedTable,
    stop: &CancellationToken,
) -> Result<(), TableError> {
    let live = table.now();
    let (root, name) = (stager.tables.root(), live.name());
    if live.rollup().is_none() {
        return Ok(());
    }
    let strays = root.strays(name).await?;
    if strays.is_empty() {
        return Ok(());
    }
    let version = root.read(name).await?;
    if !table.are_of(&version) {
        // Otherwise this worker would stage them for the same dead generation, and then delete them.
        stager.tables.reopen(table).await;
        if !table.are_of(&version) {
            return Ok(());
        }
    }
    let strays = root.set_aside_unknown(name, &version, strays).await?;
    let staged = futures::stream::iter(strays)
        .map(|stray| restage_one(stager, name, stray))
        .buffer_unordered(RESTAGED_AT_ONCE)
        .try_collect::<Vec<()>>();
    match stop.run_until_cancelled(staged).await {
        Some(staged) => staged.map(drop),
        None => Ok(()),
    }
}

/// Stages the log file of a stray, and deletes the stray.
async fn restage_one(stager: &Arc<Stager>, table: &str, stray: Stray) -> Result<(), TableError> {
    let Some(uri) = &stray.log_file else {
        return Ok(());
    };
    let log_file = LogFile::new(uri.as_str());
    match stager.stage(&log_file).await {
        Ok(_) => {
            tracing::info!(table, %log_file, "staged again: it was staged for an earlier generation");
            let root = stager.tables.root();
            root.delete_strays(table, std::slice::from_ref(&stray))
                .await
        }
        Err(error) => {
            tracing::error!(
                table, %log_file, reason = %error.reason,
                "the log file was staged for an earlier generation of the table, and can't be staged again; retrying"
            );
            Ok(())
        }
    }
}
