//! Refuses what Athena refuses because of types: comparing a text with a number, or concatenating them.
//!
//! DataFusion would cast one side. `target_status_code >= 500` would then be planned, and would fail on the first line
//! whose status is `-`. Rollups are checked before DataFusion adds casts. Queries over tables are not checked:
//! `WHERE date = '2026-11-20'` is common there and harmless, though Athena refuses it too.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion, TreeNodeVisitor};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{AggregateFunction, Between, Case, InList, Like};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::functions::cast::trino_name;
use super::functions::intervals;
use super::functions::ip::IP_ADDRESS;
use super::functions::json::JSON;
use super::functions::named_cast::NAMED_CAST;
use super::sql_text::sql;

mod calls;
mod type_of;

pub(crate) use type_of::name_types;

/// Checks each expression of a rollup's plan. Must run before DataFusion adds casts.
pub(crate) fn check(plan: &LogicalPlan, state: &SessionState) -> Result<()> {
    // Only the sessions of rollups know these calls.
    if !state.scalar_functions().contains_key(NAMED_CAST) {
        return Ok(());
    }
    plan.apply_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        node.apply_expressions(|expr| {
            expr.visit(&mut Check { schema: &schema })?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// Checks an operator before DataFusion does. DataFusion's error would only say that both sides have no common type.
#[derive(Debug)]
pub(crate) struct OperatorTypes;

impl ExprPlanner for OperatorTypes {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let Some(op) = operator(&expr.op) else {
            return Ok(PlannerResult::Original(expr));
        };
        let RawBinaryExpr {
            op: sql_op,
            left,
            right,
        } = expr;
        let operation = BinaryExpr::new(Box::new(left), op, Box::new(right));
        let operation = Expr::BinaryExpr(operation);
        Check { schema }.check(&operation)?;
        let Expr::BinaryExpr(BinaryExpr { left, right, .. }) = operation else {
            return plan_err!("an operation was replaced by another expression");
        };
        let expr = RawBinaryExpr {
            op: sql_op,
            left: *left,
            right: *right,
        };
        intervals::plan_product(expr, schema)
    }
}

fn operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::StringConcat => Operator::StringConcat,
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        BinaryOperator::And => Operator::And,
        BinaryOperator::Or => Operator::Or,
        _ => return None,
    })
}

/// Checks the parts of an expression before the whole, so that the innermost mistake is reported.
struct Check<'a> {
    schema: &'a DFSchema,
}

impl TreeNodeVisitor<'_> for Check<'_> {
    type Node = Expr;

    fn f_up(&mut self, expr: &Expr) -> Result<TreeNodeRecursion> {
        self.check(expr)?;
        Ok(TreeNodeRecursion::Continue)
    }
}

/// Types that are interchangeable in Athena, as far as rollups use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Json,
    Address,
    Number,
    Boolean,
    /// A date or a timestamp. A date is coerced to a timestamp where needed.
    Time,
    Interval,
    Binary,
    Array,
    /// The type of the literal NULL.
    Unknown,
    Other,
}

fn kind_of(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Utf8 | DataType::Utf8View => Kind::Text,
        json if json == &JSON => Kind::Json,
        address if address == &IP_ADDRESS => Kind::Address,
        DataType::Boolean => Kind::Boolean,
        DataType::Date32 | DataType::Timestamp(..) => Kind::Time,
        DataType::Interval(_) | DataType::Duration(_) => Kind::Interval,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Kind::Binary,
        DataType::List(_) => Kind::Array,
        DataType::Null => Kind::Unknown,
        other if other.is_numeric() => Kind::Number,
        _ => Kind::Other,
    }
}

/// Columns of log lines with a time as a text.
const LOG_TIMES: [&str; 3] = ["time", "timestamp", "request_creation_time"];

/// The column of log lines with the day of delivery, a text such as `2026/11/20`.
fn is_day(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "day")
}

/// A text to compare the day of delivery with, instead of a value of another type.
fn of_day(value: &Expr, kind: Kind) -> Option<String> {
    match kind {
        Kind::Time => Some(format!("date_format({}, '%Y/%m/%d')", sql(value))),
        Kind::Number => Some("'2026/11/20'".to_owned()),
        _ => None,
    }
}

/// A side of a comparison, in parentheses if it is an operation.
fn side(side: &Expr) -> String {
    match side {
        Expr::BinaryExpr(_) => format!("({})", sql(side)),
        side => sql(side),
    }
}

