//! Radiance fields whose rays are marched on the device: they follow the CPU's, and the device is read seldom.

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use nstr_backend::backend::{FieldBackend, FieldOp};
use nstr_backend::device::Device;
use nstr_backend::device_testing::{on_devices, present};
use nstr_backend::read_back;
use nstr_spec::config::preset;
use nstr_spec::init;

use crate::radiance::DeviceRadianceTask;
use crate::tests::tea_pixels;
use crate::{
    Budget, FitConfig, Observer, OccupancyConfig, RadianceTask, RayConfig, RunReport, Task, TrainConfig, TrainState,
    Trainer, TrainingData, train,
};

/// Steps between reads.
const PERIOD: u64 = 16;
const PERIODS: u64 = 3;

/// A field, its training and its task, all small; the number of rays stays at its most.
fn fit(samples_per_step: usize) -> (std::sync::Arc<FieldOp>, TrainConfig, TrainState, RadianceTask) {
    let keys =
        ["latent.hashmap_size=1024", "latent.levels=2", "basis=8", "decoder.width=16", "color_head.mlp.width=16"];
    let config = preset("radiance-tiny").unwrap().set(&keys).unwrap();
    let (grid, net) = init::parameters(&config.spec(), &config.init);
    let op = FieldOp::new(config.spec());
    let rays = RayConfig {
        samples_per_step,
        max_rays: 60,
        step: 1.0 / 40.0,
        max_samples_per_ray: 80,
        distortion: 1e-3,
        ..RayConfig::default()
    };
    let occupancy = OccupancyConfig { resolution: 16, cells_per_update: 300, ..OccupancyConfig::default() };
    let task = RadianceTask::new(&op, tea_pixels(), rays, occupancy, 5, |i| i % 16 == 0);
    (op, FitConfig::preset("radiance-tiny").unwrap().0.train, TrainState::new(grid, net), task)
}

/// Losses of all steps, read where `reads` says so.
fn steps<B>(trainer: &mut Trainer<B>, task: &mut dyn Task<B>, reads: impl Fn(u64) -> bool) -> Vec<Option<f64>>
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    (0..=PERIODS * PERIOD).map(|t| trainer.step(task, 1.0, reads(t)).unwrap()).collect()
}

/// The same rays give the same losses to rounding, and nothing is read but sums, every 16th step.
fn follows_the_cpu<B>(device: Device)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    if !present(device) {
        return;
    }
    let (op, config, first, mut task) = fit(1 << 15);
    let mut cpu = Trainer::<burn_flex::Flex>::new(op, config.clone(), &first, Default::default());
    let want: Vec<f64> = steps::<burn_flex::Flex>(&mut cpu, &mut task, |_| true).into_iter().flatten().collect();

    let (op, _, _, task) = fit(1 << 15);
    let mut task = DeviceRadianceTask::<B>::new(task);
    let mut trainer = Trainer::<B>::new(op.clone(), config, &first, Default::default());
    let before = read_back::count();
    let got = steps::<B>(&mut trainer, &mut task, |t| t.is_multiple_of(PERIOD));
    assert_eq!(op.fallbacks(), [], "all of a step is done there");
    // The first step's own loss, and then one read after each period, the occupancy grid's densities included.
    assert_eq!(read_back::count() - before, 1 + PERIODS);
    for k in 0..=PERIODS as usize {
        let end = k * PERIOD as usize;
        let got = got[end].unwrap();
        let period = if k == 0 { 0..1 } else { end - PERIOD as usize..end };
        let length = period.len() as f64;
        let mean = want[period].iter().sum::<f64>() / length;
        println!("{device}: loss up to step {end}: {got:.6}, on the CPU {mean:.6}");
        // Adam divides by the gradient's size, which amplifies rounding.
        let bound = if k == 0 { 1e-5 } else { 2e-2 };
        assert!((got - mean).abs() < bound * mean, "step {end}: {got}, {mean} on the CPU");
    }
    assert!(got.iter().enumerate().all(|(t, loss)| loss.is_some() == (t % PERIOD as usize == 0)));
    let last = want.len() - 1;
    assert!(want[last - 7..].iter().sum::<f64>() < 0.9 * want[..8].iter().sum::<f64>(), "{want:?}");

    // What is still to be told is told before the state is asked for.
    Task::<B>::catch_up(&mut task).unwrap();
    let state = Task::<B>::state(&task);
    let drawn = ((PERIODS * PERIOD + 1) * 60) as f64;
    assert_eq!((state.numbers["drawn"], state.numbers["rays"]), (drawn, 60.0));
    assert!(state.numbers["evaluated"] >= state.numbers["used"] && state.numbers["used"] > 1000.0);
    let updated = state.arrays["density"].iter().filter(|d| **d >= 0.0 && **d < f32::MAX).count();
    assert_eq!(updated, 15 * 16 * 16, "every cell that can hold matter was evaluated once");
}

#[derive(Default)]
struct Reports(Vec<RunReport>);

impl Observer for Reports {
    fn report(&mut self, report: &RunReport) {
        self.0.push(report.clone());
    }
}

/// The number of rays follows the wanted number of samples, and states go from device to device.
fn adapts_and_goes_on_elsewhere(device: Device) {
    if !present(device) {
        return;
    }
    let mut reports = Reports::default();
    let mut run = |on: Device, state: &TrainState, steps: u64| {
        let (op, config, _, mut task) = fit(400);
        if state.step > 0 {
            task = task.resumed(&state.task).unwrap();
        }
        let data = TrainingData::Rays(Box::new(task));
        train(on, op, config, state, data, Budget::Steps(steps), &mut reports).unwrap()
    };
    let (_, _, first, _) = fit(400);
    let half = run(device, &first, 20);
    // About 400 samples are wanted, and 60 rays have more; 16 is the least.
    assert!((16.0..60.0).contains(&half.task.numbers["rays"]), "{:?}", half.task.numbers);
    let more = run(Device::Cpu, &half, 24);
    let end = run(device, &more, 40);
    assert_eq!(end.step, 40);
    assert!(end.grid.iter().chain(&end.net).all(|v| v.is_finite()) && end.grid != more.grid);
    assert!(end.task.numbers["drawn"] > more.task.numbers["drawn"]);
    let Reports(reports) = reports;
    let on: Vec<Device> = reports.iter().map(|report| report.device).collect();
    assert_eq!(on, [device, Device::Cpu, device]);
    assert!(reports.iter().all(|report| report.fallbacks.is_empty()), "{reports:?}");
    assert_eq!(reports[2].samples, Some(end.task.numbers["evaluated"] as u64));
}

on_devices! {
    marched_there_follows_the_cpu => follows_the_cpu::<B>(DEVICE);
    marched_there_adapts_and_goes_on => adapts_and_goes_on_elsewhere(DEVICE);
}
