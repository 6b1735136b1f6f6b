//! The function itself, invoked as Lambda does: events in, messages out.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::{Answer, Lambda, Outcome, Request, Server};

const TOKEN: &str = "a-token-that-no-log-shows";

fn created(keys: &[&str]) -> Value {
    let records: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "logs"}, "object": {"key": key, "size": 9, "eTag": "e"}}
            })
        })
        .collect();
    json!({ "Records": records })
}

fn sns(message: &Value) -> Value {
    json!({"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": {
        "Type": "Notification", "TopicArn": "arn:aws:sns:t", "Message": message.to_string()}}]})
}

fn to_worker(worker: &Server) -> Lambda {
    let url = format!("http://{}", worker.address);
    Lambda::start(&[("DISPATCH_URL", &url), ("DISPATCH_TOKEN", TOKEN)])
}

fn to_queue(sqs: &Server) -> Lambda {
    let endpoint = format!("http://{}", sqs.address);
    let url = format!("{endpoint}/000000000000/logs");
    Lambda::start(&[("QUEUE_URL", &url), ("AWS_ENDPOINT_URL_SQS", &endpoint)])
}

fn sent(number: usize) -> Outcome {
    Outcome::Response(json!({"sent": number, "left_out": {}}))
}

fn error(outcome: Outcome) -> (String, String) {
    match outcome {
        Outcome::Error { r#type, message } => (r#type, message),
        Outcome::Response(response) => panic!("it has succeeded: {response}"),
    }
}

/// The log files that a worker was told of, or a queue.
fn told(requests: &[Request]) -> Vec<String> {
    let messages = requests.iter().map(Request::json);
    let mut uris: Vec<String> = messages.flat_map(|message| log_files(&message)).collect();
    uris.sort();
    uris
}

fn log_files(message: &Value) -> Vec<String> {
    let uris = message["log_files"].as_array().unwrap().iter();
    uris.map(|uri| uri.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_worker_is_told_of_a_new_log_file() {
    let worker = Server::start(|_, _| Answer::new(200, ""));
    let lambda = to_worker(&worker);
    assert_eq!(lambda.invoke(created(&["AWSLogs/a+b%2Bc.log.gz"])), sent(1));

    let requests = worker.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].what, "POST /v1/log-files");
    assert_eq!(
        requests[0].header("authorization"),
        format!("Bearer {TOKEN}")
    );
    assert_eq!(requests[0].header("content-type"), "application/json");
    assert_eq!(
        requests[0].json(),
        json!({"version": 1, "log_files": ["s3://logs/AWSLogs/a b+c.log.gz"]})
    );

    let line = lambda.log();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["sent"], 1);
    assert!(line["request_id"].as_str().unwrap().starts_with("request-"));
}

#[test]
fn one_function_serves_events_of_every_shape() {
    let worker = Server::start(|_, _| Answer::new(200, ""));
    let lambda = to_worker(&worker);
    let event_bridge = json!({"version": "0", "detail-type": "Object Created", "source": "aws.s3",
        "detail": {"bucket": {"name": "logs"}, "object": {"key": "d+e", "size": 5, "etag": "e"}}});
    let sqs = json!({"Records": [{"messageId": "m", "eventSource": "aws:sqs",
        "body": created(&["f"]).to_string()}]});
    assert_eq!(lambda.invoke(created(&["a", "b"])), sent(2));
    assert_eq!(lambda.invoke(sns(&created(&["c"]))), sent(1));
    assert_eq!(lambda.invoke(event_bridge), sent(1));
    let failed_before =
        json!({"version": "1.0", "requestContext": {}, "requestPayload": created(&["g"])});
    let of_batch = json!({"sent": 1, "left_out": {}, "batchItemFailures": []});
    assert_eq!(lambda.invoke(sqs), Outcome::Response(of_batch));
    assert_eq!(lambda.invoke(failed_before), sent(1));
    assert_eq!(
        told(&worker.requests()),
        [
            "s3://logs/a",
            "s3://logs/b",
            "s3://logs/c",
            "s3://logs/d+e",
            "s3://logs/f",
            "s3://logs/g"
        ]
    );
}

