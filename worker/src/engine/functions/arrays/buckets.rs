//! `width_bucket`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, exec_datafusion_err};
use logmill_trino::width_bucket::{bucket_of_bins, bucket_of_equal_widths};

use super::Parameter::{Bigint, Double, Numbers};
use super::{Arguments, ArrayFunction};

pub(super) fn functions() -> Vec<ArrayFunction> {
    vec![ArrayFunction::new(
        "width_bucket",
        &[&[Double, Numbers], &[Double, Double, Double, Bigint]],
        |_| DataType::Int64,
        |args| match args.len() {
            2 => of_bins(args),
            _ => of_equal_widths(args),
        },
    )]
}

fn of_equal_widths(args: &Arguments) -> Result<ArrayRef> {
    let numbers = args.numbers::<Float64Type>(0)?;
    let first_bounds = args.numbers::<Float64Type>(1)?;
    let second_bounds = args.numbers::<Float64Type>(2)?;
    let counts = args.bigints(3)?;
    let buckets = (0..args.rows).map(|row| {
        let bounds = first_bounds.at(row).zip(second_bounds.at(row));
        let (Some(number), Some(bounds), Some(count)) = (numbers.at(row), bounds, counts.at(row))
        else {
            return Ok(None);
        };
        let bucket = bucket_of_equal_widths(number, bounds, count);
        bucket
            .map(Some)
            .map_err(|error| exec_datafusion_err!("{error}"))
    });
    Ok(Arc::new(buckets.collect::<Result<Int64Array>>()?))
}

fn of_bins(args: &Arguments) -> Result<ArrayRef> {
    let numbers = args.numbers::<Float64Type>(0)?;
    let lists = args.lists(1)?;
    let bins = cast(&lists.elements, &DataType::Float64)?;
    let bins = without_nulls(bins.as_primitive::<Float64Type>());
    let buckets = (0..args.rows).map(|row| {
        let own = lists.at(row).and_then(|range| bins.get(range));
        let (Some(number), Some(own)) = (numbers.at(row), own) else {
            return Ok(None);
        };
        let bucket = bucket_of_bins(number, own);
        bucket
            .map(Some)
            .map_err(|error| exec_datafusion_err!("{error}"))
    });
    Ok(Arc::new(buckets.collect::<Result<Int64Array>>()?))
}

/// Trino takes a NULL among the bins for 0.
fn without_nulls(bins: &Float64Array) -> Vec<f64> {
    match bins.null_count() {
        0 => bins.values().to_vec(),
        _ => bins.iter().map(Option::unwrap_or_default).collect(),
    }
}
