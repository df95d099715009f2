//! A model on a GPU: its parameters, as small as they were saved, and the renderer of its kind.

use nstr_field::model::Model;
use nstr_render::cpu::DistanceGrid;
use nstr_render::gpu::{Gpu, GpuError, GpuField, GpuRenderer, Precision};
use nstr_space::occupancy::Occupancy;
use nstr_render::{TracerSettings, VolumeSettings};
use nstr_space::cube::UnitCube;

/// Kind of rendering, with what it needs beside the parameters.
#[derive(Clone, Copy, Debug)]
pub enum RenderKind<'a> {
    /// Through a signed distance field.
    Surface {
        /// Bound of ‖∇f‖ in field coordinates.
        lipschitz: f32,
        /// Its empty space; none: rays are traced without.
        empty: Option<&'a DistanceGrid>,
    },
    /// Through a radiance field.
    Volume {
        /// How they are marched.
        settings: VolumeSettings,
        /// The cells that may hold matter.
        occupancy: &'a Occupancy,
    },
}

/// Uploads a model of three coordinates; its grid in halves where nothing is lost by that.
///
/// # Errors
/// Those of [`GpuField::new`], [`GpuRenderer::sdf`] and [`GpuRenderer::volume`].
pub fn renderer(gpu: &Gpu, model: &Model, kind: &RenderKind<'_>) -> Result<GpuRenderer, GpuError> {
    let field = GpuField::new(gpu, &model.spec, &model.grid, &model.net, Precision::lossless(&model.grid))?;
    let cube = UnitCube::from(&model.domain);
    match *kind {
        RenderKind::Surface { lipschitz, empty } => {
            GpuRenderer::sdf(field, cube, TracerSettings::default(), lipschitz, empty)
        }
        RenderKind::Volume { settings, occupancy } => GpuRenderer::volume(field, cube, settings, occupancy),
    }
}

/// Puts a model into `renderer` in place of the one there, which keeps the compiled shaders; `false`, and nothing done,
/// where it has another shape, lies elsewhere or would lose digits.
///
/// # Errors
/// Those of [`GpuRenderer::update_sdf`] and [`GpuRenderer::update_volume`].
pub fn update(renderer: &mut GpuRenderer, model: &Model, kind: &RenderKind<'_>) -> Result<bool, GpuError> {
    let field = renderer.field();
    let holds = || field.precision() == Precision::F32 || Precision::lossless(&model.grid) == Precision::F16;
    if *field.spec() != model.spec || renderer.cube() != UnitCube::from(&model.domain) || !holds() {
        return Ok(false);
    }
    match *kind {
        RenderKind::Surface { lipschitz, empty } => renderer.update_sdf(&model.grid, &model.net, lipschitz, empty)?,
        RenderKind::Volume { settings, occupancy } => {
            renderer.update_volume(&model.grid, &model.net, settings, occupancy)?;
        }
    }
    Ok(true)
}
