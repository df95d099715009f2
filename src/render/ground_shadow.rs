//! Shadow of an object on the ground that it stands on, under a bright sky: dark at the contact, soft away from it.
//!
//! The share of the sky that the object hides is computed once a field on a grid of the ground, by cones through coarse distances.

use glam::{DVec3, Vec3};
use nstr_camera::camera::Camera;
use nstr_space::Cube;
use rayon::prelude::*;

use crate::cpu::coarse_distance::CoarseDistance;

/// Places along an edge of the ground's grid.
pub const PLACES: usize = 160;
/// Reach of the grid beyond the object, as a fraction of its width.
const MARGIN: f32 = 0.7;
/// Most steps of a cone.
const STEPS: usize = 24;
/// Directions around the vertical: rings of this many, with the sine of the elevation, the half angle's tangent, and the weight.
const RINGS: [(usize, f32, f32, f32); 3] = [(1, 1.0, 0.42, 0.19), (6, 0.74, 0.40, 0.55), (8, 0.36, 0.34, 0.26)];
/// Distance from the object within which the ground counts as touched, in edges of the cube.
const CONTACT: f32 = 0.055;
/// Sine of the angle to the ground below which its shadow fades: along the ground it would be a hard line.
pub const SLANT: f32 = 0.12;
/// Largest share of light that the shadow takes.
pub const STRENGTH: f32 = 0.88;

/// Hidden share of the sky at the places of a ground.
#[derive(Clone, Debug)]
pub struct GroundShadow {
    cube: Cube,
    /// Upward axis and its sign.
    axis: usize,
    sign: f32,
    /// Coordinate of the ground along the axis, in the unit cube.
    height: f32,
    /// Corner and edges of the grid along the two other axes, in the unit cube.
    low: [f32; 2],
    size: [f32; 2],
    hidden: Vec<f32>,
}

impl GroundShadow {
    /// The ground at the lowest point of the surface in the direction `up`, which is taken along an axis of the cube; `None` where
    /// there is no surface.
    pub fn new(distance: &CoarseDistance, cube: Cube, up: Vec3) -> Option<Self> {
        let axis = (0..3).max_by(|a, b| up[*a].abs().total_cmp(&up[*b].abs()))?;
        let sign = if up[axis] < 0.0 { -1.0 } else { 1.0 };
        let across = [(axis + 1) % 3, (axis + 2) % 3];
        let (mut lo, mut hi) = (Vec3::INFINITY, Vec3::NEG_INFINITY);
        for p in distance.surface_points() {
            (lo, hi) = (lo.min(p), hi.max(p));
        }
        if !lo.is_finite() || !hi.is_finite() {
            return None;
        }
        let height = if sign > 0.0 { lo[axis] } else { hi[axis] };
        let margin = MARGIN * (hi - lo).max_element();
        let low = across.map(|a| lo[a] - margin);
        let size = across.map(|a| hi[a] - lo[a] + 2.0 * margin);
        let mut ground = Self { cube, axis, sign, height, low, size, hidden: Vec::new() };
        let place = |i: usize| {
            let at = |k: usize, i: usize| low[k] + size[k] * i as f32 / (PLACES - 1) as f32;
            ground.point(at(0, i % PLACES), at(1, i / PLACES))
        };
        ground.hidden = (0..PLACES * PLACES).into_par_iter().map(|i| ground.hidden_at(distance, place(i))).collect();
        Some(ground)
    }

    /// Point of the ground with these coordinates along the two other axes.
    fn point(&self, u: f32, v: f32) -> Vec3 {
        let mut p = Vec3::ZERO;
        (p[self.axis], p[(self.axis + 1) % 3], p[(self.axis + 2) % 3]) = (self.height, u, v);
        p
    }

