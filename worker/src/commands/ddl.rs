//! `logmill ddl`: statements that register tables with Athena, and example queries.
//!
//! Athena takes the columns of a Delta table from its log. The DDL does not list them, so it stays valid when a table
//! changes. The queries are Trino SQL and run unchanged. Each statement ends with a semicolon, and Athena runs one at a
//! time.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::DataType;

use crate::delivery;
use crate::rollup::{Reader, Rollup, View, is_plain_name};
use crate::table::definition::{DATE_COLUMN, FINAL_UNTIL, GROUPS};
use crate::table::{Column, Definition};
use crate::table::{MergeRule, sum_state};

/// Number of aggregates in one example query. More would not fit on a screen.
const SHOWN_COLUMNS: usize = 4;

/// Returns the statements for the tables of these rollups, which are in the folder `place`.
pub fn ddl(rollups: &[Arc<Rollup>], place: &str, database: &str) -> String {
    let tables = rollups
        .iter()
        .map(|rollup| (&**rollup.definition(), rollup.view()));
    statements(&tables.collect::<Vec<_>>(), place, database)
}

fn statements(tables: &[(&Definition, Option<&View>)], place: &str, database: &str) -> String {
    let place = place.trim_end_matches('/').replace('\'', "\\'");
    let quoted_database = Language::Ddl.quoted(database);
    let mut text = format!("CREATE DATABASE IF NOT EXISTS {quoted_database};\n");
    for (table, view) in tables {
        let name = &table.name;
        let registered = registered(table, *view);
        let _ = write!(
            text,
            "\n\
             -- {name}\n\
             CREATE EXTERNAL TABLE {quoted_database}.{}\n\
             LOCATION '{place}/{name}/'\n\
             TBLPROPERTIES ('table_type' = 'DELTA');\n",
            Language::Ddl.quoted(&registered)
        );
        if let Some(view) = view {
            let qualified = |name: &str| format!("{}.{}", quoted(database), quoted(name));
            let _ = write!(
                text,
                "\n\
                 -- {name}: the result of the rollup's SQL, from the groups in {registered}\n\
                 CREATE OR REPLACE VIEW {} AS\n{};\n",
                qualified(name),
                view.sql(&qualified(&registered), Reader::Athena)
            );
        }
    }
    // One object for each table, each one line of JSON. The SerDe reads timestamps as they are written there, and skips other fields.
    let _ = write!(
        text,
        "\n\
         -- {FINAL_UNTIL}: up to when each table is final\n\
         CREATE EXTERNAL TABLE {quoted_database}.{FINAL_UNTIL} (\n  \
         table_name string,\n  \
         final_until timestamp,\n  \
         newest_interval_end timestamp,\n  \
         computed_at timestamp,\n  \
         delay_max_seconds bigint,\n  \
         nodes bigint,\n  \
         late_log_files bigint\n\
         )\n\
         ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'\n\
         LOCATION '{place}/{}/';\n",
        delivery::FOLDER
    );
    for (table, view) in tables {
        let name = registered(table, *view);
        for (title, query) in queries(table, &name, database) {
            let _ = write!(text, "\n-- {name}: {title}\n{query};\n");
        }
    }
    text
}

/// The name under which a table is registered. Where there is a view, the view has the rollup's name.
fn registered(table: &Definition, view: Option<&View>) -> String {
    match view {
        Some(_) => format!("{}{GROUPS}", table.name),
        None => table.name.clone(),
    }
}

/// The two SQL dialects of Athena. Names that are not plain words are quoted, differently in each dialect. The lists of
/// reserved words are from "Escape reserved keywords in queries" in the Athena user guide.
#[derive(Debug, Clone, Copy)]
enum Language {
    /// Hive's, for DDL statements.
    Ddl,
    /// Trino's, for queries.
    Query,
}

