//! The latent grid over a box: enclosures of its features.
//!
//! Inside a cell a feature is multilinear in the blending weights, and so is what is left of it beside a linear function of the
//! coordinates and their products. Its extremes therefore lie at the corners of the cell's part of the box. A level is sampled at the lattice of
//! the box's sides and of all cell borders within it; a function of that kind is fitted to the samples, and their deviations bound
//! the remainder exactly. Within one cell there is none. Smoothstep weights bend the
//! coordinates between the lattice's planes, by an amount that is added. A box with too many cells gets the range of the
//! whole level.

mod derivatives;

use nstr_spec::{FieldSpec, Interpolation, LatentSpec, LevelSpec};

use super::form::{AXES_OF, Form, SYMBOLS};
use super::rounding::Rounding;
use crate::point_evaluator::entry;
use derivatives::Derivatives;

/// Most samples of a level; beyond, its whole range serves.
const MAX_SAMPLES: usize = 4096;
/// Operations behind an interpolated feature: weights of three axes and a sum of eight products.
const OPERATIONS: usize = 40;

/// A box of coordinates, `x_j = centre_j + half_j e_j` with `e_j ∈ [−1, 1]`; unused axes are points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub low: [f64; 3],
    pub high: [f64; 3],
    pub centre: [f64; 3],
    pub half: [f64; 3],
}

impl Region {
    /// The box between two corners of at most three coordinates; `None` if they are not finite or not in order.
    pub fn new(low: &[f64], high: &[f64]) -> Option<Self> {
        let ordered = low.iter().zip(high).all(|(a, b)| a.is_finite() && b.is_finite() && a <= b);
        if !ordered || low.len() != high.len() || low.len() > 3 {
            return None;
        }
        let mut region = Self { low: [0.0; 3], high: [0.0; 3], centre: [0.0; 3], half: [0.0; 3] };
        for (j, (a, b)) in low.iter().zip(high).enumerate() {
            let centre = 0.5 * a + 0.5 * b;
            // Rounded up, so that both ends are reached.
            let half = (b - centre).max(centre - a) * (1.0 + 2.0 * f64::EPSILON);
            (region.low[j], region.high[j], region.centre[j], region.half[j]) = (*a, *b, centre, half);
        }
        Some(region)
    }

    /// Coordinate `j`.
    pub fn coordinate(&self, j: usize) -> Form {
        let mut form = Form { mid: self.centre[j], ..Form::default() };
        form.slopes[j] = self.half[j];
        form
    }
}

/// A level of the grid with what is known of it everywhere.
#[derive(Clone, Debug)]
struct Level<'a> {
    spec: LevelSpec,
    rows: &'a [f32],
    /// Least and largest value of each feature.
    lowest: Vec<f64>,
    highest: Vec<f64>,
}

/// The latent grid, ready to be enclosed over boxes.
#[derive(Clone, Debug)]
pub(super) struct LatentBounds<'a> {
    dim: usize,
    features: usize,
    product: usize,
    smooth: bool,
    rounding: Rounding,
    levels: Vec<Level<'a>>,
}

/// Enclosure of the latent features over a box.
pub(super) struct LatentForms {
    /// One for each column of z.
    pub forms: Vec<Form>,
    /// Samples of each level.
    levels: Vec<LevelSamples>,
    /// Levels that are multiplied together, 1 or more.
    product: usize,
}

/// A level's features over a box.
struct LevelSamples {
    forms: Vec<Form>,
    /// Values beside the features' linear functions, `[sample][feature]`; empty where the range of the level serves.
    rest: Vec<f64>,
    /// Places of the samples along each axis that the level depends on.
    places: [Vec<f64>; 3],
    /// Deviation of the bent coordinates from straight ones, in half edges of the box.
    bends: [f64; 3],
    /// True if the features are multilinear in the coordinates themselves, as the program has them.
    straight: bool,
    /// What rounding adds to each feature's remainder.
    slack: Vec<f64>,
    /// Derivatives with respect to the coordinates.
    derivatives: Derivatives,
}

/// A plane of a level's sampling lattice across one axis.
#[derive(Clone, Copy, Debug)]
struct Plane {
    /// Place in units of cells, not clamped.
    g: f64,
    cell: u64,
    /// Weight of the upper vertex.
    weight: f64,
    /// Place in the box, from −1 to 1.
    e: f64,
}

