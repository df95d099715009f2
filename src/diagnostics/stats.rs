//! Correlations with confidence intervals that allow for dependent neighbours, quantiles, and the area under the ROC curve.

use std::collections::HashMap;

use nstr_plot::format::fixed;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::Serialize;

/// Resamples of the block bootstrap.
const RESAMPLES: usize = 1000;
/// Fewer blocks than this give no interval.
const MIN_BLOCKS: usize = 10;

/// A correlation coefficient with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CoefficientEstimate {
    /// The coefficient.
    pub value: f64,
    /// Ends of the interval; NaN (null in JSON) where there is none.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Number of independent points that would give an interval this wide.
    pub effective: f64,
}

impl std::fmt::Display for CoefficientEstimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |v: f64| if v.is_nan() { "?".into() } else { fixed(v, 2) };
        write!(f, "{} [{}, {}]", text(self.value), text(self.low), text(self.high))
    }
}

/// Rank and linear correlation of two quantities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Correlation {
    /// Of the ranks.
    pub spearman: CoefficientEstimate,
    /// Of the values.
    pub pearson: CoefficientEstimate,
    /// Points.
    pub points: usize,
    /// Blocks that they fall into.
    pub blocks: usize,
}

/// Pearson's coefficient; NaN for fewer than two points or where one side does not vary.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = PairMoments::default();
    let (cx, cy) = (mean(x), mean(y));
    x.iter().zip(y).for_each(|(x, y)| sums.add(x - cx, y - cy, 1.0));
    sums.coefficient()
}

/// Spearman's coefficient: Pearson's of the [`ranks`].
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    pearson(&ranks(x), &ranks(y))
}

/// Ranks from 1; equal values share the mean of their places. NaN sorts last.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let same = |&&i: &&usize| values[i] == values[order[first]];
        let count = order[first..].iter().take_while(same).count().max(1);
        let shared = first as f64 + 0.5 * (count as f64 + 1.0);
        order[first..first + count].iter().for_each(|&i| ranks[i] = shared);
        first += count;
    }
    ranks
}

/// Both coefficients of the pairs whose values are finite, with intervals by a block bootstrap.
///
/// Points of one block (see [`blocks`]) depend on each other; blocks are drawn with replacement, all points of a drawn
/// block together, 1000 times, and the interval holds the middle 95 % of the coefficients (Künsch 1989). Ranks are taken
/// once, over all points. With fewer than 10 blocks there is no interval.
pub fn correlate(x: &[f64], y: &[f64], blocks: &[u32], seed: u64) -> Correlation {
    let kept: Vec<usize> = (0..x.len()).filter(|&i| x[i].is_finite() && y[i].is_finite()).collect();
    let pick = |v: &[f64]| -> Vec<f64> { kept.iter().map(|&i| v[i]).collect() };
    let (x, y) = (pick(x), pick(y));
    let mut numbers = HashMap::new();
    let blocks: Vec<usize> = kept
        .iter()
        .map(|&i| {
            let next = numbers.len();
            *numbers.entry(blocks[i]).or_insert(next)
        })
        .collect();
    let count = numbers.len();
    let of = |x: &[f64], y: &[f64], of_ranks: bool| {
        let (cx, cy) = (mean(x), mean(y));
        let mut sums = vec![PairMoments::default(); count];
        (0..x.len()).for_each(|i| sums[blocks[i]].add(x[i] - cx, y[i] - cy, 1.0));
        bootstrap(&sums, of_ranks, seed)
    };
    Correlation {
        spearman: of(&ranks(&x), &ranks(&y), true),
        pearson: of(&x, &y, false),
        points: x.len(),
        blocks: count,
    }
}

