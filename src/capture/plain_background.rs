//! The plain background of opaque images: one colour that the borders of the views agree on, and the silhouettes before it.
//!
//! Renderers and turntables often write an object over one colour, without alpha. The colour is the median of the pixels
//! along the borders of all views. It counts as the background where nearly all border pixels of most views have it, where
//! something else is in the pictures, and where that is not the same window in all of them: photographs with a printed or
//! scanned border agree in their borders too.
//!
//! Background is what is connected with the border and has the colour to within the noise of the borders themselves, so
//! that dark parts of an object before black stay with the object. Whatever is enclosed counts as the object, and the
//! object is a pixel wider than it is: silhouettes carve space away, and must not carve a part of the object.

use std::fmt;
use std::str::FromStr;

use nstr_files::excerpt;
use nstr_image::colour::{Background, hex};
use rayon::prelude::*;

use crate::view::{Image, View};

/// Width of the frame along the border over the shorter side of the image.
const FRAME: f64 = 0.015;
/// Least number of pixels along a side: smaller images have hardly anything but border.
const MIN_SIDE: u32 = 16;
/// Least number of views that can be said to agree.
const MIN_VIEWS: usize = 3;
/// Greatest difference from the colour, of 255 in any channel, that noise and compression explain.
const MAX_DIFFERENCE: u8 = 8;
/// Fraction of a view's border pixels that have the colour where the view agrees.
const AGREEING_PIXELS: f64 = 0.97;
/// Fraction of the views that agree: in the others the object touches the border.
const AGREEING_VIEWS: f64 = 0.8;
/// Fraction of a view's border pixels that masks have to leave for the view to be judged.
const JUDGED: f64 = 0.25;
/// Fraction of the agreeing views' border pixels that the tolerance holds, and what is added to it.
const NOISE: (f64, u8) = (0.995, 1);
/// Least mean fraction of the pictures that shows something else, and that is background.
const MIN_OBJECT: f64 = 0.002;
const MIN_BACKGROUND: f64 = 0.05;
/// Views whose silhouettes are compared, at most, evenly picked, and cells along each axis in which they are.
const COMPARED: usize = 64;
const GRID: usize = 48;
/// Silhouettes are a window if those of nine tenths of the views share this fraction of what they cover together …
const SAME: f64 = 0.85;
/// … and that reaches over this fraction of both sides of the picture, and fills this fraction of its bounding box.
const WINDOW: (f64, f64) = (0.8, 0.7);

/// Background of a capture's images, as options give it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum CaptureBackground {
    /// One colour where the borders of opaque images agree on it; else none is known.
    #[default]
    Auto,
    /// None is known, whatever the borders say: a field is trained over random colours.
    Random,
    /// This colour (sRGB values).
    Colour([u8; 3]),
}

impl FromStr for CaptureBackground {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "random" => return Ok(Self::Random),
            _ => {}
        }
        let colour = text.parse::<Background>().ok().and_then(Background::srgb);
        let colour = colour.map(|c| Self::Colour(c.map(|v| (v * 255.0).round() as u8)));
        colour.ok_or_else(|| {
            let text = excerpt(text);
            format!("\"{text}\" is not a background of a capture; expected auto, random, white, black or #rrggbb")
        })
    }
}

impl fmt::Display for CaptureBackground {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Random => f.write_str("random"),
            Self::Colour(colour) => f.write_str(&hex(*colour)),
        }
    }
}

impl From<CaptureBackground> for String {
    fn from(background: CaptureBackground) -> Self {
        background.to_string()
    }
}

impl TryFrom<String> for CaptureBackground {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A background of one colour behind the object of a capture's opaque images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainBackground {
    /// The colour, sRGB values.
    pub colour: [u8; 3],
    /// Greatest difference from it, in any channel, of a pixel that counts as background.
    pub tolerance: u8,
}

impl fmt::Display for PlainBackground {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&hex(self.colour))
    }
}

