//! Delivery to a queue: one message per log file, so that an unreadable log file goes to the dead-letter queue alone.

use std::collections::HashSet;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message_batch::{SendMessageBatchError, SendMessageBatchOutput};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures::StreamExt;
use futures::stream;
use logmill_shared::LogFile;
use logmill_shared::notification;
use logmill_shared::sqs::{BATCH_MAX, QueueUrl};
use tokio::time::{Instant, timeout};

use super::{SendError, Sender, Undelivered, insist};

/// Maximum concurrent requests. An event nearly always has one record; a hundred requests of ten messages would only be
/// throttled.
const BATCHES_MAX: usize = 4;

/// Maximum time of one request. SQS answers in a few hundredths of a second; a longer wait means that the connection is
/// dead, and the time is better spent on another.
const REQUEST_MAX: Duration = Duration::from_secs(5);

pub(crate) struct QueueSender {
    client: Client,
    url: String,
}

impl QueueSender {
    /// Uses the function's credentials. Sends no request to AWS yet.
    pub(crate) async fn new(url: QueueUrl) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(REQUEST_MAX);
        let mut config =
            aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts.build());
        if let Some(region) = url.region() {
            config = config.region(Region::new(region.to_owned()));
        }
        if let Ok(name) = AppName::new("logmill") {
            config = config.app_name(name);
        }
        // A single attempt, because [`insist`] retries; but the adaptive mode still slows down when SQS throttles.
        let mut config = aws_sdk_sqs::config::Builder::from(&config.load().await)
            .retry_config(RetryConfig::adaptive().with_max_attempts(1));
        if url.is_fips() {
            config = config.use_fips(true);
        }
        if url.is_dual_stack() {
            config = config.use_dual_stack(true);
        }
        if let Some(endpoint) = url.vpc_endpoint() {
            config = config.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(config.build()),
            url: url.as_str().to_owned(),
        }
    }

    async fn send_batch(&self, batch: &[LogFile], left: Duration) -> Vec<Undelivered> {
        let messages = batch.iter().enumerate().map(|(at, log_file)| {
            SendMessageBatchRequestEntry::builder()
                .id(at.to_string())
                .message_body(notification::message([log_file]))
                .build()
        });
        let messages = match messages.collect::<Result<_, _>>() {
            Ok(messages) => messages,
            Err(error) => return all(batch, &SendError::Refused(error.to_string())),
        };
        let request = self
            .client
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(messages));
        match timeout(left, request.send()).await {
            Ok(Ok(answer)) => unsent(batch, &answer),
            Ok(Err(error)) => all(batch, &verdict(&error)),
            Err(_) => {
                let why = "timeout: no response from SQS in the remaining time".to_owned();
                all(batch, &SendError::Unavailable { why, pause: None })
            }
        }
    }
}

impl Sender for QueueSender {
    async fn send(&self, log_files: &[LogFile], deadline: Instant) -> Vec<Undelivered> {
        let batches = log_files.chunks(BATCH_MAX).map(|batch| {
            insist(batch.to_vec(), deadline, async |batch, left| {
                self.send_batch(batch, left).await
            })
        });
        let outcomes: Vec<_> = stream::iter(batches)
            .buffer_unordered(BATCHES_MAX)
            .collect()
            .await;
        outcomes.concat()
    }
}

/// The log files that were not sent. A request succeeds even if some or all of its messages were not accepted.
fn unsent(batch: &[LogFile], answer: &SendMessageBatchOutput) -> Vec<Undelivered> {
    let sent: HashSet<&str> = answer.successful().iter().map(|sent| sent.id()).collect();
    let unsent = batch.iter().enumerate().filter_map(|(at, log_file)| {
        let id = at.to_string();
        if sent.contains(id.as_str()) {
            return None;
        }
        let failed = answer.failed().iter().find(|failed| failed.id() == id);
        let why = match failed {
            Some(failed) => {
                let why = format!(
                    "SQS returned {}",
                    said(Some(failed.code()), failed.message())
                );
                match failed.sender_fault() {
                    true => SendError::Refused(why),
                    false => SendError::Unavailable { why, pause: None },
                }
            }
            None => SendError::Unavailable {
                why: "SQS returned no result for this message".to_owned(),
                pause: None,
            },
        };
        Some(Undelivered {
            log_file: log_file.clone(),
            why,
        })
    });
    unsent.collect()
}

/// Decides how to treat a request that failed.
fn verdict(error: &SdkError<SendMessageBatchError>) -> SendError {
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let throttled = error.code().is_some_and(|code| code.contains("Throttl"));
    match (status, error.code()) {
        (Some(400..=499), code) if !throttled => {
            SendError::Refused(format!("SQS returned {}", said(code, error.message())))
        }
        (Some(_), code) => SendError::Unavailable {
            why: format!("SQS returned {}", said(code, error.message())),
            pause: None,
        },
        (None, _) => SendError::Unavailable {
            why: format!("no response from SQS: {}", DisplayErrorContext(error)),
            pause: None,
        },
    }
}

fn said(code: Option<&str>, message: Option<&str>) -> String {
    let code = code.unwrap_or("no error code");
    message.map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"))
}

fn all(batch: &[LogFile], why: &SendError) -> Vec<Undelivered> {
    let undelivered = batch.iter().map(|log_file| Undelivered {
        log_file: log_file.clone(),
        why: why.clone(),
    });
    undelivered.collect()
}
