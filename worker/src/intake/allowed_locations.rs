//! The locations that announced log files may be read from, and lookup of the objects there.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use logmill_shared::LogFile;
use logmill_shared::notification::Allowed;

use super::disposition::NotStaged;
use super::log_object::{LogObject, ObjectLocation};
use crate::aws::{self, S3Error, S3ErrorKind};

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

    /// The number of distinct buckets.
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Looks up the current size and version of a log file.
    ///
    /// # Errors
    ///
    /// If the location is not allowed, or the lookup in S3 fails.
    pub async fn look_up(&self, log_file: &LogFile) -> Result<LogObject, NotStaged> {
        let client = log_file
            .bucket_and_key()
            .filter(|_| self.allowed.iter().any(|place| place.allows(log_file)))
            .and_then(|(bucket, key)| Some((self.buckets.get(bucket)?, bucket, key)));
        let Some((client, bucket, key)) = client else {
            return Err(NotStaged::rejected(
                "not_allowed",
                "the log file is not in a location that --allow names",
            ));
        };
        let request = client.head_object().bucket(bucket).key(key);
        let answer = request.send().await.map_err(|error| {
            let needs =
                "s3:GetObject on the object, and s3:ListBucket on its bucket to check whether the object exists";
            let error = S3Error::new(&error, bucket, needs);
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
        match (bytes, answer.e_tag) {
            (Some(bytes), Some(etag)) => Ok(LogObject {
                log_file: log_file.clone(),
                bytes,
                etag: etag.trim_matches('"').to_owned(),
                place: ObjectLocation::Object(client.clone()),
            }),
            _ => {
                let reason = "S3 returned no size or no ETag for the object";
                Err(NotStaged::by_s3(S3ErrorKind::Unavailable, log_file, reason))
            }
        }
    }
}
