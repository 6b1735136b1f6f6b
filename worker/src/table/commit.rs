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
use std::time::{Duration, SystemTime};

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake_core::kernel::Action;
use futures::{StreamExt, TryStreamExt};
use logmill_object_io::lease::POLL_INTERVAL;
use logmill_object_io::{Policy, Retries};
use logmill_shared::{LogFileId, Shard};

use super::data_writer::{DataWriter, Files, remove};
use super::delta_log::Operation;
use super::generations::with_properties;
use super::guards::Guard;
use super::lease::Waited;
use super::ledger::Extended;
use super::runs::Runs;
use super::set_aside::NoteNames;
use super::slot::Slot;
use super::staging::{self, Opening, StagedFile, StagedRows};
use super::touched_files::touched_files;
use super::{Definition, Entry, HowMuch, Lease, Table, TableError, Version, milliseconds};
use crate::memory;

/// Limits of one commit, so that its memory does not grow with the backlog. The next commit takes the rest.
const MAX_STAGED_FILES: usize = 1000;
const MAX_STAGED_BYTES: u64 = 32 * 1024 * 1024;

/// Staged files opened concurrently: enough to hide the store's latency.
const OPENED_AT_ONCE: usize = 16;

/// Hours or days that one commit writes, unless a single log file has more.
const SLOTS_MAX: usize = 2000;

/// Staged files listed at once, as a multiple of what one commit takes: some of them may be counted already.
const LISTED_PER_TAKEN: usize = 4;

/// Races that a commit may lose without any progress before it gives up: about one minute in total. Store errors are not
/// retried here, because each request has already been retried.
const COMMIT_RACES: Policy = Policy {
    attempts: 21,
    first_wait: Duration::from_millis(10),
    longest_wait: Duration::from_secs(3),
};

