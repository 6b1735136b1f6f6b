#![doc = include_str!("../README.md")]
#![warn(missing_docs, unreachable_pub)]

use wide::u8x16;

/// Bytes per block. One bit of a `u64` tells whether each of them matches.
const BLOCK_BYTES: usize = 64;

/// Bytes that one instruction compares.
const PIECE_BYTES: usize = 16;

/// The indices of all matching bytes in a text, in order.
pub struct Marks<'a, T> {
    text: &'a [u8],
    /// Tests sixteen bytes at once: sets all bits of a byte that matches, and clears all bits of one that doesn't.
    test: T,
    /// Index of the current block.
    block: usize,
    /// Index of the next block.
    next: usize,
    /// Matches in the current block that were not returned yet: a bit for each byte, the first byte in the lowest bit.
    found: u64,
}

/// A test that matches each of the given bytes.
#[inline(always)]
pub fn one_of<const N: usize>(marks: [u8; N]) -> impl Fn(u8x16) -> u8x16 {
    move |bytes| {
        let equal = marks.map(|mark| bytes.simd_eq(u8x16::splat(mark)));
        let any = equal.into_iter().reduce(|any, equal| any | equal);
        any.unwrap_or_default()
    }
}

impl<'a, T: Fn(u8x16) -> u8x16> Marks<'a, T> {
    /// Finds the matches from `start` on. The test must judge each byte independently.
    #[inline(always)]
    pub fn new(text: &'a [u8], start: usize, test: T) -> Self {
        Self {
            text,
            test,
            block: start,
            next: start,
            found: 0,
        }
    }

    /// The matches from `start` on, as a bit for each byte up to the end of the text. `start` must be in the text.
    #[inline(always)]
    fn find_from(&self, start: usize) -> u64 {
        let left = &self.text[start..];
        if let Some(block) = left.first_chunk() {
            self.find_in_block(block)
        } else if let Some(block) = self.text.last_chunk() {
            // The block repeats bytes that were searched before; the shift drops their bits.
            self.find_in_block(block) >> (BLOCK_BYTES - left.len())
        } else {
            self.find_in_short(left)
        }
    }

    #[inline(always)]
    fn find_in_block(&self, block: &[u8; BLOCK_BYTES]) -> u64 {
        let (pieces, _) = block.as_chunks();
        let mut found = 0;
        for (index, piece) in pieces.iter().enumerate() {
            found |= self.find_in_piece(*piece) << (index * PIECE_BYTES);
        }
        found
    }

    #[inline(always)]
    fn find_in_piece(&self, piece: [u8; PIECE_BYTES]) -> u64 {
        u64::from((self.test)(u8x16::new(piece)).to_bitmask())
    }

    #[inline(never)]
    fn find_in_short(&self, left: &[u8]) -> u64 {
        let mut block = [0; BLOCK_BYTES];
        block[..left.len()].copy_from_slice(left);
        self.find_in_block(&block) & ((1 << left.len()) - 1)
    }
}

impl<T: Fn(u8x16) -> u8x16> Iterator for Marks<'_, T> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            if self.next >= self.text.len() {
                return None;
            }
            self.found = self.find_from(self.next);
            self.block = self.next;
            self.next += BLOCK_BYTES;
        }
        let at = self.block + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_loop_finds() {
        let mut random = 1_u32;
        for length in 0..300 {
            for spread in [1, 3, 40] {
                let text: Vec<u8> = (0..length)
                    .map(|_| {
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        b"&=% \xe9\0"[(random >> 24) as usize % (6 * spread) % 6]
                    })
                    .collect();
                for start in [0, length / 2, length] {
                    let one: Vec<usize> = Marks::new(&text, start, one_of([b' '])).collect();
                    let three: Vec<usize> = Marks::new(&text, start, one_of(*b"&=\xe9")).collect();
                    let expected = |marks: &[u8]| -> Vec<usize> {
                        (start..length)
                            .filter(|&at| marks.contains(&text[at]))
                            .collect()
                    };
                    assert_eq!(one, expected(b" "));
                    assert_eq!(three, expected(b"&=\xe9"));
                }
            }
        }
    }
}
