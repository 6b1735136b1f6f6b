//! What a table takes from the outside besides its store: time, waiting and chance. They are behind a trait so that
//! the simulation can have an environment of its own, in which a seed says everything that happens.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;

/// Time, waiting and chance.
pub(super) trait Env: Debug + Send + Sync {
    /// The time of this machine.
    fn now(&self) -> SystemTime;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// A number that nobody else has.
    fn unique(&self) -> u128;

    /// A bound of the code. The simulation's are smaller, so that a few log files reach them.
    fn bound(&self, usual: usize) -> usize {
        usual
    }

    /// Whether this guard of the protocol is kept. Only the simulation takes one away, to see that it notices.
    fn keeps(&self, _: Guard) -> bool {
        true
    }
}

/// What the promise of counting once rests on, each a line or two of the code. The simulation shows of each that
/// without it the promise breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// A commit drops what the ledger has.
    LedgerCheck,
    /// A commit is written as exactly the version after the one that it was computed from, or not at all.
    ExactVersion,
    /// Staged files are deleted only after a freshly read ledger has them.
    ReadBack,
    /// A commit that has taken too long is not written: its new files may have been taken for orphans.
    Deadline,
    /// Files that no version refers to are young commits' until they are old.
    OrphanGrace,
    /// Files that were replaced stay for those who read an older version.
    ReplacedGrace,
    /// No two attempts to commit write a manifest of the same name.
    UniqueManifest,
    /// What is set aside is one version of a staged file: the log file may be staged anew.
    SetAsideVersion,
}

/// This machine.
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
