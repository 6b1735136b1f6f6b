//! Output formats of a query.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    Array, ArrayRef, AsArray, MapArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::chart::{self, Screen};
use super::prepare::output_name;
use crate::terminal::{Escaping, escaped};
use logmill_trino::cast::date_to_varchar;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values, with a header.
    Csv,
    /// CSV to open in a spreadsheet: a text that begins as a formula does gets a ' before it.
    SpreadsheetCsv,
    /// One JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
    /// One line for each column: for rows that are wider than the screen.
    Vertical,
    /// A picture: lines over time, or a bar for each row.
    Chart,
}

/// How a query's rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Their format.
    pub format: Format,
    /// The number of rows after which no more are written; `None` for all.
    pub rows_max: Option<usize>,
    /// What a chart is drawn on.
    pub screen: Screen,
}

impl From<Format> for Style {
    fn from(format: Format) -> Self {
        Self {
            format,
            rows_max: None,
            screen: Screen::default(),
        }
    }
}

impl Style {
    /// The plan of as many rows as are written, and one more that shows that there are others.
    pub(super) fn limited(self, plan: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
        match self.rows_max {
            Some(rows) => LogicalPlanBuilder::from(plan)
                .limit(0, Some(rows.saturating_add(1)))?
                .build(),
            None => Ok(plan),
        }
    }
}

/// What was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The number of rows.
    pub rows: usize,
    /// Whether the result has more rows than [`Style::rows_max`].
    pub has_more: bool,
}

/// An aligned table is written in blocks of this many rows, or this many bytes in memory, so that any number of rows can be
/// written.
const BLOCK_ROWS: usize = 10_000;
const BLOCK_BYTES: usize = 64 << 20;

/// Writes rows as they arrive. An aligned table waits for a block of rows, because the block determines the column widths.
pub(crate) async fn write(
    rows: SendableRecordBatchStream,
    style: Style,
    mut out: impl Write + Send,
) -> Result<Written> {
    let mut rows = Rows::new(rows, style.rows_max);
    let schema = Arc::clone(&rows.schema);
    match style.format {
        Format::Table => write_tables(&mut rows, &mut out).await?,
        Format::Vertical => {
            while let Some(batch) = rows.next().await? {
                let first = rows.written.rows - batch.num_rows() + 1;
                write_vertically(&for_people(&batch)?, first, &mut out)?;
            }
            write_count(rows.written, &mut out)?;
        }
        Format::Chart => chart::write(&mut rows, style.screen, &mut out).await?,
        Format::Csv | Format::SpreadsheetCsv => {
            let as_cells = |batch| match style.format {
                Format::SpreadsheetCsv => without_formulas(&as_text(&batch)?),
                _ => as_text(&batch),
            };
            let mut writer = arrow::csv::WriterBuilder::new()
                .with_header(true)
                .build(&mut out);
            writer.write(&as_cells(RecordBatch::new_empty(schema))?)?;
            while let Some(batch) = rows.next().await? {
                writer.write(&as_cells(batch)?)?;
            }
        }
        Format::Json => {
            let mut writer =
                arrow::json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, arrow::json::writer::LineDelimited>(Escaping::json(&mut out));
            while let Some(batch) = rows.next().await? {
                writer.write(&changed(&batch, for_json)?)?;
            }
            writer.finish()?;
        }
        Format::Parquet => {
            // Athena needs the same properties as in the tables' files: see `table::parquet_file`.
            let properties = WriterProperties::builder()
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_offset_index_disabled(true)
                .build();
            let mut writer = ArrowWriter::try_new(&mut out, schema, Some(properties))?;
            while let Some(batch) = rows.next().await? {
                writer.write(&batch)?;
            }
            writer.close()?;
        }
    }
    out.flush()?;
    Ok(rows.written)
}

/// A query's rows under their final names, up to the maximum number.
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    batches: SendableRecordBatchStream,
    rows_max: usize,
    written: Written,
}

impl Rows {
    fn new(batches: SendableRecordBatchStream, rows_max: Option<usize>) -> Self {
        let schema = batches.schema();
        let fields = schema.fields().iter().enumerate().map(|(place, field)| {
            let name = output_name(field.name(), place);
            Arc::new(field.as_ref().clone().with_name(name))
        });
        Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            batches,
            rows_max: rows_max.unwrap_or(usize::MAX),
            written: Written::default(),
        }
    }

    /// The next batch; `None` after the last row that is written.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.written.has_more {
            return Ok(None);
        }
        let Some(batch) = self.batches.try_next().await? else {
            return Ok(None);
        };
        let room = self.rows_max - self.written.rows;
        self.written.has_more = batch.num_rows() > room;
        let rows = batch.num_rows().min(room);
        self.written.rows += rows;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = batch.slice(0, rows);
        Ok(Some(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            batch.columns().to_vec(),
            &options,
        )?))
    }
}

