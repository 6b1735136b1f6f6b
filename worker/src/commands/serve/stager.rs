//! Stages announced log files: each takes its turn, and is then staged for all tables on a thread of its own.

use std::sync::Arc;

use logmill_shared::LogFile;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::tables::Tables;
use crate::intake::allowed_locations::AllowedLocations;
use crate::intake::disposition::NotStaged;
use crate::intake::ignore::Ignore;
use crate::intake::{Stage, StageOutcome};
use crate::metrics::{LeftAlone, Metrics};
use crate::pipeline::{self, Limits, Outcome, Source, Staged};
use crate::stall::{ReadCount, Stalls};

/// Stages announced log files.
pub(super) struct Stager {
    pub(super) tables: Arc<Tables>,
    pub(super) places: AllowedLocations,
    pub(super) ignore: Ignore,
    /// One permit for each log file that may be staged concurrently.
    pub(super) turns: Arc<Semaphore>,
    pub(super) stalls: Arc<Stalls>,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
}

impl Stager {
    /// Looks up an announced log file and stages it for all tables.
    async fn take(self: &Arc<Self>, log_file: &LogFile) -> Result<Outcome, NotStaged> {
        let begun = Instant::now();
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        self.metrics.step("wait", begun.elapsed());
        let in_flight = self.metrics.log_file_in_flight();
        let begun = Instant::now();
        let found = self.places.look_up(log_file).await?;
        self.metrics.step("look_up", begun.elapsed());

        let (stager, runtime) = (Arc::clone(self), Handle::current());
        let read = ReadCount::default();
        let counted = read.clone();
        let mut staged = tokio::task::spawn_blocking(move || {
            // The thread runs to its end even if the caller has stopped waiting. It holds its permit until then.
            let _turn = (turn, in_flight);
            let source = Source {
                log_file: found.log_file.clone(),
                bytes: found.bytes,
                etag: found.etag.clone(),
                open: || Ok(counted.of(found.open()?)),
            };
            let feeds = stager.tables.now();
            runtime.block_on(pipeline::stage(source, &feeds, stager.limits))
        });
        let staged = tokio::select! {
            staged = &mut staged => staged,
            () = self.stalls.stalls(&read) => {
                return Err(self.stalls.add(log_file, staged, &self.metrics));
            }
        };
        match staged {
            Ok(staged) => staged.map_err(|error| error.disposed(log_file)),
            Err(panic) => Err(NotStaged::by_panic(panic)),
        }
    }
}

impl Stage for Arc<Stager> {
    async fn stage(&self, log_file: &LogFile) -> Result<StageOutcome, NotStaged> {
        if self.ignore.has(log_file) {
            tracing::debug!(%log_file, "ignored");
            self.metrics.left_alone(LeftAlone::Ignored);
            return Ok(StageOutcome::Skipped);
        }
        match self.take(log_file).await {
            Ok(Outcome::Staged(staged)) => {
                let Staged {
                    reading,
                    spent,
                    failed_lines,
                    set_aside,
                    by_second_opinion,
                } = staged;
                if by_second_opinion {
                    self.metrics.second_opinion();
                }
                tracing::debug!(%log_file, lines = reading.lines, "staged");
                self.metrics.staged(&reading, &spent);
                for (table, lines) in failed_lines {
                    tracing::debug!(%log_file, %table, lines, "rollup fails on lines; its table leaves them out");
                    self.metrics.failed_lines(&table, lines);
                }
                for (table, reason) in set_aside {
                    self.metrics.failed("set_aside");
                    self.tables.set_aside.set_aside(log_file, &table, &reason);
                }
                Ok(StageOutcome::Staged)
            }
            Ok(Outcome::NotRead(format)) => {
                tracing::debug!(%log_file, format = format.table, "skipped: no rollup reads this format");
                self.metrics.left_alone(LeftAlone::Skipped);
                Ok(StageOutcome::Skipped)
            }
            Ok(Outcome::Skipped(what)) => {
                tracing::debug!(%log_file, what, "skipped");
                self.metrics.left_alone(LeftAlone::Skipped);
                Ok(StageOutcome::Skipped)
            }
            Ok(Outcome::Unrecognised(what)) => {
                tracing::info!(%log_file, what, "unrecognised: the file is of no known kind and is skipped; exclude \
                     such files with --ignore");
                self.metrics.left_alone(LeftAlone::Unrecognised);
                Ok(StageOutcome::Skipped)
            }
            Err(error) => {
                self.metrics.not_staged(error.name);
                Err(error)
            }
        }
    }
}
