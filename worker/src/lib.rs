//! logmill keeps materialized views over the access logs of AWS load balancers.
pub mod log_file;
pub mod format;
mod trino;
mod sketch;
pub mod rollup;
pub mod table;
