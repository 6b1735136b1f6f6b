//! The files that a rollup looks values up in. A table keeps their content, because it is the result of them too.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::TableError;

/// The folder of the content, in the table's folder. Vacuum does not touch it.
pub(super) const FOLDER: &str = "_lookups";

/// Files read at once: each may have 64 MB.
const READ_AT_ONCE: usize = 2;

/// The hash of each file's content, by the file's name.
pub(crate) type LookupHashes = BTreeMap<String, String>;

/// A file that a rollup looks values up in.
#[derive(Clone, PartialEq)]
pub struct LookupFile {
    /// Its name, such as `countries.csv`.
    pub name: String,
    /// Its content.
    pub content: Bytes,
    /// The SHA-256 of its content, as 64 hexadecimal digits.
    pub hash: String,
}

// The content is up to 64 MB.
impl fmt::Debug for LookupFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.hash)
    }
}

impl LookupFile {
    pub(crate) fn new(name: &str, content: Bytes) -> Self {
        let hash = Sha256::digest(&content);
        Self {
            name: name.to_owned(),
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            content,
        }
    }

    pub(crate) fn hashes(files: &[Self]) -> LookupHashes {
        let files = files.iter();
        files
            .map(|file| (file.name.clone(), file.hash.clone()))
            .collect()
    }
}

/// The object with a file's content. Its name follows from the content, so whoever writes it writes the same.
fn path(name: &str, hash: &str) -> Path {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    Path::from(FOLDER).join(format!("{hash}.{ending}"))
}

/// Writes the content of files into the folder of a table.
pub(super) async fn write(store: &dyn ObjectStore, files: &[LookupFile]) -> Result<(), TableError> {
    for file in files {
        let path = path(&file.name, &file.hash);
        store.put(&path, file.content.clone().into()).await?;
    }
    Ok(())
}

/// Reads the content of files from the folder of a table.
///
/// # Errors
///
/// [`TableError::Damaged`] names an object that is missing or has other content.
pub(super) async fn read(
    store: &dyn ObjectStore,
    hashes: &LookupHashes,
) -> Result<Vec<LookupFile>, TableError> {
    let read = async |(name, hash): (&String, &String)| {
        let path = path(name, hash);
        let content = match store.get(&path).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => Bytes::new(),
            Err(error) => return Err(error.into()),
        };
        let file = LookupFile::new(name, content);
        match file.hash == *hash {
            true => Ok(file),
            false => Err(TableError::Damaged {
                object: path.to_string(),
                what: format!("is the table's copy of {name}, and is missing or has changed"),
            }),
        }
    };
    let files = futures::stream::iter(hashes).map(read);
    files.buffered(READ_AT_ONCE).try_collect().await
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_table_has_its_own_copies_and_notices_damage() {
        let store = InMemory::new();
        let files = [
            LookupFile::new("a.csv", Bytes::from_static(b"x,y\n1,2\n")),
            LookupFile::new("b.parquet", Bytes::from_static(b"PAR1")),
        ];
        // By two workers at once.
        write(&store, &files).await.unwrap();
        write(&store, &files).await.unwrap();
        let hashes = LookupFile::hashes(&files);
        assert_eq!(read(&store, &hashes).await.unwrap(), files);
        let damaged = path("a.csv", &files[0].hash);
        store.put(&damaged, "x,y\n1,3\n".into()).await.unwrap();
        let error = read(&store, &hashes).await.unwrap_err().to_string();
        assert!(error.contains(damaged.as_ref()), "{error}");
        store.delete(&damaged).await.unwrap();
        assert!(read(&store, &hashes).await.is_err());
    }
}
