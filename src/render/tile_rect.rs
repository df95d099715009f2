//! Rectangles of pixels: the tiles that a frame is cut into.

/// Pixels `x0..x1 × y0..y1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TileRect {
    pub x0: u32,
    pub y0: u32,
    pub x1: u32,
    pub y1: u32,
}

impl TileRect {
    /// Tile `i` of an image, counted row by row, for tiles of `size` pixels an edge.
    pub fn tile(i: u32, size: u32, (w, h): (u32, u32)) -> Self {
        let columns = w.div_ceil(size);
        let (x0, y0) = (i % columns * size, i / columns * size);
        Self { x0, y0, x1: (x0 + size).min(w), y1: (y0 + size).min(h) }
    }

    /// Number of tiles of an image.
    pub fn tiles(size: u32, (w, h): (u32, u32)) -> u32 {
        w.div_ceil(size) * h.div_ceil(size)
    }

    pub fn width(&self) -> u32 {
        self.x1 - self.x0
    }

    pub fn len(&self) -> usize {
        (self.width() * (self.y1 - self.y0)) as usize
    }

    /// Column and row of the area's pixel `i`.
    pub fn pixel(&self, i: usize) -> (u32, u32) {
        (self.x0 + i as u32 % self.width(), self.y0 + i as u32 / self.width())
    }

    /// Whether the area's pixel `i` is wanted by a mask of an image `width` pixels wide; all are without one.
    pub fn is_wanted(&self, mask: Option<&[bool]>, i: usize, width: u32) -> bool {
        mask.is_none_or(|mask| mask[self.place(i, width)])
    }

    /// Place of the area's pixel `i` in an image `width` pixels wide.
    pub fn place(&self, i: usize, width: u32) -> usize {
        let (x, y) = self.pixel(i);
        y as usize * width as usize + x as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_each_pixel_once() {
        let size = (70, 33);
        let mut seen = vec![0; 70 * 33];
        for i in 0..TileRect::tiles(16, size) {
            let area = TileRect::tile(i, 16, size);
            (0..area.len()).for_each(|k| seen[area.place(k, size.0)] += 1);
        }
        assert!(seen.iter().all(|n| *n == 1));
    }
}
