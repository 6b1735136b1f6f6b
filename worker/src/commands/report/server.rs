//! The live report: a small web server for the person at this machine. It computes a page for each request, one after the other, so at
//! most one query runs at a time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use super::page::{self, Form};
use super::{Filter, Question, names, report};
use crate::table::Root;

/// Maximum number of waiting requests. A person reloads a few times; a program that requests more gets an error.
const WAITING_MAX: usize = 8;

/// Time limit of a page. After that, or when the browser no longer waits, the query is cancelled.
const PAGE_TIME_MAX: Duration = Duration::from_mins(5);

/// The range of the first page: a week is read quickly, and a year is not.
const LAST_DAYS: i64 = 7;

/// Maximum length of a query string. A filter with a long value needs several thousand bytes.
const QUERY_BYTES_MAX: usize = 16 * 1024;

/// Maximum number of filters of a page.
const FILTERS_MAX: usize = 16;

struct Live {
    root: Root,
    /// The tables of the command line.
    tables: Vec<String>,
    /// One permit: one page is computed at a time.
    turn: Semaphore,
    waiting: Semaphore,
}

/// Serves reports until `stop` is cancelled. `started` is called with the address.
///
/// # Errors
///
/// It can't listen on the address.
pub async fn serve(
    root: Root,
    tables: Vec<String>,
    address: SocketAddr,
    stop: CancellationToken,
    started: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<()> {
    // A wrong table name is reported immediately, and not on each page.
    names(&root, &tables).await?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen at {address}"))?;
    started(listener.local_addr()?)?;
    let live = Arc::new(Live {
        root,
        tables,
        turn: Semaphore::new(1),
        waiting: Semaphore::new(WAITING_MAX),
    });
    let router = Router::new()
        .route("/", get(answer))
        .fallback(async || problem(StatusCode::NOT_FOUND, "There is no such page."))
        .layer(from_fn(guard))
        .with_state(live);
    // A page in progress is abandoned when the command is stopped.
    let served = stop.run_until_cancelled(async { axum::serve(listener, router).await });
    match served.await {
        Some(served) => Ok(served?),
        None => Ok(()),
    }
}

/// Refuses requests that another site's page may have sent, and sets headers that isolate the page.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match is_of_this_machine(request.headers()) {
        true => next.run(request).await,
        false => problem(
            StatusCode::FORBIDDEN,
            "This request is for another host, or from another site. Open the address that logmill has printed.",
        ),
    };
    let policy = format!("{}; frame-ancestors 'none'", page::policy("'self'"));
    let headers = response.headers_mut();
    let fixed = [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Whether to answer a request. Names in the Host header are refused, because any name may be made to point to this machine (DNS
/// rebinding). So are requests of another site's page, unless a person follows a link.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let mode = headers.get("sec-fetch-mode").map(HeaderValue::as_bytes);
    let is_foreign =
        matches!(site, Some(b"cross-site" | b"same-site")) && mode != Some(b"navigate");
    is_address(host) && !is_foreign
}

/// Whether a Host header is an IP address or `localhost`, with or without a port.
fn is_address(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, "0"),
    };
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_ip = match inner {
        Some(inner) => inner.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()),
        None => name.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
    };
    port.parse::<u16>().is_ok() && (is_ip || name.eq_ignore_ascii_case("localhost"))
}

