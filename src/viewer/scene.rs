//! Field to display, with its placement in the world and the data that renderers prepare once.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use glam::DVec3;
use nstr_camera::camera_arc::CameraArc;
use nstr_camera::orbit::Up;
use nstr_field::model::Model;
use nstr_pipeline::Error;
use nstr_pipeline::renderer::CpuRenderer;
use nstr_render::cpu::{DistanceGrid, SoftLightData};
use nstr_render::{Backdrop, RenderError};
use nstr_render::{SphereTracer, TracerSettings, VolumeRenderer, VolumeSettings};
use nstr_space::fields::DistanceField;
use nstr_space::fields::RadianceField;
use nstr_space::{Cube, SceneMap};

/// Field that a scene renders.
pub enum SceneField {
    /// Signed distance field.
    Sdf(Arc<dyn DistanceField + Send + Sync>),
    /// Radiance field and its ray-marching settings.
    Radiance(Arc<dyn RadianceField + Send + Sync>, VolumeSettings),
}

/// Field ready to render.
pub struct Scene {
    /// The field.
    pub(crate) field: SceneField,
    /// Placement of the unit cube of the field in the world; of maps that are no similarity the cube that they are detailed in.
    pub cube: Cube,
    /// Map from the world to the unit cube of a radiance field.
    map: SceneMap,
    /// Model of the field, for renderers that upload its parameters; `None` for fields without one.
    pub(crate) model: Option<Arc<Model>>,
    /// Arc of the cameras of a one-sided capture.
    pub(crate) camera_arc: Option<CameraArc>,
    /// Cells of the distance grid along an axis (signed distances only).
    grid_cells: usize,
    grid: OnceLock<Option<Arc<DistanceGrid>>>,
    /// Vertices along an axis of the distances that soft light is taken from.
    soft_light_cells: usize,
    soft_light: OnceLock<Arc<SoftLightData>>,
    section_box: OnceLock<Option<(DVec3, DVec3)>>,
}

/// Error message for models and inputs without views: pictures and sounds.
pub const NO_VIEWS: &str = "the window shows surfaces and volumes; a picture or a sound is fitted by `nstr fit` and written by \
                        `nstr render`";

/// Cells along an axis of the distance grid of a field in training, which must be built quickly.
const LOW_LATENCY_CELLS: usize = 48;
/// Vertices along an axis of the distances that its soft light is taken from.
const LOW_LATENCY_SOFT_CELLS: usize = 32;

impl Scene {
    /// A field without a model in its unit cube.
    pub fn new(field: SceneField, cube: Cube) -> Self {
        let TracerSettings { grid_cells, soft_light_cells, .. } = TracerSettings::default();
        Self {
            field,
            cube,
            map: cube.into(),
            model: None,
            camera_arc: None,
            grid_cells,
            grid: OnceLock::new(),
            soft_light_cells,
            soft_light: OnceLock::new(),
            section_box: OnceLock::new(),
        }
    }

    /// The scene of a model; `path`, its file, is named in errors.
    ///
    /// # Errors
    /// Models of pictures and sounds, and those that cannot be opened.
    pub fn of_model(path: &Path, model: Arc<Model>) -> Result<Self, Error> {
        let (cube, map) = (model.cube(), model.map);
        match nstr_pipeline::Field::open(path, Model::clone(&model))? {
            nstr_pipeline::Field::Sdf(opened) => {
                Ok(Self { model: Some(model), ..Self::new(SceneField::Sdf(Arc::new(opened.field)), cube) })
            }
            nstr_pipeline::Field::Radiance(opened) => {
                let field = SceneField::Radiance(Arc::new(opened.field), opened.march.volume);
                let camera_arc = opened.march.camera_arc;
                Ok(Self { model: Some(model), camera_arc, map, ..Self::new(field, cube) })
            }
            nstr_pipeline::Field::Signal(_) => Err(Error::file(path, NO_VIEWS)),
        }
    }

    /// The same scene for a field in training: it is quick to prepare and slower to render.
    pub fn low_latency(self) -> Self {
        Self {
            grid_cells: LOW_LATENCY_CELLS,
            grid: OnceLock::new(),
            soft_light_cells: LOW_LATENCY_SOFT_CELLS,
            soft_light: OnceLock::new(),
            section_box: OnceLock::new(),
            ..self
        }
    }

