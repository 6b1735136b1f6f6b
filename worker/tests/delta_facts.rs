//! What the tables rest on in delta-rs and `object_store`, each fact a test of its own: an upgrade that changes one
//! fails here, and says which.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::{DataType, StructField};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, RetryConfig, UpdateVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

const APPLICATION: &str = "logmill.ledger";

/// A table in memory, as logmill creates its own.
struct Delta {
    store: Arc<dyn ObjectStore>,
    log_store: LogStoreRef,
}

impl Delta {
    async fn create() -> Self {
        let whole: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&whole), "t"));
        let url = Url::parse("memory:///t/").unwrap();
        let log_store =
            default_logstore(Arc::clone(&store), whole, &url, &StorageConfig::default());
        CreateBuilder::new()
            .with_log_store(Arc::clone(&log_store))
            .with_columns([
                StructField::new("n", DataType::LONG, true),
                StructField::new("date", DataType::DATE, true),
            ])
            .with_partition_columns(["date"])
            .with_configuration(HashMap::from([(
                "logmill.rollup".to_owned(),
                Some("SELECT 1".to_owned()),
            )]))
            .with_raise_if_key_not_exists(false)
            .with_save_mode(SaveMode::Ignore)
            .await
            .unwrap();
        Self { store, log_store }
    }

    /// Writes a version as logmill does: the lines of JSON, by one conditional PUT.
    async fn write(&self, version: u64, lines: &[String]) -> object_store::Result<()> {
        let path = Path::from(format!("_delta_log/{version:020}.json"));
        let json = lines.join("\n");
        let put = self
            .store
            .put_opts(&path, json.into(), PutMode::Create.into());
        put.await.map(|_| ())
    }

    async fn load(&self) -> DeltaTable {
        let mut table = DeltaTable::new(Arc::clone(&self.log_store));
        table.load().await.unwrap();
        table
    }

    async fn files(&self) -> Vec<String> {
        let table = self.load().await;
        let snapshot = table.snapshot().unwrap().snapshot();
        let files = snapshot.file_views(&*self.log_store, None);
        let mut files: Vec<String> = files
            .map_ok(|file| file.path().into_owned())
            .try_collect()
            .await
            .unwrap();
        files.sort();
        files
    }

    async fn transaction(&self) -> Option<i64> {
        let table = self.load().await;
        let snapshot = table.snapshot().unwrap().snapshot();
        let version = snapshot.transaction_version(&*self.log_store, APPLICATION);
        version.await.unwrap()
    }

    async fn checkpoint(&self) {
        create_checkpoint(&self.load().await, None).await.unwrap();
    }

    /// Removes every version before the last checkpoint from the log.
    async fn trim(&self) -> usize {
        let version = self.load().await.version().unwrap();
        let cutoff = i64::MAX / 2_000_000;
        cleanup_expired_logs_for(version, &*self.log_store, cutoff, None)
            .await
            .unwrap()
    }

    async fn tombstones(&self) -> Vec<(String, Option<i64>)> {
        let table = self.load().await;
        let tombstones = table.snapshot().unwrap().all_tombstones(&*self.log_store);
        tombstones
            .map_ok(|tombstone| {
                (
                    tombstone.path().into_owned(),
                    tombstone.deletion_timestamp(),
                )
            })
            .try_collect()
            .await
            .unwrap()
    }
}

fn add(path: &str) -> String {
    format!(
        r#"{{"add":{{"path":"{path}","partitionValues":{{"date":"2026-11-20"}},"size":1,"modificationTime":1,"dataChange":true,"stats":"{{\"numRecords\":1}}"}}}}"#
    )
}

fn remove(path: &str, milliseconds: i64) -> String {
    format!(
        r#"{{"remove":{{"path":"{path}","deletionTimestamp":{milliseconds},"dataChange":true,"extendedFileMetadata":true,"partitionValues":{{"date":"2026-11-20"}},"size":1}}}}"#
    )
}

