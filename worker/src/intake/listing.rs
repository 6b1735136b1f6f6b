//! Log files by listing what the command line names, once.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use aws_sdk_s3::Client;
use logmill_shared::LogFile;
use url::Url;
use walkdir::WalkDir;

use super::bucket;
use super::s3_uri::S3Uri;
use crate::aws;
use crate::log_file::fetch::{self, Object};

/// A log file that was found, and what can be said of it without reading it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its version: an object's ETag without quotes, or a local file's size and time of modification.
    pub etag: String,
    pub(super) place: Place,
}

/// Where a log file's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// On disk.
    Path(PathBuf),
    /// In S3, under the URI that is its identity.
    Object(Client),
}

/// A place that can't be listed.
#[derive(Debug, thiserror::Error)]
#[error("{place}: can't be listed")]
pub struct ListingError {
    place: String,
    source: anyhow::Error,
}

impl Found {
    /// Opens it for reading, from within a Tokio runtime. What is read of an object is the version that was found, or
    /// an error; of a local file it is what is there by now.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.place {
            Place::Path(path) => Box::new(File::open(path)?),
            Place::Object(client) => Box::new(fetch::open(self.object(client)?)?),
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

    fn on_disk(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
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
            place: Place::Path(path),
        })
    }
}

/// Lists places, in the order of their log files' URIs and each log file once: files and folders by their paths, objects
/// and folders of them as `s3://bucket/key`. Folders are taken with all that is below them, but for what is below
/// `except`, which is also a path or a URI.
pub async fn list(places: &[String], except: &str) -> Result<Vec<Found>, ListingError> {
    let mut found = Vec::new();
    for place in places {
        let listed = match S3Uri::parse(place) {
            Ok(None) => folder(Path::new(place), Path::new(except)).map_err(Into::into),
            Ok(Some(uri)) => objects(uri, except).await,
            Err(error) => Err(error.into()),
        };
        found.extend(listed.map_err(|source| ListingError {
            place: place.clone(),
            source,
        })?);
    }
    found.sort_by(|left, right| left.log_file.cmp(&right.log_file));
    found.dedup_by(|left, right| left.log_file == right.log_file);
    Ok(found)
}

async fn objects(place: S3Uri<'_>, except: &str) -> anyhow::Result<Vec<Found>> {
    let client = aws::bucket(aws::sdk_config().await, place.bucket).await?;
    bucket::list(&client, place, S3Uri::parse(except)?).await
}

fn folder(path: &Path, except: &Path) -> io::Result<Vec<Found>> {
    let except = fs::canonicalize(except).unwrap_or_else(|_| except.to_owned());
    // Two paths to one file must be one log file.
    let root = fs::canonicalize(path)?;
    let entries = WalkDir::new(&root).follow_links(true).into_iter();
    let mut found = Vec::new();
    for entry in entries.filter_entry(|entry| entry.path() != except) {
        let entry = entry?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = fs::canonicalize(entry.path())?;
        let metadata = fs::metadata(&path)?;
        found.push(Found::on_disk(path, &metadata)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_listed_once_and_tables_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b/2.log", "a/1 é.log", "tables/x.parquet"] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
        }
        let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
        let paths = [path(""), path("a/../b")];
        let found = list(&paths, &path("tables")).await.unwrap();
        let names: Vec<&str> = found.iter().map(|found| found.log_file.name()).collect();
        assert_eq!(names, ["1%20%C3%A9.log", "2.log"]);
        assert_eq!(found[1].bytes, 7);
        assert!(found[1].etag.starts_with("7-"));
        assert!(list(&[path("missing")], &path("")).await.is_err());
        let error = list(&["s3:///key".to_owned()], "").await.unwrap_err();
        let error = format!("{:#}", anyhow::Error::new(error));
        assert!(error.contains("no bucket in it"), "{error}");
    }
}
