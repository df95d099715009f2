//! Volume ray marching on the CPU.
//!
//! A frame is cut into tiles, which rayon's threads take in turn; the rays of a tile march together, so that the field is
//! evaluated in batches of thousands of points. A tile's result depends on nothing but the tile: frames are the same bits
//! on any number of threads.
//!
//! Colours are composited, background included, in the sRGB values that the field was trained on; frames hold them as
//! linear light. Data layers are means over the centre ray, each sample weighted by the share `w` of the light that it
//! stops: `depth.ray` is at `Σw·s / Σw`, `position` the point at that depth, `normal` the mean of `−∇σ/‖∇σ‖` made unit,
//! `S`, `gradS` and `residual` likewise; `curvature` is that of the density's level set at `position`. Depths are mean arc
//! lengths `s` along the path through the unit cube (see [`SceneMap`]), taken back to world distances; of a box that is the mean
//! distance. A plane that
//! shows the field (see [`crate::section`]) stops all the light that reaches it. A pixel covered by less than 1 % counts as
//! a miss: depth +∞, the others 0.

mod fusion;
mod march;
mod mesh;
mod tile;

#[cfg(test)]
mod tests;

use std::time::Instant;

use glam::DVec3;
use nstr_camera::CameraModel;
use nstr_space::{RadianceField, SceneMap};
use rayon::prelude::*;

pub use fusion::{FusionError, fused_surface};
pub use mesh::{LevelSet, LevelSetError, level_set};

use crate::cpu::check_mask;
use crate::error::RenderError;
use crate::frame::Frame;
use crate::section::{Plane, box_around};
use crate::settings::RenderSettings;
use crate::tile_rect::TileRect;

/// Settings of ray marching; lengths in field units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VolumeSettings {
    /// Length of the shortest strata, above 0.
    pub step: f32,
    /// Growth of a stratum's length with the distance, 0 to 1; 0 keeps all equal.
    pub cone: f32,
    /// Distance from the camera before which nothing is seen, in units of the map's length scale.
    pub near: f32,
    /// A ray that lets less light pass ends and counts as opaque, 0 to below 1.
    pub min_transmittance: f32,
    /// Pixels along a tile's edge, 8 to 256.
    pub tile: u32,
}

impl Default for VolumeSettings {
    fn default() -> Self {
        Self { step: 3f32.sqrt() / 1024.0, cone: 0.0, near: 0.0, min_transmittance: 1e-3, tile: 64 }
    }
}

/// What a view's pixels show, rows from the top, by the rays through their centres.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ViewPixels {
    /// sRGB values over the background, neither clamped nor rounded; empty where they were not asked for.
    pub colours: Vec<[f32; 3]>,
    /// Opacity, 0 to 1: the share of the light that is stopped.
    pub opacity: Vec<f32>,
    /// Expected distance along the ray, world units, as the layer `depth.ray`; infinite where less than 1 % is stopped.
    pub depth: Vec<f32>,
}

/// Volume renderer of one radiance field.
pub struct VolumeRenderer<'a> {
    source: &'a dyn RadianceField,
    map: SceneMap,
    settings: VolumeSettings,
}

impl<'a> VolumeRenderer<'a> {
    /// Prepares to render `source`; `map` takes the world, or the cube of it that is modelled, to its unit cube.
    ///
    /// # Errors
    /// A map or setting out of range.
    pub fn new(
        source: &'a dyn RadianceField,
        map: impl Into<SceneMap>,
        settings: VolumeSettings,
    ) -> Result<Self, RenderError> {
        let map = map.into();
        if !map.is_valid() {
            let cube = map.cube();
            return Err(RenderError::Cube { origin: cube.origin, size: cube.size });
        }
        let setting = |setting, reason: String| Err(RenderError::Setting { setting, reason });
        let VolumeSettings { step, cone, near, min_transmittance, tile } = settings;
        if !(1e-5..=1.0).contains(&step) {
            return setting("step", format!("{step} of the cube's edge; expected 1e-5 to 1"));
        }
        if !(0.0..=1.0).contains(&cone) {
            return setting("cone", format!("{cone}; expected 0 to 1"));
        }
        if !(near.is_finite() && near >= 0.0) {
            return setting("near", format!("{near}; expected a finite number from 0"));
        }
        if !(0.0..1.0).contains(&min_transmittance) {
            return setting("min_transmittance", format!("{min_transmittance}; expected 0 to below 1"));
        }
        if !(8..=256).contains(&tile) {
            return setting("tile", format!("{tile} pixels; expected 8 to 256"));
        }
        Ok(Self { source, map, settings })
    }

