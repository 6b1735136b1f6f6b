//! A log file is identified by its URI. Its [`LogFileId`], the [`Shard`] of the ledger that records it, and the type that
//! its name indicates derive from the URI alone. Counting once depends on this: a retry, a replay or another worker gets
//! the same results.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::s3_uri::S3Uri;

/// One log file: an S3 object or a local file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogFile {
    uri: String,
}

impl LogFile {
    /// A log file by its URI: `s3://bucket/key` with the key as S3 stores it (not percent-encoded), or
    /// `file:///absolute/path`.
    pub fn new(uri: impl Into<String>) -> Self {
        Self { uri: uri.into() }
    }

    /// An object in S3, by its key as S3 stores it.
    pub fn in_bucket(bucket: &str, key: &str) -> Self {
        Self::new(S3Uri { bucket, key }.to_string())
    }

    /// The bucket and the key of an object in S3; `None` for any other URI.
    pub fn bucket_and_key(&self) -> Option<(&str, &str)> {
        let S3Uri { bucket, key } = S3Uri::parse(&self.uri).ok()??;
        (!key.is_empty()).then_some((bucket, key))
    }

    /// The URI as it was given.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The last segment of the URI.
    pub fn name(&self) -> &str {
        self.uri.rsplit('/').next().unwrap_or(&self.uri)
    }

