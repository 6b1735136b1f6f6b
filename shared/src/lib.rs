//! What the dispatcher and the workers must agree on, and nothing heavy: the identity of a log
//! file and what its name says.

#![warn(missing_docs, unreachable_pub)]

mod log_file;

pub use log_file::{LogFile, LogFileId, NamedAs, ParseIdError, Shard};
