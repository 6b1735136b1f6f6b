//! Log formats: the table that the lines of a log file are rows of, and how a line becomes columns.
//!
//! A log line has a minimum number of fields, and a timestamp in its time field. In a log line, a value that is missing or
//! can't be read is NULL, as in Athena. Only the number of fields and the time decide whether a line is rejected, never the
//! columns that a rollup uses, so that all rollups count the same lines.

use arrow::datatypes::{DataType, Field, TimeUnit};

mod alb;
mod alb_connection;
mod alb_health_check;
mod elb;
mod nlb;
mod fields;
mod named;
mod json;
mod delimited;
mod parquet;
mod line;
mod prefilter;
mod recognise;
mod shape;
mod of_file;
mod scan;

pub use alb::ALB_ACCESS_LOGS;
pub use alb_connection::ALB_CONNECTION_LOGS;
pub use alb_health_check::ALB_HEALTH_CHECK_LOGS;
pub use elb::ELB_LOGS;
pub use nlb::NLB_TLS_LOGS;
pub(crate) use of_file::DELIVERY_DAY;
pub use of_file::{OF_FILE, OfFile};
pub(crate) use parquet::{MAGIC, ParquetBatch, ParquetFile, ParquetReadError, ParquetRows};
pub use prefilter::{Literal, Prefilter};
pub(crate) use recognise::{EMPTY_FILE, by_columns, has_shape, looks_like, time_of};
pub use recognise::{Recognised, by_name, recognise, unread_by_name};
pub use scan::{Pushed, Scan};
pub use shape::{PlainLog, PlainShape, Shape};

/// The formats that rollups can be written over.
pub static FORMATS: [&LogFormat; 5] = [
    &ALB_ACCESS_LOGS,
    &ELB_LOGS,
    &ALB_CONNECTION_LOGS,
    &ALB_HEALTH_CHECK_LOGS,
    &NLB_TLS_LOGS,
];

/// A log format, and the table that its lines are rows of.
#[derive(Debug)]
pub struct LogFormat {
    /// The table's name in SQL.
    pub table: &'static str,
    /// The table's columns, in Athena's order.
    pub columns: &'static [Column],
    /// The column with the time of the line.
    pub time_column: &'static str,
    /// The column with the URL of the request, if the lines are of requests.
    pub url_column: Option<&'static str>,
    /// The fields that AWS has named so far, in the order of a line of text. A text log may have more, and any other log
    /// may have any of them, in any order.
    fields: &'static [LogField],
    /// The minimum number of fields of a line of text. All of them together tell the format.
    fields_min: usize,
    time_field: usize,
    request_field: Option<usize>,
    /// Whether fields of a line of text may be in quotes.
    has_quotes: bool,
}

/// A field of a log line.
#[derive(Debug)]
struct LogField {
    /// Its name where fields have names: in JSON, W3C and Parquet.
    name: &'static str,
    /// Whether a text may be a value of the field.
    is: fn(&str) -> bool,
}

impl LogField {
    const fn new(name: &'static str, is: fn(&str) -> bool) -> Self {
        Self { name, is }
    }
}

impl PartialEq for LogFormat {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

impl LogFormat {
    /// The position of the field with this name.
    fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The names of its fields, in the order of a line of text.
    pub fn field_names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name)
    }

    /// Whether it has a field with this name.
    pub(crate) fn has_field(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// Whether its lines are requests. Only the names of such logs are checked against their content: a bucket has as many
    /// connection logs as access logs, and opening them all to see whether no rollup reads them would double the work.
    pub(crate) fn is_access_log(&self) -> bool {
        self.request_field.is_some()
    }

    /// The columns that a query over its table can use, in the order of `SELECT *`.
    pub(crate) fn all_columns(&self) -> impl Iterator<Item = ScanColumn> + use<> {
        let columns = self.columns.iter().map(ScanColumn::Column);
        columns.chain(OF_FILE.map(ScanColumn::OfFile))
    }

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
    /// The field that the value is a part of. `None` for parts of the request, and for all that follows a field.
    fn field(self) -> Option<usize> {
        match self {
            Self::Text(field)
            | Self::Raw(field)
            | Self::Int(field)
            | Self::BigInt(field)
            | Self::Double(field)
            | Self::Address(field)
            | Self::Port(field) => Some(field),
            Self::RequestVerb | Self::RequestUrl | Self::RequestProtocol | Self::RestAfter(_) => {
                None
            }
        }
    }

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
    /// A value that the path of the log file says, the same for all of its lines.
    OfFile(OfFile),
    /// The line's number in its log file, from 1. It identifies failed lines.
    LineNumber,
    /// The line itself, up to `LINE_TEXT_BYTES`.
    LineText,
}

/// The maximum length of [`ScanColumn::LineText`], in bytes.
pub(crate) const LINE_TEXT_BYTES: usize = 512;

impl PartialEq for ScanColumn {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Column(left), Self::Column(right)) => left.name == right.name,
            (Self::UrlParameter(left), Self::UrlParameter(right))
            | (Self::UrlDouble(left), Self::UrlDouble(right))
            | (Self::UrlBigint(left), Self::UrlBigint(right)) => left == right,
            (Self::OfFile(left), Self::OfFile(right)) => left == right,
            (Self::Time, Self::Time)
            | (Self::Day, Self::Day)
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
                // Only formats with URLs have such columns.
                format.url_column.unwrap_or_default(),
                name.replace('\'', "''")
            ),
            Self::UrlDouble(name) => try_cast(name, "double"),
            Self::UrlBigint(name) => try_cast(name, "bigint"),
            Self::Time => format!("from_iso8601_timestamp({})", format.time_column),
            Self::Day => format!("date(from_iso8601_timestamp({}))", format.time_column),
            Self::OfFile(of_file) => of_file.name().to_owned(),
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
            Self::OfFile(_) | Self::LineText => DataType::Utf8View,
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
    #[error("too few fields: {found} where a log line has at least {least}")]
    TooFewFields {
        /// The fields of the line.
        found: usize,
        /// The minimum.
        least: usize,
    },
    /// The time field does not hold a timestamp.
    #[error("field {0} is no timestamp")]
    NoTime(usize),
    /// The field with this name does not hold a timestamp.
    #[error("the field {0} is no timestamp")]
    NoTimeIn(&'static str),
    /// A line of a JSON log is not a JSON object.
    #[error("not a JSON object")]
    NoObject,
    /// A line of a JSON log has no field of the table.
    #[error("no field of {0}")]
    NoField(&'static str),
    /// The line is longer than [`crate::log_file::lines::MAX_LINE_BYTES`].
    #[error("longer than 262144 bytes")]
    TooLong,
}
