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
    /// Seconds from one key to the next, where a key has no time of its own.
    pub seconds_between_keys: f64,
    /// Seconds from each key to the next, where they differ from the usual; may be shorter than the list of keys.
    pub own_seconds: Vec<Option<f64>>,
}

/// Frames a second of a saved path.
pub(crate) const FRAME_RATE: f64 = 25.0;
/// Smallest and largest number of seconds between keys; the smallest makes every frame a key.
pub(crate) const KEY_INTERVAL: (f64, f64) = (1.0 / FRAME_RATE, 60.0);

impl Default for CameraPath {
    fn default() -> Self {
        Self { keys: Vec::new(), seconds_between_keys: 2.0, own_seconds: Vec::new() }
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
    /// Seconds to the next key, where they differ from the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

impl CameraPath {
    /// Seconds from the first key to the last.
    pub fn duration(&self) -> f64 {
        (0..self.keys.len().saturating_sub(1)).fold(0.0, |sum, i| sum + self.seconds_after(i))
    }

    /// Seconds from key `i` to the next.
    pub fn seconds_after(&self, i: usize) -> f64 {
        self.own_seconds.get(i).copied().flatten().unwrap_or(self.seconds_between_keys)
    }

    /// Seconds from the start of the path to key `i`.
    pub fn time_of(&self, i: usize) -> f64 {
        (0..i.min(self.keys.len().saturating_sub(1))).fold(0.0, |sum, k| sum + self.seconds_after(k))
    }

    /// Gives key `i` a time of its own to the next, or the usual one.
    pub fn set_seconds_after(&mut self, i: usize, seconds: Option<f64>) {
        self.own_seconds.resize(self.keys.len().max(i + 1), None);
        self.own_seconds[i] = seconds.map(|s| s.clamp(KEY_INTERVAL.0, KEY_INTERVAL.1));
    }

    /// Moves key `i`, but the first, to a time between those of its neighbours; all others keep their times.
    pub fn move_key(&mut self, i: usize, seconds: f64) {
        if i == 0 || i >= self.keys.len() {
            return;
        }
        let (least, most) = KEY_INTERVAL;
        let before = self.time_of(i - 1);
        let after = (i + 1 < self.keys.len()).then(|| self.time_of(i + 1));
        let last = after.map_or(f64::INFINITY, |after| after - least).max(before + least);
        let at = seconds.clamp(before + least, last.min(before + most));
        self.set_seconds_after(i - 1, Some(at - before));
        if let Some(after) = after {
            self.set_seconds_after(i, Some(after - at));
        }
    }

    /// Removes key `i`, if there is one.
    pub fn remove(&mut self, i: usize) {
        if i < self.keys.len() {
            self.keys.remove(i);
        }
        if i < self.own_seconds.len() {
            self.own_seconds.remove(i);
        }
    }

    /// Moves key `i` one place towards the start (or the end), with its time; does nothing at the ends.
    pub fn shift(&mut self, i: usize, to_start: bool) {
        let other = if to_start { i.checked_sub(1) } else { Some(i + 1) };
        let Some(other) = other.filter(|o| *o < self.keys.len() && i < self.keys.len()) else { return };
        self.own_seconds.resize(self.keys.len(), None);
        self.keys.swap(i, other);
        self.own_seconds.swap(i, other);
    }

    /// The camera after `seconds`, clamped to the path; `None` without keys.
    pub fn at(&self, seconds: f64) -> Option<ViewCamera> {
        let last = self.keys.len().checked_sub(1)?;
        let (mut i, mut left) = (0, seconds.max(0.0));
        while i + 1 < last && left >= self.seconds_after(i) {
            left -= self.seconds_after(i);
            i += 1;
        }
        let part = (left / self.seconds_after(i)).clamp(0.0, 1.0);
        let key = |k: usize| &self.keys[k.min(last)];
        Some(ViewCamera::interpolate([key(i.saturating_sub(1)), key(i), key(i + 1), key(i + 2)], part))
    }

    /// Positions on the path, `pieces` from one key to the next.
    pub(crate) fn curve(&self, pieces: usize) -> Vec<DVec3> {
        let count = self.keys.len().saturating_sub(1) * pieces;
        let at = |i: usize| {
            let (key, part) = (i / pieces.max(1), (i % pieces.max(1)) as f64 / pieces.max(1) as f64);
            self.at(self.time_of(key) + part * self.seconds_after(key))
        };
        (0..=count).filter_map(at).map(|c| c.eye).collect()
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
        let keys = self.keys.iter().enumerate().map(|(i, k)| StoredKey {
            seconds: self.own_seconds.get(i).copied().flatten(),
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
        let mut own_seconds = Vec::new();
        let keys = match stored {
            Some(Ok(stored)) => {
                let clamped = |s: f64| s.clamp(KEY_INTERVAL.0, KEY_INTERVAL.1);
                own_seconds = stored.iter().map(|k| k.seconds.filter(|s| s.is_finite()).map(clamped)).collect();
                stored.iter().map(|k| key(k, like)).collect::<Option<Vec<_>>>()
            }
            Some(Err(e)) => return Err(named(format!("keys: {}", nstr_files::shorten(&e.to_string())))),
            None => Some(cameras.iter().map(|c| like.at(c, like.pivot())).collect()),
        };
        let keys = keys.ok_or_else(|| named("keys: a key is not a valid camera".into()))?;
        Ok(Self { keys, seconds_between_keys: interval.clamp(KEY_INTERVAL.0, KEY_INTERVAL.1), own_seconds })
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
        CameraPath { keys, seconds_between_keys: 1.0, ..CameraPath::default() }
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
        let one = CameraPath { keys: vec![path.keys[0]], ..CameraPath::default() };
        assert!((one.at(0.7).unwrap().eye - path.keys[0].eye).length() < 1e-12);
        assert_eq!(one.frames((64, 48)).len(), 1);
    }

    #[test]
    fn keys_have_times_of_their_own_and_move_with_them() {
        let mut path = path();
        path.set_seconds_after(1, Some(4.0));
        assert_eq!((path.duration(), path.time_of(2), path.time_of(99)), (6.0, 5.0, 6.0));
        let at = |path: &CameraPath, t: f64| path.at(t).unwrap().eye;
        assert!((at(&path, 5.0) - path.keys[2].eye).length() < 1e-9);
        assert!((at(&path, 3.0) - at(&CameraPath { own_seconds: Vec::new(), ..path.clone() }, 1.5)).length() < 1e-9);
        let (first, second) = (path.keys[0], path.keys[1]);
        path.shift(1, true);
        assert_eq!((path.keys[0], path.keys[1], path.seconds_after(0)), (second, first, 4.0));
        path.shift(0, true);
        path.shift(3, false);
        path.shift(9, true);
        assert_eq!((path.keys[0], path.keys.len()), (second, 4));
        let mut moved = path.clone();
        moved.move_key(2, 1.5);
        assert_eq!(moved.time_of(2), path.time_of(1) + KEY_INTERVAL.0, "not before its neighbour");
        moved.move_key(2, 4.7);
        assert!((moved.time_of(2) - 4.7).abs() < 1e-9 && (moved.duration() - path.duration()).abs() < 1e-9);
        moved.move_key(3, 9.0);
        assert!((moved.duration() - 9.0).abs() < 1e-9);
        moved.move_key(0, 3.0);
        assert_eq!(moved.time_of(0), 0.0);
        let curve = path.curve(8);
        assert_eq!(curve.len(), 25);
        assert!((curve[8] - path.keys[1].eye).length() < 1e-9 && (curve[24] - path.keys[3].eye).length() < 1e-9);
        path.remove(0);
        path.remove(9);
        assert_eq!((path.keys.len(), path.duration()), (3, 2.0));
        // The times outlast the file.
        path.set_seconds_after(0, Some(0.5));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("path.json");
        path.save(&file, (64, 48)).unwrap();
        assert_eq!(CameraPath::load(&file, &first).unwrap().duration(), 1.5);
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
