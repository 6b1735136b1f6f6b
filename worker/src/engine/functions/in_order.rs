//! AND and OR that evaluate their conditions in order, as Trino does: each condition is evaluated only for the rows that
//! the earlier ones leave undecided. DataFusion evaluates all conditions for all rows, so that
//! `received_bytes <> 0 AND sent_bytes / received_bytes > 10` fails.

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::{and_kleene, or_kleene};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    lit,
};

use super::deferred::Deferred;
use super::stand_in::StandIn;
use crate::engine::fallible::{self, Fallible};

/// Names of the placeholder calls for AND and OR until they are planned. Only quoted identifiers could spell them.
pub(crate) const ALL_OF: &str = "all of";
pub(crate) const ANY_OF: &str = "any of";

/// `"all of"(a, b, …)` and `"any of"(a, b, …)`.
pub(super) fn stand_ins() -> [StandIn; 2] {
    [ALL_OF, ANY_OF].map(|name| StandIn::variadic(name, DataType::Boolean))
}

/// Replaces a placeholder call with an [`InOrder`]; leaves other expressions as they are.
pub(crate) fn plan(
    expr: Expr,
    schema: &DFSchema,
    state: &SessionState,
) -> Result<Transformed<Expr>> {
    let (name, conditions) = match StandIn::arguments(ALL_OF, expr) {
        Ok(conditions) => (ALL_OF, conditions),
        Err(other) => match StandIn::arguments(ANY_OF, other) {
            Ok(conditions) => (ANY_OF, conditions),
            Err(other) => return Ok(Transformed::no(other)),
        },
    };
    let conditions = conditions
        .into_iter()
        .map(|condition| {
            Ok(match condition.get_type(schema)? {
                DataType::Null => lit(ScalarValue::Boolean(None)),
                _ => condition,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut fallible = Vec::new();
    for (number, condition) in conditions.iter().enumerate() {
        let mut found = Vec::new();
        fallible::in_expression(condition, schema, &mut found)?;
        // Ignore divisions after the first condition: an earlier condition most likely checks the divisor.
        found.retain(|found| number == 0 || !found.is_division());
        fallible.extend(found);
    }
    let (conditions, columns) = Deferred::plan(conditions, schema, state)?;
    let function = InOrder {
        name,
        signature: conditions.signature(),
        conditions,
        fallible,
    };
    Ok(Transformed::yes(
        ScalarUDF::new_from_impl(function).call(columns),
    ))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InOrder {
    name: &'static str,
    conditions: Deferred,
    signature: Signature,
    fallible: Vec<Fallible>,
}

/// The expressions that can fail in the conditions of a planned AND or OR; `None` for other calls.
pub(crate) fn fallible(call: &ScalarFunction) -> Option<&[Fallible]> {
    let planned: &InOrder = call.func.inner().downcast_ref()?;
    Some(&planned.fallible)
}

impl ScalarUDFImpl for InOrder {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        let conditions: Vec<String> = self
            .conditions
            .exprs
            .iter()
            .map(ToString::to_string)
            .collect();
        Ok(format!("{}({})", self.name, conditions.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let batch = self.conditions.rows(&args)?;
        let rows = batch.num_rows();
        let is_and = self.name == ALL_OF;
        // AND decides a row as soon as a condition is FALSE, OR as soon as one is TRUE. NULL leaves the row undecided.
        let mut result = BooleanArray::from(vec![is_and; rows]);
        let mut open = BooleanArray::from(vec![true; rows]);
        for condition in &self.conditions.exprs {
            // The value of a decided row is NULL or FALSE, which does not change its result.
            let value = condition.evaluate_selection(&batch, &open)?;
            let value = value.into_array(rows)?;
            let value = value.as_boolean();
            result = match is_and {
                true => and_kleene(&result, value)?,
                false => or_kleene(&result, value)?,
            };
            let mut decided = match is_and {
                true => !result.values(),
                false => result.values().clone(),
            };
            if let Some(known) = result.nulls() {
                decided = &decided & known.inner();
            }
            open = BooleanArray::new(!&decided, None);
            if open.true_count() == 0 {
                break;
            }
        }
        Ok(ColumnarValue::Array(std::sync::Arc::new(result)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::logical_expr::{col, try_cast};
    use datafusion::physical_expr::PhysicalExpr;

    use super::*;
    use crate::engine::rollup_session;

    const TRUTHS: [Option<bool>; 3] = [Some(true), Some(false), None];

    /// Every combination of two conditions, with a divisor that is 0 where `fails` returns true.
    fn rows(fails: impl Fn(Option<bool>, Option<bool>) -> bool) -> RecordBatch {
        let pairs = || TRUTHS.iter().flat_map(|a| TRUTHS.iter().map(|b| (*a, *b)));
        let a: BooleanArray = pairs().map(|(a, _)| a).collect();
        let b: BooleanArray = pairs().map(|(_, b)| b).collect();
        let divisors: Int64Array = pairs()
            .map(|(a, b)| Some(i64::from(!fails(a, b))))
            .collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("a", Arc::new(a)),
            ("b", Arc::new(b)),
            ("divisor", Arc::new(divisors)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// Joins `a`, `b` and `1 / divisor = 1` with the operator `name`.
    fn joined(name: &str, rows: &RecordBatch) -> Result<BooleanArray> {
        let state = rollup_session();
        let schema = DFSchema::try_from(rows.schema())?;
        let conditions = vec![
            col("a"),
            col("b"),
            (lit(1_i64) / col("divisor")).eq(lit(1_i64)),
            // An untyped NULL.
            lit(ScalarValue::Null),
            try_cast(col("b"), DataType::Boolean),
        ];
        let call = state.scalar_functions()[name].call(conditions);
        let planned: Arc<dyn PhysicalExpr> =
            state.create_physical_expr(plan(call, &schema, &state)?.data, &schema)?;
        let result = planned.evaluate(rows)?.into_array(rows.num_rows())?;
        Ok(result.as_boolean().clone())
    }

    #[test]
    fn a_condition_is_computed_only_where_those_before_it_leave_it_open() {
        let rows_of_and = rows(|a, b| a == Some(false) || b == Some(false));
        let a = rows_of_and.column(0).as_boolean().clone();
        let b = rows_of_and.column(1).as_boolean().clone();
        let unknown = BooleanArray::from(vec![None; a.len()]);
        let expected = and_kleene(&and_kleene(&a, &b).unwrap(), &unknown).unwrap();
        assert_eq!(joined(ALL_OF, &rows_of_and).unwrap(), expected);
        let rows_of_or = rows(|a, b| a == Some(true) || b == Some(true));
        let divided = BooleanArray::from(vec![true; a.len()]);
        let expected = or_kleene(&or_kleene(&a, &b).unwrap(), &divided).unwrap();
        assert_eq!(joined(ANY_OF, &rows_of_or).unwrap(), expected);
    }

    #[test]
    fn conditions_may_know_no_null() {
        let rows = rows(|_, _| false).slice(0, 2);
        let known = rows.column(0).null_count() + rows.column(1).null_count();
        assert_eq!(known, 0);
        let state = rollup_session();
        let schema = DFSchema::try_from(rows.schema()).unwrap();
        for (name, expected) in [(ALL_OF, [true, false]), (ANY_OF, [true, true])] {
            let call = state.scalar_functions()[name].call(vec![col("a"), col("b")]);
            let planned = plan(call, &schema, &state).unwrap().data;
            let planned = state.create_physical_expr(planned, &schema).unwrap();
            let result = planned.evaluate(&rows).unwrap().into_array(2).unwrap();
            assert_eq!(result.as_boolean(), &BooleanArray::from(expected.to_vec()));
        }
    }

    #[test]
    fn a_condition_is_computed_where_those_before_it_are_null() {
        for (name, other) in [(ALL_OF, Some(true)), (ANY_OF, Some(false))] {
            for fails in [(None, None), (None, other), (other, None), (other, other)] {
                assert!(joined(name, &rows(|a, b| (a, b) == fails)).is_err());
            }
        }
    }
}
