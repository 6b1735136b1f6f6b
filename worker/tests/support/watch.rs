//! Readers that look at tables on S3 while they are written.

use std::process::{Child, Command, Stdio};

use super::ministack::{Ministack, at_endpoint};
use super::project;
use super::python::PYTHON;

/// `tests/watch.py`: logmill, deltalake, Polars and DuckDB. It ends with the test, however that ends.
pub struct Watch(Child);

impl Watch {
    pub fn start(s3: &Ministack, tables: &str) -> Self {
        let mut command = Command::new(&*PYTHON);
        command.arg(project().join("tests/watch.py"));
        command.args([env!("CARGO_BIN_EXE_logmill"), tables]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(at_endpoint(&mut command, &s3.endpoint()).spawn().unwrap())
    }

    /// Lets them look a last time. Fails unless all that they saw was right.
    pub fn end(mut self) {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        println!("{printed}");
        assert!(output.status.success(), "{}", output.status);
        assert!(printed.contains(" passed, 0 failed"), "nothing was checked");
    }
}
