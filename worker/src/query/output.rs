//! How the rows of a query are written.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values, with a header.
    Csv,
    /// One JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
}

/// Writes rows as they come; only the aligned table waits for the last.
pub(super) async fn write(
    schema: SchemaRef,
    mut batches: SendableRecordBatchStream,
    format: Format,
    mut out: impl Write + Send,
) -> Result<()> {
    match format {
        Format::Table => {
            let batches: Vec<RecordBatch> = batches.try_collect().await?;
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let batches = batches.iter().map(for_people).collect::<Result<Vec<_>>>()?;
            let batches = match batches.is_empty() {
                true => vec![RecordBatch::new_empty(schema)],
                false => batches,
            };
            let options = FormatOptions::default()
                .with_null("NULL")
                .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"));
            writeln!(
                out,
                "{}",
                pretty_format_batches_with_options(&batches, &options)?
            )?;
            writeln!(out, "{rows} {}", if rows == 1 { "row" } else { "rows" })?;
        }
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new()
                .with_header(true)
                .build(&mut out);
            writer.write(&as_text(&RecordBatch::new_empty(schema))?)?;
            while let Some(batch) = batches.try_next().await? {
                writer.write(&as_text(&batch)?)?;
            }
        }
        Format::Json => {
            let mut writer = arrow::json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, arrow::json::writer::LineDelimited>(&mut out);
            while let Some(batch) = batches.try_next().await? {
                writer.write(&batch)?;
            }
            writer.finish()?;
        }
        Format::Parquet => {
            let mut writer = parquet::arrow::ArrowWriter::try_new(&mut out, schema, None)?;
            while let Some(batch) = batches.try_next().await? {
                writer.write(&batch)?;
            }
            writer.close()?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Bytes of a sketch that are shown to a person.
const SHOWN_BYTES: usize = 8;

/// Sketches, which nobody reads, are cut short.
fn for_people(batch: &RecordBatch) -> Result<RecordBatch> {
    map_binary(batch, |bytes| match bytes.len() {
        length if length > SHOWN_BYTES => {
            format!("{}… ({length} bytes)", hex(&bytes[..SHOWN_BYTES]))
        }
        _ => hex(bytes),
    })
}

/// Bytes as hexadecimal digits, for formats that have none.
fn as_text(batch: &RecordBatch) -> Result<RecordBatch> {
    map_binary(batch, hex)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn map_binary(batch: &RecordBatch, show: fn(&[u8]) -> String) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let binary = matches!(
            field.data_type(),
            DataType::Binary | DataType::BinaryView | DataType::LargeBinary
        );
        if binary {
            let bytes = cast(column, &DataType::Binary)?;
            let bytes = bytes.as_binary::<i32>();
            let texts: StringArray = bytes.iter().map(|bytes| bytes.map(show)).collect();
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(Arc::new(texts) as ArrayRef);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::new(Schema::new(fields)),
        columns,
        &options,
    )?)
}
