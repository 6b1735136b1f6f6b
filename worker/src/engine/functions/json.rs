//! Trino's functions of JSON texts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringViewBuilder};
use arrow::datatypes::DataType::Utf8View;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use logmill_trino::json;
use logmill_trino::json_path::JsonPath;

use super::{Scalar, map_text, returns_bigint, returns_text, text_values};

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::new(
            "json_extract_scalar",
            vec![Utf8View, Utf8View],
            returns_text,
            extract_scalar,
        ),
        Scalar::new("json_size", vec![Utf8View, Utf8View], returns_bigint, size),
        Scalar::new(
            "json_array_length",
            vec![Utf8View],
            returns_bigint,
            |args| {
                let lengths = map_text(&args[0], |text| Ok(json::array_length(text)))?;
                Ok(Arc::new(Int64Array::from(lengths)))
            },
        ),
    ]
}

/// Refuses a call with a literal path that is invalid; leaves other expressions as they are.
pub(crate) fn check_path(expr: Expr) -> Result<Transformed<Expr>> {
    if let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr
        && func.name().starts_with("json_")
        && let Some(Expr::Literal(path, _)) = args.get(1)
        && let Some(Some(path)) = path.try_as_str()
        && let Err(error) = JsonPath::parse(path)
    {
        return plan_err!("{error}");
    }
    Ok(Transformed::no(expr))
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
    for (text, path) in text_values(&args[0])?.iter().zip(text_values(&args[1])?) {
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
