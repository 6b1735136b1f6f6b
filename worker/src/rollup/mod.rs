//! Rollups: the user's SQL, checked and planned.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::DataFusionError;
use futures::stream::BoxStream;
use logmill_shared::chain;

use crate::engine;
use crate::format::{LogFormat, Prefilter, ScanColumn};
use crate::table::definition::{DATE_COLUMN, FAILED_LINES, LOG_FILES, REJECTED_LINES};
use crate::table::{Column, Definition, MergeRule, SLOT_GROUPS_MAX};
use crate::text_files::{self, TextFile, Unread};

mod prefilter;
mod sql;
mod allow;
mod desugar;
mod per_line;
mod plan;

pub use crate::engine::fallible::Fallible;
pub(crate) use per_line::TYPED_SLOTS_MAX;
use plan::{RollupPlan, RowsOfLogFile, Wanted};

/// The extension of a rollup's file.
const ENDING: &str = ".sql";

/// An error in a rollup, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The rollup can't be read.
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
    /// The file's name can't be a table's name.
    #[error(
        "{place}: the file's name is the table's, and '{name}' can't be one: \
         use a lower-case letter, then letters, digits and _, and none of rejected_lines, failed_lines and log_files"
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
        /// The error.
        message: String,
    },
}

/// The rollups of a folder.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Rollups that can be run.
    pub rollups: Vec<Arc<Rollup>>,
    /// Rollups that can't be run.
    pub wrong: Vec<Wrong>,
}

impl<R: Into<Arc<Rollup>>> From<Vec<R>> for Loaded {
    fn from(rollups: Vec<R>) -> Self {
        Self {
            rollups: rollups.into_iter().map(Into::into).collect(),
            wrong: Vec::new(),
        }
    }
}

impl Loaded {
    /// The rollups, if all of them can be run.
    ///
    /// # Errors
    ///
    /// The error of the first rollup that can't be run.
    pub fn all(self) -> Result<Vec<Arc<Rollup>>, String> {
        match self.wrong.into_iter().next() {
            Some(wrong) => Err(wrong.reason),
            None => Ok(self.rollups),
        }
    }
}

/// A rollup's file that can't be used.
#[derive(Debug)]
pub struct Wrong {
    /// The file's name without its ending.
    pub name: String,
    /// The error, with the file's location.
    pub reason: String,
}

/// A rollup, ready to be run over log files.
#[derive(Debug)]
pub struct Rollup {
    definition: Arc<Definition>,
    format: &'static LogFormat,
    scan: Vec<ScanColumn>,
    condition: Option<Prefilter>,
    plan: RollupPlan,
}

impl Rollup {
    /// Loads every `.sql` file of a folder, sorted by name. The folder is a path or `s3://bucket/prefix`.
    ///
    /// # Errors
    ///
    /// If the folder can't be read or has no rollups. Errors of single files are in [`Loaded`] instead.
    pub async fn load_folder(folder: &str) -> Result<Loaded, RollupError> {
        let files = text_files::read(folder, |name| name.ends_with(ENDING)).await;
        let files = files.map_err(|source| RollupError::Read {
            place: folder.to_owned(),
            source,
        })?;
        if files.is_empty() {
            return Err(RollupError::None(folder.to_owned()));
        }
        let mut loaded = Loaded::default();
        for file in files {
            let (name, rollup) = match file {
                Ok(file) => (file.name.clone(), Self::of_file(file).await),
                Err(Unread {
                    place,
                    name,
                    source,
                }) => (name, Err(RollupError::Read { place, source })),
            };
            match rollup {
                Ok(rollup) => loaded.rollups.push(Arc::new(rollup)),
                Err(error) => loaded.wrong.push(Wrong {
                    name: name.trim_end_matches(ENDING).to_owned(),
                    reason: chain(&error),
                }),
            }
        }
        Ok(loaded)
    }

