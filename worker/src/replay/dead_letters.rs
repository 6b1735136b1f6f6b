//! From the dead-letter queue to the work queue: by SQS itself, which moves messages by a task of its own, or message by
//! message where there is no such task, as in emulators.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry;
use indicatif::HumanCount;
use logmill_shared::{LogFile, notification};
use tokio::time::sleep;

use super::outbox::{self, Pace};
use crate::intake::queue::{BATCH_MAX, Message, Queue, QueueError};
use crate::verify::Progress;

/// Messages a second that SQS's own task moves at most. It refuses a larger number.
const TASK_RATE_MAX: u32 = 500;

/// How often a task is asked how far it is.
const POLL: Duration = Duration::from_secs(1);

/// How often a task that was begun may not be listed yet.
const UNLISTED_MAX: u32 = 30;

/// For so long messages are hidden while they are moved. Shorter, and those that are left where they are come up again
/// in a long move; longer, and after a kill they are not seen for that time.
const HIDDEN: Duration = Duration::from_secs(300);

/// How long the queue is given to find a message. With no wait it asks only some of its servers, and may say that it
/// is empty when it is not.
const WAIT: Duration = Duration::from_secs(2);

/// Messages that are held hidden at most. They are given back at the end.
const HELD_MAX: usize = 10_000;

/// Attempts to delete what was sent.
const DELETIONS: u32 = 3;

/// What came of a move.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Messages that the work queue has got.
    pub sent: usize,
    /// Messages that died while this went on: were they sent again, it would have no end.
    pub died_since: usize,
    /// Messages that were sent and could not be deleted: they are sent again the next time, and counted once.
    pub not_deleted: usize,
}

/// What is in a dead-letter queue.
#[derive(Debug, Default)]
pub struct Peeked {
    /// Messages.
    pub messages: usize,
    /// The log files in those that are understood.
    pub log_files: usize,
    /// Messages that are not understood: their ids, and why. They are sent all the same.
    pub not_understood: Vec<(String, String)>,
    /// Whether there may be more.
    pub more: bool,
}

/// Sends all dead letters to the work queue, and takes them out of their own. At every moment each is in at least one of
/// the two.
pub async fn move_dead_letters(
    dead: &Queue,
    work: &Queue,
    rate: Option<NonZeroU32>,
    progress: &mut dyn Progress,
) -> Result<Moved> {
    if dead.arn() == work.arn() {
        bail!(
            "{}: this is the work queue and the dead-letter queue in one",
            dead.url()
        );
    }
    let moved = match start_task(dead, work, rate).await? {
        Some(task) => Moved {
            sent: watch(dead, &task, POLL, progress).await?,
            ..Moved::default()
        },
        None => move_each(dead, work, Pace::new(rate), progress).await?,
    };
    progress.end();
    Ok(moved)
}

