//! The lease of a table: decides which process maintains it. The lease saves work that would lose the race for the next
//! version. Correctness does not depend on it: two processes that both believe that they hold it do no harm.
//!
//! In a folder, the lease is an operating system lock, which is released when its holder exits. Elsewhere it is the object
//! `_lease`, replaced by compare-and-swap. While at work, the holder rewrites the object every few seconds. A process that sees
//! it unchanged for longer takes it over. It measures this time by its own clock, so clocks need not agree.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use object_store::path::Path;
use object_store::{GetResult, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use url::Url;

use super::env::Env;
use super::{Table, TableError, folder, retrying};

const NAME: &str = "_lease";

/// Time without a renewal after which the holder is taken for dead. If it is too short, a holder that is briefly slow loses
/// the lease with its work half done. If it is too long, the table waits that long when its holder has died.
const LIFETIME: Duration = Duration::from_secs(15);

/// Interval at which the holder renews the lease while at work.
const RENEWAL: Duration = Duration::from_secs(5);

/// Interval for polling a lease that another process holds.
pub(super) const POLL: Duration = Duration::from_secs(1);

/// How the lease of a table is stored.
#[derive(Debug)]
pub(super) enum Kind {
    Folder(PathBuf),
    Object(Mutex<Option<Seen>>),
}

/// The lease as last seen in the hands of another process.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    version: Option<String>,
    since: SystemTime,
}

/// The content of the lease object.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// `None` once the lease has been released.
    holder: Option<String>,
}

/// The lease, held. [`Lease::release`] gives it back. If its holder dies, it becomes free by itself.
#[derive(Debug)]
pub struct Lease {
    held: Held,
}

#[derive(Debug)]
enum Held {
    Folder(#[expect(dead_code, reason = "the lock goes when the file is closed")] Option<File>),
    Lost,
    Object {
        store: Arc<dyn ObjectStore>,
        env: Arc<dyn Env>,
        holder: String,
        version: UpdateVersion,
        renewed: SystemTime,
    },
}

impl Kind {
    pub(super) fn of(table: &Url) -> Self {
        match folder(table) {
            Some(folder) => Self::Folder(folder.join(NAME)),
            None => Self::Object(Mutex::default()),
        }
    }
}

impl Table {
    /// Takes the table's lease. `None`: another process holds it.
    pub async fn try_lease(&self) -> Result<Option<Lease>, TableError> {
        let held = match &self.lease {
            Kind::Folder(path) => lock(path),
            Kind::Object(seen) => self.take(seen).await?,
        };
        Ok(held.map(|held| Lease { held }))
    }

    /// Takes the table's lease once its holder releases it or has died. `None`: the holder is alive.
    pub async fn wait_for_lease(&self) -> Result<Option<Lease>, TableError> {
        let begun = self.env.now();
        loop {
            if let Some(lease) = self.try_lease().await? {
                return Ok(Some(lease));
            }
            let waited = self.env.now().duration_since(begun).unwrap_or_default();
            if waited > 2 * LIFETIME {
                return Ok(None);
            }
            self.env.sleep(POLL).await;
        }
    }

    async fn take(&self, seen: &Mutex<Option<Seen>>) -> Result<Option<Held>, TableError> {
        let path = Path::from(NAME);
        let now = self.env.now();
        let mode = match self.store.get(&path).await {
            Err(object_store::Error::NotFound { .. }) => PutMode::Create,
            Err(error) => return Err(error.into()),
            Ok(found) => {
                let version = version_of(&found);
                let content: Option<Content> = serde_json::from_slice(&found.bytes().await?).ok();
                let is_held = content.is_some_and(|content| content.holder.is_some());
                if is_held && !expired(seen, version.e_tag.as_ref(), now) {
                    return Ok(None);
                }
                PutMode::Update(version)
            }
        };
        let holder = format!("{:032x}", self.env.unique());
        let content = content(Some(&holder))?;
        let version = match self
            .store
            .put_opts(&path, content.into(), mode.into())
            .await
        {
            Ok(put) => put.into(),
            // Another process may hold it now, or the answer was lost.
            Err(error) => match self.version_of(&holder).await {
                Some(version) => version,
                // No process holds it. A caller that waited for a holder would wait forever, without an error.
                None if retrying::may_pass(&error) => return Err(error.into()),
                None => return Ok(None),
            },
        };
        Ok(Some(Held::Object {
            store: Arc::clone(&self.store),
            env: Arc::clone(&self.env),
            holder,
            version,
            renewed: now,
        }))
    }

