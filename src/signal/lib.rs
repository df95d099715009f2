//! Signals as float arrays: images and audio, their files, spectrograms and synthetic examples.

pub mod audio;
mod bitmap_font;
mod error;
pub mod image;
pub mod signal;
pub mod spectrogram;
pub mod stft;
pub mod synthetic;
pub mod transform;

pub use audio::{AudioSignal, SampleFormat, read_audio};
pub use error::SignalError;
pub use image::{ImageSignal, PixelEncoding, read_image};
pub use signal::{Signal, SignalInfo};
pub use transform::{ValueTransform, ValueTransformKind};
