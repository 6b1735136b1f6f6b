//! The tables in which a decoder looks up the next bits, and how they are built from the codes of a block.

/// Bits that index the tables. Longer codes, which are rare, continue in a subtable.
pub(super) const LITERAL_BITS: u32 = 11;
pub(super) const DISTANCE_BITS: u32 = 8;
pub(super) const LENGTH_CODE_BITS: u32 = 7;

/// Maximum entries of a table with all its subtables: zlib's `examples/enough.c` for 288 and 32 symbols, as in
/// libdeflate.
pub(super) const LITERAL_ENTRIES: usize = 2342;
pub(super) const DISTANCE_ENTRIES: usize = 402;

/// The symbol that ends a block. The symbols after it are lengths.
pub(super) const END_OF_BLOCK: usize = 256;

/// The meaning of the next bits.
///
/// | bits  | |
/// |-------|-|
/// | 0–5   | bits to consume, extra bits included |
/// | 6–7   | number of literals, 0 to 2 |
/// | 8–13  | for a length or distance, the bits to consume without extra bits; for a subtable, the bits that index it |
/// | 14    | set for a length or distance |
/// | 15    | set for literals without a length |
/// | 16–23 | the first literal |
/// | 24–31 | the second literal, or the shortest length minus 3 |
/// | 16–31 | for a distance, the shortest; for a subtable, its index; for the end of the block, 1 |
///
/// Bits that are not a code have the entry 0.
pub(super) type Entry = u32;

pub(super) const LENGTH: Entry = 1 << 14;
pub(super) const LITERALS: Entry = 1 << 15;
const END: Entry = 1 << 16;

const MIN_MATCH_BYTES: usize = 3;

pub(super) const fn taken_bits(entry: Entry) -> u32 {
    entry & 63
}

pub(super) const fn literals(entry: Entry) -> usize {
    (entry >> 6) as usize & 3
}

pub(super) const fn code_bits(entry: Entry) -> u32 {
    (entry >> 8) & 63
}

pub(super) const fn is_symbol(entry: Entry) -> bool {
    entry & (LITERALS | LENGTH) != 0
}

pub(super) const fn is_end(entry: Entry) -> bool {
    !is_symbol(entry) && entry >> 16 == END >> 16
}

pub(super) const fn is_subtable(entry: Entry) -> bool {
    !is_symbol(entry) && entry >> 16 > END >> 16
}

pub(super) const fn subtable_entry(entry: Entry, bits: u64) -> usize {
    (entry >> 16) as usize + low(bits, code_bits(entry)) as usize
}

pub(super) const fn low(bits: u64, count: u32) -> u64 {
    bits & ((1 << (count & 63)) - 1)
}

/// The extra bits of a length or distance. `bits` begins with the code.
pub(super) const fn extra_bits(entry: Entry, bits: u64) -> usize {
    // The same as `low`, but computed from a shift that is needed anyway.
    let taken = bits ^ bits.wrapping_shr(entry).wrapping_shl(entry);
    (taken >> code_bits(entry)) as usize
}

pub(super) const fn length(entry: Entry, bits: u64) -> usize {
    (entry >> 24) as usize + MIN_MATCH_BYTES + extra_bits(entry, bits)
}

pub(super) const fn distance(entry: Entry, bits: u64) -> usize {
    (entry >> 16) as usize + extra_bits(entry, bits)
}

/// The part of the entry of each literal or length that does not depend on the code (RFC 1951, 3.2.5).
static LITERAL_SYMBOLS: [Entry; 288] = {
    let mut symbols = [0; 288];
    let mut symbol = 0;
    while symbol < END_OF_BLOCK {
        symbols[symbol] = LITERALS | (symbol as u32) << 16 | 1 << 6;
        symbol += 1;
    }
    symbols[END_OF_BLOCK] = END;
    let mut symbol = END_OF_BLOCK + 1;
    let mut base = 0;
    while symbol < END_OF_BLOCK + 29 {
        let extra = match symbol - END_OF_BLOCK {
            1..9 => 0,
            symbol => (symbol as u32 - 5) / 4,
        };
        symbols[symbol] = LENGTH | base << 24 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    // The longest length has its own code.
    symbols[symbol] = LENGTH | (258 - MIN_MATCH_BYTES as u32) << 24;
    symbols
};

pub(super) static DISTANCE_SYMBOLS: [Entry; 32] = {
    let mut symbols = [0; 32];
    let mut symbol = 0;
    while symbol < 30 {
        let (base, extra) = match symbol {
            0..2 => (symbol + 1, 0),
            _ => {
                let extra = symbol / 2 - 1;
                (((2 + symbol % 2) << extra) + 1, extra)
            }
        };
        symbols[symbol as usize] = LENGTH | base << 16 | extra;
        symbol += 1;
    }
    symbols
};

/// The symbols of the code that encodes code lengths.
pub(super) static LENGTH_CODE_SYMBOLS: [Entry; 19] = {
    let mut symbols = [0; 19];
    let mut symbol = 0;
    while symbol < 19 {
        symbols[symbol as usize] = symbol << 16;
        symbol += 1;
    }
    symbols
};

/// The order in which a block lists the lengths of the code that encodes code lengths.
pub(super) static LENGTH_CODE_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// The validity of a code, judged by the lengths of its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Every sequence of bits begins with a word.
    Complete,
    /// A code of a single word of one bit, or of no word. It is valid where at most one symbol has to be encoded.
    Single,
    /// Not a valid code.
    Wrong,
}

