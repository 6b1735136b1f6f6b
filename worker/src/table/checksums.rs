//! Checksums in the Parquet files that logmill writes. A byte that has changed on a disk could otherwise change a number, and
//! nobody would see it: Parquet's own checksums of pages are written by few programs, and the `parquet` crate is none of them.
//!
//! The footer has the CRC-32 of each row group, of the footer's own values that matter, and of itself. Other readers ignore it.

use std::ops::Range;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{FooterTail, KeyValue, ParquetMetaData, RowGroupMetaData};
use serde::{Deserialize, Serialize};

/// The key of the footer that has the checksums, as JSON.
pub(super) const KEY: &str = "logmill.crc32";

/// Keys of the footer that logmill writes begin so.
const OURS: &str = "logmill.";

/// What the footer says.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    row_groups: Vec<u32>,
    values: u32,
    /// Of the footer as it is stored, to the end of the file, in which these digits are zeros.
    footer: String,
}

/// What stands in the footer before the digits of its own checksum.
const SEAL: &[u8] = br#""footer":""#;
const NO_SEAL: &[u8; 8] = b"00000000";

/// The end of a file, from the last row group on, with the checksum of the footer in the place that [`Writing::finish`] has made for
/// it.
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

/// Where the footer starts in the end of a file, by the length that stands before the magic number.
fn footer_start(end: &[u8]) -> Option<usize> {
    let tail = end.last_chunk()?;
    let tail = FooterTail::try_new(tail).ok()?;
    let length = tail.metadata_length() + FOOTER_SIZE;
    end.len().checked_sub(length)
}

/// Checks a footer, to the end of the file. One without a checksum is taken as it is: another program, or an older version, has written
/// it.
pub(super) fn check_footer(footer: &[u8]) -> Result<(), ParquetError> {
    let Some(at) = seal_of(footer) else {
        return Ok(());
    };
    let mut zeroed = footer.to_vec();
    zeroed[at.clone()].copy_from_slice(NO_SEAL);
    match format!("{:08x}", crc32fast::hash(&zeroed)).as_bytes() == &footer[at] {
        true => Ok(()),
        false => Err(damaged("its footer")),
    }
}

/// Where the digits of a footer's own checksum are.
fn seal_of(footer: &[u8]) -> Option<Range<usize>> {
    let start = memchr::memmem::find(footer, SEAL)? + SEAL.len();
    let digits = start..start + NO_SEAL.len();
    footer.get(digits.clone()).map(|_| digits)
}

/// The checksums of a file that is being written.
#[derive(Debug, Default)]
pub(super) struct Writing {
    stored: Stored,
    values: crc32fast::Hasher,
    /// Bytes that have been taken in.
    offset: u64,
}

impl Writing {
    /// Takes in what has been written since the last time, up to the end of the last of these row groups.
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

    /// What the footer is to say.
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

/// The bytes of a row group.
fn range(group: &RowGroupMetaData) -> Range<u64> {
    let columns = group.columns().iter().map(|column| column.byte_range());
    let start = columns.clone().map(|(start, _)| start).min();
    let end = columns.map(|(start, length)| start + length).max();
    start.unwrap_or(0)..end.unwrap_or(0)
}

/// The checksums of a file that is read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    row_groups: Vec<(Range<u64>, u32)>,
}

impl Reading {
    /// Those that the footer has; none of a file that another program or an older version has written. Fails if the values of
    /// the footer have changed.
    pub(super) fn of(metadata: &ParquetMetaData) -> Result<Self, ParquetError> {
        let values = metadata.file_metadata().key_value_metadata();
        let values = || values.into_iter().flatten();
        let Some(stored) = values().find(|pair| pair.key == KEY) else {
            return Ok(Self::default());
        };
        let stored = stored.value.as_deref().unwrap_or_default();
        let stored: Stored =
            serde_json::from_str(stored).map_err(|_| damaged("the checksums in its footer"))?;
        let mut sum = crc32fast::Hasher::new();
        for KeyValue { key, value } in values() {
            if key.starts_with(OURS) && key != KEY {
                add_value(&mut sum, key, value.as_deref().unwrap_or_default());
            }
        }
        let groups = metadata.row_groups();
        if sum.finalize() != stored.values || groups.len() != stored.row_groups.len() {
            return Err(damaged("its footer"));
        }
        let row_groups = groups.iter().map(range).zip(stored.row_groups).collect();
        Ok(Self { row_groups })
    }

    /// Checks a file that is at hand.
    pub(super) fn check_whole(&self, file: &Bytes) -> Result<(), ParquetError> {
        for (group, expected) in &self.row_groups {
            let bytes = file.get(group.start as usize..group.end as usize);
            if bytes.map(crc32fast::hash) != Some(*expected) {
                return Err(damaged("a row group"));
            }
        }
        Ok(())
    }

    /// Checks what was read of these ranges, if they are a whole row group. Parts of one can't be checked.
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
