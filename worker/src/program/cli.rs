//! The command line: commands, options and their help.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use crate::commands::query::Format;
use crate::commands::rebuild::When;
use crate::commands::serve::StatusPage;
use crate::intake::span::parse_time;
use crate::pipeline::LOG_FILES_AT_ONCE_MAX;
use chrono::{DateTime, Utc};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use logmill_shared::notification::Allowed;

const MINUTE: Duration = Duration::from_mins(1);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Aggregates the access logs of AWS load balancers into Delta Lake tables. You write a rollup in Athena's SQL; the
/// table holds exactly what that SQL returns over all log files so far.
///
/// Exit codes: 0 success; 1 the command failed; 2 invalid command line; 3 the command finished, but some log files are
/// not counted, or no log files were found.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Count log files: run each rollup over the log files that its table has not counted yet.
    ///
    /// You can stop it at any time and run it again. Each log file is counted once.
    Run(RunArgs),
    /// Run a worker: count the log files that arrive by an SQS queue or by HTTP.
    ///
    /// Any number of workers can share a queue and tables; one of them commits at a time. On SIGTERM or SIGINT the worker
    /// finishes the log files in progress and shuts down. A second signal ends it immediately; nothing is lost.
    Serve(ServeArgs),
    /// Query the tables with SQL, or the lines of log files with --logs.
    ///
    /// Each table has its own name. The table log_files lists the log files that each table has counted; failed_lines lists
    /// lines on which a rollup failed; final_until says up to when each table is final. To count distinct values of a sketch column:
    /// cardinality(merge(cast(users AS HyperLogLog))). For a percentile:
    /// value_at_quantile(merge(cast(latency AS tdigest)), 0.99).
    Query(QueryArgs),
    /// Show the tables as pictures: one HTML file that needs nothing else, or with --serve a page on this machine.
    ///
    /// Counts and sums over time, percentiles, distinct values, the most frequent keys, rejected lines, and which hours have no
    /// log files, each with its figures and its SQL. Exit code 3: a table cannot be read; the page says which one and shows the others.
    Report(ReportArgs),
    /// List the counted log files with their lines, rejected lines, times and sizes.
    Files(FilesArgs),
    /// List the tables: what feeds them, their size, how fresh they are, and what is staged or set aside.
    Tables(ListTablesArgs),
    /// Say up to when each table is final: all log files of that time are counted, as long as none is later than a bound.
    ///
    /// It also says what each table waits for, and which log files have come too late. Exit code 3: a table cannot be read.
    Status(StatusArgs),
    /// Compact and vacuum tables: merge the data files of past days, and delete files that have been replaced.
    ///
    /// Run it once a day. You can stop it at any time, and run it while log files are being counted.
    Maintain(MaintainArgs),
    /// Check that each log file of a time range is counted. Report those that are not, and why.
    ///
    /// Compares the list of log files with the ledgers of the tables, and opens each file that is in no ledger: it may not
    /// be a log file, or may be unreadable. Exit code 0: there are log files, and all are counted, or are staged and can be
    /// committed. Exit code 3: some are missing, failed, set aside, changed or unrecognised, or a table cannot be read.
    /// Exit code 1: the log files cannot be listed, or no table can be read.
    ///
    /// With --certificate, also writes what the tables hold for these days into a file. With --against, only compares the
    /// tables with such a file. Exit code 3: something is not as certified.
    Verify(VerifyArgs),
    /// Send log files to the queue again: those of a time range, only the missing ones, or dead letters.
    ///
    /// A log file that is sent twice is still counted once. You can stop the command at any time and run it again.
    Replay(ReplayArgs),
    /// Retry log files that are set aside because a table could not count them.
    ///
    /// Staged log files are put back for the next commit; the others are read again. Exit code 3: some are still set aside.
    /// `logmill verify` lists those of a time range.
    Retry(RetryArgs),
    /// Rebuild tables whose rollups have changed: count their log files again by the new SQL, show the difference, and let the
    /// rebuilt table take the old one's place in one version.
    ///
    /// Workers go on meanwhile, and feed both. You can stop the command at any time and run it again. Exit code 3: a table is
    /// not rebuilt, or not swapped.
    Rebuild(RebuildArgs),
    /// Take the last swap of a table back, within three days. What was counted since then is counted in the earlier one too.
    Rollback(RollbackArgs),
    /// Delete a table: its rows, and what it knows of the log files that it has counted. Without --yes, only say what would be deleted.
    Drop(DropArgs),
    /// Give a table another name. It is copied, and the copy counts what the table counts meanwhile; then the table is dropped.
    ///
    /// You can stop the command at any time and run it again. Exit code 3: log files that the table has counted can't be read.
    Rename(RenameArgs),
    /// Erase log lines from tables: compute the rows of their hours anew without them.
    ///
    /// Each table remembers the condition, so that neither a later rebuild nor a log file that comes late brings the lines back. The log
    /// files stay as they are. You can stop the command at any time and run it again. Exit code 3: some lines could not be erased.
    Erase(EraseArgs),
    /// Set for how many days tables keep their rows. Older rows are removed at once, and from then on by workers and `logmill maintain`.
    ///
    /// A table still knows which log files it has counted, and counts none again. Queries see rows go with a new version of the table; the
    /// files are deleted some hours later.
    Retain(RetainArgs),
    /// Check rollups: print their columns, types and merge rules, and with --sample their results over some log files. Of a folder, check
    /// the alerts too.
    ///
    /// Exit code 1: a rollup cannot be run, or not over the sample; or an alert cannot be evaluated.
    Check(CheckArgs),
    /// Show which rows the alerts return over the final hours of their tables. Nothing is told, and nothing is stored.
    ///
    /// The alerts are the files alerts/<name>.sql in the folder of rollups. `logmill serve` and `logmill run` tell their rows. Exit code 1:
    /// an alert cannot be evaluated.
    Alerts(AlertsArgs),
    /// Test rollups: run them over the log lines of test cases, and compare their results with the expected rows.
    ///
    /// The cases of rollups/events.sql are in the folder rollups/events.test, each as two files: <case>.log or <case>.log.gz
    /// has log lines as AWS writes them, and <case>.csv the rows that SELECT * FROM events returns. Exit code 1: a case
    /// has failed.
    Test(TestArgs),
    /// Print the statements that register the tables in Athena, and example queries.
    ///
    /// The tables need not exist yet. Athena runs one statement at a time.
    Ddl(DdlArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Log files, or folders with log files at any depth: paths, or s3://bucket/key.
    ///
    /// s3://bucket/key is the object with that key or, if there is none, the folder key/. Credentials, region and
    /// endpoint are configured as for the AWS CLI: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and so on.
    #[arg(required = true)]
    pub(crate) logs: Vec<String>,
    /// Folder of rollups, or s3://bucket/prefix. Each file <table>.sql defines a table.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// Folder of tables, or s3://bucket/prefix. Created if it does not exist.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Maximum decompressed size of a log file, in bytes. A larger log file fails.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30)]
    pub(crate) max_log_file_bytes: u64,
    /// Number of log files to read concurrently [default: one per core]
    #[arg(long, value_name = "N", value_parser = at_once)]
    pub(crate) threads: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) ignore: IgnoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// Folder of rollups, or s3://bucket/prefix.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Rebuild only this table
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Compute only rows of this time or later anew, and keep what is before [example: 2026-11-20 or 2026-11-20T10, UTC]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// Compute only rows before this time anew, and keep what is after.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) to: Option<DateTime<Utc>>,
    /// With --from or --to: also tables whose rollups have not changed, because log files have. With --table, they are meant anyway.
    #[arg(long)]
    pub(crate) all: bool,
    /// When the rebuilt table takes the old one's place.
    #[arg(long, value_enum, default_value = "now")]
    pub(crate) swap: When,
    /// Only say what changes, what would be read, how long it takes and what it costs.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) reading: RebuildReading,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The table's name
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    #[command(flatten)]
    pub(crate) rules: PlainRules,
    #[command(flatten)]
    pub(crate) reading: RebuildReading,
}

