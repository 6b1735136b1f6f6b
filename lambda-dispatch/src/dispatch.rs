//! One invocation: from the event to the delivery of its log files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use logmill_shared::LogFile;
use logmill_shared::notification::{
    self, Notification, NotificationError, QueuedMessage, Selection,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::sender::{Sender, Undelivered};

pub(crate) struct Dispatcher<S> {
    pub(crate) selection: Selection,
    pub(crate) sender: S,
}

/// The outcome of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The number of log files that were delivered.
    pub(crate) sent: usize,
    /// Parts of the event that are not for the workers, counted by reason.
    pub(crate) left_out: BTreeMap<&'static str, usize>,
    /// Log files whose delivery was not confirmed.
    pub(crate) undelivered: Vec<Undelivered>,
    /// Messages that failed, if the event was a batch of messages from a queue.
    pub(crate) failed_messages: Option<Vec<FailedMessage>>,
}

/// A message of a batch that SQS must redeliver.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FailedMessage {
    /// Its id.
    pub(crate) id: String,
    /// The reason that it failed.
    pub(crate) why: String,
}

/// An event that failed. Lambda invokes the function with it again, by default twice, and then sends it to the
/// dead-letter queue or failure destination. The same applies to permanent errors: an event that was only logged here
/// could not be sent again after its cause is fixed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    #[error("the event is not understood: {0}")]
    NotUnderstood(#[from] NotificationError),
    /// Some log files were not delivered. Those that were delivered will be sent again, and are counted once.
    #[error("{} of {} log files could not be delivered: {}", .0.undelivered.len(), .0.sent + .0.undelivered.len(), Few(&.0.undelivered))]
    Undelivered(Report),
}

impl DispatchError {
    /// The error's name, for metrics and alarms.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NotUnderstood(_) => "NotUnderstood",
            Self::Undelivered(_) => "Undelivered",
        }
    }
}

/// Shows the first of many log files, for a message that must stay short.
struct Few<'a>(&'a [Undelivered]);

impl fmt::Display for Few<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.first();
        first.map_or(Ok(()), |first| write!(f, "{first}"))?;
        match self.0.len() {
            0 | 1 => Ok(()),
            many => write!(f, "; and {} more", many - 1),
        }
    }
}

impl<S: Sender> Dispatcher<S> {
    /// Sends the log files that the event announces. `Ok` means that all were delivered, except those of the batch's
    /// messages that the report names: SQS redelivers these messages, and deletes the others.
    pub(crate) async fn dispatch(
        &self,
        event: &Value,
        deadline: Instant,
    ) -> Result<Report, DispatchError> {
        match notification::from_sqs(event) {
            Some(messages) => self.dispatch_batch(messages, deadline).await,
            None => self.dispatch_whole(event, deadline).await,
        }
    }

    async fn dispatch_whole(
        &self,
        event: &Value,
        deadline: Instant,
    ) -> Result<Report, DispatchError> {
        let mut report = Report::default();
        let log_files = self.select(notification::from_json(event)?, &mut report);
        self.send(&log_files, deadline, &mut report).await;
        match report.undelivered.is_empty() {
            true => Ok(report),
            false => Err(DispatchError::Undelivered(report)),
        }
    }

