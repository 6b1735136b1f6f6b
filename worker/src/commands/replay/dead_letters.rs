//! Moves messages from the dead-letter queue to the work queue: with SQS's message move task or, where that is not
//! supported, as in emulators, message by message.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry;
use indicatif::HumanCount;
use logmill_object_io::Policy;
use logmill_shared::sqs::BATCH_MAX;
use logmill_shared::{LogFile, notification};
use tokio::time::sleep;

use super::outbox::{self, Pace};
use crate::commands::verify::Progress;
use crate::intake::queue::{Message, Queue, QueueError};

/// Maximum rate of SQS's message move task, in messages per second. SQS refuses a larger number.
const TASK_RATE_MAX: u32 = 500;

/// How often the progress of a move task is polled.
const POLL: Duration = Duration::from_secs(1);

/// Number of polls in which a started task may not be listed yet.
const UNLISTED_MAX: u32 = 30;

/// Visibility timeout of messages during a move. If it is shorter, messages that stay in the queue are received again
/// during a long move. If it is longer, messages stay hidden for that time after a crash.
const HIDDEN: Duration = Duration::from_secs(300);

/// How long a receive request waits for messages. Without a wait, SQS queries only some of its servers, and may report that
/// the queue is empty when it is not.
const WAIT: Duration = Duration::from_secs(2);

/// Maximum number of messages held hidden. They are made visible again at the end.
const HELD_MAX: usize = 10_000;

/// The results of a move.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Messages sent to the work queue.
    pub sent: usize,
    /// Messages that became dead letters during the move. They are not sent again, because that might never end.
    pub died_since: usize,
    /// Messages that were sent but could not be deleted. The next move sends them again; they are counted once.
    pub not_deleted: usize,
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

/// Sends all dead letters to the work queue, and deletes them from the dead-letter queue. At any time, each message is in
/// at least one of the two queues.
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

/// A message move task of SQS.
#[derive(Debug, PartialEq, Eq)]
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

