//! The command line. This file shows what each command does; the other modules implement it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::commands::alerts::{Alerts, Webhook};
use crate::commands::rebuild::erase::{self, Lines};
use crate::commands::run::{self, Options};
use crate::commands::{check, ddl, drop, maintain, rebuild, replay, retain, retry, serve, test};
use crate::intake::file_rules::FileRules;
use crate::intake::span::Span;
use crate::intake::sqs_queue::SqsQueue;
use crate::intake::token::Token;
use crate::rollup::{Rollup, RollupError};
use crate::table::Root;
use crate::terminal::{Escaping, escaped};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use clap::Parser;
use logmill_shared::LogFile;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::debug_fn;

mod cli;
mod destination;
mod progress;
mod summary;
mod prompt;
mod ask;
mod report;
mod prove;

use cli::{AlertsArgs, CheckArgs, Cli, Command, ReplayArgs};
use destination::{Stdout, after_writing};
use progress::{Bar, Stderr};
use summary::{print_alerts, print_maintained, print_put_back, print_summary};

/// Exit code: success.
const SUCCESS: u8 = 0;
/// Exit code: the command has failed. (2 is an error in the command line, from `clap`.)
const FAILURE: u8 = 1;
/// Exit code: the command has finished, but some log files are not counted.
const SOME_NOT_COUNTED: u8 = 3;

/// The stack of each thread. SQL is planned and computed recursively, so a chain of as many operators as [`crate::rollup`] allows must
/// fit. It takes memory only as far as it is used.
const STACK_BYTES: usize = if cfg!(debug_assertions) {
    256 << 20
} else {
    64 << 20
};

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_worker = matches!(cli.command, Command::Serve(_));
    start_log(is_worker);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let execute = move || {
        let done = runtime.block_on(execute(cli.command));
        // After its grace period, a worker does not wait for log files that it is still reading: it abandons them.
        std::mem::forget(runtime);
        done
    };
    let main = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(execute);
    let done = match main.map(std::thread::JoinHandle::join) {
        Ok(Ok(done)) => done,
        // The panic has been printed.
        Ok(Err(_)) => return ExitCode::from(FAILURE),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_worker => {
            tracing::error!(error = format!("{error:#}"), "worker failed; shutting down");
            ExitCode::from(FAILURE)
        }
        Err(error) => fail(&error),
    }
}

/// Starts logging. A worker logs by default, for machines unless stderr is a terminal. Other commands log only what they
/// wait for and retry, unless `LOGMILL_LOG` is set.
fn start_log(is_worker: bool) {
    let unless_told = match is_worker {
        true => "warn,logmill=info",
        false => "off,logmill_object_io::retry=warn,logmill::table::lease=warn",
    };
    let filter = EnvFilter::try_from_env("LOGMILL_LOG");
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(unless_told)))
        .with_writer(|| Stderr)
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

