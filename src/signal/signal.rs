//! A picture or a sound as one type, and what a model keeps of it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::SignalError;
use crate::picture::{Picture, Scale, read_picture};
use crate::sound::{SampleFormat, Sound, read_sound};
use crate::transform::{ValueTransform, ValueTransformKind};

/// What a model keeps of the signal that it stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum SignalInfo {
    /// A picture; the unit square is stretched over it, rows downwards along y.
    Picture {
        /// Pixels along x.
        width: usize,
        /// Pixels along y.
        height: usize,
        /// 1, 3 or 4.
        channels: usize,
        /// What its values mean.
        scale: Scale,
        /// How they enter the field.
        #[serde(rename = "codec")]
        transform: ValueTransform,
    },
    /// A sound; the unit interval is its duration.
    Sound {
        /// Frames a second.
        rate: u32,
        /// Frames.
        frames: usize,
        /// Values a frame.
        channels: usize,
        /// How it is stored in files.
        format: SampleFormat,
        /// How its values enter the field.
        #[serde(rename = "codec")]
        transform: ValueTransform,
    },
}

/// A picture or a sound.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A picture.
    Picture(Picture),
    /// A sound.
    Sound(Sound),
}

impl Signal {
    /// Whether a file's name is that of a picture or a sound.
    pub fn is_named(path: &Path) -> bool {
        is_picture(path) || Self::is_sound(path)
    }

    /// Whether a file's name is that of a sound.
    pub fn is_sound(path: &Path) -> bool {
        has_extension(path, &["wav", "flac"])
    }

    /// Reads a picture or a sound, which of them by its name.
    ///
    /// # Errors
    /// Those of [`read_picture`] and [`read_sound`].
    pub fn read(path: &Path) -> Result<Self, SignalError> {
        if is_picture(path) { read_picture(path).map(Self::Picture) } else { read_sound(path).map(Self::Sound) }
    }

    /// Samples along the longest axis.
    pub fn longest(&self) -> usize {
        let [a, b] = self.size();
        a.max(b)
    }

    /// What a model keeps of it.
    pub fn info(&self, kind: ValueTransformKind) -> SignalInfo {
        let data = self.data();
        let log = match (kind, self) {
            (ValueTransformKind::Auto, Self::Picture(p)) => p.scale == Scale::Linear,
            (ValueTransformKind::Log, _) => true,
            _ => false,
        };
        let peak = data.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let transform = match self {
            _ if log => ValueTransform::log(data),
            Self::Picture(_) => ValueTransform::plain(1.0),
            Self::Sound(_) => ValueTransform::plain(peak),
        };
        match self {
            Self::Picture(p) => {
                let Picture { width, height, channels, scale, .. } = *p;
                SignalInfo::Picture { width, height, channels, scale, transform }
            }
            Self::Sound(s) => {
                let Sound { rate, channels, format, .. } = *s;
                SignalInfo::Sound { rate, frames: s.frames(), channels, format, transform }
            }
        }
    }

    /// Coordinates of a field of it: 2 for pictures, 1 for sounds.
    pub fn dim(&self) -> usize {
        if matches!(self, Self::Picture(_)) { 2 } else { 1 }
    }

    /// Values of a sample.
    pub fn channels(&self) -> usize {
        match self {
            Self::Picture(p) => p.channels,
            Self::Sound(s) => s.channels,
        }
    }

    /// `[sample][channel]`.
    pub fn data(&self) -> &[f32] {
        match self {
            Self::Picture(p) => &p.data,
            Self::Sound(s) => &s.data,
        }
    }

    /// Samples along each axis.
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::Picture(p) => [p.width, p.height],
            Self::Sound(s) => [s.frames(), 1],
        }
    }

    /// Size and kind in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Picture(p) => {
                let colour = ["grey", "grey and alpha", "RGB", "RGBA"][p.channels.clamp(1, 4) - 1];
                let scale = if p.scale == Scale::Linear { ", scene-linear" } else { "" };
                format!("{}x{} pixels, {colour}{scale}", p.width, p.height)
            }
            Self::Sound(s) => {
                let channels = if s.channels == 1 { "mono".into() } else { format!("{} channels", s.channels) };
                format!("{:.2} s at {} Hz, {channels}, {} frames", s.seconds(), s.rate, s.frames())
            }
        }
    }

    /// Writes a picture as .png or .exr, a sound as .wav; returns the number of samples that were clipped.
    ///
    /// # Errors
    /// Those of [`Picture::write`] and [`Sound::write`].
    pub fn write(&self, path: &Path) -> Result<usize, SignalError> {
        match self {
            Self::Picture(picture) => picture.write(path).map(|()| 0),
            Self::Sound(sound) => sound.write(path),
        }
    }

    /// The signal `n` times smaller: means of boxes; `None` where nothing is left.
    pub fn reduced(&self, n: usize) -> Option<Self> {
        match self {
            Self::Picture(p) => p.reduced(n).map(Self::Picture),
            Self::Sound(s) => {
                let channels = s.channels;
                let boxes = s.data.chunks_exact(channels.checked_mul(n).filter(|c| *c > 0)?);
                let mean = |frames: &[f32], c: usize| frames.iter().skip(c).step_by(channels).sum::<f32>() / n as f32;
                let data: Vec<f32> = boxes.flat_map(|b| (0..channels).map(move |c| mean(b, c))).collect();
                let rate = s.rate / n as u32;
                (!data.is_empty() && rate > 0).then(|| Self::Sound(Sound { rate, data, ..s.clone() }))
            }
        }
    }
}

fn is_picture(path: &Path) -> bool {
    has_extension(path, &["png", "jpg", "jpeg", "exr"])
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| known.contains(&e.to_lowercase().as_str()))
}

impl SignalInfo {
    /// Samples along each axis.
    pub fn size(&self) -> [usize; 2] {
        match *self {
            Self::Picture { width, height, .. } => [width, height],
            Self::Sound { frames, .. } => [frames, 1],
        }
    }

    /// How values enter the field.
    pub fn transform(&self) -> ValueTransform {
        match *self {
            Self::Picture { transform, .. } | Self::Sound { transform, .. } => transform,
        }
    }

    /// The signal of values as a field gives them, `[sample][channel]`: `count` samples along each axis, part of a whole
    /// lattice of `size`. A sound keeps its duration: its rate follows from `size`.
    pub fn assemble(&self, mut values: Vec<f32>, size: [usize; 2], count: [usize; 2]) -> Signal {
        let transform = self.transform();
        values.iter_mut().for_each(|v| *v = transform.decode(*v));
        match *self {
            Self::Picture { channels, scale, .. } => {
                Signal::Picture(Picture { width: count[0], height: count[1], channels, scale, data: values })
            }
            Self::Sound { rate, frames, channels, format, .. } => {
                let rate = (f64::from(rate) * size[0] as f64 / frames.max(1) as f64).round().max(1.0) as u32;
                Signal::Sound(Sound { rate, channels, format, data: values })
            }
        }
    }
}
