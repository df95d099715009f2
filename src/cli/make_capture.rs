//! `nstr capture`: captures from a video or a folder of photographs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use indicatif::ProgressBar;
use nstr_sfm::{LensModel, Matcher, SfmObserver, SfmOptions, SfmPlan, SfmReport, reconstruct};

use super::interrupt::interrupted;
use super::output::hold_folder;
use super::plural::plural;
use super::progress::{LINE_EVERY, TICKS, bar};
use super::terminal::{stderr, stdout};

/// Arguments of `nstr capture`.
#[derive(Args, Clone, Debug)]
pub struct MakeCaptureArgs {
    /// A video (through an installed ffmpeg), or a folder of photographs (JPEG, PNG, TIFF, WebP)
    #[arg(value_name = "VIDEO|FOLDER")]
    input: PathBuf,
    /// Folder of the capture: transforms.json, images, points.ply, cameras.png, capture.json and COLMAP's files
    #[arg(short, long, value_name = "CAPTURE")]
    output: PathBuf,
    /// Frames to choose from a video [default: 100]; of a folder the most images [default: all]
    #[arg(long, value_name = "N")]
    frames: Option<usize>,
    /// Blur from which on an image is left out: 0 is none, 1 takes all
    #[arg(long, value_name = "B", default_value_t = SfmOptions::default().blur_limit)]
    blur_limit: f64,
    /// Make the images N times smaller
    #[arg(long, value_name = "N", default_value_t = 1)]
    downscale: u32,
    /// Folder of masks, NAME.png for the photograph NAME: black where nothing is to be used
    #[arg(long, value_name = "FOLDER")]
    masks: Option<PathBuf>,
    /// Lens model that COLMAP fits: SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL, OPENCV, OPENCV_FISHEYE, SIMPLE_RADIAL_FISHEYE or
    /// RADIAL_FISHEYE
    #[arg(long, value_name = "MODEL", default_value_t = LensModel::default())]
    camera_model: LensModel,
    /// A lens of its own for each image, for zoomed photographs; else one for all images of a size
    #[arg(long)]
    camera_per_image: bool,
    /// Pairs of images whose features are matched: exhaustive (all), sequential (neighbours by name), or auto (all of up to 100 images)
    #[arg(long, value_name = "auto|sequential|exhaustive", default_value_t = Matcher::default())]
    matcher: Matcher,
    /// Neighbours that the sequential matcher matches an image with
    #[arg(long, value_name = "N", default_value_t = SfmOptions::default().overlap)]
    overlap: usize,
    /// Longest side at which features are looked for; the poses belong to the images at their whole size
    #[arg(long, value_name = "PIXELS", default_value_t = SfmOptions::default().feature_size)]
    feature_size: u32,
    /// Most features of an image; the time of matching grows with their square
    #[arg(long, value_name = "N", default_value_t = SfmOptions::default().max_features)]
    features: usize,
    /// Program ffmpeg, where it is not the one on the PATH
    #[arg(long, value_name = "PROGRAM", default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    /// Program colmap, where it is not the one on the PATH
    #[arg(long, value_name = "PROGRAM")]
    colmap: Option<PathBuf>,
    /// Python whose package pycolmap is used in place of the program; without this, python3 is asked where there is no colmap
    #[arg(long, value_name = "PROGRAM", conflicts_with = "colmap")]
    python: Option<PathBuf>,
    /// Leave a GPU alone even where COLMAP was built to use one
    #[arg(long)]
    cpu: bool,
    /// Go on with an interrupted run; stages whose options have changed are made again
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace the capture or the interrupted run of this command that the folder holds
    #[arg(long)]
    overwrite: bool,
}

impl MakeCaptureArgs {
    fn options(&self) -> SfmOptions {
        SfmOptions {
            frames: self.frames,
            blur_limit: self.blur_limit,
            downscale: self.downscale,
            masks: self.masks.clone(),
            camera_model: self.camera_model,
            camera_per_image: self.camera_per_image,
            matcher: self.matcher,
            overlap: self.overlap,
            feature_size: self.feature_size,
            max_features: self.features,
            ffmpeg: self.ffmpeg.clone(),
            colmap: self.colmap.clone(),
            python: self.python.clone(),
            cpu: self.cpu,
            resume: self.resume,
            overwrite: self.overwrite,
        }
    }
}

/// Runs `nstr capture`.
pub fn run(args: &MakeCaptureArgs) -> anyhow::Result<()> {
    let plan = SfmPlan::new(&args.input, &args.output, &args.options())?;
    let _held = hold_folder(&args.output)?;
    stderr!("cameras by {}", plan.program());
    let mut observer = StageProgress::new()?;
    let report = reconstruct(&plan, &mut observer)?;
    drop(observer);
    print(args, &report);
    Ok(())
}

fn print(args: &MakeCaptureArgs, report: &SfmReport) {
    let folder = args.output.display();
    let pixels = report.reprojection_error.map_or("unknown".into(), |e| format!("{e:.2} pixels"));
    stdout!("{folder}: {} of {} have a camera", report.registered, plural(report.images, "image"));
    stdout!("  {:<13} {}, each in {:.1} images on average", "points", report.points, report.track_length);
    stdout!("  {:<13} {pixels} from point to feature on average", "error");
    let ((w, h), (x, y)) = (report.size, report.focal);
    stdout!("  {:<13} {w}x{h}, focal {x:.1} {y:.1}, lens {}", "camera", report.lens);
    stdout!("  {:<13} {}", "picture", args.output.join("cameras.png").display());
    let downscale = match report.fit_downscale() {
        1 => String::new(),
        n => format!(" --downscale {n}"),
    };
    let model = args.output.with_extension("safetensors");
    stdout!("fit it with");
    stdout!("  nstr fit {} -o {}{downscale}", quoted(&folder.to_string()), quoted(&model.display().to_string()));
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./+,:@%=".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        path.into()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// Observer that shows the stage at hand as a bar, or as a line now and then, and stops on Ctrl-C.
struct StageProgress {
    bar: Option<ProgressBar>,
    printed: Instant,
    stop: Arc<AtomicBool>,
}

impl StageProgress {
    fn new() -> anyhow::Result<Self> {
        let bar = bar("  {prefix:<9} {bar:30} {percent:>3} %  {msg}");
        Ok(Self { bar, printed: Instant::now(), stop: interrupted()? })
    }
}

impl Drop for StageProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl SfmObserver for StageProgress {
    fn message(&mut self, text: &str) {
        match &self.bar {
            // A bar would be drawn over the line.
            Some(bar) => bar.suspend(|| stderr!("{text}")),
            None => stderr!("{text}"),
        }
    }

    fn progress(&mut self, stage: &str, fraction: Option<f64>, text: &str) -> bool {
        if let Some(bar) = &self.bar {
            bar.set_prefix(stage.to_string());
            bar.set_position((fraction.unwrap_or(0.0) * TICKS as f64) as u64);
            bar.set_message(text.to_string());
        } else if self.printed.elapsed() >= LINE_EVERY {
            self.printed = Instant::now();
            let percent = fraction.map_or(String::new(), |f| format!("{:3.0} %", 100.0 * f));
            stderr!("{}", format!("  {stage:<9} {percent}  {text}").trim_end());
        }
        !self.stop.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted("walks/a-1.mp4"), "walks/a-1.mp4");
        assert_eq!(quoted("my walk"), "'my walk'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
