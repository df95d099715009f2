//! Sparse points of the farmyard, such as structure from motion leaves, but exactly where the surfaces are.

use std::fmt::Write;

use glam::{DVec2, DVec3, IVec3};
use nstr::camera::camera::Camera;

use super::landscape::Landscape;
use super::noise::hash;

/// Places in each image that are tried for a point; those in the sky have none.
const PLACES: i32 = 10;

/// Points that the cameras see with their sRGB colours, a few of each image. Positions are rounded to millimetres.
pub fn points(landscape: &Landscape, cameras: &[Camera]) -> Vec<(DVec3, [u8; 3])> {
    let seen = |(i, camera): (i32, &Camera)| {
        let place = |k: i32| {
            let size = DVec2::new(camera.width.into(), camera.height.into());
            let at = DVec2::new(hash(IVec3::new(i, k, 0), 110), hash(IVec3::new(i, k, 0), 111)) * size;
            // Adding 0 turns −0 into 0.
            landscape.surface(camera, at).map(|(p, colour)| ((p * 1e3).round() / 1e3 + 0.0, colour))
        };
        (0..PLACES).filter_map(place).collect::<Vec<_>>()
    };
    (0..).zip(cameras).flat_map(seen).collect()
}

/// The points as a PLY file in text.
pub fn ply(points: &[(DVec3, [u8; 3])]) -> String {
    let mut text = format!("ply\nformat ascii 1.0\nelement vertex {}\n", points.len());
    for property in ["float x", "float y", "float z", "uchar red", "uchar green", "uchar blue"] {
        text += &format!("property {property}\n");
    }
    text += "end_header\n";
    for (DVec3 { x, y, z }, [red, green, blue]) in points {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{x} {y} {z} {red} {green} {blue}");
    }
    text
}
