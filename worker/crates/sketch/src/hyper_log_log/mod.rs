//! HyperLogLog: counts distinct values within about 1.6 %, in at most 2 KB.
//!
//! Bytes and behaviour are those of airlift's `stats/cardinality/HyperLogLog.java`, `SparseHll.java` and `DenseHll.java`.
//! A sketch begins sparse: a sorted list of hash prefixes, which counts almost exactly. It turns dense, with one register
//! per bucket, when the list would be larger than that.
//!
//! The bytes depend only on the set of hashes that were inserted, not on their order or on how they were split into
//! sketches and merged again.

mod bytes;

use super::SketchError;
use super::bias::correct_bias;
use super::murmur3::{hash64, hash64_of_u64};
use bytes::{Encoded, write_dense, write_sparse};

/// `approx_set` always makes 2^12 buckets.
const APPROX_SET_INDEX_BITS: u8 = 12;

/// The bits of a bucket's index that `approx_distinct` needs for a standard error. `None` for errors that it refuses.
///
/// See `ApproximateCountDistinctAggregation.standardErrorToBuckets` of Trino.
pub fn index_bits_of_error(standard_error: f64) -> Option<u8> {
    const ERRORS: std::ops::RangeInclusive<f64> = 0.0040625..=0.26;
    let buckets = (1.0816 / (standard_error * standard_error)).ceil();
    ERRORS
        .contains(&standard_error)
        .then(|| (buckets as u64).next_power_of_two().trailing_zeros() as u8)
}

/// Sparse entries hold this many leading bits of the hash, for any number of buckets.
const PREFIX_BITS: u32 = 26;
/// The bits below the prefix in an entry: the number of zeros that follow the prefix in the hash.
pub(crate) const ZEROS_BITS: u32 = u32::BITS - PREFIX_BITS;
const ZEROS_MASK: u32 = (1 << ZEROS_BITS) - 1;
/// Maximum number of zeros: all bits after the prefix.
const ZEROS_MAX: u32 = u64::BITS - PREFIX_BITS;

/// The hash under which `approx_set(varchar)` counts `value`.
pub fn hash_varchar(value: &str) -> u64 {
    hash64(value.as_bytes())
}

/// The hash under which `approx_set(bigint)` counts `value`. Trino coerces smaller integers to BIGINT.
pub fn hash_bigint(value: i64) -> u64 {
    hash64_of_u64(value.cast_unsigned())
}

/// The hash under which `approx_set(double)` counts `value`.
///
/// As in Java's `Double.doubleToLongBits`, all NaNs are the same value; 0.0 and -0.0 are two values.
pub fn hash_double(value: f64) -> u64 {
    const JAVA_NAN: u64 = 0x7ff8_0000_0000_0000;
    hash64_of_u64(if value.is_nan() {
        JAVA_NAN
    } else {
        value.to_bits()
    })
}

/// A HyperLogLog sketch, as Trino's type of that name.
///
/// Takes 32 bytes, and on the heap 4 bytes per distinct value until the 512th, from then on 4096 bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct HyperLogLog {
    form: Form,
    index_bits: u8,
}

#[derive(Clone, Debug, PartialEq)]
enum Form {
    /// Entries (see [`sparse_entry`]) strictly ascending by prefix, fewer than `dense_from`.
    Sparse(Vec<u32>),
    /// One byte per bucket, 0 for an empty one, so that an insert is one comparison. It is packed to half of that only
    /// when written.
    Dense(Box<[u8]>),
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self::new()
    }
}

impl HyperLogLog {
    /// An empty sketch that merges with those of `approx_set`. Nothing is allocated yet.
    pub fn new() -> Self {
        Self::with_index_bits(APPROX_SET_INDEX_BITS)
    }

    /// An empty sketch of `2^index_bits` buckets, 4 to 16 bits.
    pub fn with_index_bits(index_bits: u8) -> Self {
        Self {
            form: Form::Sparse(Vec::new()),
            index_bits,
        }
    }

    /// Counts a value by its hash, which must be [`hash64`] of the bytes that Trino hashes for its type.
    pub fn insert_hash(&mut self, hash: u64) {
        match &mut self.form {
            Form::Dense(registers) => {
                let (bucket, value) = dense_register(hash, self.index_bits);
                raise(registers, bucket, value);
            }
            Form::Sparse(_) => self.insert_entry(sparse_entry(hash)),
        }
    }

    /// Counts values by the sparse entries of their hashes, which must strictly ascend by prefix.
    pub fn insert_entries(&mut self, entries: &[u32]) {
        self.merge_entries(entries.iter().copied());
    }

    /// Whether the sketch has a register for each bucket, so that inserting a hash is one comparison.
    pub fn is_dense(&self) -> bool {
        matches!(self.form, Form::Dense(_))
    }

