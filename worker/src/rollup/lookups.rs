//! Lookups: files beside the rollups that these may use. CSV and Parquet files are small tables, to be joined with log lines; calls look
//! texts up in the others: databases of addresses, in MaxMind's format, and rules for user agents, in ua-parser's.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, StringViewBuilder};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use bytes::Bytes;
use datafusion::logical_expr::ScalarUDF;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::lookup_calls::LookupCall;
use crate::engine::functions::cast::trino_name;
use crate::engine::functions::geoip::{self, Addresses};
use crate::engine::functions::lookup::{Index, NoIndex};
use crate::engine::functions::user_agent::{self, UserAgents};
use crate::small_files::{self, SmallFile, Unread};
use crate::table::LookupFile;

const CSV: &str = ".csv";
const PARQUET: &str = ".parquet";
const MMDB: &str = ".mmdb";
const YAML: &str = ".yaml";

/// The lookups that rollups may join, by name. A lookup that can't be used has the reason instead.
#[derive(Debug, Default)]
pub(super) struct Lookups(HashMap<String, Result<Arc<Lookup>, String>>);

/// A file that was read.
pub(super) struct Lookup {
    pub(super) file: LookupFile,
    /// The name in SQL: that of the file without its ending.
    pub(super) name: String,
    content: Content,
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

enum Content {
    Rows(Rows),
    Addresses(Arc<Addresses>),
    UserAgents(Arc<UserAgents>),
}

/// A table.
struct Rows {
    /// Its columns by their names, which are in lower case.
    columns: Vec<(String, ArrayRef)>,
    /// The line of each row. Empty if the file has no lines.
    lines: Vec<u64>,
}

impl Lookups {
    /// Reads the lookups with these names in a folder, which is a path or `s3://bucket/prefix`. There may be no file for a name.
    ///
    /// # Errors
    ///
    /// The folder can't be listed.
    pub(super) async fn read(folder: &str, names: &BTreeSet<String>) -> Result<Self> {
        let mut all = Self::default();
        if names.is_empty() {
            return Ok(all);
        }
        let is_wanted = |file: &str| name_of(file).is_some_and(|name| names.contains(name));
        for file in small_files::read(folder, is_wanted).await? {
            let (place, name, lookup) = match file {
                Ok(SmallFile {
                    place,
                    name,
                    content,
                }) => {
                    let lookup = Lookup::new(LookupFile::new(&name, content));
                    (place, name, lookup)
                }
                Err(Unread {
                    place,
                    name,
                    source,
                }) => (place, name, Err(source)),
            };
            all.add(&name, lookup.with_context(|| place));
        }
        Ok(all)
    }

    /// The lookups in these files.
    pub(super) fn of_files(files: Vec<LookupFile>) -> Self {
        let mut all = Self::default();
        for file in files {
            let name = file.name.clone();
            all.add(&name, Lookup::new(file).with_context(|| name.clone()));
        }
        all
    }

    fn add(&mut self, file: &str, lookup: Result<Lookup>) {
        let Some(name) = name_of(file) else { return };
        let lookup = match self.0.contains_key(name) {
            false => lookup.map(Arc::new).map_err(|error| format!("{error:#}")),
            true => Err(format!(
                "there are several files for the lookup {name}, such as {file}: keep one of them"
            )),
        };
        self.0.insert(name.to_owned(), lookup);
    }

