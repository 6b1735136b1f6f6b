//! TDigest: the quantiles of many numbers, most exact at both ends, in at most 1 KB.
//!
//! Bytes and behaviour are those of airlift's `stats/TDigest.java` with its default compression of 100. The digest is a
//! list of centroids, each the mean of neighbouring values and their weight. Centroids are few and light near the ends,
//! and heavy in the middle.
//!
//! Unlike a HyperLogLog's, the bytes depend on the order in which values were added, and on how they were split into
//! digests. Compare quantiles, with a tolerance.

use super::SketchError;

/// The name of this sketch in errors.
const SKETCH: &str = "TDigest";

const FORMAT_TAG: u8 = 0;
/// The compression that Trino's `tdigest_agg` uses.
const COMPRESSION: f64 = 100.0;
/// airlift refuses digests with a lower compression.
const COMPRESSION_MIN: f64 = 10.0;

/// A quantile digest, as Trino's type `tdigest`.
///
/// Takes 72 bytes, and on the heap 16 bytes per value until there are 1260 values. Then, and whenever the digest is
/// written, the values are compacted to about 60 to 100 centroids.
#[derive(Clone, Debug)]
pub struct TDigest {
    /// Ascending by mean, except for the centroids that were added since the last compaction.
    centroids: Vec<Centroid>,
    /// The length of airlift's arrays. A digest is compacted when they are full, so their length affects the result. A
    /// Vec's capacity can't replace it, because it may exceed what was requested.
    room: usize,
    min: f64,
    max: f64,
    total_weight: f64,
    compression: f64,
    /// The next compaction begins at the upper end. Directions alternate, because errors would add up otherwise.
    backwards: bool,
    /// Whether something was added since the last compaction.
    uncompacted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Centroid {
    mean: f64,
    weight: f64,
}

impl Default for TDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl TDigest {
    /// An empty digest with a compression of 100, like those of `tdigest_agg`. Nothing is allocated yet.
    pub fn new() -> Self {
        Self {
            centroids: Vec::new(),
            room: 1,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            total_weight: 0.0,
            compression: COMPRESSION,
            backwards: false,
            uncompacted: false,
        }
    }

    /// Adds `value` as if it occurred `weight` times. Trino itself adds no weights below 1.
    ///
    /// # Errors
    /// [`SketchError::Value`] if the value isn't finite; [`SketchError::Weight`] if the weight isn't finite and above 0,
    /// or the sum of weights becomes infinite; [`SketchError::Full`] for more than 1260 values with tiny weights. Nothing
    /// is added in these cases.
    pub fn add(&mut self, value: f64, weight: f64) -> Result<(), SketchError> {
        if !value.is_finite() {
            return Err(SketchError::Value {
                sketch: SKETCH,
                value,
            });
        }
        let total_weight = self.total_weight + weight;
        if !total_weight.is_finite() || weight <= 0.0 {
            return Err(SketchError::Weight {
                weight,
                total_weight: self.total_weight,
            });
        }
        if self.centroids.len() == self.room {
            self.make_room()?;
        }
        self.allocate_room();
        self.centroids.push(Centroid {
            mean: value,
            weight,
        });
        self.total_weight = total_weight;
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
        self.uncompacted = true;
        Ok(())
    }

