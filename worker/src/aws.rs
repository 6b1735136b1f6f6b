//! Access to AWS: the configuration, which is found by the usual chain (environment, profile, container, instance) and
//! loaded once, and S3 errors that say what to do. Nothing here is called if all files are local.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::{
    BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use logmill_object_io::{Policy, log_failure, s3};
use logmill_shared::sqs::QueueUrl;
use logmill_shared::{causes, chain};
use object_store::aws::AmazonS3;
use tokio::sync::{Mutex, OnceCell};

/// Timeout for the first byte of a response. The SDK has no default timeout, and a connection that hangs would block a log
/// file forever. After the first byte, the SDK's stalled stream protection takes over.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Advice for missing credentials.
const GIVE_CREDENTIALS: &str = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run logmill \
     where a role provides them";

/// The configuration, loaded on first use.
pub(crate) async fn sdk_config() -> &'static SdkConfig {
    static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();
    let load = || {
        let timeouts = TimeoutConfig::builder().read_timeout(READ_TIMEOUT).build();
        let mut config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .timeout_config(timeouts)
            .retry_config(Policy::REQUEST.of_sdk());
        if let Ok(name) = AppName::new("logmill") {
            config = config.app_name(name);
        }
        config.load()
    };
    CONFIG.get_or_init(load).await
}

/// Creates an SQS client. The queue's URL determines the endpoint and the region, which may differ from the buckets'
/// region.
pub(crate) fn sqs_client(config: &SdkConfig, queue: &QueueUrl) -> Result<aws_sdk_sqs::Client> {
    let region = queue.region().map(|region| Region::new(region.to_owned()));
    let Some(region) = region.or_else(|| config.region().cloned()) else {
        bail!("no AWS region is configured; set AWS_REGION to the queue's region");
    };
    let mut config = aws_sdk_sqs::config::Builder::from(config)
        .region(region)
        .interceptor(LogRetries);
    if queue.is_fips() {
        config = config.use_fips(true);
    }
    if queue.is_dual_stack() {
        config = config.use_dual_stack(true);
    }
    if let Some(endpoint) = queue.vpc_endpoint() {
        config = config.endpoint_url(endpoint);
    }
    Ok(aws_sdk_sqs::Client::from_conf(config.build()))
}

/// Opens a bucket for tables. First checks that it exists and that the prefix may be listed, so that a mistake is reported now
/// rather than after an hour of work.
pub(crate) async fn object_store(bucket: &str, prefix: &str) -> Result<Arc<AmazonS3>> {
    let config = sdk_config().await;
    let request = s3_client(config)?.list_objects_v2();
    let request = request.bucket(bucket).prefix(prefix).max_keys(1);
    if let Err(error) = request.send().await {
        bail!(S3Error::new(&error, bucket, "s3:ListBucket"));
    }
    Ok(s3::bucket(config, bucket)?)
}

/// Creates an S3 client. Without a region requests can't be signed, and the SDK would report this only at the first
/// request.
fn s3_client(config: &SdkConfig) -> Result<Client> {
    if config.region().is_none() {
        bail!("no AWS region is configured; set AWS_REGION to the bucket's region");
    }
    Ok(Client::from_conf(s3_config(config).build()))
}

/// Creates a client for a bucket, in the bucket's region. Fails unless S3 confirms that the bucket exists.
pub(crate) async fn bucket(config: &SdkConfig, bucket: &str) -> Result<Client> {
    let region = region_of(config, bucket).await?;
    let mut builder = s3_config(config);
    // For an emulator the configured region is kept, whatever region its buckets report.
    if s3::endpoint(config).is_none() {
        builder = builder.region(Region::new(region));
    }
    if std::env::var(REQUEST_PAYER).is_ok_and(|payer| payer == "requester") {
        builder = builder.interceptor(RequesterPays);
    }
    Ok(Client::from_conf(builder.build()))
}

/// The same with the default configuration, for the many objects of a few buckets: a bucket is asked for once.
pub(crate) async fn known_bucket(name: &str) -> Result<Client> {
    static KNOWN: Mutex<BTreeMap<String, Client>> = Mutex::const_new(BTreeMap::new());
    let mut known = KNOWN.lock().await;
    if let Some(client) = known.get(name) {
        return Ok(client.clone());
    }
    let client = bucket(sdk_config().await, name).await?;
    known.insert(name.to_owned(), client.clone());
    Ok(client)
}

