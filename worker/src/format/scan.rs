//! Lines become columns.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringViewBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{Schema, SchemaRef};

use super::delimited::DelimitedLines;
use super::fields::{FieldValues, Fields, TextFields};
use super::json::JsonLines;
use super::line::{Line, Needs, Request};
use super::named::NamedFields;
use super::parquet::{ParquetFile, ParquetReadError, ParquetRow, ParquetRows};
use super::{LINE_TEXT_BYTES, LogFormat, Prefilter, Rejection, ScanColumn, Shape, Source};
use logmill_shared::LogFile;
use logmill_trino::cast;
use logmill_trino::iso8601::Timestamps;
use logmill_trino::uri::Queries;
use logmill_trino::url;

/// Turns lines into columns.
pub struct Scan {
    format: &'static LogFormat,
    shape: LineShape,
    schema: SchemaRef,
    rows: Rows,
    /// Lines so far, with or without a row.
    lines: i64,
    fields: Fields,
    named: NamedFields,
    times: Timestamps,
    queries: Queries,
    needs: Needs,
    filter: Option<Filter>,
}

/// How the lines are written.
enum LineShape {
    Text,
    Json(JsonLines),
    W3c(DelimitedLines),
    Plain(DelimitedLines),
}

/// Which lines become rows.
struct Filter {
    prefilter: Prefilter,
    needs: Needs,
}

/// What a line is that was not rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// A log line. Its time is in milliseconds since 1970. `None` if the log does not have the field.
    Line(Option<i64>),
    /// Not a line of the log, but one that describes the log.
    Directive,
}

/// The rows since the last batch.
struct Rows {
    columns: Vec<ColumnBuilder>,
    parameters: Vec<WantedParameter>,
    rows: usize,
    of_file: Vec<Option<String>>,
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
    /// The values are in the wanted parameter with this index.
    UrlParameter(usize),
    Time(TimestampMillisecondBuilder),
    Day(Date32Builder),
    /// The same value for all lines, which is in [`Rows::of_file`] at this index.
    OfFile(usize, StringViewBuilder),
    LineNumber(Int64Builder),
    LineText(StringViewBuilder),
}

/// How many parameter lookups a prefilter may need. With many more, evaluating it takes longer than building the row.
const FILTER_PARAMETERS_MAX: usize = 4;

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// The years 1 to 9999, in milliseconds since 1970.
const STORABLE_MILLISECONDS: RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

impl Scan {
    /// A scan of a log in this shape that produces these columns, in this order.
    pub fn new(
        format: &'static LogFormat,
        shape: &Shape,
        columns: &[ScanColumn],
        log_file: &LogFile,
    ) -> Self {
        let fields = columns.iter().map(|column| column.field(format));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut scan = Self {
            format,
            shape: match shape {
                // Rows of Parquet have no lines.
                Shape::Text | Shape::Parquet => LineShape::Text,
                Shape::Json => LineShape::Json(JsonLines::new(format)),
                Shape::W3c => LineShape::W3c(DelimitedLines::w3c(format)),
                Shape::Plain(plain) => LineShape::Plain(DelimitedLines::plain(format, plain)),
            },
            schema,
            rows: Rows {
                columns: Vec::with_capacity(columns.len()),
                parameters: Vec::new(),
                rows: 0,
                of_file: Vec::new(),
            },
            lines: 0,
            fields: Fields::of(format),
            named: NamedFields::default(),
            times: Timestamps::default(),
            queries: Queries::default(),
            needs: Needs::of(format),
            filter: None,
        };
        for column in columns {
            let builder = scan.builder(column, log_file);
            scan.rows.columns.push(builder);
        }
        scan
    }

    /// Restricts the scan to lines for which the prefilter holds, unless evaluating it takes as long as building the row.
    pub fn only(mut self, prefilter: Prefilter) -> Self {
        if prefilter.parameters() > FILTER_PARAMETERS_MAX {
            return self;
        }
        let mut needs = Needs::of(self.format);
        prefilter.add_to(&mut needs);
        self.filter = Some(Filter { prefilter, needs });
        self
    }

