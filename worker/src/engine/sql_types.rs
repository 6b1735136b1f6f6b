//! The types that SQL names and that DataFusion lacks or takes for others.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{self, TimezoneInfo};

use super::functions::ip::IP_ADDRESS;
use super::functions::json::JSON;

/// Supports `CAST(x AS HyperLogLog)` and `CAST(x AS tdigest)`. The functions of sketches take sketches as tables store
/// them, so both names mean the type in which sketches are stored.
///
/// A `timestamp` has milliseconds, as in Trino; DataFusion's has nanoseconds.
#[derive(Debug)]
pub(super) struct TrinoTypes;

impl TypePlanner for TrinoTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let data_type = match sql_type {
            ast::DataType::Custom(name, _) => {
                match name.to_string().to_ascii_lowercase().as_str() {
                    "ipaddress" => Some(IP_ADDRESS),
                    "hyperloglog" | "tdigest" | "varbinary" => Some(DataType::Binary),
                    _ => None,
                }
            }
            ast::DataType::JSON => Some(JSON),
            ast::DataType::Timestamp(precision, zone) => timestamp(*precision, zone),
            _ => None,
        };
        Ok(data_type.map(|data_type| Arc::new(Field::new("", data_type, true))))
    }
}

fn timestamp(precision: Option<u64>, zone: &TimezoneInfo) -> Option<DataType> {
    let unit = match precision.unwrap_or(3) {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => return None,
    };
    let zone = match zone {
        TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => None,
        TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => Some("UTC".into()),
    };
    Some(DataType::Timestamp(unit, zone))
}
