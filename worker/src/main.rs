//! The command line. This file shows what each command does; the library implements it.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Parser;
use logmill::commands::maintain::{self, Maintained};
use logmill::commands::query::{self, Format};
use logmill::commands::retry::{self, PutBack};
use logmill::commands::run::{self, Options, Summary};
use logmill::commands::{check, ddl, replay, serve, verify};
use logmill::feeds::Trouble;
use logmill::intake::http::Token;
use logmill::intake::ignore::Ignore;
use logmill::intake::span::Span;
use logmill::intake::sqs_queue::SqsQueue;
use logmill::log_file::reading::Reading;
use logmill::rollup::Rollup;
use logmill::table::Root;
use logmill::terminal::{Escaping, escaped};
use logmill_shared::LogFile;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::debug_fn;

mod cli;
mod destination;
mod progress;

use cli::{Cli, Command, ReplayArgs, ReportFormat};
use destination::{NewFile, Stdout, after_writing};
use progress::{Bar, LogFilesBar};

/// Exit code: success.
const SUCCESS: u8 = 0;
/// Exit code: the command has failed. (2 is an error in the command line, from `clap`.)
const FAILURE: u8 = 1;
/// Exit code: the command has finished, but some log files are not counted.
const SOME_NOT_COUNTED: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_worker = matches!(cli.command, Command::Serve(_));
    start_log(is_worker);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let code = match runtime.block_on(execute(cli.command)) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_worker => {
            tracing::error!(error = format!("{error:#}"), "the worker ends");
            ExitCode::from(FAILURE)
        }
        Err(error) => fail(&error),
    };
    // After its grace period, a worker does not wait for log files that it is still reading: it abandons them.
    std::mem::forget(runtime);
    code
}

/// Starts logging. A worker logs by default, for machines unless stderr is a terminal. Other commands log only what they
/// wait for and retry, unless `LOGMILL_LOG` is set.
fn start_log(is_worker: bool) {
    let unless_told = match is_worker {
        true => "warn,logmill=info",
        false => "off,logmill::retry=warn",
    };
    let filter = EnvFilter::try_from_env("LOGMILL_LOG");
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(unless_told)))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // The subscriber escapes some control characters in messages, but none in fields that are formatted by `%`.
    let safe_fields = debug_fn(|out, field, value| {
        match field.name() {
            "message" => {}
            // The origin of a library's record, which the log line already contains.
            name if name.starts_with("log.") => return Ok(()),
            name => write!(out, "{name}=")?,
        }
        write!(out, "{}", escaped(&format!("{value:?}")))
    });
    match is_worker && !io::stderr().is_terminal() {
        true => log
            .json()
            .flatten_event(true)
            .with_target(false)
            // The current span names the log file or the table; it has no parent span.
            .with_span_list(false)
            .init(),
        false => log.fmt_fields(safe_fields.delimited(" ")).init(),
    }
}

fn stderr() -> Escaping<io::StderrLock<'static>> {
    Escaping::text(io::stderr().lock())
}

/// Prints an error. Indents its further lines, so that text in it can't look like another error.
fn print_error(error: &anyhow::Error) -> io::Result<()> {
    let text = format!("{error:#}").replace('\n', "\n  ");
    writeln!(stderr(), "logmill: {text}")
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let _ = print_error(error);
    ExitCode::from(FAILURE)
}