fn bootstrap(blocks: &[PairMoments], of_ranks: bool, seed: u64) -> CoefficientEstimate {
    let mut all = PairMoments::default();
    blocks.iter().for_each(|b| all.merge(b));
    let value = all.coefficient();
    let none = CoefficientEstimate { value, low: f64::NAN, high: f64::NAN, effective: f64::NAN };
    if blocks.len() < MIN_BLOCKS || !value.is_finite() {
        return none;
    }
    let mut rng = Pcg64::seed_from_u64(seed ^ 0xb007);
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut sums = PairMoments::default();
            (0..blocks.len()).for_each(|_| sums.merge(&blocks[rng.random_range(0..blocks.len())]));
            sums.coefficient()
        })
        .filter(|r| r.is_finite())
        .collect();
    drawn.sort_by(f64::total_cmp);
    if drawn.len() < RESAMPLES / 2 {
        return none;
    }
    let z: Vec<f64> = drawn.iter().map(|r| r.clamp(-1.0 + 1e-12, 1.0 - 1e-12).atanh()).collect();
    let centre = mean(&z);
    let variance = z.iter().map(|z| (z - centre).powi(2)).sum::<f64>() / (z.len() - 1) as f64;
    let factor = 1.0 + if of_ranks { 0.5 * value * value } else { 0.0 };
    CoefficientEstimate {
        value,
        low: quantile(&drawn, 0.025),
        high: quantile(&drawn, 0.975),
        effective: 3.0 + factor / variance,
    }
}

/// Number of the block that each point (`[point][dim]`) falls into: cells of a lattice of `cells` along the longest side of
/// the points' box.
pub fn blocks(points: &[f64], dim: usize, cells: u32) -> Vec<u32> {
    let (mut low, mut high) = (vec![f64::INFINITY; dim], vec![f64::NEG_INFINITY; dim]);
    for point in points.chunks_exact(dim) {
        for j in 0..dim {
            (low[j], high[j]) = (low[j].min(point[j]), high[j].max(point[j]));
        }
    }
    let longest = (0..dim).fold(0f64, |m, j| m.max(high[j] - low[j])).max(f64::MIN_POSITIVE);
    let cell = |v: f64, j: usize| (((v - low[j]) / longest * f64::from(cells)) as u32).min(cells - 1);
    points.chunks_exact(dim).map(|p| (0..dim).fold(0, |number, j| number * cells + cell(p[j], j))).collect()
}

/// Value below which the share `q` of sorted values lies, linear between them; NaN of none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let at = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

/// Mean; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile of the magnitudes of the finite values; NaN of none.
pub fn magnitude_quantile(values: impl IntoIterator<Item = f64>, q: f64) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().map(f64::abs).filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, q)
}

/// Median of the finite values; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Area under the ROC curve: the probability that the score of a positive exceeds that of a negative, ties counting half. NaN
/// where either side is empty. Scores that are not finite are left out.
pub fn auc(scores: &[f64], positive: &[bool]) -> f64 {
    let kept: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].is_finite()).collect();
    let ranks = ranks(&kept.iter().map(|&i| scores[i]).collect::<Vec<_>>());
    let (mut sum, mut count) = (0.0, 0.0);
    for (rank, &i) in ranks.iter().zip(&kept) {
        if positive[i] {
            (sum, count) = (sum + rank, count + 1.0);
        }
    }
    let rest = kept.len() as f64 - count;
    (sum - 0.5 * count * (count + 1.0)) / (count * rest)
}

/// A random permutation of the values.
pub fn shuffled(values: &[f64], seed: u64) -> Vec<f64> {
    let mut out = values.to_vec();
    let mut rng = Pcg64::seed_from_u64(seed ^ 0x5f1e);
    for i in (1..out.len()).rev() {
        out.swap(i, rng.random_range(0..=i));
    }
    out
}

/// Weighted moments of pairs.
#[derive(Clone, Copy, Debug, Default)]
struct PairMoments {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl PairMoments {
    fn add(&mut self, x: f64, y: f64, w: f64) {
        self.merge(&Self { n: w, x: w * x, y: w * y, xx: w * x * x, yy: w * y * y, xy: w * x * y });
    }

    fn merge(&mut self, o: &Self) {
        self.n += o.n;
        self.x += o.x;
        self.y += o.y;
        self.xx += o.xx;
        self.yy += o.yy;
        self.xy += o.xy;
    }

