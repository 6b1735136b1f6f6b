//! Derives the part of a rollup's `WHERE` that the scan can check. The plan still checks all of it, so the prefilter may
//! let through too many lines, but never too few.

use std::cmp::Ordering;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::format::{Literal, LogFormat, Prefilter, ScanColumn};

/// A condition that holds for every line that the predicate keeps, if the scan can tell. The predicate comes from the
/// plan, uses columns of this scan, and fails for no line: a line on which the plan fails must reach the plan.
pub(crate) fn prefilter(
    predicate: &Expr,
    format: &LogFormat,
    scan: &[ScanColumn],
) -> Option<Prefilter> {
    let condition = |predicate| prefilter(predicate, format, scan);
    let comparison = |value, op, with| comparison(value, op, with, format, scan);
    match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => match (condition(left), condition(right)) {
                (Some(left), Some(right)) => Some(Prefilter::All(vec![left, right])),
                (one, other) => one.or(other),
            },
            Operator::Or => Some(Prefilter::Any(vec![condition(left)?, condition(right)?])),
            op => comparison(left, *op, right).or_else(|| comparison(right, op.swap()?, left)),
        },
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => {
            let op = if *negated {
                Operator::NotEq
            } else {
                Operator::Eq
            };
            let each = list.iter().map(|item| comparison(expr, op, item));
            let each = each.collect::<Option<Vec<_>>>()?;
            Some(match negated {
                true => Prefilter::All(each),
                false => Prefilter::Any(each),
            })
        }
        _ => None,
    }
}

