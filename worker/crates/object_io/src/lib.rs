#![doc = include_str!("../README.md")]
#![warn(missing_docs, unreachable_pub)]

mod env;
mod retry;
mod retrying_store;
pub mod s3;
pub mod durable_folder;
pub mod lease;

pub use durable_folder::DurableFolder;
pub use env::{Env, SystemEnv};
pub use lease::{Lease, LeaseFile};
pub use retry::{Policy, Retries, log_failure};
pub use retrying_store::{RetryingStore, in_memory, is_retryable};
