//! The problems of the tables of a worker, with their reasons. Metrics only count them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::feeds::Trouble;
use crate::moment::Moment;
use crate::status::{Failing, TableTrouble};

/// The problems of each table. Tables without problems may be absent.
#[derive(Debug, Default)]
pub(super) struct TableStates(Mutex<BTreeMap<String, TableState>>);

/// The problems of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct TableState {
    pub(super) trouble: Option<TableTrouble>,
    pub(super) failing: Option<Failing>,
}

impl TableStates {
    pub(super) fn trouble(&self, trouble: &Trouble) {
        self.lock()
            .entry(trouble.table.clone())
            .or_default()
            .trouble = Some(TableTrouble {
            what: trouble.what.clone(),
            is_failure: trouble.is_failure,
        });
    }

    pub(super) fn no_trouble(&self, table: &str) {
        if let Some(state) = self.lock().get_mut(table) {
            state.trouble = None;
        }
    }

    pub(super) fn commit_failed(&self, table: &str, error: String) {
        let mut states = self.lock();
        let state = states.entry(table.to_owned()).or_default();
        let last = Moment::now();
        let since = state.failing.as_ref().map_or(last, |failing| failing.since);
        state.failing = Some(Failing { since, last, error });
    }

    pub(super) fn committed(&self, table: &str) {
        if let Some(state) = self.lock().get_mut(table) {
            state.failing = None;
        }
    }

    pub(super) fn all(&self) -> BTreeMap<String, TableState> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, TableState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
