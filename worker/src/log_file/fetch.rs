//! Reads an S3 object as a stream, without ever holding all of it in memory. A broken stream is resumed where it broke.
//! Reading returns one version of the object, or an error.

use std::io::{self, Read};
use std::ops::Range;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf, Bytes};
use futures::channel::mpsc::{Receiver, Sender, channel};
use futures::executor::block_on;
use futures::{SinkExt, StreamExt};
use logmill_object_io::Policy;
use logmill_shared::chain;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::aws::{S3Error, S3ErrorKind};

/// Chunks that may wait to be read. A chunk is one buffer of the HTTP client, at most about 400 KB. The limit is small
/// enough that each core's log file takes a few megabytes, and large enough that the download continues while a batch is
/// computed.
const CHUNKS_IN_FLIGHT: usize = 8;

/// A stream that delivers this many bytes resets the count of attempts. So a large object on a poor connection gets
/// through, while one that trickles byte by byte fails in the end.
const PROGRESS_BYTES: u64 = 1 << 20;

/// The permissions that a request for an object needs.
pub(crate) const NEEDS: &str = "s3:GetObject on the object, s3:ListBucket on its bucket to check whether the object exists, \
     and kms:Decrypt if a KMS key encrypts it";

/// One version of an object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// The client to read the object with.
    pub(crate) client: Client,
    /// Its bucket.
    pub(crate) bucket: String,
    /// Its key.
    pub(crate) key: String,
    /// Its ETag, without quotes.
    pub(crate) etag: String,
    /// Its size in bytes.
    pub(crate) bytes: u64,
}

/// Why an object can't be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("s3://{bucket}/{key} from byte {offset}: {problem}")]
struct FetchError {
    bucket: String,
    key: String,
    /// Bytes received so far.
    offset: u64,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    /// The only problem that is retried here.
    #[error("{0}")]
    Broken(String),
    #[error("{reason}; given up after {attempts} attempts")]
    GivenUp { reason: String, attempts: u32 },
    #[error("the object has changed since it was looked up; a retry reads the new version")]
    Changed,
    #[error("the object has been deleted since it was looked up")]
    Deleted,
    #[error("{0}")]
    Refused(S3Error),
    #[error("all bytes have arrived, but their integrity check failed: {0}")]
    Damaged(String),
    #[error("S3 sent data that was not requested: {0}")]
    Confused(String),
}

/// The kind of S3 error that made a read fail. `None` if the error is not about an object in S3.
pub(crate) fn kind(error: &io::Error) -> Option<S3ErrorKind> {
    let error: &FetchError = error.get_ref()?.downcast_ref()?;
    Some(match &error.problem {
        Problem::Broken(_) | Problem::GivenUp { .. } => S3ErrorKind::Unavailable,
        Problem::Changed | Problem::Damaged(_) | Problem::Confused(_) => S3ErrorKind::Changed,
        Problem::Deleted => S3ErrorKind::NotFound,
        Problem::Refused(error) => error.kind,
    })
}

/// Starts to fetch an object, or a range of its bytes, in a task of the current runtime. `body` is the whole object, if a
/// request has been answered already. Only what is missing of it is requested.
pub(crate) fn open(
    object: Object,
    range: Option<Range<u64>>,
    body: Option<ByteStream>,
) -> io::Result<ObjectReader> {
    open_with(object, range, body, Policy::REQUEST)
}

fn open_with(
    object: Object,
    range: Option<Range<u64>>,
    body: Option<ByteStream>,
    policy: Policy,
) -> io::Result<ObjectReader> {
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    let (sender, chunks) = channel(CHUNKS_IN_FLIGHT);
    let Range { start, end } = range.unwrap_or(0..object.bytes);
    let download = Download {
        object,
        body,
        offset: start,
        end,
        policy,
    };
    Ok(ObjectReader {
        chunks,
        chunk: Bytes::new(),
        remaining: end.saturating_sub(start),
        task: runtime.spawn(download.run(sender)).abort_handle(),
    })
}

