//! Functions of text. Characters are code points.

use std::collections::HashMap;

/// The most steps that [`levenshtein_distance`] takes, which is Trino's limit too.
const LEVENSHTEIN_STEPS_MAX: usize = 1_000_000;

/// `levenshtein_distance(a, b)`.
pub fn levenshtein_distance(one: &str, other: &str) -> Result<i64, String> {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let (long, short) = match one.len() < other.len() {
        true => (other, one),
        false => (one, other),
    };
    if long.len().saturating_mul(short.len().saturating_sub(1)) > LEVENSHTEIN_STEPS_MAX {
        return Err("The combined inputs for Levenshtein distance are too large".to_owned());
    }
    // The distances of the characters of `long` so far from each beginning of `short`.
    let mut distances: Vec<usize> = (0..=short.len()).collect();
    for (row, long) in long.iter().enumerate() {
        let mut left = row + 1;
        let mut above_left = row;
        for (distance, short) in distances.iter_mut().skip(1).zip(&short) {
            let replaced = above_left + usize::from(long != short);
            above_left = *distance;
            left = replaced.min(left + 1).min(*distance + 1);
            *distance = left;
        }
        if let Some(first) = distances.first_mut() {
            *first = row + 1;
        }
    }
    Ok(distances.last().map_or(0, |distance| *distance as i64))
}

/// `hamming_distance(a, b)`, of texts of the same length.
pub fn hamming_distance(one: &str, other: &str) -> Result<i64, String> {
    let (mut one, mut other) = (one.chars(), other.chars());
    let mut distance = 0;
    loop {
        match (one.next(), other.next()) {
            (Some(one), Some(other)) => distance += i64::from(one != other),
            (None, None) => return Ok(distance),
            _ => {
                return Err(
                    "The input strings to hamming_distance function must have the same length"
                        .to_owned(),
                );
            }
        }
    }
}

/// `translate(text, from, to)`: replaces each character of `from` by the one at its place in `to`, or removes it if there
/// is none.
pub fn translate(text: &str, from: &str, to: &str) -> String {
    let mut replacements: HashMap<char, Option<char>> = HashMap::new();
    let mut to = to.chars();
    for character in from.chars() {
        let replacement = to.next();
        replacements.entry(character).or_insert(replacement);
    }
    text.chars()
        .filter_map(|character| match replacements.get(&character) {
            Some(replacement) => *replacement,
            None => Some(character),
        })
        .collect()
}

/// `chr(n)`: the character of a code point.
pub fn chr(code_point: i64) -> Result<String, String> {
    u32::try_from(code_point)
        .ok()
        .and_then(char::from_u32)
        .map(String::from)
        .ok_or_else(|| format!("Not a valid Unicode code point: {code_point}"))
}

/// `codepoint(text)`, of a text of one character.
pub fn codepoint(text: &str) -> Result<i64, String> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Ok(i64::from(u32::from(character))),
        _ => Err("Input string must be a single character string".to_owned()),
    }
}

/// `strpos(text, part, instance)`: the position of an occurrence, counted from the end if `instance` is negative. Later
/// occurrences may overlap.
pub fn strpos(text: &str, part: &str, instance: i64) -> Result<i64, String> {
    let skipped = match instance.checked_abs() {
        None | Some(0) => {
            return Err("'instance' must be a positive or negative number.".to_owned());
        }
        Some(instance) => usize::try_from(instance - 1).unwrap_or(usize::MAX),
    };
    let Some(first) = part.as_bytes().first().filter(|_| part.len() <= text.len()) else {
        return Ok(i64::from(part.is_empty()));
    };
    let mut found = memchr::memchr_iter(*first, text.as_bytes())
        .filter(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(part)));
    let at = match instance > 0 {
        true => found.nth(skipped),
        false => {
            let found: Vec<usize> = found.collect();
            found
                .len()
                .checked_sub(skipped.saturating_add(1))
                .and_then(|at| found.get(at).copied())
        }
    };
    let before = at.and_then(|at| text.get(..at));
    Ok(before.map_or(0, |before| match instance > 0 {
        true => before.chars().count() + 1,
        // Trino 435 returns UTF-16 units here: characters beyond U+FFFF count twice.
        false => before.encode_utf16().count() + 1,
    }) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_trinos() {
        assert_eq!(levenshtein_distance("kitten", "sitting"), Ok(3));
        assert_eq!(levenshtein_distance("", "abc"), Ok(3));
        assert_eq!(levenshtein_distance("", ""), Ok(0));
        assert_eq!(levenshtein_distance("日本語", "日本"), Ok(1));
        assert!(levenshtein_distance(&"a".repeat(1001), &"b".repeat(1001)).is_err());
        assert_eq!(levenshtein_distance(&"a".repeat(9000), "b"), Ok(9000));
        assert_eq!(hamming_distance("hello", "jello"), Ok(1));
        assert!(hamming_distance("a", "").is_err());
    }

    #[test]
    fn characters_are_translated_or_removed() {
        assert_eq!(translate("abcd", "aab", "xyz"), "xzcd");
        assert_eq!(translate("Palhoça", "ç", "c"), "Palhoca");
        assert_eq!(translate("abcd", "bd", ""), "ac");
    }

    #[test]
    fn occurrences_are_counted_from_either_end() {
        assert_eq!(strpos("banana", "ana", 2), Ok(4));
        assert_eq!(strpos("banana", "ana", -1), Ok(4));
        assert_eq!(strpos("banana", "ana", -2), Ok(2));
        assert_eq!(strpos("banana", "ana", 3), Ok(0));
        assert_eq!(strpos("日本日", "日", -1), Ok(3));
        assert_eq!(strpos("🍎a", "a", 1), Ok(2));
        assert_eq!(strpos("🍎a", "a", -1), Ok(3));
        assert_eq!(strpos("", "", -5), Ok(1));
        assert_eq!(strpos("a", "aa", 1), Ok(0));
        assert!(strpos("a", "a", 0).is_err() && strpos("a", "a", i64::MIN).is_err());
    }

    #[test]
    fn code_points_are_checked() {
        assert_eq!(chr(0x1f34e).as_deref(), Ok("🍎"));
        assert!(chr(0xd800).is_err() && chr(-1).is_err() && chr(i64::MAX).is_err());
        assert_eq!(codepoint("🍎"), Ok(0x1f34e));
        assert!(codepoint("").is_err() && codepoint("ab").is_err());
    }
}
