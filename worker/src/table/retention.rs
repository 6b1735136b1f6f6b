//! Retention: rows of days that are older than a person wants are removed. The ledger keeps the entries of their log files, so that none is
//! counted again.

use deltalake_core::kernel::Action;

use super::data_writer::remove;
use super::delta_log::Operation;
use super::slot::HOURS_PER_DAY;
use super::{DataFile, Table, TableError, Version, milliseconds};

/// The property of a table with the number of days that its rows are kept.
pub(super) const KEEP_DAYS_PROPERTY: &str = "logmill.keep_days";

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

    /// The data files whose rows are older than is kept.
    fn expired(&self, now_milliseconds: i64) -> Result<Vec<DataFile>, TableError> {
        let Some(kept_from) = self.kept_from(now_milliseconds) else {
            return Ok(Vec::new());
        };
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

    /// Removes rows that are older than is kept. A log file that comes late may bring such rows again, until the next time.
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
            let expired = version.expired(milliseconds(now))?;
            if expired.is_empty() {
                return Ok(removed);
            }
            let (files, rows) = (expired.len(), expired.iter().map(|file| file.size().rows));
            let rows: u64 = rows.sum();
            let removes = expired.into_iter().map(|file| {
                let removed = remove(&version.folder, file, Operation::Delete, now);
                Action::Remove(removed)
            });
            let written = self.write_version(&version, Operation::Delete, removes.collect());
            match written.await {
                Ok(()) => {
                    removed.files += files;
                    removed.rows += rows;
                }
                Err(error) => self.wait_after(error, &mut races).await?,
            }
        }
    }
}