    fn hidden_at(&self, distance: &CoarseDistance, from: Vec3) -> f32 {
        let cell = distance.cell();
        let mut hidden = 0.0;
        for (k, (count, sine, tangent, weight)) in RINGS.into_iter().enumerate() {
            let cosine = (1.0 - sine * sine).max(0.0).sqrt();
            for i in 0..count {
                let (b, a) = (std::f32::consts::TAU * (i as f32 + 0.5 * k as f32) / count as f32).sin_cos();
                let mut direction = self.point(cosine * a, cosine * b);
                direction[self.axis] = self.sign * sine;
                let (mut t, mut free) = (0.6 * cell, 1.0f32);
                for _ in 0..STEPS {
                    let d = distance.at(from + direction * t);
                    free = free.min(0.5 + 0.5 * d / (tangent * t));
                    if free <= 0.0 || t > 1.8 {
                        break;
                    }
                    t += d.max(0.6 * cell);
                }
                hidden += weight / count as f32 * (1.0 - free.max(0.0));
            }
        }
        // Feet that are thinner than the cones' first steps touch the ground all the same.
        let near = (1.0 - distance.at(from) / CONTACT).clamp(0.0, 1.0);
        hidden.max(0.85 * near * near)
    }

    /// Hidden share at coordinates along the two other axes, fading out at the edges of the grid.
    fn at(&self, u: f32, v: f32) -> f32 {
        let last = (PLACES - 1) as f32;
        let place = |k: usize, x: f32| (x - self.low[k]) / self.size[k];
        let (u, v) = (place(0, u), place(1, v));
        if !(0.0..=1.0).contains(&u) || !(0.0..=1.0).contains(&v) {
            return 0.0;
        }
        let (x, y) = (u * last, v * last);
        let (i, j) = ((x as usize).min(PLACES - 2), (y as usize).min(PLACES - 2));
        let (a, b) = (x - i as f32, y - j as f32);
        let at = |i: usize, j: usize| self.hidden[j * PLACES + i];
        let row = |j: usize| at(i, j) + (at(i + 1, j) - at(i, j)) * a;
        let value = row(j) + (row(j + 1) - row(j)) * b;
        let edge = u.min(1.0 - u).min(v).min(1.0 - v) / 0.25;
        value * edge.clamp(0.0, 1.0).powi(2) * (3.0 - 2.0 * edge.clamp(0.0, 1.0))
    }

    /// Share of the light that is left where a ray from above meets the ground, 1 where none does.
    pub fn light(&self, origin: DVec3, direction: DVec3) -> f32 {
        let origin = self.cube.to_unit(origin);
        let above = f64::from(self.sign) * (origin[self.axis] - f64::from(self.height));
        let fall = -f64::from(self.sign) * direction[self.axis];
        if above <= 0.0 || fall <= 1e-6 {
            return 1.0;
        }
        let p = origin + direction * (above / fall);
        let hidden = self.at(p[(self.axis + 1) % 3] as f32, p[(self.axis + 2) % 3] as f32);
        let slant = (fall as f32 / SLANT).clamp(0.0, 1.0);
        1.0 - STRENGTH * slant * hidden
    }

    /// The ground as `camera` sees it; `None` where the camera is below it.
    pub fn view(&self, camera: &Camera) -> Option<GroundView> {
        let (axis, sign) = (self.axis, f64::from(self.sign));
        // Along the two other axes, and down to the ground.
        let turned = |v: DVec3| DVec3::new(v[(axis + 1) % 3], v[(axis + 2) % 3], -sign * v[axis]);
        let origin = turned(self.cube.to_unit(camera.position()));
        let [right, up, back] = camera.axes();
        let (across, down) = (turned(right / camera.focal.x), turned(-up / camera.focal.y));
        let base = turned(-back) - across * camera.centre.x - down * camera.centre.y;
        let above = -sign * f64::from(self.height) - origin.z;
        (above > 0.0).then_some(GroundView {
            eye: [origin.x as f32, origin.y as f32],
            above: above as f32,
            base,
            across,
            down,
        })
    }

    /// Share of the light that is left at the places of a row of pixels of `camera`, by their x; as [`Self::light`] of their rays, but
    /// faster. `None` where the camera is below the ground.
    pub fn row(&self, camera: &Camera, y: f64) -> Option<impl Fn(f64) -> f32> {
        let GroundView { eye, above, base, across, down } = self.view(camera)?;
        let (base, across) = ((base + down * y).as_vec3(), across.as_vec3());
        Some(move |x: f64| {
            let direction = base + across * x as f32;
            let fall = direction.z;
            if fall <= 1e-6 {
                return 1.0;
            }
            let t = above / fall;
            let hidden = self.at(eye[0] + direction.x * t, eye[1] + direction.y * t);
            if hidden == 0.0 {
                return 1.0;
            }
            1.0 - STRENGTH * (fall / direction.length() / SLANT).min(1.0) * hidden
        })
    }

