//! A visitor can break no rollup: whatever stands in a log line, every ordinary line is counted, every log file is staged, and every
//! commit succeeds. A line on which a rollup's SQL fails is left out of that rollup alone, and is recorded.
//!
//! Each seed makes log files in which ordinary lines stand among hostile ones, and runs them through all rollups of
//! `hostile/rollups.rs`. `LOGMILL_SEEDS=1000` tries more of them; `LOGMILL_SEED=17` tries one.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

mod hostile {
    use super::support;

    pub mod lines;
    pub mod rollups;
}

use std::backtrace::Backtrace;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Cursor;
use std::ops::Range;
use std::panic;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use hostile::lines::{Balancer, HostileLog, ORDINARY, OVERFLOWING};
use hostile::rollups::{ROLLUPS, WIDE, WORDS};
use logmill::commands::query::{Format, query};
use logmill::feeds::Feeds;
use logmill::pipeline::{self, Limits, Outcome, Source};
use logmill::rollup::Rollup;
use logmill::table::{Root, Table};
use logmill_shared::LogFile;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use support::{Random, project, seeds};
use tokio::runtime::{Handle, Runtime};
use tokio::task::{JoinError, spawn_blocking};

/// What a log file may take.
const LIMITS: Limits = Limits {
    text_bytes: 1 << 30,
    // Little, so that log files of many keys are staged as several sorted runs.
    group_bytes: 1 << 20,
};

/// Failed lines that are kept of a log file for each table, at most; and how many bytes of them certainly are.
const KEPT_FAILED_LINES: u64 = 100;
const KEPT_FAILED_BYTES: usize = 3 * 1024;

/// Hours and days that a log file may touch by times that are not those of its lines.
const FOREIGN_SLOTS_MAX: usize = 100;

/// The most memory that the whole test may take: some 80 rollups at once, of a build that is not optimised. A line that made
/// a rollup take memory without bound would take more.
const MEMORY_MAX_BYTES: u64 = 1500 << 20;

/// Where and why threads have panicked.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What is wrong, each with where it was seen.
#[derive(Default)]
struct Faults(BTreeMap<String, Vec<String>>);

impl Faults {
    fn add(&mut self, kind: impl Into<String>, seen: impl Into<String>) {
        self.0.entry(kind.into()).or_default().push(seen.into());
    }

    fn unless(&mut self, is_right: bool, kind: &str, seen: impl FnOnce() -> String) {
        if !is_right {
            self.add(kind, seen());
        }
    }
}

/// The SQL of a rollup with its placeholders spelled out.
fn sql_of(rollup: &str) -> String {
    let is_classic = rollup.contains("FROM elb_logs");
    let (time, url) = match is_classic {
        true => ("\"timestamp\"", "url"),
        false => ("time", "request_url"),
    };
    // A Classic Load Balancer's agent stands in its quotes.
    let ordinary = match is_classic {
        true => format!("\"{ORDINARY}\""),
        false => ORDINARY.to_owned(),
    };
    let counts = format!("count(*) AS n, count_if(user_agent = '{ordinary}') AS ordinary");
    let mut sql = rollup
        .replace("{time}", &format!("from_iso8601_timestamp({time})"))
        .replace("{counts}", &counts);
    for (name, _) in hostile::lines::PARAMETERS {
        let parameter = format!("url_extract_parameter({url}, '{name}')");
        sql = sql.replace(&format!("{{{name}}}"), &parameter);
    }
    assert!(!sql.contains(['{', '}']), "{sql}");
    sql
}

fn is_kept(sql: &str) -> bool {
    !sql.contains("GROUP BY")
}

fn has_where(sql: &str) -> bool {
    sql.split("FROM ").any(|part| part.contains("_logs WHERE"))
}

fn of_balancer(sql: &str) -> Balancer {
    match sql.contains("FROM elb_logs") {
        true => Balancer::Classic,
        false => Balancer::Application,
    }
}

