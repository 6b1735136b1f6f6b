//! A store in a folder whose acknowledged writes survive a power failure. `object_store`'s own file store leaves it to the
//! operating system when data reaches the disk.
//!
//! 1. A file is written under a temporary name, `<name>#<number>`, which listings do not show.
//! 2. The file is synced. Otherwise its name could survive a power failure without its content.
//! 3. The file is renamed. It appears as a whole or not at all.
//! 4. Its folder is synced. Otherwise its name could be lost.
//!
//! Deletions are not synced: a file that reappears after a power failure was no longer needed.

use std::collections::HashSet;
use std::fmt::{self, Debug, Display};
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};
use tempfile::NamedTempFile;

/// Makes files and folders durable.
trait SyncToDisk: Debug + Send + Sync {
    /// Returns once this file, or the names in this folder, are on the disk.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;
}

/// The real disk.
#[derive(Debug)]
struct Disk;

impl SyncToDisk for Disk {
    fn sync(&self, file: &File, _: &Path) -> io::Result<()> {
        file.sync_all()
    }
}

/// The store. Locations are paths from the root of the disk, as in [`LocalFileSystem`].
#[derive(Debug)]
pub struct DurableFolder {
    files: LocalFileSystem,
    writer: Arc<Writer>,
}

impl DurableFolder {
    /// A store for the files below this folder, which must exist.
    pub fn new(root: &Path) -> Self {
        Self::with_sync(root, Arc::new(Disk))
    }

    fn with_sync(root: &Path, sync: Arc<dyn SyncToDisk>) -> Self {
        Self {
            files: LocalFileSystem::new(),
            writer: Arc::new(Writer {
                sync,
                durable_folders: Mutex::new(HashSet::from([root.to_owned()])),
            }),
        }
    }
}

/// Creates this folder and its missing ancestors, and syncs their names.
///
/// # Errors
///
/// A folder can't be created or synced.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let missing = folder.ancestors().take_while(|folder| !folder.exists());
    let parents: Vec<&Path> = missing.filter_map(Path::parent).collect();
    fs::create_dir_all(&folder)?;
    parents
        .into_iter()
        .try_for_each(|parent| sync_folder(&Disk, parent))
}

fn sync_folder(sync: &dyn SyncToDisk, folder: &Path) -> io::Result<()> {
    match sync.sync(&File::open(folder)?, folder) {
        // Some file systems can't sync a folder.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

#[derive(Debug)]
struct Writer {
    sync: Arc<dyn SyncToDisk>,
    /// Folders whose names, up to the root, are known to be on the disk.
    durable_folders: Mutex<HashSet<PathBuf>>,
}

impl Writer {
    /// Creates a temporary file that will become `path`.
    fn begin(&self, path: &Path) -> io::Result<NamedTempFile> {
        let folder = folder_of(path)?;
        self.create_folder(folder)?;
        match temporary(folder, path) {
            // The folder has been deleted in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.durable_folders().retain(|folder| folder.exists());
                self.create_folder(folder)?;
                temporary(folder, path)
            }
            begun => begun,
        }
    }

    /// Moves a written file to its path. Returns once it is durable.
    fn complete(&self, file: NamedTempFile, path: &Path, mode: &PutMode) -> io::Result<()> {
        self.sync.sync(file.as_file(), file.path())?;
        match mode {
            PutMode::Create => file.persist_noclobber(path)?,
            _ => file.persist(path)?,
        };
        sync_folder(&*self.sync, folder_of(path)?)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if self.durable_folders().contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(|error| match error.kind() {
            // A file is where the folder should be. `AlreadyExists` would refer to the file to be written, which does not exist.
            io::ErrorKind::AlreadyExists => {
                io::Error::new(io::ErrorKind::NotADirectory, error.to_string())
            }
            _ => error,
        })?;
        let mut named = Vec::new();
        for folder in folder.ancestors() {
            if self.durable_folders().contains(folder) {
                break;
            }
            // Also sync folders that already existed: another process may have created them without having synced them yet.
            if let Some(parent) = folder.parent() {
                sync_folder(&*self.sync, parent)?;
            }
            named.push(folder.to_owned());
        }
        self.durable_folders().extend(named);
        Ok(())
    }

    fn durable_folders(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable_folders
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// A new file beside `path`. `object_store` does not list its name, and a program that cleans up after a killed writer can
/// recognize it.
fn temporary(folder: &Path, path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = uuid::Uuid::new_v4().as_u128() as u64;
    tempfile::Builder::new()
        .prefix(&format!("{name}#{number}"))
        .rand_bytes(0)
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

fn store_error(path: &Path, error: io::Error) -> Error {
    let path = path.display().to_string();
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists {
            path,
            source: error.into(),
        },
        _ => Error::Generic {
            store: "folder",
            source: NotWritten::new(path, &error).into(),
        },
    }
}

/// A file that could not be written to a folder. The cause is not kept as its source: a failed write must not be mistaken for
/// an object that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {what}{}", advice(*kind))]
pub struct NotWritten {
    path: String,
    what: String,
    kind: io::ErrorKind,
}

impl NotWritten {
    fn new(path: String, error: &io::Error) -> Self {
        let mut what = error.to_string();
        // The name of a temporary file, which means nothing to users.
        if let Some(at) = what.find(" at path ") {
            what.truncate(at);
        }
        Self {
            path,
            what,
            kind: error.kind(),
        }
    }

    /// Whether the problem is this file's own folder, rather than the disk.
    pub fn is_of_its_folder(&self) -> bool {
        use io::ErrorKind::{IsADirectory, NotADirectory, PermissionDenied};
        matches!(self.kind, IsADirectory | NotADirectory | PermissionDenied)
    }
}

/// What a user can do about a disk error.
pub fn advice(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind::{
        FileTooLarge, IsADirectory, NotADirectory, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull,
    };
    match kind {
        StorageFull | QuotaExceeded => ". The disk is full: free some space on it, and try again",
        FileTooLarge => {
            ". The file exceeds the limit for the size of files: raise the limit (ulimit -f), and try again"
        }
        PermissionDenied => {
            ". logmill needs permission to write there: check the owner and the mode of the folder"
        }
        ReadOnlyFilesystem => ". The disk is mounted read-only: mount it writable, and try again",
        IsADirectory | NotADirectory => {
            ". A file has the name of a folder, or a folder the name of a file: remove or rename it"
        }
        _ => "",
    }
}

/// Runs blocking work on a thread for blocking work.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let path = path.to_owned();
    let done =
        tokio::task::spawn_blocking(move || work(&path).map_err(|error| store_error(&path, error)));
    done.await?
}

impl Display for DurableFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableFolder")
    }
}

