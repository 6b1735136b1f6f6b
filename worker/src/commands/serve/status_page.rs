//! The status page: `GET /` for people, `GET /v1/status` for programs. Both show the same.
//!
//! A browser can't send a bearer token by itself. So the page also takes the token as the password of HTTP's Basic
//! authentication, with any user name: the browser asks for it, keeps it until it is closed, and sends it with each request. Browsers send
//! it with requests that other sites cause, too. That is why `POST /v1/log-files` takes a bearer token only; the page changes nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::task::yield_now;

use super::cached::Cached;
use super::gather::Gatherer;
use crate::intake::connections::Connection;
use crate::intake::token::Token;
use crate::status::{Page, page};

/// Maximum age of a page. All requests within this time get the same content.
const PAGE_AGE_MAX: Duration = Duration::from_secs(3);

/// Access to the page.
pub(super) enum Access {
    /// Everybody who can connect to the worker.
    Open,
    /// Requests with the token.
    Token(Token),
    /// Nobody: the worker has no token.
    NoToken,
}

/// The page and its content.
struct StatusPage {
    access: Access,
    gatherer: Arc<Gatherer>,
    /// `None` if gathering has failed.
    shown: Cached<Option<Shown>>,
}

/// The responses.
#[derive(Clone)]
struct Shown {
    html: Bytes,
    json: Bytes,
}

/// The routes of the page.
pub(super) fn routes(access: Access, gatherer: Arc<Gatherer>) -> Router {
    let page = Arc::new(StatusPage {
        access,
        gatherer,
        shown: Cached::new(PAGE_AGE_MAX),
    });
    Router::new()
        .route("/", get(show_page))
        .route("/v1/status", get(show_json))
        .with_state(page)
}

async fn show_page(
    State(page): State<Arc<StatusPage>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Response {
    let (status, html) = match page.answer(&headers, &connection).await {
        Ok(shown) => (StatusCode::OK, shown.html),
        Err(refusal) => (
            refusal.status(),
            Page::refusal(refusal.title(), refusal.text()).html.into(),
        ),
    };
    challenged(status, (status, Page::headers(), html).into_response())
}

async fn show_json(
    State(page): State<Arc<StatusPage>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Response {
    let (status, json) = match page.answer(&headers, &connection).await {
        Ok(shown) => (StatusCode::OK, shown.json),
        Err(refusal) => {
            let body = json!({"error": refusal.text()});
            (refusal.status(), format!("{body}\n").into())
        }
    };
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    challenged(status, (status, headers, json).into_response())
}

/// Adds the header that makes a browser ask for the token.
fn challenged(status: StatusCode, mut response: Response) -> Response {
    if status == StatusCode::UNAUTHORIZED {
        let challenge = axum::http::HeaderValue::from_static(
            "Basic realm=\"logmill: the token is the password\", charset=\"UTF-8\"",
        );
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The reason why a response does not contain the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NoToken,
    WrongToken,
    Failed,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::NoToken => StatusCode::FORBIDDEN,
            Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NoToken => "The status page is not enabled",
            Self::WrongToken => "The status page needs the token",
            Self::Failed => "The status could not be gathered",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NoToken => {
                "Start the worker with the environment variable DISPATCH_TOKEN, and log in with any user name and that token as the \
                 password. Or start it with --status-page open: then everybody who can reach it sees the page."
            }
            Self::WrongToken => {
                "Log in with any user name, and the worker's DISPATCH_TOKEN as the password; or send it as Authorization: Bearer <token>."
            }
            Self::Failed => "A bug in logmill: please report it. The worker continues.",
        }
    }
}

impl StatusPage {
    /// A request without the token costs almost nothing, and reveals nothing.
    async fn answer(&self, headers: &HeaderMap, connection: &Connection) -> Result<Shown, Refusal> {
        // As for metrics: a client with many requests at once does not starve other connections.
        yield_now().await;
        match &self.access {
            Access::Open => {}
            Access::NoToken => return Err(Refusal::NoToken),
            Access::Token(token) => {
                if !token.is_bearer_in(headers) && !token.is_password_in(headers) {
                    return Err(Refusal::WrongToken);
                }
                connection.known();
            }
        }
        let gatherer = Arc::clone(&self.gatherer);
        let shown = self.shown.get(async move {
            let status = gatherer.status().await.ok()?;
            let json = serde_json::to_string(&status).ok()?;
            Some(Shown {
                html: page(&status).html.into(),
                json: format!("{json}\n").into(),
            })
        });
        let shown = shown.await.ok().and_then(|shown| (*shown).clone());
        shown.ok_or(Refusal::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do_and_tells_nothing() {
        for refusal in [Refusal::NoToken, Refusal::WrongToken, Refusal::Failed] {
            assert!(!refusal.text().contains(env!("CARGO_PKG_VERSION")));
            assert!(
                !Page::refusal(refusal.title(), refusal.text())
                    .html
                    .contains("<script>")
            );
        }
        let response = challenged(StatusCode::UNAUTHORIZED, ().into_response());
        let challenge = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.starts_with("Basic realm="));
        assert!(
            !challenged(StatusCode::OK, ().into_response())
                .headers()
                .contains_key(WWW_AUTHENTICATE)
        );
    }
}
