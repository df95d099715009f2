//! Batches of a signal's samples.

use nstr_field::signal::SampleRegion;
use nstr_signal::{Signal, ValueTransform};
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::batch_loader::{Batch, BatchSource};
use crate::gaussian::normal;
use crate::signal::config::{SignalConfig, train_sample_indices};

/// Draws batches of a signal's samples.
pub struct SignalSampler {
    lattice: SampleRegion,
    dim: usize,
    channels: usize,
    /// Values that training sees, as the field has them, `[sample][channel]`.
    values: Vec<f32>,
    /// Indices of the samples that training sees; `None`: all.
    seen: Option<Vec<u32>>,
    /// `true` if there are places between or beside the samples that regularisers may fill.
    sparse: bool,
    batch: usize,
    seed: u64,
}

impl SignalSampler {
    /// Batches of `batch` samples of `signal`, encoded by `transform`; `None` where `config` leaves no sample.
    pub fn new(
        signal: &Signal,
        transform: ValueTransform,
        config: &SignalConfig,
        batch: usize,
        seed: u64,
    ) -> Option<Self> {
        let reduced = if config.reduce > 1 { Some(signal.reduced(config.reduce)?) } else { None };
        let signal = reduced.as_ref().unwrap_or(signal);
        let mut rng = Pcg64::new(u128::from(seed) ^ 0x0516_4a1d, 0x5a);
        let noisy = |v: &f32, rng: &mut Pcg64| {
            if config.noise > 0.0 { v + (normal(rng) * config.noise) as f32 } else { *v }
        };
        let values: Vec<f32> = signal.data().iter().map(|v| transform.encode(noisy(v, &mut rng))).collect();
        let seen = train_sample_indices(signal.size(), config, seed);
        let sampler = Self {
            lattice: SampleRegion::whole(signal.size()),
            dim: signal.dim(),
            channels: signal.channels(),
            values,
            sparse: seen.is_some() || reduced.is_some(),
            seen,
            batch,
            seed,
        };
        (sampler.count() > 0).then_some(sampler)
    }

    /// Samples that training sees.
    pub fn count(&self) -> usize {
        self.seen.as_ref().map_or(self.values.len() / self.channels, Vec::len)
    }

    /// `true` if the signal is a picture.
    pub(crate) fn is_picture(&self) -> bool {
        self.dim == 2
    }

    /// One sample of each of `most` equally long stretches of the signal (or of as many as there are samples): as even as
    /// taking turns, and in the order of memory.
    pub(crate) fn draw(&self, index: u64, most: usize) -> Batch {
        let mut rng = Pcg64::new(u128::from(self.seed) ^ 0x0005_164a_1d77, u128::from(index));
        let (count, n) = (self.count(), most.min(self.count()));
        let mut batch = Batch {
            x: Vec::with_capacity(n * self.dim),
            target: Vec::with_capacity(n * self.channels),
            weight: vec![1.0; n],
            regularizer_points: Vec::new(),
            is_paired: false,
        };
        for i in 0..n {
            let at = (i as f64 + rng.random::<f64>()) / n as f64 * count as f64;
            let (x, values) = self.sample((at as usize).min(count - 1));
            batch.x.extend(x);
            batch.target.extend(values);
        }
        if self.sparse {
            batch.regularizer_points = self.points_anywhere(n, &mut rng);
        }
        batch
    }

    /// Point and values of the `i`-th sample that training sees.
    fn sample(&self, i: usize) -> (impl Iterator<Item = f32>, &[f32]) {
        let at = self.seen.as_ref().map_or(i, |seen| seen[i] as usize);
        (self.lattice.position(at).into_iter().take(self.dim), &self.values[at * self.channels..][..self.channels])
    }

    /// `n` points of the whole cube, evenly along the last axis.
    fn points_anywhere(&self, n: usize, rng: &mut Pcg64) -> Vec<f32> {
        let mut x = Vec::with_capacity(n * self.dim);
        for i in 0..n {
            x.extend((1..self.dim).map(|_| rng.random::<f32>()));
            x.push((i as f32 + rng.random::<f32>()) / n as f32);
        }
        x
    }
}

impl BatchSource for SignalSampler {
    fn batch(&self, index: u64) -> Batch {
        self.draw(index, self.batch)
    }
}
