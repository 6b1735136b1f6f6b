//! Trino's casts. Arrow's casts are used where they agree with Trino's. Where they don't, `CAST` and `TRY_CAST` become a
//! [`Cast`]. Where neither is right, the cast is refused.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray, StringViewArray,
    StringViewBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit,
};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, exec_err, plan_err};
use datafusion::logical_expr::expr::{Cast as CastExpr, ScalarFunction, TryCast};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::formats::local_texts;
use super::ip::{self, IP_ADDRESS};
use super::json::{JSON, as_texts};
use super::zoned::{local_days, other_zone, without_zone, zone_of};
use crate::engine::sql_text::sql;
use logmill_trino::ip::{ip_to_varchar, varchar_to_ip};
use logmill_trino::{cast as trino, timestamp};

mod of_json;

/// Replaces a cast that Arrow does differently from Trino with a [`Cast`]; leaves other expressions as they are.
pub(crate) fn plan(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (inner, to, attempt) = match &expr {
        Expr::Cast(CastExpr { expr, field }) => (expr, field.data_type(), false),
        Expr::TryCast(TryCast { expr, field }) => (expr, field.data_type(), true),
        _ => return Ok(Transformed::no(expr)),
    };
    let from = inner.get_type(schema)?;
    // A cast to `timestamp with time zone` names no zone. What has one keeps it.
    if let (DataType::Timestamp(_, Some(zone)), DataType::Timestamp(unit, Some(_))) = (&from, to)
        && other_zone(&from).is_some()
    {
        let to = DataType::Timestamp(*unit, Some(Arc::clone(zone)));
        return Ok(Transformed::yes((**inner).clone().cast_to(&to, schema)?));
    }
    match agreement(&from, to) {
        Agreement::Same => Ok(Transformed::no(expr)),
        Agreement::Trinos => {
            let function = Cast {
                to: to.clone(),
                attempt,
                signature: Signature::any(1, Volatility::Immutable),
            };
            Ok(Transformed::yes(
                ScalarUDF::new_from_impl(function).call(vec![(**inner).clone()]),
            ))
        }
        Agreement::None => {
            let advice = match to {
                DataType::Decimal128(_, digits @ 1..) => format!(". Write round(…, {digits})"),
                DataType::Float32 => format!(". Write cast({} AS double)", sql(inner)),
                _ => String::new(),
            };
            plan_err!(
                "a cast from {} to {} is not supported: {}{advice}",
                trino_name(&from),
                trino_name(to),
                sql(&expr)
            )
        }
    }
}

/// The type to which a call casts; `None` for other calls.
pub(crate) fn target(call: &ScalarFunction) -> Option<&DataType> {
    let cast: &Cast = call.func.inner().downcast_ref()?;
    Some(&cast.to)
}

enum Agreement {
    /// Arrow's cast equals Trino's.
    Same,
    /// [`Cast`] implements Trino's cast.
    Trinos,
    /// No implementation agrees with Trino.
    None,
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View)
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64
    )
}

fn agreement(from: &DataType, to: &DataType) -> Agreement {
    use DataType::{Binary, Boolean, Date32, Float32, Float64, Null, Timestamp};
    match (from, to) {
        (from, to) if from == to => Agreement::Same,
        (Null, _) => Agreement::Same,
        (from, to) if is_text(from) && is_text(to) => Agreement::Same,
        (from, to) if from == &IP_ADDRESS && is_text(to) => Agreement::Trinos,
        (from, to) if is_text(from) && to == &IP_ADDRESS => Agreement::Trinos,
        (from, to) if from == &JSON || to == &JSON => {
            let other = if from == &JSON { to } else { from };
            let is_date = from == &Date32;
            match is_text(other)
                || is_integer(other)
                || is_date
                || matches!(other, Float64 | Boolean)
            {
                true => Agreement::Trinos,
                false => Agreement::None,
            }
        }
        (from, Float64 | Boolean | Date32) if is_text(from) => Agreement::Trinos,
        (from, to) if is_text(from) && is_integer(to) => Agreement::Trinos,
        (Float64, to) if is_integer(to) || is_text(to) => Agreement::Trinos,
        (Date32, to) if is_text(to) => Agreement::Trinos,
        (Timestamp(..), to) if is_text(to) => Agreement::Trinos,
        (from, Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _)) if is_text(from) => {
            Agreement::Trinos
        }
        (from, Date32 | Timestamp(_, None)) if other_zone(from).is_some() => Agreement::Trinos,
        (from, to) if is_integer(from) && (is_integer(to) || is_text(to)) => Agreement::Same,
        (from, Float64) if is_integer(from) => Agreement::Same,
        (Float32, Float64) => Agreement::Same,
        (Boolean, to) if is_text(to) || is_integer(to) || to == &Float64 => Agreement::Same,
        (Timestamp(..), Date32) | (Date32, Timestamp(..)) | (Timestamp(..), Timestamp(..)) => {
            Agreement::Same
        }
        // The state of an exact sum. A rollup's SQL can't name this type.
        (from, DataType::Decimal128(38, 0)) if is_integer(from) => Agreement::Trinos,
        // The operands of exact divisions, in plans of views that are planned again with the query around them.
        (from, DataType::Decimal128(3 | 5 | 10 | 19, 0)) if is_integer(from) => Agreement::Same,
        (DataType::Decimal128(38, 0), DataType::Int64) => Agreement::Same,
        (DataType::Decimal128(..), to) if is_text(to) || to == &Float64 => Agreement::Same,
        // The bytes of sketches, in any of the types that Parquet readers use for them.
        (DataType::BinaryView | DataType::LargeBinary, Binary) => Agreement::Same,
        _ => Agreement::None,
    }
}

