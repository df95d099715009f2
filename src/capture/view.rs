//! One posed image: its camera, its lens, its pixels.

use glam::{DVec2, DVec3};
use nstr_camera::{Camera, CameraError, CameraModel, ProjectiveCamera};
use nstr_space::Ray;

use crate::depth::DepthMap;
use crate::lens::Lens;

/// An image in memory: sRGB values with straight alpha, rows from the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Pixels along x.
    pub width: u32,
    /// Pixels along y.
    pub height: u32,
    /// `[y · width + x]`, 8 bits a channel as in the file; alpha is 255 where the file has none. Empty where only the
    /// cameras were loaded.
    pub pixels: Vec<[u8; 4]>,
}

impl Image {
    /// Pixel in column `x` of row `y`, both within the image.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 4] {
        self.pixels[y as usize * self.width as usize + x as usize]
    }
}

/// A posed image.
#[derive(Clone, Debug)]
pub struct View {
    /// The image's name as the capture's file has it.
    pub name: String,
    /// The camera at the image's size (after `downscale`); its own rays know no lens: use [`View::ray`].
    pub camera: Camera,
    /// The lens model.
    pub lens: Lens,
    /// The pixels.
    pub image: Image,
    /// `[y · width + x]`: true where a pixel may be used. `None`: all of them. Pixels are out where the capture's masks say
    /// so, where their values are not numbers, and where the lens model has no ray. A pixel that is out says nothing, unlike one whose alpha is 0, which
    /// says that there is nothing.
    pub mask: Option<Vec<bool>>,
    /// Depths that the capture knows.
    pub depth: Option<DepthMap>,
}

impl View {
    /// World ray through `(x, y)` in pixels from the upper left corner (centres at +0.5), distortion undone.
    ///
    /// The ray's origin is the camera's position and its direction has length 1. Where the lens model has no ray, the
    /// nearest that it has; such pixels are out of [`View::mask`].
    pub fn ray(&self, x: f64, y: f64) -> Ray {
        ray_through(&self.camera, &self.lens, x, y)
    }

    /// Camera and lens, without the pixels.
    pub fn lens_camera(&self) -> LensCamera {
        LensCamera { camera: self.camera, lens: self.lens }
    }

    /// Pixel coordinates of a world position, or `None` where the camera can't see it (the image's edges aside).
    pub fn project(&self, world: DVec3) -> Option<DVec2> {
        self.lens_camera().project(world)
    }

    /// A world position in camera space: x right, y down, z forward.
    pub fn to_camera(&self, world: DVec3) -> DVec3 {
        self.lens_camera().to_camera(world)
    }

    /// True where pixel `index` (row by row) may be used.
    pub fn usable(&self, index: usize) -> bool {
        self.mask.as_ref().is_none_or(|mask| mask[index])
    }

    /// Number of pixels that may be used.
    pub fn usable_pixels(&self) -> usize {
        match &self.mask {
            None => self.image.pixels.len(),
            Some(mask) => mask.iter().filter(|m| **m).count(),
        }
    }

    /// Every `factor`-th pixel along each axis as a view of its own: the same rays with the same colours, only fewer. A
    /// factor of 0 counts as 1.
    pub fn downsampled(&self, factor: u32) -> Self {
        let factor = factor.clamp(1, self.image.width.min(self.image.height).max(1));
        let (width, height) = (self.image.width / factor, self.image.height / factor);
        let old = |i: usize| {
            let [x, y] = [i as u32 % width, i as u32 / width].map(|v| v * factor + factor / 2);
            y as usize * self.image.width as usize + x as usize
        };
        let count = width as usize * height as usize;
        let by = f64::from(factor);
        // Pixel i's centre is the centre of the old pixel i·factor + factor/2.
        let shift = f64::from(factor / 2) + 0.5;
        let camera = Camera {
            width,
            height,
            focal: self.camera.focal / by,
            centre: (self.camera.centre - shift) / by + 0.5,
            ..self.camera
        };
        let pixels = (0..count).map(|i| self.image.pixels[old(i)]).collect();
        let mask = self.mask.as_ref().map(|mask| (0..count).map(|i| mask[old(i)]).collect());
        let size = (self.image.width, self.image.height);
        let depth = self.depth.as_ref().map(|depth| depth.downsampled(factor, size));
        Self { name: self.name.clone(), camera, lens: self.lens, image: Image { width, height, pixels }, mask, depth }
    }

