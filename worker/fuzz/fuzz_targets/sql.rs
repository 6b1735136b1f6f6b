//! The check of a rollup's SQL: what must be refused is refused, and what passes, merges.
//!
//! The SQL that passes is run over the same lines as one log file, and as two log files with a commit after each. Both
//! tables must have the same rows.

#![no_main]

#[path = "sql/generate.rs"]
mod generate;
#[path = "sql/lines.rs"]
mod lines;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;
use generate::{MAGNITUDE, Made};
use libfuzzer_sys::{Corpus, fuzz_target};
use logmill::commands::query::{Format, query};
use logmill::feeds::Feeds;
use logmill::pipeline::{self, Limits, Outcome, Source};
use logmill::rollup::Rollup;
use logmill::table::{Definition, MergeRule, Root};
use logmill_shared::LogFile;
use logmill_sketch::TDigest;
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::runtime::{Builder, Runtime};
use url::Url;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(made) = generate::make(data) else {
        return Corpus::Reject;
    };
    if *SHOWS_SQL {
        eprintln!("{}", made.sql);
    }
    RUNTIME.block_on(check(&made));
    Corpus::Keep
});

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime")
});

/// Whether to show the SQL that is made of each input, and why it is refused.
static SHOWS_SQL: LazyLock<bool> = LazyLock::new(|| std::env::var_os("LOGMILL_SHOW_SQL").is_some());

/// The table's name.
const NAME: &str = "made";

/// What the SQL's check may take, on a machine that is busy with other things.
const CHECK_MAX: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits {
    text_bytes: 1 << 30,
    // Little, so that some log files are staged as several sorted runs.
    group_bytes: 1 << 14,
};

async fn check(made: &Made) {
    let begin = Instant::now();
    let rollup = Rollup::from_sql(NAME, &made.sql).await;
    let taken = begin.elapsed();
    assert!(taken < CHECK_MAX, "{taken:?} for {}", made.sql);
    let rollup = match rollup {
        Ok(rollup) => Arc::new(rollup),
        Err(reason) => {
            if *SHOWS_SQL {
                eprintln!("refused: {reason}");
            }
            return;
        }
    };
    assert!(
        made.is_spliced || !made.is_foreign,
        "this passes: {}",
        made.sql
    );

    let lines = lines::lines();
    let whole: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (even, odd) = (every_second(&whole, 0), every_second(&whole, 1));
    let one = table_of(&rollup, &[whole], made).await;
    let two = table_of(&rollup, &[even, odd], made).await;
    compare(rollup.definition(), &one, &two, &made.sql);
}

fn every_second<'a>(lines: &[&'a str], from: usize) -> Vec<&'a str> {
    lines.iter().skip(from).step_by(2).copied().collect()
}

/// What a table has.
struct Contents {
    rows: Vec<RecordBatch>,
    lines: i64,
    rejected_lines: i64,
    failed_lines: i64,
    /// Reason and text of each failed line that is kept.
    failures: Vec<(String, String)>,
}

