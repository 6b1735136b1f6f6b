//! A bucket of S3 as tables see it: through `object_store`, with the credentials, the region and the endpoint that the
//! AWS SDK has found.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, ObjectStore};

use crate::aws::{S3Error, s3_client, s3_endpoint, sdk_config};

/// The bucket of this name, once it has been seen that it is there and that this prefix may be listed: better now
/// than after an hour of work.
pub(super) async fn bucket(name: &str, prefix: &str) -> Result<Arc<dyn ObjectStore>> {
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
        .with_credentials(Arc::new(SdkCredentials(credentials)));
    if let Some(endpoint) = s3_endpoint(config) {
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint);
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