/// The SQL name of a type.
pub(crate) fn trino_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 => "date".to_owned(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "varbinary".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        text if is_text(text) => "varchar".to_owned(),
        json if json == &JSON => "json".to_owned(),
        address if address == &IP_ADDRESS => "ipaddress".to_owned(),
        DataType::Null => "unknown".to_owned(),
        DataType::List(element) => format!("array({})", trino_name(element.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                let types = fields.iter().map(|field| trino_name(field.data_type()));
                format!("map({})", types.collect::<Vec<_>>().join(", "))
            }
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

/// A cast as in Trino, from varchar, JSON, double, date or timestamp, or to JSON. With `attempt`, a value that can't be cast becomes NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    to: DataType,
    attempt: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        if self.attempt { "try_cast" } else { "cast" }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args
            .iter()
            .map(|arg| arg.schema_name().to_string())
            .collect();
        Ok(format!(
            "{}({} AS {})",
            self.name(),
            args.join(", "),
            trino_name(&self.to)
        ))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = args.args[0].to_array(args.number_rows)?;
        let result = match value.data_type() {
            from if from == &JSON => self.cast_json(&as_texts(&value)?),
            from if from == &IP_ADDRESS => {
                let addresses = ip::addresses(&value)?;
                let texts = addresses.map(|address| address.map(ip_to_varchar));
                Ok(cast(&texts.collect::<StringViewArray>(), &self.to)?)
            }
            _ if self.to == JSON => of_json::to_json(&value),
            from if is_integer(from) => Ok(exact(&cast(&value, &DataType::Int64)?)),
            from if is_text(from) => self.cast_text(&cast(&value, &DataType::Utf8View)?),
            DataType::Float64 => self.cast_double(&value),
            DataType::Date32 => self.cast_date(&value),
            DataType::Timestamp(..) => self.cast_timestamp(&value),
            other => exec_err!("a cast from {other} is not supported"),
        };
        Ok(ColumnarValue::Array(result?))
    }
}

/// Casts bigints to decimal(38,0). Arrow would check each value for 38 digits; a bigint has at most 19.
fn exact(bigints: &ArrayRef) -> ArrayRef {
    let values = bigints.as_primitive::<Int64Type>();
    let values: PrimitiveArray<Decimal128Type> = values.unary(i128::from);
    Arc::new(values.with_data_type(DataType::Decimal128(38, 0)))
}

impl Cast {
    fn cast_text(&self, value: &ArrayRef) -> Result<ArrayRef> {
        match &self.to {
            DataType::Float64 => self.parse::<Float64Type>(value, trino::varchar_to_double),
            DataType::Int64 => self.parse::<Int64Type>(value, trino::varchar_to_bigint),
            DataType::Int32 => self.parse::<Int32Type>(value, trino::varchar_to_integer),
            DataType::Int16 => self.parse::<Int16Type>(value, trino::varchar_to_smallint),
            DataType::Int8 => self.parse::<Int8Type>(value, trino::varchar_to_tinyint),
            DataType::Date32 => self.parse::<Date32Type>(value, trino::varchar_to_date),
            DataType::Boolean => {
                let values = value.as_string_view().iter().map(|text| match text {
                    Some(text) => self.settle(trino::varchar_to_boolean(text)),
                    None => Ok(None),
                });
                Ok(Arc::new(values.collect::<Result<BooleanArray>>()?))
            }
            DataType::Timestamp(unit, zone) => {
                self.cast_text_to_timestamp(value, *unit, zone.is_some())
            }
            to if to == &IP_ADDRESS => {
                let addresses = value.as_string_view().iter().map(|text| match text {
                    Some(text) => self.settle(varchar_to_ip(text)),
                    None => Ok(None),
                });
                ip::column(addresses.collect::<Result<Vec<_>>>()?.into_iter())
            }
            other => exec_err!("a cast from varchar to {other} is not supported"),
        }
    }

