//! What people say about files by their names: which are not for logmill, and how the lines of plain logs are written.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use datafusion::common::utils::datafusion_strsim::levenshtein;
use glob::{MatchOptions, Pattern};
use logmill_shared::{LogFile, S3Uri};
use url::Url;

use crate::format::{FORMATS, LogFormat, PlainLog, PlainShape};
use crate::small_files;

/// The file beside the rollups that lists the files to ignore. Workers and `verify` both read it, so that they agree.
pub const IGNORE_FILE: &str = "ignore.txt";

/// The file beside the rollups that says how the lines of plain logs are written.
pub const PLAIN_FILE: &str = "plain.txt";

/// Names of delimiters, because white space separates the words of [`PLAIN_FILE`].
const DELIMITERS: [(&str, &str); 3] = [("tab", "\t"), ("space", " "), ("comma", ",")];

/// Names that differ in so many letters are most likely meant to be the same.
const NEAR: usize = 2;

/// What people say about files by their names.
#[derive(Debug, Default, Clone)]
pub struct FileRules {
    ignored: Vec<FilePattern>,
    plain: Vec<(FilePattern, PlainLog)>,
}

/// A pattern of files.
///
/// A pattern is a glob (`*`, `?`, `[…]`, and `**` for any folders). Without a slash, it is matched against a file's name.
/// With a slash, it is matched against the end of the path, starting after any slash: `copies/**` matches everything in
/// any folder `copies`, and `s3://bucket/copies/**` everything in that one. A pattern that ends with a slash matches
/// everything below.
#[derive(Debug, Clone)]
enum FilePattern {
    Name(Pattern),
    Path(Pattern),
}

/// `*` does not match a slash.
const WITHIN_A_NAME: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl FileRules {
    /// Combines these patterns of files to ignore with those of the file [`IGNORE_FILE`] in the folder of rollups, and reads
    /// [`PLAIN_FILE`] there. Either file may be missing. The folder is a path or `s3://bucket/prefix`. Both files have one
    /// rule per line; blank lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// If a rule is wrong, or a file exists but can't be read.
    pub async fn load(globs: &[String], rollups: Option<&str>) -> Result<Self> {
        let mut rules = Self::default();
        for glob in globs {
            rules.ignore("--ignore", glob)?;
        }
        let Some(folder) = rollups else {
            return Ok(rules);
        };
        let files = small_files::read(folder, |name| [IGNORE_FILE, PLAIN_FILE].contains(&name))
            .await
            .with_context(|| format!("{folder}: cannot be read"))?;
        for file in &files {
            let file = match file {
                Ok(file) => file,
                Err(unread) => bail!("{}: {:#}", unread.place, unread.source),
            };
            let text = file.text().with_context(|| file.place.clone())?;
            for (line, rule) in (1..).zip(text.lines().map(str::trim)) {
                if rule.is_empty() || rule.starts_with('#') {
                    continue;
                }
                let place = format!("{}:{line}", file.place);
                match file.name == IGNORE_FILE {
                    true => rules.ignore(&place, rule)?,
                    false => rules.add_plain(rule).context(place)?,
                }
            }
        }
        Ok(rules)
    }

    /// Adds a pattern of files to ignore, which is written at this place.
    fn ignore(&mut self, place: &str, pattern: &str) -> Result<()> {
        let compiled = FilePattern::of(pattern);
        self.ignored
            .push(compiled.with_context(|| format!("{place}: invalid pattern '{pattern}'"))?);
        Ok(())
    }

    /// Adds a line of [`PLAIN_FILE`].
    fn add_plain(&mut self, rule: &str) -> Result<()> {
        let mut words = rule.split_whitespace();
        let (Some(pattern), Some(table), Some(delimiter)) =
            (words.next(), words.next(), words.next())
        else {
            bail!(
                "a rule has a pattern, a table, a delimiter and the fields, as in: \
                 s3://logs/plain/** alb_access_logs tab time elb_status_code request_line"
            );
        };
        let compiled = FilePattern::of(pattern);
        let compiled = compiled.with_context(|| format!("invalid pattern '{pattern}'"))?;
        let format = LogFormat::of_table(&table.to_ascii_lowercase()).ok_or_else(|| {
            let tables = FORMATS.map(|format| format.table).join(", ");
            anyhow!("there is no log table '{table}': the tables are {tables}")
        })?;
        let named = DELIMITERS.iter().find(|(name, _)| *name == delimiter);
        let delimiter = match named {
            Some((_, delimiter)) => delimiter,
            None if delimiter.chars().any(char::is_alphanumeric) => bail!(
                "unknown delimiter '{delimiter}': write tab, space, comma, or the characters themselves, such as |"
            ),
            None => delimiter,
        };
        let fields: Vec<String> = words.map(str::to_owned).collect();
        if !fields.iter().any(|name| format.has_field(name)) {
            bail!(
                "no field of {table} is named: write the names of the fields in the order of a line, and - for each field \
                 that is not needed. {table} has {}",
                format.field_names().collect::<Vec<_>>().join(", ")
            );
        }
        if let Some((name, instead)) = fields
            .iter()
            .find_map(|name| Some((name, slip(format, name)?)))
        {
            bail!("{table} has no field '{name}': {instead}");
        }
        let shape = PlainShape {
            delimiter: delimiter.to_owned(),
            fields,
        };
        let log = PlainLog {
            format,
            shape: Arc::new(shape),
        };
        self.plain.push((compiled, log));
        Ok(())
    }

    /// Whether the file is to be ignored.
    pub fn ignores(&self, log_file: &LogFile) -> bool {
        if self.ignored.is_empty() {
            return false;
        }
        let path = path_of(log_file);
        self.ignored.iter().any(|pattern| pattern.matches(&path))
    }

    /// How the lines of the file are written, if it is a plain log. The first rule that matches counts.
    pub fn plain(&self, log_file: &LogFile) -> Option<PlainLog> {
        if self.plain.is_empty() {
            return None;
        }
        let path = path_of(log_file);
        let mut rules = self.plain.iter();
        let rule = rules.find(|(pattern, _)| pattern.matches(&path));
        rule.map(|(_, log)| log.clone())
    }
}

