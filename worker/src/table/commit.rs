//! The commit: the only place where log files are counted.
//!
//! 1. Read the table's latest version. List the staged files, and drop those that the ledger has already.
//! 2. Merge the rest with the slots that they touch, into new data files. Write a new ledger that includes them.
//! 3. Write exactly the next Delta version: it adds the new files, removes the files that they replace, and points to the new
//!    ledger.
//! 4. Read the latest version anew and check that its ledger has the log files. Only then delete them from staging.
//!
//! Two processes may commit at the same time, and either may crash at any point. If both write the same version, one of them
//! fails and changes nothing in the table. It starts over, and finds in the ledger what the other has counted. Any error in
//! step 3 leaves open whether the version was written. Nothing is concluded from the error: the table itself has the answer.

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
use logmill_object_io::lease::POLL_INTERVAL;
use logmill_object_io::{Policy, Retries};
use logmill_shared::{LogFileId, Shard};

use super::definition::DATE_COLUMN;
use super::delta_log::Operation;
use super::guards::Guard;
use super::ledger::Extended;
use super::merging::{Room, Rooms, rows_of};
use super::parquet_file::{self, ParquetFile, Size, Use, Written};
use super::runs::Runs;
use super::set_aside::Names;
use super::slot::{Slot, runs};
use super::staging::{self, Opening, StagedFile, StagedRows};
use super::statistics::delta_statistics;
use super::{
    DataFile, Definition, Entry, HowMuch, Lease, Table, TableError, Version, milliseconds,
};
use crate::memory;

/// Limits of one commit, so that its memory does not grow with the backlog. The next commit takes the rest.
const MAX_STAGED_FILES: usize = 1000;
const MAX_STAGED_BYTES: u64 = 32 * 1024 * 1024;

/// Staged files opened concurrently: enough to hide the store's latency.
const OPENED_AT_ONCE: usize = 16;

/// Data files opened ahead of being read. Each holds the response to one request.
const OPENED_AHEAD: usize = 8;

/// Data files completed concurrently. Each takes one or two requests.
const FINISHED_AT_ONCE: usize = 16;

/// Data files open at once in a table that keeps every row, whose rows come in no order. Each file has its own buffers. With a
/// lower limit, log files that span many days make more files than days.
const OPEN_MAX: usize = 64;

/// Files with fewer rows are not opened to measure their size in memory: they are small enough whatever they contain.
const FEW_ROWS: u64 = 2000;

/// Hours or days that one commit writes, unless a single log file has more.
const SLOTS_MAX: usize = 2000;

/// A slot whose rows take more memory than this accepts no new groups: each commit that touches the slot rewrites it.
const SLOT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Staged files listed at once, as a multiple of what one commit takes: some of them may be counted already.
const LISTED_PER_TAKEN: usize = 4;

/// Races that a commit may lose without any progress before it gives up: about one minute in total. Store errors are not
/// retried here, because each request has already been retried.
const RACES: Policy = Policy {
    attempts: 21,
    first_wait: Duration::from_millis(10),
    longest_wait: Duration::from_secs(3),
};

/// How long to wait for another process's lease before logging it, and the interval between such log lines.
const WORTH_A_WORD: Duration = Duration::from_secs(15);

/// A commit that has taken longer than this is not written: vacuum could have taken its new files for those of a crashed
/// commit, and deleted them. Vacuum waits for [`super::vacuum::ORPHAN_GRACE`], which is far longer.
pub(super) const DEADLINE: Duration = Duration::from_hours(1);

/// The result of one or more commits.
#[derive(Debug, Default)]
pub struct Committed {
    /// The log files that were counted.
    pub entries: Vec<Entry>,
    /// Whether there is more to commit.
    pub more: bool,
    /// The version in which they were seen after the commit, if any were counted.
    pub version: u64,
    /// When the oldest of them was staged.
    pub oldest: Option<SystemTime>,
    /// Values that the table could not store exactly, in the slots that were written.
    pub lost: Lost,
    /// Staged files that can't be committed and are now set aside: the log file, or its id, and the reason.
    pub set_aside: Vec<(String, String)>,
    /// How much is set aside in total. It is not looked up when nothing is staged.
    pub all_set_aside: Option<HowMuch>,
    /// Log files that were counted although another one has the same name, most likely a copy: the URI of each, and of the
    /// other one.
    pub copies: Vec<(String, String)>,
}

