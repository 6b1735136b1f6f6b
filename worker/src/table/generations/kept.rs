//! What a next generation takes over from the live one, instead of computing it anew: hours whose log files are gone, or that nobody
//! wants to change.
//!
//! The data files of *kept* hours are copied. The log files that the table has counted are in the generation's ledger from the
//! beginning. Those with rows in other hours are *pending*: they are read again, and a commit adds only their rows in hours that are
//! not kept. Log files that come later are counted whole, in whatever hours.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake_core::kernel::Action;
use futures::{StreamExt, TryStreamExt};
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::super::delta_log::Operation;
use super::super::guards::Guard;
use super::super::ledger::day_of;
use super::super::retention::KEEP_DAYS_PROPERTY;
use super::super::slot::{self, HOURS_PER_DAY, Slot};
use super::super::{Definition, Entry, Root, Table, TableError, Version, ledger, milliseconds};
use super::{COPIED_AT_ONCE, KEPT_PROPERTY, NAMED_WITHIN, add, with_properties};

const MILLISECONDS_PER_HOUR: i64 = 3_600_000;

/// Hours from a line's own time to where its rollup's time key places it, at least: another time zone, or the start of its day.
const REACH_MIN: i64 = 2 * HOURS_PER_DAY;

/// Hours that a generation has taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Hours since 1970-01-01T00:00Z, sorted; ranges do not overlap.
    hours: Vec<Range<i64>>,
    /// Rows without a time.
    without_time: bool,
    /// The hours that a person wants to be computed anew, if not all.
    #[serde(default)]
    anew: Option<Range<i64>>,
}

impl Kept {
    /// All rows.
    fn all() -> Self {
        Self {
            hours: std::iter::once(i64::MIN..i64::MAX).collect(),
            without_time: true,
            anew: None,
        }
    }

    /// What is not in this span of hours.
    fn outside(span: &Range<i64>) -> Self {
        let mut kept = Self::all();
        kept.remove(span);
        kept.anew = Some(span.clone());
        kept
    }

    /// Whether the rows of a slot are kept.
    pub(in super::super) fn has(&self, slot: Slot) -> bool {
        match slot.end() {
            None => self.without_time,
            Some(_) => self.has_hour(slot.start()),
        }
    }

    fn has_hour(&self, hour: i64) -> bool {
        self.hours.iter().any(|range| range.contains(&hour))
    }

    /// Rows of a table of this definition, without those in kept hours.
    pub(in super::super) fn left_out_of(
        self: &Arc<Self>,
        rows: SendableRecordBatchStream,
        definition: &Definition,
    ) -> SendableRecordBatchStream {
        let (kept, slot_column) = (Arc::clone(self), definition.slot_column);
        let rows = rows.map_ok(move |batch| {
            let runs = slot::runs(batch.column(slot_column)).into_iter();
            let runs = runs.filter(|(slot, _)| !kept.has(*slot));
            let parts = runs.map(|(_, rows)| Ok(batch.slice(rows.start, rows.len())));
            let parts: Vec<Result<_, DataFusionError>> = parts.collect();
            futures::stream::iter(parts)
        });
        Box::pin(RecordBatchStreamAdapter::new(
            definition.row_schema(),
            rows.try_flatten(),
        ))
    }

    /// Whether all hours of a range are kept.
    fn covers(&self, hours: &Range<i64>) -> bool {
        let within = |range: &Range<i64>| range.start <= hours.start && hours.end <= range.end;
        self.hours.iter().any(within)
    }

    /// Whether any hour of a range is kept.
    fn touches(&self, hours: &Range<i64>) -> bool {
        let meets = |range: &Range<i64>| range.start < hours.end && hours.start < range.end;
        self.hours.iter().any(meets)
    }

    fn add(&mut self, slot: Slot) {
        match hours_of(slot) {
            Some(hours) => self.add_hours(hours),
            None => self.without_time = true,
        }
    }

    fn add_hours(&mut self, hours: Range<i64>) {
        self.remove(&hours);
        self.hours.push(hours);
        self.hours.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<i64>> = Vec::with_capacity(self.hours.len());
        for range in self.hours.drain(..) {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        self.hours = joined;
    }

    fn remove(&mut self, hours: &Range<i64>) {
        let ranges = std::mem::take(&mut self.hours).into_iter();
        let left = ranges.flat_map(|range| {
            let before = range.start..range.end.min(hours.start);
            let after = range.start.max(hours.end)..range.end;
            [before, after]
        });
        self.hours = left.filter(|range| !range.is_empty()).collect();
    }
}

fn hours_of(slot: Slot) -> Option<Range<i64>> {
    Some(slot.start()..slot.end()?)
}

/// What a person wants to be computed anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anew {
    /// All rows.
    All,
    /// The rows of these hours since 1970.
    Hours(Range<i64>),
    /// All hours with rows of log files that have lines of this time, in milliseconds since 1970.
    OfLines(Range<i64>),
}

