//! MurmurHash3 x64_128 with seed 0. The sketches use its first 64 bits.
//!
//! The same as `hash64` in `Murmur3Hash128.java` of airlift/slice, which `approx_set` uses for its HyperLogLog. With any
//! other hash, a stored sketch could still be read, but its union with a sketch from Trino would count every value twice.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The low 64 bits of Murmur3 x64_128 (seed 0) of `bytes`.
pub fn hash64(bytes: &[u8]) -> u64 {
    let (blocks, tail) = bytes.as_chunks::<16>();
    let (mut h1, mut h2) = (0, 0);
    for block in blocks {
        let (k1, k2) = halves(*block);
        h1 = (h1 ^ scramble_first(k1)).rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ scramble_second(k2)).rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    // zeros scramble to zero, so a padded tail has the same hash as the reference's byte-wise tail
    let mut padded = [0; 16];
    padded[..tail.len()].copy_from_slice(tail);
    let (k1, k2) = halves(padded);
    finish(
        h1 ^ scramble_first(k1),
        h2 ^ scramble_second(k2),
        bytes.len(),
    )
}

/// `hash64` of the eight little-endian bytes of `value`, without the loop.
pub(crate) fn hash64_of_u64(value: u64) -> u64 {
    finish(scramble_first(value), 0, size_of::<u64>())
}

fn halves(block: [u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(block);
    (both as u64, (both >> 64) as u64)
}

fn scramble_first(k1: u64) -> u64 {
    k1.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn scramble_second(k2: u64) -> u64 {
    k2.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn finish(h1: u64, h2: u64, length_bytes: usize) -> u64 {
    let h1 = h1 ^ length_bytes as u64;
    let h2 = h2 ^ length_bytes as u64;
    let h1 = h1.wrapping_add(h2);
    let h2 = h2.wrapping_add(h1);
    avalanche(h1).wrapping_add(avalanche(h2))
}

fn avalanche(mut k: u64) -> u64 {
    k = (k ^ (k >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    k = (k ^ (k >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_airlift_does() {
        let vectors = [
            ("", 0),
            ("a", 0x8555_5565_f659_7889),
            ("alice", 0x4f1a_4f97_e8b3_55aa),
            ("192.168.131.39", 0x766f_3d57_38f2_9588),
            ("0123456789abcdef", 0x4be0_6d94_cf4a_d1a7),
            (
                "https://example.com/some/longer/path?x=1",
                0x6dde_0849_f44a_c1a7,
            ),
            ("héllo", 0x4e31_7b11_7285_5c8a),
        ];
        for (text, hash) in vectors {
            assert_eq!(hash64(text.as_bytes()), hash, "{text:?}");
        }
    }

    #[test]
    fn a_number_hashes_as_its_little_endian_bytes() {
        for value in [0, 1, 42, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(hash64_of_u64(value), hash64(&value.to_le_bytes()));
        }
    }
}
