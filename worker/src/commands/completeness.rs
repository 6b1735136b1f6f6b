//! Finds the state of log files in the tables: counted, staged, changed since, or missing. This is the proof of
//! completeness, so any part of a table that can't be read is an error.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use logmill_shared::{LogFile, LogFileId, Shard};

use crate::commands::maintain;
use crate::commands::progress::Waits;
use crate::format::{EMPTY_FILE, FORMATS, LogFormat, Recognised, by_name};
use crate::intake::log_object::LogObject;
use crate::table::definition::REJECTED_LINES;
use crate::table::{Definition, Entry, Root, TableError, Version, Waiting, of_tables};

/// Shards of a table that are read at once. Their entries are all in memory: an hour of a large fleet has tens of thousands
/// of log files.
const SHARDS_AT_ONCE: usize = 8;

/// The state of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Every table that reads its format has counted it.
    Counted,
    /// The next commits will count it; no action is needed.
    Staged,
    /// It was counted, and has changed since. The change is not counted.
    Changed,
    /// Some tables can't count it in its current state: table and reason. It stays set aside until a person acts.
    SetAside(Vec<(String, String)>),
    /// At least one table has neither counted nor staged it. If its name does not tell the format, it may not be a log at all: only
    /// its content can tell.
    Missing {
        /// Tables that have neither counted nor staged it.
        tables: Vec<String>,
        /// Whether other tables have it.
        in_others: bool,
    },
    /// None of the tables that may read it can be opened.
    Unknown,
    /// Its name or its size shows that no table here reads it: the kind of file.
    Skipped(String),
}

/// Counted and staged log files of the tables. Ledger shards are read on demand.
pub struct Ledgers {
    tables: Vec<Ledger>,
    waits: Waits,
    /// Tables that can't be read, and why. What they have counted is unknown.
    pub(crate) unread: Vec<(String, String)>,
}

/// The ledger of one table. It takes about 50 bytes for each log file of the shards that were read.
struct Ledger {
    table: String,
    format: &'static LogFormat,
    version: Version,
    definition: Arc<Definition>,
    waiting: Waiting,
    read: HashSet<Shard>,
    counted: HashMap<LogFileId, CountedEntry>,
}

/// The part of an [`Entry`] that is kept in memory.
struct CountedEntry {
    /// Its log format, if the log table is a known one.
    format: Option<&'static LogFormat>,
    /// A hash of the ETag. A changed log file has the same hash with a probability of 1 in 2^64.
    etag: u64,
}

impl Ledgers {
    /// Opens the ledgers of all tables under `root`, or of these, in their current version. Ignores Delta tables that logmill did
    /// not create.
    ///
    /// # Errors
    ///
    /// There are no tables, or none of them can be read.
    pub async fn open(root: &Root, only: Option<&BTreeSet<String>>) -> Result<Self> {
        Self::open_noting(root, only, Waits::default()).await
    }

    /// Like [`Self::open`]. Notes in `waits` which table is being read, then and later.
    ///
    /// # Errors
    ///
    /// The same.
    pub(crate) async fn open_noting(
        root: &Root,
        only: Option<&BTreeSet<String>>,
        waits: Waits,
    ) -> Result<Self> {
        let there = root.tables().await?;
        let absent = only.into_iter().flatten();
        let absent: Vec<String> = absent
            .filter(|name| !there.contains(name))
            .cloned()
            .collect();
        let names = there
            .into_iter()
            .filter(|name| name != REJECTED_LINES && only.is_none_or(|only| only.contains(name)));
        let opened = names.map(async |name| {
            let _wait = waits.begin(format!("the table {name}"));
            (name.clone(), Ledger::open(root, name).await)
        });
        let mut ledgers = Self {
            tables: Vec::new(),
            waits: waits.clone(),
            unread: Vec::new(),
        };
        let mut first = None;
        for name in absent {
            let reason = format!("the table '{name}' does not exist yet, but its rollup does");
            first = first.or_else(|| Some(anyhow!("{reason}")));
            ledgers.unread.push((name, reason));
        }
        for (name, opened) in of_tables(opened).await {
            match opened {
                Ok(Some(table)) => ledgers.tables.push(table),
                Ok(None) => {}
                Err(error) => {
                    ledgers.unread.push((name, format!("{error:#}")));
                    first = first.or(Some(error));
                }
            }
        }
        match (ledgers.tables.is_empty(), first) {
            (true, Some(error)) => Err(error),
            (true, None) => bail!("no tables found in {}", root.url()),
            (false, _) => Ok(ledgers),
        }
    }