async fn plan() -> Vec<Arc<Rollup>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("words.csv"), WORDS).unwrap();
    let rules = project().join("tests/user_agents/regexes.yaml");
    fs::copy(rules, folder.path().join("agents.yaml")).unwrap();
    for (name, sql) in ROLLUPS {
        fs::write(folder.path().join(format!("{name}.sql")), sql_of(sql)).unwrap();
    }
    let loaded = Rollup::load_folder(&folder.path().to_string_lossy()).await;
    let mut rollups = loaded.unwrap().all().unwrap();
    // In the order of their list.
    rollups.sort_by_key(|rollup| {
        let name = &rollup.definition().name;
        ROLLUPS.iter().position(|(other, _)| other == name)
    });
    rollups
}

/// A log file that was made, by its number.
struct Made {
    uri: String,
    balancer: Balancer,
    log: HostileLog,
}

impl Made {
    fn new(random: &mut Random, number: u64) -> Self {
        let (balancer, lines) = match number {
            // One has more hours and keys than a log file may touch.
            1 => (Balancer::Application, 900),
            4 => (Balancer::Classic, 250),
            _ => (Balancer::Application, 300),
        };
        Self {
            uri: format!("file:///logs/{}", balancer.name(number)),
            balancer,
            log: HostileLog::new(random, balancer, lines),
        }
    }
}

/// Runs what may panic on a thread of its own. Returns what it returns, or the panic.
async fn guarded<T: Send + 'static>(
    work: impl AsyncFnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let runtime = Handle::current();
    let result = spawn_blocking(move || runtime.block_on(work())).await;
    result.map_err(|_: JoinError| {
        let panics = PANICS.lock().unwrap();
        format!("panic: {}", panics.last().map_or("", String::as_str))
    })
}

/// Stages a log file's text for these rollups, or all. What it fails by, or panics.
async fn staged(
    tables: &Arc<Feeds>,
    which: Range<usize>,
    uri: &str,
    text: Vec<u8>,
) -> Result<Result<Outcome, String>, String> {
    let source = Source {
        log_file: LogFile::new(uri),
        bytes: text.len() as u64,
        etag: "1".to_owned(),
        plain: None,
        open: move |_| Ok(Cursor::new(text.clone())),
    };
    let tables = Arc::clone(tables);
    let staged =
        guarded(async move || pipeline::stage(source, &tables.tables[which], LIMITS).await);
    let staged = staged.await?;
    Ok(staged.map_err(|error| format!("{:#}", anyhow::Error::new(error))))
}

async fn stage(tables: &Arc<Feeds>, made: &Made, faults: &mut Faults) {
    let all = 0..tables.tables.len();
    match staged(tables, all, &made.uri, made.log.text.clone()).await {
        Ok(Ok(Outcome::Staged(staged))) => {
            for (table, reason) in staged.set_aside {
                faults.add("a log file was set aside", format!("{table}: {reason}"));
            }
        }
        Ok(Ok(other)) => faults.add(
            "a log file was not read",
            format!("{}: {other:?}", made.uri),
        ),
        Ok(Err(error)) => faults.add("a log file failed", format!("{}: {error}", made.uri)),
        Err(panic) => faults.add("staging panicked", panic),
    }
}

async fn commit(tables: &Arc<Feeds>, faults: &mut Faults) {
    let mut commits = Vec::new();
    for at in 0..tables.tables.len() {
        let tables = Arc::clone(tables);
        commits.push(tokio::spawn(guarded(async move || {
            let table = tables.fed().nth(at).unwrap();
            let committed = table.commit().await;
            let name = table.definition().name.clone();
            committed
                .map(|_| ())
                .map_err(|error| format!("{name}: {:#}", anyhow::Error::new(error)))
        })));
    }
    for committed in commits {
        match committed.await.unwrap() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => faults.add("a commit failed", error),
            Err(panic) => faults.add("a commit panicked", panic),
        }
    }
}

