//! Cameras from the clipboard.

use nstr_camera::camera_file::{cameras_json, parse_cameras};
use serde_json::Value;

use crate::session::Session;

/// Names of the values that tell a camera's field of view.
const FOCAL_NAMES: [&str; 4] = ["fl_x", "fl_y", "camera_angle_x", "camera_angle_y"];

impl Session {
    /// Sets the camera from JSON text: one that was copied, a `transforms.json`, or one of its frames. Where the text holds no
    /// field of view, as the frames of a capture, that of the window stays.
    pub fn paste(&mut self, text: &str, size: (u32, u32)) {
        let completed = self.with_focal(text, size);
        match parse_cameras(completed.as_deref().unwrap_or(text), Some(size)) {
            Ok(cameras) => {
                self.release_view();
                if let Some(camera) = cameras.first() {
                    self.camera = self.camera.framing(camera, self.camera.pivot(), size);
                    self.notify(match completed {
                        Some(_) => "camera pasted; it holds no field of view, so that the window's stays",
                        None => "camera pasted",
                    });
                }
            }
            Err(reason) => self.notify_error(format!("the clipboard holds no camera ({reason})")),
        }
    }

    /// The text with the window's intrinsics, for JSON that holds none.
    fn with_focal(&self, text: &str, size: (u32, u32)) -> Option<String> {
        let mut root = nstr_camera::parse_json(text).ok()?;
        let first = root.get("frames").and_then(|f| f.get(0));
        let has_focal = |value: &Value| FOCAL_NAMES.iter().any(|n| value.get(n).is_some_and(|v| !v.is_null()));
        if has_focal(&root) || first.is_some_and(has_focal) {
            return None;
        }
        // What is copied, but for the pose.
        let mut intrinsics = cameras_json(&[self.camera.camera(size)]);
        intrinsics.remove("frames");
        root.as_object_mut()?.extend(intrinsics);
        Some(root.to_string())
    }
}

#[cfg(test)]
mod tests {
    use glam::DVec2;

    use crate::input::Action;
    use crate::session::Effect;
    use crate::session::tests::{SIZE, session};

    #[test]
    fn a_copied_camera_pastes() {
        let mut s = session();
        s.act(Action::Orbit(DVec2::new(50.0, 20.0)), SIZE);
        let there = s.camera.camera(SIZE);
        let Some(Effect::Copy(text)) = s.act(Action::Copy, SIZE) else { panic!("no text") };
        s.act(Action::Reset, SIZE);
        s.paste(&text, SIZE);
        assert!(s.camera.camera(SIZE).camera_to_world.abs_diff_eq(there.camera_to_world, 1e-9));
        assert!((s.camera.camera(SIZE).focal - there.focal).length() < 1e-6);
        s.paste("hello", SIZE);
        assert!(s.message().unwrap().0.contains("no camera"));
        assert!(s.camera.camera(SIZE).camera_to_world.abs_diff_eq(there.camera_to_world, 1e-9));
    }

    #[test]
    fn a_frame_without_intrinsics_keeps_the_field_of_view() {
        // A frame of a Blender capture as it stands, and the same in a file of its own.
        let frame = r#"{ "file_path": "./train/r_5", "rotation": 0.012, "transform_matrix":
            [[1, 0, 0, 0.5], [0, 0, -1, -3], [0, 1, 0, 0.25], [0, 0, 0, 1]] }"#;
        for text in [frame.to_string(), format!("{{ \"frames\": [{frame}] }}")] {
            let mut s = session();
            s.camera.fov = 51.0;
            s.paste(&text, SIZE);
            assert!((s.camera.eye - glam::DVec3::new(0.5, -3.0, 0.25)).length() < 1e-9, "{:?}", s.message());
            assert!((s.camera.fov - 51.0).abs() < 1e-9);
            assert!(s.message().unwrap().0.contains("field of view"));
        }
        // Its own field of view wins, and a broken frame is still one.
        let mut s = session();
        s.paste(&frame.replacen('{', "{ \"camera_angle_x\": 0.5,", 1), SIZE);
        assert!((s.camera.camera(SIZE).focal.x - 200.0 / 0.25f64.tan()).abs() < 1e-6);
        s.paste(&frame.replace("-3]", "\"x\"]"), SIZE);
        assert!(s.message().unwrap().0.contains("transform_matrix[1][3]"), "{:?}", s.message());
    }
}
