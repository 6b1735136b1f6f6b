//! HyperLogLog: counts distinct values within about 1.6 %, in at most 2 KB.
//!
//! Bytes and behaviour are those of airlift's `stats/cardinality/HyperLogLog.java`, `SparseHll.java` and `DenseHll.java`.
//! A sketch begins sparse: a sorted list of hash prefixes, which counts almost exactly. It turns dense, with one register
//! per bucket, when the list would be larger than that.
//!
//! The bytes depend only on the set of hashes that were inserted, not on their order or on how they were split into
//! sketches and merged again.

use super::SketchError;
use super::bias::correct_bias;
use super::murmur3::{hash64, hash64_of_u64};

/// The name of this sketch in errors.
const SKETCH: &str = "HyperLogLog";

/// `approx_set` always makes 2^12 buckets.
const APPROX_SET_INDEX_BITS: u8 = 12;

const DENSE_V1: u8 = 1;
const SPARSE_V2: u8 = 2;
const DENSE_V2: u8 = 3;

/// Sparse entries hold this many leading bits of the hash, for any number of buckets.
const PREFIX_BITS: u32 = 26;
/// The bits below the prefix in an entry: the number of zeros that follow the prefix in the hash.
pub(crate) const ZEROS_BITS: u32 = u32::BITS - PREFIX_BITS;
const ZEROS_MASK: u32 = (1 << ZEROS_BITS) - 1;
/// Maximum number of zeros: all bits after the prefix.
const ZEROS_MAX: u32 = u64::BITS - PREFIX_BITS;

