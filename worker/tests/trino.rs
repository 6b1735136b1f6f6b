//! Athena's engine is the judge: real Trinos, fetched from Maven Central and started here, compute what logmill computes,
//! and read what it writes. So does Spark, with Delta's own library. The Python programs in `tests/trino/` do so; this runs
//! them, one after another, as each engine takes two gigabytes.
//!
//! They need Maven and Java, 17 and a newer one, and so are asked for by name: `cargo test --test trino -- --ignored`.
//! CONTRIBUTING.md says how long that takes.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::sync::Mutex;

use support::python;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn judge(program: &str) {
    let _turn = ONE_AT_A_TIME.lock();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trino");
    python::judge(program, &[&cache]);
}

#[test]
#[ignore = "needs Maven and Java"]
fn trino_computes_the_same_from_log_lines() {
    judge("trino/judge_435.py");
}

#[test]
#[ignore = "needs Maven and Java"]
fn trino_reads_the_same_from_the_tables() {
    judge("trino/judge_476.py");
}

#[test]
#[ignore = "needs Maven and Java"]
fn spark_reads_the_same_from_the_tables() {
    judge("trino/judge_spark.py");
}
