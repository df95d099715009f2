//! Synthetic captures for tests.

use std::io::Write;

use flate2::Crc;
use flate2::write::DeflateEncoder;
use glam::{DMat4, DVec2, DVec3};
use nstr_camera::camera::Camera;

use crate::lens::Lens;
use crate::view::{Image, View};

/// Poses at `distance` around `middle` at elevations from −30° to 60°, looking at it, z up.
pub fn ring(count: usize, distance: f64, middle: DVec3) -> Vec<DMat4> {
    let pose = |i: usize| {
        let azimuth = i as f64 * 2.399_963;
        let elevation = (-30.0 + 90.0 * ((i * 7) % count) as f64 / count.max(2) as f64).to_radians();
        let (s, c) = azimuth.sin_cos();
        let out = DVec3::new(elevation.cos() * c, elevation.cos() * s, elevation.sin());
        Camera::look_at(middle + out * distance, middle, DVec3::Z).unwrap()
    };
    (0..count).map(pose).collect()
}

/// Square views of an opaque ball before nothing.
pub fn ball_views(poses: &[DMat4], side: u32, middle: DVec3, radius: f64) -> Vec<View> {
    poses.iter().enumerate().map(|(i, pose)| ball_view(i, *pose, side, middle, radius)).collect()
}

fn ball_view(index: usize, pose: DMat4, side: u32, middle: DVec3, radius: f64) -> View {
    let camera = Camera {
        width: side,
        height: side,
        focal: DVec2::splat(side as f64 * 1.4),
        centre: DVec2::splat(side as f64 * 0.5),
        camera_to_world: pose,
    };
    let pixel = |i: u32| {
        let ray = camera.ray((i % side) as f64 + 0.5, (i / side) as f64 + 0.5);
        let to = middle - ray.origin;
        let miss = (to - ray.direction * to.dot(ray.direction)).length();
        if miss <= radius { [200, 100, 50, 255] } else { [0; 4] }
    };
    let image = Image { width: side, height: side, pixels: (0..side * side).map(pixel).collect() };
    View { name: format!("v{index:02}"), camera, lens: Lens::Pinhole, image, mask: None, depth: None }
}

/// A ZIP archive of `NAME.npy` files as NumPy writes it: with an extra field in the local headers alone.
pub fn archive(members: &[(&str, Vec<u8>)], is_deflated: bool) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut packed = content.clone();
        if is_deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            packed = encoder.finish().unwrap();
        }
        let mut crc = Crc::new();
        crc.update(content);
        let name = format!("{name}.npy");
        // Version, flags, method, time and date; then checksum, both sizes and the length of the name.
        let method = [20u16, 0, if is_deflated { 8 } else { 0 }, 0, 0].map(u16::to_le_bytes).concat();
        let sizes = [crc.sum(), packed.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat();
        let length = (name.len() as u16).to_le_bytes();
        let place = (bytes.len() as u32).to_le_bytes();
        let rest = [&method[..], &sizes, &length].concat();
        bytes.extend([&b"PK\x03\x04"[..], &rest, &[4, 0], name.as_bytes(), &[1, 0, 0, 0], &packed].concat());
        directory.extend([&b"PK\x01\x02\x14\0"[..], &rest, &[0; 12], &place, name.as_bytes()].concat());
    }
    let (start, size) = (bytes.len() as u32, directory.len() as u32);
    let count = (members.len() as u16).to_le_bytes();
    bytes.extend(directory);
    let ends = [size, start].map(u32::to_le_bytes).concat();
    bytes.extend([&b"PK\x05\x06"[..], &[0; 4], &count, &count, &ends, &[0, 0]].concat());
    bytes
}
