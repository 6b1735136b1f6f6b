//! Columns of text that is parts of lines.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullBufferBuilder, StringViewArray};
use arrow::buffer::{Buffer, ScalarBuffer};

/// The longest text that stands in its view.
const INLINE_BYTES: usize = 12;

/// Builds an array of Arrow's layout "Variable-size Binary View".
///
/// Most parameters of a query are short and of no length that the processor would foresee. Arrow's own builder copies
/// them by a call of `memcpy`, which branches on the length, and reads back what was just written in other sizes; here
/// sixteen bytes are read at once of the line that the text is part of, and what is not its own is cleared.
pub(super) struct TextColumn {
    views: Vec<u128>,
    nulls: NullBufferBuilder,
    /// The texts that are longer than [`INLINE_BYTES`], one after the other.
    long: Vec<u8>,
}

impl TextColumn {
    pub(super) fn new() -> Self {
        Self {
            views: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            long: Vec::new(),
        }
    }

    /// Appends a text, which is cheaper if it is part of `line`.
    #[inline]
    pub(super) fn append(&mut self, text: Option<&str>, line: &str) {
        let Some(text) = text else {
            self.views.push(0);
            self.nulls.append_null();
            return;
        };
        let view = if text.len() <= INLINE_BYTES {
            let mask = (1 << (8 * text.len())) - 1;
            (start(text, line) & mask) << 32
        } else {
            let offset = self.long.len() as u128;
            self.long.extend_from_slice(text.as_bytes());
            let prefix = start(text, line) & 0xffff_ffff;
            offset << 96 | prefix << 32
        };
        self.views.push(view | text.len() as u128);
        self.nulls.append_non_null();
    }

    /// The column, and begins another one, of about as many rows.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let rows = self.views.len();
        let views = std::mem::replace(&mut self.views, Vec::with_capacity(rows));
        let long = self.long.len();
        let long = std::mem::replace(&mut self.long, Vec::with_capacity(long));
        assert!(
            u32::try_from(long.len()).is_ok(),
            "a batch is made of a megabyte of lines"
        );
        let (views, long) = (ScalarBuffer::from(views), vec![Buffer::from_vec(long)]);
        let nulls = self.nulls.finish();
        debug_assert!(
            StringViewArray::try_new(views.clone(), long.clone(), nulls.clone()).is_ok(),
            "each view is of a text"
        );
        // To have each view checked takes 32 nanoseconds a line with four parameters, 3 % of the whole job.
        //
        // SAFETY: A view must have its text in itself, with zeros behind it, or the first four bytes of it and its place in
        // the buffer, and be UTF-8. `append` is the only one that makes views, and of whole `&str`s alone. Those of up to
        // twelve bytes it takes by themselves, `start` being the text's bytes up to its length, and `mask` leaves no others;
        // longer ones it has just appended to the buffer, whose length is known to fit in a view.
        #[allow(unsafe_code, reason = "measured, and proven above")]
        Arc::new(unsafe { StringViewArray::new_unchecked(views, long, nulls) })
    }
}

/// The first sixteen bytes from the text's start on, its own and whatever follows, the first the lowest.
#[inline]
fn start(text: &str, line: &str) -> u128 {
    // Of a text that is elsewhere this is no place in the line.
    let at = text.as_ptr().addr().wrapping_sub(line.as_ptr().addr());
    match line.as_bytes().get(at..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => {
            let mut bytes = [0; 16];
            let length = text.len().min(bytes.len());
            bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
            u128::from_le_bytes(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    #[test]
    fn it_is_what_arrows_builder_makes() {
        let line = "a line, of which parts of all lengths are taken: caf\u{e9}, \u{1f980}";
        let elsewhere = "a text of its own".repeat(3);
        let mut column = TextColumn::new();
        for _batch in 0..2 {
            let mut texts = vec![None, Some(""), Some(line), Some(&line[line.len()..])];
            for start in 0..line.len() {
                for length in 0..30 {
                    texts.push(line.get(start..start + length));
                    texts.push(elsewhere.get(start % 20..start % 20 + length));
                }
            }
            texts.iter().for_each(|text| column.append(*text, line));
            let made = column.finish();
            let made = made.as_string_view();
            assert!(made.to_data().validate_full().is_ok());
            assert!(made.iter().eq(texts.iter().copied()));
            assert_eq!(*made, StringViewArray::from_iter(texts));
        }
        assert_eq!(column.finish().len(), 0);
    }
}
