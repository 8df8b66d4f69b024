//! What a terminal needs: its width, colour, text that is safe to print and
//! fits its place.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width of a page where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 100;

/// The width of stdout in columns: the terminal's, else `COLUMNS`, else 100.
pub fn width() -> usize {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    comfy_table::Table::new()
        .width()
        .map(usize::from)
        .or_else(told)
        .filter(|width| *width >= 20)
        .unwrap_or(DEFAULT_WIDTH)
}

/// Colours text, or leaves it.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    /// Colours only where it is wanted and stdout is a terminal.
    pub fn stdout(wanted: bool) -> Paint {
        Paint(wanted && std::io::stdout().is_terminal())
    }

    /// No colours.
    #[cfg(test)]
    pub fn none() -> Paint {
        Paint(false)
    }

    /// For what went well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// For what did not.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// For a heading.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Text from elsewhere on one line and without control characters, which could
/// move the cursor or worse.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The columns that text takes up.
pub fn text_width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Text cut to so many columns, with an ellipsis where something is missing.
pub fn cut(text: &str, columns: usize) -> String {
    if text_width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns_and_not_by_bytes() {
        assert_eq!(cut("Zürich", 6), "Zürich");
        assert_eq!(cut("Zürich", 5), "Züri…");
        // Each of these takes two columns.
        assert_eq!(cut("東京都庁", 5), "東京…");
        assert_eq!(text_width(&cut("東京都庁", 6)), 5);
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\nc"), "a [2Jb c");
    }
}
