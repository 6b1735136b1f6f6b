//! The commands `query` and `files`: where the SQL comes from, where the rows go, and what is said about them.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::sync::Arc;

use crate::commands::query::{self, Format, LogOptions, Logs, Screen, Style, Written};
use crate::commands::{status, tables};
use crate::intake::file_rules::FileRules;
use crate::rollup::Rollup;
use crate::table::Root;
use crate::terminal::Escaping;
use anyhow::{Context, Result, bail};
use chrono::Utc;
use clap::CommandFactory;
use clap::error::ErrorKind;
use console::Term;
use indicatif::HumanCount;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::cli::{
    Cli, FilesArgs, ListTablesArgs, Output, QueryArgs, ReportFormat, StatusArgs, TablesArgs,
};
use super::destination::{NewFile, Stdout, after_writing};
use super::progress::{AfterBar, QueryBar};
use super::prompt::prompt;
use super::summary::print_log_notes;
use super::{SOME_NOT_COUNTED, SUCCESS, print, stderr};

/// Rows that are shown on a terminal. More would scroll away, and a query of all lines of a log would never end.
const ROWS_ON_A_TERMINAL: usize = 1000;

/// The environment variable with the folder of tables.
const TABLES: &str = "LOGMILL_TABLES";

pub(crate) async fn query(args: QueryArgs) -> Result<u8> {
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) if sql != "-" => sql.clone(),
        (_, Some(file)) => fs::read_to_string(file)
            .with_context(|| format!("the file {} cannot be read", file.display()))?,
        (None, None) if io::stdin().is_terminal() && io::stdout().is_terminal() => {
            return prompt(&source(&args).await?, args.output.on_a_terminal()).await;
        }
        _ => {
            let mut sql = String::new();
            let read = io::stdin().read_to_string(&mut sql);
            read.context("standard input cannot be read")?;
            sql
        }
    };
    // Some editors write a byte order mark before a text.
    let sql = sql.strip_prefix('\u{feff}').unwrap_or(&sql);
    let source = source(&args).await?;
    answer(&source, sql, &args.output).await
}

pub(crate) async fn files(args: FilesArgs) -> Result<u8> {
    let source = Source::Tables(Root::open(&args.tables.required()).await?, None);
    let sql = "SELECT * FROM log_files ORDER BY log_file, \"table\"";
    answer(&source, sql, &args.output).await
}

pub(crate) async fn tables(args: ListTablesArgs) -> Result<u8> {
    let root = Root::open(&args.tables.required()).await?;
    let rollups = match &args.rollups {
        Some(rollups) => Some(Rollup::load_folder(rollups).await?),
        None => None,
    };
    let style: Style = args.output.format().into();
    match &args.output.output {
        Some(path) => {
            let mut file = NewFile::create(path)?;
            tables::tables(&root, rollups.as_ref(), style, &mut file).await?;
            file.complete()?;
            Ok(SUCCESS)
        }
        None => {
            let out = BufWriter::new(Stdout::of(style.format));
            let written = tables::tables(&root, rollups.as_ref(), style, out).await;
            after_writing(SUCCESS, written.map(|_| ()))
        }
    }
}

pub(crate) async fn status(args: StatusArgs) -> Result<u8> {
    let root = Root::open(&args.tables.required()).await?;
    let status = status::status(&root, Utc::now()).await?;
    let code = match status.is_complete() {
        true => SUCCESS,
        false => SOME_NOT_COUNTED,
    };
    let written = match args.format {
        ReportFormat::Text => print(&mut Stdout::report(), status),
        ReportFormat::Json => {
            let json = serde_json::to_string_pretty(&status.json())?;
            print(&mut Escaping::json(Stdout), format_args!("{json}\n"))
        }
    };
    after_writing(code, written)
}

/// What is queried.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Tables, and a folder of lookups.
    Tables(Root, Option<String>),
    Logs(LogOptions),
}

async fn source(args: &QueryArgs) -> Result<Source> {
    if args.logs.is_empty() {
        let root = Root::open(&args.tables.required()).await?;
        return Ok(Source::Tables(root, args.rollups.clone()));
    }
    Ok(Source::Logs(LogOptions {
        logs: args.logs.clone(),
        tables: args.tables.given().unwrap_or_default(),
        rules: FileRules::load(&args.ignore, args.rollups.as_deref()).await?,
        rollups: args.rollups.clone(),
        max_log_file_bytes: args.max_log_file_bytes,
    }))
}