    /// Adds all values that `other` has counted.
    ///
    /// # Errors
    /// [`SketchError::DifferentBuckets`]; `self` is unchanged in that case.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        self.check_same_buckets(other.index_bits)?;
        match &other.form {
            Form::Sparse(entries) => self.merge_entries(entries.iter().copied()),
            Form::Dense(theirs) => {
                for (ours, theirs) in self.make_dense().iter_mut().zip(theirs) {
                    *ours = (*ours).max(*theirs);
                }
            }
        }
        Ok(())
    }

    /// Adds all values that the sketch in `bytes` has counted, without building that sketch.
    ///
    /// # Errors
    /// As [`Self::from_bytes`], or [`SketchError::DifferentBuckets`]; `self` is unchanged in both cases.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), SketchError> {
        let encoded = Encoded::parse(bytes)?;
        self.check_same_buckets(encoded.index_bits())?;
        self.merge_encoded(&encoded);
        Ok(())
    }

    /// Reads a sketch of 2^4 to 2^16 buckets, sparse (format tag 2) or dense (tag 3, or the older 1).
    ///
    /// # Errors
    /// If airlift would not have written these bytes: see [`SketchError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let encoded = Encoded::parse(bytes)?;
        let mut sketch = Self::with_index_bits(encoded.index_bits());
        sketch.merge_encoded(&encoded);
        Ok(sketch)
    }

    /// Appends the bytes that `cast(varbinary AS HyperLogLog)` reads.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match &self.form {
            Form::Sparse(entries) => write_sparse(self.index_bits, entries, out),
            Form::Dense(registers) => write_dense(self.index_bits, registers, out),
        }
    }

    /// The bytes that `cast(varbinary AS HyperLogLog)` reads: for 2^12 buckets at most 2 KB, apart from a few overflows.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes);
        bytes
    }

    /// Estimates the number of distinct values that were inserted, with the result of Trino's `cardinality()` for the
    /// same bytes.
    pub fn cardinality(&self) -> u64 {
        let estimate = match &self.form {
            Form::Sparse(entries) => {
                let prefixes = 1 << PREFIX_BITS;
                count_linearly(prefixes - entries.len(), prefixes)
            }
            Form::Dense(registers) => estimate_dense(self.index_bits, registers),
        };
        estimate.round() as u64
    }

    /// Allocated bytes, in addition to the size of the struct itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.form {
            Form::Sparse(entries) => entries.capacity() * size_of::<u32>(),
            Form::Dense(registers) => registers.len(),
        }
    }

    fn check_same_buckets(&self, their_index_bits: u8) -> Result<(), SketchError> {
        if self.index_bits == their_index_bits {
            return Ok(());
        }
        let (ours, theirs) = (buckets(self.index_bits), buckets(their_index_bits));
        Err(SketchError::DifferentBuckets { ours, theirs })
    }

    fn insert_entry(&mut self, entry: u32) {
        let entries = match &mut self.form {
            Form::Sparse(entries) => entries,
            Form::Dense(registers) => {
                let (bucket, value) = entry_register(entry, self.index_bits);
                return raise(registers, bucket, value);
            }
        };
        let at = entries.partition_point(|present| prefix(*present) < prefix(entry));
        match entries.get_mut(at) {
            // of two entries with the same prefix, the larger has more zeros
            Some(present) if prefix(*present) == prefix(entry) => *present = entry.max(*present),
            _ => {
                if entries.len() == entries.capacity() {
                    // grow by half, not by Vec's doubling: most groups of a GROUP BY stop growing soon
                    entries.reserve_exact(entries.len() / 2 + 4);
                }
                entries.insert(at, entry);
                if entries.len() >= dense_from(self.index_bits) {
                    self.make_dense();
                }
            }
        }
    }

    fn merge_encoded(&mut self, encoded: &Encoded) {
        match encoded {
            Encoded::Sparse { entries, .. } => {
                self.merge_entries(entries.iter().map(|entry| u32::from_le_bytes(*entry)));
            }
            Encoded::Dense(dense) => dense.raise_all(self.make_dense()),
        }
    }

    /// Merges entries, which must strictly ascend by prefix.
    fn merge_entries<I>(&mut self, theirs: I)
    where
        I: DoubleEndedIterator<Item = u32> + ExactSizeIterator + Clone,
    {
        // for few entries, a search for each is faster than a merge, which passes over all of ours
        const FEW: usize = 8;
        if let Form::Sparse(ours) = &mut self.form
            && theirs.len() * FEW > ours.len()
        {
            let union_len = count_union(ours, theirs.clone());
            if union_len < dense_from(self.index_bits) {
                return merge_sorted(ours, theirs, union_len);
            }
            self.make_dense();
        }
        for entry in theirs {
            self.insert_entry(entry);
        }
    }

    fn make_dense(&mut self) -> &mut [u8] {
        if let Form::Sparse(entries) = &self.form {
            let mut registers = vec![0; buckets(self.index_bits)].into_boxed_slice();
            for entry in entries {
                let (bucket, value) = entry_register(*entry, self.index_bits);
                raise(&mut registers, bucket, value);
            }
            self.form = Form::Dense(registers);
        }
        match &mut self.form {
            Form::Dense(registers) => registers,
            Form::Sparse(_) => unreachable!("made dense above"),
        }
    }
}

fn buckets(index_bits: u8) -> usize {
    1 << index_bits
}