    /// Adds all values that were added to `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.centroids.len() + other.centroids.len() <= self.room {
            return self.append(other);
        }
        self.compact_additions();
        if other.uncompacted {
            // airlift compacts `other` itself; here a compacted copy is enough
            let mut other = other.clone();
            other.compact_additions();
            self.append(&other);
        } else {
            self.append(other);
        }
    }

    /// Reads a digest.
    ///
    /// # Errors
    /// If the format tag or the length is wrong, the compression is below 10, a number isn't finite, a weight isn't above
    /// 0, or the totals contradict the centroids: see [`SketchError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut digest = Self::parse(bytes)?;
        digest.check()?;
        // not refused, because rounding can swap two means of huge weights
        digest.sort();
        Ok(digest)
    }

    /// Appends the bytes that `cast(varbinary AS tdigest)` reads: 37 bytes, and 16 for each centroid.
    ///
    /// As in airlift, this compacts the digest, so a second call may write slightly different bytes.
    pub fn write_to(&mut self, out: &mut Vec<u8>) {
        self.compact(self.compression);
        out.reserve(37 + 16 * self.centroids.len());
        out.push(FORMAT_TAG);
        for header in [self.min, self.max, self.compression, self.total_weight] {
            out.extend(header.to_le_bytes());
        }
        out.extend((self.centroids.len() as u32).to_le_bytes());
        out.extend(
            self.centroids
                .iter()
                .flat_map(|centroid| centroid.mean.to_le_bytes()),
        );
        out.extend(
            self.centroids
                .iter()
                .flat_map(|centroid| centroid.weight.to_le_bytes()),
        );
    }

    /// The bytes that [`Self::write_to`] appends.
    pub fn to_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes);
        bytes
    }

    /// The value below which `quantile` (0 to 1) of the weight lies, as in Trino's `value_at_quantile`. `None` if the
    /// digest is empty, or `quantile` is out of range.
    pub fn value_at(&mut self, quantile: f64) -> Option<f64> {
        if !(0.0..=1.0).contains(&quantile) {
            return None;
        }
        self.compact_additions();
        match *self.centroids {
            [] => None,
            [only] => Some(only.mean),
            [first, .., last] => Some(self.interpolate(quantile * self.total_weight, first, last)),
        }
    }

    /// The sum of all weights that were added: the number of values, if each weighed 1.
    pub fn total_weight(&self) -> f64 {
        self.total_weight
    }

    /// Allocated bytes, in addition to the size of the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.centroids.capacity() * size_of::<Centroid>()
    }

    /// Makes room for one more centroid, as in `TDigest.add`.
    fn make_room(&mut self) -> Result<(), SketchError> {
        // for the centroids that a compaction leaves, and five times as many values
        let room_max = (6.0 * (2.0 * self.compression + 10.0)) as usize;
        if self.room < room_max {
            self.room = (self.room * 2).clamp(1, room_max);
            return Ok(());
        }
        self.compact(2.0 * self.compression);
        if self.centroids.len() < self.room {
            return Ok(());
        }
        let (centroids, total_weight) = (self.centroids.len(), self.total_weight);
        Err(SketchError::Full {
            centroids,
            total_weight,
        })
    }

    /// Allocates exactly `room`. A Vec would allocate room for four, where most groups add one value.
    fn allocate_room(&mut self) {
        self.centroids
            .reserve_exact(self.room - self.centroids.len());
    }

    fn append(&mut self, other: &Self) {
        self.room = self.room.max(self.centroids.len() + other.centroids.len());
        self.allocate_room();
        self.centroids.extend_from_slice(&other.centroids);
        self.total_weight += other.total_weight;
        // Java's Math.min distinguishes -0.0 from 0.0, f64::min may not
        if other.min.total_cmp(&self.min).is_lt() {
            self.min = other.min;
        }
        if other.max.total_cmp(&self.max).is_gt() {
            self.max = other.max;
        }
        self.uncompacted = true;
    }

    /// Compacts less than for writing, so that a later compaction has more detail to decide on.
    fn compact_additions(&mut self) {
        if self.uncompacted {
            self.compact(2.0 * self.compression);
        }
    }

    /// `TDigest.merge`: sorts the centroids and folds neighbours into one.
    ///
    /// airlift's own sort isn't stable, and older versions had another one. If equal means differ in weight, two versions
    /// of airlift order them differently too.
    fn compact(&mut self, compression: f64) {
        if self.centroids.is_empty() {
            return;
        }
        self.sort();
        if self.backwards {
            self.centroids.reverse();
        }
        let folded = fold_neighbours(&mut self.centroids, self.total_weight, compression);
        self.centroids.truncate(folded);
        if self.backwards {
            self.centroids.reverse();
        }
        self.backwards = !self.backwards;
        self.uncompacted = false;
    }

    /// A stable sort. Adding 0.0 makes -0.0 equal to it, as for Java's `<`.
    fn sort(&mut self) {
        self.centroids
            .sort_by(|a, b| (a.mean + 0.0).total_cmp(&(b.mean + 0.0)));
    }

    /// The value at `offset` in the theoretical sequence of all values: `TDigest.valuesAt`. There must be at least two
    /// centroids; `first` and `last` are the outermost.
    fn interpolate(&self, offset: f64, first: Centroid, last: Centroid) -> f64 {
        let (low_half, high_half) = (first.weight / 2.0, last.weight / 2.0);
        let from_end = self.total_weight - offset;
        if offset < 1.0 {
            return self.min;
        }
        if offset < low_half {
            return self.min + rise(offset, 1.0, self.min, low_half, first.mean);
        }
        let below_max = offset <= self.total_weight - 1.0 && high_half > 1.0;
        // counted backwards from the end, so the rise is negative
        let towards_max = || self.max + rise(from_end, 1.0, self.max, high_half, last.mean);
        if below_max && from_end <= high_half {
            return towards_max();
        }
        if offset >= self.total_weight - 1.0 {
            return self.max;
        }
        let mut weight_so_far = low_half;
        for pair in self.centroids.windows(2) {
            let between = (pair[0].weight + pair[1].weight) / 2.0;
            if weight_so_far + between > offset {
                return value_between(pair[0], pair[1], offset - weight_so_far);
            }
            weight_so_far += between;
        }
        if below_max { towards_max() } else { self.max }
    }

    fn parse(bytes: &[u8]) -> Result<Self, SketchError> {
        let wrong_length = |expected_bytes| {
            let actual_bytes = bytes.len();
            SketchError::Length {
                sketch: SKETCH,
                expected_bytes,
                actual_bytes,
            }
        };
        let (&tag, body) = bytes.split_first().ok_or_else(|| wrong_length(37))?;
        if tag != FORMAT_TAG {
            return Err(SketchError::FormatTag {
                sketch: SKETCH,
                tag,
            });
        }
        let (header, body) = body
            .split_first_chunk::<36>()
            .ok_or_else(|| wrong_length(37))?;
        let (numbers, count) = header.as_chunks::<8>();
        let [min, max, compression, total_weight] = [0, 1, 2, 3].map(|i| number(&numbers[i]));
        // a negative count becomes a huge one, which no length matches
        let count = count
            .iter()
            .rev()
            .fold(0, |count, byte| count << 8 | u64::from(*byte));

        let (numbers, rest) = body.as_chunks::<8>();
        if numbers.len() as u64 != 2 * count || !rest.is_empty() {
            return Err(wrong_length(37 + 16 * count));
        }
        let (means, weights) = numbers.split_at(numbers.len() / 2);
        let centroids = means.iter().zip(weights);
        let centroids = centroids
            .map(|(mean, weight)| Centroid {
                mean: number(mean),
                weight: number(weight),
            })
            .collect();
        Ok(Self {
            centroids,
            room: means.len(),
            min,
            max,
            total_weight,
            compression,
            backwards: false,
            uncompacted: false,
        })
    }

    /// Refuses digests that airlift would read, but that no trusted writer produces. Merges would carry the error on, and
    /// it would show only as a quantile that no value had.
    fn check(&self) -> Result<(), SketchError> {
        // summing in another order changes the sum by less than this, a lost or doubled centroid by more
        const TOTAL_WEIGHT_TOLERANCE: f64 = 1e-6;
        let refuse = |problem| {
            Err(SketchError::Malformed {
                sketch: SKETCH,
                problem,
            })
        };

        if !(self.compression.is_finite() && self.compression >= COMPRESSION_MIN) {
            return refuse(format!("invalid compression {}", self.compression));
        }
        for (i, Centroid { mean, weight }) in self.centroids.iter().enumerate() {
            if !mean.is_finite() || !weight.is_finite() || *weight <= 0.0 {
                return refuse(format!(
                    "centroid {i} has the mean {mean} and the weight {weight}"
                ));
            }
        }
        let sum: f64 = self.centroids.iter().map(|centroid| centroid.weight).sum();
        let adds_up = (self.total_weight - sum).abs() <= TOTAL_WEIGHT_TOLERANCE * sum;
        if !adds_up {
            return refuse(format!(
                "the total weight is {}, but the centroids weigh {sum}",
                self.total_weight
            ));
        }
        let (min, max) = (self.min, self.max);
        let ordered = match *self.centroids {
            [] => min == f64::INFINITY && max == f64::NEG_INFINITY,
            _ => min.is_finite() && max.is_finite() && min <= max,
        };
        if !ordered {
            return refuse(format!("invalid minimum {min} and maximum {max}"));
        }
        Ok(())
    }
}

