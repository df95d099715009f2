//! Preview of a field: values baked into a grid, from which a moving camera's pictures are rendered.
//!
//! A lookup takes a few hundredths of the time of an evaluation. The preview answers as the field itself does, so that renderer,
//! shading and layers are the same; details below a cell are lost. Pictures of a camera at rest never use it.

mod baked_density;
mod baked_distance;

use std::sync::Arc;

use nstr_pipeline::renderer::CpuRenderer;
use nstr_render::{RenderError, SectionView, SphereTracer, TracerSettings, VolumeRenderer, VolumeSettings};

use crate::display_mode::DisplayMode;
use crate::render_backend::{Quality, RenderRequest};
use crate::scene::{Scene, SceneField, TILE};
use baked_density::{BakedDensity, DensityBake, DensityGrid};
use baked_distance::{BakedDistance, DistanceBake, ValueGrid};

/// Longest uncertified stretch of a preview's ray in field units: a fraction of a cell.
const GAP: f32 = 1e-3;
/// Shortest stratum of a preview's ray in field units: about a cell.
const STEP: f32 = 1.0 / 160.0;

/// Grid that is being filled.
pub(crate) enum Bake {
    /// Of a signed distance field.
    Distance(DistanceBake),
    /// Of a radiance field.
    Density(DensityBake),
}

impl Bake {
    /// Plans the grid of a scene.
    ///
    /// # Errors
    /// Scenes that cannot be rendered.
    pub fn new(scene: &Scene) -> Result<Self, RenderError> {
        Ok(match &scene.field {
            SceneField::Sdf(source) => {
                let grid = match scene.renderer()? {
                    CpuRenderer::Surface(tracer) => tracer.grid().cloned(),
                    CpuRenderer::Volume(_) => None,
                };
                Self::Distance(DistanceBake::new(grid.as_deref(), source.lipschitz()))
            }
            SceneField::Radiance(source, _) => Self::Density(DensityBake::new(source.occupancy())),
        })
    }

    /// Fills the next part, a few hundredths of a second's work; `false` once all is filled.
    pub fn advance(&mut self, scene: &Scene) -> bool {
        match (self, &scene.field) {
            (Self::Distance(bake), SceneField::Sdf(source)) => bake.advance(source.as_ref()),
            (Self::Density(bake), SceneField::Radiance(source, _)) => bake.advance(source.as_ref()),
            _ => false,
        }
    }

    /// The filled grid.
    pub fn finish(self) -> Preview {
        match self {
            Self::Distance(bake) => Preview::Distance(Arc::new(bake.finish())),
            Self::Density(bake) => Preview::Density(Arc::new(bake.finish())),
        }
    }
}

/// The preview of the current scene, made part by part.
pub(crate) struct Previews {
    is_on: bool,
    scene: Option<Arc<Scene>>,
    bake: Option<Bake>,
    preview: Option<Preview>,
}

impl Previews {
    /// Makes previews.
    pub fn on() -> Self {
        Self { is_on: true, scene: None, bake: None, preview: None }
    }

    /// Makes none.
    pub fn off() -> Self {
        Self { is_on: false, ..Self::on() }
    }

    /// The preview's field for a request, if there is one that can answer it.
    pub fn field(&self, request: &RenderRequest) -> Option<SceneField> {
        let known = self.scene.as_ref().is_some_and(|scene| Arc::ptr_eq(scene, &request.scene));
        let preview = self.preview.as_ref().filter(|_| known && Preview::answers(request))?;
        preview.field(&request.scene, request.mode)
    }

