//! `final_until`: up to when the tables are final, a row for each table. The columns are those that `logmill ddl` declares for Athena.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;

use crate::delivery::{Record, Records};
use crate::table::Root;

/// Reads the records of these tables, as one table.
pub(super) async fn table(root: &Root, tables: &[String]) -> Result<Arc<dyn TableProvider>> {
    let read = async { Records::of(root)?.read_all(tables).await };
    let records = read.await;
    let records = records.map_err(|error| DataFusionError::External(Box::new(error)))?;
    let rows = rows(&records)?;
    Ok(Arc::new(MemTable::try_new(
        rows.schema(),
        vec![vec![rows]],
    )?))
}

fn rows(records: &[Record]) -> Result<RecordBatch> {
    let time = |get: fn(&Record) -> Option<DateTime<Utc>>| -> ArrayRef {
        let times = records
            .iter()
            .map(|record| get(record).map(|time| time.timestamp_millis()));
        Arc::new(
            times
                .collect::<TimestampMillisecondArray>()
                .with_timezone("UTC"),
        )
    };
    let number = |get: fn(&Record) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(records.iter().map(get)))
    };
    let names = StringArray::from_iter_values(records.iter().map(|record| &record.table_name));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("table_name", Arc::new(names) as ArrayRef, true),
        ("final_until", time(|record| record.final_until), true),
        (
            "newest_interval_end",
            time(|record| record.newest_interval_end),
            true,
        ),
        ("computed_at", time(|record| Some(record.computed_at)), true),
        (
            "delay_max_seconds",
            number(|record| record.delay_max_seconds),
            true,
        ),
        ("nodes", number(|record| record.nodes), true),
        (
            "late_log_files",
            number(|record| record.late_log_files),
            true,
        ),
    ])?)
}