#[derive(Debug, Args)]
pub(crate) struct DropArgs {
    /// The table's name
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Delete it
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    /// The lines: a condition on the columns of the log table [example: "client_ip = '192.0.2.7'"]
    #[arg(
        long = "where",
        value_name = "CONDITION",
        required_unless_present = "rejected_where"
    )]
    pub(crate) condition: Option<String>,
    /// Rows of rejected_lines: a condition on its columns, whatever --from and --to [example: "line LIKE '%user=4711%'"]
    #[arg(long, value_name = "CONDITION")]
    pub(crate) rejected_where: Option<String>,
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Only from this table [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Only lines of this time or later [default: all that were counted]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// Only lines before this time [default: the end of this day in UTC]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) to: Option<DateTime<Utc>>,
    /// Only say what would be read, how long it takes and what it costs.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) rules: PlainRules,
    #[command(flatten)]
    pub(crate) reading: RebuildReading,
}

#[derive(Debug, Args)]
pub(crate) struct RetainArgs {
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Only these tables [default: all, also rejected_lines]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) table: Vec<String>,
    /// Keep the rows of today and of this many days before (UTC)
    #[arg(long, value_name = "DAYS", required_unless_present = "forever", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) keep_days: Option<u32>,
    /// Keep all rows
    #[arg(long, conflicts_with = "keep_days")]
    pub(crate) forever: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// The table's name
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,
    /// Its new name
    #[arg(value_name = "NEW_NAME")]
    pub(crate) new: String,
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    #[command(flatten)]
    pub(crate) rules: PlainRules,
    #[command(flatten)]
    pub(crate) reading: RebuildReading,
}

