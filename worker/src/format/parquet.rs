//! Logs in Parquet, as CloudWatch Logs delivers them. Only the columns that somebody needs are read, row group by row group.
//!
//! Texts, numbers and times are accepted for any field, because AWS does not document the types that it writes: a value
//! counts as the text that the text log has for it.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataPushDecoder;

use super::fields::FieldValues;
use super::json::List;
use super::named;
use super::{LogFormat, NLB_TLS_LOGS};

/// The first bytes of a Parquet file.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// The end of a file that the first request for its metadata reads. Most files have less metadata.
const FIRST_TAIL_BYTES: u64 = 64 * 1024;

/// Ranges that are closer to each other than this are read by one request: the bytes between take less time than another one.
const GAP_BYTES_MAX: u64 = 256 * 1024;

/// The needed columns of a row group are in memory at once, as stored. CloudWatch Logs delivers far smaller files.
const GROUP_BYTES_MAX: u64 = 512 << 20;

/// Rows of a batch.
const BATCH_ROWS: usize = 1024;

/// Why a Parquet file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ParquetReadError {
    /// The file is damaged, or uses something that the reader does not know.
    #[error("the Parquet file cannot be decoded: {0}; fetch or upload the file again")]
    Undecodable(String),
    /// It is compressed once more as a whole, so that no part can be read by itself.
    #[error("the Parquet file is inside a gzip stream; decompress it")]
    InGzip,
    /// The columns of a row group are too large to be held in memory.
    #[error(
        "a row group of the Parquet file has {bytes} bytes of needed columns, more than the {GROUP_BYTES_MAX} that are held \
         in memory; write it with smaller row groups"
    )]
    GroupTooLarge {
        /// The size of the columns.
        bytes: u64,
    },
    /// The columns are larger than the limit.
    #[error("the Parquet file has {bytes} bytes of needed columns, more than the limit of {limit}")]
    TooLarge {
        /// The size of the columns.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes could not be read.
    #[error("cannot be read")]
    Read(#[from] io::Error),
}

type Result<T> = std::result::Result<T, ParquetReadError>;

impl From<ParquetError> for ParquetReadError {
    fn from(error: ParquetError) -> Self {
        Self::Undecodable(error.to_string())
    }
}

impl From<ArrowError> for ParquetReadError {
    fn from(error: ArrowError) -> Self {
        Self::Undecodable(error.to_string())
    }
}

/// Reads a range of a file.
pub(crate) type ReadRange<'a> = Box<dyn Fn(Range<u64>) -> io::Result<Bytes> + 'a>;

/// A Parquet file, of which only the metadata has been read.
pub(crate) struct ParquetFile<'a> {
    read: ReadRange<'a>,
    metadata: ArrowReaderMetadata,
    /// Its size.
    bytes: u64,
}

impl<'a> ParquetFile<'a> {
    /// Reads the metadata of a file of this size.
    pub(crate) fn open(bytes: u64, read: ReadRange<'a>) -> Result<Self> {
        let mut decoder = caught(|| ParquetMetaDataPushDecoder::try_new(bytes))?;
        let tail = bytes.saturating_sub(FIRST_TAIL_BYTES)..bytes;
        let end = read(tail.clone())?;
        if !end.ends_with(MAGIC) && read(0..bytes.min(2))?.starts_with(b"\x1f\x8b") {
            return Err(ParquetReadError::InGzip);
        }
        decoder.push_range(tail, end)?;
        let metadata = loop {
            match caught(|| decoder.try_decode())? {
                DecodeResult::Data(metadata) => break metadata,
                DecodeResult::NeedsData(ranges) => {
                    for range in ranges {
                        check_range(&range, bytes)?;
                        decoder.push_range(range.clone(), read(range)?)?;
                    }
                }
                DecodeResult::Finished => {
                    return Err(ParquetReadError::Undecodable("no metadata".to_owned()));
                }
            }
        };
        let metadata = Arc::new(metadata);
        let metadata = caught(|| {
            let as_written =
                ArrowReaderMetadata::try_new(Arc::clone(&metadata), Default::default())?;
            // The decoder refuses a column with a text that is not UTF-8. Bytes are decoded here.
            let bytes = with_bytes(as_written.schema());
            let options = ArrowReaderOptions::new().with_schema(bytes);
            let metadata = ArrowReaderMetadata::try_new(metadata, options);
            Ok::<_, ParquetError>(metadata.unwrap_or(as_written))
        })?;
        Ok(Self {
            read,
            metadata,
            bytes,
        })
    }

