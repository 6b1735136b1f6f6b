//! Visitors' texts, as a page shows them.

use crate::terminal::escaped;

/// Characters of a value that are shown.
const SHOWN_MAX: usize = 120;

/// The text on one line. Control characters, and characters that change the direction of text, are escaped; a long text is cut. The
/// page also escapes HTML.
pub(super) fn shown(text: &str) -> String {
    let characters = text.chars().count();
    if characters <= SHOWN_MAX {
        return escaped(text).into_owned();
    }
    let beginning: String = text.chars().take(SHOWN_MAX).collect();
    format!("{}… ({characters} characters)", escaped(&beginning))
}

/// JSON that is safe within a `<script>` element: no text in it ends the element, or a line of a script.
///
/// # Errors
///
/// If the value can't be JSON.
pub(super) fn json_in_script(value: &impl serde::Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    Ok(json
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_visitors_write_is_shown_on_one_line() {
        assert_eq!(shown("a\u{202e}b\n\0"), "a\\u{202e}b\\n\\u{0}");
        let long = shown(&"ü".repeat(8192));
        assert_eq!(
            long.chars().filter(|character| *character == 'ü').count(),
            120
        );
        assert!(long.ends_with("… (8192 characters)"), "{long}");
    }

    #[test]
    fn no_text_ends_a_script() {
        let hostile = "</script><!--\u{2028}&\"";
        let json = json_in_script(&hostile).unwrap();
        assert!(!json.contains(['<', '>', '&', '\u{2028}']), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
    }
}
