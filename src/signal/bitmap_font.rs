//! A bitmap font for text in images: digits and some letters of 3×5 dots.

use nstr_image::Rgba8;

/// Pixels a dot along both axes.
const DOT: u32 = 2;
/// Pixels from one character to the next.
pub const ADVANCE: u32 = 4 * DOT;
/// Height of a line in pixels.
pub const HEIGHT: u32 = 5 * DOT;

/// Rows of a character from the top, three bits each, the highest on the left.
fn glyph(c: char) -> [u8; 5] {
    match c {
        '0' => [0b111, 0b101, 0b101, 0b101, 0b111],
        '1' => [0b010, 0b110, 0b010, 0b010, 0b111],
        '2' => [0b111, 0b001, 0b111, 0b100, 0b111],
        '3' => [0b111, 0b001, 0b111, 0b001, 0b111],
        '4' => [0b101, 0b101, 0b111, 0b001, 0b001],
        '5' => [0b111, 0b100, 0b111, 0b001, 0b111],
        '6' => [0b111, 0b100, 0b111, 0b101, 0b111],
        '7' => [0b111, 0b001, 0b010, 0b010, 0b010],
        '8' => [0b111, 0b101, 0b111, 0b101, 0b111],
        '9' => [0b111, 0b101, 0b111, 0b001, 0b111],
        '.' => [0b000, 0b000, 0b000, 0b000, 0b010],
        '-' => [0b000, 0b000, 0b111, 0b000, 0b000],
        'B' => [0b110, 0b101, 0b110, 0b101, 0b110],
        'C' => [0b111, 0b100, 0b100, 0b100, 0b111],
        'D' => [0b110, 0b101, 0b101, 0b101, 0b110],
        'd' => [0b001, 0b001, 0b111, 0b101, 0b111],
        'E' => [0b111, 0b100, 0b110, 0b100, 0b111],
        'F' => [0b111, 0b100, 0b110, 0b100, 0b100],
        'H' => [0b101, 0b101, 0b111, 0b101, 0b101],
        'I' => [0b111, 0b010, 0b010, 0b010, 0b111],
        'N' => [0b110, 0b101, 0b101, 0b101, 0b101],
        'R' => [0b110, 0b101, 0b110, 0b101, 0b101],
        'T' => [0b111, 0b010, 0b010, 0b010, 0b010],
        'k' => [0b100, 0b101, 0b110, 0b101, 0b101],
        's' => [0b000, 0b011, 0b010, 0b001, 0b011],
        'z' => [0b000, 0b111, 0b001, 0b010, 0b111],
        _ => [0; 5],
    }
}

/// Width of a text in pixels.
pub fn width(text: &str) -> u32 {
    (text.chars().count() as u32 * ADVANCE).saturating_sub(DOT)
}

/// Draws a text with its top left corner at (x, y), as far as it lies within the image; unknown characters are blank.
pub fn draw(image: &mut Rgba8, x: u32, y: u32, text: &str, colour: [u8; 3]) {
    for (k, c) in text.chars().enumerate() {
        for (row, bits) in glyph(c).into_iter().enumerate() {
            for column in (0..3).filter(|column| bits >> (2 - column) & 1 == 1) {
                rectangle(image, x + k as u32 * ADVANCE + column * DOT, y + row as u32 * DOT, (DOT, DOT), colour);
            }
        }
    }
}

/// Fills a rectangle, as far as it lies within the image.
pub fn rectangle(image: &mut Rgba8, x: u32, y: u32, (w, h): (u32, u32), colour: [u8; 3]) {
    for row in y..(y + h).min(image.height) {
        for column in x..(x + w).min(image.width) {
            let at = (row as usize * image.width as usize + column as usize) * 4;
            image.data[at..at + 3].copy_from_slice(&colour);
        }
    }
}
