//! Lines that are JSON objects, as CloudWatch Logs delivers them.
//!
//! Numbers and texts are accepted for any field, because AWS does not document which of them it writes: a number has the
//! value of its text. A list of texts is joined as the text log writes it.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::named::NamedFields;
use super::{LogFormat, Rejection};

/// Reads lines that are JSON objects.
#[derive(Debug)]
pub(super) struct JsonLines {
    format: &'static LogFormat,
    /// The fields of the last line, in its order. The next line is most likely to have them in the same order.
    last: Vec<Option<usize>>,
}

impl JsonLines {
    pub(super) fn new(format: &'static LogFormat) -> Self {
        Self {
            format,
            last: Vec::new(),
        }
    }

    /// Reads the fields of a line. Returns whether one of them is the time.
    pub(super) fn read(&mut self, line: &str, into: &mut NamedFields) -> Result<bool, Rejection> {
        into.clear(self.format);
        let object = Object {
            lines: self,
            line,
            into,
        };
        let mut json = serde_json::Deserializer::from_str(line);
        let read = object.deserialize(&mut json);
        let read = read.and_then(|found| json.end().map(|()| found));
        into.end();
        let found = read.map_err(|_| Rejection::NoObject)?;
        match found.any {
            true => Ok(found.time),
            false => Err(Rejection::NoField(self.format.table)),
        }
    }
}

/// The names and values of a line's fields, if it is a JSON object.
pub(super) fn fields(line: &str) -> Option<Vec<(String, Option<String>)>> {
    let object: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(line).ok()?;
    let values = object.into_iter();
    let values = values.map(|(name, json)| {
        let value = value(json.get(), List::of(&name)).map(Cow::into_owned);
        (name, value)
    });
    Some(values.collect())
}

/// Which fields a line has.
#[derive(Default)]
struct Found {
    any: bool,
    time: bool,
}

/// The object of a line.
struct Object<'a, 'l> {
    lines: &'a mut JsonLines,
    line: &'l str,
    into: &'a mut NamedFields,
}

impl<'l> DeserializeSeed<'l> for Object<'_, 'l> {
    type Value = Found;

    fn deserialize<D: Deserializer<'l>>(self, json: D) -> Result<Found, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'l> Visitor<'l> for Object<'_, 'l> {
    type Value = Found;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'l>>(self, mut members: A) -> Result<Found, A::Error> {
        let format = self.lines.format;
        let mut found = Found::default();
        for at in 0.. {
            let expected = self.lines.last.get(at).copied().flatten();
            let Some(name) = members.next_key_seed(Name { format, expected })? else {
                break;
            };
            let json: &'l RawValue = members.next_value()?;
            let field = match &name {
                FieldName::Known(field) => {
                    let list = List::of(format.fields[*field].name);
                    let value = value(json.get(), list);
                    self.into.set(*field, self.line, value);
                    found.any = true;
                    found.time |= *field == format.time_field;
                    Some(*field)
                }
                FieldName::Other(name) => {
                    self.into.add_other(name, json.get());
                    None
                }
            };
            match self.lines.last.get_mut(at) {
                Some(last) => *last = field,
                None => self.lines.last.push(field),
            }
        }
        Ok(found)
    }
}

/// The name of a field.
struct Name {
    format: &'static LogFormat,
    expected: Option<usize>,
}

enum FieldName {
    Known(usize),
    Other(String),
}

impl<'l> DeserializeSeed<'l> for Name {
    type Value = FieldName;

    fn deserialize<D: Deserializer<'l>>(self, json: D) -> Result<FieldName, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = FieldName;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<FieldName, E> {
        let expected = self
            .expected
            .filter(|field| self.format.fields[*field].name == name);
        Ok(match expected.or_else(|| self.format.field(name)) {
            Some(field) => FieldName::Known(field),
            None => FieldName::Other(name.to_owned()),
        })
    }
}

/// How the text log writes a list.
#[derive(Clone, Copy)]
pub(super) struct List {
    separator: &'static str,
    /// Whether each item is in quotes.
    has_quotes: bool,
}