async fn write_tables(rows: &mut Rows, out: &mut impl Write) -> Result<()> {
    let mut has_table = false;
    loop {
        let mut block = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        while count < BLOCK_ROWS
            && bytes < BLOCK_BYTES
            && let Some(batch) = rows.next().await?
        {
            count += batch.num_rows();
            bytes += batch.get_array_memory_size();
            block.push(for_people(&batch)?);
        }
        if block.is_empty() {
            if has_table {
                break;
            }
            block.push(for_people(&RecordBatch::new_empty(Arc::clone(
                &rows.schema,
            )))?);
        }
        writeln!(out, "{}", pretty_format_batches(&block)?)?;
        has_table = true;
    }
    write_count(rows.written, out)
}

fn write_count(written: Written, out: &mut impl Write) -> Result<()> {
    let Written { rows, has_more } = written;
    let s = if rows == 1 { "" } else { "s" };
    let more = if has_more { ", and there are more" } else { "" };
    writeln!(out, "{rows} row{s}{more}")?;
    Ok(())
}

/// Writes rows of texts, each as a line for each column. The first has this number.
fn write_vertically(rows: &RecordBatch, first: usize, out: &mut impl Write) -> Result<()> {
    let schema = rows.schema();
    let names: Vec<Cow<'_, str>> = schema
        .fields()
        .iter()
        .map(|field| escaped(field.name()))
        .collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default();
    for row in 0..rows.num_rows() {
        writeln!(out, "-- row {} --", first + row)?;
        for (name, column) in names.iter().zip(rows.columns()) {
            let cell = column.as_string::<i32>().value(row);
            writeln!(out, "{name:width$}  {cell}")?;
        }
    }
    Ok(())
}

/// Bytes of a sketch that are shown in output for people.
const SHOWN_BYTES: usize = 8;

/// Converts every cell to one line of text that is safe to show. Shortens sketches, which people can't read.
pub(super) fn for_people(batch: &RecordBatch) -> Result<RecordBatch> {
    let short = |bytes: &[u8]| match bytes.len() {
        length if length > SHOWN_BYTES => {
            format!("{}… ({length} bytes)", hex(&bytes[..SHOWN_BYTES]))
        }
        _ => hex(bytes),
    };
    let batch = map_columns(batch, |column| match texts_of_dates(column) {
        Some(dates) => Ok(Some(dates)),
        None if column.data_type().is_nested() => texts_of_nested(column).map(Some),
        None => texts_of_binary(column, short),
    })?;
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    map_columns(&batch, |column| {
        let cells = ArrayFormatter::try_new(column, &options)?;
        let cells = (0..column.len()).map(|row| {
            let cell = cells.value(row).to_string();
            Some(escaped(&cell).into_owned())
        });
        Ok(Some(cells.collect()))
    })
}

/// The numbers of a column; `None` for NULL.
pub(super) fn numbers(column: &ArrayRef) -> Result<Vec<Option<f64>>> {
    let numbers = cast(column, &DataType::Float64)?;
    Ok(numbers.as_primitive::<Float64Type>().iter().collect())
}

/// The text of each cell of a column in CSV; `None` for NULL.
pub(crate) fn csv_cells(column: &ArrayRef) -> Result<Vec<Option<String>>> {
    let batch = as_text(&RecordBatch::try_from_iter([(
        "column",
        Arc::clone(column),
    )])?)?;
    let column = batch.column(0);
    let cells = ArrayFormatter::try_new(column, &FormatOptions::default())?;
    let cells = (0..column.len()).map(|row| match column.is_null(row) {
        true => None,
        false => Some(cells.value(row).to_string()),
    });
    Ok(cells.collect())
}

/// Converts bytes to hexadecimal digits, and dates, arrays and maps to Athena's notation, for formats without these types.
fn as_text(batch: &RecordBatch) -> Result<RecordBatch> {
    map_columns(batch, |column| match texts_of_dates(column) {
        Some(dates) => Ok(Some(dates)),
        None if column.data_type().is_nested() => texts_of_nested(column).map(Some),
        None => texts_of_binary(column, hex),
    })
}

