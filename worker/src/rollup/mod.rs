//! Rollups: the user's SQL, checked and planned.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;

use crate::format::{Condition, LogFormat, ScanColumn};
use crate::table::{Column, Definition};

mod files;
mod filter;
mod sql;
mod allow;
pub(crate) mod zones;
mod forms;
mod types;
pub(crate) mod merge;
pub(crate) mod functions;
pub(crate) mod engine;

use files::SqlFile;
pub use merge::MergeRule;
pub(crate) use sql::{DATE_COLUMN, canonical};

/// The table of lines that are no log lines.
pub(crate) const REJECTED_LINES: &str = "rejected_lines";

/// The name under which queries see the ledgers of all tables.
pub(crate) const LOG_FILES: &str = "log_files";

/// What is wrong with a rollup, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// It can't be had.
    #[error("{place}: can't be read")]
    Read {
        /// The file, folder or object.
        place: String,
        /// Why not.
        source: anyhow::Error,
    },
    /// A folder without rollups.
    #[error("{0}: there is no .sql file in it; a rollup is a file <table>.sql with one SELECT")]
    None(String),
    /// A name that can't be a table's.
    #[error(
        "{place}: the file's name is the table's, and '{name}' can't be one: \
         use a lower-case letter, then letters, digits and _, and none of rejected_lines and log_files"
    )]
    Name {
        /// The file.
        place: String,
        /// Its name without the ending.
        name: String,
    },
    /// SQL that is not understood, or that can't be merged.
    #[error("{place}: {message}")]
    Sql {
        /// The file.
        place: String,
        /// What is wrong.
        message: String,
    },
}

/// A rollup, ready to be run over log files.
#[derive(Debug)]
pub struct Rollup {
    definition: Arc<Definition>,
    format: &'static LogFormat,
    scan: Vec<ScanColumn>,
    condition: Option<Condition>,
    plan: engine::StreamPlan,
}

impl Rollup {
    /// Loads every `.sql` file of a folder, which is a path or `s3://bucket/prefix`, in the order of their names.
    pub async fn load_folder(folder: &str) -> Result<Vec<Self>, RollupError> {
        let files = files::of_folder(folder).await;
        let files = files.map_err(|source| RollupError::Read {
            place: folder.to_owned(),
            source,
        })?;
        if files.is_empty() {
            return Err(RollupError::None(folder.to_owned()));
        }
        let mut rollups = Vec::with_capacity(files.len());
        for file in files {
            rollups.push(Self::of_file(file).await?);
        }
        Ok(rollups)
    }

    /// Loads the rollup in one file.
    pub async fn load(path: &Path) -> Result<Self, RollupError> {
        let file = SqlFile::read(path).map_err(|source| RollupError::Read {
            place: path.display().to_string(),
            source,
        })?;
        Self::of_file(file).await
    }

    async fn of_file(file: SqlFile) -> Result<Self, RollupError> {
        let SqlFile { place, name, sql } = file;
        let plain = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !plain || name == REJECTED_LINES || name == LOG_FILES {
            return Err(RollupError::Name { place, name });
        }
        let rollup = Self::from_sql(&name, &sql).await;
        rollup.map_err(|message| RollupError::Sql { place, message })
    }

    /// Makes a rollup of SQL. The error is what is wrong and what to do about it.
    pub async fn from_sql(name: &str, sql: &str) -> Result<Self, String> {
        let mut parsed = sql::parse(sql)?;
        let merges = parsed.columns.iter().any(|(_, rule)| rule.is_some());

        // What the columns are decides whether lines must be kept apart by day.
        let mut planned = plan(&parsed).await?;
        let types = planned.plan.schema();
        let is_time =
            |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
        let time_key = parsed
            .columns
            .iter()
            .zip(types.fields())
            .position(|((_, rule), field)| {
                *rule == Some(MergeRule::GroupKey) && is_time(field.data_type())
            });
        let date_column = parsed
            .columns
            .iter()
            .position(|(name, _)| name == DATE_COLUMN);
        let date_is_key = date_column.is_some()
            && date_column == time_key
            && time_key.is_some_and(|key| types.field(key).data_type() == &DataType::Date32);
        if date_column.is_some() && !date_is_key {
            return Err("the output column 'date' would hide the one that the table is partitioned by: \
                        give it another name, or make it the first time among the group keys and a DATE"
                .to_owned());
        }
        if !merges || time_key.is_none() {
            sql::add_day(&mut parsed);
            planned = plan(&parsed).await?;
        }
        let slot_column = if merges { time_key } else { None };

        let ScanPlan { plan, scan } = planned;
        let predicate = plan.predicate();
        let condition =
            predicate.and_then(|predicate| filter::condition(predicate, parsed.format, &scan));
        let mut columns = Vec::with_capacity(parsed.columns.len());
        for ((name, rule), field) in parsed.columns.iter().zip(plan.schema().fields()) {
            columns.push(Column {
                name: name.clone(),
                data_type: stored_type(name, field.data_type())?,
                rule: *rule,
            });
        }
        let slot_column = slot_column.unwrap_or(columns.len() - 1);
        Ok(Self {
            definition: Arc::new(Definition {
                name: name.to_owned(),
                sql: sql.to_owned(),
                columns,
                slot_column,
            }),
            format: parsed.format,
            condition,
            scan,
            plan,
        })
    }