    /// Makes a part of the preview of the request's scene; `false` if there is no more to do. A field in training is replaced
    /// too soon to be worth it.
    ///
    /// # Errors
    /// Scenes that cannot be rendered.
    pub fn bake(&mut self, request: &RenderRequest) -> Result<bool, RenderError> {
        if !self.is_on || request.quality == Quality::LowLatency {
            return Ok(false);
        }
        let scene = &request.scene;
        if !self.scene.as_ref().is_some_and(|known| Arc::ptr_eq(known, scene)) {
            (self.scene, self.preview) = (Some(scene.clone()), None);
            self.bake = Some(Bake::new(scene)?);
        }
        let Some(mut bake) = self.bake.take() else { return Ok(false) };
        if bake.advance(scene) {
            self.bake = Some(bake);
            return Ok(true);
        }
        self.preview = Some(bake.finish());
        Ok(false)
    }
}

/// Filled grid of a scene.
pub(crate) enum Preview {
    /// Signed distances.
    Distance(Arc<ValueGrid>),
    /// Densities and colours.
    Density(Arc<DensityGrid>),
}

impl Preview {
    /// Whether a request can be answered from a grid: not the count of evaluations, and not values away from the surface.
    pub fn answers(request: &RenderRequest) -> bool {
        let field_on_plane = request.section.is_some_and(|s| s.show == SectionView::Field);
        request.mode != DisplayMode::Steps && (request.scene.is_radiance() || !field_on_plane)
    }

    /// The field to render in place of the scene's own. Curvatures and spectra are evaluated where a ray ends.
    pub fn field(&self, scene: &Scene, mode: DisplayMode) -> Option<SceneField> {
        let exact = mode == DisplayMode::Curvature;
        match (self, &scene.field) {
            (Self::Distance(grid), SceneField::Sdf(source)) => {
                Some(SceneField::Sdf(Arc::new(BakedDistance::new(grid.clone(), source.clone(), exact))))
            }
            (Self::Density(grid), SceneField::Radiance(source, settings)) => Some(SceneField::Radiance(
                Arc::new(BakedDensity::new(grid.clone(), source.clone(), exact)),
                VolumeSettings {
                    step: settings.step.max(STEP),
                    min_transmittance: settings.min_transmittance.max(0.02),
                    ..*settings
                },
            )),
            _ => None,
        }
    }
}

/// The renderer of a preview's `field`, placed and lit as its scene is.
///
/// # Errors
/// As those of the renderers.
pub(crate) fn renderer<'a>(field: &'a SceneField, scene: &Scene) -> Result<CpuRenderer<'a>, RenderError> {
    let ((cube, map), grid) = (scene.placement(), scene.distance_grid());
    Ok(match field {
        SceneField::Sdf(source) => {
            let settings = TracerSettings { gap: GAP, tile: TILE, max_steps: 128, ..TracerSettings::default() };
            let tracer = SphereTracer::with_grid(source.as_ref(), cube, settings, grid)?;
            CpuRenderer::Surface(match scene.soft_light() {
                Some(data) => tracer.with_soft_light(data),
                None => tracer,
            })
        }
        SceneField::Radiance(source, settings) => {
            let settings = VolumeSettings { tile: TILE, ..*settings };
            CpuRenderer::Volume(VolumeRenderer::new(source.as_ref(), map, settings)?)
        }
    })
}

/// Position of a point of the unit cube among the `n`³ vertices of a grid: the index of its cell's lowest vertex, and the
/// place within the cell, 0 to 1.
#[inline]
fn cell_of(n: usize, p: glam::Vec3) -> (usize, glam::Vec3) {
    let last = (n - 1) as f32;
    // NaN casts to 0.
    let q = (p * last).clamp(glam::Vec3::ZERO, glam::Vec3::splat(last));
    let axis = |v: f32| (v as usize).min(n - 2);
    let (x, y, z) = (axis(q.x), axis(q.y), axis(q.z));
    ((z * n + y) * n + x, q - glam::Vec3::new(x as f32, y as f32, z as f32))
}

/// Coordinates of vertex `i` of `n`³.
fn vertex(n: usize, i: usize) -> glam::Vec3 {
    let last = (n - 1) as f32;
    glam::Vec3::new((i % n) as f32, (i / n % n) as f32, (i / n / n) as f32) / last
}

#[cfg(test)]
mod tests;
