//! Rollups: the user's SQL, checked and planned.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::empty::EmptyTable;
use futures::stream::BoxStream;

use crate::engine;
use crate::engine::functions::cast::trino_name;
use crate::engine::functions::ip::{IP_ADDRESS, NOT_STORED};
use crate::format::{DELIVERY_DAY, LogFormat, Prefilter, ScanColumn};
use crate::table::{Column, Definition, LookupFile, MergeRule, SLOT_GROUPS_MAX};

mod load;
mod settings;
mod walk;
mod syntax;
mod lookups;
mod joins;
mod lookup_calls;
mod parse;
mod one_row;
mod inline;
mod scalars;
mod allow;
mod parts;
mod erased;
mod results;
mod reading;
mod outer;
mod unmerged;
mod conditions;
mod days;
mod aggregates;
mod athena;
mod desugar;
mod by_scan;
mod states;
mod planning_error;
mod plan;
mod per_line;
mod repeat;
mod checks;
mod prefilter;
mod time_key;

pub use crate::engine::fallible::Fallible;
pub(crate) use allow::{instead_of_column, instead_of_function};
pub(crate) use days::check_days;
pub(crate) use desugar::over_rows;
pub(crate) use erased::condition;
pub(crate) use joins::take_unnest;
pub use load::{InvalidRollup, Loaded, RollupError};
pub(crate) use load::{TABLE_NAMES, is_plain_name, is_table_name};
pub(crate) use lookup_calls::take_lookup_calls;
pub(crate) use lookups::lookup_rows;
use lookups::{Lookup, Lookups};
use parse::parse;
pub(crate) use per_line::VISITOR_SLOTS_MAX;
use plan::{RollupPlan, RowsOfLogFile, Wanted};
pub(crate) use planning_error::plain_words;
pub(crate) use prefilter::prefilter;
pub(crate) use reading::{Reader, View, set_now, with_now};
use states::TableSql;
pub(crate) use syntax::parse_sql;
pub(crate) use unmerged::{AGGREGATES, spell_aggregates};
pub(crate) use walk::change_queries;

/// A rollup, ready to be run over log files.
#[derive(Debug)]
pub struct Rollup {
    definition: Arc<Definition>,
    format: &'static LogFormat,
    scan: Vec<ScanColumn>,
    prefilter: Option<Prefilter>,
    plan: RollupPlan,
    view: Option<View>,
    time_key: String,
    outputs: usize,
    regrouped: Vec<(String, String)>,
    digested: Vec<(String, String)>,
    lookups: Vec<Arc<Lookup>>,
}

/// A column of the result of a rollup's SQL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResultColumn<'r> {
    pub(crate) name: &'r str,
    /// Whether it is a group key.
    pub(crate) is_key: bool,
}

impl Rollup {
    /// Creates a rollup from SQL that joins no lookups.
    ///
    /// # Errors
    ///
    /// If the SQL can't be a rollup. The error explains the problem and what to do about it.
    pub async fn from_sql(name: &str, sql: &str) -> Result<Self, String> {
        Self::with_lookups(name, sql, &Lookups::default(), &[]).await
    }

    /// The rollup that produces a table, from the SQL, the lookups and the conditions on erased lines that the table keeps.
    ///
    /// # Errors
    ///
    /// If this version of logmill refuses the SQL.
    pub(crate) async fn of_table(
        name: &str,
        sql: &str,
        lookups: Vec<LookupFile>,
        erased: &[String],
    ) -> Result<Self, String> {
        Self::with_lookups(name, sql, &Lookups::of_files(lookups), erased).await
    }

    /// The same rollup without the lines that meet one of these conditions.
    ///
    /// # Errors
    ///
    /// A condition is none on the values of a line. The error says why.
    pub(crate) async fn without(&self, erased: &[String]) -> Result<Self, String> {
        let Definition {
            name, sql, lookups, ..
        } = &*self.definition;
        Self::of_table(name, sql, lookups.clone(), erased).await
    }

