//! Values of a `transforms.json`: looked up in the frame first, then in the file; errors name the place.

use std::path::Path;

use glam::DMat4;
use serde_json::{Map, Value};

use crate::error::CaptureError;

/// Reads a JSON object. `NaN` and `Infinity`, which Python writes though JSON has none, are read as `null`, so that a
/// complaint can name the field that needs the number.
pub(super) fn read(path: &Path) -> Result<Map<String, Value>, CaptureError> {
    let bytes = std::fs::read(path).map_err(CaptureError::io(path))?;
    let value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(source) => serde_json::from_slice(&without_nan(&bytes))
            .map_err(|_| CaptureError::Json { path: path.into(), source })?,
    };
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(CaptureError::field(path, "file", "expected a JSON object with frames")),
    }
}

/// Writes `null` over the words that Python adds to JSON, outside strings.
fn without_nan(bytes: &[u8]) -> Vec<u8> {
    let words: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut quoted) = (0, false);
    while at < bytes.len() {
        let word = words.into_iter().find(|w| !quoted && bytes[at..].starts_with(w));
        if let Some(word) = word {
            out.extend(b"null");
            at += word.len();
            continue;
        }
        if quoted && bytes[at] == b'\\' && at + 1 < bytes.len() {
            out.push(bytes[at]);
            at += 1;
        } else if bytes[at] == b'"' {
            quoted = !quoted;
        }
        out.push(bytes[at]);
        at += 1;
    }
    out
}

/// Scope in which values are looked up, and its name for errors.
pub(super) struct Fields<'a> {
    pub path: &'a Path,
    pub top: &'a Map<String, Value>,
    /// The frame; empty for the file itself.
    pub frame: &'a Map<String, Value>,
    /// `frames[3].`, or nothing for the file itself.
    pub at: String,
}

impl<'a> Fields<'a> {
    /// The value of a key, and its place.
    fn find(&self, key: &str) -> Option<(&'a Value, String)> {
        let here = self.frame.get(key).map(|v| (v, format!("{}{key}", self.at)));
        here.or_else(|| self.top.get(key).map(|v| (v, key.to_string())))
    }

    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    pub fn fail(&self, key: &str, reason: impl Into<String>) -> CaptureError {
        let place = self.find(key).map_or_else(|| format!("{}{key}", self.at), |f| f.1);
        CaptureError::field(self.path, place, reason)
    }

    pub fn number(&self, key: &str) -> Result<Option<f64>, CaptureError> {
        match self.find(key) {
            None => Ok(None),
            Some((value, _)) => match value.as_f64().filter(|v| v.is_finite()) {
                Some(v) => Ok(Some(v)),
                None => Err(self.fail(key, format!("{value} is not a finite number"))),
            },
        }
    }

    /// A number that is 0 where it is missing.
    pub fn coefficient(&self, key: &str) -> Result<f64, CaptureError> {
        Ok(self.number(key)?.unwrap_or(0.0))
    }

    pub fn flag(&self, key: &str) -> bool {
        self.find(key).is_some_and(|(v, _)| v.as_bool().unwrap_or_else(|| v.as_f64().is_some_and(|n| n != 0.0)))
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>, CaptureError> {
        match self.find(key) {
            None | Some((Value::Null, _)) => Ok(None),
            Some((Value::String(text), _)) => Ok(Some(text)),
            Some((value, _)) => Err(self.fail(key, format!("{value} is not a text"))),
        }
    }

    /// A picture's side in pixels.
    pub fn side(&self, key: &str) -> Result<Option<u32>, CaptureError> {
        match self.number(key)? {
            None => Ok(None),
            Some(v) if v.fract() == 0.0 && (1.0..=65_536.0).contains(&v) => Ok(Some(v as u32)),
            Some(v) => {
                Err(self.fail(key, format!("{v} is not an image size; expected a whole number from 1 to 65536")))
            }
        }
    }

    /// Three numbers, or one that stands for all three.
    pub fn triple(&self, key: &str) -> Result<Option<[f64; 3]>, CaptureError> {
        match self.find(key) {
            None => Ok(None),
            Some((Value::Array(list), place)) => numbers(self.path, list, &place).map(Some),
            Some(_) => Ok(self.number(key)?.map(|v| [v; 3])),
        }
    }

    /// The camera-to-world matrix, from the frame alone.
    pub fn matrix(&self) -> Result<DMat4, CaptureError> {
        let key = "transform_matrix";
        let at = format!("{}{key}", self.at);
        let fail = |reason: &str| CaptureError::field(self.path, at.clone(), reason);
        let rows = match self.frame.get(key) {
            Some(Value::Array(rows)) if rows.len() == 4 || rows.len() == 3 => rows,
            Some(_) => return Err(fail("expected 4 rows of 4 numbers")),
            None => return Err(fail("missing: expected the 4x4 camera-to-world matrix")),
        };
        let mut columns = DMat4::IDENTITY.to_cols_array_2d();
        for (r, row) in rows.iter().enumerate() {
            let place = format!("{at}[{r}]");
            let row = row.as_array().ok_or_else(|| CaptureError::field(self.path, &place, "expected 4 numbers"))?;
            let row: [f64; 4] = numbers(self.path, row, &place)?;
            (0..4).for_each(|c| columns[c][r] = row[c]);
        }
        Ok(DMat4::from_cols_array_2d(&columns))
    }
}

/// Exactly `N` finite numbers.
pub(super) fn numbers<const N: usize>(path: &Path, list: &[Value], place: &str) -> Result<[f64; N], CaptureError> {
    if list.len() != N {
        return Err(CaptureError::field(path, place, format!("{} values; expected {N} numbers", list.len())));
    }
    let mut out = [0.0; N];
    for (i, value) in list.iter().enumerate() {
        out[i] = value.as_f64().filter(|v| v.is_finite()).ok_or_else(|| {
            CaptureError::field(path, format!("{place}[{i}]"), format!("{value} is not a finite number"))
        })?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_words_become_null_outside_strings() {
        let text = br#"{"a": [NaN, -Infinity, Infinity, 1], "NaN\"NaN": "NaN"}"#;
        let value: Value = serde_json::from_slice(&without_nan(text)).unwrap();
        assert_eq!(value["a"], serde_json::json!([null, null, null, 1]));
        assert_eq!(value["NaN\"NaN"], "NaN");
    }
}
