//! Turns stored bytes into log text. Gzip is recognized by its magic bytes, and all its members are read; anything else
//! is plain text. The decoder behind [`open`] can be replaced without affecting callers.

use std::io::{self, BufReader, Read};
use std::ops::Range;

use super::gzip::{self, Gunzip};
use super::inflate::WINDOW_BYTES;
use super::read_ahead::ReadAhead;
use super::second_opinion::Members;

/// Maximum bytes of text held at once, in addition to the window that decompression looks back to.
pub const TEXT_BYTES: usize = 1024 * 1024;

/// Initial size of the buffer. It grows as it is filled, because clearing a megabyte takes longer than reading a small
/// log file.
const FIRST_BUFFER_BYTES: usize = 128 * 1024;

/// The reason that a log file's bytes can't be turned into text. No part of such a file may be counted.
#[derive(Debug, thiserror::Error)]
pub enum GunzipError {
    /// The gzip stream ends before its trailer, usually because an upload or a copy was interrupted.
    #[error(
        "the gzip stream is cut off after {offset} bytes of the file; fetch or upload the file again"
    )]
    Truncated {
        /// Bytes of the file that were read.
        offset: u64,
    },
    /// The gzip stream is damaged.
    #[error("the gzip stream is corrupt near byte {offset} of the file: {reason}")]
    Corrupt {
        /// Bytes of the file that had been consumed when the damage was found.
        offset: u64,
        /// What the decoder found.
        reason: String,
    },
    /// The text is longer than the limit, for example because the file is a decompression bomb.
    #[error("the text expands to more than {limit} bytes (reached at byte {offset} of the file)")]
    TooLarge {
        /// Bytes of the file that had been consumed.
        offset: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes could not be read.
    #[error("read failed at byte {offset} of the file")]
    Read {
        /// Bytes of the file that had been consumed.
        offset: u64,
        /// The reader's error.
        source: io::Error,
    },
}

impl GunzipError {
    /// Whether the decoder considers the gzip stream damaged. Another decoder may disagree.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Truncated { .. } | Self::Corrupt { .. })
    }
}

/// A gzip decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// This project's own decoder, which is faster.
    Own,
    /// flate2, which double-checks the files that [`Decoder::Own`] refuses.
    Flate2,
}

/// The text of a log file, decompressed as it is read and never entirely in memory.
pub struct LogText<'a> {
    file: ReadAhead<Box<dyn Read + 'a>>,
    gunzip: Option<Gunzip>,
    buffer: Vec<u8>,
    /// The part of the buffer that has not been consumed. Earlier text precedes it, as far as the window reaches.
    unread: Range<usize>,
    ended: bool,
    text_bytes: u64,
    max_text_bytes: u64,
}