fn stderr() -> Escaping<Stderr> {
    Escaping::text(Stderr)
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
            let rules = args.ignore.load(Some(&args.rollups)).await?;
            let rollups = Rollup::load_folder(&args.rollups).await?;
            let alerts = Alerts::load(&args.rollups, &rollups, Webhook::from_env()?).await?;
            let options = Options {
                logs: args.logs,
                tables: args.tables,
                max_log_file_bytes: args.max_log_file_bytes,
                threads: args.threads,
                rules,
            };
            let summary = run::run(rollups, &options, &mut Bar::default()).await?;
            let evaluated = alerts.evaluate_all(&options.tables).await;
            let code = match summary.is_complete() && alerts.all_work(&evaluated) {
                true => SUCCESS,
                false => SOME_NOT_COUNTED,
            };
            let mut out = Stdout::report();
            let written = print_summary(&summary, &mut out);
            let written = written.and_then(|()| print_alerts(&alerts, &evaluated, &mut out));
            after_writing(code, written.map_err(Into::into))
        }
        Command::Serve(args) => {
            let token = std::env::var("DISPATCH_TOKEN").ok();
            let options = serve::Options {
                rules: args.ignore.load(Some(&args.rollups)).await?,
                rollups: args.rollups,
                tables: args.tables,
                allowed: args.allow,
                queue_url: args.queue_url,
                visibility: Duration::from_secs(args.visibility),
                listen: args.listen,
                token: token.as_deref().and_then(Token::new),
                status_page: args.status_page,
                log_files_at_once: args.log_files_at_once,
                max_log_file_bytes: args.max_log_file_bytes,
                grace: Duration::from_secs(args.grace),
                stalled_after: Duration::from_secs(args.stalled_after),
                commit_interval: (!args.no_commit)
                    .then(|| Duration::from_secs(args.commit_interval)),
                delay_max: args.delay_max,
            };
            serve::serve(options, stop_signals()?).await?;
            Ok(SUCCESS)
        }
        Command::Query(args) => ask::query(args).await,
        Command::Report(args) => report::report(args).await,
        Command::Files(args) => ask::files(args).await,
        Command::Tables(args) => ask::tables(args).await,
        Command::Status(args) => ask::status(args).await,
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
        Command::Verify(args) => prove::verify(args).await,
        Command::Retry(args) => {
            let rollups = Rollup::load_folder(&args.rollups).await?;
            let options = Options {
                logs: Vec::new(),
                tables: args.tables,
                max_log_file_bytes: args.max_log_file_bytes,
                threads: args.threads,
                rules: FileRules::load(&[], Some(&args.rollups)).await?,
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
        Command::Rebuild(args) => {
            let rollups = Rollup::load_folder(&args.rollups).await?;
            let options = rebuild::Options {
                table: args.table,
                swap: args.swap,
                dry_run: args.dry_run,
                span: span_of(args.from, args.to)?,
                all: args.all,
                ..args
                    .reading
                    .options(args.tables, Some(args.rollups))
                    .await?
            };
            let (mut out, mut bar) = (Stdout::report(), Bar::default());
            let done = rebuild::rebuild(rollups, &options, &mut out, &mut bar).await?;
            Ok(if done { SUCCESS } else { SOME_NOT_COUNTED })
        }
        Command::Rollback(args) => {
            let options = args
                .reading
                .options(args.tables, args.rules.rollups)
                .await?;
            let (mut out, mut bar) = (Stdout::report(), Bar::default());
            let done = rebuild::rollback(&options, &args.table, &mut out, &mut bar).await?;
            Ok(if done { SUCCESS } else { SOME_NOT_COUNTED })
        }
        Command::Drop(args) => {
            let root = Root::open(&args.tables).await?;
            let mut out = Stdout::report();
            drop::drop(&root, &args.table, args.yes, &mut out).await?;
            Ok(SUCCESS)
        }
        Command::Rename(args) => {
            let options = args
                .reading
                .options(args.tables, args.rules.rollups)
                .await?;
            let (mut out, mut bar) = (Stdout::report(), Bar::default());
            let done = drop::rename(&options, &args.table, &args.new, &mut out, &mut bar).await?;
            Ok(if done { SUCCESS } else { SOME_NOT_COUNTED })
        }
        Command::Erase(args) => {
            // The end of the day, so that the same command later that day goes on with what it has begun.
            let tomorrow = (Utc::now() + TimeDelta::days(1)).date_naive();
            let to = args
                .to
                .unwrap_or(tomorrow.and_time(NaiveTime::MIN).and_utc());
            let lines = Lines {
                condition: args.condition,
                rejected: args.rejected_where,
                from: args.from.unwrap_or(DateTime::<Utc>::MIN_UTC),
                to,
            };
            let options = rebuild::Options {
                table: args.table,
                dry_run: args.dry_run,
                span: span_of(args.from, Some(to))?,
                ..args
                    .reading
                    .options(args.tables, args.rules.rollups)
                    .await?
            };
            let (mut out, mut bar) = (Stdout::report(), Bar::default());
            let done = erase::erase(&lines, &options, &mut out, &mut bar).await?;
            Ok(if done { SUCCESS } else { SOME_NOT_COUNTED })
        }
        Command::Retain(args) => {
            let root = Root::open(&args.tables).await?;
            let mut out = Stdout::report();
            retain::retain(&root, &args.table, args.keep_days, &mut out).await?;
            Ok(SUCCESS)
        }
        Command::Replay(args) => after_writing(SUCCESS, resend(args).await),
        Command::Check(args) => check_rollups(&args).await,
        Command::Alerts(args) => look_at_alerts(args).await,
        Command::Test(args) => {
            let report = test::test(&args.rollups, args.accept).await?;
            let code = match report.has_failures() {
                true => FAILURE,
                false => SUCCESS,
            };
            after_writing(code, print(&mut Stdout::report(), report))
        }
        Command::Ddl(args) => {
            let rollups = Rollup::load_folder(&args.rollups).await?;
            let rollups = rollups.all().map_err(anyhow::Error::msg)?;
            let text = ddl::ddl(&rollups, &args.tables, &args.database);
            after_writing(SUCCESS, print(&mut Stdout::exact(), text))
        }
    }
}

/// Describes a rollup, or all of a folder. One that can't be run, or not over the sample, does not keep the others from being
/// described.
async fn check_rollups(args: &CheckArgs) -> Result<u8> {
    let loaded = match args.rollup.is_dir() {
        true => Rollup::load_folder(&args.rollup.to_string_lossy()).await?,
        false => vec![Rollup::load(&args.rollup).await?].into(),
    };
    let alerts = match args.rollup.is_dir() {
        true => Alerts::load(&args.rollup.to_string_lossy(), &loaded, None).await?,
        false => Alerts::default(),
    };
    let mut code = SUCCESS;
    let mut tell_failure = |error: &anyhow::Error| {
        code = FAILURE;
        let _ = print_error(error);
    };
    for invalid in loaded.invalid {
        tell_failure(&anyhow::Error::msg(invalid.reason));
    }
    for invalid in alerts.invalid {
        tell_failure(&anyhow::Error::msg(invalid.reason));
    }
    let folder = match args.rollup.is_dir() {
        true => Some(args.rollup.as_path()),
        false => args.rollup.parent(),
    };
    let folder = folder.map(|folder| match folder.as_os_str().is_empty() {
        true => ".".into(),
        false => folder.to_string_lossy(),
    });
    let rules = FileRules::load(&[], folder.as_deref()).await?;
    let mut written = Ok(());
    // The exit code reports all rollups, even if the reader has gone.
    let mut tell = |text: String| {
        if written.is_ok() {
            written = print(&mut Stdout::report(), text);
        }
    };
    for (number, rollup) in loaded.rollups.into_iter().enumerate() {
        let apart = if number > 0 { "\n" } else { "" };
        tell(format!("{apart}{}\n", check::describe(&rollup)));
        if args.sample.is_empty() {
            continue;
        }
        let name = rollup.definition().name.clone();
        match check::sample(rollup, &args.sample, &rules, &mut Bar::default()).await {
            Ok(sample) => tell(sample),
            Err(error) => tell_failure(&error.context(format!("table {name}"))),
        }
    }
    for alert in &alerts.alerts {
        tell(format!("\n{}", check::describe_alert(alert)));
    }
    after_writing(code, written)
}

