//! Culling of occupied cells that no image of the capture sees: matter behind walls was never learned.
//!
//! Training ends a ray where it becomes opaque, so that cells that no ray reaches keep their initial density. Seen from
//! where no camera was, that is a rough crust. Marching rays of every image through the known densities of the cells finds
//! the cells that light reaches, without evaluating the field.

use std::sync::atomic::{AtomicU64, Ordering};

use glam::{DVec3, IVec3};
use nstr_capture::View;
use nstr_space::occupancy::Occupancy;
use nstr_space::{Ray, SceneMap};
use rayon::prelude::*;

/// Optical depth at which a ray ends. Cells know the largest density that was found in them, several times the mean at a
/// surface, so that this stands for a transmittance of about 1e-3.
const MAX_DEPTH: f32 = 20.0;
/// Cells around reached ones that stay: fewer rays are marched than there are pixels, and other views look past edges.
const MARGIN: usize = 2;
/// Rays that are marched at most, about.
const MAX_RAYS: usize = 2_000_000;

/// The cells of `occupancy` that rays of the views reach through matter of `density` (of each cell, x fastest, a unit of field
/// coordinates; values below 0 and `f32::MAX` count as nothing), beginning `near` world units from the cameras.
pub fn cull_unseen_cells(
    occupancy: &Occupancy,
    density: &[f32],
    views: &[View],
    map: impl Into<SceneMap>,
    near: f64,
) -> Occupancy {
    let reached = reached_cells(views, map.into(), occupancy.cells(), density, near);
    Occupancy::from_bits(occupancy.cells(), |i| occupancy.get(i) && reached[i])
}

/// `true` if rays of the views reach each of the `cells`³ cells.
fn reached_cells(views: &[View], map: SceneMap, cells: usize, density: &[f32], near: f64) -> Vec<bool> {
    let bits: Vec<AtomicU64> = (0..(cells * cells * cells).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
    let grid = ReachedGrid { cells, density, bits: &bits };
    let pixels: usize = views.iter().map(|v| v.camera.width as usize * v.camera.height as usize).sum();
    let stride = ((pixels as f64 / MAX_RAYS as f64).sqrt().ceil() as usize).max(1);
    let rows: Vec<(&View, u32)> =
        views.iter().flat_map(|v| (0..v.camera.height).step_by(stride).map(move |y| (v, y))).collect();
    rows.par_iter().for_each(|(view, y)| {
        for x in (0..view.camera.width).step_by(stride) {
            // A masked pixel taught nothing about what lies behind it.
            if !view.usable(*y as usize * view.camera.width as usize + x as usize) {
                continue;
            }
            let ray = view.ray(f64::from(x) + 0.5, f64::from(*y) + 0.5);
            grid.march(&ray, map, near);
        }
    });
    let reached = (0..density.len()).map(|i| bits[i / 64].load(Ordering::Relaxed) >> (i % 64) & 1 == 1).collect();
    (0..3).fold(reached, |cell, axis| widened(&cell, cells, axis))
}

/// Every cell that is set, or whose neighbours along the axis within [`MARGIN`] are.
fn widened(set: &[bool], cells: usize, axis: u32) -> Vec<bool> {
    let stride = cells.pow(axis);
    let near = |i: usize| {
        let at = i / stride % cells;
        let (first, last) = (at.saturating_sub(MARGIN), (at + MARGIN).min(cells - 1));
        (first..=last).any(|k| set[i + k * stride - at * stride])
    };
    (0..set.len()).into_par_iter().map(near).collect()
}

/// A straight line in cells: the point at parameter t is `origin + t·direction`.
struct Line {
    origin: DVec3,
    direction: DVec3,
    near: f64,
    far: f64,
    /// Parameter of a unit of field coordinates.
    unit: f64,
}

struct ReachedGrid<'a> {
    cells: usize,
    density: &'a [f32],
    bits: &'a [AtomicU64],
}

