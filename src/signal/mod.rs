//! Signals as arrays of numbers: pictures and sounds, read and written.

pub mod error;
pub mod picture;
pub mod sound;

pub use error::SignalError;
pub use picture::{Picture, Scale, read_picture};
pub use sound::{SampleFormat, Sound, read_sound};
