//! Splits text into whole lines, one chunk at a time.

use std::borrow::Cow;

use logmill_gzip::{GunzipError, LogText};

/// The maximum length of a line. AWS truncates the longest fields at 8 KB, and a line has two or three of them.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// How much of a text is used to recognise its format.
const PEEKED_BYTES: usize = 64 * 1024;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Some whole lines of a log file.
pub enum Chunk<'a> {
    /// Complete lines. Each ends with `\n`, except perhaps the last line of the file. Invalid UTF-8 is replaced by U+FFFD,
    /// as Athena does.
    Lines(Cow<'a, str>),
    /// The beginning of a single line that is too long.
    Overlong(String),
}

/// Splits text into chunks of whole lines.
pub struct Lines<'a> {
    text: LogText<'a>,
    /// The size of the last chunk in bytes, which is not consumed yet.
    taken: usize,
    begun: bool,
}

impl<'a> Lines<'a> {
    /// The lines of `text`, of which nothing may be consumed yet.
    pub fn new(text: LogText<'a>) -> Self {
        Self {
            text,
            taken: 0,
            begun: false,
        }
    }

    /// Bytes of text so far, decompressed.
    pub fn text_bytes(&self) -> u64 {
        self.text.text_bytes()
    }

    /// Up to 64 KB of the beginning of the text. Call it before the first chunk is taken.
    pub fn peek(&mut self) -> Result<&[u8], GunzipError> {
        self.fill()?;
        let start = self.text.unread();
        Ok(&start[..start.len().min(PEEKED_BYTES)])
    }

    /// Reads more text. Skips a byte order mark at the very beginning, which some editors write.
    fn fill(&mut self) -> Result<(), GunzipError> {
        self.text.fill()?;
        if !self.begun && self.text.unread().starts_with(BYTE_ORDER_MARK) {
            self.text.consume(BYTE_ORDER_MARK.len());
        }
        self.begun = true;
        Ok(())
    }

    /// The next chunk, or `None` at the end of the text. A chunk becomes one Arrow batch if most of its lines matter.
    /// Below a quarter of a megabyte, the overhead of a batch shows; above one megabyte, a batch no longer fits into the
    /// processor's cache.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, GunzipError> {
        self.text.consume(std::mem::take(&mut self.taken));
        self.fill()?;
        if self.text.unread().is_empty() {
            return Ok(None);
        }
        let whole = match self.text.ended() {
            true => Some(self.text.unread().len()),
            false => memchr::memrchr(b'\n', self.text.unread()).map(|end| end + 1),
        };
        let Some(whole) = whole else {
            // A character may be cut at the end; it becomes U+FFFD too.
            let start = String::from_utf8_lossy(&self.text.unread()[..MAX_LINE_BYTES]).into_owned();
            self.skip_line()?;
            return Ok(Some(Chunk::Overlong(start)));
        };
        self.taken = whole;
        Ok(Some(Chunk::Lines(to_text(&self.text.unread()[..whole]))))
    }

    /// Skips the rest of a line.
    fn skip_line(&mut self) -> Result<(), GunzipError> {
        loop {
            let text = self.text.unread();
            let end = memchr::memchr(b'\n', text);
            let line = end.map_or(text.len(), |end| end + 1);
            self.text.consume(line);
            if end.is_some() || self.text.ended() {
                return Ok(());
            }
            self.text.fill()?;
        }
    }
}

fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logmill_gzip::{Decoder, TEXT_BYTES};

    fn chunks(text: &[u8]) -> Vec<(bool, String)> {
        let mut lines = Lines::new(logmill_gzip::open(text, Decoder::Own, u64::MAX).unwrap());
        let mut chunks = Vec::new();
        while let Some(chunk) = lines.next_chunk().unwrap() {
            chunks.push(match chunk {
                Chunk::Lines(text) => (true, text.into_owned()),
                Chunk::Overlong(text) => (false, text),
            });
        }
        chunks
    }

    #[test]
    fn chunks_end_at_line_ends_and_lose_nothing() {
        assert!(chunks(b"").is_empty());
        assert_eq!(chunks(b"no newline"), [(true, "no newline".to_owned())]);
        let text: String = (0..300_000).map(|n| format!("line {n}\n")).collect();
        let read = chunks(text.as_bytes());
        assert!(read.len() > 2);
        assert!(
            read.iter()
                .all(|(whole, text)| *whole && text.ends_with('\n'))
        );
        assert_eq!(
            read.into_iter().map(|(_, text)| text).collect::<String>(),
            text
        );
    }

    #[test]
    fn text_that_ends_with_the_buffer_is_whole() {
        for length in [TEXT_BYTES - 1, TEXT_BYTES, TEXT_BYTES + 1] {
            let mut text = vec![b'x'; length];
            for n in (0..length).step_by(1000) {
                text[n] = b'\n';
            }
            let read: String = chunks(&text).into_iter().map(|(_, text)| text).collect();
            assert_eq!(read.as_bytes(), text);
        }
    }

    #[test]
    fn a_line_without_end_is_one_overlong_chunk() {
        for length in [2 * TEXT_BYTES, 3 * TEXT_BYTES + 17] {
            let mut text = b"first\n".to_vec();
            text.extend(vec![b'x'; length]);
            text.extend(b"\nlast\n");
            let read = chunks(&text);
            let overlong = read.iter().filter(|(whole, _)| !whole).count();
            assert_eq!((read[0].1.as_str(), overlong), ("first\n", 1), "{length}");
            assert_eq!(read.last().unwrap().1, "last\n", "{length}");
        }
        let read = chunks(&vec![b'x'; 2 * TEXT_BYTES]);
        assert_eq!(read.len(), 1, "a file that is one endless line");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let mark = "\u{feff}";
        let text = format!("{mark}one\n{mark}two\n");
        assert_eq!(chunks(text.as_bytes())[0].1, format!("one\n{mark}two\n"));
        assert!(chunks(mark.as_bytes()).is_empty());
        let mut lines =
            Lines::new(logmill_gzip::open(text.as_bytes(), Decoder::Own, u64::MAX).unwrap());
        assert!(lines.peek().unwrap().starts_with(b"one"));
        assert!(lines.peek().unwrap().starts_with(b"one"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        assert_eq!(chunks(b"caf\xe9\n"), [(true, "caf\u{fffd}\n".to_owned())]);
    }
}
