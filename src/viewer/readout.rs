//! Read-out of the point under the pointer: place, depth, the field's value and that of the displayed layer.

use glam::{DVec2, DVec3};
use nstr_image::colour::{linear_from_srgb, srgb_from_linear};
use nstr_plot::format::compact;
use nstr_render::Frame;

use crate::display_mode::DisplayMode;
use crate::probe::{FieldValue, field_value, render_ray};
use crate::reference_mesh;
use crate::render_backend::{PixelBuffer, RenderedImage};
use crate::tonemap::sample_bilinear;

/// Text about the point that `image` shows at `pixel` of the window's picture; `None` where it shows nothing or no field.
///
/// Values are those that were rendered for the pixel, so that they are what its colour stands for. Images that are not in
/// memory are traced again along this one ray.
pub(crate) fn readout(image: &RenderedImage, pixel: DVec2) -> Option<String> {
    let request = &image.request;
    let camera = &request.camera;
    let inside =
        pixel.x >= 0.0 && pixel.y >= 0.0 && pixel.x < f64::from(camera.width) && pixel.y < f64::from(camera.height);
    if !inside || image.note.is_some() {
        return None;
    }
    let traced;
    let (frame, index) = match &image.pixels {
        PixelBuffer::Cpu(pixels) if !pixels.frame.depth_ray.is_empty() => {
            (&*pixels.frame, pixel_index(&pixels.frame, image.divisor, pixel)?)
        }
        _ => {
            let ray = camera.ray(pixel.x, pixel.y);
            traced = render_ray(&request.scene, camera, &ray, request.mode.layers_with_depth(), request.section)?;
            (&traced, 0)
        }
    };
    // The middle of the image's pixel, which may stand for several of the window.
    let by = f64::from(image.divisor.max(1));
    let centre = if frame.width > 1 { ((pixel / by).floor() + 0.5) * by } else { pixel };
    let ray = camera.ray(centre.x, centre.y);
    let depth = f64::from(*frame.depth_ray.get(index)?);
    if !depth.is_finite() {
        return None;
    }
    let position = ray.origin + ray.direction * depth;
    let field = match field_value(&request.scene, position) {
        FieldValue::Distance(distance) if request.section.is_some() => format!("distance {}", compact(distance)),
        FieldValue::Distance(_) => String::new(),
        FieldValue::Density(density) => format!("density {}", compact(density)),
    };
    let layer = layer_value(image, frame, index, position).unwrap_or_default();
    let place = format!("x {}  y {}  z {}", compact(position.x), compact(position.y), compact(position.z));
    let depth = if request.mode == DisplayMode::Depth { String::new() } else { format!("depth {}", compact(depth)) };
    Some([place, depth, field, layer].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("   "))
}

/// Index in `frame` of a pixel of the window's picture.
fn pixel_index(frame: &Frame, divisor: u32, pixel: DVec2) -> Option<usize> {
    let at = pixel / f64::from(divisor.max(1));
    let (x, y) = (at.x as usize, at.y as usize);
    let (width, height) = (frame.width as usize, frame.height as usize);
    (x < width && y < height).then_some(y * width + x)
}

/// The value of the displayed layer, with its name.
fn layer_value(image: &RenderedImage, frame: &Frame, index: usize, position: DVec3) -> Option<String> {
    let mode = image.request.mode;
    if let Some(layer) = mode.scalar_layer() {
        let value = *frame.values(layer).get(index)?;
        return Some(format!("{} {}", mode.name(), compact(value.into())));
    }
    let join = |values: &[f32]| values.iter().map(|v| compact((*v).into())).collect::<Vec<_>>().join(" ");
    match mode {
        DisplayMode::Normals => Some(format!("normal {}", join(frame.normal.get(index)?))),
        DisplayMode::Spectrum => {
            let row = frame.spectrum.get(index * frame.spectrum_width..)?.get(..frame.spectrum_width.min(3))?;
            Some(format!("S {}", join(row)))
        }
        DisplayMode::Error => error_value(image, frame, index, position),
        _ => {
            let [r, g, b, a] = *frame.colour.get(index)?;
            let share = if a > 0.0 { 1.0 / a } else { 0.0 };
            let byte = |v: f32| (srgb_from_linear(v * share) * 255.0 + 0.5) as u8;
            Some(format!("rgb {} {} {}", byte(r), byte(g), byte(b)))
        }
    }
}

