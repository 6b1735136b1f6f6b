//! What a person sees who waits for a command: on a terminal, a bar with rate, remaining time and what takes long; otherwise
//! a line a minute.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::commands::progress::{LongWait, Progress, Waits};
use crate::terminal::escaped;
use indicatif::{
    HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle,
};

use super::stderr;

/// How often the bar is drawn anew.
const REDRAW: Duration = Duration::from_millis(250);

/// How often a line is written if stderr is no terminal, such as the log of a CI.
const LINE_INTERVAL: Duration = Duration::from_mins(1);

/// What takes longer than this is named.
const LONG: Duration = Duration::from_secs(5);

/// With less done than this, the remaining time is not known.
const KNOWN_AFTER: Duration = Duration::from_secs(2);

/// The bar that is on the terminal now.
static ON_TERMINAL: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The progress of one command. It is drawn by a thread of its own, so that it moves while the command waits.
pub(crate) struct Bar {
    shared: Arc<Shared>,
    drawing: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    tally: Mutex<Tally>,
    waits: Waits,
    is_over: Mutex<bool>,
    over: Condvar,
}

impl Default for Bar {
    fn default() -> Self {
        let shared = Arc::new(Shared::default());
        let drawn = Arc::clone(&shared);
        let drawing = std::thread::Builder::new().spawn(move || match io::stderr().is_terminal() {
            true => drawn.draw(),
            false => drawn.write_lines(),
        });
        Self {
            shared,
            // Without the thread, nothing is shown.
            drawing: drawing.ok(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        *lock(&self.shared.is_over) = true;
        self.shared.over.notify_all();
        if let Some(drawing) = self.drawing.take() {
            let _ = drawing.join();
        }
    }
}

impl Shared {
    /// Waits. Returns whether the command is over.
    fn wait(&self, time: Duration) -> bool {
        let is_over = lock(&self.is_over);
        let waited = self
            .over
            .wait_timeout_while(is_over, time, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn draw(&self) {
        while !self.wait(REDRAW) {
            let mut on_terminal = lock(&ON_TERMINAL);
            let tally = lock(&self.tally).clone();
            let long = self.waits.longest(LONG);
            if !tally.is_begun() && long.is_none() {
                clear(&mut on_terminal);
                continue;
            }
            let bar = on_terminal.get_or_insert_with(|| {
                ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
            });
            let known = tally.share().is_some();
            let template = match (known, long.is_some()) {
                (true, false) => "{bar:24} {wide_msg}",
                (true, true) => "{bar:24} {msg}\n{spinner} {prefix}",
                (false, false) => "{spinner} {wide_msg}",
                (false, true) => "{spinner} {msg}\n  {prefix}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            let width = usize::from(console::Term::stderr().size().1).saturating_sub(3);
            let fitting =
                |text: String, width: usize| console::truncate_str(&text, width, "…").into_owned();
            bar.set_length(1000);
            bar.set_position((tally.share().unwrap_or_default() * 1000.0) as u64);
            bar.set_message(fitting(
                tally.text(Instant::now()),
                width.saturating_sub(if known { 24 } else { 0 }),
            ));
            bar.set_prefix(
                long.map(|long| fitting(waiting_for(&long), width))
                    .unwrap_or_default(),
            );
            bar.tick();
        }
        clear(&mut lock(&ON_TERMINAL));
    }

    fn write_lines(&self) {
        while !self.wait(LINE_INTERVAL) {
            let tally = lock(&self.tally).clone();
            let long = self.waits.longest(LONG).map(|long| waiting_for(&long));
            let text = tally.is_begun().then(|| tally.text(Instant::now()));
            let parts: Vec<String> = text.into_iter().chain(long).collect();
            if !parts.is_empty() {
                // If stderr can't be written to, there is nobody to tell.
                let _ = writeln!(stderr(), "{}", parts.join("; "));
            }
        }
    }
}

fn clear(on_terminal: &mut Option<ProgressBar>) {
    if let Some(bar) = on_terminal.take() {
        bar.finish_and_clear();
    }
}

/// Removes the bar before a text is written. It is drawn again beneath.
pub(crate) fn make_room() {
    clear(&mut lock(&ON_TERMINAL));
}

/// Standard error, above the bar.
#[derive(Debug)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        make_room();
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Names what takes long. Whoever writes to a bucket chooses the names of log files.
fn waiting_for(long: &LongWait) -> String {
    let time = seconds(long.time);
    let others = match long.others {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    format!("waiting {time} for {}{others}", escaped(&long.what))
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => HumanDuration(time).to_string(),
    }
}

/// What is done and what is left.
#[derive(Debug, Clone)]
struct Tally {
    /// What is counted.
    what: &'static str,
    begun: Option<Instant>,
    log_files: u64,
    done: u64,
    /// Bytes of stored log files. They say more about the remaining work than their number, if the command reads them.
    bytes: u64,
    done_bytes: u64,
    text_bytes: u64,
    /// Whether everything has been found.
    is_all: bool,
    is_committing: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            what: "log files",
            begun: None,
            log_files: 0,
            done: 0,
            bytes: 0,
            done_bytes: 0,
            text_bytes: 0,
            is_all: false,
            is_committing: false,
        }
    }
}

impl Tally {
    fn is_begun(&self) -> bool {
        self.begun.is_some()
    }

    fn begin(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    /// The part that is done; `None` as long as more is being found.
    fn share(&self) -> Option<f64> {
        let (done, all) = match self.bytes {
            0 => (self.done, self.log_files),
            bytes => (self.done_bytes, bytes),
        };
        (self.is_all && all > 0).then(|| (done as f64 / all as f64).min(1.0))
    }

    fn text(&self, now: Instant) -> String {
        let took = self
            .begun
            .map(|begun| now.duration_since(begun))
            .unwrap_or_default();
        let per_second = |done: u64| done as f64 / took.as_secs_f64().max(1e-3);
        let (count, what) = (HumanCount, self.what);
        let mut parts = Vec::new();
        match self.share() {
            Some(share) => parts.push(format!(
                "{:>3.0} %  {} of {} {what}",
                (share * 100.0).floor(),
                count(self.done),
                count(self.log_files)
            )),
            None => parts.push(format!(
                "{} of {} {what} so far",
                count(self.done),
                count(self.log_files)
            )),
        }
        if self.is_committing {
            parts.push("committing".to_owned());
            return parts.join("  ");
        }
        if took < Duration::from_millis(500) {
            return parts.join("  ");
        }
        let rate = per_second(self.done);
        parts.push(match rate {
            10.0.. => format!("{}/s", count(rate as u64)),
            _ => format!("{rate:.1}/s"),
        });
        if self.text_bytes > 0 {
            parts.push(format!(
                "{}/s of text",
                HumanBytes(per_second(self.text_bytes) as u64)
            ));
        }
        if let Some(share) = self
            .share()
            .filter(|share| *share > 0.0 && took >= KNOWN_AFTER)
        {
            let left = took.as_secs_f64() * (1.0 - share) / share;
            // Less than 300 years.
            let left = Duration::from_secs(left.min(1e10).ceil() as u64);
            parts.push(format!("{} left", seconds(left)));
        }
        parts.join("  ")
    }
}

impl Bar {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.shared.tally)
    }
}

impl Progress for Bar {
    fn counts(&mut self, what: &'static str) {
        self.tally().what = what;
    }

    fn found(&mut self, log_files: usize) {
        let mut tally = self.tally();
        tally.begin();
        tally.log_files += log_files as u64;
    }

    fn found_bytes(&mut self, log_file_bytes: u64) {
        self.tally().bytes += log_file_bytes;
    }

    fn found_all(&mut self) {
        self.tally().is_all = true;
    }

    fn done(&mut self, log_files: usize) {
        let mut tally = self.tally();
        tally.begin();
        tally.done += log_files as u64;
    }

    fn done_bytes(&mut self, log_file_bytes: u64, text_bytes: u64) {
        let mut tally = self.tally();
        tally.done_bytes += log_file_bytes;
        tally.text_bytes += text_bytes;
    }

    fn committing(&mut self) {
        self.tally().is_committing = true;
    }

    /// The next step of the command begins anew.
    fn end(&mut self) {
        *self.tally() = Tally::default();
        make_room();
    }

    fn waits(&self) -> Waits {
        self.shared.waits.clone()
    }
}

/// The bar of a query over log files. It ends when the first row is written, which would be printed over it.
#[derive(Clone, Default)]
pub(crate) struct QueryBar(Arc<Mutex<Option<Bar>>>);

impl QueryBar {
    fn with(&self, update: impl FnOnce(&mut Bar)) {
        if let Some(bar) = lock(&self.0).as_mut() {
            update(bar);
        }
    }
}

impl Progress for QueryBar {
    fn reading(&mut self, to_read: &dyn Display) {
        // If stderr can't be written to, there is nobody to tell.
        let _ = writeln!(Stderr, "{to_read}");
        *lock(&self.0) = Some(Bar::default());
    }

    fn found(&mut self, log_files: usize) {
        self.with(|bar| bar.found(log_files));
    }

    fn found_bytes(&mut self, log_file_bytes: u64) {
        self.with(|bar| bar.found_bytes(log_file_bytes));
    }

    fn found_all(&mut self) {
        self.with(Progress::found_all);
    }

    fn done(&mut self, log_files: usize) {
        self.with(|bar| bar.done(log_files));
    }

    fn done_bytes(&mut self, log_file_bytes: u64, text_bytes: u64) {
        self.with(|bar| bar.done_bytes(log_file_bytes, text_bytes));
    }

    fn end(&mut self) {
        // Dropped outside of the lock: its thread ends first.
        let bar = lock(&self.0).take();
        drop(bar);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tally: &Tally, took: u64) -> String {
        let now = Instant::now();
        let tally = Tally {
            begun: Some(now),
            ..tally.clone()
        };
        tally.text(now + Duration::from_secs(took))
    }

    #[test]
    fn what_is_left_is_told_when_it_is_known() {
        let mut tally = Tally {
            log_files: 5000,
            done: 1000,
            ..Tally::default()
        };
        assert_eq!(text(&tally, 10), "1,000 of 5,000 log files so far  100/s");
        tally.is_all = true;
        assert_eq!(
            text(&tally, 10),
            " 20 %  1,000 of 5,000 log files  100/s  40 s left"
        );
        // By bytes, a tenth is done.
        (tally.bytes, tally.done_bytes, tally.text_bytes) = (1 << 30, (1 << 30) / 10, 1 << 30);
        assert_eq!(
            text(&tally, 64),
            "  9 %  1,000 of 5,000 log files  15/s  16.00 MiB/s of text  9 min 37 s left"
        );
        assert_eq!(text(&tally, 0), "  9 %  1,000 of 5,000 log files");
        tally.is_committing = true;
        assert_eq!(
            text(&tally, 64),
            "  9 %  1,000 of 5,000 log files  committing"
        );
        assert_eq!(
            text(&Tally::default(), 100),
            "0 of 0 log files so far  0.0/s"
        );
    }

    #[test]
    fn what_takes_long_is_named_as_text() {
        let long = LongWait {
            what: "s3://logs/\u{1b}[2J".to_owned(),
            time: Duration::from_secs(67),
            others: 2,
        };
        assert_eq!(
            waiting_for(&long),
            "waiting 1 min 7 s for s3://logs/\\u{1b}[2J (and 2 more)"
        );
    }

    #[test]
    fn a_bar_ends_with_its_command() {
        let mut bar = Bar::default();
        bar.found(3);
        let _wait = bar.waits().begin("a table");
        let begun = Instant::now();
        drop(bar);
        assert!(begun.elapsed() < LINE_INTERVAL);
    }
}
