//! Computes the parts of a rollup that depend on one line alone: its `WHERE`, its group keys, and the arguments of its
//! aggregates.
//!
//! Everything in a log line was typed by an unknown visitor. A line on which one of these computations fails is left out
//! of the rollup, and no other line is. Aggregates get only columns that were computed and checked here, so that no value
//! can fail in them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_empty_array,
};
use arrow::compute::{concat_batches, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError, Result, internal_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::checks::{Check, Times};
use super::repeat::Repeat;
use crate::table::FailedLines;

/// The number of hours or days that a log file may touch in a table whose times visitors write. Each costs the commit a
/// file. With too few, events that are delivered late are lost to the rollup; with too many, one visitor can cause a year
/// to be rewritten.
pub(crate) const VISITOR_SLOTS_MAX: usize = 100;

/// Lines are computed until they have made this many rows, and then grouped. It bounds the memory for a batch of lines with long arrays.
const ROWS_AT_ONCE: usize = 1 << 16;

/// Lines that are computed at once if each may make several rows. Their arrays take many times the memory of their text, and are computed
/// again for each half of lines that make too many rows.
const REPEATED_AT_ONCE: usize = 100;

/// Columns at the end of a batch that identify the line of a row: its number and its text.
const LINE_COLUMNS: usize = 2;

/// A value to compute for each line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Computed {
    pub(super) expr: Expr,
    pub(super) check: Option<Check>,
    /// The index of the computed value that says for which lines the check matters.
    pub(super) only_where: Option<usize>,
}

impl Computed {
    pub(super) fn unchecked(expr: Expr) -> Self {
        Self {
            expr,
            check: None,
            only_where: None,
        }
    }
}

#[derive(Debug)]
enum Step {
    Keep(Arc<dyn PhysicalExpr>),
    Compute {
        values: Vec<Value>,
        schema: SchemaRef,
    },
    /// Makes a row for each element of arrays.
    Repeat(Repeat),
    /// No line matters, as with `WHERE false`.
    Nothing(SchemaRef),
}

#[derive(Debug)]
struct Value {
    expr: Arc<dyn PhysicalExpr>,
    check: Option<Check>,
    only_where: Option<usize>,
}

/// The part of a rollup's plan below its aggregates.
#[derive(Debug)]
pub(crate) struct PerLine {
    steps: Vec<Step>,
    /// The index of the computed time column whose slots are counted.
    visitor_time: Option<usize>,
}

/// State that is kept across the batches of one log file.
#[derive(Debug, Default)]
pub(crate) struct SeenLines {
    pub(crate) failed: FailedLines,
    visitor_slots: HashSet<i64>,
}

impl PerLine {
    /// Creates the steps from an optimized plan over one table, without aggregates.
    pub(super) fn new(plan: &LogicalPlan, state: &SessionState) -> Result<Self> {
        let mut steps = Vec::new();
        add_steps(plan, state, &mut steps)?;
        Ok(Self {
            steps,
            visitor_time: None,
        })
    }

    /// Adds a step that computes these values, one column each. Returns their schema.
    pub(super) fn compute(
        &mut self,
        computed: &[Computed],
        names: &[String],
        input: &DFSchema,
        state: &SessionState,
    ) -> Result<SchemaRef> {
        let mut fields = Vec::with_capacity(computed.len());
        let mut values = Vec::with_capacity(computed.len());
        for (computed, name) in computed.iter().zip(names) {
            let expr = physical(&computed.expr, input, state)?;
            let data_type = expr.data_type(input.as_arrow())?;
            fields.push(Field::new(name, data_type, true));
            values.push(Value {
                expr,
                check: computed.check,
                only_where: computed.only_where,
            });
        }
        let schema = Arc::new(Schema::new(fields));
        self.steps.push(Step::Compute {
            values,
            schema: Arc::clone(&schema),
        });
        Ok(schema)
    }

    /// Bounds the number of slots of this computed column, a time that visitors write.
    pub(super) fn bound_slots(&mut self, time: usize) {
        self.visitor_time = Some(time);
    }

    /// Whether the number of slots that a log file may touch is bounded.
    pub(super) fn bounds_slots(&self) -> bool {
        self.visitor_time.is_some()
    }

