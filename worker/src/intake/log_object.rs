//! A log file's location and version, as found by a listing.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;
use aws_sdk_s3::Client;
use logmill_shared::LogFile;
use tokio::sync::mpsc::Sender;
use url::Url;

use crate::log_file::fetch::{self, Object};

/// A log file found by a listing, with the facts that are known without reading it.
#[derive(Debug, Clone)]
pub struct LogObject {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its version: an object's ETag without quotes, or a local file's size and modification time.
    pub etag: String,
    pub(super) place: ObjectLocation,
}

/// Where a log file's bytes are.
#[derive(Debug, Clone)]
pub(super) enum ObjectLocation {
    /// On disk.
    Path(PathBuf),
    /// In S3, at the URI that identifies the log file.
    Object(Client),
}

/// A file or folder that a listing could not look into. Its contents are unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotListed {
    /// The file or the folder.
    pub log_file: LogFile,
    /// Why.
    pub reason: String,
}

/// The result of listing some places.
#[derive(Debug, Default)]
pub struct Listed {
    /// The log files.
    pub found: Vec<LogObject>,
    /// Files and folders that exist but could not be looked into.
    pub not_listed: Vec<NotListed>,
}

impl LogObject {
    /// Where it is, as a person would write it: a path or an S3 URI.
    pub(crate) fn given_place(&self) -> String {
        match &self.place {
            ObjectLocation::Path(path) => path.display().to_string(),
            ObjectLocation::Object(_) => self.log_file.uri().to_owned(),
        }
    }

    /// Opens the log file, or a range of its bytes, for reading. Must be called within a Tokio runtime. An S3 object is read
    /// in the version that was found, or reading fails. A local file is read as it is now.
    pub fn open(&self, range: Option<Range<u64>>) -> io::Result<Box<dyn Read + Send>> {
        Ok(match (&self.place, range) {
            (ObjectLocation::Path(path), None) => Box::new(File::open(path)?),
            (ObjectLocation::Path(path), Some(range)) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(range.start))?;
                Box::new(file.take(range.end - range.start))
            }
            (ObjectLocation::Object(client), range) => {
                Box::new(fetch::open(self.object(client)?, range, None)?)
            }
        })
    }

    fn object(&self, client: &Client) -> io::Result<Object> {
        let (bucket, key) = self
            .log_file
            .bucket_and_key()
            .ok_or_else(|| io::Error::other("the URI of the log file is not an S3 URI"))?;
        Ok(Object {
            client: client.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: self.etag.clone(),
            bytes: self.bytes,
        })
    }

    pub(super) fn on_disk(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        let uri = Url::from_file_path(&path)
            .map_err(|()| io::Error::other("the file has no absolute path"))?
            .to_string();
        let modified = metadata
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            log_file: LogFile::new(uri),
            bytes: metadata.len(),
            etag: format!("{}-{}", metadata.len(), modified.as_nanos()),
            place: ObjectLocation::Path(path),
        })
    }
}

impl NotListed {
    pub(super) fn new(path: &Path, error: &io::Error) -> Self {
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        let uri = Url::from_file_path(path).map(String::from);
        Self {
            log_file: LogFile::new(uri.unwrap_or_else(|()| path.display().to_string())),
            reason: match error.kind() {
                io::ErrorKind::NotFound if is_link => {
                    "a symbolic link whose target does not exist".to_owned()
                }
                _ => format!("cannot be listed: {error}"),
            },
        }
    }
}

/// Part of a listing's log files, about a thousand.
pub(super) type Page = Vec<LogObject>;

/// Where a listing's pages go.
pub(super) struct Pages(pub(super) Sender<Page>);

impl Pages {
    /// Sends a page. Fails if the receiver is gone.
    pub(super) async fn send(&self, page: Page) -> anyhow::Result<()> {
        self.0.send(page).await.context("the listing was cancelled")
    }
}

/// Sorts log files by URI and removes duplicates.
pub(crate) fn in_order(found: &mut Vec<LogObject>) {
    found.sort_by(|left, right| left.log_file.cmp(&right.log_file));
    found.dedup_by(|left, right| left.log_file == right.log_file);
}
