//! Trino's functions of regular expressions. Trino's patterns are Java's; those that this engine can't match are refused.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewBuilder};
use arrow::datatypes::DataType::{Int64, Utf8View};
use arrow::datatypes::Int64Type;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use regex::Regex;

use super::text::{check_grown, replacement};
use super::{Scalar, returns_boolean, returns_text, text_values};

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::new(
            "regexp_like",
            vec![Utf8View, Utf8View],
            returns_boolean,
            regexp_like,
        ),
        Scalar::overloaded(
            "regexp_extract",
            vec![vec![Utf8View, Utf8View], vec![Utf8View, Utf8View, Int64]],
            returns_text,
            regexp_extract,
        ),
        Scalar::overloaded(
            "regexp_replace",
            vec![vec![Utf8View, Utf8View], vec![Utf8View, Utf8View, Utf8View]],
            returns_text,
            regexp_replace,
        ),
    ]
}

/// Number of regular expressions kept for later rows and batches, as compiling them is expensive.
const KEPT_REGEXES: usize = 16;

thread_local! {
    /// The regular expressions used last, most recent first; if one can't be compiled, the reason. A rollup's patterns
    /// are nearly always literals. If they come from requests instead, different patterns alternate, and rows are computed
    /// again when another row of their batch fails.
    static REGEXES: RefCell<VecDeque<(String, Result<Regex, String>)>> = const { RefCell::new(VecDeque::new()) };
}

fn with_regex<T>(pattern: &str, apply: impl FnOnce(&Regex) -> T) -> Result<T> {
    REGEXES.with_borrow_mut(|kept| {
        let is_it = |(other, _): &(String, _)| other == pattern;
        if !kept.front().is_some_and(is_it) {
            let entry = match kept.iter().position(is_it) {
                Some(at) => kept.remove(at),
                None => None,
            };
            let entry = entry.unwrap_or_else(|| {
                let compiled = compile(pattern).map_err(|error| error.message().into_owned());
                (pattern.to_owned(), compiled)
            });
            kept.push_front(entry);
            kept.truncate(KEPT_REGEXES);
        }
        match kept.front() {
            Some((_, Ok(regex))) => Ok(apply(regex)),
            Some((_, Err(why))) => exec_err!("{why}"),
            None => exec_err!("the compiled regular expression is missing"),
        }
    })
}

/// Refuses a call with a literal pattern that can't be compiled; leaves other expressions as they are.
pub(crate) fn check_pattern(expr: Expr) -> Result<Transformed<Expr>> {
    if let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr
        && func.name().starts_with("regexp_")
        && let Some(Expr::Literal(pattern, _)) = args.get(1)
        && let Some(Some(pattern)) = pattern.try_as_str()
        && let Err(error) = compile(pattern)
    {
        return plan_err!("{}", error.message());
    }
    Ok(Transformed::no(expr))
}

/// Translates a pattern for this engine. In Trino the classes `\w`, `\d` and `\s` are ASCII and those in `[[:…:]]` are
/// Unicode; here it is the other way round.
fn translated(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut depth = 0;
    while let Some(character) = rest.chars().next() {
        if let Some(name) = rest.strip_prefix("[:").filter(|_| depth > 0) {
            let class = POSIX_CLASSES.iter().find(|(posix, _)| {
                name.starts_with(posix) && name[posix.len()..].starts_with(":]")
            });
            if let Some((posix, unicode)) = class {
                text.push_str(unicode);
                rest = &name[posix.len() + 2..];
                continue;
            }
        }
        rest = &rest[character.len_utf8()..];
        match character {
            '\\' => {
                let Some(escaped) = rest.chars().next() else {
                    text.push(character);
                    break;
                };
                rest = &rest[escaped.len_utf8()..];
                match (escaped, depth > 0) {
                    ('w', true) => text.push_str("0-9A-Za-z_"),
                    ('d', true) => text.push_str("0-9"),
                    ('s', true) => text.push_str(r"\t-\r "),
                    ('w', false) => text.push_str("[0-9A-Za-z_]"),
                    ('d', false) => text.push_str("[0-9]"),
                    ('s', false) => text.push_str(r"[\t-\r ]"),
                    ('W', _) => text.push_str("[^0-9A-Za-z_]"),
                    ('D', _) => text.push_str("[^0-9]"),
                    ('S', _) => text.push_str(r"[^\t-\r ]"),
                    _ => text.extend([character, escaped]),
                }
                continue;
            }
            '[' => depth += 1,
            ']' if depth > 0 => depth -= 1,
            _ => {}
        }
        text.push(character);
    }
    text
}

const POSIX_CLASSES: [(&str, &str); 7] = [
    ("alpha", r"\p{Alphabetic}"),
    ("digit", r"\p{Nd}"),
    ("alnum", r"\p{Alphabetic}\p{Nd}"),
    ("upper", r"\p{Uppercase}"),
    ("lower", r"\p{Lowercase}"),
    ("space", r"\p{White_Space}"),
    ("punct", r"\p{P}"),
];

fn compile(pattern: &str) -> Result<Regex> {
    Regex::new(&translated(pattern)).map_err(|error| {
        let error = error.to_string();
        // Before it is the translated pattern.
        let (_, problem) = error.rsplit_once("error: ").unwrap_or(("", &error));
        exec_datafusion_err!(
            "the regular expression '{pattern}' is not supported: {problem} \
             (look-around and back-references are not supported)"
        )
    })
}

