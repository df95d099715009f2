//! Values of a `transforms.json`: looked up in the frame first, then in the file; errors name the place.
//!
//! `null` is a value that is missing, and so are Python's `NaN` and `Infinity`: a note or an error then names the field.

use std::path::Path;

use glam::DMat4;
use nstr_camera::parse_json;
use nstr_files::{Budget, decode_text, excerpt, read_named};
use serde_json::{Map, Value};

use crate::error::CaptureError;

/// Longest file that is read, in bytes: a frame of 3000 characters for each of a million images.
const MAX_BYTES: u64 = 3 << 30;

/// Reads a JSON object.
pub(super) fn read(path: &Path) -> Result<Map<String, Value>, CaptureError> {
    let bytes = read_named(path, &Budget::new(MAX_BYTES)).map_err(CaptureError::io(path))?;
    let text = decode_text(bytes).map_err(CaptureError::io(path))?;
    match parse_json(&text).map_err(|source| CaptureError::Json { path: path.into(), source })? {
        Value::Object(map) => Ok(map),
        _ => Err(CaptureError::field(path, "file", "expected a JSON object with frames")),
    }
}

/// A value for a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null (or NaN)".into(),
        value => excerpt(&value.to_string()),
    }
}

/// The value of a key, unless it is `null`.
pub(super) fn given<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).filter(|v| !v.is_null())
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
        let here = given(self.frame, key).map(|v| (v, format!("{}{key}", self.at)));
        here.or_else(|| given(self.top, key).map(|v| (v, key.to_string())))
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
                None => Err(self.fail(key, format!("{} is not a finite number", shown(value)))),
            },
        }
    }

    /// A number that is 0 where it is missing.
    pub fn coefficient(&self, key: &str) -> Result<f64, CaptureError> {
        Ok(self.number(key)?.unwrap_or(0.0))
    }

    /// `true`, `false`, 1 or 0; `false` where it is missing.
    pub fn flag(&self, key: &str) -> Result<bool, CaptureError> {
        match self.find(key).map(|f| f.0) {
            None => Ok(false),
            Some(Value::Bool(set)) => Ok(*set),
            Some(value) if value.as_f64() == Some(0.0) => Ok(false),
            Some(value) if value.as_f64() == Some(1.0) => Ok(true),
            Some(value) => Err(self.fail(key, format!("{}; expected true or false", shown(value)))),
        }
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>, CaptureError> {
        match self.find(key) {
            None => Ok(None),
            Some((Value::String(text), _)) => Ok(Some(text)),
            Some((value, _)) => Err(self.fail(key, format!("{} is not a text", shown(value)))),
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
        let rows = match given(self.frame, key) {
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
            CaptureError::field(path, format!("{place}[{i}]"), format!("{} is not a finite number", shown(value)))
        })?;
    }
    Ok(out)
}
