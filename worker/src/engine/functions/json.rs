//! Trino's functions of JSON.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, LargeStringArray, StringViewBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::DataType::{self, Boolean, Float64, Int64, LargeUtf8, Utf8View};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use logmill_trino::json::{self, Item};
use logmill_trino::json_path::JsonPath;

use super::{Scalar, returns_bigint, returns_boolean, returns_text, text_values};

/// The type of JSON values. Arrow has none, so they are their texts, in a type that nothing else has here. Tables store them as
/// texts.
pub(crate) const JSON: DataType = LargeUtf8;

/// The functions whose second argument is a path.
const WITH_PATH: [&str; 3] = ["json_extract", "json_extract_scalar", "json_size"];

pub(super) fn functions() -> Vec<Scalar> {
    // Like Trino's, most functions also take a JSON text.
    let of_json = |name, returns, evaluate| {
        Scalar::overloaded(name, vec![vec![Utf8View], vec![JSON]], returns, evaluate)
    };
    let of_path = |name, returns, evaluate| {
        let overloads = [Utf8View, JSON].map(|json| vec![json, Utf8View]);
        Scalar::overloaded(name, overloads.to_vec(), returns, evaluate)
    };
    let items = [Boolean, Int64, Float64, Utf8View];
    let contains = items.map(|item| [Utf8View, JSON].map(|json| vec![json, item.clone()]));
    vec![
        of_path("json_extract", |_| JSON, extract),
        of_path("json_extract_scalar", returns_text, extract_scalar),
        of_path("json_size", returns_bigint, size),
        of_json("json_array_length", returns_bigint, array_length),
        of_json("is_json_scalar", returns_boolean, is_scalar),
        Scalar::overloaded(
            "json_array_contains",
            contains.concat(),
            returns_boolean,
            array_contains,
        ),
        Scalar::new("json_parse", vec![Utf8View], |_| JSON, parse),
        Scalar::new("json_format", vec![JSON], returns_text, |args| {
            as_texts(&args[0])
        }),
    ]
}

/// Whether the call finds a value by a path.
pub(crate) fn has_path(name: &str) -> bool {
    WITH_PATH.contains(&name)
}

/// Refuses a call with a literal path that is invalid; leaves other expressions as they are.
pub(crate) fn check_path(expr: Expr) -> Result<Transformed<Expr>> {
    if let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr
        && has_path(func.name())
        && let Some(Expr::Literal(path, _)) = args.get(1)
        && let Some(Some(path)) = path.try_as_str()
        && let Err(error) = JsonPath::parse(path)
    {
        return plan_err!("{error}");
    }
    Ok(Transformed::no(expr))
}

/// The texts of JSON values.
pub(super) fn as_texts(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(values, &Utf8View)?)
}

/// Computes a value from the text of each JSON value.
fn map_json<T>(
    values: &ArrayRef,
    compute: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<Vec<Option<T>>> {
    let texts = as_texts(values)?;
    let texts = text_values(&texts)?.iter();
    let values = texts.map(|text| text.map(&compute).transpose());
    values
        .collect::<std::result::Result<_, String>>()
        .map_err(DataFusionError::Execution)
}

fn array_length(args: &[ArrayRef]) -> Result<ArrayRef> {
    let lengths = map_json(&args[0], |text| Ok(json::array_length(text)))?;
    let lengths = lengths.into_iter().map(Option::flatten);
    Ok(Arc::new(lengths.collect::<Int64Array>()))
}

fn is_scalar(args: &[ArrayRef]) -> Result<ArrayRef> {
    let answers = map_json(&args[0], |text| {
        json::is_scalar(text).map_err(|error| error.to_string())
    })?;
    Ok(Arc::new(BooleanArray::from(answers)))
}

fn parse(args: &[ArrayRef]) -> Result<ArrayRef> {
    let values = map_json(&args[0], |text| {
        json::parse(text).map_err(|error| error.to_string())
    })?;
    Ok(Arc::new(LargeStringArray::from(values)))
}

fn array_contains(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, items) = (as_texts(&args[0])?, &args[1]);
    let item = |row: usize| {
        Some(match items.data_type() {
            _ if items.is_null(row) => return None,
            Boolean => Item::Boolean(items.as_boolean().value(row)),
            Int64 => Item::Bigint(items.as_primitive::<Int64Type>().value(row)),
            Float64 => Item::Double(items.as_primitive::<Float64Type>().value(row)),
            _ => Item::Varchar(items.as_string_view().value(row)),
        })
    };
    let texts = text_values(&texts)?.iter().enumerate();
    let answers = texts.map(|(row, text)| json::array_contains(text?, item(row)?));
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}

fn extract(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(args[0].len());
    each(args, |found| {
        values.push(found.and_then(|(text, path)| json::extract(text, path)));
    })?;
    Ok(Arc::new(LargeStringArray::from(values)))
}

fn extract_scalar(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    each(args, |found| {
        values.append_option(found.and_then(|(text, path)| json::extract_scalar(text, path)));
    })?;
    Ok(Arc::new(values.finish()))
}

fn size(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut sizes = Vec::with_capacity(args[0].len());
    each(args, |found| {
        sizes.push(found.and_then(|(text, path)| json::size(text, path)));
    })?;
    Ok(Arc::new(Int64Array::from(sizes)))
}

/// Calls `with` for each row, with the text and the path unless one is NULL. A path is parsed only if it differs from the one before.
fn each(args: &[ArrayRef], mut with: impl FnMut(Option<(&str, &JsonPath)>)) -> Result<()> {
    let mut last: Option<(&str, JsonPath)> = None;
    let texts = as_texts(&args[0])?;
    for (text, path) in text_values(&texts)?.iter().zip(text_values(&args[1])?) {
        if let Some(path) = path
            && last.as_ref().is_none_or(|(other, _)| *other != path)
        {
            let parsed = JsonPath::parse(path).map_err(|error| exec_datafusion_err!("{error}"))?;
            last = Some((path, parsed));
        }
        let parsed = last.as_ref().map(|(_, parsed)| parsed);
        with(text.zip(path.and(parsed)));
    }
    Ok(())
}
