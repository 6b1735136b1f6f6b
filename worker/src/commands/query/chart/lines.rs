//! Lines over time: a chart for each column with numbers, and in it a line for each key.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context, Result};
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit};
use chrono::{DateTime, TimeZone};
use console::Alignment;
use logmill_trino::cast::date_to_varchar;
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::{Alignment as Aligned, Rect};
use ratatui_core::style::Color;
use ratatui_core::symbols::Marker;
use ratatui_core::text::Line as Text;
use ratatui_core::widgets::Widget;
use ratatui_widgets::chart::{Axis, Chart, Dataset, GraphType};

use super::series::{KEYS_MAX, Line, Series};
use super::shape::Columns;
use super::units::Unit;
use super::{Screen, key_of, padded, plural, shown, write_left_out};
use crate::commands::query::output::{Rows, for_people, numbers};

/// Lines of a chart, and how each is told from the others.
const MARKS: [(Color, u8, char); 6] = [
    (Color::Cyan, 36, 'a'),
    (Color::Yellow, 33, 'b'),
    (Color::Green, 32, 'c'),
    (Color::Magenta, 35, 'd'),
    (Color::Red, 31, 'e'),
    (Color::Blue, 34, 'f'),
];

/// Rows of the terminal between two labels of the axis of numbers.
const STEP_ROWS: usize = 3;

const DAY_MS: i64 = 86_400_000;

pub(super) async fn write(
    rows: &mut Rows,
    columns: &Columns,
    screen: Screen,
    out: &mut impl Write,
) -> Result<()> {
    let schema = std::sync::Arc::clone(&rows.schema);
    let time = columns.time.context("lines need a time")?;
    let mut series = Series::new(columns.numbers.len());
    let (mut drawn, mut without_value) = (0, 0);
    while let Some(batch) = rows.next().await? {
        let keys = keys(&batch, &columns.keys)?;
        let times = milliseconds(batch.column(time))?;
        let values = columns.numbers.iter();
        let values: Vec<Vec<Option<f64>>> = values
            .map(|place| numbers(batch.column(*place)))
            .collect::<Result<_>>()?;
        for row in 0..batch.num_rows() {
            let value = |of: &Vec<Option<f64>>| of[row].filter(|value| value.is_finite());
            match times[row] {
                Some(time) if values.iter().any(|of| value(of).is_some()) => {
                    series.add(&keys[row], time, values.iter().map(value));
                    drawn += 1;
                }
                _ => without_value += 1,
            }
        }
    }
    let zone = match schema.field(time).data_type() {
        DataType::Timestamp(_, Some(zone)) => Some(zone.to_string()),
        _ => None,
    };
    let name = |place: usize| schema.field(place).name().as_str();
    let keys_name: Vec<&str> = columns.keys.iter().map(|place| name(*place)).collect();
    let picture = Picture {
        screen,
        clock: Clock {
            zone: zone.as_deref().and_then(|zone| zone.parse().ok()),
            has_hours: schema.field(time).data_type() != &DataType::Date32,
        },
        keys: chosen(&series),
    };
    if drawn == 0 {
        writeln!(out, "no row has a time and a number")?;
    } else {
        for (n, place) in columns.numbers.iter().enumerate() {
            picture.write(&series, n, name(*place), out)?;
        }
        picture.write_legend(&keys_name.join(", "), out)?;
    }
    let zone = match &zone {
        Some(zone) => format!(" ({zone})"),
        None => String::new(),
    };
    writeln!(
        out,
        "{} by {}{zone}",
        plural(drawn, "row"),
        shown(name(time), 60)
    )?;
    if drawn > u64::from(screen.width()) {
        writeln!(
            out,
            "each column of the picture goes from its lowest to its highest value"
        )?;
    }
    if without_value > 0 {
        writeln!(
            out,
            "{} not drawn: without a time, or NULL, NaN or infinite",
            plural(without_value, "row")
        )?;
    }
    if series.has_same_times {
        writeln!(
            out,
            "several rows of a line have the same time: group by the time, or add a text, such as cast(status AS varchar), for a line each"
        )?;
    }
    let others = series.lines.len() - picture.keys.len();
    if series.rows_of_other_keys > 0 {
        writeln!(
            out,
            "there are more than {KEYS_MAX} lines; those drawn are the largest of the first {KEYS_MAX}"
        )?;
    } else if others > 0 {
        let s = if others == 1 { "" } else { "s" };
        writeln!(out, "{others} smaller line{s} not drawn")?;
    }
    write_left_out(&columns.left_out, out)
}