/// What a next generation takes over, and what it computes anew.
#[derive(Debug)]
pub struct Keeping {
    kept: Kept,
    /// The part of it that can't be computed anew, because log files are gone.
    of_gone: Kept,
    /// How many.
    gone: usize,
    /// The table's entries. Those that are pending must be read again.
    entries: Vec<Entry>,
}

impl Keeping {
    /// What a generation takes over that differs in nothing from the version.
    ///
    /// # Errors
    ///
    /// The ledger can't be read.
    pub async fn everything(version: &Version) -> Result<Self, TableError> {
        Ok(Self {
            kept: Kept::all(),
            of_gone: Kept::default(),
            gone: 0,
            entries: version.entries().await?,
        })
    }

    /// Decides what is kept of a version: the hours with rows of log files that are gone, and what need not be computed anew. `is_same`
    /// says whether the generation has the SQL of the version.
    ///
    /// # Errors
    ///
    /// The ledger can't be read.
    pub async fn of(
        version: &Version,
        definition: &Definition,
        gone: &HashSet<LogFileId>,
        anew: &Anew,
        is_same: bool,
        now: SystemTime,
    ) -> Result<Self, TableError> {
        let now = milliseconds(now);
        let slots = version.files.iter().map(|file| file.slot());
        let slots: BTreeSet<Slot> = slots.collect::<Result<_, _>>()?;
        let mut entries = version.entries().await?;
        let reach = reach(&entries);
        let mut kept = match anew {
            Anew::All => Kept::default(),
            Anew::Hours(span) => {
                let mut kept = Kept::outside(span);
                if !definition.has_hours() {
                    for edge in [span.start, span.end - 1] {
                        kept.remove(&hours_of_day(edge));
                    }
                }
                kept
            }
            Anew::OfLines(times) => {
                let mut kept = Kept::all();
                let has_lines = |entry: &&Entry| {
                    let lines = entry.first_time.zip(entry.last_time);
                    lines.is_none_or(|(first, last)| first < times.end && times.start <= last)
                };
                for entry in entries.iter().filter(has_lines) {
                    for slot in touched(entry, reach) {
                        match hours_of(slot) {
                            Some(hours) => kept.remove(&hours),
                            None => kept.without_time = false,
                        }
                    }
                }
                kept
            }
        };
        // A data file is copied or left out as a whole.
        for hours in slots.iter().filter_map(|&slot| hours_of(slot)) {
            if kept.touches(&hours) && !kept.covers(&hours) {
                kept.remove(&hours);
            }
        }
        // Rows that are too old to be kept need no log files.
        if let Some(kept_from) = version.kept_from(now) {
            kept.add_hours(i64::MIN..kept_from);
        }
        let is_gone = |entry: &Entry| gone.contains(&LogFile::new(&entry.log_file).id());
        let mut of_gone = Kept::default();
        let wanted = kept.clone();
        let gone_entries = entries.iter().filter(|entry| is_gone(entry));
        let gone_entries = gone_entries.filter(|entry| {
            let slots_of_rows = touched(entry, reach).into_iter();
            let missing: Vec<Slot> = slots_of_rows.filter(|&slot| !wanted.has(slot)).collect();
            for &slot in &missing {
                let file = slots.iter().find(|file| file.covers(slot));
                let slot = file.copied().unwrap_or(slot);
                kept.add(slot);
                of_gone.add(slot);
            }
            !missing.is_empty()
        });
        let gone = gone_entries.count();
        for entry in &mut entries {
            entry.pending =
                !is_gone(entry) && is_read(entry, &kept, if is_same { 0 } else { reach });
        }
        Ok(Self {
            kept,
            of_gone,
            gone,
            entries,
        })
    }

    /// Whether nothing is kept: everything is computed anew.
    pub fn is_nothing(&self) -> bool {
        self.kept == Kept::default()
    }