/// A bucket that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("the bucket '{0}' does not exist")]
pub(crate) struct NoSuchBucket(String);

/// Returns the region of a bucket. S3 reports it even for requests in the wrong region and without permissions.
async fn region_of(config: &SdkConfig, bucket: &str) -> Result<String> {
    let any = config.region().cloned();
    let any = any.unwrap_or_else(|| Region::from_static("us-east-1"));
    let client = Client::from_conf(s3_config(config).region(any.clone()).build());
    let region = |answer: &HttpResponse| {
        let region = answer.headers().get("x-amz-bucket-region");
        region.map(str::to_owned)
    };
    match client.head_bucket().bucket(bucket).send().await {
        Ok(answer) => Ok(answer.bucket_region.unwrap_or_else(|| any.to_string())),
        Err(error) => match error.raw_response() {
            Some(answer) if answer.status().as_u16() == 404 => {
                Err(NoSuchBucket(bucket.to_owned()).into())
            }
            answer => match answer.and_then(region) {
                Some(region) => Ok(region),
                None => bail!(S3Error::new(&error, bucket, "s3:ListBucket")),
            },
        },
    }
}

fn s3_config(config: &SdkConfig) -> aws_sdk_s3::config::Builder {
    // By default the SDK uses the host name `<bucket>.<host>`, which most emulators don't support.
    let path_style = s3::endpoint(config).is_some();
    aws_sdk_s3::config::Builder::from(config)
        .force_path_style(path_style)
        .interceptor(LogRetries)
}

/// Logs each failed attempt of a request with its cause, because the SDK retries silently.
#[derive(Debug)]
pub(crate) struct LogRetries;

impl Intercept for LogRetries {
    fn name(&self) -> &'static str {
        "LogRetries"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Err(error)) = context.output_or_error() else {
            return Ok(());
        };
        let attempts = config.load::<RequestAttempts>();
        let operation = config.load::<Metadata>();
        let what = operation.map_or_else(String::new, |operation| {
            format!("{} of {}", operation.name(), operation.service())
        });
        let status = context.response().map(|answer| answer.status().as_u16());
        let cause = match status {
            Some(status) => format!("status {status}: {}", chain(error)),
            None => chain(error),
        };
        log_failure(
            &what,
            attempts.map_or(1, |made| made.attempts()),
            cause,
            None,
        );
        Ok(())
    }
}

/// If it is `requester`, the caller agrees to pay for requests to buckets whose owners require that. Other programs that
/// read from S3 use the same variable.
const REQUEST_PAYER: &str = "AWS_REQUEST_PAYER";

/// Adds the agreement to pay to every request.
#[derive(Debug)]
struct RequesterPays;

impl Intercept for RequesterPays {
    fn name(&self) -> &'static str {
        "RequesterPays"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.insert("x-amz-request-payer", "requester");
        Ok(())
    }
}

/// Why a request to S3 has failed.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct S3Error {
    /// The kind of error, for the caller's decisions.
    pub(crate) kind: S3ErrorKind,
    /// Whether this request was denied although the credentials are valid: another request may be allowed.
    pub(crate) is_denied: bool,
    reason: String,
}

/// Kinds of [`S3Error`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum S3ErrorKind {
    /// The same request may succeed later.
    Unavailable,
    /// There is no such object.
    NotFound,
    /// The object is not the version that was requested.
    Changed,
    /// The object is archived, and can't be read until a person restores it.
    Archived,
    /// The request will be refused again until a person changes something.
    Refused,
}

impl S3Error {
    /// `needs` names the permissions that the request requires.
    pub(crate) fn new<E>(error: &SdkError<E, HttpResponse>, bucket: &str, needs: &str) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let answer = Answer {
            status: error
                .raw_response()
                .map(|response| response.status().as_u16()),
            code: error.code(),
            message: error.message(),
            region: error
                .raw_response()
                .and_then(|response| response.headers().get("x-amz-bucket-region")),
        };
        Self {
            kind: kind(error, &answer),
            is_denied: matches!(
                (answer.status, answer.code),
                (Some(403), Some("AccessDenied") | None)
            ),
            reason: match answer.status {
                Some(_) => answer.reason(bucket, needs),
                None => unanswered("S3", error),
            },
        }
    }
}