impl Language {
    fn reserved(self) -> &'static str {
        match self {
            Self::Ddl => {
                "all alter and array as authorization between bigint binary boolean both by case cashe cast char column \
                 conf constraint commit create cross cube current current_date current_timestamp cursor database date \
                 dayofweek decimal delete describe distinct div double drop else end exchange exists extended external \
                 extract false fetch float floor following for foreign from full function grant group grouping having if \
                 import in inner insert int integer intersect interval into is join lateral left less like local macro \
                 map more none not null numeric of on only or order out outer over partialscan partition percent \
                 preceding precision preserve primary procedure range reads reduce regexp references revoke right rlike \
                 rollback rollup row rows select set smallint start table tablesample then time timestamp to transform \
                 trigger true truncate unbounded union uniquejoin update user using utc_timestamp values varchar views \
                 when where window with"
            }
            Self::Query => {
                "alter and as between by case cast constraint create cross cube current_catalog current_date current_path \
                 current_role current_schema current_time current_timestamp current_user deallocate delete describe \
                 distinct drop else end escape except execute exists extract false first for from full group grouping \
                 having in inner insert intersect into is join json_array json_exists json_object json_query json_table \
                 json_value last left like listagg localtime localtimestamp natural normalize not null of on or order \
                 outer prepare recursive right rollup select skip table then trim true uescape union unnest using values \
                 when where with"
            }
        }
    }

    fn quoted(self, name: &str) -> Cow<'_, str> {
        if is_plain_name(name) && self.reserved().split(' ').all(|word| word != name) {
            return Cow::Borrowed(name);
        }
        let quote = match self {
            Self::Ddl => "`",
            Self::Query => "\"",
        };
        Cow::Owned(format!(
            "{quote}{}{quote}",
            name.replace(quote, &quote.repeat(2))
        ))
    }
}

/// Quotes a name for a query, if necessary.
fn quoted(name: &str) -> Cow<'_, str> {
    Language::Query.quoted(name)
}

