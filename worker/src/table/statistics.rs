//! Statistics that Delta Lake stores for each data file, so that queries can skip files: the number of rows, and each
//! column's smallest and largest value. See "Per-file Statistics" in Delta's PROTOCOL.md.

use arrow::datatypes::{DataType, Schema};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

use logmill_trino::civil::civil_from_days;

const MICROSECONDS_PER_MILLISECOND: i64 = 1000;
const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// The statistics of a file, as JSON for an `add` action.
pub(super) fn delta_statistics(schema: &Schema, metadata: &ParquetMetaData) -> String {
    let mut smallest = Map::new();
    let mut largest = Map::new();
    let mut nulls = Map::new();
    // Arrays and maps have no statistics, and more than one column of the file.
    let mut index = 0;
    for field in schema.fields() {
        let own = index;
        index += match field.data_type() {
            DataType::Map(..) => 2,
            _ => 1,
        };
        if field.data_type().is_nested() {
            continue;
        }
        let mut bounds: Option<(Bound, Bound)> = None;
        let mut null_count = Some(0);
        let mut bounded = true;
        for row_group in metadata.row_groups() {
            let statistics = row_group.column(own).statistics();
            let row_group_nulls = statistics.and_then(Statistics::null_count_opt);
            null_count = null_count
                .zip(row_group_nulls)
                .map(|(sum, more)| sum + more);
            if row_group_nulls == Some(row_group.num_rows() as u64) {
                continue;
            }
            match statistics.and_then(|statistics| bounds_of(field.data_type(), statistics)) {
                Some((low, high)) => {
                    bounds = Some(match bounds.take() {
                        None => (low, high),
                        Some((lowest, highest)) => (lowest.lower(low), highest.higher(high)),
                    });
                }
                None => bounded = false,
            }
        }
        let bounds = bounds.filter(|_| bounded);
        let bounds = bounds.and_then(|(low, high)| {
            let low = low.into_json(Rounding::Down)?;
            Some((low, high.into_json(Rounding::Up)?))
        });
        if let Some((low, high)) = bounds {
            smallest.insert(field.name().clone(), low);
            largest.insert(field.name().clone(), high);
        }
        if let Some(count) = null_count {
            nulls.insert(field.name().clone(), json!(count));
        }
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": smallest,
        "maxValues": largest,
        "nullCount": nulls,
    })
    .to_string()
}

#[derive(Debug, PartialEq, PartialOrd)]
enum Bound {
    Integer(i64),
    Double(f64),
    Text(String),
    /// Days since 1970-01-01.
    Date(i64),
    /// Microseconds since 1970-01-01T00:00Z.
    Timestamp(i64),
}

enum Rounding {
    Down,
    Up,
}

impl Bound {
    fn lower(self, other: Self) -> Self {
        if other < self { other } else { self }
    }

    fn higher(self, other: Self) -> Self {
        if other > self { other } else { self }
    }

    /// `None` for a date or time whose year does not fit into four digits.
    fn into_json(self, rounding: Rounding) -> Option<Value> {
        Some(match self {
            Self::Integer(value) => json!(value),
            Self::Double(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::Date(days) => json!(date(days)?),
            Self::Timestamp(microseconds) => {
                // Delta's statistics have millisecond precision.
                let milliseconds = match rounding {
                    Rounding::Down => microseconds.div_euclid(MICROSECONDS_PER_MILLISECOND),
                    Rounding::Up => -(-microseconds).div_euclid(MICROSECONDS_PER_MILLISECOND),
                };
                let of_day = milliseconds.rem_euclid(MILLISECONDS_PER_DAY);
                json!(format!(
                    "{}T{:02}:{:02}:{:02}.{:03}Z",
                    date(milliseconds.div_euclid(MILLISECONDS_PER_DAY))?,
                    of_day / 3_600_000,
                    of_day / 60_000 % 60,
                    of_day / 1000 % 60,
                    of_day % 1000
                ))
            }
        })
    }
}

/// `None` outside of the years 1 to 9999. Delta's statistics hold dates and times in ISO 8601, with years of four digits. Trino
/// uses Java's parser, which fails on `10000-01-01`, and the query fails with it.
fn date(days: i64) -> Option<String> {
    let (year, month, day) = civil_from_days(days);
    (1..=9999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// The smallest and largest value. `None` if the type or the file has no bounds.
fn bounds_of(data_type: &DataType, statistics: &Statistics) -> Option<(Bound, Bound)> {
    match (data_type, statistics) {
        (DataType::Date32, Statistics::Int32(s)) => Some((
            Bound::Date((*s.min_opt()?).into()),
            Bound::Date((*s.max_opt()?).into()),
        )),
        (_, Statistics::Int32(s)) => Some((
            Bound::Integer((*s.min_opt()?).into()),
            Bound::Integer((*s.max_opt()?).into()),
        )),
        (DataType::Timestamp(..), Statistics::Int64(s)) => Some((
            Bound::Timestamp(*s.min_opt()?),
            Bound::Timestamp(*s.max_opt()?),
        )),
        (_, Statistics::Int64(s)) => {
            Some((Bound::Integer(*s.min_opt()?), Bound::Integer(*s.max_opt()?)))
        }
        (DataType::Decimal128(_, 0), Statistics::FixedLenByteArray(s)) => {
            // Larger numbers get no bounds: most JSON readers do not support them.
            let number = |bytes: &[u8]| {
                let number = i128::from_be_bytes(bytes.try_into().ok()?);
                Some(Bound::Integer(number.try_into().ok()?))
            };
            Some((number(s.min_opt()?.data())?, number(s.max_opt()?.data())?))
        }
        (_, Statistics::Float(s)) => doubles((*s.min_opt()?).into(), (*s.max_opt()?).into()),
        (_, Statistics::Double(s)) => doubles(*s.min_opt()?, *s.max_opt()?),
        (DataType::Utf8, Statistics::ByteArray(s)) => {
            let text =
                |bytes: &[u8]| Some(Bound::Text(std::str::from_utf8(bytes).ok()?.to_owned()));
            Some((text(s.min_opt()?.data())?, text(s.max_opt()?.data())?))
        }
        _ => None,
    }
}

/// JSON can't represent infinity.
fn doubles(low: f64, high: f64) -> Option<(Bound, Bound)> {
    (low.is_finite() && high.is_finite()).then_some((Bound::Double(low), Bound::Double(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rounded_outwards_to_milliseconds() {
        let json = |microseconds, rounding| {
            let json = Bound::Timestamp(microseconds).into_json(rounding);
            json.unwrap()
        };
        assert_eq!(json(1_500, Rounding::Down), "1970-01-01T00:00:00.001Z");
        assert_eq!(json(1_500, Rounding::Up), "1970-01-01T00:00:00.002Z");
        assert_eq!(json(2_000, Rounding::Up), "1970-01-01T00:00:00.002Z");
        assert_eq!(json(-1, Rounding::Down), "1969-12-31T23:59:59.999Z");
        assert_eq!(json(-1, Rounding::Up), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_readers_cannot_parse_is_no_bound() {
        let last = 253_402_300_799_999_000;
        let json = |microseconds| Bound::Timestamp(microseconds).into_json(Rounding::Up);
        assert_eq!(json(last).unwrap(), "9999-12-31T23:59:59.999Z");
        assert_eq!(json(last + 1), None);
        let json = |days| Bound::Date(days).into_json(Rounding::Down);
        assert_eq!(json(-719_162).unwrap(), "0001-01-01");
        assert_eq!(json(-719_163), None);
        assert_eq!(json(i64::from(i32::MAX)), None);
    }
}
