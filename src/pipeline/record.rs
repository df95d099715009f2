//! Record of a fit in its model's file, and the settings that follow from it.

use std::path::{Path, PathBuf};

use nstr_camera::CameraArc;
use nstr_field::model::Model;
use nstr_fit::{Budget, FitConfig, RayConfig};
use nstr_render::VolumeSettings;
use nstr_signal::SignalInfo;
use nstr_space::Cube;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::options::{CaptureSettings, SignSettings};

/// Record of a fit, stored in the header of its model as `config`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FitRecord {
    /// The whole configuration: field, training and samples.
    pub fit: FitConfig,
    /// Budget of training.
    pub budget: Budget,
    /// Sign options, of a mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<SignSettings>,
    /// Reader options, of a capture; `near` as it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureSettings>,
    /// Arc of the cameras of a capture that does not show its object from all around.
    #[serde(default, rename = "swing", skip_serializing_if = "Option::is_none")]
    pub camera_arc: Option<CameraArc>,
    /// Size and value range of a picture or a sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalInfo>,
    /// Hash of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Model that the transport network was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport_from: Option<PathBuf>,
    /// Seed of the initial parameters and of the samples.
    pub seed: u64,
}

impl FitRecord {
    /// A record without settings of an input.
    pub fn new(fit: FitConfig, budget: Budget, seed: u64) -> Self {
        Self {
            fit,
            budget,
            sign: None,
            capture: None,
            camera_arc: None,
            signal: None,
            input: None,
            transport_from: None,
            seed,
        }
    }

    /// `true` if a fit with this record does the same as one with `other`, apart from budget and input.
    pub(crate) fn has_settings_of(&self, other: &Self) -> bool {
        self.fit == other.fit
            && self.seed == other.seed
            && self.sign == other.sign
            && self.capture == other.capture
            && self.signal == other.signal
    }

    /// The record in the header of a model.
    ///
    /// # Errors
    /// Models that keep none, or one that cannot be understood.
    pub fn of(model: &Model) -> Result<Self, serde_json::Error> {
        serde_json::from_value(model.config.clone())
    }
}

/// Ray-marching settings stored with a radiance model.
#[derive(Clone, Copy, Debug)]
pub struct MarchSettings {
    /// Marching of rays.
    pub volume: VolumeSettings,
    /// Cells of the occupancy grid along an axis.
    pub resolution: usize,
    /// Arc of the capture's cameras, if they did not stand all around.
    pub camera_arc: Option<CameraArc>,
}

impl MarchSettings {
    /// Settings of a radiance model that was read from `path`.
    ///
    /// # Errors
    /// Models whose record cannot be read or has no rays.
    pub fn of(path: &Path, model: &Model) -> Result<Self, Error> {
        let unreadable = || Error::file(path, "its record of the fit cannot be read; fit the capture again");
        let record = FitRecord::of(model).map_err(|_| unreadable())?;
        let (rays, capture) = record.fit.rays.zip(record.capture).ok_or_else(unreadable)?;
        let resolution = record.fit.occupancy.ok_or_else(unreadable)?.resolution;
        let volume = volume_settings(&rays, capture.near.unwrap_or(0.0), model.cube);
        Ok(Self { volume, resolution, camera_arc: record.camera_arc.filter(CameraArc::is_valid) })
    }
}

/// Samples of a rendered ray for each sample of a training ray. Training sees all places of a stratum in turn, rendering only
/// its middle, so that more samples come nearer to what was trained (0.25 dB on Lego at 2, nothing more at 3).
const REFINEMENT: f32 = 2.0;

/// Marching of rays through a field that was fitted with `rays`; `near` in world units.
pub fn volume_settings(rays: &RayConfig, near: f64, cube: Cube) -> VolumeSettings {
    VolumeSettings {
        step: (rays.step / REFINEMENT).max(1e-5),
        cone: rays.cone / REFINEMENT,
        near: (near / cube.size) as f32,
        min_transmittance: rays.min_transmittance,
        ..VolumeSettings::default()
    }
}
