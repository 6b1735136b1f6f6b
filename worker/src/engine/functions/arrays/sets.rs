//! Functions that make arrays of the elements of others: `array_sort`, `slice`, `array_union`, `||` and the like.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, UInt64Array};
use arrow::compute::{SortOptions, cast, concat, take};
use arrow::datatypes::{DataType, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, exec_err};

use super::Parameter::{
    Array as AnArray, ArrayLikeFirst, ArrayOrElement, ArrayOrText, Bigint, Element,
};
use super::elements::{Matches, first_element, matches};
use super::{Arguments, ArrayFunction, common_type, element_type, is_list, list_array, list_of};
use crate::engine::functions::text;

/// The name of the function that `||` of arrays becomes. No user can write it.
pub(crate) const CONCATENATION: &str = "concatenation of arrays";

/// Functions that never fail.
pub(crate) const NEVER_FAIL: [&str; 11] = [
    "array_distinct",
    "array_except",
    "array_intersect",
    "array_max",
    "array_min",
    "array_remove",
    "array_sort",
    "array_union",
    "arrays_overlap",
    "reverse",
    CONCATENATION,
];

pub(super) fn functions() -> Vec<ArrayFunction> {
    let of_one = |name, evaluate| ArrayFunction::new(name, &[&[AnArray]], of_first, evaluate);
    let of_two =
        |name, evaluate| ArrayFunction::new(name, &[&[AnArray, ArrayLikeFirst]], of_both, evaluate);
    let extreme = |name, evaluate| ArrayFunction::new(name, &[&[AnArray]], first_element, evaluate);
    vec![
        of_one("array_sort", array_sort),
        of_one("array_distinct", array_distinct),
        extreme("array_min", |args| extremes(args, false)),
        extreme("array_max", |args| extremes(args, true)),
        of_two("array_union", |args| {
            set(args, |rows, [left, right]| {
                distinct(rows, left.chain(right))
            })
        }),
        of_two("array_intersect", |args| set(args, intersection)),
        of_two("array_except", |args| set(args, difference)),
        ArrayFunction::new(
            "arrays_overlap",
            &[&[AnArray, ArrayLikeFirst]],
            |_| DataType::Boolean,
            arrays_overlap,
        ),
        ArrayFunction::new(
            "array_remove",
            &[&[AnArray, Element]],
            |arguments| list_of(arguments.get(1).cloned().unwrap_or(DataType::Null)),
            array_remove,
        ),
        ArrayFunction::new("slice", &[&[AnArray, Bigint, Bigint]], of_first, slice),
        ArrayFunction::new(
            "reverse",
            &[&[ArrayOrText]],
            |arguments| match arguments {
                [array] if is_list(array) => of_first(arguments),
                _ => DataType::Utf8View,
            },
            reverse,
        ),
    ]
}

/// `||` of two arrays, or of an array and an element.
pub(super) fn concatenation() -> ArrayFunction {
    let overloads: &[&[_]] = &[&[ArrayOrElement, ArrayOrElement]];
    ArrayFunction::new(CONCATENATION, overloads, of_both, concatenate)
}

fn of_first(arguments: &[DataType]) -> DataType {
    list_of(first_element(arguments))
}

fn of_both(arguments: &[DataType]) -> DataType {
    list_of(common_element(arguments).unwrap_or(DataType::Null))
}

/// The type to which the elements of two arrays are coerced, or of an array and an element.
pub(super) fn common_element(arguments: &[DataType]) -> Option<DataType> {
    let element = |argument: &DataType| match is_list(argument) {
        true => element_type(argument),
        false => argument.clone(),
    };
    match arguments {
        [one, other] => common_type(&element(one), &element(other)),
        _ => None,
    }
}

