//! A value that is computed on demand: at most once in an interval, and once for all concurrent callers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinError;
use tokio::time::Instant;

/// The last value.
pub(super) struct Cached<T> {
    age_max: Duration,
    last: Arc<Mutex<Option<Computed<T>>>>,
}

/// A value, and when it was computed.
struct Computed<T>(Instant, Arc<T>);

impl<T: Send + Sync + 'static> Cached<T> {
    pub(super) fn new(age_max: Duration) -> Self {
        Self {
            age_max,
            last: Arc::default(),
        }
    }

    /// The last value if it is fresh, or what `compute` returns.
    ///
    /// # Errors
    ///
    /// `compute` has panicked.
    pub(super) async fn get(
        &self,
        compute: impl Future<Output = T> + Send + 'static,
    ) -> Result<Arc<T>, JoinError> {
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some(Computed(at, value)) = &*last
            && at.elapsed() < self.age_max
        {
            return Ok(Arc::clone(value));
        }
        // In its own task: if the caller hangs up, the next one does not start again.
        let computed = tokio::spawn(async move {
            let value = Arc::new(compute.await);
            *last = Some(Computed(Instant::now(), Arc::clone(&value)));
            value
        });
        computed.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test]
    async fn many_callers_and_those_who_hang_up_cost_one_computation() {
        let cached = Cached::new(Duration::from_secs(2));
        let count = Arc::new(AtomicU64::new(0));
        let get = || {
            let count = Arc::clone(&count);
            cached.get(async move {
                sleep(Duration::from_millis(200)).await;
                count.fetch_add(1, Ordering::Relaxed)
            })
        };
        for _ in 0..20 {
            assert!(timeout(Duration::from_millis(1), get()).await.is_err());
        }
        let values = join_all((0..100).map(|_| get())).await;
        assert!(values.into_iter().all(|value| *value.unwrap() == 0));
        assert_eq!(*get().await.unwrap(), 0);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(*get().await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_panic_is_the_callers_and_the_next_one_computes_again() {
        let cached = Cached::new(Duration::from_secs(10));
        assert!(cached.get(async { panic!("a bug") }).await.is_err());
        assert_eq!(*cached.get(async { 1 }).await.unwrap(), 1);
    }
}
