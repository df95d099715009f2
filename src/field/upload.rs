//! A model on a GPU: its parameters, as small as they were saved, and the renderer of its kind.

use super::model::Model;
use crate::render::cpu::DistanceGrid;
use crate::render::gpu::{Gpu, GpuError, GpuField, GpuRenderer, Precision};
use crate::render::{Occupancy, TracerSettings, UnitCube, VolumeSettings};

/// What rays through a model need beside its parameters.
#[derive(Clone, Copy, Debug)]
pub enum Rays<'a> {
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
pub fn renderer(gpu: &Gpu, model: &Model, rays: &Rays<'_>) -> Result<GpuRenderer, GpuError> {
    let field = GpuField::new(gpu, &model.spec, &model.grid, &model.net, Precision::lossless(&model.grid))?;
    let cube = UnitCube::from(&model.domain);
    match *rays {
        Rays::Surface { lipschitz, empty } => {
            GpuRenderer::sdf(field, cube, TracerSettings::default(), lipschitz, empty)
        }
        Rays::Volume { settings, occupancy } => GpuRenderer::volume(field, cube, settings, occupancy),
    }
}

/// Puts a model into `renderer` in place of the one there, which keeps the compiled shaders; `false`, and nothing done,
/// where it has another shape, lies elsewhere or would lose digits.
///
/// # Errors
/// Those of [`GpuRenderer::update_sdf`] and [`GpuRenderer::update_volume`].
pub fn update(renderer: &mut GpuRenderer, model: &Model, rays: &Rays<'_>) -> Result<bool, GpuError> {
    let field = renderer.field();
    let holds = || field.precision() == Precision::F32 || Precision::lossless(&model.grid) == Precision::F16;
    if *field.spec() != model.spec || renderer.cube() != UnitCube::from(&model.domain) || !holds() {
        return Ok(false);
    }
    match *rays {
        Rays::Surface { lipschitz, empty } => renderer.update_sdf(&model.grid, &model.net, lipschitz, empty)?,
        Rays::Volume { settings, occupancy } => {
            renderer.update_volume(&model.grid, &model.net, settings, occupancy)?;
        }
    }
    Ok(true)
}