/// The rows of a query; none if it fails.
async fn rows(root: &Root, sql: &str, faults: &mut Faults) -> Vec<Value> {
    let mut json = Vec::new();
    if let Err(error) = query(root, None, sql, Format::Json, &mut json).await {
        let error = format!("{error:#}");
        faults.add(
            "a query failed",
            format!("{sql}: {}", error.lines().next().unwrap_or_default()),
        );
        return Vec::new();
    }
    let json = String::from_utf8(json).unwrap();
    json.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn number(row: &Value, column: &str) -> u64 {
    row[column].as_u64().unwrap_or_default()
}

/// What a table has counted, and what its ledger says of the log files.
#[derive(Debug, Default)]
struct Counted {
    rows: u64,
    ordinary: u64,
    lines: u64,
    rejected: u64,
    failed: u64,
}

/// The rows of a table. They are read as any reader would: `query` looks at all tables each time.
async fn live_rows(table: &Table, folder: &Path) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for data in table.version().await.unwrap().files() {
        let path = folder.join(&table.definition().name).join(&data.path);
        let file = fs::File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        batches.extend(reader.build().unwrap().map(Result::unwrap));
    }
    batches
}

fn bigints<'a>(batch: &'a RecordBatch, column: &str) -> &'a Int64Array {
    batch.column_by_name(column).unwrap().as_primitive()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    texts_of(batch.column_by_name(column).unwrap())
}

fn texts_of(column: &ArrayRef) -> Vec<Option<String>> {
    let texts = cast(column, &DataType::Utf8).unwrap();
    texts
        .as_string::<i32>()
        .iter()
        .map(|text| text.map(str::to_owned))
        .collect()
}

/// Counts the lines of a table, and the ordinary ones among them.
fn count(batches: &[RecordBatch], is_kept: bool) -> (u64, u64) {
    let (mut all, mut ordinary) = (0, 0);
    for batch in batches {
        match is_kept {
            true => {
                let agents = texts(batch, "user_agent").into_iter().flatten();
                ordinary += agents
                    .filter(|agent| agent.trim_matches('"') == ORDINARY)
                    .count() as i64;
                all += batch.num_rows() as i64;
            }
            false => {
                all += bigints(batch, "n").iter().flatten().sum::<i64>();
                ordinary += bigints(batch, "ordinary").iter().flatten().sum::<i64>();
            }
        }
    }
    (all as u64, ordinary as u64)
}

async fn check_rows(
    tables: &Feeds,
    folder: &Path,
    ledger: &[Value],
    made: &[Made],
    faults: &mut Faults,
) {
    let mut counted: HashMap<&str, Counted> = HashMap::new();
    for ((name, sql), each) in ROLLUPS.iter().zip(tables.rollups()) {
        let batches = live_rows(&each.table, folder).await;
        let (rows, ordinary) = count(&batches, is_kept(sql));
        let mut table = Counted {
            rows,
            ordinary,
            ..Counted::default()
        };
        for entry in ledger.iter().filter(|entry| entry["t"] == *name) {
            table.lines += number(entry, "lines");
            table.rejected += number(entry, "rejected_lines");
            table.failed += number(entry, "failed_lines");
        }
        check_counts(name, sql, &table, made, faults);
        if WIDE.contains(name) {
            check_slots(name, &batches, made.len(), faults);
        }
        if *name == "overflow" {
            check_sums(&batches, made, faults);
        }
        counted.insert(name, table);
    }
    check_condition(&counted, faults);
}