    fn builder(&mut self, column: &ScanColumn, log_file: &LogFile) -> ColumnBuilder {
        self.needs.add(column);
        match column {
            ScanColumn::Column(column) => {
                let source = column.source;
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
            ScanColumn::OfFile(of_file) => {
                self.rows.of_file.push(of_file.value(log_file));
                ColumnBuilder::OfFile(self.rows.of_file.len() - 1, text_builder())
            }
            ScanColumn::LineNumber => ColumnBuilder::LineNumber(Int64Builder::new()),
            ScanColumn::LineText => ColumnBuilder::LineText(text_builder()),
        }
    }

    fn parameter(&mut self, name: &str, values: ParameterBuilder) -> ColumnBuilder {
        self.rows.parameters.push(WantedParameter {
            name: name.to_owned(),
            values,
            found: false,
        });
        ColumnBuilder::UrlParameter(self.rows.parameters.len() - 1)
    }

    /// The columns that the scan produces.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of rows since the last batch.
    pub fn rows(&self) -> usize {
        self.rows.rows
    }

    /// The number of the last line in its log file, from 1.
    pub(crate) fn line_number(&self) -> i64 {
        self.lines
    }

    /// Counts a line that was too long to be read.
    pub(crate) fn skip_line(&mut self) {
        self.lines += 1;
    }

    /// Passes a line over, of which only the fields that it may name for later lines count.
    pub(crate) fn pass(&mut self, line: &str) {
        match &mut self.shape {
            LineShape::W3c(_) if line.starts_with('#') => {
                let _ = self.push(line);
            }
            _ => self.lines += 1,
        }
    }

    /// Whether the columns or the prefilter need this field.
    fn needs(&self, field: usize) -> bool {
        let of_filter = self.filter.as_ref();
        self.needs.has(field) || of_filter.is_some_and(|filter| filter.needs.has(field))
    }

    /// Starts to read the rows of a Parquet file, of which only the needed columns are read.
    ///
    /// # Errors
    ///
    /// If the file is damaged, or the columns have more than `bytes_max` bytes.
    pub(crate) fn rows_of<'a>(
        &self,
        file: ParquetFile<'a>,
        bytes_max: u64,
    ) -> Result<ParquetRows<'a>, ParquetReadError> {
        file.rows(
            self.format,
            |field| self.needs(field),
            self.needs.others,
            bytes_max,
        )
    }

    /// Adds a row for a line, given without its line ending, if the line matters.
    pub fn push(&mut self, text: &str) -> Result<Pushed, Rejection> {
        self.lines += 1;
        if text.is_empty() {
            return Err(Rejection::Empty);
        }
        if text.len() > crate::log_file::lines::MAX_LINE_BYTES {
            return Err(Rejection::TooLong);
        }
        match self.shape {
            LineShape::Text => self.push_text(text),
            _ => self.push_named(text),
        }
    }

    fn push_text(&mut self, text: &str) -> Result<Pushed, Rejection> {
        let Self {
            fields,
            format,
            times,
            queries,
            filter,
            needs,
            rows,
            ..
        } = self;
        let first = filter.as_ref().map_or(*needs, |filter| filter.needs);
        fields.split(text, first.fields);
        if fields.len() < format.fields_min {
            return Err(Rejection::TooFewFields {
                found: fields.len(),
                least: format.fields_min,
            });
        }
        let time = fields
            .text(text, format.time_field)
            .and_then(|field| storable_time(times, field))
            .ok_or(Rejection::NoTime(format.time_field + 1))?;

        let mut request = Request::default();
        if let Some(filter) = filter {
            let values = TextFields { line: text, fields };
            request.find(values, filter.needs, queries);
            let line = Line {
                fields: values,
                request,
            };
            if !filter.prefilter.holds(&line) {
                return Ok(Pushed::Line(Some(time)));
            }
            fields.split_on(text, needs.fields);
        }
        let values = TextFields { line: text, fields };
        request.find(values, *needs, queries);
        let line = Line {
            fields: values,
            request,
        };
        rows.push(&line, || text.into(), Some(time), self.lines);
        Ok(Pushed::Line(Some(time)))
    }

    fn push_named(&mut self, text: &str) -> Result<Pushed, Rejection> {
        let mut named = std::mem::take(&mut self.named);
        let read = match &mut self.shape {
            LineShape::Json(lines) => lines.read(text, &mut named).map(Some),
            LineShape::W3c(lines) => lines.read_w3c(text, &mut named),
            LineShape::Plain(lines) => lines.read(text, &mut named).map(Some),
            LineShape::Text => Ok(None),
        };
        let pushed = match read {
            Ok(Some(has_time)) => self.push_values(named.of(text), has_time, || text.into()),
            Ok(None) => Ok(Pushed::Directive),
            Err(rejection) => Err(rejection),
        };
        self.named = named;
        pushed
    }

    /// Adds a row for the next row of a Parquet file, if it matters.
    pub(crate) fn push_row(&mut self, row: ParquetRow<'_>) -> Result<Pushed, Rejection> {
        self.lines += 1;
        if row.text_bytes() > crate::log_file::lines::MAX_LINE_BYTES {
            return Err(Rejection::TooLong);
        }
        self.push_values(row, row.has_time(), || row.to_text().into())
    }

    /// Adds a row for a line with these values. `has_time` says whether it has the field of the time.
    fn push_values<'l, V: FieldValues<'l>>(
        &mut self,
        fields: V,
        has_time: bool,
        text: impl Fn() -> Cow<'l, str>,
    ) -> Result<Pushed, Rejection> {
        let field = self.format.time_field;
        let time = fields.text(field);
        let time = time.and_then(|time| storable_time(&mut self.times, time));
        if has_time && time.is_none() {
            return Err(Rejection::NoTimeIn(self.format.fields[field].name));
        }
        let mut line = Line {
            fields,
            request: Request::default(),
        };
        if let Some(filter) = &self.filter {
            line.request.find(fields, filter.needs, &mut self.queries);
            if !filter.prefilter.holds(&line) {
                return Ok(Pushed::Line(time));
            }
        }
        line.request.find(fields, self.needs, &mut self.queries);
        self.rows.push(&line, text, time, self.lines);
        Ok(Pushed::Line(time))
    }

    /// Returns the rows since the last batch.
    pub fn finish(&mut self) -> RecordBatch {
        let (columns, rows) = self.rows.finish();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("the builders were made from the schema, and each got one value a row")
    }
}