fn txn(version: i64) -> String {
    format!(r#"{{"txn":{{"appId":"{APPLICATION}","version":{version}}}}}"#)
}

fn commit_info() -> String {
    r#"{"commitInfo":{"timestamp":1,"operation":"WRITE","operationParameters":{},"engineInfo":"logmill"}}"#.to_owned()
}

const HOUR: &str = "date=2026-11-20/T10-1.parquet";
const NEXT: &str = "date=2026-11-20/T10-2.parquet";

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as i64
}

/// `delta_log.rs` writes versions by itself.
#[tokio::test]
async fn a_version_is_the_lines_that_were_put() {
    let delta = Delta::create().await;
    delta
        .write(1, &[commit_info(), add(HOUR), txn(7 << 20)])
        .await
        .unwrap();
    assert_eq!(delta.files().await, [HOUR]);
    assert_eq!(delta.transaction().await, Some(7 << 20));
    delta
        .write(
            2,
            &[commit_info(), add(NEXT), remove(HOUR, now()), txn(9 << 20)],
        )
        .await
        .unwrap();
    assert_eq!(delta.files().await, [NEXT]);
    assert_eq!(delta.transaction().await, Some(9 << 20));
    // Packing has no txn of its own.
    delta.write(3, &[commit_info()]).await.unwrap();
    assert_eq!(delta.transaction().await, Some(9 << 20));
    assert_eq!(delta.load().await.version(), Some(3));
}

/// The whole protocol: one of two commits to the same version fails.
#[tokio::test]
async fn a_version_is_written_once() {
    let delta = Delta::create().await;
    delta.write(1, &[commit_info(), add(HOUR)]).await.unwrap();
    let second = delta.write(1, &[commit_info(), add(NEXT)]).await;
    assert!(
        matches!(second, Err(object_store::Error::AlreadyExists { .. })),
        "{second:?}"
    );
    assert_eq!(delta.files().await, [HOUR]);
}

/// Athena reads reader version 1, and no table features.
#[tokio::test]
async fn tables_are_created_with_reader_1_and_writer_2() {
    let delta = Delta::create().await;
    let table = delta.load().await;
    let snapshot = table.snapshot().unwrap().snapshot();
    assert_eq!(snapshot.protocol().min_reader_version(), 1);
    assert_eq!(snapshot.protocol().min_writer_version(), 2);
    delta.write(1, &[commit_info(), add(HOUR)]).await.unwrap();
    delta.checkpoint().await;
    let table = delta.load().await;
    let snapshot = table.snapshot().unwrap().snapshot();
    assert_eq!(snapshot.protocol().min_reader_version(), 1);
    assert_eq!(
        snapshot
            .metadata()
            .configuration()
            .get("logmill.rollup")
            .map(String::as_str),
        Some("SELECT 1")
    );
}

/// The ledger is found by its `txn` however long the log has been, and however much of it has been trimmed.
#[tokio::test]
async fn checkpoints_keep_files_txn_and_young_tombstones() {
    let delta = Delta::create().await;
    let removed = now();
    delta
        .write(1, &[commit_info(), add(HOUR), txn(5)])
        .await
        .unwrap();
    delta
        .write(2, &[commit_info(), add(NEXT), remove(HOUR, removed)])
        .await
        .unwrap();
    delta.checkpoint().await;
    delta.write(3, &[commit_info()]).await.unwrap();
    assert!(delta.trim().await > 0, "versions before the checkpoint go");
    let first = delta
        .store
        .head(&Path::from("_delta_log/00000000000000000001.json"))
        .await;
    assert!(first.is_err());
    assert_eq!(delta.files().await, [NEXT]);
    assert_eq!(delta.transaction().await, Some(5));
    // Vacuum knows by these when a file was replaced.
    assert_eq!(delta.tombstones().await, [(HOUR.to_owned(), Some(removed))]);
}

