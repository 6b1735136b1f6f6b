//! The section about the tables: how fresh each one is, and what waits for it.

use maud::{Markup, html};

use super::words::{ago, bytes, count, foreign};
use super::{Finality, Known, Moment, NextGeneration, Status, Waiting, Worker};

/// A table that is wider than a phone scrolls by itself, also by keyboard.
pub(super) fn scrolling(id: &str, label: &str, table: Markup) -> Markup {
    html! { div.scroll #(id) role="group" aria-label=(label) tabindex="0" { (table) } }
}

fn or_unknown(figure: Option<Markup>) -> Markup {
    figure.unwrap_or_else(|| html! { span.none { "unknown" } })
}

fn waiting(waiting: Option<Waiting>, now: Moment) -> Markup {
    or_unknown(waiting.map(|waiting| {
        html! {
            @if waiting.are_more { "more than " }
            (count(waiting.log_files))
            @if let Some(oldest) = waiting.oldest { " " span.note { "oldest " (ago(oldest, now)) } }
        }
    }))
}

pub(super) fn tables(status: &Status) -> Markup {
    let now = status.at;
    let holder = |table: &str| {
        let mut workers = status.workers.iter();
        let holds = |table: &str, worker: &Worker| {
            worker
                .report
                .tables
                .get(table)
                .is_some_and(|report| report.has_lease)
        };
        workers.find(|worker| holds(table, worker))
    };
    let table = html! {
        table {
            caption { "From log file to table: how fresh each table is, and how many log files wait for it." }
            thead { tr {
                th scope="col" { "Table" }
                th scope="col" { "Newest line" }
                th scope="col" { "Last commit" }
                th scope="col" { "Staged" }
                th scope="col" { "Set aside" }
                th scope="col" { "Committed by" }
                th.number scope="col" { "Rows" }
                th.number scope="col" { "Size" }
                th scope="col" { "Final until" }
                th scope="col" { "Fed by" }
            } }
            tbody {
                @for table in &status.tables {
                    tr {
                        th scope="row" { (foreign(&table.name)) }
                        td { @match table.newest_line {
                            Some(line) => { (ago(line, now)) }
                            None => { span.none { @if table.rows.is_some() { "none yet" } @else { "unknown" } } }
                        } }
                        td { @match table.last_commit {
                            Some(commit) => { (ago(commit, now)) }
                            None => { span.none { @if table.rows.is_some() { "none yet" } @else { "unknown" } } }
                        } }
                        td { (waiting(table.staged, now)) }
                        td { (waiting(table.set_aside, now)) }
                        td.host { @match holder(&table.name) {
                            Some(worker) => { (foreign(&worker.report.host)) }
                            None => { span.none { "no worker" } }
                        } }
                        td.number { (or_unknown(table.rows.map(|rows| html! { (count(rows)) }))) }
                        td.number { (or_unknown(table.bytes.map(|size| html! { (bytes(size)) }))) }
                        td.final { @if let Some(finality) = &table.finality { (final_until(finality)) } }
                        td.fed {
                            (table.fed_by)
                            @if let Some(name) = &table.generation { span.note { " generation: " (foreign(name)) } }
                            @if let Some(next) = &table.next { (next_generation(next, now)) }
                        }
                    }
                }
            }
        }
    };
    html! {
        section aria-labelledby="tables" {
            h2 #tables { "Tables" }
            @if status.tables.is_empty() { p { "No table yet." } }
            @else { (scrolling("tables-scroll", "Tables", table)) }
        }
    }
}

fn final_until(finality: &Known<Finality>) -> Markup {
    let Some(finality) = finality.known() else {
        return or_unknown(None);
    };
    html! {
        @match finality.until {
            Some(until) => { time datetime=(until) { (until.minute_in_words()) } }
            None => { span.none { "nothing yet" } }
        }
        span.note.waits { " waits for " (foreign(&finality.waits_for)) }
    }
}

fn next_generation(next: &NextGeneration, now: Moment) -> Markup {
    html! {
        "next: " (foreign(&next.name)) ", which a rebuild fills; staged: " (waiting(next.staged, now))
    }
}
