//! `min` and `max` of floating-point numbers as in Trino: NaN counts only if there are no other values, and -0.0 is less
//! than 0.0. In DataFusion, the first or the last of two such values wins, so the result depends on the order of lines.
//! Its minimum of only infinities is the largest finite number.

use std::fmt::Debug;
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use super::adapted::{Accumulators, adapted};

pub(super) fn min_max_udafs() -> [Arc<AggregateUDF>; 2] {
    [
        adapted(min_udaf(), Extreme::Least),
        adapted(max_udaf(), Extreme::Greatest),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Extreme {
    Least,
    Greatest,
}

impl Accumulators for Extreme {
    fn one(&self, args: &AccumulatorArgs) -> Option<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Float32 => Some(Box::new(One::<Float32Type>::new(*self))),
            DataType::Float64 => Some(Box::new(One::<Float64Type>::new(*self))),
            _ => None,
        }
    }

    fn groups(&self, args: &AccumulatorArgs) -> Option<Box<dyn GroupsAccumulator>> {
        match args.return_field.data_type() {
            DataType::Float32 => Some(groups::<Float32Type>(*self)),
            DataType::Float64 => Some(groups::<Float64Type>(*self)),
            _ => None,
        }
    }
}

/// A floating-point number.
trait Float: ArrowPrimitiveType + Debug {
    const NAN: Self::Native;

    /// Whether `value` takes the place of `extreme`.
    fn replaces(which: Extreme, value: Self::Native, extreme: Self::Native) -> bool;
}

macro_rules! float {
    ($type:ty, $native:ty) => {
        impl Float for $type {
            const NAN: $native = <$native>::NAN;

            fn replaces(which: Extreme, value: $native, extreme: $native) -> bool {
                let order = value.total_cmp(&extreme);
                let is_beyond = match which {
                    Extreme::Least => order.is_lt(),
                    Extreme::Greatest => order.is_gt(),
                };
                !value.is_nan() && (extreme.is_nan() || is_beyond)
            }
        }
    };
}

float!(Float32Type, f32);
float!(Float64Type, f64);

/// The extreme of each group. Its initial value is NaN, which any other value replaces.
fn groups<T: Float + Send>(which: Extreme) -> Box<dyn GroupsAccumulator> {
    let see = move |extreme: &mut T::Native, value: T::Native| {
        if T::replaces(which, value, *extreme) {
            *extreme = value;
        }
    };
    let extremes = PrimitiveGroupsAccumulator::<T, _>::new(&T::DATA_TYPE, see);
    Box::new(extremes.with_starting_value(T::NAN))
}

/// The extreme of all rows.
#[derive(Debug)]
struct One<T: Float> {
    which: Extreme,
    extreme: Option<T::Native>,
}

impl<T: Float> One<T> {
    fn new(which: Extreme) -> Self {
        Self {
            which,
            extreme: None,
        }
    }
}

impl<T: Float> Accumulator for One<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let extreme = self.extreme.get_or_insert(T::NAN);
            if T::replaces(self.which, value, *extreme) {
                *extreme = value;
            }
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
        ScalarValue::new_primitive::<T>(self.extreme, &T::DATA_TYPE)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float64Array};
    use datafusion::logical_expr::EmitTo;

    use super::*;

    /// The minimum and the maximum of the values, computed both with and without groups.
    fn extremes(values: &[f64]) -> [Option<f64>; 2] {
        [Extreme::Least, Extreme::Greatest].map(|which| {
            let array: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
            let mut groups = groups::<Float64Type>(which);
            let group = vec![0; values.len()];
            groups
                .update_batch(&[Arc::clone(&array)], &group, None, 1)
                .unwrap();
            let found = groups.evaluate(EmitTo::All).unwrap();
            let found = found.as_primitive::<Float64Type>();
            let found = found.is_valid(0).then(|| found.value(0));

            let mut one = One::<Float64Type>::new(which);
            one.update_batch(&[array]).unwrap();
            let ScalarValue::Float64(alone) = one.evaluate().unwrap() else {
                panic!("a double");
            };
            assert_eq!(alone.map(f64::to_bits), found.map(f64::to_bits));
            found
        })
    }

    #[test]
    fn the_order_of_values_does_not_matter() {
        const NAN: f64 = f64::NAN;
        const INF: f64 = f64::INFINITY;
        for (values, least, greatest) in [
            (vec![0.0, -0.0], -0.0, 0.0),
            (vec![NAN, 1.0, 2.0], 1.0, 2.0),
            (vec![NAN, -NAN], NAN, NAN),
            (vec![INF], INF, INF),
            (vec![-INF, NAN], -INF, -INF),
            (vec![INF, 1e308, -INF], -INF, INF),
        ] {
            let mut values = values;
            for _ in 0..values.len() {
                values.rotate_left(1);
                for (found, expected) in extremes(&values).into_iter().zip([least, greatest]) {
                    let found = found.unwrap();
                    let is_right = found.to_bits() == expected.to_bits()
                        || found.is_nan() && expected.is_nan();
                    assert!(is_right, "{found:?} of {values:?}");
                }
            }
        }
        let of_no_rows = One::<Float64Type>::new(Extreme::Least).evaluate();
        assert!(of_no_rows.unwrap().is_null());
    }
}
