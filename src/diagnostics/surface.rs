//! Points on a field's surface, and the curvature there: by the field's derivatives and by the mesh.

use glam::{DVec3, Vec3};
use nstr_field::jet::Order;
use nstr_field::point_evaluator::PointEvaluator;
use nstr_geometry::curvature::MeshCurvature;
use nstr_geometry::{DistanceQuery, TriMesh};
use nstr_space::Cube;
use nstr_spec::{Activation, FieldSpec, Interpolation, MlpSpec};
use rayon::prelude::*;

use crate::level_set_curvature;
use crate::level_set_curvature::Curvature;
use crate::stats::spearman;

/// Curvature where none is known.
const UNKNOWN: Curvature = Curvature { mean: f64::NAN, gaussian: f64::NAN };

/// Points of the zero level set and the field's own curvature there.
#[derive(Clone, Debug, Default)]
pub struct SurfacePoints {
    /// Field coordinates, `[point][3]`.
    pub x: Vec<f64>,
    /// Unit gradients.
    pub normals: Vec<DVec3>,
    /// Curvature per world unit by second derivatives.
    pub exact: Vec<Curvature>,
    /// The same by differences of the gradient over ± each of [`SCALES`].
    pub differences: [Vec<Curvature>; SCALES.len()],
    /// Index of the differences to use; `None` where second derivatives are continuous, so that [`Self::exact`] is used.
    pub scale: Option<usize>,
}

/// Steps of the differences in cube edges. Short ones see a rectifier's kinks and the facets between them, long ones smooth
/// what is finer than they are.
pub const SCALES: [f64; 4] = [2e-3, 5e-3, 1e-2, 2e-2];
/// Index of the step that is used without a mesh.
const DEFAULT_SCALE: usize = 2;

/// Newton iterations that project points onto the surface.
const NEWTON_STEPS: usize = 4;
/// Longest way that a point may be moved, in cube edges; others are dropped.
const MAX_SHIFT: f64 = 0.01;

/// Returns whether a field's second derivatives are continuous: smooth activations and C¹ interpolation.
pub fn is_smooth(spec: &FieldSpec) -> bool {
    let smooth = |mlp: &MlpSpec| mlp.layers == 0 || mlp.activation != Activation::Relu;
    let spectrum = !spec.modulates() || smooth(&spec.spectrum);
    let latent = spec.latent.levels.is_empty() || spec.latent.interpolation == Interpolation::Smoothstep;
    smooth(&spec.decoder) && spectrum && latent
}

impl SurfacePoints {
    /// Projects the `world` points near the surface onto it and takes their curvature; points that do not converge are dropped.
    pub fn new(probe: &PointEvaluator<'_>, cube: Cube, world: &[DVec3]) -> Self {
        let unit: Vec<DVec3> = world.par_iter().filter_map(|p| project(probe, cube.to_unit(*p))).collect();
        let gradient = |p: DVec3| DVec3::from(probe.at(&p.to_array(), Order::First).value.gradient(0));
        let rows: Vec<(DVec3, Curvature, [Curvature; SCALES.len()])> = unit
            .par_iter()
            .map(|p| {
                let at = probe.at(&p.to_array(), Order::Second);
                let scaled = |c: Option<Curvature>| c.map_or(UNKNOWN, |c| c.scaled(cube.size));
                let differences = SCALES.map(|step| scaled(level_set_curvature::from_gradients(*p, step, gradient)));
                let normal = DVec3::from(at.value.gradient(0)).normalize_or_zero();
                (normal, scaled(level_set_curvature::level_set(&at.value)), differences)
            })
            .collect();
        Self {
            x: unit.iter().flat_map(|p| p.to_array()).collect(),
            normals: rows.iter().map(|r| r.0).collect(),
            exact: rows.iter().map(|r| r.1).collect(),
            differences: std::array::from_fn(|s| rows.iter().map(|r| r.2[s]).collect()),
            scale: (!is_smooth(probe.spec())).then_some(DEFAULT_SCALE),
        }
    }

