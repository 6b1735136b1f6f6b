//! The arguments of a call.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringViewArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int64Type};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::ColumnarValue;

use super::usual_type;

/// The arguments of a call.
pub(super) struct Arguments {
    pub(super) values: Vec<ColumnarValue>,
    pub(super) rows: usize,
}

impl Arguments {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn types(&self) -> Vec<DataType> {
        self.values.iter().map(ColumnarValue::data_type).collect()
    }

    /// An argument, with one row if it is a literal.
    pub(super) fn get(&self, place: usize) -> Result<(ArrayRef, bool)> {
        match self.values.get(place) {
            Some(ColumnarValue::Array(values)) => Ok((Arc::clone(values), false)),
            Some(ColumnarValue::Scalar(value)) => Ok((value.to_array()?, true)),
            None => internal_err!("a function lacks its argument {place}"),
        }
    }

    /// An argument, with all rows.
    pub(super) fn column(&self, place: usize) -> Result<ArrayRef> {
        match self.values.get(place) {
            Some(values) => values.to_array(self.rows),
            None => internal_err!("a function lacks its argument {place}"),
        }
    }

    pub(super) fn texts(&self, place: usize) -> Result<Texts> {
        let (values, is_literal) = self.get(place)?;
        let values = cast(&values, &DataType::Utf8View)?;
        Ok(Texts {
            values: values.as_string_view().clone(),
            is_literal,
        })
    }

    pub(super) fn numbers<T: ArrowPrimitiveType>(&self, place: usize) -> Result<Numbers<T>> {
        let (values, is_literal) = self.get(place)?;
        let values = cast(&values, &T::DATA_TYPE)?;
        Ok(Numbers {
            values: values.as_primitive::<T>().clone(),
            is_literal,
        })
    }

    pub(super) fn bigints(&self, place: usize) -> Result<Numbers<Int64Type>> {
        self.numbers(place)
    }

    pub(super) fn lists(&self, place: usize) -> Result<Lists> {
        let (values, is_literal) = self.get(place)?;
        let Some(lists) = values.as_list_opt::<i32>() else {
            return exec_err!("expected an array, got {}", values.data_type());
        };
        let elements = lists.values();
        let elements = cast(elements, &usual_type(elements.data_type()))?;
        Ok(Lists {
            offsets: lists.offsets().clone(),
            nulls: lists.nulls().cloned(),
            elements,
            is_literal,
        })
    }
}

pub(super) struct Texts {
    pub(super) values: StringViewArray,
    pub(super) is_literal: bool,
}

impl Texts {
    pub(super) fn at(&self, row: usize) -> Option<&str> {
        let row = if self.is_literal { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

pub(super) struct Numbers<T: ArrowPrimitiveType> {
    pub(super) values: PrimitiveArray<T>,
    pub(super) is_literal: bool,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(super) fn at(&self, row: usize) -> Option<T::Native> {
        let row = if self.is_literal { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

/// A column of arrays, or one array that is the same for all rows.
pub(super) struct Lists {
    pub(super) offsets: OffsetBuffer<i32>,
    pub(super) nulls: Option<NullBuffer>,
    /// The elements of all arrays.
    pub(super) elements: ArrayRef,
    pub(super) is_literal: bool,
}

impl Lists {
    /// The places of a row's elements. `None` if the row has no array.
    pub(super) fn at(&self, row: usize) -> Option<Range<usize>> {
        let row = if self.is_literal { 0 } else { row };
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row + 1)?);
        (!is_null).then_some(start as usize..end as usize)
    }
}
