//! The workers of a fleet, according to the tables' folder: each writes its report to its own object, `_workers/<id>.json`, once a
//! minute, and deletes it when it stops. Workers do not talk to each other.
//!
//! Anybody with write access to the folder can write anything. So objects are limited in number and size, and one that is not a report
//! is named and otherwise ignored. Only the status page uses them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::reporter::Reporter;
use crate::sleep::sleep_or_stop;
use crate::status::{Worker, WorkerReport};

const FOLDER: &str = "_workers";

/// How often a worker writes its report. Each write is a request, about 43,000 a month.
const WRITE_INTERVAL: Duration = Duration::from_mins(1);

/// A worker whose report is older is no longer shown. It died, or can't write.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);

/// How often a worker deletes the reports of dead workers, in writes.
const SWEEP_EVERY: u32 = 60;

/// Time limit of a write. The store's own retries may take longer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(20);

/// Maximum number of reports that are read.
const REPORTS_MAX: usize = 100;

/// Maximum size of a report that is read. A worker's own has a few kilobytes, and up to 1.5 KB for each table and reason of failures.
const REPORT_BYTES_MAX: u64 = 128 << 10;

/// Reports read concurrently.
const READ_AT_ONCE: usize = 16;

/// The folder of the workers' reports.
pub(super) struct Fleet {
    store: Arc<dyn ObjectStore>,
    id: String,
}

/// The reports of other workers.
#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) workers: Vec<Worker>,
    /// Why some of them could not be read.
    pub(super) unread: Vec<String>,
}

impl Fleet {
    /// `store` is the store of the tables. `unique` is a number that no other worker has.
    pub(super) fn new(store: Arc<dyn ObjectStore>, unique: u128) -> Self {
        Self {
            store,
            id: format!("{unique:032x}"),
        }
    }

