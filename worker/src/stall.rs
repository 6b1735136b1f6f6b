//! Detects log files that make no progress. A thread that hangs can't be stopped. But the announcement of its log file can
//! be returned, so that it becomes a dead letter instead of staying hidden.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use logmill_shared::LogFile;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::intake::not_staged::{Disposition, NotStaged};
use crate::metrics::Metrics;

/// Counts the bytes read of a log file. They measure its progress, because lines are computed while they are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadCount(Arc<AtomicU64>);

/// A reader that counts the bytes it has read.
pub(crate) struct CountingReader<R> {
    reader: R,
    count: ReadCount,
}

impl ReadCount {
    pub(crate) fn of<R: Read>(&self, reader: R) -> CountingReader<R> {
        CountingReader {
            reader,
            count: self.clone(),
        }
    }

    /// Returns when nothing has been read for `limit`; at the latest, after twice that time.
    async fn stalls(&self, limit: Duration) {
        let mut before = None;
        loop {
            let now = self.0.load(Ordering::Relaxed);
            if before == Some(now) {
                return;
            }
            before = Some(now);
            sleep(limit).await;
        }
    }
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Log files that hang. The thread of such a log file can't be stopped, and keeps its permit.
pub(crate) struct Stalls {
    /// How long a log file may make no progress.
    after: Duration,
    turns: usize,
    now: AtomicUsize,
    /// Cancelled when stalled log files hold all permits.
    are_all: CancellationToken,
}

impl Stalls {
    /// `turns` is the number of permits.
    pub(crate) fn new(turns: usize, after: Duration) -> Arc<Self> {
        Arc::new(Self {
            after,
            turns,
            now: AtomicUsize::new(0),
            are_all: CancellationToken::new(),
        })
    }

    /// Returns when nothing has been read of a log file for too long.
    pub(crate) async fn stalls(&self, read: &ReadCount) {
        read.stalls(self.after).await;
    }

    /// Counts a log file as stalled until its thread ends.
    pub(crate) fn add<T: Send + 'static>(
        self: &Arc<Self>,
        log_file: &LogFile,
        thread: JoinHandle<T>,
        metrics: &Metrics,
    ) -> NotStaged {
        let (stalls, log_file) = (Arc::clone(self), log_file.clone());
        let now = stalls.now.fetch_add(1, Ordering::SeqCst) + 1;
        let after_s = stalls.after.as_secs();
        tracing::error!(
            %log_file, after_s, stalled = now, turns = stalls.turns,
            "log file stalled: no bytes were read before the timeout; its message or request is returned for a \
             retry, but its place stays occupied until its thread ends"
        );
        if now == stalls.turns {
            stalls.are_all.cancel();
        }
        let gauge = metrics.stalled_log_file();
        tokio::spawn(async move {
            // Nothing uses the result any more. If the log file is staged after all, it still counts once.
            let _ = thread.await;
            drop(gauge);
            stalls.now.fetch_sub(1, Ordering::SeqCst);
            tracing::info!(%log_file, "thread of a stalled log file has ended");
        });
        NotStaged {
            name: "stalled",
            reason: Cow::Owned(format!(
                "no bytes of the log file were read for {after_s} seconds"
            )),
            disposition: Disposition::Retry,
        }
    }

    /// Fails when stalled log files hold all permits: only a restart of the process helps.
    pub(crate) async fn all_stalled(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        match stop.run_until_cancelled(self.are_all.cancelled()).await {
            None => Ok(()),
            Some(()) => bail!(
                "all {} concurrent log files have stalled, so the worker must be restarted. The log names them: \
                 remove or replace those that cannot be read",
                self.turns
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_is_read_on_does_not_stall() {
        let count = ReadCount::default();
        let limit = Duration::from_millis(100);
        let mut reader = count.of(io::repeat(0));
        let reading = async {
            for _ in 0..20 {
                reader.read_exact(&mut [0]).unwrap();
                sleep(limit / 10).await;
            }
        };
        tokio::select! {
            biased;
            () = reading => {}
            () = count.stalls(limit) => panic!("it was read from all the time"),
        }
        assert!(timeout(limit * 20, count.stalls(limit)).await.is_ok());
    }
}
