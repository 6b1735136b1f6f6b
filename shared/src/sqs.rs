//! What SQS demands of whoever sends to it.

use crate::notification::{BUCKET_BYTES_MAX, KEY_BYTES_MAX};

/// Messages in a request: SQS takes no more.
pub const BATCH_MAX: usize = 10;

/// Bytes in a request. 1 MiB for SQS today, 256 KiB for queues and emulators of before.
const BATCH_BYTES_MAX: usize = 256 * 1024;

// Ten messages of one log file each fit, so that nothing has to split a batch: a key has its limit, and JSON makes six
// bytes of one at worst.
const _: () = assert!(BATCH_MAX * (6 * (KEY_BYTES_MAX + BUCKET_BYTES_MAX) + 64) <= BATCH_BYTES_MAX);

/// The region in a queue's host, `sqs.<region>.amazonaws.com`, which may be another than that of whoever sends to it. A
/// request signed for another would not find the queue.
pub fn region_of(host: &str) -> Option<&str> {
    let (region, domain) = host.strip_prefix("sqs.")?.split_once('.')?;
    domain.starts_with("amazonaws.com").then_some(region)
}

#[cfg(test)]
mod tests {
    use super::region_of;

    #[test]
    fn a_queue_brings_its_region() {
        assert_eq!(region_of("sqs.eu-west-1.amazonaws.com"), Some("eu-west-1"));
        assert_eq!(
            region_of("sqs.cn-north-1.amazonaws.com.cn"),
            Some("cn-north-1")
        );
        assert_eq!(region_of("localhost"), None);
    }
}
