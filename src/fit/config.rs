//! A fit's whole configuration, by preset and `--set key=value`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schedule::Budget;
use super::sdf::SampleConfig;
use super::trainer::TrainConfig;
use crate::field::config::{ConfigError, FieldConfig, preset as field_preset};

/// The field, its training and its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitConfig {
    /// The field's shape and initial parameters.
    pub field: FieldConfig,
    /// The training loop; keys begin with `train.`.
    pub train: TrainConfig,
    /// Where points are drawn; keys begin with `sample.`.
    pub sample: SampleConfig,
}

impl FitConfig {
    /// A preset of a signed-distance fit and the budget that it is tuned for.
    pub fn preset(name: &str) -> Result<(Self, Budget), ConfigError> {
        let field = field_preset(name)?;
        let (train, sample) = (TrainConfig::default(), SampleConfig::default());
        let steps = match name {
            "sdf-tiny" => 4000,
            "sdf-fine" => 6000,
            _ => 4500,
        };
        Ok((Self { field, train, sample }, Budget::Steps(steps)))
    }

    /// Applies overrides `key=value`; keys of the field need no prefix.
    pub fn set(mut self, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut field = Vec::new();
        for text in overrides {
            let (key, value) = text.split_once('=').ok_or_else(|| ConfigError::Form { text: text.clone() })?;
            let (key, value) = (key.trim(), value.trim());
            if let Some(rest) = key.strip_prefix("train.") {
                self.train = with(&self.train, "train.", rest, value)?;
            } else if let Some(rest) = key.strip_prefix("sample.") {
                self.sample = with(&self.sample, "sample.", rest, value)?;
            } else {
                field.push(text.as_str());
            }
        }
        self.field = self.field.set(&field)?;
        self.validate()?;
        Ok(self)
    }

    /// Checks ranges that types do not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |key: &str, value: f64, ok: bool, expected: &str| {
            if ok && value.is_finite() {
                return Ok(());
            }
            Err(ConfigError::Value { key: key.into(), value: value.to_string(), expected: expected.into() })
        };
        let (t, s) = (&self.train, &self.sample);
        let unit = |v: f64| (0.0..=1.0).contains(&v);
        check("train.batch", t.batch as f64, (1..=1 << 24).contains(&t.batch), "must be 1 to 16777216")?;
        for (key, v) in [("train.net_lr", t.net_lr), ("train.grid_lr", t.grid_lr), ("train.eps", t.eps)] {
            check(key, v, v >= 0.0, "must be 0 or more")?;
        }
        for (key, v) in [("train.beta1", t.beta1), ("train.beta2", t.beta2)] {
            check(key, v, (0.0..1.0).contains(&v), "must be 0 to below 1")?;
        }
        for (key, v) in [
            ("train.lambda_pde", t.lambda_pde),
            ("train.lambda_smooth", t.lambda_smooth),
            ("train.lambda_eikonal", t.lambda_eikonal),
            ("train.weight_decay", t.weight_decay),
            ("sample.near_sigma", s.near_sigma),
            ("sample.around_sigma", s.around_sigma),
        ] {
            check(key, v, v >= 0.0, "must be 0 or more")?;
        }
        for (key, v) in [
            ("train.regularised", t.regularised),
            ("train.schedule.hold", t.schedule.hold),
            ("train.schedule.floor", t.schedule.floor),
            ("sample.surface", s.surface),
            ("sample.near", s.near),
            ("sample.around", s.around),
            ("sample.surface + near + around", s.surface + s.near + s.around - 1e-9),
        ] {
            check(key, v, unit(v.max(0.0)) && v >= -1e-9, "must be 0 to 1")?;
        }
        check("train.feed.pool", t.feed.pool as f64, (1..=1 << 16).contains(&t.feed.pool), "must be 1 to 65536")?;
        check("train.feed.reuse", t.feed.reuse as f64, (1..=1 << 16).contains(&t.feed.reuse), "must be 1 to 65536")?;
        check("sample.falloff", s.falloff, s.falloff > 0.0, "must be above 0")?;
        check("sample.margin", s.margin, (0.0..=10.0).contains(&s.margin), "must be 0 to 10")
    }
}

/// `base` with the value at dotted `key` replaced.
fn with<T: Serialize + DeserializeOwned>(base: &T, prefix: &str, key: &str, text: &str) -> Result<T, ConfigError> {
    // Plain data of numbers, strings and booleans: this can't fail.
    let mut tree = serde_json::to_value(base).unwrap_or_default();
    let pointer = format!("/{}", key.replace('.', "/"));
    let name = format!("{prefix}{key}");
    let Some(leaf) = tree.pointer_mut(&pointer) else {
        let mut keys = Vec::new();
        list(prefix.trim_end_matches('.'), &tree, &mut keys);
        return Err(ConfigError::Key { reason: "unknown option", key: name, options: keys.join(", ") });
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
    use crate::kernel::PointLoss;

    #[test]
    fn overrides_reach_every_part_and_errors_name_the_key() {
        let set = |text: &[&str]| {
            let text: Vec<String> = text.iter().map(|t| t.to_string()).collect();
            FitConfig::preset("sdf").unwrap().0.set(&text)
        };
        let c = set(&["train.net_lr=1e-3", "train.schedule.warmup=7", "sample.near=0.1", "basis=32", "train.loss=l2"])
            .unwrap();
        assert_eq!((c.train.net_lr, c.train.schedule.warmup, c.sample.near, c.field.basis), (1e-3, 7, 0.1, 32));
        assert_eq!(c.train.loss, PointLoss::L2);
        assert_eq!(set(&["train.loss={\"huber\":0.5}"]).unwrap().train.loss, PointLoss::Huber(0.5));
        for (bad, word) in [
            ("train.nothing=1", "train.nothing"),
            ("train.batch=0", "train.batch"),
            ("train.beta2=1", "train.beta2"),
            ("sample.surface=0.9", "surface"),
            ("sample.near=x", "sample.near"),
            ("train.batch", "key=value"),
            ("nothing=1", "nothing"),
        ] {
            let error = set(&[bad]).unwrap_err().to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }
}
