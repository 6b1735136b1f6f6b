//! The commit: the only place where anything is counted.
//!
//! 1. Read the table's latest version; list what is staged; drop what the ledger has counted already.
//! 2. Merge the rest with the slots that it touches, into new files; write the ledger with the rest added.
//! 3. Write one Delta version, exactly the next one: the new files, the ones that they replace, the ledger.
//! 4. See, in a freshly read version, that the ledger has the rest; only then delete it from staging.
//!
//! Two processes may do this at once, and any of them may die anywhere. One of two commits to the same version
//! fails, and then nothing of it is in the table; it starts over, and finds in the ledger what the other has
//! counted. Whatever goes wrong in 3 leaves open whether the version was written, so nothing is concluded
//! from it: the answer is in the table.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake_core::kernel::{Action, Add, Remove};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt, TryStreamExt};
use logmill_shared::{LogFileId, Shard};

use super::definition::DATE_COLUMN;
use super::delta_log::Operation;
use super::env::Guard;
use super::ledger::Extended;
use super::merging::{Room, Rooms, rows_of};
use super::parquet_file::{self, ParquetFile, Size, Use, Written};
use super::runs::Runs;
use super::set_aside::Names;
use super::slot::{Slot, runs};
use super::staging::{self, Opening, StagedFile, StagedRows};
use super::statistics::delta_statistics;
use super::{
    DataFile, Definition, Entry, HowMuch, Lease, Table, TableError, Version, lease, milliseconds,
};
use crate::memory;
use crate::retry::{self, Policy, Retries};

/// What one commit takes, so that its memory does not grow with the backlog. The next commit takes the rest.
const MAX_STAGED_FILES: usize = 1000;
const MAX_STAGED_BYTES: u64 = 32 * 1024 * 1024;

/// Staged files opened at once: enough to hide a store's latency.
const OPENED_AT_ONCE: usize = 16;

/// Data files that are opened before their turn comes to be read. Each holds what one request has brought.
const OPENED_AHEAD: usize = 8;

/// Data files that are completed at once, each by a request or two.
const FINISHED_AT_ONCE: usize = 16;

/// Data files that are open at once, in a table that keeps every row and whose rows come in no order. Each has buffers of its
/// own; with fewer, log files over many days make more files than days.
const OPEN_MAX: usize = 64;

/// A file of fewer rows is not opened to measure it: whatever they hold, they are no burden.
const FEW_ROWS: u64 = 2000;

/// Hours, or days, that one commit writes, unless a single log file has more.
const SLOTS_MAX: usize = 2000;

/// A slot whose rows are larger than this in memory takes no new groups: each commit that touches it writes it anew.
const SLOT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// What is listed of staging at once, as a multiple of what one commit takes: some of it may have been counted.
const LISTED_PER_TAKEN: usize = 4;

/// Races that a commit loses without any progress before it gives up: about a minute in all. What the store refuses is not
/// attempted again: it has been, request by request.
const RACES: Policy = Policy {
    attempts: 21,
    first_wait: Duration::from_millis(10),
    longest_wait: Duration::from_secs(3),
};

/// How long somebody else's lease is waited for before that is said, and how often it is said again.
const WORTH_A_WORD: Duration = Duration::from_secs(15);

/// A commit that has taken longer than this is not written: vacuum may take its new files for those of a commit that
/// has died ([`super::vacuum::ORPHAN_GRACE`], which is far longer).
pub(super) const DEADLINE: Duration = Duration::from_hours(1);

/// What was committed.
#[derive(Debug, Default)]
pub struct Committed {
    /// The log files that were counted.
    pub entries: Vec<Entry>,
    /// Whether there is more to commit.
    pub more: bool,
    /// The version in which they were seen, if there are any.
    pub version: u64,
    /// When the one was staged that had waited longest.
    pub oldest: Option<SystemTime>,
    /// Values that the table could not store exactly, in the hours that were written.
    pub lost: Lost,
    /// What was staged and can't be committed, and is set aside now: each log file, or its id, and why.
    pub set_aside: Vec<(String, String)>,
    /// How much is set aside by now, as far as it was looked at: where nothing is staged, it is not.
    pub all_set_aside: Option<HowMuch>,
    /// Log files that are counted beside another one of the same name, most likely a copy: each one's URI, and the other's.
    pub copies: Vec<(String, String)>,
}

