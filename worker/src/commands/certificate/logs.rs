//! Compares a certificate with the log files themselves: whether they still exist, with the same ETags and sizes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use logmill_shared::{LogFile, LogFileId};

use super::file::{Certificate, CountedLogFile};
use super::read::{Lists, read};
use super::report::{ChangedLogFile, LogsCheck};
use crate::commands::progress::Progress;
use crate::commands::verify::{LOOKS_AT_ONCE, look};
use crate::format::{LogFormat, Recognised, by_name};
use crate::intake::file_rules::FileRules;
use crate::intake::listing::{self, Listing};
use crate::intake::log_object::LogObject;
use crate::intake::span::Span;

/// Maximum number of log files that are looked up one by one, because they are not in the listing; and of log files that are read to
/// find out their kind, because they are not in the certificate.
const LOOKED_FOR_MAX: usize = 1000;

/// The location of the log files, and which of them to compare.
pub(super) struct Place<'p> {
    pub(super) logs: &'p str,
    /// The folder of tables, which is left out.
    pub(super) tables: &'p str,
    pub(super) rules: &'p FileRules,
    pub(super) span: Span,
}

/// The values that are kept of each log file of the certificate: about 50 bytes.
struct Certified {
    etag: u64,
    bytes: i64,
    is_seen: bool,
}

#[derive(Default)]
struct Collecting(HashMap<LogFileId, Certified>);

impl Lists for Collecting {
    fn log_file(&mut self, counted: CountedLogFile) {
        let id = LogFile::new(counted.log_file.as_str()).id();
        let certified = Certified {
            etag: hash(&counted.etag),
            bytes: counted.bytes,
            is_seen: false,
        };
        self.0.insert(id, certified);
    }

    fn end(&mut self, _root: String) {}
}

/// Collects the log files that have not been seen, or have other values than certified. Keeps the certified values, by id.
struct Picking<'p> {
    is_picked: Box<dyn Fn(LogFileId) -> bool + 'p>,
    picked: HashMap<LogFileId, CountedLogFile>,
}

impl Lists for Picking<'_> {
    fn log_file(&mut self, counted: CountedLogFile) {
        let id = LogFile::new(counted.log_file.as_str()).id();
        if (self.is_picked)(id) {
            self.picked.insert(id, counted);
        }
    }

    fn end(&mut self, _root: String) {}
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Compares the log files of a certificate with those in a location.
///
/// # Errors
///
/// The location can't be listed, or the certificate can't be read again.
pub(super) async fn compare(
    certificate: &Certificate,
    path: &Path,
    place: Place<'_>,
    progress: &mut dyn Progress,
) -> Result<LogsCheck> {
    let mut certified = Collecting::default();
    read(path, &mut certified)?;
    let mut certified = certified.0;
    let Place {
        logs,
        tables,
        rules,
        span,
    } = place;
    let mut check = LogsCheck::default();
    // A log file may have no time in its name, so the certificate decides about each.
    let mut listing = Listing::begin(logs, tables, span.by_folders());
    let mut others: HashMap<LogFileId, LogObject> = HashMap::new();
    let mut new = Vec::new();
    while let Some(page) = listing.next().await? {
        progress.found(page.len());
        for found in page {
            progress.done(1);
            let id = found.log_file.id();
            match certified.get_mut(&id) {
                Some(certified) => {
                    certified.is_seen = true;
                    let is_same = certified.etag == hash(&found.etag)
                        && certified.bytes == found.bytes as i64;
                    match is_same {
                        true => check.unchanged += 1,
                        false => drop(others.insert(id, found)),
                    }
                }
                None if !may_be_missing_in(certificate, &found, rules) => {}
                None if new.len() < LOOKED_FOR_MAX => new.push(found),
                None => check.added.push(found.log_file.to_string()),
            }
        }
    }
    look_into(new, certificate, rules, &mut check).await?;
    let unread = listing.not_listed().into_iter();
    let unread = unread.map(|each| format!("{}: {}", each.log_file, each.reason));
    check.unknown.extend(unread);
    let is_unseen = |id| {
        certified
            .get(&id)
            .is_some_and(|each: &Certified| !each.is_seen)
    };
    let mut picking = Picking {
        is_picked: Box::new(|id| is_unseen(id) || others.contains_key(&id)),
        picked: HashMap::new(),
    };
    read(path, &mut picking)?;
    let mut picked = picking.picked;
    for (id, found) in &others {
        if let Some(counted) = picked.remove(id) {
            check.changed.extend(changed(&counted, found));
        }
    }
    look_for(picked, tables, &mut check).await;
    progress.end();
    check.changed.sort();
    for list in [
        &mut check.gone,
        &mut check.not_listed,
        &mut check.unknown,
        &mut check.added,
    ] {
        list.sort();
    }
    Ok(check)
}

