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

use crate::feed::{Batch, BatchSource, Feed};
use crate::gaussian::normal;
use crate::task::{Place, Task};
use crate::trainer::TrainError;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_field::signal::{NeuralSignal, Window};
use nstr_kernel::Fused;
use nstr_signal::{Signal, ValueTransform, ValueTransformKind};

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
    pub encoding: ValueTransformKind,
}

impl Default for SignalConfig {
    fn default() -> Self {
        Self { share: 1.0, block: 1, noise: 0.0, reduce: 1, encoding: ValueTransformKind::Auto }
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
    /// Batches of `batch` samples of `signal`, encoded by `transform`; `None` where `config` leaves no sample.
    pub fn new(signal: &Signal, transform: ValueTransform, config: &SignalConfig, batch: usize, seed: u64) -> Option<Self> {
        let reduced = if config.reduce > 1 { Some(signal.reduced(config.reduce)?) } else { None };
        let signal = reduced.as_ref().unwrap_or(signal);
        let mut rng = Pcg64::new(u128::from(seed) ^ 0x0516_4a1d, 0x5a);
        let noisy = |v: &f32, rng: &mut Pcg64| {
            if config.noise > 0.0 { v + (normal(rng) * config.noise) as f32 } else { *v }
        };
        let values: Vec<f32> = signal.data().iter().map(|v| transform.encode(noisy(v, &mut rng))).collect();
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
    pub fn start(op: &FieldOp, source: Arc<SignalSource>, config: crate::FeedConfig, step: u64) -> Self {
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
    use nstr_spec::config::preset;
    use nstr_signal::synthetic::{chirp_picture, sweep_sound};
    use proptest::prelude::*;

    fn source(config: &SignalConfig, batch: usize, seed: u64) -> SignalSource {
        let signal = Signal::Picture(chirp_picture(32));
        SignalSource::new(&signal, ValueTransform::plain(1.0), config, batch, seed).unwrap()
    }

    #[test]
    fn a_batch_of_everything_is_the_signal() {
        let picture = chirp_picture(32);
        let batch = source(&SignalConfig::default(), 1 << 20, 3).batch(5);
        assert_eq!(batch.target, picture.data);
        assert_eq!(batch.x[..4], [0.5 / 32.0, 0.5 / 32.0, 1.5 / 32.0, 0.5 / 32.0]);
        let sound = sweep_sound(8000, 0.1);
        let transform = Signal::Sound(sound.clone()).info(ValueTransformKind::Auto).transform();
        let source = SignalSource::new(&Signal::Sound(sound), transform, &SignalConfig::default(), 1 << 20, 0).unwrap();
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
            SignalSource::new(&signal, ValueTransform::plain(1.0), &whole, 64, *seed).is_none()
        };
        assert!((4..14).contains(&(0..14).filter(none).count()));
        let singles = SignalConfig { block: 1, ..config };
        assert_eq!(held_in([640, 1], &singles, 6), held_in([32, 20], &singles, 6), "in the order of the samples");
    }

    #[test]
    fn a_reconstruction_takes_any_size_and_a_sound_keeps_its_duration() {
        let mut config = preset("audio-tiny").unwrap();
        config.outputs = 1;
        let (grid, net) = nstr_spec::init::parameters(&config.spec(), &config.init);
        let field = NeuralSignal::new(&config.spec(), grid, &net);
        let sound = sweep_sound(8000, 0.5);
        let info = Signal::Sound(sound).info(ValueTransformKind::Auto);
        let window = Window::whole([8000, 1]);
        let values = field.sample(&window);
        let Signal::Sound(twice) = info.assemble(values, window.size, window.count) else { panic!("a sound") };
        assert_eq!((twice.rate, twice.frames()), (16000, 8000));
    }

    proptest! {
        #[test]
        fn codecs_go_both_ways(values in proptest::collection::vec(-1e4f32..1e4, 1..40), log in any::<bool>()) {
            let transform = if log { ValueTransform::log(&values) } else { ValueTransform::plain(values[0].abs()) };
            for v in &values {
                let back = transform.decode(transform.encode(*v));
                prop_assert!((back - v).abs() <= 1e-4 * v.abs().max(transform.divisor), "{v} became {back}");
                prop_assert!(!log || transform.encode(*v).abs() <= 1.0001);
            }
        }
    }
}
