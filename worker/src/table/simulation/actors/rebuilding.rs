//! A person rebuilds the table, puts an earlier generation back, or computes some hours again; and what is left of that is swept.

use std::collections::HashSet;
use std::sync::Arc;

use logmill_object_io::Env;
use logmill_shared::{LogFile, chain};

use super::super::super::{Anew, Keeping, Swap, Table, TableError, Version};
use super::super::scheduler::{DAY, HOUR};
use super::{Actor, Role, stale_lease, strays_of};

impl Actor {
    /// Begins a generation of the other SQL, goes on with one, or puts an earlier one back; fills it, and makes it the live one.
    pub(super) async fn rebuild(&mut self) {
        if let Err(error) = self.try_rebuild().await {
            self.report("rebuild", &error);
        }
    }

    async fn try_rebuild(&mut self) -> Result<(), TableError> {
        self.refresh().await?;
        let goes_on = self.next.is_some() && !self.random.one_in(4);
        if !goes_on {
            let back = match self.random.one_in(3) {
                true => self.root.read_earlier(self.name).await?,
                false => None,
            };
            let mut next = match back {
                Some(earlier) => self.begin_to_put_back(&earlier).await?,
                None => self.begin_anew().await?,
            };
            next.guards = self.guards;
            self.next = Some(next);
        }
        let wait = self.random.below(self.horizon / 4 + 1);
        self.sleep(wait).await;
        let Some(next) = &self.next else {
            return Ok(());
        };
        self.table.void_seal(next).await?;
        for _ in 0..4 {
            for entry in self.table.lacked_by(next).await? {
                self.stage_for(next, &entry.log_file).await?;
            }
            next.commit_by(&mut stale_lease().await).await?;
            if let Swap::Done(_) = self.table.swap(next).await? {
                match self.random.one_in(2) {
                    true => self.go_on_unaware().await,
                    false => {
                        self.refresh().await?;
                        self.vacuum(Role::Vacuum(8)).await;
                    }
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Begins to put an earlier generation back. As long as it is said to be possible, it must be.
    async fn begin_to_put_back(&self, earlier: &Version) -> Result<Table, TableError> {
        let definition = self.definition(earlier.sql());
        let begun = async {
            let keeping = Keeping::everything(earlier).await?;
            self.root
                .begin_keeping(&self.table, definition, earlier, keeping)
                .await
        };
        let begun = begun.await;
        if let Err(error) = &begun
            && (error.is_not_found() || error.damage().is_some())
            && let Ok(Some(kept)) = self.root.read_earlier(self.name).await
            && kept.number() == earlier.number()
        {
            let error = chain(error);
            let mut state = self.simulation.lock();
            state.fail(format!("an earlier generation can't be put back: {error}"));
        }
        if begun.is_ok() {
            self.simulation.lock().count("put back begun");
        }
        begun
    }

    /// Begins a generation of the same SQL for some hours, or one of the other SQL.
    async fn begin_anew(&mut self) -> Result<Table, TableError> {
        let is_same = self.random.one_in(2);
        let version = self.table.version().await?;
        let own = Arc::clone(&self.table.definition);
        let is_twice = own.sql == self.first_sql();
        let (keeping, definition) = match is_same {
            true => (self.keeping(&version).await?, own),
            false => {
                let (gone, now) = (HashSet::new(), self.env.now());
                let keeping = Keeping::of(&version, &own, &gone, &Anew::All, false, now);
                let other = self.template.definition(self.name, is_twice);
                (keeping.await?, Arc::clone(other))
            }
        };
        if is_same {
            self.simulation.lock().count("hours anew begun");
        }
        // Other SQL keeps what is too old to be kept.
        match keeping.is_nothing() && !is_same {
            true => self.root.begin_next(&self.table, &definition).await,
            false => {
                let begun = self
                    .root
                    .begin_keeping(&self.table, &definition, &version, keeping);
                begun.await
            }
        }
    }

    /// What is kept of a version if some log files are gone, or if only some hours are computed anew.
    async fn keeping(&mut self, version: &Version) -> Result<Keeping, TableError> {
        let entries = version.entries().await?;
        let (mut gone, mut anew) = (HashSet::new(), Anew::All);
        if self.random.one_in(2) {
            for entry in &entries {
                if self.random.one_in(3) {
                    gone.insert(LogFile::new(&entry.log_file).id());
                }
            }
        }
        if self.random.one_in(2)
            && let Some(first) = entries.first().and_then(|entry| entry.first_time)
        {
            let from = first / HOUR as i64 + self.random.below(4) as i64 - 2;
            let to = from + self.random.between(1, 4) as i64;
            let milliseconds = from * HOUR as i64..to * HOUR as i64;
            anew = match self.random.one_in(2) {
                true => Anew::Hours(from..to),
                false => Anew::OfLines(milliseconds),
            };
        }
        let definition = Arc::clone(&self.table.definition);
        let now = self.env.now();
        Keeping::of(version, &definition, &gone, &anew, true, now).await
    }

    /// Goes on after a swap as one who does not know of it.
    async fn go_on_unaware(&mut self) {
        let (horizon, is_long) = (self.horizon, self.random.one_in(4));
        let longest = if is_long { 9 * DAY } else { horizon };
        let wait = self.random.below(longest);
        self.sleep(wait).await;
        self.commit().await;
        self.vacuum(Role::Vacuum(8)).await;
    }

    /// Stages anew what is staged or set aside for dead generations.
    pub(super) async fn sweep(&mut self) {
        if let Err(error) = self.try_sweep().await {
            self.report("sweep", &error);
        }
    }

    pub(super) async fn try_sweep(&mut self) -> Result<(), TableError> {
        self.refresh_sometimes().await;
        let strays = strays_of(&self.root, self.name, self.guards).await?;
        let version = self.table.any_version().await?;
        let is_current = self.table.is_live_in(&version)
            && match (&self.next, version.next()) {
                (None, None) => true,
                (Some(next), Some(_)) => next.is_next_of(&version),
                _ => false,
            };
        if !is_current {
            return Ok(());
        }
        let known = self.root.set_aside_unknown(self.name, &version, strays);
        for stray in known.await? {
            let uri = stray.log_file.clone().unwrap_or_default();
            self.stage(&uri).await?;
            self.root.delete_strays(self.name, &[stray]).await?;
            self.simulation.lock().count("strays staged anew");
        }
        Ok(())
    }
}