/// Whether a log file should be in the certificate, according to its name: it is of one of the days, and of a log that the tables
/// read. Empty files are in no ledger.
/// ledger.
fn may_be_missing_in(certificate: &Certificate, found: &LogObject, rules: &FileRules) -> bool {
    let Some(day) = found.log_file.day() else {
        return false;
    };
    let is_of_days = certificate.from <= day && day < certificate.to;
    if !is_of_days || found.bytes == 0 || rules.ignores(&found.log_file) {
        return false;
    }
    match by_name(found.log_file.named_as()) {
        Some(Recognised::Log(format, _) | Recognised::Claimed(format)) => {
            is_read(certificate, format)
        }
        _ => false,
    }
}

fn is_read(certificate: &Certificate, format: &LogFormat) -> bool {
    let mut tables = certificate.tables.iter();
    tables.any(|table| table.log_table == format.table)
}

/// Reads log files that are not in the certificate. Adds them to the result if they are logs that a table reads.
async fn look_into(
    new: Vec<LogObject>,
    certificate: &Certificate,
    rules: &FileRules,
    check: &mut LogsCheck,
) -> Result<()> {
    let rules = Arc::new(rules.clone());
    let mut looks = futures::stream::iter(new)
        .map(async |found| {
            let rules = Arc::clone(&rules);
            let look = move || (look(&found, &rules), found);
            let look = tokio::task::spawn_blocking(look);
            look.await.context("reading a log file failed")
        })
        .buffer_unordered(LOOKS_AT_ONCE);
    while let Some((look, found)) = looks.try_next().await? {
        let is_log = match look {
            Ok(Recognised::Log(format, _) | Recognised::Claimed(format)) => {
                is_read(certificate, format)
            }
            Ok(Recognised::Other(_)) => false,
            // A damaged log file is new too.
            Ok(Recognised::Unrecognised(_) | Recognised::Parquet) | Err(_) => true,
        };
        if is_log {
            check.added.push(found.log_file.to_string());
        }
    }
    Ok(())
}

fn changed(counted: &CountedLogFile, found: &LogObject) -> Option<ChangedLogFile> {
    let bytes = (counted.bytes.to_string(), found.bytes.to_string());
    let etag = (counted.etag.clone(), found.etag.clone());
    let values = [("etag", etag), ("bytes", bytes)].into_iter();
    let values = values.filter(|(_, (certified, now))| certified != now);
    let values: Vec<_> = values
        .map(|(name, (certified, now))| (name, certified, now))
        .collect();
    (!values.is_empty()).then(|| ChangedLogFile {
        log_file: counted.log_file.clone(),
        values,
    })
}

/// Looks for log files that the listing does not have. They may be in a folder of another date, or gone.
async fn look_for(
    certified: HashMap<LogFileId, CountedLogFile>,
    tables: &str,
    check: &mut LogsCheck,
) {
    let mut certified: Vec<CountedLogFile> = certified.into_values().collect();
    certified.sort_by(|left, right| left.log_file.cmp(&right.log_file));
    let rest = certified.split_off(certified.len().min(LOOKED_FOR_MAX));
    check
        .not_listed
        .extend(rest.into_iter().map(|counted| counted.log_file));
    let uris = certified.iter().map(|counted| counted.log_file.clone());
    let (listed, not_found) = listing::locate(uris, tables).await;
    let found: HashMap<&str, &LogObject> = listed
        .found
        .iter()
        .map(|found| (found.log_file.uri(), found))
        .collect();
    let not_found: HashMap<String, _> = not_found.into_iter().collect();
    for counted in certified {
        let uri = counted.log_file.as_str();
        match (found.get(uri), not_found.get(uri)) {
            (Some(found), _) => match changed(&counted, found) {
                Some(changed) => check.changed.push(changed),
                None => check.unchanged += 1,
            },
            (None, Some(error)) if !error.is_gone() => {
                let error = logmill_shared::chain(error);
                check.unknown.push(format!("{uri}: {error}"));
            }
            (None, _) => check.gone.push(counted.log_file),
        }
    }
}
