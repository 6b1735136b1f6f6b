//! Bounds the number of open HTTP connections without refusing new ones. When all are open, the oldest idle connection is
//! closed; connections that have not shown the token go first. Connections with a request in progress are kept. So a
//! client that opens many connections and reads nothing can't block `/healthz`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Keyed by connection number, which grows in the order of arrival.
    by_number: HashMap<u64, Arc<Connection>>,
    next: u64,
}

/// An open connection. It is removed from [`Connections`] on drop.
#[derive(Debug)]
pub(super) struct Admitted {
    connections: Arc<Connections>,
    number: u64,
    pub(super) connection: Arc<Connection>,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Whether the client has shown the token.
    is_known: AtomicBool,
    /// The number of requests whose log files are being staged.
    at_work: AtomicUsize,
    /// Cancelled when the connection must be closed at once.
    pub(super) evicted: CancellationToken,
}

/// Marks a request as in progress until dropped.
#[derive(Debug)]
pub(super) struct AtWork<'a>(&'a Connection);

impl Connections {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: Mutex::default(),
        })
    }

    /// Adds a connection. Returns whether another one was evicted for it.
    pub(super) fn admit(self: &Arc<Self>) -> (Admitted, bool) {
        let connection = Arc::new(Connection::default());
        let mut open = self.open();
        let mut has_evicted = false;
        if open.by_number.len() >= self.max {
            let idle = open.by_number.iter().filter(|(_, each)| !each.is_at_work());
            let oldest = idle.min_by_key(|(number, each)| (each.is_known(), **number));
            if let Some(number) = oldest.map(|(number, _)| *number)
                && let Some(oldest) = open.by_number.remove(&number)
            {
                oldest.evicted.cancel();
                has_evicted = true;
            }
        }
        let number = open.next;
        open.next += 1;
        open.by_number.insert(number, Arc::clone(&connection));
        let admitted = Admitted {
            connections: Arc::clone(self),
            number,
            connection,
        };
        (admitted, has_evicted)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Ignoring poison is safe: no code panics midway through a change while it holds this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.open().by_number.remove(&self.number);
    }
}

impl Connection {
    /// Records that the client has shown the token.
    pub(crate) fn known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    pub(super) fn work(&self) -> AtWork<'_> {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(self)
    }

    fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) > 0
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_stranger_goes_first_and_nobody_at_work() {
        let connections = Connections::new(4);
        let admit = || connections.admit().0;
        let (worker, known, stranger, newer) = (admit(), admit(), admit(), admit());
        worker.connection.known();
        let at_work = worker.connection.work();
        known.connection.known();
        let evicted = |admitted: &Admitted| admitted.connection.evicted.is_cancelled();

        let (fifth, has_evicted) = connections.admit();
        assert!(has_evicted && evicted(&stranger) && !evicted(&newer));
        drop(stranger);
        let sixth = admit();
        assert!(evicted(&newer) && !evicted(&known));
        let seventh = admit();
        assert!(evicted(&fifth) && !evicted(&known));
        sixth.connection.known();
        seventh.connection.known();
        let _eighth = admit();
        assert!(evicted(&known) && !evicted(&worker));
        drop(at_work);
        let _ninth = admit();
        assert!(!evicted(&worker), "known; the newest is not");

        // A connection that closed by itself leaves room.
        drop(seventh);
        assert!(!connections.admit().1);
    }
}
