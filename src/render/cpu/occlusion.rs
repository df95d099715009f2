//! Soft shadow and ambient occlusion from the field itself, without random numbers and so without noise.

use glam::Vec3;

use crate::cpu::trace_context::TraceContext;
use crate::section::Plane;

/// Surface point that secondary rays start from.
#[derive(Clone, Copy, Debug)]
pub struct ShadingPoint {
    /// Position in field coordinates.
    pub position: Vec3,
    /// Unit normal towards the viewer.
    pub normal: Vec3,
    /// Side of the surface the viewer is on: 1 outside, −1 inside.
    pub sign: f32,
    /// Length of the gradient there; distances are divided by it.
    pub slope: f32,
}

/// Soft shadow and ambient occlusion of surface points.
pub struct Occlusion<'a> {
    /// The field and the resolution, as of the camera rays.
    pub context: TraceContext<'a>,
    /// Section of the scene; the part that it cuts away casts no shadow.
    pub plane: Option<Plane>,
}

/// Cosine and sine of the tilted directions of occlusion.
pub(super) const TILT: (f32, f32) = (0.5, 0.866_025_4);
/// Directions around the normal.
const RING: usize = 6;
/// Distances along the normal and along tilted directions, as fractions of the radius.
const ALONG_NORMAL: [f32; 4] = [0.12, 0.3, 0.6, 1.0];
const TILTED: [f32; 3] = [0.15, 0.4, 0.8];
/// Evaluations a point.
const SAMPLES: usize = ALONG_NORMAL.len() + RING * TILTED.len();
/// Most steps of a shadow ray.
const SHADOW_STEPS: u32 = 96;

/// Tilted directions in a ring around a normal; `right` fixes the ring's rotation.
pub(super) fn tilted_ring(normal: Vec3, right: Vec3) -> impl Iterator<Item = Vec3> {
    let across = (right - normal * right.dot(normal)).try_normalize();
    let across = across.unwrap_or_else(|| normal.any_orthonormal_vector());
    let along = normal.cross(across);
    (0..RING).map(move |k| {
        let (sin, cos) = (std::f32::consts::TAU * k as f32 / RING as f32).sin_cos();
        normal * TILT.0 + (across * cos + along * sin) * TILT.1
    })
}

impl Occlusion<'_> {
    /// `true` where there may be matter at a point.
    fn holds(&self, p: Vec3) -> bool {
        p.min_element() >= 0.0 && p.max_element() <= 1.0 && !self.plane.is_some_and(|plane| plane.is_clipped(p))
    }

    /// Fraction of the sky that each point sees, 0 to 1, and the evaluations spent. `right` fixes the ring's rotation.
    ///
    /// Along each of a fixed fan of directions the field is compared with that of an open half-space: a smaller value
    /// means that something is near.
    pub fn ambient(&self, shading_points: &[ShadingPoint], radius: f32, right: Vec3) -> (Vec<f32>, u64) {
        let mut points = Vec::with_capacity(shading_points.len() * SAMPLES);
        for point in shading_points {
            points.extend(ALONG_NORMAL.map(|h| point.position + point.normal * (h * radius)));
            for direction in tilted_ring(point.normal, right) {
                points.extend(TILTED.map(|h| point.position + direction * (h * radius)));
            }
        }
        let mut values = vec![0.0; points.len()];
        // The field may be undefined outside the cube; nothing is there.
        let asked: Vec<usize> = (0..points.len()).filter(|&i| self.holds(points[i])).collect();
        let wanted: Vec<Vec3> = asked.iter().map(|&i| points[i]).collect();
        let mut got = vec![0.0; wanted.len()];
        self.context.source.distance(&wanted, &mut got);
        values.fill(f32::INFINITY);
        for (&i, v) in asked.iter().zip(&got) {
            values[i] = *v;
        }
        let open =
            shading_points.iter().zip(values.chunks_exact(SAMPLES)).map(|(point, values)| open(point, values, radius));
        (open.collect(), wanted.len() as u64)
    }

    /// Fraction of a round light of half angle `size` around `light` that each point sees, 0 to 1, and the evaluations spent.
    pub fn shadow(&self, shading_points: &[ShadingPoint], light: Vec3, size: f32) -> (Vec<f32>, u64) {
        let mut lit: Vec<f32> = vec![1.0; shading_points.len()];
        let mut active = Vec::new();
        for (i, point) in shading_points.iter().enumerate() {
            if point.normal.dot(light) > 0.0 {
                let from = point.position + point.normal * (3.0 * self.context.gap);
                active.push(ShadowRay { point: i, from, t: 2.0 * self.context.gap, last: f32::MAX, steps: 0 });
            } else {
                lit[i] = 0.0;
            }
        }
        let mut evals = 0;
        let (mut points, mut values) = (Vec::new(), Vec::new());
        loop {
            active.retain_mut(|ray| self.skip(ray, light, size, lit[ray.point]));
            if active.is_empty() {
                break;
            }
            points.clear();
            points.extend(active.iter().map(|r| r.from + light * r.t));
            values.resize(points.len(), 0.0);
            self.context.source.distance(&points, &mut values);
            evals += points.len() as u64;
            let mut k = 0;
            active.retain_mut(|ray| {
                let point = &shading_points[ray.point];
                let f = point.sign * values[k] / point.slope;
                k += 1;
                ray.visit(f, self.context.gap, self.context.lipschitz / point.slope, size, &mut lit[ray.point])
            });
        }
        for v in &mut lit {
            *v = *v * *v * (3.0 - 2.0 * *v);
        }
        (lit, evals)
    }

    /// Moves a shadow ray through space too wide to cast a penumbra; `false` once it has left the cube or the section.
    fn skip(&self, ray: &mut ShadowRay, light: Vec3, size: f32, lit: f32) -> bool {
        loop {
            let p = ray.from + light * ray.t;
            if !self.holds(p) {
                return false;
            }
            let Some(grid) = self.context.grid else { return true };
            let (r, _) = grid.safe_radius(p);
            // Wide enough that nothing within the ball can darken the light further.
            if r < 0.5 * grid.cell() || r < lit * size * ray.t * 1.5 {
                return true;
            }
            ray.t += 0.5 * r;
            ray.last = f32::MAX;
        }
    }
}

