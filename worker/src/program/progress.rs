//! Progress bars. They are drawn only on a terminal.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::commands::progress::Progress;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Measured in bytes of stored log files: the number of log files says little about the remaining work.
#[derive(Default)]
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    log_files: usize,
    done: usize,
    text_bytes: u64,
}

impl Bar {
    fn bar(&mut self) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            bar("{bar:32} {percent:>3}%  {msg}  {bytes}/{total_bytes}  {eta} left")
        })
    }
}

impl Progress for Bar {
    fn found(&mut self, log_files: usize) {
        self.log_files += log_files;
    }

    fn found_bytes(&mut self, log_file_bytes: u64) {
        self.bar().inc_length(log_file_bytes);
    }

    fn done(&mut self, log_files: usize) {
        self.done += log_files;
    }

    fn done_bytes(&mut self, log_file_bytes: u64, text_bytes: u64) {
        self.text_bytes += text_bytes;
        let (text_bytes, done, log_files) = (self.text_bytes, self.done, self.log_files);
        let bar = self.bar();
        bar.inc(log_file_bytes);
        let seconds = bar.elapsed().as_secs_f64().max(1e-3);
        let speed = HumanBytes((text_bytes as f64 / seconds) as u64);
        bar.set_message(format!("{done}/{log_files} log files  {speed}/s of text"));
    }

    fn committing(&mut self) {
        self.bar().set_message("committing");
    }

    fn end(&mut self) {
        self.bar().finish_and_clear();
    }
}

/// The bar of a query over log files. It ends when the first row is written, which would be printed over it.
#[derive(Clone, Default)]
pub(crate) struct QueryBar(Arc<Mutex<Option<Bar>>>);

impl QueryBar {
    fn with(&self, update: impl FnOnce(&mut Bar)) {
        let mut bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bar.as_mut() {
            update(bar);
        }
    }
}

impl Progress for QueryBar {
    fn reading(&mut self, to_read: &dyn Display) {
        // If stderr can't be written to, there is nobody to tell.
        let _ = writeln!(io::stderr(), "{to_read}");
        let mut bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *bar = Some(Bar::default());
    }

    fn found(&mut self, log_files: usize) {
        self.with(|bar| bar.found(log_files));
    }

    fn found_bytes(&mut self, log_file_bytes: u64) {
        self.with(|bar| bar.found_bytes(log_file_bytes));
    }

    fn done(&mut self, log_files: usize) {
        self.with(|bar| bar.done(log_files));
    }

    fn done_bytes(&mut self, log_file_bytes: u64, text_bytes: u64) {
        self.with(|bar| bar.done_bytes(log_file_bytes, text_bytes));
    }

    fn end(&mut self) {
        self.with(Progress::end);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Output that ends the bar before it is written.
pub(crate) struct AfterBar<W> {
    pub(crate) out: W,
    pub(crate) bar: QueryBar,
}

impl<W: Write> Write for AfterBar<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bar.end();
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Measured in processed log files, while more of them are being listed.
#[derive(Default)]
pub(crate) struct LogFilesBar {
    bar: Option<ProgressBar>,
}

impl LogFilesBar {
    fn bar(&mut self) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            bar("{bar:32} {percent:>3}%  {human_pos}/{human_len} so far  {per_sec}")
        })
    }
}

impl Progress for LogFilesBar {
    fn found(&mut self, log_files: usize) {
        self.bar().inc_length(log_files as u64);
    }

    fn done(&mut self, log_files: usize) {
        self.bar().inc(log_files as u64);
    }

    fn end(&mut self) {
        self.bar().finish_and_clear();
    }
}

fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
