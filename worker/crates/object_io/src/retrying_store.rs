//! The only layer that retries the requests of an `object_store`. Layers above it treat an error as
//! final. The store's client, below it, sends each request once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};

use crate::{Env, Policy, Retries};

/// Number of objects per delete request.
const DELETED_AT_ONCE: usize = 1000;

/// A store that retries requests while the bucket can't be reached or is overloaded. A folder needs no retries: if its disk
/// refuses a request, it refuses it again.
#[derive(Clone)]
pub struct RetryingStore {
    store: Arc<dyn ObjectStore>,
    /// The same store, if the parts of an upload can be retried.
    parts: Option<Arc<dyn MultipartStore>>,
    env: Arc<dyn Env>,
}

impl RetryingStore {
    /// Retries the requests to `store`. `parts` is the same store, if it can retry each part of an upload.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        parts: Option<Arc<dyn MultipartStore>>,
        env: Arc<dyn Env>,
    ) -> Self {
        Self { store, parts, env }
    }

    fn begin(&self, what: &str, path: Option<&Path>) -> Retries {
        let path = path.map_or("", Path::as_ref);
        Policy::REQUEST.begin_with(format!("{what} {path}"), Some(self.env.unique() as u64))
    }

    /// Waits before the next attempt. Returns whether there is one.
    async fn wait(&self, retries: &mut Retries, error: &Error) -> bool {
        if !is_retryable(error) {
            return false;
        }
        let wait = retries.failed(error);
        if let Some(wait) = wait {
            self.env.sleep(wait).await;
        }
        wait.is_some()
    }

    async fn retry<T, F: Future<Output = Result<T>>>(
        &self,
        what: &str,
        path: &Path,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let mut retries = self.begin(what, Some(path));
        loop {
            match attempt().await {
                Err(error) if self.wait(&mut retries, &error).await => {}
                outcome => return outcome,
            }
        }
    }

    /// Lists the objects after `last`. A listing that breaks off resumes after the last object received.
    fn listing(
        self,
        prefix: Option<Path>,
        mut last: Option<Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = async_stream::try_stream! {
            let mut retries = self.begin("LIST", prefix.as_ref());
            'attempts: loop {
                let mut objects = match &last {
                    Some(last) => self.store.list_with_offset(prefix.as_ref(), last),
                    None => self.store.list(prefix.as_ref()),
                };
                while let Some(object) = objects.next().await {
                    match object {
                        Ok(object) => {
                            last = Some(object.location.clone());
                            yield object;
                        }
                        Err(error) if self.wait(&mut retries, &error).await => continue 'attempts,
                        Err(error) => Err(error)?,
                    }
                }
                return;
            }
        };
        listed.boxed()
    }
}

/// Whether retrying the same request may succeed.
pub fn is_retryable(error: &Error) -> bool {
    matches!(error, Error::Generic { .. })
}

impl fmt::Debug for RetryingStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("RetryingStore")
            .field(&self.store)
            .finish()
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Upload").field(&self.path).finish()
    }
}

impl fmt::Display for RetryingStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(formatter)
    }
}

#[async_trait]
impl ObjectStore for RetryingStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        // A conditional PUT whose answer was lost finds its own object when retried. Callers must expect this in any case.
        let attempt = || self.store.put_opts(path, payload.clone(), options.clone());
        self.retry("PUT", path, attempt).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let Some(parts) = &self.parts else {
            return self.store.put_multipart_opts(path, options).await;
        };
        let begin = || parts.create_multipart(path);
        Ok(Box::new(Upload {
            id: self.retry("PUT", path, begin).await?,
            store: self.clone(),
            parts: Arc::clone(parts),
            path: path.clone(),
            begun: 0,
            done: Arc::default(),
        }))
    }

    /// Reads the whole requested range into memory. It is a part of a file that the caller would hold anyway.
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let attempt = || async {
            let found = self.store.get_opts(path, options.clone()).await?;
            if options.head {
                return Ok(found);
            }
            Ok(in_memory(found).await?.0)
        };
        self.retry("GET", path, attempt).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |paths: Vec<Path>| {
            let store = store.clone();
            async move {
                let mut retries = store.begin("DELETE", paths.first());
                loop {
                    let all = futures::stream::iter(paths.clone().into_iter().map(Ok));
                    let deleted: Vec<Result<Path>> =
                        store.store.delete_stream(all.boxed()).collect().await;
                    let failed = deleted.iter().filter_map(|deleted| deleted.as_ref().err());
                    let again = match failed.into_iter().find(|error| is_retryable(error)) {
                        Some(error) => store.wait(&mut retries, error).await,
                        None => false,
                    };
                    if !again {
                        return futures::stream::iter(deleted);
                    }
                }
            }
        };
        paths
            .try_chunks(DELETED_AT_ONCE)
            .map_err(|error| error.1)
            .and_then(move |paths| delete(paths).map(Ok))
            .try_flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.clone().listing(prefix.cloned(), None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.clone().listing(prefix.cloned(), Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let attempt = || self.store.list_with_delimiter(prefix);
        let root = Path::default();
        self.retry("LIST", prefix.unwrap_or(&root), attempt).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let attempt = || self.store.copy_opts(from, to, options.clone());
        self.retry("COPY", from, attempt).await
    }
}

/// Reads all of an answer. Returns the same answer with its bytes in memory, and the bytes.
///
/// # Errors
///
/// The stream broke.
pub async fn in_memory(found: GetResult) -> Result<(GetResult, Bytes)> {
    let (meta, range, attributes) = (
        found.meta.clone(),
        found.range.clone(),
        found.attributes.clone(),
    );
    let bytes = found.bytes().await?;
    let payload = futures::stream::iter([Ok(bytes.clone())]).boxed();
    let found = GetResult {
        payload: GetResultPayload::Stream(payload),
        meta,
        range,
        attributes,
    };
    Ok((found, bytes))
}

/// An object that is uploaded in parts.
struct Upload {
    store: RetryingStore,
    parts: Arc<dyn MultipartStore>,
    path: Path,
    id: MultipartId,
    /// Number of parts begun.
    begun: usize,
    done: Arc<Mutex<BTreeMap<usize, PartId>>>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, parts) = (self.store.clone(), Arc::clone(&self.parts));
        let (path, id, done) = (self.path.clone(), self.id.clone(), Arc::clone(&self.done));
        let number = self.begun;
        self.begun += 1;
        let put = async move {
            let attempt = || parts.put_part(&path, &id, number, data.clone());
            let part = store.retry("PUT", &path, attempt).await?;
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.insert(number, part);
            Ok(())
        };
        put.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let all: Vec<PartId> = {
            let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            done.values().cloned().collect()
        };
        let attempt = || {
            self.parts
                .complete_multipart(&self.path, &self.id, all.clone())
        };
        self.store.retry("PUT", &self.path, attempt).await
    }

    async fn abort(&mut self) -> Result<()> {
        // Not retried: a lifecycle rule of the bucket removes parts that are left over.
        self.parts.abort_multipart(&self.path, &self.id).await
    }
}
