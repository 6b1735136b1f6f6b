//! Refuses what Athena refuses because of types: comparing a text with a number, or concatenating them.
//!
//! DataFusion would cast one side. `target_status_code >= 500` would then be planned, and would fail on the first line
//! whose status is `-`. Rollups are checked before DataFusion adds casts. Queries over tables are not checked:
//! `WHERE date = '2026-11-20'` is common there and harmless, though Athena refuses it too.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion, TreeNodeVisitor};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, Case, Cast, InList, Like, ScalarFunction, TryCast,
};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, TypeSignature,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::functions::cast::trino_name;
use super::functions::exact::EXACT_DIVISION;
use super::functions::in_order::{ALL_OF, ANY_OF};
use super::functions::named_cast::NAMED_CAST;

/// Checks each expression of a rollup's plan. Must run before DataFusion adds casts.
pub(crate) fn check(plan: &LogicalPlan, state: &SessionState) -> Result<()> {
    // Only the sessions of rollups know these calls.
    if !state.scalar_functions().contains_key(NAMED_CAST) {
        return Ok(());
    }
    plan.apply(|node| {
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
            return plan_err!("an operation became another expression");
        };
        Ok(PlannerResult::Original(RawBinaryExpr {
            op: sql_op,
            left: *left,
            right: *right,
        }))
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
    Number,
    Boolean,
    /// A date or a timestamp. A date is coerced to a timestamp where needed.
    Time,
    Interval,
    Binary,
    /// The type of the literal NULL.
    Unknown,
    Other,
}

fn kind_of(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Boolean => Kind::Boolean,
        DataType::Date32 | DataType::Timestamp(..) => Kind::Time,
        DataType::Interval(_) | DataType::Duration(_) => Kind::Interval,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Kind::Binary,
        DataType::Null => Kind::Unknown,
        other if other.is_numeric() => Kind::Number,
        _ => Kind::Other,
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
                self.check_compared(expr, value, low, None)?;
                self.check_compared(expr, value, high, None)
            }
            Expr::InList(InList {
                expr: value, list, ..
            }) => list
                .iter()
                .try_for_each(|item| self.check_compared(expr, value, item, None)),
            Expr::Like(Like {
                expr: text,
                pattern,
                ..
            }) => {
                for side in [text, pattern] {
                    if !matches!(self.kind(side)?, Kind::Text | Kind::Unknown) {
                        let (name, side) = (self.type_name(side)?, sql(side));
                        return plan_err!(
                            "{} looks for a pattern in {name}, which Athena refuses: write cast({side} AS varchar)",
                            sql(expr)
                        );
                    }
                }
                Ok(())
            }
            Expr::Not(condition) => self.check_condition(condition),
            Expr::Negative(number) => match self.kind(number)? {
                Kind::Number | Kind::Interval | Kind::Unknown => Ok(()),
                _ => plan_err!(
                    "{} negates {}, which Athena refuses: write -try_cast({} AS double)",
                    sql(expr),
                    self.type_name(number)?,
                    sql(number)
                ),
            },
            Expr::Case(case) => self.check_case(expr, case),
            Expr::ScalarFunction(call) => self.check_call(expr, call),
            // DataFusion does not cast the arguments of the aggregates that rollups know.
            Expr::AggregateFunction(AggregateFunction { params, .. }) => match &params.filter {
                Some(condition) => self.check_condition(condition),
                None => Ok(()),
            },
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
        if left_kind == right_kind || left_kind == Kind::Unknown || right_kind == Kind::Unknown {
            return Ok(());
        }
        let side = |side: &Expr| match side {
            Expr::BinaryExpr(_) => format!("({})", sql(side)),
            side => sql(side),
        };
        let (left_sql, right_sql) = (side(left), side(right));
        let advice = match (left_kind, right_kind) {
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
                Kind::Text => format!("write {new_left} in place of {}", sql(left)),
                _ => format!("write {new_right} in place of {}", sql(right)),
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

    fn check_joined(&self, whole: &Expr, left: &Expr, right: &Expr) -> Result<()> {
        for part in [left, right] {
            if self.kind(part)? != Kind::Text {
                return plan_err!(
                    "{} joins varchar with {}, which Athena refuses: write cast({} AS varchar)",
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

    fn check_condition(&self, condition: &Expr) -> Result<()> {
        match self.kind(condition)? {
            Kind::Boolean | Kind::Unknown => Ok(()),
            _ => plan_err!(
                "{} is {}, and Athena takes a boolean there: write a comparison, as {} <> 0",
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

    /// Checks values of which one becomes the result.
    fn check_alike(&self, whole: &Expr, values: &mut dyn Iterator<Item = &Expr>) -> Result<()> {
        let mut first: Option<&Expr> = None;
        for value in values {
            let kind = self.kind(value)?;
            match first {
                _ if kind == Kind::Unknown => {}
                None => first = Some(value),
                Some(first) if self.kind(first)? == kind => {}
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

    fn check_call(&self, whole: &Expr, call: &ScalarFunction) -> Result<()> {
        match call.name() {
            "coalesce" | "greatest" | "least" => {
                return self.check_alike(whole, &mut call.args.iter());
            }
            ALL_OF | ANY_OF => {
                return call
                    .args
                    .iter()
                    .try_for_each(|condition| self.check_condition(condition));
            }
            "nullif" => {
                return match call.args.as_slice() {
                    [left, right] => self.check_compared(whole, left, right, None),
                    _ => Ok(()),
                };
            }
            _ => {}
        }
        let signature = &call.func.signature().type_signature;
        self.check_arguments(whole, call.name(), signature, &call.args)?;
        // Athena's `round` takes an integer, and does not accept a bigint.
        match call.args.as_slice() {
            [_, digits] if call.name() == "round" && !self.is_integer(digits)? => plan_err!(
                "{}: the digits are {}, and Athena takes an integer: write cast({} AS integer)",
                sql(whole),
                self.type_name(digits)?,
                sql(digits)
            ),
            _ => Ok(()),
        }
    }

    /// Checks a call of a function that takes exact types. DataFusion checks the number of arguments.
    fn check_arguments(
        &self,
        whole: &Expr,
        name: &str,
        signature: &TypeSignature,
        args: &[Expr],
    ) -> Result<()> {
        let overloads: Vec<&[DataType]> = match signature {
            TypeSignature::Exact(parameters) => vec![parameters],
            TypeSignature::OneOf(overloads) => overloads
                .iter()
                .filter_map(|overload| match overload {
                    TypeSignature::Exact(parameters) => Some(parameters.as_slice()),
                    _ => None,
                })
                .collect(),
            _ => return Ok(()),
        };
        let mut wrong = None;
        for parameters in overloads
            .iter()
            .filter(|parameters| parameters.len() == args.len())
        {
            let mut misfit = None;
            for (parameter, arg) in parameters.iter().zip(args) {
                if !fits(parameter, &arg.get_type(self.schema)?) {
                    misfit = Some((parameter, arg));
                    break;
                }
            }
            match misfit {
                None => return Ok(()),
                Some(misfit) => wrong = Some(misfit),
            }
        }
        let Some((parameter, arg)) = wrong else {
            return Ok(());
        };
        let (to, arg_sql) = (trino_name(parameter), sql(arg));
        let advice = match (kind_of(parameter), self.kind(arg)?) {
            (Kind::Text, _) => format!("write cast({arg_sql} AS varchar)"),
            (Kind::Time, Kind::Text) => format!("write from_iso8601_timestamp({arg_sql})"),
            (_, Kind::Text) => format!("write try_cast({arg_sql} AS {to})"),
            _ => format!("cast it to {to}"),
        };
        plan_err!(
            "{}: {name} takes {to} where {arg_sql} is {}: {advice}",
            sql(whole),
            self.type_name(arg)?
        )
    }
}

/// Whether Athena accepts a value of the argument type for the parameter without a cast.
fn fits(parameter: &DataType, argument: &DataType) -> bool {
    match (kind_of(parameter), kind_of(argument)) {
        (_, Kind::Unknown) => true,
        (Kind::Number, Kind::Number) => !parameter.is_integer() || argument.is_integer(),
        (Kind::Time, Kind::Time) => parameter != &DataType::Date32 || argument == &DataType::Date32,
        (parameter, argument) => parameter == argument,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

/// The expression as SQL, as a user may have written it.
pub(crate) fn sql(expr: &Expr) -> String {
    let list = |exprs: &[Expr]| exprs.iter().map(sql).collect::<Vec<_>>().join(", ");
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => sql(&alias.expr),
        Expr::Literal(literal, _) => match literal.try_as_str() {
            Some(Some(text)) => format!("'{}'", text.replace('\'', "''")),
            _ => literal.to_string(),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let side = |side: &Expr| match side {
                Expr::BinaryExpr(inner)
                    if inner.op.precedence() <= op.precedence()
                        || (is_comparison(inner.op) && is_comparison(*op)) =>
                {
                    format!("({})", sql(side))
                }
                side => sql(side),
            };
            format!("{} {op} {}", side(left), side(right))
        }
        Expr::Between(between) => format!(
            "{} {}BETWEEN {} AND {}",
            sql(&between.expr),
            not(between.negated),
            sql(&between.low),
            sql(&between.high)
        ),
        Expr::InList(in_list) => format!(
            "{} {}IN ({})",
            sql(&in_list.expr),
            not(in_list.negated),
            list(&in_list.list)
        ),
        Expr::Like(like) => format!(
            "{} {}LIKE {}",
            sql(&like.expr),
            not(like.negated),
            sql(&like.pattern)
        ),
        Expr::Not(inner) => format!("NOT {}", sql(inner)),
        Expr::IsNull(inner) => format!("{} IS NULL", sql(inner)),
        Expr::IsNotNull(inner) => format!("{} IS NOT NULL", sql(inner)),
        Expr::Negative(inner) => format!("-{}", sql(inner)),
        Expr::Cast(Cast { expr, field }) => match (&**expr, field.data_type()) {
            (Expr::Literal(..), DataType::Date32) => format!("DATE {}", sql(expr)),
            (Expr::Literal(..), DataType::Timestamp(..)) => format!("TIMESTAMP {}", sql(expr)),
            (_, to) => format!("cast({} AS {})", sql(expr), trino_name(to)),
        },
        Expr::TryCast(TryCast { expr, field }) => {
            format!(
                "try_cast({} AS {})",
                sql(expr),
                trino_name(field.data_type())
            )
        }
        Expr::Case(case) => {
            let operand = case
                .expr
                .as_ref()
                .map(|operand| format!(" {}", sql(operand)));
            let branches: String = case
                .when_then_expr
                .iter()
                .map(|(when, then)| format!(" WHEN {} THEN {}", sql(when), sql(then)))
                .collect();
            let otherwise = case
                .else_expr
                .as_ref()
                .map(|value| format!(" ELSE {}", sql(value)));
            format!(
                "CASE{}{branches}{} END",
                operand.unwrap_or_default(),
                otherwise.unwrap_or_default()
            )
        }
        Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
            (NAMED_CAST, [cast, _]) => sql(cast),
            (EXACT_DIVISION, [left, right, op]) => {
                format!("{} {} {}", sql(left), sql(op).replace('\'', ""), sql(right))
            }
            (name @ (ALL_OF | ANY_OF), args) => {
                let operator = if name == ALL_OF { " AND " } else { " OR " };
                let conditions: Vec<String> = args.iter().map(sql).collect();
                format!("({})", conditions.join(operator))
            }
            (name, args) => format!("{name}({})", list(args)),
        },
        Expr::AggregateFunction(call) => {
            format!("{}({})", call.func.name(), list(&call.params.args))
        }
        other => other.human_display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::rollup::Rollup;

    async fn loaded(expression: &str) -> Result<Rollup, String> {
        let sql = format!("SELECT {expression} AS x FROM alb_access_logs");
        Rollup::from_sql("t", &sql).await
    }

    const TIME: &str = "from_iso8601_timestamp(time)";

    #[tokio::test]
    async fn what_athena_refuses_for_its_types_is_refused_with_what_to_write() {
        let cases = [
            (
                "target_status_code >= 500",
                "target_status_code >= 500 compares varchar with integer, which Athena refuses: \
              write try_cast(target_status_code AS integer) >= 500",
            ),
            (
                "target_status_code = 200",
                "write try_cast(target_status_code AS integer) = 200",
            ),
            (
                "500 <= target_status_code",
                "write 500 <= try_cast(target_status_code AS integer)",
            ),
            (
                "target_status_code = 3000000000",
                "try_cast(target_status_code AS bigint)",
            ),
            (
                "target_status_code = 1e0",
                "try_cast(target_status_code AS double)",
            ),
            (
                "elb_status_code = '200'",
                "compares integer with varchar, which Athena refuses: write elb_status_code = 200",
            ),
            (
                "elb_status_code <> 'x'",
                "cast one to the type of the other",
            ),
            (
                "elb_status_code IS DISTINCT FROM '200'",
                "compares integer with varchar",
            ),
            (
                "elb_status_code IN (200, '404')",
                "write 404 in place of '404'",
            ),
            (
                "target_status_code NOT IN ('200', 404)",
                "write try_cast(target_status_code AS integer) in place of target_status_code",
            ),
            (
                "target_status_code BETWEEN 200 AND 299",
                "compares varchar with integer",
            ),
            ("sent_bytes BETWEEN 1 AND '2'", "write 2 in place of '2'"),
            (
                "nullif(target_status_code, 0)",
                "compares varchar with integer",
            ),
            (
                "CASE target_status_code WHEN 200 THEN 1 END",
                "compares varchar with integer",
            ),
            (
                "CASE WHEN sent_bytes > 0 THEN 'x' ELSE 0 END",
                "is varchar or integer",
            ),
            (
                "if(sent_bytes > 0, sent_bytes, '-')",
                "is bigint or varchar",
            ),
            ("coalesce(target_port, '-')", "is integer or varchar"),
            ("coalesce(NULL, type, 0)", "is varchar or integer"),
            ("greatest(type, 1)", "varchar"),
            ("CASE WHEN sent_bytes THEN 1 END", "boolean"),
            ("if(elb_status_code, 1)", "boolean"),
            ("sent_bytes > 0 AND elb_status_code", ""),
            ("sent_bytes > 0 AND 1 / elb_status_code", "boolean"),
            ("NOT sent_bytes", "boolean"),
            ("(sent_bytes > 0) = 1", "compares boolean with integer"),
            ("(sent_bytes > 0) = 'true'", "write (sent_bytes > 0) = true"),
            (
                &format!("{TIME} >= '2026-11-20T10:00:00Z'"),
                "TIMESTAMP '2026-11-20 10:00:00 UTC'",
            ),
            (
                &format!("{TIME} > 5"),
                "compares timestamp with time zone with integer",
            ),
            (
                "time >= TIMESTAMP '2026-11-20 10:00:00 UTC'",
                "write from_iso8601_timestamp(time) >= ",
            ),
            (&format!("date({TIME}) = '2026-11-20'"), "DATE '2026-11-20'"),
            ("user_agent + 1", ""),
            ("user_agent * user_agent", ""),
            ("-user_agent", ""),
            (&format!("date({TIME}) + 1"), ""),
            ("client_port || ''", "write cast(client_port AS varchar)"),
            ("user_agent || NULL", "untyped NULL"),
            (
                "concat(user_agent, sent_bytes)",
                "write cast(sent_bytes AS varchar)",
            ),
            (
                "elb_status_code LIKE '5%'",
                "write cast(elb_status_code AS varchar)",
            ),
            (
                "lower(elb_status_code)",
                "lower takes varchar where elb_status_code is integer",
            ),
            ("substr(sent_bytes, 1)", "write cast(sent_bytes AS varchar)"),
            ("substr(user_agent, '2')", ""),
            ("abs(target_status_code)", ""),
            (
                "starts_with(user_agent, 5)",
                "starts_with takes varchar where 5 is integer",
            ),
            ("hour(time)", "there is no hour(varchar)"),
            (
                "round(sent_bytes * 1e0, length(type))",
                "write cast(length(type) AS integer)",
            ),
            ("lower(trim(sent_bytes) || 'x')", "btrim takes varchar"),
        ];
        for (expression, says) in cases {
            match loaded(expression).await {
                Ok(_) => panic!("{expression}: is taken"),
                Err(message) => assert!(message.contains(says), "{expression}: {message}"),
            }
        }
        for (aggregate, says) in [
            (
                "sum(target_status_code)",
                "there is no sum(varchar) here: there is sum(bigint), sum(double)",
            ),
            ("sum(type = 'x')", "there is no sum(boolean)"),
            ("bool_or(elb_status_code)", "there is bool_or(boolean)"),
            ("tdigest_agg(type)", "there is tdigest_agg(double)"),
            ("count(*) FILTER (WHERE elb_status_code)", "boolean"),
            ("count_if(elb_status_code)", "boolean"),
            ("sum(if(type = 5, 1, 0))", "compares varchar with integer"),
        ] {
            let sql = format!("SELECT elb, {aggregate} AS x FROM alb_access_logs GROUP BY 1");
            let message = Rollup::from_sql("t", &sql).await.unwrap_err();
            assert!(message.contains(says), "{aggregate}: {message}");
        }
        let sql = "SELECT elb, count(*) AS n FROM alb_access_logs WHERE target_status_code >= 500 GROUP BY 1";
        let message = Rollup::from_sql("t", sql).await.unwrap_err();
        assert!(
            message.contains("compares varchar with integer"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn what_athena_casts_by_itself_is_taken() {
        for expression in [
            "elb_status_code = 1.5 OR sent_bytes > elb_status_code OR target_processing_time > 1",
            "elb_status_code IN (1, 2.5, NULL) AND type IN ('x', NULL)",
            "coalesce(target_port, 0) + 1 > sent_bytes",
            "CASE WHEN type = 'x' THEN 1 WHEN type = 'y' THEN NULL ELSE 2.5 END",
            "if(sent_bytes > 1, 1)",
            "nullif(type, NULL) = '-'",
            "(type IS DISTINCT FROM NULL) AND type LIKE NULL",
            &format!("{TIME} >= TIMESTAMP '2026-11-20 10:00:00'"),
            &format!("{TIME} >= DATE '2026-11-20'"),
            &format!("date({TIME}) <= {TIME}"),
            &format!("coalesce(try({TIME}), {TIME})"),
            &format!("date_diff('second', cast({TIME} AS date), {TIME})"),
            &format!("{TIME} + INTERVAL '1' HOUR - INTERVAL '1' DAY"),
            "to_unixtime(DATE '2026-11-20')",
            "round(target_processing_time, -2) + round(sent_bytes, if(type = 'x', 1, 2))",
            "round(sent_bytes, cast(length(type) AS integer))",
            "is_nan(sent_bytes) AND NULL AND (NULL OR true)",
            "cast(elb_status_code AS varchar) || '' || cast(NULL AS varchar)",
            "sqrt(elb_status_code) + abs(client_port) - sent_bytes / 2e0",
            "sent_bytes + NULL",
            "date_format(DATE '2026-11-20', '%Y')",
            "url_extract_port(request_url) = 80",
            "BIGINT '5' > 3 AND (sent_bytes > 0) = true",
        ] {
            if let Err(message) = loaded(expression).await {
                panic!("{expression}: {message}");
            }
        }
        for aggregate in [
            "sum(1)",
            "sum(1.5)",
            "max(type = 'x')",
            "tdigest_agg(sent_bytes)",
            "bool_or(NULL)",
            "count_if(NULL)",
        ] {
            let sql = format!("SELECT elb, {aggregate} AS x FROM alb_access_logs GROUP BY 1");
            if let Err(message) = Rollup::from_sql("t", &sql).await {
                panic!("{aggregate}: {message}");
            }
        }
    }
}