impl PlainBackground {
    /// The background of opaque views, or `None` where their borders do not agree on one colour (on `given` where there is
    /// one), where they show nothing else, and where it is a border around pictures.
    pub(super) fn find(views: &[View], given: Option<[u8; 3]>) -> Option<Self> {
        let borders: Vec<Vec<[u8; 3]>> = views.par_iter().filter_map(border).collect();
        if borders.len() < MIN_VIEWS || 2 * borders.len() < views.len() {
            return None;
        }
        let colour = given.unwrap_or_else(|| median(&borders));
        let (mut agreeing, mut noise) = (0, [0usize; MAX_DIFFERENCE as usize + 1]);
        for border in &borders {
            let mut within = [0usize; MAX_DIFFERENCE as usize + 1];
            for pixel in border {
                if let Some(count) = within.get_mut(usize::from(difference(*pixel, colour))) {
                    *count += 1;
                }
            }
            if within.iter().sum::<usize>() as f64 >= AGREEING_PIXELS * border.len() as f64 {
                agreeing += 1;
                noise.iter_mut().zip(within).for_each(|(sum, count)| *sum += count);
            }
        }
        if (agreeing as f64) < AGREEING_VIEWS * borders.len() as f64 {
            return None;
        }
        let most = NOISE.0 * noise.iter().sum::<usize>() as f64;
        let mut held = 0;
        let holds = |count: &usize| {
            held += count;
            held as f64 >= most
        };
        let quantile = noise.iter().position(holds).map_or(MAX_DIFFERENCE, |d| d as u8);
        let found = Self { colour, tolerance: (quantile + NOISE.1).min(MAX_DIFFERENCE) };
        found.is_behind_an_object(views).then_some(found)
    }

    /// `true` if something else is before it that is not the same window in all views.
    fn is_behind_an_object(&self, views: &[View]) -> bool {
        let views: Vec<&View> = views.iter().filter(|v| !v.image.pixels.is_empty()).collect();
        let count = views.len().min(COMPARED);
        let shapes: Vec<Shape> =
            (0..count).into_par_iter().map(|i| Shape::new(self, views[i * views.len() / count])).collect();
        let mean = |of: fn(&Shape) -> f64| shapes.iter().map(of).sum::<f64>() / count.max(1) as f64;
        mean(|s| s.object) >= MIN_OBJECT && mean(|s| s.background) >= MIN_BACKGROUND && !are_windows(&shapes)
    }

    fn covers(&self, pixel: &[u8; 4]) -> bool {
        difference([pixel[0], pixel[1], pixel[2]], self.colour) <= self.tolerance
    }

    /// `[y · width + x]`: `true` for background that is connected with the border, a pixel away from everything else.
    ///
    /// Masked pixels say nothing, and so block nothing.
    fn connected(&self, view: &View) -> Vec<bool> {
        let (w, h) = (view.image.width as usize, view.image.height as usize);
        let plain = |(i, p): (usize, &[u8; 4])| self.covers(p) || !view.usable(i);
        let plain: Vec<bool> = view.image.pixels.iter().enumerate().map(plain).collect();
        // Only what has background all around: so it does not leak through gaps of a pixel or two, and keeps its distance.
        let open = eroded(&plain, w, h);
        let mut found = vec![false; open.len()];
        let mut next: Vec<usize> = (0..w).chain((0..h).map(|y| y * w)).chain((0..h).map(|y| y * w + w - 1)).collect();
        next.extend((0..w).map(|x| (h - 1) * w + x));
        while let Some(i) = next.pop() {
            if !open[i] || found[i] {
                continue;
            }
            found[i] = true;
            let (x, y) = (i % w, i / w);
            next.extend([(x > 0, i.wrapping_sub(1)), (y > 0, i.wrapping_sub(w))].iter().filter(|n| n.0).map(|n| n.1));
            next.extend([(x + 1 < w, i + 1), (y + 1 < h, i + w)].iter().filter(|n| n.0).map(|n| n.1));
        }
        found
    }

    /// Makes the background transparent in opaque views; [`fill_in`] undoes it.
    pub(super) fn cut_out(&self, views: &mut [View]) {
        views.par_iter_mut().filter(|v| !v.image.pixels.is_empty()).for_each(|view| {
            let background = self.connected(view);
            view.image.pixels.iter_mut().zip(background).filter(|(_, b)| *b).for_each(|(p, _)| p[3] = 0);
        });
    }
}

