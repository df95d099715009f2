//! Signals as float arrays: images and audio, their files, spectrograms and synthetic examples.

mod aiff;
pub mod audio;
mod decode;
mod error;
pub mod image;
pub mod signal;
pub mod spectrogram;
pub mod stft;
pub mod synthetic;
pub mod transform;
mod wave;

pub use audio::{AudioSignal, SampleFormat, read_audio, read_audio_noted};
pub use error::SignalError;
pub use image::{ImageSignal, PixelEncoding, read_image, read_image_noted};
pub use signal::{Signal, SignalInfo};
pub use transform::{ValueTransform, ValueTransformKind};
