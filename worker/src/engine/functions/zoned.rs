//! Timestamps with and without a time zone, as in Trino.
//!
//! The zone belongs to the type, so all values of a column have the same one. It must therefore be known when the SQL is planned.
//! Values are instants: the zone only decides which local time an instant is. A timestamp without a zone is a local time, and becomes
//! an instant as if it were in UTC, the zone of the session.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, TimestampMicrosecondArray,
    TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TIMEZONE_WILDCARD, Volatility, lit,
};
use logmill_trino::timestamp;
use logmill_trino::zone::Zone;

use super::cast::trino_name;
use super::time::from_unixtime;
use super::timestamp_type;

pub(crate) const AT_TIMEZONE: &str = "at_timezone";
const WITH_TIMEZONE: &str = "with_timezone";
const FROM_UNIXTIME: &str = "from_unixtime";
/// Name of the call that a literal becomes. Only a quoted identifier could spell it.
pub(crate) const TIMESTAMP_LITERAL: &str = "timestamp literal";

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// The zone of a type; UTC for dates and for timestamps without a zone.
pub(crate) fn zone_of(data_type: &DataType) -> Result<Zone> {
    match data_type {
        DataType::Timestamp(_, Some(name)) => {
            Zone::named(name).map_err(|error| DataFusionError::Execution(error.to_string()))
        }
        _ => Ok(Zone::UTC),
    }
}

/// The name of a type's zone, if it is not UTC.
pub(crate) fn other_zone(data_type: &DataType) -> Option<&str> {
    match data_type {
        DataType::Timestamp(_, Some(name)) => {
            let is_utc = Zone::named(name).is_ok_and(|zone| zone.is_utc());
            (!is_utc).then_some(&**name)
        }
        _ => None,
    }
}

/// The types of instants, local times and days, in rollups and in stored tables. An argument is coerced to the first of these
/// types that it can become: a day stays a day, a zone is kept, and instants are in milliseconds.
pub(super) fn instant_types() -> Vec<DataType> {
    use TimeUnit::{Microsecond, Millisecond};
    let zoned = |unit, zone: &str| DataType::Timestamp(unit, Some(zone.into()));
    vec![
        DataType::Date32,
        // Before the zoned types, because a local time can become an instant.
        DataType::Timestamp(Millisecond, None),
        DataType::Timestamp(Microsecond, None),
        zoned(Millisecond, TIMEZONE_WILDCARD),
        zoned(Microsecond, TIMEZONE_WILDCARD),
        timestamp_type(),
        zoned(Microsecond, "UTC"),
    ]
}

/// Days and timestamps in milliseconds. A day is its midnight.
pub(super) fn milliseconds(array: &ArrayRef) -> Result<TimestampMillisecondArray> {
    Ok(match array.data_type() {
        // Any `Date32` in milliseconds fits into an `i64`.
        DataType::Date32 => array
            .as_primitive::<Date32Type>()
            .unary(|day| i64::from(day) * MILLISECONDS_PER_DAY),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().clone()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => array
            .as_primitive::<TimestampMicrosecondType>()
            .unary(|time| time.div_euclid(1000)),
        DataType::Timestamp(_, zone) => {
            let to = DataType::Timestamp(TimeUnit::Millisecond, zone.clone());
            cast(array, &to)?
                .as_primitive::<TimestampMillisecondType>()
                .clone()
        }
        other => return exec_err!("expected a timestamp, got {other}"),
    })
}

/// The local times of instants, in milliseconds.
pub(super) fn local_milliseconds(array: &ArrayRef) -> Result<TimestampMillisecondArray> {
    let zone = zone_of(array.data_type())?;
    let instants = milliseconds(array)?;
    Ok(match zone.is_utc() {
        true => instants,
        false => instants.unary(|instant| zone.local(instant)),
    })
}

/// The local days of instants.
pub(super) fn local_days(array: &ArrayRef) -> Result<Date32Array> {
    if array.data_type() == &DataType::Date32 {
        return Ok(array.as_primitive::<Date32Type>().clone());
    }
    let local = local_milliseconds(array)?;
    Ok(local.unary(|local| local.div_euclid(MILLISECONDS_PER_DAY) as i32))
}

/// Timestamps in milliseconds as the type, whose unit may be another one.
pub(super) fn of_milliseconds(
    times: TimestampMillisecondArray,
    data_type: &DataType,
) -> Result<ArrayRef> {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times: TimestampMicrosecondArray = times.unary(|time| time.saturating_mul(1000));
            Ok(Arc::new(times.with_data_type(data_type.clone())))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Ok(Arc::new(times.with_data_type(data_type.clone())))
        }
        other => exec_err!("expected a timestamp, got {other}"),
    }
}

/// The local times of instants, as timestamps without a zone in the same unit.
pub(super) fn without_zone(array: &ArrayRef) -> Result<ArrayRef> {
    let zone = zone_of(array.data_type())?;
    Ok(match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let local = |time: i64| time.saturating_add(1000 * zone.offset(time.div_euclid(1000)));
            let times: TimestampMicrosecondArray = times.unary(local);
            Arc::new(times)
        }
        _ => {
            let times: TimestampMillisecondArray = local_milliseconds(array)?;
            let untyped = DataType::Timestamp(TimeUnit::Millisecond, None);
            Arc::new(times.with_data_type(untyped))
        }
    })
}

/// A function whose result has a zone that one of its arguments names.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Zoned {
    name: &'static str,
    signature: Signature,
}

