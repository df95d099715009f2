//! Pixels of images without alpha that show the object for sure, before a background of one colour.

use nstr_capture::Image;

/// Greatest difference, in 1/255, of a channel from the background's that noise and compression make.
const NOISE: u8 = 8;

/// `true` where neither the pixel nor any of the four beside it could be the background or mixed with it.
///
/// Only there does the object stop all light whatever its colour: such pixels can be trained over any background, which
/// teaches their alpha. Edges, holes and parts in the background's own colour can't.
pub(crate) fn is_object(image: &Image, index: usize, background: [u8; 3]) -> bool {
    let (width, height) = (image.width as usize, image.height as usize);
    let (x, y) = (index % width, index / width);
    let differs = |x: usize, y: usize| {
        let p = image.pixels[x + y * width];
        (0..3).any(|c| p[c].abs_diff(background[c]) > NOISE)
    };
    differs(x, y)
        && differs(x.saturating_sub(1), y)
        && differs((x + 1).min(width - 1), y)
        && differs(x, y.saturating_sub(1))
        && differs(x, (y + 1).min(height - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_away_from_the_background_is_object() {
        // A square from 2 to 6 on grey, with a hole of nearly the background's colour at 5, 5.
        let inside = |x: usize, y: usize| (2..7).contains(&x) && (2..7).contains(&y);
        let pixel = |i: usize| match (i % 9, i / 9) {
            (5, 5) => [134, 122, 128, 255],
            (x, y) if inside(x, y) => [128, 128, 30, 255],
            _ => [128, 128, 128, 255],
        };
        let image = Image { width: 9, height: 9, pixels: (0..81).map(pixel).collect() };
        let found: Vec<usize> = (0..81).filter(|i| is_object(&image, *i, [128; 3])).collect();
        // Of the inner nine those that do not touch the hole.
        assert_eq!(found, [3 + 3 * 9, 4 + 3 * 9, 5 + 3 * 9, 3 + 4 * 9, 4 + 4 * 9, 3 + 5 * 9]);
        let whole = Image { width: 2, height: 1, pixels: vec![[200, 0, 0, 255]; 2] };
        assert!(is_object(&whole, 0, [128; 3]) && !is_object(&whole, 1, [200, 5, 3]));
    }
}
