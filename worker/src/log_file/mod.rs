//! A log file's bytes become text, and the text lines.

mod gzip;
pub mod gunzip;
pub mod lines;
