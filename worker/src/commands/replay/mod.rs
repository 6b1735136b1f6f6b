//! `logmill replay`: sends log files to the queue again, from a listing or from the dead-letter queue. Workers process them
//! like any others, and log files that the tables have counted are not counted again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;

use anyhow::{Context, Result, bail};
use indicatif::HumanCount;
use logmill_shared::{LogFile, S3Uri};

use crate::commands::completeness::{Ledgers, Standing};
use crate::commands::progress::Progress;
use crate::format::{Recognised, by_name};
use crate::intake::file_rules::FileRules;
use crate::intake::listing::{Listing, refuse_tables_as_logs};
use crate::intake::log_object::LogObject;
use crate::intake::span::Span;
use crate::intake::sqs_queue::SqsQueue;
use crate::table::Root;

mod outbox;
mod dead_letters;

pub use dead_letters::{Moved, Peeked, move_dead_letters, peek_dead_letters};

pub(crate) use outbox::Outbox;

/// Which log files to send.
#[derive(Debug)]
pub struct Options {
    /// Location of the log files: `s3://bucket/prefix`.
    pub logs: String,
    /// The time span of the log files.
    pub span: Span,
    /// The folder of tables. Files in it are not sent.
    pub tables: Option<String>,
    /// Whether to send only log files that the tables have neither counted nor staged.
    pub missing: bool,
    /// Maximum number of log files per second; unlimited by default.
    pub rate: Option<NonZeroU32>,
    /// Files to ignore.
    pub rules: FileRules,
    /// The tables whose missing log files are sent: those of the rollups in use. `None`: all.
    pub only: Option<BTreeSet<String>>,
}

/// The results of a replay.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Whether this was a dry run: nothing was sent.
    pub is_dry: bool,
    /// Log files that were sent, or would be in a dry run.
    pub sent: usize,
    /// Log files that were not sent because the tables have them.
    pub counted: usize,
    /// Log files that were not sent because they are set aside for a table.
    pub set_aside: usize,
    /// Number of skipped files, by kind: no rollup reads them.
    pub skipped: BTreeMap<String, usize>,
    /// Number of files excluded by the ignore patterns.
    pub ignored: usize,
}

/// Sends the log files of a time span, one per message. When this returns, the queue has all of them. Every log file is also passed to
/// `each`; without a queue, this is all that happens.
pub async fn replay(
    options: &Options,
    queue: Option<&SqsQueue>,
    each: &mut dyn FnMut(&LogFile) -> Result<()>,
    progress: &mut dyn Progress,
) -> Result<Replayed> {
    if let Ok(None) = S3Uri::parse(&options.logs) {
        bail!(
            "{}: only log files in S3 can be sent to a queue; write s3://bucket/prefix, or use `logmill run` for a \
             folder",
            options.logs
        );
    }
    let tables = options.tables.as_deref().unwrap_or_default();
    refuse_tables_as_logs(&options.logs, tables)?;
    let mut ledgers = match options.missing {
        true => {
            let (root, only) = (Root::open(tables).await?, options.only.as_ref());
            let ledgers = Ledgers::open_noting(&root, only, progress.waits()).await?;
            ledgers.check_all_read()?;
            Some(ledgers)
        }
        false => None,
    };
    let mut outbox = queue.map(|queue| Outbox::new(queue, options.rate));
    let mut replayed = Replayed {
        is_dry: queue.is_none(),
        ..Replayed::default()
    };
    let mut listing = Listing::begin(&options.logs, tables, options.span);
    let waits = progress.waits();
    let mut all = async || {
        loop {
            let next = waits.begin("the list of log files");
            let Some(mut page) = listing.next().await? else {
                break;
            };
            drop(next);
            let listed = page.len();
            page.retain(|found| !options.rules.ignores(&found.log_file));
            replayed.ignored += listed - page.len();
            progress.found(page.len());
            let listed = page.len();
            let wanted = match &mut ledgers {
                Some(ledgers) => replayed.missing(page, ledgers).await?,
                None => replayed.logs(page),
            };
            progress.done(listed - wanted.len());
            for log_file in wanted {
                each(&log_file)?;
                match &mut outbox {
                    Some(outbox) => {
                        let _wait = waits.begin("the queue to take messages");
                        progress.done(outbox.send(log_file).await?);
                    }
                    None => {
                        replayed.sent += 1;
                        progress.done(1);
                    }
                }
            }
        }
        progress.found_all();
        // Everything else that was listed has been sent by now. The error makes sure that the folders that can't be listed
        // are not overlooked.
        let not_listed = listing.not_listed().into_iter();
        let not_listed: Vec<_> = not_listed
            .filter(|each| !options.rules.ignores(&each.log_file))
            .collect();
        if let Some(first) = not_listed.first() {
            bail!(
                "{}: {} (one of {} folders that cannot be listed)",
                first.log_file,
                first.reason,
                not_listed.len()
            );
        }
        anyhow::Ok(())
    };
    let listed = all().await;
    match outbox {
        Some(outbox) if outbox.has_failed() => listed?,
        Some(mut outbox) => {
            // Also if listing has failed: requests in progress still complete, and then the number of sent log files is
            // known.
            let finishing = waits.begin("the queue to take the last messages");
            let finished = outbox.finish().await;
            drop(finishing);
            replayed.sent = outbox.sent();
            listed.with_context(|| {
                format!("listing failed after {} log files were sent", replayed.sent)
            })?;
            progress.done(finished?);
        }
        None => listed?,
    }
    progress.end();
    Ok(replayed)
}

