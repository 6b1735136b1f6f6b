//! Access logs of a Network Load Balancer, as Athena's table `nlb_tls_logs`. Only TLS listeners write them.
//!
//! Columns and types: the DDL in the Athena user guide, "Query Network Load Balancer logs". The fields behind them: "Access
//! logs" in the guide for Network Load Balancers. Lines of version 1.0 end after the domain name. Names in deliveries through
//! CloudWatch Logs: `CfnLoadBalancerNlbAccessLogsRecordFields` in AWS's CDK.

use super::recognise::{is_address, is_any, is_count, is_named, is_number, is_time, is_word};
use super::{Column, LogField, LogFormat, Source::*};

/// `nlb_tls_logs`.
pub static NLB_TLS_LOGS: LogFormat = LogFormat {
    table: "nlb_tls_logs",
    columns: &[
        Column::new("type", Text(0)),
        Column::new("version", Text(1)),
        Column::new("time", Text(2)),
        Column::new("elb", Text(3)),
        Column::new("listener_id", Text(4)),
        Column::new("client_ip", Address(5)),
        Column::new("client_port", Port(5)),
        Column::new("target_ip", Address(6)),
        Column::new("target_port", Port(6)),
        Column::new("tcp_connection_time_ms", Double(7)),
        Column::new("tls_handshake_time_ms", Double(8)),
        Column::new("received_bytes", BigInt(9)),
        Column::new("sent_bytes", BigInt(10)),
        Column::new("incoming_tls_alert", Int(11)),
        Column::new("cert_arn", Text(12)),
        Column::new("certificate_serial", Text(13)),
        Column::new("tls_cipher_suite", Text(14)),
        Column::new("tls_protocol_version", Text(15)),
        Column::new("tls_named_group", Text(16)),
        Column::new("domain_name", Text(17)),
        Column::new("alpn_fe_protocol", Text(18)),
        Column::new("alpn_be_protocol", Text(19)),
        // A list such as "h2","http/1.1". Its quotes are part of it.
        Column::new("alpn_client_preference_list", Raw(20)),
        Column::new("tls_connection_creation_time", Text(21)),
        Column::new("unhandled_fields", RestAfter(22)),
    ],
    fields: &[
        LogField::new("type", is_word),
        LogField::new("version", is_version),
        LogField::new("time", is_time),
        LogField::new("elb", is_named),
        LogField::new("listener", is_any),
        LogField::new("client_port", is_address),
        LogField::new("destination_port", is_address),
        LogField::new("connection_time", is_number),
        LogField::new("tls_handshake_time", is_number),
        LogField::new("received_bytes", is_count),
        LogField::new("sent_bytes", is_count),
        LogField::new("incoming_tls_alert", is_any),
        LogField::new("chosen_cert_arn", is_any),
        LogField::new("chosen_cert_serial", is_any),
        LogField::new("tls_cipher", is_any),
        LogField::new("tls_protocol_version", is_any),
        // In the text log: tls_named_group.
        LogField::new("tls_keyexchange", is_any),
        LogField::new("domain_name", is_any),
        LogField::new("alpn_fe_protocol", is_any),
        LogField::new("alpn_be_protocol", is_any),
        LogField::new("alpn_client_preference_list", is_any),
        LogField::new("tls_connection_creation_time", is_any),
    ],
    fields_min: 11,
    time_field: 2,
    time_column: "time",
    request_field: None,
    // The list of protocols has quotes, and AWS cuts it after 256 bytes.
    has_quotes: false,
    url_column: None,
};

/// `1.0`, `2.0`, and future versions.
fn is_version(text: &str) -> bool {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    major.parse::<u8>().is_ok() && minor.parse::<u8>().is_ok()
}
