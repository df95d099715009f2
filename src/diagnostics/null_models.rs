//! Null models: fields that cannot have learned a relation between spectrum and signal, because they were not trained or have
//! no spectrum.

use std::path::Path;
use std::sync::Arc;

use nstr_backend::backend::FieldOp;
use nstr_backend::device::Device;
use nstr_capture::{Split, read_capture};
use nstr_field::model::Model;
use nstr_field::point_evaluator::PointEvaluator;
use nstr_fit::Regularizers;
use nstr_fit::cell_masks::FreeSpaceMask;
use nstr_fit::sdf::SdfSampler;
use nstr_fit::signal::SignalSampler;
use nstr_fit::{
    Budget, FitConfig, Observer, Progress, RadianceTask, RaySampler, TrainError, TrainState, TrainingData, train,
};
use nstr_pipeline::{FitRecord, MeshInput};
use nstr_signal::{Signal, SignalInfo};
use nstr_space::SceneMap;
use nstr_spec::config::ConfigError;
use nstr_spec::init;
use nstr_spec::init::InitConfig;
use nstr_spec::{FieldSpec, Modulation};

/// A field with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldParameters {
    /// Its shape.
    pub spec: FieldSpec,
    /// Latent features.
    pub grid: Vec<f32>,
    /// Basis and networks.
    pub net: Vec<f32>,
}

impl FieldParameters {
    /// A field of random values.
    pub fn random(spec: &FieldSpec, init: &InitConfig) -> Self {
        let (grid, net) = init::parameters(spec, init);
        Self { spec: spec.clone(), grid, net }
    }

    /// An evaluator of the field.
    pub fn probe(&self) -> PointEvaluator<'_> {
        PointEvaluator::new(&self.spec, &self.grid, &self.net)
    }
}

/// The field of a model before any training: as the fit of these settings began, or random where they are not known.
pub fn untrained(model: &Model, config: Option<&FitConfig>) -> FieldParameters {
    let Some(config) = config else { return FieldParameters::random(&model.spec, &InitConfig::default()) };
    let (grid, net) = config.initial_parameters(&model.spec, &model.map);
    FieldParameters { spec: model.spec.clone(), grid, net }
}

/// Failure to fit a field without spectrum.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NullModelError {
    /// Settings that cannot be turned into those of a field without spectrum.
    #[error("a field without spectrum cannot be made of these settings: {0}")]
    Config(#[from] ConfigError),
    /// Training that failed.
    #[error("fitting a field without spectrum: {0}")]
    Train(#[from] TrainError),
}

/// A field with the same latent grid but no sinusoids and no S, begun as a fit begins and fitted for `steps` steps on the CPU to what
/// `data` makes for it, without regularisers. `map` takes the world to its unit cube. `done` takes the fraction of the steps that is done.
///
/// # Errors
/// Settings that cannot be changed so, training that diverges.
pub fn without_spectrum(
    config: &FitConfig,
    map: &SceneMap,
    data: impl FnOnce(&FieldOp) -> TrainingData,
    steps: u64,
    done: &mut dyn FnMut(f64),
) -> Result<FieldParameters, NullModelError> {
    let mut config = config.clone();
    (config.field.modulation, config.field.skip_latent) = (Modulation::None, true);
    config.train.regularizers = Regularizers::NONE;
    config.validate()?;
    let spec = config.field.spec();
    let (grid, net) = config.initial_parameters(&spec, map);
    let state = TrainState::new(grid, net);
    let op = FieldOp::with_precision(spec.clone(), config.train.gradient_precision());
    let data = data(&op);
    let done = train(Device::Cpu, op, config.train, &state, data, Budget::Steps(steps), &mut Steps(done))?;
    let (grid, net) = done.inference_params();
    Ok(FieldParameters { spec, grid: grid.to_vec(), net: net.to_vec() })
}

/// Observer that passes on the fraction of a run that is done.
struct Steps<'a>(&'a mut dyn FnMut(f64));

impl Observer for Steps<'_> {
    fn progress(&mut self, progress: &Progress) -> bool {
        (self.0)(progress.fraction);
        true
    }
}

/// Maker of the training data of a field.
pub(crate) type MakeData = Box<dyn FnOnce(&FieldOp) -> TrainingData>;

/// Reason why no null model can be fitted.
pub(crate) const UNKNOWN: &str = "the model file does not say how it was fitted";

/// Points of the mesh that `model` was fitted to.
///
/// # Errors
/// The reason why there are none.
pub(crate) fn mesh_data(mesh: Option<&MeshInput>, model: &Model, record: &FitRecord) -> Result<MakeData, String> {
    let (mesh, sample) = mesh.zip(record.fit.sample.clone()).ok_or(UNKNOWN)?;
    let (query, batch) = (mesh.query.clone(), record.fit.train.batch);
    let sampler = SdfSampler::new(mesh.mesh.clone(), query, model.cube(), sample, batch, record.seed);
    let sampler = sampler.ok_or("the reference's faces have no area")?;
    Ok(Box::new(move |_| TrainingData::Points(Arc::new(sampler))))
}

