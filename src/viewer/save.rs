//! Pictures of what is seen, as files.

use std::path::Path;

use crate::cpu_painter::render;
use crate::painter::{Effort, Picture, Shown, View};
use crate::passes::Pass;
use crate::tone::tone;
use nstr_image::{ImageError, Rgba8, png};
use nstr_image::colour::Background;
use nstr_render::{Frame, LayerSet, exr};

/// The picture with an alpha channel where its background is transparent; `None` where it isn't in memory.
pub fn picture(shown: &Shown) -> Option<Rgba8> {
    let Picture::Cpu(picture) = &shown.picture else { return None };
    let transparent = shown.view.background == Background::Transparent;
    let image = match transparent {
        true => tone(&picture.frame, &shown.view, &shown.view.camera, false).image,
        false => picture.image.clone(),
    };
    Some(image)
}

/// Writes a picture as PNG.
///
/// # Errors
/// Where the file can't be written.
pub fn write_png(path: &Path, image: &Rgba8) -> Result<(), ImageError> {
    png::write(path, image)
}

/// Renders all layers of a view and writes them as EXR, linear and not exposed.
///
/// # Errors
/// Fields that can't be rendered, files that can't be written.
pub fn write_exr(path: &Path, view: &View) -> Result<(), String> {
    let frame = layers(view).map_err(|e| e.to_string())?;
    exr::write(path, &frame).map_err(|e| e.to_string())
}

fn layers(view: &View) -> Result<Frame, nstr_render::cpu::RenderError> {
    let samples = match view.effort {
        Effort::Full(n) => n.clamp(1, 64),
        Effort::Passing => 1,
    };
    let pass = Pass { divisor: 1, samples, seed: 0, first: true, adds: false };
    render(&view.scene.renderer()?, &view.camera, view, LayerSet::all(), pass, view.background)
}
