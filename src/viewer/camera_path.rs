//! Camera paths: a smooth curve through key cameras, and the file of both.

use std::path::Path;

use glam::{DVec2, DVec3};
use nstr_camera::camera::{Camera, CameraError};
use nstr_camera::camera_file::{cameras_json, parse_cameras};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::camera::ViewCamera;

/// Smooth curve through key cameras.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraPath {
    /// Cameras on the path, in order.
    pub keys: Vec<ViewCamera>,
    /// Seconds from one key to the next.
    pub seconds_between_keys: f64,
}

/// Frames a second of a saved path.
pub(crate) const FRAME_RATE: f64 = 25.0;
/// Smallest and largest number of seconds between keys; the smallest makes every frame a key.
pub(crate) const KEY_INTERVAL: (f64, f64) = (1.0 / FRAME_RATE, 60.0);

impl Default for CameraPath {
    fn default() -> Self {
        Self { keys: Vec::new(), seconds_between_keys: 2.0 }
    }
}

/// Stored fields of a key; its frame alone would lose the pivot distance.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    eye: DVec3,
    /// x, y, z, w.
    rotation: [f64; 4],
    distance: f64,
    fov: f64,
    aspect: f64,
    shift: DVec2,
}

impl CameraPath {
    /// Seconds from the first key to the last.
    pub fn duration(&self) -> f64 {
        self.keys.len().saturating_sub(1) as f64 * self.seconds_between_keys
    }

    /// The camera after `seconds`, clamped to the path; `None` without keys.
    pub fn at(&self, seconds: f64) -> Option<ViewCamera> {
        let last = self.keys.len().checked_sub(1)?;
        let position = (seconds / self.seconds_between_keys).clamp(0.0, last as f64);
        let i = (position as usize).min(last.saturating_sub(1));
        let key = |k: usize| &self.keys[k.min(last)];
        Some(ViewCamera::interpolate([key(i.saturating_sub(1)), key(i), key(i + 1), key(i + 2)], position - i as f64))
    }

    /// Cameras of all frames, 25 a second, for images of `size` pixels.
    pub fn frames(&self, size: (u32, u32)) -> Vec<Camera> {
        let count = (self.duration() * FRAME_RATE).round() as usize + 1;
        let at = |i: usize| self.at(i as f64 / FRAME_RATE);
        (0..count).filter_map(at).map(|c| c.camera(size)).collect()
    }

    /// Writes the path: `frames` as `nstr render --path` reads them, for images of `size` pixels, and the keys, so that the
    /// path can be changed later.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn save(&self, path: &Path, size: (u32, u32)) -> Result<(), CameraError> {
        let mut root = cameras_json(&self.frames(size));
        let keys = self.keys.iter().map(|k| StoredKey {
            eye: k.eye,
            rotation: k.rotation.to_array(),
            distance: k.distance,
            fov: k.fov,
            aspect: k.aspect,
            shift: k.shift,
        });
        root.insert("keys".into(), json!(keys.collect::<Vec<_>>()));
        root.insert("seconds_between_keys".into(), json!(self.seconds_between_keys));
        let text = format!("{:#}\n", Value::Object(root));
        nstr_files::write(path, text.as_bytes()).map_err(|source| CameraError::Io { path: path.into(), source })
    }

    /// Whether a file was written by [`Self::save`] and so holds nothing but a path.
    pub(crate) fn is_path_file(path: &Path) -> bool {
        let text = nstr_files::read_text(path).ok();
        let root = text.and_then(|text| nstr_camera::parse_json(&text).ok());
        root.is_some_and(|root| root.get("keys").is_some() && root.get("seconds_between_keys").is_some())
    }

    /// Reads a path. In files that [`Self::save`] did not write, every frame is a key. `like` supplies the up axis and the
    /// scene radius, which files do not hold.
    ///
    /// # Errors
    /// Files that cannot be read or hold no cameras, with the reason.
    pub fn load(path: &Path, like: &ViewCamera) -> Result<Self, String> {
        let named = |e: String| format!("{}: {e}", path.display());
        let text = nstr_files::read_text(path).map_err(|e| named(e.to_string()))?;
        let cameras = parse_cameras(&text, Some((800, 800))).map_err(named)?;
        let root = nstr_camera::parse_json(&text).map_err(|e| named(e.to_string()))?;
        let interval = root.get("seconds_between_keys").and_then(Value::as_f64).unwrap_or(1.0 / FRAME_RATE);
        let stored = root.get("keys").cloned().map(serde_json::from_value::<Vec<StoredKey>>);
        let keys = match stored {
            Some(Ok(stored)) => stored.iter().map(|k| key(k, like)).collect::<Option<Vec<_>>>(),
            Some(Err(e)) => return Err(named(format!("keys: {}", nstr_files::shorten(&e.to_string())))),
            None => Some(cameras.iter().map(|c| like.at(c, like.pivot())).collect()),
        };
        let keys = keys.ok_or_else(|| named("keys: a key is not a valid camera".into()))?;
        Ok(Self { keys, seconds_between_keys: interval.clamp(KEY_INTERVAL.0, KEY_INTERVAL.1) })
    }
}

