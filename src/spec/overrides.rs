//! Applies `--set key=value` to any settings struct that serde can write and read: one parsing and one kind of error for
//! fields, training, sampling and comparisons.
//!
//! A key is the dotted path of a leaf in the struct's JSON form (`schedule.warmup`); a prefix names the struct in messages and
//! in lists of keys (`train`). Values are parsed by the kind of value that they replace:
//!
//! | now | text |
//! |---|---|
//! | a boolean | `true` or `false` |
//! | a float | a finite number: `2`, `.5`, `1e-3` |
//! | a whole number | digits |
//! | a word | any text: `hash`, `channels:8`, `#ffffff` |
//! | anything else (nothing yet, a variant with data) | JSON, or a word where it is none |
//!
//! A word may be replaced by a variant with data as JSON too: `{"huber": 0.1}`.
//!
//! ```
//! use nstr_spec::overrides;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Schedule {
//!     warmup: u32,
//!     floor: f64,
//! }
//!
//! let schedule = Schedule { warmup: 10, floor: 0.1 };
//! let (key, value) = overrides::split("floor=.5")?;
//! assert_eq!(overrides::apply(&schedule, "schedule", key, value)?.floor, 0.5);
//! assert_eq!(overrides::list_keys(&schedule, "schedule"), ["schedule.floor", "schedule.warmup"]);
//! # Ok::<(), nstr_spec::config::ConfigError>(())
//! ```

use nstr_files::shorten;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

use crate::config::ConfigError;

/// Splits `key=value` at the first `=`; spaces around both are dropped.
///
/// # Errors
/// [`ConfigError::Form`] for a text without `=`.
pub fn split(text: &str) -> Result<(&str, &str), ConfigError> {
    let (key, value) = text.split_once('=').ok_or_else(|| ConfigError::Form { text: text.into() })?;
    Ok((key.trim(), value.trim()))
}

/// Returns a copy of the settings with the value at `key` replaced. `key` is a dotted path inside `settings`; `prefix` stands
/// before it in messages only (empty: nothing does). Ranges are not checked here.
///
/// # Errors
/// [`ConfigError::UnknownKey`] for a path that is not there, [`ConfigError::Value`] for a text that the setting can't take,
/// such as a number that its type can only hold as infinity.
pub fn apply<T: Serialize + DeserializeOwned>(
    settings: &T,
    prefix: &str,
    key: &str,
    text: &str,
) -> Result<T, ConfigError> {
    let mut tree = tree(settings);
    let name = join(prefix, key);
    let Some(leaf) = tree.pointer_mut(&format!("/{}", key.replace('.', "/"))) else {
        return Err(ConfigError::UnknownKey { key: name, options: list_keys(settings, prefix) });
    };
    let invalid = |expected| ConfigError::Value { key: name.clone(), value: text.into(), expected };
    *leaf = parse(leaf, text).map_err(invalid)?;
    let changed: T = serde::Deserialize::deserialize(&tree).map_err(|e| invalid(shorten(&e.to_string())))?;
    if became_infinite(&tree, &self::tree(&changed)) {
        return Err(invalid("must be a number below 3.4e38 in magnitude".into()));
    }
    Ok(changed)
}

/// `true` where a number of `before` is none any more: JSON has no word for infinity, which is what f32 makes of 1e39.
fn became_infinite(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Number(_), Value::Null) => true,
        (Value::Object(before), Value::Object(after)) => {
            before.iter().any(|(key, value)| after.get(key).is_some_and(|now| became_infinite(value, now)))
        }
        (Value::Array(before), Value::Array(after)) => before.iter().zip(after).any(|(b, a)| became_infinite(b, a)),
        _ => false,
    }
}

/// Every key of the settings, `prefix.` before each (empty: nothing), in alphabetical order of each level.
pub fn list_keys<T: Serialize>(settings: &T, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    leaves(prefix, &tree(settings), &mut keys);
    keys
}

/// The one of `keys` that `key` stands for: itself, or the only one that ends in `.key`.
///
/// # Errors
/// [`ConfigError::UnknownKey`] with all keys, [`ConfigError::AmbiguousKey`] with those that end in it.
pub fn resolve(keys: &[String], key: &str) -> Result<String, ConfigError> {
    if keys.iter().any(|k| k == key) {
        return Ok(key.into());
    }
    let ending = format!(".{key}");
    let mut matches: Vec<_> = keys.iter().filter(|k| k.ends_with(&ending)).cloned().collect();
    match matches.len() {
        0 => Err(ConfigError::UnknownKey { key: key.into(), options: keys.to_vec() }),
        1 => Ok(matches.remove(0)),
        _ => Err(ConfigError::AmbiguousKey { key: key.into(), options: matches }),
    }
}

