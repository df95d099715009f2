//! Captures from a video or a folder of photographs: sharp frames are chosen, COLMAP finds their cameras (structure from
//! motion), and what it found is written as a `transforms.json` with images and points.
//!
//! [`reconstruct`] does all of it, in stages that an interrupted run does not repeat. The programs ffmpeg and COLMAP are run as
//! they are installed; none is part of this crate.

mod capture_writer;
mod colmap;
mod error;
mod gray;
mod models;
mod motion;
mod observer;
mod options;
mod orientation;
mod outputs;
mod photographs;
mod process;
mod program;
mod pycolmap;
mod reconstruct;
mod record;
mod report;
mod selection;
mod sharpness;
mod video;

#[cfg(test)]
#[cfg(unix)]
mod fake_programs;
#[cfg(test)]
mod testing;
#[cfg(test)]
#[cfg(unix)]
mod tests;

pub use error::SfmError;
pub use observer::SfmObserver;
pub use options::{LensModel, Matcher, SfmOptions};
pub use reconstruct::{SfmPlan, reconstruct};
pub use report::SfmReport;
