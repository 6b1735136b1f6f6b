//! Reads a certificate, and checks that its content matches its roots. The lists of log files may be larger than memory, so they are
//! read one log file after the other. The order of the fields, and the layout, have no effect.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::file::{Certificate, CountedLogFile, FORMAT};
use super::merkle::{Tree, hex};

/// Receives the lists of log files of a certificate.
pub(super) trait Lists {
    /// The next log file of the current list.
    fn log_file(&mut self, log_file: CountedLogFile);
    /// The current list has ended: the root that the certificate gives for it.
    fn end(&mut self, root: String);
}

/// Reads a certificate. `lists` receives its lists.
///
/// # Errors
///
/// The file can't be read, is not a certificate, or is one of another format.
pub(super) fn read(path: &Path, lists: &mut dyn Lists) -> Result<Certificate> {
    let what = || format!("the certificate {}", path.display());
    let file = File::open(path).with_context(|| format!("{} cannot be opened", what()))?;
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file));
    let certificate = json.deserialize_map(WholeFile(lists));
    let certificate = certificate.and_then(|certificate| json.end().map(|()| certificate));
    let certificate = certificate.with_context(|| format!("{} cannot be read", what()))?;
    match certificate {
        Read::Certificate(certificate) => Ok(*certificate),
        Read::Format(format) => bail!(
            "{} has format {format}; this version of logmill reads format {FORMAT}",
            what()
        ),
    }
}

enum Read {
    Certificate(Box<Certificate>),
    Format(u64),
}

struct WholeFile<'l>(&'l mut dyn Lists);

impl<'de> Visitor<'de> for WholeFile<'_> {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a certificate of `logmill verify --certificate`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let mut format: Option<u64> = None;
        let (mut root, mut from, mut to) = (None, None, None);
        let (mut complete, mut tables, mut requests) = (None, None, None);
        let mut has_lists = false;
        while let Some(name) = map.next_key::<String>()? {
            let name = name.as_str();
            // A newer format may have any other fields.
            if format.is_some_and(|format| format != u64::from(FORMAT)) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match name {
                "format" => once("format", &mut format, &mut map)?,
                "root" => once("root", &mut root, &mut map)?,
                "from" => once("from", &mut from, &mut map)?,
                "to" => once("to", &mut to, &mut map)?,
                "complete" => once("complete", &mut complete, &mut map)?,
                "tables" => once("tables", &mut tables, &mut map)?,
                "requests" => once("requests", &mut requests, &mut map)?,
                "log_files" if has_lists => return Err(A::Error::duplicate_field("log_files")),
                "log_files" => {
                    map.next_value_seed(EachList(self.0))?;
                    has_lists = true;
                }
                _ => return Err(A::Error::custom(format!("unknown field {name:?}"))),
            }
        }
        let missing = A::Error::missing_field;
        let format = format.ok_or_else(|| missing("format"))?;
        if format != u64::from(FORMAT) {
            return Ok(Read::Format(format));
        }
        if !has_lists {
            return Err(missing("log_files"));
        }
        Ok(Read::Certificate(Box::new(Certificate {
            root: root.ok_or_else(|| missing("root"))?,
            from: from.ok_or_else(|| missing("from"))?,
            to: to.ok_or_else(|| missing("to"))?,
            complete: complete.ok_or_else(|| missing("complete"))?,
            tables: tables.ok_or_else(|| missing("tables"))?,
            requests: requests.ok_or_else(|| missing("requests"))?,
        })))
    }
}

fn once<'de, T: serde::Deserialize<'de>, A: MapAccess<'de>>(
    name: &'static str,
    value: &mut Option<T>,
    map: &mut A,
) -> Result<(), A::Error> {
    match value.replace(map.next_value()?) {
        None => Ok(()),
        Some(_) => Err(A::Error::duplicate_field(name)),
    }
}

/// All lists.
struct EachList<'l>(&'l mut dyn Lists);

impl<'de> DeserializeSeed<'de> for EachList<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EachList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of log files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(OneList(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

/// One list, with its root.
struct OneList<'l>(&'l mut dyn Lists);

impl<'de> DeserializeSeed<'de> for OneList<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of log files with its root")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut root = None;
        let mut has_log_files = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "root" => once("root", &mut root, &mut map)?,
                "log_files" if has_log_files => {
                    return Err(A::Error::duplicate_field("log_files"));
                }
                "log_files" => {
                    map.next_value_seed(EachLogFile(&mut *self.0))?;
                    has_log_files = true;
                }
                _ => return Err(A::Error::custom(format!("unknown field {name:?}"))),
            }
        }
        if !has_log_files {
            return Err(A::Error::missing_field("log_files"));
        }
        self.0
            .end(root.ok_or_else(|| A::Error::missing_field("root"))?);
        Ok(())
    }
}

struct EachLogFile<'l>(&'l mut dyn Lists);

impl<'de> DeserializeSeed<'de> for EachLogFile<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EachLogFile<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("log files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(log_file) = seq.next_element()? {
            self.0.log_file(log_file);
        }
        Ok(())
    }
}

