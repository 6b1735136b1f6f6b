//! Finds log files by listing a bucket once.

use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Error;
use aws_sdk_s3::types::Object;
use logmill_shared::{LogFile, S3Uri};

use super::log_object::{LogObject, ObjectLocation};
use crate::aws::S3Error;

/// Lists the object with this key or, if there is none, everything below the folder of this name. Objects below `except`
/// are left out.
///
/// The prefix is always a whole folder name. S3 would also accept a prefix that ends within a name, but then `AWSLogs/1`
/// would match `AWSLogs/12` too.
///
/// One listing covers everything below the folder, a thousand objects per request. S3 allows or denies it as a whole,
/// whatever a policy says about subfolders. So a listing that fails midway is not the fault of a subfolder: S3 can no
/// longer be reached, and the log files could not be read either.
///
/// # Errors
///
/// If a request fails or nothing exists there. Objects listed before the failure are not returned.
pub(super) async fn list(
    client: &Client,
    place: S3Uri<'_>,
    except: Option<S3Uri<'_>>,
) -> Result<Vec<LogObject>> {
    if place.key != place.folder()
        && let Some(object) = single(client, place).await?
    {
        return Ok(vec![object]);
    }
    let folder = place.folder();
    let except = left_out(place, except);
    let mut pages = client
        .list_objects_v2()
        .bucket(place.bucket)
        .prefix(&folder)
        .into_paginator()
        .send();
    let mut found = Vec::new();
    let mut objects = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| list_error(&error, place))?;
        for object in page.contents.unwrap_or_default() {
            objects += 1;
            let key = object.key.as_deref().unwrap_or_default();
            let left_out = except
                .as_ref()
                .is_some_and(|except| key.starts_with(except));
            if !left_out && !is_folder(&object) {
                found.push(new_found(client, place, &object)?);
            }
        }
    }
    // Most likely a typo, which must not pass as "all counted". A missing path on disk is an error too.
    if objects == 0 && !folder.is_empty() {
        return Err(NothingThere.into());
    }
    Ok(found)
}

/// A location in a bucket at which there is nothing.
#[derive(Debug, thiserror::Error)]
#[error("the bucket has no object and no folder with this name")]
pub(super) struct NothingThere;

/// The prefix of keys to leave out, if `except` is inside `place`.
pub(super) fn left_out(place: S3Uri<'_>, except: Option<S3Uri<'_>>) -> Option<String> {
    except
        .filter(|except| except.is_within(place))
        .map(|except| except.folder())
}

/// The object with exactly this key. It is listed rather than requested by its key, because listing needs the same
/// permission as everything else here. Among the keys that start with this key, the key itself comes first.
pub(super) async fn single(client: &Client, place: S3Uri<'_>) -> Result<Option<LogObject>> {
    let page = client
        .list_objects_v2()
        .bucket(place.bucket)
        .prefix(place.key)
        .max_keys(1)
        .send()
        .await
        .map_err(|error| list_error(&error, place))?;
    let first = page.contents.unwrap_or_default().into_iter().next();
    match first.filter(|object| object.key.as_deref() == Some(place.key)) {
        Some(object) => Ok(Some(new_found(client, place, &object)?)),
        None => Ok(None),
    }
}

/// Whether this is the placeholder object that consoles create to show a folder.
pub(super) fn is_folder(object: &Object) -> bool {
    let key = object.key.as_deref().unwrap_or_default();
    key.ends_with('/') && object.size.unwrap_or_default() == 0
}

pub(super) fn new_found(client: &Client, place: S3Uri<'_>, object: &Object) -> Result<LogObject> {
    let key = object
        .key
        .as_deref()
        .context("the listing has an object without a key")?;
    let field = |name: &str| format!("the listing has no {name} for '{key}'");
    let bytes = object.size.and_then(|size| u64::try_from(size).ok());
    let etag = object.e_tag.as_deref().with_context(|| field("ETag"))?;
    Ok(LogObject {
        log_file: LogFile::in_bucket(place.bucket, key),
        bytes: bytes.with_context(|| field("size"))?,
        // S3 quotes ETags in some responses and not in others.
        etag: etag.trim_matches('"').to_owned(),
        place: ObjectLocation::Object(client.clone()),
    })
}

