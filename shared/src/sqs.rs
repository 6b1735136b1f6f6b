//! The limits of SQS for senders, and the properties of a queue that follow from its URL.

use url::Url;

use crate::notification::{BUCKET_BYTES_MAX, KEY_BYTES_MAX};

/// Maximum messages in a request, a limit of SQS.
pub const BATCH_MAX: usize = 10;

/// Maximum bytes in a request. SQS allows 1 MiB today; older queues and emulators allow 256 KiB.
const BATCH_BYTES_MAX: usize = 256 * 1024;

// Ten messages with one log file each always fit, so no batch has to be split: a key has a maximum length, and JSON turns
// one byte into six at worst.
const _: () = assert!(BATCH_MAX * (6 * (KEY_BYTES_MAX + BUCKET_BYTES_MAX) + 64) <= BATCH_BYTES_MAX);

/// The URL of a standard queue. Its host determines where requests go and how they are signed: a request that is signed
/// for another region does not find the queue.
///
/// The known hosts are those of "Amazon SQS endpoints and quotas" in the AWS General Reference, VPC endpoints
/// (`vpce-….sqs.<region>.vpce.amazonaws.com`), and the old `queue.amazonaws.com`. For any other host, such as an
/// emulator's, the AWS configuration determines region and endpoint.
///
/// ```
/// use logmill_shared::sqs::QueueUrl;
///
/// let queue: QueueUrl = "https://sqs-fips.us-east-1.amazonaws.com/123456789012/logs".parse()?;
/// assert_eq!(queue.region(), Some("us-east-1"));
/// assert!(queue.is_fips());
/// # Ok::<(), logmill_shared::sqs::QueueUrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUrl {
    url: String,
    host: Host,
}

/// The properties of a queue that its URL's host determines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Host {
    region: Option<String>,
    fips: bool,
    dual_stack: bool,
    vpc_endpoint: Option<String>,
}

/// Not the URL of a queue that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueUrlError {
    /// An Amazon Resource Name.
    #[error("'{0}' is an ARN; give the queue's URL instead")]
    Arn(String),
    /// Not a URL of a queue.
    #[error(
        "'{0}' is not the URL of a queue; write https://sqs.<region>.amazonaws.com/<account>/<name>"
    )]
    NotAUrl(String),
    /// A FIFO queue. Its groups would make workers wait for one another, for an order that nothing here depends on.
    #[error("'{0}' is a FIFO queue; use a standard queue")]
    Fifo(String),
}

impl QueueUrl {
    /// The URL, as it was written.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The queue's region. `None` if the host does not belong to AWS.
    pub fn region(&self) -> Option<&str> {
        self.host.region.as_deref()
    }

    /// Whether requests must go to the endpoint with validated cryptography (FIPS 140).
    pub fn is_fips(&self) -> bool {
        self.host.fips
    }

    /// Whether requests must go to the dual-stack endpoint, which also has IPv6.
    pub fn is_dual_stack(&self) -> bool {
        self.host.dual_stack
    }

    /// The VPC endpoint that requests must go to, if the URL names one: other endpoints may not be reachable from the
    /// VPC.
    pub fn vpc_endpoint(&self) -> Option<&str> {
        self.host.vpc_endpoint.as_deref()
    }
}

impl std::str::FromStr for QueueUrl {
    type Err = QueueUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_url = || QueueUrlError::NotAUrl(text.to_owned());
        if text.starts_with("arn:") {
            return Err(QueueUrlError::Arn(text.to_owned()));
        }
        let url = Url::parse(text).map_err(|_| no_url())?;
        let host = url.host_str().unwrap_or_default();
        let is_web = matches!(url.scheme(), "http" | "https") && !host.is_empty();
        if !is_web || url.path().trim_matches('/').is_empty() {
            return Err(no_url());
        }
        if url.path().ends_with(".fifo") {
            return Err(QueueUrlError::Fifo(text.to_owned()));
        }
        Ok(Self {
            url: text.to_owned(),
            host: Host::read(url.scheme(), host).unwrap_or_default(),
        })
    }
}

/// The domains of AWS endpoints in all partitions, and those of the dual-stack endpoints, which also have IPv6.
const DOMAINS: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];
const DUAL_STACK_DOMAINS: [&str; 7] = [
    "api.aws",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "api.aws.ic.gov",
    "api.aws.scloud",
    "api.cloud-aws.adc-e.uk",
    "api.aws.hci.ic.gov",
];

impl Host {
    /// `None` if the host does not belong to AWS.
    fn read(scheme: &str, host: &str) -> Option<Self> {
        let (first, rest) = host.split_once('.')?;
        if first.starts_with("vpce-") {
            let regional = Self::regional(rest, |domain| {
                let domain = domain.strip_prefix("vpce.")?;
                DOMAINS.contains(&domain).then_some(false)
            })?;
            return Some(Self {
                // The endpoint itself determines this.
                fips: false,
                vpc_endpoint: Some(format!("{scheme}://{host}")),
                ..regional
            });
        }
        if let Some(region) = Self::legacy_region(first, rest) {
            // AWS keeps these names for old clients; requests go to the current endpoints.
            return Some(Self {
                region: Some(region.to_owned()),
                ..Self::default()
            });
        }
        Self::regional(host, |domain| {
            let is_dual_stack = DUAL_STACK_DOMAINS.contains(&domain);
            (is_dual_stack || DOMAINS.contains(&domain)).then_some(is_dual_stack)
        })
    }

