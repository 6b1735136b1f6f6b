//! Log files announced through a queue. A message stays in flight while its log files are staged, and is deleted once
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
use logmill_shared::notification::{Announced, Notification};
use logmill_shared::sqs::BATCH_MAX;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::deletions::{Deletion, delete};
use super::failures::Failures;
use super::message::{Delivery, InFlightMessage, ReceivedMessage};
use super::not_staged::{Dependency, Disposition};
use super::outages::{Outages, pause};
use super::queue::Queue;
use super::visibility::VisibilityExtender;
use super::{Stage, StageOutcome, stage_all};
use crate::metrics::{MessageOutcome, Metrics};
use crate::sleep::sleep_or_stop;

/// The wait time of a receive request: SQS's limit. With a shorter one, an idle worker sends more requests.
const RECEIVE_WAIT_MAX: Duration = Duration::from_secs(20);

/// A wait takes at most a third of the visibility timeout: the timeout is counted from the request, so at least two thirds
/// are left when messages arrive.
const WAITS_PER_VISIBILITY_TIMEOUT: u32 = 3;

/// How long a pending receive request may still take at shutdown. If there are messages, it returns at once. If it were
/// cancelled, the messages that it returns would stay invisible although no worker has them.
const SHUTDOWN_RECEIVE_WAIT: Duration = Duration::from_secs(2);

/// The visibility timeout after a failure; it doubles with each attempt. `Retry`: the log file may appear. `Reject`:
/// retrying cannot help, so the message soon reaches the dead-letter queue, where a person sees it.
const RETRY_DELAY: Duration = Duration::from_secs(10);
const RETRY_DELAY_MAX: Duration = Duration::from_mins(15);
const REJECT_DELAY: Duration = Duration::from_secs(1);
const REJECT_DELAY_MAX: Duration = Duration::from_secs(30);
/// In an outage, each message should use as few attempts as possible.
const OUTAGE_DELAY: Duration = Duration::from_mins(1);

/// Settings of the queue intake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// The SQS visibility timeout. It is extended for as long as a message is being processed.
    pub(crate) visibility: Duration,
    /// The maximum number of messages in flight.
    pub(crate) messages_max: usize,
    /// Log files of one message that are staged concurrently.
    pub(crate) log_files_at_once: usize,
    /// How long the messages in flight may still take once shutdown begins.
    pub(crate) grace: Duration,
    /// The number of buckets that log files may be in. While all of them are down, only one message at a time is
    /// received, as a probe.
    pub(crate) bucket_count: usize,
}

/// The consumer of one queue.
struct Consumer<Q: Queue, S> {
    /// For requests in a loop: each is sent once.
    once: Q,
    /// For all other requests.
    queue: Q,
    settings: Settings,
    stage: S,
    visibility: Arc<VisibilityExtender<Q>>,
    deletions: mpsc::Sender<Deletion<Q>>,
    metrics: Arc<Metrics>,
    outages: Outages,
}

/// Stages what the queue announces until `stop` is cancelled, then finishes the messages in flight within the grace
/// period. When this returns, no visibility timeout is extended any more, and unfinished messages have been offered back to
/// the queue. If that request failed, they become visible when their visibility timeout ends.
pub(crate) async fn consume<Q: Queue, S: Stage>(
    queue: Q,
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
    let mut extending = JoinSet::new();
    extending.spawn({
        let visibility = Arc::clone(&visibility);
        async move { visibility.extend_due().await }
    });
    let consumer = Arc::new(Consumer {
        once,
        queue,
        settings,
        stage,
        visibility,
        deletions,
        metrics,
        outages: Outages::new(settings.bucket_count),
    });
    let mut tasks = Tasks::default();
    let ended = tokio::select! {
        () = Arc::clone(&consumer).receive_messages(&mut tasks, &stop) => None,
        Some(ended) = extending.join_next() => Some(ended),
        Some(ended) = deleting.join_next() => Some(ended),
    };

    tasks.forget_ended();
    // The last receive may already have used this much of the grace period.
    let deadline = Instant::now() + settings.grace.saturating_sub(SHUTDOWN_RECEIVE_WAIT);
    tracing::info!(
        messages = tasks.running.len(),
        "worker shutting down: no more messages are received; finishing messages in flight"
    );
    while let Ok(true) = timeout_at(deadline, tasks.next_ends()).await {}
    // The visibility timeout of a message that is given back must not be extended again.
    extending.shutdown().await;
    consumer.give_back(tasks).await;
    match ended {
        None => Ok(()),
        Some(ended) => Ok(ended?),
    }
}