/// `vacuum.rs` keeps to less than a week because of this.
#[tokio::test]
async fn checkpoints_forget_tombstones_after_a_week() {
    let delta = Delta::create().await;
    let day = 24 * 3_600_000;
    let paths = [
        "date=2026-11-20/T10-6.parquet",
        "date=2026-11-20/T10-8.parquet",
    ];
    delta
        .write(1, &[commit_info(), add(paths[0]), add(paths[1])])
        .await
        .unwrap();
    delta
        .write(
            2,
            &[
                commit_info(),
                remove(paths[0], now() - 6 * day - day / 2),
                remove(paths[1], now() - 8 * day),
            ],
        )
        .await
        .unwrap();
    delta.checkpoint().await;
    let left: Vec<String> = delta
        .tombstones()
        .await
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(left, [paths[0]]);
}

/// Without a checkpoint nothing of the log goes.
#[tokio::test]
async fn a_log_is_not_trimmed_without_a_checkpoint() {
    let delta = Delta::create().await;
    delta.write(1, &[commit_info(), add(HOUR)]).await.unwrap();
    assert_eq!(delta.trim().await, 0);
    assert_eq!(delta.files().await, [HOUR]);
}

/// A PUT that arrives after its version was trimmed succeeds, and is lost: this is why a commit reads back what it has
/// written before it deletes what was staged.
#[tokio::test]
async fn a_version_put_below_a_checkpoint_is_lost() {
    let delta = Delta::create().await;
    for version in 1..=3 {
        delta
            .write(version, &[commit_info(), txn(version as i64)])
            .await
            .unwrap();
    }
    delta.checkpoint().await;
    delta.trim().await;
    delta
        .write(1, &[commit_info(), add(HOUR), txn(99)])
        .await
        .unwrap();
    assert_eq!(delta.load().await.version(), Some(3));
    assert!(delta.files().await.is_empty());
    assert_eq!(delta.transaction().await, Some(3));
}

/// Readers begin at the newest checkpoint, whatever arrives below it: this is why a dropped table keeps its last version, and a table that is
/// made anew goes on after it.
#[tokio::test]
async fn a_checkpoint_put_below_a_checkpoint_is_not_read() {
    let delta = Delta::create().await;
    let log = Path::from("_delta_log");
    delta.write(1, &[commit_info(), add(HOUR)]).await.unwrap();
    delta.checkpoint().await;
    let get = async |name: &str| {
        let found = delta.store.get(&log.clone().join(name)).await.unwrap();
        found.bytes().await.unwrap()
    };
    let first = "00000000000000000001.checkpoint.parquet";
    let late = [
        (first, get(first).await),
        ("_last_checkpoint", get("_last_checkpoint").await),
        (
            "00000000000000000001.json",
            get("00000000000000000001.json").await,
        ),
    ];
    let removed = remove(HOUR, now());
    delta.write(2, &[commit_info(), removed]).await.unwrap();
    delta.checkpoint().await;
    for object in delta
        .store
        .list(Some(&log))
        .try_collect::<Vec<_>>()
        .await
        .unwrap()
    {
        let name = object.location.filename().unwrap();
        if name.starts_with("0000000000000000000") && name < "00000000000000000002" {
            delta.store.delete(&object.location).await.unwrap();
        }
    }
    delta.write(3, &[commit_info(), add(NEXT)]).await.unwrap();
    for (name, bytes) in late {
        let path = log.clone().join(name);
        delta.store.put(&path, bytes.into()).await.unwrap();
        assert_eq!(delta.load().await.version(), Some(3), "{name}");
        assert_eq!(delta.files().await, [NEXT], "{name}");
    }
    // Without the hint, too.
    let hint = log.clone().join("_last_checkpoint");
    delta.store.delete(&hint).await.unwrap();
    assert_eq!(delta.files().await, [NEXT]);
}