    /// Loads the rollup in one file.
    pub async fn load(path: &Path) -> Result<Self, RollupError> {
        let file = TextFile::on_disk(path).map_err(|source| RollupError::Read {
            place: path.display().to_string(),
            source,
        })?;
        Self::of_file(file).await
    }

    async fn of_file(file: TextFile) -> Result<Self, RollupError> {
        let TextFile { place, name, text } = file;
        // The command `check` accepts a file of any name.
        let name = Path::new(&name).file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let plain = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !plain || [REJECTED_LINES, FAILED_LINES, LOG_FILES].contains(&name.as_str()) {
            return Err(RollupError::Name { place, name });
        }
        let rollup = Self::from_sql(&name, &text).await;
        rollup.map_err(|message| RollupError::Sql { place, message })
    }

    /// Creates a rollup from SQL. The error explains the problem and what to do about it.
    pub async fn from_sql(name: &str, sql: &str) -> Result<Self, String> {
        let groups_max = sql::groups_max(sql)?;
        let mut parsed = sql::parse(sql)?;
        let merges = parsed.columns.iter().any(|(_, rule)| rule.is_some());

        // The types of the columns decide whether lines must be kept apart by day.
        let schema = schema_of(parsed.format, &every_column(&parsed));
        let statement = parsed.statement.clone();
        let types = engine::output_schema(statement, parsed.format.table, schema).await;
        let types = types.map_err(|error| plain_words(&error))?;
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
        if merges {
            let sums: Vec<usize> = (0..parsed.columns.len())
                .filter(|&column| types.field(column).data_type() == &DataType::Int64)
                .filter(|&column| sql::is_sum(&mut parsed, column))
                .collect();
            sql::keep_exact_sums(&mut parsed, &sums)?;
            sql::check_is_other(&parsed)?;
        }
        if !merges || time_key.is_none() {
            sql::add_day(&mut parsed);
        }
        let is_key = |(_, rule): &&(String, Option<MergeRule>)| *rule == Some(MergeRule::GroupKey);
        // With the time as the only group key, a slot has no more groups than times.
        if merges && parsed.columns.iter().filter(is_key).count() > 1 {
            sql::add_is_other(&mut parsed);
        }
        let slot = match time_key {
            Some(key) if merges => parsed.columns[key].0.clone(),
            _ => DATE_COLUMN.to_owned(),
        };
        let planned = plan(&parsed, &slot).await?;

        let ScanPlan { plan, scan } = planned;
        let predicate = plan.predicate();
        let condition =
            predicate.and_then(|predicate| prefilter::prefilter(predicate, parsed.format, &scan));
        let mut columns = Vec::with_capacity(parsed.columns.len());
        for ((name, rule), field) in parsed.columns.iter().zip(plan.schema().fields()) {
            columns.push(Column {
                name: name.clone(),
                data_type: stored_type(name, field.data_type())?,
                rule: *rule,
            });
        }
        let slot_column = columns.iter().position(|column| column.name == slot);
        let slot_column = slot_column.ok_or("it has no time that says where its rows belong")?;
        Ok(Self {
            definition: Arc::new(Definition {
                name: name.to_owned(),
                sql: sql.to_owned(),
                identity: Definition::identity_of(sql),
                columns,
                slot_column,
                slot_groups_max: groups_max.unwrap_or(SLOT_GROUPS_MAX),
            }),
            format: parsed.format,
            condition,
            scan,
            plan,
        })
    }

