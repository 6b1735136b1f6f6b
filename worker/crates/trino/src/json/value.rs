//! JSON values: their text as Trino writes it, and their casts.
//!
//! Trino keeps a JSON value as a text in one form: without white space, with numbers and escapes as Jackson writes them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::{Reader, Token, Torn, units};
use crate::cast;
use crate::double_text::{double_to_varchar, java_double};
use crate::json_path::JsonPath;

/// The text is not one JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidJson<'a>(&'a str);

impl fmt::Display for InvalidJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cannot convert value to JSON: '{}'", self.0)
    }
}

impl std::error::Error for InvalidJson<'_> {}

/// `json_extract`: the value at this path. `None` if the path leads nowhere, or the text ends within the value.
pub fn extract(json: &str, path: &JsonPath) -> Option<String> {
    let (mut reader, token) = Reader::at_path(json, path).ok()??;
    let mut text = String::new();
    reader.copy(token, Order::AsRead, &mut text).ok()?;
    Some(text)
}

/// `json_parse`: the value. Fields are sorted by name, and of several with the same name the last one counts.
///
/// # Errors
///
/// The text is not one JSON value.
pub fn parse(json: &str) -> Result<String, InvalidJson<'_>> {
    let mut reader = Reader::new(json);
    let mut text = String::new();
    let value = reader.root();
    let value = value.and_then(|token| reader.copy(token, Order::ByName, &mut text));
    match value.and_then(|()| reader.at_end()) {
        Ok(()) => Ok(text),
        Err(Torn) => Err(InvalidJson(json)),
    }
}

/// `is_json_scalar`: whether the value is neither an object nor an array.
///
/// # Errors
///
/// The text is not one JSON value.
pub fn is_scalar(json: &str) -> Result<bool, InvalidJson<'_>> {
    let mut reader = Reader::new(json);
    let token = reader.root().and_then(|token| {
        reader.skip(token)?;
        reader.at_end()?;
        Ok(token)
    });
    match token {
        Ok(token) => Ok(!matches!(token, Token::Object | Token::Array)),
        Err(Torn) => Err(InvalidJson(json)),
    }
}

/// The value that [`array_contains`] searches for.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// A string.
    Varchar(&'a str),
    /// A number without a fraction and an exponent.
    Bigint(i64),
    /// A number with a fraction or an exponent.
    Double(f64),
    /// True or false.
    Boolean(bool),
}

/// `json_array_contains`: whether an element equals the item. `None` if the text is not an array, or is torn before such an element.
pub fn array_contains(json: &str, item: Item<'_>) -> Option<bool> {
    if matches!(item, Item::Double(number) if !number.is_finite()) {
        return Some(false);
    }
    let mut reader = Reader::new(json);
    let Ok(Token::Array) = reader.root() else {
        return None;
    };
    let mut is_first = true;
    loop {
        let token = reader.next_element(is_first).ok()?;
        is_first = false;
        let is_equal = match (token, item) {
            (Token::End, _) => return Some(false),
            (Token::Text, Item::Varchar(text)) => {
                let (element, has_half_pair) = reader.text().ok()?;
                element == text && !has_half_pair
            }
            (Token::Plain(element), Item::Boolean(boolean)) => element == boolean.to_string(),
            (Token::Plain(element), Item::Bigint(number)) => element.parse() == Ok(number),
            (Token::Plain(element), Item::Double(number)) => {
                is_float(element) && element.parse() == Ok(number)
            }
            (token, _) => {
                reader.skip(token).ok()?;
                false
            }
        };
        if is_equal {
            return Some(true);
        }
    }
}

fn is_float(number: &str) -> bool {
    number.contains(['.', 'e', 'E']) && !number.starts_with(['t', 'f'])
}

