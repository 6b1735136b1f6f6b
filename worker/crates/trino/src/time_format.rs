//! Time patterns in English and UTC: those of `date_format`, which are MySQL's, and of `format_datetime`, which are
//! Joda-Time's.

use super::civil::{DAY, HOUR, MINUTE, SECOND, civil_from_days, days_from_civil};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Maximum length of a run of one letter. A longer run is an error.
const MOST_LETTERS: usize = 20;

/// A parsed pattern, which formats an instant part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// A number, and its minimum number of digits.
    Number(Number, usize),
    TwoDigitYear,
    /// The fraction of the second, with this many digits.
    Fraction(usize),
    Month,
    ShortMonth,
    Weekday,
    ShortWeekday,
    HalfOfDay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Year,
    Weekyear,
    Month,
    Week,
    DayOfYear,
    Day,
    DayOfWeek,
    Hour,
    /// 1 to 12.
    ClockHour,
    Minute,
    Second,
}

impl TimeFormat {
    /// A pattern of `date_format`, such as `%Y-%m-%d`.
    ///
    /// # Errors
    /// For letters that Trino refuses too, and for an empty pattern.
    pub fn of_mysql(pattern: &str) -> Result<Self, String> {
        use Number::{
            ClockHour, Day, DayOfYear, Hour, Minute, Month, Second, Week, Weekyear, Year,
        };
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                parts.push(Part::Literal(character.into()));
                continue;
            }
            // A trailing % is ignored.
            let Some(letter) = characters.next() else {
                break;
            };
            let whole = match letter {
                'T' => Some("%H:%i:%s"),
                'r' => Some("%h:%i:%s %p"),
                _ => None,
            };
            if let Some(pattern) = whole {
                parts.extend(Self::of_mysql(pattern)?.0);
                continue;
            }
            parts.push(match letter {
                'Y' => Part::Number(Year, 4),
                'y' => Part::TwoDigitYear,
                'x' => Part::Number(Weekyear, 4),
                'v' => Part::Number(Week, 2),
                'm' => Part::Number(Month, 2),
                'c' => Part::Number(Month, 1),
                'M' => Part::Month,
                'b' => Part::ShortMonth,
                'd' => Part::Number(Day, 2),
                'e' => Part::Number(Day, 1),
                'j' => Part::Number(DayOfYear, 3),
                'W' => Part::Weekday,
                'a' => Part::ShortWeekday,
                'H' => Part::Number(Hour, 2),
                'k' => Part::Number(Hour, 1),
                'h' | 'I' => Part::Number(ClockHour, 2),
                'l' => Part::Number(ClockHour, 1),
                'i' => Part::Number(Minute, 2),
                's' | 'S' => Part::Number(Second, 2),
                'f' => Part::Fraction(6),
                'p' => Part::HalfOfDay,
                'D' | 'U' | 'u' | 'V' | 'w' | 'X' => {
                    return Err(format!("%{letter} not supported in date format string"));
                }
                other => Part::Literal(other.into()),
            });
        }
        Self::of_parts(parts)
    }

    /// A pattern of `format_datetime`, such as `yyyy-MM-dd'T'HH:mm`.
    ///
    /// # Errors
    /// For letters that are not supported here, some of which Trino supports, and for an empty pattern.
    pub fn of_joda(pattern: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                rest = &rest[1..];
                // Two quotes are an escaped quote, inside and outside of a quoted literal.
                if let Some(after) = rest.strip_prefix('\'') {
                    parts.push(Part::Literal("'".into()));
                    rest = after;
                    continue;
                }
                let mut literal = String::new();
                loop {
                    let Some(end) = rest.find('\'') else {
                        literal.push_str(rest);
                        rest = "";
                        break;
                    };
                    literal.push_str(&rest[..end]);
                    rest = &rest[end + 1..];
                    let Some(after) = rest.strip_prefix('\'') else {
                        break;
                    };
                    literal.push('\'');
                    rest = after;
                }
                parts.push(Part::Literal(literal));
                continue;
            }
            if !first.is_ascii_alphabetic() {
                parts.push(Part::Literal(first.into()));
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let count = rest.len() - rest.trim_start_matches(first).len();
            let letters = &rest[..count];
            rest = &rest[count..];
            parts.push(
                joda_part(first, count).ok_or_else(|| {
                    format!("{letters} in the pattern '{pattern}' is not supported")
                })?,
            );
        }
        Self::of_parts(parts)
    }

    fn of_parts(parts: Vec<Part>) -> Result<Self, String> {
        match parts.is_empty() {
            true => Err("Invalid pattern specification".to_owned()),
            false => Ok(Self(parts)),
        }
    }

    /// Formats an instant, which is in milliseconds since 1970-01-01T00:00:00Z.
    pub fn text(&self, instant: i64) -> String {
        let moment = Moment::new(instant);
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Number(number, digits) => {
                    push_number(&mut text, moment.number(*number), *digits);
                }
                Part::TwoDigitYear => push_number(&mut text, moment.year.abs() % 100, 2),
                Part::Fraction(digits) => {
                    let fraction = format!("{:03}", instant.rem_euclid(SECOND));
                    text.extend(fraction.chars().chain(std::iter::repeat('0')).take(*digits));
                }
                Part::Month => text.push_str(moment.month_name()),
                Part::ShortMonth => text.push_str(&moment.month_name()[..3]),
                Part::Weekday => text.push_str(moment.weekday_name()),
                Part::ShortWeekday => text.push_str(&moment.weekday_name()[..3]),
                Part::HalfOfDay => text.push_str(match moment.number(Number::Hour) {
                    0..12 => "AM",
                    _ => "PM",
                }),
            }
        }
        text
    }
}

