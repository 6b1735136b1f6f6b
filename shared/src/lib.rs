//! What the dispatcher and the workers must agree on, and nothing heavy: the identity of a log
//! file, what its name says, and how one is told of it.

#![warn(missing_docs, unreachable_pub)]

pub mod notification;
pub mod sqs;
mod log_file;

pub use log_file::{LogFile, LogFileId, NamedAs, ParseIdError, Shard};
