//! `UNNEST` of a line's own arrays: one row for each element.

use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, ListArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::Unnest;

use crate::engine::functions::unnest::length;

/// The number of rows that a line may make, and that are made at once. A visitor decides how long an array is, and two arrays make the
/// product of their lengths.
const ROWS_MAX: usize = 10_000;

/// The text of lines that these rows may have together, in bytes. Expressions over the rows, such as another array, take a multiple of it.
const TEXT_MAX: usize = 4 << 20;

/// Makes a row for each element of arrays.
#[derive(Debug)]
pub(super) struct Repeat {
    /// For each column of the result, that of the input, and whether its elements are wanted.
    columns: Vec<(usize, bool)>,
    pub(super) schema: SchemaRef,
}

impl Repeat {
    /// The step for a node of the plan.
    pub(super) fn new(unnest: &Unnest) -> Result<Self> {
        if !unnest.struct_type_columns.is_empty() {
            return internal_err!("only arrays make rows");
        }
        let is_array = |column: &usize| {
            unnest
                .list_type_columns
                .iter()
                .any(|(list, _)| list == column)
        };
        let columns = unnest.dependency_indices.iter();
        Ok(Self {
            columns: columns.map(|column| (*column, is_array(column))).collect(),
            schema: Arc::clone(unnest.schema.inner()),
        })
    }

    /// The rows of these lines. The last `carried` columns follow those of the result.
    ///
    /// # Errors
    ///
    /// The lines make too many rows.
    pub(super) fn rows(&self, lines: &RecordBatch, carried: usize) -> Result<RecordBatch> {
        let arrays = self.columns.iter().filter(|(_, is_array)| *is_array);
        let arrays = arrays.map(|(column, _)| lines.column(*column).as_list_opt::<i32>());
        let Some(arrays) = arrays.collect::<Option<Vec<&ListArray>>>() else {
            return internal_err!("UNNEST has an argument that is no array");
        };
        let longest = |row| arrays.iter().map(|array| length(array, row)).max();
        let lengths = (0..lines.num_rows()).map(|row| longest(row).unwrap_or_default());
        let lengths: Vec<usize> = lengths.collect();
        let count: usize = lengths.iter().sum();
        let text_bytes: usize = match lines
            .columns()
            .last()
            .and_then(|column| column.as_string_view_opt())
        {
            Some(texts) if carried > 0 => {
                let sizes = texts.iter().map(|text| text.map_or(0, str::len));
                sizes
                    .zip(&lengths)
                    .map(|(size, length)| size * length)
                    .sum()
            }
            _ => 0,
        };
        if count > ROWS_MAX || text_bytes > TEXT_MAX {
            return exec_err!(
                "UNNEST makes more than {ROWS_MAX} rows of the line, or rows with more than {} MB of its text",
                TEXT_MAX >> 20
            );
        }
        let repeated = (0..)
            .zip(&lengths)
            .flat_map(|(row, &length)| std::iter::repeat_n(row, length));
        let repeated: UInt32Array = repeated.collect();
        let own = lines.num_columns() - carried;
        let mut columns = Vec::with_capacity(self.columns.len() + carried);
        for &(column, is_array) in &self.columns {
            columns.push(match is_array {
                true => elements(lines.column(column).as_list(), &lengths)?,
                false => take(lines.column(column), &repeated, None)?,
            });
        }
        for column in &lines.columns()[own..] {
            columns.push(take(column, &repeated, None)?);
        }
        // An expression's nullability may differ from its plan's.
        let fields = self.schema.fields().iter();
        let fields = fields.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let carried = lines.schema_ref().fields()[own..].iter().cloned();
        let schema = Schema::new(fields.chain(carried).collect::<Vec<Arc<Field>>>());
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(
            schema.into(),
            columns,
            &options,
        )?)
    }
}

/// The elements of arrays, followed by NULL up to the given lengths.
fn elements(arrays: &ListArray, lengths: &[usize]) -> Result<arrow::array::ArrayRef> {
    let mut places: Vec<Option<i32>> = Vec::with_capacity(lengths.iter().sum());
    for (row, &wanted) in lengths.iter().enumerate() {
        let own = length(arrays, row);
        places.extend((arrays.value_offsets()[row]..).take(own).map(Some));
        places.extend(std::iter::repeat_n(None, wanted - own));
    }
    Ok(take(arrays.values(), &Int32Array::from(places), None)?)
}