/// Messages that are being processed.
#[derive(Default)]
struct Tasks {
    running: JoinSet<()>,
    receipts: HashMap<tokio::task::Id, String>,
}

impl Tasks {
    fn begin(&mut self, receipt: String, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.running.spawn(task);
        self.receipts.insert(task.id(), receipt);
    }

    /// Waits for the next task to end. Returns `false` if there are no tasks.
    async fn next_ends(&mut self) -> bool {
        let ended = self.running.join_next_with_id().await;
        self.forget(ended)
    }

    /// Forgets tasks that have ended.
    fn forget_ended(&mut self) {
        while let Some(ended) = self.running.try_join_next_with_id() {
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

impl<Q: Queue, S: Stage> Consumer<Q, S> {
    /// Receives messages while there is room for them.
    async fn receive_messages(self: Arc<Self>, tasks: &mut Tasks, stop: &CancellationToken) {
        let room = Arc::new(Semaphore::new(self.settings.messages_max));
        let wait_max =
            RECEIVE_WAIT_MAX.min(self.settings.visibility / WAITS_PER_VISIBILITY_TIMEOUT);
        let mut failures = 0;
        while !stop.is_cancelled() {
            tasks.forget_ended();
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
                .receive(permits.len(), wait_max, self.settings.visibility);
            tokio::pin!(receive);
            let received = tokio::select! {
                received = &mut receive => received,
                () = stop.cancelled() => match timeout(SHUTDOWN_RECEIVE_WAIT, receive).await {
                    Ok(received) => received,
                    Err(_) => return,
                },
            };
            let messages = match received {
                Ok(messages) => messages,
                Err(error) => {
                    failures += 1;
                    let pause = pause(failures);
                    tracing::error!(%error, pause_s = pause.as_secs(), "receiving messages failed; retrying");
                    self.metrics
                        .failed("queue_unavailable", "", &error.to_string());
                    sleep_or_stop(pause, stop).await;
                    continue;
                }
            };
            failures = 0;
            for (message, permit) in messages.into_iter().zip(permits) {
                let receipt = message.delivery.receipt.clone();
                let consumer = Arc::clone(&self);
                tasks.begin(receipt, async move {
                    consumer.take_message(message, begun, is_probe).await;
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
            "outage: nothing can be staged; leaving messages in the queue before the next retry"
        );
        sleep_or_stop(pause, stop).await;
        true
    }

    /// Takes one message through all its states. A probe is tried in spite of outages.
    async fn take_message(&self, message: ReceivedMessage, received: Instant, is_probe: bool) {
        let _in_flight = self.metrics.message_in_flight();
        let age = message.delivery.sent.elapsed().unwrap_or_default();
        self.metrics.message_received(age);
        let outcome = match message.parse() {
            Ok(message) => {
                let (message, notification) = message.begin(&self.visibility, received);
                match self.stage_all(&message, notification, is_probe).await {
                    Ok(()) => self.finish(message).await,
                    Err(delay) => {
                        let delivery = message.delivery.clone();
                        // Its visibility timeout must not be extended again.
                        drop(message);
                        self.leave_in_queue(&delivery, delay).await
                    }
                }
            }
            Err((delivery, error)) => {
                let reason = error.to_string();
                self.log_not_staged(&delivery, "not_understood", 0, "", &reason);
                let about = format!("message {}", delivery.message_id);
                self.metrics.failed("not_understood", &about, &reason);
                let delay = retry_delay(&Disposition::Reject, delivery.receive_count);
                self.leave_in_queue(&delivery, delay).await
            }
        };
        self.metrics.message(outcome);
    }

    /// Deletes a message whose log files are all staged, if it is still this worker's.
    async fn finish(&self, message: InFlightMessage<Q>) -> MessageOutcome {
        let age = message.delivery.sent.elapsed().unwrap_or_default();
        let message = match message.done().await {
            Ok(message) => message,
            Err(delivery) => {
                // The worker that now has the message will stage its log files again.
                tracing::warn!(
                    message_id = delivery.message_id,
                    "message lost: its visibility timeout was not extended in time, so it is left to the worker \
                     that has it now"
                );
                return MessageOutcome::Lost;
            }
        };
        self.metrics.message_done(age);
        let (deleted, is_deleted) = oneshot::channel();
        let sent = self.deletions.send(Deletion { message, deleted }).await;
        match sent.is_ok() && is_deleted.await.unwrap_or(false) {
            true => MessageOutcome::Deleted,
            false => MessageOutcome::Lost,
        }
    }

    /// Leaves a message to the queue's redrive policy. It becomes visible after `delay`.
    async fn leave_in_queue(&self, delivery: &Delivery, delay: Duration) -> MessageOutcome {
        let receipts = [(delivery.receipt.as_str(), delay)];
        // If this fails, the message becomes visible when its visibility timeout ends.
        if let Err(error) = self.queue.change_visibility(&receipts).await {
            tracing::debug!(%error, "visibility timeout not changed; the message becomes visible when it ends");
        }
        MessageOutcome::Returned
    }

    /// Stages all log files of a message. On failure, logs the reasons and returns the visibility timeout for the next
    /// attempt.
    async fn stage_all(
        &self,
        message: &InFlightMessage<Q>,
        notification: Notification,
        is_probe: bool,
    ) -> Result<(), Duration> {
        let delivery = &message.delivery;
        let Notification {
            log_files,
            left_out,
        } = notification;
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
                    // Only a request shows that the bucket is available.
                    if taken != StageOutcome::NotRequested {
                        self.outages.succeeded(&bucket);
                    }
                    // A skipped log file does not show that the tables are available.
                    if taken == StageOutcome::Staged {
                        self.outages.succeeded(&Dependency::All);
                    }
                }
                Err(error) => failures.add(log_file, &error),
            }
        }
        failures.each_reason(|name, count, first, reason| {
            self.log_not_staged(delivery, name, count, first, reason);
        });
        failures
            .outages()
            .for_each(|each| self.outages.failed(each));
        if let Some(first) = held_back.first() {
            let (count, first) = (held_back.len(), first.log_file.uri());
            let reason = "the bucket of the log files is unavailable; the log lines of other messages say why";
            self.metrics.failed("held_back", first, reason);
            match self.is_last_attempt(delivery) {
                true => self.log_not_staged(delivery, "held_back", count, first, reason),
                false => {
                    tracing::debug!(
                        message_id = delivery.message_id,
                        count,
                        first,
                        "message held back: its bucket \
                         is unavailable"
                    )
                }
            }
            return Err(RETRY_DELAY_MAX);
        }
        match failures.worst() {
            None => Ok(()),
            Some(worst) => Err(retry_delay(worst, delivery.receive_count)),
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
    fn is_last_attempt(&self, delivery: &Delivery) -> bool {
        let max = self.queue.max_receive_count();
        max.is_some_and(|max| u64::from(delivery.receive_count) >= max)
    }

    /// Logs why log files of a message are not staged, and whether this was the message's last attempt.
    fn log_not_staged(
        &self,
        delivery: &Delivery,
        name: &str,
        log_files: usize,
        first: &str,
        reason: &str,
    ) {
        let (message_id, receive_count) = (&*delivery.message_id, delivery.receive_count);
        match self.is_last_attempt(delivery) {
            true => tracing::error!(
                message_id,
                receive_count,
                name,
                log_files,
                log_file = first,
                reason,
                "not staged at the last attempt: the message goes to the dead-letter queue"
            ),
            false => tracing::warn!(
                message_id,
                receive_count,
                name,
                log_files,
                log_file = first,
                reason,
                "not staged; the message stays in the queue and is retried"
            ),
        }
    }

    /// Makes the messages that are still in flight visible to other workers.
    async fn give_back(&self, mut tasks: Tasks) {
        tasks.forget_ended();
        tasks.running.abort_all();
        let receipts: Vec<_> = tasks
            .receipts
            .values()
            .map(|receipt| (receipt.as_str(), Duration::ZERO))
            .collect();
        let batches = receipts.chunks(BATCH_MAX).map(async |batch| {
            match self.queue.change_visibility(batch).await {
                Ok(refused) => {
                    let given_back = batch.len() - refused.len();
                    tracing::info!(messages = given_back, "messages returned to the queue");
                }
                Err(error) => {
                    tracing::warn!(%error, "messages not returned to the queue; they become visible when their \
                         visibility timeout ends");
                }
            }
        });
        join_all(batches).await;
    }
}

/// The visibility timeout after a failure.
fn retry_delay(disposition: &Disposition, receive_count: u32) -> Duration {
    let (first, longest) = match disposition {
        Disposition::Reject => (REJECT_DELAY, REJECT_DELAY_MAX),
        Disposition::Retry => (RETRY_DELAY, RETRY_DELAY_MAX),
        Disposition::BackOff(_) => (OUTAGE_DELAY, RETRY_DELAY_MAX),
    };
    let doubled = 1_u32 << receive_count.clamp(1, 16).saturating_sub(1);
    (first * doubled).min(longest)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::task::JoinHandle;
    use tokio::time::sleep;

    use super::*;
    use crate::intake::memory_queue::{MemoryQueue, State};
    use crate::intake::not_staged::NotStaged;
    use logmill_shared::{LogFile, notification};

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns whether log files can be staged, by their URI.
    type Outcome = fn(&str) -> Result<StageOutcome, NotStaged>;

    /// Takes some time to stage a log file, and records which are staged.
    #[derive(Clone)]
    struct Recorder {
        takes: Duration,
        outcome: Arc<Mutex<Outcome>>,
        staged: Arc<Mutex<Vec<String>>>,
    }

    impl Stage for Recorder {
        async fn stage(&self, log_file: &LogFile) -> Result<StageOutcome, NotStaged> {
            sleep(self.takes).await;
            let outcome = (*self.outcome.lock().unwrap())(log_file.uri());
            if outcome.is_ok() {
                self.staged.lock().unwrap().push(log_file.uri().to_owned());
            }
            outcome
        }
    }

    /// A consumer, its queue, and what it stages.
    struct Scene {
        queue: MemoryQueue,
        stage: Recorder,
        stop: CancellationToken,
        consumer: JoinHandle<Result<()>>,
    }

    impl Scene {
        /// `bodies` are in the queue when the consumer starts.
        fn new(bodies: &[String], takes: Duration, outcome: Outcome) -> Self {
            let queue = MemoryQueue::new(3);
            bodies.iter().for_each(|body| queue.send(body));
            let stage = Recorder {
                takes,
                outcome: Arc::new(Mutex::new(outcome)),
                staged: Arc::default(),
            };
            let settings = Settings {
                visibility: 2 * SECOND,
                messages_max: 1,
                log_files_at_once: 1,
                grace: 5 * SECOND,
                bucket_count: 1,
            };
            let (metrics, stop) = (Arc::default(), CancellationToken::new());
            let consumer = consume(
                queue.clone(),
                settings,
                stage.clone(),
                metrics,
                stop.clone(),
            );
            Self {
                queue,
                stage,
                stop,
                consumer: tokio::spawn(consumer),
            }
        }

        fn staged(&self) -> usize {
            self.stage.staged.lock().unwrap().len()
        }

        /// Waits until the queue is in the wanted state.
        async fn until(&self, is_so: impl Fn(&State) -> bool) -> State {
            for _ in 0..1000 {
                let state = self.queue.state();
                if is_so(&state) {
                    return state;
                }
                sleep(SECOND / 100).await;
            }
            panic!("{:?}", self.queue.state());
        }

        async fn stop(self) {
            self.stop.cancel();
            self.consumer.await.unwrap().unwrap();
        }
    }

    fn message(log_files: &[&str]) -> String {
        let log_files: Vec<LogFile> = log_files
            .iter()
            .map(|name| LogFile::in_bucket("logs", name))
            .collect();
        notification::message(&log_files)
    }

    fn is_staged(_: &str) -> Result<StageOutcome, NotStaged> {
        Ok(StageOutcome::Staged)
    }

    fn fails(disposition: Disposition) -> Result<StageOutcome, NotStaged> {
        Err(NotStaged {
            name: "failed",
            reason: "why".into(),
            disposition,
        })
    }

    #[tokio::test]
    async fn a_message_is_deleted_after_its_log_files_are_staged_and_not_before() {
        let scene = Scene::new(&[message(&["a", "b", "c"])], SECOND / 10, is_staged);
        while scene.staged() < 3 {
            assert_eq!(scene.queue.state().messages.len(), 1);
            sleep(SECOND / 100).await;
        }
        scene.until(|state| state.messages.is_empty()).await;
        scene.stop().await;
    }

    #[tokio::test]
    async fn a_message_whose_log_file_fails_becomes_visible_later() {
        let scene = Scene::new(&[message(&["a", "b"])], SECOND / 100, |uri| {
            match uri.ends_with('a') {
                true => fails(Disposition::Retry),
                false => is_staged(uri),
            }
        });
        let given_up = |state: &State| state.messages[0].invisible > 9 * SECOND;
        let state = scene.until(given_up).await;
        assert!(state.messages[0].invisible <= RETRY_DELAY);
        assert_eq!(state.messages[0].receive_count, 1);
        assert_eq!(
            scene.staged(),
            1,
            "the other log file is staged all the same"
        );
        *scene.stage.outcome.lock().unwrap() = is_staged;
        scene.queue.make_visible();
        scene.until(|state| state.messages.is_empty()).await;
        scene.stop().await;
    }

    #[tokio::test]
    async fn what_is_not_understood_is_left_to_the_redrive_policy() {
        let poison = "no notification".to_owned();
        let bodies = [poison.clone(), message(&["a"])];
        let scene = Scene::new(&bodies, Duration::ZERO, is_staged);
        for receive_count in 1..=3 {
            let given_up = |state: &State| {
                let is_poison = |body: &str| body == poison;
                let mut messages = state.messages.iter();
                messages.any(|each| {
                    is_poison(&each.body)
                        && each.receive_count == receive_count
                        && each.invisible <= 4 * SECOND
                        && each.is_changed
                })
            };
            scene.until(given_up).await;
            scene.queue.make_visible();
        }
        let state = scene.until(|state| state.messages.is_empty()).await;
        assert_eq!(state.dead, [poison]);
        assert_eq!(scene.staged(), 1);
        scene.stop().await;
    }

    #[tokio::test]
    async fn a_message_is_invisible_for_as_long_as_it_is_worked_on() {
        let scene = Scene::new(&[message(&["a"])], 3 * SECOND, is_staged);
        scene
            .until(|state| state.messages[0].receive_count == 1)
            .await;
        while scene.staged() == 0 {
            let state = scene.queue.state();
            assert!(state.messages.iter().all(|each| !each.invisible.is_zero()));
            sleep(SECOND / 20).await;
        }
        scene.until(|state| state.messages.is_empty()).await;
        scene.stop().await;
    }

    #[tokio::test]
    async fn a_message_that_another_worker_has_is_not_deleted() {
        let scene = Scene::new(&[message(&["a"])], 2 * SECOND, is_staged);
        scene
            .until(|state| state.messages[0].receive_count == 1)
            .await;
        scene.queue.make_visible();
        let other = scene.queue.receive(1, SECOND, 60 * SECOND).await.unwrap();
        assert_eq!(other.len(), 1);
        while scene.staged() == 0 {
            sleep(SECOND / 20).await;
        }
        let queue = scene.queue.clone();
        scene.stop().await;
        assert_eq!(queue.state().messages.len(), 1);
    }

    #[tokio::test]
    async fn in_an_outage_one_message_is_tried_now_and_then() {
        let bodies: Vec<String> = (0..10)
            .map(|number| message(&[&number.to_string()]))
            .collect();
        let scene = Scene::new(&bodies, Duration::ZERO, |_| {
            fails(Disposition::BackOff(Dependency::All))
        });
        let received =
            |state: &State| -> u32 { state.messages.iter().map(|each| each.receive_count).sum() };
        // Four failures are an outage. The next message was waited for before it began.
        scene.until(|state| received(state) == 5).await;
        sleep(SECOND / 2).await;
        assert_eq!(
            received(&scene.queue.state()),
            5,
            "the queue keeps the others"
        );
        // The next probe ends the outage.
        *scene.stage.outcome.lock().unwrap() = is_staged;
        let state = scene.until(|state| state.messages.len() == 5).await;
        assert!(state.messages.iter().all(|each| each.receive_count == 1));
        scene.stop().await;
    }

    #[tokio::test]
    async fn what_is_in_flight_at_shutdown_is_given_back() {
        let scene = Scene::new(&[message(&["a"])], 60 * SECOND, is_staged);
        scene
            .until(|state| state.messages[0].receive_count == 1)
            .await;
        let queue = scene.queue.clone();
        scene.stop().await;
        assert!(queue.state().messages[0].invisible.is_zero());
    }

    #[test]
    fn what_fails_again_is_tried_more_rarely() {
        let seconds = |disposition: Disposition, count| retry_delay(&disposition, count).as_secs();
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
