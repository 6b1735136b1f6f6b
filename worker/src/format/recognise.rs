//! Recognises what a file is, by its content and by its name.
//!
//! Content takes precedence over names. A file is a log of a format only if at least one of its lines has the full shape
//! of that format's lines: a time, addresses, durations, status codes and byte counts, each in its field, and a quoted
//! request. A name that AWS gives to logs of load balancers is only a claim, which a line must confirm. Names of logs that
//! no rollup reads are trusted: a bucket has as many connection logs as access logs, and opening them all would double the
//! work.
//!
//! Logs whose fields have names are recognised by these names: the keys of a JSON object, the `#Fields:` line of a W3C log,
//! the columns of a Parquet file.

use std::borrow::Cow;
use std::sync::Arc;

use logmill_shared::NamedAs;

use super::delimited::{self, DelimitedLines, is_value};
use super::fields::{Fields, split_address};
use super::named::NamedFields;
use super::shape::{PlainLog, Shape};
use super::{
    ALB_ACCESS_LOGS, ALB_CONNECTION_LOGS, ALB_HEALTH_CHECK_LOGS, ELB_LOGS, FORMATS, LogFormat,
    NLB_TLS_LOGS, json, parquet,
};
use logmill_trino::iso8601::Timestamps;

/// Lines that are checked at the beginning of a file. Files that were cut or edited by hand may begin with other lines.
const LINES_LOOKED_AT: usize = 100;

