//! Sends the rows of alerts to a webhook: one POST for each, with JSON.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use logmill_object_io::Policy;
use logmill_shared::chain;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect;
use reqwest::{Client, Url};

use super::Instance;

/// The environment variable with the URL.
const URL_VARIABLE: &str = "ALERT_WEBHOOK_URL";

/// The environment variable with the token that is sent, if any.
const TOKEN_VARIABLE: &str = "ALERT_WEBHOOK_TOKEN";

/// Time limit for connecting, and for the whole request. An alert that waits delays other alerts, but no commit.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// A receiver that is down for longer gets the row with the next evaluation.
const ATTEMPTS: Policy = Policy {
    attempts: 4,
    first_wait: Duration::from_millis(500),
    longest_wait: Duration::from_secs(4),
};

/// Where the rows of alerts are sent. Neither its URL nor its token is ever logged: both may be secret.
pub struct Webhook {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

impl Webhook {
    /// The webhook that the environment names; `None` without one.
    ///
    /// # Errors
    ///
    /// A variable has an invalid value. The error does not show it.
    pub fn from_env() -> Result<Option<Self>> {
        // A secret that was made from a file or a terminal may end with a newline.
        let value = |name| {
            std::env::var(name)
                .ok()
                .map(|value| value.trim().to_owned())
        };
        let value = |name| value(name).filter(|value| !value.is_empty());
        let Some(url) = value(URL_VARIABLE) else {
            return Ok(None);
        };
        Self::new(&url, value(TOKEN_VARIABLE).as_deref()).map(Some)
    }

    fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let invalid = || format!("invalid {URL_VARIABLE}: write https://host/path");
        let url = Url::parse(url).with_context(invalid)?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            bail!(invalid());
        }
        if token.is_some() && (!url.username().is_empty() || url.password().is_some()) {
            bail!(
                "invalid {URL_VARIABLE}: it has a user name or a password, and {TOKEN_VARIABLE} is a token: give one of them"
            );
        }
        let authorization = token.map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            Ok::<_, reqwest::header::InvalidHeaderValue>(value)
        });
        let authorization = authorization.transpose();
        let client = Client::builder()
            .user_agent(concat!("logmill/", env!("CARGO_PKG_VERSION")))
            // A redirected POST becomes a GET, whose 200 would not mean that anybody got the row.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX)
            .build()?;
        Ok(Self {
            client,
            url,
            authorization: authorization.with_context(|| {
                format!(
                    "invalid {TOKEN_VARIABLE}: it has a character that is not allowed in a header"
                )
            })?,
        })
    }

    /// Sends a row, in several attempts.
    ///
    /// # Errors
    ///
    /// No attempt was answered with success. It is unknown whether the receiver has the row.
    pub(super) async fn send(&self, instance: &Instance) -> Result<()> {
        let body = serde_json::to_string(instance)?;
        let mut attempts = ATTEMPTS.begin(format!("sending a row of the alert {}", instance.alert));
        loop {
            let Err(reason) = self.try_send(body.clone()).await else {
                return Ok(());
            };
            if !attempts.wait(&reason).await {
                bail!("the webhook: {reason}");
            }
        }
    }

    async fn try_send(&self, body: String) -> Result<(), String> {
        let mut request = self.client.post(self.url.clone());
        request = request.header(CONTENT_TYPE, "application/json").body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it returned {}", answer.status())),
            Err(error) => Err(chain(&error.without_url())),
        }
    }
}