    /// Refuses a lookup with the name of a rollup.
    pub(super) fn refuse_rollup(&mut self, rollup: &str) {
        if let Some(lookup) = self.0.get_mut(rollup) {
            *lookup = Err(format!(
                "the lookup {rollup} has the name of a rollup, {rollup}.sql: rename one of the files"
            ));
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The lookup of this name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The reason why it can't be used.
    pub(super) fn get(&self, name: &str) -> Option<Result<&Arc<Lookup>, String>> {
        let lookup = self.0.get(name)?;
        Some(lookup.as_ref().map_err(Clone::clone))
    }
}

/// The rows of the lookup with this name in a folder, for a query to join. `None` if no file has this name.
///
/// # Errors
///
/// If the folder can't be listed, or the file can't be read or is not a table.
pub(crate) async fn lookup_rows(folder: &str, name: &str) -> Result<Option<RecordBatch>> {
    let lookups = Lookups::read(folder, &BTreeSet::from([name.to_owned()])).await?;
    let Some(lookup) = lookups.get(name) else {
        return Ok(None);
    };
    let lookup = lookup.map_err(anyhow::Error::msg)?;
    lookup.check_table().map_err(anyhow::Error::msg)?;
    let columns = lookup
        .columns()
        .iter()
        .map(|(name, values)| (name, Arc::clone(values), true));
    Ok(Some(RecordBatch::try_from_iter_with_nullable(columns)?))
}

/// The name of the lookup in a file; `None` if the file is of another kind.
fn name_of(file: &str) -> Option<&str> {
    [CSV, PARQUET, MMDB, YAML]
        .iter()
        .find_map(|ending| file.strip_suffix(ending))
}

impl Lookup {
    fn new(file: LookupFile) -> Result<Self> {
        let name = name_of(&file.name).unwrap_or(&file.name).to_owned();
        let content = match file.name.rsplit_once('.') {
            Some((_, "mmdb")) => {
                let addresses = Addresses::from_source(file.content.clone());
                let addresses = addresses.context("this is no database in MaxMind's format")?;
                Content::Addresses(Arc::new(addresses))
            }
            Some((_, "yaml")) => {
                let agents = UserAgents::new(&file.content).map_err(anyhow::Error::msg)?;
                Content::UserAgents(Arc::new(agents))
            }
            Some((_, "csv")) => Content::Rows(of_csv(&file.content)?),
            _ => Content::Rows(of_parquet(file.content.clone())?),
        };
        Ok(Self {
            file,
            name,
            content,
        })
    }

    /// The number of its rows. `None` if it is no table.
    pub(super) fn rows(&self) -> Option<usize> {
        match &self.content {
            Content::Rows(rows) => {
                let first = rows.columns.first();
                Some(first.map_or(0, |(_, values)| values.len()))
            }
            Content::Addresses(_) | Content::UserAgents(_) => None,
        }
    }

    /// The function of a text that returns the value at a path.
    ///
    /// # Errors
    ///
    /// The file is of another kind, or has no such path.
    pub(super) fn value(&self, call: LookupCall, path: &str) -> Result<ScalarUDF, String> {
        match (&self.content, call) {
            (Content::Addresses(addresses), LookupCall::GeoIp) => {
                Ok(geoip::value(&self.name, addresses, path))
            }
            (Content::UserAgents(agents), LookupCall::UserAgent) => {
                user_agent::value(&self.name, agents, path)
            }
            _ => Err(self.instead()),
        }
    }

    /// Refuses to join what is no table.
    pub(super) fn check_table(&self) -> Result<(), String> {
        match &self.content {
            Content::Rows(_) => Ok(()),
            Content::Addresses(_) | Content::UserAgents(_) => Err(self.instead()),
        }
    }

    /// The error for a file of another kind. It says how to use the file.
    fn instead(&self) -> String {
        let Self { file, name, .. } = self;
        let (what, instead) = match &self.content {
            Content::Rows(_) => ("a table", format!("JOIN {name} ON …")),
            Content::Addresses(_) => ("a database of addresses", LookupCall::GeoIp.example(name)),
            Content::UserAgents(_) => {
                let instead = LookupCall::UserAgent.example(name);
                ("rules for user agents", instead)
            }
        };
        format!("{} has {what}: write {instead}", file.name)
    }

    fn columns(&self) -> &[(String, ArrayRef)] {
        match &self.content {
            Content::Rows(rows) => &rows.columns,
            Content::Addresses(_) | Content::UserAgents(_) => &[],
        }
    }

    /// The number of its columns.
    pub(super) fn width(&self) -> usize {
        self.columns().len()
    }

    /// The index of a column.
    pub(super) fn place(&self, column: &str) -> Option<usize> {
        let column = column.to_lowercase();
        self.columns().iter().position(|(name, _)| *name == column)
    }

    pub(super) fn column_names(&self) -> String {
        let columns = self.columns().iter();
        let names: Vec<&str> = columns.map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    /// A column's name and values.
    ///
    /// # Errors
    ///
    /// A rollup can't compute with its type.
    pub(super) fn column(&self, place: usize) -> Result<(&str, &ArrayRef), String> {
        let (name, values) = &self.columns()[place];
        let data_type = values.data_type();
        let is_known = matches!(
            data_type,
            DataType::Utf8View
                | DataType::Boolean
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float64
                | DataType::Date32
        );
        match is_known {
            true => Ok((name, values)),
            false => Err(format!(
                "{}: the column {name} has the type {}, and a lookup's columns are varchar, boolean, smallint, integer, bigint, \
                 double or date: write the file with one of these",
                self.file.name,
                trino_name(data_type)
            )),
        }
    }

    /// The index by these columns, which must be unique.
    ///
    /// # Errors
    ///
    /// Two rows have the same key, or a column is neither a text nor an integer.
    pub(super) fn index(&self, keys: &[usize]) -> Result<Index, String> {
        let columns = keys.iter().map(|key| self.columns()[*key].clone());
        let columns: Vec<(String, ArrayRef)> = columns.collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(", ");
        let index = Index::new(format!("{}({names})", self.name), &columns);
        let file = &self.file.name;
        index.map_err(|why| match why {
            NoIndex::Duplicate(first, second) => format!(
                "{file}: the {} have the same {names}, and each log line may match one row at most, or it would count twice: \
                 leave one of them out, or join by more columns",
                self.pair(first, second)
            ),
            NoIndex::Type(column, data_type) => format!(
                "{file}: the join compares the column {column}, which has the type {}: write the file with a varchar or a \
                 bigint there",
                trino_name(&data_type)
            ),
            NoIndex::Other(error) => format!("{file}: {error}"),
        })
    }

    /// Two rows by their lines, or by their numbers in a file without lines.
    fn pair(&self, first: usize, second: usize) -> String {
        let lines: &[u64] = match &self.content {
            Content::Rows(rows) => &rows.lines,
            Content::Addresses(_) | Content::UserAgents(_) => &[],
        };
        match (lines.get(first), lines.get(second)) {
            (Some(first), Some(second)) => format!("lines {first} and {second}"),
            _ => format!("rows {} and {}", first + 1, second + 1),
        }
    }
}

impl Rows {
    fn new(columns: Vec<(String, ArrayRef)>, lines: Vec<u64>) -> Result<Self> {
        let mut names = BTreeSet::new();
        for (column, _) in &columns {
            if column.is_empty() || !names.insert(column) {
                bail!(
                    "two columns are named '{column}', or one has no name: each column needs a name of its own"
                );
            }
        }
        Ok(Self { columns, lines })
    }
}

/// The rows of a CSV file. The first line has the names. All values are texts, as with Athena's
/// OpenCSVSerDe.
fn of_csv(content: &Bytes) -> Result<Rows> {
    let text = std::str::from_utf8(content)
        .context("the file is not valid UTF-8: save it in this encoding")?;
    // What Excel writes.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(line) = text.lines().position(|line| line.contains('\\')) {
        bail!(
            "line {}: a backslash is an escape in Athena's CSV, and none elsewhere: write the table as Parquet",
            line + 1
        );
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers()?;
    let names: Vec<String> = header
        .iter()
        .map(|name| name.trim().to_lowercase())
        .collect();
    let mut columns: Vec<StringViewBuilder> = names.iter().map(|_| <_>::default()).collect();
    // No value goes over several lines, so each row has a line, and empty lines have no row.
    let numbered = text.lines().zip(1..).filter(|(line, _)| !line.is_empty());
    let lines: Vec<u64> = numbered.skip(1).map(|(_, number)| number).collect();
    for (row, record) in reader.records().enumerate() {
        let record = record?;
        if record.iter().any(|value| value.contains(['\n', '\r'])) {
            let line = lines.get(row).copied().unwrap_or_default();
            bail!(
                "line {line}: a value goes over several lines, which Athena's CSV can't: write it in one line"
            );
        }
        for (column, value) in columns.iter_mut().zip(&record) {
            column.append_value(value);
        }
    }
    let columns = columns
        .iter_mut()
        .map(|column| Arc::new(column.finish()) as _);
    Rows::new(names.into_iter().zip(columns).collect(), lines)
}

/// The rows of a Parquet file.
fn of_parquet(content: Bytes) -> Result<Rows> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content)?;
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build()?.collect::<Result<_, _>>()?;
    let rows = concat_batches(&schema, &batches)?;
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, values)| {
        let own = match values.data_type() {
            text if text.is_string() => &DataType::Utf8View,
            DataType::Int8 => &DataType::Int16,
            DataType::Float32 => &DataType::Float64,
            other => other,
        };
        Ok((field.name().to_lowercase(), cast(values, own)?))
    });
    Rows::new(columns.collect::<Result<_>>()?, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &'static str) -> Result<Lookup> {
        Lookup::new(LookupFile::new(
            "t.csv",
            Bytes::from_static(text.as_bytes()),
        ))
    }