fn parse(old: &Value, text: &str) -> Result<Value, String> {
    match old {
        Value::Bool(_) => text.parse().map(Value::Bool).map_err(|_| "must be true or false".into()),
        Value::Number(n) if n.is_f64() => {
            let number = text.parse::<f64>().ok().and_then(Number::from_f64);
            number.map(Value::Number).ok_or_else(|| "must be a number".into())
        }
        Value::Number(_) => text.parse::<u64>().map(Value::from).map_err(|_| "must be a whole number".into()),
        // A word may look like a number or a boolean.
        Value::String(_) if !text.starts_with(['{', '[', '"']) => Ok(Value::String(text.into())),
        _ => Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()))),
    }
}

fn tree<T: Serialize>(settings: &T) -> Value {
    // Plain data of numbers, strings and booleans: this can't fail.
    serde_json::to_value(settings).unwrap_or_default()
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.into() } else { format!("{prefix}.{key}") }
}

fn leaves(path: &str, value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| leaves(&join(path, name), value, keys)),
        _ => keys.push(path.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Loss {
        L1,
        Huber(f32),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        floor: f64,
        scale: f32,
        on: bool,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        count: usize,
        name: String,
        loss: Loss,
        seed: Option<u64>,
        inner: Inner,
    }

    fn settings() -> Settings {
        let inner = Inner { floor: 0.5, scale: 1.0, on: false };
        Settings { count: 3, name: "red".into(), loss: Loss::L1, seed: None, inner }
    }

    #[test]
    fn every_kind_of_value_is_replaced() {
        let set = |key: &str, text: &str| apply(&settings(), "", key, text).unwrap();
        assert_eq!(set("count", "12").count, 12);
        assert_eq!(set("name", "1").name, "1");
        assert_eq!(set("name", "\"a b\"").name, "a b");
        assert_eq!(set("loss", "{\"huber\": 0.5}").loss, Loss::Huber(0.5));
        assert_eq!(set("seed", "7").seed, Some(7));
        assert_eq!(set("seed", "null").seed, None);
        for (text, value) in [(".25", 0.25), ("1e-3", 1e-3), ("2", 2.0), ("-0.5", -0.5)] {
            assert_eq!(set("inner.floor", text).inner.floor, value);
        }
        assert!(set("inner.on", "true").inner.on);
        let huber = Settings { loss: Loss::Huber(0.1), ..settings() };
        assert_eq!(apply(&huber, "", "loss", "l1").unwrap().loss, Loss::L1);
        assert_eq!(apply(&huber, "", "loss.huber", ".5").unwrap().loss, Loss::Huber(0.5));
    }

    #[test]
    fn errors_name_key_value_and_remedy() {
        for (key, text, message) in [
            ("count", "many", "train.count = many: must be a whole number"),
            ("count", "-1", "train.count = -1: must be a whole number"),
            ("inner.floor", "nan", "train.inner.floor = nan: must be a number"),
            ("inner.floor", "1e999", "must be a number"),
            ("inner.scale", "1e39", "train.inner.scale = 1e39: must be a number below 3.4e38"),
            ("inner.scale", "-3.5e38", "must be a number below"),
            ("loss", "{\"huber\": 1e39}", "must be a number below"),
            ("inner.on", "1", "must be true or false"),
            ("loss", "l3", "`l3`"),
            ("inner", "3", "train.inner = 3: "),
            ("counts", "1", "unknown option `train.counts`; the options are train.count, train.inner.floor, "),
            ("", "1", "unknown option"),
        ] {
            let error = apply(&settings(), "train", key, text).unwrap_err().to_string();
            assert!(error.contains(message), "{key}={text}: {error}");
        }
        assert_eq!(split("a"), Err(ConfigError::Form { text: "a".into() }));
        assert_eq!(split(" a = b=c "), Ok(("a", "b=c")));
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "a".repeat(100_000);
        for error in [
            apply(&settings(), "train", &long, "1").unwrap_err(),
            apply(&settings(), "train", "count", &long).unwrap_err(),
            apply(&settings(), "train", "loss", &long).unwrap_err(),
            apply(&settings(), "train", "loss", &format!("{{\"{long}\": 1}}")).unwrap_err(),
            split(&long).unwrap_err(),
            resolve(&["a.x".into(), "a.y".into()], &long).unwrap_err(),
        ] {
            let said = error.to_string();
            assert!(said.contains("aaaa") && said.len() < 700, "{} characters: {said:.200}", said.len());
        }
    }

    #[test]
    fn endings_stand_for_keys_where_only_one_has_them() {
        let keys = ["a.x", "b.x", "b.y", "y"].map(String::from);
        assert_eq!(resolve(&keys, "y").unwrap(), "y");
        assert_eq!(resolve(&keys, "a.x").unwrap(), "a.x");
        assert!(matches!(resolve(&keys, "x"), Err(ConfigError::AmbiguousKey { options, .. }) if options.len() == 2));
        assert!(matches!(resolve(&keys, "z"), Err(ConfigError::UnknownKey { options, .. }) if options.len() == 4));
        assert_eq!(resolve(&keys[..3], "y").unwrap(), "b.y");
    }
}
