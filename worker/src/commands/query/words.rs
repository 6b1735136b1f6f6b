//! Rewrites errors of queries for people who write SQL, without the engine's own terms.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use crate::format::DELIVERY_DAY;
use crate::rollup::{instead_of_column, instead_of_function, plain_words};

/// The engine's names for kinds of errors, which come before the message. They mean nothing to users.
const KINDS: [&str; 12] = [
    "Arrow error: ",
    "Cast error: ",
    "Compute error: ",
    "Csv error: ",
    "DataFusion error: ",
    "Error during planning: ",
    "Execution error: ",
    "External error: ",
    "Invalid argument error: ",
    "Parser error: ",
    "SQL error: ",
    "Schema error: ",
];

/// The engine's names of the catalog and the schema, which users never write.
const DEFAULT_SCHEMA: &str = "datafusion.public.";

/// Describes an error of planning or running a query.
pub(super) fn plain(error: &DataFusionError) -> String {
    let words = match error.find_root() {
        DataFusionError::Plan(_) => plain_words(error),
        DataFusionError::SchemaError(schema, _) => of_schema(schema),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => return plain(first),
            None => error.to_string(),
        },
        DataFusionError::NotImplemented(message) => format!("not supported: {message}"),
        DataFusionError::ResourcesExhausted(message) => format!(
            "the query needs more memory than it may use, and cannot spill to disk here: {message}"
        ),
        DataFusionError::ArrowError(error, _) => match &**error {
            arrow::error::ArrowError::DivideByZero => "Division by zero".to_owned(),
            error => error.to_string(),
        },
        root => root.strip_backtrace(),
    };
    of_the_user(words)
}

fn of_schema(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let columns: Vec<&str> = valid_fields
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            let column = &field.name;
            let instead =
                match columns.contains(&DELIVERY_DAY) || column != "year" && column != "month" {
                    true => instead_of_column(column, false),
                    false => None,
                };
            match instead {
                Some(instead) => format!("there is no column {column}{instead}"),
                None if columns.is_empty() => format!("there is no column {column}"),
                None => format!(
                    "there is no column {column}; the columns are {}",
                    columns.join(", ")
                ),
            }
        }
        SchemaError::AmbiguousReference { field } => format!(
            "the column {} is in several tables: write the table's name before it",
            field.name
        ),
        other => other.to_string(),
    }
}

fn of_the_user(words: String) -> String {
    let mut rest = words.as_str();
    while let Some(shorter) = KINDS.iter().find_map(|kind| rest.strip_prefix(kind)) {
        rest = shorter;
    }
    // The rest lists functions of the engine, which are not necessarily Trino's.
    let rest = rest.split("Did you mean").next().unwrap_or(rest);
    let rest = rest.trim_end().replace(DEFAULT_SCHEMA, "");
    if let Some(name) = quoted_after(&rest, "Invalid function ") {
        return match instead_of_function(name) {
            Some(advice) => format!("{name} {advice}"),
            None => format!("the function {name} is not supported"),
        };
    }
    if let Some((_, names)) =
        rest.split_once("require unique expression names but the expression \"")
        && let Some((name, _)) = names.split_once('"')
    {
        let name = name.rsplit(['.', ' ']).next().unwrap_or(name);
        return format!(
            "two output columns are named {name}: rename one with AS, or leave out what * has already"
        );
    }
    if rest.contains("must appear in the GROUP BY clause")
        && let Some((column, _)) = rest
            .split_once("column \"")
            .and_then(|(_, rest)| rest.split_once('"'))
    {
        return format!(
            "the column {column} is neither a group key nor in an aggregate; add it to GROUP BY"
        );
    }
    match quoted_after(&rest, "table ") {
        Some(name) if rest.ends_with("' not found") => {
            format!("there is no table {name}; SHOW TABLES lists the tables")
        }
        _ => rest,
    }
}

/// The name in quotes after these words.
fn quoted_after<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    let (name, _) = text
        .strip_prefix(words)?
        .strip_prefix('\'')?
        .split_once('\'')?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use arrow::error::ArrowError;
    use datafusion::common::Column;

    use super::*;

    #[test]
    fn errors_have_none_of_the_engines_words() {
        let planning = |message: &str| DataFusionError::Plan(message.to_owned());
        for (error, says) in [
            (
                planning("Invalid function 'foo'.\nDid you mean 'floor'?"),
                "the function foo is not supported",
            ),
            (
                planning("Invalid function 'row_number'"),
                "row_number is a window function: write OVER (ORDER BY …) after the call",
            ),
            (
                planning(
                    "Projections require unique expression names but the expression \"a.type\" at position 0 and \"a.type\" at position 2 \
                     have the same name. Consider aliasing (\"AS\") one of them.",
                ),
                "two output columns are named type: rename one with AS, or leave out what * has already",
            ),
            (
                planning("table 'datafusion.public.x' not found"),
                "there is no table x; SHOW TABLES lists the tables",
            ),
            (
                planning(
                    "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \"a.x\" must \
                     appear in the GROUP BY clause or must be part of an aggregate function",
                ),
                "the column a.x is neither a group key nor in an aggregate; add it to GROUP BY",
            ),
            (
                DataFusionError::Execution("bigint addition overflow".to_owned()),
                "bigint addition overflow",
            ),
            (
                ArrowError::CastError("Cannot cast string 'x'".to_owned()).into(),
                "Cannot cast string 'x'",
            ),
            (ArrowError::DivideByZero.into(), "Division by zero"),
            (
                DataFusionError::SchemaError(
                    Box::new(SchemaError::FieldNotFound {
                        field: Box::new(Column::new_unqualified("x")),
                        valid_fields: vec![Column::from_qualified_name("t.a")],
                    }),
                    Box::new(None),
                ),
                "there is no column x; the columns are a",
            ),
        ] {
            let error = error.context("in a query");
            assert_eq!(plain(&error), says);
        }
    }
}
