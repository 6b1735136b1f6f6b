//! One version of a table: its log files by day, from the ledger, and the totals of its rows by date. Both come from the same version.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use chrono::{DateTime, Days, NaiveDate};
use logmill_shared::{LogFile, Shard};

use super::file::CountedLogFile;
use crate::commands::{maintain, query};
use crate::table::definition::{DATE_COLUMN, REJECTED_LINES};
use crate::table::{
    Column, Definition, Entry, LookupFile, MergeRule, Root, TableError, Version, sum_state,
};

/// Maximum number of days whose log files without a time in their names are in memory at once. To find them, all such log files in the
/// ledger are read, whatever their days.
const UNNAMED_DAYS: Days = Days::new(7);

/// The beginning of the names of shards with log files that have no time in their names.
const UNNAMED: &str = "unnamed";

/// A version of a table.
pub(super) struct OpenTable {
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) definition: Arc<Definition>,
    /// The log table that it reads.
    pub(super) log_table: &'static str,
}

/// A log file of the ledger.
pub(super) struct OfDay {
    pub(super) counted: CountedLogFile,
    pub(super) failed_lines: i64,
}

/// The rows of a date.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) rows: i64,
    /// By column. Columns that are NULL in all rows have none.
    pub(super) columns: BTreeMap<String, String>,
}

impl OpenTable {
    /// Opens the current version of a table. `None` if logmill did not create it, or it is being dropped.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub(super) async fn open(root: &Root, name: &str) -> Result<Option<Self>> {
        let read = async || {
            let version = match root.read(name).await {
                Err(TableError::NotOurs { .. } | TableError::Dropped { .. }) => return Ok(None),
                version => version?,
            };
            let rollup = maintain::rollup(name, &version).await?;
            anyhow::Ok(Some((version, rollup)))
        };
        let opened = read().await;
        let opened = opened.with_context(|| format!("the table '{name}' cannot be read"))?;
        Ok(opened.map(|(version, rollup)| Self {
            name: name.to_owned(),
            version,
            definition: Arc::clone(rollup.definition()),
            log_table: rollup.format().table,
        }))
    }

    /// The names of the tables of rollups, or of these.
    ///
    /// # Errors
    ///
    /// The tables can't be listed.
    pub(super) async fn names(root: &Root, only: Option<&BTreeSet<String>>) -> Result<Vec<String>> {
        let mut names = root.tables().await?;
        names.retain(|name| name != REJECTED_LINES && only.is_none_or(|only| only.contains(name)));
        Ok(names)
    }

    /// A hash of its SQL and of its lookups. Conditions on erased lines are left out: they may contain the erased values, and a short
    /// text can be guessed from its hash.
    pub(super) fn sql_hash(&self) -> String {
        let lookups = LookupFile::hashes(&self.definition.lookups);
        Definition::identity_of(self.version.sql(), &lookups, &[])
    }

    /// Its log files in these shards, except those that only a next generation has.
    pub(super) async fn entries(&self, shards: &[Shard]) -> Result<Vec<Entry>> {
        let entries = self.version.counted_entries(shards).await;
        let entries = entries
            .with_context(|| format!("the ledger of the table '{}' cannot be read", self.name))?;
        Ok(entries.into_values().collect())
    }

    /// The columns that have exact totals, each with the SQL of its total.
    fn exact(&self) -> Result<Vec<(String, String)>> {
        let schema = self.version.schema()?;
        // Columns of newer formats are missing until the table is upgraded.
        let is_there = |column: &str| schema.field_with_name(column).is_ok();
        let columns = self.definition.columns.iter();
        let totals = columns.filter_map(|column| {
            let name = column.name.as_str();
            let total = match self.kind_of(column) {
                Kind::Sum if is_there(name) => format!("sum({})", integer(column)),
                Kind::BigintSum if is_there(name) => {
                    let state = sum_state(name);
                    // A sum beyond bigint is NULL, and rows of the first format have no state.
                    match is_there(&state) {
                        true => format!("sum(coalesce({}, {}))", quoted(&state), integer(column)),
                        false => format!("sum({})", integer(column)),
                    }
                }
                _ => return None,
            };
            Some((name.to_owned(), total))
        });
        Ok(totals.collect())
    }

    fn kind_of(&self, column: &Column) -> Kind {
        let is_exact =
            column.data_type.is_integer() || matches!(column.data_type, DataType::Decimal128(..));
        let mut sums = self.definition.exact_sums();
        let is_state = |(_, state): (usize, usize)| self.definition.columns[state] == *column;
        match &column.rule {
            Some(MergeRule::BigintSum) => Kind::BigintSum,
            Some(MergeRule::Sum) if sums.any(is_state) => Kind::State,
            Some(MergeRule::Sum) if is_exact => Kind::Sum,
            // A table that keeps every row. Decimals come from visitors, and could add up to more than a decimal holds.
            None if column.data_type.is_integer() => Kind::Sum,
            Some(MergeRule::GroupKey) => Kind::Key,
            _ => Kind::Other,
        }
    }

    /// Columns that are neither group keys nor in the totals.
    pub(super) fn without_totals(&self) -> Vec<String> {
        let columns = self.definition.columns.iter();
        let columns = columns.filter(|column| matches!(self.kind_of(column), Kind::Other));
        columns.map(|column| column.name.clone()).collect()
    }

    /// The totals of its rows by date, for dates of these days that have rows.
    ///
    /// # Errors
    ///
    /// A data file can't be read.
    pub(super) async fn totals(
        &self,
        root: &Root,
        days: &Range<NaiveDate>,
    ) -> Result<HashMap<String, Totals>> {
        let exact = self.exact()?;
        let sums: String = exact.iter().map(|(_, sum)| format!(", {sum}")).collect();
        let Range { start, end } = days;
        let sql = format!(
            "SELECT \"{DATE_COLUMN}\", count(*){sums} FROM rows_of_days \
             WHERE \"{DATE_COLUMN}\" >= DATE '{start}' AND \"{DATE_COLUMN}\" < DATE '{end}' GROUP BY 1"
        );
        let rows =
            query::rows_of_version(root, &self.name, &self.version, "rows_of_days", &sql).await;
        let rows =
            rows.with_context(|| format!("the rows of the table '{}' cannot be read", self.name))?;
        let texts = rows.columns().iter();
        let texts = texts.map(|column| cast(column, &DataType::Utf8));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let text = |column: usize, row: usize| {
            let column = texts[column].as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let mut totals = HashMap::new();
        for row in 0..rows.num_rows() {
            let Some(day) = text(0, row) else { continue };
            let rows = text(1, row).unwrap_or_default();
            let columns = exact.iter().enumerate();
            let columns =
                columns.filter_map(|(at, (column, _))| Some((column.clone(), text(at + 2, row)?)));
            let columns = columns.collect();
            let rows = rows.parse().context("a count of rows is not a number")?;
            totals.insert(day, Totals { rows, columns });
        }
        Ok(totals)
    }
}

