//! The page over awkward states. With `LOGMILL_STATUS_PAGES=DIR`, the tests also write the pages there, for a look in a browser.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::recent_failures::RecentFailure;

const SCRIPT: &str = "<script>alert(1)</script>";

fn at() -> Moment {
    // 2026-11-20T10:05:00Z
    Moment::of_milliseconds(1_795_169_100_000)
}

fn ago(time: Duration) -> Moment {
    Moment::of_milliseconds(at().milliseconds() - time.as_millis() as i64)
}

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    let counts = counts.into_iter();
    counts
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

fn worker(id: &str, host: &str) -> Worker {
    let report = WorkerReport {
        host: host.to_owned(),
        version: "0.1.0".to_owned(),
        started: ago(seconds(7200)),
        commits: true,
        log_files: counts([
            ("staged", 0),
            ("skipped", 0),
            ("unrecognised", 0),
            ("ignored", 0),
            ("failed", 0),
        ]),
        ..WorkerReport::default()
    };
    Worker {
        id: id.to_owned(),
        heard: ago(seconds(20)),
        report,
    }
}

fn table(name: &str) -> TableStatus {
    TableStatus {
        name: name.to_owned(),
        fed_by: "its rollup".to_owned(),
        generation: Some("the first".to_owned()),
        version: Some(0),
        rows: Some(0),
        files: Some(0),
        bytes: Some(0),
        staged: Some(Waiting::default()),
        set_aside: Some(Waiting::default()),
        ..TableStatus::default()
    }
}

fn nothing() -> Gathered {
    let setting = |name, value: &str| Setting {
        name,
        value: value.to_owned(),
    };
    Gathered {
        at: at(),
        workers: vec![worker("0011223344556677", "ip-10-0-1-7")],
        unread_reports: Vec::new(),
        tables: vec![
            table("events"),
            table("slow_pages"),
            table("rejected_lines"),
        ],
        queue: Some(QueueStatus {
            name: "logmill".to_owned(),
            depth: Known::Known(Depth::default()),
            dead: Known::Known(0),
        }),
        settings: vec![
            setting("--tables", "s3://my-tables/logmill"),
            setting("--commit-interval", "30 s"),
        ],
    }
}

fn well() -> Gathered {
    let mut gathered = nothing();
    gathered
        .workers
        .push(worker("8899aabbccddeeff", "ip-10-0-2-9"));
    for (place, worker) in gathered.workers.iter_mut().enumerate() {
        let report = &mut worker.report;
        report.log_files = counts([
            ("staged", 18_204),
            ("skipped", 310),
            ("unrecognised", 0),
            ("ignored", 2),
            ("failed", 0),
        ]);
        report.kinds = counts([
            ("alb_access_logs", 18_000),
            ("alb_access_logs, JSON", 204),
            ("alb_connection_logs, not read", 310),
        ]);
        report.messages = counts([("deleted", 18_514), ("returned", 0), ("lost", 1)]);
        (report.lines, report.rejected_lines) = (81_204_113, 12);
        (report.bytes, report.text_bytes) = (3_204_113_000, 31_204_113_000);
        report.log_files_in_flight = 3;
        report.oldest_message_seconds = Some(4);
        report.recently = Throughput {
            seconds: 300.0,
            log_files: 640,
            lines: 2_810_000,
            rejected_lines: 1,
            bytes: 110_000_000,
            text_bytes: 1_070_000_000,
        };
        let names = ["events", "slow_pages", "rejected_lines"];
        report.tables = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let has_lease = at % 2 == place;
                (
                    name.to_string(),
                    TableReport {
                        has_lease,
                        ..TableReport::default()
                    },
                )
            })
            .collect();
    }
    for (place, table) in gathered.tables.iter_mut().enumerate() {
        table.version = Some(4711);
        table.rows = Some(1_204_113 / (place as u64 + 1));
        table.bytes = Some(48_204_113);
        table.newest_line = Some(ago(seconds(250)));
        table.last_commit = Some(ago(seconds(12)));
        table.finality = Some(Known::Known(Finality {
            until: Some(ago(seconds(2100))),
            waits_for: "log files later than 2026-11-20T10:00Z from each node".to_owned(),
            active_nodes: 4,
            late_log_files: 0,
        }));
        table.staged = Some(Waiting {
            log_files: 7,
            oldest: Some(ago(seconds(11))),
            are_more: false,
        });
    }
    gathered
}

fn failure(reason: &str, about: &str, message: &str, age: u64) -> RecentFailure {
    RecentFailure {
        at: ago(seconds(age)),
        reason: reason.to_owned(),
        about: about.to_owned(),
        message: message.to_owned(),
    }
}

