//! Splits a log line into its fields, and fields into their parts.
//!
//! AWS separates fields by one space. Fields that may contain spaces are in double quotes, and a double quote within the
//! request is written as `\x22`. AWS adds new fields at the end of the line. The rules here are those of the regular
//! expressions in AWS's Athena DDL, except those that make a whole line unreadable there.

use std::ops::Range;

use logmill_byte_search::{Marks, one_of};

use super::{LogFormat, named};

/// Positions of the fields of one line. Reused for each line, so that splitting allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Fields {
    bounds: Vec<(usize, usize)>,
    /// Where the first field that was not split off begins; past the line's end if there is no such field.
    rest: usize,
    /// Whether quotes are characters like any other.
    ignores_quotes: bool,
}

impl Fields {
    /// For lines of this format.
    pub(super) fn of(format: &LogFormat) -> Self {
        Self {
            ignores_quotes: !format.has_quotes,
            ..Self::default()
        }
    }

    /// Splits off at most the first `limit` fields of `line`, which has no line ending.
    pub(super) fn split(&mut self, line: &str, limit: usize) {
        self.bounds.clear();
        self.rest = 0;
        self.split_on(line, limit);
    }

    /// Continues the last split of the same line, up to `limit` fields in total.
    pub(super) fn split_on(&mut self, line: &str, limit: usize) {
        if self.bounds.len() >= limit || self.rest > line.len() {
            return;
        }
        let bytes = line.as_bytes();
        let mut start = self.rest;
        let mut spaces = Marks::new(bytes, start, one_of([b' ']));
        while self.bounds.len() < limit && start <= bytes.len() {
            let end = if bytes.get(start) == Some(&b'"') && !self.ignores_quotes {
                let end = end_of_quoted(bytes, start, b" ");
                spaces = Marks::new(bytes, end + 1, one_of([b' ']));
                end
            } else {
                spaces.next().unwrap_or(bytes.len())
            };
            self.bounds.push((start, end));
            start = end + 1;
        }
        self.rest = start;
    }

    /// The number of fields that were split off.
    pub(super) fn len(&self) -> usize {
        self.bounds.len()
    }

    /// The field as written in the line, including any quotes.
    pub(super) fn raw<'l>(&self, line: &'l str, field: usize) -> Option<&'l str> {
        self.bounds
            .get(field)
            .map(|&(start, end)| &line[start..end])
    }

    /// The field without its quotes.
    pub(super) fn text<'l>(&self, line: &'l str, field: usize) -> Option<&'l str> {
        self.raw(line, field).map(unquote)
    }

    /// Everything after the fields that were split off.
    pub(super) fn rest<'l>(&self, line: &'l str) -> Option<&'l str> {
        line.get(self.rest..)
    }
}

/// The values of a line's fields, by their positions in a line of the text log.
pub(super) trait FieldValues<'l>: Copy {
    /// Whether the values are those of fields with names. AWS does not document how these are written.
    const ARE_NAMED: bool;

    /// The field without its quotes.
    fn text(self, field: usize) -> Option<&'l str>;

    /// The field as written, including any quotes.
    fn raw(self, field: usize) -> Option<&'l str>;

    /// The fields that the format does not name, as written.
    fn rest(self) -> Option<&'l str>;

    /// The text of a whole number.
    #[inline(always)]
    fn whole(self, field: usize) -> Option<&'l str> {
        let text = self.text(field);
        match Self::ARE_NAMED {
            true => text.map(named::whole),
            false => text,
        }
    }

    /// The address of `address:port`. For a lone `-`, the DDL's `([^ ]*)[:-]([0-9]*)` gives an empty address. With names,
    /// there may be only a port.
    #[inline(always)]
    fn address(self, field: usize) -> Option<&'l str> {
        let field = self.text(field)?;
        match split_address(field) {
            Some((address, _)) => Some(address),
            None if Self::ARE_NAMED && named::is_port(field) => None,
            None => Some(field.trim_end_matches('-')),
        }
    }

    /// The port of `address:port`. With names, it may stand alone.
    #[inline(always)]
    fn port(self, field: usize) -> Option<&'l str> {
        let field = self.text(field)?;
        match split_address(field) {
            Some((_, port)) => Some(port),
            None => (Self::ARE_NAMED && named::is_port(field)).then_some(field),
        }
    }
}

/// The fields of a line of text.
#[derive(Clone, Copy)]
pub(super) struct TextFields<'f, 'l> {
    pub(super) line: &'l str,
    pub(super) fields: &'f Fields,
}

impl<'l> FieldValues<'l> for TextFields<'_, 'l> {
    const ARE_NAMED: bool = false;

    #[inline(always)]
    fn text(self, field: usize) -> Option<&'l str> {
        self.fields.text(self.line, field)
    }

    #[inline(always)]
    fn raw(self, field: usize) -> Option<&'l str> {
        self.fields.raw(self.line, field)
    }

    #[inline(always)]
    fn rest(self) -> Option<&'l str> {
        self.fields.rest(self.line)
    }
}

