//! Lines whose fields are separated by a delimiter, with names that are known from elsewhere: from the `#Fields:` line of a
//! W3C log, or from a setting.
//!
//! W3C: <https://www.w3.org/TR/WD-logfile>. CloudWatch Logs lets people choose the delimiter, so it is deduced from the file.

use std::borrow::Cow;

use logmill_trino::iso8601::Timestamps;

use super::fields::end_of_quoted;
use super::named::NamedFields;
use super::{LogFormat, PlainShape, Rejection};

/// Delimiters that are tried, besides the one between the names of a `#Fields:` line.
const DELIMITERS: [char; 5] = ['\t', ' ', ',', '|', ';'];

/// Reads lines by the names of their fields.
#[derive(Debug)]
pub(super) struct DelimitedLines {
    format: &'static LogFormat,
    names: Vec<FieldName>,
    /// The delimiter, once it is known.
    delimiter: Option<String>,
    /// Delimiters that the names suggest.
    candidates: Vec<char>,
}

#[derive(Debug, Clone, PartialEq)]
enum FieldName {
    Known(usize),
    Other(String),
    /// A field that nobody wants.
    Unnamed,
}

impl DelimitedLines {
    /// Lines of a W3C log. Its directives name the fields.
    pub(super) fn w3c(format: &'static LogFormat) -> Self {
        Self {
            format,
            names: Vec::new(),
            delimiter: None,
            candidates: Vec::new(),
        }
    }

    /// Lines of a plain log.
    pub(super) fn plain(format: &'static LogFormat, shape: &PlainShape) -> Self {
        let names = shape.fields.iter();
        Self {
            format,
            names: names.map(|name| FieldName::of(format, name)).collect(),
            delimiter: Some(shape.delimiter.clone()),
            candidates: Vec::new(),
        }
    }

    /// Reads a line of a W3C log. Returns whether it has a time, or `None` for a directive, such as `#Fields:`.
    pub(super) fn read_w3c(
        &mut self,
        line: &str,
        into: &mut NamedFields,
    ) -> Result<Option<bool>, Rejection> {
        if !line.starts_with('#') {
            return self.read(line, into).map(Some);
        }
        if let Some(names) = field_names(line) {
            self.names = names
                .iter()
                .map(|name| FieldName::of(self.format, name))
                .collect();
            self.candidates = delimiter_of_names(line)
                .into_iter()
                .chain(DELIMITERS)
                .collect();
            self.delimiter = None;
        }
        Ok(None)
    }

    /// Reads a line. Returns whether it has a time.
    pub(super) fn read(&mut self, line: &str, into: &mut NamedFields) -> Result<bool, Rejection> {
        if self.delimiter.is_none() {
            self.delimiter = self.deduce(line);
        }
        let Some(delimiter) = &self.delimiter else {
            return Err(Rejection::TooFewFields {
                found: 1,
                least: self.names.len(),
            });
        };
        into.clear(self.format);
        into.with_quotes = true;
        let mut found = 0;
        let mut time = false;
        for value in values(line, delimiter) {
            match self.names.get(found) {
                Some(FieldName::Known(field)) => {
                    into.set(*field, line, Some(Cow::Borrowed(value)));
                    time |= *field == self.format.time_field;
                }
                Some(FieldName::Other(name)) => into.add_other(name, &json(value)),
                Some(FieldName::Unnamed) => {}
                None => into.add_other(&format!("field_{}", found + 1), &json(value)),
            }
            found += 1;
        }
        into.end();
        match found < self.names.len() {
            true => Err(Rejection::TooFewFields {
                found,
                least: self.names.len(),
            }),
            false => Ok(time),
        }
    }

    /// The delimiter by which a line has as many fields as there are names, and a time where one is named.
    fn deduce(&self, line: &str) -> Option<String> {
        let time = FieldName::Known(self.format.time_field);
        let time = self.names.iter().position(|name| *name == time);
        let mut candidates = self.candidates.iter().map(char::to_string);
        candidates.find(|delimiter| {
            let values: Vec<&str> = values(line, delimiter).collect();
            let has_time = time.is_none_or(|time| {
                let value = values.get(time);
                value.is_some_and(|value| Timestamps::default().read(value).is_some())
            });
            values.len() == self.names.len() && has_time
        })
    }
}

impl FieldName {
    fn of(format: &LogFormat, name: &str) -> Self {
        match format.field(name) {
            Some(field) => Self::Known(field),
            None if name == "-" => Self::Unnamed,
            None => Self::Other(name.to_owned()),
        }
    }
}

/// The names in a `#Fields:` line.
pub(super) fn field_names(line: &str) -> Option<Vec<String>> {
    let names = line.strip_prefix("#Fields:")?;
    let names = names.split(|char: char| !is_of_name(char));
    Some(
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

/// The delimiter between the names of a `#Fields:` line.
fn delimiter_of_names(line: &str) -> Option<char> {
    let names = line.strip_prefix("#Fields:")?.trim();
    names
        .chars()
        .find(|char| !is_of_name(*char) && *char != ' ')
}

fn is_of_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '(' | ')' | ':')
}

