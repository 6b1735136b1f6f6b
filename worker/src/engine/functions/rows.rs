//! Computes a function row by row, from Rust values. A row with a NULL argument is NULL.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, StringViewArray,
};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result, exec_err};

/// A type of arguments.
pub(super) trait Argument {
    type Value<'a>;

    fn values(column: &ArrayRef) -> Result<impl Iterator<Item = Option<Self::Value<'_>>>>;
}

pub(super) struct Text;
pub(super) struct Bytes;
pub(super) struct Bigint;
pub(super) struct Double;

impl Argument for Text {
    type Value<'a> = &'a str;

    fn values(column: &ArrayRef) -> Result<impl Iterator<Item = Option<&str>>> {
        Ok(super::text_values(column)?.iter())
    }
}

impl Argument for Bytes {
    type Value<'a> = &'a [u8];

    fn values(column: &ArrayRef) -> Result<impl Iterator<Item = Option<&[u8]>>> {
        match column.as_binary_opt::<i32>() {
            Some(values) => Ok(values.iter()),
            None => exec_err!("expected varbinary, got {}", column.data_type()),
        }
    }
}

impl Argument for Bigint {
    type Value<'a> = i64;

    fn values(column: &ArrayRef) -> Result<impl Iterator<Item = Option<i64>>> {
        match column.as_primitive_opt::<Int64Type>() {
            Some(values) => Ok(values.iter()),
            None => exec_err!("expected bigint, got {}", column.data_type()),
        }
    }
}

impl Argument for Double {
    type Value<'a> = f64;

    fn values(column: &ArrayRef) -> Result<impl Iterator<Item = Option<f64>>> {
        match column.as_primitive_opt::<Float64Type>() {
            Some(values) => Ok(values.iter()),
            None => exec_err!("expected double, got {}", column.data_type()),
        }
    }
}

/// A type of results.
pub(super) trait Computed: Sized {
    fn column(values: Vec<Option<Self>>) -> ArrayRef;
}

impl Computed for String {
    fn column(values: Vec<Option<Self>>) -> ArrayRef {
        Arc::new(values.into_iter().collect::<StringViewArray>())
    }
}

impl Computed for Vec<u8> {
    fn column(values: Vec<Option<Self>>) -> ArrayRef {
        Arc::new(values.into_iter().collect::<BinaryArray>())
    }
}

impl Computed for i64 {
    fn column(values: Vec<Option<Self>>) -> ArrayRef {
        Arc::new(Int64Array::from(values))
    }
}

impl Computed for f64 {
    fn column(values: Vec<Option<Self>>) -> ArrayRef {
        Arc::new(Float64Array::from(values))
    }
}

impl Computed for bool {
    fn column(values: Vec<Option<Self>>) -> ArrayRef {
        Arc::new(BooleanArray::from(values))
    }
}

/// A result, or the message of an error.
pub(super) type Outcome<R> = std::result::Result<R, String>;

fn settled<R>(outcome: Option<Outcome<R>>) -> Result<Option<R>> {
    outcome.transpose().map_err(DataFusionError::Execution)
}

pub(super) fn one<A: Argument, R: Computed>(
    args: &[ArrayRef],
    compute: impl Fn(A::Value<'_>) -> Outcome<R>,
) -> Result<ArrayRef> {
    let [first] = args else {
        return exec_err!("expected one argument, got {}", args.len());
    };
    let rows = A::values(first)?.map(|value| settled(value.map(&compute)));
    Ok(R::column(rows.collect::<Result<_>>()?))
}

pub(super) fn two<A: Argument, B: Argument, R: Computed>(
    args: &[ArrayRef],
    compute: impl Fn(A::Value<'_>, B::Value<'_>) -> Outcome<R>,
) -> Result<ArrayRef> {
    let [first, second] = args else {
        return exec_err!("expected two arguments, got {}", args.len());
    };
    let rows = A::values(first)?.zip(B::values(second)?);
    let rows = rows.map(|(first, second)| {
        let both = first.zip(second);
        settled(both.map(|(first, second)| compute(first, second)))
    });
    Ok(R::column(rows.collect::<Result<_>>()?))
}

pub(super) fn three<A: Argument, B: Argument, C: Argument, R: Computed>(
    args: &[ArrayRef],
    compute: impl Fn(A::Value<'_>, B::Value<'_>, C::Value<'_>) -> Outcome<R>,
) -> Result<ArrayRef> {
    let [first, second, third] = args else {
        return exec_err!("expected three arguments, got {}", args.len());
    };
    let rows = A::values(first)?
        .zip(B::values(second)?)
        .zip(C::values(third)?);
    let rows = rows.map(|((first, second), third)| {
        let all = first.zip(second).zip(third);
        settled(all.map(|((first, second), third)| compute(first, second, third)))
    });
    Ok(R::column(rows.collect::<Result<_>>()?))
}
