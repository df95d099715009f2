//! Graded background behind a surface, with the object's shadow on the ground.

use std::sync::Arc;

use nstr_camera::camera::Camera;
use nstr_image::colour::linear_from_srgb;
use rayon::prelude::*;

use crate::frame::Frame;
use crate::ground_shadow::GroundShadow;

/// sRGB values of the background at the upper and the lower edge of a picture.
pub const BACKDROP_SRGB: ([f32; 3], [f32; 3]) = ([0.30, 0.32, 0.35], [0.72, 0.725, 0.73]);

/// Background of a picture.
#[derive(Clone, Debug)]
pub struct Backdrop {
    ground: Option<Arc<GroundShadow>>,
}

/// Linear colour of the background without a shadow, `v` from the upper edge (0) to the lower (1).
fn gradient(v: f32) -> [f32; 3] {
    let t = v.clamp(0.0, 1.0);
    // Even to the eye: mixed in sRGB, with the change in the middle.
    let t = t * t * (3.0 - 2.0 * t);
    let (top, bottom) = BACKDROP_SRGB;
    std::array::from_fn(|c| linear_from_srgb(top[c] + (bottom[c] - top[c]) * t))
}

impl Backdrop {
    /// A background with the shadow on `ground`, or without one.
    pub fn new(ground: Option<Arc<GroundShadow>>) -> Self {
        Self { ground }
    }

    /// The ground that has a shadow, where there is one.
    pub fn ground(&self) -> Option<&Arc<GroundShadow>> {
        self.ground.as_ref()
    }

    /// Puts the background behind the colours of a frame that `camera` saw on nothing, which become opaque.
    pub fn fill(&self, frame: &mut Frame, camera: &Camera) {
        let width = frame.width.max(1) as usize;
        frame.colour.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
            let light = self.row(camera, y);
            for (x, colour) in row.iter_mut().enumerate().filter(|(_, c)| c[3] < 1.0) {
                let behind = light(x);
                let left = 1.0 - colour[3];
                (0..3).for_each(|c| colour[c] += left * behind[c]);
                colour[3] = 1.0;
            }
        });
    }

    /// Linear colours of the pixels of row `y` of a picture of `camera`.
    pub fn row<'a>(&'a self, camera: &'a Camera, y: usize) -> impl Fn(usize) -> [f32; 3] + 'a {
        let base = gradient((y as f32 + 0.5) / camera.height.max(1) as f32);
        let ground = self.ground.as_ref().and_then(|ground| ground.row(camera, y as f64 + 0.5));
        move |x| {
            let light = ground.as_ref().map_or(1.0, |light| light(x as f64 + 0.5));
            base.map(|v| v * light)
        }
    }
}

#[cfg(test)]
mod tests {
    use glam::{DVec3, Vec3};
    use nstr_image::colour::Background;
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;
    use crate::{Look, RenderSettings, SphereTracer, TracerSettings};

    #[test]
    fn the_object_stays_and_stands_in_its_shadow() {
        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let tracer = SphereTracer::new(&ball, Cube::default(), TracerSettings::default()).unwrap();
        let pose = Camera::look_at(DVec3::new(0.5, 1.4, 2.6), DVec3::splat(0.45), DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(160, 120, 40.0, pose).unwrap();
        let settings = RenderSettings {
            background: Background::Transparent,
            shading: Look::Studio.shading(),
            ..Default::default()
        };
        let bare = tracer.render(&camera, &settings).unwrap();
        let mut filled = bare.clone();
        tracer.backdrop(Vec3::Y).fill(&mut filled, &camera);
        let at = |frame: &Frame, x: usize, y: usize| frame.colour[y * 160 + x];
        assert_eq!(at(&bare, 80, 60), at(&filled, 80, 60));
        assert!(filled.colour.iter().all(|c| c[3] == 1.0));
        // The contact is much darker than the ground beside it.
        let lowest = (0..120).rev().find(|y| at(&bare, 80, *y)[3] == 1.0).unwrap();
        let (contact, beside) = (at(&filled, 80, lowest + 3), at(&filled, 4, lowest + 3));
        assert!(contact[0] < 0.75 * beside[0], "{contact:?} {beside:?}");
        assert_eq!(beside[..3], gradient((lowest as f32 + 3.5) / 120.0));
        // From below there is no ground.
        let pose = Camera::look_at(DVec3::new(0.5, -1.4, 2.6), DVec3::splat(0.5), DVec3::Y).unwrap();
        let below = Camera { ..Camera::with_fov_y(160, 120, 40.0, pose).unwrap() };
        let row = tracer.backdrop(Vec3::Y);
        let row = row.row(&below, 100);
        assert_eq!(row(80), gradient(100.5 / 120.0));
    }
}
