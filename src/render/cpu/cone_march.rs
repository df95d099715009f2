//! Cone marching: blocks of rays advanced together through certified empty space.
//!
//! A cone around the rays of a pixel block is marched on the distance grid alone; its rays start where the cone first
//! comes near something, or are dropped where it meets nothing. No evaluation of the field is spent.

use glam::DVec3;
use nstr_camera::camera::Camera;
use nstr_space::Cube;

use crate::cpu::distance_grid::DistanceGrid;

/// Result of marching a block's cone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConeResult {
    /// No ray of the block meets the surface.
    Miss,
    /// Up to this distance along every ray of the block (field units) there is no surface, and the field is positive.
    At(f64),
}

/// Marches the cone around the rays of the pixels `x0..x1 × y0..y1`, grown by `border` pixels.
pub fn cone_march(grid: &DistanceGrid, camera: &Camera, cube: Cube, block: [u32; 4], border: f64) -> ConeResult {
    let [x0, y0, x1, y1] = block.map(f64::from);
    let axis = camera.ray((x0 + x1) * 0.5, (y0 + y1) * 0.5);
    let (mut least, d) = (1.0f64, axis.direction);
    for (x, y) in [(x0, y0), (x1, y0), (x0, y1), (x1, y1)] {
        let (x, y) = (x + border * (x - x0 - (x1 - x)).signum(), y + border * (y - y0 - (y1 - y)).signum());
        least = least.min(camera.ray(x, y).direction.dot(d));
    }
    if least < 0.5 {
        return ConeResult::At(0.0);
    }
    // Radius of the cone per unit along its axis.
    let spread = (1.0 / (least * least) - 1.0).max(0.0).sqrt();
    let origin = cube.to_unit(axis.origin);
    let far = furthest(origin, d);
    let mut t = 0.0;
    for _ in 0..256 {
        if t > far {
            return ConeResult::Miss;
        }
        let p = origin + d * t;
        let q = p.clamp(DVec3::ZERO, DVec3::ONE);
        let outside = p.distance_squared(q);
        let (r, sign) = grid.safe_radius(q.as_vec3());
        let r = r.max(0.0) as f64;
        if r > 0.0 && sign < 0.0 && outside.sqrt() <= spread * t + r {
            break;
        }
        // Points of the cube are no nearer to p than the two legs say: the projection onto a convex set shortens.
        let ball = (outside + r * r).sqrt();
        let step = (ball - spread * t) / (1.0 + spread);
        if step < 0.25 * grid.cell() as f64 {
            break;
        }
        t += step * 0.999;
    }
    ConeResult::At(t)
}

/// Distance along the axis of the cube's furthest corner.
fn furthest(origin: DVec3, d: DVec3) -> f64 {
    let corner = DVec3::select(d.cmpgt(DVec3::ZERO), DVec3::ONE, DVec3::ZERO);
    (corner - origin).dot(d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_camera::orbit::Orbit;
    use nstr_space::analytic::{AnalyticSdf, still_life};
    use nstr_space::ray_box;

    #[test]
    fn no_surface_before_the_start() {
        let source = AnalyticSdf::new(1.0, still_life);
        let grid = DistanceGrid::build(&source, 64, 1.0);
        let cameras =
            Orbit { frames: 5, size: (64, 64), ..Orbit::default() }.cameras((DVec3::ZERO, DVec3::ONE)).unwrap();
        let mut missed = 0;
        for camera in &cameras {
            for block in 0..64u32 {
                let (x, y) = (block % 8 * 8, block / 8 * 8);
                let result = cone_march(&grid, camera, Cube::default(), [x, y, x + 8, y + 8], 0.0);
                missed += (result == ConeResult::Miss) as u32;
                for pixel in 0..64 {
                    let ray = camera.ray((x + pixel % 8) as f64 + 0.5, (y + pixel / 8) as f64 + 0.5);
                    let Some((enter, exit, _)) = ray_box(ray.origin, ray.direction) else { continue };
                    let end = if let ConeResult::At(t) = result { t.min(exit) } else { exit };
                    let mut t = enter;
                    while t < end {
                        assert!(still_life((ray.origin + ray.direction * t).as_vec3()) > 0.0);
                        t += 2e-3;
                    }
                }
            }
        }
        assert!(missed > 50, "{missed}");
    }
}