/// Reads the bytes that a [`Download`] fetches.
///
/// The reader waits on a thread that is inside the runtime's `block_on`. There, Tokio's blocking calls panic, and its
/// channels stop yielding items if they are polled for long without a return to the runtime. The `futures` channel and
/// executor have neither limit.
pub(crate) struct ObjectReader {
    chunks: Receiver<Result<Bytes, FetchError>>,
    chunk: Bytes,
    /// Bytes not yet read. While there are any, the end of the channel is not the end of the object.
    remaining: u64,
    task: AbortHandle,
}

impl Read for ObjectReader {
    // An error's kind is always `Other`: the caller takes the kinds that mean damage as damage of the gzip stream.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match block_on(self.chunks.next()) {
                Some(chunk) => self.chunk = chunk.map_err(io::Error::other)?,
                None if self.remaining == 0 => return Ok(0),
                None => return Err(io::Error::other("the download has stopped")),
            }
        }
        let length = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        self.remaining -= length as u64;
        Ok(length)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An object that is being downloaded.
struct Download {
    object: Object,
    /// The first stream, if it has been requested already.
    body: Option<ByteStream>,
    /// The next stream begins here: all wanted bytes before have been received.
    offset: u64,
    /// The end of the wanted bytes.
    end: u64,
    policy: Policy,
}

impl Download {
    /// Sends all wanted bytes, or the first of them and an error.
    async fn run(mut self, mut chunks: Sender<Result<Bytes, FetchError>>) {
        let what = format!("s3://{}/{}", self.object.bucket, self.object.key);
        let mut retries = self.policy.begin(what);
        let mut broke_at = 0;
        loop {
            let reason = match self.stream(&mut chunks).await {
                Ok(()) => return,
                Err(Problem::Broken(reason)) => reason,
                Err(problem) => return self.fail(problem, chunks).await,
            };
            if self.offset - broke_at >= PROGRESS_BYTES {
                retries.start_over();
            }
            broke_at = self.offset;
            let cause = format!("{reason}, at byte {}", self.offset);
            if !retries.wait(cause).await {
                let attempts = self.policy.attempts;
                let problem = Problem::GivenUp { reason, attempts };
                return self.fail(problem, chunks).await;
            }
        }
    }