/// Puts a `'` before each text that a spreadsheet would evaluate: a visitor's `=HYPERLINK(…)` can send the sheet's cells to
/// any server. Only text columns are changed, so that negative numbers stay numbers.
fn without_formulas(batch: &RecordBatch) -> Result<RecordBatch> {
    map_columns(batch, |column| {
        let is_text = match column.data_type() {
            DataType::Dictionary(_, values) => values.is_string(),
            DataType::List(_) | DataType::Map(..) => false,
            data_type => data_type.is_string(),
        };
        if !is_text {
            return Ok(None);
        }
        let texts = cast(column, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>().iter();
        let texts = texts.map(|text| {
            text.map(|text| match text.starts_with(BEGINS_A_FORMULA) {
                true => Cow::Owned(format!("'{text}")),
                false => Cow::Borrowed(text),
            })
        });
        Ok(Some(texts.collect()))
    })
}

/// First characters of texts that a spreadsheet takes for formulas. The last four are the full-width forms of the first
/// four, which spreadsheets in East Asian languages treat the same way.
const BEGINS_A_FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Formats a column of dates as text. `None` for other types. Arrow fails on dates beyond the years ±262,000; a visitor can
/// send such a date, and a rollup may keep it.
fn texts_of_dates(column: &dyn Array) -> Option<StringArray> {
    let dates = column.as_primitive_opt::<Date32Type>()?.iter();
    Some(dates.map(|date| date.map(date_to_varchar)).collect())
}

/// Formats a column of bytes as text. `None` for other types.
fn texts_of_binary(
    column: &dyn Array,
    show: impl Fn(&[u8]) -> String,
) -> Result<Option<StringArray>> {
    if !matches!(
        column.data_type(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary
    ) {
        return Ok(None);
    }
    let bytes = cast(column, &DataType::Binary)?;
    let bytes = bytes.as_binary::<i32>().iter();
    Ok(Some(bytes.map(|bytes| bytes.map(&show)).collect()))
}

/// Formats a column of arrays or maps as Athena does: `[1.0, 2.0]` and `{1.0=2.0}`.
fn texts_of_nested(column: &dyn Array) -> Result<StringArray> {
    let texts = (0..column.len()).map(|row| match column.is_null(row) {
        true => Ok(None),
        false => text_of_nested(column, row).map(Some),
    });
    texts.collect()
}

fn text_of_nested(column: &dyn Array, row: usize) -> Result<String> {
    if let Some(lists) = column.as_list_opt::<i32>() {
        let elements = texts_of_elements(&lists.value(row))?;
        return Ok(format!("[{}]", elements.join(", ")));
    }
    if let Some(maps) = column.as_map_opt() {
        let entries = maps.value(row);
        let (keys, values) = (
            texts_of_elements(entries.column(0))?,
            texts_of_elements(entries.column(1))?,
        );
        let entries = keys.iter().zip(&values);
        let entries = entries.map(|(key, value)| format!("{key}={value}"));
        return Ok(format!("{{{}}}", entries.collect::<Vec<_>>().join(", ")));
    }
    let formatter = ArrayFormatter::try_new(column, &FormatOptions::default())?;
    Ok(formatter.value(row).to_string())
}

fn texts_of_elements(elements: &ArrayRef) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("null");
    if let Some(dates) = texts_of_dates(elements) {
        let dates = dates.iter().map(|date| date.unwrap_or("null").to_owned());
        return Ok(dates.collect());
    }
    if elements.data_type().is_nested() {
        let texts = texts_of_nested(elements)?;
        let texts = texts.iter().map(|text| text.unwrap_or("null").to_owned());
        return Ok(texts.collect());
    }
    let formatter = ArrayFormatter::try_new(elements, &options)?;
    Ok((0..elements.len())
        .map(|place| formatter.value(place).to_string())
        .collect())
}

/// The columns that JSON can't hold as they are: dates, and maps whose keys are not texts.
fn for_json(column: &dyn Array) -> Result<Option<ArrayRef>> {
    if let Some(dates) = texts_of_dates(column) {
        return Ok(Some(Arc::new(dates)));
    }
    let Some(maps) = column.as_map_opt() else {
        return Ok(None);
    };
    let keys = texts_of_elements(maps.keys())?.into_iter().map(Some);
    let keys: ArrayRef = Arc::new(keys.collect::<StringArray>());
    let fields = vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", maps.values().data_type().clone(), true),
    ];
    let entries = StructArray::try_new(fields.into(), vec![keys, Arc::clone(maps.values())], None)?;
    let entry = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
    Ok(Some(Arc::new(MapArray::try_new(
        entry, offsets, entries, nulls, false,
    )?)))
}

