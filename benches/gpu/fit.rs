//! Training of a radiance field on a device, as the command does it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nstr_fit::Progress;
use nstr_pipeline::{FitObserver, FitOptions, Scores, fit_capture};
use serde_json::{Value, json};

use crate::{Target, save, usable};

/// A capture, the device and the time.
#[derive(Args)]
pub struct FitArgs {
    /// Folder or file of the capture.
    capture: PathBuf,
    /// Devices, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    on: Vec<Target>,
    /// Preset of the field.
    #[arg(long, default_value = "radiance")]
    preset: String,
    /// Training time.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Changes of the preset, key=value.
    #[arg(long = "set")]
    set: Vec<String>,
    /// File for the figures.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Observer that prints messages and keeps the last progress.
#[derive(Default)]
struct Watch {
    last: Option<Progress>,
}

impl FitObserver for Watch {
    fn message(&mut self, text: &str) {
        println!("{text}");
    }

    fn progress(&mut self, progress: &Progress) -> bool {
        self.last = Some(*progress);
        true
    }
}

fn on(target: Target, args: &FitArgs) -> Result<Value, String> {
    usable(target)?;
    let mut options = FitOptions::preset(&args.preset).time(Duration::from_secs(args.seconds));
    options.device = target.device();
    options.overrides.clone_from(&args.set);
    options.validate = false;
    let mut watch = Watch::default();
    let fitted = fit_capture(&args.capture, &options, &mut watch).map_err(|e| e.to_string())?;
    let Some(last) = watch.last else { return Err("no step was done".into()) };
    let seconds = last.elapsed.as_secs_f64();
    let samples = fitted.model.metrics.get("samples").copied();
    let rate = samples.map(|n| n / seconds);
    let psnr = match &fitted.scores {
        Some(Scores::Views(scores)) => Some(scores.psnr),
        _ => None,
    };
    println!(
        "{}: {} steps in {seconds:.1} s, {} M samples/s, PSNR {}",
        target.name(),
        last.step,
        rate.map_or("?".into(), |r| format!("{:.2}", r / 1e6)),
        psnr.map_or("not measured".into(), |p| format!("{p:.2} dB"))
    );
    Ok(json!({
        "device": target.name(), "preset": args.preset, "steps": last.step, "seconds": seconds,
        "samples_per_second": rate, "psnr": psnr
    }))
}

/// Fits on every device.
pub(crate) fn run(args: &FitArgs) -> Result<(), String> {
    let figures: Result<Vec<Value>, String> = args.on.iter().map(|target| on(*target, args)).collect();
    save(args.json.as_deref(), &figures?)
}