pub(super) fn functions() -> [Zoned; 4] {
    let function = |name, signature| Zoned { name, signature };
    let any = |count| Signature::any(count, Volatility::Immutable);
    [
        function(AT_TIMEZONE, any(2)),
        function(WITH_TIMEZONE, any(2)),
        function(
            FROM_UNIXTIME,
            Signature::variadic_any(Volatility::Immutable),
        ),
        function(TIMESTAMP_LITERAL, any(1)),
    ]
}

/// `at_timezone(x, 'zone')`.
pub(crate) fn at_timezone(expr: Expr, zone: &str) -> Expr {
    let [function, ..] = functions();
    ScalarUDF::new_from_impl(function).call(vec![expr, lit(zone)])
}

impl ScalarUDFImpl for Zoned {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!(
            "the type of {}() depends on the values of its arguments",
            self.name
        )
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let data_type = self.data_type(&args)?;
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let to = args.return_field.data_type();
        if self.name == TIMESTAMP_LITERAL {
            return literal_value(&args.args).map(ColumnarValue::Scalar);
        }
        let [value, ..] = args.args.as_slice() else {
            return exec_err!("{}() needs an argument", self.name);
        };
        let value = value.to_array(args.number_rows)?;
        let result = match self.name {
            AT_TIMEZONE => of_milliseconds_or_micros(&value, to)?,
            WITH_TIMEZONE => {
                let zone = zone_of(to)?;
                let local = milliseconds(&value)?;
                let instants = local.unary(|local| zone.instant(local, local));
                of_milliseconds(instants, to)?
            }
            _ => {
                let seconds: Float64Array = cast(&value, &DataType::Float64)?
                    .as_primitive::<Float64Type>()
                    .clone();
                of_milliseconds(from_unixtime(&seconds)?, to)?
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}

/// The same instants with another zone. Only the type changes.
fn of_milliseconds_or_micros(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = array.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(times.with_data_type(to.clone())))
        }
        _ => of_milliseconds(milliseconds(array)?, to),
    }
}

impl Zoned {
    fn data_type(&self, args: &ReturnFieldArgs) -> Result<DataType> {
        let types: Vec<&DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type())
            .collect();
        let zone = |place: usize| self.zone(args.scalar_arguments.get(place).copied().flatten());
        match (self.name, types.as_slice()) {
            (TIMESTAMP_LITERAL, _) => match args.scalar_arguments {
                [Some(text)] => Ok(literal(text)?.data_type()),
                _ => plan_err!("TIMESTAMP needs a text in quotes"),
            },
            (AT_TIMEZONE, [DataType::Timestamp(unit, _), _]) => Ok(DataType::Timestamp(
                milliseconds_or_micros(*unit),
                Some(zone(1)?),
            )),
            (WITH_TIMEZONE, [DataType::Timestamp(unit, None), _]) => Ok(DataType::Timestamp(
                milliseconds_or_micros(*unit),
                Some(zone(1)?),
            )),
            (AT_TIMEZONE | WITH_TIMEZONE, [DataType::Null, _]) => {
                Ok(DataType::Timestamp(TimeUnit::Millisecond, Some(zone(1)?)))
            }
            (FROM_UNIXTIME, [seconds]) if is_number(seconds) => Ok(timestamp_type()),
            (FROM_UNIXTIME, [seconds, _]) if is_number(seconds) => {
                Ok(DataType::Timestamp(TimeUnit::Millisecond, Some(zone(1)?)))
            }
            (FROM_UNIXTIME, [seconds, ..]) if !is_number(seconds) => plan_err!(
                "from_unixtime takes double, not {}: write try_cast(… AS double)",
                trino_name(seconds)
            ),
            (FROM_UNIXTIME, _) => {
                plan_err!("from_unixtime takes a number of seconds, and may take a time zone")
            }
            (WITH_TIMEZONE, [DataType::Timestamp(..), _]) => plan_err!(
                "with_timezone takes a timestamp without a time zone: write x AT TIME ZONE 'zone' to see an instant in another zone"
            ),
            (name, [value, ..]) => plan_err!(
                "{name} takes a timestamp, not {}: write from_iso8601_timestamp(…) for a text",
                trino_name(value)
            ),
            (name, []) => plan_err!("{name} takes a timestamp and a time zone"),
        }
    }

    fn zone(&self, literal: Option<&ScalarValue>) -> Result<Arc<str>> {
        match literal.and_then(|literal| literal.try_as_str()).flatten() {
            Some(name) => match Zone::named(name) {
                Ok(zone) => Ok(zone.to_string().into()),
                Err(error) => plan_err!("{error}"),
            },
            None => plan_err!("{}: the time zone must be a literal", self.name),
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.is_null()
}

fn milliseconds_or_micros(unit: TimeUnit) -> TimeUnit {
    match unit {
        TimeUnit::Microsecond => TimeUnit::Microsecond,
        _ => TimeUnit::Millisecond,
    }
}

fn literal_value(args: &[ColumnarValue]) -> Result<ScalarValue> {
    match args {
        [ColumnarValue::Scalar(text)] => literal(text),
        _ => exec_err!("TIMESTAMP needs a text in quotes"),
    }
}

fn literal(text: &ScalarValue) -> Result<ScalarValue> {
    let Some(text) = text.try_as_str().flatten() else {
        return plan_err!("TIMESTAMP needs a text in quotes");
    };
    let literal = match timestamp::literal(text) {
        Ok(literal) => literal,
        Err(error) => return plan_err!("{error}"),
    };
    let zone = literal.zone.map(|zone| zone.to_string().into());
    Ok(match literal.digits {
        6 => ScalarValue::TimestampMicrosecond(Some(literal.units), zone),
        _ => ScalarValue::TimestampMillisecond(Some(literal.units), zone),
    })
}