async fn execute(command: Command) -> Result<u8> {
    match command {
        Command::Run(args) => {
            let ignore = args.ignore.load(Some(&args.rollups)).await?;
            let rollups = Rollup::load_folder(&args.rollups).await?;
            let options = Options {
                logs: args.logs,
                tables: args.tables,
                max_log_file_bytes: args.max_log_file_bytes,
                threads: args.threads,
                ignore,
            };
            let summary = run::run(rollups, &options, &mut Bar::default()).await?;
            let code = match summary.is_complete() {
                true => SUCCESS,
                false => SOME_NOT_COUNTED,
            };
            let written = print_summary(&summary, &mut Stdout::report());
            after_writing(code, written.map_err(Into::into))
        }
        Command::Serve(args) => {
            let token = std::env::var("DISPATCH_TOKEN").ok();
            let options = serve::Options {
                ignore: args.ignore.load(Some(&args.rollups)).await?,
                rollups: args.rollups,
                tables: args.tables,
                allowed: args.allow,
                queue_url: args.queue_url,
                visibility: Duration::from_secs(args.visibility),
                listen: args.listen,
                token: token.as_deref().and_then(Token::new),
                log_files_at_once: args.log_files_at_once,
                max_log_file_bytes: args.max_log_file_bytes,
                grace: Duration::from_secs(args.grace),
                stalled_after: Duration::from_secs(args.stalled_after),
                commit_interval: (!args.no_commit)
                    .then(|| Duration::from_secs(args.commit_interval)),
            };
            serve::serve(options, stop_signals()?).await?;
            Ok(SUCCESS)
        }
        Command::Query(args) => query(&args.tables, &args.sql, &args.output).await,
        Command::Files(args) => {
            let sql = "SELECT * FROM log_files ORDER BY log_file, \"table\"";
            query(&args.tables, sql, &args.output).await
        }
        Command::Maintain(args) => {
            let root = Root::open(&args.tables).await?;
            let grace = Duration::from_hours(args.grace_hours);
            let mut code = SUCCESS;
            let mut done = Vec::new();
            for table in maintain::maintain(&root, grace).await? {
                match table {
                    Ok(table) => done.push(table),
                    Err(error) => {
                        // If stderr can't be written to, the exit code still shows the failure.
                        let _ = print_error(&error);
                        code = FAILURE;
                    }
                }
            }
            let mut out = Stdout::report();
            let mut written = done.iter().map(|table| print_maintained(table, &mut out));
            let written = written.try_for_each(|written| written);
            after_writing(code, written.map_err(Into::into))
        }
        Command::Verify(args) => {
            let options = verify::Options {
                span: args.span.span()?,
                logs: args.logs,
                tables: args.tables,
                ignore: args.ignore.load().await?,
            };
            let report = verify::verify(&options, &mut LogFilesBar::default()).await?;
            let code = match report.complete {
                true => SUCCESS,
                false => SOME_NOT_COUNTED,
            };
            let written = match args.format {
                ReportFormat::Text => print(&mut Stdout::report(), report),
                ReportFormat::Json => {
                    let json = serde_json::to_string_pretty(&report)?;
                    print(&mut Escaping::json(Stdout), format_args!("{json}\n"))
                }
            };
            after_writing(code, written)
        }
        Command::Retry(args) => {
            let rollups = Rollup::load_folder(&args.rollups).await?;
            let options = Options {
                logs: Vec::new(),
                tables: args.tables,
                max_log_file_bytes: args.max_log_file_bytes,
                threads: args.threads,
                ignore: Ignore::default(),
            };
            let only = args.table.as_deref();
            let done = retry::put_back(rollups, &options, only, &mut Bar::default()).await?;
            let is_complete = done.still.is_empty() && !done.summary.has_failures();
            let code = match is_complete {
                true => SUCCESS,
                false => SOME_NOT_COUNTED,
            };
            let written = print_put_back(&done, &mut Stdout::report());
            after_writing(code, written.map_err(Into::into))
        }
        Command::Replay(args) => after_writing(SUCCESS, resend(args).await),
        Command::Check(args) => {
            let rollup = Rollup::load(&args.rollup).await?;
            let mut out = Stdout::report();
            let mut written = print(&mut out, format_args!("{}\n", check::describe(&rollup)));
            if written.is_ok() && !args.sample.is_empty() {
                let sample = check::sample(rollup, &args.sample, &mut Bar::default()).await?;
                written = print(&mut out, sample);
            }
            after_writing(SUCCESS, written)
        }
        Command::Ddl(args) => {
            let rollups = Rollup::load_folder(&args.rollups).await?;
            let rollups = rollups.all().map_err(anyhow::Error::msg)?;
            let tables: Vec<_> = rollups
                .iter()
                .map(|rollup| &**rollup.definition())
                .collect();
            let text = ddl::ddl(&tables, &args.tables, &args.database);
            after_writing(SUCCESS, print(&mut Stdout::exact(), text))
        }
    }
}

