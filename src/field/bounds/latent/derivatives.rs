//! Derivatives of the latent features over a box.
//!
//! Along one axis an interpolated feature is linear within a cell, and its derivative is multilinear in the other coordinates: it
//! is extreme on the edges of the lattice of samples, where it follows from neighbouring samples. Features are summed before
//! they are bounded, since what they have in common cancels.

use super::{LatentForms, LevelSamples, Plane};
use crate::bounds::form::{AXES_OF, Form, SYMBOLS};
use crate::bounds::slope::Slope;

/// Derivatives of a level's features over a box, by the program's formulas.
pub(super) enum Derivatives {
    /// Those of the forms themselves, for boxes within one cell.
    Forms {
        /// Half edges of the box.
        half: [f64; 3],
    },
    /// Factor on the difference between neighbouring samples, `[axis][interval]`.
    Differences([Vec<Slope>; 3]),
    /// Bound of each feature's magnitude along every axis that the level depends on.
    Bounds(Vec<f64>, [bool; 3]),
}

/// Factor on the difference of the samples on two neighbouring planes that gives the derivative between them.
pub(super) fn rate(from: Plane, to: Plane, cells: f64, smooth: bool) -> Slope {
    let rise = to.weight_after(from, cells);
    // A little more than rounding of the weights makes of it.
    let slack = 1e-9;
    let (a, b) = (from.g.clamp(0.0, cells), to.g.clamp(0.0, cells));
    if b - a <= 0.0 {
        // Outside the cube features stand still.
        return Slope::default();
    }
    if rise < 1e-4 {
        return Slope::within(f64::INFINITY);
    }
    if !smooth {
        return Slope { mid: cells / rise, radius: slack * cells / rise };
    }
    let cell = (0.5 * (a + b)).floor().min(cells - 1.0);
    let slope = |t: f64| 6.0 * t * (1.0 - t);
    let (a, b) = ((a - cell).clamp(0.0, 1.0), (b - cell).clamp(0.0, 1.0));
    let most = if a <= 0.5 && b >= 0.5 { 1.5 } else { slope(a).max(slope(b)) };
    let least = slope(a).min(slope(b));
    let factor = cells / rise;
    Slope { mid: 0.5 * (least + most) * factor, radius: (0.5 * (most - least) + slack) * factor }
}

impl Plane {
    /// How much the weight of the upper vertex grows from a neighbouring plane below to this one.
    fn weight_after(self, below: Plane, cells: f64) -> f64 {
        let middle = (0.5 * (below.g + self.g)).clamp(0.0, cells);
        let cell = middle.floor().min(cells - 1.0);
        // A plane on a cell's upper border may count as the next cell's lower one.
        let weight = |plane: Plane| plane.weight + (plane.cell as f64 - cell);
        weight(self) - weight(below)
    }
}

impl LatentForms {
    /// Derivatives along each axis of `Σ_i factors_i z_i`.
    pub fn differentiate(&self, factors: &[Slope]) -> [Slope; 3] {
        let mut sum = [Slope::default(); 3];
        if self.product > 1 {
            self.differentiate_products(factors, &mut sum);
            return sum;
        }
        let mut factors = factors;
        for level in &self.levels {
            let (own, others) = factors.split_at(level.forms.len());
            factors = others;
            level.differentiate(own, &mut sum);
        }
        sum
    }

    /// The same for features that are products over several levels, by their magnitudes.
    fn differentiate_products(&self, factors: &[Slope], sum: &mut [Slope; 3]) {
        let groups = self.levels.chunks_exact(self.product);
        let Some(features) = self.levels.first().map(|level| level.forms.len()) else { return };
        for (group, factors) in groups.zip(factors.chunks_exact(features.max(1))) {
            for (f, factor) in factors.iter().enumerate() {
                for (i, level) in group.iter().enumerate() {
                    let others = group.iter().enumerate().filter(|(k, _)| *k != i);
                    let magnitude: f64 = others.map(|(_, level)| level.forms[f].magnitude()).product();
                    let mut pick = vec![Slope::default(); features];
                    pick[f] = Slope::within(factor.magnitude() * magnitude);
                    level.differentiate(&pick, sum);
                }
            }
        }
    }
}

