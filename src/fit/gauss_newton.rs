//! Stochastic Gauss–Newton steps on a few parameters whose gradient comes from rays, a few at a time.
//!
//! A ray with the error `r` of its colour, the slope `s` of its loss and the Jacobian `J` of its colour has the gradient
//! `g = Jᵀs`. The curvature of its loss (Gauss–Newton, with the weights of iteratively reweighted least squares) is
//! `Jᵀ·diag(s/r)·J`; `J` itself is not known, and `g·gᵀ / (r·s)` takes its place: the curvature along the error at hand, equal to
//! it where the parameters cause the error. Running means of it over many rays make a full matrix, so that parameters whose
//! effects are alike (turning a camera and moving it sideways) and such with weak effects go equally fast. A ray takes
//! `1/memory` of its step: the mean over the last rays, without a learning rate that would have to fit their noise.

/// Rays that must have told something before the first step: fewer give no matrix.
const FIRST_RAYS: f64 = 64.0;
/// Product of error and slope up to which a ray counts as one without an error. A gradient need not vanish with the error (that of
/// the distortion term does not), and divided by next to nothing it would be a curvature beyond f32.
const LEAST_ENERGY: f64 = 1e-12;
/// Longest step, in standard deviations of the prior.
const LONGEST_STEP: f64 = 0.2;

/// What some rays tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Observation<const N: usize> {
    gradient: [f64; N],
    curvature: [[f64; N]; N],
    energy: f64,
    rays: f64,
}

impl<const N: usize> Observation<N> {
    pub const NONE: Self = Self { gradient: [0.0; N], curvature: [[0.0; N]; N], energy: 0.0, rays: 0.0 };

    /// Adds a ray: the gradient of its loss, and the product of its error and the slope of its loss.
    pub fn add(&mut self, gradient: [f64; N], energy: f64) {
        if !(energy.is_finite() && gradient.iter().all(|g| g.is_finite())) {
            return;
        }
        self.rays += 1.0;
        // Without an error nothing is to be corrected.
        if energy <= LEAST_ENERGY {
            return;
        }
        self.energy += energy;
        for (i, g) in gradient.iter().enumerate() {
            self.gradient[i] += g;
            for (to, h) in self.curvature[i].iter_mut().zip(gradient) {
                *to += g * h / energy;
            }
        }
    }
}

/// Running sums of what rays told about `N` parameters, in f32 as a checkpoint keeps them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GaussNewton<const N: usize> {
    curvature: [[f32; N]; N],
    energy: f32,
    rays: f32,
}

impl<const N: usize> GaussNewton<N> {
    pub const ZERO: Self = Self { curvature: [[0.0; N]; N], energy: 0.0, rays: 0.0 };

    /// The step after `seen`. Observations lose most of their weight (1 − 1/e) after `memory` rays. `prior` is the standard
    /// deviation that corrections are believed to have: what the last `memory` rays tell less of than that hardly moves.
    pub fn step(&mut self, seen: &Observation<N>, memory: f64, prior: f64) -> [f64; N] {
        let keep = (-seen.rays / memory).exp();
        let sum = |old: f32, new: f64| (f64::from(old) * keep + new) as f32;
        for (to, from) in self.curvature.iter_mut().zip(&seen.curvature) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = sum(*to, *from));
        }
        (self.energy, self.rays) = (sum(self.energy, seen.energy), sum(self.rays, seen.rays));
        let rays = f64::from(self.rays);
        if rays < FIRST_RAYS.min(0.25 * memory) || seen.rays == 0.0 {
            return [0.0; N];
        }
        let damping = f64::from(self.energy) / rays / (memory * prior * prior);
        let matrix: [[f64; N]; N] = std::array::from_fn(|i| {
            std::array::from_fn(|j| f64::from(self.curvature[i][j]) / rays + if i == j { damping } else { 0.0 })
        });
        let Some(whole) = solve(matrix, seen.gradient.map(|g| g / seen.rays)) else { return [0.0; N] };
        let longest = whole.iter().fold(0.0f64, |m, v| m.max(v.abs())) * (1.0 - keep);
        let gain = (1.0 - keep) * (LONGEST_STEP * prior / longest).min(1.0);
        whole.map(|v| -v * gain)
    }

    /// Appends the numbers of the state, [`Self::NUMBERS`].
    pub fn write(&self, to: &mut Vec<f32>) {
        to.extend(self.curvature.as_flattened());
        to.extend([self.energy, self.rays]);
    }

    /// How many numbers [`Self::write`] writes.
    pub const NUMBERS: usize = N * N + 2;

    /// The state from what [`Self::write`] wrote; `None` where no run leaves such numbers.
    pub fn read(from: &[f32]) -> Option<Self> {
        let (matrix, rest) = from.split_at_checked(N * N)?;
        let [energy, rays] = *rest.first_chunk::<2>()?;
        let mut curvature = [[0.0; N]; N];
        curvature.as_flattened_mut().copy_from_slice(matrix);
        let diagonal = (0..N).all(|i| curvature[i][i] >= 0.0);
        let is_sane = from.iter().all(|v| v.is_finite()) && diagonal && energy >= 0.0 && rays >= 0.0;
        is_sane.then_some(Self { curvature, energy, rays })
    }
}

