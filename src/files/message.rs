//! Messages of parsers that quote what they could not read.

/// Characters at the start of a line that are kept, and at its end.
const KEPT: (usize, usize) = (160, 160);
/// Lines that are kept.
const LINES: usize = 12;

/// The message of a parser, whose quotations of its input may be of any length: the middle of long lines is left out for a
/// `…`, and so are lines past the twelfth; control characters are escaped.
///
/// Both ends are kept because parsers quote first and say last what they expected.
pub fn shorten(message: &str) -> String {
    let mut lines = message.lines();
    let kept: Vec<String> = lines.by_ref().take(LINES).map(shorten_line).collect();
    let more = if lines.next().is_some() { "\n…" } else { "" };
    kept.join("\n") + more
}

fn shorten_line(line: &str) -> String {
    let (first, last) = KEPT;
    // Byte offsets of the first character that is left out and of the first one that is kept again.
    let start = line.char_indices().nth(first).map(|(at, _)| at);
    let end = line.char_indices().rev().nth(last.saturating_sub(1)).map(|(at, _)| at);
    match (start, end) {
        (Some(start), Some(end)) if start < end => format!("{}…{}", visible(&line[..start]), visible(&line[end..])),
        _ => visible(line),
    }
}

/// The text with control characters as their escapes.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_long_lines_is_left_out() {
        let short = "line 3: unknown key `bases`\n  |\n3 | bases = \"ä\"";
        assert_eq!(shorten(short), short);
        let said = shorten(&format!("unknown variant `{}`, expected one of `a`, `b`", "ö".repeat(100_000)));
        assert!(said.starts_with("unknown variant `öö") && said.ends_with("`, expected one of `a`, `b`"), "{said}");
        assert_eq!(said.chars().count(), 321);
        let exactly = "x".repeat(320);
        assert_eq!(shorten(&exactly), exactly);
        assert_eq!(shorten(&format!("{exactly}y")).chars().count(), 321);
    }

    #[test]
    fn many_lines_and_control_characters_do_no_harm() {
        let said = shorten(&"a\u{1b}[2J\n".repeat(100));
        assert_eq!(said, "a\\u{1b}[2J\n".repeat(12) + "…");
        assert_eq!(shorten(""), "");
    }
}
