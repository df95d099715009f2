//! Proven bounds of a field over boxes: [`BoxEvaluator`].
//!
//! A field is computed with affine forms in place of numbers (de Figueiredo & Stolfi 2004): multilinear in the coordinates of the
//! box, with a remainder that bounds all else. The forms go forward through the latent grid, the spectrum network, the sinusoids and
//! the decoder; then each output is pulled back through the same linearisations as one linear function of the features and
//! sinusoids, which is closer. Both hold, and the enclosure is their common part. Interval evaluation of expressions for
//! rendering is known from fidget (Keeter 2020, *Massively parallel rendering of complex closed-form implicit surfaces*); what is
//! particular here are interpolated grids.
//!
//! Computed in `f64`. Rounding, of the bounds and of the programs that the bounds are about, is part of the remainder
//! ([`Rounding`]).

mod form;
mod latent;
mod linearize;
mod network;
mod rounding;
mod slope;
mod surface;
#[cfg(test)]
mod surface_tests;
#[cfg(test)]
mod tests;

use nstr_spec::{Activation, FieldSpec};
use thiserror::Error;

pub use form::Interval;
pub use rounding::Rounding;

use form::{Bilinear, Form};
use latent::{LatentBounds, LatentForms, Region};
use linearize::sine;
use network::{Linear, Network, Pass, Side};
use slope::Slope;

/// A field that no bounds can be proven for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BoundsError {
    /// A parameter is infinite or not a number.
    #[error("parameter {index} of the {part} is not finite; nothing can be proven about the field")]
    NotFinite {
        /// `grid` or `net`.
        part: &'static str,
        /// Its place there.
        index: usize,
    },
    /// The parameters do not have the spec's lengths.
    #[error("{grid} and {net} parameters for a field of {want_grid} and {want_net}")]
    Lengths {
        /// Length of the grid.
        grid: usize,
        /// Length of the net.
        net: usize,
        /// The spec's length of the grid.
        want_grid: usize,
        /// The spec's length of the net.
        want_net: usize,
    },
}

/// A field's parameters, ready to be enclosed over boxes.
///
/// Every axis of [`FieldSpec`] is covered that takes part in the decoder's values. Of a radiance field these are the raw density and the
/// features of the colour head; the head itself, which depends on the viewing direction, and the transport network are not.
#[derive(Clone, Debug)]
pub struct BoxEvaluator<'a> {
    spec: &'a FieldSpec,
    rounding: Rounding,
    latent: LatentBounds<'a>,
    basis: Network,
    spectrum: Network,
    decoder: Network,
}

/// Everything over one box, from the inputs to the values.
struct BoxPass {
    coordinates: Vec<Form>,
    latent: LatentForms,
    phases: Pass,
    /// Sinusoids.
    waves: Vec<Form>,
    spectrum: Pass,
    decoder: Pass,
}

