//! Trino's functions of numbers, and its comparisons of doubles.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::compute::and_kleene;
use arrow::datatypes::DataType::{Float64, Int64};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_datafusion_err};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF};

use super::{Scalar, returns_boolean};

pub(super) fn functions() -> Vec<Scalar> {
    let test = |name, evaluate| Scalar::new(name, vec![Float64], returns_boolean, evaluate);
    vec![
        is_nan(),
        test("is_finite", |args| tested(args, f64::is_finite)),
        test("is_infinite", |args| tested(args, f64::is_infinite)),
        rounding("floor", |args| rounded(args, f64::floor)),
        rounding("ceil", |args| rounded(args, f64::ceil)).with_alias("ceiling"),
        // Rounds half away from zero, like Trino.
        Scalar::overloaded(
            "round",
            vec![
                vec![Int64],
                vec![Float64],
                vec![Int64, Int64],
                vec![Float64, Int64],
            ],
            |arguments| arguments[0].clone(),
            |args| match args.get(1) {
                None => rounded(args, f64::round),
                Some(_) => rounded_to_digits(args),
            },
        ),
        Scalar::new(
            "truncate",
            vec![Float64],
            |_| Float64,
            |args| rounded(args, f64::trunc),
        ),
        Scalar::new(
            "sqrt",
            vec![Float64],
            |_| Float64,
            |args| rounded(args, f64::sqrt),
        ),
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

/// A rounding function. The result has the type of the argument, and an integer is returned unchanged.
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

fn rounded_to_digits(args: &[ArrayRef]) -> Result<ArrayRef> {
    let digits = args[1].as_primitive::<Int64Type>();
    match args[0].data_type() {
        Int64 => {
            let numbers = args[0].as_primitive::<Int64Type>().iter().zip(digits);
            let rounded = numbers.map(|(number, digits)| match (number, digits) {
                (Some(number), Some(digits)) => round_bigint(number, digits)
                    .map(Some)
                    .ok_or_else(|| exec_datafusion_err!("numerical overflow: {number}")),
                _ => Ok(None),
            });
            Ok(Arc::new(rounded.collect::<Result<Int64Array>>()?))
        }
        _ => {
            let numbers = args[0].as_primitive::<Float64Type>().iter().zip(digits);
            let rounded = numbers.map(|(number, digits)| Some(round_double(number?, digits?)));
            Ok(Arc::new(rounded.collect::<Float64Array>()))
        }
    }
}

/// Rounds like Trino, which scales by a power of ten. Where that power is inexact, so is the result.
fn round_double(number: f64, digits: i64) -> f64 {
    if !number.is_finite() {
        return number;
    }
    let factor = power_of_ten(digits);
    let sign = if number < 0.0 { -1.0 } else { 1.0 };
    let scaled = sign * number * factor;
    if scaled.is_infinite() {
        return number;
    }
    // Java rounds NaN to 0.
    let rounded = if scaled.is_nan() { 0.0 } else { scaled.round() };
    sign * (rounded / factor)
}

fn power_of_ten(exponent: i64) -> f64 {
    let exponent = exponent.clamp(-400, 400);
    format!("1e{exponent}").parse().unwrap_or(f64::NAN)
}

/// Rounds half away from zero.
fn round_bigint(number: i64, digits: i64) -> Option<i64> {
    if digits >= 0 {
        return Some(number);
    }
    let unit = 10_i64.checked_pow(u32::try_from(digits.unsigned_abs()).ok()?)?;
    let half_up = number / unit
        + if (number % unit).abs() >= unit - unit / 2 {
            number.signum()
        } else {
            0
        };
    half_up.checked_mul(unit)
}

fn tested(args: &[ArrayRef], test: fn(f64) -> bool) -> Result<ArrayRef> {
    let numbers = args[0].as_primitive::<Float64Type>().iter();
    let answers: BooleanArray = numbers.map(|number| number.map(test)).collect();
    Ok(Arc::new(answers))
}

/// Makes comparisons of doubles false where one is NaN. Arrow treats NaN as the largest number, and as equal to itself.
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
    let mut doubles = Vec::new();
    for side in sides {
        let is_literal = matches!(side, Expr::Literal(..));
        if !is_literal && matches!(side.get_type(schema)?, DataType::Float32 | Float64) {
            doubles.push(side.clone());
        }
    }
    if doubles.is_empty() {
        return Ok(Transformed::no(expr));
    }
    // A column is cheap to repeat, and the scan can see what is compared. Anything else becomes a function call:
    // comparisons nest, and each level would repeat everything below it.
    if doubles.iter().any(|side| !matches!(side, Expr::Column(_))) {
        return Ok(Transformed::yes(comparison_of_doubles(expr, schema)?));
    }
    let guarded = doubles.into_iter().fold(expr, |guarded, side| {
        let nan = ScalarUDF::new_from_impl(is_nan()).call(vec![side]);
        guarded.and(Expr::Not(Box::new(nan)))
    });
    Ok(Transformed::yes(guarded))
}

/// The comparison as a function call, with its sides as arguments.
fn comparison_of_doubles(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let (name, sides): (_, Vec<Expr>) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let name = match op {
                Operator::Eq => "=",
                Operator::Gt => ">",
                Operator::GtEq => ">=",
                Operator::Lt => "<",
                _ => "<=",
            };
            (name, vec![*left, *right])
        }
        Expr::Between(Between {
            expr, low, high, ..
        }) => ("between", vec![*expr, *low, *high]),
        other => return Ok(other),
    };
    let evaluate: fn(&[ArrayRef]) -> Result<ArrayRef> = match name {
        "=" => |args| compared(&args[0], &args[1], |left, right| left == right),
        ">" => |args| compared(&args[0], &args[1], |left, right| left > right),
        ">=" => |args| compared(&args[0], &args[1], |left, right| left >= right),
        "<" => |args| compared(&args[0], &args[1], |left, right| left < right),
        "<=" => |args| compared(&args[0], &args[1], |left, right| left <= right),
        _ => |args| {
            let from = compared(&args[0], &args[1], |value, low| value >= low)?;
            let to = compared(&args[0], &args[2], |value, high| value <= high)?;
            Ok(Arc::new(and_kleene(from.as_boolean(), to.as_boolean())?))
        },
    };
    let sides = sides
        .into_iter()
        .map(|side| side.cast_to(&Float64, schema))
        .collect::<Result<Vec<_>>>()?;
    let function = Scalar::new(name, vec![Float64; sides.len()], returns_boolean, evaluate);
    Ok(ScalarUDF::new_from_impl(function).call(sides))
}

/// Compares doubles as Rust and Trino do, unlike Arrow.
fn compared(left: &ArrayRef, right: &ArrayRef, compare: fn(f64, f64) -> bool) -> Result<ArrayRef> {
    let rows = left
        .as_primitive::<Float64Type>()
        .iter()
        .zip(right.as_primitive::<Float64Type>());
    let answers = rows.map(|(left, right)| Some(compare(left?, right?)));
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}
