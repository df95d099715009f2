//! Settings of the training loop.

use nstr_kernel::{GradientPrecision, PointLoss};
use nstr_spec::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::batch_loader::LoaderConfig;
use crate::check::{check, check_below_one, check_count, check_not_negative};
use crate::regularizers::Regularizers;
use crate::rounding::{RoundingConfig, SizeTarget};
use crate::schedule::Schedule;

/// Settings of a training run; `--set train.key=value` reaches each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Points of a batch.
    pub batch: usize,
    /// Pointwise loss.
    pub loss: PointLoss,
    /// Weight of the error of slopes between the points of pairs, which the sampler of distances draws
    /// (`sample.pair_distance`): see [`BatchLoss`](nstr_kernel::BatchLoss).
    #[serde(default)]
    pub lambda_slope: f64,
    /// Learning rate of the basis and the networks.
    pub net_lr: f64,
    /// Learning rate of the latent grid.
    pub grid_lr: f64,
    /// Adam's decay of the first moment.
    pub beta1: f64,
    /// Adam's decay of the second moment.
    pub beta2: f64,
    /// Adam's ε.
    pub eps: f64,
    /// Decoupled weight decay of the networks.
    pub weight_decay: f64,
    /// Decoupled weight decay of the latent grid.
    #[serde(default)]
    pub grid_weight_decay: f64,
    /// `true` if ω and b, the frequencies and phases of the basis, are trained (the networks always are).
    pub train_basis: bool,
    /// `true` if the transport network F is trained; otherwise it keeps its initial values, which may come from another model.
    #[serde(default = "yes")]
    pub train_transport: bool,
    /// Warm-up and decay of the learning rate.
    pub schedule: Schedule,
    /// Reuse of batches.
    #[serde(alias = "feed")]
    pub loader: LoaderConfig,
    /// Terms of the loss that need no data.
    #[serde(flatten)]
    pub regularizers: Regularizers,
    /// Decay of the exponential moving average of the parameters that becomes the model, 0 (none) to below 1.
    #[serde(alias = "average")]
    pub ema_decay: f64,
    /// `true` if products of gradients take factors in bfloat16, on CPUs that have AVX512-BF16: a fifth to a third faster, for gradients
    /// with relative errors of some 0.1 %. Values are computed in f32.
    #[serde(default = "yes")]
    pub mixed_precision: bool,
    /// Rounding of parameters in training, where `size` is given.
    #[serde(default)]
    pub rounding: RoundingConfig,
    /// Size of the compact file that parameters are rounded for; no setting of the fit's own, and not stored.
    #[serde(skip)]
    pub size: Option<SizeTarget>,
}

fn yes() -> bool {
    true
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch: 16384,
            loss: PointLoss::L1,
            lambda_slope: 0.0,
            net_lr: 5e-3,
            grid_lr: 1e-2,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-15,
            weight_decay: 0.0,
            grid_weight_decay: 0.0,
            train_basis: true,
            train_transport: true,
            schedule: Schedule::default(),
            loader: LoaderConfig::default(),
            regularizers: Regularizers::NONE,
            ema_decay: 0.0,
            mixed_precision: true,
            rounding: RoundingConfig::default(),
            size: None,
        }
    }
}

impl TrainConfig {
    /// Precision of the products of gradients.
    pub fn gradient_precision(&self) -> GradientPrecision {
        if self.mixed_precision { GradientPrecision::Mixed } else { GradientPrecision::Single }
    }

    /// Checks ranges; `has_transport` tells whether the field has a transport network.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self, has_transport: bool) -> Result<(), ConfigError> {
        check("train.eps", self.eps, self.eps > 0.0, "must be above 0")?;
        if let PointLoss::Huber(delta) = self.loss {
            check("train.loss, the scale of huber,", delta.into(), delta > 0.0, "must be above 0")?;
        }
        check_count("train.batch", self.batch as u64, 1 << 24)?;
        check_not_negative(&[
            ("train.lambda_slope", self.lambda_slope),
            ("train.net_lr", self.net_lr),
            ("train.grid_lr", self.grid_lr),
            ("train.weight_decay", self.weight_decay),
            ("train.grid_weight_decay", self.grid_weight_decay),
        ])?;
        check_below_one(&[
            ("train.beta1", self.beta1),
            ("train.beta2", self.beta2),
            ("train.ema_decay", self.ema_decay),
        ])?;
        self.schedule.validate()?;
        self.loader.validate()?;
        self.rounding.validate()?;
        // A point of a batch takes 20 bytes and more.
        let kept = (self.batch as u64).saturating_mul(self.loader.pool_size);
        check_count("train.batch times train.loader.pool_size", kept, 1 << 27)?;
        self.regularizers.validate(has_transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every setting as it was written before its names changed.
    const OLD: &str = r#"{"batch": 100, "loss": "l2", "net_lr": 0.1, "grid_lr": 0.2, "beta1": 0.8, "beta2": 0.9, "eps": 1e-8,
        "weight_decay": 0.3, "train_basis": false, "schedule": {"warmup": 7, "hold": 0.2, "floor": 0.3},
        "feed": {"pool": 5, "reuse": 6}, "lambda_pde": 1.0, "lambda_smooth": 2.0, "lambda_segment": 3.0, "segment": 0.5,
        "lambda_anchor": 4.0, "anchors": 9, "anneal": 1.5, "lambda_eikonal": 5.0, "regularised": 0.75, "average": 0.95}"#;

    #[test]
    fn older_names_are_read() {
        let config: TrainConfig = serde_json::from_str(OLD).unwrap();
        assert_eq!(config.loader, LoaderConfig { pool_size: 5, steps_per_batch: 6 });
        let regularizers = Regularizers {
            lambda_pde: 1.0,
            lambda_smooth: 2.0,
            lambda_segment: 3.0,
            segment_sigma: 0.5,
            lambda_anchor: 4.0,
            anchors: 9,
            decay: 1.5,
            lambda_eikonal: 5.0,
            fraction: 0.75,
        };
        assert_eq!((config.regularizers, config.ema_decay, config.train_transport), (regularizers, 0.95, true));
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains("\"lambda_pde\":1.0") && text.contains("\"regularizer_fraction\":0.75"), "{text}");
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
        let misspelt = text.replace("lambda_pde", "lambda_pd");
        assert!(serde_json::from_str::<TrainConfig>(&misspelt).unwrap_err().to_string().contains("lambda_pd"));
    }
}
