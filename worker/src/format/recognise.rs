//! Recognises what a file is, by its content and by its name.
//!
//! Content takes precedence over names. A file is a log of a format only if at least one of its lines has the full shape
//! of that format's lines: a time, addresses, durations, status codes and byte counts, each in its field, and a quoted
//! request. A name that AWS gives to access logs is only a claim, which a line must confirm. Names that AWS gives to logs
//! that no rollup reads are trusted: a bucket has as many of them as access logs, and opening them all would double the
//! work.

use std::borrow::Cow;

use logmill_shared::NamedAs;

use super::fields::{Fields, split_address};
use super::{ALB_ACCESS_LOGS, ELB_LOGS, LogFormat};
use logmill_trino::iso8601::Timestamps;

/// Lines that are checked at the beginning of a file. Files that were cut or edited by hand may begin with other lines.
const LINES_LOOKED_AT: usize = 100;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Recognised {
    /// A log in a format that rollups can read: a line near its beginning has the format's shape.
    Log(&'static LogFormat),
    /// The name claims such a log, but no line near the beginning has the shape. If no later line has it, this is not a
    /// log.
    Claimed(&'static LogFormat),
    /// A known kind that no rollup reads.
    Other(&'static str),
    /// An unknown kind. The text describes the content.
    Unrecognised(&'static str),
}

/// Recognises a file by its name and the beginning of its decompressed bytes.
pub fn recognise(named_as: NamedAs, beginning: &[u8]) -> Recognised {
    match by_name(named_as) {
        Some(told @ Recognised::Other(_)) => told,
        _ if beginning.is_empty() => Recognised::Other(EMPTY_FILE),
        Some(claim) => by_content(beginning).unwrap_or(claim),
        None => by_content(beginning).unwrap_or(Recognised::Unrecognised(looks_like(beginning))),
    }
}

/// What the name alone reveals, if anything.
pub fn by_name(named_as: NamedAs) -> Option<Recognised> {
    match named_as {
        NamedAs::AlbAccessLog => Some(Recognised::Claimed(&ALB_ACCESS_LOGS)),
        NamedAs::ClassicAccessLog => Some(Recognised::Claimed(&ELB_LOGS)),
        NamedAs::NlbTlsLog => Some(Recognised::Other(NLB_LOG)),
        NamedAs::AlbConnectionLog => Some(Recognised::Other(CONNECTION_LOG)),
        NamedAs::AlbHealthCheckLog => Some(Recognised::Other(HEALTH_CHECK_LOG)),
        NamedAs::OtherService(kind) => Some(Recognised::Other(kind)),
        NamedAs::TestObject => Some(Recognised::Other(TEST_OBJECT)),
        NamedAs::Unknown => None,
    }
}

/// Whether a line, without its line ending, has the full shape of this format's lines.
pub(crate) fn has_shape(format: &LogFormat, line: &str) -> bool {
    matches!(line_format(line), Some(Recognised::Log(of)) if of == format)
}

/// The time of a line that has the full shape of this format's lines, in milliseconds since 1970.
pub(crate) fn time_of(format: &LogFormat, line: &str) -> Option<i64> {
    if !has_shape(format, line) {
        return None;
    }
    let mut fields = Fields::default();
    fields.split(line, format.time_field + 1);
    Timestamps::default().read(fields.text(line, format.time_field)?)
}

const NLB_LOG: &str = "network load balancer's log";
const CONNECTION_LOG: &str = "connection log";
const HEALTH_CHECK_LOG: &str = "health check log";
const TEST_OBJECT: &str = "test object";
/// A file without text. No line of it can be lost. The ledger does not record it, so the file that replaces it counts.
pub(crate) const EMPTY_FILE: &str = "empty file";

fn by_content(beginning: &[u8]) -> Option<Recognised> {
    let lines = beginning.split(|byte| *byte == b'\n');
    let lines = lines.take(LINES_LOOKED_AT).map(String::from_utf8_lossy);
    let by_line = lines.map(|line| line_format(line.strip_suffix('\r').unwrap_or(&line)));
    by_line.flatten().next().or_else(|| {
        let text = String::from_utf8_lossy(beginning);
        let kind = OTHER_KINDS.iter().find(|(_, is)| is(&text));
        kind.map(|(kind, _)| Recognised::Other(kind))
    })
}

/// Matches the shapes of lines that load balancers write. The sources for access logs are in [`super::alb`] and
/// [`super::elb`]. The other sources are "Connection logs" and "Health check logs" in the guide for Application Load
/// Balancers, and "Access logs" in the guide for Network Load Balancers.
fn line_format(line: &str) -> Option<Recognised> {
    // No field after the request is checked.
    let mut fields = Fields::default();
    fields.split(line, ALB_ACCESS_LOGS.request_field + 1);
    let fields = Shape { line, fields };
    if fields.is_access_line(&ALB_ACCESS_LOGS) && fields.is(0, is_word) {
        Some(Recognised::Log(&ALB_ACCESS_LOGS))
    } else if fields.is_access_line(&ELB_LOGS) {
        Some(Recognised::Log(&ELB_LOGS))
    } else if fields.is(0, is_time)
        && fields.is(1, is_ip)
        && fields.is(2, is_port)
        && fields.is(3, is_port)
    {
        Some(Recognised::Other(CONNECTION_LOG))
    } else if fields.is(0, |kind| kind == "tls")
        && fields.is(2, |time| is_time(&format!("{time}Z")))
        && fields.is(5, is_address)
        && fields.is(6, is_address)
    {
        Some(Recognised::Other(NLB_LOG))
    } else if fields.is(0, is_word)
        && fields.is(1, is_time)
        && fields.is(2, is_number)
        && fields.is(3, is_address)
        && fields.is(5, |status| status.starts_with(char::is_alphabetic))
        && fields.is(6, is_count)
        && fields.fields.len() <= 10
    {
        Some(Recognised::Other(HEALTH_CHECK_LOG))
    } else {
        None
    }
}

struct Shape<'l> {
    line: &'l str,
    fields: Fields,
}

impl Shape<'_> {
    fn is(&self, field: usize, is: impl Fn(&str) -> bool) -> bool {
        self.fields.text(self.line, field).is_some_and(is)
    }

    /// time, balancer, client:port, target:port, three durations, two status codes, two byte counts, "request". A line may
    /// end before the request; otherwise the request is quoted.
    fn is_access_line(&self, format: &LogFormat) -> bool {
        let time = format.time_field;
        let request = self.fields.raw(self.line, format.request_field);
        self.is(time, is_time)
            && self.is(time + 1, |balancer| !balancer.is_empty())
            && self.is(time + 2, is_address)
            && self.is(time + 3, |target| target == "-" || is_address(target))
            && (time + 4..time + 7).all(|field| self.is(field, is_number))
            && (time + 7..time + 11).all(|field| self.is(field, is_count))
            && request.is_none_or(|request| request.starts_with('"'))
    }
}

fn is_time(text: &str) -> bool {
    Timestamps::default().read(text).is_some()
}

/// `https`, `h2`, `grpcs`, and future values.
fn is_word(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=16).contains(&text.len()) && text.bytes().all(is_letter)
}

fn is_ip(text: &str) -> bool {
    let text = text
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'))
        .unwrap_or(text);
    text.parse::<std::net::IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// `address:port`. The address may be masked.
fn is_address(text: &str) -> bool {
    split_address(text).is_some_and(|(address, port)| !address.is_empty() && is_port(port))
}

fn is_number(text: &str) -> bool {
    text == "-" || text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn is_count(text: &str) -> bool {
    text == "-" || text.parse::<i64>().is_ok()
}

type Is = fn(&str) -> bool;

/// Kinds of logs that AWS services write to such buckets, by the beginning of the file. No rollup reads them.
static OTHER_KINDS: &[(&str, Is)] = &[
    // "Standard logging (access logs)" in the guide for CloudFront. Two header lines, then tab-separated fields.
    ("CloudFront log", |text| {
        text.starts_with("#Version:")
            && text.contains("#Fields:")
            && text.contains("x-edge-location")
    }),
    // "Amazon S3 server access log format": owner, bucket, [time], …
    ("S3 server access log", |text| {
        let mut fields = first_line(text).split(' ');
        let owner = fields.next().unwrap_or_default();
        owner.len() == 64
            && owner.bytes().all(|byte| byte.is_ascii_hexdigit())
            && fields.nth(1).is_some_and(|time| time.starts_with('['))
    }),
    // "Flow log records": a header of field names, or version, account, interface.
    ("VPC flow log", |text| {
        let mut fields = first_line(text).split(' ');
        let names = || first_line(text).split(' ');
        let is_header = ["srcaddr", "dstaddr"]
            .iter()
            .all(|name| names().any(|field| field == *name));
        is_header
            || fields
                .nth(2)
                .is_some_and(|interface| interface.starts_with("eni-"))
    }),
    ("CloudTrail log", |text| {
        text.starts_with("{\"Records\":[") && text.contains("\"eventVersion\"")
    }),
    ("CloudTrail digest", |text| {
        text.starts_with('{') && text.contains("\"digestStartTime\"")
    }),
    ("WAF log", |text| {
        text.starts_with('{') && text.contains("\"webaclId\"") && text.contains("\"httpRequest\"")
    }),
    ("AWS Config history", |text| {
        text.starts_with('{') && text.contains("\"configurationItems\"")
    }),
    ("Route 53 Resolver query log", |text| {
        text.starts_with('{')
            && text.contains("\"query_timestamp\"")
            && text.contains("\"query_name\"")
    }),
    ("Network Firewall log", |text| {
        text.starts_with('{')
            && text.contains("\"firewall_name\"")
            && text.contains("\"event_timestamp\"")
    }),
    // "Exporting log data to Amazon S3" in the guide for CloudWatch Logs; the words are Lambda's.
    ("Lambda function's log", |text| {
        let mut fields = first_line(text).splitn(3, ' ');
        let time = fields.next().unwrap_or_default();
        let is_lambda = |word| matches!(word, "INIT_START" | "START" | "END" | "REPORT");
        is_time(time)
            && fields.next().is_some_and(is_lambda)
            && fields
                .next()
                .is_some_and(|rest| rest.starts_with("RequestId:") || rest.starts_with("Runtime"))
    }),
    // CloudWatch Logs writes `aws-logs-write-test` before it exports.
    (TEST_OBJECT, |text| {
        text.trim_end() == "Permission Check Successful"
    }),
];

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Describes bytes that are not a known log, in words for people.
pub(crate) fn looks_like(beginning: &[u8]) -> &'static str {
    let by_magic = MAGIC.iter().find(|(magic, _)| beginning.starts_with(magic));
    if let Some((_, what)) = by_magic {
        return what;
    }
    let text: Cow<'_, str> = String::from_utf8_lossy(beginning);
    match text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .chars()
        .next()
    {
        None => "white space",
        Some(_) if beginning.contains(&0) => "binary data",
        Some('<') => "XML or HTML, usually an error message instead of a file",
        Some('{' | '[') => "JSON",
        Some(_) => "text of another kind",
    }
}

static MAGIC: &[(&[u8], &str)] = &[
    (
        b"\x1f\x8b",
        "a gzip stream inside a gzip stream; decompress it once",
    ),
    (b"BZh", "a bzip2 stream; recompress it as gzip"),
    (b"\x28\xb5\x2f\xfd", "a zstd stream; recompress it as gzip"),
    (b"\xfd7zXZ\0", "an xz stream; recompress it as gzip"),
    (b"PK\x03\x04", "a zip archive; unpack it"),
    (b"PAR1", "a Parquet file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const ALB: &str = r#"h2 2026-11-20T10:02:03.000001Z app/shop/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET https://shop.example:443/ HTTP/2.0" "curl/8" - -"#;
    const CLASSIC: &str = r#"2026-11-20T10:02:03.000001Z legacy 192.0.2.7:2817 - -1 -1 -1 408 - 0 0 "GET http://shop.example:80/ HTTP/1.1""#;
    const CONNECTION: &str =
        "2026-10-04T17:05:15.514108Z 192.0.2.39 36280 443 TLSv1.2 ECDHE 4.036 \"-\" - - -";
    const NLB: &str =
        "tls 2.0 2026-12-20T02:59:40 net/n/c6e7 g3d4 192.0.2.39:2817 10.0.0.1:80 5 2 98 246 - arn";
    const HEALTH: &str =
        "http 2026-11-20T10:02:03.000001Z 0.003 10.0.0.1:80 web/73e2d6bc24d8a067 PASS 200 -";

    fn told(text: &str) -> Recognised {
        recognise(NamedAs::Unknown, text.as_bytes())
    }

    #[test]
    fn content_goes_before_a_claim() {
        let claimed = |text: &str| recognise(NamedAs::AlbAccessLog, text.as_bytes());
        assert_eq!(claimed(ALB), Recognised::Log(&ALB_ACCESS_LOGS));
        assert_eq!(claimed(CLASSIC), Recognised::Log(&ELB_LOGS));
        assert_eq!(claimed(CONNECTION), Recognised::Other(CONNECTION_LOG));
        for none in ["<html>", "\n", "{\"type\":\"https\"}", "\u{1f}"] {
            assert_eq!(
                claimed(none),
                Recognised::Claimed(&ALB_ACCESS_LOGS),
                "{none}"
            );
        }
        assert_eq!(
            recognise(NamedAs::ClassicAccessLog, b"<html>"),
            Recognised::Claimed(&ELB_LOGS)
        );
        assert_eq!(claimed(""), Recognised::Other(EMPTY_FILE));
        // A name that AWS gives to logs that no rollup reads is trusted.
        assert_eq!(
            recognise(NamedAs::TestObject, ALB.as_bytes()),
            Recognised::Other(TEST_OBJECT)
        );
        assert_eq!(
            recognise(NamedAs::OtherService("WAF log"), b""),
            Recognised::Other("WAF log")
        );
    }

    #[test]
    fn lines_of_balancers_are_told_by_their_whole_shape() {
        assert_eq!(told(ALB), Recognised::Log(&ALB_ACCESS_LOGS));
        assert_eq!(told(CLASSIC), Recognised::Log(&ELB_LOGS));
        assert_eq!(
            told(&format!("cut line\r\n\r\n{ALB}\r\n")),
            Recognised::Log(&ALB_ACCESS_LOGS)
        );
        assert_eq!(told(CONNECTION), Recognised::Other(CONNECTION_LOG));
        assert_eq!(told(NLB), Recognised::Other(NLB_LOG));
        assert_eq!(told(HEALTH), Recognised::Other(HEALTH_CHECK_LOG));
        for other in [
            ALB.replace("10.0.0.1:80", "fd6d:6bbc:c529::ed84:80"),
            ALB.replace("192.0.2.7:2817", "[2001:db8::1]:2817")
                .replace("10.0.0.1:80", "-"),
            ALB.replace("200 200", "460 -")
                .replace("0.000 0.001 0.000", "-1 -1 -1"),
            ALB.replace("h2 ", "of-2030 "),
        ] {
            assert_eq!(told(&other), Recognised::Log(&ALB_ACCESS_LOGS), "{other}");
        }
        assert!(has_shape(&ALB_ACCESS_LOGS, ALB) && !has_shape(&ELB_LOGS, ALB));
        assert!(has_shape(&ELB_LOGS, CLASSIC) && !has_shape(&ALB_ACCESS_LOGS, CLASSIC));
    }

    #[test]
    fn a_line_with_a_field_of_another_kind_is_no_balancers() {
        for (line, format) in [(ALB, &ALB_ACCESS_LOGS), (CLASSIC, &ELB_LOGS)] {
            let fields: Vec<&str> = line.split(' ').collect();
            let balancer = format.time_field + 1;
            for field in
                (format.time_field..=format.request_field).filter(|field| *field != balancer)
            {
                let mut fields = fields.clone();
                fields[field] = "word";
                let line = fields.join(" ");
                assert!(!has_shape(format, &line), "{field}: {line}");
            }
        }
    }

    #[test]
    fn other_kinds_are_told_by_what_they_begin_with() {
        for (kind, text) in [
            (
                "CloudFront log",
                "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes\n",
            ),
            (
                "S3 server access log",
                "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be logs [06/Feb/2026:00:00:38 +0000] 192.0.2.3 x",
            ),
            (
                "VPC flow log",
                "account-id action srcaddr dstaddr\n1 ACCEPT 10.0.0.1 10.0.0.2\n",
            ),
            (
                "VPC flow log",
                "2 123456789010 eni-1235b8ca123456789 192.0.2.1 192.0.2.2 20641 22 6 20 4249 1 2 ACCEPT OK\n",
            ),
            (
                "CloudTrail log",
                "{\"Records\":[{\"eventVersion\":\"1.08\"}]}",
            ),
            (
                "CloudTrail digest",
                "{\"awsAccountId\":\"1\",\"digestStartTime\":\"2026\"}",
            ),
            (
                "WAF log",
                "{\"timestamp\":1,\"formatVersion\":1,\"webaclId\":\"a\",\"httpRequest\":{}}",
            ),
            (
                "AWS Config history",
                "{\"fileVersion\":\"1.0\",\"configurationItems\":[]}",
            ),
            (
                "Route 53 Resolver query log",
                "{\"version\":\"1.1\",\"query_timestamp\":\"2026\",\"query_name\":\"a.\"}",
            ),
            (
                "Network Firewall log",
                "{\"firewall_name\":\"f\",\"event_timestamp\":\"1\"}",
            ),
            (
                "Lambda function's log",
                "2026-11-20T10:00:00.000Z START RequestId: 0 Version: $LATEST\n",
            ),
            ("test object", "Permission Check Successful"),
            ("empty file", ""),
        ] {
            assert_eq!(told(text), Recognised::Other(kind), "{text}");
        }
    }

    #[test]
    fn what_is_of_no_known_kind_is_described() {
        for (what, bytes) in [
            ("a gzip stream inside a gzip stream; decompress it once", &b"\x1f\x8b\x08\0"[..]),
            ("a bzip2 stream; recompress it as gzip", b"BZh91AY&SY"),
            ("JSON", b" {\"type\":\"https\"}"),
            ("XML or HTML, usually an error message instead of a file", b"\xef\xbb\xbf<?xml?>"),
            ("binary data", b"\x7fELF\0\0"),
            ("text of another kind", b"# a readme\n\ntext"),
            ("white space", b"\n\n"),
            (
                "text of another kind",
                b"2026-11-20T10:00:00.123Z INFO c.e.Foo: user 42 did something quite long with more than twelve words in it ok.",
            ),
            (
                "text of another kind",
                b"INFO 2026-11-20T10:00:00.123Z worker app.py:42 processed a batch of one hundred things without any trouble at all today",
            ),
        ] {
            assert_eq!(recognise(NamedAs::Unknown, bytes), Recognised::Unrecognised(what));
        }
    }
}
