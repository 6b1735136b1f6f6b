//! S3 on this machine, with what it notifies: ministack, started for a test and gone with it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, RetryConfig};

use super::python::PYTHON;

/// Runs the server until its standard input is closed. That is when the test is over, however it ends: a test
/// that is killed can't stop what it has started.
const SERVE: &str = "
import os, sys, threading
from ministack.app import main

def end_with_the_test():
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=end_with_the_test, daemon=True).start()
sys.argv = sys.argv[:1]
main()
";

/// The start takes half a second; a machine that is busy with eight other things takes longer.
const LONGEST_START: Duration = Duration::from_secs(60);

/// Somebody else may take the port between our look and the server's start.
const STARTS: u32 = 5;

/// A server with its own buckets, all in its memory.
pub struct Ministack {
    server: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Ministack {
    /// Starts a server with these buckets. When it returns, the server answers.
    pub fn start(buckets: &[&str]) -> Self {
        Self::start_and("false", buckets)
    }

    /// Starts a server that lets nobody do what policies don't allow, but for the account itself, whose credentials are
    /// those of [`at_endpoint`].
    pub fn start_strict() -> Self {
        Self::start_and("true", &[])
    }

    fn start_and(auth: &str, buckets: &[&str]) -> Self {
        let mut logs = Vec::new();
        for _ in 0..STARTS {
            let mut ministack = Self::spawn(auth);
            if ministack.answers() {
                for bucket in buckets {
                    let answer = ministack.request("PUT", &format!("/{bucket}")).unwrap();
                    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                }
                return ministack;
            }
            logs.push(fs::read_to_string(ministack.folder.path().join("log")).unwrap());
        }
        panic!("ministack can't be started:\n{}", logs.join("\n"));
    }

    fn spawn(auth: &str) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let server = Command::new(&*PYTHON)
            .args(["-c", SERVE])
            // Nothing of the user's, such as an endpoint or a proxy, which would be the functions' too; and nothing that
            // outlives the test.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("LOG_LEVEL", "WARNING")
            .env("TMPDIR", folder.path())
            .env("S3_PERSIST", "0")
            .env("PERSIST_STATE", "0")
            .env("AUTH", auth)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            server,
            port,
            folder,
        }
    }

    /// Waits until the server answers. It does not if it has ended.
    fn answers(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < LONGEST_START && self.server.try_wait().unwrap().is_none() {
            let health = self.request("GET", "/_ministack/health");
            if health.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
                // It may be another's server that answers there, and ours that has found the port taken.
                return self.server.try_wait().unwrap().is_none();
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// A request without a body. Returns the answer as it comes.
    fn request(&self, method: &str, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        let host = format!("127.0.0.1:{}", self.port);
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client of its own for a bucket, which shares no connection with others.
    pub fn bucket(&self, name: &str) -> AmazonS3 {
        bucket(&self.endpoint(), name)
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        // It may have ended by itself; what counts is that it is gone.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A client of its own for a bucket at this endpoint. It tries nothing twice: what it says is what was answered.
pub fn bucket(endpoint: &str, name: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_bucket_name(name)
        .with_retry(RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        })
        .build()
        .unwrap()
}

/// Lets a program reach the S3 at this endpoint, with credentials that the server takes.
pub fn at_endpoint<'a>(command: &'a mut Command, endpoint: &str) -> &'a mut Command {
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", endpoint)
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_ENDPOINT_URL_S3")
        .env_remove("AWS_ENDPOINT_URL_SQS")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
