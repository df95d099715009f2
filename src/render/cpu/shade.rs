//! From a hit to a colour, in linear light.

use glam::Vec3;
use nstr_camera::camera::Camera;
use nstr_image::colour::linear_from_srgb;

use crate::shading::{Shading, ShadingMode};
use crate::tone_curve::tone_curve;

/// A hit as shading sees it; directions in world axes.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// Unit normal towards the viewer.
    pub normal: Vec3,
    /// Unit direction of the ray.
    pub direction: Vec3,
    /// Fraction of the key light that arrives.
    pub lit: f32,
    /// Fraction of the sky that is open.
    pub open: f32,
}

/// Everything of a frame that shading needs, made once.
pub struct Shader {
    shading: Shading,
    albedo: Vec3,
    light: Vec3,
    axes: [Vec3; 3],
    up: Vec3,
}

impl Shader {
    /// Prepares shading for a camera.
    pub fn new(shading: Shading, camera: &Camera) -> Self {
        Self {
            albedo: Vec3::from_array(shading.albedo),
            light: shading.light_direction(camera),
            axes: camera.axes().map(|a| a.as_vec3()),
            up: shading.up.try_normalize().unwrap_or(Vec3::Y),
            shading,
        }
    }

    /// Unit direction towards the key light.
    pub fn light(&self) -> Vec3 {
        self.light
    }

    /// Linear colour of a hit, 0 to 1.
    pub fn colour(&self, s: &Surface) -> Vec3 {
        let colour = match self.shading.mode {
            ShadingMode::Studio => self.studio(s),
            ShadingMode::Headlight => {
                let facing = s.normal.dot(-s.direction).max(0.0);
                self.albedo * (0.06 + 1.1 * facing) * s.open
            }
            ShadingMode::Matcap => self.matcap(s),
            ShadingMode::Normals => (Vec3::splat(0.5) + 0.5 * s.normal).map(linear_from_srgb) * (0.25 + 0.75 * s.open),
        };
        colour.map(tone_curve)
    }

    fn studio(&self, s: &Surface) -> Vec3 {
        let key = s.normal.dot(self.light).max(0.0) * s.lit;
        let sky = 0.5 + 0.5 * s.normal.dot(self.up);
        let view = -s.direction;
        let sky_colour = Vec3::new(0.43, 0.47, 0.54) * sky + Vec3::new(0.24, 0.21, 0.19) * (1.0 - sky);
        // Light between near walls comes from the walls: open stays above 0 and takes the material's colour.
        let open = Vec3::splat(s.open) / (Vec3::ONE - self.albedo * 0.5 * (1.0 - s.open));
        let fill = s.normal.dot(view).max(0.0) * 0.10;
        let diffuse = self.albedo * (Vec3::new(1.0, 0.955, 0.88) * key * 1.15 + (sky_colour + fill) * open);
        let half = (self.light + view).normalize_or_zero();
        let glint = s.normal.dot(half).max(0.0).powi(48) * 0.06 * s.lit * (key > 0.0) as u32 as f32;
        let rim = (1.0 - s.normal.dot(view).max(0.0)).powi(4) * 0.10 * sky * s.open;
        diffuse + Vec3::splat(glint) + Vec3::new(0.8, 0.9, 1.0) * rim
    }

    fn matcap(&self, s: &Surface) -> Vec3 {
        let [right, up, back] = self.axes;
        let n = Vec3::new(s.normal.dot(right), s.normal.dot(up), s.normal.dot(back));
        let wrap = |light: Vec3, w: f32| ((n.dot(light.normalize()) + w) / (1.0 + w)).max(0.0);
        let key = wrap(Vec3::new(-0.5, 0.7, 0.6), 0.3);
        let fill = wrap(Vec3::new(0.8, -0.1, 0.4), 0.5);
        let rim = (1.0 - n.z.max(0.0)).powi(3) * wrap(Vec3::new(0.7, 0.5, -0.4), 0.2);
        let half = Vec3::new(-0.5, 0.7, 1.6).normalize();
        let gloss = n.dot(half).max(0.0).powi(24) * 0.16;
        let clay = self.albedo * Vec3::new(1.18, 0.95, 0.83);
        clay * (key * key * 0.95 + 0.05)
            + clay * Vec3::new(0.55, 0.7, 0.95) * fill * 0.30
            + Vec3::splat(gloss)
            + Vec3::new(0.75, 0.85, 1.0) * rim * 0.22
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DVec3;

    fn camera() -> Camera {
        let pose = Camera::look_at(DVec3::new(2.0, 1.0, 3.0), DVec3::ZERO, DVec3::Y).unwrap();
        Camera::with_fov_y(10, 10, 40.0, pose).unwrap()
    }

    #[test]
    fn colours_stay_in_range_for_every_normal() {
        let camera = camera();
        for mode in [ShadingMode::Studio, ShadingMode::Headlight, ShadingMode::Matcap, ShadingMode::Normals] {
            let shader = Shader::new(Shading { mode, albedo: [1.0; 3], ..Shading::studio() }, &camera);
            for i in 0..500 {
                let (z, a) = (1.0 - 2.0 * (i as f32 + 0.5) / 500.0, i as f32 * 2.399_963);
                let r = (1.0 - z * z).sqrt();
                let normal = Vec3::new(r * a.cos(), r * a.sin(), z);
                let c = shader.colour(&Surface { normal, direction: -normal, lit: 1.0, open: 1.0 });
                assert!(c.min_element() >= 0.0 && c.max_element() <= 1.0, "{mode:?} {normal} {c}");
            }
        }
    }

    #[test]
    fn the_lit_side_is_brighter_and_occlusion_darkens() {
        let camera = camera();
        let shader = Shader::new(Shading::default(), &camera);
        let at = |normal: Vec3, lit: f32, open: f32| {
            shader.colour(&Surface { normal, direction: -camera.axes()[2].as_vec3(), lit, open }).element_sum()
        };
        let light = shader.light();
        assert!(at(light, 1.0, 1.0) > at(-light, 1.0, 1.0) * 2.0);
        assert!(at(light, 0.0, 1.0) < at(light, 1.0, 1.0));
        assert!(at(light, 1.0, 0.2) < at(light, 1.0, 1.0));
    }
}
