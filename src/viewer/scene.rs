//! A field to look at, and where it lies.

use std::fmt;
use std::sync::{Arc, OnceLock};

use glam::DVec3;

use crate::field::model::Model;
use crate::field::radiance::NeuralRadiance;
use crate::field::sdf::NeuralSdf;
use crate::render::cpu::{DistanceGrid, RenderError};
use crate::render::{
    Occupancy, RadianceSource, SdfSource, SphereTracer, Swing, TracerSettings, UnitCube, Up, VolumeRenderer,
    VolumeSettings,
};

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

/// Cells of the distance grid of a field that will soon be replaced.
const PASSING_CELLS: usize = 48;

impl Scene {
    /// A field of any origin.
    pub fn new(field: Field, cube: UnitCube) -> Self {
        let cells = TracerSettings::default().grid_cells;
        Self { field, cube, model: None, swing: None, cells, grid: OnceLock::new() }
    }

    /// The field of a signed distance model (3 coordinates, 1 value).
    pub fn sdf(model: Arc<Model>) -> Self {
        let lipschitz = model.metrics.get("lipschitz").map(|l| *l as f32);
        let field = NeuralSdf::new(&model.spec, model.grid.clone(), &model.net, lipschitz);
        let cube = UnitCube::from(&model.domain);
        Self { model: Some(model), ..Self::new(Field::Sdf(Arc::new(field)), cube) }
    }

    /// The field of a radiance model whose rays are marched with `settings`.
    pub fn radiance(model: Arc<Model>, settings: VolumeSettings) -> Self {
        let occupancy = model.occupancy.clone().unwrap_or_else(|| Occupancy::full(32));
        let field = NeuralRadiance::new(&model.spec, model.grid.clone(), &model.net, occupancy);
        let cube = UnitCube::from(&model.domain);
        Self { model: Some(model), ..Self::new(Field::Radiance(Arc::new(field), settings), cube) }
    }

    /// The same, looked at first from the middle of the arc of its capture's cameras.
    pub fn seen_from(self, swing: Option<Swing>) -> Self {
        Self { swing, ..self }
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
    pub fn renderer(&self) -> Result<Renderer<'_>, RenderError> {
        match &self.field {
            Field::Radiance(source, settings) => {
                Ok(Renderer::Volume(VolumeRenderer::new(source.as_ref(), self.cube, *settings)?))
            }
            Field::Sdf(source) => {
                let settings = TracerSettings { grid_cells: self.cells, tile: TILE, ..TracerSettings::default() };
                if let Some(grid) = self.grid.get() {
                    let tracer = SphereTracer::with_grid(source.as_ref(), self.cube, settings, grid.clone())?;
                    return Ok(Renderer::Surface(tracer));
                }
                let tracer = SphereTracer::new(source.as_ref(), self.cube, settings)?;
                let _ = self.grid.set(tracer.grid().cloned());
                Ok(Renderer::Surface(tracer))
            }
        }
    }

    /// World box around what there is to see; the whole cube where that isn't known.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        match self.renderer() {
            Ok(Renderer::Surface(tracer)) => tracer.bounds(),
            Ok(Renderer::Volume(renderer)) => renderer.bounds(),
            Err(_) => self.cube.bounds(),
        }
    }
}

/// Pixels along a tile's edge: smaller than usual, so that bands of few rows still keep every core busy.
const TILE: u32 = 32;

/// A renderer that borrows the scene's field.
pub enum Renderer<'a> {
    /// Sphere tracing.
    Surface(SphereTracer<'a>),
    /// Ray marching.
    Volume(VolumeRenderer<'a>),
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_radiance() { "radiance" } else { "signed distance" };
        f.debug_struct("Scene").field("field", &kind).field("cube", &self.cube).finish_non_exhaustive()
    }
}
