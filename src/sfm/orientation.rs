//! Upright axes for a world that structure from motion left in any attitude and size: z up, the cameras around the origin.

use glam::{DMat3, DMat4, DQuat, DVec3};
use nalgebra::Matrix3;
use nstr_camera::camera::Camera;
use nstr_capture::Similarity;

/// Least spread of the cameras' right axes across their main direction, as a fraction of that along it, at which the direction that
/// all of them are across is known.
const MIN_SPREAD: f64 = 0.02;

/// The similarity after which z is up, the cameras' mean position is the origin and their mean distance from it is 1.
pub(crate) fn upright(cameras: &[Camera]) -> Similarity {
    let count = cameras.len().max(1) as f64;
    let middle = cameras.iter().map(Camera::position).sum::<DVec3>() / count;
    let distance = cameras.iter().map(|c| c.position().distance(middle)).sum::<f64>() / count;
    let scale = if distance > 1e-12 && distance.is_finite() { 1.0 / distance } else { 1.0 };
    let rotation = DMat3::from_quat(DQuat::from_rotation_arc(up(cameras), DVec3::Z));
    Similarity { scale, rotation, translation: -(rotation * middle * scale) }
}

/// The direction up: across the cameras' right axes, which people hold level, as far as these differ; else the cameras' mean.
fn up(cameras: &[Camera]) -> DVec3 {
    let mean = cameras.iter().map(|c| c.axes()[1]).sum::<DVec3>().try_normalize().unwrap_or(DVec3::Z);
    let mut spread = Matrix3::zeros();
    for camera in cameras {
        let right = nalgebra::Vector3::from(camera.axes()[0].to_array());
        spread += right * right.transpose();
    }
    let eigen = spread.symmetric_eigen();
    let mut order = [0, 1, 2];
    order.sort_by(|a, b| eigen.eigenvalues[*a].total_cmp(&eigen.eigenvalues[*b]));
    let [least, second, most] = order.map(|i| eigen.eigenvalues[i]);
    let column = eigen.eigenvectors.column(order[0]);
    let across = DVec3::new(column[0], column[1], column[2]);
    let across = if across.dot(mean) < 0.0 { -across } else { across };
    let is_known = second > MIN_SPREAD * most && least < 0.5 * second && across.dot(mean) > 0.5;
    if is_known && across.is_finite() { across.normalize() } else { mean }
}

/// The camera after a similarity.
pub(crate) fn moved(camera: &Camera, by: &Similarity) -> Camera {
    let [right, up, back] = camera.axes().map(|axis| by.rotation * axis);
    let position = by.apply(camera.position());
    let camera_to_world = DMat4::from_cols(right.extend(0.0), up.extend(0.0), back.extend(0.0), position.extend(1.0));
    Camera { camera_to_world, ..*camera }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cameras on a circle, looking at its middle and down, and their world turned, moved and made larger.
    fn walk(turn: DQuat, down: f64) -> Vec<Camera> {
        let at = |i: usize| {
            let (s, c) = (i as f64 * 0.3).sin_cos();
            let eye = DVec3::new(4.0 * c, 4.0 * s, 1.5);
            let pose = Camera::look_at(eye, DVec3::new(0.0, 0.0, 1.5 - down), DVec3::Z).unwrap();
            let world = DMat4::from_scale_rotation_translation(DVec3::ONE, turn, DVec3::new(30.0, -7.0, 2.0));
            Camera::with_fov_y(40, 30, 50.0, world * pose).unwrap()
        };
        (0..21).map(at).collect()
    }

    #[test]
    fn up_is_found_from_cameras_that_look_down() {
        let turn = DQuat::from_scaled_axis(DVec3::new(1.0, -2.0, 0.5));
        let cameras = walk(turn, 3.0);
        let similarity = upright(&cameras);
        assert!((similarity.rotation * (turn * DVec3::Z)).dot(DVec3::Z) > 1.0 - 1e-9);
        let moved: Vec<Camera> = cameras.iter().map(|c| moved(c, &similarity)).collect();
        let middle = moved.iter().map(Camera::position).sum::<DVec3>() / 21.0;
        let distance = moved.iter().map(|c| c.position().length()).sum::<f64>() / 21.0;
        assert!(middle.length() < 1e-9 && (distance - 1.0).abs() < 1e-9);
        assert!(moved.iter().all(|c| c.validate().is_ok() && c.position().z.abs() < 1e-9));
        // Nothing but the common motion has changed.
        let left = nstr_capture::pose_errors(&moved, &cameras).unwrap();
        assert!(left.rotation_degrees < 1e-5 && left.position < 1e-9);
    }

    #[test]
    fn cameras_that_look_the_same_way_have_their_mean() {
        let turn = DQuat::from_scaled_axis(DVec3::new(0.4, 0.2, 0.1));
        let pose = |x: f64| DMat4::from_rotation_translation(turn, turn * DVec3::new(x, 0.0, 0.0));
        let cameras: Vec<Camera> =
            (0..5).map(|i| Camera::with_fov_y(40, 30, 50.0, pose(f64::from(i))).unwrap()).collect();
        let similarity = upright(&cameras);
        assert!((similarity.rotation * (turn * DVec3::Y)).dot(DVec3::Z) > 1.0 - 1e-9);
    }

    #[test]
    fn cameras_at_one_place_keep_their_scale() {
        let one = vec![walk(DQuat::IDENTITY, 0.0)[0]; 3];
        assert_eq!(upright(&one).scale, 1.0);
    }
}
