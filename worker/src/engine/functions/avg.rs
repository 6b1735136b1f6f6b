//! `avg` as in Trino: that of decimals is a decimal of the same type, rounded half up. DataFusion's has four more digits, and is truncated.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature,
};

/// Digits of the sum.
const SUM_DIGITS: u8 = 38;

pub(super) fn trino_avg() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Avg { usual: avg_udaf() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Avg {
    usual: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Avg {
    fn name(&self) -> &str {
        self.usual.name()
    }

    fn aliases(&self) -> &[String] {
        self.usual.aliases()
    }

    fn signature(&self) -> &Signature {
        self.usual.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.usual.coerce_types(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [decimal @ DataType::Decimal128(..)] => Ok(decimal.clone()),
            _ => self.usual.return_type(arguments),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match args.return_type() {
            DataType::Decimal128(_, scale) => Ok(vec![
                Arc::new(Field::new(
                    "sum",
                    DataType::Decimal128(SUM_DIGITS, *scale),
                    true,
                )),
                Arc::new(Field::new("count", DataType::UInt64, true)),
            ]),
            _ => self.usual.inner().state_fields(args),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.return_type() {
            DataType::Decimal128(..) if args.is_distinct => plan_err!(
                "avg(DISTINCT x) of decimals is not supported; select the distinct values in a subquery"
            ),
            DataType::Decimal128(precision, scale) => Ok(Box::new(DecimalAvg {
                precision: *precision,
                scale: *scale,
                sum: 0,
                count: 0,
            })),
            _ => self.usual.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        let is_decimal = matches!(args.return_type(), DataType::Decimal128(..));
        !is_decimal && self.usual.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.usual.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.return_type() {
            DataType::Decimal128(..) => self.accumulator(args),
            _ => self.usual.create_sliding_accumulator(args),
        }
    }
}

/// The average of decimals.
#[derive(Debug)]
struct DecimalAvg {
    precision: u8,
    scale: i8,
    sum: i128,
    count: u64,
}

impl DecimalAvg {
    fn add(&mut self, value: i128) -> Result<()> {
        match self.sum.checked_add(value) {
            Some(sum) => self.sum = sum,
            None => return exec_err!("the sum of decimals in avg exceeds {SUM_DIGITS} digits"),
        }
        Ok(())
    }
}

impl Accumulator for DecimalAvg {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Decimal128Type>();
        self.count += (values.len() - values.null_count()) as u64;
        values
            .iter()
            .flatten()
            .try_for_each(|value| self.add(value))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Decimal128Type>();
        self.count -= (values.len() - values.null_count()) as u64;
        values
            .iter()
            .flatten()
            .try_for_each(|value| self.add(-value))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[1].as_primitive::<UInt64Type>();
        self.count += counts.iter().flatten().sum::<u64>();
        let sums = states[0].as_primitive::<Decimal128Type>();
        sums.iter().flatten().try_for_each(|sum| self.add(sum))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Decimal128(Some(self.sum), SUM_DIGITS, self.scale),
            ScalarValue::UInt64(Some(self.count)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let average = (self.count > 0).then(|| divided(self.sum, i128::from(self.count)));
        Ok(ScalarValue::Decimal128(average, self.precision, self.scale))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The quotient, rounded half away from zero.
fn divided(sum: i128, count: i128) -> i128 {
    let (quotient, rest) = (sum / count, sum % count);
    match rest.abs() >= count - rest.abs() {
        true => quotient + sum.signum(),
        false => quotient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for (sum, count, average) in [
            (3, 2, 2),
            (-3, 2, -2),
            (4, 3, 1),
            (5, 3, 2),
            (-5, 3, -2),
            (0, 7, 0),
            (6, 3, 2),
        ] {
            assert_eq!(divided(sum, count), average, "{sum} / {count}");
        }
    }
}
