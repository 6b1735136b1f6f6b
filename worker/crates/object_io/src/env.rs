//! Time, waiting and randomness. They are behind a trait, so that a simulation can provide an environment in which a seed
//! determines everything that happens.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;

/// Time, waiting and randomness.
pub trait Env: Debug + Send + Sync {
    /// The time of this machine.
    fn now(&self) -> SystemTime;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// A unique number.
    fn unique(&self) -> u128;
}

/// The real machine.
#[derive(Debug)]
pub struct SystemEnv;

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
