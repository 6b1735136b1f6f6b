//! A worker, `logmill serve`, running for a test and gone with it.

use std::io::{BufRead, BufReader};
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
    fn wait_for(&mut self, message: &str) -> Value {
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

    /// Asks it to end, by SIGTERM. Fails unless it does, with success. Returns all that it has logged.
    pub fn end(mut self) -> Vec<String> {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(killed.success());
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
        let ended = status.is_some_and(|status| status.success());
        assert!(ended, "ended: {status:?}; it said:\n{}", said.join("\n"));
        said
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended; what counts is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
