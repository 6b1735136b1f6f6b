//! Leases decide which of several processes does a piece of work, so that it is not done twice or for nothing.
//! Correctness must not depend on it: two processes may both believe for a while that they hold it.
//!
//! In a folder, the lease is an operating system lock, which is released when its holder exits. Elsewhere it is an object,
//! replaced by compare-and-swap. While at work, the holder rewrites the object every few seconds. A process that sees it
//! unchanged for longer takes it over. It measures this time by its own clock, so clocks need not agree.

use std::fs::{File, TryLockError};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use object_store::path::Path;
use object_store::{Error, GetResult, ObjectStore, ObjectStoreExt, PutMode, Result, UpdateVersion};
use serde::Deserialize;
use serde_json::json;

use crate::{Env, is_retryable};

/// Time without a renewal after which the holder is taken for dead. If it is too short, a holder that is briefly slow loses
/// the lease with its work half done. If it is too long, the work waits that long when its holder has died.
const LIFETIME: Duration = Duration::from_secs(15);

/// Interval at which the holder renews the lease while at work.
const RENEWAL: Duration = Duration::from_secs(5);

/// Interval for polling a lease that another process holds.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The file or the object that says who holds a lease.
#[derive(Debug)]
pub struct LeaseFile {
    place: Place,
    env: Arc<dyn Env>,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Object {
        object: Object,
        seen: Mutex<Option<Seen>>,
    },
}

/// The object that says who holds a lease.
#[derive(Debug, Clone)]
struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

/// The lease as last seen in the hands of another process.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    version: Option<String>,
    since: SystemTime,
}

/// The content of the lease object.
#[derive(Debug, Deserialize)]
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
        object: Object,
        env: Arc<dyn Env>,
        holder: String,
        version: UpdateVersion,
        renewed: SystemTime,
    },
}

impl LeaseFile {
    /// A lease that is a lock on this file.
    pub fn in_folder(file: PathBuf, env: Arc<dyn Env>) -> Self {
        Self {
            place: Place::Folder(file),
            env,
        }
    }

    /// A lease that is the object at this path. The store must support conditional updates.
    pub fn in_store(store: Arc<dyn ObjectStore>, path: Path, env: Arc<dyn Env>) -> Self {
        Self {
            place: Place::Object {
                object: Object { store, path },
                seen: Mutex::default(),
            },
            env,
        }
    }

    /// Acquires the lease. `None`: another process holds it.
    ///
    /// # Errors
    ///
    /// The store can't be reached. A file that can't be locked is no error: the lease is then acquired without a lock.
    pub async fn try_acquire(&self) -> Result<Option<Lease>> {
        let held = match &self.place {
            Place::Folder(file) => lock(file),
            Place::Object { object, seen } => self.take(object, seen).await?,
        };
        Ok(held.map(|held| Lease { held }))
    }

    /// Acquires the lease once its holder releases it or has died. `None`: the holder is alive.
    ///
    /// # Errors
    ///
    /// As [`LeaseFile::try_acquire`].
    pub async fn acquire(&self) -> Result<Option<Lease>> {
        let begun = self.env.now();
        loop {
            if let Some(lease) = self.try_acquire().await? {
                return Ok(Some(lease));
            }
            let waited = self.env.now().duration_since(begun).unwrap_or_default();
            if waited > 2 * LIFETIME {
                return Ok(None);
            }
            self.env.sleep(POLL_INTERVAL).await;
        }
    }

    async fn take(&self, object: &Object, seen: &Mutex<Option<Seen>>) -> Result<Option<Held>> {
        let now = self.env.now();
        let mode = match object.store.get(&object.path).await {
            Err(Error::NotFound { .. }) => PutMode::Create,
            Err(error) => return Err(error),
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
        let version = match object.put(Some(&holder), mode).await {
            Ok(version) => version,
            // Another process may hold it now, or the answer was lost.
            Err(error) => match object.version_of(&holder).await {
                Some(version) => version,
                // No process holds it. A caller that waited for a holder would wait forever, without an error.
                None if is_retryable(&error) => return Err(error),
                None => return Ok(None),
            },
        };
        Ok(Some(Held::Object {
            object: object.clone(),
            env: Arc::clone(&self.env),
            holder,
            version,
            renewed: now,
        }))
    }
}

impl Object {
    /// Writes who holds the lease. Returns the object's new version.
    async fn put(&self, holder: Option<&str>, mode: PutMode) -> Result<UpdateVersion> {
        let content = json!({ "holder": holder }).to_string();
        let put = self.store.put_opts(&self.path, content.into(), mode.into());
        Ok(put.await?.into())
    }

    /// The object's version, if `holder` holds the lease.
    async fn version_of(&self, holder: &str) -> Option<UpdateVersion> {
        let found = self.store.get(&self.path).await.ok()?;
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

/// Locks the file. The work is correct without the lock, so an error does not stop it.
fn lock(path: &FilePath) -> Option<Held> {
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
            tracing::warn!(lease = %path.display(), %error, "the lease cannot be locked; continuing without it");
            Some(Held::Folder(None))
        }
    }
}

impl Lease {
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
            object,
            env,
            version,
            renewed,
            ..
        } = &mut self.held
        else {
            return;
        };
        let now = env.now();
        match object.put(holder, PutMode::Update(version.clone())).await {
            Ok(put) => {
                *version = put;
                *renewed = now;
            }
            // Another process has taken the lease, or the outcome is unknown. Continuing without it only risks work for
            // nothing. If the store can't be reached, its failed requests have been logged.
            Err(error) => {
                tracing::debug!(%error, "lease lost");
                self.held = Held::Lost;
            }
        }
    }
}