/// Answers one statement. Returns the exit code.
async fn answer(source: &Source, sql: &str, output: &Output) -> Result<u8> {
    let format = output.format();
    let Some(path) = &output.output else {
        let is_terminal = io::stdout().is_terminal();
        if format == Format::Parquet && is_terminal {
            bail!(
                "Parquet output is binary and cannot be printed to a terminal; give --output FILE"
            );
        }
        let style = match is_terminal {
            true => output.on_a_terminal(),
            false => format.into(),
        };
        let out = BufWriter::new(Stdout::of(style.format));
        return match rows(source, sql, style, out).await? {
            Answer::Stopped(code) => Ok(code),
            Answer::Written(code, written) => after_writing(code, written.map(|_| ())),
        };
    };
    let mut file = NewFile::create(path)?;
    match rows(source, sql, format.into(), &mut file).await? {
        Answer::Stopped(code) => Ok(code),
        Answer::Written(code, written) => {
            written?;
            file.complete()?;
            Ok(code)
        }
    }
}

pub(crate) enum Answer {
    /// A signal has stopped the query. The exit code is the one that shells use for it.
    Stopped(u8),
    /// The exit code if writing has succeeded, and whether it has.
    Written(u8, Result<Written>),
}

/// Writes the rows of a query, until a signal stops it.
pub(crate) async fn rows(
    source: &Source,
    sql: &str,
    style: Style,
    out: impl Write + Send,
) -> Result<Answer> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let answer = async {
        match source {
            Source::Tables(root, rollups) => {
                let written = query::query(root, rollups.as_deref(), sql, style, out).await;
                Ok(Answer::Written(SUCCESS, written))
            }
            Source::Logs(options) => of_logs(options, sql, style, out).await,
        }
    };
    let answer = tokio::select! {
        answer = answer => answer?,
        code = stopped(&mut interrupt, SignalKind::interrupt()) => Answer::Stopped(code),
        code = stopped(&mut terminate, SignalKind::terminate()) => Answer::Stopped(code),
    };
    if let Answer::Written(
        _,
        Ok(Written {
            rows,
            has_more: true,
        }),
    ) = &answer
    {
        let rows = HumanCount(*rows as u64);
        writeln!(
            stderr(),
            "Only the first {rows} rows are shown on a terminal. Write all of them to a file with --output FILE."
        )?;
    }
    Ok(answer)
}

async fn stopped(signal: &mut Signal, kind: SignalKind) -> u8 {
    signal.recv().await;
    u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX)
}

async fn of_logs(
    options: &LogOptions,
    sql: &str,
    style: Style,
    out: impl Write + Send,
) -> Result<Answer> {
    let mut bar = QueryBar::default();
    let logs = Logs::new(options.clone(), Box::new(bar.clone()));
    // What is noticed is also said of a query that is stopped or fails.
    let notes = OnDrop(Arc::clone(&logs));
    let out = AfterBar {
        out,
        bar: bar.clone(),
    };
    let written = query::query_logs(&logs, sql, style, out).await;
    crate::commands::progress::Progress::end(&mut bar);
    drop(notes);
    let code = match logs.is_complete() {
        true => SUCCESS,
        false => SOME_NOT_COUNTED,
    };
    Ok(Answer::Written(code, written))
}

/// Prints what a query has noticed about log files, when the query ends.
struct OnDrop(Arc<Logs>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        // If stderr can't be written to, the exit code still shows that something is missing.
        let _ = print_log_notes(&self.0, &mut stderr());
    }
}

impl TablesArgs {
    /// The folder of tables that was given on the command line or by the environment.
    fn given(&self) -> Option<String> {
        let given = self.tables.clone();
        given.or_else(|| std::env::var(TABLES).ok().filter(|root| !root.is_empty()))
    }

    pub(crate) fn required(&self) -> String {
        self.given().unwrap_or_else(|| {
            let message = format!(
                "--tables is missing: give the folder of tables, or set {TABLES}. `logmill query --logs` needs no tables"
            );
            let mut command = Cli::command();
            command.error(ErrorKind::MissingRequiredArgument, message).exit()
        })
    }
}

impl Output {
    /// How rows are shown on a terminal.
    fn on_a_terminal(&self) -> Style {
        let format = self.format();
        Style {
            format,
            // A chart is as large however many rows it is of.
            rows_max: (format != Format::Chart).then_some(ROWS_ON_A_TERMINAL),
            screen: Screen {
                columns: Term::stdout().size().1,
                has_colours: console::colors_enabled(),
            },
        }
    }

    fn format(&self) -> Format {
        if self.vertical {
            return Format::Vertical;
        }
        if self.chart {
            return Format::Chart;
        }
        let ending = self.output.as_ref().and_then(|path| path.extension());
        let ending = ending.and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        self.format.unwrap_or(match ending.as_deref() {
            Some("json" | "jsonl" | "ndjson") => Format::Json,
            Some("parquet") => Format::Parquet,
            Some("txt") => Format::Table,
            _ if self.output.is_some() => Format::Csv,
            _ => Format::Table,
        })
    }
}
