//! An SQS queue. What to do with its messages is decided elsewhere.

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use logmill_shared::sqs::{BATCH_MAX, QueueUrl, QueueUrlError};

use url::Url;

use super::message::{Delivery, ReceivedMessage};
use super::queue::{Queue, QueueError, Refusal};
use crate::aws;
use logmill_object_io::Policy;

/// With a `maxReceiveCount` below this, messages that short-lived workers held become dead letters.
const FEW_RECEIVES: u64 = 3;

/// A queue that has answered at least once.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    /// The retry policy for requests about messages.
    retries: RetryConfig,
    url: String,
    arn: String,
    max_receive_count: Option<u64>,
}

/// The numbers of messages, as SQS counts them: approximately.
#[derive(Debug)]
pub(crate) struct QueueDepth {
    /// Those that can be received.
    pub(crate) waiting: u64,
    /// Those that some worker has.
    pub(crate) in_flight: u64,
    /// Those that can be received only later.
    pub(crate) delayed: u64,
    /// Those in the dead-letter queue; `None` if there is no such queue.
    pub(crate) dead: Option<Result<u64, QueueError>>,
}

impl SqsQueue {
    /// Checks that the queue exists and can be used.
    pub async fn open(url: &str) -> Result<Self, QueueError> {
        let wrong = |reason: String| QueueError {
            url: url.to_owned(),
            reason,
            code: None,
        };
        let parsed: QueueUrl = url
            .trim()
            .parse()
            .map_err(|error: QueueUrlError| wrong(error.to_string()))?;
        let config = aws::sdk_config().await;
        let client = aws::sqs_client(config, &parsed).map_err(|error| wrong(error.to_string()))?;
        let mut queue = Self {
            client,
            retries: Policy::REQUEST.of_sdk(),
            url: parsed.as_str().to_owned(),
            arn: String::new(),
            max_receive_count: None,
        };
        let mut attributes = queue.attributes().await?;
        queue.arn = attributes
            .remove(&QueueAttributeName::QueueArn)
            .unwrap_or_default();
        queue.max_receive_count = attributes
            .get(&QueueAttributeName::RedrivePolicy)
            .and_then(|policy| max_receive_count(policy));
        Ok(queue)
    }

    /// A queue at a given endpoint, for tests. Nothing is checked, and no request is retried.
    #[cfg(test)]
    pub(crate) fn at(endpoint: &str, name: &str) -> Self {
        use aws_sdk_sqs::config::{BehaviorVersion, Config, Credentials, Region};

        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-2"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled());
        Self {
            client: Client::from_conf(config.build()),
            retries: RetryConfig::disabled(),
            url: format!("{endpoint}/1/{name}"),
            arn: format!("arn:aws:sqs:us-east-2:1:{name}"),
            max_receive_count: None,
        }
    }

    fn retrying(&self) -> Builder {
        Builder::new().retry_config(self.retries.clone())
    }

