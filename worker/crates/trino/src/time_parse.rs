//! Reads texts by a time pattern, as Joda-Time's `DateTimeFormatter` does: fewer digits than the pattern has are fine, names and
//! literals match in any case, and fields that the pattern lacks are those of 1970-01-01T00:00, or of the year 2000 if the largest
//! field is a month, a week or a day.

use super::civil::{DAY, HOUR, MINUTE, SECOND, days_from_civil, days_in_month, first_monday};
use super::iso8601::{Fault, TimestampError, checked, instant_of, offset_at};
use super::time_format::{Field, HALVES_OF_DAY, MONTHS, Moment, Part, TimeFormat, WEEKDAYS};

/// The years that an `i64` of milliseconds covers.
const YEARS: (i32, i32) = (-292_275_055, 292_278_994);

/// The year of a text without one.
const DEFAULT_YEAR: i32 = 2000;

impl TimeFormat {
    /// `date_parse`: the local time in the text, in milliseconds since 1970-01-01T00:00.
    ///
    /// # Errors
    /// For a text that does not match the pattern, and for values out of range.
    pub fn read_local<'a>(&self, text: &'a str) -> Result<i64, TimestampError<'a>> {
        self.read(text).map(|(local, _)| local)
    }

    /// `parse_datetime`: the instant in the text. Without an offset in the text, it is in UTC.
    ///
    /// # Errors
    /// As [`TimeFormat::read_local`], and for an offset or an instant that Trino does not have.
    pub fn read_instant<'a>(&self, text: &'a str) -> Result<i64, TimestampError<'a>> {
        let (local, offset) = self.read(text)?;
        instant_of(local, offset)
    }

    fn read<'a>(&self, text: &'a str) -> Result<(i64, i32), TimestampError<'a>> {
        let mut fields = Vec::with_capacity(self.0.len());
        let mut offset = 0;
        let mut at = 0;
        for part in &self.0 {
            at = match part {
                Part::Offset(_) => offset_at(text, at).map(|(read, end)| {
                    offset = read;
                    end
                }),
                part => field(part, text, at, &mut fields),
            }
            .map_err(|at| TimestampError::Malformed { text, at })?;
        }
        if at < text.len() {
            return Err(TimestampError::Malformed { text, at });
        }
        let local = local_time(fields).map_err(|fault| fault.of(text))?;
        Ok((local, offset))
    }
}

/// Reads one part of a pattern. Returns the index after it, or else the index of the fault.
fn field(
    part: &Part,
    text: &str,
    at: usize,
    fields: &mut Vec<(Field, i32)>,
) -> Result<usize, usize> {
    let rest = text.get(at..).ok_or(at)?;
    let (field, value, length) = match part {
        Part::Literal(literal) => {
            return literal_length(literal, rest)
                .map(|length| at + length)
                .ok_or(at);
        }
        Part::Number(field, _, digits) => {
            let is_signed = matches!(field, Field::Year | Field::Weekyear);
            let (value, length) = number(rest, *digits, is_signed).ok_or(at)?;
            (*field, value, length)
        }
        Part::TwoDigitYear(_) => {
            let digits = rest
                .get(..2)
                .filter(|digits| digits.bytes().all(|d| d.is_ascii_digit()));
            let year: i32 = digits.and_then(|digits| digits.parse().ok()).ok_or(at)?;
            (
                Field::Year,
                if year < 70 { 2000 + year } else { 1900 + year },
                2,
            )
        }
        Part::Fraction(_, most) => {
            let digits = rest.bytes().take(*most).take_while(u8::is_ascii_digit);
            let weights = [100, 10, 1].into_iter().chain(std::iter::repeat(0));
            let (mut millis, mut length) = (0, 0);
            for (digit, weight) in digits.zip(weights) {
                millis += i32::from(digit - b'0') * weight;
                length += 1;
            }
            if length == 0 {
                return Err(at);
            }
            (Field::Millisecond, millis, length)
        }
        Part::Month | Part::ShortMonth => {
            let (index, length) = name(rest, &MONTHS).ok_or(at)?;
            (Field::Month, index + 1, length)
        }
        Part::Weekday | Part::ShortWeekday => {
            let (index, length) = name(rest, &WEEKDAYS).ok_or(at)?;
            (Field::DayOfWeek, index + 1, length)
        }
        Part::HalfOfDay => {
            let (index, length) = name(rest, &HALVES_OF_DAY).ok_or(at)?;
            (Field::HalfOfDay, index, length)
        }
        Part::Offset(_) | Part::ZoneName => return Err(at),
    };
    fields.push((field, value));
    Ok(at + length)
}

