//! The GPU kernels on a device: what it is, whether they are right there, and how fast.
//!
//!     cargo bench --bench gpu --features wgpu -- probe --on wgpu
//!     cargo bench --bench gpu --features cuda -- check --on cuda
//!     cargo bench --bench gpu --features cuda,wgpu -- time --on cuda,wgpu --json times.json
//!     cargo bench --bench gpu --features cuda -- fit CAPTURE --on cuda --seconds 20
//!     cargo bench --bench gpu --features wgpu -- frames MODEL --size 800x800,1920x1080
//!
//! `check` compares with the CPU kernels, over every axis of configuration. `time` prints medians after warming up, each
//! with the share of the device's bound (multiplications from `probe`, in the same run), and last how many times as fast a
//! whole training step of rays is as Burn's plain tensors on the same device.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench: a panic is how it fails")]
#![cfg_attr(not(any(feature = "cuda", feature = "wgpu")), allow(dead_code, reason = "no device to run on"))]

mod check;
mod fit;
mod frames;
mod march;
mod plain;
#[cfg(feature = "cuda")]
mod sources;
mod time;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cubecl::prelude::*;
use nstr_backend::device::Device;
use nstr_gpu::run::Tuning;
use serde_json::Value;

/// Agreement and times of the GPU kernels.
#[derive(Parser)]
#[command(name = "gpu")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Says what the devices are, and their rates of multiply-adds, copies and launches.
    Probe(On),
    /// Compares every kernel with the CPU's over every axis of a field's configuration.
    Check(On),
    /// Times every kernel of the presets, and a training step against Burn's plain tensors.
    Time(On),
    /// Trains a radiance field on a capture: samples a second, and PSNR of the held-out views.
    Fit(fit::FitArgs),
    /// Times frames of a model.
    Frames(frames::FrameArgs),
    /// Writes the CUDA sources of the presets' kernels, without a device.
    #[cfg(feature = "cuda")]
    Sources {
        /// Folder to write to.
        #[arg(long)]
        to: PathBuf,
    },
}

#[derive(Args)]
struct On {
    /// Devices, separated by commas; all that are built in if not given.
    #[arg(long, value_delimiter = ',')]
    on: Vec<Target>,
    /// Only fields with this in their name.
    #[arg(long)]
    only: Option<String>,
    /// Other forms of the kernels than the usual one: points of a tile, units, blocks a multiprocessor, for example
    /// 64,128,4; once for each.
    #[arg(long = "form", value_parser = form)]
    forms: Vec<[usize; 3]>,
    /// Adds four floats of a gradient at once where the device can.
    #[arg(long)]
    quad: bool,
    /// File for the figures.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A device that this program may have kernels for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// NVIDIA GPUs through CUDA.
    Cuda,
    /// Vulkan, Metal and DirectX 12 through wgpu.
    Wgpu,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }

    fn device(self) -> Device {
        match self {
            Self::Cuda => Device::Cuda,
            Self::Wgpu => Device::Wgpu,
        }
    }

    fn is_built(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }
}

fn form(text: &str) -> Result<[usize; 3], String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[points, units, blocks]) if points >= 4 && points.is_multiple_of(4) && units >= 1 && blocks >= 1 => {
            Ok([points, units, blocks])
        }
        _ => Err("expected POINTS,UNITS,BLOCKS with a multiple of four points, for example 64,128,4".into()),
    }
}

impl On {
    /// The devices, those that are built in and there.
    fn targets(&self) -> Result<Vec<Target>, String> {
        let all = Target::value_variants();
        let wanted: Vec<Target> =
            if self.on.is_empty() { all.iter().copied().filter(|t| t.is_built()).collect() } else { self.on.clone() };
        if wanted.is_empty() {
            return Err("no device is built in: build with --features wgpu or cuda".into());
        }
        wanted.iter().try_for_each(|target| usable(*target))?;
        Ok(wanted)
    }

    /// The kernels' forms on a device.
    fn tunings<R: Runtime>(&self, client: &ComputeClient<R>) -> Vec<Tuning> {
        let usual = Tuning { quad: self.quad, ..Tuning::of(client) };
        if self.forms.is_empty() {
            return vec![usual];
        }
        self.forms.iter().map(|&[points, units, blocks]| Tuning { points, units, blocks, ..usual }).collect()
    }
}

/// Says why a device can't be used.
fn usable(target: Target) -> Result<(), String> {
    if !target.is_built() {
        return Err(format!("this build has no {0}: build with --features {0}", target.name()));
    }
    target.device().check().map_err(|e| e.to_string())
}

