//! Log files announced through an SQS queue. A message stays in flight while its log files are staged, and is deleted once
//! all of them are.
//!
//! A message whose log files can't all be staged stays in the queue. Its visibility timeout grows with each attempt, until
//! the queue's redrive policy moves it to the dead-letter queue.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use futures::future::join_all;
use logmill_object_io::Policy;
use logmill_shared::notification::{self, Announced, Notification};
use logmill_shared::sqs::BATCH_MAX;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::disposition::{Dependency, Disposition};
use super::failures::Failures;
use super::outages::{Outages, pause};
use super::queue::{Message, Queue};
use super::visibility::{InFlightMessage, VisibilityExtender};
use super::{Stage, StageOutcome, stage_all};
use crate::metrics::{MessageOutcome, Metrics};

/// The wait time of a receive request: SQS's limit. With a shorter one, an idle worker sends more requests. The wait is at
/// most `1 / POLLS_HIDDEN` of the visibility timeout, because it is not known how much of that is left when messages
/// arrive.
const POLL: Duration = Duration::from_secs(20);
const POLLS_HIDDEN: u32 = 3;

/// How long a pending receive request may still take at shutdown. If there are messages, it returns at once. If it were
/// cancelled, the messages that it returns would stay invisible although no worker has them.
const LAST_POLL: Duration = Duration::from_secs(2);

/// How long a message waits for others, so that they are deleted with one request.
const DELETE_LINGER: Duration = Duration::from_millis(50);

/// The visibility timeout after a failure, which doubles with each attempt. A missing or unavailable log file gets some
/// time to come back. An unreadable one soon reaches the dead-letter queue, where a person sees it.
const AGAIN: Duration = Duration::from_secs(10);
const LONGEST_AGAIN: Duration = Duration::from_mins(15);
const AGAIN_UNREADABLE: Duration = Duration::from_secs(1);
const LONGEST_AGAIN_UNREADABLE: Duration = Duration::from_secs(30);
/// In an outage, each message should use as few attempts as possible.
const AGAIN_IN_OUTAGE: Duration = Duration::from_mins(1);

/// The retry policy for deletions. A message that is not deleted is received again, which changes nothing.
const DELETE: Policy = Policy {
    attempts: 3,
    first_wait: Duration::from_millis(200),
    longest_wait: Duration::from_secs(1),
};

/// Settings of the queue intake.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The SQS visibility timeout. It is extended for as long as a message is being processed.
    pub visibility: Duration,
    /// The maximum number of messages in flight.
    pub messages_max: usize,
    /// Log files of one message that are staged concurrently.
    pub log_files_at_once: usize,
    /// How long the messages in flight may still take once shutdown begins.
    pub grace: Duration,
    /// The number of buckets that log files may be in. While all of them are down, no messages are received.
    pub buckets: usize,
}

/// The intake from one queue.
struct Intake<S> {
    /// For requests in a loop: each is sent once.
    once: Queue,
    /// For all other requests.
    queue: Queue,
    settings: Settings,
    stage: S,
    visibility: Arc<VisibilityExtender>,
    deletions: mpsc::Sender<Deletion>,
    metrics: Arc<Metrics>,
    outages: Outages,
}

/// Stages what the queue announces until `stop` is cancelled, then finishes the messages in flight within the grace
/// period. When this returns, no message is held: unfinished ones are visible to other workers again.
pub async fn take<S: Stage>(
    queue: Queue,
    settings: Settings,
    stage: S,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<()> {
    let once = queue.once();
    let visibility = VisibilityExtender::new(once.clone(), settings.visibility);
    let (deletions, deleted) = mpsc::channel(settings.messages_max);
    let mut deleting = JoinSet::new();
    deleting.spawn(delete(once.clone(), deleted));
    let mut renewing = JoinSet::new();
    renewing.spawn({
        let visibility = Arc::clone(&visibility);
        async move { visibility.renew().await }
    });
    let intake = Arc::new(Intake {
        once,
        queue,
        settings,
        stage,
        visibility,
        deletions,
        metrics,
        outages: Outages::new(settings.buckets),
    });
    let mut in_hand = InHand::default();
    let ended = tokio::select! {
        () = Arc::clone(&intake).draw(&mut in_hand, &stop) => None,
        Some(ended) = renewing.join_next() => Some(ended),
        Some(ended) = deleting.join_next() => Some(ended),
    };

    in_hand.forget_ended();
    let deadline = Instant::now() + settings.grace.saturating_sub(LAST_POLL);
    tracing::info!(
        messages = in_hand.tasks.len(),
        "no more messages are taken; finishing those in hand"
    );
    while let Ok(true) = timeout_at(deadline, in_hand.next_ends()).await {}
    // The visibility timeout of a message that is given back must not be extended again.
    renewing.shutdown().await;
    intake.give_back(in_hand).await;
    match ended {
        None => Ok(()),
        Some(ended) => Ok(ended?),
    }
}

/// Messages that are being processed.
#[derive(Default)]
struct InHand {
    tasks: JoinSet<()>,
    receipts: HashMap<tokio::task::Id, String>,
}

impl InHand {
    fn begin(&mut self, receipt: String, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.receipts.insert(task.id(), receipt);
    }

    /// Waits for the next task to end. Returns `false` if there are no tasks.
    async fn next_ends(&mut self) -> bool {
        let ended = self.tasks.join_next_with_id().await;
        self.forget(ended)
    }

    /// Forgets tasks that have ended.
    fn forget_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(Some(ended));
        }
    }

    fn forget(&mut self, ended: Option<Result<(tokio::task::Id, ()), JoinError>>) -> bool {
        let Some(ended) = ended else { return false };
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.receipts.remove(&id);
        true
    }
}

