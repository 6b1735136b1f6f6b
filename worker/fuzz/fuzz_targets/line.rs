//! The line parser. The input is text: its second line is read after the first, and alone.
//!
//! No line panics; whether a line is rejected depends neither on the columns nor on the line before; and each column
//! alone has the value that it has among all columns.

#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use libfuzzer_sys::fuzz_target;
use logmill::format::{FORMATS, LogFormat, Pushed, Rejection, Scan, ScanColumn, Shape, recognise};
use logmill_shared::{LogFile, NamedAs};
use logmill_trino::time_format::TimeFormat;
use logmill_trino::zone::Zone;
use logmill_trino::{calendar, cast, iso8601, timestamp, url};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (before, line) = text.split_once('\n').unwrap_or(("", &text));
    for (format, columns) in FORMATS.into_iter().zip(&*COLUMNS) {
        check_scan(format, &Shape::Text, columns, before, line);
        check_scan(format, &Shape::Json, columns, before, line);
        // A line of a W3C log means what the lines before it say.
        let mut w3c = scan(format, &Shape::W3c, columns);
        let _ = (w3c.push(before), w3c.push(line), w3c.finish());
    }
    for part in line.split('"').chain(line.split(' ')) {
        check_functions(part);
    }
    let _ = recognise(NamedAs::Unknown, None, text.as_bytes());
    let file = LogFile::new(line);
    let _ = (file.shard(), file.named_as(), file.day());
});

/// What the scans read, for each format.
static COLUMNS: LazyLock<Vec<Vec<ScanColumn>>> =
    LazyLock::new(|| FORMATS.into_iter().map(columns_of).collect());

/// Columns that are read alone, of each line.
const COLUMNS_ALONE: usize = 3;

/// Parameters that are read as texts, and the one that is read as a number too.
const PARAMETERS: [&str; 4] = ["e", "", "uid", "amt"];
const AMOUNT: &str = "amt";

fn columns_of(format: &'static LogFormat) -> Vec<ScanColumn> {
    let mut columns: Vec<ScanColumn> = format.columns.iter().map(ScanColumn::Column).collect();
    columns.extend([
        ScanColumn::Time,
        ScanColumn::Day,
        ScanColumn::LineNumber,
        ScanColumn::LineText,
    ]);
    columns.extend(PARAMETERS.map(|name| ScanColumn::UrlParameter(name.to_owned())));
    columns.push(ScanColumn::UrlDouble(AMOUNT.to_owned()));
    columns.push(ScanColumn::UrlBigint(AMOUNT.to_owned()));
    columns
}

fn scan(format: &'static LogFormat, shape: &Shape, columns: &[ScanColumn]) -> Scan {
    Scan::new(format, shape, columns, &LogFile::new("s3://logs/a"))
}

/// The line's row, or why it has none.
fn row(
    format: &'static LogFormat,
    shape: &Shape,
    columns: &[ScanColumn],
    line: &str,
) -> Result<(Pushed, RecordBatch), Rejection> {
    let mut scan = scan(format, shape, columns);
    let time = scan.push(line)?;
    Ok((time, scan.finish()))
}

fn check_scan(
    format: &'static LogFormat,
    shape: &Shape,
    columns: &[ScanColumn],
    before: &str,
    line: &str,
) {
    let all = row(format, shape, columns, line);

    let mut scan = scan(format, shape, columns);
    let _ = scan.push(before);
    let time = scan.push(line);
    let expected = all.as_ref().map(|(time, _)| *time).map_err(|why| *why);
    assert_eq!(time, expected, "after another line");
    let after = scan.finish();
    if let Ok((_, all)) = &all {
        for (index, column) in columns.iter().enumerate() {
            let after = after.column(index);
            let last = after.slice(after.len() - 1, 1);
            let is_same = *all.column(index) == last || *column == ScanColumn::LineNumber;
            assert!(is_same, "{column:?} after another line");
        }
        check_parameters(format, columns, all);
    }

    // Each column would take most of the time.
    let mut choice = DefaultHasher::new();
    line.hash(&mut choice);
    for which in 0..COLUMNS_ALONE {
        which.hash(&mut choice);
        let index = (choice.finish() % columns.len() as u64) as usize;
        let alone = row(format, shape, &columns[index..=index], line);
        let time = alone.as_ref().map(|(time, _)| *time).map_err(|why| *why);
        assert_eq!(time, expected, "for {:?} alone", columns[index]);
        if let (Ok((_, all)), Ok((_, alone))) = (&all, &alone) {
            assert_eq!(
                all.column(index),
                alone.column(0),
                "{:?} alone",
                columns[index]
            );
        }
    }
}