    fn coefficient(&self) -> f64 {
        let (vx, vy) = (self.xx - self.x * self.x / self.n, self.yy - self.y * self.y / self.n);
        // A constant side leaves rounding errors only.
        if !(vx > 1e-14 * self.xx && vy > 1e-14 * self.yy) {
            return f64::NAN;
        }
        ((self.xy - self.x * self.y / self.n) / (vx * vy).sqrt()).clamp(-1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantile of the standard normal distribution that cuts off 2.5 %.
    const Z95: f64 = 1.959_963_984_540_054;

    /// 95 % interval of a coefficient of `n` independent points by Fisher's z; of ranks with the variance of Bonett & Wright
    /// (2000), `(1 + r²/2)/(n − 3)`.
    fn interval(r: f64, n: f64, of_ranks: bool) -> [f64; 2] {
        let variance = (1.0 + if of_ranks { 0.5 * r * r } else { 0.0 }) / (n - 3.0);
        if !(variance > 0.0 && variance.is_finite()) {
            return [f64::NAN; 2];
        }
        let (z, half) = (r.atanh(), Z95 * variance.sqrt());
        [(z - half).tanh(), (z + half).tanh()]
    }

    #[derive(serde::Deserialize)]
    struct Oracle {
        x: Vec<f64>,
        y: Vec<f64>,
        pearson: f64,
        pearson_low: f64,
        pearson_high: f64,
        spearman: f64,
        ranks: Vec<f64>,
        auc: f64,
    }

    #[test]
    fn agrees_with_scipy() {
        let cases: Vec<Oracle> = serde_json::from_str(include_str!("../../tests/oracle/correlation.json")).unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
            close(pearson(&case.x, &case.y), case.pearson);
            close(spearman(&case.x, &case.y), case.spearman);
            assert_eq!(ranks(&case.x), case.ranks);
            let [low, high] = interval(case.pearson, case.x.len() as f64, false);
            close(low, case.pearson_low);
            close(high, case.pearson_high);
            let positive: Vec<bool> = case.y.iter().map(|y| *y > 0.0).collect();
            close(auc(&case.x, &positive), case.auc);
        }
    }

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = Pcg64::seed_from_u64(seed);
        (0..n).map(|_| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn intervals_of_independent_points_match_theory() {
        let (a, b) = (noise(4000, 1), noise(4000, 2));
        let mixed: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let each: Vec<u32> = (0..4000).collect();
        let c = correlate(&a, &mixed, &each, 0);
        for (estimate, of_ranks) in [(c.pearson, false), (c.spearman, true)] {
            let [low, high] = interval(estimate.value, 4000.0, of_ranks);
            assert!((estimate.low - low).abs() < 0.01 && (estimate.high - high).abs() < 0.01, "{estimate:?}");
            assert!(estimate.effective > 3000.0 && estimate.effective < 5300.0, "{estimate:?}");
        }
        assert!((c.pearson.value - 0.5f64.sqrt()).abs() < 0.03);
    }

    #[test]
    fn points_that_repeat_their_block_count_once() {
        let (a, b) = (noise(100, 3), noise(100, 4));
        let repeat = |v: &[f64]| -> Vec<f64> { v.iter().flat_map(|v| [*v; 50]).collect() };
        let of: Vec<u32> = (0..5000).map(|i| i / 50).collect();
        let c = correlate(&repeat(&a), &repeat(&b), &of, 0);
        assert!(c.pearson.effective > 60.0 && c.pearson.effective < 160.0, "{c:?}");
        assert!(c.pearson.low < 0.0 && c.pearson.high > 0.0 && c.pearson.high - c.pearson.low > 0.3);
        assert_eq!((c.points, c.blocks), (5000, 100));
        let few = correlate(&a, &b, &[0; 100], 0);
        assert!(few.pearson.low.is_nan() && few.pearson.value.is_finite());
    }

    #[test]
    fn what_cannot_be_correlated_is_nan() {
        assert!(pearson(&[1.0; 9], &noise(9, 1)).is_nan());
        assert!(pearson(&[], &[]).is_nan() && spearman(&[1.0], &[2.0]).is_nan());
        assert!(auc(&[1.0, 2.0], &[true, true]).is_nan());
        let c = correlate(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, f64::INFINITY], &[0, 1, 2], 0);
        assert_eq!(c.points, 1);
        assert!(c.spearman.value.is_nan());
    }

    #[test]
    fn blocks_follow_the_longest_side() {
        let points = [0.0, 0.0, 4.0, 1.0, 3.9, 0.1, 0.5, 0.9];
        let b = blocks(&points, 2, 4);
        assert_eq!(b[1], b[2] + 1);
        assert_ne!(b[0], b[1]);
        assert_eq!(b[0], b[3]);
    }

    #[test]
    fn shuffling_keeps_the_values() {
        let v = noise(500, 9);
        let mut s = shuffled(&v, 1);
        assert!(s != v && pearson(&s, &v).abs() < 0.15);
        s.sort_by(f64::total_cmp);
        let mut v = v;
        v.sort_by(f64::total_cmp);
        assert_eq!(s, v);
    }
}
