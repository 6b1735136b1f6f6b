//! Detects log files that make no progress. A thread that hangs can't be stopped. But the announcement of its log file can
//! be returned, so that it becomes a dead letter instead of staying hidden.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// Counts the bytes read of a log file. They measure its progress, because lines are computed while they are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadCount(Arc<AtomicU64>);

/// A reader that counts the bytes it has read.
pub(crate) struct Counted<R> {
    reader: R,
    count: ReadCount,
}

impl ReadCount {
    pub(crate) fn of<R: Read>(&self, reader: R) -> Counted<R> {
        Counted {
            reader,
            count: self.clone(),
        }
    }

    /// Returns when nothing has been read for `limit`.
    pub(crate) async fn stalls(&self, limit: Duration) {
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

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
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
