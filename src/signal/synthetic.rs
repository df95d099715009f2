//! Synthetic signals whose local frequency is known exactly.

use std::f64::consts::TAU;

use crate::audio::{AudioSignal, SampleFormat};
use crate::image::{ImageSignal, PixelEncoding};

/// A radial chirp on the unit square: `½ + ½ cos φ(r)`, r the distance from the corner (0, 0), with
/// `φ(r) = 2π (low · r + (high − low) · r² / (2√2))`.
///
/// Its local frequency `∇φ = 2π (low + (high − low) · r/√2) · (x, y)/r` grows evenly from `low` cycles per unit at the corner
/// to `high` at the opposite one, in every direction of the first quadrant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chirp {
    /// Cycles per unit length at (0, 0).
    pub low: f64,
    /// Cycles per unit length at (1, 1).
    pub high: f64,
}

impl Chirp {
    /// The chirp for an image of `n`×`n` pixels: from 2 to 0.35·n cycles per unit (no less than 2), below Nyquist
    /// (0.5·n along each axis) everywhere.
    pub fn new(n: usize) -> Self {
        Self { low: 2.0, high: (0.35 * n as f64).max(2.0) }
    }

    /// Phase φ at (x, y) in radians.
    pub fn phase(&self, x: f64, y: f64) -> f64 {
        let r = x.hypot(y);
        TAU * (self.low * r + (self.high - self.low) * r * r / (2.0 * 2f64.sqrt()))
    }

    /// Local frequency ∇φ at (x, y) in radians per unit; its direction at (0, 0) is not defined, and 0 there.
    pub fn frequency(&self, x: f64, y: f64) -> [f64; 2] {
        let r = x.hypot(y);
        let speed = TAU * (self.low + (self.high - self.low) * r / 2f64.sqrt());
        [x, y].map(|v| if r > 0.0 { speed * v / r } else { 0.0 })
    }

    /// Value at (x, y), 0 to 1.
    pub fn value(&self, x: f64, y: f64) -> f64 {
        0.5 + 0.5 * self.phase(x, y).cos()
    }
}

/// The [`Chirp`] for `n`×`n` pixels as a grey image; pixel (i, j) is its value at ((i + ½)/n, (j + ½)/n).
pub fn chirp_image(n: usize) -> ImageSignal {
    let chirp = Chirp::new(n);
    let at = |i: usize| (i as f64 + 0.5) / n as f64;
    let data = (0..n * n).map(|k| chirp.value(at(k % n), at(k / n)) as f32).collect();
    ImageSignal { width: n, height: n, channels: 1, encoding: PixelEncoding::Srgb, data }
}

/// Local frequency in radians per unit of [`chirp_image`]`(n)` at (x, y) of the unit square.
pub fn chirp_frequency(n: usize, x: f64, y: f64) -> [f64; 2] {
    Chirp::new(n).frequency(x, y)
}

/// Peak of the synthetic sounds.
const PEAK: f64 = 0.8;

/// An exponential sine sweep `0.8 sin φ(t)`, `φ(t) = 2π low T / ln(high/low) · ((high/low)^(t/T) − 1)` with T = `seconds`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sweep {
    /// Frequency in Hz at the start.
    pub low: f64,
    /// Frequency in Hz at the end.
    pub high: f64,
    /// Length.
    pub seconds: f64,
}

impl Sweep {
    /// From 50 Hz to 0.45·`rate` in `seconds`.
    pub fn new(rate: u32, seconds: f64) -> Self {
        Self { low: 50.0, high: 0.45 * f64::from(rate), seconds }
    }

    /// Phase φ at time `t` (seconds) in radians.
    pub fn phase(&self, t: f64) -> f64 {
        let octaves = (self.high / self.low).ln();
        TAU * self.low * self.seconds / octaves * (octaves * t / self.seconds).exp_m1()
    }

    /// Frequency dφ/dt / 2π at time `t` in Hz.
    pub fn frequency(&self, t: f64) -> f64 {
        self.low * (self.high / self.low).powf(t / self.seconds)
    }
}

/// The [`Sweep`] from 50 Hz to 0.45·`rate` as a mono sound of 16 bits. `rate` is at least 200 Hz.
pub fn sweep_audio(rate: u32, seconds: f64) -> AudioSignal {
    let sweep = Sweep::new(rate, seconds);
    sound(rate, seconds, |t| PEAK * sweep.phase(t).sin())
}

/// A tone whose frequency drifts about a middle one: `f(t) = middle · (1 + depth · sin(2π t / period + start))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// Middle frequency in Hz.
    pub middle: f64,
    /// Greatest drift relative to it.
    pub depth: f64,
    /// Seconds of one drift to and fro.
    pub period: f64,
    /// Phase of the drift at t = 0 in radians.
    pub start: f64,
    /// Amplitude; those of [`TONES`] sum to 1.
    pub amplitude: f64,
}

