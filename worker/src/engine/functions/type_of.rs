//! `typeof(x)`. It is replaced by the name of the type when the SQL is planned (`engine/types/type_of.rs`).

use arrow::datatypes::DataType;

use super::stand_in::StandIn;

pub(crate) const TYPEOF: &str = "typeof";

pub(super) fn stand_in() -> StandIn {
    StandIn::new(TYPEOF, 1, Some(DataType::Utf8View))
}
