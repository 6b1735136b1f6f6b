//! `logmill tables`: lists the tables, what feeds them, and how fresh they are.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use logmill_shared::chain;

use crate::commands::maintain;
use crate::commands::query::output::{self, Style, Written};
use crate::rollup::{Loaded, Rollup};
use crate::table::definition::REJECTED_LINES;
use crate::table::{Root, TableError, Version, of_tables};

const MICROSECONDS_PER_MILLISECOND: i64 = 1000;

/// A table, as far as it can be read.
#[derive(Debug, Default)]
struct State {
    name: String,
    fed_by: Option<String>,
    generation: Option<String>,
    next: Option<String>,
    rows: Option<i64>,
    files: Option<i64>,
    bytes: Option<i64>,
    keep_days: Option<i64>,
    /// In milliseconds since 1970.
    newest_line: Option<i64>,
    staged: Option<i64>,
    set_aside: Option<i64>,
    problem: Option<String>,
}

/// Writes a row for each table under `root`. With rollups, it also says what feeds each.
///
/// # Errors
///
/// The tables can't be listed, or writing fails. A table that can't be read is a row with the reason.
pub async fn tables(
    root: &Root,
    rollups: Option<&Loaded>,
    style: Style,
    out: impl Write + Send,
) -> Result<Written> {
    let names = root.tables().await?;
    let states = names.iter().map(|name| state(root, name, rollups));
    let mut states = of_tables(states).await;
    let there = |name: &String| names.contains(name);
    let absent = rollups.map(Loaded::tables).unwrap_or_default();
    states.extend(absent.into_iter().filter(|name| !there(name)).map(|name| {
        let problem = Some("the table does not exist yet".to_owned());
        State {
            name,
            fed_by: Some("its rollup".to_owned()),
            problem,
            ..State::default()
        }
    }));
    let rows = batch(&states)?;
    let rows = RecordBatchStreamAdapter::new(rows.schema(), futures::stream::iter([Ok(rows)]));
    output::write(Box::pin(rows), style, out).await
}

async fn state(root: &Root, name: &str, rollups: Option<&Loaded>) -> State {
    let mut state = State {
        name: name.to_owned(),
        ..State::default()
    };
    if let Err(error) = fill(root, &mut state, rollups).await {
        state.problem = Some(chain(&error));
    }
    state
}

async fn fill(root: &Root, state: &mut State, rollups: Option<&Loaded>) -> Result<(), TableError> {
    let waiting = root.waiting(&state.name).await?;
    let version = root.read(&state.name).await?;
    state.generation = Some(version.generation());
    state.next = version.next().map(ToString::to_string);
    state.rows = Some(version.rows() as i64);
    state.files = Some(version.files().len() as i64);
    let bytes: u64 = version.files().iter().map(|file| file.bytes).sum();
    state.bytes = Some(bytes as i64);
    state.keep_days = version.keep_days().map(i64::from);
    if let Some(rollups) = rollups {
        state.fed_by = Some(fed_by(&state.name, &version, rollups).await);
    }
    state.newest_line = version.newest_line().await?;
    let waiting = waiting.at(&version);
    state.staged = Some(waiting.staged() as i64);
    state.set_aside = Some(waiting.all_set_aside().count() as i64);
    Ok(())
}

/// What feeds a table, in words.
async fn fed_by(name: &str, version: &Version, rollups: &Loaded) -> String {
    if name == REJECTED_LINES {
        return "lines that are no log lines".to_owned();
    }
    let by_name: BTreeMap<&str, &Arc<Rollup>> = rollups
        .rollups
        .iter()
        .map(|rollup| (rollup.definition().name.as_str(), rollup))
        .collect();
    let own = match maintain::rollup(name, version).await {
        Ok(own) => own,
        Err(_) => return "nothing: this version of logmill refuses its SQL".to_owned(),
    };
    let is_same = |rollup: &&Arc<Rollup>| rollup.definition().identity == own.definition().identity;
    match by_name.get(name) {
        Some(rollup) if is_same(rollup) => "its rollup".to_owned(),
        Some(_) => "its own SQL: the rollup has changed".to_owned(),
        None if rollups.tables().contains(name) => "its own SQL: the rollup is invalid".to_owned(),
        None => "nothing: it has no rollup".to_owned(),
    }
}

fn batch(states: &[State]) -> Result<RecordBatch> {
    let text = |get: fn(&State) -> Option<&str>| -> ArrayRef {
        Arc::new(states.iter().map(get).collect::<StringArray>())
    };
    let number = |get: fn(&State) -> Option<i64>| -> ArrayRef {
        Arc::new(states.iter().map(get).collect::<Int64Array>())
    };
    let times = states.iter().map(|state| {
        let milliseconds = state.newest_line?;
        Some(milliseconds * MICROSECONDS_PER_MILLISECOND)
    });
    let times: TimestampMicrosecondArray = times.collect();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("table", text(|state| Some(&state.name)), true),
        ("fed_by", text(|state| state.fed_by.as_deref()), true),
        (
            "generation",
            text(|state| state.generation.as_deref()),
            true,
        ),
        ("next", text(|state| state.next.as_deref()), true),
        ("rows", number(|state| state.rows), true),
        ("files", number(|state| state.files), true),
        ("bytes", number(|state| state.bytes), true),
        ("keep_days", number(|state| state.keep_days), true),
        ("newest_line", Arc::new(times.with_timezone("UTC")), true),
        ("staged", number(|state| state.staged), true),
        ("set_aside", number(|state| state.set_aside), true),
        ("problem", text(|state| state.problem.as_deref()), true),
    ])?)
}