    #[test]
    fn csv_files_are_read_as_athena_reads_them_or_refused() {
        let lookup = csv("\u{feff}Code,Name\r\nDE,\"Germany, \"\"D\"\"\"\r\n\r\nFR,\r\n").unwrap();
        assert_eq!(lookup.column_names(), "code, name");
        let (_, names) = lookup.column(1).unwrap();
        let names: Vec<_> = arrow::array::AsArray::as_string_view(names)
            .iter()
            .collect();
        assert_eq!(names, [Some("Germany, \"D\""), Some("")]);
        for (text, says) in [
            ("a,b\n1\n", "line: 2"),
            ("a,A\n1,2\n", "two columns are named 'a'"),
            ("a,\n1,2\n", "one has no name"),
            (
                "a,b\n1,\"2\n3\"\n",
                "line 2: a value goes over several lines",
            ),
            ("a,b\n1,2\n1,\\N\n", "line 3: a backslash"),
        ] {
            let refused = format!("{:#}", csv(text).unwrap_err());
            assert!(refused.contains(says), "{text:?}: {refused}");
        }
        let refused = csv("a,b\nx,1\ny,1\n\nx,2\n")
            .unwrap()
            .index(&[0])
            .unwrap_err();
        assert!(
            refused.starts_with("t.csv: the lines 2 and 5 have the same a"),
            "{refused}"
        );
        let latin = LookupFile::new("t.csv", Bytes::from_static(b"a\n\xe9\n"));
        assert!(format!("{:#}", Lookup::new(latin).unwrap_err()).contains("UTF-8"));
    }
}
