//! `logmill status`: up to when each table is final, and what it waits for. `logmill tables` says what feeds the tables, and how large
//! they are.

use std::fmt;

use anyhow::Result;
use chrono::{DateTime, Utc};
use indicatif::HumanCount;
use logmill_shared::chain;
use serde_json::{Value, json};

use crate::delivery::{Delivery, minute};
use crate::table::definition::REJECTED_LINES;
use crate::table::{Root, TableError, of_tables};
use crate::terminal::escaped;

/// Late log files that are shown to people.
const SHOWN_LATE: usize = 3;

/// The status of all tables.
#[derive(Debug)]
pub struct Status {
    tables: Vec<TableStatus>,
}

/// The status of a table.
#[derive(Debug)]
struct TableStatus {
    name: String,
    /// The table's deliveries, or why they are unknown.
    known: Result<Known, String>,
}

#[derive(Debug)]
struct Known {
    rows: u64,
    newest_line: Option<DateTime<Utc>>,
    staged: usize,
    set_aside: usize,
    /// `None` for rejected lines: few log files have any, so nothing can be said about the others.
    delivery: Option<Delivery>,
}

/// Reads the status of the tables under `root`.
///
/// # Errors
///
/// The tables can't be listed. A table that can't be read is in the result with the reason.
pub async fn status(root: &Root, now: DateTime<Utc>) -> Result<Status> {
    let names = root.tables().await?;
    let tables = names.into_iter().map(async |name| TableStatus {
        known: known(root, &name, now).await.map_err(|error| chain(&error)),
        name,
    });
    Ok(Status {
        tables: of_tables(tables).await,
    })
}

async fn known(root: &Root, name: &str, now: DateTime<Utc>) -> Result<Known, TableError> {
    let waiting = root.waiting(name).await?;
    let version = root.read(name).await?;
    let waiting = waiting.at(&version);
    let newest_line = version.newest_line().await?;
    Ok(Known {
        rows: version.rows(),
        newest_line: newest_line.and_then(DateTime::from_timestamp_millis),
        staged: waiting.staged(),
        set_aside: waiting.all_set_aside().count(),
        delivery: match name == REJECTED_LINES {
            true => None,
            false => Some(Delivery::of_table(root, name, &version, &waiting, now).await?),
        },
    })
}

impl Status {
    /// Whether all tables could be read.
    pub fn is_complete(&self) -> bool {
        self.tables.iter().all(|table| table.known.is_ok())
    }

    /// One JSON object.
    pub fn json(&self) -> Value {
        json!({"tables": self.tables.iter().map(TableStatus::json).collect::<Vec<_>>()})
    }
}

/// A time of a log file in JSON.
fn time(time: Option<DateTime<Utc>>) -> Option<String> {
    time.map(minute)
}

impl TableStatus {
    fn json(&self) -> Value {
        let known = match &self.known {
            Ok(known) => known,
            Err(problem) => return json!({"table": self.name, "problem": problem}),
        };
        let mut status = json!({
            "table": self.name,
            "rows": known.rows,
            "newest_line": known.newest_line.map(|time| time.to_rfc3339()),
            "staged": known.staged,
            "set_aside": known.set_aside,
        });
        if let Some(delivery) = &known.delivery {
            let late = delivery.late.iter().map(|late| {
                json!({
                    "log_file": late.log_file,
                    "counted_at": minute(late.counted_at),
                    "final_until": minute(late.final_until),
                })
            });
            let nodes = delivery.nodes.iter().map(|node| {
                json!({
                    "account": node.node.account,
                    "region": node.node.region,
                    "balancer": node.node.balancer,
                    "address": node.node.address,
                    "first_interval_end": minute(node.first_interval_end),
                    "last_interval_end": minute(node.last_interval_end),
                    "log_files": node.log_files,
                    "is_active": node.is_active,
                })
            });
            status["final_until"] = json!(time(delivery.final_until));
            status["recorded_at"] = json!(time(delivery.recorded_at));
            status["delay_max_seconds"] = json!(delivery.bounds.delay.num_seconds());
            status["waits_for"] = json!(delivery.waits_for.to_string());
            status["first_interval_end"] = json!(time(delivery.first_interval_end));
            status["newest_interval_end"] = json!(time(delivery.newest_interval_end));
            status["nodes"] = array(nodes);
            status["late_log_files"] = json!(delivery.late_log_files);
            status["late"] = array(late);
            status["has_log_files_without_time"] = json!(delivery.has_unnamed);
        }
        status
    }
}

fn array(values: impl Iterator<Item = Value>) -> Value {
    Value::Array(values.collect())
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tables.is_empty() {
            return writeln!(f, "no tables found");
        }
        for TableStatus { name, known } in &self.tables {
            match known {
                Ok(known) => {
                    writeln!(f, "table      {name}: {}", known.finality())?;
                    known.fmt(f)?;
                }
                Err(problem) => {
                    writeln!(f, "table      {name}")?;
                    line(f, "problem", &escaped(problem))?;
                }
            }
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {what:<8} {text}")
}

fn count(count: impl TryInto<u64>) -> HumanCount {
    HumanCount(count.try_into().unwrap_or(u64::MAX))
}

impl Known {
    /// Up to when the table is final, in a few words.
    fn finality(&self) -> String {
        let Some(delivery) = &self.delivery else {
            return "not tracked, because few log files have rejected lines".to_owned();
        };
        let bound = delivery.bounds.delay.num_minutes();
        match (delivery.final_until, delivery.recorded_at) {
            (Some(until), _) => format!("final until {} (bound {bound} min)", minute(until)),
            (None, Some(_)) => "nothing is final yet".to_owned(),
            (None, None) => "unknown: no worker and no run has recorded what is final".to_owned(),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(delivery) = &self.delivery {
            fmt_delivery(delivery, f)?;
        }
        let newest = match self.newest_line {
            Some(newest) => format!(", newest line {}", newest.format("%Y-%m-%dT%H:%M:%SZ")),
            None => String::new(),
        };
        let rows = format!(
            "{}{newest}; {} log files staged, {} set aside",
            count(self.rows),
            count(self.staged),
            count(self.set_aside)
        );
        line(f, "rows", &rows)
    }
}

fn fmt_delivery(delivery: &Delivery, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    line(
        f,
        "waits",
        &format!("for {}", escaped(&delivery.waits_for.to_string())),
    )?;
    if let Some(first) = delivery.first_interval_end {
        let first = format!("{}, the first log file", minute(first));
        line(f, "since", &first)?;
    }
    if let Some(newest) = delivery.newest_interval_end {
        let active = delivery.nodes.iter().filter(|node| node.is_active);
        let nodes = format!(
            "{} active of {} in the day before {}, the newest log file",
            count(active.count()),
            count(delivery.nodes.len()),
            minute(newest)
        );
        line(f, "nodes", &nodes)?;
    }
    if delivery.has_unnamed {
        line(
            f,
            "note",
            "some log files have no time in their names: final says nothing about them",
        )?;
    }
    if delivery.late_log_files > 0 {
        let late = format!(
            "{} log files were counted for a time that was already final; the last:",
            count(delivery.late_log_files)
        );
        line(f, "late", &late)?;
        for late in delivery.late.iter().rev().take(SHOWN_LATE) {
            let at = format!("at {}", minute(late.counted_at));
            line(f, "", &format!("{}, {at}", escaped(&late.log_file)))?;
        }
    }
    Ok(())
}
