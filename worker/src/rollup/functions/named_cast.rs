//! Keeps two casts of the same value apart.
//!
//! To DataFusion `sum(cast(x AS double))` and `sum(cast(x AS bigint))` have one name, as a cast has none, and two columns
//! of one name are refused. So a cast is planned inside a call that has the type in its arguments, hence in its name;
//! once names are given the call goes.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// The call's name, which nobody can write without quotes.
pub(crate) const NAMED_CAST: &str = "named cast";

/// `"named cast"(cast(x AS t), 't')`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct NamedCast {
    signature: Signature,
}

impl Default for NamedCast {
    fn default() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for NamedCast {
    fn name(&self) -> &str {
        NAMED_CAST
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("a cast was not planned")
    }
}

/// Takes the call away from around the cast; leaves other expressions as they are.
pub(crate) fn plan(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, mut args })
            if func.inner().is::<NamedCast>() && args.len() == 2 =>
        {
            Transformed::yes(args.swap_remove(0))
        }
        other => Transformed::no(other),
    }
}