    /// The names of its columns.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let fields = self.metadata.schema().fields();
        fields.iter().map(|field| field.name().as_str())
    }

    /// Starts to read its rows. `needs` says which fields are needed besides the time, and `with_others` whether also the
    /// columns that the format does not name are.
    pub(crate) fn rows(
        self,
        format: &'static LogFormat,
        needs: impl Fn(usize) -> bool,
        with_others: bool,
        bytes_max: u64,
    ) -> Result<ParquetRows<'a>> {
        let mut columns = Vec::new();
        let mut roots = Vec::new();
        let mut has_time = false;
        for (root, name) in self.names().enumerate() {
            let field = format.field(&column_name(name));
            has_time |= field == Some(format.time_field);
            let is_needed = field.map_or(with_others, |field| {
                field == format.time_field || needs(field)
            });
            if is_needed {
                columns.push(field);
                roots.push(root);
            }
        }
        let schema = self.metadata.parquet_schema();
        let projection = ProjectionMask::roots(schema, roots);
        let leaves = 0..schema.num_columns();
        let groups = self.metadata.metadata().row_groups();
        let (mut bytes, mut of_group) = (0_u64, 0_u64);
        for group in groups {
            let leaves = leaves
                .clone()
                .filter(|leaf| projection.leaf_included(*leaf));
            let columns = leaves.map(|leaf| group.column(leaf));
            let mut stored = 0_u64;
            for column in columns {
                let size = |size: i64| u64::try_from(size).unwrap_or_default();
                let (start, length) = column.byte_range();
                check_range(&(start..start.saturating_add(length)), self.bytes)?;
                bytes = bytes.saturating_add(size(column.uncompressed_size()));
                stored = stored.saturating_add(size(column.compressed_size()));
            }
            of_group = of_group.max(stored);
        }
        if bytes > bytes_max {
            let limit = bytes_max;
            return Err(ParquetReadError::TooLarge { bytes, limit });
        }
        if of_group > GROUP_BYTES_MAX {
            return Err(ParquetReadError::GroupTooLarge { bytes: of_group });
        }
        let decoder = caught(|| {
            ParquetPushDecoderBuilder::new_with_metadata(self.metadata)
                .with_projection(projection)
                .with_batch_size(BATCH_ROWS)
                .build()
        })?;
        Ok(ParquetRows {
            read: self.read,
            decoder,
            format,
            columns,
            has_time,
            bytes,
        })
    }
}

/// Fails unless a file of this size has this range.
fn check_range(range: &Range<u64>, bytes: u64) -> Result<()> {
    match range.start <= range.end && range.end <= bytes {
        true => Ok(()),
        false => Err(ParquetReadError::Undecodable(
            "it says of a part that it is beyond the end".to_owned(),
        )),
    }
}

/// The schema with bytes in the place of texts.
fn with_bytes(schema: &SchemaRef) -> SchemaRef {
    let is_text = |data_type: &DataType| {
        matches!(
            data_type,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        )
    };
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Dictionary(_, values) if is_text(values) => DataType::Binary,
            data_type if is_text(data_type) => DataType::Binary,
            data_type => data_type.clone(),
        };
        field.as_ref().clone().with_data_type(data_type)
    });
    let fields: Vec<Field> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The name of a column as AWS documents the field, but for letter case and characters that Parquet's users avoid.
pub(super) fn column_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// The rows of a Parquet file.
pub(crate) struct ParquetRows<'a> {
    read: ReadRange<'a>,
    decoder: ParquetPushDecoder,
    format: &'static LogFormat,
    /// The field of each column of a batch. `None` for columns that the format does not name.
    columns: Vec<Option<usize>>,
    has_time: bool,
    bytes: u64,
}

impl ParquetRows<'_> {
    /// The size of the columns that are read, decompressed.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Some more rows, or `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<ParquetBatch>> {
        loop {
            match caught(|| self.decoder.try_decode())? {
                DecodeResult::Data(batch) => {
                    let batch = caught(|| {
                        ParquetBatch::of(batch, &self.columns, self.format, self.has_time)
                    });
                    return batch.map(Some);
                }
                DecodeResult::NeedsData(ranges) => {
                    for range in joined(ranges) {
                        let bytes = (self.read)(range.clone())?;
                        self.decoder.push_range(range, bytes)?;
                    }
                }
                DecodeResult::Finished => return Ok(None),
            }
        }
    }
}

/// Joins ranges that are close to each other.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP_BYTES_MAX) => {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// A decoder that meets a damaged file may panic.
fn caught<T, E: Into<ParquetReadError>>(
    decode: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(Into::into),
        Err(_) => Err(ParquetReadError::Undecodable(
            "the decoder gave up".to_owned(),
        )),
    }
}

/// Some rows.
pub(crate) struct ParquetBatch {
    /// The number of rows.
    count: usize,
    /// The fields that were read, with the names of their columns.
    shown: Vec<(String, ArrayRef)>,
    /// The texts of each field that was read, by its position in the format.
    fields: Vec<Option<StringArray>>,
    /// The other columns, as JSON objects.
    others: Option<Vec<String>>,
    has_time: bool,
}

