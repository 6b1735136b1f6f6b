//! The meaning of a table's columns for a reader: its time, its keys, and its figures, which can be computed over any rows.

use arrow::datatypes::{DataType, SchemaRef};

use super::number::Unit;
use super::range::Grain;
use super::sql::quoted;
use crate::rollup::Rollup;
use crate::table::definition::{DATE_COLUMN, GROUPS, REJECTED_LINES};
use crate::table::{Definition, MergeRule};

/// The suffix of a column with a t-digest that is the state of another column.
const TDIGEST: &str = "__tdigest";

/// The meaning of a table's columns for a reader.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// The name under which queries read its rows.
    pub(super) source: String,
    /// Whether the table's name is a view over its rows.
    pub(super) has_view: bool,
    pub(super) time: Time,
    /// Group keys other than the time.
    pub(super) keys: Vec<Key>,
    /// Figures: at least one, and the first one adds up.
    pub(super) measures: Vec<Measure>,
    /// Whether it may have rows that combine all groups that did not fit.
    pub(super) has_other: bool,
}

/// The column that determines the hour or day of a row.
#[derive(Debug, Clone)]
pub(super) struct Time {
    pub(super) column: String,
    /// Whether it is a date.
    pub(super) is_date: bool,
    /// No bucket is finer.
    pub(super) grain: Grain,
}

/// A group key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) column: String,
    pub(super) data_type: DataType,
}

/// A figure that can be computed over any rows of the table.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    pub(super) name: String,
    /// The SQL over the rows.
    pub(super) sql: String,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
}

/// The kind of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A count: it adds up, and nothing counted is 0.
    Count,
    /// It adds up.
    Sum,
    /// The least or the greatest value.
    Extreme,
    /// Recomputed from the states of all rows, such as an average.
    Computed,
    /// A number of distinct values, which does not add up.
    Unique,
    /// A distribution, from which percentiles are read.
    Digest,
}

impl Kind {
    pub(super) fn adds_up(self) -> bool {
        matches!(self, Self::Count | Self::Sum)
    }
}

impl Shape {
    /// Of the table of this rollup.
    pub(super) fn of_rollup(rollup: &Rollup) -> Self {
        let definition = rollup.definition();
        let has_view = rollup.view().is_some();
        let mut shape = Self::of_definition(definition, rollup.time_key());
        if has_view {
            shape.source.push_str(GROUPS);
        }
        shape.has_view = has_view;
        if definition.merges() {
            shape.measures = measures(rollup);
        }
        shape.with_a_count(definition.merges())
    }

    /// Of `rejected_lines`.
    pub(super) fn of_rejected_lines(definition: &Definition) -> Self {
        let mut shape = Self::of_definition(definition, "").with_a_count(false);
        shape.keys.retain(|key| key.column == "reason");
        shape.measures[0].name = REJECTED_LINES.to_owned();
        shape
    }

    /// Of a table whose SQL this version of logmill refuses: its rows by day.
    pub(super) fn of_columns(name: &str, schema: &SchemaRef) -> Self {
        let keys = schema.fields().iter().map(|field| Key {
            column: field.name().clone(),
            data_type: field.data_type().clone(),
        });
        let shape = Self {
            source: name.to_owned(),
            has_view: false,
            time: Time {
                column: DATE_COLUMN.to_owned(),
                is_date: true,
                grain: Grain::Day,
            },
            keys: keys.filter(Key::is_shown).collect(),
            measures: Vec::new(),
            has_other: false,
        };
        shape.with_a_count(false)
    }

    fn of_definition(definition: &Definition, time_key: &str) -> Self {
        let slot = &definition.columns[definition.slot_column];
        let is_date = slot.data_type == DataType::Date32;
        let columns = definition.columns.iter().enumerate();
        let is_key = |place: usize, rule: &Option<MergeRule>| {
            place != definition.slot_column
                && Some(place) != definition.is_other()
                && matches!(rule, None | Some(MergeRule::GroupKey))
        };
        let keys = columns.filter(|(place, column)| is_key(*place, &column.rule));
        let keys = keys.map(|(_, column)| Key {
            column: column.name.clone(),
            data_type: column.data_type.clone(),
        });
        Self {
            source: definition.name.clone(),
            has_view: false,
            time: Time {
                column: slot.name.clone(),
                is_date,
                grain: if is_date {
                    Grain::Day
                } else {
                    Grain::of_sql(time_key)
                },
            },
            keys: keys.filter(Key::is_shown).collect(),
            measures: Vec::new(),
            has_other: definition.is_other().is_some(),
        }
    }

    /// Moves a figure that adds up to the front: it gives keys an order and shares.
    fn with_a_count(mut self, merges: bool) -> Self {
        let of_kind = |kind| {
            self.measures
                .iter()
                .position(|measure| measure.kind == kind)
        };
        match of_kind(Kind::Count).or_else(|| of_kind(Kind::Sum)) {
            Some(place) => {
                let first = self.measures.remove(place);
                self.measures.insert(0, first);
            }
            None => self.measures.insert(
                0,
                Measure {
                    name: if merges { "groups" } else { "rows" }.to_owned(),
                    sql: "count(*)".to_owned(),
                    kind: Kind::Count,
                    unit: Unit::Number,
                },
            ),
        }
        self
    }
}

impl Key {
    /// Whether its values can be listed, and belong to the user's SQL.
    fn is_shown(&self) -> bool {
        let data_type = &self.data_type;
        let has_values = data_type.is_string()
            || data_type.is_integer()
            || matches!(data_type, DataType::Boolean | DataType::Date32);
        has_values && self.column != DATE_COLUMN && !self.column.contains("__")
    }
}

