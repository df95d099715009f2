//! `nstr diagnose`: a report on a model's spectrum, beside null models.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use nstr_diagnostics::{DiagnoseOptions, diagnose};
use nstr_pipeline::FieldKind;
use nstr_pipeline::field::read_model;

use super::eval::write_json;
use super::output::{Outputs, hold_folder};
use super::progress::ProgressDisplay;
use super::terminal::stdout;

const EXAMPLES: &str = "\
Examples:
  nstr diagnose chair.safetensors chair.obj -o report
  nstr diagnose photo.safetensors -o report --json numbers.json";

/// Arguments of `nstr diagnose`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct DiagnoseArgs {
    /// Model to diagnose
    model: PathBuf,
    /// Mesh, capture, picture or sound that it was fitted to: adds what needs it, and the null models that are fitted to it
    reference: Option<PathBuf>,
    /// Folder for report.html (one page with everything in it), report.json, figures and coloured meshes
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Points of the surface
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    samples: usize,
    /// Seed of the points, of the bootstrap and of permutations
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps that a field without spectrum is fitted for, as a null model; 0: none
    #[arg(long, default_value_t = 1000, value_name = "N")]
    null_steps: u64,
    /// Write the numbers of report.json to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Files of the report that an input could have the names of.
const FILES: [&str; 4] = ["report.html", "report.json", "surface-grad-s.ply", "surface-curvature.ply"];

/// Runs `nstr diagnose`.
pub fn run(args: &DiagnoseArgs) -> anyhow::Result<()> {
    let mut options = DiagnoseOptions::default();
    (options.samples, options.seed, options.null_steps) = (args.samples, args.seed, args.null_steps);
    options.check()?;
    let usual = DiagnoseOptions::default();
    if args.reference.is_none() && options.null_steps != usual.null_steps && options.null_steps > 0 {
        bail!(
            "--null-steps {}: the field without spectrum is fitted to the reference; name it after the model",
            args.null_steps
        );
    }
    if options.samples != usual.samples && FieldKind::of(&read_model(&args.model)?) != Some(FieldKind::Sdf) {
        bail!("{}: --samples are points of a surface, which this model has not; leave it out", args.model.display());
    }
    let mut outputs = Outputs::of([Some(&args.model), args.reference.as_ref()].into_iter().flatten());
    outputs.folder(&args.output, &FILES)?;
    if let Some(file) = &args.json {
        outputs.file(file, "the numbers' name", &[])?;
    }
    let _held = hold_folder(&args.output)?;
    let report = {
        let mut display = ProgressDisplay::new();
        let mut last = String::new();
        diagnose(&args.model, args.reference.as_deref(), &options, &mut |stage, fraction| {
            if last != stage {
                last = stage.into();
                display.line(&format!("  {stage}"));
            }
            display.show(stage, fraction, "");
        })?
    };
    report.write(&args.output)?;
    if let Some(file) = &args.json {
        write_json(file, &report.json())?;
    }
    for section in &report.sections {
        stdout!("{:<5} {}: {}", section.answer.word(), section.title, section.verdict);
    }
    for section in report.sections.iter().filter(|section| !section.evidence.is_empty()) {
        stdout!("{}\n  {}", section.title, section.evidence);
    }
    stdout!("wrote {}", args.output.join("report.html").display());
    Ok(())
}
