//! The capture of the farmyard, as a person with a phone would take it: two rounds through the yard, poses that are found a little
//! wrong, and an exposure and white balance that move from image to image.
//!
//! `transforms.json` has the poses as found, `transforms_truth.json` the true ones with the exposures, `points.ply` sparse points,
//! `path.json` a walk to render. Everything that looks random is a hash of the image's number.

use std::f64::consts::TAU;
use std::path::Path;

use glam::{DMat3, DMat4, DQuat, DVec2, DVec3, IVec3};
use nstr::camera::camera::Camera;
use nstr::image::Rgba8;

use super::farmyard::farmyard;
use super::jpeg;
use super::landscape::{Landscape, developed};
use super::noise::hash;
use super::sparse_points::{ply, points};
use super::transforms::{document, rounded};

/// Pixels along each side.
pub const SIDE: u32 = 200;
/// Images of the first round, which look into the yard, and of the second, which look out.
const ROUNDS: [usize; 2] = [38, 22];
/// Focal length in pixels: 65 degrees.
const FOCAL: f64 = 157.0;
/// Quality of the JPEG files.
pub const QUALITY: u32 = 72;
/// Name of the file of sparse points.
pub const POINTS: &str = "points.ply";
/// Mean error of the poses that are found: degrees, and a fraction of the cameras' mean distance from their middle.
pub const POSE_ERRORS: (f64, f64) = (0.3, 0.003);
/// Greatest change of all channels together, and of one of them, to either side.
const EXPOSURES: (f64, f64) = (0.11, 0.035);

/// An image to take.
pub struct Shot {
    /// The camera.
    pub camera: Camera,
    /// The camera with the pose that is found.
    pub found: Camera,
    /// Gain of the image's sRGB values, channel by channel.
    pub gain: [f64; 3],
}

impl Shot {
    /// Name of the image of shot `i`, from the capture's folder.
    pub fn file(i: usize) -> String {
        format!("images/{i:03}.jpg")
    }

    /// Image of the shot from the light that its camera sees.
    pub fn image(&self, light: &[DVec3]) -> Rgba8 {
        // Of linear light, so that sRGB values change by `gain`: see `offset`.
        developed(light, (SIDE, SIDE), self.gain.map(|g| g.powf(2.4)))
    }

    /// Change of sRGB values that goes with the gain.
    ///
    /// Light that is g times stronger has the sRGB value G·p + 0.055·(G − 1) with G = g^(1/2.4) where it had p, for the curve is
    /// 1.055·x^(1/2.4) − 0.055 but for its dark end.
    pub fn offset(&self) -> [f64; 3] {
        self.gain.map(|g| 0.055 * (g - 1.0))
    }
}

/// A number from −1 to 1 that belongs to image `i`.
fn number(i: usize, seed: u32) -> f64 {
    2.0 * hash(IVec3::new(i as i32, 0, 0), seed) - 1.0
}

/// A unit vector that belongs to image `i`.
fn axis(i: usize, seed: u32) -> DVec3 {
    let z = number(i, seed);
    (DVec2::from_angle(0.5 * TAU * number(i, seed + 1)) * (1.0 - z * z).sqrt()).extend(z)
}

/// Digits after the point that exposures have in the file.
fn four_digits(v: f64) -> f64 {
    (v * 1e4).round() / 1e4
}

/// All shots, in their order.
pub fn shots() -> Vec<Shot> {
    let [inward, outward] = ROUNDS;
    let poses: Vec<DMat4> = (0..inward).map(looking_in).chain((0..outward).map(looking_out)).map(rounded).collect();
    let eyes = || poses.iter().map(|p| p.w_axis.truncate());
    let middle = eyes().sum::<DVec3>() / poses.len() as f64;
    let size = eyes().map(|e| e.distance(middle)).sum::<f64>() / poses.len() as f64;
    let shot = |(i, &pose): (usize, &DMat4)| {
        let common = 1.0 + EXPOSURES.0 * number(i, 90);
        let gain = [91, 92, 93].map(|seed| four_digits(common * (1.0 + EXPOSURES.1 * number(i, seed))));
        Shot { camera: camera(pose), found: camera(rounded(disturbed(pose, i, size))), gain }
    };
    poses.iter().enumerate().map(shot).collect()
}

fn camera(camera_to_world: DMat4) -> Camera {
    let centre = DVec2::splat(0.5 * f64::from(SIDE));
    Camera { width: SIDE, height: SIDE, focal: DVec2::splat(FOCAL), centre, camera_to_world }
}

/// Pose of an eye that looks at a target; they never coincide.
fn pose(eye: DVec3, target: DVec3) -> DMat4 {
    Camera::look_at(eye, target, DVec3::Z).unwrap_or(DMat4::IDENTITY)
}