    /// The worker's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn path(id: &str) -> Path {
        Path::from_iter([FOLDER, &format!("{id}.json")])
    }

    /// Writes the worker's report until `stop` is cancelled, then deletes it.
    pub(super) async fn write_reports(
        self: Arc<Self>,
        reporter: Arc<Reporter>,
        stop: CancellationToken,
    ) -> Result<()> {
        let mut is_failing = false;
        for write in 0_u32.. {
            if stop.is_cancelled() {
                break;
            }
            match self.write(&reporter.report().in_short()).await {
                Ok(()) => is_failing = false,
                Err(reason) => {
                    if !is_failing {
                        tracing::warn!(
                            reason,
                            "the worker's report could not be written to _workers, so status pages of other workers do not show it; retrying"
                        );
                    }
                    is_failing = true;
                }
            }
            if write % SWEEP_EVERY == 0
                && let Err(error) = self.sweep(SystemTime::now()).await
            {
                tracing::debug!(%error, "reports of workers that have died could not be deleted; retrying later");
            }
            sleep_or_stop(WRITE_INTERVAL, &stop).await;
        }
        let path = Self::path(&self.id);
        let deleted = timeout(WRITE_TIME_MAX, self.store.delete(&path));
        if !matches!(deleted.await, Ok(Ok(()))) {
            tracing::debug!(
                "the worker's report could not be deleted; another worker will do that"
            );
        }
        Ok(())
    }

    async fn write(&self, report: &WorkerReport) -> Result<(), String> {
        let json = serde_json::to_string(report).map_err(|error| error.to_string())?;
        let path = Self::path(&self.id);
        match timeout(WRITE_TIME_MAX, self.store.put(&path, json.into())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the tables' storage does not answer in time".to_owned()),
        }
    }

    /// The reports of all workers, up to a limit, in the order of their ids. Other objects are ignored.
    async fn list(&self) -> object_store::Result<Vec<(String, ObjectMeta)>> {
        let objects = self.store.list(Some(&Path::from(FOLDER)));
        let reports = objects
            .try_filter_map(async |object| Ok(id_of(&object.location).map(|id| (id, object))));
        reports.take(REPORTS_MAX + 1).try_collect().await
    }

    /// Deletes the reports of workers that have not written for a long time.
    async fn sweep(&self, now: SystemTime) -> object_store::Result<()> {
        for (id, object) in self.list().await? {
            if id != self.id && is_forgotten(&object, now) {
                match self.store.delete(&object.location).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Reads the reports of the other workers.
    pub(super) async fn others(&self, now: SystemTime) -> Others {
        let listed = match self.list().await {
            Ok(listed) => listed,
            Err(error) => {
                return Others {
                    workers: Vec::new(),
                    unread: vec![format!(
                        "The reports of other workers can't be listed: {error}"
                    )],
                };
            }
        };
        let are_more = listed.len() > REPORTS_MAX;
        let reports = listed.into_iter().take(REPORTS_MAX);
        let living = reports.filter(|(id, object)| *id != self.id && !is_forgotten(object, now));
        let read = futures::stream::iter(living).map(async |(id, object)| {
            let heard = SystemTime::from(object.last_modified).into();
            let read = self.read(&object).await;
            match read {
                Ok(Some(report)) => Ok(Some(Worker { id, heard, report })),
                Ok(None) => Ok(None),
                Err(reason) => Err(format!("{}: {reason}", object.location)),
            }
        });
        let mut others = Others::default();
        for read in read.buffered(READ_AT_ONCE).collect::<Vec<_>>().await {
            match read {
                Ok(worker) => others.workers.extend(worker),
                Err(reason) => others.unread.push(reason),
            }
        }
        if are_more {
            others.unread.push(format!(
                "There are more than {REPORTS_MAX} reports of workers"
            ));
        }
        others
    }

    /// `None` if the worker has just stopped.
    async fn read(&self, object: &ObjectMeta) -> Result<Option<WorkerReport>, String> {
        let found = match self.store.get(&object.location).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        // It may have been replaced since it was listed.
        if found.meta.size > REPORT_BYTES_MAX {
            return Err(format!(
                "not a worker's report: it has {} bytes",
                found.meta.size
            ));
        }
        let bytes = found.bytes().await.map_err(|error| error.to_string())?;
        let report: WorkerReport = serde_json::from_slice(&bytes)
            .map_err(|error| format!("not a worker's report: {error}"))?;
        Ok(Some(report.bounded()))
    }
}

/// The id of the worker whose report this object is. `None` for any other object.
fn id_of(path: &Path) -> Option<String> {
    let mut parts = path.parts();
    let (folder, name) = (parts.next()?, parts.next()?);
    let id = name.as_ref().strip_suffix(".json")?;
    let is_id = id.len() == 32
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_there = folder.as_ref() == FOLDER && parts.next().is_none();
    (is_there && is_id).then(|| id.to_owned())
}

fn is_forgotten(object: &ObjectMeta, now: SystemTime) -> bool {
    let written: SystemTime = object.last_modified.into();
    now.duration_since(written)
        .is_ok_and(|age| age > FORGOTTEN_AFTER)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn fleet(store: &Arc<InMemory>, unique: u128) -> Fleet {
        Fleet::new(Arc::clone(store) as Arc<dyn ObjectStore>, unique)
    }

    fn report(host: &str) -> WorkerReport {
        WorkerReport {
            host: host.to_owned(),
            ..WorkerReport::default()
        }
    }

    async fn names(store: &Arc<InMemory>) -> Vec<String> {
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        listed
            .into_iter()
            .map(|object| object.location.to_string())
            .collect()
    }

    #[tokio::test]
    async fn workers_see_each_other_until_one_is_silent_for_long() {
        let store = Arc::new(InMemory::new());
        let (one, two) = (fleet(&store, 1), fleet(&store, 2));
        one.write(&report("one")).await.unwrap();
        two.write(&report("two")).await.unwrap();
        let now = SystemTime::now();
        let others = one.others(now).await;
        assert_eq!(others.unread, [""; 0]);
        let hosts: Vec<&str> = others
            .workers
            .iter()
            .map(|worker| worker.report.host.as_str())
            .collect();
        assert_eq!(hosts, ["two"]);
        // By the store's clock, which may be ahead of ours.
        assert_eq!(one.others(SystemTime::UNIX_EPOCH).await.workers.len(), 1);

        one.sweep(now).await.unwrap();
        assert_eq!(names(&store).await.len(), 2);
        let later = now + FORGOTTEN_AFTER + Duration::from_secs(60);
        assert_eq!(one.others(later).await.workers, []);
        one.sweep(later).await.unwrap();
        assert_eq!(names(&store).await, [Fleet::path(&one.id).to_string()]);
    }

    #[tokio::test]
    async fn what_is_no_report_is_named_and_others_objects_are_left_alone() {
        let store = Arc::new(InMemory::new());
        let one = fleet(&store, 1);
        fleet(&store, 2).write(&report("two")).await.unwrap();
        let id = |number: u128| format!("_workers/{number:032x}.json");
        let large = format!("{{\"host\":\"{}\"}}", "x".repeat(300_000));
        let mut objects = vec![
            (id(3), "<script>alert(1)</script>"),
            (id(4), &large),
            (id(5), "{\"lines\":-1}"),
            ("_workers/notes.txt".to_owned(), "mine"),
            (format!("_workers/a/{:032x}.json", 6), "{}"),
            ("_workers/../_delta_log/0.json".replace("../", ""), "{}"),
        ];
        for (path, text) in objects.drain(..) {
            store
                .put(&Path::from(path), text.to_owned().into())
                .await
                .unwrap();
        }
        let now = SystemTime::now();
        let others = one.others(now).await;
        assert_eq!(others.workers.len(), 1);
        assert_eq!(others.unread.len(), 3, "{:?}", others.unread);
        assert!(
            others
                .unread
                .iter()
                .all(|reason| reason.contains("not a worker's report"))
        );
        one.sweep(now + 2 * FORGOTTEN_AFTER).await.unwrap();
        assert_eq!(names(&store).await.len(), 3);
    }

    #[tokio::test]
    async fn reports_are_bounded_in_number() {
        let store = Arc::new(InMemory::new());
        for number in 0..REPORTS_MAX as u128 + 50 {
            fleet(&store, number).write(&report("many")).await.unwrap();
        }
        let others = fleet(&store, 1 << 100).others(SystemTime::now()).await;
        assert_eq!(others.workers.len(), REPORTS_MAX);
        assert_eq!(
            others.unread,
            ["There are more than 100 reports of workers"]
        );
    }
}
