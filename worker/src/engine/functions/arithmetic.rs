//! `+`, `-` and `*` of integers as in Trino: a result out of range is an error. DataFusion's operators wrap around.

use arrow::array::{Array, ArrayRef, Datum};
use arrow::compute::kernels::numeric::{add, mul, neg, sub};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, exec_datafusion_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use super::cast::trino_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Addition,
    Subtraction,
    Multiplication,
    Negation,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Multiplication => "multiplication",
            Self::Negation => "negation",
        }
    }
}

/// The operator that a call computes; `None` for other calls.
pub(crate) fn operator(call: &ScalarFunction) -> Option<&'static str> {
    let checked: &Checked = call.func.inner().downcast_ref()?;
    Some(match checked.operation {
        Operation::Addition => "+",
        Operation::Subtraction | Operation::Negation => "-",
        Operation::Multiplication => "*",
    })
}

/// Replaces an operation on integers with a [`Checked`]; leaves other expressions as they are.
pub(crate) fn plan(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (operation, arguments, integer) = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let operation = match op {
                Operator::Plus => Operation::Addition,
                Operator::Minus => Operation::Subtraction,
                Operator::Multiply => Operation::Multiplication,
                _ => return Ok(Transformed::no(expr)),
            };
            let (left_type, right_type) = (left.get_type(schema)?, right.get_type(schema)?);
            if !left_type.is_signed_integer() || !right_type.is_signed_integer() {
                return Ok(Transformed::no(expr));
            }
            let (integer, _) =
                BinaryTypeCoercer::new(&left_type, op, &right_type).get_input_types()?;
            let arguments = vec![
                (**left).clone().cast_to(&integer, schema)?,
                (**right).clone().cast_to(&integer, schema)?,
            ];
            (operation, arguments, integer)
        }
        Expr::Negative(inner) if !matches!(**inner, Expr::Literal(..)) => {
            let integer = inner.get_type(schema)?;
            if !integer.is_signed_integer() {
                return Ok(Transformed::no(expr));
            }
            (Operation::Negation, vec![(**inner).clone()], integer)
        }
        _ => return Ok(Transformed::no(expr)),
    };
    let function = Checked {
        operation,
        signature: Signature::exact(vec![integer; arguments.len()], Volatility::Immutable),
    };
    Ok(Transformed::yes(
        ScalarUDF::new_from_impl(function).call(arguments),
    ))
}

/// An operation on integers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.operation.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError> =
            match self.operation {
                Operation::Addition => add,
                Operation::Subtraction => sub,
                Operation::Multiplication => mul,
                Operation::Negation => {
                    let value = args.args[0].to_array(args.number_rows)?;
                    let negated = neg(&value)
                        .map_err(|error| self.in_words(value.data_type(), error.into()))?;
                    return Ok(ColumnarValue::Array(negated));
                }
            };
        let [left, right] = &args.args[..] else {
            return Err(exec_datafusion_err!("{} takes two numbers", self.name()));
        };
        apply(left, right, kernel).map_err(|error| {
            let integer = args.return_field.data_type();
            self.in_words(integer, error)
        })
    }
}

impl Checked {
    /// Trino's error message, which contains the operands.
    fn in_words(&self, integer: &DataType, error: DataFusionError) -> DataFusionError {
        match error.find_root() {
            DataFusionError::ArrowError(arrow, _) => match &**arrow {
                ArrowError::ArithmeticOverflow(message) => {
                    let numbers = message.rsplit_once(": ").map_or("", |(_, numbers)| numbers);
                    exec_datafusion_err!(
                        "{} {} overflow: {numbers}",
                        trino_name(integer),
                        self.name()
                    )
                }
                _ => error,
            },
            _ => error,
        }
    }
}
