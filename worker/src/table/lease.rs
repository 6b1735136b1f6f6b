//! The lease of a table: decides which process maintains it. The lease saves work that would lose the race for the next
//! version. Correctness does not depend on it: two processes that both believe that they hold it do no harm.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use logmill_object_io::{Env, Lease, LeaseFile};
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use super::{Table, TableError, folder};

/// The name of the lease in the folder of a log.
pub(super) const NAME: &str = "_lease";

/// How long to wait for another process's lease before logging it, and the interval between such log lines.
const WAIT_LOG_INTERVAL: Duration = Duration::from_secs(15);

/// The lease of the table at this URL: a lock on a file if the table is in a folder, and an object in its store otherwise.
pub(super) fn of(table: &Url, store: Arc<dyn ObjectStore>, env: Arc<dyn Env>) -> LeaseFile {
    match folder(table) {
        Some(folder) => LeaseFile::in_folder(folder.join(NAME), env),
        None => LeaseFile::in_store(store, Path::from(NAME), env),
    }
}

impl Table {
    /// Takes the table's lease. `None`: another process holds it.
    pub async fn try_lease(&self) -> Result<Option<Lease>, TableError> {
        Ok(self.lease.try_acquire().await?)
    }

    /// Takes the table's lease once its holder releases it or has died. `None`: the holder is alive.
    pub async fn wait_for_lease(&self) -> Result<Option<Lease>, TableError> {
        Ok(self.lease.acquire().await?)
    }
}

/// Since when this process has been waiting for another's lease, and when that was last logged.
pub(super) struct Waited {
    since: SystemTime,
    last_logged: SystemTime,
}

impl Waited {
    pub(super) fn new(now: SystemTime) -> Self {
        Self {
            since: now,
            last_logged: now,
        }
    }

    pub(super) fn log_wait(&mut self, table: &str, now: SystemTime) {
        let since = |moment| now.duration_since(moment).unwrap_or_default();
        if since(self.last_logged) >= WAIT_LOG_INTERVAL {
            tracing::warn!(
                table,
                waited_s = since(self.since).as_secs(),
                "waiting for the lease: another process holds it, and commits the staged files"
            );
            self.last_logged = now;
        }
    }
}
