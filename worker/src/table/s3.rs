//! An S3 bucket for tables: accessed through `object_store`, with the credentials, the region and the endpoint that the
//! AWS SDK has found.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, RetryConfig};
use tokio::sync::Mutex;

use crate::aws::{S3Error, s3_client, s3_endpoint, sdk_config};

/// The bucket with this name. First checks that it exists and that the prefix may be listed, so that a mistake is
/// reported now rather than after an hour of work.
pub(super) async fn bucket(name: &str, prefix: &str) -> Result<Arc<AmazonS3>> {
    let config = sdk_config().await;
    let request = s3_client(config)?.list_objects_v2();
    let request = request.bucket(name).prefix(prefix).max_keys(1);
    if let Err(error) = request.send().await {
        bail!(S3Error::new(&error, name, "s3:ListBucket"));
    }
    let region = config
        .region()
        .context("no AWS region is configured; set AWS_REGION to the bucket's")?;
    let credentials = config
        .credentials_provider()
        .context("there are no AWS credentials")?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(region.as_ref())
        // Only `retrying.rs` retries requests.
        .with_retry(RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        })
        .with_credentials(Arc::new(SdkCredentials {
            provider: credentials,
            cached: Mutex::default(),
        }));
    if let Some(endpoint) = s3_endpoint(config) {
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint);
    } else if region.as_ref().starts_with("cn-") {
        // China has a domain of its own.
        builder = builder.with_endpoint(format!("https://s3.{region}.amazonaws.com.cn"));
    }
    Ok(Arc::new(builder.build()?))
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
}