fn check_counts(name: &str, sql: &str, table: &Counted, made: &[Made], faults: &mut Faults) {
    let of_table = made.iter().filter(|made| made.balancer == of_balancer(sql));
    let (mut lines, mut ordinary) = (0, 0);
    for made in of_table {
        lines += made.log.lines.len() as u64;
        ordinary += made.log.ordinary;
    }
    let seen = || format!("{name}: {table:?}, of {lines} lines and {ordinary} ordinary ones");
    faults.unless(table.lines == lines, "the ledger has other lines", seen);
    // How many hours ordinary lines find free there is up to the others.
    let may_lose = WIDE.contains(&name);
    let is_whole = table.ordinary == ordinary || may_lose && table.ordinary < ordinary;
    faults.unless(is_whole, "ordinary lines are not counted", seen);
    let accounted = table.rows + table.failed + table.rejected;
    let is_accounted = match has_where(sql) {
        true => accounted <= table.lines,
        false => accounted == table.lines,
    };
    faults.unless(is_accounted, "lines are not accounted for", seen);
}

/// A condition is true, false or NULL of a line, or fails on it.
fn check_condition(counted: &HashMap<&str, Counted>, faults: &mut Faults) {
    let tables = ["holds", "holds_not", "unknown"].map(|name| &counted[name]);
    let [holds, others @ ..] = tables;
    // Ordinary lines are in all three.
    let rows: u64 = others.iter().map(|table| table.rows - table.ordinary).sum();
    let is_whole = holds.rows + rows + holds.failed + holds.rejected == holds.lines;
    let fails_alike = others.iter().all(|table| table.failed == holds.failed);
    faults.unless(is_whole && fails_alike, "a condition is lost", || {
        format!("{tables:?}")
    });
}

async fn check_failed_lines(root: &Root, ledger: &[Value], made: &[Made], faults: &mut Faults) {
    let by_uri: HashMap<&str, &Made> = made.iter().map(|made| (made.uri.as_str(), made)).collect();
    let mut kept: HashMap<(String, String), (u64, usize)> = HashMap::new();
    let sql = "SELECT \"table\" AS t, log_file, line_number, reason, line FROM failed_lines";
    for row in rows(root, sql, faults).await {
        let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
        let (shown, reason) = (text("line"), text("reason"));
        let of_log_file = kept.entry((text("t"), text("log_file"))).or_default();
        of_log_file.0 += 1;
        of_log_file.1 += shown.len() + reason.len();
        let lines = &by_uri[text("log_file").as_str()].log.lines;
        let line = lines.get((number(&row, "line_number") as usize).wrapping_sub(1));
        let is_that = line.is_some_and(|line| line.trim_end_matches('\r').starts_with(&shown));
        faults.unless(
            is_that && !shown.is_empty() && !reason.is_empty(),
            "a failed line is another",
            || row.to_string(),
        );
        let is_ordinary = line.is_some_and(|line| line.contains(&format!("\"{ORDINARY}\"")));
        faults.unless(
            !is_ordinary || WIDE.contains(&text("t").as_str()),
            "an ordinary line failed",
            || row.to_string(),
        );
    }
    for row in ledger {
        let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
        let kept = kept.remove(&(text("t"), text("log_file")));
        let (kept, bytes) = kept.unwrap_or_default();
        let most = number(row, "failed_lines").min(KEPT_FAILED_LINES);
        let is_right = kept == most || kept < most && bytes >= KEPT_FAILED_BYTES;
        faults.unless(is_right, "failed lines are not shown", || {
            format!("{row}: {kept} of {bytes} bytes")
        });
    }
    faults.unless(kept.is_empty(), "failed lines of no log file", || {
        format!("{kept:?}")
    });
}

