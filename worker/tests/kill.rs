//! `kill -9` at any moment, then a run to the end: the tables are exact.
//!
//! `LOGMILL_SEEDS=1000` tries more seeds, and `LOGMILL_SEED=17` one. The moments of the kills follow from the
//! seed; what the program is doing then does not quite, so a seed that fails may need a few tries.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Random, Workplace, alb_line, alb_name, counts, query, succeed};

const LOG_FILES: u32 = 40;
const LINES: u32 = 25;

/// What the logs hold, counted here while they are made: requests by minute and status.
struct Expected {
    requests: BTreeMap<String, usize>,
    rejected: usize,
}

fn make_logs(place: &Workplace) -> Expected {
    let mut random = Random::new(7);
    let mut groups = Vec::new();
    let mut rejected = 0;
    for file in 0..LOG_FILES {
        let mut text = String::new();
        for _ in 0..LINES {
            if random.below(20) == 0 {
                text.push_str("cut off\n");
                rejected += 1;
                continue;
            }
            // Minutes that many files share, over three hours, so that every commit merges.
            let (hour, second) = (9 + random.below(3) as u32, random.below(600) as u32);
            let status = [200, 204, 404][random.below(3) as usize];
            let client = format!("192.0.2.{}", random.below(50));
            text.push_str(&alb_line(
                hour,
                second,
                &client,
                status,
                "https://shop.example:443/",
            ));
            groups.push(format!(
                "2026-11-20T{hour:02}:{:02}:00Z,{status}",
                second / 60
            ));
        }
        place.log(&alb_name(9 + file % 3, 5 * (file % 12), file), &text);
    }
    place.rollup(
        "by_minute",
        "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, elb_status_code AS status, \
         count(*) AS requests, sum(sent_bytes) AS sent_bytes, approx_set(client_ip) AS clients \
         FROM alb_access_logs GROUP BY 1, 2",
    );
    place.rollup("every_row", "SELECT time, client_ip FROM alb_access_logs");
    Expected {
        requests: counts(groups),
        rejected,
    }
}

/// Fails unless the tables hold exactly the logs, each once.
fn check(tables: &str, expected: &Expected) {
    let rows = query(
        tables,
        "SELECT minute, status, requests, sent_bytes FROM by_minute ORDER BY 1, 2",
    );
    let expected_rows: Vec<String> = expected
        .requests
        .iter()
        .map(|(group, requests)| format!("{group},{requests},{}", 366 * requests))
        .collect();
    assert_eq!(rows, expected_rows);
    let lines: usize = expected.requests.values().sum();
    assert_eq!(
        query(tables, "SELECT count(*) FROM every_row"),
        [lines.to_string()]
    );
    assert_eq!(
        query(tables, "SELECT count(*) FROM rejected_lines"),
        [expected.rejected.to_string()]
    );
    let ledger = "SELECT \"table\", count(*), count(DISTINCT log_file), sum(lines) FROM log_files GROUP BY 1 ORDER BY 1";
    let all = LOG_FILES * LINES;
    assert_eq!(
        query(tables, ledger),
        [
            format!("by_minute,{LOG_FILES},{LOG_FILES},{all}"),
            format!("every_row,{LOG_FILES},{LOG_FILES},{all}")
        ]
    );
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
    support::logmill([
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

fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    match number("LOGMILL_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("LOGMILL_SEEDS").unwrap_or(50)).collect(),
    }
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

    let seeds = seeds();
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
    expected: &Expected,
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
