//! `from_iso8601_timestamp`, which is Joda-Time's `ISODateTimeFormat.dateTimeParser()`.
//!
//! Trino returns a `timestamp(3) with time zone`. This module returns only the instant: the session's time zone is UTC,
//! and the next steps of a rollup (`date_trunc`, comparing, storing) work in UTC.

use std::fmt;

use super::civil::{DAY, HOUR, MINUTE, SECOND, days_from_civil, days_in_month, first_monday};

/// The reason that a text is not a timestamp. `Display` gives Trino's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampError<'a> {
    /// The text does not match the grammar.
    Malformed {
        /// All of the text.
        text: &'a str,
        /// The byte at which the parser gave up.
        at: usize,
    },
    /// The form is valid, but the date or the time of day does not exist.
    OutOfRange {
        /// All of the text.
        text: &'a str,
        /// Joda-Time's name of the field.
        field: &'static str,
        /// The value in the text.
        value: i32,
        /// The lowest legal value.
        least: i32,
        /// The highest legal value.
        greatest: i32,
    },
    /// An offset, in milliseconds, that Joda-Time parses but that is not a time zone in Trino: beyond 14 hours, or not in
    /// whole minutes.
    UnknownZone(i32),
    /// Further from 1970 than Trino can store in a timestamp with time zone: 2^51 ms, about 71,000 years.
    Overflow(i64),
}

impl fmt::Display for TimestampError<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Malformed { text, at } => malformed(formatter, text, at),
            Self::OutOfRange {
                text,
                field,
                value,
                least,
                greatest,
            } => write!(
                formatter,
                "Cannot parse \"{text}\": Value {value} for {field} must be in the range [{least},{greatest}]"
            ),
            Self::UnknownZone(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                let rest = i64::from(offset).abs();
                let (hours, minutes) = (rest / HOUR, rest % HOUR / MINUTE);
                write!(
                    formatter,
                    "Time zone not supported: {sign}{hours:02}:{minutes:02}"
                )?;
                if rest % MINUTE != 0 {
                    write!(formatter, ":{:02}", rest % MINUTE / SECOND)?;
                }
                if rest % SECOND != 0 {
                    write!(formatter, ".{:03}", rest % SECOND)?;
                }
                Ok(())
            }
            Self::Overflow(millis) => write!(formatter, "Millis overflow: {millis}"),
        }
    }
}

impl std::error::Error for TimestampError<'_> {}

/// Joda-Time's `FormatUtils.createErrorMessage`, which shows 32 characters after the fault and counts in UTF-16 units.
fn malformed(formatter: &mut fmt::Formatter<'_>, text: &str, at: usize) -> fmt::Result {
    let mut units = 0;
    let mut cut = None;
    for (index, character) in text.char_indices() {
        units += character.len_utf16();
        if units <= at + 32 {
            cut = Some(index + character.len_utf8());
        }
    }
    let (sample, dots) = match cut {
        Some(cut) if units > at + 35 => (&text[..cut], "..."),
        _ => (text, ""),
    };
    write!(formatter, "Invalid format: \"{sample}{dots}\"")?;
    if at == 0 {
        Ok(())
    } else if at >= text.len() {
        formatter.write_str(" is too short")
    } else {
        write!(
            formatter,
            " is malformed at \"{}{dots}\"",
            sample.get(at..).unwrap_or_default()
        )
    }
}

/// `from_iso8601_timestamp`: milliseconds since 1970-01-01T00:00:00Z. Digits below a millisecond are truncated.
///
/// Accepts what Joda-Time accepts:
/// - a date: `2026`, `2026-11`, `2026-11-22`, `2026-W47-7` or `2026-326`, optionally with a `T` and a time of day
/// - a time of day alone, which is on 1970-01-01: `T10:30`
/// - a fraction of one to nine digits after a `.` or `,`, on the last of hour, minute or second
/// - an offset (`Z`, `+hh`, `+hhmm`, `+hh:mm`), only after a `T`; the default is UTC
/// - fewer digits than the form has, a signed year of up to nine digits, and lowercase letters
///
/// # Errors
/// For any other text, a value out of range, or an unknown time zone. The query fails in Trino too.
pub fn from_iso8601_timestamp(text: &str) -> Result<i64, TimestampError<'_>> {
    if let Some(millis) = usual_form(text.as_bytes()) {
        return Ok(millis);
    }
    let mut fields = Fields::default();
    let end = one_of(
        &mut fields,
        text.as_bytes(),
        0,
        &[time_alone, date_and_time],
        Otherwise::Fail,
    );
    let at = end.unwrap_or_else(|at| at);
    if end != Ok(text.len()) {
        return Err(TimestampError::Malformed { text, at });
    }
    let local = fields.local_millis().map_err(|fault| fault.of(text))?;
    instant_of(local, fields.offset_millis)
}

