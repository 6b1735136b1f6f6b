//! Settings of a table, written as comments in its rollup's file.

/// The beginning of a line in a rollup's file that is not SQL but a setting of its table.
const DIRECTIVE: &str = "-- logmill:";

/// The maximum number of groups in a slot, if the rollup's file sets it: `-- logmill: groups_max = 500000`.
pub(super) fn groups_max(sql: &str) -> Result<Option<usize>, String> {
    let mut groups_max = None;
    for line in sql.lines() {
        let Some(directive) = line.trim_start().strip_prefix(DIRECTIVE) else {
            continue;
        };
        let directive = directive.trim();
        let number = match directive.split_once('=') {
            Some((name, number)) if name.trim() == "groups_max" => number.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number @ 1..) => groups_max = Some(number),
            _ => {
                return Err(format!(
                    "'{DIRECTIVE} {directive}' is not a valid setting: write '{DIRECTIVE} groups_max = 500000', the maximum \
                     number of groups in an hour (or a day)"
                ));
            }
        }
    }
    Ok(groups_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_says_how_many_groups_a_slot_has_room_for() {
        assert_eq!(groups_max("-- a comment\nSELECT 1"), Ok(None));
        assert_eq!(
            groups_max("  -- logmill: groups_max = 7\nSELECT 1"),
            Ok(Some(7))
        );
        for wrong in ["groups_max = 0", "groups_max", "rows_max = 7", ""] {
            assert!(groups_max(&format!("-- logmill: {wrong}\nSELECT 1")).is_err());
        }
    }
}
