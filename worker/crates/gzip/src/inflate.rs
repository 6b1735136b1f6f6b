//! Inflate (RFC 1951): decompresses a deflate stream, a piece at a time.
//!
//! Decompression is half of the cost of a log file. Log text is half matches and half runs of a few literals, mostly
//! digits. A decoder therefore spends its time waiting for one table lookup to tell where the next one is, and on branch
//! mispredictions. This decoder takes three quarters of zlib's time. Three of its techniques come from other decoders:
//!
//! - The input is read eight bytes at a time into a register, and bounds are checked once per step, not per byte. A
//!   slower loop decodes what is left near the end of the input or the output buffer. A table entry contains all that a step
//!   needs, including extra bits. (Eric Biggers' libdeflate, `deflate_decompress.c`)
//! - One lookup yields up to two literals, or a literal and the length that follows it. (Intel's ISA-L,
//!   `igzip_inflate.c`)
//! - The output is its own window: a byte is copied only by a match.
//!
//! The fourth is that a step does not branch on whether there is a match, which is as likely as not. It always looks up a
//! distance and copies 32 bytes. Without a match, it uses a table of distances that take no bits, and the copied bytes
//! are overwritten later.

/// Maximum distance of a match, in bytes.
pub(crate) const WINDOW_BYTES: usize = 32 * 1024;

/// Maximum size of a block header: the block type, the numbers of codes, the code that encodes code lengths, and 316 code
/// lengths of up to 7 bits and as many extra bits. Rounded up, and including what the last refill reads ahead.
const BLOCK_HEADER_BYTES: usize = (3 + 14 + 19 * 3 + 316 * 14) / 8 + 1 + WORD_BYTES;

/// Bytes that a refill of the bit buffer reads.
const WORD_BYTES: usize = 8;

/// Maximum bytes that a step of the fast loop writes: two literals, and the longest match in pieces of 32 bytes.
const STEP_ROOM_BYTES: usize = 2 + 258 + 31;

/// Bits that index the tables. Longer codes, which are rare, continue in a subtable.
const LITERAL_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 8;
const LENGTH_CODE_BITS: u32 = 7;

/// Maximum entries of a table with all its subtables: zlib's `examples/enough.c` for 288 and 32 symbols, as in
/// libdeflate.
const LITERAL_ENTRIES: usize = 2342;
const DISTANCE_ENTRIES: usize = 402;

/// The symbol that ends a block. The symbols after it are lengths.
const END_OF_BLOCK: usize = 256;

/// The outcome of [`Inflate::inflate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More input is needed: call again with the rest of this input, and at least one byte of what follows.
    NeedsInput,
    /// More room is needed, at least two bytes.
    NeedsRoom,
    /// The stream has ended. The rest of the input is not part of it.
    Ended,
}

/// The reason that a stream can't be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The input ends before the stream.
    CutOff,
    /// Not a valid deflate stream.
    Corrupt(&'static str),
}

/// Compressed bytes.
pub(crate) struct Input<'a> {
    pub(crate) bytes: &'a [u8],
    /// Number of bytes that have been consumed.
    pub(crate) taken: usize,
    /// Whether the input ends after these bytes.
    pub(crate) is_last: bool,
}

/// The buffer that text is appended to.
pub(crate) struct Output<'a> {
    pub(crate) buffer: &'a mut [u8],
    /// Index at which the stream's text begins. The buffer holds all of it, or the last [`WINDOW_BYTES`] of it.
    pub(crate) start: usize,
    /// Index at which the stream's text ends.
    pub(crate) end: usize,
}

/// Decompresses a deflate stream.
pub(crate) struct Inflate {
    part: Part,
    in_last_block: bool,
    bits: Bits,
    /// The part of the last match that did not fit.
    rest: Match,
    codes: Box<Codes>,
}

/// The part of the stream that comes next.
#[derive(Clone, Copy)]
enum Part {
    BlockHeader,
    /// Stored bytes, and how many are left.
    Stored(usize),
    Symbols,
    End,
}

#[derive(Clone, Copy, Default)]
struct Match {
    length: usize,
    distance: usize,
}

