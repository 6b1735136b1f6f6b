//! `logmill verify`: checks that every log file of a time span is counted. It compares the listing with the ledgers, and
//! reads the log files that no ledger has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use indicatif::HumanCount;
use logmill_shared::chain;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::commands::completeness::{Ledgers, Standing, not_read};
use crate::commands::progress::Progress;
use crate::delivery::{Delivered, Silences};
use crate::format::Recognised;
use crate::intake::copies::{Copy, SeenNames};
use crate::intake::file_rules::FileRules;
use crate::intake::listing::{Listing, refuse_tables_as_logs};
use crate::intake::log_object::LogObject;
use crate::intake::span::Span;
use crate::pipeline;
use crate::table::Root;
use crate::terminal::escaped;

/// Maximum number of missing log files that are read to find out why they are missing. Each is read to its end, because
/// damage may be anywhere.
const LOOKED_INTO_MAX: usize = 1000;

/// Log files, or causes, that are shown one by one. If there are more, only some are shown.
const SHOWN: usize = 10;

/// Log files that are shown if there are many.
const EXAMPLES: usize = 3;

/// Log files read concurrently. Most of the time is spent waiting for S3.
pub(super) const LOOKS_AT_ONCE: usize = 8;

/// Maximum decompressed size of a log file, in bytes: the default of `run`.
const MAX_TEXT_BYTES: u64 = 8 << 30;

/// Configuration of a verification.
#[derive(Debug)]
pub struct Options {
    /// Where the log files are: a path, or `s3://bucket/prefix`.
    pub logs: String,
    /// The folder of tables.
    pub tables: String,
    /// The time span of the log files.
    pub span: Span,
    /// Files to ignore.
    pub rules: FileRules,
    /// The tables to check: those of the rollups that are in use. `None`: all.
    pub only: Option<BTreeSet<String>>,
    /// The interval at which each node is expected to deliver a log file. `None`: silent nodes are not looked for.
    pub expect_every: Option<Duration>,
}

/// The state of the log files of a span.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether there are log files, and all of them are counted or staged. Staged log files are certain to be counted.
    pub complete: bool,
    /// Start of the span.
    pub from: String,
    /// End of the span (exclusive).
    pub to: String,
    /// Files in the listing.
    pub log_files: usize,
    /// Log files that are counted by every table that reads them.
    pub counted: usize,
    /// Log files that the next commits will count.
    pub staged: usize,
    /// Number of counted and staged log files, by the log table that their lines are rows of.
    pub kinds: BTreeMap<&'static str, usize>,
    /// Number of skipped files, by kind: no table reads them.
    pub skipped: BTreeMap<String, usize>,
    /// Number of files excluded by the ignore patterns. They are not included in `log_files`.
    pub ignored: usize,
    /// Log files with the same name as another one. They are counted in addition to it.
    pub copies: Vec<Copy>,
    /// Files of no known kind, each with a description of its content.
    pub unrecognised: Vec<NotCounted>,
    /// Log files that changed after they were counted. The change is not counted.
    pub changed: Vec<String>,
    /// Log files that can't be counted, each with the reason.
    pub failed: Vec<NotCounted>,
    /// Set-aside log files: a table can't count them in their current state. Each has the reason.
    pub set_aside: Vec<NotCounted>,
    /// Log files that could be counted, but are not.
    pub missing: Vec<NotCounted>,
    /// Intervals for which a node delivered no log file. It may have had no traffic, so they do not make the result incomplete.
    pub silences: Option<Silences>,
    #[serde(skip)]
    have_set_aside: bool,
    /// Tables that can't be read, each with the reason. It is unknown what they have counted.
    pub unread_tables: Vec<UnreadTable>,
}

/// A table that can't be read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UnreadTable {
    /// Its name.
    pub table: String,
    /// Why it can't be read.
    pub reason: String,
}