impl Committed {
    /// Adds what another commit has done after it.
    fn add(&mut self, later: Self) {
        self.more = later.more;
        self.entries.extend(later.entries);
        self.set_aside.extend(later.set_aside);
        self.all_set_aside = later.all_set_aside.or(self.all_set_aside);
        self.copies.extend(later.copies);
        if later.version > 0 {
            self.version = later.version;
            self.lost.add(&later.lost);
        }
        self.oldest = self.oldest.into_iter().chain(later.oldest).min();
    }
}

/// Values that a table could not store exactly, in the hours that a commit has written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Sums of integers that a bigint can't hold: they are NULL, and their exact states are kept.
    pub sums: u64,
    /// Rows that stand for groups which a full slot had no room for.
    pub other_rows: u64,
}

impl Lost {
    /// Adds what a later commit has written, of which some may be the same.
    pub(crate) fn add(&mut self, later: &Self) {
        self.sums = self.sums.max(later.sums);
        self.other_rows = self.other_rows.max(later.other_rows);
    }

    fn see(&mut self, rows: &RecordBatch, definition: &Definition) {
        for (sum, state) in definition.exact_sums() {
            let (sum, state) = (rows.column(sum), rows.column(state));
            if sum.null_count() == state.null_count() {
                continue;
            }
            let lost = (0..rows.num_rows()).filter(|&row| sum.is_null(row) && state.is_valid(row));
            self.sums += lost.count() as u64;
        }
        if let Some(is_other) = definition.is_other() {
            self.other_rows += rows.column(is_other).as_boolean().true_count() as u64;
        }
    }
}

impl Table {
    /// Commits everything that is staged, or waits for whoever is about to do so.
    pub async fn commit(&self) -> Result<Committed, TableError> {
        let mut waited = Waited::new(self.env.now());
        // Whatever is staged, first: that it is all set aside is seen by the commit.
        while !staging::list(&self.store, 1, &Names::default())
            .await?
            .is_empty()
        {
            if let Some(mut lease) = self.try_lease().await? {
                let committed = self.commit_by(&mut lease).await;
                lease.release().await;
                return committed;
            }
            // Who has the lease leaves there what is set aside.
            let set_aside = Names::list(&self.store, &*self.env).await?;
            if staging::list(&self.store, 1, &set_aside).await?.is_empty() {
                break;
            }
            waited.tell(&self.definition.name, self.env.now());
            self.env.sleep(lease::POLL).await;
        }
        Ok(Committed::default())
    }

    /// Commits everything that is staged.
    pub async fn commit_by(&self, lease: &mut Lease) -> Result<Committed, TableError> {
        let mut all = Committed::default();
        let mut races = self.races();
        loop {
            match self.try_commit(lease).await {
                Ok(committed) => {
                    races.start_over();
                    let more = committed.more;
                    all.add(committed);
                    if !more {
                        return Ok(all);
                    }
                }
                Err(error) => self.wait_after(error, &mut races).await?,
            }
        }
    }

    /// Begins to count lost races for the next version.
    pub(super) fn races(&self) -> Retries {
        let what = format!("next version of {}", self.definition.name);
        RACES.begin_with(what, Some(self.env.unique() as u64))
    }

