//! The scheduler: one store in memory, one virtual clock, and the order in which the actors' requests are granted.
//!
//! Every request of an actor, including a sleep, waits here until the scheduler grants it. The scheduler grants one request
//! at a time, when every living actor is waiting, so that nothing runs concurrently. The request with the earliest time is next.
//! The seed determines how long each takes, from milliseconds to days. The scheduler then decides its fate: it is done, or
//! refused, or done without an answer, or done long after the answer; or its client crashes.
//!
//! Each incarnation of an actor has its own thread, because Delta's kernel blocks the thread that writes a checkpoint, and
//! sends its requests from another thread. An actor is waiting when its own thread is parked, or when one of these other
//! threads has made a request.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, PutMode, Result};
use tokio::sync::oneshot;

use super::actors::{self, Role};
use super::checker::Checker;
use super::random::Random;
use super::{Plan, Stall, TABLES};

pub(super) const SECOND: u64 = 1000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// Start of the simulation: 2100-01-10T06:00Z. It is so far ahead because delta-rs hides files that were replaced a week ago,
/// by the machine's clock, and a run must not depend on that clock.
pub(super) const BEGIN: u64 = 4_103_222_400_000 + 6 * HOUR;

/// The longest time that the PUT of a version may be under way. This is the protocol's only assumption. It must end well before
/// vacuum takes the version's new files for orphans.
const VERSION_UNDER_WAY_MAX: u64 = 2 * DAY;

/// Real time without a request after which the simulation is considered stuck.
const STUCK: Duration = Duration::from_secs(60);

/// An object, as it was written.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) e_tag: u64,
    /// In virtual milliseconds since 1970.
    pub(super) modified: u64,
}

impl Object {
    pub(super) fn meta(&self, path: &Path) -> ObjectMeta {
        ObjectMeta {
            location: path.clone(),
            last_modified: time(self.modified).into(),
            size: self.bytes.len() as u64,
            e_tag: Some(self.e_tag.to_string()),
            version: None,
        }
    }
}

pub(super) type Objects = BTreeMap<Path, Object>;

/// A request of an actor.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Start(Role),
    Sleep(u64),
    Put {
        path: Path,
        bytes: Bytes,
        mode: PutMode,
    },
    Get(Path),
    List(Option<Path>),
    Delete(Vec<Path>),
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Done,
    Put(String),
    Got(Object),
    Listed(Vec<ObjectMeta>),
}

/// The fate of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// An error; the request was not done.
    Refused,
    /// S3's transient 409, which object_store reports as an unmet condition.
    Conflict,
    /// An error, although the request was done.
    AnswerLost,
    /// The request was done; the client's own retry then found the condition unmet.
    DoneAndConflict,
    /// An error; the request is done later, if its condition is met then.
    Zombie(u64),
    /// The request is done now, and the answer arrives later.
    Late(u64),
    /// Part of the request is done, followed by an error.
    Half,
    /// The client dies, just before or just after the request is done.
    Crash {
        done: bool,
    },
}

struct Event {
    actor: Option<usize>,
    operation: Operation,
    /// `None` if the requester no longer waits.
    reply: Option<oneshot::Sender<Result<Answer>>>,
    /// The answer, if the request has been done already.
    late: Option<Result<Answer>>,
    /// Whether the request comes from the actor's own thread.
    is_own: bool,
}

struct Actor {
    role: Role,
    waiting: usize,
    waiting_elsewhere: usize,
    parked: bool,
    over: bool,
    kill: Option<oneshot::Sender<()>>,
}

/// A stall in progress.
struct Stalled {
    actor: usize,
    until: u64,
    versions_left: u32,
}

pub(super) struct State {
    pub(super) plan: Plan,
    pub(super) now: u64,
    pub(super) objects: Objects,
    pub(super) checker: Checker,
    /// The number of events of each kind.
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) rounds: HashMap<Role, u32>,
    pub(super) trace: Option<Vec<String>>,
    pub(super) failure: Option<String>,
    /// Whether faults have ended.
    pub(super) calm: bool,
    random: Random,
    e_tags: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Event>,
    actors: Vec<Actor>,
    gets: HashMap<(usize, Path), u64>,
    stall: Option<Stall>,
    stalled: Option<Stalled>,
    lease_holder: Option<usize>,
}

