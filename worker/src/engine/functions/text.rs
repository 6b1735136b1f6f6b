//! Trino's functions of text. Positions count characters, from 1.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringViewBuilder};
use arrow::datatypes::DataType::{Binary, Int64, Utf8View};
use arrow::datatypes::Int64Type;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ScalarUDF;
use logmill_trino::text as trino;

use super::rows::{Bigint, Bytes, Text, one, three};
use super::{Scalar, map_text, returns_bigint, returns_boolean, returns_text, text_values};

pub(super) fn functions() -> Vec<Scalar> {
    let map = |name, evaluate| Scalar::new(name, vec![Utf8View], returns_text, evaluate);
    vec![
        map("lower", |args| mapped(args, lower)),
        map("upper", |args| mapped(args, upper)),
        map("ltrim", |args| {
            slice(args, |text| text.trim_start_matches(is_space))
        }),
        map("rtrim", |args| {
            slice(args, |text| text.trim_end_matches(is_space))
        }),
        map("btrim", |args| {
            slice(args, |text| text.trim_matches(is_space))
        })
        .with_alias("trim"),
        Scalar::overloaded(
            "length",
            vec![vec![Utf8View], vec![Binary]],
            returns_bigint,
            |args| {
                if args[0].data_type() == &Binary {
                    return one::<Bytes, _>(args, |bytes| Ok(bytes.len() as i64));
                }
                let lengths = map_text(&args[0], |text| Ok(Some(text.chars().count() as i64)))?;
                Ok(Arc::new(Int64Array::from(lengths)))
            },
        ),
        Scalar::new(
            "starts_with",
            vec![Utf8View, Utf8View],
            returns_boolean,
            |args| {
                let answers = text_values(&args[0])?
                    .iter()
                    .zip(text_values(&args[1])?)
                    .map(|(text, prefix)| Some(text?.starts_with(prefix?)));
                Ok(Arc::new(answers.collect::<BooleanArray>()))
            },
        ),
        Scalar::overloaded(
            "replace",
            vec![vec![Utf8View, Utf8View], vec![Utf8View, Utf8View, Utf8View]],
            returns_text,
            replace,
        ),
        Scalar::new(
            "split_part",
            vec![Utf8View, Utf8View, Int64],
            returns_text,
            split_part,
        ),
        Scalar::new(
            "lpad",
            vec![Utf8View, Int64, Utf8View],
            returns_text,
            |args| pad(args, |text, padding| padding + text),
        ),
        Scalar::new(
            "rpad",
            vec![Utf8View, Int64, Utf8View],
            returns_text,
            |args| pad(args, |text, padding| text.to_owned() + &padding),
        ),
        substr_function(),
        strpos_function(),
    ]
}

/// `reverse` of texts.
pub(super) fn reverse(args: &[ArrayRef]) -> Result<ArrayRef> {
    mapped(args, |text| text.chars().rev().collect())
}

pub(super) fn substr_udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(substr_function())
}

pub(super) fn strpos_udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(strpos_function())
}

fn substr_function() -> Scalar {
    Scalar::overloaded(
        "substr",
        vec![vec![Utf8View, Int64], vec![Utf8View, Int64, Int64]],
        returns_text,
        substr,
    )
    .with_alias("substring")
}

fn strpos_function() -> Scalar {
    let overloads = vec![vec![Utf8View, Utf8View], vec![Utf8View, Utf8View, Int64]];
    Scalar::overloaded("strpos", overloads, returns_bigint, |args| {
        if args.len() == 3 {
            return three::<Text, Text, Bigint, _>(args, trino::strpos);
        }
        let positions = text_values(&args[0])?
            .iter()
            .zip(text_values(&args[1])?)
            .map(|(text, part)| {
                let text = text?;
                let position = text
                    .find(part?)
                    .map_or(0, |at| text[..at].chars().count() + 1);
                Some(position as i64)
            });
        Ok(Arc::new(positions.collect::<Int64Array>()))
    })
}

fn mapped(args: &[ArrayRef], map: fn(&str) -> String) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    for text in text_values(&args[0])? {
        values.append_option(text.map(map));
    }
    Ok(Arc::new(values.finish()))
}

fn slice(args: &[ArrayRef], slice: fn(&str) -> &str) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    for text in text_values(&args[0])? {
        values.append_option(text.map(slice));
    }
    Ok(Arc::new(values.finish()))
}

/// Java's `Character.toLowerCase`: maps one character to one, regardless of its neighbors.
fn lower(text: &str) -> String {
    text.chars()
        .map(|character| character.to_lowercase().next().unwrap_or(character))
        .collect()
}

/// Java's `Character.toUpperCase`: maps one character to one, so `ß` stays.
fn upper(text: &str) -> String {
    text.chars()
        .map(|character| {
            let mut upper = character.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(upper), None) => upper,
                _ => character,
            }
        })
        .collect()
}

