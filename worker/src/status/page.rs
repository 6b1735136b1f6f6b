//! The status page as HTML. maud escapes every text that is put into it; [`words::foreign`] also replaces characters that would change
//! the direction of text, and shortens long texts.
//!
//! The page loads nothing except itself. A policy allows exactly its own script and style, by their hashes.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::reasons::reason;
use super::tables::{scrolling, tables};
use super::verdict::SILENCE_MAX;
use super::words::{ago, bytes, count, counted, foreign, length, log_files, rate, with_code};
use super::{Known, QueueStatus, Severity, Status, TableStatus, Waiting, Worker};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Maximum number of tables named in the list of leases of a worker.
const LEASES_MAX: usize = 20;

/// How often a page without JavaScript reloads, in seconds.
const RELOAD_SECONDS: u32 = 15;

/// The `Content-Security-Policy` of the page: nothing but its own style, script and requests to the worker.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// A page, and the headers that it needs.
#[derive(Debug, Clone)]
pub struct Page {
    /// The HTML.
    pub html: String,
}

impl Page {
    /// The headers of every answer with a page.
    pub fn headers() -> [(&'static str, &'static str); 5] {
        [
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", POLICY.as_str()),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ]
    }

    /// A page with the reason why the status is not shown.
    pub fn refusal(title: &str, text: &str) -> Self {
        let html = html! {
            (DOCTYPE)
            html lang="en" {
                (head(title, None))
                body { main { h1 { (title) } p { (text) } } }
            }
        };
        Self {
            html: html.into_string(),
        }
    }
}

/// The status page.
pub fn page(status: &Status) -> Page {
    let (class, mark, word) = state(status.verdict.state);
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{mark} {word} – logmill"), Some(class)))
            body {
                header { p.name { "logmill" } p #stale role="status" hidden {} p #said.unseen role="status" {} }
                main {
                    (verdict(status))
                    (now(status))
                    (tables(status))
                    (failures(status))
                    (came(status))
                    (workers(status))
                    (settings(status))
                }
                footer { p {
                    "The same as JSON: " a href="v1/status" { "/v1/status" } ". Metrics: " a href="metrics" { "/metrics" } "."
                } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Page {
        html: html.into_string(),
    }
}

fn head(title: &str, state: Option<&str>) -> Markup {
    let colour = match state {
        Some("well") => "%23137333",
        Some("look") => "%239a6700",
        Some("wrong") => "%23b3261e",
        _ => "%23666666",
    };
    let icon = format!(
        "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><circle cx='4' cy='4' r='4' fill='{colour}'/></svg>"
    );
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            @if state.is_some() {
                noscript { meta http-equiv="refresh" content=(RELOAD_SECONDS); }
            }
            title { (title) }
            link rel="icon" href=(icon);
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// The class, the mark and the word of a state. The word is for people who can't distinguish the colours.
fn state(state: Option<Severity>) -> (&'static str, &'static str, &'static str) {
    match state {
        None => ("well", "✓", "Well"),
        Some(Severity::Look) => ("look", "!", "Look"),
        Some(Severity::Wrong) => ("wrong", "✗", "Wrong"),
    }
}

fn verdict(status: &Status) -> Markup {
    let verdict = &status.verdict;
    let (class, mark, _) = state(verdict.state);
    html! {
        section #verdict.verdict.(class) aria-labelledby="summary" {
            h1 #summary { span.mark aria-hidden="true" { (mark) } " " (verdict.summary) }
            @if !verdict.problems.is_empty() {
                ol.problems {
                    @for problem in &verdict.problems {
                        @let (class, _, word) = state(Some(problem.severity));
                        li {
                            p { strong.(class) { (word) } " " span.what { (foreign(&problem.what)) } }
                            @if let Some(cause) = &problem.cause { p.cause { (foreign(cause)) } }
                            p.then { (with_code(&problem.then)) }
                        }
                    }
                }
            }
            @if !verdict.unknown.is_empty() {
                p { "Not looked at, so nothing is claimed about it:" }
                ul.unknown { @for unknown in &verdict.unknown { li { (foreign(unknown)) } } }
            }
            p { (in_short(status)) }
            p.at { "As of " time datetime=(status.at) { (status.at.in_words()) } ". The page updates itself." }
        }
    }
}

/// One sentence about whether the pipeline is working.
fn in_short(status: &Status) -> String {
    let recently = &status.totals.recently;
    let is_silent = |worker: &&Worker| status.at.since(worker.heard) > SILENCE_MAX;
    let silent = status.workers.iter().skip(1).filter(is_silent).count();
    let workers = counted((status.workers.len() - silent) as u64, "worker", "workers");
    let workers = match silent {
        0 => workers,
        _ => format!("{workers}, and {silent} silent"),
    };
    let came = match recently.seconds {
        seconds if seconds > 0.0 => format!(
            ", {} staged in the last {}",
            log_files(recently.log_files),
            length(Duration::from_secs_f64(seconds))
        ),
        _ => String::new(),
    };
    let newest = status
        .tables
        .iter()
        .filter_map(|table| table.newest_line)
        .max();
    let newest = newest.map_or_else(
        || "; no table has counted a line yet".to_owned(),
        |line| {
            format!(
                "; the newest counted line is {} old",
                length(status.at.since(line))
            )
        },
    );
    format!("{workers}{came}{newest}.")
}

/// A figure and its name. `note` is a detail below it.
fn figure(name: &str, value: impl AsRef<str>, note: impl AsRef<str>) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { span.value { (value.as_ref()) } @if !note.as_ref().is_empty() { " " span.note { (note.as_ref()) } } }
        }
    }
}

/// The current state in a few figures.
fn now(status: &Status) -> Markup {
    let totals = &status.totals;
    let [log_files_rate, lines_rate, bytes_rate] = totals.recently.per_second();
    let over = match totals.recently.seconds {
        seconds if seconds > 0.0 => format!(
            "a second, over the last {}",
            length(Duration::from_secs_f64(seconds))
        ),
        _ => "a second".to_owned(),
    };
    let all = |get: fn(&TableStatus) -> Option<Waiting>| {
        let waiting: Vec<Option<Waiting>> = status.tables.iter().map(get).collect();
        let sum = waiting.iter().flatten().map(|waiting| waiting.log_files);
        let sum = count(sum.fold(0, u64::saturating_add));
        let is_part = |waiting: &Option<Waiting>| waiting.is_none_or(|waiting| waiting.are_more);
        match waiting.iter().any(is_part) {
            true => format!("at least {sum}"),
            false => sum,
        }
    };
    html! {
        section aria-labelledby="now" {
            h2 #now { "Now" }
            dl.figures {
                @if let Some(queue) = &status.queue { (queue_figures(queue)) }
                @if let Some(oldest) = totals.oldest_message_seconds {
                    (figure("Message age", length(Duration::from_secs(oldest)), "the oldest, when received, in the last minutes"))
                }
                (figure("Being staged", count(totals.log_files_in_flight), "log files"))
                (figure("Staged", all(|table| table.staged), "for all tables, waiting for a commit"))
                (figure("Set aside", all(|table| table.set_aside), "for all tables"))
                (figure("Log files", rate(60.0 * log_files_rate), over.replacen("second", "minute", 1)))
                (figure("Lines", rate(lines_rate), &over))
                (figure("Text", bytes(bytes_rate as u64), &over))
            }
        }
    }
}

fn queue_figures(queue: &QueueStatus) -> Markup {
    let unknown = || "unknown".to_owned();
    let depth = queue.depth.known();
    let waiting = depth.map_or_else(unknown, |depth| count(depth.waiting));
    let note = depth.map_or_else(String::new, |depth| match depth.delayed {
        0 => format!("messages, and {} in flight", count(depth.in_flight)),
        delayed => format!(
            "messages, {} in flight, {} delayed",
            count(depth.in_flight),
            count(delayed)
        ),
    });
    let (dead, of_dead) = match &queue.dead {
        Known::Known(dead) => (count(*dead), "messages"),
        Known::Unknown(_) => (unknown(), ""),
    };
    html! {
        (figure("In the queue", waiting, note))
        (figure("Dead letters", dead, of_dead))
    }
}

fn failures(status: &Status) -> Markup {
    let totals = &status.totals;
    let last = |name: &str| {
        let mut failures = totals.recent_failures.iter();
        failures.find(|failure| failure.reason == name)
    };
    // Commits keep their errors with the table.
    let tables = status
        .workers
        .iter()
        .flat_map(|worker| &worker.report.tables);
    let failing = tables.filter_map(|(table, report)| Some((table, report.failing.as_ref()?)));
    let failing = failing.max_by_key(|(_, failing)| failing.last);
    let of_tables = |name: &str| failing.filter(|_| name == "upkeep");
    let table = html! {
        table {
            caption { "Attempts that failed since the workers started, by reason, with the last message of each." }
            thead { tr {
                th scope="col" { "Reason" }
                th.number scope="col" { "Attempts" }
                th scope="col" { "Last" }
                th scope="col" { "Last message" }
            } }
            tbody {
                @for (name, number) in &totals.failures {
                    @let (_, meaning, _) = reason(name);
                    tr {
                        th scope="row" { (foreign(name)) span.note { " " (meaning) } }
                        td.number { (count(*number)) }
                        @match (last(name), of_tables(name)) {
                            (_, Some((table, failing))) => {
                                td { (ago(failing.last, status.at)) }
                                td.message { (foreign(table)) ": " (foreign(&failing.error)) }
                            }
                            (Some(failure), None) => {
                                td { (ago(failure.at, status.at)) }
                                td.message { @if !failure.about.is_empty() { (foreign(&failure.about)) ": " } (foreign(&failure.message)) }
                            }
                            (None, None) => { td {} td {} }
                        }
                    }
                }
            }
        }
    };
    html! {
        section aria-labelledby="failures" {
            h2 #failures { "Failures" }
            @if totals.failures.is_empty() { p { "No attempt has failed since the workers started." } }
            @else { (scrolling("failures-scroll", "Failures", table)) }
        }
    }
}

fn counts(caption: &str, head: &str, counts: &BTreeMap<String, u64>) -> Markup {
    html! {
        table {
            caption { (caption) }
            thead { tr { th scope="col" { (head) } th.number scope="col" { "Log files" } } }
            tbody {
                @for (name, number) in counts {
                    tr { th scope="row" { (foreign(name)) } td.number { (count(*number)) } }
                }
            }
        }
    }
}

/// The totals since the workers started.
fn came(status: &Status) -> Markup {
    let totals = &status.totals;
    let rejected = match totals.rejected_lines {
        0 => "none rejected".to_owned(),
        rejected => format!("{} rejected", count(rejected)),
    };
    html! {
        section aria-labelledby="came" {
            h2 #came { "Totals since the workers started" }
            dl.figures.totals {
                (figure("Lines", count(totals.lines), rejected))
                (figure("Size", bytes(totals.bytes), format!("as stored, {} decompressed", bytes(totals.text_bytes))))
            }
            div.side {
                (counts("Log files by outcome. A failed one is an attempt.", "Outcome", &totals.log_files))
                @if !totals.kinds.is_empty() {
                    (counts("Staged and skipped log files by kind.", "Kind", &totals.kinds))
                }
                @if totals.messages.values().any(|number| *number > 0) {
                    table {
                        caption { "Messages by outcome. Lost: other workers may have them too." }
                        thead { tr { th scope="col" { "Outcome" } th.number scope="col" { "Messages" } } }
                        tbody { @for (name, number) in &totals.messages {
                            tr { th scope="row" { (foreign(name)) } td.number { (count(*number)) } }
                        } }
                    }
                }
            }
        }
    }
}

fn workers(status: &Status) -> Markup {
    let now = status.at;
    let table = html! {
        table {
            caption { "Each worker writes a report to the tables' folder once a minute." }
            thead { tr {
                th scope="col" { "Worker" }
                th scope="col" { "Last heard" }
                th scope="col" { "Running for" }
                th scope="col" { "Version" }
                th.number scope="col" { "Staged" }
                th.number scope="col" { "Failed" }
                th.number scope="col" { "Being staged" }
                th.number scope="col" { "Lines a second" }
                th scope="col" { "Commits" }
            } }
            tbody {
                @for worker in &status.workers {
                    @let report = &worker.report;
                    @let outcome = |name: &str| count(report.log_files.get(name).copied().unwrap_or(0));
                    tr {
                        th.host scope="row" { (foreign(&report.host))
                            @if worker.id == status.answered_by { span.note { " (this one)" } } }
                        td { (ago(worker.heard, now)) @if report.is_stopping { span.note { ", stopping" } } }
                        td { (length(now.since(report.started))) }
                        td { (foreign(&report.version)) }
                        td.number { (outcome("staged")) }
                        td.number { (outcome("failed")) }
                        td.number { (count(report.log_files_in_flight)) }
                        td.number { (rate(report.recently.per_second()[1])) }
                        td.leases { (leases(worker)) }
                    }
                }
            }
        }
    };
    let number = status.workers.len() as u64;
    html! {
        section aria-labelledby="workers" {
            h2 #workers { "Workers: " (count(number)) }
            (scrolling("workers-scroll", "Workers", table))
        }
    }
}

/// The tables whose leases a worker holds.
fn leases(worker: &Worker) -> Markup {
    let tables = worker.report.tables.iter();
    let held: Vec<&String> = tables
        .filter(|(_, table)| table.has_lease)
        .map(|(name, _)| name)
        .collect();
    html! {
        @if held.is_empty() {
            span.none { @if worker.report.commits { "holds no lease" } @else { "only stages" } }
        }
        @for (at, name) in held.iter().take(LEASES_MAX).enumerate() { @if at > 0 { ", " } (foreign(name)) }
        @if held.len() > LEASES_MAX { " and " (count((held.len() - LEASES_MAX) as u64)) " more" }
    }
}

fn settings(status: &Status) -> Markup {
    html! {
        section aria-labelledby="settings" {
            h2 #settings { "Settings of this worker" }
            dl.settings {
                @for setting in &status.settings {
                    div { dt { (setting.name) } dd { (foreign(&setting.value)) } }
                }
            }
        }
    }
}
