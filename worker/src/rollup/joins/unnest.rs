//! `CROSS JOIN UNNEST(array) AS t (x)`: each line once for each element of its array. It becomes a condition of the SELECT, and `t.x` a call
//! ([`crate::engine::functions::unnest`]), so that both pass through subqueries, group keys and aggregates as any other expression does.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, Ident, JoinConstraint, JoinOperator, ObjectNamePart,
    TableFactor, Value,
};

use crate::engine::functions::unnest::{
    AT_LEAST_NULL, ELEMENT_OF, POSITIONS, ROWS_OF, is_of_unnest,
};
use crate::rollup::allow;
use crate::rollup::desugar::{binary, call, nested};
use crate::rollup::results::without_parentheses;

const ADVICE: &str =
    "write CROSS JOIN UNNEST(array) AS t (x), or LEFT JOIN UNNEST(array) AS t (x) ON true";

/// An `UNNEST` that a SELECT joins.
pub(super) struct Unnest {
    /// Its name, which no other `UNNEST` of the query has.
    name: String,
    pub(super) columns: Vec<String>,
    /// The array of each column.
    pub(super) arrays: Vec<Expr>,
    /// Whether the columns in its arrays are known, so that its own may be used.
    pub(super) is_joined: bool,
}

impl Unnest {
    /// The name of an `UNNEST` in the SELECT, and what it joins. `names` are those of the others in the query.
    ///
    /// # Errors
    ///
    /// It has another form than Trino's.
    pub(super) fn new(
        relation: &TableFactor,
        operator: &JoinOperator,
        names: &mut Vec<String>,
    ) -> Result<(String, Self), String> {
        let refused = || format!("{relation} is not supported: {ADVICE}");
        let TableFactor::UNNEST {
            alias: Some(alias),
            array_exprs,
            with_offset: false,
            with_offset_alias: None,
            with_ordinality,
        } = relation
        else {
            return Err(refused());
        };
        let mut columns = Vec::with_capacity(alias.columns.len());
        for column in &alias.columns {
            allow::check_name(&column.name)?;
            let name = column.name.value.to_lowercase();
            if column.data_type.is_some() || columns.contains(&name) {
                return Err(refused());
            }
            columns.push(name);
        }
        let mut arrays = array_exprs.clone();
        if *with_ordinality {
            arrays.push(call(POSITIONS, Some('"'), array_exprs.clone()));
        }
        if columns.len() != arrays.len() {
            return Err(format!(
                "{relation} has {} columns: name each of them, as in UNNEST(array) AS t (x)",
                arrays.len()
            ));
        }
        // One array with an element makes a row. The others are NULL there.
        if is_left(operator).ok_or_else(refused)? {
            let first = arrays.remove(0);
            arrays.insert(0, call(AT_LEAST_NULL, Some('"'), vec![first]));
        }
        allow::check_name(&alias.name)?;
        let given = alias.name.value.to_lowercase();
        let mut name = given.clone();
        while names.contains(&name) {
            name.push('\'');
        }
        names.push(name.clone());
        let unnest = Self {
            name,
            columns,
            arrays,
            is_joined: false,
        };
        Ok((given, unnest))
    }

    /// The condition that makes its rows.
    pub(super) fn rows(&self) -> Expr {
        let mut args = vec![text(&self.name)];
        for (column, array) in self.columns.iter().zip(&self.arrays) {
            args.extend([text(column), array.clone()]);
        }
        call(ROWS_OF, Some('"'), args)
    }

    /// The value of a column.
    pub(super) fn value(&self, column: usize) -> Expr {
        let args = vec![
            text(&self.name),
            text(&self.columns[column]),
            self.arrays[column].clone(),
        ];
        call(ELEMENT_OF, Some('"'), args)
    }
}

fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

/// Whether lines without elements stay. `None` if Trino has no such join.
fn is_left(operator: &JoinOperator) -> Option<bool> {
    let is_always = |constraint: &JoinConstraint| {
        matches!(constraint, JoinConstraint::On(on)
            if matches!(without_parentheses(on), Expr::Value(value) if value.value == Value::Boolean(true)))
    };
    match operator {
        JoinOperator::CrossJoin(JoinConstraint::None) => Some(false),
        JoinOperator::Join(on) | JoinOperator::Inner(on) if is_always(on) => Some(false),
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) if is_always(on) => Some(true),
        _ => None,
    }
}

/// Whether a call stands for a part of `UNNEST`.
pub(in crate::rollup) fn is_unnest(function: &Function) -> bool {
    matches!(function.name.0.as_slice(), [ObjectNamePart::Identifier(Ident { value, quote_style: Some('"'), .. })]
        if is_of_unnest(value))
}

fn is_rows(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if is_unnest(function) && function.name.to_string().trim_matches('"') == ROWS_OF)
}

/// Puts the conditions that make rows before the others, which may use their columns. Returns whether there are such conditions.
pub(in crate::rollup) fn put_rows_first(condition: &mut Expr) -> bool {
    let mut each = Vec::new();
    let mut rest = vec![&*condition];
    while let Some(condition) = rest.pop() {
        match without_parentheses(condition) {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => rest.extend([&**right, &**left]),
            other => each.push(other),
        }
    }
    if !each.iter().any(|each| is_rows(each)) {
        return false;
    }
    let each = each.into_iter().cloned();
    let (rows, others): (Vec<Expr>, Vec<Expr>) = each.partition(is_rows);
    let and = |left, right| binary(left, BinaryOperator::And, right);
    let Some(rows) = rows.into_iter().reduce(and) else {
        return false;
    };
    *condition = match others.into_iter().reduce(and) {
        Some(others) => and(rows, nested(others)),
        None => rows,
    };
    true
}
