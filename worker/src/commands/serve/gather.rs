//! Gathers the content of the status page. Parts that need requests are gathered at most twice a minute, and only on demand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::Utc;
use futures::future::join;
use logmill_shared::chain;
use tokio::task::JoinError;
use tokio::time::{Instant, timeout};

use super::cached::Cached;
use super::fleet::{Fleet, Others};
use super::reporter::Reporter;
use super::tables::{ServedTable, Tables};
use crate::delivery::Delivery;
use crate::feeds::Feed;
use crate::intake::sqs_queue::{QueueDepth, SqsQueue};
use crate::moment::Moment;
use crate::status::{
    Depth, Finality, Gathered, Known, NextGeneration, QueueStatus, Setting, Status, TableStatus,
    Waiting, Worker,
};
use crate::table::{Facts, Table, TableError, of_tables};

/// Maximum age of the parts that need requests. An open page asks every few seconds.
const REMOTE_AGE_MAX: Duration = Duration::from_secs(30);

/// Time limit of each part. If S3 does not answer, a page must still say so.
const PART_TIME_MAX: Duration = Duration::from_secs(8);

/// How long the facts of a table are kept if its log has no newer version: the table may have been removed and created again.
const FACTS_AGE_MAX: Duration = Duration::from_mins(5);

/// How long a table's final time is kept. It is recorded once a minute, and reading it takes a day of the ledger.
const FINALITY_AGE_MAX: Duration = Duration::from_mins(2);

/// Gathers the content of the status page.
pub(super) struct Gatherer {
    tables: Arc<Tables>,
    reporter: Arc<Reporter>,
    fleet: Arc<Fleet>,
    queue: Option<SqsQueue>,
    settings: Vec<Setting>,
    remote: Cached<Remote>,
    /// The facts of each table, and when they were read.
    facts: Mutex<HashMap<String, (Instant, Facts)>>,
    /// The final time of each table, and when it was read.
    finality: Mutex<HashMap<String, (Instant, Finality)>>,
}

/// The parts that need requests.
pub(super) struct Remote {
    others: Others,
    tables: Vec<TableStatus>,
    queue: Option<QueueStatus>,
}

