//! Log formats: the table that the lines of a log file are rows of, and how a line becomes columns.
//!
//! A log line has at least 12 fields, and a timestamp in its time field. In a log line, a value that is missing or can't
//! be read is NULL, as in Athena. Only the first twelve fields decide whether a line is rejected, never the columns that a
//! rollup uses, so that all rollups count the same lines.

use arrow::datatypes::{DataType, Field, TimeUnit};

mod alb;
mod prefilter;
mod elb;
mod fields;
mod line;
mod recognise;
mod scan;

pub use alb::ALB_ACCESS_LOGS;
pub use elb::ELB_LOGS;
pub use prefilter::{Literal, Prefilter};
pub(crate) use recognise::{EMPTY_FILE, has_shape, looks_like, time_of};
pub use recognise::{Recognised, by_name, recognise};
pub use scan::Scan;

/// The formats that rollups can be written over.
pub static FORMATS: [&LogFormat; 2] = [&ALB_ACCESS_LOGS, &ELB_LOGS];

/// The minimum number of fields of a log line, in all formats.
const MIN_FIELDS: usize = 12;

/// A log format, and the table that its lines are rows of.
#[derive(Debug)]
pub struct LogFormat {
    /// The table's name in SQL.
    pub table: &'static str,
    /// The table's columns, in Athena's order.
    pub columns: &'static [Column],
    /// The column with the time of the line.
    pub time_column: &'static str,
    /// The column with the URL of the request.
    pub url_column: &'static str,
    time_field: usize,
    request_field: usize,
}

impl PartialEq for LogFormat {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

impl LogFormat {
    /// The format whose table has this name.
    pub fn of_table(table: &str) -> Option<&'static LogFormat> {
        FORMATS.into_iter().find(|format| format.table == table)
    }
}

/// A column of a log format's table.
#[derive(Debug)]
pub struct Column {
    /// Its name in SQL.
    pub name: &'static str,
    source: Source,
}

impl Column {
    const fn new(name: &'static str, source: Source) -> Self {
        Self { name, source }
    }
}

/// Where in a line a column's value comes from. Fields are numbered from 0.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The field without its quotes.
    Text(usize),
    /// The field with its quotes.
    Raw(usize),
    Int(usize),
    BigInt(usize),
    Double(usize),
    /// The address of `address:port`.
    Address(usize),
    /// The port of `address:port`.
    Port(usize),
    RequestVerb,
    RequestUrl,
    RequestProtocol,
    /// Everything from this field on.
    RestAfter(usize),
}

impl Source {
    fn is_number(self) -> bool {
        matches!(
            self,
            Self::Int(_) | Self::BigInt(_) | Self::Double(_) | Self::Port(_)
        )
    }
}

/// A value that a scan produces for each line: a column of the table, or a value that SQL computes from one column and
/// that is cheaper to compute while the line is scanned.
#[derive(Debug, Clone)]
pub enum ScanColumn {
    /// A column of the table.
    Column(&'static Column),
    /// `url_extract_parameter(<url column>, '<name>')`.
    UrlParameter(String),
    /// `TRY_CAST(url_extract_parameter(<url column>, '<name>') AS double)`.
    UrlDouble(String),
    /// `TRY_CAST(url_extract_parameter(<url column>, '<name>') AS bigint)`.
    UrlBigint(String),
    /// `from_iso8601_timestamp(<time column>)`.
    Time,
    /// The UTC day of the line's time.
    Day,
    /// The day on which the log file was delivered, such as `2026/11/20`. Athena's tables of logs have it as a partition:
    /// <https://docs.aws.amazon.com/athena/latest/ug/create-alb-access-logs-table-partition-projection.html>.
    DeliveryDay,
    /// The line's number in its log file, from 1. It identifies failed lines.
    LineNumber,
    /// The line itself, up to `LINE_TEXT_BYTES`.
    LineText,
}

/// The name of [`ScanColumn::DeliveryDay`].
pub(crate) const DELIVERY_DAY: &str = "day";

/// The maximum length of [`ScanColumn::LineText`], in bytes.
pub(crate) const LINE_TEXT_BYTES: usize = 512;

impl PartialEq for ScanColumn {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Column(left), Self::Column(right)) => left.name == right.name,
            (Self::UrlParameter(left), Self::UrlParameter(right))
            | (Self::UrlDouble(left), Self::UrlDouble(right))
            | (Self::UrlBigint(left), Self::UrlBigint(right)) => left == right,
            (Self::Time, Self::Time)
            | (Self::Day, Self::Day)
            | (Self::DeliveryDay, Self::DeliveryDay)
            | (Self::LineNumber, Self::LineNumber)
            | (Self::LineText, Self::LineText) => true,
            _ => false,
        }
    }
}

impl ScanColumn {
    /// The name in query plans. For a computed value, it is the SQL that the value replaces.
    pub fn name(&self, format: &LogFormat) -> String {
        let try_cast = |name: &String, to| {
            let parameter = Self::UrlParameter(name.clone()).name(format);
            format!("TRY_CAST({parameter} AS {to})")
        };
        match self {
            Self::Column(column) => column.name.to_owned(),
            Self::UrlParameter(name) => format!(
                "url_extract_parameter({}, '{}')",
                format.url_column,
                name.replace('\'', "''")
            ),
            Self::UrlDouble(name) => try_cast(name, "double"),
            Self::UrlBigint(name) => try_cast(name, "bigint"),
            Self::Time => format!("from_iso8601_timestamp({})", format.time_column),
            Self::Day => format!("date(from_iso8601_timestamp({}))", format.time_column),
            Self::DeliveryDay => DELIVERY_DAY.to_owned(),
            Self::LineNumber => "line number".to_owned(),
            Self::LineText => "line text".to_owned(),
        }
    }

    /// The type of its values.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Column(column) => match column.source {
                Source::Int(_) | Source::Port(_) => DataType::Int32,
                Source::BigInt(_) => DataType::Int64,
                Source::Double(_) => DataType::Float64,
                _ => DataType::Utf8View,
            },
            Self::UrlParameter(_) => DataType::Utf8View,
            Self::UrlDouble(_) => DataType::Float64,
            Self::UrlBigint(_) => DataType::Int64,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Day => DataType::Date32,
            Self::LineNumber => DataType::Int64,
            Self::DeliveryDay | Self::LineText => DataType::Utf8View,
        }
    }

    /// The field of this column in a scan's schema.
    pub fn field(&self, format: &LogFormat) -> Field {
        Field::new(self.name(format), self.data_type(), true)
    }
}

/// Why a line is not a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The line is empty.
    #[error("empty line")]
    Empty,
    /// Too few fields.
    #[error("too few fields: {0} where a log line has at least 12")]
    TooFewFields(usize),
    /// The time field does not hold a timestamp.
    #[error("field {0} is no timestamp")]
    NoTime(usize),
    /// The line is longer than [`crate::log_file::lines::MAX_LINE_BYTES`].
    #[error("longer than 262144 bytes")]
    TooLong,
}