impl<'t> Reader<'t> {
    /// Fails unless only white space is left.
    fn at_end(&mut self) -> Result<(), Torn> {
        self.skip_space();
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(Torn),
        }
    }

    /// Writes the rest of a value in Trino's form. Nesting costs no recursion, because visitors may write any depth.
    fn copy(&mut self, first: Token<'t>, order: Order, text: &mut String) -> Result<(), Torn> {
        let mut open: Vec<Open> = Vec::new();
        let mut token = first;
        loop {
            let mut is_first = false;
            match token {
                Token::Object | Token::Array => {
                    let is_object = token == Token::Object;
                    text.push(if is_object { '{' } else { '[' });
                    open.push(match is_object {
                        true => Open::Object(Vec::new()),
                        false => Open::Array,
                    });
                    is_first = true;
                }
                Token::End => match open.pop() {
                    Some(Open::Object(fields)) => {
                        sort(&fields, text);
                        text.push('}');
                    }
                    _ => text.push(']'),
                },
                scalar => self.write_scalar(scalar, text)?,
            }
            token = match open.last_mut() {
                None => return Ok(()),
                Some(Open::Object(fields)) => match self.raw_field_name(is_first)? {
                    Some(name) => {
                        text.push_str(if is_first { "" } else { "," });
                        if order == Order::ByName {
                            fields.push((units(name)?, text.len()));
                        }
                        write_raw(name, text)?;
                        text.push(':');
                        self.value()?
                    }
                    None => Token::End,
                },
                Some(Open::Array) => {
                    let token = self.next_element(is_first)?;
                    if !is_first && token != Token::End {
                        text.push(',');
                    }
                    token
                }
            };
        }
    }

    /// Writes a value that has no others inside.
    fn write_scalar(&mut self, token: Token<'t>, text: &mut String) -> Result<(), Torn> {
        match token {
            Token::Text => write_raw(self.raw_text()?, text)?,
            Token::Plain(number) if is_float(number) => {
                text.push_str(&double(number.parse().map_err(|_| Torn)?));
            }
            Token::Plain("-0") => text.push('0'),
            Token::Plain(plain) => text.push_str(plain),
            _ => text.push_str("null"),
        }
        Ok(())
    }
}

/// The order of an object's fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    AsRead,
    /// By name. Of several fields with the same name, only the last one is kept.
    ByName,
}

/// An array or object whose end was not read yet.
enum Open {
    Array,
    /// The fields whose order matters: the UTF-16 units of each name, by which Java sorts, and where the field starts in the text.
    Object(Vec<(Vec<u16>, usize)>),
}

/// Sorts the fields at the end of the text.
fn sort(fields: &[(Vec<u16>, usize)], text: &mut String) {
    let Some((_, first)) = fields.first() else {
        return;
    };
    if fields.is_sorted_by(|(one, _), (next, _)| one < next) {
        return;
    }
    // A comma is before each field but the first.
    let ends = fields.iter().skip(1).map(|(_, start)| start - 1);
    let ends = ends.chain([text.len()]);
    let ranges = fields.iter().zip(ends);
    let by_name: BTreeMap<_, _> = ranges
        .filter_map(|((name, start), end)| Some((name, text.get(*start..end)?)))
        .collect();
    let sorted = by_name.into_values().collect::<Vec<_>>().join(",");
    text.truncate(*first);
    text.push_str(&sorted);
}

/// Writes a string whose content is escaped already, with other escapes.
fn write_raw(raw: &str, text: &mut String) -> Result<(), Torn> {
    // Surrogate pairs take four bytes in UTF-8.
    if raw.bytes().all(|byte| byte != b'\\' && byte < 0xF0) {
        text.push('"');
        text.push_str(raw);
        text.push('"');
        return Ok(());
    }
    write_units(units(raw)?, text);
    Ok(())
}

/// Writes a string. Like Jackson over UTF-8, it escapes all characters beyond U+FFFF.
fn write_units(units: impl IntoIterator<Item = u16>, text: &mut String) {
    text.push('"');
    for unit in units {
        match unit {
            0x08 => text.push_str("\\b"),
            0x09 => text.push_str("\\t"),
            0x0a => text.push_str("\\n"),
            0x0c => text.push_str("\\f"),
            0x0d => text.push_str("\\r"),
            0x22 => text.push_str("\\\""),
            0x5c => text.push_str("\\\\"),
            unit => match char::from_u32(u32::from(unit)) {
                Some(character) if unit >= 0x20 => text.push(character),
                _ => text.push_str(&format!("\\u{unit:04X}")),
            },
        }
    }
    text.push('"');
}

/// A double as a number; as a string if it is not finite.
fn double(number: f64) -> String {
    match number.is_finite() {
        true => java_double(number),
        false => format!("\"{}\"", java_double(number)),
    }
}

