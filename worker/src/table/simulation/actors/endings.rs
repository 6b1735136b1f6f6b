//! A person drops the table, or renames it.

use super::super::super::{Ended, Renaming, TableError};
use super::super::random::Random;
use super::super::scheduler::MINUTE;
use super::super::{NEW, OLD};
use super::{Actor, stale_lease};

impl Actor {
    /// Drops the table, or goes on with it.
    pub(super) async fn drop_table(&mut self) {
        if let Err(error) = self.try_drop().await {
            self.report("drop", &error);
        }
    }

    async fn try_drop(&self) -> Result<(), TableError> {
        match self.root.read(OLD).await {
            Ok(version) => {
                let table = self.opened_as(OLD, version.sql(), &version.folder, None);
                table.end().await?;
            }
            Err(TableError::Dropped { .. }) => {}
            Err(error) => return Err(error),
        }
        self.root.delete_dropped_by(OLD, true, self.guards).await
    }

    /// Renames the table, or goes on with it.
    pub(super) async fn rename(&mut self) {
        if let Err(error) = self.try_rename().await {
            self.report("rename", &error);
        }
    }

    /// Returns whether the table is renamed.
    pub(super) async fn try_rename(&mut self) -> Result<bool, TableError> {
        let version = match self.root.renaming(OLD, NEW).await? {
            Renaming::Taken => return Ok(true),
            Renaming::Begins(version) => Some(version),
            Renaming::GoesOn(version, _) => version,
        };
        if let Some(version) = version {
            let old = self.opened_as(OLD, version.sql(), &version.folder, None);
            if version.next().is_some() {
                old.drop_next().await?;
                return Ok(false);
            }
            self.simulation.lock().count("renamings begun");
            let is_twice = version.sql() != self.first_sql();
            let definition = self.template.definition(NEW, is_twice);
            let created = self.root.create_copy(OLD, definition).await?;
            let copy = self.opened_as(NEW, created.sql(), &created.folder, None);
            self.root.copy_to(OLD, &version, &copy).await?;
            let wait = self.random.below(self.horizon / 4 + 1);
            self.sleep(wait).await;
            let longest = [1, MINUTE, self.horizon / 2][self.random.below(3) as usize];
            let mut pauses = Random::new(self.random.next());
            let fill = async || {
                for entry in old.lacked_by(&copy).await? {
                    self.stage_for(&copy, &entry.log_file).await?;
                }
                copy.commit_by(&mut stale_lease().await).await?;
                let is_equal = old.lacked_by(&copy).await?.is_empty();
                // Others count for the old table meanwhile.
                self.sleep(pauses.below(longest)).await;
                Ok::<_, TableError>(is_equal)
            };
            if old.end_when_equal(fill).await? != Ended::Yes {
                return Ok(false);
            }
        }
        let copy = self.root.read(NEW).await?;
        let copy = self.opened_as(NEW, copy.sql(), &copy.folder, None);
        self.root.finish_renaming(OLD, &copy).await?;
        self.simulation.lock().count("tables renamed");
        Ok(true)
    }
}
