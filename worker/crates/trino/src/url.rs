//! Trino's `url_*` functions, following `io.trino.operator.scalar.UrlFunctions` of Trino 435.
//!
//! If `java.net.URI` refuses a URL, every `extract_*` returns NULL, here `None`. If it accepts the URL, a missing part is
//! an empty string, not NULL.

use std::borrow::Cow;
use std::fmt;

use super::digit;
use super::uri::Uri;
use logmill_byte_search::{Marks, one_of};

/// `url_extract_protocol`: the scheme, in its original case.
pub fn extract_protocol(url: &str) -> Option<Cow<'_, str>> {
    Uri::parse(url).map(|uri| Cow::Borrowed(uri.scheme.unwrap_or_default()))
}

/// `url_extract_host`.
pub fn extract_host(url: &str) -> Option<Cow<'_, str>> {
    Uri::parse(url).map(|uri| Cow::Borrowed(uri.host.unwrap_or_default()))
}

/// `url_extract_port`; `None` also if the URL has no port. The scheme's default port isn't filled in.
pub fn extract_port(url: &str) -> Option<i64> {
    Uri::parse(url)?.port.map(i64::from)
}

/// `url_extract_path`, percent-decoded.
pub fn extract_path(url: &str) -> Option<Cow<'_, str>> {
    Uri::parse(url).map(|uri| decode_part(uri.raw_path.unwrap_or_default()))
}

/// `url_extract_query`, percent-decoded; a `+` is kept.
pub fn extract_query(url: &str) -> Option<Cow<'_, str>> {
    Uri::parse(url).map(|uri| decode_part(uri.raw_query.unwrap_or_default()))
}

/// `url_extract_fragment`, percent-decoded.
pub fn extract_fragment(url: &str) -> Option<Cow<'_, str>> {
    Uri::parse(url).map(|uri| decode_part(uri.raw_fragment.unwrap_or_default()))
}

/// `url_extract_parameter`: the decoded value of the first parameter with that name. The value is empty for a name
/// without a `=`. Names are compared undecoded. `None` if the URL has no such name or no query.
pub fn extract_parameter<'a>(url: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let parameter =
        parameters(Uri::parse(url)?.raw_query?).find(|parameter| parameter.name == name)?;
    Some(parameter.value())
}

/// A parameter of a raw query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its name, undecoded.
    pub name: &'a str,
    /// The text after its first `=`, undecoded; empty for a name without a `=`.
    pub raw_value: &'a str,
    /// Whether the parameter contains a `%` or a `+`.
    is_encoded: bool,
}

impl<'a> Parameter<'a> {
    /// The value, decoded as `url_extract_parameter` does: `+` is a space.
    ///
    /// In the query of a URL that `java.net.URI` accepts, every `%` can be decoded. Elsewhere, a value that can't be
    /// decoded is returned unchanged.
    #[inline(always)]
    pub fn value(&self) -> Cow<'a, str> {
        match self.is_encoded {
            true => decode(self.raw_value).unwrap_or(Cow::Borrowed(self.raw_value)),
            false => Cow::Borrowed(self.raw_value),
        }
    }
}

/// The parameters of a raw query, in order. An empty query has one parameter with an empty name, as with Guava's
/// `Splitter`.
///
/// To get several parameters, iterate once, take the first of each name, and decode only the values that are needed.
pub fn parameters(raw_query: &str) -> impl Iterator<Item = Parameter<'_>> {
    let mut marks = Marks::new(raw_query.as_bytes(), 0, one_of(*b"&=%+"));
    let mut next = Some(0);
    std::iter::from_fn(
        // Inlined: otherwise the parameter would be returned in memory, and the caller would wait for it.
        #[inline(always)]
        move || {
            let start = next?;
            let mut equals = None;
            let mut is_encoded = false;
            let mut end = raw_query.len();
            next = None;
            for at in &mut marks {
                match raw_query.as_bytes()[at] {
                    b'&' => {
                        end = at;
                        next = Some(at + 1);
                        break;
                    }
                    b'=' => equals = equals.or(Some(at)),
                    _ => is_encoded = true,
                }
            }
            let equals = equals.unwrap_or(end);
            Some(Parameter {
                name: &raw_query[start..equals],
                raw_value: raw_query.get(equals + 1..end).unwrap_or_default(),
                is_encoded,
            })
        },
    )
}