/// Dense bytes hold four bits per bucket; a list of overflows holds the excess.
const DELTA_MAX: u8 = 15;

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

    fn with_index_bits(index_bits: u8) -> Self {
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

fn write_sparse(index_bits: u8, entries: &[u32], out: &mut Vec<u8>) {
    out.reserve(4 + size_of_val(entries));
    out.extend([SPARSE_V2, index_bits]);
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
}

/// As `DenseHll.serialize`: the lowest register, the difference of each bucket to it, and the overflows.
fn write_dense(index_bits: u8, registers: &[u8], out: &mut Vec<u8>) {
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

/// Bytes that were validated as a sketch, without a copy.
enum Encoded<'a> {
    Sparse {
        index_bits: u8,
        entries: &'a [[u8; 4]],
    },
    Dense(EncodedDense<'a>),
}

struct EncodedDense<'a> {
    index_bits: u8,
    /// Added to every register.
    baseline: u8,
    /// Two buckets per byte, the even one in the high bits.
    deltas: &'a [u8],
    overflow_buckets: &'a [[u8; 2]],
    overflow_values: &'a [u8],
}

impl<'a> Encoded<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, SketchError> {
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

    fn index_bits(&self) -> u8 {
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
            .ok_or_else(|| malformed(format!("baseline {}", self.baseline)))?;
        let too_high = |packed: &u8| (packed >> 4).max(packed & DELTA_MAX) > headroom;
        if headroom < DELTA_MAX && self.deltas.iter().any(too_high) {
            return Err(malformed(format!("a register above {register_max}")));
        }
        for (bucket, value) in self.overflows() {
            if bucket >= buckets(self.index_bits) {
                return Err(malformed(format!("overflow of bucket {bucket}")));
            }
            if self.delta(bucket) != DELTA_MAX {
                return Err(malformed(format!(
                    "overflow of bucket {bucket}, which has room"
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
    fn raise_all(&self, registers: &mut [u8]) {
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

#[cfg(test)]
mod tests {
    use super::super::testing::{Lcg, hex, mutations, sha256, unhex};
    use super::*;

    fn of_hashes(index_bits: u8, hashes: impl IntoIterator<Item = u64>) -> HyperLogLog {
        let mut sketch = HyperLogLog::with_index_bits(index_bits);
        for hash in hashes {
            sketch.insert_hash(hash);
        }
        sketch
    }

    fn of_users(ids: std::ops::Range<u32>) -> HyperLogLog {
        of_hashes(12, ids.map(|id| hash_varchar(&format!("user-{id}"))))
    }

    fn of_bigints(index_bits: u8, values: impl IntoIterator<Item = i64>) -> HyperLogLog {
        of_hashes(index_bits, values.into_iter().map(hash_bigint))
    }

    fn dense(mut sketch: HyperLogLog) -> HyperLogLog {
        sketch.make_dense();
        sketch
    }

    fn merged(mut ours: HyperLogLog, theirs: &HyperLogLog) -> HyperLogLog {
        let mut from_bytes = ours.clone();
        ours.merge(theirs).unwrap();
        from_bytes.merge_bytes(&theirs.to_bytes()).unwrap();
        assert_eq!(ours, from_bytes, "merge and merge_bytes do the same");
        ours
    }

    /// Hashes that often have long runs of zeros, so that registers overflow and entries with the same prefix differ.
    /// Some hashes are equal.
    fn odd_hashes(count: usize, random: &mut Lcg) -> Vec<u64> {
        let mut hash = || match random.below(4) {
            0 => random.next() >> random.below(64),
            1 => random.next() & !(u64::MAX >> random.below(64)),
            2 => (random.below(5000) << 52) | (random.next() >> 12 >> random.below(52)),
            _ => random.next(),
        };
        (0..count).map(|_| hash()).collect()
    }

    #[test]
    fn hashes_what_approx_set_hashes() {
        assert_eq!(hash_bigint(0), 0x28df_63b7_cc57_c3cb);
        assert_eq!(hash_bigint(1), 0x0044_03b7_fb05_c44a);
        assert_eq!(hash_bigint(-1), 0xa0e4_b27a_1aba_ed73);
        assert_eq!(hash_bigint(42), 0xb6ac_c399_89d2_7df8);
        assert_eq!(hash_bigint(61697), 0xa920_000e_1cd9_a4c5);
        assert_eq!(hash_bigint(394873), 0xfd00_0003_9c6a_5581);
        assert_eq!(hash_bigint(i64::MAX), 0x6c76_ebcb_dad6_69d4);
        assert_eq!(hash_double(1.5), 0xf262_c8fe_30b0_f8b3);
        assert_eq!(hash_varchar("héllo"), 0x4e31_7b11_7285_5c8a);
        assert_eq!(
            hash_double(-f64::NAN),
            hash_double(f64::from_bits(0x7ff8_0000_0000_0001))
        );
        assert_ne!(hash_double(0.0), hash_double(-0.0));
    }

    #[test]
    fn writes_small_sketches_as_airlift_does() {
        let names = ["alice", "bob", "carol"].map(hash_varchar);
        let doubles = [1.5, -0.0].map(hash_double);
        let vectors = [
            (HyperLogLog::new(), "020c0000"),
            (of_hashes(12, [names[0]]), "020c0100 814f1a4f"),
            (of_hashes(12, names), "020c0300 814f1a4f 021f1bb5 c33c02d4"),
            (
                of_bigints(12, 0..5),
                "020c0500 80034400 8063df28 00583d5b 01d219b4 802008de",
            ),
            (of_hashes(12, doubles), "020c0200 c09d1501 c0c862f2"),
            (of_hashes(12, [hash64(&[64])]), "020c0100 42342021"),
            (of_bigints(4, 0..100), "030402 4523013122050401 0000"),
            (
                of_bigints(4, (0..100).chain([37227])),
                "030402 45230131220504f1 0100 0e00 05",
            ),
            (
                of_bigints(4, [37227].into_iter().chain(0..100)),
                "030402 45230131220504f1 0100 0e00 05",
            ),
        ];
        for (sketch, bytes) in vectors {
            assert_eq!(sketch.to_bytes(), unhex(bytes), "{bytes}");
        }
    }

    #[test]
    fn writes_large_sketches_as_airlift_does() {
        let vectors = [
            (
                100,
                100,
                404,
                "c76f65377dc9757dfc5425de873c35141b9a1d58948d4f3b98475319d328d2f2",
            ),
            (
                500,
                500,
                2004,
                "b6260debd393343a390821e0f70b3df2041718364087fcb77f2eef73716803c4",
            ),
            (
                520,
                516,
                2053,
                "6fad1d8c8a5b4d3c0cb4f9b55c3beb88a6b3ae3bd9119dc438f69e0c5d8defd0",
            ),
            (
                540,
                536,
                2053,
                "2c1ca5d562336f67684ba75d6b123660ca95b6f3b3543cb519856c930852eba6",
            ),
            (
                1000,
                998,
                2053,
                "b1689a37e7f318b9f0b6a40836ce7b7697d4a8e7310855ba17f3cbb80f08162c",
            ),
            (
                10_000,
                9881,
                2053,
                "8998462f29903225d9745a936ebee10a254538fb37b2e2913c5ad91a8364c0dd",
            ),
            (
                100_000,
                99_436,
                2053,
                "6da0b4b5a270d8ab85d988ade5e66bdda0ff6d1d169bceec70c411da3f519126",
            ),
            (
                1_000_000,
                1_003_091,
                2056,
                "afdbeb985934da8824c99f069a2af44ab1e40478b2ed54f9269cb396c7f4a9d3",
            ),
        ];
        for (users, cardinality, len, sha) in vectors {
            let sketch = of_users(0..users);
            let bytes = sketch.to_bytes();
            assert_eq!(
                (sketch.cardinality(), bytes.len()),
                (cardinality, len),
                "{users} users"
            );
            assert_eq!(sha256(&bytes), sha, "{users} users");
            assert_eq!(HyperLogLog::from_bytes(&bytes), Ok(sketch), "{users} users");
        }
    }

    #[test]
    fn writes_dense_registers_as_airlift_does() {
        let alice = dense(of_hashes(12, [hash_varchar("alice")])).to_bytes();
        assert_eq!(
            sha256(&alice),
            "eafb9a2ac98de2ae2b88d0c21aa8150ef97f1940843c3e2639da1a407a6ee883"
        );

        // TestDenseSerialization.java: testSingleNoOverflow, testSingleWithOverflow, testMultipleOverflow
        let cases = [
            (vec![0], vec![(326, 0x01)], "0000"),
            (vec![61697], vec![(1353, 0xf0)], "0100 920a 02"),
            (
                vec![394873, 61697],
                vec![(1353, 0xf0), (2024, 0xf0)],
                "0200 920a d00f 02 04",
            ),
        ];
        for (values, deltas, overflows) in cases {
            let mut expected = [&[3, 12, 0][..], &[0; 2048]].concat();
            for (slot, packed) in deltas {
                expected[3 + slot] = packed;
            }
            expected.extend(unhex(overflows));
            let sketch = dense(of_bigints(12, values.iter().copied()));
            assert_eq!(sketch.to_bytes(), expected, "{values:?}");
            assert_eq!(HyperLogLog::from_bytes(&expected), Ok(sketch), "{values:?}");
        }
    }

    #[test]
    fn reads_the_first_dense_version() {
        // TestDenseSerialization.java: testDeserializeDenseV1NoOverflows, and the same with one overflow
        let v1 = |rest: &str| HyperLogLog::from_bytes(&unhex(&format!("01040a {rest}")));
        let v2 = |rest: &str| HyperLogLog::from_bytes(&unhex(&format!("03040a {rest}")));
        assert_eq!(v1("0000000000000000 ffff 00"), v2("0000000000000000 0000"));
        assert_eq!(v1("0000000000000000 0100 00"), v2("0000000000000000 0000"));
        assert_eq!(
            v1("0f00000000000000 0100 05"),
            v2("0f00000000000000 0100 0100 05")
        );
        assert!(v1("0f00000000000000 0100 05").is_ok());
        assert!(v1("0f00000000000000 0100").is_err());
        assert!(v1("0f00000000000000 0100 05 00").is_err());
    }

    #[test]
    fn turns_dense_at_the_512th_prefix() {
        let is_sparse = |sketch: &HyperLogLog| matches!(sketch.form, Form::Sparse(_));
        let mut sketch = HyperLogLog::new();
        for i in 1..=511 {
            sketch.insert_hash(i << 40);
        }
        assert!(is_sparse(&sketch));
        let merged = merged(sketch.clone(), &of_hashes(12, [512 << 40]));
        sketch.insert_hash(512 << 40);
        assert!(!is_sparse(&sketch));
        assert_eq!(merged, sketch);
        assert_eq!([4, 16].map(dense_from), [2, 8192]);
    }

    #[test]
    fn merges_as_airlift_does() {
        let union = merged(of_users(0..300), &of_users(200..3000));
        assert_eq!(union.cardinality(), 2965);
        let sha = "2c4b56a47274132a760797e199063ae463b7c920b09335047a7693949e08565b";
        assert_eq!(sha256(&union.to_bytes()), sha);
        assert_eq!(union, merged(of_users(200..3000), &of_users(0..300)));
    }

    #[test]
    fn what_is_written_depends_only_on_the_set_of_hashes() {
        for seed in 0..600 {
            let mut random = Lcg(seed);
            let index_bits = [4, 5, 8, 11, 12, 12, 12, 16][random.below(8) as usize];
            let most = [4, 30, 300, 600, 3000][random.below(5) as usize];
            let count = random.below(most) as usize;
            let hashes = odd_hashes(count, &mut random);
            let expected = of_hashes(index_bits, hashes.iter().copied());

            // the same hashes in another order, split into parts (some of them dense), which are merged in turn
            let mut parts: Vec<HyperLogLog> = Vec::new();
            let mut rest = &hashes[..];
            while !rest.is_empty() {
                let (part, others) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
                let part = of_hashes(index_bits, part.iter().rev().copied());
                parts.push(part);
                rest = others;
            }
            let empty = || HyperLogLog::with_index_bits(index_bits);
            let forward = parts.iter().fold(empty(), merged);
            let reverse = parts
                .iter()
                .rev()
                .fold(empty(), |sum, part| merged(part.clone(), &sum));
            assert_eq!(forward, expected, "seed {seed}");
            assert_eq!(reverse, expected, "seed {seed}");
            let densely = parts.iter().fold(dense(empty()), merged);
            assert_eq!(densely, dense(expected.clone()), "seed {seed}");
            let densely = parts
                .iter()
                .fold(empty(), |sum, part| merged(sum, &dense(part.clone())));
            assert!(
                densely == dense(expected.clone()) || hashes.is_empty(),
                "seed {seed}"
            );

            // the registers are those of the hashes themselves, whatever the order of merges
            let mut registers = vec![0; buckets(index_bits)];
            for hash in hashes {
                let (bucket, value) = dense_register(hash, index_bits);
                raise(&mut registers, bucket, value);
            }
            assert_eq!(densely.clone().make_dense(), registers, "seed {seed}");
            assert_eq!(
                HyperLogLog::from_bytes(&expected.to_bytes()),
                Ok(expected),
                "seed {seed}"
            );
            assert_eq!(
                HyperLogLog::from_bytes(&densely.to_bytes()),
                Ok(densely),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn counts_within_the_error_of_its_buckets() {
        for index_bits in 4..=16 {
            let mut random = Lcg(index_bits.into());
            let mut sketch = HyperLogLog::with_index_bits(index_bits);
            let standard_error = 1.04 / (buckets(index_bits) as f64).sqrt();
            for count in 1..=300_000u64 {
                sketch.insert_hash(hash64_of_u64(random.next()));
                if count.is_power_of_two() || count == 300_000 {
                    let error = sketch.cardinality() as f64 / count as f64 - 1.0;
                    assert!(
                        error.abs() < 4.0 * standard_error,
                        "{count} in 2^{index_bits}: {error}"
                    );
                }
            }
        }
    }

    #[test]
    fn stays_small() {
        assert!(size_of::<HyperLogLog>() <= 32);
        assert_eq!(HyperLogLog::new().heap_bytes(), 0);
        let mut sketch = of_users(0..1);
        assert_eq!(sketch.heap_bytes(), 16);
        for _ in 0..1000 {
            sketch.insert_hash(hash_varchar("user-0"));
        }
        assert_eq!(sketch.heap_bytes(), 16);
        for users in [10, 100, 300, 511] {
            let heap_bytes = of_users(0..users).heap_bytes();
            assert!(
                heap_bytes <= 4 * users as usize * 3 / 2 + 16,
                "{users}: {heap_bytes}"
            );
        }
        assert_eq!(of_users(0..10_000).heap_bytes(), 4096);
        assert_eq!(
            HyperLogLog::from_bytes(&of_users(0..100).to_bytes())
                .unwrap()
                .heap_bytes(),
            400
        );
    }

    #[test]
    fn says_what_is_wrong_with_bytes() {
        let cases = [
            ("", "malformed HyperLogLog: 0 bytes, where 4 are expected"),
            ("02", "malformed HyperLogLog: 1 bytes, where 4 are expected"),
            (
                "03 0c",
                "malformed HyperLogLog: 2 bytes, where 4 are expected",
            ),
            ("07 0c", "not a HyperLogLog: format tag 0x07"),
            ("00 0c 0000", "not a HyperLogLog: format tag 0x00"),
            (
                "02 0c 0100",
                "malformed HyperLogLog: 4 bytes, where 8 are expected",
            ),
            (
                "02 0c 0000 00",
                "malformed HyperLogLog: 5 bytes, where 4 are expected",
            ),
            ("02 0c ffff", "malformed HyperLogLog: -1 entries"),
            (
                "02 0c ff7f",
                "malformed HyperLogLog: 4 bytes, where 131072 are expected",
            ),
            (
                "02 03 0000",
                "cannot read a HyperLogLog with 2^3 buckets: 2^4 to 2^16 are supported",
            ),
            (
                "03 ff 0000",
                "cannot read a HyperLogLog with 2^255 buckets: 2^4 to 2^16 are supported",
            ),
            (
                "02 0c 0100 3f000000",
                "malformed HyperLogLog: entry 0 has 63 zeros of 38 bits",
            ),
            (
                "02 0c 0200 40000000 41000000",
                "malformed HyperLogLog: entry 1 is not above the one before it",
            ),
            (
                "02 0c 0200 ff000000 41000000",
                "malformed HyperLogLog: entry 0 has 63 zeros of 38 bits",
            ),
            (
                "03 04 00 00000000",
                "malformed HyperLogLog: 7 bytes, where 13 are expected",
            ),
            (
                "03 04 00 0000000000000000 00",
                "malformed HyperLogLog: 12 bytes, where 13 are expected",
            ),
            (
                "03 04 00 0000000000000000 ffff",
                "malformed HyperLogLog: 13 bytes, where 196618 are expected",
            ),
            (
                "03 04 00 0000000000000000 0000 00",
                "malformed HyperLogLog: 14 bytes, where 13 are expected",
            ),
            (
                "03 04 3e 0000000000000000 0000",
                "malformed HyperLogLog: baseline 62",
            ),
            (
                "03 04 3d 0000000000000001 0000",
                "malformed HyperLogLog: a register above 61",
            ),
            (
                "03 04 00 f000000000000000 0100 1000 01",
                "malformed HyperLogLog: overflow of bucket 16",
            ),
            (
                "03 04 00 f000000000000000 0100 0100 01",
                "malformed HyperLogLog: overflow of bucket 1, which has room",
            ),
            (
                "03 04 00 f000000000000000 0100 0000 00",
                "malformed HyperLogLog: overflow of bucket 0 by 0",
            ),
            (
                "03 04 00 f000000000000000 0100 0000 2f",
                "malformed HyperLogLog: overflow of bucket 0 by 47",
            ),
            (
                "03 04 00 ff00000000000000 0300 0100 0000 0100 010101",
                "malformed HyperLogLog: two overflows of bucket 1",
            ),
        ];
        for (bytes, message) in cases {
            let error = HyperLogLog::from_bytes(&unhex(bytes)).unwrap_err();
            assert_eq!(error.to_string(), message, "{bytes}");
        }
        // 0x2e is the highest value that fits; and Java accepts overflows in any order
        let sound = unhex("03 04 00 ff00000000000000 0200 0100 0000 2e01");
        assert_eq!(
            hex(&HyperLogLog::from_bytes(&sound).unwrap().to_bytes()),
            "030400ff0000000000000002000000010001".to_string() + "2e"
        );
    }

    #[test]
    fn a_refused_merge_changes_nothing() {
        let mut sketch = of_users(0..10);
        let before = sketch.clone();
        let error = sketch.merge(&of_bigints(4, 0..100)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot merge HyperLogLogs with 4096 and 16 buckets"
        );
        assert_eq!(
            sketch.merge_bytes(&of_bigints(4, 0..100).to_bytes()),
            Err(error)
        );
        let mut cut = of_users(5..600).to_bytes();
        cut.pop();
        assert!(sketch.merge_bytes(&cut).is_err());
        assert_eq!(sketch, before);
    }

    #[test]
    fn malformed_bytes_never_panic() {
        let mut random = Lcg(7);
        let overflowing = dense(of_hashes(6, odd_hashes(200, &mut random)));
        let samples = [
            HyperLogLog::new(),
            of_users(0..20),
            of_users(0..400),
            of_bigints(4, 0..100),
            overflowing,
            of_users(0..600),
        ];
        let mut refused = 0;
        for (i, sample) in samples.iter().enumerate() {
            for bytes in mutations(&sample.to_bytes(), 4000, i as u64) {
                let Ok(sketch) = HyperLogLog::from_bytes(&bytes) else {
                    refused += 1;
                    continue;
                };
                sketch.cardinality();
                assert_eq!(
                    HyperLogLog::from_bytes(&sketch.to_bytes()),
                    Ok(sketch.clone())
                );
                let mut sum = sample.clone();
                assert_eq!(sum.merge_bytes(&bytes), sample.clone().merge(&sketch));
            }
        }
        assert!(
            (8_000..23_000).contains(&refused),
            "of 24,000 refused {refused}"
        );
    }
}