/// Opens a log file at its first byte. `max_text_bytes` limits the text, not the file.
///
/// # Errors
///
/// If the first bytes can't be read.
pub fn open<'a>(
    bytes: impl Read + 'a,
    decoder: Decoder,
    max_text_bytes: u64,
) -> Result<LogText<'a>, GunzipError> {
    let mut file = ReadAhead::new(Box::new(bytes) as Box<dyn Read + 'a>);
    let start = file.peek(gzip::MAGIC.len());
    let start = start.map_err(|source| GunzipError::Read { offset: 0, source })?;
    let is_gzip = start == gzip::MAGIC;
    let mut gunzip = None;
    match decoder {
        Decoder::Own if is_gzip => gunzip = Some(Gunzip::new()),
        Decoder::Flate2 if is_gzip => {
            let text = Members::new(BufReader::new(file));
            file = ReadAhead::new(Box::new(text) as Box<dyn Read + 'a>);
        }
        _ => {}
    }
    Ok(LogText {
        file,
        gunzip,
        buffer: vec![0; FIRST_BUFFER_BYTES],
        unread: 0..0,
        ended: false,
        text_bytes: 0,
        max_text_bytes,
    })
}

impl LogText<'_> {
    /// Reads until at least [`TEXT_BYTES`] are unread, or until the text ends.
    ///
    /// # Errors
    ///
    /// If the file can't be read, its gzip stream is damaged, or the text is longer than the limit.
    pub fn fill(&mut self) -> Result<(), GunzipError> {
        let kept = self
            .unread
            .start
            .min(self.unread.end.saturating_sub(WINDOW_BYTES));
        if kept > 0 {
            self.buffer.copy_within(kept..self.unread.end, 0);
            self.unread = self.unread.start - kept..self.unread.end - kept;
        }
        while !self.ended && self.has_room() {
            let end = self.unread.end;
            let appended = match &mut self.gunzip {
                Some(gunzip) => gunzip.append(&mut self.file, &mut self.buffer, end),
                None => self
                    .file
                    .copy(&mut self.buffer[end..])
                    .map(|copied| end + copied),
            };
            self.unread.end = appended.map_err(|error| self.read_error(error))?;
            self.ended = self.unread.end == end;
            self.text_bytes += (self.unread.end - end) as u64;
            if self.text_bytes > self.max_text_bytes {
                return Err(GunzipError::TooLarge {
                    offset: self.file.offset(),
                    limit: self.max_text_bytes,
                });
            }
        }
        Ok(())
    }

    fn has_room(&mut self) -> bool {
        // The decoder may leave the last byte of room unused.
        let is_full = self.unread.end + 1 >= self.buffer.len();
        let bytes = (2 * self.buffer.len()).min(WINDOW_BYTES + TEXT_BYTES);
        if is_full && bytes > self.buffer.len() {
            self.buffer.resize(bytes, 0);
            return true;
        }
        !is_full
    }

    /// Text that has been read and not consumed.
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// Consumes bytes of the unread text.
    pub fn consume(&mut self, bytes: usize) {
        self.unread.start += bytes;
    }

    /// Whether the unread text is all that is left.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes of text read so far.
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    fn read_error(&self, error: io::Error) -> GunzipError {
        let offset = self.file.offset();
        match error.kind() {
            io::ErrorKind::UnexpectedEof => GunzipError::Truncated { offset },
            // flate2 reports data that it refuses as invalid input.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => GunzipError::Corrupt {
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
        read_by(Decoder::Own, bytes, limit)
    }

    fn read_by(decoder: Decoder, bytes: &[u8], limit: u64) -> Result<Vec<u8>, GunzipError> {
        let mut text = open(bytes, decoder, limit)?;
        let mut all = Vec::new();
        while !text.ended() {
            text.fill()?;
            all.extend_from_slice(text.unread());
            text.consume(text.unread().len());
        }
        Ok(all)
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
    fn both_decoders_say_the_same() {
        let one = gzip(&b"some lines of text, some lines of text\n".repeat(3000));
        let two = [&one[..], &[0; 100_000], &one, b"\n"].concat();
        let mut flipped = one.clone();
        flipped[40] ^= 1;
        let mut wrong_checksum = one.clone();
        let at = one.len() - 8;
        wrong_checksum[at] ^= 1;
        let mut wrong_length = one.clone();
        wrong_length[at + 4] ^= 1;
        let garbage = [&one[..], b"no member of a gzip file"].concat();
        for whole in [&one[..], &two, b"plain text", b"", &gzip(b"")] {
            let own = read(whole, u64::MAX).unwrap();
            assert_eq!(own, read_by(Decoder::Flate2, whole, u64::MAX).unwrap());
        }
        for damaged in [
            &flipped[..],
            &wrong_checksum,
            &wrong_length,
            &garbage,
            &one[..one.len() - 3],
            &two[..200],
        ] {
            for decoder in [Decoder::Own, Decoder::Flate2] {
                let error = read_by(decoder, damaged, u64::MAX).unwrap_err();
                assert!(error.is_damage(), "{decoder:?}: {error}");
            }
        }
        for decoder in [Decoder::Own, Decoder::Flate2] {
            let error = read_by(decoder, &one, 1000).unwrap_err();
            assert!(matches!(error, GunzipError::TooLarge { .. }), "{error}");
        }
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
