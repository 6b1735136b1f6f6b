//! The content of a certificate, its canonical form, and how it is written.
//!
//! The file is one JSON object. The tables with their days come first, one day a line; then the lists of log files, one log file a line.
//! Tables that have counted the same log files of a day share a list, which they name by its root. The root of the certificate is
//! that of a tree with a leaf for its head, for each table, for each day of a table, and for each count of requests.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::merkle::{Hash, Leaf, Tree, hex};

/// The format that this version writes and reads.
pub(super) const FORMAT: u32 = 1;

/// A certificate without its lists of log files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The root of its tree: 64 hexadecimal digits. It identifies the whole content.
    pub root: String,
    /// The first day (UTC).
    pub from: String,
    /// The day after the last one.
    pub to: String,
    /// Whether each log file that was listed was counted when the certificate was written.
    pub complete: bool,
    /// The tables.
    pub tables: Vec<TableRecord>,
    /// AWS's counts of requests, if they were given.
    pub requests: Vec<RequestRecord>,
}

/// The record of a table in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRecord {
    /// Its name.
    pub table: String,
    /// The log table whose lines it counts.
    pub log_table: String,
    /// A hash of its SQL and of its lookups.
    pub sql: String,
    /// The generation that was live.
    pub generation: String,
    /// Number of conditions on erased lines.
    pub erased: u32,
    /// Columns without exact totals.
    pub without_totals: Vec<String>,
    /// Its days.
    pub days: Vec<DayRecord>,
}

/// The record of a day of a table in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayRecord {
    /// The day (UTC).
    pub day: String,
    /// Number of rows of this date.
    pub rows: i64,
    /// The totals of these rows, by column. Columns that are NULL in all rows are left out.
    pub totals: BTreeMap<String, String>,
    /// Number of log files of this day.
    pub log_files: i64,
    /// Their size in bytes, as stored.
    pub bytes: i64,
    /// Their lines.
    pub lines: i64,
    /// Lines of them that are not log lines.
    pub rejected_lines: i64,
    /// Lines of them on which the table's rollup failed.
    pub failed_lines: i64,
    /// The root of the tree of these log files.
    pub log_files_root: String,
}

/// AWS's number of requests, and the table's lines for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRecord {
    /// The table.
    pub table: String,
    /// The load balancer.
    pub balancer: String,
    /// The day of the requests (UTC).
    pub day: String,
    /// CloudWatch's `RequestCount`.
    pub requests: i64,
    /// Log files whose five minutes are in this day.
    pub log_files: i64,
    /// Their lines.
    pub lines: i64,
    /// Lines of them that are not log lines.
    pub rejected_lines: i64,
    /// Number of hours with fewer lines than requests. NULL if the counts are not by hour.
    pub short_hours: Option<i64>,
    /// How many lines are missing in these hours.
    pub short_by: Option<i64>,
}

/// A log file that a table has counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountedLogFile {
    /// Its URI.
    pub log_file: String,
    /// The ETag of the object, or size and time of modification of a file.
    pub etag: String,
    /// Its size in bytes, as stored.
    pub bytes: i64,
    /// Its lines.
    pub lines: i64,
    /// Lines that are not log lines.
    pub rejected_lines: i64,
}

impl CountedLogFile {
    pub(super) fn leaf(&self) -> Hash {
        Leaf::new("log file")
            .text(&self.log_file)
            .text(&self.etag)
            .number(self.bytes)
            .number(self.lines)
            .number(self.rejected_lines)
            .hash()
    }
}

impl TableRecord {
    fn leaf(&self) -> Hash {
        let leaf = Leaf::new("table")
            .text(&self.table)
            .text(&self.log_table)
            .text(&self.sql)
            .text(&self.generation)
            .number(self.erased);
        let columns = self.without_totals.iter();
        columns.fold(leaf, |leaf, column| leaf.text(column)).hash()
    }
}

impl DayRecord {
    fn leaf(&self) -> Hash {
        let leaf = Leaf::new("day")
            .text(&self.day)
            .number(self.rows)
            .number(self.log_files)
            .number(self.bytes)
            .number(self.lines)
            .number(self.rejected_lines)
            .number(self.failed_lines)
            .text(&self.log_files_root);
        let totals = self.totals.iter();
        totals
            .fold(leaf, |leaf, (column, total)| leaf.text(column).text(total))
            .hash()
    }
}