impl Replayed {
    /// Leaves out files that are not logs according to their names.
    fn logs(&mut self, page: Vec<LogObject>) -> Vec<LogFile> {
        let mut logs = Vec::with_capacity(page.len());
        for found in page {
            match by_name(found.log_file.named_as()) {
                Some(Recognised::Other(kind)) => self.skip(kind.to_owned()),
                _ => logs.push(found.log_file),
            }
        }
        logs
    }

    /// Leaves out log files that the tables have, or that no table reads.
    async fn missing(
        &mut self,
        page: Vec<LogObject>,
        ledgers: &mut Ledgers,
    ) -> Result<Vec<LogFile>> {
        let standings = ledgers.standings(&page).await?;
        ledgers.check_all_read()?;
        let mut missing = Vec::new();
        for (found, standing) in page.into_iter().zip(standings) {
            match standing {
                Standing::Missing { .. } => missing.push(found.log_file),
                Standing::Counted | Standing::Staged | Standing::Changed => self.counted += 1,
                // If it were sent, it would only be set aside again.
                Standing::SetAside(_) => self.set_aside += 1,
                Standing::Skipped(what) => self.skip(what),
                Standing::Unknown => {
                    bail!(
                        "{}: unknown whether the log file is counted",
                        found.log_file
                    )
                }
            }
        }
        Ok(missing)
    }

    fn skip(&mut self, what: String) {
        *self.skipped.entry(what).or_default() += 1;
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: usize| HumanCount(count as u64);
        let what = if self.is_dry { "would be sent" } else { "sent" };
        writeln!(f, "log files  {} {what}", count(self.sent))?;
        if self.counted > 0 {
            writeln!(
                f,
                "           {} already counted or staged",
                count(self.counted)
            )?;
        }
        if self.set_aside > 0 {
            let set_aside = count(self.set_aside);
            writeln!(
                f,
                "           {set_aside} set aside; fix the cause, then run `logmill retry`"
            )?;
        }
        for (what, skipped) in &self.skipped {
            writeln!(f, "           {} skipped: {what}", count(*skipped))?;
        }
        if self.ignored > 0 {
            writeln!(f, "           {} ignored", count(self.ignored))?;
        }
        Ok(())
    }
}
