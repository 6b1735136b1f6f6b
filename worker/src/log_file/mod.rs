//! A log file's bytes become text, and the text lines.

pub mod gunzip;
pub mod lines;
