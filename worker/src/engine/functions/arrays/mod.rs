//! Trino's functions of arrays. Positions count from 1.
//!
//! An array takes 16 bytes for each part of a text, so the memory for `split` is bounded by the length of the text.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray, StringViewArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::cast::trino_name;

mod buckets;
mod elements;
mod literal;
mod split;

pub(crate) use elements::SUBSCRIPT;
pub(crate) use literal::ARRAY_OF;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let functions = [
        elements::functions(),
        split::functions(),
        buckets::functions(),
    ];
    let functions = functions.into_iter().flatten();
    functions
        .map(|function| Arc::new(ScalarUDF::new_from_impl(function)))
        .collect()
}

/// The function that makes an array of its arguments.
pub(super) fn array_of() -> ScalarUDF {
    ScalarUDF::new_from_impl(literal::function())
}

/// The function of `array[index]`.
pub(super) fn subscript() -> ScalarUDF {
    ScalarUDF::new_from_impl(elements::subscript_function())
}

/// What a function accepts in the place of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Parameter {
    Array,
    ArrayOrSketch,
    /// An array of numbers.
    Numbers,
    /// An array of values that can be cast to varchar.
    Joinable,
    /// A value of the type of the first argument's elements.
    Element,
    Text,
    Bigint,
    Double,
}

/// A function of arrays.
#[derive(Debug)]
struct ArrayFunction {
    name: &'static str,
    /// The lists of parameters, each of another length.
    overloads: &'static [&'static [Parameter]],
    returns: fn(&[DataType]) -> DataType,
    evaluate: fn(&Arguments) -> Result<ArrayRef>,
    signature: Signature,
}

impl ArrayFunction {
    fn new(
        name: &'static str,
        overloads: &'static [&'static [Parameter]],
        returns: fn(&[DataType]) -> DataType,
        evaluate: fn(&Arguments) -> Result<ArrayRef>,
    ) -> Self {
        Self {
            name,
            overloads,
            returns,
            evaluate,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// The type to which an argument is coerced.
    fn coerced(
        &self,
        parameter: Parameter,
        given: &DataType,
        first: &DataType,
    ) -> Result<DataType> {
        let takes = |what: &str, advice: &str| {
            let given = trino_name(given);
            let function = match self.name {
                SUBSCRIPT => "array[index]".to_owned(),
                name => format!("{name}()"),
            };
            plan_err!("{function} takes {what}, and not {given}{advice}")
        };
        let is_null = given == &DataType::Null;
        match parameter {
            Parameter::Array | Parameter::ArrayOrSketch if is_list(given) => Ok(given.clone()),
            Parameter::Array if is_text(given) => takes("an array", ": write split(x, ',')"),
            Parameter::Array => takes("an array", ""),
            Parameter::ArrayOrSketch if is_null || given.is_binary() => Ok(DataType::Binary),
            Parameter::ArrayOrSketch => takes("an array or a sketch of approx_set", ""),
            Parameter::Numbers => match is_list(given) && is_number_or_null(&element_type(given)) {
                true => Ok(given.clone()),
                false => takes("an array of numbers", ""),
            },
            Parameter::Joinable => match is_list(given) && is_joinable(&element_type(given)) {
                true => Ok(given.clone()),
                false => takes("an array of texts, numbers, booleans or dates", ""),
            },
            Parameter::Text if is_null || is_text(given) => Ok(DataType::Utf8View),
            Parameter::Text => takes("a varchar", ": write cast(x AS varchar)"),
            Parameter::Bigint if is_null || given.is_integer() => Ok(DataType::Int64),
            Parameter::Bigint => takes("a whole number", ": write cast(x AS bigint)"),
            Parameter::Double if is_null || given.is_numeric() => Ok(DataType::Float64),
            Parameter::Double => takes("a number", ": write try_cast(x AS double)"),
            Parameter::Element => {
                let element = element_type(first);
                match common_type(&element, given) {
                    Some(common) => Ok(common),
                    None => plan_err!(
                        "{}() looks for {} in {}: cast one to the type of the other",
                        self.name,
                        trino_name(given),
                        trino_name(first)
                    ),
                }
            }
        }
    }
}

// Names are unique, so equal names mean equal functions.
impl PartialEq for ArrayFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ArrayFunction {}

impl Hash for ArrayFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for ArrayFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let overload = self.overloads.iter().find(|one| one.len() == given.len());
        let (Some(parameters), Some(first)) = (overload, given.first()) else {
            let lengths = self.overloads.iter().map(|one| one.len().to_string());
            let lengths = lengths.collect::<Vec<_>>().join(" or ");
            return plan_err!(
                "{}() takes {lengths} arguments, and not {}",
                self.name,
                given.len()
            );
        };
        let pairs = parameters.iter().zip(given);
        pairs
            .map(|(parameter, given)| self.coerced(*parameter, given, first))
            .collect()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(arguments))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = Arguments {
            values: args.args,
            rows: args.number_rows,
        };
        let result = (self.evaluate)(&arguments)?;
        Ok(ColumnarValue::Array(result))
    }
}

/// The arguments of a call.
struct Arguments {
    values: Vec<ColumnarValue>,
    rows: usize,
}