fn regexp_like(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut answers = Vec::with_capacity(args[0].len());
    for (text, pattern) in text_values(&args[0])?.iter().zip(text_values(&args[1])?) {
        answers.push(match (text, pattern) {
            (Some(text), Some(pattern)) => Some(with_regex(pattern, |regex| regex.is_match(text))?),
            _ => None,
        });
    }
    Ok(Arc::new(BooleanArray::from(answers)))
}

fn regexp_extract(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    let groups = args.get(2).map(|groups| groups.as_primitive::<Int64Type>());
    for (row, (text, pattern)) in text_values(&args[0])?
        .iter()
        .zip(text_values(&args[1])?)
        .enumerate()
    {
        let group = match groups {
            Some(groups) => groups.is_valid(row).then(|| groups.value(row)),
            None => Some(0),
        };
        let (Some(text), Some(pattern), Some(group)) = (text, pattern, group) else {
            values.append_null();
            continue;
        };
        let found = with_regex(pattern, |regex| {
            let Some(group) = usize::try_from(group)
                .ok()
                .filter(|group| *group < regex.captures_len())
            else {
                return exec_err!(
                    "Pattern has {} groups. Cannot access group {group}",
                    regex.captures_len() - 1
                );
            };
            Ok(if group == 0 {
                regex.find(text)
            } else {
                regex
                    .captures(text)
                    .and_then(|captures| captures.get(group))
            }
            .map(|found| found.as_str()))
        })??;
        values.append_option(found);
    }
    Ok(Arc::new(values.finish()))
}

pub(super) fn regexp_replace(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut values = StringViewBuilder::new();
    for (row, (text, pattern)) in text_values(&args[0])?
        .iter()
        .zip(text_values(&args[1])?)
        .enumerate()
    {
        let replacement = replacement(args, row)?;
        let (Some(text), Some(pattern), Some(replacement)) = (text, pattern, replacement) else {
            values.append_null();
            continue;
        };
        let replacement = replacement_parts(replacement)?;
        let replaced = with_regex(pattern, |regex| replaced(regex, text, &replacement))??;
        values.append_value(replaced);
    }
    Ok(Arc::new(values.finish()))
}

fn replaced(regex: &Regex, text: &str, replacement: &[Replacement]) -> Result<String> {
    let is_unknown = |part: &&Replacement| matches!(part, Replacement::Group(group) if *group >= regex.captures_len());
    if let Some(Replacement::Group(group)) = replacement.iter().find(is_unknown) {
        return exec_err!("Illegal replacement sequence: unknown group {group}");
    }
    let mut replaced = String::with_capacity(text.len());
    let mut rest = 0;
    for captures in regex.captures_iter(text) {
        let whole = captures.get_match();
        replaced.push_str(&text[rest..whole.start()]);
        rest = whole.end();
        for part in replacement {
            replaced.push_str(match part {
                Replacement::Text(text) => text,
                Replacement::Group(group) => {
                    captures.get(*group).map_or("", |found| found.as_str())
                }
            });
        }
        check_grown(text, replaced.len())?;
    }
    replaced.push_str(&text[rest..]);
    check_grown(text, replaced.len())?;
    Ok(replaced)
}

/// A part of a replacement text.
#[derive(Debug, PartialEq)]
enum Replacement {
    Text(String),
    Group(usize),
}

/// `$1` inserts a group, and `\\` escapes the next character.
fn replacement_parts(replacement: &str) -> Result<Vec<Replacement>> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut characters = replacement.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped) => text.push(escaped),
                None => return exec_err!("Illegal replacement sequence: {replacement}"),
            },
            '$' => {
                let Some(digit) = characters.next().and_then(|digit| digit.to_digit(10)) else {
                    return exec_err!(
                        "the replacement '{replacement}' is not supported: a $ must be followed by the number of a group"
                    );
                };
                if characters.peek().is_some_and(char::is_ascii_digit) {
                    return exec_err!(
                        "the replacement '{replacement}' is not supported: the number of a group is at most 9"
                    );
                }
                parts.push(Replacement::Text(std::mem::take(&mut text)));
                parts.push(Replacement::Group(digit as usize));
            }
            _ => text.push(character),
        }
    }
    parts.push(Replacement::Text(text));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_of_ascii_and_posix_classes_of_unicode() {
        assert_eq!(
            translated(r"\w+[^\s\d]\\w\p{L}"),
            r"[0-9A-Za-z_]+[^\t-\r 0-9]\\w\p{L}"
        );
        assert!(!compile(r"^\w+$").unwrap().is_match("naïve"));
        assert!(compile(r"^[\W]$").unwrap().is_match("ï"));
        assert!(compile("^[[:alpha:]]+$").unwrap().is_match("日本"));
    }

    #[test]
    fn kept_regular_expressions_are_told_apart() {
        for round in 0..3 {
            for number in 0..2 * KEPT_REGEXES {
                let matches = with_regex(&format!("^{number}$"), |regex| {
                    [number, number + 1].map(|text| regex.is_match(&text.to_string()))
                });
                assert_eq!(matches.unwrap(), [true, false], "{round}");
                let error = with_regex(&format!("({number}"), |_| ()).unwrap_err();
                assert!(
                    error
                        .message()
                        .contains(&format!("'({number}' is not supported"))
                );
            }
        }
    }

    #[test]
    fn replacements_name_groups() {
        let parts = replacement_parts(r"a$1\$").unwrap();
        let expected = [
            Replacement::Text("a".to_owned()),
            Replacement::Group(1),
            Replacement::Text("$".to_owned()),
        ];
        assert_eq!(parts, expected);
        assert!(replacement_parts("$x").is_err());
    }
}
