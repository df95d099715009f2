//! The trainer on the CPU: fused steps against plain ones, resuming, stopping, diverging.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use nstr_backend::backend;
use nstr_backend::backend::FieldOp;
use nstr_backend::device::Device;
use nstr_kernel::{BatchLoss, PointLoss};
use nstr_spec::config::preset;
use nstr_spec::init;
use nstr_spec::{Activation, FieldSpec};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::*;

type Auto = Autodiff<Flex>;

/// Distances to a sphere of radius 0.3 in the middle of the cube; targets are NaN from batch `spoiled` on.
struct Sphere {
    points: usize,
    spoiled: u64,
}

impl Sphere {
    fn new(points: usize) -> Arc<Self> {
        Arc::new(Sphere { points, spoiled: u64::MAX })
    }
}

impl BatchSource for Sphere {
    fn batch(&self, index: u64) -> Batch {
        let mut rng = Pcg64::new(7, u128::from(index));
        let x: Vec<f32> = (0..3 * self.points).map(|_| rng.random()).collect();
        let distance = |p: &[f32]| p.iter().map(|c| (c - 0.5) * (c - 0.5)).sum::<f32>().sqrt() - 0.3;
        let target: Vec<f32> = x.chunks(3).map(|p| if index < self.spoiled { distance(p) } else { f32::NAN }).collect();
        let weight = target.iter().map(|d| 1.0 / (1.0 + d.abs() / 0.1)).collect();
        Batch { x, target, weight, ..Batch::default() }
    }
}

/// Keeps every report and state; stops after step `stop`.
struct Watch {
    stop: u64,
    reports: Vec<Progress>,
    saved: Vec<TrainState>,
    save: bool,
}

impl Watch {
    fn new(stop: u64) -> Self {
        Watch { stop, reports: Vec::new(), saved: Vec::new(), save: false }
    }
}

impl Observer for Watch {
    fn progress(&mut self, progress: &Progress) -> bool {
        self.reports.push(*progress);
        progress.step < self.stop
    }
    fn checkpoint_every(&self) -> Option<Duration> {
        self.save.then_some(Duration::ZERO)
    }
    fn checkpoint(&mut self, state: &TrainState) -> Result<(), ObserverError> {
        self.saved.push(state.clone());
        if self.saved.len() < 4 { Ok(()) } else { Err("the disk is full".into()) }
    }
}

fn small(more: &[&str]) -> FieldSpec {
    let base = [
        "latent.resolution=5",
        "latent.features=4",
        "basis=6",
        "spectrum.width=12",
        "decoder.width=16",
        "transport.width=12",
        "modulation=product",
    ];
    let config = preset("sdf-tiny").unwrap().set(&base).unwrap();
    config.set(more).unwrap().spec()
}

fn start(spec: &FieldSpec, seed: u64) -> TrainState {
    let (grid, net) = init::parameters(spec, &init::InitConfig { seed, ..Default::default() });
    TrainState::new(grid, net)
}

/// Every term on; the fast schedule of a short run.
fn config() -> TrainConfig {
    TrainConfig {
        batch: 257,
        schedule: Schedule { warmup: 8, ..Schedule::default() },
        loader: LoaderConfig { pool_size: 8, steps_per_batch: 2 },
        regularizers: Regularizers {
            lambda_pde: 1e-3,
            lambda_smooth: 1e-4,
            lambda_eikonal: 1e-2,
            fraction: 0.25,
            ..Regularizers::NONE
        },
        ..TrainConfig::default()
    }
}

fn fit_sphere(
    config: &TrainConfig,
    state: &TrainState,
    steps: u64,
    watch: &mut Watch,
) -> Result<TrainState, TrainError> {
    let op = FieldOp::new(small(&[]));
    let source = Sphere::new(config.batch);
    train(Device::Cpu, op, config.clone(), state, source, Budget::Steps(steps), watch)
}

/// The state without its clock, in bits.
fn bits(state: &TrainState) -> (u64, Vec<u32>) {
    let parts = [&state.grid, &state.net].into_iter().chain(&state.grid_moments).chain(&state.net_moments);
    (state.step, parts.flatten().map(|v| v.to_bits()).collect())
}

/// `a` and `b` agree to `tolerance` of the largest `b`.
fn close(what: &str, a: &[f32], b: &[f32], tolerance: f32) {
    let size = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let error = a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(a.len() == b.len() && size > 0.0 && error <= tolerance * size, "{what}: error {error:e} of {size:e}");
}

