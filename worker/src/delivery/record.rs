//! The published `final_until`: a small object for each table, one line of JSON, next to the tables. Athena reads the folder as one
//! table.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};

use super::Bounds;
use crate::table::{Root, TableError, Version};

/// The folder, next to the tables. No table's name can have a hyphen, and a name that begins with `_` would be hidden from Athena.
pub const FOLDER: &str = "final-until";

/// Late log files that a record lists: the last ones.
const LATE_MAX: usize = 20;

/// Records read at once.
const READ_AT_ONCE: usize = 16;

/// A log file that was counted for a time that was already final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Its URI.
    pub log_file: String,
    /// When it was counted.
    #[serde(with = "athena_time")]
    pub counted_at: DateTime<Utc>,
    /// The time up to which the table was final.
    #[serde(with = "athena_time")]
    pub final_until: DateTime<Utc>,
}

/// Up to when a table is final, as it was last written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The table's name.
    pub table_name: String,
    /// All lines before this time are counted, as long as the bound holds. `None` if nothing is known.
    #[serde(with = "maybe_athena_time")]
    pub final_until: Option<DateTime<Utc>>,
    /// The end of the newest interval of any log file.
    #[serde(with = "maybe_athena_time")]
    pub newest_interval_end: Option<DateTime<Utc>>,
    /// When this was written.
    #[serde(with = "athena_time")]
    pub computed_at: DateTime<Utc>,
    /// The bound: seconds from the end of a log file's interval until it is counted.
    pub delay_max_seconds: i64,
    /// Number of nodes that are waited for.
    pub nodes: i64,
    /// Number of log files that were counted for a time that was already final.
    pub late_log_files: i64,
    /// The last of them.
    #[serde(default)]
    pub late: Vec<Late>,
    /// Nothing more becomes final before this time, because log files have arrived late.
    #[serde(default, with = "maybe_athena_time")]
    pub settles_at: Option<DateTime<Utc>>,
    /// The id of the Delta table. A table that was removed and created again has another one.
    pub table_id: String,
}

impl Record {
    /// The bounds by which it was recorded.
    pub fn bounds(&self) -> Bounds {
        let delay = u64::try_from(self.delay_max_seconds).unwrap_or_default();
        Bounds::of_delay(Duration::from_secs(delay))
    }

    /// Adds log files that arrived late.
    pub(super) fn add_late(&mut self, late: &[Late]) {
        self.late_log_files += late.len() as i64;
        self.late.extend_from_slice(late);
        let too_many = self.late.len().saturating_sub(LATE_MAX);
        self.late.drain(..too_many);
    }
}

/// The records of all tables of a root.
#[derive(Debug, Clone)]
pub struct Records {
    store: Arc<dyn ObjectStore>,
}

impl Records {
    /// The records next to these tables.
    ///
    /// # Errors
    ///
    /// The location can't hold tables.
    pub fn of(root: &Root) -> Result<Self, TableError> {
        Ok(Self {
            store: root.store()?,
        })
    }