    async fn attributes(&self) -> Result<HashMap<QueueAttributeName, String>, QueueError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::All)
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:GetQueueAttributes"))?;
        Ok(answer.attributes.unwrap_or_default())
    }

    /// The numbers of its messages, and of those in its dead-letter queue. Two requests, each sent once.
    ///
    /// # Errors
    ///
    /// The queue does not answer, or denies access. What the dead-letter queue answers is in the depth.
    pub(crate) async fn depth(&self) -> Result<QueueDepth, QueueError> {
        use QueueAttributeName as Name;
        let attributes = self.attributes_once(&self.url).await?;
        let dead = attributes
            .get(&Name::RedrivePolicy)
            .and_then(|policy| dead_letter_url(&self.url, policy));
        let dead = match dead {
            Some(url) => {
                let of_dead = self.attributes_once(&url).await;
                Some(of_dead.map(|of_dead| number(&of_dead, &Name::ApproximateNumberOfMessages)))
            }
            None => None,
        };
        Ok(QueueDepth {
            waiting: number(&attributes, &Name::ApproximateNumberOfMessages),
            in_flight: number(&attributes, &Name::ApproximateNumberOfMessagesNotVisible),
            delayed: number(&attributes, &Name::ApproximateNumberOfMessagesDelayed),
            dead,
        })
    }

    async fn attributes_once(
        &self,
        url: &str,
    ) -> Result<HashMap<QueueAttributeName, String>, QueueError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::All)
            .customize()
            .config_override(Builder::new().retry_config(Policy::once()))
            .send()
            .await;
        let answer = answer.map_err(|error| QueueError {
            url: url.to_owned(),
            ..self.error(&error, "sqs:GetQueueAttributes")
        })?;
        Ok(answer.attributes.unwrap_or_default())
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its Amazon Resource Name.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Warns if the redrive policy loses messages, or gives them up too early.
    pub(crate) fn check_redrive_policy(&self) {
        let queue_url = without_credentials(&self.url);
        match self.max_receive_count {
            None => tracing::warn!(
                queue_url,
                "the queue has no redrive policy: messages of log files that cannot be read are retried until the \
                 queue's retention period ends, and are then lost; give the queue a dead-letter queue"
            ),
            Some(few) if few < FEW_RECEIVES => tracing::warn!(
                queue_url,
                maxReceiveCount = few,
                "maxReceiveCount is low, so messages soon become dead letters: a worker that shuts down returns its \
                 messages, and each receive counts; set it to 5 in the queue's redrive policy"
            ),
            Some(_) => {}
        }
    }

    /// The client, for operations that only one caller needs.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends up to ten messages. Returns the indices of the messages that SQS did not accept.
    pub(crate) async fn send(
        &self,
        bodies: &[String],
    ) -> Result<Vec<(usize, Refusal)>, QueueError> {
        let entries = bodies.iter().enumerate().map(|(at, body)| {
            SendMessageBatchRequestEntry::builder()
                .id(at.to_string())
                .message_body(body)
                .build()
        });
        let answer = self
            .client
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(self.built(entries)?))
            .customize()
            .config_override(self.retrying())
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:SendMessage"))?;
        let done = answer.successful.iter().map(|done| done.id.as_str());
        Ok(undone(bodies.len(), done, &answer.failed))
    }

    fn built<T>(
        &self,
        entries: impl Iterator<Item = Result<T, aws_sdk_sqs::error::BuildError>>,
    ) -> Result<Vec<T>, QueueError> {
        entries
            .collect::<Result<_, _>>()
            .map_err(|error| QueueError {
                url: self.url.clone(),
                reason: error.to_string(),
                code: None,
            })
    }

    /// `needs` is the permission that the request requires.
    pub(crate) fn error<E>(&self, error: &SdkError<E, HttpResponse>, needs: &str) -> QueueError
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let code = error.code().map(str::to_owned);
        let reason = match (&code, error.raw_response()) {
            (Some(code), _) if code.contains("NonExistentQueue") || code == "QueueDoesNotExist" => {
                "the queue does not exist; check its URL and region".to_owned()
            }
            (Some(code), _) if code.contains("KmsAccessDenied") => format!(
                "access is denied; the AWS credentials need kms:Decrypt and kms:GenerateDataKey on the queue's key ({code})"
            ),
            (Some(code), _) if code.contains("AccessDenied") => {
                format!("access is denied; the AWS credentials need {needs} on the queue ({code})")
            }
            (Some(code), _) => match error.message() {
                Some(message) => format!("SQS returned {code} \"{message}\""),
                None => format!("SQS returned {code}"),
            },
            (None, Some(answer)) => format!("SQS returned {}", answer.status().as_u16()),
            (None, None) => aws::unanswered("SQS", error),
        };
        QueueError {
            url: self.url.clone(),
            reason,
            code,
        }
    }
}

impl Queue for SqsQueue {
    fn once(&self) -> Self {
        Self {
            retries: Policy::once(),
            ..self.clone()
        }
    }

    fn max_receive_count(&self) -> Option<u64> {
        self.max_receive_count
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<ReceivedMessage>, QueueError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(max.min(BATCH_MAX) as i32)
            .wait_time_seconds(wait.as_secs() as i32)
            .visibility_timeout(visibility.as_secs() as i32)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .customize()
            .config_override(self.retrying())
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:ReceiveMessage"))?;
        let messages = answer.messages.unwrap_or_default();
        Ok(messages.into_iter().map(received).collect())
    }

    async fn change_visibility(
        &self,
        receipts: &[(&str, Duration)],
    ) -> Result<Vec<(usize, Refusal)>, QueueError> {
        let entries = receipts.iter().enumerate().map(|(at, (receipt, time))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(*receipt)
                .visibility_timeout(time.as_secs() as i32)
                .build()
        });
        let answer = self
            .client
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(self.built(entries)?))
            .customize()
            .config_override(self.retrying())
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:ChangeMessageVisibility"))?;
        let done = answer.successful.iter().map(|done| done.id.as_str());
        Ok(undone(receipts.len(), done, &answer.failed))
    }

    async fn delete(&self, receipts: &[&str]) -> Result<Vec<(usize, Refusal)>, QueueError> {
        let entries = receipts.iter().enumerate().map(|(at, receipt)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(*receipt)
                .build()
        });
        let answer = self
            .client
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(self.built(entries)?))
            .customize()
            .config_override(self.retrying())
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:DeleteMessage"))?;
        let done = answer.successful.iter().map(|done| done.id.as_str());
        Ok(undone(receipts.len(), done, &answer.failed))
    }
}

fn received(message: aws_sdk_sqs::types::Message) -> ReceivedMessage {
    let number = |name| -> Option<u64> { message.attributes.as_ref()?.get(&name)?.parse().ok() };
    let sent = number(MessageSystemAttributeName::SentTimestamp);
    let receive_count = number(MessageSystemAttributeName::ApproximateReceiveCount);
    ReceivedMessage {
        delivery: Delivery {
            receive_count: receive_count.map_or(1, |count| count.try_into().unwrap_or(u32::MAX)),
            sent: sent.map_or_else(SystemTime::now, |sent| {
                UNIX_EPOCH + Duration::from_millis(sent)
            }),
            message_id: message.message_id.unwrap_or_default(),
            receipt: message.receipt_handle.unwrap_or_default(),
        },
        body: message.body.unwrap_or_default(),
    }
}