    /// Parses `sqs.<region>.<domain>`. `dual_stack` returns whether the domain is dual-stack, or `None` if it is unknown.
    fn regional(host: &str, dual_stack: impl Fn(&str) -> Option<bool>) -> Option<Self> {
        let (service, rest) = host.split_once('.')?;
        let (region, domain) = rest.split_once('.')?;
        let fips = match service {
            "sqs" => false,
            "sqs-fips" => true,
            _ => return None,
        };
        is_region(region).then_some(())?;
        Some(Self {
            region: Some(region.to_owned()),
            fips,
            dual_stack: dual_stack(domain)?,
            vpc_endpoint: None,
        })
    }

    /// Parses `queue.amazonaws.com`, which is in us-east-1, and `<region>.queue.<domain>`.
    fn legacy_region<'a>(first: &'a str, rest: &str) -> Option<&'a str> {
        match (first, rest.strip_prefix("queue.")) {
            ("queue", _) if rest == "amazonaws.com" => Some("us-east-1"),
            (region, Some(domain)) if is_region(region) && DOMAINS.contains(&domain) => {
                Some(region)
            }
            _ => None,
        }
    }
}

/// Whether the name has the form of a region, such as `us-gov-west-1`. A list would miss the new ones of every year.
fn is_region(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let mut parts = name.rsplit('-');
    let number = parts.next().unwrap_or_default();
    let names: Vec<&str> = parts.collect();
    !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && names.len() >= 2
        && names.into_iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Region, FIPS, dual-stack, VPC endpoint.
    fn host(host: &str) -> (Option<String>, bool, bool, Option<String>) {
        let url = format!("https://{host}/123456789012/logs");
        let queue: QueueUrl = url.parse().unwrap();
        assert_eq!(queue.as_str(), url);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        (
            owned(queue.region()),
            queue.is_fips(),
            queue.is_dual_stack(),
            owned(queue.vpc_endpoint()),
        )
    }

    #[test]
    fn a_host_says_region_and_endpoint() {
        for (name, region, fips, dual_stack) in [
            ("sqs.eu-west-1.amazonaws.com", "eu-west-1", false, false),
            ("SQS.EU-West-1.amazonaws.com", "eu-west-1", false, false),
            (
                "sqs.us-gov-west-1.amazonaws.com",
                "us-gov-west-1",
                false,
                false,
            ),
            (
                "sqs.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
                false,
                false,
            ),
            (
                "sqs.eusc-de-east-1.amazonaws.eu",
                "eusc-de-east-1",
                false,
                false,
            ),
            (
                "sqs.us-iso-east-1.c2s.ic.gov",
                "us-iso-east-1",
                false,
                false,
            ),
            ("sqs-fips.us-east-1.amazonaws.com", "us-east-1", true, false),
            ("sqs.us-east-1.api.aws", "us-east-1", false, true),
            ("sqs-fips.ca-west-1.api.aws", "ca-west-1", true, true),
            (
                "sqs.cn-northwest-1.api.amazonwebservices.com.cn",
                "cn-northwest-1",
                false,
                true,
            ),
            ("queue.amazonaws.com", "us-east-1", false, false),
            (
                "ap-southeast-2.queue.amazonaws.com",
                "ap-southeast-2",
                false,
                false,
            ),
            (
                "cn-north-1.queue.amazonaws.com.cn",
                "cn-north-1",
                false,
                false,
            ),
        ] {
            let expected = (Some(region.to_owned()), fips, dual_stack, None);
            assert_eq!(host(name), expected, "{name}");
        }
        for (name, region) in [
            (
                "vpce-0abc-1def.sqs.us-east-1.vpce.amazonaws.com",
                "us-east-1",
            ),
            (
                "vpce-0abc-1def-us-east-1a.sqs.us-east-1.vpce.amazonaws.com",
                "us-east-1",
            ),
            (
                "vpce-0abc-1def.sqs-fips.us-east-2.vpce.amazonaws.com",
                "us-east-2",
            ),
            (
                "vpce-0abc-1def.sqs.cn-north-1.vpce.amazonaws.com.cn",
                "cn-north-1",
            ),
        ] {
            let endpoint = Some(format!("https://{name}"));
            let expected = (Some(region.to_owned()), false, false, endpoint);
            assert_eq!(host(name), expected, "{name}");
        }
    }

    /// A host that only resembles one of AWS must not determine the region or the destination of a request.
    #[test]
    fn other_hosts_say_nothing() {
        for name in [
            "localhost:4566",
            "127.0.0.1",
            "sqs.eu-west-1.localhost.localstack.cloud",
            "sqs.eu-west-1.amazonaws.com.example.org",
            "sqs.eu-west-1.notamazonaws.com",
            "sqs.amazonaws.com",
            "sqs.eu-west.amazonaws.com",
            "s3.eu-west-1.amazonaws.com",
            "vpce-1.sqs.us-east-1.amazonaws.com",
            "vpce-1.sqs.us-east-1.vpce.example.org",
            "queue.example.org",
        ] {
            assert_eq!(host(name), (None, false, false, None), "{name}");
        }
    }

    #[test]
    fn what_is_no_standard_queue_is_refused() {
        for (url, why) in [
            ("arn:aws:sqs:eu-west-1:1:logs", "an ARN"),
            ("logs", "not the URL of a queue"),
            ("", "not the URL of a queue"),
            ("s3://logs/a", "not the URL of a queue"),
            (
                "https://sqs.eu-west-1.amazonaws.com/",
                "not the URL of a queue",
            ),
            ("https://sqs.eu-west-1.amazonaws.com/1/logs.fifo", "FIFO"),
        ] {
            let error = url.parse::<QueueUrl>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(url), "{error}");
        }
    }
}