/// How the lines of plain logs are written, for a command that needs no rollups otherwise.
#[derive(Debug, Args)]
pub(crate) struct PlainRules {
    /// Folder of rollups, or s3://bucket/prefix. Only plain.txt is read from there, which says how plain logs are written.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: Option<String>,
}

/// How log files are read again.
#[derive(Debug, Args)]
pub(crate) struct RebuildReading {
    /// Let the workers of this queue read the log files, instead of this process.
    #[arg(long, value_name = "URL")]
    pub(crate) queue_url: Option<String>,
    /// Where the log files are: folders, or s3://bucket/prefix. Only those that the table has counted are read. Without this
    /// option, each is looked up by its URI, which takes a request for each.
    #[arg(long, value_name = "LOGS", num_args = 1..)]
    pub(crate) logs: Vec<String>,
    /// Maximum decompressed size of a log file, in bytes. A larger log file fails.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30)]
    pub(crate) max_log_file_bytes: u64,
    /// Number of log files to read concurrently [default: one per core]
    #[arg(long, value_name = "N", value_parser = at_once)]
    pub(crate) threads: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Folder of rollups, or s3://bucket/prefix.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Retry only log files that are set aside for this table
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Maximum decompressed size of a log file, in bytes. A larger log file fails.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30)]
    pub(crate) max_log_file_bytes: u64,
    /// Number of log files to read concurrently [default: one per core]
    #[arg(long, value_name = "N", value_parser = at_once)]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// Files to leave out.
#[derive(Debug, Args)]
pub(crate) struct IgnoreArgs {
    /// Leave out files that match this pattern. A pattern without a slash, such as *.txt, matches file names; one with a
    /// slash, such as copies/**, matches the end of the path. Can be repeated.
    ///
    /// Patterns are also read from ignore.txt in the folder of rollups, one per line, so that all workers and `verify`
    /// use the same ones. plain.txt there says how the lines of plain logs are written.
    #[arg(long, value_name = "GLOB")]
    pub(crate) ignore: Vec<String>,
}

