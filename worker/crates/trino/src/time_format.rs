//! Time patterns in English: those of `date_format` and `date_parse`, which are MySQL's, and those of `format_datetime` and
//! `parse_datetime`, which are Joda-Time's.

use super::civil::{DAY, HOUR, MINUTE, SECOND, civil_from_days, days_from_civil};
use super::zone::Zone;

pub(crate) const MONTHS: [&str; 12] = [
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
pub(crate) const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
pub(crate) const HALVES_OF_DAY: [&str; 2] = ["AM", "PM"];

/// A parsed pattern, which formats instants and reads texts part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat(pub(crate) Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    /// A number, the fewest digits to write, and the most digits to read.
    Number(Field, usize, usize),
    /// The last two digits of the year. Whether they can be read: as a year from 1970 to 2069.
    TwoDigitYear(bool),
    /// The fraction of the second: the digits to write, and the most digits to read.
    Fraction(usize, usize),
    Month,
    ShortMonth,
    Weekday,
    ShortWeekday,
    HalfOfDay,
    /// The offset from UTC, as `+0200`, or as `+02:00` with a colon.
    Offset(bool),
    ZoneName,
}

/// A field of a date or a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Year,
    /// 1 for the first year BC too.
    YearOfEra,
    Weekyear,
    Month,
    Week,
    DayOfYear,
    Day,
    DayOfWeek,
    HalfOfDay,
    Hour,
    /// 1 to 24.
    ClockHourOfDay,
    /// 0 to 11.
    HourOfHalfDay,
    /// 1 to 12.
    ClockHour,
    Minute,
    Second,
    Millisecond,
}

impl TimeFormat {
    /// A pattern of `date_format` and `date_parse`, such as `%Y-%m-%d`.
    ///
    /// # Errors
    /// For letters that Trino refuses too, and for an empty pattern.
    pub fn of_mysql(pattern: &str) -> Result<Self, String> {
        use Field::{ClockHour, Day, DayOfYear, Hour, Minute, Month, Second, Week, Weekyear, Year};
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
                'Y' => Part::Number(Year, 4, 4),
                'y' => Part::TwoDigitYear(true),
                'x' => Part::Number(Weekyear, 4, 4),
                'v' => Part::Number(Week, 2, 2),
                'm' => Part::Number(Month, 2, 2),
                'c' => Part::Number(Month, 1, 2),
                'M' => Part::Month,
                'b' => Part::ShortMonth,
                'd' => Part::Number(Day, 2, 2),
                'e' => Part::Number(Day, 1, 2),
                'j' => Part::Number(DayOfYear, 3, 3),
                'W' => Part::Weekday,
                'a' => Part::ShortWeekday,
                'H' => Part::Number(Hour, 2, 2),
                'k' => Part::Number(Hour, 1, 2),
                'h' | 'I' => Part::Number(ClockHour, 2, 2),
                'l' => Part::Number(ClockHour, 1, 2),
                'i' => Part::Number(Minute, 2, 2),
                's' | 'S' => Part::Number(Second, 2, 2),
                'f' => Part::Fraction(6, 9),
                'p' => Part::HalfOfDay,
                'D' | 'U' | 'u' | 'V' | 'w' | 'X' => {
                    return Err(format!("%{letter} not supported in date format string"));
                }
                other => Part::Literal(other.into()),
            });
        }
        Self::of_parts(parts)
    }

    pub(crate) fn of_parts(parts: Vec<Part>) -> Result<Self, String> {
        match parts.is_empty() {
            true => Err("Invalid pattern specification".to_owned()),
            false => Ok(Self(parts)),
        }
    }

    /// Whether the pattern has the zone or its offset.
    pub fn has_zone(&self) -> bool {
        let is_zone = |part: &Part| matches!(part, Part::Offset(_) | Part::ZoneName);
        self.0.iter().any(is_zone)
    }

    /// Formats an instant, which is in milliseconds since 1970-01-01T00:00:00Z, as a local time of the zone.
    pub fn text(&self, instant: i64, zone: &Zone) -> String {
        let offset = zone.offset(instant);
        let moment = Moment::new(instant.saturating_add(offset));
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Number(field, digits, _) => {
                    push_number(&mut text, moment.number(*field), *digits);
                }
                Part::TwoDigitYear(_) => push_number(&mut text, moment.year.abs() % 100, 2),
                Part::Fraction(digits, _) => {
                    let fraction = format!("{:03}", moment.number(Field::Millisecond));
                    text.extend(fraction.chars().chain(std::iter::repeat('0')).take(*digits));
                }
                Part::Month => text.push_str(moment.month_name()),
                Part::ShortMonth => text.push_str(&moment.month_name()[..3]),
                Part::Weekday => text.push_str(moment.weekday_name()),
                Part::ShortWeekday => text.push_str(&moment.weekday_name()[..3]),
                Part::HalfOfDay => {
                    text.push_str(HALVES_OF_DAY[moment.number(Field::HalfOfDay) as usize]);
                }
                Part::Offset(colon) => push_offset(&mut text, offset, *colon),
                Part::ZoneName => text.push_str(&zone.to_string()),
            }
        }
        text
    }
}

