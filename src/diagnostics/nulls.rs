//! Null models: fields in which nothing could have been learned of what a figure is said to show, or in which there is
//! nothing that could have learned it.

use std::sync::Arc;

use nstr_backend::backend::FieldOp;
use nstr_spec::config::ConfigError;
use nstr_spec::init;
use nstr_spec::init::InitSpec;
use nstr_field::probe::Probe;
use nstr_fit::{Budget, FitConfig, Observer, Progress, TrainError, TrainState, Work, run_on};
use nstr_spec::{FieldSpec, Modulation};

/// A field with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Its shape.
    pub spec: FieldSpec,
    /// Latent features.
    pub grid: Vec<f32>,
    /// Basis and networks.
    pub net: Vec<f32>,
}

impl Parameters {
    /// Ready to be looked into.
    pub fn probe(&self) -> Probe<'_> {
        Probe::new(&self.spec, &self.grid, &self.net)
    }
}

/// The field before any training.
pub fn untrained(spec: &FieldSpec, init: &InitSpec) -> Parameters {
    let (grid, net) = init::parameters(spec, init);
    Parameters { spec: spec.clone(), grid, net }
}

/// Watches nothing.
struct Quiet;

impl Observer for Quiet {
    fn progress(&mut self, _: &Progress) -> bool {
        true
    }
}

/// Why a field without spectrum was not fitted.
#[derive(Debug, thiserror::Error)]
pub enum NullError {
    /// The model's settings can't be turned into those of a field without spectrum.
    #[error("a field without spectrum cannot be made of these settings: {0}")]
    Config(#[from] ConfigError),
    /// Its training failed.
    #[error("fitting a field without spectrum: {0}")]
    Train(#[from] TrainError),
}

/// A field with the same latent grid but no sinusoids and no S, fitted for `steps` steps on the processor to what `work`
/// makes for it, without regularisers.
///
/// # Errors
/// [`NullError`].
pub fn without_spectrum(
    config: &FitConfig,
    work: impl FnOnce(&FieldOp) -> Work,
    steps: u64,
) -> Result<Parameters, NullError> {
    let mut config = config.clone();
    (config.field.modulation, config.field.skip) = (Modulation::None, true);
    let train = &mut config.train;
    (train.lambda_pde, train.lambda_smooth) = (0.0, 0.0);
    config.validate()?;
    let spec = config.field.spec();
    let start = untrained(&spec, &config.field.init);
    let state = TrainState::new(start.grid, start.net);
    let op: Arc<FieldOp> = FieldOp::new(spec.clone());
    let work = work(&op);
    let device = nstr_backend::device::Device::Cpu;
    let done = run_on(device, op, config.train, &state, work, Budget::Steps(steps), &mut Quiet)?;
    let (grid, net) = done.result();
    Ok(Parameters { spec, grid: grid.to_vec(), net: net.to_vec() })
}
