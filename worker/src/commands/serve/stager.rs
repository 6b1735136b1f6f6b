//! Stages announced log files: each waits for its turn, and is then staged for all tables on its own thread.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use logmill_shared::LogFile;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::tables::Tables;
use crate::format::{LogFormat, Recognised, unread_by_name};
use crate::intake::allowed_locations::AllowedLocations;
use crate::intake::file_rules::FileRules;
use crate::intake::not_staged::NotStaged;
use crate::intake::{Stage, StageOutcome};
use crate::log_file::fetch;
use crate::metrics::{LeftAlone, Metrics};
use crate::pipeline::{self, Limits, Outcome, Source, Staged};
use crate::stall::{ReadCount, Stalls};

/// Stages announced log files.
pub(super) struct Stager {
    pub(super) tables: Arc<Tables>,
    pub(super) allowed: AllowedLocations,
    pub(super) rules: FileRules,
    /// One permit for each log file that may be staged concurrently.
    pub(super) turns: Arc<Semaphore>,
    pub(super) stalls: Arc<Stalls>,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
}

impl Stager {
    /// Stages an announced log file for all tables.
    async fn stage_on_own_thread(
        self: &Arc<Self>,
        log_file: &LogFile,
    ) -> Result<Outcome, NotStaged> {
        let begun = Instant::now();
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        self.metrics.step("wait", begun.elapsed());
        let in_flight = self.metrics.log_file_in_flight();

        let (stager, runtime, taken) = (Arc::clone(self), Handle::current(), log_file.clone());
        let read = ReadCount::default();
        let counted = read.clone();
        let mut staged = tokio::task::spawn_blocking(move || {
            // The thread runs to its end even if the caller has stopped waiting. It holds its permit until then.
            let _turn = (turn, in_flight);
            runtime.block_on(stager.fetch_and_stage(&taken, &counted))
        });
        let staged = tokio::select! {
            staged = &mut staged => staged,
            () = self.stalls.stalls(&read) => {
                return Err(self.stalls.add(log_file, staged, &self.metrics));
            }
        };
        staged.unwrap_or_else(|panic| Err(NotStaged::by_panic(panic)))
    }

    /// Requests a log file and stages it. It computes without yielding, so it needs its own thread.
    async fn fetch_and_stage(
        &self,
        log_file: &LogFile,
        read: &ReadCount,
    ) -> Result<Outcome, NotStaged> {
        let begun = Instant::now();
        let (object, body) = self.allowed.look_up(log_file).await?;
        self.metrics.step("look_up", begun.elapsed());
        let body = Cell::new(Some(body));
        let source = Source {
            log_file: log_file.clone(),
            bytes: object.bytes,
            etag: object.etag.clone(),
            plain: self.rules.plain(log_file),
            // The first reader takes this response's body. A second opinion requests the same version again.
            open: |range: Option<Range<u64>>| {
                // The body is the whole object.
                let body = body.take().filter(|_| range.is_none());
                Ok(read.of(fetch::open(object.clone(), range, body)?))
            },
        };
        let feeds = self.tables.now();
        let staged = pipeline::stage(source, &feeds, self.limits).await;
        staged.map_err(|error| error.disposed(log_file))
    }

    /// Stages a log file unless its name says that no rollup reads it.
    async fn stage_unless_skipped(
        self: &Arc<Self>,
        log_file: &LogFile,
    ) -> Result<StageOutcome, NotStaged> {
        if self.rules.ignores(log_file) {
            tracing::debug!(%log_file, "ignored");
            self.metrics.left_alone(LeftAlone::Ignored);
            return Ok(StageOutcome::NotRequested);
        }
        // `pipeline::stage` also checks the name, but only after the request for the object, which this saves. A location that is not
        // allowed is still refused.
        let feeds = self.tables.now();
        let reads = |format| pipeline::is_read(&feeds, format);
        let unread = unread_by_name(log_file.named_as(), reads);
        if let Some(unread) = unread {
            self.allowed.locate(log_file)?;
            let kind = match unread {
                Recognised::Claimed(format) => not_read(format),
                Recognised::Other(kind) => kind.to_owned(),
                _ => "unknown".to_owned(),
            };
            tracing::debug!(%log_file, kind, "skipped");
            self.metrics.kind(&kind);
            self.metrics.left_alone(LeftAlone::Skipped);
            return Ok(StageOutcome::NotRequested);
        }
        match self.stage_on_own_thread(log_file).await? {
            Outcome::Staged(staged) => {
                let Staged {
                    kind,
                    reading,
                    spent,
                    failed_lines,
                    set_aside,
                    by_second_opinion,
                } = staged;
                if by_second_opinion {
                    self.metrics.second_opinion();
                }
                tracing::debug!(%log_file, kind, lines = reading.lines, "staged");
                self.metrics.kind(&kind);
                self.metrics.staged(&reading, &spent);
                for (table, lines) in failed_lines {
                    tracing::debug!(%log_file, %table, lines, "rollup fails on lines; its table leaves them out");
                    self.metrics.failed_lines(&table, lines);
                }
                for (table, reason) in set_aside {
                    let about = format!("{log_file} for {table}");
                    self.metrics.failed("set_aside", &about, &reason);
                    self.tables.set_aside.set_aside(log_file, &table, &reason);
                }
                Ok(StageOutcome::Staged)
            }
            Outcome::NotRead(format) => {
                tracing::debug!(%log_file, format = format.table, "skipped: no rollup reads this format");
                self.metrics.kind(&not_read(format));
                self.metrics.left_alone(LeftAlone::Skipped);
                Ok(StageOutcome::Skipped)
            }
            Outcome::Skipped(what) => {
                tracing::debug!(%log_file, what, "skipped");
                self.metrics.kind(&what);
                self.metrics.left_alone(LeftAlone::Skipped);
                Ok(StageOutcome::Skipped)
            }
            Outcome::Unrecognised(what) => {
                tracing::info!(%log_file, what, "unrecognised: the file is of no known kind and is skipped; exclude \
                     such files with --ignore");
                self.metrics.left_alone(LeftAlone::Unrecognised);
                Ok(StageOutcome::Skipped)
            }
        }
    }
}

