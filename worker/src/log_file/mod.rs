//! A log file's bytes become text, and the text lines.

pub(crate) mod fetch;
mod read_ahead;
mod inflate;
pub(crate) mod gzip;
mod second_opinion;
pub mod gunzip;
pub mod lines;
pub mod reading;