/// Distance to the mesh, or mean absolute difference to the capture's image (sRGB values).
fn error_value(image: &RenderedImage, frame: &Frame, index: usize, position: DVec3) -> Option<String> {
    if let Some(query) = &image.request.mesh {
        return Some(format!("to the mesh {}", compact(reference_mesh::distance(query, position).into())));
    }
    let reference = image.request.reference.as_ref()?;
    let at = reference.project(position)?;
    let backdrop = image.request.background.srgb().unwrap_or([1.0; 3]);
    let wanted = sample_bilinear(reference, at.x, at.y, backdrop)?;
    let [r, g, b, a] = *frame.colour.get(index)?;
    let share = if a > 0.0 { 1.0 / a } else { 0.0 };
    let difference = [r, g, b].into_iter().zip(wanted).zip(backdrop).map(|((v, wanted), below)| {
        let value = srgb_from_linear(v * share);
        let over = match image.request.scene.is_radiance() {
            true => value * a + below * (1.0 - a),
            false => srgb_from_linear(linear_from_srgb(value) * a + linear_from_srgb(below) * (1.0 - a)),
        };
        (over - wanted).abs()
    });
    Some(format!("error {}", compact(f64::from(difference.sum::<f32>() / 3.0))))
}

/// Depth along the ray that `image` shows at a place of the window's picture; infinite where it shows nothing. `None` where the
/// image holds no depths or the place is outside of it.
pub(crate) fn depth_at(frame: &Frame, divisor: u32, pixel: DVec2) -> Option<f32> {
    if !(pixel.x >= 0.0 && pixel.y >= 0.0) {
        return None;
    }
    frame.depth_ray.get(pixel_index(frame, divisor, pixel)?).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use glam::Vec3;
    use nstr_camera::camera::Camera;
    use nstr_image::Rgba8;
    use nstr_image::colour::Background;
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;
    use crate::cpu_backend::{downscaled, render_frame};
    use crate::render_backend::{CpuPixels, Quality, RenderRequest};
    use crate::scene::{Scene, SceneField};

    /// A picture of a ball at one pixel for `divisor`.
    fn image(mode: DisplayMode, divisor: u32) -> RenderedImage {
        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = Arc::new(Scene::new(SceneField::Sdf(Arc::new(ball)), Cube::default()));
        let pose = Camera::look_at(DVec3::new(0.5, 0.5, 2.5), DVec3::splat(0.5), DVec3::Y).unwrap();
        let camera = Camera::with_fov_y(200, 120, 40.0, pose).unwrap();
        let request = RenderRequest { mode, ..RenderRequest::shaded(scene.clone(), camera, Quality::Full(1)) };
        let small = downscaled(&camera, divisor);
        let renderer = scene.renderer().unwrap();
        let layers = mode.layers_with_depth();
        let frame = render_frame(&renderer, &small, &request, layers, (1, 0), Background::Transparent).unwrap();
        let blank = Rgba8::from_fn(frame.width, frame.height, |_| [0; 4]);
        RenderedImage::of_one_sample(CpuPixels { image: blank, frame: Arc::new(frame) }, request, divisor)
    }

    #[test]
    fn the_middle_of_a_ball_is_read() {
        for divisor in [1, 3] {
            let middle = DVec2::new(100.0, 60.0);
            let text = readout(&image(DisplayMode::Normals, divisor), middle).unwrap();
            let value = |name: &str| -> f64 {
                let rest = text.split(name).nth(1).unwrap();
                rest.split_whitespace().next().unwrap().parse().unwrap()
            };
            assert!((value("z ") - 0.8).abs() < 0.01 && (value("depth ") - 1.7).abs() < 0.01, "{text}");
            assert!((value("x ") - 0.5).abs() < 0.02 && text.contains("normal"), "{text}");
            let depth = readout(&image(DisplayMode::Depth, divisor), middle).unwrap();
            assert!(depth.contains("depth.ray 1.7") && !depth.contains("depth 1.7"), "{depth}");
        }
    }

    #[test]
    fn beside_the_object_and_the_picture_nothing_is_read() {
        let image = image(DisplayMode::Shaded, 1);
        for pixel in [DVec2::new(2.0, 2.0), DVec2::new(-1.0, 60.0), DVec2::new(100.0, 120.0)] {
            assert_eq!(readout(&image, pixel), None);
        }
        let text = readout(&image, DVec2::new(100.0, 60.0)).unwrap();
        assert!(text.contains("rgb") && !text.contains("distance"), "{text}");
    }
}
