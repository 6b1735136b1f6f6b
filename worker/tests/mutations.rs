//! No input panics, and what is read of a line does not depend on what else is read of it.
//!
//! Lines and URLs of the shapes in `testdata/` are mutated at random: `LOGMILL_FUZZ_SECONDS=600` goes on for
//! ten minutes, and `LOGMILL_SEED` begins elsewhere. The seed of each round is its number.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::panic;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::util::display::array_value_to_string;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use logmill::format::{FORMATS, LogFormat, PlainShape, Scan, ScanColumn, Shape, recognise};
use logmill::log_file::lines::Lines;
use logmill_gzip::{Decoder, GunzipError};
use logmill_shared::{LogFile, NamedAs};
use logmill_trino::{cast, iso8601, url};
use support::{Random, project};

/// All lines of all logs in `testdata/`.
fn seed_lines(folder: &Path, lines: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            seed_lines(&path, lines);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut text = Vec::new();
            MultiGzDecoder::new(File::open(&path).unwrap())
                .read_to_end(&mut text)
                .unwrap();
            bytes = text;
        }
        lines.extend(bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec));
    }
}

/// Bytes that mean something to some parser here.
const AWKWARD: &[&[u8]] = &[
    b"\"",
    b"\\",
    b" ",
    b"  ",
    b"-",
    b":",
    b"[",
    b"]",
    b"%",
    b"%zz",
    b"%C3",
    b"%C3%A9",
    b"&",
    b"=",
    b"?",
    b"#",
    b"//",
    b"+",
    b"\xff",
    b"\xc3",
    "é".as_bytes(),
    "\u{1f600}".as_bytes(),
    b"\0",
    b"\r",
    b"\t",
    b"0",
    b"9",
    b"99999999999999999999",
    b"1e400",
    b"NaN",
    b"T",
    b"Z",
    b"+14:00",
    b"\\x22",
    b"{}",
    b"|",
    b"@",
    b"2026-11-20T10:00:00.000000Z",
    b"-1",
];

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let pick = |random: &mut Random| seeds[random.below(seeds.len() as u64) as usize].clone();
    let mut line = pick(random);
    for _ in 0..random.below(6) {
        let at = random.below(line.len() as u64 + 1) as usize;
        match random.below(6) {
            0 => line.truncate(at),
            1 if at < line.len() => line[at] = random.next() as u8,
            2 if at < line.len() => {
                let end = at + random.below((line.len() - at) as u64 + 1) as usize;
                line.drain(at..end);
            }
            3 => {
                let other = pick(random);
                let from = random.below(other.len() as u64 + 1) as usize;
                line.splice(at..at, other[from..].iter().copied());
            }
            _ => {
                let awkward = AWKWARD[random.below(AWKWARD.len() as u64) as usize];
                line.splice(at..at, awkward.iter().copied());
            }
        }
    }
    line
}

fn scan(format: &'static LogFormat, shape: &Shape, columns: &[ScanColumn]) -> Scan {
    Scan::new(format, shape, columns, &LogFile::new("s3://logs/a"))
}

fn scan_line(
    format: &'static LogFormat,
    shape: &Shape,
    columns: &[ScanColumn],
    line: &str,
) -> Option<RecordBatch> {
    let mut scan = scan(format, shape, columns);
    scan.push(line).ok()?;
    let batch = scan.finish();
    (batch.num_rows() > 0).then_some(batch)
}

/// The shapes of lines. The plain one has all fields of the format in their order.
fn shapes(format: &LogFormat) -> [Shape; 4] {
    let plain = PlainShape {
        delimiter: " ".to_owned(),
        fields: format.field_names().map(str::to_owned).collect(),
    };
    [
        Shape::Text,
        Shape::Json,
        Shape::W3c,
        Shape::Plain(plain.into()),
    ]
}

/// The last row's value as text, with NULL told from text.
fn value(batch: &RecordBatch, column: usize) -> Option<String> {
    let values = batch.column(column);
    let row = values.len() - 1;
    values
        .is_valid(row)
        .then(|| array_value_to_string(values, row).unwrap())
}

