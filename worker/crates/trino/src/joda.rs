//! Patterns of Joda-Time's `DateTimeFormat`, such as `yyyy-MM-dd'T'HH:mm`.

use super::time_format::{Field, Part, TimeFormat};

/// Maximum length of a run of one letter. A longer run is an error.
const LETTERS_MAX: usize = 20;

/// The most digits of a year that no other number follows.
const YEAR_DIGITS_MAX: usize = 9;

impl TimeFormat {
    /// A pattern of `format_datetime` and `parse_datetime`.
    ///
    /// # Errors
    /// For letters that are not supported here, some of which Trino supports, and for an empty pattern.
    pub fn of_joda(pattern: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                let (literal, after) = quoted(&rest[1..]);
                parts.push(Part::Literal(literal));
                rest = after;
                continue;
            }
            if !first.is_ascii_alphabetic() {
                parts.push(Part::Literal(first.into()));
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let count = run_of(first, rest);
            let letters = &rest[..count];
            rest = &rest[count..];
            parts.push(
                part(first, count, starts_with_number(rest)).ok_or_else(|| {
                    format!("{letters} in the pattern '{pattern}' is not supported")
                })?,
            );
        }
        Self::of_parts(parts)
    }

    /// Why `parse_datetime` and `date_parse` can't read texts by this pattern, if so.
    pub fn check_readable(&self) -> Result<(), String> {
        for part in &self.0 {
            match part {
                Part::TwoDigitYear(false) => {
                    return Err(
                        "the century of yy depends on the day when the text is read: \
                                write '20' || x and yyyy"
                            .to_owned(),
                    );
                }
                Part::ZoneName => {
                    return Err("names of time zones can't be read: use Z for an offset".to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The number of times that the letter stands at the start.
fn run_of(letter: char, text: &str) -> usize {
    text.len() - text.trim_start_matches(letter).len()
}

/// The text up to the closing quote, which may be missing, and what follows. Two quotes are an escaped quote, inside and outside
/// of a quoted text.
fn quoted(mut rest: &str) -> (String, &str) {
    if let Some(after) = rest.strip_prefix('\'') {
        return ("'".to_owned(), after);
    }
    let mut literal = String::new();
    loop {
        let Some((before, after)) = rest.split_once('\'') else {
            literal.push_str(rest);
            return (literal, "");
        };
        literal.push_str(before);
        match after.strip_prefix('\'') {
            None => return (literal, after),
            Some(after) => rest = after,
        }
        literal.push('\'');
    }
}

/// Whether a pattern begins with a number. Digits before it can't be told from its own, so those are limited.
fn starts_with_number(pattern: &str) -> bool {
    match pattern.chars().next() {
        Some('M') => run_of('M', pattern) <= 2,
        Some(letter) => "cCxyYdhHmsSeDFwWkK".contains(letter),
        None => false,
    }
}

/// The part that a run of `count` letters stands for, and whether a number follows.
fn part(letter: char, count: usize, number_follows: bool) -> Option<Part> {
    if count > LETTERS_MAX {
        return None;
    }
    let number = |field, digits: usize| Part::Number(field, count, digits.max(count));
    let year = |field| match number_follows {
        true => number(field, count),
        false => number(field, YEAR_DIGITS_MAX),
    };
    Some(match (letter, count) {
        ('y' | 'Y', 2) => Part::TwoDigitYear(false),
        ('y', _) => year(Field::Year),
        ('Y', _) => year(Field::YearOfEra),
        ('x', 1 | 3..) => year(Field::Weekyear),
        ('w', _) => number(Field::Week, 2),
        ('M', 1 | 2) => number(Field::Month, 2),
        ('M', 3) => Part::ShortMonth,
        ('M', _) => Part::Month,
        ('d', _) => number(Field::Day, 2),
        ('D', _) => number(Field::DayOfYear, 3),
        ('e', _) => number(Field::DayOfWeek, 1),
        ('E', 1..=3) => Part::ShortWeekday,
        ('E', _) => Part::Weekday,
        ('a', _) => Part::HalfOfDay,
        ('H', _) => number(Field::Hour, 2),
        ('k', _) => number(Field::ClockHourOfDay, 2),
        ('K', _) => number(Field::HourOfHalfDay, 2),
        ('h', _) => number(Field::ClockHour, 2),
        ('m', _) => number(Field::Minute, 2),
        ('s', _) => number(Field::Second, 2),
        ('S', 1..=9) => Part::Fraction(count, count),
        ('Z', 1) => Part::Offset(false),
        ('Z', 2) => Part::Offset(true),
        ('Z', _) => Part::ZoneName,
        _ => return None,
    })
}
