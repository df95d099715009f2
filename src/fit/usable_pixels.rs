//! Pixels that the masks of a capture let pass, found by their number, however few they are.

use nstr_capture::View;

/// Pixels whose usable ones are counted together: a lookup goes through one such block at most.
const BLOCK: usize = 4096;

/// Numbers of the usable pixels of some views, in the views' order and row by row.
pub(crate) struct UsablePixels {
    /// Usable pixels before each view, and past the last the total.
    starts: Vec<u64>,
    /// For each view with a mask: usable pixels before each block.
    blocks: Vec<Option<Vec<u64>>>,
}

impl UsablePixels {
    /// Counts the usable pixels of `views`.
    pub fn new(views: &[View]) -> Self {
        let (mut starts, mut blocks) = (vec![0], Vec::new());
        for view in views {
            let mut count = 0;
            let counted = view.mask.as_ref().map(|mask| {
                mask.chunks(BLOCK)
                    .map(|block| {
                        let before = count;
                        count += block.iter().filter(|m| **m).count() as u64;
                        before
                    })
                    .collect::<Vec<u64>>()
            });
            let total = if counted.is_some() { count } else { view.image.pixels.len() as u64 };
            starts.push(starts[starts.len() - 1] + total);
            blocks.push(counted);
        }
        Self { starts, blocks }
    }

    /// Number of usable pixels.
    pub fn total(&self) -> u64 {
        self.starts[self.starts.len() - 1]
    }

    /// View and index in it of the usable pixel with a number below [`Self::total`]. `views` are those that were counted.
    pub fn find(&self, views: &[View], number: u64) -> (usize, usize) {
        let v = self.starts.partition_point(|s| *s <= number) - 1;
        let number = number - self.starts[v];
        let (Some(mask), Some(blocks)) = (&views[v].mask, &self.blocks[v]) else { return (v, number as usize) };
        let block = blocks.partition_point(|b| *b <= number) - 1;
        let left = (number - blocks[block]) as usize;
        let first = block * BLOCK;
        let mut usable = (first..mask.len()).filter(|i| mask[*i]);
        (v, usable.nth(left).unwrap_or(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DMat4;
    use nstr_camera::camera::Camera;
    use nstr_capture::{Image, Lens};

    fn view(width: u32, height: u32, mask: Option<Vec<bool>>) -> View {
        let camera = Camera::with_fov_y(width, height, 40.0, DMat4::IDENTITY).unwrap();
        let image = Image { width, height, pixels: vec![[0; 4]; (width * height) as usize] };
        View { name: String::new(), camera, lens: Lens::Pinhole, image, mask, depth: None }
    }

    #[test]
    fn every_usable_pixel_has_one_number() {
        let sparse: Vec<bool> = (0..120 * 100).map(|i| i % 997 == 5 || (8000..8010).contains(&i)).collect();
        let views = [
            view(3, 2, None),
            view(120, 100, Some(sparse.clone())),
            view(4, 4, Some(vec![false; 16])),
            view(2, 2, Some(vec![true, false, false, true])),
        ];
        let pixels = UsablePixels::new(&views);
        let mut wanted: Vec<(usize, usize)> = (0..6).map(|i| (0, i)).collect();
        wanted.extend((0..sparse.len()).filter(|i| sparse[*i]).map(|i| (1, i)));
        wanted.extend([(3, 0), (3, 3)]);
        assert_eq!(pixels.total(), wanted.len() as u64);
        let found: Vec<(usize, usize)> = (0..pixels.total()).map(|n| pixels.find(&views, n)).collect();
        assert_eq!(found, wanted);
    }
}
