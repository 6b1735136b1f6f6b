//! The page: self-contained HTML. The template escapes all texts.

use anyhow::Result;
use logmill_trino::binary::{BASE64, to_base64};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

mod parts;
mod table;
mod form;

pub(super) use form::Form;

use super::model::{Report, Section};
use super::range::{length, minute};
use super::{range_in_words, text};
use crate::table::definition::REJECTED_LINES;

/// The library that draws time series: version 1.6.32. `vendor/README.md` says where it is from, and how to update it.
const UPLOT: &str = include_str!("../vendor/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("../vendor/uPlot.min.css");
const UPLOT_LICENSE: &str = include_str!("../vendor/LICENSE");
const UPLOT_VERSION: &str = "1.6.32";

const SCRIPT: &str = include_str!("report.js");
const STYLE: &str = include_str!("report.css");

fn csp_hash(text: &str) -> String {
    format!("sha256-{}", to_base64(&Sha256::digest(text), &BASE64))
}

/// The Content Security Policy: only the page's own scripts and styles, by their hashes. `forms` is where forms may be sent.
pub(super) fn policy(forms: &str) -> String {
    format!(
        "default-src 'none'; script-src '{}' '{}'; style-src '{}' '{}'; base-uri 'none'; form-action {forms}",
        csp_hash(UPLOT),
        csp_hash(SCRIPT),
        csp_hash(UPLOT_STYLE),
        csp_hash(STYLE),
    )
}

/// The page of a report. With a form, a person can request another one.
///
/// # Errors
///
/// If its figures can't be JSON.
pub(super) fn html(report: &Report, form: Option<&Form>) -> Result<String> {
    let json = text::json_in_script(report)?;
    let forms = if form.is_some() { "'self'" } else { "'none'" };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(forms));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "logmill report, " (range_in_words(report.range())) }
                style { (PreEscaped(UPLOT_STYLE)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#tables" { "Skip to the tables" }
                (header(report, form))
                main #tables {
                    (overview(report))
                    @for (number, section) in report.tables.iter().enumerate() {
                        (parts::section(number, section, report.range(), form))
                    }
                }
                (footer())
                script type="application/json" #figures { (PreEscaped(json)) }
                script { (PreEscaped(UPLOT)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(page.into_string())
}

/// A page with an error instead of a report.
pub(super) fn problem_page(problem: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "logmill report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "No report" }
                    p.problem { (problem) }
                    p { a href="/" { "Back to the report" } }
                }
            }
        }
    };
    page.into_string()
}

fn header(report: &Report, form: Option<&Form>) -> Markup {
    html! {
        header {
            h1 { "logmill report" }
            p.range {
                strong { (range_in_words(report.range())) }
                " (" (length(report.range().seconds())) ")"
                @if report.compares { ", compared with the " (length(report.range().seconds())) " before" }
            }
            p.small { "Tables in " code { (report.place) } ", read at " (minute(report.made)) " UTC. All times are UTC." }
            @if let Some(form) = form { (form.html(report)) }
            noscript { p.note { "Charts need JavaScript. All figures are also in the tables beneath them." } }
        }
    }
}

/// An overview of all tables: their newest lines, and the problems of their log files.
fn overview(report: &Report) -> Markup {
    html! {
        section aria-labelledby="overview" {
            h2 #overview { "Tables" }
            div.scroll tabindex="0" role="group" aria-label="Overview of all tables" {
                table {
                    thead {
                        tr {
                            th scope="col" { "table" }
                            th scope="col" { "newest line" }
                            th scope="col" title="all lines before this time are counted" { "final until" }
                            th.number scope="col" { "log files" }
                            th.number scope="col" { "lines" }
                            th.number scope="col" { "rejected" }
                            th.number scope="col" title="lines on which the rollup's SQL fails" { "failed" }
                            th.number scope="col" title="hours between the first and the last line in which no log file ends" { "hours without" }
                        }
                    }
                    tbody {
                        @for (number, section) in report.tables.iter().enumerate() {
                            (overview_row(number, section))
                        }
                    }
                }
            }
            p.small { "Log files and lines of this range, as the ledger of each table has counted them. All lines before " em { "final until" } " are counted; later figures may still grow." }
            @if !report.left_out.is_empty() {
                p.note {
                    "Not shown, because a page has " (report.tables.len()) " tables: " (report.left_out.join(", "))
                    ". Ask for them with " code { "--table" } "."
                }
            }
        }
    }
}

fn overview_row(number: usize, section: &Section) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "#table-" (number) } { (section.table) } }
            @match &section.ledger {
                Some(ledger) => {
                    td { @match ledger.newest_line { Some(line) => (minute(line)), None => "–" } }
                    td { @match section.final_until { Some(time) => (minute(time)), None => "–" } }
                    (table::count(ledger.log_files))
                    (table::count(ledger.lines))
                    (table::count(ledger.rejected_lines))
                    (table::count(ledger.failed_lines))
                    @if section.table == REJECTED_LINES { td.number { "–" } } @else { (table::count(ledger.hours_without)) }
                }
                None => td.problem colspan="7" { "cannot be read" },
            }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            p.small {
                "Made by logmill " (env!("CARGO_PKG_VERSION")) ". Each figure is the answer of the query beneath it. Charts are drawn by "
                a href="https://github.com/leeoniya/uPlot" rel="noreferrer" { "uPlot " (UPLOT_VERSION) } "."
            }
            details {
                summary { "The licence of uPlot" }
                pre { (UPLOT_LICENSE) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published hashes, which `vendor/README.md` records.
    #[test]
    fn the_library_is_what_was_published() {
        let recorded = include_str!("../vendor/README.md");
        for text in [UPLOT, UPLOT_STYLE, UPLOT_LICENSE] {
            let hash: String = Sha256::digest(text)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert!(recorded.contains(&hash), "{hash}");
        }
        assert!(UPLOT.contains(&format!("(v{UPLOT_VERSION})")));
        assert!(recorded.contains(UPLOT_VERSION));
    }

    #[test]
    fn scripts_and_styles_do_not_end_themselves() {
        for text in [UPLOT, SCRIPT] {
            assert!(!text.to_ascii_lowercase().contains("</script") && !text.contains("<!--"));
        }
        for text in [UPLOT_STYLE, STYLE] {
            assert!(!text.to_ascii_lowercase().contains("</style"));
        }
    }
}
