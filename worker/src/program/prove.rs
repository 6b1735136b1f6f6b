//! `logmill verify`, with and without certificates.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use indicatif::HumanCount;
use serde::Serialize;

use super::cli::{ReportFormat, VerifyArgs};
use super::destination::{NewFile, Stdout, after_writing};
use super::progress::Bar;
use super::{SOME_NOT_COUNTED, SUCCESS, print};
use crate::commands::certificate::{
    self, Certificate, RequestCounts, RequestRecord, against, certify, check_days,
};
use crate::commands::verify::{self, Report};
use crate::intake::span::Span;
use crate::terminal::Escaping;

pub(super) async fn verify(args: VerifyArgs) -> Result<u8> {
    if let Some(certificate) = args.against {
        let options = certificate::AgainstOptions {
            certificate,
            tables: args.tables,
            logs: args.logs,
            rules: args.ignore.load().await?,
        };
        let check = against(&options, &mut Bar::default()).await?;
        let code = if check.holds {
            SUCCESS
        } else {
            SOME_NOT_COUNTED
        };
        return after_writing(code, print_as(args.format, &check));
    }
    let span = args.span.span()?;
    // What could fail late is tried first: listing the log files may take long.
    let certifying = match &args.certificate {
        Some(path) => Some((days(span)?, NewFile::create(path)?, path)),
        None => None,
    };
    let requests = match args.request_count.is_empty() {
        true => None,
        false => Some(RequestCounts::load(&args.request_count)?),
    };
    let logs = args.logs.context("--logs is missing")?;
    let options = verify::Options {
        span,
        logs,
        tables: args.tables,
        only: args.ignore.tables().await?,
        rules: args.ignore.load().await?,
        expect_every: args.expect_every,
    };
    let report = verify::verify(&options, &mut Bar::default()).await?;
    let code = if report.complete {
        SUCCESS
    } else {
        SOME_NOT_COUNTED
    };
    let Some((days, file, path)) = certifying else {
        return after_writing(code, print_as(args.format, &report));
    };
    let certifying = certificate::Options {
        tables: options.tables,
        only: options.only,
        days,
        requests,
    };
    let certified = write(&certifying, report.complete, file).await;
    let certificate = match certified {
        Ok(certificate) => certificate,
        Err(error) => {
            print_as(args.format, &report)?;
            return Err(error.context("no certificate was written"));
        }
    };
    let written = Certified {
        report,
        certificate: Written::of(path, certificate),
    };
    after_writing(code, print_as(args.format, &written))
}

/// The days of a certificate.
fn days(span: Span) -> Result<Range<NaiveDate>> {
    let Some(days) = span.days() else {
        bail!(
            "a certificate is of whole days (UTC): give --from and --to as days, such as --from 2026-11-20 --to 2026-11-21"
        );
    };
    check_days(&days)?;
    Ok(days)
}

async fn write(
    options: &certificate::Options,
    complete: bool,
    mut file: NewFile,
) -> Result<Certificate> {
    // Control characters in keys are written as escapes of JSON, so that a terminal can show the file.
    let certificate = certify(options, complete, &mut Escaping::json(&mut file)).await?;
    file.complete()?;
    Ok(certificate)
}

fn print_as(format: ReportFormat, report: &(impl Serialize + fmt::Display)) -> Result<()> {
    match format {
        ReportFormat::Text => print(&mut Stdout::report(), report),
        ReportFormat::Json => {
            let json = serde_json::to_string_pretty(report)?;
            print(&mut Escaping::json(Stdout), format_args!("{json}\n"))
        }
    }
}

/// A report and the certificate that was written after it.
#[derive(Serialize)]
struct Certified {
    #[serde(flatten)]
    report: Report,
    certificate: Written,
}

/// A certificate that was written.
#[derive(Serialize)]
struct Written {
    file: String,
    root: String,
    tables: usize,
    log_files: i64,
    requests: Vec<RequestRecord>,
}

impl Written {
    fn of(path: &Path, certificate: Certificate) -> Self {
        Self {
            file: path.display().to_string(),
            log_files: certificate.log_files(),
            root: certificate.root,
            tables: certificate.tables.len(),
            requests: certificate.requests,
        }
    }
}

impl fmt::Display for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written {
            file,
            root,
            tables,
            log_files,
            requests,
        } = &self.certificate;
        self.report.fmt(f)?;
        let log_files = HumanCount(log_files.unsigned_abs());
        let s = if *tables == 1 { "" } else { "s" };
        writeln!(
            f,
            "certificate {file}: {log_files} log files, {tables} table{s}"
        )?;
        writeln!(f, "            root {root}")?;
        requests
            .iter()
            .try_for_each(|record| requests_of(f, record))
    }
}

/// Says how many of AWS's requests a table has lines of.
fn requests_of(f: &mut fmt::Formatter<'_>, record: &RequestRecord) -> fmt::Result {
    let RequestRecord {
        table,
        balancer,
        day,
        requests,
        lines,
        short_hours,
        short_by,
        ..
    } = record;
    let count = |count: i64| HumanCount(count.unsigned_abs());
    writeln!(
        f,
        "requests    {day}, {balancer}: {} by CloudWatch, {} lines in {table}",
        count(*requests),
        count(*lines)
    )?;
    let missing = requests - lines;
    if missing > 0 {
        let share = missing as f64 / *requests as f64 * 100.0;
        writeln!(
            f,
            "            at least {} ({share:.3} %) are in no log file of the table",
            count(missing)
        )?;
    } else {
        writeln!(
            f,
            "            no fewer lines than requests; CloudWatch leaves some requests out, so some may be missing nevertheless"
        )?;
    }
    match (short_hours, short_by) {
        (Some(hours @ 1..), Some(by)) => {
            let s = if *hours == 1 { "" } else { "s" };
            writeln!(
                f,
                "            {} hour{s} with fewer lines than requests, {} in total",
                count(*hours),
                count(*by)
            )
        }
        _ => Ok(()),
    }
}
