//! Reads and writes the bytes of airlift's `SparseHll.java` and `DenseHll.java`.

use super::{ZEROS_MASK, ZEROS_MAX, buckets, prefix, raise, register_max};
use crate::SketchError;

/// The name of this sketch in errors.
const SKETCH: &str = "HyperLogLog";

const DENSE_V1: u8 = 1;
const SPARSE_V2: u8 = 2;
const DENSE_V2: u8 = 3;

/// Dense bytes hold four bits per bucket; a list of overflows holds the excess.
const DELTA_MAX: u8 = 15;

pub(super) fn write_sparse(index_bits: u8, entries: &[u32], out: &mut Vec<u8>) {
    out.reserve(4 + size_of_val(entries));
    out.extend([SPARSE_V2, index_bits]);
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
}

/// As `DenseHll.serialize`: the lowest register, the difference of each bucket to it, and the overflows.
pub(super) fn write_dense(index_bits: u8, registers: &[u8], out: &mut Vec<u8>) {
    let baseline = registers.iter().fold(u8::MAX, |min, value| min.min(*value));
    let highest = registers.iter().fold(0, |max, value| max.max(*value));
    out.reserve(5 + registers.len() / 2);
    out.extend([DENSE_V2, index_bits, baseline]);
    let delta = |register: u8| (register - baseline).min(DELTA_MAX);
    let (pairs, _) = registers.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .map(|[even, odd]| delta(*even) << 4 | delta(*odd)),
    );

    let overflow_above = baseline + DELTA_MAX;
    if highest <= overflow_above {
        return out.extend([0, 0]); // nearly always: no need to look for them
    }
    let overflows = registers.iter().zip(0u16..=u16::MAX);
    let overflows: Vec<_> = overflows
        .filter(|(value, _)| **value > overflow_above)
        .collect();
    out.extend((overflows.len() as u16).to_le_bytes());
    out.extend(
        overflows
            .iter()
            .flat_map(|(_, bucket)| bucket.to_le_bytes()),
    );
    out.extend(overflows.iter().map(|(value, _)| **value - overflow_above));
}

/// Bytes that were validated as a sketch, without a copy.
pub(super) enum Encoded<'a> {
    Sparse {
        index_bits: u8,
        entries: &'a [[u8; 4]],
    },
    Dense(EncodedDense<'a>),
}

pub(super) struct EncodedDense<'a> {
    index_bits: u8,
    /// Added to every register.
    baseline: u8,
    /// Two buckets per byte, the even one in the high bits.
    deltas: &'a [u8],
    overflow_buckets: &'a [[u8; 2]],
    overflow_values: &'a [u8],
}

impl<'a> Encoded<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, SketchError> {
        match *bytes {
            [SPARSE_V2, index_bits, low, high, ref body @ ..] => {
                check_index_bits(index_bits)?;
                let entries = parse_entries(i16::from_le_bytes([low, high]), body)?;
                Ok(Self::Sparse {
                    index_bits,
                    entries,
                })
            }
            [
                tag @ (DENSE_V1 | DENSE_V2),
                index_bits,
                baseline,
                ref body @ ..,
            ] => {
                check_index_bits(index_bits)?;
                let dense = EncodedDense::parse(tag, index_bits, baseline, body)?;
                dense.check_registers()?;
                Ok(Self::Dense(dense))
            }
            [] | [DENSE_V1..=DENSE_V2, ..] => Err(wrong_length(4, bytes.len())),
            [tag, ..] => Err(SketchError::FormatTag {
                sketch: SKETCH,
                tag,
            }),
        }
    }

    pub(super) fn index_bits(&self) -> u8 {
        match self {
            Self::Sparse { index_bits, .. } => *index_bits,
            Self::Dense(dense) => dense.index_bits,
        }
    }
}

fn parse_entries(count: i16, body: &[u8]) -> Result<&[[u8; 4]], SketchError> {
    let count = u64::try_from(count).map_err(|_| malformed(format!("{count} entries")))?;
    let (entries, rest) = body.as_chunks::<4>();
    if entries.len() as u64 != count || !rest.is_empty() {
        return Err(wrong_length(4 + 4 * count, 4 + body.len()));
    }
    let mut prefix_min = 0;
    for (i, entry) in entries.iter().enumerate() {
        let entry = u32::from_le_bytes(*entry);
        if prefix(entry) < prefix_min {
            return Err(malformed(format!(
                "entry {i} is not above the one before it"
            )));
        }
        let zeros = entry & ZEROS_MASK;
        if zeros > ZEROS_MAX {
            return Err(malformed(format!(
                "entry {i} has {zeros} zeros of {ZEROS_MAX} bits"
            )));
        }
        prefix_min = prefix(entry) + 1;
    }
    Ok(entries)
}

