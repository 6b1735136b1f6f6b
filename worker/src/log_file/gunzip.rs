//! From bytes as they are stored to log text: gzip by its magic bytes, all members of it; plain text as
//! it is. What stands behind [`open`] can be exchanged without anyone noticing.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use super::gzip::{self, Gunzip};

/// Compressed bytes read at once. Small, as it is copied from once; large enough for few system calls.
const READ_BYTES: usize = 64 * 1024;

/// Why a log file's bytes can't be turned into text. Nothing of such a file may be counted.
#[derive(Debug, thiserror::Error)]
pub enum GunzipError {
    /// The gzip stream ends before its trailer: most often an upload or a copy that was cut off.
    #[error(
        "the gzip stream is cut off after {offset} bytes of the file; fetch or upload it again"
    )]
    Truncated {
        /// Bytes of the file that were read.
        offset: u64,
    },
    /// The gzip stream is damaged.
    #[error("the gzip stream is corrupt near byte {offset} of the file: {reason}")]
    Corrupt {
        /// Bytes of the file that had been taken when the damage was found.
        offset: u64,
        /// What the decoder found.
        reason: String,
    },
    /// The text is longer than the limit, as that of a decompression bomb would be.
    #[error(
        "it expands to more than {limit} bytes (reached at byte {offset} of the file); \
         raise --max-log-file-bytes if that is right"
    )]
    TooLarge {
        /// Bytes of the file that had been taken.
        offset: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes could not be had at all.
    #[error("read failed at byte {offset}")]
    Read {
        /// Bytes of the file that had been taken.
        offset: u64,
        /// What the source said.
        source: io::Error,
    },
}

/// The text of a log file, decompressed as it is read and never whole in memory.
pub struct LogText<'a> {
    reader: Box<dyn Read + 'a>,
    offset: Rc<Cell<u64>>,
    text_bytes: u64,
    max_text_bytes: u64,
}

/// Opens a log file's bytes. `max_text_bytes` bounds the text, not the file.
pub fn open<'a>(bytes: impl Read + 'a, max_text_bytes: u64) -> Result<LogText<'a>, GunzipError> {
    let offset = Rc::new(Cell::new(0));
    let mut bytes = Counted {
        inner: BufReader::with_capacity(READ_BYTES, bytes),
        consumed: Rc::clone(&offset),
    };
    let start = bytes
        .fill_buf()
        .map_err(|source| GunzipError::Read { offset: 0, source })?;
    let reader: Box<dyn Read + 'a> = if start.starts_with(&gzip::MAGIC) {
        Box::new(Gunzip::new(bytes))
    } else {
        Box::new(bytes)
    };
    Ok(LogText {
        reader,
        offset,
        text_bytes: 0,
        max_text_bytes,
    })
}

impl LogText<'_> {
    /// Fills `buffer` from its start as far as the text goes. Returns the bytes written: fewer than the
    /// buffer has only at the end of the text.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, GunzipError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
        self.text_bytes += filled as u64;
        if self.text_bytes > self.max_text_bytes {
            return Err(GunzipError::TooLarge {
                offset: self.offset.get(),
                limit: self.max_text_bytes,
            });
        }
        Ok(filled)
    }

    /// Bytes of text so far.
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    fn read_error(&self, error: io::Error) -> GunzipError {
        let offset = self.offset.get();
        match error.kind() {
            io::ErrorKind::UnexpectedEof => GunzipError::Truncated { offset },
            io::ErrorKind::InvalidData => GunzipError::Corrupt {
                offset,
                reason: error.to_string(),
            },
            _ => GunzipError::Read {
                offset,
                source: error,
            },
        }
    }
}

/// Counts what the decoder has taken, so that damage can be reported with its place in the file.
struct Counted<R> {
    inner: R,
    consumed: Rc<Cell<u64>>,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.consumed.set(self.consumed.get() + read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.consumed.set(self.consumed.get() + amount as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], limit: u64) -> Result<Vec<u8>, GunzipError> {
        let mut text = open(bytes, limit)?;
        let mut all = Vec::new();
        let mut buffer = [0; 7];
        loop {
            let filled = text.fill(&mut buffer)?;
            all.extend_from_slice(&buffer[..filled]);
            if filled < buffer.len() {
                return Ok(all);
            }
        }
    }

    #[test]
    fn plain_text_empty_files_and_all_members_are_read() {
        assert_eq!(read(b"plain text", 100).unwrap(), b"plain text");
        assert_eq!(read(b"", 100).unwrap(), b"");
        assert_eq!(read(&gzip(b""), 100).unwrap(), b"");
        let members = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(read(&members, 100).unwrap(), b"one two");
    }

    #[test]
    fn every_truncation_is_found() {
        let whole = gzip(b"some lines of text, some lines of text");
        for length in 2..whole.len() {
            let error = read(&whole[..length], 1000).unwrap_err();
            assert!(
                matches!(error, GunzipError::Truncated { offset } if offset <= length as u64),
                "{length}: {error}"
            );
        }
    }

    #[test]
    fn damage_is_found_with_its_place() {
        let mut bytes = gzip(b"some lines of text, some lines of text");
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        let error = read(&bytes, 1000).unwrap_err();
        assert!(matches!(error, GunzipError::Corrupt { .. }), "{error}");
        let garbage = [gzip(b"text"), b"no member of a gzip file".to_vec()].concat();
        let error = read(&garbage, 1000).unwrap_err();
        assert!(matches!(error, GunzipError::Corrupt { .. }), "{error}");
    }

    #[test]
    fn text_is_bounded() {
        let bomb = gzip(&vec![b'a'; 1 << 20]);
        assert!(matches!(
            read(&bomb, 1000).unwrap_err(),
            GunzipError::TooLarge { limit: 1000, .. }
        ));
    }
}
