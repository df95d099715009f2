//! Ticks of an axis and their labels.

use crate::Axis;

/// An axis ready to draw: its range and its ticks, both in places along it (logarithms for logarithmic ones).
#[derive(Clone, Debug, PartialEq)]
pub struct AxisScale {
    /// First place.
    pub low: f64,
    /// Last place.
    pub high: f64,
    /// Ticks with their labels.
    pub ticks: Vec<(f64, String)>,
}

/// Space left beside the data, as a fraction of their range.
const MARGIN: f64 = 0.04;
/// Ticks wanted on an axis.
const FEWEST: usize = 4;
const MOST: usize = 8;

impl AxisScale {
    /// The scale of an axis that shows these places.
    pub fn new(axis: &Axis, places: impl Iterator<Item = f64>) -> Self {
        let (low, high) = places.fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p), h.max(p)));
        if low > high {
            return Self { low: 0.0, high: 1.0, ticks: Vec::new() };
        }
        // A single value gets some room around it.
        let room = if high - low > 1e-9 * low.abs().max(high.abs()) {
            MARGIN * (high - low)
        } else if axis.log {
            0.3
        } else {
            0.1 * low.abs().max(1e-9)
        };
        // Amounts that are nowhere negative begin at 0 rather than just below.
        let floor = if !axis.log && low >= 0.0 { 0.0 } else { f64::MIN };
        let (low, high) = ((low - room).max(floor), high + room);
        let ticks = if axis.log { decades(low, high) } else { even(low, high) };
        Self { low, high, ticks }
    }
}

/// Round values from `low` to `high`, about six, with their labels; none where the range is empty or not finite.
///
/// ```
/// let ticks = nstr_plot::even_ticks(0.9, 3.2);
/// assert_eq!(ticks.iter().map(|t| t.1.as_str()).collect::<Vec<_>>(), ["1.0", "1.5", "2.0", "2.5", "3.0"]);
/// ```
pub fn even_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    if low.is_finite() && high.is_finite() && high > low { even(low, high) } else { Vec::new() }
}

/// Even ticks at 1, 2, 2.5 or 5 times a power of ten.
fn even(low: f64, high: f64) -> Vec<(f64, String)> {
    let raw = (high - low) / 6.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw).unwrap_or(raw);
    if !(step.is_finite() && step > 0.0) {
        return Vec::new();
    }
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    let count = (last - first + 1.0).clamp(0.0, 16.0) as usize;
    let values: Vec<f64> = (0..count).map(|i| (first + i as f64) * step).collect();
    let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    values.into_iter().map(|v| (v, label(v, step, largest))).collect()
}

/// Ticks at powers of ten, closer ones over a short range; places are logarithms.
fn decades(low: f64, high: f64) -> Vec<(f64, String)> {
    let (first, last) = (low.floor() as i32, high.ceil() as i32);
    let at = |digits: &[f64], every: i32| -> Vec<(f64, String)> {
        let powers = (first..=last).filter(|p| p.rem_euclid(every) == 0);
        let values = powers.flat_map(|p| digits.iter().map(move |d| (*d, p)));
        let ticks = values.map(|(d, p)| (d.log10() + f64::from(p), power(d, p)));
        ticks.filter(|(place, _)| (low..=high).contains(place)).collect()
    };
    let choices: [&[f64]; 4] = [&[1.0], &[1.0, 3.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]];
    let fits = |ticks: &Vec<_>| (FEWEST..=MOST).contains(&ticks.len());
    if let Some(ticks) = choices.iter().map(|digits| at(digits, 1)).find(fits) {
        return ticks;
    }
    if last - first > MOST as i32 {
        let every = (last - first) / MOST as i32 + 1;
        return at(&[1.0], every);
    }
    // Less than half a decade: even values at their logarithms.
    let (low, high) = (10f64.powf(low), 10f64.powf(high));
    even(low, high).into_iter().filter(|(v, _)| *v > 0.0).map(|(v, text)| (v.log10(), text)).collect()
}

