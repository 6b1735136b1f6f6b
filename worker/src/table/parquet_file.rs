//! Writes and reads logmill's Parquet files: staged files, ledger objects and data files.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, OBJECT_STORE_COALESCE_DEFAULT, ObjectStore, ObjectStoreExt,
    coalesce_ranges,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::arrow::{ArrowWriter, ParquetRecordBatchStreamBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{
    ColumnChunkMetaData, FooterTail, KeyValue, ParquetMetaData, ParquetMetaDataReader,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{DataFile, TableError, checksums, sum_state};

/// A Parquet file that is being written. Until it is finished, nothing exists at its path.
pub(super) struct ParquetFile {
    path: Path,
    /// Buffers a row group until it is complete.
    writer: ArrowWriter<Vec<u8>>,
    object: BufWriter,
    bytes: u64,
    checksums: checksums::Writing,
}

/// A Parquet file that has been written.
pub(super) struct Written {
    pub(super) path: Path,
    pub(super) bytes: u64,
    pub(super) metadata: ParquetMetaData,
}

impl ParquetFile {
    pub(super) fn create(
        store: &Arc<dyn ObjectStore>,
        path: Path,
        schema: SchemaRef,
        purpose: Use,
    ) -> Result<Self, TableError> {
        let properties = properties(&schema, purpose);
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))
            .map_err(|source| TableError::parquet(&path, source))?;
        Ok(Self {
            object: BufWriter::new(Arc::clone(store), path.clone()),
            path,
            writer,
            bytes: 0,
            checksums: checksums::Writing::default(),
        })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let before = self.writer.flushed_row_groups().len();
        let written = self.writer.write(batch);
        written.map_err(|source| TableError::parquet(&self.path, source))?;
        if self.writer.flushed_row_groups().len() > before {
            self.send().await?;
        }
        Ok(())
    }

    /// Ends the row group. Returns the number of row groups so far.
    pub(super) async fn end_row_group(&mut self) -> Result<usize, TableError> {
        let flushed = self.writer.flush();
        flushed.map_err(|source| TableError::parquet(&self.path, source))?;
        self.send().await?;
        Ok(self.writer.flushed_row_groups().len())
    }

    /// Sends completed row groups to the store.
    async fn send(&mut self) -> Result<(), TableError> {
        let sent = async {
            self.writer.sync()?;
            let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
            self.bytes += bytes.len() as u64;
            let row_groups = self.writer.flushed_row_groups();
            self.checksums.take(bytes.clone(), row_groups);
            AsyncFileWriter::write(&mut self.object, bytes).await
        };
        sent.await
            .map_err(|source| TableError::parquet(&self.path, source))
    }

    /// Adds a value to the footer.
    pub(super) fn set(&mut self, key: &str, value: String) {
        self.checksums.value(key, &value);
        self.writer
            .append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Completes the file. After success, the whole object exists.
    pub(super) async fn finish(mut self) -> Result<Written, TableError> {
        self.end_row_group().await?;
        let checksums = std::mem::take(&mut self.checksums).finish();
        let checksums = checksums.map_err(|error| TableError::Internal(error.to_string()))?;
        self.writer
            .append_key_value_metadata(KeyValue::new(checksums::KEY.to_owned(), checksums));
        let finished = async {
            let metadata = self.writer.finish()?;
            self.writer.sync()?;
            let footer = std::mem::take(self.writer.inner_mut());
            let footer = Bytes::from(checksums::sealed(footer));
            self.bytes += footer.len() as u64;
            AsyncFileWriter::write(&mut self.object, footer).await?;
            AsyncFileWriter::complete(&mut self.object).await?;
            Ok(metadata)
        };
        match finished.await {
            Ok(metadata) => Ok(Written {
                path: self.path,
                bytes: self.bytes,
                metadata,
            }),
            Err(source) => Err(TableError::parquet(&self.path, source)),
        }
    }
}

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Read once, as a whole, by the next commit. Making such a file small or quick to search costs more than it saves: a
    /// quarter of the time for a small log file.
    Staging,
    /// Read for as long as the table has the file.
    Keeping,
}

/// Approximate memory for writing or reading one row group. Rows with sketches can be large.
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;

/// The same for staged files: a commit reads a row group of each of many sorted runs at once.
const STAGED_ROW_GROUP_BYTES: usize = 1024 * 1024;

