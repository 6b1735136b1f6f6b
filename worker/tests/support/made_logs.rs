//! Logs made for a test, whose rollups are counted while they are made.

use std::collections::BTreeMap;

use super::{Random, Workplace, alb_line, alb_name, counts};

/// Log files, and what they hold: requests by minute and status.
pub struct MadeLogs {
    /// Names and texts.
    pub files: Vec<(String, String)>,
    requests: BTreeMap<String, usize>,
    rejected: usize,
}

impl MadeLogs {
    /// So many log files of three hours, each with lines of all three.
    pub fn new(files: u32, lines: u32) -> Self {
        let mut random = Random::new(7);
        let mut made = Vec::new();
        let mut groups = Vec::new();
        let mut rejected = 0;
        for file in 0..files {
            let mut text = String::new();
            for _ in 0..lines {
                if random.below(20) == 0 {
                    text.push_str("cut off\n");
                    rejected += 1;
                    continue;
                }
                // Minutes that many files share, over three hours, so that every commit merges.
                let (hour, second) = (9 + random.below(3) as u32, random.below(600) as u32);
                let status = [200, 204, 404][random.below(3) as usize];
                let client = format!("192.0.2.{}", random.below(50));
                let url = "https://shop.example:443/";
                text.push_str(&alb_line(hour, second, &client, status, url));
                let minute = second / 60;
                groups.push(format!("2026-11-20T{hour:02}:{minute:02}:00Z,{status}"));
            }
            made.push((alb_name(9 + file % 3, 5 * (file % 12), file), text));
        }
        Self {
            files: made,
            requests: counts(groups),
            rejected,
        }
    }

    /// The rollups that `check` looks at.
    pub fn write_rollups(place: &Workplace) {
        place.rollup(
            "by_minute",
            "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, elb_status_code AS status, \
             count(*) AS requests, sum(sent_bytes) AS sent_bytes, approx_set(client_ip) AS clients \
             FROM alb_access_logs GROUP BY 1, 2",
        );
        place.rollup(
            "every_row",
            "SELECT time, client_ip, sent_bytes FROM alb_access_logs",
        );
    }

    /// Fails unless the tables that are asked hold exactly these logs, each once.
    pub fn check(&self, query: impl Fn(&str) -> Vec<String>) {
        let rows =
            query("SELECT minute, status, requests, sent_bytes FROM by_minute ORDER BY 1, 2");
        let expected: Vec<String> = self
            .requests
            .iter()
            .map(|(group, requests)| format!("{group},{requests},{}", 366 * requests))
            .collect();
        assert_eq!(rows, expected);
        let requests: usize = self.requests.values().sum();
        assert_eq!(
            query("SELECT count(*) FROM every_row"),
            [requests.to_string()]
        );
        assert_eq!(
            query("SELECT count(*) FROM rejected_lines"),
            [self.rejected.to_string()]
        );
        let (files, lines) = (self.files.len(), requests + self.rejected);
        let ledger = "SELECT \"table\", count(*), count(DISTINCT log_file), sum(lines) FROM log_files GROUP BY 1 ORDER BY 1";
        assert_eq!(
            query(ledger),
            ["by_minute", "every_row"].map(|table| format!("{table},{files},{files},{lines}"))
        );
    }
}
