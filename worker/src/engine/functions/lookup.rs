//! Functions that look values up in files beside the rollups. Rollups write those of a small table as a join.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewBuilder, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::cast::trino_name;
use super::text_values;

/// What the names of these functions begin with. Only a quoted identifier could spell it.
pub(crate) const PREFIX: &str = "lookup ";

/// The rows of a table by their keys.
#[derive(Debug)]
pub(crate) struct Index {
    /// The table and its key columns, such as `countries(code)`.
    name: String,
    keys: Vec<(String, DataType)>,
    converter: RowConverter,
    rows: HashMap<Box<[u8]>, u32>,
}

/// Why there is no index.
#[derive(Debug)]
pub(crate) enum NoIndex {
    /// The indices of two rows with the same key.
    Duplicate(usize, usize),
    /// The type of a key column, which is no text and no integer.
    Type(String, DataType),
    /// An error of Arrow.
    Other(String),
}

impl Index {
    /// An index by the given columns. Rows in which one is NULL are never found.
    ///
    /// # Errors
    ///
    /// If two rows have the same key, or a column is neither a text nor an integer.
    pub(crate) fn new(name: String, columns: &[(String, ArrayRef)]) -> Result<Self, NoIndex> {
        let other = |error: arrow::error::ArrowError| NoIndex::Other(error.to_string());
        let mut keys = Vec::with_capacity(columns.len());
        let mut arrays = Vec::with_capacity(columns.len());
        for (column, values) in columns {
            let Some(key) = key_type(values.data_type()) else {
                return Err(NoIndex::Type(column.clone(), values.data_type().clone()));
            };
            arrays.push(arrow::compute::cast(values, &key).map_err(other)?);
            keys.push((column.clone(), key));
        }
        let fields = keys.iter().map(|(_, key)| SortField::new(key.clone()));
        let converter = RowConverter::new(fields.collect()).map_err(other)?;
        let encoded = converter.convert_columns(&arrays).map_err(other)?;
        let mut rows = HashMap::with_capacity(encoded.num_rows());
        for (number, (place, row)) in (0..).zip(encoded.iter().enumerate()) {
            if arrays.iter().any(|array| array.is_null(place)) {
                continue;
            }
            match rows.entry(Box::from(row.as_ref())) {
                Entry::Vacant(vacant) => vacant.insert(number),
                Entry::Occupied(first) => {
                    return Err(NoIndex::Duplicate(*first.get() as usize, place));
                }
            };
        }
        Ok(Self {
            name,
            keys,
            converter,
            rows,
        })
    }

    /// The row for each key; NULL where there is none.
    fn find(&self, keys: &[ArrayRef]) -> Result<UInt32Array> {
        let encoded = self.converter.convert_columns(keys)?;
        let found = encoded.iter().enumerate().map(|(place, row)| {
            let is_null = keys.iter().any(|key| key.is_null(place));
            let row = self.rows.get(row.as_ref()).filter(|_| !is_null);
            row.copied()
        });
        Ok(found.collect())
    }
}

/// The type in which keys are compared.
fn key_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        text if text.is_string() => Some(DataType::Utf8View),
        integer if integer.is_signed_integer() => Some(DataType::Int64),
        _ => None,
    }
}

/// The function that tells whether there is a row for a key.
pub(crate) fn found(index: &Arc<Index>) -> ScalarUDF {
    of_index(index, format!("{PREFIX}{}", index.name), None)
}

/// The function that returns a column's value in the row for a key; NULL if there is none.
pub(crate) fn column(index: &Arc<Index>, column: &str, values: &ArrayRef) -> ScalarUDF {
    let name = format!("{PREFIX}{}.{column}", index.name);
    of_index(index, name, Some(Arc::clone(values)))
}

fn of_index(index: &Arc<Index>, name: String, values: Option<ArrayRef>) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    let index = Arc::clone(index);
    LookupFunction::udf(name, signature, Keyed { index, values })
}

/// The function that returns a text for a text, or NULL. It is named after the file, and after what it finds there.
pub(super) fn of_texts(
    file: &str,
    found: &str,
    find: impl Fn(&str) -> Result<Option<String>> + Send + Sync + 'static,
) -> ScalarUDF {
    let name = format!("{PREFIX}{file}({found})");
    let signature = Signature::exact(vec![DataType::Utf8View], Volatility::Immutable);
    LookupFunction::udf(name, signature, Texts(find))
}

/// A way to look values up.
trait Find: Send + Sync + 'static {
    /// The types to which arguments of these types are cast.
    fn coerced(&self, arguments: &[DataType]) -> Result<Vec<DataType>>;

    fn returns(&self) -> DataType;

    /// The value for each row of the arguments.
    fn find(&self, arguments: &[ArrayRef]) -> Result<ArrayRef>;
}

