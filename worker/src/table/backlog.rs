//! The number of log files that wait for a table. Only lists names, and reads no object.

use std::time::SystemTime;

use super::set_aside::NoteNames;
use super::{HowMuch, Root, Table, TableError, staging};

/// The most staged files that are looked at: five pages of a listing.
const STAGED_MAX: usize = 5000;

/// What waits for a generation of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Log files that are staged, and not set aside.
    pub staged: usize,
    /// Whether there are more, which were not looked at.
    pub are_more: bool,
    /// When the oldest of them was staged, by the store's clock.
    pub oldest: Option<SystemTime>,
    /// Log files that are set aside for any generation of the table.
    pub set_aside: HowMuch,
}

impl Root {
    /// What waits for a table, or for its next generation.
    ///
    /// # Errors
    ///
    /// The table's objects can't be listed.
    pub async fn backlog(&self, table: &Table) -> Result<Backlog, TableError> {
        let notes = self.notes(&table.definition.name).await?;
        let set_aside = notes.how_much().await?;
        // Mostly nothing is set aside, and one listing is saved.
        let notes = match set_aside.log_files {
            0 => NoteNames::default(),
            _ => NoteNames::list(&table.store, table.guards).await?,
        };
        let staged = staging::list(&table.store, STAGED_MAX + 1, &notes).await?;
        Ok(Backlog {
            staged: staged.len().min(STAGED_MAX),
            are_more: staged.len() > STAGED_MAX,
            oldest: staged.iter().map(|staged| staged.staged).min(),
            set_aside,
        })
    }
}