impl ParquetBatch {
    fn of(
        rows: RecordBatch,
        columns: &[Option<usize>],
        format: &LogFormat,
        has_time: bool,
    ) -> Result<Self> {
        let mut fields = vec![None; format.fields.len()];
        let mut others = Vec::new();
        let mut shown: Vec<(String, ArrayRef)> = Vec::new();
        for (at, field) in columns.iter().enumerate() {
            let values = rows.column(at);
            let name = rows.schema_ref().field(at).name();
            let is_binary = matches!(values.data_type(), DataType::Binary);
            match field {
                Some(field) => {
                    let texts = texts(values, format, format.fields[*field].name);
                    fields[*field] = Some(texts.clone());
                    shown.push((name.clone(), Arc::new(texts)));
                }
                None => {
                    let values = match is_binary {
                        true => Arc::new(texts(values, format, name)),
                        false => Arc::clone(values),
                    };
                    others.push((name.clone(), values));
                }
            }
        }
        let others = match others.is_empty() {
            true => None,
            // Some types have no JSON.
            false => objects(&RecordBatch::try_from_iter(others)?).ok(),
        };
        Ok(Self {
            count: rows.num_rows(),
            shown,
            fields,
            others,
            has_time,
        })
    }

    /// The rows, one by one.
    pub(crate) fn rows(&self) -> impl Iterator<Item = ParquetRow<'_>> {
        (0..self.count).map(|row| ParquetRow { batch: self, row })
    }
}

/// A row.
#[derive(Clone, Copy)]
pub(crate) struct ParquetRow<'l> {
    batch: &'l ParquetBatch,
    row: usize,
}

impl ParquetRow<'_> {
    /// The length of its fields, in bytes.
    pub(crate) fn text_bytes(self) -> usize {
        let fields = self.batch.fields.iter().flatten();
        fields
            .map(|texts| texts.value_length(self.row) as usize)
            .sum()
    }

    /// Whether the file has the field of the time.
    pub(crate) fn has_time(self) -> bool {
        self.batch.has_time
    }

    /// The columns that were read, as a JSON object.
    pub(crate) fn to_text(self) -> String {
        let shown = self.batch.shown.iter();
        let row = shown.map(|(name, values)| (name, values.slice(self.row, 1)));
        let texts = RecordBatch::try_from_iter(row).map(|row| objects(&row));
        let text = texts.ok().and_then(|texts| texts.ok()?.pop());
        text.unwrap_or_default()
    }
}

impl<'l> FieldValues<'l> for ParquetRow<'l> {
    const ARE_NAMED: bool = true;

    #[inline(always)]
    fn text(self, field: usize) -> Option<&'l str> {
        let texts = self.batch.fields.get(field)?.as_ref()?;
        texts.is_valid(self.row).then(|| texts.value(self.row))
    }

    fn raw(self, field: usize) -> Option<&'l str> {
        self.text(field)
    }

    fn rest(self) -> Option<&'l str> {
        let others = self.batch.others.as_ref()?.get(self.row)?;
        (others != "{}").then_some(others)
    }
}

/// The rows as JSON objects.
fn objects(rows: &RecordBatch) -> Result<Vec<String>> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    Ok(text.lines().map(str::to_owned).collect())
}

/// The values as the text log writes them.
fn texts(values: &ArrayRef, format: &LogFormat, name: &str) -> StringArray {
    texts_of_type(values, format, name).unwrap_or_else(|_| {
        // A type that no field of a log has.
        let options = FormatOptions::default().with_display_error(true);
        let Ok(shown) = ArrayFormatter::try_new(values.as_ref(), &options) else {
            return StringArray::new_null(values.len());
        };
        let text = |row| values.is_valid(row).then(|| shown.value(row).to_string());
        (0..values.len()).map(text).collect()
    })
}

fn texts_of_type(values: &ArrayRef, format: &LogFormat, name: &str) -> Result<StringArray> {
    Ok(match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().clone(),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            let bytes = cast(values, &DataType::Binary)?;
            let bytes = bytes.as_binary::<i32>().iter();
            bytes
                .map(|bytes| bytes.map(String::from_utf8_lossy))
                .collect()
        }
        DataType::Timestamp(_, _) => {
            let micros = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>();
            let time = |micros| {
                let time = DateTime::from_timestamp_micros(micros)?;
                Some(match format == &NLB_TLS_LOGS {
                    true => time.format("%Y-%m-%dT%H:%M:%S").to_string(),
                    false => time.to_rfc3339_opts(SecondsFormat::Micros, true),
                })
            };
            micros.iter().map(|micros| micros.and_then(time)).collect()
        }
        DataType::List(_) | DataType::LargeList(_) => {
            let lists = cast(values, &DataType::new_list(DataType::Utf8, true))?;
            let lists = lists.as_list::<i32>();
            let mut texts = StringBuilder::new();
            for list in lists.iter() {
                let list =
                    list.map(|list| List::of(name).text(list.as_string::<i32>().iter().flatten()));
                texts.append_option(list);
            }
            texts.finish()
        }
        // Where some values are missing, some writers have no whole numbers.
        DataType::Float32 | DataType::Float64 if name != "version" => {
            let texts = cast(values, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>().iter();
            texts.map(|text| text.map(named::whole)).collect()
        }
        _ => cast(values, &DataType::Utf8)?.as_string::<i32>().clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_are_close_are_read_at_once() {
        let far = 10 * GAP_BYTES_MAX;
        assert_eq!(joined(vec![far..far + 1, 5..7, 0..4]), [0..7, far..far + 1]);
        assert!(joined(Vec::new()).is_empty());
    }
}
