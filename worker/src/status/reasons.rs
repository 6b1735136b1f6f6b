//! What each reason of failed attempts means. `docs/operating.md` lists the same reasons.

use super::Severity;

/// The severity, meaning and action for a reason of failures.
pub(super) fn reason(name: &str) -> (Severity, &'static str, &'static str) {
    use Severity::{Look, Wrong};
    const REPLAY: &str = "Its message becomes a dead letter. Upload the whole file under the same key, or fix the cause, then replay dead letters.";
    const WAITS: &str = "Messages stay in the queue and are retried. Work resumes without a person once it is over.";
    match name {
        "unreadable" => (Look, "A log file is cut off, damaged or too large", REPLAY),
        "no_log" => (
            Look,
            "A file is named like a log file, but has no log line",
            REPLAY,
        ),
        "archived" => (
            Look,
            "An object must be restored from Glacier first",
            REPLAY,
        ),
        "not_understood" => (
            Look,
            "A message is not a notification",
            "Find out who sends it. It becomes a dead letter.",
        ),
        "not_allowed" => (
            Look,
            "No --allow covers a log file",
            "Add its location to --allow, then replay dead letters.",
        ),
        "bug" => (
            Wrong,
            "A bug in logmill",
            "Please report the log line. The message becomes a dead letter.",
        ),
        "set_aside" => (
            Look,
            "A rollup fails on a log file as a whole",
            "Fix the cause, then run `logmill retry`.",
        ),
        "stalled" => (
            Wrong,
            "A log file makes no progress",
            "Its place is occupied until the worker restarts. The message is retried.",
        ),
        "missing" => (
            Look,
            "An object does not exist",
            "The message is retried, then becomes a dead letter.",
        ),
        "changed" => (
            Look,
            "An object was replaced while it was read",
            "The message is retried.",
        ),
        "table_not_writable" => (
            Wrong,
            "A table's folder can't be written to",
            "Let workers write there. Messages are retried.",
        ),
        "refused" => (
            Wrong,
            "S3 denies access to a bucket",
            "Check the bucket's policy, the worker's permissions and the KMS key. Messages of this bucket are retried, then become dead letters.",
        ),
        "s3_unavailable" => (Wrong, "S3 can't be reached, or is overloaded", WAITS),
        "held_back" => (
            Look,
            "A message was not tried because its bucket is down",
            WAITS,
        ),
        "tables_unavailable" => (
            Wrong,
            "The tables' storage refuses, is full or can't be reached",
            WAITS,
        ),
        "queue_unavailable" => (Wrong, "The queue can't be reached", WAITS),
        "upkeep" => (
            Look,
            "A table can't be committed, compacted or vacuumed",
            "The error says what to do. Workers keep retrying.",
        ),
        "alert" => (
            Look,
            "An alert can't be evaluated, or its webhook does not accept its rows",
            "Until it is mended, this alert reports nothing. Other alerts and all tables are not affected.",
        ),
        "table_removed" => (
            Wrong,
            "A table was removed, and is created again without rows",
            "It counts what arrives from now on. `logmill replay --missing` counts earlier log files again, while they exist.",
        ),
        _ => (Look, "An attempt failed", "The log says more."),
    }
}