/// The settings for writing a file. No file gets a column index, which has bounds for each page, or the offset index that goes
/// with it. If the filters on two columns leave no page of a row group, Trino before version 436 skips the rest of the file,
/// and its result lacks those rows (Trino's pull request 20267). Athena's engine may have this bug: it follows Trino with a
/// delay, and does not say which version it has reached.
///
/// Inside a file, readers have only the bounds of its row groups. A row group has about a million rows, which are some 10 MB,
/// the minimum that Athena charges for. Row groups of an eighth of that size make files a quarter larger.
fn properties(schema: &SchemaRef, purpose: Use) -> WriterProperties {
    let row_group_bytes = match purpose {
        Use::Staging => STAGED_ROW_GROUP_BYTES,
        Use::Keeping => ROW_GROUP_BYTES,
    };
    let mut properties = WriterProperties::builder()
        .set_max_row_group_bytes(Some(row_group_bytes))
        .set_offset_index_disabled(true)
        .set_created_by(concat!("logmill ", env!("CARGO_PKG_VERSION")).to_owned());
    if purpose == Use::Staging {
        return properties
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .build();
    }
    properties = properties
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for field in schema.fields() {
        let column = |name: &str| ColumnPath::from(name);
        // Sketches have no order, and no two are equal: bounds and dictionaries are useless.
        if field.data_type() == &DataType::Binary {
            properties = properties
                .set_column_dictionary_enabled(column(field.name()), false)
                .set_column_statistics_enabled(column(field.name()), EnabledStatistics::None);
        }
        // Few sums are equal, so dictionaries are useless for a sum and its exact state.
        let state = sum_state(field.name());
        if schema.column_with_name(&state).is_some() {
            properties = properties
                .set_column_dictionary_enabled(column(field.name()), false)
                .set_column_dictionary_enabled(column(&state), false);
        }
    }
    properties.build()
}

/// Rows of a file, in batches.
pub(super) type Rows = BoxStream<'static, Result<RecordBatch, TableError>>;

/// A Parquet file opened for reading. Its footer has been read. A small file has been read as a whole, and checked.
pub(super) struct Opened {
    path: Path,
    reader: ObjectReader,
    metadata: ArrowReaderMetadata,
}

/// Opens a Parquet file of `bytes` bytes that never changes.
pub(super) async fn open(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    bytes: u64,
) -> Result<Opened, TableError> {
    open_at(store, path, bytes, None).await
}

/// Opens a Parquet file that may be overwritten while it is read. All reads return this version, or fail.
pub(super) async fn open_at(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    bytes: u64,
    version: Option<String>,
) -> Result<Opened, TableError> {
    if bytes < BYTES_MIN {
        let what = ParquetError::General(format!("the file has only {bytes} bytes"));
        return Err(TableError::parquet(path, what));
    }
    let reader = ObjectReader {
        store: Arc::clone(store),
        path: path.clone(),
        bytes,
        version,
        whole: None,
        checksums: Arc::default(),
    };
    Opened::new(path, reader).await
}

