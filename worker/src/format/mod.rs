//! The formats of log files: which table's rows their lines are, and how columns are got from a line.
//!
//! A line of 12 fields or more whose time is a timestamp is a log line. Of a log line, what is missing or
//! can't be read is NULL, as it is in Athena. Whether a line is rejected depends on its first twelve fields
//! alone, never on the columns that a rollup uses, so that all rollups count the same lines.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringViewBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::trino::cast;
use crate::trino::iso8601::Timestamps;
use crate::trino::uri::Queries;
use crate::trino::url;

mod alb;
mod condition;
mod elb;
mod fields;
mod recognise;

pub use alb::ALB_ACCESS_LOGS;
pub use condition::{Condition, Literal};
pub use elb::ELB_LOGS;
pub use recognise::{Recognised, recognise};

use fields::{Fields, split_address, split_request};

/// The formats that rollups can be written over.
pub static FORMATS: [&LogFormat; 2] = [&ALB_ACCESS_LOGS, &ELB_LOGS];

/// Fields that a line must have to be a log line. All formats agree on it.
const MIN_FIELDS: usize = 12;

/// A format of log lines, and the table that they are rows of.
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

/// Where in a line a column comes from. Numbers are those of fields, from 0.
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

/// What a scan makes of each line: a column of the table, or a value that SQL computes from one column
/// and that is cheaper got while the line is being looked at.
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
}

impl PartialEq for ScanColumn {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Column(left), Self::Column(right)) => left.name == right.name,
            (Self::UrlParameter(left), Self::UrlParameter(right))
            | (Self::UrlDouble(left), Self::UrlDouble(right))
            | (Self::UrlBigint(left), Self::UrlBigint(right)) => left == right,
            (Self::Time, Self::Time) | (Self::Day, Self::Day) => true,
            _ => false,
        }
    }
}

impl ScanColumn {
    /// The name under which plans know it: for a computed value, the SQL that it stands for.
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
        }
    }

    /// It as a field of a scan's schema.
    pub fn field(&self, format: &LogFormat) -> Field {
        Field::new(self.name(format), self.data_type(), true)
    }
}

/// Why a line is no log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nothing on the line.
    #[error("empty line")]
    Empty,
    /// Too few fields.
    #[error("too few fields: {0} where a log line has at least 12")]
    TooFewFields(usize),
    /// The time's field holds something else.
    #[error("field {0} is no timestamp")]
    NoTime(usize),
    /// The line is longer than [`crate::log_file::lines::MAX_LINE_BYTES`].
    #[error("longer than 262144 bytes")]
    TooLong,
}

/// Turns lines into columns.
pub struct Scan {
    format: &'static LogFormat,
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    parameters: Vec<WantedParameter>,
    rows: usize,
    fields: Fields,
    times: Timestamps,
    queries: Queries,
    needs: Needs,
    filter: Option<Filter>,
}

/// What must be found in a line.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// Fields to split off: the first twelve, and more if some column lies further on.
    fields: usize,
    /// Whether the request is split too.
    request: bool,
    request_field: usize,
}

impl Needs {
    fn of(format: &LogFormat) -> Self {
        Self {
            fields: MIN_FIELDS,
            request: false,
            request_field: format.request_field,
        }
    }

    fn add(&mut self, source: Source) {
        match source {
            Source::Text(field) | Source::Raw(field) => self.fields = self.fields.max(field + 1),
            // No column comes from further on, so the rest begins there.
            Source::RestAfter(field) => self.fields = field,
            Source::RequestVerb | Source::RequestUrl | Source::RequestProtocol => {
                self.add_request();
            }
            // These lie among the first twelve fields.
            _ => {}
        }
    }

    fn add_request(&mut self) {
        self.request = true;
        self.fields = self.fields.max(self.request_field + 1);
    }
}

/// Which lines become rows.
struct Filter {
    condition: Condition,
    needs: Needs,
}

/// A line that is split as far as something needs it.
struct Line<'l> {
    text: &'l str,
    fields: &'l Fields,
    request: Option<(&'l str, &'l str, &'l str)>,
}

impl<'l> Line<'l> {
    fn new(text: &'l str, fields: &'l Fields, needs: Needs) -> Self {
        let request = match needs.request {
            true => fields.text(text, needs.request_field),
            false => None,
        };
        Self {
            text,
            fields,
            request: request.and_then(split_request),
        }
    }

