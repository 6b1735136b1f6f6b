//! Finds log files by listing once what the command line names: all of them, or those of a span of time.

use std::path::{Path, PathBuf};

use anyhow::Context;
use aws_sdk_s3::Client;
use futures::StreamExt;
use logmill_shared::S3Uri;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

use super::bucket::{self, NothingThere};
use super::folder;
use super::log_object::{Listed, LogObject, NotListed, Page, Pages, in_order};
use super::span::Span;
use super::walk::Walk;
use crate::aws::{self, NoSuchBucket};

/// Log files located at once by their URIs: each takes one request.
const LOCATED_AT_ONCE: usize = 16;

/// A place that can't be listed.
#[derive(Debug, thiserror::Error)]
#[error("{place}: cannot be listed")]
pub struct ListingError {
    place: String,
    source: anyhow::Error,
}

impl ListingError {
    /// Whether there is nothing in this place. Otherwise it may exist.
    pub fn is_gone(&self) -> bool {
        let not_found = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        self.source.is::<NothingThere>()
            || self.source.is::<NoSuchBucket>()
            || self.source.downcast_ref().is_some_and(not_found)
    }
}

/// Lists the log files of all places, sorted by URI and without duplicates. A place is a file or folder path, or an object
/// or folder as `s3://bucket/key`. Folders are listed recursively, except for anything below `except`, which is also a
/// path or a URI.
///
/// # Errors
///
/// If a place does not exist or can't be listed at all.
pub async fn list(places: &[String], except: &str) -> Result<Listed, ListingError> {
    let mut all = Listed::default();
    for place in places {
        let listed = match S3Uri::parse(place) {
            Ok(None) => folder::list(Path::new(place), Path::new(except)).map_err(Into::into),
            Ok(Some(uri)) => objects(uri, except).await,
            Err(error) => Err(error.into()),
        };
        let listed = listed.map_err(|source| ListingError {
            place: place.clone(),
            source,
        })?;
        all.found.extend(listed.found);
        all.not_listed.extend(listed.not_listed);
    }
    in_order(&mut all.found);
    Ok(all)
}

/// Lists log files of which only the URIs are known. Also returns those that can't be listed, each with the reason.
///
/// # Errors
///
/// None of its own: what can't be listed is in the result.
pub async fn locate(
    uris: impl IntoIterator<Item = String>,
    except: &str,
) -> (Listed, Vec<(String, ListingError)>) {
    let located = uris.into_iter().map(async |uri| {
        // On disk the URI is a `file:` URL.
        let url = url::Url::parse(&uri).ok();
        let path = url
            .filter(|url| url.scheme() == "file")
            .and_then(|url| url.to_file_path().ok());
        let place = path.map_or(uri.clone(), |path| path.display().to_string());
        (list(&[place], except).await, uri)
    });
    let located = futures::stream::iter(located).buffered(LOCATED_AT_ONCE);
    let mut all = Listed::default();
    let mut not_found = Vec::new();
    for (located, uri) in located.collect::<Vec<_>>().await {
        match located {
            Ok(each) => {
                all.found.extend(each.found);
                all.not_listed.extend(each.not_listed);
            }
            Err(error) => not_found.push((uri, error)),
        }
    }
    in_order(&mut all.found);
    (all, not_found)
}

/// Log files and tables in the same place. The tables' own files would be read as logs, or the log files would be left out
/// together with the tables' files.
#[derive(Debug, thiserror::Error)]
#[error(
    "{logs}: log files and tables cannot be in the same place, and this is the folder of tables {tables} or is \
     inside it; put the tables into a folder of their own, which may be inside the folder of log files"
)]
pub struct SamePlace {
    logs: String,
    tables: String,
}

/// Refuses log files inside the folder of tables. Tables inside the folder of log files are allowed: they are left out of
/// the listing.
///
/// # Errors
///
/// If the place of the log files is the tables' place or lies inside it.
pub fn refuse_tables_as_logs(logs: &str, tables: &str) -> Result<(), SamePlace> {
    let is_within = match (S3Uri::parse(logs), S3Uri::parse(tables)) {
        (Ok(Some(logs)), Ok(Some(tables))) => logs.is_within(tables),
        (Ok(None), Ok(None)) if !logs.is_empty() && !tables.is_empty() => {
            folder::canonical(Path::new(logs)).starts_with(folder::canonical(Path::new(tables)))
        }
        // The code that uses an invalid place reports it.
        _ => false,
    };
    match is_within {
        true => Err(SamePlace {
            logs: logs.to_owned(),
            tables: tables.to_owned(),
        }),
        false => Ok(()),
    }
}

async fn objects(place: S3Uri<'_>, except: &str) -> anyhow::Result<Listed> {
    let client = aws::known_bucket(place.bucket).await?;
    Ok(Listed {
        found: bucket::list(&client, place, S3Uri::parse(except)?).await?,
        not_listed: Vec::new(),
    })
}

/// Pages that may wait to be consumed. The listing pauses when this many wait.
const PAGES_IN_FLIGHT: usize = 8;

/// The log files of a span of time, listed while they are consumed, because there may be more than fit into memory.
pub struct Listing {
    place: String,
    pages: Receiver<Page>,
    task: JoinHandle<anyhow::Result<Vec<NotListed>>>,
    not_listed: Vec<NotListed>,
}

