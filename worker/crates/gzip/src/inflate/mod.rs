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

mod codes;

use codes::{
    Code, DISTANCE_BITS, DISTANCE_ENTRIES, DISTANCE_SYMBOLS, END_OF_BLOCK, Entry, LENGTH,
    LENGTH_CODE_BITS, LENGTH_CODE_ORDER, LENGTH_CODE_SYMBOLS, LITERAL_BITS, LITERAL_ENTRIES, build,
    build_literals, distance, is_end, is_subtable, is_symbol, length, literals, low,
    subtable_entry, taken_bits,
};

/// Maximum distance of a match, in bytes.
pub(crate) const WINDOW_BYTES: usize = 32 * 1024;

/// Maximum size of a block header: the block type, the numbers of codes, the code that encodes code lengths, and 316 code
/// lengths of up to 7 bits and as many extra bits. Rounded up, and including what the last refill reads ahead.
const BLOCK_HEADER_BYTES: usize = (3 + 14 + 19 * 3 + 316 * 14) / 8 + 1 + WORD_BYTES;

/// Bytes that a refill of the bit buffer reads.
const WORD_BYTES: usize = 8;

/// Maximum bytes that a step of the fast loop writes: two literals, and the longest match in pieces of 32 bytes.
const STEP_ROOM_BYTES: usize = 2 + 258 + 31;

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

/// The distance that a step without a match copies from. It is far enough back that the copy does not wait for bytes that
/// were just written. The copied bytes will be overwritten.
const NO_DISTANCE_BYTES: usize = 64;

/// The table of distances for a step without a match.
static NO_DISTANCES: [Entry; 1 << DISTANCE_BITS] =
    [LENGTH | (NO_DISTANCE_BYTES as u32) << 16; 1 << DISTANCE_BITS];

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
                    return Err(Damage::Corrupt("the two lengths of a stored block differ"));
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
            _ => return Err(Damage::Corrupt("invalid block type")),
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
            return Err(Damage::Corrupt("too many codes in a dynamic block"));
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
                "invalid Huffman code for the code lengths of a dynamic block",
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
                    return Err(Damage::Corrupt(
                        "the first code length of a dynamic block repeats a code length before it",
                    ));
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
            return Err(Damage::Corrupt(
                "too many repetitions of a code length in a dynamic block",
            ));
        }
        if lengths[END_OF_BLOCK] == 0 {
            return Err(Damage::Corrupt("no end-of-block code in a dynamic block"));
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
            return Err(Damage::Corrupt("invalid Huffman code in a dynamic block"));
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

const NO_SYMBOL: Damage = Damage::Corrupt("invalid Huffman symbol");
const TOO_FAR: Damage = Damage::Corrupt("a match begins before the beginning of the text");

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

#[cfg(test)]
mod tests;
