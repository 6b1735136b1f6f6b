//! Trino's `try(expression)`: NULL where computing the expression fails.
//!
//! A function gets its arguments computed, so it is too late for it to catch what went wrong in them.
//! Instead the planner hands the expression itself to [`Try`], whose arguments are only the columns that
//! the expression needs.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, ExprSchema, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;

use super::stand_in::StandIn;

const TRY: &str = "try";

/// Stands for `try` between parsing and [`plan`].
pub(super) fn stand_in() -> StandIn {
    StandIn::new(TRY, 1, None)
}

/// Makes a [`Try`] of a call of `try`; leaves other expressions as they are.
pub(crate) fn plan(
    expr: Expr,
    schema: &DFSchema,
    state: &SessionState,
) -> Result<Transformed<Expr>> {
    let mut arguments = match StandIn::arguments(TRY, expr) {
        Ok(arguments) => arguments,
        Err(other) => return Ok(Transformed::no(other)),
    };
    let attempted = arguments.swap_remove(0);
    let mut columns: Vec<Column> = attempted.column_refs().into_iter().cloned().collect();
    columns.sort();
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
    let attempted = attempted
        .transform(|expr| {
            Ok(match expr {
                Expr::Column(column) => {
                    Transformed::yes(Expr::Column(Column::new_unqualified(column.flat_name())))
                }
                other => Transformed::no(other),
            })
        })?
        .data;
    let attempted =
        state.create_physical_expr(attempted, &DFSchema::try_from(Arc::clone(&input))?)?;
    let function = Try {
        returns: attempted.data_type(&input)?,
        signature: Signature::any(columns.len(), Volatility::Immutable),
        attempted,
        input,
    };
    let function = if columns.is_empty() {
        Try {
            signature: Signature::nullary(Volatility::Immutable),
            ..function
        }
    } else {
        function
    };
    Ok(Transformed::yes(
        ScalarUDF::new_from_impl(function).call(columns.into_iter().map(Expr::Column).collect()),
    ))
}

/// An expression over the columns that are its arguments.
#[derive(Debug)]
struct Try {
    attempted: Arc<dyn PhysicalExpr>,
    input: SchemaRef,
    returns: DataType,
    signature: Signature,
}

impl PartialEq for Try {
    fn eq(&self, other: &Self) -> bool {
        self.attempted.eq(&other.attempted) && self.input == other.input
    }
}

impl Eq for Try {}

impl Hash for Try {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.attempted.hash(state);
    }
}

impl ScalarUDFImpl for Try {
    fn name(&self) -> &str {
        TRY
    }

    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        Ok(format!("try({})", self.attempted))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args
            .args
            .iter()
            .map(|value| value.to_array(args.number_rows))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.input), columns, &options)?;
        Ok(ColumnarValue::Array(self.evaluate(&batch)?))
    }
}

impl Try {
    /// Computes all rows at once, and by halves those among which one fails.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let result = self
            .attempted
            .evaluate(batch)
            .and_then(|value| value.into_array(rows));
        match result {
            Err(DataFusionError::Execution(_) | DataFusionError::ArrowError(..)) if rows <= 1 => {
                Ok(new_null_array(&self.returns, rows))
            }
            Err(DataFusionError::Execution(_) | DataFusionError::ArrowError(..)) => {
                let half = rows / 2;
                let first = self.evaluate(&batch.slice(0, half))?;
                let second = self.evaluate(&batch.slice(half, rows - half))?;
                Ok(concat(&[&*first, &*second])?)
            }
            other => other,
        }
    }
}
