//! The actors. Each kind runs the code under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use deltalake_core::DeltaTableError;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use logmill_object_io::{Env, LeaseFile, RetryingStore, SystemEnv};
use logmill_shared::{LogFile, chain};
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::sync::oneshot;
use url::Url;

use super::super::generations::strays_of;
use super::super::guards::Guards;
use super::super::{
    Definition, Entry, Folder, Lease, MIN_GRACE, Root, Table, TableError, Version, lease,
};
use super::checker::{Groups, add_rows};
use super::random::Random;
use super::scheduler::{DAY, HOUR, MINUTE, Operation, SECOND, Simulation, time};
use super::store::Store;
use super::{NEW, OLD, Template};

mod endings;
mod rebuilding;
mod rest;

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
    /// Changes the table's SQL, or takes a change back.
    Rebuilder(usize),
    /// Stages anew what is staged for dead generations.
    Sweeper(usize),
    /// Drops the table.
    Dropper,
    /// Renames the table.
    Renamer(usize),
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
    /// The table's name, as this actor knows it.
    name: &'static str,
    /// Whether it has the rollup's file, and makes a dropped table anew.
    has_rollup: bool,
    /// Whether it learns that the table has another name.
    learns: bool,
    root: Root,
    template: Arc<Template>,
    env: Arc<SimulatedWorld>,
    guards: Guards,
    /// The live generation, as this actor knows it.
    table: Table,
    /// The next generation, as this actor knows it.
    next: Option<Table>,
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
            Arc::clone(&store) as _,
            Arc::clone(&env) as Arc<dyn Env>,
        );
        let definition = template.definition(OLD, false);
        let mut actor = Self {
            name: OLD,
            has_rollup: false,
            learns: true,
            table: Table {
                definition: Arc::clone(definition),
                lease: lease::of(root.url(), Arc::clone(&store) as _, Arc::clone(&env) as _),
                store: Arc::clone(&store) as _,
                merge: None,
                log_store: root.log_store(OLD, &Folder::default()).unwrap(),
                folder: Folder::default(),
                next_of: None,
                env: Arc::clone(&env) as _,
                guards,
            },
            next: None,
            root,
            template,
            env,
            guards,
            simulation,
            random: Random::new(seed ^ (actor as u64) << 40 ^ 0x5bd1_e995),
            horizon,
            leased,
        };
        actor.table = actor.opened(&actor.first_sql(), &Folder::default(), None);
        actor
    }

    /// The SQL in the rollup's file.
    fn first_sql(&self) -> String {
        self.template.definition(OLD, false).sql.clone()
    }

    /// The definition of this SQL.
    fn definition(&self, sql: &str) -> &Arc<Definition> {
        self.template
            .definition(self.name, sql != self.first_sql().as_str())
    }

    /// The generation in a folder, of this SQL. `next` is the folder of the log, if it is not the table's.
    fn opened(&self, sql: &str, folder: &Folder, next: Option<&Folder>) -> Table {
        self.opened_as(self.name, sql, folder, next)
    }

    fn opened_as(
        &self,
        name: &'static str,
        sql: &str,
        folder: &Folder,
        next: Option<&Folder>,
    ) -> Table {
        let is_twice = sql != self.first_sql();
        let definition = self.template.definition(name, is_twice);
        let merge = match is_twice {
            false => &self.template.merge,
            true => &self.template.merge_twice,
        };
        let none = Folder::default();
        let log_of = |folder: &Folder| self.root.log_store(name, folder).unwrap();
        let log_store = log_of(next.unwrap_or(&none));
        let store = log_store.object_store(None);
        let env = Arc::clone(&self.env) as Arc<dyn Env>;
        Table {
            definition: Arc::clone(definition),
            lease: lease::of(log_store.root_url(), Arc::clone(&store), Arc::clone(&env)),
            store: folder.store(store),
            folder: folder.clone(),
            next_of: next.map(|_| log_of(&none)),
            merge: merge.clone(),
            log_store,
            env,
            guards: self.guards,
        }
    }

    /// Opens the generations that the table's latest version names, as a worker does now and then.
    async fn refresh(&mut self) -> Result<(), TableError> {
        let name = self.learned_name();
        let mut version = match self.even_last(name).await {
            // Without its last version, a dropped table has no log.
            Err(TableError::Delta(DeltaTableError::NotATable(_))) if self.has_rollup => {
                let definition = self.template.definition(name, false);
                self.root.open_or_create(definition).await?.1
            }
            read => read?,
        };
        if version.is_dropped {
            if !self.has_rollup {
                return self.root.read(name).await.map(drop);
            }
            let folder = version.folder_anew(&*self.env, self.guards);
            let table = self.opened_as(name, &self.first_sql(), &folder, None);
            table.make_anew(&version, []).await?;
            version = self.root.read(name).await?;
        }
        self.name = name;
        self.table = self.opened(version.sql(), &version.folder, None);
        self.next = None;
        if let Some(folder) = version.next() {
            let next = self.root.read_next(self.name, folder).await?;
            self.next = Some(self.opened(next.sql(), &Folder::default(), Some(folder)));
        }
        Ok(())
    }

    /// The latest version, even if it is the last one.
    async fn even_last(&self, name: &str) -> Result<Version, TableError> {
        let log_store = self.root.log_store(name, &Folder::default())?;
        Version::read_even_last(name, &log_store, &*self.env).await
    }

    /// The table's name. As soon as there is a renamed table, workers may learn of it.
    fn learned_name(&mut self) -> &'static str {
        let (is_there, is_gone) = {
            let state = self.simulation.lock();
            let is_there = state.checker.table(NEW).exists;
            (is_there, state.checker.table(OLD).is_dropped)
        };
        if self.name == NEW || !is_there || !self.learns {
            return self.name;
        }
        let learns = match is_gone {
            true => self.random.one_in(2),
            false => self.random.one_in(4),
        };
        if learns { NEW } else { OLD }
    }

    /// A worker may know of a change only later.
    async fn refresh_sometimes(&mut self) {
        if self.random.one_in(2)
            && let Err(error) = self.refresh().await
        {
            self.report("refresh", &error);
        }
    }

    async fn work(&mut self, role: Role) {
        self.has_rollup = matches!(role, Role::Worker(_) | Role::Committer(_));
        match role {
            Role::Worker(number) => self.deliver(number).await,
            Role::Rest => self.rest().await,
            _ => {
                while self.next_round(role) {
                    self.pause(role).await;
                    match role {
                        Role::Rebuilder(_) | Role::Sweeper(_) => {}
                        Role::Dropper | Role::Renamer(_) => {}
                        _ => self.refresh_sometimes().await,
                    }
                    match role {
                        Role::Committer(_) => self.commit().await,
                        Role::Settler(_) => self.compact().await,
                        Role::Vacuum(_) => self.vacuum(role).await,
                        Role::Person(_) => self.try_again().await,
                        Role::Rebuilder(_) => self.rebuild().await,
                        Role::Sweeper(_) => self.sweep().await,
                        Role::Dropper => self.drop_table().await,
                        Role::Renamer(_) => self.rename().await,
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
        if error.is_replaced_table() {
            state.count(&format!("{what} of a generation that was replaced"));
        } else if error.is_transient() {
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
            if self.random.one_in(4) {
                self.refresh_sometimes().await;
            }
            let lives = self.simulation.lock().checker.lives();
            match self.stage(&uri).await {
                Ok(()) => {
                    let mut state = self.simulation.lock();
                    let state = &mut *state;
                    state.plan.deliveries[number].remove(0);
                    let outcome = state.checker.acknowledge(&uri, lives, &state.objects);
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

    /// Stages a log file for all generations that this actor knows.
    async fn stage(&self, uri: &str) -> Result<(), TableError> {
        if let Some(next) = &self.next {
            self.stage_for(next, uri).await?;
        }
        self.stage_for(&self.table, uri).await
    }

    async fn stage_for(&self, table: &Table, uri: &str) -> Result<(), TableError> {
        let groups = self.simulation.lock().plan.log_files[uri].clone();
        let rows = Self::rows(&table.definition, &groups);
        let minutes = groups.keys().map(|(minute, _)| *minute);
        let entry = Entry {
            log_file: uri.to_owned(),
            log_table: "alb_access_logs".to_owned(),
            bytes: 100,
            etag: "e".to_owned(),
            text_bytes: 1000,
            lines: groups.values().sum(),
            rejected_lines: 0,
            rows: 0,
            first_time: minutes.clone().min().map(|minute| minute / 1000),
            last_time: minutes.max().map(|minute| minute / 1000),
            failed_lines: failed_lines(uri),
            failures: Vec::new(),
            slots: None,
            pending: false,
        };
        let mut file = table.staging_file(&LogFile::new(uri))?;
        // As two sorted runs, as for a log file with many groups.
        let half = rows.num_rows() / 2;
        file.write(vec![rows.slice(0, half)]).await?;
        file.write(vec![rows.slice(half, rows.num_rows() - half)])
            .await?;
        file.stage(&entry).await
    }

    /// The rows of a log file, as its rollup would produce them.
    fn rows(definition: &Definition, groups: &Groups) -> RecordBatch {
        let merges = definition.merges();
        let rows: Vec<(i64, i64, i64)> = groups
            .iter()
            .flat_map(|(&(minute, status), &count)| {
                let count = count * super::factor(&definition.sql);
                let times = if merges { 1 } else { count as usize };
                std::iter::repeat_n((minute, status, count), times)
            })
            .collect();
        let schema = definition.row_schema();
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

    /// The generations that this actor knows.
    fn generations(&self) -> impl Iterator<Item = &Table> {
        [&self.table].into_iter().chain(&self.next)
    }

    async fn pack_ledger(&self, table: &Table) {
        match table.pack_ledger(Duration::ZERO).await {
            Ok(0) => {}
            Ok(_) => self.simulation.lock().count("ledgers packed"),
            Err(error) => self.report("packing the ledger", &error),
        }
    }

    async fn commit(&mut self) {
        let packs = self.random.one_in(3);
        for table in self.generations() {
            let committed = match self.leased {
                true => table.commit().await,
                false => table.commit_by(&mut stale_lease().await).await,
            };
            if let Err(error) = committed {
                self.report("commit", &error);
            }
            if packs {
                self.pack_ledger(table).await;
            }
        }
    }

    async fn lease(&self, table: &Table) -> Option<Lease> {
        match self.leased {
            true => table.try_lease().await.ok().flatten(),
            false => Some(stale_lease().await),
        }
    }

    async fn compact(&mut self) {
        for table in self.generations() {
            let Some(mut lease) = self.lease(table).await else {
                return;
            };
            let settled = table.compact(&mut lease, Duration::from_secs(60)).await;
            lease.release().await;
            if let Err(error) = settled {
                self.report("compact", &error);
            }
            self.pack_ledger(table).await;
        }
        let keeps_days = self.simulation.lock().plan.keeps_days;
        if keeps_days && let Err(error) = self.expire().await {
            self.report("removing old rows", &error);
        }
    }

    async fn expire(&mut self) -> Result<(), TableError> {
        let days = self.random.between(1, 3) as u32;
        self.table.set_keep_days(Some(days)).await?;
        self.table.expire().await?;
        Ok(())
    }

    async fn vacuum(&mut self, role: Role) {
        let grace = match self.random.below(3) {
            0 if role == Role::Vacuum(0) => Duration::from_hours(30),
            _ => MIN_GRACE,
        };
        for table in self.generations() {
            if let Err(error) = table.vacuum(grace).await {
                self.report("vacuum", &error);
            }
        }
    }

    /// Reads a version, within the shortest grace: all of its files must exist, with unchanged content.
    async fn read(&mut self) {
        let (begun, lives) = {
            let state = self.simulation.lock();
            (state.now, state.checker.lives())
        };
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
        // What a person drops is deleted at once.
        let in_time = state.now - begun < HOUR && state.checker.lives() == lives;
        match read {
            Ok(())
                if rows
                    == state.checker.table(self.name).history[version.number() as usize].rows =>
            {
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
}

/// Number of lines of a log file on which the rollup fails.
fn failed_lines(uri: &str) -> i64 {
    (uri.bytes().map(i64::from).sum::<i64>() % 3).max(0)
}

fn broken(what: String) -> TableError {
    TableError::Internal(what)
}
