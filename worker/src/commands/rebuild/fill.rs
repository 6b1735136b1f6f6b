//! Counting for a new table what an old one has counted.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use indicatif::HumanCount;
use logmill_shared::LogFileId;

use super::{Options, ROUNDS, id, say_failures, say_some};
use crate::commands::progress::Progress;
use crate::commands::run;
use crate::feeds::{Feeds, RollupTable};
use crate::intake::ignore::Ignore;
use crate::intake::listing;
use crate::intake::log_object::{Listed, LogObject};
use crate::rollup::Rollup;
use crate::table::{Root, Table};

/// An old table, and how log files are read for the new one.
pub(crate) struct Fill<'f> {
    pub(crate) root: &'f Root,
    pub(crate) old: &'f Table,
    /// The new table's rollup.
    pub(crate) rollup: &'f Arc<Rollup>,
    /// Log files of the old table that have been found. The others are looked up.
    pub(crate) found: &'f HashMap<LogFileId, LogObject>,
    pub(crate) options: &'f Options,
    /// What waits until the new table has counted everything.
    pub(crate) waits: &'static str,
}

impl Fill<'_> {
    /// Counts what the new table lacks. Returns whether it has all of it. `open` opens it once more, because a run takes it.
    pub(crate) async fn run(
        &self,
        new: &Table,
        open: &impl AsyncFn() -> Result<Table>,
        out: &mut impl Write,
        progress: &mut dyn Progress,
    ) -> Result<bool> {
        let mut before = usize::MAX;
        for _ in 0..ROUNDS {
            let lacked = self.old.lacked_by(new).await?;
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
            let (later, _) = listing::locate(unknown, &self.options.tables).await;
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
                ignore: Ignore::default(),
            };
            // It also commits what workers have staged for the new table.
            let run = run::run_feeds(listed, (feeds, Vec::new()), self.root, &options, progress);
            say_failures(&run.await?, out)?;
        }
        Ok(self.old.lacked_by(new).await?.is_empty())
    }
}