/// A message that can't be passed on comes to its queue's dead letters, and takes no other with it.
#[test]
fn of_a_batch_of_a_queue_only_the_failed_messages_come_again() {
    let worker = Server::start(|_, request| match request.body.contains("bad") {
        true => Answer::new(422, "can't be read"),
        false => Answer::new(200, ""),
    });
    let lambda = to_worker(&worker);
    let record =
        |id: &str, body: String| json!({"messageId": id, "eventSource": "aws:sqs", "body": body});
    let batch = json!({"Records": [
        record("1", created(&["a"]).to_string()),
        record("2", "garbage".to_owned()),
        record("3", created(&["bad"]).to_string()),
        record("4", sns(&created(&["b"])).to_string()),
    ]});
    let Outcome::Response(answer) = lambda.invoke(batch) else {
        panic!("the batch has failed as a whole");
    };
    assert_eq!(
        answer["batchItemFailures"],
        json!([{"itemIdentifier": "2"}, {"itemIdentifier": "3"}])
    );
    assert_eq!(
        told(&worker.requests()),
        ["s3://logs/a", "s3://logs/b", "s3://logs/bad"]
    );
    let line = lambda.log();
    assert_eq!(
        (&line["level"], &line["failed_messages"]),
        (&json!("ERROR"), &json!(2))
    );
    let reasons = line["reasons"].as_str().unwrap();
    assert!(
        reasons.contains("2: not understood: an SQS message is not JSON"),
        "{line}"
    );
    assert!(reasons.contains("3: s3://logs/bad: refused"), "{line}");

    // If nothing of it was done, it fails as a whole, however the trigger is set up.
    let batch = json!({"Records": [record("3", created(&["bad"]).to_string())]});
    assert_eq!(error(lambda.invoke(batch)).0, "Undelivered");
}

#[test]
fn a_log_file_that_an_event_names_often_is_sent_once() {
    let worker = Server::start(|_, _| Answer::new(200, ""));
    let lambda = to_worker(&worker);
    let left_out = json!({"sent": 1, "left_out": {"repeated": 499}});
    assert_eq!(
        lambda.invoke(created(&["a"; 500])),
        Outcome::Response(left_out)
    );
    assert_eq!(worker.requests().len(), 1);
}

#[test]
fn what_is_no_log_is_counted_and_not_sent() {
    let worker = Server::start(|_, _| Answer::new(200, ""));
    let lambda = to_worker(&worker);
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs"});
    assert_eq!(
        lambda.invoke(sns(&test)),
        Outcome::Response(json!({"sent": 0, "left_out": {"test_event": 1}}))
    );
    assert_eq!(
        lambda.invoke(created(&["AWSLogs/1/ELBAccessLogTestFile", "AWSLogs/"])),
        Outcome::Response(json!({"sent": 0, "left_out": {"folder": 1, "test_object": 1}}))
    );
    assert!(worker.requests().is_empty());
    assert_eq!(lambda.log()["left_out.test_event"], 1);
    let line = lambda.log();
    assert_eq!(line["left_out.test_object"], 1);
    assert_eq!(line.get("left_out.test_event"), None);
}

#[test]
fn keys_that_are_not_asked_for_are_not_sent() {
    let worker = Server::start(|_, _| Answer::new(200, ""));
    let url = format!("http://{}", worker.address);
    let lambda = Lambda::start(&[
        ("DISPATCH_URL", &url),
        ("DISPATCH_TOKEN", TOKEN),
        ("KEY_PREFIXES", "alb/"),
        ("KEY_SUFFIXES", ".log.gz,.log"),
    ]);
    assert_eq!(
        lambda.invoke(created(&[
            "alb/a.log.gz",
            "alb/b.log",
            "alb/c.txt",
            "d.log.gz"
        ])),
        Outcome::Response(json!({"sent": 2, "left_out": {"not_selected": 2}}))
    );
    assert_eq!(
        told(&worker.requests()),
        ["s3://logs/alb/a.log.gz", "s3://logs/alb/b.log"]
    );
}

#[test]
fn a_worker_that_is_full_or_gone_is_asked_again() {
    let worker = Server::start(|before, _| match before {
        0 => Answer::HangUp,
        1 => Answer::new(503, "full").with("Retry-After", "1"),
        2 => Answer::new(502, "gateway"),
        _ => Answer::new(200, ""),
    });
    let lambda = to_worker(&worker);
    let started = Instant::now();
    assert_eq!(lambda.invoke(created(&["a"])), sent(1));
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(told(&worker.requests()), ["s3://logs/a"; 4]);
}

