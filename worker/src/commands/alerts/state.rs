//! The rows that an alert has reported: an object in the folder of its table.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Alert;

/// The longest row that is reported unchanged, in bytes of JSON.
const ROW_BYTES_MAX: usize = 4096;

/// In a longer row, texts are cut to this length, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// A row that an alert has returned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    /// Identifies the row: a hash of the alert's name and of the whole row.
    pub id: String,
    /// The alert's name.
    pub alert: String,
    /// The (first) table that it reads.
    pub table: String,
    /// The time of the row, as it is in the row, if it has one.
    pub time: Option<String>,
    /// The row, as a JSON object. It may contain text from visitors.
    pub row: Box<RawValue>,
    /// The time up to which rows were final.
    pub final_until: String,
    /// When it was first reported.
    pub first_told: String,
    /// Number of new rows of the same evaluation that are not reported one by one.
    pub more_rows: usize,
}

/// The state of an alert.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The time up to which rows were final at the last evaluation.
    pub(super) until: Option<DateTime<Utc>>,
    /// The ids of the rows that it returned.
    pub(super) told: BTreeSet<String>,
    /// Rows that the webhook has not accepted yet.
    pub(super) undelivered: Vec<Instance>,
}

impl Alert {
    /// The id of a row.
    pub(super) fn id(&self, row: &str) -> String {
        let hash = Sha256::digest(format!("{}\n{row}", self.name));
        let bytes = hash.iter().take(8);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    fn state_path(&self) -> Path {
        Path::from_iter([self.table(), "_alerts", &format!("{}.json", self.name)])
    }
}

impl State {
    /// Reads the state of an alert. If it is missing or damaged, the alert starts from scratch.
    pub(super) async fn read(store: &dyn ObjectStore, alert: &Alert) -> Result<Self> {
        let path = alert.state_path();
        let read = async { store.get(&path).await?.bytes().await };
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => return Ok(Self::default()),
            Err(error) => return Err(error).context("the alert's state can't be read"),
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(
                alert = alert.name, object = %path, %error,
                "the alert's state is damaged; starting from scratch, so rows may be reported again"
            );
            Self::default()
        }))
    }

    /// Writes the state. If two workers evaluate the alert at the same time, either state is right: each row that it names has been
    /// reported or is kept for the webhook.
    pub(super) async fn write(&self, store: &dyn ObjectStore, alert: &Alert) -> Result<()> {
        let text = serde_json::to_vec(self)?;
        let written = store.put(&alert.state_path(), text.into()).await;
        written.context("the alert's state can't be written")?;
        Ok(())
    }
}

/// A row as it is reported. Long texts in a long row are cut.
pub(super) fn shortened(row: &str, mut values: Map<String, Value>) -> Result<Box<RawValue>> {
    if row.len() <= ROW_BYTES_MAX {
        return Ok(RawValue::from_string(row.to_owned())?);
    }
    let mut left = ROW_BYTES_MAX;
    for value in values.values_mut() {
        let text = match value {
            Value::String(text) => std::mem::take(text),
            // Numbers and truth values are short.
            Value::Array(_) | Value::Object(_) => value.to_string(),
            _ => continue,
        };
        let cut: String = text.chars().take(TEXT_CHARS_MAX.min(left)).collect();
        left = left.saturating_sub(cut.chars().count());
        let dots = if cut.len() < text.len() { "…" } else { "" };
        *value = Value::String(cut + dots);
    }
    Ok(serde_json::value::to_raw_value(&values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_row_is_told_with_the_beginnings_of_its_texts() {
        let long = "<script>'\"\u{202e}".repeat(1000);
        let row = serde_json::json!({"url": long, "n": 7, "list": vec![1; 5000]}).to_string();
        let values = serde_json::from_str(&row).unwrap();
        let told = shortened(&row, values).unwrap();
        assert!(told.get().len() < ROW_BYTES_MAX, "{told}");
        let told: Value = serde_json::from_str(told.get()).unwrap();
        assert_eq!(told["n"], 7);
        assert!(
            told["url"]
                .as_str()
                .unwrap()
                .starts_with("<script>'\"\u{202e}<")
        );
        assert!(told["url"].as_str().unwrap().ends_with('…'));
        let short = "{\"b\":\"x\",\"a\":1}";
        let told = shortened(short, serde_json::from_str(short).unwrap()).unwrap();
        assert_eq!(told.get(), short);
    }
}
