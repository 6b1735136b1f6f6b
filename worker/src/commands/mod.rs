//! The commands, one module each. [`completeness`] is shared by `verify` and `replay`, [`progress`] by all that go
//! through log files.

pub mod progress;
pub mod maintain;
pub mod completeness;
pub mod run;
pub mod serve;
pub mod verify;
pub mod certificate;
pub mod replay;
pub mod retry;
pub mod query;
pub mod report;
pub mod alerts;
pub mod check;
pub mod rebuild;
pub mod tables;
pub mod status;
pub mod test;
pub mod ddl;
pub mod drop;
pub mod retain;
