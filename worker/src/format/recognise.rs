//! Tells a log file's format: by its name and, where that says nothing, by its first lines.

use logmill_shared::NamedAs;

use super::fields::{Fields, split_address};
use super::{ALB_ACCESS_LOGS, ELB_LOGS, LogFormat, MIN_FIELDS};
use crate::trino::iso8601::Timestamps;

/// Lines looked at before a file is taken for no log. Files cut or edited by hand may begin with others.
const LINES_LOOKED_AT: usize = 100;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Recognised {
    /// A log of a format that rollups are written over.
    Log(&'static LogFormat),
    /// Something to leave alone: what it is.
    Other(&'static str),
}

/// Tells what a file is. `text` is its beginning: whole lines, but perhaps the last.
pub fn recognise(named_as: NamedAs, text: &str) -> Recognised {
    match named_as {
        NamedAs::AlbAccessLog => Recognised::Log(&ALB_ACCESS_LOGS),
        NamedAs::ClassicAccessLog => Recognised::Log(&ELB_LOGS),
        NamedAs::NlbTlsLog => Recognised::Other(NLB_LOG),
        NamedAs::AlbConnectionLog => Recognised::Other(CONNECTION_LOG),
        NamedAs::AlbHealthCheckLog => Recognised::Other("health check log"),
        NamedAs::TestObject => Recognised::Other("test object"),
        NamedAs::Unknown => text
            .lines()
            .take(LINES_LOOKED_AT)
            .find_map(recognise_line)
            .unwrap_or(Recognised::Other("not a load balancer's log")),
    }
}

const NLB_LOG: &str = "network load balancer's log";
const CONNECTION_LOG: &str = "connection log";

fn recognise_line(line: &str) -> Option<Recognised> {
    let mut fields = Fields::default();
    fields.split(line, MIN_FIELDS);
    let is_time = |field| {
        let text = fields.text(line, field);
        text.is_some_and(|text| Timestamps::default().read(text).is_some())
    };
    let is_address = |field| fields.text(line, field).and_then(split_address).is_some();
    let whole = fields.len() == MIN_FIELDS;
    if is_time(0) && whole && is_address(2) {
        Some(Recognised::Log(&ELB_LOGS))
    } else if is_time(0)
        && fields
            .text(line, 2)
            .is_some_and(|port| port.parse::<u16>().is_ok())
    {
        Some(Recognised::Other(CONNECTION_LOG))
    } else if is_time(1) && whole && is_address(3) {
        Some(Recognised::Log(&ALB_ACCESS_LOGS))
    } else if fields.text(line, 0) == Some("tls") && whole && is_address(5) {
        Some(Recognised::Other(NLB_LOG))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALB: &str = r#"h2 2026-11-20T10:02:03.000001Z app/shop/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET https://shop.example:443/ HTTP/2.0" "curl/8" - -"#;
    const CLASSIC: &str = r#"2026-11-20T10:02:03.000001Z legacy 192.0.2.7:2817 - -1 -1 -1 408 - 0 0 "GET http://shop.example:80/ HTTP/1.1""#;

    #[test]
    fn a_name_decides_where_it_can() {
        assert_eq!(
            recognise(NamedAs::AlbAccessLog, "<html>"),
            Recognised::Log(&ALB_ACCESS_LOGS)
        );
        assert_eq!(
            recognise(NamedAs::ClassicAccessLog, ALB),
            Recognised::Log(&ELB_LOGS)
        );
        assert_eq!(
            recognise(NamedAs::TestObject, ALB),
            Recognised::Other("test object")
        );
    }

    #[test]
    fn lines_decide_otherwise() {
        let told = |text: &str| recognise(NamedAs::Unknown, text);
        assert_eq!(told(ALB), Recognised::Log(&ALB_ACCESS_LOGS));
        assert_eq!(told(CLASSIC), Recognised::Log(&ELB_LOGS));
        assert_eq!(
            told(&format!("cut line\n\n{ALB}\n")),
            Recognised::Log(&ALB_ACCESS_LOGS)
        );
        assert_eq!(
            told(
                "2026-10-04T17:05:15.514108Z 192.0.2.39 36280 443 TLSv1.2 ECDHE 4.036 \"-\" - - -"
            ),
            Recognised::Other(CONNECTION_LOG)
        );
        assert_eq!(
            told(
                "tls 2.0 2026-12-20T02:59:40 net/n/c6e7 g3d4 192.0.2.39:2817 10.0.0.1:80 5 2 98 246 - arn"
            ),
            Recognised::Other(NLB_LOG)
        );
        assert_eq!(
            told("# a readme\n\ntext"),
            Recognised::Other("not a load balancer's log")
        );
        assert_eq!(told(""), Recognised::Other("not a load balancer's log"));
    }
}