impl<S: Stage> Intake<S> {
    /// Receives messages while there is room for them.
    async fn draw(self: Arc<Self>, in_hand: &mut InHand, stop: &CancellationToken) {
        let room = Arc::new(Semaphore::new(self.settings.messages_max));
        let poll = POLL.min(self.settings.visibility / POLLS_HIDDEN);
        let mut failures = 0;
        while !stop.is_cancelled() {
            in_hand.forget_ended();
            let is_probe = self.wait_out(stop).await;
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                permit = Arc::clone(&room).acquire_owned() => permit,
            };
            let Ok(first) = first else { return };
            let mut permits = vec![first];
            let max = if is_probe { 1 } else { BATCH_MAX };
            while permits.len() < max
                && let Ok(permit) = Arc::clone(&room).try_acquire_owned()
            {
                permits.push(permit);
            }

            let begun = Instant::now();
            let receive = self
                .once
                .receive(permits.len(), poll, self.settings.visibility);
            tokio::pin!(receive);
            let received = tokio::select! {
                received = &mut receive => received,
                () = stop.cancelled() => match timeout(LAST_POLL, receive).await {
                    Ok(received) => received,
                    Err(_) => return,
                },
            };
            let messages = match received {
                Ok(messages) => messages,
                Err(error) => {
                    failures += 1;
                    let pause = pause(failures);
                    tracing::error!(%error, pause_s = pause.as_secs(), "no messages received");
                    self.metrics.failed("queue_unavailable");
                    wait(pause, stop).await;
                    continue;
                }
            };
            failures = 0;
            for (message, permit) in messages.into_iter().zip(permits) {
                let receipt = message.receipt.clone();
                let hidden = self.visibility.keep(message, begun);
                let intake = Arc::clone(&self);
                in_hand.begin(receipt, async move {
                    intake.take_message(hidden, is_probe).await;
                    drop(permit);
                });
            }
        }
    }

    /// Waits while an outage keeps all log files from being staged. Returns whether there is one: then a single message is
    /// to be tried as a probe.
    async fn wait_out(&self, stop: &CancellationToken) -> bool {
        let Some(pause) = self.outages.all_out() else {
            return false;
        };
        tracing::warn!(
            pause_s = pause.as_secs(),
            "messages left in the queue for a while: nothing can be staged"
        );
        wait(pause, stop).await;
        true
    }

    /// Processes one message, from staging to deletion. A probe is tried in spite of outages.
    async fn take_message(&self, hidden: InFlightMessage, is_probe: bool) {
        let in_flight = self.metrics.message_in_flight();
        let outcome = self.stage_all(&hidden.message, is_probe).await;
        let age = hidden.message.sent.elapsed().unwrap_or_default();
        let received = match outcome {
            Ok(()) if !hidden.is_hidden().await => {
                // The log files are staged. The worker that now has the message will stage them again.
                tracing::warn!(
                    message_id = hidden.message.id,
                    "message no longer held; left to who has it now"
                );
                MessageOutcome::Lost
            }
            Ok(()) => {
                self.metrics.message_done(age);
                match self.delete(&hidden).await {
                    true => MessageOutcome::Deleted,
                    false => MessageOutcome::Lost,
                }
            }
            Err(again) => {
                let receipt = hidden.message.receipt.clone();
                drop(hidden);
                // If this fails, the message becomes visible when its visibility timeout ends.
                if let Err(error) = self.queue.hide(&[(&receipt, again)]).await {
                    tracing::debug!(%error, "message left to its visibility timeout");
                }
                MessageOutcome::Returned
            }
        };
        self.metrics.message(received);
        drop(in_flight);
    }

    /// Stages all log files of a message. On failure, logs the reasons and returns the visibility timeout for the next
    /// attempt.
    async fn stage_all(&self, message: &Message, is_probe: bool) -> Result<(), Duration> {
        let Notification {
            log_files,
            left_out,
        } = match notification::parse(&message.body) {
            Ok(notification) => notification,
            Err(error) => {
                self.tell(message, "not_understood", 0, "", &error.to_string());
                self.metrics.failed("not_understood");
                return Err(again(&Disposition::Reject, message.receive_count));
            }
        };
        for part in &left_out {
            tracing::debug!(uri = part.uri, why = %part.why, "left out");
            self.metrics.left_out(part.why.name());
        }
        let (log_files, held_back) = self.hold_back(log_files, is_probe);
        let mut failures = Failures::default();
        let mut outcomes = pin!(stage_all(
            &self.stage,
            log_files,
            self.settings.log_files_at_once
        ));
        while let Some((log_file, outcome)) = outcomes.next().await {
            let bucket = Dependency::bucket_of(&log_file);
            match outcome {
                Ok(taken) => {
                    self.outages.succeeded(&bucket);
                    // A skipped log file does not show that the tables are available.
                    if taken == StageOutcome::Staged {
                        self.outages.succeeded(&Dependency::All);
                    }
                }
                Err(error) => failures.add(log_file, &error),
            }
        }
        failures.each_reason(|name, count, first, reason| {
            self.tell(message, name, count, first, reason);
        });
        failures
            .outages()
            .for_each(|each| self.outages.failed(each));
        if let Some(first) = held_back.first() {
            let (count, first) = (held_back.len(), first.log_file.uri());
            self.metrics.failed("held_back");
            let reason = "its bucket is out of order; other messages tell why";
            match self.is_last_attempt(message) {
                true => self.tell(message, "held_back", count, first, reason),
                false => tracing::debug!(message_id = message.id, count, first, "held back"),
            }
            return Err(LONGEST_AGAIN);
        }
        match failures.worst() {
            None => Ok(()),
            Some(worst) => Err(again(worst, message.receive_count)),
        }
    }

    /// Splits the log files into those to try now and those held back because their bucket is down.
    fn hold_back(
        &self,
        log_files: Vec<Announced>,
        is_probe: bool,
    ) -> (Vec<Announced>, Vec<Announced>) {
        let mut admitted = HashMap::new();
        log_files.into_iter().partition(|announced| {
            let bucket = Dependency::bucket_of(&announced.log_file);
            // Asked once per message: in an outage, the second answer would differ.
            *admitted
                .entry(bucket)
                .or_insert_with_key(|bucket| is_probe || self.outages.admits(bucket))
        })
    }

    /// Whether the redrive policy moves the message to the dead-letter queue if this attempt fails.
    fn is_last_attempt(&self, message: &Message) -> bool {
        let max = self.queue.receives_max();
        max.is_some_and(|max| u64::from(message.receive_count) >= max)
    }

    /// Logs why log files of a message are not staged, and whether this was the message's last attempt.
    fn tell(&self, message: &Message, name: &str, log_files: usize, first: &str, reason: &str) {
        let (message_id, receive_count) = (&*message.id, message.receive_count);
        match self.is_last_attempt(message) {
            true => tracing::error!(
                message_id,
                receive_count,
                name,
                log_files,
                log_file = first,
                reason,
                "not staged at its last attempt: the message goes to the dead-letter queue"
            ),
            false => tracing::warn!(
                message_id,
                receive_count,
                name,
                log_files,
                log_file = first,
                reason,
                "not staged; the message is left to the queue's redrive policy"
            ),
        }
    }

    /// Deletes a message. Returns whether it was deleted.
    async fn delete(&self, hidden: &InFlightMessage) -> bool {
        let (done, is_done) = oneshot::channel();
        let receipt = hidden.message.receipt.clone();
        let sent = self.deletions.send(Deletion { receipt, done }).await;
        sent.is_ok() && is_done.await.unwrap_or(false)
    }

    /// Makes the messages that are still in flight visible to other workers.
    async fn give_back(&self, mut in_hand: InHand) {
        in_hand.forget_ended();
        in_hand.tasks.abort_all();
        let receipts: Vec<_> = in_hand
            .receipts
            .values()
            .map(|receipt| (receipt.as_str(), Duration::ZERO))
            .collect();
        let batches = receipts.chunks(BATCH_MAX).map(async |batch| {
            match self.queue.hide(batch).await {
                Ok(refused) => {
                    let given_back = batch.len() - refused.len();
                    tracing::info!(messages = given_back, "messages given back");
                }
                Err(error) => {
                    tracing::warn!(%error, "messages not given back; they show when their time is over");
                }
            }
        });
        join_all(batches).await;
    }
}

