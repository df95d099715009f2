//! Validation of a radiance field during training, on a few held-out views.

use nstr_capture::View;
use nstr_field::radiance::NeuralRadiance;
use nstr_fit::eval::view_psnr;
use nstr_fit::radiance::Validator;
use nstr_render::{VolumeRenderer, VolumeSettings};
use nstr_space::SceneMap;
use nstr_spec::FieldSpec;

/// Pixels along the longer side of a validated view, at most.
const MAX_SIDE: u32 = 200;
/// Views that are rendered.
const VIEWS: usize = 2;

/// Validator that gives the mean PSNR of views evenly picked from `test`, reduced in size; `None` without views, and where
/// masks leave no pixel of the reduced ones.
pub(super) fn validator(
    spec: &FieldSpec,
    map: SceneMap,
    settings: VolumeSettings,
    test: &[View],
    background: [f32; 3],
) -> Option<Validator> {
    let count = VIEWS.min(test.len());
    let views = (0..count).map(|i| reduced(&test[i * test.len() / count]));
    let views: Vec<View> = views.filter(|v| v.usable_pixels() > 0).collect();
    if views.is_empty() {
        return None;
    }
    let spec = spec.clone();
    Some(Box::new(move |grid, net, occupancy| {
        let field = NeuralRadiance::new(&spec, grid, net, occupancy.clone());
        let Ok(renderer) = VolumeRenderer::new(&field, map, settings) else { return f64::NAN };
        let psnr = |view| view_psnr(&renderer, view, background).unwrap_or(f64::NAN);
        views.iter().map(psnr).sum::<f64>() / views.len() as f64
    }))
}

fn reduced(view: &View) -> View {
    let side = view.camera.width.max(view.camera.height);
    view.downsampled(side.div_ceil(MAX_SIDE))
}