/// Prints each case's worst difference over forms of the kernels, `given` by the user or around the usual one; true if all
/// are within their bounds.
fn run_checks<R: Runtime>(client: &ComputeClient<R>, tunings: &[Tuning], given: bool, only: Option<&str>) -> bool {
    use nstr_gpu::rays::LossKind;
    use nstr_kernel::PointLoss;
    let mut ok = true;
    let mut report = |name: &str, off: f64, bound: f64, what: &str| {
        let good = off <= bound;
        ok &= good;
        println!("{} {name}: {off:.1e} {what}", if good { "ok  " } else { "FAIL" });
    };
    let base = tunings[0];
    let usual = [base, Tuning { units: 64, grid: 1, ..base }, Tuning { units: 32, points: 16, grid: 3, ..base }];
    for (i, (name, spec)) in check::fields().iter().enumerate() {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        // The forms that are asked for; else all on a few fields, one on each of the others.
        let forms: Vec<Tuning> = match given {
            true => tunings.to_vec(),
            false if i == 0 || i == 17 => usual.to_vec(),
            false => vec![usual[i % 3]],
        };
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
    if only.is_none_or(|only| "marching".contains(only)) {
        let spec = nstr_spec::config::preset("radiance-tiny").unwrap().spec();
        for (i, scene) in march::scenes().iter().enumerate() {
            // Differences are panics: there must not be any.
            let drawn = scene.draw(1001, 40 + i as u64);
            march::judge_is_the_march(scene, &drawn);
            let samples = march::device_is_the_judge(client, &spec, scene, &drawn);
            println!("ok   marching, {}: {samples} samples bit for bit", scene.name);
        }
        let (loss, off, tensor) = march::marched_step(client, &spec, base, 7);
        report("loss of marched rays", loss, 1e-5, "");
        report("step of marched rays", off, check::GRADIENTS, &tensor);
    }
    ok
}

/// Work on a device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Probe,
    Check,
    Time,
}

/// Runs the work on a device with its kernels; figures, and true if all is right.
fn on<R: Runtime>(work: Work, target: Target, client: ComputeClient<R>, args: &On) -> (bool, Vec<Value>) {
    let tunings = args.tunings(&client);
    println!("{}: {}, {:?}", target.name(), R::name(&client), client.properties().hardware);
    match work {
        Work::Probe => (true, vec![time::probe(&client, target.name()).0]),
        Work::Check => (run_checks(&client, &tunings, !args.forms.is_empty(), args.only.as_deref()), Vec::new()),
        Work::Time => (true, time::run(&client, &tunings, target.name(), args.only.as_deref())),
    }
}

fn on_target(work: Work, target: Target, args: &On) -> (bool, Vec<Value>) {
    match target {
        #[cfg(feature = "cuda")]
        Target::Cuda => {
            let (good, mut lines) = on(work, target, cubecl::cuda::CudaRuntime::client(&Default::default()), args);
            if work == Work::Time {
                lines.push(plain::compare::<burn_cuda::Cuda>(target.name()));
            }
            (good, lines)
        }
        #[cfg(feature = "wgpu")]
        Target::Wgpu => {
            let (good, mut lines) = on(work, target, cubecl::wgpu::WgpuRuntime::client(&Default::default()), args);
            if work == Work::Time {
                lines.push(plain::compare::<burn_wgpu::Wgpu>(target.name()));
            }
            (good, lines)
        }
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        _ => {
            // Not reached: `usable` refuses devices that are not built in.
            let _ = (work, args);
            (false, Vec::new())
        }
    }
}

fn run_on(work: Work, args: &On) -> Result<(), String> {
    let (mut ok, mut figures) = (true, Vec::new());
    for target in args.targets()? {
        let (good, lines) = on_target(work, target, args);
        ok &= good;
        figures.extend(lines);
    }
    save(args.json.as_deref(), &figures)?;
    if ok { Ok(()) } else { Err("some kernels differ from the CPU's".into()) }
}

/// Writes figures, a JSON array with an object a line, where a file is asked for.
pub(crate) fn save(file: Option<&std::path::Path>, figures: &[Value]) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    let lines: Vec<String> = figures.iter().map(Value::to_string).collect();
    std::fs::write(file, format!("[\n{}\n]\n", lines.join(",\n"))).map_err(|e| format!("{}: {e}", file.display()))
}

fn main() -> ExitCode {
    use clap::CommandFactory;
    let done = match Cli::parse().command {
        Some(Command::Probe(args)) => run_on(Work::Probe, &args),
        Some(Command::Check(args)) => run_on(Work::Check, &args),
        Some(Command::Time(args)) => run_on(Work::Time, &args),
        Some(Command::Fit(args)) => fit::run(&args),
        Some(Command::Frames(args)) => frames::run(&args),
        #[cfg(feature = "cuda")]
        Some(Command::Sources { to }) => {
            let form = |(points, units, blocks)| Tuning { points, units, blocks, grid: 1, quad: false };
            sources::write(&to, &[(32, 64, 8), (64, 128, 4), (128, 128, 2), (128, 256, 2)].map(form));
            Ok(())
        }
        // `cargo bench` of everything passes no arguments.
        None => {
            println!("{}", Cli::command().render_help());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