/// Two workers may checkpoint the same version.
#[tokio::test]
async fn a_checkpoint_can_be_written_twice() {
    let delta = Delta::create().await;
    delta
        .write(1, &[commit_info(), add(HOUR), txn(5)])
        .await
        .unwrap();
    let table = delta.load().await;
    create_checkpoint(&table, None).await.unwrap();
    // Whether it says so or not, the table is none the worse.
    let _ = create_checkpoint(&table, None).await;
    assert_eq!(delta.files().await, [HOUR]);
    assert_eq!(delta.transaction().await, Some(5));
}

/// In a folder a version is written once too, by whichever of many is first.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_creates_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    for round in 0..50 {
        let path = Path::from(format!("_delta_log/{round}.json"));
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..32 {
            let (store, path) = (Arc::clone(&store), path.clone());
            clients.spawn(async move {
                let text = format!("client {client}");
                let put = store
                    .put_opts(&path, text.clone().into(), PutMode::Create.into())
                    .await;
                put.ok().map(|_| text)
            });
        }
        let winners: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        let read = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(read, winners[0]);
    }
}

/// The lease of a folder is a lock of the operating system because of this.
#[tokio::test]
async fn a_folder_has_no_compare_and_swap() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let path = Path::from("_lease");
    let first = store.put(&path, "1".into()).await.unwrap();
    let update = PutMode::Update(UpdateVersion::from(first));
    let second = store.put_opts(&path, "2".into(), update.into()).await;
    assert!(
        matches!(second, Err(object_store::Error::NotImplemented { .. })),
        "{second:?}"
    );
}

/// A server that answers every request with these bytes, or hangs up if there are none. Returns its address and how
/// many requests there were.
async fn server(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 64 * 1024];
            if connection.read(&mut request).await.unwrap() > 0 {
                counted.fetch_add(1, Ordering::Relaxed);
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (address, requests)
}

async fn put_to_s3(answer: &'static str, mode: PutMode) -> (object_store::Error, usize) {
    let (endpoint, requests) = server(answer).await;
    let store = AmazonS3Builder::new()
        .with_bucket_name("tables")
        .with_region("us-east-1")
        .with_access_key_id("id")
        .with_secret_access_key("secret")
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_retry(RetryConfig {
            max_retries: 2,
            ..RetryConfig::default()
        })
        .build()
        .unwrap();
    let path = Path::from("_delta_log/1.json");
    let put = store.put_opts(&path, "{}".into(), mode.into());
    let error = put.await.unwrap_err();
    (error, requests.load(Ordering::Relaxed))
}

const CONFLICT: &str = "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const PRECONDITION: &str =
    "HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// S3's transient conflict looks like a version that is there: so "already exists" says nothing for sure.
#[tokio::test]
async fn a_conflict_on_create_is_reported_as_already_there() {
    for answer in [CONFLICT, PRECONDITION] {
        let (error, _) = put_to_s3(answer, PutMode::Create).await;
        assert!(
            matches!(error, object_store::Error::AlreadyExists { .. }),
            "{error:?}"
        );
    }
}

/// A create whose answer is lost is sent again behind our back, and then what is already there may be our own: one
/// more reason why "already exists" says nothing.
#[tokio::test]
async fn a_create_without_an_answer_is_sent_again() {
    let (error, requests) = put_to_s3("", PutMode::Create).await;
    assert!(
        matches!(error, object_store::Error::Generic { .. }),
        "{error:?}"
    );
    assert_eq!(requests, 3);
}

/// Who fails to renew a lease has lost it, as far as it knows.
#[tokio::test]
async fn a_replaced_lease_is_a_failed_precondition() {
    let version = UpdateVersion {
        e_tag: Some("\"1\"".to_owned()),
        version: None,
    };
    let (error, _) = put_to_s3(PRECONDITION, PutMode::Update(version)).await;
    assert!(
        matches!(error, object_store::Error::Precondition { .. }),
        "{error:?}"
    );
}
