//! Compares a certificate with the current tables and, on request, with the log files.
//!
//! The certificate is first read to check it against itself. If the roots of a day are equal, so are its log files. Only the lists of
//! days that differ are read again, and compared one log file after the other.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use logmill_shared::Shard;

use super::file::{Certificate, CountedLogFile, DayRecord, TableRecord};
use super::read::{Checked, ListSums, Lists, read};
use super::report::{Cause, Check, Difference, What};
use super::requests::LinesByHour;
use super::tables::{LedgerDays, OpenTable, Totals};
use super::{check_days, each, logs};
use crate::commands::progress::Progress;
use crate::intake::file_rules::FileRules;
use crate::intake::listing::refuse_tables_as_logs;
use crate::intake::span::Span;
use crate::table::{Entry, Root};

/// Number of log files that are named as a possible cause.
const CAUSES_SHOWN: usize = 3;

/// What to check.
#[derive(Debug)]
pub struct Options {
    /// The file.
    pub certificate: PathBuf,
    /// The folder of tables.
    pub tables: String,
    /// Where the log files are, if they should be compared too.
    pub logs: Option<String>,
    /// Files to ignore among them.
    pub rules: FileRules,
}

/// Checks a certificate.
///
/// # Errors
///
/// It can't be read; no table can be listed; or the log files can't be listed. A table that can't be read is a difference.
pub async fn against(options: &Options, progress: &mut dyn Progress) -> Result<Check> {
    if let Some(logs) = &options.logs {
        refuse_tables_as_logs(logs, &options.tables)?;
    }
    let path = &options.certificate;
    let checked = Checked::read(path)?;
    let certificate = &checked.certificate;
    let days = days_of(certificate)?;
    let root = Root::open(&options.tables).await?;
    let mut check = Check {
        root: certificate.root.clone(),
        from: certificate.from.clone(),
        to: certificate.to.clone(),
        complete: certificate.complete,
        log_files: certificate.log_files(),
        certificate_changes: checked.changes(),
        ..Check::default()
    };
    let names = OpenTable::names(&root, None).await?;
    for record in &certificate.tables {
        check.tables.push(record.table.clone());
        let mut comparing = Comparing {
            record,
            days: &days,
            check: &mut check,
        };
        let Some(table) = comparing.open(&root, &names, certificate).await? else {
            continue;
        };
        if let Err(error) = comparing.compare(&root, &table, &checked, path).await {
            comparing.differ(None, cannot_be_read(&error));
        }
    }
    if let Some(logs) = &options.logs {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let place = logs::Place {
            logs,
            tables: &options.tables,
            rules: &options.rules,
            span: Span::new(midnight(days.start), midnight(days.end))?,
        };
        let compared = logs::compare(certificate, path, place, progress);
        check.logs = Some(compared.await?);
    }
    check.end();
    Ok(check)
}

/// The days of a certificate, which each of its tables must have one by one.
fn days_of(certificate: &Certificate) -> Result<Range<NaiveDate>> {
    let day = |text: &str| {
        let day = text.parse::<NaiveDate>();
        day.with_context(|| format!("the certificate has {text:?} where a day is expected"))
    };
    let days = day(&certificate.from)?..day(&certificate.to)?;
    check_days(&days)?;
    for table in &certificate.tables {
        let named = table.days.iter().map(|day| day.day.clone());
        if !named.eq(each(&days).map(|day| day.to_string())) {
            bail!(
                "the certificate has not each day from {} to {} of the table '{}'",
                days.start,
                days.end,
                table.table
            );
        }
    }
    Ok(days)
}

/// A table that is being compared.
struct Comparing<'c> {
    record: &'c TableRecord,
    days: &'c Range<NaiveDate>,
    check: &'c mut Check,
}

/// A day whose log files differ, with the table's current ones.
type Now = BTreeMap<String, Vec<(String, Vec<CountedLogFile>)>>;

fn cannot_be_read(error: &anyhow::Error) -> What {
    What::Table {
        reason: format!("{error:#}"),
    }
}

