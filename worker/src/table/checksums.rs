//! Checksums in the Parquet files that logmill writes. Without them, a byte that changes on disk could silently change a
//! number: few programs write Parquet's own page checksums, and the `parquet` crate does not.
//!
//! The footer has the CRC-32 of each row group, of the footer values that matter, and of itself. Other readers ignore it.

use std::ops::Range;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{
    FileMetaData, FooterTail, KeyValue, ParquetMetaData, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use serde::{Deserialize, Serialize};

/// The footer key that holds the checksums, as JSON.
pub(super) const KEY: &str = "logmill.crc32";

/// The magic number at the start of every Parquet file. Readers do not check it.
const MAGIC: &[u8; 4] = b"PAR1";

/// The prefix of the footer keys that logmill writes.
const OURS: &str = "logmill.";

/// The checksums that the footer stores.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    row_groups: Vec<u32>,
    values: u32,
    /// CRC-32 of the stored footer, to the end of the file, computed with zeros in place of these digits.
    footer: String,
}

/// The text in the footer directly before the digits of its own checksum.
const SEAL: &[u8] = br#""footer":""#;
const NO_SEAL: &[u8; 8] = b"00000000";

/// The end of a file, from the last row group on, with the footer's checksum in the position that [`Writing::finish`] reserved.
pub(super) fn sealed(mut end: Vec<u8>) -> Vec<u8> {
    let start = footer_start(&end);
    if let Some(footer) = start.and_then(|start| end.get_mut(start..))
        && let Some(at) = seal_of(footer)
    {
        let sum = format!("{:08x}", crc32fast::hash(footer));
        footer[at].copy_from_slice(sum.as_bytes());
    }
    end
}

/// Adds checksums to the footer of a Parquet file that another program wrote. Removes the page indexes, so that the checksums
/// cover every byte except the magic number.
pub(super) fn with_checksums(file: &Bytes) -> Result<Vec<u8>, ParquetError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file)?;
    let groups = metadata.row_groups().iter().cloned();
    let groups = groups
        .map(without_page_index)
        .collect::<Result<Vec<_>, _>>()?;
    let mut writing = Writing::default();
    writing.take(file.clone(), &groups);
    let checksums = writing.finish();
    let checksums = checksums.map_err(|error| ParquetError::General(error.to_string()))?;
    let of_file = metadata.file_metadata();
    let mut values = of_file.key_value_metadata().cloned().unwrap_or_default();
    values.push(KeyValue::new(KEY.to_owned(), checksums));
    let of_file = FileMetaData::new(
        of_file.version(),
        of_file.num_rows(),
        of_file.created_by().map(str::to_owned),
        Some(values),
        of_file.schema_descr_ptr(),
        of_file.column_orders().cloned(),
    );
    let rows_end = groups.iter().map(|group| range(group).end).max();
    let rows = file.get(..rows_end.unwrap_or(MAGIC.len() as u64) as usize);
    let rows = rows.ok_or_else(|| ParquetError::EOF("the row groups are cut off".to_owned()))?;
    let metadata = ParquetMetaData::new(of_file, groups);
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata).finish()?;
    Ok([rows, &sealed(footer)].concat())
}

fn without_page_index(group: RowGroupMetaData) -> Result<RowGroupMetaData, ParquetError> {
    let columns = group.columns().iter().cloned().map(|column| {
        let builder = column.into_builder();
        let builder = builder
            .set_column_index_offset(None)
            .set_column_index_length(None);
        builder
            .set_offset_index_offset(None)
            .set_offset_index_length(None)
            .build()
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    group.into_builder().set_column_metadata(columns).build()
}

/// Checks a file in memory against the checksums in its footer, if it has any.
pub(super) fn check_file(file: &Bytes) -> Result<(), ParquetError> {
    let start =
        footer_start(file).ok_or_else(|| ParquetError::EOF("the file has no footer".to_owned()))?;
    check_footer(&file[start..])?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file)?;
    Reading::of(&metadata)?.check_whole(file)
}

/// Where the footer starts within the end of a file. The length before the magic number determines it.
fn footer_start(end: &[u8]) -> Option<usize> {
    let tail = end.last_chunk()?;
    let tail = FooterTail::try_new(tail).ok()?;
    let length = tail.metadata_length() + FOOTER_SIZE;
    end.len().checked_sub(length)
}

/// Checks a footer, which extends to the end of the file. A footer without a checksum is accepted: another program, or an older
/// version, wrote it.
pub(super) fn check_footer(footer: &[u8]) -> Result<(), ParquetError> {
    let Some(at) = seal_of(footer) else {
        return Ok(());
    };
    let mut zeroed = footer.to_vec();
    zeroed[at.clone()].copy_from_slice(NO_SEAL);
    match format!("{:08x}", crc32fast::hash(&zeroed)).as_bytes() == &footer[at] {
        true => Ok(()),
        false => Err(damaged("the footer")),
    }
}

/// The range of the digits of a footer's own checksum.
fn seal_of(footer: &[u8]) -> Option<Range<usize>> {
    let start = memchr::memmem::find(footer, SEAL)? + SEAL.len();
    let digits = start..start + NO_SEAL.len();
    footer.get(digits.clone()).map(|_| digits)
}

/// Computes the checksums of a file that is being written.
#[derive(Debug, Default)]
pub(super) struct Writing {
    stored: Stored,
    values: crc32fast::Hasher,
    /// Number of bytes taken in so far.
    offset: u64,
}

impl Writing {
    /// Takes in the bytes written since the last call, up to the end of the last of these row groups.
    pub(super) fn take(&mut self, written: Bytes, row_groups: &[RowGroupMetaData]) {
        for group in &row_groups[self.stored.row_groups.len()..] {
            let Range { start, end } = range(group);
            let in_written = |offset: u64| offset.saturating_sub(self.offset) as usize;
            let bytes = written.get(in_written(start)..in_written(end));
            let sum = crc32fast::hash(bytes.unwrap_or_default());
            self.stored.row_groups.push(sum);
        }
        self.offset += written.len() as u64;
    }

    /// Takes in a value of the footer.
    pub(super) fn value(&mut self, key: &str, value: &str) {
        add_value(&mut self.values, key, value);
    }

    /// The JSON to store in the footer.
    pub(super) fn finish(mut self) -> Result<String, serde_json::Error> {
        self.stored.values = self.values.finalize();
        self.stored.footer = String::from_utf8_lossy(NO_SEAL).into_owned();
        serde_json::to_string(&self.stored)
    }
}

fn add_value(sum: &mut crc32fast::Hasher, key: &str, value: &str) {
    for text in [key, value] {
        sum.update(&(text.len() as u64).to_le_bytes());
        sum.update(text.as_bytes());
    }
}

/// The byte range of a row group.
fn range(group: &RowGroupMetaData) -> Range<u64> {
    let columns = group.columns().iter().map(|column| column.byte_range());
    let start = columns.clone().map(|(start, _)| start).min();
    let end = columns.map(|(start, length)| start + length).max();
    start.unwrap_or(0)..end.unwrap_or(0)
}

/// The checksums of a file that is being read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    row_groups: Vec<(Range<u64>, u32)>,
}

