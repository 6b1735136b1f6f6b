//! Loads alerts, one per file.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use logmill_shared::S3Uri;

use super::{Alert, Alerts, Webhook};
use crate::commands::query::final_rows::plan_final;
use crate::rollup::{Loaded, Rollup, is_plain_name};
use crate::small_files::{self, SmallFile, Unread};

/// The folder of alerts, in the folder of rollups.
const FOLDER: &str = "alerts";

/// The extension of an alert's file.
const ENDING: &str = ".sql";

/// An alert's file that can't be used.
#[derive(Debug)]
pub struct InvalidAlert {
    /// The file's name without extension.
    pub name: String,
    /// The error, with the file's location.
    pub reason: String,
}

impl Alerts {
    /// Loads every `.sql` file of the folder `alerts` in a folder of rollups, which is a path or `s3://bucket/prefix`, and plans it over
    /// the tables of these rollups.
    ///
    /// # Errors
    ///
    /// The folder can't be read. Errors of single files are in [`Alerts::invalid`] instead.
    pub async fn load(rollups: &str, loaded: &Loaded, webhook: Option<Webhook>) -> Result<Self> {
        let mut alerts = Self {
            webhook,
            ..Self::default()
        };
        let folder = format!("{}/{FOLDER}", rollups.trim_end_matches('/'));
        if S3Uri::parse(&folder)?.is_none() && !Path::new(&folder).exists() {
            return Ok(alerts);
        }
        for file in small_files::read(&folder, |name| name.ends_with(ENDING)).await? {
            let (Ok(SmallFile { name, place, .. }) | Err(Unread { name, place, .. })) = &file;
            let (name, place) = (name.trim_end_matches(ENDING).to_owned(), place.clone());
            let alert = match file {
                Ok(file) => Self::alert(&name, &file, &loaded.rollups).await,
                Err(unread) => Err(unread.source),
            };
            match alert {
                Ok(alert) => alerts.alerts.push(alert),
                Err(error) => alerts.invalid.push(InvalidAlert {
                    reason: format!("{place}: {error:#}"),
                    name,
                }),
            }
        }
        Ok(alerts)
    }

    async fn alert(name: &str, file: &SmallFile, rollups: &[Arc<Rollup>]) -> Result<Alert> {
        anyhow::ensure!(
            is_plain_name(name),
            "'{name}' is not a valid name of an alert. Begin with a lower-case letter, and use only lower-case letters, digits and _"
        );
        let sql = file.text()?;
        let query = Box::pin(plan_final(rollups, sql)).await?;
        Ok(Alert {
            name: name.to_owned(),
            sql: sql.to_owned(),
            query: Arc::new(query),
        })
    }
}
