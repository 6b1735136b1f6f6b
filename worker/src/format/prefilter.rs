//! Which lines matter: the part of a `WHERE` that the scan evaluates itself, so that it builds no row for a line that is
//! left out anyway.

use std::cmp::Ordering;

use super::fields::FieldValues;
use super::line::{Line, Needs};
use super::{ScanColumn, Source};

/// A condition on a line.
#[derive(Debug, Clone)]
pub enum Prefilter {
    /// Compares a column's value. NULL never matches.
    Compare(Comparison),
    /// All of these hold.
    All(Vec<Prefilter>),
    /// At least one of these holds.
    Any(Vec<Prefilter>),
}

/// How the value of a column compares with a literal of the column's type.
#[derive(Debug, Clone)]
pub struct Comparison {
    column: ScanColumn,
    literal: Literal,
    holds: fn(Ordering) -> bool,
}

/// A value in SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A tinyint, smallint, integer or bigint.
    Integer(i64),
    /// A double. How 0.0 and -0.0 compare is not decided here.
    Double(f64),
    /// A varchar.
    Text(String),
}

impl Prefilter {
    /// A comparison, true if `holds` accepts the ordering of the value and the literal. `None` if the scan can't decide
    /// it.
    pub fn compare(
        column: &ScanColumn,
        literal: Literal,
        holds: fn(Ordering) -> bool,
    ) -> Option<Self> {
        let is_decided = match column {
            ScanColumn::Column(column) => match (&literal, column.source) {
                // Where the rest begins depends on which other fields are read.
                (_, Source::RestAfter(_)) => false,
                (Literal::Integer(_), source) => {
                    matches!(source, Source::Int(_) | Source::Port(_) | Source::BigInt(_))
                }
                (Literal::Double(_), source) => matches!(source, Source::Double(_)),
                (Literal::Text(_), source) => !source.is_number(),
            },
            ScanColumn::UrlParameter(_) => matches!(literal, Literal::Text(_)),
            _ => false,
        };
        is_decided.then_some(Self::Compare(Comparison {
            column: column.clone(),
            literal,
            holds,
        }))
    }

    /// Adds the parts of a line that the condition needs.
    pub(super) fn add_to(&self, needs: &mut Needs) {
        match self {
            Self::Compare(comparison) => needs.add(&comparison.column),
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().for_each(|each| each.add_to(needs));
            }
        }
    }

    /// How many times the condition looks for a parameter in the query.
    pub(super) fn parameters(&self) -> usize {
        match self {
            Self::Compare(comparison) => {
                usize::from(matches!(comparison.column, ScanColumn::UrlParameter(_)))
            }
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().map(Self::parameters).sum()
            }
        }
    }

    pub(super) fn holds<'l>(&self, line: &Line<'l, impl FieldValues<'l>>) -> bool {
        match self {
            Self::Compare(comparison) => comparison.holds(line),
            Self::All(conditions) => conditions.iter().all(|each| each.holds(line)),
            Self::Any(conditions) => conditions.iter().any(|each| each.holds(line)),
        }
    }
}

impl Comparison {
    fn holds<'l>(&self, line: &Line<'l, impl FieldValues<'l>>) -> bool {
        match (&self.column, &self.literal) {
            (ScanColumn::Column(column), Literal::Integer(literal)) => {
                let value = line.number::<i64>(column.source);
                value.is_some_and(|value| (self.holds)(value.cmp(literal)))
            }
            (ScanColumn::Column(column), Literal::Double(literal)) => {
                line.double(column.source).is_some_and(|value| {
                    // The plan compares 0.0 and -0.0.
                    let ordering = value.partial_cmp(literal);
                    ordering.is_none_or(|ordering| ordering.is_eq() || (self.holds)(ordering))
                })
            }
            (ScanColumn::Column(column), Literal::Text(literal)) => {
                let value = line.text(column.source);
                value.is_some_and(|value| (self.holds)(value.cmp(literal)))
            }
            (ScanColumn::UrlParameter(name), Literal::Text(literal)) => {
                let value = line.parameter(name);
                value.is_some_and(|value| (self.holds)((*value).cmp(literal)))
            }
            // The scan can't decide this.
            _ => true,
        }
    }
}