/// The figures that a rollup's table can compute for any of its rows.
fn measures(rollup: &Rollup) -> Vec<Measure> {
    let columns = &rollup.definition().columns;
    let has = |name: String| columns.iter().any(|column| column.name == name);
    let mut measures = Vec::new();
    for (name, sql) in rollup.regrouped() {
        let Some(column) = columns.iter().find(|column| column.name == *name) else {
            continue;
        };
        let is_number = column.data_type.is_numeric();
        let kind = match &column.rule {
            Some(MergeRule::Sum) if column.data_type.is_integer() => Kind::Count,
            Some(MergeRule::Sum | MergeRule::BigintSum) => Kind::Sum,
            Some(MergeRule::Min | MergeRule::Max) if is_number => Kind::Extreme,
            Some(MergeRule::HyperLogLog) => Kind::Unique,
            Some(MergeRule::TDigest) => Kind::Digest,
            Some(MergeRule::Result(_)) if is_number => {
                let is_distinct = ["__hll", "__hashes", "__distinct"]
                    .iter()
                    .any(|end| has(format!("{name}{end}")));
                if is_distinct {
                    Kind::Unique
                } else {
                    Kind::Computed
                }
            }
            _ => continue,
        };
        let is_sketch = column.rule == Some(MergeRule::HyperLogLog);
        measures.push(Measure {
            name: name.clone(),
            sql: if is_sketch {
                format!("cardinality({sql})")
            } else {
                sql.clone()
            },
            kind,
            unit: Unit::of(name),
        });
    }
    // A digest that is the state of a percentile shows the whole distribution, unless a column has the same one.
    let shown = measures
        .iter()
        .filter(|measure| measure.kind == Kind::Digest);
    let mut shown: Vec<Option<&str>> = shown
        .map(|measure| rollup.digested(&measure.name))
        .collect();
    let states = columns
        .iter()
        .filter(|column| column.rule == Some(MergeRule::TDigest));
    for state in states {
        let Some(name) = state.name.strip_suffix(TDIGEST) else {
            continue;
        };
        let values = rollup.digested(&state.name);
        if shown.contains(&values) {
            continue;
        }
        shown.push(values);
        measures.push(Measure {
            name: format!("distribution of {name}"),
            sql: format!("merge(CAST({} AS tdigest))", quoted(&state.name)),
            kind: Kind::Digest,
            unit: Unit::of(name),
        });
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shape(sql: &str) -> Shape {
        Shape::of_rollup(&Rollup::from_sql("t", sql).await.unwrap())
    }

    fn kinds(shape: &Shape) -> Vec<(&str, Kind)> {
        shape
            .measures
            .iter()
            .map(|measure| (measure.name.as_str(), measure.kind))
            .collect()
    }

    #[tokio::test]
    async fn columns_have_kinds() {
        let all = shape(
            "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, elb_status_code AS status, user_agent, \
             approx_set(client_ip) AS clients, sum(sent_bytes) AS sent_bytes, count(*) AS n, max(sent_bytes) AS most, \
             avg(target_processing_time) AS mean, count(DISTINCT client_ip) AS addresses, \
             approx_percentile(target_processing_time, 0.95) AS p95, tdigest_agg(request_processing_time) AS d, \
             min(time) AS first_seen FROM alb_access_logs GROUP BY 1, 2, 3",
        )
        .await;
        assert_eq!(all.source, "t");
        assert_eq!(
            (all.time.column.as_str(), all.time.grain),
            ("hour", Grain::Hour)
        );
        let keys: Vec<&str> = all.keys.iter().map(|key| key.column.as_str()).collect();
        assert_eq!(keys, ["status", "user_agent"]);
        assert_eq!(
            kinds(&all),
            [
                ("n", Kind::Count),
                ("clients", Kind::Unique),
                ("sent_bytes", Kind::Sum),
                ("most", Kind::Extreme),
                ("mean", Kind::Computed),
                ("addresses", Kind::Unique),
                ("p95", Kind::Computed),
                ("d", Kind::Digest),
                ("distribution of p95", Kind::Digest),
            ]
        );
    }

    #[tokio::test]
    async fn a_distribution_is_shown_once() {
        let digests = async |filter: &str| {
            let sql = format!(
                "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, count(*) AS n, approx_percentile(sent_bytes, 0.5) AS p50, \
                 approx_percentile(sent_bytes, 0.95) AS p95, tdigest_agg(sent_bytes) {filter} AS sizes FROM alb_access_logs GROUP BY 1"
            );
            let shape = shape(&sql).await;
            let digests = kinds(&shape).into_iter();
            let digests = digests.filter(|(_, kind)| *kind == Kind::Digest);
            digests.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(digests("").await, ["sizes"]);
        assert_eq!(
            digests("FILTER (WHERE sent_bytes > 0)").await,
            ["sizes", "distribution of p50"]
        );
    }

    #[tokio::test]
    async fn tables_without_time_or_counts_have_days_and_groups() {
        let pages = shape("SELECT request_url AS page, max(sent_bytes) AS most FROM alb_access_logs GROUP BY 1 ORDER BY 2 LIMIT 5").await;
        assert_eq!(pages.source, "t_groups");
        assert!(pages.time.is_date && pages.has_view && pages.has_other);
        assert_eq!(
            kinds(&pages),
            [("groups", Kind::Count), ("most", Kind::Extreme)]
        );
        let rows = shape("SELECT time, client_ip FROM alb_access_logs").await;
        assert_eq!(kinds(&rows), [("rows", Kind::Count)]);
    }
}