    /// Unit viewing direction in world space.
    pub fn forward(&self) -> DVec3 {
        -self.camera.axes()[2]
    }

    /// Marks as out the pixels through which the lens has no ray.
    pub(super) fn mask_lens(&mut self) {
        if self.lens == Lens::Pinhole || self.image.pixels.is_empty() {
            return;
        }
        let (w, h) = (self.camera.width, self.camera.height);
        let missing = |x: f64, y: f64| {
            let d = (DVec2::new(x, y) - self.camera.centre) / self.camera.focal;
            self.lens.direction(d).is_none()
        };
        // The valid region is a disc around the axis to within the tangential terms: the corners leave it first.
        let corners = [(0.0, 0.0), (w as f64, 0.0), (0.0, h as f64), (w as f64, h as f64)];
        if !corners.into_iter().any(|(x, y)| missing(x, y)) {
            return;
        }
        let valid = |i: usize| !missing((i % w as usize) as f64 + 0.5, (i / w as usize) as f64 + 0.5);
        let usable = (0..w as usize * h as usize).map(|i| self.usable(i) && valid(i)).collect();
        self.mask = Some(usable);
    }
}

/// A camera and its lens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LensCamera {
    /// The camera; its own rays know no lens.
    pub camera: Camera,
    /// The lens model.
    pub lens: Lens,
}

impl LensCamera {
    /// World ray through `(x, y)`, as [`View::ray`].
    pub fn ray(&self, x: f64, y: f64) -> Ray {
        ray_through(&self.camera, &self.lens, x, y)
    }

    /// A world position in camera space: x right, y down, z forward.
    pub fn to_camera(&self, world: DVec3) -> DVec3 {
        let offset = world - self.camera.position();
        let [right, up, back] = self.camera.axes();
        DVec3::new(right.dot(offset), -up.dot(offset), -back.dot(offset))
    }
}

impl ProjectiveCamera for LensCamera {
    fn project(&self, world: DVec3) -> Option<DVec2> {
        let d = self.lens.project(self.to_camera(world))?;
        Some(self.camera.centre + d * self.camera.focal)
    }
}

impl CameraModel for LensCamera {
    fn size(&self) -> (u32, u32) {
        (self.camera.width, self.camera.height)
    }
    fn ray(&self, x: f64, y: f64) -> Ray {
        LensCamera::ray(self, x, y)
    }
    fn check(&self) -> Result<(), CameraError> {
        self.camera.validate()
    }
}

fn ray_through(camera: &Camera, lens: &Lens, x: f64, y: f64) -> Ray {
    if *lens == Lens::Pinhole {
        return camera.ray(x, y);
    }
    let d = (DVec2::new(x, y) - camera.centre) / camera.focal;
    let direction = lens.nearest_direction(d);
    let [right, up, back] = camera.axes();
    let world = right * direction.x - up * direction.y - back * direction.z;
    Ray { origin: camera.position(), direction: world.normalize(), cosine: direction.z }
}

