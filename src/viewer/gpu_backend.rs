//! Backend that renders in shaders, on the device that presents: images never pass through memory.
//!
//! It renders tile by tile in a thread of its own and checks for a newer request after each tile. The CPU renders what the
//! shaders cannot: fields without a model, models that are too wide, and the difference to a capture's image.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nstr_camera::camera::Camera;
use nstr_image::colour::Background;
use nstr_pipeline::renderer::CpuRenderer;
use nstr_pipeline::upload;
use nstr_pipeline::upload::RenderKind;
use nstr_render::Filter;
use nstr_render::RenderSettings;
use nstr_render::gpu::{FrameJob, Gpu, GpuError, GpuRenderer, RenderTarget};

use crate::cpu_backend::{CpuWorker, downscaled};
use crate::display_mode::DisplayMode;
use crate::gpu_tonemap::GpuTonemapper;
use crate::preview::Previews;
use crate::progressive::{ProgressivePlan, ThroughputEstimate};
use crate::render_backend::{PixelBuffer, Quality, RenderRequest, RenderedImage};
use crate::render_thread::{Mailbox, RenderThread, RenderWorker, Waker};
use crate::scene::{Scene, SceneField};
use crate::tonemap::{ColourRanges, colour_ranges};

/// Starts a backend on `gpu`, the window's device; `wake` is called after every change that `poll` would show.
///
/// # Errors
/// The system's error if it has no thread to give.
pub(crate) fn start(gpu: Gpu, wake: Waker) -> std::io::Result<RenderThread> {
    RenderThread::start(format!("GPU, {}", gpu.name()), wake, |mailbox| Box::new(GpuWorker::new(gpu, mailbox)))
}

/// Minimum time between images of one pass while its samples come in.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);

/// State that the thread keeps between requests.
struct GpuWorker {
    mailbox: Mailbox,
    gpu: Gpu,
    tonemapper: GpuTonemapper,
    speed: ThroughputEstimate,
    /// The scene whose field is on the device, and its renderer.
    uploaded: Option<(Arc<Scene>, GpuRenderer)>,
    /// Camera and layer of the last image.
    last: Option<(Camera, DisplayMode)>,
    cpu: CpuWorker,
}

/// A pass being rendered.
struct GpuPass<'a> {
    request: &'a RenderRequest,
    target: RenderTarget,
    camera: Camera,
    divisor: u32,
    samples: u32,
    start: Instant,
}

impl RenderWorker for GpuWorker {
    fn render(&mut self, serial: u64, request: &RenderRequest) -> Result<(), String> {
        let rendered = match self.upload(request) {
            Ok(true) => self.refine(serial, request),
            Ok(false) => {
                self.cpu.note = None;
                return self.cpu.render(serial, request);
            }
            Err(e) => Err(e),
        };
        let Err(e) = rendered else { return Ok(()) };
        // The state of the device is unknown after an error.
        self.uploaded = None;
        self.cpu.note = Some(format!("rendered on the CPU: {e}"));
        self.cpu.render(serial, request)
    }
}

impl GpuWorker {
    fn new(gpu: Gpu, mailbox: Mailbox) -> Self {
        let (tonemapper, cpu) = (GpuTonemapper::new(&gpu), CpuWorker::new(mailbox.clone(), Previews::off()));
        Self { mailbox, gpu, tonemapper, speed: ThroughputEstimate::default(), uploaded: None, last: None, cpu }
    }

