//! Athena's engine is the judge: real Trinos, fetched from Maven Central and started here, compute what logmill computes,
//! and read what it writes. So does Spark, with Delta's own library. The Python programs in `tests/trino/` do so; this runs
//! them, one after another, as each engine takes two gigabytes.
//!
//! They need Maven and Java, 17 and a newer one, and so are asked for by name: `cargo test --test trino -- --ignored`. On two cores that
//! takes some five minutes, and what Maven fetches the first time.

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
fn trino_computes_the_same_from_the_raw_lines() {
    judge("trino/judge_sql.py");
}

#[test]
#[ignore = "needs Maven and Java"]
fn trino_answers_queries_of_lines_as_logmill_does() {
    judge("trino/judge_lines.py");
}

#[test]
#[ignore = "needs Maven and Java"]
fn trino_answers_queries_as_their_rollups_do() {
    judge("trino/judge_queries.py");
}

#[test]
#[ignore = "needs Maven and Java"]
fn trino_reads_the_same_from_the_tables() {
    judge("trino/judge_tables.py");
}

#[test]
#[ignore = "needs Maven and Java"]
fn spark_reads_the_same_from_the_tables() {
    judge("trino/judge_spark.py");
}

#[test]
#[ignore = "needs Maven and Java"]
fn trino_of_athena_reads_all_row_groups() {
    judge("trino/judge_row_groups.py");
}

#[test]
#[ignore = "needs Maven and Java"]
fn trino_reads_whole_versions_while_tables_are_written() {
    judge("trino/judge_writing.py");
}
