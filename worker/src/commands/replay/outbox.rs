//! Sends messages to a queue: ten per request, in several concurrent requests, at a limited rate, with retries.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use logmill_object_io::Policy;
use logmill_shared::sqs::BATCH_MAX;
use logmill_shared::{LogFile, notification};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::intake::queue::{Queue, QueueError, Refusal};
use crate::intake::sqs_queue::SqsQueue;

/// Number of concurrent requests. Each takes SQS about 20 ms, so they send thousands of messages per second.
const REQUESTS_AT_ONCE: usize = 8;

/// Limits the number of messages per second.
struct RateLimit {
    rate: Option<NonZeroU32>,
    next: Instant,
}

impl RateLimit {
    fn new(rate: Option<NonZeroU32>) -> Self {
        Self {
            rate,
            next: Instant::now(),
        }
    }

    /// Messages per request: at most one second's worth. Otherwise a rate of one per second would send ten at once.
    fn batch(&self) -> usize {
        let rate = self.rate.map_or(BATCH_MAX, |rate| rate.get() as usize);
        rate.min(BATCH_MAX)
    }

    /// Waits until this many messages may be sent.
    async fn wait(&mut self, messages: usize) {
        let Some(rate) = self.rate else { return };
        // Delays are not made up for, because that would cause a burst.
        let begin = self.next.max(Instant::now());
        self.next = begin + Duration::from_secs_f64(messages as f64 / f64::from(rate.get()));
        sleep_until(begin).await;
    }
}

/// Messages that were not sent, by their indices.
#[derive(Debug, Default)]
struct Undone {
    /// Messages that the queue refuses permanently.
    refused: Vec<(usize, Refusal)>,
    /// Messages that were given up.
    given_up: Vec<usize>,
    /// Why they were given up. The queue would not accept other messages either.
    failure: Option<anyhow::Error>,
}

impl Undone {
    fn places(&self) -> impl Iterator<Item = usize> {
        let refused = self.refused.iter().map(|(at, _)| *at);
        refused.chain(self.given_up.iter().copied())
    }
}

/// Sends up to ten messages, and retries those that have not arrived. If a response is lost, a message is sent twice: send
/// only messages whose duplicates are harmless.
async fn send(queue: &SqsQueue, bodies: &[String], policy: Policy) -> Undone {
    let queue = queue.once();
    let mut undone = Undone::default();
    let mut left: Vec<usize> = (0..bodies.len()).collect();
    let mut retries = policy.begin(format!("sending messages to {}", queue.url()));
    loop {
        let batch: Vec<String> = left.iter().map(|&at| bodies[at].clone()).collect();
        let (problem, may_pass) = match queue.send(&batch).await {
            Ok(answer) => {
                let answer = answer.into_iter().map(|(at, refusal)| (left[at], refusal));
                let (for_good, again): (Vec<_>, Vec<_>) =
                    answer.partition(|(_, refusal)| refusal.is_final);
                undone.refused.extend(for_good);
                left = again.iter().map(|(at, _)| *at).collect();
                match again.into_iter().next() {
                    None => break,
                    Some((_, refusal)) => (anyhow::Error::new(refusal), true),
                }
            }
            Err(error) => {
                let may_pass = may_pass(&error);
                (error.into(), may_pass)
            }
        };
        if !may_pass || !retries.wait(format!("{problem:#}")).await {
            undone.given_up = left;
            undone.failure = Some(match may_pass {
                true => problem.context(format!("given up after {} attempts", policy.attempts)),
                false => problem,
            });
            break;
        }
    }
    undone
}

/// Whether the same request may succeed later. If the request is at fault, SQS gives an error code; without a code it is a
/// network error.
fn may_pass(error: &QueueError) -> bool {
    const PASSING: [&str; 5] = ["Throttl", "Internal", "Unavailable", "OverLimit", "Timeout"];
    error
        .code
        .as_ref()
        .is_none_or(|code| PASSING.iter().any(|part| code.contains(part)))
}

/// Log files to be sent, one per message. So a log file that can't be read does not keep others from being acknowledged.
pub(crate) struct Outbox<'a> {
    queue: &'a SqsQueue,
    limit: RateLimit,
    waiting: Vec<LogFile>,
    under_way: JoinSet<Outcome>,
    policy: Policy,
    sent: usize,
    unsent: Vec<String>,
    has_failed: bool,
}

/// The result of one request.
struct Outcome {
    log_files: Vec<LogFile>,
    undone: Undone,
}

