//! GPU renderer of one field: its shaders, its scene on the device, and the dispatches that make a frame.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nstr_camera::camera::Camera;
use nstr_image::colormap::{Colormap, KNOTS};
use nstr_space::occupancy::Occupancy;
use nstr_space::{Cube, SceneMap};

use crate::cpu::coarse_distance::CoarseDistance;
use crate::cpu::{DistanceGrid, TracerSettings};
use crate::curvature::CURVATURE_STEP;
use crate::error::RenderError;
use crate::frame::Frame;
use crate::gpu::device::Gpu;
use crate::gpu::error::GpuError;
use crate::gpu::field::GpuField;
use crate::gpu::frame::Reader;
use crate::gpu::params::Params;
use crate::gpu::render_target::{OutputFlags, RenderTarget, band_rows};
use crate::gpu::shader::{Attachment, Shader, Tile};
use crate::layers::LayerSet;
use crate::settings::RenderSettings;
use crate::volume::VolumeSettings;

/// Pixels along the edge of a block; a dispatch takes whole blocks.
const BLOCK: u32 = 32;
/// Blocks of the first dispatch, before the device's speed is known.
const FIRST_BUDGET: u32 = 8;
/// Time that a dispatch may take: far below what drivers' watchdogs allow, and short enough to stay responsive.
const DISPATCH: Duration = Duration::from_millis(100);

/// Evaluations that a pass may do for a pixel: the rays that need more go on in another one.
const EVALUATIONS: u32 = 512;
/// Iterations of loops in evaluations that one pass may count on: Mesa's software driver grants an invocation 65535, and
/// stepping over empty space and short loops that its compiler leaves rolled take theirs.
const ITERATIONS: usize = 40_000;
/// Evaluations that a hit and its ambient occlusion take at once; as in `shaders/sphere.wgsl`.
const SURFACE: usize = 12;
const AMBIENT: usize = 24;

/// Kind of field, and the settings of its rays.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Sphere { tracer: TracerSettings, lipschitz: f32, cells: u32, soft: u32 },
    Volume { settings: VolumeSettings, low: [f32; 4], high: [f32; 4], cells: u32 },
}

/// Renderer of one field with shaders.
#[derive(Debug)]
pub struct GpuRenderer {
    field: GpuField,
    map: SceneMap,
    /// Coordinates of the world that rays are given in.
    frame: Cube,
    kind: Kind,
    scene: wgpu::Buffer,
    params: wgpu::Buffer,
    layout: wgpu::BindGroupLayout,
    shaders: Mutex<HashMap<OutputFlags, Shader>>,
    /// Blocks a dispatch, by the measured speed of the device.
    tile_budget: Mutex<u32>,
}

/// Frame in progress: the work that is left.
#[derive(Debug)]
pub struct FrameJob {
    params: Params,
    shader: Shader,
    target: Attachment,
    bound: wgpu::BindGroup,
    samples: u32,
    sample: u32,
    /// Next block, and how many there are along a row and in all.
    block: u32,
    across: u32,
    blocks: u32,
    /// Rows of the band.
    rows: u32,
    /// Counter of the rays that a pass leaves unfinished.
    unfinished: wgpu::Buffer,
}

impl FrameJob {
    /// Samples a pixel that are done.
    pub fn samples_done(&self) -> u32 {
        self.sample
    }

    /// Fraction of the work that is done, 0 to 1.
    pub fn fraction(&self) -> f64 {
        (f64::from(self.sample) + f64::from(self.block) / f64::from(self.blocks)) / f64::from(self.samples)
    }
}

