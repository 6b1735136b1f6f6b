//! `logmill test`: runs rollups over the log lines of test cases, and compares their results with the expected rows.
//!
//! A case is processed like all log files: its lines are counted as by `logmill run`, into tables in a temporary folder, and its rows
//! are read as by `logmill query`.

mod cases;
mod log_files;
mod counted;
mod csv;
mod difference;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;

use crate::rollup::Rollup;
use cases::{Case, Cases};
use counted::{Counted, LeftOut, count};
use csv::Csv;
use difference::Comparison;

/// The results of all cases.
#[derive(Debug)]
pub struct Report {
    tested: Vec<Tested>,
}

/// The result of one case.
#[derive(Debug)]
struct Tested {
    name: String,
    outcome: Outcome,
    left_out: LeftOut,
}

#[derive(Debug)]
enum Outcome {
    Passed {
        rows: usize,
    },
    /// The rows are written as the expected ones.
    Accepted {
        rows: usize,
    },
    /// The reasons, one a line.
    Failed(Vec<String>),
}

/// Runs the test cases of all rollups of a folder. With `accept`, writes the expected rows of cases that fail or have none.
///
/// # Errors
///
/// A rollup can't be run, there are no cases, or the files of a case can't be read or written.
pub async fn test(folder: &str, accept: bool) -> Result<Report> {
    let rollups = Rollup::load_folder(folder).await?;
    let rollups = rollups.all().map_err(anyhow::Error::msg)?;
    let all = cases::find(Path::new(folder), &rollups)?;
    let mut tested = Vec::new();
    for Cases { rollup, cases } in &all {
        for case in cases {
            let counted = count(rollup, case).await;
            let counted = counted.with_context(|| case.log.display().to_string())?;
            tested.push(Tested {
                name: case.name.clone(),
                outcome: outcome(rollup, case, &counted, accept)?,
                left_out: counted.left_out,
            });
        }
    }
    if tested.is_empty() {
        let table = rollups.first().map_or("", |first| &first.definition().name);
        let cases = Path::new(folder).join(format!("{table}{}", cases::FOLDER_ENDING));
        let case = cases.join("<case>");
        bail!(
            "{folder}: no test cases found. Write log lines into {case}.log and the rows of SELECT * FROM {table} into \
             {case}.csv; --accept writes the rows",
            case = case.display()
        );
    }
    Ok(Report { tested })
}

fn outcome(rollup: &Rollup, case: &Case, counted: &Counted, accept: bool) -> Result<Outcome> {
    if !counted.problems.is_empty() {
        return Ok(Outcome::Failed(counted.problems.clone()));
    }
    let place = case.expected.display();
    let (comparison, wrong) = match compare(rollup, &case.expected, &counted.rows) {
        Ok(compared) => compared,
        Err(unusable) => return Ok(Outcome::Failed(vec![format!("{place}: {unusable}")])),
    };
    let rows = counted.rows.num_rows();
    match (wrong.is_empty(), accept) {
        (true, _) => Ok(Outcome::Passed { rows }),
        (false, false) => Ok(Outcome::Failed(wrong)),
        (false, true) => {
            let written = fs::write(&case.expected, comparison.got().to_string());
            written.with_context(|| format!("{place} cannot be written"))?;
            Ok(Outcome::Accepted { rows })
        }
    }
}

/// Compares rows with those of the file `expected`. Also returns the differences.
///
/// # Errors
///
/// The file can't be read, or has a column that the rows lack.
fn compare(
    rollup: &Rollup,
    expected: &Path,
    rows: &RecordBatch,
) -> Result<(Comparison, Vec<String>), String> {
    match fs::read_to_string(expected) {
        Ok(text) => {
            let expected = Csv::parse(&text)?;
            let comparison = Comparison::new(rollup, expected.header, rows)?;
            let differences = comparison.differences(&expected.rows);
            Ok((comparison, differences))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let missing = format!(
                "there are no expected rows: write {}, or let --accept do so",
                expected.display()
            );
            Ok((Comparison::of_result(rollup, rows)?, vec![missing]))
        }
        Err(error) => Err(error.to_string()),
    }
}

impl Report {
    /// Whether a case has failed.
    pub fn has_failures(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_))) > 0
    }

    fn count(&self, is: fn(&Outcome) -> bool) -> usize {
        self.tested.iter().filter(|case| is(&case.outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.tested {
            write!(f, "{case}")?;
        }
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let accepted = self.count(|outcome| matches!(outcome, Outcome::Accepted { .. }));
        let passed = self.tested.len() - failed - accepted;
        write!(f, "{passed} passed, {failed} failed")?;
        match accepted {
            0 => writeln!(f),
            accepted => writeln!(f, ", {accepted} accepted"),
        }
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, left_out) = (&self.name, &self.left_out);
        match &self.outcome {
            Outcome::Passed { rows } => {
                write!(f, "ok        {name}: {}", counted(*rows, "row"))?;
                match left_out.count {
                    0 => writeln!(f),
                    lines => writeln!(f, ", {} left out", counted(lines, "line")),
                }
            }
            Outcome::Accepted { rows } => {
                writeln!(f, "accepted  {name}: {}", counted(*rows, "row"))?;
                write!(f, "{left_out}")
            }
            Outcome::Failed(wrong) => {
                writeln!(f, "FAILED    {name}")?;
                for line in wrong {
                    writeln!(f, "          {line}")?;
                }
                write!(f, "{left_out}")
            }
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "          {line}")?;
        }
        match self.count - self.lines.len() {
            0 => Ok(()),
            others => writeln!(f, "          {} more left out", counted(others, "line")),
        }
    }
}
