//! Text of `transforms.json` files.

use std::fmt::Write;

use glam::DMat4;
use nstr::camera::camera::Camera;

/// A matrix rounded to eight digits after the point, as the files have it.
pub fn rounded(matrix: DMat4) -> DMat4 {
    DMat4::from_cols_array(&matrix.to_cols_array().map(|v| (v * 1e8).round() / 1e8 + 0.0))
}

/// A file with the entries `head` and a frame for each camera: the entries that `fields` gives, and the pose.
pub fn document(head: &str, cameras: &[Camera], fields: impl Fn(usize) -> String) -> String {
    let mut text = format!("{{ {head},\n  \"frames\": [\n");
    for (i, camera) in cameras.iter().enumerate() {
        let rows: [String; 4] = std::array::from_fn(|r| {
            let [a, b, c, d] = camera.camera_to_world.row(r).to_array();
            format!("[{a}, {b}, {c}, {d}]")
        });
        let comma = if i + 1 < cameras.len() { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {{ {},\n      \"transform_matrix\": [{}] }}{comma}", fields(i), rows.join(", "));
    }
    text + "  ]\n}\n"
}