/// The values of a line. A value may be in double quotes.
fn values<'l>(line: &'l str, delimiter: &'l str) -> impl Iterator<Item = &'l str> {
    let mut start = Some(0);
    std::iter::from_fn(move || {
        let from = start?;
        let rest = line.get(from..)?;
        // A quote that is not closed before a delimiter is a part of the value.
        let quoted = rest.starts_with('"').then(|| {
            let end = end_of_quoted(line.as_bytes(), from, delimiter.as_bytes());
            Some(end).filter(|end| *end > from + 1 && line.as_bytes()[end - 1] == b'"')
        });
        let quoted = quoted.flatten();
        let end = match quoted {
            Some(end) => end,
            None => find(rest, delimiter).map_or(line.len(), |end| from + end),
        };
        start = (end < line.len()).then_some(end + delimiter.len());
        let value = line.get(from..end)?;
        Some(match quoted {
            Some(_) => super::fields::unquote(value),
            None => value,
        })
    })
}

/// The place of a delimiter. Nearly all delimiters are one byte, and values are short.
fn find(text: &str, delimiter: &str) -> Option<usize> {
    match delimiter.as_bytes() {
        [byte] => memchr::memchr(*byte, text.as_bytes()),
        _ => text.find(delimiter),
    }
}

fn json(text: &str) -> String {
    // A text is always valid JSON.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ALB_ACCESS_LOGS;
    use crate::format::fields::FieldValues;

    /// The line's values of `elb`, `user_agent` and fields without a position.
    fn read(lines: &mut DelimitedLines, line: &str) -> Result<Option<[String; 3]>, Rejection> {
        let mut named = NamedFields::default();
        if lines.read_w3c(line, &mut named)?.is_none() {
            return Ok(None);
        }
        let fields = named.of(line);
        let text = |text: Option<&str>| text.unwrap_or("NULL").to_owned();
        Ok(Some([
            text(fields.text(2)),
            text(fields.text(13)),
            text(fields.rest()),
        ]))
    }

    #[test]
    fn a_line_of_names_says_what_follows() {
        let mut lines = DelimitedLines::w3c(&ALB_ACCESS_LOGS);
        let too_few = |found, least| Err(Rejection::TooFewFields { found, least });
        let mut reads = |line: &str| read(&mut lines, line);
        assert_eq!(reads("a b"), too_few(1, 0));
        assert_eq!(reads("#Version: 1.0"), Ok(None));
        for delimiter in ["\t", " ", ",", "|", ";", "^"] {
            for between in [" ", delimiter] {
                let names = ["user_agent", "time", "elb", "new"].join(between);
                if between == " " && delimiter == "^" {
                    continue;
                }
                assert_eq!(reads(&format!("#Fields: {names}")), Ok(None));
                assert_eq!(reads("nonsense"), too_few(1, 4));
                let line = ["\"a \\\"b\"", "2026-11-20T10:00:00Z", "app/a/1", "-"].join(delimiter);
                let values = ["a \\\"b", "app/a/1", "{\"new\":\"-\"}"];
                let read = reads(&line).unwrap().unwrap();
                assert_eq!([&read[1], &read[0], &read[2]], values, "{line}");
                assert_eq!(reads("x"), too_few(1, 4));
                let more = reads(&format!("{line}{delimiter}x")).unwrap().unwrap();
                assert_eq!(more[2], "{\"new\":\"-\",\"field_5\":\"x\"}");
            }
        }
    }

    #[test]
    fn a_setting_names_the_fields() {
        let shape = PlainShape {
            delimiter: "||".to_owned(),
            fields: ["elb", "-", "user_agent"].map(str::to_owned).into(),
        };
        let mut lines = DelimitedLines::plain(&ALB_ACCESS_LOGS, &shape);
        let mut named = NamedFields::default();
        let line = "app/a/1||x||curl|8";
        assert!(lines.read(line, &mut named).is_ok());
        let fields = named.of(line);
        assert_eq!(fields.text(2), Some("app/a/1"));
        assert_eq!(fields.text(13), Some("curl|8"));
        assert_eq!(fields.rest(), None);
    }
    #[test]
    fn a_quote_that_is_not_closed_is_a_part_of_its_value() {
        let all = |line| values(line, "\t").collect::<Vec<_>>();
        assert_eq!(all("a\t\"b\tc"), ["a", "\"b", "c"]);
        assert_eq!(all("\"a\" b\tc"), ["\"a\" b", "c"]);
        assert_eq!(all("\"\tc"), ["\"", "c"]);
        assert_eq!(all("\"a\tb\"\t\"\"\t"), ["a\tb", "", ""]);
    }
}
