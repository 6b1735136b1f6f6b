//! `split` makes an array of a text, and `array_join` a text of an array.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type};
use datafusion::common::{Result, exec_err};
use logmill_trino::cast::{date_to_varchar, double_to_varchar};

use super::Parameter::{Bigint, Joinable, Text};
use super::{Arguments, ArrayFunction, is_text, list_array, list_of};
use crate::engine::functions::text::LONGEST_GROWN_BYTES;

/// Length of a delimiter up to which the joined text can't grow much, in bytes.
pub(crate) const SHORT_BYTES: usize = 8;

pub(super) fn functions() -> Vec<ArrayFunction> {
    vec![
        ArrayFunction::new(
            "split",
            &[&[Text, Text], &[Text, Text, Bigint]],
            |_| list_of(DataType::Utf8View),
            split,
        ),
        ArrayFunction::new(
            "array_join",
            &[&[Joinable, Text], &[Joinable, Text, Text]],
            |_| DataType::Utf8View,
            array_join,
        ),
    ]
}

fn split(args: &Arguments) -> Result<ArrayRef> {
    let (texts, delimiters) = (args.texts(0)?, args.texts(1)?);
    let limits = match args.len() {
        3 => Some(args.bigints(2)?),
        _ => None,
    };
    let mut parts = StringViewBuilder::new();
    let mut lengths = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let limit = match &limits {
            Some(limits) => limits.at(row),
            None => Some(i64::from(i32::MAX)),
        };
        let (Some(text), Some(delimiter), Some(limit)) = (texts.at(row), delimiters.at(row), limit)
        else {
            lengths.push(None);
            continue;
        };
        if limit <= 0 {
            return exec_err!("Limit must be positive");
        }
        if limit > i64::from(i32::MAX) {
            return exec_err!("Limit is too large");
        }
        if delimiter.is_empty() {
            return exec_err!("The delimiter may not be the empty string");
        }
        let mut length = 0;
        for part in text.splitn(limit as usize, delimiter) {
            parts.append_value(part);
            length += 1;
        }
        lengths.push(Some(length));
    }
    list_array(Arc::new(parts.finish()), lengths.into_iter())
}

fn array_join(args: &Arguments) -> Result<ArrayRef> {
    let (lists, delimiters) = (args.lists(0)?, args.texts(1)?);
    let replacements = match args.len() {
        3 => Some(args.texts(2)?),
        _ => None,
    };
    let elements = texts(&lists.elements)?;
    let elements = elements.as_string_view();
    let mut joined = StringViewBuilder::new();
    let mut text = String::new();
    for row in 0..args.rows {
        let replacement = match &replacements {
            Some(replacements) => replacements.at(row).map(Some),
            None => Some(None),
        };
        let (Some(range), Some(delimiter), Some(replacement)) =
            (lists.at(row), delimiters.at(row), replacement)
        else {
            joined.append_null();
            continue;
        };
        text.clear();
        let is_short = |part: &str| part.len() <= SHORT_BYTES;
        let is_bounded = is_short(delimiter) && replacement.is_none_or(is_short);
        let mut own_bytes = 0;
        let mut is_first = true;
        for place in range {
            let element = match elements.is_valid(place) {
                true => Some(elements.value(place)),
                false => replacement,
            };
            let Some(element) = element else { continue };
            if !is_first {
                text.push_str(delimiter);
            }
            is_first = false;
            text.push_str(element);
            own_bytes += if elements.is_valid(place) {
                element.len()
            } else {
                0
            };
            if !is_bounded && text.len() > LONGEST_GROWN_BYTES.max(2 * own_bytes) {
                return exec_err!(
                    "array_join would make a text longer than {LONGEST_GROWN_BYTES} bytes"
                );
            }
        }
        joined.append_value(&text);
    }
    Ok(Arc::new(joined.finish()))
}

/// Casts values to varchar, as Trino does.
fn texts(values: &ArrayRef) -> Result<ArrayRef> {
    let mut texts = StringViewBuilder::new();
    match values.data_type() {
        DataType::Float64 => {
            for value in values.as_primitive::<Float64Type>() {
                texts.append_option(value.map(double_to_varchar));
            }
        }
        DataType::Date32 => {
            for value in values.as_primitive::<Date32Type>() {
                texts.append_option(value.map(date_to_varchar));
            }
        }
        other if is_text(other) || other.is_integer() => {
            return Ok(cast(values, &DataType::Utf8View)?);
        }
        DataType::Null | DataType::Boolean | DataType::Decimal128(..) => {
            return Ok(cast(values, &DataType::Utf8View)?);
        }
        other => return exec_err!("array_join does not take an array of {other}"),
    }
    Ok(Arc::new(texts.finish()))
}
