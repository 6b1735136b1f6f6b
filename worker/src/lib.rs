// Only for rustdoc: the image is built without README.md, so that a change of it does not change the image.
#![cfg_attr(doc, doc = include_str!("../../README.md"))]
//! # Modules
//!
//! A module may import only those above it in this file; `tests/layers.rs` checks that.
//!
//! The first group knows nothing of log files. The second has the parts that a log file passes through:
//!
//! ```text
//! intake ─▶ log_file ─▶ format ─▶ rollup ─▶ table
//!  which     gunzip,     lines     SQL       staging,
//!  files     lines       become              commit,
//!                        columns             ledger
//! ```
//!
//! The third joins them. [`pipeline`] takes one log file through all parts, up to staging, for the tables that [`feeds`]
//! opens. [`maintenance`] commits, and keeps tables small. [`commands`] has the entry points for people and services, and [`program`] the command line.

#![warn(missing_docs, unreachable_pub)]

mod aws;
mod small_files;
pub mod terminal;
pub mod memory;
pub mod commit_pace;
mod without_values;
mod sleep;

pub mod log_file;
pub mod format;
mod engine;
pub mod table;
pub mod delivery;
pub mod rollup;
pub mod metrics;
pub mod intake;

pub mod feeds;
pub mod pipeline;
mod set_aside_watch;
mod stall;
pub mod maintenance;

pub mod commands;

pub mod program;

#[cfg(test)]
mod fake_s3;