/// Starts a message move task. `None` if this SQS does not support it.
async fn start_task(
    dead: &Queue,
    work: &Queue,
    rate: Option<NonZeroU32>,
) -> Result<Option<Task>, QueueError> {
    match start(dead, work, rate).await {
        Ok(task) => Ok(Some(task)),
        Err(error) if is_unknown(&error) => {
            tracing::debug!(%error, "no move tasks here");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn start(dead: &Queue, work: &Queue, rate: Option<NonZeroU32>) -> Result<Task, QueueError> {
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

/// Whether the operation is not supported. Other errors would not be solved by moving messages one by one.
fn is_unknown(error: &QueueError) -> bool {
    const UNKNOWN: [&str; 4] = [
        "InvalidAction",
        "UnknownOperation",
        "UnsupportedOperation",
        "NotImplemented",
    ];
    let code = error.code.as_deref().unwrap_or_default();
    // Some servers also report a second task on the same queue as unsupported.
    UNKNOWN.iter().any(|part| code.contains(part)) && !error.to_string().contains("already")
}

/// Waits for the task to end. Returns the number of messages that it moved.
async fn watch(
    dead: &Queue,
    task: &Task,
    poll: Duration,
    progress: &mut dyn Progress,
) -> Result<usize> {
    let goes_on = "SQS moves the messages, and goes on by itself, but how far it is can't be told";
    let (mut found, mut done, mut unlisted) = (0, 0, 0);
    loop {
        let tasks = tasks(dead).await.context(goes_on)?;
        let Some(task) = tasks.iter().find(|listed| task.is(listed)) else {
            unlisted += 1;
            if unlisted == UNLISTED_MAX {
                bail!("{goes_on}: {} does not list the task", dead.url());
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

/// Messages that were received and are to stay in the queue.
#[derive(Default)]
struct Held {
    /// The latest receipt handle of each message, by message id.
    receipts: HashMap<String, String>,
}

impl Held {
    fn hold(&mut self, message: Message) {
        self.receipts.insert(message.id, message.receipt);
    }

    /// Makes the messages visible again now, without waiting for their visibility timeout.
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

/// Receives, sends and deletes messages in batches.
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
        if held.receipts.len() >= HELD_MAX {
            bail!(
                "more than {HELD_MAX} messages have come to the dead-letter queue since this began; \
                 stop what fails there, and run it again"
            );
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
    let undone = outbox::send(work, &bodies, Policy::REQUEST).await;
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
    // A refused body would be refused again: whoever sent it to the queue must check it.
    if let Some((at, refusal)) = undone.refused.first() {
        bail!("the message {} can't be sent: {refusal}", messages[*at].id);
    }
    undone.failure.map_or(Ok(()), Err)
}

/// Deletes messages. Returns how many could not be deleted.
async fn delete(queue: &Queue, mut receipts: Vec<&str>) -> Result<usize> {
    let queue = queue.once();
    let mut retries = Policy::REQUEST.begin(format!("deletions from {}", queue.url()));
    let mut refused_for_good = 0;
    loop {
        let (cause, left) = match queue.delete(&receipts).await {
            Ok(undone) => {
                let (for_good, again): (Vec<_>, Vec<_>) = undone
                    .into_iter()
                    .partition(|(_, refusal)| refusal.is_final);
                refused_for_good += for_good.len();
                receipts = again.iter().map(|(at, _)| receipts[*at]).collect();
                let left = refused_for_good + receipts.len();
                match again.into_iter().next() {
                    None => return Ok(left),
                    Some((_, refusal)) => (refusal.to_string(), Ok(left)),
                }
            }
            Err(error) if !outbox::may_pass(&error) => return Err(error.into()),
            Err(error) => (error.to_string(), Err(error.into())),
        };
        if !retries.wait(cause).await {
            return left;
        }
    }
}

/// Passes the log files of all dead letters to `each`. The messages stay in the queue.
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

    fn error(code: &str, message: &str) -> Answer {
        Answer::new(400, json!({"__type": code, "message": message}).to_string())
    }

    fn queues(sqs: &FakeS3) -> (Queue, Queue) {
        (
            Queue::at(&sqs.endpoint, "dead"),
            Queue::at(&sqs.endpoint, "work"),
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
        let task = start_task(&dead, &work, NonZeroU32::new(1000))
            .await
            .unwrap()
            .unwrap();
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
    async fn only_where_there_are_no_tasks_they_are_done_without() {
        let started = async |code: &'static str, message: &'static str| {
            let sqs = FakeS3::start(move |before, _| match before {
                0 if !message.is_empty() => Answer::new(200, "{}"),
                _ => error(code, message),
            });
            let (dead, work) = queues(&sqs);
            start_task(&dead, &work, None).await
        };
        for code in [
            "InvalidAction",
            "UnknownOperationException",
            "AWS.SimpleQueueService.UnsupportedOperation",
        ] {
            assert_eq!(started(code, "no").await.unwrap(), None, "{code}");
            assert_eq!(started(code, "").await.unwrap(), None, "{code}");
        }
        for (code, message) in [
            ("AccessDeniedException", "no"),
            (
                "InvalidParameterValue",
                "Source queue must be configured as a Dead Letter Queue.",
            ),
            ("ResourceNotFoundException", "no"),
            ("UnsupportedOperation", "There is already a task running."),
        ] {
            let refused = started(code, message).await.unwrap_err().to_string();
            assert!(refused.contains(code), "{refused}");
        }
    }

    /// Moves one message through a fake SQS that refuses the operation `refused`. Returns the result and the requests.
    async fn moved_by_hand(refused: &'static str) -> (Result<Moved>, Vec<String>) {
        let sqs = FakeS3::start(move |before, request| {
            let failed = json!({"Failed": [{"Id": "0", "Code": "Refused", "SenderFault": true}], "Successful": []});
            let done = json!({"Failed": [], "Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "0"}]});
            let operation = operation(request);
            let answer = match operation.as_str() {
                "ReceiveMessage" if before == 0 => json!({"Messages": [
                    {"MessageId": "m", "ReceiptHandle": "r", "Body": "b", "Attributes": {"SentTimestamp": "1"}}
                ]}),
                "ReceiveMessage" => json!({}),
                operation if operation == refused => failed,
                _ => done,
            };
            Answer::new(200, answer.to_string())
        });
        let (dead, work) = queues(&sqs);
        let moved = move_each(&dead, &work, Pace::new(None), &mut Count::default()).await;
        (moved, sqs.requests().iter().map(operation).collect())
    }

    #[tokio::test]
    async fn a_message_is_deleted_once_it_is_sent_and_else_given_back() {
        let (moved, asked) = moved_by_hand("").await;
        assert_eq!(moved.unwrap().sent, 1);
        assert_eq!(
            asked,
            [
                "ReceiveMessage",
                "SendMessageBatch",
                "DeleteMessageBatch",
                "ReceiveMessage"
            ]
        );

        let (moved, asked) = moved_by_hand("SendMessageBatch").await;
        let error = format!("{:#}", moved.unwrap_err());
        assert!(error.contains("the message m can't be sent"), "{error}");
        assert_eq!(
            asked,
            [
                "ReceiveMessage",
                "SendMessageBatch",
                "ChangeMessageVisibilityBatch"
            ]
        );

        let (moved, asked) = moved_by_hand("DeleteMessageBatch").await;
        let moved = moved.unwrap();
        assert_eq!((moved.sent, moved.not_deleted), (1, 1));
        assert_eq!(asked.len(), 2 + 1 + 1);
    }
}