    /// Waits before the next attempt, if somebody else was in the way of this one. Nothing else is attempted again: the store's
    /// requests have been, each by itself, and attempts at both would multiply.
    pub(super) async fn wait_after(
        &self,
        error: TableError,
        races: &mut Retries,
    ) -> Result<(), TableError> {
        if !error.is_lost_race() {
            return Err(error);
        }
        match races.failed(&error) {
            Some(wait) => {
                self.env.sleep(wait).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Tries once to commit what is staged, up to the bounds of one commit.
    ///
    /// # Errors
    ///
    /// [`TableError::Damaged`] names the object because of which the table stands still. A staged file that is damaged is set
    /// aside, and is no error.
    #[tracing::instrument(name = "commit", skip_all, fields(table = %self.definition.name))]
    pub async fn try_commit(&self, lease: &mut Lease) -> Result<Committed, TableError> {
        let version = self.version().await?;
        let mut staged = Vec::new();
        let error = match self.commit_after(&version, &mut staged, lease).await {
            Ok(committed) => return Ok(committed),
            Err(error) => error,
        };
        if let Some(missing) = error.missing_object() {
            // An object of the ledger. Whoever was halted for long may have read a version whose objects have gone since.
            return Err(match self.version().await?.number() == version.number() {
                true => TableError::Damaged {
                    object: missing.to_owned(),
                    what: "is gone".to_owned(),
                },
                false => error,
            });
        }
        let Some(damage) = error.damage() else {
            return Err(error);
        };
        let damaged = |file: &&StagedFile| file.path().as_ref() == damage.object;
        if let Some(file) = staged.iter().find(damaged) {
            let reason = format!("what is staged {}", damage.what);
            self.set_aside_staged(file, None, &reason).await?;
            return Ok(Committed {
                more: true,
                set_aside: vec![(file.id.to_string(), reason)],
                ..Committed::default()
            });
        }
        match self.version().await?.number() == version.number() {
            true => Err(error.into_damage()),
            false => Err(TableError::Unknown(
                "another version has been written meanwhile".to_owned(),
            )),
        }
    }

    /// Commits what is staged, as the version after this one. `taken` tells, after a failure too, what was to be committed.
    async fn commit_after(
        &self,
        version: &Version,
        taken: &mut Vec<StagedFile>,
        lease: &mut Lease,
    ) -> Result<Committed, TableError> {
        let begun = self.env.now();
        let (fresh, more, names) = self.fresh(version).await?;
        let Fresh {
            mut staged,
            mut opened,
            set_aside,
            set_aside_ids,
        } = self.open(fresh).await?;
        let all_set_aside = names.map(|names| names.how_much(begun, &set_aside_ids));
        let fit = within_slots(&opened);
        let more = more || fit < staged.len();
        staged.truncate(fit);
        opened.truncate(fit);
        taken.clone_from(&staged);
        if staged.is_empty() {
            return Ok(Committed {
                more,
                set_aside,
                all_set_aside,
                ..Committed::default()
            });
        }
        lease.renew().await;
        let mut by_shard: BTreeMap<Shard, Vec<Entry>> = BTreeMap::new();
        let mut files = Vec::with_capacity(opened.len());
        for (file, (entry, rows)) in staged.iter().zip(opened) {
            by_shard.entry(file.shard.clone()).or_default().push(entry);
            files.push(rows);
        }
        let entries: Vec<Entry> = by_shard.values().flatten().cloned().collect();

        let mut lost = Lost::default();
        let mut actions = self.write_data(version, files, &mut lost, lease).await?;
        let ledger = version.ledger.extended(&self.store, &*self.env, by_shard);
        let Extended {
            transaction,
            copies,
        } = ledger.await?;
        actions.push(Action::Txn(transaction));
        lease.renew().await;
        self.check_deadline(begun)?;
        self.write_version(version, Operation::Write, actions)
            .await?;

        let version = self.version().await?;
        if self.env.keeps(Guard::ReadBack) {
            see_counted(&version, &staged).await?;
        }
        staging::delete(&self.store, &staged).await?;
        if let Err(error) = self.checkpoint_if_due(&version).await {
            tracing::warn!(table = %self.definition.name, %error, "no checkpoint");
        }
        Ok(Committed {
            entries,
            more,
            version: version.number(),
            oldest: staged.iter().map(|file| file.staged).min(),
            lost,
            set_aside,
            all_set_aside,
            copies,
        })
    }

    /// Fails if too much time has gone since this moment.
    pub(super) fn check_deadline(&self, begun: SystemTime) -> Result<(), TableError> {
        let taken = self.env.now().duration_since(begun).unwrap_or_default();
        if taken > DEADLINE && self.env.keeps(Guard::Deadline) {
            return Err(TableError::Unknown(format!(
                "it has taken {} s, and its new files may be gone",
                taken.as_secs()
            )));
        }
        Ok(())
    }

    /// What is staged and has not been counted, up to the bounds of one commit, whether there is more, and what is set aside, if
    /// it was looked at. What has been counted is deleted.
    async fn fresh(
        &self,
        version: &Version,
    ) -> Result<(Vec<StagedFile>, bool, Option<Names>), TableError> {
        let files_max = self.env.bound(MAX_STAGED_FILES);
        let listed_max = LISTED_PER_TAKEN * files_max;
        let mut staged = staging::list(&self.store, listed_max, &Names::default()).await?;
        if staged.is_empty() {
            return Ok((staged, false, None));
        }
        let set_aside = Names::list(&self.store, &*self.env).await?;
        let mut more_staged = staged.len() == listed_max;
        let listed = staged.len();
        staged.retain(|file| !set_aside.cover(file));
        if more_staged && staged.len() < listed {
            // However much is set aside, the rest must have its turn.
            staged = staging::list(&self.store, listed_max, &set_aside).await?;
            more_staged = staged.len() == listed_max;
        }
        let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
        let counted = match self.env.keeps(Guard::LedgerCheck) {
            true => version.counted(shards).await?,
            false => HashSet::new(),
        };
        let (counted, mut fresh): (Vec<_>, Vec<_>) = staged
            .into_iter()
            .partition(|file| counted.contains(&file.id));
        staging::delete(&self.store, &counted).await?;

        let mut bytes = 0;
        let taken = fresh.iter().take(files_max).take_while(|file| {
            let first = bytes == 0;
            bytes += file.bytes;
            first || bytes <= MAX_STAGED_BYTES
        });
        let taken = taken.count();
        let more = more_staged || taken < fresh.len();
        fresh.truncate(taken);
        Ok((fresh, more, Some(set_aside)))
    }

    /// Opens staged files. Those that another commit has just counted and deleted are left out; those that can't be committed are
    /// set aside.
    async fn open(&self, staged: Vec<StagedFile>) -> Result<Fresh, TableError> {
        let mut opened = futures::stream::iter(staged)
            .map(async |file| {
                let opening = file.open(&self.store, &self.definition).await?;
                Ok::<_, TableError>((opening, file))
            })
            .buffered(OPENED_AT_ONCE);
        let mut fresh = Fresh::default();
        while let Some((opening, file)) = opened.try_next().await? {
            match opening {
                Opening::Opened(opened) => {
                    fresh.staged.push(file);
                    fresh.opened.push(*opened);
                }
                Opening::Gone => {}
                Opening::Unusable { log_file, reason } => {
                    let name = log_file.clone().unwrap_or_else(|| file.id.to_string());
                    self.set_aside_staged(&file, log_file, &reason).await?;
                    fresh.set_aside_ids.push(file.id);
                    fresh.set_aside.push((name, reason));
                }
            }
        }
        Ok(fresh)
    }

    /// Writes the data files of the next version, and returns what changes by them.
    async fn write_data(
        &self,
        version: &Version,
        staged: Vec<StagedRows>,
        lost: &mut Lost,
        lease: &mut Lease,
    ) -> Result<Vec<Action>, TableError> {
        let mut replaced = Vec::new();
        // Some may be in temporary files, which go with them.
        let mut _fresh = None;
        let mut _turn = None;
        let mut rows = match &self.merge {
            // Every row is kept, so no file need be written again.
            None => self.rows_of_staged(staged)?,
            Some(merge) => {
                let mut fresh = Runs::of_staged(&self.definition, staged).await?;
                let live = self.measured(touched_files(version, &fresh.slots)?).await?;
                let mut size = fresh.size();
                live.iter().for_each(|live| size.add(live.size));
                _turn = memory::turn_to_merge(size.bytes).await;
                lease.renew().await;
                fresh.narrow(merge, &self.definition, lease).await?;
                let room = self.room(&live, fresh.size()).await?;
                lease.renew().await;
                let mut sorted = fresh.streams(&self.definition)?;
                _fresh = Some(fresh);
                replaced = live.into_iter().map(|live| live.file).collect();
                let live = self.rows_of_files(&replaced);
                match room {
                    Some(room) => merge.fold_within(sorted, live, room, size).await?,
                    None => {
                        if !replaced.is_empty() {
                            sorted.push(live);
                        }
                        merge.fold(sorted, size).await?
                    }
                }
            }
        };
        let mut writer = DataWriter::new(self, Files::PerSlot);
        while let Some(batch) = rows.try_next().await? {
            lost.see(&batch, &self.definition);
            writer.write(&batch).await?;
            lease.renew().await;
        }
        let mut actions = writer.finish(Operation::Write).await?;
        let now = self.env.now();
        let removes = replaced
            .into_iter()
            .map(|file| Action::Remove(remove(file, Operation::Write, now)));
        actions.extend(removes);
        Ok(actions)
    }

    /// Staged rows, one file after the other.
    fn rows_of_staged(
        &self,
        staged: Vec<StagedRows>,
    ) -> Result<SendableRecordBatchStream, TableError> {
        let rows = staged
            .into_iter()
            .map(|staged| Ok(rows_of(&self.definition, None, staged.file.rows()?)))
            .collect::<Result<Vec<SendableRecordBatchStream>, TableError>>()?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.definition.row_schema(),
            futures::stream::iter(rows).flatten(),
        )))
    }

