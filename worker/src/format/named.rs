//! The fields of a line that has names for them, or whose names are known from elsewhere, in the order of a line of text.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use super::LogFormat;
use super::fields::FieldValues;

/// The fields of one line, by their positions in a line of text. Reused for each line.
#[derive(Debug, Default)]
pub(super) struct NamedFields {
    values: Vec<Value>,
    /// Values that are not written in the line as they are.
    made: String,
    /// Fields that the format does not have, as members of a JSON object.
    others: String,
    /// Whether quotes around a value in the line are part of it as written.
    pub(super) with_quotes: bool,
}

/// Where a value is.
#[derive(Debug, Clone, Default)]
enum Value {
    /// The line does not have the field, or its value is NULL.
    #[default]
    None,
    InLine(Range<usize>),
    Made(Range<usize>),
}

impl NamedFields {
    /// Forgets the last line.
    pub(super) fn clear(&mut self, format: &LogFormat) {
        self.values.clear();
        self.values.resize(format.fields.len(), Value::None);
        self.made.clear();
        self.others.clear();
    }

    /// Sets a field. A borrowed value is a part of `line`.
    pub(super) fn set(&mut self, field: usize, line: &str, value: Option<Cow<'_, str>>) {
        self.values[field] = match value {
            None => Value::None,
            Some(Cow::Borrowed(part)) => {
                let start = part.as_ptr() as usize - line.as_ptr() as usize;
                Value::InLine(start..start + part.len())
            }
            Some(Cow::Owned(text)) => {
                let start = self.made.len();
                self.made.push_str(&text);
                Value::Made(start..self.made.len())
            }
        };
    }

    /// Adds a field that the format does not have. `json` is its value.
    pub(super) fn add_other(&mut self, name: &str, json: &str) {
        self.others
            .push(if self.others.is_empty() { '{' } else { ',' });
        // A text is always valid JSON.
        let name = serde_json::to_string(name).unwrap_or_default();
        let _ = write!(self.others, "{name}:{json}");
    }

    /// Ends the line.
    pub(super) fn end(&mut self) {
        if !self.others.is_empty() {
            self.others.push('}');
        }
    }

    /// The fields of `line`.
    pub(super) fn of<'l>(&'l self, line: &'l str) -> FieldsOfLine<'l> {
        FieldsOfLine { line, fields: self }
    }
}

/// The fields of a line with names.
#[derive(Clone, Copy)]
pub(super) struct FieldsOfLine<'l> {
    line: &'l str,
    fields: &'l NamedFields,
}

impl<'l> FieldValues<'l> for FieldsOfLine<'l> {
    const ARE_NAMED: bool = true;

    fn text(self, field: usize) -> Option<&'l str> {
        match self.fields.values.get(field)? {
            Value::None => None,
            Value::InLine(range) => self.line.get(range.clone()),
            Value::Made(range) => self.fields.made.get(range.clone()),
        }
    }

    fn raw(self, field: usize) -> Option<&'l str> {
        if self.fields.with_quotes
            && let Value::InLine(Range { start, end }) = self.fields.values.get(field)?
            && let Some(quoted) = self.line.get(start.saturating_sub(1)..end + 1)
            && quoted.starts_with('"')
            && quoted.ends_with('"')
        {
            return Some(quoted);
        }
        self.text(field)
    }

    fn rest(self) -> Option<&'l str> {
        Some(self.fields.others.as_str()).filter(|others| !others.is_empty())
    }
}

/// A whole number without its fraction: some writers have no whole numbers.
pub(super) fn whole(field: &str) -> &str {
    match field.split_once('.') {
        Some((number, fraction)) if fraction.bytes().all(|digit| digit == b'0') => number,
        _ => field,
    }
}

/// Whether a field is a port without its address.
pub(super) fn is_port(field: &str) -> bool {
    !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit())
}
