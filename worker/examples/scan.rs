//! What it costs to turn lines into columns, beside the search for their ends: the floor of whoever reads lines.
//!
//! `cargo run --release --example scan -- LOG_FILES…` reads the first megabytes of each file of `alb_access_logs` and, of
//! these alone, the columns of `bench/rollups/reference.sql`, again and again. It prints nanoseconds a line, of wall time
//! on one thread, and the ratio, medians of five rounds in turn.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::time::Instant;

use logmill::format::{ALB_ACCESS_LOGS, Scan, ScanColumn, Shape};
use logmill::log_file::lines::{Chunk, Lines};
use logmill_gzip::Decoder;
use logmill_shared::LogFile;

const ROUNDS: usize = 5;
const REPETITIONS: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let mut chunks = Vec::new();
    for file in std::env::args().skip(1) {
        let mut lines = Lines::new(logmill_gzip::open(
            File::open(file)?,
            Decoder::Own,
            u64::MAX,
        )?);
        if let Some(Chunk::Lines(text)) = lines.next_chunk()? {
            chunks.push(text.into_owned());
        }
    }
    let lines: usize = chunks.iter().map(|text| text.lines().count()).sum();
    if lines == 0 {
        return Err("name log files".into());
    }
    let column = |name| {
        let columns = ALB_ACCESS_LOGS.columns.iter();
        columns
            .filter(move |column| column.name == name)
            .map(ScanColumn::Column)
    };
    let parameters = ["e", "c", "uid"].map(|name| ScanColumn::UrlParameter(name.to_owned()));
    let mut columns = vec![ScanColumn::Time, ScanColumn::UrlDouble("amt".to_owned())];
    columns.extend(parameters);
    columns.extend(column("elb_status_code").chain(column("sent_bytes")));

    let mut scan = Scan::new(
        &ALB_ACCESS_LOGS,
        &Shape::Text,
        &columns,
        &LogFile::new("s3://logs/a"),
    );
    let mut times: [Vec<f64>; 2] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(nanoseconds_a_line(&chunks, lines, |text| {
            black_box(memchr::memchr_iter(b'\n', text.as_bytes()).count());
        }));
        times[1].push(nanoseconds_a_line(&chunks, lines, |text| {
            for line in text.lines() {
                let _ = black_box(scan.push(line));
            }
            black_box(scan.finish());
        }));
    }
    let [ends, scanned] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    });
    println!(
        "line ends {ends:.1} ns a line, columns {scanned:.1} ns a line: {:.1} times",
        scanned / ends
    );
    Ok(())
}

fn nanoseconds_a_line(chunks: &[String], lines: usize, mut read: impl FnMut(&str)) -> f64 {
    let began = Instant::now();
    for _ in 0..REPETITIONS {
        chunks.iter().for_each(|text| read(text));
    }
    began.elapsed().as_nanos() as f64 / (lines * REPETITIONS) as f64
}
