//! Keeps the record of one table up to date. The worker that holds the table's lease uses it, and `logmill run`.

use chrono::{DateTime, TimeDelta, Utc};

use super::reading::{self, earliest_line};
use super::{Arrival, Bounds, Late, Record, Records, Watermark};
use crate::table::{Entry, Table, TableError};

/// The least time between two writes: log files arrive each minute, and readers do not need more precision.
const WRITE_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// The record of a table, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The time up to which the table is final; exclusive.
    pub final_until: Option<DateTime<Utc>>,
}

/// Keeps the record of one table.
#[derive(Debug)]
pub struct Recorder {
    records: Records,
    table: String,
    table_id: String,
    bounds: Bounds,
    watermark: Watermark,
    /// Late log files that the record does not have yet.
    late: Vec<Late>,
    /// As it was last read or written.
    recorded: Option<Record>,
}

impl Recorder {
    /// Reads what the table has counted lately, and the record. If there is no record yet, nothing becomes final before
    /// `first_settles_at`.
    ///
    /// # Errors
    ///
    /// One of them can't be read.
    pub async fn open(
        records: &Records,
        table: &Table,
        bounds: Bounds,
        first_settles_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Self, TableError> {
        let version = table.version().await?;
        let arrivals = reading::arrivals(&version, now).await?;
        let (name, table_id) = (table.definition().name.clone(), version.id()?);
        let recorded = records.read_of(&name, &table_id).await?;
        let (final_until, settles_at) = match &recorded {
            Some(record) => (record.final_until, record.settles_at),
            None => (None, first_settles_at),
        };
        Ok(Self {
            records: records.clone(),
            table: name,
            table_id,
            bounds,
            watermark: Watermark::new(bounds, arrivals, final_until, settles_at),
            late: Vec::new(),
            recorded,
        })
    }

    /// Notes the log files of a commit. Returns those that arrived late.
    pub fn counted(&mut self, entries: &[Entry], now: DateTime<Utc>) -> Vec<Late> {
        let arrivals: Vec<Arrival> = entries.iter().map(Arrival::of_entry).collect();
        let late = self.watermark.counted(&arrivals, now);
        self.late.extend_from_slice(&late);
        late
    }

    /// Notes late log files that were found in another way.
    pub fn add_late(&mut self, late: Vec<Late>) {
        self.late.extend(late);
    }

    /// The time up to which the table is final, as recorded.
    pub fn final_until(&self) -> Option<DateTime<Utc>> {
        self.watermark.final_until()
    }

    /// Whether [`Self::record`] may have something to write.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        let Some(recorded) = &self.recorded else {
            return true;
        };
        // A clock that was set back must not stop the record.
        (now - recorded.computed_at).abs() >= WRITE_INTERVAL
            && (!self.late.is_empty()
                || recorded.settles_at != self.watermark.settles_at()
                || self.watermark.next(now, None).is_some())
    }

    /// Writes the record if the table has become final up to a later time, or log files have arrived late. Without `may_advance`, the
    /// table does not become final up to a later time.
    ///
    /// Another process may have written the record in between, so it is read first. If both write at the same moment, the later write
    /// stays until the next one; it may be a minute older.
    ///
    /// # Errors
    ///
    /// The record can't be read or written. The next call writes what is missing.
    pub async fn record(
        &mut self,
        table: &Table,
        may_advance: bool,
        now: DateTime<Utc>,
    ) -> Result<Recorded, TableError> {
        let there = self.records.read_of(&self.table, &self.table_id).await?;
        let set_aside = earliest_line(&table.notes().shards().await?);
        if let Some(there) = &there {
            self.watermark.merge(there.final_until, there.settles_at);
        }
        let next = self.watermark.next(now, set_aside).filter(|_| may_advance);
        let is_new = there.is_none()
            || next.is_some()
            || !self.late.is_empty()
            || there.as_ref().and_then(|there| there.settles_at) != self.watermark.settles_at();
        if is_new {
            let mut record = Record {
                table_name: self.table.clone(),
                final_until: next.or(self.watermark.final_until()),
                newest_interval_end: self.watermark.arrivals().newest(),
                computed_at: now,
                delay_max_seconds: self.bounds.delay.num_seconds(),
                nodes: self.watermark.arrivals().active(self.bounds).count() as i64,
                late_log_files: 0,
                late: Vec::new(),
                settles_at: self.watermark.settles_at(),
                table_id: self.table_id.clone(),
            };
            if let Some(there) = there {
                record.late_log_files = there.late_log_files;
                record.late = there.late;
            }
            record.add_late(&self.late);
            self.records.write(&record).await?;
            self.watermark.merge(record.final_until, None);
            self.late.clear();
            self.recorded = Some(record);
        } else if let Some(recorded) = &mut self.recorded {
            // Nothing to write. Look again in a minute.
            recorded.computed_at = now;
        }
        Ok(Recorded {
            final_until: self.watermark.final_until(),
        })
    }
}