/// Writes a text, and flushes it.
fn print(out: &mut impl Write, text: impl Display) -> Result<()> {
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

async fn query(tables: &str, sql: &str, output: &cli::Output) -> Result<u8> {
    let format = output.format();
    let Some(path) = &output.output else {
        if format == Format::Parquet && io::stdout().is_terminal() {
            bail!("Parquet is binary and not for a terminal; give --output FILE");
        }
        let root = Root::open(tables).await?;
        let out = io::BufWriter::new(Stdout::exact());
        return after_writing(SUCCESS, query::query(&root, sql, format, out).await);
    };
    let root = Root::open(tables).await?;
    let mut file = NewFile::create(path)?;
    query::query(&root, sql, format, &mut file).await?;
    file.complete()?;
    Ok(SUCCESS)
}

async fn resend(args: ReplayArgs) -> Result<()> {
    let is_terminal = io::stdout().is_terminal();
    let mut each = |log_file: &LogFile| {
        match (args.dry_run, is_terminal) {
            (true, true) => writeln!(Stdout::report(), "{}", escaped(log_file.uri()))?,
            (true, false) => writeln!(Stdout, "{log_file}")?,
            (false, _) => {}
        }
        Ok(())
    };
    let work = match &args.queue_url {
        Some(url) => Some(SqsQueue::open(url).await?),
        None => None,
    };
    let mut bar = LogFilesBar::default();
    let said = match (&args.dead_letters, args.logs) {
        (Some(dead), _) => {
            let dead = SqsQueue::open(dead).await?;
            match work.filter(|_| !args.dry_run) {
                Some(work) => replay::move_dead_letters(&dead, &work, args.rate, &mut bar)
                    .await?
                    .to_string(),
                None => replay::peek_dead_letters(&dead, &mut each)
                    .await?
                    .to_string(),
            }
        }
        (None, Some(logs)) => {
            let options = replay::Options {
                logs,
                span: args.span.span()?,
                tables: args.tables,
                missing: args.missing,
                rate: args.rate,
                ignore: args.ignore.load().await?,
            };
            let work = work.filter(|_| !args.dry_run);
            replay::replay(&options, work.as_ref(), &mut each, &mut bar)
                .await?
                .to_string()
        }
        (None, None) => bail!("give --logs with --from, or --dead-letters"),
    };
    match args.dry_run {
        // Standard output has the log files that would be sent, for other programs to read.
        true => print(&mut stderr(), said),
        false => print(&mut Stdout::report(), said),
    }
}

impl cli::IgnoreArgs {
    async fn load(&self, rollups: Option<&str>) -> Result<Ignore> {
        Ignore::load(&self.ignore, rollups).await
    }
}

impl cli::IgnoreByArgs {
    async fn load(&self) -> Result<Ignore> {
        self.ignore.load(self.rollups.as_deref()).await
    }
}

impl cli::SpanArgs {
    fn span(&self) -> Result<Span> {
        let from = self.from.context("give --from")?;
        let to = self.to.unwrap_or_else(|| {
            // AWS delivers a log file a few minutes after its interval, and a worker needs a few more.
            (SystemTime::now() - Duration::from_mins(15)).into()
        });
        Ok(Span::new(from, to)?)
    }
}

/// Returns a token that is cancelled on SIGTERM or SIGINT. A second signal ends the process at once.
fn stop_signals() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            };
            if stop.is_cancelled() {
                // The exit code that shells use for a process ended by a signal.
                std::process::exit(128 + number);
            }
            stop.cancel();
        }
    });
    Ok(stopped)
}

impl cli::Output {
    fn format(&self) -> Format {
        self.format
            .unwrap_or(match io::stdout().is_terminal() || self.output.is_none() {
                true => Format::Table,
                false => Format::Csv,
            })
    }
}

/// Maximum number of reasons printed for set-aside log files.
const SHOWN_SET_ASIDE: usize = 10;

fn print_put_back(done: &PutBack, out: &mut impl Write) -> io::Result<()> {
    if done.set_aside.is_empty() {
        return writeln!(out, "nothing is set aside");
    }
    for (table, before) in &done.set_aside {
        let still = done.still.get(table).map_or(&[][..], Vec::as_slice);
        writeln!(
            out,
            "table      {table}: {before} set aside before, {} still:",
            still.len()
        )?;
        for (log_file, reason) in still.iter().take(SHOWN_SET_ASIDE) {
            writeln!(
                out,
                "             {}: {}",
                escaped(log_file),
                escaped(reason)
            )?;
        }
    }
    print_summary(&done.summary, out)
}

