//! The locations that announced log files may be read from, and the first request for each of them.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use logmill_shared::LogFile;
use logmill_shared::notification::Allowed;

use super::not_staged::NotStaged;
use crate::aws::{self, S3Error, S3ErrorKind};
use crate::log_file::fetch::{self, Object};

/// The locations that log files may be read from. Each bucket has its own client, because buckets may be in different
/// regions.
#[derive(Debug)]
pub struct AllowedLocations {
    allowed: Vec<Allowed>,
    buckets: HashMap<String, Client>,
}

impl AllowedLocations {
    /// Connects to each bucket. Fails if a bucket does not exist or S3 can't be reached. Whether objects may be read is
    /// known only when the first one is read.
    pub async fn open(allowed: Vec<Allowed>) -> Result<Self> {
        let config = aws::sdk_config().await;
        let mut buckets = HashMap::new();
        for place in &allowed {
            let bucket = place.bucket();
            if !buckets.contains_key(bucket) {
                let client = aws::bucket(config, bucket).await;
                let client =
                    client.with_context(|| format!("the location {place} cannot be read"))?;
                buckets.insert(bucket.to_owned(), client);
            }
        }
        Ok(Self { allowed, buckets })
    }

    /// The folder `a` of the bucket `logs`, in a fake S3.
    #[cfg(test)]
    pub(crate) fn fake(client: &Client) -> Self {
        Self {
            allowed: vec!["s3://logs/a".parse().unwrap()],
            buckets: HashMap::from([("logs".to_owned(), client.clone())]),
        }
    }

    /// The number of distinct buckets.
    pub fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// The client, the bucket and the key to read a log file with. Nothing is requested from S3.
    ///
    /// # Errors
    ///
    /// If the location is not allowed.
    pub(crate) fn locate<'a>(
        &'a self,
        log_file: &'a LogFile,
    ) -> Result<(&'a Client, &'a str, &'a str), NotStaged> {
        let located = log_file
            .bucket_and_key()
            .filter(|_| self.allowed.iter().any(|place| place.allows(log_file)))
            .and_then(|(bucket, key)| Some((self.buckets.get(bucket)?, bucket, key)));
        located.ok_or_else(|| {
            NotStaged::rejected(
                "not_allowed",
                "the log file is not in a location that --allow names",
            )
        })
    }

    /// Requests the current version of a log file. Returns the version, and its bytes, which arrive while they are read. The
    /// SDK retries the request; a stream that breaks is resumed by [`fetch::open`].
    ///
    /// # Errors
    ///
    /// If the location is not allowed, or S3 does not return the object.
    pub(crate) async fn look_up(
        &self,
        log_file: &LogFile,
    ) -> Result<(Object, ByteStream), NotStaged> {
        let (client, bucket, key) = self.locate(log_file)?;
        let request = client.get_object().bucket(bucket).key(key);
        let answer = request.send().await.map_err(|error| {
            let error = S3Error::new(&error, bucket, fetch::NEEDS);
            match error.kind {
                S3ErrorKind::NotFound => {
                    NotStaged::by_s3(error.kind, log_file, "the object does not exist")
                }
                kind => NotStaged::by_s3(kind, log_file, error),
            }
        })?;
        let bytes = answer
            .content_length
            .and_then(|bytes| u64::try_from(bytes).ok());
        let (Some(bytes), Some(etag)) = (bytes, answer.e_tag) else {
            let reason = "S3 returned no size or no ETag for the object";
            return Err(NotStaged::by_s3(S3ErrorKind::Unavailable, log_file, reason));
        };
        let object = Object {
            client: client.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: etag.trim_matches('"').to_owned(),
            bytes,
        };
        Ok((object, answer.body))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::fake_s3::{Answer, FakeS3};
    use crate::intake::not_staged::{Dependency, Disposition};

    async fn look_up(s3: &FakeS3, log_file: &LogFile) -> Result<(Object, ByteStream), NotStaged> {
        AllowedLocations::fake(&s3.client).look_up(log_file).await
    }

    fn log_file() -> LogFile {
        LogFile::in_bucket("logs", "a/b.log")
    }

    async fn read(object: &Object, body: Option<ByteStream>) -> Vec<u8> {
        let mut reader = fetch::open(object.clone(), None, body).unwrap();
        let read = move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn one_request_finds_and_reads_a_log_file() {
        for length in [0, 300_000] {
            let sent = vec![7; length];
            let answer = sent.clone();
            let s3 = FakeS3::start(move |_, _| {
                Answer::new(200, answer.clone()).header("ETag", "\"e1\"")
            });
            let (object, body) = look_up(&s3, &log_file()).await.unwrap();
            assert_eq!((object.bytes, &*object.etag), (length as u64, "e1"));
            assert!(read(&object, Some(body)).await == sent);
            let requests = s3.requests();
            assert_eq!(requests.len(), 1);
            assert_eq!(requests[0].method, "GET");
            assert_eq!(requests[0].header("if-match"), None);

            // A second opinion requests the same version again.
            assert!(read(&object, None).await == sent);
            let requests = s3.requests();
            assert_eq!(requests.len(), 2);
            assert_eq!(requests[1].header("if-match"), Some("\"e1\""));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_first_stream_that_breaks_is_resumed_in_the_same_version() {
        let sent: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let answer = sent.clone();
        let s3 = FakeS3::start(move |before, request| {
            let answer = Answer::object(request, &answer).header("ETag", "\"e1\"");
            match before {
                0 => answer.cut(123_457),
                _ => answer,
            }
        });
        let (object, body) = look_up(&s3, &log_file()).await.unwrap();
        assert!(read(&object, Some(body)).await == sent);
        let requests = s3.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1].first_byte(), 123_457);
        assert_eq!(requests[1].header("if-match"), Some("\"e1\""));
    }

    #[tokio::test]
    async fn what_s3_does_not_return_is_classified() {
        let outage = || Disposition::BackOff(Dependency::Bucket("logs".to_owned()));
        for (status, code, name, disposition, says) in [
            (
                404,
                "NoSuchKey",
                "missing",
                Disposition::Retry,
                "the object does not exist",
            ),
            (
                403,
                "InvalidObjectState",
                "archived",
                Disposition::Reject,
                "restore it first",
            ),
            (
                403,
                "AccessDenied",
                "refused",
                outage(),
                "s3:ListBucket on its bucket",
            ),
            (503, "SlowDown", "s3_unavailable", outage(), "SlowDown"),
            // No ETag.
            (200, "", "s3_unavailable", outage(), "no ETag"),
        ] {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let s3 = FakeS3::start(move |_, _| Answer::new(status, body.clone()));
            let error = look_up(&s3, &log_file()).await.unwrap_err();
            assert_eq!((error.name, error.disposition), (name, disposition));
            assert!(error.reason.contains(says), "{}", error.reason);
            assert_eq!(s3.requests().len(), 1);
        }
    }

    #[tokio::test]
    async fn nothing_is_requested_from_elsewhere() {
        let s3 = FakeS3::start(|_, _| Answer::new(200, ""));
        for log_file in [
            LogFile::in_bucket("logs", "b/a.log"),
            LogFile::in_bucket("secrets", "a/b.log"),
        ] {
            let error = look_up(&s3, &log_file).await.unwrap_err();
            assert_eq!(error.name, "not_allowed");
        }
        assert_eq!(s3.requests().len(), 0);
    }
}