    /// Fails the invocation if all messages have failed. They are then redelivered even if the trigger lacks
    /// `ReportBatchItemFailures`, and Lambda counts an error.
    async fn dispatch_batch(
        &self,
        messages: Vec<QueuedMessage>,
        deadline: Instant,
    ) -> Result<Report, DispatchError> {
        let count = messages.len();
        let (mut report, mut failed) = (Report::default(), Vec::new());
        let mut not_understood = None;
        let mut understood = Vec::new();
        for QueuedMessage { id, notification } in messages {
            match notification {
                Ok(notification) => understood.push((id, self.select(notification, &mut report))),
                Err(error) => {
                    let why = format!("not understood: {error}");
                    failed.push(FailedMessage { id, why });
                    not_understood.get_or_insert(error);
                }
            }
        }
        // Several messages may name the same log file.
        let log_files: BTreeSet<&LogFile> =
            understood.iter().flat_map(|(_, files)| files).collect();
        let log_files: Vec<LogFile> = log_files.into_iter().cloned().collect();
        self.send(&log_files, deadline, &mut report).await;

        let undelivered: HashMap<&LogFile, &Undelivered> = report
            .undelivered
            .iter()
            .map(|each| (&each.log_file, each))
            .collect();
        for (id, log_files) in &understood {
            if let Some(each) = log_files.iter().find_map(|file| undelivered.get(file)) {
                let (id, why) = (id.clone(), each.to_string());
                failed.push(FailedMessage { id, why });
            }
        }
        match not_understood {
            _ if failed.len() < count => {
                report.failed_messages = Some(failed);
                Ok(report)
            }
            Some(error) if report.undelivered.is_empty() => Err(error.into()),
            _ => Err(DispatchError::Undelivered(report)),
        }
    }

    /// The log files that match the selection.
    fn select(&self, mut notification: Notification, report: &mut Report) -> Vec<LogFile> {
        notification.select(&self.selection);
        for part in &notification.left_out {
            tracing::debug!(uri = part.uri, why = %part.why, "left out");
            *report.left_out.entry(part.why.name()).or_default() += 1;
        }
        let announced = notification.log_files.into_iter();
        announced.map(|announced| announced.log_file).collect()
    }

    async fn send(&self, log_files: &[LogFile], deadline: Instant, report: &mut Report) {
        report.undelivered = self.sender.send(log_files, deadline).await;
        report.sent = log_files.len() - report.undelivered.len();
    }
}

