//! A training step (forward, backward) of the default field through Burn's autodiff on Flex: plain tensors and fused
//! kernels in the same run.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nstr::backend::backend::{FieldOp, forward, forward_full};
use nstr::spec::{config, init};

type Auto = Autodiff<Flex>;
const POINTS: usize = 16384;

fn step(op: &Arc<FieldOp>, parameters: &(Vec<f32>, Vec<f32>), x: &[f32], full: bool) -> f32 {
    let one = |v: &[f32]| -> Tensor<Auto, 1> {
        Tensor::from_data(TensorData::new(v.to_vec(), [v.len()]), &Default::default()).require_grad()
    };
    let (grid, net) = (one(&parameters.0), one(&parameters.1));
    let x = Tensor::from_data(TensorData::new(x.to_vec(), [x.len() / 3, 3]), &Default::default());
    let run = if full { forward_full::<Auto> } else { forward::<Auto> };
    let grads = run(op, grid.clone(), net.clone(), x).abs().mean().backward();
    let sum = |t: Tensor<Auto, 1>| t.grad(&grads).map_or(0.0, |g| g.sum().into_scalar());
    sum(grid) + sum(net)
}

fn steps(c: &mut Criterion) {
    let config = config::preset("sdf").expect("the preset exists");
    let parameters = init::parameters(&config.spec(), &config.init);
    // A low-discrepancy sequence: points as spread as random ones, the same every time.
    let x: Vec<f32> = (0..POINTS)
        .flat_map(|i| [0.819_172_5, 0.671_043_6, 0.549_700_5].map(|a: f64| ((i as f64 * a) % 1.0) as f32))
        .collect();
    for (name, points, full) in [("values", POINTS, false), ("full", POINTS / 8, true)] {
        let mut group = c.benchmark_group(format!("training step, {name}"));
        group.sample_size(10).throughput(Throughput::Elements(points as u64));
        for (path, op) in [("plain", FieldOp::plain(config.spec())), ("fused", FieldOp::new(config.spec()))] {
            group.bench_function(path, |b| b.iter(|| step(&op, &parameters, &x[..points * 3], full)));
        }
        group.finish();
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
