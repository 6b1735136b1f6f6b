//! Log files announced over HTTP. `POST /v1/log-files` returns 200 only after they are staged, so a crash before that
//! loses nothing, and the caller needs no queue. `/healthz`, `/readyz` and `/metrics` are for operators.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use logmill_shared::notification;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::connections::{Connection, Connections};
use super::failures::Failures;
use super::not_staged::Disposition;
use super::token::Token;
use super::{Stage, StageOutcome, stage_all};
use crate::metrics::Metrics;

/// The maximum size of a request body, in bytes: SQS's limit for a message, which is also the most that S3 or SNS send.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a body may take to arrive. A slower client would keep others out.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection may be idle between two requests, including the time to receive the head of the next one. It must
/// be longer than a load balancer's idle timeout of 60 seconds. Otherwise the balancer could send a request just as the
/// worker closes the connection, and answer 502.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may go without reading any of its response.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Connections beyond one for each request in progress. Each costs about 20 KB and a file descriptor. Many systems allow
/// 1,024 descriptors by default, and S3 and SQS need some of them. When all connections are open, the oldest idle one is
/// closed for a new one: see [`Connections`].
const IDLE_CONNECTIONS_MAX: usize = 256;

/// The `Retry-After` value when the worker is full. Most log files take less.
const RETRY_AFTER_SECONDS: &str = "1";

/// The maximum number of failed log files that a response names.
const NAMED_MAX: usize = 100;

/// Settings of the HTTP intake.
pub struct Settings {
    /// The token that callers must send. Without one, all announcements are refused.
    pub token: Option<Token>,
    /// The maximum number of concurrent requests, including those that wait for their turn. Further requests are refused.
    pub requests_max: usize,
    /// Log files of one request that are staged concurrently.
    pub log_files_at_once: usize,
    /// Routes of other pages.
    pub pages: Router,
}

/// The HTTP intake.
pub struct Http<S> {
    settings: Settings,
    stage: S,
    metrics: Arc<Metrics>,
    room: Semaphore,
    /// Once cancelled, no more announcements are accepted.
    stop: CancellationToken,
}

impl<S: Stage> Http<S> {
    /// Passes announced log files to `stage` until `stop` is cancelled.
    pub fn new(
        settings: Settings,
        stage: S,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            room: Semaphore::new(settings.requests_max),
            settings,
            stage,
            metrics,
            stop,
        })
    }

    fn router(self: &Arc<Self>) -> Router {
        let mut router = Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(ready::<S>))
            .route("/metrics", get(show_metrics::<S>));
        if self.settings.token.is_some() {
            router = router.route("/v1/log-files", post(announce::<S>));
        }
        router
            .with_state(Arc::clone(self))
            .merge(self.settings.pages.clone())
    }

    /// Serves requests until `close` is cancelled, then finishes the requests in progress.
    ///
    /// Uses hyper directly instead of `axum::serve`, which has no timeout for receiving a request's head or for a client
    /// that does not read its response, and no limit on the number of connections.
    ///
    /// # Errors
    ///
    /// None today: a failed accept is retried.
    pub async fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        close: CancellationToken,
    ) -> Result<()> {
        let router = self.router();
        let open = Connections::new(self.settings.requests_max + IDLE_CONNECTIONS_MAX);
        let mut connections = JoinSet::new();
        while let Some(accepted) = close.run_until_cancelled(listener.accept()).await {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Usually the process has no file descriptors left until a connection closes.
                    tracing::warn!(%error, "accepting a connection failed; retrying");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (admitted, has_evicted) = open.admit();
            if has_evicted {
                self.metrics.http_evicted();
            }
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(WRITE_TIME_MAX));
            let connection = Arc::clone(&admitted.connection);
            let service = TowerToHyperService::new(router.clone().layer(Extension(connection)));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(KEEP_ALIVE)
                .serve_connection(TokioIo::new(Box::pin(stream)), service);
            let close = close.clone();
            connections.spawn(async move {
                let mut connection = pin!(connection);
                let ended = tokio::select! {
                    ended = &mut connection => ended,
                    () = admitted.connection.evicted.cancelled() => {
                        tracing::debug!("connection closed to make room for another");
                        Ok(())
                    }
                    () = close.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection broken");
                }
            });
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

async fn ready<S>(State(http): State<Arc<Http<S>>>) -> (StatusCode, &'static str) {
    match http.stop.is_cancelled() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        false => (StatusCode::OK, "ready\n"),
    }
}

async fn show_metrics<S>(State(http): State<Arc<Http<S>>>) -> Response {
    // Each request yields first, so that a client with many requests at once does not starve other connections.
    yield_now().await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], http.metrics.text()).into_response()
}

