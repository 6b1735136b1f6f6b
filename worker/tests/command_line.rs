//! What commands open, where they write to, and what they return.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::{Workplace, alb_line, alb_name, fail, logmill, query_command, succeed};
use async_trait::async_trait;
use futures::stream::BoxStream;
use logmill::commands::query::{Format, query};
use logmill::table::Root;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

/// A store that notes which objects are opened.
#[derive(Debug, Default)]
struct Opened {
    store: LocalFileSystem,
    paths: Mutex<Vec<String>>,
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened")
    }
}

#[async_trait]
impl ObjectStore for Opened {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.paths.lock().unwrap().push(location.to_string());
        self.store.get_opts(location, options).await
    }

    async fn put_opts(&self, at: &Path, put: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(at, put, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(at, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

const HOURS: u32 = 5;

/// Log files of several hours, in two tables.
fn two_tables() -> Workplace {
    let place = Workplace::new();
    for name in ["clients", "hours"] {
        let key = match name {
            "clients" => "client_ip",
            _ => "date_trunc('hour', from_iso8601_timestamp(time))",
        };
        let sql =
            format!("SELECT {key} AS key, count(*) AS requests FROM alb_access_logs GROUP BY 1");
        place.rollup(name, &sql);
    }
    for hour in 1..=HOURS {
        let line = alb_line(hour, 1, "192.0.2.1", 200, "https://shop.example/");
        place.log(&alb_name(hour, 5, hour), &line);
    }
    place.run();
    place
}

/// What a query answers, and what it opens below the folder of tables.
async fn opened_by(place: &Workplace, sql: &str) -> (Vec<String>, Vec<String>) {
    let folder = fs::canonicalize(place.path("tables")).unwrap();
    let store = Arc::new(Opened::default());
    let url = Url::from_directory_path(&folder).unwrap();
    let root = Root::in_store(url, Arc::clone(&store) as Arc<dyn ObjectStore>);
    let mut answer = Vec::new();
    query(&root, None, sql, Format::Csv, &mut answer)
        .await
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let rows = answer.lines().skip(1).map(str::to_owned).collect();
    let below = format!("{}/", folder.to_str().unwrap().trim_start_matches('/'));
    let paths = store.paths.lock().unwrap();
    let paths = paths
        .iter()
        .map(|path| path.strip_prefix(&below).unwrap().to_owned());
    (rows, paths.collect())
}

/// Whether an object has entries of the ledger. (The manifest, `_ledger/<version>.parquet`, is part of opening a table.)
fn has_entries(path: &str) -> bool {
    path.split('/').nth(1) == Some("_ledger") && path.split('/').count() == 4
}

#[tokio::test]
async fn a_query_opens_what_it_names() {
    let place = two_tables();
    let all = (2 * HOURS).to_string();
    let one = HOURS.to_string();
    let log_file = {
        let (rows, _) = opened_by(&place, "SELECT min(log_file) FROM log_files").await;
        rows[0].clone()
    };

    // The query, its answer, whether it opens each table, and the ledger's objects of both.
    let (clients, hours) = ("clients/", "hours/");
    let both = vec![clients, hours];
    let of_log_file = format!("SELECT count(*) FROM log_files WHERE log_file = '{log_file}'");
    let cases: Vec<(&str, &str, Vec<&str>, u32)> = vec![
        ("SELECT 1", "1", vec![], 0),
        (
            "SELECT sum(requests) FROM weblogs.hours",
            &one,
            vec![hours],
            0,
        ),
        (
            "SELECT sum(h.requests) FROM hours h, (SELECT 1)",
            &one,
            vec![hours],
            0,
        ),
        (
            "SELECT count(*) FROM log_files",
            &all,
            both.clone(),
            2 * HOURS,
        ),
        (
            "SELECT count(*) FROM failed_lines",
            "0",
            both.clone(),
            2 * HOURS,
        ),
        (
            "SELECT count(*) FROM log_files WHERE \"table\" = 'hours'",
            &one,
            vec![hours],
            HOURS,
        ),
        (
            "SELECT count(*) FROM log_files WHERE \"table\" IN ('hours', 'no')",
            &one,
            vec![hours],
            HOURS,
        ),
        (
            "SELECT count(*) FROM log_files WHERE \"table\" <> 'hours'",
            &one,
            vec![clients],
            HOURS,
        ),
        (
            "SELECT count(*) FROM log_files WHERE \"table\" = 'no'",
            "0",
            vec![],
            0,
        ),
        (
            "SELECT count(*) FROM failed_lines WHERE \"table\" = 'hours' AND line_number > 3",
            "0",
            vec![hours],
            HOURS,
        ),
        (&of_log_file, "2", both.clone(), 2),
        (
            "SELECT count(*) FROM log_files WHERE log_file LIKE '%T0305Z%' OR \"table\" = 'no'",
            "2",
            both.clone(),
            2 * HOURS,
        ),
    ];
    for (sql, answer, tables, ledger_objects) in cases {
        let (rows, paths) = opened_by(&place, sql).await;
        assert_eq!(rows, [answer], "{sql}");
        for table in &both {
            let is_opened = paths.iter().any(|path| path.starts_with(table));
            assert_eq!(is_opened, tables.contains(table), "{sql}: {paths:?}");
        }
        let objects = paths.iter().filter(|path| has_entries(path)).count();
        assert_eq!(objects, ledger_objects as usize, "{sql}: {paths:?}");
    }
}

/// A file below the tables whose path has this in it.
fn file(place: &Workplace, part: &str) -> PathBuf {
    let files = walkdir::WalkDir::new(place.path("tables")).into_iter();
    let mut files = files.flatten().map(walkdir::DirEntry::into_path);
    let found = files.find(|path| path.is_file() && path.to_str().unwrap().contains(part));
    found.unwrap_or_else(|| panic!("no file with {part}"))
}

#[test]
fn a_table_that_cannot_be_read_fails_the_queries_that_name_it() {
    let damage = |what: &str, place: &Workplace| match what {
        "its manifest is empty" => {
            let folder = place.folder.path().join("tables/clients/_ledger");
            let files = fs::read_dir(folder).unwrap().flatten();
            let mut files = files.map(|entry| entry.path());
            fs::write(files.find(|path| path.is_file()).unwrap(), "").unwrap();
        }
        "its log is cut off" => {
            let path = file(place, "clients/_delta_log/00000000000000000001.json");
            fs::write(path, "{\"add\":").unwrap();
        }
        _ => {
            let path = file(place, "clients/_delta_log/00000000000000000000.json");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replace("logmill.rollup", "somebody.else")).unwrap();
        }
    };
    for what in [
        "its manifest is empty",
        "its log is cut off",
        "it is another program's",
    ] {
        let place = two_tables();
        let hours = |sql: &str| assert_eq!(place.query(sql), [HOURS.to_string()], "{what}: {sql}");
        damage(what, &place);
        assert_eq!(place.query("SELECT 1"), ["1"], "{what}");
        hours("SELECT sum(requests) FROM hours");
        hours("SELECT count(*) FROM log_files WHERE \"table\" <> 'clients'");
        hours("SELECT count(*) FROM log_files WHERE \"table\" = 'hours'");
        for sql in [
            "SELECT * FROM clients",
            "SELECT * FROM log_files",
            "SELECT count(*) FROM failed_lines",
        ] {
            let told = fail(&mut query_command(&place.path("tables"), sql), 1);
            let tables = fs::canonicalize(place.path("tables")).unwrap();
            for part in [
                "the table 'clients' cannot be read: ",
                "Queries of other tables are not affected.",
                &format!("Move file://{}/clients/ out of", tables.display()),
                "WHERE \"table\" <> 'clients'",
            ] {
                assert!(told.contains(part), "{what}: {sql}: {told}");
            }
        }
    }
}

#[test]
fn a_damaged_ledger_object_fails_what_reads_it() {
    let place = two_tables();
    fs::write(file(&place, "clients/_ledger/2026-11-20T02/"), "").unwrap();
    assert_eq!(
        place.query("SELECT sum(requests) FROM clients"),
        [HOURS.to_string()]
    );
    let told = fail(
        &mut query_command(&place.path("tables"), "SELECT * FROM log_files"),
        1,
    );
    assert!(
        told.contains("the table 'clients' cannot be read: _ledger/2026-11-20T02/"),
        "{told}"
    );
}

#[test]
fn a_damaged_data_file_fails_the_queries_of_its_table() {
    let damaged = |what: &str, mut bytes: Vec<u8>| {
        match what {
            "empty" => bytes.clear(),
            "cut off" => bytes.truncate(bytes.len() / 2),
            _ => bytes[4..200].fill(0),
        }
        bytes
    };
    for what in ["empty", "cut off", "zeros where its first page was"] {
        let place = two_tables();
        let path = file(&place, "clients/date=");
        fs::write(&path, damaged(what, fs::read(&path).unwrap())).unwrap();
        assert_eq!(
            place.query("SELECT sum(requests) FROM hours"),
            [HOURS.to_string()]
        );
        let command = |sql: &str| query_command(&place.path("tables"), sql);
        let told = fail(
            &mut command("SELECT max(key), sum(requests) FROM clients"),
            1,
        );
        let of_one = "the table 'clients' cannot be read: ";
        assert!(
            told.contains(of_one) && told.contains("/clients/ out of"),
            "{what}: {told}"
        );
        let told = fail(&mut command("SELECT max(c.key) FROM clients c, hours"), 1);
        let of_two = "one of the tables 'clients', 'hours' cannot be read: ";
        assert!(told.contains(of_two), "{what}: {told}");
    }
}

#[test]
fn a_folder_without_tables_is_told_from_a_table() {
    let place = two_tables();
    let told = fail(&mut query_command(&place.path("logs"), "SELECT 1"), 1);
    assert!(
        told.contains("no tables found in file:///") && told.contains("logs/"),
        "{told}"
    );
    let told = fail(
        &mut query_command(&place.path("tables/hours"), "SELECT 1"),
        1,
    );
    assert!(
        told.contains("tables/hours/ is the folder of a single table"),
        "{told}"
    );
}

// ---- what is returned and written ------------------------------------------------------------------------------------

/// Runs a command whose standard output nobody reads. Returns its exit code, and what it said on standard error.
fn unread(command: &mut Command) -> (i32, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), told)
}

