//! Mean curvature of level sets, by central differences of the unit gradient over a stated step.

use glam::Vec3;

/// Half step of the differences in field coordinates: tighter bends are smoothed.
pub const CURVATURE_STEP: f32 = 2e-3;
/// Evaluations of the gradient that a point takes.
pub const CURVATURE_SAMPLES: usize = 5;

/// Mean curvature H per unit of field coordinates of the level set through each point, positive where convex as seen from
/// the side that the gradient points to: a sphere of radius r whose gradient points outwards has +1/r.
///
/// `gradient` writes a vector along the outward normal n, of any length, for each point of its slice (the same length).
/// With h = [`CURVATURE_STEP`] and unit tangents t₁ ⊥ t₂, `H = Σᵢ tᵢ·(n(p + h tᵢ) − n(p − h tᵢ)) / 4h`. Points are not
/// clamped to the cube. H is 0 where a gradient is 0 or not finite.
pub fn mean_curvature(points: &[Vec3], gradient: impl Fn(&[Vec3], &mut [Vec3])) -> Vec<f32> {
    let mut normals = vec![Vec3::ZERO; points.len()];
    gradient(points, &mut normals);
    let frames: Vec<[Vec3; 2]> = normals.iter().map(|g| tangents(g.normalize_or_zero())).collect();
    let samples: Vec<Vec3> = points
        .iter()
        .zip(&frames)
        .flat_map(|(p, t)| t.map(|t| t * CURVATURE_STEP).map(|step| [*p + step, *p - step]).into_iter().flatten())
        .collect();
    let mut around = vec![Vec3::ZERO; samples.len()];
    gradient(&samples, &mut around);
    let bend = |(t, n): (&[Vec3; 2], &[Vec3; 4])| {
        let n = n.map(Vec3::normalize_or_zero);
        let known = n.iter().all(|n| *n != Vec3::ZERO);
        let h = (t[0].dot(n[0] - n[1]) + t[1].dot(n[2] - n[3])) / (4.0 * CURVATURE_STEP);
        if known { h } else { 0.0 }
    };
    frames.iter().zip(around.as_chunks::<4>().0).map(bend).collect()
}

/// Two unit vectors across `n` and each other; 0 where it is.
fn tangents(n: Vec3) -> [Vec3; 2] {
    let axis = if n.x.abs() < 0.5 { Vec3::X } else { Vec3::Y };
    let first = n.cross(axis).normalize_or_zero();
    [first, n.cross(first)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Curvature from exact gradients; the step's own error is of order h²/r³.
    fn curvature(points: &[Vec3], gradient: impl Fn(Vec3) -> Vec3) -> Vec<f32> {
        mean_curvature(points, |points, out| points.iter().zip(out).for_each(|(p, g)| *g = gradient(*p)))
    }

    fn directions() -> impl Iterator<Item = Vec3> {
        (0..60).map(|i| {
            let (z, a) = (1.0 - (i as f32 + 0.5) / 30.0, i as f32 * 2.399_963);
            Vec3::new((1.0 - z * z).sqrt() * a.cos(), (1.0 - z * z).sqrt() * a.sin(), z)
        })
    }

    #[test]
    fn spheres_and_hollows_of_any_slope() {
        let centre = Vec3::splat(0.5);
        for radius in [0.05, 0.1, 0.4] {
            let points: Vec<Vec3> = directions().map(|d| centre + d * radius).collect();
            for (slope, sign) in [(1.0, 1.0), (7.0, 1.0), (-0.2, -1.0)] {
                for h in curvature(&points, |p| (p - centre) * slope) {
                    assert!((h * sign * radius - 1.0).abs() < 2e-3, "{h} {radius} {slope}");
                }
            }
        }
    }

    #[test]
    fn a_torus_bends_as_its_formula_says() {
        let (major, minor) = (0.25, 0.1);
        let mut points = Vec::new();
        let mut wanted = Vec::new();
        for i in 0..8 {
            for k in 0..12 {
                let (u, v) = (i as f32 * 0.785, k as f32 * 0.524);
                let reach = major + minor * v.cos();
                points.push(Vec3::new(0.5 + reach * u.cos(), 0.5 + minor * v.sin(), 0.5 + reach * u.sin()));
                // H = (R + 2r cos v) / (2r (R + r cos v)).
                wanted.push((major + 2.0 * minor * v.cos()) / (2.0 * minor * reach));
            }
        }
        let gradient = |p: Vec3| {
            let q = p - 0.5;
            let ring = Vec3::new(q.x, 0.0, q.z).normalize() * major;
            q - ring
        };
        for (h, want) in curvature(&points, gradient).into_iter().zip(wanted) {
            assert!((h - want).abs() < 5e-3 * want.abs().max(1.0), "{h} {want}");
        }
    }

    #[test]
    fn planes_are_flat_and_what_is_no_number_is_nothing() {
        for n in directions() {
            assert!(curvature(&[Vec3::splat(0.5)], |_| n * 3.0)[0].abs() < 1e-4);
        }
        for bad in [Vec3::ZERO, Vec3::NAN, Vec3::INFINITY] {
            assert_eq!(curvature(&[Vec3::splat(0.5)], |_| bad), [0.0]);
        }
        assert!(curvature(&[], |p| p).is_empty());
    }
}