    /// The table that the rollup produces.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The format of the logs that it reads.
    pub fn format(&self) -> &'static LogFormat {
        self.format
    }

    /// The columns that it needs of each line.
    pub fn scan(&self) -> &[ScanColumn] {
        &self.scan
    }

    /// A condition that holds for all lines that the rollup uses, as far as the scan can tell. `None` if it may use any
    /// line.
    pub fn condition(&self) -> Option<&Prefilter> {
        self.condition.as_ref()
    }

    /// Expressions that can fail on values that visitors write. Lines on which they fail are left out of this rollup.
    pub fn fallible(&self) -> &[Fallible] {
        self.plan.fallible()
    }

    /// Whether visitors write the time that decides which hour or day a row belongs to.
    pub fn visitors_write_times(&self) -> bool {
        self.plan.bounds_slots()
    }

    /// Computes the rows of one log file. `lines` has the columns of [`Rollup::scan`]. The rows have the columns of the
    /// definition, in the types that the plan gives them. Groups take about `memory` bytes.
    pub(crate) fn rows(
        &self,
        lines: BoxStream<'static, Result<RecordBatch, DataFusionError>>,
        memory: usize,
    ) -> RowsOfLogFile<'_> {
        self.plan.begin(lines, memory)
    }
}

struct ScanPlan {
    plan: RollupPlan,
    scan: Vec<ScanColumn>,
}

/// Plans the query over only those columns that it uses. `slot` is the output column that decides which slot a row belongs
/// to.
async fn plan(parsed: &sql::ParsedRollup, slot: &str) -> Result<ScanPlan, String> {
    let format = parsed.format;
    let every = every_column(parsed);
    let statement = || parsed.statement.clone();
    let schema = schema_of(format, &every);
    let named = engine::named_columns(statement(), format.table, schema).await;
    let named = named.map_err(|error| plain_words(&error))?;
    let mut scan: Vec<ScanColumn> = named
        .into_iter()
        .map(|index| every[index].clone())
        .collect();
    let own_times = [
        ScanColumn::Time.name(format),
        ScanColumn::Day.name(format),
        format.time_column.to_owned(),
    ];
    let wanted = Wanted {
        table: format.table,
        schema: schema_of(format, &scan),
        slot,
        own_times: &own_times,
    };
    let plan = RollupPlan::new(statement(), wanted).await;
    let plan = plan.map_err(|error| plain_words(&error))?;
    if plan.with_lines() {
        scan.extend([ScanColumn::LineNumber, ScanColumn::LineText]);
    }
    Ok(ScanPlan { plan, scan })
}

/// All columns that the query could take from the scan.
fn every_column(parsed: &sql::ParsedRollup) -> Vec<ScanColumn> {
    let columns = parsed.format.columns.iter().map(ScanColumn::Column);
    columns.chain(parsed.computed.iter().cloned()).collect()
}

fn schema_of(format: &LogFormat, columns: &[ScanColumn]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(|column| column.field(format))
            .collect::<Vec<_>>(),
    ))
}

/// The text of a planning error, without the engine's own names for the error and for types.
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
        // The function's own message says which arguments it accepts.
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

/// The type in which a column is stored. Delta Lake has no unsigned integers, and only one timestamp type.
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
        | DataType::Date32
        | DataType::Decimal128(38, 0) => data_type.clone(),
        other => {
            return Err(format!(
                "the output column '{name}' has the type {other}, which a table can't store: \
                 cast it to varchar, bigint or double"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_names_of_columns_that_a_table_adds_are_taken() {
        let time = "date_trunc('hour', from_iso8601_timestamp(time))";
        for columns in [
            // A table grouped by time alone has no such column of its own.
            format!("{time} AS is_other, count(*) AS n"),
            format!("{time} AS hour, bool_or(elb = 'x') AS is_other"),
            format!("{time} AS hour, elb AS is_other, count(*) AS n"),
            format!("{time} AS hour, sum(sent_bytes) AS n, count(*) AS n__sum"),
            "elb AS date, count(*) AS n".to_owned(),
        ] {
            let keys = match columns.contains("elb AS is_other") {
                true => "1, 2",
                false => "1",
            };
            let sql = format!("SELECT {columns} FROM alb_access_logs GROUP BY {keys}");
            let refused = Rollup::from_sql("t", &sql).await.unwrap_err();
            assert!(refused.contains("would hide"), "{refused}");
        }
    }
}