/// Each column read alone is what it is among all, and whatever line was read before.
fn check_projection(
    format: &'static LogFormat,
    shape: &Shape,
    before: &str,
    line: &str,
    random: &mut Random,
) {
    let mut columns: Vec<ScanColumn> = format.columns.iter().map(ScanColumn::Column).collect();
    columns.extend([ScanColumn::Time, ScanColumn::Day]);
    columns.extend(["e", "", "uid", "amt"].map(|name| ScanColumn::UrlParameter(name.to_owned())));
    columns.push(ScanColumn::UrlDouble("amt".to_owned()));
    columns.push(ScanColumn::UrlBigint("amt".to_owned()));
    let all = scan_line(format, shape, &columns, line);
    let mut scan = scan(format, shape, &columns);
    let _ = scan.push(before);
    let rejected = scan.push(line).is_err();
    // A line of a W3C log means what the lines before it say.
    if *shape == Shape::W3c {
        return;
    }
    assert_eq!(rejected, all.is_none(), "{line:?} after {before:?}");
    if let Some(all) = &all {
        let after = scan.finish();
        for column in 0..columns.len() {
            assert_eq!(
                value(&after, column),
                value(all, column),
                "{line:?} after {before:?}"
            );
        }
    }
    let one = random.below(columns.len() as u64) as usize;
    let alone = scan_line(format, shape, &columns[one..=one], line);
    assert_eq!(all.is_some(), alone.is_some(), "rejected or not: {line:?}");
    if let (Some(all), Some(alone)) = (all, alone) {
        assert_eq!(
            value(&all, one),
            value(&alone, 0),
            "{:?} of {line:?}",
            columns[one]
        );
        // The scan's parameters are those that the function extracts.
        let Some(url) = format.url_column else {
            return;
        };
        let mut names = format.columns.iter().map(|column| column.name);
        let url = value(&all, names.position(|name| name == url).unwrap());
        let parameter = |name| url::extract_parameter(url.as_deref()?, name);
        let amount = parameter("amt");
        let scanned = columns.len() - 4;
        assert_eq!(
            value(&all, scanned).as_deref(),
            parameter("uid").as_deref(),
            "{line:?}"
        );
        assert_eq!(value(&all, scanned + 1).as_deref(), amount.as_deref());
        let double = all.column(scanned + 2).as_primitive::<Float64Type>();
        let cast = amount
            .as_deref()
            .and_then(|amount| cast::varchar_to_double(amount).ok());
        let bits = double.iter().map(|value| value.map(f64::to_bits)).next();
        assert_eq!(bits.flatten(), cast.map(f64::to_bits), "{line:?}");
        let bigint = all.column(scanned + 3).as_primitive::<Int64Type>();
        let cast = amount
            .as_deref()
            .and_then(|amount| cast::varchar_to_bigint(amount).ok());
        assert_eq!(bigint.iter().next().flatten(), cast, "{line:?}");
    }
}

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
    let _ = (
        url::extract_port(text),
        url::extract_parameter(text, "e"),
        url::decode(text),
    );
    assert_eq!(url::decode(&url::encode(text)).unwrap(), text);
    let _ = (
        iso8601::from_iso8601_timestamp(text),
        cast::varchar_to_double(text),
    );
    let _ = (
        cast::varchar_to_bigint(text),
        cast::varchar_to_date(text),
        cast::varchar_to_boolean(text),
    );
    let _ = recognise(NamedAs::Unknown, None, text.as_bytes());
    let file = LogFile::new(text);
    let _ = (file.shard(), file.named_as(), file.day());
}

fn check_file(bytes: &[u8]) {
    if let Ok(text) = logmill_gzip::open(bytes, Decoder::Own, 1 << 20) {
        let mut lines = Lines::new(text);
        while let Ok(Some(_)) = lines.next_chunk() {}
    }
}

/// A gzip file of these lines, of which some bits are other ones, is read as flate2 reads it, or not at all.
fn check_gunzip(random: &mut Random, seeds: &[Vec<u8>]) {
    let level = Compression::new(random.below(10) as u32);
    let mut file = Vec::new();
    let mut whole = Vec::new();
    for _ in 0..=random.below(2) {
        let mut member = GzEncoder::new(Vec::new(), level);
        for _ in 0..random.below(20) {
            let line = mutate(random, seeds);
            member.write_all(&line).unwrap();
            whole.extend(line);
        }
        file.extend(member.finish().unwrap());
    }
    let damages = random.below(4);
    for _ in 0..damages {
        let at = 2 + random.below(file.len() as u64 - 2) as usize;
        file[at] ^= 1 << random.below(8);
    }
    let read = || -> Result<Vec<u8>, GunzipError> {
        let mut text = logmill_gzip::open(&file[..], Decoder::Own, 1 << 30)?;
        let mut all = Vec::new();
        while !text.ended() {
            text.fill()?;
            all.extend_from_slice(text.unread());
            text.consume(text.unread().len());
        }
        Ok(all)
    };
    match read() {
        Ok(text) if damages == 0 => assert!(text == whole),
        Ok(text) => {
            let mut expected = Vec::new();
            let flate2 = MultiGzDecoder::new(&file[..]).read_to_end(&mut expected);
            assert!(flate2.is_ok() && text == expected);
        }
        Err(error) => assert!(damages > 0, "{error}"),
    }
}

#[test]
fn mutated_lines_and_urls_are_read_without_a_panic() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seconds = Duration::from_secs(number("LOGMILL_FUZZ_SECONDS").unwrap_or(5));
    let first = number("LOGMILL_SEED").unwrap_or(1);
    let mut seeds = Vec::new();
    seed_lines(&project().join("testdata/logs"), &mut seeds);
    assert!(seeds.len() > 300);
    let files: Vec<Vec<u8>> = fs::read_dir(project().join("testdata/unreadable"))
        .unwrap()
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect();

    let begin = Instant::now();
    let mut round = first;
    while begin.elapsed() < seconds {
        let checked = panic::catch_unwind(|| {
            let mut random = Random::new(round);
            let line = mutate(&mut random, &seeds);
            let line = String::from_utf8_lossy(&line);
            let before = mutate(&mut random, &seeds);
            let before = String::from_utf8_lossy(&before);
            for format in FORMATS {
                for shape in shapes(format) {
                    check_projection(format, &shape, &before, &line, &mut random);
                }
            }
            for part in line.split('"').chain(line.split(' ')) {
                check_functions(part);
            }
            check_file(&mutate(&mut random, &files));
            check_gunzip(&mut random, &seeds);
        });
        if let Err(failure) = checked {
            println!("failed with LOGMILL_SEED={round}");
            panic::resume_unwind(failure);
        }
        round += 1;
    }
    println!("{} mutated lines, from seed {first}", round - first);
}
