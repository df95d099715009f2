//! Options of making a capture.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::SfmError;
use crate::sharpness::BLUR_LIMIT;

/// Lens model that COLMAP fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LensModel {
    /// One focal length, no distortion.
    SimplePinhole,
    /// Two focal lengths, no distortion.
    Pinhole,
    /// One focal length, one radial term.
    SimpleRadial,
    /// One focal length, two radial terms.
    Radial,
    /// Two focal lengths, two radial and two tangential terms: phones and most cameras.
    #[default]
    #[serde(rename = "OPENCV")]
    OpenCv,
    /// Fisheye, two focal lengths, four terms.
    #[serde(rename = "OPENCV_FISHEYE")]
    OpenCvFisheye,
    /// Fisheye, one focal length, one term.
    SimpleRadialFisheye,
    /// Fisheye, one focal length, two terms.
    RadialFisheye,
}

impl LensModel {
    const ALL: [(Self, &str); 8] = [
        (Self::SimplePinhole, "SIMPLE_PINHOLE"),
        (Self::Pinhole, "PINHOLE"),
        (Self::SimpleRadial, "SIMPLE_RADIAL"),
        (Self::Radial, "RADIAL"),
        (Self::OpenCv, "OPENCV"),
        (Self::OpenCvFisheye, "OPENCV_FISHEYE"),
        (Self::SimpleRadialFisheye, "SIMPLE_RADIAL_FISHEYE"),
        (Self::RadialFisheye, "RADIAL_FISHEYE"),
    ];
}

impl fmt::Display for LensModel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|m| m.0 == *self).map_or("", |m| m.1))
    }
}

impl FromStr for LensModel {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|m| m.1.eq_ignore_ascii_case(text)).map(|m| m.0);
        let names: Vec<&str> = Self::ALL.iter().map(|m| m.1).collect();
        found.ok_or_else(|| format!("\"{}\" is none of {}", nstr_files::excerpt(text), names.join(", ")))
    }
}

/// Pairs of images in which features are matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matcher {
    /// All pairs of up to 100 images, else neighbours.
    #[default]
    Auto,
    /// Neighbours in the order of their names.
    Sequential,
    /// All pairs.
    Exhaustive,
}

/// Most images whose pairs are all matched unless asked otherwise: 4950 pairs.
const MOST_EXHAUSTIVE: usize = 100;

impl Matcher {
    /// The matcher of `count` images; never [`Matcher::Auto`].
    pub(crate) fn resolve(self, count: usize) -> Self {
        match self {
            Self::Auto if count <= MOST_EXHAUSTIVE => Self::Exhaustive,
            Self::Auto => Self::Sequential,
            other => other,
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Sequential => "sequential",
            Self::Exhaustive => "exhaustive",
        })
    }
}

impl FromStr for Matcher {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Auto, Self::Sequential, Self::Exhaustive];
        let found = all.into_iter().find(|m| m.to_string() == text);
        found.ok_or_else(|| format!("\"{}\" is none of auto, sequential, exhaustive", nstr_files::excerpt(text)))
    }
}

/// Settings of [`crate::reconstruct`].
#[derive(Clone, Debug, PartialEq)]
pub struct SfmOptions {
    /// Frames to take from a video; of a folder the most images. `None`: 100 of a video, all of a folder.
    pub frames: Option<usize>,
    /// Blur from which on an image is left out, 0 (none) to 1 (all of it).
    pub blur_limit: f64,
    /// Images are made this many times smaller along each axis, by averages; 1 or more.
    pub downscale: u32,
    /// Folder with a mask an image (`NAME.png`, with or without the image's extension), black where nothing is to be used.
    pub masks: Option<PathBuf>,
    /// Lens model.
    pub camera_model: LensModel,
    /// One lens for each image, not one for all; without it images of several sizes have what COLMAP makes of their EXIF.
    pub camera_per_image: bool,
    /// Pairs that are matched.
    pub matcher: Matcher,
    /// Neighbours that an image is matched with, sequentially; farther ones at distances of powers of two come along.
    pub overlap: usize,
    /// Longest side, in pixels, at which features are looked for.
    pub feature_size: u32,
    /// Most features of an image. The time of matching grows with their square.
    pub max_features: usize,
    /// Program `ffmpeg`; a name is looked up on the PATH.
    pub ffmpeg: PathBuf,
    /// Program `colmap`, in place of what is found.
    pub colmap: Option<PathBuf>,
    /// Python that has the package pycolmap, used in place of the program.
    pub python: Option<PathBuf>,
    /// Leave a GPU alone even where COLMAP could use one.
    pub cpu: bool,
    /// Go on where an interrupted run stopped.
    pub resume: bool,
    /// Replace a finished or interrupted capture of this command.
    pub overwrite: bool,
}

impl Default for SfmOptions {
    fn default() -> Self {
        Self {
            frames: None,
            blur_limit: BLUR_LIMIT,
            downscale: 1,
            masks: None,
            camera_model: LensModel::default(),
            camera_per_image: false,
            matcher: Matcher::default(),
            overlap: 10,
            feature_size: 1600,
            max_features: 3000,
            ffmpeg: "ffmpeg".into(),
            colmap: None,
            python: None,
            cpu: false,
            resume: false,
            overwrite: false,
        }
    }
}

impl SfmOptions {
    /// Checks that the values are in range.
    pub(crate) fn check(&self) -> Result<(), SfmError> {
        let fail = |option, reason: String| Err(SfmError::Option { option, reason });
        if self.frames.is_some_and(|n| n < 3) {
            return fail("frames", format!("{}; expected 3 or more", self.frames.unwrap_or(0)));
        }
        if !(self.blur_limit > 0.0 && self.blur_limit <= 1.0) {
            return fail("blur-limit", format!("{}; expected above 0, and 1 at most", self.blur_limit));
        }
        if self.downscale == 0 || self.downscale > 64 {
            return fail("downscale", format!("{}; expected 1 to 64", self.downscale));
        }
        if self.overlap == 0 {
            return fail("overlap", "0; expected 1 or more".into());
        }
        if self.feature_size < 100 {
            return fail("feature-size", format!("{}; expected 100 pixels or more", self.feature_size));
        }
        if self.max_features < 100 {
            return fail("features", format!("{}; expected 100 or more", self.max_features));
        }
        if self.colmap.is_some() && self.python.is_some() {
            return fail("python", "--colmap names another program for the same; give one of them".into());
        }
        if let Some(masks) = self.masks.as_deref().filter(|m| !m.is_dir()) {
            return fail("masks", format!("{}: there is no such folder", masks.display()));
        }
        Ok(())
    }
}