impl RequestRecord {
    fn leaf(&self) -> Hash {
        let leaf = Leaf::new("requests")
            .text(&self.table)
            .text(&self.balancer)
            .text(&self.day)
            .number(self.requests)
            .number(self.log_files)
            .number(self.lines)
            .number(self.rejected_lines);
        let short = [self.short_hours, self.short_by].into_iter();
        short
            .fold(leaf, |leaf, number| match number {
                Some(number) => leaf.number(number),
                None => leaf.text("null"),
            })
            .hash()
    }
}

impl Certificate {
    /// The root, computed from the content.
    pub(super) fn computed_root(&self) -> String {
        let mut tree = Tree::default();
        let complete = if self.complete { "true" } else { "false" };
        let head = Leaf::new("certificate").number(FORMAT);
        let head = head.text(&self.from).text(&self.to).text(complete);
        tree.push(head.hash());
        for table in &self.tables {
            tree.push(table.leaf());
            table.days.iter().for_each(|day| tree.push(day.leaf()));
        }
        self.requests
            .iter()
            .for_each(|count| tree.push(count.leaf()));
        hex(&tree.root())
    }

    /// Number of log files, of each day those of the table with the most.
    pub fn log_files(&self) -> i64 {
        let mut by_day: BTreeMap<&str, i64> = BTreeMap::new();
        for day in self.tables.iter().flat_map(|table| &table.days) {
            let most = by_day.entry(&day.day).or_default();
            *most = day.log_files.max(*most);
        }
        by_day.values().sum()
    }

    /// Writes everything up to the lists of log files. `lists` writes these.
    pub(super) fn write(
        &self,
        out: &mut dyn Write,
        lists: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self {
            root,
            from,
            to,
            complete,
            tables,
            requests,
        } = self;
        writeln!(out, "{{\n\"format\": {FORMAT},\n\"root\": \"{root}\",")?;
        writeln!(out, "\"from\": \"{from}\",\n\"to\": \"{to}\",")?;
        writeln!(out, "\"complete\": {complete},\n\"tables\": [")?;
        for (at, table) in tables.iter().enumerate() {
            let head = TableRecord {
                days: Vec::new(),
                ..table.clone()
            };
            begin_list(out, &json(&head)?)?;
            lines_of(out, &table.days)?;
            end_list(out, at + 1 == tables.len())?;
        }
        writeln!(out, "],\n\"requests\": [")?;
        lines_of(out, requests)?;
        writeln!(out, "],\n\"log_files\": [")?;
        lists(out)?;
        writeln!(out, "]\n}}")
    }
}

/// Writes lists of log files to a temporary file, because the tables come before them.
pub(super) struct Lists<W> {
    out: W,
    is_first: bool,
}

#[derive(Serialize)]
struct List<'l> {
    root: &'l str,
    log_files: [(); 0],
}

impl<W: Write> Lists<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            is_first: true,
        }
    }

    pub(super) fn add<'l>(
        &mut self,
        root: &str,
        log_files: impl ExactSizeIterator<Item = &'l CountedLogFile>,
    ) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            writeln!(self.out, ",")?;
        }
        let list = List {
            root,
            log_files: [],
        };
        begin_list(&mut self.out, &json(&list)?)?;
        lines_of(&mut self.out, log_files)?;
        write!(self.out, "]}}")
    }

    /// The file that they are written to.
    pub(super) fn end(mut self) -> io::Result<W> {
        if !self.is_first {
            writeln!(self.out)?;
        }
        Ok(self.out)
    }
}

fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(value)?)
}

/// Writes an object whose last value is an empty list, up to that list's beginning.
fn begin_list(out: &mut (impl Write + ?Sized), object: &str) -> io::Result<()> {
    writeln!(out, "{}", object.strip_suffix("]}").unwrap_or(object))
}

fn end_list(out: &mut (impl Write + ?Sized), is_last: bool) -> io::Result<()> {
    writeln!(out, "]}}{}", if is_last { "" } else { "," })
}

fn lines_of<'i, T: Serialize + 'i>(
    out: &mut (impl Write + ?Sized),
    items: impl IntoIterator<Item = &'i T, IntoIter: ExactSizeIterator>,
) -> io::Result<()> {
    let items = items.into_iter();
    let last = items.len();
    for (at, item) in items.enumerate() {
        let comma = if at + 1 == last { "" } else { "," };
        writeln!(out, "{}{comma}", json(item)?)?;
    }
    Ok(())
}