    /// What a column of text holds.
    #[inline(always)]
    fn text(&self, source: Source) -> Option<&'l str> {
        let Self {
            text: line,
            fields,
            request,
        } = *self;
        match source {
            Source::Text(field) => fields.text(line, field),
            Source::Raw(field) => fields.raw(line, field),
            // The DDL's `([^ ]*)[:-]([0-9]*)` leaves an empty address of a lone `-`.
            Source::Address(field) => fields.text(line, field).map(|field| {
                split_address(field).map_or(field.trim_end_matches('-'), |(address, _)| address)
            }),
            Source::RequestVerb => request.map(|(verb, _, _)| verb),
            Source::RequestUrl => request.map(|(_, url, _)| url),
            Source::RequestProtocol => request.map(|(_, _, protocol)| protocol),
            _ => fields.rest(line),
        }
    }

    /// What a column of numbers holds, as Hive's RegexSerDe reads it: what is no number is NULL.
    #[inline(always)]
    fn number<T: FromStr>(&self, source: Source) -> Option<T> {
        let text = match source {
            Source::Int(field) | Source::BigInt(field) | Source::Double(field) => {
                self.fields.text(self.text, field)
            }
            Source::Port(field) => {
                let address = self.fields.text(self.text, field);
                address.and_then(split_address).map(|(_, port)| port)
            }
            _ => None,
        };
        // `-` is by far the most common text that is no number.
        text.filter(|text| *text != "-")?.parse().ok()
    }

    #[inline(always)]
    fn double(&self, source: Source) -> Option<f64> {
        // Rust reads `inf` and `nan`, which no balancer writes.
        self.number(source)
            .filter(|number: &f64| number.is_finite())
    }
}

struct WantedParameter {
    name: String,
    values: ParameterBuilder,
    found: bool,
}

enum ParameterBuilder {
    Text(StringViewBuilder),
    Double(Float64Builder),
    Bigint(Int64Builder),
}

impl ParameterBuilder {
    #[inline(always)]
    fn append(&mut self, value: &str) {
        match self {
            Self::Text(values) => values.append_value(value),
            Self::Double(values) => values.append_option(cast::varchar_to_double(value).ok()),
            Self::Bigint(values) => values.append_option(cast::varchar_to_bigint(value).ok()),
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Text(values) => values.append_null(),
            Self::Double(values) => values.append_null(),
            Self::Bigint(values) => values.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Bigint(values) => Arc::new(values.finish()),
        }
    }
}

enum ColumnBuilder {
    Text(Source, StringViewBuilder),
    Int(Source, Int32Builder),
    BigInt(Source, Int64Builder),
    Double(Source, Float64Builder),
    /// The values are with the wanted parameter of this index.
    UrlParameter(usize),
    Time(TimestampMillisecondBuilder),
    Day(Date32Builder),
}

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

impl Scan {
    /// A scan that makes these columns, in this order.
    pub fn new(format: &'static LogFormat, columns: &[ScanColumn]) -> Self {
        let schema = Arc::new(Schema::new(
            columns
                .iter()
                .map(|column| column.field(format))
                .collect::<Vec<_>>(),
        ));
        let mut scan = Self {
            format,
            schema,
            columns: Vec::with_capacity(columns.len()),
            parameters: Vec::new(),
            rows: 0,
            fields: Fields::default(),
            times: Timestamps::default(),
            queries: Queries::default(),
            needs: Needs::of(format),
            filter: None,
        };
        for column in columns {
            let builder = scan.builder(column);
            scan.columns.push(builder);
        }
        scan
    }

    /// The same scan, but only of lines for which the condition holds are rows made.
    pub fn only(mut self, condition: Condition) -> Self {
        let mut needs = Needs::of(self.format);
        condition.add_to(&mut needs);
        self.filter = Some(Filter { condition, needs });
        self
    }

    fn builder(&mut self, column: &ScanColumn) -> ColumnBuilder {
        match column {
            ScanColumn::Column(column) => {
                let source = column.source;
                self.needs.add(source);
                match source {
                    Source::Int(_) | Source::Port(_) => {
                        ColumnBuilder::Int(source, Int32Builder::new())
                    }
                    Source::BigInt(_) => ColumnBuilder::BigInt(source, Int64Builder::new()),
                    Source::Double(_) => ColumnBuilder::Double(source, Float64Builder::new()),
                    _ => ColumnBuilder::Text(source, text_builder()),
                }
            }
            ScanColumn::UrlParameter(name) => {
                self.parameter(name, ParameterBuilder::Text(text_builder()))
            }
            ScanColumn::UrlDouble(name) => {
                self.parameter(name, ParameterBuilder::Double(Float64Builder::new()))
            }
            ScanColumn::UrlBigint(name) => {
                self.parameter(name, ParameterBuilder::Bigint(Int64Builder::new()))
            }
            ScanColumn::Time => ColumnBuilder::Time(
                TimestampMillisecondBuilder::new().with_data_type(ScanColumn::Time.data_type()),
            ),
            ScanColumn::Day => ColumnBuilder::Day(Date32Builder::new()),
        }
    }