#[test]
fn a_reader_that_has_gone_does_not_change_the_exit_code() {
    let place = two_tables();
    let (logs, tables) = (place.path("logs"), place.path("tables"));
    let rollups = place.path("rollups");
    let verify = || {
        let day = ["--from", "2026-11-20", "--to", "2026-11-21"];
        let args = ["verify", "--logs", &logs, "--tables", &tables];
        logmill(args.into_iter().chain(day))
    };
    let commands = |incomplete: i32| {
        vec![
            (place.run_command(), incomplete),
            (verify(), incomplete),
            (logmill(["maintain", "--tables", &tables]), 0),
            (
                logmill(["ddl", "--rollups", &rollups, "--tables", "s3://b/t"]),
                0,
            ),
            (logmill(["query", "SELECT 1", "--tables", &tables]), 0),
            (logmill(["files", "--tables", &tables]), 0),
            (
                logmill(["query", "SELECT nonsense", "--tables", &tables]),
                1,
            ),
        ]
    };
    for (mut command, code) in commands(0) {
        let (got, told) = unread(&mut command);
        assert_eq!(got, code, "{command:?}: {told}");
        assert_eq!(told.is_empty(), code == 0, "{command:?}: {told}");
    }
    // gzip that breaks off.
    let cut_off = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b];
    fs::write(
        place.folder.path().join("logs").join(alb_name(7, 5, 7)),
        cut_off,
    )
    .unwrap();
    for (mut command, code) in commands(3) {
        assert_eq!(unread(&mut command).0, code, "{command:?}");
    }
    // A disk that is full is an error.
    for (mut command, _) in commands(3) {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
    }
}

