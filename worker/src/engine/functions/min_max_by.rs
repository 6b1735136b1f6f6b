//! `min_by(x, y)` and `max_by(x, y)`: the value of `x` in the row with the least or the greatest `y`.
//!
//! Trino returns the `x` of any of the rows with that `y`. Here it is the least `x` of them, so that the result does not depend on the
//! order of rows. Rows whose `y` is NULL do not count.

use std::cmp::Ordering;
use std::fmt::{self, Debug};
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

pub(super) fn aggregate_functions() -> [Arc<AggregateUDF>; 2] {
    [("min_by", false), ("max_by", true)].map(|(name, is_greatest)| {
        Arc::new(AggregateUDF::new_from_impl(ExtremeBy {
            name,
            is_greatest,
            signature: Signature::any(2, Volatility::Immutable),
        }))
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExtremeBy {
    name: &'static str,
    is_greatest: bool,
    signature: Signature,
}

impl ExtremeBy {
    fn groups(&self, args: &AccumulatorArgs) -> Result<Extremes> {
        let types = args.expr_fields.iter().map(|field| field.data_type());
        let types: Vec<DataType> = types.cloned().collect();
        Extremes::new(self.is_greatest, &types)
    }
}

impl AggregateUDFImpl for ExtremeBy {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [value, _] => Ok(value.clone()),
            _ => plan_err!("{}(x, y) takes two arguments", self.name),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let fields = args.input_fields.iter().zip(["value", "by"]);
        let fields = fields.map(|(field, part)| {
            let name = format!("{}[{part}]", args.name);
            Arc::new(Field::new(name, field.data_type().clone(), true))
        });
        Ok(fields.collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneExtreme(self.groups(&args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)?))
    }
}

/// The best row of each group, as (y, x) in bytes that compare as the row does.
struct Extremes {
    converter: RowConverter,
    /// The types of x and y.
    types: [DataType; 2],
    best: Vec<Option<OwnedRow>>,
    heap_bytes: usize,
}

impl Debug for Extremes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Extremes")
    }
}

impl Extremes {
    fn new(is_greatest: bool, types: &[DataType]) -> Result<Self> {
        let [value, by] = types else {
            return plan_err!("min_by and max_by take two arguments");
        };
        let options = |descending| SortOptions {
            descending,
            nulls_first: false,
        };
        // The best row is the first.
        let fields = vec![
            SortField::new_with_options(by.clone(), options(is_greatest)),
            SortField::new_with_options(value.clone(), options(false)),
        ];
        Ok(Self {
            converter: RowConverter::new(fields)?,
            types: [value.clone(), by.clone()],
            best: Vec::new(),
            heap_bytes: 0,
        })
    }

    fn add(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let by = &values[1];
        let rows = self
            .converter
            .convert_columns(&[Arc::clone(by), Arc::clone(&values[0])])?;
        let counts = |row: usize| {
            by.is_valid(row)
                && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
        };
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| counts(*row)) {
            let row = rows.row(row);
            let best = &mut self.best[*group];
            let before = match best {
                Some(best) if best.row().cmp(&row) != Ordering::Greater => continue,
                Some(best) => best.row().data().len(),
                None => 0,
            };
            self.heap_bytes = (self.heap_bytes + row.data().len()).saturating_sub(before);
            *best = Some(row.owned());
        }
        Ok(())
    }

    /// The columns x and y of these groups.
    fn emit(&mut self, emit_to: EmitTo) -> Result<[ArrayRef; 2]> {
        let best = emit_to.take_needed(&mut self.best);
        let freed: usize = best
            .iter()
            .flatten()
            .map(|row| row.row().data().len())
            .sum();
        self.heap_bytes = self.heap_bytes.saturating_sub(freed);
        // A group without rows is NULL in both columns.
        let nulls = self
            .types
            .clone()
            .map(|data_type| new_null_array(&data_type, 1));
        let [value, by] = &nulls;
        let none = self
            .converter
            .convert_columns(&[Arc::clone(by), Arc::clone(value)])?;
        let rows = best.iter().map(|row| match row {
            Some(row) => row.row(),
            None => none.row(0),
        });
        let columns = self.converter.convert_rows(rows)?;
        match <[ArrayRef; 2]>::try_from(columns) {
            Ok([by, value]) => Ok([value, by]),
            Err(_) => plan_err!("min_by and max_by keep two columns"),
        }
    }
}

