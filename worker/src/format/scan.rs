//! Lines become columns.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringViewBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{Schema, SchemaRef};

use super::fields::Fields;
use super::line::{Line, Needs, Request};
use super::{LINE_TEXT_BYTES, LogFormat, MIN_FIELDS, Prefilter, Rejection, ScanColumn, Source};
use logmill_trino::cast;
use logmill_trino::iso8601::Timestamps;
use logmill_trino::uri::Queries;
use logmill_trino::url;

/// Turns lines into columns.
pub struct Scan {
    format: &'static LogFormat,
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    parameters: Vec<WantedParameter>,
    rows: usize,
    /// Lines so far, with or without a row.
    lines: i64,
    fields: Fields,
    times: Timestamps,
    queries: Queries,
    needs: Needs,
    filter: Option<Filter>,
    delivery_day: Option<String>,
}

/// Which lines become rows.
struct Filter {
    prefilter: Prefilter,
    needs: Needs,
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
    DeliveryDay(StringViewBuilder),
    LineNumber(Int64Builder),
    LineText(StringViewBuilder),
}

/// How many parameter lookups a prefilter may need. With many more, evaluating it takes longer than building the row.
const FILTER_PARAMETERS_MAX: usize = 4;

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// The years 1 to 9999, in milliseconds since 1970.
const STORABLE_MILLISECONDS: RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

impl Scan {
    /// A scan that produces these columns, in this order.
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
            lines: 0,
            fields: Fields::default(),
            times: Timestamps::default(),
            queries: Queries::default(),
            needs: Needs::of(format),
            filter: None,
            delivery_day: None,
        };
        for column in columns {
            let builder = scan.builder(column);
            scan.columns.push(builder);
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

    /// Sets the day on which the log file was delivered, in the form of Athena's partitions.
    pub fn delivered_on(mut self, day: Option<String>) -> Self {
        self.delivery_day = day;
        self
    }

    fn builder(&mut self, column: &ScanColumn) -> ColumnBuilder {
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
            ScanColumn::DeliveryDay => ColumnBuilder::DeliveryDay(text_builder()),
            ScanColumn::LineNumber => ColumnBuilder::LineNumber(Int64Builder::new()),
            ScanColumn::LineText => ColumnBuilder::LineText(text_builder()),
        }
    }

    fn parameter(&mut self, name: &str, values: ParameterBuilder) -> ColumnBuilder {
        self.parameters.push(WantedParameter {
            name: name.to_owned(),
            values,
            found: false,
        });
        ColumnBuilder::UrlParameter(self.parameters.len() - 1)
    }

    /// The columns that the scan produces.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of rows since the last batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Counts a line that was too long to be read.
    pub(crate) fn skip_line(&mut self) {
        self.lines += 1;
    }

    /// Adds a row for a line, given without its line ending, if the line matters. Returns the line's time in milliseconds
    /// since the epoch.
    pub fn push(&mut self, text: &str) -> Result<i64, Rejection> {
        self.lines += 1;
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
            queries,
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
            // No table can store other times, and no load balancer writes them.
            .filter(|time| STORABLE_MILLISECONDS.contains(time))
            .ok_or(Rejection::NoTime(format.time_field + 1))?;

        let mut request = Request::default();
        if let Some(filter) = filter {
            request.find(text, fields, filter.needs, queries);
            let line = Line {
                text,
                fields,
                request,
            };
            if !filter.prefilter.holds(&line) {
                return Ok(time);
            }
            fields.split_on(text, needs.fields);
        }
        request.find(text, fields, *needs, queries);
        let line = Line {
            text,
            fields,
            request,
        };

        if !self.parameters.is_empty() {
            push_parameters(&mut self.parameters, request.query);
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
                    // The year has four digits, so the day fits.
                    values.append_value(time.div_euclid(MILLISECONDS_PER_DAY) as i32);
                }
                ColumnBuilder::DeliveryDay(values) => {
                    values.append_option(self.delivery_day.as_deref());
                }
                ColumnBuilder::LineNumber(values) => values.append_value(self.lines),
                ColumnBuilder::LineText(values) => {
                    values.append_value(&text[..text.floor_char_boundary(LINE_TEXT_BYTES)]);
                }
            }
        }
        self.rows += 1;
        Ok(time)
    }

    /// Returns the rows since the last batch.
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
                    ColumnBuilder::DeliveryDay(values) => Arc::new(values.finish()),
                    ColumnBuilder::LineNumber(values) => Arc::new(values.finish()),
                    ColumnBuilder::LineText(values) => Arc::new(values.finish()),
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
