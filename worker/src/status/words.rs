//! Figures, ages and texts in the form that people read.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use maud::{Markup, html};

use super::Moment;
use crate::terminal::escaped;

/// The most characters of a text that the page shows.
const SHOWN_CHARACTERS_MAX: usize = 400;

/// A length of time, in its largest unit: `40 s`, `6 min`, `3 h`, `2 days`.
pub(super) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5400 => format!("{} min", seconds / 60),
        5400..129_600 => format!("{} h", seconds / 3600),
        _ => format!("{} days", HumanCount(seconds / 86_400)),
    }
}

pub(super) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `1 log file`, `2 log files`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

pub(super) fn log_files(number: u64) -> String {
    counted(number, "log file", "log files")
}

pub(super) fn bytes(number: u64) -> String {
    HumanBytes(number).to_string()
}

/// A rate: three digits are enough.
pub(super) fn rate(number: f64) -> String {
    match number {
        ..0.05 => if number > 0.0 { "less than 0.1" } else { "0" }.to_owned(),
        0.05..9.95 => format!("{number:.1}"),
        _ => count(number.round() as u64),
    }
}

/// The age of an event, with the exact time as a title.
pub(super) fn ago(moment: Moment, now: Moment) -> Markup {
    let exact = moment.in_words();
    html! { time datetime=(moment) title=(exact) { (length(now.since(moment))) " ago" } }
}

/// One of our own texts, with commands between backticks.
pub(super) fn with_code(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A text that strangers may have written. It can't act, hide the text after it, or change the direction of text around it.
pub(super) fn foreign(text: &str) -> Markup {
    let safe = escaped(text);
    let cut = safe.char_indices().nth(SHOWN_CHARACTERS_MAX);
    html! {
        bdi {
            @match cut {
                Some((end, _)) => { (&safe[..end]) "…" }
                None => { (safe) }
            }
        }
    }
}
