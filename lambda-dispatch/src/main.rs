//! Notifies logmill's workers of new log files.
//!
//! A Lambda function that S3, SNS, EventBridge or SQS invokes with a notification. It looks only at names, and passes the
//! log files among them to a queue or to a worker. Duplicates are harmless, because a log file is counted once. What
//! matters here is that no log file is lost: an invocation succeeds only if everything has arrived. Otherwise it fails,
//! and Lambda retries it and then sends it to the dead-letter queue or failure destination. Of a batch from SQS, only the
//! messages that failed are redelivered.
//!
//! Events are parsed by `logmill_shared::notification` and not by `aws_lambda_events`: the workers need the same shapes
//! from a queue, and a key must mean the same on either path.

mod settings;
mod dispatch;
mod sender;
mod log;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use serde_json::Value;
use tokio::time::Instant;

use dispatch::{DispatchError, Dispatcher, Report};
use sender::Sender;
use sender::http::WorkerSender;
use sender::sqs::QueueSender;
use settings::{Settings, Target};

/// Time reserved to report an invocation's outcome. If it is too short, Lambda ends the function during an attempt, and
/// the log does not name the undelivered log files.
const REPORTING: Duration = Duration::from_millis(500);

// One thread: there is one invocation at a time, and it waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::start(std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().as_deref());
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %error, "lambda-dispatch cannot start");
            ExitCode::FAILURE
        }
    }
}

/// Creates the only client before the first event, so that invocations share its connections.
async fn run() -> Result<(), lambda_runtime::Error> {
    let Settings { target, selection } = Settings::read(|name| std::env::var(name).ok())?;
    match target {
        Target::Queue(url) => {
            let sender = QueueSender::new(url).await;
            serve(Dispatcher { selection, sender }).await
        }
        Target::Worker { url, authorization } => {
            let sender = WorkerSender::new(url, authorization)?;
            serve(Dispatcher { selection, sender }).await
        }
    }
}

async fn serve(dispatcher: Dispatcher<impl Sender>) -> Result<(), lambda_runtime::Error> {
    let dispatcher = &dispatcher;
    let answer = |event: LambdaEvent<Value>| async move {
        let started = Instant::now();
        let left = event.context.deadline().duration_since(SystemTime::now());
        let deadline = started + left.unwrap_or_default().saturating_sub(REPORTING);
        let outcome = dispatcher.dispatch(&event.payload, deadline).await;
        log::outcome(&event.context.request_id, started.elapsed(), &outcome);
        outcome.map(Report::into_json)
    };
    Runtime::new(service_fn(answer)).run().await
}

impl From<DispatchError> for Diagnostic {
    fn from(error: DispatchError) -> Self {
        Self {
            error_type: error.name().to_owned(),
            error_message: error.to_string(),
        }
    }
}