/// Makes all pixels opaque, as they were before [`PlainBackground::cut_out`].
pub(super) fn fill_in(views: &mut [View]) {
    views.par_iter_mut().for_each(|view| view.image.pixels.iter_mut().for_each(|p| p[3] = 255));
}

/// Greatest difference of two colours in a channel.
fn difference(a: [u8; 3], b: [u8; 3]) -> u8 {
    let [r, g, b] = [0, 1, 2].map(|c| a[c].abs_diff(b[c]));
    r.max(g).max(b)
}

/// `true` where neither a pixel of an opaque image nor any of the four beside it could be the background of this colour or
/// mixed with it.
///
/// Only there does the object stop all light whatever its colour: such pixels can be trained over any background, which
/// teaches their alpha. Edges, holes and parts in the background's own colour can't.
pub fn is_object(image: &Image, index: usize, background: [u8; 3]) -> bool {
    let (width, height) = (image.width as usize, image.height as usize);
    let (x, y) = (index % width, index / width);
    let differs = |x: usize, y: usize| {
        let [r, g, b, _] = image.pixels[x + y * width];
        difference([r, g, b], background) > MAX_DIFFERENCE
    };
    differs(x, y)
        && differs(x.saturating_sub(1), y)
        && differs((x + 1).min(width - 1), y)
        && differs(x, y.saturating_sub(1))
        && differs(x, (y + 1).min(height - 1))
}

/// Pixels along the border that may be used; `None` where the view cannot be judged by them.
fn border(view: &View) -> Option<Vec<[u8; 3]>> {
    let (w, h) = (view.image.width as usize, view.image.height as usize);
    if view.image.pixels.is_empty() || view.image.width.min(view.image.height) < MIN_SIDE {
        return None;
    }
    let f = ((FRAME * w.min(h) as f64).round() as usize).max(1);
    let rows = (0..f).chain(h - f..h).flat_map(|y| y * w..(y + 1) * w);
    let sides = (f..h - f).flat_map(|y| (y * w..y * w + f).chain((y + 1) * w - f..(y + 1) * w));
    let colour = |i: usize| {
        let [r, g, b, _] = view.image.pixels[i];
        [r, g, b]
    };
    let found: Vec<[u8; 3]> = rows.chain(sides).filter(|i| view.usable(*i)).map(colour).collect();
    let all = 2 * f * (w + h - 2 * f);
    (found.len() as f64 >= JUDGED * all as f64).then_some(found)
}

/// Median of all colours in each channel.
fn median(borders: &[Vec<[u8; 3]>]) -> [u8; 3] {
    let mut counts = [[0usize; 256]; 3];
    for pixel in borders.iter().flatten() {
        counts.iter_mut().zip(pixel).for_each(|(channel, value)| channel[usize::from(*value)] += 1);
    }
    let half = borders.iter().map(Vec::len).sum::<usize>() / 2;
    counts.map(|channel| {
        let mut below = 0;
        let holds = |count: &usize| {
            below += count;
            below > half
        };
        channel.iter().position(holds).unwrap_or(255) as u8
    })
}

/// `true` where a pixel and its eight neighbours, as far as they exist, are.
fn eroded(set: &[bool], w: usize, h: usize) -> Vec<bool> {
    let across = |i: usize| {
        let x = i % w;
        set[i] && (x == 0 || set[i - 1]) && (x + 1 == w || set[i + 1])
    };
    let rows: Vec<bool> = (0..w * h).map(across).collect();
    let along = |i: usize| {
        let y = i / w;
        rows[i] && (y == 0 || rows[i - w]) && (y + 1 == h || rows[i + w])
    };
    (0..w * h).map(along).collect()
}

/// The silhouette of a view before a background, in a few cells.
struct Shape {
    /// Fractions of the usable pixels that are the object and the background.
    object: f64,
    background: f64,
    /// `[y · GRID + x]`: `true` where the object is.
    cells: Vec<bool>,
}