/// The length of the literal at the start of a text, in any case.
fn literal_length(literal: &str, text: &str) -> Option<usize> {
    let mut rest = text.chars();
    for expected in literal.chars() {
        let found = rest.next()?;
        let is_same = found == expected
            || found.to_uppercase().eq(expected.to_uppercase())
            || found.to_lowercase().eq(expected.to_lowercase());
        if !is_same {
            return None;
        }
    }
    Some(text.len() - rest.as_str().len())
}

/// A number at the start of a text, and its length. A sign does not count as a digit.
fn number(text: &str, digits: usize, is_signed: bool) -> Option<(i32, usize)> {
    let signed = text.strip_prefix(['-', '+']).filter(|_| is_signed);
    let unsigned = signed.unwrap_or(text);
    // Joda-Time 2.12 reads one digit more after a plus sign.
    let is_plus = signed.is_some() && text.starts_with('+');
    let digits = digits + usize::from(is_plus);
    let count = unsigned
        .bytes()
        .take(digits)
        .take_while(u8::is_ascii_digit)
        .count();
    let length = text.len() - unsigned.len() + count;
    // A value that does not fit fails in Trino too.
    let value = text.get(..length)?.parse().ok()?;
    Some((value, length))
}

/// The index of the name at the start of a text, and its length: in full or its first three letters, as it is, in lower or in
/// upper case.
fn name(text: &str, names: &[&str]) -> Option<(i32, usize)> {
    let starts = |name: &str| {
        [name.to_owned(), name.to_lowercase(), name.to_uppercase()]
            .iter()
            .any(|name| text.starts_with(name.as_str()))
    };
    let short = |name: &str| name.get(..3).is_some_and(starts);
    for (index, name) in (0_i32..).zip(names) {
        if starts(name) {
            return Some((index, name.len()));
        }
        if short(name) {
            return Some((index, 3));
        }
    }
    None
}

/// The local time with these fields, in milliseconds.
fn local_time(mut fields: Vec<(Field, i32)>) -> Result<i64, Fault> {
    let largest_first = |fields: &mut Vec<(Field, i32)>| {
        fields.sort_by_key(|(field, _)| std::cmp::Reverse(field.rank()));
    };
    largest_first(&mut fields);
    let largest = fields.first().map(|(field, _)| field.rank().1);
    if largest.is_some_and(|length| (DAYS..=MONTHS_LONG).contains(&length)) {
        fields.push((Field::Year, DEFAULT_YEAR));
        largest_first(&mut fields);
    }
    let mut local = 0;
    for (field, value) in &fields {
        local = field.floor(field.set(local, *value)?);
    }
    // A day of the week may have moved the month. Then the month is set once more.
    for (field, value) in &fields {
        local = field.set(local, *value)?;
    }
    Ok(fields.last().map_or(local, |(field, _)| field.floor(local)))
}

/// Ranks of the units that fields count, and of the units that they count them in.
const MONTHS_LONG: u8 = 7;
const DAYS: u8 = 5;

impl Field {
    /// The order in which fields are set: by the unit that they are a part of, then by their own unit.
    fn rank(self) -> (u8, u8) {
        match self {
            Self::Year | Self::YearOfEra | Self::Weekyear => (9, 8),
            Self::Month => (8, MONTHS_LONG),
            Self::Week => (8, 6),
            Self::DayOfYear => (8, DAYS),
            Self::Day => (7, DAYS),
            Self::DayOfWeek => (6, DAYS),
            Self::HalfOfDay => (5, 4),
            Self::Hour | Self::ClockHourOfDay => (5, 3),
            Self::HourOfHalfDay | Self::ClockHour => (4, 3),
            Self::Minute => (3, 2),
            Self::Second => (2, 1),
            Self::Millisecond => (1, 0),
        }
    }