/// A time that tables can store, in milliseconds since 1970. No load balancer writes other times.
#[inline(always)]
fn storable_time(times: &mut Timestamps, text: &str) -> Option<i64> {
    times
        .read(text)
        .filter(|time| STORABLE_MILLISECONDS.contains(time))
}

impl Rows {
    #[inline(always)]
    fn push<'l, V: FieldValues<'l>>(
        &mut self,
        line: &Line<'l, V>,
        text: impl Fn() -> Cow<'l, str>,
        time: Option<i64>,
        number: i64,
    ) {
        if !self.parameters.is_empty() {
            push_parameters(&mut self.parameters, line.request.query);
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
                ColumnBuilder::Time(values) => values.append_option(time),
                ColumnBuilder::Day(values) => {
                    // The year has four digits, so the day fits.
                    let day = time.map(|time| time.div_euclid(MILLISECONDS_PER_DAY) as i32);
                    values.append_option(day);
                }
                ColumnBuilder::OfFile(index, values) => {
                    values.append_option(self.of_file[*index].as_deref());
                }
                ColumnBuilder::LineNumber(values) => values.append_value(number),
                ColumnBuilder::LineText(values) => {
                    let text = text();
                    values.append_value(&text[..text.floor_char_boundary(LINE_TEXT_BYTES)]);
                }
            }
        }
        self.rows += 1;
    }

    /// The columns of the rows so far, and the number of these rows.
    fn finish(&mut self) -> (Vec<ArrayRef>, usize) {
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
                    ColumnBuilder::OfFile(_, values) => Arc::new(values.finish()),
                    ColumnBuilder::LineNumber(values) => Arc::new(values.finish()),
                    ColumnBuilder::LineText(values) => Arc::new(values.finish()),
                }
            })
            .collect();
        (columns, std::mem::take(&mut self.rows))
    }
}

fn text_builder() -> StringViewBuilder {
    StringViewBuilder::new().with_fixed_block_size(256 * 1024)
}

/// Reads each parameter of a URL's query once. The first one of a name wins, as in Trino.
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

/// Compares short names, for which calling `memcmp` takes longer than the comparison itself.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left == right)
}