/// A function that looks values up.
struct LookupFunction<F> {
    name: String,
    signature: Signature,
    find: F,
}

impl<F: Find> LookupFunction<F> {
    fn udf(name: String, signature: Signature, find: F) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self {
            name,
            signature,
            find,
        })
    }
}

impl<F> fmt::Debug for LookupFunction<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

// A plan has one lookup of a name.
impl<F> PartialEq for LookupFunction<F> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<F> Eq for LookupFunction<F> {}

impl<F> Hash for LookupFunction<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<F: Find> ScalarUDFImpl for LookupFunction<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.find.coerced(arguments)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.find.returns())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = ColumnarValue::values_to_arrays(&args.args)?;
        Ok(ColumnarValue::Array(self.find.find(&arguments)?))
    }
}

/// Finds a row by its key: a column's value, or whether there is a row.
struct Keyed {
    index: Arc<Index>,
    values: Option<ArrayRef>,
}

impl Find for Keyed {
    /// Trino compares a text with a text, and an integer with an integer of any size.
    fn coerced(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        for ((column, key), argument) in self.index.keys.iter().zip(arguments) {
            if argument.is_null() || key_type(argument).as_ref() == Some(key) {
                continue;
            }
            let (key, argument) = (trino_name(key), trino_name(argument));
            let (lookup, _) = self.index.name.split_once('(').unwrap_or_default();
            return plan_err!(
                "{lookup}.{column} has the type {key}, and is compared with a value of the type {argument}: write \
                 try_cast(… AS {key}) around the value"
            );
        }
        Ok(self.index.keys.iter().map(|(_, key)| key.clone()).collect())
    }

    fn returns(&self) -> DataType {
        let values = self.values.as_ref();
        values.map_or(DataType::Boolean, |values| values.data_type().clone())
    }

    fn find(&self, keys: &[ArrayRef]) -> Result<ArrayRef> {
        let Index { name, keys: of, .. } = &*self.index;
        if keys.len() != of.len() {
            return exec_err!("{name} is looked up by {} values", of.len());
        }
        let rows = self.index.find(keys)?;
        let Some(values) = &self.values else {
            let found = rows.iter().map(|row| Some(row.is_some()));
            return Ok(Arc::new(found.collect::<BooleanArray>()));
        };
        let values = take(values, &rows, None)?;
        // Otherwise each batch would seem to hold all texts of the table.
        Ok(match values.as_string_view_opt() {
            Some(texts) => Arc::new(texts.gc()),
            None => values,
        })
    }
}

/// Finds a text by a text.
struct Texts<F>(F);

impl<F> Find for Texts<F>
where
    F: Fn(&str) -> Result<Option<String>> + Send + Sync + 'static,
{
    fn coerced(&self, _: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Utf8View])
    }

    fn returns(&self) -> DataType {
        DataType::Utf8View
    }

    fn find(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let texts = text_values(&arguments[0])?;
        let mut values = StringViewBuilder::with_capacity(texts.len());
        // Log lines repeat addresses and user agents.
        let mut known = HashMap::new();
        for text in texts {
            let value = match text.map(|text| (text, known.entry(text))) {
                None => None,
                Some((_, Entry::Occupied(known))) => Some(known.into_mut()),
                Some((text, Entry::Vacant(new))) => Some(new.insert((self.0)(text)?)),
            };
            values.append_option(value.and_then(|value| value.as_deref()));
        }
        Ok(Arc::new(values.finish()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array, StringViewArray};

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<StringViewArray>())
    }

    #[test]
    fn rows_are_found_by_all_keys_and_null_matches_nothing() {
        let codes = texts(&[Some("DE"), Some("DE"), None, Some("")]);
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
        let columns = [("code".to_owned(), codes), ("n".to_owned(), numbers)];
        let index = Index::new("t(code, n)".to_owned(), &columns).unwrap();
        let keys = [
            texts(&[Some("DE"), Some("DE"), Some("DE"), None, Some("")]),
            Arc::new(Int64Array::from(vec![2, 1, 4, 3, 4])) as ArrayRef,
        ];
        let found: Vec<_> = index.find(&keys).unwrap().iter().collect();
        assert_eq!(found, [Some(1), Some(0), None, None, Some(3)]);
        let duplicate = Index::new("t(code)".to_owned(), &columns[..1]);
        assert!(matches!(duplicate, Err(NoIndex::Duplicate(0, 1))));
    }
}
