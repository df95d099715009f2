//! `nstr capture`: captures from a video or a folder of photographs.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use nstr_sfm::{LensModel, Matcher, SfmOptions, SfmPlan, SfmReport, reconstruct};

use super::output::hold_folder;
use super::plural::plural;
use super::progress::ProgressDisplay;
use super::terminal::{stderr, stdout};

const EXAMPLES: &str = "\
Examples:
  nstr capture walk.mp4 -o walk
  nstr capture photographs/ -o scene --downscale 2 --matcher exhaustive";

/// Arguments of `nstr capture`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MakeCaptureArgs {
    /// A video (through an installed ffmpeg), or a folder of photographs (JPEG, PNG, TIFF, WebP)
    #[arg(value_name = "VIDEO|FOLDER")]
    input: PathBuf,
    /// Folder of the capture: transforms.json, images, points.ply, cameras.png, capture.json and COLMAP's files
    #[arg(short, long, value_name = "CAPTURE")]
    output: PathBuf,
    /// Frames to choose from a video [default: 100]; of a folder the most images [default: all]
    #[arg(long, value_name = "N", help_heading = "Images")]
    frames: Option<usize>,
    /// Blur from which on an image is left out: 0 is none, 1 takes all
    #[arg(long, value_name = "B", default_value_t = SfmOptions::default().blur_limit, help_heading = "Images")]
    blur_limit: f64,
    /// Make the images N times smaller
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Images")]
    downscale: u32,
    /// Folder of masks, NAME.png for the photograph NAME: black where nothing is to be used
    #[arg(long, value_name = "FOLDER", help_heading = "Images")]
    masks: Option<PathBuf>,
    /// Lens model that COLMAP fits: SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL, OPENCV, OPENCV_FISHEYE, SIMPLE_RADIAL_FISHEYE or
    /// RADIAL_FISHEYE
    #[arg(long, value_name = "MODEL", default_value_t = LensModel::default(), help_heading = "Cameras")]
    camera_model: LensModel,
    /// A lens of its own for each image, for zoomed photographs; else one for all images of a size
    #[arg(long, help_heading = "Cameras")]
    camera_per_image: bool,
    /// Pairs of images whose features are matched: exhaustive (all), sequential (neighbours by name), or auto (all of up to 100 images)
    #[arg(long, value_name = "auto|sequential|exhaustive", default_value_t = Matcher::default(), help_heading = "Cameras")]
    matcher: Matcher,
    /// Neighbours that the sequential matcher matches an image with
    #[arg(long, value_name = "N", default_value_t = SfmOptions::default().overlap, help_heading = "Cameras")]
    overlap: usize,
    /// Longest side at which features are looked for; the poses belong to the images at their whole size
    #[arg(long, value_name = "PIXELS", default_value_t = SfmOptions::default().feature_size, help_heading = "Cameras")]
    feature_size: u32,
    /// Most features of an image; the time of matching grows with their square
    #[arg(long, value_name = "N", default_value_t = SfmOptions::default().max_features, help_heading = "Cameras")]
    features: usize,
    /// Program ffmpeg, where it is not the one on the PATH
    #[arg(long, value_name = "PROGRAM", default_value = "ffmpeg", help_heading = "Programs")]
    ffmpeg: PathBuf,
    /// Program colmap, where it is not the one on the PATH
    #[arg(long, value_name = "PROGRAM", help_heading = "Programs")]
    colmap: Option<PathBuf>,
    /// Python whose package pycolmap is used in place of the program; without this, python3 is asked where there is no colmap
    #[arg(long, value_name = "PROGRAM", conflicts_with = "colmap", help_heading = "Programs")]
    python: Option<PathBuf>,
    /// Leave a GPU alone even where COLMAP was built to use one
    #[arg(long, help_heading = "Programs")]
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
    if args.matcher == Matcher::Exhaustive && args.overlap != SfmOptions::default().overlap {
        bail!("--overlap is of the sequential matcher, and --matcher exhaustive takes all pairs; leave one out");
    }
    let plan = SfmPlan::new(&args.input, &args.output, &args.options())?;
    let _held = hold_folder(&args.output)?;
    stderr!("cameras by {}", plan.program());
    let mut observer = ProgressDisplay::stoppable()?;
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