impl Shape {
    fn new(background: &PlainBackground, view: &View) -> Self {
        let connected = background.connected(view);
        let (w, h) = (view.image.width as usize, view.image.height as usize);
        let usable = view.usable_pixels().max(1) as f64;
        let around = connected.iter().enumerate().filter(|(i, c)| **c && view.usable(*i)).count() as f64 / usable;
        let is_object = |cell: usize| {
            let [x, y] = [(cell % GRID, w), (cell / GRID, h)].map(|(i, side)| (2 * i + 1) * side / (2 * GRID));
            !connected[y * w + x] && view.usable(y * w + x)
        };
        Self { object: 1.0 - around, background: around, cells: (0..GRID * GRID).map(is_object).collect() }
    }
}

/// `true` if the shapes are one and the same window in a border: nearly as large as the picture, without an outline of their
/// own.
fn are_windows(shapes: &[Shape]) -> bool {
    let count = |cell: usize| shapes.iter().filter(|s| s.cells[cell]).count();
    let counts: Vec<usize> = (0..GRID * GRID).map(count).collect();
    let above = |fraction: f64| {
        let is_above = |count: &&usize| **count as f64 >= fraction * shapes.len() as f64 && **count > 0;
        counts.iter().filter(is_above).count() as f64
    };
    let (common, together) = (above(0.9), above(0.1));
    let span = |of: fn(usize) -> usize| {
        let at =
            || (0..GRID * GRID).filter(|i| counts[*i] as f64 >= 0.1 * shapes.len() as f64 && counts[*i] > 0).map(of);
        at().max().zip(at().min()).map_or(0, |(last, first)| last + 1 - first) as f64
    };
    let (width, height) = (span(|i| i % GRID), span(|i| i / GRID));
    let reaches = width.min(height) >= WINDOW.0 * GRID as f64;
    reaches && common >= SAME * together && common >= WINDOW.1 * width * height
}

#[cfg(test)]
mod tests {
    use glam::DVec3;

    use super::*;
    use crate::testing::{ball_views, ring};

    const SIDE: u32 = 64;

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

