//! Which chart fits the columns of a result.

use anyhow::{Result, bail};
use arrow::datatypes::{DataType, Schema};

use super::CHARTS_MAX;
use crate::engine::functions::cast::trino_name;
use crate::terminal::escaped;

/// A chart, and the columns that it shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Lines over a time.
    Lines(Columns),
    /// A bar for each row.
    Bars(Columns),
}

/// The places of columns in a row.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// The first column with times.
    pub(super) time: Option<usize>,
    /// Columns whose values name a line or a bar.
    pub(super) keys: Vec<usize>,
    /// Columns with numbers: each is a chart.
    pub(super) numbers: Vec<usize>,
    /// The names of columns that are not shown.
    pub(super) left_out: Vec<String>,
}

impl Shape {
    pub(super) fn of(schema: &Schema) -> Result<Self> {
        let mut columns = Columns::default();
        let Columns {
            time,
            keys,
            numbers,
            left_out,
        } = &mut columns;
        for (place, field) in schema.fields().iter().enumerate() {
            match field.data_type() {
                DataType::Timestamp(..) | DataType::Date32 if time.is_none() => *time = Some(place),
                data_type if data_type.is_numeric() => numbers.push(place),
                data_type if is_key(data_type) => keys.push(place),
                _ => left_out.push(field.name().clone()),
            }
        }
        // Such as an hour of the day, or a status code.
        if time.is_none() && keys.is_empty() && numbers.len() > 1 {
            keys.push(numbers.remove(0));
        }
        if numbers.is_empty() || (time.is_none() && keys.is_empty()) {
            bail!("{}", cannot_draw(schema));
        }
        let more = numbers.split_off(numbers.len().min(CHARTS_MAX));
        left_out.extend(more.iter().map(|place| schema.field(*place).name().clone()));
        Ok(match columns.time {
            Some(_) => Self::Lines(columns),
            None => Self::Bars(columns),
        })
    }
}

fn is_key(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_key(values),
        DataType::Boolean => true,
        data_type => data_type.is_string(),
    }
}

fn cannot_draw(schema: &Schema) -> String {
    let columns = schema.fields().iter();
    let columns = columns.map(|field| {
        let (name, data_type) = (escaped(field.name()), trino_name(field.data_type()));
        format!("{name} ({data_type})")
    });
    format!(
        "this result cannot be drawn: {}. A chart needs a column with numbers, and beside it a time, for lines, or a text, for bars. \
         For example: SELECT date_trunc('hour', t) AS hour, count(*) …, or SELECT page, count(*) …",
        columns.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn shape(types: &[DataType]) -> Result<Shape> {
        let fields = types.iter().enumerate();
        let fields = fields.map(|(n, of)| Field::new(format!("c{n}"), of.clone(), true));
        Shape::of(&Schema::new(fields.collect::<Vec<_>>()))
    }

    fn columns(time: Option<usize>, keys: &[usize], numbers: &[usize]) -> Columns {
        Columns {
            time,
            keys: keys.to_vec(),
            numbers: numbers.to_vec(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn a_chart_follows_from_the_types() {
        use DataType::{Binary, Boolean, Date32, Decimal128, Float64, Int32, Int64, Utf8};
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let drawn = |types: &[DataType]| shape(types).unwrap();
        assert_eq!(
            drawn(&[Utf8, time.clone(), Int64, Float64]),
            Shape::Lines(columns(Some(1), &[0], &[2, 3]))
        );
        assert_eq!(
            drawn(&[Date32, Decimal128(38, 0)]),
            Shape::Lines(columns(Some(0), &[], &[1]))
        );
        assert_eq!(
            drawn(&[Int64, Utf8, Boolean]),
            Shape::Bars(columns(None, &[1, 2], &[0]))
        );
        assert_eq!(
            drawn(&[Int32, Int64]),
            Shape::Bars(columns(None, &[0], &[1]))
        );
        let Shape::Lines(more) = drawn(&[time.clone(), Int64, Binary, time.clone()]) else {
            panic!("a time and a number are a line");
        };
        assert_eq!(more.left_out, ["c2", "c3"]);
        let Shape::Bars(many) = drawn(&[vec![Utf8], vec![Int64; 8]].concat()) else {
            panic!("a text and numbers are bars");
        };
        assert_eq!((many.numbers.len(), many.left_out.len()), (6, 2));
    }

    #[test]
    fn other_shapes_are_named() {
        for types in [
            &[DataType::Int64][..],
            &[DataType::Utf8],
            &[DataType::Date32, DataType::Utf8],
            &[],
        ] {
            let error = shape(types).unwrap_err().to_string();
            assert!(error.contains("A chart needs"), "{error}");
        }
        let error = shape(&[DataType::Date32, DataType::Binary]).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("c0 (date), c1 (varbinary)"), "{error}");
    }
}
