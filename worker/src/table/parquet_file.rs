//! How logmill's Parquet files are written and read: those that are staged, those of the ledger, and those
//! with a table's data.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use object_store::path::Path;
use object_store::ObjectStore;
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStream};
use parquet::arrow::async_writer::ParquetObjectWriter;
use parquet::arrow::{AsyncArrowWriter, ParquetRecordBatchStreamBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::TableError;

/// A Parquet file that is being written. Until it is finished there is nothing at its path.
pub(super) struct ParquetFile {
    path: Path,
    writer: AsyncArrowWriter<ParquetObjectWriter>,
}

/// A Parquet file that has been written.
pub(super) struct Written {
    pub(super) path: Path,
    pub(super) bytes: u64,
    pub(super) metadata: ParquetMetaData,
}

impl ParquetFile {
    pub(super) fn create(store: &Arc<dyn ObjectStore>, path: Path, schema: SchemaRef) -> Result<Self, TableError> {
        let properties = properties(&schema);
        let object = ParquetObjectWriter::new(Arc::clone(store), path.clone());
        let writer = AsyncArrowWriter::try_new(object, schema, Some(properties))
            .map_err(|source| TableError::parquet(&path, source))?;
        Ok(Self { path, writer })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let written = self.writer.write(batch).await;
        written.map_err(|source| TableError::parquet(&self.path, source))
    }

    /// Puts a value in the footer.
    pub(super) fn set(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Completes the file. When this returns, the object is there, whole.
    pub(super) async fn finish(mut self) -> Result<Written, TableError> {
        let finished = self.writer.finish().await;
        let metadata = finished.map_err(|source| TableError::parquet(&self.path, source))?;
        let bytes = self.writer.bytes_written() as u64;
        Ok(Written { path: self.path, bytes, metadata })
    }
}

fn properties(schema: &SchemaRef) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("logmill ", env!("CARGO_PKG_VERSION")).to_owned());
    for field in schema.fields() {
        // Sketches: each is another, and none is before or after another.
        if field.data_type() == &DataType::Binary {
            let column = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_statistics_enabled(column, EnabledStatistics::None);
        }
    }
    properties.build()
}

/// A Parquet file opened for reading: its footer has been read.
pub(super) struct Opened {
    path: Path,
    builder: ParquetRecordBatchStreamBuilder<ParquetObjectReader>,
}

/// Opens a Parquet file of `bytes` bytes.
pub(super) async fn open(store: &Arc<dyn ObjectStore>, path: &Path, bytes: u64) -> Result<Opened, TableError> {
    let reader = ParquetObjectReader::new(Arc::clone(store), path.clone()).with_file_size(bytes);
    let builder = ParquetRecordBatchStreamBuilder::new(reader)
        .await
        .map_err(|source| TableError::parquet(path, source))?;
    Ok(Opened { path: path.clone(), builder })
}

impl Opened {
    /// A value of the footer.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let values = self.builder.metadata().file_metadata().key_value_metadata()?;
        values.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// Its rows.
    pub(super) fn rows(self) -> Result<ParquetRecordBatchStream<ParquetObjectReader>, TableError> {
        let Self { path, builder } = self;
        builder.build().map_err(|source| TableError::parquet(&path, source))
    }
}