/// VARCHAR to JSON: a string.
pub fn varchar_to_json(text: &str) -> String {
    let mut json = String::new();
    write_units(text.encode_utf16(), &mut json);
    json
}

/// DOUBLE to JSON.
pub fn double_to_json(number: f64) -> String {
    double(number)
}

/// A JSON value without others inside.
enum Scalar<'t> {
    Null,
    Text(Cow<'t, str>),
    Integer(&'t str),
    Double(f64),
    Boolean(bool),
}

/// The value of a text that [`extract`] or [`parse`] returned, or the error of a cast to the type `to`.
fn scalar<'t>(json: &'t str, to: &str) -> Result<Scalar<'t>, String> {
    let mut reader = Reader::new(json);
    let value = match reader.root() {
        Ok(Token::Null) => Some(Scalar::Null),
        Ok(Token::Text) => reader.text().ok().map(|(text, _)| Scalar::Text(text)),
        Ok(Token::Plain("true")) => Some(Scalar::Boolean(true)),
        Ok(Token::Plain("false")) => Some(Scalar::Boolean(false)),
        Ok(Token::Plain(number)) if is_float(number) => number.parse().ok().map(Scalar::Double),
        Ok(Token::Plain(number)) => Some(Scalar::Integer(number)),
        _ => None,
    };
    value.ok_or_else(|| cannot_cast(json, to))
}

fn cannot_cast(json: &str, to: &str) -> String {
    format!("Cannot cast '{json}' to {to}")
}

/// JSON to VARCHAR.
///
/// # Errors
///
/// The value is an array or an object.
pub fn json_to_varchar(json: &str) -> Result<Option<String>, String> {
    Ok(match scalar(json, "varchar")? {
        Scalar::Null => None,
        Scalar::Text(text) => Some(text.into_owned()),
        Scalar::Integer(number) => Some(number.to_owned()),
        Scalar::Double(number) => Some(double_to_varchar(number)),
        Scalar::Boolean(boolean) => Some(boolean.to_string()),
    })
}

/// JSON to DOUBLE.
///
/// # Errors
///
/// The value is an array, an object, or a string that is not a number.
pub fn json_to_double(json: &str) -> Result<Option<f64>, String> {
    Ok(match scalar(json, "double")? {
        Scalar::Null => None,
        Scalar::Text(text) => {
            Some(cast::varchar_to_double(&text).map_err(|error| error.to_string())?)
        }
        Scalar::Integer(number) => Some(number.parse().map_err(|_| cannot_cast(json, "double"))?),
        Scalar::Double(number) => Some(number),
        Scalar::Boolean(boolean) => Some(f64::from(u8::from(boolean))),
    })
}

/// JSON to BOOLEAN. A number is true unless it is 0.
///
/// # Errors
///
/// The value is an array, an object, a string that is not a boolean, or an integer beyond BIGINT.
pub fn json_to_boolean(json: &str) -> Result<Option<bool>, String> {
    Ok(match scalar(json, "boolean")? {
        Scalar::Null => None,
        Scalar::Text(text) => {
            Some(cast::varchar_to_boolean(&text).map_err(|error| error.to_string())?)
        }
        Scalar::Integer(number) => {
            let number: i64 = number.parse().map_err(|_| cannot_cast(json, "boolean"))?;
            Some(number != 0)
        }
        Scalar::Double(number) => Some(number != 0.0),
        Scalar::Boolean(boolean) => Some(boolean),
    })
}

