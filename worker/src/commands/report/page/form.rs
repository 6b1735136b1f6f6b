//! The form of a live page: time range, table, filters and comparison. It is sent as a query string, so each page has a URL.

use maud::{Markup, html};
use url::form_urlencoded::Serializer;

use super::super::Question;
use super::super::model::Report;
use super::super::range::{self, Range};
use super::super::sql::Filter;
use super::super::text;

/// Ranges that end with the newest line: their names and hours.
const LAST: [(&str, i64); 4] = [
    ("24 hours", 24),
    ("7 days", 168),
    ("30 days", 720),
    ("a year", 8760),
];

/// The form, as it was sent.
#[derive(Debug, Clone)]
pub(in super::super) struct Form {
    pub(in super::super) question: Question,
    /// All tables.
    pub(in super::super) tables: Vec<String>,
}

impl Form {
    /// The URL of the page with one more filter.
    pub(super) fn with_filter(&self, column: &str, value: Option<&str>) -> String {
        let mut question = self.question.clone();
        let filter = Filter {
            column: column.to_owned(),
            value: value.map(str::to_owned),
        };
        question.filters.retain(|other| other.column != column);
        question.filters.push(filter);
        address(&question)
    }

    pub(super) fn html(&self, report: &Report) -> Markup {
        let question = &self.question;
        let range = report.range();
        let mut columns: Vec<&String> = report
            .tables
            .iter()
            .flat_map(|table| &table.filterable)
            .collect();
        columns.sort();
        columns.dedup();
        let is_selected = |name: &String| question.tables.contains(name);
        html! {
            form.question method="get" action="/" {
                div.fields {
                    label { "From (UTC) " input type="datetime-local" name="from" value=(input(range.from)) required; }
                    label { "to (UTC) " input type="datetime-local" name="to" value=(input(range.to)) required; }
                    label { "Table " select name="table" {
                        option value="" { "all" }
                        @for name in &self.tables { option value=(name) selected[is_selected(name)] { (name) } }
                    } }
                    @if !columns.is_empty() {
                        label { "Key " select name="key" {
                            option value="" { "any" }
                            @for column in &columns { option value=(column) { (column) } }
                        } }
                        label { "is " input type="text" name="value" maxlength="512" autocomplete="off"; }
                    }
                    label.check { input type="checkbox" name="compare" value="1" checked[question.compare]; " Compare with the period before" }
                    @for filter in &question.filters { input type="hidden" name=(name(filter)) value=(value(filter)); }
                    button type="submit" { "Show" }
                }
            }
            nav.links aria-label="Time range" {
                @for (words, hours) in LAST {
                    a href=(address(&Question { from: None, to: None, last: Some(chrono::TimeDelta::hours(hours)), ..question.clone() })) { "Last " (words) }
                }
                a href=(address(&moved(question, range.before()))) { "← Before" }
                a href=(address(&moved(question, Range { from: range.to, to: range.to.saturating_add(range.seconds()) }))) { "After →" }
            }
            @if !question.filters.is_empty() {
                ul.filters aria-label="Filters" {
                    @for (place, filter) in question.filters.iter().enumerate() {
                        li {
                            (text::shown(&filter.column)) " "
                            @match &filter.value { Some(value) => { "= " bdi { (text::shown(value)) } }, None => "is NULL" }
                            " "
                            a href=(address(&without(question, place))) { "Remove" span.hidden { " the filter of " (text::shown(&filter.column)) } }
                        }
                    }
                }
            }
        }
    }
}

fn moved(question: &Question, range: Range) -> Question {
    let time = |seconds| chrono::DateTime::from_timestamp(seconds, 0);
    Question {
        from: time(range.from),
        to: time(range.to),
        last: None,
        ..question.clone()
    }
}

fn without(question: &Question, place: usize) -> Question {
    let mut question = question.clone();
    question.filters.remove(place);
    question
}

/// The time in the format of a browser's input.
fn input(seconds: i64) -> String {
    range::minute(seconds).replacen(' ', "T", 1)
}

fn name(filter: &Filter) -> &'static str {
    if filter.value.is_some() {
        "where"
    } else {
        "null"
    }
}

fn value(filter: &Filter) -> String {
    match &filter.value {
        Some(value) => format!("{}:{value}", filter.column),
        None => filter.column.clone(),
    }
}

fn address(question: &Question) -> String {
    let mut query = Serializer::new("/?".to_owned());
    for (name, time) in [("from", question.from), ("to", question.to)] {
        if let Some(time) = time {
            query.append_pair(name, &input(time.timestamp()));
        }
    }
    if let Some(last) = question.last.filter(|_| question.from.is_none()) {
        query.append_pair("hours", &last.num_hours().to_string());
    }
    for table in &question.tables {
        query.append_pair("table", table);
    }
    for filter in &question.filters {
        query.append_pair(name(filter), &value(filter));
    }
    if question.compare {
        query.append_pair("compare", "1");
    }
    query.finish()
}