/// The instant of a local time with this offset, if Trino has such an instant and such a zone.
pub(crate) fn instant_of<'a>(local: i64, offset: i32) -> Result<i64, TimestampError<'a>> {
    let instant = local.saturating_sub(i64::from(offset));
    if i64::from(offset) % MINUTE != 0 || i64::from(offset).abs() > 14 * HOUR {
        return Err(TimestampError::UnknownZone(offset));
    }
    if instant << 12 >> 12 != instant {
        return Err(TimestampError::Overflow(instant));
    }
    Ok(instant)
}

/// `from_iso8601_date`: days since 1970-01-01. The text is a date without a time of day, in one of the forms of
/// [`from_iso8601_timestamp`].
///
/// # Errors
/// For any other text, or a value out of range.
pub fn from_iso8601_date(text: &str) -> Result<i64, TimestampError<'_>> {
    let mut fields = Fields::default();
    let end = one_of(&mut fields, text.as_bytes(), 0, &DATES, Otherwise::Fail);
    if end != Ok(text.len()) {
        let at = end.unwrap_or_else(|at| at);
        return Err(TimestampError::Malformed { text, at });
    }
    fields.local_days().map_err(|fault| fault.of(text))
}

/// Reads an offset as `Z` or `+hh:mm`. Returns the milliseconds and the index after it, or else the index of the fault.
pub(crate) fn offset_at(text: &str, at: usize) -> Result<(i32, usize), usize> {
    let mut fields = Fields::default();
    let end = offset(&mut fields, text.as_bytes(), at)?;
    Ok((fields.offset_millis, end))
}

/// Joda-Time's `ISODateTimeFormat.date()`, the slow path of a cast to DATE: a signed year of up to nine digits, a month
/// and a day. Returns days since 1970-01-01, possibly more than a DATE holds.
pub(crate) fn epoch_days(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let mut fields = Fields::default();
    let at = year(&mut fields, bytes, 0).ok()?;
    let at = month(&mut fields, bytes, at).ok()?;
    let at = day_of_month(&mut fields, bytes, at).ok()?;
    if at != bytes.len() {
        return None;
    }
    fields.local_days().ok()
}

/// Fast path for `YYYY-MM-DDTHH:MM:SS[.f{1,9}]Z`, the form that load balancers write. `None` means that the
/// grammar must decide whether the text is valid.
fn usual_form(bytes: &[u8]) -> Option<i64> {
    let (head, tail) = bytes.split_first_chunk::<19>()?;
    let separators = [head[4], head[7], head[10], head[13], head[16]];
    if separators != *b"--T::" {
        return None;
    }
    let year = pair(head, 0)? * 100 + pair(head, 2)?;
    let (month, day) = (pair(head, 5)?, pair(head, 8)?);
    let (hour, minute, second) = (pair(head, 11)?, pair(head, 14)?, pair(head, 17)?);
    let legal = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let fraction = match tail {
        [b'Z'] => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            let mut millis = 0;
            for (digit, weight) in digits.iter().zip([100, 10, 1, 0, 0, 0, 0, 0, 0]) {
                if !digit.is_ascii_digit() {
                    return None;
                }
                millis += i64::from(digit - b'0') * weight;
            }
            millis
        }
        _ => return None,
    };
    legal.then(|| {
        days_from_civil(year, month, day) * DAY
            + hour * HOUR
            + minute * MINUTE
            + second * SECOND
            + fraction
    })
}

/// Parses the timestamps of log lines. Remembers the last minute, because many lines share it.
#[derive(Debug, Default)]
pub struct Timestamps {
    /// The last minute, as text: `2026-11-20T10:02:`.
    minute: [u8; 17],
    minute_millis: i64,
}

