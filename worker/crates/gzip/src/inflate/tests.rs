use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::*;

/// Decompresses a stream that arrives `at_once` bytes at a time, into a buffer with room for the window and `room`
/// bytes. Returns the text, and the number of input bytes that are part of the stream.
fn inflate(stream: &[u8], at_once: usize, room: usize) -> Result<(Vec<u8>, usize), Damage> {
    let mut inflate = Inflate::new();
    let mut text = Vec::new();
    let mut buffer = vec![0xee; WINDOW_BYTES + room];
    let (mut taken, mut known, mut end) = (0, 0, 0);
    loop {
        let mut input = Input {
            bytes: &stream[taken..known],
            taken: 0,
            is_last: known == stream.len(),
        };
        let mut output = Output {
            start: end - text.len().min(end),
            buffer: &mut buffer,
            end,
        };
        let progress = inflate.inflate(&mut input, &mut output)?;
        text.extend_from_slice(&output.buffer[end..output.end]);
        end = output.end;
        taken += input.taken;
        match progress {
            Progress::Ended => return Ok((text, taken)),
            Progress::NeedsInput => {
                assert!(known < stream.len(), "there is no more");
                known = stream.len().min(known + at_once);
            }
            Progress::NeedsRoom => {
                assert!(end + 2 > buffer.len(), "there is room");
                buffer.copy_within(end - WINDOW_BYTES..end, 0);
                end = WINDOW_BYTES;
            }
        }
    }
}

/// Decompresses with zlib.
fn zlib(stream: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut inflate = Decompress::new(false);
    let mut text = Vec::with_capacity(1 << 22);
    let status = inflate.decompress_vec(stream, &mut text, FlushDecompress::Finish);
    let read = inflate.total_in() as usize;
    (status.ok()? == Status::StreamEnd).then_some((text, read))
}

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    /// Bytes of few or many kinds, evenly or unevenly frequent, with near and far repetitions.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let kinds = 1 + self.below(256);
        let unevenness = self.below(24);
        let repetitions = self.below(100);
        let mut text = Vec::with_capacity(length + 300);
        while text.len() < length {
            if self.below(100) < repetitions && !text.is_empty() {
                let distance = 1 + match self.below(3) {
                    0 => self.below(text.len().min(8)),
                    1 => self.below(text.len().min(300)),
                    _ => self.below(text.len().min(WINDOW_BYTES)),
                };
                for _ in 0..self.below(300) {
                    text.push(text[text.len() - distance]);
                }
            } else {
                // Each kind is half as frequent as the one before, which makes for the longest codes.
                let mut kind = self.below(kinds);
                for _ in 0..unevenness {
                    kind = kind.min(self.below(kinds));
                }
                text.push(kind as u8);
            }
        }
        text
    }

    /// Compresses a text with zlib, at a random level and with random flushes.
    fn stream(&mut self, text: &[u8]) -> Vec<u8> {
        let level = Compression::new(self.below(10) as u32);
        let mut encoder = DeflateEncoder::new(Vec::new(), level);
        let blocks = 1 + self.below(4);
        for part in text.chunks(text.len() / blocks + 1) {
            encoder.write_all(part).unwrap();
            if self.below(2) == 0 {
                encoder.flush().unwrap();
            }
        }
        encoder.finish().unwrap()
    }
}

#[test]
fn what_zlib_compresses_is_what_it_was() {
    for seed in 1..400 {
        let mut random = Random::new(seed);
        let length = match seed % 10 {
            0 => random.below(1_000_000),
            _ => random.below(50_000),
        };
        let text = random.text(length);
        let mut stream = random.stream(&text);
        let length = stream.len();
        let at_once = 1 + random.below(4000);
        let room = 2 + random.below(4000);
        assert!(
            inflate(&stream, at_once, room) == Ok((text.clone(), length)),
            "seed {seed}"
        );
        // Bytes that follow the stream are not part of it.
        stream.extend((0..random.below(20)).map(|byte| byte as u8));
        assert!(
            inflate(&stream, usize::MAX / 2, 1 << 21) == Ok((text, length)),
            "seed {seed}"
        );
    }
}

#[test]
fn what_is_damaged_is_what_zlib_makes_of_it() {
    let mut damaged = 0;
    for seed in 1..1500 {
        let mut random = Random::new(seed);
        let length = random.below(3000);
        let text = random.text(length);
        let mut stream = random.stream(&text);
        for _ in 0..=random.below(3) {
            let before = 1 + random.below(stream.len());
            let at = random.below(before);
            stream[at] ^= 1 << random.below(8);
        }
        let expected = zlib(&stream);
        damaged += usize::from(expected.is_none());
        let at_once = 1 + random.below(100);
        let room = 2 + random.below(4000);
        assert!(
            inflate(&stream, at_once, room).ok() == expected,
            "seed {seed}"
        );
        assert!(
            inflate(&stream, usize::MAX / 2, 1 << 21).ok() == expected,
            "seed {seed}"
        );
    }
    assert!(damaged > 500, "{damaged}");
}

#[test]
fn random_bits_are_what_zlib_makes_of_them() {
    for seed in 1..6000 {
        let mut random = Random::new(seed);
        let mut stream: Vec<u8> = (0..1 + random.below(300))
            .map(|_| random.below(256) as u8)
            .collect();
        // A last block with fixed codes, a last block with its own codes, or anything.
        stream[0] = match random.below(3) {
            0 => stream[0] & !0b111 | 0b011,
            1 => stream[0] & !0b111 | 0b101,
            _ => stream[0],
        };
        assert!(
            inflate(&stream, 1 + random.below(50), 4000).ok() == zlib(&stream),
            "seed {seed}"
        );
    }
}

#[test]
fn a_stream_that_is_cut_off_says_so() {
    let mut random = Random::new(7);
    let text = random.text(5000);
    for level in [0, 1, 6] {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(&text).unwrap();
        let stream = encoder.finish().unwrap();
        for length in 0..stream.len() {
            assert_eq!(
                inflate(&stream[..length], 1000, 1000),
                Err(Damage::CutOff),
                "{length}"
            );
        }
    }
}

#[test]
fn codes_of_one_word_and_of_none() {
    // The blocks that zlib writes for a single byte and for no bytes.
    for text in [&b"a"[..], b""] {
        let mut compress = flate2::Compress::new(Compression::best(), false);
        let mut stream = Vec::with_capacity(100);
        compress
            .compress_vec(text, &mut stream, FlushCompress::Finish)
            .unwrap();
        let length = stream.len();
        assert_eq!(inflate(&stream, 1, 2), Ok((text.to_vec(), length)));
    }
}