fn number(attributes: &HashMap<QueueAttributeName, String>, name: &QueueAttributeName) -> u64 {
    let number = attributes.get(name).and_then(|number| number.parse().ok());
    number.unwrap_or(0)
}

/// The URL of the dead-letter queue that a redrive policy of the queue with this URL names. Both are in the same account and region.
fn dead_letter_url(url: &str, policy: &str) -> Option<String> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let name = policy
        .get("deadLetterTargetArn")?
        .as_str()?
        .rsplit(':')
        .next()?;
    let (place, _) = url.rsplit_once('/')?;
    Some(format!("{place}/{name}"))
}

/// The `maxReceiveCount` of a redrive policy. It is written as a number or as a string.
fn max_receive_count(policy: &str) -> Option<u64> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let count = policy.get("maxReceiveCount")?;
    count.as_u64().or_else(|| count.as_str()?.parse().ok())
}

/// The entries of a batch that failed. SQS answers a batch with success even if every entry failed.
fn undone<'a>(
    count: usize,
    done: impl Iterator<Item = &'a str>,
    failed: &[BatchResultErrorEntry],
) -> Vec<(usize, Refusal)> {
    let at = |id: &str| id.parse::<usize>().ok();
    let mut is_done = vec![false; count];
    for at in done.filter_map(at) {
        if let Some(is_done) = is_done.get_mut(at) {
            *is_done = true;
        }
    }
    let undone = (0..count).filter(|&place| !is_done[place]);
    undone
        .map(|place| {
            let refusal = match failed.iter().find(|failed| at(&failed.id) == Some(place)) {
                Some(failed) => Refusal {
                    reason: match &failed.message {
                        Some(message) => format!("SQS returned {}: {message}", failed.code),
                        None => format!("SQS returned {}", failed.code),
                    },
                    is_final: failed.sender_fault,
                },
                None => Refusal {
                    reason: "SQS returned no result for this message".to_owned(),
                    is_final: false,
                },
            };
            (place, refusal)
        })
        .collect()
}

/// A URL without user name, password and query.
pub(crate) fn without_credentials(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "not a URL".to_owned();
    };
    // A URL that can't have these parts has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_does_not_confirm_is_undone() {
        let failed = BatchResultErrorEntry::builder()
            .id("2")
            .code("ReceiptHandleIsInvalid")
            .sender_fault(true)
            .build()
            .unwrap();
        let undone = undone(4, ["0", "7", "x"].into_iter(), &[failed]);
        let told: Vec<_> = undone
            .iter()
            .map(|(at, refusal)| (*at, refusal.is_final, refusal.to_string()))
            .collect();
        let unsaid = "SQS returned no result for this message".to_owned();
        let said = "SQS returned ReceiptHandleIsInvalid".to_owned();
        let expected = [
            (1, false, unsaid.clone()),
            (2, true, said),
            (3, false, unsaid),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_redrive_policy_says_how_often() {
        let policy =
            |count| format!("{{\"deadLetterTargetArn\":\"a\",\"maxReceiveCount\":{count}}}");
        assert_eq!(max_receive_count(&policy("5")), Some(5));
        assert_eq!(max_receive_count(&policy("\"5\"")), Some(5));
        assert_eq!(max_receive_count("{}"), None);
    }

    #[test]
    fn a_redrive_policy_names_the_dead_letter_queue() {
        let policy = "{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:123456789012:dead\",\"maxReceiveCount\":5}";
        let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/work";
        let dead = dead_letter_url(url, policy);
        assert_eq!(
            dead.as_deref(),
            Some("https://sqs.eu-west-1.amazonaws.com/123456789012/dead")
        );
        assert_eq!(dead_letter_url(url, "{}"), None);
    }

    /// A queue made by `once` sends each request once. For any other queue, only the SDK retries.
    #[tokio::test]
    async fn a_request_is_repeated_by_one_layer() {
        const POLICY: Policy = Policy {
            attempts: 4,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(5),
        };
        let sqs = crate::fake_s3::FakeS3::start(|_, _| crate::fake_s3::Answer::new(503, "{}"));
        let mut queue = SqsQueue::at(&sqs.endpoint, "work");
        queue.retries = POLICY.of_sdk();
        assert!(queue.delete(&["receipt"]).await.is_err());
        assert_eq!(sqs.requests().len(), 4);
        assert!(queue.once().delete(&["receipt"]).await.is_err());
        assert_eq!(sqs.requests().len(), 5);
    }

    #[tokio::test]
    async fn what_is_no_standard_queue_is_refused() {
        for (url, why) in [
            ("arn:aws:sqs:eu-west-1:1:logs", "an ARN"),
            ("logs", "not the URL of a queue"),
            ("https://sqs.eu-west-1.amazonaws.com/1/logs.fifo", "FIFO"),
        ] {
            let error = SqsQueue::open(url).await.unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(url), "{error}");
        }
    }
}