/// Integer sums that a bigint can't hold are NULL, and exact beside it; all others are exact.
fn check_sums(batches: &[RecordBatch], made: &[Made], faults: &mut Faults) {
    let of_table = made
        .iter()
        .filter(|made| made.balancer == Balancer::Application);
    let ordinary: u64 = of_table.map(|made| made.log.ordinary).sum();
    for batch in batches {
        let agents = texts(batch, "agent");
        let exact = texts(batch, "s__sum");
        for (row, agent) in agents.iter().enumerate() {
            let value = |column| {
                let values = bigints(batch, column);
                values.is_valid(row).then(|| values.value(row))
            };
            let (n, s, received) = (value("n").unwrap(), value("s"), value("received"));
            let seen = || {
                format!(
                    "{agent:?}: {n} lines, {s:?}, {:?}, {received:?}",
                    exact[row]
                )
            };
            match agent.as_deref() {
                Some(ORDINARY) => {
                    let ordinary = ordinary as i64;
                    let is_exact = s == Some(ordinary) && received == Some(34 * ordinary);
                    faults.unless(is_exact, "a sum is wrong", seen);
                }
                Some(OVERFLOWING) if n > 1 => {
                    let sum = (i128::from(n) * i128::from(i64::MAX)).to_string();
                    let is_right = s.is_none() && received.is_none() && exact[row] == Some(sum);
                    faults.unless(is_right, "a sum that overflows is wrong", seen);
                }
                _ => {}
            }
        }
    }
}

/// There are more hours and days in each log file than it may touch.
fn check_slots(name: &str, batches: &[RecordBatch], log_files: usize, faults: &mut Faults) {
    let mut slots = HashSet::new();
    for batch in batches {
        let column = batch.column_by_name("hour").or(batch.column_by_name("day"));
        slots.extend(texts_of(column.unwrap()));
    }
    let is_bounded = slots.len() <= log_files * (FOREIGN_SLOTS_MAX + 1);
    let is_used = slots.len() > FOREIGN_SLOTS_MAX;
    faults.unless(
        is_bounded && is_used,
        "a log file touches other hours",
        || format!("{name}: {}", slots.len()),
    );
}

/// Reads every data file to its end, and what Delta's log says of each.
fn check_files(folder: &Path, faults: &mut Faults) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_files(&path, faults);
            continue;
        }
        let shown = path.display();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => {
                let read = || -> anyhow::Result<()> {
                    let file = fs::File::open(&path)?;
                    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
                        batch?;
                    }
                    Ok(())
                };
                if let Err(error) = read() {
                    faults.add("a data file can't be read", format!("{shown}: {error:#}"));
                }
            }
            Some("json") if shown.to_string().contains("_delta_log") => {
                let log = fs::read_to_string(&path).unwrap();
                check_delta_log(&log, &shown.to_string(), faults);
            }
            _ => {}
        }
    }
}

/// Statistics must be what other engines can read: Delta's dates and times have years of four digits.
fn check_delta_log(log: &str, path: &str, faults: &mut Faults) {
    for action in log.lines() {
        let action: Value = serde_json::from_str(action).unwrap();
        let add = &action["add"];
        let Some(partition) = add["partitionValues"]["date"].as_str() else {
            continue;
        };
        faults.unless(
            has_year(partition),
            "a partition's year has not four digits",
            || format!("{path}: {partition}"),
        );
        let statistics: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
        for bounds in ["minValues", "maxValues"] {
            for (column, value) in statistics[bounds].as_object().unwrap() {
                let Some(text) = value.as_str() else { continue };
                let is_time = text.len() < 40
                    && text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
                    && text.contains("-0")
                    && TIME_COLUMNS.contains(&column.as_str());
                faults.unless(
                    !is_time || has_year(text),
                    "a bound's year has not four digits",
                    || format!("{path}: {column} {text}"),
                );
            }
        }
    }
}

/// Columns of the rollups that are dates or times wherever they are.
const TIME_COLUMNS: &[&str] = &[
    "first", "last", "early", "late", "old", "new", "years", "quarters", "months",
];

fn has_year(text: &str) -> bool {
    let year = text.split_once('-').map_or(text, |(year, _)| year);
    year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit())
}

