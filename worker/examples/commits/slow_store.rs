//! A store in memory that takes as long as S3, and counts what S3 would bill.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::sleep;

/// Objects that S3 lists, or deletes, by one request.
const PER_REQUEST: usize = 1000;

/// How long a request takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latency {
    pub get: Duration,
    pub put: Duration,
    pub list: Duration,
}

/// Requests so far.
#[derive(Debug, Default)]
pub struct Requests {
    pub get: AtomicU64,
    pub put: AtomicU64,
    pub list: AtomicU64,
    pub delete: AtomicU64,
}

#[derive(Debug, Clone)]
pub struct SlowStore {
    inner: Arc<InMemory>,
    latency: Latency,
    pub requests: Arc<Requests>,
}

impl SlowStore {
    pub fn new(latency: Latency) -> Self {
        Self {
            inner: Arc::default(),
            latency,
            requests: Arc::default(),
        }
    }

    fn listed(
        &self,
        found: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (requests, latency) = (Arc::clone(&self.requests), self.latency.list);
        let all = async move {
            let found: Vec<_> = found.collect().await;
            // That there is nothing takes a request too.
            let pages = found.len().div_ceil(PER_REQUEST).max(1);
            requests.list.fetch_add(pages as u64, Ordering::Relaxed);
            sleep(latency * pages as u32).await;
            futures::stream::iter(found)
        };
        futures::stream::once(all).flatten().boxed()
    }
}

fn count(requests: &AtomicU64) {
    requests.fetch_add(1, Ordering::Relaxed);
}

impl fmt::Display for SlowStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a slow store")
    }
}

#[async_trait]
impl ObjectStore for SlowStore {
    async fn put_opts(
        &self,
        path: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        count(&self.requests.put);
        sleep(self.latency.put).await;
        self.inner.put_opts(path, bytes, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        // To begin and to complete it. Its parts, of 10 MB, are few beside.
        self.requests.put.fetch_add(2, Ordering::Relaxed);
        sleep(self.latency.put * 2).await;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        count(&self.requests.get);
        sleep(self.latency.get).await;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = paths.try_chunks(PER_REQUEST).then(move |paths| {
            let store = store.clone();
            async move {
                let paths = paths.map_err(|error| error.1)?;
                count(&store.requests.delete);
                sleep(store.latency.put).await;
                let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
                Ok::<_, object_store::Error>(store.inner.delete_stream(paths))
            }
        });
        deleted.try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        count(&self.requests.list);
        sleep(self.latency.list).await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
