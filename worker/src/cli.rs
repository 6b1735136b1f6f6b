//! The command line's words.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use logmill::commands::query::Format;
use logmill::intake::span::parse_time;
use logmill::pipeline::LOG_FILES_AT_ONCE_MAX;
use logmill_shared::notification::Allowed;

/// Keeps materialized views over the access logs of AWS load balancers: you write a rollup in Athena's SQL, and
/// a Delta Lake table is exactly what that SQL returns over every log file so far.
///
/// Exit codes: 0 done; 1 it could not be done; 2 a mistake in the command line; 3 done, but some log files
/// are not counted, or there are none.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Count log files: run every rollup over those that its table has not counted yet.
    ///
    /// It may be stopped at any moment and run again: each log file counts once.
    Run(RunArgs),
    /// Work for as long as it runs: count the log files that a queue or a Lambda function announces.
    ///
    /// Any number of workers may share the queue and the tables; one of them at a time commits. SIGTERM or SIGINT
    /// makes it finish what is in hand; a second one ends it at once, which does no harm either.
    Serve(ServeArgs),
    /// Query the tables with SQL.
    ///
    /// Each table is there under its name, and the ledgers of all of them as log_files. Unique users of a
    /// sketch: cardinality(merge(cast(users AS HyperLogLog))). A percentile of one:
    /// value_at_quantile(merge(cast(latency AS tdigest)), 0.99).
    Query(QueryArgs),
    /// List the log files that have been counted, with lines, rejected lines, times and bytes.
    Files(FilesArgs),
    /// Keep tables small: pack the files of days that are over, and delete what was replaced.
    ///
    /// Once a day is enough. It may be stopped at any moment, and may run while log files are counted.
    Maintain(MaintainArgs),
    /// Prove that every log file of a span of time is counted, or tell which are not, and why.
    ///
    /// Lists the log files and holds them against the ledgers. What no ledger has is looked into: it may be no log, or
    /// unreadable. Exit code 0 says that there are log files, and that all are counted, or staged and can be committed.
    /// 3 says that some are missing, failed, set aside, changed or of no known kind, or that a table can't be read. If the
    /// logs can't be listed, or no table can be read, that is an error (1).
    Verify(VerifyArgs),
    /// Send log files to the queue again: those of a span of time, the missing ones among them, or dead letters.
    ///
    /// A log file that is sent again is not counted again. It may be stopped at any moment and run again.
    Replay(ReplayArgs),
    /// Try again what is set aside: log files that a table could not count as they stand.
    ///
    /// What is staged is put back for the next commit, and the other log files are read again. Exit code 3 says that some are
    /// still set aside; `logmill verify` names those of a span of time at any moment.
    Retry(RetryArgs),
    /// Check a rollup: its columns, types and merge rules; with a sample of logs, what it comes to.
    Check(CheckArgs),
    /// Print what makes the tables known to Athena, and queries to begin with.
    ///
    /// The tables need not be there yet. Athena runs one statement at a time.
    Ddl(DdlArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Log files, and folders of them with all that is below: paths, or s3://bucket/key.
    ///
    /// s3://bucket/key is the object of that key or, if there is none, the folder key/. Credentials, region
    /// and endpoint are found as by the AWS command line: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and the like.
    #[arg(required = true)]
    pub(crate) logs: Vec<String>,
    /// The folder of rollups, or s3://bucket/prefix: each file <table>.sql in it makes a table.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// The folder of tables, which is made if there is none, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// The most text that one log file may expand to, in bytes; a larger one fails.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30)]
    pub(crate) max_log_file_bytes: u64,
    /// Log files read at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = at_once)]
    pub(crate) threads: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) ignore: IgnoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The folder of rollups, or s3://bucket/prefix.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// The folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Only what is set aside for this table
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// The most text that one log file may expand to, in bytes; a larger one fails.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30)]
    pub(crate) max_log_file_bytes: u64,
    /// Log files read at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = at_once)]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// What is left out.
#[derive(Debug, Args)]
pub(crate) struct IgnoreArgs {
    /// Leave out files of this name: a pattern as *.txt or, with a slash, of the end of a path, as copies/**. May be given
    /// more than once.
    ///
    /// Patterns are also taken from the file ignore.txt in the folder of rollups, one a line, so that all workers and
    /// verify agree.
    #[arg(long, value_name = "GLOB")]
    pub(crate) ignore: Vec<String>,
}

