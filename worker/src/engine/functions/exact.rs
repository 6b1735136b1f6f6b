//! Division of exact numbers. In Trino a literal such as `1024.0` is an exact decimal, so `sent_bytes / 1024.0` is a decimal too, and is
//! rounded to one digit. If the other operand is a double, the literal is a double as well.
//!
//! The types of results are those of Trino:
//! <https://github.com/trinodb/trino/blob/435/core/trino-main/src/main/java/io/trino/type/DecimalOperators.java>.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    DFSchema, Result, ScalarValue, exec_datafusion_err, internal_err, plan_err,
};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit,
};

use super::stand_in::StandIn;

/// Name of the placeholder call for the division until it is planned. Only a quoted identifier could spell it.
pub(crate) const EXACT_DIVISION: &str = "exact division";

/// Name of the placeholder call for a decimal literal in such a division, whose argument is the literal's text.
pub(crate) const EXACT_NUMBER: &str = "exact number";

/// Number of digits that a decimal may have.
const DIGITS_MAX: u8 = 38;

/// `"exact division"(a, b, '/')` and `"exact number"('1.5')`.
pub(super) fn stand_ins() -> [StandIn; 2] {
    [
        StandIn::new(EXACT_DIVISION, 3, Some(DataType::Float64)),
        StandIn::new(EXACT_NUMBER, 1, Some(DataType::Float64)),
    ]
}

/// Replaces the placeholder with the division, and `round` of its result; leaves other expressions as they are.
pub(crate) fn plan(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr
        && func.name() == "round"
        && let Some(DataType::Decimal128(..)) =
            args.first().map(|arg| arg.get_type(schema)).transpose()?
    {
        let number = args[0].clone();
        let digits = args.get(1).cloned().unwrap_or_else(|| lit(0_i64));
        let digits = digits.cast_to(&DataType::Int64, schema)?;
        let round = ScalarUDF::new_from_impl(Exact::new(Operation::Round));
        return Ok(Transformed::yes(round.call(vec![number, digits])));
    }
    // A division of decimal columns or results. The placeholder is only for decimal literals.
    if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr
        && matches!(op, Operator::Divide | Operator::Modulo)
        && (is_decimal(left, schema)? || is_decimal(right, schema)?)
        && is_exact(left, schema)?
        && is_exact(right, schema)?
    {
        let (left, right) = (
            decimal(*left.clone(), schema)?,
            decimal(*right.clone(), schema)?,
        );
        return Ok(Transformed::yes(Exact::call(*op, left, right)?));
    }
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
        let call = Exact::call(op, decimal(left, schema)?, decimal(right, schema)?)?;
        return Ok(Transformed::yes(call));
    }
    Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(
        Box::new(double(left)?),
        op,
        Box::new(double(right)?),
    ))))
}

/// The text of a decimal literal.
fn number(expr: &Expr) -> Option<String> {
    let arguments = StandIn::arguments(EXACT_NUMBER, expr.clone()).ok()?;
    match arguments.as_slice() {
        [Expr::Literal(text, _)] => Some(text.to_string()),
        _ => None,
    }
}

fn is_decimal(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(matches!(expr.get_type(schema)?, DataType::Decimal128(..)))
}

/// Whether the expression consists only of integers and decimals.
fn is_exact(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    if number(expr).is_some() {
        return Ok(true);
    }
    Ok(match expr {
        Expr::Negative(inner) => is_exact(inner, schema)?,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.is_numerical_operators() => {
            is_exact(left, schema)? && is_exact(right, schema)?
        }
        other => {
            let data_type = other.get_type(schema)?;
            data_type.is_integer() || matches!(data_type, DataType::Decimal128(..))
        }
    })
}