/// The name of each row's line.
fn keys(batch: &RecordBatch, places: &[usize]) -> Result<Vec<String>> {
    let texts = for_people(&batch.project(places)?)?;
    let texts: Vec<_> = texts
        .columns()
        .iter()
        .map(|text| text.as_string::<i32>())
        .collect();
    Ok((0..batch.num_rows())
        .map(|row| {
            let texts: Vec<&str> = texts.iter().map(|text| text.value(row)).collect();
            key_of(&texts)
        })
        .collect())
}

/// Milliseconds since 1970 of a column of times or dates.
fn milliseconds(column: &ArrayRef) -> Result<Vec<Option<i64>>> {
    if let Some(days) = column.as_primitive_opt::<Date32Type>() {
        return Ok(days
            .iter()
            .map(|day| Some(i64::from(day?) * DAY_MS))
            .collect());
    }
    let numbers = cast(column, &DataType::Int64)?;
    let (times, per) = match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => (1000, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => (1, 1),
        DataType::Timestamp(TimeUnit::Microsecond, _) => (1, 1000),
        _ => (1, 1_000_000),
    };
    let numbers = numbers.as_primitive::<Int64Type>();
    let ms = |number: i64| number.saturating_mul(times).div_euclid(per);
    Ok(numbers.iter().map(|number| number.map(ms)).collect())
}

/// The keys of the largest lines, by the first column with numbers.
fn chosen(series: &Series) -> Vec<String> {
    let size = |lines: &[Line]| {
        lines
            .iter()
            .map(|line| line.size)
            .next()
            .unwrap_or_default()
    };
    let sizes: HashMap<&String, f64> = series
        .lines
        .iter()
        .map(|(key, lines)| (key, size(lines)))
        .collect();
    let mut keys: Vec<&String> = series.lines.keys().collect();
    keys.sort_by(|a, b| sizes[b].total_cmp(&sizes[a]).then_with(|| a.cmp(b)));
    keys.truncate(MARKS.len());
    keys.into_iter().cloned().collect()
}

/// How times are shown.
struct Clock {
    zone: Option<Tz>,
    has_hours: bool,
}

impl Clock {
    fn text(&self, ms: i64) -> String {
        let Some(time) = DateTime::from_timestamp_millis(ms) else {
            let day = ms
                .div_euclid(DAY_MS)
                .clamp(i32::MIN.into(), i32::MAX.into());
            return date_to_varchar(i32::try_from(day).unwrap_or_default());
        };
        let format = match self.has_hours {
            true => "%Y-%m-%d %H:%M",
            false => "%Y-%m-%d",
        };
        match &self.zone {
            Some(zone) => zone
                .from_utc_datetime(&time.naive_utc())
                .format(format)
                .to_string(),
            None => time.format(format).to_string(),
        }
    }
}

/// What the charts of one result have in common.
struct Picture {
    screen: Screen,
    clock: Clock,
    /// The lines that are drawn, the largest first.
    keys: Vec<String>,
}