    /// Noise from −1 to 1 of a pixel of a view.
    fn noise(view: usize, i: usize) -> f64 {
        let mut h = (view as u64 * 1_000_003 + i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h = (h ^ h >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (h >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// A ball seen from all around over a colour.
    fn balls(count: usize, colour: [u8; 3]) -> Vec<View> {
        let mut views = ball_views(&ring(count, 4.0, DVec3::ZERO), SIDE, DVec3::ZERO, 0.7);
        for pixel in views.iter_mut().flat_map(|v| &mut v.image.pixels).filter(|p| p[3] == 0) {
            *pixel = [colour[0], colour[1], colour[2], 255];
        }
        views
    }

    /// Views of which `paint` gives the grey value of each pixel (view, x and y from −1 to 1, number of the pixel).
    fn painted(count: usize, paint: impl Fn(usize, f64, f64, usize) -> f64) -> Vec<View> {
        let mut views = balls(count, [0; 3]);
        for (v, view) in views.iter_mut().enumerate() {
            for (i, p) in view.image.pixels.iter_mut().enumerate() {
                let [x, y] =
                    [i as u32 % SIDE, i as u32 / SIDE].map(|k| (f64::from(k) + 0.5) / f64::from(SIDE) * 2.0 - 1.0);
                let grey = paint(v, x, y, i).round().clamp(0.0, 255.0) as u8;
                *p = [grey, grey, grey, 255];
            }
        }
        views
    }

    fn add(views: &mut [View], amount: f64) {
        for (v, view) in views.iter_mut().enumerate() {
            for (i, p) in view.image.pixels.iter_mut().enumerate() {
                (0..3).for_each(|c| {
                    p[c] = (f64::from(p[c]) + amount * noise(v, 3 * i + c)).round().clamp(0.0, 255.0) as u8
                });
            }
        }
    }

    fn found(views: &[View]) -> Option<PlainBackground> {
        PlainBackground::find(views, None)
    }

    #[test]
    fn an_object_over_one_colour_is_found_on_any_colour_and_through_noise() {
        for colour in [[0; 3], [255; 3], [128; 3], [12, 90, 200]] {
            let mut views = balls(12, colour);
            assert_eq!(found(&views), Some(PlainBackground { colour, tolerance: 1 }));
            add(&mut views, 3.0);
            let noisy = found(&views).unwrap();
            assert!(difference(noisy.colour, colour) <= 3 && (3..=8).contains(&noisy.tolerance), "{noisy:?}");
            add(&mut views, 40.0);
            assert_eq!(found(&views), None, "that is not one colour");
        }
        // The ball's own colour is no background either.
        assert_eq!(PlainBackground::find(&balls(12, [0; 3]), Some([200, 100, 50])), None);
        assert!(PlainBackground::find(&balls(12, [250; 3]), Some([255; 3])).is_some());
        assert_eq!(found(&balls(2, [0; 3])), None, "two views can agree by chance");
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn objects_that_touch_the_border_in_some_views_do_not_spoil_it() {
        let mut views = balls(20, [255; 3]);
        for view in views.iter_mut().take(3) {
            (0..SIDE as usize * 40).for_each(|i| view.image.pixels[i] = [9, 80, 20, 255]);
        }
        assert_eq!(found(&views).unwrap().colour, [255; 3]);
        for view in views.iter_mut().take(10) {
            (0..SIDE as usize * 40).for_each(|i| view.image.pixels[i] = [9, 80, 20, 255]);
        }
        assert_eq!(found(&views), None);
    }

    #[test]
    fn photographs_are_not_taken_for_objects() {
        // A room.
        let room =
            |v: usize, x: f64, y: f64, _: usize| 120.0 + 60.0 * (3.0 * x + v as f64).sin() + 40.0 * (4.0 * y).cos();
        assert_eq!(found(&painted(12, room)), None);
        // The same within a black border, whose place varies by a pixel; and as an oval on white paper.
        let bordered = |v: usize, x: f64, y: f64, i: usize| match x.abs().max((y + 0.03 * (v % 2) as f64).abs()) < 0.9 {
            true => room(v, x, y, i).max(20.0),
            false => 0.0,
        };
        assert_eq!(found(&painted(12, bordered)), None);
        let oval =
            |v: usize, x: f64, y: f64, i: usize| if x.hypot(y) < 0.95 { room(v, x, y, i).min(230.0) } else { 255.0 };
        assert_eq!(found(&painted(12, oval)), None);
        // Corners that fall off as a lens makes them.
        let vignette = |v: usize, x: f64, y: f64, i: usize| room(v, x, y, i) * (1.0 - 0.45 * (x * x + y * y)).max(0.0);
        assert_eq!(found(&painted(12, vignette)), None);
        // Night: dark, grainy, with lamps anywhere.
        let night = |v: usize, x: f64, y: f64, i: usize| {
            let lamp = |k: usize| {
                let [u, w] = [noise(v, 7000 + k), noise(v, 8000 + k)];
                220.0 * (-((x - u).powi(2) + (y - w).powi(2)) / 0.02).exp()
            };
            5.0 + 5.0 * noise(v, i) + (0..12).map(lamp).sum::<f64>()
        };
        assert_eq!(found(&painted(12, night)), None);
        // Nothing at all.
        assert_eq!(found(&painted(12, |_, _, _, _| 7.0)), None);
    }

    #[test]
    fn a_studio_sweep_counts_where_its_borders_are_even() {
        let object = |v: usize, x: f64, y: f64| (x / 0.4).hypot(y / (0.3 + 0.02 * (v % 5) as f64)) < 1.0;
        let shadow = |x: f64, y: f64| 60.0 * (-(x * x / 0.2 + (y - 0.35).powi(2) / 0.02)).exp();
        let even = painted(12, |v, x, y, i| if object(v, x, y) { 90.0 } else { 248.0 - shadow(x, y) + noise(v, i) });
        let background = found(&even).unwrap();
        assert!(background.colour[0].abs_diff(248) <= 1 && background.tolerance <= 3, "{background:?}");
        // The shadow stays with the object.
        let connected = background.connected(&even[0]);
        let at = |x: f64, y: f64| {
            let [x, y] = [x, y].map(|k| ((k + 1.0) / 2.0 * f64::from(SIDE)) as usize);
            connected[y * SIDE as usize + x]
        };
        assert!(!at(0.0, 0.0) && !at(0.0, 0.4) && at(0.0, -0.8) && at(-0.9, 0.9));
        let falling = painted(12, |v, x, y, _| if object(v, x, y) { 90.0 } else { 235.0 + 20.0 * y });
        assert_eq!(found(&falling), None);
    }

    #[test]
    fn what_is_enclosed_or_behind_a_narrow_gap_is_the_object() {
        let mut views = balls(5, [0; 3]);
        let background = found(&views).unwrap();
        let middle = (SIDE / 2) as usize;
        let before = background.connected(&views[0]);
        // A black spot in the ball, then a slit of two pixels from it to the border.
        for i in 0..36 {
            views[0].image.pixels[(middle - 3 + i / 6) * SIDE as usize + middle - 3 + i % 6] = [0, 0, 0, 255];
        }
        assert_eq!(background.connected(&views[0]), before);
        for y in 0..middle {
            (0..2).for_each(|x| views[0].image.pixels[y * SIDE as usize + middle + x] = [0, 0, 0, 255]);
        }
        assert_eq!(background.connected(&views[0]), before);
        // A pixel of background stays around the ball.
        for (i, pixel) in views[1].image.pixels.iter().enumerate() {
            let near = |d: usize| views[1].image.pixels[i + d][0] == 200 || views[1].image.pixels[i - d][0] == 200;
            if pixel[0] == 0 && i > SIDE as usize && i < views[1].image.pixels.len() - SIDE as usize - 1 {
                let beside = near(1) || near(SIDE as usize);
                assert!(!beside || !background.connected(&views[1])[i], "{i}");
            }
        }
    }

    #[test]
    fn cutting_out_and_filling_in_leave_the_views_as_they_were() {
        let mut views = balls(5, [255; 3]);
        let before: Vec<Image> = views.iter().map(|v| v.image.clone()).collect();
        found(&views).unwrap().cut_out(&mut views);
        let clear = views[0].image.pixels.iter().filter(|p| p[3] == 0).count();
        assert!(clear > 1000 && views[0].image.pixel(SIDE / 2, SIDE / 2)[3] == 255);
        fill_in(&mut views);
        assert!(views.iter().zip(before).all(|(v, b)| v.image == b));
    }

    #[test]
    fn only_usable_pixels_are_judged() {
        let mut views = balls(6, [0; 3]);
        // A broken column on the left, which masks leave out.
        for view in &mut views {
            (0..SIDE as usize).for_each(|y| view.image.pixels[y * SIDE as usize] = [255, 0, 0, 255]);
        }
        assert_eq!(found(&views), None);
        for view in &mut views {
            view.mask = Some((0..view.image.pixels.len()).map(|i| i % SIDE as usize != 0).collect());
        }
        assert_eq!(found(&views).unwrap().colour, [0; 3]);
        for view in &mut views {
            view.mask = Some((0..view.image.pixels.len()).map(|i| i == 1000).collect());
        }
        assert_eq!(found(&views), None);
    }

    #[test]
    fn words_of_the_option() {
        for (text, wanted) in [
            ("auto", CaptureBackground::Auto),
            ("random", CaptureBackground::Random),
            ("black", CaptureBackground::Colour([0; 3])),
            ("white", CaptureBackground::Colour([255; 3])),
            ("#0a80ff", CaptureBackground::Colour([10, 128, 255])),
        ] {
            assert_eq!(text.parse(), Ok(wanted));
            assert_eq!(wanted.to_string().parse(), Ok(wanted));
            let json = serde_json::to_string(&wanted).unwrap();
            assert_eq!(serde_json::from_str::<CaptureBackground>(&json).unwrap(), wanted);
        }
        for bad in ["transparent", "none", "", "grey"] {
            assert!(bad.parse::<CaptureBackground>().unwrap_err().contains("random"), "{bad}");
        }
    }
}
