//! Trino's URL functions.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewBuilder};
use arrow::datatypes::DataType::Utf8View;
use datafusion::common::{DataFusionError, Result};

use super::{Scalar, map_text, returns_bigint, returns_text, text_values};
use logmill_trino::url;

pub(super) fn functions() -> Vec<Scalar> {
    let part = |name, evaluate| Scalar::new(name, vec![Utf8View], returns_text, evaluate);
    vec![
        part("url_extract_protocol", |args| {
            parts(args, url::extract_protocol)
        }),
        part("url_extract_host", |args| parts(args, url::extract_host)),
        part("url_extract_path", |args| parts(args, url::extract_path)),
        part("url_extract_query", |args| parts(args, url::extract_query)),
        part("url_extract_fragment", |args| {
            parts(args, url::extract_fragment)
        }),
        part("url_encode", |args| {
            parts(args, |text| Some(Cow::Owned(url::encode(text))))
        }),
        part("url_decode", decode),
        Scalar::new("url_extract_port", vec![Utf8View], returns_bigint, port),
        Scalar::new(
            "url_extract_parameter",
            vec![Utf8View, Utf8View],
            returns_text,
            parameter,
        ),
    ]
}

fn parts(args: &[ArrayRef], part: fn(&str) -> Option<Cow<'_, str>>) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    for text in text_values(&args[0])? {
        values.append_option(text.and_then(part));
    }
    Ok(Arc::new(values.finish()))
}

fn decode(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    for text in text_values(&args[0])? {
        match text {
            Some(text) => values.append_value(
                url::decode(text).map_err(|error| DataFusionError::Execution(error.to_string()))?,
            ),
            None => values.append_null(),
        }
    }
    Ok(Arc::new(values.finish()))
}

fn port(args: &[ArrayRef]) -> Result<ArrayRef> {
    let ports = map_text(&args[0], |text| Ok(url::extract_port(text)))?;
    Ok(Arc::new(Int64Array::from(ports)))
}

fn parameter(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    for (text, name) in text_values(&args[0])?.iter().zip(text_values(&args[1])?) {
        values.append_option(match (text, name) {
            (Some(text), Some(name)) => url::extract_parameter(text, name),
            _ => None,
        });
    }
    Ok(Arc::new(values.finish()))
}
