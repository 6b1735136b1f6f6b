//! Trino's functions of the characters of texts beyond those of `text.rs`.

use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::DataType::{Int64, Utf8View};
use std::sync::Arc;

use datafusion::common::{Result, exec_err};
use icu_normalizer::ComposingNormalizerBorrowed;
use logmill_trino::text;

use super::rows::{Bigint, Text, one, three, two};
use super::{Scalar, returns_bigint, returns_text, text_values};

/// Functions that never fail.
pub(super) const NEVER_FAIL: [&str; 3] = ["concat_ws", "normalize", "translate"];

/// Functions that may fail for some line.
pub(super) const MAY_FAIL: [&str; 4] = [
    "chr",
    "codepoint",
    "hamming_distance",
    "levenshtein_distance",
];

/// The most texts that `concat_ws` joins. Trino takes 254; the planner compares a call with each number of arguments.
const JOINED_MAX: usize = 40;

pub(super) fn functions() -> Vec<Scalar> {
    let distance =
        |name, evaluate| Scalar::new(name, vec![Utf8View, Utf8View], returns_bigint, evaluate);
    let joined = (2..=JOINED_MAX + 1).map(|arguments| vec![Utf8View; arguments]);
    vec![
        Scalar::new("chr", vec![Int64], returns_text, |args| {
            one::<Bigint, _>(args, text::chr)
        }),
        Scalar::new("codepoint", vec![Utf8View], returns_bigint, |args| {
            one::<Text, _>(args, text::codepoint)
        }),
        distance("hamming_distance", |args| {
            two::<Text, Text, _>(args, text::hamming_distance)
        }),
        distance("levenshtein_distance", |args| {
            two::<Text, Text, _>(args, text::levenshtein_distance)
        }),
        Scalar::new("translate", vec![Utf8View; 3], returns_text, |args| {
            three::<Text, Text, Text, _>(args, |text, from, to| Ok(text::translate(text, from, to)))
        }),
        Scalar::new("normalize", vec![Utf8View], returns_text, |args| {
            let nfc = ComposingNormalizerBorrowed::new_nfc();
            one::<Text, _>(args, |text| Ok(nfc.normalize(text).into_owned()))
        }),
        Scalar::overloaded("concat_ws", joined.collect(), returns_text, joined_texts),
    ]
}

/// Joins texts by the first argument. NULLs are left out, but a NULL separator makes the row NULL.
fn joined_texts(args: &[ArrayRef]) -> Result<ArrayRef> {
    let Some((separators, texts)) = args.split_first() else {
        return exec_err!("concat_ws takes a separator and texts");
    };
    let texts = texts.iter().map(text_values).collect::<Result<Vec<_>>>()?;
    let mut values = StringViewBuilder::new();
    for (row, separator) in text_values(separators)?.iter().enumerate() {
        let parts = texts.iter().filter(|text| text.is_valid(row));
        let parts: Vec<&str> = parts.map(|text| text.value(row)).collect();
        values.append_option(separator.map(|separator| parts.join(separator)));
    }
    Ok(Arc::new(values.finish()))
}
