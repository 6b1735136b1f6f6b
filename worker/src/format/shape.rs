//! How the lines of a log file are written.

use std::fmt;
use std::sync::Arc;

use super::LogFormat;

/// How the lines of a log file are written. All shapes of a format are rows of the same table.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Fields separated by spaces, in the order of AWS's documentation.
    Text,
    /// A JSON object a line.
    Json,
    /// Fields separated by a delimiter, named by a `#Fields:` line.
    W3c,
    /// Fields separated by a delimiter, named by a setting.
    Plain(Arc<PlainShape>),
    /// Parquet.
    Parquet,
}

/// The fields of a log whose lines do not say what they are.
#[derive(Debug, PartialEq)]
pub struct PlainShape {
    /// What separates the fields.
    pub delimiter: String,
    /// AWS's names of the fields, in the order of a line. `-` stands for a field that nobody wants.
    pub fields: Vec<String>,
}

/// A log whose lines do not say what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct PlainLog {
    /// The format of its lines.
    pub format: &'static LogFormat,
    /// How they are written.
    pub shape: Arc<PlainShape>,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "JSON",
            Self::W3c => "W3C",
            Self::Plain(_) => "plain",
            Self::Parquet => "Parquet",
        })
    }
}