fn wrong() -> Gathered {
    let mut gathered = well();
    let queue = gathered.queue.as_mut().unwrap();
    queue.dead = Known::Known(4);
    queue.depth = Known::Known(Depth {
        waiting: 12_045,
        in_flight: 64,
        delayed: 3,
    });
    let report = &mut gathered.workers[0].report;
    report.log_files.insert("failed".to_owned(), 96);
    report.failures = counts([("refused", 81), ("unreadable", 15)]);
    report.oldest_message_seconds = Some(3000);
    report.recent_failures = vec![
        failure(
            "refused",
            "s3://my-logs/AWSLogs/111111111111/elasticloadbalancing/eu-west-1/2026/11/20/111111111111_elasticloadbalancing_eu-west-1_app.shop.50dc6c495c0c9188_20261120T1000Z_10.0.1.7_b3c4d5e6.log.gz",
            "S3 returned AccessDenied: the AWS credentials need s3:GetObject on the object",
            20,
        ),
        failure(
            "unreadable",
            "s3://my-logs/cut.log.gz",
            "the gzip stream is cut off after 60 bytes of the file; fetch or upload the file again",
            400,
        ),
    ];
    report.tables.get_mut("events").unwrap().failing = Some(Failing {
        since: ago(seconds(1500)),
        last: ago(seconds(9)),
        error: "s3://my-tables/logmill/events/_ledger/2026-11-20T10/17e9.parquet is damaged: a byte has changed; restore the object, or remove the table's folder and count the logs again".to_owned(),
    });
    report.tables.get_mut("slow_pages").unwrap().trouble = Some(TableTrouble {
        what: "the rollup's file and the table have different SQL; the table continues with the SQL stored in it. To use the new SQL, run `logmill rebuild`".to_owned(),
        is_failure: false,
    });
    report.notable = vec![Notable {
        metric: "failed_lines".to_owned(),
        table: Some("slow_pages".to_owned()),
        count: 14,
        last: ago(seconds(600)),
    }];
    gathered.workers[1].heard = ago(seconds(400));
    gathered.tables[0].staged = Some(Waiting {
        log_files: 10_000,
        oldest: Some(ago(seconds(1500))),
        are_more: true,
    });
    gathered.tables[1].set_aside = Some(Waiting {
        log_files: 2,
        oldest: Some(ago(seconds(90_000))),
        are_more: false,
    });
    gathered.tables[1].next = Some(NextGeneration {
        name: "_generations/20261120T0900-1f".to_owned(),
        staged: Some(Waiting::default()),
    });
    gathered
}

/// The worst that somebody can write who may write to the tables' folder, or can have a log file announced.
fn hostile() -> Gathered {
    let mut gathered = wrong();
    let texts = [
        SCRIPT.to_owned(),
        "\" onmouseover=\"alert(1)\" x='".to_owned(),
        "a\u{202e}gol.exe\u{2066}\u{200f}عربي".to_owned(),
        "</bdi></style></script>&lt;&amp;\0\u{1b}[2J".to_owned(),
        "é".repeat(4096),
    ];
    for (number, text) in texts.iter().enumerate() {
        let mut other = worker("ffffffffffffffff", text);
        let report = &mut other.report;
        report.version.clone_from(text);
        report.started = Moment::of_milliseconds(i64::MIN + number as i64);
        report.log_files = counts([(text.as_str(), u64::MAX), ("staged", u64::MAX)]);
        report.kinds = counts([(text.as_str(), u64::MAX)]);
        report.failures = counts([(text.as_str(), 1)]);
        report.lines = u64::MAX;
        report.stalled_log_files = u64::MAX;
        report.recently = Throughput {
            seconds: 1e-300,
            lines: u64::MAX,
            ..Throughput::default()
        };
        report.oldest_message_seconds = Some(u64::MAX);
        report.recent_failures = vec![failure(text, text, text, 1)];
        let of_table = TableReport {
            has_lease: true,
            trouble: Some(TableTrouble {
                what: text.clone(),
                is_failure: true,
            }),
            failing: Some(Failing {
                since: Moment::of_milliseconds(i64::MAX),
                last: at(),
                error: text.clone(),
            }),
            ..TableReport::default()
        };
        report.tables.insert(text.clone(), of_table);
        report.notable = vec![Notable {
            metric: "copies".to_owned(),
            table: Some(text.clone()),
            count: u64::MAX,
            last: at(),
        }];
        other.report = other.report.bounded();
        other.heard = Moment::of_milliseconds(i64::MAX);
        gathered.workers.push(other);
        gathered.unread_reports.push(text.clone());
        let mut unread = table(text);
        unread.problem = Some(text.clone());
        unread.staged = None;
        gathered.tables.push(unread);
    }
    gathered
}