/// An array of the elements at these places for each row. `None` for a row without an array.
fn chosen(
    rows: usize,
    elements: &ArrayRef,
    mut choose: impl FnMut(usize) -> Result<Option<Vec<u64>>>,
) -> Result<ArrayRef> {
    let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
    for row in 0..rows {
        let own = choose(row)?;
        lengths.push(own.as_ref().map(Vec::len));
        places.extend(own.into_iter().flatten());
    }
    let elements = take(elements, &UInt64Array::from(places), None)?;
    list_array(elements, lengths.into_iter())
}

fn places(range: impl Iterator<Item = usize>) -> Vec<u64> {
    range.map(|place| place as u64).collect()
}

/// The elements as bytes that are compared and hashed, with NULL last. `canonical` changes doubles before.
fn comparable(elements: &ArrayRef, canonical: fn(f64) -> f64) -> Result<Rows> {
    let elements: ArrayRef = match elements.data_type().is_floating() {
        false => Arc::clone(elements),
        true => {
            let doubles = cast(elements, &DataType::Float64)?;
            let doubles: Float64Array = doubles.as_primitive::<Float64Type>().unary(canonical);
            Arc::new(doubles)
        }
    };
    let options = SortOptions {
        descending: false,
        nulls_first: false,
    };
    let field = SortField::new_with_options(elements.data_type().clone(), options);
    Ok(RowConverter::new(vec![field])?.convert_columns(&[elements])?)
}

/// The same bits for each NaN, which some processors make negative.
fn one_nan(number: f64) -> f64 {
    if number.is_nan() { f64::NAN } else { number }
}

/// The same bits for numbers that are not distinct: 0 and -0, and each NaN.
fn not_distinct(number: f64) -> f64 {
    one_nan(number) + 0.0
}

fn array_sort(args: &Arguments) -> Result<ArrayRef> {
    let lists = args.lists(0)?;
    let values = comparable(&lists.elements, one_nan)?;
    chosen(args.rows, &lists.elements, |row| {
        let Some(range) = lists.at(row) else {
            return Ok(None);
        };
        let mut sorted: Vec<usize> = range.collect();
        sorted.sort_by_key(|&place| values.row(place));
        Ok(Some(places(sorted.into_iter())))
    })
}

/// The least or greatest element of each array. NULL if an element is NULL. A NaN counts only if there is nothing else.
fn extremes(args: &Arguments, is_greatest: bool) -> Result<ArrayRef> {
    let lists = args.lists(0)?;
    let elements = &lists.elements;
    let values = comparable(elements, one_nan)?;
    let doubles = elements.as_primitive_opt::<Float64Type>();
    let is_number = |place: usize| doubles.is_none_or(|doubles| !doubles.value(place).is_nan());
    let extremes = (0..args.rows).map(|row| {
        let range = lists.at(row)?;
        if range.clone().any(|place| elements.is_null(place)) {
            return None;
        }
        let key = |place: &usize| values.row(*place);
        let numbers = range.clone().filter(|place| is_number(*place));
        let extreme = match is_greatest {
            true => numbers.max_by_key(key),
            false => numbers.min_by_key(key),
        };
        extreme.or(range.start.lt(&range.end).then_some(range.start))
    });
    let extremes: UInt64Array = extremes.map(|place| Some(place? as u64)).collect();
    Ok(take(elements, &extremes, None)?)
}

fn array_distinct(args: &Arguments) -> Result<ArrayRef> {
    let lists = args.lists(0)?;
    let values = comparable(&lists.elements, not_distinct)?;
    chosen(args.rows, &lists.elements, |row| {
        Ok(lists.at(row).map(|range| distinct(&values, range)))
    })
}

/// The first place of each value.
fn distinct(values: &Rows, range: impl Iterator<Item = usize>) -> Vec<u64> {
    let mut seen = HashSet::new();
    places(range.filter(|&place| seen.insert(values.row(place))))
}

