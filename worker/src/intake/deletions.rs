//! Deletes messages whose log files are staged, in batches, and retries the entries that failed.

use std::time::Duration;

use logmill_shared::sqs::BATCH_MAX;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::message::DoneMessage;
use super::queue::Queue;
use logmill_object_io::Policy;

/// How long a message waits for others, so that they are deleted with one request.
const DELETE_LINGER: Duration = Duration::from_millis(50);

/// The retry policy for deletions. A message that is not deleted is received again, which changes nothing.
const DELETE: Policy = Policy {
    attempts: 3,
    first_wait: Duration::from_millis(200),
    longest_wait: Duration::from_secs(1),
};

/// A message to delete.
pub(super) struct Deletion<Q: Queue> {
    pub(super) message: DoneMessage<Q>,
    /// Receives whether it was deleted.
    pub(super) deleted: oneshot::Sender<bool>,
}

/// Deletes messages, up to ten per request. `queue` must send each request once: what failed is repeated here.
pub(super) async fn delete<Q: Queue>(queue: Q, mut deletions: mpsc::Receiver<Deletion<Q>>) {
    let mut requests = JoinSet::new();
    while let Some(first) = deletions.recv().await {
        let mut batch = vec![first];
        let linger = sleep_until(Instant::now() + DELETE_LINGER);
        tokio::pin!(linger);
        while batch.len() < BATCH_MAX {
            tokio::select! {
                biased;
                next = deletions.recv() => match next {
                    Some(next) => batch.push(next),
                    None => break,
                },
                () = &mut linger => break,
            }
        }
        // Concurrent with the next batch, so that a retry does not delay it.
        requests.spawn(delete_batch(queue.clone(), batch));
        while requests.try_join_next().is_some() {}
    }
}

async fn delete_batch<Q: Queue>(queue: Q, mut batch: Vec<Deletion<Q>>) {
    let mut retries = DELETE.begin("deleting messages");
    loop {
        let receipts: Vec<&str> = batch.iter().map(|each| each.message.receipt()).collect();
        let refused = queue.delete(&receipts).await;
        let mut left = Vec::new();
        for (at, deletion) in batch.into_iter().enumerate() {
            let refusal = match &refused {
                Ok(refused) => refused
                    .iter()
                    .find(|(refused, _)| *refused == at)
                    .map(|(_, refusal)| (refusal.to_string(), refusal.is_final)),
                Err(error) => Some((error.to_string(), false)),
            };
            match refusal {
                None => {
                    // The task that waits for the result may have been stopped.
                    let _ = deletion.deleted.send(true);
                }
                Some((why, true)) => not_deleted(deletion, &why),
                Some((why, false)) => left.push((deletion, why)),
            }
        }
        let Some((_, why)) = left.first() else { return };
        if !retries.wait(why).await {
            for (deletion, why) in left {
                not_deleted(deletion, &why);
            }
            return;
        }
        batch = left.into_iter().map(|(deletion, _)| deletion).collect();
    }
}

fn not_deleted<Q: Queue>(deletion: Deletion<Q>, why: &str) {
    tracing::warn!(
        why,
        "message not deleted; it will be delivered again, and its log files will not count twice"
    );
    let _ = deletion.deleted.send(false);
}