/// How a column is totalled.
enum Kind {
    Key,
    /// Its values add up exactly.
    Sum,
    /// Its values are sums of integers. A state has the exact sums.
    BigintSum,
    /// The state of another sum.
    State,
    /// Its values don't add up, or not exactly.
    Other,
}

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

/// A column that adds up. Integers are added as decimals, because their sum may exceed a bigint.
fn integer(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.data_type.is_integer() {
        true => format!("CAST({name} AS DECIMAL(38, 0))"),
        false => name,
    }
}

/// The day (UTC) that a log file belongs to: by the time in its name; or else by its date folders; or else by its latest line.
pub(super) fn day_of(entry: &Entry) -> Option<NaiveDate> {
    let log_file = LogFile::new(entry.log_file.as_str());
    if let Some(day) = log_file.delivery_day()
        && log_file.interval_end().is_none()
        && let Ok(day) = NaiveDate::parse_from_str(&day, "%Y/%m/%d")
    {
        return Some(day);
    }
    match log_file.day() {
        Some(day) => day.parse().ok(),
        None => Some(DateTime::from_timestamp_millis(entry.last_time?)?.date_naive()),
    }
}

/// The log files of a table, one day after the other. One day is in memory at a time, plus some days of log files without a time in
/// their names.
pub(super) struct LedgerDays<'t> {
    table: &'t OpenTable,
    days: Range<NaiveDate>,
    unnamed: BTreeMap<NaiveDate, Vec<Entry>>,
    /// The day after those that `unnamed` has.
    unnamed_until: NaiveDate,
}

impl<'t> LedgerDays<'t> {
    pub(super) fn new(table: &'t OpenTable, days: Range<NaiveDate>) -> Self {
        Self {
            table,
            unnamed_until: days.start,
            days,
            unnamed: BTreeMap::new(),
        }
    }

    /// The log files of a day, in the order of their URIs. Days must be asked for in ascending order.
    ///
    /// # Errors
    ///
    /// The ledger can't be read.
    pub(super) async fn of(&mut self, day: NaiveDate) -> Result<Vec<OfDay>> {
        if day >= self.unnamed_until {
            self.read_unnamed(day).await?;
        }
        let mut entries = self
            .table
            .entries(&[Shard::from_name(day.to_string())])
            .await?;
        entries.extend(self.unnamed.remove(&day).unwrap_or_default());
        let mut log_files: Vec<OfDay> = entries.into_iter().map(OfDay::of).collect();
        log_files.sort_by(|left, right| left.counted.log_file.cmp(&right.counted.log_file));
        Ok(log_files)
    }

    async fn read_unnamed(&mut self, from: NaiveDate) -> Result<()> {
        let until = from.checked_add_days(UNNAMED_DAYS).unwrap_or(self.days.end);
        self.unnamed_until = until.min(self.days.end);
        self.unnamed.clear();
        let shards = self.table.version.ledger_shards();
        let unnamed = shards.filter(|shard| shard.as_str().starts_with(UNNAMED));
        let unnamed: Vec<Shard> = unnamed.cloned().collect();
        for shard in unnamed {
            for entry in self.table.entries(&[shard]).await? {
                if let Some(day) = day_of(&entry)
                    && (from..self.unnamed_until).contains(&day)
                {
                    self.unnamed.entry(day).or_default().push(entry);
                }
            }
        }
        Ok(())
    }
}

impl OfDay {
    pub(super) fn of(entry: Entry) -> Self {
        Self {
            counted: CountedLogFile {
                log_file: entry.log_file,
                etag: entry.etag,
                bytes: entry.bytes,
                lines: entry.lines,
                rejected_lines: entry.rejected_lines,
            },
            failed_lines: entry.failed_lines,
        }
    }
}
