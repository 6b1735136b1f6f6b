//! A network that fails: it stands between a program and its store, passes bytes through unchanged, and gives
//! each request a fate of its own.
//!
//! The fates follow from a seed in the order in which requests come, which is never quite the same twice.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::Random;

/// What can go wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is reset, and the store never hears of it.
    Reset,
    /// It comes to the store late. Its sender may have been killed meanwhile.
    Delay,
    /// The store says that it has too much to do, and does nothing.
    SlowDown,
    /// The store does it, and the connection is reset instead of an answer.
    LostAnswer,
    /// The store does it, and answers that it couldn't. Clients that try again are in for a surprise.
    DoneAndDenied,
    /// The answer's body ends in its middle.
    CutBody,
}

/// How often each fault is given, of a thousand requests.
pub struct Odds {
    /// To writes of a table's versions.
    pub versions: Vec<(Fault, u64)>,
    /// To all others.
    pub others: Vec<(Fault, u64)>,
}

impl Odds {
    /// Faults enough to be met at every step, and few enough for a program to get through. Writes of versions
    /// are few, and all rests on them, so more happens to them.
    pub fn bad_day() -> Self {
        Self {
            versions: vec![
                (Fault::Reset, 20),
                (Fault::Delay, 100),
                (Fault::SlowDown, 30),
                (Fault::LostAnswer, 200),
                (Fault::DoneAndDenied, 80),
            ],
            others: vec![
                (Fault::Reset, 8),
                (Fault::Delay, 15),
                (Fault::SlowDown, 10),
                (Fault::LostAnswer, 10),
                (Fault::DoneAndDenied, 8),
                // Not every client tries again when a list is cut, so that these end many runs.
                (Fault::CutBody, 4),
            ],
        }
    }

    /// A network that is slow, and else has nothing wrong with it.
    pub fn slow() -> Self {
        let odds = vec![(Fault::Delay, 250)];
        Self {
            versions: odds.clone(),
            others: odds,
        }
    }

    /// The same fault, or none, for every request.
    pub fn always(fault: Option<Fault>) -> Self {
        let odds: Vec<_> = fault.into_iter().map(|fault| (fault, 1000)).collect();
        Self {
            versions: odds.clone(),
            others: odds,
        }
    }
}

const LONGEST_DELAY_MS: u64 = 1500;

/// What a proxy has done so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub connections: u64,
    pub requests: u64,
    pub faults: BTreeMap<Fault, u64>,
    /// Versions that the store has written without telling.
    pub untold_versions: u64,
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            requests,
            faults,
            untold_versions,
        } = self;
        write!(
            f,
            "{connections} connections, {requests} requests, {faults:?}, "
        )?;
        write!(f, "{untold_versions} versions written and not told")
    }
}

/// A proxy that runs until it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    network: Arc<Network>,
    runtime: Option<Runtime>,
}

struct Network {
    store: SocketAddr,
    odds: Odds,
    random: Mutex<Random>,
    /// Requests for what is below this path are refused.
    denied: Mutex<Option<String>>,
    /// Requests to read what is below this path are never answered.
    hangs: Mutex<Option<String>>,
    tally: Mutex<Tally>,
}

impl FaultProxy {
    /// Starts a proxy before the store at this port of 127.0.0.1.
    pub fn start(store_port: u16, odds: Odds, seed: u64) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        // Not bound by the runtime: the caller may be in one of its own, and can't wait for two.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = {
            let _guard = runtime.enter();
            TcpListener::from_std(listener).unwrap()
        };
        let network = Arc::new(Network {
            store: (Ipv4Addr::LOCALHOST, store_port).into(),
            odds,
            random: Mutex::new(Random::new(seed)),
            denied: Mutex::default(),
            hangs: Mutex::default(),
            tally: Mutex::default(),
        });
        runtime.spawn(accept(listener, Arc::clone(&network)));
        Self {
            address,
            network,
            runtime: Some(runtime),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on refuses all requests for what is below this path, as S3 does when a permission is missing.
    pub fn deny(&self, path: &str) {
        *self.network.denied.lock().unwrap() = Some(path.to_owned());
    }

    /// From now on answers no GET of what is below this path.
    pub fn hang(&self, path: &str) {
        *self.network.hangs.lock().unwrap() = Some(path.to_owned());
    }

    pub fn tally(&self) -> Tally {
        self.network.tally.lock().unwrap().clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // Not by waiting: clients keep their connections open as long as they like.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    while let Ok((client, _)) = listener.accept().await {
        let network = Arc::clone(&network);
        // A connection that fails is this proxy's trade: a killed client, or a store that has gone.
        tokio::spawn(async move { network.serve(client).await });
    }
}

