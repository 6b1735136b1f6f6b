//! Writes the lines of a test case to log files, like those that a load balancer delivers.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;
use chrono::{DateTime, Utc};
use logmill_gzip::Decoder;
use logmill_shared::LogFile;

use crate::format::{LogFormat, time_of};

/// The log files of a case.
pub(super) struct LogFiles {
    /// Folders of log files. Lines alternate between them: they are counted one after the other, so that rows of the same group are
    /// merged.
    pub(super) folders: Vec<PathBuf>,
    /// The time of the latest line.
    pub(super) latest: DateTime<Utc>,
    /// The line numbers in the case of the lines of each log file, from 1, by the log file's name.
    line_numbers: HashMap<String, Vec<usize>>,
}

/// Number of parts that lines alternate between.
const PARTS: usize = 2;

/// A log file that is being written.
#[derive(Default)]
struct Part {
    text: Vec<u8>,
    line_numbers: Vec<usize>,
    first: DateTime<Utc>,
}

impl LogFiles {
    /// Writes the lines of the file `log` to log files in `folder`. There is one for each day of the lines, in each part.
    /// `None` if no line is a log line of this format.
    ///
    /// # Errors
    ///
    /// The file can't be read, or the log files can't be written.
    pub(super) fn write(log: &Path, format: &LogFormat, folder: &Path) -> Result<Option<Self>> {
        let text = read(log)?;
        let mut parts: BTreeMap<(usize, String), Part> = BTreeMap::new();
        let mut current = None;
        let (mut log_lines, mut latest) = (0, None);
        // Other lines follow the log line before them. Lines at the beginning follow the first log line.
        let mut leading = Vec::new();
        for (number, line) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
            if let Some(time) = time(format, line) {
                let key = (log_lines % PARTS, time.format("%Y/%m/%d").to_string());
                let part = parts.entry(key.clone()).or_default();
                if part.text.is_empty() {
                    part.first = time;
                }
                part.push(number, line);
                current = Some(key);
                latest = latest.max(Some(time));
                log_lines += 1;
            } else {
                leading.push((number, line));
            }
            if let Some(part) = current.as_ref().and_then(|key| parts.get_mut(key)) {
                for (number, line) in leading.drain(..) {
                    part.push(number, line);
                }
            }
        }
        let Some(latest) = latest else {
            return Ok(None);
        };
        let mut files = Self {
            folders: Vec::new(),
            latest,
            line_numbers: HashMap::new(),
        };
        for (
            (part, day),
            Part {
                text,
                line_numbers,
                first,
            },
        ) in parts
        {
            let of_part = folder.join(part.to_string());
            let name = format!("case_{}_{part}.log", first.format("%Y%m%dT%H%MZ"));
            fs::create_dir_all(of_part.join(&day))?;
            fs::write(of_part.join(&day).join(&name), text)?;
            files.line_numbers.insert(name, line_numbers);
            if !files.folders.contains(&of_part) {
                files.folders.push(of_part);
            }
        }
        Ok(Some(files))
    }

    /// The line number in the case of a line of a log file. 0 if it is unknown.
    pub(super) fn line_number(&self, log_file: &str, line_number: i64) -> usize {
        let of_file = self.line_numbers.get(LogFile::new(log_file).name());
        let place = usize::try_from(line_number - 1).ok();
        let number = place.and_then(|place| of_file?.get(place).copied());
        number.unwrap_or_default()
    }
}

impl Part {
    fn push(&mut self, number: usize, line: &[u8]) {
        self.text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            self.text.push(b'\n');
        }
        self.line_numbers.push(number);
    }
}

fn time(format: &LogFormat, line: &[u8]) -> Option<DateTime<Utc>> {
    let line = String::from_utf8_lossy(line);
    let time = time_of(format, line.trim_end_matches(['\r', '\n']))?;
    DateTime::from_timestamp_millis(time)
}

/// The text of a log file, which may be gzipped.
fn read(log: &Path) -> Result<Vec<u8>> {
    let mut file = logmill_gzip::open(File::open(log)?, Decoder::Own, u64::MAX)?;
    let mut text = Vec::new();
    loop {
        file.fill()?;
        let unread = file.unread().len();
        text.extend_from_slice(file.unread());
        file.consume(unread);
        if file.ended() {
            return Ok(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ELB_LOGS;

    fn line(time: &str) -> String {
        format!("{time} shop 192.0.2.1:1 - -1 -1 -1 200 - 1 2 \"GET http://a:80/ HTTP/1.1\"\r\n")
    }

    #[test]
    fn lines_alternate_between_folders_and_keep_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("case.log");
        let days = ["2026-11-20T23:59:00.000000Z", "2026-11-21T00:01:00.000000Z"].map(line);
        let [first, second] = &days;
        let text = format!("torn\n{first}{first}odd\n{second}{first}{second}");
        fs::write(&log, text.trim_end()).unwrap();
        let made = LogFiles::write(&log, &ELB_LOGS, folder.path())
            .unwrap()
            .unwrap();

        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            made.folders,
            ["0", "1"].map(|part| folder.path().join(part))
        );
        let name = "0/2026/11/20/case_20261120T2359Z_0.log";
        assert_eq!(text(name), format!("{first}torn\n"));
        assert_eq!(
            [1, 2, 3].map(|line| made.line_number(name, line)),
            [2, 1, 0]
        );
        let name = "1/2026/11/20/case_20261120T2359Z_1.log";
        assert_eq!(text(name), format!("{first}odd\n{first}"));
        assert_eq!(
            [1, 2, 3].map(|line| made.line_number(name, line)),
            [3, 4, 6]
        );
        let name = "0/2026/11/21/case_20261121T0001Z_0.log";
        assert_eq!(text(name), format!("{second}{}\n", second.trim_end()));
        assert_eq!(made.latest.to_rfc3339(), "2026-11-21T00:01:00+00:00");
    }

    #[test]
    fn a_case_needs_a_log_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("case.log");
        for text in ["", "\n", "not a log line\n"] {
            fs::write(&log, text).unwrap();
            assert!(
                LogFiles::write(&log, &ELB_LOGS, folder.path())
                    .unwrap()
                    .is_none()
            );
        }
    }
}
