//! What a log file costs on its way to staging, without the commit that follows: beside `logmill run`, which does both.
//!
//! `cargo run --release --example stage -- ROLLUPS TABLES LOGS` stages every log file of a folder or `s3://` prefix for the
//! rollups, on one thread, and prints how many. Look at its CPU time from outside.

#![allow(clippy::print_stdout)]

use anyhow::{Result, bail};
use logmill::feeds::Feeds;
use logmill::intake::file_rules::FileRules;
use logmill::intake::listing;
use logmill::pipeline::{self, Limits, Outcome};
use logmill::rollup::Rollup;
use logmill::table::Root;

/// Large enough to matter to no log file here.
const LIMITS: Limits = Limits {
    text_bytes: u64::MAX,
    group_bytes: 64 << 20,
};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rollups, tables, logs] = arguments.as_slice() else {
        bail!("name the rollups, the place for tables, and the logs");
    };
    let root = Root::create(tables).await?;
    let (opened, _) = Feeds::open(&root, Rollup::load_folder(rollups).await?).await?;
    let found = listing::list(std::slice::from_ref(logs), tables)
        .await?
        .found;
    let staged = tokio::task::spawn_blocking(move || {
        let mut staged = 0;
        for found in found {
            let source = pipeline::source(&found, &FileRules::default());
            let staging = pipeline::stage(source, &opened.tables, LIMITS);
            if let Outcome::Staged(..) = tokio::runtime::Handle::current().block_on(staging)? {
                staged += 1;
            }
        }
        anyhow::Ok(staged)
    });
    println!("{} log files are staged", staged.await??);
    Ok(())
}
