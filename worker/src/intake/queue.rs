//! What the worker needs of a queue, in SQS's terms. A receive hides a message from other receivers for its visibility
//! timeout. A message that is not deleted in that time becomes visible again, and is delivered again. So the messages of a
//! worker that dies are not lost, and each message may be delivered more than once.

use std::fmt;
use std::time::Duration;

use super::message::ReceivedMessage;

/// A standard queue with a visibility timeout for each message.
///
/// Batch operations take up to [`BATCH_MAX`](logmill_shared::sqs::BATCH_MAX) messages, by the receipt handles of their latest
/// receive. They return the indices that failed: `Ok` alone does not mean that anything was done.
pub(crate) trait Queue: Clone + fmt::Debug + Send + Sync + 'static {
    /// The same queue for callers that retry requests about messages themselves: each request is sent once.
    fn once(&self) -> Self;

    /// The redrive policy's `maxReceiveCount`: how often a message is received before it goes to the dead-letter queue, if
    /// there is one.
    fn max_receive_count(&self) -> Option<u64>;

    /// Receives up to `max` messages, waiting at most `wait` for the first one (SQS's limit is 20 s).
    ///
    /// `Ok` promises that each message is in flight: invisible to other receivers until `visibility` has passed since the
    /// queue answered. It does not promise that a message was never delivered before. No messages do not mean that the queue
    /// is empty. If the answer is lost, the messages stay invisible until their visibility timeout ends.
    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> impl Future<Output = Result<Vec<ReceivedMessage>, QueueError>> + Send;

    /// Sets the visibility timeout of messages in flight, counted from now. Zero makes a message visible at once.
    ///
    /// For each index that is not returned, `Ok` promises that the message is invisible for this time. A message whose
    /// visibility timeout has ended is refused for good: another receiver may have it.
    fn change_visibility(
        &self,
        receipts: &[(&str, Duration)],
    ) -> impl Future<Output = Result<Vec<(usize, Refusal)>, QueueError>> + Send;

    /// Deletes messages.
    ///
    /// For each index that is not returned, `Ok` promises that the queue has accepted the deletion. It does not promise that
    /// the message is never delivered again: SQS may still have a copy, or another receiver may have it.
    fn delete(
        &self,
        receipts: &[&str],
    ) -> impl Future<Output = Result<Vec<(usize, Refusal)>, QueueError>> + Send;
}

/// Why a request to a queue failed.
#[derive(Debug, thiserror::Error)]
#[error("the queue {url}: {reason}")]
pub struct QueueError {
    pub(super) url: String,
    pub(super) reason: String,
    /// SQS's error code, if SQS has answered.
    pub(crate) code: Option<String>,
}

/// Why one entry of a batch request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Refusal {
    pub(super) reason: String,
    /// Whether a retry would fail too.
    pub(crate) is_final: bool,
}