#[test]
fn a_refusal_is_not_repeated_and_fails_the_invocation() {
    let worker = Server::start(|_, request| match request.body.contains("bad") {
        true => Answer::new(422, "s3://logs/bad: not an\nallowed bucket"),
        false => Answer::new(200, ""),
    });
    let lambda = to_worker(&worker);
    let (r#type, message) = error(lambda.invoke(created(&["a", "bad", "b"])));
    assert_eq!(r#type, "Undelivered");
    assert!(
        message.starts_with("1 of 3 log files could not be delivered: s3://logs/bad"),
        "{message}"
    );
    assert!(message.contains("422"), "{message}");
    assert_eq!(
        told(&worker.requests()),
        ["s3://logs/a", "s3://logs/b", "s3://logs/bad"]
    );

    let line = lambda.log();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(
        (&line["sent"], &line["undelivered"]),
        (&json!(2), &json!(1))
    );
    let named = line["log_files"].as_str().unwrap();
    assert!(named.contains("s3://logs/bad: refused"), "{named}");
    assert!(named.contains("not an allowed bucket"), "{named}");
    assert!(!line.to_string().contains(TOKEN), "{line}");
    // The function is fit for the next event, and has nothing else to say of the last.
    assert_eq!(lambda.invoke(created(&["c"])), sent(1));
    assert_eq!(lambda.log()["sent"], 1);
}

#[test]
fn an_answer_that_is_not_a_workers_is_no_success() {
    let worker = Server::start(|_, _| Answer::new(302, "").with("Location", "/login"));
    let (_, message) = error(to_worker(&worker).invoke(created(&["a"])));
    assert!(message.contains("302"), "{message}");
    assert_eq!(worker.requests().len(), 1);
}

#[test]
fn a_worker_that_hangs_is_reported_before_lambda_ends_the_function() {
    let worker = Server::start(|_, _| Answer::Silence(Duration::from_secs(60)));
    let lambda = to_worker(&worker);
    let started = Instant::now();
    let time = Duration::from_secs(5);
    let (_, message) = error(lambda.invoke_for(created(&["a"]), time));
    assert!(started.elapsed() < time, "{:?}", started.elapsed());
    assert!(
        message.contains("s3://logs/a: no response from the worker"),
        "{message}"
    );
    // The first try did not take all of the time.
    assert!(worker.requests().len() > 1);
}

#[test]
fn an_event_that_is_not_understood_fails_the_invocation() {
    let worker = Server::start(|_, _| Answer::new(200, ""));
    let lambda = to_worker(&worker);
    let (r#type, message) = error(lambda.invoke(json!({"hello": "world"})));
    assert_eq!(r#type, "NotUnderstood");
    assert!(message.contains("an object with hello"), "{message}");
    assert_eq!(lambda.log()["message"], "event not understood");
    assert!(worker.requests().is_empty());
}

/// SQS by its JSON protocol. `fault` says what is wrong with a message at the so-manieth request.
fn sqs(fault: impl Fn(usize, &str) -> Option<bool> + Send + Sync + 'static) -> Server {
    Server::start(move |before, request| {
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in request.json()["Entries"].as_array().unwrap() {
            match fault(before, entry["MessageBody"].as_str().unwrap()) {
                None => successful.push(json!({"Id": entry["Id"], "MessageId": "m",
                    "MD5OfMessageBody": "0"})),
                Some(senders) => failed.push(json!({"Id": entry["Id"], "SenderFault": senders,
                    "Code": "Odd", "Message": "it is odd"})),
            }
        }
        let answer = json!({"Successful": successful, "Failed": failed});
        Answer::new(200, answer.to_string()).with("Content-Type", "application/x-amz-json-1.0")
    })
}

/// The log files of a request to SQS, each from a message of its own.
fn queued(request: &Request) -> Vec<String> {
    let json = request.json();
    let entries = json["Entries"].as_array().unwrap().iter();
    let mut uris: Vec<String> = entries
        .map(|entry| {
            let message = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
            let mut uris = log_files(&message);
            assert_eq!(uris.len(), 1);
            uris.remove(0)
        })
        .collect();
    uris.sort();
    uris
}

#[test]
fn a_queue_is_told_by_batches_and_again_of_what_it_did_not_take() {
    let odd = |message: &str| message.contains("/03") || message.contains("/11");
    let sqs = sqs(move |before, message| (before < 3 && odd(message)).then_some(false));
    let lambda = to_queue(&sqs);
    let keys: Vec<String> = (0..12).map(|at| format!("{at:02}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(lambda.invoke(created(&keys)), sent(12));

    let requests = sqs.requests();
    for request in &requests {
        assert_eq!(request.header("x-amz-target"), "AmazonSQS.SendMessageBatch");
        assert!(request.header("authorization").contains("/eu-west-1/sqs/"));
        let url = request.json()["QueueUrl"].clone();
        assert!(url.as_str().unwrap().ends_with("/000000000000/logs"));
    }
    let mut batches: Vec<usize> = requests
        .iter()
        .map(|request| queued(request).len())
        .collect();
    batches.sort();
    assert!(batches.ends_with(&[2, 10]), "{batches:?}");
    // Only what was not taken has been sent more than once.
    let again: Vec<String> = requests.iter().flat_map(queued).collect();
    let times = |key: &str| again.iter().filter(|uri| uri.ends_with(key)).count();
    assert_eq!((times("/00"), times("/10")), (1, 1));
    assert!(times("/03") > 1 && times("/11") > 1, "{again:?}");
}

#[test]
fn a_message_that_sqs_will_never_take_fails_the_invocation() {
    let sqs = sqs(|_, message| message.contains("bad").then_some(true));
    let lambda = to_queue(&sqs);
    let (r#type, message) = error(lambda.invoke(created(&["a", "bad"])));
    assert_eq!(r#type, "Undelivered");
    assert!(message.starts_with("1 of 2 log files"), "{message}");
    assert!(
        message.contains("s3://logs/bad: refused: SQS returned Odd: it is odd"),
        "{message}"
    );
    assert_eq!(sqs.requests().len(), 1);
}

#[test]
fn a_queue_that_is_not_there_fails_the_invocation_at_once() {
    let sqs = Server::start(|_, _| {
        let answer = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist",
            "message": "The specified queue does not exist."});
        Answer::new(400, answer.to_string()).with("Content-Type", "application/x-amz-json-1.0")
    });
    let (_, message) = error(to_queue(&sqs).invoke(created(&["a"])));
    assert!(message.contains("refused: SQS returned"), "{message}");
    assert!(message.contains("does not exist"), "{message}");
    assert_eq!(sqs.requests().len(), 1);
}

#[test]
fn a_queue_that_fails_is_asked_again_until_the_time_is_over() {
    let sqs = Server::start(|_, _| Answer::new(503, "{}"));
    let lambda = to_queue(&sqs);
    let started = Instant::now();
    let time = Duration::from_secs(6);
    let (_, message) = error(lambda.invoke_for(created(&["a"]), time));
    assert!(started.elapsed() < time, "{:?}", started.elapsed());
    assert!(message.contains("s3://logs/a: "), "{message}");
    // After 0.1 s and more, 0.2, 0.4, 0.8, 1.6: nothing within asks again for itself.
    let requests = sqs.requests().len();
    println!("{requests} requests to a broken queue in {time:?}");
    assert!((3..=6).contains(&requests), "{requests}");
    let line = lambda.log();
    assert_eq!(
        (&line["level"], &line["message"]),
        (&json!("WARN"), &json!("attempt failed; retrying"))
    );
    assert!(
        line["cause"].as_str().unwrap().contains("SQS returned"),
        "{line}"
    );
}

#[test]
fn wrong_settings_end_the_function_with_a_reason() {
    for (environment, says) in [
        (&[][..], "set QUEUE_URL"),
        (
            &[
                ("QUEUE_URL", "https://q/1/a"),
                ("DISPATCH_URL", "https://w"),
            ],
            "remove one of them",
        ),
        (&[("DISPATCH_URL", "https://w")], "set DISPATCH_TOKEN"),
    ] {
        let mut lambda = Lambda::start(environment);
        assert!(!lambda.end().success());
        let line = lambda.log();
        assert_eq!(line["message"], "lambda-dispatch cannot start");
        assert!(line["error"].as_str().unwrap().contains(says), "{line}");
    }
}
