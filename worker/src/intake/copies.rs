//! Log files under two URIs. A log file is identified by its URI, so a copy in another folder is counted again. AWS never
//! uses a name twice, so two log files of the same name are most likely copies.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use logmill_shared::LogFile;
use serde::Serialize;

/// A log file with the same name as another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Copy {
    /// Its URI.
    pub log_file: String,
    /// The URI of the log file that was seen first.
    pub copy_of: String,
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: a copy of {}", self.log_file, self.copy_of)
    }
}

/// The names seen so far, in about 20 bytes per log file.
#[derive(Debug, Default)]
pub struct SeenNames {
    /// Maps the hash of a name to the index of its folder. Two names collide with a probability of 1 in 2^64.
    names: HashMap<u64, u32>,
    folders: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl SeenNames {
    /// Records a log file. Returns it as a copy if the same name was seen before in another folder.
    pub fn meet(&mut self, log_file: &LogFile) -> Option<Copy> {
        let (folder, name) = folder_and_name(log_file)?;
        let number = match self.numbers.get(folder) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.folders.len()).ok()?;
                self.folders.push(folder.to_owned());
                self.numbers.insert(folder.to_owned(), number);
                number
            }
        };
        let first = *self.names.entry(hash(name)).or_insert(number);
        (first != number)
            .then(|| self.copy(log_file, name, first))
            .flatten()
    }

    /// The log file of this name that was seen before, if it is in another folder.
    pub fn find(&self, log_file: &LogFile) -> Option<LogFile> {
        let (folder, name) = folder_and_name(log_file)?;
        let met = self.folders.get(*self.names.get(&hash(name))? as usize)?;
        (met != folder).then(|| LogFile::new(format!("{met}/{name}")))
    }

    fn copy(&self, log_file: &LogFile, name: &str, first: u32) -> Option<Copy> {
        let folder = self.folders.get(first as usize)?;
        Some(Copy {
            log_file: log_file.uri().to_owned(),
            copy_of: format!("{folder}/{name}"),
        })
    }
}

/// `None` for names that AWS does not give to access logs.
fn folder_and_name(log_file: &LogFile) -> Option<(&str, &str)> {
    log_file.given_name()?;
    log_file.uri().rsplit_once('/')
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_again_in_another_folder_is_told() {
        let name = "1_elasticloadbalancing_r_app.n.0_20261122T1005Z_10.0.0.1_r.log.gz";
        let in_folder = |folder: &str| LogFile::new(format!("s3://logs/{folder}/{name}"));
        let mut names = SeenNames::default();
        assert_eq!(names.meet(&in_folder("a")), None);
        assert_eq!(names.meet(&in_folder("a")), None);
        let copy = names.meet(&in_folder("b/c")).unwrap();
        assert_eq!(copy.log_file, format!("s3://logs/b/c/{name}"));
        assert_eq!(copy.copy_of, format!("s3://logs/a/{name}"));
        assert_eq!(names.find(&in_folder("b")), Some(in_folder("a")));
        assert_eq!(names.find(&in_folder("a")), None);
        for other in ["s3://logs/a/export.log", "s3://logs/b/export.log"] {
            assert_eq!(names.meet(&LogFile::new(other)), None);
        }
    }
}
