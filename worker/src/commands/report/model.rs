//! The figures and texts of a report, before it becomes a page. The serialised fields are embedded in the page as JSON.

use serde::Serialize;

use super::number::{Number, Unit};
use super::range::{Grain, Range};

/// A report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The start and the end of the range, in seconds since 1970; the end is exclusive.
    pub(super) from: i64,
    pub(super) to: i64,
    /// When it was made, in seconds since 1970.
    pub(super) made: i64,
    /// The location of the tables.
    #[serde(skip)]
    pub(super) place: String,
    /// Whether it also has the figures of the previous range.
    pub(super) compares: bool,
    pub(super) tables: Vec<Section>,
    /// Tables that did not fit on the page.
    pub(super) left_out: Vec<String>,
}

impl Report {
    pub(super) fn range(&self) -> Range {
        Range {
            from: self.from,
            to: self.to,
        }
    }

    /// Tables that can't be read, as a whole or in part.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Section> {
        self.tables
            .iter()
            .filter(|section| !section.problems.is_empty())
    }
}

/// The part of a report about one table.
#[derive(Debug, Default, Serialize)]
pub(super) struct Section {
    pub(super) table: String,
    /// Parts that could not be read, and why.
    pub(super) problems: Vec<String>,
    /// Notes about the figures.
    pub(super) notes: Vec<String>,
    /// Its group keys.
    pub(super) about: String,
    pub(super) totals: Vec<Total>,
    #[serde(skip)]
    pub(super) totals_sql: String,
    /// Whether it has rows in this range.
    #[serde(skip)]
    pub(super) has_rows: bool,
    pub(super) charts: Vec<Chart>,
    pub(super) keys: Vec<TopKeys>,
    /// The first rows of the view that has the table's name.
    pub(super) result: Option<FirstRows>,
    pub(super) ledger: Option<Ledger>,
    /// All lines before this time are counted, in seconds since 1970, if it is known.
    pub(super) final_until: Option<i64>,
    /// The columns by which it can be filtered.
    #[serde(skip)]
    pub(super) filterable: Vec<String>,
}

/// A figure over the whole range.
#[derive(Debug, Serialize)]
pub(super) struct Total {
    pub(super) name: String,
    pub(super) value: Option<Number>,
    /// The same over the previous range.
    pub(super) before: Option<Number>,
    pub(super) unit: Unit,
    /// A hint, such as "distinct".
    pub(super) hint: &'static str,
}

/// How a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Drawing {
    Lines,
    /// Bands between percentiles, the lowest first.
    Percentiles,
    /// Each series on top of the one before.
    Stacked,
}

/// A time series.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) drawing: Drawing,
    pub(super) unit: Unit,
    /// The length of a bucket, in seconds.
    pub(super) bucket: i64,
    #[serde(skip)]
    pub(super) grain: Grain,
    /// The starts of the buckets, in seconds since 1970.
    pub(super) x: Vec<i64>,
    pub(super) series: Vec<Series>,
    #[serde(skip)]
    pub(super) sql: String,
}

/// The figures of one series, one a bucket.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) values: Vec<Option<Number>>,
    /// Whether it is of the previous range.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) before: bool,
}

/// The values of a key that have the largest figures.
#[derive(Debug, Serialize)]
pub(super) struct TopKeys {
    pub(super) key: String,
    /// The figure by which they are ordered.
    pub(super) by: String,
    pub(super) unit: Unit,
    pub(super) rows: Vec<TopKey>,
    /// All other values together.
    pub(super) rest: Option<Number>,
    /// All of them.
    pub(super) total: Option<Number>,
    #[serde(skip)]
    pub(super) sql: String,
}

/// A value of a key.
#[derive(Debug, Serialize)]
pub(super) struct TopKey {
    /// The value as it is shown; `None` for NULL.
    pub(super) text: Option<String>,
    pub(super) value: Option<Number>,
    /// The whole value, if it can be filtered by.
    #[serde(skip)]
    pub(super) whole: Option<String>,
}

/// The first rows of a table, as text.
#[derive(Debug, Serialize)]
pub(super) struct FirstRows {
    pub(super) columns: Vec<String>,
    /// `None` for NULL.
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) has_more: bool,
}

/// The facts about log files in the ledger of a table.
#[derive(Debug, Default, Serialize)]
pub(super) struct Ledger {
    pub(super) log_files: i64,
    pub(super) lines: i64,
    pub(super) rejected_lines: i64,
    pub(super) failed_lines: i64,
    /// The earliest and the latest line of the range, in seconds since 1970.
    pub(super) first_line: Option<i64>,
    pub(super) last_line: Option<i64>,
    /// The latest line of all that the table has counted.
    pub(super) newest_line: Option<i64>,
    pub(super) chart: Option<Chart>,
    /// Hours between the first and the last line in which no log file ends: the first of each gap, and the number of hours.
    pub(super) gaps: Vec<(i64, i64)>,
    /// The hours of all gaps.
    pub(super) hours_without: i64,
}
