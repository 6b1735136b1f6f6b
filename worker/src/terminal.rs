//! Makes text safe to show on a terminal. Visitors choose the URLs in log lines, and anyone who may write to a bucket
//! chooses its keys. An unescaped control character could move the operator's cursor, change the window's title or hide the
//! text after it. Such characters are shown as escapes, for example `\u{1b}`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Whether a terminal acts on a character instead of showing it, or shows other text differently because of it.
///
/// These are the control characters (C0, DEL, C1), the line and paragraph separators, and the format characters of Unicode
/// that are invisible or change the direction of text. The invisible U+200C and U+200D are not included, because Persian,
/// Hindi and emoji need them.
fn is_unsafe(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Escapes every unsafe character, including line ends: the result is one line.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_unsafe(character) {
            true => Notation::Text.push(character, &mut safe),
            false => safe.push(character),
        }
    }
    Cow::Owned(safe)
}

/// The notation of an escape.
#[derive(Debug, Clone, Copy)]
enum Notation {
    /// `\u{1b}`, and `\t`, `\n`, `\r`.
    Text,
    /// `\u001b`, which JSON parsers read as the same character.
    Json,
}

impl Notation {
    fn push(self, character: char, out: &mut String) {
        match self {
            Self::Text => out.extend(character.escape_default()),
            Self::Json => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

/// A writer that escapes every unsafe character. Line ends are kept: text that must not contain them has to be [`escaped`]
/// before it is written.
#[derive(Debug)]
pub struct Escaping<W> {
    out: W,
    notation: Notation,
    /// The first bytes of a character that was split between writes; fewer than four.
    cut_off: Vec<u8>,
}

impl<W: Write> Escaping<W> {
    /// Writes text to `out`.
    pub fn text(out: W) -> Self {
        Self::new(out, Notation::Text)
    }

    /// Writes JSON to `out`. Its values stay the same.
    pub fn json(out: W) -> Self {
        Self::new(out, Notation::Json)
    }

    fn new(out: W, notation: Notation) -> Self {
        Self {
            out,
            notation,
            cut_off: Vec::new(),
        }
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut unread = std::mem::take(&mut self.cut_off);
        unread.extend_from_slice(bytes);
        let mut safe = String::with_capacity(unread.len());
        let mut chunks = unread.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for character in chunk.valid().chars() {
                match is_unsafe(character) && character != '\n' {
                    true => self.notation.push(character, &mut safe),
                    false => safe.push(character),
                }
            }
            let invalid = chunk.invalid();
            // Only an incomplete character at the end can be completed by the next write.
            let may_go_on = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if chunks.peek().is_none() && may_go_on {
                self.cut_off = invalid.to_vec();
            } else {
                for byte in invalid {
                    let _ = write!(safe, "\\x{byte:02x}");
                }
            }
        }
        self.out.write_all(safe.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSAFE: &str = "\0\u{7}\u{8}\t\r\u{1b}\u{7f}\u{80}\u{9b}\u{9f}\u{ad}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\
         \u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{fffb}\u{e0041}";

    #[test]
    fn unsafe_characters_are_shown_and_others_kept() {
        assert_eq!(
            escaped("\u{1b}]0;owned\u{7} \n"),
            "\\u{1b}]0;owned\\u{7} \\n"
        );
        let kept = "a \\ é 日本 שלום 👩\u{200d}💻 \u{301}\u{a0}\u{fffd}";
        assert!(matches!(escaped(kept), Cow::Borrowed(text) if text == kept));
        for character in UNSAFE.chars() {
            let shown = escaped(character.encode_utf8(&mut [0; 4])).into_owned();
            assert!(shown.is_ascii() && shown.starts_with('\\'), "{shown}");
        }
    }

    #[test]
    fn a_writer_escapes_however_its_text_is_cut() {
        let text = format!("a{UNSAFE}é\n👩z");
        let expected = escaped(&text).replace("\\n", "\n");
        for length in 1..9 {
            let mut out = Escaping::text(Vec::new());
            for part in text.as_bytes().chunks(length) {
                out.write_all(part).unwrap();
            }
            assert_eq!(String::from_utf8(out.out).unwrap(), expected);
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_shown() {
        let mut out = Escaping::text(Vec::new());
        out.write_all(b"a\x9bb\xc3").unwrap();
        out.write_all(b"(\xa9").unwrap();
        assert_eq!(out.out, b"a\\x9bb\\xc3(\\xa9");
    }

    #[test]
    fn json_keeps_its_values() {
        let json = serde_json::to_string(UNSAFE).unwrap();
        let mut out = Escaping::json(Vec::new());
        writeln!(out, "{json}").unwrap();
        assert!(out.out.is_ascii());
        let value: String = serde_json::from_slice(&out.out).unwrap();
        assert_eq!(value, UNSAFE);
    }
}
