//! Morton codes: cells of a grid numbered along a Z-order curve, on which neighbours are near each other.

use glam::UVec3;

/// Interleaved bits of a cell of a grid of 1024³; x has the lowest bit. Coordinates are below 1024.
#[inline]
pub fn morton_code(cell: UVec3) -> u32 {
    let spread = |v: u32| {
        let v = (v | v << 16) & 0x0300_00ff;
        let v = (v | v << 8) & 0x0300_f00f;
        let v = (v | v << 4) & 0x030c_30c3;
        (v | v << 2) & 0x0924_9249
    };
    spread(cell.x) | spread(cell.y) << 1 | spread(cell.z) << 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_interleave() {
        assert_eq!([UVec3::X, UVec3::Y, UVec3::Z, UVec3::X * 2].map(morton_code), [1, 2, 4, 8]);
        assert_eq!(morton_code(UVec3::splat(1023)), (1 << 30) - 1);
        let mut all: Vec<u32> = (0..512).map(|i| morton_code(UVec3::new(i % 8, i / 8 % 8, i / 64))).collect();
        all.sort_unstable();
        assert_eq!(all, (0..512).collect::<Vec<_>>());
    }
}
