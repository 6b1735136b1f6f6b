//! Comments are read by engineers in a hurry, most of whom are not native speakers. This counts the comment lines that carry a mark of
//! a sentence translated word for word, and fails if there are many. A mark is a hint: some lines with one are good English.

use std::fs;

use crate::support::{project, rust_files};
use regex::RegexSet;

/// The largest share of comment lines that may carry a mark, in percent.
const MARKED_PERCENT_MAX: usize = 5;

const MARKS: [&str; 23] = [
    r"\bto be had\b",
    r"\b(is|are) none\b",
    r"\b(is|are) no \w+",
    r"\bso (many|much|long)\b",
    r"\bWho \w+",
    r"\bwho\b",
    r"\bwhat is\b",
    r"\bWhat (is|has|comes|one|a|somebody)\b",
    r"\bwhat (has|comes|they|it)\b",
    r"\bstands?\b",
    r"\bbut for\b",
    r"\bis well\b",
    r"\bthose (that|of|which|who)\b",
    r"\bof one's own\b",
    r"\bfor ever\b",
    r"\bmeanwhile\b",
    r"\bcomes? to\b",
    r"\bas .* has it\b",
    r"\ball else\b",
    r"\bnobody\b",
    r"\bsomebody\b",
    r"\bis gone already\b",
    r"\bas it is there\b",
];

#[test]
fn few_comments_read_like_translations() {
    let marks = RegexSet::new(MARKS).unwrap();
    let (mut lines, mut marked) = (0, Vec::new());
    for folder in [
        "worker/src",
        "worker/crates",
        "shared/src",
        "lambda-dispatch/src",
    ] {
        for file in rust_files(&project().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            for (at, line) in text.lines().enumerate() {
                let Some(comment) = line.trim_start().strip_prefix("//") else {
                    continue;
                };
                lines += usize::from(!comment.trim_matches(['/', '!', ' ']).is_empty());
                if marks.is_match(comment) {
                    marked.push(format!("{}:{}: {}", file.display(), at + 1, line.trim()));
                }
            }
        }
    }
    println!("{} of {lines} comment lines carry a mark", marked.len());
    assert!(lines > 1000, "comments are looked for in the wrong place");
    assert!(
        marked.len() * 100 <= lines * MARKED_PERCENT_MAX,
        "{} of {lines} comment lines carry a mark of a translated sentence:\n{}",
        marked.len(),
        marked.join("\n")
    );
}
