//! Weights and parameters of the regularisers, the terms of the loss that need no data.

use nstr_spec::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::check::{check, check_count, check_fractions, check_not_negative};

/// Weights of all regularisers and what they need; part of `train.` in files and overrides.
///
/// Lengths are in unit-cube coordinates. S is the spectrum, F the transport network, f the field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Regularizers {
    /// Weight of the transport residual, `‖∇S − F(x, S)‖²`.
    pub lambda_pde: f64,
    /// Weight of the spectrum's smoothness, `‖∇S‖²`.
    pub lambda_smooth: f64,
    /// Weight of the transport along segments, `‖S(x + δ) − S(x) − F(x, S)·δ‖² / |δ|²`: the residual of finite steps instead
    /// of the derivative's.
    pub lambda_segment: f64,
    /// Standard deviation of δ along each axis.
    #[serde(alias = "segment")]
    pub segment_sigma: f64,
    /// Weight of the transport from coarse anchors, `‖S(x) − S(a) − ∫F(p, S) dp‖² / |x − a|²`, the integral along the line
    /// from the nearest anchor a, with S as F has carried it there.
    pub lambda_anchor: f64,
    /// Cells along each axis of the lattice whose corners are the anchors.
    pub anchors: usize,
    /// Exponent p of the decay `(1 − progress)^p` of the weights above; 0 disables it, 1 is linear.
    #[serde(rename = "regularizer_decay", alias = "anneal")]
    pub decay: f64,
    /// Weight of the eikonal term `(‖∇f‖ − 1)²`, for signed distances.
    pub lambda_eikonal: f64,
    /// Fraction of each batch's points that the regularisers are evaluated at, 0 to 1.
    #[serde(rename = "regularizer_fraction", alias = "regularised")]
    pub fraction: f64,
}

impl Regularizers {
    /// No regulariser: every weight is 0.
    pub const NONE: Self = Self {
        lambda_pde: 0.0,
        lambda_smooth: 0.0,
        lambda_segment: 0.0,
        segment_sigma: 0.02,
        lambda_anchor: 0.0,
        anchors: 16,
        decay: 0.0,
        lambda_eikonal: 0.0,
        fraction: 1.0 / 16.0,
    };

    /// `true` if any regulariser is evaluated.
    pub fn is_any(&self) -> bool {
        let weights =
            [self.lambda_pde, self.lambda_smooth, self.lambda_segment, self.lambda_anchor, self.lambda_eikonal];
        self.fraction > 0.0 && weights.iter().any(|w| *w > 0.0)
    }

    /// `true` if a regulariser teaches the transport network.
    pub fn trains_transport(&self) -> bool {
        self.fraction > 0.0 && [self.lambda_pde, self.lambda_segment, self.lambda_anchor].iter().any(|w| *w > 0.0)
    }

    /// Checks ranges; `has_transport` tells whether the field has a transport network.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn validate(&self, has_transport: bool) -> Result<(), ConfigError> {
        check_not_negative(&[
            ("train.lambda_pde", self.lambda_pde),
            ("train.lambda_smooth", self.lambda_smooth),
            ("train.lambda_segment", self.lambda_segment),
            ("train.segment_sigma", self.segment_sigma),
            ("train.lambda_anchor", self.lambda_anchor),
            ("train.regularizer_decay", self.decay),
            ("train.lambda_eikonal", self.lambda_eikonal),
        ])?;
        check_count("train.anchors", self.anchors as u64, 4096)?;
        check_fractions(&[("train.regularizer_fraction", self.fraction)])?;
        let transport = [
            ("train.lambda_pde", self.lambda_pde),
            ("train.lambda_segment", self.lambda_segment),
            ("train.lambda_anchor", self.lambda_anchor),
        ];
        transport.into_iter().try_for_each(|(key, weight)| {
            let expected = "needs a transport network: set transport.layers=2 and transport.width=64";
            check(key, weight, weight == 0.0 || has_transport, expected)
        })
    }
}

impl Default for Regularizers {
    fn default() -> Self {
        Self::NONE
    }
}
