//! Draws the rows of a query on a terminal: lines over time, or bars. Any number of rows takes bounded memory.
//!
//! The chart's colours are escape sequences, so this text does not pass through [`crate::terminal::Escaping`]. Every text of
//! a query (its keys, its column names) is escaped and shortened here.

use std::io::Write;

use anyhow::Result;
use console::{Alignment, pad_str, truncate_str};

use super::output::Rows;
use crate::terminal::escaped;

mod shape;
mod units;
mod series;
mod lines;
mod bars;

use shape::Shape;

/// What a chart is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Its width, in characters.
    pub columns: u16,
    /// Whether lines differ by colour. Otherwise each is drawn with its own letter.
    pub has_colours: bool,
}

impl Default for Screen {
    /// A file or a pipe.
    fn default() -> Self {
        Self {
            columns: 80,
            has_colours: false,
        }
    }
}

impl Screen {
    /// The columns that a chart has. A terminal may say that it has none, or thousands.
    fn width(self) -> u16 {
        self.columns.clamp(40, 300)
    }
}

/// Charts of one result, each for one column with numbers.
const CHARTS_MAX: usize = 6;

/// Draws all rows. Fails if the result has no shape that can be drawn.
pub(super) async fn write(rows: &mut Rows, screen: Screen, out: &mut impl Write) -> Result<()> {
    match Shape::of(&rows.schema)? {
        Shape::Lines(columns) => lines::write(rows, &columns, screen, out).await,
        Shape::Bars(columns) => bars::write(rows, &columns, screen, out).await,
    }
}

/// The name of a line or bar, from the values of its keys.
fn key_of(values: &[&str]) -> String {
    let visible = |value: &&str| match value.is_empty() {
        true => "\"\"".to_owned(),
        false => (*value).to_owned(),
    };
    values.iter().map(visible).collect::<Vec<_>>().join(", ")
}

/// A text that is safe to show, in at most as many columns of the terminal.
fn shown(text: &str, columns: usize) -> String {
    // Each character is escaped by at most ten, and is shown in at least none. So the beginning is enough.
    let beginning: String = text.chars().take(columns.saturating_mul(4)).collect();
    let is_cut = beginning.len() < text.len();
    let mut safe = escaped(&beginning).into_owned();
    if is_cut {
        safe.push('…');
    }
    truncate_str(&safe, columns, "…").into_owned()
}

/// A text that was escaped, in exactly as many columns of the terminal.
fn padded(safe: &str, columns: usize, alignment: Alignment) -> String {
    let mut text = pad_str(safe, columns, alignment, Some("…")).into_owned();
    if safe.contains(is_right_to_left) {
        // Otherwise a terminal may move the number behind the text to its left. This mark is not shown.
        text.push('\u{200e}');
    }
    text
}

fn is_right_to_left(character: char) -> bool {
    matches!(
        character,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}'
    )
}

/// Says that columns are left out, if there are any.
fn write_left_out(names: &[String], out: &mut impl Write) -> Result<()> {
    if !names.is_empty() {
        let names = shown(&names.join(", "), 200);
        writeln!(out, "not drawn: {names}")?;
    }
    Ok(())
}

fn plural(count: u64, of: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {of}{s}", indicatif::HumanCount(count))
}

#[cfg(test)]
mod tests;