impl Reading {
    /// Reads the checksums from the footer. There are none if another program or an older version wrote the file. Fails if the
    /// values of the footer have changed.
    pub(super) fn of(metadata: &ParquetMetaData) -> Result<Self, ParquetError> {
        let values = metadata.file_metadata().key_value_metadata();
        let values = || values.into_iter().flatten();
        let Some(stored) = values().find(|pair| pair.key == KEY) else {
            return Ok(Self::default());
        };
        let stored = stored.value.as_deref().unwrap_or_default();
        let stored: Stored = serde_json::from_str(stored)
            .map_err(|_| damaged("the list of checksums in the footer"))?;
        let mut sum = crc32fast::Hasher::new();
        for KeyValue { key, value } in values() {
            if key.starts_with(OURS) && key != KEY {
                add_value(&mut sum, key, value.as_deref().unwrap_or_default());
            }
        }
        let groups = metadata.row_groups();
        if sum.finalize() != stored.values || groups.len() != stored.row_groups.len() {
            return Err(damaged("the footer"));
        }
        let row_groups = groups.iter().map(range).zip(stored.row_groups).collect();
        Ok(Self { row_groups })
    }

    /// Checks a file in memory.
    pub(super) fn check_whole(&self, file: &Bytes) -> Result<(), ParquetError> {
        for (group, expected) in &self.row_groups {
            let bytes = file.get(group.start as usize..group.end as usize);
            if bytes.map(crc32fast::hash) != Some(*expected) {
                return Err(damaged("a row group"));
            }
        }
        Ok(())
    }

    /// Checks the bytes of these ranges if they form a whole row group. Parts of a row group can't be checked.
    pub(super) fn check(&self, ranges: &[Range<u64>], read: &[Bytes]) -> Result<(), ParquetError> {
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return Ok(());
        };
        let group = self
            .row_groups
            .binary_search_by_key(&first.start, |(group, _)| group.start);
        let Some((group, expected)) = group.ok().and_then(|at| self.row_groups.get(at)) else {
            return Ok(());
        };
        let follow = ranges.windows(2).all(|pair| pair[0].end == pair[1].start);
        if !follow || last.end != group.end {
            return Ok(());
        }
        let mut sum = crc32fast::Hasher::new();
        read.iter().for_each(|bytes| sum.update(bytes));
        match sum.finalize() == *expected {
            true => Ok(()),
            false => Err(damaged("a row group")),
        }
    }
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(format!("{what} has changed since it was written"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::record_batch::RecordBatch;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    use super::*;

    #[test]
    fn no_byte_of_a_file_of_others_changes_unseen_once_it_has_checksums() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let texts = (0..100).map(|number| format!("text {number}"));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        let rows = RecordBatch::try_from_iter([("number", numbers), ("text", texts)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.flush().unwrap();
        writer.write(&rows).unwrap();
        let of_others = Bytes::from(writer.into_inner().unwrap());
        assert!(check_file(&of_others).is_ok());

        let sealed = Bytes::from(with_checksums(&of_others).unwrap());
        assert!(check_file(&sealed).is_ok());
        let read = ParquetRecordBatchReader::try_new(sealed.clone(), 100).unwrap();
        let read: Vec<RecordBatch> = read.map(Result::unwrap).collect();
        assert_eq!(read, [rows.clone(), rows]);

        for kept in 0..sealed.len() {
            assert!(check_file(&sealed.slice(..kept)).is_err(), "{kept}");
        }
        for at in MAGIC.len()..sealed.len() {
            let mut flipped = sealed.to_vec();
            flipped[at] ^= 1;
            assert!(check_file(&flipped.into()).is_err(), "{at}");
        }
    }
}
