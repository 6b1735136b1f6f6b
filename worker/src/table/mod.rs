//! Tables: Delta Lake tables with a ledger of the log files that they have counted.
//!
//! A table's folder holds everything that matters. Readers ignore names that begin with `_`:
//!
//! ```text
//! events/_delta_log/…                        which files are the table, version by version
//!        date=2026-11-22/T10-….parquet       an hour's rows, sorted by group key
//!        _staging/2026-11-22T10/….parquet    a log file's rows, waiting to be committed
//!        _ledger/….parquet                   the log files that have been counted
//!        _lookups/….csv                      the files that the rollup looks values up in
//! ```

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use deltalake_core::logstore::LogStoreRef;
use futures::StreamExt;
use logmill_object_io::{Env, LeaseFile};
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use sha2::{Digest, Sha256};
use url::Url;

mod error;
mod guards;
mod checked_log;
mod root;
mod merge_rule;
pub(crate) mod definition;
mod lookup_file;
mod slot;
mod statistics;
mod checksums;
mod parquet_file;
mod staging;
mod set_aside;
mod waiting;
mod backlog;
mod ledger;
mod merging;
mod runs;
mod delta_log;
mod lease;
mod version;
mod facts;
mod data_writer;
mod touched_files;
mod commit;
mod compact;
mod vacuum;
mod rejected_lines;
mod failed_lines;
mod generations;
mod dropping;
mod renaming;
mod retention;
mod deletion;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod requests;

pub use backlog::Backlog;
pub use commit::{Committed, Lost};
pub use compact::{Compacted, LEDGER_QUIET};
pub use definition::{Column, Definition, SLOT_GROUPS_MAX};
pub use error::TableError;
pub use facts::Facts;
pub use failed_lines::{FailedLine, FailedLines};
pub use generations::{Anew, Folder, Keeping, Stray, Swap};
pub use ledger::Entry;
pub(crate) use ledger::may_hold;
pub use logmill_object_io::Lease;
pub use lookup_file::LookupFile;
pub(crate) use lookup_file::LookupHashes;
pub use merge_rule::MergeRule;
pub(crate) use merge_rule::sum_state;
pub use rejected_lines::RejectedLines;
pub(crate) use renaming::Ended;
pub use renaming::Renaming;
pub use retention::Expired;
pub use root::Root;
pub(crate) use root::of_tables;
pub use set_aside::{HowMuch, Notes, SetAside};
pub(crate) use staging::StagingFile;
pub use vacuum::{MAX_GRACE, MIN_GRACE, Vacuumed};
pub use version::{DataFile, Version};
pub use waiting::{Waiting, WaitingAnywhere};

use guards::Guards;

/// The format of tables that this version writes. It also reads and stages for tables of older formats; its first commit
/// upgrades them.
///
/// | format | new |
/// |---|---|
/// | 1 | |
/// | 2 | exact states of integer sums; `is_other`; staged rows are sorted runs; the ledger has slots and failed lines |
/// | 3 | generations; ledgers whose days are packed. A table has this format from its first rebuild or packing on |
const FORMAT: u32 = 3;

/// The format of new tables, which have one generation and nothing packed. Older formats are upgraded to it.
const BASE_FORMAT: u32 = 2;

/// The property of a Delta table that holds its format. Absent in format 1.
const FORMAT_PROPERTY: &str = "logmill.format";

/// The property of a Delta table that holds the table's SQL.
const SQL_PROPERTY: &str = "logmill.rollup";

/// The same in format 1. Newer tables don't have it, so that programs that know no formats refuse them.
const FIRST_SQL_PROPERTY: &str = "logmill.sql";

/// The property of a Delta table that holds the hashes of the files that its SQL looks values up in, as JSON. Absent if there are none.
const LOOKUPS_PROPERTY: &str = "logmill.lookups";

/// The property of a Delta table with conditions on log lines that it leaves out, as JSON. Absent if there are none.
const ERASED_PROPERTY: &str = "logmill.erased";

/// A table that log files are staged for and committed to.
#[derive(Debug)]
pub struct Table {
    definition: Arc<Definition>,
    /// The Delta log: the table's, or that of its next generation.
    log_store: LogStoreRef,
    /// The folder of its data files, relative to the log's.
    folder: Folder,
    /// That folder.
    store: Arc<dyn ObjectStore>,
    /// If this is the next generation of a table: that table's log.
    next_of: Option<LogStoreRef>,
    merge: Option<Arc<merging::Merge>>,
    lease: LeaseFile,
    env: Arc<dyn Env>,
    guards: Guards,
}

impl Table {
    /// The table's definition.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Whether this is the next generation of a table, which no query reads yet.
    pub fn is_next(&self) -> bool {
        self.next_of.is_some()
    }

    /// A name for log lines, metrics and summaries: a table and its next generation have different ones.
    pub fn label(&self) -> String {
        generations::label(&self.definition.name, self.is_next())
    }

    /// The store of the Delta log.
    fn log(&self) -> Arc<dyn ObjectStore> {
        self.log_store.object_store(None)
    }

    /// Starts staging a log file's rows.
    pub(crate) fn staging_file(&self, log_file: &LogFile) -> Result<StagingFile, TableError> {
        StagingFile::create(&self.store, &self.definition, log_file)
    }

    /// Reads the latest version of the table.
    ///
    /// # Errors
    ///
    /// The table can't be read; or it has been removed and created anew with other SQL; or another generation is live now.
    pub async fn version(&self) -> Result<Version, TableError> {
        let version = self.any_version().await?;
        self.check_generation(&version).await?;
        version.check_sql(&self.definition, &self.log_store)?;
        Ok(version)
    }

    /// Reads the latest version, whatever it is.
    async fn any_version(&self) -> Result<Version, TableError> {
        Version::read(&self.definition.name, &self.log_store, &*self.env).await
    }

    /// The log files that are staged and not set aside.
    pub async fn staged(&self) -> Result<HashSet<LogFileId>, TableError> {
        let staged = staging::list_all(&self.store, self.guards).await?;
        Ok(staged.into_iter().map(|staged| staged.id).collect())
    }
}

/// Deletes objects, many with one request where the store supports it. A missing object is not an error.
async fn delete(
    store: &Arc<dyn ObjectStore>,
    paths: impl IntoIterator<Item = Path>,
) -> Result<(), TableError> {
    let paths: Vec<_> = paths.into_iter().map(Ok).collect();
    let mut deleted = store.delete_stream(futures::stream::iter(paths).boxed());
    while let Some(outcome) = deleted.next().await {
        match outcome {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The folder of a table; `None` if it is in a bucket.
fn folder(table: &Url) -> Option<PathBuf> {
    // `to_file_path` ignores the scheme, and would accept a bucket named `localhost`.
    (table.scheme() == "file").then(|| table.to_file_path().ok())?
}

/// The shard and the name of an object `<folder>/<shard>/<name>`; `None` for any other object.
fn in_shard(object: &ObjectMeta, folder: &str) -> Option<(Shard, String)> {
    let mut parts = object.location.parts();
    let is_there = parts.next()?.as_ref() == folder;
    let (shard, name) = (parts.next()?, parts.next()?);
    let found = (Shard::from_name(shard.as_ref()), name.as_ref().to_owned());
    (is_there && parts.next().is_none()).then_some(found)
}

/// A short hash of a text: the first 16 hexadecimal digits of its SHA-256.
fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Milliseconds since 1970.
fn milliseconds(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as i64
}
