//! The end of a run: all work is finished without faults, and the final state is checked.

use std::time::Duration;

use logmill_shared::{LogFile, chain};

use super::super::super::{Entry, MIN_GRACE, TableError, Version};
use super::super::scheduler::{DAY, in_table, table_of};
use super::super::{NEW, TABLES};
use super::{Actor, broken, failed_lines, stale_lease, strays_of};

impl Actor {
    /// Stages again the log files that are set aside, as a person would eventually.
    async fn stage_what_is_set_aside(&mut self) -> Result<(), TableError> {
        for note in self.root.notes(self.name).await?.read().await? {
            let uri = {
                let state = self.simulation.lock();
                let counted = &state.checker.table(self.name).counted;
                let mut uris = state.plan.log_files.keys();
                let uri = uris.find(|uri| LogFile::new(uri.as_str()).id() == note.id);
                uri.filter(|uri| !counted.contains(*uri)).cloned()
            };
            if let Some(uri) = uri {
                self.stage(&uri).await?;
            }
        }
        Ok(())
    }

    /// Runs without faults: every acknowledged log file must be counted once, and everything that is not needed must be deleted.
    pub(super) async fn rest(&mut self) {
        self.sleep(3 * DAY).await;
        self.learns = false;
        if let Err(error) = self.try_rest().await {
            let error = chain(&error);
            self.simulation.lock().fail(format!("rest: {error}"));
        }
    }

    async fn try_rest(&mut self) -> Result<(), TableError> {
        let renames = self.simulation.lock().plan.renames;
        if renames && self.simulation.lock().checker.table(NEW).exists {
            for _ in 0..3 {
                if self.try_rename().await? {
                    break;
                }
            }
        }
        let tables = TABLES.into_iter();
        let there = |name: &&str| self.simulation.lock().checker.table(name).exists;
        let tables: Vec<&'static str> = tables.filter(there).collect();
        for name in &tables {
            self.name = name;
            // A worker that knows the old name has staged something. It makes the table anew.
            self.has_rollup = renames && self.is_any_staged(name);
            match self.even_last(name).await {
                Ok(version) if version.is_dropped && !self.has_rollup => continue,
                Ok(_) => {}
                Err(_) => self.has_rollup = true,
            }
            self.settle().await?;
        }
        self.check_all_counted()?;
        // Files replaced now are deleted one grace later, and orphans later still.
        self.sleep(8 * DAY).await;
        for name in tables {
            self.name = name;
            if self.even_last(name).await?.is_dropped {
                let with_waiting = !renames;
                self.root
                    .delete_dropped_by(name, with_waiting, self.guards)
                    .await?;
                self.check_nothing_else()?;
                continue;
            }
            self.refresh().await?;
            self.table.vacuum(MIN_GRACE).await?;
            strays_of(&self.root, name, self.guards).await?;
            self.check_nothing_else()?;
            let version = self.table.version().await?;
            let entries = version.entries().await?;
            self.check_agreement(&version, &entries)?;
        }
        Ok(())
    }

    fn is_any_staged(&self, name: &str) -> bool {
        let state = self.simulation.lock();
        let mut paths = state.objects.keys();
        paths.any(|path| {
            let is_waiting = ["/_staging/", "/_set_aside/"];
            let is_waiting = is_waiting.iter().any(|part| path.as_ref().contains(part));
            table_of(path) == name && is_waiting
        })
    }

    /// Counts everything that waits for the table, and compacts it.
    async fn settle(&mut self) -> Result<(), TableError> {
        self.refresh().await?;
        if self.next.is_some() {
            self.table.drop_next().await?;
            self.refresh().await?;
        }
        // The first finds what is staged for dead generations, and a second what the first could not read.
        for _ in 0..2 {
            self.try_sweep().await?;
        }
        self.table.commit_by(&mut stale_lease().await).await?;
        self.stage_what_is_set_aside().await?;
        // A committer that was stalled for long may have set aside a log file that another one counted. `logmill retry`
        // sweeps such notes too.
        let version = self.table.version().await?;
        self.table.notes().sweep(&version).await?;
        self.table.commit_by(&mut stale_lease().await).await?;
        self.table
            .compact(&mut stale_lease().await, Duration::ZERO)
            .await?;
        self.table.expire().await?;
        Ok(())
    }

    fn check_all_counted(&self) -> Result<(), TableError> {
        let state = self.simulation.lock();
        let forgotten = state
            .checker
            .acknowledged()
            .find(|&uri| !state.checker.has_counted(uri));
        let staged = state.objects.keys().find(|path| {
            let table = state.checker.table(table_of(path));
            path.as_ref().contains("/_staging/") && !table.is_dropped
        });
        match (forgotten, staged) {
            (None, None) => Ok(()),
            other => Err(broken(format!("not counted, or still staged: {other:?}"))),
        }
    }

    fn check_nothing_else(&self) -> Result<(), TableError> {
        let state = self.simulation.lock();
        let table = state.checker.table(self.name);
        let mut names = state
            .objects
            .keys()
            .filter(|path| table_of(path) == self.name)
            .map(in_table);
        let last = format!("_delta_log/{:020}.", table.newest);
        let orphan = names.find(|&name| match table.is_dropped {
            true => !name.starts_with(&last) && name != "_delta_log/_last_checkpoint",
            false => {
                let is_log_or_lease = name.starts_with("_delta_log/") || name == "_lease";
                !is_log_or_lease
                    && !table.live.contains(name)
                    && !table.ledger_objects.contains(name)
                    && !table.is_of_log_of_live(name)
            }
        });
        match orphan {
            None => Ok(()),
            Some(name) => Err(broken(format!("orphan: {name} is left"))),
        }
    }

    fn check_agreement(&self, version: &Version, entries: &[Entry]) -> Result<(), TableError> {
        let state = self.simulation.lock();
        let checker = state.checker.table(self.name);
        let files: std::collections::BTreeSet<String> = version
            .files()
            .iter()
            .map(|file| version.path_in_table(file))
            .collect();
        let counted: std::collections::BTreeSet<String> =
            entries.iter().map(|entry| entry.log_file.clone()).collect();
        let failed = |entry: &&Entry| entry.failed_lines != failed_lines(&entry.log_file);
        if let Some(entry) = entries.iter().find(failed) {
            return Err(broken(format!("{} has other failed lines", entry.log_file)));
        }
        let agree = version.number() == checker.newest
            && files == checker.live
            && counted == checker.counted;
        match agree {
            true => Ok(()),
            false => Err(broken(format!(
                "what is loaded is another table: version {}, not {}; {files:?}, not {:?}",
                version.number(),
                checker.newest,
                checker.live
            ))),
        }
    }
}