    fn parameter(&mut self, name: &str, values: ParameterBuilder) -> ColumnBuilder {
        self.needs.add_request();
        self.parameters.push(WantedParameter {
            name: name.to_owned(),
            values,
            found: false,
        });
        ColumnBuilder::UrlParameter(self.parameters.len() - 1)
    }

    /// The columns that it makes.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Makes a row of a line without its line end, if the line matters. Returns the line's time in milliseconds since the
    /// epoch.
    pub fn push(&mut self, text: &str) -> Result<i64, Rejection> {
        if text.is_empty() {
            return Err(Rejection::Empty);
        }
        if text.len() > crate::log_file::lines::MAX_LINE_BYTES {
            return Err(Rejection::TooLong);
        }
        let Self {
            fields,
            format,
            times,
            filter,
            needs,
            ..
        } = self;
        let first = filter.as_ref().map_or(*needs, |filter| filter.needs);
        fields.split(text, first.fields);
        if fields.len() < MIN_FIELDS {
            return Err(Rejection::TooFewFields(fields.len()));
        }
        let time = fields
            .text(text, format.time_field)
            .and_then(|field| times.read(field))
            .ok_or(Rejection::NoTime(format.time_field + 1))?;
        if let Some(Filter { condition, needs }) = filter
            && !condition.holds(&Line::new(text, fields, *needs))
        {
            return Ok(time);
        }
        fields.split_on(text, needs.fields);
        let line = Line::new(text, fields, *needs);

        if !self.parameters.is_empty() {
            let query = line
                .request
                .and_then(|(_, url, _)| self.queries.raw_query(url));
            push_parameters(&mut self.parameters, query);
        }
        for column in &mut self.columns {
            match column {
                ColumnBuilder::Text(source, values) => values.append_option(line.text(*source)),
                ColumnBuilder::Int(source, values) => values.append_option(line.number(*source)),
                ColumnBuilder::BigInt(source, values) => {
                    values.append_option(line.number(*source));
                }
                ColumnBuilder::Double(source, values) => {
                    values.append_option(line.double(*source));
                }
                ColumnBuilder::UrlParameter(_) => {}
                ColumnBuilder::Time(values) => values.append_value(time),
                ColumnBuilder::Day(values) => {
                    // A four-digit year, so it fits.
                    values.append_value(time.div_euclid(MILLISECONDS_PER_DAY) as i32);
                }
            }
        }
        self.rows += 1;
        Ok(time)
    }

    /// The rows since the last batch.
    pub fn finish(&mut self) -> RecordBatch {
        let columns = self
            .columns
            .iter_mut()
            .map(|column| -> ArrayRef {
                match column {
                    ColumnBuilder::Text(_, values) => Arc::new(values.finish()),
                    ColumnBuilder::Int(_, values) => Arc::new(values.finish()),
                    ColumnBuilder::BigInt(_, values) => Arc::new(values.finish()),
                    ColumnBuilder::Double(_, values) => Arc::new(values.finish()),
                    ColumnBuilder::UrlParameter(index) => self.parameters[*index].values.finish(),
                    ColumnBuilder::Time(values) => Arc::new(values.finish()),
                    ColumnBuilder::Day(values) => Arc::new(values.finish()),
                }
            })
            .collect();
        let options =
            RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("the builders were made from the schema, and each got one value a row")
    }
}

fn text_builder() -> StringViewBuilder {
    StringViewBuilder::new().with_fixed_block_size(256 * 1024)
}

/// Looks once at each parameter of a URL's query. The first of a name wins, as in Trino.
fn push_parameters(wanted: &mut [WantedParameter], raw_query: Option<&str>) {
    let mut missing = wanted.len();
    for parameter in wanted.iter_mut() {
        parameter.found = false;
    }
    if let Some(raw_query) = raw_query {
        for parameter in url::parameters(raw_query) {
            for wanted in wanted.iter_mut() {
                if !wanted.found && same(wanted.name.as_bytes(), parameter.name.as_bytes()) {
                    wanted.found = true;
                    missing -= 1;
                    wanted.values.append(&parameter.value());
                }
            }
            if missing == 0 {
                return;
            }
        }
    }
    for wanted in wanted.iter_mut() {
        if !wanted.found {
            wanted.values.append_null();
        }
    }
}

/// Compares names of a few bytes, for which a call of `memcmp` takes longer than the comparison.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left == right)
}
