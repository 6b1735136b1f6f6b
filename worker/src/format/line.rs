//! A log line, parsed only as far as needed.

use std::borrow::Cow;
use std::str::FromStr;

use super::fields::{Fields, split_address, split_request};
use super::{LogFormat, MIN_FIELDS, ScanColumn, Source};
use logmill_trino::uri::Queries;
use logmill_trino::url;

/// The parts of a line that must be parsed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// Fields to split off: the first twelve, or more if a column needs a later field.
    pub(super) fields: usize,
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
            fields: MIN_FIELDS,
            request_field: format.request_field,
            request: false,
            query: false,
        }
    }

    /// Adds what a column needs.
    pub(super) fn add(&mut self, column: &ScanColumn) {
        match column {
            ScanColumn::Column(column) => match column.source {
                Source::Text(field) | Source::Raw(field) => {
                    self.fields = self.fields.max(field + 1);
                }
                // No column comes from a later field, so the rest begins here.
                Source::RestAfter(field) => self.fields = self.fields.max(field),
                Source::RequestVerb | Source::RequestUrl | Source::RequestProtocol => {
                    self.add_request();
                }
                // These lie among the first twelve fields.
                _ => {}
            },
            ScanColumn::UrlParameter(_) | ScanColumn::UrlDouble(_) | ScanColumn::UrlBigint(_) => {
                self.add_request();
                self.query = true;
            }
            ScanColumn::Time
            | ScanColumn::Day
            | ScanColumn::DeliveryDay
            | ScanColumn::LineNumber
            | ScanColumn::LineText => {}
        }
    }

    fn add_request(&mut self) {
        self.request = true;
        self.fields = self.fields.max(self.request_field + 1);
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
    pub(super) fn find(
        &mut self,
        line: &'l str,
        fields: &Fields,
        needs: Needs,
        queries: &mut Queries,
    ) {
        if needs.request && self.parts.is_none() {
            let request = fields.text(line, needs.request_field);
            self.parts = request.and_then(split_request);
        }
        if needs.query && self.query.is_none() {
            self.query = self.parts.and_then(|(_, url, _)| queries.raw_query(url));
        }
    }
}

/// A line and the parts that were found in it.
pub(super) struct Line<'l> {
    pub(super) text: &'l str,
    pub(super) fields: &'l Fields,
    pub(super) request: Request<'l>,
}

impl<'l> Line<'l> {
    /// The value of a text column.
    #[inline(always)]
    pub(super) fn text(&self, source: Source) -> Option<&'l str> {
        let Self {
            text: line,
            fields,
            request: Request { parts, .. },
        } = *self;
        match source {
            Source::Text(field) => fields.text(line, field),
            Source::Raw(field) => fields.raw(line, field),
            // For a lone `-`, the DDL's `([^ ]*)[:-]([0-9]*)` gives an empty address.
            Source::Address(field) => fields.text(line, field).map(|field| {
                split_address(field).map_or(field.trim_end_matches('-'), |(address, _)| address)
            }),
            Source::RequestVerb => parts.map(|(verb, _, _)| verb),
            Source::RequestUrl => parts.map(|(_, url, _)| url),
            Source::RequestProtocol => parts.map(|(_, _, protocol)| protocol),
            _ => fields.rest(line),
        }
    }

    /// The value of a numeric column. As in Hive's RegexSerDe, a text that is not a number gives NULL.
    #[inline(always)]
    pub(super) fn number<T: FromStr>(&self, source: Source) -> Option<T> {
        let text = match source {
            Source::Int(field) | Source::BigInt(field) | Source::Double(field) => {
                self.fields.text(self.text, field)
            }
            Source::Port(field) => {
                let address = self.fields.text(self.text, field);
                address.and_then(split_address).map(|(_, port)| port)
            }
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
