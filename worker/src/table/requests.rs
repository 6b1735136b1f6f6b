//! Tests that count the requests of a commit, and those that a broken bucket causes. They do not measure time.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use logmill_object_io::{Env, Policy, RetryingStore, SystemEnv};
use logmill_shared::{LogFile, chain};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

use super::{Root, Table};
use crate::feeds::Feeds;
use crate::pipeline::{self, Limits, Source};
use crate::rollup::Rollup;

const ATTEMPTS: usize = Policy::REQUEST.attempts as usize;

/// A store that counts requests by kind and path. Requests that begin with `broken` fail as in a broken bucket.
struct Counting {
    store: InMemory,
    broken: Mutex<Option<&'static str>>,
    asked: Mutex<Vec<String>>,
}

impl Counting {
    fn ask(&self, kind: &str, path: &Path) -> Result<()> {
        let asked = format!("{kind} {path}");
        let broken = *self.broken.lock().unwrap();
        let is_broken = broken.is_some_and(|broken| asked.starts_with(broken));
        self.asked.lock().unwrap().push(asked);
        match is_broken {
            true => Err(Error::Generic {
                store: "test",
                source: "503 SlowDown".into(),
            }),
            false => Ok(()),
        }
    }

    /// The requests since the last call: the number of each kind, and the total.
    fn counted(&self) -> (BTreeMap<String, usize>, usize) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let mut kinds = BTreeMap::new();
        for asked in &asked {
            let kind = asked.split(' ').next().unwrap_or_default();
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        (kinds, asked.len())
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a store that counts")
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.ask("PUT", path)?;
        self.store.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.ask("PUT", path)?;
        self.store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.ask(if options.head { "HEAD" } else { "GET" }, path)?;
        self.store.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let asked = self.ask("DELETE", &Path::default());
        match asked {
            Ok(()) => self.store.delete_stream(paths),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.ask("LIST", &prefix.cloned().unwrap_or_default()) {
            Ok(()) => self.store.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.ask("LIST", &prefix.cloned().unwrap_or_default())?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// The real machine, but without long waits. Sums up the requested waiting time.
#[derive(Debug, Default)]
struct Hurried {
    waited: Mutex<Duration>,
}

impl Env for Hurried {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        *self.waited.lock().unwrap() += duration;
        tokio::task::yield_now().boxed()
    }

    fn unique(&self) -> u128 {
        SystemEnv.unique()
    }
}

/// A table in a bucket, and what is needed to stage log files for it.
struct Scene {
    store: Arc<Counting>,
    env: Arc<Hurried>,
    feeds: Feeds,
    staged: usize,
}

impl Scene {
    async fn new() -> Self {
        let store = Arc::new(Counting {
            store: InMemory::new(),
            broken: Mutex::default(),
            asked: Mutex::default(),
        });
        let env = Arc::new(Hurried::default());
        let retrying = RetryingStore::new(Arc::clone(&store) as _, None, Arc::clone(&env) as _);
        let url = Url::parse("memory:///").unwrap();
        let root = Root::in_env(url, Arc::new(retrying), Arc::clone(&env) as _);
        let sql = "SELECT elb, count(*) AS lines FROM alb_access_logs GROUP BY 1";
        let rollup = Rollup::from_sql("t", sql).await.unwrap();
        Self {
            store,
            env,
            feeds: Feeds::open(&root, vec![rollup].into()).await.unwrap().0,
            staged: 0,
        }
    }

    fn table(&self) -> &Table {
        &self.feeds.rollups().next().unwrap().table
    }

    async fn stage(&mut self) {
        self.staged += 1;
        let line = "https 2026-11-20T10:00:00.000001Z app/a/1 192.0.2.1:2817 - -1 -1 -1 460 - 34 366 \"GET https://a/ HTTP/1.1\"\n";
        let name = format!(
            "1_elasticloadbalancing_r_app.a.1_20261120T1005Z_{}.log",
            self.staged
        );
        let source = Source {
            log_file: LogFile::in_bucket("logs", &name),
            bytes: line.len() as u64,
            etag: "e".to_owned(),
            plain: None,
            open: |_| Ok(Cursor::new(line)),
        };
        let limits = Limits {
            text_bytes: 1 << 20,
            group_bytes: 1 << 20,
        };
        pipeline::stage(source, &self.feeds.tables, limits)
            .await
            .unwrap();
    }

    /// Stages a log file, breaks the bucket, and commits. Returns the error and the requests.
    async fn broken(&mut self, what: &'static str) -> (String, BTreeMap<String, usize>, usize) {
        self.stage().await;
        *self.store.broken.lock().unwrap() = Some(what);
        self.store.counted();
        *self.env.waited.lock().unwrap() = Duration::ZERO;
        let error = self.table().commit().await.unwrap_err();
        let (kinds, all) = self.store.counted();
        let error = chain(&error);
        (error, kinds, all)
    }

    /// Number of data files that the table's newest version does not refer to.
    async fn orphans(&self) -> usize {
        let live = self.table().version().await.unwrap().files().len();
        let mut objects = self.store.store.list(Some(&Path::from("t")));
        let mut data = 0;
        while let Some(object) = objects.next().await {
            data += usize::from(object.unwrap().location.as_ref().contains("/date="));
        }
        data - live
    }
}

#[tokio::test]
async fn a_commit_sends_few_requests() {
    let mut scene = Scene::new().await;
    scene.stage().await;
    scene.table().commit().await.unwrap();
    for log_files in [1, 20] {
        for _ in 0..log_files {
            scene.stage().await;
        }
        scene.store.counted();
        let committed = scene.table().commit().await.unwrap();
        assert_eq!(committed.entries.len(), log_files);
        let (kinds, all) = scene.store.counted();
        println!("{log_files} log files: {kinds:?}, {all} in all");
        // One GET for each log file. The rest does not depend on their number, but on the versions since the last checkpoint.
        let of = |kind: &str| kinds.get(kind).copied().unwrap_or_default();
        assert!(of("LIST") <= 5, "{kinds:?}");
        assert!(of("GET") + of("HEAD") <= 28 + log_files, "{kinds:?}");
        // The data, a shard, the manifest and the version; the lease is written twice.
        assert!(of("PUT") <= 6, "{kinds:?}");
        assert!(of("DELETE") <= 1, "{kinds:?}");
    }
    scene.store.counted();
    scene.table().commit().await.unwrap();
    assert_eq!(scene.store.counted().1, 1, "when nothing is staged");
}

/// Only single requests are retried. Retrying commits as well would multiply the attempts.
#[tokio::test]
async fn a_broken_bucket_is_told_after_the_attempts_of_one_request() {
    // What breaks, and the maximum number of PUTs, requests and orphaned data files that result.
    for (what, puts_max, requests_max, orphans_max) in [
        ("PUT t/_lease", ATTEMPTS, 30, 0),
        ("PUT t/date=", ATTEMPTS + 2, 40, 0),
        ("PUT t/_ledger", ATTEMPTS + 3, 40, 1),
        ("PUT t/_delta_log", ATTEMPTS + 5, 50, 1),
        ("GET t/_delta_log", 2, 5 * ATTEMPTS, 0),
        ("LIST t/_delta_log", 2, 4 * ATTEMPTS, 0),
        ("LIST t/_staging", 0, ATTEMPTS, 0),
    ] {
        let mut scene = Scene::new().await;
        scene.stage().await;
        scene.table().commit().await.unwrap();
        let (error, kinds, all) = scene.broken(what).await;
        println!("{what}: {kinds:?}, {all} in all");
        assert!(error.contains("503 SlowDown"), "{what}: {error}");
        let puts = kinds.get("PUT").copied().unwrap_or_default();
        assert!(puts <= puts_max, "{what}: {kinds:?}");
        assert!(all <= requests_max, "{what}: {kinds:?}");
        // The waits of one request, or of a few requests in sequence.
        let waited = *scene.env.waited.lock().unwrap();
        assert!(waited < Duration::from_mins(3), "{what}: {waited:?}");

        *scene.store.broken.lock().unwrap() = None;
        assert!(scene.orphans().await <= orphans_max, "{what}");
        let committed = scene.table().commit().await.unwrap();
        assert_eq!(committed.entries.len(), 1, "{what}");
    }
}
