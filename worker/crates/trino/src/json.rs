//! Values in JSON texts, as Trino finds them: it reads a text only as far as the value that it looks for, so what follows
//! may be torn off. Everything before it must be right.

use std::borrow::Cow;

use crate::json_path::{JsonPath, Step};

mod value;

pub use value::{
    InvalidJson, Item, array_contains, double_to_json, extract, is_scalar, json_to_boolean,
    json_to_double, json_to_integer, json_to_varchar, parse, varchar_to_json,
};

/// The part of the text that was read is not valid JSON.
struct Torn;

/// The kind of a value, from its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Object,
    Array,
    /// A string. It is read only if it is needed or in the way.
    Text,
    /// A number or a boolean, as it is written.
    Plain(&'t str),
    Null,
    /// The end of an object or an array.
    End,
}

/// `json_extract_scalar`: the text, number or boolean at this path. `None` if the path has no such value.
pub fn extract_scalar<'t>(json: &'t str, path: &JsonPath) -> Option<Cow<'t, str>> {
    let (mut reader, token) = Reader::at_path(json, path).ok()??;
    match token {
        Token::Text => reader.text().ok().map(|(text, _)| text),
        Token::Plain(text) => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// `json_size`: the number of elements or fields of the value at this path; 0 if it is neither an array nor an object.
pub fn size(json: &str, path: &JsonPath) -> Option<i64> {
    let (mut reader, token) = Reader::at_path(json, path).ok()??;
    match token {
        Token::Array => reader.count_elements().ok(),
        Token::Object => reader.count_fields().ok(),
        _ => Some(0),
    }
}

/// `json_array_length`: the number of elements. `None` if the text is not an array.
pub fn array_length(json: &str) -> Option<i64> {
    let mut reader = Reader::new(json);
    match reader.root().ok()? {
        Token::Array => reader.count_elements().ok(),
        _ => None,
    }
}

/// A position in a JSON text.
struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn new(json: &'t str) -> Self {
        Self { rest: json }
    }

    /// The first token of the value at this path, and a reader behind it.
    fn at_path(json: &'t str, path: &JsonPath) -> Result<Option<(Self, Token<'t>)>, Torn> {
        let mut reader = Self::new(json);
        let mut token = reader.root()?;
        for step in &path.steps {
            let inner = match token {
                Token::Object => reader.field(step)?,
                Token::Array => reader.element(step)?,
                _ => None,
            };
            match inner {
                Some(inner) => token = inner,
                None => return Ok(None),
            }
        }
        Ok(Some((reader, token)))
    }

    /// Goes to the value of a field. Of several fields with the same name, the first one counts.
    fn field(&mut self, step: &Step) -> Result<Option<Token<'t>>, Torn> {
        let mut is_first = true;
        while let Some(name) = self.field_name(&mut is_first)? {
            let token = self.value()?;
            let (name, has_half_pair) = name;
            if name == step.name && !has_half_pair {
                return Ok(Some(token));
            }
            self.skip(token)?;
        }
        Ok(None)
    }

    /// Goes to an element.
    fn element(&mut self, step: &Step) -> Result<Option<Token<'t>>, Torn> {
        let mut index = 0;
        loop {
            let token = self.next_element(index == 0)?;
            if token == Token::End {
                return Ok(None);
            }
            if step.index == Some(index) {
                return Ok(Some(token));
            }
            self.skip(token)?;
            index += 1;
        }
    }

    fn count_elements(&mut self) -> Result<i64, Torn> {
        let mut count = 0;
        loop {
            match self.next_element(count == 0)? {
                Token::End => return Ok(count),
                token => self.skip(token)?,
            }
            count += 1;
        }
    }

    fn count_fields(&mut self) -> Result<i64, Torn> {
        let (mut count, mut is_first) = (0, true);
        while let Some(name) = self.field_name(&mut is_first)? {
            drop(name);
            let token = self.value()?;
            self.skip(token)?;
            count += 1;
        }
        Ok(count)
    }

    /// Skips the rest of a value. Nesting costs a bit of memory and no recursion, because visitors may write any depth.
    fn skip(&mut self, token: Token<'t>) -> Result<(), Torn> {
        // Whether each open value is an object.
        let mut open = match token {
            Token::Object => vec![true],
            Token::Array => vec![false],
            Token::Text => return self.text().map(drop),
            _ => return Ok(()),
        };
        let mut is_first = true;
        while let Some(&is_object) = open.last() {
            let token = match is_object {
                true => match self.field_name(&mut is_first)? {
                    Some(_) => self.value()?,
                    None => Token::End,
                },
                false => self.next_element(is_first)?,
            };
            is_first = false;
            match token {
                Token::Object | Token::Array => {
                    open.push(token == Token::Object);
                    is_first = true;
                }
                Token::End => drop(open.pop()),
                Token::Text => drop(self.text()?),
                Token::Plain(_) | Token::Null => {}
            }
        }
        Ok(())
    }

    /// The first token of the whole text. A number must be followed by white space or nothing.
    fn root(&mut self) -> Result<Token<'t>, Torn> {
        let token = self.value()?;
        let is_number = matches!(token, Token::Plain(text) if !text.starts_with(['t', 'f']));
        match self.rest.chars().next() {
            Some(next) if is_number && !is_space(next) => Err(Torn),
            _ => Ok(token),
        }
    }

    /// The next element of an array, or its end.
    fn next_element(&mut self, is_first: bool) -> Result<Token<'t>, Torn> {
        self.skip_space();
        if self.takes(']') {
            return Ok(Token::End);
        }
        if !is_first && !self.takes(',') {
            return Err(Torn);
        }
        self.value()
    }

    /// Reads the name of the next field and its colon. `None` at the end of the object.
    fn field_name(&mut self, is_first: &mut bool) -> Result<Option<Unescaped<'t>>, Torn> {
        let name = self.raw_field_name(std::mem::take(is_first))?;
        name.map(unescaped).transpose()
    }

    /// Like [`Self::field_name`], with the escapes of the name.
    fn raw_field_name(&mut self, is_first: bool) -> Result<Option<&'t str>, Torn> {
        self.skip_space();
        if self.takes('}') {
            return Ok(None);
        }
        if !is_first {
            if !self.takes(',') {
                return Err(Torn);
            }
            self.skip_space();
        }
        if !self.takes('"') {
            return Err(Torn);
        }
        let name = self.raw_text()?;
        self.skip_space();
        match self.takes(':') {
            true => Ok(Some(name)),
            false => Err(Torn),
        }
    }

    /// The first token of a value.
    fn value(&mut self) -> Result<Token<'t>, Torn> {
        self.skip_space();
        let Some(first) = self.rest.chars().next() else {
            return Err(Torn);
        };
        Ok(match first {
            '{' | '[' | '"' => {
                self.takes(first);
                match first {
                    '{' => Token::Object,
                    '[' => Token::Array,
                    _ => Token::Text,
                }
            }
            't' => Token::Plain(self.word("true")?),
            'f' => Token::Plain(self.word("false")?),
            'n' => self.word("null").map(|_| Token::Null)?,
            '-' | '0'..='9' => Token::Plain(self.number()?),
            _ => return Err(Torn),
        })
    }

    /// The rest of a string, whose opening quote has been read.
    fn text(&mut self) -> Result<Unescaped<'t>, Torn> {
        unescaped(self.raw_text()?)
    }

    /// Like [`Self::text`], with its escapes.
    fn raw_text(&mut self) -> Result<&'t str, Torn> {
        let mut bytes = self.rest.bytes().enumerate();
        let end = loop {
            match bytes.next().ok_or(Torn)? {
                (end, b'"') => break end,
                (_, b'\\') => drop(bytes.next()),
                (_, ..b' ') => return Err(Torn),
                _ => {}
            }
        };
        let (text, rest) = (self.rest.get(..end), self.rest.get(end + 1..));
        self.rest = rest.ok_or(Torn)?;
        text.ok_or(Torn)
    }

    /// A literal word. It must not be the beginning of a longer one.
    fn word(&mut self, word: &str) -> Result<&'t str, Torn> {
        let rest = self.rest.strip_prefix(word).ok_or(Torn)?;
        if rest.starts_with(|next: char| next == '_' || next == '$' || next.is_alphanumeric()) {
            return Err(Torn);
        }
        Ok(self.take_up_to(rest))
    }

    fn number(&mut self) -> Result<&'t str, Torn> {
        let digits = |text: &'t str| {
            let rest = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
            (text.len() - rest.len(), rest)
        };
        let whole = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let (count, mut rest) = digits(whole);
        if count == 0 || (count > 1 && whole.starts_with('0')) {
            return Err(Torn);
        }
        if let Some(fraction) = rest.strip_prefix('.') {
            let (count, after) = digits(fraction);
            if count == 0 {
                return Err(Torn);
            }
            rest = after;
        }
        if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let (count, after) = digits(exponent);
            if count == 0 {
                return Err(Torn);
            }
            rest = after;
        }
        Ok(self.take_up_to(rest))
    }

    /// Goes to `rest`, which is the end of what is left, and returns what is before it.
    fn take_up_to(&mut self, rest: &'t str) -> &'t str {
        let taken = self.rest.len() - rest.len();
        let text = self.rest.get(..taken).unwrap_or_default();
        self.rest = rest;
        text
    }

    fn takes(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// A string without its escapes, and whether half of a surrogate pair was in it, which became a `?`.
type Unescaped<'t> = (Cow<'t, str>, bool);

fn unescaped(text: &str) -> Result<Unescaped<'_>, Torn> {
    if !text.contains('\\') {
        return Ok((Cow::Borrowed(text), false));
    }
    let mut has_half_pair = false;
    let characters = char::decode_utf16(units(text)?).map(|character| {
        character.unwrap_or_else(|_| {
            has_half_pair = true;
            '?'
        })
    });
    let plain: String = characters.collect();
    Ok((Cow::Owned(plain), has_half_pair))
}

