//! An image or a sound as one type, and the description that a model stores of it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::audio::{AudioSignal, SampleFormat, read_audio};
use crate::error::SignalError;
use crate::image::{ImageSignal, PixelEncoding, read_image};
use crate::transform::{ValueTransform, ValueTransformKind};

/// Description of a signal that a model stores beside its field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum SignalInfo {
    /// An image; the unit square is stretched over it, rows downwards along y.
    #[serde(rename = "picture", alias = "image")]
    Image {
        /// Pixels along x.
        width: usize,
        /// Pixels along y.
        height: usize,
        /// 1, 3 or 4.
        channels: usize,
        /// Encoding of the values.
        #[serde(rename = "scale")]
        encoding: PixelEncoding,
        /// Transform to the values of the field.
        #[serde(rename = "codec")]
        transform: ValueTransform,
    },
    /// A sound; the unit interval is its duration.
    #[serde(rename = "sound", alias = "audio")]
    Audio {
        /// Frames a second.
        rate: u32,
        /// Frames.
        frames: usize,
        /// Values a frame.
        channels: usize,
        /// Sample format in files.
        format: SampleFormat,
        /// Transform to the values of the field.
        #[serde(rename = "codec")]
        transform: ValueTransform,
    },
}

/// An image or a sound.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// An image.
    Image(ImageSignal),
    /// A sound.
    Audio(AudioSignal),
}

impl Signal {
    /// True where a file's name is that of an image or a sound.
    pub fn is_named(path: &Path) -> bool {
        is_image(path) || Self::is_audio(path)
    }

    /// True where a file's name is that of a sound.
    pub fn is_audio(path: &Path) -> bool {
        has_extension(path, &["wav", "flac"])
    }

    /// Reads an image or a sound, by the extension of its name.
    ///
    /// # Errors
    /// Those of [`read_image`] and [`read_audio`].
    pub fn read(path: &Path) -> Result<Self, SignalError> {
        if is_image(path) { read_image(path).map(Self::Image) } else { read_audio(path).map(Self::Audio) }
    }

    /// Samples along the longest axis.
    pub fn longest(&self) -> usize {
        let [a, b] = self.size();
        a.max(b)
    }

    /// The description that a model stores.
    pub fn info(&self, kind: ValueTransformKind) -> SignalInfo {
        let data = self.data();
        let log = match (kind, self) {
            (ValueTransformKind::Auto, Self::Image(p)) => p.encoding == PixelEncoding::Linear,
            (ValueTransformKind::Log, _) => true,
            _ => false,
        };
        let peak = data.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let transform = match self {
            _ if log => ValueTransform::log(data),
            Self::Image(_) => ValueTransform::plain(1.0),
            Self::Audio(_) => ValueTransform::plain(peak),
        };
        match self {
            Self::Image(p) => {
                let ImageSignal { width, height, channels, encoding, .. } = *p;
                SignalInfo::Image { width, height, channels, encoding, transform }
            }
            Self::Audio(s) => {
                let AudioSignal { rate, channels, format, .. } = *s;
                SignalInfo::Audio { rate, frames: s.frames(), channels, format, transform }
            }
        }
    }

    /// Coordinates of a field of it: 2 for images, 1 for sounds.
    pub fn dim(&self) -> usize {
        if matches!(self, Self::Image(_)) { 2 } else { 1 }
    }

    /// Values of a sample.
    pub fn channels(&self) -> usize {
        match self {
            Self::Image(p) => p.channels,
            Self::Audio(s) => s.channels,
        }
    }

    /// `[sample][channel]`.
    pub fn data(&self) -> &[f32] {
        match self {
            Self::Image(p) => &p.data,
            Self::Audio(s) => &s.data,
        }
    }

    /// Samples along each axis.
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::Image(p) => [p.width, p.height],
            Self::Audio(s) => [s.frames(), 1],
        }
    }

    /// Size and kind in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Image(p) => {
                let colour = ["grey", "grey and alpha", "RGB", "RGBA"][p.channels.clamp(1, 4) - 1];
                let scale = if p.encoding == PixelEncoding::Linear { ", scene-linear" } else { "" };
                format!("{}x{} pixels, {colour}{scale}", p.width, p.height)
            }
            Self::Audio(s) => {
                let channels = if s.channels == 1 { "mono".into() } else { format!("{} channels", s.channels) };
                format!("{:.2} s at {} Hz, {channels}, {} frames", s.seconds(), s.rate, s.frames())
            }
        }
    }

    /// Writes an image as .png or .exr, a sound as .wav; returns the number of samples that were clipped.
    ///
    /// # Errors
    /// Those of [`ImageSignal::write`] and [`AudioSignal::write`].
    pub fn write(&self, path: &Path) -> Result<usize, SignalError> {
        match self {
            Self::Image(picture) => picture.write(path).map(|()| 0),
            Self::Audio(sound) => sound.write(path),
        }
    }

    /// The signal `n` times smaller: means of boxes; `None` where nothing is left.
    pub fn reduced(&self, n: usize) -> Option<Self> {
        match self {
            Self::Image(p) => p.reduced(n).map(Self::Image),
            Self::Audio(s) => {
                let channels = s.channels;
                let boxes = s.data.chunks_exact(channels.checked_mul(n).filter(|c| *c > 0)?);
                let mean = |frames: &[f32], c: usize| frames.iter().skip(c).step_by(channels).sum::<f32>() / n as f32;
                let data: Vec<f32> = boxes.flat_map(|b| (0..channels).map(move |c| mean(b, c))).collect();
                let rate = s.rate / n as u32;
                (!data.is_empty() && rate > 0).then(|| Self::Audio(AudioSignal { rate, data, ..s.clone() }))
            }
        }
    }
}

fn is_image(path: &Path) -> bool {
    has_extension(path, &["png", "jpg", "jpeg", "exr"])
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| known.contains(&e.to_lowercase().as_str()))
}

impl SignalInfo {
    /// Samples along each axis.
    pub fn size(&self) -> [usize; 2] {
        match *self {
            Self::Image { width, height, .. } => [width, height],
            Self::Audio { frames, .. } => [frames, 1],
        }
    }

    /// Transform to the values of the field.
    pub fn transform(&self) -> ValueTransform {
        match *self {
            Self::Image { transform, .. } | Self::Audio { transform, .. } => transform,
        }
    }

    /// The signal of values as a field gives them, `[sample][channel]`: `count` samples along each axis, part of a whole
    /// lattice of `size`. A sound keeps its duration: its rate follows from `size`.
    pub fn assemble(&self, mut values: Vec<f32>, size: [usize; 2], count: [usize; 2]) -> Signal {
        let transform = self.transform();
        values.iter_mut().for_each(|v| *v = transform.decode(*v));
        match *self {
            Self::Image { channels, encoding, .. } => {
                Signal::Image(ImageSignal { width: count[0], height: count[1], channels, encoding, data: values })
            }
            Self::Audio { rate, frames, channels, format, .. } => {
                let rate = (f64::from(rate) * size[0] as f64 / frames.max(1) as f64).round().max(1.0) as u32;
                Signal::Audio(AudioSignal { rate, channels, format, data: values })
            }
        }
    }
}
