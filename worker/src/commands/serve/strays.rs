//! Stages log files anew that are staged or set aside for a generation of a table that can't become live any more: a worker that did
//! not know of a swap has acknowledged them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use logmill_shared::{LogFile, chain};
use tokio_util::sync::CancellationToken;

use super::stager::Stager;
use super::tables::{ServedTable, WATCH_INTERVAL};
use crate::intake::Stage;
use crate::sleep::sleep_or_stop;
use crate::table::TableError;

/// How long after a swap a worker looks once more.
const AFTER_A_SWAP: Duration = Duration::from_secs(30);

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
            // After a swap something is probably left, and a while later too: other workers notice it later.
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
    for stray in strays {
        let Some(uri) = &stray.log_file else {
            continue;
        };
        let log_file = LogFile::new(uri.as_str());
        let Some(staged) = stop.run_until_cancelled(stager.stage(&log_file)).await else {
            return Ok(());
        };
        match staged {
            Ok(_) => {
                tracing::info!(table = name, %log_file, "staged anew: it was staged for an earlier generation");
                root.delete_strays(name, std::slice::from_ref(&stray))
                    .await?;
            }
            Err(error) => {
                tracing::error!(
                    table = name, %log_file, reason = %error.reason,
                    "the log file was staged for an earlier generation of the table, and can't be staged anew; retrying"
                );
            }
        }
    }
    Ok(())
}
