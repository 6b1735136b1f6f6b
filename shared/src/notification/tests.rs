use serde_json::json;

use super::*;

/// As documented in "Event message structure" of S3's guide.
const S3_EVENT: &str = r#"{
  "Records": [
    {
      "eventVersion": "2.1",
      "eventSource": "aws:s3",
      "awsRegion": "us-west-2",
      "eventTime": "1970-01-01T00:00:00.000Z",
      "eventName": "ObjectCreated:Put",
      "userIdentity": { "principalId": "AIDAJDPLRKLG7UEXAMPLE" },
      "requestParameters": { "sourceIPAddress": "172.16.0.1" },
      "responseElements": {
        "x-amz-request-id": "C3D13FE58DE4C810",
        "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"
      },
      "s3": {
        "s3SchemaVersion": "1.0",
        "configurationId": "testConfigRule",
        "bucket": {
          "name": "amzn-s3-demo-bucket",
          "ownerIdentity": { "principalId": "A3NL1KOZZKExample" },
          "arn": "arn:aws:s3:::amzn-s3-demo-bucket"
        },
        "object": {
          "key": "HappyFace.jpg",
          "size": 1024,
          "eTag": "d41d8cd98f00b204e9800998ecf8427e",
          "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
          "sequencer": "0055AED6DCD90281E5"
        }
      }
    }
  ]
}"#;

/// As documented in "EventBridge event message structure" of S3's guide.
const EVENT_BRIDGE: &str = r#"{
  "version": "0",
  "id": "17793124-05d4-b198-2fde-7ededc63b103",
  "detail-type": "Object Created",
  "source": "aws.s3",
  "account": "111122223333",
  "time": "2021-11-12T00:00:00Z",
  "region": "ca-central-1",
  "resources": [ "arn:aws:s3:::amzn-s3-demo-bucket1" ],
  "detail": {
    "version": "0",
    "bucket": { "name": "amzn-s3-demo-bucket1" },
    "object": {
      "key": "example-key",
      "size": 5,
      "etag": "b57f9512698f4b09e608f4f2a65852e5",
      "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
      "sequencer": "617f08299329d189"
    },
    "request-id": "N4N7GDK58NMKJ12R",
    "requester": "123456789012",
    "source-ip-address": "1.2.3.4",
    "reason": "PutObject"
  }
}"#;

const TEST_EVENT: &str = r#"{
  "Service": "Amazon S3",
  "Event": "s3:TestEvent",
  "Time": "2014-10-13T15:57:02.089Z",
  "Bucket": "amzn-s3-demo-bucket",
  "RequestId": "5582815E1AEA5ADF",
  "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE"
}"#;

/// What SNS sends to a queue, unless raw delivery is switched on.
fn sns(message: &str) -> String {
    json!({
        "Type": "Notification",
        "MessageId": "63a3f6b6-d533-4a47-aef9-fcf5cf758c76",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:logs",
        "Subject": "Amazon S3 Notification",
        "Message": message,
        "Timestamp": "2012-03-29T05:12:16.901Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLEnTrFPa3",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe"
    })
    .to_string()
}

/// What a Lambda receives from SNS.
fn sns_to_lambda(message: &str) -> String {
    json!({"Records": [{
        "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:us-east-1:123456789012:sns-lambda:21be56ed-a058-49f5-8c98-aedd2564c486",
        "EventSource": "aws:sns",
        "Sns": {
            "SignatureVersion": "1",
            "Timestamp": "2019-01-02T12:45:07.000Z",
            "Signature": "tcc6faL2yUC6dgZdmrwh1Y4cGa/ebXEkAi6RibDsvpi+tE/1+82j...65r==",
            "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-ac565b8b1a6c5d002d285f9598aa1d9b.pem",
            "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
            "Message": message,
            "MessageAttributes": {},
            "Type": "Notification",
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:sns-lambda",
            "Subject": "Amazon S3 Notification"
        }
    }]})
    .to_string()
}

/// What a Lambda receives from SQS.
fn sqs_to_lambda(bodies: &[&str]) -> String {
    let records: Vec<Value> = bodies
        .iter()
        .map(|body| {
            json!({
                "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
                "awsRegion": "us-east-2"
            })
        })
        .collect();
    json!({ "Records": records }).to_string()
}

