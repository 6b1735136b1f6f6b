//! A notification announces log files. It is the dispatcher's own message, or comes from S3 in one of the shapes that S3,
//! SNS, EventBridge, SQS and the failure destination of a Lambda give it. A bucket can therefore notify a queue directly,
//! without a dispatcher.
//!
//! All shapes give the same result: the [`LogFile`]s of all records, by their keys in S3, and the parts of the message
//! that were left out, with the reason. A message is understood as a whole or not at all: if only the readable part were
//! processed, the acknowledgement would lose the rest.

mod shapes;
mod selection;

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

pub use selection::{Allowed, NotAllowable, Selection};

use crate::log_file::{LogFile, NamedAs};

/// Maximum length of a key in S3, in bytes. It bounds what one log file adds to a message.
pub const KEY_BYTES_MAX: usize = 1024;

/// Maximum length of a bucket's name, in bytes: 63 today, 255 for the oldest buckets.
pub const BUCKET_BYTES_MAX: usize = 255;

/// The content of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notification {
    /// Objects that exist and could be logs, in the order of the message, without duplicates.
    pub log_files: Vec<Announced>,
    /// The other parts of the message. They need no action, but are worth counting.
    pub left_out: Vec<LeftOut>,
}

/// A log file that a notification announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size when S3 announced it, if the message contains it. The object may have been put again since.
    pub bytes: Option<u64>,
    /// Its ETag at that time, without quotes.
    pub etag: Option<String>,
}

/// A part of a message that announces no log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The URI of the object or bucket that the part is about.
    pub uri: String,
    /// The reason.
    pub why: Reason,
}

/// Why a part of a message was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// S3's test of its target, sent when notifications are switched on.
    TestEvent,
    /// Another event of the object, such as `ObjectRemoved:Delete`.
    OtherEvent(String),
    /// `ELBAccessLogTestFile` and similar: written when logging is switched on.
    TestObject,
    /// An object that represents a folder in a console or a file system.
    Folder,
    /// Its key does not match the [`Selection`].
    NotSelected,
    /// The message has already named it. Staging it once is enough.
    Repeated,
}

impl Reason {
    /// A name for metrics, which contains no part of the message.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TestEvent => "test_event",
            Self::OtherEvent(_) => "other_event",
            Self::TestObject => "test_object",
            Self::Folder => "folder",
            Self::NotSelected => "not_selected",
            Self::Repeated => "repeated",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TestEvent => f.write_str("a test event of S3"),
            Self::OtherEvent(name) => write!(f, "the event {name}"),
            Self::TestObject => f.write_str("the test object of a load balancer"),
            Self::Folder => f.write_str("a folder"),
            Self::NotSelected => {
                f.write_str("the key does not match the configured prefixes and suffixes")
            }
            Self::Repeated => f.write_str("already named in the same message"),
        }
    }
}

/// A message that is not understood. Retrying cannot help: it belongs where a person will look at it, in a dead-letter
/// queue or in the response to its sender.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// Not JSON at all.
    #[error("{what} is not JSON: {source}")]
    NotJson {
        /// The message, or the part of it that another service has wrapped.
        what: &'static str,
        /// Where the JSON becomes invalid.
        source: serde_json::Error,
    },
    /// JSON, but not a notification of log files.
    #[error("not a known notification: {found}")]
    Unknown {
        /// What was found instead.
        found: String,
    },
    /// A known shape with a part that is missing or has the wrong type.
    #[error("{what} is malformed: {source}")]
    Malformed {
        /// The shape, or the record in it.
        what: String,
        /// The part.
        source: serde_json::Error,
    },
    /// The message was sent by a later version.
    #[error("version {0} of the dispatcher's message is not supported, only version {known}; update the workers first", known = shapes::VERSION)]
    Version(u64),
    /// The message names something that can't be an object in S3.
    #[error("'{uri}' is not an object in S3: {why}")]
    NotAnObject {
        /// The URI that it names.
        uri: String,
        /// The reason that the URI is invalid.
        why: &'static str,
    },
    /// SNS delivers nothing until someone has confirmed the subscription.
    #[error(
        "the subscription to the SNS topic {topic} is not confirmed; to confirm it, open the SubscribeURL of this \
         message"
    )]
    Unconfirmed {
        /// The topic's ARN.
        topic: String,
    },
    /// Messages are nested more deeply than on any path from S3 to here.
    #[error("messages are nested more than {} deep", shapes::NESTED_MAX)]
    Nested,
}