    /// World box around the occupied cells; the whole cube where there are none, and of maps that reach to infinity.
    pub fn bounds(&self) -> (DVec3, DVec3) {
        let cube = self.map.cube();
        match (self.map, self.source.occupancy().bounds()) {
            (SceneMap::Box(_), Some((lo, hi))) => (cube.to_world(lo.as_dvec3()), cube.to_world(hi.as_dvec3())),
            _ => cube.bounds(),
        }
    }

    /// Box that a section shows the field within; `None` of maps that reach to infinity, whose scenes are all around.
    pub fn section_box(&self) -> Option<(DVec3, DVec3)> {
        self.map.is_box().then(|| box_around(self.bounds(), self.map.cube()))
    }

    /// Renders one frame.
    ///
    /// # Errors
    /// A camera or setting that cannot be used.
    pub fn render(&self, view: &dyn CameraModel, settings: &RenderSettings) -> Result<Frame, RenderError> {
        self.render_pixels(view, settings, None)
    }

    /// Renders one frame, or of it the pixels whose `mask` is `true`, rows from the top; the others are as if nothing was there.
    ///
    /// # Errors
    /// A camera or setting that cannot be used, a mask of another size.
    pub fn render_pixels(
        &self,
        view: &dyn CameraModel,
        settings: &RenderSettings,
        mask: Option<&[bool]>,
    ) -> Result<Frame, RenderError> {
        view.check()?;
        mask.map_or(Ok(()), |mask| check_mask(mask, view.size()))?;
        settings.check()?;
        let start = Instant::now();
        let plane = Plane::of(settings, self.map.world_frame());
        let job = tile::VolumeTileJob { renderer: self, view, plane, mask };
        let tiles = self.tiles(view, |area| job.render(area, settings));
        let mut frame = Frame::blank(view.size(), settings.layers, self.source.spectrum_width());
        for (area, out) in &tiles {
            out.store(*area, &mut frame);
        }
        frame.stats.seconds = start.elapsed().as_secs_f64();
        Ok(frame)
    }

    /// sRGB values at the pixels' centres over a background given in sRGB values, rows from the top, neither clamped nor
    /// rounded, for metrics that compare with a capture's images.
    ///
    /// # Errors
    /// A camera that cannot be used.
    pub fn colours(&self, view: &dyn CameraModel, background: [f32; 3]) -> Result<Vec<[f32; 3]>, RenderError> {
        Ok(self.pixels(view, Some(background))?.colours)
    }

    /// [`Self::colours`] with opacities and depths; without a background these alone, which takes less time.
    ///
    /// # Errors
    /// A camera that cannot be used.
    pub fn pixels(&self, view: &dyn CameraModel, background: Option<[f32; 3]>) -> Result<ViewPixels, RenderError> {
        view.check()?;
        let job = tile::VolumeTileJob { renderer: self, view, plane: None, mask: None };
        let tiles = self.tiles(view, |area| job.pixels(area, background));
        let (width, height) = view.size();
        let count = width as usize * height as usize;
        let mut out = ViewPixels {
            colours: background.map_or(Vec::new(), |background| vec![background; count]),
            opacity: vec![0.0; count],
            depth: vec![f32::INFINITY; count],
        };
        for (area, found) in tiles {
            for i in 0..area.len() {
                let at = area.place(i, width);
                (out.opacity[at], out.depth[at]) = (found.opacity[i], found.depth[i]);
                if let (Some(to), Some(colour)) = (out.colours.get_mut(at), found.colours.get(i)) {
                    *to = *colour;
                }
            }
        }
        Ok(out)
    }

    /// Opacity, 0 to 1, of what lies on each pixel's ray up to a distance from the camera, world units; rows from the top.
    ///
    /// # Errors
    /// A camera that cannot be used.
    pub fn opacity_within(&self, view: &dyn CameraModel, distance: f64) -> Result<Vec<f32>, RenderError> {
        view.check()?;
        let job = tile::VolumeTileJob { renderer: self, view, plane: None, mask: None };
        let tiles = self.tiles(view, |area| job.opacity_within(area, distance));
        let (width, height) = view.size();
        let mut out = vec![0.0; width as usize * height as usize];
        for (area, found) in tiles {
            found.iter().enumerate().for_each(|(i, opacity)| out[area.place(i, width)] = *opacity);
        }
        Ok(out)
    }

    fn tiles<T: Send>(&self, view: &dyn CameraModel, run: impl Fn(TileRect) -> T + Sync) -> Vec<(TileRect, T)> {
        let (size, tile) = (view.size(), self.settings.tile);
        let one = |i| {
            let area = TileRect::tile(i, tile, size);
            (area, run(area))
        };
        (0..TileRect::tiles(tile, size)).into_par_iter().map(one).collect()
    }
}
