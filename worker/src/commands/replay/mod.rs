//! `logmill replay`: log files into the queue again, by listing them or from the dead-letter queue. Workers take them
//! as they take any other, and what the tables have counted is not counted again.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use anyhow::{Context, Result, bail};
use indicatif::HumanCount;
use logmill_shared::LogFile;

use crate::commands::completeness::{Ledgers, Standing};
use crate::commands::verify::Progress;
use crate::format::{Recognised, by_name};
use crate::intake::ignore::Ignore;
use crate::intake::listing::{Listing, refuse_tables_as_logs};
use crate::intake::log_object::LogObject;
use crate::intake::queue::Queue;
use crate::intake::span::Span;
use crate::table::Root;

mod outbox;
mod dead_letters;

pub use dead_letters::{Moved, Peeked, move_dead_letters, peek_dead_letters};

use outbox::Outbox;

/// Which log files to send.
#[derive(Debug)]
pub struct Options {
    /// Where they are: `s3://bucket/prefix`.
    pub logs: String,
    /// Their time.
    pub span: Span,
    /// The folder of tables. What is in it is not sent.
    pub tables: Option<String>,
    /// Whether only those are to be sent that the tables have neither counted nor staged.
    pub missing: bool,
    /// Log files a second; as many as go by default.
    pub rate: Option<NonZeroU32>,
    /// Files that are left out.
    pub ignore: Ignore,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Whether the queue has got them. If not, that was not asked for.
    pub is_dry: bool,
    /// Log files that were sent, or would be.
    pub sent: usize,
    /// Log files that the tables have, and that were not sent for it.
    pub counted: usize,
    /// Log files that are set aside for a table, and were not sent for it.
    pub set_aside: usize,
    /// Files that can be no log of a kind that rollups read: how many of each kind.
    pub skipped: BTreeMap<String, usize>,
    /// Files that were left out as they are to be ignored.
    pub ignored: usize,
}

/// Sends the log files of a span, one to a message: when this returns, the queue has all of them. Without a queue each is
/// only told to `each`.
pub async fn replay(
    options: &Options,
    queue: Option<&Queue>,
    each: &mut dyn FnMut(&LogFile) -> Result<()>,
    progress: &mut dyn Progress,
) -> Result<Replayed> {
    if !options.logs.starts_with("s3://") {
        bail!(
            "{}: a queue's log files are in S3; write s3://bucket/prefix, or use `logmill run` for a folder",
            options.logs
        );
    }
    let tables = options.tables.as_deref().unwrap_or_default();
    refuse_tables_as_logs(&options.logs, tables)?;
    let mut ledgers = match options.missing {
        true => {
            let ledgers = Ledgers::open(&Root::open(tables).await?).await?;
            ledgers.see_all_read()?;
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
    let mut all = async || {
        while let Some(mut page) = listing.next().await? {
            let listed = page.len();
            page.retain(|found| !options.ignore.has(&found.log_file));
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
                    Some(outbox) => progress.done(outbox.send(log_file).await?),
                    None => {
                        replayed.sent += 1;
                        progress.done(1);
                    }
                }
            }
        }
        // What else was listed has gone by now. That these are left out is not to pass as "all is sent".
        let not_listed = listing.not_listed().into_iter();
        let not_listed: Vec<_> = not_listed
            .filter(|each| !options.ignore.has(&each.log_file))
            .collect();
        if let Some(first) = not_listed.first() {
            bail!(
                "{}: {} (one of {} folders that can't be listed)",
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
            // Also if the listing has failed: what is under way arrives, and how much that is can be said.
            let finished = outbox.finish().await;
            replayed.sent = outbox.sent();
            listed.with_context(|| format!("after {} log files were sent", replayed.sent))?;
            progress.done(finished?);
        }
        None => listed?,
    }
    progress.end();
    Ok(replayed)
}

impl Replayed {
    /// Leaves out what the name says to be something else.
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

    /// Leaves out what the tables have, or don't want.
    async fn missing(
        &mut self,
        page: Vec<LogObject>,
        ledgers: &mut Ledgers,
    ) -> Result<Vec<LogFile>> {
        let standings = ledgers.standings(&page).await?;
        ledgers.see_all_read()?;
        let mut missing = Vec::new();
        for (found, standing) in page.into_iter().zip(standings) {
            match standing {
                Standing::Missing { .. } => missing.push(found.log_file),
                Standing::Counted | Standing::Staged | Standing::Changed => self.counted += 1,
                // To send it again would only have it set aside again.
                Standing::SetAside(_) => self.set_aside += 1,
                Standing::Skipped(what) => self.skip(what),
                Standing::Unknown => {
                    bail!("{}: whether it is counted is not known", found.log_file)
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
                "           {} counted or staged already",
                count(self.counted)
            )?;
        }
        if self.set_aside > 0 {
            let set_aside = count(self.set_aside);
            writeln!(
                f,
                "           {set_aside} set aside; `logmill retry` tries again"
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