/// The characters that Trino's `trim` removes: Java's `Character.isWhitespace`, which excludes no-break spaces.
fn is_space(character: char) -> bool {
    match character {
        '\u{1c}'..='\u{1f}' => true,
        '\u{85}' | '\u{a0}' | '\u{2007}' | '\u{202f}' => false,
        _ => character.is_whitespace(),
    }
}

/// The replacement that `replace` and `regexp_replace` use in a row. It is empty if the call does not give one.
pub(super) fn replacement(args: &[ArrayRef], row: usize) -> Result<Option<&str>> {
    let Some(replacements) = args.get(2) else {
        return Ok(Some(""));
    };
    let replacements = text_values(replacements)?;
    Ok(replacements.is_valid(row).then(|| replacements.value(row)))
}

fn replace(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    for (row, (text, search)) in text_values(&args[0])?
        .iter()
        .zip(text_values(&args[1])?)
        .enumerate()
    {
        let replacement = replacement(args, row)?;
        values.append_option(match (text, search, replacement) {
            (Some(text), Some(search), Some(replacement)) => {
                Some(replaced(text, search, replacement)?)
            }
            _ => None,
        });
    }
    Ok(Arc::new(values.finish()))
}

fn replaced(text: &str, search: &str, replacement: &str) -> Result<String> {
    let longest = (text.len() + 1).saturating_mul(replacement.len());
    if longest > LONGEST_GROWN_BYTES && replacement.len() > search.len() {
        let grown = text.matches(search).count() * (replacement.len() - search.len());
        check_grown(text, text.len() + grown)?;
    }
    Ok(text.replace(search, replacement))
}

/// Size limit for a text that a function has made longer. A text and a replacement of 8 KB each fit into one URL, and could
/// produce 64 MB for each line of a batch.
pub(super) const LONGEST_GROWN_BYTES: usize = 64 * 1024;

/// Fails if a text became too long.
pub(super) fn check_grown(text: &str, bytes: usize) -> Result<()> {
    match bytes > LONGEST_GROWN_BYTES.max(text.len()) {
        true => {
            exec_err!("a replacement would make a text longer than {LONGEST_GROWN_BYTES} bytes")
        }
        false => Ok(()),
    }
}

fn split_part(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    let indexes = args[2].as_primitive::<Int64Type>();
    for ((text, delimiter), index) in text_values(&args[0])?
        .iter()
        .zip(text_values(&args[1])?)
        .zip(indexes)
    {
        let (Some(text), Some(delimiter), Some(index)) = (text, delimiter, index) else {
            values.append_null();
            continue;
        };
        if index <= 0 {
            return exec_err!("Index must be greater than zero");
        }
        values.append_option(nth_part(text, delimiter, index as usize - 1));
    }
    Ok(Arc::new(values.finish()))
}

/// The part at this index, or `None` after the last. An empty delimiter splits after each character.
fn nth_part<'t>(text: &'t str, delimiter: &str, index: usize) -> Option<&'t str> {
    let mut characters = delimiter.chars();
    match (characters.next(), characters.next()) {
        (None, _) => {
            let (start, character) = text.char_indices().nth(index)?;
            Some(&text[start..start + character.len_utf8()])
        }
        // Searching for a character is much faster than searching for a text.
        (Some(delimiter), None) => text.split(delimiter).nth(index),
        _ => text.split(delimiter).nth(index),
    }
}

/// Length limit of padded texts, in characters; Trino allows two billion. If the length comes from a request, a few digits
/// per line produce texts of that length. With a million, a batch took gigabytes.
const LONGEST_PADDED: i64 = 8192;

/// Pads or truncates texts to exactly the given number of characters. `join` puts the padding before or after the text.
fn pad(args: &[ArrayRef], join: fn(&str, String) -> String) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    let lengths = args[1].as_primitive::<Int64Type>();
    for ((text, length), padding) in text_values(&args[0])?
        .iter()
        .zip(lengths)
        .zip(text_values(&args[2])?)
    {
        let (Some(text), Some(length), Some(padding)) = (text, length, padding) else {
            values.append_null();
            continue;
        };
        if !(0..=LONGEST_PADDED).contains(&length) {
            return exec_err!("Target length must be in the range [0..{LONGEST_PADDED}]");
        }
        if padding.is_empty() {
            return exec_err!("Padding string must not be empty");
        }
        let length = length as usize;
        let missing = length.saturating_sub(text.chars().count());
        match missing {
            0 => values.append_value(substring(text, 1, length as i64)),
            _ => values.append_value(join(text, padding.chars().cycle().take(missing).collect())),
        }
    }
    Ok(Arc::new(values.finish()))
}

