//! `kill -9` at any moment, then a run to the end: the tables are exact.
//!
//! `LOGMILL_SEEDS=1000` tries more seeds, and `LOGMILL_SEED=17` one. The moments of the kills follow from the
//! seed; what the program is doing then does not quite, so a seed that fails may need a few tries.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::made_logs::MadeLogs;
use crate::support::{Random, Workplace, query, seeds, succeed};

const LOG_FILES: u32 = 40;
const LINES: u32 = 25;

fn make_logs(place: &Workplace) -> MadeLogs {
    let made = MadeLogs::new(LOG_FILES, LINES);
    for (name, text) in &made.files {
        place.log(name, text);
    }
    MadeLogs::write_rollups(place);
    made
}

/// Fails unless the tables hold exactly the logs, each once.
fn check(tables: &str, expected: &MadeLogs) {
    expected.check(|sql| query(tables, sql));
    for table in ["by_minute", "every_row", "rejected_lines"] {
        let staging = Path::new(tables).join(table).join("_staging");
        let staged = fs::read_dir(staging).into_iter().flatten();
        let staged: Vec<_> = staged
            .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap())
            .collect();
        let staged = staged.iter().filter(|file| {
            let name = file.as_ref().unwrap().file_name();
            // A write that was cut off leaves a file under another name.
            name.to_string_lossy().ends_with(".parquet")
        });
        assert_eq!(staged.count(), 0, "all that was staged is committed");
    }
}

fn run(place: &Workplace, tables: &str) -> Command {
    let (logs, rollups) = (place.path("logs"), place.path("rollups"));
    crate::support::logmill([
        "run",
        &logs,
        "--rollups",
        &rollups,
        "--tables",
        tables,
        "--threads",
        "2",
    ])
}

#[test]
fn tables_are_exact_after_kills_at_random_moments() {
    let place = Workplace::new();
    let expected = make_logs(&place);
    // The shorter of two: the first run also reads the program from the disk.
    let undisturbed = (0..2).map(|n| {
        let tables = place.path(&format!("undisturbed-{n}"));
        let begin = Instant::now();
        succeed(&mut run(&place, &tables));
        let elapsed = begin.elapsed();
        check(&tables, &expected);
        elapsed
    });
    let undisturbed = undisturbed.min().unwrap();

    let seeds = seeds(50);
    println!("seeds {seeds:?}; an undisturbed run takes {undisturbed:.0?}");
    let (next, kills) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    kills.fetch_add(
                        kill_and_complete(&place, &expected, undisturbed, seed),
                        Ordering::Relaxed,
                    );
                }
            });
        }
    });
    println!(
        "{} seeds, {} kills: exact each time",
        seeds.len(),
        kills.into_inner()
    );
}

/// Kills some runs, and lets one run to its end. Returns how many were really killed.
fn kill_and_complete(
    place: &Workplace,
    expected: &MadeLogs,
    undisturbed: Duration,
    seed: u64,
) -> u64 {
    let mut random = Random::new(seed);
    let tables = place.path(&format!("tables-{seed}"));
    let mut killed = 0;
    for _ in 0..=random.below(3) {
        let mut child = run(place, &tables)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(undisturbed.mul_f64(random.below(950) as f64 / 1000.0));
        // SIGKILL
        child.kill().unwrap();
        killed += u64::from(child.wait().unwrap().code().is_none());
    }
    let complete = std::panic::catch_unwind(|| {
        succeed(&mut run(place, &tables));
        check(&tables, expected);
    });
    if let Err(failure) = complete {
        println!("failed with LOGMILL_SEED={seed}");
        std::panic::resume_unwind(failure);
    }
    fs::remove_dir_all(&tables).unwrap();
    killed
}

#[test]
fn runs_at_once_count_each_log_file_once() {
    let place = Workplace::new();
    let expected = make_logs(&place);
    let tables = place.path("tables");
    let mut children: Vec<_> = (0..4)
        .map(|_| run(&place, &tables).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    check(&tables, &expected);
    // They leave nothing to do.
    let again = succeed(&mut run(&place, &tables));
    assert!(again.contains("log files  0 counted"), "{again}");
}
