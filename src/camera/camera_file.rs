//! Camera JSON: the `transforms.json` of instant-ngp and nerfstudio, one camera or a path.
//!
//! ```json
//! { "w": 800, "h": 800, "fl_x": 1111.1, "fl_y": 1111.1, "cx": 400, "cy": 400,
//!   "frames": [ { "transform_matrix": [[1,0,0,0], [0,1,0,0], [0,0,1,4], [0,0,0,1]] } ] }
//! ```
//!
//! `camera_angle_x` (radians, the whole angle) may take the place of `fl_x`; `fl_y`, `cx`, `cy` follow where they are
//! missing. A frame's own values win over the file's. Without `frames` the file itself is the camera. `null` is a value
//! that is missing, and so is the `NaN` that Python writes.

use std::path::Path;

use glam::{DMat4, DVec2};
use nstr_files::excerpt;
use serde_json::{Map, Value, json};

use crate::camera::{Camera, CameraError};
use crate::python_json::parse_json;

/// Reads the cameras of a file; `size` is used where the file gives no `w` and `h`.
///
/// # Errors
/// Files that cannot be read, are not JSON, or hold no usable camera.
pub fn read_cameras(path: &Path, size: Option<(u32, u32)>) -> Result<Vec<Camera>, CameraError> {
    let text = nstr_files::read_text(path).map_err(|source| CameraError::Io { path: path.into(), source })?;
    let root = parse_json(&text).map_err(|source| CameraError::Json { path: path.into(), source })?;
    parse(&root, size).map_err(|(field, reason)| CameraError::InFile { path: path.into(), field, reason })
}

/// The cameras of a JSON text; `size` is used where it gives no `w` and `h`.
///
/// # Errors
/// Text that is not JSON or lacks a value; the message says where.
pub fn parse_cameras(text: &str, size: Option<(u32, u32)>) -> Result<Vec<Camera>, String> {
    let root = parse_json(text).map_err(|e| format!("not a camera: {e}"))?;
    parse(&root, size).map_err(|(field, reason)| format!("{field}: {reason}"))
}

/// Writes cameras as one file with `frames`; each frame has its own intrinsics where the cameras differ in them.
///
/// # Errors
/// Files that cannot be written.
pub fn write_cameras(path: &Path, cameras: &[Camera]) -> Result<(), CameraError> {
    let text = format!("{:#}\n", Value::Object(cameras_json(cameras)));
    nstr_files::write(path, text.as_bytes()).map_err(|source| CameraError::Io { path: path.into(), source })
}

/// Camera JSON as [`write_cameras`] writes it.
pub fn cameras_json(cameras: &[Camera]) -> Map<String, Value> {
    let same = cameras.windows(2).all(|p| intrinsics_json(&p[0]) == intrinsics_json(&p[1]));
    let mut root = Map::new();
    if let (true, Some(first)) = (same, cameras.first()) {
        root.extend(intrinsics_json(first));
    }
    let frames = cameras.iter().enumerate().map(|(i, camera)| {
        let mut frame = if same { Map::new() } else { intrinsics_json(camera) };
        frame.insert("file_path".into(), json!(format!("frame_{i:04}")));
        frame.insert("transform_matrix".into(), pose_json(camera));
        Value::Object(frame)
    });
    root.insert("frames".into(), frames.collect());
    root
}

/// Pose of a camera as the `transform_matrix` of a frame.
pub fn pose_json(camera: &Camera) -> Value {
    let rows: [[f64; 4]; 4] = std::array::from_fn(|r| camera.camera_to_world.row(r).to_array());
    json!(rows)
}

/// Intrinsics of a camera as the fields of a frame.
pub fn intrinsics_json(camera: &Camera) -> Map<String, Value> {
    let angle = 2.0 * (0.5 * camera.width as f64 / camera.focal.x).atan();
    let pairs = [
        ("w", json!(camera.width)),
        ("h", json!(camera.height)),
        ("camera_angle_x", json!(angle)),
        ("fl_x", json!(camera.focal.x)),
        ("fl_y", json!(camera.focal.y)),
        ("cx", json!(camera.centre.x)),
        ("cy", json!(camera.centre.y)),
    ];
    pairs.into_iter().map(|(k, v)| (k.to_string(), v)).collect()
}