fn joda_part(letter: char, count: usize) -> Option<Part> {
    if count > MOST_LETTERS {
        return None;
    }
    Some(match (letter, count) {
        ('y', 2) => Part::TwoDigitYear,
        ('y', _) => Part::Number(Number::Year, count),
        ('x', 3..) => Part::Number(Number::Weekyear, count),
        ('w', _) => Part::Number(Number::Week, count),
        ('M', 1 | 2) => Part::Number(Number::Month, count),
        ('M', 3) => Part::ShortMonth,
        ('M', _) => Part::Month,
        ('d', _) => Part::Number(Number::Day, count),
        ('D', _) => Part::Number(Number::DayOfYear, count),
        ('e', _) => Part::Number(Number::DayOfWeek, count),
        ('E', 1..=3) => Part::ShortWeekday,
        ('E', _) => Part::Weekday,
        ('a', _) => Part::HalfOfDay,
        ('H', _) => Part::Number(Number::Hour, count),
        ('h', _) => Part::Number(Number::ClockHour, count),
        ('m', _) => Part::Number(Number::Minute, count),
        ('s', _) => Part::Number(Number::Second, count),
        ('S', 1..=9) => Part::Fraction(count),
        _ => return None,
    })
}

fn push_number(text: &mut String, number: i64, digits: usize) {
    if number < 0 {
        text.push('-');
    }
    text.push_str(&format!("{:0digits$}", number.abs()));
}

/// An instant, split into its calendar fields.
struct Moment {
    days: i64,
    millisecond_of_day: i64,
    year: i64,
    month: i64,
    day: i64,
}

impl Moment {
    fn new(instant: i64) -> Self {
        let days = instant.div_euclid(DAY);
        let (year, month, day) = civil_from_days(days);
        Self {
            days,
            millisecond_of_day: instant.rem_euclid(DAY),
            year,
            month,
            day,
        }
    }

    fn number(&self, number: Number) -> i64 {
        // A week belongs to the year that its Thursday is in.
        let thursday = self.days - (self.days + 3).rem_euclid(7) + 3;
        let weekyear = civil_from_days(thursday).0;
        match number {
            Number::Year => self.year,
            Number::Weekyear => weekyear,
            Number::Month => self.month,
            Number::Week => (thursday - days_from_civil(weekyear, 1, 1)) / 7 + 1,
            Number::DayOfYear => self.days - days_from_civil(self.year, 1, 1) + 1,
            Number::Day => self.day,
            Number::DayOfWeek => (self.days + 3).rem_euclid(7) + 1,
            Number::Hour => self.millisecond_of_day / HOUR,
            Number::ClockHour => (self.millisecond_of_day / HOUR + 11) % 12 + 1,
            Number::Minute => self.millisecond_of_day / MINUTE % 60,
            Number::Second => self.millisecond_of_day / SECOND % 60,
        }
    }

    fn month_name(&self) -> &'static str {
        MONTHS[(self.month - 1) as usize]
    }

    fn weekday_name(&self) -> &'static str {
        WEEKDAYS[(self.number(Number::DayOfWeek) - 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::super::iso8601::from_iso8601_timestamp;
    use super::*;

    // tests/trino compares more patterns with Trino.
    #[test]
    fn patterns_are_followed() {
        let instant = from_iso8601_timestamp("2027-01-03T00:05:09.120Z").unwrap();
        for (pattern, expected) in [
            ("%Y-%m-%d %H:%i:%s.%f", "2027-01-03 00:05:09.120000"),
            ("%a %e %b %y, %r", "Sun 3 Jan 27, 12:05:09 AM"),
            ("%x-W%v %j %% %q %", "2026-W53 003 % q "),
        ] {
            let format = TimeFormat::of_mysql(pattern).unwrap();
            assert_eq!(format.text(instant), expected);
        }
        for (pattern, expected) in [
            ("yyyy-MM-dd'T'HH:mm:ss.SSS", "2027-01-03T00:05:09.120"),
            (
                "EEEE d MMMM yy, h ''a'' 'o''clock'",
                "Sunday 3 January 27, 12 'AM' o'clock",
            ),
            ("xxxx-'W'ww-e DDD", "2026-W53-7 003"),
        ] {
            let format = TimeFormat::of_joda(pattern).unwrap();
            assert_eq!(format.text(instant), expected);
        }
        assert!(TimeFormat::of_mysql("%d %X").unwrap_err().contains("%X"));
        assert!(TimeFormat::of_joda("yyyy zz").unwrap_err().contains("zz"));
        assert!(TimeFormat::of_mysql("%").is_err());
    }
}