/// What a file is.
#[derive(Debug, Clone, PartialEq)]
pub enum Recognised {
    /// A log in a format that rollups can read: a line near its beginning is one of the format's, in this shape.
    Log(&'static LogFormat, Shape),
    /// The name claims such a log, but no line near the beginning has the shape. If no later line has it, this is not a
    /// log.
    Claimed(&'static LogFormat),
    /// A file that begins as Parquet does. Its columns tell what it is.
    Parquet,
    /// A known kind that no rollup reads.
    Other(&'static str),
    /// An unknown kind. The text describes the content.
    Unrecognised(&'static str),
}

/// Recognises a file by its name and the beginning of its decompressed bytes. `plain` says how its lines are written, if
/// somebody has said so.
pub fn recognise(named_as: NamedAs, plain: Option<PlainLog>, beginning: &[u8]) -> Recognised {
    let claim = match by_name(named_as) {
        Some(told @ Recognised::Other(_)) => return told,
        claim => claim,
    };
    if beginning.is_empty() {
        return Recognised::Other(EMPTY_FILE);
    }
    if let Some(told) = by_content(beginning, claim.is_some()) {
        return told;
    }
    match plain {
        Some(plain) => by_rule(&plain, beginning),
        None if beginning.starts_with(parquet::MAGIC) => Recognised::Parquet,
        None => claim.unwrap_or(Recognised::Unrecognised(looks_like(beginning))),
    }
}

/// Recognises a file that does not say what it is by the rule that somebody has written for it. A line must bear the rule out,
/// wherever it is.
fn by_rule(plain: &PlainLog, beginning: &[u8]) -> Recognised {
    let PlainLog { format, shape } = plain;
    let has_field = |name: &String| format.has_field(name);
    let mut lines = DelimitedLines::plain(format, shape);
    let mut fields = NamedFields::default();
    let by_line = first_lines(beginning).find_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(&line);
        let members = line
            .trim_start()
            .starts_with('{')
            .then(|| json::fields(line));
        if let Some(Some(members)) = members
            && members.iter().any(|(name, _)| has_field(name))
        {
            return Some(Shape::Json);
        }
        // A visitor's value may begin a line, too.
        if lines.is_whole(line, &mut fields) {
            return Some(Shape::Plain(Arc::clone(shape)));
        }
        let names = delimited::field_names(line)?;
        names.iter().any(has_field).then_some(Shape::W3c)
    });
    Recognised::Log(format, by_line.unwrap_or(Shape::Plain(Arc::clone(shape))))
}

/// What the name alone reveals, if anything.
pub fn by_name(named_as: NamedAs) -> Option<Recognised> {
    match named_as {
        NamedAs::AlbAccessLog => Some(Recognised::Claimed(&ALB_ACCESS_LOGS)),
        NamedAs::ClassicAccessLog => Some(Recognised::Claimed(&ELB_LOGS)),
        NamedAs::NlbTlsLog => Some(Recognised::Claimed(&NLB_TLS_LOGS)),
        NamedAs::AlbConnectionLog => Some(Recognised::Claimed(&ALB_CONNECTION_LOGS)),
        NamedAs::AlbHealthCheckLog => Some(Recognised::Claimed(&ALB_HEALTH_CHECK_LOGS)),
        NamedAs::Other(kind) => Some(Recognised::Other(kind)),
        NamedAs::TestObject => Some(Recognised::Other(TEST_OBJECT)),
        NamedAs::Unknown => None,
    }
}

/// What a file is that nobody reads, if the name alone reveals it. Such a file need not be opened. `reads` says whether
/// somebody reads a format.
pub fn unread_by_name(
    named_as: NamedAs,
    reads: impl Fn(&'static LogFormat) -> bool,
) -> Option<Recognised> {
    by_name(named_as).filter(|told| match told {
        Recognised::Other(_) => true,
        Recognised::Claimed(format) => !format.is_access_log() && !reads(format),
        _ => false,
    })
}

/// Recognises a Parquet file by the names of its columns, or by the rule that somebody has written for it.
pub(crate) fn by_columns<'n>(
    names: impl Iterator<Item = &'n str>,
    plain: Option<&PlainLog>,
) -> Recognised {
    let names: Vec<String> = names.map(parquet::column_name).collect();
    let has = |name: &str| names.iter().any(|other| other == name);
    if let Some(format) = by_fields(names.iter().map(|name| (name.as_str(), None))) {
        return Recognised::Log(format, Shape::Parquet);
    }
    if let Some(PlainLog { format, .. }) = plain
        && names.iter().any(|name| format.has_field(name))
    {
        return Recognised::Log(format, Shape::Parquet);
    }
    if has("x_edge_location") || has("sc_bytes") && has("cs_method") {
        return Recognised::Other("CloudFront log");
    }
    if has("srcaddr") && has("dstaddr") {
        return Recognised::Other("VPC flow log");
    }
    match has("bucket") && has("key") && (has("size") || has("version_id")) {
        true => Recognised::Other("S3 inventory"),
        false => Recognised::Unrecognised("a Parquet file without a load balancer's fields"),
    }
}

/// Whether a line of text, without its line ending, has the full shape of this format's lines.
pub(crate) fn has_shape(format: &LogFormat, line: &str) -> bool {
    line_format(line).is_some_and(|of| of == format)
}

/// The time of a line that is one of this format's, in milliseconds since 1970. Lines whose fields have no names in the line
/// itself are lines of text.
pub(crate) fn time_of(format: &LogFormat, line: &str) -> Option<i64> {
    if let Some(members) = json::fields(line) {
        let name = format.fields[format.time_field].name;
        let (_, time) = members.into_iter().find(|(member, _)| member == name)?;
        return Timestamps::default().read(&time?);
    }
    if !has_shape(format, line) {
        return None;
    }
    let mut fields = Fields::of(format);
    fields.split(line, format.time_field + 1);
    Timestamps::default().read(fields.text(line, format.time_field)?)
}

const TEST_OBJECT: &str = "test object";
/// A file without text. No line of it can be lost. The ledger does not record it, so the file that replaces it counts.
pub(crate) const EMPTY_FILE: &str = "empty file";

fn by_content(beginning: &[u8], is_named_as_text: bool) -> Option<Recognised> {
    let mut by_line = first_lines(beginning).filter_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(&line);
        of_line(line, is_named_as_text)
    });
    by_line.next().or_else(|| {
        let text = String::from_utf8_lossy(beginning);
        let kind = OTHER_KINDS.iter().find(|(_, is)| is(&text));
        kind.map(|(kind, _)| Recognised::Other(kind))
    })
}

fn first_lines(beginning: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    let lines = beginning.split(|byte| *byte == b'\n');
    lines.take(LINES_LOOKED_AT).map(String::from_utf8_lossy)
}

/// Recognises a log by one of its lines. AWS gives names of text logs to text logs. Something else under such a name is more
/// likely an export of a few fields, or a mistake, so it must name the load balancer.
fn of_line(line: &str, is_named_as_text: bool) -> Option<Recognised> {
    if line.starts_with('#') {
        let names = delimited::field_names(line)?;
        if is_named_as_text && !names.iter().any(|name| name == "elb") {
            return None;
        }
        let format = by_fields(names.iter().map(|name| (name.as_str(), None)))?;
        return Some(Recognised::Log(format, Shape::W3c));
    }
    if line.trim_start().starts_with('{') {
        let members = json::fields(line)?;
        if is_named_as_text && !members.iter().any(|(name, _)| name == "elb") {
            return None;
        }
        let members = members.iter();
        let members = members.map(|(name, value)| (name.as_str(), value.as_deref()));
        return Some(Recognised::Log(by_fields(members)?, Shape::Json));
    }
    line_format(line).map(|format| Recognised::Log(format, Shape::Text))
}

