//! A fake S3 or SQS for tests: just enough HTTP/1.1 on a local port to fail in every way that a test needs. Each connection
//! has its own thread and gets one response.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Headers, with names in lower case.
    headers: Vec<(String, String)>,
    /// The request body.
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// A query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(&format!("http://s3{}", self.target)).unwrap();
        let mut pairs = url.query_pairs();
        pairs
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The first byte that the request asks for.
    pub(crate) fn first_byte(&self) -> usize {
        self.header("range").map_or(0, |range| {
            let range = range.strip_prefix("bytes=").unwrap();
            range.strip_suffix('-').unwrap().parse().unwrap()
        })
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = reader
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty());
        let first = lines.next()?;
        let (method, rest) = first.split_once(' ')?;
        let (method, target) = (method.to_owned(), rest.split(' ').next()?.to_owned());
        let headers = lines
            .filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                Some((name.to_lowercase(), value.to_owned()))
            })
            .collect();
        let mut request = Self {
            method,
            target,
            headers,
            body: String::new(),
        };
        let length = request
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        reader.take(length).read_to_string(&mut request.body).ok()?;
        Some(request)
    }
}

/// A response.
pub(crate) struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// Number of body bytes after which the connection is closed.
    sent: usize,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            status,
            headers: format!("Content-Length: {}\r\n", body.len()),
            sent: body.len(),
            body,
        }
    }

    /// The object, starting at the first byte that the request asks for.
    pub(crate) fn object(request: &Request, object: &[u8]) -> Self {
        let first = request.first_byte();
        let status = if first == 0 { 200 } else { 206 };
        let range = format!("bytes {first}-{}/{}", object.len() - 1, object.len());
        Self::new(status, &object[first..]).header("Content-Range", &range)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Closes the connection after this many bytes of the body.
    pub(crate) fn cut(mut self, sent: usize) -> Self {
        self.sent = sent.min(self.body.len());
        self
    }

    /// Closes the connection after this many bytes, without a Content-Length.
    pub(crate) fn cut_silently(mut self, sent: usize) -> Self {
        self.headers = self.headers.replace("Content-Length", "X-Length");
        self.cut(sent)
    }
}

/// The server. It runs as long as the test process.
pub(crate) struct FakeS3 {
    pub(crate) client: Client,
    pub(crate) endpoint: String,
    /// Requests so far.
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    /// Body bytes that were written to the network.
    pub(crate) sent: Arc<AtomicUsize>,
    /// Connections that were closed before everything was sent.
    pub(crate) hung_up: Arc<AtomicUsize>,
}

impl FakeS3 {
    /// `answer` receives the number of earlier requests.
    pub(crate) fn start(
        answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-2"))
            .endpoint_url(&endpoint)
            .force_path_style(true)
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled());
        let server = Self {
            client: Client::from_conf(config.build()),
            endpoint,
            requests: Arc::default(),
            sent: Arc::default(),
            hung_up: Arc::default(),
        };
        let requests = Arc::clone(&server.requests);
        let (sent, hung_up) = (Arc::clone(&server.sent), Arc::clone(&server.hung_up));
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(request) = Request::read(&stream) else {
                    continue;
                };
                let before = {
                    let mut requests = requests.lock().unwrap();
                    requests.push(request.clone());
                    requests.len() - 1
                };
                let (answer, sent, hung_up) =
                    (Arc::clone(&answer), Arc::clone(&sent), Arc::clone(&hung_up));
                std::thread::spawn(move || {
                    if write(&stream, &answer(before, &request), &sent).is_err() {
                        hung_up.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        server
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn write(mut stream: &TcpStream, answer: &Answer, sent: &AtomicUsize) -> std::io::Result<()> {
    let Answer {
        status, headers, ..
    } = answer;
    let head = format!("HTTP/1.1 {status} x\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    for part in answer.body[..answer.sent].chunks(16 * 1024) {
        stream.write_all(part)?;
        sent.fetch_add(part.len(), Ordering::SeqCst);
    }
    Ok(())
}
