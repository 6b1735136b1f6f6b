//! Trino's functions of arrays. Positions count from 1.
//!
//! An array takes 16 bytes for each part of a text, so the memory for `split` is bounded by the length of the text.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::cast::trino_name;
use super::ip::IP_ADDRESS;
use super::json::JSON;

mod arguments;
mod buckets;
mod elements;
mod literal;
mod sets;
mod split;

use arguments::Arguments;
pub(crate) use elements::SUBSCRIPT;
pub(crate) use literal::ARRAY_OF;
pub(crate) use sets::{CONCATENATION, NEVER_FAIL};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let functions = [
        elements::functions(),
        sets::functions(),
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

/// The function of `||` of arrays.
pub(super) fn concatenation() -> ScalarUDF {
    ScalarUDF::new_from_impl(sets::concatenation())
}

/// Refuses `||` of types that Trino can't concatenate.
pub(super) fn check_concatenated(left: &DataType, right: &DataType) -> Result<()> {
    let is_null = |side: &DataType| side.is_null() || is_list(side) && element_type(side).is_null();
    let is_null = is_null(left) || is_null(right);
    let both = [left.clone(), right.clone()];
    match !is_null && sets::common_element(&both).is_some() {
        true => Ok(()),
        false => plan_err!(
            "|| cannot concatenate {} and {}: cast one to the type of the other",
            trino_name(left),
            trino_name(right)
        ),
    }
}

/// What a function accepts in the place of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Parameter {
    Array,
    ArrayOrSketch,
    ArrayOrText,
    /// An array, or the text of a network.
    ArrayOrNetwork,
    /// An array, or an element of the other argument. Which two belong together is checked before.
    ArrayOrElement,
    /// An array whose elements can be compared with those of the first argument.
    ArrayLikeFirst,
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
            Parameter::ArrayOrNetwork if is_list(given) => Ok(given.clone()),
            Parameter::ArrayOrNetwork if is_null || is_text(given) => Ok(DataType::Utf8View),
            Parameter::ArrayOrNetwork => takes("an array", ""),
            Parameter::Element if !is_list(first) => match given == &IP_ADDRESS {
                true => Ok(IP_ADDRESS),
                false => plan_err!(
                    "{}() takes an array, or a network and an ipaddress, and not {} and {}: write split(x, ',') for an array",
                    self.name,
                    trino_name(first),
                    trino_name(given)
                ),
            },
            Parameter::ArrayOrText if is_list(given) => Ok(given.clone()),
            Parameter::ArrayOrText if is_null || is_text(given) => Ok(DataType::Utf8View),
            Parameter::ArrayOrText => takes("a varchar or an array", ": write cast(x AS varchar)"),
            Parameter::ArrayOrElement => Ok(given.clone()),
            Parameter::ArrayLikeFirst => {
                let both = [first.clone(), given.clone()];
                match is_list(given) && sets::common_element(&both).is_some() {
                    true => Ok(given.clone()),
                    false => plan_err!(
                        "{}() takes two arrays of one type, and not {} and {}",
                        self.name,
                        trino_name(first),
                        trino_name(given)
                    ),
                }
            }
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

/// An array column from the elements of all its rows. `lengths` has `None` for a row without an array.
pub(super) fn list_array(
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

pub(super) fn list_of(element: DataType) -> DataType {
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
    data_type.is_string() && data_type != &JSON
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
    if is_list(&one) || is_list(&other) || one == JSON || other == JSON {
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