/// A table of a thousand rows, of which a query makes as many as it likes.
fn a_thousand_rows() -> Workplace {
    let place = Workplace::new();
    place.rollup("lines", "SELECT time, request_url FROM alb_access_logs");
    let line = |number| alb_line(10, number, "192.0.2.1", 200, "https://shop.example/");
    place.log(
        &alb_name(10, 5, 1),
        &(0..1000).map(line).collect::<String>(),
    );
    place.run();
    place
}

#[test]
fn a_reader_may_stop_in_the_midst_of_a_query() {
    let place = a_thousand_rows();
    let tables = place.path("tables");
    let sql = "SELECT a.time, b.request_url FROM lines a, lines b LIMIT 100000";
    for format in ["csv", "spreadsheet-csv", "json", "parquet", "table"] {
        let sql = match format {
            "table" => sql.replace("100000", "5000"),
            _ => sql.to_owned(),
        };
        let mut child = logmill(["query", &sql, "--tables", &tables, "--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 4]).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*told), (Some(0), ""), "{format}");
    }
}

#[test]
fn a_broken_pipe_of_anything_else_is_a_failure() {
    let place = a_thousand_rows();
    let (tables, pipe) = (place.path("tables"), place.path("pipe"));
    succeed(Command::new("mkfifo").arg(&pipe));
    let sql = "SELECT a.time FROM lines a, lines b";
    let child = logmill([
        "query", sql, "--tables", &tables, "--format", "csv", "--output", &pipe,
    ])
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut reader = BufReader::with_capacity(16, fs::File::open(&pipe).unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("Broken pipe"), "{told}");
}

#[test]
fn a_failing_query_leaves_the_file_that_was_there() {
    let place = a_thousand_rows();
    let (tables, file) = (place.path("tables"), place.path("rows.csv"));
    let command = |sql: &str| {
        logmill([
            "query", sql, "--tables", &tables, "--format", "csv", "--output", &file,
        ])
    };
    succeed(&mut command("SELECT count(*) AS n FROM lines"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "n\n1000\n");
    for sql in [
        "SELECT * FROM no",
        "SELECT cast(time AS bigint) FROM lines",
        "SELECT",
    ] {
        fail(&mut command(sql), 1);
        assert_eq!(fs::read_to_string(&file).unwrap(), "n\n1000\n", "{sql}");
    }
    succeed(&mut command("SELECT 2 AS n"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "n\n2\n");
    let there = fs::read_dir(place.folder.path()).unwrap().flatten();
    let mut names: Vec<_> = there.map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["logs", "rollups", "rows.csv", "tables"]);
}

#[test]
fn as_many_log_files_are_read_at_once_as_there_are_threads_for() {
    let place = two_tables();
    let told = fail(place.run_command().args(["--threads", "257"]), 2);
    assert!(
        told.contains("at most 256: each log file takes a thread"),
        "{told}"
    );
    let line = alb_line(20, 1, "192.0.2.1", 200, "https://shop.example/");
    for number in 0..300 {
        place.log(&alb_name(20, 5 + number / 150, 100 + number % 150), &line);
    }
    let told = succeed(place.run_command().args(["--threads", "256"]));
    assert!(told.contains("300 counted"), "{told}");
}