/// Bits that were read and not used yet, the next one the lowest. Between calls there are fewer than eight.
#[derive(Clone, Copy, Default)]
struct Bits {
    buffer: u64,
    /// The number of bits, in the lowest six bits. The other bits are undefined, because whole entries are subtracted.
    count: u32,
}

struct Codes {
    literals: [Entry; LITERAL_ENTRIES],
    distances: [Entry; DISTANCE_ENTRIES],
}

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
type Entry = u32;

const LENGTH: Entry = 1 << 14;
const LITERALS: Entry = 1 << 15;
const END: Entry = 1 << 16;

/// The distance that a step without a match copies from. It is far enough back that the copy does not wait for bytes that
/// were just written. The copied bytes will be overwritten.
const NO_DISTANCE_BYTES: usize = 64;

/// The table of distances for a step without a match.
static NO_DISTANCES: [Entry; 1 << DISTANCE_BITS] =
    [LENGTH | (NO_DISTANCE_BYTES as u32) << 16; 1 << DISTANCE_BITS];

const MIN_MATCH_BYTES: usize = 3;

const fn taken_bits(entry: Entry) -> u32 {
    entry & 63
}

const fn literals(entry: Entry) -> usize {
    (entry >> 6) as usize & 3
}

const fn code_bits(entry: Entry) -> u32 {
    (entry >> 8) & 63
}

const fn is_symbol(entry: Entry) -> bool {
    entry & (LITERALS | LENGTH) != 0
}

const fn is_end(entry: Entry) -> bool {
    !is_symbol(entry) && entry >> 16 == END >> 16
}

const fn is_subtable(entry: Entry) -> bool {
    !is_symbol(entry) && entry >> 16 > END >> 16
}

const fn subtable_entry(entry: Entry, bits: u64) -> usize {
    (entry >> 16) as usize + low(bits, code_bits(entry)) as usize
}

const fn low(bits: u64, count: u32) -> u64 {
    bits & ((1 << (count & 63)) - 1)
}

/// The extra bits of a length or distance. `bits` begins with the code.
const fn extra_bits(entry: Entry, bits: u64) -> usize {
    // The same as `low`, but computed from a shift that is needed anyway.
    let taken = bits ^ bits.wrapping_shr(entry).wrapping_shl(entry);
    (taken >> code_bits(entry)) as usize
}

const fn length(entry: Entry, bits: u64) -> usize {
    (entry >> 24) as usize + MIN_MATCH_BYTES + extra_bits(entry, bits)
}

