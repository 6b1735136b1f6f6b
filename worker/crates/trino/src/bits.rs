//! Functions of bits. A shift by a negative number of bits is taken modulo 64, as in Java.

/// An integer type of so many bits, whose values are held in 64.
#[derive(Debug, Clone, Copy)]
pub struct Width(pub u32);

impl Width {
    /// The value of the low bits, with their own sign.
    fn signed(self, value: i64) -> i64 {
        let unused = 64_u32.saturating_sub(self.0);
        value.wrapping_shl(unused).wrapping_shr(unused)
    }

    /// The value of the low bits, without a sign.
    fn unsigned(self, value: i64) -> u64 {
        let unused = 64_u32.saturating_sub(self.0);
        (value as u64).wrapping_shl(unused).wrapping_shr(unused)
    }

    /// `bitwise_left_shift`.
    pub fn left(self, value: i64, shift: i64) -> i64 {
        match shift >= 64 {
            true => 0,
            false => self.signed(value.wrapping_shl(shift as u32)),
        }
    }

    /// `bitwise_right_shift`, which fills with zeros.
    pub fn right(self, value: i64, shift: i64) -> i64 {
        match shift {
            0 => value,
            64.. => 0,
            _ => self.signed(self.unsigned(value).wrapping_shr(shift as u32) as i64),
        }
    }

    /// `bitwise_right_shift_arithmetic`, which fills with the sign.
    pub fn right_arithmetic(self, value: i64, shift: i64) -> i64 {
        match shift >= 64 {
            true => value >> 63,
            false => self.signed(value).wrapping_shr(shift as u32),
        }
    }
}

/// `bit_count(number, bits)`: the ones among the bits of a number in two's complement.
pub fn bit_count(number: i64, bits: i64) -> Result<i64, String> {
    let width = match u32::try_from(bits) {
        Ok(bits @ 2..=64) => Width(bits),
        _ => {
            return Err(format!(
                "Bits specified in bit_count must be between 2 and 64, got {bits}"
            ));
        }
    };
    match width.signed(number) == number {
        true => Ok(i64::from(width.unsigned(number).count_ones())),
        false => Err(format!(
            "Number must be representable with the bits specified. {number} cannot be represented with {bits} bits"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_are_trinos() {
        let (tiny, big) = (Width(8), Width(64));
        assert_eq!(tiny.left(1, 7), -128);
        assert_eq!(tiny.left(1, 8), 0);
        assert_eq!(tiny.right(-1, 1), 127);
        assert_eq!(tiny.right(-1, 0), -1);
        assert_eq!(big.right(-1, 1), i64::MAX);
        assert_eq!(big.right(-1, 64), 0);
        assert_eq!(big.right_arithmetic(-8, 2), -2);
        assert_eq!(big.right_arithmetic(-8, 100), -1);
        assert_eq!(big.left(1, -1), i64::MIN);
    }

    #[test]
    fn ones_are_counted_within_the_bits() {
        assert_eq!(bit_count(-7, 8), Ok(6));
        assert_eq!(bit_count(i64::MIN, 64), Ok(1));
        assert!(bit_count(8, 4).is_err());
        assert_eq!(bit_count(-8, 4), Ok(1));
        assert!(bit_count(1, 1).is_err() && bit_count(1, 65).is_err());
    }
}
