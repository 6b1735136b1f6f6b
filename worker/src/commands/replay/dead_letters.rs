//! Moves messages from the dead-letter queue to the work queue, by a message move task of SQS. `logmill replay --dry-run`
//! shows what it would move.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry;
use indicatif::HumanCount;
use logmill_shared::sqs::BATCH_MAX;
use logmill_shared::{LogFile, notification};
use tokio::time::sleep;

use crate::commands::progress::Progress;
use crate::intake::message::ReceivedMessage;
use crate::intake::queue::{Queue, QueueError};
use crate::intake::sqs_queue::SqsQueue;

/// Maximum rate of SQS's message move task, in messages per second. SQS refuses a larger number.
const TASK_RATE_MAX: u32 = 500;

/// How often the progress of a move task is polled.
const POLL: Duration = Duration::from_secs(1);

/// Number of polls in which a started task may not be listed yet.
const UNLISTED_MAX: u32 = 30;

/// Visibility timeout of messages in a dry run. If it is shorter, messages are received again before all have been seen. If
/// it is longer, messages stay hidden for that time after a crash.
const HIDDEN: Duration = Duration::from_secs(300);

/// How long a receive request waits for messages. Without a wait, SQS queries only some of its servers, and may report that
/// the queue is empty when it is not.
const WAIT: Duration = Duration::from_secs(2);

/// Maximum number of messages held hidden. They are made visible again at the end.
const HELD_MAX: usize = 10_000;

/// The results of a move.
#[derive(Debug)]
pub struct Moved {
    /// Messages sent to the work queue, as SQS counts them.
    pub sent: usize,
}

/// The contents of a dead-letter queue.
#[derive(Debug, Default)]
pub struct Peeked {
    /// Number of messages.
    pub messages: usize,
    /// Number of log files in messages that can be parsed.
    pub log_files: usize,
    /// Messages that can't be parsed: id and reason. They are sent nevertheless.
    pub not_understood: Vec<(String, String)>,
    /// Whether there may be more messages.
    pub more: bool,
}

/// Moves all dead letters to the work queue. SQS accepts only the dead-letter queue of another queue, and moves the messages
/// by itself, even if this stops.
pub async fn move_dead_letters(
    dead: &SqsQueue,
    work: &SqsQueue,
    rate: Option<NonZeroU32>,
    progress: &mut dyn Progress,
) -> Result<Moved> {
    if dead.arn() == work.arn() {
        bail!(
            "the queue {} is given as both the work queue and the dead-letter queue; give two different queues",
            dead.url()
        );
    }
    let task = start(dead, work, rate).await?;
    progress.counts("messages");
    let sent = watch(dead, &task, POLL, progress).await?;
    progress.end();
    Ok(Moved { sent })
}

/// A message move task of SQS.
#[derive(Debug)]
struct Task {
    /// Its handle, which exists while the task runs.
    handle: String,
    /// When the previous task was started, in milliseconds since 1970.
    after: i64,
}

impl Task {
    /// Whether `listed` is this task. A task that has ended has no handle, so its start time identifies it: only one task
    /// can run at a time.
    fn is(&self, listed: &ListMessageMoveTasksResultEntry) -> bool {
        listed.task_handle.as_ref() == Some(&self.handle) || listed.started_timestamp > self.after
    }
}

/// Starts a message move task.
async fn start(
    dead: &SqsQueue,
    work: &SqsQueue,
    rate: Option<NonZeroU32>,
) -> Result<Task, QueueError> {
    let before = tasks(dead).await?;
    let before = before.iter().map(|task| task.started_timestamp).max();
    let rate = rate.map(|rate| rate.get().min(TASK_RATE_MAX) as i32);
    let answer = dead
        .client()
        .start_message_move_task()
        .source_arn(dead.arn())
        .destination_arn(work.arn())
        .set_max_number_of_messages_per_second(rate)
        .send()
        .await
        .map_err(|error| dead.error(&error, "sqs:StartMessageMoveTask"))?;
    Ok(Task {
        handle: answer.task_handle.unwrap_or_default(),
        after: before.unwrap_or_default(),
    })
}