fn peak_memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Runs one seed.
async fn run(seed: u64, rollups: &[Arc<Rollup>], faults: &mut Faults) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::create(folder.path().to_str().unwrap()).await.unwrap();
    let opened = Feeds::open(&root, rollups.to_vec().into()).await;
    let tables = Arc::new(opened.unwrap().0);
    let mut random = Random::new(seed);
    let made: Vec<Made> = (1..=4)
        .map(|number| Made::new(&mut random, number))
        .collect();
    // In two commits, so that groups of the one merge with those of the other.
    let (first, second) = made.split_at(2);
    for part in [first, second] {
        let begin = Instant::now();
        for made in part {
            stage(&tables, made, faults).await;
        }
        let staged = begin.elapsed().as_secs_f64();
        commit(&tables, faults).await;
        let committed = begin.elapsed().as_secs_f64() - staged;
        println!("staged in {staged:.1} s, committed in {committed:.1} s");
    }
    let begin = Instant::now();
    let ledger =
        "SELECT \"table\" AS t, log_file, lines, rejected_lines, failed_lines FROM log_files";
    let ledger = rows(&root, ledger, faults).await;
    check_rows(&tables, folder.path(), &ledger, &made, faults).await;
    check_failed_lines(&root, &ledger, &made, faults).await;
    check_files(folder.path(), faults);
    println!("checked in {:.1} s", begin.elapsed().as_secs_f64());
}

fn remember_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| match thread::current().name() {
        Some("tokio-rt-worker") => {
            let trace = Backtrace::force_capture().to_string();
            let ours = trace
                .lines()
                .filter(|line| line.contains("/worker/src/") || line.contains("./src/"));
            let ours: Vec<&str> = ours.take(5).map(str::trim).collect();
            let told = format!("{panic}: {}", ours.join(", "));
            PANICS.lock().unwrap().push(told);
        }
        _ => usual(panic),
    }));
}

#[test]
fn no_visitor_breaks_a_rollup() {
    remember_panics();
    let runtime = Runtime::new().unwrap();
    let begin = Instant::now();
    let rollups = runtime.block_on(plan());
    let seconds = begin.elapsed().as_secs_f64();
    println!("{} rollups planned in {seconds:.1} s", rollups.len());
    let seeds = seeds(1);
    for seed in &seeds {
        println!("LOGMILL_SEED={seed}");
        let mut faults = Faults::default();
        runtime.block_on(run(*seed, &rollups, &mut faults));
        for (kind, seen) in &faults.0 {
            println!("{kind}, {} times:", seen.len());
            for seen in seen.iter().take(20) {
                println!("  {seen}");
            }
        }
        assert!(faults.0.is_empty(), "failed with LOGMILL_SEED={seed}");
    }
    let peak = peak_memory_bytes();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{} seeds in {seconds:.1} s, {} MB", seeds.len(), peak >> 20);
    assert!(peak < MEMORY_MAX_BYTES, "{peak} bytes");
}

/// A function that is added to the documentation is added here too.
#[test]
fn the_rollups_use_every_function() {
    let page = fs::read_to_string(project().join("docs/sql.md")).unwrap();
    let section = page
        .split("## ")
        .find(|section| section.starts_with("Functions and forms"));
    let all: String = ROLLUPS
        .iter()
        .map(|(_, sql)| sql_of(sql).to_lowercase())
        .collect();
    let mut prefix = "";
    for line in section
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| "))
    {
        for name in line.split('`').skip(1).step_by(2) {
            let name = name.trim_end_matches(" … ESCAPE");
            if name.starts_with("url_") {
                prefix = "url_extract";
            }
            let whole = match name.strip_prefix('_') {
                Some(_) => format!("{prefix}{name}("),
                // Without arguments.
                None => match name.split_once(['[', '(', '\'']) {
                    Some((function, _)) => function.to_lowercase(),
                    None => name.to_lowercase(),
                },
            };
            for name in whole.split(' ').filter(|name| !name.is_empty()) {
                let name = name.replace("\\|\\|", "||");
                assert!(all.contains(&name), "no rollup uses {name}");
            }
        }
    }
}

