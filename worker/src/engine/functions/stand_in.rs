//! Placeholder calls, which exist only until the SQL is planned.

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// A placeholder call with this name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct StandIn {
    name: &'static str,
    signature: Signature,
    returns: Option<DataType>,
}

impl StandIn {
    /// Takes this number of arguments of any types. Its type is `returns`, or else that of the first argument.
    pub(super) fn new(name: &'static str, arguments: usize, returns: Option<DataType>) -> Self {
        Self {
            name,
            signature: Signature::any(arguments, Volatility::Immutable),
            returns,
        }
    }

    /// Takes any number of arguments.
    pub(super) fn variadic(name: &'static str, returns: DataType) -> Self {
        Self {
            name,
            signature: Signature::variadic_any(Volatility::Immutable),
            returns: Some(returns),
        }
    }

    /// The arguments, if the expression is a call of this name; otherwise the expression.
    pub(super) fn arguments(name: &str, expr: Expr) -> std::result::Result<Vec<Expr>, Expr> {
        match expr {
            Expr::ScalarFunction(ScalarFunction { func, args })
                if func.name() == name && func.inner().is::<Self>() =>
            {
                Ok(args)
            }
            other => Err(other),
        }
    }
}

impl ScalarUDFImpl for StandIn {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(self.returns.as_ref().unwrap_or(&arguments[0]).clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!(
            "the placeholder {}() was not replaced when the query was planned",
            self.name
        )
    }
}