#[test]
fn the_fused_loss_is_the_plain_one_in_value_and_gradient() {
    let device = Default::default();
    for (more, n) in
        [(&[] as &[&str], 301), (&["outputs=3", "modulation=channels:2", "skip_latent=false"], 64), (&["dim=2"], 1)]
    {
        let spec = small(more);
        let state = start(&spec, 3);
        let mut rng = Pcg64::seed_from_u64(5);
        let mut tensor = |columns: usize, low: f32, high: f32| {
            let values: Vec<f32> = (0..n * columns).map(|_| rng.random_range(low..high)).collect();
            Tensor::<Auto, 2>::from_data(TensorData::new(values, [n, columns]), &device)
        };
        let data = [tensor(spec.dim, 0.0, 1.0), tensor(spec.outputs, -1.0, 1.0), tensor(1, 0.0, 2.0)];
        let leaf = |v: &[f32]| Tensor::<Auto, 1>::from_data(TensorData::new(v.to_vec(), [v.len()]), &device);
        let points = [PointLoss::L1, PointLoss::L2, PointLoss::Huber(0.3), PointLoss::Huber(1e-3)].map(BatchLoss::from);
        let slopes = [PointLoss::L1, PointLoss::L2].map(|point| BatchLoss { point, slope: 0.3 });
        for loss in points.into_iter().chain(slopes) {
            // A factor apart from 1, so that the gradient from above is used.
            let [fused, plain] = [FieldOp::new(spec.clone()), FieldOp::plain(spec.clone())].map(|op| {
                let (grid, net) = (leaf(&state.grid).require_grad(), leaf(&state.net).require_grad());
                let value = backend::loss(&op, grid.clone(), net.clone(), data.clone(), loss) * 3.0;
                let grads = value.backward();
                let all = [value.inner(), grid.grad(&grads).unwrap(), net.grad(&grads).unwrap()];
                all.map(|t| t.into_data().to_vec::<f32>().unwrap())
            });
            for (part, (a, b)) in ["value", "d_grid", "d_net"].into_iter().zip(fused.iter().zip(&plain)) {
                close(&format!("{more:?} {loss:?} {part}"), a, b, 2e-5);
            }
        }
    }
}

/// Gradients of one step, read back from the first moments.
fn step_gradients(op: Arc<FieldOp>, config: &TrainConfig, state: &TrainState, batch: &Batch) -> (f64, [Vec<f32>; 2]) {
    let mut trainer = Trainer::<Flex>::new(op, config.clone(), state, Default::default());
    let loss = trainer.step(&mut &*batch, 1.0, true).unwrap().unwrap();
    let after = trainer.state(Duration::ZERO).unwrap();
    let scale = 1.0 / (1.0 - config.beta1 as f32);
    (loss, [&after.grid_moments[0], &after.net_moments[0]].map(|m| m.iter().map(|v| v * scale).collect()))
}

#[test]
fn the_regularisers_are_their_formula_and_their_fused_gradient_the_plain_one() {
    let spec = small(&[]);
    let (state, device) = (start(&spec, 11), Default::default());
    let mut batch = Sphere::new(200).batch(0);
    // Without the data term only the regularisers are left; at fraction 1 they see every point.
    batch.weight.fill(0.0);
    let off = Regularizers { fraction: 1.0, ..Regularizers::NONE };
    let full_at = |x: &[f32]| {
        let one = |v: &[f32]| Tensor::<Flex, 1>::from_data(TensorData::new(v.to_vec(), [v.len()]), &device);
        let x = Tensor::<Flex, 2>::from_data(TensorData::new(x.to_vec(), [200, 3]), &device);
        let op = FieldOp::plain(spec.clone());
        backend::forward_full(&op, one(&state.grid), one(&state.net), x).into_data().to_vec::<f32>().unwrap()
    };
    let full = full_at(&batch.x);
    let columns = spec.full_columns();
    let mean = |term: &dyn Fn(&[f32]) -> f64| full.chunks(columns.len).map(term).sum::<f64>() / 200.0;
    let squares = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v) * f64::from(v)).sum::<f64>();
    let slope = columns.spectrum_gradient..columns.transport;
    let pde = mean(&|row| {
        let residual = row[slope.clone()].iter().zip(&row[columns.transport..]).map(|(s, f)| s - f);
        squares(&mut residual.into_iter())
    });
    let smooth = mean(&|row| squares(&mut row[slope.clone()].iter().copied()));
    let eikonal =
        mean(&|row| (squares(&mut row[columns.gradient..columns.spectrum].iter().copied()).sqrt() - 1.0).powi(2));
    let end = regularizer_loss::segment_ends(&batch.x, 0.05, 0);
    let there = full_at(&end);
    let segments = (0..200).map(|p| {
        let [from, to] = [&full, &there].map(|rows| &rows[p * columns.len..(p + 1) * columns.len]);
        let delta: Vec<f32> = (0..3).map(|j| end[3 * p + j] - batch.x[3 * p + j]).collect();
        let carried = |k: usize| (0..3).map(|j| from[columns.transport + 3 * k + j] * delta[j]).sum::<f32>();
        let missed = |k: usize| to[columns.spectrum + k] - from[columns.spectrum + k] - carried(k);
        squares(&mut (0..spec.spectrum_width()).map(missed)) / squares(&mut delta.iter().copied())
    });
    let segments = segments.sum::<f64>() / 200.0;
    let anchors = carried_from_anchors(&spec, &state.net, &batch.x, 5, &|x| {
        let rows = full_at(x);
        rows.chunks(columns.len).flat_map(|row| row[columns.spectrum..columns.spectrum_gradient].to_vec()).collect()
    });
    for (name, regularizers, expected) in [
        ("segment", Regularizers { lambda_segment: 0.7, segment_sigma: 0.05, ..off }, 0.7 * segments),
        ("anchor", Regularizers { lambda_anchor: 0.7, anchors: 5, ..off }, 0.7 * anchors),
        ("pde", Regularizers { lambda_pde: 0.7, ..off }, 0.7 * pde),
        ("smooth", Regularizers { lambda_smooth: 0.7, ..off }, 0.7 * smooth),
        ("eikonal", Regularizers { lambda_eikonal: 0.7, ..off }, 0.7 * eikonal),
        (
            "all",
            Regularizers { lambda_pde: 0.1, lambda_smooth: 0.2, lambda_eikonal: 0.3, ..off },
            0.1 * pde + 0.2 * smooth + 0.3 * eikonal,
        ),
    ] {
        let config = TrainConfig { regularizers, ..config() };
        let (loss, fused) = step_gradients(FieldOp::new(spec.clone()), &config, &state, &batch);
        assert!((loss - expected).abs() <= 1e-4 * expected, "{name}: {loss} for {expected}");
        let (_, plain) = step_gradients(FieldOp::plain(spec.clone()), &config, &state, &batch);
        for (part, (a, b)) in ["grid", "net"].into_iter().zip(fused.iter().zip(&plain)) {
            close(&format!("{name} {part}"), a, b, 1e-4);
        }
    }
}