/// Files to leave out, for a command that needs no rollups otherwise.
#[derive(Debug, Args)]
pub(crate) struct IgnoreByArgs {
    #[command(flatten)]
    pub(crate) ignore: IgnoreArgs,
    /// Folder of rollups, or s3://bucket/prefix: only their tables are judged, and ignore.txt is read from there. Without it,
    /// all tables are judged, also those whose rollups have gone.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Folder of rollups, or s3://bucket/prefix. Each file <table>.sql defines a table.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// Folder of tables, or s3://bucket/prefix. Created if it does not exist.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Location from which log files may be read: s3://bucket or s3://bucket/prefix. Can be repeated.
    #[arg(long, value_name = "PLACE", required = true)]
    pub(crate) allow: Vec<Allowed>,
    /// URL of the SQS queue that announces log files. Its messages come from lambda-dispatch or from S3 event
    /// notifications, directly or through SNS or EventBridge.
    #[arg(long, value_name = "URL")]
    pub(crate) queue_url: Option<String>,
    /// Address of the HTTP server, which has /healthz, /readyz and /metrics. It also accepts POST /v1/log-files if
    /// DISPATCH_TOKEN is set; callers must send that token as a bearer token.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Who may see the status page, which --listen serves at / and as JSON at /v1/status.
    #[arg(long, value_enum, value_name = "WHO", default_value = "token")]
    pub(crate) status_page: StatusPage,
    /// Number of log files to stage concurrently [default: 4 per core]
    #[arg(long, value_name = "N", value_parser = at_once)]
    pub(crate) log_files_at_once: Option<NonZeroUsize>,
    /// Maximum decompressed size of a log file, in bytes. A larger log file fails.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30)]
    pub(crate) max_log_file_bytes: u64,
    /// SQS visibility timeout in seconds. It is extended automatically while a message is being processed. If a worker
    /// dies, its messages become visible to others after this time.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = RangedU64ValueParser::<u64>::new().range(6..=3600))]
    pub(crate) visibility: u64,
    /// Seconds to finish log files in progress after a shutdown signal. Returning the other messages to the queue takes up
    /// to 5 seconds more. The platform's stop timeout must cover both; the default of ECS is 30.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = RangedU64ValueParser::<u64>::new().range(0..=3600))]
    pub(crate) grace: u64,
    /// Seconds without progress after which a log file counts as stalled, and its message is returned to the queue. Reading
    /// any bytes is progress, so a large log file may take longer. Grouping and staging its rows must also take less.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = RangedU64ValueParser::<u64>::new().range(1..=43200))]
    pub(crate) stalled_after: u64,
    /// Seconds between commits. With a shorter interval rows become visible sooner; with a longer one fewer objects are
    /// written.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3600))]
    pub(crate) commit_interval: u64,
    /// Only stage log files; other workers commit.
    #[arg(long)]
    pub(crate) no_commit: bool,
    /// The longest time from the end of a log file's five minutes until it is counted, as long as all is well. By this bound,
    /// the worker records up to when each table is final; see `logmill status`.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time_span)]
    pub(crate) delay_max: Duration,
    #[command(flatten)]
    pub(crate) ignore: IgnoreArgs,
}

/// A time span: `90s`, `5m`, `1h` or `1d`, at most a week.
fn time_span(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and a unit, such as 5m or 1h".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => number.checked_mul(1),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(60 * 60),
        "d" => number.checked_mul(24 * 60 * 60),
        _ => return Err(wrong()),
    };
    let span = seconds.map(Duration::from_secs);
    span.filter(|span| (MINUTE..=WEEK).contains(span))
        .ok_or_else(|| "must be at least 1m and at most 7d".to_owned())
}

fn at_once(text: &str) -> Result<NonZeroUsize, String> {
    let number: NonZeroUsize = text
        .parse()
        .map_err(|_| "expected a number of at least 1".to_owned())?;
    match number.get() {
        ..=LOG_FILES_AT_ONCE_MAX => Ok(number),
        _ => Err(format!(
            "must be at most {LOG_FILES_AT_ONCE_MAX}: each log file takes a thread"
        )),
    }
}

