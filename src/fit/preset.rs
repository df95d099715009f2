//! Configurations by preset name: the field's shape with the training that suits it.

use std::time::Duration;

use nstr_kernel::PointLoss;
use nstr_spec::config::{ConfigError, preset as field_preset};

use crate::batch_loader::LoaderConfig;
use crate::camera_refinement::CameraConfig;
use crate::config::FitConfig;
use crate::depth::DepthConfig;
use crate::exposure::ExposureConfig;
use crate::occupancy_grid::OccupancyConfig;
use crate::rays::RayConfig;
use crate::regularizers::Regularizers;
use crate::robust::RobustConfig;
use crate::schedule::Budget;
use crate::sdf::SdfSampleConfig;
use crate::signal::SignalConfig;
use crate::surface::SurfaceConfig;
use crate::train_config::TrainConfig;

impl FitConfig {
    /// A preset and the budget that it is tuned for.
    ///
    /// # Errors
    /// [`ConfigError::Preset`] for unknown names.
    pub fn preset(name: &str) -> Result<(Self, Budget), ConfigError> {
        let field = field_preset(name)?;
        let (is_radiance, dim) = (field.color_head.is_some(), field.dim);
        let bare = Self {
            field,
            train: TrainConfig::default(),
            sample: None,
            rays: None,
            occupancy: None,
            cameras: None,
            exposure: None,
            robust: None,
            depth: None,
            surface: None,
            signal: None,
        };
        Ok(if is_radiance {
            let (rays, occupancy) = (Some(radiance_rays(name)), Some(radiance_occupancy(name)));
            let (cameras, exposure) = (Some(CameraConfig::default()), Some(ExposureConfig::default()));
            let robust = Some(RobustConfig::default());
            let (depth, surface) = (Some(DepthConfig::default()), Some(SurfaceConfig::default()));
            let minutes = if name == "radiance-fine" { 30 } else { 10 };
            let budget = Budget::Time(Duration::from_secs(60 * minutes));
            let train = if name == "surface" { surface_training() } else { radiance_training(name) };
            (Self { train, rays, occupancy, cameras, exposure, robust, depth, surface, ..bare }, budget)
        } else if dim == 3 {
            let steps = match name {
                "sdf" | "sdf-tiny" => 8000,
                "sdf-fine" => 6000,
                _ => 4500,
            };
            let sample = Some(SdfSampleConfig { pair_distance: 0.003, ..SdfSampleConfig::default() });
            (Self { train: sdf_training(name), sample, ..bare }, Budget::Steps(steps))
        } else {
            (Self { train: signal_training(name), signal: Some(SignalConfig::default()), ..bare }, Budget::Steps(2000))
        })
    }
}

/// Rays follow the errors where many pixels are to be learned in a short time: worth up to half a decibel (docs/results.md).
fn radiance_rays(name: &str) -> RayConfig {
    let error_share = if matches!(name, "radiance" | "radiance-fine") { 0.5 } else { 0.0 };
    RayConfig { error_share, ..RayConfig::default() }
}

/// Smaller cells leave out more of what is empty. An update of all of them costs more, and so is made less often.
fn radiance_occupancy(name: &str) -> OccupancyConfig {
    let usual = OccupancyConfig::default();
    if name == "radiance-fine" {
        OccupancyConfig { resolution: 256, update_interval: 64, cells_per_update: 1 << 18, ..usual }
    } else {
        usual
    }
}

fn radiance_training(name: &str) -> TrainConfig {
    // Few entries, each seen by many rays a step, bear a higher rate (docs/results.md).
    let grid_lr = match name {
        "radiance-tiny" => 5e-2,
        "radiance-planes" | "radiance-vm" => 1e-1,
        _ => 2e-2,
    };
    let net_lr = if name == "radiance-fine" { 2e-2 } else { 1e-2 };
    TrainConfig { loss: PointLoss::Huber(0.1), net_lr, grid_lr, ema_decay: 0.95, ..TrainConfig::default() }
}

/// As a radiance field's, with the eikonal term that keeps the raw density a distance.
fn surface_training() -> TrainConfig {
    let regularizers = Regularizers { lambda_eikonal: 0.1, fraction: 1.0 / 16.0, ..Regularizers::NONE };
    TrainConfig { regularizers, net_lr: 1e-2, grid_lr: 2e-2, ..radiance_training("surface") }
}

fn sdf_training(name: &str) -> TrainConfig {
    // With pairs 0.003 apart: flat faces are flatter and the surface is nearer, at no cost (docs/results.md).
    let mut train = TrainConfig { lambda_slope: 0.1, ..TrainConfig::default() };
    if matches!(name, "sdf" | "sdf-tiny") {
        // Twice the steps of half the points take about the same time and leave flatter faces (docs/results.md).
        train.batch = 8192;
    }
    if name == "sdf-fine" {
        // With more parameters than points drawn, a fit learns its batches by heart.
        train.loader.steps_per_batch = 3;
    }
    baseline_training(name, train)
}

/// Fresh samples each step: they cost nothing.
fn signal_training(name: &str) -> TrainConfig {
    let train = TrainConfig {
        batch: 1 << 15,
        loss: PointLoss::L2,
        net_lr: 2e-2,
        grid_lr: 5e-2,
        loader: LoaderConfig { pool_size: 1, steps_per_batch: 1 },
        regularizers: Regularizers { fraction: 1.0, ..Regularizers::NONE },
        ..TrainConfig::default()
    };
    baseline_training(name, train)
}

/// Training of a baseline's networks, where other rates than the task's suit them.
fn baseline_training(name: &str, train: TrainConfig) -> TrainConfig {
    match name.split_once('-').map(|(_, kind)| kind) {
        // ω₀ multiplies the rate of the layer before its sine: 30 in the first, 3000 for sounds. At twice these rates small
        // batches already diverge (docs/results.md, "Rates of the baselines").
        Some("siren") => TrainConfig { net_lr: if name == "audio-siren" { 5e-4 } else { 1e-3 }, beta2: 0.999, ..train },
        Some("fourier") => TrainConfig { net_lr: 1e-2, train_basis: false, ..train },
        Some("relu") => TrainConfig { net_lr: 2e-3, ..train },
        // A line's entry is one factor of many places' features.
        Some("cp") => TrainConfig { grid_lr: 4e-1, ..train },
        _ => train,
    }
}