impl<'a> LatentBounds<'a> {
    pub fn new(spec: &FieldSpec, grid: &'a [f32], rounding: Rounding) -> Self {
        let LatentSpec { features, product, interpolation, .. } = spec.latent;
        let offsets = spec.latent.offsets(spec.dim);
        let level = |(spec, at): (&LevelSpec, &[usize])| {
            let rows = &grid[at[0] * features..at[1] * features];
            let column = |start: f64, pick: fn(f64, f64) -> f64| {
                let mut found = vec![start; features];
                for row in rows.chunks_exact(features) {
                    found.iter_mut().zip(row).for_each(|(to, v)| *to = pick(*to, f64::from(*v)));
                }
                found
            };
            let (lowest, highest) = (column(f64::INFINITY, f64::min), column(f64::NEG_INFINITY, f64::max));
            Level { spec: *spec, rows, lowest, highest }
        };
        let levels = if features == 0 { &[] } else { &spec.latent.levels[..] };
        let levels = levels.iter().zip(offsets.windows(2)).map(level).collect();
        let smooth = interpolation == Interpolation::Smoothstep;
        Self { dim: spec.dim, features, product: product.max(1), smooth, rounding, levels }
    }

    /// Enclosures of every column of z.
    pub fn enclose(&self, region: &Region) -> LatentForms {
        let levels: Vec<LevelSamples> = self.levels.iter().map(|level| self.level(level, region)).collect();
        if self.product == 1 {
            return LatentForms {
                forms: levels.iter().flat_map(|l| l.forms.iter().copied()).collect(),
                levels,
                product: 1,
            };
        }
        let mut forms = Vec::new();
        for group in levels.chunks_exact(self.product) {
            let mut product = group[0].forms.clone();
            for level in &group[1..] {
                for (to, form) in product.iter_mut().zip(&level.forms) {
                    let rounded = self.rounding.gamma(4) * to.magnitude() * form.magnitude();
                    *to = to.product(form);
                    to.radius += rounded + self.rounding.underflow(1);
                }
            }
            forms.extend(product);
        }
        LatentForms { forms, levels, product: self.product }
    }

