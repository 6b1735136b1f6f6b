//! Where log files come from.

mod s3_uri;
pub mod span;
mod bucket;
mod walk;
pub mod listing;
pub mod queue;
