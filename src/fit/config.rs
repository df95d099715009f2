//! The whole configuration of a fit, and overrides `key=value` of any part of it.

use nstr_signal::Signal;
use nstr_space::SceneMap;
use nstr_spec::config::{ConfigError, FieldConfig};
use nstr_spec::{FieldSpec, init, overrides};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::camera_refinement::CameraConfig;
use crate::check::check;
use crate::depth::DepthConfig;
use crate::exposure::ExposureConfig;
use crate::first_shape::check_shape;
use crate::occupancy_grid::OccupancyConfig;
use crate::rays::RayConfig;
use crate::robust::RobustConfig;
use crate::sdf::SdfSampleConfig;
use crate::signal::SignalConfig;
use crate::surface::SurfaceConfig;
use crate::train_config::TrainConfig;

/// Configuration of the field, its training and its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredFitConfig")]
pub struct FitConfig {
    /// Shape and initial parameters of the field.
    pub field: FieldConfig,
    /// The training loop; keys begin with `train.`.
    pub train: TrainConfig,
    /// Points of a signed distance; keys begin with `sample.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<SdfSampleConfig>,
    /// Rays of a radiance field; keys begin with `rays.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rays: Option<RayConfig>,
    /// Occupancy grid of a radiance field; keys begin with `occupancy.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occupancy: Option<OccupancyConfig>,
    /// Refinement of the cameras of a radiance field; keys begin with `cameras.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cameras: Option<CameraConfig>,
    /// Exposure of the images of a radiance field; keys begin with `exposure.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<ExposureConfig>,
    /// Robust loss of a radiance field; keys begin with `robust.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub robust: Option<RobustConfig>,
    /// Supervision of a radiance field by depths; keys begin with `depth.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<DepthConfig>,
    /// Surface of a radiance field whose density follows a distance; keys begin with `surface.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<SurfaceConfig>,
    /// Training samples of a picture or a sound; keys begin with `signal.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalConfig>,
}

impl FitConfig {
    /// The preset for a capture whose cameras stand in the box that is modelled: a room. Steps begin short and grow with the
    /// distance, and the grid is finer.
    pub fn for_room(mut self) -> Self {
        if let Some(rays) = &mut self.rays {
            rays.step = 0.001;
            rays.cone = 1.0 / 256.0;
            self.field.latent.resolution *= 4;
        }
        self
    }

    /// The preset for a map that reaches to infinity: steps are equal in the map's own lengths, which grow with the distance
    /// in the world, and twice as long as in a box around an object.
    pub fn for_unbounded_map(mut self, map: &SceneMap) -> Self {
        if let Some(rays) = &mut self.rays {
            match map {
                SceneMap::Box(_) => {}
                SceneMap::Open(_) => {
                    rays.step = 0.004;
                    self.field.latent.resolution *= 4;
                }
                SceneMap::Forward(_) => rays.step = 0.008,
            }
        }
        self
    }

    /// The preset for a picture or a sound of this size, see [`FieldConfig::scaled_to_resolution`].
    pub fn for_signal(mut self, signal: &Signal) -> Self {
        if self.signal.is_some() {
            self.field = self.field.scaled_to_resolution(signal.longest(), signal.channels());
        }
        self
    }

    /// Values of grid and networks before any training, of a field of the shape `spec`, which may lack parts that [`Self::field`] has: random
    /// ones, or the first shape where the density follows a distance. `map` takes the world to the field's unit cube.
    pub fn initial_parameters(&self, spec: &FieldSpec, map: &SceneMap) -> (Vec<f32>, Vec<f32>) {
        let (mut grid, mut net) = init::parameters(spec, &self.field.init);
        if let Some(surface) = &self.surface {
            surface.begin(spec, map, &mut grid, &mut net);
        }
        (grid, net)
    }

    /// Applies overrides `key=value`; keys of the field need no prefix.
    ///
    /// # Errors
    /// [`ConfigError`] for unknown keys, values of the wrong kind and values out of range.
    pub fn set(mut self, pairs: &[String]) -> Result<Self, ConfigError> {
        let mut of_field = Vec::new();
        for pair in pairs {
            let (key, value) = overrides::split(pair)?;
            match key.split_once('.').unwrap_or_default() {
                (part @ "train", key) => self.train = overrides::apply(&self.train, part, key, value)?,
                (part @ "sample", key) => set_part(self.sample.as_mut(), (part, "meshes"), key, value)?,
                (part @ "rays", key) => set_part(self.rays.as_mut(), (part, CAPTURES), key, value)?,
                (part @ "occupancy", key) => set_part(self.occupancy.as_mut(), (part, CAPTURES), key, value)?,
                (part @ "cameras", key) => set_part(self.cameras.as_mut(), (part, CAPTURES), key, value)?,
                (part @ "exposure", key) => set_part(self.exposure.as_mut(), (part, CAPTURES), key, value)?,
                (part @ "robust", key) => set_part(self.robust.as_mut(), (part, CAPTURES), key, value)?,
                (part @ "depth", key) => set_part(self.depth.as_mut(), (part, CAPTURES), key, value)?,
                (part @ "surface", key) => set_part(self.surface.as_mut(), (part, CAPTURES), key, value)?,
                (part @ "signal", key) => set_part(self.signal.as_mut(), (part, "pictures and sounds"), key, value)?,
                _ => of_field.push(pair.as_str()),
            }
        }
        self.field = self.field.clone().set(&of_field).map_err(|e| self.with_all_keys(e))?;
        self.validate()?;
        Ok(self)
    }