impl ReachedGrid<'_> {
    /// Marks the cells that the ray passes before it has become opaque.
    fn march(&self, ray: &Ray, map: SceneMap, near: f64) {
        let n = self.cells as f64;
        let mut depth = 0.0;
        match map {
            SceneMap::Box(cube) => {
                // In cells, with parameters in world units along the ray.
                let origin = (ray.origin - cube.origin) * (n / cube.size);
                let direction = ray.direction * (n / cube.size);
                self.march_line(Line { origin, direction, near, far: f64::INFINITY, unit: cube.size }, &mut depth);
            }
            map => {
                for piece in map.path(ray, near, f64::INFINITY).pieces() {
                    let (origin, direction) = (piece.ray.origin.as_dvec3() * n, piece.ray.direction.as_dvec3() * n);
                    let (near, far) = (f64::from(piece.ray.near), f64::from(piece.ray.far));
                    self.march_line(Line { origin, direction, near, far, unit: 1.0 }, &mut depth);
                    if depth >= MAX_DEPTH {
                        return;
                    }
                }
            }
        }
    }

    /// Marks the cells of a straight line until `depth`, the optical depth so far, has become [`MAX_DEPTH`].
    fn march_line(&self, line: Line, depth: &mut f32) {
        let Line { origin, direction, near, far, unit } = line;
        let n = self.cells as f64;
        let inverse = direction.recip();
        let (a, b) = (-origin * inverse, (DVec3::splat(n) - origin) * inverse);
        let enter = a.min(b).max_element().max(near);
        let leave = a.max(b).min_element().min(far);
        if enter.is_nan() || leave.is_nan() || enter >= leave {
            return;
        }
        let side = self.cells as i32;
        let mut cell = (origin + direction * enter).floor().as_ivec3().clamp(IVec3::ZERO, IVec3::splat(side - 1));
        let step = IVec3::new(1, 1, 1) * direction.signum().as_ivec3();
        let ahead = step.max(IVec3::ZERO).as_dvec3();
        let mut next = (cell.as_dvec3() + ahead - origin) * inverse;
        let mut t = enter;
        while *depth < MAX_DEPTH {
            let i = cell.x as usize + self.cells * (cell.y as usize + self.cells * cell.z as usize);
            self.bits[i / 64].fetch_or(1 << (i % 64), Ordering::Relaxed);
            let axis = if next.x <= next.y.min(next.z) { 0 } else { 1 + usize::from(next.z < next.y) };
            let until = next[axis].min(leave);
            let density = self.density[i];
            if density > 0.0 && density < f32::MAX {
                *depth += density * ((until - t) / unit) as f32;
            }
            cell[axis] += step[axis];
            if next[axis] >= leave || !(0..side).contains(&cell[axis]) {
                return;
            }
            t = until;
            next[axis] += inverse[axis].abs();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DMat4, DVec2};
    use nstr_camera::camera::Camera;
    use nstr_capture::{Image, Lens};
    use nstr_space::Cube;

    const CELLS: usize = 32;

    /// A square view of `side` pixels.
    fn view(camera_to_world: DMat4, side: u32) -> Vec<View> {
        let size = f64::from(side);
        let camera = Camera {
            width: side,
            height: side,
            focal: DVec2::splat(1.4 * size),
            centre: DVec2::splat(0.5 * size),
            camera_to_world,
        };
        let image = Image { width: side, height: side, pixels: Vec::new() };
        vec![View { name: String::new(), camera, lens: Lens::Pinhole, image, mask: None, depth: None }]
    }

    /// A camera at x = −3 that looks along x at a cube from −1 to 1 with a wall half-way.
    fn scene(density: f32) -> (Vec<View>, Cube, Vec<f32>) {
        let pose = Camera::look_at(DVec3::new(-3.0, 0.01, 0.02), DVec3::new(0.0, 0.01, 0.02), DVec3::Z).unwrap();
        let views = view(pose, 64);
        let cube = Cube { origin: DVec3::splat(-1.0), size: 2.0 };
        let wall = (0..CELLS.pow(3)).map(|i| if (14..18).contains(&(i % CELLS)) { density } else { 0.0 }).collect();
        (views, cube, wall)
    }

    fn row(reached: &[bool]) -> Vec<bool> {
        (0..CELLS).map(|x| reached[x + CELLS * (16 + CELLS * 16)]).collect()
    }

    #[test]
    fn light_ends_in_a_wall_and_passes_a_mist() {
        let (views, cube, wall) = scene(1e4);
        let row_of = |d: &[f32]| row(&reached_cells(&views, cube.into(), CELLS, d, 0.1));
        let seen = row_of(&wall);
        assert!(seen[..15].iter().all(|s| *s) && seen[18..].iter().all(|s| !s), "{seen:?}");
        let (_, _, mist) = scene(10.0);
        assert!(row_of(&mist).iter().all(|s| *s));
        let unknown = vec![f32::MAX; CELLS.pow(3)];
        assert!(row_of(&unknown).iter().all(|s| *s));
    }

    #[test]
    fn only_what_the_picture_shows_beyond_near() {
        let (views, cube, wall) = scene(1e4);
        let seen = reached_cells(&views, cube.into(), CELLS, &wall, 2.5);
        let row = row(&seen);
        assert!(row[..5].iter().all(|s| !s) && row[8..15].iter().all(|s| *s), "{row:?}");
        // The field of view's half angle has the tangent 0.5/1.4: at x = −1, 2 away, it spans 0.71 to either side.
        let all = reached_cells(&views, cube.into(), CELLS, &wall, 0.0);
        let at = |y: usize| all[1 + CELLS * (y + CELLS * 16)];
        assert!(at(8) && at(24) && !at(0) && !at(31));
    }

    #[test]
    fn masked_pixels_reach_nothing() {
        let (mut views, cube, wall) = scene(1e4);
        views[0].mask = Some((0..64 * 64).map(|i| i % 64 < 32).collect());
        let seen = reached_cells(&views, cube.into(), CELLS, &wall, 0.0);
        let at = |y: usize| seen[4 + CELLS * (y + CELLS * 16)];
        // The camera looks along x with z up: y falls from left to right.
        assert!(at(22) && !at(10));
    }

    #[test]
    fn light_passes_the_inner_box_of_an_open_scene_and_ends_behind() {
        let pose = Camera::look_at(DVec3::new(-0.9, 0.01, 0.02), DVec3::new(0.0, 0.01, 0.02), DVec3::Z).unwrap();
        let (views, map) = (view(pose, 64), SceneMap::Open(Cube { origin: DVec3::splat(-1.0), size: 2.0 }));
        // A wall beyond the inner box, which ends at cell 24.
        let wall: Vec<f32> =
            (0..CELLS.pow(3)).map(|i| if (26..28).contains(&(i % CELLS)) { 1e4 } else { 0.0 }).collect();
        let seen = row(&reached_cells(&views, map, CELLS, &wall, 0.0));
        // The camera stands in cell 8.8, and cells around those reached count too.
        assert!(seen[..6].iter().all(|s| !s) && seen[8..27].iter().all(|s| *s) && !seen[30], "{seen:?}");
        let empty = row(&reached_cells(&views, map, CELLS, &vec![0.0; CELLS.pow(3)], 0.0));
        assert!(empty[8..].iter().all(|s| *s), "{empty:?}");
    }

    #[test]
    fn agrees_with_points_along_rays() {
        let pose = Camera::look_at(DVec3::new(2.3, -1.9, 1.4), DVec3::new(0.1, 0.2, -0.1), DVec3::Z).unwrap();
        let views = view(pose, 16);
        let cube = Cube { origin: DVec3::new(-1.1, -0.9, -1.0), size: 2.0 };
        let empty = vec![0.0; CELLS.pow(3)];
        let seen = reached_cells(&views, cube.into(), CELLS, &empty, 0.0);
        let mut met = 0;
        for i in 0..256 {
            let ray = views[0].ray(f64::from(i % 16) + 0.5, f64::from(i / 16) + 0.5);
            for k in 0..2000 {
                let at = (ray.origin + ray.direction * (k as f64 * 0.0031) - cube.origin) / cube.size;
                if at.cmpge(DVec3::ZERO).all() && at.cmplt(DVec3::ONE).all() {
                    let c = (at * CELLS as f64).as_uvec3();
                    met += 1;
                    assert!(seen[c.x as usize + CELLS * (c.y as usize + CELLS * c.z as usize)], "{at}");
                }
            }
        }
        assert!(met > 10_000);
    }
}
