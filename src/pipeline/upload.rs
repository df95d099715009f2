//! Models on a GPU: parameters in the precision that they were saved with, and the renderer of the model's kind.

use nstr_field::model::Model;
use nstr_render::cpu::DistanceGrid;
use nstr_render::cpu::coarse_distance::CoarseDistance;
use nstr_render::gpu::{Gpu, GpuError, GpuField, GpuRenderer, GridPrecision};
use nstr_render::{TracerSettings, VolumeSettings};
use nstr_space::SceneMap;
use nstr_space::occupancy::Occupancy;

/// Kind of rendering, with its data beside the parameters.
#[derive(Clone, Copy, Debug)]
pub enum RenderKind<'a> {
    /// Through a signed distance field.
    Surface {
        /// Bound of ‖∇f‖ in field coordinates.
        lipschitz: f32,
        /// Grid of its empty space; `None`: rays are traced without.
        empty: Option<&'a DistanceGrid>,
        /// Distances that coarse occlusion and shadow are taken from; `None`: such lighting has neither.
        soft: Option<&'a CoarseDistance>,
    },
    /// Through a radiance field.
    Volume {
        /// Marching of rays.
        settings: VolumeSettings,
        /// The cells that may hold matter.
        occupancy: &'a Occupancy,
    },
}

/// Uploads a model of three coordinates; its grid in f16 where that loses nothing.
///
/// # Errors
/// Distances whose map is no box; those of [`GpuField::new`], [`GpuRenderer::sdf`] and [`GpuRenderer::volume`].
pub fn renderer(gpu: &Gpu, model: &Model, kind: &RenderKind<'_>) -> Result<GpuRenderer, GpuError> {
    let field = GpuField::new(gpu, &model.spec, &model.grid, &model.net, GridPrecision::lossless(&model.grid))?;
    match *kind {
        RenderKind::Surface { lipschitz, empty, soft } => {
            let SceneMap::Box(cube) = model.map else {
                return Err(GpuError::Unsupported { what: format!("a distance of {} space", model.map.name()) });
            };
            let mut renderer = GpuRenderer::sdf(field, cube, TracerSettings::default(), lipschitz, empty)?;
            soft.map_or(Ok(()), |distance| renderer.set_soft_light(empty, distance))?;
            Ok(renderer)
        }
        RenderKind::Volume { settings, occupancy } => GpuRenderer::volume(field, model.map, settings, occupancy),
    }
}

/// Replaces the model in `renderer`, which keeps its compiled shaders. Returns `false`, and does nothing, where the new model
/// has another shape or map, or would lose digits.
///
/// # Errors
/// Those of [`GpuRenderer::update_sdf`] and [`GpuRenderer::update_volume`].
pub fn update(renderer: &mut GpuRenderer, model: &Model, kind: &RenderKind<'_>) -> Result<bool, GpuError> {
    let field = renderer.field();
    let holds =
        || field.precision() == GridPrecision::F32 || GridPrecision::lossless(&model.grid) == GridPrecision::F16;
    if *field.spec() != model.spec || model.map != renderer.map() || !holds() {
        return Ok(false);
    }
    match *kind {
        RenderKind::Surface { lipschitz, empty, soft } => {
            renderer.update_sdf(&model.grid, &model.net, lipschitz, empty)?;
            soft.map_or(Ok(()), |distance| renderer.set_soft_light(empty, distance))?;
        }
        RenderKind::Volume { settings, occupancy } => {
            renderer.update_volume(&model.grid, &model.net, settings, occupancy)?;
        }
    }
    Ok(true)
}