/// The largest register value: all bits after the bucket's index are zero.
fn register_max(index_bits: u8) -> u8 {
    u64::BITS as u8 - index_bits + 1
}

/// The number of entries that makes a sketch dense: 512 for 2^12 buckets.
///
/// `HyperLogLog.makeDenseIfNecessary` compares estimated sizes of two Java objects: the int array, which inserts grow by
/// 10 from 1, must exceed half a byte per bucket and 16 bytes of header. In Java, a merge trims the array, so a sketch
/// can stay sparse for up to five more entries. Here it can't: the bytes would depend on the order of merges. Readers
/// accept both forms.
fn dense_from(index_bits: u8) -> usize {
    let growths = (buckets(index_bits) / 8 + 3) / 10 + 1;
    growths * 10 - 8
}

/// Encodes a sparse entry as `SparseHll.encode` does: 26 bits of hash, and the number of zeros after them.
pub(crate) fn sparse_entry(hash: u64) -> u32 {
    let prefix = (hash >> (u64::BITS - PREFIX_BITS)) as u32;
    let zeros = (hash << PREFIX_BITS).leading_zeros().min(ZEROS_MAX);
    prefix << ZEROS_BITS | zeros
}

pub(crate) fn prefix(entry: u32) -> u32 {
    entry >> ZEROS_BITS
}

/// The bucket and the register value of a hash, as in `Utils.computeIndex` and `computeValue`.
fn dense_register(hash: u64, index_bits: u8) -> (usize, u8) {
    let index_bits = u32::from(index_bits);
    let bucket = hash >> (u64::BITS - index_bits);
    let zeros = (hash << index_bits)
        .leading_zeros()
        .min(u64::BITS - index_bits);
    (bucket as usize, zeros as u8 + 1)
}

/// The result of [`dense_register`] for the hash that is encoded in this sparse entry (`SparseHll.eachBucket`).
fn entry_register(entry: u32, index_bits: u8) -> (usize, u8) {
    let index_bits = u32::from(index_bits);
    let bucket = entry >> (u32::BITS - index_bits);
    let prefix_zeros = (entry << index_bits).leading_zeros();
    let prefix_left = PREFIX_BITS - index_bits;
    let zeros = if prefix_zeros < prefix_left {
        prefix_zeros
    } else {
        prefix_left + (entry & ZEROS_MASK)
    };
    (bucket as usize, zeros as u8 + 1)
}

fn raise(registers: &mut [u8], bucket: usize, value: u8) {
    let register = &mut registers[bucket];
    *register = value.max(*register);
}

/// The number of entries that [`merge_sorted`] will leave.
fn count_union(ours: &[u32], theirs: impl Iterator<Item = u32>) -> usize {
    let mut union_len = ours.len();
    let mut ours = ours.iter().copied().map(prefix).peekable();
    for entry in theirs {
        while ours.next_if(|our| *our < prefix(entry)).is_some() {}
        if ours.peek() != Some(&prefix(entry)) {
            union_len += 1;
        }
    }
    union_len
}

/// Merges two ascending lists into the first. Starts at the back, where there is room, so that no entry is overwritten
/// before it has moved.
fn merge_sorted(
    ours: &mut Vec<u32>,
    theirs: impl DoubleEndedIterator<Item = u32>,
    union_len: usize,
) {
    let mut unmoved = ours.len();
    ours.reserve_exact(union_len - unmoved);
    ours.resize(union_len, 0);
    let mut target = union_len;
    for entry in theirs.rev() {
        while unmoved > 0 && prefix(ours[unmoved - 1]) > prefix(entry) {
            unmoved -= 1;
            target -= 1;
            ours[target] = ours[unmoved];
        }
        target -= 1;
        if unmoved > 0 && prefix(ours[unmoved - 1]) == prefix(entry) {
            unmoved -= 1;
            ours[target] = ours[unmoved].max(entry);
        } else {
            ours[target] = entry;
        }
    }
}

/// `DenseHll.cardinality`, unrounded.
fn estimate_dense(index_bits: u8, registers: &[u8]) -> f64 {
    /// If more buckets than this are empty, their number is a better estimate than the registers' values.
    const EMPTY_MIN: f64 = 0.4;
    let buckets = registers.len() as f64;
    let empty = registers.iter().filter(|value| **value == 0).count();
    if empty as f64 > EMPTY_MIN * buckets {
        return count_linearly(empty, registers.len());
    }
    let alpha = match index_bits {
        4 => 0.673,
        5 => 0.697,
        6 => 0.709,
        _ => 0.7213 / (1.0 + 1.079 / buckets),
    };
    let sum: f64 = registers
        .iter()
        .map(|value| 1.0 / (1u64 << value) as f64)
        .sum();
    correct_bias(alpha * buckets * buckets / sum, index_bits)
}

/// The average number of values that leave `empty_buckets` buckets empty.
fn count_linearly(empty_buckets: usize, buckets: usize) -> f64 {
    let buckets = buckets as f64;
    buckets * (buckets / empty_buckets as f64).ln()
}

#[cfg(test)]
mod tests;