    /// Whether any log file is set aside.
    pub fn have_set_aside(&self) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|table| table.waiting.all_set_aside().next().is_some())
    }

    /// Returns log files of these shards that are set aside, not counted, and not among `log_files`: id and reason. If a
    /// staged file is damaged, nothing else may be known.
    ///
    /// # Errors
    ///
    /// A ledger can't be read.
    pub async fn set_aside_beside(
        &mut self,
        log_files: &HashSet<LogFileId>,
        shards: impl Fn(&Shard) -> bool,
    ) -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for table in &mut self.tables {
            let others = table.waiting.all_set_aside();
            let others = others.filter(|(id, shard, _)| !log_files.contains(id) && shards(shard));
            let others: Vec<(LogFileId, Shard, String)> = others
                .map(|(id, shard, reason)| (id, shard.clone(), reason.to_owned()))
                .collect();
            let shards = others.iter().map(|(_, shard, _)| shard.clone()).collect();
            table.read(&shards, &[]).await?;
            let left = others
                .into_iter()
                .filter(|(id, ..)| !table.counted.contains_key(id));
            all.extend(left.map(|(id, _, reason)| {
                (
                    format!("the log file with the id {id}"),
                    format!("for {}: {reason}", table.table),
                )
            }));
        }
        Ok(all)
    }

    /// Fails if any table can't be read.
    ///
    /// # Errors
    ///
    /// The reason for the first such table.
    pub fn check_all_read(&self) -> Result<()> {
        match self.unread.first() {
            Some((_, error)) => bail!("{error}"),
            None => Ok(()),
        }
    }

    /// Returns the states of these log files, in the same order. Reads the ledger shards that were not read before.
    pub async fn standings(&mut self, found: &[LogObject]) -> Result<Vec<Standing>> {
        let shards: HashSet<Shard> = found.iter().map(|found| found.log_file.shard()).collect();
        let ids: Vec<LogFileId> = found.iter().map(|found| found.log_file.id()).collect();
        let waits = &self.waits;
        let (shards, ids) = (&shards, &ids);
        let read = self.tables.iter_mut().map(async |table| {
            let _wait = waits.begin(format!("the ledger of the table {}", table.table));
            table.read(shards, ids).await
        });
        let mut failed = Vec::new();
        for (at, read) in of_tables(read).await.into_iter().enumerate() {
            if let Err(error) = read {
                failed.push((at, format!("{error:#}")));
            }
        }
        for (at, error) in failed.into_iter().rev() {
            let table = self.tables.remove(at).table;
            self.unread.push((table, error));
        }
        Ok(found.iter().map(|found| self.standing(found)).collect())
    }

    fn standing(&self, found: &LogObject) -> Standing {
        let id = found.log_file.id();
        let counted: Vec<&CountedEntry> = self
            .tables
            .iter()
            .filter_map(|table| table.counted.get(&id))
            .collect();
        let format = match self.format(&found.log_file, id, &counted) {
            Format::Known(format) => Some(format),
            Format::Unknown => None,
            Format::None(what) => return Standing::Skipped(what),
        };
        // While its format is unknown, it may be a log for any of the tables.
        let reading: Vec<&Ledger> = self.reading(format).collect();
        match (reading.is_empty(), format) {
            (true, _) if !self.unread.is_empty() => return Standing::Unknown,
            (true, Some(format)) => return Standing::Skipped(not_read(format)),
            _ => {}
        }
        let has = |table: &&&Ledger| table.counted.contains_key(&id) || table.waiting.is_staged(id);
        let lacking = || reading.iter().filter(|table| !has(table));
        let set_aside = lacking().filter_map(|table| {
            let reason = table.waiting.set_aside(id)?;
            Some((table.table.clone(), reason.to_owned()))
        });
        let set_aside: Vec<(String, String)> = set_aside.collect();
        let missing: Vec<String> = lacking()
            .filter(|table| table.waiting.set_aside(id).is_none())
            .map(|table| table.table.clone())
            .collect();
        let etag = hash(&found.etag);
        if !missing.is_empty() && found.bytes == 0 {
            Standing::Skipped(EMPTY_FILE.to_owned())
        } else if !missing.is_empty() {
            Standing::Missing {
                in_others: missing.len() < reading.len(),
                tables: missing,
            }
        } else if !set_aside.is_empty() {
            Standing::SetAside(set_aside)
        } else if counted.iter().any(|counted| counted.etag != etag) {
            Standing::Changed
        } else if reading.iter().any(|table| !table.counted.contains_key(&id)) {
            Standing::Staged
        } else {
            Standing::Counted
        }
    }

    /// Finds the format of a log file: from its ledger entry or staged file, or else from its name.
    fn format(&self, log_file: &LogFile, id: LogFileId, counted: &[&CountedEntry]) -> Format {
        if let Some(format) = counted.iter().find_map(|counted| counted.format) {
            return Format::Known(format);
        }
        if let Some(table) = self.tables.iter().find(|table| table.waiting.is_staged(id)) {
            return Format::Known(table.format);
        }
        match by_name(log_file.named_as()) {
            Some(Recognised::Log(format, _) | Recognised::Claimed(format)) => Format::Known(format),
            Some(Recognised::Other(kind)) => Format::None(kind.to_owned()),
            Some(Recognised::Unrecognised(_) | Recognised::Parquet) | None => Format::Unknown,
        }
    }

    /// The format of a log file that a table has counted or staged.
    pub(crate) fn known_format(&self, log_file: &LogFile) -> Option<&'static LogFormat> {
        let id = log_file.id();
        let counted = self.tables.iter().find_map(|table| table.counted.get(&id));
        counted.and_then(|counted| counted.format).or_else(|| {
            let mut tables = self.tables.iter();
            let staged = tables.find(|table| table.waiting.is_staged(id));
            staged.map(|table| table.format)
        })
    }

    /// The tables that read this format, or all tables if it is unknown.
    fn reading(&self, format: Option<&'static LogFormat>) -> impl Iterator<Item = &Ledger> {
        let reads = move |table: &&Ledger| format.is_none_or(|format| format == table.format);
        self.tables.iter().filter(reads)
    }

    /// Whether any table reads this format.
    pub(crate) fn read_format(&self, format: &'static LogFormat) -> bool {
        self.reading(Some(format)).next().is_some()
    }
}

