//! Animated GIF with one palette for the whole animation.
//!
//! The palette comes from a Kohonen network (NeuQuant, Dekker 1994) over samples of all frames; an ordered 8×8 dither,
//! fixed in the image, hides banding without the flicker that error diffusion shows in animations.

use std::path::Path;

use color_quant::NeuQuant;
use gif::{Encoder, Frame, Repeat};

use crate::{ImageError, Rgba8};

/// Colours of the palette. One entry more is kept for transparency.
const COLOURS: usize = 255;
/// Bits a channel that the palette look-up keeps.
const LOOKUP_BITS: u32 = 6;
/// Pixels that the palette is learned from.
const SAMPLES: usize = 200_000;

/// Writes an endless animation; each frame shows for `delay` hundredths of a second. Alpha below one half is transparent.
///
/// # Errors
/// No frame, frames of several sizes, and files that cannot be written.
pub fn write(path: &Path, frames: &[Rgba8], delay: u16) -> Result<(), ImageError> {
    let content = |reason: String| ImageError::Content { path: path.into(), reason };
    let first = frames.first().ok_or_else(|| content("no frame to write".into()))?;
    if frames.iter().any(|f| (f.width, f.height) != (first.width, first.height)) {
        return Err(content("frames differ in size".into()));
    }
    let (Ok(width), Ok(height)) = (u16::try_from(first.width), u16::try_from(first.height)) else {
        return Err(content(format!("{}x{} is too large for GIF (65535 a side)", first.width, first.height)));
    };
    let mut palette = Palette::learn(frames);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height, &palette.rgb).map_err(ImageError::format(path))?;
    encoder.set_repeat(Repeat::Infinite).map_err(ImageError::format(path))?;
    let transparent = frames.iter().any(|f| !f.is_opaque());
    for frame in frames {
        let mut out = Frame {
            width,
            height,
            delay,
            buffer: palette.indices(frame).into(),
            transparent: transparent.then_some(COLOURS as u8),
            ..Frame::default()
        };
        out.dispose = if transparent { gif::DisposalMethod::Background } else { gif::DisposalMethod::Keep };
        encoder.write_frame(&out).map_err(ImageError::format(path))?;
    }
    drop(encoder);
    nstr_files::write(path, &bytes).map_err(ImageError::io(path))
}

/// A palette and the nearest entry of every coarse colour, found on first use.
struct Palette {
    quantiser: NeuQuant,
    rgb: Vec<u8>,
    nearest: Vec<u16>,
    amplitude: f32,
}

impl Palette {
    fn learn(frames: &[Rgba8]) -> Self {
        let total: usize = frames.iter().map(|f| f.data.len() / 4).sum();
        // An odd stride, so that samples do not line up in columns.
        let stride = (total / SAMPLES).max(1) | 1;
        let pixels = frames.iter().flat_map(|f| f.data.chunks_exact(4));
        let mut samples: Vec<u8> = pixels.step_by(stride).filter(|p| p[3] >= 128).flatten().copied().collect();
        for alpha in samples.iter_mut().skip(3).step_by(4) {
            *alpha = 255;
        }
        // The network wants at least a few hundred pixels.
        while samples.len() < 4 * 1024 {
            if samples.is_empty() {
                samples.extend([0, 0, 0, 255]);
            }
            samples.extend_from_within(..);
        }
        let quantiser = NeuQuant::new(3, COLOURS, &samples);
        let mut rgb = quantiser.color_map_rgb();
        rgb.truncate(3 * COLOURS);
        rgb.resize(3 * (COLOURS + 1), 0);
        Self { quantiser, rgb, nearest: vec![u16::MAX; 1 << (3 * LOOKUP_BITS)], amplitude: 5.0 }
    }

