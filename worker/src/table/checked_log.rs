//! Delta's log as it was written, or not at all. Readers of Delta tables take an empty version for one that changes nothing, and a
//! version that was cut off between two lines for all that there was: rows would be gone without a word.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde_json::{Value, json};

use super::retrying::whole;

/// The key in a version's `commitInfo` that has the CRC-32 of the lines that follow it.
const KEY: &str = "logmill";

/// What a version's `commitInfo` says of the lines that follow it.
pub(super) fn seal(lines: &[u8]) -> (String, Value) {
    (KEY.to_owned(), json!({ "crc32": crc32fast::hash(lines) }))
}

/// A version of the log that is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct DamagedVersion {
    what: &'static str,
}

/// Checks a version's text.
///
/// # Errors
///
/// It is empty, cut off or changed. Of versions that others have written, or logmill before it sealed them, only an end that is
/// missing in the middle of a line can be seen.
pub(super) fn check(text: &[u8]) -> Result<(), DamagedVersion> {
    let damaged = |what| Err(DamagedVersion { what });
    if text.iter().all(u8::is_ascii_whitespace) {
        return damaged("is empty");
    }
    let mut lines = text.split(|&byte| byte == b'\n');
    let first: Option<Value> = lines
        .next()
        .and_then(|first| serde_json::from_slice(first).ok());
    let Some(first) = first else {
        return damaged("is not the JSON that was written");
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
        false => damaged("is cut off, or is not the JSON that was written"),
    }
}

/// Whether this is the path of a version: `_delta_log/<20 digits>.json`.
pub(super) fn is_version(path: &Path) -> bool {
    let mut parts = path.as_ref().rsplit('/');
    let (name, folder) = (parts.next(), parts.next());
    let number = name.and_then(|name| name.strip_suffix(".json"));
    folder == Some("_delta_log")
        && number.is_some_and(|number| {
            number.len() == 20 && number.bytes().all(|digit| digit.is_ascii_digit())
        })
}

/// A store that gives out no damaged version.
#[derive(Debug)]
pub(super) struct CheckedLog {
    store: Arc<dyn ObjectStore>,
}

impl CheckedLog {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
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
        if options.head || options.range.is_some() || !is_version(path) {
            return self.store.get_opts(path, options).await;
        }
        let found = self.store.get_opts(path, options).await?;
        let (meta, range, attributes) = (
            found.meta.clone(),
            found.range.clone(),
            found.attributes.clone(),
        );
        let text: Bytes = found.bytes().await?;
        check(&text).map_err(|damaged| Error::NotSupported {
            source: Box::new(damaged),
        })?;
        Ok(GetResult {
            payload: whole(text),
            meta,
            range,
            attributes,
        })
    }

    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
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
        // Others seal nothing.
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
    }
}