/// The term of anchors in plain loops of f64; `spectrum` gives `[point][S]`.
fn carried_from_anchors(
    spec: &FieldSpec,
    net: &[f32],
    x: &[f32],
    cells: usize,
    spectrum: &dyn Fn(&[f32]) -> Vec<f32>,
) -> f64 {
    let layers = spec.net_layout().transport;
    assert_eq!(spec.transport.activation, Activation::Relu);
    let flow = |p: &[f64], s: &[f64]| {
        layers.iter().fold([p, s].concat(), |input, slot| {
            let unit = |o: usize| {
                let weight = |i: usize| f64::from(net[slot.weight + i * slot.outputs + o]);
                let sum = input.iter().enumerate().map(|(i, v)| v * weight(i)).sum::<f64>();
                let sum = sum + f64::from(net[slot.bias + o]);
                if slot.activated { sum.max(0.0) } else { sum }
            };
            (0..slot.outputs).map(unit).collect()
        })
    };
    let (dim, width) = (spec.dim, spec.spectrum_width());
    let from: Vec<f32> = x.iter().map(|v| (v * cells as f32).round() / cells as f32).collect();
    let (here, there) = (spectrum(&from), spectrum(x));
    let mut sum = 0.0;
    for i in 0..x.len() / dim {
        let at = |row: &[f32], n: usize| row[i * n..(i + 1) * n].iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let (a, x, mut s) = (at(&from, dim), at(x, dim), at(&here, width));
        let place = |t: f64| a.iter().zip(&x).map(|(a, x)| a + t * (x - a)).collect::<Vec<_>>();
        let h = 1.0 / regularizer_loss::ANCHOR_STEPS as f64;
        let moved = |s: &[f64], f: &[f64], h: f64| -> Vec<f64> {
            let along = |k: usize| (0..dim).map(|j| f[k * dim + j] * (x[j] - a[j])).sum::<f64>();
            s.iter().enumerate().map(|(k, s)| s + h * along(k)).collect()
        };
        for step in 0..regularizer_loss::ANCHOR_STEPS {
            let t = step as f64 * h;
            let middle = moved(&s, &flow(&place(t), &s), 0.5 * h);
            s = moved(&s, &flow(&place(t + 0.5 * h), &middle), h);
        }
        let missed = s.iter().zip(at(&there, width)).map(|(s, t)| (s - t).powi(2)).sum::<f64>();
        sum += missed / a.iter().zip(&x).map(|(a, x)| (x - a).powi(2)).sum::<f64>();
    }
    sum / (x.len() / dim) as f64
}

#[test]
fn a_transport_network_that_is_not_trained_stays() {
    let spec = small(&[]);
    let first = start(&spec, 4);
    let regularizers = Regularizers { lambda_pde: 1e-2, fraction: 0.5, ..Regularizers::NONE };
    let off = TrainConfig { regularizers, weight_decay: 0.1, ..config() };
    let part = spec.net_layout().transport_range();
    let tensors = spec.net_tensors();
    let named: usize = tensors.iter().filter(|t| t.name.starts_with("transport")).map(|t| t.len()).sum();
    assert_eq!(part.len(), named);
    for train_transport in [false, true] {
        let config = TrainConfig { train_transport, ..off.clone() };
        let end = fit_sphere(&config, &first, 20, &mut Watch::new(u64::MAX)).unwrap();
        assert_eq!(end.net[part.clone()] == first.net[part.clone()], !train_transport);
        assert!(end.net[..part.start].iter().zip(&first.net).filter(|(a, b)| a != b).count() > 100);
    }
}

