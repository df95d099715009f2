//! Radiance fields given by a function, for tests, benchmarks and examples.

use glam::Vec3;

use crate::fields::RadianceField;
use crate::occupancy::Occupancy;

/// Half step of the differences in [`AnalyticRadiance`]'s gradient.
const STEP: f32 = 1e-3;

/// Radiance field given by a function of a point and a viewing direction: red, green, blue, σ; σ must not depend on the
/// direction. Its density's gradient is taken by central differences.
pub struct AnalyticRadiance<F> {
    function: F,
    occupancy: Occupancy,
}

impl<F: Fn(Vec3, Vec3) -> [f32; 4] + Sync> AnalyticRadiance<F> {
    /// A field that is empty outside `occupancy`.
    pub fn new(occupancy: Occupancy, function: F) -> Self {
        Self { function, occupancy }
    }

    /// A field whose occupied cells are those with density at a corner, edge or centre; parts between these can be missed.
    pub fn sampled(cells: usize, function: F) -> Self {
        let occupancy = Occupancy::from_bits(cells, |i| {
            let at = Vec3::new((i % cells) as f32, (i / cells % cells) as f32, (i / (cells * cells)) as f32);
            let corner = |k: usize| Vec3::new((k % 3) as f32, (k / 3 % 3) as f32, (k / 9) as f32) * 0.5;
            (0..27).any(|k| function((at + corner(k)) / cells as f32, Vec3::Z)[3] > 0.0)
        });
        Self { function, occupancy }
    }

    fn sigma(&self, p: Vec3) -> f32 {
        (self.function)(p, Vec3::Z)[3]
    }
}

impl<F: Fn(Vec3, Vec3) -> [f32; 4] + Sync> RadianceField for AnalyticRadiance<F> {
    fn density(&self, points: &[Vec3], density: &mut [f32]) {
        points.iter().zip(density).for_each(|(p, d)| *d = self.sigma(*p));
    }

    fn radiance(&self, points: &[Vec3], directions: &[Vec3], out: &mut [[f32; 4]]) {
        points.iter().zip(directions).zip(out).for_each(|((p, d), o)| *o = (self.function)(*p, *d));
    }

    fn density_gradient(&self, points: &[Vec3], density: &mut [f32], gradient: &mut [Vec3]) {
        self.density(points, density);
        for (p, g) in points.iter().zip(gradient) {
            let slope = |e: Vec3| (self.sigma(*p + e * STEP) - self.sigma(*p - e * STEP)) / (2.0 * STEP);
            *g = Vec3::new(slope(Vec3::X), slope(Vec3::Y), slope(Vec3::Z));
        }
    }

    fn spectrum_width(&self) -> usize {
        2
    }

    /// A stand-in spectrum, S = (x, y²) with a residual of z, so that its layers can be tested.
    fn spectrum(&self, points: &[Vec3], spectrum: &mut [f32], gradient_norm: &mut [f32], residual: &mut [f32]) {
        let norms = gradient_norm.iter_mut().zip(residual);
        for ((p, s), (g, r)) in points.iter().zip(spectrum.chunks_exact_mut(2)).zip(norms) {
            s.copy_from_slice(&[p.x, p.y * p.y]);
            *g = (1.0 + 4.0 * p.y * p.y).sqrt();
            *r = p.z;
        }
    }

    fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }
}