fn comparison(
    value: &Expr,
    op: Operator,
    with: &Expr,
    format: &LogFormat,
    scan: &[ScanColumn],
) -> Option<Prefilter> {
    let (Expr::Column(column), Expr::Literal(literal, _)) = (value, with) else {
        return None;
    };
    let column = scan
        .iter()
        .find(|other| other.name(format) == column.name)?;
    // Looking up a parameter twice pays off only if few lines have the value. Most comparisons other than `=` match many
    // lines.
    if matches!(column, ScanColumn::UrlParameter(_)) && op != Operator::Eq {
        return None;
    }
    let holds = match op {
        Operator::Eq => Ordering::is_eq,
        Operator::NotEq => Ordering::is_ne,
        Operator::Lt => Ordering::is_lt,
        Operator::LtEq => Ordering::is_le,
        Operator::Gt => Ordering::is_gt,
        Operator::GtEq => Ordering::is_ge,
        _ => return None,
    };
    let literal = match literal {
        ScalarValue::Int32(Some(value)) => Literal::Integer(i64::from(*value)),
        ScalarValue::Int64(Some(value)) => Literal::Integer(*value),
        ScalarValue::Float64(Some(value)) => Literal::Double(*value),
        other => Literal::Text(other.try_as_str()??.to_owned()),
    };
    Prefilter::compare(column, literal, holds)
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use futures::{StreamExt, stream};

    use logmill_shared::LogFile;

    use crate::format::{Scan, Shape};
    use crate::rollup::Rollup;

    /// Lines with every combination of status, processing time and method, some of them with other fields missing.
    fn lines() -> Vec<String> {
        let mut lines = Vec::new();
        for status in ["200", "404", "500", "503", "-", "99999999999", "x"] {
            for seconds in ["0.001", "-1", "0", "2.5", "-", "1e400"] {
                for request in [
                    "GET http://h/a?e=1 HTTP/1.1",
                    "POST http://h/b HTTP/2.0",
                    "-",
                ] {
                    let minute = lines.len() % 60;
                    lines.push(format!(
                        "https 2026-11-20T10:{minute:02}:00.000000Z app/x/1 10.0.0.{minute}:80 - {seconds} 0.0 0.0 \
                         {status} {status} 10 {minute} \"{request}\" \"curl/{minute}\""
                    ));
                }
            }
        }
        lines
            .push("https 2026-11-20T10:00:00.000000Z a 10.0.0.1:80 - 0 0 0 500 500 1 2".to_owned());
        lines
    }

    async fn rows(rollup: &Rollup, mut scan: Scan, lines: &[String]) -> (usize, String) {
        for line in lines {
            scan.push(line).unwrap();
        }
        let scanned = scan.rows();
        let batches = stream::iter([Ok(scan.finish())]).boxed();
        let mut all = Vec::new();
        let mut rows = rollup.rows(batches, 1 << 20);
        while let Some(some) = rows.next().await.unwrap() {
            all.extend(some);
        }
        (scanned, pretty_format_batches(&all).unwrap().to_string())
    }

    #[tokio::test]
    async fn a_scan_with_the_condition_leaves_out_only_lines_that_the_plan_leaves_out() {
        let lines = lines();
        let decided = [
            "elb_status_code >= 500",
            "500 <= elb_status_code",
            "elb_status_code = 200",
            "elb_status_code <> 200",
            "elb_status_code IN (404, 503)",
            "elb_status_code IN (1, 2, 3, 4, 5, 404, 503)",
            "elb_status_code NOT IN (1, 2, 3, 4, 5, 404, 503)",
            "elb_status_code BETWEEN 400 AND 500",
            "NOT (elb_status_code >= 404)",
            "elb_status_code > 404 OR sent_bytes = 7",
            "url_extract_path(request_url) = '/a' AND elb_status_code < 500",
            "request_processing_time < 1.0 AND request_verb LIKE 'P%' AND lower(type) = 'https' AND target_port IS NULL",
            "request_processing_time > 0.0",
            "request_processing_time >= 0",
            "request_processing_time < 0",
            "try_cast(user_agent AS double) > 1 AND greatest(sent_bytes, received_bytes) < 9 AND elb_status_code = 404",
            "request_processing_time = 2.5e0",
            "sent_bytes > 30 AND user_agent LIKE '%5%'",
            "request_verb = 'GET'",
            "request_proto > 'HTTP/1' AND request_url = 'http://h/b'",
            "request_verb <> 'GET' AND client_ip < '10.0.0.3'",
            "target_ip <> ''",
            "client_port = 81",
            "user_agent = 'curl/7'",
            "elb_status_code >= 500 AND url_extract_parameter(request_url, 'e') = '1'",
            "url_extract_parameter(request_url, 'e') = '1'",
            "url_extract_parameter(request_url, 'e') = '1' OR request_verb = 'POST'",
            "url_extract_parameter(request_url, 'a%20b') IN ('c d', 'x')",
        ];
        let undecided = [
            "true",
            "unhandled_fields = 'x'",
            "user_agent LIKE '%5%'",
            "elb_status_code + 1 = 405",
            "cast(user_agent AS bigint) = 1 AND elb_status_code = 405",
            "elb_status_code = 405 AND 5 / received_bytes = 1",
            "regexp_extract(user_agent, 'curl', 1) = 'x' AND elb_status_code = 405",
            "round(sent_bytes, -19) = 0 AND elb_status_code = 405",
            "elb_status_code = 404 OR user_agent LIKE '%5%'",
            "request_processing_time <> 0.0",
            "sent_bytes = received_bytes",
            "elb_status_code IS NULL",
            "url_extract_parameter(request_url, 'e') <> '1'",
            "try_cast(url_extract_parameter(request_url, 'e') AS bigint) = 1",
        ];
        for predicate in decided.iter().chain(&undecided) {
            let sql = format!(
                "SELECT a.time, elb_status_code, user_agent FROM alb_access_logs a WHERE {predicate}"
            );
            let rollup = Rollup::from_sql("t", &sql).await.unwrap();
            let log_file = LogFile::new("s3://logs/a");
            let scan = || Scan::new(rollup.format(), &Shape::Text, rollup.scan(), &log_file);
            let prefilter = rollup.prefilter().cloned();
            assert_eq!(
                prefilter.is_some(),
                decided.contains(predicate),
                "{predicate}"
            );
            if let Some(prefilter) = prefilter {
                let (all, expected) = rows(&rollup, scan(), &lines).await;
                assert_eq!(all, lines.len());
                let (some, filtered) = rows(&rollup, scan().only(prefilter), &lines).await;
                assert!(some < all, "{predicate}");
                assert_eq!(filtered, expected, "{predicate}");
            }
        }
    }
}