fn kind<E>(error: &SdkError<E, HttpResponse>, answer: &Answer<'_>) -> S3ErrorKind {
    match (error, answer.status, answer.code) {
        (SdkError::TimeoutError(_) | SdkError::ResponseError(_), ..) => S3ErrorKind::Unavailable,
        (SdkError::DispatchFailure(failure), ..)
            if failure.is_io() || failure.is_timeout() || failure.as_other().is_some() =>
        {
            S3ErrorKind::Unavailable
        }
        (_, Some(408 | 429 | 500..), _) | (_, _, Some("RequestTimeout" | "SlowDown")) => {
            S3ErrorKind::Unavailable
        }
        (_, Some(412), _) => S3ErrorKind::Changed,
        (_, _, Some("InvalidObjectState")) => S3ErrorKind::Archived,
        (_, _, Some("NoSuchBucket")) => S3ErrorKind::Refused,
        (_, Some(404), _) => S3ErrorKind::NotFound,
        _ => S3ErrorKind::Refused,
    }
}

/// A response from S3.
struct Answer<'a> {
    status: Option<u16>,
    code: Option<&'a str>,
    message: Option<&'a str>,
    region: Option<&'a str>,
}

impl Answer<'_> {
    fn reason(&self, bucket: &str, needs: &str) -> String {
        let said = self.said();
        match (self.code, self.status) {
            (Some("NoSuchBucket"), _) => format!("the bucket '{bucket}' does not exist ({said})"),
            (
                Some(
                    "InvalidAccessKeyId"
                    | "SignatureDoesNotMatch"
                    | "InvalidToken"
                    | "ExpiredToken"
                    | "TokenRefreshRequired",
                ),
                _,
            ) => format!("the AWS credentials are not accepted ({said}); renew or replace them"),
            (Some("RequestTimeTooSkewed"), _) => {
                format!("this machine's clock is wrong; correct it ({said})")
            }
            (Some("InvalidObjectState"), _) => {
                format!("the object is archived; restore it first ({said})")
            }
            (
                Some(
                    "PermanentRedirect"
                    | "AuthorizationHeaderMalformed"
                    | "IllegalLocationConstraintException",
                ),
                _,
            )
            | (_, Some(301)) => format!(
                "the bucket '{bucket}' is in another region; set AWS_REGION to {} ({said})",
                self.region.unwrap_or("the bucket's region")
            ),
            (_, Some(403)) => {
                format!("access is denied; the AWS credentials need {needs} ({said})")
            }
            _ => format!("S3 returned {said}"),
        }
    }

    fn said(&self) -> String {
        let status = self.status.map(|status| status.to_string());
        let code = self.code.map(str::to_owned);
        let message = self.message.map(|message| format!("\"{message}\""));
        let parts: Vec<String> = [status, code, message].into_iter().flatten().collect();
        parts.join(" ")
    }
}

/// Describes why there was no response.
pub(crate) fn unanswered(service: &str, error: &(dyn Error + 'static)) -> String {
    let credentials = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>());
    match credentials {
        Some(CredentialsError::CredentialsNotLoaded(_)) => {
            format!("no AWS credentials found; {GIVE_CREDENTIALS}")
        }
        Some(error) => format!(
            "the AWS credentials could not be loaded: {}; {GIVE_CREDENTIALS}",
            chain(error).trim_end_matches('.')
        ),
        None => format!("no response from {service}: {}", chain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer<'a>(status: u16, code: &'a str, message: &'a str) -> Answer<'a> {
        Answer {
            status: Some(status),
            code: Some(code),
            message: Some(message),
            region: Some("eu-west-1"),
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let reason = |answer: Answer<'_>| answer.reason("logs", "s3:GetObject");
        assert_eq!(
            reason(answer(403, "AccessDenied", "Access Denied")),
            "access is denied; the AWS credentials need s3:GetObject (403 AccessDenied \"Access Denied\")"
        );
        assert_eq!(
            reason(answer(404, "NoSuchBucket", "gone")),
            "the bucket 'logs' does not exist (404 NoSuchBucket \"gone\")"
        );
        assert_eq!(
            reason(answer(301, "PermanentRedirect", "elsewhere")),
            "the bucket 'logs' is in another region; set AWS_REGION to eu-west-1 \
             (301 PermanentRedirect \"elsewhere\")"
        );
    }

    #[test]
    fn a_region_must_be_there() {
        let error = s3_client(&SdkConfig::builder().build()).unwrap_err();
        assert!(error.to_string().contains("AWS_REGION"), "{error}");
    }
}
