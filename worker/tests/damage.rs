//! A bad disk and a careless operator. Each kind of object is damaged in each way, each rollup made wrong; what is seen of it is what
//! docs/operating.md says: other tables count, the message names the object and says what to do, and what it says helps.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use logmill::feeds::{Feeds, RollupTable};
use logmill::journey::{self, Limits, Outcome, Source};
use logmill::rollup::Rollup;
use logmill::table::Root;
use logmill_shared::LogFile;
use support::{Workplace, alb_line, alb_name, fail, logmill, succeed};
use tokio::runtime::Runtime;
use url::Url;

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
            open: || fs::File::open(&path),
        };
        let limits = Limits {
            text_bytes: 1 << 30,
            group_bytes: 1 << 20,
        };
        let rollups: Vec<&RollupTable> = self.feeds.fed().collect();
        let staged = journey::stage(source, &rollups, &self.feeds.rejected_lines, limits);
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
                    printed.contains("trouble    by_hour"),
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
                assert!(printed.contains("what is staged"), "{harm:?}: {printed}");
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
            printed.contains("trouble    by_hour"),
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
                assert!(printed.contains("trouble    by_hour"), "{printed}");
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
    let said = "it was staged for other SQL than the table is the result of";
    assert!(printed.contains(said), "{printed}");
    assert_eq!(total(&place, "by_hour"), before);
    fs::rename(&aside, Path::new(&logs).join(&name)).unwrap();
    let verified = fail(&mut verify(&place), 3);
    assert!(verified.contains(said), "{verified}");

    let (rollups, tables) = (place.path("rollups"), place.path("tables"));
    let retry = || logmill(["retry", "--rollups", &rollups, "--tables", &tables]);
    let printed = succeed(&mut retry());
    assert!(
        printed.contains("by_hour: 1 set aside before, 0 still"),
        "{printed}"
    );
    succeed(&mut verify(&place));
    let of_a_log_file: u64 = before.parse::<u64>().unwrap() / 2;
    assert_eq!(total(&place, "by_hour"), (3 * of_a_log_file).to_string());
    assert!(succeed(&mut retry()).contains("nothing is set aside"));
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
