//! Log files by listing a folder, once.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use logmill_shared::LogFile;
use url::Url;
use walkdir::WalkDir;

/// A log file that was found, and what can be said of it without reading it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its version: size and time of modification.
    pub etag: String,
    path: PathBuf,
}

/// A path that can't be listed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: can't be listed")]
pub struct ListingError {
    path: PathBuf,
    source: io::Error,
}

impl Found {
    /// Opens it for reading.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    fn new(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        let uri = Url::from_file_path(&path)
            .map_err(|()| io::Error::other("it has no absolute path"))?
            .to_string();
        let modified = metadata
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            log_file: LogFile::new(uri),
            bytes: metadata.len(),
            etag: format!("{}-{}", metadata.len(), modified.as_nanos()),
            path,
        })
    }
}

/// Lists files, and folders with all that is below them, in the order of their paths and each once.
/// What is below `except` is left out.
pub fn list(paths: &[PathBuf], except: &Path) -> Result<Vec<Found>, ListingError> {
    let except = fs::canonicalize(except).unwrap_or_else(|_| except.to_owned());
    let mut found = Vec::new();
    for path in paths {
        let error = |source| ListingError {
            path: path.clone(),
            source,
        };
        // Two paths to one file must be one log file.
        let root = fs::canonicalize(path).map_err(error)?;
        let entries = WalkDir::new(&root)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter();
        for entry in entries.filter_entry(|entry| entry.path() != except) {
            let entry = entry.map_err(|source| error(source.into()))?;
            if !entry.file_type().is_file() {
                continue;
            }
            let path = fs::canonicalize(entry.path()).map_err(error)?;
            let metadata = fs::metadata(&path).map_err(error)?;
            found.push(Found::new(path, &metadata).map_err(error)?);
        }
    }
    found.sort_by(|left, right| left.log_file.cmp(&right.log_file));
    found.dedup_by(|left, right| left.log_file == right.log_file);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_once_and_tables_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b/2.log", "a/1 é.log", "tables/x.parquet"] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
        }
        let paths = [root.to_owned(), root.join("a/../b")];
        let found = list(&paths, &root.join("tables")).unwrap();
        let names: Vec<&str> = found.iter().map(|found| found.log_file.name()).collect();
        assert_eq!(names, ["1%20%C3%A9.log", "2.log"]);
        assert_eq!(found[1].bytes, 7);
        assert!(found[1].etag.starts_with("7-"));
        assert!(list(&[root.join("missing")], root).is_err());
    }
}
