//! Counts for a new table the log files that an old one has counted.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::HumanCount;
use logmill_shared::{LogFile, LogFileId};

use super::words::{say_failures, say_some};
use super::{Options, ROUNDS, id};
use crate::commands::progress::Progress;
use crate::commands::replay::Outbox;
use crate::commands::run;
use crate::feeds::{Feeds, RollupTable};
use crate::intake::listing;
use crate::intake::log_object::{Listed, LogObject};
use crate::intake::sqs_queue::SqsQueue;
use crate::rollup::Rollup;
use crate::table::{Root, Table};

/// If nothing was counted for this long, log files are sent to the queue again: a worker learns of a new generation within five
/// minutes.
const PATIENCE: Duration = Duration::from_mins(6);

/// How often log files are sent to the queue.
const SENT_MAX: usize = 4;

/// Minimum time between two comparisons of the ledgers.
const POLL: Duration = Duration::from_secs(5);

/// An old table, and how log files are read for the new one.
pub(crate) struct Fill<'f> {
    pub(crate) root: &'f Root,
    pub(crate) old: &'f Table,
    /// The new table's rollup.
    pub(crate) rollup: &'f Arc<Rollup>,
    /// Log files of the old table that were found in a listing. The others are looked up.
    pub(crate) found: &'f HashMap<LogFileId, LogObject>,
    pub(crate) options: &'f Options,
    /// The step that waits for the new table: a word for messages.
    pub(crate) waits: &'static str,
}

impl Fill<'_> {
    /// Counts log files that the new table lacks. Returns whether it now has all of them. `open` opens it once more, because a run
    /// takes ownership.
    pub(crate) async fn run(
        &self,
        new: &Table,
        open: &impl AsyncFn() -> Result<Table>,
        out: &mut impl Write,
        progress: &mut dyn Progress,
    ) -> Result<bool> {
        if let Some(queue) = &self.options.queue {
            return self.by_workers(new, queue, out, progress).await;
        }
        let mut before = usize::MAX;
        let waits = progress.waits();
        for _ in 0..ROUNDS {
            let comparing = waits.begin("the comparison of the ledgers");
            let lacked = self.old.lacked_by(new).await?;
            drop(comparing);
            if lacked.is_empty() {
                return Ok(true);
            }
            if lacked.len() >= before {
                writeln!(
                    out,
                    "  {} log files are not in the new table, and {} waits for them:",
                    HumanCount(lacked.len() as u64),
                    self.waits
                )?;
                say_some(&lacked, out)?;
                return Ok(false);
            }
            before = lacked.len();
            let (mut known, mut unknown) = (Vec::new(), Vec::new());
            for entry in &lacked {
                match self.found.get(&id(entry)) {
                    Some(found) => known.push(found.clone()),
                    // The old table has counted it in the meantime.
                    None => unknown.push(entry.log_file.clone()),
                }
            }
            let locating = waits.begin("log files to be looked up");
            let (later, _) = listing::locate(unknown, &self.options.tables).await;
            drop(locating);
            known.extend(later.found);
            let feeds = Feeds::of_one(RollupTable {
                rollup: Arc::clone(self.rollup),
                table: open().await?,
            });
            let listed = Listed {
                found: known,
                not_listed: Vec::new(),
            };
            let options = run::Options {
                logs: Vec::new(),
                tables: self.options.tables.clone(),
                max_log_file_bytes: self.options.max_log_file_bytes,
                threads: self.options.threads,
                rules: self.options.rules.clone(),
            };
            // This also commits the files that workers have staged for the new table.
            let run = run::run_feeds(listed, (feeds, Vec::new()), self.root, &options, progress);
            say_failures(&run.await?, out)?;
        }
        Ok(self.old.lacked_by(new).await?.is_empty())
    }

    /// Lets workers count the log files that the new table lacks: sends them to the queue, and waits. A worker that does not know the
    /// new table yet counts nothing for it, so after a while the rest is sent again.
    async fn by_workers(
        &self,
        new: &Table,
        queue: &SqsQueue,
        out: &mut impl Write,
        progress: &mut dyn Progress,
    ) -> Result<bool> {
        let mut lacked = self.old.lacked_by(new).await?;
        progress.found(lacked.len());
        progress.found_all();
        let waits = progress.waits();
        let _wait = waits.begin("the workers of the queue");
        for _ in 0..SENT_MAX {
            let mut outbox = Outbox::new(queue, None);
            for entry in &lacked {
                outbox.send(LogFile::new(entry.log_file.as_str())).await?;
            }
            outbox.finish().await?;
            let mut since = Instant::now();
            while !lacked.is_empty() && since.elapsed() < PATIENCE {
                let begun = Instant::now();
                let left = self.old.lacked_by(new).await?;
                if left.len() < lacked.len() {
                    progress.done(lacked.len() - left.len());
                    since = Instant::now();
                }
                lacked = left;
                tokio::time::sleep(POLL.max(begun.elapsed() * 9)).await;
            }
            if lacked.is_empty() {
                progress.end();
                return Ok(true);
            }
        }
        progress.end();
        writeln!(
            out,
            "  {} log files were sent to the queue {SENT_MAX} times, and are not in the new table; {} waits for them. Do workers run, and what \
             do they say of these log files?",
            HumanCount(lacked.len() as u64),
            self.waits
        )?;
        say_some(&lacked, out)?;
        Ok(false)
    }
}