impl<'a> Outbox<'a> {
    pub(crate) fn new(queue: &'a SqsQueue, rate: Option<NonZeroU32>) -> Self {
        Self {
            queue,
            limit: RateLimit::new(rate),
            waiting: Vec::with_capacity(BATCH_MAX),
            under_way: JoinSet::new(),
            policy: Policy::REQUEST,
            sent: 0,
            unsent: Vec::new(),
            has_failed: false,
        }
    }

    /// Whether the queue no longer accepts messages. Nothing more must be sent then.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Number of log files that were sent.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Adds a log file to be sent. Returns how many were sent since the last call.
    pub(crate) async fn send(&mut self, log_file: LogFile) -> Result<usize> {
        self.waiting.push(log_file);
        match self.waiting.len() < self.limit.batch() {
            true => Ok(0),
            false => self.flush().await,
        }
    }

    /// Waits for all requests to complete. Returns how many log files were sent since the last call. The error lists those
    /// that were not sent.
    pub(crate) async fn finish(&mut self) -> Result<usize> {
        let mut arrived = self.flush().await?;
        while !self.under_way.is_empty() {
            arrived += self.next().await?;
        }
        match self.unsent.len() {
            0 => Ok(arrived),
            unsent => bail!(
                "{} log files were sent; the queue refused {unsent}:\n  {}",
                self.sent,
                self.unsent.join("\n  ")
            ),
        }
    }

    async fn flush(&mut self) -> Result<usize> {
        let log_files = std::mem::take(&mut self.waiting);
        if log_files.is_empty() {
            return Ok(0);
        }
        let mut arrived = 0;
        while self.under_way.len() >= REQUESTS_AT_ONCE {
            arrived += self.next().await?;
        }
        self.limit.wait(log_files.len()).await;
        let (queue, policy) = (self.queue.clone(), self.policy);
        self.under_way.spawn(async move {
            let bodies: Vec<String> = log_files
                .iter()
                .map(|log_file| notification::message([log_file]))
                .collect();
            let undone = send(&queue, &bodies, policy).await;
            Outcome { log_files, undone }
        });
        Ok(arrived)
    }

    /// Waits for the next request to complete. Returns how many log files it has sent.
    async fn next(&mut self) -> Result<usize> {
        let Some(outcome) = self.under_way.join_next().await else {
            return Ok(0);
        };
        let before = self.sent;
        let Some(failure) = self.add(outcome.context("sending failed")?) else {
            return Ok(self.sent - before);
        };
        self.has_failed = true;
        // Later requests would fail the same way, each after the same wait. But those in progress may succeed.
        while let Some(outcome) = self.under_way.join_next().await {
            self.add(outcome.context("sending failed")?);
        }
        Err(failure.context(format!(
            "{} log files were sent; these and all later ones were not:\n  {}\nFix the cause, then run the command \
             again: a log file that is sent twice is counted once. The cause",
            self.sent,
            self.unsent.join("\n  ")
        )))
    }

