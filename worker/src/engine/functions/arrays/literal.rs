//! `ARRAY[…]`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::{common_type, is_list, list_array, list_of, usual_type};
use crate::engine::functions::cast::trino_name;
use crate::engine::functions::json::JSON;

/// The name of the function that `ARRAY[…]` becomes. No user can write it.
pub(crate) const ARRAY_OF: &str = "array of";

pub(super) fn function() -> ArrayOf {
    ArrayOf {
        signature: Signature::user_defined(Volatility::Immutable),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ArrayOf {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOf {
    fn name(&self) -> &str {
        ARRAY_OF
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, elements: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = DataType::Null;
        for element in elements {
            if is_list(element) {
                return plan_err!("an array of arrays is not supported: write one array");
            }
            if element == &JSON {
                return plan_err!(
                    "an array of json is not supported: cast its elements to varchar"
                );
            }
            coerced = match common_type(&coerced, element) {
                Some(common) => common,
                None => {
                    return plan_err!(
                        "an array has elements of one type: this one has {} and {}",
                        trino_name(&coerced),
                        trino_name(element)
                    );
                }
            };
        }
        Ok(vec![coerced; elements.len()])
    }

    fn return_type(&self, elements: &[DataType]) -> Result<DataType> {
        let element = elements.first().unwrap_or(&DataType::Null);
        Ok(list_of(usual_type(element)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (rows, columns) = (args.number_rows, args.args.len());
        let element = match args.return_field.data_type() {
            DataType::List(element) => element.data_type().clone(),
            _ => DataType::Null,
        };
        let values = args
            .args
            .iter()
            .map(|value| Ok(cast(&value.to_array(rows)?, &element)?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let elements = match values.as_slice() {
            [] => new_null_array(&element, 0),
            [one] => Arc::clone(one),
            values => {
                let values: Vec<&dyn Array> = values.iter().map(|values| &**values).collect();
                let places: Vec<(usize, usize)> = (0..rows)
                    .flat_map(|row| (0..columns).map(move |column| (column, row)))
                    .collect();
                interleave(&values, &places)?
            }
        };
        let lengths = std::iter::repeat_n(Some(columns), rows);
        Ok(ColumnarValue::Array(list_array(elements, lengths)?))
    }
}
