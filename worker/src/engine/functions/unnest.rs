//! The calls that stand for `UNNEST` in SQL until it is planned ([`crate::engine::unnest`]), and the functions that make its arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::arrays::{list_array, list_of};
use super::cast::trino_name;

/// `"rows of"('t', 'x', a, 'y', b)` is a condition that makes the rows of `UNNEST(a, b) AS t (x, y)`. Only quoted identifiers could spell
/// these names.
pub(crate) const ROWS_OF: &str = "rows of";
/// `"element of"('t', 'x', a)` is the column `t.x`.
pub(crate) const ELEMENT_OF: &str = "element of";
/// The positions 1 to n, where n is the length of the longest array. It is an array of `WITH ORDINALITY`.
pub(crate) const POSITIONS: &str = "positions of";
/// An array with NULL in the place of an empty one. It is an array of `LEFT JOIN UNNEST`.
pub(crate) const AT_LEAST_NULL: &str = "at least null";

/// Whether a name is one of these.
pub(crate) fn is_of_unnest(name: &str) -> bool {
    [ROWS_OF, ELEMENT_OF, POSITIONS, AT_LEAST_NULL].contains(&name)
}

pub(super) fn functions() -> [Arc<ScalarUDF>; 4] {
    [ROWS_OF, ELEMENT_OF, POSITIONS, AT_LEAST_NULL].map(|name| {
        Arc::new(ScalarUDF::new_from_impl(OfUnnest {
            name,
            signature: Signature::variadic_any(Volatility::Immutable),
        }))
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfUnnest {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for OfUnnest {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match (self.name, arguments) {
            (POSITIONS, _) => Ok(list_of(DataType::Int64)),
            (AT_LEAST_NULL, [DataType::List(element)]) => {
                let element = element.as_ref().clone().with_nullable(true);
                Ok(DataType::List(Arc::new(element)))
            }
            (AT_LEAST_NULL, [other]) => element_type(other),
            (ELEMENT_OF, [_, _, array]) => element_type(array),
            _ => Ok(DataType::Boolean),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|array| array.to_array(rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(match self.name {
            POSITIONS => positions(&arrays, rows)?,
            AT_LEAST_NULL => at_least_null(arrays[0].as_list())?,
            name => return exec_err!("{name} was not replaced when the query was planned"),
        }))
    }
}

/// The type of an array's elements.
///
/// # Errors
///
/// It is the type of another value.
pub(crate) fn element_type(array: &DataType) -> Result<DataType> {
    match array {
        DataType::List(element) => Ok(element.data_type().clone()),
        other => plan_err!(
            "UNNEST takes arrays, and this is a value of the type {}",
            trino_name(other)
        ),
    }
}

/// The length of an array; 0 for NULL.
pub(crate) fn length(array: &ListArray, row: usize) -> usize {
    match array.is_valid(row) {
        true => usize::try_from(array.value_length(row)).unwrap_or_default(),
        false => 0,
    }
}

fn positions(arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let longest = |row| {
        arrays
            .iter()
            .map(|array| length(array.as_list(), row))
            .max()
    };
    let lengths: Vec<usize> = (0..rows)
        .map(|row| longest(row).unwrap_or_default())
        .collect();
    let positions: Int64Array = lengths
        .iter()
        .flat_map(|&length| (1..).take(length))
        .collect();
    list_array(Arc::new(positions), lengths.into_iter().map(Some))
}

fn at_least_null(array: &ListArray) -> Result<ArrayRef> {
    let lengths: Vec<usize> = (0..array.len()).map(|row| length(array, row)).collect();
    let mut places: Vec<Option<i32>> = Vec::with_capacity(array.values().len());
    for (&first, &length) in array.value_offsets().iter().zip(&lengths) {
        match length {
            0 => places.push(None),
            _ => places.extend((first..).take(length).map(Some)),
        }
    }
    let elements = take(array.values(), &Int32Array::from(places), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths.into_iter().map(|length| length.max(1)));
    // The arrays of a table's column name their elements otherwise than ours.
    let DataType::List(element) = array.data_type() else {
        return exec_err!("an array is expected");
    };
    let element = Arc::new(element.as_ref().clone().with_nullable(true));
    Ok(Arc::new(ListArray::try_new(
        element, offsets, elements, None,
    )?))
}
