//! Gzip's framing (RFC 1952) around flate2's inflate: headers, all members, checksums and lengths.
//!
//! flate2 has a decoder of its own, but with the inflate that is fastest it computes checksums in software, which
//! takes a sixth of the time that decompression takes. `crc32fast` uses the processor's instructions.

use std::io::{self, BufRead, Read};

use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};

pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;

// Bits of the header's flags.
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// Decompresses a gzip file, one member after the other.
///
/// Errors are of kind `UnexpectedEof` where the file ends too early, and `InvalidData` where it is damaged or goes
/// on with something else.
pub(super) struct Gunzip<R> {
    bytes: R,
    inflate: Decompress,
    member: Option<Member>,
    any_member: bool,
}

/// What has come of a member so far.
#[derive(Default)]
struct Member {
    checksum: Hasher,
    /// Modulo 2^32, as the trailer has it.
    length: u32,
}

impl<R: BufRead> Gunzip<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self {
            bytes,
            inflate: Decompress::new(false),
            member: None,
            any_member: false,
        }
    }

    fn read_header(&mut self) -> io::Result<()> {
        let mut header = HeaderBytes {
            bytes: &mut self.bytes,
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
            return Err(corrupt("what follows is no gzip member"));
        }
        if method != DEFLATE || flags & RESERVED != 0 {
            return Err(corrupt("a gzip header with an unknown method or flag"));
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
                return Err(corrupt("a gzip header whose checksum does not match"));
            }
        }
        self.inflate.reset(false);
        self.member = Some(Member::default());
        self.any_member = true;
        Ok(())
    }

    fn check_trailer(&mut self, member: Member) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.bytes.read_exact(&mut trailer)?;
        let [c0, c1, c2, c3, l0, l1, l2, l3] = trailer;
        if member.checksum.finalize() != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(corrupt("the text does not match its checksum"));
        }
        if member.length != u32::from_le_bytes([l0, l1, l2, l3]) {
            return Err(corrupt("the text does not have its length"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(mut member) = self.member.take() else {
                if self.any_member && self.bytes.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.read_header()?;
                continue;
            };
            let input = self.bytes.fill_buf()?;
            let ended = input.is_empty();
            let (read_before, written_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, buffer, FlushDecompress::None)
                .map_err(|_| corrupt("the deflate stream is damaged"))?;
            let read = (self.inflate.total_in() - read_before) as usize;
            let written = (self.inflate.total_out() - written_before) as usize;
            self.bytes.consume(read);
            member.checksum.update(&buffer[..written]);
            member.length = member.length.wrapping_add(written as u32);
            match status {
                Status::StreamEnd => self.check_trailer(member)?,
                _ if written == 0 && ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => self.member = Some(member),
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

/// A header's bytes, of which a checksum may be wanted.
struct HeaderBytes<'a, R> {
    bytes: &'a mut R,
    checksum: Hasher,
}

impl<R: Read> HeaderBytes<'_, R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut taken = [0; N];
        self.bytes.read_exact(&mut taken)?;
        self.checksum.update(&taken);
        Ok(taken)
    }
}

fn corrupt(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::write::GzEncoder;
    use flate2::{Compression, GzBuilder};

    use super::*;

    fn gunzip(bytes: &[u8], buffered: usize) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Gunzip::new(BufReader::with_capacity(buffered, bytes)).read_to_end(&mut text)?;
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
                    // FTEXT, MTIME, XFL, OS, and what fills the last byte of the deflate stream.
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
        let zeros = [&bytes[..], &[0; 16]].concat();
        assert_eq!(
            gunzip(&zeros, 64).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