    /// Whether rows of a version are kept.
    ///
    /// # Errors
    ///
    /// A data file of the version is none of logmill's.
    pub fn keeps_rows(&self, version: &Version) -> Result<bool, TableError> {
        for file in &version.files {
            if self.kept.has(file.slot()?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The log files that must be read.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.pending)
    }

    /// How many log files are gone whose rows would be computed anew.
    pub fn gone(&self) -> usize {
        self.gone
    }

    /// The days with rows that are kept because log files are gone, `YYYY-MM-DD`, or `null` for rows without a time; each with whether all of its rows in this version
    /// are.
    ///
    /// # Errors
    ///
    /// A data file of the version is none of logmill's.
    pub fn days(&self, version: &Version) -> Result<BTreeMap<String, bool>, TableError> {
        let mut days = BTreeMap::new();
        let (mut some, mut all) = (BTreeSet::new(), BTreeMap::new());
        for file in &version.files {
            let slot = file.slot()?;
            let (day, is_kept) = (slot.day().to_string(), self.of_gone.has(slot));
            *all.entry(day.clone()).or_insert(true) &= is_kept;
            if is_kept {
                some.insert(day);
            }
        }
        for day in some {
            let is_whole = all.get(&day).copied().unwrap_or_default();
            days.insert(day, is_whole);
        }
        Ok(days)
    }
}

fn hours_of_day(hour: i64) -> Range<i64> {
    let start = hour.div_euclid(HOURS_PER_DAY) * HOURS_PER_DAY;
    start..start + HOURS_PER_DAY
}

/// The hours of a log file's lines.
fn hours_of_lines(entry: &Entry) -> Option<Range<i64>> {
    let hour = |milliseconds: i64| milliseconds.div_euclid(MILLISECONDS_PER_HOUR);
    Some(hour(entry.first_time?)..hour(entry.last_time?) + 1)
}

/// How far from its log files' lines a table's rows are, in hours: a time key may be the start of a month, or a time that visitors write.
fn reach(entries: &[Entry]) -> i64 {
    let reaches = entries.iter().filter_map(|entry| {
        let lines = hours_of_lines(entry)?;
        let slots = entry.slots.as_deref().and_then(slot::named)?;
        let hours = slots.into_iter().filter_map(hours_of);
        let reach = hours.map(|hours| (lines.start - hours.start).max(hours.end - lines.end));
        reach.max()
    });
    reaches.max().unwrap_or_default().max(REACH_MIN)
}

/// The slots that a log file's rows may belong to.
fn touched(entry: &Entry, reach: i64) -> Vec<Slot> {
    if let Some(slots) = entry.slots.as_deref().and_then(slot::named) {
        return slots.into_iter().collect();
    }
    // It was counted before ledgers had slots.
    let hours = hours_of_lines(entry).unwrap_or_default();
    let hours = hours.start - reach..hours.end + reach;
    hours.map(Slot::Hour).chain([Slot::Null]).collect()
}

/// Whether a log file may have rows in hours that are not kept. Other SQL may make rows of lines of which the table has none: such rows
/// are at most `reach` hours from the lines.
fn is_read(entry: &Entry, kept: &Kept, reach: i64) -> bool {
    if touched(entry, reach)
        .into_iter()
        .any(|slot| !kept.has(slot))
    {
        return true;
    }
    let Some(lines) = hours_of_lines(entry) else {
        // It had no lines. It may have some now.
        let delivered = Slot::of_name(LogFile::new(&entry.log_file).shard().as_str());
        return delivered.is_none_or(|hour| !kept.has(hour));
    };
    !kept.covers(&(lines.start - reach..lines.end + reach))
}

impl Version {
    /// Whether this is a next generation that was begun to compute this anew.
    pub fn was_begun_for(&self, anew: &Anew) -> bool {
        let hours = match anew {
            Anew::Hours(hours) => Some(hours),
            Anew::All | Anew::OfLines(_) => None,
        };
        let kept = self.generations.kept.as_ref();
        !self.was_begun_as_copy() && kept.and_then(|kept| kept.anew.as_ref()) == hours
    }

    /// Whether this is a next generation that was begun as a copy.
    pub fn was_begun_as_copy(&self) -> bool {
        let kept = self.generations.kept.as_ref();
        kept.is_some_and(|kept| **kept == Kept::all())
    }
}

impl Root {
    /// Begins a generation of a table that takes over a part of a version. Whatever was next before is dropped. Objects are copied, so that
    /// none belongs to two logs.
    ///
    /// # Errors
    ///
    /// The table can't be read or written, or an object of the version is gone.
    pub async fn begin_keeping(
        &self,
        table: &Table,
        definition: &Arc<Definition>,
        version: &Version,
        keeping: Keeping,
    ) -> Result<Table, TableError> {
        let begun = table.env.now();
        let (folder, next) = self.create_next(table, definition).await?;
        let created = next.version().await?;
        let place = within(
            &Path::from(definition.name.as_str()),
            folder.path().as_ref(),
        );
        let name = &definition.name;
        self.take_over(name, version, keeping, &next, (&created, &place))
            .await?;
        table.name_next(Some(&folder), begun).await?;
        Ok(next)
    }