impl Timestamps {
    /// Parses a time as AWS writes it, in milliseconds since the epoch. Returns `None` also for the shorter forms of ISO
    /// 8601, because any small number would be accepted as a year.
    pub fn read(&mut self, text: &str) -> Option<i64> {
        let bytes = text.as_bytes();
        if let Some((minute, [s0, s1, b'.', m0, m1, m2, u0, u1, u2, b'Z'])) =
            bytes.split_first_chunk()
            && minute == &self.minute
            && [s0, s1, m0, m1, m2, u0, u1, u2]
                .iter()
                .all(|digit| digit.is_ascii_digit())
            && *s0 < b'6'
        {
            let number = |digits: &[&u8]| {
                digits
                    .iter()
                    .fold(0, |number, digit| 10 * number + i64::from(**digit - b'0'))
            };
            return Some(self.minute_millis + number(&[s0, s1]) * SECOND + number(&[m0, m1, m2]));
        }
        if bytes.len() < 19 || bytes[4] != b'-' || bytes[10] != b'T' {
            return None;
        }
        let millis = from_iso8601_timestamp(text).ok()?;
        if let (Some(minute), Some(_)) = (bytes.first_chunk(), usual_form(bytes)) {
            self.minute = *minute;
            self.minute_millis = millis - millis.rem_euclid(MINUTE);
        }
        Some(millis)
    }
}

fn pair(bytes: &[u8; 19], at: usize) -> Option<i64> {
    let (tens, ones) = (bytes[at], bytes[at + 1]);
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| i64::from((tens - b'0') * 10 + ones - b'0'))
}

/// The fields that the grammar has read so far.
#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    year: Option<i32>,
    weekyear: Option<i32>,
    month: Option<i32>,
    day_of_month: Option<i32>,
    day_of_year: Option<i32>,
    week: Option<i32>,
    day_of_week: Option<i32>,
    hour: Option<i32>,
    minute: Option<i32>,
    second: Option<i32>,
    /// The fraction of the last of hour, minute and second.
    fraction_millis: i64,
    offset_millis: i32,
}

/// A field whose value is out of range.
pub(crate) struct Fault {
    pub(crate) field: &'static str,
    pub(crate) value: i32,
    pub(crate) least: i32,
    pub(crate) greatest: i32,
}

impl Fault {
    pub(crate) fn of(self, text: &str) -> TimestampError<'_> {
        TimestampError::OutOfRange {
            text,
            field: self.field,
            value: self.value,
            least: self.least,
            greatest: self.greatest,
        }
    }
}

pub(crate) fn checked(
    field: &'static str,
    value: i32,
    least: i32,
    greatest: i32,
) -> Result<i64, Fault> {
    if (least..=greatest).contains(&value) {
        Ok(i64::from(value))
    } else {
        Err(Fault {
            field,
            value,
            least,
            greatest,
        })
    }
}

impl Fields {
    /// Checks the largest field first, as Joda-Time does: the message names the first field that is wrong.
    fn local_millis(&self) -> Result<i64, Fault> {
        // The first and the last of these years don't fit as a whole. The caller reports their saturated value as an
        // overflow.
        let midnight = self.local_days()?.saturating_mul(DAY);
        let mut millis = self.fraction_millis;
        millis += checked("hourOfDay", self.hour.unwrap_or(0), 0, 23)? * HOUR;
        millis += checked("minuteOfHour", self.minute.unwrap_or(0), 0, 59)? * MINUTE;
        millis += checked("secondOfMinute", self.second.unwrap_or(0), 0, 59)? * SECOND;
        Ok(midnight.saturating_add(millis))
    }

    fn local_days(&self) -> Result<i64, Fault> {
        // The years that an `i64` of milliseconds covers.
        const YEARS: (i32, i32) = (-292_275_055, 292_278_994);
        if let Some(weekyear) = self.weekyear {
            checked("weekyear", weekyear.abs(), YEARS.0 + 1, YEARS.1 - 1)?;
            let monday = first_monday(i64::from(weekyear));
            let weeks = (first_monday(i64::from(weekyear) + 1) - monday) / 7;
            // Joda-Time checks whether the year has a 53rd week only if the text asks for one.
            let greatest = if self.week > Some(52) {
                weeks as i32
            } else {
                52
            };
            let week = checked("weekOfWeekyear", self.week.unwrap_or(1), 1, greatest)?;
            let day = checked("dayOfWeek", self.day_of_week.unwrap_or(1), 1, 7)?;
            return Ok(monday + (week - 1) * 7 + day - 1);
        }
        let year = checked("year", self.year.unwrap_or(1970), YEARS.0, YEARS.1)?;
        if let Some(day) = self.day_of_year {
            let days = days_from_civil(year + 1, 1, 1) - days_from_civil(year, 1, 1);
            let day = checked("dayOfYear", day, 1, days as i32)?;
            return Ok(days_from_civil(year, 1, 1) + day - 1);
        }
        let month = checked("monthOfYear", self.month.unwrap_or(1), 1, 12)?;
        let days = days_in_month(year, month);
        let day = checked("dayOfMonth", self.day_of_month.unwrap_or(1), 1, days as i32)?;
        Ok(days_from_civil(year, month, day))
    }
}