    fn level(&self, level: &Level, region: &Region) -> LevelSamples {
        let features = self.features;
        let cells = f64::from(level.spec.resolution);
        let shift = self.rounding.lookup_shift(level.spec.resolution);
        let gamma = self.rounding.gamma(OPERATIONS) + OPERATIONS as f64 * f64::EPSILON * (1.0 + cells);
        let largest = level.lowest.iter().zip(&level.highest).map(|(a, b)| a.abs().max(b.abs()));
        let slack: Vec<f64> = largest.map(|m| gamma * m + self.rounding.underflow(OPERATIONS)).collect();

        let straight = !self.smooth && shift == 0.0;
        if let Some(samples) = self.within_cell(level, region, shift, &slack) {
            return samples;
        }
        let mut axes: [Vec<Plane>; 3] = Default::default();
        let (mut bends, mut samples) = ([0.0; 3], 1usize);
        for j in 0..3 {
            axes[j] = match j < self.dim && level.spec.axes.has(j) {
                true => planes(region, j, cells, shift, self.smooth, MAX_SAMPLES / samples.max(1)),
                false => vec![Plane { g: 0.0, cell: 0, weight: 0.0, e: 0.0 }],
            };
            samples *= axes[j].len();
            if self.smooth && region.half[j] > 0.0 {
                bends[j] = axes[j].windows(2).map(|pair| bend(pair[0], pair[1], cells)).fold(0.0, f64::max);
                bends[j] /= cells * region.half[j];
            }
        }
        if samples == 0 {
            let ends = level.lowest.iter().zip(&level.highest).zip(&slack);
            let form = |((a, b), slack): ((&f64, &f64), &f64)| Form {
                mid: 0.5 * (a + b),
                radius: 0.5 * (b - a) + slack,
                ..Form::default()
            };
            let forms = ends.map(form).collect();
            let steepest = cells * if self.smooth { 1.5 } else { 1.0 } * (1.0 + 1e-12);
            let rates = level.lowest.iter().zip(&level.highest).map(|(a, b)| steepest * (b - a)).collect();
            let depends = [0, 1, 2].map(|j| j < self.dim && level.spec.axes.has(j));
            let derivatives = Derivatives::Bounds(rates, depends);
            let places = Default::default();
            return LevelSamples { forms, rest: Vec::new(), places, bends, straight, slack, derivatives };
        }

        let mut rest = vec![0.0; samples * features];
        let lengths = [0, 1, 2].map(|j| axes[j].len());
        let place = |i: usize| {
            let at = [i % lengths[0], i / lengths[0] % lengths[1], i / (lengths[0] * lengths[1])];
            [0, 1, 2].map(|j| axes[j][at[j]])
        };
        for (i, to) in rest.chunks_exact_mut(features).enumerate() {
            self.sample(level, &place(i), to);
        }
        // Least squares on a product lattice: products of centred places are orthogonal. (Where the centres are not in the middle
        // the factors are not the best ones, but as good as any others for the proof.)
        let means = [0, 1, 2].map(|j| axes[j].iter().map(|p| p.e).sum::<f64>() / lengths[j] as f64);
        let spreads = [0, 1, 2].map(|j| {
            let squares: f64 = axes[j].iter().map(|p| (p.e - means[j]).powi(2)).sum();
            squares / lengths[j] as f64
        });
        let mut forms = vec![Form::default(); features];
        for (m, set) in AXES_OF.into_iter().enumerate() {
            let of = |j: &usize| set >> j & 1 == 1;
            let norm = samples as f64 * (0..3).filter(of).map(|j| spreads[j]).product::<f64>();
            if norm > 0.0 {
                for (i, row) in rest.chunks_exact(features).enumerate() {
                    let at = place(i);
                    let weight = (0..3).filter(of).map(|j| at[j].e - means[j]).product::<f64>() / norm;
                    forms.iter_mut().zip(row).for_each(|(form, v)| form.slopes[m] += weight * v);
                }
            }
        }
        for (i, row) in rest.chunks_exact_mut(features).enumerate() {
            let [a, b, c] = place(i).map(|p| p.e);
            let symbols = [a, b, c, a * b, a * c, b * c, a * b * c];
            for (v, form) in row.iter_mut().zip(&forms) {
                *v -= form.slopes.iter().zip(symbols).map(|(slope, symbol)| slope * symbol).sum::<f64>();
            }
        }
        let shifts = region.half.map(|half| if half > 0.0 { (shift + 4.0 * f64::EPSILON) / half } else { 0.0 });
        for j in 0..3 {
            bends[j] += shifts[j];
        }
        let rates = [0, 1, 2]
            .map(|j| axes[j].windows(2).map(|pair| derivatives::rate(pair[0], pair[1], cells, self.smooth)).collect());
        let places = axes.map(|planes| planes.iter().map(|p| p.e).collect());
        let derivatives = Derivatives::Differences(rates);
        let mut samples = LevelSamples { forms, rest, places, bends, straight, slack, derivatives };
        for f in 0..features {
            let column = samples.rest.iter().skip(f).step_by(features).copied();
            let form = close(samples.forms[f].slopes, column, &samples.bends, samples.slack[f]);
            samples.forms[f] = form;
        }
        samples
    }