/// The visibility timeout after a failure.
fn again(disposition: &Disposition, receive_count: u32) -> Duration {
    let (first, longest) = match disposition {
        Disposition::Reject => (AGAIN_UNREADABLE, LONGEST_AGAIN_UNREADABLE),
        Disposition::Retry => (AGAIN, LONGEST_AGAIN),
        Disposition::BackOff(_) => (AGAIN_IN_OUTAGE, LONGEST_AGAIN),
    };
    let doubled = 1_u32 << receive_count.clamp(1, 16).saturating_sub(1);
    (first * doubled).min(longest)
}

async fn wait(pause: Duration, stop: &CancellationToken) {
    // Both outcomes end the wait.
    let _ = timeout(pause, stop.cancelled()).await;
}

/// A message to delete, and where to report the result.
struct Deletion {
    receipt: String,
    done: oneshot::Sender<bool>,
}

/// Deletes messages, up to ten per request.
async fn delete(queue: Queue, mut deletions: mpsc::Receiver<Deletion>) {
    let mut requests = JoinSet::new();
    while let Some(first) = deletions.recv().await {
        let mut batch = vec![first];
        let linger = sleep_until(Instant::now() + DELETE_LINGER);
        tokio::pin!(linger);
        while batch.len() < BATCH_MAX {
            tokio::select! {
                biased;
                next = deletions.recv() => match next {
                    Some(next) => batch.push(next),
                    None => break,
                },
                () = &mut linger => break,
            }
        }
        // Concurrent with the next batch, so that a retry does not delay it.
        requests.spawn(delete_batch(queue.clone(), batch));
        while requests.try_join_next().is_some() {}
    }
}

