//! Square blocks of training images, numbered through all images.

use std::ops::Range;

use nstr_capture::View;
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::rays::RayPixel;

/// Blocks of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct BlockGrid {
    /// Number of its first block among all images'.
    first: usize,
    /// Pixels along the image's sides.
    size: [usize; 2],
    /// Pixels along a block's edge; blocks at the right and lower end are cut.
    edge: usize,
    /// Blocks in a row.
    columns: usize,
}

/// Blocks of all training images.
#[derive(Clone, Debug)]
pub(crate) struct ImageBlocks {
    grids: Vec<BlockGrid>,
    count: usize,
}

impl ImageBlocks {
    /// Cuts each of `views` into blocks, `along` of them along its longer side.
    pub fn new(views: &[View], along: u32) -> Self {
        let mut count = 0;
        let grid = |view: &View| {
            let size = [view.image.width, view.image.height].map(|side| side.max(1) as usize);
            let edge = size[0].max(size[1]).div_ceil(along.max(1) as usize);
            let grid = BlockGrid { first: count, size, edge, columns: size[0].div_ceil(edge) };
            count += grid.columns * size[1].div_ceil(edge);
            grid
        };
        let grids = views.iter().map(grid).collect();
        Self { grids, count }
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Number of the block that holds a pixel.
    pub fn block(&self, pixel: &RayPixel) -> usize {
        let grid = &self.grids[pixel.view as usize];
        let (x, y) = (pixel.index as usize % grid.size[0], pixel.index as usize / grid.size[0]);
        grid.first + x / grid.edge + y / grid.edge * grid.columns
    }

    /// Number of the view that a block (below [`Self::len`]) belongs to, and the pixels that it holds along both axes.
    fn extent(&self, block: usize) -> (usize, [Range<usize>; 2]) {
        let view = self.grids.partition_point(|grid| grid.first <= block) - 1;
        let grid = &self.grids[view];
        let at = [(block - grid.first) % grid.columns, (block - grid.first) / grid.columns];
        (view, std::array::from_fn(|axis| at[axis] * grid.edge..((at[axis] + 1) * grid.edge).min(grid.size[axis])))
    }

    /// A random pixel of a block (below [`Self::len`]).
    pub fn pixel(&self, block: usize, rng: &mut Pcg64) -> RayPixel {
        let (view, range) = self.extent(block);
        let [x, y] = range.map(|range| rng.random_range(range));
        RayPixel { view: view as u32, index: (y * self.grids[view].size[0] + x) as u32 }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use glam::DMat4;
    use nstr_camera::camera::Camera;
    use nstr_capture::{Image, Lens};
    use rand::SeedableRng;

    /// Black images without masks.
    pub fn views(sizes: &[[u32; 2]]) -> Vec<View> {
        let view = |&[width, height]: &[u32; 2]| {
            let camera = Camera::with_fov_y(width, height, 40.0, DMat4::IDENTITY).unwrap();
            let image = Image { width, height, pixels: vec![[0, 0, 0, 255]; (width * height) as usize] };
            View { name: String::new(), camera, lens: Lens::Pinhole, image, mask: None, depth: None }
        };
        sizes.iter().map(view).collect()
    }

    #[test]
    fn pixels_lie_in_blocks_of_their_image() {
        let blocks = ImageBlocks::new(&views(&[[16, 8], [16, 8]]), 4);
        assert_eq!(blocks.len(), 2 * 4 * 2);
        let block = |view: u32, x: u32, y: u32| blocks.block(&RayPixel { view, index: y * 16 + x });
        assert_eq!((block(0, 0, 0), block(0, 3, 3), block(0, 4, 0), block(0, 0, 4)), (0, 0, 1, 4));
        assert_eq!((block(0, 15, 7), block(1, 0, 0), block(1, 15, 7)), (7, 8, 15));
        // Sides that blocks do not divide.
        let fine = ImageBlocks::new(&views(&[[16, 8], [16, 8]]), 3);
        assert_eq!((fine.grids[0].edge, fine.len()), (6, 2 * 3 * 2));
    }

    #[test]
    fn random_pixels_lie_in_their_block_and_reach_all_of_it() {
        let sizes = [[7, 5], [1, 9], [12, 3]];
        let blocks = ImageBlocks::new(&views(&sizes), 4);
        let mut rng = Pcg64::seed_from_u64(1);
        let mut seen: Vec<Vec<bool>> = sizes.iter().map(|[w, h]| vec![false; (w * h) as usize]).collect();
        for round in 0..4000 {
            let block = round % blocks.len();
            let pixel = blocks.pixel(block, &mut rng);
            assert_eq!(blocks.block(&pixel), block);
            seen[pixel.view as usize][pixel.index as usize] = true;
        }
        assert!(seen.iter().flatten().all(|seen| *seen));
    }
}