/// Image `i` of the first round: across the middle of the yard.
fn looking_in(i: usize) -> DMat4 {
    let turn = TAU * (i as f64 + 0.3 * number(i, 94)) / ROUNDS[0] as f64;
    let reach = 3.85 + 0.50 * (2.0 * turn + 0.7).sin() + 0.12 * number(i, 95);
    let eye = (DVec2::from_angle(turn) * reach).extend(1.48 + 0.28 * (3.0 * turn + 1.0).sin() + 0.06 * number(i, 96));
    let target = DVec3::new(0.45 * number(i, 97), 0.45 * number(i, 98), 1.02 + 0.22 * number(i, 99));
    pose(eye, target)
}

/// Image `i` of the second round: nearer to the middle, away from it.
fn looking_out(i: usize) -> DMat4 {
    let turn = TAU * (i as f64 + 0.5) / ROUNDS[1] as f64;
    let reach = 2.85 + 0.25 * (3.0 * turn).sin();
    let eye = (DVec2::from_angle(turn) * reach).extend(1.58 + 0.20 * (2.0 * turn + 0.4).sin());
    // Not straight ahead, and to the other side each time.
    let aside = if i.is_multiple_of(2) { 0.42 } else { -0.38 };
    let ahead = DVec2::from_angle(turn + aside + 0.12 * number(i, 100)).extend(0.04 + 0.09 * number(i, 101));
    pose(eye, eye + ahead)
}

/// The pose of image `i` as it is found: turned about its own position, and moved.
fn disturbed(pose: DMat4, i: usize, size: f64) -> DMat4 {
    let (degrees, share) = POSE_ERRORS;
    let angle = degrees.to_radians() * (1.0 + 0.5 * number(i, 102));
    let shift = share * size * (1.0 + 0.5 * number(i, 103));
    let axes = DMat3::from_quat(DQuat::from_axis_angle(axis(i, 104), angle)) * DMat3::from_mat4(pose);
    let eye = pose.w_axis.truncate() + axis(i, 106) * shift;
    DMat4::from_cols(axes.x_axis.extend(0.0), axes.y_axis.extend(0.0), axes.z_axis.extend(0.0), eye.extend(1.0))
}

/// Once around the yard, for `nstr render --path`.
fn path() -> Vec<Camera> {
    const FRAMES: usize = 48;
    let at = |i: usize| {
        let turn = TAU * i as f64 / FRAMES as f64;
        let eye = (DVec2::from_angle(turn) * (3.7 + 0.3 * (2.0 * turn).sin())).extend(1.5 + 0.2 * (3.0 * turn).sin());
        Camera { width: 320, centre: DVec2::new(160.0, 100.0), ..camera(rounded(pose(eye, DVec3::Z))) }
    };
    (0..FRAMES).map(at).collect()
}

/// The JSON files: name and text.
pub fn documents() -> Vec<(&'static str, String)> {
    let shots = shots();
    let head = |width: u32| {
        let half = 0.5 * f64::from(width);
        format!(
            "\"camera_model\": \"PINHOLE\", \"w\": {width}, \"h\": {SIDE}, \"fl_x\": {FOCAL}, \"fl_y\": {FOCAL}, \"cx\": {half}, \"cy\": {}",
            0.5 * f64::from(SIDE)
        )
    };
    let file = |i: usize| format!("\"file_path\": \"{}\"", Shot::file(i));
    let exposed = |i: usize| {
        let (gain, offset) = (shots[i].gain, shots[i].offset().map(|o| (o * 1e6).round() / 1e6));
        format!("{},\n      \"exposure\": {{ \"gain\": {gain:?}, \"offset\": {offset:?} }}", file(i))
    };
    let cameras = |of: fn(&Shot) -> Camera| shots.iter().map(of).collect::<Vec<Camera>>();
    let with_points = format!("{},\n  \"ply_file_path\": \"{POINTS}\"", head(SIDE));
    vec![
        ("transforms.json", document(&with_points, &cameras(|s| s.found), file)),
        ("transforms_truth.json", document(&with_points, &cameras(|s| s.camera), exposed)),
        ("path.json", document(&head(320), &path(), |i| format!("\"file_path\": \"frame_{i:04}\""))),
    ]
}

/// Text of the file of sparse points.
pub fn points_file(landscape: &Landscape) -> String {
    let cameras: Vec<Camera> = shots().iter().map(|s| s.camera).collect();
    ply(&points(landscape, &cameras))
}

/// Writes the whole capture to `folder` and returns its size in bytes.
///
/// # Errors
/// Files that cannot be written.
pub fn write(folder: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder.join("images"))?;
    let mut total = 0;
    let mut file = |name: &str, content: &[u8]| {
        total += content.len();
        std::fs::write(folder.join(name), content)
    };
    let landscape = Landscape::new(farmyard());
    for (i, shot) in shots().iter().enumerate() {
        let image = shot.image(&landscape.light(&shot.camera));
        file(&Shot::file(i), &jpeg::encode(&image, QUALITY))?;
    }
    file(POINTS, points_file(&landscape).as_bytes())?;
    for (name, text) in documents() {
        file(name, text.as_bytes())?;
    }
    Ok(total)
}