/// Opens a data file that a version of the table has.
///
/// # Errors
///
/// [`TableError::Damaged`] if it is missing, or not as it was written.
pub(super) async fn open_live(
    store: &Arc<dyn ObjectStore>,
    file: &DataFile,
) -> Result<Opened, TableError> {
    let path = Path::from(file.path.as_str());
    let error = match open(store, &path, file.bytes).await {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    let what = match store.head(&path).await {
        Err(object_store::Error::NotFound { .. }) => "is missing".to_owned(),
        Ok(found) if found.size != file.bytes => {
            format!(
                "has {} bytes, but had {} bytes when it was written",
                found.size, file.bytes
            )
        }
        _ => return Err(error.into_damage()),
    };
    Err(TableError::Damaged {
        object: file.path.clone(),
        what,
    })
}

/// Opens a small Parquet file of unknown size that never changes, with one request.
pub(super) async fn open_whole(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
) -> Result<Opened, TableError> {
    let found = store.get_opts(path, GetOptions::default()).await?;
    let whole = found.bytes().await?;
    let reader = ObjectReader {
        store: Arc::clone(store),
        path: path.clone(),
        bytes: whole.len() as u64,
        version: None,
        whole: Some(whole),
        checksums: Arc::default(),
    };
    Opened::new(path, reader).await
}

impl Opened {
    async fn new(path: &Path, mut reader: ObjectReader) -> Result<Self, TableError> {
        // Parquet's own schema has the types of the columns. The footer also contains Arrow's schema, but the code that
        // decodes it panics if a byte has changed.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let opened = async {
            let metadata = reader.get_metadata(Some(&options)).await?;
            reader.checksums = Arc::new(checksums::Reading::of(&metadata)?);
            if let Some(whole) = &reader.whole {
                reader.checksums.check_whole(whole)?;
            }
            ArrowReaderMetadata::try_new(metadata, options)
        };
        let opened = opened.await;
        let metadata = opened.map_err(|source| TableError::parquet(path, source))?;
        Ok(Self {
            path: path.clone(),
            reader,
            metadata,
        })
    }

    /// A value from the footer.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let file = self.metadata.metadata().file_metadata();
        let values = file.key_value_metadata()?;
        values.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// The number of row groups.
    pub(super) fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The number of rows in these row groups, and approximately how many bytes they take in memory.
    pub(super) fn size(&self, row_groups: Range<usize>) -> Size {
        let groups = &self.metadata.metadata().row_groups()[row_groups];
        // A dictionary may store one text for very many rows. Count the texts without the dictionary.
        let bytes = |column: &ColumnChunkMetaData| {
            let texts = column.unencoded_byte_array_data_bytes().unwrap_or(0);
            texts.max(column.uncompressed_size()) as u64
        };
        Size {
            rows: groups.iter().map(|group| group.num_rows() as u64).sum(),
            bytes: groups
                .iter()
                .flat_map(|group| group.columns())
                .map(bytes)
                .sum(),
        }
    }

    /// The file's columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The file's rows.
    pub(super) fn rows(&self) -> Result<Rows, TableError> {
        self.rows_of(0..self.row_groups())
    }

    /// The rows of these row groups, in batches of a bounded size in memory.
    pub(super) fn rows_of(&self, row_groups: Range<usize>) -> Result<Rows, TableError> {
        self.read(row_groups, |builder| builder)
    }

    /// One column of all rows.
    pub(super) fn column(&self, name: &str) -> Result<Rows, TableError> {
        self.columns([name])
    }

    /// Reads those of these columns that the file has.
    pub(super) fn columns<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Rows, TableError> {
        self.read(0..self.row_groups(), |builder| {
            let mask = ProjectionMask::columns(builder.parquet_schema(), names);
            builder.with_projection(mask)
        })
    }

    fn read(
        &self,
        row_groups: Range<usize>,
        choose: impl FnOnce(
            ParquetRecordBatchStreamBuilder<ObjectReader>,
        ) -> ParquetRecordBatchStreamBuilder<ObjectReader>,
    ) -> Result<Rows, TableError> {
        let batch_rows = self.size(row_groups.clone()).batch_rows();
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(
            self.reader.clone(),
            self.metadata.clone(),
        );
        let rows = choose(builder)
            .with_row_groups(row_groups.collect())
            .with_batch_size(batch_rows)
            .build()
            .map_err(|source| TableError::parquet(&self.path, source))?;
        let path = self.path.clone();
        Ok(rows
            .map_err(move |source| TableError::parquet(&path, source))
            .boxed())
    }
}

/// A number of rows, and their size.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: u64,
    /// Approximate size in memory.
    pub(super) bytes: u64,
}

/// Approximate memory for a batch of rows. Keys that visitors write may have kilobytes each.
const BATCH_BYTES: u64 = 1024 * 1024;

/// Maximum number of rows in a batch, however small they are on average. Visitors may write rows of different sizes: this many
/// of the largest possible rows must fit into memory, and into Arrow's limit of 2 GiB for a column of texts.
const BATCH_ROWS_MAX: u64 = 1024;

impl Size {
    /// The size of batches, some of which may be slices of others.
    pub(super) fn of(batches: &[RecordBatch]) -> Self {
        let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
        let columns = batches.iter().flat_map(RecordBatch::columns);
        Self {
            rows: batches.iter().map(|batch| batch.num_rows() as u64).sum(),
            bytes: columns.map(|column| bytes(column) as u64).sum(),
        }
    }

    /// The number of rows per batch.
    pub(super) fn batch_rows(self) -> usize {
        let each = (self.bytes / self.rows.max(1)).max(1);
        (BATCH_BYTES / each).clamp(1, BATCH_ROWS_MAX) as usize
    }

    pub(super) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// Minimum size of a Parquet file: a magic number of 4 bytes at each end, and the length of the footer.
const BYTES_MIN: u64 = 12;

/// Files up to this size are read with one request. Most staged files are far smaller.
const WHOLE_BYTES: u64 = 1024 * 1024;

/// Bytes read at the end of a larger file to find its footer. Only a longer footer needs a second request.
const FOOTER_BYTES: u64 = 64 * 1024;

/// Reads ranges of an object for the Parquet reader.
#[derive(Clone)]
pub(super) struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
    version: Option<String>,
    whole: Option<Bytes>,
    checksums: Arc<checksums::Reading>,
}

