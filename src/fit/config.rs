//! A fit's whole configuration, by preset and `--set key=value`.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::feed::FeedConfig;
use crate::rays::RayConfig;
use crate::schedule::Budget;
use crate::sdf::SampleConfig;
use nstr_signal::Signal;
use crate::signal::{SignalConfig};
use crate::trainer::TrainConfig;
use nstr_spec::config::{ConfigError, FieldConfig, UNKNOWN, preset as field_preset};
use nstr_kernel::PointLoss;
use nstr_image::colour::Background;
use nstr_space::occupancy::Occupancy;

/// The field, its training and its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitConfig {
    /// The field's shape and initial parameters.
    pub field: FieldConfig,
    /// The training loop; keys begin with `train.`.
    pub train: TrainConfig,
    /// Where points of a signed distance are drawn; keys begin with `sample.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleConfig>,
    /// How rays of a radiance field are drawn; keys begin with `rays.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rays: Option<RayConfig>,
    /// What is seen of a picture or a sound; keys begin with `signal.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalConfig>,
}

impl FitConfig {
    /// A preset and the budget that it is tuned for.
    pub fn preset(name: &str) -> Result<(Self, Budget), ConfigError> {
        let field = field_preset(name)?;
        let bare = Self { field, train: TrainConfig::default(), sample: None, rays: None, signal: None };
        Ok(if bare.field.view.is_some() {
            let minutes = if name == "radiance-fine" { 30 } else { 10 };
            let rays = Some(RayConfig::default());
            (Self { train: radiance_training(name), rays, ..bare }, Budget::Time(Duration::from_secs(60 * minutes)))
        } else if bare.field.dim == 3 {
            let steps = match name {
                "sdf-tiny" => 4000,
                "sdf-fine" => 6000,
                _ => 4500,
            };
            let sample = Some(SampleConfig::default());
            (Self { train: sdf_training(name), sample, ..bare }, Budget::Steps(steps))
        } else {
            (Self { train: signal_training(name), signal: Some(SignalConfig::default()), ..bare }, Budget::Steps(2000))
        })
    }

    /// The preset for a scene in which the cameras themselves stand: steps that grow with the distance from the camera, and
    /// finer latent levels, because what matters fills a small part of the cube.
    pub fn for_open_scene(mut self) -> Self {
        if let Some(rays) = &mut self.rays {
            rays.step = 0.001;
            rays.cone = 1.0 / 256.0;
            self.field.latent.cells *= 4;
        }
        self
    }

    /// The preset for a picture or a sound of this size, see [`FieldConfig::for_lattice`].
    pub fn for_signal(mut self, signal: &Signal) -> Self {
        if self.signal.is_some() {
            self.field = self.field.for_lattice(signal.longest(), signal.channels());
        }
        self
    }

    /// Applies overrides `key=value`; keys of the field need no prefix.
    pub fn set(mut self, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut field = Vec::new();
        for text in overrides {
            let (key, value) = text.split_once('=').ok_or_else(|| ConfigError::Form { text: text.clone() })?;
            let (key, value) = (key.trim(), value.trim());
            if let Some(rest) = key.strip_prefix("train.") {
                self.train = with(&self.train, "train.", rest, value)?;
            } else if let (Some(rest), Some(sample)) = (key.strip_prefix("sample."), &self.sample) {
                self.sample = Some(with(sample, "sample.", rest, value)?);
            } else if let (Some(rest), Some(signal)) = (key.strip_prefix("signal."), &self.signal) {
                self.signal = Some(with(signal, "signal.", rest, value)?);
            } else if let (Some(rest), Some(rays)) = (key.strip_prefix("rays."), &self.rays) {
                self.rays = Some(with(rays, "rays.", rest, value)?);
            } else {
                field.push(text.as_str());
            }
        }
        self.field = self.field.clone().set(&field).map_err(|e| self.with_own_options(e))?;
        self.validate()?;
        Ok(self)
    }

    /// The field knows its own options only.
    fn with_own_options(&self, error: ConfigError) -> ConfigError {
        match error {
            ConfigError::Key { reason: UNKNOWN, key, options } => {
                let mut keys = vec![options];
                list("train", &json_of(&self.train), &mut keys);
                for (prefix, tree) in [
                    ("sample", self.sample.as_ref().map(json_of)),
                    ("signal", self.signal.as_ref().map(json_of)),
                    ("rays", self.rays.as_ref().map(json_of)),
                ] {
                    tree.iter().for_each(|tree| list(prefix, tree, &mut keys));
                }
                ConfigError::Key { reason: UNKNOWN, key, options: keys.join(", ") }
            }
            other => other,
        }
    }