    /// Whether a line may make several rows.
    pub(super) fn repeats(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::Repeat(_)))
    }

    /// The rows of the next lines, without lines on which something fails. Takes lines from the end of `waiting` until there are enough
    /// rows, or no more lines. If `with_lines`, the lines end with the columns that identify them.
    pub(crate) fn rows(
        &self,
        waiting: &mut Vec<RecordBatch>,
        with_lines: bool,
        seen: &mut SeenLines,
    ) -> Result<Option<RecordBatch>> {
        let carried = if with_lines { LINE_COLUMNS } else { 0 };
        let mut parts = Vec::with_capacity(1);
        let mut count = 0;
        let at_once = if self.repeats() {
            REPEATED_AT_ONCE
        } else {
            usize::MAX
        };
        while let Some(mut lines) = waiting.pop_if(|_| count < ROWS_AT_ONCE) {
            if lines.num_rows() > at_once {
                waiting.push(lines.slice(at_once, lines.num_rows() - at_once));
                lines = lines.slice(0, at_once);
            }
            match self.compute_all(&lines, carried) {
                Ok(rows) => {
                    count += rows.num_rows();
                    parts.push(rows);
                }
                // Halves the lines until only those that fail are left out.
                Err(error) if is_of_a_line(&error) && lines.num_rows() > 1 => {
                    let half = lines.num_rows() / 2;
                    waiting.push(lines.slice(half, lines.num_rows() - half));
                    waiting.push(lines.slice(0, half));
                }
                Err(error) if is_of_a_line(&error) => {
                    let reason = reason(&error);
                    let failed = &mut seen.failed;
                    (0..lines.num_rows())
                        .for_each(|row| add(failed, &lines, carried, row, &reason));
                }
                Err(error) => return Err(error),
            }
        }
        let mut rows = match parts.len() {
            0 => return Ok(None),
            1 => parts.swap_remove(0),
            _ => concat_batches(&parts[0].schema(), &parts)?,
        };
        if let Some(column) = self.visitor_time {
            rows = within_slots(rows, column, carried, seen)?;
        }
        let kept: Vec<usize> = (0..rows.num_columns() - carried).collect();
        Ok(Some(rows.project(&kept)?))
    }

    fn no_rows(&self, lines: &RecordBatch, carried: usize) -> Result<RecordBatch> {
        let schema = self.steps.iter().rev().find_map(|step| match step {
            Step::Keep(_) => None,
            Step::Compute { schema, .. } | Step::Nothing(schema) => Some(schema),
            Step::Repeat(repeat) => Some(&repeat.schema),
        });
        let none = lines.slice(0, 0);
        match schema {
            None => Ok(none),
            Some(schema) => {
                let fields = schema.fields().iter();
                let columns = fields.map(|field| new_empty_array(field.data_type()));
                with_carried(columns.collect(), schema, &none, carried)
            }
        }
    }

    fn compute_all(&self, lines: &RecordBatch, carried: usize) -> Result<RecordBatch> {
        let mut batch = lines.clone();
        for step in &self.steps {
            batch = match step {
                Step::Keep(predicate) => {
                    let kept = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
                    let kept = as_filter(&kept)?;
                    match kept.true_count() == batch.num_rows() {
                        true => batch,
                        false => filter_record_batch(&batch, &kept)?,
                    }
                }
                Step::Compute { values, schema } => compute(values, schema, &batch, carried)?,
                Step::Repeat(repeat) => repeat.rows(&batch, carried)?,
                Step::Nothing(_) => return self.no_rows(lines, carried),
            };
        }
        Ok(batch)
    }
}

fn physical(expr: &Expr, input: &DFSchema, state: &SessionState) -> Result<Arc<dyn PhysicalExpr>> {
    let context = PhysicalPlanningContext::default();
    create_physical_expr(expr, input, state.execution_props(), &context)
}

fn add_steps(plan: &LogicalPlan, state: &SessionState, steps: &mut Vec<Step>) -> Result<()> {
    let physical = |expr: &Expr, input: &DFSchema| physical(expr, input, state);
    match plan {
        LogicalPlan::TableScan(scan) => {
            if !scan.filters.is_empty() || scan.fetch.is_some() {
                return internal_err!("the scan of lines has a filter or a limit");
            }
            if let Some(projection) = &scan.projection {
                let source = DFSchema::try_from(scan.source.schema())?;
                let columns = projection.iter().map(|&index| {
                    let column = Expr::Column(source.columns()[index].clone());
                    let expr = physical(&column, &source)?;
                    Ok(Value {
                        expr,
                        check: None,
                        only_where: None,
                    })
                });
                steps.push(Step::Compute {
                    values: columns.collect::<Result<_>>()?,
                    schema: Arc::clone(scan.projected_schema.inner()),
                });
            }
        }
        LogicalPlan::SubqueryAlias(alias) => add_steps(&alias.input, state, steps)?,
        LogicalPlan::Filter(filter) => {
            add_steps(&filter.input, state, steps)?;
            steps.push(Step::Keep(physical(
                &filter.predicate,
                filter.input.schema(),
            )?));
        }
        LogicalPlan::Projection(projection) => {
            add_steps(&projection.input, state, steps)?;
            let values = projection.expr.iter().map(|expr| {
                Ok(Value {
                    expr: physical(expr, projection.input.schema())?,
                    check: None,
                    only_where: None,
                })
            });
            steps.push(Step::Compute {
                values: values.collect::<Result<_>>()?,
                schema: Arc::clone(projection.schema.inner()),
            });
        }
        LogicalPlan::Unnest(unnest) => {
            add_steps(&unnest.input, state, steps)?;
            steps.push(Step::Repeat(Repeat::new(unnest)?));
        }
        LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row => {
            steps.push(Step::Nothing(Arc::clone(empty.schema.inner())));
        }
        other => {
            return internal_err!(
                "a plan node between the lines and the groups is not supported: {}",
                other.display()
            );
        }
    }
    Ok(())
}