    /// These files, with how much their rows are in memory.
    async fn measured(&self, files: Vec<DataFile>) -> Result<Vec<LiveFile>, TableError> {
        let measured = futures::stream::iter(files).map(async |file| {
            let mut size = file.size();
            // The log has its size as it is compressed, which says little if visitors want it so.
            if size.rows > FEW_ROWS {
                let opened = parquet_file::open_live(&self.store, &file).await?;
                size = opened.size(0..opened.row_groups());
            }
            Ok(LiveFile { file, size })
        });
        measured.buffered(OPENED_AHEAD).try_collect().await
    }

    /// What the slots have room for that these files are of, if this many fresh rows may be too many for one of them.
    async fn room(&self, files: &[LiveFile], fresh: Size) -> Result<Option<Rooms>, TableError> {
        let groups_max = self.env.bound(self.definition.slot_groups_max) as u64;
        let fits = |size: Size| {
            size.rows + fresh.rows <= groups_max && size.bytes + fresh.bytes <= SLOT_BYTES_MAX
        };
        let none = Size::default();
        if fits(none) && files.iter().all(|file| fits(file.size)) {
            return Ok(None);
        }
        let mut taken: BTreeMap<Slot, Size> = BTreeMap::new();
        for LiveFile { file, size } in files {
            let slot = file.slot()?;
            if slot != slot.day() || !self.definition.has_hours() {
                taken.entry(slot).or_default().add(*size);
                continue;
            }
            // A packed day says nothing of its hours.
            let opened = parquet_file::open_live(&self.store, file).await?;
            let name = &self.definition.columns[self.definition.slot_column].name;
            let mut times = opened.column(name)?;
            let each = size.bytes / size.rows.max(1);
            while let Some(batch) = times.try_next().await? {
                let hours = arrow::compute::cast(batch.column(0), &slot_type())
                    .map_err(|error| TableError::Internal(error.to_string()))?;
                for (slot, rows) in runs(&hours) {
                    let rows = rows.len() as u64;
                    taken.entry(slot).or_default().add(Size {
                        rows,
                        bytes: rows * each,
                    });
                }
            }
        }
        let left = |size: Size| Room {
            groups: groups_max.saturating_sub(size.rows),
            bytes: SLOT_BYTES_MAX.saturating_sub(size.bytes),
        };
        Ok(Some(Rooms {
            of: taken
                .into_iter()
                .map(|(slot, size)| (slot, left(size)))
                .collect(),
            elsewhere: left(none),
        }))
    }