impl GpuRenderer {
    /// A renderer of a signed distance field whose cube in the world is `cube`; `lipschitz` bounds ‖∇f‖, `grid`
    /// is its empty space (none: rays are traced without).
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] for grids beyond the device's largest buffer.
    pub fn sdf(
        field: GpuField,
        cube: Cube,
        tracer: TracerSettings,
        lipschitz: f32,
        grid: Option<&DistanceGrid>,
    ) -> Result<Self, GpuError> {
        let scene = surroundings(field.gpu(), grid, None)?;
        let kind = Kind::Sphere { tracer, lipschitz, cells: grid.map_or(0, |g| g.cells() as u32), soft: 0 };
        Ok(Self::new(field, cube.into(), kind, scene))
    }

    /// A renderer of a radiance field; `map` takes the world, or the cube of it that is modelled, to its unit cube.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] for occupancy beyond the device's largest buffer.
    pub fn volume(
        field: GpuField,
        map: impl Into<SceneMap>,
        settings: VolumeSettings,
        occupancy: &Occupancy,
    ) -> Result<Self, GpuError> {
        let scene = cells(field.gpu(), occupancy)?;
        let kind = Self::occupied(settings, occupancy);
        Ok(Self::new(field, map.into(), kind, scene))
    }

    fn occupied(settings: VolumeSettings, occupancy: &Occupancy) -> Kind {
        // Nothing occupied: a box that no ray meets.
        let (low, high) = occupancy.bounds().unwrap_or((glam::Vec3::splat(2.0), glam::Vec3::splat(-2.0)));
        let [low, high] = [low, high].map(|v| v.extend(0.0).to_array());
        Kind::Volume { settings, low, high, cells: occupancy.cells() as u32 }
    }

    fn new(field: GpuField, map: SceneMap, kind: Kind, scene: wgpu::Buffer) -> Self {
        let gpu = field.gpu();
        let layout = gpu.layout(&[false, false, true, true, true, true, true, true], true);
        let params = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size: size_of::<Params>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            field,
            map,
            frame: map.world_frame(),
            kind,
            scene,
            params,
            layout,
            shaders: Mutex::default(),
            tile_budget: Mutex::new(FIRST_BUDGET),
        }
    }

    /// Map from the world to the field's unit cube.
    pub fn map(&self) -> SceneMap {
        self.map
    }

    /// The field.
    pub fn field(&self) -> &GpuField {
        &self.field
    }

    /// Updates the parameters of a signed distance field, for views of a running fit.
    ///
    /// # Errors
    /// Those of [`Self::sdf`].
    pub fn update_sdf(
        &mut self,
        latent: &[f32],
        net: &[f32],
        bound: f32,
        empty: Option<&DistanceGrid>,
    ) -> Result<(), GpuError> {
        self.field.update(latent, net);
        if let Kind::Sphere { lipschitz, cells, soft, .. } = &mut self.kind {
            (*lipschitz, *cells, *soft) = (bound, empty.map_or(0, |g| g.cells() as u32), 0);
            self.scene = surroundings(self.field.gpu(), empty, None)?;
        }
        Ok(())
    }

    /// Takes occlusion and shadow of coarse lighting from `distance`, until the next update; without it such lighting has neither. `empty`
    /// is the empty space that the renderer was given.
    ///
    /// # Errors
    /// Those of [`Self::sdf`].
    pub fn set_soft_light(&mut self, empty: Option<&DistanceGrid>, distance: &CoarseDistance) -> Result<(), GpuError> {
        if let Kind::Sphere { soft, .. } = &mut self.kind {
            *soft = distance.vertices() as u32;
            self.scene = surroundings(self.field.gpu(), empty, Some(distance))?;
        }
        Ok(())
    }

    /// Updates the parameters of a radiance field with their ray marching and occupancy.
    ///
    /// # Errors
    /// Those of [`Self::volume`].
    pub fn update_volume(
        &mut self,
        latent: &[f32],
        net: &[f32],
        settings: VolumeSettings,
        occupancy: &Occupancy,
    ) -> Result<(), GpuError> {
        self.field.update(latent, net);
        if matches!(self.kind, Kind::Volume { .. }) {
            self.kind = Self::occupied(settings, occupancy);
            self.scene = cells(self.field.gpu(), occupancy)?;
        }
        Ok(())
    }

    /// Renders a frame, in bands of rows where it is large.
    ///
    /// # Errors
    /// [`GpuError::Render`] for cameras and settings that cannot be used, [`GpuError::Shader`] where the driver cannot
    /// compile the field, [`GpuError::Lost`] where it fails at run time.
    pub fn render(&self, camera: &Camera, settings: &RenderSettings) -> Result<Frame, GpuError> {
        let start = Instant::now();
        let size = (camera.width, camera.height);
        let width = self.field.spec().spectrum_width();
        let mut frame = Frame::blank(size, settings.layers, width);
        let outputs = OutputFlags::new(settings.layers);
        // Data layers come from the centre ray: with several samples they are a pass of their own.
        let split = outputs.colour && outputs.layers && settings.samples > 1;
        let passes = match split {
            true => {
                vec![OutputFlags { colour: true, layers: false, ..outputs }, OutputFlags { colour: false, ..outputs }]
            }
            false => vec![outputs],
        };
        for outputs in passes {
            let samples = if outputs.colour { settings.samples } else { 1 };
            let settings = RenderSettings { samples, ..*settings };
            let rows = band_rows(self.field.gpu(), size, outputs, width);
            for first in (0..camera.height).step_by(rows as usize) {
                let band = (first, rows.min(camera.height - first));
                let mut render_target = RenderTarget::new(self.field.gpu(), camera.width, band, outputs, width)?;
                let mut job = self.start(&mut render_target, camera, &settings)?;
                while self.advance(&mut job)? {}
                Reader { render_target: &render_target, cube: self.frame }.read(self.field.gpu(), &mut frame)?;
            }
        }
        frame.stats.rays = u64::from(camera.width) * u64::from(camera.height) * u64::from(settings.samples);
        frame.stats.evals = frame.steps.iter().map(|s| *s as u64).sum();
        frame.stats.seconds = start.elapsed().as_secs_f64();
        Ok(frame)
    }

    /// Buffers for a whole image with the layers of `settings`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] where it exceeds the device's largest buffer.
    pub fn render_target(
        &self,
        (width, height): (u32, u32),
        settings: &RenderSettings,
    ) -> Result<RenderTarget, GpuError> {
        let spectrum = self.field.spec().spectrum_width();
        RenderTarget::new(self.field.gpu(), width, (0, height), OutputFlags::new(settings.layers), spectrum)
    }

    /// Begins a frame, to be made by [`Self::advance`].
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn start(
        &self,
        render_target: &mut RenderTarget,
        camera: &Camera,
        settings: &RenderSettings,
    ) -> Result<FrameJob, GpuError> {
        camera.validate().map_err(RenderError::from)?;
        settings.check()?;
        let gpu = self.field.gpu();
        render_target.shift(gpu, settings.samples, settings.seed)?;
        let shader = self.shader(render_target.outputs)?;
        let buffers = [
            &self.scene,
            &render_target.shifts,
            &render_target.colour,
            &render_target.alpha,
            &render_target.layers,
            &render_target.spectrum,
            &render_target.states,
            &render_target.unfinished,
            &self.params,
        ];
        let bound = gpu.bind(&self.layout, &buffers);
        let across = render_target.width.div_ceil(BLOCK);
        let mut params = self.params(camera, settings);
        params.pass[1] = self.budget(render_target.outputs, settings)?;
        (params.band[0], params.band[1]) = (render_target.width, render_target.first);
        Ok(FrameJob {
            params,
            shader,
            target: render_target.target.clone(),
            bound,
            samples: settings.samples,
            sample: 0,
            block: 0,
            across,
            blocks: across * render_target.rows.div_ceil(BLOCK),
            rows: render_target.rows,
            unfinished: render_target.unfinished.clone(),
        })
    }

    /// Reads a render target of a whole image.
    ///
    /// # Errors
    /// [`GpuError::Lost`] where the device fails.
    pub fn read(&self, render_target: &RenderTarget, layers: LayerSet) -> Result<Frame, GpuError> {
        let size = (render_target.width, render_target.rows);
        let mut frame = Frame::blank(size, layers, self.field.spec().spectrum_width());
        Reader { render_target, cube: self.frame }.read(self.field.gpu(), &mut frame)?;
        Ok(frame)
    }

    /// Renders the next part of a frame and waits for it; `false` once the frame is done.
    ///
    /// # Errors
    /// [`GpuError::Lost`] where the device fails.
    pub fn advance(&self, job: &mut FrameJob) -> Result<bool, GpuError> {
        if job.sample >= job.samples {
            return Ok(false);
        }
        let (tile, blocks) = self.next_tile(job);
        let gpu = self.field.gpu();
        job.params.band[2] = job.sample;
        for pass in 0.. {
            let start = Instant::now();
            job.params.pass[0] = pass;
            gpu.queue().write_buffer(&self.params, 0, bytemuck::bytes_of(&job.params));
            gpu.queue().write_buffer(&job.unfinished, 0, &[0; 4]);
            job.shader.run(gpu, [self.field.group().1, &job.bound], &job.target, tile);
            let left = gpu.read(&job.unfinished, 4)?;
            if pass == 0 {
                self.update_tile_budget(blocks, start.elapsed());
            }
            if left.iter().all(|b| *b == 0) {
                break;
            }
        }
        job.block += blocks;
        if job.block >= job.blocks {
            (job.block, job.sample) = (0, job.sample + 1);
        }
        Ok(job.sample < job.samples)
    }

    /// The next tile within the tile budget, and its number of blocks.
    fn next_tile(&self, job: &FrameJob) -> (Tile, u32) {
        let tile_budget = *self.tile_budget.lock().unwrap_or_else(PoisonError::into_inner);
        let column = job.block % job.across;
        let left = job.across - column;
        // A part of a row of blocks, or several whole rows.
        let (wide, high) = if column == 0 && tile_budget >= job.across {
            let rows = (job.blocks - job.block) / job.across;
            (job.across, (tile_budget / job.across).min(rows))
        } else {
            (tile_budget.clamp(1, left), 1)
        };
        let (x, y) = (column * BLOCK, job.block / job.across * BLOCK);
        let end = |at: u32, count: u32, most: u32| (at + count * BLOCK).min(most);
        ([x, y, end(x, wide, job.params.band[0]), end(y, high, job.rows)], wide * high)
    }

    /// Adjusts the tile budget after `blocks` blocks took `time`, so that the next dispatch takes about [`DISPATCH`].
    fn update_tile_budget(&self, blocks: u32, time: Duration) {
        let factor = (DISPATCH.as_secs_f64() / time.as_secs_f64().max(1e-6)).clamp(0.25, 4.0);
        let next = (f64::from(blocks) * factor) as u32;
        let mut tile_budget = self.tile_budget.lock().unwrap_or_else(PoisonError::into_inner);
        // A row's last part is no measure of larger dispatches.
        if blocks >= *tile_budget || factor < 1.0 {
            *tile_budget = next.clamp(1, 1 << 20);
        }
    }

    /// Evaluations that a pass may do.
    fn budget(&self, outputs: OutputFlags, settings: &RenderSettings) -> Result<u32, GpuError> {
        if !self.field.gpu().is_software() {
            return Ok(EVALUATIONS);
        }
        let (each, extra) = self.field.iterations();
        let budget = match self.kind {
            // Layers are made once, at the hit.
            Kind::Sphere { .. } => ITERATIONS.saturating_sub(extra) / each,
            // Any sample may be evaluated with its derivatives too.
            Kind::Volume { .. } if outputs.layers => ITERATIONS / (2 * each + extra),
            Kind::Volume { .. } => ITERATIONS / each,
        };
        let secondary = settings.shading.secondary();
        let needed = match (self.kind, secondary.occlusion && !secondary.is_coarse) {
            (Kind::Sphere { .. }, true) => SURFACE + AMBIENT,
            (Kind::Sphere { .. }, false) => SURFACE,
            (Kind::Volume { .. }, _) => 1,
        };
        if budget < needed {
            let what = "a field this wide on a software driver, whose loops are cut short".into();
            return Err(GpuError::Unsupported { what });
        }
        Ok(budget as u32)
    }

    fn params(&self, camera: &Camera, settings: &RenderSettings) -> Params {
        let mut params = Params::new(camera, self.frame)
            .with_background(settings.background)
            .with_lighting(&settings.shading, camera)
            .with_sampling(settings.samples, settings.filter)
            .with_section(settings, self.frame);
        match self.kind {
            Kind::Sphere { tracer, lipschitz, cells, soft } => {
                if settings.shading.is_coarse {
                    params.flags[3] = soft;
                    if soft == 0 {
                        (params.flags[1], params.flags[2]) = (0, 0);
                    }
                }
                (params.lens[1], params.lens[2]) = (tracer.gap_for(camera, self.frame), lipschitz);
                (params.options[1], params.options[2]) = (cells, tracer.max_steps);
            }
            Kind::Volume { settings, low, high, cells } => {
                params.lens[3] = settings.near;
                params.march = [settings.step, settings.cone, settings.min_transmittance, 0.0];
                params = params.with_map(&self.map, camera);
                (params.low, params.high) = (low, high);
                params.options[1] = cells;
            }
        }
        params
    }

    fn shader(&self, outputs: OutputFlags) -> Result<Shader, GpuError> {
        let mut shaders = self.shaders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shaders.get(&outputs) {
            return Ok(found.clone());
        }
        // A volume's colours need no derivatives; a surface's normals do.
        let sphere = matches!(self.kind, Kind::Sphere { .. });
        let mut source = outputs.source();
        source += &format!("const CURVATURE_STEP = {CURVATURE_STEP:e};\n");
        source += &colormap_source();
        source += &self.field.source(sphere || outputs.layers);
        source += nstr_shaders::VIEW;
        source += nstr_shaders::SECTION;
        source += nstr_shaders::CURVATURE;
        source += &match sphere {
            true => {
                [nstr_shaders::SHADE, nstr_shaders::OCCLUSION, nstr_shaders::SOFT_LIGHT, nstr_shaders::SPHERE].concat()
            }
            false => {
                let map = match self.map {
                    SceneMap::Box(_) => "const MAP = BOX_MAP;\n",
                    SceneMap::Open(_) => "const MAP = OPEN_MAP;\n",
                    SceneMap::Forward(_) => "const MAP = FORWARD_MAP;\n",
                };
                [map, nstr_shaders::PATH, nstr_shaders::MARCH, nstr_shaders::VOLUME].concat()
            }
        };
        let name = if sphere { "sphere" } else { "volume" };
        let made = Shader::new(self.field.gpu(), name, source, [self.field.group().0, &self.layout])?;
        shaders.insert(outputs, made.clone());
        Ok(made)
    }
}

