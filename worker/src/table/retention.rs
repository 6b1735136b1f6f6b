//! Retention: rows of days that are older than a person wants are removed, and so are the texts of failed lines. The ledger keeps the
//! entries of their log files, so that none is counted again.

use deltalake_core::kernel::Action;
use logmill_shared::{LogFile, Shard};

use super::commit::DEADLINE;
use super::data_writer::remove;
use super::delta_log::Operation;
use super::generations::with_properties;
use super::slot::{HOURS_PER_DAY, Slot};
use super::{DataFile, Entry, Table, TableError, Version, milliseconds};

/// The property of a table with the number of days that its rows are kept.
pub(super) const KEEP_DAYS_PROPERTY: &str = "logmill.keep_days";

/// The property of a table with the first hour since 1970 whose failed lines still have their texts in the ledger.
pub(super) const TEXTS_FROM_PROPERTY: &str = "logmill.texts_from";

const MILLISECONDS_PER_HOUR: i64 = 3_600_000;

/// What was removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Data files.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
}

impl Version {
    /// For how many days rows are kept. `None`: for ever.
    pub fn keep_days(&self) -> Option<u32> {
        self.keep_days
    }

    /// The first hour since 1970 that is kept, if rows are kept for this many days before the present one (UTC).
    pub(super) fn kept_from(&self, now_milliseconds: i64) -> Option<i64> {
        let hours = now_milliseconds.div_euclid(MILLISECONDS_PER_HOUR);
        let today = hours.div_euclid(HOURS_PER_DAY);
        Some((today - i64::from(self.keep_days?)) * HOURS_PER_DAY)
    }

    /// The data files whose rows are all before this hour since 1970.
    fn expired(&self, kept_from: i64) -> Result<Vec<DataFile>, TableError> {
        let mut expired = Vec::new();
        for file in &self.files {
            // Rows without a time have no age.
            if file.slot()?.end().is_some_and(|end| end <= kept_from) {
                expired.push(file.clone());
            }
        }
        Ok(expired)
    }
}

impl Table {
    /// Sets for how many days before the present one (UTC) rows are kept. `None`: for ever.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    pub async fn set_keep_days(&self, days: Option<u32>) -> Result<(), TableError> {
        let property = (KEEP_DAYS_PROPERTY, days.map(|days| days.to_string()));
        let change = |version: &Version| {
            let is_new = version.keep_days != days;
            Ok(is_new.then(|| vec![property.clone()]))
        };
        self.set_properties(change).await
    }

    /// Removes rows and texts of failed lines that are older than is kept. A log file that comes late may bring such rows again, until the
    /// next time.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    pub async fn expire(&self) -> Result<Expired, TableError> {
        let mut races = self.races();
        let mut removed = Expired::default();
        loop {
            let version = self.version().await?;
            let now = self.env.now();
            let Some(kept_from) = version.kept_from(milliseconds(now)) else {
                return Ok(removed);
            };
            let expired = version.expired(kept_from)?;
            let texts = self.without_texts(&version, kept_from).await?;
            if expired.is_empty() && texts.is_empty() {
                return Ok(removed);
            }
            self.check_deadline(now, DEADLINE)?;
            let (files, rows) = (expired.len(), expired.iter().map(|file| file.size().rows));
            let rows: u64 = rows.sum();
            let removes = expired.into_iter().map(|file| {
                let removed = remove(&version.folder, file, Operation::Delete, now);
                Action::Remove(removed)
            });
            let actions = texts.into_iter().chain(removes).collect();
            let written = self.write_version(&version, Operation::Delete, actions);
            match written.await {
                Ok(()) => {
                    removed.files += files;
                    removed.rows += rows;
                }
                Err(error) => self.wait_after(error, &mut races).await?,
            }
        }
    }

    /// The actions that remove the texts of failed lines before this hour from the ledger. None if that has been done.
    async fn without_texts(
        &self,
        version: &Version,
        kept_from: i64,
    ) -> Result<Vec<Action>, TableError> {
        if version.texts_from >= Some(kept_from) {
            return Ok(Vec::new());
        }
        let done = version.texts_from.unwrap_or(i64::MIN);
        let may_have =
            |shard: &Shard| end_of(shard).is_none_or(|end| done < end && end <= kept_from);
        let forget = |entry: &mut Entry| {
            let is_old = entry.is_before(kept_from) && !entry.failures.is_empty();
            if is_old {
                entry.failures.clear();
            }
            is_old
        };
        let ledger = &version.ledger;
        let written = ledger.changed(&self.store, &*self.env, self.guards, may_have, forget);
        let transaction = written.await?.map(Action::Txn);
        let property = (TEXTS_FROM_PROPERTY, Some(kept_from.to_string()));
        let metadata = with_properties(self.upgraded(version)?, [property])?;
        Ok([Action::Metadata(metadata)]
            .into_iter()
            .chain(transaction)
            .collect())
    }
}

impl Entry {
    /// Removes the texts of failed lines if they are older than is kept.
    pub(super) fn forget_texts(&mut self, kept_from: Option<i64>) {
        if kept_from.is_some_and(|hour| self.is_before(hour)) {
            self.failures.clear();
        }
    }

    /// Whether all of its lines are before this hour since 1970, as far as its name or its lines tell.
    fn is_before(&self, hour: i64) -> bool {
        let of_lines = || Some(self.last_time?.div_euclid(MILLISECONDS_PER_HOUR) + 1);
        let end = end_of(&LogFile::new(&self.log_file).shard()).or_else(of_lines);
        end.is_some_and(|end| end <= hour)
    }
}

/// The first hour since 1970 after those of a shard. `None` if its log files have no time in their names.
fn end_of(shard: &Shard) -> Option<i64> {
    Slot::of_name(shard.as_str())?.end()
}