/// A log file that is not counted.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotCounted {
    /// Its URI.
    pub log_file: String,
    /// Why it is not counted, or what is known about it. Empty if nothing is known.
    pub reason: String,
}

/// Compares the log files of a span with the tables. Failing to list log files or to read a table is an error: nothing
/// counts as complete without having been checked.
pub async fn verify(options: &Options, progress: &mut dyn Progress) -> Result<Report> {
    refuse_tables_as_logs(&options.logs, &options.tables)?;
    let root = Root::open(&options.tables).await?;
    let mut report = Report {
        from: options.span.from(),
        to: options.span.to(),
        ..Report::default()
    };
    let waits = progress.waits();
    let ledgers = Ledgers::open_noting(&root, options.only.as_ref(), waits).await?;
    let listing = Listing::begin(&options.logs, &options.tables, options.span);
    let mut delivered = options.expect_every.map(Delivered::new);
    let unsettled = list(
        listing,
        ledgers,
        options,
        &mut delivered,
        &mut report,
        progress,
    )
    .await?;
    report.silences = delivered.map(Delivered::silences);
    look_again(unsettled, &root, options, &mut report, progress).await?;
    progress.end();
    report.finish();
    Ok(report)
}

/// Compares the listing with the ledgers. Returns log files that are missing, staged or set aside; they are not in the
/// report yet.
async fn list(
    mut listing: Listing,
    mut ledgers: Ledgers,
    Options { rules, .. }: &Options,
    delivered: &mut Option<Delivered>,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<Vec<LogObject>> {
    let mut unsettled = Vec::new();
    let mut names = SeenNames::default();
    let waits = progress.waits();
    loop {
        let next = waits.begin("the list of log files");
        let Some(mut page) = listing.next().await? else {
            break;
        };
        drop(next);
        let listed = page.len();
        page.retain(|found| !rules.ignores(&found.log_file));
        report.ignored += listed - page.len();
        progress.found(page.len());
        report.log_files += page.len();
        let met = page.iter().filter_map(|found| names.meet(&found.log_file));
        report.copies.extend(met);
        if let Some(delivered) = delivered {
            page.iter().for_each(|found| delivered.add(&found.log_file));
        }
        let standings = ledgers.standings(&page).await?;
        for (found, standing) in page.into_iter().zip(standings) {
            if standing == Standing::Counted {
                report.see_kind(&ledgers, &found);
            }
            match standing {
                Standing::Missing { .. } | Standing::Staged | Standing::SetAside(_) => {
                    unsettled.push(found);
                }
                standing => {
                    report.take(found, standing);
                    progress.done(1);
                }
            }
        }
    }
    progress.found_all();
    for each in listing.not_listed() {
        match rules.ignores(&each.log_file) {
            true => report.ignored += 1,
            false => report.failed.push(NotCounted {
                log_file: each.log_file.to_string(),
                reason: each.reason,
            }),
        }
    }
    report.see_unread(&ledgers);
    report.have_set_aside = ledgers.have_set_aside();
    Ok(unsettled)
}

/// Checks unsettled log files again. The ledgers were read before the listing, so log files may have been counted or set
/// aside since. Reads those that are still missing.
async fn look_again(
    unsettled: Vec<LogObject>,
    root: &Root,
    options: &Options,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<()> {
    if unsettled.is_empty() && !report.have_set_aside {
        return Ok(());
    }
    let known = unsettled.iter().map(|found| found.log_file.id()).collect();
    let span = options.span;
    let waits = progress.waits();
    let mut ledgers = Ledgers::open_noting(root, options.only.as_ref(), waits).await?;
    let standings = ledgers.standings(&unsettled).await?;
    report.see_unread(&ledgers);
    let others = ledgers.set_aside_beside(&known, |shard| span.may_have(shard));
    for (log_file, reason) in others.await? {
        report.set_aside.push(NotCounted { log_file, reason });
    }
    let mut still = Vec::new();
    for (found, standing) in unsettled.into_iter().zip(standings) {
        let told = told_of(&standing);
        if matches!(standing, Standing::Counted | Standing::Staged) {
            report.see_kind(&ledgers, &found);
        }
        match report.take(found, standing) {
            None => progress.done(1),
            Some(found) => still.push((found, told)),
        }
    }
    look_into(still, &ledgers, &options.rules, report, progress).await
}

/// Describes what is known about a missing log file.
fn told_of(standing: &Standing) -> String {
    match standing {
        Standing::Missing {
            tables,
            in_others: true,
        } => format!("not counted by {}", tables.join(", ")),
        _ => String::new(),
    }
}

/// Reads missing log files, up to [`LOOKED_INTO_MAX`], and reports their kinds.
async fn look_into(
    mut missing: Vec<(LogObject, String)>,
    ledgers: &Ledgers,
    rules: &FileRules,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<()> {
    let rules = Arc::new(rules.clone());
    let waits = progress.waits();
    // Files that may not be logs come first: reading one can show that it is not missing. The others stay missing unless
    // they are damaged.
    missing.sort_by_key(|(found, _)| found.log_file.interval_end().is_some());
    let rest = missing.split_off(missing.len().min(LOOKED_INTO_MAX));
    let mut looks = futures::stream::iter(missing)
        .map(async |(found, told)| {
            let rules = Arc::clone(&rules);
            let _wait = waits.begin(format!("the log file {}", found.log_file.name()));
            let look = move || (look(&found, &rules), found, told);
            let look = tokio::task::spawn_blocking(look);
            look.await.context("reading a missing log file failed")
        })
        .buffer_unordered(LOOKS_AT_ONCE);
    while let Some((look, found, told)) = looks.try_next().await? {
        progress.done(1);
        let not_counted = |reason| NotCounted {
            log_file: found.log_file.to_string(),
            reason,
        };
        match look {
            Ok(Recognised::Log(format, _)) if ledgers.read_format(format) => {
                report.missing.push(not_counted(told));
            }
            Ok(Recognised::Log(format, _) | Recognised::Claimed(format)) => {
                report.skip(not_read(format));
            }
            // Its columns have shown what it is.
            Ok(Recognised::Parquet) => {}
            Ok(Recognised::Other(kind)) => report.skip(kind.to_owned()),
            Ok(Recognised::Unrecognised(what)) => {
                report.unrecognised.push(not_counted(what.to_owned()));
            }
            Err(reason) => report.failed.push(not_counted(reason)),
        }
    }
    for (found, told) in rest {
        let reason = [
            told.as_str(),
            "not opened, because too many log files are missing",
        ];
        let reason: Vec<&str> = reason.into_iter().filter(|part| !part.is_empty()).collect();
        report.missing.push(NotCounted {
            log_file: found.log_file.to_string(),
            reason: reason.join("; "),
        });
    }
    Ok(())
}

/// Reads a log file to its end, on a blocking thread. Returns what it is, or why it can't be counted. A worker would come
/// to the same result.
pub(super) fn look(found: &LogObject, rules: &FileRules) -> Result<Recognised, String> {
    let source = pipeline::source(found, rules);
    let look = pipeline::look(&source, MAX_TEXT_BYTES);
    let looked = Handle::current().block_on(look);
    looked.map_err(|error| chain(&error))
}

impl Report {
    /// Counts the kind of a log file that is counted or staged.
    fn see_kind(&mut self, ledgers: &Ledgers, found: &LogObject) {
        if let Some(format) = ledgers.known_format(&found.log_file) {
            *self.kinds.entry(format.table).or_default() += 1;
        }
    }

    /// Adds a log file to the report. A missing one is returned instead.
    fn take(&mut self, found: LogObject, standing: Standing) -> Option<LogObject> {
        match standing {
            Standing::Counted => self.counted += 1,
            Standing::Staged => self.staged += 1,
            Standing::Changed => self.changed.push(found.log_file.to_string()),
            Standing::Skipped(what) => self.skip(what),
            Standing::SetAside(tables) => {
                let reasons = tables
                    .iter()
                    .map(|(table, why)| format!("for {table}: {why}"));
                self.set_aside.push(NotCounted {
                    log_file: found.log_file.to_string(),
                    reason: reasons.collect::<Vec<_>>().join("; "),
                });
            }
            Standing::Unknown => self.missing.push(NotCounted {
                log_file: found.log_file.to_string(),
                reason: "unknown whether the log file is counted".to_owned(),
            }),
            Standing::Missing { .. } => return Some(found),
        }
        None
    }

    fn skip(&mut self, what: String) {
        *self.skipped.entry(what).or_default() += 1;
    }

    fn see_unread(&mut self, ledgers: &Ledgers) {
        for (table, reason) in &ledgers.unread {
            let unread = UnreadTable {
                table: table.clone(),
                reason: reason.clone(),
            };
            if self
                .unread_tables
                .iter()
                .all(|other| other.table != unread.table)
            {
                self.unread_tables.push(unread);
            }
        }
    }

    fn finish(&mut self) {
        self.changed.sort();
        self.failed.sort();
        self.set_aside.sort();
        self.missing.sort();
        self.unread_tables.sort();
        self.unrecognised.sort();
        self.copies.sort();
        // If nothing was found, nothing is proven: the location or the time span is probably wrong.
        self.complete = self.counted + self.staged > 0
            && self.changed.is_empty()
            && self.failed.is_empty()
            && self.set_aside.is_empty()
            && self.missing.is_empty()
            && self.unread_tables.is_empty()
            && self.unrecognised.is_empty();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: usize| HumanCount(count as u64);
        let Self { from, to, .. } = self;
        writeln!(
            f,
            "log files  {} from {from} to {to}",
            count(self.log_files)
        )?;
        count_of(f, self.counted, "counted")?;
        count_of(f, self.staged, "staged: the next commit counts them")?;
        if self.kinds.len() > 1 {
            for (table, log_files) in &self.kinds {
                count_of(f, *log_files, &format!("of {table}"))?;
            }
        }
        for (what, skipped) in &self.skipped {
            count_of(f, *skipped, &format!("skipped: {what}"))?;
        }
        count_of(f, self.ignored, "ignored")?;
        list_of(f, &self.copies, COPIES)?;
        let changed = "changed since they were counted; `logmill rebuild --all --from TIME --to TIME` counts their hours anew:";
        list_of(f, &self.changed, changed)?;
        by_cause(f, &self.failed, "failed, and not counted:")?;
        let set_aside = "set aside, and not counted; fix the cause, then run `logmill retry`:";
        by_cause(f, &self.set_aside, set_aside)?;
        by_cause(f, &self.missing, "missing:")?;
        for UnreadTable { reason, .. } in &self.unread_tables {
            writeln!(f, "table      {}", escaped(reason))?;
        }
        by_cause(f, &self.unrecognised, UNRECOGNISED)?;
        if let Some(silences) = &self.silences {
            fmt_silences(silences, f)?;
        }
        let logs = self.counted
            + self.staged
            + self.changed.len()
            + self.failed.len()
            + self.set_aside.len();
        match self.complete {
            true if self.staged > 0 => {
                writeln!(f, "complete   once the staged log files are committed")
            }
            true => writeln!(f, "complete"),
            false if logs + self.missing.len() == 0 => {
                writeln!(
                    f,
                    "incomplete no log files found in this time range that a table reads"
                )
            }
            false => writeln!(f, "incomplete"),
        }
    }
}

/// Load balancers with silent nodes, and the longest silences.
fn fmt_silences(silences: &Silences, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let count = |count: u64| HumanCount(count);
    writeln!(
        f,
        "silent     {} intervals of {} minutes, of {} nodes: no traffic, or lost before delivery",
        count(silences.intervals),
        silences.every_minutes,
        count(silences.nodes)
    )?;
    let balancers: Vec<String> = silences
        .balancers
        .iter()
        .map(|each| {
            format!(
                "{} ({} {}, {}s): {} intervals at {} of {} nodes",
                each.balancer,
                each.account,
                each.region,
                each.kind,
                count(each.intervals),
                count(each.silent_nodes),
                count(each.nodes)
            )
        })
        .collect();
    some_of(f, &balancers, "             ")?;
    if silences.longest.is_empty() {
        return Ok(());
    }
    writeln!(f, "             the longest:")?;
    let longest: Vec<String> = silences
        .longest
        .iter()
        .map(|each| {
            format!(
                "{}: {} from {} to {}",
                each.node,
                count(each.intervals),
                each.from,
                each.to
            )
        })
        .collect();
    some_of(f, &longest, "               ")
}

fn count_of(f: &mut fmt::Formatter<'_>, count: usize, what: &str) -> fmt::Result {
    match count {
        0 => Ok(()),
        _ => writeln!(f, "           {} {what}", HumanCount(count as u64)),
    }
}

fn list_of(f: &mut fmt::Formatter<'_>, list: &[impl fmt::Display], what: &str) -> fmt::Result {
    count_of(f, list.len(), what)?;
    some_of(f, list, "             ")
}

/// A few lines of a list, and how many more there are.
fn some_of(f: &mut fmt::Formatter<'_>, list: &[impl fmt::Display], indented: &str) -> fmt::Result {
    let shown = if list.len() > SHOWN { EXAMPLES } else { SHOWN };
    for each in list.iter().take(shown) {
        writeln!(f, "{indented}{}", escaped(&each.to_string()))?;
    }
    match list.len().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(
            f,
            "{indented}and {} more, which --format json lists",
            HumanCount(more as u64)
        ),
    }
}

/// Log files that are not counted: each cause with its tables, and a few log files.
fn by_cause(f: &mut fmt::Formatter<'_>, list: &[NotCounted], what: &str) -> fmt::Result {
    if list.len() <= SHOWN {
        return list_of(f, list, what);
    }
    count_of(f, list.len(), what)?;
    let mut causes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for NotCounted { log_file, reason } in list {
        causes.entry(reason).or_default().push(log_file);
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, log_files)| std::cmp::Reverse(log_files.len()));
    let more = causes.len().saturating_sub(SHOWN);
    for (cause, log_files) in causes.into_iter().take(SHOWN) {
        let cause = if cause.is_empty() {
            "counted by no table"
        } else {
            cause
        };
        let count = HumanCount(log_files.len() as u64);
        writeln!(f, "             {count}: {}", escaped(cause))?;
        some_of(f, &log_files, "               ")?;
    }
    match more {
        0 => Ok(()),
        more => writeln!(
            f,
            "             and {more} more causes, which --format json lists"
        ),
    }
}

/// Text about log files with the same name.
pub const COPIES: &str = "have the same name as another log file and count in addition to it (--ignore excludes copies):";

/// Text about files of no known kind.
pub const UNRECOGNISED: &str = "unrecognised: not a load balancer's log, nor of any other known kind (--ignore excludes such files):";

impl fmt::Display for NotCounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => f.write_str(&self.log_file),
            reason => write!(f, "{}: {reason}", self.log_file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::run;
    use crate::feeds::Feeds;
    use crate::intake::span::parse_time;
    use crate::rollup::Rollup;

    struct NoProgress;

    impl Progress for NoProgress {
        fn found(&mut self, _: usize) {}
        fn done(&mut self, _: usize) {}
        fn end(&mut self) {}
    }

    #[test]
    fn names_are_shown_as_one_line_of_text() {
        let report = Report {
            changed: vec!["s3://logs/\u{1b}[2J".to_owned()],
            failed: vec![NotCounted {
                log_file: "s3://logs/a\ncomplete".to_owned(),
                reason: "\u{9b}2J".to_owned(),
            }],
            ..Report::default()
        };
        let text = report.to_string();
        assert!(text.contains("  s3://logs/\\u{1b}[2J\n"), "{text}");
        let failed = "  s3://logs/a\\ncomplete: \\u{9b}2J\n";
        assert!(text.contains(failed), "{text}");
    }

    const LINE: &str = "https 2026-11-20T10:00:00.000001Z app/a/1 192.0.2.1:2817 - -1 -1 -1 460 - 34 366 \"GET https://a/ HTTP/1.1\"\n";

    /// A folder with a readme and log files of one line each, and one table.
    struct Scene {
        _folder: tempfile::TempDir,
        options: Options,
    }

    async fn rollups() -> Vec<Rollup> {
        let sql = "SELECT elb, count(*) AS lines FROM alb_access_logs GROUP BY 1";
        vec![Rollup::from_sql("by_elb", sql).await.unwrap()]
    }

    impl Scene {
        async fn new(log_files: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
            std::fs::create_dir(path("logs")).unwrap();
            for number in 0..log_files {
                let name = format!("1_elasticloadbalancing_r_app.a.1_20261120T1005Z_{number}.log");
                std::fs::write(path("logs/") + &name, LINE).unwrap();
            }
            std::fs::write(path("logs/readme"), "no log").unwrap();
            let root = Root::create(&path("tables")).await.unwrap();
            Feeds::open(&root, rollups().await.into()).await.unwrap();
            let time = |text| parse_time(text).unwrap();
            let options = Options {
                logs: path("logs"),
                tables: path("tables"),
                span: Span::new(time("2026-11-20"), time("2999-01-01")).unwrap(),
                rules: FileRules::default(),
                only: None,
                expect_every: None,
            };
            Self {
                _folder: folder,
                options,
            }
        }

        async fn run(&self) {
            let options = run::Options {
                logs: vec![self.options.logs.clone()],
                tables: self.options.tables.clone(),
                max_log_file_bytes: 1000,
                threads: None,
                rules: FileRules::default(),
            };
            run::run(rollups().await.into(), &options, &mut NoProgress)
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_looked_into_is_bounded_and_begins_with_what_may_be_no_log() {
        let scene = Scene::new(LOOKED_INTO_MAX + 4).await;
        let report = verify(&scene.options, &mut NoProgress).await.unwrap();
        assert_eq!(report.log_files, LOOKED_INTO_MAX + 5);
        assert_eq!(report.unrecognised.len(), 1);
        assert_eq!(report.missing.len(), LOOKED_INTO_MAX + 4);
        let left = report.missing.iter();
        let left = left.filter(|missing| missing.reason.starts_with("not opened"));
        assert_eq!(left.count(), 5);
        assert!(!report.complete);
        let text = report.to_string();
        for line in [
            "           1,004 missing:\n             999: counted by no table\n",
            "               and 996 more, which --format json lists\n             5: not opened, because",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(text.lines().count() < 25, "{text}");
    }

    #[tokio::test]
    async fn what_is_counted_meanwhile_is_not_missing() {
        let scene = Scene::new(3).await;
        let root = Root::open(&scene.options.tables).await.unwrap();
        let before = Ledgers::open(&root, None).await.unwrap();
        scene.run().await;
        let options = &scene.options;
        let listing = Listing::begin(&options.logs, &options.tables, options.span);
        let mut report = Report::default();
        let missing = list(
            listing,
            before,
            options,
            &mut None,
            &mut report,
            &mut NoProgress,
        )
        .await
        .unwrap();
        assert_eq!((missing.len(), report.counted), (4, 0));
        look_again(missing, &root, &scene.options, &mut report, &mut NoProgress)
            .await
            .unwrap();
        report.finish();
        assert_eq!((report.counted, report.unrecognised.len()), (3, 1));
        assert!(!report.complete, "as long as the readme is not ignored");
    }
}
