//! Trains a field on data of one's own: exact distances to a torus, drawn afresh for every batch.
//!
//!     cargo run --release --example train_loop

use std::sync::Arc;

use nstr::backend::backend::FieldOp;
use nstr::backend::device::Device;
use nstr::field::sdf::NeuralSdf;
use nstr::fit::{Batch, BatchSource, Budget, Observer, Progress, TrainConfig, TrainState, train};
use nstr::spec::config::preset;
use nstr::spec::init;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Distances to a torus in the middle of the unit cube.
struct Torus;

fn distance(p: &[f32]) -> f32 {
    let [x, y, z] = [p[0] - 0.5, p[1] - 0.5, p[2] - 0.5];
    (x.hypot(y) - 0.3).hypot(z) - 0.1
}

impl BatchSource for Torus {
    /// Batch `index`; it must be the same whenever it is asked for, so that runs repeat themselves.
    fn batch(&self, index: u64) -> Batch {
        let mut rng = Pcg64::new(1, u128::from(index));
        let x: Vec<f32> = (0..3 * 4096).map(|_| rng.random()).collect();
        let target: Vec<f32> = x.chunks_exact(3).map(distance).collect();
        let weight = vec![1.0; target.len()];
        Batch { x, target, weight, ..Batch::default() }
    }
}

/// Observer that prints the loss.
struct Print;

impl Observer for Print {
    fn progress(&mut self, progress: &Progress) -> bool {
        if progress.step.is_multiple_of(128) {
            println!("step {:4}, loss {:.2e}", progress.step, progress.loss);
        }
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = preset("sdf-tiny")?;
    let spec = config.spec();
    let (grid, net) = init::parameters(&spec, &config.init);
    let state = TrainState::new(grid, net);
    let op = FieldOp::new(spec.clone());
    let state =
        train(Device::Cpu, op, TrainConfig::default(), &state, Arc::new(Torus), Budget::Steps(512), &mut Print)?;
    let (grid, net) = state.inference_params();
    let field = NeuralSdf::new(&spec, grid.to_vec(), net, None);
    let points = [glam::Vec3::new(0.8, 0.5, 0.5), glam::Vec3::splat(0.5), glam::Vec3::new(0.8, 0.5, 0.7)];
    let mut values = [0.0; 3];
    field.distance_parallel(&points, &mut values);
    for (p, v) in points.iter().zip(values) {
        println!("{p}: field {v:.4}, torus {:.4}", distance(&p.to_array()));
    }
    Ok(())
}