/// Builds the table of a canonical Huffman code (RFC 1951, 3.2.2) from the lengths of its words. The length 0 means that
/// the symbol has no word. The layout is that of libdeflate's `build_decode_table`: indexed by the next `index_bits`
/// bits, with subtables for longer words after them. Calls `on_word` for each word that fits the index, in order, with
/// its entry.
pub(super) fn build(
    table: &mut [Entry],
    index_bits: u32,
    lengths: &[u8],
    symbols: &[Entry],
    mut on_word: impl FnMut(usize, Entry),
) -> Code {
    let mut counts = [0_usize; 16];
    for &length in lengths {
        counts[usize::from(length)] += 1;
    }
    counts[0] = 0;
    let words: usize = counts.iter().sum();

    // The first word of each length, the index of its symbol in the order of words, and the space left for longer words.
    let mut next_word = [0_u32; 16];
    let mut next_place = [0_usize; 16];
    let mut left = 1;
    for length in 1..16 {
        next_word[length] = (next_word[length - 1] + counts[length - 1] as u32) << 1;
        next_place[length] = next_place[length - 1] + counts[length - 1];
        left = 2 * left - counts[length] as i32;
        if left < 0 {
            return Code::Wrong;
        }
    }
    if left > 0 {
        if words > 1 || words != counts[1] {
            return Code::Wrong;
        }
        table[..1 << index_bits].fill(0);
    }
    let mut in_order = [0_u16; 288];
    for (symbol, &length) in lengths
        .iter()
        .enumerate()
        .filter(|(_, length)| **length > 0)
    {
        let place = &mut next_place[usize::from(length)];
        in_order[*place] = symbol as u16;
        *place += 1;
    }

    let mut subtable = 1 << index_bits..1 << index_bits;
    let mut subtable_prefix = None;
    for &symbol in &in_order[..words] {
        let symbol = usize::from(symbol);
        let length = u32::from(lengths[symbol]);
        let word = next_word[length as usize];
        next_word[length as usize] += 1;
        // Words begin with their highest bit, everything else with its lowest bit.
        let word = (word.reverse_bits() >> (32 - length)) as usize;
        if length <= index_bits {
            let entry = symbols[symbol] + length * 0x101;
            for index in (word..1 << index_bits).step_by(1 << length) {
                table[index] = entry;
            }
            on_word(word, entry);
        } else {
            let prefix = word & ((1 << index_bits) - 1);
            if subtable_prefix != Some(prefix) {
                subtable_prefix = Some(prefix);
                // As many bits as the remaining words with this prefix take.
                let mut bits = length - index_bits;
                let mut filled = counts[length as usize];
                while filled < 1 << bits {
                    bits += 1;
                    filled = 2 * filled + counts[(index_bits + bits) as usize];
                }
                subtable = subtable.end..subtable.end + (1 << bits);
                table[prefix] = (subtable.start as u32) << 16 | bits << 8 | index_bits;
            }
            let length = length - index_bits;
            let entry = symbols[symbol] + length * 0x101;
            let first = subtable.start + (word >> index_bits);
            for index in (first..subtable.end).step_by(1 << length) {
                table[index] = entry;
            }
        }
        counts[length as usize] -= 1;
    }
    match left {
        0 => Code::Complete,
        _ => Code::Single,
    }
}

/// [`build`] for literals and lengths.
pub(super) fn build_literals(table: &mut [Entry; LITERAL_ENTRIES], lengths: &[u8]) -> Code {
    let mut words = [(0, 0); 288];
    let mut count = 0;
    let code = build(
        table,
        LITERAL_BITS,
        lengths,
        &LITERAL_SYMBOLS,
        |word, entry| {
            words[count] = (word, entry);
            count += 1;
        },
    );
    if code != Code::Wrong {
        join_literals(table, &words[..count]);
    }
    code
}

/// Joins a literal's entry with the entry of the literal or length that follows it, if the index covers both. `words` are
/// the words of the code in order, with their entries.
fn join_literals(table: &mut [Entry; LITERAL_ENTRIES], words: &[(usize, Entry)]) {
    const HALF: usize = 1 << (LITERAL_BITS - 1);
    let mut single = [0; HALF];
    single.copy_from_slice(&table[..HALF]);
    let mut joined = [0; HALF];
    let mut joined_bits = 0;
    for &(word, first) in words {
        let bits = taken_bits(first);
        if first & LITERALS == 0 || bits >= LITERAL_BITS {
            continue;
        }
        let following = 1 << (LITERAL_BITS - bits);
        if bits != joined_bits {
            // The entries that may follow a literal of this many bits, which are the same after each such literal.
            joined_bits = bits;
            for (joined, &second) in joined.iter_mut().zip(&single[..following]) {
                let literal = if second & LITERALS != 0 {
                    second << 8
                } else {
                    second
                };
                let fits = is_symbol(second) && bits + code_bits(second) <= LITERAL_BITS;
                *joined = if fits {
                    (literal & 0xff00_0000 | second & 0xffff) + bits * 0x101 + (1 << 6)
                } else {
                    0
                };
            }
        }
        let literal = first & 0x00ff_0000;
        let indices = (word..1 << LITERAL_BITS).step_by(1 << bits);
        for (index, &joined) in indices.zip(&joined[..following]) {
            table[index] = if joined != 0 { joined | literal } else { first };
        }
    }
}
