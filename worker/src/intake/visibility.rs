//! Extends the visibility timeout of messages for as long as they are being processed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use logmill_shared::sqs::BATCH_MAX;
use tokio::time::{Instant, sleep, timeout};

use super::queue::Queue;

/// The visibility timeout is extended when less than this fraction of it is left.
const EXTENDED_BELOW: f64 = 2.0 / 3.0;

/// How often messages are checked, and how long a request may take, as divisors of the visibility timeout. Several
/// attempts can fail before a message becomes visible.
const CHECKS_PER_TIMEOUT: u32 = 12;
const REQUESTS_PER_TIMEOUT: u32 = 6;

/// All messages in flight here. Each stays invisible to other workers until it is done.
#[derive(Debug)]
pub(super) struct VisibilityExtender<Q> {
    queue: Q,
    /// The visibility timeout. With a longer one, a message whose worker has died waits longer for the next worker. With a
    /// shorter one, more requests are needed to extend it.
    timeout: Duration,
    /// When the visibility timeout of each message ends, by receipt handle.
    held: Mutex<HashMap<String, Instant>>,
}

/// Keeps a message invisible until this is dropped. The queue may make it visible earlier.
#[derive(Debug)]
pub(super) struct ExtendedVisibility<Q: Queue> {
    extender: Arc<VisibilityExtender<Q>>,
    receipt: String,
}

impl<Q: Queue> VisibilityExtender<Q> {
    /// `queue` must send each request once: a request that failed is repeated here.
    pub(super) fn new(queue: Q, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            queue,
            timeout,
            held: Mutex::default(),
        })
    }

    /// Takes over a message that has been invisible since `received`.
    pub(super) fn hold(
        self: &Arc<Self>,
        receipt: &str,
        received: Instant,
    ) -> ExtendedVisibility<Q> {
        let until = received + self.timeout;
        self.held().insert(receipt.to_owned(), until);
        ExtendedVisibility {
            extender: Arc::clone(self),
            receipt: receipt.to_owned(),
        }
    }

    /// Extends the visibility timeout of each message that has less than two thirds of it left. Never returns.
    pub(super) async fn extend_due(&self) {
        loop {
            sleep(self.timeout / CHECKS_PER_TIMEOUT).await;
            let due = self.due(Instant::now());
            // Concurrent, so that one slow request does not delay the others.
            join_all(due.chunks(BATCH_MAX).map(|batch| self.extend_batch(batch))).await;
        }
    }

    fn due(&self, now: Instant) -> Vec<String> {
        let limit = now + self.timeout.mul_f64(EXTENDED_BELOW);
        let held = self.held();
        let due = held.iter().filter(|(_, until)| **until < limit);
        due.map(|(receipt, _)| receipt.clone()).collect()
    }

    async fn extend_batch(&self, receipts: &[String]) {
        let begun = Instant::now();
        let batch: Vec<_> = receipts
            .iter()
            .map(|receipt| (receipt.as_str(), self.timeout))
            .collect();
        let request = timeout(
            self.timeout / REQUESTS_PER_TIMEOUT,
            self.queue.change_visibility(&batch),
        );
        let unchanged = match request.await {
            Ok(Ok(unchanged)) => unchanged,
            Ok(Err(error)) => {
                tracing::warn!(%error, messages = batch.len(), "extending the visibility timeout of messages \
                     failed; retrying");
                return;
            }
            Err(_) => {
                tracing::warn!(
                    messages = batch.len(),
                    "extending the visibility timeout of messages timed out; retrying"
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
                    tracing::warn!(%refusal, "message lost: its visibility timeout cannot be extended, so other \
                         workers can receive it");
                    held.remove(receipt);
                }
                Some(_) => {}
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        // Ignoring poison is safe: no code panics midway through a change while it holds this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Queue> ExtendedVisibility<Q> {
    /// Whether the message is certainly still invisible to other workers. Only then does deleting it affect no other
    /// worker. If in doubt, first asks the queue to extend the visibility timeout.
    pub(super) async fn is_hidden(&self) -> bool {
        if !self.is_surely_hidden() {
            let receipt = self.receipt.clone();
            self.extender.extend_batch(&[receipt]).await;
        }
        self.is_surely_hidden()
    }

    fn is_surely_hidden(&self) -> bool {
        let held = self.extender.held();
        let until = held.get(&self.receipt);
        until.is_some_and(|until| Instant::now() < *until)
    }
}

impl<Q: Queue> Drop for ExtendedVisibility<Q> {
    fn drop(&mut self) {
        self.extender.held().remove(&self.receipt);
    }
}
