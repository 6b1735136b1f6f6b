//! Trino's functions of numbers, and its comparisons of doubles.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType::{Float64, Int64};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_datafusion_err};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF};

use super::{Scalar, returns_boolean};

pub(super) fn functions() -> Vec<Scalar> {
    let test = |name, evaluate| Scalar::new(name, vec![Float64], returns_boolean, evaluate);
    vec![
        is_nan(),
        test("is_finite", |args| tested(args, f64::is_finite)),
        test("is_infinite", |args| tested(args, f64::is_infinite)),
        rounding("floor", |args| rounded(args, f64::floor)),
        rounding("ceil", |args| rounded(args, f64::ceil)).with_alias("ceiling"),
        // Away from zero at a half, as Trino's.
        rounding("round", |args| rounded(args, f64::round)),
        rounding("abs", |args| match args[0].data_type() {
            Int64 => {
                let numbers = args[0].as_primitive::<Int64Type>();
                let absolute = numbers.try_unary::<_, Int64Type, _>(|number: i64| {
                    number.checked_abs().ok_or_else(|| {
                        exec_datafusion_err!("Value {number} is out of range for abs(bigint)")
                    })
                })?;
                Ok(Arc::new(absolute))
            }
            _ => rounded(args, f64::abs),
        }),
    ]
}

fn is_nan() -> Scalar {
    Scalar::new("is_nan", vec![Float64], returns_boolean, |args| {
        tested(args, f64::is_nan)
    })
}

/// A function whose result has the type of its argument, and is the argument where that is an integer.
fn rounding(name: &'static str, evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>) -> Scalar {
    let overloads = vec![vec![Int64], vec![Float64]];
    Scalar::overloaded(name, overloads, |arguments| arguments[0].clone(), evaluate)
}

fn rounded(args: &[ArrayRef], round: fn(f64) -> f64) -> Result<ArrayRef> {
    match args[0].data_type() {
        Int64 => Ok(Arc::clone(&args[0])),
        _ => Ok(Arc::new(
            args[0]
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(round),
        )),
    }
}

fn tested(args: &[ArrayRef], test: fn(f64) -> bool) -> Result<ArrayRef> {
    let numbers = args[0].as_primitive::<Float64Type>().iter();
    let answers: BooleanArray = numbers.map(|number| number.map(test)).collect();
    Ok(Arc::new(answers))
}

/// Makes comparisons of doubles false where one is NaN. To Arrow NaN is the largest number, and equal to itself.
pub(crate) fn plan_comparison(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq};
    if let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::NotEq,
        right,
    }) = &expr
    {
        let equal = BinaryExpr::new(left.clone(), Eq, right.clone());
        let equal = plan_comparison(Expr::BinaryExpr(equal), schema)?;
        return Ok(match equal.transformed {
            true => Transformed::yes(Expr::Not(Box::new(equal.data))),
            false => Transformed::no(expr),
        });
    }
    let sides: Vec<&Expr> = match &expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Eq | Gt | GtEq | Lt | LtEq,
            right,
        }) => vec![left, right],
        Expr::Between(between) if !between.negated => {
            vec![&between.expr, &between.low, &between.high]
        }
        _ => return Ok(Transformed::no(expr)),
    };
    let is_double = |side: &Expr| {
        Ok::<_, datafusion::error::DataFusionError>(
            !matches!(side, Expr::Literal(..))
                && matches!(side.get_type(schema)?, DataType::Float32 | Float64),
        )
    };
    let mut guarded = expr.clone();
    for side in sides {
        if is_double(side)? {
            let nan = ScalarUDF::new_from_impl(is_nan()).call(vec![side.clone()]);
            guarded = guarded.and(Expr::Not(Box::new(nan)));
        }
    }
    Ok(if guarded == expr {
        Transformed::no(expr)
    } else {
        Transformed::yes(guarded)
    })
}
