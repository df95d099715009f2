//! Sample positions within a pixel.

/// Weights of samples around a pixel's centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Filter {
    /// Evenly over the pixel.
    #[default]
    Box,
    /// A tent that reaches one pixel to each side: softer edges.
    Tent,
}

impl Filter {
    /// Reach from the pixel's centre in pixels.
    pub fn reach(self) -> f64 {
        match self {
            Filter::Box => 0.5,
            Filter::Tent => 1.0,
        }
    }
}

impl std::str::FromStr for Filter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "box" => Ok(Filter::Box),
            "tent" => Ok(Filter::Tent),
            other => Err(format!("\"{}\" is not a filter; expected box or tent", nstr_files::excerpt(other))),
        }
    }
}

/// Offset of sample `index` of `count` from the pixel's upper left corner.
///
/// One sample lies at the centre. Several are a Hammersley set, stratified along both axes, shifted around the pixel by a
/// hash of pixel and seed: the same for every run, different for neighbours.
pub fn offset(x: u32, y: u32, index: u32, count: u32, seed: u64, filter: Filter) -> (f64, f64) {
    if count <= 1 {
        return (0.5, 0.5);
    }
    let shift = shift(x, y, seed);
    let u = ((index as f64 + 0.5) / count as f64 + shift[0]).fract();
    let v = (index.reverse_bits() as f64 / 4_294_967_296.0 + shift[1]).fract();
    match filter {
        Filter::Box => (u, v),
        Filter::Tent => (0.5 + tent(u), 0.5 + tent(v)),
    }
}

/// Shift of a pixel's samples around it along both axes, 0 to 1.
pub fn shift(x: u32, y: u32, seed: u64) -> [f64; 2] {
    let h = hash(seed ^ (x as u64) << 32 ^ y as u64);
    [(h >> 32) as f64, (h & 0xffff_ffff) as f64].map(|v| v / 4_294_967_296.0)
}

/// A uniform number mapped to the tent on (−1, 1).
fn tent(u: f64) -> f64 {
    if u < 0.5 { (2.0 * u).sqrt() - 1.0 } else { 1.0 - (2.0 - 2.0 * u).sqrt() }
}

/// A 64-bit mixer (the finaliser of SplitMix64).
fn hash(v: u64) -> u64 {
    let v = v.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let v = (v ^ v >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let v = (v ^ v >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    v ^ v >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_stratified_centred_and_repeatable() {
        for count in [2u32, 5, 16, 64] {
            let mut columns = vec![0; count as usize];
            for i in 0..count {
                let (u, v) = offset(3, 7, i, count, 1, Filter::Box);
                assert!((0.0..1.0).contains(&u) && (0.0..1.0).contains(&v));
                assert_eq!((u, v), offset(3, 7, i, count, 1, Filter::Box));
                columns[((u * count as f64) as usize).min(count as usize - 1)] += 1;
            }
            assert!(columns.iter().all(|&c| (1..=2).contains(&c) || count < 3), "{columns:?}");
        }
        assert_eq!(offset(9, 9, 0, 1, 5, Filter::Tent), (0.5, 0.5));
        let mean: f64 = (0..4096).map(|i| offset(0, 0, i, 4096, 0, Filter::Tent).0).sum::<f64>() / 4096.0;
        assert!((mean - 0.5).abs() < 1e-3);
        let far = (0..4096).map(|i| (offset(0, 0, i, 4096, 0, Filter::Tent).1 - 0.5).abs()).fold(0.0, f64::max);
        assert!(far > 0.9 && far <= 1.0);
    }
}
