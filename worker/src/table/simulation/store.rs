//! The object store as one actor sees it. Its requests go to the scheduler, which grants them in the order that the seed
//! determines.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use super::scheduler::{Answer, Object, Operation, Simulation};

/// Number of objects per delete request, as in S3.
const DELETED_AT_ONCE: usize = 1000;

/// The store, for one incarnation of an actor.
pub(super) struct Store {
    pub(super) simulation: Arc<Simulation>,
    pub(super) actor: usize,
    /// The actor's own thread. Requests from other threads come from Delta's kernel.
    pub(super) thread: ThreadId,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the simulated store of actor {}", self.actor)
    }
}

impl Store {
    async fn request(&self, operation: Operation) -> Result<Answer> {
        let is_own = thread::current().id() == self.thread;
        self.simulation.request(self.actor, is_own, operation).await
    }

    async fn get(&self, path: &Path) -> Result<Object> {
        let is_own = thread::current().id() == self.thread;
        if let Some(found) = self.simulation.get_at_once(self.actor, is_own, path) {
            return found;
        }
        match self.request(Operation::Get(path.clone())).await? {
            Answer::Got(object) => Ok(object),
            other => unreachable!("a GET was answered by {other:?}"),
        }
    }

    async fn listed(self: Arc<Self>, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        match self.request(Operation::List(prefix)).await? {
            Answer::Listed(objects) => Ok(objects),
            other => unreachable!("a LIST was answered by {other:?}"),
        }
    }

    fn shared(&self) -> Arc<Self> {
        Arc::new(Self {
            simulation: Arc::clone(&self.simulation),
            actor: self.actor,
            thread: self.thread,
        })
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let operation = Operation::Put {
            path: path.clone(),
            bytes: Bytes::from(payload),
            mode: options.mode,
        };
        match self.request(operation).await? {
            Answer::Put(e_tag) => Ok(PutResult {
                e_tag: Some(e_tag),
                version: None,
            }),
            other => unreachable!("a PUT was answered by {other:?}"),
        }
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "multipart uploads".to_owned(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let object = self.get(path).await?;
        let meta = object.meta(path);
        options.check_preconditions(&meta)?;
        let range = match options.range {
            Some(range) => range.as_range(meta.size).map_err(|source| Error::Generic {
                store: "simulation",
                source: Box::new(source),
            })?,
            None => 0..meta.size,
        };
        let bytes = object.bytes.slice(range.start as usize..range.end as usize);
        let stream = futures::stream::once(futures::future::ready(Ok(bytes)));
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream.boxed()),
            attributes: Default::default(),
            meta,
            range,
        })
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.shared();
        paths
            .try_chunks(DELETED_AT_ONCE)
            .map_err(|error| error.1)
            .and_then(move |paths| {
                let store = Arc::clone(&store);
                async move {
                    store.request(Operation::Delete(paths.clone())).await?;
                    Ok(futures::stream::iter(paths.into_iter().map(Ok)))
                }
            })
            .try_flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.shared().listed(prefix.cloned());
        let objects =
            async { Ok::<_, Error>(futures::stream::iter(listed.await?.into_iter().map(Ok))) };
        futures::stream::once(objects).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let all = self.shared().listed(prefix.cloned()).await?;
        let depth = prefix.map_or(0, |prefix| prefix.parts().count());
        let mut listed = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
        };
        for object in all {
            let parts: Vec<_> = object.location.parts().collect();
            if parts.len() == depth + 1 {
                listed.objects.push(object);
                continue;
            }
            let folder = Path::from_iter(parts.into_iter().take(depth + 1));
            if listed.common_prefixes.last() != Some(&folder) {
                listed.common_prefixes.push(folder);
            }
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, _: CopyOptions) -> Result<()> {
        let object = self.get(from).await?;
        let put = Operation::Put {
            path: to.clone(),
            bytes: object.bytes,
            mode: PutMode::Overwrite,
        };
        self.request(put).await.map(drop)
    }
}
