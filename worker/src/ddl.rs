//! `logmill ddl`: what makes tables known to Athena, and queries to begin with.
//!
//! Athena takes a Delta table's columns from its log, so the DDL names none of them; it goes on being right when a table
//! changes. Queries are Trino's, and run there as they are. Each statement ends with a semicolon, and Athena runs one
//! at a time.

use std::fmt::Write as _;

use arrow::datatypes::DataType;

use crate::rollup::{DATE_COLUMN, MergeRule, sum_state};
use crate::table::{Column, Definition};

/// Aggregates that one query shows. More of them would not fit on a screen.
const SHOWN_COLUMNS: usize = 4;

/// The statements for these tables, below the place `tables`.
pub fn ddl(tables: &[&Definition], place: &str, database: &str) -> String {
    let place = place.trim_end_matches('/');
    let mut text = format!("CREATE DATABASE IF NOT EXISTS {database};\n");
    for table in tables {
        let name = &table.name;
        let _ = write!(
            text,
            "\n\
             -- {name}\n\
             CREATE EXTERNAL TABLE {database}.{name}\n\
             LOCATION '{place}/{name}/'\n\
             TBLPROPERTIES ('table_type' = 'DELTA');\n"
        );
    }
    for table in tables {
        for (title, query) in queries(table, database) {
            let _ = write!(text, "\n-- {}: {title}\n{query};\n", table.name);
        }
    }
    text
}

/// A handful of queries over a table, each with what it shows.
fn queries(table: &Definition, database: &str) -> Vec<(String, String)> {
    let from = format!("FROM {database}.{}", table.name);
    if !table.merges() {
        return vec![
            (
                "rows by day".to_owned(),
                format!(
                    "SELECT date, count(*) AS rows\n{from}\nWHERE {}\nGROUP BY date\nORDER BY date",
                    days(7)
                ),
            ),
            (
                "some of today's rows".to_owned(),
                format!("SELECT *\n{from}\nWHERE {}\nLIMIT 100", days(0)),
            ),
        ];
    }

    let with_rule = |rule: MergeRule| {
        let columns = table.columns.iter();
        columns.filter(move |column| column.rule == Some(rule))
    };
    let merged = table.columns.iter().filter_map(merged_again);
    let merged: Vec<(String, &str)> = merged.take(SHOWN_COLUMNS).collect();
    let outputs: Vec<String> = merged
        .iter()
        .map(|(call, name)| format!("{call} AS {name}"))
        .collect();
    let outputs = outputs.join(",\n       ");
    let slot = &table.columns[table.slot_column];
    let other_key = table
        .columns
        .iter()
        .enumerate()
        .find(|(index, column)| {
            *index != table.slot_column
                && column.rule == Some(MergeRule::GroupKey)
                && column.name != DATE_COLUMN
        })
        .map(|(_, column)| &column.name);

    let mut queries = Vec::new();
    if matches!(slot.data_type, DataType::Timestamp(..)) && !merged.is_empty() {
        let slot = &slot.name;
        queries.push((
            format!("the last hour, by {slot}"),
            format!(
                "SELECT {slot},\n       {outputs}\n{from}\nWHERE {} AND {slot} >= current_timestamp - INTERVAL '1' HOUR\n\
                 GROUP BY {slot}\nORDER BY {slot}",
                days(1)
            ),
        ));
    }
    if let (Some(key), Some((_, largest))) = (other_key, merged.first()) {
        queries.push((
            format!("yesterday's largest, by {key}"),
            format!(
                "SELECT {key},\n       {outputs}\n{from}\nWHERE date = current_date - INTERVAL '1' DAY\nGROUP BY {key}\n\
                 ORDER BY {largest} DESC\nLIMIT 10",
            ),
        ));
    }
    for column in with_rule(MergeRule::HyperLogLog).take(1) {
        let name = &column.name;
        queries.push((
            format!("unique {name} per day"),
            format!(
                "SELECT date,\n       cardinality(merge(cast({name} AS HyperLogLog))) AS {name}\n{from}\nWHERE {}\n\
                 GROUP BY date\nORDER BY date",
                days(7)
            ),
        ));
    }
    for column in with_rule(MergeRule::TDigest).take(1) {
        let name = &column.name;
        let quantile = |q: f64, short: &str| {
            format!("value_at_quantile(merge(cast({name} AS tdigest)), {q}) AS {name}_{short}")
        };
        queries.push((
            format!("percentiles of {name} over a week"),
            format!(
                "SELECT {},\n       {}\n{from}\nWHERE {}",
                quantile(0.5, "p50"),
                quantile(0.99, "p99"),
                days(7)
            ),
        ));
    }
    queries
}