fn number(bytes: &[u8; 8]) -> f64 {
    f64::from_le_bytes(*bytes)
}

/// Folds each of `centroids`, sorted in either direction, into the one before it, unless the sum would be too heavy for
/// its quantile. Returns how many are left, at the front.
fn fold_neighbours(centroids: &mut [Centroid], total_weight: f64, compression: f64) -> usize {
    let normalizer = compression / (4.0 * (total_weight / compression).ln() + 24.0);
    let weight_share_max = |quantile: f64| quantile * (1.0 - quantile) / normalizer;

    let mut last = 0;
    let mut current = centroids[0];
    let mut weight_before = 0.0;
    let mut share_max = weight_share_max(0.0);
    for i in 1..centroids.len() {
        let next = centroids[i];
        let weight = current.weight + next.weight;
        let quantile = ((weight_before + weight) / total_weight).min(1.0);
        if weight <= total_weight * share_max.min(weight_share_max(quantile)) {
            current = Centroid {
                mean: weighted_mean(current, next, weight),
                weight,
            };
        } else {
            weight_before += current.weight;
            share_max = weight_share_max(weight_before / total_weight);
            last += 1;
            current = next;
        }
        centroids[last] = current;
    }
    last + 1
}

fn weighted_mean(a: Centroid, b: Centroid, weight: f64) -> f64 {
    let mean = a.mean + (b.mean - a.mean) * b.weight / weight;
    if mean.is_finite() {
        return mean;
    }
    // Java's formula overflows for values near the largest double; this one doesn't
    a.mean * (a.weight / weight) + b.mean * (b.weight / weight)
}