    fn indices(&mut self, frame: &Rgba8) -> Vec<u8> {
        let width = frame.width as usize;
        let mut out = Vec::with_capacity(frame.data.len() / 4);
        for (i, p) in frame.data.chunks_exact(4).enumerate() {
            if p[3] < 128 {
                out.push(COLOURS as u8);
                continue;
            }
            let offset = bayer(i % width, i / width) * self.amplitude;
            // Pure black and white stay clean: backgrounds must not be speckled.
            let pure = p[..3] == [0; 3] || p[..3] == [255; 3];
            let offset = if pure { 0.0 } else { offset };
            let rgb: [u8; 3] = std::array::from_fn(|c| (p[c] as f32 + offset).clamp(0.0, 255.0) as u8);
            out.push(self.index(rgb));
        }
        out
    }

    fn index(&mut self, rgb: [u8; 3]) -> u8 {
        let shift = 8 - LOOKUP_BITS;
        let key = rgb.iter().fold(0usize, |key, v| key << LOOKUP_BITS | (v >> shift) as usize);
        if self.nearest[key] == u16::MAX {
            self.nearest[key] = self.quantiser.index_of(&[rgb[0], rgb[1], rgb[2], 255]).min(COLOURS - 1) as u16;
        }
        self.nearest[key] as u8
    }
}

/// Threshold of the 8×8 ordered dither, −0.5 to 0.5.
fn bayer(x: usize, y: usize) -> f32 {
    let (x, y) = (x & 7, y & 7);
    let v = (0..3).fold(0, |v, bit| {
        let (xb, yb) = (x >> bit & 1, y >> bit & 1);
        v | ((xb ^ yb) << 1 | yb) << (2 * (2 - bit))
    });
    (v as f32 + 0.5) / 64.0 - 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dither_has_every_threshold_once() {
        let mut seen: Vec<i32> = (0..64).map(|i| ((bayer(i % 8, i / 8) + 0.5) * 64.0 - 0.5).round() as i32).collect();
        seen.sort();
        assert_eq!(seen, (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn frames_come_back_close() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gif");
        let frames: Vec<_> = (0..3u32)
            .map(|k| {
                Rgba8::from_fn(64, 48, |i| {
                    let v = ((i % 64) * 2 + (i / 64) * 2 + k as usize * 8) as u8;
                    [v, v, v / 2 + 40, 255]
                })
            })
            .collect();
        write(&path, &frames, 5).unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(std::fs::File::open(&path).unwrap()).unwrap();
        for frame in &frames {
            let got = decoder.read_next_frame().unwrap().unwrap();
            assert_eq!((got.width, got.height, got.delay), (64, 48, 5));
            let back = Rgba8 { width: 64, height: 48, data: got.buffer.to_vec() };
            let d = crate::diff::compare(frame, &back, 16).unwrap();
            assert!(d.mean < 3.0 && d.outliers < 0.01, "{d:?}");
        }
        assert!(decoder.read_next_frame().unwrap().is_none());
    }

    #[test]
    fn white_stays_white_and_transparent_stays_transparent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gif");
        let frame = Rgba8::from_fn(32, 32, |i| match i % 3 {
            0 => [255; 4],
            1 => [(i / 8) as u8, 90, 40, 255],
            _ => [0; 4],
        });
        write(&path, std::slice::from_ref(&frame), 5).unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(std::fs::File::open(&path).unwrap()).unwrap();
        let got = decoder.read_next_frame().unwrap().unwrap();
        for (a, b) in frame.data.chunks_exact(4).zip(got.buffer.chunks_exact(4)).filter(|(a, _)| a[..3] == [255; 3]) {
            assert!(b[..3].iter().all(|v| *v >= 252), "{a:?} became {b:?}");
        }
        assert!(frame.data.chunks_exact(4).zip(got.buffer.chunks_exact(4)).all(|(a, b)| (a[3] == 0) == (b[3] == 0)));
    }

    #[test]
    fn unusable_animations_are_errors() {
        let path = Path::new("never.gif");
        assert!(write(path, &[], 5).is_err());
        let sizes = [Rgba8::from_fn(2, 2, |_| [0; 4]), Rgba8::from_fn(3, 2, |_| [0; 4])];
        assert!(write(path, &sizes, 5).is_err());
        assert!(!path.exists());
    }
}
