//! The states that a message passes through: received, parsed, in flight, done. Each is a type, and each step takes the
//! message by value. So only messages whose log files are staged are deleted.

use std::sync::Arc;
use std::time::SystemTime;

use logmill_shared::notification::{self, Notification, NotificationError};
use tokio::time::Instant;

use super::queue::Queue;
use super::visibility::{ExtendedVisibility, VisibilityExtender};

/// One receive of a message.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) message_id: String,
    /// The receipt handle of this receive, needed to delete the message or to change its visibility timeout.
    pub(crate) receipt: String,
    /// The receive count, including this receive.
    pub(crate) receive_count: u32,
    /// When the message was sent.
    pub(crate) sent: SystemTime,
}

/// A message as it was received. Its body has not been parsed.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedMessage {
    pub(crate) delivery: Delivery,
    pub(crate) body: String,
}

/// A message whose log files are known.
#[derive(Debug)]
pub(super) struct ParsedMessage {
    delivery: Delivery,
    notification: Notification,
}

/// A message whose log files are being staged. Its visibility timeout is extended until this is dropped. The queue may make
/// it visible earlier.
#[derive(Debug)]
pub(super) struct InFlightMessage<Q: Queue> {
    pub(super) delivery: Delivery,
    visibility: ExtendedVisibility<Q>,
}

/// A message whose log files are all staged, to be deleted. It stays invisible to other workers until this is dropped.
#[derive(Debug)]
pub(super) struct DoneMessage<Q: Queue>(InFlightMessage<Q>);

impl ReceivedMessage {
    /// Parses the body. On failure, the message can only be left to the queue's redrive policy.
    pub(super) fn parse(self) -> Result<ParsedMessage, (Delivery, NotificationError)> {
        match notification::parse(&self.body) {
            Ok(notification) => Ok(ParsedMessage {
                delivery: self.delivery,
                notification,
            }),
            Err(error) => Err((self.delivery, error)),
        }
    }
}

impl ParsedMessage {
    /// Begins work on the log files, which are returned. The message has been invisible since `received`.
    pub(super) fn begin<Q: Queue>(
        self,
        visibility: &Arc<VisibilityExtender<Q>>,
        received: Instant,
    ) -> (InFlightMessage<Q>, Notification) {
        let message = InFlightMessage {
            visibility: visibility.hold(&self.delivery.receipt, received),
            delivery: self.delivery,
        };
        (message, self.notification)
    }
}

impl<Q: Queue> InFlightMessage<Q> {
    /// To be called when all log files are staged. Fails if the message may be visible to other workers: then it is left to
    /// them. A newer worker may have it, which stages its log files for a table that this worker does not know. If that
    /// fails, it needs the message for the next attempt.
    pub(super) async fn done(self) -> Result<DoneMessage<Q>, Delivery> {
        match self.visibility.is_hidden().await {
            true => Ok(DoneMessage(self)),
            false => Err(self.delivery),
        }
    }
}

impl<Q: Queue> DoneMessage<Q> {
    pub(super) fn receipt(&self) -> &str {
        &self.0.delivery.receipt
    }
}