    /// The error of an unknown key with the keys of every part; the field lists its own only.
    fn with_all_keys(&self, error: ConfigError) -> ConfigError {
        match error {
            ConfigError::UnknownKey { key, mut options } => {
                options.extend(overrides::list_keys(&self.train, "train"));
                options.extend(self.sample.iter().flat_map(|sample| overrides::list_keys(sample, "sample")));
                options.extend(self.rays.iter().flat_map(|rays| overrides::list_keys(rays, "rays")));
                options.extend(self.occupancy.iter().flat_map(|grid| overrides::list_keys(grid, "occupancy")));
                options.extend(self.cameras.iter().flat_map(|cameras| overrides::list_keys(cameras, "cameras")));
                options.extend(self.exposure.iter().flat_map(|exposure| overrides::list_keys(exposure, "exposure")));
                options.extend(self.robust.iter().flat_map(|robust| overrides::list_keys(robust, "robust")));
                options.extend(self.depth.iter().flat_map(|depth| overrides::list_keys(depth, "depth")));
                options.extend(self.surface.iter().flat_map(|surface| overrides::list_keys(surface, "surface")));
                options.extend(self.signal.iter().flat_map(|signal| overrides::list_keys(signal, "signal")));
                ConfigError::UnknownKey { key, options }
            }
            other => other,
        }
    }

    /// Checks ranges of all parts but the field's, which [`FieldConfig::validate`] checks.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.sample.is_some() || self.rays.is_some() {
            let (dim, outputs) = (self.field.dim, self.field.outputs);
            check("dim", dim as f64, dim == 3, "must be 3 for meshes and captures")?;
            check("outputs", outputs as f64, outputs == 1, "must be 1: a distance or a density")?;
        }
        let (slope, paired) = (self.train.lambda_slope, self.sample.is_some());
        check(
            "train.lambda_slope",
            slope,
            slope == 0.0 || paired,
            "is for meshes, whose samplers draw pairs of points",
        )?;
        let spec = self.field.spec();
        if !spec.density_law().is_exponential() {
            check_shape(&spec)?;
        }
        self.train.validate(spec.transports())?;
        self.sample.as_ref().map_or(Ok(()), SdfSampleConfig::validate)?;
        self.signal.as_ref().map_or(Ok(()), SignalConfig::validate)?;
        self.rays.as_ref().map_or(Ok(()), RayConfig::validate)?;
        self.cameras.as_ref().map_or(Ok(()), CameraConfig::validate)?;
        self.exposure.as_ref().map_or(Ok(()), ExposureConfig::validate)?;
        self.robust.as_ref().map_or(Ok(()), RobustConfig::validate)?;
        self.depth.as_ref().map_or(Ok(()), DepthConfig::validate)?;
        self.surface.as_ref().map_or(Ok(()), SurfaceConfig::validate)?;
        self.occupancy.as_ref().map_or(Ok(()), OccupancyConfig::validate)
    }
}

/// Data whose fits have parts for rays.
const CAPTURES: &str = "captures";

