//! Linearisations of functions of one variable over an interval, with a bound of their error.

use std::f64::consts::TAU;

use nstr_spec::Activation;

use super::form::Interval;
use super::slope::Slope;

/// A function over an interval: `f(a) ∈ slope · a + offset ± error`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Slope.
    pub slope: f64,
    /// Value at 0.
    pub offset: f64,
    /// Bound of the deviation.
    pub error: f64,
}

/// Largest `|a σ(a)|` of negative arguments, rounded up.
const SILU_DIP: f64 = 0.278_464_6;
/// Argument at which the second derivative of `a σ(a)` is lowest, rounded to where it is still falling.
const SILU_BEND: f64 = 3.43;
/// Largest slope of `a σ(a)`, rounded up.
const SILU_STEEPEST: f64 = 1.0999;
/// Lower bound of that second derivative.
const SILU_LOWEST_BEND: f64 = -0.037;

/// The line for an activation.
pub(super) fn activation(activation: Activation, range: Interval) -> Line {
    match activation {
        Activation::Relu => relu(range),
        Activation::Silu => silu(range),
        Activation::Sine => sine(range),
    }
}

/// Range of an activation's derivative. Where it jumps, both sides belong to it.
pub(super) fn derivative(activation: Activation, range: Interval) -> Slope {
    let (centre, half) = (0.5 * range.low + 0.5 * range.high, 0.5 * range.width() * (1.0 + 4.0 * f64::EPSILON));
    if !(centre.is_finite() && half.is_finite()) {
        return Slope::within(f64::INFINITY);
    }
    let close = |mid: f64, radius: f64, most: f64| match radius < most {
        true => Slope { mid, radius },
        false => Slope::within(most),
    };
    match activation {
        Activation::Relu if range.low >= 0.0 => Slope { mid: 1.0, radius: 0.0 },
        Activation::Relu if range.high <= 0.0 => Slope::default(),
        Activation::Relu => Slope { mid: 0.5, radius: 0.5 },
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-centre).exp());
            let [lowest, highest] = silu_bends(range);
            let bend = lowest.abs().max(highest.abs());
            close(s * (1.0 + centre * (1.0 - s)), bend * half + 1e-12, SILU_STEEPEST)
        }
        // Beyond, the cosine is not known well enough.
        Activation::Sine if range.low.abs().max(range.high.abs()) < 1e9 => {
            close(centre.cos(), half + 4.0 * f64::EPSILON * (1.0 + centre.abs()), 1.0 + 4.0 * f64::EPSILON)
        }
        Activation::Sine => Slope::within(1.0 + 4.0 * f64::EPSILON),
    }
}

/// `max(0, a)`: the Chebyshev line where the interval holds 0.
pub(super) fn relu(Interval { low, high }: Interval) -> Line {
    if low >= 0.0 {
        return Line { slope: 1.0, offset: 0.0, error: 0.0 };
    }
    if high <= 0.0 {
        return Line { slope: 0.0, offset: 0.0, error: 0.0 };
    }
    let slope = high / (high - low);
    let half = -0.5 * slope * low;
    Line { slope, offset: half, error: half + 4.0 * f64::EPSILON * (high - low) }
}

/// A line that `max(0, a)` is nowhere below, or else nowhere above: from below 0 or the argument, whichever leaves less
/// between, from above the chord.
pub(super) fn relu_beside(range: Interval, below: bool) -> Line {
    let Interval { low, high } = range;
    if !(low < 0.0 && high > 0.0) {
        return relu(range);
    }
    if below {
        return Line { slope: if high > -low { 1.0 } else { 0.0 }, offset: 0.0, error: 0.0 };
    }
    let slope = high / (high - low);
    Line { slope, offset: -slope * low, error: 4.0 * f64::EPSILON * (high - low) }
}

/// `a σ(a)`: the chord, whose error follows from bounds of the second derivative, or the line of `max(0, a)`, which lies at most
/// 0.2785 above, whichever is closer.
pub(super) fn silu(range: Interval) -> Line {
    let Interval { low, high } = range;
    let rectified = relu(range);
    let (offset, error) = (rectified.offset - 0.5 * SILU_DIP, rectified.error + 0.5 * SILU_DIP);
    let coarse = Line { offset, error, ..rectified };

    let value = |a: f64| a / (1.0 + (-a).exp());
    let width = high - low;
    let slope = if width > 0.0 { (value(high) - value(low)) / width } else { 0.5 };
    let [lowest, highest] = silu_bends(range);
    // f − chord = −f''(ξ)(a − low)(high − a)/2, of which the product is at most (width/2)².
    let [down, up] = [highest.max(0.0), (-lowest).max(0.0)].map(|bend| bend * width * width / 8.0);
    let slack = 16.0 * f64::EPSILON * (1.0 + low.abs() + high.abs());
    let offset = value(low) - slope * low + 0.5 * (up - down);
    let chord = Line { slope, offset, error: 0.5 * (up + down) + slack };
    if chord.error < coarse.error { chord } else { coarse }
}