async fn answer(State(live): State<Arc<Live>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if query.len() > QUERY_BYTES_MAX {
        return problem(
            StatusCode::URI_TOO_LONG,
            "The address of the page is too long.",
        );
    }
    let question = match question(&query, &live.tables) {
        Ok(question) => question,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Ok(_waiting) = live.waiting.try_acquire() else {
        let why = "Other pages are being computed. Try again when they are there.";
        return problem(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let page = async {
        let _turn = live.turn.acquire().await;
        page(&live, question).await
    };
    // If the browser closes the connection, this future is dropped, and the query with it.
    match timeout(PAGE_TIME_MAX, page).await {
        Ok(Ok(html)) => as_html(StatusCode::OK, html),
        Ok(Err(error)) => problem(StatusCode::UNPROCESSABLE_ENTITY, &format!("{error:#}")),
        Err(_) => {
            let why = format!(
                "The page took longer than {} minutes. Ask for a shorter range.",
                PAGE_TIME_MAX.as_secs() / 60
            );
            problem(StatusCode::GATEWAY_TIMEOUT, &why)
        }
    }
}

async fn page(live: &Live, question: Question) -> Result<String> {
    let report = report(&live.root, &question).await?;
    let tables = match live.tables.is_empty() {
        true => names(&live.root, &[]).await?,
        false => live.tables.clone(),
    };
    let mut question = question;
    if question.tables == live.tables {
        question.tables = Vec::new();
    }
    page::html(&report, Some(&Form { question, tables }))
}

fn problem(status: StatusCode, why: &str) -> Response {
    as_html(status, page::problem_page(why))
}

fn as_html(status: StatusCode, html: String) -> Response {
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

/// Parses a query string. Unknown names are ignored, so that links from other versions work.
fn question(query: &str, tables: &[String]) -> Result<Question> {
    let mut question = Question::default();
    let (mut key, mut value) = (String::new(), None);
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        let text = text.into_owned();
        match &*name {
            "from" if !text.is_empty() => question.from = Some(time(&text)?),
            "to" if !text.is_empty() => question.to = Some(time(&text)?),
            "hours" => {
                let hours: u32 = text.parse().context("hours is not a number")?;
                question.last = Some(TimeDelta::hours(i64::from(hours.clamp(1, 876_000))));
            }
            "table" if !text.is_empty() => question.tables.push(text),
            "key" => key = text,
            "value" => value = Some(text),
            "where" => {
                let (column, value) = text
                    .split_once(':')
                    .context("a filter is written column:value")?;
                question.filters.push(Filter {
                    column: column.to_owned(),
                    value: Some(value.to_owned()),
                });
            }
            "null" => question.filters.push(Filter {
                column: text,
                value: None,
            }),
            "compare" => question.compare = text == "1",
            _ => {}
        }
    }
    if let (false, Some(value)) = (key.is_empty(), value) {
        question.filters.retain(|other| other.column != key);
        question.filters.push(Filter {
            column: key,
            value: Some(value),
        });
    }
    anyhow::ensure!(
        question.filters.len() <= FILTERS_MAX,
        "a page has at most {FILTERS_MAX} filters"
    );
    let allowed = |name: &String| tables.is_empty() || tables.contains(name);
    anyhow::ensure!(
        question.tables.iter().all(allowed),
        "this report is of the tables {}",
        tables.join(", ")
    );
    if question.tables.is_empty() {
        question.tables = tables.to_vec();
    }
    if question.from.is_none() && question.last.is_none() {
        question.last = Some(TimeDelta::days(LAST_DAYS));
    }
    Ok(question)
}

/// The time in the format of a browser's input for times.
fn time(text: &str) -> Result<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M");
    let time = time.or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"));
    Ok(time
        .with_context(|| format!("{text:?} is not a time such as 2026-11-20T10:05"))?
        .and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_answered() {
        for host in [
            "127.0.0.1:8080",
            "localhost:1",
            "LOCALHOST",
            "[::1]:80",
            "[::1]",
            "192.0.2.7:80",
        ] {
            assert!(is_address(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example:1",
            "[evil]:1",
            "127.0.0.1:x",
            "::1",
        ] {
            assert!(!is_address(host), "{host}");
        }
        let headers = |host: &str, site: &str, mode: &str| {
            let pairs = [
                ("host", host),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
            ];
            let pairs = pairs.map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            });
            is_of_this_machine(&pairs.into_iter().collect())
        };
        assert!(headers("127.0.0.1:1", "none", "navigate"));
        assert!(headers("127.0.0.1:1", "cross-site", "navigate"));
        assert!(!headers("127.0.0.1:1", "cross-site", "no-cors"));
        assert!(!headers("evil.example:1", "same-origin", "navigate"));
    }

    #[test]
    fn addresses_are_questions() {
        let asked = question("from=2026-11-20T10:00&to=2026-11-20T11:00&where=country:D%3AE&null=event&key=k&value=&compare=1", &[]).unwrap();
        assert_eq!(
            asked.from.unwrap().to_rfc3339(),
            "2026-11-20T10:00:00+00:00"
        );
        let filters: Vec<(&str, Option<&str>)> = asked
            .filters
            .iter()
            .map(|filter| (filter.column.as_str(), filter.value.as_deref()))
            .collect();
        assert_eq!(
            filters,
            [("country", Some("D:E")), ("event", None), ("k", Some(""))]
        );
        assert!(asked.compare);
        assert_eq!(question("", &[]).unwrap().last, Some(TimeDelta::days(7)));
        assert!(question("from=yesterday", &[]).is_err());
        assert!(question("table=other", &["events".to_owned()]).is_err());
        let many: String = (0..20)
            .map(|number| format!("where=k{number}:1&"))
            .collect();
        assert!(question(&many, &[]).is_err());
    }
}
