//! What the dispatcher and the workers must agree on: the identity of a log file, the meaning of its name, and the format
//! of notifications. This crate has few dependencies.

#![warn(missing_docs, unreachable_pub)]

pub mod notification;
pub mod sqs;
mod log_file;

pub use log_file::{LogFile, LogFileId, NamedAs, ParseIdError, Shard};