struct ShadowRay {
    point: usize,
    from: Vec3,
    t: f32,
    last: f32,
    steps: u32,
}

impl ShadowRay {
    /// Takes in a distance: narrows the visible light and steps on. `false` when the light is settled.
    fn visit(&mut self, f: f32, gap: f32, lipschitz: f32, size: f32, lit: &mut f32) -> bool {
        self.steps += 1;
        if f < 0.25 * gap {
            *lit = 0.0;
            return false;
        }
        // Nearest approach between two samples, from the two spheres (Aaltonen's refinement of Quilez's estimate).
        // It lies behind the sample only where the ray is not plainly leaving.
        let back = if f < 1.5 * self.last { f * f / (2.0 * self.last) } else { 0.0 };
        let near = (f * f - back * back).max(0.0).sqrt();
        let light = near / (size * (self.t - back).max(gap));
        *lit = lit.min(light);
        self.last = f;
        self.t += (f / lipschitz).max(gap);
        *lit > 0.01 && self.steps < SHADOW_STEPS && f.is_finite()
    }
}

/// Fraction of sky from the values at a point's samples.
fn open(point: &ShadingPoint, values: &[f32], radius: f32) -> f32 {
    let (mut sum, mut weight) = (0.0, 0.0);
    let mut add = |value: f32, height: f32, w: f32| {
        let free = if value.is_nan() { 1.0 } else { point.sign * value / (point.slope * height) };
        sum += w * free.clamp(0.0, 1.0);
        weight += w;
    };
    for (v, h) in values.iter().zip(ALONG_NORMAL) {
        add(*v, h * radius, 1.0 - 0.6 * h);
    }
    for ring in values[ALONG_NORMAL.len()..].chunks_exact(TILTED.len()) {
        for (v, h) in ring.iter().zip(TILTED) {
            add(*v, h * radius * TILT.0, 0.5 * (1.0 - 0.6 * h));
        }
    }
    let open = sum / weight;
    // Concave folds lose light faster than the mean says.
    open * open * (3.0 - 2.0 * open) * 0.5 + open * 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::distance_grid::DistanceGrid;
    use nstr_space::DistanceField;
    use nstr_space::analytic::{AnalyticSdf, cuboid, sphere};

    fn point(position: Vec3) -> ShadingPoint {
        ShadingPoint { position, normal: Vec3::Y, sign: 1.0, slope: 1.0 }
    }

    fn occlusion<'a>(source: &'a dyn DistanceField, grid: Option<&'a DistanceGrid>) -> Occlusion<'a> {
        Occlusion { context: TraceContext { source, grid, lipschitz: 1.0, gap: 1e-4 }, plane: None }
    }

    #[test]
    fn open_plane_is_open_and_a_corner_is_not() {
        let field = AnalyticSdf::new(1.0, |p: Vec3| (p.y - 0.3).min(0.8 - p.x));
        let o = occlusion(&field, None);
        let (open, evals) =
            o.ambient(&[point(Vec3::new(0.2, 0.3, 0.5)), point(Vec3::new(0.79, 0.3, 0.5))], 0.1, Vec3::X);
        assert!(open[0] > 0.999 && open[1] < 0.8, "{open:?}");
        assert_eq!(evals as usize, 2 * SAMPLES);
    }

    #[test]
    fn a_sphere_shades_the_floor_below_it_only() {
        let scene = |p: Vec3| {
            cuboid(p, Vec3::new(0.5, 0.1, 0.5), Vec3::new(0.5, 0.1, 0.5)).min(sphere(p, Vec3::new(0.5, 0.5, 0.5), 0.1))
        };
        let field = AnalyticSdf::new(1.0, scene);
        let grid = DistanceGrid::build(&field, 64, 1.0);
        for grid in [None, Some(&grid)] {
            let o = occlusion(&field, grid);
            let shading_points = [0.5, 0.59, 0.61, 0.8].map(|x| point(Vec3::new(x, 0.2, 0.5)));
            let (lit, _) = o.shadow(&shading_points, Vec3::Y, 0.1);
            assert!(lit[0] == 0.0 && lit[1] < 0.1 && lit[2] > 0.0 && lit[2] < 0.9 && lit[3] > 0.99, "{lit:?}");
        }
    }
}