/// Bounds of the second derivative of `a σ(a)`: even, falling from 1/2 at 0 through 0 to its least value, then rising to 0.
fn silu_bends(Interval { low, high }: Interval) -> [f64; 2] {
    let bend = |a: f64| {
        let s = 1.0 / (1.0 + (-a).exp());
        s * (1.0 - s) * (2.0 + a * (1.0 - 2.0 * s))
    };
    let near = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
    let far = low.abs().max(high.abs());
    let highest = if near < SILU_BEND { bend(near).max(bend(far)) } else { 0.0 };
    let lowest = if far < SILU_BEND { bend(far) } else { SILU_LOWEST_BEND };
    [lowest - 1e-12, highest.max(lowest) + 1e-12]
}

/// `sin a`: the chord or a constant, each with the exact range of what it leaves.
pub(super) fn sine(range: Interval) -> Line {
    let Interval { low, high } = range;
    let width = high - low;
    let far = low.abs().max(high.abs());
    // Beyond, the places of the maxima are not known well enough. Not-a-number goes here too.
    if !(width < TAU && far < 1e9) {
        let known = low.is_finite() && high.is_finite();
        return Line { slope: 0.0, offset: 0.0, error: if known { 1.0 + 4.0 * f64::EPSILON } else { f64::INFINITY } };
    }
    let chord = if width > 0.0 { ((high.sin() - low.sin()) / width).clamp(-1.0, 1.0) } else { low.cos() };
    let [chord, level] = [chord, 0.0].map(|slope| sine_beside(slope, range));
    if chord.error < level.error { chord } else { level }
}

/// Line of the given slope: `sin a − slope · a` is extreme at the ends and where the cosine is the slope.
fn sine_beside(slope: f64, Interval { low, high }: Interval) -> Line {
    let rest = |a: f64| a.sin() - slope * a;
    let (mut least, mut most) = (rest(low).min(rest(high)), rest(low).max(rest(high)));
    let angle = slope.acos();
    for first in [angle, -angle] {
        let mut a = first + TAU * ((low - first) / TAU).ceil();
        while a <= high {
            (least, most) = (least.min(rest(a)), most.max(rest(a)));
            a += TAU;
        }
    }
    // A stationary place that rounding moves changes the value to second order only.
    let slack = 16.0 * f64::EPSILON * (1.0 + low.abs() + high.abs());
    Line { slope, offset: 0.5 * (least + most), error: 0.5 * (most - least) + slack }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn check(name: &str, line: fn(Interval) -> Line, f: fn(f64) -> f64) {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(5);
        for _ in 0..20_000 {
            let scale = 10f64.powf(rng.random_range(-9.0..1.3));
            let middle = rng.random_range(-12.0..12.0);
            let range = Interval { low: middle - scale, high: middle + scale };
            let line = line(range);
            for i in 0..=40 {
                let a = range.low + (range.high - range.low) * f64::from(i) / 40.0;
                let off = (f(a) - line.slope * a - line.offset).abs();
                assert!(off <= line.error, "{name} {range:?} {a}: {off} beyond {line:?}");
            }
        }
    }

    #[test]
    fn derivatives_enclose_differences() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(6);
        type Function = fn(f64) -> f64;
        let functions: [(Activation, Function); 3] = [
            (Activation::Relu, |a| a.max(0.0)),
            (Activation::Silu, |a| a / (1.0 + (-a).exp())),
            (Activation::Sine, f64::sin),
        ];
        for _ in 0..20_000 {
            let half = 10f64.powf(rng.random_range(-3.0..1.3));
            let middle = rng.random_range(-8.0..8.0);
            let range = Interval { low: middle - half, high: middle + half };
            for (activation, f) in functions {
                let slope = derivative(activation, range);
                let [a, b] = [0, 1].map(|_| rng.random_range(range.low..range.high));
                if (a - b).abs() > 1e-5 {
                    let measured = (f(a) - f(b)) / (a - b);
                    let off = (measured - slope.mid).abs();
                    assert!(off <= slope.radius + 1e-9, "{activation:?} {range:?}: {measured} beyond {slope:?}");
                }
                // Their own derivatives are at most 1.
                if half < 0.1 && activation != Activation::Relu {
                    assert!(slope.radius < 1.1 * half, "{activation:?} {range:?} {slope:?}");
                }
            }
        }
    }

    #[test]
    fn lines_enclose_their_functions() {
        check("relu", relu, |a| a.max(0.0));
        check("silu", silu, |a| a / (1.0 + (-a).exp()));
        check("sine", sine, f64::sin);
    }

    #[test]
    fn errors_of_smooth_functions_are_of_second_order() {
        for (line, at) in [(silu as fn(Interval) -> Line, 0.3), (sine, 1.1), (sine, -40.2), (silu, -2.0)] {
            let error = |h: f64| line(Interval { low: at - h, high: at + h }).error;
            for h in [0.1, 0.01, 1e-3] {
                assert!(error(h / 2.0) < 0.3 * error(h), "{at} {h}");
                assert!(error(h) < 0.3 * h * h, "{at} {h}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_not_bounded() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for (low, high) in [(nan, nan), (-inf, inf)] {
            let range = Interval { low, high };
            assert!(!relu(range).error.is_finite() && !silu(range).error.is_finite());
            assert_eq!(sine(range).error, f64::INFINITY);
        }
    }
}
