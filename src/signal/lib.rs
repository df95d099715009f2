//! Signals as arrays of numbers: pictures and sounds, read and written, shown and made up.

pub mod error;
mod label;
pub mod picture;
pub mod signal;
pub mod sound;
pub mod spectrogram;
pub mod stft;
pub mod synthetic;
pub mod transform;

pub use error::SignalError;
pub use picture::{Picture, Scale, read_picture};
pub use signal::{Signal, SignalInfo};
pub use sound::{SampleFormat, Sound, read_sound};
pub use transform::{ValueTransform, ValueTransformKind};
