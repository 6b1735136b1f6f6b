//! Where log files come from.

mod s3_uri;
mod bucket;
pub mod listing;
pub mod queue;
