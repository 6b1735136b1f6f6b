//! Output of commands: standard output, or a file that appears when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::commands::query::Format;
use crate::terminal::Escaping;
use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use super::progress::make_room;

/// Whether the reader of standard output has closed it, as `head` does after enough lines.
static READER_HAS_GONE: AtomicBool = AtomicBool::new(false);

/// Standard output. It records whether its reader has closed it: any other broken pipe is a failure.
#[derive(Debug)]
pub(crate) struct Stdout;

impl Stdout {
    fn note<T>(outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            READER_HAS_GONE.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Reports, for people.
    pub(crate) fn report() -> Escaping<Self> {
        Escaping::text(Self)
    }

    /// Rows in this format. A chart has colours, and escapes its texts itself.
    pub(crate) fn of(format: Format) -> Box<dyn Write + Send> {
        match format {
            Format::Chart => Box::new(Self),
            _ => Self::exact(),
        }
    }

    /// Output for programs: exact, unless it goes to a terminal.
    pub(crate) fn exact() -> Box<dyn Write + Send> {
        match io::stdout().is_terminal() {
            true => Box::new(Escaping::text(Self)),
            false => Box::new(Self),
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        make_room();
        Self::note(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::note(io::stdout().flush())
    }
}

/// Returns the exit code of a command that has written its report. The command has determined the code before; it does not
/// change if the reader has closed standard output.
pub(crate) fn after_writing(code: u8, written: Result<()>) -> Result<u8> {
    match written {
        Err(_) if READER_HAS_GONE.load(Ordering::Relaxed) => Ok(code),
        written => written.map(|()| code),
    }
}

/// A file that is being written. An existing file is kept until the new one is complete.
#[derive(Debug)]
pub(crate) enum NewFile {
    /// A temporary file in the same folder, which is renamed at the end.
    Beside {
        file: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
    /// A pipe or a device, which can't be replaced.
    InPlace {
        file: BufWriter<File>,
        path: PathBuf,
    },
}

impl NewFile {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            anyhow::bail!(
                "- is no name of a file: for standard output, write /dev/stdout, or ./- for a file of this name"
            );
        }
        Self::try_create(path).with_context(|| cannot_write(path))
    }

    fn try_create(path: &Path) -> io::Result<Self> {
        // If the path is a link, its target is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let there = fs::metadata(&path).ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let file = BufWriter::new(File::options().write(true).open(&path)?);
            return Ok(Self::InPlace { file, path });
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".logmill-")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        if let Some(there) = there {
            file.as_file().set_permissions(there.permissions())?;
        }
        let file = BufWriter::new(file);
        Ok(Self::Beside { file, path })
    }

    /// Moves the file to its final path.
    pub(crate) fn complete(self) -> Result<()> {
        let (Self::Beside { path, .. } | Self::InPlace { path, .. }) = &self;
        let path = path.clone();
        self.try_complete().with_context(|| cannot_write(&path))
    }

    fn try_complete(self) -> io::Result<()> {
        match self {
            Self::Beside { file, path } => {
                let file = file.into_inner()?;
                // Without this, a power failure could leave an empty file in place of a complete one.
                file.as_file().sync_all()?;
                file.persist(path)?;
            }
            Self::InPlace { mut file, .. } => file.flush()?,
        }
        Ok(())
    }
}

fn cannot_write(path: &Path) -> String {
    format!("the output file {} cannot be written", path.display())
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Beside { file, .. } => file.write(bytes),
            Self::InPlace { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Beside { file, .. } => file.flush(),
            Self::InPlace { file, .. } => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_when_the_new_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("rows.csv"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();

        let mut file = NewFile::create(&link).unwrap();
        file.write_all(b"half of").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");

        let mut file = NewFile::create(&link).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.complete().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        let mut file = NewFile::create(Path::new("/dev/null")).unwrap();
        file.write_all(b"rows").unwrap();
        file.complete().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let dash = NewFile::create(Path::new("-")).unwrap_err();
        assert!(dash.to_string().contains("/dev/stdout"), "{dash}");
        let error = NewFile::create(Path::new("/no/such/folder/rows.csv")).unwrap_err();
        assert!(
            format!("{error:#}")
                .starts_with("the output file /no/such/folder/rows.csv cannot be written: ")
        );
    }
}
