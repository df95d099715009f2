//! Agreement of the GPU kernels with the CPU's, which the suite of fields judges in double precision.
//!
//! Outputs are poisoned before each kernel, buffers have a canary behind their end, and inputs are fresh random numbers.

#![allow(clippy::unwrap_used, reason = "for tests and benches: a panic is how they fail")]

use std::ops::Range;

use cubecl::prelude::*;
use cubecl::server::Handle;
use nstr_gpu::ray_step::{DeviceRays, RayLoss};
use nstr_gpu::rays::LossKind;
use nstr_gpu::run::{FieldKernels, Gradients, Parameters, Points, Tuning};
use nstr_kernel::{FusedField, GradientSlices, Outputs, PointLoss, RayBatch};
use nstr_spec::FieldSpec;
use nstr_spec::config::preset;
use nstr_spec::init::parameters;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Bound on values: `‖difference‖ / ‖values‖`. Compilers of WGSL may round multiply-adds twice, and a product of three
/// lines (`cp`) has small values of larger parts.
pub const VALUES: f64 = 5e-5;
/// Bound on each tensor's gradient, likewise.
pub const GRADIENTS: f64 = 2e-4;

/// Fields that cover every axis of configuration that the kernels know.
pub fn fields() -> Vec<(String, FieldSpec)> {
    let sets: &[(&str, &[&str])] = &[
        ("sdf-tiny", &[]),
        ("sdf-tiny", &["modulation=sum"]),
        ("sdf-tiny", &["modulation=channels:3"]),
        ("sdf-tiny", &["modulation=plain"]),
        ("sdf-tiny", &["modulation=none"]),
        ("sdf-tiny", &["latent.kind=hash", "latent.levels=4", "latent.features=2"]),
        ("sdf-tiny", &["latent.kind=pyramid", "latent.levels=3", "latent.features=3"]),
        ("sdf-tiny", &["latent.kind=planes", "latent.resolution=9", "latent.features=4"]),
        ("sdf-tiny", &["latent.kind=vm", "latent.resolution=9", "latent.features=4"]),
        ("sdf-tiny", &["latent.kind=cp", "latent.resolution=9", "latent.features=6"]),
        ("sdf-tiny", &["latent.interpolation=smoothstep", "spectrum_input=true"]),
        ("sdf-tiny", &["decoder.activation=silu", "decoder.layers=2", "spectrum.activation=sine"]),
        ("sdf-tiny", &["decoder.activation=sine", "decoder.omega_0=5", "basis_omega_0=3"]),
        ("sdf-tiny", &["skip_latent=false", "input_coords=true"]),
        ("sdf-tiny", &["decoder.layers=0", "spectrum.layers=2", "basis=7"]),
        ("image-tiny", &[]),
        ("audio-tiny", &[]),
        ("radiance-tiny", &[]),
        ("radiance-tiny", &["color_head.encoding=frequency:2", "color_head.mlp.layers=2"]),
        ("radiance", &[]),
        ("sdf", &[]),
    ];
    sets.iter()
        .map(|(name, keys)| {
            let config = preset(name).unwrap().set(keys).unwrap();
            (format!("{name} {}", keys.join(" ")), config.spec())
        })
        .collect()
}

/// A field with random parameters of the size of trained ones, and numbers to draw more from.
pub struct Case {
    pub spec: FieldSpec,
    pub grid: Vec<f32>,
    pub net: Vec<f32>,
    pub rng: Pcg64,
}

impl Case {
    pub fn new(spec: &FieldSpec, seed: u64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let config = preset("sdf-tiny").unwrap();
        let (mut grid, mut net) = parameters(spec, &config.init);
        grid.iter_mut().for_each(|v| *v += rng.random_range(-0.3..0.3));
        net.iter_mut().for_each(|v| *v += rng.random_range(-0.1..0.1));
        Self { spec: spec.clone(), grid, net, rng }
    }
    /// Coordinates in the cube, some outside.
    pub fn points(&mut self, n: usize) -> Vec<f32> {
        (0..n * self.spec.dim).map(|_| self.rng.random_range(-0.02..1.02)).collect()
    }
    pub fn normal(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.rng.random_range(-1.0..1.0)).collect()
    }
}

const CANARY: f32 = 12345.0;

/// A buffer of `n` floats of `fill` with a canary behind it.
pub fn poisoned<R: Runtime>(client: &ComputeClient<R>, n: usize, fill: f32) -> Handle {
    let mut values = vec![fill; n];
    values.extend([CANARY; 8]);
    client.create_from_slice(f32::as_bytes(&values))
}

pub fn read<R: Runtime>(client: &ComputeClient<R>, handle: &Handle, n: usize) -> Vec<f32> {
    let bytes = client.read_one_unchecked(handle.clone());
    let values = f32::from_bytes(&bytes);
    assert!(values[n..].iter().take(8).all(|v| *v == CANARY), "the canary behind {n} floats");
    values[..n].to_vec()
}

