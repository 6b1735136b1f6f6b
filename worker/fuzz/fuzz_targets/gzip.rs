//! The gzip decoder, against flate2. What it reads to the end is what flate2 reads; what it refuses is damaged, or flate2's
//! second opinion counts.
//!
//! The first byte of an input says what the rest is: a file as it is; the deflate stream of a member, to which a right
//! header, checksum and length are added, so that inflate itself is reached; or a text and the bits of its gzip file
//! to be flipped. The second byte says how many bytes are read at once.

#![no_main]

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, Crc, Decompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;
use logmill_gzip::{Decoder, GunzipError};

/// More text than this is of no interest.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// The header of a member without a name or anything else.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

fuzz_target!(|data: &[u8]| {
    let Some((&[how, at_once], rest)) = data.split_first_chunk() else {
        return;
    };
    let file = match how % 3 {
        0 => rest.to_vec(),
        1 => member_of(rest),
        _ => damaged(rest),
    };
    let own = read(Decoder::Own, &file, at_once);
    let second = read(Decoder::Flate2, &file, at_once);
    match (own, second) {
        (Ok(own), Ok(second)) => assert!(own == second, "another text"),
        (Ok(_), Err(error)) => panic!("flate2 refuses it: {error}"),
        (Err(error), second) => {
            let is_expected = error.is_damage() || matches!(error, GunzipError::TooLarge { .. });
            assert!(is_expected, "{error}");
            if error.is_damage() && second.is_ok() {
                eprintln!("flate2 reads what is refused: {error}");
                assert!(std::env::var_os("LOGMILL_STRICT").is_none());
            }
        }
    }
});

/// A reader that gives some bytes at once.
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

fn read(decoder: Decoder, file: &[u8], at_once: u8) -> Result<Vec<u8>, GunzipError> {
    let file = Slow {
        bytes: file,
        at_once: match at_once {
            0 => usize::MAX,
            few => few.into(),
        },
    };
    let mut text = logmill_gzip::open(file, decoder, TEXT_BYTES_MAX)?;
    let mut all = Vec::new();
    while !text.ended() {
        text.fill()?;
        all.extend_from_slice(text.unread());
        text.consume(text.unread().len());
    }
    Ok(all)
}

/// A file of which this is the deflate stream, and what follows it the rest.
fn member_of(deflate: &[u8]) -> Vec<u8> {
    let mut inflate = Decompress::new(false);
    let mut text = Vec::with_capacity(TEXT_BYTES_MAX as usize);
    let status = inflate.decompress_vec(deflate, &mut text, FlushDecompress::Finish);
    let ended = match status {
        Ok(Status::StreamEnd) => inflate.total_in() as usize,
        _ => deflate.len(),
    };
    let mut checksum = Crc::new();
    checksum.update(&text);
    let (stream, rest) = deflate.split_at(ended);
    let trailer = [
        checksum.sum().to_le_bytes(),
        checksum.amount().to_le_bytes(),
    ]
    .concat();
    [&HEADER, stream, &trailer, rest].concat()
}

/// The gzip file of a text, of which some bits are other ones.
fn damaged(data: &[u8]) -> Vec<u8> {
    let Some((&[level, flips], rest)) = data.split_first_chunk() else {
        return Vec::new();
    };
    let (places, text) = rest.split_at(rest.len().min(3 * usize::from(flips % 4)));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(u32::from(level % 10)));
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    let mut file = written.expect("a vector takes all that is written to it");
    for place in places.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([place[0], place[1]])) % file.len();
        file[at] ^= 1 << (place[2] % 8);
    }
    file
}
