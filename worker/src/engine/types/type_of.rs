//! `typeof(x)`: Athena's name of an expression's type. It is refused where the type here says less than Athena's, which depends on
//! literals: a text of two characters is a varchar(2), and 1.5 a decimal(2,1).

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, lit};

use super::{Check, Kind, kind_of};
use crate::engine::functions::arrays::ARRAY_OF;
use crate::engine::functions::cast::trino_name;
use crate::engine::functions::exact::{EXACT_DIVISION, EXACT_NUMBER};
use crate::engine::functions::named_cast::NAMED_CAST;
use crate::engine::functions::type_of::TYPEOF;
use crate::engine::functions::zoned::TIMESTAMP_LITERAL;
use crate::engine::sql_text::sql;

/// Replaces the calls of `typeof` by the names.
pub(crate) fn name_types(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_down(|expr| match &expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == TYPEOF => {
            let check = Check { schema };
            let [value] = args.as_slice() else {
                return plan_err!("typeof takes one value");
            };
            let name = check.full_name(&expr, value)?;
            Ok(Transformed::yes(lit(ScalarValue::Utf8View(Some(name)))))
        }
        _ => Ok(Transformed::no(expr)),
    })
}

impl Check<'_> {
    fn full_name(&self, whole: &Expr, value: &Expr) -> Result<String> {
        let data_type = value.get_type(self.schema)?;
        let is_known = match kind_of(&data_type) {
            // A sketch may have either of two types.
            Kind::Binary => {
                matches!(value, Expr::ScalarFunction(call) if call.name() != NAMED_CAST)
            }
            Kind::Interval | Kind::Other => false,
            _ => self.is_named(value)?,
        };
        if !is_known {
            return plan_err!(
                "{}: the type in Athena depends on literals, or is not known here: write typeof(cast({} AS …))",
                sql(whole),
                sql(value)
            );
        }
        Ok(match &data_type {
            DataType::Int64 if self.is_integer(value)? => "integer".to_owned(),
            DataType::Timestamp(unit, zone) => {
                // A table stores all instants with microseconds, and Athena reads milliseconds.
                let is_stored = matches!(value, Expr::Column(_) | Expr::AggregateFunction(_));
                let digits = match unit {
                    TimeUnit::Microsecond if zone.is_none() || !is_stored => 6,
                    _ => 3,
                };
                match zone {
                    Some(_) => format!("timestamp({digits}) with time zone"),
                    None => format!("timestamp({digits})"),
                }
            }
            other => trino_name(other),
        })
    }

    /// Whether the type of an expression has the name that it has in Athena. A result has the type of what it may be.
    fn is_named(&self, expr: &Expr) -> Result<bool> {
        let kind = self.kind(expr)?;
        let some = |exprs: &mut dyn Iterator<Item = &Expr>| -> Result<bool> {
            for expr in exprs {
                if self.kind(expr)? != Kind::Unknown && self.is_named(expr)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        Ok(match expr {
            Expr::Alias(alias) => self.is_named(&alias.expr)?,
            Expr::Literal(..) => !matches!(kind, Kind::Text) && !self.is_double(expr)?,
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                // Of texts of any length.
                Operator::StringConcat => true,
                _ if kind == Kind::Number => some(&mut [&**left, &**right].into_iter())?,
                _ => self.is_named(left)?,
            },
            Expr::Negative(number) => self.is_named(number)?,
            Expr::Case(case) => {
                let results = case.when_then_expr.iter().map(|(_, result)| &**result);
                some(&mut results.chain(case.else_expr.as_deref()))?
            }
            Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
                (NAMED_CAST, _) => true,
                (TIMESTAMP_LITERAL | EXACT_DIVISION | EXACT_NUMBER | "chr" | "codepoint", _) => {
                    false
                }
                ("coalesce" | "greatest" | "least", args) => some(&mut args.iter())?,
                (ARRAY_OF, args) => !args.iter().any(|arg| matches!(arg, Expr::Literal(..))),
                // Most results have the type of the first argument of their kind.
                (_, args) => {
                    for arg in args {
                        let of = self.kind(arg)?;
                        if of == kind || (of == Kind::Array && !self.is_named(arg)?) {
                            return self.is_named(arg);
                        }
                    }
                    true
                }
            },
            _ => true,
        })
    }

    fn is_double(&self, expr: &Expr) -> Result<bool> {
        Ok(expr.get_type(self.schema)? == DataType::Float64)
    }
}
