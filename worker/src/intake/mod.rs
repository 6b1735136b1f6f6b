//! Where log files come from.

pub mod listing;
