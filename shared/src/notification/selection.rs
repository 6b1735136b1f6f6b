//! Selects log files by their keys.

use std::fmt;
use std::str::FromStr;

use crate::log_file::LogFile;
use crate::s3_uri::S3Uri;

/// How the keys of log files begin and end, to tell them from the other objects in a bucket. A selection saves work, but
/// [`Allowed`] decides what may be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// A key must begin with one of these. If empty, every key matches.
    pub prefixes: Vec<String>,
    /// A key must end with one of these. If empty, every key matches.
    pub suffixes: Vec<String>,
}

impl Selection {
    /// Whether the log file matches.
    pub fn takes(&self, log_file: &LogFile) -> bool {
        let key = log_file.bucket_and_key().map_or("", |(_, key)| key);
        let among = |parts: &[String], fits: fn(&str, &str) -> bool| {
            parts.is_empty() || parts.iter().any(|part| fits(key, part))
        };
        among(&self.prefixes, |key, prefix| key.starts_with(prefix))
            && among(&self.suffixes, |key, suffix| key.ends_with(suffix))
    }
}

/// A bucket, or a folder in it, from which log files may be read. Without this limit, anyone who can send a message could
/// make a worker read whatever its role can read, into a table that the sender may read.
///
/// ```
/// use logmill_shared::{LogFile, notification::Allowed};
///
/// let allowed: Allowed = "s3://logs/AWSLogs/1".parse()?;
/// assert!(allowed.allows(&LogFile::new("s3://logs/AWSLogs/1/a.log.gz")));
/// assert!(!allowed.allows(&LogFile::new("s3://logs/AWSLogs/12/a.log.gz")));
/// # Ok::<(), logmill_shared::notification::NotAllowable>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    bucket: String,
    /// Empty, or ends with a slash: `AWSLogs/1` must not allow account 12.
    folder: String,
}

/// The text does not name a bucket in S3.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' does not name a bucket; write s3://bucket or s3://bucket/prefix")]
pub struct NotAllowable(String);

impl Allowed {
    /// Whether the log file is in this bucket and folder.
    pub fn allows(&self, log_file: &LogFile) -> bool {
        log_file
            .bucket_and_key()
            .is_some_and(|(bucket, key)| bucket == self.bucket && key.starts_with(&self.folder))
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }
}

impl FromStr for Allowed {
    type Err = NotAllowable;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match S3Uri::parse(text) {
            Ok(Some(uri)) => Ok(Self {
                bucket: uri.bucket.to_owned(),
                folder: uri.folder(),
            }),
            _ => Err(NotAllowable(text.to_owned())),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bucket, key) = (self.bucket.as_str(), self.folder.as_str());
        S3Uri { bucket, key }.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(prefixes: &[&str], suffixes: &[&str]) -> Selection {
        let owned = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect();
        Selection {
            prefixes: owned(prefixes),
            suffixes: owned(suffixes),
        }
    }

    #[test]
    fn keys_are_selected_by_how_they_begin_and_end() {
        let takes = |selection: Selection, key| selection.takes(&LogFile::in_bucket("b", key));
        assert!(takes(selection(&[], &[]), "a"));
        assert!(takes(
            selection(&["x", "alb/"], &[".log.gz", ".log"]),
            "alb/a.log"
        ));
        assert!(!takes(
            selection(&["x", "alb/"], &[".log.gz", ".log"]),
            "alb/a.txt"
        ));
        assert!(!takes(selection(&["alb/"], &[]), "nlb/alb/a.log"));
        // A prefix applies to the key, not to the URI.
        assert!(!takes(selection(&["s3://b/"], &[]), "a"));
    }

    #[test]
    fn a_bucket_or_a_folder_is_allowed_and_nothing_beside_it() {
        let allows = |allowed: &str, uri| {
            allowed
                .parse::<Allowed>()
                .unwrap()
                .allows(&LogFile::new(uri))
        };
        assert!(allows("s3://logs", "s3://logs/a"));
        assert!(allows("s3://logs/", "s3://logs/a"));
        assert!(allows("s3://logs/a/b/", "s3://logs/a/b/c"));
        assert!(!allows("s3://logs", "s3://logs2/a"));
        assert!(!allows("s3://logs", "s3://Logs/a"));
        assert!(!allows("s3://logs/a", "s3://logs/ab"));
        assert!(!allows("s3://logs/a", "s3://logs/b/a/c"));
        assert!(!allows("s3://logs/a", "file:///logs/a/b"));
        // S3 does not resolve `..`: this key is in "a/", and S3 will look for it there.
        assert!(allows("s3://logs/a", "s3://logs/a/../b"));
    }

    #[test]
    fn what_names_no_bucket_is_refused() {
        for text in ["", "logs", "s3://", "s3:///a", "https://logs/a"] {
            let error = text.parse::<Allowed>().unwrap_err().to_string();
            assert!(error.contains("s3://bucket"), "{error}");
        }
        let allowed: Allowed = "s3://logs/a".parse().unwrap();
        assert_eq!(allowed.to_string(), "s3://logs/a/");
        assert_eq!(allowed.bucket(), "logs");
    }
}
