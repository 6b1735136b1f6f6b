//! Prints errors.

use std::error::Error;

/// An error, its cause, the cause's cause, and so on.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error and its causes in one line. A cause whose text is already there is left out. The AWS SDK's own format prints pages
/// of Rust structures.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error).map(|cause| cause.to_string()) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failed {
        text: &'static str,
        source: Option<Box<Failed>>,
    }

    #[test]
    fn each_cause_is_named_once() {
        let failed = |text, source| Failed { text, source };
        let first = failed("connection refused", None);
        let second = failed("dispatch: connection refused", Some(Box::new(first)));
        let error = failed("S3 failed", Some(Box::new(second)));
        assert_eq!(chain(&error), "S3 failed: dispatch: connection refused");
    }
}
