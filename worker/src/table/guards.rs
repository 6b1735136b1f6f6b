//! Switches for the simulation: it disables guards of the protocol, and lowers limits.

/// Guards that exactly-once depends on, each a line or two of code. The simulation disables each in turn and must find a
/// violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// A commit drops log files that the ledger already has.
    LedgerCheck,
    /// A commit is written as exactly the version after the one that it is based on, or not at all.
    ExactVersion,
    /// Staged files are deleted only after a freshly read ledger contains them.
    ReadBack,
    /// A commit that took too long is not written: vacuum may have taken its new files for orphans.
    Deadline,
    /// Files that no version refers to are kept until they are old: they may belong to a commit in progress.
    OrphanGrace,
    /// Replaced files are kept for readers of older versions.
    ReplacedGrace,
    /// Two attempts to commit never write a manifest with the same name.
    UniqueManifest,
    /// A note sets aside one version of a staged file: the log file may be staged again.
    SetAsideVersion,
    /// After a swap has sealed a generation, nothing is written to it before its outcome is known.
    Seal,
    /// A swap happens only if the next generation has counted all that the table has.
    WholeNext,
    /// What is staged for a generation that can't become live is staged anew before it is deleted.
    Strays,
    /// The objects of an earlier generation are kept until nobody may take the swap back.
    EarlierKept,
    /// A log file that was counted before a generation began adds nothing to the hours that the generation keeps.
    KeptHours,
    /// The last version of a dropped table is never deleted: no log begins twice.
    LastVersion,
    /// A checkpoint of a dropped table's last version is written before the log before it is deleted.
    LastCheckpoint,
    /// A table that is made anew has a folder that no generation ever had.
    NewFolder,
    /// What is staged for a dropped table is deleted only if the table was not made anew.
    NotMadeAnew,
    /// A renamed table's last version follows the one whose ledger was compared with the copy's.
    LastFollows,
    /// What is staged for a renamed table is moved to the copy.
    Moved,
    /// A copy takes over a table's rows in the version after the one that was found untouched.
    Untouched,
}

/// The guards and limits of a table. Outside tests it has no fields, all guards are on, and limits are the usual ones.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Guards {
    /// The guard that is off.
    #[cfg(test)]
    pub(super) without: Option<Guard>,
    /// All limits are at most this.
    #[cfg(test)]
    pub(super) limit: Option<usize>,
}

#[cfg(not(test))]
impl Guards {
    /// Whether this guard is on.
    pub(super) fn is_on(self, _: Guard) -> bool {
        true
    }

    /// `usual`, or less in the simulation.
    pub(super) fn limit(self, usual: usize) -> usize {
        usual
    }
}

#[cfg(test)]
impl Guards {
    /// Whether this guard is on. Only the simulation disables a guard, to verify that it finds the violation.
    pub(super) fn is_on(self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// `usual`, or less in the simulation, so that a few log files reach it.
    pub(super) fn limit(self, usual: usize) -> usize {
        self.limit.map_or(usual, |limit| usual.min(limit))
    }
}