/// Solution of `matrix · x = right` by Cholesky's decomposition; `None` where the matrix is not positive definite.
fn solve<const N: usize>(mut matrix: [[f64; N]; N], right: [f64; N]) -> Option<[f64; N]> {
    for i in 0..N {
        for j in 0..=i {
            let sum = matrix[i][j] - (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum::<f64>();
            matrix[i][j] = match i == j {
                true if sum > 0.0 => sum.sqrt(),
                true => return None,
                false => sum / matrix[j][j],
            };
        }
    }
    let mut x = right;
    for i in 0..N {
        x[i] = (x[i] - (0..i).map(|k| matrix[i][k] * x[k]).sum::<f64>()) / matrix[i][i];
    }
    for i in (0..N).rev() {
        x[i] = (x[i] - (i + 1..N).map(|k| matrix[k][i] * x[k]).sum::<f64>()) / matrix[i][i];
    }
    x.iter().all(|v| v.is_finite()).then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand_pcg::Pcg64;

    /// Rays whose colours' errors are linear in three parameters, of which two have nearly the same effect, with noise.
    struct Linear {
        truth: [f64; 3],
        noise: f64,
        rng: Pcg64,
    }

    impl Linear {
        fn observe(&mut self, at: [f64; 3], rays: usize) -> Observation<3> {
            let mut seen = Observation::NONE;
            let rng = &mut self.rng;
            let mut draw = move || 2.0 * rng.random::<f64>() - 1.0;
            for _ in 0..rays {
                let mut gradient = [0.0; 3];
                let mut energy = 0.0;
                for _ in 0..3 {
                    let (a, b, c) = (draw(), 0.1 * draw(), 0.3 * draw());
                    let row = [a + b, a - b, c];
                    let off: f64 = (0..3).map(|i| row[i] * (at[i] - self.truth[i])).sum();
                    let error = off + self.noise * draw();
                    (0..3).for_each(|i| gradient[i] += error * row[i]);
                    energy += error * error;
                }
                seen.add(gradient, energy);
            }
            seen
        }
    }

    /// Largest error that is left, of runs with several seeds in the mean.
    fn found(noise: f64, memory: f64, steps: usize) -> f64 {
        (0..8).map(|seed| run(noise, memory, steps, seed)).sum::<f64>() / 8.0
    }

    fn run(noise: f64, memory: f64, steps: usize, seed: u128) -> f64 {
        let mut rays = Linear { truth: [0.02, -0.01, 0.015], noise, rng: Pcg64::new(5, seed) };
        let (mut at, mut known) = ([0.0; 3], GaussNewton::<3>::ZERO);
        for _ in 0..steps {
            let seen = rays.observe(at, 10);
            let step = known.step(&seen, memory, 0.02);
            (0..3).for_each(|i| at[i] += step[i]);
        }
        (0..3).map(|i| (at[i] - rays.truth[i]).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn parameters_of_like_and_of_weak_effects_are_found_alike() {
        // Without noise they come nearer by e each 200 rays, whatever they do.
        let after = found(0.0, 200.0, 120);
        assert!(after < 0.02 * (-4.0f64).exp(), "{after}");
    }

    #[test]
    fn a_longer_memory_averages_more_noise_out() {
        let (short, long) = (found(0.02, 200.0, 600), found(0.02, 3000.0, 3000));
        assert!(long < 0.7 * short && long < 2.5e-3, "{short} {long}");
    }

    #[test]
    fn what_rays_tell_nothing_about_stays() {
        let mut known = GaussNewton::<2>::ZERO;
        let mut rng = Pcg64::new(6, 9);
        let mut at = [0.0; 2];
        for _ in 0..300 {
            let mut seen = Observation::NONE;
            for _ in 0..10 {
                let noise = rng.random::<f64>() - 0.5;
                // The second has a thousandth of the first one's effect, far below the noise.
                seen.add([at[0] - 0.01 + noise, 1e-3 * noise], (at[0] - 0.01 + noise).powi(2));
            }
            let step = known.step(&seen, 500.0, 0.02);
            (0..2).for_each(|i| at[i] += step[i]);
        }
        assert!(at[1].abs() < 2e-3, "{at:?}");
        // Nothing seen, nothing done.
        assert_eq!(known.step(&Observation::NONE, 500.0, 0.02), [0.0; 2]);
        let mut wild = Observation::NONE;
        wild.add([f64::NAN, 1.0], 1.0);
        wild.add([1.0, 1.0], f64::INFINITY);
        assert_eq!(wild, Observation::NONE);
        let mut exact = Observation::NONE;
        exact.add([1.0, 1.0], 1e-40);
        assert_eq!(exact, Observation { rays: 1.0, ..Observation::NONE });
    }

    #[test]
    fn equations_are_solved() {
        let matrix = [[4.0, 2.0, 0.4], [2.0, 5.0, -1.0], [0.4, -1.0, 3.0]];
        let wanted = [0.5, -2.0, 3.0];
        let right = matrix.map(|row| row.iter().zip(&wanted).map(|(a, b)| a * b).sum::<f64>());
        let x = solve(matrix, right).unwrap();
        assert!(x.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{x:?}");
        assert!(solve([[1.0, 2.0], [2.0, 1.0]], [1.0, 1.0]).is_none(), "not positive definite");
        assert!(solve([[f64::NAN]], [1.0]).is_none());
    }
}
