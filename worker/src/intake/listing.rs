//! Log files by listing what the command line names, once: all of them, or those of a span of time.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;
use aws_sdk_s3::Client;
use chrono::DateTime;
use logmill_shared::LogFile;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use url::Url;
use walkdir::WalkDir;

use super::bucket;
use super::s3_uri::S3Uri;
use super::span::Span;
use super::walk::Walk;
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
    let files = files(path, except, |_| true)?.into_iter();
    files
        .map(|(path, metadata)| Found::on_disk(path, &metadata))
        .collect()
}

/// The files below a path, but for those below `except` and in folders that are not to be entered.
fn files(
    path: &Path,
    except: &Path,
    enter: impl Fn(&str) -> bool,
) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let except = fs::canonicalize(except).unwrap_or_else(|_| except.to_owned());
    // Two paths to one file must be one log file.
    let root = fs::canonicalize(path)?;
    let entries = WalkDir::new(&root).follow_links(true).into_iter();
    let entries = entries.filter_entry(|entry| {
        let is_root = entry.depth() == 0;
        // A path that is no text says nothing of a date.
        let enter = |path: &Path| path.to_str().is_none_or(&enter);
        entry.path() != except && (is_root || !entry.file_type().is_dir() || enter(entry.path()))
    });
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = fs::canonicalize(entry.path())?;
        let metadata = fs::metadata(&path)?;
        files.push((path, metadata));
    }
    Ok(files)
}

/// Some of the log files of a listing, a thousand or so.
pub(super) type Page = Vec<Found>;

/// Pages that may wait to be taken. The listing goes on meanwhile, and no further.
const PAGES_IN_FLIGHT: usize = 8;

/// Where a listing's pages go.
pub(super) struct Pages(Sender<Page>);

impl Pages {
    /// Hands over a page. Fails if nobody wants any more.
    pub(super) async fn send(&self, page: Page) -> anyhow::Result<()> {
        self.0.send(page).await.context("the listing was given up")
    }
}

/// The log files of a span of time, listed while they are taken: there may be more than fit into memory.
pub struct Listing {
    place: String,
    pages: Receiver<Page>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Listing {
    /// Begins to list a place, a path or `s3://bucket/prefix`, without what is below `except`. Of folders by date only
    /// those are listed that may hold the span.
    pub fn begin(place: &str, except: &str, span: Span) -> Self {
        match S3Uri::parse(place) {
            Ok(None) => Self::of_folder(place, except, span),
            Ok(Some(S3Uri { bucket, .. })) => {
                let bucket = bucket.to_owned();
                let (of, except) = (place.to_owned(), except.to_owned());
                Self::spawn(place, |pages| async move {
                    let client = aws::bucket(aws::sdk_config().await, &bucket).await?;
                    walk(&client, &of, &except, span, &pages).await
                })
            }
            Err(error) => Self::spawn(place, |_| async { Err(error.into()) }),
        }
    }

    /// Begins to list a place in a bucket.
    #[cfg(test)]
    pub(super) fn of_bucket(client: Client, place: &str, except: &str, span: Span) -> Self {
        let (of, except) = (place.to_owned(), except.to_owned());
        Self::spawn(place, |pages| async move {
            walk(&client, &of, &except, span, &pages).await
        })
    }

    fn of_folder(place: &str, except: &str, span: Span) -> Self {
        let (of, except) = (PathBuf::from(place), PathBuf::from(except));
        Self::spawn(place, |pages| async move {
            let list = move || folder_in_span(&of, &except, span);
            pages.send(tokio::task::spawn_blocking(list).await??).await
        })
    }

    fn spawn<L>(place: &str, list: impl FnOnce(Pages) -> L) -> Self
    where
        L: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (sender, pages) = channel(PAGES_IN_FLIGHT);
        Self {
            place: place.to_owned(),
            pages,
            task: tokio::spawn(list(Pages(sender))),
        }
    }

    /// The next log files. `None` says that all were listed; whatever ends the listing before is an error.
    pub async fn next(&mut self) -> Result<Option<Vec<Found>>, ListingError> {
        if let Some(page) = self.pages.recv().await {
            return Ok(Some(page));
        }
        let outcome = (&mut self.task).await;
        let outcome = outcome.context("the listing has stopped").flatten();
        outcome.map(|()| None).map_err(|source| ListingError {
            place: self.place.clone(),
            source,
        })
    }
}

async fn walk(
    client: &Client,
    place: &str,
    except: &str,
    span: Span,
    pages: &Pages,
) -> anyhow::Result<()> {
    let place = S3Uri::parse(place)?.context("it is no place in S3")?;
    let except = S3Uri::parse(except)?;
    let walk = Walk {
        client,
        place,
        except,
        span,
    };
    walk.walk(pages).await
}

fn folder_in_span(path: &Path, except: &Path, span: Span) -> anyhow::Result<Page> {
    let mut found = Vec::new();
    for (path, metadata) in files(path, except, |folder| span.may_be_in(folder))? {
        let modified = DateTime::from(metadata.modified()?);
        let file = Found::on_disk(path, &metadata)?;
        if span.takes(&file.log_file, modified) {
            found.push(file);
        }
    }
    found.sort_by(|left, right| left.log_file.cmp(&right.log_file));
    found.dedup_by(|left, right| left.log_file == right.log_file);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::span::parse_time;

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

    #[tokio::test]
    async fn files_of_a_span_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in [
            "2026/11/20/1_20261120T1000Z_r.log",
            "2026/11/20/1_20261120T1100Z_r.log",
            "2026/10/20/1_20261120T1000Z_elsewhere.log",
            "tables/1_20261120T1000Z_r.log",
            "of today.log",
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
        }
        let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
        let time = |text| parse_time(text).unwrap();
        let span = Span::new(time("2026-11-20T10"), time("2026-11-20T11")).unwrap();
        let mut listing = Listing::begin(&path(""), &path("tables"), span);
        let page = listing.next().await.unwrap().unwrap();
        let names: Vec<&str> = page.iter().map(|found| found.log_file.name()).collect();
        assert_eq!(names, ["1_20261120T1000Z_r.log"]);
        assert!(listing.next().await.unwrap().is_none());
        let missing = Listing::begin(&path("missing"), "", span).next().await;
        assert!(missing.is_err());
    }
}
