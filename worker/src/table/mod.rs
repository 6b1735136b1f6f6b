//! The table.
use arrow::datatypes::DataType;
use crate::rollup::MergeRule;
/// x
#[derive(Debug, Clone, PartialEq)]
pub struct Column { pub name: String, pub data_type: DataType, pub rule: Option<MergeRule> }
/// x
#[derive(Debug, Clone, PartialEq)]
pub struct Definition { pub name: String, pub sql: String, pub columns: Vec<Column>, pub slot_column: usize }
