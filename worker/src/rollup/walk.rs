//! Walks over the syntax trees of SQL. sqlparser's walks are compiled anew for each kind of visitor, some hundred kilobytes each time, so
//! here is one for reading and one for changing.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Visit, VisitMut, Visitor, VisitorMut};

/// Whether this holds for some expression, from the outside in. Looks no further then.
pub(super) fn any(part: &impl Visit, holds: &mut dyn FnMut(&Expr) -> bool) -> bool {
    struct Any<'a>(&'a mut dyn FnMut(&Expr) -> bool);

    impl Visitor for Any<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match (self.0)(expr) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }

    part.visit(&mut Any(holds)).is_break()
}

pub(crate) type Change<'a, T> = &'a mut dyn FnMut(&mut T) -> Result<(), String>;

/// Changes expressions: by `before` ahead of their parts, and by `after` when their parts have been changed.
///
/// # Errors
///
/// The first error of either.
pub(crate) fn change_exprs(
    part: &mut impl VisitMut,
    before: Change<'_, Expr>,
    after: Change<'_, Expr>,
) -> Result<(), String> {
    change(part, &mut |_| Ok(()), before, after)
}

/// Changes queries, the outer before the inner.
///
/// # Errors
///
/// The first error.
pub(crate) fn change_queries(query: &mut Query, with: Change<'_, Query>) -> Result<(), String> {
    change(query, with, &mut |_| Ok(()), &mut |_| Ok(()))
}

fn change(
    part: &mut impl VisitMut,
    query: Change<'_, Query>,
    before: Change<'_, Expr>,
    after: Change<'_, Expr>,
) -> Result<(), String> {
    struct Changes<'a> {
        query: Change<'a, Query>,
        before: Change<'a, Expr>,
        after: Change<'a, Expr>,
    }

    fn flow(changed: Result<(), String>) -> ControlFlow<String> {
        match changed {
            Ok(()) => ControlFlow::Continue(()),
            Err(message) => ControlFlow::Break(message),
        }
    }

    impl VisitorMut for Changes<'_> {
        type Break = String;

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
            flow((self.query)(query))
        }

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
            flow((self.before)(expr))
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
            flow((self.after)(expr))
        }
    }

    let mut changes = Changes {
        query,
        before,
        after,
    };
    match part.visit(&mut changes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(message) => Err(message),
    }
}
