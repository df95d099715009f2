//! State of a training run: everything that it needs to go on exactly where it stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rounding::RoundingState;

/// State that a task keeps in a checkpoint, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskState {
    /// Single numbers.
    pub numbers: BTreeMap<String, f64>,
    /// Arrays.
    pub arrays: BTreeMap<String, Vec<f32>>,
}

/// Parameters, moments and progress of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainState {
    /// Steps done.
    pub step: u64,
    /// Training time spent.
    pub elapsed: Duration,
    /// Latent grid.
    pub grid: Vec<f32>,
    /// Basis and networks.
    pub net: Vec<f32>,
    /// Adam's moments of the grid.
    pub grid_moments: [Vec<f32>; 2],
    /// Adam's moments of the networks.
    pub net_moments: [Vec<f32>; 2],
    /// Moving averages of grid and networks; `None` where none are kept.
    pub ema: Option<[Vec<f32>; 2]>,
    /// Steps that parameters are rounded to, once they are.
    pub rounding: Option<RoundingState>,
    /// State of the task.
    pub task: TaskState,
}

impl TrainState {
    /// The state before the first step.
    pub fn new(grid: Vec<f32>, net: Vec<f32>) -> Self {
        let zeros = |n: usize| [vec![0.0; n], vec![0.0; n]];
        Self { grid_moments: zeros(grid.len()), net_moments: zeros(net.len()), grid, net, ..Self::default() }
    }

    /// The parameters that make the model, grid and networks: their moving averages where there are any. Not rounded.
    pub fn inference_params(&self) -> (&[f32], &[f32]) {
        match &self.ema {
            Some([grid, net]) => (grid, net),
            None => (&self.grid, &self.net),
        }
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.grid.iter().chain(&self.net).all(|p| p.is_finite())
    }
}
