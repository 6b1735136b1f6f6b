//! The size and freshness of a table, for the status page.

use logmill_shared::Shard;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::{Folder, Root, TableError, Version};

/// Hours of the ledger that are read to find the newest line.
const NEWEST_SHARDS: usize = 3;

/// How large and how fresh a version of a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The number of the version.
    pub version: u64,
    /// The name of the generation that is live.
    pub generation: String,
    /// The next generation, if there is one.
    pub next: Option<String>,
    /// Rows.
    pub rows: u64,
    /// Data files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The time of the newest line of the log files in the latest hours of the ledger, in milliseconds since 1970.
    pub newest_line: Option<i64>,
    /// When the ledger last changed, in milliseconds since 1970: a log file was counted, or a past day packed.
    pub counted: Option<i64>,
}

impl Facts {
    /// Reads the ledger's latest hours.
    ///
    /// # Errors
    ///
    /// They can't be read.
    pub async fn of(version: &Version) -> Result<Self, TableError> {
        Ok(Self {
            version: version.number(),
            generation: version.generation(),
            next: version.next().map(ToString::to_string),
            rows: version.rows(),
            files: version.files().len() as u64,
            bytes: version.files().iter().map(|file| file.bytes).sum(),
            newest_line: version.newest_line().await?,
            counted: version.ledger.written(),
        })
    }
}

impl Version {
    /// The time of the newest line of the log files in the latest hours of the ledger, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// The ledger can't be read.
    pub(crate) async fn newest_line(&self) -> Result<Option<i64>, TableError> {
        // Shards that have an hour sort by it. Others come last, and tell nothing about how fresh the table is.
        let has_hour = |shard: &&Shard| shard.as_str().starts_with(|c: char| c.is_ascii_digit());
        let hours: Vec<Shard> = self.ledger_shards().filter(has_hour).cloned().collect();
        let newest = &hours[hours.len().saturating_sub(NEWEST_SHARDS)..];
        let entries = self.counted_entries(newest).await?;
        Ok(entries.values().filter_map(|entry| entry.last_time).max())
    }
}

impl Root {
    /// The facts of a table's latest version. If `known` is that version's, this costs one request.
    ///
    /// # Errors
    ///
    /// The table can't be read.
    pub async fn facts(&self, table: &str, known: Option<&Facts>) -> Result<Facts, TableError> {
        if let Some(known) = known {
            let log = self
                .log_store(table, &Folder::default())?
                .object_store(None);
            let next = format!("{:020}.json", known.version + 1);
            let next = log.head(&Path::from_iter(["_delta_log", &next])).await;
            // Whatever else is wrong, reading the version reports it.
            if let Err(object_store::Error::NotFound { .. }) = next {
                return Ok(known.clone());
            }
        }
        Facts::of(&self.read(table).await?).await
    }
}
