//! The actors. Each kind runs the code under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use logmill_object_io::{Env, LeaseFile, RetryingStore, SystemEnv};
use logmill_shared::{LogFile, chain};
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::sync::oneshot;
use url::Url;

use super::super::guards::Guards;
use super::super::{Entry, Lease, MIN_GRACE, Root, Table, TableError, lease};
use super::checker::{Groups, add_rows};
use super::random::Random;
use super::scheduler::{DAY, HOUR, MINUTE, Operation, SECOND, Simulation, time};
use super::store::Store;

/// What an actor does. The number distinguishes actors of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Stages log files and acknowledges them.
    Worker(usize),
    Committer(usize),
    Settler(usize),
    Vacuum(usize),
    Reader(usize),
    /// Retries log files that are set aside.
    Person(usize),
    /// Finishes all work, and checks the final state.
    Rest,
}

/// The environment of one incarnation of an actor.
#[derive(Debug)]
struct SimulatedWorld {
    simulation: Arc<Simulation>,
    actor: usize,
    thread: ThreadId,
    numbers: AtomicU64,
}

impl Env for SimulatedWorld {
    fn now(&self) -> SystemTime {
        time(self.simulation.lock().now)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let simulation = Arc::clone(&self.simulation);
        let (actor, is_own) = (self.actor, thread::current().id() == self.thread);
        async move {
            let sleep = Operation::Sleep(duration.as_millis() as u64);
            // Only a killed actor gets no answer.
            let _ = simulation.request(actor, is_own, sleep).await;
        }
        .boxed()
    }

    fn unique(&self) -> u128 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let seed = self.simulation.lock().plan.seed;
        let mut random = Random::new(seed ^ (self.actor as u64) << 32 ^ number << 44);
        u128::from(random.next()) << 64 | u128::from(random.next())
    }
}

/// Runs an actor until its work is done or it is killed.
pub(super) fn live(
    simulation: &Arc<Simulation>,
    actor: usize,
    role: Role,
    killed: oneshot::Receiver<()>,
) {
    let parked = Arc::clone(simulation);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || parked.parked(actor))
        .build()
        .unwrap();
    let end = End(simulation, actor);
    let work = async {
        let mut actor = Actor::new(Arc::clone(simulation), actor);
        actor.work(role).await;
    };
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = killed => {}
            () = work => {}
        }
    });
    drop(end);
}

/// Reports that an actor's work has ended, even if it panics.
struct End<'s>(&'s Arc<Simulation>, usize);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended(self.1);
    }
}

/// A stale lease, held by a process that has since been replaced. It is one of another store, which excludes nobody here.
async fn stale_lease() -> Lease {
    let other = Arc::new(InMemory::new());
    let lease = LeaseFile::in_store(other, Path::from("_lease"), Arc::new(SystemEnv));
    lease.try_acquire().await.unwrap().unwrap()
}

struct Actor {
    simulation: Arc<Simulation>,
    table: Table,
    random: Random,
    horizon: u64,
    leased: bool,
}

impl Actor {
    fn new(simulation: Arc<Simulation>, actor: usize) -> Self {
        let thread = thread::current().id();
        let env = Arc::new(SimulatedWorld {
            simulation: Arc::clone(&simulation),
            actor,
            thread,
            numbers: AtomicU64::new(0),
        });
        let store = Arc::new(Store {
            simulation: Arc::clone(&simulation),
            actor,
            thread,
        });
        let patient = Arc::clone(&env) as Arc<dyn Env>;
        let store = Arc::new(RetryingStore::new(store, None, patient));
        let (template, guards, seed, horizon, leased) = {
            let plan = &simulation.lock().plan;
            (
                Arc::clone(&plan.template),
                Guards {
                    without: plan.without,
                    limit: Some(plan.limit),
                },
                plan.seed,
                plan.horizon,
                plan.leased,
            )
        };
        let root = Root::in_env(
            Url::parse(super::ROOT).unwrap(),
            store,
            Arc::clone(&env) as Arc<dyn Env>,
        );
        let log_store = root.log_store(&template.definition.name).unwrap();
        let store = log_store.object_store(None);
        let patient = Arc::clone(&env) as Arc<dyn Env>;
        let table = Table {
            definition: Arc::clone(&template.definition),
            lease: lease::of(log_store.root_url(), Arc::clone(&store), patient),
            store,
            merge: template.merge.clone(),
            log_store,
            env,
            guards,
        };
        Self {
            simulation,
            table,
            random: Random::new(seed ^ (actor as u64) << 40 ^ 0x5bd1_e995),
            horizon,
            leased,
        }
    }