    /// Adds the result of a request. Returns an error if the queue does not accept messages.
    fn add(&mut self, outcome: Outcome) -> Option<anyhow::Error> {
        let Outcome { log_files, undone } = outcome;
        self.sent += log_files.len() - undone.places().count();
        let refused = undone.refused.iter();
        let refused = refused.map(|(at, refusal)| format!("{}: {refusal}", log_files[*at]));
        let given_up = undone.given_up.iter().map(|at| log_files[*at].to_string());
        self.unsent.extend(refused.chain(given_up));
        undone.failure
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::fake_s3::{Answer, FakeS3};

    const SOON: Policy = Policy {
        attempts: 8,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(10),
    };

    fn bodies(request: &str) -> Vec<String> {
        let request: Value = serde_json::from_str(request).unwrap();
        let entries = request["Entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["MessageBody"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The response to a batch. For each refused message, `refuse` returns the error code, and whether it is permanent.
    fn answer(request: &str, refuse: impl Fn(&str) -> Option<(&'static str, bool)>) -> Answer {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for (at, body) in bodies(request).iter().enumerate() {
            let id = at.to_string();
            match refuse(body) {
                None => {
                    done.push(json!({"Id": id, "MessageId": id, "MD5OfMessageBody": md5(body)}))
                }
                Some((code, is_final)) => {
                    failed.push(json!({"Id": id, "Code": code, "SenderFault": is_final}))
                }
            }
        }
        Answer::new(
            200,
            json!({"Successful": done, "Failed": failed}).to_string(),
        )
    }

    /// The SDK does not check it.
    fn md5(_: &str) -> String {
        "0".repeat(32)
    }

    fn log_file(number: usize) -> LogFile {
        LogFile::in_bucket("logs", &format!("{number}.log"))
    }

    async fn send_all(queue: &SqsQueue, count: usize) -> (Result<usize>, usize) {
        let mut outbox = Outbox::new(queue, None);
        outbox.policy = SOON;
        let mut arrived = 0;
        let mut all = async || {
            for number in 0..count {
                arrived += outbox.send(log_file(number)).await?;
            }
            arrived += outbox.finish().await?;
            Ok(arrived)
        };
        let outcome = all().await;
        (outcome, outbox.sent())
    }

    #[tokio::test]
    async fn what_was_not_taken_is_sent_again_and_nothing_else() {
        let seen: Mutex<Vec<String>> = Mutex::default();
        let sqs = FakeS3::start(move |_, request| {
            answer(&request.body, |body| {
                let mut seen = seen.lock().unwrap();
                seen.push(body.to_owned());
                // Messages with a 7 are accepted at the third attempt.
                let attempts = seen.iter().filter(|other| *other == body).count();
                (body.contains('7') && attempts < 3).then_some(("InternalError", false))
            })
        });
        let (outcome, sent) = send_all(&SqsQueue::at(&sqs.endpoint, "work"), 95).await;
        assert_eq!((outcome.unwrap(), sent), (95, 95));
        let mut asked: Vec<String> = sqs
            .requests()
            .iter()
            .flat_map(|request| bodies(&request.body))
            .collect();
        let sevens = (0..95)
            .filter(|number: &usize| number.to_string().contains('7'))
            .count();
        assert_eq!(asked.len(), 95 + 2 * sevens);
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), 95);
        assert!(asked[0].contains(r#"["s3://logs/0.log"]"#), "{}", asked[0]);
    }

    #[tokio::test]
    async fn what_is_refused_for_good_is_named_and_the_others_go() {
        let sqs = FakeS3::start(|_, request| {
            answer(&request.body, |body| {
                body.contains("/5.log")
                    .then_some(("InvalidMessageContents", true))
            })
        });
        let (outcome, sent) = send_all(&SqsQueue::at(&sqs.endpoint, "work"), 30).await;
        let error = format!("{:#}", outcome.unwrap_err());
        assert_eq!(sent, 29);
        assert!(error.contains("29 log files were sent"), "{error}");
        assert!(
            error.contains("s3://logs/5.log: SQS returned InvalidMessageContents"),
            "{error}"
        );
        assert_eq!(error.matches("s3://").count(), 1, "{error}");
    }

    #[tokio::test]
    async fn a_queue_that_takes_nothing_is_given_up() {
        let sqs = FakeS3::start(|_, request| match request.body.contains("/15.log") {
            true => Answer::new(503, ""),
            false => answer(&request.body, |_| None),
        });
        let (outcome, sent) = send_all(&SqsQueue::at(&sqs.endpoint, "work"), 30).await;
        let error = format!("{:#}", outcome.unwrap_err());
        assert_eq!(sent, 20);
        assert!(
            error.contains("20 log files were sent; these and all later ones were not"),
            "{error}"
        );
        assert_eq!(error.matches("s3://logs/1").count(), 10, "{error}");
        assert!(error.contains("given up after 8 attempts"), "{error}");
        assert_eq!(sqs.requests().len(), 2 + SOON.attempts as usize);

        // Errors that a retry can't resolve are not retried.
        let denied = r#"{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}"#;
        let sqs = FakeS3::start(move |_, _| Answer::new(403, denied));
        let (outcome, _) = send_all(&SqsQueue::at(&sqs.endpoint, "work"), 10).await;
        let error = format!("{:#}", outcome.unwrap_err());
        assert!(error.contains("need sqs:SendMessage"), "{error}");
        assert_eq!(sqs.requests().len(), 1);
    }

    #[tokio::test]
    async fn no_more_is_sent_than_the_rate_allows() {
        let begin = Instant::now();
        let mut limit = RateLimit::new(NonZeroU32::new(100));
        for _ in 0..4 {
            limit.wait(10).await;
        }
        // The first batch is sent immediately.
        assert!(
            begin.elapsed() >= Duration::from_millis(300),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(RateLimit::new(NonZeroU32::new(3)).batch(), 3);
        assert_eq!(
            (
                RateLimit::new(NonZeroU32::new(99)).batch(),
                RateLimit::new(None).batch()
            ),
            (10, 10)
        );
    }
}