impl<'a> EncodedDense<'a> {
    /// Splits the bytes after the baseline into their parts. Validates the length, not the contents.
    fn parse(tag: u8, index_bits: u8, baseline: u8, body: &'a [u8]) -> Result<Self, SketchError> {
        let deltas_len = buckets(index_bits) / 2;
        // the minimum length of both versions, reached when there are no overflows
        let actual_bytes = 3 + body.len();
        let too_short = || wrong_length(5 + deltas_len as u64, actual_bytes);
        let (deltas, body) = body.split_at_checked(deltas_len).ok_or_else(too_short)?;
        let (head, tail) = body.split_first_chunk::<2>().ok_or_else(too_short)?;

        let (overflow_buckets, overflow_values, expected_bytes) = if tag == DENSE_V1 {
            // at most one overflow; the bucket -1 or the value 0 means none
            let present = i16::from_le_bytes(*head) >= 0 && tail.first().is_some_and(|v| *v > 0);
            let overflow_len = usize::from(present);
            (&body[..2 * overflow_len], &tail[..overflow_len], 1)
        } else {
            let overflow_len = usize::from(u16::from_le_bytes(*head));
            let split = tail
                .split_at_checked(2 * overflow_len)
                .unwrap_or((&[], tail));
            (split.0, split.1, 3 * overflow_len)
        };
        if tail.len() != expected_bytes {
            return Err(wrong_length(
                (5 + deltas_len + expected_bytes) as u64,
                actual_bytes,
            ));
        }
        let (overflow_buckets, _) = overflow_buckets.as_chunks::<2>();
        Ok(Self {
            index_bits,
            baseline,
            deltas,
            overflow_buckets,
            overflow_values,
        })
    }

    /// Refuses registers that no hash leads to: merges would carry them on forever.
    fn check_registers(&self) -> Result<(), SketchError> {
        let register_max = register_max(self.index_bits);
        let headroom = register_max
            .checked_sub(self.baseline)
            .ok_or_else(|| malformed(format!("invalid baseline {}", self.baseline)))?;
        let too_high = |packed: &u8| (packed >> 4).max(packed & DELTA_MAX) > headroom;
        if headroom < DELTA_MAX && self.deltas.iter().any(too_high) {
            return Err(malformed(format!("a register is above {register_max}")));
        }
        for (bucket, value) in self.overflows() {
            if bucket >= buckets(self.index_bits) {
                return Err(malformed(format!(
                    "overflow of bucket {bucket}, which does not exist"
                )));
            }
            if self.delta(bucket) != DELTA_MAX {
                return Err(malformed(format!(
                    "overflow of bucket {bucket}, which is not full"
                )));
            }
            if value == 0 || u16::from(value) + u16::from(DELTA_MAX) > u16::from(headroom) {
                return Err(malformed(format!("overflow of bucket {bucket} by {value}")));
            }
        }
        self.check_overflows_distinct()
    }

    /// Refuses a bucket that overflows twice: its value is ambiguous, and Java takes the first.
    fn check_overflows_distinct(&self) -> Result<(), SketchError> {
        if self
            .overflows()
            .is_sorted_by(|(one, _), (next, _)| one < next)
        {
            return Ok(()); // as written by airlift: nothing to allocate
        }
        let mut buckets: Vec<usize> = self.overflows().map(|(bucket, _)| bucket).collect();
        buckets.sort_unstable();
        match buckets.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(malformed(format!("two overflows of bucket {}", pair[0]))),
            None => Ok(()),
        }
    }

    fn delta(&self, bucket: usize) -> u8 {
        let packed = self.deltas[bucket / 2];
        if bucket.is_multiple_of(2) {
            packed >> 4
        } else {
            packed & DELTA_MAX
        }
    }

    fn overflows(&self) -> impl Iterator<Item = (usize, u8)> {
        let buckets = self.overflow_buckets.iter();
        let buckets = buckets.map(|bucket| usize::from(u16::from_le_bytes(*bucket)));
        buckets.zip(self.overflow_values.iter().copied())
    }

    /// Raises each of `registers`, one per bucket, to its value in this sketch.
    pub(super) fn raise_all(&self, registers: &mut [u8]) {
        let (pairs, _) = registers.as_chunks_mut::<2>();
        for ([even, odd], packed) in pairs.iter_mut().zip(self.deltas) {
            *even = (*even).max(self.baseline + (packed >> 4));
            *odd = (*odd).max(self.baseline + (packed & DELTA_MAX));
        }
        for (bucket, value) in self.overflows() {
            raise(registers, bucket, self.baseline + DELTA_MAX + value);
        }
    }
}

fn check_index_bits(index_bits: u8) -> Result<(), SketchError> {
    match index_bits {
        4..=16 => Ok(()),
        _ => Err(SketchError::UnsupportedBuckets { index_bits }),
    }
}

fn wrong_length(expected_bytes: u64, actual_bytes: usize) -> SketchError {
    SketchError::Length {
        sketch: SKETCH,
        expected_bytes,
        actual_bytes,
    }
}

fn malformed(problem: String) -> SketchError {
    SketchError::Malformed {
        sketch: SKETCH,
        problem,
    }
}
