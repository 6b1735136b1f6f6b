//! Division by a decimal literal such as `1024.0`. In Trino the literal is an exact decimal, and `sent_bytes / 1024.0` is
//! rounded to one digit. Here it is a double. If the other operand is a double, both give the same result; if it is an
//! integer, the division is refused.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use super::stand_in::StandIn;
use crate::engine::sql_text::sql;

/// Name of the placeholder call for the division until it is planned. Only a quoted identifier could spell it.
pub(crate) const EXACT_DIVISION: &str = "exact division";

/// `"exact division"(a, b, '/')`.
pub(super) fn stand_in() -> StandIn {
    StandIn::new(EXACT_DIVISION, 3, Some(DataType::Float64))
}

/// Replaces the placeholder with the division, or refuses it; leaves other expressions as they are.
pub(crate) fn plan(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let arguments = match StandIn::arguments(EXACT_DIVISION, expr) {
        Ok(arguments) => <[Expr; 3]>::try_from(arguments),
        Err(other) => return Ok(Transformed::no(other)),
    };
    let Ok([left, right, op]) = arguments else {
        return plan_err!("a division takes two numbers");
    };
    let op = match op {
        Expr::Literal(text, _) if text.to_string() == "%" => Operator::Modulo,
        _ => Operator::Divide,
    };
    if is_exact(&left, schema)? && is_exact(&right, schema)? {
        return plan_err!(
            "{} {op} {} is not supported: Athena divides these numbers as exact decimals, and rounds the result to their digits. \
             Write the number as a double, as in 1024e0 for 1024.0",
            sql(&left),
            sql(&right)
        );
    }
    Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(
        Box::new(left),
        op,
        Box::new(right),
    ))))
}

/// Whether the expression consists only of integers and literals.
fn is_exact(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(match expr {
        Expr::Literal(..) => true,
        Expr::Negative(inner) => is_exact(inner, schema)?,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.is_numerical_operators() => {
            is_exact(left, schema)? && is_exact(right, schema)?
        }
        other => other.get_type(schema)?.is_integer(),
    })
}
