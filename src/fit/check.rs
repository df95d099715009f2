//! Checks of ranges, with errors that name the key.

use nstr_spec::config::ConfigError;

/// `Ok` where `ok` holds and the value is finite; `expected` reads "must be …".
pub(crate) fn check(key: &str, value: f64, ok: bool, expected: &str) -> Result<(), ConfigError> {
    if ok && value.is_finite() {
        return Ok(());
    }
    Err(ConfigError::Value { key: key.into(), value: value.to_string(), expected: expected.into() })
}

/// `Ok` for whole numbers from 1 to `most`.
pub(crate) fn check_count(key: &str, value: u64, most: u64) -> Result<(), ConfigError> {
    check(key, value as f64, (1..=most).contains(&value), &format!("must be 1 to {most}"))
}

/// `Ok` where every value is 0 or more.
pub(crate) fn check_not_negative(values: &[(&str, f64)]) -> Result<(), ConfigError> {
    values.iter().try_for_each(|(key, v)| check(key, *v, *v >= 0.0, "must be 0 or more"))
}

/// `Ok` where every value is from 0 to 1.
pub(crate) fn check_fractions(values: &[(&str, f64)]) -> Result<(), ConfigError> {
    values.iter().try_for_each(|(key, v)| check(key, *v, (0.0..=1.0).contains(v), "must be 0 to 1"))
}

/// `Ok` where every value is from 0 to below 1.
pub(crate) fn check_below_one(values: &[(&str, f64)]) -> Result<(), ConfigError> {
    values.iter().try_for_each(|(key, v)| check(key, *v, (0.0..1.0).contains(v), "must be 0 to below 1"))
}