#[test]
fn a_short_run_learns_a_sphere_and_reports_on_the_way() {
    let (first, mut watch) = (start(&small(&[]), 1), Watch::new(u64::MAX));
    let end = fit_sphere(&config(), &first, 240, &mut watch).unwrap();
    assert_eq!(end.step, 240);
    let (from, to) = (watch.reports[0].loss, watch.reports[14].loss);
    assert!(watch.reports.len() == 15 && to < 0.2 * from, "{from} to {to}");
    for pair in watch.reports.windows(2) {
        assert!(
            pair[0].fraction < pair[1].fraction
                && pair[0].elapsed < pair[1].elapsed
                && pair[1].step == pair[0].step + 16
        );
    }
    assert!(watch.reports.iter().all(|p| (0.0..1.0).contains(&p.fraction) && p.net_lr <= config().net_lr));
    assert!(watch.saved.is_empty());
}

#[test]
fn a_stopped_run_goes_on_bit_for_bit() {
    for train_basis in [true, false] {
        let config = TrainConfig { train_basis, weight_decay: 1e-3, ..config() };
        let first = start(&small(&[]), 2);
        let whole = fit_sphere(&config, &first, 90, &mut Watch::new(u64::MAX)).unwrap();
        assert_eq!(
            bits(&whole),
            bits(&fit_sphere(&config, &first, 90, &mut Watch::new(u64::MAX)).unwrap()),
            "repeated"
        );
        let mut state = first;
        for stop in [1, 17, 50] {
            let next = fit_sphere(&config, &state, 90, &mut Watch::new(stop)).unwrap();
            assert!(next.step >= stop && next.step < 90 && next.elapsed >= state.elapsed);
            state = next;
        }
        assert_eq!(bits(&fit_sphere(&config, &state, 90, &mut Watch::new(u64::MAX)).unwrap()), bits(&whole), "resumed");
    }
    let other = fit_sphere(&config(), &start(&small(&[]), 3), 20, &mut Watch::new(u64::MAX)).unwrap();
    let this = fit_sphere(&config(), &start(&small(&[]), 2), 20, &mut Watch::new(u64::MAX)).unwrap();
    assert_ne!(bits(&other), bits(&this));
}

#[test]
fn a_basis_that_is_not_trained_stays() {
    let spec = small(&[]);
    let first = start(&spec, 4);
    let config = TrainConfig { train_basis: false, weight_decay: 0.1, ..config() };
    let end = fit_sphere(&config, &first, 20, &mut Watch::new(u64::MAX)).unwrap();
    let basis = spec.net_layout().spectrum[0].weight;
    assert_eq!(end.net[..basis], first.net[..basis]);
    assert!(end.net[basis..].iter().zip(&first.net[basis..]).filter(|(a, b)| a != b).count() > 100);
    let trained =
        fit_sphere(&TrainConfig { train_basis: true, ..config }, &first, 20, &mut Watch::new(u64::MAX)).unwrap();
    assert!(trained.net[..basis].iter().zip(&first.net[..basis]).all(|(a, b)| a != b));
}

fn assert_diverged(result: Result<TrainState, TrainError>) -> (u64, u64, f64) {
    let error = result.unwrap_err();
    let text = error.to_string();
    let TrainError::Diverged { step, net_lr, good, state, .. } = error else { panic!("{text}") };
    assert!(text.contains(&format!("at step {step} ")) && text.contains(&format!("{net_lr:.2e}")), "{text}");
    assert!(text.contains(&format!("model of step {good} is kept")) && text.contains("train.net_lr"), "{text}");
    assert!(state.step == good && good < step);
    assert!(state.grid.iter().chain(&state.net).all(|v| v.is_finite()));
    (step, good, net_lr)
}

#[test]
fn divergence_names_the_step_and_the_rate_and_keeps_a_good_state() {
    let first = start(&small(&[]), 5);
    let absurd = TrainConfig { net_lr: 1e4, grid_lr: 1e4, ..config() };
    let (_, _, rate) = assert_diverged(fit_sphere(&absurd, &first, 2000, &mut Watch::new(u64::MAX)));
    assert!(rate > 1e3);
    // Batches of NaN from the eighth step on, seen at the next look.
    let config = TrainConfig { loader: LoaderConfig { pool_size: 1, steps_per_batch: 1 }, ..config() };
    let source = Arc::new(Sphere { points: 100, spoiled: 11 });
    let op = FieldOp::new(small(&[]));
    let budget = Budget::Steps(1000);
    let result = train(Device::Cpu, op, config.clone(), &first, source, budget, &mut Watch::new(u64::MAX));
    assert_eq!(assert_diverged(result), (17, 1, config.net_lr * config.schedule.lr_scale(16, 0.016)));
    // A run that ends before the next look must not return NaN either.
    let source = Arc::new(Sphere { points: 100, spoiled: 11 });
    let op = FieldOp::new(small(&[]));
    let result = train(Device::Cpu, op, config, &first, source, Budget::Steps(12), &mut Watch::new(u64::MAX));
    assert_eq!(assert_diverged(result).0, 12);
}