    /// Features over a box within one cell whose weights are the coordinates themselves: exactly multilinear. `None` for
    /// other boxes.
    fn within_cell(&self, level: &Level, region: &Region, shift: f64, slack: &[f64]) -> Option<LevelSamples> {
        if self.smooth {
            return None;
        }
        let cells = f64::from(level.spec.resolution);
        let depends = [0, 1, 2].map(|j| j < self.dim && level.spec.axes.has(j));
        // Cell, and middle and half width of the upper vertex' weight.
        let mut axes = [(0u64, 0.0, 0.0); 3];
        let mut bends = [0.0; 3];
        for j in (0..3).filter(|j| depends[*j]) {
            let (low, high) = ((region.low[j] - shift) * cells, (region.high[j] + shift) * cells);
            let cell = low.floor().min(cells - 1.0);
            if !(region.half[j] > 0.0 && low >= 0.0 && high <= cells && high <= cell + 1.0) {
                return None;
            }
            axes[j] = (cell as u64, region.centre[j] * cells - cell, region.half[j] * cells);
            bends[j] = (shift + 4.0 * f64::EPSILON) / region.half[j];
        }
        let features = self.features;
        let mut corners = vec![0.0; 8 * features];
        for (corner, to) in corners.chunks_exact_mut(features).enumerate() {
            if (0..3).all(|j| depends[j] || corner >> j & 1 == 0) {
                let vertex = entry(&level.spec, self.dim, |j| axes[j].0 + (corner >> j & 1) as u64);
                let row = &level.rows[vertex * features..][..features];
                to.iter_mut().zip(row).for_each(|(to, v)| *to = f64::from(*v));
            }
        }
        // Along one axis after the other two vertices become the value in the middle and half the difference of the sides.
        for (j, (_, middle, half)) in axes.iter().enumerate().filter(|(j, _)| depends[*j]) {
            for corner in (0..8usize).filter(|corner| corner >> j & 1 == 0) {
                let (lower, upper) = corners.split_at_mut((corner | 1 << j) * features);
                for (a, b) in lower[corner * features..][..features].iter_mut().zip(&mut upper[..features]) {
                    let rise = *b - *a;
                    (*a, *b) = (*a + middle * rise, half * rise);
                }
            }
        }
        let form = |f: usize| {
            let slopes = AXES_OF.map(|set| corners[set * features + f]);
            let form = close(slopes, [corners[f]].into_iter(), &bends, slack[f]);
            Form { mid: corners[f], ..form }
        };
        let forms = (0..features).map(form).collect();
        let derivatives = Derivatives::Forms { half: region.half };
        let (rest, places, slack) = (Vec::new(), Default::default(), slack.to_vec());
        Some(LevelSamples { forms, rest, places, bends, straight: shift == 0.0, slack, derivatives })
    }

    /// Features at one point of the lattice.
    fn sample(&self, level: &Level, at: &[Plane; 3], to: &mut [f64]) {
        for corner in 0..1usize << self.dim {
            let upper = |j: usize| (corner >> j & 1) as u64;
            let weight: f64 =
                (0..self.dim).map(|j| if upper(j) == 1 { at[j].weight } else { 1.0 - at[j].weight }).product();
            if weight != 0.0 {
                let entry = entry(&level.spec, self.dim, |j| at[j].cell + upper(j));
                let row = &level.rows[entry * self.features..][..self.features];
                to.iter_mut().zip(row).for_each(|(to, v)| *to += weight * f64::from(*v));
            }
        }
    }
}

impl LatentForms {
    /// Enclosure of `Σ_i factors_i z_i`, closer than that of the single features: what they leave may cancel.
    pub fn combined(&self, factors: &[f64]) -> Form {
        let mut sum = Form::default();
        if self.product > 1 {
            factors.iter().zip(&self.forms).for_each(|(factor, form)| sum.add_scaled(*factor, form));
            return sum;
        }
        // Levels that are sampled at the same places are added there: their sum is multilinear between them, too.
        let mut groups: Vec<Group> = Vec::new();
        let (mut factors, factors_len) = (factors, factors.len());
        for level in &self.levels {
            let features = level.forms.len();
            let (own, others) = factors.split_at(features);
            factors = others;
            if level.rest.is_empty() {
                own.iter().zip(&level.forms).for_each(|(factor, form)| sum.add_scaled(*factor, form));
                continue;
            }
            let same = |group: &Group| group.straight && level.straight && *group.places == level.places;
            let found = groups.iter().position(same).unwrap_or(groups.len());
            if found == groups.len() {
                let rest = vec![0.0; level.rest.len() / features];
                let LevelSamples { places, bends, straight, .. } = level;
                groups.push(Group {
                    places,
                    slopes: [0.0; SYMBOLS],
                    rest,
                    bends: *bends,
                    straight: *straight,
                    slack: 0.0,
                });
            }
            let group = &mut groups[found];
            for ((factor, form), rounded) in own.iter().zip(&level.forms).zip(&level.slack) {
                group.slopes.iter_mut().zip(form.slopes).for_each(|(to, s)| *to += factor * s);
                let terms = 4.0 * factors_len as f64 * f64::EPSILON;
                group.slack += factor.abs() * (rounded + terms * form.magnitude());
            }
            for (to, row) in group.rest.iter_mut().zip(level.rest.chunks_exact(features)) {
                *to += own.iter().zip(row).map(|(a, b)| a * b).sum::<f64>();
            }
            group.bends.iter_mut().zip(level.bends).for_each(|(to, bend)| *to = to.max(bend));
        }
        for Group { slopes, rest, bends, slack, .. } in groups {
            sum.add_scaled(1.0, &close(slopes, rest.into_iter(), &bends, slack));
        }
        sum
    }
}