impl Network {
    /// Serves one connection, for as long as the client and the faults keep it open.
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        self.tally.lock().unwrap().connections += 1;
        client.set_nodelay(true)?;
        let mut client = BufReader::new(client);
        let store = TcpStream::connect(self.store).await?;
        store.set_nodelay(true)?;
        let mut store = BufReader::new(store);
        while let Some(request) = Message::read(&mut client, BodyOf::Request).await? {
            if request.head.starts_with(b"GET ") && request.is_below(&self.hangs) {
                return std::future::pending().await;
            }
            if request.is_below(&self.denied) {
                let refusal = refusal("403 Forbidden", "AccessDenied");
                // To a HEAD the head alone is an answer.
                let head = refusal.windows(4).position(|end| end == b"\r\n\r\n");
                let bytes = match (request.head.starts_with(b"HEAD "), head) {
                    (true, Some(head)) => head + 4,
                    _ => refusal.len(),
                };
                client.write_all(&refusal[..bytes]).await?;
                continue;
            }
            let fault = self.draw(&request);
            match fault {
                Some(Fault::Reset) => {
                    self.count(Fault::Reset, &request);
                    return client.get_ref().set_zero_linger();
                }
                Some(Fault::SlowDown) => {
                    self.count(Fault::SlowDown, &request);
                    client
                        .write_all(&refusal("503 Slow Down", "SlowDown"))
                        .await?;
                    continue;
                }
                Some(Fault::Delay) => {
                    self.count(Fault::Delay, &request);
                    let ms = self.random.lock().unwrap().below(LONGEST_DELAY_MS);
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                _ => {}
            }

            store.write_all(&request.head).await?;
            store.write_all(&request.body).await?;
            let body = match request.head.starts_with(b"HEAD ") {
                true => BodyOf::AnswerToHead,
                false => BodyOf::Answer,
            };
            let Some(answer) = Message::read(&mut store, body).await? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            match fault {
                Some(Fault::LostAnswer) => {
                    self.count(Fault::LostAnswer, &request);
                    return client.get_ref().set_zero_linger();
                }
                Some(Fault::DoneAndDenied) => {
                    self.count(Fault::DoneAndDenied, &request);
                    client
                        .write_all(&refusal("503 Slow Down", "SlowDown"))
                        .await?;
                    continue;
                }
                Some(Fault::CutBody) if !answer.body.is_empty() => {
                    self.count(Fault::CutBody, &request);
                    client.write_all(&answer.head).await?;
                    let half = answer.body.len() / 2;
                    return client.write_all(&answer.body[..half]).await;
                }
                _ => {
                    client.write_all(&answer.head).await?;
                    client.write_all(&answer.body).await?;
                }
            }
        }
        Ok(())
    }

    /// What befalls this request.
    fn draw(&self, request: &Message) -> Option<Fault> {
        self.tally.lock().unwrap().requests += 1;
        let odds = match request.writes_version() {
            true => &self.odds.versions,
            false => &self.odds.others,
        };
        let mut drawn = self.random.lock().unwrap().below(1000);
        for &(fault, of_thousand) in odds {
            match drawn.checked_sub(of_thousand) {
                Some(rest) => drawn = rest,
                None => return Some(fault),
            }
        }
        None
    }

    fn count(&self, fault: Fault, request: &Message) {
        let mut tally = self.tally.lock().unwrap();
        *tally.faults.entry(fault).or_default() += 1;
        let untold = matches!(fault, Fault::LostAnswer | Fault::DoneAndDenied);
        tally.untold_versions += u64::from(untold && request.writes_version());
    }
}

fn refusal(status: &str, code: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>Not now.</Message></Error>"
    );
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/xml");
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request or an answer, byte for byte as it came.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

/// What HTTP makes of a message without a length depends on what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyOf {
    Request,
    Answer,
    AnswerToHead,
}

impl Message {
    /// The next message; none if the connection ends before it.
    async fn read(from: &mut BufReader<TcpStream>, body_of: BodyOf) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        loop {
            let line = from.read_until(b'\n', &mut head).await?;
            match line {
                0 if head.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ if head.ends_with(b"\r\n\r\n") => break,
                _ => {}
            }
        }
        let mut message = Self {
            head,
            body: Vec::new(),
        };
        message.read_body(from, body_of).await?;
        Ok(Some(message))
    }

    async fn read_body(
        &mut self,
        from: &mut BufReader<TcpStream>,
        body_of: BodyOf,
    ) -> io::Result<()> {
        let status = self.head.split(|byte| *byte == b' ').nth(1);
        let is_empty = body_of == BodyOf::AnswerToHead
            || body_of == BodyOf::Answer && matches!(status, Some(b"204" | b"304"));
        if is_empty {
            return Ok(());
        }
        if self.header("transfer-encoding") == Some("chunked".to_owned()) {
            return self.read_chunks(from).await;
        }
        let length = match self.header("content-length") {
            Some(length) => length.parse().map_err(io::Error::other)?,
            None if body_of == BodyOf::Request => 0,
            None => return Err(io::Error::other("an answer of unknown length")),
        };
        self.body.resize(length, 0);
        from.read_exact(&mut self.body).await?;
        Ok(())
    }

    /// Reads chunks up to the empty one, and the end of the trailers behind it.
    async fn read_chunks(&mut self, from: &mut BufReader<TcpStream>) -> io::Result<()> {
        loop {
            let begin = self.body.len();
            from.read_until(b'\n', &mut self.body).await?;
            let size = String::from_utf8_lossy(&self.body[begin..]);
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                break;
            }
            let begin = self.body.len();
            self.body.resize(begin + size + 2, 0);
            from.read_exact(&mut self.body[begin..]).await?;
        }
        loop {
            let begin = self.body.len();
            from.read_until(b'\n', &mut self.body).await?;
            if matches!(&self.body[begin..], b"\r\n" | b"") {
                return Ok(());
            }
        }
    }

    fn is_below(&self, path: &Mutex<Option<String>>) -> bool {
        let target = self.head.split(|byte| *byte == b' ').nth(1);
        let target = String::from_utf8_lossy(target.unwrap_or_default());
        let path = path.lock().unwrap();
        path.as_ref().is_some_and(|path| target.starts_with(path))
    }

    fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim().to_lowercase())
    }

    fn writes_version(&self) -> bool {
        let first = self.head.split(|byte| *byte == b'\r').next();
        let first = String::from_utf8_lossy(first.unwrap_or_default());
        first.starts_with("PUT ") && first.contains("/_delta_log/") && first.contains(".json ")
    }
}