impl Committed {
    /// Adds the result of a later commit.
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

/// Values that a table could not store exactly, in the slots that a commit has written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Integer sums that don't fit into a bigint: they are NULL, and their exact states are kept.
    pub sums: u64,
    /// Rows that represent the groups for which a full slot had no room.
    pub other_rows: u64,
}

impl Lost {
    /// Adds the result of a later commit. Takes the maximum, because both commits may have written the same rows.
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
    /// Commits everything that is staged, or waits while another process that holds the lease does so.
    pub async fn commit(&self) -> Result<Committed, TableError> {
        let mut waited = Waited::new(self.env.now());
        // Includes staged files that are set aside: the commit itself finds out whether all of them are.
        while !staging::list(&self.store, 1, &Names::default())
            .await?
            .is_empty()
        {
            if let Some(mut lease) = self.try_lease().await? {
                let committed = self.commit_by(&mut lease).await;
                lease.release().await;
                return committed;
            }
            // The holder of the lease leaves set-aside files in staging, so don't wait for them.
            let set_aside = Names::list(&self.store, self.guards).await?;
            if staging::list(&self.store, 1, &set_aside).await?.is_empty() {
                break;
            }
            waited.tell(&self.definition.name, self.env.now());
            self.env.sleep(POLL_INTERVAL).await;
        }
        Ok(Committed::default())
    }

    /// Commits everything that is staged, under a lease that the caller holds.
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

    /// Starts counting lost races for the next version.
    pub(super) fn races(&self) -> Retries {
        let what = format!("next version of {}", self.definition.name);
        RACES.begin_with(what, Some(self.env.unique() as u64))
    }

    /// Waits before the next attempt if this one lost a race. Returns any other error: the store's requests have already been
    /// retried one by one, and retries at both levels would multiply.
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