impl Arguments {
    fn len(&self) -> usize {
        self.values.len()
    }

    /// An argument, with one row if it is a literal.
    fn get(&self, place: usize) -> Result<(ArrayRef, bool)> {
        match self.values.get(place) {
            Some(ColumnarValue::Array(values)) => Ok((Arc::clone(values), false)),
            Some(ColumnarValue::Scalar(value)) => Ok((value.to_array()?, true)),
            None => internal_err!("a function lacks its argument {place}"),
        }
    }

    /// An argument, with all rows.
    fn column(&self, place: usize) -> Result<ArrayRef> {
        match self.values.get(place) {
            Some(values) => values.to_array(self.rows),
            None => internal_err!("a function lacks its argument {place}"),
        }
    }

    fn texts(&self, place: usize) -> Result<Texts> {
        let (values, is_literal) = self.get(place)?;
        let values = cast(&values, &DataType::Utf8View)?;
        Ok(Texts {
            values: values.as_string_view().clone(),
            is_literal,
        })
    }

    fn numbers<T: ArrowPrimitiveType>(&self, place: usize) -> Result<Numbers<T>> {
        let (values, is_literal) = self.get(place)?;
        let values = cast(&values, &T::DATA_TYPE)?;
        Ok(Numbers {
            values: values.as_primitive::<T>().clone(),
            is_literal,
        })
    }

    fn bigints(&self, place: usize) -> Result<Numbers<Int64Type>> {
        self.numbers(place)
    }

    fn lists(&self, place: usize) -> Result<Lists> {
        let (values, is_literal) = self.get(place)?;
        let Some(lists) = values.as_list_opt::<i32>() else {
            return exec_err!("expected an array, got {}", values.data_type());
        };
        let elements = lists.values();
        let elements = cast(elements, &usual_type(elements.data_type()))?;
        Ok(Lists {
            offsets: lists.offsets().clone(),
            nulls: lists.nulls().cloned(),
            elements,
            is_literal,
        })
    }
}

struct Texts {
    values: StringViewArray,
    is_literal: bool,
}

impl Texts {
    fn at(&self, row: usize) -> Option<&str> {
        let row = if self.is_literal { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

struct Numbers<T: ArrowPrimitiveType> {
    values: PrimitiveArray<T>,
    is_literal: bool,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn at(&self, row: usize) -> Option<T::Native> {
        let row = if self.is_literal { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

/// A column of arrays, or one array that is the same for all rows.
struct Lists {
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
    /// The elements of all arrays.
    elements: ArrayRef,
    is_literal: bool,
}

impl Lists {
    /// The places of a row's elements. `None` if the row has no array.
    fn at(&self, row: usize) -> Option<Range<usize>> {
        let row = if self.is_literal { 0 } else { row };
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row + 1)?);
        (!is_null).then_some(start as usize..end as usize)
    }
}

/// An array column from the elements of all its rows. `lengths` has `None` for a row without an array.
fn list_array(
    elements: ArrayRef,
    lengths: impl Iterator<Item = Option<usize>>,
) -> Result<ArrayRef> {
    let mut offsets = vec![0_i32];
    let mut valid = Vec::new();
    let mut end = 0_usize;
    for length in lengths {
        end += length.unwrap_or(0);
        let offset = i32::try_from(end)
            .map_err(|_| exec_datafusion_err!("the arrays of a batch have too many elements"))?;
        offsets.push(offset);
        valid.push(length.is_some());
    }
    let field = Arc::new(Field::new_list_field(elements.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(
        field,
        OffsetBuffer::new(offsets.into()),
        elements,
        Some(NullBuffer::from(valid)),
    )?))
}

fn list_of(element: DataType) -> DataType {
    DataType::new_list(element, true)
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_))
}

fn is_number_or_null(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type == &DataType::Null
}

/// Whether `array_join` can cast the values to varchar.
fn is_joinable(data_type: &DataType) -> bool {
    let is_plain = matches!(data_type, DataType::Boolean | DataType::Date32);
    is_plain
        || is_text(data_type)
        || is_number_or_null(data_type) && data_type != &DataType::Float32
}

fn is_text(data_type: &DataType) -> bool {
    data_type.is_string()
}

/// The type that values have in expressions. Tables have texts of another type.
fn usual_type(data_type: &DataType) -> DataType {
    match data_type {
        text if is_text(text) => DataType::Utf8View,
        other => other.clone(),
    }
}

/// The type of an array's elements.
fn element_type(array: &DataType) -> DataType {
    match array {
        DataType::List(element) => usual_type(element.data_type()),
        _ => DataType::Null,
    }
}

/// The type to which two values are coerced, if Trino coerces them.
fn common_type(one: &DataType, other: &DataType) -> Option<DataType> {
    let (one, other) = (usual_type(one), usual_type(other));
    if is_list(&one) || is_list(&other) {
        return None;
    }
    let is_alike = one == DataType::Null
        || other == DataType::Null
        || is_text(&one) == is_text(&other)
            && one.is_numeric() == other.is_numeric()
            && one.is_temporal() == other.is_temporal();
    let common = comparison_coercion(&one, &other).filter(|_| is_alike)?;
    Some(usual_type(&common))
}