    async fn with_lookups(
        name: &str,
        sql: &str,
        lookups: &Lookups,
        erased: &[String],
    ) -> Result<Self, String> {
        let groups_max = settings::groups_max(sql)?;
        let mut parsed = parse(sql, lookups)?;
        erased::leave_out(&mut parsed, erased, lookups)?;
        let lookups = parsed.joined.lookups.clone();
        let files: Vec<LookupFile> = lookups.iter().map(|lookup| lookup.file.clone()).collect();
        let format = parsed.format;
        // Boxed, because the planner leaves little of a thread's stack in debug builds.
        let mut table = Box::pin(states::table_of(parsed)).await?;
        let ScanPlan { plan, scan } = plan(&table, format).await?;
        let predicate = plan.predicate();
        let prefilter =
            predicate.and_then(|predicate| prefilter::prefilter(predicate, format, &scan));
        let mut columns = Vec::with_capacity(table.columns.len());
        let own = std::mem::take(&mut table.columns);
        for ((name, rule), field) in own.into_iter().zip(plan.schema().fields()) {
            columns.push(Column {
                data_type: stored_type(&name, field.data_type())?,
                name,
                rule,
            });
        }
        if let Some(view) = &mut table.view {
            let fields = columns
                .iter()
                .map(|column| Field::new(&column.name, column.data_type.clone(), true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let groups = Arc::new(EmptyTable::new(schema));
            let now = SystemTime::now().into();
            let planned = view.plan(groups, now).await;
            let planned = planned.map_err(|error| with_now(&plain_words(&error), now))?;
            view.note_instants(planned.schema());
        }
        let slot_column = columns.iter().position(|column| column.name == table.slot);
        let slot_column = slot_column
            .ok_or("the rollup has no column that says to which hour or day a row belongs")?;
        Ok(Self {
            definition: Arc::new(Definition {
                name: name.to_owned(),
                sql: sql.to_owned(),
                identity: Definition::identity_of(sql, &LookupFile::hashes(&files), erased),
                lookups: files,
                erased: erased.to_vec(),
                columns,
                slot_column,
                slot_groups_max: groups_max.unwrap_or(SLOT_GROUPS_MAX),
            }),
            format,
            prefilter,
            scan,
            plan,
            view: table.view,
            time_key: table.time_key,
            outputs: table.outputs,
            regrouped: table.regrouped,
            digested: table.digested,
            lookups,
        })
    }

    /// The table that the rollup produces.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The query of the table that gives the result of the rollup's SQL. `None` if the table is that result.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// The columns of the SQL's result, without those that only the table has. `None` if a query around the grouped one
    /// decides them.
    pub(crate) fn result_columns(&self) -> Option<Vec<ResultColumn<'_>>> {
        if let Some(view) = &self.view {
            let shown = view.outputs.iter().map(|shown| ResultColumn {
                name: &shown.name,
                is_key: shown.is_key,
            });
            return view.outer.is_none().then(|| shown.collect());
        }
        let columns = self.definition.columns.iter().take(self.outputs);
        let columns = columns.map(|column| ResultColumn {
            name: &column.name,
            is_key: column.rule == Some(MergeRule::GroupKey),
        });
        Some(columns.collect())
    }

    /// Whether the rows of the SQL's result have an order.
    pub(crate) fn is_ordered(&self) -> bool {
        self.view.as_ref().is_some_and(View::is_ordered)
    }

    /// The expression over a line that decides to which hour or day its row belongs.
    pub(crate) fn time_key(&self) -> &str {
        &self.time_key
    }

    /// The output columns that any rows of the table give, whatever their groups. Each has its SQL over these rows.
    pub(crate) fn regrouped(&self) -> &[(String, String)] {
        &self.regrouped
    }

    /// The values of a column with a t-digest, as text. Two digests of the same values have the same text.
    pub(crate) fn digested(&self, column: &str) -> Option<&str> {
        let mut digests = self.digested.iter();
        let (_, values) = digests.find(|(name, _)| name == column)?;
        Some(values)
    }

    /// The files that it looks values up in, each with the number of its rows, if it has rows.
    pub fn lookups(&self) -> impl Iterator<Item = (&str, Option<usize>)> {
        let lookups = self.lookups.iter();
        lookups.map(|lookup| (lookup.file.name.as_str(), lookup.rows()))
    }

    /// The contents of these files.
    pub(crate) fn lookup_contents(&self) -> impl Iterator<Item = &Bytes> {
        self.lookups.iter().map(|lookup| &lookup.file.content)
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
    pub fn prefilter(&self) -> Option<&Prefilter> {
        self.prefilter.as_ref()
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

/// Plans the query over only those columns that it uses.
async fn plan(table: &TableSql, format: &'static LogFormat) -> Result<ScanPlan, String> {
    let every = every_column(format, &table.computed);
    let statement = || table.statement.clone();
    let schema = schema_of(format, &every);
    let named = engine::named_columns(statement(), format.table, schema, &table.lookups).await;
    let named = named.map_err(|error| plain_words(&error))?;
    let mut scan: Vec<ScanColumn> = named
        .into_iter()
        .map(|index| every[index].clone())
        .collect();
    let own_times = [
        ScanColumn::Time.name(format),
        ScanColumn::Day.name(format),
        DELIVERY_DAY.to_owned(),
        format.time_column.to_owned(),
    ];
    let wanted = Wanted {
        table: format.table,
        schema: schema_of(format, &scan),
        slot: &table.slot,
        own_times: &own_times,
        lookups: &table.lookups,
    };
    let plan = RollupPlan::new(statement(), wanted).await;
    let plan = plan.map_err(|error| plain_words(&error))?;
    if plan.with_lines() {
        scan.extend([ScanColumn::LineNumber, ScanColumn::LineText]);
    }
    Ok(ScanPlan { plan, scan })
}

/// All columns that a query could take from the scan.
fn every_column(format: &LogFormat, computed: &[ScanColumn]) -> Vec<ScanColumn> {
    let columns = format.all_columns().chain(computed.iter().cloned());
    columns.chain([ScanColumn::Day]).collect()
}

fn schema_of(format: &LogFormat, columns: &[ScanColumn]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(|column| column.field(format))
            .collect::<Vec<_>>(),
    ))
}

/// Whether tables store arrays of this type. Times are excluded, because those out of range would have to be found in each array.
fn is_stored_element(data_type: &DataType) -> bool {
    data_type.is_string() || data_type.is_numeric() || data_type == &DataType::Boolean
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
        | DataType::Decimal128(_, 0..) => data_type.clone(),
        DataType::List(element) => {
            if !is_stored_element(element.data_type()) {
                return Err(format!(
                    "the output column '{name}' has the type {}, which a table cannot store: make an array of texts or numbers",
                    trino_name(data_type)
                ));
            }
            let stored = stored_type(name, element.data_type())?;
            DataType::List(Arc::new(Field::new("element", stored, true)))
        }
        DataType::Map(entries, is_sorted)
            if matches!(entries.data_type(), DataType::Struct(fields)
            if fields.iter().all(|field| field.data_type() == &DataType::Float64)) =>
        {
            DataType::Map(Arc::clone(entries), *is_sorted)
        }
        address if address == &IP_ADDRESS => {
            return Err(format!("the output column '{name}' {NOT_STORED}"));
        }
        other => {
            return Err(format!(
                "the output column '{name}' has the type {other}, which a table cannot store: \
                 cast it to varchar, bigint or double"
            ));
        }
    })
}
