//! A bad disk and a careless operator. Each kind of object is damaged in each way, each rollup made wrong; what is seen of it is what
//! docs/operating.md says: other tables count, the message names the object and says what to do, and what it says helps.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::queues::{Depth, Queues};
use crate::support::worker::Worker;
use crate::support::{Workplace, alb_line, alb_name, fail, logmill, succeed};
use logmill::feeds::Feeds;
use logmill::pipeline::{self, Limits, Outcome, Source};
use logmill::rollup::Rollup;
use logmill::table::Root;
use logmill_shared::LogFile;
use object_store::ObjectStoreExt;
use tokio::runtime::Runtime;
use url::Url;
use walkdir::WalkDir;

const BY_HOUR: &str = "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, elb_status_code AS status, \
     count(*) AS requests FROM alb_access_logs GROUP BY 1, 2";
const BY_CLIENT: &str = "SELECT client_ip, count(*) AS requests FROM alb_access_logs GROUP BY 1";

/// What may happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Empty,
    Half,
    Flipped,
    Deleted,
    /// A link to itself: even root can't read it.
    Unreadable,
    Folder,
}

const HARMS: [Harm; 6] = [
    Harm::Empty,
    Harm::Half,
    Harm::Flipped,
    Harm::Deleted,
    Harm::Unreadable,
    Harm::Folder,
];

impl Harm {
    /// Does it. Returns what the object was.
    fn done_to(self, path: &Path) -> Vec<u8> {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        match self {
            Self::Empty => fs::write(path, []).unwrap(),
            Self::Half => fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
            Self::Flipped => {
                let mut flipped = bytes.clone();
                // In the middle there are rows, or JSON that matters.
                flipped[bytes.len() / 2] ^= 0x10;
                fs::write(path, flipped).unwrap();
            }
            Self::Deleted => {}
            Self::Unreadable => symlink(path, path).unwrap(),
            Self::Folder => fs::create_dir(path).unwrap(),
        }
        bytes
    }
}

fn mend(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
    fs::write(path, bytes).unwrap();
}

/// Two tables over log files of two hours, all counted.
fn place() -> Workplace {
    let place = Workplace::new();
    place.rollup("by_hour", BY_HOUR);
    place.rollup("by_client", BY_CLIENT);
    log(&place, 10);
    log(&place, 11);
    place.run();
    place
}

/// Adds a log file of three requests of that hour, by another node each time. Returns its name.
fn log(place: &Workplace, hour: u32) -> String {
    let node = fs::read_dir(place.path("logs")).unwrap().count() as u32 + 1;
    let url = "https://shop.example:443/";
    let lines: Vec<String> = (0..3)
        .map(|second| alb_line(hour, second, "192.0.2.1", 200, url))
        .collect();
    let name = alb_name(hour, 5, node);
    place.log(&name, &lines.concat());
    name
}

/// A worker that stages, and commits nothing.
struct Stager {
    feeds: Feeds,
    runtime: Runtime,
}

impl Stager {
    fn new(place: &Workplace) -> Self {
        let runtime = Runtime::new().unwrap();
        let feeds = runtime.block_on(async {
            let root = Root::create(&place.path("tables")).await.unwrap();
            let loaded = Rollup::load_folder(&place.path("rollups")).await.unwrap();
            Feeds::open(&root, loaded).await.unwrap().0
        });
        Self { feeds, runtime }
    }

    /// Commits what is staged for the table `by_hour`.
    fn commit(&self) {
        let mut fed = self.feeds.fed();
        let by_hour = fed.find(|table| table.definition().name == "by_hour");
        let committed = self.runtime.block_on(by_hour.unwrap().commit());
        assert!(!committed.unwrap().entries.is_empty());
    }

    /// Stages a log file of the workplace.
    fn stage(&self, place: &Workplace, name: &str) {
        let path = Path::new(&place.path("logs")).join(name);
        let path = path.canonicalize().unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let modified = metadata.modified().unwrap();
        let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
        let source = Source {
            log_file: LogFile::new(Url::from_file_path(&path).unwrap().to_string()),
            bytes: metadata.len(),
            etag: format!("{}-{}", metadata.len(), modified.as_nanos()),
            plain: None,
            open: |_| fs::File::open(&path),
        };
        let limits = Limits {
            text_bytes: 1 << 30,
            group_bytes: 1 << 20,
        };
        let staged = pipeline::stage(source, &self.feeds.tables, limits);
        let staged = self.runtime.block_on(staged);
        assert!(matches!(staged.unwrap(), Outcome::Staged(_)));
    }
}

/// Adds a log file of that hour, and stages it.
fn stage(place: &Workplace, hour: u32) {
    let name = log(place, hour);
    Stager::new(place).stage(place, &name);
}

