//! A real browser is the judge of the pages: a headless Chromium opens them as people do, in light and dark, on a phone and on a desk, over tables
//! with nothing, much and hostile data. The Python programs in `tests/browser/` do so; this runs them, one after another.
//!
//! They need Chromium, which they install on Debian if they may, and npm for a checker of accessibility. So they are asked for by name:
//! `cargo test --test browser -- --ignored`. CONTRIBUTING.md says how long that takes.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::sync::Mutex;

use support::python;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn judge(program: &str) {
    let _turn = ONE_AT_A_TIME.lock();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    python::judge(program, &[&cache]);
}

#[test]
#[ignore = "needs Chromium and npm"]
fn each_fault_of_a_page_is_found() {
    judge("browser/judge_faults.py");
}

#[test]
#[ignore = "needs Chromium and npm"]
fn reports_are_what_people_can_read() {
    judge("browser/judge_report.py");
}

/// Also that they show what the docs say, and how large they are. Those in `docs/pictures/` stay as they are.
#[test]
#[ignore = "needs Chromium, and takes ten minutes"]
fn the_pictures_of_the_docs_can_be_made() {
    judge("../docs/pictures/make.py");
}

#[test]
#[ignore = "needs Chromium and npm"]
fn the_status_page_is_what_people_can_read() {
    judge("browser/judge_status.py");
}
