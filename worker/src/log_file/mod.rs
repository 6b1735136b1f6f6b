//! A log file's bytes become text, and the text lines.

pub(crate) mod fetch;
mod gzip;
pub mod gunzip;
pub mod lines;
