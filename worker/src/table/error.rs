//! Errors of tables, and what a caller may do about each.

use datafusion::error::DataFusionError;
use deltalake_core::DeltaTableError;
use logmill_object_io::durable_folder::NotWritten;
use logmill_object_io::is_retryable;
use object_store::path::Path;
use parquet::errors::ParquetError;

use super::FORMAT;

/// What went wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The location for tables can't be used.
    #[error("{place} cannot be used as the location of tables: {reason}")]
    Root {
        /// The location, as it was given.
        place: String,
        /// Why it can't be used.
        reason: String,
    },
    /// A table of this name is the result of another rollup.
    #[error(
        "the table '{name}' at {url} is the result of different SQL:\n\n{stored}\n\n\
         `logmill rebuild` changes the table. Or rename the file of the new rollup."
    )]
    OtherSql {
        /// The table's name.
        name: String,
        /// Its URL.
        url: String,
        /// The SQL that it is the result of.
        stored: String,
    },
    /// A table of this name is the result of the same rollup with another lookup file.
    #[error(
        "the table '{name}' at {url} is the result of another {file}. A table keeps the lookup files that it was created with. \
         To use the changed file, run `logmill rebuild`, or rename the rollup's file."
    )]
    OtherLookup {
        /// The table's name.
        name: String,
        /// Its URL.
        url: String,
        /// The name of the file that has changed.
        file: String,
    },
    /// The table leaves out lines that a person has erased, and the definition does not.
    #[error("the table '{name}' leaves out lines that were erased")]
    Erased {
        /// The table's name.
        name: String,
    },
    /// The table's generation that was opened is no longer live, or no longer the next one.
    #[error(
        "the table '{name}' has another generation now: it was rebuilt or put back in the meantime. A command that ends with this can be run again"
    )]
    Swapped {
        /// The table's name.
        name: String,
    },
    /// A person has dropped the table.
    #[error(
        "the table '{name}' was dropped. Workers and `logmill run` make it anew if a rollup has this name; `logmill drop {name}` deletes what \
         is left of it"
    )]
    Dropped {
        /// The table's name.
        name: String,
    },
    /// The table was written by a newer version of logmill.
    #[error(
        "the table '{name}' has format {format}, and this version of logmill supports formats up to {FORMAT}: \
         use the version that wrote the table, or a newer one"
    )]
    Format {
        /// The table's name.
        name: String,
        /// Its format.
        format: u32,
    },
    /// An object of the table is missing, or is not as it was written.
    #[error(
        "{object} {what}. Restore the object, or remove the table's folder and rebuild the table from the logs, with \
         `logmill run`, or with `logmill replay` to the queue of its workers"
    )]
    Damaged {
        /// The object's path, relative to the table's folder.
        object: String,
        /// A description of the damage.
        what: String,
    },
    /// An object in a table's folder that logmill has not written.
    #[error("{path}: {what}")]
    NotOurs {
        /// The path, relative to the table's folder.
        path: String,
        /// A description of the object.
        what: String,
    },
    /// The outcome of a commit is unknown: it may have been written, or another commit may have come first. Commit again: the
    /// ledger shows what was written.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(String),
    /// A file can't be read or written.
    #[error("{path}")]
    Parquet {
        /// The file's path, relative to the table's folder.
        path: String,
        /// The underlying error.
        source: ParquetError,
    },
    /// The object store returned an error.
    #[error("a request to the object store failed")]
    Store(#[from] object_store::Error),
    /// The table's log can't be read or written.
    #[error("the table's log cannot be read or written")]
    Delta(#[from] DeltaTableError),
    /// Rows can't be merged.
    #[error("rows cannot be merged")]
    Merge(#[from] DataFusionError),
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

impl TableError {
    pub(super) fn parquet(path: &Path, source: ParquetError) -> Self {
        Self::Parquet {
            path: path.to_string(),
            source,
        }
    }

    /// Whether an object is missing.
    pub(super) fn is_not_found(&self) -> bool {
        self.has_cause(|cause| matches!(cause, object_store::Error::NotFound { .. }))
    }

    /// The path in the store of the missing object.
    pub(crate) fn missing_object(&self) -> Option<&str> {
        causes(self).find_map(|cause| match cause {
            object_store::Error::NotFound { path, .. } => Some(path.as_str()),
            _ => None,
        })
    }

    /// Whether another process was probably at work: the outcome is unknown, or an object is missing or has been replaced.
    /// Delta's kernel does not say why it can't read a log, so its errors count as races too.
    pub(super) fn is_race(&self) -> bool {
        matches!(self, Self::Delta(DeltaTableError::KernelError(_))) || self.is_lost_race()
    }

    /// The same for a commit. Kernel errors don't count: reading the log has already been retried.
    pub(super) fn is_lost_race(&self) -> bool {
        matches!(self, Self::Unknown(_))
            || self.has_cause(|cause| {
                matches!(
                    cause,
                    object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. }
                )
            })
    }

    /// Whether a retry may succeed: another process was at work, or the store could not be reached.
    pub fn is_transient(&self) -> bool {
        self.is_race() || self.has_cause(is_retryable)
    }

    /// The damaged object, if damage is the cause.
    pub(super) fn damage(&self) -> Option<Damage<'_>> {
        let first: &(dyn std::error::Error + 'static) = self;
        let mut causes = std::iter::successors(Some(first), |error| error.source());
        causes.find_map(|cause| match cause.downcast_ref()? {
            Self::Damaged { object, what } => Some(Damage {
                object,
                what: what.clone(),
            }),
            Self::Parquet { path, source } if !self.is_store_error() => Some(Damage {
                object: path,
                what: format!("is damaged: {source}"),
            }),
            Self::Parquet { path, source } if self.has_cause(is_unreadable_file) => Some(Damage {
                object: path,
                what: format!("cannot be read: {source}"),
            }),
            _ => None,
        })
    }

    /// Converts the error to [`TableError::Damaged`] if a damaged object is the cause.
    pub(super) fn into_damage(self) -> Self {
        match self.damage() {
            Some(Damage { object, what }) => Self::Damaged {
                object: object.to_owned(),
                what,
            },
            None => self,
        }
    }

    /// Whether the object store is the cause.
    pub(crate) fn is_store_error(&self) -> bool {
        self.has_cause(|_| true)
    }

    /// Whether the table's own folder is the cause. The disk or the bucket works, and other tables may work too.
    pub(crate) fn is_table_folder_error(&self) -> bool {
        self.has_cause(|cause| {
            let object_store::Error::Generic { source, .. } = cause else {
                return false;
            };
            let not_written: Option<&NotWritten> = source.downcast_ref();
            not_written.is_some_and(NotWritten::is_of_its_folder)
        })
    }

    /// Whether the table is no longer the one that was opened: it has been removed, or replaced by another one.
    pub(crate) fn is_replaced_table(&self) -> bool {
        matches!(
            self,
            Self::OtherSql { .. }
                | Self::OtherLookup { .. }
                | Self::Swapped { .. }
                | Self::Dropped { .. }
                | Self::Erased { .. }
                | Self::Delta(DeltaTableError::NotATable(_))
        )
    }

    pub(super) fn has_cause(&self, is: fn(&object_store::Error) -> bool) -> bool {
        causes(self).any(is)
    }
}

/// The object store's errors among the causes of an error.
fn causes(error: &TableError) -> impl Iterator<Item = &object_store::Error> {
    let first: &(dyn std::error::Error + 'static) = error;
    let all = std::iter::successors(Some(first), |error| error.source());
    all.filter_map(|error| error.downcast_ref().or_else(|| in_io_error(error)))
}

/// An object that is not as it was written, or can't be read.
pub(super) struct Damage<'e> {
    pub(super) object: &'e str,
    pub(super) what: String,
}

/// ELOOP, for which the standard library has no stable name.
const TOO_MANY_LINKS: i32 = if cfg!(target_os = "macos") { 62 } else { 40 };

/// Whether a single object in a folder can't be read, although the disk works.
pub(super) fn is_unreadable_file(error: &object_store::Error) -> bool {
    use std::io::ErrorKind;
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).any(|error| {
        let error: Option<&std::io::Error> = error.downcast_ref();
        error.is_some_and(|error| {
            let is_loop = error.raw_os_error() == Some(TOO_MANY_LINKS);
            is_loop
                || matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::IsADirectory | ErrorKind::InvalidData
                )
        })
    })
}

/// The object store's error that is wrapped in an I/O error. `source` of an I/O error skips the error that it wraps, and
/// returns that error's source.
fn in_io_error<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e object_store::Error> {
    let error: &std::io::Error = error.downcast_ref()?;
    error.get_ref()?.downcast_ref()
}
