//! Memory budgets, derived from the limit of the machine or container. Everything that grows with visitors' input has a
//! budget. Together the budgets are less than the limit, so that nothing fails because memory runs out.
//!
//! | share of the machine's memory | for |
//! |---|---|
//! | 3/8 | groups of rollups over the log files that are staged concurrently |
//! | 1/8 | merging sorted rows, in commits |
//! | 1/4 | groups and sorts of queries, which spill to disk beyond it |
//! | 1/16 | queries of alerts, one at a time |
//! | the rest | text, columns, Parquet, the log of Delta, the program |
//!
//! Lookups stay in memory. Their size is subtracted before groups get their share.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Assumed if the limit is unknown: the smallest memory that docs/operating.md names.
const UNKNOWN: usize = 1 << 30;

/// Memory needed per byte of groups: while they are sorted and written, their rows exist unsorted and sorted.
const PER_GROUP_BYTE: usize = 4;

/// Minimum memory for the groups of a rollup before they are flushed. A smaller budget splits a large log file into too
/// many sorted runs.
const GROUPS_MIN: usize = 1 << 18;

/// Maximum memory for the groups of a rollup. More memory makes fewer runs, which merge no faster.
const GROUPS_MAX: usize = 64 << 20;

/// Maximum number of bytes that a commit merges at once.
const MERGE_MAX: usize = 256 << 20;

/// Memory that this process may use, in bytes: the limit of its control group, or the machine's memory.
static LIMIT: LazyLock<usize> = LazyLock::new(|| {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_of(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = limit_files(&groups)
        .into_iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .filter_map(|text| text.trim().parse().ok())
        .min();
    machine.into_iter().chain(group).min().unwrap_or(UNKNOWN)
});

/// Memory that this process has now, in bytes. Only Linux tells.
pub(crate) fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kibibytes_of(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024)
}

/// Memory that this process may use, in bytes.
pub(crate) fn limit() -> usize {
    *LIMIT
}

/// The files with the memory limits of a process's control groups and their ancestors, given its `/proc/self/cgroup`. For
/// cgroup versions 1 and 2; in version 1, "no limit" is a very large number.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|each| each == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(
            group
                .ancestors()
                .map(|group| Path::new(root).join(group).join(name)),
        );
    }
    files
}

fn total_of(meminfo: &str) -> Option<usize> {
    kibibytes_of(meminfo, "MemTotal:").map(|kibibytes| kibibytes * 1024)
}

fn kibibytes_of(text: &str, name: &str) -> Option<usize> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Memory that queries may use before they spill to disk, in bytes.
pub(crate) fn for_queries() -> usize {
    *LIMIT / 4
}

/// Memory that the query of an alert may use before it spills to disk, in bytes. A worker runs one at a time.
pub(crate) fn for_alerts() -> usize {
    *LIMIT / 16
}

/// Memory that one commit may use for merging, in bytes. Several tables may be committed concurrently.
pub(crate) fn for_merging() -> usize {
    (*LIMIT / 16).min(MERGE_MAX)
}

/// Number of concurrent large merges. Together they use the memory share of all merges.
const LARGE_MERGES: usize = 2;

/// A merge is large if a commit has more fresh rows than this, in bytes.
const LARGE_MERGE: u64 = 16 << 20;

static LARGE_MERGE_TURNS: Semaphore = Semaphore::const_new(LARGE_MERGES);

/// Waits for a turn to merge this many bytes of fresh rows, if that is a large merge. The turn ends when the permit is
/// dropped.
pub(crate) async fn turn_to_merge(bytes: u64) -> Option<SemaphorePermit<'static>> {
    match bytes > LARGE_MERGE {
        true => LARGE_MERGE_TURNS.acquire().await.ok(),
        false => None,
    }
}

/// The number of log files staged concurrently, and the memory for their groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagingBudget {
    /// Log files staged concurrently.
    pub log_files_at_once: usize,
    /// Memory for the groups of one rollup over one log file, in bytes.
    pub group_bytes: usize,
}

impl StagingBudget {
    /// For up to `log_files` concurrently, each read by this many rollups, whose lookups take `lookups` bytes. If there is not enough
    /// memory, the number of log files is reduced.
    pub(crate) fn new(log_files: usize, rollups: usize, lookups: usize) -> Self {
        Self::of(LIMIT.saturating_sub(lookups), log_files, rollups)
    }

    fn of(limit: usize, log_files: usize, rollups: usize) -> Self {
        let share = limit / 8 * 3 / PER_GROUP_BYTE / rollups.max(1);
        if share < GROUPS_MIN {
            tracing::warn!(
                rollups,
                memory_bytes = limit,
                "too many rollups for this much memory, which may run out; add memory, or run some of the rollups \
                 elsewhere"
            );
        }
        let log_files = log_files.min(share / GROUPS_MIN).max(1);
        Self {
            log_files_at_once: log_files,
            group_bytes: (share / log_files).clamp(GROUPS_MIN, GROUPS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: usize = 1 << 30;

    #[test]
    fn what_is_staged_at_once_fits() {
        let small = StagingBudget::of(GIB, 8, 3);
        assert_eq!(small.log_files_at_once, 8);
        assert!(small.group_bytes * PER_GROUP_BYTE * 8 * 3 <= GIB / 8 * 3);
        assert_eq!(StagingBudget::of(GIB, 1, 1).group_bytes, GROUPS_MAX);
        let crowded = StagingBudget::of(GIB, 8, 60);
        assert!((1..8).contains(&crowded.log_files_at_once));
        assert_eq!(StagingBudget::of(GIB, 8, 1000).log_files_at_once, 1);
    }

    #[test]
    fn limits_are_those_of_all_groups_that_a_process_is_in() {
        let files = |groups| {
            let files = limit_files(groups);
            let texts = files.iter().map(|file| file.display().to_string());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            files("0::/system.slice/logmill.service\n"),
            [
                "/sys/fs/cgroup/system.slice/logmill.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            files("5:cpu,memory:/docker\n4:pids:/docker\n"),
            [
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
    }

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(
            total_of("MemTotal:       24648676 kB\nMemFree: 1 kB\n"),
            Some(24_648_676 * 1024)
        );
        assert!(*LIMIT > 0);
        if cfg!(target_os = "linux") {
            assert!((1 << 20..GIB * 64).contains(&resident().unwrap()));
        }
    }
}
