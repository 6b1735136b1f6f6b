//! AWS as every tool of it is set up: credentials, region and endpoint from the environment, profiles, the
//! container or the instance. Nothing is looked up before it is needed.

use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, ObjectStore};
use tokio::sync::OnceCell;

/// The settings that all clients share.
pub(crate) async fn sdk_config() -> &'static SdkConfig {
    static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();
    CONFIG
        .get_or_init(|| aws_config::defaults(BehaviorVersion::v2026_01_12()).load())
        .await
}

/// A bucket, as tables see it.
pub(crate) async fn object_store(bucket: &str) -> Result<Arc<dyn ObjectStore>> {
    let config = sdk_config().await;
    let region = config
        .region()
        .context("no AWS region is set: set AWS_REGION, or a region in the profile")?;
    let credentials = config
        .credentials_provider()
        .context("there are no AWS credentials")?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region.as_ref())
        .with_credentials(Arc::new(SdkCredentials(credentials)));
    if let Some(endpoint) = config.endpoint_url() {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"));
    }
    Ok(Arc::new(builder.build()?))
}

/// The SDK's credentials for `object_store`. The SDK keeps and renews them.
#[derive(Debug)]
struct SdkCredentials(SharedCredentialsProvider);

#[async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credentials =
            self.0
                .provide_credentials()
                .await
                .map_err(|error| object_store::Error::Generic {
                    store: "S3",
                    source: Box::new(error),
                })?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}
