//! A log line, parsed only as far as needed.

use std::borrow::Cow;
use std::str::FromStr;

use super::fields::{FieldValues, split_request};
use super::{LogFormat, ScanColumn, Source};
use logmill_trino::uri::Queries;
use logmill_trino::url;

/// The parts of a line that must be parsed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// Fields to split off: as many as a line must have, or more if a column needs a later field.
    pub(super) fields: usize,
    /// A bit for each field that a column needs.
    wanted: u64,
    /// Whether fields that the format does not name are needed.
    pub(super) others: bool,
    request_field: usize,
    /// Whether the request is split too.
    request: bool,
    /// Whether the query of the URL is located.
    query: bool,
}

impl Needs {
    /// The parts that every line needs.
    pub(super) fn of(format: &LogFormat) -> Self {
        Self {
            fields: format.fields_min,
            wanted: 0,
            others: false,
            // Only formats with a request have columns of it.
            request_field: format.request_field.unwrap_or_default(),
            request: false,
            query: false,
        }
    }

    /// Adds what a column needs.
    pub(super) fn add(&mut self, column: &ScanColumn) {
        match column {
            ScanColumn::Column(column) => match column.source {
                // No column comes from a later field, so the rest begins here.
                Source::RestAfter(field) => {
                    self.fields = self.fields.max(field);
                    self.others = true;
                }
                source => match source.field() {
                    Some(field) => self.add_field(field),
                    None => self.add_request(),
                },
            },
            ScanColumn::UrlParameter(_) | ScanColumn::UrlDouble(_) | ScanColumn::UrlBigint(_) => {
                self.add_request();
                self.query = true;
            }
            ScanColumn::Time
            | ScanColumn::Day
            | ScanColumn::OfFile(_)
            | ScanColumn::LineNumber
            | ScanColumn::LineText => {}
        }
    }

    fn add_field(&mut self, field: usize) {
        self.fields = self.fields.max(field + 1);
        self.wanted |= 1 << field;
    }

    fn add_request(&mut self) {
        self.request = true;
        self.add_field(self.request_field);
    }

    /// Whether a column needs this field.
    pub(super) fn has(&self, field: usize) -> bool {
        self.wanted & (1 << field) != 0
    }
}

/// The parts of a line's request.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Request<'l> {
    parts: Option<(&'l str, &'l str, &'l str)>,
    /// The raw query of its URL.
    pub(super) query: Option<&'l str>,
}

impl<'l> Request<'l> {
    /// Finds the parts that are needed and were not found yet.
    #[inline(always)]
    pub(super) fn find(
        &mut self,
        fields: impl FieldValues<'l>,
        needs: Needs,
        queries: &mut Queries,
    ) {
        if needs.request && self.parts.is_none() {
            self.parts = fields.text(needs.request_field).and_then(split_request);
        }
        if needs.query && self.query.is_none() {
            self.query = self.parts.and_then(|(_, url, _)| queries.raw_query(url));
        }
    }
}

/// A line's fields, and the parts that were found in them.
#[derive(Clone, Copy)]
pub(super) struct Line<'l, V> {
    pub(super) fields: V,
    pub(super) request: Request<'l>,
}

impl<'l, V: FieldValues<'l>> Line<'l, V> {
    /// The value of a text column.
    #[inline(always)]
    pub(super) fn text(&self, source: Source) -> Option<&'l str> {
        let Self {
            fields,
            request: Request { parts, .. },
        } = *self;
        match source {
            Source::Text(field) => fields.text(field),
            Source::Raw(field) => fields.raw(field),
            Source::Address(field) => fields.address(field),
            Source::RequestVerb => parts.map(|(verb, _, _)| verb),
            Source::RequestUrl => parts.map(|(_, url, _)| url),
            Source::RequestProtocol => parts.map(|(_, _, protocol)| protocol),
            _ => fields.rest(),
        }
    }

    /// The value of a numeric column. As in Hive's RegexSerDe, a text that is not a number gives NULL.
    #[inline(always)]
    pub(super) fn number<T: FromStr>(&self, source: Source) -> Option<T> {
        let text = match source {
            Source::Int(field) | Source::BigInt(field) => self.fields.whole(field),
            Source::Double(field) => self.fields.text(field),
            Source::Port(field) => self.fields.port(field),
            _ => None,
        };
        // `-` is by far the most common text that is not a number.
        text.filter(|text| *text != "-")?.parse().ok()
    }

    #[inline(always)]
    pub(super) fn double(&self, source: Source) -> Option<f64> {
        // Rust also parses `inf` and `nan`, which no load balancer writes.
        self.number(source)
            .filter(|number: &f64| number.is_finite())
    }

    /// The first parameter of this name in the URL's query.
    pub(super) fn parameter(&self, name: &str) -> Option<Cow<'l, str>> {
        let mut parameters = url::parameters(self.request.query?);
        Some(parameters.find(|parameter| parameter.name == name)?.value())
    }
}
