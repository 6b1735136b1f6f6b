//! Gives two casts of the same value different names.
//!
//! DataFusion gives `sum(cast(x AS double))` and `sum(cast(x AS bigint))` the same name, because a cast does not appear in
//! it, and refuses two columns with one name. A cast is therefore planned inside a call whose arguments, and hence whose
//! name, include the type. The call is removed once columns are named.

use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::Expr;

use super::stand_in::StandIn;

/// Name of the call. Only a quoted identifier could spell it.
pub(crate) const NAMED_CAST: &str = "named cast";

/// `"named cast"(cast(x AS t), 't')`.
pub(super) fn stand_in() -> StandIn {
    StandIn::new(NAMED_CAST, 2, None)
}

/// Removes the call around the cast; leaves other expressions as they are.
pub(crate) fn plan(expr: Expr) -> Transformed<Expr> {
    match StandIn::arguments(NAMED_CAST, expr) {
        Ok(mut arguments) => Transformed::yes(arguments.swap_remove(0)),
        Err(other) => Transformed::no(other),
    }
}
