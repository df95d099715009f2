//! Compact files: quantised arrays, an adaptive arithmetic coder, and the container of the coded sections.
//!
//! The room knows arrays and bits, no fields: levels of a latent grid ([`level`]), tensors of networks ([`tensors`]), cubes of occupied
//! cells ([`cells`]), texts ([`text`]), and the file that holds them ([`container`]). Whatever decides on a decoded bit is an
//! integer; a value is an integer times a step, one product rounded as IEEE 754 says. So a file decodes to the same bits on every
//! machine.

pub mod cells;
pub mod container;
mod error;
mod integers;
pub mod level;
mod mixing;
pub mod quantize;
mod range_coder;
pub mod tensors;
#[cfg(test)]
mod tests;
pub mod text;

pub use container::{Container, Section, SectionKind, is_compact, write_container};
pub use error::{CodecError, SectionName, StreamError};
pub use level::{LevelLayout, QuantizedLevel};
pub use tensors::QuantizedTensor;
