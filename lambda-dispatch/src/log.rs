//! Logs one line of JSON for each invocation, for CloudWatch to search and count.

use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::dispatch::{DispatchError, FailedMessage, Report};
use crate::sender::Undelivered;

/// Maximum log files that a line names. Each may take a kilobyte, and the length of a line is limited.
const NAMED_MAX: usize = 100;

/// `level` comes from Lambda's logging controls, such as `DEBUG`.
pub(crate) fn start(level: Option<&str>) {
    let level = level.and_then(|level| level.parse().ok());
    let targets = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(env!("CARGO_CRATE_NAME"), level.unwrap_or(LevelFilter::INFO))
        // It repeats our errors in Rust's debug format.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .init();
}

/// Logs the line of an invocation.
pub(crate) fn outcome(request_id: &str, took: Duration, outcome: &Result<Report, DispatchError>) {
    let nothing = Report::default();
    let report = match outcome {
        Ok(report) | Err(DispatchError::Undelivered(report)) => report,
        Err(DispatchError::NotUnderstood(_)) => &nothing,
    };
    let left_out = |reason| report.left_out.get(reason).copied();
    // A macro, because the level of a line must be known at compile time.
    macro_rules! line {
        ($level:ident, $message:literal, $($field:tt)*) => {
            tracing::$level!(
                request_id,
                duration_ms = took.as_millis() as u64,
                sent = report.sent,
                left_out.test_event = left_out("test_event"),
                left_out.other_event = left_out("other_event"),
                left_out.test_object = left_out("test_object"),
                left_out.folder = left_out("folder"),
                left_out.not_selected = left_out("not_selected"),
                left_out.repeated = left_out("repeated"),
                $($field)*
                $message
            )
        };
    }
    let failed = report.failed_messages.as_deref().unwrap_or_default();
    match outcome {
        Ok(_) if failed.is_empty() => line!(info, "dispatched",),
        Ok(_) => line!(
            error,
            "some messages of the batch failed; SQS delivers them again",
            failed_messages = failed.len(),
            undelivered = report.undelivered.len(),
            reasons = reasons(failed),
        ),
        Err(DispatchError::NotUnderstood(error)) => {
            line!(error, "event not understood", error = %error,);
        }
        Err(DispatchError::Undelivered(report)) => {
            line!(
                error,
                "log files undelivered",
                undelivered = report.undelivered.len(),
                log_files = named(&report.undelivered),
            );
        }
    }
}

fn reasons(failed: &[FailedMessage]) -> String {
    let reasons = failed.iter().take(NAMED_MAX);
    let reasons: Vec<String> = reasons
        .map(|message| format!("{}: {}", message.id, message.why))
        .collect();
    reasons.join("; ")
}

fn named(undelivered: &[Undelivered]) -> String {
    let named = undelivered.iter().take(NAMED_MAX);
    let named: Vec<String> = named.map(Undelivered::to_string).collect();
    named.join("; ")
}
