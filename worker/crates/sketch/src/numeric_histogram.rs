//! A histogram of numbers with a bounded number of buckets: `numeric_histogram` of Trino.
//!
//! As in Trino's `NumericHistogram.java`, each distinct value begins as a bucket of its own. When there are too many, the two neighbours
//! that lose the least by it become one bucket, at their weighted mean (Ben-Haim and Tom-Tov, "A Streaming Parallel Decision Tree
//! Algorithm", 2010). Which buckets remain depends a little on the order of values.

use super::SketchError;

/// The name of this sketch in errors.
const SKETCH: &str = "histogram";

/// Values that wait to be merged into buckets, beyond the number of buckets.
const BUFFER: usize = 100;

/// Bytes of a bucket: its value and its weight.
const BUCKET_BYTES: usize = 2 * size_of::<f64>();

/// A histogram of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct NumericHistogram {
    buckets_max: usize,
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    value: f64,
    weight: f64,
}

impl Bucket {
    fn with(self, next: Self) -> Self {
        let weight = self.weight + next.weight;
        Self {
            value: (self.value * self.weight + next.value * next.weight) / weight,
            weight,
        }
    }

    /// The loss of merging this bucket with the next: Ward's criterion.
    fn penalty(self, next: Self) -> f64 {
        let distance = self.value - next.value;
        distance * distance * (self.weight * next.weight) / (self.weight + next.weight)
    }
}

impl NumericHistogram {
    /// An empty histogram of at most `buckets_max` buckets, at least 2.
    pub fn new(buckets_max: usize) -> Self {
        Self {
            buckets_max: buckets_max.max(2),
            buckets: Vec::new(),
        }
    }

    /// Adds `value` as if it occurred `weight` times.
    ///
    /// # Errors
    /// [`SketchError::Value`] if the value or the weight isn't finite.
    pub fn add(&mut self, value: f64, weight: f64) -> Result<(), SketchError> {
        for number in [value, weight] {
            if !number.is_finite() {
                return Err(SketchError::Value {
                    sketch: SKETCH,
                    value: number,
                });
            }
        }
        if self.buckets.len() >= self.buckets_max + BUFFER {
            self.compact();
        }
        self.buckets.push(Bucket { value, weight });
        Ok(())
    }

    /// Adds the buckets that [`Self::write_to`] has written.
    ///
    /// # Errors
    /// [`SketchError::Malformed`] if the length is not that of whole buckets; [`SketchError::Value`] if a number isn't finite.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), SketchError> {
        for (value, weight) in Self::read(bytes)? {
            self.add(value, weight)?;
        }
        Ok(())
    }

    /// Appends the buckets in the order of their values: of each the value and the weight, as eight bytes, big-endian, which Athena
    /// reads with `from_ieee754_64`.
    pub fn write_to(&mut self, out: &mut Vec<u8>) {
        self.compact();
        for bucket in &self.buckets {
            out.extend(bucket.value.to_be_bytes());
            out.extend(bucket.weight.to_be_bytes());
        }
    }

    /// The values and weights of buckets that [`Self::write_to`] has written.
    ///
    /// # Errors
    /// [`SketchError::Malformed`] if the length is not that of whole buckets.
    pub fn read(bytes: &[u8]) -> Result<Vec<(f64, f64)>, SketchError> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || !bytes.len().is_multiple_of(BUCKET_BYTES) {
            return Err(SketchError::Malformed {
                sketch: SKETCH,
                problem: format!("{} bytes are no whole number of buckets", bytes.len()),
            });
        }
        let (pairs, _) = numbers.as_chunks::<2>();
        let pairs = pairs
            .iter()
            .map(|[value, weight]| (f64::from_be_bytes(*value), f64::from_be_bytes(*weight)));
        Ok(pairs.collect())
    }

    /// Allocated bytes, in addition to the size of the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    fn compact(&mut self) {
        self.buckets
            .sort_by(|one, other| one.value.total_cmp(&other.value));
        self.buckets.dedup_by(|next, kept| {
            let is_same = next.value == kept.value;
            if is_same {
                kept.weight += next.weight;
            }
            is_same
        });
        while self.buckets.len() > self.buckets_max {
            let pairs = self.buckets.windows(2).enumerate();
            let penalties = pairs.map(|(place, pair)| (place, pair[0].penalty(pair[1])));
            // Of equal penalties, the first.
            let cheapest = penalties.min_by(|(_, one), (_, other)| one.total_cmp(other));
            let Some((place, _)) = cheapest else { return };
            let next = self.buckets.remove(place + 1);
            self.buckets[place] = self.buckets[place].with(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(mut histogram: NumericHistogram) -> Vec<(f64, f64)> {
        let mut bytes = Vec::new();
        histogram.write_to(&mut bytes);
        NumericHistogram::read(&bytes).unwrap()
    }

    #[test]
    fn few_values_are_kept_exactly() {
        let mut histogram = NumericHistogram::new(3);
        for value in [5.0, 1.0, 5.0, -2.5, 5.0] {
            histogram.add(value, 1.0).unwrap();
        }
        assert_eq!(buckets(histogram), [(-2.5, 1.0), (1.0, 1.0), (5.0, 3.0)]);
    }

    #[test]
    fn the_nearest_values_share_a_bucket() {
        let mut histogram = NumericHistogram::new(2);
        for value in [1.0, 2.0, 10.0, 12.0, 12.0] {
            histogram.add(value, 1.0).unwrap();
        }
        let expected = [(1.5, 2.0), (34.0 / 3.0, 3.0)];
        assert_eq!(buckets(histogram), expected);
    }

    #[test]
    fn merged_histograms_have_all_weight() {
        let mut whole = NumericHistogram::new(8);
        let mut merged = NumericHistogram::new(8);
        for part in 0..5 {
            let mut own = NumericHistogram::new(8);
            for n in 0..1000 {
                let value = f64::from((n * 7919 + part) % 1009);
                whole.add(value, 1.0).unwrap();
                own.add(value, 1.0).unwrap();
            }
            let mut bytes = Vec::new();
            own.write_to(&mut bytes);
            assert_eq!(bytes.len(), 8 * BUCKET_BYTES);
            merged.merge_bytes(&bytes).unwrap();
        }
        let mean = |buckets: &[(f64, f64)]| -> f64 {
            let sum: f64 = buckets.iter().map(|(value, weight)| value * weight).sum();
            sum / buckets.iter().map(|(_, weight)| weight).sum::<f64>()
        };
        let (whole, merged) = (buckets(whole), buckets(merged));
        for found in [&whole, &merged] {
            assert_eq!(found.iter().map(|(_, weight)| weight).sum::<f64>(), 5000.0);
            assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        assert!((mean(&whole) - mean(&merged)).abs() < 1e-9);
        assert!(NumericHistogram::read(&[0; 24]).is_err());
        assert!(NumericHistogram::new(2).add(f64::NAN, 1.0).is_err());
    }
}