    /// Sends the bytes of one stream. `Ok` means that nothing is left to do: all wanted bytes were sent, or the reader
    /// is gone.
    async fn stream(
        &mut self,
        chunks: &mut Sender<Result<Bytes, FetchError>>,
    ) -> Result<(), Problem> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => self.request().await?.body,
        };
        while let Some(chunk) = body.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                // All bytes have arrived, so the checksum must be wrong.
                Err(error) if self.offset == self.end => {
                    return Err(Problem::Damaged(chain(&error)));
                }
                Err(error) => {
                    return Err(Problem::Broken(format!(
                        "the stream broke: {}",
                        chain(&error)
                    )));
                }
            };
            self.offset += chunk.len() as u64;
            if self.offset > self.end {
                let reason = format!("more than the {} bytes that were requested", self.end);
                return Err(Problem::Confused(reason));
            }
            if chunks.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
        match self.offset == self.end {
            true => Ok(()),
            false => Err(Problem::Broken("the stream ended early".to_owned())),
        }
    }

    /// Requests the bytes that have not arrived, in the version that was listed or that the first response named. Bytes of
    /// another version would not fit.
    async fn request(&self) -> Result<GetObjectOutput, Problem> {
        let Object {
            client,
            bucket,
            key,
            etag,
            ..
        } = &self.object;
        let request = client
            .get_object()
            .bucket(bucket)
            .key(key)
            .if_match(format!("\"{etag}\""))
            .set_range(self.range())
            .customize()
            // `run` retries broken streams, and their requests with them.
            .config_override(Builder::new().retry_config(Policy::once()));
        let response = request.send().await.map_err(|error| {
            let error = S3Error::new(&error, bucket, NEEDS);
            match error.kind {
                S3ErrorKind::Unavailable => Problem::Broken(error.to_string()),
                S3ErrorKind::NotFound => Problem::Deleted,
                S3ErrorKind::Changed => Problem::Changed,
                S3ErrorKind::Archived | S3ErrorKind::Refused => Problem::Refused(error),
            }
        })?;
        // A server without support for ranges would start over, and the first lines would count twice.
        let range = response.content_range().unwrap_or("the whole object");
        if self.range().is_some() && !range.starts_with(&format!("bytes {}-", self.offset)) {
            let reason = format!("{range} instead of bytes {}-", self.offset);
            return Err(Problem::Confused(reason));
        }
        Ok(response)
    }

    /// The range of the next request. `None` for the whole object.
    fn range(&self) -> Option<String> {
        let (start, end) = (self.offset, self.end);
        match (start, end == self.object.bytes) {
            (0, true) => None,
            (_, true) => Some(format!("bytes={start}-")),
            (_, false) => Some(format!("bytes={start}-{}", end.saturating_sub(1))),
        }
    }

    async fn fail(self, problem: Problem, mut chunks: Sender<Result<Bytes, FetchError>>) {
        let error = FetchError {
            bucket: self.object.bucket,
            key: self.object.key,
            offset: self.offset,
            problem,
        };
        // If the reader is gone, the error does not matter.
        let _ = chunks.send(Err(error)).await;
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::fake_s3::{Answer, FakeS3};

    const POLICY: Policy = Policy {
        attempts: 6,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(10),
    };

    /// `length` bytes, of which no two parts are alike.
    fn bytes(length: usize) -> Vec<u8> {
        let words = (0..length as u64).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes: Vec<u8> = words
            .take(length / 8 + 1)
            .flat_map(u64::to_be_bytes)
            .collect();
        bytes.truncate(length);
        bytes
    }

    fn reader(s3: &FakeS3, bytes: usize) -> ObjectReader {
        // Like the program's own client, this SDK client would retry requests.
        let config = s3.client.config().to_builder();
        let config = config.retry_config(POLICY.of_sdk());
        let object = Object {
            client: Client::from_conf(config.build()),
            bucket: "logs".to_owned(),
            key: "a/b.log".to_owned(),
            etag: "e1".to_owned(),
            bytes: bytes as u64,
        };
        open_with(object, None, None, POLICY).unwrap()
    }

    /// Reads on a thread like those that read log files: a blocking one, inside the runtime's `block_on`.
    async fn read(s3: &FakeS3, bytes: usize) -> Result<Vec<u8>, String> {
        let mut reader = reader(s3, bytes);
        let runtime = Handle::current();
        let read = move || {
            runtime.block_on(async move {
                let mut all = Vec::new();
                match reader.read_to_end(&mut all) {
                    Ok(_) => Ok(all),
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::Other);
                        Err(error.to_string())
                    }
                }
            })
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    /// Waits until `value` stops changing, and returns it.
    async fn settled(value: &AtomicUsize) -> usize {
        let begin = Instant::now();
        loop {
            let before = value.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if before > 0 && value.load(Ordering::SeqCst) == before {
                return before;
            }
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_object_is_read_as_the_version_that_was_listed() {
        // More chunks than a Tokio channel would yield without a return to the runtime.
        let object = bytes(40 << 20);
        let answer = object.clone();
        let s3 = FakeS3::start(move |_, request| Answer::object(request, &answer));
        assert!(read(&s3, object.len()).await.unwrap() == object);
        let requests = s3.requests();
        assert_eq!(requests.len(), 1);
        assert!(requests[0].target.starts_with("/logs/a/b.log"));
        assert_eq!(requests[0].header("if-match"), Some("\"e1\""));
        assert_eq!(requests[0].header("range"), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_broken_stream_goes_on_at_the_byte_where_it_broke() {
        let object = bytes(3_000_000);
        let answer = object.clone();
        let s3 = FakeS3::start(move |before, request| {
            let answer = Answer::object(request, &answer);
            match before {
                0 => answer.cut(1_234_567),
                1 => Answer::new(503, "<Error><Code>SlowDown</Code></Error>"),
                2 => answer.cut_silently(700_001),
                3 => answer.cut(0),
                _ => answer,
            }
        });
        assert!(read(&s3, object.len()).await.unwrap() == object);
        let requests = s3.requests();
        let first_bytes: Vec<usize> = requests.iter().map(|each| each.first_byte()).collect();
        let (second, third) = (1_234_567, 1_234_567 + 700_001);
        assert_eq!(first_bytes, [0, second, second, third, third]);
        for request in requests {
            assert_eq!(request.header("if-match"), Some("\"e1\""));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_object_that_has_changed_or_gone_fails() {
        for (status, says) in [(412, "changed since it was looked up"), (404, "deleted")] {
            let s3 = FakeS3::start(move |before, request| match before {
                0 => Answer::object(request, &bytes(1000)).cut(500),
                _ => Answer::new(status, ""),
            });
            let error = read(&s3, 1000).await.unwrap_err();
            assert!(error.contains("s3://logs/a/b.log from byte 500"), "{error}");
            assert!(error.contains(says), "{error}");
            assert_eq!(s3.requests().len(), 2);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn refusals_are_not_tried_again_and_say_what_is_missing() {
        for (status, code, says) in [
            (403, "AccessDenied", "need s3:GetObject on the object"),
            (403, "InvalidObjectState", "archived"),
            (404, "NoSuchBucket", "the bucket 'logs' does not exist"),
            (400, "ExpiredToken", "renew"),
        ] {
            let body = format!("<Error><Code>{code}</Code><Message>why</Message></Error>");
            let s3 = FakeS3::start(move |_, _| Answer::new(status, body.clone()));
            let error = read(&s3, 1000).await.unwrap_err();
            assert!(error.contains(says) && error.contains(code), "{error}");
            assert_eq!(s3.requests().len(), 1);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_server_without_ranges_or_with_other_lengths_is_refused() {
        let s3 = FakeS3::start(|before, _| match before {
            0 => Answer::new(200, bytes(1000)).cut(500),
            _ => Answer::new(200, bytes(1000)),
        });
        let error = read(&s3, 1000).await.unwrap_err();
        assert!(error.contains("instead of bytes 500-"), "{error}");

        let s3 = FakeS3::start(|_, _| Answer::new(200, bytes(1001)));
        let error = read(&s3, 1000).await.unwrap_err();
        assert!(error.contains("more than the 1000 bytes"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_wrong_checksum_fails() {
        // The CRC-32 of no bytes.
        let answer = || Answer::new(200, bytes(1000)).header("x-amz-checksum-crc32", "AAAAAA==");
        let s3 = FakeS3::start(move |_, _| answer());
        let error = read(&s3, 1000).await.unwrap_err();
        assert!(error.contains("integrity check failed"), "{error}");
        assert_eq!(s3.requests().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn attempts_are_bounded_and_begin_anew_where_there_is_progress() {
        let s3 = FakeS3::start(|_, request| Answer::object(request, &bytes(1000)).cut(3));
        let error = read(&s3, 1000).await.unwrap_err();
        assert!(error.contains("from byte 18: the stream broke"), "{error}");
        assert!(error.contains("given up after 6 attempts"), "{error}");
        assert_eq!(s3.requests().len(), 6);

        // No other layer retries a request within these attempts.
        let s3 = FakeS3::start(|_, _| Answer::new(503, "<Error><Code>SlowDown</Code></Error>"));
        let error = read(&s3, 1000).await.unwrap_err();
        assert!(error.contains("given up after 6 attempts"), "{error}");
        println!("{} requests to a broken S3", s3.requests().len());
        assert_eq!(s3.requests().len(), 6);

        let object = bytes(9 << 20);
        let answer = object.clone();
        let s3 = FakeS3::start(move |_, request| Answer::object(request, &answer).cut(1 << 20));
        assert!(read(&s3, object.len()).await.unwrap() == object);
        assert_eq!(s3.requests().len(), 9);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_not_read_is_not_fetched_and_a_reader_that_goes_ends_it() {
        const BYTES: usize = 128 << 20;
        let s3 = FakeS3::start(|_, request| Answer::object(request, &bytes(BYTES)));
        let reader = reader(&s3, BYTES);
        let sent = settled(&s3.sent).await;
        // The chunks in the channel, and the kernel's buffers for the connection.
        assert!(sent < 24 << 20, "{sent}");
        assert_eq!(s3.hung_up.load(Ordering::SeqCst), 0);
        drop(reader);
        assert_eq!(settled(&s3.hung_up).await, 1);
        assert!(settled(&s3.sent).await < 24 << 20);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_empty_object_is_read() {
        let s3 = FakeS3::start(|_, _| Answer::new(200, ""));
        assert_eq!(read(&s3, 0).await.unwrap(), b"");
    }
}
