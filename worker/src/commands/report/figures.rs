//! The figures of one table: runs the queries of [`super::sql`] over one version of the table.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use arrow::array::RecordBatch;

use super::model::{Chart, Drawing, FirstRows, Section, Series, TopKey, TopKeys, Total};
use super::number::{Number, Unit, numbers, times};
use super::section::{Asked, Opened};
use super::shape::{Key, Kind, Measure};
use super::sql::{PERCENTILES, Scope};
use super::text;
use crate::commands::query;
use crate::commands::query::output::csv_cells;

/// Maximum number of keys of a table whose values are listed.
const KEYS_MAX: usize = 4;

/// Maximum number of values of a key that are listed. All others form one row.
const TOP: usize = 10;

/// A key with at most this many values gets a time series for each.
const SPLIT_MAX: usize = 6;

/// Maximum number of keys that get such a time series.
const SPLITS_MAX: usize = 2;

/// Maximum number of figures of a table that are shown.
const MEASURES_MAX: usize = 12;

/// Maximum number of series in a chart.
const LINES_MAX: usize = 4;

/// Maximum number of rows of a view that are shown.
const RESULT_ROWS: usize = 20;

/// Maximum number of columns of a view that are shown.
const RESULT_COLUMNS: usize = 16;

/// A longer value of a key is not offered as a filter, because it would not fit into a URL.
const FILTER_BYTES_MAX: usize = 512;

/// A table, and the requested part of it.
pub(super) struct Table<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) table: &'a Opened,
    pub(super) scope: Scope<'a>,
}

