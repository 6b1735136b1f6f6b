//! Planning errors in words for people who write SQL.

use datafusion::common::DataFusionError;

const TIME_ADVICE: &str = ". The column time is a text: write from_iso8601_timestamp(time)";

/// The text of a planning error, without the engine's own names for the error and for types.
pub(crate) fn plain_words(error: &DataFusionError) -> String {
    const TYPES: [(&str, &str); 10] = [
        ("Utf8View", "varchar"),
        ("LargeUtf8", "json"),
        ("Utf8", "varchar"),
        ("Boolean", "boolean"),
        ("Int16", "smallint"),
        ("Int32", "integer"),
        ("Int64", "bigint"),
        ("Float64", "double"),
        ("Date32", "date"),
        ("Timestamp(ms, \"UTC\")", "timestamp with time zone"),
    ];
    // Rollups have no values of these types.
    const OTHER_TYPES: [&str; 7] = [
        "Timestamp(µs",
        "Timestamp(ms)",
        "+TZ",
        "Decimal",
        "UInt",
        "Duration",
        "Interval",
    ];
    let message = match error.find_root() {
        DataFusionError::Plan(message) => message.clone(),
        error => error.to_string(),
    };
    let message = match message.split_once("Candidate functions:") {
        // The function's own message says which arguments it accepts.
        Some((call, _)) if call.contains("user-defined coercion failed with: ") => {
            let (words, _) = call
                .split_once(". No function matches")
                .unwrap_or((call, ""));
            let (_, words) = words.rsplit_once("error: ").unwrap_or(("", words));
            let (_, words) = words
                .rsplit_once("Error during planning: ")
                .unwrap_or(("", words));
            words.to_owned()
        }
        Some((call, candidates)) => {
            let (_, call) = call.split_once("argument types '").unwrap_or(("", call));
            let (call, _) = call.split_once('\'').unwrap_or((call, ""));
            let candidates: Vec<&str> = candidates
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .filter(|line| !OTHER_TYPES.iter().any(|other| line.contains(other)))
                .collect();
            let candidates = candidates.join(" or ");
            // The commonest slip.
            let is_text = call.contains("Utf8") && candidates.contains("Timestamp");
            let advice = if is_text { TIME_ADVICE } else { "" };
            format!("{call} is not supported: use {candidates}{advice}")
        }
        // The function's own message is at the end.
        None => match message.rsplit_once("user-defined coercion failed with: ") {
            Some((_, words)) => words
                .trim_start_matches("Error during planning: ")
                .to_owned(),
            None => message,
        },
    };
    TYPES
        .iter()
        .fold(message, |message, (arrow, sql)| message.replace(arrow, sql))
}