impl Report {
    /// The function's response. S3, SNS and EventBridge ignore it. SQS's event source mapping reads which messages failed
    /// (`batchItemFailures`, if its `FunctionResponseTypes` has `ReportBatchItemFailures`). A manual invocation shows it.
    pub(crate) fn into_json(self) -> Value {
        let mut answer = json!({"sent": self.sent, "left_out": self.left_out});
        if let Some(failed) = self.failed_messages {
            let failed = failed.iter();
            let failed: Vec<Value> = failed
                .map(|each| json!({"itemIdentifier": each.id}))
                .collect();
            answer["batchItemFailures"] = failed.into();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::sender::SendError;

    /// Records what was sent, and refuses log files with `bad` in their name.
    #[derive(Default)]
    struct FakeSender(Mutex<Vec<String>>);

    impl Sender for FakeSender {
        async fn send(&self, log_files: &[LogFile], _: Instant) -> Vec<Undelivered> {
            let (bad, good): (Vec<_>, Vec<_>) = log_files
                .iter()
                .cloned()
                .partition(|file| file.name().contains("bad"));
            let good = good.iter().map(|file| file.uri().to_owned());
            self.0.lock().unwrap().extend(good);
            bad.into_iter()
                .map(|log_file| Undelivered {
                    log_file,
                    why: SendError::Refused("422".to_owned()),
                })
                .collect()
        }
    }

    async fn dispatch(event: Value) -> (Result<Report, DispatchError>, Vec<String>) {
        let dispatcher = Dispatcher {
            selection: Selection {
                suffixes: vec![".gz".to_owned()],
                ..Selection::default()
            },
            sender: FakeSender::default(),
        };
        let deadline = Instant::now() + Duration::from_secs(1);
        let outcome = dispatcher.dispatch(&event, deadline).await;
        (outcome, dispatcher.sender.0.into_inner().unwrap())
    }

    fn event(parts: &[(&str, &str)]) -> Value {
        let records: Vec<Value> = parts
            .iter()
            .map(|(event, key)| {
                json!({"eventName": event, "s3": {"bucket": {"name": "b"}, "object": {"key": key}}})
            })
            .collect();
        json!({ "Records": records })
    }

    #[tokio::test]
    async fn logs_are_sent_and_the_rest_is_counted() {
        let (outcome, sent) = dispatch(event(&[
            ("ObjectCreated:Put", "a+b.gz"),
            ("ObjectCreated:Put", "ELBAccessLogTestFile"),
            ("ObjectCreated:Put", "c.txt"),
            ("ObjectCreated:Put", "d.txt"),
            ("ObjectRemoved:Delete", "e.gz"),
            ("ObjectCreated:Put", "f.gz"),
        ]))
        .await;
        assert_eq!(sent, ["s3://b/a b.gz", "s3://b/f.gz"]);
        let report = outcome.unwrap();
        assert_eq!(report.sent, 2);
        let left_out = [("not_selected", 2), ("other_event", 1), ("test_object", 1)];
        assert_eq!(report.left_out, left_out.into());
        assert_eq!(
            report.into_json(),
            json!({"sent": 2, "left_out": {"not_selected": 2, "other_event": 1, "test_object": 1}})
        );
    }

    #[tokio::test]
    async fn what_did_not_arrive_fails_the_event_and_the_others_are_sent() {
        let (outcome, sent) = dispatch(event(&[
            ("ObjectCreated:Put", "bad.gz"),
            ("ObjectCreated:Put", "a.gz"),
            ("ObjectCreated:Put", "bad2.gz"),
        ]))
        .await;
        assert_eq!(sent, ["s3://b/a.gz"]);
        let error = outcome.unwrap_err();
        assert_eq!(error.name(), "Undelivered");
        assert_eq!(
            error.to_string(),
            "2 of 3 log files could not be delivered: s3://b/bad.gz: refused: 422; and 1 more"
        );
    }

    fn batch(bodies: &[Value]) -> Value {
        let records = bodies.iter().enumerate().map(|(at, body)| {
            json!({"messageId": format!("m{at}"), "eventSource": "aws:sqs", "body": body.to_string()})
        });
        json!({"Records": records.collect::<Vec<_>>()})
    }

    #[tokio::test]
    async fn of_a_batch_only_the_messages_that_failed_come_again() {
        let put = |keys: &[&str]| {
            let parts: Vec<_> = keys.iter().map(|key| ("ObjectCreated:Put", *key)).collect();
            event(&parts)
        };
        let (outcome, sent) = dispatch(batch(&[
            put(&["a.gz", "b.gz"]),
            put(&["c.gz", "bad.gz"]),
            json!({"hello": "world"}),
            put(&["a.gz", "d.txt"]),
            put(&["bad.gz"]),
        ]))
        .await;
        assert_eq!(sent, ["s3://b/a.gz", "s3://b/b.gz", "s3://b/c.gz"]);
        let report = outcome.unwrap();
        assert_eq!((report.sent, report.undelivered.len()), (3, 1));
        let failed = report.failed_messages.as_ref().unwrap();
        assert!(failed[0].why.contains("an object with hello"), "{failed:?}");
        assert!(failed[1].why.contains("bad.gz: refused"), "{failed:?}");
        let ids = ["m2", "m1", "m4"].map(|id| json!({"itemIdentifier": id}));
        assert_eq!(
            report.into_json(),
            json!({"sent": 3, "left_out": {"not_selected": 1}, "batchItemFailures": ids})
        );

        let (outcome, _) = dispatch(batch(&[put(&["a.gz"])])).await;
        assert_eq!(outcome.unwrap().into_json()["batchItemFailures"], json!([]));
    }

    #[tokio::test]
    async fn a_batch_of_which_nothing_is_done_fails() {
        let bad = event(&[("ObjectCreated:Put", "bad.gz")]);
        let (outcome, _) = dispatch(batch(&[bad, json!(3)])).await;
        assert_eq!(outcome.unwrap_err().name(), "Undelivered");
        let (outcome, _) = dispatch(batch(&[json!(3)])).await;
        assert_eq!(outcome.unwrap_err().name(), "NotUnderstood");
    }

    #[tokio::test]
    async fn an_event_that_is_not_understood_fails() {
        let (outcome, sent) = dispatch(json!({"hello": "world"})).await;
        assert!(sent.is_empty());
        let error = outcome.unwrap_err();
        assert_eq!(error.name(), "NotUnderstood");
        assert!(
            error.to_string().contains("an object with hello"),
            "{error}"
        );
    }
}