/// Matches the shapes of lines of text that load balancers write.
fn line_format(line: &str) -> Option<&'static LogFormat> {
    let mut fields = Fields::default();
    // No format checks a field after this one.
    fields.split(line, ALB_ACCESS_LOGS.fields_min + 1);
    let is_line = |format: &&'static LogFormat| {
        let (checked, _) = format.fields.split_at(format.fields_min);
        let values = checked.iter().enumerate();
        let mut values = values.map(|(at, field)| fields.text(line, at).is_some_and(field.is));
        let request = format
            .request_field
            .and_then(|field| fields.raw(line, field));
        // A line may end before the request; otherwise the request is quoted.
        values.all(|is| is) && request.is_none_or(|request| request.starts_with('"'))
    };
    FORMATS.into_iter().find(is_line)
}

/// Names that other logs have as well. A log with no other names is not known to be a load balancer's.
const COMMON_NAMES: [&str; 26] = [
    "request_line",
    "ssl_cipher",
    "ssl_protocol",
    "tls_cipher",
    "tls_protocol",
    "reason_code",
    "connection_time",
    "listener_port",
    "type",
    "time",
    "version",
    "status",
    "status_code",
    "latency",
    "client_ip",
    "client_port",
    "user_agent",
    "trace_id",
    "ip_address",
    "domain_name",
    "received_bytes",
    "sent_bytes",
    "classification",
    "redirect_url",
    "error_reason",
    "listener",
];

/// The format whose fields have these names, with the values of one line if they are known.
///
/// People choose the fields, so no single one must be there. The format is the one with the most of the names. At least one
/// name is of no other kind of log, most of the names are the format's, and most values are possible ones of their fields.
fn by_fields<'f>(
    fields: impl Iterator<Item = (&'f str, Option<&'f str>)> + Clone,
) -> Option<&'static LogFormat> {
    // Deliveries through CloudWatch Logs have no logs of Classic Load Balancers.
    let formats = FORMATS.into_iter().filter(|format| *format != &ELB_LOGS);
    let known = formats.filter_map(|format| Some((known_names(format, fields.clone())?, format)));
    let known: Vec<(usize, &LogFormat)> = known.collect();
    let most = known.iter().map(|(names, _)| *names).max()?;
    let mut best = known.iter().filter(|(names, _)| *names == most);
    let (_, format) = best.next()?;
    best.next().is_none().then_some(*format)
}

/// How many of the fields the format has. `None` if they are not those of the format.
fn known_names<'f>(
    format: &LogFormat,
    fields: impl Iterator<Item = (&'f str, Option<&'f str>)>,
) -> Option<usize> {
    let (mut known, mut others, mut is_telling) = (0_usize, 0, false);
    let (mut fitting, mut unfit) = (0, 0);
    for (name, value) in fields {
        let Some(field) = format.field(name) else {
            others += 1;
            continue;
        };
        known += 1;
        is_telling |= !COMMON_NAMES.contains(&name);
        let Some(value) = value.filter(|value| !matches!(*value, "" | "-")) else {
            continue;
        };
        match is_value(value, &format.fields[field]) {
            true => fitting += 1,
            false => unfit += 1,
        }
        if name == "elb"
            && let Some((kind @ ("app" | "net"), _)) = value.split_once('/')
            && (kind == "net") != (format == &NLB_TLS_LOGS)
        {
            return None;
        }
    }
    (is_telling && others <= known && unfit <= fitting).then_some(known)
}

pub(super) fn is_any(_: &str) -> bool {
    true
}

pub(super) fn is_named(text: &str) -> bool {
    !text.is_empty()
}

pub(super) fn is_time(text: &str) -> bool {
    Timestamps::default().read(text).is_some()
}

/// `https`, `h2`, `grpcs`, `tls`, and future values.
pub(super) fn is_word(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=16).contains(&text.len()) && text.bytes().all(is_letter)
}

pub(super) fn is_ip(text: &str) -> bool {
    let text = text
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'))
        .unwrap_or(text);
    text.parse::<std::net::IpAddr>().is_ok()
}

pub(super) fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// `address:port`. The address may be masked.
pub(super) fn is_address(text: &str) -> bool {
    split_address(text).is_some_and(|(address, port)| !address.is_empty() && is_port(port))
}

/// `address:port`, or `-` if there is no target.
pub(super) fn is_target(text: &str) -> bool {
    text == "-" || is_address(text)
}