/// Appends an offset in hours and minutes. Seconds are left out, as in Joda-Time.
fn push_offset(text: &mut String, offset: i64, colon: bool) {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.abs() / MINUTE;
    let colon = if colon { ":" } else { "" };
    text.push_str(&format!(
        "{sign}{:02}{colon}{:02}",
        minutes / 60,
        minutes % 60
    ));
}

fn push_number(text: &mut String, number: i64, digits: usize) {
    if number < 0 {
        text.push('-');
    }
    text.push_str(&format!("{:0digits$}", number.abs()));
}

/// A local time, split into its calendar fields.
pub(crate) struct Moment {
    days: i64,
    millisecond_of_day: i64,
    year: i64,
    month: i64,
    day: i64,
}

impl Moment {
    pub(crate) fn new(local: i64) -> Self {
        let days = local.div_euclid(DAY);
        let (year, month, day) = civil_from_days(days);
        Self {
            days,
            millisecond_of_day: local.rem_euclid(DAY),
            year,
            month,
            day,
        }
    }

    pub(crate) fn number(&self, field: Field) -> i64 {
        // A week belongs to the year that its Thursday is in.
        let thursday = self.days - (self.days + 3).rem_euclid(7) + 3;
        let weekyear = civil_from_days(thursday).0;
        match field {
            Field::Year => self.year,
            Field::YearOfEra if self.year < 1 => 1 - self.year,
            Field::YearOfEra => self.year,
            Field::Weekyear => weekyear,
            Field::Month => self.month,
            Field::Week => (thursday - days_from_civil(weekyear, 1, 1)) / 7 + 1,
            Field::DayOfYear => self.days - days_from_civil(self.year, 1, 1) + 1,
            Field::Day => self.day,
            Field::DayOfWeek => (self.days + 3).rem_euclid(7) + 1,
            Field::HalfOfDay => self.millisecond_of_day / (12 * HOUR),
            Field::Hour => self.millisecond_of_day / HOUR,
            Field::ClockHourOfDay => (self.millisecond_of_day / HOUR + 23) % 24 + 1,
            Field::HourOfHalfDay => self.millisecond_of_day / HOUR % 12,
            Field::ClockHour => (self.millisecond_of_day / HOUR + 11) % 12 + 1,
            Field::Minute => self.millisecond_of_day / MINUTE % 60,
            Field::Second => self.millisecond_of_day / SECOND % 60,
            Field::Millisecond => self.millisecond_of_day % SECOND,
        }
    }

    fn month_name(&self) -> &'static str {
        MONTHS[(self.month - 1) as usize]
    }

    fn weekday_name(&self) -> &'static str {
        WEEKDAYS[(self.number(Field::DayOfWeek) - 1) as usize]
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
            assert_eq!(format.text(instant, &Zone::UTC), expected);
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
            assert_eq!(format.text(instant, &Zone::UTC), expected);
        }
        assert!(TimeFormat::of_mysql("%d %X").unwrap_err().contains("%X"));
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let format = TimeFormat::of_joda("kk K Y Z ZZ ZZZ").unwrap();
        let summer = from_iso8601_timestamp("2026-06-30T22:05Z").unwrap();
        assert_eq!(
            format.text(summer, &berlin),
            "24 0 2026 +0200 +02:00 Europe/Berlin"
        );
        assert!(TimeFormat::of_joda("yyyy zz").unwrap_err().contains("zz"));
        assert!(TimeFormat::of_mysql("%").is_err());
    }
}
