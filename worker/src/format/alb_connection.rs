//! Connection logs of an Application Load Balancer, as Athena's table `alb_connection_logs`.
//!
//! Columns and types: the DDL in the Athena user guide, "Create the table for ALB connection logs". The fields behind them:
//! "Connection logs" in the guide for Application Load Balancers. Names in deliveries through CloudWatch Logs:
//! `CfnLoadBalancerAlbConnectionLogsRecordFields` in AWS's CDK.

use super::recognise::{is_any, is_ip, is_named, is_number, is_port, is_time};
use super::{Column, LogField, LogFormat, Source::*};

/// `alb_connection_logs`.
pub static ALB_CONNECTION_LOGS: LogFormat = LogFormat {
    table: "alb_connection_logs",
    columns: &[
        Column::new("time", Text(0)),
        Column::new("client_ip", Text(1)),
        Column::new("client_port", Int(2)),
        Column::new("listener_port", Int(3)),
        Column::new("tls_protocol", Text(4)),
        Column::new("tls_cipher", Text(5)),
        Column::new("tls_handshake_latency", Double(6)),
        Column::new("leaf_client_cert_subject", Text(7)),
        Column::new("leaf_client_cert_validity", Text(8)),
        Column::new("leaf_client_cert_serial_number", Text(9)),
        Column::new("tls_verify_status", Text(10)),
        Column::new("conn_trace_id", Text(11)),
        // AWS writes these by 2026; its DDL does not name them yet.
        Column::new("tls_keyexchange", Text(12)),
        Column::new("elb", Text(13)),
        Column::new("ip_address", Text(14)),
        Column::new("unhandled_fields", RestAfter(15)),
    ],
    fields: &[
        LogField::new("time", is_time),
        LogField::new("client_ip", is_ip),
        LogField::new("client_port", is_port),
        LogField::new("listener_port", is_port),
        LogField::new("tls_protocol", is_named),
        LogField::new("tls_cipher", is_named),
        LogField::new("tls_handshake_latency", is_number),
        LogField::new("leaf_client_cert_subject", is_any),
        LogField::new("leaf_client_cert_validity", is_any),
        LogField::new("leaf_client_cert_serial_number", is_any),
        LogField::new("tls_verify_status", is_any),
        LogField::new("conn_trace_id", is_any),
        LogField::new("tls_keyexchange", is_any),
        LogField::new("elb", is_named),
        LogField::new("ip_address", is_any),
    ],
    fields_min: 7,
    time_field: 0,
    time_column: "time",
    request_field: None,
    has_quotes: true,
    url_column: None,
};
