//! The capture's images over the picture: whole, as a wipe or side by side, as the camera of the picture would see them.

use std::sync::Arc;

use egui::{Color32, ColorImage, Context, TextureHandle, TextureOptions};
use nstr_camera::camera::Camera;
use nstr_capture::View;
use nstr_image::colour::Background;
use rayon::prelude::*;

use crate::cpu_backend::downscaled;
use crate::tonemap::sample_bilinear;

/// Arrangement of picture and image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PhotographMode {
    /// The picture alone.
    #[default]
    Off,
    /// The image in place of the picture.
    Whole,
    /// The image left of a line, the picture right of it.
    Wipe,
    /// Both, one beside the other.
    SideBySide,
}

impl PhotographMode {
    /// All of them, with their names on the panel.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Off, "Off"), (Self::Whole, "Image"), (Self::Wipe, "Wipe"), (Self::SideBySide, "Both")];
}

/// Display of the capture's images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PhotographState {
    /// Whether the key that shows the image is held.
    pub held: bool,
    /// Arrangement.
    pub mode: PhotographMode,
    /// Place of the wipe's line, 0 (left) to 1 (right).
    pub split: f32,
}

impl Default for PhotographState {
    fn default() -> Self {
        Self { held: false, mode: PhotographMode::Off, split: 0.5 }
    }
}

impl PhotographState {
    /// The arrangement to draw: a held key shows the whole image.
    pub fn shown(&self) -> PhotographMode {
        if self.held { PhotographMode::Whole } else { self.mode }
    }
}

/// Longest side of a drawn image, pixels.
const MAX_SIDE: u32 = 1600;

/// The image of `view` as `camera`, which stands where it was taken, would see it: without its lens' distortion, over the background, and
/// transparent beyond its edges and where it is masked.
pub(crate) fn as_seen(view: &View, camera: &Camera, background: Background) -> ColorImage {
    let camera = downscaled(camera, camera.width.max(camera.height).div_ceil(MAX_SIDE));
    let backdrop = background.srgb().unwrap_or([0.46; 3]);
    let (width, height) = (camera.width as usize, camera.height as usize);
    let pixel = |i: usize| {
        let ray = camera.ray((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
        let at = view.project(view.camera.position() + ray.direction);
        match at.and_then(|at| sample_bilinear(view, at.x, at.y, backdrop)) {
            Some(colour) => {
                let [r, g, b] = colour.map(|v| (v * 255.0 + 0.5) as u8);
                Color32::from_rgb(r, g, b)
            }
            None => Color32::TRANSPARENT,
        }
    };
    let pixels: Vec<Color32> = (0..width * height).into_par_iter().with_min_len(4096).map(pixel).collect();
    ColorImage::new([width, height], pixels)
}

/// Last image that was drawn, so that it is resampled only when something changes.
#[derive(Default)]
pub(crate) struct PhotographCache(Option<DrawnImage>);

/// An image on the device, and what it was made of.
struct DrawnImage {
    views: Arc<Vec<View>>,
    index: usize,
    camera: Camera,
    background: Background,
    texture: TextureHandle,
}

impl PhotographCache {
    /// The texture of [`as_seen`] for image `index`.
    pub fn texture(
        &mut self,
        context: &Context,
        views: &Arc<Vec<View>>,
        index: usize,
        camera: &Camera,
        background: Background,
    ) -> Option<TextureHandle> {
        let view = views.get(index)?;
        if let Some(known) = &self.0
            && Arc::ptr_eq(&known.views, views)
            && (known.index, &known.camera, known.background) == (index, camera, background)
        {
            return Some(known.texture.clone());
        }
        let image = as_seen(view, camera, background);
        let texture = context.load_texture("photograph", image, TextureOptions::LINEAR);
        let (views, camera) = (views.clone(), *camera);
        self.0 = Some(DrawnImage { views, index, camera, background, texture: texture.clone() });
        Some(texture)
    }
}

#[cfg(test)]
mod tests {
    use glam::DVec3;
    use nstr_capture::Image;
    use nstr_capture::lens::Lens;

    use super::*;

    /// A view of 8×6 pixels whose red grows to the right; half transparent in the top row.
    fn view() -> View {
        let pose = Camera::look_at(DVec3::new(0.0, 0.0, 4.0), DVec3::ZERO, DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(8, 6, 40.0, pose).unwrap();
        let pixels = (0..48).map(|i| [(i % 8 * 30) as u8, 80, 80, if i < 8 { 0 } else { 255 }]).collect();
        let image = Image { width: 8, height: 6, pixels };
        View { name: "a".into(), camera, lens: Lens::Pinhole, image, mask: None, depth: None }
    }

    #[test]
    fn the_image_is_where_its_camera_saw_it() {
        let view = view();
        let same = as_seen(&view, &view.camera, Background::White);
        assert_eq!(same.size, [8, 6]);
        assert_eq!(same[(3, 2)], Color32::from_rgb(90, 80, 80));
        assert_eq!(same[(3, 0)], Color32::WHITE, "over the background");
        // A camera that sees twice as much has the image in its middle.
        let wide = Camera { focal: view.camera.focal * 0.5, ..view.camera };
        let wide = as_seen(&view, &wide, Background::Black);
        assert_eq!(wide[(0, 0)], Color32::TRANSPARENT);
        assert_ne!(wide[(4, 3)], Color32::TRANSPARENT);
    }

    #[test]
    fn a_held_key_wins() {
        let mut state = PhotographState { mode: PhotographMode::Wipe, ..PhotographState::default() };
        assert_eq!(state.shown(), PhotographMode::Wipe);
        state.held = true;
        assert_eq!(state.shown(), PhotographMode::Whole);
    }
}