/// Everything that one seed determines.
pub(super) struct Simulation {
    state: Mutex<State>,
    changed: Condvar,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Simulation")
    }
}

pub(super) fn time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}

fn unreachable_store() -> Error {
    Error::Generic {
        store: "simulation",
        source: "503 or no answer".into(),
    }
}

fn conflict(mode: &PutMode, path: &Path) -> Error {
    let (path, source) = (path.to_string(), "409 or 412".into());
    match mode {
        PutMode::Update(_) => Error::Precondition { path, source },
        _ => Error::AlreadyExists { path, source },
    }
}

impl Simulation {
    pub(super) fn new(
        plan: Plan,
        seed: u64,
        objects: Objects,
        checker: Checker,
        trace: bool,
    ) -> Arc<Self> {
        let state = State {
            now: BEGIN,
            objects,
            checker,
            counts: BTreeMap::new(),
            rounds: HashMap::new(),
            trace: trace.then(Vec::new),
            failure: None,
            calm: false,
            random: Random::new(seed),
            e_tags: 1,
            sequence: 0,
            queue: BTreeMap::new(),
            actors: Vec::new(),
            gets: HashMap::new(),
            stall: plan.stall.clone(),
            stalled: None,
            lease_holder: None,
            plan,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|error| error.into_inner())
    }

    /// Waits until the scheduler grants the request.
    pub(super) async fn request(
        &self,
        actor: usize,
        is_own: bool,
        operation: Operation,
    ) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        if self.is_over(actor) {
            // The actor's own thread is about to be told. An error would only make it retry.
            if is_own {
                std::future::pending::<()>().await;
            }
            return Err(unreachable_store());
        }
        {
            let mut state = self.lock();
            let delay = state.delay(actor, &operation);
            let waiting = &mut state.actors[actor];
            waiting.waiting += 1;
            waiting.waiting_elsewhere += usize::from(!is_own);
            let event = Event {
                actor: Some(actor),
                operation,
                reply: Some(reply),
                late: None,
                is_own,
            };
            state.push(delay, event);
            self.changed.notify_all();
        }
        answer.await.unwrap_or_else(|_| Err(unreachable_store()))
    }

    fn is_over(&self, actor: usize) -> bool {
        let state = self.lock();
        state.actors[actor].over || state.failure.is_some()
    }

    /// Answers a GET immediately. Most are answered so, as the objects hardly ever change. `None`: it must wait its turn.
    pub(super) fn get_at_once(
        &self,
        actor: usize,
        is_own: bool,
        path: &Path,
    ) -> Option<Result<Object>> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.actors[actor].over || state.failure.is_some() {
            return Some(Err(unreachable_store()));
        }
        let times = state.gets.entry((actor, path.clone())).or_default();
        *times += 1;
        // Depends on what is requested, not on when: the kernel's threads may request several objects at once.
        let mut random = Random::new(
            state.plan.seed ^ hash(path.as_ref()) ^ (actor as u64) << 32 ^ *times << 48,
        );
        if is_own && (path.as_ref().ends_with("_lease") || random.one_in(8)) {
            return None;
        }
        if !state.calm && random.per_mille(state.plan.faults / 2) {
            return Some(Err(unreachable_store()));
        }
        Some(state.get(path))
    }

    pub(super) fn start(&self, role: Role, delay: u64) {
        self.lock().push_start(role, delay);
    }

    /// The actor's thread has no work at the moment.
    pub(super) fn parked(&self, actor: usize) {
        self.lock().actors[actor].parked = true;
        self.changed.notify_all();
    }

    /// An actor's work has ended.
    pub(super) fn ended(&self, actor: usize) {
        self.lock().actors[actor].over = true;
        self.changed.notify_all();
    }

    /// Runs until all actors have done their work, or something is wrong.
    pub(super) fn run(self: &Arc<Self>) {
        let mut threads = Vec::new();
        loop {
            let mut state = self.quiet();
            if state.failure.is_some() {
                break;
            }
            let Some(event) = state.next() else {
                break;
            };
            let Operation::Start(role) = event.operation else {
                state.grant(event);
                continue;
            };
            let (kill, killed) = oneshot::channel();
            let actor = state.actors.len();
            state.note(|| format!("{role:?} starts as {actor}"));
            state.actors.push(Actor {
                role,
                waiting: 0,
                waiting_elsewhere: 0,
                parked: false,
                over: false,
                kill: Some(kill),
            });
            drop(state);
            let simulation = Arc::clone(self);
            threads.push(std::thread::spawn(move || {
                actors::live(&simulation, actor, role, killed);
            }));
        }
        self.lock().kill_all();
        for thread in threads {
            if thread.join().is_err() {
                self.lock().fail("an actor panicked");
            }
        }
    }

    /// Waits until every actor is waiting.
    fn quiet(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while !state.is_quiet() && state.failure.is_none() {
            let (next, timeout) = self
                .changed
                .wait_timeout(state, STUCK)
                .unwrap_or_else(|error| error.into_inner());
            state = next;
            if timeout.timed_out() && !state.is_quiet() {
                state.fail("the simulation is stuck");
            }
        }
        state
    }
}