/// The elements that are in both arrays, in the order of the longer one.
fn intersection(values: &Rows, [left, right]: [Range<usize>; 2]) -> Vec<u64> {
    let (long, short) = match left.len() < right.len() {
        true => (right, left),
        false => (left, right),
    };
    let wanted: HashSet<_> = short.map(|place| values.row(place)).collect();
    distinct(
        values,
        long.filter(|&place| wanted.contains(&values.row(place))),
    )
}

/// The elements of the first array that are not in the second. If the second is empty, all of them, also those that occur twice.
fn difference(values: &Rows, [left, right]: [Range<usize>; 2]) -> Vec<u64> {
    if right.is_empty() {
        return places(left);
    }
    let unwanted: HashSet<_> = right.map(|place| values.row(place)).collect();
    distinct(
        values,
        left.filter(|&place| !unwanted.contains(&values.row(place))),
    )
}

/// The elements of two arguments in one column, and for each row the places of both arrays' elements. `None` if one of them is NULL.
struct Both {
    elements: ArrayRef,
    ranges: Vec<Option<[Range<usize>; 2]>>,
}

impl Both {
    fn of(args: &Arguments) -> Result<Self> {
        let types = args.types();
        let element = common_element(&types).unwrap_or(DataType::Null);
        let mut elements = Vec::with_capacity(2);
        let mut ranges: Vec<Vec<Option<Range<usize>>>> = Vec::with_capacity(2);
        let mut before = 0;
        for (argument, data_type) in types.iter().enumerate() {
            let (own, at): (_, Vec<_>) = if is_list(data_type) {
                let lists = args.lists(argument)?;
                let at = (0..args.rows).map(|row| lists.at(row)).collect();
                (lists.elements, at)
            } else {
                let values = args.column(argument)?;
                let at = |row: usize| values.is_valid(row).then_some(row..row + 1);
                let at = (0..args.rows).map(at).collect();
                (values, at)
            };
            let moved = |range: Range<usize>| before + range.start..before + range.end;
            ranges.push(at.into_iter().map(|range| range.map(moved)).collect());
            before += own.len();
            elements.push(cast(&own, &element)?);
        }
        let elements: Vec<&dyn Array> = elements.iter().map(|elements| &**elements).collect();
        let mut ranges = ranges.into_iter();
        let pairs = ranges.next().into_iter().flatten();
        let pairs = pairs.zip(ranges.next().into_iter().flatten());
        Ok(Self {
            elements: concat(&elements)?,
            ranges: pairs.map(|(left, right)| Some([left?, right?])).collect(),
        })
    }
}

/// An array of two others, as `choose` says for each row.
fn set(
    args: &Arguments,
    choose: impl Fn(&Rows, [Range<usize>; 2]) -> Vec<u64>,
) -> Result<ArrayRef> {
    let Both { elements, ranges } = Both::of(args)?;
    let values = comparable(&elements, not_distinct)?;
    chosen(args.rows, &elements, |row| {
        Ok(ranges[row].clone().map(|ranges| choose(&values, ranges)))
    })
}

fn concatenate(args: &Arguments) -> Result<ArrayRef> {
    let Both { elements, ranges } = Both::of(args)?;
    chosen(args.rows, &elements, |row| {
        let ranges = ranges[row].clone();
        Ok(ranges.map(|ranges| places(ranges.into_iter().flatten())))
    })
}

fn arrays_overlap(args: &Arguments) -> Result<ArrayRef> {
    let Both { elements, ranges } = Both::of(args)?;
    let values = comparable(&elements, not_distinct)?;
    let answers = ranges.into_iter().map(|ranges| {
        let [left, right] = ranges?;
        if left.is_empty() || right.is_empty() {
            return Some(false);
        }
        let is_known = |place: &usize| !elements.data_type().is_null() && elements.is_valid(*place);
        let wanted = left.clone().filter(is_known);
        let wanted: HashSet<_> = wanted.map(|place| values.row(place)).collect();
        let mut known = right.clone().filter(is_known);
        if known.any(|place| wanted.contains(&values.row(place))) {
            return Some(true);
        }
        left.chain(right)
            .all(|place| is_known(&place))
            .then_some(false)
    });
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}

