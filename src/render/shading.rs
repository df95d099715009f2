//! Light and material of surfaces, as settings.

use glam::Vec3;
use nstr_camera::camera::Camera;

/// Lighting model of a surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ShadingMode {
    /// A directional key light, sky and ground light and a faint rim.
    #[default]
    Studio,
    /// A lamp at the camera.
    Headlight,
    /// Clay, lit by the normal's direction in the image alone.
    Matcap,
    /// World normals as colours, darkened by occlusion.
    Normals,
}

/// Light and material.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shading {
    /// How the surface is lit.
    pub mode: ShadingMode,
    /// Linear colour of the material.
    pub albedo: [f32; 3],
    /// Direction towards the key light, in camera axes (right, up, back), or in world axes with `light_in_world`.
    pub light: Vec3,
    /// `true` where `light` stands in the world, `false` where it moves with the camera.
    pub light_in_world: bool,
    /// Upward axis of the world, which sky light comes from.
    pub up: Vec3,
    /// Soft shadows of the key light (`Studio` only).
    pub shadow: bool,
    /// Ambient occlusion: near parts darken each other (`Studio` and `Headlight`).
    pub ambient_occlusion: bool,
    /// Whether shadow and occlusion are taken from coarse distances: softer, at a small part of the cost (CPU renderer).
    pub is_coarse: bool,
    /// Reach of ambient occlusion in field units.
    pub occlusion_radius: f32,
    /// Half angle of the key light in radians: larger is softer.
    pub light_size: f32,
}

impl Default for Shading {
    /// Studio light on a neutral warm grey, without the secondary rays of shadow and occlusion.
    fn default() -> Self {
        Self {
            mode: ShadingMode::Studio,
            albedo: [0.50, 0.485, 0.465],
            light: Vec3::new(-0.55, 0.75, 0.65),
            light_in_world: false,
            up: Vec3::Y,
            shadow: false,
            ambient_occlusion: false,
            is_coarse: false,
            occlusion_radius: 0.12,
            light_size: 0.09,
        }
    }
}

impl Shading {
    /// The default with soft shadow and ambient occlusion.
    pub fn studio() -> Self {
        Self { shadow: true, ambient_occlusion: true, ..Self::default() }
    }

    /// Unit direction towards the key light in world axes.
    pub fn light_direction(&self, camera: &Camera) -> Vec3 {
        let [right, up, back] = camera.axes().map(|a| a.as_vec3());
        let light = match self.light_in_world {
            true => self.light,
            false => right * self.light.x + up * self.light.y + back * self.light.z,
        };
        light.try_normalize().unwrap_or(back)
    }

    /// Secondary rays that the mode needs.
    pub fn secondary(&self) -> SecondaryRays {
        SecondaryRays {
            shadow: self.shadow && self.mode == ShadingMode::Studio,
            occlusion: self.ambient_occlusion && self.mode != ShadingMode::Matcap,
            is_coarse: self.is_coarse,
            radius: self.occlusion_radius.clamp(1e-3, 1.0),
            light_size: self.light_size.clamp(5e-3, 0.5),
        }
    }
}

/// Secondary rays of a shading, lengths in field units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondaryRays {
    /// Soft shadow of the key light.
    pub shadow: bool,
    /// Ambient occlusion.
    pub occlusion: bool,
    /// Both from coarse distances.
    pub is_coarse: bool,
    /// Reach of occlusion.
    pub radius: f32,
    /// Half angle of the light in radians.
    pub light_size: f32,
}
