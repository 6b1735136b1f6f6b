//! XXH64 with seed 0, Trino's function `xxhash64`, and the hashes by it under which `approx_distinct` counts values.

use twox_hash::XxHash64;

/// The hash of bytes.
pub fn xx_hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// The hash of a varchar's UTF-8 bytes.
pub fn xx_hash_varchar(value: &str) -> u64 {
    xx_hash(value.as_bytes())
}

/// The hash of a bigint's eight bytes, little-endian.
pub fn xx_hash_bigint(value: i64) -> u64 {
    xx_hash(&value.to_le_bytes())
}

/// The hash of a double. All NaNs are the same value, and so are 0.0 and -0.0 (`DoubleType.xxHash64`).
pub fn xx_hash_double(value: f64) -> u64 {
    let value = match value {
        _ if value.is_nan() => f64::NAN,
        0.0 => 0.0,
        _ => value,
    };
    xx_hash_bigint(value.to_bits().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values: the reference implementation's.
    #[test]
    fn hashes_are_those_of_xxhash() {
        assert_eq!(xx_hash(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xx_hash(b"abc"), 0x44bc_2cf5_ad77_0999);
        assert_eq!(xx_hash_varchar(""), 0xef46_db37_51d8_e999);
        assert_eq!(xx_hash_varchar("a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xx_hash_double(-0.0), xx_hash_bigint(0));
        assert_eq!(xx_hash_double(-f64::NAN), xx_hash_double(f64::NAN));
    }
}
