//! Casts from and to JSON.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, LargeStringArray, PrimitiveArray,
    StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type,
};
use datafusion::common::Result;
use logmill_trino::{cast as trino, json};

use super::{Cast, is_text, trino_name};
use crate::engine::functions::json::{JSON, as_texts};

/// The casts of a text and of a double to an integer.
type ToInteger<T> = (
    for<'t> fn(&'t str) -> Result<T, trino::CastError<'t>>,
    fn(f64) -> Result<T, trino::CastError<'static>>,
);

/// Casts values to JSON, which never fails.
pub(super) fn to_json(value: &ArrayRef) -> Result<ArrayRef> {
    let texts: LargeStringArray = match value.data_type() {
        DataType::Float64 => {
            let doubles = value.as_primitive::<Float64Type>().iter();
            doubles
                .map(|double| double.map(json::double_to_json))
                .collect()
        }
        DataType::Date32 => {
            let dates = value.as_primitive::<Date32Type>().iter();
            let texts = dates.map(|date| date.map(trino::date_to_varchar));
            texts
                .map(|text| text.map(|text| json::varchar_to_json(&text)))
                .collect()
        }
        from if is_text(from) => {
            let texts = as_texts(value)?;
            let texts = texts.as_string_view().iter();
            texts.map(|text| text.map(json::varchar_to_json)).collect()
        }
        // JSON has the same texts of integers and booleans.
        _ => return Ok(cast(value, &JSON)?),
    };
    Ok(Arc::new(texts))
}

impl Cast {
    pub(super) fn cast_json(&self, value: &ArrayRef) -> Result<ArrayRef> {
        let integer = (
            trino::varchar_to_integer as _,
            trino::double_to_integer as _,
        );
        let smallint = (
            trino::varchar_to_smallint as _,
            trino::double_to_smallint as _,
        );
        let tinyint = (
            trino::varchar_to_tinyint as _,
            trino::double_to_tinyint as _,
        );
        let bigint = (trino::varchar_to_bigint as _, trino::double_to_bigint as _);
        match &self.to {
            DataType::Int64 => self.json_to_integer::<Int64Type>(value, bigint),
            DataType::Int32 => self.json_to_integer::<Int32Type>(value, integer),
            DataType::Int16 => self.json_to_integer::<Int16Type>(value, smallint),
            DataType::Int8 => self.json_to_integer::<Int8Type>(value, tinyint),
            DataType::Float64 => {
                let doubles: Float64Array = self.each_json(value, json::json_to_double)?;
                Ok(Arc::new(doubles))
            }
            DataType::Boolean => {
                let booleans: BooleanArray = self.each_json(value, json::json_to_boolean)?;
                Ok(Arc::new(booleans))
            }
            to => {
                let texts: StringViewArray = self.each_json(value, json::json_to_varchar)?;
                Ok(cast(&texts, to)?)
            }
        }
    }

    fn json_to_integer<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(
        &self,
        value: &ArrayRef,
        (of_varchar, of_double): ToInteger<T::Native>,
    ) -> Result<ArrayRef> {
        let to = trino_name(&self.to);
        let integers: Vec<Option<T::Native>> = self.each_json(value, |json| {
            json::json_to_integer(json, &to, of_varchar, of_double)
        })?;
        Ok(Arc::new(
            integers.into_iter().collect::<PrimitiveArray<T>>(),
        ))
    }

    fn each_json<T, C: FromIterator<Option<T>>>(
        &self,
        value: &ArrayRef,
        compute: impl Fn(&str) -> std::result::Result<Option<T>, String>,
    ) -> Result<C> {
        let values = value.as_string_view().iter().map(|json| match json {
            Some(json) => Ok(self.settle(compute(json))?.flatten()),
            None => Ok(None),
        });
        values.collect()
    }
}
