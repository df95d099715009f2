//! Training batches drawn in the background, in an order that does not depend on timing.
//!
//! A [`BatchSource`] makes batch `i` from its number alone. Step `t` uses a batch of a pool that always holds the newest
//! [`FeedConfig::pool`] of the `first + t / reuse` batches drawn so far: a fresh one every `reuse` steps, else one of the
//! pool picked by a hash of `t`. A run resumed at any step therefore sees the same batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

/// Points with their wanted values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Coordinates in the unit cube, `[point][dim]`.
    pub x: Vec<f32>,
    /// Wanted values, `[point][outputs]`.
    pub target: Vec<f32>,
    /// Weight of each point in the loss.
    pub weight: Vec<f32>,
    /// Points `[point][dim]` where the regularisers hold, wherever there is nothing to learn too; empty: where `x` is.
    pub unwatched: Vec<f32>,
}

/// Makes batches by number.
pub trait BatchSource: Send + Sync + 'static {
    /// Batch `index`: the same bits whenever it is asked for. Runs on a background thread.
    fn batch(&self, index: u64) -> Batch;
}

/// How batches are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// Batches kept.
    pub pool: u64,
    /// Steps for each batch drawn.
    pub reuse: u64,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self { pool: 64, reuse: 10 }
    }
}

/// Batches there are before the first step.
const FIRST: u64 = 4;
/// Batches drawn ahead of need.
const AHEAD: usize = 4;

/// The pool and the thread that fills it.
pub struct Feed {
    config: FeedConfig,
    pool: VecDeque<Arc<Batch>>,
    /// Number of the next batch to arrive.
    next: u64,
    from: Option<Receiver<Batch>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Starts drawing for a run that begins at step `step`.
    pub fn start(source: Arc<dyn BatchSource>, config: FeedConfig, step: u64) -> Self {
        let first = drawn(config, step).saturating_sub(config.pool.max(1));
        let stop = Arc::new(AtomicBool::new(false));
        let (to, from) = sync_channel(AHEAD);
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            for index in first.. {
                if seen.load(Ordering::Relaxed) || to.send(source.batch(index)).is_err() {
                    break;
                }
            }
        });
        Self { config, pool: VecDeque::new(), next: first, from: Some(from), stop, thread: Some(thread) }
    }

    /// The batch of step `step`; steps must be asked for in order. `None` if the drawing thread died.
    pub fn batch(&mut self, step: u64) -> Option<Arc<Batch>> {
        let wanted = drawn(self.config, step);
        while self.next < wanted {
            let batch = self.from.as_ref()?.recv().ok()?;
            self.pool.push_back(Arc::new(batch));
            self.next += 1;
            if self.pool.len() as u64 > self.config.pool.max(1) {
                self.pool.pop_front();
            }
        }
        let fresh = step.is_multiple_of(self.config.reuse.max(1));
        let back = if fresh { 0 } else { (mix(step) % self.pool.len() as u64) as usize };
        self.pool.get(self.pool.len() - 1 - back).cloned()
    }
}

impl Drop for Feed {
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
fn drawn(config: FeedConfig, step: u64) -> u64 {
    FIRST + step / config.reuse.max(1)
}

/// A well-mixed hash of a number (the finaliser of SplitMix64; Steele et al. 2014).
pub fn mix(n: u64) -> u64 {
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

    fn run(config: FeedConfig, from: u64, to: u64) -> Vec<f32> {
        let mut feed = Feed::start(Arc::new(Numbers), config, from);
        (from..to).map(|t| feed.batch(t).unwrap().x[0]).collect()
    }

    #[test]
    fn a_resumed_feed_sees_the_same_batches() {
        for config in
            [FeedConfig { pool: 8, reuse: 3 }, FeedConfig { pool: 1, reuse: 1 }, FeedConfig { pool: 64, reuse: 4 }]
        {
            let whole = run(config, 0, 200);
            for at in [1, 7, 50, 133] {
                assert_eq!(whole[at as usize..], run(config, at, 200), "{config:?} from {at}");
            }
        }
    }

    #[test]
    fn batches_are_fresh_every_reuse_steps_and_never_older_than_the_pool() {
        let config = FeedConfig { pool: 8, reuse: 3 };
        for (t, b) in run(config, 0, 300).into_iter().enumerate() {
            let newest = FIRST + t as u64 / 3 - 1;
            assert!(b as u64 <= newest && b as u64 + 8 > newest);
            if t % 3 == 0 {
                assert_eq!(b as u64, newest);
            }
        }
    }
}
