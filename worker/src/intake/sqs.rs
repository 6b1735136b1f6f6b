//! Log files that a queue announces: each message is kept hidden from others while its log files are staged, and deleted
//! when all of them are.
//!
//! What can't be staged stays in the queue, hidden for a while that grows with each attempt, until the queue's redrive
//! policy takes it to the dead-letter queue.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use futures::future::join_all;
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
use crate::retry::Policy;

/// How long a request for messages waits for some: SQS's own bound. Shorter, and an idle worker asks more often. But no longer
/// than a part of the time that they are hidden for, since how much of that is left when they come is not known.
const POLL: Duration = Duration::from_secs(20);
const POLLS_HIDDEN: u32 = 3;

/// When it is time to stop, a request for messages that is under way gets so long to bring some. Where there are
/// messages it takes a moment; and those that it brings to nobody would be hidden for nothing.
const LAST_POLL: Duration = Duration::from_secs(2);

/// Messages that wait to be deleted do so together, but not for longer than this.
const DELETE_LINGER: Duration = Duration::from_millis(50);

/// The wait before a message is tried again, which doubles with each attempt. What is missing, or can't be had, has some
/// time to come back; what can't be read is soon where a person sees it.
const AGAIN: Duration = Duration::from_secs(10);
const LONGEST_AGAIN: Duration = Duration::from_mins(15);
const AGAIN_UNREADABLE: Duration = Duration::from_secs(1);
const LONGEST_AGAIN_UNREADABLE: Duration = Duration::from_secs(30);
/// In an outage as few attempts as can be are spent on each.
const AGAIN_IN_OUTAGE: Duration = Duration::from_mins(1);

/// How a deletion is repeated. A message that is not deleted comes again, and changes nothing.
const DELETE: Policy = Policy {
    attempts: 3,
    first_wait: Duration::from_millis(200),
    longest_wait: Duration::from_secs(1),
};

/// How a queue is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a message is hidden for at once. It is hidden again and again as long as it is worked on.
    pub visibility: Duration,
    /// Messages held at once.
    pub messages_max: usize,
    /// Log files of one message that are staged side by side.
    pub log_files_at_once: usize,
    /// How long what is in hand may take once it is time to stop.
    pub grace: Duration,
    /// Buckets that log files may be in. While all of them refuse, nothing is taken.
    pub buckets: usize,
}

/// Draws from a queue.
struct Intake<S> {
    /// For what is asked in a loop: each request is tried once.
    once: Queue,
    /// For all else.
    queue: Queue,
    settings: Settings,
    stage: S,
    visibility: Arc<VisibilityExtender>,
    deletions: mpsc::Sender<Deletion>,
    metrics: Arc<Metrics>,
    outages: Outages,
}

/// Stages what the queue announces until `stop` is cancelled, and then what is in hand, until the grace is over. When this
/// returns, no message is held: what was not done with is shown to others at once.
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
    // Nothing is to be hidden again that is given back.
    renewing.shutdown().await;
    intake.give_back(in_hand).await;
    match ended {
        None => Ok(()),
        Some(ended) => Ok(ended?),
    }
}

/// Messages that are worked on.
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

    /// Waits until the next one has ended. `false`: there is none.
    async fn next_ends(&mut self) -> bool {
        let ended = self.tasks.join_next_with_id().await;
        self.forget(ended)
    }

    /// Forgets those that have ended.
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
    /// Takes messages as there is room for them.
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

    /// Waits while nothing that is taken could be staged. Returns whether that is so: then one message is to be tried.
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

    /// The whole way of one message. A probe is tried whatever is out of order.
    async fn take_message(&self, hidden: InFlightMessage, is_probe: bool) {
        let in_flight = self.metrics.message_in_flight();
        let outcome = self.stage_all(&hidden.message, is_probe).await;
        let age = hidden.message.sent.elapsed().unwrap_or_default();
        let received = match outcome {
            Ok(()) if !hidden.is_hidden().await => {
                // Its log files are staged, and will be again by whoever has it now.
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
                // If this fails, it shows when its time is over.
                if let Err(error) = self.queue.hide(&[(&receipt, again)]).await {
                    tracing::debug!(%error, "message left to its visibility timeout");
                }
                MessageOutcome::Returned
            }
        };
        self.metrics.message(received);
        drop(in_flight);
    }

    /// Stages all log files of a message. The error is how long to hide it before it is tried again; the reason has been told.
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
                    // What is skipped has told nothing of the tables.
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

    /// The log files that are to be tried now, and those that are not, as their bucket is out of order.
    fn hold_back(
        &self,
        log_files: Vec<Announced>,
        is_probe: bool,
    ) -> (Vec<Announced>, Vec<Announced>) {
        let mut admitted = HashMap::new();
        log_files.into_iter().partition(|announced| {
            let bucket = Dependency::bucket_of(&announced.log_file);
            // Asked once for a message: in an outage the second answer would be another.
            *admitted
                .entry(bucket)
                .or_insert_with_key(|bucket| is_probe || self.outages.admits(bucket))
        })
    }

    /// Whether the queue's redrive policy takes the message to the dead-letter queue if it fails.
    fn is_last_attempt(&self, message: &Message) -> bool {
        let max = self.queue.receives_max();
        max.is_some_and(|max| u64::from(message.receive_count) >= max)
    }

    /// Logs why log files of a message are not staged, and when it was the message's last attempt.
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

    /// Deletes a message. Returns whether it has gone.
    async fn delete(&self, hidden: &InFlightMessage) -> bool {
        let (done, is_done) = oneshot::channel();
        let receipt = hidden.message.receipt.clone();
        let sent = self.deletions.send(Deletion { receipt, done }).await;
        sent.is_ok() && is_done.await.unwrap_or(false)
    }

    /// Shows to others what is still in hand.
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

/// How long a message is hidden for after a failure.
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
    // Either is well.
    let _ = timeout(pause, stop.cancelled()).await;
}

/// A message to be deleted, and who wants to know.
struct Deletion {
    receipt: String,
    done: oneshot::Sender<bool>,
}

/// Deletes messages, ten by one request.
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
        // Side by side with the next batch: one that has to be tried again holds up nothing.
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
                    // Whoever asked may have been stopped since.
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