    /// The identity under which the log file is staged and counted.
    pub fn id(&self) -> LogFileId {
        let digest = Sha256::digest(self.uri.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        LogFileId(id)
    }

    /// The part of the ledger that records this log file.
    ///
    /// This is the hour in the name, so that a commit rewrites little of the ledger. A name without an hour belongs to
    /// one of 256 shards by its id. The time of last modification would be the natural substitute, but it changes when a
    /// file is copied or an object is put again, and a file whose shard changes is counted twice.
    pub fn shard(&self) -> Shard {
        match interval_end(self.name()) {
            Some(end) => Shard(format!(
                "{}-{}-{}T{}",
                &end[..4],
                &end[4..6],
                &end[6..8],
                &end[9..11]
            )),
            None => Shard(format!("unnamed-{:02x}", self.id().0[0])),
        }
    }

    /// The `YYYYMMDDTHHMMZ` in the name: the end of the interval that the log file covers, in UTC.
    pub fn interval_end(&self) -> Option<&str> {
        interval_end(self.name())
    }

    /// The day (`YYYY-MM-DD`) in the name: the end of the interval that the log file covers.
    pub fn day(&self) -> Option<String> {
        let end = interval_end(self.name())?;
        Some(format!("{}-{}-{}", &end[..4], &end[4..6], &end[6..8]))
    }

    /// The day (`YYYY/MM/DD`) on which the log file was delivered: its date folders (`2026/11/20` or
    /// `year=2026/month=11/day=20`), or else the day in its name.
    pub fn delivery_day(&self) -> Option<String> {
        let folders: Vec<&str> = self.folders().collect();
        let of_folders = folders.windows(3).rev().find_map(|folders| {
            let part = |at: usize, name: &str, digits: usize| {
                let text = folders[at].strip_prefix(name).unwrap_or(folders[at]);
                is_number(text, digits).then_some(text)
            };
            let (year, month, day) = (
                part(0, "year=", 4)?,
                part(1, "month=", 2)?,
                part(2, "day=", 2)?,
            );
            Some(format!("{year}/{month}/{day}"))
        });
        of_folders.or_else(|| self.day().map(|day| day.replace('-', "/")))
    }

    /// The account of the load balancer, from the name or the path.
    pub fn account(&self) -> Option<&str> {
        let of_name = self.balancers_name().map(|(before, _)| before);
        let of_name = of_name.and_then(|before| before.rsplit('_').next());
        let of_path = self.folders().filter_map(|folder| {
            let account = folder.strip_prefix("aws-account-id=").unwrap_or(folder);
            is_number(account, 12).then_some(account)
        });
        of_name
            .filter(|account| is_number(account, 12))
            .or_else(|| of_path.last())
    }

    /// The region of the load balancer, from the name or the path.
    pub fn region(&self) -> Option<&str> {
        let of_name = self.balancers_name();
        let of_name = of_name.and_then(|(_, rest)| rest.split_once('_'));
        let of_path = self.folders().filter_map(|folder| {
            let region = folder.strip_prefix("region=").unwrap_or(folder);
            is_region(region).then_some(region)
        });
        match of_name {
            Some((region, _)) => Some(region),
            None => of_path.last(),
        }
    }

    /// The load balancer in the name, as lines name it: `app/my-loadbalancer/1234567890abcdef`.
    pub fn balancer(&self) -> Option<String> {
        let (_, rest) = self.balancers_name()?;
        let (_, rest) = rest.split_once('_')?;
        let (balancer, _) = rest.split_once('_')?;
        Some(balancer.replace('.', "/"))
    }

    /// The address of the load balancer's node in the name, as it is written there. `None` if the name has none, as with
    /// Network Load Balancers.
    pub fn node(&self) -> Option<&str> {
        let (_, rest) = self.balancers_name()?;
        // <region>_<load balancer>_<interval end>_<address>_<random>
        let mut parts = rest.split('_').skip_while(|part| !is_interval_end(part));
        let address = parts.nth(1)?;
        parts.next().map(|_| address)
    }

    /// The folders of its path, from the first one.
    fn folders(&self) -> impl Iterator<Item = &str> {
        let path = self.uri.rsplit_once('/').map_or("", |(path, _)| path);
        path.split('/')
    }

    /// Splits a name that AWS gives at `_elasticloadbalancing_`.
    fn balancers_name(&self) -> Option<(&str, &str)> {
        let name = self.name();
        interval_end(name)?;
        name.split_once("_elasticloadbalancing_")
    }

    /// The name, if it is one that AWS gives to a log of a load balancer. AWS gives no name twice, so two log files with the
    /// same name are most likely copies. `None` for other names, which may occur twice.
    pub fn given_name(&self) -> Option<&str> {
        let is_given = match self.named_as() {
            NamedAs::AlbAccessLog
            | NamedAs::ClassicAccessLog
            | NamedAs::NlbTlsLog
            | NamedAs::AlbConnectionLog
            | NamedAs::AlbHealthCheckLog => true,
            NamedAs::Other(_) | NamedAs::TestObject | NamedAs::Unknown => false,
        };
        is_given.then(|| self.name())
    }

    /// The type of file that the name indicates.
    pub fn named_as(&self) -> NamedAs {
        let name = self.name();
        if name.ends_with("LogTestFile") || TEST_OBJECTS.contains(&name) {
            return NamedAs::TestObject;
        }
        // <account>_elasticloadbalancing_<region>_<load balancer>_<interval end>_…
        let Some((before, rest)) = name.split_once("_elasticloadbalancing_") else {
            return other_kind(name).map_or(NamedAs::Unknown, NamedAs::Other);
        };
        let Some((_, balancer)) = rest.split_once('_') else {
            return NamedAs::Unknown;
        };
        if interval_end(name).is_none() {
            return NamedAs::Unknown;
        }
        // A copy may have a prefix in front of the name that AWS gave.
        if before.contains("conn_log_") || before.contains("conn_log.") {
            NamedAs::AlbConnectionLog
        } else if before.contains("health_check_log") {
            NamedAs::AlbHealthCheckLog
        } else if balancer.starts_with("app.") {
            NamedAs::AlbAccessLog
        } else if balancer.starts_with("net.") {
            NamedAs::NlbTlsLog
        } else {
            NamedAs::ClassicAccessLog
        }
    }
}

/// Services whose log files are named `<account>_<service>_…`, and the type of these files. From their user guides:
/// "CloudTrail log file names", "Flow log files", "Logging web ACL traffic", "Managing the delivery channel" (AWS
/// Config), "Resolver query log files" and "Logging network traffic from AWS Network Firewall".
const OTHER_SERVICES: [(&str, &str); 8] = [
    ("CloudTrail", "CloudTrail log"),
    ("CloudTrail-Digest", "CloudTrail digest"),
    ("CloudTrail-Insight", "CloudTrail log"),
    ("vpcflowlogs", "VPC flow log"),
    ("waflogs", "WAF log"),
    ("Config", "AWS Config history"),
    ("vpcdnsquerylogs", "Route 53 Resolver query log"),
    ("network-firewall", "Network Firewall log"),
];

/// Objects that services write to see whether they may: from "Exporting log data to Amazon S3" in the guide for CloudWatch
/// Logs, and from "Permissions for the Amazon S3 Bucket for the AWS Config Delivery Channel".
const TEST_OBJECTS: [&str; 2] = ["aws-logs-write-test", "ConfigWritabilityCheckFile"];

/// The kind of a file that no load balancer writes, from its name.
fn other_kind(name: &str) -> Option<&'static str> {
    of_another_service(name).or_else(|| of_a_tool(name))
}

