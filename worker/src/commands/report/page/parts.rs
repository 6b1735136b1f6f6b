//! The section of a table on the page: figures over the whole range, charts, keys, and the rollup's own result.

use maud::{Markup, html};

use super::super::model::{Chart, Drawing, FirstRows, Ledger, Section, TopKeys, Total};
use super::super::number::{Number, Unit, percent};
use super::super::range::{Range, minute};
use super::Form;
use super::table;
use crate::table::definition::REJECTED_LINES;

/// The length of a full bar, in the units of its SVG.
const BAR: f64 = 100.0;

pub(super) fn section(
    number: usize,
    section: &Section,
    range: Range,
    form: Option<&Form>,
) -> Markup {
    let id = format!("table-{number}");
    html! {
        section.table aria-labelledby=(id) {
            h2 id=(id) { (section.table) }
            @for problem in &section.problems { p.problem role="alert" { (problem) } }
            @if !section.about.is_empty() { p.about { (section.about) } }
            @for note in &section.notes { p.note { (note) } }
            (totals(section))
            @if !section.has_rows && section.problems.is_empty() && section.ledger.is_some() {
                p.note { "There are no rows in this range." }
            }
            @if let Some(note) = not_final(section, range) { p.note { (note) } }
            @if let Some(hours) = section.ledger.as_ref().map(|ledger| ledger.hours_without).filter(|hours| *hours > 0 && !section.charts.is_empty()) {
                p.about { "Hours without a log file are shaded: " (hours) " in this range." }
            }
            div.charts {
                @for (place, chart) in section.charts.iter().enumerate() {
                    (figure(&format!("{number}-{place}"), chart))
                }
            }
            div.keys {
                @for keys in section.keys.iter().filter(|keys| !keys.rows.is_empty()) { (top_keys(keys, form)) }
            }
            @if let Some(rows) = &section.result { (result(&section.table, rows)) }
            @if let Some(ledger) = section.ledger.as_ref().filter(|_| section.table != REJECTED_LINES) { (of_ledger(number, ledger)) }
        }
    }
}

/// A note about the end of the charts, if it is not final.
fn not_final(section: &Section, range: Range) -> Option<String> {
    let until = section
        .final_until
        .filter(|until| *until < range.to && section.has_rows)?;
    let later = match section.charts.is_empty() {
        true => "Later figures may still grow",
        false => "Later figures, which are shaded, may still grow",
    };
    Some(match until <= range.from {
        true => "No figure here is final: log files of this time may still arrive.".to_owned(),
        false => format!(
            "Final until {} UTC. {later}: log files of this time may still arrive.",
            minute(until)
        ),
    })
}

fn totals(section: &Section) -> Markup {
    html! {
        @if !section.totals.is_empty() {
            dl.totals {
                @for total in &section.totals { (card(total)) }
            }
            details.sql { summary { "SQL of these figures" } pre tabindex="0" { (section.totals_sql) } }
        }
    }
}

fn card(total: &Total) -> Markup {
    let exact = total.value.map(|value| value.exact());
    html! {
        div title=[exact] {
            dt { (total.name) }
            dd {
                span.figure { @match total.value { Some(value) => (value.short(total.unit)), None => "–" } }
                @if let Some(change) = change(total) { " " span.change { (change) } }
                @if !total.hint.is_empty() { span.hint { (total.hint) } }
            }
        }
    }
}

/// The difference from the previous range, in words.
fn change(total: &Total) -> Option<String> {
    let before = total.before?;
    let (now, then) = (total.value?.as_double(), before.as_double());
    let ratio = now / then - 1.0;
    Some(match then == 0.0 || !ratio.is_finite() {
        true => format!("before: {}", before.short(total.unit)),
        false => format!(
            "{:+.1} % (before: {})",
            ratio * 100.0,
            before.short(total.unit)
        ),
    })
}

/// A chart with its text alternative, and all its figures as a table.
fn figure(id: &str, chart: &Chart) -> Markup {
    let title = format!("{} by {}", chart.title, chart.grain.words());
    let words = match chart.drawing {
        Drawing::Stacked => "Stacked. ",
        Drawing::Percentiles => "Bands between percentiles. ",
        Drawing::Lines => "",
    };
    html! {
        figure {
            figcaption { (chart.title) span.by { " by " (chart.grain.words()) } }
            ul.legend {
                @for (place, series) in chart.series.iter().enumerate() {
                    li { span.swatch.{ "s" (place % 8) }.before[series.before] aria-hidden="true" {} bdi { (series.name) } }
                }
            }
            div.chart tabindex="0" role="img" data-chart=(id) aria-label={ (title) ". " (words) (summary(chart)) } {}
            p.readout data-readout=(id) { "Point at the chart, or focus it and press ← or →." }
            details {
                summary { "Figures" span.hidden { " of " (title) } }
                @if !chart.sql.is_empty() {
                    details.sql { summary { "SQL" } pre tabindex="0" { (chart.sql) } }
                }
                (table::of_chart(&title, chart))
            }
        }
    }
}

/// A chart in words: the highest and the lowest figure of each series.
fn summary(chart: &Chart) -> String {
    let each = chart
        .series
        .iter()
        .filter(|series| !series.before)
        .map(|series| {
            let figures = series.values.iter().zip(&chart.x);
            let figures = figures.filter_map(|(value, start)| Some(((*value)?, *start)));
            let figures: Vec<(Number, i64)> = figures
                .filter(|(value, _)| value.as_double().is_finite())
                .collect();
            let of = |one: &(Number, i64), other: &(Number, i64)| {
                one.0.as_double().total_cmp(&other.0.as_double())
            };
            let ends = figures
                .iter()
                .copied()
                .min_by(of)
                .zip(figures.iter().copied().max_by(of));
            match ends {
                None => format!("{}: no figures.", series.name),
                Some((least, most)) => format!(
                    "{}: highest {} at {}, lowest {} at {}.",
                    series.name,
                    most.0.short(chart.unit),
                    chart.grain.time(most.1),
                    least.0.short(chart.unit),
                    chart.grain.time(least.1)
                ),
            }
        });
    each.collect::<Vec<_>>().join(" ")
}

