//! Trino's `width_bucket`.

use std::fmt;

/// Why a number has no bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BucketError {
    /// The number of buckets is below 1.
    Count,
    /// The number is NaN.
    NotANumber,
    /// A bound is NaN or infinite. `true`: the first one.
    InfiniteBound(bool),
    /// Both bounds are equal.
    EqualBounds,
    /// The bucket's number is beyond a bigint.
    OutOfRange(f64),
    /// There are no bins.
    NoBins,
    /// A bin is NaN or infinite.
    InfiniteBin(f64),
    /// A bin is less than the one before it.
    NotSorted,
}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("bucketCount must be greater than 0"),
            Self::NotANumber => f.write_str("operand must not be NaN"),
            Self::InfiniteBound(true) => f.write_str("first bound must be finite"),
            Self::InfiniteBound(false) => f.write_str("second bound must be finite"),
            Self::EqualBounds => f.write_str("bounds cannot equal each other"),
            Self::OutOfRange(number) => write!(f, "Bucket for value {number} is out of range"),
            Self::NoBins => f.write_str("Bins cannot be an empty array"),
            Self::InfiniteBin(bin) => write!(f, "Bin values must be finite, but got {bin}"),
            Self::NotSorted => f.write_str("Bin values are not sorted in ascending order"),
        }
    }
}

impl std::error::Error for BucketError {}

/// The bucket of a number among `count` buckets of equal width between the bounds: 0 below them, and `count + 1` above. If the first bound
/// is the greater one, buckets count down.
///
/// # Errors
///
/// The number is NaN, or there are no such buckets.
pub fn bucket_of_equal_widths(
    number: f64,
    (first, second): (f64, f64),
    count: i64,
) -> Result<i64, BucketError> {
    if count <= 0 {
        return Err(BucketError::Count);
    }
    if number.is_nan() {
        return Err(BucketError::NotANumber);
    }
    if !first.is_finite() || !second.is_finite() {
        return Err(BucketError::InfiniteBound(!first.is_finite()));
    }
    if first == second {
        return Err(BucketError::EqualBounds);
    }
    let (lower, upper) = (first.min(second), first.max(second));
    let beyond = count.checked_add(1).ok_or(BucketError::OutOfRange(number));
    let bucket = if number < lower {
        0
    } else if number >= upper {
        beyond?
    } else {
        (count as f64 * (number - lower) / (upper - lower) + 1.0) as i64
    };
    Ok(match first > second {
        // Java wraps around.
        true => count.wrapping_sub(bucket).wrapping_add(1),
        false => bucket,
    })
}

/// The number of bins that are at most this number. Bins are in ascending order.
///
/// # Errors
///
/// The number is NaN; or bins that the search has seen are not finite, or not in order.
pub fn bucket_of_bins(number: f64, bins: &[f64]) -> Result<i64, BucketError> {
    if bins.is_empty() {
        return Err(BucketError::NoBins);
    }
    if number.is_nan() {
        return Err(BucketError::NotANumber);
    }
    // The same steps as Trino's, because only bins that it sees are checked.
    let (mut lower, mut upper) = (0, bins.len());
    while lower < upper {
        let middle = (lower + upper) / 2;
        let (Some(first), Some(bin), Some(last)) =
            (bins.get(lower), bins.get(middle), bins.get(upper - 1))
        else {
            break;
        };
        if first > last {
            return Err(BucketError::NotSorted);
        }
        if !bin.is_finite() {
            return Err(BucketError::InfiniteBin(*bin));
        }
        match number < *bin {
            true => upper = middle,
            false => lower = middle + 1,
        }
    }
    Ok(lower as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values: Trino's TestMathFunctions.java.
    #[test]
    fn buckets_of_equal_widths_are_trinos() {
        let bucket = |number, first, second, count| {
            bucket_of_equal_widths(number, (first, second), count).unwrap()
        };
        assert_eq!(bucket(3.1, 0.0, 4.0, 3), 3);
        assert_eq!(bucket(2.0, 0.0, 4.0, 3), 2);
        assert_eq!(bucket(f64::INFINITY, 0.0, 4.0, 3), 4);
        assert_eq!(bucket(-1.0, 0.0, 3.2, 4), 0);
        assert_eq!(bucket(3.1, 4.0, 0.0, 3), 1);
        assert_eq!(bucket(2.0, 4.0, 0.0, 3), 2);
        assert_eq!(bucket(f64::INFINITY, 4.0, 0.0, 3), 0);
        assert_eq!(bucket(-1.0, 3.2, 0.0, 4), 5);
        assert!(bucket_of_equal_widths(3.1, (0.0, 4.0), 0).is_err());
        assert!(bucket_of_equal_widths(f64::NAN, (0.0, 4.0), 3).is_err());
        assert!(bucket_of_equal_widths(3.1, (f64::NAN, 0.0), 3).is_err());
        assert!(bucket_of_equal_widths(3.1, (0.0, 0.0), 3).is_err());
        assert!(bucket_of_equal_widths(9.0, (0.0, 1.0), i64::MAX).is_err());
    }

    #[test]
    fn buckets_of_bins_are_trinos() {
        let bins = [0.0, 2.0, 4.0];
        assert_eq!(bucket_of_bins(3.1, &bins), Ok(2));
        assert_eq!(bucket_of_bins(f64::INFINITY, &bins), Ok(3));
        assert_eq!(bucket_of_bins(-1.0, &bins), Ok(0));
        assert_eq!(bucket_of_bins(2.0, &bins), Ok(2));
        assert_eq!(bucket_of_bins(1.0, &[]), Err(BucketError::NoBins));
        assert_eq!(
            bucket_of_bins(3.145, &[1.0, 0.0]),
            Err(BucketError::NotSorted)
        );
        assert!(bucket_of_bins(3.145, &[0.0, f64::INFINITY]).is_err());
        assert!(bucket_of_bins(f64::NAN, &bins).is_err());
    }
}
