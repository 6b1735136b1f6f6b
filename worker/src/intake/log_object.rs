//! A log file where it is stored, as a listing finds it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;
use aws_sdk_s3::Client;
use logmill_shared::LogFile;
use tokio::sync::mpsc::Sender;
use url::Url;

use crate::log_file::fetch::{self, Object};

/// A log file that was found, and what can be said of it without reading it.
#[derive(Debug, Clone)]
pub struct LogObject {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its version: an object's ETag without quotes, or a local file's size and time of modification.
    pub etag: String,
    pub(super) place: ObjectLocation,
}

/// Where a log file's bytes are.
#[derive(Debug, Clone)]
pub(super) enum ObjectLocation {
    /// On disk.
    Path(PathBuf),
    /// In S3, under the URI that is its identity.
    Object(Client),
}

/// What a listing comes upon and can't look at: what is in it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotListed {
    /// The file or the folder.
    pub log_file: LogFile,
    /// Why.
    pub reason: String,
}

/// What was found in some places.
#[derive(Debug, Default)]
pub struct Listed {
    /// The log files.
    pub found: Vec<LogObject>,
    /// What is there and could not be looked at.
    pub not_listed: Vec<NotListed>,
}

impl LogObject {
    /// Opens it for reading, from within a Tokio runtime. What is read of an object is the version that was found, or
    /// an error; of a local file it is what is there by now.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.place {
            ObjectLocation::Path(path) => Box::new(File::open(path)?),
            ObjectLocation::Object(client) => Box::new(fetch::open(self.object(client)?)?),
        })
    }

    fn object(&self, client: &Client) -> io::Result<Object> {
        let (bucket, key) = self
            .log_file
            .bucket_and_key()
            .ok_or_else(|| io::Error::other("its URI is not one of S3"))?;
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
            .map_err(|()| io::Error::other("it has no absolute path"))?
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
                _ => format!("can't be listed: {error}"),
            },
        }
    }
}

/// Some of the log files of a listing, a thousand or so.
pub(super) type Page = Vec<LogObject>;

/// Where a listing's pages go.
pub(super) struct Pages(pub(super) Sender<Page>);

impl Pages {
    /// Hands over a page. Fails if nobody wants any more.
    pub(super) async fn send(&self, page: Page) -> anyhow::Result<()> {
        self.0.send(page).await.context("the listing was given up")
    }
}

/// Sorts log files by their URIs, and keeps each once.
pub(super) fn in_order(found: &mut Vec<LogObject>) {
    found.sort_by(|left, right| left.log_file.cmp(&right.log_file));
    found.dedup_by(|left, right| left.log_file == right.log_file);
}
