//! Lines whose fields are separated by a delimiter, with names that are known from elsewhere: from the `#Fields:` line of a
//! W3C log, or from a setting.
//!
//! W3C: <https://www.w3.org/TR/WD-logfile>. CloudWatch Logs lets people choose the delimiter, so it is deduced from the file.

use std::borrow::Cow;

use logmill_trino::iso8601::Timestamps;

use super::fields::{FieldValues, end_of_quoted};
use super::named::{NamedFields, whole};
use super::recognise::is_port;
use super::{LogField, LogFormat, PlainShape, Rejection};

/// Delimiters that are tried, besides the one between the names of a `#Fields:` line.
const DELIMITERS: [char; 5] = ['\t', ' ', ',', '|', ';'];

/// Reads lines by the names of their fields.
#[derive(Debug)]
pub(super) struct DelimitedLines {
    format: &'static LogFormat,
    names: Vec<FieldName>,
    /// The delimiter of the last line. Empty if none is known yet.
    delimiter: String,
    /// Delimiters that lines of a W3C log may have.
    candidates: Vec<String>,
    times: Timestamps,
}

#[derive(Debug, Clone, PartialEq)]
enum FieldName {
    Known(usize),
    Other(String),
    /// A field that nobody wants.
    Unnamed,
}

/// The result of splitting a line.
struct Found {
    values: usize,
    /// Whether the time is one, if it has a name.
    time: Option<bool>,
}

impl DelimitedLines {
    fn new(format: &'static LogFormat) -> Self {
        Self {
            format,
            names: Vec::new(),
            delimiter: String::new(),
            candidates: Vec::new(),
            times: Timestamps::default(),
        }
    }

    /// Lines of a W3C log. Its directives name the fields.
    pub(super) fn w3c(format: &'static LogFormat) -> Self {
        Self::new(format)
    }

    /// Lines of a plain log.
    pub(super) fn plain(format: &'static LogFormat, shape: &PlainShape) -> Self {
        let names = shape.fields.iter();
        Self {
            names: names.map(|name| FieldName::of(format, name)).collect(),
            delimiter: shape.delimiter.clone(),
            ..Self::new(format)
        }
    }

    /// Reads a line of a W3C log. Returns whether it has a time, or `None` for a directive, such as `#Fields:`.
    ///
    /// A visitor's value may begin with `#`, and it may be the first one of its line. So a line with all values is no
    /// directive.
    pub(super) fn read_w3c(
        &mut self,
        line: &str,
        into: &mut NamedFields,
    ) -> Result<Option<bool>, Rejection> {
        if line.starts_with('#') && !self.is_line(line, into) {
            if let Some(names) = field_names(line) {
                let names = names.iter().map(|name| FieldName::of(self.format, name));
                self.names = names.collect();
                let candidates = delimiter_of_names(line).into_iter().chain(DELIMITERS);
                self.candidates = candidates.map(String::from).collect();
                self.delimiter.clear();
            }
            return Ok(None);
        }
        self.read(line, into).map(Some)
    }

    /// Whether a line that begins as a directive does is a line of the log.
    fn is_line(&mut self, line: &str, into: &mut NamedFields) -> bool {
        if !self.delimiter.is_empty() {
            return self.is_whole(line, into);
        }
        // Without a time, many directives have as many words as there are names.
        let time = FieldName::Known(self.format.time_field);
        self.names.contains(&time) && self.deduce(line, into).is_some()
    }

    /// Reads a line. Returns whether it has a time.
    pub(super) fn read(&mut self, line: &str, into: &mut NamedFields) -> Result<bool, Rejection> {
        let least = self.names.len();
        let mut found = self.split(line, into);
        // A visitor's value may have looked like other delimiters on a line before.
        if (found.values < least || found.time == Some(false))
            && let Some(delimiter) = self.deduce(line, into)
        {
            self.delimiter = delimiter;
            found = self.split(line, into);
        }
        if !self
            .names
            .iter()
            .any(|name| matches!(name, FieldName::Known(_)))
        {
            return Err(Rejection::NoField(self.format.table));
        }
        match found.values < least {
            true => Err(Rejection::TooFewFields {
                found: found.values,
                least,
            }),
            false => Ok(found.time.is_some()),
        }
    }

    /// Whether a line has a value for each name, by the delimiter of the last line.
    pub(super) fn is_whole(&mut self, line: &str, into: &mut NamedFields) -> bool {
        if self.delimiter.is_empty() {
            return false;
        }
        let found = self.split(line, into);
        found.values == self.names.len() && found.time != Some(false)
    }