/// The files of the table `by_hour` whose paths have all of these parts, in order.
fn objects(place: &Workplace, parts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(place.path("tables/by_hour"))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.retain(|path| {
        parts
            .iter()
            .all(|part| path.to_str().unwrap().contains(part))
    });
    found.sort();
    found
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn total(place: &Workplace, table: &str) -> String {
    let sum = format!("SELECT sum(requests) FROM {table}");
    place.query(&sum).remove(0)
}

fn verify(place: &Workplace) -> Command {
    let (logs, tables) = (place.path("logs"), place.path("tables"));
    logmill([
        "verify",
        "--logs",
        &logs,
        "--tables",
        &tables,
        "--from",
        "2026-11-20",
        "--to",
        "2026-11-21",
    ])
}

#[test]
fn a_damaged_staged_file_is_set_aside_and_counted_when_its_log_file_is_read_again() {
    for harm in HARMS {
        let place = place();
        stage(&place, 12);
        let staged = objects(&place, &["_staging/"]).remove(0);
        harm.done_to(&staged);
        println!("staged file: {harm:?}");
        // Without the log file nothing is staged anew.
        let logs = place.path("logs");
        let away = place.path("away");
        fs::rename(&logs, &away).unwrap();
        fs::create_dir(&logs).unwrap();
        let first = alb_name(10, 5, 1);
        let (here, there) = (Path::new(&logs).join(&first), Path::new(&away).join(&first));
        fs::rename(&there, &here).unwrap();
        let is_gone = matches!(harm, Harm::Deleted | Harm::Folder);
        match harm {
            Harm::Deleted | Harm::Folder => {
                place.run();
            }
            // A folder with such a link in it can't even be listed.
            Harm::Unreadable => {
                let printed = fail(&mut place.run_command(), 3);
                assert!(
                    printed.contains("problem    by_hour"),
                    "{harm:?}: {printed}"
                );
                assert!(printed.contains(name_of(&staged)), "{harm:?}: {printed}");
            }
            _ => {
                let printed = fail(&mut place.run_command(), 3);
                assert!(
                    printed.contains("1 set aside for by_hour"),
                    "{harm:?}: {printed}"
                );
                assert!(printed.contains("the staged file"), "{harm:?}: {printed}");
            }
        }
        assert_eq!(total(&place, "by_client"), "9", "{harm:?}");
        assert_eq!(total(&place, "by_hour"), "6", "{harm:?}");
        fs::rename(&here, &there).unwrap();
        fs::remove_dir(&logs).unwrap();
        fs::rename(&away, &logs).unwrap();
        let verified = fail(&mut verify(&place), 3);
        let said = match harm {
            Harm::Unreadable => name_of(&staged),
            _ if is_gone => "missing",
            _ => "set aside",
        };
        assert!(verified.contains(said), "{harm:?}: {verified}");
        match harm {
            Harm::Folder => fs::remove_dir(&staged).unwrap(),
            Harm::Unreadable => fs::remove_file(&staged).unwrap(),
            _ => {}
        }
        place.run();
        assert_eq!(total(&place, "by_hour"), "9", "{harm:?}");
        assert!(
            succeed(&mut verify(&place)).contains("complete"),
            "{harm:?}"
        );
    }
}

/// Damages an object of the table `by_hour` in each way, and sees that the table alone stands still, says why, and goes on when the
/// object is put back, or when the table is built anew.
fn stands_alone(kind: &str, object: impl Fn(&Workplace) -> PathBuf, harms: &[Harm]) {
    for &harm in harms {
        println!("{kind}: {harm:?}");
        let place = place();
        let object = object(&place);
        let name = name_of(&object).to_owned();
        let bytes = harm.done_to(&object);
        log(&place, 10);
        let printed = fail(&mut place.run_command(), 3);
        assert!(
            printed.contains("problem    by_hour"),
            "{kind}, {harm:?}: {printed}"
        );
        assert!(printed.contains(&name), "{kind}, {harm:?}: {printed}");
        assert_eq!(total(&place, "by_client"), "9", "{kind}, {harm:?}");
        let verified = verify(&place).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert_eq!(verified.status.code(), Some(3), "{kind}, {harm:?}: {said}");

        mend(&object, &bytes);
        place.run();
        assert_eq!(total(&place, "by_hour"), "9", "{kind}, {harm:?}: put back");
        harm.done_to(&object);
        fs::remove_dir_all(place.path("tables/by_hour")).unwrap();
        place.run();
        assert_eq!(
            total(&place, "by_hour"),
            "9",
            "{kind}, {harm:?}: built anew"
        );
        succeed(&mut verify(&place));
    }
}

#[test]
fn a_damaged_ledger_stands_alone() {
    let object = |place: &Workplace| objects(place, &["_ledger/2026-11-20T10/"]).remove(0);
    stands_alone("ledger object", object, &HARMS);
}

#[test]
fn a_damaged_manifest_stands_alone() {
    let manifest = |place: &Workplace| {
        let mut manifests = objects(place, &["_ledger/"]);
        manifests.retain(|path| path.parent().unwrap().ends_with("_ledger"));
        manifests.pop().unwrap()
    };
    stands_alone("manifest", manifest, &HARMS);
}

#[test]
fn a_damaged_data_file_stands_alone() {
    let object = |place: &Workplace| objects(place, &["date=2026-11-20/T10-"]).remove(0);
    stands_alone("data file", object, &HARMS);
}

#[test]
fn a_damaged_version_stands_alone() {
    let object = |place: &Workplace| objects(place, &["_delta_log/", "1.json"]).remove(0);
    // Without its last version a table is the one before, and that is well: see below.
    let harms: Vec<Harm> = HARMS
        .into_iter()
        .filter(|harm| !matches!(harm, Harm::Deleted | Harm::Folder))
        .collect();
    stands_alone("version", object, &harms);
}

#[test]
fn without_its_last_version_a_table_is_the_one_before_and_what_is_missing_is_told() {
    let place = place();
    fs::remove_file(objects(&place, &["_delta_log/", "1.json"]).remove(0)).unwrap();
    let verified = fail(&mut verify(&place), 3);
    assert!(verified.contains("not counted by by_hour"), "{verified}");
    place.run();
    assert_eq!(total(&place, "by_hour"), "6");
    assert_eq!(total(&place, "by_client"), "6");
    succeed(&mut verify(&place));
}

#[test]
fn a_damaged_lease_is_done_without() {
    for harm in HARMS {
        let place = place();
        let lease = objects(&place, &["_lease"]).remove(0);
        fs::write(&lease, "something").unwrap();
        harm.done_to(&lease);
        log(&place, 10);
        place.run();
        assert_eq!(total(&place, "by_hour"), "9", "{harm:?}");
    }
}

#[test]
fn a_wrong_rollup_stands_alone() {
    for wrong in ["SELECT FROM", "", "SELECT elb FROM nowhere", "\u{0}"] {
        let place = place();
        place.rollup("by_hour", wrong);
        place.rollup("never_there", wrong);
        log(&place, 12);
        let printed = fail(&mut place.run_command(), 3);
        assert!(printed.contains("by_hour.sql"), "{wrong:?}: {printed}");
        assert!(printed.contains("never_there.sql"), "{wrong:?}: {printed}");
        // The table goes on with the SQL that it remembers.
        assert_eq!(total(&place, "by_hour"), "9", "{wrong:?}");
        assert_eq!(total(&place, "by_client"), "9", "{wrong:?}");
    }
}

#[test]
fn a_foreign_table_stands_alone() {
    for name in ["foreign", "by_hour"] {
        let place = place();
        let log_folder = format!("{}/{name}/_delta_log", place.path("tables"));
        let _ = fs::remove_dir_all(place.path("tables") + "/" + name);
        fs::create_dir_all(&log_folder).unwrap();
        let version = concat!(
            r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#,
            "\n",
            r#"{"metaData":{"id":"0","format":{"provider":"parquet","options":{}},"#,
            r#""schemaString":"{\"type\":\"struct\",\"fields\":[]}","partitionColumns":[],"#,
            r#""configuration":{},"createdTime":0}}"#,
            "\n"
        );
        fs::write(log_folder + "/00000000000000000000.json", version).unwrap();
        log(&place, 12);
        match name {
            "foreign" => {
                place.run();
                assert_eq!(total(&place, "by_hour"), "9");
            }
            _ => {
                let printed = fail(&mut place.run_command(), 3);
                assert!(printed.contains("problem    by_hour"), "{printed}");
            }
        }
        assert_eq!(total(&place, "by_client"), "9", "{name}");
    }
}

#[test]
fn rows_of_other_sql_are_never_committed_to_a_table_that_was_made_anew() {
    let place = place();
    let name = log(&place, 12);
    let of_before = Stager::new(&place);
    fs::remove_dir_all(place.path("tables/by_hour")).unwrap();
    // The same columns, so that rows of the one would fit into the other.
    place.rollup("by_hour", &BY_HOUR.replace("count(*)", "sum(sent_bytes)"));
    let logs = place.path("logs");
    let aside = place.path("aside");
    fs::rename(Path::new(&logs).join(&name), &aside).unwrap();
    place.run();
    let before = total(&place, "by_hour");
    fs::rename(&aside, Path::new(&logs).join(&name)).unwrap();

    of_before.stage(&place, &name);
    fs::rename(Path::new(&logs).join(&name), &aside).unwrap();
    let printed = fail(&mut place.run_command(), 3);
    let said = "the staged file was computed with different SQL than the table";
    assert!(printed.contains(said), "{printed}");
    assert_eq!(total(&place, "by_hour"), before);
    fs::rename(&aside, Path::new(&logs).join(&name)).unwrap();
    let verified = fail(&mut verify(&place), 3);
    assert!(verified.contains(said), "{verified}");

    let (rollups, tables) = (place.path("rollups"), place.path("tables"));
    let retry = || logmill(["retry", "--rollups", &rollups, "--tables", &tables]);
    let printed = succeed(&mut retry());
    assert!(
        printed.contains("by_hour: 1 set aside before the retry, 0 still"),
        "{printed}"
    );
    succeed(&mut verify(&place));
    let of_a_log_file: u64 = before.parse::<u64>().unwrap() / 2;
    assert_eq!(total(&place, "by_hour"), (3 * of_a_log_file).to_string());
    assert!(succeed(&mut retry()).contains("no log files are set aside"));
}

#[test]
fn a_staged_file_of_no_known_log_file_is_named_until_a_person_removes_it() {
    for rubbish in [&b""[..], b"rubbish that is no Parquet file, of 44 bytes"] {
        let place = place();
        let folder = place.path("tables/by_hour/_staging/2026-11-20T12");
        fs::create_dir_all(&folder).unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        let staged = format!("{folder}/{id}.parquet");
        fs::write(&staged, rubbish).unwrap();
        log(&place, 12);
        let printed = fail(&mut place.run_command(), 3);
        assert!(printed.contains("1 set aside for by_hour"), "{printed}");
        assert_eq!(total(&place, "by_hour"), "9");
        let verified = fail(&mut verify(&place), 3);
        assert!(verified.contains(id), "{verified}");
        let (rollups, tables) = (place.path("rollups"), place.path("tables"));
        let mut retry = logmill(["retry", "--rollups", &rollups, "--tables", &tables]);
        assert!(fail(&mut retry, 3).contains(id));
        fs::remove_file(staged).unwrap();
        succeed(&mut retry);
        succeed(&mut verify(&place));
    }
}

/// Two tables, of which `by_hour` has a checkpoint, and versions after it.
fn place_with_checkpoint() -> Workplace {
    let place = place();
    let stager = Stager::new(&place);
    while objects(&place, &[".checkpoint.parquet"]).is_empty() {
        let name = log(&place, 12);
        stager.stage(&place, &name);
        stager.commit();
    }
    let name = log(&place, 12);
    stager.stage(&place, &name);
    stager.commit();
    place.run();
    place
}

/// The requests of all log files of a workplace.
fn requests(place: &Workplace) -> String {
    let log_files = fs::read_dir(place.path("logs")).unwrap().count();
    (3 * log_files).to_string()
}

/// What was in a folder of tables, so that it can be damaged more than once.
struct Kept {
    of: String,
    at: String,
}

impl Kept {
    fn of(place: &Workplace) -> Self {
        let (of, at) = (place.path("tables"), place.path("kept"));
        copy(Path::new(&of), Path::new(&at));
        Self { of, at }
    }

    fn put_back(&self) {
        fs::remove_dir_all(&self.of).unwrap();
        copy(Path::new(&self.at), Path::new(&self.of));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => {
                fs::copy(entry.path(), &to).unwrap();
                let modified = entry.metadata().unwrap().modified().unwrap();
                let copied = fs::File::options().write(true).open(&to).unwrap();
                copied.set_modified(modified).unwrap();
            }
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_done_without_and_written_anew_while_its_versions_are_there() {
    let place = place_with_checkpoint();
    let kept = Kept::of(&place);
    let checkpoint = objects(&place, &[".checkpoint.parquet"]).remove(0);
    let name = name_of(&checkpoint).to_owned();
    for harm in HARMS {
        println!("checkpoint: {harm:?}");
        kept.put_back();
        harm.done_to(&checkpoint);
        if harm == Harm::Unreadable {
            // A folder with such a link in it can't even be listed.
            let printed = fail(&mut place.run_command(), 3);
            assert!(printed.contains("problem    by_hour"), "{printed}");
            assert!(printed.contains(&name), "{printed}");
            assert!(fail(&mut verify(&place), 3).contains(&name));
            fs::remove_file(&checkpoint).unwrap();
        }
        assert_eq!(total(&place, "by_hour"), requests(&place), "{harm:?}");
        let verified = verify(&place).env("LOGMILL_LOG", "warn").output().unwrap();
        assert!(verified.status.success(), "{harm:?}");
        let told = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(told.contains(&name), "{harm:?}: {told}");

        let log_file = log(&place, 12);
        place.run();
        assert_eq!(total(&place, "by_hour"), requests(&place), "{harm:?}");
        let whole = objects(&place, &[".checkpoint.parquet"]).pop().unwrap();
        assert!(whole > checkpoint, "{harm:?}: no new one: {whole:?}");
        let verified = verify(&place).env("LOGMILL_LOG", "warn").output().unwrap();
        assert!(verified.status.success(), "{harm:?}");
        let told = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(!told.contains(&name), "{harm:?}: {told}");
        fs::remove_file(Path::new(&place.path("logs")).join(log_file)).unwrap();
    }
}

#[test]
fn a_hint_of_the_last_checkpoint_that_is_wrong_is_done_without() {
    let place = place_with_checkpoint();
    let kept = Kept::of(&place);
    let hint = objects(&place, &["_last_checkpoint"]).remove(0);
    let written: [&[u8]; 6] = [
        b"",
        b"rubbish",
        b"{}",
        b"\xff\xfe",
        br#"{"version":3,"size":1}"#,
        br#"{"version":999999,"size":1}"#,
    ];
    let seen = |what: &str| {
        println!("hint: {what}");
        assert_eq!(total(&place, "by_hour"), requests(&place), "{what}");
        succeed(&mut verify(&place));
        let log_file = log(&place, 12);
        place.run();
        assert_eq!(total(&place, "by_hour"), requests(&place), "{what}");
        fs::remove_file(Path::new(&place.path("logs")).join(log_file)).unwrap();
    };
    for rubbish in written {
        kept.put_back();
        fs::write(&hint, rubbish).unwrap();
        seen(&String::from_utf8_lossy(rubbish));
    }
    for harm in HARMS {
        kept.put_back();
        harm.done_to(&hint);
        if harm == Harm::Unreadable {
            let printed = fail(&mut place.run_command(), 3);
            assert!(printed.contains("_last_checkpoint"), "{printed}");
            fs::remove_file(&hint).unwrap();
        }
        seen(&format!("{harm:?}"));
    }
}

#[test]
fn a_damaged_checkpoint_whose_versions_are_gone_stands_alone() {
    let place = place_with_checkpoint();
    // As if all this had been a week ago: what the checkpoint stands for is trimmed.
    let week = std::time::Duration::from_hours(7 * 24);
    for object in objects(&place, &["_delta_log/"]) {
        let file = fs::File::options().write(true).open(&object).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - week).unwrap();
    }
    succeed(&mut logmill([
        "maintain",
        "--tables",
        &place.path("tables"),
    ]));
    assert!(objects(&place, &["_delta_log/", "0000.json"]).is_empty());
    let kept = Kept::of(&place);
    let checkpoint = objects(&place, &[".checkpoint.parquet"]).remove(0);
    let name = name_of(&checkpoint).to_owned();
    log(&place, 12);
    for without_hint in [false, true] {
        for harm in HARMS {
            println!("checkpoint without versions: {harm:?}, without hint: {without_hint}");
            kept.put_back();
            harm.done_to(&checkpoint);
            if without_hint {
                fs::remove_file(objects(&place, &["_last_checkpoint"]).remove(0)).unwrap();
            }
            let printed = fail(&mut place.run_command(), 3);
            let said = match (harm, without_hint) {
                // Nothing else says that there was one.
                (Harm::Deleted | Harm::Folder, true) => "_delta_log has no checkpoint",
                _ => &name,
            };
            assert!(printed.contains("problem    by_hour"), "{printed}");
            assert!(printed.contains(said), "{harm:?}: {printed}");
            assert_eq!(total(&place, "by_client"), requests(&place), "{harm:?}");
            let verified = fail(&mut verify(&place), 3);
            assert!(verified.contains(said), "{harm:?}: {verified}");
        }
    }
    kept.put_back();
    place.run();
    assert_eq!(total(&place, "by_hour"), requests(&place), "put back");
    fs::remove_file(&checkpoint).unwrap();
    fs::remove_dir_all(place.path("tables/by_hour")).unwrap();
    place.run();
    assert_eq!(total(&place, "by_hour"), requests(&place), "built anew");
    succeed(&mut verify(&place));
}

/// A command of the program in which no file can be written beyond a bound, or the disk is as full as a test wants it.
enum FullDisk {
    /// A disk of its own, in memory, that a file fills up. Not every machine lets a test mount one.
    Mounted,
    /// A limit of the system on what a process may write to a file. It is there on all machines.
    Limited,
}

impl FullDisk {
    /// Those that there are here.
    fn all() -> Vec<Self> {
        let can_mount = Command::new("unshare").args(["-rm", "true"]).status();
        match can_mount.is_ok_and(|status| status.success()) {
            true => vec![Self::Limited, Self::Mounted],
            false => vec![Self::Limited],
        }
    }

    /// Runs `run` and then `query` with so many kilobytes left, and then both with room. Returns what all of it printed, and the
    /// exit code of the first.
    fn run(&self, place: &Workplace, kilobytes: u32) -> (String, i32) {
        let run = "\"$PROGRAM\" run \"$LOGS\" --rollups \"$ROLLUPS\" --tables \"$TABLES\" 2>&1";
        let query = "\"$PROGRAM\" query 'SELECT sum(requests) FROM by_hour' --tables \"$TABLES\" --format csv";
        let script = match self {
            Self::Limited => format!(
                "trap '' XFSZ; (ulimit -f $((2 * {kilobytes})); {run}); echo \"code $?\"; {query}; {run}; {query}"
            ),
            Self::Mounted => format!(
                "set -e; mkdir \"$KEPT\"; cp -R \"$TABLES\"/. \"$KEPT\"; mount -t tmpfs -o size=8m none \"$TABLES\"; \
                 cp -R \"$KEPT\"/. \"$TABLES\"; set +e; \
                 head -c {} /dev/zero > \"$TABLES\"/filler; cat /dev/zero >> \"$TABLES\"/filler 2> /dev/null; \
                 rm \"$TABLES\"/reserve 2> /dev/null; truncate -s -{}K \"$TABLES\"/filler; \
                 {run}; echo \"code $?\"; {query}; rm \"$TABLES\"/filler; {run}; {query}; rm -r \"$KEPT\"",
                4096, kilobytes
            ),
        };
        let mut command = match self {
            Self::Limited => Command::new("bash"),
            Self::Mounted => {
                let mut command = Command::new("unshare");
                command.args(["-rm", "bash"]);
                command
            }
        };
        command.args(["-c", &script]);
        command.env("PROGRAM", env!("CARGO_BIN_EXE_logmill"));
        for (variable, folder) in [
            ("LOGS", "logs"),
            ("ROLLUPS", "rollups"),
            ("TABLES", "tables"),
            ("KEPT", "kept-disk"),
        ] {
            command.env(variable, place.path(folder));
        }
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let code = printed.lines().find_map(|line| line.strip_prefix("code "));
        let code = code.unwrap_or_else(|| panic!("{output:?}"));
        (printed.clone(), code.parse().unwrap())
    }
}

#[test]
fn a_full_disk_is_named_and_once_there_is_room_all_is_counted_once() {
    let place = place();
    let kept = Kept::of(&place);
    for _ in 0..3 {
        log(&place, 12);
    }
    for disk in FullDisk::all() {
        let said = match disk {
            FullDisk::Limited => {
                "File too large (os error 27). The file exceeds the limit for the size of files"
            }
            FullDisk::Mounted => {
                "No space left on device (os error 28). The disk is full: free some space on it, and try again"
            }
        };
        let mut failed = 0;
        // From none at all on, the disk is full at one step after the other.
        for kilobytes in [0, 1, 2, 4, 8, 16, 32, 64, 128] {
            kept.put_back();
            let (printed, code) = disk.run(&place, kilobytes);
            println!("{kilobytes} kB left: exit code {code}");
            let totals: Vec<&str> = printed
                .lines()
                .filter(|line| line.parse::<u64>().is_ok())
                .collect();
            if code != 0 {
                failed += 1;
                assert_eq!(code, 3, "{printed}");
                assert!(printed.contains(said), "{kilobytes} kB: {printed}");
                assert!(printed.contains(&place.path("tables")), "{printed}");
                assert!(!printed.contains("remove the table's folder"), "{printed}");
            }
            // Whole log files, of three requests each, or none.
            let first: u64 = totals[0].parse().unwrap();
            assert!(
                first >= 6 && first.is_multiple_of(3),
                "{kilobytes} kB: {printed}"
            );
            assert_eq!(totals[1], "15", "{kilobytes} kB: {printed}");
        }
        assert!(failed > 0, "the disk was never full");
    }
}

/// Whether files' modes mean nothing to this test.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

/// Somebody who may read a workplace, and write none of these folders.
struct Stranger {
    program: PathBuf,
    /// What may not be written, if this is somebody whose own it is.
    closed: Vec<PathBuf>,
}

impl Stranger {
    const ID: u32 = 65534;

    fn to(place: &Workplace, folders: &[&str]) -> Self {
        let program = place.folder.path().join("logmill");
        let mut closed = Vec::new();
        if is_root() {
            // Where the program is, the stranger may have no way to.
            let built = env!("CARGO_BIN_EXE_logmill");
            if !program.exists() && fs::hard_link(built, &program).is_err() {
                fs::copy(built, &program).unwrap();
            }
            fs::set_permissions(place.folder.path(), Permissions::from_mode(0o755)).unwrap();
            let all = WalkDir::new(place.path("tables"));
            for entry in all.into_iter().map(Result::unwrap) {
                let is_closed = folders
                    .iter()
                    .any(|folder| entry.path().starts_with(place.path(folder)));
                let owner = if is_closed { 0 } else { Self::ID };
                std::os::unix::fs::chown(entry.path(), Some(owner), None).unwrap();
            }
        } else {
            for folder in folders {
                let all = WalkDir::new(place.path(folder))
                    .into_iter()
                    .map(Result::unwrap);
                closed.extend(
                    all.filter(|entry| entry.file_type().is_dir())
                        .map(|entry| entry.into_path()),
                );
            }
            set_modes(&closed, 0o555);
        }
        Self { program, closed }
    }

    /// The same command, as this one gives it.
    fn command(&self, command: &Command) -> Command {
        if !is_root() {
            let mut same = Command::new(command.get_program());
            same.args(command.get_args());
            return same;
        }
        let mut same = Command::new(&self.program);
        same.args(command.get_args()).uid(Self::ID).gid(Self::ID);
        same
    }
}

fn set_modes(folders: &[PathBuf], mode: u32) {
    for folder in folders {
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        set_modes(&self.closed, 0o755);
    }
}

#[test]
fn folders_that_may_only_be_read_are_named_and_their_tables_can_be_read() {
    let place = place();
    let name = log(&place, 12);
    let stranger = Stranger::to(&place, &["tables"]);
    let printed = fail(&mut stranger.command(&place.run_command()), 3);
    let said = "Permission denied (os error 13). logmill needs permission to write there";
    assert!(printed.contains(said), "{printed}");
    assert!(printed.contains(&place.path("tables")), "{printed}");
    assert!(printed.contains(&name), "{printed}");
    assert!(!printed.contains("remove the table's folder"), "{printed}");
    let sum = "SELECT sum(requests) FROM by_hour";
    let query = crate::support::query_command(&place.path("tables"), sum);
    assert_eq!(crate::support::rows(&mut stranger.command(&query)), ["6"]);
    let verified = fail(&mut stranger.command(&verify(&place)), 3);
    assert!(verified.contains("1 missing"), "{verified}");
    drop(stranger);
    // What is staged, and can't be committed.
    Stager::new(&place).stage(&place, &name);
    let stranger = Stranger::to(&place, &["tables"]);
    let printed = fail(&mut stranger.command(&place.run_command()), 3);
    assert!(
        printed.contains("the table cannot be committed"),
        "{printed}"
    );
    assert!(printed.contains(said), "{printed}");
    assert!(!printed.contains("remove the table's folder"), "{printed}");
    drop(stranger);
    place.run();
    assert_eq!(total(&place, "by_hour"), "9");
    succeed(&mut verify(&place));

    // There is not even a folder of tables.
    let other = Workplace::new();
    other.rollup("by_hour", BY_HOUR);
    log(&other, 10);
    fs::create_dir(other.path("tables")).unwrap();
    let stranger = Stranger::to(&other, &["tables"]);
    let printed = fail(&mut stranger.command(&other.run_command()), 1);
    assert!(printed.contains("Permission denied"), "{printed}");
    assert!(printed.contains(&other.path("tables")), "{printed}");
}

#[test]
fn a_tables_folder_that_may_only_be_read_stands_alone() {
    let place = place();
    let name = log(&place, 12);
    let stranger = Stranger::to(&place, &["tables/by_hour"]);
    let printed = fail(&mut stranger.command(&place.run_command()), 3);
    let said = "Permission denied (os error 13). logmill needs permission to write there";
    assert!(printed.contains(said), "{printed}");
    assert!(printed.contains(&place.path("tables/by_hour")), "{printed}");
    assert!(printed.contains(&name), "{printed}");
    assert_eq!(total(&place, "by_client"), "9");
    assert_eq!(total(&place, "by_hour"), "6");
    let verified = fail(&mut verify(&place), 3);
    assert!(verified.contains("not counted by by_hour"), "{verified}");
    drop(stranger);
    place.run();
    assert_eq!(total(&place, "by_hour"), "9");
    assert_eq!(total(&place, "by_client"), "9");
    succeed(&mut verify(&place));
}

#[test]
fn a_data_file_that_may_not_be_read_stands_alone() {
    let place = place();
    log(&place, 10);
    let object = objects(&place, &["date=2026-11-20/T10-"]).remove(0);
    let stranger = Stranger::to(&place, &[]);
    if is_root() {
        std::os::unix::fs::chown(&object, Some(0), None).unwrap();
    }
    fs::set_permissions(&object, Permissions::from_mode(0o000)).unwrap();
    let printed = fail(&mut stranger.command(&place.run_command()), 3);
    assert!(printed.contains("problem    by_hour"), "{printed}");
    assert!(printed.contains(name_of(&object)), "{printed}");
    assert!(printed.contains("Permission denied"), "{printed}");
    assert_eq!(total(&place, "by_client"), "9");
    let verified = fail(&mut stranger.command(&verify(&place)), 3);
    assert!(verified.contains(name_of(&object)), "{verified}");
    fs::set_permissions(&object, Permissions::from_mode(0o644)).unwrap();
    succeed(&mut stranger.command(&place.run_command()));
    assert_eq!(total(&place, "by_hour"), "9");
}

/// What is in the place of a folder for one table's staging is that table's trouble.
#[test]
fn a_file_in_the_place_of_a_staging_folder_stands_alone() {
    let place = place();
    let name = log(&place, 12);
    let in_place = place.path("tables/by_hour/_staging/2026-11-20T12");
    let _ = fs::create_dir(place.path("tables/by_hour/_staging"));
    fs::write(&in_place, "a careless operator's notes").unwrap();
    let printed = fail(&mut place.run_command(), 3);
    assert!(printed.contains("1 set aside for by_hour"), "{printed}");
    assert!(printed.contains(&in_place), "{printed}");
    assert!(printed.contains("remove or rename it"), "{printed}");
    assert_eq!(total(&place, "by_client"), "9");
    assert_eq!(total(&place, "by_hour"), "6");
    let verified = fail(&mut verify(&place), 3);
    assert!(verified.contains("1 set aside"), "{verified}");
    assert!(verified.contains(&name), "{verified}");
    fs::remove_file(&in_place).unwrap();
    succeed(&mut retry(&place.path("rollups"), &place.path("tables")));
    assert_eq!(total(&place, "by_hour"), "9");
    succeed(&mut verify(&place));
}

fn retry(rollups: &str, tables: &str) -> Command {
    logmill(["retry", "--rollups", rollups, "--tables", tables])
}

/// A worker whose tables are in a folder, and whose log files are in a bucket.
struct Served {
    place: Workplace,
    aws: Ministack,
    queues: Queues,
    runtime: Runtime,
    log_files: u32,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Served {
    fn new() -> Self {
        let place = Workplace::new();
        place.rollup("by_hour", BY_HOUR);
        place.rollup("by_client", BY_CLIENT);
        let aws = Ministack::start(&["logs"]);
        Self {
            place,
            queues: Queues::new(&aws, 3),
            aws,
            runtime: Runtime::new().unwrap(),
            log_files: 0,
        }
    }

    /// The same command, which finds the bucket.
    fn at<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        at_endpoint(command, &self.aws.endpoint())
    }

    fn serve(&self) -> Worker {
        let (rollups, tables) = (self.place.path("rollups"), self.place.path("tables"));
        let mut command = logmill(["serve", "--rollups", &rollups, "--tables", &tables]);
        command.args(["--allow", "s3://logs", "--listen", "127.0.0.1:0"]);
        command.args(["--commit-interval", "1", "--queue-url", &self.queues.work]);
        Worker::start(self.at(&mut command))
    }

    /// Announces a log file of three requests of that hour, and waits until its message has gone.
    fn announce(&mut self, hour: u32) -> String {
        self.log_files += 1;
        let url = "https://shop.example:443/";
        let lines = (0..3).map(|second| alb_line(hour, second, "192.0.2.1", 200, url));
        let lines: String = lines.collect();
        let key = alb_name(hour, 5, self.log_files);
        let bucket = self.aws.bucket("logs");
        let path = object_store::path::Path::from(key.as_str());
        let put = bucket.put(&path, lines.into());
        self.runtime.block_on(put).unwrap();
        self.queues.announce([&key]);
        let is_done = |depth: Depth| {
            depth
                == Depth {
                    visible: 0,
                    hidden: 0,
                }
        };
        self.queues.wait_for(PATIENCE, "done", is_done);
        assert!(is_done(self.queues.depth(&self.queues.dead)));
        key
    }

    /// Waits until a table has this sum of requests.
    fn wait_for_total(&self, table: &str, requests: &str) {
        let begin = Instant::now();
        while total(&self.place, table) != requests {
            let now = total(&self.place, table);
            assert!(
                begin.elapsed() < PATIENCE,
                "{table}: {now}, and not {requests}"
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn verify(&self) -> Command {
        let tables = self.place.path("tables");
        let mut command = logmill(["verify", "--logs", "s3://logs", "--tables", &tables]);
        command.args(["--from", "2026-11-20", "--to", "2026-11-21"]);
        self.at(&mut command);
        command
    }

    fn retry(&self) -> Command {
        let mut command = retry(&self.place.path("rollups"), &self.place.path("tables"));
        self.at(&mut command);
        command
    }
}

#[test]
fn a_worker_sets_aside_for_one_table_what_fails_for_it_as_a_whole() {
    let mut served = Served::new();
    let worker = served.serve();
    served.announce(10);
    served.wait_for_total("by_hour", "3");
    let staging = served.place.path("tables/by_hour/_staging");
    let in_place = format!("{staging}/2026-11-20T12");
    fs::write(&in_place, "a careless operator's notes").unwrap();
    let key = served.announce(12);
    served.wait_for_total("by_client", "6");
    assert_eq!(total(&served.place, "by_hour"), "3");
    let set_aside = "logmill_failures_total{reason=\"set_aside\"}";
    assert_eq!(worker.metric(set_aside), 1.0);
    // Log files of other hours go on.
    served.announce(10);
    served.wait_for_total("by_hour", "6");
    served.wait_for_total("by_client", "9");
    let verified = fail(&mut served.verify(), 3);
    assert!(verified.contains("1 set aside"), "{verified}");
    for said in [&key, "for by_hour: ", &in_place, "remove or rename it"] {
        assert!(verified.contains(said), "{verified}");
    }
    let printed = fail(&mut served.retry(), 3);
    assert!(
        printed.contains("by_hour: 1 set aside before the retry, 1 still"),
        "{printed}"
    );

    fs::remove_file(&in_place).unwrap();
    let printed = succeed(&mut served.retry());
    assert!(
        printed.contains("by_hour: 1 set aside before the retry, 0 still"),
        "{printed}"
    );
    assert_eq!(total(&served.place, "by_hour"), "9");
    assert!(succeed(&mut served.verify()).contains("complete"));
    let log = worker.end();
    let warned = log
        .iter()
        .filter(|line| line.contains("set aside for the table"));
    let warned: Vec<&String> = warned.collect();
    assert_eq!(warned.len(), 1, "{log:#?}");
    assert!(warned[0].contains(&in_place), "{warned:?}");
}

#[test]
fn a_worker_goes_on_with_a_table_that_was_removed_and_made_anew_with_other_sql() {
    let mut served = Served::new();
    let mut worker = served.serve();
    served.announce(10);
    served.wait_for_total("by_hour", "3");
    served.wait_for_total("by_client", "3");

    // Another worker has other SQL under the name.
    let other = Workplace::new();
    let sql = BY_HOUR.replace("count(*)", "1000 * count(*)");
    other.rollup(
        "by_hour",
        &sql.replace("1000 * count(*)", "sum(sent_bytes)"),
    );
    log(&other, 10);
    other.run();
    let of_other: u64 = total(&other, "by_hour").parse().unwrap();
    let (table, away) = (
        served.place.path("tables/by_hour"),
        served.place.path("away"),
    );
    let prepared = served.place.path("prepared");
    copy(
        Path::new(&other.path("tables/by_hour")),
        Path::new(&prepared),
    );
    fs::rename(&table, &away).unwrap();
    fs::rename(&prepared, &table).unwrap();

    let told =
        worker.wait_for("rollup file not used: the table continues with the SQL stored in it");
    assert_eq!(told["table"], "by_hour", "{told}");
    assert_eq!(
        worker.metric("logmill_table_troubles{table=\"by_hour\"}"),
        1.0
    );
    // From then on its rows are those of the SQL that the table remembers.
    served.announce(11);
    served.wait_for_total("by_hour", &(2 * of_other).to_string());
    served.wait_for_total("by_client", "6");
    // What was counted before is missing, and named.
    let verified = fail(&mut served.verify(), 3);
    assert!(verified.contains("not counted by by_hour"), "{verified}");

    // Removed, and made anew by nobody else: the worker makes it, by its rollup's file.
    fs::remove_dir_all(&table).unwrap();
    worker.wait_for("table reopened");
    served.announce(12);
    served.wait_for_total("by_hour", "3");
    served.wait_for_total("by_client", "9");
    fail(&mut served.verify(), 3);
    worker.end();
}
