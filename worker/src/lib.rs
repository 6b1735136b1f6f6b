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
//! [`journey`] is the way of one log file through all of them, up to staging, for the tables that [`feeds`] opens. [`run`] takes through it what it lists, and
//! commits; [`serve`] takes what is announced to it, for as long as it runs, while [`upkeep`] commits, and keeps tables
//! small as [`maintain`] does. [`verify`] tells whether every log file of a time is counted, and [`replay`] sends to the
//! queue those that are not; [`put_back`] tries again what is set aside. [`query`] and [`check`] are for people; [`terminal`] makes safe what is shown to them.

#![warn(missing_docs, unreachable_pub)]

mod retry;
mod aws;
mod text_files;
pub mod terminal;
mod marks;
pub mod memory;
pub mod intake;
pub mod log_file;
pub mod format;
pub mod trino;
pub mod sketch;
pub mod rollup;
pub mod table;
mod without_values;
pub mod feeds;
pub mod journey;
pub mod pace;
pub mod upkeep;
pub mod metrics;
mod set_aside_watch;
mod stall;
pub mod run;
pub mod serve;
pub mod maintain;
pub mod completeness;
pub mod verify;
pub mod replay;
pub mod put_back;
pub mod query;
pub mod check;
pub mod ddl;

#[cfg(test)]
mod fake_s3;
