//! Access logs of an Application Load Balancer, as Athena's table `alb_access_logs`.
//!
//! Columns and types: the DDL in the Athena user guide, "Querying Application Load Balancer logs". The fields behind them,
//! including those that the DDL does not name yet: "Access logs" in the guide for Application Load Balancers.

use super::{Column, LogFormat, Source::*};

/// `alb_access_logs`.
pub static ALB_ACCESS_LOGS: LogFormat = LogFormat {
    table: "alb_access_logs",
    columns: &[
        Column::new("type", Text(0)),
        Column::new("time", Text(1)),
        Column::new("elb", Text(2)),
        Column::new("client_ip", Address(3)),
        Column::new("client_port", Port(3)),
        Column::new("target_ip", Address(4)),
        Column::new("target_port", Port(4)),
        Column::new("request_processing_time", Double(5)),
        Column::new("target_processing_time", Double(6)),
        Column::new("response_processing_time", Double(7)),
        Column::new("elb_status_code", Int(8)),
        Column::new("target_status_code", Text(9)),
        Column::new("received_bytes", BigInt(10)),
        Column::new("sent_bytes", BigInt(11)),
        Column::new("request_verb", RequestVerb),
        Column::new("request_url", RequestUrl),
        Column::new("request_proto", RequestProtocol),
        Column::new("user_agent", Text(13)),
        Column::new("ssl_cipher", Text(14)),
        Column::new("ssl_protocol", Text(15)),
        Column::new("target_group_arn", Text(16)),
        Column::new("trace_id", Text(17)),
        Column::new("domain_name", Text(18)),
        Column::new("chosen_cert_arn", Text(19)),
        Column::new("matched_rule_priority", Text(20)),
        Column::new("request_creation_time", Text(21)),
        Column::new("actions_executed", Text(22)),
        Column::new("redirect_url", Text(23)),
        Column::new("lambda_error_reason", Text(24)),
        Column::new("target_port_list", Text(25)),
        Column::new("target_status_code_list", Text(26)),
        Column::new("classification", Text(27)),
        Column::new("classification_reason", Text(28)),
        Column::new("conn_trace_id", Text(29)),
        // AWS writes these since August 2025 and 2026; its DDL does not name them yet.
        Column::new("transformed_host", Text(30)),
        Column::new("transformed_uri", Text(31)),
        Column::new("request_transform_status", Text(32)),
        Column::new("ip_address", Text(33)),
        Column::new("unhandled_fields", RestAfter(34)),
    ],
    time_column: "time",
    url_column: "request_url",
    time_field: 1,
    request_field: 12,
};
