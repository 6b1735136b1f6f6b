//! `sum` as in Trino: a sum of bigints that exceeds a bigint is an error. DataFusion's `sum` wraps around.
//!
//! Queries need this. A rollup sums bigints as decimals (`rollup/states.rs`), and bigint sums only merge its counts.

use std::mem::size_of_val;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions_aggregate::sum;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use super::adapted::{Accumulators, adapted};

pub(super) fn sum_udaf() -> Arc<AggregateUDF> {
    adapted(sum::sum_udaf(), CheckedBigints)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedBigints;

impl CheckedBigints {
    fn is_checked(args: &AccumulatorArgs) -> bool {
        args.return_field.data_type() == &DataType::Int64 && !args.is_distinct
    }
}

impl Accumulators for CheckedBigints {
    fn one(&self, args: &AccumulatorArgs) -> Option<Box<dyn Accumulator>> {
        Self::is_checked(args).then(|| Box::new(BigintSum::new(args.name)) as _)
    }

    fn groups(&self, args: &AccumulatorArgs) -> Option<Box<dyn GroupsAccumulator>> {
        Self::is_checked(args).then(|| Box::new(bigint_sums(args.name)) as _)
    }
}

fn overflow<T>(name: &str) -> Result<T> {
    exec_err!("bigint addition overflow in {name}")
}

/// One sum over all rows. Intermediate sums may exceed a bigint.
#[derive(Debug)]
struct BigintSum {
    name: String,
    sum: Option<i128>,
}

impl BigintSum {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            sum: None,
        }
    }
}

impl Accumulator for BigintSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Int64Type>().iter().flatten() {
            *self.sum.get_or_insert_default() += i128::from(value);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.sum.map(i64::try_from).transpose() {
            Ok(sum) => Ok(ScalarValue::Int64(sum)),
            Err(_) => overflow(&self.name),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.name.capacity()
    }
}

/// The sum of each group. The function that adds a row can't return an error, so it sets `overflowed`.
struct BigintSums<F: Fn(&mut i64, i64) + Send + Sync + 'static> {
    sums: PrimitiveGroupsAccumulator<Int64Type, F>,
    overflowed: Arc<AtomicBool>,
    name: String,
}

fn bigint_sums(name: &str) -> BigintSums<impl Fn(&mut i64, i64) + Send + Sync + 'static> {
    let overflowed = Arc::new(AtomicBool::new(false));
    let word = Arc::clone(&overflowed);
    let add = move |sum: &mut i64, value: i64| {
        let (total, is_over) = sum.overflowing_add(value);
        *sum = total;
        if is_over {
            word.store(true, Ordering::Relaxed);
        }
    };
    BigintSums {
        sums: PrimitiveGroupsAccumulator::new(&DataType::Int64, add),
        overflowed,
        name: name.to_owned(),
    }
}

impl<F: Fn(&mut i64, i64) + Send + Sync + 'static> GroupsAccumulator for BigintSums<F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.sums
            .update_batch(values, groups, filter, group_count)?;
        match self.overflowed.load(Ordering::Relaxed) {
            true => overflow(&self.name),
            false => Ok(()),
        }
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        group_count: usize,
    ) -> Result<()> {
        self.update_batch(values, groups, None, group_count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.sums.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.sums.state(emit_to)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.sums.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.sums.size()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    const LARGEST: i64 = i64::MAX;

    fn values(values: impl IntoIterator<Item = Option<i64>>) -> Vec<ArrayRef> {
        vec![Arc::new(values.into_iter().collect::<Int64Array>())]
    }

    #[test]
    fn each_group_has_its_own_range() {
        let mut sums = bigint_sums("sum(n)");
        let rows = values([Some(LARGEST), Some(1), None, Some(-LARGEST), None]);
        sums.update_batch(&rows, &[0, 1, 1, 2, 3], None, 4).unwrap();
        let kept = BooleanArray::from(vec![true, false]);
        let rows = values([Some(-1), Some(LARGEST)]);
        sums.update_batch(&rows, &[2, 0], Some(&kept), 4).unwrap();
        let found = sums.evaluate(EmitTo::All).unwrap();
        let expected = values([Some(LARGEST), Some(1), Some(i64::MIN), None]);
        assert_eq!(&found, &expected[0]);
    }

    #[test]
    fn a_sum_out_of_range_is_an_error() {
        for (first, second) in [(LARGEST, 1), (i64::MIN, -1)] {
            let mut sums = bigint_sums("sum(n)");
            sums.update_batch(&values([Some(first)]), &[0], None, 1)
                .unwrap();
            let error = sums.merge_batch(&values([Some(second)]), &[0], 1);
            assert!(error.unwrap_err().to_string().contains("overflow"));

            let mut sum = BigintSum::new("sum(n)");
            sum.update_batch(&values([Some(first), None, Some(second)]))
                .unwrap();
            assert!(sum.evaluate().is_err());
            sum.update_batch(&values([Some(-second)])).unwrap();
            assert_eq!(sum.evaluate().unwrap(), ScalarValue::Int64(Some(first)));
        }
        let nothing = BigintSum::new("sum(n)").evaluate().unwrap();
        assert_eq!(nothing, ScalarValue::Int64(None));
    }
}
