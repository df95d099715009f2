//! An image or a sound as one type, and the description that a model stores of it.

use std::io::Read;
use std::path::Path;

use nstr_image::format::ImageFormat;
use serde::{Deserialize, Serialize};

use crate::audio::{self, AudioSignal, SampleFormat};
use crate::decode::is_sound;
use crate::error::{SignalError, extension};
use crate::image::{self, ImageSignal, PixelEncoding};
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
    /// True where a file is an image or a sound by its content, or by its name where the content says nothing: also of the
    /// formats that are known and not read, whose refusal names them.
    pub fn is_named(path: &Path) -> bool {
        Kind::of(path).is_some()
    }

    /// True where a file is a sound, by its content or else by its name.
    pub fn is_audio(path: &Path) -> bool {
        Kind::of(path) == Some(Kind::Audio)
    }

    /// Reads an image or a sound; see [`Signal::read_noted`], whose notes are dropped.
    ///
    /// # Errors
    /// Those of [`Signal::read_noted`].
    pub fn read(path: &Path) -> Result<Self, SignalError> {
        Self::read_noted(path).map(|(signal, _)| signal)
    }

    /// Reads an image or a sound, by its content or else by the extension of its name, with one sentence for everything that
    /// is wrong with the file.
    ///
    /// # Errors
    /// Those of [`read_image_noted`](crate::read_image_noted) and [`read_audio_noted`](crate::read_audio_noted).
    pub fn read_noted(path: &Path) -> Result<(Self, Vec<String>), SignalError> {
        let bytes = nstr_files::read(path).map_err(SignalError::read(path))?;
        if Kind::of_content(&bytes).or(Kind::of_name(path)) == Some(Kind::Audio) {
            return audio::from_bytes(path, bytes).map(|(sound, notes)| (Self::Audio(sound), notes));
        }
        image::from_bytes(path, &bytes).map(|(picture, notes)| (Self::Image(picture), notes))
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

/// Kind of a signal's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Image,
    Audio,
}

/// Extensions of images and of sounds; those of formats that are not read are there for the sake of their messages.
const IMAGES: &[&str] = &[
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "exr", "tif", "tiff", "webp", "gif", "bmp", "heic", "heif", "avif",
    "jxl", "jp2", "psd", "hdr", "dng", "cr2", "cr3", "nef", "arw", "orf", "raf", "rw2",
];
const SOUNDS: &[&str] = &[
    "wav", "wave", "bwf", "rf64", "w64", "aif", "aiff", "aifc", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac",
    "wma", "caf", "au", "snd",
];

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        let mut start = [0; 64];
        // What is no regular file may be read once only.
        let read = std::fs::metadata(path).ok().filter(|m| m.is_file()).and_then(|_| {
            let mut length = 0;
            let mut file = std::fs::File::open(path).ok()?;
            while length < start.len() {
                match file.read(&mut start[length..]).ok()? {
                    0 => break,
                    n => length += n,
                }
            }
            Some(length)
        });
        read.and_then(|length| Self::of_content(&start[..length])).or(Self::of_name(path))
    }

    fn of_content(bytes: &[u8]) -> Option<Self> {
        match () {
            _ if is_sound(bytes) => Some(Self::Audio),
            // Two bytes are too few to tell a JPEG.
            _ if bytes.starts_with(&[0xFF, 0xD8]) && bytes.get(2) != Some(&0xFF) => None,
            _ => ImageFormat::known(bytes).map(|_| Self::Image),
        }
    }

    fn of_name(path: &Path) -> Option<Self> {
        match extension(path).as_str() {
            image if IMAGES.contains(&image) => Some(Self::Image),
            sound if SOUNDS.contains(&sound) => Some(Self::Audio),
            _ => None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_counts_before_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let sound = AudioSignal { rate: 8000, channels: 1, format: SampleFormat::Pcm16, data: vec![0.5, -0.5] };
        sound.write(&at("a.wav")).unwrap();
        let jpeg = nstr_image::testing::grey_jpeg();
        for name in ["b", "b.JPG", "b.Jfif", "b.wav", "b.png"] {
            std::fs::write(at(name), &jpeg).unwrap();
            assert!(Signal::is_named(&at(name)) && !Signal::is_audio(&at(name)));
            assert!(matches!(Signal::read(&at(name)), Ok(Signal::Image(_))), "{name}");
        }
        for name in ["c", "c.WAV", "c.jpg"] {
            std::fs::copy(at("a.wav"), at(name)).unwrap();
            assert!(Signal::is_audio(&at(name)));
            assert_eq!(Signal::read(&at(name)).unwrap(), Signal::Audio(sound.clone()));
        }
        // By name alone: files that are not there, and those that are refused by name.
        for (name, is_sound) in [("x.flac", true), ("x.TIF", false), ("x.mp3", true), ("x.heic", false)] {
            assert!(Signal::is_named(&at(name)) && Signal::is_audio(&at(name)) == is_sound);
        }
        for (name, bytes) in [("mesh.obj", &b"v 0 0 0\n"[..]), ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}")] {
            std::fs::write(at(name), bytes).unwrap();
            assert!(!Signal::is_named(&at(name)));
        }
        let said = |name: &str, bytes: &[u8]| {
            std::fs::write(at(name), bytes).unwrap();
            Signal::read(&at(name)).unwrap_err().to_string()
        };
        assert!(said("d.gif", b"GIF89a").contains("a GIF image"));
        assert!(said("d.ogg", b"OggS\0").contains("an Ogg sound"));
    }
}
