//! The section of one table: what the table is, what the question means for it, and what cannot be read.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::figures::Table;
use super::model::Section;
use super::range::{Grain, Range};
use super::shape::Shape;
use super::sql::{Filter, Scope};
use super::{ledger, text};
use crate::commands::maintain;
use crate::table::definition::REJECTED_LINES;
use crate::table::{RejectedLines, Root, Version};

/// A table that was opened.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) version: Arc<Version>,
    /// The earliest and the newest line that it has counted, in seconds since 1970.
    pub(super) ends: Option<(i64, i64)>,
    /// All lines before this time are counted, in seconds since 1970, if it is known.
    pub(super) final_until: Option<i64>,
}

/// The parameters of the report, as they apply to each table.
pub(super) struct Asked<'a> {
    pub(super) root: &'a Root,
    pub(super) range: Range,
    pub(super) now: DateTime<Utc>,
    pub(super) filters: &'a [Filter],
    pub(super) compares: bool,
    pub(super) points_max: i64,
}

/// The section of a table. If a part can't be read, the section says so.
pub(super) async fn section(asked: &Asked<'_>, table: &Opened) -> Section {
    let mut section = Section {
        table: table.name.clone(),
        ..Section::default()
    };
    let shape = shape(table, &mut section).await;
    let range = asked.range.outwards(shape.time.grain);
    let grain = Grain::fitting(range, shape.time.grain, asked.points_max);
    section.about = about(&shape);
    section
        .notes
        .extend(longer_than_asked(asked.range, range, &shape, table.ends));
    section.filterable = shape.keys.iter().map(|key| key.column.clone()).collect();
    section.final_until = table.final_until;
    let of_ledger = ledger::ledger(
        &table.version,
        asked.range,
        table.ends.map(|(_, newest)| newest),
        grain,
        table.name == REJECTED_LINES,
    );
    match of_ledger.await {
        Ok(ledger) => section.ledger = Some(ledger),
        Err(error) => section.problems.push(format!(
            "The ledger cannot be read: {}",
            logmill_shared::chain(&error)
        )),
    }
    let mut conditions = Vec::new();
    for filter in asked.filters {
        match shape.keys.iter().find(|key| key.column == filter.column) {
            Some(key) => match filter.condition(key) {
                Ok(condition) => conditions.push(condition),
                Err(error) => section.problems.push(error.to_string()),
            },
            None => section.notes.push(format!(
                "Not filtered: this table has no key {}.",
                text::shown(&filter.column)
            )),
        }
    }
    if !section.problems.is_empty() {
        return section;
    }
    let table = Table {
        asked,
        table,
        scope: Scope {
            shape: &shape,
            range,
            grain,
            conditions,
        },
    };
    if let Err(error) = table.fill(&mut section).await {
        section.problems.push(format!("{error:#}"));
    }
    section
}

/// The meaning of the table's columns.
async fn shape(table: &Opened, section: &mut Section) -> Shape {
    if table.name == REJECTED_LINES {
        return Shape::of_rejected_lines(&RejectedLines::definition());
    }
    match maintain::rollup(&table.name, &table.version).await {
        Ok(rollup) => Shape::of_rollup(&rollup),
        Err(error) => {
            section
                .notes
                .push(format!("Only rows are counted here: {error}"));
            let schema = table
                .version
                .schema()
                .unwrap_or_else(|_| arrow::datatypes::Schema::empty().into());
            Shape::of_columns(&table.name, &schema)
        }
    }
}

fn about(shape: &Shape) -> String {
    let keys: Vec<String> = shape
        .keys
        .iter()
        .map(|key| text::shown(&key.column))
        .collect();
    let (column, grain) = (text::shown(&shape.time.column), shape.time.grain.words());
    match keys.is_empty() {
        true => format!("Time: {column}, by the {grain}. No other keys."),
        false => format!("Time: {column}, by the {grain}. Keys: {}.", keys.join(", ")),
    }
}

/// A note if figures by the day or longer include lines outside the range that was asked for.
fn longer_than_asked(
    asked: Range,
    shown: Range,
    shape: &Shape,
    ends: Option<(i64, i64)>,
) -> Option<String> {
    let (first, newest) = ends?;
    let is_earlier = shown.from < asked.from && first < asked.from;
    let is_later = shown.to > asked.to && newest >= asked.to;
    let grain = shape.time.grain;
    (grain >= Grain::Day && (is_earlier || is_later)).then(|| {
        format!(
            "Its rows are by the {}, so its figures are of {}.",
            grain.words(),
            super::range_in_words(shown)
        )
    })
}