impl Table<'_> {
    async fn rows(&self, sql: &str) -> Result<RecordBatch> {
        let Opened { name, version, .. } = self.table;
        let source = &self.scope.shape.source;
        let rows = query::rows_of_version(self.asked.root, name, version, source, sql).await;
        rows.map_err(query::in_plain_words)
    }

    /// Fills the section with all figures.
    pub(super) async fn fill(&self, section: &mut Section) -> Result<()> {
        let shape = self.scope.shape;
        let measures = &shape.measures[..shape.measures.len().min(MEASURES_MAX)];
        let left_out = &shape.measures[measures.len()..];
        if !left_out.is_empty() {
            let names: Vec<String> = left_out
                .iter()
                .map(|measure| text::shown(&measure.name))
                .collect();
            section
                .notes
                .push(format!("Not shown: {}.", names.join(", ")));
        }
        let main = &shape.measures[0];
        section.totals_sql = self.scope.totals(measures);
        section.totals = self.totals(measures).await?;
        let without_time = self.rows(&self.scope.without_time(main)).await?;
        if let Some(number) =
            numbers(without_time.column(0))?[0].filter(|number| number.as_double() != 0.0)
        {
            section.notes.push(format!(
                "{} {} have no time ({} is NULL), and are in no figure here.",
                number.exact(),
                text::shown(&main.name),
                text::shown(&shape.time.column)
            ));
        }
        section.charts = self.charts(measures).await?;
        section.has_rows = !section.charts.is_empty();
        if section.has_rows && section.charts.iter().all(|chart| chart.x.len() == 1) {
            // A chart of one point shows only what the totals show.
            section.charts.clear();
            let grain = self.scope.grain.words();
            let about = format!(" This range is one {grain}, so there are no time series.");
            section.about.push_str(&about);
        }
        let total = section.totals.first().and_then(|total| total.value);
        let mut splits = 0;
        for key in shape.keys.iter().take(KEYS_MAX) {
            let (top, values) = self.top(key, main, total).await?;
            if (2..=SPLIT_MAX).contains(&values)
                && splits < SPLITS_MAX
                && !section.charts.is_empty()
            {
                splits += 1;
                section.charts.push(self.split(key, main).await?);
            }
            section.keys.push(top);
        }
        if shape.keys.len() > KEYS_MAX {
            let names = shape.keys[KEYS_MAX..]
                .iter()
                .map(|key| text::shown(&key.column));
            section.notes.push(format!(
                "Keys without a list: {}.",
                names.collect::<Vec<_>>().join(", ")
            ));
        }
        if shape.has_view {
            section.result = Some(self.result().await?);
        }
        Ok(())
    }

    async fn totals(&self, measures: &[Measure]) -> Result<Vec<Total>> {
        let rows = self.rows(&self.scope.totals(measures)).await?;
        let before = match self.asked.compares {
            true => Some(self.rows(&self.scope.before().totals(measures)).await?),
            false => None,
        };
        let mut totals = Vec::new();
        let mut place = 0;
        for measure in measures {
            let names: Vec<String> = match measure.kind {
                Kind::Digest => PERCENTILES
                    .iter()
                    .map(|(name, _)| format!("{} {name}", measure.name))
                    .collect(),
                _ => vec![measure.name.clone()],
            };
            for name in names {
                let figure = |rows: &RecordBatch| -> Result<Option<Number>> {
                    Ok(numbers(rows.column(place))?[0])
                };
                totals.push(Total {
                    name,
                    value: zero_if_counted(figure(&rows)?, measure.kind),
                    before: match &before {
                        Some(before) => zero_if_counted(figure(before)?, measure.kind),
                        None => None,
                    },
                    unit: measure.unit,
                    hint: match measure.kind {
                        Kind::Unique => "distinct over the whole range, an estimate",
                        Kind::Digest => "an estimate",
                        Kind::Computed => "computed over the whole range",
                        _ => "",
                    },
                });
                place += 1;
            }
        }
        Ok(totals)
    }

    /// The time series of all figures.
    async fn charts(&self, measures: &[Measure]) -> Result<Vec<Chart>> {
        let sql = self.scope.series(measures, 0);
        let rows = self.rows(&sql).await?;
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let before = match self.asked.compares {
            true => {
                let later = self.scope.range.seconds();
                Some(
                    self.rows(&self.scope.before().series(measures, later))
                        .await?,
                )
            }
            false => None,
        };
        let x = self.buckets(&rows)?;
        let mut charts: Vec<Chart> = Vec::new();
        let mut place = 1;
        for measure in measures {
            let names: Vec<&str> = match measure.kind {
                Kind::Digest => PERCENTILES.iter().map(|(name, _)| *name).collect(),
                _ => vec![&measure.name],
            };
            let mut series = Vec::new();
            for name in names {
                series.push(Series {
                    name: text::shown(name),
                    values: self.placed(&x, &rows, place, (measure.kind, 0))?,
                    before: false,
                });
                if let Some(before) = before
                    .as_ref()
                    .filter(|_| measure.kind != Kind::Digest || name == "p50")
                {
                    series.push(Series {
                        name: format!("{}, period before", text::shown(name)),
                        values: self.placed(
                            &x,
                            before,
                            place,
                            (measure.kind, self.scope.range.seconds()),
                        )?,
                        before: true,
                    });
                }
                place += 1;
            }
            let shares = |chart: &&mut Chart| {
                measure.kind.adds_up()
                    && chart.drawing == Drawing::Lines
                    && chart.unit == measure.unit
                    && (measure.kind == Kind::Count || measure.unit == Unit::Bytes)
                    && chart.series.iter().filter(|series| !series.before).count() < LINES_MAX
            };
            let of_same = charts.last_mut().filter(shares);
            match of_same {
                Some(chart) => {
                    chart.title = format!("{}, {}", chart.title, text::shown(&measure.name));
                    chart.series.extend(series);
                }
                None => charts.push(Chart {
                    title: text::shown(&measure.name),
                    drawing: if measure.kind == Kind::Digest {
                        Drawing::Percentiles
                    } else {
                        Drawing::Lines
                    },
                    unit: measure.unit,
                    bucket: self.scope.grain.seconds(),
                    grain: self.scope.grain,
                    x: x.clone(),
                    series,
                    sql: sql.clone(),
                }),
            }
        }
        Ok(charts)
    }

    /// The starts of all buckets of the range. If there are too many, only those of buckets with rows.
    fn buckets(&self, rows: &RecordBatch) -> Result<Vec<i64>> {
        let scope = &self.scope;
        let bounded = scope.range.seconds() / scope.grain.seconds() <= 2 * self.asked.points_max;
        Ok(match bounded {
            true => scope.grain.buckets(scope.range),
            false => times(rows.column(0))?.into_iter().flatten().collect(),
        })
    }

    /// A column of figures in the order of the buckets. A bucket without rows has counted nothing, if the table has counted log files
    /// before and after it. The rows are `earlier` by this many seconds than the buckets that they are compared with.
    fn placed(
        &self,
        x: &[i64],
        rows: &RecordBatch,
        place: usize,
        (kind, earlier): (Kind, i64),
    ) -> Result<Vec<Option<Number>>> {
        let starts = times(rows.column(0))?;
        let figures = numbers(rows.column(place))?;
        let by_start: HashMap<i64, Option<Number>> = starts
            .into_iter()
            .zip(figures)
            .filter_map(|(start, figure)| Some((start?, figure)))
            .collect();
        let values = x.iter().map(|start| match by_start.get(start) {
            Some(figure) => *figure,
            None => self.nothing(start.saturating_sub(earlier), kind),
        });
        Ok(values.collect())
    }

    fn nothing(&self, start: i64, kind: Kind) -> Option<Number> {
        let (first, newest) = self.table.ends?;
        let end = start.saturating_add(self.scope.grain.seconds());
        let is_covered = end > first && start <= newest;
        (kind.adds_up() && is_covered).then_some(Number::Whole(0))
    }

    /// The values of a key with the largest figures, and how many values it has, as far as they are counted.
    async fn top(
        &self,
        key: &Key,
        measure: &Measure,
        total: Option<Number>,
    ) -> Result<(TopKeys, usize)> {
        let sql = self.scope.top(key, measure, TOP + 1);
        let rows = self.rows(&sql).await?;
        let (texts, figures) = (csv_cells(rows.column(0))?, numbers(rows.column(1))?);
        let values = texts.len();
        let shown = texts.into_iter().zip(figures).take(TOP);
        let shown: Vec<TopKey> = shown
            .map(|(text, value)| TopKey {
                value,
                whole: text.clone().filter(|text| text.len() <= FILTER_BYTES_MAX),
                text: text.as_deref().map(text::shown),
            })
            .collect();
        let listed = shown
            .iter()
            .filter_map(|row| row.value)
            .reduce(Number::plus);
        let rest = match (total, listed) {
            (Some(total), Some(listed)) => Some(total.minus(listed)),
            _ => None,
        };
        let top = TopKeys {
            key: text::shown(&key.column),
            by: text::shown(&measure.name),
            unit: measure.unit,
            rows: shown,
            rest: rest.filter(|rest| rest.as_double() > 0.0 || values > TOP),
            total,
            sql,
        };
        Ok((top, values))
    }

    /// A figure over time for each value of a key with few values.
    async fn split(&self, key: &Key, measure: &Measure) -> Result<Chart> {
        let sql = self.scope.split(key, measure);
        let rows = self.rows(&sql).await?;
        let x = self.buckets(&rows)?;
        let places: HashMap<i64, usize> = x
            .iter()
            .enumerate()
            .map(|(place, start)| (*start, place))
            .collect();
        let nothing: Vec<Option<Number>> = x
            .iter()
            .map(|start| self.nothing(*start, measure.kind))
            .collect();
        let mut by_key: BTreeMap<Option<String>, Vec<Option<Number>>> = BTreeMap::new();
        let columns = (
            times(rows.column(0))?,
            csv_cells(rows.column(1))?,
            numbers(rows.column(2))?,
        );
        for ((start, key), figure) in columns.0.into_iter().zip(columns.1).zip(columns.2) {
            if let Some(place) = start.and_then(|start| places.get(&start)) {
                by_key.entry(key).or_insert_with(|| nothing.clone())[*place] = figure;
            }
        }
        // The largest at the bottom, so that the others are near the line from which they are read.
        let sum = |values: &[Option<Number>]| {
            values
                .iter()
                .flatten()
                .map(|value| value.as_double())
                .sum::<f64>()
        };
        let mut by_key: Vec<_> = by_key.into_iter().collect();
        by_key.sort_by(|(_, one), (_, other)| sum(other).total_cmp(&sum(one)));
        let series = by_key.into_iter().map(|(key, values)| Series {
            name: key
                .as_deref()
                .map_or_else(|| "NULL".to_owned(), text::shown),
            values,
            before: false,
        });
        Ok(Chart {
            title: format!(
                "{} by {}",
                text::shown(&measure.name),
                text::shown(&key.column)
            ),
            drawing: Drawing::Stacked,
            unit: measure.unit,
            bucket: self.scope.grain.seconds(),
            grain: self.scope.grain,
            x,
            series: series.take(SPLIT_MAX + 1).collect(),
            sql,
        })
    }

    /// The first rows of the rollup's own result, which has no range.
    async fn result(&self) -> Result<FirstRows> {
        let Asked { root, now, .. } = self.asked;
        let (rows, has_more) = query::first_rows(root, &self.table.name, *now, RESULT_ROWS).await?;
        let schema = rows.schema();
        let fields = schema.fields().iter().take(RESULT_COLUMNS);
        let columns = rows.columns().iter().take(RESULT_COLUMNS).map(csv_cells);
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let cell =
            |column: &Vec<Option<String>>, row: usize| column[row].as_deref().map(text::shown);
        Ok(FirstRows {
            columns: fields.map(|field| text::shown(field.name())).collect(),
            rows: (0..rows.num_rows())
                .map(|row| columns.iter().map(|column| cell(column, row)).collect())
                .collect(),
            has_more,
        })
    }
}

/// The sum of no rows is NULL; the count of no rows is 0.
fn zero_if_counted(figure: Option<Number>, kind: Kind) -> Option<Number> {
    match kind {
        Kind::Count => figure.or(Some(Number::Whole(0))),
        _ => figure,
    }
}
