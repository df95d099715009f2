//! Training batches drawn in the background, in an order that does not depend on timing.
//!
//! A [`BatchSource`] makes batch `i` from its number alone. Step `t` uses a batch of a pool that always holds the newest
//! [`LoaderConfig::pool_size`] of the `first + t / steps_per_batch` batches drawn so far: a fresh one every `steps_per_batch`
//! steps, else one of the pool picked by a hash of `t`. A run resumed at any step therefore sees the same batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use nstr_spec::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::check::check_count;

/// Points with their target values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Coordinates in the unit cube, `[point][dim]`.
    pub x: Vec<f32>,
    /// Target values, `[point][outputs]`.
    pub target: Vec<f32>,
    /// Weight of each point in the loss.
    pub weight: Vec<f32>,
    /// Points `[point][dim]` for the regularisers, including regions without targets; empty: `x` is used.
    pub regularizer_points: Vec<f32>,
    /// `true` if points `2i` and `2i + 1` lie close together, for the loss of slopes.
    pub is_paired: bool,
}

/// Source of batches, by number.
pub trait BatchSource: Send + Sync + 'static {
    /// Batch `index`: the same bits whenever it is asked for. Runs on a background thread.
    fn batch(&self, index: u64) -> Batch;
}

/// Reuse of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderConfig {
    /// Batches kept for reuse, 1 to 65536.
    #[serde(alias = "pool")]
    pub pool_size: u64,
    /// Steps for each batch drawn, 1 to 65536.
    #[serde(alias = "reuse")]
    pub steps_per_batch: u64,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self { pool_size: 64, steps_per_batch: 10 }
    }
}

impl LoaderConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_count("train.loader.pool_size", self.pool_size, 1 << 16)?;
        check_count("train.loader.steps_per_batch", self.steps_per_batch, 1 << 16)
    }
}

/// Batches drawn before the first step.
const INITIAL_BATCHES: u64 = 4;
/// Batches drawn ahead of need.
const PREFETCH: usize = 4;

/// The pool and the thread that fills it.
pub struct BatchLoader {
    config: LoaderConfig,
    pool: VecDeque<Arc<Batch>>,
    /// Number of the next batch to arrive.
    next: u64,
    from: Option<Receiver<Batch>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BatchLoader {
    /// Starts drawing for a run that begins at step `step`.
    pub fn start(source: Arc<dyn BatchSource>, config: LoaderConfig, step: u64) -> Self {
        let first = batches_drawn(config, step).saturating_sub(config.pool_size.max(1));
        let stop = Arc::new(AtomicBool::new(false));
        let (to, from) = sync_channel(PREFETCH);
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for index in first.. {
                if stopped.load(Ordering::Relaxed) || to.send(source.batch(index)).is_err() {
                    break;
                }
            }
        });
        Self { config, pool: VecDeque::new(), next: first, from: Some(from), stop, thread: Some(thread) }
    }

    /// The batch of step `step`; steps must be asked for in order. `None` if the drawing thread died.
    pub fn batch(&mut self, step: u64) -> Option<Arc<Batch>> {
        let wanted = batches_drawn(self.config, step);
        while self.next < wanted {
            let batch = self.from.as_ref()?.recv().ok()?;
            self.pool.push_back(Arc::new(batch));
            self.next += 1;
            if self.pool.len() as u64 > self.config.pool_size.max(1) {
                self.pool.pop_front();
            }
        }
        let fresh = step.is_multiple_of(self.config.steps_per_batch.max(1));
        let back = if fresh { 0 } else { (splitmix64(step) % self.pool.len() as u64) as usize };
        self.pool.get(self.pool.len() - 1 - back).cloned()
    }
}

impl Drop for BatchLoader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.from = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the source has shown as a missing batch already.
            let _ = thread.join();
        }
    }
}

/// Batches drawn before step `step` runs.
fn batches_drawn(config: LoaderConfig, step: u64) -> u64 {
    INITIAL_BATCHES + step / config.steps_per_batch.max(1)
}

/// A well-mixed hash of a number (the finaliser of SplitMix64; Steele et al. 2014).
fn splitmix64(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers;
    impl BatchSource for Numbers {
        fn batch(&self, index: u64) -> Batch {
            Batch { x: vec![index as f32], ..Batch::default() }
        }
    }

    fn run(config: LoaderConfig, from: u64, to: u64) -> Vec<f32> {
        let mut loader = BatchLoader::start(Arc::new(Numbers), config, from);
        (from..to).map(|t| loader.batch(t).unwrap().x[0]).collect()
    }

    #[test]
    fn a_resumed_loader_sees_the_same_batches() {
        for config in [
            LoaderConfig { pool_size: 8, steps_per_batch: 3 },
            LoaderConfig { pool_size: 1, steps_per_batch: 1 },
            LoaderConfig { pool_size: 64, steps_per_batch: 4 },
        ] {
            let whole = run(config, 0, 200);
            for at in [1, 7, 50, 133] {
                assert_eq!(whole[at as usize..], run(config, at, 200), "{config:?} from {at}");
            }
        }
    }

    #[test]
    fn batches_are_fresh_every_few_steps_and_never_older_than_the_pool() {
        let config = LoaderConfig { pool_size: 8, steps_per_batch: 3 };
        for (t, b) in run(config, 0, 300).into_iter().enumerate() {
            let newest = INITIAL_BATCHES + t as u64 / 3 - 1;
            assert!(b as u64 <= newest && b as u64 + 8 > newest);
            if t % 3 == 0 {
                assert_eq!(b as u64, newest);
            }
        }
    }
}