/// Rays of the training views of the capture that `model` was fitted to.
///
/// # Errors
/// The reason why there are none.
pub(crate) fn capture_data(path: Option<&Path>, model: &Model, record: &FitRecord) -> Result<MakeData, String> {
    let (rays, settings) = record.fit.rays.clone().zip(record.capture.clone()).ok_or(UNKNOWN)?;
    let grid = record.fit.occupancy.clone().ok_or(UNKNOWN)?;
    let capture = read_capture(path.ok_or(UNKNOWN)?, &settings.options(Split::Train)).map_err(|e| e.to_string())?;
    let (map, near) = (model.map, settings.near.unwrap_or(capture.scene.near));
    // The hull lies in the cube that was found with it; the model's went through text, which may cost the last digit.
    let (cube, found) = (map.cube(), capture.scene.cube());
    let distance = (cube.origin - found.origin).abs().max_element().max((cube.size - found.size).abs());
    let hull = capture.hull.filter(|_| map.is_box() && distance <= 1e-9 * found.size);
    let mask = FreeSpaceMask::new(grid.resolution, hull, &capture.train, map, near);
    let (depth, surface) =
        (record.fit.depth.clone().unwrap_or_default(), record.fit.surface.clone().unwrap_or_default());
    let pixels = RaySampler::new(Arc::new(capture.train), map, near).ok_or("the images have no pixels")?;
    let pixels = pixels.with_depths(&depth);
    let seed = record.seed;
    let task = move |op: &FieldOp| {
        RadianceTask::new(op, Arc::new(pixels), rays, grid, seed, |i| mask.get(i)).with_surface(&surface)
    };
    Ok(Box::new(move |op| TrainingData::Rays(Box::new(task(op)))))
}

/// Samples of the picture or sound that a model was fitted to.
///
/// # Errors
/// The reason why there are none.
pub(crate) fn signal_data(signal: Option<&Signal>, info: &SignalInfo, record: &FitRecord) -> Result<MakeData, String> {
    let (signal, config) = signal.zip(record.fit.signal.as_ref()).ok_or(UNKNOWN)?;
    let sampler = SignalSampler::new(signal, info.transform(), config, record.fit.train.batch, record.seed);
    let sampler = sampler.ok_or("its settings leave nothing to learn from")?;
    Ok(Box::new(move |_| TrainingData::Signal(Arc::new(sampler))))
}

#[cfg(test)]
mod tests {
    use nstr_field::jet::Order;
    use nstr_fit::{Batch, BatchSource};
    use nstr_space::Cube;

    use super::*;

    /// Points on lines through the cube, with a distance to its middle plane.
    struct Plane;

    impl BatchSource for Plane {
        fn batch(&self, index: u64) -> Batch {
            let x: Vec<f32> = (0..192).map(|i| (i as f32 * 0.37 + index as f32 * 0.11).fract()).collect();
            let target: Vec<f32> = x.chunks(3).map(|p| p[0] - 0.5).collect();
            Batch { weight: vec![1.0; target.len()], x, target, ..Batch::default() }
        }
    }

    const STEPS: u64 = 4;

    /// Distance of a field whose density follows one, at a point.
    fn distance(field: &FieldParameters, p: [f64; 3]) -> f64 {
        field.probe().at(&p, Order::Value).value.values()[0]
    }

    #[test]
    fn null_models_of_a_surface_begin_as_its_fit_does() {
        let small = ["latent.resolution=16", "surface.radius=0.3"].map(String::from);
        let config = FitConfig::preset("surface").unwrap().0.set(&small).unwrap();
        let map = SceneMap::Open(Cube::default());
        let begun = without_spectrum(&config, &map, |_| Arc::new(Plane).into(), 0, &mut |_| ()).unwrap();
        // A ball in the middle half of an open map, before a backdrop.
        for field in [begun, untrained(&model(&config, map), Some(&config))] {
            let [middle, beside, corner] = [[0.5; 3], [0.5, 0.5, 0.7], [0.01; 3]].map(|p| distance(&field, p));
            assert!((middle + 0.15).abs() < 0.02, "{middle}");
            assert!((beside - 0.05).abs() < 0.02, "{beside}");
            assert!(corner < -0.2, "{corner}");
        }
    }

    fn model(config: &FitConfig, map: SceneMap) -> Model {
        let spec = config.field.spec();
        let FieldParameters { grid, net, .. } = FieldParameters::random(&spec, &InitConfig::default());
        Model {
            spec,
            map,
            units: String::new(),
            grid,
            net,
            config: serde_json::Value::Null,
            provenance: Default::default(),
            metrics: Default::default(),
            occupancy: None,
        }
    }

    #[test]
    fn no_regulariser_reaches_a_field_without_spectrum() {
        let config = |more: &[&str]| {
            let small =
                ["latent.resolution=4", "transport.layers=1", "transport.width=8", "train.regularizer_fraction=1"];
            let pairs: Vec<String> = small.iter().chain(more).map(|pair| pair.to_string()).collect();
            FitConfig::preset("sdf-tiny").unwrap().0.set(&pairs).unwrap()
        };
        let null = |config: &FitConfig| {
            without_spectrum(config, &SceneMap::default(), |_| Arc::new(Plane).into(), STEPS, &mut |_| ()).unwrap()
        };
        let plain = null(&config(&[]));
        for weight in ["pde", "smooth", "segment", "anchor", "eikonal"] {
            let weight = format!("train.lambda_{weight}=0.1");
            let regularised = config(&[&weight]);
            assert!(null(&regularised) == plain, "{weight}");

            // The same field does feel the term where it is left on.
            let mut felt = config(&[&weight, "modulation=none", "skip_latent=true"]);
            felt.field.init = regularised.field.init;
            let (grid, net) = felt.initial_parameters(&plain.spec, &SceneMap::default());
            let state = TrainState::new(grid, net);
            let op = FieldOp::new(felt.field.spec());
            let budget = Budget::Steps(STEPS);
            let end = train(Device::Cpu, op, felt.train, &state, Arc::new(Plane), budget, &mut ()).unwrap();
            assert!(end.grid != plain.grid || end.net != plain.net, "{weight}");
        }
    }
}
