//! Edges, texture and smooth parts of a signal, classified by the local energy of its differences at two scales.

/// Kind of place that a sample lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Hardly any change nearby.
    Smooth,
    /// Isolated change: an outline, an onset.
    Edge,
    /// Change all around: texture, a steady tone.
    Texture,
}

impl Region {
    /// All regions, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Edge, Self::Texture, Self::Smooth];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edges",
            Self::Texture => "texture",
            Self::Smooth => "smooth",
        }
    }
}

/// Standard deviation of the fine blur, in samples.
pub const FINE_SIGMA: f64 = 1.5;
/// Standard deviation of the coarse blur, in samples.
pub const COARSE_SIGMA: f64 = 6.0;
/// Fraction of the mean energy below which a sample is smooth.
pub const SMOOTH_THRESHOLD: f64 = 0.25;
/// Ratio of fine to coarse energy from which a sample is an edge: the geometric mean of a line's, `COARSE_SIGMA / FINE_SIGMA`,
/// and an even texture's, 1.
pub const EDGE_RATIO: f64 = 2.0;

/// Squared length of the signal's differences (`[row][column][channel]`, `size` columns and rows), over all channels; one
/// row for a sound.
pub fn energy(signal: &[f64], channels: usize, size: (usize, usize)) -> Vec<f64> {
    let (w, h) = size;
    let at = |x: usize, y: usize, c: usize| signal[(y * w + x) * channels + c];
    let slope = |count: usize, i: usize, of: &dyn Fn(usize) -> f64| {
        let (low, high) = (i.saturating_sub(1), (i + 1).min(count - 1));
        if high > low { (of(high) - of(low)) / (high - low) as f64 } else { 0.0 }
    };
    (0..w * h)
        .map(|i| {
            let (x, y) = (i % w, i / w);
            let part = |c: usize| slope(w, x, &|x| at(x, y, c)).powi(2) + slope(h, y, &|y| at(x, y, c)).powi(2);
            (0..channels).map(part).sum()
        })
        .collect()
}

/// The region of every sample.
///
/// With the energy of differences blurred by [`FINE_SIGMA`] and by [`COARSE_SIGMA`] samples: smooth where the fine one is below
/// [`SMOOTH_THRESHOLD`] of its mean, an edge where it is [`EDGE_RATIO`] times the coarse one or more, texture elsewhere.
pub fn regions(signal: &[f64], channels: usize, size: (usize, usize)) -> Vec<Region> {
    let energy = energy(signal, channels, size);
    let (fine, coarse) = (blur(&energy, size, FINE_SIGMA), blur(&energy, size, COARSE_SIGMA));
    let smooth = SMOOTH_THRESHOLD * fine.iter().sum::<f64>() / fine.len().max(1) as f64;
    let of = |(fine, coarse): (&f64, &f64)| match () {
        _ if *fine <= smooth => Region::Smooth,
        _ if *fine >= EDGE_RATIO * coarse => Region::Edge,
        _ => Region::Texture,
    };
    fine.iter().zip(&coarse).map(of).collect()
}

/// Gaussian blur of standard deviation `sigma` along columns and rows, borders continued.
pub fn blur(values: &[f64], (w, h): (usize, usize), sigma: f64) -> Vec<f64> {
    let reach = (3.0 * sigma).ceil() as isize;
    let weights: Vec<f64> = (-reach..=reach).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let pass = |values: &[f64], count: usize, stride: usize, start: &dyn Fn(usize) -> usize, out: &mut [f64]| {
        for line in 0..values.len() / count.max(1) {
            let first = start(line);
            for i in 0..count {
                let near = |k: usize| (i as isize + k as isize - reach).clamp(0, count as isize - 1) as usize;
                let sum: f64 = weights.iter().enumerate().map(|(k, w)| w * values[first + near(k) * stride]).sum();
                out[first + i * stride] = sum / total;
            }
        }
    };
    let mut across = values.to_vec();
    pass(values, w, 1, &|line| line * w, &mut across);
    if h < 2 {
        return across;
    }
    let mut out = across.clone();
    pass(&across, h, w, &|line| line, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_sums_and_constants() {
        assert!(blur(&[2.0; 50], (10, 5), 1.5).iter().all(|v| (v - 2.0).abs() < 1e-12));
        let mut spike = vec![0.0; 31 * 31];
        spike[15 * 31 + 15] = 1.0;
        let out = blur(&spike, (31, 31), 2.0);
        assert!((out.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((out[15 * 31 + 15] - 1.0 / (std::f64::consts::TAU * 4.0)).abs() < 1e-3);
    }

    #[test]
    fn outlines_texture_and_flat_parts_are_told_apart() {
        let n = 96usize;
        // Left: a step; right: a checkerboard of waves.
        let value = |i: usize| {
            let (x, y) = (i % n, i / n);
            if x < n / 2 {
                if x < n / 4 { 0.0 } else { 1.0 }
            } else {
                0.5 + 0.5 * (x as f64 * 0.9).sin() * (y as f64 * 0.9).sin()
            }
        };
        let signal: Vec<f64> = (0..n * n).map(value).collect();
        let found = regions(&signal, 1, (n, n));
        let at = |x: usize, y: usize| found[y * n + x];
        assert_eq!([at(n / 4, 40), at(n / 4, 60)], [Region::Edge; 2]);
        assert_eq!([at(8, 40), at(n / 4 + 10, 40)], [Region::Smooth; 2]);
        let textured = (n / 2 + 12..n - 8).filter(|x| at(*x, 50) == Region::Texture).count();
        assert!(textured > 24, "{textured}");
    }

    #[test]
    fn sounds_are_rows() {
        let n = 400usize;
        let signal: Vec<f64> = (0..n)
            .map(|i| {
                if i > 200 {
                    (i as f64 * 1.1).sin()
                } else if i == 80 {
                    3.0
                } else {
                    0.0
                }
            })
            .collect();
        let found = regions(&signal, 1, (n, 1));
        assert_eq!((found[80], found[20], found[300]), (Region::Edge, Region::Smooth, Region::Texture));
        assert!(regions(&[], 1, (0, 0)).is_empty());
    }
}