fn compute(
    values: &[Value],
    schema: &SchemaRef,
    batch: &RecordBatch,
    carried: usize,
) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(values.len() + carried);
    for value in values {
        columns.push(value.expr.evaluate(batch)?.into_array(batch.num_rows())?);
    }
    for (value, column) in values.iter().zip(&columns) {
        if let Some(check) = value.check {
            let matters = value.only_where.map(|index| as_filter(&columns[index]));
            check.check(column, matters.transpose()?.as_ref())?;
        }
    }
    with_carried(columns, schema, batch, carried)
}

/// A batch of these columns, followed by the columns of `batch` that identify the line of each row.
fn with_carried(
    mut columns: Vec<ArrayRef>,
    schema: &SchemaRef,
    batch: &RecordBatch,
    carried: usize,
) -> Result<RecordBatch> {
    let first = batch.num_columns() - carried;
    columns.extend(batch.columns()[first..].iter().cloned());
    // An expression's nullability may differ from its plan's.
    let mut fields: Vec<Arc<Field>> = Vec::with_capacity(columns.len());
    for field in schema.fields() {
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
    }
    fields.extend(batch.schema().fields()[first..].iter().cloned());
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

/// Turns a condition's result into a filter in which NULL counts as false.
fn as_filter(condition: &ArrayRef) -> Result<BooleanArray> {
    let Some(condition) = condition.as_boolean_opt() else {
        return internal_err!(
            "a condition has the type {}, not boolean",
            condition.data_type()
        );
    };
    Ok(match condition.null_count() {
        0 => condition.clone(),
        _ => prep_null_mask_filter(condition),
    })
}

/// Leaves out rows whose time would add a slot beyond `VISITOR_SLOTS_MAX`.
fn within_slots(
    rows: RecordBatch,
    column: usize,
    carried: usize,
    seen: &mut SeenLines,
) -> Result<RecordBatch> {
    let column = rows.column(column);
    let times = Times::of(column)?;
    let mut beyond = Vec::new();
    for row in (0..rows.num_rows()).filter(|&row| column.is_valid(row)) {
        let slot = times.slot(row);
        if seen.visitor_slots.contains(&slot) {
            continue;
        }
        match seen.visitor_slots.len() < VISITOR_SLOTS_MAX {
            true => {
                seen.visitor_slots.insert(slot);
            }
            false => beyond.push(row),
        }
    }
    if beyond.is_empty() {
        return Ok(rows);
    }
    let reason = format!(
        "the time of the line is beyond the limit of {VISITOR_SLOTS_MAX} hours or days that one log file may touch"
    );
    // A line counts as a whole or not at all, however many rows it makes.
    let number = |row| line(&rows, carried, row).map(|(number, _)| number);
    let mut left_out = HashSet::new();
    for row in beyond {
        if left_out.insert(number(row)) {
            add(&mut seen.failed, &rows, carried, row, &reason);
        }
    }
    let kept = (0..rows.num_rows()).map(|row| Some(!left_out.contains(&number(row))));
    Ok(filter_record_batch(&rows, &kept.collect())?)
}

/// The number and the text of the line of a row. `None` if the batch has no columns for them.
fn line(batch: &RecordBatch, carried: usize, row: usize) -> Option<(i64, &str)> {
    match &batch.columns()[batch.num_columns() - carried..] {
        [numbers, texts] => {
            let number = numbers.as_primitive::<Int64Type>().value(row);
            Some((number, texts.as_string_view().value(row)))
        }
        _ => None,
    }
}

fn add(failed: &mut FailedLines, batch: &RecordBatch, carried: usize, row: usize, reason: &str) {
    let (number, text) = line(batch, carried, row).unwrap_or((0, ""));
    failed.add(number, reason, text);
}

/// Whether the error was caused by a line, and not by the machine or the rollup itself.
fn is_of_a_line(error: &DataFusionError) -> bool {
    matches!(
        error.find_root(),
        DataFusionError::Execution(_)
            | DataFusionError::ArrowError(..)
            | DataFusionError::External(_)
            | DataFusionError::Internal(_)
    )
}

/// The text of an error, without the engine's own name for it.
fn reason(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::Execution(message) | DataFusionError::Internal(message) => message.clone(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        error => error.to_string(),
    }
}
