//! Ignores files by name, because a person has said that they are not for logmill.

use anyhow::{Context, Result, bail};
use glob::{MatchOptions, Pattern};
use logmill_shared::{LogFile, S3Uri};
use url::Url;

use crate::small_files;

/// The file beside the rollups that lists the files to ignore. Workers and `verify` both read it, so that they agree.
pub const IGNORE_FILE: &str = "ignore.txt";

/// Patterns of files to ignore.
///
/// A pattern is a glob (`*`, `?`, `[…]`, and `**` for any folders). Without a slash, it is matched against a file's name.
/// With a slash, it is matched against the end of the path, starting after any slash: `copies/**` matches everything in
/// any folder `copies`, and `s3://bucket/copies/**` everything in that one. A pattern that ends with a slash matches
/// everything below.
#[derive(Debug, Default, Clone)]
pub struct Ignore {
    names: Vec<Pattern>,
    paths: Vec<Pattern>,
}

/// `*` does not match a slash.
const WITHIN_A_NAME: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Ignore {
    /// Combines these patterns with those of the file [`IGNORE_FILE`] in the folder of rollups, if the file exists. The
    /// folder is a path or `s3://bucket/prefix`. The file has one pattern per line; blank lines and lines that begin with
    /// `#` are skipped.
    ///
    /// # Errors
    ///
    /// If a pattern is not a valid glob, or the file exists but can't be read.
    pub async fn load(globs: &[String], rollups: Option<&str>) -> Result<Self> {
        let mut patterns: Vec<(String, &str)> = Vec::new();
        for glob in globs {
            patterns.push(("--ignore".to_owned(), glob));
        }
        let files = match rollups {
            Some(folder) => small_files::read(folder, |name| name == IGNORE_FILE)
                .await
                .with_context(|| format!("{folder}: cannot be read"))?,
            None => Vec::new(),
        };
        for file in &files {
            let file = match file {
                Ok(file) => file,
                Err(unread) => bail!("{}: {:#}", unread.place, unread.source),
            };
            let place = &file.place;
            let text = file.text().with_context(|| place.clone())?;
            for (line, glob) in (1..).zip(text.lines().map(str::trim)) {
                if !glob.is_empty() && !glob.starts_with('#') {
                    patterns.push((format!("{place}:{line}"), glob));
                }
            }
        }
        Self::of(&patterns)
    }

    /// Compiles patterns, each given with the place where it is written.
    fn of(patterns: &[(String, &str)]) -> Result<Self> {
        let mut ignore = Self::default();
        for (place, pattern) in patterns {
            let path = pattern.strip_prefix(S3Uri::SCHEME).unwrap_or(pattern);
            let path = path.strip_prefix("file://").unwrap_or(path);
            let below = if path.ends_with('/') { "**" } else { "" };
            let (set, glob) = match path.contains('/') {
                false => (&mut ignore.names, path.to_owned()),
                true => {
                    let path = path.trim_start_matches('/');
                    let path = path.strip_prefix("**/").unwrap_or(path);
                    (&mut ignore.paths, format!("**/{path}{below}"))
                }
            };
            let glob = Pattern::new(&glob);
            set.push(glob.with_context(|| format!("{place}: invalid pattern '{pattern}'"))?);
        }
        Ok(ignore)
    }

    /// Whether the file is to be ignored.
    pub fn has(&self, log_file: &LogFile) -> bool {
        if self.names.is_empty() && self.paths.is_empty() {
            return false;
        }
        let path = match log_file.bucket_and_key() {
            Some((bucket, key)) => format!("{bucket}/{key}"),
            // File URIs are percent-encoded, but patterns are written as plain paths.
            None => match Url::parse(log_file.uri()).map(|url| url.to_file_path()) {
                Ok(Ok(path)) => path.to_string_lossy().trim_start_matches('/').to_owned(),
                _ => log_file.uri().to_owned(),
            },
        };
        let name = path.rsplit('/').next().unwrap_or(&path);
        let any = |patterns: &[Pattern], text: &str| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| pattern.matches_with(text, WITHIN_A_NAME))
        };
        any(&self.names, name) || any(&self.paths, &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(patterns: &[&str]) -> Ignore {
        let patterns: Vec<_> = patterns
            .iter()
            .map(|pattern| ("test".to_owned(), *pattern))
            .collect();
        Ignore::of(&patterns).unwrap()
    }

    #[test]
    fn names_and_ends_of_paths_are_matched() {
        for (pattern, uri, is_matched) in [
            ("*.txt", "s3://logs/a/b/notes.txt", true),
            ("*.txt", "s3://logs/a.txt/b", false),
            ("notes.*", "file:///logs/a%20b/notes.txt", true),
            ("a b/*", "file:///logs/a%20b/notes.txt", true),
            ("b/*.txt", "s3://logs/a/b/notes.txt", true),
            ("b/*.txt", "s3://logs/ab/notes.txt", false),
            ("a/*", "s3://logs/a/b/notes.txt", false),
            ("a/**", "s3://logs/a/b/notes.txt", true),
            ("a/", "s3://logs/a/b/notes.txt", true),
            ("s3://logs/a/**", "s3://logs/a/b/notes.txt", true),
            ("s3://logs/a/**", "s3://other/x/a/b/notes.txt", false),
            ("/logs/*.txt", "file:///logs/notes.txt", true),
            ("[ab]?.log", "s3://logs/b1.log", true),
            ("**/notes.txt", "s3://logs/a/b/notes.txt", true),
        ] {
            let has = ignore(&[pattern]).has(&LogFile::new(uri));
            assert_eq!(has, is_matched, "{pattern} {uri}");
        }
        assert!(!Ignore::default().has(&LogFile::new("s3://logs/a")));
    }

    #[tokio::test]
    async fn patterns_come_from_the_command_line_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str();
        let load = async |globs: &[&str]| {
            let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
            Ignore::load(&globs, path).await
        };
        let has = |ignore: &Ignore, name: &str| ignore.has(&LogFile::new(format!("s3://b/{name}")));
        assert!(!has(&load(&[]).await.unwrap(), "a.txt"));
        std::fs::write(folder.path().join(IGNORE_FILE), "# notes\n\n  *.txt  \n").unwrap();
        let loaded = load(&["*.md"]).await.unwrap();
        assert!(has(&loaded, "a.txt") && has(&loaded, "a.md") && !has(&loaded, "# notes"));
        std::fs::write(folder.path().join(IGNORE_FILE), "*.txt\n[\n").unwrap();
        let error = format!("{:#}", load(&[]).await.unwrap_err());
        assert!(
            error.contains("ignore.txt:2: invalid pattern '['"),
            "{error}"
        );
        let error = format!(
            "{:#}",
            Ignore::load(&["a**".to_owned()], None).await.unwrap_err()
        );
        assert!(
            error.starts_with("--ignore: invalid pattern 'a**'"),
            "{error}"
        );
    }
}
