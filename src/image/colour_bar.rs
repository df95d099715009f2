//! Colour bars: the colours of a range of values with their numbers, beside a picture in false colours.

use crate::Rgba8;
use crate::bitmap_font::{self, HEIGHT};

/// Colours of a range of values.
pub struct ColourBar<'a> {
    /// Name of the values, above the bar.
    pub title: String,
    /// Their unit or another short line, below the title; may be empty.
    pub unit: String,
    /// Places on the bar, 0 (below) to 1, and their numbers.
    pub ticks: Vec<(f64, String)>,
    /// sRGB colour, 0 to 1, at a place on the bar.
    pub colour: &'a dyn Fn(f32) -> [f32; 3],
}

/// Width of a bar; the space around it and around its texts; the length of a tick. In dots.
const WIDTH: u32 = 16;
const SPACE: u32 = 10;
const TICK: u32 = 4;
/// Least and greatest height of a bar in dots.
const BAR: (u32, u32) = (64, 360);

/// Pixels a dot of texts on a picture whose shorter side has so many pixels: one up to 1300.
pub fn text_scale(side: u32) -> u32 {
    ((side + 500) / 900).max(1)
}

/// Ink that can be read on `paper`.
fn ink([r, g, b]: [u8; 3]) -> [u8; 3] {
    let light = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    if light > 110.0 { [30; 3] } else { [235; 3] }
}

impl ColourBar<'_> {
    /// Width in pixels of what [`Self::beside`] adds.
    pub fn width(&self, scale: u32) -> u32 {
        let numbers = self.ticks.iter().map(|(_, text)| bitmap_font::width(text, 1)).max().unwrap_or(0);
        let texts = [&self.title, &self.unit].map(|text| bitmap_font::width(text, 1)).into_iter().max().unwrap_or(0);
        (2 * SPACE + texts.max(WIDTH + TICK + 4 + numbers)) * scale
    }

    /// The picture with the bar at its right, on `paper`; low pictures grow to the height that the bar needs.
    pub fn beside(&self, picture: &Rgba8, paper: [u8; 3]) -> Rgba8 {
        let scale = text_scale(picture.height.min(picture.width));
        let lines = if self.unit.is_empty() { 1 } else { 2 };
        // Half a number stands above and below the bar.
        let around = 2 * SPACE + lines * HEIGHT + 6 + HEIGHT;
        let height = picture.height.max((around + BAR.0) * scale);
        let bar = (height / scale - around).clamp(BAR.0, BAR.1);
        let [r, g, b] = paper;
        let mut out = Rgba8::from_fn(picture.width + self.width(scale), height, |_| [r, g, b, 255]);
        let row = 4 * picture.width as usize;
        for (to, from) in out.data.chunks_exact_mut(4 * out.width as usize).zip(picture.data.chunks_exact(row.max(1))) {
            to[..row].copy_from_slice(from);
        }
        let (x, ink) = (picture.width + SPACE * scale, ink(paper));
        for (line, text) in [&self.title, &self.unit].into_iter().enumerate() {
            bitmap_font::draw(&mut out, x, (SPACE + line as u32 * HEIGHT) * scale, text, ink, scale);
        }
        let top = (SPACE + lines * HEIGHT + 6 + HEIGHT / 2) * scale;
        let rows = bar * scale;
        for y in 0..rows {
            let t = 1.0 - (y as f32 + 0.5) / rows as f32;
            let colour = (self.colour)(t).map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8);
            bitmap_font::rectangle(&mut out, x, top + y, (WIDTH * scale, 1), colour);
        }
        for (place, text) in &self.ticks {
            let y = top + ((1.0 - place.clamp(0.0, 1.0)) * f64::from(rows - 1)).round() as u32;
            let right = x + WIDTH * scale;
            bitmap_font::rectangle(&mut out, right, y, (TICK * scale, scale), ink);
            bitmap_font::draw(&mut out, right + (TICK + 4) * scale, y - HEIGHT / 2 * scale, text, ink, scale);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colormap::sequential_colormap;

    fn bar(ticks: &[(f64, &str)]) -> ColourBar<'static> {
        let ticks = ticks.iter().map(|(place, text)| (*place, text.to_string())).collect();
        ColourBar { title: "depth".into(), unit: "units".into(), ticks, colour: &|t| sequential_colormap(t) }
    }

    #[test]
    fn the_bar_runs_from_low_to_high_beside_the_picture() {
        let picture = Rgba8::from_fn(40, 300, |i| [i as u8, 7, 7, 120]);
        let bar = bar(&[(0.0, "1"), (1.0, "2")]);
        let out = bar.beside(&picture, [255; 3]);
        assert_eq!((out.width, out.height), (40 + bar.width(1), 300));
        assert!((0..300).all(|y| (0..40).all(|x| out.pixel(x, y) == picture.pixel(x, y))), "the picture is as it was");
        let column = |y: u32| out.pixel(40 + SPACE + 3, y);
        let colour = |t: f32| sequential_colormap(t).map(|v| (v * 255.0).round() as u8);
        let at = |t: f32| (0..300).filter(|y| column(*y)[..3] == colour(t)).collect::<Vec<u32>>();
        // The last colour is above the first, and every pixel of the bar is opaque.
        let (top, bottom) = (at(1.0 - 0.5 / 235.0), at(0.5 / 235.0));
        assert!(top.iter().all(|t| bottom.iter().all(|b| t < b)), "{top:?} {bottom:?}");
        assert!((0..300).all(|y| column(y)[3] == 255));
    }

    #[test]
    fn low_pictures_grow_and_dark_paper_has_light_ink() {
        let small = Rgba8::from_fn(8, 8, |_| [1, 2, 3, 255]);
        let out = bar(&[(0.5, "0")]).beside(&small, [0; 3]);
        assert!(out.height >= BAR.0 && out.pixel(7, 7) == [1, 2, 3, 255] && out.pixel(0, 9) == [0, 0, 0, 255]);
        assert!(out.data.chunks_exact(4).any(|p| p == [235, 235, 235, 255]));
        assert_eq!((text_scale(64), text_scale(1080), text_scale(1600), text_scale(4000)), (1, 1, 2, 5));
    }
}