/// `URI.decode`, which `getPath()`, `getQuery()` and `getFragment()` apply to their raw forms. Every `%` is known to
/// start an escape.
fn decode_part(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    let mut decoded = String::with_capacity(raw.len());
    let mut octets = Vec::new();
    let mut rest = raw;
    while let Some((before, mut escapes)) = rest.split_once('%') {
        decoded.push_str(before);
        octets.clear();
        // Adjacent escapes are decoded together, because a character may span them.
        rest = loop {
            let Some(octet) = escapes
                .get(..2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            else {
                break escapes;
            };
            octets.push(octet);
            match escapes[2..].strip_prefix('%') {
                Some(next) => escapes = next,
                None => break &escapes[2..],
            }
        };
        push_utf8(&mut decoded, &octets);
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The reason that `url_decode` failed. `Display` gives the message of Java's `URLDecoder`, which Trino passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer than two characters follow a `%`.
    Incomplete,
    /// A negative number follows a `%`, because `Integer.parseInt` accepts signs.
    Negative,
    /// The text after a `%` is not a hexadecimal number.
    Illegal {
        /// Which of the two UTF-16 units is invalid, 0 or 1.
        index: u8,
        /// The two UTF-16 units after the `%`.
        units: [u16; 2],
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let illegal = "URLDecoder: Illegal hex characters in escape (%) pattern";
        match self {
            Self::Incomplete => {
                formatter.write_str("URLDecoder: Incomplete trailing escape (%) pattern")
            }
            Self::Negative => write!(formatter, "{illegal} - negative value"),
            Self::Illegal { index, units } => {
                // Java outputs half of a surrogate pair as a question mark.
                let text: String = char::decode_utf16(*units)
                    .map(|unit| unit.unwrap_or('?'))
                    .collect();
                write!(
                    formatter,
                    "{illegal} - Error at index {index} in: \"{text}\""
                )
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// `url_decode`: `java.net.URLDecoder` with UTF-8. `+` becomes a space, malformed UTF-8 becomes U+FFFD.
///
/// # Errors
/// For a `%` that is not followed by a number of two hexadecimal digits. In Trino this fails the whole query
/// (`INVALID_FUNCTION_ARGUMENT`), unlike in a URL for `extract_*`.
pub fn decode(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let decoded = match decode_ascii(text) {
        Some(decoded) => decoded,
        None => decode_any(text)?,
    };
    Ok(Cow::Owned(decoded))
}

fn decode_any(text: &str) -> Result<String, DecodeError> {
    let mut decoded = String::with_capacity(text.len());
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['%', '+']) {
        decoded.push_str(&rest[..at]);
        if let Some(after) = rest[at..].strip_prefix('+') {
            decoded.push(' ');
            rest = after;
            continue;
        }
        rest = &rest[at..];
        octets.clear();
        while let Some(escape) = rest.strip_prefix('%') {
            let (octet, after) = escaped_octet(escape)?;
            octets.push(octet);
            rest = after;
        }
        push_utf8(&mut decoded, &octets);
    }
    decoded.push_str(rest);
    Ok(decoded)
}

/// [`decode_any`] for the usual case: each `%` introduces two hexadecimal digits that encode an ASCII character.
fn decode_ascii(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let octet = digit()? << 4 | digit()?;
                u8::try_from(octet).ok().filter(u8::is_ascii)?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// The octet that the two UTF-16 units after a `%` encode, and the text after them.
///
/// Java parses the units with `Integer.parseInt`, which accepts more than `[0-9A-Fa-f]{2}`: `+5`, `-0`, and the digits of
/// all scripts.
fn escaped_octet(escape: &str) -> Result<(u8, &str), DecodeError> {
    if let Some(pair) = escape.as_bytes().get(..2)
        && pair.iter().all(u8::is_ascii_hexdigit)
        && let Ok(octet) = u8::from_str_radix(&escape[..2], 16)
    {
        return Ok((octet, &escape[2..]));
    }
    let mut utf16 = escape.encode_utf16();
    let (Some(first), Some(second)) = (utf16.next(), utf16.next()) else {
        return Err(DecodeError::Incomplete);
    };
    let illegal = |index| DecodeError::Illegal {
        index,
        units: [first, second],
    };
    let value = |unit: u16| char::from_u32(u32::from(unit)).and_then(|unit| digit(unit, 16));
    let low = value(second);
    let octet = match (first, low) {
        (0x2b, Some(low)) | (0x2d, Some(low @ 0)) => low,
        (0x2d, Some(_)) => return Err(DecodeError::Negative),
        (0x2b | 0x2d, None) => return Err(illegal(1)),
        _ => 16 * value(first).ok_or(illegal(0))? + low.ok_or(illegal(1))?,
    };
    let after = escape
        .char_indices()
        .nth(2)
        .map_or(escape.len(), |(index, _)| index);
    Ok((octet as u8, &escape[after..]))
}

/// `url_encode`: Guava's `urlFormParameterEscaper`. Keeps ASCII letters and digits and `-_.*`; a space becomes `+`.
pub fn encode(text: &str) -> String {
    const HEXADECIMAL: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'*' => {
                encoded.push(char::from(byte))
            }
            b' ' => encoded.push('+'),
            _ => {
                encoded.push('%');
                encoded.push(char::from(HEXADECIMAL[usize::from(byte >> 4)]));
                encoded.push(char::from(HEXADECIMAL[usize::from(byte & 15)]));
            }
        }
    }
    encoded
}

/// Appends `octets` as Java decodes UTF-8: each malformed sequence becomes one U+FFFD.
///
/// `String::from_utf8_lossy` does the same, except for encoded surrogates (`ED A0 80`), which become one U+FFFD in Java
/// and three in Rust.
fn push_utf8(decoded: &mut String, octets: &[u8]) {
    let mut rest = octets;
    loop {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                decoded.push_str(text);
                return;
            }
            Err(error) => {
                let (valid, malformed) = rest.split_at(error.valid_up_to());
                decoded.push_str(std::str::from_utf8(valid).unwrap_or_default());
                decoded.push(char::REPLACEMENT_CHARACTER);
                let length = match malformed {
                    [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
                    [0xed, 0xa0..=0xbf, ..] => 2,
                    _ => error.error_len().unwrap_or(malformed.len()),
                };
                rest = &malformed[length..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_decoded_as_anything_is() {
        let parts = [
            "a", "é", "+", "%41", "%2f", "%7F", "%00", "%C3%A9", "%8", "%+5", "%zz", "%", "x y",
        ];
        let mut decoded_as_ascii = 0;
        for one in parts {
            for two in parts {
                for three in parts {
                    let text = [one, two, three].concat();
                    if let Some(decoded) = decode_ascii(&text) {
                        assert_eq!(Ok(decoded), decode_any(&text), "{text:?}");
                        decoded_as_ascii += 1;
                    }
                }
            }
        }
        // Eight of the parts decode to ASCII, or contain no escape.
        assert!(decoded_as_ascii >= 8 * 8 * 8, "{decoded_as_ascii}");
    }
}