impl Check<'_> {
    fn check(&self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::StringConcat => self.check_joined(expr, left, right),
                Operator::And | Operator::Or => {
                    self.check_condition(left)?;
                    self.check_condition(right)
                }
                op if op.is_numerical_operators() => self.check_arithmetic(expr, left, *op, right),
                op => self.check_compared(expr, left, right, Some(*op)),
            },
            Expr::Between(Between {
                expr: value,
                low,
                high,
                ..
            }) => {
                self.check_ordered(expr, value)?;
                self.check_compared(expr, value, low, None)?;
                self.check_compared(expr, value, high, None)
            }
            Expr::InList(InList {
                expr: value, list, ..
            }) => list
                .iter()
                .try_for_each(|item| self.check_compared(expr, value, item, None)),
            Expr::Like(like) => self.check_like(expr, like),
            Expr::Not(condition) => self.check_condition(condition),
            Expr::Negative(number) => self.check_negated(expr, number),
            Expr::Case(case) => self.check_case(expr, case),
            Expr::ScalarFunction(call) => self.check_call(expr, call),
            // DataFusion does not cast the arguments of the aggregates that rollups know.
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                if func.name() != "count" {
                    let mut args = params.args.iter();
                    args.try_for_each(|value| self.check_kept(expr, value))?;
                }
                match &params.filter {
                    Some(condition) => self.check_condition(condition),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn kind(&self, expr: &Expr) -> Result<Kind> {
        Ok(kind_of(&expr.get_type(self.schema)?))
    }

    /// Athena's name for the type. Integer literals are bigint here, but integer in Athena.
    fn type_name(&self, expr: &Expr) -> Result<String> {
        Ok(match expr.get_type(self.schema)? {
            DataType::Null => "an untyped NULL".to_owned(),
            interval if kind_of(&interval) == Kind::Interval => "an interval".to_owned(),
            _ if self.is_integer(expr)? => "integer".to_owned(),
            other => trino_name(&other),
        })
    }

    /// Whether the expression is an integer in Athena, rather than a bigint.
    fn is_integer(&self, expr: &Expr) -> Result<bool> {
        let all = |exprs: &mut dyn Iterator<Item = &Expr>| -> Result<bool> {
            for expr in exprs {
                if !self.is_integer(expr)? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        match expr {
            Expr::Literal(ScalarValue::Int64(Some(number)), _) => {
                Ok(i32::try_from(*number).is_ok())
            }
            Expr::Literal(ScalarValue::Null, _) => Ok(true),
            Expr::Negative(number) => self.is_integer(number),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.is_numerical_operators() => {
                all(&mut [&**left, &**right].into_iter())
            }
            Expr::Case(case) => {
                let results = case.when_then_expr.iter().map(|(_, result)| &**result);
                all(&mut results.chain(case.else_expr.as_deref()))
            }
            Expr::ScalarFunction(call)
                if matches!(call.name(), "coalesce" | "nullif" | "greatest" | "least") =>
            {
                all(&mut call.args.iter())
            }
            other => Ok(matches!(
                other.get_type(self.schema)?,
                DataType::Int8 | DataType::Int16 | DataType::Int32
            )),
        }
    }

    fn check_compared(
        &self,
        whole: &Expr,
        left: &Expr,
        right: &Expr,
        op: Option<Operator>,
    ) -> Result<()> {
        let (left_kind, right_kind) = (self.kind(left)?, self.kind(right)?);
        if left_kind == Kind::Array || right_kind == Kind::Array {
            return plan_err!(
                "{} compares an array, which is not supported: compare its elements, or array_join(…, ',')",
                sql(whole)
            );
        }
        use Operator::{Gt, GtEq, Lt, LtEq};
        if matches!(op, Some(Lt | LtEq | Gt | GtEq)) {
            self.check_ordered(whole, left)?;
            self.check_ordered(whole, right)?;
        }
        if left_kind == right_kind || left_kind == Kind::Unknown || right_kind == Kind::Unknown {
            return Ok(());
        }
        let (left_sql, right_sql) = (side(left), side(right));
        let advice = match (left_kind, right_kind) {
            _ if is_day(left) => of_day(right, right_kind).map(|day| (left_sql, day)),
            _ if is_day(right) => of_day(left, left_kind).map(|day| (day, right_sql)),
            (Kind::Json, Kind::Text) => Some((format!("cast({left_sql} AS varchar)"), right_sql)),
            (Kind::Text, Kind::Json) => Some((left_sql, format!("cast({right_sql} AS varchar)"))),
            (Kind::Text, _) => self
                .in_place_of_text(left, right)?
                .map(|text| (text, right_sql)),
            (_, Kind::Text) => self
                .in_place_of_text(right, left)?
                .map(|text| (left_sql, text)),
            _ => None,
        };
        let advice = match (advice, op) {
            (Some((left, right)), Some(op)) => format!("write {left} {op} {right}"),
            (Some((new_left, new_right)), None) => match left_kind {
                Kind::Text if !is_day(left) => format!("write {new_left} instead of {}", sql(left)),
                _ => format!("write {new_right} instead of {}", sql(right)),
            },
            (None, _) => "cast one to the type of the other".to_owned(),
        };
        plan_err!(
            "{} compares {} with {}, which Athena refuses: {advice}",
            sql(whole),
            self.type_name(left)?,
            self.type_name(right)?
        )
    }

    /// Suggests a replacement for a text that is compared with a value of another type.
    fn in_place_of_text(&self, text: &Expr, other: &Expr) -> Result<Option<String>> {
        let literal = match text {
            Expr::Literal(literal, _) => literal.try_as_str().flatten(),
            _ => None,
        };
        let other_type = other.get_type(self.schema)?;
        if let (Expr::Column(column), Kind::Time) = (text, kind_of(&other_type))
            && LOG_TIMES.contains(&column.name.as_str())
        {
            return Ok(Some(format!("from_iso8601_timestamp({})", sql(text))));
        }
        let cast_to = |name: &str| format!("try_cast({} AS {name})", sql(text));
        Ok(match (kind_of(&other_type), literal) {
            (Kind::Number, Some(literal)) if literal.parse::<f64>().is_ok_and(f64::is_finite) => {
                Some(literal.to_owned())
            }
            // The literal is not a number, so the two can only be compared as texts.
            (Kind::Number, Some(_)) => None,
            (Kind::Number, None) => Some(cast_to(match other_type {
                DataType::Float32 | DataType::Float64 => "double",
                _ if self.is_integer(other)? => "integer",
                _ => "bigint",
            })),
            (Kind::Boolean, Some(literal)) if matches!(literal, "true" | "false") => {
                Some(literal.to_owned())
            }
            (Kind::Boolean, None) => Some(cast_to("boolean")),
            (Kind::Time, Some(literal)) if other_type == DataType::Date32 => {
                Some(format!("DATE '{literal}'"))
            }
            (Kind::Time, Some(literal)) => Some(format!(
                "TIMESTAMP '{} UTC'",
                literal
                    .trim_end_matches('Z')
                    .trim_end_matches(" UTC")
                    .replace('T', " ")
            )),
            (Kind::Time, None) if other_type == DataType::Date32 => Some(cast_to("date")),
            (Kind::Time, None) => Some(format!("from_iso8601_timestamp({})", sql(text))),
            _ => None,
        })
    }

    /// Refuses values that aggregates do not keep.
    fn check_kept(&self, whole: &Expr, value: &Expr) -> Result<()> {
        match self.kind(value)? {
            Kind::Address => plan_err!(
                "{}: {} is an ipaddress, which aggregates do not take: write cast({} AS varchar)",
                sql(whole),
                sql(value),
                sql(value)
            ),
            _ => self.check_ordered(whole, value),
        }
    }

    /// Refuses JSON where values are put in order, or kept by an aggregate.
    fn check_ordered(&self, whole: &Expr, value: &Expr) -> Result<()> {
        match self.kind(value)? {
            Kind::Json => plan_err!(
                "{}: {} is json, which has no order: write json_format({}), or cast it to varchar or a number",
                sql(whole),
                sql(value),
                sql(value)
            ),
            _ => Ok(()),
        }
    }

    fn check_joined(&self, whole: &Expr, left: &Expr, right: &Expr) -> Result<()> {
        for part in [left, right] {
            if self.kind(part)? != Kind::Text {
                return plan_err!(
                    "{} concatenates varchar with {}, which Athena refuses: write cast({} AS varchar)",
                    sql(whole),
                    self.type_name(part)?,
                    sql(part)
                );
            }
        }
        Ok(())
    }

    fn check_arithmetic(
        &self,
        whole: &Expr,
        left: &Expr,
        op: Operator,
        right: &Expr,
    ) -> Result<()> {
        use Kind::{Interval, Number, Time, Unknown};
        let kinds = (self.kind(left)?, self.kind(right)?);
        let is_known = match kinds {
            (Number | Interval | Unknown, Number | Interval | Unknown) => true,
            (Time, Interval | Unknown) => matches!(op, Operator::Plus | Operator::Minus),
            (Interval | Unknown, Time) => op == Operator::Plus,
            (Time, Time) => op == Operator::Minus,
            _ => false,
        };
        if is_known {
            return Ok(());
        }
        let advice = match kinds {
            (Kind::Text, Number) => self
                .in_place_of_text(left, right)?
                .map(|text| format!("write {text} {op} {}", sql(right))),
            (Number, Kind::Text) => self
                .in_place_of_text(right, left)?
                .map(|text| format!("write {} {op} {text}", sql(left))),
            (Kind::Text, Interval) => self
                .in_place_of_text(left, &lit(ScalarValue::TimestampMillisecond(None, None)))?
                .map(|text| format!("write {text} {op} {}", sql(right))),
            (Time, Number) if matches!(op, Operator::Plus | Operator::Minus) => {
                Some(format!("write {} {op} INTERVAL '1' DAY", sql(left)))
            }
            _ => None,
        };
        plan_err!(
            "{} computes with {} and {}, which Athena refuses: {}",
            sql(whole),
            self.type_name(left)?,
            self.type_name(right)?,
            advice.unwrap_or_else(|| "cast them to bigint or double".to_owned())
        )
    }

    fn check_like(&self, whole: &Expr, like: &Like) -> Result<()> {
        for side in [&like.expr, &like.pattern] {
            if !matches!(self.kind(side)?, Kind::Text | Kind::Unknown) {
                let (name, side) = (self.type_name(side)?, sql(side));
                return plan_err!(
                    "{} applies LIKE to {name}, which Athena refuses: write cast({side} AS varchar)",
                    sql(whole)
                );
            }
        }
        Ok(())
    }

    fn check_negated(&self, whole: &Expr, number: &Expr) -> Result<()> {
        match self.kind(number)? {
            Kind::Number | Kind::Interval | Kind::Unknown => Ok(()),
            _ => plan_err!(
                "{} negates {}, which Athena refuses: write -try_cast({} AS double)",
                sql(whole),
                self.type_name(number)?,
                sql(number)
            ),
        }
    }

    fn check_condition(&self, condition: &Expr) -> Result<()> {
        match self.kind(condition)? {
            Kind::Boolean | Kind::Unknown => Ok(()),
            _ => plan_err!(
                "{} is {}, where Athena requires a boolean: write a comparison, as in {} <> 0",
                sql(condition),
                self.type_name(condition)?,
                sql(condition)
            ),
        }
    }

    fn check_case(&self, whole: &Expr, case: &Case) -> Result<()> {
        for (when, _) in &case.when_then_expr {
            match &case.expr {
                Some(operand) => self.check_compared(whole, operand, when, None)?,
                None => self.check_condition(when)?,
            }
        }
        let results = case.when_then_expr.iter().map(|(_, result)| &**result);
        self.check_alike(whole, &mut results.chain(case.else_expr.as_deref()))
    }

    /// Whether both are arrays of the same kind of elements, or neither is an array.
    fn is_alike(&self, one: &Expr, other: &Expr) -> Result<bool> {
        let (one, other) = (one.get_type(self.schema)?, other.get_type(self.schema)?);
        Ok(match (&one, &other) {
            (DataType::List(one), DataType::List(other)) => {
                let kinds = (kind_of(one.data_type()), kind_of(other.data_type()));
                kinds.0 == kinds.1 || kinds.0 == Kind::Unknown || kinds.1 == Kind::Unknown
            }
            _ => true,
        })
    }

    /// Checks values of which one becomes the result.
    fn check_alike(&self, whole: &Expr, values: &mut dyn Iterator<Item = &Expr>) -> Result<()> {
        let mut first: Option<&Expr> = None;
        for value in values {
            let kind = self.kind(value)?;
            match first {
                _ if kind == Kind::Unknown => {}
                None => first = Some(value),
                Some(first) if self.kind(first)? == kind && self.is_alike(first, value)? => {}
                Some(first) => {
                    return plan_err!(
                        "{} is {} or {}, which Athena refuses: cast {} or {} to the type of the other",
                        sql(whole),
                        self.type_name(first)?,
                        self.type_name(value)?,
                        sql(first),
                        sql(value)
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
