//! One invocation: from the event to what was sent.

use std::collections::BTreeMap;
use std::fmt;

use logmill_shared::LogFile;
use logmill_shared::notification::{self, NotificationError, Selection};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::sender::{Sender, Undelivered};

pub(crate) struct Dispatcher<S> {
    pub(crate) selection: Selection,
    pub(crate) sender: S,
}

/// What was done with an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Log files that have arrived.
    pub(crate) sent: usize,
    /// Parts of the event that concern no worker, by the name of the reason.
    pub(crate) left_out: BTreeMap<&'static str, usize>,
}

/// An event that is not done with. Lambda invokes the function with it again, twice unless told otherwise, and then
/// gives it to the dead-letter queue or failure destination. That goes for errors that will come again as well: an
/// event that was given up here, in a log line, could not be sent again once its cause is mended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    #[error("the event is not understood: {0}")]
    NotUnderstood(#[from] NotificationError),
    #[error("{} of {} log files did not arrive: {}", undelivered.len(), report.sent + undelivered.len(), Few(undelivered))]
    Undelivered {
        /// Whatever was sent has arrived. It will be sent again with the others, and counts once.
        report: Report,
        undelivered: Vec<Undelivered>,
    },
}

impl DispatchError {
    /// A name to tell errors apart by, and to alarm on.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NotUnderstood(_) => "NotUnderstood",
            Self::Undelivered { .. } => "Undelivered",
        }
    }
}

/// The first of many, for a message that must stay short.
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
    /// Passes on what the event announces. `Ok` means that all of it has arrived.
    pub(crate) async fn dispatch(
        &self,
        event: &Value,
        deadline: Instant,
    ) -> Result<Report, DispatchError> {
        let mut notification = notification::from_json(event)?;
        notification.select(&self.selection);
        let mut report = Report::default();
        for part in &notification.left_out {
            tracing::debug!(uri = part.uri, why = %part.why, "left out");
            *report.left_out.entry(part.why.name()).or_default() += 1;
        }
        let announced = notification.log_files.into_iter();
        let log_files: Vec<LogFile> = announced.map(|announced| announced.log_file).collect();

        let undelivered = self.sender.send(&log_files, deadline).await;
        report.sent = log_files.len() - undelivered.len();
        match undelivered.is_empty() {
            true => Ok(report),
            false => Err(DispatchError::Undelivered {
                report,
                undelivered,
            }),
        }
    }
}

impl Report {
    /// What the function answers. S3, SNS and EventBridge ignore it; whoever invokes it by hand doesn't.
    pub(crate) fn into_json(self) -> Value {
        json!({"sent": self.sent, "left_out": self.left_out})
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::sender::SendError;

    /// Remembers what was sent, and refuses what has `bad` in its name.
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
            "2 of 3 log files did not arrive: s3://b/bad.gz: refused: 422; and 1 more"
        );
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
