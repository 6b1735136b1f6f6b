//! Describes errors of a rollup's SQL for logs and notes. The text says why, and contains nothing that a visitor has sent.

use datafusion::error::DataFusionError;

/// Describes an error of DataFusion. Errors of planning, SQL or memory are shown in full. For errors caused by values,
/// which a visitor may have sent, only the kind is shown.
pub(crate) fn without_values(error: &DataFusionError) -> String {
    match error.find_root() {
        error @ (DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::ResourcesExhausted(_)
        | DataFusionError::Internal(_)) => error.to_string(),
        error => {
            let text = error.to_string();
            // "Arrow error: Cast error: Cannot cast string 'x' to …": the kinds come first, separated by colons.
            let kinds = text.split(": ").take_while(|part| part.ends_with("error"));
            let kinds: Vec<&str> = kinds.collect();
            let kinds = match kinds.is_empty() {
                true => "execution error".to_owned(),
                false => kinds.join(": "),
            };
            format!(
                "{kinds}; the value may come from a visitor and is shown only with LOGMILL_LOG=logmill=debug"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::error::ArrowError;

    use super::*;

    #[test]
    fn an_error_says_why_without_values() {
        let secret = "visitors-secret";
        let arrow = |error| DataFusionError::ArrowError(Box::new(error), None);
        for (error, says) in [
            (
                arrow(ArrowError::CastError(format!(
                    "Cannot cast string '{secret}'"
                ))),
                "Arrow error: Cast error",
            ),
            (
                DataFusionError::Execution(format!("{secret} is too long")),
                "Execution error",
            ),
            (DataFusionError::External(secret.into()), "External error"),
            (
                DataFusionError::Plan("No function matches".to_owned()),
                "No function matches",
            ),
            (
                DataFusionError::ResourcesExhausted("no memory for 7 bytes".to_owned()),
                "no memory for 7 bytes",
            ),
            (
                arrow(ArrowError::CastError(secret.to_owned())).context("in a rollup"),
                "Arrow error: Cast error",
            ),
        ] {
            let text = without_values(&error);
            assert!(text.contains(says), "{text}");
            assert!(!text.contains(secret), "{text}");
        }
    }
}
