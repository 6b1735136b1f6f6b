//! `logmill verify --certificate` and `--against`: what tables hold for some days, in a file that anyone can check later.
//!
//! docs/certificate.md has the format and what it proves. [`certify`] writes a certificate: `tables` reads one version of each table,
//! `merkle` has the trees, `file` the content and its canonical form. [`against`] reads it again and compares.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::ops::Range;

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;

mod merkle;
mod file;
mod read;
mod tables;
mod requests;
mod logs;
mod report;
mod against;

pub use against::{Options as AgainstOptions, against};
pub use file::{Certificate, CountedLogFile, DayRecord, RequestRecord, TableRecord};
pub use report::{Cause, ChangedLogFile, Check, Difference, LogsCheck, What};
pub use requests::RequestCounts;

use crate::table::Root;
use file::Lists;
use read::ListSums;
use requests::LinesByHour;
use tables::{LedgerDays, OpenTable};

/// Maximum number of days of a certificate: ten years. A day of a table takes several hundred bytes of memory.
const DAYS_MAX: i64 = 3660;

/// What to certify.
#[derive(Debug)]
pub struct Options {
    /// The folder of tables.
    pub tables: String,
    /// The tables to certify. `None`: all.
    pub only: Option<BTreeSet<String>>,
    /// The days (UTC).
    pub days: Range<NaiveDate>,
    /// AWS's counts of requests, if they are given.
    pub requests: Option<RequestCounts>,
}

/// Fails if a certificate of these days would be too long.
///
/// # Errors
///
/// There are too many days.
pub fn check_days(days: &Range<NaiveDate>) -> Result<()> {
    let number = days.end.signed_duration_since(days.start).num_days();
    if number > DAYS_MAX {
        bail!("a certificate covers at most {DAYS_MAX} days, but these are {number}");
    }
    Ok(())
}

/// Writes the certificate of tables to `out`. `complete` says whether each listed log file is counted.
///
/// # Errors
///
/// A table can't be read, or writing fails.
pub async fn certify(
    options: &Options,
    complete: bool,
    out: &mut (dyn Write + Send),
) -> Result<Certificate> {
    check_days(&options.days)?;
    let root = Root::open(&options.tables).await?;
    let mut opened = Vec::new();
    for name in OpenTable::names(&root, options.only.as_ref()).await? {
        opened.extend(OpenTable::open(&root, &name).await?);
    }
    if opened.is_empty() {
        bail!("no tables found in {}", root.url());
    }
    let Range { start, end } = options.days;
    let mut certificate = Certificate {
        root: String::new(),
        from: start.to_string(),
        to: end.to_string(),
        complete,
        tables: Vec::new(),
        requests: Vec::new(),
    };
    let lists = tempfile::tempfile().context("a temporary file cannot be created")?;
    let mut lists = Lists::new(BufWriter::new(lists));
    add_days(&root, &opened, options, &mut certificate, &mut lists).await?;
    if let Some(counts) = &options.requests
        && certificate.requests.is_empty()
    {
        let balancers: Vec<&str> = counts.balancers().collect();
        bail!(
            "the counts of requests ({}) have nothing for these days, or no table here counts requests",
            balancers.join(", ")
        );
    }
    certificate.root = certificate.computed_root();
    let lists = lists.end().and_then(|lists| Ok(lists.into_inner()?));
    let mut lists = lists.context("the temporary file cannot be written")?;
    lists.rewind()?;
    certificate.write(out, |out| {
        io::copy(&mut BufReader::new(lists), out).map(drop)
    })?;
    Ok(certificate)
}

/// Adds all tables, day by day, so that the log files of one day of one table are in memory.
async fn add_days(
    root: &Root,
    opened: &[OpenTable],
    options: &Options,
    certificate: &mut Certificate,
    lists: &mut Lists<impl Write>,
) -> Result<()> {
    let days = &options.days;
    let mut readers = Vec::new();
    for table in opened {
        let counts = options.requests.as_ref();
        let lines = counts.and_then(|counts| LinesByHour::of(table, counts.balancers()));
        let totals = table.totals(root, days).await?;
        readers.push((LedgerDays::new(table, days.clone()), totals, lines));
        certificate.tables.push(TableRecord {
            table: table.name.clone(),
            log_table: table.log_table.to_owned(),
            sql: table.sql_hash(),
            generation: table.version.generation(),
            erased: table.version.erased().len() as u32,
            without_totals: table.without_totals(),
            days: Vec::new(),
        });
    }
    let mut written: HashSet<String> = HashSet::new();
    for day in each(days) {
        let name = day.to_string();
        for ((ledger, totals, lines), record) in readers.iter_mut().zip(&mut certificate.tables) {
            let log_files = ledger.of(day).await?;
            let sums = ListSums::of(log_files.iter().map(|each| &each.counted));
            if let Some(lines) = lines {
                log_files.iter().for_each(|each| lines.add(&each.counted));
            }
            if !log_files.is_empty() && written.insert(sums.root.clone()) {
                lists.add(&sums.root, log_files.iter().map(|each| &each.counted))?;
            }
            let totals = totals.remove(&name).unwrap_or_default();
            record.days.push(DayRecord {
                day: name.clone(),
                rows: totals.rows,
                totals: totals.columns,
                log_files: sums.log_files,
                bytes: sums.bytes,
                lines: sums.lines,
                rejected_lines: sums.rejected_lines,
                failed_lines: log_files.iter().map(|each| each.failed_lines).sum(),
                log_files_root: sums.root,
            });
        }
    }
    for (table, (_, _, lines)) in opened.iter().zip(&mut readers) {
        if let (Some(lines), Some(counts)) = (lines, &options.requests) {
            lines.add_after(table, days.end).await?;
            certificate
                .requests
                .extend(counts.records(&table.name, days, lines));
        }
    }
    Ok(())
}

/// Each of these days.
fn each(days: &Range<NaiveDate>) -> impl Iterator<Item = NaiveDate> + use<> {
    let end = days.end;
    days.start.iter_days().take_while(move |day| *day < end)
}
