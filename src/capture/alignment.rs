//! Similarities between two sets of cameras (Umeyama 1991, eqs. 38 to 43), and the differences that they leave.
//!
//! Poses that were found from images alone are known up to such a similarity: only what it leaves is an error.

use glam::{DMat3, DVec3};
use nalgebra::{Matrix3, Vector3};
use nstr_camera::camera::Camera;

/// A rotation, a uniform scale and a translation: `scale · rotation · p + translation`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Factor of lengths, above 0.
    pub scale: f64,
    /// Rotation.
    pub rotation: DMat3,
    /// Translation.
    pub translation: DVec3,
}

impl Similarity {
    /// The similarity that brings `from` nearest to `to`, point by point, in the mean of squares.
    ///
    /// `None` for fewer than 3 points, different numbers of points, or points that all lie at one place.
    pub fn between(from: &[DVec3], to: &[DVec3]) -> Option<Self> {
        if from.len() != to.len() || from.len() < 3 {
            return None;
        }
        let count = from.len() as f64;
        let mean = |points: &[DVec3]| points.iter().sum::<DVec3>() / count;
        let (a, b) = (mean(from), mean(to));
        let variance = from.iter().map(|p| (*p - a).length_squared()).sum::<f64>() / count;
        let vector = |v: DVec3| Vector3::new(v.x, v.y, v.z);
        let pair = |(p, q): (&DVec3, &DVec3)| vector(*q - b) * vector(*p - a).transpose();
        let covariance: Matrix3<f64> = from.iter().zip(to).map(pair).sum::<Matrix3<f64>>() / count;
        if !(variance > 0.0 && covariance.iter().all(|v| v.is_finite())) {
            return None;
        }
        let svd = covariance.svd(true, true);
        let (u, v_t) = (svd.u?, svd.v_t?);
        // A reflection fits mirrored points better, but is no motion: the axis of least weight is turned instead.
        let mut signs = Vector3::new(1.0, 1.0, 1.0);
        if u.determinant() * v_t.determinant() < 0.0 {
            signs[svd.singular_values.imin()] = -1.0;
        }
        let r = u * Matrix3::from_diagonal(&signs) * v_t;
        let rotation = DMat3::from_cols_array(&std::array::from_fn(|i| r[(i % 3, i / 3)]));
        let scale = svd.singular_values.dot(&signs) / variance;
        (scale > 0.0).then(|| Self { scale, rotation, translation: b - rotation * a * scale })
    }

    /// The image of a point.
    pub fn apply(&self, point: DVec3) -> DVec3 {
        self.rotation * point * self.scale + self.translation
    }
}

/// Differences of cameras from the true ones after the similarity that fits their positions best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoseErrors {
    /// Mean angle between the orientations, degrees.
    pub rotation_degrees: f64,
    /// Mean distance between the positions, as a fraction of the true ones' mean distance from their middle.
    pub position: f64,
}

/// Errors of the poses of `found` against those of `truth`, camera by camera; `None` where no similarity can be found.
pub fn pose_errors(found: &[Camera], truth: &[Camera]) -> Option<PoseErrors> {
    let positions = |cameras: &[Camera]| cameras.iter().map(Camera::position).collect::<Vec<_>>();
    let (from, to) = (positions(found), positions(truth));
    let similarity = Similarity::between(&from, &to)?;
    let count = to.len() as f64;
    let middle = to.iter().sum::<DVec3>() / count;
    let size = to.iter().map(|p| p.distance(middle)).sum::<f64>() / count;
    let position = from.iter().zip(&to).map(|(p, q)| similarity.apply(*p).distance(*q)).sum::<f64>() / count / size;
    let angle = |(a, b): (&Camera, &Camera)| {
        let (a, b) = (similarity.rotation * DMat3::from_cols_slice(&flat(a)), DMat3::from_cols_slice(&flat(b)));
        // The chord between two rotations is 2√2 times the sine of half their angle.
        let chord = (a - b).to_cols_array().iter().map(|v| v * v).sum::<f64>().sqrt();
        2.0 * (chord / 8f64.sqrt()).min(1.0).asin().to_degrees()
    };
    let rotation_degrees = found.iter().zip(truth).map(angle).sum::<f64>() / count;
    Some(PoseErrors { rotation_degrees, position })
}

/// The axes of a camera, one after the other.
fn flat(camera: &Camera) -> Vec<f64> {
    camera.axes().iter().flat_map(|axis| axis.to_array()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ring;
    use glam::{DMat4, DQuat};

    fn cameras(poses: &[DMat4]) -> Vec<Camera> {
        poses.iter().map(|pose| Camera::with_fov_y(100, 100, 40.0, *pose).unwrap()).collect()
    }

    #[test]
    fn a_similarity_is_found_again() {
        let from: Vec<DVec3> = ring(9, 3.0, DVec3::new(1.0, 2.0, 3.0)).iter().map(|p| p.w_axis.truncate()).collect();
        let rotation = DMat3::from_quat(DQuat::from_scaled_axis(DVec3::new(0.3, -1.1, 0.7)));
        let wanted = Similarity { scale: 2.5, rotation, translation: DVec3::new(-4.0, 0.5, 9.0) };
        let to: Vec<DVec3> = from.iter().map(|p| wanted.apply(*p)).collect();
        let found = Similarity::between(&from, &to).unwrap();
        assert!((found.scale - 2.5).abs() < 1e-12 && (found.translation - wanted.translation).length() < 1e-11);
        assert!(found.rotation.abs_diff_eq(rotation, 1e-12));
        // Mirrored points have the nearest rotation, not a reflection.
        let mirrored: Vec<DVec3> = from.iter().map(|p| DVec3::new(-p.x, p.y, p.z)).collect();
        let found = Similarity::between(&from, &mirrored).unwrap();
        assert!((found.rotation.determinant() - 1.0).abs() < 1e-9);
        assert!(Similarity::between(&from[..2], &to[..2]).is_none());
        assert!(Similarity::between(&[DVec3::ONE; 4], &to[..4]).is_none());
    }

    #[test]
    fn errors_of_poses_do_not_count_what_all_share() {
        let poses = ring(12, 4.0, DVec3::ZERO);
        let truth = cameras(&poses);
        let turn = DMat4::from_scale_rotation_translation(
            DVec3::splat(1.7),
            DQuat::from_scaled_axis(DVec3::new(0.2, 0.4, -0.1)),
            DVec3::new(3.0, 2.0, 1.0),
        );
        let moved: Vec<DMat4> = poses.iter().map(|pose| turn * *pose).collect();
        let none = pose_errors(&cameras(&moved), &truth).unwrap();
        assert!(none.rotation_degrees < 1e-5 && none.position < 1e-9, "{none:?}");
        // Every camera turned by one degree about an axis of its own, to either side.
        let turned: Vec<DMat4> = poses
            .iter()
            .enumerate()
            .map(|(i, pose)| *pose * DMat4::from_rotation_y(if i % 2 == 0 { 1f64 } else { -1.0 }.to_radians()))
            .collect();
        let one = pose_errors(&cameras(&turned), &truth).unwrap();
        assert!((one.rotation_degrees - 1.0).abs() < 1e-6 && one.position < 1e-9, "{one:?}");
    }
}