impl Comparing<'_> {
    fn differ(&mut self, day: Option<&str>, what: What) {
        self.check.differences.push(Difference {
            table: self.record.table.clone(),
            day: day.map(str::to_owned),
            what,
        });
    }

    fn cause(&mut self, cause: String) {
        self.check.causes.push(Cause {
            table: self.record.table.clone(),
            cause,
        });
    }

    /// Opens the table. If it is gone, opens the one that it was probably renamed to.
    async fn open(
        &mut self,
        root: &Root,
        names: &[String],
        certificate: &Certificate,
    ) -> Result<Option<OpenTable>> {
        let name = &self.record.table;
        let opened = match names.contains(name) {
            true => OpenTable::open(root, name).await,
            false => Ok(None),
        };
        match opened {
            Ok(Some(table)) => return Ok(Some(table)),
            Ok(None) => {}
            Err(error) => {
                self.differ(None, cannot_be_read(&error));
                return Ok(None);
            }
        }
        let reason = "the table is gone".to_owned();
        self.differ(None, What::Table { reason });
        let is_certified = |name: &&String| {
            let mut tables = certificate.tables.iter();
            tables.any(|table| table.table == **name)
        };
        let mut alike = Vec::new();
        for other in names.iter().filter(|name| !is_certified(name)) {
            // A table that can't be read is not the renamed one.
            if let Ok(Some(table)) = OpenTable::open(root, other).await
                && table.sql_hash() == self.record.sql
            {
                alike.push(table);
            }
        }
        let renamed = alike.pop().filter(|_| alike.is_empty());
        if let Some(table) = &renamed {
            self.cause(format!(
                "the table {} has the same SQL: the table was probably renamed, and {} is compared",
                table.name, table.name
            ));
        }
        Ok(renamed)
    }

    async fn compare(
        &mut self,
        root: &Root,
        table: &OpenTable,
        checked: &Checked,
        path: &Path,
    ) -> Result<()> {
        let record = self.record;
        let before = self.check.differences.len();
        if table.sql_hash() != record.sql {
            // Its numbers mean something else, even if their totals are the same.
            let reason = "the table now has other SQL or other lookups".to_owned();
            self.differ(None, What::Table { reason });
        }
        let mut totals = table.totals(root, self.days).await?;
        let mut ledger = LedgerDays::new(table, self.days.clone());
        let balancers = checked.certificate.requests.iter();
        let balancers = balancers.filter(|each| each.table == record.table);
        let balancers: Vec<&str> = balancers.map(|each| each.balancer.as_str()).collect();
        let mut lines = LinesByHour::of(table, balancers);
        let mut other_lists = Now::new();
        for (day, certified) in each(self.days).zip(&record.days) {
            let log_files = ledger.of(day).await?;
            let failed_lines = log_files.iter().map(|each| each.failed_lines).sum();
            let counted: Vec<CountedLogFile> =
                log_files.into_iter().map(|each| each.counted).collect();
            if let Some(lines) = &mut lines {
                counted.iter().for_each(|each| lines.add(each));
            }
            let sums = ListSums::of(&counted);
            let is_same = sums.root == certified.log_files_root;
            self.compare_numbers(certified, &sums, failed_lines, is_same);
            if !is_same || checked.is_list_changed(&certified.log_files_root) {
                let lists = other_lists.entry(certified.log_files_root.clone());
                let day = (certified.day.clone(), counted);
                lists.or_default().push(day);
            }
            let totals = totals.remove(&certified.day).unwrap_or_default();
            self.compare_totals(table, certified, day, &totals, is_same)
                .await?;
            // The lists that differ are compared by portions, so that few are in memory.
            if other_lists.len() >= LISTS_AT_ONCE {
                self.compare_lists(std::mem::take(&mut other_lists), path)?;
            }
        }
        self.compare_lists(other_lists, path)?;
        if let Some(lines) = &mut lines {
            lines.add_after(table, self.days.end).await?;
            self.compare_lines(checked, lines);
        }
        if self.check.differences.len() > before {
            self.say_causes(table);
        }
        Ok(())
    }

    /// Compares the numbers of a day's log files. If the log files differ, so do their numbers, and the log files are named.
    fn compare_numbers(
        &mut self,
        certified: &DayRecord,
        now: &ListSums,
        failed_lines: i64,
        is_same: bool,
    ) {
        let numbers = [
            ("log_files", certified.log_files, now.log_files),
            ("bytes", certified.bytes, now.bytes),
            ("lines", certified.lines, now.lines),
            (
                "rejected_lines",
                certified.rejected_lines,
                now.rejected_lines,
            ),
            ("failed_lines", certified.failed_lines, failed_lines),
        ];
        for (name, certified_number, now) in numbers {
            if certified_number != now && (is_same || name == "failed_lines") {
                self.number(&certified.day, name, certified_number, now);
            }
        }
    }

    fn number(&mut self, day: &str, name: &str, certified: i64, now: i64) {
        let what = What::Number {
            name: name.to_owned(),
            certified: Some(certified.to_string()),
            now: Some(now.to_string()),
        };
        self.differ(Some(day), what);
    }

    async fn compare_totals(
        &mut self,
        table: &OpenTable,
        certified: &DayRecord,
        day: NaiveDate,
        now: &Totals,
        is_same_list: bool,
    ) -> Result<()> {
        let DayRecord { rows, totals, .. } = certified;
        if (*rows, totals) == (now.rows, &now.columns) {
            return Ok(());
        }
        if now.rows == 0
            && let Some(keep_days) = table.version.keep_days()
            && is_expired(day, keep_days)
        {
            self.differ(Some(&certified.day), What::Expired { keep_days });
            return Ok(());
        }
        if *rows != now.rows {
            self.number(&certified.day, "rows", *rows, now.rows);
        }
        let is_other_sql = table.sql_hash() != self.record.sql;
        let mut names: Vec<&String> = totals.keys().chain(now.columns.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (before, after) = (totals.get(name), now.columns.get(name));
            // Other SQL may produce more columns.
            if before == after || (before.is_none() && is_other_sql) {
                continue;
            }
            let what = What::Number {
                name: name.clone(),
                certified: before.cloned(),
                now: after.cloned(),
            };
            self.differ(Some(&certified.day), what);
        }
        if is_same_list {
            self.say_next_day(table, day).await?;
        }
        Ok(())
    }

    /// The log files of the next day begin with those of the last five minutes of this one. If the certificate ends with this day, a late one of
    /// them may be the cause.
    async fn say_next_day(&mut self, table: &OpenTable, day: NaiveDate) -> Result<()> {
        let Some(next) = day.succ_opt().filter(|next| *next == self.days.end) else {
            return Ok(());
        };
        let entries = table
            .entries(&[Shard::from_name(format!("{next}T00"))])
            .await?;
        let day = day.to_string();
        let mut late: Vec<&str> = entries
            .iter()
            .filter(|entry| touches(entry, &day))
            .map(|entry| entry.log_file.as_str())
            .collect();
        late.sort_unstable();
        if late.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = late.iter().copied().take(CAUSES_SHOWN).collect();
        let more = match late.len().saturating_sub(CAUSES_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        self.cause(format!(
            "log files of the next day have rows of {day}, and one may have arrived late: {}{more}",
            shown.join(", ")
        ));
        Ok(())
    }

    /// Names the log files that differ, of some lists of the certificate.
    fn compare_lists(&mut self, now: Now, path: &Path) -> Result<()> {
        if now.is_empty() {
            return Ok(());
        }
        let mut picking = Picking {
            current: Vec::new(),
            roots: &now,
            differences: Vec::new(),
            found: HashSet::new(),
        };
        read(path, &mut picking)?;
        let (differences, found) = (picking.differences, picking.found);
        for (day, what) in differences {
            self.differ(Some(&day), what);
        }
        // An empty list is not in the file. Another root without a list is a change of the certificate, which was already reported.
        let nothing = ListSums::of([]).root;
        let without = now
            .iter()
            .filter(|(root, _)| **root == nothing && !found.contains(*root));
        for (day, log_files) in without.flat_map(|(_, days)| days) {
            for what in difference(&[], log_files) {
                self.differ(Some(day), what);
            }
        }
        Ok(())
    }

    /// Compares the lines of load balancers whose requests AWS has counted.
    fn compare_lines(&mut self, checked: &Checked, now: &LinesByHour) {
        let table = &self.record.table;
        let records = checked.certificate.requests.iter();
        for record in records.filter(|record| record.table == *table) {
            let Ok(day) = record.day.parse::<NaiveDate>() else {
                continue;
            };
            let now = now.of_day(&record.balancer, day);
            for (what, certified, now) in [
                ("log files", record.log_files, now.log_files),
                ("lines", record.lines, now.lines),
                ("rejected lines", record.rejected_lines, now.rejected_lines),
            ] {
                if certified != now {
                    let name = format!("{what} of {}", record.balancer);
                    self.number(&record.day, &name, certified, now);
                }
            }
        }
    }

    /// Reports what the table knows about the cause of the differences.
    fn say_causes(&mut self, table: &OpenTable) {
        let record = self.record;
        if table.version.generation() != record.generation {
            self.cause(format!(
                "the table was rebuilt: the live generation was {}, and is {}",
                record.generation,
                table.version.generation()
            ));
        }
        let erased = table.version.erased().len() as u32;
        if erased != record.erased {
            self.cause(format!(
                "conditions of `logmill erase`: {} then, {erased} now",
                record.erased
            ));
        }
        if let Some(days) = table.version.keep_days() {
            self.cause(format!("`logmill retain` keeps rows of {days} days"));
        }
    }
}