/// Objects that tools leave in buckets. From "Working with query results" in the Athena user guide, "Cataloging and
/// analyzing your data with S3 Inventory" in the guide for S3, and Hadoop's S3 connectors.
fn of_a_tool(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.ends_with("_$folder$") {
        return Some("folder marker");
    }
    if matches!(name, "manifest.checksum" | "manifest.json" | "symlink.txt") {
        return Some("S3 inventory");
    }
    let (id, rest) = name.split_at_checked(36)?;
    let is_id = id.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    match rest {
        _ if !is_id => None,
        ".csv" | ".txt" | ".csv.metadata" | ".txt.metadata" | "-manifest.csv" => {
            Some("Athena query result")
        }
        ".csv.gz" | ".orc" => Some("S3 inventory"),
        _ => None,
    }
}

fn is_number(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `us-east-2`, `us-gov-west-1`, `ap-southeast-5`.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let area = parts
        .next()
        .is_some_and(|area| area.len() == 2 && is_word(area));
    let number = parts.next_back().is_some_and(|number| is_number(number, 1));
    area && number && parts.clone().count() >= 1 && parts.all(is_word)
}

fn of_another_service(name: &str) -> Option<&'static str> {
    let (account, rest) = name.split_once('_')?;
    let (service, _) = rest.split_once('_')?;
    let mut services = OTHER_SERVICES
        .into_iter()
        .filter(|_| is_number(account, 12));
    services
        .find(|(name, _)| *name == service)
        .map(|(_, kind)| kind)
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// The type of file that a log file's name indicates. The names are those of AWS; see "Object keys" in the guides to
/// access logs of Application, Classic and Network Load Balancers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedAs {
    /// `…_app.<name>.<id>_…`
    AlbAccessLog,
    /// `…_elasticloadbalancing_<region>_<name>_…`
    ClassicAccessLog,
    /// `…_net.<name>.<id>_…`
    NlbTlsLog,
    /// `conn_log_<account>_elasticloadbalancing_…`, possibly with a prefix.
    AlbConnectionLog,
    /// `health_check_log_<account>_elasticloadbalancing_…`, possibly with a prefix.
    AlbHealthCheckLog,
    /// `<account>_CloudTrail_…` and similar: a log of another service, or something that a tool has left, of this type.
    Other(&'static str),
    /// `ELBAccessLogTestFile` and similar: not a log, but written when logging is switched on.
    TestObject,
    /// The name does not indicate a type.
    Unknown,
}

/// The `YYYYMMDDTHHMMZ` in a log file's name.
fn interval_end(name: &str) -> Option<&str> {
    name.split('_').find(|part| is_interval_end(part))
}

fn is_interval_end(part: &str) -> bool {
    let part = part.as_bytes();
    part.len() == 14
        && part[8] == b'T'
        && part[13] == b'Z'
        && part[..8].iter().all(u8::is_ascii_digit)
        && part[9..13].iter().all(u8::is_ascii_digit)
}

/// The 128-bit id of a log file: the first half of the SHA-256 of its URI. To look up a staged file or a ledger row, run
/// `printf %s "$uri" | sha256sum | head -c 32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogFileId([u8; 16]);

impl fmt::Display for LogFileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogFileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 lowercase hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not the id of a log file (32 lowercase hexadecimal digits)")]
pub struct ParseIdError(String);