impl<'a> BoxEvaluator<'a> {
    /// A field of `spec` with its parameters, for the values that programs with this `rounding` compute.
    ///
    /// # Errors
    /// [`BoundsError`] for parameters that are not finite, or of wrong number.
    pub fn new(spec: &'a FieldSpec, grid: &'a [f32], net: &[f32], rounding: Rounding) -> Result<Self, BoundsError> {
        if (grid.len(), net.len()) != (spec.grid_len(), spec.net_len()) {
            let (want_grid, want_net) = (spec.grid_len(), spec.net_len());
            return Err(BoundsError::Lengths { grid: grid.len(), net: net.len(), want_grid, want_net });
        }
        for (part, values) in [("grid", grid), ("net", net)] {
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(BoundsError::NotFinite { part, index });
            }
        }
        let layout = spec.net_layout();
        let network = |slots: &[_], activation| Network::new(net, slots, activation, rounding);
        let basis = if spec.basis_width() > 0 { &[layout.basis][..] } else { &[] };
        Ok(Self {
            spec,
            rounding,
            latent: LatentBounds::new(spec, grid, rounding),
            basis: network(basis, Activation::Sine),
            spectrum: network(&layout.spectrum, spec.spectrum.activation),
            decoder: network(&layout.decoder, spec.decoder.activation),
        })
    }

    /// The field's shape.
    pub fn spec(&self) -> &FieldSpec {
        self.spec
    }

    /// Range of each output over the points between two corners, both included, in field coordinates. The whole line where
    /// nothing is known, or the corners are not [`FieldSpec::dim`] finite numbers in order.
    pub fn enclose(&self, low: &[f64], high: &[f64]) -> Vec<Interval> {
        let region = Region::new(low, high).filter(|_| low.len() == self.spec.dim);
        let Some(region) = region else { return vec![Interval::WHOLE; self.spec.outputs] };
        let pass = self.forward(&region);
        let close = |(o, form): (usize, &Form)| match form.interval() {
            // Sums may overflow somewhere, perhaps where the way back would not look.
            Interval::WHOLE => Interval::WHOLE,
            range => range.intersection(Interval {
                low: self.pull_back(&pass, o, Side::Below).interval().low,
                high: self.pull_back(&pass, o, Side::Above).interval().high,
            }),
        };
        pass.decoder.outputs.iter().enumerate().map(close).collect()
    }

    /// True if every value of output 0 between two corners, both included, is proven to be positive, or else negative.
    pub fn keeps_sign(&self, low: &[f64], high: &[f64], positive: bool) -> bool {
        let region = Region::new(low, high).filter(|_| low.len() == self.spec.dim);
        let (Some(region), true) = (region, self.spec.outputs > 0) else { return false };
        let pass = self.forward(&region);
        let range = pass.decoder.outputs[0].interval();
        if range == Interval::WHOLE {
            return false;
        }
        match positive {
            true => range.low > 0.0 || self.pull_back(&pass, 0, Side::Below).interval().low > 0.0,
            false => range.high < 0.0 || self.pull_back(&pass, 0, Side::Above).interval().high < 0.0,
        }
    }

    /// Bound of the length of output 0's gradient between two corners, both included, by the exact formulas: a Lipschitz
    /// constant over the box. Infinite where nothing is known.
    pub fn lipschitz(&self, low: &[f64], high: &[f64]) -> f64 {
        // Of a latent cell that the box reaches into by next to nothing no slope can be told; a larger box reaches further.
        let grown = |share: f64| {
            let [mut wider_low, mut wider_high] = [low.to_vec(), high.to_vec()];
            for ((a, b), (low, high)) in wider_low.iter_mut().zip(&mut wider_high).zip(low.iter().zip(high)) {
                let by = share * (high - low);
                (*a, *b) = (*a - by, *b + by);
            }
            self.slope_within(&wider_low, &wider_high)
        };
        let slope = self.slope_within(low, high);
        if slope.is_finite() { slope } else { [0.01, 0.04].map(grown).into_iter().fold(slope, f64::min) }
    }

    /// [`Self::lipschitz`] of this box as it is.
    fn slope_within(&self, low: &[f64], high: &[f64]) -> f64 {
        let region = Region::new(low, high).filter(|_| low.len() == self.spec.dim);
        let (Some(region), true) = (region, self.spec.outputs > 0) else { return f64::INFINITY };
        let pass = self.forward(&region);
        if pass.decoder.outputs[0].interval() == Interval::WHOLE {
            return f64::INFINITY;
        }
        let squares: f64 = self.differentiate(&pass, 0).iter().map(|g| g.magnitude().powi(2)).sum();
        let slope = squares.sqrt() * (1.0 + 1e-12);
        if slope.is_finite() { slope } else { f64::INFINITY }
    }

    /// Gradient of output `o` of the exact formulas.
    fn differentiate(&self, pass: &BoxPass, o: usize) -> [Slope; 3] {
        let mut outputs = vec![Slope::default(); self.spec.outputs];
        outputs[o].mid = 1.0;
        let inputs = self.decoder.differentiate(&pass.decoder, outputs);
        let (modulated, others) = inputs.split_at(self.spec.modulated_width());
        let width = pass.latent.forms.len();
        let (skipped, from_x) = others.split_at(if self.spec.skip_latent { width } else { 0 });
        let mut latent = vec![Slope::default(); width];
        let mut gradient = [Slope::default(); 3];
        latent.iter_mut().zip(skipped).for_each(|(to, slope)| to.add(*slope));
        gradient.iter_mut().zip(from_x).for_each(|(to, slope)| to.add(*slope));

        let mut waves = modulated.to_vec();
        if self.spec.modulates() {
            let channels = self.spec.channels();
            let s = &pass.spectrum.outputs;
            waves = vec![Slope::default(); pass.waves.len()];
            let columns = channels.map_or(1, |c| c.max(1));
            let mut to_spectrum = vec![Slope::default(); s.len()];
            for (i, (s, to)) in s.iter().zip(&mut to_spectrum).enumerate() {
                let k = i / columns;
                let wave = &pass.waves[k];
                let slope = if channels.is_some() { modulated[i % columns] } else { modulated[k] };
                *to = slope.product(wave.range());
                waves[k].add(slope.product(s.range()));
            }
            let inputs = self.spectrum.differentiate(&pass.spectrum, to_spectrum);
            let (from_z, from_x) = inputs.split_at(width);
            latent.iter_mut().zip(from_z).for_each(|(to, slope)| to.add(*slope));
            gradient.iter_mut().zip(from_x).for_each(|(to, slope)| to.add(*slope));
        }
        for (wave, phase) in waves.iter_mut().zip(&pass.phases.outputs) {
            let range = phase.interval();
            *wave = wave.product(linearize::derivative(Activation::Sine, range));
        }
        let from_phases = self.basis.differentiate(&pass.phases, waves);
        gradient.iter_mut().zip(from_phases.iter().take(self.spec.dim)).for_each(|(to, slope)| to.add(*slope));
        gradient.iter_mut().zip(pass.latent.differentiate(&latent)).for_each(|(to, slope)| to.add(slope));
        gradient
    }

    fn forward(&self, region: &Region) -> BoxPass {
        let coordinates: Vec<Form> = (0..self.spec.dim).map(|j| region.coordinate(j)).collect();
        let latent = self.latent.enclose(region);
        let phases = if self.basis.is_empty() { Pass::default() } else { self.basis.forward(&coordinates) };
        let waves: Vec<Form> = phases.outputs.iter().map(|form| self.wave(form)).collect();
        let mut inputs = latent.forms.clone();
        inputs.extend(self.spec.spectrum_input.then_some(&coordinates).into_iter().flatten());
        // Without a spectrum network the features stand for S, which then takes no part.
        let spectrum = self.spectrum.forward(&inputs);
        let mut inputs = match self.spec.channels() {
            Some(channels) => self.channel_sums(&spectrum.outputs, &waves, channels),
            None if self.spec.modulates() => {
                spectrum.outputs.iter().zip(&waves).map(|(s, wave)| self.modulated(s, wave)).collect()
            }
            None => waves.clone(),
        };
        inputs.extend(self.spec.skip_latent.then_some(&latent.forms).into_iter().flatten());
        inputs.extend(self.spec.input_coords.then_some(&coordinates).into_iter().flatten());
        let decoder = self.decoder.forward(&inputs);
        BoxPass { coordinates, latent, phases, waves, spectrum, decoder }
    }

    /// Sine of a phase.
    fn wave(&self, phase: &Form) -> Form {
        let range = phase.interval();
        let line = sine(range);
        let error = line.error + self.rounding.sine_error(range.low.abs().max(range.high.abs()));
        phase.scaled(line.slope, line.offset, error)
    }

    /// `S_k sin θ_k`.
    fn modulated(&self, s: &Form, wave: &Form) -> Form {
        let mut form = s.product(wave);
        form.radius += self.product_rounding(s, wave, 1);
        form
    }

    /// `Σ_k S_{k,c} sin θ_k` of every channel c.
    fn channel_sums(&self, s: &[Form], waves: &[Form], channels: usize) -> Vec<Form> {
        let mut sums = vec![Form::default(); channels];
        for (row, wave) in s.chunks_exact(channels.max(1)).zip(waves) {
            for (sum, s) in sums.iter_mut().zip(row) {
                let mut product = s.product(wave);
                product.radius += self.product_rounding(s, wave, waves.len());
                sum.add_scaled(1.0, &product);
            }
        }
        sums
    }

    /// Rounding of one of `n` products that are added.
    fn product_rounding(&self, s: &Form, wave: &Form, n: usize) -> f64 {
        self.rounding.gamma(n + 2) * s.magnitude() * wave.magnitude() + self.rounding.underflow(1)
    }

    /// A bound of output `o` from one side as one linear function of features, sinusoids and coordinates, and then of the coordinates alone.
    fn pull_back(&self, pass: &BoxPass, o: usize, side: Side) -> Form {
        let mut linear = self.decoder.pull_back(&pass.decoder, Linear::pick(o, self.spec.outputs), side);
        let inputs = std::mem::take(&mut linear.factors);
        let (modulated, others) = inputs.split_at(self.spec.modulated_width());
        let width = pass.latent.forms.len();
        let mut latent = vec![0.0; width];
        let mut coordinates = vec![0.0; self.spec.dim];
        let (skipped, from_x) = others.split_at(if self.spec.skip_latent { width } else { 0 });
        latent.iter_mut().zip(skipped).for_each(|(to, factor)| *to = *factor);
        coordinates.iter_mut().zip(from_x).for_each(|(to, factor)| *to = *factor);

        let mut waves = modulated.to_vec();
        if self.spec.modulates() {
            let channels = self.spec.channels();
            let s = &pass.spectrum.outputs;
            let s_len = s.len();
            let mut factors = vec![0.0; s.len()];
            waves = vec![0.0; pass.waves.len()];
            let (columns, sums) = channels.map_or((1, 1), |c| (c.max(1), pass.waves.len()));
            for (i, (s, to)) in s.iter().zip(&mut factors).enumerate() {
                let k = i / columns;
                let wave = &pass.waves[k];
                let factor = if channels.is_some() { modulated[i % columns] } else { modulated[k] };
                if factor == 0.0 {
                    continue;
                }
                let rest = Bilinear::of(s, wave);
                *to = factor * wave.mid;
                waves[k] += factor * s.mid;
                linear.symbols.iter_mut().zip(rest.slopes).for_each(|(to, slope)| *to += factor * slope);
                linear.add_constant(factor * (rest.shift - s.mid * wave.mid));
                // The rounding of both factors is within the slack of the remainder, but for sums over channels.
                let slack = 4.0 * (columns + s_len + 2) as f64 * f64::EPSILON * s.magnitude() * wave.magnitude();
                linear.error += factor.abs() * (rest.error + slack + self.product_rounding(s, wave, sums));
            }
            linear.factors = factors;
            linear = self.spectrum.pull_back(&pass.spectrum, linear, side);
            let (from_z, from_x) = linear.factors.split_at(width);
            let mut rounded = 0.0;
            let forms = pass.latent.forms.iter().chain(&pass.coordinates);
            let sums = latent.iter_mut().chain(&mut coordinates).zip(forms);
            for ((to, form), factor) in sums.zip(from_z.iter().chain(from_x)) {
                *to += factor;
                rounded += f64::EPSILON * to.abs() * form.magnitude();
            }
            linear.error += rounded;
        }

        let mut value = pass.latent.combined(&latent);
        let leaves = waves.iter().zip(&pass.waves).chain(coordinates.iter().zip(&pass.coordinates));
        leaves.for_each(|(factor, form)| value.add_scaled(*factor, form));
        value.add_scaled(1.0, &Form { slopes: linear.symbols, ..Form::default() });
        value.scaled(1.0, linear.constant, linear.whole_error())
    }
}
