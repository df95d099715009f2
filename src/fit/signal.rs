//! Pictures and sounds as tasks: their samples as points with wanted values, and how well a field stands for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::feed::{Batch, BatchSource, Feed};
use super::gaussian::normal;
use super::task::{Place, Task};
use super::trainer::TrainError;
use crate::field::backend::{FieldBackend, FieldOp};
use crate::field::signal::{NeuralSignal, Window};
use crate::kernel::Fused;
use crate::signal::{Picture, SampleFormat, Scale, SignalError, Sound, read_picture, read_sound};

/// What training sees of a signal; `--set signal.key=value` reaches each. Measurements are always taken on all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignalConfig {
    /// Share of the samples that training sees, always the same ones; the rest is held out.
    pub share: f64,
    /// Edge, in samples, of the blocks that training sees or does not see as a whole: 1 for single samples, more for holes
    /// to be filled.
    pub block: usize,
    /// Standard deviation of the noise added to what training sees, always the same, in the signal's own values.
    pub noise: f64,
    /// Pictures: training sees the picture this many times smaller (means of boxes); sounds: every so many samples' mean.
    pub reduce: usize,
    /// How values enter the field.
    pub encoding: Encoding,
}

impl Default for SignalConfig {
    fn default() -> Self {
        Self { share: 1.0, block: 1, noise: 0.0, reduce: 1, encoding: Encoding::Auto }
    }
}

/// How values enter the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// `log` for scene-linear pictures, else `plain`.
    #[default]
    Auto,
    /// As they are, sounds divided by their peak.
    Plain,
    /// `asinh(v/s)`, near `v/s` for small and `ln(2v/s)` for large values: errors count relative to the value, for pictures
    /// of high dynamic range. `s` is the mean magnitude, and the largest value becomes 1.
    Log,
}

/// A signal's values to those of the field and back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Codec {
    /// Whether values are logarithmic.
    pub log: bool,
    /// What values are divided by first.
    pub divisor: f32,
    /// What they are multiplied by last.
    pub factor: f32,
}

impl Codec {
    /// Plain values, divided by `peak`.
    pub fn plain(peak: f32) -> Self {
        Self { log: false, divisor: if peak > 0.0 { peak } else { 1.0 }, factor: 1.0 }
    }

    /// Logarithmic values, for `data`.
    pub fn log(data: &[f32]) -> Self {
        let mean = data.iter().map(|v| f64::from(v.abs())).sum::<f64>() / data.len().max(1) as f64;
        let divisor = if mean > 0.0 { mean as f32 } else { 1.0 };
        let peak = data.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let most = (peak / divisor).asinh();
        Self { log: true, divisor, factor: if most > 0.0 { 1.0 / most } else { 1.0 } }
    }

    /// The field's value for a signal's.
    pub fn encode(&self, v: f32) -> f32 {
        let v = v / self.divisor;
        self.factor * if self.log { v.asinh() } else { v }
    }

    /// The signal's value for a field's.
    pub fn decode(&self, y: f32) -> f32 {
        let y = y / self.factor;
        self.divisor * if self.log { y.sinh() } else { y }
    }
}

/// What a model keeps of the signal that it stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum SignalInfo {
    /// A picture; the unit square is stretched over it, rows downwards along y.
    Picture {
        /// Pixels along x.
        width: usize,
        /// Pixels along y.
        height: usize,
        /// 1, 3 or 4.
        channels: usize,
        /// What its values mean.
        scale: Scale,
        /// How they enter the field.
        codec: Codec,
    },
    /// A sound; the unit interval is its duration.
    Sound {
        /// Frames a second.
        rate: u32,
        /// Frames.
        frames: usize,
        /// Values a frame.
        channels: usize,
        /// How it is stored in files.
        format: SampleFormat,
        /// How its values enter the field.
        codec: Codec,
    },
}

/// A picture or a sound.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A picture.
    Picture(Picture),
    /// A sound.
    Sound(Sound),
}

impl Signal {
    /// Whether a file's name is that of a picture or a sound.
    pub fn is_named(path: &Path) -> bool {
        is_picture(path) || has_extension(path, &["wav", "flac"])
    }

    /// Reads a picture or a sound, which of them by its name.
    ///
    /// # Errors
    /// Those of [`read_picture`] and [`read_sound`].
    pub fn read(path: &Path) -> Result<Self, SignalError> {
        if is_picture(path) { read_picture(path).map(Self::Picture) } else { read_sound(path).map(Self::Sound) }
    }