/// Lists of a table that are compared in one pass over the certificate.
const LISTS_AT_ONCE: usize = 8;

/// Whether retention may have removed the rows of a day.
fn is_expired(day: NaiveDate, keep_days: u32) -> bool {
    let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
    let first = today.checked_sub_days(Days::new(u64::from(keep_days)));
    first.is_some_and(|first| day < first)
}

/// Whether a log file has rows of this day.
fn touches(entry: &Entry, day: &str) -> bool {
    let slots = entry.slots.iter().flatten();
    let mut ranges = slots.map(|slots| slots.split_once("..").unwrap_or((slots, slots)));
    ranges.any(|(first, last)| {
        first.get(..day.len()).is_some_and(|first| first <= day)
            && last.get(..day.len()).is_some_and(|last| day <= last)
    })
}

/// Compares lists of the certificate with those of the table.
struct Picking<'n> {
    current: Vec<CountedLogFile>,
    roots: &'n Now,
    differences: Vec<(String, What)>,
    found: HashSet<String>,
}

impl Lists for Picking<'_> {
    fn log_file(&mut self, log_file: CountedLogFile) {
        self.current.push(log_file);
    }

    fn end(&mut self, root: String) {
        let mut certified = std::mem::take(&mut self.current);
        let Some(days) = self.roots.get(&root) else {
            return;
        };
        // They are in order unless the file was changed.
        certified.sort_by(|left, right| left.log_file.cmp(&right.log_file));
        for (day, now) in days {
            let differences = difference(&certified, now);
            let differences = differences.into_iter().map(|what| (day.clone(), what));
            self.differences.extend(differences);
        }
        self.found.insert(root);
    }
}