/// An object on a bad disk: empty, cut in half, or with one bit changed.
fn damaged(bytes: &Bytes, random: &mut Random) -> Bytes {
    match random.below(3) {
        _ if bytes.is_empty() => Bytes::new(),
        0 => Bytes::new(),
        1 => bytes.slice(..bytes.len() / 2),
        _ => {
            let mut bytes = bytes.to_vec();
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            bytes.into()
        }
    }
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The folder of a generation, relative to the table's folder, and the path in it.
pub(super) fn in_generation(path: &Path) -> (&str, &str) {
    let name = in_table(path);
    let end = name
        .strip_prefix("_generations/")
        .and_then(|rest| rest.find('/'))
        .map(|end| "_generations/".len() + end);
    match end {
        Some(end) => (&name[..end], &name[end + 1..]),
        None => ("", name),
    }
}

/// The table that an object belongs to.
pub(super) fn table_of(path: &Path) -> &'static str {
    let name = path.as_ref().split('/').nth(1);
    let mut tables = TABLES.into_iter();
    tables
        .find(|table| Some(*table) == name)
        .unwrap_or(TABLES[0])
}

/// A path under its table's folder.
pub(super) fn in_table(path: &Path) -> &str {
    let mut parts = path.as_ref().splitn(3, '/').skip(2);
    parts.next().unwrap_or_default()
}

/// The version number of an object of the log.
fn version_of(path: &Path) -> Option<u64> {
    let name = in_generation(path).1.strip_prefix("_delta_log/")?;
    name.strip_suffix(".json")?.parse().ok()
}