fn top_keys(keys: &TopKeys, form: Option<&Form>) -> Markup {
    let most = keys
        .rows
        .iter()
        .filter_map(|row| row.value)
        .chain(keys.rest);
    let most = most
        .map(Number::as_double)
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    let share = |value: Option<Number>| {
        let share = value?.as_double() / keys.total?.as_double();
        (0.0..=1.0).contains(&share).then(|| percent(share))
    };
    let row = |name: Markup, value: Option<Number>, class: &str| {
        let length = value.map_or(0.0, |value| value.as_double() / most * BAR);
        let length = if length.is_finite() {
            length.clamp(0.0, BAR)
        } else {
            0.0
        };
        html! {
            tr class=(class) {
                th scope="row" { (name) }
                td.bar aria-hidden="true" {
                    svg viewBox="0 0 100 10" preserveAspectRatio="none" { rect width=(format!("{length:.2}")) height="10" {} }
                }
                td.number { @match value { Some(value) => (value.exact()), None => "–" } }
                td.number { (share(value).unwrap_or_else(|| "–".to_owned())) }
            }
        }
    };
    html! {
        figure {
            figcaption { (keys.by) " by " (keys.key) }
            div.scroll tabindex="0" role="group" aria-label={ (keys.by) " by " (keys.key) } {
                table.bars {
                    thead {
                        tr {
                            th scope="col" { (keys.key) }
                            td.bar aria-hidden="true" {}
                            th.number scope="col" { (keys.by) }
                            th.number scope="col" { "share" }
                        }
                    }
                    tbody {
                        @for key in &keys.rows {
                            (row(name(&keys.key, key.text.as_deref(), key.whole.as_deref(), form), key.value, ""))
                        }
                        @if keys.rest.is_some() {
                            (row(html! { "all others" }, keys.rest, "rest"))
                        }
                    }
                }
            }
            details.sql { summary { "SQL" span.hidden { " of " (keys.by) " by " (keys.key) } } pre tabindex="0" { (keys.sql) } }
        }
    }
}

/// The value of a key. On a live page, it is a link to the rows with this value.
fn name(key: &str, shown: Option<&str>, whole: Option<&str>, form: Option<&Form>) -> Markup {
    let link = match (form, shown, whole) {
        (Some(form), Some(_), Some(whole)) => Some(form.with_filter(key, Some(whole))),
        (Some(form), None, _) => Some(form.with_filter(key, None)),
        _ => None,
    };
    let value = html! {
        @match shown {
            None => em { "NULL" },
            Some("") => em { "empty" },
            Some(text) => bdi { (text) },
        }
    };
    match link {
        Some(link) => {
            html! { a href=(link) title={ "Only " (key) " = " (shown.unwrap_or("NULL")) } { (value) } }
        }
        None => value,
    }
}

fn result(name: &str, rows: &FirstRows) -> Markup {
    html! {
        figure.result {
            figcaption { "Result of " (name) span.by { " of all time" @if rows.has_more { ", the first " (rows.rows.len()) " rows" } } }
            div.scroll tabindex="0" role="group" aria-label={ "Result of " (name) } {
                table {
                    thead { tr { @for column in &rows.columns { th scope="col" { (column) } } } }
                    tbody {
                        @for row in &rows.rows {
                            tr {
                                @for cell in row {
                                    td { @match cell { Some(text) => bdi { (text) }, None => em { "NULL" } } }
                                }
                            }
                        }
                    }
                }
            }
            details.sql { summary { "SQL" } pre { "SELECT * FROM \"" (name) "\"" } }
        }
    }
}

fn of_ledger(number: usize, ledger: &Ledger) -> Markup {
    let count = |number: i64| Number::Whole(i128::from(number)).exact();
    let plural = |number: i64, one: &str| match number {
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", count(number)),
    };
    html! {
        details.ledger {
            summary {
                "Completeness: " (plural(ledger.log_files, "log file")) ", " (plural(ledger.lines, "line"))
                @if ledger.hours_without > 0 { ", " strong { (plural(ledger.hours_without, "hour")) " without a log file" } }
            }
            @match (ledger.first_line, ledger.last_line) {
                (Some(first), Some(last)) => p { "Lines from " (minute(first)) " to " (minute(last)) " UTC." },
                _ => p { "No line of a log file is in this range." },
            }
            @if !ledger.gaps.is_empty() {
                p { "No log file ends in these hours:" }
                ul {
                    @for (start, hours) in &ledger.gaps {
                        li { (minute(*start)) ", " (plural(*hours, "hour")) }
                    }
                }
                p.small {
                    "A node of a load balancer that has no requests writes no log files, so a gap may be an hour without visitors. "
                    code { "logmill verify" } " compares with the log files that exist."
                }
            }
            @if ledger.failed_lines > 0 {
                p { (plural(ledger.failed_lines, "line")) " failed in this rollup's SQL: "
                    code { "SELECT * FROM failed_lines" } " shows them." }
            }
            @if let Some(chart) = &ledger.chart {
                (figure(&format!("{number}-ledger"), chart))
            }
        }
    }
}

/// The unit of a table's heading.
pub(super) fn unit_words(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => " (bytes)",
        Unit::Number => "",
    }
}