    /// The table that it makes.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The logs that it reads.
    pub fn format(&self) -> &'static LogFormat {
        self.format
    }

    /// What it needs of each line.
    pub fn scan(&self) -> &[ScanColumn] {
        &self.scan
    }

    /// What the lines that matter to it have in common, as far as the scan can tell; `None` if all may matter.
    pub fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// Runs it over the lines of one log file. The result has the columns of the definition, in the types
    /// that the plan gives them.
    pub(crate) async fn run(
        &self,
        lines: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        self.plan.run(lines).await
    }

    /// The schema of the lines that [`Rollup::run`] takes.
    pub(crate) fn scan_schema(&self) -> SchemaRef {
        schema_of(self.format, &self.scan)
    }
}

struct ScanPlan {
    plan: engine::StreamPlan,
    scan: Vec<ScanColumn>,
}

/// Plans the query over just those columns that it uses.
async fn plan(parsed: &sql::ParsedRollup) -> Result<ScanPlan, String> {
    let format = parsed.format;
    let every: Vec<ScanColumn> = format
        .columns
        .iter()
        .map(ScanColumn::Column)
        .chain(parsed.computed.iter().cloned())
        .collect();
    let statement = || parsed.statement.clone();
    let schema = schema_of(format, &every);
    let named = engine::named_columns(statement(), format.table, schema).await;
    let named = named.map_err(|error| plain_words(&error))?;
    let scan: Vec<ScanColumn> = named
        .into_iter()
        .map(|index| every[index].clone())
        .collect();
    let schema = schema_of(format, &scan);
    let plan = engine::StreamPlan::new(statement(), format.table, schema, Vec::new()).await;
    let plan = plan.map_err(|error| plain_words(&error))?;
    Ok(ScanPlan { plan, scan })
}

fn schema_of(format: &LogFormat, columns: &[ScanColumn]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(|column| column.field(format))
            .collect::<Vec<_>>(),
    ))
}

/// What a planning error says, without the engine's own names for it and for types.
fn plain_words(error: &DataFusionError) -> String {
    const TYPES: [(&str, &str); 10] = [
        ("Utf8View", "varchar"),
        ("LargeUtf8", "varchar"),
        ("Utf8", "varchar"),
        ("Boolean", "boolean"),
        ("Int16", "smallint"),
        ("Int32", "integer"),
        ("Int64", "bigint"),
        ("Float64", "double"),
        ("Date32", "date"),
        ("Timestamp(ms, \"UTC\")", "timestamp with time zone"),
    ];
    // Rollups have no values of these types.
    const OTHER_TYPES: [&str; 5] = ["Timestamp(µs", "Decimal", "UInt", "Duration", "Interval"];
    let message = match error.find_root() {
        DataFusionError::Plan(message) => message.clone(),
        error => error.to_string(),
    };
    let message = match message.split_once("Candidate functions:") {
        // The function says by itself what it takes.
        Some((call, _)) if call.contains("user-defined coercion failed with: ") => {
            let (words, _) = call
                .split_once(". No function matches")
                .unwrap_or((call, ""));
            let (_, words) = words.rsplit_once("error: ").unwrap_or(("", words));
            words.to_owned()
        }
        Some((call, candidates)) => {
            let (_, call) = call.split_once("argument types '").unwrap_or(("", call));
            let (call, _) = call.split_once('\'').unwrap_or((call, ""));
            let candidates: Vec<&str> = candidates
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .filter(|line| !OTHER_TYPES.iter().any(|other| line.contains(other)))
                .collect();
            format!(
                "there is no {call} here: there is {}",
                candidates.join(", ")
            )
        }
        None => message,
    };
    TYPES
        .iter()
        .fold(message, |message, (arrow, sql)| message.replace(arrow, sql))
}

/// The type in which a column is stored: Delta Lake has no unsigned integers, and one timestamp.
fn stored_type(name: &str, data_type: &DataType) -> Result<DataType, String> {
    Ok(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32 => data_type.clone(),
        other => {
            return Err(format!(
                "the output column '{name}' has the type {other}, which a table can't store: \
                 cast it to varchar, bigint or double"
            ));
        }
    })
}