/// A property of the table, and its value; `None` removes it.
pub(super) type Property = (&'static str, Option<String>);

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

    fn count(&mut self, rows: &RecordBatch, definition: &Definition) {
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
        while !staging::list(&self.store, 1, &NoteNames::default())
            .await?
            .is_empty()
        {
            if let Some(mut lease) = self.try_lease().await? {
                let committed = self.commit_by(&mut lease).await;
                lease.release().await;
                return committed;
            }
            // The holder of the lease leaves set-aside files in staging, so don't wait for them.
            let set_aside = NoteNames::list(&self.store, self.guards).await?;
            if staging::list(&self.store, 1, &set_aside).await?.is_empty() {
                break;
            }
            waited.log_wait(&self.definition.name, self.env.now());
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
        let what = format!("writing the next version of {}", self.definition.name);
        COMMIT_RACES.begin_with(what, Some(self.env.unique() as u64))
    }

    /// Repeats an attempt to write the next version as long as it loses races.
    pub(super) async fn until_won<T, A>(&self, attempt: impl Fn() -> A) -> Result<T, TableError>
    where
        A: Future<Output = Result<T, TableError>>,
    {
        let mut races = self.races();
        loop {
            match attempt().await {
                Ok(won) => return Ok(won),
                Err(error) => self.wait_after(error, &mut races).await?,
            }
        }
    }

    /// Changes properties of the table: those that `change` returns for the latest version. `None` if it needs no change.
    pub(super) async fn set_properties(
        &self,
        change: impl Fn(&Version) -> Result<Option<Vec<Property>>, TableError>,
    ) -> Result<(), TableError> {
        let mut races = self.races();
        loop {
            let version = self.version().await?;
            let Some(properties) = change(&version)? else {
                return Ok(());
            };
            let metadata = with_properties(self.upgraded(&version)?, properties)?;
            let actions = vec![Action::Metadata(metadata)];
            let written = self.write_version(&version, Operation::SetProperties, actions);
            if let Err(error) = written.await {
                self.wait_after(error, &mut races).await?;
            }
        }
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
                    what: "is missing".to_owned(),
                },
                false => error,
            });
        }
        let Some(damage) = error.damage() else {
            return Err(error);
        };
        let damaged = |file: &&StagedFile| file.path().as_ref() == damage.object;
        if let Some(file) = staged.iter().find(damaged) {
            let reason = format!("the staged file {}", damage.what);
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
                "another process has written a version in the meantime".to_owned(),
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
        self.leave_out_kept(version, &staged, &mut opened).await?;
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
        let kept_from = version.kept_from(milliseconds(begun));
        for (file, (mut entry, rows)) in staged.iter().zip(opened) {
            entry.forget_texts(kept_from);
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
        self.check_deadline(begun, DEADLINE)?;
        self.write_version(version, Operation::Write, actions)
            .await?;

        let version = self.version().await?;
        if self.guards.is_on(Guard::ReadBack) {
            check_counted(&version, &staged).await?;
        }
        staging::delete(&self.store, &staged).await?;
        if let Err(error) = self.checkpoint_if_due(&version).await {
            tracing::warn!(table = %self.definition.name, %error, "the checkpoint could not be written");
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

    /// Log files that were counted before this generation began add nothing to the hours that it has taken over.
    async fn leave_out_kept(
        &self,
        version: &Version,
        staged: &[StagedFile],
        opened: &mut [(Entry, StagedRows)],
    ) -> Result<(), TableError> {
        let Some(kept) = &version.generations.kept else {
            return Ok(());
        };
        if !self.guards.is_on(Guard::KeptHours) {
            return Ok(());
        }
        let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
        let pending = version.pending(shards).await?;
        for (file, (_, rows)) in staged.iter().zip(opened) {
            if pending.contains(&file.id) {
                rows.leave_out(kept);
            }
        }
        Ok(())
    }

    /// Fails if more time than this has passed since `begun`.
    pub(super) fn check_deadline(
        &self,
        begun: SystemTime,
        deadline: Duration,
    ) -> Result<(), TableError> {
        let taken = self.env.now().duration_since(begun).unwrap_or_default();
        if taken > deadline && self.guards.is_on(Guard::Deadline) {
            return Err(TableError::Unknown(format!(
                "the commit took {} s, which exceeds its deadline, and its new files may have been deleted",
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
    ) -> Result<(Vec<StagedFile>, bool, Option<NoteNames>), TableError> {
        let files_max = self.guards.limit(MAX_STAGED_FILES);
        let listed_max = LISTED_PER_TAKEN * files_max;
        let mut staged = staging::list(&self.store, listed_max, &NoteNames::default()).await?;
        if staged.is_empty() {
            return Ok((staged, false, None));
        }
        let set_aside = NoteNames::list(&self.store, self.guards).await?;
        let mut more_staged = staged.len() == listed_max;
        let listed = staged.len();
        staged.retain(|file| !set_aside.cover(file));
        if more_staged && staged.len() < listed {
            // Set-aside files must not block the rest, however many they are.
            staged = staging::list(&self.store, listed_max, &set_aside).await?;
            more_staged = staged.len() == listed_max;
        }
        let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
        let counted = match self.guards.is_on(Guard::LedgerCheck) {
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
            lost.count(&batch, &self.definition);
            writer.write(&batch).await?;
            lease.renew().await;
        }
        let mut actions = writer.finish(Operation::Write).await?;
        let now = self.env.now();
        let removes = replaced
            .into_iter()
            .map(|file| Action::Remove(remove(&self.folder, file, Operation::Write, now)));
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
            .map(|StagedRows { file, without, .. }| {
                let (definition, rows) = (&self.definition, file.rows()?);
                Ok(StagedRows::as_rows(definition, rows, without.as_ref()))
            })
            .collect::<Result<Vec<SendableRecordBatchStream>, TableError>>()?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.definition.row_schema(),
            futures::stream::iter(rows).flatten(),
        )))
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
async fn check_counted(version: &Version, staged: &[StagedFile]) -> Result<(), TableError> {
    let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
    let counted = version.counted(shards).await?;
    match staged.iter().all(|file| counted.contains(&file.id)) {
        true => Ok(()),
        false => Err(TableError::Unknown(
            "the version was written, but the ledger of the latest version lacks its log files"
                .to_owned(),
        )),
    }
}