    /// Samples along the longest axis.
    pub fn longest(&self) -> usize {
        let [a, b] = self.size();
        a.max(b)
    }

    /// What a model keeps of it.
    pub fn info(&self, encoding: Encoding) -> SignalInfo {
        let data = self.data();
        let log = match (encoding, self) {
            (Encoding::Auto, Self::Picture(p)) => p.scale == Scale::Linear,
            (Encoding::Log, _) => true,
            _ => false,
        };
        let peak = data.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let codec = match self {
            _ if log => Codec::log(data),
            Self::Picture(_) => Codec::plain(1.0),
            Self::Sound(_) => Codec::plain(peak),
        };
        match self {
            Self::Picture(p) => {
                let Picture { width, height, channels, scale, .. } = *p;
                SignalInfo::Picture { width, height, channels, scale, codec }
            }
            Self::Sound(s) => {
                let Sound { rate, channels, format, .. } = *s;
                SignalInfo::Sound { rate, frames: s.frames(), channels, format, codec }
            }
        }
    }

    /// Coordinates of a field of it: 2 for pictures, 1 for sounds.
    pub fn dim(&self) -> usize {
        if matches!(self, Self::Picture(_)) { 2 } else { 1 }
    }

    /// Values of a sample.
    pub fn channels(&self) -> usize {
        match self {
            Self::Picture(p) => p.channels,
            Self::Sound(s) => s.channels,
        }
    }

    /// `[sample][channel]`.
    pub fn data(&self) -> &[f32] {
        match self {
            Self::Picture(p) => &p.data,
            Self::Sound(s) => &s.data,
        }
    }

    /// Samples along each axis.
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::Picture(p) => [p.width, p.height],
            Self::Sound(s) => [s.frames(), 1],
        }
    }

    /// The signal `n` times smaller: means of boxes; `None` where nothing is left.
    pub fn reduced(&self, n: usize) -> Option<Self> {
        match self {
            Self::Picture(p) => p.reduced(n).map(Self::Picture),
            Self::Sound(s) => {
                let channels = s.channels;
                let boxes = s.data.chunks_exact(channels.checked_mul(n).filter(|c| *c > 0)?);
                let mean = |frames: &[f32], c: usize| frames.iter().skip(c).step_by(channels).sum::<f32>() / n as f32;
                let data: Vec<f32> = boxes.flat_map(|b| (0..channels).map(move |c| mean(b, c))).collect();
                let rate = s.rate / n as u32;
                (!data.is_empty() && rate > 0).then(|| Self::Sound(Sound { rate, data, ..s.clone() }))
            }
        }
    }
}

fn is_picture(path: &Path) -> bool {
    has_extension(path, &["png", "jpg", "jpeg", "exr"])
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| known.contains(&e.to_lowercase().as_str()))
}

impl SignalInfo {
    /// Samples along each axis.
    pub fn size(&self) -> [usize; 2] {
        match *self {
            Self::Picture { width, height, .. } => [width, height],
            Self::Sound { frames, .. } => [frames, 1],
        }
    }

    /// How values enter the field.
    pub fn codec(&self) -> Codec {
        match *self {
            Self::Picture { codec, .. } | Self::Sound { codec, .. } => codec,
        }
    }

    /// The signal that `field` stands for, at the samples of `window`: any resolution, any part. A sound keeps its duration:
    /// its rate follows from the window's size.
    pub fn reconstruct(&self, field: &NeuralSignal, window: &Window) -> Signal {
        let codec = self.codec();
        let mut data = field.sample(window);
        data.iter_mut().for_each(|v| *v = codec.decode(*v));
        match *self {
            Self::Picture { channels, scale, .. } => {
                Signal::Picture(Picture { width: window.count[0], height: window.count[1], channels, scale, data })
            }
            Self::Sound { rate, frames, channels, format, .. } => {
                let rate = (f64::from(rate) * window.size[0] as f64 / frames.max(1) as f64).round().max(1.0) as u32;
                Signal::Sound(Sound { rate, channels, format, data })
            }
        }
    }
}

/// Draws batches of a signal's samples.
pub struct SignalSource {
    lattice: Window,
    dim: usize,
    channels: usize,
    /// What training sees, in the field's values, `[sample][channel]`.
    values: Vec<f32>,
    /// Numbers of the samples that training sees; `None`: all.
    seen: Option<Vec<u32>>,
    /// Whether there are places between or beside the samples that a rule may fill.
    sparse: bool,
    batch: usize,
    seed: u64,
}