/// The tones of [`tones_audio`].
pub const TONES: [Tone; 4] = [
    Tone { middle: 220.0, depth: 0.06, period: 1.9, start: 0.0, amplitude: 0.4 },
    Tone { middle: 587.0, depth: 0.04, period: 1.3, start: 1.1, amplitude: 0.3 },
    Tone { middle: 1245.0, depth: 0.08, period: 2.3, start: 2.7, amplitude: 0.2 },
    Tone { middle: 2093.0, depth: 0.05, period: 0.9, start: 4.0, amplitude: 0.1 },
];

impl Tone {
    /// Phase at time `t` in radians, 0 at 0.
    pub fn phase(&self, t: f64) -> f64 {
        let drift = TAU / self.period;
        let shift = (self.start.cos() - (drift * t + self.start).cos()) / drift;
        TAU * self.middle * (t + self.depth * shift)
    }

    /// Frequency at time `t` in Hz.
    pub fn frequency(&self, t: f64) -> f64 {
        self.middle * (1.0 + self.depth * (TAU * t / self.period + self.start).sin())
    }
}

/// The four drifting [`TONES`] (220 to 2200 Hz, peak 0.8) as a mono sound of 16 bits; those that could pass 0.45·`rate` are
/// left out.
pub fn tones_audio(rate: u32, seconds: f64) -> AudioSignal {
    let heard = |tone: &&Tone| tone.middle * (1.0 + tone.depth) <= 0.45 * f64::from(rate);
    let tones: Vec<&Tone> = TONES.iter().filter(heard).collect();
    sound(rate, seconds, |t| PEAK * tones.iter().map(|tone| tone.amplitude * tone.phase(t).sin()).sum::<f64>())
}

/// A mono sound of 16 bits with `value` at t = 0, 1/rate, ….
fn sound(rate: u32, seconds: f64, value: impl Fn(f64) -> f64) -> AudioSignal {
    let frames = (f64::from(rate) * seconds).round() as usize;
    let data = (0..frames).map(|i| value(i as f64 / f64::from(rate)) as f32).collect();
    AudioSignal { rate, channels: 1, format: SampleFormat::Pcm16, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_derivatives_of_phases() {
        let h = 1e-6;
        let chirp = Chirp::new(256);
        for (x, y) in [(0.01, 0.02), (0.5, 0.3), (0.97, 0.99), (0.0, 0.4)] {
            let [fx, fy] = chirp_frequency(256, x, y);
            let dx = (chirp.phase(x + h, y) - chirp.phase(x - h, y)) / (2.0 * h);
            let dy = (chirp.phase(x, y + h) - chirp.phase(x, y - h)) / (2.0 * h);
            assert!((fx - dx).abs() < 1e-5 && (fy - dy).abs() < 1e-5, "{fx} {dx} {fy} {dy}");
        }
        let slope = |phase: &dyn Fn(f64) -> f64, t: f64| (phase(t + h) - phase(t - h)) / (2.0 * h) / TAU;
        let sweep = Sweep::new(16_000, 2.0);
        for t in [0.001, 0.7, 1.99] {
            assert!((slope(&|t| sweep.phase(t), t) - sweep.frequency(t)).abs() < 1e-4);
            for tone in TONES {
                assert!((slope(&|t| tone.phase(t), t) - tone.frequency(t)).abs() < 1e-4);
            }
        }
        assert!((sweep.frequency(0.0) - 50.0).abs() < 1e-9 && (sweep.frequency(2.0) - 7200.0).abs() < 1e-9);
    }

    #[test]
    fn signals_stay_in_range_and_below_nyquist() {
        let n = 64;
        let picture = chirp_image(n);
        assert_eq!((picture.width, picture.channels, picture.data.len()), (n, 1, n * n));
        assert!(picture.data.iter().all(|v| (0.0..=1.0).contains(v)));
        let limit = std::f64::consts::PI * n as f64;
        let ends = [(1.0, 1.0), (1.0, 0.0), (0.7, 1.0)].map(|(x, y)| chirp_frequency(n, x, y));
        assert!(ends.iter().flatten().all(|f| f.abs() < limit));
        let [fx, fy] = ends[0];
        assert!((fx.hypot(fy) / TAU - 0.35 * n as f64).abs() < 1e-9);
        for sound in [sweep_audio(8000, 0.5), tones_audio(8000, 0.5), tones_audio(2000, 0.5)] {
            assert_eq!((sound.frames(), sound.data[0]), ((sound.rate / 2) as usize, 0.0));
            let peak = sound.data.iter().fold(0f32, |a, v| a.max(v.abs()));
            assert!((0.2..=0.8).contains(&peak), "{peak}");
        }
    }
}