/// Weighted sum of the features of levels that are sampled at the same places.
struct Group<'a> {
    places: &'a [Vec<f64>; 3],
    slopes: [f64; SYMBOLS],
    rest: Vec<f64>,
    bends: [f64; 3],
    straight: bool,
    slack: f64,
}

/// The form of given slopes around what they leave at the samples.
fn close(slopes: [f64; SYMBOLS], rest: impl Iterator<Item = f64>, bends: &[f64; 3], slack: f64) -> Form {
    let ends = rest.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], v| [a.min(v), b.max(v)]);
    // Coordinates that are off by ρ_j move a product of them by less than Π (1 + ρ_j) − 1.
    let grown = |set: usize| (0..3).filter(|j| set >> j & 1 == 1).map(|j| 1.0 + bends[j]).product::<f64>();
    let bent = |(slope, set): (&f64, usize)| slope.abs() * (grown(set) - 1.0 + 4.0 * f64::EPSILON);
    let bent: f64 = slopes.iter().zip(AXES_OF).map(bent).sum();
    let radius = 0.5 * (ends[1] - ends[0]) + bent + slack;
    let rounded = 8.0 * f64::EPSILON * (ends[0].abs() + ends[1].abs());
    Form { mid: 0.5 * (ends[0] + ends[1]), slopes, radius: radius + rounded }
}

/// Planes of a level's lattice across axis `j`: the sides of the box, moved outward by `shift`, and the cell borders between
/// them, the cube's own included. None if there are more than `most`.
fn planes(region: &Region, j: usize, cells: f64, shift: f64, smooth: bool, most: usize) -> Vec<Plane> {
    let (low, high) = ((region.low[j] - shift) * cells, (region.high[j] + shift) * cells);
    let half = region.half[j];
    // From coordinates, not from cells: the sides have the same place on every level.
    let plane = |g: f64, x: f64| {
        let inside = g.clamp(0.0, cells);
        let cell = inside.floor().min(cells - 1.0);
        let t = inside - cell;
        let weight = if smooth { t * t * (3.0 - 2.0 * t) } else { t };
        let e = if half > 0.0 { (x - region.centre[j]) / half } else { 0.0 };
        Plane { g, cell: cell as u64, weight, e }
    };
    let (first, last) = ((low.floor() + 1.0).max(0.0), (high.ceil() - 1.0).min(cells));
    let between = if last >= first { last - first + 1.0 } else { 0.0 };
    if between + 2.0 > most as f64 {
        return Vec::new();
    }
    let mut planes = vec![plane(low, region.low[j] - shift)];
    planes.extend((0..between as usize).map(|i| first + i as f64).map(|g| plane(g, g / cells)));
    if high > low {
        planes.push(plane(high, region.high[j] + shift));
    }
    planes
}

/// Largest deviation, in cells, of a coordinate between two planes from the linear function of its smoothstep weight that agrees with
/// it on both.
fn bend(from: Plane, to: Plane, cells: f64) -> f64 {
    let middle = 0.5 * (from.g + to.g);
    if !(0.0..=cells).contains(&middle) {
        // Outside the cube features stand still, and any function that agrees on both planes serves: the coordinate itself.
        return 0.0;
    }
    let cell = middle.floor().min(cells - 1.0);
    let (a, b) = ((from.g - cell).clamp(0.0, 1.0), (to.g - cell).clamp(0.0, 1.0));
    // (w(t) − w(a)) / (t − a).
    let rate = |t: f64| 3.0 * (t + a) - 2.0 * (t * t + t * a + a * a);
    let inverse = 1.0 / rate(b);
    // Both lie between the planes, so that they never differ by more. Flat weights cannot be told closer.
    if !(inverse > 0.0 && inverse < 1e5) {
        return b - a;
    }
    let deviation = |t: f64| ((t - a) * (rate(t) * inverse - 1.0)).abs();
    let spread = (0.25 - 1.0 / (6.0 * inverse)).max(0.0).sqrt();
    let stationary = [0.5 - spread, 0.5 + spread].into_iter().filter(|t| (a..=b).contains(t));
    (stationary.map(deviation).fold(0.0, f64::max) + 1e-8 * (b - a)).min(b - a)
}
