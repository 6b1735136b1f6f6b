//! Turns a log file's bytes into text, and the text into lines.

pub(crate) mod fetch;
pub mod lines;
pub mod reading;
