//! `nstr diagnose`: a report on a model's spectrum, beside null models.

use std::path::PathBuf;

use clap::Args;
use nstr_diagnostics::{DiagnoseOptions, diagnose};

use super::eval::write_json;
use super::output::{Outputs, hold_folder};
use super::terminal::{stderr, stdout};

/// Arguments of `nstr diagnose`.
#[derive(Args)]
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
    let mut outputs = Outputs::of([Some(&args.model), args.reference.as_ref()].into_iter().flatten());
    outputs.folder(&args.output, &FILES)?;
    if let Some(file) = &args.json {
        outputs.file(file, "the numbers' name", &[])?;
    }
    let _held = hold_folder(&args.output)?;
    let report = diagnose(&args.model, args.reference.as_deref(), &options, &mut |text| stderr!("  {text}"))?;
    report.write(&args.output)?;
    if let Some(file) = &args.json {
        write_json(file, &report.json())?;
    }
    for section in &report.sections {
        stdout!("{}: {}", section.title, section.conclusion);
    }
    stdout!("wrote {}", args.output.join("report.html").display());
    Ok(())
}