impl FromStr for LogFileId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        // `from_str_radix` alone would accept a sign and upper case, which would give one log file several ids.
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(ParseIdError(text.to_owned()));
        }
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .ok_or_else(|| ParseIdError(text.to_owned()))?;
        }
        Ok(Self(id))
    }
}

/// A part of the ledger: the hour in the log file's name (`2026-11-22T10`), or `unnamed-<2 hex digits>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(String);

impl Shard {
    /// A shard by its name, as in a path.
    pub fn from_name(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name, which is also the name of its folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALB: &str = "s3://logs/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/22/\
        123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20261122T1005Z_172.160.001.192_20sg8hgm.log.gz";

    #[test]
    fn shard_is_the_hour_in_the_name() {
        assert_eq!(LogFile::new(ALB).shard().as_str(), "2026-11-22T10");
        assert_eq!(LogFile::new(ALB).day().as_deref(), Some("2026-11-22"));
        assert_eq!(LogFile::new(ALB).interval_end(), Some("20261122T1005Z"));
    }

    #[test]
    fn the_node_is_the_address_in_the_name() {
        let node = |name: &str| LogFile::in_bucket("logs", name).node().map(str::to_owned);
        assert_eq!(LogFile::new(ALB).node(), Some("172.160.001.192"));
        let end = "1_elasticloadbalancing_us-east-2";
        assert_eq!(
            node(&format!("{end}_shop_20261122T1005Z_10.0.0.7_a1b2.log")).as_deref(),
            Some("10.0.0.7")
        );
        assert_eq!(
            node(&format!("{end}_net.n.0f_20261122T1005Z_a1b2.log.gz")),
            None
        );
        assert_eq!(node(&format!("{end}_shop_20261122T1005Z")), None);
        assert_eq!(node("other_20261122T1005Z_10.0.0.7_a1b2.log"), None);
    }

    #[test]
    fn a_name_without_an_hour_has_a_shard_that_depends_on_nothing_else() {
        let file = LogFile::new("file:///logs/export-1.txt");
        assert_eq!(
            file.shard(),
            LogFile::new("file:///logs/export-1.txt").shard()
        );
        assert!(
            file.shard().as_str().starts_with("unnamed-"),
            "{}",
            file.shard()
        );
        assert_eq!(file.day(), None);
    }

    #[test]
    fn id_is_half_a_sha256_and_reads_back() {
        // printf %s s3://bucket/key | sha256sum | head -c 32
        let id = LogFile::new("s3://bucket/key").id();
        assert_eq!(id.to_string(), "558ca1533e03aaea2e3fb825be29124c");
        assert_eq!(id.to_string().parse::<LogFileId>().unwrap(), id);
        assert!("zz".parse::<LogFileId>().is_err());
        assert!("é".repeat(16).parse::<LogFileId>().is_err());
        for other in [
            "558CA1533E03AAEA2E3FB825BE29124C",
            "+58ca1533e03aaea2e3fb825be29124c",
            "558ca1533e03aaea2e3fb825be2912+c",
        ] {
            assert!(other.parse::<LogFileId>().is_err(), "{other}");
        }
    }

    #[test]
    fn an_object_is_its_bucket_and_its_key() {
        let object = LogFile::in_bucket("logs", "/a b/../é%2B");
        assert_eq!(object.uri(), "s3://logs//a b/../é%2B");
        assert_eq!(object.bucket_and_key(), Some(("logs", "/a b/../é%2B")));
        for other in ["s3://logs", "s3://logs/", "s3:///key", "file:///logs/key"] {
            assert_eq!(LogFile::new(other).bucket_and_key(), None, "{other}");
        }
    }

    #[test]
    fn paths_tell_where_a_log_file_is_from() {
        let facts = |uri: &str| {
            let file = LogFile::new(uri);
            let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
            [
                text(file.delivery_day().as_deref()),
                text(file.account()),
                text(file.region()),
                text(file.balancer().as_deref()),
            ]
        };
        let balancer = "app/my-loadbalancer/1234567890abcdef";
        let expected = ["2026/11/22", "123456789012", "us-east-2", balancer];
        assert_eq!(facts(ALB), expected);
        assert_eq!(
            facts(&ALB.replace("/AWSLogs/123456789012/elasticloadbalancing/us-east-2", "/p")),
            expected
        );
        let classic = "s3://b/123456789012_elasticloadbalancing_us-gov-west-1_old_20261122T1005Z_10.0.0.1_r.log";
        assert_eq!(
            facts(classic),
            ["2026/11/22", "123456789012", "us-gov-west-1", "old"]
        );
        // Deliveries through CloudWatch Logs. Their names are not documented.
        for path in [
            "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/22/x.parquet",
            "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/22/05/x.json.gz",
            "AWSLogs/aws-account-id=123456789012/elasticloadbalancing/region=us-east-2/year=2026/month=11/day=22/x.gz",
            "123456789012/us-east-2/2026/11/22/x.gz",
        ] {
            let facts = facts(&format!("s3://logs/{path}"));
            assert_eq!(
                facts,
                ["2026/11/22", "123456789012", "us-east-2", "-"],
                "{path}"
            );
        }
        assert_eq!(facts("s3://logs/x.gz"), ["-", "-", "-", "-"]);
    }

    #[test]
    fn names_tell_the_type() {
        let named_as = |name: &str| LogFile::new(format!("s3://b/p/{name}")).named_as();
        assert_eq!(LogFile::new(ALB).named_as(), NamedAs::AlbAccessLog);
        assert_eq!(
            named_as("1_elasticloadbalancing_eu-west-1_net.n.0_20261122T1005Z_r.log.gz"),
            NamedAs::NlbTlsLog
        );
        assert_eq!(
            named_as("1_elasticloadbalancing_eu-west-1_my-classic_20261122T1005Z_10.0.0.1_r.log"),
            NamedAs::ClassicAccessLog
        );
        assert_eq!(
            named_as(
                "conn_log_1_elasticloadbalancing_eu-west-1_app.n.0_20261122T1005Z_10.0.0.1_r.log.gz"
            ),
            NamedAs::AlbConnectionLog
        );
        for copied in ["copy-of-conn_log_", "conn_log."] {
            let name = format!(
                "{copied}1_elasticloadbalancing_r_app.n.0_20261122T1005Z_10.0.0.1_r.log.gz"
            );
            assert_eq!(named_as(&name), NamedAs::AlbConnectionLog, "{name}");
        }
        assert_eq!(
            named_as(
                "health_check_log_1_elasticloadbalancing_r_app.n.0_20261122T1005Z_10.0.0.1_r.log.gz"
            ),
            NamedAs::AlbHealthCheckLog
        );
        assert_eq!(
            named_as("123456789012_CloudTrail_us-east-2_20261122T1005Z_r.json.gz"),
            NamedAs::Other("CloudTrail log")
        );
        for unknown in [
            "conn_log_notes.txt",
            "1_CloudTrail_x.json",
            "a_waflogs_b",
            "123456789012_backup_x",
        ] {
            assert_eq!(named_as(unknown), NamedAs::Unknown, "{unknown}");
        }
        for test in ["ELBAccessLogTestFile", "aws-logs-write-test"] {
            assert_eq!(named_as(test), NamedAs::TestObject, "{test}");
        }
        let id = "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab";
        for (kind, name) in [
            ("folder marker", "logs_$folder$".to_owned()),
            ("folder marker", String::new()),
            ("S3 inventory", "manifest.json".to_owned()),
            ("S3 inventory", format!("{id}.csv.gz")),
            ("Athena query result", format!("{id}.csv")),
            ("Athena query result", format!("{id}.csv.metadata")),
        ] {
            assert_eq!(named_as(&name), NamedAs::Other(kind), "{name}");
        }
        assert_eq!(named_as(&format!("{id}.parquet")), NamedAs::Unknown);
        assert_eq!(named_as(&"x".repeat(36)), NamedAs::Unknown);
        assert_eq!(named_as("ELBConnectionLogTestFile"), NamedAs::TestObject);
        assert_eq!(
            named_as("1_elasticloadbalancing_notes.txt"),
            NamedAs::Unknown
        );
        assert_eq!(named_as("export.gz"), NamedAs::Unknown);
    }
}
