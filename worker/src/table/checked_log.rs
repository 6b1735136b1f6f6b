//! Verifies Delta's log: an object is returned exactly as it was written, or not at all. Delta readers take an empty version
//! for one that changes nothing, and a version truncated between two lines for a complete one. Rows would be lost silently.
//!
//! A version has a checksum in its first line. Checkpoints are written by Delta's kernel; on their way to the store they get
//! the same checksums as logmill's own Parquet files.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use logmill_object_io::in_memory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};
use serde_json::{Value, json};

use super::{checksums, delta_log};

/// The key in a version's `commitInfo` with the CRC-32 of the lines that follow it.
const KEY: &str = "logmill";

/// The entry of a version's `commitInfo` with the checksum of the lines that follow it.
pub(super) fn seal(lines: &[u8]) -> (String, Value) {
    (KEY.to_owned(), json!({ "crc32": crc32fast::hash(lines) }))
}

/// An object of the log that differs from what was written.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct DamagedObject {
    what: String,
}

impl From<DamagedObject> for Error {
    fn from(damaged: DamagedObject) -> Self {
        Self::NotSupported {
            source: Box::new(damaged),
        }
    }
}

/// Checks a version's text.
///
/// # Errors
///
/// The text is empty, truncated or changed. If another program wrote the version, or logmill before it added checksums,
/// only truncation within a line can be detected.
pub(super) fn check(text: &[u8]) -> Result<(), DamagedObject> {
    let damaged = |what: &str| Err(DamagedObject { what: what.into() });
    if text.iter().all(u8::is_ascii_whitespace) {
        return damaged("is empty");
    }
    let mut lines = text.split(|&byte| byte == b'\n');
    let first: Option<Value> = lines
        .next()
        .and_then(|first| serde_json::from_slice(first).ok());
    let Some(first) = first else {
        return damaged("is not valid JSON");
    };
    let sealed = first["commitInfo"][KEY]["crc32"].as_u64();
    if let Some(sealed) = sealed {
        let rest = memchr::memchr(b'\n', text).map_or(&[][..], |end| &text[end + 1..]);
        return match u64::from(crc32fast::hash(rest)) == sealed {
            true => Ok(()),
            false => damaged("has changed since it was written, or is cut off"),
        };
    }
    let is_json = |line: &[u8]| line.is_empty() || serde_json::from_slice::<Value>(line).is_ok();
    match lines.all(is_json) {
        true => Ok(()),
        false => damaged("is cut off, or is not valid JSON"),
    }
}

/// Whether this is the path of a version: `_delta_log/<20 digits>.json`.
pub(super) fn is_version(path: &Path) -> bool {
    is_numbered(path, ".json")
}

/// Whether this is the path of a checkpoint of one file: `_delta_log/<20 digits>.checkpoint.parquet`.
pub(super) fn is_checkpoint(path: &Path) -> bool {
    is_numbered(path, ".checkpoint.parquet")
}

fn is_numbered(path: &Path, end: &str) -> bool {
    let mut parts = path.as_ref().rsplit('/');
    let (name, folder) = (parts.next(), parts.next());
    let number = name.and_then(|name| name.strip_suffix(end));
    folder == Some(delta_log::FOLDER)
        && number.is_some_and(|number| {
            number.len() == 20 && number.bytes().all(|digit| digit.is_ascii_digit())
        })
}

/// A store that returns no damaged version or checkpoint, and adds checksums to the checkpoints that are put into it.
#[derive(Debug)]
pub(super) struct CheckedLog {
    store: Arc<dyn ObjectStore>,
    /// Objects that are treated as missing.
    hidden: HashSet<Path>,
    /// The last checkpoint of each log that was checked. It is read in parts, but checked as a whole.
    checked: Mutex<HashMap<String, ObjectMeta>>,
}

impl CheckedLog {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self::without(store, HashSet::new())
    }

    /// A store that hides these objects.
    pub(super) fn without(store: Arc<dyn ObjectStore>, hidden: HashSet<Path>) -> Self {
        Self {
            store,
            hidden,
            checked: Mutex::default(),
        }
    }

    /// Checks a checkpoint, unless this version of the object was checked before.
    async fn check_checkpoint(&self, meta: &ObjectMeta) -> Result<()> {
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = meta.location.as_ref().rsplit_once('/');
        let folder = folder.map_or("", |(folder, _)| folder).to_owned();
        if checked().get(&folder) == Some(meta) {
            return Ok(());
        }
        // Reading a whole object checks it.
        let found = self.get(&meta.location).await?;
        checked().insert(folder, found.meta);
        Ok(())
    }
}

