//! Access logs of a Classic Load Balancer, as Athena's table `elb_logs`.
//!
//! Columns and types: the DDL in the Athena user guide, "Querying Classic Load Balancer logs". Lines from
//! before 2015 stop after the request.

use super::{Column, LogFormat, Source::*};

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
    time_column: "timestamp",
    url_column: "url",
    time_field: 0,
    request_field: 11,
};
