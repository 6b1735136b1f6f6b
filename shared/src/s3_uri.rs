//! `s3://bucket/key`, with the key exactly as in S3: nothing in it is percent-encoded, and `//`, `..`, `?` and `#` are
//! ordinary characters. URL parsers would change all of these.

use std::fmt;

/// An object, or a prefix of object keys, in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct S3Uri<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// A key or the prefix of keys. Empty for the whole bucket.
    pub key: &'a str,
}

/// An S3 URI without a bucket.
#[derive(Debug, thiserror::Error)]
#[error("the bucket is missing; write s3://bucket/prefix")]
pub struct NoBucket;

impl<'a> S3Uri<'a> {
    /// The beginning of every S3 URI.
    pub const SCHEME: &'static str = "s3://";

    /// Returns `None` if the text is a path instead of an S3 URI.
    ///
    /// # Errors
    ///
    /// The text is an S3 URI without a bucket.
    pub fn parse(text: &'a str) -> Result<Option<Self>, NoBucket> {
        let Some(rest) = text.strip_prefix(Self::SCHEME) else {
            return Ok(None);
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        match bucket {
            "" => Err(NoBucket),
            _ => Ok(Some(Self { bucket, key })),
        }
    }

    /// The key prefix of all objects in this folder.
    pub fn folder(&self) -> String {
        match self.key {
            "" => String::new(),
            key if key.ends_with('/') => key.to_owned(),
            key => format!("{key}/"),
        }
    }

    /// Whether this folder is the folder `other` or lies inside it.
    pub fn is_within(&self, other: S3Uri<'_>) -> bool {
        self.bucket == other.bucket && self.folder().starts_with(&other.folder())
    }
}

impl fmt::Display for S3Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Self::SCHEME, self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(&str, &str)> {
        let uri = S3Uri::parse(text).unwrap();
        uri.map(|uri| (uri.bucket, uri.key))
    }

    #[test]
    fn buckets_and_keys_are_told_apart_and_left_as_they_are() {
        assert_eq!(parse("s3://logs"), Some(("logs", "")));
        assert_eq!(parse("s3://logs/"), Some(("logs", "")));
        assert_eq!(parse("s3://logs/a/b.gz"), Some(("logs", "a/b.gz")));
        assert_eq!(
            parse("s3://logs//a/../é%20 ?#+"),
            Some(("logs", "/a/../é%20 ?#+"))
        );
        assert_eq!(parse("logs/a"), None);
        assert_eq!(parse("/logs/s3://a"), None);
        assert!(S3Uri::parse("s3://").is_err());
        assert!(S3Uri::parse("s3:///key").is_err());
    }

    #[test]
    fn a_folder_ends_in_a_slash() {
        let folder = |text| S3Uri::parse(text).unwrap().unwrap().folder();
        assert_eq!(folder("s3://logs"), "");
        assert_eq!(folder("s3://logs/AWSLogs/1"), "AWSLogs/1/");
        assert_eq!(folder("s3://logs/AWSLogs/1/"), "AWSLogs/1/");
    }
}