    /// Whether this is a radiance field.
    pub fn is_radiance(&self) -> bool {
        matches!(self.field, SceneField::Radiance(..))
    }

    /// Upward axis: y for signed distances, z for captures.
    pub fn up(&self) -> Up {
        if self.is_radiance() { Up::Z } else { Up::Y }
    }

    /// The renderer of the field. The first call builds the distance grid that all share.
    ///
    /// # Errors
    /// Fields and cubes that cannot be rendered.
    pub(crate) fn renderer(&self) -> Result<CpuRenderer<'_>, RenderError> {
        match &self.field {
            SceneField::Radiance(source, settings) => {
                Ok(CpuRenderer::Volume(VolumeRenderer::new(source.as_ref(), self.map, *settings)?))
            }
            SceneField::Sdf(source) => {
                let settings = TracerSettings { grid_cells: self.grid_cells, tile: TILE, ..TracerSettings::default() };
                let tracer = match self.grid.get() {
                    Some(grid) => SphereTracer::with_grid(source.as_ref(), self.cube, settings, grid.clone())?,
                    None => {
                        let tracer = SphereTracer::new(source.as_ref(), self.cube, settings)?;
                        let _ = self.grid.set(tracer.grid().cloned());
                        tracer
                    }
                };
                Ok(CpuRenderer::Surface(match self.soft_light.get() {
                    Some(data) => tracer.with_soft_light(data.clone()),
                    None => tracer,
                }))
            }
        }
    }

    /// Placement of the unit cube, and the map to it.
    pub(crate) fn placement(&self) -> (Cube, SceneMap) {
        (self.cube, self.map)
    }

    /// The distance grid, once a renderer has built it (signed distances only).
    pub(crate) fn distance_grid(&self) -> Option<Arc<DistanceGrid>> {
        self.grid.get().cloned().flatten()
    }

    /// What soft light needs, from the field itself and not from its preview; `None` for radiance fields. The first call makes it.
    pub(crate) fn soft_light(&self) -> Option<Arc<SoftLightData>> {
        let SceneField::Sdf(source) = &self.field else { return None };
        let make = || Arc::new(SoftLightData::new(source.as_ref(), self.soft_light_cells));
        Some(self.soft_light.get_or_init(make).clone())
    }

    /// Graded background, with the surface's shadow on the ground or without; `None` for radiance fields.
    pub(crate) fn backdrop(&self, has_ground: bool) -> Option<Backdrop> {
        let data = self.soft_light()?;
        let ground = has_ground.then(|| data.ground(self.cube, self.up().axis().as_vec3())).flatten();
        Some(Backdrop::new(ground))
    }

    /// Map from the world to the unit cube of the field.
    pub(crate) fn map(&self) -> SceneMap {
        self.map
    }

    /// Coordinates of a world point in the field; outside of the unit cube where the map does not reach it.
    pub(crate) fn to_unit(&self, world: DVec3) -> DVec3 {
        let unit = self.map.to_unit(world);
        if unit.is_nan() { DVec3::splat(-1.0) } else { unit }
    }

    /// World box that a section shows the field within; `None`: all of the field. The first call searches it.
    pub(crate) fn section_box(&self) -> Option<(DVec3, DVec3)> {
        *self.section_box.get_or_init(|| self.renderer().ok()?.section_box())
    }

    /// World box around the visible part of the field; the whole cube if that is not known.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        match self.renderer() {
            Ok(CpuRenderer::Surface(tracer)) => tracer.bounds(),
            Ok(CpuRenderer::Volume(renderer)) => renderer.bounds(),
            Err(_) => self.cube.bounds(),
        }
    }
}

/// Pixels along the edge of a tile: smaller than the default, so that bands of few rows still use every core.
pub(crate) const TILE: u32 = 32;

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_radiance() { "radiance" } else { "signed distance" };
        f.debug_struct("Scene").field("field", &kind).field("cube", &self.cube).finish_non_exhaustive()
    }
}