async fn announce<S: Stage>(
    State(http): State<Arc<Http<S>>>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Response {
    let answer = match http.announced(request, &connection).await {
        Ok(answer) | Err(answer) => answer,
    };
    http.metrics.http_request(answer.status.as_u16());
    answer.into_response()
}

struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    fn error(status: StatusCode, error: impl ToString) -> Self {
        let body = json!({"error": error.to_string()});
        Self { status, body }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let body = format!("{}\n", self.body);
        let mut response =
            (self.status, [(CONTENT_TYPE, "application/json")], body).into_response();
        let header = match self.status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, RETRY_AFTER_SECONDS)),
            _ => None,
        };
        if let Some((name, value)) = header {
            let value = axum::http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl<S: Stage> Http<S> {
    /// Both `Ok` and `Err` are responses. A request without a token costs almost nothing, and one that finds no room
    /// little more.
    async fn announced(&self, request: Request, connection: &Connection) -> Result<Answer, Answer> {
        let token = self.settings.token.as_ref();
        // A bearer token only: see `commands/serve/status_page.rs`.
        if !token.is_some_and(|token| token.is_bearer_in(request.headers())) {
            let why = "the token is missing or wrong; send the worker's token as Authorization: Bearer <token>";
            return Err(Answer::error(StatusCode::UNAUTHORIZED, why));
        }
        connection.known();
        if self.stop.is_cancelled() {
            let why = "this worker is shutting down; retry with another worker";
            return Err(Answer::error(StatusCode::SERVICE_UNAVAILABLE, why));
        }
        let Ok(_room) = self.room.try_acquire() else {
            let why = "this worker is full; retry later or with another worker";
            return Err(Answer::error(StatusCode::SERVICE_UNAVAILABLE, why));
        };
        let _at_work = connection.work();
        let body = body(request).await?;
        let understood = std::str::from_utf8(&body)
            .map_err(|error| error.to_string())
            .and_then(|body| notification::parse(body).map_err(|error| error.to_string()));
        let notification = understood.map_err(|error| {
            tracing::warn!(%error, "announcement not understood");
            self.metrics.failed("not_understood", "a request", &error);
            Answer::error(StatusCode::UNPROCESSABLE_ENTITY, error)
        })?;
        for part in &notification.left_out {
            tracing::debug!(uri = part.uri, why = %part.why, "left out");
            self.metrics.left_out(part.why.name());
        }

        let (mut staged, mut skipped) = (0, 0);
        let mut failures = Failures::default();
        let (mut named, mut failed) = (Vec::new(), 0_usize);
        let left_out = notification.left_out.len();
        let mut outcomes = pin!(stage_all(
            &self.stage,
            notification.log_files,
            self.settings.log_files_at_once
        ));
        while let Some((log_file, outcome)) = outcomes.next().await {
            match outcome {
                Ok(StageOutcome::Staged) => staged += 1,
                Ok(StageOutcome::Skipped | StageOutcome::NotRequested) => skipped += 1,
                Err(error) => {
                    failed += 1;
                    if named.len() < NAMED_MAX {
                        let reason = error.to_string();
                        named.push(json!({"log_file": log_file.uri(), "reason": reason}));
                    }
                    failures.add(log_file, &error);
                }
            }
        }
        failures.each_reason(|name, log_files, log_file, reason| {
            tracing::warn!(
                name,
                log_files,
                log_file,
                reason,
                "not staged; the response tells the caller"
            );
        });
        let mut body = json!({
            "staged": staged, "skipped": skipped, "left_out": left_out,
        });
        let status = match failures.worst() {
            None => {
                let status = StatusCode::OK;
                return Ok(Answer { status, body });
            }
            Some(Disposition::Reject) => StatusCode::UNPROCESSABLE_ENTITY,
            Some(Disposition::Retry | Disposition::BackOff(_)) => StatusCode::SERVICE_UNAVAILABLE,
        };
        body["error"] = named
            .first()
            .map_or(Value::Null, |first| first["reason"].clone());
        body["failed_log_files"] = failed.into();
        body["failed"] = named.into();
        Err(Answer { status, body })
    }
}

async fn body(request: Request) -> Result<Bytes, Answer> {
    match timeout(BODY_TIME_MAX, to_bytes(request.into_body(), BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let why = format!("the body is longer than {BODY_BYTES_MAX} bytes or incomplete");
            Err(Answer::error(StatusCode::PAYLOAD_TOO_LARGE, why))
        }
        Err(_) => {
            let why = "the body did not arrive in time";
            Err(Answer::error(StatusCode::REQUEST_TIMEOUT, why))
        }
    }
}