/// What to write in the place of a name, if it is most likely not that of a newer field.
fn slip(format: &LogFormat, name: &str) -> Option<String> {
    if format.has_field(name) || name == "-" {
        return None;
    }
    if format.columns.iter().any(|column| column.name == name) {
        let names: Vec<&str> = format.field_names().collect();
        return Some(format!(
            "that is a column. The fields are {}",
            names.join(", ")
        ));
    }
    let lower = name.to_ascii_lowercase();
    let distance = |field: &&str| levenshtein(field, &lower);
    let nearest = format.field_names().min_by_key(distance)?;
    (distance(&nearest) <= NEAR).then(|| format!("did you mean '{nearest}'?"))
}

impl FilePattern {
    fn of(pattern: &str) -> Result<Self> {
        let path = pattern.strip_prefix(S3Uri::SCHEME).unwrap_or(pattern);
        let path = path.strip_prefix("file://").unwrap_or(path);
        let below = if path.ends_with('/') { "**" } else { "" };
        Ok(match path.contains('/') {
            false => Self::Name(Pattern::new(path)?),
            true => {
                let path = path.trim_start_matches('/');
                let path = path.strip_prefix("**/").unwrap_or(path);
                Self::Path(Pattern::new(&format!("**/{path}{below}"))?)
            }
        })
    }

    fn matches(&self, path: &str) -> bool {
        let (pattern, text) = match self {
            Self::Name(pattern) => (pattern, path.rsplit('/').next().unwrap_or(path)),
            Self::Path(pattern) => (pattern, path),
        };
        pattern.matches_with(text, WITHIN_A_NAME)
    }
}

/// The path of a file, from its bucket or the root folder.
fn path_of(log_file: &LogFile) -> String {
    match log_file.bucket_and_key() {
        Some((bucket, key)) => format!("{bucket}/{key}"),
        // File URIs are percent-encoded, but patterns are written as plain paths.
        None => match Url::parse(log_file.uri()).map(|url| url.to_file_path()) {
            Ok(Ok(path)) => path.to_string_lossy().trim_start_matches('/').to_owned(),
            _ => log_file.uri().to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(pattern: &str) -> FileRules {
        let mut rules = FileRules::default();
        rules.ignore("test", pattern).unwrap();
        rules
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
            let has = ignore(pattern).ignores(&LogFile::new(uri));
            assert_eq!(has, is_matched, "{pattern} {uri}");
        }
        assert!(!FileRules::default().ignores(&LogFile::new("s3://logs/a")));
    }

    #[tokio::test]
    async fn patterns_come_from_the_command_line_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str();
        let load = async |globs: &[&str]| {
            let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
            FileRules::load(&globs, path).await
        };
        let has =
            |rules: &FileRules, name: &str| rules.ignores(&LogFile::new(format!("s3://b/{name}")));
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
            FileRules::load(&["a**".to_owned()], None)
                .await
                .unwrap_err()
        );
        assert!(
            error.starts_with("--ignore: invalid pattern 'a**'"),
            "{error}"
        );
    }
    #[tokio::test]
    async fn plain_logs_are_described_by_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let load = async |text: &str| {
            std::fs::write(folder.path().join(PLAIN_FILE), text).unwrap();
            FileRules::load(&[], folder.path().to_str()).await
        };
        let rules = "# plain logs\n*.tsv ALB_access_logs tab time - new request_line\na/ nlb_tls_logs || time";
        let rules = load(rules).await.unwrap();
        let plain = |name: &str| rules.plain(&LogFile::new(format!("s3://b/{name}")));
        let log = plain("a/b.tsv").unwrap();
        assert_eq!(
            (log.format.table, &*log.shape.delimiter),
            ("alb_access_logs", "\t")
        );
        assert_eq!(log.shape.fields, ["time", "-", "new", "request_line"]);
        let log = plain("a/b").unwrap();
        assert_eq!(
            (log.format.table, &*log.shape.delimiter),
            ("nlb_tls_logs", "||")
        );
        assert_eq!(plain("b"), None);
        for (rule, error) in [
            (
                "*.tsv",
                "a rule has a pattern, a table, a delimiter and the fields",
            ),
            ("a**b alb_access_logs tab time", "invalid pattern 'a**b'"),
            ("*.tsv logs tab time", "there is no log table 'logs'"),
            (
                "*.tsv alb_access_logs tab",
                "no field of alb_access_logs is named",
            ),
            (
                "*.tsv alb_access_logs tab request",
                "type, time, elb, client_port",
            ),
        ] {
            let refused = format!("{:#}", load(&format!("\n{rule}")).await.unwrap_err());
            assert!(
                refused.contains("plain.txt:2: ") && refused.contains(error),
                "{refused}"
            );
        }
    }
}