    /// The grid as shaders take it (`shaders/display.wgsl`): its lowest corner and its edges along the ground, and the hidden shares,
    /// rows along the first of the two axes.
    pub fn grid(&self) -> ([f32; 2], [f32; 2], &[f32]) {
        (self.low, self.size, &self.hidden)
    }
}

/// A ground seen by a camera, in coordinates along the ground, and down to it: `base + across·x + down·y` is the direction of
/// the ray through the place (x, y) of the image, not of length 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroundView {
    /// The camera's place along the ground, in edges of the cube.
    pub eye: [f32; 2],
    /// Its height above the ground, above 0.
    pub above: f32,
    /// Direction through the image's corner.
    pub base: DVec3,
    /// Its change a pixel to the right.
    pub across: DVec3,
    /// Its change a pixel down.
    pub down: DVec3,
}

#[cfg(test)]
mod tests {
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;

    fn ground(up: Vec3) -> GroundShadow {
        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.25));
        let cube = Cube { origin: DVec3::new(-2.0, 1.0, 0.0), size: 4.0 };
        GroundShadow::new(&CoarseDistance::build(&ball, 48), cube, up).unwrap()
    }

    #[test]
    fn the_ground_touches_the_lowest_point() {
        for (up, height) in [(Vec3::Y, 0.25), (Vec3::Z, 0.25), (Vec3::NEG_Y, 0.75)] {
            let ground = ground(up);
            assert!((ground.height - height).abs() < 0.01, "{up}: {}", ground.height);
        }
        let nothing = CoarseDistance::build(&AnalyticSdf::new(1.0, |_| 3.0), 16);
        assert!(GroundShadow::new(&nothing, Cube::default(), Vec3::Y).is_none());
    }

    #[test]
    fn rows_of_pixels_have_the_light_of_their_rays() {
        let ground = ground(Vec3::Y);
        let pose = Camera::look_at(DVec3::new(3.0, 5.0, 9.0), DVec3::new(0.3, 2.0, 2.0), DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(40, 30, 50.0, pose).unwrap();
        let mut dark = 0;
        for y in 0..30 {
            let row = ground.row(&camera, f64::from(y) + 0.5).unwrap();
            for x in 0..40 {
                let ray = camera.ray(f64::from(x) + 0.5, f64::from(y) + 0.5);
                let (fast, exact) = (row(f64::from(x) + 0.5), ground.light(ray.origin, ray.direction));
                assert!((fast - exact).abs() < 1e-3, "{x} {y}: {fast} {exact}");
                dark += u32::from(fast < 0.9);
            }
        }
        assert!(dark > 20, "{dark}");
        let pose = Camera::look_at(DVec3::new(3.0, -5.0, 9.0), DVec3::new(0.3, 2.0, 2.0), DVec3::Y).unwrap();
        assert!(ground.row(&Camera::with_fov_y(40, 30, 50.0, pose).unwrap(), 9.5).is_none());
    }

    #[test]
    fn it_is_darkest_at_the_contact_and_light_far_away() {
        let ground = ground(Vec3::Y);
        // In the world the ball has its centre at (0, 3, 2) and stands at y = 2.
        let light = |x: f64| ground.light(DVec3::new(x, 9.0, 2.0), DVec3::NEG_Y);
        let along: Vec<f32> = (0..8).map(|i| light(0.25 * f64::from(i))).collect();
        assert!(along.windows(2).all(|w| w[1] >= w[0] - 0.01), "{along:?}");
        assert!(along[0] < 0.45 && along[7] > 0.9, "{along:?}");
        assert_eq!(light(50.0), 1.0);
        // From below, along the ground and away from it there is none.
        assert_eq!(ground.light(DVec3::new(0.0, 0.0, 2.0), DVec3::Y), 1.0);
        assert_eq!(ground.light(DVec3::new(0.0, 9.0, 2.0), DVec3::X), 1.0);
        assert_eq!(ground.light(DVec3::new(0.0, 9.0, 2.0), DVec3::Y), 1.0);
    }
}