/// The UTF-16 units of a string with escapes.
fn units(text: &str) -> Result<Vec<u16>, Torn> {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        units.extend(before.encode_utf16());
        let kind = after.chars().next().ok_or(Torn)?;
        rest = after.get(kind.len_utf8()..).ok_or(Torn)?;
        units.push(match kind {
            'b' => 0x08,
            't' => 0x09,
            'n' => 0x0a,
            'f' => 0x0c,
            'r' => 0x0d,
            '"' => 0x22,
            '/' => 0x2f,
            '\\' => 0x5c,
            'u' => {
                let unit = hex_unit(rest)?;
                rest = rest.get(4..).ok_or(Torn)?;
                unit
            }
            _ => return Err(Torn),
        });
    }
    units.extend(rest.encode_utf16());
    Ok(units)
}

/// The UTF-16 unit that four hexadecimal digits stand for.
fn hex_unit(text: &str) -> Result<u16, Torn> {
    let digits = text.get(..4).ok_or(Torn)?;
    match digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => u16::from_str_radix(digits, 16).map_err(|_| Torn),
        false => Err(Torn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(json: &str, path: &str) -> Option<String> {
        let path = JsonPath::parse(path).unwrap();
        extract_scalar(json, &path).map(Cow::into_owned)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    // tests/trino compares the same texts with Trino.
    #[test]
    fn scalars_are_found() {
        let json = r#" { "a" : [1.50, {"b": "x\"\u00e9\ud83c\udf4f"}, true], "c": null, "c": 2, "": -0e1 } "#;
        assert_eq!(scalar(json, "$.a[0]"), some("1.50"));
        assert_eq!(scalar(json, "$.a.1.b"), some("x\"é🍏"));
        assert_eq!(scalar(json, "$.a[2]"), some("true"));
        assert_eq!(scalar(json, "$.a[3]"), None);
        assert_eq!(scalar(json, "$.a"), None);
        assert_eq!(scalar(json, "$.c"), None);
        assert_eq!(scalar(json, "$[\"\"]"), some("-0e1"));
        assert_eq!(scalar(json, "$.a[0].x"), None);
        assert_eq!(scalar("\"x\" y", "$"), some("x"));
        assert_eq!(scalar("12 y", "$"), some("12"));
        assert_eq!(scalar("12y", "$"), None);
        assert_eq!(scalar("", "$"), None);
        assert_eq!(scalar(r#""\ud83c.""#, "$"), some("?."));
    }

    #[test]
    fn a_text_is_read_only_as_far_as_needed() {
        assert_eq!(scalar(r#"{"a":1,"b":"#, "$.a"), some("1"));
        assert_eq!(scalar(r#"{"a":1x"#, "$.a"), some("1"));
        assert_eq!(scalar(r#"{"a":truex"#, "$.a"), None);
        assert_eq!(scalar(r#"{"a":"x"#, "$.a"), None);
        assert_eq!(scalar(r#"{"b":[1,{"c":2}"#, "$.a"), None);
        assert_eq!(scalar(r#"{"b":01,"a":1}"#, "$.a"), None);
        assert_eq!(scalar(r#"{"b":"\q","a":1}"#, "$.a"), None);
        assert_eq!(scalar(r#"{"b":[1,],"a":1}"#, "$.a"), None);
        assert_eq!(scalar(r#"{"b":1 "a":1}"#, "$.a"), None);
        assert_eq!(scalar("{\"b\":\"\u{1}\",\"a\":1}", "$.a"), None);
    }

    #[test]
    fn sizes_are_counted() {
        let size = |json, path| super::size(json, &JsonPath::parse(path).unwrap());
        assert_eq!(size(r#"{"x": {"a": 1, "b": [2]}}"#, "$.x"), Some(2));
        assert_eq!(size(r#"{"x": [1, [2], {}] "#, "$.x"), Some(3));
        assert_eq!(size(r#"{"x": "torn"#, "$.x"), Some(0));
        assert_eq!(size("[]", "$.x"), None);
        assert_eq!(array_length("[1, [2, 3], {\"a\": 4}] x"), Some(3));
        assert_eq!(array_length("[1"), None);
        assert_eq!(array_length("{}"), None);
    }

    #[test]
    fn any_depth_is_read() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(scalar(&format!("[{deep}"), "$[1]"), None);
        let whole = format!("[{deep}{}, 7]", "]".repeat(1_000_000));
        assert_eq!(scalar(&whole, "$[1]"), some("7"));
    }
}
