//! The table `rejected_lines`: lines that are not log lines, kept for inspection.

use std::sync::{Arc, LazyLock};

use arrow::array::{Date32Array, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::DataType;
use logmill_shared::LogFile;

use super::definition::SLOT_GROUPS_MAX;
use super::definition::{DATE_COLUMN, REJECTED_LINES};
use super::{Column, Definition, LookupHashes, TableError};
use crate::format::Rejection;

/// Takes the place of a rollup's SQL.
const SQL: &str = "the lines of log files that are no log lines";

/// Maximum length of a kept line, in bytes.
const KEPT_LINE_BYTES: usize = 8 * 1024;

/// Collects the rejected lines of one log file.
pub struct RejectedLines {
    definition: Arc<Definition>,
    log_file: String,
    /// The day in the log file's name: a rejected line has no time of its own.
    date: Option<i32>,
    line_numbers: Int64Builder,
    reasons: StringBuilder,
    lines: StringBuilder,
    rows: usize,
}

impl RejectedLines {
    /// The table.
    pub fn definition() -> Arc<Definition> {
        // Shared, because each log file asks for it.
        static DEFINITION: LazyLock<Arc<Definition>> = LazyLock::new(RejectedLines::define);
        Arc::clone(&DEFINITION)
    }

    fn define() -> Arc<Definition> {
        let column = |name: &str, data_type| Column {
            name: name.to_owned(),
            data_type,
            rule: None,
        };
        Arc::new(Definition {
            name: REJECTED_LINES.to_owned(),
            sql: SQL.to_owned(),
            lookups: Vec::new(),
            erased: Vec::new(),
            identity: Definition::identity_of(SQL, &LookupHashes::new(), &[]),
            columns: vec![
                column("log_file", DataType::Utf8),
                column("line_number", DataType::Int64),
                column("reason", DataType::Utf8),
                column("line", DataType::Utf8),
                column(DATE_COLUMN, DataType::Date32),
            ],
            slot_column: 4,
            slot_groups_max: SLOT_GROUPS_MAX,
        })
    }

    pub(crate) fn new(log_file: &LogFile) -> Self {
        let date = log_file
            .day()
            .and_then(|day| logmill_trino::cast::varchar_to_date(&day).ok());
        Self {
            definition: Self::definition(),
            log_file: log_file.uri().to_owned(),
            date,
            line_numbers: Int64Builder::new(),
            reasons: StringBuilder::new(),
            lines: StringBuilder::new(),
            rows: 0,
        }
    }

    /// Adds a rejected line. `line_number` counts from 1.
    pub(crate) fn push(&mut self, line_number: u64, reason: Rejection, line: &str) {
        self.line_numbers.append_value(line_number as i64);
        self.reasons.append_value(reason.to_string());
        self.lines
            .append_value(&line[..line.floor_char_boundary(KEPT_LINE_BYTES)]);
        self.rows += 1;
    }

    /// The lines added since the last call, if any.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>, TableError> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(None);
        }
        let mut log_files = StringBuilder::new();
        for _ in 0..rows {
            log_files.append_value(&self.log_file);
        }
        let batch = RecordBatch::try_new(
            self.definition.row_schema(),
            vec![
                Arc::new(log_files.finish()),
                Arc::new(self.line_numbers.finish()),
                Arc::new(self.reasons.finish()),
                Arc::new(self.lines.finish()),
                Arc::new(Date32Array::from(vec![self.date; rows])),
            ],
        );
        batch
            .map(Some)
            .map_err(|error| TableError::Internal(error.to_string()))
    }
}
