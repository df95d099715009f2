//! The GPU kernels on a device: what it is, whether they are right there, and how fast.
//!
//!     cargo bench -p nstr-gpu --bench gpu --features wgpu -- probe --on wgpu
//!     cargo bench -p nstr-gpu --bench gpu --features cuda -- check --on cuda
//!     cargo bench -p nstr-gpu --bench gpu --features cuda,wgpu -- time --on cuda,wgpu --json times.json
//!
//! `check` compares with the CPU kernels, over every axis of configuration. `time` prints medians of 30 runs after
//! warming up, each with the share of the device's bound (multiplications from `probe`, in the same run).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench: a panic is how it fails")]

mod check;
#[cfg(feature = "cuda")]
mod sources;
mod time;

use cubecl::prelude::*;
use nstr_gpu::run::Tuning;

/// Prints each case's worst difference; true if all are within their bounds.
fn run_checks<R: Runtime>(client: &ComputeClient<R>, base: Tuning, only: Option<&str>) -> bool {
    use nstr_gpu::rays::LossKind;
    use nstr_kernel::PointLoss;
    let mut ok = true;
    let mut report = |name: &str, off: f64, bound: f64, what: &str| {
        let good = off <= bound;
        ok &= good;
        println!("{} {name}: {off:.1e} {what}", if good { "ok  " } else { "FAIL" });
    };
    let forms = [base, Tuning { units: 64, grid: 1, ..base }, Tuning { units: 32, points: 16, grid: 3, ..base }];
    for (i, (name, spec)) in check::fields().iter().enumerate() {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        // All forms on a few fields, one form on each of the others.
        let forms: Vec<Tuning> = if i == 0 || i == 17 { forms.to_vec() } else { vec![forms[i % 3]] };
        for (f, tuning) in forms.into_iter().enumerate() {
            let seed = (100 * i + f) as u64;
            let started = std::time::Instant::now();
            report(&format!("values, {name}"), check::values(client, spec, tuning, seed), check::VALUES, "");
            let (off, tensor) = check::adjoint(client, spec, tuning, seed + 1);
            report(&format!("adjoint, {name}"), off, check::GRADIENTS, &tensor);
            if spec.color_head.is_some() {
                for kind in [
                    (LossKind::L2, PointLoss::L2),
                    (LossKind::Huber, PointLoss::Huber(0.1)),
                    (LossKind::L1, PointLoss::L1),
                ] {
                    let (loss, off, tensor) = check::ray_step(client, spec, tuning, kind, seed + 2);
                    report(&format!("loss of rays, {:?}, {name}", kind.0), loss, 1e-5, "");
                    report(&format!("step of rays, {:?}, {name}", kind.0), off, check::GRADIENTS, &tensor);
                }
            }
            println!("     {:.1} s", started.elapsed().as_secs_f64());
        }
    }
    ok
}

fn usage() -> ! {
    eprintln!("usage: gpu probe|check|time --on cuda|wgpu[,…] [--only FIELD] [--json FILE]");
    std::process::exit(2);
}

#[cfg_attr(not(any(feature = "cuda", feature = "wgpu")), expect(dead_code, reason = "no device to run on"))]
fn on<R: Runtime>(
    command: &str,
    device: &str,
    client: ComputeClient<R>,
    quad: bool,
    only: Option<&str>,
) -> (bool, String) {
    let base = Tuning { quad, ..Tuning::of(&client) };
    println!("{device}: {}, {:?}", R::name(&client), client.properties().hardware);
    match command {
        "probe" => {
            time::probe(&client);
            (true, String::new())
        }
        "check" => (run_checks(&client, base, only), String::new()),
        "time" => (true, time::run(&client, base, device, only)),
        _ => usage(),
    }
}

/// Runs a command on CUDA; `None` where it was not built.
fn on_cuda(command: &str, only: Option<&str>) -> Option<(bool, String)> {
    #[cfg(feature = "cuda")]
    {
        let client = cubecl::cuda::CudaRuntime::client(&Default::default());
        let quad = std::env::var("NSTR_GPU_QUAD").is_ok_and(|v| v != "0");
        Some(on(command, "cuda", client, quad, only))
    }
    #[cfg(not(feature = "cuda"))]
    {
        let _ = (command, only);
        None
    }
}

/// Runs a command on wgpu; `None` where it was not built.
fn on_wgpu(command: &str, only: Option<&str>) -> Option<(bool, String)> {
    #[cfg(feature = "wgpu")]
    {
        let client = cubecl::wgpu::WgpuRuntime::client(&Default::default());
        Some(on(command, "wgpu", client, false, only))
    }
    #[cfg(not(feature = "wgpu"))]
    {
        let _ = (command, only);
        None
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let Some(command) = args.first().filter(|c| !c.starts_with("--")).cloned() else { usage() };
    #[cfg(feature = "cuda")]
    if command == "sources" {
        let folder = value("--to").unwrap_or_else(|| usage());
        let form = |(points, units, blocks)| Tuning { points, units, blocks, grid: 1, quad: false };
        let forms = [(32, 64, 8), (64, 128, 4), (128, 128, 2), (128, 256, 2)].map(form);
        return sources::write(std::path::Path::new(&folder), &forms);
    }
    let (devices, only) = (value("--on").unwrap_or_else(|| usage()), value("--only"));
    let (mut ok, mut json) = (true, Vec::new());
    for device in devices.split(',') {
        let run = match device {
            "cuda" => on_cuda(&command, only.as_deref()),
            "wgpu" => on_wgpu(&command, only.as_deref()),
            _ => usage(),
        };
        let Some((good, lines)) = run else {
            eprintln!("this build has no {device}: build with --features {device}");
            std::process::exit(2);
        };
        ok &= good;
        json.push(lines);
    }
    if let Some(file) = value("--json") {
        std::fs::write(&file, format!("[{}]\n", json.join(",\n"))).expect("the JSON file can be written");
    }
    println!("{}", if ok { "all good" } else { "FAILED" });
    std::process::exit(i32::from(!ok));
}
