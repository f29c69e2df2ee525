//! Makes foreign text harmless for a header, a log line and a reader's eye.

/// The longest name or reference shown.
pub const LONGEST_NAME: usize = 200;
/// The longest sentence shown.
pub const LONGEST_SENTENCE: usize = 1000;

/// Returns `text` on one line, without control, direction and zero-width characters, cut at `longest` characters.
pub fn clean(text: &str, longest: usize) -> String {
    let mut visible = text
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| if breaks_line(c) { ' ' } else { c })
        .skip_while(|c| c.is_whitespace());
    let mut kept: String = visible.by_ref().take(longest).collect();
    if visible.next().is_some() {
        kept.pop();
        kept.push('…');
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// Tells whether a character would start a new line or a new header.
fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Tells whether a character changes how others look without being seen itself.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_directions_and_controls_go_and_long_names_are_cut() {
        assert_eq!(
            clean("remera \u{202e}ajor\u{200b} \u{1f455}", 200),
            "remera ajor \u{1f455}"
        );
        assert_eq!(clean("a\r\nBcc: b@c\0\u{2028}d", 200), "a  Bcc: b@c  d");
        let long = clean(&"ñ".repeat(10_000), 200);
        assert_eq!(long.chars().count(), 200);
        assert!(long.ends_with("ñ…"));
        assert_eq!(clean(&"x".repeat(200), 200).len(), 200);
    }
}
