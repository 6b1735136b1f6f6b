//! Hashes that wait to be inserted into the sketches of many groups.
//!
//! Inserting a hash into a sparse sketch searches its few entries, with a branch misprediction at every step. Here
//! tens of thousands of hashes are sorted at once by a radix sort, without any comparison, and each sketch merges its own
//! hashes in one pass. This takes about half of the time, and far fewer allocations.

use super::hyper_log_log::{ZEROS_BITS, prefix, sparse_entry};

/// Maximum number of waiting hashes. Each takes sixteen bytes.
const CAPACITY: usize = 64 * 1024;

/// Bits in a digit of the radix sort.
const DIGIT_BITS: u32 = 11;

/// Hashes, each with the group that it belongs to.
#[derive(Debug, Default)]
pub struct Waiting {
    /// The group in the upper half, a sparse entry of its sketch in the lower half.
    keys: Vec<u64>,
    /// The target buffer of the sort.
    sorted: Vec<u64>,
}

impl Waiting {
    /// Adds the hash of a value of this group. Returns whether it is time to [`drain`](Self::drain).
    #[inline]
    pub fn push(&mut self, group: usize, hash: u64) -> bool {
        // Groups fit in 32 bits: there is no memory for more.
        self.keys
            .push((group as u64) << u32::BITS | u64::from(sparse_entry(hash)));
        self.keys.len() >= CAPACITY
    }

    /// Passes each group to `each`, in order, with its entries, which strictly ascend by prefix.
    pub fn drain(&mut self, mut each: impl FnMut(usize, &[u32])) {
        self.sort();
        let mut entries: Vec<u32> = Vec::new();
        for of_group in self.keys.chunk_by(|one, next| group(*one) == group(*next)) {
            entries.clear();
            for key in of_group {
                let entry = *key as u32;
                match entries.last_mut() {
                    // of two entries with the same prefix, the larger has more zeros
                    Some(last) if prefix(*last) == prefix(entry) => *last = entry.max(*last),
                    _ => entries.push(entry),
                }
            }
            each(group(of_group[0]), &entries);
        }
        self.keys.clear();
    }

    /// Sorts by group and prefix: a stable radix sort that begins with the lowest digit.
    fn sort(&mut self) {
        let all = self.keys.iter().fold(0, |all, key| all | key);
        self.sorted.resize(self.keys.len(), 0);
        for shift in (ZEROS_BITS..u64::BITS - all.leading_zeros()).step_by(DIGIT_BITS as usize) {
            let digit = |key: u64| (key >> shift) as usize % (1 << DIGIT_BITS);
            let mut places = [0; 1 << DIGIT_BITS];
            for key in &self.keys {
                places[digit(*key)] += 1;
            }
            let mut start = 0;
            for place in &mut places {
                start += std::mem::replace(place, start);
            }
            for key in &self.keys {
                let place = &mut places[digit(*key)];
                self.sorted[*place] = *key;
                *place += 1;
            }
            std::mem::swap(&mut self.keys, &mut self.sorted);
        }
    }

    /// Bytes allocated.
    pub fn heap_bytes(&self) -> usize {
        (self.keys.capacity() + self.sorted.capacity()) * size_of::<u64>()
    }
}

fn group(key: u64) -> usize {
    (key >> u32::BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::super::HyperLogLog;
    use super::super::testing::Lcg;
    use super::*;

    #[test]
    fn sketches_become_what_they_are_without_waiting() {
        for (groups, hashes, distinct) in [
            (1, 10, 1 << 40),
            (3, 5_000, 1 << 40),
            (3, 5_000, 50),
            (40_000, 100_000, 1 << 40),
        ] {
            let mut random = Lcg(groups as u64);
            let mut expected = vec![HyperLogLog::new(); groups];
            let mut sketches = expected.clone();
            let mut waiting = Waiting::default();
            let mut drains = 0;
            let mut drain = |waiting: &mut Waiting| {
                drains += 1;
                waiting.drain(|group, entries| sketches[group].insert_entries(entries));
            };
            for _ in 0..hashes {
                let group = random.below(groups as u64) as usize;
                // some with many zeros after the prefix, and a few prefixes that differ in nothing else
                let hash = random.below(distinct).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    & (u64::MAX << random.below(40));
                expected[group].insert_hash(hash);
                if waiting.push(group, hash) {
                    drain(&mut waiting);
                }
            }
            drain(&mut waiting);
            drain(&mut waiting);
            assert_eq!(drains, 2 + hashes / CAPACITY);
            for (sketch, expected) in sketches.iter().zip(&expected) {
                assert_eq!(sketch.to_bytes(), expected.to_bytes());
            }
        }
    }
}
