//! Trino's `greatest` and `least`: NULL if any argument is NULL. NaN is the result only if all arguments are NaN.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::cmp::{gt, lt};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and, is_not_null, nullif, or};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::cast::trino_name;

pub(super) fn functions() -> [ScalarUDF; 2] {
    [("greatest", true), ("least", false)].map(|(name, is_greatest)| {
        ScalarUDF::new_from_impl(Extreme {
            name,
            is_greatest,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    name: &'static str,
    is_greatest: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Coerces all arguments to the type in which they are compared.
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let Some((first, others)) = arguments.split_first() else {
            return plan_err!("{}() needs at least one value", self.name);
        };
        let mut coerced = first.clone();
        for other in others {
            coerced = match comparison_coercion(&coerced, other) {
                Some(coerced) => coerced,
                None => {
                    return plan_err!(
                        "{}() cannot compare {} with {}: cast one to the type of the other",
                        self.name,
                        trino_name(&coerced),
                        trino_name(other)
                    );
                }
            };
        }
        Ok(vec![coerced; arguments.len()])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.return_field.data_type() == &DataType::Null {
            return Ok(ColumnarValue::Scalar(ScalarValue::Null));
        }
        let arguments = ColumnarValue::values_to_arrays(&args.args)?;
        let Some((first, others)) = arguments.split_first() else {
            return exec_err!("{}() needs at least one value", self.name);
        };
        let mut extreme = ArrayRef::clone(first);
        let mut all_known = is_not_null(first)?;
        for other in others {
            // A NULL argument compares as NULL; its row becomes NULL below.
            extreme = zip(&self.is_beyond(other, &extreme)?, other, &extreme)?;
            all_known = and(&all_known, &is_not_null(other)?)?;
        }
        let unknown = arrow::compute::not(&all_known)?;
        Ok(ColumnarValue::Array(nullif(&extreme, &unknown)?))
    }
}

impl Extreme {
    /// The rows in which `one` replaces `other` as the extreme.
    fn is_beyond(&self, one: &ArrayRef, other: &ArrayRef) -> Result<BooleanArray> {
        let is_beyond = match self.is_greatest {
            true => gt(one, other)?,
            false => lt(one, other)?,
        };
        // Arrow treats NaN as the greatest number.
        if one.data_type() != &DataType::Float64 {
            return Ok(is_beyond);
        }
        let is_nan = |array: &ArrayRef| {
            BooleanArray::from_unary(array.as_primitive::<Float64Type>(), f64::is_nan)
        };
        let one_is_number = arrow::compute::not(&is_nan(one))?;
        Ok(and(&one_is_number, &or(&is_beyond, &is_nan(other))?)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringViewArray};
    use arrow::datatypes::Field;

    use super::*;

    fn call(index: usize, arguments: Vec<ArrayRef>) -> ArrayRef {
        let rows = arguments[0].len();
        let data_type = arguments[0].data_type().clone();
        let field = Arc::new(Field::new("x", data_type, true));
        let args = ScalarFunctionArgs {
            arg_fields: vec![Arc::clone(&field); arguments.len()],
            args: arguments.into_iter().map(ColumnarValue::Array).collect(),
            number_rows: rows,
            return_field: field,
            config_options: Arc::default(),
        };
        let result = functions()[index].invoke_with_args(args).unwrap();
        result.into_array(rows).unwrap()
    }

    #[test]
    fn one_null_makes_the_result_null() {
        let numbers: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), Some(5), None, Some(4)])),
            Arc::new(Int64Array::from(vec![Some(3), Some(2), Some(9), None])),
            Arc::new(Int64Array::from(vec![Some(2), Some(3), Some(8), Some(7)])),
        ];
        let greatest = call(0, numbers.clone());
        let expected = Int64Array::from(vec![Some(3), Some(5), None, None]);
        assert_eq!(greatest.as_ref(), &expected as &dyn Array);
        let least = call(1, numbers);
        let expected = Int64Array::from(vec![Some(1), Some(2), None, None]);
        assert_eq!(least.as_ref(), &expected as &dyn Array);
    }

    #[test]
    fn a_nan_is_taken_only_where_there_is_nothing_else() {
        let column =
            |values: [f64; 3]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
        let numbers = || {
            vec![
                column([f64::NAN, 1.0, f64::NAN]),
                column([2.0, f64::NAN, f64::NAN]),
                column([1.0, 0.5, f64::NAN]),
            ]
        };
        for (index, first, second) in [(0, 2.0, 1.0), (1, 1.0, 0.5)] {
            let result = call(index, numbers());
            let result = result.as_primitive::<Float64Type>();
            assert_eq!((result.value(0), result.value(1)), (first, second));
            assert!(result.value(2).is_nan());
        }
    }

    #[test]
    fn texts_are_compared_by_their_bytes() {
        let texts =
            |values: [&str; 2]| -> ArrayRef { Arc::new(StringViewArray::from(values.to_vec())) };
        let greatest = call(
            0,
            vec![texts(["b", "Z"]), texts(["a", "ä"]), texts(["", "z"])],
        );
        assert_eq!(&greatest, &texts(["b", "ä"]));
    }
}
