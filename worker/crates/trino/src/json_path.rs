//! The JSON paths of Trino's `json_extract_scalar`, such as `$.cart.items[0]`.

use std::fmt;

/// A path from a JSON value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    pub(crate) steps: Vec<Step>,
}

/// One step: into the field of an object with this name, or to the element of an array with this index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) index: Option<usize>,
}

/// The path is not one that Trino understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPath(String);

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invalid JSON path: '{}'", self.0)
    }
}

impl std::error::Error for InvalidPath {}

impl JsonPath {
    /// Parses a path: `$`, then `.name`, `[0]` or `["any name"]` any number of times.
    ///
    /// # Errors
    ///
    /// The text is another one.
    pub fn parse(path: &str) -> Result<Self, InvalidPath> {
        Self::steps(path)
            .map(|steps| Self { steps })
            .ok_or_else(|| InvalidPath(path.to_owned()))
    }

    fn steps(path: &str) -> Option<Vec<Step>> {
        let mut rest = path.strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (name, after) = if let Some(after) = rest.strip_prefix('.') {
                plain_name(after, |character| character == ':')?
            } else {
                let after = rest.strip_prefix('[')?;
                let (name, after) = match after.strip_prefix('"') {
                    Some(quoted) => quoted_name(quoted)?,
                    None => plain_name(after, |_| false)?,
                };
                (name, after.strip_prefix(']')?)
            };
            steps.push(Step {
                // Java's `Integer.parseInt`.
                index: name
                    .parse::<i32>()
                    .ok()
                    .and_then(|index| usize::try_from(index).ok()),
                name,
            });
            rest = after;
        }
        Some(steps)
    }
}

/// A name of letters, digits and `_`, and what follows it.
fn plain_name(text: &str, is_allowed: fn(char) -> bool) -> Option<(String, &str)> {
    // Java looks at UTF-16 units, and no half of a pair is a letter.
    let belongs = |character: char| {
        character == '_'
            || is_allowed(character)
            || (character.is_alphanumeric() && character.len_utf16() == 1)
    };
    let end = text
        .find(|character| !belongs(character))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (name.to_owned(), rest))
}

/// A name up to the closing quote, and what follows it. `\` escapes itself and the quote.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, text.get(at + 1..)?)),
            '\\' => match characters.next()? {
                (_, escaped @ ('"' | '\\')) => name.push(escaped),
                _ => return None,
            },
            other => name.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Option<Vec<String>> {
        let steps = JsonPath::parse(path).ok()?.steps;
        Some(steps.into_iter().map(|step| step.name).collect())
    }

    // Expected values: Trino's TestJsonExtract.java.
    #[test]
    fn paths_are_trinos() {
        let some = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(names("$"), some(&[]));
        assert_eq!(names("$.foo"), some(&["foo"]));
        assert_eq!(names("$[\"foo\"]"), some(&["foo"]));
        assert_eq!(names("$[\"foo.bar\"]"), some(&["foo.bar"]));
        assert_eq!(names("$[42]"), some(&["42"]));
        assert_eq!(names("$.42"), some(&["42"]));
        assert_eq!(names("$.42.63"), some(&["42", "63"]));
        assert_eq!(names("$.foo.42.bar.63"), some(&["foo", "42", "bar", "63"]));
        assert_eq!(
            names("$[\"foo\"][42][\"bar\"]"),
            some(&["foo", "42", "bar"])
        );
        assert_eq!(names("$.x:y"), some(&["x:y"]));
        assert_eq!(names(r#"$["\"\\"]"#), some(&["\"\\"]));
        assert_eq!(names("$[\"\"]"), some(&[""]));
        for invalid in [
            "",
            "foo",
            "$foo",
            "$.",
            "$..foo",
            "$[",
            "$[]",
            "$[foo",
            "$[\"foo",
            "$['foo']",
            "$.foo bar",
            "$ ",
            "$.*",
            "$[-1]",
            "$[x:y]",
            r#"$["\n"]"#,
            "$[\"a\"b]",
            "$.🍏",
        ] {
            assert_eq!(names(invalid), None, "{invalid}");
        }
    }
}