    /// Makes one attempt to commit staged files, up to the limits of one commit.
    ///
    /// # Errors
    ///
    /// [`TableError::Damaged`] names the damaged object that blocks the table. A damaged staged file is set aside, which is
    /// not an error.
    #[tracing::instrument(name = "commit", skip_all, fields(table = %self.definition.name))]
    pub async fn try_commit(&self, lease: &mut Lease) -> Result<Committed, TableError> {
        let version = self.version().await?;
        let mut staged = Vec::new();
        let error = match self.commit_after(&version, &mut staged, lease).await {
            Ok(committed) => return Ok(committed),
            Err(error) => error,
        };
        if let Some(missing) = error.missing_object() {
            // An object of the ledger is missing. A process that was suspended for long may have read a version whose objects
            // are deleted by now.
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

    /// Commits staged files as the version after this one. `taken` receives these files, so that the caller has them after a
    /// failure too.
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
        let ledger = version
            .ledger
            .extended(&self.store, &*self.env, self.guards, by_shard);
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
        if self.guards.keep(Guard::ReadBack) {
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

    /// Fails if more time than [`DEADLINE`] has passed since `begun`.
    pub(super) fn check_deadline(&self, begun: SystemTime) -> Result<(), TableError> {
        let taken = self.env.now().duration_since(begun).unwrap_or_default();
        if taken > DEADLINE && self.guards.keep(Guard::Deadline) {
            return Err(TableError::Unknown(format!(
                "it has taken {} s, and its new files may be gone",
                taken.as_secs()
            )));
        }
        Ok(())
    }

    /// Lists staged files that have not been counted, up to the limits of one commit. Also returns whether there are more, and
    /// which are set aside, if that was looked up. Deletes staged files that have been counted.
    async fn fresh(
        &self,
        version: &Version,
    ) -> Result<(Vec<StagedFile>, bool, Option<Names>), TableError> {
        let files_max = self.guards.bound(MAX_STAGED_FILES);
        let listed_max = LISTED_PER_TAKEN * files_max;
        let mut staged = staging::list(&self.store, listed_max, &Names::default()).await?;
        if staged.is_empty() {
            return Ok((staged, false, None));
        }
        let set_aside = Names::list(&self.store, self.guards).await?;
        let mut more_staged = staged.len() == listed_max;
        let listed = staged.len();
        staged.retain(|file| !set_aside.cover(file));
        if more_staged && staged.len() < listed {
            // Set-aside files must not block the rest, however many they are.
            staged = staging::list(&self.store, listed_max, &set_aside).await?;
            more_staged = staged.len() == listed_max;
        }
        let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
        let counted = match self.guards.keep(Guard::LedgerCheck) {
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

    /// Opens staged files. Leaves out files that another commit has just counted and deleted. Sets aside files that can't be
    /// committed.
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

    /// Writes the data files of the next version. Returns the actions that add them and remove the files that they replace.
    async fn write_data(
        &self,
        version: &Version,
        staged: Vec<StagedRows>,
        lost: &mut Lost,
        lease: &mut Lease,
    ) -> Result<Vec<Action>, TableError> {
        let mut replaced = Vec::new();
        // Keeps the runs alive: some may be in temporary files, which are deleted with them.
        let mut _fresh = None;
        let mut _turn = None;
        let mut rows = match &self.merge {
            // Every row is kept, so no existing file needs to be rewritten.
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

    /// Staged rows, one file after another.
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

    /// Measures how much memory the rows of these files take.
    async fn measured(&self, files: Vec<DataFile>) -> Result<Vec<LiveFile>, TableError> {
        let measured = futures::stream::iter(files).map(async |file| {
            let mut size = file.size();
            // The Delta log has only the compressed size, which visitors can make misleadingly small.
            if size.rows > FEW_ROWS {
                let opened = parquet_file::open_live(&self.store, &file).await?;
                size = opened.size(0..opened.row_groups());
            }
            Ok(LiveFile { file, size })
        });
        measured.buffered(OPENED_AHEAD).try_collect().await
    }

    /// The remaining room of the slots that these files belong to. `None` if this many fresh rows fit, even if all of them
    /// belong to one slot.
    async fn room(&self, files: &[LiveFile], fresh: Size) -> Result<Option<Rooms>, TableError> {
        let groups_max = self.guards.bound(self.definition.slot_groups_max) as u64;
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
            // A packed day has no sizes for its hours, so count the rows of each.
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

    /// The rows of data files, one file after another, with the partition column if rows have one. Some files are opened
    /// ahead, because there may be many.
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

/// Since when this process has been waiting for another's lease, and when that was last logged.
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
            let what = format!(
                "another process holds the lease of {table}, and is to commit what is staged"
            );
            tracing::warn!(what, waited_s = since(self.since).as_secs(), "waiting");
            self.told = now;
        }
    }
}

/// Staged files to commit.
#[derive(Default)]
struct Fresh {
    staged: Vec<StagedFile>,
    /// The contents of each.
    opened: Vec<(Entry, StagedRows)>,
    /// Files that can't be committed, and why.
    set_aside: Vec<(String, String)>,
    set_aside_ids: Vec<LogFileId>,
}

/// How many of these staged files, from the first, one commit takes: it writes a bounded number of slots.
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

/// A file that is replaced, and the size of its rows in memory.
struct LiveFile {
    file: DataFile,
    size: Size,
}

/// The data files of these slots, in the order of slots.
pub(super) fn touched_files(
    version: &Version,
    touched: &BTreeSet<Slot>,
) -> Result<Vec<DataFile>, TableError> {
    let mut files = BTreeMap::new();
    for file in &version.files {
        let slot = file.slot()?;
        let is_touched = match slot == slot.day() {
            // A packed day covers its hours.
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

/// The type of timestamps that [`runs`] can divide into hours.
fn slot_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The action that removes a file from the table.
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

/// How rows are divided into files.
#[derive(Debug, Clone, Copy)]
pub(super) enum Files {
    /// One file for each slot.
    PerSlot,
    /// A single file for all rows, stored under this slot.
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
            // Rows that merge come in the order of slots, so files of earlier slots are complete.
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

    /// Completes a file concurrently with others.
    async fn finish_file(&mut self, slot: Slot, mut file: ParquetFile) -> Result<(), TableError> {
        // Flush the rows, so that files waiting to be completed hold none in memory.
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

    /// Completes the files, and returns the actions that add them to the table.
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
