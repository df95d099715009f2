//! Difference of two images.

use crate::Rgba8;

/// Difference of two images of one size, in 8-bit steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Mean over all channels.
    pub mean: f64,
    /// Greatest of any channel.
    pub max: u8,
    /// Fraction of pixels with a channel that differs by more than the stated threshold.
    pub outliers: f64,
}

/// Compares two images; pixels that differ by more than `threshold` in a channel count as outliers. `None` if their
/// sizes differ.
pub fn compare(a: &Rgba8, b: &Rgba8, threshold: u8) -> Option<Difference> {
    if (a.width, a.height) != (b.width, b.height) {
        return None;
    }
    let steps = |(a, b): (&[u8], &[u8])| -> [u8; 4] { std::array::from_fn(|c| a[c].abs_diff(b[c])) };
    let (mut sum, mut max, mut far) = (0u64, 0, 0usize);
    for pixel in a.data.chunks_exact(4).zip(b.data.chunks_exact(4)).map(steps) {
        let most = pixel.into_iter().max().unwrap_or(0);
        sum += pixel.iter().map(|&v| v as u64).sum::<u64>();
        max = max.max(most);
        far += (most > threshold) as usize;
    }
    let count = (a.data.len() / 4).max(1);
    Some(Difference { mean: sum as f64 / (4 * count) as f64, max, outliers: far as f64 / count as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_differences() {
        let a = Rgba8::from_fn(4, 1, |_| [10, 20, 30, 255]);
        let mut b = a.clone();
        b.data[5] += 8;
        let d = compare(&a, &b, 3).unwrap();
        assert_eq!((d.max, d.outliers, d.mean), (8, 0.25, 0.5));
        assert_eq!(compare(&a, &b, 8).unwrap().outliers, 0.0);
        assert_eq!(compare(&a, &Rgba8::from_fn(2, 2, |_| [0; 4]), 0), None);
    }
}
