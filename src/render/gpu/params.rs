//! Uniform block of `shaders/view.wgsl`: the parameters of a dispatch.

use bytemuck::{Pod, Zeroable};
use glam::{DVec3, Vec3};
use nstr_camera::camera::Camera;
use nstr_image::colour::Background;
use nstr_space::{Cube, Frustum, SceneMap};

use crate::sampling::Filter;
use crate::section::SectionView;
use crate::settings::RenderSettings;
use crate::shading::{Shading, ShadingMode};

/// `Params` of `shaders/view.wgsl`, field by field.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub(super) struct Params {
    pub eye: [f32; 4],
    pub right: [f32; 4],
    pub up: [f32; 4],
    pub back: [f32; 4],
    pub lens: [f32; 4],
    pub march: [f32; 4],
    pub plane: [f32; 4],
    pub background: [f32; 4],
    pub background_srgb: [f32; 4],
    pub albedo: [f32; 4],
    pub light: [f32; 4],
    pub sky: [f32; 4],
    pub low: [f32; 4],
    pub high: [f32; 4],
    pub shown_low: [f32; 4],
    pub shown_high: [f32; 4],
    pub map: [[f32; 4]; 4],
    pub band: [u32; 4],
    pub options: [u32; 4],
    pub flags: [u32; 4],
    pub pass: [u32; 4],
}

fn four(v: Vec3, w: f32) -> [f32; 4] {
    v.extend(w).to_array()
}

impl Params {
    /// The camera and the cube that it looks at, of a map that is no box its [`SceneMap::world_frame`].
    pub fn new(camera: &Camera, cube: Cube) -> Self {
        let [right, up, back] = camera.axes().map(DVec3::as_vec3);
        let eye = cube.to_unit(camera.position()).as_vec3();
        Self {
            eye: four(eye, cube.size as f32),
            right: four(right, camera.focal.x as f32),
            up: four(up, camera.focal.y as f32),
            back: four(back, camera.centre.x as f32),
            lens: [camera.centre.y as f32, 0.0, 1.0, 0.0],
            ..Self::zeroed()
        }
    }

    /// Colour behind the object.
    pub fn with_background(mut self, background: Background) -> Self {
        self.background = background.rgba();
        let srgb = background.srgb();
        let [r, g, b] = srgb.unwrap_or_default();
        self.background_srgb = [r, g, b, if srgb.is_some() { 1.0 } else { 0.0 }];
        self
    }

    /// Light and material.
    pub fn with_lighting(mut self, shading: &Shading, camera: &Camera) -> Self {
        let secondary = shading.secondary();
        self.albedo = four(Vec3::from(shading.albedo), secondary.radius);
        self.light = four(shading.light_direction(camera), secondary.light_size);
        self.sky = four(shading.up.try_normalize().unwrap_or(Vec3::Y), 0.0);
        self.options[3] = match shading.mode {
            ShadingMode::Studio => 0,
            ShadingMode::Headlight => 1,
            ShadingMode::Matcap => 2,
            ShadingMode::Normals => 3,
        };
        (self.flags[1], self.flags[2]) = (u32::from(secondary.shadow), u32::from(secondary.occlusion));
        self
    }

    /// The plane that cuts the object, where there is one, and the box that it shows the field within.
    pub fn with_section(mut self, settings: &RenderSettings, cube: Cube) -> Self {
        if let Some(section) = settings.section {
            let within = settings.section_box.map(|(lo, hi)| [lo, hi].map(|p| cube.to_unit(p).as_vec3()));
            let [low, high] = within.unwrap_or([Vec3::MIN, Vec3::MAX]);
            (self.shown_low, self.shown_high) = (four(low, 0.0), four(high, 0.0));
            let offset = (section.offset - section.normal.dot(cube.origin)) / cube.size;
            self.plane = four(section.normal.as_vec3(), offset as f32);
            self.flags[0] = if section.show == SectionView::Field { 2 } else { 1 };
        }
        self
    }

    /// What the shader does not know of the map: a frustum's shape, and the camera in it.
    pub fn with_map(mut self, map: &SceneMap, camera: &Camera) -> Self {
        if let SceneMap::Forward(frustum @ Frustum { axes, low, high, near, .. }) = map {
            let scale = map.length_scale();
            let eye = frustum.to_axes(camera.position()) / scale;
            let axis = |axis: DVec3, eye: f64| four(axis.as_vec3(), eye as f32);
            let extent = *high - *low;
            let window = [low.x, low.y, extent.x, extent.y].map(|v| v as f32);
            self.map = [axis(axes.x_axis, eye.x), axis(axes.y_axis, eye.y), axis(axes.z_axis, eye.z), window];
            self.march[3] = (near / scale) as f32;
        }
        self
    }

    /// Samples a pixel and how they are spread.
    pub fn with_sampling(mut self, samples: u32, filter: Filter) -> Self {
        self.band[3] = samples;
        self.options[0] = u32::from(filter == Filter::Tent);
        self
    }
}
