//! Times of kernels, as rates and as shares of the device's multiplication rate.

use std::time::Instant;

use cubecl::prelude::*;
use nstr_gpu::ray_step::RayLoss;
use nstr_gpu::rays::LossKind;
use nstr_gpu::run::{AdamHyper, FieldKernels, Gradients, Points, Tuning, adam};
use nstr_spec::FieldSpec;
use nstr_spec::config::preset;
use serde_json::{Value, json};

use crate::check::{Case, place, place_rays, rays, upload};
use crate::march;

#[cube(launch_unchecked)]
fn multiply_add(out: &mut Array<f32>, turns: u32) {
    let mut sums = Array::<f32>::new(16usize);
    let x = f32::cast_from(UNIT_POS) * 1e-6f32;
    #[unroll]
    for i in 0..16usize {
        sums[i] = f32::cast_from(i as u32);
    }
    for _ in 0..turns {
        #[unroll]
        for _ in 0..16usize {
            #[unroll]
            for i in 0..16usize {
                sums[i] = fma(sums[i], 0.999f32, x);
            }
        }
    }
    let mut total = 0.0f32;
    #[unroll]
    for i in 0..16usize {
        total += sums[i];
    }
    out[ABSOLUTE_POS] = total;
}

#[cube(launch_unchecked)]
fn copy(from: &Array<Vector<f32, Const<4>>>, to: &mut Array<Vector<f32, Const<4>>>, turns: u32) {
    for turn in 0..turns {
        let at = ABSOLUTE_POS + turn as usize * CUBE_COUNT * CUBE_DIM as usize;
        if at < to.len() {
            to[at] = from[at];
        }
    }
}

/// Numbers of which no two neighbours are equal: memory that was never written can be copied faster than is true.
#[cube(launch_unchecked)]
fn fill(to: &mut Array<Vector<f32, Const<4>>>, turns: u32) {
    for turn in 0..turns {
        let at = ABSOLUTE_POS + turn as usize * CUBE_COUNT * CUBE_DIM as usize;
        if at < to.len() {
            let bits = (at as u32) * 2_654_435_761u32;
            to[at] = Vector::<f32, Const<4>>::new(f32::cast_from(bits >> 8u32));
        }
    }
}

fn wait<R: Runtime>(client: &ComputeClient<R>) {
    cubecl::future::block_on(client.sync()).expect("the device runs to the end");
}