impl Listing {
    /// Begins to list a place, a path or `s3://bucket/prefix`, without anything below `except`. Of the folders with a date
    /// in their path, only those are listed that may hold log files of the span.
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
            let list = move || folder::list_span(&of, &except, span);
            let Listed { found, not_listed } = tokio::task::spawn_blocking(list).await??;
            pages.send(found).await?;
            Ok(not_listed)
        })
    }

    fn spawn<L>(place: &str, list: impl FnOnce(Pages) -> L) -> Self
    where
        L: Future<Output = anyhow::Result<Vec<NotListed>>> + Send + 'static,
    {
        let (sender, pages) = channel(PAGES_IN_FLIGHT);
        Self {
            place: place.to_owned(),
            pages,
            task: tokio::spawn(list(Pages(sender))),
            not_listed: Vec::new(),
        }
    }

    /// The next log files, or `None` after the last. A listing that stops early returns an error.
    pub async fn next(&mut self) -> Result<Option<Vec<LogObject>>, ListingError> {
        if let Some(page) = self.pages.recv().await {
            return Ok(Some(page));
        }
        let outcome = (&mut self.task).await;
        let outcome = outcome.context("the listing task failed").flatten();
        self.not_listed = outcome.map_err(|source| ListingError {
            place: self.place.clone(),
            source,
        })?;
        Ok(None)
    }

    /// The files and folders that exist but could not be looked into. Call it after the end. Their contents are unknown.
    pub fn not_listed(&mut self) -> Vec<NotListed> {
        std::mem::take(&mut self.not_listed)
    }
}

async fn walk(
    client: &Client,
    place: &str,
    except: &str,
    span: Span,
    pages: &Pages,
) -> anyhow::Result<Vec<NotListed>> {
    let place = S3Uri::parse(place)?.context("not a location in S3; write s3://bucket/prefix")?;
    let except = S3Uri::parse(except)?;
    let walk = Walk {
        client,
        place,
        except,
        span,
    };
    walk.walk(pages).await
}

#[cfg(test)]
mod tests {
    use std::fs;

    use logmill_shared::chain;

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
        let listed = list(&paths, &path("tables")).await.unwrap();
        assert_eq!(listed.not_listed, []);
        let found = listed.found;
        let names: Vec<&str> = found.iter().map(|found| found.log_file.name()).collect();
        assert_eq!(names, ["1%20%C3%A9.log", "2.log"]);
        assert_eq!(found[1].bytes, 7);
        assert!(found[1].etag.starts_with("7-"));
        assert!(list(&[path("missing")], &path("")).await.is_err());
        let error = list(&["s3:///key".to_owned()], "").await.unwrap_err();
        let error = chain(&error);
        assert!(error.contains("the bucket is missing"), "{error}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_can_not_be_looked_at_is_named_and_the_rest_is_listed() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["logs/a/1.log", "tables/x.parquet"] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
        }
        symlink("nowhere", root.join("logs/a/0 dangling")).unwrap();
        symlink(root.join("logs"), root.join("logs/a/up")).unwrap();
        symlink(root.join("tables"), root.join("logs/to tables")).unwrap();
        symlink("../a/1.log", root.join("logs/a/again.log")).unwrap();
        let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
        let is_as_expected = |found: &[LogObject], not_listed: &[NotListed]| {
            let names: Vec<&str> = found.iter().map(|found| found.log_file.name()).collect();
            assert_eq!(names, ["1.log"]);
            assert_eq!(not_listed.len(), 1, "{not_listed:?}");
            assert_eq!(not_listed[0].log_file.name(), "0%20dangling");
            assert_eq!(
                not_listed[0].reason,
                "a symbolic link whose target does not exist"
            );
        };
        let listed = list(&[path("logs")], &path("tables")).await.unwrap();
        is_as_expected(&listed.found, &listed.not_listed);
        let time = |text| parse_time(text).unwrap();
        let span = Span::new(time("2020-01-01"), time("2999-01-01")).unwrap();
        let mut listing = Listing::begin(&path("logs"), &path("tables"), span);
        let page = listing.next().await.unwrap().unwrap();
        assert!(listing.next().await.unwrap().is_none());
        is_as_expected(&page, &listing.not_listed());
    }

    #[test]
    fn tables_need_a_place_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir_all(folder.path().join("logs/tables")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(path("logs"), path("link")).unwrap();
        for (logs, tables, is_refused) in [
            (path("logs"), path("logs"), true),
            (path("logs/../logs/"), path("logs/."), true),
            (path("link"), path("logs"), true),
            (path("logs/tables/by_minute"), path("logs/tables"), true),
            (path("new/logs"), path("new"), true),
            (path("logs"), path("logs/tables"), false),
            (path("logs"), path("logs2"), false),
            (path("logs"), String::new(), false),
            ("s3://b/p".to_owned(), "s3://b/p/".to_owned(), true),
            ("s3://b/p/t".to_owned(), "s3://b/p".to_owned(), true),
            ("s3://b".to_owned(), "s3://b".to_owned(), true),
            ("s3://b/p".to_owned(), "s3://b/p/t".to_owned(), false),
            ("s3://b/pq".to_owned(), "s3://b/p".to_owned(), false),
            ("s3://b/p".to_owned(), "s3://c/p".to_owned(), false),
            ("s3://b/p".to_owned(), path("logs"), false),
        ] {
            let refused = refuse_tables_as_logs(&logs, &tables).is_err();
            assert_eq!(refused, is_refused, "{logs} {tables}");
        }
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