impl Gatherer {
    pub(super) fn new(
        tables: &Arc<Tables>,
        reporter: &Arc<Reporter>,
        fleet: &Arc<Fleet>,
        queue: Option<SqsQueue>,
        settings: Vec<Setting>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tables: Arc::clone(tables),
            reporter: Arc::clone(reporter),
            fleet: Arc::clone(fleet),
            queue,
            settings,
            remote: Cached::new(REMOTE_AGE_MAX),
            facts: Mutex::default(),
            finality: Mutex::default(),
        })
    }

    /// The pipeline's status.
    ///
    /// # Errors
    ///
    /// Gathering has panicked.
    pub(super) async fn status(self: Arc<Self>) -> Result<Status, JoinError> {
        let gatherer = Arc::clone(&self);
        let remote = self
            .remote
            .get(async move { gatherer.remote().await })
            .await?;
        let own = Worker {
            id: self.fleet.id().to_owned(),
            heard: Moment::now(),
            report: self.reporter.report(),
        };
        let others = remote.others.workers.iter().cloned();
        Ok(Status::of(Gathered {
            at: Moment::now(),
            workers: [own].into_iter().chain(others).collect(),
            unread_reports: remote.others.unread.clone(),
            tables: remote.tables.clone(),
            queue: remote.queue.clone(),
            settings: self.settings.clone(),
        }))
    }

    async fn remote(&self) -> Remote {
        let others = async {
            let others = timeout(PART_TIME_MAX, self.fleet.others(SystemTime::now()));
            others.await.unwrap_or_else(|_| Others {
                workers: Vec::new(),
                unread: vec![format!("The reports of other workers: {}", no_answer())],
            })
        };
        let served = self.tables.served().to_vec();
        let tables = of_tables(served.into_iter().map(|table| self.table(table)));
        let ((others, tables), queue) = join(join(others, tables), self.queue()).await;
        Remote {
            others,
            tables,
            queue,
        }
    }

    async fn table(&self, table: Arc<ServedTable>) -> TableStatus {
        let feed = table.now();
        let mut status = TableStatus {
            name: feed.name().to_owned(),
            fed_by: fed_by(&feed).to_owned(),
            ..TableStatus::default()
        };
        let next = table.next().map(|(next, _)| next);
        let finality = async {
            feed.rollup()?;
            let finality = timeout(PART_TIME_MAX, self.finality(feed.name()));
            Some(match finality.await {
                Ok(Ok(finality)) => Known::Known(finality),
                Ok(Err(error)) => Known::Unknown(chain(&error)),
                Err(_) => Known::Unknown(no_answer()),
            })
        };
        let filled = self.fill(&mut status, &feed, next.as_deref());
        let (filled, finality) = join(timeout(PART_TIME_MAX, filled), finality).await;
        status.finality = finality;
        status.problem = match filled {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some(no_answer()),
        };
        status
    }

    async fn fill(
        &self,
        status: &mut TableStatus,
        feed: &Feed,
        next: Option<&Feed>,
    ) -> Result<(), TableError> {
        match feed.table() {
            Some(table) => (status.staged, status.set_aside) = self.waiting(table).await?,
            None => {
                let set_aside = self
                    .tables
                    .root()
                    .notes(feed.name())
                    .await?
                    .how_much()
                    .await?;
                status.set_aside = Some(set_aside_of(set_aside.log_files, set_aside.oldest));
            }
        }
        let facts = self.facts(feed.name()).await?;
        status.version = Some(facts.version);
        status.generation = Some(facts.generation);
        status.rows = Some(facts.rows);
        status.files = Some(facts.files);
        status.bytes = Some(facts.bytes);
        status.newest_line = facts.newest_line.map(Moment::of_milliseconds);
        status.last_commit = facts.counted.map(Moment::of_milliseconds);
        if let Some(name) = facts.next {
            let staged = match next.and_then(Feed::table) {
                Some(next) => self.waiting(next).await?.0,
                None => None,
            };
            status.next = Some(NextGeneration { name, staged });
        }
        Ok(())
    }

    async fn waiting(
        &self,
        table: &Table,
    ) -> Result<(Option<Waiting>, Option<Waiting>), TableError> {
        let backlog = self.tables.root().backlog(table).await?;
        let staged = Waiting {
            log_files: backlog.staged as u64,
            oldest: backlog.oldest.map(Moment::from),
            are_more: backlog.are_more,
        };
        let set_aside = set_aside_of(backlog.set_aside.log_files, backlog.set_aside.oldest);
        Ok((Some(staged), Some(set_aside)))
    }

    async fn facts(&self, table: &str) -> Result<Facts, TableError> {
        let known = {
            let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
            facts
                .get(table)
                .filter(|(read, _)| read.elapsed() < FACTS_AGE_MAX)
                .cloned()
        };
        let facts = self
            .tables
            .root()
            .facts(table, known.as_ref().map(|(_, facts)| facts))
            .await?;
        // Unchanged facts are as old as before.
        let read = match known {
            Some((read, known)) if known == facts => read,
            _ => Instant::now(),
        };
        let mut all = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(table.to_owned(), (read, facts.clone()));
        Ok(facts)
    }

    async fn finality(&self, table: &str) -> Result<Finality, TableError> {
        let lock = || self.finality.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(table).cloned();
        if let Some((read, finality)) = known
            && read.elapsed() < FINALITY_AGE_MAX
        {
            return Ok(finality);
        }
        let root = self.tables.root();
        // Listed before the version is read, because a commit moves log files from staging to the ledger.
        let waiting = root.waiting(table).await?;
        let version = root.read(table).await?;
        let waiting = waiting.at(&version);
        let delivery = Delivery::of_table(root, table, &version, &waiting, Utc::now()).await?;
        let active = delivery.nodes.iter().filter(|node| node.is_active);
        let finality = Finality {
            until: delivery
                .final_until
                .map(|until| Moment::of_milliseconds(until.timestamp_millis())),
            waits_for: delivery.waits_for.to_string(),
            active_nodes: active.count() as u64,
            late_log_files: delivery.late_log_files,
        };
        lock().insert(table.to_owned(), (Instant::now(), finality.clone()));
        Ok(finality)
    }

    async fn queue(&self) -> Option<QueueStatus> {
        let queue = self.queue.as_ref()?;
        let name = queue
            .url()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let unknown = |why: String| QueueStatus {
            name: name.clone(),
            depth: Known::Unknown(why.clone()),
            dead: Known::Unknown(why),
        };
        Some(match timeout(PART_TIME_MAX, queue.depth()).await {
            Err(_) => unknown(no_answer()),
            Ok(Err(error)) => unknown(error.to_string()),
            Ok(Ok(QueueDepth { waiting, in_flight, delayed, dead })) => QueueStatus {
                depth: Known::Known(Depth { waiting, in_flight, delayed }),
                dead: match dead {
                    Some(Ok(dead)) => Known::Known(dead),
                    Some(Err(error)) => Known::Unknown(error.to_string()),
                    None => Known::Unknown("the queue has no redrive policy, so messages that fail are lost when their retention ends".to_owned()),
                },
                name,
            },
        })
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", PART_TIME_MAX.as_secs())
}

fn set_aside_of(log_files: usize, age: Duration) -> Waiting {
    let oldest = SystemTime::now().checked_sub(age).filter(|_| log_files > 0);
    Waiting {
        log_files: log_files as u64,
        oldest: oldest.map(Moment::from),
        are_more: false,
    }
}

/// What feeds a table. A difference from its rollup's file is a problem of the table.
fn fed_by(feed: &Feed) -> &'static str {
    match feed {
        Feed::Rollup(_) => "a rollup",
        Feed::RejectedLines(_) => "rejected lines",
        Feed::Unfed(_) => "nothing",
    }
}