    /// Rank correlations of the mean curvature by second derivatives, and by differences over each of [`SCALES`], with
    /// `mean` (of a mesh, signed).
    pub fn agreement(&self, mean: &[f64]) -> [f64; 1 + SCALES.len()] {
        std::array::from_fn(|i| {
            let own = if i == 0 { &self.exact } else { &self.differences[i - 1] };
            let known = own.iter().zip(mean).filter(|(c, m)| c.mean.is_finite() && m.is_finite());
            let (a, b): (Vec<f64>, Vec<f64>) = known.map(|(c, m)| (c.mean, *m)).unzip();
            spearman(&a, &b)
        })
    }

    /// Selects the scale of the differences that agrees best with a mesh's curvature, which is independent of the spectrum.
    /// Exact derivatives stay in use where they exist.
    pub fn select_scale(&mut self, agreement: &[f64; 1 + SCALES.len()]) {
        let best = (0..SCALES.len()).max_by(|a, b| agreement[1 + a].total_cmp(&agreement[1 + b]));
        self.scale = self.scale.and(best);
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.normals.len()
    }

    /// Returns whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.normals.is_empty()
    }

    /// The curvature to use: by derivatives where they exist, else by differences.
    pub fn curvature(&self) -> &[Curvature] {
        self.scale.map_or(&self.exact, |s| &self.differences[s])
    }

    /// World positions.
    pub fn world(&self, cube: Cube) -> Vec<DVec3> {
        self.x.chunks_exact(3).map(|x| cube.to_world(DVec3::from_slice(x))).collect()
    }
}

fn project(probe: &PointEvaluator<'_>, start: DVec3) -> Option<DVec3> {
    let mut p = start;
    for _ in 0..NEWTON_STEPS {
        let value = probe.at(&p.to_array(), Order::First).value;
        let (f, g) = (value.values()[0], DVec3::from(value.gradient(0)));
        let step = g * (f / g.length_squared());
        if !step.is_finite() {
            return None;
        }
        p -= step;
        if step.length_squared() < 1e-18 {
            break;
        }
    }
    (p.distance(start) <= MAX_SHIFT).then_some(p)
}

/// Curvature per world unit of the level set through `p` (field coordinates), as [`SurfacePoints`] takes it at `scale`.
pub fn curvature_at(probe: &PointEvaluator<'_>, cube: Cube, p: DVec3, scale: Option<usize>) -> Curvature {
    let gradient = |p: DVec3| DVec3::from(probe.at(&p.to_array(), Order::First).value.gradient(0));
    let found = match scale {
        Some(s) => level_set_curvature::from_gradients(p, SCALES[s], gradient),
        None => level_set_curvature::level_set(&probe.at(&p.to_array(), Order::Second).value),
    };
    found.map_or(UNKNOWN, |c| c.scaled(cube.size))
}

/// Mean and Gaussian curvature of a mesh at its points closest to `world`; NaN where it has none.
pub fn of_mesh(mesh: &TriMesh, query: &DistanceQuery, world: &[DVec3]) -> Vec<[f64; 2]> {
    let curvature = MeshCurvature::new(mesh);
    let closest = query.closest_batch(world);
    closest.iter().map(|c| c.as_ref().map_or([f64::NAN; 2], |c| curvature.at(mesh, c))).collect()
}

/// Normals and values at the vertices of a surface.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Unit normals.
    pub normals: Vec<Vec3>,
    /// Names, and values one a vertex.
    pub values: Vec<(&'static str, Vec<f32>)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::config::preset;

    #[test]
    fn smoothness_follows_the_parts_that_count() {
        let set = |text: &[&str]| is_smooth(&preset("sdf-tiny").unwrap().set(text).unwrap().spec());
        assert!(!set(&[]));
        let smooth = ["decoder.activation=silu", "spectrum.activation=sine", "latent.interpolation=smoothstep"];
        assert!(set(&smooth));
        for (i, rough) in
            ["decoder.activation=relu", "spectrum.activation=relu", "latent.interpolation=linear"].iter().enumerate()
        {
            let mut text = smooth;
            text[i] = rough;
            assert!(!set(&text), "{rough}");
        }
        assert!(set(&["decoder.layers=0", "spectrum.layers=0", "latent.interpolation=smoothstep"]));
    }
}