/// The value at `offset` after the middle of `left`, which is before the middle of `right`.
fn value_between(left: Centroid, right: Centroid, offset: f64) -> f64 {
    let left_half = left.weight / 2.0;
    // a centroid of weight 1 is itself a value, so within its half there is nothing to interpolate
    if left.weight == 1.0 && offset < left_half {
        return left.mean;
    }
    if right.weight == 1.0 && offset >= left_half {
        return right.mean;
    }
    let (offset, section) = if left.weight == 1.0 {
        (offset - left_half, right.weight / 2.0)
    } else if right.weight == 1.0 {
        (offset, left_half)
    } else {
        (offset, (left.weight + right.weight) / 2.0)
    };
    left.mean + rise(offset, 0.0, left.mean, section, right.mean)
}

/// How far `y` has risen above `y0` at `x`, if it rises linearly to `y1` at `x1`.
fn rise(x: f64, x0: f64, y0: f64, x1: f64, y1: f64) -> f64 {
    (x - x0) / (x1 - x0) * (y1 - y0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Lcg, mutations, sha256, unhex};
    use super::*;

    fn of_values(values: impl IntoIterator<Item = f64>) -> TDigest {
        let mut digest = TDigest::new();
        for value in values {
            digest.add(value, 1.0).unwrap();
        }
        digest
    }

    fn of_thousandths(count: u32) -> TDigest {
        of_values((1..=count).map(|i| f64::from(i) * 0.001))
    }

    /// The values of the vector `lcg10000`: 0 to 999.999, evenly distributed.
    fn random_values(count: usize) -> Vec<f64> {
        let mut random = Lcg(1);
        let values = (0..count).map(|_| random.below(1_000_000) as f64 / 1000.0);
        values.collect()
    }

    #[test]
    fn writes_small_digests_as_airlift_does() {
        let mut weighted = TDigest::new();
        weighted.add(2.0, 3.0).unwrap();
        weighted.add(1.0, 1.0).unwrap();
        let vectors = [
            (
                TDigest::new(),
                "00 000000000000f07f 000000000000f0ff 0000000000005940 0000000000000000 00000000",
            ),
            (
                of_values([1.5]),
                "00 000000000000f83f 000000000000f83f 0000000000005940 000000000000f03f 01000000
                 000000000000f83f 000000000000f03f",
            ),
            (
                of_values([1.0, 2.0, 3.0]),
                "00 000000000000f03f 0000000000000840 0000000000005940 0000000000000840 03000000
                 000000000000f03f 0000000000000040 0000000000000840
                 000000000000f03f 000000000000f03f 000000000000f03f",
            ),
            (
                weighted,
                "00 000000000000f03f 0000000000000040 0000000000005940 0000000000001040 02000000
                 000000000000f03f 0000000000000040 000000000000f03f 0000000000000840",
            ),
        ];
        for (mut digest, bytes) in vectors {
            assert_eq!(digest.to_bytes(), unhex(bytes), "{bytes}");
        }
    }

    #[test]
    fn writes_large_digests_as_airlift_does() {
        let vectors = [
            (
                10,
                10,
                [0.006, 0.01, 0.01],
                "4779a36d3461fd00c2f4cc6cad9a9eb22e47ff98c63206086c4e208d35b82f34",
            ),
            (
                20,
                20,
                [0.011, 0.019, 0.02],
                "c00e9beb8a3bc55f5e21f5a81f2487cfe23fd8e2ac4dfa012edcd921a46e0ba7",
            ),
            (
                100,
                42,
                [0.0505, 0.091, 0.1],
                "a6207d53c20f2bbb3a492baec6689416230b16ba079ccfec53d9daffbac303a2",
            ),
            (
                1000,
                50,
                [0.5005000000000001, 0.9005000000000001, 0.9905],
                "d08558479df7544c30353ff13a612e8646a8a62fec2eefde8aa13d0d6be9cce3",
            ),
            (
                10_000,
                59,
                [5.00049999999999, 9.000499999999985, 9.900500000000008],
                "e318df2b17e6cb01d7981f3eafc777449aa8af483326ac6c4149316799194fd1",
            ),
        ];
        for (count, centroids, quantiles, sha) in vectors {
            let mut digest = of_thousandths(count);
            let bytes = digest.to_bytes();
            assert_eq!(digest.centroids.len(), centroids, "{count} values");
            assert_eq!(sha256(&bytes), sha, "{count} values");
            assert_eq!(
                [0.5, 0.9, 0.99].map(|q| digest.value_at(q).unwrap()),
                quantiles
            );
        }
        let mut digest = of_values(random_values(10_000));
        let sha = "d3a70566fe69aaac676280c37d974b1194c7a5014aeec4d8df7e9084797d2411";
        assert_eq!(sha256(&digest.to_bytes()), sha);
        assert_eq!(digest.value_at(0.5), Some(506.9679147858691));
        assert_eq!(digest.value_at(0.99), Some(990.6940094728801));
    }

    #[test]
    fn reads_what_it_wrote() {
        for count in [0, 1, 2, 100, 10_000] {
            let mut digest = of_thousandths(count);
            let bytes = digest.to_bytes();
            let mut read = TDigest::from_bytes(&bytes).unwrap();
            assert_eq!(read.centroids, digest.centroids);
            assert_eq!(read.total_weight(), f64::from(count));
            for quantile in [0.0, 0.001, 0.3, 0.5, 0.99, 1.0] {
                assert_eq!(read.value_at(quantile), digest.value_at(quantile));
            }
            let mut merged = TDigest::new();
            merged.merge(&read);
            assert_eq!(merged.total_weight(), f64::from(count));
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        assert_eq!(TDigest::new().value_at(0.5), None);
        let mut digest = of_values([3.0, 1.0, 2.0]);
        let quantiles = [0.0, 0.3, 0.5, 0.7, 1.0].map(|q| digest.value_at(q).unwrap());
        assert_eq!(quantiles, [1.0, 1.0, 2.0, 3.0, 3.0]);
        for none in [-0.1, 1.1, f64::NAN] {
            assert_eq!(digest.value_at(none), None);
        }
        // TestTDigest.java: testTwoValueTDigest
        let mut heavy = TDigest::new();
        heavy.add(10.0, 99_999.999_999_999).unwrap();
        heavy.add(20.0, 99_999.999_999_999).unwrap();
        assert_eq!(heavy.value_at(0.75), Some(20.0));
    }

    #[test]
    fn merged_partitions_have_the_quantiles_of_the_whole() {
        for seed in 0..60 {
            let mut random = Lcg(seed);
            let mut values = random_values(20_000);
            if seed % 2 == 0 {
                values.iter_mut().for_each(|value| *value = value.powi(3)); // a long tail
            }
            let most = [2, 30, 2000, 9000][random.below(4) as usize];
            let mut digest = TDigest::new();
            let mut rest = &values[..];
            while !rest.is_empty() {
                let len = 1 + random.below(most.min(rest.len() as u64)) as usize;
                let (part, others) = rest.split_at(len);
                rest = others;
                let mut part = of_values(part.iter().copied());
                match random.below(3) {
                    0 => digest.merge(&part),
                    1 => digest.merge(&TDigest::from_bytes(&part.to_bytes()).unwrap()),
                    _ => {
                        part.merge(&digest);
                        digest = TDigest::from_bytes(&part.to_bytes()).unwrap();
                    }
                }
            }
            values.sort_by(f64::total_cmp);
            assert_eq!(digest.total_weight(), 20_000.0, "seed {seed}");
            assert_eq!(digest.value_at(0.0), Some(values[0]), "seed {seed}");
            assert_eq!(digest.value_at(1.0), Some(values[19_999]), "seed {seed}");
            for quantile in [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999] {
                let estimate = digest.value_at(quantile).unwrap();
                let rank = values.partition_point(|value| *value < estimate) as f64 / 20_000.0;
                let tolerance = 0.0005 + 0.1 * quantile * (1.0 - quantile);
                assert!(
                    (rank - quantile).abs() < tolerance,
                    "seed {seed}: {rank} for {quantile}"
                );
            }
            assert!(digest.to_bytes().len() < 2000);
        }
    }

    #[test]
    fn stays_small() {
        assert!(size_of::<TDigest>() <= 72);
        assert_eq!(TDigest::new().heap_bytes(), 0);
        for (values, heap_bytes) in [(1, 16), (2, 32), (3, 64), (1024, 16_384), (50_000, 20_160)] {
            assert_eq!(
                of_thousandths(values).heap_bytes(),
                heap_bytes,
                "{values} values"
            );
        }
        let mut many = TDigest::new();
        for _ in 0..5000 {
            many.merge(&of_thousandths(300));
        }
        assert!(many.heap_bytes() <= 10_000, "{}", many.heap_bytes());
    }

    #[test]
    fn adds_only_what_can_be_summed() {
        let mut digest = of_values([1.0]);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(
                digest.add(value, 1.0),
                Err(SketchError::Value { .. })
            ));
        }
        for weight in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            assert!(matches!(
                digest.add(1.0, weight),
                Err(SketchError::Weight { .. })
            ));
        }
        digest.add(1.0, f64::MAX).unwrap();
        assert!(matches!(
            digest.add(1.0, f64::MAX),
            Err(SketchError::Weight { .. })
        ));
        assert_eq!(digest.centroids.len(), 2);
    }

    #[test]
    fn refuses_more_weightless_values_than_fit() {
        let mut digest = TDigest::new();
        for i in 0..1260 {
            digest.add(f64::from(i), 1e-9).unwrap();
        }
        assert!(matches!(
            digest.add(0.0, 1e-9),
            Err(SketchError::Full {
                centroids: 1260,
                ..
            })
        ));
        assert_eq!(digest.to_bytes().len(), 37 + 16 * 1260);
    }

    #[test]
    fn the_largest_values_have_finite_means() {
        let values = (0..3000).map(|i| if i % 2 == 0 { f64::MAX } else { f64::MIN });
        let mut digest = of_values(values);
        let bytes = digest.to_bytes();
        let mut read = TDigest::from_bytes(&bytes).unwrap();
        assert_eq!(read.value_at(0.0), Some(f64::MIN));
        assert_eq!(read.value_at(1.0), Some(f64::MAX));
    }

    #[test]
    fn says_what_is_wrong_with_bytes() {
        let sound = of_values([1.0, 2.0]).to_bytes();
        let with = |at: usize, replacement: &[u8]| {
            let mut bytes = sound.clone();
            bytes[at..at + replacement.len()].copy_from_slice(replacement);
            bytes
        };
        let cases = [
            (vec![], "malformed TDigest: 0 bytes instead of 37"),
            (
                sound[..36].to_vec(),
                "malformed TDigest: 36 bytes instead of 37",
            ),
            (
                sound[..68].to_vec(),
                "malformed TDigest: 68 bytes instead of 69",
            ),
            (
                [&sound[..], &[0]].concat(),
                "malformed TDigest: 70 bytes instead of 69",
            ),
            (
                [&sound[..], &[0; 16]].concat(),
                "malformed TDigest: 85 bytes instead of 69",
            ),
            (with(0, &[2]), "not a TDigest: format tag 0x02"),
            (
                with(33, &[255; 4]),
                "malformed TDigest: 69 bytes instead of 68719476757",
            ),
            (
                with(17, &9.9f64.to_le_bytes()),
                "malformed TDigest: invalid compression 9.9",
            ),
            (
                with(17, &f64::NAN.to_le_bytes()),
                "malformed TDigest: invalid compression NaN",
            ),
            (
                with(25, &3f64.to_le_bytes()),
                "malformed TDigest: the total weight is 3, but the centroids weigh 2",
            ),
            (
                with(25, &f64::NAN.to_le_bytes()),
                "malformed TDigest: the total weight is NaN, but the centroids weigh 2",
            ),
            (
                with(1, &3f64.to_le_bytes()),
                "malformed TDigest: invalid minimum 3 and maximum 2",
            ),
            (
                with(9, &f64::NAN.to_le_bytes()),
                "malformed TDigest: invalid minimum 1 and maximum NaN",
            ),
            (
                with(37, &f64::NAN.to_le_bytes()),
                "malformed TDigest: centroid 0 has the mean NaN and the weight 1",
            ),
            (
                with(61, &0f64.to_le_bytes()),
                "malformed TDigest: centroid 1 has the mean 2 and the weight 0",
            ),
        ];
        for (bytes, message) in cases {
            assert_eq!(
                TDigest::from_bytes(&bytes).unwrap_err().to_string(),
                message
            );
        }
        let mut swapped = sound.clone();
        swapped[37..53].rotate_left(8);
        assert_eq!(TDigest::from_bytes(&swapped).unwrap().to_bytes(), sound);
    }

    #[test]
    fn malformed_bytes_never_panic() {
        let mut refused = 0;
        for (seed, count) in [0, 1, 5, 100, 10_000].into_iter().enumerate() {
            let mut sample = of_thousandths(count);
            for bytes in mutations(&sample.to_bytes(), 4000, seed as u64) {
                let Ok(mut digest) = TDigest::from_bytes(&bytes) else {
                    refused += 1;
                    continue;
                };
                digest.value_at(0.5);
                let mut sum = sample.clone();
                sum.merge(&digest);
                digest.merge(&sample);
                for _ in 0..100 {
                    let _ = digest.add(1.0, 1.0);
                }
                assert!(TDigest::from_bytes(&sum.to_bytes()).is_ok());
                assert!(TDigest::from_bytes(&digest.to_bytes()).is_ok());
            }
        }
        assert!(
            (8_000..19_500).contains(&refused),
            "of 20,000 refused {refused}"
        );
    }
}
