//! Delivery to a worker: one request per log file, answered once it is staged. A refusal thus concerns one log file, and
//! the workers behind one address share the work.

use std::time::{Duration, SystemTime};

use aws_sdk_sqs::primitives::{DateTime, DateTimeFormat};
use futures::StreamExt;
use futures::stream;
use logmill_shared::{LogFile, chain, notification};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::Instant;

use super::{SendError, Sender, Undelivered, insist};

/// Maximum concurrent requests. More would only overload a busy worker, which answers 503.
const POSTS_MAX: usize = 4;

/// Maximum time to connect. Within a network it takes a millisecond; to an unused address it never succeeds.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long a connection is kept for the next invocation. Load balancers close theirs after a minute.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The shortest useful timeout of an attempt.
const TRY_MIN: Duration = Duration::from_secs(1);

/// Maximum bytes that are read of a response. The log shows them as the reason of a failure.
const ANSWER_BYTES_MAX: usize = 500;

pub(crate) struct WorkerSender {
    client: Client,
    url: Url,
    authorization: HeaderValue,
}

impl WorkerSender {
    pub(crate) fn new(url: Url, authorization: HeaderValue) -> reqwest::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!(
                "logmill-lambda-dispatch/",
                env!("CARGO_PKG_VERSION")
            ))
            // A redirected POST becomes a GET, whose 200 would not mean that anything is staged.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .build()?;
        Ok(Self {
            client,
            url,
            authorization,
        })
    }

    async fn post(&self, log_file: &LogFile, left: Duration) -> Result<(), SendError> {
        let answer = self
            .client
            .post(self.url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(notification::message([log_file]))
            .timeout(share(left))
            .send()
            .await;
        match answer {
            Ok(answer) => read(answer).await,
            Err(error) => Err(SendError::Unavailable {
                why: format!(
                    "no response from the worker: {}",
                    chain(&error.without_url())
                ),
                pause: None,
            }),
        }
    }
}

impl Sender for WorkerSender {
    async fn send(&self, log_files: &[LogFile], deadline: Instant) -> Vec<Undelivered> {
        let posts = log_files.iter().map(|log_file| {
            insist(vec![log_file.clone()], deadline, async |files, left| {
                let mut undelivered = Vec::new();
                for log_file in files {
                    if let Err(why) = self.post(log_file, left).await {
                        let log_file = log_file.clone();
                        undelivered.push(Undelivered { log_file, why });
                    }
                }
                undelivered
            })
        });
        let outcomes: Vec<_> = stream::iter(posts)
            .buffer_unordered(POSTS_MAX)
            .collect()
            .await;
        outcomes.concat()
    }
}

/// The timeout of an attempt: half of the time that is left. After a worker that hangs, time is left to ask another; a
/// worker that has much to read gets a large part of the function's time.
fn share(left: Duration) -> Duration {
    (left / 2).max(TRY_MIN.min(left))
}

async fn read(answer: Response) -> Result<(), SendError> {
    let status = answer.status();
    let header = answer.headers().get(RETRY_AFTER);
    let pause = header.and_then(|header| pause(header.to_str().ok()?, SystemTime::now()));
    // Always read, to the end if the response is short: only then is the connection reused.
    let said = beginning(answer).await;
    judge(status, pause, &said)
}

/// Interprets a response. Only 200 means that the log file is staged; any other success does not come from a worker.
fn judge(status: StatusCode, pause: Option<Duration>, said: &str) -> Result<(), SendError> {
    let why = || match said {
        "" => format!("the worker returned {status}"),
        said => format!("the worker returned {status}: {said}"),
    };
    match status {
        StatusCode::OK => Ok(()),
        // The only transient client error. Gateways return it.
        StatusCode::TOO_MANY_REQUESTS => Err(SendError::Unavailable { why: why(), pause }),
        status if status.is_server_error() => Err(SendError::Unavailable { why: why(), pause }),
        _ => Err(SendError::Refused(why())),
    }
}

/// Parses `Retry-After`: seconds, which workers send, or a date, which a proxy in front of them may send. A date in the
/// past means no pause.
fn pause(retry_after: &str, now: SystemTime) -> Option<Duration> {
    let retry_after = retry_after.trim();
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::from_str(retry_after, DateTimeFormat::HttpDate).ok()?;
    let date = SystemTime::try_from(date).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The first bytes of the body, as one line of text.
async fn beginning(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    let text = String::from_utf8_lossy(&bytes);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_whether_to_try_again() {
        let judge = |status: u16, said| judge(StatusCode::from_u16(status).unwrap(), None, said);
        assert_eq!(judge(200, ""), Ok(()));
        for status in [429, 500, 502, 503, 504] {
            let again = matches!(judge(status, ""), Err(SendError::Unavailable { .. }));
            assert!(again, "{status}");
        }
        for status in [201, 202, 204, 301, 307, 400, 401, 403, 404, 413, 422] {
            let refused = matches!(judge(status, ""), Err(SendError::Refused(_)));
            assert!(refused, "{status}");
        }
        let error = judge(422, "not allowed").unwrap_err().to_string();
        assert_eq!(
            error,
            "refused: the worker returned 422 Unprocessable Entity: not allowed"
        );
    }

    #[test]
    fn pauses_are_seconds_or_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_475);
        for (retry_after, seconds) in [
            ("3", Some(3)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(5)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("-1", None),
            ("2015-10-21", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(pause(retry_after, now), expected, "{retry_after}");
        }
    }

    #[test]
    fn a_try_gets_half_of_the_time() {
        assert_eq!(share(Duration::from_secs(60)), Duration::from_secs(30));
        assert_eq!(share(Duration::from_millis(1500)), TRY_MIN);
        assert_eq!(
            share(Duration::from_millis(300)),
            Duration::from_millis(300)
        );
    }
}
