//! What is around the function in AWS, on local ports: Lambda's runtime API, a worker, SQS.

#![allow(dead_code, reason = "not each test uses all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// How long anything may take that the tests wait for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was asked of a server.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method and path.
    pub what: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let header = headers.find(|(other, _)| other == name);
        header.map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            Some(line.trim_end().to_owned())
        };
        let what = line()?.rsplit_once(' ')?.0.to_owned();
        let mut headers = Vec::new();
        while let Some((name, value)) = line()?.split_once(": ") {
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let mut request = Self {
            what,
            headers,
            body: String::new(),
        };
        let bytes = request.header("content-length").parse().unwrap_or(0);
        reader.take(bytes).read_to_string(&mut request.body).ok()?;
        Some(request)
    }
}

/// What a server answers.
pub enum Answer {
    Http(u16, Vec<(&'static str, String)>, String),
    /// The connection is closed without one.
    HangUp,
    /// There is none for so long.
    Silence(Duration),
}

impl Answer {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self::Http(status, Vec::new(), body.into())
    }

    pub fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Http(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Http(status, headers, body)
            }
            other => other,
        }
    }

    fn write(self, mut stream: &TcpStream) {
        let (status, headers, body) = match self {
            Self::Http(status, headers, body) => (status, headers, body),
            Self::HangUp => return,
            Self::Silence(time) => return std::thread::sleep(time),
        };
        let mut head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // Whoever asks may be gone by then.
        let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
    }
}

/// A server that lives as long as the tests.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` is told how many requests came before.
    pub fn start(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            requests: Arc::default(),
        };
        let (answer, requests) = (Arc::new(answer), Arc::clone(&server.requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
                std::thread::spawn(move || {
                    let Some(request) = Request::read(&stream) else {
                        return;
                    };
                    let before = {
                        let mut requests = requests.lock().unwrap();
                        requests.push(request.clone());
                        requests.len() - 1
                    };
                    answer(before, &request).write(&stream);
                });
            }
        });
        server
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// How an invocation ended, as it was reported to Lambda.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Response(Value),
    Error { r#type: String, message: String },
}

/// The function, running under Lambda's runtime API.
pub struct Lambda {
    child: Child,
    events: Sender<(Value, Duration)>,
    outcomes: Receiver<Outcome>,
    log: Receiver<String>,
    _api: Server,
}

impl Lambda {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let (events, next) = mpsc::channel::<(Value, Duration)>();
        let (reported, outcomes) = mpsc::channel();
        let next = Mutex::new(next);
        let api = Server::start(move |before, request| match &*request.what {
            "GET /2018-06-01/runtime/invocation/next" => {
                match next.lock().unwrap().recv_timeout(PATIENCE) {
                    Ok((event, time)) => invocation(before, &event, time),
                    Err(_) => Answer::HangUp,
                }
            }
            what => {
                let _ = reported.send(outcome(what, request));
                Answer::new(202, "")
            }
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_lambda-dispatch"))
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", &api.address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "lambda-dispatch")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "key")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (line, log) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.try_for_each(|text| line.send(text))
        });
        Self {
            child,
            events,
            outcomes,
            log,
            _api: api,
        }
    }

    /// Invokes the function, which has a minute.
    pub fn invoke(&self, event: Value) -> Outcome {
        self.invoke_for(event, Duration::from_secs(60))
    }

    pub fn invoke_for(&self, event: Value, time: Duration) -> Outcome {
        self.events.send((event, time)).unwrap();
        self.outcomes.recv_timeout(PATIENCE).unwrap()
    }

    /// The next line that it has logged.
    pub fn log(&self) -> Value {
        let line = self.log.recv_timeout(PATIENCE).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Waits for it to end by itself.
    pub fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn invocation(number: usize, event: &Value, time: Duration) -> Answer {
    let deadline = SystemTime::now() + time;
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis();
    Answer::new(200, event.to_string())
        .with("Lambda-Runtime-Aws-Request-Id", format!("request-{number}"))
        .with("Lambda-Runtime-Deadline-Ms", deadline.to_string())
        .with("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:f")
}

fn outcome(what: &str, request: &Request) -> Outcome {
    let said = request.json();
    if what.ends_with("/response") {
        return Outcome::Response(said);
    }
    assert!(what.ends_with("/error"), "{what}");
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    Outcome::Error {
        r#type: text("errorType"),
        message: text("errorMessage"),
    }
}
