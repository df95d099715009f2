//! Decoded images in numbers of one kind.

/// A decoded image.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster<T> {
    /// Pixels along x.
    pub width: usize,
    /// Pixels along y.
    pub height: usize,
    /// Values a pixel: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
    pub channels: usize,
    /// `[row][column][channel]`.
    pub data: Vec<T>,
}