pub(super) fn is_number(text: &str) -> bool {
    text == "-" || text.parse::<f64>().is_ok_and(f64::is_finite)
}

pub(super) fn is_count(text: &str) -> bool {
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
        Some('[') => "a JSON array; a log has one JSON object a line",
        Some('{') if first_lines(beginning).any(|line| json::fields(&line).is_some()) => {
            "JSON without the fields of a load balancer's log"
        }
        Some('{') => "JSON over several lines; a log has one JSON object a line",
        Some(_) if first_lines(beginning).any(|line| is_of_a_balancer(&line)) => {
            "perhaps a plain log of a load balancer; name its delimiter and fields in plain.txt beside the rollups"
        }
        Some(_) => "text of another kind",
    }
}

/// Whether a line has a time and a load balancer or an address, in whichever place.
fn is_of_a_balancer(line: &str) -> bool {
    let parts = || line.split(['\t', ' ', ',', '|', ';']);
    let is_balancer = |part: &str| {
        let kind = part.split_once('/').map(|(kind, _)| kind);
        matches!(kind, Some("app" | "net")) && part.matches('/').count() == 2
    };
    parts().any(is_time) && parts().any(is_balancer)
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

    fn text(format: &'static LogFormat) -> Recognised {
        Recognised::Log(format, Shape::Text)
    }

    fn told(text: &str) -> Recognised {
        recognise(NamedAs::Unknown, None, text.as_bytes())
    }

    #[test]
    fn content_goes_before_a_claim() {
        let claimed = |text: &str| recognise(NamedAs::AlbAccessLog, None, text.as_bytes());
        assert_eq!(claimed(ALB), text(&ALB_ACCESS_LOGS));
        assert_eq!(claimed(CLASSIC), text(&ELB_LOGS));
        assert_eq!(claimed(CONNECTION), text(&ALB_CONNECTION_LOGS));
        for none in ["<html>", "\n", "{\"type\":\"https\"}", "\u{1f}"] {
            assert_eq!(
                claimed(none),
                Recognised::Claimed(&ALB_ACCESS_LOGS),
                "{none}"
            );
        }
        assert_eq!(
            recognise(NamedAs::ClassicAccessLog, None, b"<html>"),
            Recognised::Claimed(&ELB_LOGS)
        );
        assert_eq!(claimed(""), Recognised::Other(EMPTY_FILE));
        // A name that AWS gives to logs that no rollup reads is trusted.
        assert_eq!(
            recognise(NamedAs::TestObject, None, ALB.as_bytes()),
            Recognised::Other(TEST_OBJECT)
        );
        assert_eq!(
            recognise(NamedAs::Other("WAF log"), None, b""),
            Recognised::Other("WAF log")
        );
    }

    #[test]
    fn lines_of_balancers_are_told_by_their_whole_shape() {
        assert_eq!(told(ALB), text(&ALB_ACCESS_LOGS));
        assert_eq!(told(CLASSIC), text(&ELB_LOGS));
        assert_eq!(
            told(&format!("cut line\r\n\r\n{ALB}\r\n")),
            text(&ALB_ACCESS_LOGS)
        );
        assert_eq!(told(CONNECTION), text(&ALB_CONNECTION_LOGS));
        assert_eq!(told(NLB), text(&NLB_TLS_LOGS));
        assert_eq!(told(HEALTH), text(&ALB_HEALTH_CHECK_LOGS));
        for other in [
            ALB.replace("10.0.0.1:80", "fd6d:6bbc:c529::ed84:80"),
            ALB.replace("192.0.2.7:2817", "[2001:db8::1]:2817")
                .replace("10.0.0.1:80", "-"),
            ALB.replace("200 200", "460 -")
                .replace("0.000 0.001 0.000", "-1 -1 -1"),
            ALB.replace("h2 ", "of-2030 "),
        ] {
            assert_eq!(told(&other), text(&ALB_ACCESS_LOGS), "{other}");
        }
        assert!(has_shape(&ALB_ACCESS_LOGS, ALB) && !has_shape(&ELB_LOGS, ALB));
        assert!(has_shape(&ELB_LOGS, CLASSIC) && !has_shape(&ALB_ACCESS_LOGS, CLASSIC));
    }

    #[test]
    fn a_line_with_a_field_of_another_kind_is_no_balancers() {
        for (line, format) in [
            (ALB, &ALB_ACCESS_LOGS),
            (CLASSIC, &ELB_LOGS),
            (CONNECTION, &ALB_CONNECTION_LOGS),
            (NLB, &NLB_TLS_LOGS),
            (HEALTH, &ALB_HEALTH_CHECK_LOGS),
        ] {
            let fields: Vec<&str> = line.split(' ').collect();
            for (at, field) in format.fields.iter().take(format.fields_min).enumerate() {
                if (field.is)("a b") {
                    continue;
                }
                for word in ["a|b", ""] {
                    if (field.is)(word) {
                        continue;
                    }
                    let mut fields = fields.clone();
                    fields[at] = word;
                    let line = fields.join(" ");
                    assert!(!has_shape(format, &line), "{}: {line}", field.name);
                }
            }
        }
    }

    #[test]
    fn fields_with_names_tell_the_format_whichever_were_chosen() {
        let json = |format| Some(Recognised::Log(format, Shape::Json));
        for (line, told) in [
            (
                r#"{"time":"2026-11-20T10:00:00Z","elb_status_code":200}"#,
                json(&ALB_ACCESS_LOGS),
            ),
            (
                r#"{"request_line":"GET https://a:443/ HTTP/1.1","elb":"app/a/1"}"#,
                json(&ALB_ACCESS_LOGS),
            ),
            (
                r#"{"time":"2026-11-20T10:00:00Z","request_line":"GET / HTTP/1.1","user_agent":"x","status":1}"#,
                None,
            ),
            (
                r#"{"elb":"app/a/1","client_port":"192.0.2.1:1","received_bytes":3}"#,
                json(&ALB_ACCESS_LOGS),
            ),
            (
                r#"{"elb":"net/a/1","client_port":"192.0.2.1:1","received_bytes":3}"#,
                json(&NLB_TLS_LOGS),
            ),
            (
                r#"{"time":"2026-11-20T10:00:00Z","tls_verify_status":"Success","client_port":1}"#,
                json(&ALB_CONNECTION_LOGS),
            ),
            (
                r#"{"target_addr":"10.0.0.1:80","status":"PASS"}"#,
                json(&ALB_HEALTH_CHECK_LOGS),
            ),
            (
                r#"{"elb_status_code":200.0,"received_bytes":98.0}"#,
                json(&ALB_ACCESS_LOGS),
            ),
            (
                r#"{"elb_status_code":200,"of_2030":1}"#,
                json(&ALB_ACCESS_LOGS),
            ),
            // Of several formats.
            (r#"{"elb":"app/a/1","time":"2026-11-20T10:00:00Z"}"#, None),
            // Of applications.
            (
                r#"{"time":"2026-11-20T10:00:00Z","type":"access","status":200,"user_agent":"curl/8","trace_id":"1"}"#,
                None,
            ),
            (r#"{"level":"info","msg":"x","elb_status_code":200}"#, None),
            (r#"{"elb_status_code":"ok"}"#, None),
            ("{}", None),
        ] {
            assert_eq!(of_line(line, false), told, "{line}");
        }
        let told_by = |line: &str| of_line(line, false);
        let w3c = |format| Some(Recognised::Log(format, Shape::W3c));
        let few = "{\"elb_status_code\":200}";
        assert!(of_line(few, false).is_some() && of_line(few, true).is_none());
        assert_eq!(
            told_by("#Fields: time elb_status_code"),
            w3c(&ALB_ACCESS_LOGS)
        );
        assert_eq!(
            told_by("#Fields:\ttime\tlistener\tincoming_tls_alert"),
            w3c(&NLB_TLS_LOGS)
        );
        assert_eq!(told_by("#Fields: date time x-edge-location"), None);
        for format in FORMATS.into_iter().filter(|format| *format != &ELB_LOGS) {
            let names = || format.fields.iter().map(|field| field.name);
            assert_eq!(
                by_columns(names(), None),
                Recognised::Log(format, Shape::Parquet)
            );
            let fields: Vec<_> = names().collect();
            assert_eq!(
                told_by(&format!("#Fields: {}", fields.join(" "))),
                w3c(format)
            );
        }
        let columns = |names: &str| by_columns(names.split(' '), None);
        assert_eq!(
            columns("bucket key size"),
            Recognised::Other("S3 inventory")
        );
        assert_eq!(
            columns("date x-edge-location"),
            Recognised::Other("CloudFront log")
        );
        assert!(matches!(columns("a b"), Recognised::Unrecognised(_)));
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
            ("JSON without the fields of a load balancer's log", b" {\"type\":\"https\"}"),
            ("JSON over several lines; a log has one JSON object a line", b"{\n \"type\": 1}"),
            ("a JSON array; a log has one JSON object a line", b"[{\"elb\": 1}]"),
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
            assert_eq!(recognise(NamedAs::Unknown, None, bytes), Recognised::Unrecognised(what));
        }
    }
}
