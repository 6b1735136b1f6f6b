//! A work queue and its dead-letter queue, for a test.

use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use logmill_shared::LogFile;
use logmill_shared::notification;
use tokio::runtime::Runtime;

use super::ministack::Ministack;

pub struct Queues {
    client: Client,
    runtime: Runtime,
    pub work: String,
    pub dead: String,
}

/// Messages of a queue, as SQS counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub visible: usize,
    pub hidden: usize,
}

impl Queues {
    /// Two queues, the second for what has been received so often from the first.
    pub fn new(aws: &Ministack, receives_max: u32) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(aws.endpoint())
            .retry_config(RetryConfig::disabled());
        let mut queues = Self {
            client: Client::from_conf(config.build()),
            runtime: Runtime::new().unwrap(),
            work: String::new(),
            dead: String::new(),
        };
        queues.work = queues.create("work");
        queues.dead = queues.create("dead");
        queues.redrive_after(receives_max);
        queues
    }

    fn create(&self, name: &str) -> String {
        let created = self.client.create_queue().queue_name(name).send();
        self.runtime.block_on(created).unwrap().queue_url.unwrap()
    }

    fn attribute(&self, url: &str, name: &QueueAttributeName) -> String {
        let got = self.client.get_queue_attributes().queue_url(url);
        let got = got.attribute_names(QueueAttributeName::All).send();
        let attributes = self.runtime.block_on(got).unwrap().attributes.unwrap();
        attributes[name].clone()
    }

    /// What has been received so often goes to the dead-letter queue.
    pub fn redrive_after(&self, receives_max: u32) {
        let dead = self.attribute(&self.dead, &QueueAttributeName::QueueArn);
        let policy = serde_json::json!({
            "deadLetterTargetArn": dead, "maxReceiveCount": receives_max.to_string(),
        });
        let set = self.client.set_queue_attributes().queue_url(&self.work);
        let set = set.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        self.runtime.block_on(set.send()).unwrap();
    }

    pub fn send(&self, bodies: &[String]) {
        for batch in bodies.chunks(10) {
            let mut send = self.client.send_message_batch().queue_url(&self.work);
            for (at, body) in batch.iter().enumerate() {
                let entry = SendMessageBatchRequestEntry::builder();
                let entry = entry.id(at.to_string()).message_body(body).build();
                send = send.entries(entry.unwrap());
            }
            let sent = self.runtime.block_on(send.send()).unwrap();
            assert!(sent.failed.is_empty(), "{sent:?}");
        }
    }

    /// Announces these objects of the bucket `logs`, each in a message of its own.
    pub fn announce<'a>(&self, keys: impl IntoIterator<Item = &'a String>) {
        let body = |key: &String| notification::message([&LogFile::in_bucket("logs", key)]);
        self.send(&keys.into_iter().map(body).collect::<Vec<_>>());
    }

    pub fn depth(&self, url: &str) -> Depth {
        let number = |name| self.attribute(url, &name).parse().unwrap();
        Depth {
            visible: number(QueueAttributeName::ApproximateNumberOfMessages),
            hidden: number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        }
    }

    /// Waits until the work queue is as it should be.
    pub fn wait_for(&self, patience: Duration, what: &str, is: impl Fn(Depth) -> bool) {
        let begin = Instant::now();
        while !is(self.depth(&self.work)) {
            let depth = self.depth(&self.work);
            assert!(begin.elapsed() < patience, "not {what}: {depth:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Takes all messages out of a queue. Returns their bodies.
    pub fn take_all(&self, url: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let receive = self.client.receive_message().queue_url(url);
            let received = self
                .runtime
                .block_on(receive.max_number_of_messages(10).send());
            let messages = received.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                let receipt = message.receipt_handle.unwrap();
                let delete = self.client.delete_message().queue_url(url);
                let deleted = delete.receipt_handle(receipt).send();
                self.runtime.block_on(deleted).unwrap();
                bodies.push(message.body.unwrap());
            }
        }
    }
}

/// The log files that these messages announce.
pub fn announced(bodies: &[String]) -> Vec<String> {
    let log_files = bodies.iter().flat_map(|body| {
        let notification = notification::parse(body).unwrap();
        notification.log_files
    });
    let uris = log_files.map(|announced| announced.log_file.uri().to_owned());
    uris.collect()
}