const fn distance(entry: Entry, bits: u64) -> usize {
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

static DISTANCE_SYMBOLS: [Entry; 32] = {
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
static LENGTH_CODE_SYMBOLS: [Entry; 19] = {
    let mut symbols = [0; 19];
    let mut symbol = 0;
    while symbol < 19 {
        symbols[symbol as usize] = symbol << 16;
        symbol += 1;
    }
    symbols
};

/// The order in which a block lists the lengths of the code that encodes code lengths.
static LENGTH_CODE_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

impl Inflate {
    /// A decoder at the beginning of a stream.
    pub(crate) fn new() -> Self {
        Self {
            part: Part::BlockHeader,
            in_last_block: false,
            bits: Bits::default(),
            rest: Match::default(),
            codes: Box::new(Codes {
                literals: [0; LITERAL_ENTRIES],
                distances: [0; DISTANCE_ENTRIES],
            }),
        }
    }

    /// Returns to the beginning of a stream, which may be another one.
    pub(crate) fn reset(&mut self) {
        self.part = Part::BlockHeader;
        self.in_last_block = false;
        self.bits = Bits::default();
        self.rest = Match::default();
    }

    /// Decompresses as far as input and room allow.
    pub(crate) fn inflate(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Progress, Damage> {
        let progress = self.parts(input, output);
        // Past its end, the input is read as zeros. What they decode to is meaningless, so the missing input is the error.
        match self.bits.give_back(input) {
            Ok(()) => progress,
            Err(cut_off) => Err(cut_off),
        }
    }

    fn parts(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Progress, Damage> {
        loop {
            match self.part {
                Part::BlockHeader => {
                    if input.bytes.len() - input.taken < BLOCK_HEADER_BYTES && !input.is_last {
                        return Ok(Progress::NeedsInput);
                    }
                    self.block_header(input)?;
                    self.bits.give_back(input)?;
                }
                Part::Stored(left) => {
                    let from = &input.bytes[input.taken..];
                    let room = output.buffer.len() - output.end;
                    let length = left.min(from.len()).min(room);
                    output.buffer[output.end..][..length].copy_from_slice(&from[..length]);
                    input.taken += length;
                    output.end += length;
                    self.part = Part::Stored(left - length);
                    if length == left {
                        self.end_block();
                    } else if length == room {
                        return Ok(Progress::NeedsRoom);
                    } else if input.is_last {
                        return Err(Damage::CutOff);
                    } else {
                        return Ok(Progress::NeedsInput);
                    }
                }
                Part::Symbols => match self.symbols(input, output)? {
                    Some(progress) => return Ok(progress),
                    None => self.end_block(),
                },
                Part::End => return Ok(Progress::Ended),
            }
        }
    }

    fn end_block(&mut self) {
        self.part = match self.in_last_block {
            true => Part::End,
            false => Part::BlockHeader,
        };
    }

    fn block_header(&mut self, input: &mut Input<'_>) -> Result<(), Damage> {
        self.bits.refill(input);
        self.in_last_block = self.bits.take(1) == 1;
        self.part = match self.bits.take(2) {
            0 => {
                self.bits.take(self.bits.count % 8);
                let length = self.bits.take(16);
                if self.bits.take(16) != !length & 0xffff {
                    return Err(Damage::Corrupt("a stored block's two lengths differ"));
                }
                Part::Stored(length as usize)
            }
            1 => {
                self.fixed_codes();
                Part::Symbols
            }
            2 => {
                self.codes_of_block(input)?;
                Part::Symbols
            }
            _ => return Err(Damage::Corrupt("a block is of no kind that there is")),
        };
        Ok(())
    }

    fn fixed_codes(&mut self) {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        let codes = &mut *self.codes;
        build_literals(&mut codes.literals, &lengths);
        build(
            &mut codes.distances,
            DISTANCE_BITS,
            &[5; 32],
            &DISTANCE_SYMBOLS,
            |_, _| {},
        );
    }

    fn codes_of_block(&mut self, input: &mut Input<'_>) -> Result<(), Damage> {
        let literals = 257 + self.bits.take(5) as usize;
        let distances = 1 + self.bits.take(5) as usize;
        let length_codes = 4 + self.bits.take(4) as usize;
        if literals > 286 || distances > 30 {
            return Err(Damage::Corrupt("a block has more codes than there are"));
        }
        let mut lengths = [0; 19];
        for &symbol in &LENGTH_CODE_ORDER[..length_codes] {
            self.bits.refill(input);
            lengths[symbol] = self.bits.take(3) as u8;
        }
        let mut table = [0; 1 << LENGTH_CODE_BITS];
        let code = build(
            &mut table,
            LENGTH_CODE_BITS,
            &lengths,
            &LENGTH_CODE_SYMBOLS,
            |_, _| {},
        );
        if code != Code::Complete {
            return Err(Damage::Corrupt(
                "the code of a block's code lengths is none",
            ));
        }

        // The last repetition may exceed the end, by 137 at most.
        let mut lengths = [0; 286 + 30 + 137];
        let mut known = 0;
        while known < literals + distances {
            self.bits.refill(input);
            let entry = table[low(self.bits.buffer, LENGTH_CODE_BITS) as usize];
            self.bits.take(taken_bits(entry));
            let (length, times) = match entry >> 16 {
                16 if known == 0 => {
                    return Err(Damage::Corrupt("a block's first code repeats another"));
                }
                16 => (lengths[known - 1], 3 + self.bits.take(2) as usize),
                17 => (0, 3 + self.bits.take(3) as usize),
                18 => (0, 11 + self.bits.take(7) as usize),
                length => (length as u8, 1),
            };
            lengths[known..known + times].fill(length);
            known += times;
        }
        if known > literals + distances {
            return Err(Damage::Corrupt("a block repeats a length too often"));
        }
        if lengths[END_OF_BLOCK] == 0 {
            return Err(Damage::Corrupt("a block has no end"));
        }
        let (of_literals, of_distances) = lengths[..known].split_at(literals);
        let codes = &mut *self.codes;
        let (literals, distances) = (&mut codes.literals, &mut codes.distances);
        let of_literals = build_literals(literals, of_literals);
        let of_distances = build(
            distances,
            DISTANCE_BITS,
            of_distances,
            &DISTANCE_SYMBOLS,
            |_, _| {},
        );
        if of_literals == Code::Wrong || of_distances == Code::Wrong {
            return Err(Damage::Corrupt("a block's code is none"));
        }
        Ok(())
    }

    /// Decodes symbols. Returns `None` at the end of the block.
    fn symbols(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Option<Progress>, Damage> {
        self.rest = self.rest.append(output);
        loop {
            if self.most_symbols(input, output)? {
                return Ok(None);
            }
            if input.bytes.len() - input.taken < WORD_BYTES && !input.is_last {
                return Ok(Some(Progress::NeedsInput));
            }
            let before = (self.bits, input.taken);
            self.bits.refill(input);
            let bits = &mut self.bits;
            let codes = &*self.codes;
            let mut entry = codes.literals[low(bits.buffer, LITERAL_BITS) as usize];
            if is_subtable(entry) {
                bits.take(taken_bits(entry));
                entry = codes.literals[subtable_entry(entry, bits.buffer)];
            }
            let room = output.buffer.len() - output.end;
            if room < literals(entry) || room == 0 {
                (self.bits, input.taken) = before;
                return Ok(Some(Progress::NeedsRoom));
            }
            let symbol = bits.buffer;
            bits.take(taken_bits(entry));
            for literal in [entry >> 16, entry >> 24].into_iter().take(literals(entry)) {
                output.buffer[output.end] = literal as u8;
                output.end += 1;
            }
            if entry & LENGTH != 0 {
                let length = length(entry, symbol);
                let mut entry = codes.distances[low(bits.buffer, DISTANCE_BITS) as usize];
                if is_subtable(entry) {
                    bits.take(taken_bits(entry));
                    entry = codes.distances[subtable_entry(entry, bits.buffer)];
                }
                let distance = distance(entry, bits.buffer);
                bits.take(taken_bits(entry));
                bits.give_back(input)?;
                if !is_symbol(entry) {
                    return Err(NO_SYMBOL);
                }
                if distance > output.end - output.start {
                    return Err(TOO_FAR);
                }
                self.rest = Match { length, distance }.append(output);
            } else {
                bits.give_back(input)?;
                if is_end(entry) {
                    return Ok(None);
                }
                if !is_symbol(entry) {
                    return Err(NO_SYMBOL);
                }
            }
        }
    }

    /// Decodes symbols while neither the input nor the room is about to end. Returns whether it reached the end of the
    /// block.
    ///
    /// This is the hot loop. A step decodes up to two literals, or up to one literal and a match. The literals and the
    /// length take at most 20 of at least 28 bits, which leaves the eight bits that index the distances. After a refill,
    /// the distance takes at most 28 of at least 56 bits. The lookup of the next step's first symbol starts before the
    /// match is copied.
    #[inline(never)]
    fn most_symbols(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<bool, Damage> {
        let text = &mut *output.buffer;
        let Codes {
            literals: literal_table,
            distances: distance_table,
        } = &*self.codes;
        let (Some(last_taken), Some(last_end), Some(first_distances)) = (
            input.bytes.len().checked_sub(WORD_BYTES),
            text.len().checked_sub(STEP_ROOM_BYTES),
            distance_table.first_chunk(),
        ) else {
            return Ok(false);
        };
        if input.taken > last_taken || output.end - output.start < NO_DISTANCE_BYTES {
            return Ok(false);
        }
        let literal_entry = |bits: u64| literal_table[low(bits, LITERAL_BITS) as usize];
        let mut bits = self.bits;
        let mut taken = input.taken;
        let mut end = output.end;
        let mut ended = false;

        bits.refill_word(input.bytes, &mut taken);
        let mut entry = literal_entry(bits.buffer);
        while taken <= last_taken && end <= last_end {
            let symbol = bits.buffer;
            bits.take_entry(entry);
            if !is_symbol(entry) {
                if is_subtable(entry) {
                    // The rest of the symbol. Neither end has come nearer, so the loop can continue with it.
                    entry = literal_table[subtable_entry(entry, bits.buffer)];
                    continue;
                }
                if is_end(entry) {
                    ended = true;
                    break;
                }
                return Err(NO_SYMBOL);
            }
            text[end..end + 2].copy_from_slice(&((entry >> 16) as u16).to_le_bytes());
            end += literals(entry);

            let is_match = entry & LENGTH != 0;
            // A mask, because the compiler would turn an `if` into a branch.
            let length = length(entry, symbol) & 0_usize.wrapping_sub(usize::from(is_match));
            let first_distances = if is_match {
                first_distances
            } else {
                &NO_DISTANCES
            };
            let index = low(bits.buffer, DISTANCE_BITS) as usize;
            bits.refill_word(input.bytes, &mut taken);
            let mut distance_entry = first_distances[index];
            if !is_symbol(distance_entry) {
                if !is_subtable(distance_entry) {
                    return Err(NO_SYMBOL);
                }
                bits.take_entry(distance_entry);
                distance_entry = distance_table[subtable_entry(distance_entry, bits.buffer)];
            }
            let distance = distance(distance_entry, bits.buffer);
            bits.take_entry(distance_entry);
            entry = literal_entry(bits.buffer);
            if distance > end - output.start {
                return Err(TOO_FAR);
            }
            if length <= 32 && distance >= 32 {
                copy::<32>(text, end - distance, end);
            } else {
                copy_match(text, end, Match { length, distance });
            }
            end += length;
        }
        bits.count &= 63;
        bits.buffer = low(bits.buffer, bits.count);
        self.bits = bits;
        input.taken = taken;
        output.end = end;
        self.bits.give_back(input)?;
        Ok(ended)
    }
}

const NO_SYMBOL: Damage = Damage::Corrupt("bits that are no symbol");
const TOO_FAR: Damage = Damage::Corrupt("a match from before the beginning");

impl Bits {
    /// Fills the buffer with at least 56 bits. Past the end of the input, they are zeros.
    fn refill(&mut self, input: &mut Input<'_>) {
        while self.count < 56 {
            let byte = input.bytes.get(input.taken).copied().unwrap_or_default();
            self.buffer |= u64::from(byte) << self.count;
            self.count += 8;
            input.taken += 1;
        }
    }

    fn take(&mut self, count: u32) -> u32 {
        let taken = low(self.buffer, count);
        self.buffer >>= count;
        self.count -= count;
        taken as u32
    }

    /// Returns whole unused bytes to the input.
    fn give_back(&mut self, input: &mut Input<'_>) -> Result<(), Damage> {
        input.taken -= self.count as usize / 8;
        self.count %= 8;
        self.buffer = low(self.buffer, self.count);
        match input.taken <= input.bytes.len() {
            true => Ok(()),
            false => Err(Damage::CutOff),
        }
    }

    /// [`Bits::refill`] for when a word is left of the input. Bits that are read but not counted are read again.
    #[inline(always)]
    fn refill_word(&mut self, input: &[u8], taken: &mut usize) {
        if let Some(word) = input[*taken..].first_chunk() {
            self.buffer |= u64::from_le_bytes(*word) << (self.count & 63);
        }
        *taken += 7 - (self.count as usize >> 3 & 7);
        self.count |= 56;
    }

    /// Consumes an entry's bits. The higher bits of the count don't matter, so the entry needs no mask.
    #[inline(always)]
    fn take_entry(&mut self, entry: Entry) {
        self.buffer = self.buffer.wrapping_shr(entry);
        self.count = self.count.wrapping_sub(entry);
    }
}

impl Match {
    /// Appends as much as fits. Returns the rest.
    fn append(self, output: &mut Output<'_>) -> Self {
        let length = self.length.min(output.buffer.len() - output.end);
        for to in output.end..output.end + length {
            output.buffer[to] = output.buffer[to - self.distance];
        }
        output.end += length;
        Self {
            length: self.length - length,
            ..self
        }
    }
}

/// Copies a match to `to`, and up to 31 bytes more, which will be overwritten.
#[inline(always)]
fn copy_match(text: &mut [u8], to: usize, Match { length, distance }: Match) {
    let pieces = |piece| (to..to + length).step_by(piece);
    if distance >= 32 {
        for to in pieces(32) {
            copy::<32>(text, to - distance, to);
        }
    } else if distance >= 8 {
        for to in pieces(8) {
            copy::<8>(text, to - distance, to);
        }
    } else if distance == 1 {
        let byte = text[to - 1];
        text[to..to + length].fill(byte);
    } else {
        for to in to..to + length {
            text[to] = text[to - distance];
        }
    }
}

#[inline(always)]
fn copy<const N: usize>(text: &mut [u8], from: usize, to: usize) {
    if let Some(&piece) = text[from..].first_chunk::<N>() {
        text[to..to + N].copy_from_slice(&piece);
    }
}

/// The validity of a code, judged by the lengths of its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
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
fn build(
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
fn build_literals(table: &mut [Entry; LITERAL_ENTRIES], lengths: &[u8]) -> Code {
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::DeflateEncoder;
    use flate2::{Compression, Decompress, FlushCompress, FlushDecompress, Status};

    use super::*;

    /// Decompresses a stream that arrives `at_once` bytes at a time, into a buffer with room for the window and `room`
    /// bytes. Returns the text, and the number of input bytes that are part of the stream.
    fn inflate(stream: &[u8], at_once: usize, room: usize) -> Result<(Vec<u8>, usize), Damage> {
        let mut inflate = Inflate::new();
        let mut text = Vec::new();
        let mut buffer = vec![0xee; WINDOW_BYTES + room];
        let (mut taken, mut known, mut end) = (0, 0, 0);
        loop {
            let mut input = Input {
                bytes: &stream[taken..known],
                taken: 0,
                is_last: known == stream.len(),
            };
            let mut output = Output {
                start: end - text.len().min(end),
                buffer: &mut buffer,
                end,
            };
            let progress = inflate.inflate(&mut input, &mut output)?;
            text.extend_from_slice(&output.buffer[end..output.end]);
            end = output.end;
            taken += input.taken;
            match progress {
                Progress::Ended => return Ok((text, taken)),
                Progress::NeedsInput => {
                    assert!(known < stream.len(), "there is no more");
                    known = stream.len().min(known + at_once);
                }
                Progress::NeedsRoom => {
                    assert!(end + 2 > buffer.len(), "there is room");
                    buffer.copy_within(end - WINDOW_BYTES..end, 0);
                    end = WINDOW_BYTES;
                }
            }
        }
    }

    /// Decompresses with zlib.
    fn zlib(stream: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut inflate = Decompress::new(false);
        let mut text = Vec::with_capacity(1 << 22);
        let status = inflate.decompress_vec(stream, &mut text, FlushDecompress::Finish);
        let read = inflate.total_in() as usize;
        (status.ok()? == Status::StreamEnd).then_some((text, read))
    }

    struct Random(u64);

    impl Random {
        fn new(seed: u64) -> Self {
            Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        }

        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % bound
        }

        /// Bytes of few or many kinds, evenly or unevenly frequent, with near and far repetitions.
        fn text(&mut self, length: usize) -> Vec<u8> {
            let kinds = 1 + self.below(256);
            let unevenness = self.below(24);
            let repetitions = self.below(100);
            let mut text = Vec::with_capacity(length + 300);
            while text.len() < length {
                if self.below(100) < repetitions && !text.is_empty() {
                    let distance = 1 + match self.below(3) {
                        0 => self.below(text.len().min(8)),
                        1 => self.below(text.len().min(300)),
                        _ => self.below(text.len().min(WINDOW_BYTES)),
                    };
                    for _ in 0..self.below(300) {
                        text.push(text[text.len() - distance]);
                    }
                } else {
                    // Each kind is half as frequent as the one before, which makes for the longest codes.
                    let mut kind = self.below(kinds);
                    for _ in 0..unevenness {
                        kind = kind.min(self.below(kinds));
                    }
                    text.push(kind as u8);
                }
            }
            text
        }

        /// Compresses a text with zlib, at a random level and with random flushes.
        fn stream(&mut self, text: &[u8]) -> Vec<u8> {
            let level = Compression::new(self.below(10) as u32);
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            let blocks = 1 + self.below(4);
            for part in text.chunks(text.len() / blocks + 1) {
                encoder.write_all(part).unwrap();
                if self.below(2) == 0 {
                    encoder.flush().unwrap();
                }
            }
            encoder.finish().unwrap()
        }
    }

    #[test]
    fn what_zlib_compresses_is_what_it_was() {
        for seed in 1..400 {
            let mut random = Random::new(seed);
            let length = match seed % 10 {
                0 => random.below(1_000_000),
                _ => random.below(50_000),
            };
            let text = random.text(length);
            let mut stream = random.stream(&text);
            let length = stream.len();
            let at_once = 1 + random.below(4000);
            let room = 2 + random.below(4000);
            assert!(
                inflate(&stream, at_once, room) == Ok((text.clone(), length)),
                "seed {seed}"
            );
            // Bytes that follow the stream are not part of it.
            stream.extend((0..random.below(20)).map(|byte| byte as u8));
            assert!(
                inflate(&stream, usize::MAX / 2, 1 << 21) == Ok((text, length)),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn what_is_damaged_is_what_zlib_makes_of_it() {
        let mut damaged = 0;
        for seed in 1..1500 {
            let mut random = Random::new(seed);
            let length = random.below(3000);
            let text = random.text(length);
            let mut stream = random.stream(&text);
            for _ in 0..=random.below(3) {
                let before = 1 + random.below(stream.len());
                let at = random.below(before);
                stream[at] ^= 1 << random.below(8);
            }
            let expected = zlib(&stream);
            damaged += usize::from(expected.is_none());
            let at_once = 1 + random.below(100);
            let room = 2 + random.below(4000);
            assert!(
                inflate(&stream, at_once, room).ok() == expected,
                "seed {seed}"
            );
            assert!(
                inflate(&stream, usize::MAX / 2, 1 << 21).ok() == expected,
                "seed {seed}"
            );
        }
        assert!(damaged > 500, "{damaged}");
    }

    #[test]
    fn random_bits_are_what_zlib_makes_of_them() {
        for seed in 1..6000 {
            let mut random = Random::new(seed);
            let mut stream: Vec<u8> = (0..1 + random.below(300))
                .map(|_| random.below(256) as u8)
                .collect();
            // A last block with fixed codes, a last block with its own codes, or anything.
            stream[0] = match random.below(3) {
                0 => stream[0] & !0b111 | 0b011,
                1 => stream[0] & !0b111 | 0b101,
                _ => stream[0],
            };
            assert!(
                inflate(&stream, 1 + random.below(50), 4000).ok() == zlib(&stream),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn a_stream_that_is_cut_off_says_so() {
        let mut random = Random::new(7);
        let text = random.text(5000);
        for level in [0, 1, 6] {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
            encoder.write_all(&text).unwrap();
            let stream = encoder.finish().unwrap();
            for length in 0..stream.len() {
                assert_eq!(
                    inflate(&stream[..length], 1000, 1000),
                    Err(Damage::CutOff),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn codes_of_one_word_and_of_none() {
        // The blocks that zlib writes for a single byte and for no bytes.
        for text in [&b"a"[..], b""] {
            let mut compress = flate2::Compress::new(Compression::best(), false);
            let mut stream = Vec::with_capacity(100);
            compress
                .compress_vec(text, &mut stream, FlushCompress::Finish)
                .unwrap();
            let length = stream.len();
            assert_eq!(inflate(&stream, 1, 2), Ok((text.to_vec(), length)));
        }
    }
}
