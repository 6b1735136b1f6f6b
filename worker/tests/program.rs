//! The tests of the whole program. They are one executable, because to link one takes as long as to compile it, and because tests that wait
//! then leave the processors to others. `cargo test -p logmill --test program serve::` runs those of one file.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

mod certificate;
mod alerts;
mod chaos;
mod command_line;
mod damage;
mod dashboards;
mod delta_facts;
mod drop;
mod failing;
mod final_until;
mod format;
mod infra;
mod interop;
mod kill;
mod kinds;
mod layers;
mod pipeline;
mod plain_english;
mod query;
mod rebuild;
mod replay;
mod report;
mod retention;
mod run;
mod s3;
mod serve;
mod shapes;
mod snapshots;
mod status_page;
mod terminal;
mod test_cases;
