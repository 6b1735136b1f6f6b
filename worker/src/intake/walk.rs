//! Lists the log files of a span of time in a bucket, folder by folder. Folders of other dates are skipped: a bucket with
//! years of logs has millions of objects, and a request lists a thousand.

use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::Object;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use logmill_shared::{LogFile, S3Uri};

use super::bucket::{self, NothingThere};
use super::log_object::{LogObject, NotListed, Page, Pages};
use super::span::{self, Span};
use crate::aws::S3Error;

/// Folders that are listed concurrently. A request takes S3 about a tenth of a second and returns a thousand keys. With
/// eight at once, a reader of ledgers can't keep up.
const FOLDERS_AT_ONCE: usize = 8;

/// A place in a bucket, and which of its log files to list.
pub(super) struct Walk<'a> {
    pub(super) client: &'a Client,
    pub(super) place: S3Uri<'a>,
    pub(super) except: Option<S3Uri<'a>>,
    pub(super) span: Span,
}

/// The contents of a folder besides log files.
struct Listed {
    folders: Vec<String>,
    is_empty: bool,
}

impl Walk<'_> {
    /// Sends the log files of the span to `pages`. When this returns, all were sent, except for those in the returned
    /// folders.
    ///
    /// A folder that a policy does not allow to be listed is returned, and the others are listed. If S3 can't be reached
    /// or rejects the credentials, the whole walk fails: no folder is at fault, and each of the others would wait for the
    /// same failure.
    pub(super) async fn walk(&self, pages: &Pages) -> Result<Vec<NotListed>> {
        let place = self.place;
        if place.key != place.folder()
            && let Some(object) = bucket::single(self.client, place).await?
        {
            // The caller named this object, so its date does not matter.
            pages.send(vec![object]).await?;
            return Ok(Vec::new());
        }
        // The date in the name of the place itself is not checked: the user asked for this folder.
        let root = self.list(place.folder(), pages).await?;
        if root.is_empty && !place.folder().is_empty() {
            return Err(NothingThere.into());
        }
        let mut folders = root.folders;
        let mut not_listed = Vec::new();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < FOLDERS_AT_ONCE
                && let Some(folder) = folders.pop()
            {
                under_way.push(async {
                    let listed = self.list(folder.clone(), pages).await;
                    (folder, listed)
                });
            }
            match under_way.next().await {
                Some((_, Ok(listed))) => folders.extend(listed.folders),
                Some((folder, Err(error))) => not_listed.push(self.refused(&folder, error)?),
                None => return Ok(not_listed),
            }
        }
    }

    /// Describes a folder that may not be listed. Any other error is returned as it is.
    fn refused(&self, folder: &str, error: anyhow::Error) -> Result<NotListed> {
        match error.downcast_ref::<S3Error>() {
            Some(refusal) if refusal.is_denied => Ok(NotListed {
                log_file: LogFile::in_bucket(self.place.bucket, folder),
                reason: format!("cannot be listed: {refusal}"),
            }),
            _ => Err(error),
        }
    }

    /// Lists a folder. A day's folder is listed with everything below it, any other one without its subfolders.
    async fn list(&self, folder: String, pages: &Pages) -> Result<Listed> {
        let except = bucket::left_out(self.place, self.except);
        let is_left_out = |key: &str| {
            except
                .as_ref()
                .is_some_and(|except| key.starts_with(except))
        };
        let mut answers = self
            .client
            .list_objects_v2()
            .bucket(self.place.bucket)
            .prefix(&folder)
            .set_delimiter((!span::is_day(&folder)).then(|| "/".to_owned()))
            .into_paginator()
            .send();
        let mut listed = Listed {
            folders: Vec::new(),
            is_empty: true,
        };
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|error| bucket::list_error(&error, self.place))?;
            let mut page = Page::new();
            for object in answer.contents.unwrap_or_default() {
                listed.is_empty = false;
                if is_left_out(object.key.as_deref().unwrap_or_default())
                    || bucket::is_folder(&object)
                {
                    continue;
                }
                page.extend(self.of_the_span(&object)?);
            }
            if !page.is_empty() {
                pages.send(page).await?;
            }
            let below = answer.common_prefixes.unwrap_or_default();
            for below in below.into_iter().filter_map(|below| below.prefix) {
                listed.is_empty = false;
                if !is_left_out(&below) && self.span.may_be_in(&below) {
                    listed.folders.push(below);
                }
            }
        }
        Ok(listed)
    }

    fn of_the_span(&self, object: &Object) -> Result<Option<LogObject>> {
        let found = bucket::new_found(self.client, self.place, object)?;
        let modified = object.last_modified.and_then(|modified| {
            let milliseconds = modified.to_millis().ok()?;
            DateTime::<Utc>::from_timestamp_millis(milliseconds)
        });
        let modified = modified.with_context(|| {
            format!(
                "the listing has no time of last modification for '{}'",
                found.log_file
            )
        })?;
        let takes = self.span.takes(&found.log_file, modified);
        Ok(takes.then_some(found))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use logmill_shared::chain;

    use super::super::listing::{Listing, ListingError};
    use super::super::span::parse_time;
    use super::*;
    use crate::fake_s3::{Answer, FakeS3};

    /// A bucket, listed three entries at a time.
    fn bucket(mut keys: Vec<String>) -> FakeS3 {
        keys.sort();
        FakeS3::start(move |_, request| {
            let prefix = request.parameter("prefix").unwrap_or_default();
            let after = request.parameter("continuation-token").unwrap_or_default();
            let delimiter = request.parameter("delimiter");
            let entry = |key: &String| {
                let rest = &key[prefix.len()..];
                match rest.find('/').filter(|_| delimiter.is_some()) {
                    Some(end) => format!("{prefix}{}", &rest[..=end]),
                    None => key.clone(),
                }
            };
            let below = keys.iter().filter(|key| key.starts_with(&prefix));
            let all: BTreeSet<String> = below.map(entry).filter(|entry| *entry > after).collect();
            let mut body = String::new();
            for entry in all.iter().take(3) {
                body += &match keys.contains(entry) {
                    true => format!(
                        "<Contents><Key>{entry}</Key><Size>1</Size><ETag>e</ETag>\
                         <LastModified>2026-11-20T10:30:00.000Z</LastModified></Contents>"
                    ),
                    false => format!("<CommonPrefixes><Prefix>{entry}</Prefix></CommonPrefixes>"),
                };
            }
            if let Some(last) = all.iter().nth(2).filter(|_| all.len() > 3) {
                body += &format!(
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
                );
            }
            Answer::new(200, format!("<ListBucketResult>{body}</ListBucketResult>"))
        })
    }

    fn span(from: &str, to: &str) -> Span {
        Span::new(parse_time(from).unwrap(), parse_time(to).unwrap()).unwrap()
    }

    async fn listed(
        s3: &FakeS3,
        place: &str,
        except: &str,
        span: Span,
    ) -> Result<Vec<String>, ListingError> {
        let mut listing = Listing::of_bucket(s3.client.clone(), place, except, span);
        let mut keys = Vec::new();
        while let Some(page) = listing.next().await? {
            let key = |found: &LogObject| found.log_file.uri()["s3://logs/".len()..].to_owned();
            keys.extend(page.iter().map(key));
        }
        keys.sort();
        Ok(keys)
    }

    fn aws_key(account: u32, day: &str, time: &str) -> String {
        format!(
            "p/AWSLogs/{account}/elasticloadbalancing/us-east-2/{day}/{account}_elasticloadbalancing_us-east-2_app.a.1_{time}_r.log.gz"
        )
    }

    /// Two accounts over three years, with log files at noon and before midnight of each day, and some other objects.
    fn years() -> Vec<String> {
        let mut keys = vec![
            "p/note.txt".to_owned(),
            "p/tables/events/x.parquet".to_owned(),
        ];
        for account in [1, 2] {
            for (year, month) in
                (2024..=2026).flat_map(|year| (1..=12).map(move |month| (year, month)))
            {
                for day in 1..=28 {
                    let folder = format!("{year}/{month:02}/{day:02}");
                    let date = folder.replace('/', "");
                    for time in ["1200", "2355"] {
                        keys.push(aws_key(account, &folder, &format!("{date}T{time}Z")));
                    }
                }
            }
        }
        // Delivered a day late and a week late.
        keys.push(aws_key(1, "2026/11/21", "20261120T1205Z"));
        keys.push(aws_key(2, "2026/11/27", "20261120T1210Z"));
        keys
    }

    #[tokio::test]
    async fn other_days_are_not_listed() {
        let s3 = bucket(years());
        let hour = span("2026-11-20T10", "2026-11-20T13");
        let keys = listed(&s3, "s3://logs/p", "s3://logs/p/tables", hour)
            .await
            .unwrap();
        let expected = [
            aws_key(1, "2026/11/20", "20261120T1200Z"),
            aws_key(1, "2026/11/21", "20261120T1205Z"),
            aws_key(2, "2026/11/20", "20261120T1200Z"),
            aws_key(2, "2026/11/27", "20261120T1210Z"),
            "p/note.txt".to_owned(),
        ];
        assert_eq!(keys, expected);

        let asked: BTreeSet<String> = s3
            .requests()
            .iter()
            .filter_map(|request| request.parameter("prefix"))
            .collect();
        let days = asked
            .iter()
            .filter_map(|prefix| prefix.split_once("/us-east-2/2026/11/"));
        let days: Vec<&str> = days
            .map(|(_, day)| day)
            .filter(|day| !day.is_empty())
            .collect();
        let expected: Vec<String> = (19..=27).map(|day| format!("{day}/")).collect();
        assert_eq!(days, [&expected[..], &expected].concat());
        for year in ["/2024/", "/2025/", "/2026/10/", "tables"] {
            assert!(
                !asked.iter().any(|prefix| prefix.contains(year)),
                "{asked:?}"
            );
        }
    }

    #[tokio::test]
    async fn all_is_listed_of_a_span_that_takes_all() {
        let all = years();
        let s3 = bucket(all.clone());
        let keys = listed(&s3, "s3://logs", "", span("2024-01-01", "2027-01-01"))
            .await
            .unwrap();
        assert_eq!(keys.len(), all.len());
    }

    #[tokio::test]
    async fn an_object_and_a_days_folder_may_be_named() {
        let s3 = bucket(years());
        let day = span("2025-05-05", "2025-05-06");
        let key = aws_key(2, "2025/05/05", "20250505T1200Z");
        let keys = listed(&s3, &format!("s3://logs/{key}"), "", day)
            .await
            .unwrap();
        assert_eq!(keys, [key]);
        let folder = "s3://logs/p/AWSLogs/2/elasticloadbalancing/us-east-2/2025/05/05";
        assert_eq!(listed(&s3, folder, "", day).await.unwrap().len(), 2);
        let before = s3.requests().len();
        assert!(
            listed(&s3, folder, "", span("2026-01-01", "2026-01-02"))
                .await
                .unwrap()
                .is_empty()
        );
        assert!(s3.requests().len() <= before + 2);
    }

    #[tokio::test]
    async fn what_is_not_there_or_fails_is_an_error_and_no_end() {
        let s3 = bucket(years());
        let day = span("2025-05-05", "2025-05-06");
        let failed = async |s3: &FakeS3, place: &str| {
            let error = listed(s3, place, "", day).await.unwrap_err();
            chain(&error)
        };
        assert!(
            failed(&s3, "s3://logs/q")
                .await
                .contains(&NothingThere.to_string())
        );

        let s3 = folders(&["a", "b"], "a/", 503);
        let error = failed(&s3, "s3://logs").await;
        assert!(error.contains("S3 returned 503"), "{error}");
        let s3 = folders(&["a", "b"], "", 403);
        let error = failed(&s3, "s3://logs").await;
        assert!(error.contains("need s3:ListBucket"), "{error}");
        let s3 = folders(&["a", "b"], "a/", 400);
        let error = failed(&s3, "s3://logs").await;
        assert!(error.contains("credentials are not accepted"), "{error}");
    }

    /// Folders with one log file each. Listing the folder `broken` returns `status`.
    fn folders(names: &'static [&'static str], broken: &'static str, status: u16) -> FakeS3 {
        FakeS3::start(move |_, request| {
            let prefix = request.parameter("prefix").unwrap_or_default();
            if prefix == broken {
                let code = match status {
                    403 => "AccessDenied",
                    400 => "ExpiredToken",
                    _ => "SlowDown",
                };
                return Answer::new(status, format!("<Error><Code>{code}</Code></Error>"));
            }
            let body = match prefix.as_str() {
                "" => names
                    .iter()
                    .map(|name| {
                        format!("<CommonPrefixes><Prefix>{name}/</Prefix></CommonPrefixes>")
                    })
                    .collect(),
                _ => format!(
                    "<Contents><Key>{prefix}1_20250505T1200Z_r.log</Key><Size>1</Size><ETag>e</ETag>\
                     <LastModified>2025-05-05T12:30:00.000Z</LastModified></Contents>"
                ),
            };
            Answer::new(200, format!("<ListBucketResult>{body}</ListBucketResult>"))
        })
    }

    #[tokio::test]
    async fn a_folder_that_may_not_be_listed_is_named_and_the_others_are_listed() {
        let s3 = folders(&["a", "b", "c"], "b/", 403);
        let day = span("2025-05-05", "2025-05-06");
        let mut listing = Listing::of_bucket(s3.client.clone(), "s3://logs", "", day);
        let mut uris = Vec::new();
        while let Some(page) = listing.next().await.unwrap() {
            uris.extend(page.iter().map(|found| found.log_file.uri().to_owned()));
        }
        uris.sort();
        let expected =
            ["a", "c"].map(|folder| format!("s3://logs/{folder}/1_20250505T1200Z_r.log"));
        assert_eq!(uris, expected);
        let not_listed = listing.not_listed();
        assert_eq!(not_listed.len(), 1, "{not_listed:?}");
        assert_eq!(not_listed[0].log_file.uri(), "s3://logs/b/");
        let reason = &not_listed[0].reason;
        assert!(reason.contains("need s3:ListBucket"), "{reason}");
    }
}