/// Prints the rows that each alert returns now.
async fn look_at_alerts(args: AlertsArgs) -> Result<u8> {
    let rollups = Rollup::load_folder(&args.rollups).await?;
    let Alerts {
        alerts, invalid, ..
    } = Alerts::load(&args.rollups, &rollups, None).await?;
    if alerts.is_empty() && invalid.is_empty() {
        bail!(
            "{}/alerts: no .sql file found; write each alert as a file <name>.sql with one SELECT",
            args.rollups.trim_end_matches('/')
        );
    }
    let root = Root::open(&args.tables).await?;
    let mut code = SUCCESS;
    let mut tell_failure = |error: &anyhow::Error| {
        code = FAILURE;
        let _ = print_error(error);
    };
    for invalid in invalid {
        tell_failure(&anyhow::Error::msg(invalid.reason));
    }
    let (mut out, mut written) = (Stdout::report(), Ok(()));
    for alert in &alerts {
        match Alerts::look(&root, alert, args.from).await {
            Ok(seen) if written.is_ok() => written = summary::print_look(alert, &seen, &mut out),
            Ok(_) => {}
            Err(error) => tell_failure(&error.context(format!("alert {}", alert.name))),
        }
    }
    after_writing(code, written.map_err(Into::into))
}

/// Writes a text, and flushes it.
fn print(out: &mut impl Write, text: impl Display) -> Result<()> {
    write!(out, "{text}")?;
    Ok(out.flush()?)
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
    let mut bar = Bar::default();
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
                only: match args.missing {
                    true => args.ignore.tables().await?,
                    false => None,
                },
                rules: args.ignore.load().await?,
            };
            let work = work.filter(|_| !args.dry_run);
            replay::replay(&options, work.as_ref(), &mut each, &mut bar)
                .await?
                .to_string()
        }
        (None, None) => bail!("nothing to replay: give --logs with --from, or --dead-letters"),
    };
    match args.dry_run {
        // Standard output has the log files that would be sent, for other programs to read.
        true => print(&mut stderr(), said),
        false => print(&mut Stdout::report(), said),
    }
}

impl cli::IgnoreArgs {
    async fn load(&self, rollups: Option<&str>) -> Result<FileRules> {
        FileRules::load(&self.ignore, rollups).await
    }
}

/// The span of time between two ends, of which one or both may be open.
fn span_of(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Result<Option<Span>> {
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    let from = from.unwrap_or(DateTime::<Utc>::MIN_UTC);
    Ok(Some(Span::new(
        from,
        to.unwrap_or(DateTime::<Utc>::MAX_UTC),
    )?))
}

impl cli::RebuildReading {
    /// `rollups` is the folder with the rules of plain logs.
    async fn options(self, tables: String, rollups: Option<String>) -> Result<rebuild::Options> {
        let queue = match &self.queue_url {
            Some(url) => Some(Arc::new(SqsQueue::open(url).await?)),
            None => None,
        };
        Ok(rebuild::Options {
            queue,
            logs: self.logs,
            rules: FileRules::load(&[], rollups.as_deref()).await?,
            tables,
            table: None,
            swap: rebuild::When::Now,
            dry_run: false,
            span: None,
            all: false,
            max_log_file_bytes: self.max_log_file_bytes,
            threads: self.threads,
        })
    }
}

impl cli::IgnoreByArgs {
    /// The tables of the rollups, if they are given.
    async fn tables(&self) -> Result<Option<BTreeSet<String>>> {
        let Some(rollups) = &self.rollups else {
            return Ok(None);
        };
        match Rollup::load_folder(rollups).await {
            Ok(rollups) => Ok(Some(rollups.tables())),
            // The folder has only patterns of files to ignore.
            Err(RollupError::NoRollups(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn load(&self) -> Result<FileRules> {
        self.ignore.load(self.rollups.as_deref()).await
    }
}

impl cli::SpanArgs {
    fn span(&self) -> Result<Span> {
        let from = self
            .from
            .context("--from is missing: give the start of the time range")?;
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
