//! Gzip's framing (RFC 1952) around inflate: headers, multiple members, checksums and lengths.

use std::io::{self, Read};

use crc32fast::Hasher;

use super::inflate::{Damage, Inflate, Output, Progress};
use super::read_ahead::ReadAhead;

pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;

// Bits of the header's flags.
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// Decompresses a gzip file, member by member.
pub(crate) struct Gunzip {
    inflate: Inflate,
    member: Option<Member>,
    any_member: bool,
}

/// The state of the current member.
#[derive(Default)]
struct Member {
    checksum: Hasher,
    /// Bytes of decompressed text.
    length: u64,
}

impl Gunzip {
    pub(crate) fn new() -> Self {
        Self {
            inflate: Inflate::new(),
            member: None,
            any_member: false,
        }
    }

    /// Appends text to the buffer at `end`. The buffer must hold the last [`super::inflate::WINDOW_BYTES`] of text before
    /// `end`, or all of it. Returns the new end of the text. It is `end` only if the file has ended, or the
    /// buffer has room for fewer than two bytes.
    ///
    /// The error kind is `UnexpectedEof` if the file ends too early, and `InvalidData` if it is damaged, or continues
    /// with anything but a gzip member.
    pub(crate) fn append<R: Read>(
        &mut self,
        file: &mut ReadAhead<R>,
        buffer: &mut [u8],
        end: usize,
    ) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else {
                if self.any_member {
                    file.skip_while(is_padding)?;
                    if file.peek(1)?.is_empty() {
                        return Ok(end);
                    }
                }
                self.read_header(file)?;
                continue;
            };
            let mut output = Output {
                start: end.saturating_sub(usize::try_from(member.length).unwrap_or(usize::MAX)),
                buffer: &mut *buffer,
                end,
            };
            let progress = file.inflate(&mut self.inflate, &mut output);
            let appended = output.end;
            member.checksum.update(&buffer[end..appended]);
            member.length += (appended - end) as u64;
            match progress.map_err(io_error)? {
                Progress::Ended => self.check_trailer(file)?,
                Progress::NeedsInput => file.read_more()?,
                Progress::NeedsRoom => return Ok(appended),
            }
            if appended > end {
                return Ok(appended);
            }
        }
    }

    fn read_header<R: Read>(&mut self, file: &mut ReadAhead<R>) -> io::Result<()> {
        let mut header = HeaderBytes {
            file,
            checksum: Hasher::new(),
        };
        let [
            magic1,
            magic2,
            method,
            flags,
            _mtime @ ..,
            _extra_flags,
            _system,
        ] = header.take::<10>()?;
        if [magic1, magic2] != MAGIC {
            return Err(corrupt(
                "the bytes after a gzip member are not a gzip member",
            ));
        }
        if method != DEFLATE || flags & RESERVED != 0 {
            return Err(corrupt(
                "unknown compression method or flag in a gzip header",
            ));
        }
        if flags & FEXTRA != 0 {
            let length = u16::from_le_bytes(header.take()?);
            for _ in 0..length {
                header.take::<1>()?;
            }
        }
        for text in [FNAME, FCOMMENT] {
            if flags & text != 0 {
                while header.take()? != [0] {}
            }
        }
        if flags & FHCRC != 0 {
            let computed = header.checksum.clone().finalize() as u16;
            if u16::from_le_bytes(header.take()?) != computed {
                return Err(corrupt("checksum mismatch in a gzip header"));
            }
        }
        self.inflate.reset();
        self.member = Some(Member::default());
        self.any_member = true;
        Ok(())
    }

    fn check_trailer<R: Read>(&mut self, file: &mut ReadAhead<R>) -> io::Result<()> {
        let member = self.member.take().unwrap_or_default();
        #[cfg(feature = "faults")]
        if IS_BROKEN.get() {
            return Err(corrupt("simulated by a test"));
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = file.take()?;
        if member.checksum.finalize() != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(corrupt("the text does not match its checksum"));
        }
        // The trailer stores the length modulo 2^32.
        if member.length as u32 != u32::from_le_bytes([l0, l1, l2, l3]) {
            return Err(corrupt("the text does not match its length"));
        }
        Ok(())
    }
}

#[cfg(feature = "faults")]
thread_local! {
    /// Makes this decoder refuse valid input, to simulate a bug in it.
    pub static IS_BROKEN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether the byte is padding, which is ignored after and between members. Tapes and block devices leave zeros, which
/// `gzip` ignores too; an editor or `echo >>` leaves a line ending. No member begins with such a byte.
pub(crate) fn is_padding(byte: u8) -> bool {
    matches!(byte, 0 | b'\n' | b'\r')
}

/// Reads a header's bytes and updates their checksum, which the header may contain.
struct HeaderBytes<'a, R> {
    file: &'a mut ReadAhead<R>,
    checksum: Hasher,
}