/// The page, without its style and script.
fn shown(name: &str, gathered: Gathered) -> (Status, String) {
    let status = Status::of(gathered);
    let html = page(&status).html;
    if let Ok(folder) = std::env::var("LOGMILL_STATUS_PAGES") {
        std::fs::write(format!("{folder}/{name}.html"), &html).unwrap();
    }
    let (before, after) = html.split_once("<style>").unwrap();
    let (_, after) = after.split_once("</style>").unwrap();
    let (body, script) = after.split_once("<script>").unwrap();
    assert!(script.trim_end().ends_with("</script></body></html>"));
    (status, format!("{before}{body}"))
}

#[test]
fn nothing_yet_is_well() {
    let (status, html) = shown("nothing", nothing());
    assert_eq!(status.verdict.state, None);
    assert_eq!(
        status.verdict.summary,
        "All is well. No log file has come yet"
    );
    assert!(
        html.contains("No attempt has failed") && html.contains("none yet"),
        "{html}"
    );
}

#[test]
fn all_is_well_in_words_and_figures() {
    let (status, html) = shown("well", well());
    assert_eq!(status.verdict.summary, "All is well");
    assert_eq!(status.verdict.problems, []);
    // The sums over both workers.
    for text in [
        "36,408",
        "162,408,226",
        "24 rejected",
        "Workers: 2",
        "256</span> <span class=\"note\">a minute",
        "ip-10-0-2-9",
        "4 min ago",
        "2026-11-20 09:30 UTC",
        "waits for <bdi>log files later than",
    ] {
        assert!(html.contains(text), "{text}\n{html}");
    }
    assert_eq!(
        status.totals.recently.per_second()[1],
        2.0 * 2_810_000.0 / 300.0
    );
}

#[test]
fn the_worst_comes_first() {
    let (status, html) = shown("wrong", wrong());
    let problems = &status.verdict.problems;
    assert_eq!(status.verdict.state, Some(Severity::Wrong));
    assert_eq!(status.verdict.summary, "5 things are wrong");
    assert!(problems.is_sorted_by_key(|problem| problem.severity));
    let begin = |at: usize| problems[at].what.split(':').next().unwrap();
    assert_eq!(begin(0), "4 messages are in the dead-letter queue");
    assert_eq!(
        problems[1].what,
        "events can't be committed, for 25 min; 10,000 log files are staged"
    );
    assert!(problems[2].what.starts_with("2 log files are set aside"));
    for text in [
        "2 log files are set aside for slow_pages, the first 25 h ago",
        "S3 denies access to a bucket: refused, the last time 20 s ago",
        "Messages wait too long: one was 50 min old when it was received",
        "slow_pages does not use its rollup",
        "The rollup of slow_pages fails on 14 lines",
        "The worker on ip-10-0-2-9 has said nothing for 6 min",
        "1 worker, and 1 silent",
        "More log files are staged for events than were looked at",
        "more than 10,000",
        "12,045",
    ] {
        assert!(html.contains(text), "{text}\n{html}");
    }
}

#[test]
fn a_table_is_late_unless_its_commits_fail() {
    let mut gathered = wrong();
    for worker in &mut gathered.workers {
        for table in worker.report.tables.values_mut() {
            table.failing = None;
        }
    }
    let (status, _) = shown("late", gathered);
    let late = "events is late: 10,000 log files are staged, the oldest for 25 min";
    assert_eq!(status.verdict.problems[1].what, late);
}

#[test]
fn commits_that_fail_are_among_the_failures_with_their_error() {
    let mut gathered = wrong();
    let report = &mut gathered.workers[0].report;
    report.failures.insert("upkeep".to_owned(), 53);
    let table = report.tables.entry("events".to_owned()).or_default();
    table.failing = Some(Failing {
        since: ago(seconds(600)),
        last: ago(seconds(1)),
        error: "a data file is missing".to_owned(),
    });
    let (_, html) = shown("upkeep", gathered);
    assert!(html.contains("<bdi>events</bdi>: <bdi>a data file is missing</bdi>"));
}

#[test]
fn nothing_is_claimed_of_what_is_not_known() {
    let mut gathered = well();
    gathered.queue.as_mut().unwrap().dead = Known::Unknown("access is denied".to_owned());
    gathered.unread_reports = vec!["the workers' reports can't be listed".to_owned()];
    gathered.tables[0].staged = None;
    gathered.tables[1].finality = Some(Known::Unknown("no answer within 8 s".to_owned()));
    let (status, html) = shown("unknown", gathered);
    assert_eq!(status.verdict.state, None);
    assert_eq!(status.verdict.unknown.len(), 3);
    for text in [
        "Not looked at",
        "The depth of the dead-letter queue is unknown: access is denied",
        "Up to when slow_pages is final is unknown: no answer within 8 s",
        "at least 14",
    ] {
        assert!(html.contains(text), "{text}\n{html}");
    }
}

