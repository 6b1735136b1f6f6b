#![doc = include_str!("../README.md")]
#![warn(missing_docs, unreachable_pub)]

mod inflate;
mod read_ahead;
mod gzip;
mod second_opinion;
mod gunzip;

pub use gunzip::{Decoder, GunzipError, LogText, TEXT_BYTES, open};
#[cfg(feature = "faults")]
pub use gzip::IS_BROKEN;