/// A few queries over a table, each with a description.
fn queries(table: &Definition, name: &str, database: &str) -> Vec<(String, String)> {
    let from = format!("FROM {}.{}", quoted(database), quoted(name));
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
        columns.filter(move |column| column.rule.as_ref() == Some(&rule))
    };
    let merged = table.columns.iter().filter_map(merged_again);
    let merged: Vec<(String, Cow<str>)> = merged.take(SHOWN_COLUMNS).collect();
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
        .map(|(_, column)| quoted(&column.name));

    let mut queries = Vec::new();
    if matches!(slot.data_type, DataType::Timestamp(..)) && !merged.is_empty() {
        let slot = quoted(&slot.name);
        queries.push((
            "final rows only: what comes later does not change them".to_owned(),
            format!(
                "SELECT {slot},\n       {outputs}\n{from}\nWHERE {} AND {slot} < (\n  \
                 SELECT final_until FROM {}.{FINAL_UNTIL} WHERE table_name = '{}'\n)\n\
                 GROUP BY {slot}\nORDER BY {slot}",
                days(1),
                quoted(database),
                table.name
            ),
        ));
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
        let name = quoted(&column.name);
        queries.push((
            format!("unique {} per day", column.name),
            format!(
                "SELECT date,\n       cardinality(merge(cast({name} AS HyperLogLog))) AS {name}\n{from}\nWHERE {}\n\
                 GROUP BY date\nORDER BY date",
                days(7)
            ),
        ));
    }
    for column in with_rule(MergeRule::TDigest).take(1) {
        let quantile = |q: f64, short: &str| {
            let (name, result) = (quoted(&column.name), format!("{}_{short}", column.name));
            format!("value_at_quantile(merge(cast({name} AS tdigest)), {q}) AS {result}")
        };
        queries.push((
            format!("percentiles of {} over a week", column.name),
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

/// A condition for the partitions of these days and today. A query without it reads the whole table.
fn days(before_today: u32) -> String {
    match before_today {
        0 => "date = current_date".to_owned(),
        days => format!("date >= current_date - INTERVAL '{days}' DAY"),
    }
}

/// Returns the call that merges the column over many rows, if there is one, and the column's name.
fn merged_again(column: &Column) -> Option<(String, Cow<'_, str>)> {
    let name = quoted(&column.name);
    let function = match column.rule.as_ref()? {
        // A bigint can overflow, but its exact state can't. Files of format 1 have no exact state.
        MergeRule::BigintSum => {
            let exact = format!("sum(coalesce({}, {name}))", sum_state(&column.name));
            return Some((exact, name));
        }
        MergeRule::Sum if matches!(column.data_type, DataType::Decimal128(..)) => return None,
        MergeRule::Sum => "sum",
        MergeRule::Min => "min",
        MergeRule::Max => "max",
        MergeRule::BoolOr => "bool_or",
        MergeRule::BoolAnd => "bool_and",
        MergeRule::BitAnd => "bitwise_and_agg",
        MergeRule::BitOr => "bitwise_or_agg",
        MergeRule::GroupKey
        | MergeRule::HyperLogLog
        | MergeRule::TDigest
        | MergeRule::Hashes
        | MergeRule::Histogram(_)
        | MergeRule::Paired { .. }
        | MergeRule::Result(_) => {
            return None;
        }
    };
    Some((format!("{function}({name})"), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ddl_of(name: &str, sql: &str) -> String {
        let rollup = Rollup::from_sql(name, sql).await.unwrap();
        ddl(&[Arc::new(rollup)], "s3://bucket/tables/", "logs")
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

    /// Whether all occurrences of this name in the statements are quoted. Keywords are in capital letters.
    fn is_quoted(text: &str, name: &str) -> bool {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let statements = text.lines().filter(|line| !line.starts_with("--"));
        let statements = statements.filter(|line| !line.starts_with("LOCATION"));
        statements.into_iter().all(|line| {
            line.match_indices(name).all(|(at, _)| {
                let (before, after) = (&line[..at], &line[at + name.len()..]);
                let is_part = before.ends_with(is_name) || after.starts_with(is_name);
                let quote = if line.contains("EXTERNAL") { '`' } else { '"' };
                is_part || before.ends_with(quote) && after.starts_with(quote)
            })
        })
    }

    #[tokio::test]
    async fn names_that_are_words_of_athena_are_quoted() {
        let mut words: Vec<&str> = Language::Query.reserved().split(' ').collect();
        words.retain(|word| *word != "date");
        assert!(words.len() > 80);
        for word in words {
            let sql = format!(
                "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS m, type AS \"{word}\", count(*) AS n, \
                 max(sent_bytes) AS n2 FROM alb_access_logs GROUP BY 1, 2"
            );
            let rollup = Rollup::from_sql("t", &sql).await.unwrap();
            let text = ddl(&[Arc::new(rollup)], "s3://b", "logs");
            let key = format!("-- t: yesterday's largest, by \"{word}\"");
            assert!(text.contains(&key), "{text}");
            // The statements use these two words with their usual meaning.
            let is_meant = ["current_date", "current_timestamp"].contains(&word);
            assert!(is_meant || is_quoted(&text, word), "{word}: {text}");
        }
        for word in Language::Ddl.reserved().split(' ') {
            let mut definition = Rollup::from_sql("t", "SELECT elb FROM alb_access_logs")
                .await
                .unwrap()
                .definition()
                .as_ref()
                .clone();
            definition.name = word.to_owned();
            let text = statements(&[(&definition, None)], "s3://b", word);
            let made = format!("CREATE EXTERNAL TABLE `{word}`.`{word}`\n");
            assert!(text.contains(&made), "{text}");
            assert!(text.contains(&format!("CREATE DATABASE IF NOT EXISTS `{word}`;")));
        }
    }

    #[test]
    fn names_that_are_not_plain_are_quoted() {
        let cases = [
            ("events", "events", "events"),
            ("date", "`date`", "date"),
            ("order", "`order`", "\"order\""),
            ("skip", "skip", "\"skip\""),
            ("2026_events", "`2026_events`", "\"2026_events\""),
            ("_events", "`_events`", "\"_events\""),
            ("Events", "`Events`", "\"Events\""),
            ("web-logs", "`web-logs`", "\"web-logs\""),
            ("a`b\"c", "`a``b\"c`", "\"a`b\"\"c\""),
        ];
        for (name, in_ddl, in_query) in cases {
            assert_eq!(Language::Ddl.quoted(name), in_ddl);
            assert_eq!(Language::Query.quoted(name), in_query);
        }
    }

    #[tokio::test]
    async fn every_query_names_days() {
        for sql in [
            "SELECT type, count(*) AS n FROM alb_access_logs GROUP BY 1",
            "SELECT * FROM elb_logs",
            "SELECT approx_set(client_ip) AS users FROM alb_access_logs",
        ] {
            let text = ddl_of("t", sql).await;
            let queries = text.split("\n-- t").skip(1);
            let queries =
                queries.filter(|query| query.starts_with(": ") || query.starts_with("_groups: "));
            let queries: Vec<_> = queries.filter(|query| !query.contains("VIEW")).collect();
            assert!(!queries.is_empty(), "{text}");
            assert!(
                queries.iter().all(|query| query.contains("WHERE date")),
                "{text}"
            );
        }
    }
}
