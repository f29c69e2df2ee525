//! Foreign text made safe for one line of a log, a terminal or a mail.

/// Returns `text` on one line: escape sequences, control and direction characters dropped, blanks collapsed, cut at
/// `max` characters with an ellipsis.
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut blank = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A terminal would obey what follows: drop the whole sequence, not only its first character.
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                chars.next();
            }
            continue;
        }
        if c.is_whitespace() {
            blank = length > 0;
            continue;
        }
        if c.is_control() || invisible(c) {
            continue;
        }
        let needed = if blank { 2 } else { 1 };
        if length + needed > max {
            line.push('…');
            return line;
        }
        if blank {
            line.push(' ');
        }
        line.push(c);
        length += needed;
        blank = false;
    }
    line
}

/// Tells whether a character has no width or turns the direction of what follows.
fn invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Decodes bytes of unknown encoding for display: UTF-8 where it is valid, Windows-1252 otherwise.
pub fn decode_lossily(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| windows_1252(*b)).collect(),
    }
}

fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_dropped() {
        assert_eq!(one_line("a\u{1b}[31mred\u{1b}[0m\r\nb\tc", 80), "ared b c");
        assert_eq!(one_line("x\u{202e}evil\u{200b}\u{0}", 80), "xevil");
        assert_eq!(one_line("\u{1b}", 80), "");
        assert_eq!(one_line("  a   b  ", 80), "a b");
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(one_line("ab cd", 3), "ab…");
    }

    #[test]
    fn e4_windows_1252_is_shown_readably() {
        assert_eq!(decode_lossily(b"Art\xedculo \x80"), "Artículo €");
        assert_eq!(decode_lossily("Artículo".as_bytes()), "Artículo");
    }
}