/// The camera of a stored key; `None` if it is not valid.
fn key(k: &StoredKey, like: &ViewCamera) -> Option<ViewCamera> {
    let rotation = glam::DQuat::from_array(k.rotation);
    let camera = ViewCamera {
        eye: k.eye,
        rotation: rotation.normalize(),
        distance: k.distance,
        fov: k.fov,
        aspect: k.aspect,
        shift: k.shift,
        ..*like
    };
    (rotation.length() > 1e-6 && k.distance > 0.0 && camera.camera((64, 64)).validate().is_ok()).then_some(camera)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_camera::camera_file::read_cameras;
    use nstr_camera::orbit::Up;

    fn path() -> CameraPath {
        let mut camera = ViewCamera::home((DVec3::ZERO, DVec3::ONE), Up::Z).unwrap();
        let keys = (0..4)
            .map(|_| {
                camera.orbit(0.5, 0.1);
                camera
            })
            .collect();
        CameraPath { keys, seconds_between_keys: 1.0 }
    }

    #[test]
    fn the_path_passes_its_keys_and_stays_at_its_ends() {
        let path = path();
        assert_eq!(path.duration(), 3.0);
        for (i, key) in path.keys.iter().enumerate() {
            assert!((path.at(i as f64).unwrap().eye - key.eye).length() < 1e-9);
        }
        assert_eq!(path.at(-5.0), path.at(0.0));
        assert!((path.at(99.0).unwrap().eye - path.keys[3].eye).length() < 1e-9);
        assert_eq!(CameraPath::default().at(1.0), None);
        let one = CameraPath { keys: vec![path.keys[0]], seconds_between_keys: 1.0 };
        assert!((one.at(0.7).unwrap().eye - path.keys[0].eye).length() < 1e-12);
        assert_eq!(one.frames((64, 48)).len(), 1);
    }

    #[test]
    fn files_render_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("path.json");
        let path = path();
        path.save(&file, (320, 200)).unwrap();
        let frames = read_cameras(&file, None).unwrap();
        assert_eq!(frames.len(), 76);
        assert_eq!((frames[0].width, frames[0].height), (320, 200));
        assert!((frames[25].position() - path.keys[1].eye).length() < 1e-9);
        let back = CameraPath::load(&file, &path.keys[0]).unwrap();
        assert_eq!((back.keys.len(), back.seconds_between_keys), (4, 1.0));
        assert!(back.keys.iter().zip(&path.keys).all(|(a, b)| (a.eye - b.eye).length() < 1e-9));
        // In a file of another origin every frame is a key.
        nstr_camera::camera_file::write_cameras(&file, &frames[..10]).unwrap();
        assert_eq!(CameraPath::load(&file, &path.keys[0]).unwrap().keys.len(), 10);
        std::fs::write(&file, "{}").unwrap();
        assert!(CameraPath::load(&file, &path.keys[0]).unwrap_err().contains("path.json"));
    }
}