/// Replaces columns with the text that `texts` returns. Keeps columns for which it returns `None`.
fn map_columns(
    batch: &RecordBatch,
    texts: impl Fn(&dyn Array) -> Result<Option<StringArray>>,
) -> Result<RecordBatch> {
    changed(batch, |column| {
        Ok(texts(column)?.map(|texts| Arc::new(texts) as ArrayRef))
    })
}

/// Replaces columns with those that `change` returns. Keeps columns for which it returns `None`.
fn changed(
    batch: &RecordBatch,
    change: impl Fn(&dyn Array) -> Result<Option<ArrayRef>>,
) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        match change(column)? {
            Some(other) => {
                let data_type = other.data_type().clone();
                fields.push(Arc::new(Field::new(field.name(), data_type, true)));
                columns.push(other);
            }
            None => {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
            }
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::new(Schema::new(fields)),
        columns,
        &options,
    )?)
}

#[cfg(test)]
mod tests {
    use arrow::array::Date32Array;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    async fn written(batch: &RecordBatch, format: Format) -> Vec<u8> {
        let stream = futures::stream::iter([Ok(batch.clone())]);
        let stream = RecordBatchStreamAdapter::new(batch.schema(), stream);
        let mut out = Vec::new();
        let written = write(Box::pin(stream), format.into(), &mut out);
        written.await.unwrap();
        out
    }

    #[tokio::test]
    async fn parquet_has_no_index_of_its_pages() {
        let dates: ArrayRef = Arc::new(Date32Array::from_iter_values(0..100_000));
        let batch = RecordBatch::try_from_iter([("d", dates)]).unwrap();
        let bytes = bytes::Bytes::from(written(&batch, Format::Parquet).await);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let column = reader.metadata().row_group(0).column(0);
        assert!(column.statistics().is_some());
        assert_eq!(column.column_index_offset(), None);
        assert_eq!(column.offset_index_offset(), None);
    }

    #[tokio::test]
    async fn arrays_and_maps_are_written_as_athena_does() {
        use arrow::array::{Float64Builder, ListArray, MapBuilder};
        use arrow::datatypes::Float64Type;
        let numbers = vec![Some(vec![Some(1.0), None]), Some(vec![]), None];
        let arrays = ListArray::from_iter_primitive::<Float64Type, _, _>(numbers);
        let mut maps = MapBuilder::new(None, Float64Builder::new(), Float64Builder::new());
        for row in 0..3 {
            maps.keys().append_value(f64::from(row));
            maps.values().append_value(2.5);
            maps.append(row != 2).unwrap();
        }
        let columns: [(&str, ArrayRef); 2] =
            [("a", Arc::new(arrays)), ("m", Arc::new(maps.finish()))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        for (format, expected) in [
            (
                Format::Csv,
                "a,m\n\"[1.0, null]\",{0.0=2.5}\n[],{1.0=2.5}\n,\n",
            ),
            (
                Format::SpreadsheetCsv,
                "a,m\n\"[1.0, null]\",{0.0=2.5}\n[],{1.0=2.5}\n,\n",
            ),
            (
                Format::Json,
                "{\"a\":[1.0,null],\"m\":{\"0.0\":2.5}}\n{\"a\":[],\"m\":{\"1.0\":2.5}}\n{\"a\":null,\"m\":null}\n",
            ),
        ] {
            let text = String::from_utf8(written(&batch, format).await).unwrap();
            assert_eq!(text, expected);
        }
        let table = String::from_utf8(written(&batch, Format::Table).await).unwrap();
        assert!(table.contains("| [1.0, null] | {0.0=2.5} |"), "{table}");
        assert!(!written(&batch, Format::Parquet).await.is_empty());
    }

    #[tokio::test]
    async fn dates_of_any_year_are_written() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![i32::MIN, -719_529, 0, i32::MAX]));
        let batch = RecordBatch::try_from_iter([("d", dates)]).unwrap();
        for format in [
            Format::Table,
            Format::Csv,
            Format::SpreadsheetCsv,
            Format::Json,
            Format::Vertical,
        ] {
            let text = String::from_utf8(written(&batch, format).await).unwrap();
            for date in [
                "-5877641-06-23",
                "-0001-12-31",
                "1970-01-01",
                "5881580-07-11",
            ] {
                assert!(text.contains(date), "{text}");
            }
        }
    }
}