    /// The lease's version, if `holder` holds it.
    async fn version_of(&self, holder: &str) -> Option<UpdateVersion> {
        let found = self.store.get(&Path::from(NAME)).await.ok()?;
        let version = version_of(&found);
        let content: Content = serde_json::from_slice(&found.bytes().await.ok()?).ok()?;
        (content.holder.as_deref() == Some(holder)).then_some(version)
    }
}

fn version_of(found: &GetResult) -> UpdateVersion {
    UpdateVersion {
        e_tag: found.meta.e_tag.clone(),
        version: found.meta.version.clone(),
    }
}

/// Whether the holder has not renewed the lease for too long, as seen from this process.
fn expired(seen: &Mutex<Option<Seen>>, version: Option<&String>, now: SystemTime) -> bool {
    let Ok(mut seen) = seen.lock() else {
        return false;
    };
    match &*seen {
        Some(seen) if seen.version.as_ref() == version => {
            now.duration_since(seen.since).unwrap_or_default() >= LIFETIME
        }
        _ => {
            *seen = Some(Seen {
                version: version.cloned(),
                since: now,
            });
            false
        }
    }
}

/// Locks the file. Commits are correct without the lock, so an error does not stop them.
fn lock(path: &PathBuf) -> Option<Held> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    let locked = file.map_err(TryLockError::Error).and_then(|file| {
        file.try_lock()?;
        Ok(file)
    });
    match locked {
        Ok(file) => Some(Held::Folder(Some(file))),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => {
            tracing::warn!(lease = %path.display(), %error, "the lease can't be locked; committing without it");
            Some(Held::Folder(None))
        }
    }
}

fn content(holder: Option<&str>) -> Result<Vec<u8>, TableError> {
    let content = Content {
        holder: holder.map(str::to_owned),
    };
    serde_json::to_vec(&content).map_err(|error| TableError::Internal(error.to_string()))
}

impl Lease {
    /// A stale lease, held by a process that has since been replaced.
    #[cfg(test)]
    pub(super) fn of_nobody() -> Self {
        Self {
            held: Held::Folder(None),
        }
    }

    /// Renews the lease if the last renewal was some time ago. Call it from time to time during long work. Returns whether
    /// the lease is still held.
    pub async fn renew(&mut self) -> bool {
        let Held::Object {
            env,
            holder,
            renewed,
            ..
        } = &self.held
        else {
            return !matches!(self.held, Held::Lost);
        };
        let since = env.now().duration_since(*renewed).unwrap_or_default();
        if since >= RENEWAL {
            let holder = holder.clone();
            self.write(Some(&holder)).await;
        }
        !matches!(self.held, Held::Lost)
    }

    /// Releases the lease, so that another process can take it at once.
    pub async fn release(mut self) {
        self.write(None).await;
    }

    async fn write(&mut self, holder: Option<&str>) {
        let Held::Object {
            store,
            env,
            version,
            renewed,
            ..
        } = &mut self.held
        else {
            return;
        };
        let now = env.now();
        let mode = PutMode::Update(version.clone());
        let put = match content(holder) {
            Ok(content) => {
                let path = Path::from(NAME);
                store.put_opts(&path, content.into(), mode.into()).await
            }
            Err(_) => return,
        };
        match put {
            Ok(put) => {
                *version = put.into();
                *renewed = now;
            }
            // Another process has taken it, or that is unknown. Working without the lease only risks a lost race. If the
            // store can't be reached, its failed requests have been logged.
            Err(error) => {
                tracing::debug!(%error, "lease lost");
                self.held = Held::Lost;
            }
        }
    }
}
