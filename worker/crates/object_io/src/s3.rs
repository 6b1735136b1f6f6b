//! An S3 bucket as an `object_store`, with the credentials, the region and the endpoint that the AWS SDK has found.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, RetryConfig};
use tokio::sync::Mutex;

/// A bucket that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The SDK has found no region.
    #[error("no AWS region is configured; set AWS_REGION to the bucket's region")]
    NoRegion,
    /// The SDK has no provider of credentials.
    #[error(
        "no AWS credentials are configured; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with an IAM role"
    )]
    NoCredentials,
    /// The store's settings are invalid.
    #[error(transparent)]
    Store(#[from] object_store::Error),
}

/// The bucket with this name. It sends each request once; a [`RetryingStore`](crate::RetryingStore) around it retries them.
/// Sends no request itself.
///
/// # Errors
///
/// The configuration has no region or no credentials, or an invalid endpoint.
pub fn bucket(config: &SdkConfig, name: &str) -> Result<Arc<AmazonS3>, BucketError> {
    let region = config.region().ok_or(BucketError::NoRegion)?;
    let credentials = config.credentials_provider();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(region.as_ref())
        .with_retry(RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        })
        .with_credentials(Arc::new(SdkCredentials {
            provider: credentials.ok_or(BucketError::NoCredentials)?,
            cached: Mutex::default(),
        }));
    if let Some(endpoint) = endpoint(config) {
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint);
    } else if region.as_ref().starts_with("cn-") {
        // China has a domain of its own.
        builder = builder.with_endpoint(format!("https://s3.{region}.amazonaws.com.cn"));
    }
    Ok(Arc::new(builder.build()?))
}

/// The S3 endpoint if it is not that of AWS: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or the profile's.
pub fn endpoint(config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let of_s3 = config
        .service_config()
        .and_then(|config| config.load_config(key));
    of_s3.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Caches the SDK's credentials for `object_store`, which asks for them with every request. Otherwise each request would
/// also cost one to the credential service of the instance or container.
#[derive(Debug)]
struct SdkCredentials {
    provider: SharedCredentialsProvider,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug)]
struct Cached {
    credential: Arc<AwsCredential>,
    expiry: Option<SystemTime>,
}

/// Credentials are renewed this long before they expire. AWS provides new ones at least five minutes before.
const RENEWAL: Duration = Duration::from_mins(5);

#[async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // Held while asking, so that only one of many concurrent requests asks.
        let mut cached = self.cached.lock().await;
        if let Some(cached) = &*cached
            && cached
                .expiry
                .is_none_or(|expiry| SystemTime::now() + RENEWAL < expiry)
        {
            return Ok(Arc::clone(&cached.credential));
        }
        let credentials = self.provider.provide_credentials().await.map_err(|error| {
            object_store::Error::Generic {
                store: "S3",
                source: Box::new(error),
            }
        })?;
        let credential = Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        });
        *cached = Some(Cached {
            credential: Arc::clone(&credential),
            expiry: credentials.expiry(),
        });
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::future;

    use super::*;

    /// Provides credentials that are valid for this duration, with a new key each time.
    #[derive(Debug)]
    struct Counting(Duration, AtomicU64);

    impl ProvideCredentials for Counting {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let key = self.1.fetch_add(1, Ordering::Relaxed).to_string();
            let expiry = SystemTime::now() + self.0;
            let credentials = Credentials::new(key, "secret", None, Some(expiry), "test");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }

    #[tokio::test]
    async fn credentials_are_asked_for_once_until_they_are_about_to_expire() {
        for (good_for, asked) in [(Duration::from_hours(1), "0"), (RENEWAL, "2")] {
            let provider = Counting(good_for, AtomicU64::new(0));
            let credentials = SdkCredentials {
                provider: SharedCredentialsProvider::new(provider),
                cached: Mutex::default(),
            };
            for _ in 0..2 {
                credentials.get_credential().await.unwrap();
            }
            assert_eq!(credentials.get_credential().await.unwrap().key_id, asked);
        }
    }

    #[test]
    fn an_endpoint_is_the_configured_one() {
        let config = SdkConfig::builder().endpoint_url("http://127.0.0.1:1");
        assert_eq!(
            endpoint(&config.build()).as_deref(),
            Some("http://127.0.0.1:1")
        );
        assert_eq!(endpoint(&SdkConfig::builder().build()), None);
    }

    #[test]
    fn a_region_must_be_there() {
        let error = bucket(&SdkConfig::builder().build(), "logs").unwrap_err();
        assert!(error.to_string().contains("AWS_REGION"), "{error}");
    }
}