// The grammar, one function per element. Each returns the index after the text that it has read, or the index at which it
// failed, which the message shows.

type Progress = Result<usize, usize>;
type Element = fn(&mut Fields, &[u8], usize) -> Progress;

#[derive(PartialEq, Eq)]
enum Otherwise {
    Fail,
    Nothing,
}

/// Joda-Time's `MatchingParser`: takes the alternative that reads furthest. The first one wins a tie.
fn one_of(
    fields: &mut Fields,
    text: &[u8],
    at: usize,
    elements: &[Element],
    otherwise: Otherwise,
) -> Progress {
    let before = *fields;
    let (mut furthest, mut fault) = (at, at);
    for element in elements {
        let mut attempt = before;
        match element(&mut attempt, text, at) {
            Ok(end) if end > furthest => {
                furthest = end;
                *fields = attempt;
            }
            Ok(_) => {}
            Err(end) => fault = fault.max(end),
        }
    }
    if furthest > at || otherwise == Otherwise::Nothing {
        Ok(furthest)
    } else {
        Err(fault)
    }
}

fn optional(fields: &mut Fields, text: &[u8], at: usize, element: Element) -> Progress {
    one_of(fields, text, at, &[element], Otherwise::Nothing)
}

fn time_alone(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = literal(text, at, b'T')?;
    let at = time(fields, text, at)?;
    optional(fields, text, at, offset)
}

const DATES: [Element; 3] = [calendar_date, week_date, ordinal_date];

fn date_and_time(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = one_of(fields, text, at, &DATES, Otherwise::Fail)?;
    optional(fields, text, at, |fields, text, at| {
        let at = literal(text, at, b'T')?;
        let at = optional(fields, text, at, time)?;
        optional(fields, text, at, offset)
    })
}

fn calendar_date(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = year(fields, text, at)?;
    optional(fields, text, at, |fields, text, at| {
        let at = month(fields, text, at)?;
        optional(fields, text, at, day_of_month)
    })
}

fn week_date(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = signed_number(text, at, &mut fields.weekyear)?;
    // `-W` is one literal, so it fails as a whole.
    let dash = at;
    let at = literal(text, dash, b'-')
        .and_then(|at| literal(text, at, b'W'))
        .map_err(|_| dash)?;
    let at = number(text, at, 2, &mut fields.week)?;
    optional(fields, text, at, |fields, text, at| {
        let at = literal(text, at, b'-')?;
        number(text, at, 1, &mut fields.day_of_week)
    })
}

fn ordinal_date(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = year(fields, text, at)?;
    let at = literal(text, at, b'-')?;
    number(text, at, 3, &mut fields.day_of_year)
}

fn year(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    signed_number(text, at, &mut fields.year)
}

fn month(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = literal(text, at, b'-')?;
    number(text, at, 2, &mut fields.month)
}

fn day_of_month(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = literal(text, at, b'-')?;
    number(text, at, 2, &mut fields.day_of_month)
}

fn time(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = number(text, at, 2, &mut fields.hour)?;
    one_of(
        fields,
        text,
        at,
        &[minute_and_on, |fields, text, at| {
            fraction(fields, text, at, HOUR)
        }],
        Otherwise::Nothing,
    )
}

fn minute_and_on(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = literal(text, at, b':')?;
    let at = number(text, at, 2, &mut fields.minute)?;
    let elements: [Element; 2] = [second_and_on, |fields, text, at| {
        fraction(fields, text, at, MINUTE)
    }];
    one_of(fields, text, at, &elements, Otherwise::Nothing)
}

fn second_and_on(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    let at = literal(text, at, b':')?;
    let at = number(text, at, 2, &mut fields.second)?;
    optional(fields, text, at, |fields, text, at| {
        fraction(fields, text, at, SECOND)
    })
}

