//! A trained signed distance field as the renderers and exporters see it.

use glam::Vec3;
use rand::{RngExt, SeedableRng};

use nstr_spec::{FieldSpec, FullColumns};
use nstr_kernel::{Fused, Outputs, Prepared};
use nstr_space::source::SdfSource;

/// A field on the unit cube whose one value is a signed distance.
#[derive(Debug)]
pub struct NeuralSdf {
    fused: Fused,
    weights: Prepared,
    grid: Vec<f32>,
    lipschitz: f32,
}

/// Points at which the slope of a field is probed for its Lipschitz bound.
const PROBES: usize = 1 << 16;
/// The bound is this much above the steepest slope found.
const SAFETY: f32 = 1.1;

impl NeuralSdf {
    /// Prepares the kernels; `lipschitz` as from [`Self::measure_lipschitz`], measured here if `None`.
    ///
    /// `grid` and `net` must have the spec's lengths, and the spec 3 coordinates and 1 value.
    pub fn new(spec: &FieldSpec, grid: Vec<f32>, net: &[f32], lipschitz: Option<f32>) -> Self {
        let fused = Fused::new(spec);
        let weights = fused.prepare(net);
        let mut field = Self { fused, weights, grid, lipschitz: 1.0 };
        field.lipschitz = lipschitz.filter(|l| l.is_finite() && *l > 0.0).unwrap_or_else(|| field.measure_lipschitz());
        field
    }

    /// The field's shape.
    pub fn spec(&self) -> &FieldSpec {
        self.fused.spec()
    }

    /// Signed distances of many points, on all threads.
    pub fn distance_parallel(&self, points: &[Vec3], distance: &mut [f32]) {
        let x = bytemuck::cast_slice(points);
        self.fused.evaluate_parallel(&self.weights, &self.grid, x, Outputs::Value, distance);
    }

    /// The steepest slope at random points of the cube (a field is piecewise smooth, so a dense sample finds its bound
    /// to a few per cent), with a margin on top. At least 1.
    pub fn measure_lipschitz(&self) -> f32 {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(0x11b5);
        let points: Vec<Vec3> = (0..PROBES).map(|_| Vec3::from_array(rng.random())).collect();
        let width = self.fused.width(Outputs::Gradient);
        let columns = self.spec().full_columns();
        let mut out = vec![0.0; points.len() * width];
        let x = bytemuck::cast_slice(&points);
        self.fused.evaluate_parallel(&self.weights, &self.grid, x, Outputs::Gradient, &mut out);
        let mut slopes: Vec<f32> =
            out.chunks_exact(width).map(|row| norm(&row[columns.gradient..columns.gradient + 3])).collect();
        slopes.sort_unstable_by(f32::total_cmp);
        // Slopes of single cells at the box's far corners are no reason to slow every ray: the top 0.1 % is cut, and
        // the margin and the tracer's own check of each step stand against it.
        let steep = slopes[slopes.len() - 1 - slopes.len() / 1000];
        (steep * SAFETY).max(1.0)
    }

    fn rows(&self, kind: Outputs, x: &[f32], distance: &mut [f32], mut row: impl FnMut(usize, &[f32])) {
        let width = self.fused.width(kind);
        let mut out = vec![0.0; distance.len() * width];
        self.fused.evaluate(&self.weights, &self.grid, x, kind, &mut out);
        for (i, (d, values)) in distance.iter_mut().zip(out.chunks_exact(width)).enumerate() {
            *d = values[0];
            row(i, values);
        }
    }
}

fn norm(v: &[f32]) -> f32 {
    v.iter().map(|x| x * x).sum::<f32>().sqrt()
}

/// Frobenius norms of ∇S and of ∇S − F in one point's full output.
pub(super) fn transport_norms(row: &[f32], columns: &FullColumns) -> (f32, f32) {
    let slope = &row[columns.spectrum_gradient..columns.transport];
    let squares = slope.iter().zip(&row[columns.transport..columns.len]).map(|(s, f)| (s - f) * (s - f));
    (norm(slope), squares.sum::<f32>().sqrt())
}

impl SdfSource for NeuralSdf {
    fn distance(&self, points: &[Vec3], distance: &mut [f32]) {
        self.fused.evaluate(&self.weights, &self.grid, bytemuck::cast_slice(points), Outputs::Value, distance);
    }

    fn distance_gradient(&self, points: &[Vec3], distance: &mut [f32], gradient: &mut [Vec3]) {
        let at = self.spec().full_columns().gradient;
        self.rows(Outputs::Gradient, bytemuck::cast_slice(points), distance, |i, row| {
            gradient[i] = Vec3::from_slice(&row[at..at + 3]);
        });
    }

    fn spectrum_width(&self) -> usize {
        self.spec().spectrum_width()
    }

    fn spectrum(&self, points: &[Vec3], spectrum: &mut [f32], gradient_norm: &mut [f32], residual: &mut [f32]) {
        let (columns, width) = (self.spec().full_columns(), self.spectrum_width());
        let mut distance = vec![0.0; points.len()];
        self.rows(Outputs::Full, bytemuck::cast_slice(points), &mut distance, |i, row| {
            spectrum[i * width..(i + 1) * width].copy_from_slice(&row[columns.spectrum..columns.spectrum_gradient]);
            (gradient_norm[i], residual[i]) = transport_norms(row, &columns);
        });
    }

    fn lipschitz(&self) -> f32 {
        self.lipschitz
    }
}