#[test]
fn a_time_budget_ends_in_time_and_counts_what_was_spent_before() {
    let first = start(&small(&[]), 6);
    let run = |state: &TrainState, budget: Budget| {
        let source = Sphere::new(64);
        let config = TrainConfig { batch: 64, ..config() };
        train(Device::Cpu, FieldOp::new(small(&[])), config, state, source, budget, &mut Watch::new(u64::MAX)).unwrap()
    };
    let budget = Duration::from_millis(300);
    let clock = Instant::now();
    let end = run(&first, Budget::Time(budget));
    // Generous, for machines that do other work.
    assert!(clock.elapsed() < budget + Duration::from_millis(700), "{:?}", clock.elapsed());
    assert!(end.step > 0 && end.elapsed >= budget && end.elapsed <= clock.elapsed());
    assert_eq!(bits(&run(&end, Budget::Time(budget))), bits(&end));
    for nothing in [Budget::Time(Duration::ZERO), Budget::Steps(0)] {
        assert_eq!(bits(&run(&first, nothing)), bits(&first), "{nothing:?}");
    }
}

#[test]
fn checkpoints_are_good_states_and_their_errors_end_the_run() {
    let first = start(&small(&[]), 7);
    let mut watch = Watch { save: true, ..Watch::new(u64::MAX) };
    let error = fit_sphere(&config(), &first, 200, &mut watch).unwrap_err();
    assert!(matches!(error, TrainError::Observer(_)) && error.to_string().contains("the disk is full"));
    let whole = fit_sphere(&config(), &first, 200, &mut Watch::new(u64::MAX)).unwrap();
    assert_eq!(watch.saved.iter().map(|s| s.step).collect::<Vec<_>>(), [1, 17, 33, 49]);
    assert_eq!(bits(&fit_sphere(&config(), &watch.saved[2], 200, &mut Watch::new(u64::MAX)).unwrap()), bits(&whole));
}

#[test]
fn a_sampler_may_die_and_batches_may_be_empty() {
    struct Dies;
    impl BatchSource for Dies {
        fn batch(&self, index: u64) -> Batch {
            assert!(index < 8, "this message is part of the test");
            Sphere::new(32).batch(index)
        }
    }
    let first = start(&small(&[]), 8);
    let run = |source: Arc<dyn BatchSource>| {
        let source = TrainingData::Points(source);
        let op = FieldOp::new(small(&[]));
        train(Device::Cpu, op, config(), &first, source, Budget::Steps(100), &mut Watch::new(u64::MAX))
    };
    assert!(matches!(run(Arc::new(Dies)), Err(TrainError::Sampler(10))));
    // Batches of nothing teach nothing, but do no harm.
    assert_eq!(run(Sphere::new(0)).unwrap().grid, first.grid);
}

#[test]
fn a_device_that_is_not_there_is_an_error_before_anything_else() {
    let first = start(&small(&[]), 9);
    for device in Device::ALL.into_iter().filter(|d| d.check().is_err()) {
        let op = FieldOp::new(small(&[]));
        let budget = Budget::Steps(1);
        let result = train(device, op, config(), &first, Sphere::new(8), budget, &mut Watch::new(0));
        assert!(matches!(result, Err(TrainError::Device(_))), "{device}");
    }
}

/// The sample capture at a quarter of its size, in the cube that its silhouettes leave.
pub(crate) fn tea_pixels() -> Arc<RaySampler> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenes/teaset");
    let options = nstr_capture::CaptureOptions { downscale: 4, ..Default::default() };
    let capture = nstr_capture::read_capture(&folder, &options).unwrap();
    Arc::new(RaySampler::new(Arc::new(capture.train), capture.scene.map, capture.scene.near).unwrap())
}

fn radiance_fit(config: &TrainConfig, state: &TrainState, steps: u64, stop: u64) -> TrainState {
    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let op = FieldOp::new(spec);
    let rays = RayConfig { samples_per_step: 3000, distortion: 1e-3, ..RayConfig::default() };
    let occupancy = OccupancyConfig { resolution: 32, cells_per_update: 2000, ..OccupancyConfig::default() };
    let mut task = RadianceTask::new(&op, tea_pixels(), rays, occupancy, 5, |i| i % 32 == 0);
    if state.step > 0 {
        task = task.resumed(&state.task).unwrap();
    }
    let data = TrainingData::Rays(Box::new(task));
    train(Device::Cpu, op, config.clone(), state, data, Budget::Steps(steps), &mut Watch::new(stop)).unwrap()
}

#[test]
fn a_radiance_fit_learns_finds_what_is_empty_and_goes_on_bit_for_bit() {
    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let first = start(&spec, 3);
    let config = TrainConfig {
        ema_decay: 0.9,
        regularizers: Regularizers { lambda_pde: 1e-7, fraction: 0.05, ..Regularizers::NONE },
        ..FitConfig::preset("radiance-tiny").unwrap().0.train
    };
    let whole = radiance_fit(&config, &first, 150, u64::MAX);
    let mut state = first.clone();
    for stop in [1, 49, 97] {
        state = radiance_fit(&config, &state, 150, stop);
        assert!(state.step >= stop && state.step < 150);
    }
    let end = radiance_fit(&config, &state, 150, u64::MAX);
    assert_eq!(bits(&end), bits(&whole), "resumed");
    assert!(end.ema == whole.ema && end.task == whole.task);
    assert!(end.ema.as_ref().unwrap()[0] != end.grid, "the average is not the last state");
    let occupancy = occupancy_grid::saved_occupancy(&end.task, 32).unwrap();
    assert!(occupancy.fraction() > 0.01 && occupancy.fraction() < 0.6, "{}", occupancy.fraction());
    assert!((0..32 * 32 * 32).step_by(32).all(|i| !occupancy.get(i)), "what is free stays free");
    let numbers = &end.task.numbers;
    assert!(numbers["evaluated"] >= numbers["used"] && numbers["drawn"] > 150.0);
}

