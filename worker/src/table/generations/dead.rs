//! Deletes generations that can't become live any more: earlier ones, and those that were begun and dropped.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::super::commit::DEADLINE;
use super::super::guards::Guard;
use super::super::vacuum::ORPHAN_GRACE;
use super::super::{
    Table, TableError, Version, delete, ledger, lookup_file, milliseconds, set_aside, staging,
};
use super::Folder;

impl Table {
    /// Deletes what is left of generations that can't become live again. Returns the number of objects and their size. Staged files and
    /// notes are left for [`Root::strays`].
    pub(in crate::table) async fn vacuum_generations(
        &self,
        version: &Version,
        begun: SystemTime,
        grace: Duration,
    ) -> Result<(usize, u64), TableError> {
        if self.is_next() {
            return Ok((0, 0));
        }
        let table = self.log();
        let mut paths = Vec::new();
        let mut bytes = 0;
        for folder in Folder::list(&table).await? {
            let is_kept =
                version.generations.keeps(&folder, begun) && self.guards.is_on(Guard::EarlierKept);
            if version.feeds(&folder) || is_kept {
                continue;
            }
            // A query may read a version in which it was live.
            let replaced_before = match self.guards.is_on(Guard::EarlierKept) {
                true => begun - grace - DEADLINE,
                false => begun,
            };
            let is_over = version
                .generations
                .was_replaced_before(&folder, replaced_before);
            let orphaned = milliseconds(begun - ORPHAN_GRACE);
            let store = folder.store(Arc::clone(&table));
            let top = store.list_with_delimiter(None).await?;
            let is_dead =
                |object: &ObjectMeta| is_over || object.last_modified.timestamp_millis() < orphaned;
            let mut take = |object: ObjectMeta| {
                bytes += object.size;
                paths.push(Path::from(folder.in_log(object.location.as_ref())));
            };
            if folder != Folder::default() {
                // The lease.
                top.objects.into_iter().filter(is_dead).for_each(&mut take);
            }
            for part in top.common_prefixes {
                let name = part.filename().unwrap_or_default();
                let is_of_first = name.starts_with("date=")
                    || [ledger::FOLDER, lookup_file::FOLDER].contains(&name);
                let is_of_generation = match folder == Folder::default() {
                    // The table's own log and its other generations are there too.
                    true => is_of_first,
                    false => ![staging::FOLDER, set_aside::FOLDER].contains(&name),
                };
                if !is_of_generation {
                    continue;
                }
                let mut objects = store.list(Some(&part));
                while let Some(object) = objects.try_next().await? {
                    if is_dead(&object) {
                        take(object);
                    }
                }
            }
        }
        let deleted = paths.len();
        delete(&table, paths).await?;
        Ok((deleted, bytes))
    }
}