/// The text of `digits · 10^power`.
fn power(digits: f64, power: i32) -> String {
    if (-4..=5).contains(&power) {
        return label(digits * 10f64.powi(power), 10f64.powi(power.min(0) - i32::from(digits.fract() > 0.0)), 0.0);
    }
    let raised: String = power.to_string().chars().map(raise).collect();
    if digits == 1.0 { format!("10{raised}") } else { format!("{digits}·10{raised}") }
}

fn raise(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        _ => c.to_digit(10).and_then(|d| char::from_u32(0x2070 + d)).unwrap_or(c),
    }
}

/// The text of a tick among others `step` apart, of which `largest` is the largest.
fn label(value: f64, step: f64, largest: f64) -> String {
    if largest >= 1e9 || (largest > 0.0 && largest < 1e-3) {
        let power = largest.log10().floor();
        let digits = ((power - step.log10()).ceil().max(0.0) as usize).min(6);
        let raised: String = format!("{power:.0}").chars().map(raise).collect();
        let scaled = value / 10f64.powf(power);
        return if value == 0.0 { "0".into() } else { format!("{scaled:.digits$}·10{raised}") };
    }
    if largest >= 1e6 {
        let decimals = decimals(step / 1e6);
        return format!("{:.decimals$} M", value / 1e6);
    }
    grouped(&format!("{value:.*}", decimals(step)))
}

/// Decimals that tell multiples of `step` apart.
fn decimals(step: f64) -> usize {
    (0..12).find(|d| (step * 10f64.powi(*d)).fract().min(1.0 - (step * 10f64.powi(*d)).fract()) < 1e-6).unwrap_or(12)
        as usize
}

/// Thousands set apart by thin spaces.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_once('.').map_or((text, String::new()), |(w, r)| (w, format!(".{r}")));
    let digits = whole.trim_start_matches('-');
    if digits.len() < 5 {
        return text.replace('-', "−");
    }
    let sign = if whole.len() > digits.len() { "−" } else { "" };
    let spaced: Vec<String> = digits.as_bytes().rchunks(3).rev().map(|c| String::from_utf8_lossy(c).into()).collect();
    format!("{sign}{}{rest}", spaced.join("\u{2009}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        let scale = AxisScale::new(axis, values.iter().filter_map(|v| axis.place(*v)));
        assert!(scale.ticks.iter().all(|(p, _)| (scale.low..=scale.high).contains(p)));
        scale.ticks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn even_ticks_are_round() {
        let axis = Axis::linear("");
        assert_eq!(labels(&axis, &[0.0, 2000.0]), ["0", "500", "1000", "1500", "2000"]);
        assert_eq!(labels(&axis, &[0.998, 0.9991]), ["0.9980", "0.9982", "0.9984", "0.9986", "0.9988", "0.9990"]);
        assert_eq!(labels(&axis, &[-1.0, 1.0]), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(
            labels(&axis, &[30_000.0, 250_000.0]),
            ["50\u{2009}000", "100\u{2009}000", "150\u{2009}000", "200\u{2009}000", "250\u{2009}000"]
        );
        assert_eq!(labels(&axis, &[1e6, 4e6])[0], "1 M");
        assert_eq!(labels(&axis, &[0.0, 5e-5])[1], "1·10⁻⁵");
        assert!(labels(&axis, &[7.0]).len() >= 3 && labels(&axis, &[0.0]).len() >= 2);
    }

    #[test]
    fn logarithmic_ticks_fit_the_range() {
        let axis = Axis::log("");
        assert_eq!(labels(&axis, &[0.001, 100.0]), ["0.001", "0.01", "0.1", "1", "10", "100"]);
        assert_eq!(labels(&axis, &[0.1, 60.0]), ["0.1", "0.3", "1", "3", "10", "30"]);
        assert_eq!(labels(&axis, &[0.01, 0.3]), ["0.01", "0.03", "0.1", "0.3"]);
        assert_eq!(labels(&axis, &[1e-6, 1e-4]), ["10⁻⁶", "3·10⁻⁶", "10⁻⁵", "3·10⁻⁵", "0.0001"]);
        let wide = labels(&axis, &[1e-30, 1e30]);
        assert!((4..=9).contains(&wide.len()), "{wide:?}");
        let narrow = labels(&axis, &[0.0123, 0.0131]);
        assert!((3..=8).contains(&narrow.len()), "{narrow:?}");
    }
}