/// The exact expression as a decimal.
fn decimal(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    if let Some(text) = number(&expr) {
        let (_, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let digits = text.replace('.', "");
        let Ok(value) = digits.parse::<i128>() else {
            return plan_err!(
                "the number {text} has too many digits: a decimal has at most {DIGITS_MAX}"
            );
        };
        let precision = digits
            .trim_start_matches('0')
            .len()
            .max(fraction.len())
            .max(1);
        let literal = ScalarValue::Decimal128(Some(value), precision as u8, fraction.len() as i8);
        return Ok(Expr::Literal(literal, None));
    }
    let data_type = expr.get_type(schema)?;
    match expr {
        Expr::Negative(inner) => Ok(Expr::Negative(Box::new(decimal(*inner, schema)?))),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if !data_type.is_integer() => {
            Exact::call(op, decimal(*left, schema)?, decimal(*right, schema)?)
        }
        expr => {
            let digits = match data_type {
                DataType::Decimal128(..) => return Ok(expr),
                DataType::Int8 => 3,
                DataType::Int16 => 5,
                DataType::Int32 => 10,
                _ => 19,
            };
            expr.cast_to(&DataType::Decimal128(digits, 0), schema)
        }
    }
}

/// The expression with doubles for its decimal literals.
fn double(expr: Expr) -> Result<Expr> {
    let doubled = expr.transform_up(|expr| match number(&expr) {
        Some(text) => match text.parse::<f64>() {
            Ok(number) => Ok(Transformed::yes(lit(number))),
            Err(_) => plan_err!("{text} is not a number"),
        },
        None => Ok(Transformed::no(expr)),
    })?;
    Ok(doubled.data)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    /// Rounds a decimal to a number of digits.
    Round,
}

/// An operation on decimals.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    operation: Operation,
    signature: Signature,
}

impl Exact {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            signature: Signature::any(2, Volatility::Immutable),
        }
    }

    fn call(op: Operator, left: Expr, right: Expr) -> Result<Expr> {
        let operation = match op {
            Operator::Plus => Operation::Add,
            Operator::Minus => Operation::Subtract,
            Operator::Multiply => Operation::Multiply,
            Operator::Divide => Operation::Divide,
            Operator::Modulo => Operation::Modulo,
            other => return plan_err!("decimals have no operator {other}"),
        };
        Ok(ScalarUDF::new_from_impl(Self::new(operation)).call(vec![left, right]))
    }

    /// The exact result as a number of units of 10^-`scale`. `None` if it is out of range.
    fn compute(&self, [left, right]: [(i128, i8); 2], scale: i8) -> Result<Option<i128>> {
        let ((a, a_scale), (b, b_scale)) = (left, right);
        let common = a_scale.max(b_scale);
        let up = |value: i128, by: i8| {
            let unit = i256::from_i128(10).checked_pow(u32::try_from(by).ok()?)?;
            i256::from_i128(value).checked_mul(unit)
        };
        let (Some(a_common), Some(b_common)) = (up(a, common - a_scale), up(b, common - b_scale))
        else {
            return Ok(None);
        };
        let is_division = matches!(self.operation, Operation::Divide | Operation::Modulo);
        if is_division && b == 0 {
            return Err(exec_datafusion_err!("Division by zero"));
        }
        let value = match self.operation {
            Operation::Add => a_common.checked_add(b_common),
            Operation::Subtract => a_common.checked_sub(b_common),
            Operation::Multiply => i256::from_i128(a).checked_mul(i256::from_i128(b)),
            Operation::Modulo => a_common.checked_rem(b_common),
            Operation::Divide => up(a, scale + b_scale - a_scale)
                .map(|dividend| half_up(dividend, i256::from_i128(b))),
            Operation::Round => None,
        };
        Ok(value
            .and_then(i256::to_i128)
            .filter(|value| in_range(*value)))
    }
}

fn in_range(value: i128) -> bool {
    value.unsigned_abs() < 10_u128.pow(u32::from(DIGITS_MAX))
}