    /// Writes the first version with rows of a table that was just created: what is kept of a version of the table `name`. It follows
    /// `created`, which has counted nothing. `place` is the new table's folder, in the store of tables.
    pub(in super::super) async fn take_over(
        &self,
        name: &str,
        version: &Version,
        keeping: Keeping,
        new: &Table,
        (created, place): (&Version, &Path),
    ) -> Result<(), TableError> {
        let begun = new.env.now();
        let Keeping { kept, entries, .. } = keeping;
        let mut files = Vec::new();
        for file in &version.files {
            let slot = file.slot()?;
            if kept.has(slot) {
                // Vacuum may be deleting what an interrupted attempt has copied.
                files.push((file, slot.new_path(new.env.unique())));
            }
        }
        let store = self.store()?;
        let from = within(&Path::from(name), version.folder.path().as_ref());
        let copied = futures::stream::iter(&files)
            .map(async |(file, path)| {
                let (from, to) = (within(&from, &file.path), within(place, path.as_ref()));
                store.copy(&from, &to).await
            })
            .buffered(COPIED_AT_ONCE);
        copied.try_collect::<Vec<()>>().await?;
        let mut by_shard: BTreeMap<Shard, Vec<Entry>> = BTreeMap::new();
        // As packed as it was. A day with pending entries is not packed.
        let shard_of = |entry: &Entry| LogFile::new(&entry.log_file).shard();
        let pending = entries.iter().filter(|entry| entry.pending);
        let pending: HashSet<Shard> = pending
            .filter_map(|entry| day_of(&shard_of(entry)))
            .collect();
        let packed: HashSet<&Shard> = version.ledger.shards().collect();
        for entry in entries {
            let shard = shard_of(&entry);
            let day = day_of(&shard).filter(|day| packed.contains(day) && !pending.contains(day));
            by_shard
                .entry(day.unwrap_or(shard))
                .or_default()
                .push(entry);
        }
        let has_counted = !by_shard.is_empty();
        let ledger = ledger::Ledger::default();
        let ledger = ledger.extended(&new.store, &*new.env, new.guards, by_shard);
        let transaction = ledger.await?.transaction;
        let now = match new.guards.is_on(Guard::Untouched) {
            true => None,
            false => Some(new.version().await?),
        };
        let created = now.as_ref().unwrap_or(created);
        let kept = new.is_next().then(|| serde_json::to_string(&kept));
        let kept = kept
            .transpose()
            .map_err(|error| TableError::Internal(error.to_string()))?;
        // A next generation gets the other properties of the table with the swap.
        let keep_days = match new.is_next() {
            true => None,
            false => version.keep_days.map(|days| days.to_string()),
        };
        let properties = [(KEPT_PROPERTY, kept), (KEEP_DAYS_PROPERTY, keep_days)];
        let metadata = with_properties(created.metadata()?, properties)?;
        let mut actions = vec![Action::Metadata(metadata)];
        let adds = files.iter();
        actions.extend(adds.map(|(file, path)| add(new.folder.in_log(path.as_ref()), file)));
        if has_counted {
            actions.push(Action::Txn(transaction));
        }
        new.check_deadline(begun, NAMED_WITHIN)?;
        new.write_version(created, Operation::Swap, actions).await
    }
}

pub(in super::super) fn within(folder: &Path, path: &str) -> Path {
    folder.parts().chain(Path::from(path).parts()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(hours: &[Range<i64>]) -> Kept {
        Kept {
            hours: hours.to_vec(),
            without_time: false,
            anew: None,
        }
    }

    #[test]
    fn hours_are_added_and_removed() {
        let mut some = Kept::default();
        for slot in [Slot::Hour(5), Slot::Hour(7), Slot::Hour(6), Slot::Day(1)] {
            some.add(slot);
        }
        assert_eq!(some, kept(&[5..8, 24..48]));
        some.add(Slot::Hour(6));
        assert_eq!(some, kept(&[5..8, 24..48]));
        some.remove(&(7..30));
        assert_eq!(some, kept(&[5..7, 30..48]));
        assert!(some.has(Slot::Hour(5)) && !some.has(Slot::Hour(7)) && !some.has(Slot::Null));
        assert!(some.covers(&(30..48)) && !some.covers(&(29..31)));
        assert!(some.touches(&(6..9)) && !some.touches(&(7..30)));
        some.add(Slot::Null);
        assert!(some.has(Slot::Null));
    }

    #[test]
    fn what_is_outside_of_a_span_is_kept() {
        let outside = Kept::outside(&(24..48));
        assert!(
            outside.has(Slot::Hour(23)) && outside.has(Slot::Day(2)) && outside.has(Slot::Null)
        );
        assert!(!outside.has(Slot::Hour(24)) && !outside.has(Slot::Day(1)));
        let json = serde_json::to_string(&outside).unwrap();
        assert_eq!(serde_json::from_str::<Kept>(&json).unwrap(), outside);
    }
}
