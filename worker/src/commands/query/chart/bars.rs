//! A horizontal bar for each row, and beside it the number.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::AsArray;
use console::{Alignment, measure_text_width};

use super::shape::Columns;
use super::units::Unit;
use super::{Screen, key_of, padded, plural, shown, write_left_out};
use crate::commands::query::output::{Rows, for_people, numbers};

/// Rows that are drawn: about a screen.
const BARS_MAX: usize = 40;

/// A row of one chart.
struct Bar {
    label: String,
    /// `None` if it is NULL or not finite.
    number: Option<f64>,
    text: String,
}

pub(super) async fn write(
    rows: &mut Rows,
    columns: &Columns,
    screen: Screen,
    out: &mut impl Write,
) -> Result<()> {
    let schema = Arc::clone(&rows.schema);
    let mut charts: Vec<Vec<Bar>> = columns.numbers.iter().map(|_| Vec::new()).collect();
    let width = usize::from(screen.width());
    let mut drawn = 0;
    let mut has_more = false;
    while !has_more && let Some(batch) = rows.next().await? {
        has_more = batch.num_rows() > BARS_MAX - drawn;
        let batch = batch.slice(0, batch.num_rows().min(BARS_MAX - drawn));
        drawn += batch.num_rows();
        let texts = for_people(&batch)?;
        let text = |place: usize, row: usize| texts.column(place).as_string::<i32>().value(row);
        for (bars, place) in charts.iter_mut().zip(&columns.numbers) {
            let unit = Unit::of(schema.field(*place).name());
            for (row, number) in numbers(batch.column(*place))?.into_iter().enumerate() {
                let keys: Vec<&str> = columns.keys.iter().map(|key| text(*key, row)).collect();
                let number = number.filter(|number| number.is_finite());
                bars.push(Bar {
                    label: shown(&key_of(&keys), width / 3),
                    text: match number {
                        Some(number) if unit != Unit::Plain => unit.text(number),
                        _ => text(*place, row).to_owned(),
                    },
                    number,
                });
            }
        }
    }
    let names = columns
        .keys
        .iter()
        .map(|key| schema.field(*key).name().as_str());
    let names = names.collect::<Vec<_>>().join(", ");
    for (bars, place) in charts.iter().zip(&columns.numbers) {
        let title = format!("{} by {names}", schema.field(*place).name());
        writeln!(out, "{}", shown(&title, width))?;
        write_bars(bars, width, out)?;
    }
    match has_more {
        true => writeln!(
            out,
            "the first {drawn} rows: ORDER BY … DESC gives the largest"
        )?,
        false => writeln!(out, "{}", plural(drawn as u64, "row"))?,
    }
    write_left_out(&columns.left_out, out)
}

fn write_bars(bars: &[Bar], width: usize, out: &mut impl Write) -> Result<()> {
    let widest = |of: fn(&Bar) -> &str| {
        bars.iter()
            .map(|bar| measure_text_width(of(bar)))
            .max()
            .unwrap_or_default()
    };
    let labels = widest(|bar| &bar.label);
    let texts = widest(|bar| &bar.text);
    let cells = width.saturating_sub(labels + texts + 4).max(8);
    let all = || bars.iter().filter_map(|bar| bar.number);
    let lowest = all().fold(0.0, f64::min);
    let highest = all().fold(0.0, f64::max);
    // Halves, because the difference of two numbers may be infinite.
    let span = highest / 2.0 - lowest / 2.0;
    let share = |number: f64| if span > 0.0 { number / 2.0 / span } else { 0.0 };
    let below = (share(-lowest) * cells as f64).ceil() as usize;
    let above = cells.saturating_sub(below);
    for bar in bars {
        let label = padded(&bar.label, labels, Alignment::Left);
        let number = bar.number.unwrap_or_default();
        let left = ((share(-number.min(0.0)) * cells as f64).round() as usize).min(below);
        let right = blocks(share(number.max(0.0)) * cells as f64, above);
        let left = format!("{}{}", " ".repeat(below - left), "█".repeat(left));
        let text = &bar.text;
        writeln!(out, "  {label} {left}{right} {text}")?;
    }
    Ok(())
}

/// A bar as long as so many cells, in eighths of a cell. What is more than nothing is seen.
fn blocks(cells: f64, cells_max: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (cells * 8.0).round() as usize;
    let eighths = eighths.max(usize::from(cells > 0.0)).min(cells_max * 8);
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}
