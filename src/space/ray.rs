//! Rays, and their intersection with the unit cube.

use glam::{DVec3, Vec3};

/// A ray in world space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ray {
    /// Start: the camera's position.
    pub origin: DVec3,
    /// Unit direction.
    pub direction: DVec3,
    /// Cosine between the ray and the viewing axis: `depth.z = depth.ray · cosine`.
    pub cosine: f64,
}

/// Intersection of a ray and the unit cube: distances of entry and exit, and the outward normal of the face that it enters
/// through (zero where it starts within).
#[inline]
pub fn ray_box(origin: DVec3, direction: DVec3) -> Option<(f64, f64, Vec3)> {
    let (mut enter, mut exit, mut face) = (0.0f64, f64::INFINITY, Vec3::ZERO);
    for axis in 0..3 {
        let (o, d) = (origin[axis], direction[axis]);
        if d == 0.0 {
            if !(0.0..=1.0).contains(&o) {
                return None;
            }
            continue;
        }
        let (a, b) = (-o / d, (1.0 - o) / d);
        let (near, far) = (a.min(b), a.max(b));
        if near > enter {
            enter = near;
            face = Vec3::ZERO;
            face[axis] = -d.signum() as f32;
        }
        exit = exit.min(far);
    }
    (enter < exit).then_some((enter, exit, face))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ray_box_finds_entry_exit_and_face() {
        let (a, b, face) = ray_box(DVec3::new(0.5, 0.25, 3.0), DVec3::NEG_Z).unwrap();
        assert_eq!((a, b, face), (2.0, 3.0, Vec3::Z));
        let (a, b, face) = ray_box(DVec3::splat(0.5), DVec3::X).unwrap();
        assert_eq!((a, b, face), (0.0, 0.5, Vec3::ZERO));
        assert!(ray_box(DVec3::new(0.5, 1.5, 3.0), DVec3::NEG_Z).is_none());
        assert!(ray_box(DVec3::new(0.5, 0.5, 3.0), DVec3::Z).is_none());
    }
}