    /// The record of a table. `None` if there is none, or it can't be parsed: the next one replaces it.
    ///
    /// # Errors
    ///
    /// The store can't be reached.
    pub async fn read(&self, table: &str) -> Result<Option<Record>, TableError> {
        let bytes = match self.store.get(&path(table)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let record = serde_json::from_slice(&bytes);
        if let Err(error) = &record {
            tracing::warn!(table, %error, object = %path(table), "the record of what is final is damaged; it is written anew");
        }
        Ok(record.ok())
    }

    /// The record of a table, unless it is one of an earlier table with the same name.
    ///
    /// # Errors
    ///
    /// The store can't be reached.
    pub async fn of_version(
        &self,
        table: &str,
        version: &Version,
    ) -> Result<Option<Record>, TableError> {
        self.read_of(table, &version.id()?).await
    }

    pub(super) async fn read_of(
        &self,
        table: &str,
        table_id: &str,
    ) -> Result<Option<Record>, TableError> {
        let record = self.read(table).await?;
        Ok(record.filter(|record| record.table_id == table_id))
    }

    /// The records of these tables, in the same order, without those that have none.
    ///
    /// # Errors
    ///
    /// The store can't be reached.
    pub async fn read_all(&self, tables: &[String]) -> Result<Vec<Record>, TableError> {
        let records = futures::stream::iter(tables.to_vec()).map(|table| {
            let records = self.clone();
            async move { records.read(&table).await }
        });
        let records: Vec<Option<Record>> = records.buffered(READ_AT_ONCE).try_collect().await?;
        Ok(records.into_iter().flatten().collect())
    }

    /// Writes a record, which replaces the previous one.
    ///
    /// # Errors
    ///
    /// The store refuses it or can't be reached.
    pub async fn write(&self, record: &Record) -> Result<(), TableError> {
        let line = serde_json::to_string(record);
        let line = line.map_err(|error| TableError::Internal(error.to_string()))?;
        let line = PutPayload::from(format!("{line}\n"));
        self.store.put(&path(&record.table_name), line).await?;
        Ok(())
    }

    /// Moves the record of a table to the name of another one, which is a copy of it. The copy's own record, if it has one by now, may
    /// have an earlier time, and is replaced.
    ///
    /// # Errors
    ///
    /// The store refuses it or can't be reached.
    pub async fn rename(&self, old: &str, new: &str, copy: &Version) -> Result<(), TableError> {
        if let Some(record) = self.read(old).await? {
            let record = Record {
                table_name: new.to_owned(),
                table_id: copy.id()?,
                ..record
            };
            self.write(&record).await?;
        }
        self.delete(old).await
    }

    /// Deletes the record of a table. It is no error if there is none.
    ///
    /// # Errors
    ///
    /// The store refuses it or can't be reached.
    pub async fn delete(&self, table: &str) -> Result<(), TableError> {
        match self.store.delete(&path(table)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn path(table: &str) -> Path {
    Path::from_iter([FOLDER, &format!("{table}.json")])
}

/// Times as Athena's JSON SerDes read them: `2026-11-20 10:05:00`, in UTC.
mod athena_time {
    use chrono::{DateTime, NaiveDateTime, Utc};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const FORMAT: &str = "%Y-%m-%d %H:%M:%S";

    pub(super) fn text(time: &DateTime<Utc>) -> String {
        time.format(FORMAT).to_string()
    }

    pub(super) fn of_text(text: &str) -> Option<DateTime<Utc>> {
        let time = NaiveDateTime::parse_from_str(text, FORMAT).ok()?;
        Some(time.and_utc())
    }

    pub(super) fn serialize<S: Serializer>(
        time: &DateTime<Utc>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        text(time).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(deserializer)?;
        of_text(&text).ok_or_else(|| D::Error::custom(format!("'{text}' is not a time")))
    }
}

/// The same for times that may be unknown.
mod maybe_athena_time {
    use chrono::{DateTime, Utc};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::athena_time;

    pub(super) fn serialize<S: Serializer>(
        time: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.as_ref().map(athena_time::text).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let time = athena_time::of_text(&text);
        time.map(Some)
            .ok_or_else(|| D::Error::custom(format!("'{text}' is not a time")))
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        athena_time::of_text(text).unwrap()
    }

    fn record() -> Record {
        Record {
            table_name: "events".to_owned(),
            final_until: Some(time("2026-11-20 10:00:00")),
            newest_interval_end: None,
            computed_at: time("2026-11-20 10:40:31"),
            delay_max_seconds: 1800,
            nodes: 3,
            late_log_files: 0,
            late: Vec::new(),
            settles_at: None,
            table_id: "5a0f".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_record_is_one_line_that_comes_back_as_it_was() {
        let records = Records {
            store: Arc::new(InMemory::new()),
        };
        assert_eq!(records.read("events").await.unwrap(), None);
        let mut record = record();
        let late: Vec<Late> = (0..30)
            .map(|number| Late {
                log_file: format!("s3://logs/\"{number}\n"),
                counted_at: record.computed_at,
                final_until: record.computed_at,
            })
            .collect();
        record.add_late(&late);
        assert_eq!((record.late_log_files, record.late.len()), (30, LATE_MAX));
        assert_eq!(record.late.last(), late.last());
        records.write(&record).await.unwrap();
        let object = records.store.get(&path("events")).await.unwrap();
        let text = object.bytes().await.unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("\"final_until\":\"2026-11-20 10:00:00\""),
            "{text}"
        );
        assert_eq!(records.read("events").await.unwrap(), Some(record.clone()));
        let tables = ["events", "none"].map(str::to_owned);
        assert_eq!(records.read_all(&tables).await.unwrap(), [record]);
        // A damaged record counts as missing.
        records
            .store
            .put(&path("events"), "{".into())
            .await
            .unwrap();
        assert_eq!(records.read("events").await.unwrap(), None);
        records.delete("events").await.unwrap();
        records.delete("events").await.unwrap();
        assert_eq!(records.read("events").await.unwrap(), None);
    }
}