impl SignalSource {
    /// Batches of `batch` samples of `signal`, encoded by `codec`; `None` where `config` leaves no sample.
    pub fn new(signal: &Signal, codec: Codec, config: &SignalConfig, batch: usize, seed: u64) -> Option<Self> {
        let reduced = if config.reduce > 1 { Some(signal.reduced(config.reduce)?) } else { None };
        let signal = reduced.as_ref().unwrap_or(signal);
        let mut rng = Pcg64::new(u128::from(seed) ^ 0x0516_4a1d, 0x5a);
        let noisy = |v: &f32, rng: &mut Pcg64| {
            if config.noise > 0.0 { v + (normal(rng) * config.noise) as f32 } else { *v }
        };
        let values: Vec<f32> = signal.data().iter().map(|v| codec.encode(noisy(v, &mut rng))).collect();
        let seen = held_in(signal.size(), config, seed);
        let source = Self {
            lattice: Window::whole(signal.size()),
            dim: signal.dim(),
            channels: signal.channels(),
            values,
            sparse: seen.is_some() || reduced.is_some(),
            seen,
            batch,
            seed,
        };
        (source.count() > 0).then_some(source)
    }

    /// Samples that training sees.
    pub fn count(&self) -> usize {
        self.seen.as_ref().map_or(self.values.len() / self.channels, Vec::len)
    }

    /// The point and the values of the `i`-th sample that training sees.
    fn sample(&self, i: usize) -> (impl Iterator<Item = f32>, &[f32]) {
        let at = self.seen.as_ref().map_or(i, |seen| seen[i] as usize);
        (self.lattice.position(at).into_iter().take(self.dim), &self.values[at * self.channels..][..self.channels])
    }
}

impl SignalSource {
    /// One sample of each of `most` equally long stretches of the signal (or of as many as there are samples): as even as
    /// taking turns, and in the order of memory.
    fn draw(&self, index: u64, most: usize) -> Batch {
        let mut rng = Pcg64::new(u128::from(self.seed) ^ 0x0005_164a_1d77, u128::from(index));
        let (count, n) = (self.count(), most.min(self.count()));
        let mut batch = Batch {
            x: Vec::with_capacity(n * self.dim),
            target: Vec::with_capacity(n * self.channels),
            weight: vec![1.0; n],
            unwatched: Vec::new(),
        };
        for i in 0..n {
            let place = (i as f64 + rng.random::<f64>()) / n as f64 * count as f64;
            let (x, values) = self.sample((place as usize).min(count - 1));
            batch.x.extend(x);
            batch.target.extend(values);
        }
        if self.sparse {
            batch.unwatched = self.anywhere(n, &mut rng);
        }
        batch
    }

    /// `n` places of the whole cube, evenly along the last axis.
    fn anywhere(&self, n: usize, rng: &mut Pcg64) -> Vec<f32> {
        let mut x = Vec::with_capacity(n * self.dim);
        for i in 0..n {
            x.extend((1..self.dim).map(|_| rng.random::<f32>()));
            x.push((i as f32 + rng.random::<f32>()) / n as f32);
        }
        x
    }
}

/// The samples that training sees of a signal of `size` where it sees a share, the same for the same seed; `None` where it
/// sees all.
pub fn held_in(size: [usize; 2], config: &SignalConfig, seed: u64) -> Option<Vec<u32>> {
    if config.share >= 1.0 {
        return None;
    }
    let [width, height] = size;
    let blocks = size.map(|n| n.div_ceil(config.block.max(1)));
    let mut rng = Pcg64::new(u128::from(seed) ^ 0x0516_4a1d, 0x5b);
    let kept: Vec<bool> = (0..blocks[0] * blocks[1]).map(|_| rng.random::<f64>() < config.share).collect();
    let block = |i: usize| i % width / config.block.max(1) + blocks[0] * (i / width / config.block.max(1));
    Some((0..width * height).filter(|i| kept[block(*i)]).map(|i| i as u32).collect())
}

impl BatchSource for SignalSource {
    fn batch(&self, index: u64) -> Batch {
        self.draw(index, self.batch)
    }
}

