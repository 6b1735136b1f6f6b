//! The values of metrics, for the worker itself. They are read from the text that `/metrics` answers, so that the status page shows the
//! same figures.

use std::collections::BTreeMap;

/// The values of counters and gauges, by the name without `logmill_` and `_total`, and by the label's value, which is empty without a
/// label.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<String, BTreeMap<String, f64>>);

impl Samples {
    pub(super) fn of_text(text: &str) -> Self {
        let mut samples = Self::default();
        for (name, label, value) in text.lines().filter_map(sample) {
            samples
                .0
                .entry(name.to_owned())
                .or_default()
                .insert(label, value);
        }
        samples
    }

    /// A metric without labels.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.of(name, "")
    }

    /// The value for a label.
    pub(crate) fn of(&self, name: &str, label: &str) -> u64 {
        let value = self.0.get(name).and_then(|values| values.get(label));
        value.map_or(0, |value| *value as u64)
    }

    /// All values of a metric with a label.
    pub(crate) fn by_label(&self, name: &str) -> BTreeMap<String, u64> {
        let values = self.0.get(name).into_iter().flatten();
        values
            .map(|(label, value)| (label.clone(), *value as u64))
            .collect()
    }
}

/// `logmill_log_files_total{outcome="staged"} 5` is `log_files`, `staged` and 5. Values with two labels are those of histograms.
fn sample(line: &str) -> Option<(&str, String, f64)> {
    let (series, value) = line.strip_prefix("logmill_")?.rsplit_once(' ')?;
    let (name, label) = match series.split_once('{') {
        Some((name, labels)) => {
            let (_, label) = labels.strip_suffix("\"}")?.split_once("=\"")?;
            (name, unescaped(label)?)
        }
        None => (series, String::new()),
    };
    let name = name.strip_suffix("_total").unwrap_or(name);
    Some((name, label, value.parse().ok()?))
}

/// `None` if it is more than one label's value.
fn unescaped(label: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = label.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => match characters.next()? {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::metrics::{LeftAlone, Metrics};

    #[test]
    fn the_values_are_those_of_the_text() {
        let metrics = Metrics::default();
        for kind in ["alb_access_logs, JSON", "a \"quoted\"\\kind\nof two lines}"] {
            metrics.kind(kind);
            metrics.kind(kind);
        }
        metrics.left_alone(LeftAlone::Skipped);
        metrics.step("wait", Duration::from_secs(1));
        metrics.failed("missing", "s3://logs/a", "does not exist");
        let _in_flight = metrics.message_in_flight();
        let samples = metrics.samples();
        let kinds = samples.by_label("log_file_kinds");
        assert_eq!(kinds["alb_access_logs, JSON"], 2);
        assert_eq!(kinds["a \"quoted\"\\kind\nof two lines}"], 2);
        assert_eq!(kinds.len(), 2);
        assert_eq!(samples.of("log_files", "skipped"), 1);
        assert_eq!(samples.of("log_files", "staged"), 0);
        assert_eq!(samples.of("failures", "missing"), 1);
        assert_eq!(samples.get("messages_in_flight"), 1);
        assert_eq!(samples.by_label("log_file_seconds_bucket").len(), 0);
        assert_eq!(metrics.recent_failures()[0].about, "s3://logs/a");
    }

    #[test]
    fn the_oldest_message_is_told_once() {
        let metrics = Metrics::default();
        assert_eq!(metrics.take_oldest_message(), None);
        metrics.message_received(Duration::ZERO);
        assert_eq!(metrics.take_oldest_message(), Some(0));
        metrics.message_received(Duration::from_secs(40));
        metrics.message_received(Duration::from_secs(3));
        assert_eq!(metrics.take_oldest_message(), Some(40));
        assert_eq!(metrics.take_oldest_message(), None);
    }
}
