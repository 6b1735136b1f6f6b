//! A queue in memory, for tests: visibility timeouts, receive counts and a redrive policy as those of SQS.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::message::{Delivery, ReceivedMessage};
use super::queue::{Queue, QueueError, Refusal};

#[derive(Debug, Clone)]
pub(super) struct MemoryQueue {
    max_receive_count: u32,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    messages: Vec<Stored>,
    dead: Vec<String>,
    receives: usize,
}

#[derive(Debug)]
struct Stored {
    body: String,
    receive_count: u32,
    /// The receipt handles of all receives.
    receipts: Vec<String>,
    visible_from: Instant,
    is_changed: bool,
}

/// What a queue has at one moment.
#[derive(Debug)]
pub(super) struct State {
    pub(super) messages: Vec<StoredMessage>,
    /// The texts of dead letters.
    pub(super) dead: Vec<String>,
}

#[derive(Debug)]
pub(super) struct StoredMessage {
    pub(super) body: String,
    pub(super) receive_count: u32,
    /// How long the message stays invisible; zero if it is visible.
    pub(super) invisible: Duration,
    /// Whether its visibility timeout was set since the latest receive.
    pub(super) is_changed: bool,
}

impl MemoryQueue {
    pub(super) fn new(max_receive_count: u32) -> Self {
        Self {
            max_receive_count,
            inner: Arc::default(),
        }
    }

    pub(super) fn send(&self, body: &str) {
        self.inner.lock().unwrap().messages.push(Stored {
            body: body.to_owned(),
            receive_count: 0,
            receipts: Vec::new(),
            visible_from: Instant::now(),
            is_changed: false,
        });
    }

    /// Ends all visibility timeouts, as if their time were over.
    pub(super) fn make_visible(&self) {
        for each in &mut self.inner.lock().unwrap().messages {
            each.visible_from = Instant::now();
        }
    }

    pub(super) fn state(&self) -> State {
        let inner = self.inner.lock().unwrap();
        let now = Instant::now();
        let messages = inner.messages.iter().map(|each| StoredMessage {
            body: each.body.clone(),
            receive_count: each.receive_count,
            invisible: each.visible_from.saturating_duration_since(now),
            is_changed: each.is_changed,
        });
        State {
            messages: messages.collect(),
            dead: inner.dead.clone(),
        }
    }

    fn receive_now(&self, max: usize, visibility: Duration) -> Vec<ReceivedMessage> {
        let now = Instant::now();
        let mut inner = self.inner.lock().unwrap();
        let Inner {
            messages,
            dead,
            receives,
        } = &mut *inner;
        messages.retain(|each| {
            let is_dead = each.visible_from <= now && each.receive_count >= self.max_receive_count;
            if is_dead {
                dead.push(each.body.clone());
            }
            !is_dead
        });
        let visible = messages.iter_mut().filter(|each| each.visible_from <= now);
        let received = visible.take(max).map(|each| {
            *receives += 1;
            each.receive_count += 1;
            let receipt = receives.to_string();
            each.receipts.push(receipt.clone());
            each.visible_from = now + visibility;
            each.is_changed = false;
            ReceivedMessage {
                delivery: Delivery {
                    message_id: each.body.clone(),
                    receipt,
                    receive_count: each.receive_count,
                    sent: SystemTime::now(),
                },
                body: each.body.clone(),
            }
        });
        received.collect()
    }
}

impl Queue for MemoryQueue {
    fn once(&self) -> Self {
        self.clone()
    }

    fn max_receive_count(&self) -> Option<u64> {
        Some(self.max_receive_count.into())
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<ReceivedMessage>, QueueError> {
        let until = Instant::now() + wait;
        loop {
            let received = self.receive_now(max, visibility);
            if !received.is_empty() || Instant::now() >= until {
                return Ok(received);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn change_visibility(
        &self,
        receipts: &[(&str, Duration)],
    ) -> Result<Vec<(usize, Refusal)>, QueueError> {
        let now = Instant::now();
        let mut inner = self.inner.lock().unwrap();
        let mut refused = Vec::new();
        for (at, (receipt, timeout)) in receipts.iter().enumerate() {
            let mut messages = inner.messages.iter_mut();
            match messages.find(|each| is_latest(each, receipt) && each.visible_from > now) {
                Some(message) => {
                    message.visible_from = now + *timeout;
                    message.is_changed = true;
                }
                None => refused.push((
                    at,
                    Refusal {
                        reason: "MessageNotInflight".to_owned(),
                        is_final: true,
                    },
                )),
            }
        }
        Ok(refused)
    }

    async fn delete(&self, receipts: &[&str]) -> Result<Vec<(usize, Refusal)>, QueueError> {
        // SQS may also delete a message by the handle of an earlier receive, although another receiver has it.
        let is_deleted = |each: &Stored| {
            each.receipts
                .iter()
                .any(|receipt| receipts.contains(&receipt.as_str()))
        };
        self.inner
            .lock()
            .unwrap()
            .messages
            .retain(|each| !is_deleted(each));
        Ok(Vec::new())
    }
}

fn is_latest(message: &Stored, receipt: &str) -> bool {
    message
        .receipts
        .last()
        .is_some_and(|latest| latest == receipt)
}