impl List {
    /// The list of this field.
    pub(super) fn of(name: &str) -> Self {
        Self {
            separator: match name {
                "target_port_list" | "target_status_code_list" => " ",
                _ => ",",
            },
            has_quotes: name == "alpn_client_preference_list",
        }
    }

    /// Its text.
    pub(super) fn text<T: AsRef<str>>(self, items: impl Iterator<Item = T>) -> String {
        let items = items.map(|item| match self.has_quotes {
            true => format!("\"{}\"", item.as_ref()),
            false => item.as_ref().to_owned(),
        });
        items.collect::<Vec<_>>().join(self.separator)
    }
}

/// The text of a value. `None` for null.
fn value(json: &str, list: List) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'n' => None,
        b'"' => {
            let inner = json.get(1..json.len() - 1)?;
            if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
                return Some(Cow::Borrowed(inner));
            }
            // Half of a surrogate pair is valid JSON, but no text.
            Some(serde_json::from_str(json).map_or(Cow::Borrowed(inner), Cow::Owned))
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let items = items.iter().filter_map(|item| value(item.get(), list));
            Some(Cow::Owned(list.text(items)))
        }
        _ => Some(Cow::Borrowed(json)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ALB_ACCESS_LOGS;
    use crate::format::fields::FieldValues;

    fn read(line: &str) -> Result<Vec<(&'static str, String)>, Rejection> {
        let mut named = NamedFields::default();
        JsonLines::new(&ALB_ACCESS_LOGS).read(line, &mut named)?;
        let fields = named.of(line);
        let names = ALB_ACCESS_LOGS.fields.iter().map(|field| field.name);
        let values = names
            .enumerate()
            .filter_map(|(at, name)| Some((name, fields.text(at)?.to_owned())));
        let rest = fields.rest().map(|rest| ("", rest.to_owned()));
        Ok(values.chain(rest).collect())
    }

    fn texts(line: &str) -> Vec<(&'static str, String)> {
        read(line).unwrap()
    }

    #[test]
    fn values_are_texts_in_any_order_and_of_any_type() {
        let line = r#" {"elb_status_code":200, "time":"2026-11-20T10:00:00Z","trace_id":null,"request_processing_time":1e-3,
            "user_agent":"a\"b\u00e9\\x22","new":[1,"x"],"type":"","actions_executed":["waf","forward"],"classification":true} "#;
        let line = line.replace('\n', " ");
        assert_eq!(
            texts(&line),
            [
                ("type", "".to_owned()),
                ("time", "2026-11-20T10:00:00Z".to_owned()),
                ("request_processing_time", "1e-3".to_owned()),
                ("elb_status_code", "200".to_owned()),
                ("user_agent", "a\"bé\\x22".to_owned()),
                ("actions_executed", "waf,forward".to_owned()),
                ("classification", "true".to_owned()),
                ("", r#"{"new":[1,"x"]}"#.to_owned()),
            ]
        );
        let lists = r#"{"target_port_list":["10.0.0.1:80","10.0.0.2:80"]}"#;
        let list = "10.0.0.1:80 10.0.0.2:80".to_owned();
        assert_eq!(texts(lists), [("target_port_list", list)]);
        let protocols = ["h2", "http/1.1"].iter();
        assert_eq!(
            List::of("alpn_client_preference_list").text(protocols),
            r#""h2","http/1.1""#
        );
        // The last one wins, as in Athena's JSON readers. Half a surrogate pair stays as it is written.
        assert_eq!(texts(r#"{"elb":"a","elb":"b"}"#), [("elb", "b".to_owned())]);
        assert_eq!(
            texts(r#"{"elb":"\ud800"}"#),
            [("elb", "\\ud800".to_owned())]
        );
    }

    #[test]
    fn other_lines_are_rejected() {
        for line in ["{", "[]", "null", "x", "{} {}", "{\"elb\":}", "{\"elb\":1"] {
            assert_eq!(read(line), Err(Rejection::NoObject), "{line}");
        }
        for line in ["{}", "{\"level\":\"info\"}"] {
            assert_eq!(
                read(line),
                Err(Rejection::NoField("alb_access_logs")),
                "{line}"
            );
        }
    }
}
