//! logmill keeps materialized views over the access logs of AWS load balancers: the user writes a rollup in
//! Athena's SQL, and a Delta Lake table is, exactly, what that SQL returns over every log file so far.
//!
//! The modules stand in the order in which a log file passes them:
//!
//! ```text
//! intake ─▶ log_file ─▶ format ─▶ rollup ─▶ table
//!  which     gunzip,     lines     SQL,      staging,
//!  files     lines       become    merge     commit,
//!                        columns   rules     ledger
//! ```
//!
//! [`journey`] is the way of one log file through all of them, up to staging; [`run`] takes many through it,
//! and commits; [`maintain`] keeps tables small. [`verify`] tells whether every log file of a time is counted, and [`replay`]
//! sends those to the queue that are not. [`query`] and [`check`] are for people.

#![warn(missing_docs, unreachable_pub)]

mod aws;
pub mod intake;
pub mod log_file;
pub mod format;
pub mod trino;
pub mod sketch;
pub mod rollup;
pub mod table;
pub mod journey;
pub mod pace;
pub mod upkeep;
pub mod run;
pub mod maintain;
pub mod completeness;
pub mod verify;
pub mod replay;
pub mod query;
pub mod check;

#[cfg(test)]
mod fake_s3;