/// The kind of a log that no rollup reads, in metrics.
fn not_read(format: &LogFormat) -> String {
    format!("{}, not read", format.table)
}

impl Stage for Arc<Stager> {
    async fn stage(&self, log_file: &LogFile) -> Result<StageOutcome, NotStaged> {
        let outcome = self.stage_unless_skipped(log_file).await;
        outcome.inspect_err(|error| {
            self.metrics
                .not_staged(error.name, log_file.uri(), &error.reason);
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commands::alerts::Alerts;
    use crate::delivery::{Bounds, Records};
    use crate::fake_s3::{Answer, FakeS3};
    use crate::feeds::Feeds;
    use crate::maintenance::Finality;
    use crate::rollup::Rollup;
    use crate::table::Root;

    const LINE: &str = "https 2026-11-20T10:00:00.000001Z app/a/1 192.0.2.1:2817 - -1 -1 -1 460 - 34 366 \"GET https://a/ HTTP/1.1\"\n";
    const NAME: &str = "1_elasticloadbalancing_us-east-2_app.a.50dc6c495c0c9188_20261120T1005Z_10.0.0.1_b3c4d5e6.log.gz";

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_log_file_takes_one_request_and_a_name_that_is_no_logs_takes_none() {
        let s3 = FakeS3::start(|_, request| {
            let is_empty = request.target.contains("empty");
            let body = if is_empty { "" } else { LINE };
            Answer::new(200, body).header("ETag", "\"e1\"")
        });
        let folder = tempfile::tempdir().unwrap();
        let root = Root::create(folder.path().to_str().unwrap()).await.unwrap();
        let sql = "SELECT elb, count(*) AS lines FROM alb_access_logs GROUP BY 1";
        let rollup = Rollup::from_sql("by_elb", sql).await.unwrap();
        let feeds = Feeds::open(&root, vec![rollup].into()).await.unwrap().0;
        let metrics = Arc::<Metrics>::default();
        let finality = Finality {
            records: Records::of(&root).unwrap(),
            bounds: Bounds::default(),
        };
        let stager = Arc::new(Stager {
            tables: Tables::new(root, feeds, &[], finality, Alerts::default(), &metrics),
            allowed: AllowedLocations::fake(&s3.client),
            rules: FileRules::default(),
            turns: Arc::new(Semaphore::new(1)),
            stalls: Stalls::new(1, Duration::from_secs(60)),
            limits: Limits {
                text_bytes: 1 << 20,
                group_bytes: 1 << 20,
            },
            metrics,
        });
        for (key, expected, requests) in [
            (format!("a/{NAME}"), Ok(StageOutcome::Staged), 1),
            ("a/empty.log".to_owned(), Ok(StageOutcome::Skipped), 1),
            (
                format!("a/conn_log.{NAME}"),
                Ok(StageOutcome::NotRequested),
                0,
            ),
            (format!("b/conn_log.{NAME}"), Err("not_allowed"), 0),
        ] {
            let before = s3.requests().len();
            let outcome = stager.stage(&LogFile::in_bucket("logs", &key)).await;
            assert_eq!(outcome.map_err(|error| error.name), expected, "{key}");
            assert_eq!(s3.requests().len() - before, requests, "{key}");
        }
        assert!(s3.requests().iter().all(|request| request.method == "GET"));
    }
}
