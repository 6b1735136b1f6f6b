//! The prompt of `logmill query`: one statement after the other, with history and completion.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::commands::query::{self, Style};
use crate::terminal::escaped;
use anyhow::Result;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use tokio::signal::unix::{SignalKind, signal};

use super::ask::{Answer, Source, rows};
use super::destination::Stdout;
use super::{SUCCESS, print_error, stderr};

const PROMPT: &str = "logmill> ";

const HISTORY_ENTRIES_MAX: usize = 1000;

/// Tables whose columns are completed. Opening a table reads its log, so a root with thousands is not opened.
const COMPLETED_TABLES_MAX: usize = 50;

const KEYWORDS: [&str; 42] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS",
    "DATE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "FILTER",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "SELECT",
    "SHOW",
    "TABLES",
    "THEN",
    "UNION",
    "WHEN",
    "WHERE",
];

/// Asks for statements and answers them, until the person ends it.
pub(crate) async fn prompt(source: &Source, style: Style) -> Result<u8> {
    writeln!(
        stderr(),
        "End a statement with ; or an empty line. SHOW TABLES lists the tables, Tab completes names, exit or Ctrl-D ends."
    )?;
    let words = Words::default();
    let reading = tokio::spawn(read_words(source.clone(), words.clone()));
    end_on_sigterm()?;
    let mut editor = editor(words)?;
    let history = history();
    if let Some(history) = &history {
        // There is none the first time.
        let _ = editor.load_history(history);
    }
    let ended = loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break Ok(()),
            Err(error) => break Err(error),
        };
        let sql = line.trim();
        if sql.is_empty() {
            continue;
        }
        // An entry that can't be kept is only missing in the history.
        let _ = editor.add_history_entry(line.trim_end());
        if is_end(sql) {
            break Ok(());
        }
        if let Err(error) = answer(source, sql, style).await {
            print_error(&error)?;
        }
    };
    reading.abort();
    if let Some(history) = &history {
        if let Some(folder) = history.parent() {
            let _ = fs::create_dir_all(folder);
        }
        if let Err(error) = editor.save_history(history) {
            let _ = writeln!(
                stderr(),
                "the history {} cannot be written: {error}",
                history.display()
            );
        }
    }
    ended?;
    Ok(SUCCESS)
}

/// A query catches the signal, and from then on it would be ignored while the prompt waits.
fn end_on_sigterm() -> io::Result<()> {
    let kind = SignalKind::terminate();
    let mut terminate = signal(kind)?;
    tokio::spawn(async move {
        terminate.recv().await;
        std::process::exit(128 + kind.as_raw_value());
    });
    Ok(())
}

async fn answer(source: &Source, sql: &str, style: Style) -> Result<()> {
    let out = io::BufWriter::new(Stdout::of(style.format));
    match rows(source, sql, style, out).await? {
        Answer::Stopped(_) => writeln!(stderr(), "stopped")?,
        Answer::Written(_, written) => {
            written?;
        }
    }
    Ok(())
}

fn is_end(sql: &str) -> bool {
    let word = sql.trim_end_matches(';').trim();
    ["exit", "quit"]
        .iter()
        .any(|end| word.eq_ignore_ascii_case(end))
}

fn editor(words: Words) -> Result<Editor<Words, FileHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY_ENTRIES_MAX)?
        .history_ignore_dups(true)?
        // As in shells, a space keeps a line out of the history.
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(words));
    Ok(editor)
}

/// The file with the history; `None` without a home.
fn history() -> Option<PathBuf> {
    let folder = |name: &str| {
        let folder = std::env::var_os(name).map(PathBuf::from);
        folder.filter(|folder| folder.is_absolute())
    };
    let state = folder("XDG_STATE_HOME");
    let state = state.or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("logmill/history"))
}

/// Adds the names of tables and columns, while the person may write already.
async fn read_words(source: Source, words: Words) {
    let tables = match &source {
        Source::Logs(_) => query::log_tables(),
        Source::Tables(root, _) => query::tables(root, COMPLETED_TABLES_MAX).await,
    };
    for (table, columns) in tables {
        words.add(std::iter::once(table).chain(columns));
    }
}

/// The names that Tab completes: tables, columns, functions and keywords.
#[derive(Debug, Clone)]
struct Words(Arc<Mutex<BTreeSet<String>>>);

impl Default for Words {
    fn default() -> Self {
        let functions = query::function_names();
        let functions = functions.into_iter().map(|name| name + "(");
        let keywords = KEYWORDS.map(str::to_owned).into_iter();
        Self(Arc::new(Mutex::new(functions.chain(keywords).collect())))
    }
}

impl Words {
    fn add(&self, names: impl Iterator<Item = String>) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever may write to the root chooses the names of its folders.
        words.extend(names.filter(|name| matches!(escaped(name), Cow::Borrowed(_))));
    }

    /// The words that begin with this text, in either case.
    fn that_begin_with(&self, text: &str) -> Vec<String> {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = |word: &&String| {
            let beginning = word.get(..text.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(text))
        };
        words.iter().filter(begins).cloned().collect()
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..position).unwrap_or(line);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let start = before.trim_end_matches(is_part).len();
        let word = before.get(start..).unwrap_or_default();
        match word.is_empty() {
            true => Ok((position, Vec::new())),
            false => Ok((start, self.that_begin_with(word))),
        }
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let is_whole = text.trim_end().ends_with(';')
            || text.trim().is_empty()
            || text.ends_with('\n')
            || is_end(text);
        Ok(match is_whole {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_in_either_case() {
        let words = Words::default();
        words.add(
            ["events", "event_id", "\u{1b}[2J"]
                .map(str::to_owned)
                .into_iter(),
        );
        assert_eq!(words.that_begin_with("even"), ["event_id", "events"]);
        assert_eq!(words.that_begin_with("selE"), ["SELECT"]);
        assert_eq!(
            words.that_begin_with("URL_EXTRACT_PARAM"),
            ["url_extract_parameter("]
        );
        assert!(words.that_begin_with("\u{1b}").is_empty());
    }
}