/// Field and reason of a complaint.
type Complaint = (String, String);

fn parse(root: &Value, size: Option<(u32, u32)>) -> Result<Vec<Camera>, Complaint> {
    let top = root.as_object().ok_or(("file".to_string(), "expected a JSON object".to_string()))?;
    warn_of_distortion(top);
    match top.get("frames") {
        None | Some(Value::Null) => Ok(vec![parse_camera(&Scope { frame: top, top, at: String::new() }, size)?]),
        Some(Value::Array(frames)) if !frames.is_empty() => frames
            .iter()
            .enumerate()
            .map(|(i, frame)| {
                let at = format!("frames[{i}]");
                let frame = frame.as_object().ok_or((at.clone(), "expected a JSON object".to_string()))?;
                parse_camera(&Scope { frame, top, at: at + "." }, size)
            })
            .collect(),
        Some(_) => Err(("frames".into(), "expected a list with at least one frame".into())),
    }
}

fn warn_of_distortion(top: &Map<String, Value>) {
    let bent = ["k1", "k2", "k3", "k4", "p1", "p2"]
        .iter()
        .filter(|k| top.get(**k).and_then(Value::as_f64).is_some_and(|v| v != 0.0));
    let bent: Vec<_> = bent.copied().collect();
    if !bent.is_empty() {
        log::warn!("camera file: lens distortion ({}) is not drawn; the image is a pinhole's", bent.join(", "));
    }
}

/// Objects in which values are looked up: the frame first, then the whole file.
struct Scope<'a> {
    frame: &'a Map<String, Value>,
    top: &'a Map<String, Value>,
    at: String,
}

impl Scope<'_> {
    fn number(&self, key: &str) -> Result<Option<f64>, Complaint> {
        let here = self.frame.get(key).filter(|v| !v.is_null()).map(|v| (v, format!("{}{key}", self.at)));
        let there = || self.top.get(key).filter(|v| !v.is_null()).map(|v| (v, key.to_string()));
        let Some((found, at)) = here.or_else(there) else { return Ok(None) };
        match found.as_f64() {
            Some(v) if v.is_finite() => Ok(Some(v)),
            _ => Err((at, format!("{} is not a finite number", excerpt(&found.to_string())))),
        }
    }

    fn side(&self, key: &str, fallback: Option<u32>) -> Result<u32, Complaint> {
        let at = format!("{}{key}", self.at);
        match (self.number(key)?, fallback) {
            (Some(v), _) if v.fract() == 0.0 && (1.0..=65_536.0).contains(&v) => Ok(v as u32),
            (Some(v), _) => Err((at, format!("{v} is not an image size; expected a whole number from 1 to 65536"))),
            (None, Some(side)) => Ok(side),
            (None, None) => Err((at, "missing: give the image's size in the file or on the command line".into())),
        }
    }

    fn matrix(&self) -> Result<DMat4, Complaint> {
        let at = format!("{}transform_matrix", self.at);
        let rows = match self.frame.get("transform_matrix") {
            Some(Value::Array(rows)) if rows.len() == 4 || rows.len() == 3 => rows,
            None | Some(Value::Null) => return Err((at, "missing: expected the 4x4 camera-to-world matrix".into())),
            Some(_) => return Err((at, "expected 4 rows of 4 numbers".into())),
        };
        let mut columns = DMat4::IDENTITY.to_cols_array_2d();
        for (r, row) in rows.iter().enumerate() {
            let row = row.as_array().filter(|row| row.len() == 4);
            let row = row.ok_or_else(|| (format!("{at}[{r}]"), "expected 4 numbers".to_string()))?;
            for (c, value) in row.iter().enumerate() {
                let number = value.as_f64().filter(|v| v.is_finite());
                let wrong = || format!("{} is not a finite number", excerpt(&value.to_string()));
                columns[c][r] = number.ok_or_else(|| (format!("{at}[{r}][{c}]"), wrong()))?;
            }
        }
        Ok(DMat4::from_cols_array_2d(&columns))
    }

    fn focal(&self, axis: &str, side: u32) -> Result<Option<f64>, Complaint> {
        if let Some(focal) = self.number(&format!("fl_{axis}"))? {
            return Ok(Some(focal));
        }
        let key = format!("camera_angle_{axis}");
        match self.number(&key)? {
            Some(angle) if angle > 0.0 && angle < std::f64::consts::PI => {
                Ok(Some(0.5 * side as f64 / (0.5 * angle).tan()))
            }
            Some(angle) => Err((format!("{}{key}", self.at), format!("{angle} rad; expected above 0 and below pi"))),
            None => Ok(None),
        }
    }
}