    /// The rows of data files, one after the other, with their partition's column if they have one. Some files are opened
    /// ahead: there may be many.
    pub(super) fn rows_of_files(&self, files: &[DataFile]) -> SendableRecordBatchStream {
        let definition = Arc::clone(&self.definition);
        let store = Arc::clone(&self.store);
        let opened = futures::stream::iter(files.to_vec())
            .map(move |file| {
                let (store, definition) = (Arc::clone(&store), Arc::clone(&definition));
                async move {
                    let opened = parquet_file::open_live(&store, &file).await;
                    let rows = opened.and_then(|opened| opened.rows());
                    let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
                    Ok::<_, DataFusionError>(rows_of(&definition, Some(file.date), rows))
                }
            })
            .buffered(OPENED_AHEAD);
        Box::pin(RecordBatchStreamAdapter::new(
            self.definition.row_schema(),
            opened.try_flatten(),
        ))
    }
}

/// Since when another's lease is waited for, and when that was last said.
struct Waited {
    since: SystemTime,
    told: SystemTime,
}

impl Waited {
    fn new(now: SystemTime) -> Self {
        Self {
            since: now,
            told: now,
        }
    }

    fn tell(&mut self, table: &str, now: SystemTime) {
        let since = |moment| now.duration_since(moment).unwrap_or_default();
        if since(self.told) >= WORTH_A_WORD {
            retry::log_wait(
                &format!(
                    "another process holds the lease of {table}, and is to commit what is staged"
                ),
                since(self.since),
            );
            self.told = now;
        }
    }
}

