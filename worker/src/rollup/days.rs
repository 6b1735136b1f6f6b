//! Comparisons of the day of delivery with a text that no day looks like, such as `day = '2026-11-20'`. They would select no line, or
//! lines of other days than it seems.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use crate::engine::{is_comparison, sql};
use crate::format::DELIVERY_DAY;

/// The form of a day, with 0 in the place of each digit.
const FORM: &str = "0000/00/00";

/// Refuses such comparisons in a plan over log lines. Constants in it have been computed.
///
/// # Errors
///
/// The first such comparison, with what to write.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            check_days(expr)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// Refuses such comparisons in a condition on log lines.
///
/// # Errors
///
/// The first such comparison, with what to write.
pub(crate) fn check_days(condition: &Expr) -> Result<()> {
    condition.apply(|expr| {
        let text = match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
                let text = match is_day(left) {
                    true => literal(right),
                    false => literal(left).filter(|_| is_day(right)),
                };
                let fits = if is_equality(*op) { is_whole } else { is_part };
                text.filter(|text| !fits(text))
            }
            Expr::Between(between) if is_day(&between.expr) => {
                let mut texts = [&between.low, &between.high].into_iter().filter_map(|text| literal(text));
                texts.find(|text| !is_part(text))
            }
            Expr::InList(list) if is_day(&list.expr) => {
                let mut texts = list.list.iter().filter_map(literal);
                texts.find(|text| !is_whole(text))
            }
            Expr::Like(like) if is_day(&like.expr) => {
                literal(&like.pattern).filter(|pattern| !is_pattern(pattern))
            }
            _ => None,
        };
        let Some(text) = text else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let instead = text.replace('-', "/");
        let instead = match is_whole(&instead) {
            true => &instead,
            false => "2026/11/20",
        };
        plan_err!(
            "{}: the column day looks like '2026/11/20'. Write day = '{instead}', or day = date_format(current_date, '%Y/%m/%d') for \
             the current day",
            sql(expr)
        )
    })?;
    Ok(())
}

fn is_equality(op: Operator) -> bool {
    use Operator::{Eq, IsDistinctFrom, IsNotDistinctFrom, NotEq};
    matches!(op, Eq | NotEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_day(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == DELIVERY_DAY,
        Expr::Cast(cast) => is_day(&cast.expr),
        _ => false,
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(literal, _) => literal.try_as_str().flatten().map(str::to_owned),
        Expr::Cast(cast) => literal(&cast.expr),
        _ => None,
    }
}

fn is_whole(text: &str) -> bool {
    text.len() == FORM.len() && is_part(text)
}

/// Whether days may begin with the text, so that it is in order among them: `day >= '2026/11'`.
fn is_part(text: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    };
    text.len() <= FORM.len() && text.bytes().zip(FORM.bytes()).all(fits)
}

/// Whether some day may be like the pattern.
fn is_pattern(pattern: &str) -> bool {
    let wildcard = pattern.find(['%', '_']);
    let is_of_days = |c: char| c.is_ascii_digit() || "/%_".contains(c);
    match wildcard {
        Some(place) => is_part(&pattern[..place]) && pattern.chars().all(is_of_days),
        None => is_whole(pattern),
    }
}

#[cfg(test)]
mod tests {
    use crate::rollup::Rollup;

    #[tokio::test]
    async fn days_are_compared_with_texts_that_look_like_days() {
        let loaded = async |condition: &str| {
            let sql =
                format!("SELECT elb, count(*) FROM alb_access_logs WHERE {condition} GROUP BY 1");
            Rollup::from_sql("t", &sql).await
        };
        for condition in [
            "day = '2026/11/20'",
            "'2026/11/20' <> day",
            "day >= '2026/11'",
            "day BETWEEN '2026/11/01' AND '2026/11/31'",
            "day IN ('2026/11/20', '2026/11/21')",
            "day LIKE '2026/11/%' AND day NOT LIKE '____/__/2_'",
            "day = date_format(current_date - INTERVAL '1' DAY, '%Y/%m/%d')",
            "day > format_datetime(now() - INTERVAL '7' DAY, 'yyyy/MM/dd')",
            "substr(day, 9) = '20'",
            "day = elb",
        ] {
            loaded(condition)
                .await
                .unwrap_or_else(|error| panic!("{condition}: {error}"));
        }
        for (condition, says) in [
            (
                "day = '15'",
                "day = '15': the column day looks like '2026/11/20'. Write day = '2026/11/20', or day = date_format(",
            ),
            ("day = '2026-11-21'", "Write day = '2026/11/21'"),
            (
                "day = cast(current_date AS varchar)",
                "looks like '2026/11/20'",
            ),
            (
                "day >= date_format(now(), '%Y-%m-%d')",
                "looks like '2026/11/20'",
            ),
            ("elb = 'x' OR '2026-11-20' < day", "looks like '2026/11/20'"),
            (
                "day BETWEEN '2026/11/20' AND '2026-11-21'",
                "Write day = '2026/11/21'",
            ),
            (
                "day IN ('2026/11/20', '21', '22', '23', '24')",
                "looks like '2026/11/20'",
            ),
            ("day LIKE '2026-11-%'", "looks like '2026/11/20'"),
            ("day LIKE '%-20'", "looks like '2026/11/20'"),
            (
                "day = current_date",
                "day = current_date compares varchar with date, which Athena refuses: write day = date_format(current_date, '%Y/%m/%d')",
            ),
            ("day = 20", "write day = '2026/11/20'"),
            (
                "day BETWEEN current_date - INTERVAL '1' DAY AND current_date",
                "write date_format(current_date - INTERVAL '1' DAY, '%Y/%m/%d') instead of current_date - INTERVAL '1' DAY",
            ),
        ] {
            let refused = loaded(condition).await.expect_err(condition);
            assert!(refused.contains(says), "{condition}: {refused}");
        }
    }
}