pub fn upload<R: Runtime>(client: &ComputeClient<R>, values: &[f32]) -> Handle {
    client.create_from_slice(f32::as_bytes(if values.is_empty() { &[0.0; 4] } else { values }))
}

/// `‖a − b‖ / ‖b‖`, infinite where a number is none on one side only.
pub fn apart(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let (mut off, mut norm) = (0.0f64, 0.0f64);
    for (&a, &b) in a.iter().zip(b) {
        if a.is_nan() != b.is_nan() {
            return f64::INFINITY;
        }
        if !a.is_nan() {
            off += (f64::from(a) - f64::from(b)).powi(2);
            norm += f64::from(b).powi(2);
        }
    }
    (off / norm.max(1e-30)).sqrt()
}

/// Parameters on the device.
pub fn place<R: Runtime>(kernels: &FieldKernels<R>, case: &Case) -> Parameters {
    let net = upload(kernels.client(), &case.net);
    Parameters { grid: upload(kernels.client(), &case.grid), packed: kernels.pack(&net) }
}

/// Worst difference of values over numbers of points around the tile's.
pub fn values<R: Runtime>(client: &ComputeClient<R>, spec: &FieldSpec, tuning: Tuning, seed: u64) -> f64 {
    let mut case = Case::new(spec, seed);
    let kernels = FieldKernels::new(client.clone(), spec, tuning).unwrap();
    let at = place(&kernels, &case);
    let fused = FusedField::new(spec);
    let p = kernels.plan().trunk.tile.points;
    let mut worst = 0.0f64;
    for n in [1, p - 1, p, p + 1, 5 * p + 3] {
        let mut x = case.points(n.max(1));
        if n > 3 {
            x[spec.dim] = f32::NAN;
        }
        let n = x.len() / spec.dim;
        let out = poisoned(client, n * spec.outputs, f32::NAN);
        kernels.values_into(&at, &upload(client, &x), n, &out);
        let mut want = vec![0.0; n * spec.outputs];
        fused.forward(&case.grid, &case.net, &x, &mut want);
        worst = worst.max(apart(&read(client, &out, n * spec.outputs), &want));
    }
    worst
}

/// Each tensor's name, its buffer (0: grid, 1: networks) and its range there.
fn tensors(spec: &FieldSpec) -> Vec<(String, usize, Range<usize>)> {
    let (starts, features) = (spec.latent.offsets(spec.dim), spec.latent.features);
    let levels = starts.windows(2).enumerate();
    let levels = levels.map(|(l, w)| (format!("level {l}"), 0, w[0] * features..w[1] * features));
    let networks = spec.net_tensors().into_iter().map(|slot| (slot.name.clone(), 1, slot.range()));
    levels.chain(networks).collect()
}

/// Worst difference of a gradient over parameter tensors, relative to the tensor's norm.
pub fn gradients_apart(spec: &FieldSpec, got: [&[f32]; 2], want: [&[f32]; 2]) -> (f64, String) {
    let mut worst = (0.0, String::new());
    for (name, buffer, range) in tensors(spec) {
        // Where a tensor has no gradient, there must be none.
        let (got, want) = (&got[buffer][range.clone()], &want[buffer][range]);
        let off = if want.iter().all(|v| *v == 0.0) {
            if got.iter().all(|v| *v == 0.0) { 0.0 } else { f64::INFINITY }
        } else {
            apart(got, want)
        };
        if off > worst.0 {
            worst = (off, name);
        }
    }
    worst
}

/// Worst difference of the adjoint of values.
pub fn adjoint<R: Runtime>(client: &ComputeClient<R>, spec: &FieldSpec, tuning: Tuning, seed: u64) -> (f64, String) {
    let mut case = Case::new(spec, seed);
    let kernels = FieldKernels::new(client.clone(), spec, tuning).unwrap();
    let at = place(&kernels, &case);
    let n = 3 * kernels.plan().trunk.tile.points + 5;
    let (x, d_out) = (case.points(n), case.normal(n * spec.outputs));
    let lengths = [case.grid.len(), case.net.len()];
    let sums = lengths.map(|n| poisoned(client, n.next_multiple_of(4), 0.0));
    let to = Gradients { grid: sums[0].clone(), net: sums[1].clone() };
    let count = client.create_from_slice(u32::as_bytes(&[n as u32, 0, 0, 0]));
    let points = Points { x: &upload(client, &x), len: n, list: None, count: &count, limit: n };
    kernels.adjoint(&at, &points, &upload(client, &d_out), &to);
    let got: Vec<Vec<f32>> =
        lengths.iter().zip(&sums).map(|(n, h)| read(client, h, n.next_multiple_of(4))[..*n].to_vec()).collect();
    let (mut d_grid, mut d_net) = (vec![0.0; lengths[0]], vec![0.0; lengths[1]]);
    let slices = GradientSlices { d_grid: &mut d_grid, d_net: &mut d_net, d_x: None };
    FusedField::new(spec).backward(Outputs::Value, &case.grid, &case.net, &x, &d_out, slices);
    gradients_apart(spec, [&got[0], &got[1]], [&d_grid, &d_net])
}