#[test]
fn what_a_device_cannot_march_is_marched_on_the_cpu_and_named() {
    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let first = start(&spec, 3);
    let plain = FitConfig::preset("radiance-tiny").unwrap().0.train;
    let smooth = Regularizers { lambda_smooth: 1e-7, fraction: 0.05, ..Regularizers::NONE };
    let occupancy = OccupancyConfig { resolution: 16, cells_per_update: 300, ..OccupancyConfig::default() };
    let rays = RayConfig { samples_per_step: 300, max_samples_per_ray: 64, ..RayConfig::default() };
    let scaled = RayConfig { gradient_scaling: 1.0, ..rays.clone() };
    let (trusting, wary) =
        (RobustConfig::default(), RobustConfig { enabled: true, start: 0.2, ..RobustConfig::default() });
    for (config, rays, robust, word) in [
        (plain.clone(), &rays, &trusting, "no kernels"),
        (TrainConfig { regularizers: smooth, ..plain.clone() }, &rays, &trusting, "regularisers"),
        (plain.clone(), &scaled, &trusting, "rays.gradient_scaling"),
        (plain, &rays, &wary, "robust.enabled"),
    ] {
        let (sampler, op) = (tea_pixels(), FieldOp::new(spec.clone()));
        let task = || {
            RadianceTask::new(&op, sampler.clone(), rays.clone(), occupancy.clone(), 5, |_| false)
                .with_robust_loss(robust)
        };
        let run = |task: &mut dyn Task<Flex>, op: &Arc<FieldOp>| {
            let trainer = Trainer::<Flex>::new(op.clone(), config.clone(), &first, Default::default());
            trainer.run(task, Budget::Steps(34), Duration::ZERO, &mut Watch::new(u64::MAX)).unwrap()
        };
        let on_cpu = run(&mut task(), &op);
        assert!(op.fallbacks().is_empty(), "{:?}", op.fallbacks());
        let mut elsewhere = radiance::DeviceRadianceTask::<Flex>::new(task());
        let fallen_back = run(&mut elsewhere, &op);
        assert!(bits(&fallen_back) == bits(&on_cpu) && fallen_back.task == on_cpu.task);
        let noted = op.fallbacks();
        assert!(noted.len() == 1 && noted[0].0.contains("marching") && noted[0].1.contains(word), "{noted:?}");
    }
}