/// Runs a rollup over log files, with a commit after each.
async fn table_of(rollup: &Arc<Rollup>, log_files: &[Vec<&str>], made: &Made) -> Contents {
    let root = root();
    let feeds = Feeds::open(&root, vec![Arc::clone(rollup)].into()).await;
    let (feeds, _) = feeds.unwrap_or_else(|error| fail("creating the tables", &error, made));
    let table = feeds.fed().next().expect("the table of the rollup");
    for (number, lines) in log_files.iter().enumerate() {
        let text = lines.join("\n");
        let source = Source {
            log_file: LogFile::new(format!(
                "s3://logs/1_elasticloadbalancing_us-east-1_app.shop.0_20261120T1005Z_10.0.0.1_{number}.log"
            )),
            bytes: text.len() as u64,
            etag: "1".to_owned(),
            plain: None,
            open: |_| Ok(Cursor::new(&text)),
        };
        match pipeline::stage(source, &feeds.tables, LIMITS).await {
            Ok(Outcome::Staged(_)) => {}
            Ok(other) => panic!("{other:?}: {}", made.sql),
            Err(error) => fail("staging", &error, made),
        }
        if let Err(error) = table.commit().await {
            fail("the commit", &error, made);
        }
    }
    let version = table.version().await;
    let version = version.unwrap_or_else(|error| fail("reading the table", &error, made));
    let entries = version.entries().await;
    let entries = entries.unwrap_or_else(|error| fail("reading the ledger", &error, made));
    let failures = entries.iter().flat_map(|entry| &entry.failures);
    let mut failures: Vec<(String, String)> = failures
        .map(|failure| (failure.reason.clone(), failure.line.clone()))
        .collect();
    failures.sort();
    Contents {
        rows: rows(&root, made).await,
        lines: entries.iter().map(|entry| entry.lines).sum(),
        rejected_lines: entries.iter().map(|entry| entry.rejected_lines).sum(),
        failed_lines: entries.iter().map(|entry| entry.failed_lines).sum(),
        failures,
    }
}

fn fail(what: &str, error: &dyn std::error::Error, made: &Made) -> ! {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    panic!("{what} failed: {}\n{}", causes.join(": "), made.sql);
}

fn root() -> Root {
    let url = Url::parse("memory:///tables/").expect("a URL");
    Root::in_store(url, Arc::new(InMemory::new()))
}

/// The table's rows, as a reader gets them.
async fn rows(root: &Root, made: &Made) -> Vec<RecordBatch> {
    let mut file = Vec::new();
    let sql = format!("SELECT * FROM {NAME}");
    if let Err(error) = query(root, None, &sql, Format::Parquet, &mut file).await {
        panic!("the query failed: {error:#}\n{}", made.sql);
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file));
    let reader = reader.and_then(ParquetRecordBatchReaderBuilder::build);
    let reader = reader.expect("a Parquet file");
    reader.map(|batch| batch.expect("a row group")).collect()
}

/// The tables of one log file and of two halves of it have the same rows.
fn compare(definition: &Definition, one: &Contents, two: &Contents, sql: &str) {
    assert_eq!(one.lines, two.lines, "lines of {sql}");
    assert_eq!(
        one.rejected_lines, two.rejected_lines,
        "rejected lines of {sql}"
    );
    assert_eq!(one.failed_lines, two.failed_lines, "failed lines of {sql}");
    // Of many failed lines not all are kept.
    let kept = [one, two].map(|each| each.failures.len() as i64);
    if kept == [one.failed_lines; 2] {
        assert_eq!(one.failures, two.failures, "failed lines of {sql}");
    }

    let (one, two) = (Rows::of(definition, one), Rows::of(definition, two));
    let [ours, others] = [&one, &two].map(|rows| rows.by_key.keys().collect::<Vec<_>>());
    assert_eq!(ours, others, "group keys of {sql}");
    for (key, left) in &one.by_key {
        let right = &two.by_key[key];
        assert_eq!(left.len(), right.len(), "rows of {key:?} of {sql}");
        if !definition.merges() {
            continue;
        }
        assert_eq!(left.len(), 1, "a group has several rows: {key:?} of {sql}");
        let (left, right) = (Row(&one, left[0]), Row(&two, right[0]));
        for column in &definition.columns {
            let place = || format!("{} of {key:?} of {sql}", column.name);
            match column.rule {
                Some(MergeRule::TDigest) => {
                    same_digests(left.bytes(&column.name), right.bytes(&column.name), place)
                }
                Some(MergeRule::Sum) if column.data_type == DataType::Float64 => {
                    let magnitude = left.double(&format!("{}{MAGNITUDE}", column.name));
                    let [left, right] = [left, right].map(|row| row.double(&column.name));
                    same_sums(left, right, magnitude, place);
                }
                _ => assert_eq!(
                    left.text(&column.name),
                    right.text(&column.name),
                    "{}",
                    place()
                ),
            }
        }
    }
}

