//! Posed pictures of the tea set in the layout of the NeRF-synthetic data: `transforms_{train,test}.json`, one PNG a view.

use std::f64::consts::PI;
use std::path::Path;

use glam::{DMat4, DVec2, DVec3};
use nstr::camera::camera::Camera;
use nstr::camera::orbit::{Orbit, Up};
use nstr::image::Rgba8;

use super::studio::Studio;
use super::teaset::parts;
use super::transforms::{document, rounded};

/// Pixels along each side.
pub const SIDE: u32 = 128;
/// Horizontal field of view (radians) and distance from the origin, as in the NeRF-synthetic scenes.
const ANGLE: f64 = 0.691_111_207_008_366_8;
const DISTANCE: f64 = 4.03;

/// A part of the capture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Split {
    /// Views to train on.
    Train,
    /// Views held out.
    Test,
}

impl Split {
    /// Both parts.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// Name of the folder and of the transforms file.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Test => "test",
        }
    }

    /// Cameras on a spiral over the upper hemisphere, each for an equal part of it. The test's spiral starts where they
    /// lie farthest from the others.
    pub fn cameras(self) -> Vec<Camera> {
        let (count, low, high, first) = match self {
            Split::Train => (40, 0.08, 0.97, 0.0),
            Split::Test => (8, 0.20, 0.85, 0.52),
        };
        let golden = PI * (3.0 - 5f64.sqrt());
        let position = |i: usize| {
            let z = low + (high - low) * (i as f64 + 0.5) / count as f64;
            let around = DVec2::from_angle(first + golden * i as f64) * (1.0 - z * z).sqrt();
            around.extend(z) * DISTANCE
        };
        (0..count).map(|i| camera(position(i))).collect()
    }
}

/// A camera at `eye` that looks at the origin, its matrix rounded as in the file.
fn camera(eye: DVec3) -> Camera {
    // Eyes neither lie at the origin nor straight above it, so there is a matrix.
    let matrix = Camera::look_at(eye, DVec3::ZERO, DVec3::Z).unwrap_or(DMat4::IDENTITY);
    let half = 0.5 * f64::from(SIDE);
    Camera {
        width: SIDE,
        height: SIDE,
        focal: DVec2::splat(half / (0.5 * ANGLE).tan()),
        centre: DVec2::splat(half),
        camera_to_world: rounded(matrix),
    }
}

/// The JSON files: name and text.
pub fn documents() -> Vec<(String, String)> {
    let transforms = Split::ALL.map(|split| {
        let path = |i: usize| format!("\"file_path\": \"./{}/r_{i}\"", split.name());
        let head = format!("\"camera_angle_x\": {ANGLE}");
        (format!("transforms_{}.json", split.name()), document(&head, &split.cameras(), path))
    });
    let orbit = Orbit {
        frames: 24,
        size: (256, 256),
        elevation: 28.0,
        azimuth: -20.0,
        fov: ANGLE.to_degrees(),
        up: Up::Z,
        distance: Some(DISTANCE),
        margin: 1.0,
    };
    // The orbit's values are good, so there are cameras.
    let mut cameras = orbit.cameras((-DVec3::ONE, DVec3::ONE)).unwrap_or_default();
    cameras.iter_mut().for_each(|c| c.camera_to_world = rounded(c.camera_to_world));
    let head = format!("\"w\": 256, \"h\": 256, \"camera_angle_x\": {ANGLE}");
    let path = ("path.json".to_string(), document(&head, &cameras, |i| format!("\"file_path\": \"frame_{i:04}\"")));
    transforms.into_iter().chain([path]).collect()
}

/// The smallest PNG that the encoder's filters lead to.
fn png(image: &Rgba8) -> Result<Vec<u8>, png::EncodingError> {
    let mut best: Option<Vec<u8>> = None;
    for filter in [png::Filter::Adaptive, png::Filter::Paeth, png::Filter::Sub, png::Filter::Up, png::Filter::Avg] {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, image.width, image.height);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
        encoder.set_compression(png::Compression::High);
        encoder.set_filter(filter);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&image.data)?;
        writer.finish()?;
        if best.as_ref().is_none_or(|b| bytes.len() < b.len()) {
            best = Some(bytes);
        }
    }
    Ok(best.unwrap_or_default())
}

/// Writes the whole capture to `folder` and returns its size in bytes.
///
/// # Errors
/// Files that cannot be written.
pub fn write(folder: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    let mut total = 0;
    let mut file = |path: &Path, content: &[u8]| {
        total += content.len();
        std::fs::write(path, content)
    };
    let studio = Studio::new(&parts());
    for split in Split::ALL {
        std::fs::create_dir_all(folder.join(split.name()))?;
        for (i, camera) in split.cameras().iter().enumerate() {
            let bytes = png(&studio.picture(camera))?;
            file(&folder.join(split.name()).join(format!("r_{i}.png")), &bytes)?;
        }
    }
    for (name, text) in documents() {
        file(&folder.join(name), text.as_bytes())?;
    }
    Ok(total)
}
