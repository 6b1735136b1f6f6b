//! The time key of a line, computed for a time that is no line's: rows with a smaller key have only lines from before that time.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, RecordBatch, StringViewArray, TimestampMillisecondArray,
};
use chrono::{DateTime, Utc};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::Statement;
use futures::TryStreamExt;

use super::Rollup;
use super::desugar::Desugar;
use super::planning_error::plain_words;
use super::syntax::parse_sql;
use crate::engine::StreamPlan;
use crate::format::{DELIVERY_DAY, ScanColumn};

const SECONDS_PER_DAY: i64 = 86_400;

impl Rollup {
    /// The value of the column that says to which hour or day a row belongs, for a line of this time. Rows with a smaller value have
    /// no line of this time or later, because time keys don't decrease with the time of the line.
    ///
    /// # Errors
    ///
    /// If the column depends on anything but the time of the line, because visitors write it.
    pub(crate) async fn time_key_at(&self, time: DateTime<Utc>) -> Result<ScalarValue, String> {
        let computed = Box::pin(self.compute_time_key(time)).await;
        computed.map_err(|reason| {
            let definition = self.definition();
            format!(
                "no row of {} is ever final, because {} depends on more than the time of the line: {reason}",
                definition.name, definition.columns[definition.slot_column].name
            )
        })
    }

    async fn compute_time_key(&self, time: DateTime<Utc>) -> Result<ScalarValue, String> {
        let (format, definition) = (self.format, self.definition());
        let sql = format!("SELECT {} AS key FROM {}", self.time_key, format.table);
        let mut statements = parse_sql(&sql)?;
        let (Some(Statement::Query(mut query)), true) = (statements.pop(), statements.is_empty())
        else {
            return Err(format!("{} is not understood", self.time_key));
        };
        Desugar::over_lines(format, Vec::new()).over(&mut query)?;
        let text = |form: &str| -> ArrayRef {
            Arc::new(StringViewArray::from(vec![time.format(form).to_string()]))
        };
        let milliseconds = TimestampMillisecondArray::from(vec![time.timestamp_millis()]);
        let day = i32::try_from(time.timestamp().div_euclid(SECONDS_PER_DAY));
        let day = day.map_err(|error| error.to_string())?;
        let columns: [(String, ArrayRef); 4] = [
            (
                format.time_column.to_owned(),
                text("%Y-%m-%dT%H:%M:%S%.6fZ"),
            ),
            (DELIVERY_DAY.to_owned(), text("%Y/%m/%d")),
            (
                ScanColumn::Time.name(format),
                Arc::new(milliseconds.with_timezone("UTC")),
            ),
            (
                ScanColumn::Day.name(format),
                Arc::new(Date32Array::from(vec![day])),
            ),
        ];
        let line = RecordBatch::try_from_iter_with_nullable(
            columns.map(|(name, values)| (name, values, true)),
        );
        let line = line.map_err(|error| error.to_string())?;
        let slot = &definition.columns[definition.slot_column];
        let value = async {
            let statement = Statement::Query(query);
            let plan = StreamPlan::new(statement, format.table, line.schema(), Vec::new()).await?;
            let schema = line.schema();
            let lines = futures::stream::iter([Ok(line)]);
            let lines = Box::pin(RecordBatchStreamAdapter::new(schema, lines));
            let rows: Vec<RecordBatch> = plan.run(lines).await?.try_collect().await?;
            let row = rows.iter().find(|rows| rows.num_rows() > 0);
            let row = row.ok_or_else(|| DataFusionError::Plan("it has no value".to_owned()))?;
            ScalarValue::try_from_array(row.column(0), 0)?.cast_to(&slot.data_type)
        };
        value.await.map_err(|error| plain_words(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn key(key: &str, time: &str) -> Result<String, String> {
        let sql = format!("SELECT {key} AS t, count(*) AS n FROM alb_access_logs GROUP BY 1");
        let rollup = Rollup::from_sql("t", &sql).await.unwrap();
        let value = rollup.time_key_at(time.parse().unwrap()).await?;
        assert_eq!(
            value.data_type(),
            rollup.definition().columns[rollup.definition().slot_column].data_type
        );
        Ok(match value {
            ScalarValue::TimestampMicrosecond(Some(value), _) => {
                DateTime::from_timestamp_micros(value).unwrap().to_rfc3339()
            }
            other => other.to_string(),
        })
    }

    #[tokio::test]
    async fn the_time_key_of_a_time_is_that_of_a_line_of_this_time() {
        for (sql, expected) in [
            (
                "date_trunc('hour', from_iso8601_timestamp(time))",
                "2026-11-20T13:00:00+00:00",
            ),
            (
                "date_trunc('minute', from_iso8601_timestamp(time))",
                "2026-11-20T13:07:00+00:00",
            ),
            (
                "date_trunc('day', from_iso8601_timestamp(time))",
                "2026-11-20T00:00:00+00:00",
            ),
            ("date(from_iso8601_timestamp(time))", "2026-11-20"),
            (
                "parse_datetime(substr(time, 1, 13), 'yyyy-MM-dd''T''HH')",
                "2026-11-20T13:00:00+00:00",
            ),
            // No time among the keys: rows are by day.
            ("elb", "2026-11-20"),
        ] {
            assert_eq!(
                key(sql, "2026-11-20T13:07:30Z").await.as_deref(),
                Ok(expected),
                "{sql}"
            );
        }
    }

    #[tokio::test]
    async fn a_time_that_visitors_write_is_never_final() {
        let sql = "from_iso8601_timestamp(url_extract_parameter(request_url, 't'))";
        let error = key(sql, "2026-11-20T13:07:30Z").await.unwrap_err();
        assert!(
            error.starts_with("no row of t is ever final, because t depends on"),
            "{error}"
        );
    }
}
