//! Expressions that a function evaluates itself, only when needed and only for the rows that need them.
//!
//! DataFusion computes a function's arguments for all rows. The planner therefore hands such expressions to the function
//! itself, whose arguments are only the columns that the expressions use.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, Signature, Volatility};
use datafusion::physical_expr::PhysicalExpr;

/// The expressions, over the columns that are the function's arguments.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) exprs: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) input: SchemaRef,
}

impl PartialEq for Deferred {
    fn eq(&self, other: &Self) -> bool {
        self.exprs.eq(&other.exprs) && self.input == other.input
    }
}

impl Eq for Deferred {}

impl Hash for Deferred {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.exprs.hash(state);
    }
}

impl Deferred {
    /// Plans the expressions. Also returns the function's arguments.
    pub(super) fn plan(
        exprs: Vec<Expr>,
        schema: &DFSchema,
        state: &SessionState,
    ) -> Result<(Self, Vec<Expr>)> {
        let mut columns: Vec<Column> = exprs.iter().flat_map(Expr::column_refs).cloned().collect();
        columns.sort();
        columns.dedup();
        let fields = columns
            .iter()
            .map(|column| {
                let field = schema.field_from_column(column)?;
                Ok(Field::new(
                    column.flat_name(),
                    field.data_type().clone(),
                    true,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let input = Arc::new(Schema::new(fields));
        let input_schema = DFSchema::try_from(Arc::clone(&input))?;
        let simplify = SimplifyContext::builder()
            .with_schema(Arc::new(input_schema.clone()))
            .with_config_options(Arc::clone(state.config_options()))
            .build();
        let exprs = exprs
            .into_iter()
            .map(|expr| {
                let expr = expr.transform(|expr| {
                    Ok(match expr {
                        Expr::Column(column) => Transformed::yes(Expr::Column(
                            Column::new_unqualified(column.flat_name()),
                        )),
                        other => Transformed::no(other),
                    })
                })?;
                // Some functions, such as coalesce, exist only until they are simplified.
                let expr = expr.data.transform_up(|expr| match expr {
                    Expr::ScalarFunction(ScalarFunction { func, args }) => {
                        Ok(match func.simplify(args, &simplify)? {
                            ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
                            ExprSimplifyResult::Original(args) => {
                                Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))
                            }
                        })
                    }
                    other => Ok(Transformed::no(other)),
                })?;
                state.create_physical_expr(expr.data, &input_schema)
            })
            .collect::<Result<Vec<_>>>()?;
        let arguments = columns.into_iter().map(Expr::Column).collect();
        Ok((Self { exprs, input }, arguments))
    }

    /// The signature of a function with these arguments.
    pub(super) fn signature(&self) -> Signature {
        match self.input.fields().len() {
            0 => Signature::nullary(Volatility::Immutable),
            columns => Signature::any(columns, Volatility::Immutable),
        }
    }

    /// The arguments of a call, as rows for the expressions.
    pub(super) fn rows(&self, args: &ScalarFunctionArgs) -> Result<RecordBatch> {
        let columns = args
            .args
            .iter()
            .map(|value| value.to_array(args.number_rows))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.input),
            columns,
            &options,
        )?)
    }
}