/// Elements that are NULL stay.
fn array_remove(args: &Arguments) -> Result<ArrayRef> {
    let Matches {
        elements,
        equal,
        ranges,
    } = matches(args)?;
    let is_equal = |place: &usize| equal.is_valid(*place) && equal.value(*place);
    chosen(args.rows, &elements, |row| {
        let range = ranges[row].clone();
        Ok(range.map(|range| places(range.filter(|place| !is_equal(place)))))
    })
}

fn slice(args: &Arguments) -> Result<ArrayRef> {
    let lists = args.lists(0)?;
    let (starts, lengths) = (args.bigints(1)?, args.bigints(2)?);
    chosen(args.rows, &lists.elements, |row| {
        let (Some(range), Some(start), Some(length)) =
            (lists.at(row), starts.at(row), lengths.at(row))
        else {
            return Ok(None);
        };
        if length < 0 {
            return exec_err!("length must be greater than or equal to 0");
        }
        if start == 0 {
            return exec_err!("SQL array indices start at 1");
        }
        let size = range.len() as i64;
        let first = if start < 0 { size + start + 1 } else { start };
        // Like Trino's, the sum of an enormous length wraps, and the slice is empty.
        let end = first.wrapping_add(length).min(size + 1);
        if first < 1 || first >= end {
            return Ok(Some(Vec::new()));
        }
        let moved = |place: i64| range.start as u64 + place.unsigned_abs() - 1;
        Ok(Some((moved(first)..moved(end)).collect()))
    })
}

fn reverse(args: &Arguments) -> Result<ArrayRef> {
    let argument = args.column(0)?;
    if !is_list(argument.data_type()) {
        return text::reverse(&[argument]);
    }
    let lists = args.lists(0)?;
    chosen(args.rows, &lists.elements, |row| {
        Ok(lists.at(row).map(|range| places(range.rev())))
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use datafusion::prelude::SessionContext;

    use crate::engine::rollup_session;

    /// The elements of an array, or a value by itself, as text.
    async fn shown(expression: &str) -> String {
        let context = SessionContext::new_with_state(rollup_session());
        let sql = format!("SELECT array_join(ARRAY[0] || {expression}, ' ', 'NULL')");
        let rows = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let text = rows[0].column(0).as_string_view().value(0).to_owned();
        text.trim_start_matches('0').trim_start().to_owned()
    }

    // tests/trino compares more of them with Trino.
    #[tokio::test]
    async fn arrays_are_made_of_arrays() {
        for (expression, expected) in [
            ("array_sort(ARRAY[3, 1, NULL, 2, 1])", "1 1 2 3 NULL"),
            ("array_distinct(ARRAY[3, 1, NULL, 3, NULL])", "3 1 NULL"),
            ("array_min(ARRAY[3, 1, 2])", "1"),
            ("array_max(ARRAY[3, 1, 2])", "3"),
            ("array_union(ARRAY[2, 1, 2], ARRAY[3, NULL])", "2 1 3 NULL"),
            ("array_intersect(ARRAY[1, 2], ARRAY[3, 2, 1, 2])", "2 1"),
            ("array_except(ARRAY[1, 2, 1, 3], ARRAY[2])", "1 3"),
            ("array_remove(ARRAY[1, NULL, 2], 2)", "1 NULL"),
            ("slice(ARRAY[1, 2, 3, 4], -3, 2)", "2 3"),
            ("slice(ARRAY[1, 2], 3, 9)", ""),
            ("reverse(ARRAY[1, 2, NULL])", "NULL 2 1"),
            ("ARRAY[1] || 2 || ARRAY[NULL, 3]", "1 2 NULL 3"),
        ] {
            assert_eq!(shown(expression).await, expected, "{expression}");
        }
    }
}
