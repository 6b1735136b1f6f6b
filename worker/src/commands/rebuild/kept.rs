//! Days that a rebuilt table keeps unchanged, because their log files are gone or they are outside the time span of the command:
//! whether it can keep them, and what that means.

use crate::engine::functions::cast::trino_name;
use crate::rollup::Rollup;
use crate::table::{Column, Keeping, MergeRule, TableError, Version};

/// Days shown in a list.
const SHOWN: usize = 10;

/// Why the table of the new rollup can't contain rows of the old one. Empty if it can.
pub(super) fn obstacles(old: &Rollup, new: &Rollup) -> Vec<String> {
    let (before, after) = (old.definition(), new.definition());
    if before.merges() != after.merges() {
        return vec![match after.merges() {
            true => "the new rollup groups lines, and the old one keeps each".to_owned(),
            false => "the new rollup keeps each line, and the old one groups them".to_owned(),
        }];
    }
    let mut obstacles = Vec::new();
    if old.time_key() != new.time_key() {
        obstacles.push(format!(
            "rows belong to an hour or day by {}, until now by {}",
            new.time_key(),
            old.time_key()
        ));
    }
    let keys = |rollup: &Rollup| -> Vec<String> {
        let definition = rollup.definition();
        let keys = definition.sort_keys().into_iter();
        let keys = keys.map(|key| definition.columns[key].name.clone());
        keys.collect()
    };
    if after.merges() && keys(old) != keys(new) {
        obstacles.push(format!(
            "the group keys are {}, until now {}",
            keys(new).join(", "),
            keys(old).join(", ")
        ));
    }
    for column in &after.columns {
        let same = before.columns.iter().find(|old| old.name == column.name);
        if let Some(same) = same
            && !is_alike(same, column)
        {
            obstacles.push(format!(
                "the column {} is {}, until now {}",
                column.name,
                described(column),
                described(same)
            ));
        }
    }
    obstacles
}

/// Whether old values of a column are compatible with new ones.
fn is_alike(old: &Column, new: &Column) -> bool {
    let rules = match (&old.rule, &new.rule) {
        (Some(MergeRule::Result(_)), Some(MergeRule::Result(_))) => true,
        (old, new) => old == new,
    };
    rules && old.data_type == new.data_type
}

fn described(column: &Column) -> String {
    let data_type = trino_name(&column.data_type);
    match &column.rule {
        Some(rule) => format!("{data_type} ({rule})"),
        None => data_type,
    }
}

/// The columns in which kept rows have no values.
pub(super) fn new_columns(old: &Rollup, new: &Rollup) -> Vec<String> {
    let (before, after) = (&old.definition().columns, &new.definition().columns);
    let is_new = |column: &&Column| !before.iter().any(|old| old.name == column.name);
    let told = after.iter().filter(|column| !column.name.contains("__"));
    told.filter(is_new)
        .map(|column| column.name.clone())
        .collect()
}

/// The days that are kept, by ranges, and the rows in them without a time.
pub(super) fn days(keeping: &Keeping, version: &Version) -> Result<String, TableError> {
    let days = keeping.days(version)?;
    let mut ranges: Vec<(String, String)> = Vec::new();
    let mut last_day = None;
    let named = |day: &String, is_whole: bool| match (day.as_str(), is_whole) {
        ("null", _) => "rows without a time".to_owned(),
        (day, true) => day.to_owned(),
        (day, false) => format!("{day} (some hours)"),
    };
    for (day, is_whole) in &days {
        let number = day.parse::<chrono::NaiveDate>().ok();
        let follows =
            number.is_some() && *is_whole && last_day == number.and_then(|day| day.pred_opt());
        match ranges.last_mut() {
            Some((_, last)) if follows => *last = day.clone(),
            _ => ranges.push((named(day, *is_whole), named(day, *is_whole))),
        }
        last_day = number.filter(|_| *is_whole);
    }
    let more = ranges.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = ranges
        .into_iter()
        .take(SHOWN)
        .map(|(first, last)| match first == last {
            true => first,
            false => format!("{first} to {last}"),
        })
        .collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    Ok(shown.join(", "))
}