/// One to nine digits of a fraction of a unit that is `unit_millis` long.
fn fraction(fields: &mut Fields, text: &[u8], at: usize, unit_millis: i64) -> Progress {
    let at = literal(text, at, b'.').or_else(|_| literal(text, at, b','))?;
    let digits = digits(text, at, 9);
    if digits.is_empty() {
        return Err(at);
    }
    // In tenths of a millisecond. Each digit's weight is truncated separately, as in Joda-Time, which loses a little of
    // `.999999` hours.
    let mut weight = unit_millis * 10;
    let mut tenths = 0;
    for digit in digits {
        weight /= 10;
        tenths += i64::from(digit - b'0') * weight;
    }
    fields.fraction_millis = tenths / 10;
    Ok(at + digits.len())
}

/// `Z`, or a sign and `hh[mm[ss[SSS]]]`, with all or none of the separators of `hh:mm:ss.SSS`.
fn offset(fields: &mut Fields, text: &[u8], at: usize) -> Progress {
    if let Ok(at) = literal(text, at, b'Z') {
        fields.offset_millis = 0;
        return Ok(at);
    }
    let sign = match text.get(at) {
        Some(b'+') if at + 1 < text.len() => 1,
        Some(b'-') if at + 1 < text.len() => -1,
        _ => return Err(at),
    };
    let (mut at, mut millis) = two_digits(text, at + 1, 23, HOUR)?;
    let separated = text.get(at) == Some(&b':');
    for unit_millis in [MINUTE, SECOND] {
        let start = if separated {
            literal(text, at, b':')
        } else {
            Ok(at)
        };
        let Ok(start) = start else { break };
        if !separated && digits(text, start, 1).is_empty() {
            break;
        }
        let (end, part) = two_digits(text, start, 59, unit_millis)?;
        (at, millis) = (end, millis + part);
        if unit_millis == SECOND {
            at = offset_fraction(text, at, separated, &mut millis)?;
        }
    }
    fields.offset_millis = sign * millis as i32;
    Ok(at)
}

/// One to three digits of a fraction of a second.
fn offset_fraction(text: &[u8], at: usize, separated: bool, millis: &mut i64) -> Progress {
    let start = match text.get(at) {
        Some(b'.' | b',') if separated => at + 1,
        Some(_) if !separated => at,
        _ => return Ok(at),
    };
    let digits = digits(text, start, 3);
    if digits.is_empty() {
        return if separated { Err(start) } else { Ok(at) };
    }
    for (digit, weight) in digits.iter().zip([100, 10, 1]) {
        *millis += i64::from(digit - b'0') * weight;
    }
    Ok(start + digits.len())
}

fn two_digits(
    text: &[u8],
    at: usize,
    greatest: i64,
    unit_millis: i64,
) -> Result<(usize, i64), usize> {
    match digits(text, at, 2) {
        [tens, ones] => {
            let value = i64::from((tens - b'0') * 10 + ones - b'0');
            if value > greatest {
                Err(at)
            } else {
                Ok((at + 2, value * unit_millis))
            }
        }
        _ => Err(at),
    }
}

/// Matches one character, ignoring ASCII case.
fn literal(text: &[u8], at: usize, expected: u8) -> Progress {
    match text.get(at) {
        Some(byte) if byte.eq_ignore_ascii_case(&expected) => Ok(at + 1),
        _ => Err(at),
    }
}

/// Reads up to `length` digits. Accepts fewer, because Joda-Time uses a field's width only for printing.
fn number(text: &[u8], at: usize, length: usize, value: &mut Option<i32>) -> Progress {
    let digits = digits(text, at, length);
    if digits.is_empty() {
        return Err(at);
    }
    *value = Some(
        digits
            .iter()
            .fold(0, |value, digit| value * 10 + i32::from(digit - b'0')),
    );
    Ok(at + digits.len())
}

/// Reads an optional sign and up to nine digits, which can't overflow.
fn signed_number(text: &[u8], at: usize, value: &mut Option<i32>) -> Progress {
    let sign = match text.get(at) {
        Some(b'-') => -1,
        Some(b'+') => 1,
        _ => return number(text, at, 9, value),
    };
    let end = number(text, at + 1, 9, value).map_err(|_| at)?;
    *value = value.map(|value| sign * value);
    Ok(end)
}

fn digits(text: &[u8], at: usize, length: usize) -> &[u8] {
    let rest = text.get(at..).unwrap_or_default();
    let count = rest
        .iter()
        .take(length)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    &rest[..count]
}