/// Seconds of a launch: the median of 7 runs of several launches each, after warming up.
fn seconds<R: Runtime>(client: &ComputeClient<R>, launches: usize, mut launch: impl FnMut()) -> f64 {
    launch();
    wait(client);
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            let started = Instant::now();
            (0..launches).for_each(|_| launch());
            wait(client);
            started.elapsed().as_secs_f64() / launches as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn is_large<R: Runtime>(client: &ComputeClient<R>) -> bool {
    client.properties().hardware.num_cpu_cores.is_none()
        && client.properties().hardware.max_shared_memory_size > 40 << 10
}

/// The device's rates, printed: figures, and multiply-adds a second.
pub fn probe<R: Runtime>(client: &ComputeClient<R>, device: &str) -> (Value, f64) {
    let large = is_large(client);
    let (blocks, turns) = if large { (4096, 256) } else { (16, 64) };
    let n = blocks * 256;
    let out = client.empty(4 * n);
    let time = seconds(client, 2, || {
        // SAFETY: one float a unit.
        unsafe {
            multiply_add::launch_unchecked::<R>(
                client,
                CubeCount::Static(blocks as u32, 1, 1),
                CubeDim::new_1d(256),
                ArrayArg::from_raw_parts(out.clone(), n),
                turns,
            );
        }
    });
    let rate = n as f64 * f64::from(turns) * 256.0 / time;
    let floats: usize = if large { 1 << 28 } else { 1 << 22 };
    let [from, to] = [(); 2].map(|()| client.empty(4 * floats));
    let copies = (floats / 4).div_ceil(256).min(16_384);
    let copy_turns = (floats / 4).div_ceil(256 * copies) as u32;
    let (count, dim) = (CubeCount::Static(copies as u32, 1, 1), CubeDim::new_1d(256));
    // SAFETY: both hold `floats` floats.
    let vectors = |handle: &cubecl::server::Handle| unsafe { ArrayArg::from_raw_parts(handle.clone(), floats / 4) };
    // SAFETY: as above; the kernels check against the length.
    unsafe { fill::launch_unchecked::<R>(client, count.clone(), dim, vectors(&from), copy_turns) };
    let time = seconds(client, 4, || {
        // SAFETY: as above.
        unsafe { copy::launch_unchecked::<R>(client, count.clone(), dim, vectors(&from), vectors(&to), copy_turns) };
    });
    let empty = seconds(client, 200, || {
        // SAFETY: one float a unit.
        unsafe {
            multiply_add::launch_unchecked::<R>(
                client,
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(32),
                ArrayArg::from_raw_parts(out.clone(), n),
                0,
            );
        }
    });
    let copied = 8.0 * floats as f64 / time;
    println!(
        "multiply-adds {:.4} T/s, copy {:.4} TB/s read and written, a launch {:.1} us",
        rate / 1e12,
        copied / 1e12,
        empty * 1e6
    );
    let figures = json!({
        "device": device, "multiply_adds_per_second": rate, "bytes_per_second": copied, "launch_seconds": empty
    });
    (figures, rate)
}

/// Multiply-adds of one point through the networks: the trunk's, and the head's.
fn multiplications(spec: &FieldSpec) -> [f64; 2] {
    let layout = spec.net_layout();
    let of = |layers: &[nstr_spec::LayerSlot]| layers.iter().map(|l| (l.inputs * l.outputs) as f64).sum::<f64>();
    let blend = ((spec.latent.levels.len() * spec.latent.features) << spec.dim) as f64;
    [
        of(&layout.spectrum) + of(&layout.decoder) + blend + (spec.basis_width() * (spec.dim + 1)) as f64,
        of(&layout.head),
    ]
}

/// Times every kernel of the presets; returns the figures.
pub fn run<R: Runtime>(client: &ComputeClient<R>, tunings: &[Tuning], device: &str, only: Option<&str>) -> Vec<Value> {
    let (figures, rate) = probe(client, device);
    let large = is_large(client);
    let (mut lines, mut lines_of_march) = (vec![figures], Vec::new());
    let mut report = |name: &str, tuning: Tuning, points: usize, work: f64, time: f64, note: &str| {
        let (per_second, share) = (points as f64 / time, points as f64 * work / time / rate);
        println!(
            "{device:5} {name:34} P {:3} U {:3} blocks {} grid {:5}: {:9.3} M/s {:7.3} ms, {:4.1} % of multiply-adds {note}",
            tuning.points,
            tuning.units,
            tuning.blocks,
            tuning.grid,
            per_second / 1e6,
            time * 1e3,
            share * 100.0
        );
        lines.push(json!({
            "device": device, "kernel": name, "points": tuning.points, "units": tuning.units, "blocks": tuning.blocks,
            "quad": tuning.quad, "per_second": per_second, "share": share
        }));
    };
    for preset_name in ["radiance", "sdf", "radiance-fine"] {
        if only.is_some_and(|only| only != preset_name) {
            continue;
        }
        let spec = preset(preset_name).expect("a preset").spec();
        let n = if large { 1 << 21 } else { 1 << 13 };
        let mut case = Case::new(&spec, 7);
        let x = upload(client, &case.points(n));
        let d_out = upload(client, &case.normal(n * spec.outputs));
        let count = client.create_from_slice(u32::as_bytes(&[n as u32, 0, 0, 0]));
        let [trunk, head] = multiplications(&spec);
        if preset_name == "radiance" {
            lines_of_march.push(march_rate(client, &spec, tunings[0], device, if large { 1 << 17 } else { 1 << 12 }));
        }
        for &tuning in tunings {
            let kernels = FieldKernels::new(client.clone(), &spec, tuning).expect("the preset fits");
            let at = place(&kernels, &case);
            let out = client.empty(4 * n * spec.outputs);
            let tile = kernels.plan().trunk.tile.points;
            let note = format!("(tile of {tile}, quad {})", tuning.quad);
            let time = seconds(client, 3, || kernels.values_into(&at, &x, n, &out));
            report(&format!("{preset_name} values"), tuning, n, trunk, time, &note);
            let to = Gradients {
                grid: upload(client, &vec![0.0; case.grid.len().next_multiple_of(4)]),
                net: upload(client, &vec![0.0; case.net.len().next_multiple_of(4)]),
            };
            let points = Points { x: &x, len: n, list: None, count: &count, limit: n };
            let time = seconds(client, 3, || kernels.adjoint(&at, &points, &d_out, &to));
            report(&format!("{preset_name} adjoint"), tuning, n, 3.0 * trunk, time, &note);
            if spec.color_head.is_none() {
                continue;
            }
            // A step of about the trainer's: rays of up to 48 samples, few of which end early.
            let batch = rays(&mut case, n / 24, 48, 0.004);
            let samples = batch.t.len();
            let device_rays = place_rays(client, &batch);
            let buffers = kernels.ray_buffers(n / 24, samples);
            let how =
                RayLoss { kind: LossKind::L2, delta: 1.0, min_transmittance: 1e-3, distortion: 0.0, sharpness: 0.0 };
            let net = upload(client, &case.net);
            let moments = [case.grid.len(), case.net.len()]
                .map(|n| [upload(client, &vec![0.0; n]), upload(client, &vec![0.0; n])]);
            let hyper =
                AdamHyper { lr: 1e-5, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, bias1: 0.5, bias2: 0.5 };
            let time = seconds(client, 3, || {
                kernels.ray_step(&at, &device_rays, how, &buffers, &to);
                adam(client, &at.grid, &to.grid, &moments[0], case.grid.len(), &hyper);
                adam(client, &net, &to.net, &moments[1], case.net.len(), &hyper);
                kernels.pack_into(&net, &at.packed);
            });
            let used = u32::from_bytes(&client.read_one_unchecked(buffers.count.clone()))[0];
            let note = format!("{note}, {used} of {samples} samples listed");
            report(
                &format!("{preset_name} step of rays with Adam"),
                tuning,
                samples,
                4.0 * (trunk + head),
                time,
                &note,
            );
        }
    }
    lines.extend(lines_of_march);
    lines
}

/// Rate of uploading and marching rays, printed.
fn march_rate<R: Runtime>(
    client: &ComputeClient<R>,
    spec: &FieldSpec,
    tuning: Tuning,
    device: &str,
    rays: usize,
) -> Value {
    let kernels = FieldKernels::new(client.clone(), spec, tuning).expect("the preset fits");
    let (samples, work) = march::work(&kernels, rays);
    let time = seconds(client, 3, work);
    let (ray_rate, sample_rate) = (rays as f64 / time, samples as f64 / time);
    println!(
        "upload and march of {rays} rays: {:.3} M rays/s, {:.3} M samples/s, {:.3} ms",
        ray_rate / 1e6,
        sample_rate / 1e6,
        time * 1e3
    );
    json!({
        "device": device, "kernel": "upload and march", "rays_per_second": ray_rate, "per_second": sample_rate
    })
}
