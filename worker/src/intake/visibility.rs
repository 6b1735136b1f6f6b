//! Messages that are being worked on are kept hidden from others, for as long as it takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use logmill_shared::sqs::BATCH_MAX;
use tokio::time::{Instant, sleep, timeout};

use super::queue::{Message, Queue};

/// A message is hidden for longer when less than this part of its time is left.
const RENEWED_BELOW: f64 = 2.0 / 3.0;

/// How often to look, and how long a request may take, in parts of the time that a message is hidden for: several attempts
/// can fail before it shows.
const LOOKS: u32 = 12;
const REQUEST: u32 = 6;

/// All messages that are held, each hidden from others until it is done with.
#[derive(Debug)]
pub(super) struct VisibilityExtender {
    queue: Queue,
    /// How long a message is hidden for at once. Longer, and one whose worker has died waits longer for the next;
    /// shorter, and more requests are made to keep it hidden.
    timeout: Duration,
    held: Mutex<HashMap<String, Instant>>,
}

/// A message that is hidden from others until this is dropped, or until SQS shows it all the same.
#[derive(Debug)]
pub(super) struct InFlightMessage {
    visibility: Arc<VisibilityExtender>,
    pub(super) message: Message,
}

impl VisibilityExtender {
    pub(super) fn new(queue: Queue, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            queue,
            timeout,
            held: Mutex::default(),
        })
    }

    /// Takes a message over that was hidden since `received`.
    pub(super) fn keep(self: &Arc<Self>, message: Message, received: Instant) -> InFlightMessage {
        let until = received + self.timeout;
        self.held().insert(message.receipt.clone(), until);
        InFlightMessage {
            visibility: Arc::clone(self),
            message,
        }
    }

    /// Keeps hidden what is held, for ever.
    pub(super) async fn renew(&self) {
        loop {
            sleep(self.timeout / LOOKS).await;
            let due = self.due(Instant::now());
            // Side by side, so that one that hangs holds up no other.
            join_all(due.chunks(BATCH_MAX).map(|batch| self.renew_batch(batch))).await;
        }
    }

    fn due(&self, now: Instant) -> Vec<String> {
        let limit = now + self.timeout.mul_f64(RENEWED_BELOW);
        let held = self.held();
        let due = held.iter().filter(|(_, until)| **until < limit);
        due.map(|(receipt, _)| receipt.clone()).collect()
    }

    async fn renew_batch(&self, receipts: &[String]) {
        let begun = Instant::now();
        let batch: Vec<_> = receipts
            .iter()
            .map(|receipt| (receipt.as_str(), self.timeout))
            .collect();
        let request = timeout(self.timeout / REQUEST, self.queue.hide(&batch));
        let unchanged = match request.await {
            Ok(Ok(unchanged)) => unchanged,
            Ok(Err(error)) => {
                tracing::warn!(%error, messages = batch.len(), "messages not kept hidden; trying again");
                return;
            }
            Err(_) => {
                tracing::warn!(
                    messages = batch.len(),
                    "messages not kept hidden in time; trying again"
                );
                return;
            }
        };
        let mut held = self.held();
        for (at, receipt) in receipts.iter().enumerate() {
            match unchanged.iter().find(|(unchanged, _)| *unchanged == at) {
                None => {
                    if let Some(until) = held.get_mut(receipt) {
                        *until = begun + self.timeout;
                    }
                }
                Some((_, refusal)) if refusal.is_final => {
                    tracing::warn!(%refusal, "message lost: it shows to others again");
                    held.remove(receipt);
                }
                Some(_) => {}
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        // Nothing in here panics half way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlightMessage {
    /// Whether nobody else can have the message: as long as it is so, to delete it deletes what was worked on here. If that
    /// is in doubt, SQS is asked to hide it again.
    pub(super) async fn is_hidden(&self) -> bool {
        if !self.is_surely_hidden() {
            let receipt = self.message.receipt.clone();
            self.visibility.renew_batch(&[receipt]).await;
        }
        self.is_surely_hidden()
    }

    fn is_surely_hidden(&self) -> bool {
        let held = self.visibility.held();
        let until = held.get(&self.message.receipt);
        until.is_some_and(|until| Instant::now() < *until)
    }
}

impl Drop for InFlightMessage {
    fn drop(&mut self) {
        self.visibility.held().remove(&self.message.receipt);
    }
}