impl fmt::Display for CheckedLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(formatter)
    }
}

#[async_trait]
impl ObjectStore for CheckedLog {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if self.hidden.contains(path) {
            return Err(Error::NotFound {
                path: path.to_string(),
                source: "the object may be damaged, and is not read".into(),
            });
        }
        let is_checkpoint = is_checkpoint(path);
        if options.head || !(is_checkpoint || is_version(path)) {
            return self.store.get_opts(path, options).await;
        }
        let is_part = options.range.is_some();
        let found = self.store.get_opts(path, options).await?;
        if is_part {
            if is_checkpoint {
                self.check_checkpoint(&found.meta).await?;
            }
            return Ok(found);
        }
        let (found, object) = in_memory(found).await?;
        match is_checkpoint {
            true => checksums::check_file(&object).map_err(|error| DamagedObject {
                what: format!("is damaged: {error}"),
            })?,
            false => check(&object)?,
        }
        Ok(found)
    }

    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let payload = match is_checkpoint(path) {
            true => sealed(payload),
            false => payload,
        };
        self.store.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if is_checkpoint(path) {
            return Ok(Box::new(Sealing {
                store: Arc::clone(&self.store),
                path: path.clone(),
                parts: Vec::new(),
            }));
        }
        self.store.put_multipart_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shown(self.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shown(self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.store.list_with_delimiter(prefix).await?;
        let is_shown = |object: &ObjectMeta| !self.hidden.contains(&object.location);
        listed.objects.retain(is_shown);
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

impl CheckedLog {
    fn shown(
        &self,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.hidden.is_empty() {
            return listed;
        }
        let hidden = self.hidden.clone();
        let shown = listed
            .try_filter(move |object| futures::future::ready(!hidden.contains(&object.location)));
        shown.boxed()
    }
}

/// Adds checksums to a checkpoint. One that can't be parsed is left as it is.
fn sealed(payload: PutPayload) -> PutPayload {
    let file = Bytes::from(payload);
    match checksums::with_checksums(&file) {
        Ok(sealed) => sealed.into(),
        Err(error) => {
            tracing::debug!(%error, "no checksums added to a checkpoint, because it cannot be parsed");
            file.into()
        }
    }
}

/// A large checkpoint that is being written. Its parts are collected, then sealed and put as one object.
#[derive(Debug)]
struct Sealing {
    store: Arc<dyn ObjectStore>,
    path: Path,
    parts: Vec<PutPayload>,
}

#[async_trait]
impl MultipartUpload for Sealing {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        self.parts.push(part);
        futures::future::ready(Ok(())).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = std::mem::take(&mut self.parts);
        let whole: PutPayload = parts.into_iter().flatten().collect();
        self.store.put(&self.path, sealed(whole)).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(rest: &str) -> String {
        let (key, seal) = seal(rest.as_bytes());
        let first = json!({ "commitInfo": { "operation": "WRITE", key: seal } });
        format!("{first}\n{rest}")
    }

    #[test]
    fn a_version_is_as_it_was_written_or_damaged() {
        let rest = "{\"add\":{\"path\":\"a\"}}\n{\"txn\":{\"version\":7}}\n";
        let sealed = version(rest);
        assert!(check(sealed.as_bytes()).is_ok());
        for kept in 0..sealed.len() {
            assert!(check(&sealed.as_bytes()[..kept]).is_err(), "{kept}");
        }
        let begin = sealed.len() - rest.len();
        for at in begin..sealed.len() {
            let mut flipped = sealed.clone().into_bytes();
            flipped[at] ^= 1;
            assert!(check(&flipped).is_err(), "{at}");
        }
        // Other programs write no checksum.
        for text in [rest, rest.trim_end()] {
            assert!(check(text.as_bytes()).is_ok());
        }
        for text in ["", "\n", &rest[..rest.len() - 3], "no JSON"] {
            assert!(check(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn versions_are_known_by_their_paths() {
        let is = |path: &str| is_version(&Path::from(path));
        assert!(is("tables/t/_delta_log/00000000000000000007.json"));
        assert!(!is("_delta_log/_last_checkpoint"));
        assert!(!is("_delta_log/00000000000000000007.checkpoint.parquet"));
        assert!(!is("_staging/00000000000000000007.json"));
        let is = |path: &str| is_checkpoint(&Path::from(path));
        assert!(is("t/_delta_log/00000000000000000007.checkpoint.parquet"));
        assert!(!is("t/_delta_log/00000000000000000007.json"));
    }
}