/// The partitions of these days and today. A query without them reads the whole table.
fn days(before_today: u32) -> String {
    match before_today {
        0 => "date = current_date".to_owned(),
        days => format!("date >= current_date - INTERVAL '{days}' DAY"),
    }
}

/// The call that says what the column is over many rows, if one does, and the column's name.
fn merged_again(column: &Column) -> Option<(String, &str)> {
    let function = match column.rule? {
        // A bigint can't hold some; its exact state can. Files of format 1 have none.
        MergeRule::BigintSum => {
            let name = &column.name;
            let exact = format!("sum(coalesce({}, {name}))", sum_state(name));
            return Some((exact, name));
        }
        MergeRule::Sum if matches!(column.data_type, DataType::Decimal128(..)) => return None,
        MergeRule::Sum => "sum",
        MergeRule::Min => "min",
        MergeRule::Max => "max",
        MergeRule::BoolOr => "bool_or",
        MergeRule::BoolAnd => "bool_and",
        MergeRule::GroupKey | MergeRule::HyperLogLog | MergeRule::TDigest => return None,
    };
    Some((format!("{function}({})", column.name), &column.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::Rollup;

    async fn ddl_of(name: &str, sql: &str) -> String {
        let rollup = Rollup::from_sql(name, sql).await.unwrap();
        ddl(&[rollup.definition()], "s3://bucket/tables/", "logs")
    }

    #[tokio::test]
    async fn a_table_is_made_known_and_asked() {
        let text = ddl_of(
            "events",
            "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, type, count(*) AS events, \
             max(sent_bytes) AS largest, approx_set(client_ip) AS users, tdigest_agg(sent_bytes) AS sizes \
             FROM alb_access_logs GROUP BY 1, 2",
        )
        .await;
        assert!(text.starts_with(
            "CREATE DATABASE IF NOT EXISTS logs;\n\n-- events\nCREATE EXTERNAL TABLE logs.events\n\
             LOCATION 's3://bucket/tables/events/'\nTBLPROPERTIES ('table_type' = 'DELTA');\n"
        ));
        assert!(text.contains("minute >= current_timestamp - INTERVAL '1' HOUR\nGROUP BY minute"));
        assert!(text.contains("sum(events) AS events,\n       max(largest) AS largest"));
        assert!(text.contains("GROUP BY type\nORDER BY events DESC"));
        assert!(text.contains("cardinality(merge(cast(users AS HyperLogLog))) AS users"));
        assert!(text.contains("value_at_quantile(merge(cast(sizes AS tdigest)), 0.99)"));
    }

    #[tokio::test]
    async fn every_query_names_days() {
        for sql in [
            "SELECT type, count(*) AS n FROM alb_access_logs GROUP BY 1",
            "SELECT * FROM elb_logs",
            "SELECT approx_set(client_ip) AS users FROM alb_access_logs",
        ] {
            let text = ddl_of("t", sql).await;
            let queries: Vec<_> = text.split("\n-- t: ").skip(1).collect();
            assert!(!queries.is_empty(), "{text}");
            assert!(
                queries.iter().all(|query| query.contains("WHERE date")),
                "{text}"
            );
        }
    }
}
