//! The points of lines over time, in bounded memory: points are put into buckets of time, which become wider when there are
//! too many. A bucket keeps its first, lowest, highest and last value, so a peak is drawn however many rows there are.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// Buckets of all lines. A terminal has a few hundred columns.
const BUCKETS_MAX: usize = 100_000;

/// Keys that are kept apart. The largest of them are drawn.
pub(super) const KEYS_MAX: usize = 1000;

/// A value at a time, in milliseconds since 1970.
type Point = (i64, f64);

/// A span of time of one line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    first: Point,
    lowest: Point,
    highest: Point,
    last: Point,
}

impl Bucket {
    fn of(point: Point) -> Self {
        Self {
            first: point,
            lowest: point,
            highest: point,
            last: point,
        }
    }

    fn add(&mut self, other: &Self) {
        if other.first.0 < self.first.0 {
            self.first = other.first;
        }
        if other.last.0 >= self.last.0 {
            self.last = other.last;
        }
        if other.lowest.1 < self.lowest.1 {
            self.lowest = other.lowest;
        }
        if other.highest.1 > self.highest.1 {
            self.highest = other.highest;
        }
    }
}

/// One line.
#[derive(Debug, Default, Clone)]
pub(super) struct Line {
    buckets: BTreeMap<i64, Bucket>,
    /// The sum of its values' sizes, by which lines are chosen.
    pub(super) size: f64,
}

impl Line {
    /// The points to connect, in the order of time.
    pub(super) fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        for bucket in self.buckets.values() {
            let mut of_bucket = [bucket.first, bucket.lowest, bucket.highest, bucket.last];
            of_bucket.sort_by_key(|(time, _)| *time);
            points.extend(of_bucket);
        }
        points.dedup();
        points
    }
}

/// The lines of a chart, by their keys. Each key has a line for each column with numbers.
#[derive(Debug)]
pub(super) struct Series {
    numbers: usize,
    pub(super) lines: HashMap<String, Vec<Line>>,
    /// The width of a bucket, in milliseconds.
    width: i64,
    buckets: usize,
    buckets_max: usize,
    /// Rows of keys beyond [`KEYS_MAX`].
    pub(super) rows_of_other_keys: u64,
    /// Whether rows with one key have the same time.
    pub(super) has_same_times: bool,
}

impl Series {
    pub(super) fn new(numbers: usize) -> Self {
        Self::with_buckets(numbers, BUCKETS_MAX)
    }

    fn with_buckets(numbers: usize, buckets_max: usize) -> Self {
        Self {
            numbers,
            lines: HashMap::new(),
            width: 1,
            buckets: 0,
            buckets_max,
            rows_of_other_keys: 0,
            has_same_times: false,
        }
    }

    /// Adds a row: one value for each column with numbers, `None` where it has none.
    pub(super) fn add(&mut self, key: &str, time: i64, values: impl Iterator<Item = Option<f64>>) {
        if !self.lines.contains_key(key) {
            if self.lines.len() == KEYS_MAX {
                self.rows_of_other_keys += 1;
                return;
            }
            let lines = vec![Line::default(); self.numbers];
            self.lines.insert(key.to_owned(), lines);
        }
        let Some(lines) = self.lines.get_mut(key) else {
            return;
        };
        for (line, value) in lines.iter_mut().zip(values) {
            let Some(value) = value else {
                continue;
            };
            line.size += value.abs();
            let bucket = Bucket::of((time, value));
            match line.buckets.entry(time.div_euclid(self.width)) {
                Entry::Vacant(place) => {
                    place.insert(bucket);
                    self.buckets += 1;
                }
                Entry::Occupied(mut there) => {
                    let there = there.get_mut();
                    self.has_same_times |= [there.first.0, there.last.0].contains(&time);
                    there.add(&bucket);
                }
            }
        }
        while self.buckets > self.buckets_max && self.width < i64::MAX / 2 {
            self.widen();
        }
    }

    /// Makes each bucket twice as wide.
    fn widen(&mut self) {
        self.width *= 2;
        self.buckets = 0;
        for line in self.lines.values_mut().flatten() {
            let mut wider: BTreeMap<i64, Bucket> = BTreeMap::new();
            for (place, bucket) in std::mem::take(&mut line.buckets) {
                let there = wider.entry(place.div_euclid(2)).or_insert(bucket);
                there.add(&bucket);
            }
            self.buckets += wider.len();
            line.buckets = wider;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_stays_in_any_number_of_rows() {
        let mut series = Series::with_buckets(1, 100);
        // In an order that is not that of time.
        for n in 0..100_000_i64 {
            let time = n * 7919 % 100_000;
            let value = if time == 31_415 {
                1e6
            } else {
                (time % 10) as f64
            };
            series.add("", time * 1000 - 5_000_000, std::iter::once(Some(value)));
        }
        assert!(series.buckets <= 100 && series.buckets > 40);
        let points = series.lines[""][0].points();
        assert!(points.contains(&(31_415_000 - 5_000_000, 1e6)));
        assert_eq!(points.first(), Some(&(-5_000_000, 0.0)));
        assert_eq!(points.last(), Some(&(94_999_000, 9.0)));
        assert!(points.is_sorted_by_key(|(time, _)| *time));
        assert!(!series.has_same_times);
    }

    #[test]
    fn few_rows_are_points_as_they_are() {
        let mut series = Series::new(2);
        for (time, value) in [(20, Some(2.0)), (10, Some(1.0)), (30, None)] {
            series.add("a", time, [value, Some(0.0)].into_iter());
        }
        let lines = &series.lines["a"];
        assert_eq!(lines[0].points(), [(10, 1.0), (20, 2.0)]);
        assert_eq!(lines[1].points(), [(10, 0.0), (20, 0.0), (30, 0.0)]);
        series.add("a", 30, [None, Some(1.0)].into_iter());
        assert!(series.has_same_times);
    }

    #[test]
    fn keys_are_bounded() {
        let mut series = Series::new(1);
        for key in 0..KEYS_MAX + 7 {
            series.add(&key.to_string(), 0, std::iter::once(Some(1.0)));
        }
        assert_eq!(series.lines.len(), KEYS_MAX);
        assert_eq!(series.rows_of_other_keys, 7);
        let mut extremes = Series::with_buckets(1, 1);
        for time in [i64::MIN, 0, i64::MAX] {
            extremes.add("", time, std::iter::once(Some(1.0)));
        }
        assert_eq!(extremes.lines[""][0].points().len(), 3);
    }
}