impl LevelSamples {
    /// Adds the derivatives of `Σ_i factors_i z_i`, i over the level's features.
    fn differentiate(&self, factors: &[Slope], sum: &mut [Slope; 3]) {
        match &self.derivatives {
            Derivatives::Forms { half } => self.differentiate_forms(factors, half, sum),
            Derivatives::Differences(rates) => self.differentiate_samples(factors, rates, sum),
            Derivatives::Bounds(rates, depends) => {
                let bound = factors.iter().zip(rates).map(|(factor, rate)| factor.weighed(*rate)).sum();
                (0..3).filter(|j| depends[*j]).for_each(|j| sum[j].add(Slope::within(bound)));
            }
        }
    }

    fn differentiate_forms(&self, factors: &[Slope], half: &[f64; 3], sum: &mut [Slope; 3]) {
        // Sums first: what features have in common cancels before it is bounded.
        let (mut slopes, mut uncertain) = ([0.0; SYMBOLS], [0.0; SYMBOLS]);
        for (factor, form) in factors.iter().zip(&self.forms) {
            let radius = factor.radius + 4.0 * factors.len() as f64 * f64::EPSILON * factor.magnitude();
            for m in 0..SYMBOLS {
                slopes[m] += factor.mid * form.slopes[m];
                uncertain[m] += radius * form.slopes[m].abs();
            }
        }
        for j in (0..3).filter(|j| half[*j] > 0.0) {
            let of = |m: &usize| AXES_OF[*m] >> j & 1 == 1;
            let others: f64 = (0..SYMBOLS).filter(of).filter(|m| AXES_OF[*m] != 1 << j).map(|m| slopes[m].abs()).sum();
            let radius = others + (0..SYMBOLS).filter(of).map(|m| uncertain[m]).sum::<f64>();
            // The first symbols are the coordinates. Rounding of the vertices' differences is relative to the features.
            let scale = 1.0 / half[j];
            let rounded = self.rounded(factors) * scale;
            sum[j].add(Slope { mid: slopes[j] * scale, radius: radius * scale + rounded });
        }
    }

    /// Rounding of the forms in `f64`, weighed.
    fn rounded(&self, factors: &[Slope]) -> f64 {
        let each = |(factor, form): (&Slope, &Form)| factor.weighed(form.magnitude());
        16.0 * f64::EPSILON * factors.iter().zip(&self.forms).map(each).sum::<f64>()
    }

    fn differentiate_samples(&self, factors: &[Slope], rates: &[Vec<Slope>; 3], sum: &mut [Slope; 3]) {
        let features = factors.len();
        let lengths = [0, 1, 2].map(|j| self.places[j].len());
        let strides = [1, lengths[0], lengths[0] * lengths[1]];
        let samples: usize = lengths.iter().product();
        let at = |i: usize| [0, 1, 2].map(|j| i / strides[j] % lengths[j]);
        let value = |i: usize, f: usize| {
            let [a, b, c] = [0, 1, 2].map(|j| self.places[j][at(i)[j]]);
            let symbols = [a, b, c, a * b, a * c, b * c, a * b * c];
            let form = &self.forms[f];
            self.rest[i * features + f] + form.slopes.iter().zip(symbols).map(|(s, symbol)| s * symbol).sum::<f64>()
        };
        for j in 0..3 {
            // One step along the axis at a time: the derivative is extreme on an edge of the lattice.
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for i in (0..samples).filter(|i| at(*i)[j] + 1 < lengths[j]) {
                let mut step = Slope::within(2.0 * self.rounded(factors));
                for (f, factor) in factors.iter().enumerate() {
                    let rise = value(i + strides[j], f) - value(i, f);
                    step.mid += factor.mid * rise;
                    step.radius += if rise == 0.0 { 0.0 } else { factor.radius * rise.abs() };
                }
                let Slope { mid, radius } = step.product(rates[j][at(i)[j]]);
                (low, high) = (low.min(mid - radius), high.max(mid + radius));
            }
            if low <= high {
                let (mid, radius) = (0.5 * (low + high), 0.5 * (high - low));
                let rounded = 4.0 * f64::EPSILON * (low.abs() + high.abs());
                sum[j].add(Slope { mid, radius: radius + rounded });
            } else if lengths[j] > 1 {
                sum[j].add(Slope::within(f64::INFINITY));
            }
        }
    }
}