fn record(event: &str, key: &str) -> Value {
    json!({"eventSource": "aws:s3", "eventName": event,
        "s3": {"bucket": {"name": "logs"}, "object": {"key": key, "size": 9, "eTag": "e"}}})
}

fn created(key: &str) -> String {
    json!({"Records": [record("ObjectCreated:Put", key)]}).to_string()
}

fn event_bridge(detail_type: &str, key: &str) -> String {
    json!({"version": "0", "detail-type": detail_type, "source": "aws.s3",
        "detail": {"bucket": {"name": "logs"}, "object": {"key": key}}})
    .to_string()
}

fn uris(message: &str) -> Vec<String> {
    let notification = parse(message).unwrap();
    let announced = notification.log_files.iter();
    announced
        .map(|announced| announced.log_file.uri().to_owned())
        .collect()
}

fn left_out(message: &str) -> Vec<(String, Reason)> {
    let notification = parse(message).unwrap();
    assert_eq!(notification.log_files, []);
    let left_out = notification.left_out.into_iter();
    left_out.map(|part| (part.uri, part.why)).collect()
}

fn error(message: &str) -> String {
    parse(message).unwrap_err().to_string()
}

#[test]
fn s3_tells_a_queue_a_topic_or_a_lambda() {
    let expected = Announced {
        log_file: LogFile::new("s3://amzn-s3-demo-bucket/HappyFace.jpg"),
        bytes: Some(1024),
        etag: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
    };
    // By itself, as with raw delivery, and in everything that may wrap it.
    for message in [
        S3_EVENT.to_owned(),
        sns(S3_EVENT),
        sns_to_lambda(S3_EVENT),
        sqs_to_lambda(&[S3_EVENT]),
        sqs_to_lambda(&[&sns(S3_EVENT)]),
    ] {
        let notification = parse(&message).unwrap();
        assert_eq!(
            notification.log_files,
            std::slice::from_ref(&expected),
            "{message}"
        );
        assert_eq!(notification.left_out, []);
    }
}

#[test]
fn event_bridge_tells_a_queue_or_a_lambda() {
    for message in [
        EVENT_BRIDGE.to_owned(),
        sns(EVENT_BRIDGE),
        sqs_to_lambda(&[EVENT_BRIDGE]),
    ] {
        let notification = parse(&message).unwrap();
        assert_eq!(
            notification.log_files,
            [Announced {
                log_file: LogFile::new("s3://amzn-s3-demo-bucket1/example-key"),
                bytes: Some(5),
                etag: Some("b57f9512698f4b09e608f4f2a65852e5".to_owned()),
            }]
        );
    }
}

/// What Lambda sends to a function's destination, as documented in "Capturing records of Lambda asynchronous invocations".
fn invocation(event: &str) -> String {
    json!({
        "version": "1.0",
        "timestamp": "2019-11-14T18:16:05.568Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:my-function:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3
        },
        "requestPayload": serde_json::from_str::<Value>(event).unwrap(),
        "responseContext": {
            "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"
        },
        // A function may return anything. Its response announces nothing.
        "responsePayload": {"errorMessage": "failed", "log_files": ["s3://other/a"],
            "Records": [record("ObjectCreated:Put", "b")]}
    })
    .to_string()
}

/// [`invocation`] for a destination that is a bus of EventBridge.
fn invocation_event(event: &str) -> String {
    json!({
        "version": "0",
        "detail-type": "Lambda Function Invocation Result - Failure",
        "source": "lambda",
        "account": "123456789012",
        "resources": ["arn:aws:events:us-east-2:123456789012:event-bus/default"],
        "detail": serde_json::from_str::<Value>(&invocation(event)).unwrap()
    })
    .to_string()
}

