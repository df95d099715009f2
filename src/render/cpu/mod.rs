//! Sphere tracing on the CPU.
//!
//! A frame is cut into tiles, which rayon's threads take in turn. Within a tile blocks of 8×8 pixels are advanced through
//! empty space as one cone (`cone_march`). Then the rays go on together (`sphere_trace`), those that have ended dropping
//! out, so that the field is evaluated in batches of hundreds of points. A tile's result depends on nothing but the tile:
//! frames are the same bits on any number of threads.

pub mod coarse_distance;
mod cone_march;
pub mod distance_grid;
mod occlusion;
mod shade;
mod soft_light;
mod soft_light_data;
mod sphere_trace;
mod tile;
mod trace_context;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use glam::{DVec3, Vec3};
use nstr_camera::Camera;
use nstr_space::{Cube, DistanceField};
use rayon::prelude::*;

pub use distance_grid::DistanceGrid;
pub use soft_light_data::SoftLightData;

use crate::backdrop::Backdrop;
use crate::error::RenderError;
use crate::frame::Frame;
use crate::section::box_around;
use crate::settings::RenderSettings;
use crate::tile_rect::TileRect;

/// Checks that a mask has the pixels of an image.
pub(crate) fn check_mask(mask: &[bool], (width, height): (u32, u32)) -> Result<(), RenderError> {
    let (pixels, expected) = (mask.len() as u64, u64::from(width) * u64::from(height));
    let reason = format!("{pixels} pixels; expected {expected}, one for each of the image");
    if pixels == expected { Ok(()) } else { Err(RenderError::Setting { setting: "mask", reason }) }
}

/// Settings of sphere tracing.
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
    /// Vertices along an axis of the distances that coarse shadow and occlusion are taken from.
    pub soft_light_cells: usize,
}

impl Default for TracerSettings {
    fn default() -> Self {
        Self { tile: 64, grid_cells: 128, max_steps: 512, gap: 2.5e-4, lipschitz: None, soft_light_cells: 64 }
    }
}

impl TracerSettings {
    /// The gap for one camera: a quarter of a pixel at the cube's middle, where pixels are finer than [`Self::gap`].
    pub(super) fn gap_for(&self, camera: &Camera, cube: Cube) -> f32 {
        let middle = cube.to_unit(camera.position()).distance(DVec3::splat(0.5));
        let pixel = 0.25 * (middle * camera.pixel_angle()) as f32;
        self.gap.min(pixel.max(2e-5))
    }
}

/// Sphere tracer of one field; the distance grid is built once and serves every frame.
pub struct SphereTracer<'a> {
    source: &'a dyn DistanceField,
    cube: Cube,
    settings: TracerSettings,
    lipschitz: f32,
    grid: Option<Arc<DistanceGrid>>,
    soft_light: OnceLock<Arc<SoftLightData>>,
}

impl<'a> SphereTracer<'a> {
    /// Prepares to render `source`, whose unit cube is `cube` in the world. Builds the distance grid.
    ///
    /// # Errors
    /// A Lipschitz bound, cube or setting out of range.
    pub fn new(source: &'a dyn DistanceField, cube: Cube, settings: TracerSettings) -> Result<Self, RenderError> {
        let mut tracer = Self::with_grid(source, cube, settings, None)?;
        if settings.grid_cells > 0 {
            tracer.grid = Some(Arc::new(DistanceGrid::build(source, settings.grid_cells, tracer.lipschitz)));
        }
        Ok(tracer)
    }

    /// Like [`Self::new`], with a grid built earlier from the same field (see [`Self::grid`]), or none.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_grid(
        source: &'a dyn DistanceField,
        cube: Cube,
        settings: TracerSettings,
        grid: Option<Arc<DistanceGrid>>,
    ) -> Result<Self, RenderError> {
        let lipschitz = settings.lipschitz.unwrap_or(source.lipschitz());
        if !(lipschitz.is_finite() && lipschitz > 0.0) {
            return Err(RenderError::Lipschitz(lipschitz));
        }
        if !cube.is_valid() {
            return Err(RenderError::Cube { origin: cube.origin, size: cube.size });
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
        Ok(Self { source, cube, settings, lipschitz, grid, soft_light: OnceLock::new() })
    }

    /// The distance grid, to be shared with other tracers of the same field.
    pub fn grid(&self) -> Option<&Arc<DistanceGrid>> {
        self.grid.as_ref()
    }

    /// The same tracer with data of soft light that were made earlier from the same field.
    pub fn with_soft_light(self, data: Arc<SoftLightData>) -> Self {
        Self { soft_light: OnceLock::from(data), ..self }
    }

    /// Data that coarse shadow and occlusion need; made at the first call.
    pub fn soft_light(&self) -> &Arc<SoftLightData> {
        self.soft_light.get_or_init(|| Arc::new(SoftLightData::new(self.source, self.settings.soft_light_cells)))
    }

    /// Graded background of a world whose upward axis is `up`, with the object's shadow on the ground.
    pub fn backdrop(&self, up: Vec3) -> Backdrop {
        Backdrop::new(self.soft_light().ground(self.cube, up))
    }

    /// World box around the surface, from the distance grid (a cell or two wide of it); the whole cube without one.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        let near = self.grid.as_ref().and_then(|g| g.surface_bounds());
        near.map_or(self.cube.bounds(), |(lo, hi)| {
            (self.cube.to_world(lo.as_dvec3()), self.cube.to_world(hi.as_dvec3()))
        })
    }

    /// Box that a section shows the field within.
    pub fn section_box(&self) -> (DVec3, DVec3) {
        box_around(self.bounds(), self.cube)
    }

    /// Renders one frame.
    ///
    /// # Errors
    /// A camera or setting that cannot be used.
    pub fn render(&self, camera: &Camera, settings: &RenderSettings) -> Result<Frame, RenderError> {
        self.render_pixels(camera, settings, None)
    }

    /// Renders one frame, or of it the pixels whose `mask` is `true`, rows from the top; the others are as if nothing was there.
    ///
    /// # Errors
    /// A camera or setting that cannot be used, a mask of another size.
    pub fn render_pixels(
        &self,
        camera: &Camera,
        settings: &RenderSettings,
        mask: Option<&[bool]>,
    ) -> Result<Frame, RenderError> {
        camera.validate()?;
        mask.map_or(Ok(()), |mask| check_mask(mask, (camera.width, camera.height)))?;
        settings.check()?;
        let start = Instant::now();
        let (picture, size) = ((camera.width, camera.height), self.settings.tile);
        let job = tile::TileJob::new(self, camera, settings, mask);
        let tiles: Vec<(TileRect, tile::TileOutput)> = (0..TileRect::tiles(size, picture))
            .into_par_iter()
            .map(|i| {
                let area = TileRect::tile(i, size, picture);
                (area, job.run(area))
            })
            .collect();
        let mut frame = Frame::blank(picture, settings.layers, self.source.spectrum_width());
        for (area, out) in &tiles {
            out.store(*area, self.cube, &mut frame);
        }
        frame.stats.seconds = start.elapsed().as_secs_f64();
        Ok(frame)
    }
}