/// Staged files that are to be committed.
#[derive(Default)]
struct Fresh {
    staged: Vec<StagedFile>,
    /// What each of them holds.
    opened: Vec<(Entry, StagedRows)>,
    /// Those that can't be committed, and why.
    set_aside: Vec<(String, String)>,
    set_aside_ids: Vec<LogFileId>,
}

/// How many of these staged files, from the first, one commit takes, so that it writes a bounded number of slots.
fn within_slots(staged: &[(Entry, StagedRows)]) -> usize {
    let mut slots: BTreeSet<Slot> = BTreeSet::new();
    let fits = staged.iter().enumerate().take_while(|(number, (_, rows))| {
        slots.extend(rows.slots.iter().flatten());
        *number == 0 || slots.len() <= SLOTS_MAX
    });
    fits.count()
}

/// Checks that a version's ledger has these log files.
async fn see_counted(version: &Version, staged: &[StagedFile]) -> Result<(), TableError> {
    let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
    let counted = version.counted(shards).await?;
    match staged.iter().all(|file| counted.contains(&file.id)) {
        true => Ok(()),
        false => Err(TableError::Unknown(
            "the version was written, but the table does not have it".to_owned(),
        )),
    }
}

/// A file that is replaced, and how much its rows are in memory.
struct LiveFile {
    file: DataFile,
    size: Size,
}

/// The files of these slots, in the order of slots.
pub(super) fn touched_files(
    version: &Version,
    touched: &BTreeSet<Slot>,
) -> Result<Vec<DataFile>, TableError> {
    let mut files = BTreeMap::new();
    for file in &version.files {
        let slot = file.slot()?;
        let is_touched = match slot == slot.day() {
            // A packed day stands for its hours.
            true => touched.iter().any(|&touched| slot.covers(touched)),
            false => touched.contains(&slot),
        };
        if is_touched && files.insert(slot.start(), file.clone()).is_some() {
            return Err(TableError::Internal(format!(
                "two data files for one slot: {}",
                file.path
            )));
        }
    }
    Ok(files.into_values().collect())
}

