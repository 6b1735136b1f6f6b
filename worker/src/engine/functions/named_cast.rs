//! Keeps two casts of the same value apart.
//!
//! To DataFusion `sum(cast(x AS double))` and `sum(cast(x AS bigint))` have one name, as a cast has none, and two columns
//! of one name are refused. So a cast is planned inside a call that has the type in its arguments, hence in its name;
//! once names are given the call goes.

use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::Expr;

use super::stand_in::StandIn;

/// The call's name, which nobody can write without quotes.
pub(crate) const NAMED_CAST: &str = "named cast";

/// `"named cast"(cast(x AS t), 't')`.
pub(super) fn stand_in() -> StandIn {
    StandIn::new(NAMED_CAST, 2, None)
}

/// Takes the call away from around the cast; leaves other expressions as they are.
pub(crate) fn plan(expr: Expr) -> Transformed<Expr> {
    match StandIn::arguments(NAMED_CAST, expr) {
        Ok(mut arguments) => Transformed::yes(arguments.swap_remove(0)),
        Err(other) => Transformed::no(other),
    }
}
