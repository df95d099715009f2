//! A trained signed distance field as the renderers and exporters see it.

use glam::Vec3;
use nstr_kernel::{FusedField, Outputs, PackedWeights};
use nstr_space::fields::DistanceField;
use nstr_spec::{FieldSpec, FullColumns};
use rand::{RngExt, SeedableRng};

/// A field on the unit cube whose one value is a signed distance.
#[derive(Debug)]
pub struct NeuralSdf {
    fused: FusedField,
    weights: PackedWeights,
    grid: Vec<f32>,
    lipschitz: f32,
}

/// Points at which the slope of a field is measured for its Lipschitz bound.
const SLOPE_SAMPLES: usize = 1 << 16;
/// The bound is this much above the steepest slope found.
const SAFETY: f32 = 1.1;

impl NeuralSdf {
    /// Prepares the kernels; `lipschitz` as from [`Self::measure_lipschitz`], measured here if `None`.
    ///
    /// `grid` and `net` must have the spec's lengths, and the spec 3 coordinates and 1 value.
    pub fn new(spec: &FieldSpec, grid: Vec<f32>, net: &[f32], lipschitz: Option<f32>) -> Self {
        let fused = FusedField::new(spec);
        let weights = fused.pack(net);
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

    /// Slope |∇f| that all but 0.1 % of random points of the cube stay below (a field is piecewise smooth, so a dense sample finds
    /// its bound to a few per cent), times 1.1. At least 1; the same for the same field.
    pub fn measure_lipschitz(&self) -> f32 {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(0x11b5);
        let points: Vec<Vec3> = (0..SLOPE_SAMPLES).map(|_| Vec3::from_array(rng.random())).collect();
        let width = self.fused.width(Outputs::Gradient);
        let columns = self.spec().full_columns();
        let mut out = vec![0.0; points.len() * width];
        let x = bytemuck::cast_slice(&points);
        self.fused.evaluate_parallel(&self.weights, &self.grid, x, Outputs::Gradient, &mut out);
        let mut slopes: Vec<f32> =
            out.chunks_exact(width).map(|row| norm(&row[columns.gradient..columns.gradient + 3])).collect();
        slopes.sort_unstable_by(f32::total_cmp);
        // Slopes of single cells at the box's far corners should not slow every ray: the top 0.1 % is left out. The margin and
        // the tracer's own check of each step make up for it.
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

impl DistanceField for NeuralSdf {
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

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_spec::config::preset;
    use nstr_spec::init::{InitConfig, parameters};
    use proptest::prelude::*;

    /// A field with random features whose last layer is scaled by `scale`.
    fn field(name: &str, seed: u64, scale: f32) -> NeuralSdf {
        let config = preset(name).unwrap();
        let spec = config.spec();
        let (grid, mut net) = parameters(&spec, &InitConfig { seed, grid_scale: 0.5, ..config.init });
        let last = *spec.net_layout().decoder.last().unwrap();
        net[last.weight..last.bias + last.outputs].iter_mut().for_each(|w| *w *= scale);
        NeuralSdf::new(&spec, grid, &net, None)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        /// The bound leaves out the steepest 0.1 % of the cube and adds a tenth.
        #[test]
        fn few_slopes_exceed_the_lipschitz_bound(seed: u64, scale in 0.01f32..4.0, tiny: bool) {
            let field = field(if tiny { "sdf-tiny" } else { "sdf" }, seed, scale);
            let bound = field.lipschitz();
            prop_assert!(bound >= 1.0 && bound.is_finite());
            prop_assert_eq!(field.measure_lipschitz().to_bits(), bound.to_bits());

            let mut rng = rand_pcg::Pcg64::seed_from_u64(!seed);
            let points: Vec<Vec3> = (0..1 << 14).map(|_| Vec3::from_array(rng.random())).collect();
            let (mut distance, mut gradient) = (vec![0.0; points.len()], vec![Vec3::ZERO; points.len()]);
            field.distance_gradient(&points, &mut distance, &mut gradient);
            let steeper = gradient.iter().filter(|g| g.length() > bound).count();
            prop_assert!(steeper <= points.len() / 1000, "{} of {} exceed {}", steeper, points.len(), bound);
            // Nor is it far above the slopes that there are.
            let steepest = gradient.iter().fold(0f32, |m, g| m.max(g.length()));
            prop_assert!(bound <= 1.0 || steepest > 0.7 * bound, "steepest {} of {}", steepest, bound);
        }
    }

    #[test]
    fn the_bound_is_1_at_least_and_grows_with_the_field() {
        assert_eq!(field("sdf-tiny", 1, 0.0).lipschitz(), 1.0);
        let [one, two] = [4.0, 8.0].map(|scale| field("sdf-tiny", 1, scale).lipschitz());
        assert!(one > 1.0 && (two / one - 2.0).abs() < 1e-3, "{one} {two}");
    }

    #[test]
    fn a_given_bound_is_kept_where_it_can_be_one() {
        let config = preset("sdf-tiny").unwrap();
        let (grid, net) = parameters(&config.spec(), &config.init);
        let with = |bound| NeuralSdf::new(&config.spec(), grid.clone(), &net, Some(bound)).lipschitz();
        assert_eq!(with(7.5), 7.5);
        assert_eq!([with(0.0), with(f32::NAN), with(f32::INFINITY)], [with(-1.0); 3]);
    }
}
