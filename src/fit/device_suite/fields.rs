//! The suite of fields (`nstr_backend::suite`) on GPU backends: the fused kernels over every axis, and the plain tensors that
//! stand in where there is no kernel.
//!
//! Sums over scattered indices are in no fixed order there, so repetition bit for bit is not asked for. Software drivers take
//! long to compile kernels: some variants are tried, all with `NSTR_ALL=1`.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::backend::Autodiff;
use burn::tensor::DType;
use burn::tensor::backend::AutodiffBackend;
use burn_flex::Flex;
use nstr_backend::backend::FieldBackend;
use nstr_backend::device::Device;
use nstr_backend::device_testing::{apart, on_devices, present};
use nstr_backend::rays_suite::{LOSS, radiance_variants, rays, step, with_gradient_scale};
use nstr_backend::suite::{
    Buffer, Case, Evaluator, JUDGE, On, PLAIN_F64, Quantity, assert_close, compare, special_points, variants,
};
use nstr_kernel::RayLoss;
use nstr_spec::FieldSpec;

fn message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked without a message")
}

/// Every `n`-th variant, all of them with `NSTR_ALL=1`.
fn some(variants: Vec<(String, FieldSpec)>, n: usize) -> Vec<(String, FieldSpec)> {
    let n = if std::env::var("NSTR_ALL").is_ok_and(|v| v == "1") { 1 } else { n };
    variants.into_iter().step_by(n).collect()
}

/// Tries every variant before it fails, so that one run on a machine that is seldom at hand tells all.
fn over(device: Device, variants: Vec<(String, FieldSpec)>, check: impl Fn(&str, &FieldSpec)) {
    if !present(device) {
        return;
    }
    let count = variants.len();
    let failures: Vec<String> = variants
        .into_iter()
        .filter_map(|(name, spec)| {
            let panic = catch_unwind(AssertUnwindSafe(|| check(&name, &spec))).err()?;
            Some(format!("{name}: {}", message(&*panic)))
        })
        .collect();
    println!("{device}: {} of {count} variants agree", count - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Compares with the judge: number for number, or where matrix products round their operands to TF32 (Burn's on NVIDIA GPUs)
/// as wholes, since a ReLU within rounding of 0 changes a point's derivatives altogether.
struct Judgement {
    device: Device,
    worst: Cell<f64>,
}

impl Judgement {
    fn new(device: Device) -> Self {
        Self { device, worst: Cell::new(0.0) }
    }
    fn check(&self, what: &str, got: &[f64], want: &[f64], exact: f64, rounded: f64) {
        let off = apart(got, want);
        self.worst.set(self.worst.get().max(off));
        if self.device == Device::Cuda {
            assert!(off <= rounded, "{what}: {off:.1e} of its norm off");
        } else {
            assert_close(what, got, want, exact);
        }
    }
    /// Compares what a kernel of our own computed, which rounds nothing to TF32.
    fn kernel(&self, what: &str, got: &[f64], want: &[f64], bound: f64) {
        self.worst.set(self.worst.get().max(apart(got, want)));
        assert_close(what, got, want, bound);
    }
    /// [`Self::check`] with the bounds of a quantity.
    fn quantity(&self, what: &str, got: &[f64], want: &[f64], quantity: Quantity) {
        let exact = if quantity == Quantity::Gradients { 3e-4 } else { 1e-4 };
        self.check(what, got, want, exact, if quantity == Quantity::Values { 5e-3 } else { 5e-2 });
    }
}

impl Drop for Judgement {
    fn drop(&mut self) {
        println!("{}: furthest apart {:.1e} of the norm", self.device, self.worst.get());
    }
}

fn kernels<B>(device: Device)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    let (on, judge) = (On::<B>::new(DType::F32, true), Judgement::new(device));
    over(device, some(variants(), 4), |name, spec| {
        let case = Case::random(spec, 70, 41);
        judge.kernel(&format!("{name}: values"), &on.forward(&case), &JUDGE.forward(&case), 1e-4);
        let weight = case.weights(spec.outputs, 31);
        let (got, want) = (on.parameter_grads(&case, &weight), JUDGE.grads(&case, &weight));
        for (buffer, got, want) in [(Buffer::Grid, &got.grid, &want.grid), (Buffer::Net, &got.net, &want.net)] {
            for (part, range) in buffer.parts(spec) {
                judge.kernel(&format!("{name}: {part}"), &got[range.clone()], &want[range], 3e-4);
            }
        }
    });
}

fn points<B>(device: Device)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    let (on, judge) = (On::<B>::new(DType::F32, true), Judgement::new(device));
    over(device, some(variants(), 15), |name, spec| {
        compare(&on, name, &Case::random(spec, 70, 41), |what, got, want, of| judge.quantity(what, got, want, of));
    });
}

fn borders<B>(device: Device)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    let (on, judge) = (On::<B>::new(DType::F32, true), Judgement::new(device));
    over(device, some(variants(), 6), |name, spec| {
        let case = Case { x: special_points(spec.dim), ..Case::random(spec, 1, 43) };
        judge.kernel(&format!("{name}: values"), &on.forward(&case), &JUDGE.forward(&case), 1e-4);
    });
}

fn ray_steps<B>(device: Device)
where
    B: FieldBackend,
    Autodiff<B>: FieldBackend + AutodiffBackend<InnerBackend = B>,
{
    let (on, judge) = (On::<B>::new(DType::F32, true), Judgement::new(device));
    over(device, some(radiance_variants(), 13), |name, spec| {
        let case = Case::random(spec, 1, 73);
        let plain = rays(60, 20, 74);
        let loss = RayLoss { density: spec.density_law().into(), ..LOSS };
        for (rays, kind) in [(with_gradient_scale(&plain, 75), "scaled"), (plain, "plain")] {
            let (got, want) = (step(&on, &case, &rays, loss), step::<Flex>(&PLAIN_F64, &case, &rays, loss));
            judge.kernel(&format!("{name}: {kind} loss"), &[got.0], &[want.0], 1e-5);
            for (buffer, got, want) in [(Buffer::Grid, &got.1, &want.1), (Buffer::Net, &got.2, &want.2)] {
                for (part, range) in buffer.parts(spec) {
                    judge.kernel(&format!("{name}: {kind} {part}"), &got[range.clone()], &want[range], 5e-4);
                }
            }
        }
    });
}

on_devices! {
    kernels_agree_with_the_judge_over_every_axis => kernels::<B>(DEVICE);
    plain_tensors_agree_with_the_judge => points::<B>(DEVICE);
    agrees_with_the_judge_on_borders_and_outside => borders::<B>(DEVICE);
    ray_steps_agree_with_the_judge => ray_steps::<B>(DEVICE);
}
