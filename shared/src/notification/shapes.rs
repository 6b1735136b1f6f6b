//! The shapes of a notification, distinguished by keys that only one of them has.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Announced, BUCKET_BYTES_MAX, KEY_BYTES_MAX, Notification, NotificationError, Reason};
use crate::log_file::LogFile;
use crate::s3_uri::S3Uri;

/// The version of the dispatcher's message. It changes when an older worker would misunderstand a newer message, but not
/// for a field that may be ignored.
pub(super) const VERSION: u64 = 1;

/// Maximum nesting of messages. S3 over SNS over SQS to a Lambda makes three; that Lambda's failure destination over
/// EventBridge or SNS into a queue adds two.
pub(super) const NESTED_MAX: u32 = 6;

/// Maximum characters that an error quotes from a message that is not understood.
const CUT_CHARACTERS: usize = 100;

/// The dispatcher's message.
#[derive(Deserialize)]
struct Dispatched {
    #[serde(default = "first_version")]
    version: u64,
    log_files: Vec<String>,
}

/// A message written by hand, for `curl`, may omit the version.
fn first_version() -> u64 {
    1
}

/// What S3 sends to a queue, a topic or a Lambda, and what a Lambda receives from SNS and from SQS.
#[derive(Deserialize)]
struct Records {
    #[serde(rename = "Records")]
    records: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Record {
    event_name: String,
    s3: S3Entity,
}

/// An object, in the form that S3 and EventBridge both use.
#[derive(Deserialize)]
struct S3Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    /// Any type: the size is only informative, and an invalid one must not lose the log file.
    size: Option<Value>,
    #[serde(alias = "eTag")]
    etag: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct EventBridge {
    detail_type: String,
    detail: S3Entity,
}

/// The envelope of SNS, in a queue and within a record for a Lambda.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sns {
    r#type: String,
    #[serde(default)]
    topic_arn: String,
    message: String,
}

/// What Lambda sends to a function's destination: the event that the function was invoked with, and the outcome. The
/// function itself writes the outcome's `responsePayload`, which announces nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    request_payload: Value,
}

/// [`Invocation`] as an event of EventBridge.
#[derive(Deserialize)]
struct InvocationEvent {
    detail: Invocation,
}

/// A message of a queue, as a Lambda receives it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecord {
    message_id: String,
    event_source: String,
    body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TestEvent {
    bucket: String,
}

pub(super) fn from_text(what: &'static str, text: &str) -> Result<Value, NotificationError> {
    serde_json::from_str(text).map_err(|source| NotificationError::NotJson { what, source })
}

pub(super) fn dispatched<'a>(log_files: impl IntoIterator<Item = &'a LogFile>) -> String {
    let log_files: Vec<&str> = log_files.into_iter().map(LogFile::uri).collect();
    json!({"version": VERSION, "log_files": log_files}).to_string()
}

/// Adds the content of a message to `notification`. `wrapped` is the number of messages around it.
pub(super) fn read(
    message: &Value,
    wrapped: u32,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    let has = |key| message.get(key).is_some();
    if has("log_files") {
        read_dispatched(part("the message", message)?, notification)
    } else if has("Records") {
        let Records { records } = part("the message", message)?;
        let mut records = records.iter().enumerate();
        records.try_for_each(|(at, record)| read_record(at, record, wrapped, notification))
    } else if has("requestPayload") {
        let invocation = part("the message of a Lambda destination", message)?;
        read_invocation(&invocation, wrapped, notification)
    } else if has("detail-type") {
        read_event_bridge(message, wrapped, notification)
    } else if message.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        let TestEvent { bucket } = part("the test event", message)?;
        notification.leave_out(&format!("{}{bucket}", S3Uri::SCHEME), Reason::TestEvent);
        Ok(())
    } else if has("TopicArn") || (has("Type") && has("Message")) {
        let sns = part("the SNS message", message)?;
        read_sns(&sns, wrapped, notification)
    } else {
        Err(NotificationError::Unknown {
            found: described(message),
        })
    }
}

fn read_dispatched(
    message: Dispatched,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    if message.version != VERSION {
        return Err(NotificationError::Version(message.version));
    }
    for uri in message.log_files {
        let log_file = LogFile::new(uri);
        let Some((bucket, key)) = log_file.bucket_and_key() else {
            return Err(no_object(log_file.uri(), "write s3://bucket/key"));
        };
        check(bucket, key)?;
        notification.add(Announced {
            log_file,
            bytes: None,
            etag: None,
        });
    }
    Ok(())
}

fn read_record(
    at: usize,
    record: &Value,
    wrapped: u32,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    let what = || format!("record {}", at + 1);
    if record.get("s3").is_some() {
        read_s3(part(what(), record)?, notification)
    } else if let Some(sns) = record.get("Sns") {
        read_sns(&part(what(), sns)?, wrapped, notification)
    } else if let Some(body) = record.get("body").and_then(Value::as_str) {
        read_wrapped("an SQS message", body, wrapped, notification)
    } else {
        Err(NotificationError::Unknown {
            found: format!("{} is {}", what(), described(record)),
        })
    }
}

fn read_s3(record: S3Record, notification: &mut Notification) -> Result<(), NotificationError> {
    let key = form_decoded(&record.s3.object.key)?;
    // MinIO and older emulators send the event name as in the bucket's configuration, with `s3:` in front.
    let name = record.event_name.strip_prefix("s3:");
    let name = name.unwrap_or(&record.event_name);
    let created = name.starts_with("ObjectCreated:");
    take(record.s3, &key, name, created, notification)
}