/// The sums over a list, and the root of its log files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListSums {
    pub(super) root: String,
    pub(super) log_files: i64,
    pub(super) bytes: i64,
    pub(super) lines: i64,
    pub(super) rejected_lines: i64,
}

impl ListSums {
    /// Of the log files of a day, in the order of their URIs.
    pub(super) fn of<'l>(log_files: impl IntoIterator<Item = &'l CountedLogFile>) -> Self {
        let mut adding = Adding::default();
        log_files
            .into_iter()
            .for_each(|log_file| adding.add(log_file));
        adding.end()
    }
}

#[derive(Debug, Default)]
struct Adding {
    tree: Tree,
    sums: ListSums,
}

impl Adding {
    fn add(&mut self, log_file: &CountedLogFile) {
        self.tree.push(log_file.leaf());
        self.sums.log_files += 1;
        // A damaged or forged certificate may have any numbers.
        self.sums.bytes = self.sums.bytes.wrapping_add(log_file.bytes);
        self.sums.lines = self.sums.lines.wrapping_add(log_file.lines);
        self.sums.rejected_lines = self
            .sums
            .rejected_lines
            .wrapping_add(log_file.rejected_lines);
    }

    fn end(self) -> ListSums {
        ListSums {
            root: hex(&self.tree.root()),
            ..self.sums
        }
    }
}

/// A certificate, and the sums of its lists.
pub(super) struct Checked {
    pub(super) certificate: Certificate,
    /// By the root that the certificate gives for a list.
    lists: HashMap<String, ListSums>,
}

#[derive(Default)]
struct AddingLists {
    current: Adding,
    lists: HashMap<String, ListSums>,
}

impl Lists for AddingLists {
    fn log_file(&mut self, log_file: CountedLogFile) {
        self.current.add(&log_file);
    }

    fn end(&mut self, root: String) {
        let sums = std::mem::take(&mut self.current).end();
        self.lists.insert(root, sums);
    }
}