/// The quotient, rounded half away from zero.
fn half_up(dividend: i256, divisor: i256) -> i256 {
    let quotient = dividend / divisor;
    let rest = dividend % divisor;
    let twice = rest.wrapping_abs() * i256::from_i128(2);
    if twice < divisor.wrapping_abs() {
        return quotient;
    }
    match dividend.is_negative() == divisor.is_negative() {
        true => quotient + i256::ONE,
        false => quotient - i256::ONE,
    }
}

fn rounded(value: i128, scale: i8, digits: i64) -> Option<i128> {
    let dropped = i64::from(scale).checked_sub(digits)?;
    match u32::try_from(dropped) {
        // All digits stay.
        Err(_) => Some(value),
        Ok(dropped) if dropped > u32::from(DIGITS_MAX) => Some(0),
        Ok(dropped) => {
            let unit = 10_i128.checked_pow(dropped)?;
            let rounded = half_up(i256::from_i128(value), i256::from_i128(unit));
            let value = rounded.to_i128()?.checked_mul(unit)?;
            in_range(value).then_some(value)
        }
    }
}

impl ScalarUDFImpl for Exact {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "exact addition",
            Operation::Subtract => "exact subtraction",
            Operation::Multiply => "exact multiplication",
            Operation::Divide => "exact quotient",
            Operation::Modulo => "exact remainder",
            Operation::Round => "exact rounding",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let digits = |digits: i16| digits.clamp(1, i16::from(DIGITS_MAX)) as u8;
        let (p1, s1, p2, s2) = match arguments {
            [DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)] => (
                i16::from(*p1),
                i16::from(*s1),
                i16::from(*p2),
                i16::from(*s2),
            ),
            [DataType::Decimal128(p, s), DataType::Int64] => {
                return Ok(DataType::Decimal128(digits(i16::from(*p) + 1), *s));
            }
            _ => return internal_err!("decimals are computed from {arguments:?}"),
        };
        let scale = s1.max(s2);
        let (precision, scale) = match self.operation {
            Operation::Multiply => (p1 + p2, s1 + s2),
            Operation::Divide => (p1 + s2 + (s2 - s1).max(0), scale),
            Operation::Modulo => ((p1 - s1).min(p2 - s2) + scale, scale),
            Operation::Add | Operation::Subtract | Operation::Round => {
                ((p1 - s1).max(p2 - s2) + scale + 1, scale)
            }
        };
        if scale > i16::from(DIGITS_MAX) {
            return plan_err!(
                "DECIMAL scale {scale} must be in range [0, precision ({DIGITS_MAX})]"
            );
        }
        Ok(DataType::Decimal128(digits(precision), scale as i8))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::Decimal128(precision, scale) = *args.return_field.data_type() else {
            return internal_err!("{} is no decimal", self.name());
        };
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else {
            return internal_err!("{} takes two numbers", self.name());
        };
        let scale_of = |array: &ArrayRef| match array.data_type() {
            DataType::Decimal128(_, scale) => *scale,
            _ => 0,
        };
        let (left_scale, right_scale) = (scale_of(left), scale_of(right));
        let numbers = left.as_primitive::<Decimal128Type>().iter();
        let overflow = || exec_datafusion_err!("Decimal overflow");
        let results: Decimal128Array = match self.operation {
            Operation::Round => numbers
                .zip(right.as_primitive::<Int64Type>().iter())
                .map(|(number, digits)| match (number, digits) {
                    (Some(number), Some(digits)) => rounded(number, scale, digits)
                        .map(Some)
                        .ok_or_else(overflow),
                    _ => Ok(None),
                })
                .collect::<Result<_>>()?,
            _ => numbers
                .zip(right.as_primitive::<Decimal128Type>().iter())
                .map(|(left, right)| match (left, right) {
                    (Some(left), Some(right)) => self
                        .compute([(left, left_scale), (right, right_scale)], scale)?
                        .map(Some)
                        .ok_or_else(overflow),
                    _ => Ok(None),
                })
                .collect::<Result<_>>()?,
        };
        let results = results.with_precision_and_scale(precision, scale)?;
        Ok(ColumnarValue::Array(Arc::new(results)))
    }
}