/// SQL may begin with a comment, but a word with a hyphen is a misspelled option.
fn sql(text: &str) -> Result<String, String> {
    match text.len() > 1 && text.starts_with('-') && !text.contains(char::is_whitespace) {
        true => Err(format!("there is no option {text}")),
        false => Ok(text.to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// SQL statement: a SELECT, DESCRIBE <table> or SHOW TABLES. - reads it from standard input.
    ///
    /// Without a statement, it is read from standard input; on a terminal, you are asked for one after the other.
    #[arg(conflicts_with = "file", allow_hyphen_values = true, value_parser = sql)]
    pub(crate) sql: Option<String>,
    /// File with the SQL statement.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tables: TablesArgs,
    /// Query the lines of these log files instead of tables: a file, a folder or s3://bucket/key. Can be repeated.
    ///
    /// The log tables are those of rollups, but any SELECT is allowed. Conditions on the column
    /// day, or on the lines' time, restrict which folders and files are read. --tables is then a folder to leave out.
    #[arg(long, value_name = "LOGS")]
    pub(crate) logs: Vec<String>,
    /// Folder of rollups, or s3://bucket/prefix, whose lookups the SQL may use.
    ///
    /// It may join CSV and Parquet files as tables, and call logmill.geoip and logmill.user_agent. With --logs, ignore.txt and
    /// plain.txt are read from there too.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: Option<String>,
    /// Maximum decompressed size of a log file, in bytes. The rest of a larger log file is not read.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30, requires = "logs")]
    pub(crate) max_log_file_bytes: u64,
    /// Leave out log files that match this pattern, as in `logmill run`. Can be repeated.
    #[arg(long, value_name = "GLOB", requires = "logs")]
    pub(crate) ignore: Vec<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where_to").required(true).args(["output", "serve"]))]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) tables: TablesArgs,
    /// Only these tables [default: all]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) table: Vec<String>,
    /// Start of the time range, in UTC [default: the earliest line] [example: 2026-11-20 or 2026-11-20T10]
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "serve")]
    pub(crate) from: Option<DateTime<Utc>>,
    /// End of the time range, exclusive [default: after the newest line]
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "serve")]
    pub(crate) to: Option<DateTime<Utc>>,
    /// Compare with the time range of the same length before.
    #[arg(long, conflicts_with = "serve")]
    pub(crate) compare: bool,
    /// HTML file to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Serve the report at this address instead, with a form for the time range, filters and comparison. Without an address: at a free
    /// port of this machine, not reachable from others. Anyone with access to the address can read the tables.
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    pub(crate) serve: Option<SocketAddr>,
}

