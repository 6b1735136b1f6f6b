//! A notification says that log files exist. It is the dispatcher's own message, or comes from S3 in one of the shapes
//! that S3, SNS, EventBridge, SQS and the failure destination of a Lambda give it, so that a bucket can notify a queue with no
//! dispatcher between.
//!
//! All shapes come to the same: the [`LogFile`]s of all records, by the keys that S3 knows them by, and what was left
//! out of the message, with the reason. A message is understood as a whole or not at all: were the readable half of
//! it taken, the acknowledgement would lose the other.

mod shapes;
mod selection;

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

pub use selection::{Allowed, NotAllowable, Selection};

use crate::log_file::{LogFile, NamedAs};

/// The longest key that S3 takes, in bytes. It bounds what one log file adds to a message.
pub const KEY_BYTES_MAX: usize = 1024;

/// The longest name of a bucket, in bytes: 63 today, 255 for buckets of the first years.
pub const BUCKET_BYTES_MAX: usize = 255;

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notification {
    /// Objects that exist and could be logs, in the order of the message, each once.
    pub log_files: Vec<Announced>,
    /// What else the message speaks of. Nothing of it needs to be done, and it is good to count it.
    pub left_out: Vec<LeftOut>,
}

/// A log file that a notification announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size when S3 announced it, if the message says so. It may have been put again since.
    pub bytes: Option<u64>,
    /// Its ETag then, without quotes.
    pub etag: Option<String>,
}

/// A part of a message that announces no log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The URI that it is about: an object's, or a bucket's.
    pub uri: String,
    /// Why it was left out.
    pub why: Reason,
}

/// Why a part of a message was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// S3 tries out whether it can reach its target, which it does when notifications are switched on.
    TestEvent,
    /// Something else has happened to the object, such as `ObjectRemoved:Delete`.
    OtherEvent(String),
    /// `ELBAccessLogTestFile` and its like: written when logging is switched on.
    TestObject,
    /// An object that stands for a folder in a console or a file system.
    Folder,
    /// Its key is not among those that were asked for: see [`Selection`].
    NotSelected,
    /// The message has named it before. To stage it once is enough.
    Repeated,
}

impl Reason {
    /// A name for counting, with no part of the message in it.
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
            Self::TestEvent => f.write_str("S3's test of its target"),
            Self::OtherEvent(name) => write!(f, "the event {name}"),
            Self::TestObject => f.write_str("the test of a load balancer"),
            Self::Folder => f.write_str("a folder"),
            Self::NotSelected => f.write_str("its key is not asked for"),
            Self::Repeated => f.write_str("named before in the same message"),
        }
    }
}

/// A message that is not understood. It will not be understood the next time either: it belongs where a person will
/// look at it, a dead-letter queue or an answer to whoever has sent it.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// Not JSON at all.
    #[error("{what} is not JSON: {source}")]
    NotJson {
        /// The message, or the part of it that another service has wrapped.
        what: &'static str,
        /// Where it stops to be JSON.
        source: serde_json::Error,
    },
    /// JSON, but nothing that announces log files.
    #[error("not a notification that is known: {found}")]
    Unknown {
        /// What was found instead.
        found: String,
    },
    /// A shape that is known, with a part missing or of another type.
    #[error("{what} is malformed: {source}")]
    Malformed {
        /// The shape, and which of its records.
        what: String,
        /// The part.
        source: serde_json::Error,
    },
    /// The message was sent by a later version.
    #[error("version {0} of the dispatcher's message is not known here, only {known}; update the workers first", known = shapes::VERSION)]
    Version(u64),
    /// It names what can't be an object in S3.
    #[error("'{uri}' is not an object in S3: {why}")]
    NotAnObject {
        /// What it names.
        uri: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing will be delivered until somebody has confirmed it.
    #[error(
        "the SNS topic {topic} asks for its subscription to be confirmed; open the SubscribeURL of this message"
    )]
    Unconfirmed {
        /// The topic's ARN.
        topic: String,
    },
    /// One service's message in another's, too often for any way there is from S3 to here.
    #[error("a message within a message, more than {} deep", shapes::NESTED_MAX)]
    Nested,
}

/// What a message says, whoever of the dispatcher, S3, SNS, EventBridge, SQS or Lambda has sent it.
///
/// # Errors
///
/// If any part of it is not understood. It will not be understood the next time either.
pub fn parse(body: &str) -> Result<Notification, NotificationError> {
    from_json(&shapes::from_text("the message", body)?)
}

/// As [`parse`], of a message that has been read already, as Lambda's runtime does.
///
/// # Errors
///
/// As [`parse`]'s.
pub fn from_json(message: &Value) -> Result<Notification, NotificationError> {
    let mut notification = Notification::default();
    shapes::read(message, 0, &mut notification)?;
    Ok(notification.each_once())
}

/// A message of a queue that SQS has brought to a Lambda, one of a batch.
#[derive(Debug)]
pub struct QueuedMessage {
    /// What the Lambda names it by to say that it has failed.
    pub id: String,
    /// What it says by itself.
    pub notification: Result<Notification, NotificationError>,
}

/// The messages of an event that SQS has brought to a Lambda: each is acknowledged, or comes again, by itself. `None` if the
/// event is another, which is acknowledged as a whole.
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

/// The dispatcher's message: `{"version":1,"log_files":["s3://bucket/key"]}`, the keys as S3 has them.
///
/// Size and ETag are not in it. A worker reads the object as it is by then, and one that was put again must not
/// be refused because an old message describes it otherwise.
pub fn message<'a>(log_files: impl IntoIterator<Item = &'a LogFile>) -> String {
    shapes::dispatched(log_files)
}

impl Notification {
    /// Leaves out the log files that were not asked for.
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

    /// Leaves out what was named before: a message of one log file, seven thousand times, would have it staged as often.
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

    /// Takes in an object that exists, unless it can't be a log.
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

/// Why an object can be no log of any kind. What only looks odd may be one: logs are copied and renamed, and a worker
/// can look into it.
fn no_log(announced: &Announced) -> Option<Reason> {
    let name = announced.log_file.name();
    // Consoles make "a/"; Hadoop's file systems make an empty "a_$folder$". If its size is not known, as in the dispatcher's
    // message, a worker looks: the dispatcher has passed on one that is not empty.
    let empty = announced.bytes == Some(0);
    if name.is_empty() || (empty && name.ends_with("_$folder$")) {
        return Some(Reason::Folder);
    }
    (announced.log_file.named_as() == NamedAs::TestObject).then_some(Reason::TestObject)
}

#[cfg(test)]
mod tests;