impl Checked {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// The file can't be read, is not a certificate, or is one of another format.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut lists = AddingLists::default();
        let certificate = read(path, &mut lists)?;
        Ok(Self {
            certificate,
            lists: lists.lists,
        })
    }

    /// Whether the list with this root has other log files than it had when it was written, or is missing.
    pub(super) fn is_list_changed(&self, root: &str) -> bool {
        match self.lists.get(root) {
            Some(sums) => sums.root != root,
            None => root != ListSums::of([]).root,
        }
    }

    /// The signs that somebody edited the file. Empty if there are none.
    pub(super) fn changes(&self) -> Vec<String> {
        let mut changes = Vec::new();
        let Certificate { root, tables, .. } = &self.certificate;
        let computed = self.certificate.computed_root();
        if computed != *root {
            changes.push(format!(
                "its root is {root}, but its tables and days give {computed}"
            ));
        }
        let mut named: HashSet<&str> = HashSet::new();
        // Tables share lists.
        let mut by_list: BTreeMap<(&str, &str, String), Vec<&str>> = BTreeMap::new();
        for table in tables {
            for day in &table.days {
                let (name, date) = (table.table.as_str(), day.day.as_str());
                let root = day.log_files_root.as_str();
                let sums = match self.lists.get(root) {
                    Some(sums) => sums.clone(),
                    None => ListSums::of([]),
                };
                named.insert(root);
                let said = ListSums {
                    root: sums.root.clone(),
                    log_files: day.log_files,
                    bytes: day.bytes,
                    lines: day.lines,
                    rejected_lines: day.rejected_lines,
                };
                if sums.root != root {
                    let tables = by_list.entry((date, root, sums.root));
                    tables.or_default().push(name);
                } else if said != sums {
                    changes.push(format!(
                        "the numbers of {name} on {date} are not those of its log files"
                    ));
                }
            }
        }
        changes.extend(by_list.into_iter().map(|((date, root, computed), tables)| {
            format!(
                "the log files of {date} ({}) have the root {root}, but their list gives {computed}",
                tables.join(", ")
            )
        }));
        let others = self
            .lists
            .keys()
            .filter(|root| !named.contains(root.as_str()));
        changes.extend(others.map(|root| format!("no table has the list of log files {root}")));
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::super::file::{self, DayRecord, RequestRecord, TableRecord};
    use super::*;

    /// Keys that are valid in a bucket, and break careless programs.
    const NAMES: [&str; 6] = [
        "s3://logs/a b/../é%2B?#.log",
        "s3://logs/quote\"back\\slash/new\nline\ttab\u{0}",
        "s3://logs/\u{1b}[2J\u{202e}\u{2028}",
        "s3://logs/日本 👩\u{200d}💻",
        "s3://logs/{\"root\": \"0\"}",
        "s3://logs/",
    ];

    fn certificate() -> (Certificate, Vec<CountedLogFile>) {
        let names: Vec<&str> = {
            let mut names = NAMES.to_vec();
            names.sort_unstable();
            names
        };
        let log_files = names.into_iter().zip(1..);
        let log_files: Vec<CountedLogFile> = log_files
            .map(|(name, number)| CountedLogFile {
                log_file: name.to_owned(),
                etag: format!("etag-{number}"),
                bytes: 100 * number,
                lines: 10 * number,
                rejected_lines: number,
            })
            .collect();
        let sums = ListSums::of(&log_files);
        let day = DayRecord {
            day: "2026-11-20".to_owned(),
            rows: 3,
            totals: BTreeMap::from([("a \"column\"".to_owned(), "12".to_owned())]),
            log_files: sums.log_files,
            bytes: sums.bytes,
            lines: sums.lines,
            rejected_lines: sums.rejected_lines,
            failed_lines: 0,
            log_files_root: sums.root,
        };
        let table = TableRecord {
            table: "t".to_owned(),
            log_table: "alb_access_logs".to_owned(),
            sql: "00".to_owned(),
            generation: "the first".to_owned(),
            erased: 0,
            without_totals: vec!["mean".to_owned()],
            days: vec![day],
        };
        let requests = RequestRecord {
            table: "t".to_owned(),
            balancer: "app/shop/1".to_owned(),
            day: "2026-11-20".to_owned(),
            requests: 7,
            log_files: 1,
            lines: 6,
            rejected_lines: 0,
            short_hours: None,
            short_by: Some(1),
        };
        let mut certificate = Certificate {
            root: String::new(),
            from: "2026-11-20".to_owned(),
            to: "2026-11-21".to_owned(),
            complete: true,
            tables: vec![table],
            requests: vec![requests],
        };
        certificate.root = certificate.computed_root();
        (certificate, log_files)
    }

    fn written(certificate: &Certificate, log_files: &[CountedLogFile]) -> String {
        let mut lists = file::Lists::new(Vec::new());
        let root = &certificate.tables[0].days[0].log_files_root;
        lists.add(root, log_files.iter()).unwrap();
        let lists = lists.end().unwrap();
        let mut out = Vec::new();
        certificate
            .write(&mut out, |out| out.write_all(&lists))
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn read_text(text: &str) -> Result<Checked> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Checked::read(file.path())
    }

    #[derive(Default)]
    struct All(Vec<CountedLogFile>, Vec<String>);

    impl Lists for All {
        fn log_file(&mut self, log_file: CountedLogFile) {
            self.0.push(log_file);
        }
        fn end(&mut self, root: String) {
            self.1.push(root);
        }
    }

    #[test]
    fn what_is_written_is_read_whatever_the_names_are() {
        let (certificate, log_files) = certificate();
        let text = written(&certificate, &log_files);
        let checked = read_text(&text).unwrap();
        assert_eq!(checked.certificate, certificate);
        assert_eq!(checked.changes(), Vec::<String>::new());
        let lines = text.lines();
        let entries = lines.filter(|line| line.starts_with("{\"log_file\":"));
        assert_eq!(entries.count(), log_files.len());
        let file = tempfile::NamedTempFile::new().unwrap();
        // Another layout, and another order of the fields.
        let value: Value = serde_json::from_str(&text).unwrap();
        fs::write(file.path(), format!("{value:#}")).unwrap();
        let mut all = All::default();
        assert_eq!(read(file.path(), &mut all).unwrap(), certificate);
        assert_eq!(all.0, log_files);
        assert_eq!(all.1.len(), 1);
    }

    #[test]
    fn each_changed_value_of_a_certificate_is_found() {
        let (certificate, log_files) = certificate();
        let text = written(&certificate, &log_files);
        let whole: Value = serde_json::from_str(&text).unwrap();
        let mut places = Vec::new();
        places_of(&whole, String::new(), &mut places);
        assert!(places.len() > 50, "{places:?}");
        for place in places {
            let mut changed = whole.clone();
            let value = changed.pointer_mut(&place).unwrap();
            *value = match &*value {
                Value::Number(number) => Value::from(number.as_i64().unwrap() + 1),
                Value::String(text) => Value::from(format!("{text}0")),
                Value::Bool(is_so) => Value::from(!is_so),
                _ => Value::from(1),
            };
            let is_found = match read_text(&changed.to_string()) {
                Ok(checked) => !checked.changes().is_empty(),
                Err(_) => true,
            };
            assert!(is_found, "{place}");
        }
        // A log file that is left out or added, and the same log files in another order.
        let without = text.replacen(&log_line(&log_files[0]), "", 1);
        assert!(!read_text(&without).unwrap().changes().is_empty());
        let mut turned = log_files.clone();
        turned.reverse();
        let turned = written(&certificate, &turned);
        assert!(!read_text(&turned).unwrap().changes().is_empty());
    }

    fn log_line(log_file: &CountedLogFile) -> String {
        serde_json::to_string(log_file).unwrap() + ",\n"
    }

    fn places_of(value: &Value, place: String, places: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                let name = name.replace('~', "~0").replace('/', "~1");
                places_of(value, format!("{place}/{name}"), places);
            }),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(at, item)| places_of(item, format!("{place}/{at}"), places)),
            _ => places.push(place),
        }
    }
}
