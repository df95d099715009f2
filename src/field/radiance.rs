//! A trained radiance field as the renderers and exporters see it.

use glam::Vec3;
use nstr_kernel::{FusedField, Outputs, PackedWeights};
use nstr_space::fields::RadianceField;
use nstr_space::occupancy::Occupancy;
use nstr_spec::FieldSpec;

use crate::sdf::transport_norms;

/// A field on the unit cube with density and view-dependent colour.
#[derive(Debug)]
pub struct NeuralRadiance {
    fused: FusedField,
    weights: PackedWeights,
    grid: Vec<f32>,
    occupancy: Occupancy,
}

impl NeuralRadiance {
    /// Prepares the kernels. The spec must have a colour head, `grid` and `net` its lengths.
    pub fn new(spec: &FieldSpec, grid: Vec<f32>, net: &[f32], occupancy: Occupancy) -> Self {
        let fused = FusedField::new(spec);
        let weights = fused.pack(net);
        Self { fused, weights, grid, occupancy }
    }

    /// The field's shape.
    pub fn spec(&self) -> &FieldSpec {
        self.fused.spec()
    }

    /// Rows of an evaluation, one a point.
    fn rows(&self, kind: Outputs, points: &[Vec3], mut row: impl FnMut(usize, &[f32])) {
        let width = self.fused.width(kind);
        let mut out = vec![0.0; points.len() * width];
        self.fused.evaluate(&self.weights, &self.grid, bytemuck::cast_slice(points), kind, &mut out);
        out.chunks_exact(width).enumerate().for_each(|(i, values)| row(i, values));
    }
}

impl RadianceField for NeuralRadiance {
    fn density(&self, points: &[Vec3], density: &mut [f32]) {
        self.fused.density(&self.weights, &self.grid, bytemuck::cast_slice(points), density);
    }

    fn radiance(&self, points: &[Vec3], directions: &[Vec3], out: &mut [[f32; 4]]) {
        let (x, d) = (bytemuck::cast_slice(points), bytemuck::cast_slice(directions));
        self.fused.radiance(&self.weights, &self.grid, x, d, out.as_flattened_mut());
    }

    fn density_gradient(&self, points: &[Vec3], sigma: &mut [f32], gradient: &mut [Vec3]) {
        let (at, law) = (self.spec().full_columns().gradient, self.fused.density_law());
        self.rows(Outputs::Gradient, points, |i, row| {
            sigma[i] = law.evaluate(row[0]);
            gradient[i] = Vec3::from_slice(&row[at..at + 3]) * law.slope(sigma[i]);
        });
    }

    fn sharpness(&self) -> Option<f32> {
        self.spec().density_law().sharpness().map(|k| k as f32)
    }

    fn signed_distance(&self, points: &[Vec3], distance: &mut [f32]) {
        self.rows(Outputs::Value, points, |i, row| distance[i] = row[0]);
    }

    fn spectrum_width(&self) -> usize {
        self.spec().spectrum_width()
    }

    fn spectrum(&self, points: &[Vec3], spectrum: &mut [f32], gradient_norm: &mut [f32], residual: &mut [f32]) {
        let (columns, width) = (self.spec().full_columns(), self.spectrum_width());
        self.rows(Outputs::Full, points, |i, row| {
            spectrum[i * width..(i + 1) * width].copy_from_slice(&row[columns.spectrum..columns.spectrum_gradient]);
            (gradient_norm[i], residual[i]) = transport_norms(row, &columns);
        });
    }

    fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }
}
