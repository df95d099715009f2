//! Cells of the occupancy grid that can hold nothing: outside the silhouettes, or seen by too few cameras.

use glam::{DVec2, DVec3};
use nstr_capture::{Hull, View};
use nstr_space::Cube;
use rayon::prelude::*;

/// Cells along an axis of [`FrustumMask`].
const FRUSTUM_CELLS: usize = 64;
/// Cameras that must see a cell: matter that one camera alone sees can be at any distance.
const MIN_CAMERAS: usize = 2;

/// Coarse cells of the cube that enough cameras see, none of them from too near. Matter where cameras do not agree on it is
/// what floats before them.
pub struct FrustumMask(Vec<bool>);

impl FrustumMask {
    /// The cells that the views see from further than `near` world units.
    pub fn new(views: &[View], cube: Cube, near: f64) -> Self {
        let wanted = MIN_CAMERAS.min(views.len());
        let radius = cube.size / FRUSTUM_CELLS as f64 * 0.87;
        let cells = (0..FRUSTUM_CELLS * FRUSTUM_CELLS * FRUSTUM_CELLS).into_par_iter().map(|i| {
            let at = [i % FRUSTUM_CELLS, i / FRUSTUM_CELLS % FRUSTUM_CELLS, i / (FRUSTUM_CELLS * FRUSTUM_CELLS)];
            let world = cube.to_world(DVec3::from(at.map(|v| (v as f64 + 0.5) / FRUSTUM_CELLS as f64)));
            let mut cameras = 0;
            for view in views {
                // A cell counts as seen where any of it may be: its radius widens the image.
                let distance = world.distance(view.camera.position());
                let margin = radius / distance.max(1e-12) * view.camera.focal.max_element();
                let (w, h) = (f64::from(view.camera.width), f64::from(view.camera.height));
                let inside = |p: DVec2| (-margin..=w + margin).contains(&p.x) && (-margin..=h + margin).contains(&p.y);
                if distance + radius > near && view.project(world).is_some_and(inside) {
                    cameras += 1;
                    if cameras >= wanted {
                        return true;
                    }
                }
            }
            false
        });
        Self(cells.collect())
    }

    /// `true` if the cell at unit-cube coordinates is seen.
    pub fn get(&self, unit: [f64; 3]) -> bool {
        let [x, y, z] = unit.map(|v| ((v * FRUSTUM_CELLS as f64) as usize).min(FRUSTUM_CELLS - 1));
        self.0[x + FRUSTUM_CELLS * (y + FRUSTUM_CELLS * z)]
    }
}

/// Cells that can hold nothing: outside the visual hull, or not in [`FrustumMask`].
pub struct FreeSpaceMask {
    cells: usize,
    hull: Option<Hull>,
    frustums: FrustumMask,
}

impl FreeSpaceMask {
    /// Of `cells` cells an axis of the cube; `hull` is the part of it that the silhouettes leave, `near` as in
    /// [`FrustumMask::new`].
    pub fn new(cells: usize, hull: Option<Hull>, views: &[View], cube: Cube, near: f64) -> Self {
        Self { cells, hull, frustums: FrustumMask::new(views, cube, near) }
    }

    /// `true` if a cell (x fastest) can hold nothing.
    pub fn get(&self, cell: usize) -> bool {
        let n = self.cells;
        let at = [cell % n, cell / n % n, cell / (n * n)];
        let carved = self.hull.as_ref().is_some_and(|h| {
            let [x, y, z] = at.map(|v| v * h.resolution / n);
            !h.get(x, y, z)
        });
        carved || !self.frustums.get(at.map(|v| (v as f64 + 0.5) / n as f64))
    }
}