/// Applies one override to a part of the configuration, which fits of the data `owners` alone have.
fn set_part<T: Serialize + DeserializeOwned>(
    settings: Option<&mut T>,
    (part, owners): (&str, &'static str),
    key: &str,
    value: &str,
) -> Result<(), ConfigError> {
    let Some(settings) = settings else {
        return Err(ConfigError::OtherTask { key: format!("{part}.{key}"), owners });
    };
    *settings = overrides::apply(settings, part, key, value)?;
    Ok(())
}

/// A configuration as files hold it: older ones have the settings of the occupancy grid among those of the rays, and none of
/// cameras, exposure and robust loss.
#[derive(Deserialize)]
struct StoredFitConfig {
    field: FieldConfig,
    train: TrainConfig,
    sample: Option<SdfSampleConfig>,
    rays: Option<StoredRayConfig>,
    occupancy: Option<OccupancyConfig>,
    cameras: Option<CameraConfig>,
    exposure: Option<ExposureConfig>,
    robust: Option<RobustConfig>,
    depth: Option<DepthConfig>,
    surface: Option<SurfaceConfig>,
    signal: Option<SignalConfig>,
}

#[derive(Deserialize)]
struct StoredRayConfig {
    #[serde(flatten)]
    rays: RayConfig,
    cells: Option<usize>,
    every: Option<u64>,
    probes: Option<usize>,
    decay: Option<f32>,
    threshold: Option<f32>,
}

impl StoredRayConfig {
    fn occupancy(&self) -> OccupancyConfig {
        let usual = OccupancyConfig::default();
        OccupancyConfig {
            resolution: self.cells.unwrap_or(usual.resolution),
            update_interval: self.every.unwrap_or(usual.update_interval),
            cells_per_update: self.probes.unwrap_or(usual.cells_per_update),
            decay: self.decay.unwrap_or(usual.decay),
            threshold: self.threshold.unwrap_or(usual.threshold),
        }
    }
}

impl From<StoredFitConfig> for FitConfig {
    fn from(stored: StoredFitConfig) -> Self {
        let StoredFitConfig {
            field,
            train,
            sample,
            rays,
            occupancy,
            cameras,
            exposure,
            robust,
            depth,
            surface,
            signal,
        } = stored;
        let occupancy = occupancy.or_else(|| rays.as_ref().map(StoredRayConfig::occupancy));
        // Fits before there were any left cameras and colours as they are, used all rays, and no depths.
        let cameras = cameras.or_else(|| rays.as_ref().map(|_| CameraConfig::default()));
        let exposure = exposure.or_else(|| rays.as_ref().map(|_| ExposureConfig::default()));
        let robust = robust.or_else(|| rays.as_ref().map(|_| RobustConfig::default()));
        let unused = DepthConfig { weight: 0.0, point_weight: 0.0, ..DepthConfig::default() };
        let depth = depth.or_else(|| rays.as_ref().map(|_| unused));
        let surface = surface.or_else(|| rays.as_ref().map(|_| SurfaceConfig::default()));
        let rays = rays.map(|stored| stored.rays);
        Self { field, train, sample, rays, occupancy, cameras, exposure, robust, depth, surface, signal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera_refinement::RefineMode;
    use nstr_kernel::PointLoss;

    #[test]
    fn overrides_reach_every_part_and_errors_name_the_key() {
        let set = |text: &[&str]| {
            let text: Vec<String> = text.iter().map(|t| t.to_string()).collect();
            FitConfig::preset("sdf").unwrap().0.set(&text)
        };
        let c = set(&["train.net_lr=1e-3", "train.schedule.warmup=7", "sample.near=0.1", "basis=32", "train.loss=l2"])
            .unwrap();
        assert_eq!(
            (c.train.net_lr, c.train.schedule.warmup, c.sample.unwrap().near, c.field.basis),
            (1e-3, 7, 0.1, 32)
        );
        assert_eq!(c.train.loss, PointLoss::L2);
        assert_eq!(set(&["train.loss={\"huber\":0.5}"]).unwrap().train.loss, PointLoss::Huber(0.5));
        for (bad, word) in [
            ("train.nothing=1", "train.nothing"),
            ("train.batch=0", "train.batch"),
            ("train.beta2=1", "train.beta2"),
            ("sample.surface=0.9", "surface"),
            ("sample.near=x", "sample.near"),
            ("train.batch", "key=value"),
            ("nothing=1", "basis, "),
            ("trin.batch=1", "train.batch, "),
            ("signal.share=1", "an option of pictures and sounds alone"),
            ("train.feed.pool=3", "train.loader.pool_size"),
            ("train.lambda_pde=-1", "train.lambda_pde"),
            ("train.loader.pool_size=0", "must be 1 to 65536"),
            ("train.batch=16777216", "train.batch times train.loader.pool_size"),
            ("train.net_lr=1e400", "must be a number"),
            ("train.loss={\"huber\":1e39}", "must be a number below"),
            ("train.schedule.warmup=1.5", "must be a whole number"),
            ("occupancy.decay=0.5", "an option of captures alone"),
            ("smple.near=1", "sample.near, "),
        ] {
            let error = set(&[bad]).unwrap_err().to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }

    #[test]
    fn every_kind_of_fit_has_its_keys() {
        let set = |preset: &str, text: &str| FitConfig::preset(preset).unwrap().0.set(&[text.to_string()]);
        let rays = set("radiance", "rays.max_rays=100").unwrap().rays.unwrap();
        assert_eq!(rays.max_rays, 100);
        assert_eq!(set("radiance", "occupancy.decay=.5").unwrap().occupancy.unwrap().decay, 0.5);
        for (text, mode) in [("on", RefineMode::On), ("true", RefineMode::On), ("auto", RefineMode::Auto)] {
            let cameras = set("radiance", &format!("cameras.refine={text}")).unwrap().cameras.unwrap();
            assert_eq!(cameras.refine, mode);
        }
        assert!(set("radiance", "exposure.enabled=true").unwrap().exposure.unwrap().enabled);
        assert!(set("radiance", "robust.enabled=true").unwrap().robust.unwrap().enabled);
        let rays = set("radiance", "rays.gradient_scaling=1").unwrap().rays.unwrap();
        assert_eq!((rays.gradient_scaling, rays.near_start, rays.near_steps), (1.0, 0.0, 500));
        assert_eq!(set("image", "signal.share=.5").unwrap().signal.unwrap().share, 0.5);
        assert_eq!(set("audio", "train.net_lr=.5").unwrap().train.net_lr, 0.5);
        for (bad, word) in [
            ("occupancy.resolution=100", "must be 16, 32, 64"),
            ("occupancy.threshold=1", "must be 0 to below 1"),
            ("rays.background=none", "random"),
            ("rays.cells=32", "rays.max_rays"),
            ("cameras.memory=0", "cameras.memory"),
            ("cameras.start=1", "cameras.start"),
            ("cameras.coarse=1", "cameras.coarse"),
            ("cameras.floor=0", "cameras.floor"),
            ("cameras.prior=0", "cameras.prior"),
            ("cameras.refine=some", "auto"),
            ("cameras.poses=true", "cameras.refine"),
            ("exposure.prior=0", "exposure.prior"),
            ("exposure.memory=1", "exposure.memory"),
            ("robust.quantile=1", "must be above 0 and below 1"),
            ("robust.agreement=2", "robust.agreement"),
            ("robust.blocks=0", "must be 1 to 1024"),
            ("robust.memory=0", "robust.memory"),
            ("robust.start=1", "robust.start"),
            ("robust.trim=1", "robust.agreement, "),
            ("rays.gradient_scaling=-1", "must be 0 to 100"),
            ("rays.near_start=11", "must be 0 to 10"),
            ("rays.near_steps=0", "rays.near_steps"),
            ("rays.error_share=1", "must be 0 to below 1"),
            ("rays.error_blocks=2000", "must be 1 to 1024"),
            ("train.grid_weight_decay=-1", "train.grid_weight_decay"),
        ] {
            let error = set("radiance", bad).unwrap_err().to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }

    #[test]
    fn older_settings_of_rays_are_read() {
        let config = FitConfig::preset("radiance").unwrap().0;
        let mut tree = serde_json::to_value(&config).unwrap();
        assert_eq!(serde_json::from_value::<FitConfig>(tree.clone()).unwrap(), config);
        // Cameras under Adam had a rate, and a switch where there is a choice of three now.
        tree["cameras"] = serde_json::from_str(
            r#"{"refine": true, "focal": false, "distortion": true, "lr": 0.0005, "floor": 0.01, "start": 0.25, "prior": 0.1}"#,
        )
        .unwrap();
        let cameras = serde_json::from_value::<FitConfig>(tree.clone()).unwrap().cameras.unwrap();
        let usual = CameraConfig { refine: RefineMode::On, distortion: true, start: 0.25, ..CameraConfig::default() };
        assert_eq!(cameras, usual);
        let root = tree.as_object_mut().unwrap();
        let _ = ["occupancy", "cameras", "exposure", "robust"].map(|part| root.remove(part));
        root["rays"] = serde_json::from_str(
            r#"{"samples": 5, "most": 6, "step": 0.0033333334, "cone": 0.5, "limit": 7, "min_transmittance": 0.001,
                "background": "white", "distortion": 0.25, "cells": 64, "every": 8, "probes": 9, "decay": 0.75,
                "threshold": 0.125}"#,
        )
        .unwrap();
        let read: FitConfig = serde_json::from_value(tree).unwrap();
        let rays = RayConfig {
            samples_per_step: 5,
            max_rays: 6,
            step: 1.0 / 300.0,
            cone: 0.5,
            max_samples_per_ray: 7,
            min_transmittance: 1e-3,
            background: "white".into(),
            distortion: 0.25,
            ..RayConfig::default()
        };
        let occupancy =
            OccupancyConfig { resolution: 64, update_interval: 8, cells_per_update: 9, decay: 0.75, threshold: 0.125 };
        assert_eq!(read, FitConfig { rays: Some(rays), occupancy: Some(occupancy), ..config });
    }
}
