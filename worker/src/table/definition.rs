//! The definition of a table: its columns, how their rows merge, and which hour or day a row belongs to.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake_core::kernel::{ArrayType, DataType as DeltaType, MapType, StructField};

use super::merge_rule::{MergeRule, sum_state};
use super::{LookupFile, LookupHashes, short_hash};
use crate::engine::canonical;

/// The column that every table is partitioned by.
pub(crate) const DATE_COLUMN: &str = "date";

/// The column that marks the row which represents all groups for which a full slot has no room.
pub(crate) const IS_OTHER_COLUMN: &str = "is_other";

/// What a table's name ends with where the name alone means the view over it.
pub(crate) const GROUPS: &str = "_groups";

/// The table of rejected lines.
pub(crate) const REJECTED_LINES: &str = "rejected_lines";

/// The name under which queries see the ledgers of all tables.
pub(crate) const LOG_FILES: &str = "log_files";

/// The name under which queries see the lines on which rollups fail.
pub(crate) const FAILED_LINES: &str = "failed_lines";

/// The name under which queries see up to when tables are final.
pub(crate) const FINAL_UNTIL: &str = "final_until";

/// The definition of a table, derived from its rollup.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The name of the table and of its folder.
    pub name: String,
    /// The SQL that the table is the result of.
    pub sql: String,
    /// The files that the SQL looks values up in.
    pub lookups: Vec<LookupFile>,
    /// Conditions on log lines: lines that meet one are left out, because a person has erased them.
    pub erased: Vec<String>,
    /// The columns of its rows. They include `date` if rows have one of their own. Otherwise the table's partitions come from
    /// the time in the slot column.
    pub columns: Vec<Column>,
    /// The column, a timestamp or a date, that determines the hour or day that a row belongs to.
    pub slot_column: usize,
    /// Identifies the definition: a hash of its SQL, of its lookups and of the conditions on erased lines. Each staged file contains it.
    pub identity: String,
    /// Maximum number of groups in a slot. New groups of a full slot are folded into one row for each time.
    pub slot_groups_max: usize,
}

/// Default maximum number of groups in an hour or a day. Each commit rewrites the hours that it touches; docs/performance.md
/// has the cost.
pub const SLOT_GROUPS_MAX: usize = 2_000_000;

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type in which it is stored.
    pub data_type: DataType,
    /// How it merges; `None` in a table that keeps every row.
    pub rule: Option<MergeRule>,
}

impl Definition {
    /// A hash of a SQL text, which ignores its layout, of the files that it looks values up in, and of conditions on erased lines: 16
    /// hexadecimal digits.
    pub(crate) fn identity_of(sql: &str, lookups: &LookupHashes, erased: &[String]) -> String {
        let mut text = canonical(sql);
        for (name, hash) in lookups {
            text.push_str(&format!("\n{name} {hash}"));
        }
        for condition in erased {
            text.push_str(&format!("\nwithout {condition}"));
        }
        short_hash(&text)
    }

    /// Whether rows of the same group are merged. If not, the table keeps every row.
    pub fn merges(&self) -> bool {
        self.columns.iter().any(|column| column.rule.is_some())
    }

    /// The group keys in the table's sort order, the time first. The row that represents the groups for which a slot has no
    /// room comes after the other rows of its time.
    pub(crate) fn sort_keys(&self) -> Vec<usize> {
        let is_other = self.is_other();
        let mut keys = vec![self.slot_column];
        keys.extend(is_other);
        keys.extend((0..self.columns.len()).filter(|&index| {
            index != self.slot_column
                && Some(index) != is_other
                && self.columns[index].rule == Some(MergeRule::GroupKey)
        }));
        keys
    }

    /// The index of the `is_other` column, if groups have keys other than their time.
    pub(crate) fn is_other(&self) -> Option<usize> {
        let place = self.place(IS_OTHER_COLUMN)?;
        let is_key = self.columns[place].rule == Some(MergeRule::GroupKey);
        is_key.then_some(place)
    }

    /// The columns of integer sums, each with the column of its exact state.
    pub(crate) fn exact_sums(&self) -> impl Iterator<Item = (usize, usize)> {
        let columns = self.columns.iter().enumerate();
        let sums = columns.filter(|(_, column)| column.rule == Some(MergeRule::BigintSum));
        sums.filter_map(|(sum, column)| Some((sum, self.place(&sum_state(&column.name))?)))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether rows belong to hours; if not, to days.
    pub(crate) fn has_hours(&self) -> bool {
        matches!(
            self.columns[self.slot_column].data_type,
            DataType::Timestamp(..)
        )
    }

    /// The schema of staged rows.
    pub(crate) fn row_schema(&self) -> SchemaRef {
        self.schema_of(|_| true)
    }

    /// The schema of data files, which don't contain the partition column.
    pub(crate) fn file_schema(&self) -> SchemaRef {
        self.schema_of(|column| column.name != DATE_COLUMN)
    }

    fn schema_of(&self, keep: impl Fn(&Column) -> bool) -> SchemaRef {
        let fields = self.columns.iter().filter(|column| keep(column));
        let fields = fields.map(|column| Field::new(&column.name, column.data_type.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The table's columns for Delta Lake.
    pub(crate) fn delta_fields(&self) -> Vec<StructField> {
        let columns = self
            .columns
            .iter()
            .filter(|column| column.name != DATE_COLUMN);
        let mut fields: Vec<StructField> = columns
            .map(|column| StructField::new(&column.name, delta_type(&column.data_type), true))
            .collect();
        fields.push(StructField::new(DATE_COLUMN, DeltaType::DATE, true));
        fields
    }
}

/// Delta's name for a type. Rollups with other types are refused.
fn delta_type(data_type: &DataType) -> DeltaType {
    match data_type {
        DataType::Boolean => DeltaType::BOOLEAN,
        DataType::Int8 => DeltaType::BYTE,
        DataType::Int16 => DeltaType::SHORT,
        DataType::Int32 => DeltaType::INTEGER,
        DataType::Int64 => DeltaType::LONG,
        DataType::Float32 => DeltaType::FLOAT,
        DataType::Float64 => DeltaType::DOUBLE,
        DataType::Date32 => DeltaType::DATE,
        DataType::Timestamp(..) => DeltaType::TIMESTAMP,
        DataType::Binary => DeltaType::BINARY,
        DataType::Utf8 => DeltaType::STRING,
        DataType::Decimal128(precision, scale) => {
            DeltaType::decimal(*precision, *scale as u8).unwrap_or(DeltaType::STRING)
        }
        DataType::List(element) => DeltaType::Array(Box::new(ArrayType::new(
            delta_type(element.data_type()),
            true,
        ))),
        DataType::Map(..) => DeltaType::Map(Box::new(MapType::new(
            DeltaType::DOUBLE,
            DeltaType::DOUBLE,
            true,
        ))),
        other => unreachable!("a rollup with a column of type {other} was accepted"),
    }
}
