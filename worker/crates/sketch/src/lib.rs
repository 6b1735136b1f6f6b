#![doc = include_str!("../README.md")]
#![warn(missing_docs, unreachable_pub)]

mod murmur3;
mod xx_hash;
mod hyper_log_log;
mod bias;
mod numeric_histogram;
mod tdigest;
mod waiting;

pub use hyper_log_log::{HyperLogLog, hash_bigint, hash_double, hash_varchar, index_bits_of_error};
pub use murmur3::hash64;
pub use numeric_histogram::NumericHistogram;
pub use tdigest::TDigest;
pub use waiting::Waiting;
pub use xx_hash::{xx_hash, xx_hash_bigint, xx_hash_double, xx_hash_varchar};

/// The reason that bytes are not a valid sketch, that two sketches can't be merged, or that a value can't be added.
///
/// Retrying cannot help: the caller rejects the value or the row. The sketch itself is unchanged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum SketchError {
    /// The first byte is the tag of another format.
    #[error("not a {sketch}: format tag {tag:#04x}")]
    FormatTag { sketch: &'static str, tag: u8 },
    /// The bytes are cut off, or more bytes follow.
    #[error("malformed {sketch}: {actual_bytes} bytes instead of {expected_bytes}")]
    Length {
        sketch: &'static str,
        expected_bytes: u64,
        actual_bytes: usize,
    },
    /// Tag and length are right, but no writer of the format produces these contents.
    #[error("malformed {sketch}: {problem}")]
    Malformed {
        sketch: &'static str,
        problem: String,
    },
    /// `index_bits` outside of 4..=16: there are no bias tables for it.
    #[error("cannot read a HyperLogLog with 2^{index_bits} buckets: 2^4 to 2^16 are supported")]
    UnsupportedBuckets { index_bits: u8 },
    /// Both are valid, but differ in precision. Trino refuses this merge too.
    #[error("cannot merge HyperLogLogs with {ours} and {theirs} buckets")]
    DifferentBuckets { ours: usize, theirs: usize },
    /// Digests and histograms hold only finite values.
    #[error("cannot add {value} to a {sketch}: it is not finite")]
    Value { sketch: &'static str, value: f64 },
    /// A TDigest's weights must be finite and above 0, and so must their sum.
    #[error(
        "cannot add a value of weight {weight} to a TDigest of weight {total_weight}: weights and their sum must be finite and above 0"
    )]
    Weight { weight: f64, total_weight: f64 },
    /// Weights far below 1 defeat the TDigest's compaction (airlift throws an AssertionError).
    #[error(
        "TDigest is full: its {centroids} centroids weigh {total_weight}, too little to compact"
    )]
    Full { centroids: usize, total_weight: f64 },
}

/// Helpers for the tests of both sketches.
#[cfg(test)]
mod testing {
    use sha2::{Digest, Sha256};

    /// Hexadecimal digits, as in `sketch-vectors.txt`.
    pub(crate) fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn sha256(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    /// The inverse of `hex`. Spaces may group the digits.
    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = digits.chunks(2).map(String::from_iter);
        bytes
            .map(|pair| u8::from_str_radix(&pair, 16).unwrap())
            .collect()
    }

    /// Knuth's linear congruential generator: the same numbers in every run.
    pub(crate) struct Lcg(pub(crate) u64);

    impl Lcg {
        pub(crate) fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
            self.0
        }

        /// A number below `limit`, from the upper bits, which are of better quality.
        pub(crate) fn below(&mut self, limit: u64) -> u64 {
            (self.next() >> 33) % limit
        }
    }

    /// Copies of `bytes` with some bytes overwritten, inserted or cut off. Most copies are malformed.
    pub(crate) fn mutations(bytes: &[u8], count: usize, seed: u64) -> Vec<Vec<u8>> {
        let mut random = Lcg(seed);
        let mut mutate = |_| {
            let mut mutated = bytes.to_vec();
            for _ in 0..=random.below(3) {
                // the header is short, but most of what can go wrong is in it
                let reach = if random.below(2) == 0 { 40 } else { u64::MAX };
                let at = random.below(reach.min(mutated.len() as u64 + 1)) as usize;
                let byte = [0, 1, 0x7f, 0x80, 0xff, random.next() as u8][random.below(6) as usize];
                match random.below(8) {
                    0 => mutated.truncate(at),
                    1 => mutated.insert(at.min(mutated.len()), byte),
                    _ => mutated
                        .get_mut(at)
                        .into_iter()
                        .for_each(|target| *target = byte),
                }
            }
            mutated
        };
        (0..count).map(&mut mutate).collect()
    }
}