/// The scan's parameters are what the functions make of the URL.
fn check_parameters(format: &LogFormat, columns: &[ScanColumn], row: &RecordBatch) {
    let value = |wanted: &ScanColumn| -> &ArrayRef {
        let index = columns.iter().position(|column| column == wanted);
        row.column(index.expect("a column that is read"))
    };
    let Some(url) = format.url_column else {
        return;
    };
    let url = format.columns.iter().find(|column| column.name == url);
    let url = value(&ScanColumn::Column(url.expect("the URL's column")));
    let url = text(url);
    for name in PARAMETERS {
        let expected = url.and_then(|url| url::extract_parameter(url, name));
        let scanned = value(&ScanColumn::UrlParameter(name.to_owned()));
        assert_eq!(text(scanned), expected.as_deref(), "{name} of {url:?}");
    }
    let amount = url.and_then(|url| url::extract_parameter(url, AMOUNT));
    let amount = amount.as_deref();
    let double = value(&ScanColumn::UrlDouble(AMOUNT.to_owned())).as_primitive::<Float64Type>();
    let double = double.is_valid(0).then(|| double.value(0).to_bits());
    let expected = amount.and_then(|amount| cast::varchar_to_double(amount).ok());
    assert_eq!(double, expected.map(f64::to_bits), "{amount:?}");
    let bigint = value(&ScanColumn::UrlBigint(AMOUNT.to_owned())).as_primitive::<Int64Type>();
    let bigint = bigint.is_valid(0).then(|| bigint.value(0));
    let expected = amount.and_then(|amount| cast::varchar_to_bigint(amount).ok());
    assert_eq!(bigint, expected, "{amount:?}");
}

fn text(column: &ArrayRef) -> Option<&str> {
    let texts = column.as_string_view();
    texts.is_valid(0).then(|| texts.value(0))
}

/// No text makes Trino's functions panic, and what they write they read.
fn check_functions(text: &str) {
    for part in [
        url::extract_protocol,
        url::extract_host,
        url::extract_path,
        url::extract_query,
        url::extract_fragment,
    ] {
        let _ = part(text);
    }
    let _ = url::extract_port(text);
    let _ = url::extract_parameter(text, "e");
    let _ = url::decode(text);
    assert_eq!(url::decode(&url::encode(text)).as_deref(), Ok(text));

    let timestamp = iso8601::from_iso8601_timestamp(text).ok();
    if let Some(millis) = timestamp {
        let _ = timestamp::local_to_varchar(millis, 3, ' ');
        for unit in [
            "millisecond",
            "second",
            "hour",
            "week",
            "month",
            "quarter",
            "year",
        ] {
            let _ = calendar::date_trunc(unit, millis);
        }
    }
    let _ = Zone::named(text);
    let _ = iso8601::from_iso8601_date(text);
    let _ = timestamp::varchar_to_instant(text, 3);
    let _ = timestamp::varchar_to_timestamp(text, 6);
    for pattern in ["%Y-%m-%dT%H:%i:%s.%fZ", "%x %v %a %j", "%b %e %y %l %p"] {
        let format = TimeFormat::of_mysql(pattern).expect("a pattern of Trino");
        let _ = format.read_local(text);
    }
    if let Ok(format) = TimeFormat::of_joda(text) {
        let written = format.text(1_795_168_800_000, &Zone::UTC);
        let _ = format.read_instant(&written);
    }
    // A log line's time has to be written in full.
    if let Some(millis) = iso8601::Timestamps::default().read(text) {
        assert_eq!(timestamp, Some(millis), "{text:?}");
    }
    let double = cast::varchar_to_double(text);
    if let Ok(double) = double {
        let written = cast::double_to_varchar(double);
        let again = cast::varchar_to_double(&written).expect("a double is read as it was written");
        let is_same = again.to_bits() == double.to_bits() || again.is_nan() && double.is_nan();
        assert!(is_same, "{double:?} is written {written}");
        let _ = cast::double_to_bigint(double);
        let _ = cast::double_to_integer(double);
        let _ = cast::double_to_smallint(double);
        let _ = cast::double_to_tinyint(double);
    }
    if let Ok(days) = cast::varchar_to_date(text) {
        let written = cast::date_to_varchar(days);
        assert_eq!(cast::varchar_to_date(&written), Ok(days), "{written}");
    }
    let bigint = cast::varchar_to_bigint(text).ok();
    let integer = cast::varchar_to_integer(text).ok().map(i64::from);
    let expected = bigint.filter(|value| i32::try_from(*value).is_ok());
    assert_eq!(integer, expected, "{text:?}");
    let smallint = cast::varchar_to_smallint(text).ok().map(i64::from);
    let expected = bigint.filter(|value| i16::try_from(*value).is_ok());
    assert_eq!(smallint, expected, "{text:?}");
    let tinyint = cast::varchar_to_tinyint(text).ok().map(i64::from);
    let expected = bigint.filter(|value| i8::try_from(*value).is_ok());
    assert_eq!(tinyint, expected, "{text:?}");
    let _ = cast::varchar_to_boolean(text);
}
