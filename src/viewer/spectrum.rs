//! Local spectrum at a point: amplitude and frequency of every sinusoid, and what they add up to.

use std::f64::consts::TAU;

use glam::DVec3;
use nstr_field::jet::Order;
use nstr_field::model::Model;
use nstr_field::point_evaluator::PointEvaluator;
use nstr_pipeline::compact::without_untrained_transport;
use nstr_spec::FieldSpec;

/// One sinusoid of the global basis with its amplitude at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Component {
    /// Number in the basis.
    pub index: usize,
    /// Wave vector, cycles per edge of the field's cube.
    pub wave: DVec3,
    /// S_k; of several channels the root of the sum of squares. Signed where there is one channel.
    pub amplitude: f64,
    /// Mean of |S_k| over points in sight; `None` where it was not measured.
    pub typical: Option<f64>,
}

impl Component {
    /// Cycles per edge of the field's cube.
    pub fn frequency(&self) -> f64 {
        self.wave.length()
    }
}

/// Spectrum of a field at a point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LocalSpectrum {
    /// Sinusoids by rising frequency; empty where the field has none that S modulates.
    pub components: Vec<Component>,
    /// Latent features, which stand for S where it modulates nothing.
    pub latent: Vec<f64>,
    /// Channels that each sinusoid has an amplitude for.
    pub channels: usize,
    /// ‖∇S‖, per unit of field coordinates.
    pub gradient_norm: f64,
    /// ‖∇S − F‖, per unit of field coordinates; `None` where the model has no trained
    /// transport network.
    pub residual: Option<f64>,
}

impl LocalSpectrum {
    /// Spectrum of `model` at `unit`, coordinates of the field. `typical` holds the mean of |S| of each value over other points
    /// (of several channels: the root of the sum of squares of each sinusoid's), or nothing.
    pub fn at(model: &Model, unit: DVec3, typical: &[f64]) -> Self {
        let spec = &model.spec;
        let evaluator = PointEvaluator::new(spec, &model.grid, &model.net);
        let found = evaluator.at(&unit.to_array(), Order::First);
        let channels = spec.channels().unwrap_or(1).max(1);
        // The initial F says nothing about the field.
        let trained = spec.transports() && without_untrained_transport(model).spec.transports();
        let (gradient_norm, residual) = (found.spectrum.gradient_norm(), found.residual().filter(|_| trained));
        if !spec.modulates() || spec.basis_width() == 0 {
            let latent = found.spectrum.values().to_vec();
            return Self { components: Vec::new(), latent, channels, gradient_norm, residual };
        }
        let layout = evaluator.layout().basis;
        let (count, gain) = (layout.outputs, f64::from(layout.gain));
        let component = |k: usize| {
            let omega = |j: usize| gain * evaluator.net()[layout.weight + j * count + k] / TAU;
            Component {
                index: k,
                wave: DVec3::new(omega(0), omega(1), omega(2)),
                amplitude: amplitude(&found.spectrum.values()[k * channels..][..channels]),
                typical: typical.get(k).copied(),
            }
        };
        let mut components: Vec<Component> = (0..count).map(component).collect();
        components.sort_by(|a, b| a.frequency().total_cmp(&b.frequency()));
        Self { components, latent: Vec::new(), channels, gradient_norm, residual }
    }

    /// Mean frequency, weighted by the squares of the amplitudes, and its standard deviation; cycles per edge of the cube. `None`
    /// without energy.
    pub fn centroid(&self) -> Option<(f64, f64)> {
        let energy: f64 = self.components.iter().map(|c| c.amplitude.powi(2)).sum();
        let mean = |of: &dyn Fn(f64) -> f64| {
            self.components.iter().map(|c| c.amplitude.powi(2) * of(c.frequency())).sum::<f64>() / energy
        };
        let centre = mean(&|f| f);
        (energy > 0.0).then(|| (centre, mean(&|f| (f - centre).powi(2)).sqrt()))
    }

    /// The sinusoid of the largest amplitude.
    pub fn strongest(&self) -> Option<&Component> {
        self.components.iter().max_by(|a, b| a.amplitude.abs().total_cmp(&b.amplitude.abs()))
    }
}

/// The value of one channel, or the root of the sum of squares of several.
fn amplitude(values: &[f64]) -> f64 {
    match values {
        [one] => *one,
        several => several.iter().map(|v| v * v).sum::<f64>().sqrt(),
    }
}

/// Mean over points of each sinusoid's |S|, from S (`[point][spectrum value]`) at points that `uses` accepts by number.
pub(crate) fn typical_amplitudes(spec: &FieldSpec, spectrum: &[f32], uses: impl Fn(usize) -> bool) -> Vec<f64> {
    let channels = spec.channels().unwrap_or(1).max(1);
    let (width, count) = (spec.spectrum_width(), spec.basis_width());
    if !spec.modulates() || width == 0 || count * channels != width {
        return Vec::new();
    }
    let (mut sums, mut points) = (vec![0.0; count], 0usize);
    for (_, row) in spectrum.chunks_exact(width).enumerate().filter(|(i, _)| uses(*i)) {
        points += 1;
        for (sum, values) in sums.iter_mut().zip(row.chunks_exact(channels)) {
            *sum += values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        }
    }
    if points == 0 {
        return Vec::new();
    }
    sums.iter_mut().for_each(|s| *s /= points as f64);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amplitudes_of_channels_are_norms_and_one_keeps_its_sign() {
        assert_eq!(amplitude(&[-0.5]), -0.5);
        assert!((amplitude(&[3.0, -4.0]) - 5.0).abs() < 1e-12);
    }

    #[test]
    fn the_centroid_follows_the_energy() {
        let component =
            |f: f64, amplitude| Component { index: 0, wave: DVec3::new(0.0, f, 0.0), amplitude, typical: None };
        let mut spectrum = LocalSpectrum {
            components: vec![component(1.0, 2.0), component(3.0, -2.0)],
            latent: Vec::new(),
            channels: 1,
            gradient_norm: 0.0,
            residual: None,
        };
        assert_eq!(spectrum.centroid(), Some((2.0, 1.0)));
        spectrum.components[1].amplitude = 1e-9;
        let (centre, spread) = spectrum.centroid().unwrap();
        assert!((centre - 1.0).abs() < 1e-9 && spread < 1e-6);
        assert_eq!(spectrum.strongest().unwrap().frequency(), 1.0);
        spectrum.components.iter_mut().for_each(|c| c.amplitude = 0.0);
        assert_eq!(spectrum.centroid(), None);
    }
}