/// What is left out, by a command that has no other use for rollups.
#[derive(Debug, Args)]
pub(crate) struct IgnoreByArgs {
    #[command(flatten)]
    pub(crate) ignore: IgnoreArgs,
    /// The folder of rollups, or s3://bucket/prefix, whose ignore.txt is to be followed.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The folder of rollups, or s3://bucket/prefix: each file <table>.sql in it makes a table.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// The folder of tables, which is made if there is none, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// A place that log files may be read from: s3://bucket or s3://bucket/prefix. May be given more than once.
    #[arg(long, value_name = "PLACE", required = true)]
    pub(crate) allow: Vec<Allowed>,
    /// The SQS queue that announces log files: messages of lambda-dispatch, or S3's own notifications, also by way
    /// of SNS or EventBridge.
    #[arg(long, value_name = "URL")]
    pub(crate) queue_url: Option<String>,
    /// Where to answer HTTP: /healthz, /readyz, /metrics, and, if the environment has DISPATCH_TOKEN, which callers
    /// must show as a bearer token, POST /v1/log-files.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Log files staged at once [default: 4 per core]
    #[arg(long, value_name = "N", value_parser = at_once)]
    pub(crate) log_files_at_once: Option<NonZeroUsize>,
    /// The most text that one log file may expand to, in bytes; a larger one fails.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30)]
    pub(crate) max_log_file_bytes: u64,
    /// Seconds that a message is hidden from other workers for at once; it is hidden on while it is worked on. After
    /// so long the message of a worker that has died is seen by others.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = RangedU64ValueParser::<u64>::new().range(6..=3600))]
    pub(crate) visibility: u64,
    /// Seconds that what is in hand may take once it is time to stop. To give back the rest takes up to 5 more, and
    /// the platform must allow for both: ECS gives 30.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = RangedU64ValueParser::<u64>::new().range(0..=3600))]
    pub(crate) grace: u64,
    /// Seconds in which nothing is read of a log file before its message is given back: it hangs. A large log file takes longer
    /// than that, but is read from all the time. So long must rows be grouped and staged, too.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = RangedU64ValueParser::<u64>::new().range(1..=43200))]
    pub(crate) stalled_after: u64,
    /// Seconds between commits. Fewer, and rows are seen sooner; more, and fewer objects are written.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3600))]
    pub(crate) commit_interval: u64,
    /// Stage only, and leave commits to other workers.
    #[arg(long)]
    pub(crate) no_commit: bool,
    #[command(flatten)]
    pub(crate) ignore: IgnoreArgs,
}

fn at_once(text: &str) -> Result<NonZeroUsize, String> {
    let number: NonZeroUsize = text.parse().map_err(|_| "a number from 1 on".to_owned())?;
    match number.get() {
        ..=LOG_FILES_AT_ONCE_MAX => Ok(number),
        _ => Err(format!(
            "at most {LOG_FILES_AT_ONCE_MAX}, as each log file takes a thread"
        )),
    }
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// One SQL statement.
    pub(crate) sql: String,
    /// The folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// The folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// How rows are written [default: table]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// The file to write to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MaintainArgs {
    /// The folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Hours that files are kept for after they were replaced, for queries that read older versions.
    #[arg(long, value_name = "HOURS", default_value_t = 6, value_parser = RangedU64ValueParser::<u64>::new().range(1..=144))]
    pub(crate) grace_hours: u64,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The rollup: a file <table>.sql.
    pub(crate) rollup: PathBuf,
    /// Log files, or folders of them, to try it on: paths, or s3://bucket/key. Nothing is kept.
    #[arg(long, value_name = "LOGS", num_args = 1..)]
    pub(crate) sample: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DdlArgs {
    /// The folder of rollups, or s3://bucket/prefix: each file <table>.sql in it makes a table.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// Where the tables are: s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// The database that they go to.
    #[arg(long, value_name = "NAME", default_value = "logmill")]
    pub(crate) database: String,
}

/// A span of time that log files belong to.
#[derive(Debug, Args)]
pub(crate) struct SpanArgs {
    /// The first log files: 2026-11-20, 2026-11-20T10 or 2026-11-20T10:05Z, in UTC.
    ///
    /// A log file belongs to the time in its name, the end of its five minutes; one without, to the time when it was
    /// last modified. Of folders by date (2026/11/20/, date=2026-11-20/) only those of the span are listed, of the day
    /// before it, and of the 7 days after it: what AWS has delivered later than that is not found.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// The end, which does not belong to it [default: 15 minutes ago, as later log files may be under way]
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "from")]
    pub(crate) to: Option<DateTime<Utc>>,
}

#[derive(Debug, Args)]
#[command(mut_arg("from", |from| from.required(true)))]
pub(crate) struct VerifyArgs {
    /// Where the log files are: s3://bucket/prefix, or a folder.
    #[arg(long, value_name = "LOGS")]
    pub(crate) logs: String,
    /// The folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
    #[command(flatten)]
    pub(crate) ignore: IgnoreByArgs,
    /// How the report is written.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The work queue's URL.
    #[arg(long, value_name = "URL", required_unless_present = "dry_run")]
    pub(crate) queue_url: Option<String>,
    /// Send log files from here: s3://bucket/prefix.
    #[arg(
        long,
        value_name = "LOGS",
        requires = "from",
        required_unless_present = "dead_letters"
    )]
    pub(crate) logs: Option<String>,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
    /// Only those that no ledger has: neither counted by all tables that read them, nor staged.
    #[arg(long, requires_all = ["logs", "tables"])]
    pub(crate) missing: bool,
    /// The tables: a folder, or s3://bucket/prefix. What is in it is not sent.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: Option<String>,
    /// Move all messages of this dead-letter queue to the work queue instead.
    ///
    /// By a task of SQS, which goes on if this is stopped. SQS takes only a queue that the redrive policy of
    /// another names.
    #[arg(long, value_name = "URL", conflicts_with_all = ["logs", "from", "to", "missing", "tables"])]
    pub(crate) dead_letters: Option<String>,
    /// Only print what would be sent. (To look at dead letters hides them for some seconds.)
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Messages a second at most.
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) ignore: IgnoreByArgs,
}
