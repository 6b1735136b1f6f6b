//! Finds log files in a folder on this machine.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use walkdir::WalkDir;

use super::log_object::{Listed, LogObject, NotListed, in_order};
use super::span::Span;

/// Lists all log files below a path, or the path itself if it is a file. Files below `except` are left out.
pub(super) fn list(path: &Path, except: &Path) -> io::Result<Listed> {
    let mut listed = Listed::default();
    files(
        path,
        except,
        |_| true,
        &mut listed.not_listed,
        |path, metadata| {
            listed.found.push(LogObject::on_disk(path, metadata)?);
            Ok(())
        },
    )?;
    Ok(listed)
}

/// Calls `each` for every file below a path. Skips files below `except` and folders that `enter` rejects. Entries that
/// can't be read are added to `not_listed`, and the walk continues.
fn files(
    path: &Path,
    except: &Path,
    enter: impl Fn(&str) -> bool,
    not_listed: &mut Vec<NotListed>,
    mut each: impl FnMut(PathBuf, &Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let except = match except.as_os_str().is_empty() {
        true => None,
        false => Some(canonical(except)),
    };
    let is_left_out = |path: &Path| {
        except
            .as_ref()
            .is_some_and(|except| path.starts_with(except))
    };
    // Two paths to the same file must give one log file.
    let root = fs::canonicalize(path)?;
    let entries = WalkDir::new(&root).follow_links(true).into_iter();
    let entries = entries.filter_entry(|entry| {
        let is_root = entry.depth() == 0;
        // A path that is not UTF-8 has no date that could exclude it.
        let enter = |path: &Path| path.to_str().is_none_or(&enter);
        !is_left_out(entry.path())
            && (is_root || !entry.file_type().is_dir() || enter(entry.path()))
    });
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return Err(error.into()),
            // A link to a parent folder. The files there are listed anyway.
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => {
                let path = error.path().unwrap_or(&root).to_owned();
                not_listed.push(NotListed::new(&path, &error.into()));
                continue;
            }
        };
        if !entry.file_type().is_file() {
            continue;
        }
        // A link may lead into the folder of tables.
        let listed = fs::canonicalize(entry.path()).and_then(|path| match is_left_out(&path) {
            true => Ok(()),
            false => {
                let metadata = fs::metadata(&path)?;
                each(path, &metadata)
            }
        });
        if let Err(error) = listed {
            not_listed.push(NotListed::new(entry.path(), &error));
        }
    }
    Ok(())
}

/// Lists the log files of a span of time.
pub(super) fn list_span(path: &Path, except: &Path, span: Span) -> anyhow::Result<Listed> {
    let mut listed = Listed::default();
    let enter = |folder: &str| span.may_be_in(folder);
    files(
        path,
        except,
        enter,
        &mut listed.not_listed,
        |path, metadata| {
            let modified = DateTime::from(metadata.modified()?);
            let file = LogObject::on_disk(path, metadata)?;
            if span.takes(&file.log_file, modified) {
                listed.found.push(file);
            }
            Ok(())
        },
    )?;
    in_order(&mut listed.found);
    Ok(listed)
}

/// Resolves links in the part of a path that exists. The folder of a table may not exist yet, because it is created on
/// first use.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in path.ancestors() {
        if let (Ok(canonical), Ok(rest)) = (fs::canonicalize(there), path.strip_prefix(there)) {
            return canonical.join(rest);
        }
    }
    path
}
