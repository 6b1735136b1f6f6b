//! What the tests of the whole program share.

#![allow(dead_code)] // Each test binary uses its own part of it.

pub mod made_logs;
pub mod python;
pub mod function;
pub mod ministack;
pub mod fault_proxy;
pub mod queues;
pub mod watch;
pub mod worker;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A command line of the program under test.
pub fn logmill<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmill"));
    command.args(args);
    command
}

/// All Rust source files below a folder; none if there is no such folder.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(rust_files(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                found.push(path)
            }
            false => {}
        }
    }
    found
}

/// The project's folder. Asked for when the test runs: clones that share a target directory share what is built.
pub fn project() -> PathBuf {
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    Path::new(&package).parent().unwrap().to_owned()
}

/// A folder for one test, with rollups and logs of its own, and tables.
pub struct Workplace {
    pub folder: tempfile::TempDir,
}

impl Workplace {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        fs::create_dir(folder.path().join("rollups")).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn log(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("logs").join(name), text).unwrap();
    }

    pub fn rollup(&self, name: &str, sql: &str) {
        fs::write(
            self.folder
                .path()
                .join("rollups")
                .join(format!("{name}.sql")),
            sql,
        )
        .unwrap();
    }

    /// The command `run` over this workplace's logs.
    pub fn run_command(&self) -> Command {
        let (logs, rollups, tables) =
            (self.path("logs"), self.path("rollups"), self.path("tables"));
        logmill(["run", &logs, "--rollups", &rollups, "--tables", &tables])
    }

    /// Runs over this workplace's logs. Returns what was printed.
    pub fn run(&self) -> String {
        succeed(&mut self.run_command())
    }

    /// The rows of a query as CSV, without the header.
    pub fn query(&self, sql: &str) -> Vec<String> {
        query(&self.path("tables"), sql)
    }
}

/// The rows of a query as CSV, without the header.
pub fn query(tables: &str, sql: &str) -> Vec<String> {
    rows(&mut query_command(tables, sql))
}

/// The command `query`, which prints CSV.
pub fn query_command(tables: &str, sql: &str) -> Command {
    logmill(["query", sql, "--tables", tables, "--format", "csv"])
}

/// The rows that a command prints as CSV, without the header.
pub fn rows(command: &mut Command) -> Vec<String> {
    succeed(command)
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect()
}

/// The seeds to try: `LOGMILL_SEED`, or as many as `LOGMILL_SEEDS` says, or as many as this.
pub fn seeds(default: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    match number("LOGMILL_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("LOGMILL_SEEDS").unwrap_or(default)).collect(),
    }
}

/// Runs a command that must succeed. Returns its standard output.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", both(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with this exit code. Returns what it printed, on both streams.
pub fn fail(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}\n{}",
        both(&output)
    );
    both(&output)
}

fn both(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A log line of an Application Load Balancer, at `second` of an hour of 2026-11-20.
pub fn alb_line(hour: u32, second: u32, client: &str, status: u32, url: &str) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!(
        "https 2026-11-20T{hour:02}:{minute:02}:{second:02}.000001Z app/shop/50dc6c495c0c9188 {client}:2817 \
         10.0.0.1:80 0.001 0.020 0.000 {status} {status} 34 366 \"GET {url} HTTP/1.1\" \"curl/8.5.0\" - - \
         arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/web/73e2d6bc24d8a067 \
         \"Root=1-58337262-36d228ad5d99923122bbe354\" \"-\" \"-\" 0 2026-11-20T{hour:02}:00:00.000000Z \"forward\" \
         \"-\" \"-\" \"10.0.0.1:80\" \"{status}\" \"-\" \"-\" TID_dc57cebed65b444ebc8177bb698fe166\n"
    )
}

/// The name that AWS would give a log file of the five minutes that end then.
pub fn alb_name(hour: u32, minute: u32, node: u32) -> String {
    format!(
        "123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_\
         20261120T{hour:02}{minute:02}Z_10.0.0.{node}_r{node}.log"
    )
}

/// A file's text as gzip.
pub fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Small deterministic random numbers, so that a seed that is printed says everything.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    /// The next number: SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Counts each of these.
pub fn counts<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// Starts these commands at once, and kills one after the other within less than a second each.
pub fn kill_at_random_moments(commands: &mut [Command], random: &mut Random) {
    let started = commands.iter_mut().map(|command| {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    });
    for mut child in started.collect::<Vec<_>>() {
        thread::sleep(Duration::from_millis(random.below(900)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
