//! The simulation: several workers, committers, settlers, vacuums, readers, rebuilders, sweepers, and persons who drop or rename the table
//! share one store, and anything that can go wrong does. The seed determines everything that happens, so a failing seed fails again.
//!
//! | what to run | what it does |
//! |---|---|
//! | `cargo test -p logmill --lib simulation` | a thousand seeds, and each guard disabled in turn |
//! | `LOGMILL_SEEDS=100000 cargo test -p logmill --lib the_protocol_holds` | a longer run |
//! | `LOGMILL_SEED=17 cargo test -p logmill --lib the_protocol_holds` | one seed, with a trace of what happens |
//! | `LOGMILL_WITHOUT=ReadBack LOGMILL_SEED=17 …` | the same without a guard |
//!
//! After every change of the store, the checker verifies that each log file is in the ledger at most once, that the rows are
//! the sum of those log files, that all files of the table exist, that every acknowledged log file is counted or staged, and
//! that each group has one row. Some staged files are stored badly: they must be set aside, and be counted when their log
//! files are staged again. Slots have room for a few groups: the other groups must be in the fold row, and a group that has a
//! row must keep it. At rest, everything must be counted, and nothing else may be left: in the table, in its copy if it was renamed, or in
//! the table that was made anew.
//!
//! The seed does not determine the order in which the kernel's own threads request objects of the log at the same moment.
//! They are answered at once, depending only on what they request, so the order does not matter.

#![allow(
    clippy::print_stdout,
    reason = "a failing seed must tell what happened"
)]

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use logmill_object_io::SystemEnv;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::guards::Guard;
use super::merging::Merge;
use super::{Definition, Root};
use crate::rollup::Rollup;

use actors::Role;
use checker::{Checker, Groups};
use random::Random;
use scheduler::{
    BEGIN, DAY, HOUR, MINUTE, Object, Objects, Operation, SECOND, Simulation, in_table,
};

mod actors;
mod checker;
mod random;
mod scheduler;
mod store;

const ROOT: &str = "s3://simulation/tables/";

/// The table, and the name that it may get.
const OLD: &str = "requests";
const NEW: &str = "renamed";
const TABLES: [&str; 2] = [OLD, NEW];

/// Number of seeds in an ordinary test run.
const SEEDS: u64 = 1000;

/// Number of seeds of which at least one must fail when a guard is disabled.
const SEEDS_WITHOUT_GUARD: u64 = 1000;

const GROUPED: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, \
     elb_status_code AS status, count(*) AS requests FROM alb_access_logs GROUP BY 1, 2";
/// The same columns of other SQL: the simulation counts each request twice for it.
const GROUPED_TWICE: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, \
     elb_status_code AS status, count(*) AS requests FROM alb_access_logs WHERE elb_status_code > 0 GROUP BY 1, 2";
const KEPT: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, \
     elb_status_code AS status FROM alb_access_logs";
const KEPT_TWICE: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, \
     elb_status_code AS status FROM alb_access_logs WHERE elb_status_code > 0";

/// How often this SQL counts a request.
fn factor(sql: &str) -> i64 {
    1 + i64::from(sql.contains("WHERE"))
}

/// Shared by all seeds, because it is slow to create: the plan of the merge, and the first version of the table.
#[derive(Debug)]
struct Template {
    /// The rollup, by the name of its table; and the same of the other SQL.
    definitions: HashMap<(&'static str, bool), Arc<Definition>>,
    merge: Option<Arc<Merge>>,
    merge_twice: Option<Arc<Merge>>,
    first_version: (Path, bytes::Bytes),
}

impl Template {
    fn new(sql: &str, twice: &str) -> Arc<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut definitions = HashMap::new();
            for name in TABLES {
                for (sql, is_twice) in [(sql, false), (twice, true)] {
                    let rollup = Rollup::from_sql(name, sql).await.unwrap();
                    definitions.insert((name, is_twice), Arc::clone(rollup.definition()));
                }
            }
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let root = Root::in_env(
                Url::parse(ROOT).unwrap(),
                Arc::clone(&store),
                Arc::new(SystemEnv),
            );
            let (table, _) = root
                .open_or_create(&definitions[&(OLD, false)])
                .await
                .unwrap();
            let twice = root.table(&definitions[&(OLD, true)]).await.unwrap();
            let path = Path::from(format!("tables/{OLD}/_delta_log/{:020}.json", 0));
            let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
            Arc::new(Self {
                definitions,
                merge: table.merge.clone(),
                merge_twice: twice.merge.clone(),
                first_version: (path, bytes),
            })
        })
    }

    /// The definition of a table by the first SQL, or by the other one.
    fn definition(&self, name: &'static str, is_twice: bool) -> &Arc<Definition> {
        &self.definitions[&(name, is_twice)]
    }
}