    /// The local time with this field set to the value.
    fn set(self, local: i64, value: i32) -> Result<i64, Fault> {
        let moment = Moment::new(local);
        let (days, of_day) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = (
            moment.number(Self::Year),
            moment.number(Self::Month),
            moment.number(Self::Day),
        );
        let date = |year, month, day: i64| {
            days_from_civil(year, month, day.min(days_in_month(year, month)))
        };
        let new_days = match self {
            Self::Year => date(checked("year", value, YEARS.0, YEARS.1)?, month, day),
            Self::YearOfEra => date(checked("yearOfEra", value, 1, YEARS.1)?, month, day),
            Self::Weekyear => {
                checked("weekyear", value.saturating_abs(), YEARS.0, YEARS.1)?;
                let week = moment.number(Self::Week).min(weeks_in(i64::from(value)));
                first_monday(i64::from(value)) + 7 * (week - 1) + moment.number(Self::DayOfWeek) - 1
            }
            Self::Month => date(year, checked("monthOfYear", value, 1, 12)?, day),
            Self::Week => {
                let weeks = weeks_in(moment.number(Self::Weekyear)) as i32;
                let week = checked("weekOfWeekyear", value, 1, weeks)?;
                days + 7 * (week - moment.number(Self::Week))
            }
            Self::DayOfYear => {
                let start = days_from_civil(year, 1, 1);
                let length = days_from_civil(year + 1, 1, 1) - start;
                start + checked("dayOfYear", value, 1, length as i32)? - 1
            }
            Self::Day => {
                let length = days_in_month(year, month) as i32;
                days - day + checked("dayOfMonth", value, 1, length)?
            }
            Self::DayOfWeek => days - moment.number(self) + checked("dayOfWeek", value, 1, 7)?,
            _ => {
                let change = self.set_of_day(&moment, of_day, value)? - of_day;
                return Ok(local.saturating_add(change));
            }
        };
        Ok(new_days.saturating_mul(DAY).saturating_add(of_day))
    }

    /// The time of day with this field set to the value.
    fn set_of_day(self, moment: &Moment, of_day: i64, value: i32) -> Result<i64, Fault> {
        let (name, least, greatest, unit) = match self {
            Self::HalfOfDay => ("halfdayOfDay", 0, 1, 12 * HOUR),
            Self::Hour => ("hourOfDay", 0, 23, HOUR),
            Self::ClockHourOfDay => ("clockhourOfDay", 1, 24, HOUR),
            Self::HourOfHalfDay => ("hourOfHalfday", 0, 11, HOUR),
            Self::ClockHour => ("clockhourOfHalfday", 1, 12, HOUR),
            Self::Minute => ("minuteOfHour", 0, 59, MINUTE),
            Self::Second => ("secondOfMinute", 0, 59, SECOND),
            _ => ("millisOfSecond", 0, 999, 1),
        };
        // 24 o'clock and 12 o'clock are 0.
        let units = |value: i64| match least {
            0 => value,
            _ => value % i64::from(greatest),
        };
        let before = units(moment.number(self));
        let after = units(checked(name, value, least, greatest)?);
        Ok(of_day + (after - before) * unit)
    }

    /// The start of the field's unit.
    fn floor(self, local: i64) -> i64 {
        let moment = Moment::new(local);
        let start = |days: i64| days.saturating_mul(DAY);
        let unit = match self {
            Self::Year | Self::YearOfEra => {
                return start(days_from_civil(moment.number(Self::Year), 1, 1));
            }
            Self::Weekyear => return start(first_monday(moment.number(Self::Weekyear))),
            Self::Month => {
                return start(local.div_euclid(DAY) - moment.number(Self::Day) + 1);
            }
            Self::Week => {
                return start(local.div_euclid(DAY) - moment.number(Self::DayOfWeek) + 1);
            }
            Self::DayOfYear | Self::Day | Self::DayOfWeek => DAY,
            Self::HalfOfDay => 12 * HOUR,
            Self::Hour | Self::ClockHourOfDay | Self::HourOfHalfDay | Self::ClockHour => HOUR,
            Self::Minute => MINUTE,
            Self::Second => SECOND,
            Self::Millisecond => 1,
        };
        local.saturating_sub(local.rem_euclid(unit))
    }
}

fn weeks_in(weekyear: i64) -> i64 {
    (first_monday(weekyear + 1) - first_monday(weekyear)) / 7
}

#[cfg(test)]
mod tests;
