//! Records up to when the tables of a run are final. A run has listed everything that was delivered before it began. So when it has
//! counted all of it, the newest log files tell the time as in a worker, and nothing has to settle first.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use chrono::{DateTime, Utc};
use logmill_shared::chain;

use super::Summary;
use crate::delivery::{Arrival, Bounds, Late, Recorder, Records};
use crate::feeds::{Feeds, Trouble};
use crate::maintenance;
use crate::table::{Entry, Root, Table, TableError, of_tables};

/// Up to when the tables were final before the run.
pub(super) struct Finality {
    records: Records,
    /// The time, and the bounds by which it was recorded.
    before: HashMap<String, (Option<DateTime<Utc>>, Bounds)>,
}

impl Finality {
    pub(super) async fn open(root: &Root, feeds: &Feeds) -> Result<Self> {
        let records = Records::of(root)?;
        let tracked = feeds.rollups().filter(|fed| !fed.table.is_next());
        let read = of_tables(tracked.map(async |fed| {
            let name = &fed.table.definition().name;
            // A table that can't be read is reported elsewhere, and a record that can't be read is replaced.
            let version = fed.table.version().await.ok()?;
            let record = records.of_version(name, &version).await.ok()??;
            Some((name.clone(), (record.final_until, record.bounds())))
        }));
        let before = read.await.into_iter().flatten().collect();
        Ok(Self { records, before })
    }

    /// The log files among these that are late.
    pub(super) fn late(&self, table: &str, entries: &[Entry]) -> Vec<Late> {
        let now = Utc::now();
        let final_until = self.before.get(table).and_then(|(until, _)| *until);
        let late = entries
            .iter()
            .filter_map(|entry| Arrival::of_entry(entry).late(final_until, now));
        let late: Vec<Late> = late.collect();
        maintenance::log_late(table, &late);
        late
    }

    /// Records up to when the tables are final. They become final up to a later time only if the run has counted all log files that it
    /// found.
    pub(super) async fn record(
        &self,
        feeds: &Feeds,
        mut late: BTreeMap<String, Vec<Late>>,
        summary: &mut Summary,
    ) {
        let may_advance = !summary.has_failures();
        let tracked = feeds.rollups().filter(|fed| !fed.table.is_next());
        let tracked = tracked.map(|fed| {
            let name = &fed.table.definition().name;
            (name, &fed.table, late.remove(name).unwrap_or_default())
        });
        let recorded = of_tables(tracked.collect::<Vec<_>>().into_iter().map(
            async |(name, table, late)| {
                let count = late.len();
                let recorded = self.record_table(table, late, may_advance).await;
                (name, count, recorded)
            },
        ));
        for (name, late, recorded) in recorded.await {
            if late > 0 {
                summary.late.insert(name.clone(), late);
            }
            if let Err(error) = recorded
                && summary
                    .troubles
                    .iter()
                    .all(|trouble| trouble.table != *name)
            {
                summary.trouble(Trouble {
                    table: name.clone(),
                    what: format!(
                        "up to when the table is final could not be recorded: {}",
                        chain(&error)
                    ),
                    is_failure: false,
                });
            }
        }
    }

    async fn record_table(
        &self,
        table: &Table,
        late: Vec<Late>,
        may_advance: bool,
    ) -> Result<(), TableError> {
        let now = Utc::now();
        let bounds = self.before.get(&table.definition().name);
        let bounds = bounds.map_or_else(Bounds::default, |(_, bounds)| *bounds);
        let mut recorder = Recorder::open(&self.records, table, bounds, None, now).await?;
        recorder.add_late(late);
        recorder.record(table, may_advance, now).await?;
        Ok(())
    }
}
