//! Access logs of a Classic Load Balancer, as Athena's table `elb_logs`.
//!
//! Columns and types: the DDL in the Athena user guide, "Querying Classic Load Balancer logs". Lines from
//! before 2015 stop after the request. AWS writes these logs as text only.

use super::recognise::{is_address, is_any, is_count, is_named, is_number, is_target, is_time};
use super::{Column, LogField, LogFormat, Source::*};

/// `elb_logs`.
pub static ELB_LOGS: LogFormat = LogFormat {
    table: "elb_logs",
    columns: &[
        Column::new("timestamp", Text(0)),
        Column::new("elb_name", Text(1)),
        Column::new("request_ip", Address(2)),
        Column::new("request_port", Port(2)),
        Column::new("backend_ip", Address(3)),
        Column::new("backend_port", Port(3)),
        Column::new("request_processing_time", Double(4)),
        Column::new("backend_processing_time", Double(5)),
        Column::new("client_response_time", Double(6)),
        Column::new("elb_response_code", Text(7)),
        Column::new("backend_response_code", Text(8)),
        Column::new("received_bytes", BigInt(9)),
        Column::new("sent_bytes", BigInt(10)),
        Column::new("request_verb", RequestVerb),
        Column::new("url", RequestUrl),
        Column::new("protocol", RequestProtocol),
        // In the DDL's regular expression, the quotes are inside the group.
        Column::new("user_agent", Raw(12)),
        Column::new("ssl_cipher", Text(13)),
        Column::new("ssl_protocol", Text(14)),
    ],
    fields: &[
        LogField::new("timestamp", is_time),
        LogField::new("elb", is_named),
        LogField::new("client:port", is_address),
        LogField::new("backend:port", is_target),
        LogField::new("request_processing_time", is_number),
        LogField::new("backend_processing_time", is_number),
        LogField::new("response_processing_time", is_number),
        LogField::new("elb_status_code", is_count),
        LogField::new("backend_status_code", is_count),
        LogField::new("received_bytes", is_count),
        LogField::new("sent_bytes", is_count),
        LogField::new("request", is_any),
        LogField::new("user_agent", is_any),
        LogField::new("ssl_cipher", is_any),
        LogField::new("ssl_protocol", is_any),
    ],
    fields_min: 12,
    time_field: 0,
    time_column: "timestamp",
    request_field: Some(11),
    has_quotes: true,
    url_column: Some("url"),
};