/// Samples that the figure of the progress line is taken on.
const PROBES: usize = 1 << 13;
/// Time between them.
const FIGURE_EVERY: Duration = Duration::from_millis(500);
/// Steps between looks at the parameters for the figure.
const LOOK: u64 = 16;

/// A signal learned from its samples, with its PSNR (sounds: SNR) on some of them along the way.
pub struct SignalTask {
    feed: Feed,
    fused: Fused,
    probe: Batch,
    /// The largest value squared, or the mean square of the probe's values: what the error is compared with.
    power: f64,
    name: &'static str,
    pending: Option<(Vec<f32>, Vec<f32>)>,
    figure: Option<f64>,
    measured: Duration,
}

impl SignalTask {
    /// Learns `source` from step `step` on.
    pub fn start(op: &FieldOp, source: Arc<SignalSource>, config: super::FeedConfig, step: u64) -> Self {
        let probe = source.draw(u64::MAX, PROBES);
        let square = probe.target.iter().map(|v| f64::from(v * v)).sum::<f64>() / probe.target.len().max(1) as f64;
        let picture = source.dim == 2;
        Self {
            feed: Feed::start(source, config, step),
            fused: Fused::new(op.spec()),
            probe,
            power: if picture { 1.0 } else { square },
            name: if picture { "PSNR" } else { "SNR" },
            pending: None,
            figure: None,
            measured: Duration::ZERO,
        }
    }

    fn measure(&self, grid: &[f32], net: &[f32]) -> f64 {
        let mut out = vec![0.0; self.probe.target.len()];
        self.fused.forward(grid, net, &self.probe.x, &mut out);
        let square = |(a, b): (&f32, &f32)| f64::from((a - b) * (a - b));
        let mse = out.iter().zip(&self.probe.target).map(square).sum::<f64>() / out.len().max(1) as f64;
        10.0 * (self.power / mse.max(1e-20)).log10()
    }
}

