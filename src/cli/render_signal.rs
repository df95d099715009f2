//! `nstr render` for models of pictures and sounds.

use std::path::Path;

use anyhow::bail;
use clap::Args;
use nstr_field::signal::SampleRegion;
use nstr_pipeline::SignalModel;
use nstr_signal::{Signal, SignalInfo};

use super::output::check_ending;
use super::terminal::{stderr, stdout};

/// Part and resolution of a signal.
#[derive(Args, Clone, Debug)]
pub struct SignalArgs {
    /// Pictures: this part alone, in pixels of the picture at --size
    #[arg(long, value_name = "X,Y,W,H", value_parser = parse_crop)]
    crop: Option<[usize; 4]>,
    /// Sounds: frames a second [default: the original's]
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
}

fn parse_crop(text: &str) -> Result<[usize; 4], String> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    let crop: Option<[usize; 4]> = numbers.and_then(|n| n.try_into().ok());
    crop.filter(|c| c[2] > 0 && c[3] > 0)
        .ok_or_else(|| "must be X,Y,W,H in pixels, W and H above 0, for example 100,50,256,256".into())
}

impl SignalArgs {
    /// Returns whether no option is given.
    pub fn is_default(&self) -> bool {
        self.crop.is_none() && self.rate.is_none()
    }
}

/// Runs `nstr render` for the model of a picture or a sound.
pub fn run(model: &SignalModel, output: &Path, size: Option<(u32, u32)>, args: &SignalArgs) -> anyhow::Result<()> {
    match &model.info {
        SignalInfo::Image { .. } => check_ending(output, "a picture's name", &["png", "exr"])?,
        SignalInfo::Audio { .. } => check_ending(output, "a sound's name", &["wav"])?,
    }
    let window = match (&model.info, size, args) {
        (SignalInfo::Image { .. }, _, SignalArgs { rate: Some(_), .. }) => bail!("--rate is for sounds"),
        (SignalInfo::Image { width, height, .. }, size, SignalArgs { crop, .. }) => {
            let (w, h) = size.map_or((*width, *height), |(w, h)| (w as usize, h as usize));
            let [x, y, cw, ch] = crop.unwrap_or([0, 0, w, h]);
            if x.saturating_add(cw) > w || y.saturating_add(ch) > h {
                bail!("--crop {x},{y},{cw},{ch}: reaches beyond the picture of {w}x{h} pixels");
            }
            SampleRegion { size: [w, h], first: [x, y], count: [cw, ch] }
        }
        (SignalInfo::Audio { .. }, Some(_), _) | (_, _, SignalArgs { crop: Some(_), .. }) => {
            bail!("--size and --crop are for pictures; a sound takes --rate")
        }
        (SignalInfo::Audio { rate, frames, .. }, None, SignalArgs { rate: asked, .. }) => {
            let frames = *frames as f64 * f64::from(asked.unwrap_or(*rate)) / f64::from(*rate);
            SampleRegion::whole([(frames.round() as usize).max(1), 1])
        }
    };
    if window.len() > MAX_SAMPLES {
        bail!("{}: {} samples are too many at once; ask for at most {MAX_SAMPLES}", output.display(), window.len());
    }
    write(&model.reconstruct_region(&window), output)?;
    stdout!("wrote {}", output.display());
    Ok(())
}

/// Writes a picture as .png or .exr, a sound as .wav, and notes what was clipped.
pub fn write(signal: &Signal, path: &Path) -> anyhow::Result<()> {
    let clipped = signal.write(path)?;
    if clipped > 0 {
        stderr!("note: {clipped} samples beyond full scale were clipped");
    }
    Ok(())
}

/// Most samples of one file.
const MAX_SAMPLES: usize = 1 << 28;