static GROUPED_TEMPLATE: LazyLock<Arc<Template>> =
    LazyLock::new(|| Template::new(GROUPED, GROUPED_TWICE));
static KEPT_TEMPLATE: LazyLock<Arc<Template>> = LazyLock::new(|| Template::new(KEPT, KEPT_TWICE));

/// Everything that a seed determines in advance.
#[derive(Debug)]
struct Plan {
    seed: u64,
    without: Option<Guard>,
    template: Arc<Template>,
    /// The content of each log file, by its URI.
    log_files: HashMap<String, Groups>,
    /// The deliveries to each worker.
    deliveries: Vec<Vec<Delivery>>,
    /// Duration of the run, in milliseconds.
    horizon: u64,
    /// Whether the actors ask for the lease. If not, each believes that it holds the lease.
    leased: bool,
    /// How many of a thousand requests go wrong, and during how many the client dies.
    faults: u64,
    crashes: u64,
    /// How many of a thousand staged files are stored badly.
    bad: u64,
    /// The limit of one commit, and of versions between checkpoints.
    limit: usize,
    stall: Option<Stall>,
    /// Whether old rows are removed.
    keeps_days: bool,
    /// Whether the table is renamed. Otherwise it may be dropped.
    renames: bool,
    rounds: Vec<(Role, u32)>,
}

/// A log file is delivered to a worker.
#[derive(Debug, Clone)]
struct Delivery {
    at: u64,
    uri: String,
}

/// One actor stalls for very long, at the worst moment.
#[derive(Debug, Clone)]
struct Stall {
    place: Place,
    /// How many such moments to skip first.
    after: u32,
    duration: u64,
    /// Number of versions that others write during the stall.
    versions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A committer's version is under way.
    Version,
    /// A committer has written its data files, but not yet its version.
    Manifest,
    /// A vacuum lists data files.
    List,
}

impl Stall {
    fn is_at(&self, role: Role, operation: &Operation) -> bool {
        match (self.place, role, operation) {
            (Place::Version, Role::Committer(_), Operation::Put { path, .. }) => {
                let name = in_table(path);
                name.starts_with("_delta_log/") && name.ends_with(".json")
            }
            (Place::Manifest, Role::Committer(_), Operation::Put { path, .. }) => {
                let name = in_table(path);
                name.starts_with("_ledger/") && name.matches('/').count() == 1
            }
            (Place::List, Role::Vacuum(_), Operation::List(Some(path))) => {
                in_table(path).starts_with("date=")
            }
            _ => false,
        }
    }

    fn of(random: &mut Random) -> Option<Self> {
        let (place, duration, versions) = match random.below(8) {
            0 | 1 => (
                Place::Version,
                random.between(3 * HOUR, DAY),
                random.between(1, 5),
            ),
            2 => (Place::Manifest, random.between(8 * DAY, 10 * DAY), 0),
            3 => (Place::List, random.between(8 * DAY, 10 * DAY), 99),
            _ => return None,
        };
        Some(Self {
            place,
            after: random.below(3) as u32,
            duration,
            versions: versions as u32,
        })
    }
}

impl Plan {
    fn new(seed: u64, without: Option<Guard>) -> Self {
        let mut random = Random::new(seed);
        let random = &mut random;
        let template = match random.below(4) {
            0 => &KEPT_TEMPLATE,
            _ => &GROUPED_TEMPLATE,
        };
        let horizon = [10 * MINUTE, 5 * HOUR, 3 * DAY, 12 * DAY][random.below(4) as usize];
        let mut plan = Self {
            seed,
            without,
            template: Arc::clone(template),
            log_files: HashMap::new(),
            deliveries: vec![Vec::new(); 3],
            horizon,
            leased: random.one_in(2),
            faults: [5, 30, 60, 120][random.below(4) as usize],
            crashes: [0, 5, 20][random.below(3) as usize],
            bad: [0, 0, 50, 300][random.below(4) as usize],
            limit: random.between(1, 4) as usize,
            stall: Stall::of(random),
            keeps_days: false,
            renames: false,
            rounds: Vec::new(),
        };
        for number in 0..random.between(3, 7) {
            let uri = plan.new_log_file(number, random);
            for _ in 0..random.between(1, 3) {
                plan.deliver(random.below(2) as usize, &uri, random.below(horizon));
            }
        }
        // For a stall: to be committed before the log files of the stalled actor.
        for number in 100..106 {
            let uri = plan.new_log_file(number, random);
            plan.deliver(2, &uri, 0);
        }
        // A third of the tables are rebuilt: it takes long.
        let rebuilds = [0, 0, 0, 0, 2, 3][random.below(6) as usize];
        plan.keeps_days = seed.is_multiple_of(2);
        // A fifth of the tables are dropped, and a fifth are renamed.
        let ends = &mut Random::new(seed ^ 0x64_726f_7073);
        let (drops, renames) = match ends.below(10) {
            0 | 1 => (ends.between(1, 3) as u32, 0),
            2 | 3 => (0, ends.between(1, 4) as u32),
            _ => (0, 0),
        };
        plan.renames = renames > 0;
        plan.rounds = vec![
            (Role::Committer(0), random.between(1, 4) as u32),
            (Role::Committer(1), random.between(1, 4) as u32),
            (Role::Settler(0), random.between(0, 3) as u32),
            (Role::Vacuum(0), random.between(1, 3) as u32),
            (Role::Reader(0), random.between(1, 4) as u32),
            (Role::Person(0), random.between(0, 3) as u32),
            (Role::Rebuilder(0), rebuilds),
            (Role::Rebuilder(1), random.below(2) as u32 * rebuilds),
            (Role::Sweeper(0), random.below(2) as u32 * rebuilds.min(2)),
            (Role::Dropper, drops),
            (Role::Renamer(0), renames),
            (Role::Renamer(1), ends.below(2) as u32 * renames),
        ];
        plan
    }

