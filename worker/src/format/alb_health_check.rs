//! Health check logs of an Application Load Balancer, as the table `alb_health_check_logs`.
//!
//! The fields: "Health check logs" in the guide for Application Load Balancers. AWS has no Athena DDL for them; the columns
//! have the names of the fields. Names in deliveries through CloudWatch Logs: `CfnLoadBalancerAlbHealthCheckLogsRecordFields`
//! in AWS's CDK.

use super::recognise::{is_any, is_named, is_number, is_target, is_time, is_word};
use super::{Column, LogField, LogFormat, Source::*};

/// `alb_health_check_logs`.
pub static ALB_HEALTH_CHECK_LOGS: LogFormat = LogFormat {
    table: "alb_health_check_logs",
    columns: &[
        Column::new("type", Text(0)),
        Column::new("time", Text(1)),
        Column::new("latency", Double(2)),
        Column::new("target_addr", Text(3)),
        Column::new("target_group_id", Text(4)),
        Column::new("status", Text(5)),
        Column::new("status_code", Text(6)),
        Column::new("reason_code", Text(7)),
        // In deliveries through CloudWatch Logs, and where a text log has more fields.
        Column::new("elb", Text(8)),
        Column::new("ip_address", Text(9)),
        Column::new("unhandled_fields", RestAfter(10)),
    ],
    fields: &[
        LogField::new("type", is_word),
        LogField::new("time", is_time),
        LogField::new("latency", is_number),
        LogField::new("target_addr", is_checked_target),
        LogField::new("target_group_id", is_named),
        LogField::new("status", is_status),
        LogField::new("status_code", is_any),
        LogField::new("reason_code", is_any),
        LogField::new("elb", is_named),
        LogField::new("ip_address", is_any),
    ],
    fields_min: 6,
    time_field: 1,
    time_column: "time",
    request_field: None,
    has_quotes: true,
    url_column: None,
};

/// `address:port`, or the ARN of a Lambda function.
fn is_checked_target(text: &str) -> bool {
    is_target(text) || text.starts_with("arn:")
}

/// `PASS`, `FAIL`, and future values.
fn is_status(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}