impl State {
    pub(super) fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn fail(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(|| format!("FAILED: {what}"));
        self.failure.get_or_insert(what);
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let since = self.now - BEGIN;
            trace.push(format!(
                "{:3}d {:02}:{:02}:{:06.3}  {}",
                since / DAY,
                since % DAY / HOUR,
                since % HOUR / MINUTE,
                (since % MINUTE) as f64 / 1000.0,
                what()
            ));
        }
    }

    fn is_quiet(&self) -> bool {
        self.actors.iter().all(|actor| {
            actor.over || actor.waiting_elsewhere > 0 || (actor.parked && actor.waiting > 0)
        })
    }

    fn push(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    fn push_start(&mut self, role: Role, delay: u64) {
        let event = Event {
            actor: None,
            operation: Operation::Start(role),
            reply: None,
            late: None,
            is_own: true,
        };
        self.push(delay, event);
    }

    fn next(&mut self) -> Option<Event> {
        let is_start = |event: &Event| matches!(event.operation, Operation::Start(_));
        let goes_on =
            self.actors.iter().any(|actor| !actor.over) || self.queue.values().any(is_start);
        if !goes_on {
            return None;
        }
        let ((at, _), event) = self.queue.pop_first()?;
        self.now = self.now.max(at);
        Some(event)
    }

    /// The time until a request arrives, or its client issues it.
    fn delay(&mut self, actor: usize, operation: &Operation) -> u64 {
        if let Operation::Sleep(duration) = operation {
            return *duration;
        }
        if self.calm {
            return 1 + self.random.below(50);
        }
        if let Some(delay) = self.begin_stall(actor, operation) {
            return delay;
        }
        if is_assumed_quick(self.actors[actor].role, operation) {
            return 0;
        }
        let random = &mut self.random;
        let longest = match operation {
            Operation::Put { path, .. } if version_of(path).is_some() => VERSION_UNDER_WAY_MAX / 2,
            _ => 10 * DAY,
        };
        // Persons who drop or rename tables are few: hardly anything would happen between two of their requests.
        let slower = match self.actors[actor].role {
            Role::Dropper | Role::Renamer(_) => 8,
            _ => 1,
        };
        let faults = (self.plan.faults * slower).min(800);
        let delay = match random.below(1000) {
            n if n < faults / 10 => random.between(HOUR, self.plan.horizon.max(2 * HOUR)),
            n if n < faults / 3 => random.between(MINUTE, HOUR),
            n if n < faults => random.between(SECOND, MINUTE),
            _ => random.between(5, 200),
        };
        delay.min(longest)
    }

    /// Begins the seed's stall if it affects this request. Returns its duration.
    fn begin_stall(&mut self, actor: usize, operation: &Operation) -> Option<u64> {
        let stall = self.stall.as_mut()?;
        if !stall.is_at(self.actors[actor].role, operation) {
            return None;
        }
        if stall.after > 0 {
            stall.after -= 1;
            return None;
        }
        let stall = self.stall.take()?;
        let until = self.now + stall.duration;
        self.stalled = Some(Stalled {
            actor,
            until,
            versions_left: stall.versions,
        });
        self.count("stalls");
        self.note(|| {
            format!(
                "actor {actor} stalls for {} h at {operation:?}",
                stall.duration / HOUR
            )
        });
        // Give the other actors work during the stall.
        self.push_start(Role::Worker(2), SECOND);
        if stall.versions > 0 {
            self.push_start(Role::Committer(8), MINUTE);
        }
        self.push_start(Role::Vacuum(8), stall.duration - 20 * MINUTE);
        Some(stall.duration)
    }

    /// How long this must wait for the end of a stall. After a few versions, no other actor lists staged files or writes
    /// versions, so that none counts the log files of the stalled actor.
    fn waits_for_stall(&self, event: &Event) -> Option<u64> {
        let stalled = self.stalled.as_ref()?;
        let actor = event.actor?;
        let writes = match &event.operation {
            Operation::List(Some(path)) => in_generation(path).1 == "_staging",
            Operation::Put { path, .. } => version_of(path).is_some(),
            _ => false,
        };
        let waits = writes
            && actor != stalled.actor
            && stalled.versions_left == 0
            && self.now < stalled.until;
        waits.then(|| stalled.until - self.now)
    }

    fn fate(&mut self, role: Role, operation: &Operation) -> Fate {
        if self.calm {
            return Fate::Done;
        }
        if is_assumed_quick(role, operation) {
            return match self.random.per_mille(self.plan.crashes) {
                true => Fate::Crash { done: true },
                false => Fate::Done,
            };
        }
        let random = &mut self.random;
        // The moments that matter are rare among the many requests.
        let is_version =
            matches!(operation, Operation::Put { path, .. } if version_of(path).is_some());
        let more = if is_version { 4 } else { 1 };
        let faults = self.plan.faults * more;
        if random.per_mille(self.plan.crashes * more) {
            return Fate::Crash {
                done: random.one_in(2),
            };
        }
        if matches!(operation, Operation::Sleep(_)) || !random.per_mille(faults) {
            return Fate::Done;
        }
        let conditional = match operation {
            Operation::Put { mode, .. } => !matches!(mode, PutMode::Overwrite),
            _ => false,
        };
        match (operation, random.below(6)) {
            (Operation::Put { .. }, 0) => Fate::AnswerLost,
            (Operation::Put { .. }, 1 | 2) => {
                let longest = *random_choice(random, &[10 * SECOND, HOUR, DAY]);
                Fate::Zombie(random.between(SECOND, longest))
            }
            (Operation::Put { .. }, 3) if conditional => Fate::Conflict,
            (Operation::Put { .. }, 4) if conditional => Fate::DoneAndConflict,
            (Operation::Delete(_), 0 | 1) => Fate::Half,
            (Operation::Delete(_), 2) => Fate::AnswerLost,
            (Operation::List(_) | Operation::Get(_), 0..=2) => {
                let longest = *random_choice(random, &[SECOND, MINUTE, HOUR]);
                Fate::Late(random.between(10, longest))
            }
            _ => Fate::Refused,
        }
    }

    fn grant(&mut self, mut event: Event) {
        if let Some(wait) = self.waits_for_stall(&event) {
            // The PUT of a version must not be under way that long.
            if matches!(event.operation, Operation::Put { .. }) {
                return self.answer(event, Err(unreachable_store()));
            }
            let wait = wait + self.random.between(SECOND, HOUR);
            return self.push(wait, event);
        }
        let answer = match event.late.take() {
            Some(answer) => answer,
            None => {
                let fate = match event.actor {
                    Some(actor) => self.fate(self.actors[actor].role, &event.operation),
                    None => {
                        self.count("zombies");
                        Fate::Done
                    }
                };
                match self.meet(fate, &mut event) {
                    Some(answer) => answer,
                    None => return,
                }
            }
        };
        self.answer(event, answer);
    }

    /// Applies its fate to a request. Returns the answer; `None` if there is no answer yet.
    fn meet(&mut self, fate: Fate, event: &mut Event) -> Option<Result<Answer>> {
        let operation = event.operation.clone();
        let actor = event.actor;
        self.note(|| match (&operation, actor) {
            (Operation::Sleep(_), Some(actor)) if fate == Fate::Done => format!("{actor} wakes up"),
            _ => format!("{actor:?} {} {fate:?}", describe(&operation)),
        });
        if fate != Fate::Done {
            self.count(fate_name(fate));
        }
        match fate {
            Fate::Done => return Some(self.apply(actor, &operation)),
            Fate::Refused => {}
            Fate::Conflict => return Some(Err(conflict_of(&operation))),
            Fate::AnswerLost => drop(self.apply(actor, &operation)),
            Fate::DoneAndConflict => {
                drop(self.apply(actor, &operation));
                return Some(Err(conflict_of(&operation)));
            }
            Fate::Zombie(delay) => {
                let zombie = Event {
                    actor: None,
                    operation,
                    reply: None,
                    late: None,
                    is_own: true,
                };
                self.push(delay, zombie);
            }
            Fate::Late(delay) => {
                let late = Some(self.apply(actor, &operation));
                let event = Event {
                    actor,
                    operation,
                    reply: event.reply.take(),
                    late,
                    is_own: event.is_own,
                };
                self.push(delay, event);
                return None;
            }
            Fate::Half => {
                if let Operation::Delete(paths) = operation {
                    let half = paths.len().div_ceil(2);
                    drop(self.apply(actor, &Operation::Delete(paths[..half].to_vec())));
                }
            }
            Fate::Crash { done } => {
                if done {
                    drop(self.apply(actor, &operation));
                }
                if let Some(actor) = actor {
                    self.crash(actor);
                }
                return None;
            }
        }
        Some(Err(unreachable_store()))
    }

    fn answer(&mut self, event: Event, answer: Result<Answer>) {
        let Some(actor) = event.actor else {
            return;
        };
        let actor = &mut self.actors[actor];
        actor.waiting = actor.waiting.saturating_sub(1);
        actor.waiting_elsewhere = actor
            .waiting_elsewhere
            .saturating_sub(usize::from(!event.is_own));
        let Some(reply) = event.reply.filter(|reply| !reply.is_closed()) else {
            return;
        };
        actor.parked = false;
        // The requester may have given up.
        let _ = reply.send(answer);
    }

    /// The actor's client dies. Its requests under way may still arrive.
    fn crash(&mut self, actor: usize) {
        let role = self.actors[actor].role;
        self.kill(actor);
        let delay = match self.random.below(4) {
            0 => self.random.between(MINUTE, HOUR),
            _ => self.random.between(SECOND, MINUTE),
        };
        self.push_start(role, delay);
    }

    fn kill(&mut self, actor: usize) {
        let dying = &mut self.actors[actor];
        dying.over = true;
        let kill = dying.kill.take();
        let keys: Vec<_> = self
            .queue
            .iter()
            .filter(|(_, event)| event.actor == Some(actor))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            if let Some(mut event) = self.queue.remove(&key)
                && matches!(
                    event.operation,
                    Operation::Put { .. } | Operation::Delete(_)
                )
                && event.late.is_none()
                && self.random.one_in(2)
            {
                event.actor = None;
                event.reply = None;
                self.queue.insert(key, event);
            }
        }
        // The actor may have ended already.
        let _ = kill.map(|kill| kill.send(()));
    }

    fn kill_all(&mut self) {
        for actor in 0..self.actors.len() {
            self.kill(actor);
        }
    }

    fn get(&self, path: &Path) -> Result<Object> {
        self.objects
            .get(path)
            .cloned()
            .ok_or_else(|| Error::NotFound {
                path: path.to_string(),
                source: "404".into(),
            })
    }

    fn apply(&mut self, actor: Option<usize>, operation: &Operation) -> Result<Answer> {
        match operation {
            Operation::Start(_) | Operation::Sleep(_) => Ok(Answer::Done),
            Operation::Get(path) => self.get(path).map(Answer::Got),
            Operation::List(prefix) => Ok(Answer::Listed(self.list(prefix.as_ref()))),
            Operation::Put { path, bytes, mode } => self.put(actor, path, bytes, mode),
            Operation::Delete(paths) => {
                for path in paths {
                    self.delete(path);
                }
                Ok(Answer::Done)
            }
        }
    }

    fn list(&self, prefix: Option<&Path>) -> Vec<ObjectMeta> {
        let folder = prefix.map_or(String::new(), |prefix| format!("{prefix}/"));
        let begin = Path::from(folder.trim_end_matches('/'));
        self.objects
            .range(begin..)
            .filter(|(path, _)| path.as_ref().starts_with(&folder))
            .map(|(path, object)| object.meta(path))
            .collect()
    }

    fn put(
        &mut self,
        actor: Option<usize>,
        path: &Path,
        bytes: &Bytes,
        mode: &PutMode,
    ) -> Result<Answer> {
        let existing = self.objects.get(path);
        let met = match mode {
            PutMode::Overwrite => true,
            PutMode::Create => existing.is_none(),
            PutMode::Update(version) => {
                existing.is_some_and(|object| Some(object.e_tag.to_string()) == version.e_tag)
            }
        };
        let version = version_of(path);
        if !met {
            if version.is_some() {
                self.count("lost races");
            }
            self.note(|| "      its condition is not met".to_owned());
            return Err(conflict(mode, path));
        }
        if in_table(path) == "_lease" {
            self.note_lease(actor, bytes);
        }
        self.e_tags += 1;
        let name = in_generation(path).1;
        let is_bad =
            name.starts_with("_staging/") && !self.calm && self.random.per_mille(self.plan.bad);
        let stored = match is_bad {
            true => {
                self.count("bad objects");
                self.note(|| "      it is stored badly".to_owned());
                damaged(bytes, &mut self.random)
            }
            false => bytes.clone(),
        };
        let object = Object {
            bytes: stored,
            e_tag: self.e_tags,
            modified: self.now,
        };
        self.objects.insert(path.clone(), object);
        if name.starts_with("_set_aside/") {
            self.count("set aside");
        }
        if name.contains(".checkpoint.") {
            self.count("checkpoints");
        }
        if let (Some(stalled), Some(_), Some(by)) = (&mut self.stalled, version, actor)
            && by != stalled.actor
        {
            stalled.versions_left = stalled.versions_left.saturating_sub(1);
        }
        let outcome = match version {
            Some(version) => {
                let (table, log) = (table_of(path), in_generation(path).0);
                self.checker
                    .version(table, log, version, bytes, &self.objects)
            }
            None => self
                .checker
                .put(table_of(path), in_table(path), &self.objects),
        };
        self.judge(outcome);
        Ok(Answer::Put(self.e_tags.to_string()))
    }

    fn note_lease(&mut self, actor: Option<usize>, bytes: &Bytes) {
        let is_held = !String::from_utf8_lossy(bytes).contains("null");
        let another = self.lease_holder.is_some() && self.lease_holder != actor;
        if is_held && another {
            self.count("lease takeovers");
        }
        self.lease_holder = if is_held { actor } else { None };
    }

    fn delete(&mut self, path: &Path) {
        if self.objects.remove(path).is_none() {
            return;
        }
        let name = in_table(path);
        let kind = match in_generation(path).1.split('/').next() {
            _ if self.checker.is_of_dead_generation(table_of(path), name) => {
                "objects of dead generations deleted"
            }
            Some("_delta_log") => "log files trimmed",
            Some("_staging") => "staged files deleted",
            Some("_ledger") => "ledger objects vacuumed",
            Some("_set_aside") => "notes deleted",
            _ => "data files vacuumed",
        };
        self.count(kind);
        let outcome = self.checker.deleted(table_of(path), name, &self.objects);
        self.judge(outcome);
    }

    /// Records the checker's outcome.
    pub(super) fn judge(&mut self, outcome: std::result::Result<Option<&'static str>, String>) {
        match outcome {
            Ok(None) => {}
            Ok(Some(what)) => self.count(what),
            Err(broken) => self.fail(broken),
        }
    }
}