/// Random rays of samples inside the cube.
pub fn rays(case: &mut Case, rays: usize, most: usize, dt: f32) -> RayBatch {
    let mut batch = RayBatch { first: vec![0], ..RayBatch::default() };
    for _ in 0..rays {
        let n = case.rng.random_range(0..=most);
        let origin: [f32; 3] = std::array::from_fn(|_| case.rng.random_range(0.2..0.8));
        let d: [f32; 3] = std::array::from_fn(|_| case.rng.random_range(-1.0f32..1.0));
        let length = d.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-3);
        let d = d.map(|v| v / length);
        for s in 0..n {
            let t = (s as f32 + case.rng.random_range(0.0..1.0)) * dt;
            batch.x.extend((0..3).map(|j| (origin[j] + (t - 0.1) * d[j]).clamp(0.0, 1.0)));
            batch.t.push(t);
            batch.dt.push(dt);
        }
        batch.first.push(batch.t.len() as u32);
        batch.direction.extend(d);
        batch.target.extend((0..3).map(|_| case.rng.random_range(0.0f32..1.0)));
        batch.background.extend((0..3).map(|_| case.rng.random_range(0.0f32..1.0)));
    }
    batch
}

/// A batch on the device.
pub fn place_rays<R: Runtime>(client: &ComputeClient<R>, batch: &RayBatch) -> DeviceRays {
    let spans: Vec<u32> = batch.first.windows(2).flat_map(|w| [w[0], w[1] - w[0], 0, 0]).collect();
    let lengths: Vec<f32> = batch.t.iter().zip(&batch.dt).flat_map(|(t, dt)| [*t, *dt]).collect();
    let parts = [&batch.direction, &batch.target, &batch.background].map(|v| v.as_chunks::<3>().0);
    let records: Vec<f32> = (0..parts[0].len()).flat_map(|r| parts.map(|part| part[r])).flatten().collect();
    DeviceRays {
        rays: batch.first.len() - 1,
        samples: batch.t.len(),
        x: upload(client, &batch.x),
        lengths: upload(client, &lengths),
        spans: client.create_from_slice(u32::as_bytes(&spans)),
        records: upload(client, &records),
        gradient_scale: (!batch.gradient_scale.is_empty()).then(|| upload(client, &batch.gradient_scale)),
        counters: None,
    }
}

/// Worst difference of a step over rays: loss, and gradients.
pub fn ray_step<R: Runtime>(
    client: &ComputeClient<R>,
    spec: &FieldSpec,
    tuning: Tuning,
    kind: (LossKind, PointLoss),
    seed: u64,
) -> (f64, f64, String) {
    let mut case = Case::new(spec, seed);
    let kernels = FieldKernels::new(client.clone(), spec, tuning).unwrap();
    let at = place(&kernels, &case);
    let mut batch = rays(&mut case, 150, 12, 0.03);
    if kind.0 != LossKind::L2 {
        batch.gradient_scale = (0..batch.t.len()).map(|_| case.rng.random_range(0.0f32..1.0)).collect();
    }
    let delta = if let PointLoss::Huber(delta) = kind.1 { delta } else { 1.0 };
    let how = RayLoss { kind: kind.0, delta, min_transmittance: 0.02, distortion: 0.05, sharpness: 0.0 };
    let lengths = [case.grid.len(), case.net.len()];
    let sums = lengths.map(|n| poisoned(client, n.next_multiple_of(4), 0.0));
    let to = Gradients { grid: sums[0].clone(), net: sums[1].clone() };
    let buffers = kernels.ray_buffers(200, batch.t.len() + 100);
    kernels.ray_step(&at, &place_rays(client, &batch), how, &buffers, &to);
    let losses = client.read_one_unchecked(buffers.losses.clone());
    let loss: f64 = f32::from_bytes(&losses)[..150].iter().map(|l| f64::from(*l)).sum();
    let got: Vec<Vec<f32>> =
        lengths.iter().zip(&sums).map(|(n, h)| read(client, h, n.next_multiple_of(4))[..*n].to_vec()).collect();
    let (mut d_grid, mut d_net) = (vec![0.0; lengths[0]], vec![0.0; lengths[1]]);
    let want = nstr_kernel::RayLoss { min_transmittance: 0.02, distortion: 0.05, ..nstr_kernel::RayLoss::of(kind.1) };
    let stats =
        FusedField::new(spec).ray_loss_backward(&case.grid, &case.net, batch.slices(), want, &mut d_grid, &mut d_net);
    let count = client.read_one_unchecked(buffers.count.clone());
    assert_eq!(u32::from_bytes(&count)[0] as usize, stats.used, "samples that count");
    let (off, name) = gradients_apart(spec, [&got[0], &got[1]], [&d_grid, &d_net]);
    ((loss - stats.loss).abs() / stats.loss, off, name)
}