impl Picture {
    /// Draws one column's lines.
    fn write(
        &self,
        series: &Series,
        number: usize,
        name: &str,
        out: &mut impl Write,
    ) -> Result<()> {
        let width = self.screen.width();
        let unit = Unit::of(name);
        writeln!(out, "{}", shown(name, width.into()))?;
        let lines = self
            .keys
            .iter()
            .filter_map(|key| series.lines.get(key)?.get(number));
        let lines: Vec<Vec<(i64, f64)>> = lines.map(Line::points).collect();
        let points = || lines.iter().flatten();
        let (Some(begin), Some(end)) = (
            points().map(|(time, _)| *time).min(),
            points().map(|(time, _)| *time).max(),
        ) else {
            writeln!(out, "  no value")?;
            return Ok(());
        };
        let lowest = points()
            .map(|(_, value)| *value)
            .fold(f64::INFINITY, f64::min);
        let highest = points()
            .map(|(_, value)| *value)
            .fold(f64::NEG_INFINITY, f64::max);
        let ticks = unit.ticks(lowest, highest);
        let (bottom, top) = (ticks[0], ticks[ticks.len() - 1]);
        // From 0 to 1 in both directions, so that no difference between two values is infinite.
        let across =
            |time: i64| (time as f64 - begin as f64) / (end as f64 - begin as f64).max(1.0);
        let up = |value: f64| (value / 2.0 - bottom / 2.0) / (top / 2.0 - bottom / 2.0);
        let scaled = |line: &Vec<(i64, f64)>| -> Vec<(f64, f64)> {
            line.iter()
                .map(|(time, value)| (across(*time), up(*value)))
                .collect()
        };
        let scaled: Vec<Vec<(f64, f64)>> = lines.iter().map(scaled).collect();

        let is_many = self.keys.len() > 1;
        let datasets = scaled
            .iter()
            .zip(MARKS)
            .map(|(points, (color, _, letter))| {
                let marker = match is_many && !self.screen.has_colours {
                    true => Marker::Custom(letter),
                    false => Marker::Braille,
                };
                let line = Dataset::default()
                    .marker(marker)
                    .graph_type(GraphType::Line);
                line.style(color).data(points)
            });
        // Of lines in one place, the largest is on top.
        let datasets = datasets.rev().collect();
        let label = |tick: &f64| Text::from(padded(&unit.text(*tick), 8, Alignment::Right));
        let middle = begin.midpoint(end);
        let times = match (begin == end, width < 64) {
            // An axis needs two labels.
            (true, _) => vec![self.clock.text(begin), String::new()],
            (false, true) => vec![self.clock.text(begin), self.clock.text(end)],
            (false, false) => [begin, middle, end]
                .map(|time| self.clock.text(time))
                .to_vec(),
        };
        let rows = (ticks.len() - 1) * STEP_ROWS + 1 + 2;
        let area = Rect::new(0, 0, width, u16::try_from(rows)?);
        let mut buffer = Buffer::empty(area);
        Chart::new(datasets)
            .legend_position(None)
            .x_axis(
                Axis::default()
                    .bounds([0.0, 1.0])
                    .labels(times)
                    .labels_alignment(Aligned::Right),
            )
            .y_axis(
                Axis::default()
                    .bounds([0.0, 1.0])
                    .labels(ticks.iter().map(label)),
            )
            .render(area, &mut buffer);
        write_buffer(&buffer, self.screen, out)
    }

    /// Says which line is whose.
    fn write_legend(&self, name: &str, out: &mut impl Write) -> Result<()> {
        if self.keys.iter().all(String::is_empty) {
            return Ok(());
        }
        let width = usize::from(self.screen.width());
        writeln!(out, "{}", shown(name, width))?;
        let is_many = self.keys.len() > 1;
        for (key, (_, colour, letter)) in self.keys.iter().zip(MARKS) {
            let key = shown(key, width - 6);
            match (self.screen.has_colours, is_many) {
                (true, _) => writeln!(out, "  \x1b[{colour}m━━\x1b[0m {key}")?,
                (false, true) => writeln!(out, "  {letter}  {key}")?,
                (false, false) => writeln!(out, "  {key}")?,
            }
        }
        Ok(())
    }
}

/// Writes the picture, whose rows end where nothing follows.
fn write_buffer(buffer: &Buffer, screen: Screen, out: &mut impl Write) -> Result<()> {
    for row in buffer.content().chunks(buffer.area.width.into()) {
        let is_empty = |cell: &Cell| matches!(cell.symbol(), " " | "\u{2800}");
        let end = row
            .iter()
            .rposition(|cell| !is_empty(cell))
            .map_or(0, |last| last + 1);
        let mut colour = None;
        for cell in &row[..end] {
            let mark = MARKS
                .iter()
                .find(|(of, _, _)| *of == cell.fg && screen.has_colours);
            let of_cell = mark.map(|(_, colour, _)| *colour);
            if of_cell != colour {
                write!(out, "\x1b[{}m", of_cell.unwrap_or(0))?;
                colour = of_cell;
            }
            write!(out, "{}", cell.symbol())?;
        }
        writeln!(out, "{}", if colour.is_some() { "\x1b[0m" } else { "" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn times_are_shown_in_their_zone_and_in_any_year() {
        let clock = |zone: Option<&str>, has_hours| Clock {
            zone: zone.map(|zone| zone.parse().unwrap()),
            has_hours,
        };
        let ms = 1_795_170_600_000;
        assert_eq!(clock(Some("UTC"), true).text(ms), "2026-11-20 10:30");
        assert_eq!(
            clock(Some("America/New_York"), true).text(ms),
            "2026-11-20 05:30"
        );
        assert_eq!(clock(None, false).text(ms), "2026-11-20");
        assert_eq!(clock(None, true).text(i64::MAX), "5881580-07-11");
        assert_eq!(clock(Some("UTC"), true).text(i64::MIN), "-5877641-06-23");
        let edge = TimeDelta::MAX.num_milliseconds() / 1_100;
        assert!(!clock(Some("+14:00"), true).text(edge).is_empty());
    }
}
