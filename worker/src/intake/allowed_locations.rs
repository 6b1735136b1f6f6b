//! The places that announced log files may be read from, and what is there.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use logmill_shared::LogFile;
use logmill_shared::notification::Allowed;

use super::disposition::NotStaged;
use super::log_object::{LogObject, ObjectLocation};
use crate::aws::{self, S3Error, S3ErrorKind};

/// The places that log files may be read from, each bucket with a client of its own: they may be in several regions.
#[derive(Debug)]
pub struct AllowedLocations {
    allowed: Vec<Allowed>,
    buckets: HashMap<String, Client>,
}

impl AllowedLocations {
    /// Fails if there is no such bucket, or S3 can't be asked. Whether its objects may be read shows with the first.
    pub async fn open(allowed: Vec<Allowed>) -> Result<Self> {
        let config = aws::sdk_config().await;
        let mut buckets = HashMap::new();
        for place in &allowed {
            let bucket = place.bucket();
            if !buckets.contains_key(bucket) {
                let client = aws::bucket(config, bucket).await;
                let client = client.with_context(|| format!("{place}: can't be read"))?;
                buckets.insert(bucket.to_owned(), client);
            }
        }
        Ok(Self { allowed, buckets })
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// The log file as it is now.
    ///
    /// # Errors
    ///
    /// If it is not allowed, or S3 does not show it.
    pub async fn look_up(&self, log_file: &LogFile) -> Result<LogObject, NotStaged> {
        let client = log_file
            .bucket_and_key()
            .filter(|_| self.allowed.iter().any(|place| place.allows(log_file)))
            .and_then(|(bucket, key)| Some((self.buckets.get(bucket)?, bucket, key)));
        let Some((client, bucket, key)) = client else {
            return Err(NotStaged::rejected(
                "not_allowed",
                "it is in no place that --allow names",
            ));
        };
        let request = client.head_object().bucket(bucket).key(key);
        let answer = request.send().await.map_err(|error| {
            let needs =
                "s3:GetObject on it, and s3:ListBucket on its bucket to see whether it is there";
            let error = S3Error::new(&error, bucket, needs);
            match error.kind {
                S3ErrorKind::NotFound => {
                    NotStaged::by_s3(error.kind, log_file, "there is no such object")
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
                let reason = "S3 does not tell its size and ETag";
                Err(NotStaged::by_s3(S3ErrorKind::Unavailable, log_file, reason))
            }
        }
    }
}