/// Waits for the task to end. Returns the number of messages that it moved.
async fn watch(
    dead: &SqsQueue,
    task: &Task,
    poll: Duration,
    progress: &mut dyn Progress,
) -> Result<usize> {
    let goes_on = "SQS keeps moving the messages by itself, but its progress cannot be read";
    let (mut found, mut done, mut unlisted) = (0, 0, 0);
    loop {
        let tasks = tasks(dead).await.context(goes_on)?;
        let Some(task) = tasks.iter().find(|listed| task.is(listed)) else {
            unlisted += 1;
            if unlisted == UNLISTED_MAX {
                bail!(
                    "{goes_on}: the queue {} does not list the move task",
                    dead.url()
                );
            }
            sleep(poll).await;
            continue;
        };
        let moved = usize::try_from(task.approximate_number_of_messages_moved).unwrap_or_default();
        let to_move = task
            .approximate_number_of_messages_to_move
            .unwrap_or_default();
        let to_move = usize::try_from(to_move).unwrap_or_default();
        progress.found(to_move.saturating_sub(found));
        progress.found_all();
        progress.done(moved.saturating_sub(done));
        (found, done) = (found.max(to_move), done.max(moved));
        match task.status.as_deref() {
            Some("COMPLETED") => return Ok(moved),
            Some("FAILED" | "CANCELLED") => {
                let status = task.status.as_deref().unwrap_or_default().to_lowercase();
                let reason = task
                    .failure_reason
                    .as_deref()
                    .unwrap_or("SQS gave no reason");
                bail!(
                    "the queue {}: the move task {status} after {moved} messages: {reason}",
                    dead.url()
                );
            }
            _ => sleep(poll).await,
        }
    }
}

async fn tasks(dead: &SqsQueue) -> Result<Vec<ListMessageMoveTasksResultEntry>, QueueError> {
    let request = dead.client().list_message_move_tasks();
    let answer = request.source_arn(dead.arn()).max_results(10).send().await;
    let answer = answer.map_err(|error| dead.error(&error, "sqs:ListMessageMoveTasks"))?;
    Ok(answer.results.unwrap_or_default())
}

/// Messages that were received and are to stay in the queue.
#[derive(Default)]
struct Held {
    /// The latest receipt handle of each message, by message id.
    receipts: HashMap<String, String>,
}

impl Held {
    fn hold(&mut self, message: ReceivedMessage) {
        let delivery = message.delivery;
        self.receipts.insert(delivery.message_id, delivery.receipt);
    }

    /// Makes the messages visible again now, without waiting for their visibility timeout.
    async fn give_back(&self, queue: &SqsQueue) {
        let receipts: Vec<(&str, Duration)> = self
            .receipts
            .values()
            .map(|receipt| (receipt.as_str(), Duration::ZERO))
            .collect();
        for batch in receipts.chunks(BATCH_MAX) {
            match queue.change_visibility(batch).await {
                Ok(undone) if undone.is_empty() => {}
                Ok(undone) => tracing::debug!(
                    messages = undone.len(),
                    "messages not made visible now; they become \
                     visible when their visibility timeout ends"
                ),
                Err(error) => {
                    tracing::warn!(%error, "messages not made visible now; they become visible when their \
                     visibility timeout ends")
                }
            }
        }
    }
}

