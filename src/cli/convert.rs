//! `nstr convert`: a model in the other format: compact, or with its parameters as they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use nstr_field::model::{Precision, is_compact_name};
use nstr_files::decimals;
use nstr_pipeline::compact::{self, CompactOptions};
use nstr_pipeline::field::read_model;

use super::byte_size;
use super::output::Outputs;
use super::progress::ProgressDisplay;
use super::terminal::stdout;

const COMPACT: &str = "Compact files (.nstr)";

const EXAMPLES: &str = "\
Examples:
  nstr convert chair.safetensors -o chair.nstr --loss 0.2
  nstr convert scene.safetensors -o scene.nstr --max-size 500kB --reference scene/
  nstr convert chair.nstr -o chair.safetensors";

/// Arguments of `nstr convert`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ConvertArgs {
    /// Model to convert, .safetensors or .nstr
    input: PathBuf,
    /// Model to write: .nstr for a compact file, .safetensors for the parameters as they are
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    /// Loss that is allowed, in dB of the PSNR of captures and pictures and of the SNR of sounds; of meshes the
    /// mean distance error may grow: 0.1 dB are 1.2 %, 0.7 dB are 8.4 % [default: 0.1]
    #[arg(long, value_name = "DB", allow_negative_numbers = true, help_heading = COMPACT)]
    loss: Option<f64>,
    /// Size that is not exceeded, for example 500kB; the loss is what it takes, or with --loss at least that
    #[arg(long, value_name = "SIZE", value_parser = byte_size::parse, help_heading = COMPACT)]
    max_size: Option<u64>,
    /// Mesh, capture, picture or sound that the model was fitted to; the loss is measured on it (on a capture's test
    /// views, the sensitivity on its training views). Without it both are measured on the model: on its surface, on views
    /// around it, on its own picture or sound
    #[arg(long, value_name = "DATA", help_heading = COMPACT)]
    reference: Option<PathBuf>,
    /// Numbers in 16 or 32 bits, f16 or f32 [default: f32 of a compact file, which keeps every bit, else f16]
    #[arg(long, help_heading = "Uncompressed files (.safetensors)")]
    precision: Option<Precision>,
}

/// Runs `nstr convert`.
pub fn run(args: &ConvertArgs) -> anyhow::Result<()> {
    let is_compact = is_compact_name(&args.output);
    let name = args.output.display();
    if !is_compact && (args.loss.is_some() || args.max_size.is_some() || args.reference.is_some()) {
        bail!("{name}: --loss, --max-size and --reference are for compact files (.nstr)");
    }
    if is_compact && args.precision.is_some() {
        bail!("{name}: --precision is for .safetensors; a compact file's is chosen by --loss or --max-size");
    }
    let mut options = CompactOptions::default();
    (options.loss, options.max_bytes) = (args.loss, args.max_size);
    options.check()?;
    let mut outputs = Outputs::of([Some(&args.input), args.reference.as_ref()].into_iter().flatten());
    outputs.model(&args.output)?;
    let model = read_model(&args.input)?;
    let before = size(&args.input)?;
    if is_compact {
        let mut display = ProgressDisplay::new();
        let mut stage = |name: &str, fraction| {
            display.show(name, fraction, "");
        };
        let coded = compact::compact_observed(&args.input, &model, args.reference.as_deref(), &options, &mut stage)?;
        drop(display);
        coded.file.save(&args.output)?;
        stdout!("  loss {} dB ({})", decimals(coded.loss, 3), coded.measured_on);
        wrote(&args.output, coded.file.len() as u64, before);
        return Ok(());
    }
    let default = if is_compact_name(&args.input) { Precision::F32 } else { Precision::F16 };
    let lean = compact::without_untrained_transport(&model);
    if lean.net.len() < model.net.len() {
        stdout!(
            "  left out: the transport network, {} parameters that were not trained",
            model.net.len() - lean.net.len()
        );
    }
    lean.save(&args.output, args.precision.unwrap_or(default))?;
    match nstr_files::resolve(&args.output) {
        Ok(nstr_files::Target::File(_)) => wrote(&args.output, size(&args.output)?, before),
        _ => stdout!("wrote {name}"),
    }
    Ok(())
}

/// Bytes of a file.
fn size(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.len())
}

fn wrote(path: &Path, bytes: u64, before: u64) {
    stdout!("wrote {}: {:.1} kB, from {:.1} kB", path.display(), bytes as f64 / 1e3, before as f64 / 1e3);
}