/// The tables that a command reads.
#[derive(Debug, Args)]
pub(crate) struct TablesArgs {
    /// Folder of tables, or s3://bucket/prefix [default: the environment variable LOGMILL_TABLES]
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    pub(crate) tables: TablesArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ListTablesArgs {
    #[command(flatten)]
    pub(crate) tables: TablesArgs,
    /// Folder of rollups, or s3://bucket/prefix. With it, the list says what feeds each table.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) tables: TablesArgs,
    /// Format of the report.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Output format [default: by the ending of the output file, or else table]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Print one line for each column, for wide rows. The same as --format vertical.
    #[arg(long, conflicts_with = "format")]
    pub(crate) vertical: bool,
    /// Draw the rows: lines over the first column with times, or a bar for each row. The same as --format chart.
    #[arg(long, conflicts_with_all = ["format", "vertical"])]
    pub(crate) chart: bool,
    /// Output file [default: standard output]. Its ending gives the format: .csv, .json, .ndjson, .parquet or .txt.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MaintainArgs {
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Hours to keep files after they have been replaced, for queries that are still reading older versions.
    #[arg(long, value_name = "HOURS", default_value_t = 6, value_parser = RangedU64ValueParser::<u64>::new().range(1..=144))]
    pub(crate) grace_hours: u64,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Rollup file: <table>.sql, or a folder of them.
    pub(crate) rollup: PathBuf,
    /// Log files, or folders with log files, to run each rollup on: paths, or s3://bucket/key. Nothing is stored.
    #[arg(long, value_name = "LOGS", num_args = 1..)]
    pub(crate) sample: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsArgs {
    /// Folder of rollups, or s3://bucket/prefix. The alerts are in the folder alerts in it.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Only rows of this time or later, in UTC [default: two days before the end of the last final hour]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) from: Option<DateTime<Utc>>,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Folder of rollups. The test cases of <table>.sql are in <table>.test beside it.
    #[arg(long, value_name = "DIR", default_value = "rollups")]
    pub(crate) rollups: String,
    /// Write the rows of failed cases, and of those without expected rows, as the expected ones. Check them before you
    /// commit them.
    #[arg(long)]
    pub(crate) accept: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DdlArgs {
    /// Folder of rollups, or s3://bucket/prefix. Each file <table>.sql defines a table.
    #[arg(long, value_name = "DIR")]
    pub(crate) rollups: String,
    /// Location of the tables: s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    /// Athena database in which to register the tables.
    #[arg(long, value_name = "NAME", default_value = "logmill")]
    pub(crate) database: String,
}

/// The time range of log files.
#[derive(Debug, Args)]
pub(crate) struct SpanArgs {
    /// Start of the time range, in UTC: 2026-11-20, 2026-11-20T10 or 2026-11-20T10:05Z.
    ///
    /// The time of a log file is the one in its name, the end of its five minutes; without one, it is the time of its last
    /// modification. Of date folders (2026/11/20/, date=2026-11-20/), only those from one day before the range to 7 days
    /// after it are listed, so log files that AWS delivered more than 7 days late are not found.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// End of the time range, exclusive [default: 15 minutes ago, because later log files may still arrive]
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "from")]
    pub(crate) to: Option<DateTime<Utc>>,
}

#[derive(Debug, Args)]
#[command(mut_arg("from", |from| from.required_unless_present("against")))]
pub(crate) struct VerifyArgs {
    /// Location of the log files: s3://bucket/prefix, or a folder. With --against, their ETags and sizes are compared too.
    #[arg(long, value_name = "LOGS", required_unless_present = "against")]
    pub(crate) logs: Option<String>,
    /// Folder of tables, or s3://bucket/prefix.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: String,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
    #[command(flatten)]
    pub(crate) ignore: IgnoreByArgs,
    /// List intervals of this length for which a node of a load balancer delivered no log file, although it did before and
    /// after: 5m, or 60m for Classic Load Balancers that publish hourly.
    ///
    /// A node without traffic writes no log file, so this is no failure, and the exit code is the same.
    #[arg(long, value_name = "TIME", value_parser = time_span)]
    pub(crate) expect_every: Option<Duration>,
    /// Write a certificate to this file: of each day and table, the counted log files with their ETags and lines, and the totals of
    /// the rows, under one hash.
    ///
    /// --from and --to must be days. The file is written even if log files are missing, and says so.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Put AWS's own number of requests beside the lines: a file with the output of `aws cloudwatch get-metric-data` or
    /// `get-metric-statistics` for the metric RequestCount. Can be repeated.
    ///
    /// Write BALANCER=FILE if the file does not name the load balancer, as in app/my-loadbalancer/50dc6c495c0c9188=counts.json.
    #[arg(long, value_name = "[BALANCER=]FILE", requires = "certificate")]
    pub(crate) request_count: Vec<String>,
    /// Check the certificate in this file: whether its tables still hold the same log files and totals, and which differ. The days and
    /// the tables are those of the file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "from", "to"])]
    pub(crate) against: Option<PathBuf>,
    /// Format of the report.
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
    /// URL of the work queue.
    #[arg(long, value_name = "URL", required_unless_present = "dry_run")]
    pub(crate) queue_url: Option<String>,
    /// Location of the log files to send: s3://bucket/prefix.
    #[arg(
        long,
        value_name = "LOGS",
        requires = "from",
        required_unless_present = "dead_letters"
    )]
    pub(crate) logs: Option<String>,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
    /// Send only missing log files: those that are neither staged nor counted by each table that reads them.
    #[arg(long, requires_all = ["logs", "tables"])]
    pub(crate) missing: bool,
    /// Folder of tables, or s3://bucket/prefix. Objects in it are not sent.
    #[arg(long, value_name = "ROOT")]
    pub(crate) tables: Option<String>,
    /// Move all messages of this dead-letter queue to the work queue instead.
    ///
    /// An SQS message move task moves them, and continues if this command is stopped. The queue must be the dead-letter
    /// queue in the redrive policy of another queue.
    #[arg(long, value_name = "URL", conflicts_with_all = ["logs", "from", "to", "missing", "tables"])]
    pub(crate) dead_letters: Option<String>,
    /// Only print what would be sent. (Looking at dead letters makes them invisible for some seconds.)
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Maximum number of messages per second.
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) ignore: IgnoreByArgs,
}