    /// Checks ranges that types do not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let t = &self.train;
        if self.sample.is_some() || self.rays.is_some() {
            let (dim, outputs) = (self.field.dim, self.field.outputs);
            check("dim", dim as f64, dim == 3, "must be 3 for meshes and captures")?;
            check("outputs", outputs as f64, outputs == 1, "must be 1: a distance or a density")?;
        }
        check("train.eps", t.eps, t.eps > 0.0, "must be above 0")?;
        if let PointLoss::Huber(delta) = t.loss {
            check(
                "train.loss, the scale of huber,",
                delta.into(),
                delta > 0.0 && delta.is_finite(),
                "must be above 0",
            )?;
        }
        check("train.batch", t.batch as f64, (1..=1 << 24).contains(&t.batch), "must be 1 to 16777216")?;
        let amounts = [
            ("train.net_lr", t.net_lr),
            ("train.grid_lr", t.grid_lr),
            ("train.eps", t.eps),
            ("train.lambda_pde", t.lambda_pde),
            ("train.lambda_smooth", t.lambda_smooth),
            ("train.lambda_segment", t.lambda_segment),
            ("train.segment", t.segment),
            ("train.lambda_anchor", t.lambda_anchor),
            ("train.anneal", t.anneal),
            ("train.lambda_eikonal", t.lambda_eikonal),
            ("train.weight_decay", t.weight_decay),
        ];
        amounts.into_iter().try_for_each(|(key, v)| check(key, v, v >= 0.0, "must be 0 or more"))?;
        let transport = [
            ("train.lambda_pde", t.lambda_pde),
            ("train.lambda_segment", t.lambda_segment),
            ("train.lambda_anchor", t.lambda_anchor),
        ];
        check("train.anchors", t.anchors as f64, (1..=4096).contains(&t.anchors), "must be 1 to 4096")?;
        for (key, v) in transport {
            let there = v == 0.0 || self.field.spec().transports();
            check(key, v, there, "needs a transport network: set transport.layers=2 and transport.width=64")?;
        }
        for (key, v) in [("train.beta1", t.beta1), ("train.beta2", t.beta2), ("train.average", t.average)] {
            check(key, v, (0.0..1.0).contains(&v), "must be 0 to below 1")?;
        }
        for (key, v) in [
            ("train.regularised", t.regularised),
            ("train.schedule.hold", t.schedule.hold),
            ("train.schedule.floor", t.schedule.floor),
        ] {
            check(key, v, (0.0..=1.0).contains(&v), "must be 0 to 1")?;
        }
        check("train.feed.pool", t.feed.pool as f64, (1..=1 << 16).contains(&t.feed.pool), "must be 1 to 65536")?;
        check("train.feed.reuse", t.feed.reuse as f64, (1..=1 << 16).contains(&t.feed.reuse), "must be 1 to 65536")?;
        self.sample.as_ref().map_or(Ok(()), validate_sample)?;
        self.signal.as_ref().map_or(Ok(()), validate_signal)?;
        self.rays.as_ref().map_or(Ok(()), validate_rays)
    }
}

/// How a baseline's networks are trained, where other rates than the task's suit them, and whether ω is.
fn baseline_rate(name: &str, train: TrainConfig) -> TrainConfig {
    match name.split_once('-').map(|(_, kind)| kind) {
        // Gains multiply the rate of what they stand before: the first layer's is 30, of sounds 3000. At twice these rates
        // small batches already diverge (docs/results.md, "Rates of the baselines").
        Some("siren") => TrainConfig { net_lr: if name == "audio-siren" { 5e-4 } else { 1e-3 }, beta2: 0.999, ..train },
        Some("fourier") => TrainConfig { net_lr: 1e-2, train_basis: false, ..train },
        Some("relu") => TrainConfig { net_lr: 2e-3, ..train },
        // A line's entry is one factor of many places' features.
        Some("cp") => TrainConfig { grid_lr: 4e-1, ..train },
        _ => train,
    }
}

fn radiance_training(name: &str) -> TrainConfig {
    // Few entries, each seen by many rays a step, bear a higher rate (docs/results.md).
    let grid_lr = match name {
        "radiance-tiny" => 5e-2,
        "radiance-planes" | "radiance-vm" => 1e-1,
        _ => 2e-2,
    };
    TrainConfig { loss: PointLoss::Huber(0.1), net_lr: 1e-2, grid_lr, average: 0.95, ..TrainConfig::default() }
}

fn sdf_training(name: &str) -> TrainConfig {
    let mut train = TrainConfig::default();
    if name == "sdf-fine" {
        // More parameters than points drawn learn the batches by heart.
        train.feed.reuse = 3;
    }
    baseline_rate(name, train)
}

/// Fresh samples each step: they cost nothing.
fn signal_training(name: &str) -> TrainConfig {
    let train = TrainConfig {
        batch: 1 << 15,
        loss: PointLoss::L2,
        net_lr: 2e-2,
        grid_lr: 5e-2,
        feed: FeedConfig { pool: 1, reuse: 1 },
        regularised: 1.0,
        ..TrainConfig::default()
    };
    baseline_rate(name, train)
}

