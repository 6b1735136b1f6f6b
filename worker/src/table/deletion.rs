//! Deleting rows from a table that keeps every row.

use arrow::array::RecordBatch;
use deltalake_core::kernel::Action;
use futures::TryStreamExt;

use super::commit::DEADLINE;
use super::data_writer::{DataWriter, Files, remove};
use super::delta_log::Operation;
use super::merging::conform;
use super::retention::Expired;
use super::{DataFile, Table, TableError};
use crate::engine::StreamPlan;

impl Table {
    /// Deletes the rows that a query over the table's rows does not return. It returns rows as they are.
    ///
    /// # Errors
    ///
    /// The table merges rows, or can't be read or written.
    pub(crate) async fn keep_only(&self, query: &StreamPlan) -> Result<Expired, TableError> {
        if self.definition.merges() {
            return Err(TableError::Internal(
                "rows that are merged can't be deleted".to_owned(),
            ));
        }
        self.until_won(|| self.try_keep_only(query)).await
    }

    async fn try_keep_only(&self, query: &StreamPlan) -> Result<Expired, TableError> {
        let begun = self.env.now();
        let version = self.version().await?;
        let mut deleted = Expired::default();
        let mut actions = Vec::new();
        for file in &version.files {
            let mut kept = 0;
            self.each_kept(query, file, async |rows| {
                kept += rows.num_rows() as u64;
                Ok(())
            })
            .await?;
            let rows = file.size().rows;
            if kept == rows {
                continue;
            }
            let mut writer = DataWriter::new(self, Files::One(file.slot()?));
            self.each_kept(query, file, async |rows| writer.write(&rows).await)
                .await?;
            actions.extend(writer.finish(Operation::Delete).await?);
            let removed = remove(&version.folder, file.clone(), Operation::Delete, begun);
            actions.push(Action::Remove(removed));
            deleted.files += 1;
            deleted.rows += rows - kept;
        }
        if !actions.is_empty() {
            self.check_deadline(begun, DEADLINE)?;
            self.write_version(&version, Operation::Delete, actions)
                .await?;
        }
        Ok(deleted)
    }

    async fn each_kept(
        &self,
        query: &StreamPlan,
        file: &DataFile,
        mut each: impl AsyncFnMut(RecordBatch) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let schema = self.definition.row_schema();
        let mut rows = query
            .run(self.rows_of_files(std::slice::from_ref(file)))
            .await?;
        while let Some(batch) = rows.try_next().await? {
            if batch.num_rows() > 0 {
                each(conform(&batch, &schema)?).await?;
            }
        }
        Ok(())
    }
}