/// The type of times in data files that tell their hours.
fn slot_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Takes a file out of the table.
pub(super) fn remove(file: DataFile, operation: Operation, now: SystemTime) -> Remove {
    Remove {
        path: file.path,
        data_change: operation.changes_data(),
        deletion_timestamp: Some(milliseconds(now)),
        extended_file_metadata: Some(true),
        partition_values: Some([(DATE_COLUMN.to_owned(), file.date)].into()),
        size: Some(file.bytes as i64),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}

/// Where rows are written to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Files {
    /// A file for each slot.
    PerSlot,
    /// One file, which stands for all of its slots.
    One(Slot),
}

/// Writes rows to data files.
pub(super) struct DataWriter<'t> {
    table: &'t Table,
    files: Files,
    open: BTreeMap<Slot, ParquetFile>,
    finishing: FuturesOrdered<BoxFuture<'static, Result<(Slot, Written), TableError>>>,
    written: Vec<(Slot, Written)>,
}

impl<'t> DataWriter<'t> {
    pub(super) fn new(table: &'t Table, files: Files) -> Self {
        Self {
            table,
            files,
            open: BTreeMap::new(),
            finishing: FuturesOrdered::new(),
            written: Vec::new(),
        }
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let definition = &self.table.definition;
        let runs = match self.files {
            Files::PerSlot => runs(batch.column(definition.slot_column)),
            Files::One(slot) => vec![(slot, 0..batch.num_rows())],
        };
        for (slot, range) in runs {
            // Rows that merge come in the order of slots, so the ones before are complete.
            if definition.merges() {
                self.finish_before(slot).await?;
            } else if self.open.len() == OPEN_MAX
                && !self.open.contains_key(&slot)
                && let Some((first, file)) = self.open.pop_first()
            {
                self.finish_file(first, file).await?;
            }
            let rows = batch.slice(range.start, range.len());
            let rows = without_date(&rows)?;
            let file = match self.open.entry(slot) {
                std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    vacant.insert(ParquetFile::create(
                        &self.table.store,
                        slot.new_path(self.table.env.unique()),
                        definition.file_schema(),
                        Use::Keeping,
                    )?)
                }
            };
            file.write(&rows).await?;
        }
        Ok(())
    }

    async fn finish_before(&mut self, slot: Slot) -> Result<(), TableError> {
        while let Some(first) = self.open.first_entry()
            && *first.key() < slot
        {
            let (slot, file) = first.remove_entry();
            self.finish_file(slot, file).await?;
        }
        Ok(())
    }

    /// Completes a file while others are written.
    async fn finish_file(&mut self, slot: Slot, mut file: ParquetFile) -> Result<(), TableError> {
        // Files that wait for their turn hold no rows.
        file.end_row_group().await?;
        if self.finishing.len() == FINISHED_AT_ONCE
            && let Some(written) = self.finishing.next().await
        {
            self.written.push(written?);
        }
        let finish = async move { Ok((slot, file.finish().await?)) };
        self.finishing.push_back(finish.boxed());
        Ok(())
    }

    /// Completes the files, and returns what puts them into the table.
    pub(super) async fn finish(mut self, operation: Operation) -> Result<Vec<Action>, TableError> {
        while let Some((slot, file)) = self.open.pop_first() {
            self.finish_file(slot, file).await?;
        }
        while let Some(written) = self.finishing.next().await {
            self.written.push(written?);
        }
        let schema = self.table.definition.file_schema();
        let now = self.table.env.now();
        let add = |(slot, written): (Slot, Written)| Add {
            path: written.path.to_string(),
            partition_values: [(DATE_COLUMN.to_owned(), slot.date())].into(),
            size: written.bytes as i64,
            modification_time: milliseconds(now),
            data_change: operation.changes_data(),
            stats: Some(delta_statistics(&schema, &written.metadata)),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        };
        Ok(self.written.into_iter().map(add).map(Action::Add).collect())
    }
}

fn without_date(batch: &RecordBatch) -> Result<RecordBatch, TableError> {
    let Some((index, _)) = batch.schema_ref().column_with_name(DATE_COLUMN) else {
        return Ok(batch.clone());
    };
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|&column| column != index)
        .collect();
    batch
        .project(&kept)
        .map_err(|error| TableError::Internal(error.to_string()))
}