/// What differs between two lists in the order of their URIs.
fn difference(certified: &[CountedLogFile], now: &[CountedLogFile]) -> Vec<What> {
    let mut differences = Vec::new();
    let (mut certified, mut now) = (certified.iter().peekable(), now.iter().peekable());
    loop {
        let order = match (certified.peek(), now.peek()) {
            (None, None) => return differences,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(certified), Some(now)) => certified.log_file.cmp(&now.log_file),
        };
        let before = certified.next_if(|_| order.is_le());
        let after = now.next_if(|_| order.is_ge());
        let what = match (before, after) {
            (Some(before), Some(after)) => changed(before, after),
            (Some(before), None) => Some(What::Removed {
                log_file: before.log_file.clone(),
            }),
            (None, Some(after)) => Some(What::Added {
                log_file: after.log_file.clone(),
            }),
            (None, None) => None,
        };
        differences.extend(what);
    }
}

fn changed(before: &CountedLogFile, after: &CountedLogFile) -> Option<What> {
    let number =
        |get: fn(&CountedLogFile) -> i64| (get(before).to_string(), get(after).to_string());
    let values = [
        ("etag", (before.etag.clone(), after.etag.clone())),
        ("bytes", number(|each| each.bytes)),
        ("lines", number(|each| each.lines)),
        ("rejected_lines", number(|each| each.rejected_lines)),
    ];
    let values = values
        .into_iter()
        .filter(|(_, (before, after))| before != after);
    let values: Vec<_> = values
        .map(|(name, (before, after))| (name, before, after))
        .collect();
    (!values.is_empty()).then(|| What::Changed {
        log_file: before.log_file.clone(),
        values,
    })
}