/// Passes the log files of all dead letters to `each`. The messages stay in the queue.
pub async fn peek_dead_letters(
    dead: &SqsQueue,
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
                if !held.receipts.contains_key(&message.delivery.message_id) {
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
        message: &ReceivedMessage,
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
                    .push((message.delivery.message_id.clone(), error.to_string()));
                Ok(())
            }
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "messages   {} moved", HumanCount(self.sent as u64))
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
            writeln!(f, "           message {id} is not understood: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake_s3::{Answer, FakeS3, Request};

    #[derive(Default)]
    struct Count {
        found: usize,
        done: usize,
    }

    impl Progress for Count {
        fn found(&mut self, log_files: usize) {
            self.found += log_files;
        }

        fn done(&mut self, log_files: usize) {
            self.done += log_files;
        }

        fn end(&mut self) {}
    }

    fn operation(request: &Request) -> String {
        request
            .header("x-amz-target")
            .unwrap()
            .replace("AmazonSQS.", "")
    }

    fn queues(sqs: &FakeS3) -> (SqsQueue, SqsQueue) {
        (
            SqsQueue::at(&sqs.endpoint, "dead"),
            SqsQueue::at(&sqs.endpoint, "work"),
        )
    }

    /// A fake SQS that lists an earlier task, and the new task in the states `ours`, one per request.
    fn with_tasks(ours: Vec<Value>) -> FakeS3 {
        FakeS3::start(move |before, request| match operation(request).as_str() {
            "StartMessageMoveTask" => Answer::new(200, json!({"TaskHandle": "ours"}).to_string()),
            "ListMessageMoveTasks" => {
                let of_before = json!({"Status": "COMPLETED", "StartedTimestamp": 1, "ApproximateNumberOfMessagesMoved": 99});
                let ours = match before {
                    0 => None,
                    _ => Some(
                        ours.get(before - 2)
                            .unwrap_or_else(|| panic!("asked too often")),
                    ),
                };
                let ours = ours.filter(|ours| ours.is_object());
                let tasks: Vec<&Value> = ours.into_iter().chain([&of_before]).collect();
                Answer::new(200, json!({"Results": tasks}).to_string())
            }
            other => panic!("{other}"),
        })
    }

    fn task(status: &str, moved: u32) -> Value {
        let mut task = json!({
            "Status": status,
            "StartedTimestamp": 2,
            "ApproximateNumberOfMessagesMoved": moved,
            "ApproximateNumberOfMessagesToMove": 20,
        });
        if status == "RUNNING" {
            task["TaskHandle"] = "ours".into();
        }
        task
    }

    async fn watched(ours: Vec<Value>) -> (Result<usize>, Count) {
        let sqs = with_tasks(ours);
        let (dead, work) = queues(&sqs);
        let task = start(&dead, &work, NonZeroU32::new(1000)).await.unwrap();
        let begun: Value = serde_json::from_str(&sqs.requests()[1].body).unwrap();
        let expected = json!({
            "SourceArn": dead.arn(), "DestinationArn": work.arn(), "MaxNumberOfMessagesPerSecond": 500
        });
        assert_eq!(begun, expected);
        let mut count = Count::default();
        let outcome = watch(&dead, &task, Duration::from_millis(1), &mut count).await;
        (outcome, count)
    }

    #[tokio::test]
    async fn sqs_moves_the_messages_itself() {
        let ours = vec![
            task("RUNNING", 0),
            task("RUNNING", 7),
            task("COMPLETED", 20),
        ];
        let (outcome, count) = watched(ours).await;
        assert_eq!((outcome.unwrap(), count.found, count.done), (20, 20, 20));
        let (outcome, count) = watched(vec![task("RUNNING", 3), task("FAILED", 7)]).await;
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("failed after 7 messages"), "{error}");
        assert_eq!(count.done, 7);
    }

    #[tokio::test]
    async fn a_task_of_before_is_not_taken_for_ours() {
        // The task was started, was not listed at first, and ended before it was seen running.
        let (outcome, count) = watched(vec![Value::Null, Value::Null, task("COMPLETED", 20)]).await;
        assert_eq!((outcome.unwrap(), count.done), (20, 20));
    }

    #[tokio::test]
    async fn dead_letters_are_moved_and_a_refusal_of_sqs_is_told() {
        let sqs = with_tasks(vec![task("COMPLETED", 26)]);
        let (dead, work) = queues(&sqs);
        let mut count = Count::default();
        let moved = move_dead_letters(&dead, &work, None, &mut count).await;
        assert_eq!(moved.unwrap().to_string(), "messages   26 moved\n");
        let error = move_dead_letters(&dead, &dead, None, &mut count).await;
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("both the work queue and the dead-letter queue")
        );

        let refusal = "Source queue must be configured as a Dead Letter Queue.";
        let sqs = FakeS3::start(move |before, _| match before {
            0 => Answer::new(200, "{}"),
            _ => {
                let error = json!({"__type": "InvalidParameterValue", "message": refusal});
                Answer::new(400, error.to_string())
            }
        });
        let (dead, work) = queues(&sqs);
        let error = move_dead_letters(&dead, &work, None, &mut count).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("InvalidParameterValue") && error.contains(refusal),
            "{error}"
        );
    }
}