#[async_trait]
impl ObjectStore for DurableFolder {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) || !options.attributes.is_empty() {
            // Files support neither, and the error says so.
            return self.files.put_opts(location, payload, options).await;
        }
        let path = self.files.path_to_filesystem(location)?;
        let writer = Arc::clone(&self.writer);
        let put = blocking(&path, move |path| {
            let mut file = writer.begin(path)?;
            payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
            writer.complete(file, path, &options.mode)
        });
        put.await?;
        Ok(written())
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            return self.files.put_multipart_opts(location, options).await;
        }
        let path = self.files.path_to_filesystem(location)?;
        let writer = Arc::clone(&self.writer);
        let begun = blocking(&path, move |path| writer.begin(path)).await?;
        Ok(Box::new(Upload {
            writer: Arc::clone(&self.writer),
            path,
            file: Some(Arc::new(begun)),
            offset: 0,
        }))
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Location>,
        offset: &Location,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        self.before(to).await?;
        self.files.copy_opts(from, to, options).await?;
        self.after(to).await
    }

    async fn rename_opts(
        &self,
        from: &Location,
        to: &Location,
        options: RenameOptions,
    ) -> Result<()> {
        self.before(to).await?;
        self.files.rename_opts(from, to, options).await?;
        self.after(to).await
    }
}

impl DurableFolder {
    /// Creates the target's folder before a file moves here from elsewhere in the store, where it was synced.
    async fn before(&self, to: &Location) -> Result<()> {
        let (path, writer) = (self.files.path_to_filesystem(to)?, Arc::clone(&self.writer));
        blocking(&path, move |path| writer.create_folder(folder_of(path)?)).await
    }

    async fn after(&self, to: &Location) -> Result<()> {
        let (path, writer) = (self.files.path_to_filesystem(to)?, Arc::clone(&self.writer));
        blocking(&path, move |path| {
            sync_folder(&*writer.sync, folder_of(path)?)
        })
        .await
    }
}

/// No ETag: a file that is read again is looked up again.
fn written() -> PutResult {
    PutResult {
        e_tag: None,
        version: None,
    }
}

/// A large file, written in parts.
#[derive(Debug)]
struct Upload {
    writer: Arc<Writer>,
    path: PathBuf,
    /// `None` once the upload is completed or aborted.
    file: Option<Arc<NamedTempFile>>,
    offset: u64,
}

