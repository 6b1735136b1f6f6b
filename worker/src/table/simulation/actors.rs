//! The actors. Each kind runs the code under test.

use std::collections::HashSet;
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

use super::super::generations::strays_of;
use super::super::guards::Guards;
use super::super::{
    Anew, Definition, Entry, Folder, Keeping, Lease, MIN_GRACE, Root, Swap, Table, TableError,
    Version, lease,
};
use super::Template;
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
    /// Changes the table's SQL, or takes a change back.
    Rebuilder(usize),
    /// Stages anew what is staged for dead generations.
    Sweeper(usize),
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
        let mut actor = Self {
            table: Table {
                definition: Arc::clone(&template.definition),
                lease: lease::of(root.url(), Arc::clone(&store) as _, Arc::clone(&env) as _),
                store: Arc::clone(&store) as _,
                merge: None,
                log_store: root
                    .log_store(&template.definition.name, &Folder::default())
                    .unwrap(),
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
        let first = actor.template.definition.sql.clone();
        actor.table = actor.opened(&first, &Folder::default(), None);
        actor
    }

    /// The generation in a folder, of this SQL. `next` is the folder of the log, if it is not the table's.
    fn opened(&self, sql: &str, folder: &Folder, next: Option<&Folder>) -> Table {
        let template = &self.template;
        let (definition, merge) = match sql == template.definition.sql {
            true => (&template.definition, &template.merge),
            false => (&template.twice.0, &template.twice.1),
        };
        let none = Folder::default();
        let log_of = |folder: &Folder| self.root.log_store(&definition.name, folder).unwrap();
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
        let version = self.table.any_version().await?;
        self.table = self.opened(version.sql(), &version.folder, None);
        self.next = None;
        if let Some(folder) = version.next() {
            let next = self.root.read_next("requests", folder).await?;
            self.next = Some(self.opened(next.sql(), &Folder::default(), Some(folder)));
        }
        Ok(())
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
        match role {
            Role::Worker(number) => self.deliver(number).await,
            Role::Rest => self.rest().await,
            _ => {
                while self.next_round(role) {
                    self.pause(role).await;
                    match role {
                        Role::Rebuilder(_) | Role::Sweeper(_) => {}
                        _ => self.refresh_sometimes().await,
                    }
                    match role {
                        Role::Committer(_) => self.commit().await,
                        Role::Settler(_) => self.compact().await,
                        Role::Vacuum(_) => self.vacuum(role).await,
                        Role::Person(_) => self.try_again().await,
                        Role::Rebuilder(_) => self.rebuild().await,
                        Role::Sweeper(_) => self.sweep().await,
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

    /// Begins a generation of the other SQL, goes on with one, or puts an earlier one back; fills it, and makes it the live one.
    async fn rebuild(&mut self) {
        if let Err(error) = self.try_rebuild().await {
            self.report("rebuild", &error);
        }
    }

    async fn try_rebuild(&mut self) -> Result<(), TableError> {
        self.refresh().await?;
        let goes_on = self.next.is_some() && !self.random.one_in(4);
        if !goes_on {
            let back = match self.random.one_in(3) {
                true => self.root.read_earlier("requests").await?,
                false => None,
            };
            let of = |sql: &str| match sql == self.template.definition.sql {
                true => Arc::clone(&self.template.definition),
                false => Arc::clone(&self.template.twice.0),
            };
            let mut next = match back {
                Some(earlier) => {
                    let definition = of(earlier.sql());
                    let keeping = Keeping::everything(&earlier).await?;
                    let next = self
                        .root
                        .begin_keeping(&self.table, &definition, &earlier, keeping);
                    let next = next.await?;
                    self.simulation.lock().count("put back begun");
                    next
                }
                None if self.random.one_in(2) => {
                    let definition = of(&self.table.definition.sql);
                    let version = self.table.version().await?;
                    let keeping = self.keeping(&version).await?;
                    let next = self
                        .root
                        .begin_keeping(&self.table, &definition, &version, keeping);
                    let next = next.await?;
                    self.simulation.lock().count("hours anew begun");
                    next
                }
                None => {
                    let is_first = self.table.definition.sql == self.template.definition.sql;
                    let definition = match is_first {
                        true => Arc::clone(&self.template.twice.0),
                        false => Arc::clone(&self.template.definition),
                    };
                    self.root.begin_next(&self.table, &definition).await?
                }
            };
            next.guards = self.guards;
            self.next = Some(next);
        }
        let wait = self.random.below(self.horizon / 4 + 1);
        self.sleep(wait).await;
        let Some(next) = &self.next else {
            return Ok(());
        };
        self.table.void_seal(next).await?;
        for _ in 0..4 {
            for entry in self.table.lacked_by(next).await? {
                self.stage_for(next, &entry.log_file).await?;
            }
            next.commit_by(&mut stale_lease().await).await?;
            if let Swap::Done(_) = self.table.swap(next).await? {
                if self.random.one_in(2) {
                    self.go_on_unaware().await;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is kept of a version if some log files are gone, or if only some hours are computed anew.
    async fn keeping(&mut self, version: &Version) -> Result<Keeping, TableError> {
        let entries = version.entries().await?;
        let (mut gone, mut anew) = (HashSet::new(), Anew::All);
        if self.random.one_in(2) {
            for entry in &entries {
                if self.random.one_in(3) {
                    gone.insert(LogFile::new(&entry.log_file).id());
                }
            }
        }
        if self.random.one_in(2)
            && let Some(first) = entries.first().and_then(|entry| entry.first_time)
        {
            let from = first / HOUR as i64 + self.random.below(4) as i64 - 2;
            let to = from + self.random.between(1, 4) as i64;
            let milliseconds = from * HOUR as i64..to * HOUR as i64;
            anew = match self.random.one_in(2) {
                true => Anew::Hours(from..to),
                false => Anew::OfLines(milliseconds),
            };
        }
        let definition = Arc::clone(&self.table.definition);
        let now = self.env.now();
        Keeping::of(version, &definition, &gone, &anew, true, now).await
    }

    /// Goes on after a swap as one who does not know of it.
    async fn go_on_unaware(&mut self) {
        let (horizon, is_long) = (self.horizon, self.random.one_in(4));
        let longest = if is_long { 9 * DAY } else { horizon };
        let wait = self.random.below(longest);
        self.sleep(wait).await;
        self.commit().await;
        self.vacuum(Role::Vacuum(8)).await;
    }

    /// Stages anew what is staged or set aside for dead generations.
    async fn sweep(&mut self) {
        if let Err(error) = self.try_sweep().await {
            self.report("sweep", &error);
        }
    }

    async fn try_sweep(&mut self) -> Result<(), TableError> {
        self.refresh_sometimes().await;
        let strays = strays_of(&self.root, "requests", self.guards).await?;
        let version = self.table.any_version().await?;
        let is_current = self.table.is_live_in(&version)
            && match (&self.next, version.next()) {
                (None, None) => true,
                (Some(next), Some(_)) => next.is_next_of(&version),
                _ => false,
            };
        if !is_current {
            return Ok(());
        }
        let known = self.root.set_aside_unknown("requests", &version, strays);
        for stray in known.await? {
            let uri = stray.log_file.clone().unwrap_or_default();
            self.stage(&uri).await?;
            self.root.delete_strays("requests", &[stray]).await?;
            self.simulation.lock().count("strays staged anew");
        }
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
            Ok(()) if rows == state.checker.table().history[version.number() as usize].0 => {
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
            let left = left.filter(|uri| !state.checker.table().counted.contains(*uri));
            left.cloned().collect()
        };
        let notes = self.root.notes("requests").await?.read().await?;
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
            self.refresh().await?;
            if self.next.is_some() {
                self.table.drop_next().await?;
                self.refresh().await?;
            }
            // The first finds what is staged for dead generations, and a second what the first could not read.
            for _ in 0..2 {
                self.try_sweep().await?;
            }
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
            strays_of(&self.root, "requests", self.guards).await?;
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
            .find(|&uri| !state.checker.table().counted.contains(uri));
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
                let table = state.checker.table();
                let is_log_or_lease = name.starts_with("_delta_log/") || name == "_lease";
                !is_log_or_lease
                    && !table.live.contains(name)
                    && !table.ledger_objects.contains(name)
                    && !table.is_of_log_of_live(name)
            });
        match orphan {
            None => Ok(()),
            Some(name) => Err(broken(format!("orphan: {name} is left"))),
        }
    }

    fn check_agreement(&self, version: &Version, entries: &[Entry]) -> Result<(), TableError> {
        let state = self.simulation.lock();
        let checker = state.checker.table();
        let files: std::collections::BTreeSet<String> = version
            .files()
            .iter()
            .map(|file| version.path_in_table(file))
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
