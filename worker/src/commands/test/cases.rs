//! Finds test cases: pairs of files in the folder `<table>.test` next to a rollup.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::rollup::Rollup;

/// The suffix of a folder of cases.
pub(super) const FOLDER_ENDING: &str = ".test";

/// The extensions of log files.
const LOG_ENDINGS: [&str; 2] = [".log", ".log.gz"];

/// The extension of files with expected rows.
const EXPECTED_ENDING: &str = ".csv";

/// The cases of a rollup.
pub(super) struct Cases {
    pub(super) rollup: Arc<Rollup>,
    pub(super) cases: Vec<Case>,
}

/// A test case.
#[derive(Debug)]
pub(super) struct Case {
    /// The name of the table and of the case: `events/redirects`.
    pub(super) name: String,
    /// The file with its log lines.
    pub(super) log: PathBuf,
    /// The file with the expected rows, which may be missing.
    pub(super) expected: PathBuf,
}

/// Finds the cases of these rollups, sorted by name.
///
/// # Errors
///
/// A folder can't be read, belongs to no rollup, or has a file that belongs to no case.
pub(super) fn find(folder: &Path, rollups: &[Arc<Rollup>]) -> Result<Vec<Cases>> {
    let mut all = Vec::new();
    for place in paths(folder)? {
        let name = file_name(&place);
        let Some(table) = name.strip_suffix(FOLDER_ENDING) else {
            continue;
        };
        let of_table = |rollup: &&Arc<Rollup>| rollup.definition().name == table;
        let Some(rollup) = rollups.iter().find(of_table) else {
            bail!(
                "{}: there is no rollup {table}.sql next to this folder of test cases",
                place.display()
            );
        };
        all.push(Cases {
            rollup: Arc::clone(rollup),
            cases: cases_of(table, &place)?,
        });
    }
    Ok(all)
}

fn cases_of(table: &str, folder: &Path) -> Result<Vec<Case>> {
    let mut logs: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut expected = Vec::new();
    for path in paths(folder)? {
        let name = file_name(&path);
        if let Some(case) = LOG_ENDINGS.iter().find_map(|end| name.strip_suffix(end)) {
            if let Some(other) = logs.insert(case.to_owned(), path.clone()) {
                bail!(
                    "{} and {} are of the same test case: remove one of them",
                    other.display(),
                    path.display()
                );
            }
        } else if let Some(case) = name.strip_suffix(EXPECTED_ENDING) {
            expected.push((case.to_owned(), path));
        } else {
            bail!(
                "{}: a test case has the files <case>.log or <case>.log.gz, and <case>.csv",
                path.display()
            );
        }
    }
    if let Some((case, path)) = expected.iter().find(|(case, _)| !logs.contains_key(case)) {
        bail!(
            "{}: the log lines of this test case are missing: write them into {case}.log",
            path.display()
        );
    }
    let case = |(case, log)| Case {
        name: format!("{table}/{case}"),
        log,
        expected: folder.join(format!("{case}{EXPECTED_ENDING}")),
    };
    Ok(logs.into_iter().map(case).collect())
}

/// The paths in a folder, sorted, without hidden files.
fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<Result<Vec<_>>>()?;
    paths.retain(|path| !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