/// Parses a message from the dispatcher, S3, SNS, EventBridge, SQS or Lambda.
///
/// # Errors
///
/// If any part of the message is not understood. Retrying cannot help.
pub fn parse(body: &str) -> Result<Notification, NotificationError> {
    from_json(&shapes::from_text("the message", body)?)
}

/// As [`parse`], for a message that is already JSON, such as an event from Lambda's runtime.
///
/// # Errors
///
/// As [`parse`].
pub fn from_json(message: &Value) -> Result<Notification, NotificationError> {
    let mut notification = Notification::default();
    shapes::read(message, 0, &mut notification)?;
    Ok(notification.each_once())
}

/// One of a batch of messages that SQS has delivered to a Lambda.
#[derive(Debug)]
pub struct QueuedMessage {
    /// The id by which the Lambda reports it as failed.
    pub id: String,
    /// The content of this message alone.
    pub notification: Result<Notification, NotificationError>,
}

/// The messages of an event that SQS has delivered to a Lambda. Each is acknowledged or redelivered separately. `None`
/// for any other event, which is acknowledged as a whole.
pub fn from_sqs(event: &Value) -> Option<Vec<QueuedMessage>> {
    let messages = shapes::sqs_messages(event)?.into_iter();
    let messages = messages.map(|(id, body)| {
        let mut notification = Notification::default();
        let read = shapes::read_body(&body, &mut notification);
        QueuedMessage {
            id,
            notification: read.map(|()| notification.each_once()),
        }
    });
    Some(messages.collect())
}

/// The dispatcher's message: `{"version":1,"log_files":["s3://bucket/key"]}`, with the keys as S3 stores them.
///
/// It does not contain size and ETag. A worker reads the object as it is at that time, and must not refuse an object that
/// was put again because an old message describes it differently.
pub fn message<'a>(log_files: impl IntoIterator<Item = &'a LogFile>) -> String {
    shapes::dispatched(log_files)
}

impl Notification {
    /// Leaves out the log files that don't match the selection.
    pub fn select(&mut self, selection: &Selection) {
        let (selected, others) = std::mem::take(&mut self.log_files)
            .into_iter()
            .partition(|announced| selection.takes(&announced.log_file));
        self.log_files = selected;
        self.left_out
            .extend(others.into_iter().map(|announced: Announced| LeftOut {
                uri: announced.log_file.uri().to_owned(),
                why: Reason::NotSelected,
            }));
    }

    /// Leaves out duplicates: a message that names one log file seven thousand times would otherwise stage it as often.
    fn each_once(mut self) -> Self {
        let mut seen = HashSet::new();
        let (first, again): (Vec<_>, Vec<_>) = std::mem::take(&mut self.log_files)
            .into_iter()
            .partition(|announced| seen.insert(announced.log_file.uri().to_owned()));
        self.log_files = first;
        for announced in again {
            self.leave_out(announced.log_file.uri(), Reason::Repeated);
        }
        self
    }

    /// Adds an object that exists, unless it can't be a log.
    fn add(&mut self, announced: Announced) {
        match no_log(&announced) {
            None => self.log_files.push(announced),
            Some(why) => self.leave_out(announced.log_file.uri(), why),
        }
    }

    fn leave_out(&mut self, uri: &str, why: Reason) {
        self.left_out.push(LeftOut {
            uri: uri.to_owned(),
            why,
        });
    }
}

/// The reason that an object can't be a log of any type. An odd name is not enough: logs are copied and renamed, and a
/// worker can inspect the object.
fn no_log(announced: &Announced) -> Option<Reason> {
    let name = announced.log_file.name();
    // Consoles create "a/"; Hadoop's file systems create an empty "a_$folder$". If the size is unknown, as in the
    // dispatcher's message, a worker inspects the object.
    let empty = announced.bytes == Some(0);
    if name.is_empty() || (empty && name.ends_with("_$folder$")) {
        return Some(Reason::Folder);
    }
    (announced.log_file.named_as() == NamedAs::TestObject).then_some(Reason::TestObject)
}

#[cfg(test)]
mod tests;