fn over() -> io::Error {
    io::Error::other("the upload has ended, or parts of the upload are still being written")
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let (path, file, mut offset) = (self.path.clone(), self.file.clone(), self.offset);
        self.offset += part.content_length() as u64;
        async move {
            let write = blocking(&path, move |_| {
                let file = file.ok_or_else(over)?;
                for bytes in part.iter() {
                    file.as_file().write_all_at(bytes, offset)?;
                    offset += bytes.len() as u64;
                }
                Ok(())
            });
            write.await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (file, writer) = (self.file.take(), Arc::clone(&self.writer));
        let complete = blocking(&self.path, move |path| {
            let file = file.and_then(Arc::into_inner).ok_or_else(over)?;
            writer.complete(file, path, &PutMode::Overwrite)
        });
        complete.await?;
        Ok(written())
    }

    async fn abort(&mut self) -> Result<()> {
        // A temporary file is deleted when its last owner is dropped.
        self.file = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    use super::*;

    /// Records each sync, and whether the file under test already has its name.
    #[derive(Debug, Default)]
    struct Notes {
        file: PathBuf,
        synced: Mutex<Vec<(String, bool)>>,
    }

    impl SyncToDisk for Notes {
        fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
            file.sync_all()?;
            let name = path.file_name().unwrap().to_string_lossy();
            let kind = match file.metadata()?.is_dir() {
                true => name.into_owned(),
                false => format!("file of {} bytes", file.metadata()?.len()),
            };
            let is_there = self.file.exists();
            self.synced.lock().unwrap().push((kind, is_there));
            Ok(())
        }
    }

    impl Notes {
        fn take(&self) -> Vec<(String, bool)> {
            std::mem::take(&mut self.synced.lock().unwrap())
        }
    }

    fn note(what: &str, is_there: bool) -> (String, bool) {
        (what.to_owned(), is_there)
    }

    #[tokio::test]
    async fn a_file_is_on_the_disk_before_it_has_its_name_and_the_name_before_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        create_folder(&root).unwrap();
        let path = root.join("outer/inner/a");
        let notes = Arc::new(Notes {
            file: path.clone(),
            ..Notes::default()
        });
        let store = DurableFolder::with_sync(&root, Arc::clone(&notes) as Arc<dyn SyncToDisk>);
        let location = Location::from_absolute_path(&path).unwrap();

        store.put(&location, "rows".into()).await.unwrap();
        let expected = [
            note("outer", false),
            note("root", false),
            note("file of 4 bytes", false),
            note("inner", true),
        ];
        assert_eq!(notes.take(), expected);

        // The folders are known from now on.
        store.put(&location, "more".into()).await.unwrap();
        let expected = [note("file of 4 bytes", true), note("inner", true)];
        assert_eq!(notes.take(), expected);

        fs::remove_file(&path).unwrap();
        let mut upload = store.put_multipart(&location).await.unwrap();
        let parts = [
            upload.put_part("many".into()),
            upload.put_part(" rows".into()),
        ];
        for part in parts {
            part.await.unwrap();
        }
        assert_eq!(notes.take(), []);
        upload.complete().await.unwrap();
        let expected = [note("file of 9 bytes", false), note("inner", true)];
        assert_eq!(notes.take(), expected);
        assert_eq!(fs::read(&path).unwrap(), b"many rows");

        let copy = Location::from_absolute_path(root.join("outer/copy")).unwrap();
        store.copy(&location, &copy).await.unwrap();
        assert_eq!(notes.take(), [note("outer", true)]);

        // The folder is deleted.
        fs::remove_dir_all(root.join("outer")).unwrap();
        store.put(&location, "rows".into()).await.unwrap();
        assert_eq!(notes.take().len(), 4);
    }

    #[tokio::test]
    async fn a_file_that_is_not_complete_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let store = DurableFolder::new(&root);
        let location = Location::from_absolute_path(root.join("a")).unwrap();
        let names = || async {
            let listed = store.list(Some(&Location::from_absolute_path(&root).unwrap()));
            let listed: Vec<ObjectMeta> = listed.try_collect().await.unwrap();
            listed.len()
        };

        let mut upload = store.put_multipart(&location).await.unwrap();
        upload.put_part("rows".into()).await.unwrap();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        assert_eq!(names().await, 0);
        upload.abort().await.unwrap();
        drop(upload);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);

        let create =
            |text: &'static str| store.put_opts(&location, text.into(), PutMode::Create.into());
        create("first").await.unwrap();
        let error = create("second").await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(fs::read(root.join("a")).unwrap(), b"first");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        let mode = fs::metadata(root.join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o400, 0o400);
    }
}