impl GroupsAccumulator for Extremes {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.best.resize(total_groups, None);
        self.add(values, group_indices, filter)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, total_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let [value, _] = self.emit(emit_to)?;
        Ok(value)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.emit(emit_to)?.into())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let Some(filter) = filter else {
            return Ok(values.to_vec());
        };
        let counts = arrow::compute::prep_null_mask_filter(filter);
        let without = arrow::compute::not(&counts)?;
        let kept = values
            .iter()
            .map(|values| arrow::compute::nullif(values, &without));
        Ok(kept.collect::<std::result::Result<_, _>>()?)
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<Option<OwnedRow>>()
            + self.heap_bytes
            + self.converter.size()
    }
}

/// The best of all rows.
#[derive(Debug)]
struct OneExtreme(Extremes);

impl Accumulator for OneExtreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0
            .update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.best.resize(1, None);
        let best = self.0.best.clone();
        let value = self.0.evaluate(EmitTo::All)?;
        self.0.best = best;
        ScalarValue::try_from_array(&value, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.best.resize(1, None);
        let columns = self.0.emit(EmitTo::All)?;
        let states = columns
            .iter()
            .map(|column| ScalarValue::try_from_array(column, 0));
        states.collect()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn best(is_greatest: bool, parts: &[&[(Option<&str>, Option<f64>)]]) -> ScalarValue {
        let new = || {
            let types = [DataType::Utf8, DataType::Float64];
            OneExtreme(Extremes::new(is_greatest, &types).unwrap())
        };
        let mut whole = new();
        for part in parts {
            let values: StringArray = part.iter().map(|(value, _)| *value).collect();
            let by: Float64Array = part.iter().map(|(_, by)| *by).collect();
            let mut one = new();
            one.update_batch(&[Arc::new(values), Arc::new(by)]).unwrap();
            let state = one.state().unwrap();
            let state: Vec<ArrayRef> = state.iter().map(|s| s.to_array().unwrap()).collect();
            whole.merge_batch(&state).unwrap();
        }
        let found = whole.evaluate().unwrap();
        assert_eq!(whole.evaluate().unwrap(), found);
        found
    }

    #[test]
    fn the_order_of_rows_does_not_matter() {
        let rows = [
            (Some("b"), Some(2.0)),
            (Some("a"), Some(2.0)),
            (Some("c"), Some(1.0)),
            (None, Some(1.0)),
            (Some("z"), None),
        ];
        let [first, second, third, fourth, fifth] = rows;
        for parts in [
            [&rows[..], &[]],
            [&[second, fifth], &[first, third, fourth]],
            [&[fourth, third], &[fifth, first, second]],
        ] {
            assert_eq!(best(true, &parts), ScalarValue::from("a"));
            assert_eq!(best(false, &parts), ScalarValue::from("c"));
        }
        assert_eq!(best(true, &[&[fifth]]), ScalarValue::Utf8(None));
        assert_eq!(best(false, &[&[fourth]]), ScalarValue::Utf8(None));
    }

    #[test]
    fn each_group_has_its_own_best_row() {
        let types = [DataType::Utf8, DataType::Float64];
        let mut groups = Extremes::new(true, &types).unwrap();
        let values: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d"]));
        let by: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 5.0, 3.0, 9.0]));
        let kept = BooleanArray::from(vec![true, true, true, false]);
        groups
            .update_batch(&[values, by], &[0, 1, 0, 2], Some(&kept), 3)
            .unwrap();
        assert!(groups.size() > 0);
        let found = groups.evaluate(EmitTo::First(2)).unwrap();
        let expected: ArrayRef = Arc::new(StringArray::from(vec!["c", "b"]));
        assert_eq!(&found, &expected);
        assert!(groups.evaluate(EmitTo::All).unwrap().is_null(0));
        assert_eq!(groups.heap_bytes, 0);
    }
}
