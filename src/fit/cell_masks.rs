//! Cells of the occupancy grid that can hold nothing: outside the silhouettes, or seen by too few cameras.

use glam::{DVec2, DVec3};
use nstr_capture::{Hull, View};
use nstr_space::{Cube, SceneMap};
use rayon::prelude::*;

/// Cells along an axis of [`FrustumMask`].
const FRUSTUM_CELLS: usize = 64;
/// Cameras that must see a cell: matter that one camera alone sees can be at any distance.
const MIN_CAMERAS: usize = 2;

/// Coarse cells of the cube that enough cameras see, none of them from too near. Matter where cameras do not agree on it is
/// what floats before them.
pub struct FrustumMask(Vec<bool>);

/// Places in a cell, from its corner, at which a map that is no similarity is held against the cameras: the middle, and the
/// corners drawn in, so that none lies at infinity.
const PLACES: [[f64; 3]; 9] = {
    let (a, b) = (0.02, 0.98);
    [[0.5; 3], [a, a, a], [b, a, a], [a, b, a], [b, b, a], [a, a, b], [b, a, b], [a, b, b], [b, b, b]]
};
/// Margin around the image for such places, as the tangent of an angle: an outer cell spans about that much.
const PLACE_MARGIN: f64 = 4.0 / FRUSTUM_CELLS as f64;

impl FrustumMask {
    /// The cells that the views see from further than `near` world units.
    pub fn new(views: &[View], map: impl Into<SceneMap>, near: f64) -> Self {
        let map = map.into();
        let wanted = MIN_CAMERAS.min(views.len());
        let cells = (0..FRUSTUM_CELLS * FRUSTUM_CELLS * FRUSTUM_CELLS).into_par_iter().map(|i| {
            let at = [i % FRUSTUM_CELLS, i / FRUSTUM_CELLS % FRUSTUM_CELLS, i / (FRUSTUM_CELLS * FRUSTUM_CELLS)];
            match map {
                SceneMap::Box(cube) => cell_of_box(views, cube, near, at, wanted),
                map => cell_of_map(views, &map, near, at, wanted),
            }
        });
        Self(cells.collect())
    }

    /// `true` if the cell at unit-cube coordinates is seen.
    pub fn get(&self, unit: [f64; 3]) -> bool {
        let [x, y, z] = unit.map(|v| ((v * FRUSTUM_CELLS as f64) as usize).min(FRUSTUM_CELLS - 1));
        self.0[x + FRUSTUM_CELLS * (y + FRUSTUM_CELLS * z)]
    }
}

/// `true` if `wanted` views see a cell of a box.
fn cell_of_box(views: &[View], cube: Cube, near: f64, at: [usize; 3], wanted: usize) -> bool {
    let radius = cube.size / FRUSTUM_CELLS as f64 * 0.87;
    let world = cube.to_world(DVec3::from(at.map(|v| (v as f64 + 0.5) / FRUSTUM_CELLS as f64)));
    let mut cameras = 0;
    for view in views {
        // A cell counts as seen where any of it may be: its radius widens the image.
        let distance = world.distance(view.camera.position());
        let margin = radius / distance.max(1e-12) * view.camera.focal.max_element();
        if distance + radius > near && view.project(world).is_some_and(|p| is_in_image(view, p, margin)) {
            cameras += 1;
            if cameras >= wanted {
                return true;
            }
        }
    }
    false
}

/// `true` if `wanted` views see one of the [`PLACES`] of a cell; cells that nothing of the world maps to are not seen.
fn cell_of_map(views: &[View], map: &SceneMap, near: f64, at: [usize; 3], wanted: usize) -> bool {
    let unit = |offset: [f64; 3]| (DVec3::from(at.map(|v| v as f64)) + DVec3::from(offset)) / FRUSTUM_CELLS as f64;
    let places: Vec<DVec3> = PLACES.into_iter().filter_map(|offset| map.to_world(unit(offset))).collect();
    if places.is_empty() {
        return false;
    }
    let radius = map.length_scale_at(unit(PLACES[0])) / FRUSTUM_CELLS as f64 * 0.87;
    let sees = |view: &&View| {
        places.iter().any(|place| {
            let distance = place.distance(view.camera.position());
            let margin = PLACE_MARGIN.max(radius / distance.max(1e-12)) * view.camera.focal.max_element();
            distance + radius > near && view.project(*place).is_some_and(|p| is_in_image(view, p, margin))
        })
    };
    views.iter().filter(sees).take(wanted).count() >= wanted
}

fn is_in_image(view: &View, p: DVec2, margin: f64) -> bool {
    let (w, h) = (f64::from(view.camera.width), f64::from(view.camera.height));
    (-margin..=w + margin).contains(&p.x) && (-margin..=h + margin).contains(&p.y)
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
    pub fn new(cells: usize, hull: Option<Hull>, views: &[View], map: impl Into<SceneMap>, near: f64) -> Self {
        Self { cells, hull, frustums: FrustumMask::new(views, map, near) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_camera::camera::Camera;
    use nstr_capture::{Image, Lens};

    #[test]
    fn open_maps_keep_what_cameras_see_to_infinity() {
        let view = |y: f64| {
            let eye = DVec3::new(0.0, y, 0.0);
            let pose = Camera::look_at(eye, eye + DVec3::X, DVec3::Z).unwrap();
            let camera = Camera::with_fov_y(64, 64, 50.0, pose).unwrap();
            let image = Image { width: 64, height: 64, pixels: Vec::new() };
            View { name: String::new(), camera, lens: Lens::Pinhole, image, mask: None, depth: None }
        };
        let views = [view(-0.005), view(0.005)];
        let map = SceneMap::Open(Cube { origin: DVec3::splat(-1.0), size: 2.0 });
        let mask = FrustumMask::new(&views, map, 0.01);
        for x in [0.6, 0.7, 0.8, 0.9, 0.999] {
            assert!(mask.get([x, 0.5, 0.5]), "ahead, {x}");
        }
        for unit in [[0.3, 0.5, 0.5], [0.01, 0.5, 0.5], [0.5, 0.9, 0.5], [0.9, 0.9, 0.5], [0.9, 0.9, 0.9]] {
            assert!(!mask.get(unit), "behind, beside, or where nothing is: {unit:?}");
        }
        // Every point of a ray lies in a cell that is seen.
        for i in 0..64 {
            let path = map.path(&views[i % 2].ray(f64::from(i as u32) + 0.5, 20.0), 0.05, f64::INFINITY);
            let end = path.pieces().last().unwrap().ray.far;
            for k in 1..200 {
                let at = path.position(path.pieces()[0].ray.near.max(end * k as f32 / 200.0)).as_dvec3();
                assert!(mask.get(at.to_array()), "{at}");
            }
        }
    }
}
