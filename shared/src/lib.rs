//! Shared by the dispatcher and the workers: the identity of a log file, the meaning of its name, and the format
//! of notifications. This crate has few dependencies.

#![warn(missing_docs, unreachable_pub)]

pub mod notification;
pub mod sqs;
mod error_chain;
mod s3_uri;
mod log_file;

pub use error_chain::{causes, chain};
pub use log_file::{LogFile, LogFileId, NamedAs, ParseIdError, Shard};
pub use s3_uri::{NoBucket, S3Uri};
