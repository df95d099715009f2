//! Sphere tracing on the CPU.
//!
//! A frame is cut into tiles, which rayon's threads take in turn. Within a tile blocks of 8×8 pixels are advanced through
//! empty space as one cone ([`beam`]), then the rays go on together ([`march`]), those that have ended dropping out, so
//! that the field is evaluated in batches of hundreds of points. A tile's result depends on nothing but the tile: frames
//! are the same bits on any number of threads.

pub mod accel;
pub mod beam;
pub mod march;
pub mod occlusion;
pub mod sampling;
pub mod shade;
mod tile;

use std::sync::Arc;
use std::time::Instant;

use glam::DVec3;
use rayon::prelude::*;

pub use accel::DistanceGrid;
pub use sampling::Filter;
pub use shade::{Shading, ShadingMode};

use crate::area::Area;
use nstr_camera::camera::{Camera, CameraError};
use nstr_image::colour::Background;
use nstr_space::cube::UnitCube;
use crate::frame::Frame;
use crate::layers::LayerSet;
use crate::section::Section;
use nstr_space::source::SdfSource;

/// Why a frame can't be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The camera can't be used.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The field's Lipschitz bound isn't a number above 0.
    #[error("the field's Lipschitz bound is {0}; expected a finite number above 0")]
    Lipschitz(f32),
    /// The domain's cube has no extent.
    #[error("the field's domain (origin {origin}, size {size}) is no cube")]
    Domain {
        /// Its lowest corner.
        origin: DVec3,
        /// Its edge.
        size: f64,
    },
    /// A setting is out of range.
    #[error("{setting}: {reason}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// What is wrong and what is expected.
        reason: String,
    },
}

/// How rays are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TracerSettings {
    /// Pixels along a tile's edge, 8 to 256.
    pub tile: u32,
    /// Cells of the distance grid along an axis; 0 traces without one.
    pub grid_cells: usize,
    /// Most evaluations of a ray.
    pub max_steps: u32,
    /// Longest stretch of a ray in field units that may stay uncertified: parts thinner than this can be missed. It is
    /// lowered to a quarter of a pixel where pixels are finer.
    pub gap: f32,
    /// Lipschitz bound in place of the field's own.
    pub lipschitz: Option<f32>,
}

impl Default for TracerSettings {
    fn default() -> Self {
        Self { tile: 64, grid_cells: 128, max_steps: 512, gap: 2.5e-4, lipschitz: None }
    }
}

impl TracerSettings {
    /// The gap for one camera: a quarter of a pixel at the cube's middle, where pixels are finer than [`Self::gap`].
    pub(super) fn gap_for(&self, camera: &Camera, cube: UnitCube) -> f32 {
        let middle = cube.to_unit(camera.position()).distance(DVec3::splat(0.5));
        let pixel = 0.25 * (middle * camera.pixel_angle()) as f32;
        self.gap.min(pixel.max(2e-5))
    }
}

/// What a frame shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RenderSettings {
    /// Layers to make.
    pub layers: LayerSet,
    /// Samples a pixel of colour and alpha, 1 to 4096.
    pub samples: u32,
    /// How samples are spread.
    pub filter: Filter,
    /// Light and material.
    pub shading: Shading,
    /// What lies behind the object.
    pub background: Background,
    /// A plane that cuts part of the scene away.
    pub section: Option<Section>,
    /// Seed of the samples' places.
    pub seed: u64,
}

impl Default for RenderSettings {
    fn default() -> Self {
        Self {
            layers: LayerSet::default(),
            samples: 1,
            filter: Filter::Box,
            shading: Shading::default(),
            background: Background::White,
            section: None,
            seed: 0,
        }
    }
}

/// Renders one field; the distance grid is built once and serves every frame.
pub struct SphereTracer<'a> {
    source: &'a dyn SdfSource,
    cube: UnitCube,
    settings: TracerSettings,
    lipschitz: f32,
    grid: Option<Arc<DistanceGrid>>,
}

impl<'a> SphereTracer<'a> {
    /// Prepares to render `source`, whose unit cube lies in the world as `cube` says. Builds the distance grid.
    pub fn new(source: &'a dyn SdfSource, cube: UnitCube, settings: TracerSettings) -> Result<Self, RenderError> {
        let mut tracer = Self::with_grid(source, cube, settings, None)?;
        if settings.grid_cells > 0 {
            tracer.grid = Some(Arc::new(DistanceGrid::build(source, settings.grid_cells, tracer.lipschitz)));
        }
        Ok(tracer)
    }

    /// Like [`Self::new`], with a grid built earlier from the same field (see [`Self::grid`]), or none.
    pub fn with_grid(
        source: &'a dyn SdfSource,
        cube: UnitCube,
        settings: TracerSettings,
        grid: Option<Arc<DistanceGrid>>,
    ) -> Result<Self, RenderError> {
        let lipschitz = settings.lipschitz.unwrap_or(source.lipschitz());
        if !(lipschitz.is_finite() && lipschitz > 0.0) {
            return Err(RenderError::Lipschitz(lipschitz));
        }
        if !cube.is_valid() {
            return Err(RenderError::Domain { origin: cube.origin, size: cube.size });
        }
        let setting = |setting, reason: String| Err(RenderError::Setting { setting, reason });
        if !(8..=256).contains(&settings.tile) {
            return setting("tile", format!("{} pixels; expected 8 to 256", settings.tile));
        }
        if !(settings.gap > 0.0 && settings.gap < 0.1) {
            return setting("gap", format!("{}; expected above 0 and below 0.1", settings.gap));
        }
        if settings.max_steps == 0 {
            return setting("max_steps", "0; expected at least 1".into());
        }
        Ok(Self { source, cube, settings, lipschitz, grid })
    }

    /// The distance grid, to be shared with other tracers of the same field.
    pub fn grid(&self) -> Option<&Arc<DistanceGrid>> {
        self.grid.as_ref()
    }

    /// World box around the surface, from the distance grid (a cell or two wide of it); the whole cube without one.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        let near = self.grid.as_ref().and_then(|g| g.surface_bounds());
        near.map_or(self.cube.bounds(), |(lo, hi)| {
            (self.cube.to_world(lo.as_dvec3()), self.cube.to_world(hi.as_dvec3()))
        })
    }

    /// Renders one frame.
    pub fn render(&self, camera: &Camera, settings: &RenderSettings) -> Result<Frame, RenderError> {
        camera.validate()?;
        if !(1..=4096).contains(&settings.samples) {
            let reason = format!("{}; expected 1 to 4096", settings.samples);
            return Err(RenderError::Setting { setting: "samples", reason });
        }
        settings.section.map_or(Ok(()), |s| s.check())?;
        let start = Instant::now();
        let (picture, size) = ((camera.width, camera.height), self.settings.tile);
        let job = tile::TileJob::new(self, camera, settings);
        let tiles: Vec<(Area, tile::TileOutput)> = (0..Area::tiles(size, picture))
            .into_par_iter()
            .map(|i| {
                let area = Area::tile(i, size, picture);
                (area, job.run(area))
            })
            .collect();
        let mut frame = Frame::blank(picture, settings.layers, self.source.spectrum_width());
        for (area, out) in &tiles {
            out.store(*area, &mut frame);
            out.store_positions(*area, &mut frame, self.cube);
        }
        frame.stats.seconds = start.elapsed().as_secs_f64();
        Ok(frame)
    }
}

#[cfg(test)]
mod tests;
