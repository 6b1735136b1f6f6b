//! Literals, types that values are cast to, and the parts and intervals of times.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, DateTimeField, ExactNumberInfo, Expr, ExtractSyntax, Interval,
    TimezoneInfo, TypedString, Value,
};

use super::{foreign, missing};

pub(super) fn check_value(value: &Value) -> Result<(), String> {
    match value {
        Value::Number(_, is_long) => match is_long {
            true => foreign(value, "write the number without L"),
            false => Ok(()),
        },
        Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null => Ok(()),
        Value::Placeholder(_) => Err(format!(
            "{value} is a parameter, and a rollup has no parameters: write the value itself"
        )),
        Value::HexStringLiteral(digits) => missing(value, &format!("write from_hex('{digits}')")),
        Value::DollarQuotedString(_)
        | Value::TripleSingleQuotedString(_)
        | Value::TripleDoubleQuotedString(_)
        | Value::EscapedStringLiteral(_)
        | Value::UnicodeStringLiteral(_)
        | Value::SingleQuotedByteStringLiteral(_)
        | Value::DoubleQuotedByteStringLiteral(_)
        | Value::TripleSingleQuotedByteStringLiteral(_)
        | Value::TripleDoubleQuotedByteStringLiteral(_)
        | Value::SingleQuotedRawStringLiteral(_)
        | Value::DoubleQuotedRawStringLiteral(_)
        | Value::TripleSingleQuotedRawStringLiteral(_)
        | Value::TripleDoubleQuotedRawStringLiteral(_)
        | Value::NationalStringLiteral(_)
        | Value::QuoteDelimitedStringLiteral(_)
        | Value::NationalQuoteDelimitedStringLiteral(_)
        | Value::DoubleQuotedString(_) => missing(
            value,
            "write the text in single quotes, as in 'text'. Write a quote within the text as ''",
        ),
    }
}

/// Checks a cast. `is_plain`: it has nothing besides the value and the type.
pub(super) fn check_cast(
    expr: &Expr,
    kind: &CastKind,
    value: &Expr,
    data_type: &DataType,
    is_plain: bool,
) -> Result<(), String> {
    match kind {
        CastKind::Cast | CastKind::TryCast if is_plain => {
            check_decimal(expr, value, data_type).and_then(|()| check_type(expr, data_type))
        }
        CastKind::Cast | CastKind::TryCast => foreign(expr, "write CAST(x AS type)"),
        CastKind::SafeCast => foreign(expr, &format!("write try_cast({value} AS {data_type})")),
        CastKind::DoubleColon => foreign(
            format!("{value}::{data_type}"),
            &format!("write CAST({value} AS {data_type})"),
        ),
    }
}

/// Refuses a decimal, which has most often been written to round a result.
fn check_decimal(expr: &Expr, value: &Expr, data_type: &DataType) -> Result<(), String> {
    let (DataType::Decimal(digits) | DataType::Numeric(digits) | DataType::Dec(digits)) = data_type
    else {
        return Ok(());
    };
    let advice = match digits {
        ExactNumberInfo::PrecisionAndScale(_, scale @ 1..) => format!("round({value}, {scale})"),
        _ => format!("CAST({value} AS bigint), which rounds"),
    };
    Err(format!(
        "{expr}: decimals are not supported. Write {advice}"
    ))
}

/// Checks a literal with its type, such as `DATE '2026-11-20'`.
pub(super) fn check_typed_string(expr: &Expr, typed: &TypedString) -> Result<(), String> {
    let TypedString {
        data_type,
        value,
        uses_odbc_syntax,
    } = typed;
    if *uses_odbc_syntax {
        return foreign(expr, &format!("write {data_type} {value}"));
    }
    if !matches!(value.value, Value::SingleQuotedString(_)) {
        return foreign(expr, "write the text in single quotes");
    }
    check_type(expr, data_type)
}

/// Refuses types that Athena lacks or that mean something else there. Whether a value can be cast to the type is decided
/// later, when the types of values are known.
fn check_type(expr: &Expr, data_type: &DataType) -> Result<(), String> {
    let is_available = match data_type {
        DataType::Varchar(None)
        | DataType::Boolean
        | DataType::TinyInt(None)
        | DataType::SmallInt(None)
        | DataType::Int(None)
        | DataType::Integer(None)
        | DataType::BigInt(None)
        | DataType::Double(ExactNumberInfo::None)
        | DataType::DoublePrecision
        | DataType::Real
        | DataType::JSON
        | DataType::Date => true,
        DataType::Custom(name, parameters) => {
            name.to_string().eq_ignore_ascii_case("ipaddress") && parameters.is_empty()
        }
        // A timestamp has milliseconds. Fewer digits would require rounding, which DataFusion does not do.
        DataType::Timestamp(precision, zone) => {
            let is_zone_athenas = match zone {
                TimezoneInfo::None | TimezoneInfo::WithTimeZone | TimezoneInfo::WithoutTimeZone => {
                    true
                }
                TimezoneInfo::Tz => false,
            };
            is_zone_athenas && matches!(precision, None | Some(3) | Some(6))
        }
        _ => false,
    };
    if is_available {
        return Ok(());
    }
    if data_type.to_string().to_uppercase().contains("CHAR") {
        return Err(format!(
            "{expr}: char, and varchar with a length, are not supported. Cast to varchar, and shorten the text with substr(x, 1, n)"
        ));
    }
    missing(
        expr,
        "the supported types are varchar, boolean, tinyint, smallint, integer, bigint, real, double, json, ipaddress, date, timestamp and \
         timestamp with time zone",
    )
}

/// The fields that Athena's `extract` takes. Each is also the name of a function.
const PARTS_OF_TIME: [&str; 15] = [
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "day_of_month",
    "day_of_week",
    "dow",
    "day_of_year",
    "doy",
    "year_of_week",
    "yow",
    "hour",
    "minute",
    "second",
];

pub(super) fn check_extract(
    expr: &Expr,
    field: &DateTimeField,
    syntax: &ExtractSyntax,
    value: &Expr,
) -> Result<(), String> {
    let name = field.to_string().to_ascii_lowercase();
    if !PARTS_OF_TIME.contains(&name.as_str()) {
        let parts = PARTS_OF_TIME.join(", ");
        return missing(expr, &format!("extract takes one of the fields {parts}"));
    }
    match syntax {
        ExtractSyntax::From => Ok(()),
        ExtractSyntax::Comma => foreign(expr, &format!("write extract({field} FROM {value})")),
    }
}

pub(super) fn check_interval(expr: &Expr, interval: &Interval) -> Result<(), String> {
    let Interval {
        value,
        leading_field,
        leading_precision,
        last_field,
        fractional_seconds_precision,
    } = interval;
    let is_unit = matches!(
        leading_field,
        Some(
            DateTimeField::Year
                | DateTimeField::Month
                | DateTimeField::Day
                | DateTimeField::Hour
                | DateTimeField::Minute
                | DateTimeField::Second
        )
    );
    let is_count = match &**value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
            }
            _ => false,
        },
        _ => false,
    };
    let is_plain = leading_precision.is_none()
        && last_field.is_none()
        && fractional_seconds_precision.is_none();
    match is_unit && is_count && is_plain {
        true => Ok(()),
        false => missing(
            expr,
            "write a whole number in quotes and one unit, as in INTERVAL '1' DAY. The units are YEAR, MONTH, DAY, HOUR, MINUTE \
             and SECOND",
        ),
    }
}