fn parse_camera(scope: &Scope, size: Option<(u32, u32)>) -> Result<Camera, Complaint> {
    let width = scope.side("w", size.map(|s| s.0))?;
    let height = scope.side("h", size.map(|s| s.1))?;
    let focal = match (scope.focal("x", width)?, scope.focal("y", height)?) {
        (Some(x), y) => DVec2::new(x, y.unwrap_or(x)),
        (None, Some(y)) => DVec2::splat(y),
        (None, None) => {
            return Err((format!("{}fl_x", scope.at), "missing: expected fl_x or camera_angle_x".into()));
        }
    };
    let centre = DVec2::new(
        scope.number("cx")?.unwrap_or(0.5 * width as f64),
        scope.number("cy")?.unwrap_or(0.5 * height as f64),
    );
    let camera = Camera { width, height, focal, centre, camera_to_world: scope.matrix()? };
    match camera.validate() {
        Ok(()) => Ok(camera),
        Err(CameraError::Invalid { field, reason }) => Err((format!("{}{field}", scope.at), reason)),
        Err(other) => Err((scope.at.clone(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orbit::Orbit;
    use glam::DVec3;

    fn read(text: &str, size: Option<(u32, u32)>) -> Result<Vec<Camera>, CameraError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("camera.json");
        std::fs::write(&path, text).unwrap();
        read_cameras(&path, size)
    }

    #[test]
    fn a_path_survives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("path.json");
        let mut cameras = Orbit { frames: 5, size: (64, 48), ..Orbit::default() }
            .cameras((DVec3::ZERO, DVec3::new(1.0, 2.0, 3.0)))
            .unwrap();
        write_cameras(&path, &cameras).unwrap();
        let close = |back: Vec<Camera>, cameras: &[Camera]| {
            assert_eq!(back.len(), cameras.len());
            for (a, b) in back.iter().zip(cameras) {
                assert!(a.camera_to_world.abs_diff_eq(b.camera_to_world, 1e-12), "{a:?} {b:?}");
                assert_eq!((a.width, a.height, a.focal, a.centre), (b.width, b.height, b.focal, b.centre));
            }
        };
        close(read_cameras(&path, None).unwrap(), &cameras);
        cameras[3] = cameras[3].resized(32, 32);
        write_cameras(&path, &cameras).unwrap();
        close(read_cameras(&path, None).unwrap(), &cameras);
    }

    #[test]
    fn blender_style_single_camera() {
        let text = r#"{"camera_angle_x": 1.5707963267948966,
            "transform_matrix": [[1,0,0,0.5],[0,1,0,0],[0,0,1,4],[0,0,0,1]]}"#;
        let camera = read(text, Some((100, 50))).unwrap()[0];
        assert!((camera.focal - DVec2::splat(50.0)).length() < 1e-9);
        assert_eq!(camera.centre, DVec2::new(50.0, 25.0));
        assert_eq!(camera.position(), DVec3::new(0.5, 0.0, 4.0));
    }

    #[test]
    fn bad_files_name_the_field() {
        let pose = "[[1,0,0,0],[0,1,0,0],[0,0,1,4],[0,0,0,1]]";
        let with = |rest: &str| format!(r#"{{"w": 8, "h": 8, {rest}}}"#);
        let cases = [
            ("nonsense".to_string(), "not a camera file"),
            ("[]".to_string(), "expected a JSON object"),
            (with(r#""frames": []"#), "frames"),
            (with(&format!(r#""transform_matrix": {pose}"#)), "fl_x"),
            (with(&format!(r#""fl_x": "wide", "transform_matrix": {pose}"#)), "fl_x"),
            (with(&format!(r#""fl_x": 1e300, "transform_matrix": {pose}"#)), "fl_x"),
            (with(&format!(r#""camera_angle_x": -1, "transform_matrix": {pose}"#)), "camera_angle_x"),
            (with(r#""fl_x": 8, "frames": [{"transform_matrix": [[0]]}]"#), "frames[0].transform_matrix"),
            (
                with(r#""fl_x": 8, "frames": [{"transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,null,4],[0,0,0,1]]}]"#),
                "frames[0].transform_matrix[2][2]",
            ),
            (with(r#""fl_x": 8, "transform_matrix": [[0,0,0,0],[0,0,0,0],[0,0,0,0],[0,0,0,1]]"#), "singular"),
            (format!(r#"{{"h": 8, "fl_x": 8, "transform_matrix": {pose}}}"#), "w: missing"),
            (format!(r#"{{"w": 0.5, "h": 8, "fl_x": 8, "transform_matrix": {pose}}}"#), "w: 0.5"),
        ];
        for (text, word) in cases {
            let message = read(&text, None).unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("camera.json"), "{message} lacks {word}");
        }
        let message = read_cameras(Path::new("/nowhere/cam.json"), None).unwrap_err().to_string();
        assert!(message.contains("/nowhere/cam.json"), "{message}");
        let message = read(&with(&format!(r#""fl_x": "{}""#, "9".repeat(100_000))), None).unwrap_err().to_string();
        assert!(message.chars().count() < 300, "{} characters", message.chars().count());
    }

    #[test]
    fn null_and_pythons_nan_are_values_that_are_missing() {
        let pose = "[[1,0,0,0],[0,1,0,0],[0,0,1,4],[0,0,0,1]]";
        let text = format!(
            "\u{feff}{{\"w\": 8, \"h\": 6, \"fl_x\": 9, \"cx\": 3, \"frames\": [\r\n\
             {{\"fl_x\": null, \"cx\": NaN, \"cy\": -Infinity, \"fl_y\": null, \"transform_matrix\": {pose}}}]}}"
        );
        let camera = read(&text, None).unwrap()[0];
        assert_eq!((camera.focal, camera.centre), (DVec2::splat(9.0), DVec2::new(3.0, 3.0)));
        assert_eq!(parse_cameras(&text, None).unwrap(), [camera]);
        let said = read(&text.replace("[0,0,1,4]", "[0,0,1,NaN]"), None).unwrap_err().to_string();
        assert!(said.contains("frames[0].transform_matrix[2][3]"), "{said}");
    }

    #[test]
    fn far_cameras_keep_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("utm.json");
        let eye = DVec3::new(512_345.678_012_3, 5_412_345.678_045_6, 321.500_078_9);
        let camera = Camera::with_fov_y(
            64,
            48,
            40.0,
            Camera::look_at(eye, eye + DVec3::new(0.5, -2.0, 0.25), DVec3::Z).unwrap(),
        );
        write_cameras(&path, &[camera.unwrap()]).unwrap();
        let back = read_cameras(&path, None).unwrap()[0];
        // A nanometre, which f32 misses by eight digits.
        assert!((back.position() - eye).abs().max_element() < 2e-9, "{}", back.position() - eye);
        let far = r#"{"w": 8, "h": 8, "fl_x": 8, "transform_matrix": [[1,0,0,1e150],[0,1,0,0],[0,0,1,4],[0,0,0,1]]}"#;
        assert!(read(far, None).unwrap_err().to_string().contains("1e100"));
    }
}
