//! An interval times a number, as in `(minute(t) / 5) * INTERVAL '5' MINUTE`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::compute::kernels::arity::binary;
use arrow::datatypes::{
    DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::Scalar;

/// The function of an interval and a number. Only a quoted identifier could spell it.
const TIMES: &str = "interval times";

pub(super) const NEVER_FAIL: [&str; 1] = [TIMES];

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

const MILLISECONDS_PER_DAY: i64 = 86_400_000;
const NANOSECONDS_PER_MILLISECOND: i64 = 1_000_000;

/// Plans a product of an interval and an integer, in either order.
pub(crate) fn plan_product(
    expr: RawBinaryExpr,
    schema: &DFSchema,
) -> Result<PlannerResult<RawBinaryExpr>> {
    if expr.op == BinaryOperator::Multiply {
        let types = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        let of = |interval: &Expr, number: &Expr| {
            let times = Scalar::new(
                TIMES,
                vec![INTERVAL, DataType::Int64],
                |_| INTERVAL,
                products,
            );
            let call = ScalarUDF::new_from_impl(times).call(vec![interval.clone(), number.clone()]);
            Ok(PlannerResult::Planned(call))
        };
        match types {
            (INTERVAL, number) if number.is_integer() => return of(&expr.left, &expr.right),
            (number, INTERVAL) if number.is_integer() => return of(&expr.right, &expr.left),
            _ => {}
        }
    }
    Ok(PlannerResult::Original(expr))
}

fn products(args: &[ArrayRef]) -> Result<ArrayRef> {
    let intervals = args[0].as_primitive::<IntervalMonthDayNanoType>();
    let numbers = args[1].as_primitive::<Int64Type>();
    let products: IntervalMonthDayNanoArray = binary(intervals, numbers, product)?;
    Ok(Arc::new(products))
}

/// Like Trino's `IntervalDayTimeOperators.multiplyByBigint`, which multiplies milliseconds and wraps.
#[allow(
    clippy::cast_possible_truncation,
    reason = "as Trino wraps; days that do not fit are far beyond any time"
)]
fn product(interval: IntervalMonthDayNano, number: i64) -> IntervalMonthDayNano {
    let days = i64::from(interval.days).wrapping_mul(MILLISECONDS_PER_DAY);
    let milliseconds = days.wrapping_add(interval.nanoseconds / NANOSECONDS_PER_MILLISECOND);
    let milliseconds = milliseconds.wrapping_mul(number);
    IntervalMonthDayNano::new(
        i64::from(interval.months).wrapping_mul(number) as i32,
        (milliseconds / MILLISECONDS_PER_DAY) as i32,
        milliseconds % MILLISECONDS_PER_DAY * NANOSECONDS_PER_MILLISECOND,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_in_milliseconds() {
        let minutes = |minutes: i64| IntervalMonthDayNano::new(0, 0, minutes * 60_000_000_000);
        assert_eq!(product(minutes(5), 7), minutes(35));
        assert_eq!(
            product(minutes(90), -32),
            IntervalMonthDayNano::new(0, -2, 0)
        );
        let months = IntervalMonthDayNano::new(1, 0, 0);
        assert_eq!(product(months, 14), IntervalMonthDayNano::new(14, 0, 0));
    }
}
