//! `logmill report`: charts of the tables, on one self-contained page. Every figure is the result of a query that the page shows, over
//! one version of its table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use logmill_shared::chain;

mod number;
mod range;
mod text;
mod shape;
mod sql;
mod model;
mod ledger;
mod figures;
mod section;
mod page;
mod server;

pub use server::serve;
pub use sql::Filter;

use crate::commands::query::no_tables;
use crate::delivery::Records;
use crate::table::definition::REJECTED_LINES;
use crate::table::{Root, TableError, of_tables};
use model::{Report, Section};
use range::Range;
use section::{Asked, Opened};

/// Maximum number of tables on a page. Others are named.
const TABLES_MAX: usize = 40;

/// Points of a time series, if there are few tables. A series by day may have twice as many.
const POINTS_MAX: usize = 190;

/// Points of a time series, if there are as many tables as a page may have.
const POINTS_MIN: usize = 50;

/// Maximum number of points of all tables' time series, one series each. This limits the size of the page.
const POINTS_OF_TABLES: usize = 2000;

/// The parameters of a report.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Start of the range; by default the earliest line.
    pub from: Option<DateTime<Utc>>,
    /// End of the range, exclusive; by default after the newest line.
    pub to: Option<DateTime<Utc>>,
    /// Without a start: how long the range is.
    pub last: Option<TimeDelta>,
    /// The tables; empty for all.
    pub tables: Vec<String>,
    /// Values that keys must have.
    pub filters: Vec<Filter>,
    /// Whether to also show the figures of the previous range.
    pub compare: bool,
}

/// A page, and a summary of it.
#[derive(Debug)]
pub struct Page {
    /// The HTML.
    pub html: String,
    /// The number of tables on it.
    pub tables: usize,
    /// The range, in words.
    pub range: String,
    /// Parts that can't be read, and why, each with its table.
    pub problems: Vec<String>,
}

/// Makes the page.
///
/// # Errors
///
/// The tables can't be listed, none exists, or a requested table does not exist. An unreadable table is reported on the page.
pub async fn page(root: &Root, question: &Question) -> Result<Page> {
    let report = report(root, question).await?;
    Ok(Page {
        html: page::html(&report, None)?,
        tables: report.tables.len(),
        range: range_in_words(report.range()),
        problems: problems(&report),
    })
}

fn range_in_words(range: Range) -> String {
    format!(
        "{} to {} UTC",
        range::minute(range.from),
        range::minute(range.to)
    )
}

fn problems(report: &Report) -> Vec<String> {
    let each = report.problems().flat_map(|section| {
        let problems = section.problems.iter();
        problems.map(|problem| format!("table {}: {problem}", section.table))
    });
    each.collect()
}

async fn report(root: &Root, question: &Question) -> Result<Report> {
    let now: DateTime<Utc> = SystemTime::now().into();
    let names = names(root, &question.tables).await?;
    let shown = &names[..names.len().min(TABLES_MAX)];
    let opening: Vec<_> = shown.iter().cloned().map(|name| open(root, name)).collect();
    let opened = of_tables(opening).await;
    let ends = opened
        .iter()
        .filter_map(|opened| opened.as_ref().ok()?.ends);
    let range = range_of(question, ends.collect(), now)?;
    let points = (POINTS_OF_TABLES / shown.len().max(1)).clamp(POINTS_MIN, POINTS_MAX);
    let asked = Asked {
        root,
        range,
        now,
        filters: &question.filters,
        compares: question.compare,
        points_max: points as i64,
    };
    let mut tables = Vec::with_capacity(opened.len());
    // One after the other: each query may use the whole memory of queries.
    for table in opened {
        tables.push(match table {
            // Boxed, because the planner's frames leave little of a thread's stack in debug builds.
            Ok(table) => Box::pin(section::section(&asked, &table)).await,
            Err(section) => *section,
        });
    }
    Ok(Report {
        from: range.from,
        to: range.to,
        made: now.timestamp(),
        place: root.url().to_string(),
        compares: question.compare,
        tables,
        left_out: names[shown.len()..].to_vec(),
    })
}

/// The tables to show, rejected lines last.
async fn names(root: &Root, wanted: &[String]) -> Result<Vec<String>> {
    let all = root.tables().await?;
    if all.is_empty() {
        return Err(no_tables(root).await?);
    }
    if let Some(missing) = wanted.iter().find(|name| !all.contains(name)) {
        bail!(
            "there is no table {missing} in {}; there are {}",
            root.url(),
            all.join(", ")
        );
    }
    let wanted: BTreeSet<&String> = wanted.iter().collect();
    let is_wanted = |name: &String| wanted.is_empty() || wanted.contains(name);
    let (last, mut names): (Vec<String>, Vec<String>) = all
        .into_iter()
        .filter(is_wanted)
        .partition(|name| name == REJECTED_LINES);
    names.extend(last);
    Ok(names)
}

async fn open(root: &Root, name: String) -> Result<Opened, Box<Section>> {
    let read = async {
        let version = Arc::new(root.read(&name).await?);
        let ends = ledger::ends(&version).await?;
        let record = Records::of(root)?.of_version(&name, &version).await?;
        let final_until = record.and_then(|record| record.final_until);
        Ok::<_, TableError>((version, ends, final_until))
    };
    match read.await {
        Ok((version, ends, final_until)) => Ok(Opened {
            name,
            version,
            ends,
            final_until: final_until.map(|time| time.timestamp()),
        }),
        Err(error) => Err(Box::new(Section {
            problems: vec![format!("It cannot be read: {}", chain(&error))],
            table: name,
            ..Section::default()
        })),
    }
}

/// The range of the report. By default it contains all lines that the tables have counted.
fn range_of(question: &Question, ends: Vec<(i64, i64)>, now: DateTime<Utc>) -> Result<Range> {
    let minute = range::Grain::Minute.seconds();
    let newest = ends
        .iter()
        .map(|(_, newest)| *newest)
        .max()
        .unwrap_or(now.timestamp());
    let earliest = ends.iter().map(|(first, _)| *first).min().unwrap_or(newest);
    let to = match question.to {
        Some(to) => to.timestamp(),
        None => (newest.div_euclid(minute) + 1) * minute,
    };
    let from = match (question.from, question.last) {
        (Some(from), _) => from.timestamp(),
        (None, Some(last)) => to.saturating_sub(last.num_seconds().max(minute)),
        (None, None) => earliest.div_euclid(minute) * minute,
    };
    let range = Range { from, to };
    if range.seconds() <= 0 {
        bail!(
            "the time range from {} to {} is empty: its end must be later than its start",
            range::minute(from),
            range::minute(to)
        );
    }
    Ok(range)
}