/// A read of a device's memory waits for all that the device has to do: each must be counted.
#[test]
fn devices_are_read_through_one_module() {
    let rooms = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = vec![rooms.join("fit"), rooms.join("backend")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !["tests.rs", "suite.rs", "suite_tests.rs"].contains(&name.as_str()) {
                let text = std::fs::read_to_string(&path).unwrap();
                let reads = ["into_data", "to_data", "read_one", "read_async", "read_sync"];
                let found = reads.iter().any(|call| text.contains(&format!("{call}(")));
                assert_eq!(found, ["read_back.rs", "cube_rays.rs"].contains(&name.as_str()), "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files > 40, "{files} files");
}

/// A fit that refines cameras and lens, finds exposures, scales gradients, and leaves out what contradicts it, from `state` to the
/// end or the step after which it is stopped.
fn refining_fit(state: &TrainState, stop: u64) -> TrainState {
    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let op = FieldOp::new(spec);
    let (gradient_scaling, near_start, near_steps) = (1.5, 0.8, 25);
    let rays = RayConfig { samples_per_step: 3000, gradient_scaling, near_start, near_steps, ..RayConfig::default() };
    let occupancy = OccupancyConfig { resolution: 32, cells_per_update: 2000, ..OccupancyConfig::default() };
    let robust = RobustConfig { enabled: true, start: 0.2, ..RobustConfig::default() };
    let cameras = CameraConfig {
        refine: RefineMode::On,
        focal: true,
        distortion: true,
        memory: 40.0,
        // A view sees some 20 rays in all.
        floor: 1.0,
        start: 0.2,
        coarse: 0.7,
        ..CameraConfig::default()
    };
    let exposure = ExposureConfig { enabled: true, start: 0.3, ..ExposureConfig::default() };
    let mut task = RadianceTask::new(&op, tea_pixels(), rays, occupancy, 5, |_| false)
        .with_cameras(&cameras)
        .with_exposure(&exposure)
        .with_robust_loss(&robust);
    if state.step > 0 {
        task = task.resumed(&state.task).unwrap();
    }
    let config = FitConfig::preset("radiance-tiny").unwrap().0.train;
    let data = TrainingData::Rays(Box::new(task));
    train(Device::Cpu, op, config, state, data, Budget::Steps(60), &mut Watch::new(stop)).unwrap()
}

#[test]
fn a_fit_that_refines_cameras_goes_on_bit_for_bit() {
    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let first = start(&spec, 3);
    let whole = refining_fit(&first, u64::MAX);
    let mut state = first.clone();
    for stop in [1, 17, 33] {
        state = refining_fit(&state, stop);
        assert!(state.step >= stop && state.step < 60);
    }
    let end = refining_fit(&state, u64::MAX);
    assert_eq!(bits(&end), bits(&whole), "resumed");
    assert_eq!(end.task, whole.task);
    let arrays = &whole.task.arrays;
    assert!(arrays["cameras.lens"][0] != 0.0 && arrays["cameras.lens"][1] != 0.0);
    let moved = arrays["cameras.motions"].chunks(44).filter(|view| view[..6].iter().any(|v| *v != 0.0)).count();
    assert!(moved > 20, "{moved} of 40 views move");
    assert!(arrays["exposure.sums"].iter().any(|sum| *sum > 0.0));
    assert!(arrays["robust.agreement"].iter().any(|a| *a < 1.0) && whole.task.numbers["robust.limit"] > 0.0);
}

/// A fit whose rays are drawn by error, from `state` to the end or the step after which it is stopped.
fn guided_fit(state: &TrainState, stop: u64) -> TrainState {
    let op = FieldOp::new(preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec());
    let rays = RayConfig { samples_per_step: 300, error_share: 0.5, error_blocks: 8, ..RayConfig::default() };
    let occupancy = OccupancyConfig { resolution: 16, cells_per_update: 300, ..OccupancyConfig::default() };
    let mut task = RadianceTask::new(&op, tea_pixels(), rays, occupancy, 5, |_| false);
    if state.step > 0 {
        task = task.resumed(&state.task).unwrap();
    }
    let config = FitConfig::preset("radiance-tiny").unwrap().0.train;
    let data = TrainingData::Rays(Box::new(task));
    train(Device::Cpu, op, config, state, data, Budget::Steps(400), &mut Watch::new(stop)).unwrap()
}

#[test]
fn a_fit_whose_rays_follow_errors_goes_on_bit_for_bit() {
    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let first = start(&spec, 3);
    let whole = guided_fit(&first, u64::MAX);
    let mut state = first;
    // Before errors guide, and between two takeovers of them.
    for stop in [100, 290] {
        state = guided_fit(&state, stop);
        assert!(state.step >= stop && state.step < 320);
    }
    let end = guided_fit(&state, u64::MAX);
    assert_eq!(bits(&end), bits(&whole), "resumed");
    assert_eq!(end.task, whole.task);
    let [errors, drawn_by] = ["guide.errors", "guide.drawn_by"].map(|name| &whole.task.arrays[name]);
    assert!(drawn_by.len() == 40 * 8 * 8 && errors != drawn_by, "{}", drawn_by.len());
    assert!(errors.iter().filter(|e| **e > 0.0).count() > 1000);
}

#[test]
fn weight_decay_of_the_grid_shrinks_what_nothing_teaches() {
    let first = start(&small(&[]), 4);
    let end = |decay: f64| {
        let config = TrainConfig { grid_weight_decay: decay, grid_lr: 1e-2, ..config() };
        fit_sphere(&config, &first, 20, &mut Watch::new(u64::MAX)).unwrap()
    };
    let (with, without) = (end(5.0), end(0.0));
    let size = |state: &TrainState| state.grid.iter().map(|v| f64::from(v.abs())).sum::<f64>();
    assert!(size(&with) < 0.95 * size(&without), "{} {}", size(&with), size(&without));
}

#[test]
fn a_fit_without_corrections_keeps_none() {
    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let op = FieldOp::new(spec);
    let occupancy = OccupancyConfig { resolution: 16, ..OccupancyConfig::default() };
    let task = RadianceTask::new(&op, tea_pixels(), RayConfig::default(), occupancy, 5, |_| false)
        .with_cameras(&CameraConfig::default())
        .with_exposure(&ExposureConfig::default())
        .with_robust_loss(&RobustConfig::default());
    let state = Task::<burn_flex::Flex>::state(&task);
    assert_eq!(state.arrays.keys().collect::<Vec<_>>(), ["density"]);
}

#[test]
fn corrected_views_change_rays_and_colours_and_nothing_else() {
    let pixels = tea_pixels();
    let occupancy = nstr_space::occupancy::Occupancy::full(16);
    let config = RayConfig::default();
    let own: Vec<nstr_capture::LensCamera> = pixels.views().iter().map(nstr_capture::View::lens_camera).collect();
    let plain = pixels.draw(&config, &occupancy, 7, 4, 300);
    let draw = |corrections| pixels.draw_corrected(&config, &occupancy, [7, 4], 300, corrections, None);
    let colours = vec![AffineColour::IDENTITY; own.len()];
    let same = draw(ViewCorrections { cameras: Some(&own), colours: Some(&colours) });
    assert!(same.rays == plain && same.pixels.len() == 300);
    let darker = vec![AffineColour { gain: [2.0; 3], offset: [0.0; 3] }; own.len()];
    let dark = draw(ViewCorrections { cameras: None, colours: Some(&darker) });
    assert!(dark.pixels == same.pixels && dark.rays.x == plain.x && dark.rays.background == plain.background);
    for (i, pixel) in dark.pixels.iter().enumerate() {
        let [r, _, _, a] = pixels.views()[pixel.view as usize].image.pixels[pixel.index as usize].map(f32::from);
        let want = 0.5 * r / 255.0 * a / 255.0 + plain.background[3 * i] * (1.0 - a / 255.0);
        assert!((dark.rays.target[3 * i] - want).abs() < 1e-6);
    }
    let mut moved = own.clone();
    moved.iter_mut().for_each(|camera| camera.camera.camera_to_world.w_axis.z += 0.1);
    let away = draw(ViewCorrections { cameras: Some(&moved), colours: None });
    assert!(away.pixels == same.pixels && away.rays.direction == plain.direction && away.rays.x != plain.x);
}

#[test]
fn a_step_may_have_few_rays_and_none_more_than_memory_holds() {
    let rays = |max_rays, max_samples_per_ray| RayConfig { max_rays, max_samples_per_ray, ..RayConfig::default() };
    assert_eq!(RayConfig::default().ray_limit(), 1 << 16, "the usual number");
    assert_eq!(rays(1 << 22, 1 << 16).ray_limit(), 1 << 12);
    assert_eq!((rays(1 << 22, 1 << 10).ray_limit(), rays(1, 1 << 16).ray_limit()), (1 << 18, 1));

    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let op = FieldOp::new(spec.clone());
    let config = FitConfig::preset("radiance-tiny").unwrap().0.train;
    for max_rays in [1, 8] {
        let occupancy = OccupancyConfig { resolution: 16, cells_per_update: 500, ..OccupancyConfig::default() };
        let task = RadianceTask::new(&op, tea_pixels(), rays(max_rays, 64), occupancy, 5, |_| false);
        let (first, data) = (start(&spec, 3), TrainingData::Rays(Box::new(task)));
        let end = train(Device::Cpu, op.clone(), config.clone(), &first, data, Budget::Steps(5), &mut Watch::new(99));
        assert_eq!(end.unwrap().task.numbers["rays"], max_rays as f64);
    }
}

#[test]
fn a_task_takes_no_state_that_no_run_leaves() {
    let spec = preset("radiance-tiny").unwrap().set(&["latent.hashmap_size=1024"]).unwrap().spec();
    let op = FieldOp::new(spec);
    let occupancy = OccupancyConfig { resolution: 16, ..OccupancyConfig::default() };
    let task = || RadianceTask::new(&op, tea_pixels(), RayConfig::default(), occupancy.clone(), 5, |_| false);
    let state = |rays: f64, floor: f64, cells: usize| TaskState {
        numbers: [("rays".to_string(), rays), ("floor".to_string(), floor)].into(),
        arrays: [("density".to_string(), vec![1.0; cells])].into(),
    };
    assert!(task().resumed(&state(512.0, 0.25, 4096)).is_some());
    for (rays, floor, cells) in [
        (0.0, 0.25, 4096),
        (-1.0, 0.25, 4096),
        (2.5, 0.25, 4096),
        (f64::NAN, 0.25, 4096),
        (512.0, -1.0, 4096),
        (512.0, f64::NAN, 4096),
        (512.0, 1e300, 4096),
        (512.0, 0.25, 4095),
    ] {
        assert!(task().resumed(&state(rays, floor, cells)).is_none(), "{rays} {floor} {cells}");
    }
    assert!(task().resumed(&TaskState::default()).is_none());
}

#[test]
fn rays_are_the_same_for_the_same_step_and_lie_in_occupied_cells() {
    let pixels = tea_pixels();
    let occupancy = nstr_space::occupancy::Occupancy::from_bits(16, |i| i % 3 != 0);
    let config = RayConfig { max_samples_per_ray: 40, ..RayConfig::default() };
    let draw = |step| pixels.draw(&config, &occupancy, 7, step, 300);
    let rays = draw(4);
    assert!(rays == draw(4) && rays != draw(5));
    assert_eq!((rays.first.len(), rays.target.len(), rays.direction.len()), (301, 900, 900));
    assert_eq!(*rays.first.last().unwrap() as usize, rays.t.len());
    assert!(rays.first.windows(2).all(|w| w[0] <= w[1] && w[1] - w[0] <= 40));
    assert!(rays.x.as_chunks::<3>().0.iter().all(|x| occupancy.contains((*x).into())));
    assert!(rays.target.iter().all(|t| (0.0..=1.0).contains(t)));
    // A background of one colour is everywhere the same.
    let white = RayConfig { background: "white".into(), ..config };
    assert!(pixels.draw(&white, &occupancy, 7, 4, 50).background.iter().all(|b| *b == 1.0));
}

#[test]
fn cells_that_too_few_cameras_see_are_free() {
    let pixels = tea_pixels();
    let map = pixels.map();
    let seen = cell_masks::FrustumMask::new(pixels.views(), map, pixels.near());
    assert!(seen.get([0.5, 0.5, 0.5]), "all cameras look at the middle");
    let behind = cell_masks::FrustumMask::new(&pixels.views()[..1], map, pixels.near());
    assert!(behind.get([0.5; 3]), "one camera suffices where there is only one");
    // Nothing of the cube lies so far from every camera.
    let far = cell_masks::FrustumMask::new(pixels.views(), map, 1e6);
    assert!(!far.get([0.5; 3]));
}