fn read_event_bridge(
    message: &Value,
    wrapped: u32,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    // An event that isn't about objects, such as CloudTrail's record of a PUT, may be someone's way to announce log
    // files. It must not be dropped as "another event".
    match message.get("detail-type").and_then(Value::as_str) {
        Some(name) if name.starts_with("Object ") => {}
        Some(name) if name.starts_with("Lambda Function Invocation Result") => {
            let InvocationEvent { detail } = part("the EventBridge event of Lambda", message)?;
            return read_invocation(&detail, wrapped, notification);
        }
        name => {
            let name = name.unwrap_or("missing or not a string");
            return Err(NotificationError::Unknown {
                found: format!("an EventBridge event whose detail-type is {}", cut(name)),
            });
        }
    }
    let event: EventBridge = part("the EventBridge event", message)?;
    // Unlike in S3's own notifications, the key is not encoded here: decoding would turn a `+` into a space.
    let key = event.detail.object.key.clone();
    let created = event.detail_type == "Object Created";
    take(
        event.detail,
        &key,
        &event.detail_type,
        created,
        notification,
    )
}

fn read_sns(
    sns: &Sns,
    wrapped: u32,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    match sns.r#type.as_str() {
        "Notification" => read_wrapped("an SNS message", &sns.message, wrapped, notification),
        "SubscriptionConfirmation" => Err(NotificationError::Unconfirmed {
            topic: cut(&sns.topic_arn),
        }),
        other => Err(NotificationError::Unknown {
            found: format!("an SNS message of the type {}", cut(other)),
        }),
    }
}

/// Reads the event that a function was invoked with. If the invocation failed, the event was not passed on.
fn read_invocation(
    invocation: &Invocation,
    wrapped: u32,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    if wrapped == NESTED_MAX {
        return Err(NotificationError::Nested);
    }
    read(&invocation.request_payload, wrapped + 1, notification)
}

/// The messages of an event that SQS has delivered to a Lambda. `None` for any other event.
pub(super) fn sqs_messages(event: &Value) -> Option<Vec<(String, String)>> {
    let Records { records } = Records::deserialize(event).ok()?;
    let messages = records.iter().map(|record| {
        let SqsRecord {
            message_id,
            event_source,
            body,
        } = SqsRecord::deserialize(record).ok()?;
        (event_source == "aws:sqs").then_some((message_id, body))
    });
    let messages: Vec<_> = messages.collect::<Option<_>>()?;
    (!messages.is_empty()).then_some(messages)
}

/// Reads one message of an event from SQS.
pub(super) fn read_body(
    body: &str,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    read_wrapped("an SQS message", body, 0, notification)
}

fn read_wrapped(
    what: &'static str,
    text: &str,
    wrapped: u32,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    if wrapped == NESTED_MAX {
        return Err(NotificationError::Nested);
    }
    read(&from_text(what, text)?, wrapped + 1, notification)
}

fn take(
    entity: S3Entity,
    key: &str,
    event: &str,
    created: bool,
    notification: &mut Notification,
) -> Result<(), NotificationError> {
    check(&entity.bucket.name, key)?;
    let log_file = LogFile::in_bucket(&entity.bucket.name, key);
    if !created {
        notification.leave_out(log_file.uri(), Reason::OtherEvent(event.to_owned()));
        return Ok(());
    }
    let etag = entity.object.etag.as_ref().and_then(Value::as_str);
    notification.add(Announced {
        log_file,
        bytes: entity.object.size.as_ref().and_then(Value::as_u64),
        etag: etag.map(|etag| etag.trim_matches('"').to_owned()),
    });
    Ok(())
}

/// Decodes the form in which S3 announces a key.
fn form_decoded(key: &str) -> Result<String, NotificationError> {
    let spaced = key.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(key) => Ok(key.into_owned()),
        Err(_) => Err(no_object(key, "the decoded key is not UTF-8")),
    }
}

/// Refuses names that no bucket or object can have. With a `/` in the bucket's name, the URI would be another object's.
fn check(bucket: &str, key: &str) -> Result<(), NotificationError> {
    let why = match (bucket.len(), key.len()) {
        (0, _) => "the bucket is missing",
        (_, 0) => "the key is missing",
        (..=BUCKET_BYTES_MAX, ..=KEY_BYTES_MAX) if !bucket.contains('/') => return Ok(()),
        (..=BUCKET_BYTES_MAX, ..=KEY_BYTES_MAX) => "the bucket's name contains a slash",
        (_, ..=KEY_BYTES_MAX) => "the bucket's name is too long",
        _ => "the key is too long",
    };
    Err(no_object(&S3Uri { bucket, key }.to_string(), why))
}

fn no_object(uri: &str, why: &'static str) -> NotificationError {
    NotificationError::NotAnObject {
        uri: uri.chars().take(KEY_BYTES_MAX).collect(),
        why,
    }
}

fn part<'a, T: Deserialize<'a>>(
    what: impl Into<String>,
    json: &'a Value,
) -> Result<T, NotificationError> {
    T::deserialize(json).map_err(|source| NotificationError::Malformed {
        what: what.into(),
        source,
    })
}

/// The beginning of an untrusted text, for a message that goes to a log.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CUT_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Describes JSON by its keys, which tell what it is, and not by its values, which may be anything.
fn described(json: &Value) -> String {
    match json {
        Value::Object(object) if object.is_empty() => "an empty object".to_owned(),
        Value::Object(object) => {
            let keys: Vec<String> = object.keys().take(10).map(|key| cut(key)).collect();
            format!("an object with {}", keys.join(", "))
        }
        Value::Array(_) => "an array".to_owned(),
        Value::String(_) => "a string".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::Bool(_) | Value::Null => json.to_string(),
    }
}