    fn split(&mut self, line: &str, into: &mut NamedFields) -> Found {
        into.clear(self.format);
        into.with_quotes = true;
        let mut found = Found {
            values: 0,
            time: None,
        };
        for value in values(line, &self.delimiter) {
            match self.names.get(found.values) {
                Some(FieldName::Known(field)) => {
                    into.set(*field, line, Some(Cow::Borrowed(value)));
                    if *field == self.format.time_field {
                        found.time = Some(self.times.read(value).is_some());
                    }
                }
                Some(FieldName::Other(name)) => into.add_other(name, &json(value)),
                Some(FieldName::Unnamed) => {}
                None => into.add_other(&format!("field_{}", found.values + 1), &json(value)),
            }
            found.values += 1;
        }
        into.end();
        found
    }

    /// Finds the delimiter that gives the line one value per name, with a valid time. If several do, the one with the
    /// fewest values that do not fit their fields.
    fn deduce(&mut self, line: &str, into: &mut NamedFields) -> Option<String> {
        let mut best = None;
        for candidate in self.candidates.clone() {
            let last = std::mem::replace(&mut self.delimiter, candidate.clone());
            if self.is_whole(line, into) {
                let fields = into.of(line);
                let values = self.format.fields.iter().enumerate();
                let values = values.filter_map(|(at, field)| Some((fields.text(at)?, field)));
                let unfit = values
                    .filter(|(value, field)| !is_value(value, field))
                    .count();
                if best.as_ref().is_none_or(|(least, _)| unfit < *least) {
                    best = Some((unfit, candidate));
                }
            }
            self.delimiter = last;
        }
        best.map(|(_, delimiter)| delimiter)
    }
}

/// Whether a text may be a value of a field: missing, of its kind, or a port without its address.
pub(super) fn is_value(text: &str, field: &LogField) -> bool {
    matches!(text, "" | "-") || (field.is)(whole(text)) || is_port(whole(text))
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

/// The values of a line. A value may be in double quotes. A line has one value if the delimiter is empty.
fn values<'l>(line: &'l str, delimiter: &'l str) -> impl Iterator<Item = &'l str> {
    let mut start = Some(0);
    // If a quote is not closed, no later one is either. To look for it at each value would take quadratic time.
    let mut are_closed = true;
    std::iter::from_fn(move || {
        let from = start?;
        let rest = line.get(from..)?;
        // A quote that is not closed before a delimiter is a part of the value.
        let mut quoted = None;
        if are_closed && rest.starts_with('"') {
            let end = end_of_quoted(line.as_bytes(), from, delimiter.as_bytes());
            let is_closed = end > from + 1 && line.as_bytes()[end - 1] == b'"';
            quoted = is_closed.then_some(end);
            are_closed = is_closed;
        }
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
        [] => None,
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
        assert_eq!(reads("a b"), Err(Rejection::NoField("alb_access_logs")));
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
    #[test]
    fn a_visitors_value_costs_at_most_its_line() {
        let time = "2026-11-20T10:00:00Z";
        let mut lines = DelimitedLines::w3c(&ALB_ACCESS_LOGS);
        let mut reads = |line: &str| read(&mut lines, line);
        // A value that begins like a directive.
        assert_eq!(reads("#Fields: user_agent time elb"), Ok(None));
        let agent =
            |line: Result<Option<[String; 3]>, Rejection>| line.unwrap().unwrap()[1].clone();
        for value in ["curl", "#evil", "#Fields: a b c", "\"x", "a, b; c|d e"] {
            assert_eq!(agent(reads(&format!("{value}\t{time}\tapp/a/1"))), value);
        }
        // A value that looks like other delimiters, on the first line.
        assert_eq!(reads("#Fields: user_agent,time,elb"), Ok(None));
        let _ = reads(&format!("x {time} y,z,{time},app/a/1"));
        assert_eq!(agent(reads(&format!("curl,{time},app/a/1"))), "curl");
        assert_eq!(reads("#Fields: elb elb_status_code user_agent"), Ok(None));
        assert_eq!(agent(reads("app/a/1|200|a b c")), "a b c");
    }

    #[test]
    fn many_quotes_take_no_longer_than_other_characters() {
        let line = "x \"".repeat(100_000) + "x";
        assert_eq!(values(&line, " ").count(), 100_001);
    }
}