    async fn work(&mut self, role: Role) {
        match role {
            Role::Worker(number) => self.deliver(number).await,
            Role::Rest => self.rest().await,
            _ => {
                while self.next_round(role) {
                    self.pause(role).await;
                    match role {
                        Role::Committer(_) => self.commit().await,
                        Role::Settler(_) => self.compact().await,
                        Role::Vacuum(_) => self.vacuum(role).await,
                        Role::Person(_) => self.try_again().await,
                        _ => self.read().await,
                    }
                }
            }
        }
    }

    /// Whether this role has anything left to do.
    fn next_round(&self, role: Role) -> bool {
        let mut state = self.simulation.lock();
        let left = state.rounds.entry(role).or_insert(1);
        let goes_on = *left > 0;
        *left = left.saturating_sub(1);
        goes_on
    }

    async fn pause(&mut self, role: Role) {
        let longest = match role {
            // These actors are started for an event, and must act while it lasts.
            Role::Committer(8..) | Role::Vacuum(8..) => SECOND,
            Role::Committer(_) => self.horizon / 3,
            _ => self.horizon / 2,
        };
        let shortest = match self.random.below(3) {
            0 => 0,
            _ => longest / 3,
        };
        let duration = self.random.between(shortest, longest.max(1));
        self.sleep(duration).await;
    }

    async fn sleep(&self, milliseconds: u64) {
        self.table
            .env
            .sleep(Duration::from_millis(milliseconds))
            .await;
    }

    fn report(&self, what: &str, error: &TableError) {
        let mut state = self.simulation.lock();
        state.note(|| format!("      {what}: {error}"));
        if error.is_transient() {
            state.count(&format!("{what} put off"));
        } else {
            let chain = chain(error);
            state.count(&format!("{what} failed for good: {chain}"));
        }
    }

    /// Stages the delivered log files, retrying until each is staged.
    async fn deliver(&mut self, number: usize) {
        loop {
            let next = {
                let state = self.simulation.lock();
                let delivery = state
                    .plan
                    .deliveries
                    .get(number)
                    .and_then(|mine| mine.first());
                delivery
                    .map(|delivery| (delivery.uri.clone(), delivery.at.saturating_sub(state.now)))
            };
            let Some((uri, wait)) = next else {
                return;
            };
            self.sleep(wait).await;
            match self.stage(&uri).await {
                Ok(()) => {
                    let mut state = self.simulation.lock();
                    let state = &mut *state;
                    state.plan.deliveries[number].remove(0);
                    let outcome = state.checker.acknowledge(&uri, &state.objects);
                    state.note(|| format!("      acknowledged: {uri}"));
                    state.judge(outcome);
                }
                Err(error) => {
                    self.report("staging", &error);
                    let wait = self.random.between(SECOND, MINUTE);
                    self.sleep(wait).await;
                }
            }
        }
    }

    async fn stage(&self, uri: &str) -> Result<(), TableError> {
        let groups = self.simulation.lock().plan.log_files[uri].clone();
        let rows = self.rows(&groups);
        let entry = Entry {
            log_file: uri.to_owned(),
            log_table: "alb_access_logs".to_owned(),
            bytes: 100,
            etag: "e".to_owned(),
            text_bytes: 1000,
            lines: groups.values().sum(),
            rejected_lines: 0,
            rows: 0,
            first_time: None,
            last_time: None,
            failed_lines: failed_lines(uri),
            failures: Vec::new(),
            slots: None,
        };
        let mut file = self.table.staging_file(&LogFile::new(uri))?;
        // As two sorted runs, as for a log file with many groups.
        let half = rows.num_rows() / 2;
        file.write(vec![rows.slice(0, half)]).await?;
        file.write(vec![rows.slice(half, rows.num_rows() - half)])
            .await?;
        file.stage(&entry).await
    }

