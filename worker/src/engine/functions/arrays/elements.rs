//! Functions that look into arrays: `array[i]`, `element_at`, `contains`, `array_position` and `cardinality`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Datum, Int64Array, Scalar, UInt64Array,
};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, exec_err};

use super::Parameter::{self, Array as AnArray, Bigint, Element};
use super::{Arguments, ArrayFunction, element_type, is_list};
use crate::engine::functions::ip::{self, IP_ADDRESS};
use crate::engine::functions::sketches;

/// The name of the function that `array[i]` becomes. No user can write it.
pub(crate) const SUBSCRIPT: &str = "subscript of";

pub(super) fn functions() -> Vec<ArrayFunction> {
    vec![
        ArrayFunction::new(
            "element_at",
            &[&[AnArray, Bigint]],
            first_element,
            element_at,
        ),
        ArrayFunction::new(
            "contains",
            &[&[Parameter::ArrayOrNetwork, Element]],
            |_| DataType::Boolean,
            contains,
        ),
        ArrayFunction::new(
            "array_position",
            &[&[AnArray, Element]],
            |_| DataType::Int64,
            array_position,
        ),
        ArrayFunction::new(
            "cardinality",
            &[&[Parameter::ArrayOrSketch]],
            |_| DataType::Int64,
            cardinality,
        ),
    ]
}

pub(super) fn subscript_function() -> ArrayFunction {
    ArrayFunction::new(SUBSCRIPT, &[&[AnArray, Bigint]], first_element, subscript)
}

pub(super) fn first_element(arguments: &[DataType]) -> DataType {
    arguments.first().map_or(DataType::Null, element_type)
}

/// The place of an element, `None` beyond the array. A negative index counts from the end.
fn element_at(args: &Arguments) -> Result<ArrayRef> {
    elements(args, |length, index| match index {
        0 => exec_err!("SQL array indices start at 1"),
        1.. => Ok(usize::try_from(index - 1).ok().filter(|at| *at < length)),
        _ => Ok(usize::try_from(index.unsigned_abs())
            .ok()
            .and_then(|back| length.checked_sub(back))),
    })
}

fn subscript(args: &Arguments) -> Result<ArrayRef> {
    elements(args, |length, index| match usize::try_from(index) {
        Ok(0) => exec_err!("SQL array indices start at 1"),
        Err(_) if index < 0 => exec_err!("Array subscript is negative: {index}"),
        Ok(index) if index <= length => Ok(Some(index - 1)),
        _ => exec_err!(
            "Array subscript must be less than or equal to array length: {index} > {length}"
        ),
    })
}

/// The elements whose places in their arrays `place` finds, by the length of the array and the index.
fn elements(
    args: &Arguments,
    place: impl Fn(usize, i64) -> Result<Option<usize>>,
) -> Result<ArrayRef> {
    let (lists, indexes) = (args.lists(0)?, args.bigints(1)?);
    let mut places = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        places.push(match (lists.at(row), indexes.at(row)) {
            (Some(range), Some(index)) => {
                place(range.len(), index)?.map(|at| (range.start + at) as u64)
            }
            _ => None,
        });
    }
    Ok(take(&lists.elements, &UInt64Array::from(places), None)?)
}

fn contains(args: &Arguments) -> Result<ArrayRef> {
    let values = args.column(1)?;
    if values.data_type() == &IP_ADDRESS && !is_list(&args.types()[0]) {
        return ip::contains(&args.values[0], &values);
    }
    let Matches { equal, ranges, .. } = matches(args)?;
    let answers = ranges.into_iter().map(|range| {
        let range = range?;
        let is_found = range
            .clone()
            .any(|at| equal.is_valid(at) && equal.value(at));
        let is_known = is_found || range.into_iter().all(|at| equal.is_valid(at));
        is_known.then_some(is_found)
    });
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}

fn array_position(args: &Arguments) -> Result<ArrayRef> {
    let Matches { equal, ranges, .. } = matches(args)?;
    let positions = ranges.into_iter().map(|range| {
        let mut places = range?;
        let position = places.position(|at| equal.is_valid(at) && equal.value(at));
        Some(position.map_or(0, |position| position as i64 + 1))
    });
    Ok(Arc::new(positions.collect::<Int64Array>()))
}

/// Which elements of arrays equal the value that is looked for. NULL for elements that are NULL.
pub(super) struct Matches {
    pub(super) elements: ArrayRef,
    pub(super) equal: BooleanArray,
    /// The places of each row's elements. `None` if the array or the value is NULL.
    pub(super) ranges: Vec<Option<Range<usize>>>,
}

pub(super) fn matches(args: &Arguments) -> Result<Matches> {
    let lists = args.lists(0)?;
    let (values, is_literal) = args.get(1)?;
    let elements = cast(&lists.elements, values.data_type())?;
    let has_value = |row: usize| values.is_valid(if is_literal { 0 } else { row });
    let mut ranges: Vec<_> = (0..args.rows)
        .map(|row| lists.at(row).filter(|_| has_value(row)))
        .collect();
    if is_literal {
        let equal = equal(&elements, &Scalar::new(values))?;
        return Ok(Matches {
            elements,
            equal,
            ranges,
        });
    }
    let (mut places, mut rows) = (Vec::new(), Vec::new());
    for (row, range) in ranges.iter_mut().enumerate() {
        let Some(range) = range else { continue };
        let start = places.len();
        places.extend(range.clone().map(|place| place as u64));
        rows.resize(places.len(), row as u64);
        *range = start..places.len();
    }
    let elements = take(&elements, &UInt64Array::from(places), None)?;
    let values = take(&values, &UInt64Array::from(rows), None)?;
    let equal = equal(&elements, &values)?;
    Ok(Matches {
        elements,
        equal,
        ranges,
    })
}

/// Trino's `=`. Arrow's would find that NaN equals itself, and that -0 does not equal 0.
fn equal(elements: &ArrayRef, values: &dyn Datum) -> Result<BooleanArray> {
    if !elements.data_type().is_floating() {
        return Ok(eq(elements, values)?);
    }
    let (values, is_one) = values.get();
    let elements = cast(elements, &DataType::Float64)?;
    let values = cast(values, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    let value_at = |at: usize| {
        let at = if is_one { 0 } else { at };
        values.is_valid(at).then(|| values.value(at))
    };
    let elements = elements.as_primitive::<Float64Type>().iter().enumerate();
    let equal = elements.map(|(at, element)| Some(element? == value_at(at)?));
    Ok(equal.collect())
}

fn cardinality(args: &Arguments) -> Result<ArrayRef> {
    let values = args.column(0)?;
    if values.data_type() == &DataType::Binary {
        return sketches::cardinality(&values);
    }
    let lists = args.lists(0)?;
    let counts = (0..args.rows).map(|row| Some(lists.at(row)?.len() as i64));
    Ok(Arc::new(counts.collect::<Int64Array>()))
}