fn check(key: &str, value: f64, ok: bool, expected: &str) -> Result<(), ConfigError> {
    if ok && value.is_finite() {
        return Ok(());
    }
    Err(ConfigError::Value { key: key.into(), value: value.to_string(), expected: expected.into() })
}

fn validate_sample(s: &SampleConfig) -> Result<(), ConfigError> {
    for (key, v) in [("sample.near_sigma", s.near_sigma), ("sample.around_sigma", s.around_sigma)] {
        check(key, v, v >= 0.0, "must be 0 or more")?;
    }
    for (key, v) in [
        ("sample.surface", s.surface),
        ("sample.near", s.near),
        ("sample.around", s.around),
        ("sample.surface + near + around", s.surface + s.near + s.around - 1e-9),
    ] {
        check(key, v, (0.0..=1.0).contains(&v.max(0.0)) && v >= -1e-9, "must be 0 to 1")?;
    }
    check("sample.falloff", s.falloff, s.falloff > 0.0, "must be above 0")?;
    check("sample.margin", s.margin, (0.0..=10.0).contains(&s.margin), "must be 0 to 10")
}

fn validate_signal(s: &SignalConfig) -> Result<(), ConfigError> {
    check("signal.share", s.share, s.share > 0.0 && s.share <= 1.0, "must be above 0 and at most 1")?;
    check("signal.block", s.block as f64, (1..=1 << 16).contains(&s.block), "must be 1 to 65536")?;
    check("signal.noise", s.noise, s.noise >= 0.0, "must be 0 or more")?;
    check("signal.reduce", s.reduce as f64, (1..=1024).contains(&s.reduce), "must be 1 to 1024")
}

fn validate_rays(r: &RayConfig) -> Result<(), ConfigError> {
    for (key, v, most) in [
        ("rays.samples", r.samples, 1 << 24),
        ("rays.most", r.most, 1 << 22),
        ("rays.limit", r.limit, 1 << 16),
        ("rays.probes", r.probes, 1 << 24),
    ] {
        check(key, v as f64, (1..=most).contains(&v), &format!("must be 1 to {most}"))?;
    }
    let step = f64::from(r.step);
    check("rays.step", step, (1e-5..=0.1).contains(&step), "must be 0.00001 to 0.1 of the cube's edge")?;
    check("rays.cone", f64::from(r.cone), (0.0..=0.1).contains(&r.cone), "must be 0 to 0.1")?;
    for (key, v) in
        [("rays.min_transmittance", r.min_transmittance), ("rays.decay", r.decay), ("rays.threshold", r.threshold)]
    {
        check(key, f64::from(v), (0.0..1.0).contains(&v), "must be 0 to below 1")?;
    }
    check("rays.distortion", f64::from(r.distortion), r.distortion >= 0.0, "must be 0 or more")?;
    check("rays.cells", r.cells as f64, Occupancy::supports(r.cells), "must be 16, 32, 64, 128, 256 or 512")?;
    check("rays.every", r.every as f64, (1..=1 << 20).contains(&r.every), "must be 1 to 1048576")?;
    if r.background == "random" {
        return Ok(());
    }
    let expected =
        |e: String| ConfigError::Value { key: "rays.background".into(), value: r.background.clone(), expected: e };
    let colour: Background = r.background.parse().map_err(|e| expected(format!("random, or {e}")))?;
    colour.srgb().map(|_| ()).ok_or_else(|| expected("must be random or an opaque colour".into()))
}

fn json_of<T: Serialize>(data: &T) -> Value {
    // Plain data of numbers, strings and booleans: this can't fail.
    serde_json::to_value(data).unwrap_or_default()
}

/// `base` with the value at dotted `key` replaced.
fn with<T: Serialize + DeserializeOwned>(base: &T, prefix: &str, key: &str, text: &str) -> Result<T, ConfigError> {
    let mut tree = json_of(base);
    let pointer = format!("/{}", key.replace('.', "/"));
    let name = format!("{prefix}{key}");
    let Some(leaf) = tree.pointer_mut(&pointer) else {
        let mut keys = Vec::new();
        list(prefix.trim_end_matches('.'), &tree, &mut keys);
        return Err(ConfigError::Key { reason: UNKNOWN, key: name, options: keys.join(", ") });
    };
    // A number, a boolean or JSON; anything else is a word such as `l1`.
    *leaf = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()));
    serde_json::from_value(tree).map_err(|e| ConfigError::Value {
        key: name,
        value: text.into(),
        expected: e.to_string(),
    })
}

fn list(prefix: &str, tree: &Value, to: &mut Vec<String>) {
    match tree {
        Value::Object(map) => map.iter().for_each(|(k, v)| list(&format!("{prefix}.{k}"), v, to)),
        _ => to.push(prefix.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("signal.share=1", "sample.near, "),
        ] {
            let error = set(&[bad]).unwrap_err().to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }
}
