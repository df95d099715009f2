//! Text in images, in a bitmap font of 7×13 dots a character.

use crate::Rgba8;
use crate::glyphs::GLYPHS;

/// Dots from one character to the next.
pub const ADVANCE: u32 = 7;
/// Dots from one line to the next.
pub const HEIGHT: u32 = 13;

/// Dots of a character, row by row from the top left one in bit 90; none of those that the font lacks.
fn glyph(c: char) -> u128 {
    // Minus and no-break space look like their plain relatives; unknown characters are told from spaces.
    match c {
        ' ' | '\u{a0}' | '\u{2009}' => 0,
        '⁻' => glyph('-'),
        _ => GLYPHS.binary_search_by_key(&c, |g| g.0).map_or_else(|_| glyph('?'), |at| GLYPHS[at].1),
    }
}

/// Width of a text in pixels, each dot `scale` pixels wide.
pub fn width(text: &str, scale: u32) -> u32 {
    text.chars().count() as u32 * ADVANCE * scale
}

/// Draws a text with its top left corner at (x, y), as far as it lies within the image.
pub fn draw(image: &mut Rgba8, x: u32, y: u32, text: &str, colour: [u8; 3], scale: u32) {
    for (k, c) in text.chars().enumerate() {
        let dots = glyph(c);
        for at in (0..ADVANCE * HEIGHT).filter(|at| dots >> (ADVANCE * HEIGHT - 1 - at) & 1 == 1) {
            let (column, row) = (k as u32 * ADVANCE + at % ADVANCE, at / ADVANCE);
            rectangle(image, x + column * scale, y + row * scale, (scale, scale), colour);
        }
    }
}

/// The text cut to `room` pixels, with an ellipsis in place of what is left out.
pub fn fitted(text: &str, room: u32, scale: u32) -> String {
    if width(text, scale) <= room {
        return text.into();
    }
    let most = (room / (ADVANCE * scale)).saturating_sub(1) as usize;
    text.chars().take(most).chain(['…']).collect()
}

/// Fills a rectangle, opaque, as far as it lies within the image.
pub fn rectangle(image: &mut Rgba8, x: u32, y: u32, (w, h): (u32, u32), [r, g, b]: [u8; 3]) {
    for row in y..(y + h).min(image.height) {
        for column in x..(x + w).min(image.width) {
            let at = (row as usize * image.width as usize + column as usize) * 4;
            image.data[at..at + 4].copy_from_slice(&[r, g, b, 255]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_are_in_order_and_drawn_where_they_belong() {
        assert!(GLYPHS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut image = Rgba8::from_fn(20, 15, |_| [255; 4]);
        draw(&mut image, 2, 1, "|_", [0; 3], 1);
        let dark: Vec<(u32, u32)> =
            (0..15).flat_map(|y| (0..20).map(move |x| (x, y))).filter(|(x, y)| image.pixel(*x, *y)[0] == 0).collect();
        // A stroke in one column of the first character, a line in one row of the second.
        let (bar, line): (Vec<_>, Vec<_>) = dark.iter().partition(|(x, _)| *x < 9);
        assert!(bar.len() >= 9 && bar.iter().all(|(x, _)| *x == bar[0].0), "{bar:?}");
        assert!(line.len() >= 5 && line.iter().all(|(_, y)| *y == line[0].1 && *y > 10), "{line:?}");
    }

    #[test]
    fn unknown_characters_are_seen_and_long_texts_are_cut() {
        assert_eq!(glyph('\u{4e00}'), glyph('?'));
        assert_eq!(glyph(' '), 0);
        assert!("∇S‖ρ²×±−…0aZ".chars().all(|c| glyph(c) != glyph('?') && glyph(c) != 0));
        assert_eq!((fitted("short", 100, 1), fitted("much longer", 49, 1)), ("short".into(), "much l…".into()));
        // Beyond the edge of the image nothing is drawn.
        draw(&mut Rgba8::from_fn(3, 3, |_| [0; 4]), 2, 2, "WW", [9; 3], 3);
    }
}