/// Has SQS move the messages. `None` if this SQS can't.
async fn start_task(
    dead: &Queue,
    work: &Queue,
    rate: Option<NonZeroU32>,
) -> Result<Option<String>, QueueError> {
    let rate = rate.map(|rate| rate.get().min(TASK_RATE_MAX) as i32);
    let answer = dead
        .client()
        .start_message_move_task()
        .source_arn(dead.arn())
        .destination_arn(work.arn())
        .set_max_number_of_messages_per_second(rate)
        .send()
        .await;
    match answer.map_err(|error| dead.error(&error, "sqs:StartMessageMoveTask")) {
        Ok(task) => Ok(Some(task.task_handle.unwrap_or_default())),
        Err(error) if is_unknown(&error) => {
            tracing::debug!(%error, "no move tasks here");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether there is no such operation. Whatever else is wrong, a move by hand would not make it right.
fn is_unknown(error: &QueueError) -> bool {
    const UNKNOWN: [&str; 4] = [
        "InvalidAction",
        "UnknownOperation",
        "UnsupportedOperation",
        "NotImplemented",
    ];
    let code = error.code.as_deref().unwrap_or_default();
    // Of a second task on the same queue some say that it is unsupported, too.
    UNKNOWN.iter().any(|part| code.contains(part)) && !error.to_string().contains("already")
}

/// Waits for the task's end. Returns the messages that it has moved.
async fn watch(
    dead: &Queue,
    handle: &str,
    poll: Duration,
    progress: &mut dyn Progress,
) -> Result<usize> {
    let goes_on = "SQS moves the messages, and goes on by itself, but how far it is can't be told";
    let (mut found, mut done, mut unlisted) = (0, 0, 0);
    let mut started = None;
    loop {
        let tasks = tasks(dead).await.context(goes_on)?;
        // A task that has ended has no handle any more.
        let task = tasks.iter().find(|task| match started {
            Some(started) => task.started_timestamp == started,
            None => task.task_handle.as_deref() == Some(handle),
        });
        let Some(task) = task.or_else(|| newest(&tasks).filter(|_| started.is_none())) else {
            unlisted += 1;
            if unlisted == UNLISTED_MAX {
                bail!("{goes_on}: {} has no task that was begun here", dead.url());
            }
            sleep(poll).await;
            continue;
        };
        started = Some(task.started_timestamp);
        let moved = usize::try_from(task.approximate_number_of_messages_moved).unwrap_or_default();
        let to_move = task
            .approximate_number_of_messages_to_move
            .unwrap_or_default();
        let to_move = usize::try_from(to_move).unwrap_or_default();
        progress.found(to_move.saturating_sub(found));
        progress.done(moved.saturating_sub(done));
        (found, done) = (found.max(to_move), done.max(moved));
        match task.status.as_deref() {
            Some("COMPLETED") => return Ok(moved),
            Some("FAILED" | "CANCELLED") => {
                let status = task.status.as_deref().unwrap_or_default().to_lowercase();
                let reason = task
                    .failure_reason
                    .as_deref()
                    .unwrap_or("SQS does not say why");
                bail!(
                    "{}: the move has {status} after {moved} messages: {reason}",
                    dead.url()
                );
            }
            _ => sleep(poll).await,
        }
    }
}

async fn tasks(dead: &Queue) -> Result<Vec<ListMessageMoveTasksResultEntry>, QueueError> {
    let request = dead.client().list_message_move_tasks();
    let answer = request.source_arn(dead.arn()).max_results(10).send().await;
    let answer = answer.map_err(|error| dead.error(&error, "sqs:ListMessageMoveTasks"))?;
    Ok(answer.results.unwrap_or_default())
}

fn newest(tasks: &[ListMessageMoveTasksResultEntry]) -> Option<&ListMessageMoveTasksResultEntry> {
    tasks.iter().max_by_key(|task| task.started_timestamp)
}

/// Messages that were received and are to stay where they are.
#[derive(Default)]
struct Held {
    /// The newest receipt of each, by its id.
    receipts: HashMap<String, String>,
}

impl Held {
    fn hold(&mut self, message: Message) {
        self.receipts.insert(message.id, message.receipt);
    }

    /// Shows them to others again, now and not only when their time is over.
    async fn give_back(&self, queue: &Queue) {
        let receipts: Vec<(&str, Duration)> = self
            .receipts
            .values()
            .map(|receipt| (receipt.as_str(), Duration::ZERO))
            .collect();
        for batch in receipts.chunks(BATCH_MAX) {
            match queue.hide(batch).await {
                Ok(undone) if undone.is_empty() => {}
                Ok(undone) => tracing::debug!(messages = undone.len(), "hidden a while longer"),
                Err(error) => tracing::warn!(%error, "messages are hidden a while longer"),
            }
        }
    }
}

/// Receives, sends and deletes.
async fn move_each(
    dead: &Queue,
    work: &Queue,
    mut pace: Pace,
    progress: &mut dyn Progress,
) -> Result<Moved> {
    let begin = SystemTime::now();
    let mut held = Held::default();
    let mut moved = Moved::default();
    let outcome = async {
        while held.receipts.len() < HELD_MAX {
            let messages = dead.receive(pace.batch(), WAIT, HIDDEN).await?;
            if messages.is_empty() {
                break;
            }
            // A message that dies again keeps the time at which it was sent to the work queue.
            let (old, since): (Vec<_>, Vec<_>) = messages
                .into_iter()
                .partition(|message| message.sent < begin);
            since.into_iter().for_each(|message| held.hold(message));
            moved.died_since = held.receipts.len();
            progress.found(old.len());
            if let Err(error) = move_batch(dead, work, &old, &mut pace, &mut moved).await {
                old.into_iter().for_each(|message| held.hold(message));
                return Err(error);
            }
            progress.done(old.len());
        }
        anyhow::Ok(())
    }
    .await;
    held.give_back(dead).await;
    match outcome {
        Ok(()) => Ok(moved),
        Err(error) => Err(error.context(format!(
            "{} messages were moved before it failed",
            moved.sent
        ))),
    }
}

async fn move_batch(
    dead: &Queue,
    work: &Queue,
    messages: &[Message],
    pace: &mut Pace,
    moved: &mut Moved,
) -> Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    pace.wait(messages.len()).await;
    let bodies: Vec<String> = messages
        .iter()
        .map(|message| message.body.clone())
        .collect();
    let undone = outbox::send(work, &bodies, outbox::FIRST_PAUSE).await;
    let mut is_sent = vec![true; messages.len()];
    undone.places().for_each(|at| is_sent[at] = false);
    let sent = messages
        .iter()
        .zip(&is_sent)
        .filter(|(_, is_sent)| **is_sent);
    let sent: Vec<&str> = sent.map(|(message, _)| message.receipt.as_str()).collect();
    moved.sent += sent.len();
    if !sent.is_empty() {
        moved.not_deleted += delete(dead, sent).await?;
    }
    // A refused body would be refused the next time: who has put it there must look at it.
    if let Some((at, refusal)) = undone.refused.first() {
        bail!("the message {} can't be sent: {refusal}", messages[*at].id);
    }
    undone.failure.map_or(Ok(()), Err)
}

/// Deletes messages. Returns how many are still there.
async fn delete(queue: &Queue, mut receipts: Vec<&str>) -> Result<usize> {
    for _ in 0..DELETIONS {
        let undone = queue.delete(&receipts).await?;
        receipts = undone.iter().map(|(at, _)| receipts[*at]).collect();
        if receipts.is_empty() {
            break;
        }
        sleep(outbox::FIRST_PAUSE).await;
    }
    Ok(receipts.len())
}

/// Tells the log files of all dead letters to `each`, and leaves the messages where they are.
pub async fn peek_dead_letters(
    dead: &Queue,
    each: &mut dyn FnMut(&LogFile) -> Result<()>,
) -> Result<Peeked> {
    let mut held = Held::default();
    let mut peeked = Peeked::default();
    let outcome = async {
        loop {
            let messages = dead.receive(BATCH_MAX, WAIT, HIDDEN).await?;
            peeked.more = !messages.is_empty() && held.receipts.len() >= HELD_MAX;
            if messages.is_empty() || peeked.more {
                messages.into_iter().for_each(|message| held.hold(message));
                return anyhow::Ok(());
            }
            for message in messages {
                if !held.receipts.contains_key(&message.id) {
                    peeked.add(&message, each)?;
                }
                held.hold(message);
            }
        }
    }
    .await;
    held.give_back(dead).await;
    outcome.map(|()| peeked)
}

impl Peeked {
    fn add(
        &mut self,
        message: &Message,
        each: &mut dyn FnMut(&LogFile) -> Result<()>,
    ) -> Result<()> {
        self.messages += 1;
        match notification::parse(&message.body) {
            Ok(notification) => {
                self.log_files += notification.log_files.len();
                notification
                    .log_files
                    .iter()
                    .try_for_each(|announced| each(&announced.log_file))
            }
            Err(error) => {
                self.not_understood
                    .push((message.id.clone(), error.to_string()));
                Ok(())
            }
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "messages   {} moved", HumanCount(self.sent as u64))?;
        let mut line = |count: usize, what: &str| match count {
            0 => Ok(()),
            _ => writeln!(f, "           {} {what}", HumanCount(count as u64)),
        };
        line(
            self.died_since,
            "left: they came to the dead-letter queue since this began",
        )?;
        line(
            self.not_deleted,
            "of those sent are in the dead-letter queue still; counted once all the same",
        )
    }
}

impl fmt::Display for Peeked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: usize| HumanCount(count as u64);
        let more = if self.more { "at least " } else { "" };
        writeln!(
            f,
            "messages   {more}{} would be moved, with {} log files",
            count(self.messages),
            count(self.log_files)
        )?;
        for (id, why) in &self.not_understood {
            writeln!(f, "           {id} is not understood: {why}")?;
        }
        Ok(())
    }
}