impl<R: Read> HeaderBytes<'_, R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let taken = self.file.take()?;
        self.checksum.update(&taken);
        Ok(taken)
    }
}

fn io_error(damage: Damage) -> io::Error {
    match damage {
        Damage::CutOff => io::ErrorKind::UnexpectedEof.into(),
        Damage::Corrupt(reason) => corrupt(reason),
    }
}

fn corrupt(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;
    use flate2::{Compression, GzBuilder};

    use super::*;

    /// A file that returns only a few bytes per read.
    struct Slow<'a> {
        bytes: &'a [u8],
        at_once: usize,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.at_once);
            self.bytes.read(&mut buffer[..length])
        }
    }

    fn gunzip(bytes: &[u8], at_once: usize) -> io::Result<Vec<u8>> {
        let mut file = ReadAhead::new(Slow { bytes, at_once });
        let mut gunzip = Gunzip::new();
        let mut text = Vec::new();
        let mut end = 0;
        loop {
            text.resize(end + at_once.max(2), 0);
            match gunzip.append(&mut file, &mut text, end)? {
                more if more > end => end = more,
                _ => break,
            }
        }
        text.truncate(end);
        Ok(text)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn headers_with_every_field_are_passed_over() {
        let mut encoder = GzBuilder::new()
            .filename("a.log")
            .comment("a comment")
            .extra(vec![1, 2, 3])
            .write(Vec::new(), Compression::fast());
        encoder.write_all(b"text").unwrap();
        let bytes = encoder.finish().unwrap();
        for buffered in [1, 2, 7, 1024] {
            assert_eq!(gunzip(&bytes, buffered).unwrap(), b"text");
        }
        // The checksum of a header: FHCRC, after a header without anything else.
        let plain = gzip(b"text");
        let mut header = plain[..10].to_vec();
        header[3] |= FHCRC;
        let mut checksum = Hasher::new();
        checksum.update(&header);
        let checksum = checksum.finalize() as u16;
        let with = |checksum: u16| [&header, &checksum.to_le_bytes()[..], &plain[10..]].concat();
        assert_eq!(gunzip(&with(checksum), 64).unwrap(), b"text");
        assert!(gunzip(&with(!checksum), 64).is_err());
    }

    #[test]
    fn it_agrees_with_flate2_on_texts_of_all_lengths() {
        let mut text = Vec::new();
        for length in 0..3000_u32 {
            text.extend(length.wrapping_mul(2_654_435_761).to_be_bytes());
            if length % 97 == 0 {
                let bytes = [gzip(&text), gzip(&text[text.len() / 2..])].concat();
                let mut expected = Vec::new();
                let mut flate2 = flate2::read::MultiGzDecoder::new(&bytes[..]);
                flate2.read_to_end(&mut expected).unwrap();
                assert_eq!(gunzip(&bytes, 1 + length as usize).unwrap(), expected);
            }
        }
    }

    #[test]
    fn no_damaged_bit_changes_the_text() {
        let bytes = gzip(&b"some lines of text, and some more lines of text\n".repeat(9));
        let whole = gunzip(&bytes, 64).unwrap();
        let trailer = bytes.len() - 8;
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                match gunzip(&damaged, 64) {
                    // FTEXT, MTIME, XFL, OS, and the padding in the last byte of the deflate stream don't affect the text.
                    Ok(text) => {
                        assert_eq!(text, whole, "byte {at}, bit {bit}");
                        assert!(
                            (3..10).contains(&at) || at == trailer - 1,
                            "byte {at}, bit {bit}"
                        );
                    }
                    Err(error) => assert!(
                        matches!(
                            error.kind(),
                            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                        ),
                        "byte {at}, bit {bit}: {error}"
                    ),
                }
            }
        }
    }

    #[test]
    fn it_ends_early_or_goes_on_with_something_else() {
        let bytes = gzip(b"text");
        for length in 0..bytes.len() {
            let error = gunzip(&bytes[..length], 64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
        let garbage = [&bytes[..], b"something else"].concat();
        assert_eq!(
            gunzip(&garbage, 64).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn zeros_and_line_ends_after_a_member_are_ignored() {
        let bytes = gzip(b"text");
        for padding in [&[0; 16][..], &[0; 100_000], b"\n", b"\r\n"] {
            assert_eq!(gunzip(&[&bytes, padding].concat(), 64).unwrap(), b"text");
            let between = [&bytes, padding, &bytes].concat();
            assert_eq!(gunzip(&between, 64).unwrap(), b"texttext");
            let error = gunzip(&[&bytes, padding, b"something else"].concat(), 64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            let error = gunzip(&[padding, &bytes].concat(), 64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