/// JSON to BIGINT, INTEGER, SMALLINT or TINYINT, whose casts from VARCHAR and DOUBLE are these functions.
///
/// # Errors
///
/// The value is an array, an object, a string that is not a number, or a number beyond the type.
pub fn json_to_integer<T: TryFrom<i64>>(
    json: &str,
    to: &str,
    of_varchar: for<'a> fn(&'a str) -> Result<T, cast::CastError<'a>>,
    of_double: fn(f64) -> Result<T, cast::CastError<'static>>,
) -> Result<Option<T>, String> {
    let beyond = || cannot_cast(json, to);
    let of_bigint = |number: i64| T::try_from(number).map_err(|_| beyond());
    Ok(match scalar(json, to)? {
        Scalar::Null => None,
        Scalar::Text(text) => Some(of_varchar(&text).map_err(|error| error.to_string())?),
        Scalar::Integer(number) => Some(of_bigint(number.parse().map_err(|_| beyond())?)?),
        Scalar::Double(number) => Some(of_double(number).map_err(|error| error.to_string())?),
        Scalar::Boolean(boolean) => Some(of_bigint(i64::from(boolean))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(json: &str, path: &str) -> Option<String> {
        extract(json, &JsonPath::parse(path).unwrap())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    // tests/trino compares the same texts with Trino.
    #[test]
    fn extracted_values_have_trinos_form() {
        let json = r#" { "b" : [ 1.50 , -0, 1e400, {"z": "\u0041\/\u001f", "a": null} ], "b": 2 , "e": "🍏\ud83c" } "#;
        let b = r#"[1.5,0,"Infinity",{"z":"A/\u001F","a":null}]"#;
        assert_eq!(extracted(json, "$.b"), some(b));
        assert_eq!(extracted(json, "$.e"), some(r#""\uD83C\uDF4F\uD83C""#));
        assert_eq!(extracted(json, "$.b[3].a"), some("null"));
        assert_eq!(extracted(json, "$.c"), None);
        assert_eq!(
            extracted(r#"{"a":{},"b":[]} x"#, "$"),
            some(r#"{"a":{},"b":[]}"#)
        );
        assert_eq!(extracted(r#"{"a":[1,2"#, "$.a"), None);
        assert_eq!(extracted(r#"{"a":[1,2"#, "$.a[1]"), some("2"));
    }

    #[test]
    fn parsed_values_are_whole_and_sorted() {
        assert_eq!(
            parse(r#"{"b":1,"a":[true,{"y":1,"x":"x"}],"b":2}"#).unwrap(),
            r#"{"a":[true,{"x":"x","y":1}],"b":2}"#
        );
        assert_eq!(parse(" null ").unwrap(), "null");
        assert_eq!(parse("[[],[[]],{}]").unwrap(), "[[],[[]],{}]");
        for invalid in ["", "1 2", "[1", "[1]]", "{\"a\":1} x", "tru", "\"x"] {
            assert_eq!(parse(invalid), Err(InvalidJson(invalid)));
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(parse(&deep).unwrap(), deep);
    }

    #[test]
    fn elements_are_found() {
        let json = r#"[1, 2.0, "x", true, [3], 1e2, "torn"#;
        for (item, found) in [
            (Item::Bigint(1), Some(true)),
            (Item::Bigint(2), None),
            (Item::Double(2.0), Some(true)),
            (Item::Double(100.0), Some(true)),
            (Item::Double(1.0), None),
            (Item::Varchar("x"), Some(true)),
            (Item::Boolean(true), Some(true)),
            (Item::Boolean(false), None),
        ] {
            assert_eq!(array_contains(json, item), found, "{item:?}");
        }
        assert_eq!(array_contains("[]", Item::Bigint(1)), Some(false));
        assert_eq!(array_contains("{}", Item::Bigint(1)), None);
    }

    #[test]
    fn values_are_cast() {
        assert_eq!(json_to_varchar("1.5"), Ok(some("1.5E0")));
        assert_eq!(json_to_varchar("null"), Ok(None));
        assert_eq!(
            json_to_varchar("[1]"),
            Err("Cannot cast '[1]' to varchar".to_owned())
        );
        assert_eq!(json_to_double("\"1.5\""), Ok(Some(1.5)));
        assert_eq!(json_to_boolean("0.0"), Ok(Some(false)));
        let tinyint = |json| {
            json_to_integer(
                json,
                "tinyint",
                cast::varchar_to_tinyint,
                cast::double_to_tinyint,
            )
        };
        assert_eq!(tinyint("127"), Ok(Some(127)));
        assert_eq!(tinyint("1.5"), Ok(Some(2)));
        assert_eq!(tinyint("true"), Ok(Some(1)));
        tinyint("128").unwrap_err();
        assert_eq!(varchar_to_json("a\"🍏"), r#""a\"\uD83C\uDF4F""#);
        assert_eq!(double_to_json(1e7), "1.0E7");
    }
}