enum Format {
    Known(&'static LogFormat),
    Unknown,
    None(String),
}

/// Why a log of this format is skipped.
pub(crate) fn not_read(format: &LogFormat) -> String {
    format!("of {}, which no table here reads", format.table)
}

impl Ledger {
    /// Returns `None` for a Delta table that logmill did not create.
    async fn open(root: &Root, table: String) -> Result<Option<Self>> {
        let read = async || {
            // Staging is read before the version: what a concurrent commit removes from staging is in the later version.
            let waiting = root.waiting(&table).await?;
            let version = match root.read(&table).await {
                Err(TableError::NotOurs { .. }) => return Ok(None),
                version => version?,
            };
            version.check_files_exist().await?;
            let rollup = maintain::rollup(&table, &version).await?;
            anyhow::Ok(Some((waiting.at(&version), version, rollup)))
        };
        let opened = read().await;
        let opened = opened.with_context(|| format!("the table '{table}' cannot be read"))?;
        Ok(opened.map(|(waiting, version, rollup)| Self {
            table,
            format: rollup.format(),
            definition: Arc::clone(rollup.definition()),
            version,
            waiting,
            read: HashSet::new(),
            counted: HashMap::new(),
        }))
    }

    /// Reads the table's ledger for these shards, and checks which of these log files are staged.
    async fn read(&mut self, shards: &HashSet<Shard>, log_files: &[LogFileId]) -> Result<()> {
        let seen = self
            .waiting
            .check(log_files, &self.definition, &self.version)
            .await;
        seen.with_context(|| {
            format!(
                "the staged files of the table '{}' cannot be read",
                self.table
            )
        })?;
        let fresh: Vec<&Shard> = shards.difference(&self.read).collect();
        let fresh: Vec<Shard> = fresh.into_iter().cloned().collect();
        for shards in fresh.chunks(SHARDS_AT_ONCE) {
            let entries = self.version.counted_entries(shards).await;
            let entries = entries.map_err(|error| match error.missing_object() {
                Some(missing) => anyhow!(
                    "{missing} is missing. Unless the table has just changed, restore the object, or remove the \
                     table's folder and count the logs again"
                ),
                None => error.into(),
            });
            let entries = entries.with_context(|| {
                format!("the ledger of the table '{}' cannot be read", self.table)
            })?;
            let counted = entries
                .iter()
                .map(|(id, entry)| (*id, CountedEntry::of(entry)));
            self.counted.extend(counted);
            self.read.extend(shards.iter().cloned());
        }
        Ok(())
    }
}

impl CountedEntry {
    fn of(entry: &Entry) -> Self {
        let mut formats = FORMATS.into_iter();
        Self {
            format: formats.find(|format| format.table == entry.log_table),
            etag: hash(&entry.etag),
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::feeds::Feeds;
    use crate::intake::file_rules::FileRules;
    use crate::intake::listing;
    use crate::pipeline;
    use crate::rollup::Rollup;

    const ALB: &str = "https 2026-11-20T10:00:00.000001Z app/shop/50dc6c495c0c9188 192.0.2.1:2817 10.0.0.1:80 \
        0.001 0.020 0.000 200 200 34 366 \"GET https://shop.example:443/ HTTP/1.1\" \"curl/8\" - -\n";

    struct Scene {
        folder: tempfile::TempDir,
        root: Root,
    }

    impl Scene {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let tables = folder.path().join("tables");
            Self {
                root: Root::create(tables.to_str().unwrap()).await.unwrap(),
                folder,
            }
        }

        async fn tables(&self, tables: &[(&str, &str)]) -> Feeds {
            let mut rollups = Vec::new();
            for (name, from) in tables {
                let sql = format!("SELECT elb_name, count(*) AS lines FROM {from} GROUP BY 1");
                let sql = match *from {
                    "alb_access_logs" => sql.replace("elb_name", "elb"),
                    _ => sql,
                };
                rollups.push(Rollup::from_sql(name, &sql).await.unwrap());
            }
            Feeds::open(&self.root, rollups.into()).await.unwrap().0
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join("logs").join(name)
        }

        async fn log(&self, name: &str, text: &str) -> LogObject {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let found = listing::list(&[path.to_str().unwrap().to_owned()], "").await;
            found.unwrap().found.remove(0)
        }

        async fn standing(&self, found: &LogObject) -> Standing {
            let mut ledgers = Ledgers::open(&self.root, None).await.unwrap();
            let mut standings = ledgers
                .standings(std::slice::from_ref(found))
                .await
                .unwrap();
            standings.remove(0)
        }
    }

    async fn stage(found: &LogObject, tables: &Feeds) {
        let source = pipeline::source(found, &FileRules::default());
        let limits = pipeline::Limits {
            text_bytes: 1 << 20,
            group_bytes: 1 << 20,
        };
        pipeline::stage(source, &tables.tables, limits)
            .await
            .unwrap();
    }

    fn missing(tables: &[&str], in_others: bool) -> Standing {
        Standing::Missing {
            tables: tables.iter().map(|&table| table.to_owned()).collect(),
            in_others,
        }
    }

    const ALB_NAME: &str =
        "1_elasticloadbalancing_us-east-2_app.shop.0_20261120T1000Z_10.0.0.1_r.log";

    #[tokio::test]
    async fn a_log_file_is_missing_then_staged_then_counted_and_may_change() {
        let scene = Scene::new().await;
        let tables = scene
            .tables(&[
                ("one", "alb_access_logs"),
                ("two", "alb_access_logs"),
                ("classic", "elb_logs"),
            ])
            .await;
        for name in [ALB_NAME, "export.log"] {
            let found = scene.log(name, ALB).await;
            // A name that does not tell the format may belong to any log.
            let all = if name == ALB_NAME {
                vec!["one", "two"]
            } else {
                vec!["classic", "one", "two"]
            };
            assert_eq!(scene.standing(&found).await, missing(&all, false));
            stage(&found, &tables).await;
            assert_eq!(scene.standing(&found).await, Standing::Staged);
            tables.tables[0].table().unwrap().commit().await.unwrap();
            assert_eq!(
                scene.standing(&found).await,
                Standing::Staged,
                "not for all yet"
            );
            tables.tables[1].table().unwrap().commit().await.unwrap();
            assert_eq!(scene.standing(&found).await, Standing::Counted);
            let changed = scene.log(name, &ALB.repeat(2)).await;
            assert_eq!(scene.standing(&changed).await, Standing::Changed);
        }
        // A table that was added later has counted nothing.
        let found = scene.log(ALB_NAME, ALB).await;
        scene.tables(&[("zero", "alb_access_logs")]).await;
        assert_eq!(scene.standing(&found).await, missing(&["zero"], true));
        // It no longer has a rollup, so no log files are missing from it. But a rollup's table that does not exist yet counts.
        let judged = ["one", "two"].map(str::to_owned).into();
        let mut ledgers = Ledgers::open(&scene.root, Some(&judged)).await.unwrap();
        let standings = ledgers.standings(std::slice::from_ref(&found));
        assert_eq!(standings.await.unwrap(), [Standing::Changed]);
        let judged = ["one", "three"].map(str::to_owned).into();
        let ledgers = Ledgers::open(&scene.root, Some(&judged)).await.unwrap();
        assert_eq!(ledgers.unread[0].0, "three");
    }

    #[tokio::test]
    async fn what_no_table_reads_is_skipped_by_its_name() {
        let scene = Scene::new().await;
        assert!(
            Ledgers::open(&scene.root, None).await.is_err(),
            "no tables found"
        );
        let _tables = scene.tables(&[("classic", "elb_logs")]).await;
        let skipped = async |name: &str| {
            let found = scene.log(name, ALB).await;
            match scene.standing(&found).await {
                Standing::Skipped(what) => what,
                other => panic!("{name}: {other:?}"),
            }
        };
        assert_eq!(
            skipped(ALB_NAME).await,
            "of alb_access_logs, which no table here reads"
        );
        assert_eq!(
            skipped(&format!("conn_log_{ALB_NAME}")).await,
            "of alb_connection_logs, which no table here reads"
        );
        assert_eq!(skipped("ELBAccessLogTestFile").await, "test object");
        let found = scene
            .log(&ALB_NAME.replace("app.shop.0", "classic"), "")
            .await;
        let empty = Standing::Skipped("empty file".to_owned());
        assert_eq!(scene.standing(&found).await, empty);
    }
}
