//! Estimates a rebuild before it begins: the time, from the speed of this machine, and the cost of its requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::HumanDuration;
use logmill_shared::LogFileId;

use super::{Options, id};
use crate::commands::check;
use crate::commands::progress::Progress;
use crate::intake::file_rules::FileRules;
use crate::intake::log_object::LogObject;
use crate::rollup::Rollup;
use crate::table::Entry;

/// Log files that are read to measure the speed.
const MEASURED: usize = 100;

/// The size of log files that are read to measure the speed, in bytes.
const MEASURED_BYTES: i64 = 64 << 20;

/// With fewer log files, nothing is measured: reading them takes hardly any time.
const FEW: usize = 50;

/// Dollars for a thousand requests: S3 Standard in us-east-1, list prices of <https://aws.amazon.com/s3/pricing/>.
const PUT_DOLLARS: f64 = 0.005;
const GET_DOLLARS: f64 = 0.0004;

/// Estimates the time and cost of reading these log files, one line each.
pub(super) async fn of(
    rollup: &Arc<Rollup>,
    left: &[Entry],
    found: &HashMap<LogFileId, LogObject>,
    options: &Options,
    progress: &mut dyn Progress,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(time) = time(rollup, left, found, &options.rules, progress).await {
        lines.push(format!(
            "takes about {}, by the speed of this machine",
            HumanDuration(time)
        ));
    }
    let files = left.len() as f64 / 1000.0;
    let is_in_s3 = |place: &str| place.starts_with("s3://");
    let mut dollars = 0.0;
    if left.iter().any(|entry| is_in_s3(&entry.log_file)) {
        let listed = match options.logs.is_empty() {
            true => files,
            false => files / 1000.0,
        };
        dollars += files * GET_DOLLARS + listed * PUT_DOLLARS;
    }
    if is_in_s3(&options.tables) {
        // Each is staged, and read by a commit: its footer, and its rows.
        dollars += files * (PUT_DOLLARS + 2.0 * GET_DOLLARS);
    }
    if dollars > 0.0 {
        lines.push(format!(
            "requests to S3 cost about {dollars:.2} dollars, at list prices, within its region"
        ));
    }
    lines
}

/// The time, extrapolated from some log files. `None` if it is short, or can't be measured.
async fn time(
    rollup: &Arc<Rollup>,
    left: &[Entry],
    found: &HashMap<LogFileId, LogObject>,
    rules: &FileRules,
    progress: &mut dyn Progress,
) -> Option<Duration> {
    if left.len() < FEW {
        return None;
    }
    let mut places = Vec::new();
    let mut measured = 0;
    for entry in left.iter().step_by(left.len().div_ceil(MEASURED)) {
        if measured >= MEASURED_BYTES {
            break;
        }
        measured += entry.bytes;
        places.push(found.get(&id(entry))?.given_place());
    }
    let begun = Instant::now();
    let sampled = check::sample(Arc::clone(rollup), &places, rules, progress).await;
    sampled.ok()?;
    let share = left.iter().map(|entry| entry.bytes).sum::<i64>() as f64 / measured.max(1) as f64;
    Some(begun.elapsed().mul_f64(share))
}