/// A message as it arrived in a queue.
#[test]
fn what_a_failure_destination_put_into_a_queue_is_understood() {
    let message = r#"{"version":"1.0","timestamp":"2026-11-20T10:10:00Z","requestContext":{"requestId":"x","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:d","condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"logs"},"object":{"key":"AWSLogs/a.log.gz","size":100}}}]},"responseContext":{"statusCode":200,"functionError":"Unhandled"},"responsePayload":{"errorMessage":"x"}}"#;
    let notification = parse(message).unwrap();
    let expected = Announced {
        log_file: LogFile::new("s3://logs/AWSLogs/a.log.gz"),
        bytes: Some(100),
        etag: None,
    };
    assert_eq!(notification.log_files, [expected]);
    assert_eq!(notification.left_out, []);
}

/// For any event that a function was invoked with, and for any failure destination.
#[test]
fn a_failed_invocation_announces_what_the_function_was_invoked_with() {
    let events = [
        (
            S3_EVENT.to_owned(),
            "s3://amzn-s3-demo-bucket/HappyFace.jpg",
        ),
        (
            EVENT_BRIDGE.to_owned(),
            "s3://amzn-s3-demo-bucket1/example-key",
        ),
        (
            sns_to_lambda(S3_EVENT),
            "s3://amzn-s3-demo-bucket/HappyFace.jpg",
        ),
        (
            sqs_to_lambda(&[&sns(EVENT_BRIDGE)]),
            "s3://amzn-s3-demo-bucket1/example-key",
        ),
        (r#"{"log_files":["s3://b/k"]}"#.to_owned(), "s3://b/k"),
    ];
    for (event, uri) in &events {
        let destination = invocation(event);
        for message in [
            // The dead-letter queue of an asynchronous invocation gets the event unchanged.
            event,
            &destination,
            &sns(&destination),
            &sns_to_lambda(&destination),
            &sqs_to_lambda(&[&destination]),
            &invocation_event(event),
            &sqs_to_lambda(&[&invocation_event(event)]),
            &invocation(&destination),
        ] {
            assert_eq!(uris(message), [*uri], "{message}");
        }
    }
    let test = json!({"requestPayload": {"Event": "s3:TestEvent", "Bucket": "b"}});
    assert_eq!(left_out(&test.to_string())[0].1, Reason::TestEvent);
    assert!(error(r#"{"requestPayload":{"a":1}}"#).contains("an object with a"));
    assert!(error(r#"{"responsePayload":{"log_files":["s3://b/k"]}}"#).contains("responsePayload"));
    let event = r#"{"detail-type":"Lambda Function Invocation Result - Success","detail":{}}"#;
    assert!(error(event).contains("missing field `requestPayload`"));
}

#[test]
fn a_log_file_that_is_named_often_is_announced_once() {
    let many = [
        record("ObjectCreated:Put", "a"),
        record("ObjectCreated:Copy", "a"),
    ];
    let many: Vec<Value> = many.iter().cycle().take(7438).cloned().collect();
    let notification = from_json(&json!({ "Records": many })).unwrap();
    assert_eq!(notification.log_files.len(), 1);
    assert_eq!(notification.left_out.len(), 7437);
    assert!(
        notification
            .left_out
            .iter()
            .all(|part| part.why == Reason::Repeated && part.uri == "s3://logs/a")
    );
    let message = r#"{"log_files":["s3://b/1","s3://b/2","s3://b/1","s3://b/3"]}"#;
    assert_eq!(uris(message), ["s3://b/1", "s3://b/2", "s3://b/3"]);
    assert_eq!(
        uris(&sqs_to_lambda(&[&created("a"), &sns(&created("a"))])).len(),
        1
    );
}

#[test]
fn messages_of_a_queue_are_understood_each_by_itself() {
    let event = json!({"Records": [
        {"messageId": "1", "eventSource": "aws:sqs", "body": created("a")},
        {"messageId": "2", "eventSource": "aws:sqs", "body": "garbage"},
        {"messageId": "3", "eventSource": "aws:sqs", "body": sns(&created("b"))},
    ]});
    let messages = from_sqs(&event).unwrap();
    let ids: Vec<&str> = messages.iter().map(|message| &*message.id).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    let names: Vec<Option<&str>> = messages
        .iter()
        .map(|message| {
            Some(
                message.notification.as_ref().ok()?.log_files[0]
                    .log_file
                    .name(),
            )
        })
        .collect();
    assert_eq!(names, [Some("a"), None, Some("b")]);

    // In all other events, no message can be acknowledged separately.
    for event in [
        serde_json::from_str(S3_EVENT).unwrap(),
        serde_json::from_str(&sns_to_lambda(S3_EVENT)).unwrap(),
        json!({"Records": []}),
        json!({"Records": [{"body": "{}", "eventSource": "aws:sqs"}]}),
        json!({"Records": [{"body": "{}", "eventSource": "aws:mq", "messageId": "1"}]}),
        json!({"hello": "world"}),
    ] {
        assert!(from_sqs(&event).is_none(), "{event}");
    }
}

#[test]
fn the_dispatchers_message_is_read_as_it_was_written() {
    let odd = ["logs/a b+c%2B/é\"\\\u{7}.log.gz", "s3://b/k", "//a"];
    let log_files = odd.map(|key| LogFile::in_bucket("logs", key));
    let message = message(&log_files);
    assert_eq!(uris(&message), log_files.each_ref().map(LogFile::uri));
    assert_eq!(
        serde_json::from_str::<Value>(&super::message(&[LogFile::new("s3://b/k")])).unwrap(),
        json!({"version": 1, "log_files": ["s3://b/k"]})
    );
    // The dispatcher passes on everything that was announced to it: here an object whose size the message does not
    // contain.
    let announced = parse(&created("a_$folder$")).unwrap().log_files;
    let message = super::message(announced.iter().map(|each| &each.log_file));
    assert_eq!(uris(&message), ["s3://logs/a_$folder$"]);
    // Written by hand, and with a field that a later version may add.
    assert_eq!(uris(r#"{"log_files":["s3://b/k"]}"#), ["s3://b/k"]);
    assert_eq!(
        uris(r#"{"log_files":["s3://b/k"],"version":1,"sent_at":7}"#),
        ["s3://b/k"]
    );
    assert_eq!(uris(r#"{"log_files":[]}"#), [""; 0]);
}

#[test]
fn keys_are_form_decoded_once() {
    for (announced, key) in [
        ("red+flower.log", "red flower.log"),
        ("a%2Bb.log", "a+b.log"),
        ("a%252Bb.log", "a%2Bb.log"),
        ("a%20b", "a b"),
        ("AWSLogs/1/%C3%BC/%E2%82%AC.log.gz", "AWSLogs/1/ü/€.log.gz"),
        ("a%3D1/b%3A2", "a=1/b:2"),
        ("a%0Ab%22", "a\nb\""),
        // Not from S3, but from a sender that doesn't encode: invalid escapes are kept.
        ("100%", "100%"),
        ("%zz/ü", "%zz/ü"),
    ] {
        assert_eq!(uris(&created(announced)), [format!("s3://logs/{key}")]);
    }
    assert!(error(&created("a%FF")).contains("not UTF-8"), "a%FF");
}

#[test]
fn keys_from_event_bridge_are_not_encoded() {
    for key in ["a+b c.log", "%2B%20%%%.log", "ü"] {
        let message = event_bridge("Object Created", key);
        assert_eq!(uris(&message), [format!("s3://logs/{key}")]);
    }
}

#[test]
fn all_records_are_taken() {
    let records = json!({"Records": [
        record("ObjectCreated:Put", "1"),
        record("ObjectRemoved:Delete", "2"),
        record("ObjectCreated:CompleteMultipartUpload", "3"),
        record("s3:ObjectCreated:Copy", "4"),
    ]});
    let notification = parse(&records.to_string()).unwrap();
    let announced = notification.log_files.iter();
    let names: Vec<_> = announced.map(|file| file.log_file.name()).collect();
    assert_eq!(names, ["1", "3", "4"]);
    assert_eq!(notification.left_out.len(), 1);

    let wrapped = sqs_to_lambda(&[&created("1"), &sns(&created("2")), EVENT_BRIDGE, TEST_EVENT]);
    assert_eq!(uris(&wrapped).len(), 3);
    assert_eq!(uris(r#"{"Records":[]}"#), [""; 0]);
}

#[test]
fn what_announces_no_log_file_is_left_out_with_the_reason() {
    for message in [TEST_EVENT.to_owned(), sns(TEST_EVENT)] {
        assert_eq!(
            left_out(&message),
            [("s3://amzn-s3-demo-bucket".to_owned(), Reason::TestEvent)]
        );
    }
    for event in [
        "ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
        "ObjectRestore:Completed",
        "ObjectTagging:Put",
    ] {
        let message = json!({"Records": [record(event, "a+b")]}).to_string();
        let why = Reason::OtherEvent(event.to_owned());
        assert_eq!(left_out(&message), [("s3://logs/a b".to_owned(), why)]);
    }
    let why = Reason::OtherEvent("Object Deleted".to_owned());
    assert_eq!(
        left_out(&event_bridge("Object Deleted", "a+b")),
        [("s3://logs/a+b".to_owned(), why)]
    );
}

#[test]
fn what_can_be_no_log_is_left_out() {
    let why = |message: &str| left_out(message).remove(0).1;
    let test_file = "AWSLogs/123456789012/ELBAccessLogTestFile";
    assert_eq!(why(&created(test_file)), Reason::TestObject);
    assert_eq!(
        why(&event_bridge("Object Created", test_file)),
        Reason::TestObject
    );
    assert_eq!(
        why(r#"{"log_files":["s3://b/ELBConnectionLogTestFile"]}"#),
        Reason::TestObject
    );
    assert_eq!(why(&created("AWSLogs/")), Reason::Folder);
    let hadoop = created("AWSLogs_$folder$").replace("\"size\":9", "\"size\":0");
    assert_eq!(why(&hadoop), Reason::Folder);
    let unknown = event_bridge("Object Created", "AWSLogs_$folder$");
    assert_eq!(uris(&unknown), ["s3://logs/AWSLogs_$folder$"]);
    // Objects with bytes and any name: a worker will inspect them.
    for key in ["a_$folder$", "conn_log.1.log.gz", "export.gz", "b"] {
        assert_eq!(uris(&created(key)), [format!("s3://logs/{key}")]);
    }
}

#[test]
fn what_is_not_selected_is_left_out() {
    let records = ["alb/a.log.gz", "alb/a.txt", "a.log.gz"];
    let records = records.map(|key| record("ObjectCreated:Put", key));
    let mut notification = parse(&json!({ "Records": records }).to_string()).unwrap();
    notification.select(&Selection {
        prefixes: vec!["alb/".to_owned()],
        suffixes: vec![".log.gz".to_owned()],
    });
    assert_eq!(notification.log_files.len(), 1);
    assert_eq!(
        notification.log_files[0].log_file.uri(),
        "s3://logs/alb/a.log.gz"
    );
    let left_out = notification.left_out.iter();
    let left_out: Vec<_> = left_out.map(|part| (&*part.uri, part.why.name())).collect();
    assert_eq!(
        left_out,
        [
            ("s3://logs/alb/a.txt", "not_selected"),
            ("s3://logs/a.log.gz", "not_selected")
        ]
    );
}

#[test]
fn what_only_informs_may_be_missing_or_odd() {
    for object in [
        json!({"key": "k"}),
        json!({"key": "k", "size": "3", "eTag": 4}),
        json!({"key": "k", "size": null, "eTag": null}),
        json!({"key": "k", "size": -1}),
    ] {
        let message = json!({"Records": [{"eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "logs"}, "object": object}}]});
        let notification = from_json(&message).unwrap();
        assert_eq!(
            notification.log_files,
            [Announced {
                log_file: LogFile::new("s3://logs/k"),
                bytes: None,
                etag: None
            }]
        );
    }
    let quoted = json!({"Records": [{"eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "logs"}, "object": {"key": "k", "eTag": "\"e\""}}}]});
    let notification = from_json(&quoted).unwrap();
    assert_eq!(notification.log_files[0].etag.as_deref(), Some("e"));
}

#[test]
fn what_is_not_understood_is_an_error_that_says_what_it_is() {
    for (message, says) in [
        ("", "the message is not JSON: EOF"),
        ("s3://logs/a", "the message is not JSON"),
        ("[]", "not a known notification: an array"),
        ("3", "a number"),
        ("\"{}\"", "a string"),
        ("null", "null"),
        ("{}", "an empty object"),
        (
            r#"{"action":"x","when":"now"}"#,
            "an object with action, when",
        ),
        (r#"{"Records":{}}"#, "the message is malformed"),
        (r#"{"Records":[3]}"#, "record 1 is a number"),
        (
            r#"{"Records":[{"kinesis":{}}]}"#,
            "record 1 is an object with kinesis",
        ),
        (
            r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"}}}]}"#,
            "record 1 is malformed: missing field `object`",
        ),
        (
            r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":""},"object":{"key":"k"}}}]}"#,
            "the bucket is missing",
        ),
        (
            r#"{"log_files":["file:///etc/passwd"]}"#,
            "write s3://bucket/key",
        ),
        (r#"{"log_files":["s3://b/"]}"#, "write s3://bucket/key"),
        (r#"{"log_files":"s3://b/k"}"#, "the message is malformed"),
        (
            r#"{"log_files":["s3://b/k"],"version":2}"#,
            "version 2 of the dispatcher's message is not supported, only version 1",
        ),
        (
            r#"{"detail-type":"AWS API Call via CloudTrail","detail":{}}"#,
            "detail-type is AWS API Call via CloudTrail",
        ),
        (
            r#"{"detail-type":"Object Created","detail":{}}"#,
            "the EventBridge event is malformed: missing field `bucket`",
        ),
        (
            r#"{"Type":"SubscriptionConfirmation","TopicArn":"arn:t","Message":"m","Token":"secret"}"#,
            "the subscription to the SNS topic arn:t is not confirmed",
        ),
        (r#"{"Event":"s3:TestEvent"}"#, "the test event is malformed"),
    ] {
        let error = error(message);
        assert!(error.contains(says), "{message}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(error(&sns("hello")).starts_with("an SNS message is not JSON"));
    assert!(error(&created("")).contains("the key is missing"));
    assert!(error(&created(&"k".repeat(1025))).contains("too long"));
    assert_eq!(uris(&created(&"k".repeat(1024))).len(), 1);
}

/// A bucket's name with a slash would be taken for a shorter name, which may be allowed where this one is not.
#[test]
fn a_bucket_has_no_slash() {
    let message = json!({"Records": [{"eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "logs/a"}, "object": {"key": "k"}}}]});
    let error = from_json(&message).unwrap_err().to_string();
    assert!(error.contains("slash"), "{error}");
}

#[test]
fn one_part_that_is_not_understood_holds_back_the_whole_message() {
    let bad = json!({"Records": [record("ObjectCreated:Put", "a"), {"eventName": "?"}]});
    assert!(error(&bad.to_string()).contains("record 2"));
    let message = sqs_to_lambda(&[&created("a"), "garbage"]);
    assert!(error(&message).contains("an SQS message is not JSON"));
}

#[test]
fn messages_are_not_unwrapped_for_ever() {
    let mut message = created("a");
    for _ in 0..6 {
        message = sns(&message);
        assert_eq!(uris(&message).len(), 1);
    }
    assert!(error(&sns(&message)).contains("more than 6 deep"));
    assert!(error(&invocation(&message)).contains("more than 6 deep"));
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(error(&nested).contains("recursion limit"));
}

/// Every prefix of each sample, and each sample with a byte replaced, gives an answer or an error and never a panic.
#[test]
fn damaged_messages_do_not_panic() {
    let samples = [
        &sns(S3_EVENT),
        &invocation(S3_EVENT),
        &sqs_to_lambda(&[S3_EVENT]),
    ];
    for sample in [S3_EVENT, EVENT_BRIDGE, TEST_EVENT]
        .into_iter()
        .chain(samples.map(|s| &**s))
    {
        for at in 0..sample.len() {
            assert!(parse(&sample[..at]).is_err());
            for byte in [b'0', b'"', b'{', b'%', b'+'] {
                let mut damaged = sample.as_bytes().to_vec();
                damaged[at] = byte;
                let _ = parse(std::str::from_utf8(&damaged).unwrap());
            }
        }
    }
}