#[test]
fn a_table_or_queue_that_does_not_answer_is_wrong() {
    let mut gathered = well();
    gathered.queue.as_mut().unwrap().depth = Known::Unknown("no answer within 5 s".to_owned());
    gathered.tables[2] = TableStatus {
        name: "rejected_lines".to_owned(),
        problem: Some("no answer within 5 s".to_owned()),
        ..TableStatus::default()
    };
    let (status, _) = shown("silent", gathered);
    let what: Vec<&str> = status
        .verdict
        .problems
        .iter()
        .map(|problem| problem.what.as_str())
        .collect();
    assert_eq!(
        what,
        [
            "The queue does not answer this worker",
            "rejected_lines can't be read"
        ]
    );
}

#[test]
fn texts_of_strangers_are_texts() {
    let (_, html) = shown("hostile", hostile());
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!html.contains("onmouseover=\"") && html.contains("&quot; onmouseover=&quot;"));
    assert!(html.contains("&lt;/bdi&gt;&lt;/style&gt;&lt;/script&gt;&amp;lt;&amp;amp;"));
    let directs = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!html.contains(directs) && html.contains("\\u{202e}"));
    assert!(!html.contains(|c: char| c.is_control() && c != '\n'));
    // 8 KB in dozens of places.
    assert!(html.len() < 150_000, "{} bytes", html.len());
    let bdi = (
        html.matches("<bdi>").count(),
        html.matches("</bdi>").count(),
    );
    assert_eq!(bdi.0, bdi.1);
    // Any other element would come from a stranger's text.
    for element in html.split('<').skip(1) {
        let name = element
            .trim_start_matches('/')
            .split([' ', '>', '!'])
            .next()
            .unwrap();
        let known = [
            "", "a", "bdi", "body", "caption", "code", "dd", "div", "dl", "dt", "footer", "h1",
            "h2", "head", "header", "html", "li", "link", "main", "meta", "noscript", "ol", "p",
            "section", "span", "strong", "table", "tbody", "td", "th", "thead", "time", "title",
            "tr", "ul",
        ];
        assert!(known.contains(&name), "{name}");
    }
}

/// However much others write, the page stays small.
#[test]
fn a_page_is_bounded() {
    let mut gathered = well();
    for number in 0..100 {
        let mut other = worker("ffffffffffffffff", "host");
        let report = &mut other.report;
        for entry in 0..300 {
            let name = format!("{number}-{entry}-{}", "x".repeat(2000));
            report.kinds.insert(name.clone(), 1);
            report.failures.insert(name.clone(), 1);
            let failing = Some(Failing {
                since: ago(seconds(1500)),
                last: at(),
                error: name.clone(),
            });
            let report_of_table = TableReport {
                has_lease: true,
                failing,
                ..TableReport::default()
            };
            report.tables.insert(name.clone(), report_of_table);
            report.recent_failures.push(failure(&name, &name, &name, 1));
        }
        other.report = other.report.bounded();
        gathered.workers.push(other);
    }
    let (status, html) = shown("much", gathered);
    assert_eq!(status.verdict.problems.len(), 50);
    assert!(status.verdict.unknown[0].ends_with("problems are not shown"));
    assert_eq!(status.totals.kinds["others"], 200 * 100 - 198 + 1);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}

#[test]
fn the_policy_allows_the_page_its_own_script_and_style_alone() {
    let headers = BTreeMap::from(Page::headers());
    let policy = headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"));
    let html = page(&Status::of(hostile())).html;
    for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
        let (_, rest) = html.split_once(&format!("<{element}>")).unwrap();
        let (text, _) = rest.split_once(&format!("</{element}>")).unwrap();
        use base64::Engine;
        let hash =
            base64::prelude::BASE64_STANDARD.encode(<sha2::Sha256 as sha2::Digest>::digest(text));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")));
        assert_eq!(html.matches(&format!("<{element}")).count(), 1);
    }
    assert!(!html.contains(" style=") && !html.contains(" on") || !html.contains(" onclick="));
    for scheme in ["http://", "https://"] {
        let outside = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains(scheme));
    }
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
}

#[test]
fn a_report_is_read_as_it_was_written_and_what_it_lacks_is_zero() {
    let report = wrong().workers.remove(0).report;
    let json = serde_json::to_string(&report).unwrap();
    let read: WorkerReport = serde_json::from_str(&json).unwrap();
    assert_eq!(read, report);
    assert_eq!(read.bounded(), report);
    let read: WorkerReport = serde_json::from_str("{\"host\":\"a\",\"new\":[1]}").unwrap();
    assert_eq!((read.host.as_str(), read.lines), ("a", 0));
    for wrong in ["{\"lines\":-1}", "{\"started\":\"yesterday\"}", ""] {
        assert!(
            serde_json::from_str::<WorkerReport>(wrong).is_err(),
            "{wrong}"
        );
    }
}