impl ObjectReader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        if let Some(whole) = &self.whole {
            let range = range.start as usize..range.end as usize;
            return match range.end <= whole.len() {
                true => Ok(whole.slice(range)),
                false => Err(ParquetError::EOF(
                    "the file is shorter than expected".to_owned(),
                )),
            };
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.version.clone(),
            ..GetOptions::default()
        };
        let read = self.store.get_opts(&self.path, options).await;
        read.map_err(external)?.bytes().await.map_err(external)
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.read(range).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        // The columns of a row group are adjacent: read them with one request instead of one each.
        let reader = self.clone();
        async move {
            let fetch = |range| reader.read(range);
            let read = coalesce_ranges(&ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await?;
            reader.checksums.check(&ranges, &read)?;
            Ok(read)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let read = async move {
            let bytes = self.bytes;
            if self.whole.is_none() && bytes <= WHOLE_BYTES {
                self.whole = Some(self.read(0..bytes).await?);
            }
            let end = self.read(bytes.saturating_sub(FOOTER_BYTES)..bytes).await?;
            let cut_off = || ParquetError::EOF("the file is cut off".to_owned());
            let tail = FooterTail::try_new(end.last_chunk().ok_or_else(cut_off)?)?;
            let length = (tail.metadata_length() + FOOTER_SIZE) as u64;
            let start = bytes.checked_sub(length).ok_or_else(cut_off)?;
            let footer = match (end.len() as u64).checked_sub(length) {
                Some(start) => end.slice(start as usize..),
                None => self.read(start..bytes).await?,
            };
            // Check the footer before decoding it: the decoder accepts changed bytes, and may panic later.
            checksums::check_footer(&footer)?;
            let metadata = footer.slice(..footer.len() - FOOTER_SIZE);
            Ok(Arc::new(ParquetMetaDataReader::decode_metadata(&metadata)?))
        };
        read.boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use object_store::memory::InMemory;

    use super::*;

    async fn put(store: &Arc<dyn ObjectStore>, path: &Path, numbers: impl Iterator<Item = i64>) {
        let column: ArrayRef = Arc::new(numbers.collect::<Int64Array>());
        let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut file =
            ParquetFile::create(store, path.clone(), rows.schema(), Use::Staging).unwrap();
        file.write(&rows).await.unwrap();
        file.finish().await.unwrap();
    }

    #[tokio::test]
    async fn no_file_has_an_index_of_its_pages_and_kept_ones_have_bounds_of_row_groups() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        // More than one page per column.
        let rows = 50_000_i64;
        let numbers: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
        let texts = (0..rows).map(|n| Some(n.to_string()));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let rows = RecordBatch::try_from_iter([("n", numbers), ("text", texts)]).unwrap();
        for purpose in [Use::Staging, Use::Keeping] {
            let path = Path::from("file.parquet");
            let mut file =
                ParquetFile::create(&store, path.clone(), rows.schema(), purpose).unwrap();
            for _ in 0..2 {
                file.write(&rows).await.unwrap();
                file.end_row_group().await.unwrap();
            }
            file.finish().await.unwrap();
            let opened = open_whole(&store, &path).await.unwrap();
            let groups = opened.metadata.metadata().row_groups();
            assert!(groups.len() >= 2);
            for column in groups.iter().flat_map(|group| group.columns()) {
                assert_eq!(column.column_index_offset(), None);
                assert_eq!(column.offset_index_offset(), None);
                assert_eq!(column.statistics().is_some(), purpose == Use::Keeping);
            }
        }
    }

    #[tokio::test]
    async fn what_is_read_is_one_version_of_a_file() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("staged.parquet");
        // Numbers that compress badly, so that the second file is larger than `WHOLE_BYTES`.
        for rows in [10, 1_000_000_i64] {
            let number = |n: i64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
            put(&store, &path, (0..rows).map(number)).await;
            let object = store.head(&path).await.unwrap();
            assert_eq!(object.size > WHOLE_BYTES, rows > 10);
            let opened = open_at(&store, &path, object.size, object.e_tag)
                .await
                .unwrap();
            put(&store, &path, (0..rows).map(|n| number(!n))).await;

            let read: Result<Vec<RecordBatch>, _> = opened.rows().unwrap().try_collect().await;
            match read {
                Ok(batches) => {
                    assert_eq!(rows, 10);
                    let first = batches[0].column(0).as_any().downcast_ref::<Int64Array>();
                    assert_eq!(first.unwrap().value(1), number(1));
                }
                Err(error) => {
                    assert_eq!(rows, 1_000_000);
                    assert!(error.is_transient());
                }
            }
        }
    }
}
