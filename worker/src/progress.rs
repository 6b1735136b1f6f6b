//! Progress bars. They are drawn only on a terminal.

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use logmill::commands::run::Progress;
use logmill::commands::verify;

/// Measured in bytes of stored log files: the number of log files says little about the remaining work.
#[derive(Default)]
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    log_files: usize,
    done: usize,
    text_bytes: u64,
}

impl Progress for Bar {
    fn begin(&mut self, log_files: usize, bytes: u64) {
        self.log_files = log_files;
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        let template = "{bar:32} {percent:>3}%  {msg}  {bytes}/{total_bytes}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        self.bar = Some(bar);
    }

    fn advance(&mut self, log_file_bytes: u64, text_bytes: u64) {
        self.done += 1;
        self.text_bytes += text_bytes;
        if let Some(bar) = &self.bar {
            bar.inc(log_file_bytes);
            let seconds = bar.elapsed().as_secs_f64().max(1e-3);
            let speed = HumanBytes((self.text_bytes as f64 / seconds) as u64);
            bar.set_message(format!(
                "{}/{} log files  {speed}/s of text",
                self.done, self.log_files
            ));
        }
    }

    fn committing(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_message("committing");
        }
    }

    fn end(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
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
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let template = "{bar:32} {percent:>3}%  {human_pos}/{human_len} so far  {per_sec}";
            match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        })
    }
}

impl verify::Progress for LogFilesBar {
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