/// Each odd value of a parameter in a log file of its own, for each rollup that uses it, and pairs of them: shows why each
/// fails, and panics that the panics of other lines hide. It takes minutes.
#[test]
#[ignore = "a search for causes that takes minutes"]
fn each_value_alone() {
    remember_panics();
    let runtime = Runtime::new().unwrap();
    let faults = runtime.block_on(stage_each_alone());
    for (kind, seen) in &faults.0 {
        println!("{kind}, {} times:", seen.len());
        for seen in seen.iter().take(3) {
            println!("    {}", seen.chars().take(300).collect::<String>());
        }
    }
    let is_broken = |kind: &str| !kind.starts_with("a line fails");
    assert!(!faults.0.keys().any(|kind| is_broken(kind)));
}

async fn stage_each_alone() -> Faults {
    let mut faults = Faults::default();
    let folder = tempfile::tempdir().unwrap();
    let root = Root::create(folder.path().to_str().unwrap()).await.unwrap();
    let opened = Feeds::open(&root, plan().await.into()).await;
    let tables = Arc::new(opened.unwrap().0);
    // Pairs are so many that to commit them takes an hour.
    let uncommitted = tempfile::tempdir().unwrap();
    let of_pairs = Root::create(uncommitted.path().to_str().unwrap()).await;
    let of_pairs = Feeds::open(&of_pairs.unwrap(), plan().await.into()).await;
    let of_pairs = Arc::new(of_pairs.unwrap().0);
    for (at, (name, sql)) in ROLLUPS.iter().enumerate() {
        let balancer = of_balancer(sql);
        let uses = |parameter: &str| sql.contains(&format!("{{{parameter}}}"));
        let lines = hostile::lines::each_alone(balancer, uses);
        println!("{name}: {} lines", lines.len());
        for (number, (what, line, is_pair)) in lines.into_iter().enumerate() {
            let tables = if is_pair { &of_pairs } else { &tables };
            let uri = format!("file:///logs/{}", balancer.name(number as u64));
            let begin = Instant::now();
            let staged = staged(tables, at..at + 1, &uri, line).await;
            if begin.elapsed() > SLOW {
                faults.add(
                    "a line is slow",
                    format!("{name}: {what}: {:?}", begin.elapsed()),
                );
            }
            match staged {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => faults.add(
                    format!("a log file failed: {}", kind_of(&error)),
                    format!("{name}: {what}: {error}"),
                ),
                Err(panic) => faults.add(panic, format!("{name}: {what}")),
            }
        }
    }
    commit(&tables, &mut faults).await;
    let sql = "SELECT \"table\" AS t, reason, line FROM failed_lines";
    for row in rows(&root, sql, &mut faults).await {
        let reason = kind_of(row["reason"].as_str().unwrap_or_default());
        faults.add(format!("a line fails: {reason}"), row.to_string());
    }
    check_files(folder.path(), &mut faults);
    for (name, _) in ROLLUPS {
        for format in [Format::Table, Format::Csv, Format::Json] {
            let mut shown = Vec::new();
            let sql = format!("SELECT * FROM {name}");
            if let Err(error) = query(&root, None, &sql, format, &mut shown).await {
                faults.add("a query failed", format!("{name}: {error:#}"));
            }
            let shown = String::from_utf8(shown).unwrap();
            faults.unless(!shown.contains("ERROR: "), "a value can't be shown", || {
                (*name).to_owned()
            });
        }
    }
    faults
}

/// Far more than one line takes, in a build that is not optimised.
const SLOW: Duration = Duration::from_secs(2);

/// An error without what is of one line alone.
fn kind_of(error: &str) -> String {
    let error = error
        .split_once("fails on it: ")
        .map_or(error, |(_, why)| why);
    let mut kind = String::new();
    for character in error.chars().take(60) {
        match character {
            '0'..='9' if kind.ends_with('0') => {}
            '0'..='9' => kind.push('0'),
            '\'' => return kind,
            other => kind.push(other),
        }
    }
    kind
}