impl CameraModel for View {
    fn size(&self) -> (u32, u32) {
        (self.camera.width, self.camera.height)
    }
    fn ray(&self, x: f64, y: f64) -> Ray {
        View::ray(self, x, y)
    }
    fn check(&self) -> Result<(), CameraError> {
        self.camera.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DMat4;

    fn view(lens: Lens) -> View {
        let pose = Camera::look_at(DVec3::new(3.0, -2.0, 1.0), DVec3::new(0.1, 0.2, 0.3), DVec3::Z).unwrap();
        let mut camera = Camera::with_fov_y(300, 200, 55.0, pose).unwrap();
        camera.centre += DVec2::new(7.0, -4.0);
        camera.focal.x *= 1.1;
        View { name: "a".into(), camera, lens, image: Image::default(), mask: None, depth: None }
    }

    #[test]
    fn rays_and_projection_agree_through_every_lens() {
        for lens in [
            Lens::Pinhole,
            Lens::open_cv([0.06, -0.08, 0.01, 0.0], [-0.001, 0.0002], [0.0; 3]),
            Lens::Fisheye { k: [0.01, -0.002, 0.0, 0.0] },
        ] {
            let view = view(lens);
            for (x, y) in [(0.5, 0.5), (299.5, 0.5), (123.0, 180.0), (157.0, 96.0)] {
                let ray = view.ray(x, y);
                assert!((ray.direction.length() - 1.0).abs() < 1e-12);
                let point = ray.origin + ray.direction * 2.5;
                let back = view.project(point).unwrap();
                assert!((back - DVec2::new(x, y)).length() < 1e-6, "{lens:?}: {back}");
                assert!((view.to_camera(point).z - 2.5 * ray.cosine).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn downsampled_views_keep_rays_and_colours() {
        let mut full = view(Lens::open_cv([0.06, -0.08, 0.01, 0.0], [-0.001, 0.0002], [0.0; 3]));
        let pixels = (0..300 * 200u32).map(|i| [i as u8, (i >> 8) as u8, 7, 255]).collect();
        full.image = Image { width: 300, height: 200, pixels };
        full.mask = Some((0..300 * 200).map(|i| i % 7 != 0).collect());
        for factor in [1, 3, 4] {
            let few = full.downsampled(factor);
            assert_eq!((few.image.width, few.image.height), (300 / factor, 200 / factor));
            for (x, y) in [(0, 0), (17, 5), (300 / factor - 1, 200 / factor - 1)] {
                let (ox, oy) = (x * factor + factor / 2, y * factor + factor / 2);
                assert_eq!(few.image.pixel(x, y), full.image.pixel(ox, oy));
                let [a, b] = [
                    few.ray(f64::from(x) + 0.5, f64::from(y) + 0.5),
                    full.ray(f64::from(ox) + 0.5, f64::from(oy) + 0.5),
                ];
                assert!((a.direction - b.direction).length() < 1e-9, "{factor}");
                assert_eq!(few.usable((y * few.image.width + x) as usize), full.usable((oy * 300 + ox) as usize));
            }
        }
    }

    #[test]
    fn a_pinhole_view_is_its_camera() {
        let view = view(Lens::Pinhole);
        assert_eq!(view.ray(12.0, 34.0), view.camera.ray(12.0, 34.0));
        let bent = View { lens: Lens::open_cv([1e-12, 0.0, 0.0, 0.0], [0.0; 2], [0.0; 3]), ..view.clone() };
        assert!((bent.ray(12.0, 34.0).direction - view.ray(12.0, 34.0).direction).length() < 1e-9);
    }

    #[test]
    fn pixels_without_a_ray_are_out() {
        let camera = Camera::with_fov_y(40, 40, 90.0, DMat4::IDENTITY).unwrap();
        let lens = Lens::open_cv([-0.3, 0.0, 0.0, 0.0], [0.0; 2], [0.0; 3]);
        let image = Image { width: 40, height: 40, pixels: vec![[0; 4]; 1600] };
        let mut view = View { name: String::new(), camera, lens, image, mask: None, depth: None };
        view.mask_lens();
        let mask = view.mask.clone().unwrap();
        assert!(!mask[0] && mask[20 * 40 + 20]);
        // The model reaches 0.703 of the half width.
        assert!(!mask[20 * 40] && mask[20 * 40 + 8]);
        view.mask = Some((0..1600).map(|i| i != 20 * 40 + 20).collect());
        view.mask_lens();
        assert!(!view.usable(20 * 40 + 20) && view.usable(20 * 40 + 21));
    }
}