/// A table's rows by their group keys; of a table that keeps every row, by all of their values.
struct Rows {
    columns: BTreeMap<String, ArrayRef>,
    by_key: BTreeMap<Vec<Option<String>>, Vec<usize>>,
}

impl Rows {
    fn of(definition: &Definition, contents: &Contents) -> Self {
        let Some(first) = contents.rows.first() else {
            return Self {
                columns: BTreeMap::new(),
                by_key: BTreeMap::new(),
            };
        };
        let rows = arrow::compute::concat_batches(first.schema_ref(), &contents.rows);
        let rows = rows.expect("batches of one schema");
        let schema = rows.schema();
        let names = schema.fields().iter().map(|field| field.name().clone());
        let mut all = Self {
            columns: names.zip(rows.columns().iter().cloned()).collect(),
            by_key: BTreeMap::new(),
        };
        let keys = definition
            .columns
            .iter()
            .filter(|column| match definition.merges() {
                true => column.rule == Some(MergeRule::GroupKey),
                false => true,
            });
        let keys: Vec<&str> = keys.map(|column| column.name.as_str()).collect();
        for row in 0..rows.num_rows() {
            let key = keys.iter().map(|name| Row(&all, row).text(name)).collect();
            all.by_key.entry(key).or_default().push(row);
        }
        all
    }
}

#[derive(Clone, Copy)]
struct Row<'a>(&'a Rows, usize);

impl Row<'_> {
    fn column(&self, name: &str) -> Option<&ArrayRef> {
        let column = self.0.columns.get(name)?;
        column.is_valid(self.1).then_some(column)
    }

    fn text(&self, name: &str) -> Option<String> {
        let column = self.column(name)?;
        // Shown as text, NaN is NaN and 0.0 is not -0.0.
        Some(array_value_to_string(column, self.1).expect("a value that can be shown"))
    }

    fn double(&self, name: &str) -> Option<f64> {
        let column = self.column(name)?.as_primitive_opt::<Float64Type>()?;
        Some(column.value(self.1))
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let column = self.column(name)?;
        let bytes = arrow::compute::cast(column, &DataType::Binary).expect("bytes");
        Some(bytes.as_binary::<i32>().value(self.1).to_vec())
    }
}

/// The order of doubles changes their sum, by little as against the sum of their absolute values.
fn same_sums(
    left: Option<f64>,
    right: Option<f64>,
    magnitude: Option<f64>,
    place: impl Fn() -> String,
) {
    assert_eq!(left.is_some(), right.is_some(), "{}", place());
    let (Some(left), Some(right), Some(magnitude)) = (left, right, magnitude) else {
        return;
    };
    // In one order only, a sum may pass through infinity.
    if magnitude.is_finite() {
        let is_same = left == right || (left - right).abs() <= 1e-9 * magnitude;
        assert!(is_same, "{left:?} and {right:?}: {}", place());
    }
}

/// The quantiles of two t-digests of the same values are near by rank; the weight and the extremes are the same.
fn same_digests(left: Option<Vec<u8>>, right: Option<Vec<u8>>, place: impl Fn() -> String) {
    assert_eq!(left.is_some(), right.is_some(), "{}", place());
    let (Some(left), Some(right)) = (left, right) else {
        return;
    };
    let [mut left, mut right] =
        [left, right].map(|bytes| TDigest::from_bytes(&bytes).expect("a t-digest"));
    assert_eq!(left.total_weight(), right.total_weight(), "{}", place());
    for quantile in [0.0, 1.0] {
        assert_eq!(
            left.value_at(quantile),
            right.value_at(quantile),
            "{}",
            place()
        );
    }
    for quantile in [0.25, 0.5, 0.75] {
        let value = left.value_at(quantile);
        let near = right.value_at(quantile - 0.15)..=right.value_at(quantile + 0.15);
        assert!(
            near.contains(&value),
            "{value:?} is not in {near:?}: {}",
            place()
        );
    }
}