fn substr(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    let starts = args[1].as_primitive::<Int64Type>();
    let lengths = args
        .get(2)
        .map(|lengths| lengths.as_primitive::<Int64Type>());
    for (row, (text, start)) in text_values(&args[0])?.iter().zip(starts).enumerate() {
        let length = match lengths {
            Some(lengths) => lengths.is_valid(row).then(|| lengths.value(row)),
            None => Some(i64::MAX),
        };
        values.append_option(match (text, start, length) {
            (Some(text), Some(start), Some(length)) => Some(substring(text, start, length)),
            _ => None,
        });
    }
    Ok(Arc::new(values.finish()))
}

/// `start` counts from 1, or from the end if negative. Outside of the text the result is empty.
fn substring(text: &str, start: i64, length: i64) -> &str {
    if start == 0 || length <= 0 {
        return "";
    }
    let skipped = if start > 0 {
        start as u64 - 1
    } else {
        let characters = text.chars().count() as u64;
        match characters.checked_sub(start.unsigned_abs()) {
            Some(skipped) => skipped,
            None => return "",
        }
    };
    let offset_of = |text: &str, characters: u64| {
        usize::try_from(characters)
            .ok()
            .and_then(|characters| text.char_indices().nth(characters))
            .map_or(text.len(), |(offset, _)| offset)
    };
    let rest = &text[offset_of(text, skipped)..];
    &rest[..offset_of(rest, length as u64)]
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values: the descriptions in Trino's "String functions", and its TestStringFunctions.java.
    #[test]
    fn substrings_are_trinos() {
        assert_eq!(substring("Quadratically", 5, i64::MAX), "ratically");
        assert_eq!(substring("Quadratically", 5, 6), "ratica");
        assert_eq!(substring("Quadratically", -7, i64::MAX), "tically");
        assert_eq!(substring("Quadratically", -7, 4), "tica");
        assert_eq!(substring("Quadratically", 50, 10), "");
        assert_eq!(substring("Quadratically", -50, 10), "");
        assert_eq!(substring("Quadratically", 0, 10), "");
        assert_eq!(substring("Quadratically", 5, 0), "");
        assert_eq!(substring("Quadratically", 5, -1), "");
        assert_eq!(substring("信念,爱,希望", 4, 3), "爱,希");
        assert_eq!(substring("", i64::MIN, i64::MAX), "");
    }

    #[test]
    fn parts_are_trinos() {
        assert_eq!(nth_part("abc-@-def-@-ghi", "-@-", 1), Some("def"));
        assert_eq!(nth_part("abc-@-def-@-ghi", "-@-", 3), None);
        assert_eq!(nth_part("", "abc", 0), Some(""));
        assert_eq!(nth_part("abc", "", 1), Some("b"));
        assert_eq!(nth_part("abc", "", 3), None);
        assert_eq!(nth_part("one,,,four,", ",", 4), Some(""));
    }

    #[test]
    fn texts_grow_within_bounds() {
        let column =
            |text: &str| -> ArrayRef { Arc::new(arrow::array::StringViewArray::from(vec![text])) };
        let made = |made: Result<ArrayRef>| made.map(|made| made.as_string_view().value(0).len());
        let long = "a".repeat(LONGEST_GROWN_BYTES);
        for function in [replace, crate::engine::functions::regexp::regexp_replace] {
            let call = |text: &str, search: &str, replacement: &str| {
                made(function(&[
                    column(text),
                    column(search),
                    column(replacement),
                ]))
            };
            // A text that does not grow may have any length.
            assert_eq!(call(&long.repeat(2), "a", "b").unwrap(), 2 * long.len());
            assert_eq!(call(&long[..1024], "a", &long[..64]).unwrap(), long.len());
            assert_eq!(call("aba", "", "xy").unwrap(), 11);
            for (text, search, replacement) in [
                (&long[..1024], "a", &long[..65]),
                (&long[..8192], "a", &long[..8192]),
                (&long[..8192], "", &long[..8192]),
            ] {
                let error = call(text, search, replacement).unwrap_err();
                assert!(error.message().contains("longer than 65536 bytes"));
            }
        }
        let pad = |length| {
            let lengths: ArrayRef = Arc::new(Int64Array::from(vec![length]));
            made(pad(
                &[column("a"), lengths, column("b")],
                |text, padding| padding + text,
            ))
        };
        assert_eq!(pad(LONGEST_PADDED).unwrap(), 8192);
        assert!(pad(LONGEST_PADDED + 1).is_err());
    }

    #[test]
    fn cases_are_javas() {
        assert_eq!(lower("OLÁ ΌΔΟΣ İ"), "olá όδοσ i");
        assert_eq!(upper("straße ŉ"), "STRAßE ŉ");
    }

    #[test]
    fn trims_are_javas() {
        assert_eq!("\u{1f} \t\u{2003}x\u{a0}".trim_matches(is_space), "x\u{a0}");
    }
}
