//! A log file's bytes become text, and the text lines.

pub(crate) mod fetch;
pub mod lines;
pub mod reading;