async fn delete_batch(queue: Queue, mut batch: Vec<Deletion>) {
    let mut retries = DELETE.begin("deleting messages");
    loop {
        let receipts: Vec<&str> = batch.iter().map(|each| each.receipt.as_str()).collect();
        let refused = queue.delete(&receipts).await;
        let mut left = Vec::new();
        for (at, deletion) in batch.into_iter().enumerate() {
            let refusal = match &refused {
                Ok(refused) => refused
                    .iter()
                    .find(|(refused, _)| *refused == at)
                    .map(|(_, refusal)| (refusal.to_string(), refusal.is_final)),
                Err(error) => Some((error.to_string(), false)),
            };
            match refusal {
                None => {
                    // The task that waits for the result may have been stopped.
                    let _ = deletion.done.send(true);
                }
                Some((why, true)) => not_deleted(deletion, &why),
                Some((why, false)) => left.push((deletion, why)),
            }
        }
        let Some((_, why)) = left.first() else { return };
        if !retries.wait(why).await {
            for (deletion, why) in left {
                not_deleted(deletion, &why);
            }
            return;
        }
        batch = left.into_iter().map(|(deletion, _)| deletion).collect();
    }
}

fn not_deleted(deletion: Deletion, why: &str) {
    tracing::warn!(
        why,
        "message not deleted; it will come again, and change nothing"
    );
    let _ = deletion.done.send(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_is_tried_more_rarely() {
        let seconds = |disposition: Disposition, count| again(&disposition, count).as_secs();
        let outage = || Disposition::BackOff(Dependency::All);
        assert_eq!(seconds(Disposition::Retry, 1), 10);
        assert_eq!(seconds(Disposition::Retry, 3), 40);
        assert_eq!(seconds(outage(), 1000), 900);
        assert_eq!(seconds(Disposition::Reject, 0), 1);
        assert_eq!(seconds(Disposition::Reject, 5), 16);
        assert_eq!(seconds(Disposition::Reject, 50), 30);
        assert_eq!(seconds(outage(), 1), 60);
    }
}
