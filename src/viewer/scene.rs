//! A field to look at, and where it lies.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use glam::DVec3;

use nstr_field::model::Model;
use nstr_pipeline::Error;
use nstr_pipeline::renderer::CpuRenderer;
use nstr_render::cpu::{DistanceGrid, RenderError};
use nstr_space::source::RadianceSource;
use nstr_render::{SphereTracer, TracerSettings, VolumeRenderer, VolumeSettings};
use nstr_space::source::SdfSource;
use nstr_camera::swing::Swing;
use nstr_space::cube::UnitCube;
use nstr_camera::orbit::Up;

/// What is rendered.
pub enum Field {
    /// A signed distance field.
    Sdf(Arc<dyn SdfSource + Send + Sync>),
    /// A radiance field and how its rays are marched.
    Radiance(Arc<dyn RadianceSource + Send + Sync>, VolumeSettings),
}

/// A field ready to render. What renderers prepare once a field is kept here.
pub struct Scene {
    /// The field.
    pub field: Field,
    /// Where its unit cube lies in the world.
    pub cube: UnitCube,
    /// The model behind the field, for renderers that upload its parameters; `None` where the field is no model.
    pub model: Option<Arc<Model>>,
    /// Where the cameras of its capture stood, if not all around.
    pub swing: Option<Swing>,
    /// Cells of the distance grid along an axis (signed distances).
    cells: usize,
    grid: OnceLock<Option<Arc<DistanceGrid>>>,
}

/// Reason why a picture or a sound is not shown.
pub const FLAT: &str = "the window shows surfaces and volumes; a picture or a sound is fitted by `nstr fit` and written by \
                        `nstr render`";

/// Cells of the distance grid of a field that will soon be replaced.
const PASSING_CELLS: usize = 48;

impl Scene {
    /// A field of any origin.
    pub fn new(field: Field, cube: UnitCube) -> Self {
        let cells = TracerSettings::default().grid_cells;
        Self { field, cube, model: None, swing: None, cells, grid: OnceLock::new() }
    }

    /// The scene of a model that was read from (or will be written to) `path`.
    ///
    /// # Errors
    /// Models of pictures and sounds, and those that cannot be opened.
    pub fn of_model(path: &Path, model: Arc<Model>) -> Result<Self, Error> {
        let cube = UnitCube::from(&model.domain);
        match nstr_pipeline::Field::open(path, Model::clone(&model))? {
            nstr_pipeline::Field::Sdf(opened) => {
                Ok(Self { model: Some(model), ..Self::new(Field::Sdf(Arc::new(opened.field)), cube) })
            }
            nstr_pipeline::Field::Radiance(opened) => {
                let field = Field::Radiance(Arc::new(opened.field), opened.march.volume);
                Ok(Self { model: Some(model), swing: opened.march.swing, ..Self::new(field, cube) })
            }
            nstr_pipeline::Field::Signal(_) => Err(Error::file(path, FLAT)),
        }
    }

    /// The same for a field in training, whose preparation must be quick.
    pub fn passing(self) -> Self {
        Self { cells: PASSING_CELLS, grid: OnceLock::new(), ..self }
    }

    /// Whether the field has colours of its own.
    pub fn is_radiance(&self) -> bool {
        matches!(self.field, Field::Radiance(..))
    }

    /// Which axis points up: y for signed distances, z for captures.
    pub fn up(&self) -> Up {
        if self.is_radiance() { Up::Z } else { Up::Y }
    }

    /// The renderer of the field; the first call builds what all share.
    ///
    /// # Errors
    /// Fields and cubes that can't be rendered.
    pub fn renderer(&self) -> Result<CpuRenderer<'_>, RenderError> {
        match &self.field {
            Field::Radiance(source, settings) => {
                Ok(CpuRenderer::Volume(VolumeRenderer::new(source.as_ref(), self.cube, *settings)?))
            }
            Field::Sdf(source) => {
                let settings = TracerSettings { grid_cells: self.cells, tile: TILE, ..TracerSettings::default() };
                if let Some(grid) = self.grid.get() {
                    let tracer = SphereTracer::with_grid(source.as_ref(), self.cube, settings, grid.clone())?;
                    return Ok(CpuRenderer::Surface(tracer));
                }
                let tracer = SphereTracer::new(source.as_ref(), self.cube, settings)?;
                let _ = self.grid.set(tracer.grid().cloned());
                Ok(CpuRenderer::Surface(tracer))
            }
        }
    }

    /// World box around what there is to see; the whole cube where that isn't known.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        match self.renderer() {
            Ok(CpuRenderer::Surface(tracer)) => tracer.bounds(),
            Ok(CpuRenderer::Volume(renderer)) => renderer.bounds(),
            Err(_) => self.cube.bounds(),
        }
    }
}

/// Pixels along a tile's edge: smaller than usual, so that bands of few rows still keep every core busy.
const TILE: u32 = 32;

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_radiance() { "radiance" } else { "signed distance" };
        f.debug_struct("Scene").field("field", &kind).field("cube", &self.cube).finish_non_exhaustive()
    }
}