    /// The rows of a log file, as its rollup would produce them.
    fn rows(&self, groups: &Groups) -> RecordBatch {
        let merges = self.table.definition.merges();
        let rows: Vec<(i64, i64, i64)> = groups
            .iter()
            .flat_map(|(&(minute, status), &count)| {
                let times = if merges { 1 } else { count as usize };
                std::iter::repeat_n((minute, status, count), times)
            })
            .collect();
        let schema = self.table.definition.row_schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            let value = |row: &(i64, i64, i64)| match field.name().as_str() {
                "minute" => row.0,
                "status" => row.1,
                "requests" => row.2,
                _ => row.0 / (DAY as i64 * 1000),
            };
            let values: Int64Array = rows.iter().map(value).collect();
            let values: ArrayRef = Arc::new(values);
            let values = match field.data_type() {
                DataType::Date32 => cast(&values, &DataType::Int32).unwrap(),
                DataType::Boolean => Arc::new(BooleanArray::from(vec![false; rows.len()])),
                _ => values,
            };
            cast(&values, field.data_type()).unwrap()
        });
        let columns = columns.collect();
        RecordBatch::try_new(schema, columns).unwrap()
    }

    async fn commit(&mut self) {
        let committed = match self.leased {
            true => self.table.commit().await,
            false => self.table.commit_by(&mut stale_lease().await).await,
        };
        if let Err(error) = committed {
            self.report("commit", &error);
        }
    }

    async fn lease(&self) -> Option<Lease> {
        match self.leased {
            true => self.table.try_lease().await.ok().flatten(),
            false => Some(stale_lease().await),
        }
    }

    async fn compact(&mut self) {
        let Some(mut lease) = self.lease().await else {
            return;
        };
        let settled = self
            .table
            .compact(&mut lease, Duration::from_secs(60))
            .await;
        lease.release().await;
        if let Err(error) = settled {
            self.report("compact", &error);
        }
    }

    async fn vacuum(&mut self, role: Role) {
        let grace = match self.random.below(3) {
            0 if role == Role::Vacuum(0) => Duration::from_hours(30),
            _ => MIN_GRACE,
        };
        if let Err(error) = self.table.vacuum(grace).await {
            self.report("vacuum", &error);
        }
    }

    /// Reads a version, within the shortest grace: all of its files must exist, with unchanged content.
    async fn read(&mut self) {
        let begun = self.simulation.lock().now;
        let Ok(version) = self.table.version().await else {
            return;
        };
        let wait = self.random.below(50 * MINUTE);
        self.sleep(wait).await;
        let mut rows = Groups::new();
        let read = async {
            let mut batches = self.table.rows_of_files(version.files());
            while let Some(batch) = batches.try_next().await? {
                add_rows(&mut rows, &batch).map_err(TableError::Internal)?;
            }
            Ok::<_, TableError>(())
        };
        let read = read.await;
        let mut state = self.simulation.lock();
        let in_time = state.now - begun < HOUR;
        match read {
            Ok(()) if rows == state.checker.history[version.number() as usize].0 => {
                state.count("versions read")
            }
            Ok(()) => {
                let what = format!("reader: version {} has changed", version.number());
                state.fail(what);
            }
            Err(error) if (error.is_not_found() || error.damage().is_some()) && in_time => {
                let error = chain(&error);
                state.fail(format!(
                    "reader: a file of version {} has gone: {error}",
                    version.number()
                ));
            }
            Err(_) => state.count("versions not read"),
        }
    }

    /// Puts back some notes, which does not help, and stages other log files again, which does.
    async fn try_again(&mut self) {
        let tried = async {
            let notes = self.table.notes().read().await?;
            for note in notes {
                if self.random.one_in(2) {
                    self.table.notes().put_back(&[note]).await?;
                    self.simulation.lock().count("put back");
                    continue;
                }
                let uri = {
                    let state = self.simulation.lock();
                    let mut uris = state.plan.log_files.keys();
                    uris.find(|uri| LogFile::new(uri.as_str()).id() == note.id)
                        .cloned()
                };
                let uri = uri.ok_or_else(|| broken("a note of no log file".to_owned()))?;
                self.stage(&uri).await?;
                self.simulation.lock().count("staged anew");
            }
            Ok(())
        };
        if let Err(error) = tried.await {
            self.report("trying again", &error);
        }
    }

    /// Stages again the log files that are set aside, as a person would eventually.
    async fn stage_what_is_set_aside(&mut self) -> Result<(), TableError> {
        let left: Vec<String> = {
            let state = self.simulation.lock();
            let left = state.checker.acknowledged();
            let left = left.filter(|uri| !state.checker.counted.contains(*uri));
            left.cloned().collect()
        };
        let notes = self.table.notes().read().await?;
        for uri in left {
            let id = LogFile::new(&uri).id();
            if !notes.iter().any(|note| note.id == id) {
                return Err(broken(format!("{uri} is not counted, and not set aside")));
            }
            self.stage(&uri).await?;
        }
        Ok(())
    }

    /// Runs without faults: every acknowledged log file must be counted once, and everything that is not needed must be deleted.
    async fn rest(&mut self) {
        self.sleep(3 * DAY).await;
        let end = async {
            self.table.commit_by(&mut stale_lease().await).await?;
            self.stage_what_is_set_aside().await?;
            // A committer that was stalled for long may have set aside a log file that another one counted. `logmill retry`
            // sweeps such notes too.
            let version = self.table.version().await?;
            self.table.notes().sweep(&version).await?;
            self.table.commit_by(&mut stale_lease().await).await?;
            self.check_all_counted()?;
            self.table
                .compact(&mut stale_lease().await, Duration::ZERO)
                .await?;
            // Files replaced now are deleted one grace later, and orphans later still.
            self.sleep(8 * DAY).await;
            self.table.vacuum(MIN_GRACE).await?;
            self.check_nothing_else()?;
            let version = self.table.version().await?;
            let entries = version.entries().await?;
            self.check_agreement(&version, &entries)
        };
        if let Err(error) = end.await {
            let error = chain(&error);
            self.simulation.lock().fail(format!("rest: {error}"));
        }
    }

    fn check_all_counted(&self) -> Result<(), TableError> {
        let state = self.simulation.lock();
        let forgotten = state
            .checker
            .acknowledged()
            .find(|&uri| !state.checker.counted.contains(uri));
        let staged = state
            .objects
            .keys()
            .find(|path| path.as_ref().contains("/_staging/"));
        match (forgotten, staged) {
            (None, None) => Ok(()),
            other => Err(broken(format!("not counted, or still staged: {other:?}"))),
        }
    }

    fn check_nothing_else(&self) -> Result<(), TableError> {
        let state = self.simulation.lock();
        let orphan = state
            .objects
            .keys()
            .map(super::scheduler::in_table)
            .find(|&name| {
                (name.starts_with("date=") && !state.checker.live.contains(name))
                    || (name.starts_with("_ledger/")
                        && !state.checker.ledger_objects.contains(name))
                    || name.starts_with("_set_aside/")
                    || name.starts_with("_staging/")
            });
        match orphan {
            None => Ok(()),
            Some(name) => Err(broken(format!("orphan: {name} is left"))),
        }
    }

    fn check_agreement(
        &self,
        version: &super::super::Version,
        entries: &[Entry],
    ) -> Result<(), TableError> {
        let state = self.simulation.lock();
        let checker = &state.checker;
        let files: std::collections::BTreeSet<String> = version
            .files()
            .iter()
            .map(|file| file.path.clone())
            .collect();
        let counted: std::collections::BTreeSet<String> =
            entries.iter().map(|entry| entry.log_file.clone()).collect();
        let failed = |entry: &&Entry| entry.failed_lines != failed_lines(&entry.log_file);
        if let Some(entry) = entries.iter().find(failed) {
            return Err(broken(format!("{} has other failed lines", entry.log_file)));
        }
        let agree = version.number() == checker.newest
            && files == checker.live
            && counted == checker.counted;
        match agree {
            true => Ok(()),
            false => Err(broken(format!(
                "what is loaded is another table: version {}, not {}; {files:?}, not {:?}",
                version.number(),
                checker.newest,
                checker.live
            ))),
        }
    }
}

/// Number of lines of a log file on which the rollup fails.
fn failed_lines(uri: &str) -> i64 {
    (uri.bytes().map(i64::from).sum::<i64>() % 3).max(0)
}

fn broken(what: String) -> TableError {
    TableError::Internal(what)
}
