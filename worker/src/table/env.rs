//! A table's dependencies besides its store: time, waiting and randomness. They are behind a trait, so that the simulation can
//! provide an environment in which the seed determines everything that happens.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;

/// Time, waiting and randomness.
pub(super) trait Env: Debug + Send + Sync {
    /// The time of this machine.
    fn now(&self) -> SystemTime;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// A unique number.
    fn unique(&self) -> u128;

    /// A limit in the code. The simulation has smaller limits, so that a few log files reach them.
    fn bound(&self, usual: usize) -> usize {
        usual
    }

    /// Whether this guard of the protocol is on. Only the simulation disables a guard, to verify that it finds the violation.
    fn keeps(&self, _: Guard) -> bool {
        true
    }
}

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
}

/// The real machine.
#[derive(Debug)]
pub(super) struct SystemEnv;

impl Env for SystemEnv {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    fn unique(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128()
    }
}