fn print_summary(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    use indicatif::{HumanBytes, HumanCount};

    let Reading {
        text_bytes,
        lines,
        rejected_lines,
        ..
    } = summary.reading;
    let count = |count: usize| HumanCount(count as u64);
    let seconds = summary.elapsed.as_secs_f64();
    writeln!(out, "log files  {} counted", count(summary.counted))?;
    let mut line = |count: usize, what: &str| match count {
        0 => Ok(()),
        _ => writeln!(out, "           {} {what}", HumanCount(count as u64)),
    };
    line(summary.counted_before, "counted before")?;
    line(
        summary.changed.len(),
        "changed since they were counted; the changes are not counted",
    )?;
    for (what, skipped) in &summary.skipped {
        line(*skipped, &format!("skipped: {what}"))?;
    }
    line(summary.ignored, "ignored")?;
    line(summary.failed.len(), "failed, and not counted:")?;
    let named = |(name, reason): (&str, &str)| {
        format!("             {}: {}", escaped(name), escaped(reason))
    };
    for (log_file, reason) in &summary.failed {
        writeln!(out, "{}", named((log_file, reason)))?;
    }
    writeln_some(
        out,
        verify::UNRECOGNISED,
        summary
            .unrecognised
            .iter()
            .map(|(log_file, what)| named((log_file, what))),
    )?;
    writeln_some(
        out,
        verify::COPIES,
        summary
            .copies
            .iter()
            .map(|copy| named((&copy.log_file, &format!("a copy of {}", copy.copy_of)))),
    )?;
    writeln_some(
        out,
        "read by flate2, as logmill's own gzip decoder refuses them; please report this as a bug:",
        summary
            .by_second_opinion
            .iter()
            .map(|log_file| format!("             {}", escaped(log_file))),
    )?;
    if summary.log_files + summary.counted == 0 && summary.failed.is_empty() {
        writeln!(out, "           there is no log file that a rollup reads")?;
    }
    for (table, set_aside) in &summary.set_aside {
        let (log_file, reason) = &set_aside.first;
        writeln!(
            out,
            "           {} set aside for {table}, and not counted by it; `logmill retry` tries again:",
            count(set_aside.log_files)
        )?;
        writeln!(
            out,
            "             {}: {}",
            escaped(log_file),
            escaped(reason)
        )?;
    }
    writeln!(
        out,
        "lines      {}, of which {} rejected",
        HumanCount(lines),
        HumanCount(rejected_lines)
    )?;
    if rejected_lines > 0 {
        writeln!(out, "           (they are in the table rejected_lines)")?;
    }
    for (table, lines) in &summary.failed_lines {
        let lines = HumanCount(*lines);
        writeln!(
            out,
            "           {lines} on which the rollup {table} fails: it leaves them out"
        )?;
    }
    if !summary.failed_lines.is_empty() {
        writeln!(
            out,
            "           (they are in failed_lines: logmill query 'SELECT * FROM failed_lines')"
        )?;
    }
    writeln!(
        out,
        "text       {} in {seconds:.2} s, {:.1} MB/s",
        HumanBytes(text_bytes),
        text_bytes as f64 / 1e6 / seconds.max(1e-9)
    )?;
    for table in &summary.tables {
        writeln!(
            out,
            "table      {}: {} rows in {} {}, {}",
            table.name,
            HumanCount(table.rows),
            count(table.files),
            if table.files == 1 { "file" } else { "files" },
            HumanBytes(table.bytes)
        )?;
        let lost = summary.lost.get(&table.name).copied().unwrap_or_default();
        if lost.sums > 0 {
            let sums = HumanCount(lost.sums);
            writeln!(
                out,
                "           {sums} sums are beyond bigint and NULL; the columns that end in __sum have them"
            )?;
        }
        if lost.other_rows > 0 {
            let rows = HumanCount(lost.other_rows);
            writeln!(
                out,
                "           {rows} rows, with is_other, stand for groups that a full hour had no room for"
            )?;
        }
    }
    for trouble in &summary.troubles {
        let Trouble { table, what, .. } = trouble;
        let word = if trouble.is_failure {
            "trouble"
        } else {
            "warning"
        };
        writeln!(out, "{word}    {table}: {}", escaped(what))?;
    }
    out.flush()
}

/// Maximum number of names printed for a list.
const SHOWN_NAMES: usize = 10;

/// Prints the number of lines, and the first of them.
fn writeln_some(
    out: &mut impl Write,
    what: &str,
    lines: impl ExactSizeIterator<Item = String>,
) -> io::Result<()> {
    let count = lines.len();
    if count == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "           {} {what}",
        indicatif::HumanCount(count as u64)
    )?;
    for line in lines.take(SHOWN_NAMES) {
        writeln!(out, "{line}")?;
    }
    match count.saturating_sub(SHOWN_NAMES) {
        0 => Ok(()),
        more => writeln!(
            out,
            "             and {} more",
            indicatif::HumanCount(more as u64)
        ),
    }
}

fn print_maintained(maintained: &Maintained, out: &mut impl Write) -> io::Result<()> {
    let Maintained {
        table,
        compacted,
        vacuumed,
    } = maintained;
    match compacted {
        Some(compacted) => write!(
            out,
            "{table}: {} files packed into {}",
            compacted.files, compacted.packed
        )?,
        None => write!(
            out,
            "{table}: packing left to the worker that has its lease"
        )?,
    }
    writeln!(
        out,
        "; deleted {} data files and {} ledger objects ({}), {} files of the log",
        vacuumed.data_files,
        vacuumed.ledger_objects,
        indicatif::HumanBytes(vacuumed.bytes),
        vacuumed.log_files
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reasons_are_shown_as_one_line_of_text() {
        let summary = Summary {
            failed: vec![("s3://logs/a\nb\u{1b}[2J".to_owned(), "\u{9b}2J".to_owned())],
            ..Summary::default()
        };
        let mut out = Vec::new();
        print_summary(&summary, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let failed = "\n             s3://logs/a\\nb\\u{1b}[2J: \\u{9b}2J\n";
        assert!(text.contains(failed), "{text}");
    }
}