    /// A log file of one of a few recent hours, so that log files share hours, days and groups.
    fn new_log_file(&mut self, number: u64, random: &mut Random) -> String {
        let hours_ago = match number >= 100 {
            true => 60,
            false => [54, 53, 31, 30, 5, 0][random.below(6) as usize],
        };
        let begin = BEGIN - hours_ago * HOUR;
        let mut groups = Groups::new();
        for _ in 0..random.between(1, 4) {
            let minute = begin + random.below(2) * MINUTE + random.below(2) * HOUR;
            let status = [200, 404][random.below(2) as usize];
            groups.insert((minute as i64 * 1000, status), random.between(1, 6) as i64);
        }
        let since = begin - (BEGIN - 9 * DAY - 6 * HOUR);
        let (day, hour) = (1 + since / DAY, since % DAY / HOUR);
        let uri = format!(
            "s3://logs/1_elb_eu_app.shop.5_210001{day:02}T{hour:02}05Z_10.0.0.1_{number}.log.gz"
        );
        self.log_files.insert(uri.clone(), groups);
        uri
    }

    fn deliver(&mut self, worker: usize, uri: &str, after: u64) {
        let deliveries = &mut self.deliveries[worker];
        deliveries.push(Delivery {
            at: BEGIN + after,
            uri: uri.to_owned(),
        });
        deliveries.sort_by_key(|delivery| delivery.at);
    }
}

/// The result of a seed.
struct Report {
    seed: u64,
    failure: Option<String>,
    counts: BTreeMap<String, u64>,
    trace: Vec<String>,
}

fn run(seed: u64, without: Option<Guard>, trace: bool) -> Report {
    let plan = Plan::new(seed, without);
    let (path, bytes) = plan.template.first_version.clone();
    let first = Object {
        bytes,
        e_tag: 0,
        modified: BEGIN,
    };
    let merges = plan.template.definition(OLD, false).merges();
    let checker = Checker::new(merges, &plan.log_files, plan.renames);
    let rounds = plan.rounds.clone();
    let simulation = Simulation::new(plan, seed, Objects::from([(path, first)]), checker, trace);
    simulation.lock().rounds = rounds
        .iter()
        .copied()
        .chain([(Role::Committer(8), 2)])
        .collect();
    for role in (0..2)
        .map(Role::Worker)
        .chain(rounds.iter().map(|(role, _)| *role))
    {
        simulation.start(role, SECOND);
    }
    simulation.run();
    if simulation.lock().failure.is_none() {
        simulation.lock().calm = true;
        simulation.start(Role::Rest, SECOND);
        simulation.run();
    }
    let mut state = simulation.lock();
    Report {
        seed,
        failure: state.failure.take(),
        counts: std::mem::take(&mut state.counts),
        trace: state.trace.take().unwrap_or_default(),
    }
}

/// Runs seeds on all processors until `enough` says so. Returns the reports by seed.
fn run_all(
    seeds: std::ops::Range<u64>,
    without: Option<Guard>,
    enough: fn(&Report) -> bool,
) -> BTreeMap<u64, Report> {
    let next = AtomicU64::new(seeds.start);
    let reports = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(seed, without, false);
                    if enough(&report) {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                    reports.lock().unwrap().insert(seed, report);
                }
            });
        }
    });
    reports.into_inner().unwrap()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// How often a known seed is tried.
const KNOWN_TIMES: usize = 3;