/// The clearances of a signed distance field's empty space, then coarse distances.
fn surroundings(
    gpu: &Gpu,
    grid: Option<&DistanceGrid>,
    distance: Option<&CoarseDistance>,
) -> Result<wgpu::Buffer, GpuError> {
    let (clearances, distances) = (grid.map_or(&[][..], |g| g.clearances()), distance.map_or(&[][..], |d| d.values()));
    gpu.upload("distance grid", bytemuck::cast_slice(&[clearances, distances].concat()))
}

/// The occupied cells of a radiance field.
fn cells(gpu: &Gpu, occupancy: &Occupancy) -> Result<wgpu::Buffer, GpuError> {
    gpu.upload("occupancy", bytemuck::cast_slice(&occupancy.packed()))
}

/// The colour maps of false-colour images and the sRGB curve as WGSL.
pub fn colormap_source() -> String {
    let sequential = knots_source("SEQUENTIAL_KNOTS", Colormap::Viridis);
    let diverging = knots_source("DIVERGING_KNOTS", Colormap::BlueRed);
    let intervals = KNOTS - 1;
    format!("const KNOT_INTERVALS = {intervals}u;\n{sequential}{diverging}{}", nstr_shaders::COLOURS)
}

/// A colour map's knots as a constant of the shader.
fn knots_source(name: &str, map: Colormap) -> String {
    let vectors: Vec<String> = map.knots().iter().map(|[r, g, b]| format!("vec3({r:?}, {g:?}, {b:?})")).collect();
    format!("const {name} = array<vec3<f32>, {KNOTS}>({});\n", vectors.join(", "))
}