    /// Uploads the request's field to the device; `false` if the CPU has to render it.
    fn upload(&mut self, request: &RenderRequest) -> Result<bool, GpuError> {
        let scene = &request.scene;
        // The shaders' planes are opaque.
        let is_translucent = request.section_opacity < 1.0 && request.section.is_some();
        let Some(model) = scene.model.as_ref().filter(|_| request.mode != DisplayMode::Error && !is_translucent) else {
            return Ok(false);
        };
        if self.uploaded.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, scene)) {
            return Ok(true);
        }
        let soft_light = scene.soft_light();
        let prepared = scene.renderer()?;
        let rays = match (&scene.field, &prepared) {
            (SceneField::Sdf(source), CpuRenderer::Surface(tracer)) => {
                let soft = soft_light.as_ref().map(|data| data.distance());
                RenderKind::Surface { lipschitz: source.lipschitz(), empty: tracer.grid().map(|g| &**g), soft }
            }
            (SceneField::Radiance(source, settings), _) => {
                RenderKind::Volume { settings: *settings, occupancy: source.occupancy() }
            }
            _ => return Ok(false),
        };
        let kept = match self.uploaded.take() {
            Some((_, mut known)) => upload::update(&mut known, model, &rays)?.then_some(known),
            None => None,
        };
        let renderer = match kept {
            Some(kept) => kept,
            None => upload::renderer(&self.gpu, model, &rays)?,
        };
        self.uploaded = Some((scene.clone(), renderer));
        Ok(true)
    }

    /// Renders passes until the quality is reached or a newer request comes: coarse ones first, then all samples at full size.
    fn refine(&mut self, serial: u64, request: &RenderRequest) -> Result<(), GpuError> {
        let Some((_, renderer)) = &self.uploaded else { return Ok(()) };
        let same = self.last == Some((request.camera, request.mode));
        let multisamples = matches!(request.mode, DisplayMode::Shaded | DisplayMode::Error);
        let mut plan = ProgressivePlan::new(request, &self.speed, same, false).of_all_pixels(multisamples);
        let mut ranges = None;
        while let Some(planned) = plan.next_pass() {
            let samples = match request.quality {
                Quality::Full(samples) if planned.samples > 1 => samples,
                _ => 1,
            };
            let camera = downscaled(&request.camera, planned.divisor);
            let settings = settings(request, samples);
            let size = (camera.width, camera.height);
            let target = renderer.render_target(size, &settings)?;
            let mut pass =
                GpuPass { request, target, camera, divisor: planned.divisor, samples, start: Instant::now() };
            let mut job = renderer.start(&mut pass.target, &camera, &settings)?;
            let (mut published, mut published_at) = (0, None::<Instant>);
            loop {
                let more = renderer.advance(&mut job)?;
                if !planned.must_finish && !self.mailbox.is_newest(serial) {
                    return Ok(());
                }
                self.mailbox.set_progress(serial, plan.progress(job.fraction() as f32));
                let due = published_at.is_none_or(|at| at.elapsed() > PUBLISH_INTERVAL) || !more;
                if job.samples_done() > published && due {
                    // Colour maps need the range of the values.
                    let plain = matches!(request.mode, DisplayMode::Shaded | DisplayMode::Normals);
                    if ranges.is_none() && !plain {
                        let frame = renderer.read(&pass.target, request.mode.layers())?;
                        ranges = Some(colour_ranges(&frame, request.mode));
                    }
                    let image = drawn(&self.gpu, &mut self.tonemapper, renderer, &pass, &job, ranges);
                    self.mailbox.publish(image);
                    (published, published_at) = (job.samples_done(), Some(Instant::now()));
                }
                if !more {
                    break;
                }
            }
            self.last = Some((request.camera, request.mode));
            if samples > 1 {
                break;
            }
            let rays = f64::from(size.0) * f64::from(size.1);
            self.speed.update(request, false, rays, pass.start.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Image of a pass as far as its job is done.
fn drawn(
    gpu: &Gpu,
    tonemapper: &mut GpuTonemapper,
    renderer: &GpuRenderer,
    pass: &GpuPass<'_>,
    job: &FrameJob,
    ranges: Option<ColourRanges>,
) -> RenderedImage {
    let share = job.samples_done() as f32 / pass.samples as f32;
    let width = renderer.field().spec().spectrum_width() as u32;
    let spans = ranges.unwrap_or_default();
    let pixels = tonemapper.draw(gpu, &pass.target, &pass.camera, pass.request, spans, (share, width));
    let scalar = pass.request.mode.scalar_layer().is_some();
    RenderedImage {
        pixels: PixelBuffer::Gpu(pixels),
        request: pass.request.clone(),
        divisor: pass.divisor,
        samples: job.samples_done(),
        seconds: pass.start.elapsed().as_secs_f64(),
        range: ranges.filter(|_| scalar).map(|r| r[0]),
        psnr: None,
        note: None,
    }
}

fn settings(request: &RenderRequest, samples: u32) -> RenderSettings {
    RenderSettings {
        layers: request.mode.layers(),
        samples,
        filter: if samples > 1 { Filter::Tent } else { Filter::Box },
        shading: request.shading(),
        // The tone mapper puts the background behind the object.
        background: Background::Transparent,
        section: request.section,
        section_opacity: request.section_opacity,
        section_box: request.section_box(),
        seed: 0,
    }
}
