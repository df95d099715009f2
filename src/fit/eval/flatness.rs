//! Flatness of a fitted surface: the angle between the field's gradient and the face's normal where the mesh is flat.
//!
//! The eye sees normals: ripples of a thousandth of the size change no distance and spoil a highlight.

use glam::{DVec3, Vec3};
use nstr_field::sdf::NeuralSdf;
use nstr_geometry::sample::{SurfaceSample, SurfaceSampler};
use nstr_geometry::{DistanceQuery, TriMesh};
use nstr_space::Cube;
use nstr_space::fields::DistanceField;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Distance from a crease, as a fraction of the diagonal, up to which a point does not count.
pub const CREASE_MARGIN: f64 = 0.01;
/// Normals that differ by less belong to one smooth surface, degrees.
pub const CREASE_ANGLE: f64 = 20.0;

/// Angles between the field's gradient and the mesh's normal away from its creases, degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flatness {
    /// Root of the mean square.
    pub rms: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Fraction of the surface that is away from creases.
    pub share: f64,
}

/// Measures `field` at `samples` points of the surface, area-weighted and drawn from `seed`; `None` where none is away from
/// creases. The surface is the one that `query` of `mesh` measures distances to.
pub fn flatness(
    field: &NeuralSdf,
    cube: Cube,
    mesh: &TriMesh,
    query: &DistanceQuery,
    samples: usize,
    seed: u64,
) -> Option<Flatness> {
    let surface = query.surface().map_or(mesh, AsRef::as_ref);
    let drawn = SurfaceSampler::new(surface)?.sample(samples, seed);
    let margin = CREASE_MARGIN * mesh.diagonal();
    let flat: Vec<SurfaceSample> =
        drawn.par_iter().filter(|s| is_away_from_creases(s, margin, mesh, query)).copied().collect();
    let points: Vec<Vec3> = flat.iter().map(|s| cube.to_unit(s.position).as_vec3()).collect();
    let (mut distance, mut gradient) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
    field.distance_gradient(&points, &mut distance, &mut gradient);
    let mut angles: Vec<f64> =
        flat.iter().zip(gradient).map(|(s, g)| angle(s.normal, g.as_dvec3()).to_degrees()).collect();
    angles.sort_by(f64::total_cmp);
    let p95 = *angles.get((angles.len() * 95 / 100).min(angles.len().checked_sub(1)?))?;
    let square = angles.iter().map(|a| a * a).sum::<f64>() / angles.len() as f64;
    Some(Flatness { rms: square.sqrt(), p95, share: angles.len() as f64 / samples as f64 })
}

/// Angle between two directions, radians; π where one has no length.
fn angle(a: DVec3, b: DVec3) -> f64 {
    let (cross, dot) = (a.cross(b).length(), a.dot(b));
    if cross == 0.0 && dot <= 0.0 { std::f64::consts::PI } else { cross.atan2(dot) }
}

/// `true` where the surface a margin away, in eight directions, has about the same normal and is still there.
fn is_away_from_creases(s: &SurfaceSample, margin: f64, mesh: &TriMesh, query: &DistanceQuery) -> bool {
    let (u, v) = s.normal.any_orthonormal_pair();
    let least = CREASE_ANGLE.to_radians().cos();
    (0..8).all(|i| {
        let (sin, cos) = (f64::from(i) * std::f64::consts::FRAC_PI_4).sin_cos();
        let beside = s.position + (u * cos + v * sin) * margin;
        // A smooth surface leaves its tangent plane by less than the margin times the sine of the angle.
        query.closest_within(beside, margin).is_some_and(|c| {
            let [p, q, r] = mesh.triangle(c.face as usize);
            let normal = (q - p).cross(r - p).normalize_or_zero();
            c.distance <= margin * CREASE_ANGLE.to_radians().sin() && normal.dot(s.normal) >= least
        })
    })
}

#[cfg(test)]
mod tests {
    use nstr_geometry::{QueryOptions, testing};
    use nstr_spec::config::preset;
    use nstr_spec::init::{InitConfig, parameters};

    use super::*;

    #[test]
    fn points_count_where_the_surface_is_flat_and_angles_are_to_the_normals() {
        let mesh = testing::cuboid(DVec3::splat(0.25), DVec3::splat(0.75));
        let query = DistanceQuery::new(&mesh, &QueryOptions::default()).unwrap();
        let margin = CREASE_MARGIN * mesh.diagonal();
        let sample = |x: f64, y: f64| SurfaceSample { position: DVec3::new(x, y, 0.75), normal: DVec3::Z, face: 0 };
        let flat = |s| is_away_from_creases(&s, margin, &mesh, &query);
        assert!(flat(sample(0.5, 0.5)) && flat(sample(0.25 + 1.01 * margin, 0.5)));
        assert!(!flat(sample(0.25 + 0.9 * margin, 0.5)) && !flat(sample(0.5, 0.75)));
        // Any field: the angle is between 0 and 180°, the share is that of the faces' inner part.
        let config = preset("sdf-tiny").unwrap();
        let spec = config.spec();
        let (grid, net) = parameters(&spec, &InitConfig { seed: 3, ..config.init });
        let field = NeuralSdf::new(&spec, grid, &net, Some(1.0));
        let cube = Cube { origin: DVec3::ZERO, size: 1.0 };
        let found = flatness(&field, cube, &mesh, &query, 4000, 1).unwrap();
        let inner = (1.0 - 2.0 * margin / 0.5).powi(2);
        assert!((found.share - inner).abs() < 0.02, "{found:?} {inner}");
        assert!(found.rms > 0.0 && found.rms <= 180.0 && found.p95 <= 180.0);
    }

    #[test]
    fn angles_are_exact_where_they_are_small() {
        let tilted = DVec3::new(1e-9, 0.0, 1.0);
        assert!((angle(DVec3::Z, tilted) - 1e-9).abs() < 1e-15);
        assert!((angle(DVec3::Z, -DVec3::Z) - std::f64::consts::PI).abs() < 1e-12);
        assert_eq!(angle(DVec3::Z, DVec3::ZERO), std::f64::consts::PI);
    }
}