pub(super) fn list_error(
    error: &SdkError<ListObjectsV2Error, HttpResponse>,
    place: S3Uri<'_>,
) -> S3Error {
    let needs = format!("s3:ListBucket on the bucket '{}'", place.bucket);
    S3Error::new(error, place.bucket, &needs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_s3::{Answer, FakeS3};

    /// A bucket of objects, some of them empty, listed two at a time.
    fn bucket(keys: &'static [(&'static str, u64)]) -> FakeS3 {
        FakeS3::start(move |_, request| {
            let prefix = request.parameter("prefix").unwrap_or_default();
            let after = request.parameter("continuation-token").unwrap_or_default();
            let all: Vec<_> = keys
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix) && **key > *after)
                .collect();
            let page = &all[..all.len().min(2)];
            let contents: String = page
                .iter()
                .map(|(key, size)| {
                    format!(
                        "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;e-{size}&quot;</ETag></Contents>"
                    )
                })
                .collect();
            let next = match page.last() {
                Some((key, _)) if page.len() < all.len() => format!(
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>{key}</NextContinuationToken>"
                ),
                _ => String::new(),
            };
            Answer::new(
                200,
                format!("<ListBucketResult>{contents}{next}</ListBucketResult>"),
            )
        })
    }

    async fn listed(s3: &FakeS3, place: &str, except: &str) -> Result<Vec<LogObject>> {
        let place = S3Uri::parse(place)?.unwrap();
        list(&s3.client, place, S3Uri::parse(except)?).await
    }

    async fn keys(s3: &FakeS3, place: &str, except: &str) -> Vec<String> {
        let found = listed(s3, place, except).await.unwrap();
        let key = |found: LogObject| found.log_file.uri()["s3://logs/".len()..].to_owned();
        found.into_iter().map(key).collect()
    }

    const KEYS: &[(&str, u64)] = &[
        ("a/", 0),
        ("a/1", 1),
        ("a/1/x.log", 2),
        ("a/12/y.log", 3),
        ("a/12/é +%41.log", 4),
        ("a/tables/z.parquet", 5),
        ("b//c.log", 6),
    ];

    #[tokio::test]
    async fn an_object_or_else_a_folder_is_listed() {
        let s3 = bucket(KEYS);
        assert_eq!(keys(&s3, "s3://logs/a/1", "").await, ["a/1"]);
        assert_eq!(keys(&s3, "s3://logs/a/1/", "").await, ["a/1/x.log"]);
        assert_eq!(
            keys(&s3, "s3://logs/a/12", "").await,
            ["a/12/y.log", "a/12/é +%41.log"]
        );
        assert_eq!(keys(&s3, "s3://logs/b", "").await, ["b//c.log"]);
        assert_eq!(keys(&s3, "s3://logs", "").await.len(), KEYS.len() - 1);
        let found = listed(&s3, "s3://logs/a/1", "").await.unwrap().remove(0);
        assert_eq!((found.bytes, found.etag.as_str()), (1, "e-1"));
        assert!(listed(&s3, "s3://logs/a/123", "").await.is_err());
    }

    #[tokio::test]
    async fn the_tables_are_left_out() {
        let s3 = bucket(KEYS);
        let tables = "a/tables/z.parquet".to_owned();
        for except in ["s3://logs/a/tables", "s3://logs/a/tables/"] {
            assert!(!keys(&s3, "s3://logs/a", except).await.contains(&tables));
        }
        for except in ["s3://other/a/tables", "s3://logs/a/tab", "a/tables"] {
            assert!(keys(&s3, "s3://logs", except).await.contains(&tables));
        }
    }

    #[tokio::test]
    async fn refusals_say_what_is_missing() {
        let s3 = FakeS3::start(|_, _| Answer::new(403, "<Error><Code>AccessDenied</Code></Error>"));
        let error = listed(&s3, "s3://logs/a", "").await.unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("need s3:ListBucket on the bucket 'logs'"),
            "{error}"
        );
    }
}
