//! What changes when a table gets another rollup.

use crate::engine::functions::cast::trino_name;
use crate::rollup::Rollup;
use crate::table::definition::IS_OTHER_COLUMN;
use crate::table::{Column, MergeRule};

/// Describes the changes of columns, one line each.
pub(super) fn changes(old: &Rollup, new: &Rollup) -> Vec<String> {
    let (before, after) = (&old.definition().columns, &new.definition().columns);
    let mut changes = Vec::new();
    // States, from which other columns are computed, are not shown to people.
    let told = |column: &&Column| !column.name.contains("__") && column.name != IS_OTHER_COLUMN;
    for column in after.iter().filter(told) {
        match find(before, &column.name) {
            None => changes.push(format!("new column      {}", described(column))),
            Some(same) if described(same) != described(column) => changes.push(format!(
                "other column    {}, until now {}",
                described(column),
                kind(same)
            )),
            Some(_) => {}
        }
    }
    let dropped = before
        .iter()
        .filter(told)
        .filter(|column| find(after, &column.name).is_none());
    changes.extend(dropped.map(|column| format!("dropped column  {}", described(column))));
    let lookups = |rollup: &Rollup| rollup.definition().lookups.clone();
    for lookup in lookups(new) {
        let same = lookups(old).into_iter().find(|old| old.name == lookup.name);
        if same.is_none_or(|same| same.hash != lookup.hash) {
            changes.push(format!("other lookup    {}", lookup.name));
        }
    }
    if changes.is_empty() {
        changes.push("the same columns, computed by other SQL".to_owned());
    }
    changes
}

fn find<'c>(columns: &'c [Column], name: &str) -> Option<&'c Column> {
    columns.iter().find(|column| column.name == name)
}

fn described(column: &Column) -> String {
    format!("{}: {}", column.name, kind(column))
}

/// A column's type, and whether it is a group key.
fn kind(column: &Column) -> String {
    let data_type = trino_name(&column.data_type);
    match column.rule == Some(MergeRule::GroupKey) {
        true => format!("{data_type}, a group key"),
        false => data_type,
    }
}