impl<B: FieldBackend> Task<B> for SignalTask
where
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    fn loss(&mut self, place: &Place<'_, B>) -> Result<Tensor<Autodiff<B>, 1>, TrainError> {
        Task::<B>::loss(&mut self.feed, place)
    }

    fn stepped(&mut self, step: u64, grid: &Tensor<B, 1>, net: &Tensor<B, 1>) {
        if step.is_multiple_of(LOOK) {
            let [grid, net] = [grid, net].map(|t| t.to_data().iter::<f32>().collect::<Vec<_>>());
            self.pending = Some((grid, net));
        }
    }

    fn figure(&mut self, elapsed: Duration) -> Option<(&'static str, f64)> {
        if (self.figure.is_none() || elapsed >= self.measured + FIGURE_EVERY)
            && let Some((grid, net)) = self.pending.take()
        {
            self.figure = Some(self.measure(&grid, &net));
            self.measured = elapsed;
        }
        self.figure.map(|figure| (self.name, figure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::config::preset;
    use crate::signal::synthetic::{chirp_picture, sweep_sound};
    use proptest::prelude::*;

    fn source(config: &SignalConfig, batch: usize, seed: u64) -> SignalSource {
        let signal = Signal::Picture(chirp_picture(32));
        SignalSource::new(&signal, Codec::plain(1.0), config, batch, seed).unwrap()
    }

    #[test]
    fn a_batch_of_everything_is_the_signal() {
        let picture = chirp_picture(32);
        let batch = source(&SignalConfig::default(), 1 << 20, 3).batch(5);
        assert_eq!(batch.target, picture.data);
        assert_eq!(batch.x[..4], [0.5 / 32.0, 0.5 / 32.0, 1.5 / 32.0, 0.5 / 32.0]);
        let sound = sweep_sound(8000, 0.1);
        let codec = Signal::Sound(sound.clone()).info(Encoding::Auto).codec();
        let source = SignalSource::new(&Signal::Sound(sound), codec, &SignalConfig::default(), 1 << 20, 0).unwrap();
        let peak = source.batch(0).target.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!((peak - 1.0).abs() < 1e-6, "sounds are divided by their peak");
    }

    #[test]
    fn batches_are_spread_evenly_and_repeat() {
        let all = source(&SignalConfig::default(), 64, 1);
        assert_eq!(all.batch(9), all.batch(9));
        assert_ne!(all.batch(9), all.batch(10));
        let rows: Vec<usize> = all.batch(9).x.chunks(2).map(|x| (x[1] * 32.0) as usize).collect();
        assert!((0..32).all(|row| rows.iter().filter(|r| **r == row).count() == 2), "two of each row: {rows:?}");
    }

    #[test]
    fn a_share_is_always_the_same_and_noise_too() {
        let config = SignalConfig { share: 0.25, noise: 0.1, ..SignalConfig::default() };
        let [a, b] = [0, 1].map(|index| source(&config, 1 << 20, 4).batch(index));
        assert_eq!((&a.x, &a.target), (&b.x, &b.target), "a batch of all that is seen");
        let seen = a.weight.len();
        assert!((200..312).contains(&seen), "{seen} of 1024");
        assert_eq!(seen, held_in([32, 32], &config, 4).unwrap().len());
        // Rules hold everywhere, not only where something is seen.
        assert_eq!(a.unwatched.len(), a.x.len());
        let quarter = |i: usize| a.unwatched.chunks(2).filter(|p| p[i] < 0.25).count() as f64 / seen as f64;
        assert!((0.18..0.32).contains(&quarter(0)) && (0.24..0.26).contains(&quarter(1)), "{}", quarter(0));
        assert!(source(&SignalConfig::default(), 64, 4).batch(0).unwatched.is_empty());
        let clean = source(&SignalConfig { noise: 0.0, ..config }, 1 << 20, 4).batch(0);
        let apart: f32 = a.target.iter().zip(&clean.target).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / seen as f32;
        assert!((apart.sqrt() - 0.1).abs() < 0.02 && a.x == clean.x, "noise of {}", apart.sqrt());
        let reduced = source(&SignalConfig { reduce: 4, ..SignalConfig::default() }, 1 << 20, 0);
        assert_eq!(reduced.count(), 64);
        assert_eq!(reduced.batch(0).x[0], 0.5 / 8.0);
        assert_eq!(reduced.batch(0).unwatched.len(), 128);
    }

    #[test]
    fn holes_are_whole_blocks() {
        let config = SignalConfig { share: 0.7, block: 5, ..SignalConfig::default() };
        // 32 by 20 samples: 7 by 4 blocks, the last of a row 2 wide.
        let seen: std::collections::HashSet<u32> = held_in([32, 20], &config, 6).unwrap().into_iter().collect();
        let at = |x: u32, y: u32| seen.contains(&(x + 32 * y));
        let whole = (0..20).all(|y| (0..32).all(|x| at(x, y) == at(x / 5 * 5, y / 5 * 5)));
        assert!(whole && seen.len() > 300 && seen.len() < 600, "{}", seen.len());
        // One block that is not kept leaves nothing, not everything.
        let signal = Signal::Picture(chirp_picture(32));
        let none = |seed: &u64| {
            let whole = SignalConfig { share: 0.3, block: 64, ..SignalConfig::default() };
            SignalSource::new(&signal, Codec::plain(1.0), &whole, 64, *seed).is_none()
        };
        assert!((4..14).contains(&(0..14).filter(none).count()));
        let singles = SignalConfig { block: 1, ..config };
        assert_eq!(held_in([640, 1], &singles, 6), held_in([32, 20], &singles, 6), "in the order of the samples");
    }

    #[test]
    fn a_reconstruction_takes_any_size_and_a_sound_keeps_its_duration() {
        let mut config = preset("audio-tiny").unwrap();
        config.outputs = 1;
        let (grid, net) = crate::field::init::parameters(&config.spec(), &config.init);
        let field = NeuralSignal::new(&config.spec(), grid, &net);
        let sound = sweep_sound(8000, 0.5);
        let info = Signal::Sound(sound).info(Encoding::Auto);
        let Signal::Sound(twice) = info.reconstruct(&field, &Window::whole([8000, 1])) else { panic!("a sound") };
        assert_eq!((twice.rate, twice.frames()), (16000, 8000));
    }

    proptest! {
        #[test]
        fn codecs_go_both_ways(values in proptest::collection::vec(-1e4f32..1e4, 1..40), log in any::<bool>()) {
            let codec = if log { Codec::log(&values) } else { Codec::plain(values[0].abs()) };
            for v in &values {
                let back = codec.decode(codec.encode(*v));
                prop_assert!((back - v).abs() <= 1e-4 * v.abs().max(codec.divisor), "{v} became {back}");
                prop_assert!(!log || codec.encode(*v).abs() <= 1.0001);
            }
        }
    }
}