    fn parse<T: ArrowPrimitiveType>(
        &self,
        value: &ArrayRef,
        parse: for<'t> fn(&'t str) -> Result<T::Native, trino::CastError<'t>>,
    ) -> Result<ArrayRef> {
        let values = value.as_string_view().iter().map(|text| match text {
            Some(text) => self.settle(parse(text)),
            None => Ok(None),
        });
        let values = values.collect::<Result<Vec<Option<T::Native>>>>()?;
        Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<T>>()))
    }

    fn cast_double(&self, value: &ArrayRef) -> Result<ArrayRef> {
        let doubles = value.as_primitive::<Float64Type>();
        match &self.to {
            DataType::Int64 => self.round::<Int64Type>(value, trino::double_to_bigint),
            DataType::Int32 => self.round::<Int32Type>(value, trino::double_to_integer),
            DataType::Int16 => self.round::<Int16Type>(value, trino::double_to_smallint),
            DataType::Int8 => self.round::<Int8Type>(value, trino::double_to_tinyint),
            _ => {
                let mut texts = StringViewBuilder::new();
                for double in doubles {
                    texts.append_option(double.map(trino::double_to_varchar));
                }
                Ok(cast(&texts.finish(), &self.to)?)
            }
        }
    }

    fn round<T: ArrowPrimitiveType>(
        &self,
        value: &ArrayRef,
        round: fn(f64) -> Result<T::Native, trino::CastError<'static>>,
    ) -> Result<ArrayRef> {
        let values = value
            .as_primitive::<Float64Type>()
            .iter()
            .map(|double| match double {
                Some(double) => self.settle(round(double)),
                None => Ok(None),
            });
        let values = values.collect::<Result<Vec<Option<T::Native>>>>()?;
        Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<T>>()))
    }

    fn cast_date(&self, value: &ArrayRef) -> Result<ArrayRef> {
        let mut texts = StringViewBuilder::new();
        for date in value.as_primitive::<Date32Type>() {
            texts.append_option(date.map(trino::date_to_varchar));
        }
        Ok(cast(&texts.finish(), &self.to)?)
    }

    fn cast_timestamp(&self, value: &ArrayRef) -> Result<ArrayRef> {
        match &self.to {
            DataType::Date32 => return Ok(Arc::new(local_days(value)?)),
            DataType::Timestamp(..) => return Ok(cast(&without_zone(value)?, &self.to)?),
            _ => {}
        }
        let zone = match value.data_type() {
            from @ DataType::Timestamp(_, Some(_)) => format!(" {}", zone_of(from)?),
            _ => String::new(),
        };
        let mut texts = StringViewBuilder::new();
        for local in local_texts(value, ' ')? {
            texts.append_option(local.map(|local| local + &zone));
        }
        Ok(cast(&texts.finish(), &self.to)?)
    }

    fn cast_text_to_timestamp(
        &self,
        value: &ArrayRef,
        unit: TimeUnit,
        is_zoned: bool,
    ) -> Result<ArrayRef> {
        let digits = if unit == TimeUnit::Microsecond { 6 } else { 3 };
        let parse = match is_zoned {
            true => timestamp::varchar_to_instant,
            false => timestamp::varchar_to_timestamp,
        };
        let times = value.as_string_view().iter().map(|text| match text {
            Some(text) => self.settle(parse(text, digits)),
            None => Ok(None),
        });
        let times = times.collect::<Result<Int64Array>>()?;
        // The values are in UTC already, and a cast from bigint only gives them the type.
        Ok(cast(&times, &self.to)?)
    }

    fn settle<T>(&self, result: Result<T, impl ToString>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.attempt => Ok(None),
            Err(error) => Err(DataFusionError::Execution(error.to_string())),
        }
    }
}