/// Whether this is assumed to be done at once: a person who drops a table looks whether it was made anew, and deletes what is staged.
fn is_assumed_quick(role: Role, operation: &Operation) -> bool {
    let waits = |path: &Path| {
        let name = in_generation(path).1;
        name.starts_with("_staging/") || name.starts_with("_set_aside/")
    };
    match operation {
        Operation::Get(path) => role == Role::Dropper && version_of(path).is_some(),
        Operation::Delete(paths) => role == Role::Dropper && paths.iter().any(waits),
        _ => false,
    }
}

fn random_choice<'a, T>(random: &mut Random, choices: &'a [T]) -> &'a T {
    &choices[random.below(choices.len() as u64) as usize]
}

fn conflict_of(operation: &Operation) -> Error {
    match operation {
        Operation::Put { path, mode, .. } => conflict(mode, path),
        _ => unreachable_store(),
    }
}

fn fate_name(fate: Fate) -> &'static str {
    match fate {
        Fate::Done => "done",
        Fate::Refused => "refused",
        Fate::Conflict => "transient 409s and 412s",
        Fate::AnswerLost => "answers lost",
        Fate::DoneAndConflict => "done, and reported as a conflict",
        Fate::Zombie(_) => "reported as failed, done later",
        Fate::Late(_) => "late answers",
        Fate::Half => "half deleted",
        Fate::Crash { .. } => "crashes",
    }
}

/// A path in the trace.
fn shown(path: &Path) -> &str {
    path.as_ref().trim_start_matches("tables/")
}

fn describe(operation: &Operation) -> String {
    match operation {
        Operation::Start(role) => format!("START {role:?}"),
        Operation::Sleep(duration) => format!("SLEEP {duration} ms"),
        Operation::Put { path, mode, .. } => match mode {
            PutMode::Overwrite => format!("PUT {}", shown(path)),
            PutMode::Create => format!("CREATE {}", shown(path)),
            PutMode::Update(_) => format!("UPDATE {}", shown(path)),
        },
        Operation::Get(path) => format!("GET {}", shown(path)),
        Operation::List(prefix) => format!("LIST {}", prefix.as_ref().map_or("", shown)),
        Operation::Delete(paths) => {
            let names: Vec<&str> = paths.iter().map(shown).collect();
            format!("DELETE {}", names.join(" "))
        }
    }
}