/// The end of the quoted field that begins at `start`, past its closing quote. A closing quote is followed by the delimiter
/// or the line's end, and is not escaped by a backslash. A field that is never closed takes the rest of the line.
pub(super) fn end_of_quoted(bytes: &[u8], start: usize, delimiter: &[u8]) -> usize {
    for quote in memchr::memchr_iter(b'"', &bytes[start + 1..]) {
        let quote = start + 1 + quote;
        let backslashes = bytes[start + 1..quote]
            .iter()
            .rev()
            .take_while(|&&byte| byte == b'\\')
            .count();
        let after = &bytes[quote + 1..];
        if backslashes % 2 == 0 && (after.is_empty() || after.starts_with(delimiter)) {
            return quote + 1;
        }
    }
    bytes.len()
}

pub(super) fn unquote(field: &str) -> &str {
    match field.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
        None => field,
    }
}

/// Splits `address:port` at its last colon, because an IPv6 address has colons too and may lack brackets. `None` if there
/// is no colon, as in `-`.
pub(super) fn split_address(field: &str) -> Option<(&str, &str)> {
    field.rsplit_once(':')
}

/// Splits a request line into method, URL and protocol. The URL may contain raw spaces, so it is everything between the
/// first and the last space.
pub(super) fn split_request(request: &str) -> Option<(&str, &str, &str)> {
    let Range { start, end } =
        memchr::memchr(b' ', request.as_bytes())?..memchr::memrchr(b' ', request.as_bytes())?;
    // With a single space, the URL can't be told from the protocol.
    (start < end).then(|| {
        (
            &request[..start],
            &request[start + 1..end],
            &request[end + 1..],
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<&str> {
        let mut fields = Fields::default();
        fields.split(line, usize::MAX);
        (0..fields.len())
            .map(|n| fields.text(line, n).unwrap())
            .collect()
    }

    #[test]
    fn fields_are_split_at_spaces_outside_quotes() {
        assert_eq!(split("a b c"), ["a", "b", "c"]);
        assert_eq!(split(r#"a "b c" d"#), ["a", "b c", "d"]);
        assert_eq!(
            split(r#""GET http://h:80/a b?q=\x22 HTTP/1.1" "-""#),
            [r"GET http://h:80/a b?q=\x22 HTTP/1.1", "-"]
        );
        assert_eq!(split(r#""say \"hi\" now" x"#), [r#"say \"hi\" now"#, "x"]);
        assert_eq!(split(r#""a"b" c"#), [r#"a"b"#, "c"]);
        assert_eq!(split(r#""ends in \\" c"#), [r"ends in \\", "c"]);
        assert_eq!(split(r#"a "cut off"#), ["a", "cut off"]);
        assert_eq!(split("a  b "), ["a", "", "b", ""]);
        assert_eq!(split(""), [""]);
        assert_eq!(split("\""), [""]);
    }

    #[test]
    fn splitting_stops_where_it_was_told_to() {
        let line = r#"a b "c d" e"#;
        let mut fields = Fields::default();
        fields.split(line, 2);
        assert_eq!((fields.len(), fields.rest(line)), (2, Some(r#""c d" e"#)));
        fields.split_on(line, 4);
        assert_eq!((fields.len(), fields.rest(line)), (4, None));
        for limit in 0..6 {
            let mut at_once = Fields::default();
            at_once.split(line, 4);
            fields.split(line, limit);
            fields.split_on(line, 4);
            assert_eq!(fields.bounds, at_once.bounds, "{limit}");
        }
    }

    #[test]
    fn addresses_are_split_at_the_last_colon() {
        assert_eq!(split_address("10.0.0.1:80"), Some(("10.0.0.1", "80")));
        assert_eq!(
            split_address("2001:db8::1:443"),
            Some(("2001:db8::1", "443"))
        );
        assert_eq!(
            split_address("[2001:db8::1]:443"),
            Some(("[2001:db8::1]", "443"))
        );
        assert_eq!(split_address("-"), None);
    }

    #[test]
    fn requests_are_split_at_the_first_and_last_space() {
        assert_eq!(
            split_request("GET http://h:80/a HTTP/1.1"),
            Some(("GET", "http://h:80/a", "HTTP/1.1"))
        );
        assert_eq!(
            split_request("GET http://h:80/a b c HTTP/1.1"),
            Some(("GET", "http://h:80/a b c", "HTTP/1.1"))
        );
        assert_eq!(
            split_request("- http://h:80- -"),
            Some(("-", "http://h:80-", "-"))
        );
        assert_eq!(split_request("- - - "), Some(("-", "- -", "")));
        assert_eq!(split_request("-"), None);
        assert_eq!(split_request("GET HTTP/1.1"), None);
    }
}
