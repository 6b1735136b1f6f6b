//! A worker, `logmill serve`, running for a test and gone with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take that a test waits for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Worker {
    child: Child,
    /// The lines that it logs, as they come.
    log: Receiver<String>,
    /// All that have been read.
    said: Vec<String>,
    /// Where it listens for HTTP.
    address: String,
}

impl Worker {
    /// Starts this command. When it returns, the worker takes log files.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (line, log) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = stderr.lines().map_while(Result::ok);
            lines.try_for_each(|text| line.send(text))
        });
        let mut worker = Self {
            child,
            log,
            said: Vec::new(),
            address: String::new(),
        };
        worker.address = worker.wait_for("serving")["listen"]
            .as_str()
            .unwrap()
            .to_owned();
        worker
    }

    /// The root of its HTTP interface.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next line with this message.
    pub fn wait_for(&mut self, message: &str) -> Value {
        let begin = Instant::now();
        while let Ok(text) = self
            .log
            .recv_timeout(PATIENCE.saturating_sub(begin.elapsed()))
        {
            let line: Value = serde_json::from_str(&text).unwrap_or_default();
            self.said.push(text);
            if line["message"] == message {
                return line;
            }
        }
        let ended = self.child.try_wait().unwrap();
        panic!(
            "no '{message}'; ended: {ended:?}; it said:\n{}",
            self.said.join("\n")
        );
    }

    /// Sends it a signal, by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([format!("-{name}"), pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to end, by SIGTERM. Fails unless it does, with success. Returns all that it has logged.
    pub fn end(self) -> Vec<String> {
        self.signal("TERM");
        self.ended(0)
    }

    /// Waits until it has ended. Fails unless it does, with this exit code. Returns all that it has logged.
    pub fn ended(mut self, code: i32) -> Vec<String> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if begin.elapsed() > PATIENCE {
                break None;
            }
            thread::sleep(Duration::from_millis(10));
        };
        let mut said = std::mem::take(&mut self.said);
        // Its end of the pipe is closed with it.
        if status.is_some() {
            said.extend(self.log.iter());
        }
        let ended = status.and_then(|status| status.code()) == Some(code);
        assert!(ended, "ended: {status:?}; it said:\n{}", said.join("\n"));
        said
    }

    /// Where it listens for HTTP.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks it by HTTP, with this token. Returns the status, and the answer's head and body.
    pub fn request(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        request(&self.address, method, path, token, body)
    }

    /// The value of a metric, by its name and labels as Prometheus writes them; zero if there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, metrics) = self.request("GET", "/metrics", "", "");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended; what counts is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a worker by HTTP. Returns the status, and the answer's head and body.
pub fn request(address: &str, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Who is refused may be so before all of the body is read.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}