/// Each guard, and seeds that are known to fail without it: they are tried first, as the others may take minutes to fail. The threads of
/// Delta's kernel change the course of some runs: without `Untouched`, each of its seeds fails in about four of five runs.
const GUARDS: [(Guard, &[u64]); 20] = [
    (Guard::LedgerCheck, &[2]),
    (Guard::ExactVersion, &[8]),
    (Guard::ReadBack, &[25]),
    (Guard::Deadline, &[48]),
    (Guard::OrphanGrace, &[76]),
    (Guard::ReplacedGrace, &[182]),
    (Guard::UniqueManifest, &[17]),
    (Guard::SetAsideVersion, &[21]),
    (Guard::Seal, &[71]),
    (Guard::WholeNext, &[83]),
    (Guard::Strays, &[4]),
    (Guard::KeptHours, &[324]),
    (Guard::LastVersion, &[1]),
    (Guard::LastCheckpoint, &[1]),
    (Guard::Moved, &[20]),
    (Guard::EarlierKept, &[13]),
    (Guard::NewFolder, &[25]),
    (Guard::NotMadeAnew, &[14]),
    (Guard::LastFollows, &[447]),
    (Guard::Untouched, &[688, 1537]),
];

/// Events that must occur within a thousand seeds. Otherwise the simulation has become too weak.
const MUST_HAPPEN: [&str; 35] = [
    "answers lost",
    "bad objects",
    "checkpoints",
    "commits",
    "commits with folded rows",
    "crashes",
    "data files vacuumed",
    "days reopened",
    "days settled",
    "hours anew begun",
    "late answers",
    "ledgers packed",
    "lease takeovers",
    "ledger objects vacuumed",
    "log files trimmed",
    "lost races",
    "notes deleted",
    "old rows removed",
    "objects of dead generations deleted",
    "put back",
    "put back begun",
    "repeated deliveries",
    "set aside",
    "staged anew",
    "stalls",
    "strays staged anew",
    "swaps",
    "acknowledged for a dropped table",
    "renamings begun",
    "tables dropped",
    "tables made anew",
    "tables renamed",
    "versions lost",
    "versions read",
    "zombies",
];

#[test]
fn the_protocol_holds() {
    if let Some(seed) = number("LOGMILL_SEED") {
        let without = std::env::var("LOGMILL_WITHOUT").ok();
        let without = GUARDS
            .into_iter()
            .map(|(guard, _)| guard)
            .find(|guard| Some(format!("{guard:?}")) == without);
        let report = run(seed, without, true);
        println!("{}", report.trace.join("\n"));
        assert_eq!(report.failure, None, "seed {seed}");
        return;
    }
    let begun = Instant::now();
    let seeds = number("LOGMILL_SEEDS").unwrap_or(SEEDS);
    let reports = run_all(0..seeds, None, |report| report.failure.is_some());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for report in reports.values() {
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} seeds in {seconds:.1} s", reports.len());
    for (what, count) in &counts {
        println!("{count:9}  {what}");
    }
    for report in reports.values() {
        if let Some(failure) = &report.failure {
            let trace = run(report.seed, None, true).trace;
            println!("{}", trace.join("\n"));
            panic!("LOGMILL_SEED={}: {failure}", report.seed);
        }
    }
    for what in MUST_HAPPEN {
        assert!(
            seeds < SEEDS || counts.contains_key(what),
            "none of {seeds} seeds had any: {what}"
        );
    }
}

#[test]
fn each_guard_is_needed() {
    let mut unnoticed = Vec::new();
    println!("{:16}  {:>10}  what broke", "without", "seed");
    let only = std::env::var("LOGMILL_WITHOUT").ok();
    let is_wanted = |guard: &Guard| {
        only.as_ref()
            .is_none_or(|only| *only == format!("{guard:?}"))
    };
    for (guard, known) in GUARDS.into_iter().filter(|(guard, _)| is_wanted(guard)) {
        let seeds = number("LOGMILL_SEEDS").unwrap_or(SEEDS_WITHOUT_GUARD);
        let failure = |report: Report| Some((report.seed, report.failure?));
        let known = known.iter().cycle().take(known.len() * KNOWN_TIMES);
        let mut known = known.map(|seed| failure(run(*seed, Some(guard), false)));
        let found = known.find_map(|found| found).or_else(|| {
            let reports = run_all(0..seeds, Some(guard), |report| report.failure.is_some());
            reports.into_values().find_map(failure)
        });
        match found {
            Some((seed, broken)) => {
                let broken: String = broken.chars().take(100).collect();
                println!("{:16}  {seed:10}  {broken}", format!("{guard:?}"));
            }
            None => {
                println!("{:16}  {:>10}", format!("{guard:?}"), "none");
                unnoticed.push(guard);
            }
        }
    }
    assert!(unnoticed.is_empty(), "nothing breaks without {unnoticed:?}");
}
