//! Backend that renders on the CPU, in a thread of its own.
//!
//! A request is rendered in passes: first at a resolution that fits into a few hundredths of a second, from the field's preview
//! where there is one, then finer, then with more samples a pixel at edges. A pass is rendered in bands of rows; between bands the
//! thread checks for a newer request. The first pass of a request is always finished, so that images keep coming while the camera
//! moves.

use std::sync::Arc;
use std::time::Instant;

use nstr_camera::camera::Camera;
use nstr_image::Rgba8;
use nstr_image::colour::Background;
use nstr_pipeline::renderer::CpuRenderer;
use nstr_render::{Filter, RenderError};
use nstr_render::{Frame, LayerSet, RenderSettings};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::edges::{EdgeRefiner, Patch};
use crate::error::ViewerError;
use crate::paint_budget::PaintBudget;
use crate::preview::{self, Previews};
use crate::progressive::{ProgressivePlan, RenderPass, ThroughputEstimate};
use crate::render_backend::{CpuPixels, PixelBuffer, Quality, RenderBackend, RenderRequest, RenderedImage};
use crate::render_thread::{Mailbox, RenderThread, RenderWorker, Waker};
use crate::tonemap::{colour_ranges, tonemap};

/// Starts a backend that renders on the CPU; `wake` is called after every change that `poll` would show. Fields in training are
/// rendered within the `budget`, if there is one.
///
/// # Errors
/// The system's error if it has no thread to give.
pub(crate) fn start(wake: Waker, budget: Option<Arc<PaintBudget>>) -> std::io::Result<RenderThread> {
    let worker = |mailbox| Box::new(CpuWorker { budget, ..CpuWorker::new(mailbox, Previews::on()) }) as _;
    RenderThread::start("CPU".into(), wake, worker)
}

/// Renders a request on the CPU to its full quality and returns the sRGB image that the window would show.
///
/// # Errors
/// [`ViewerError::Thread`] without a thread to render in, [`ViewerError::Render`] for fields and cameras that cannot be
/// rendered.
pub fn render_image(request: RenderRequest) -> Result<Rgba8, ViewerError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let wake: Waker = Arc::new(move || {
        // Fails only after the image was returned.
        let _ = sender.send(());
    });
    let worker = |mailbox| Box::new(CpuWorker::new(mailbox, Previews::off())) as Box<dyn RenderWorker>;
    let mut backend = RenderThread::start("CPU".into(), wake, worker).map_err(ViewerError::Thread)?;
    backend.request(request);
    let mut last = None;
    loop {
        let status = backend.poll();
        last = status.image.or(last);
        if status.done {
            break;
        }
        receiver.recv().map_err(|_| ViewerError::Render("the render thread ended".into()))?;
    }
    match last.map(|image| (image.pixels, image.note)) {
        Some((PixelBuffer::Cpu(pixels), None)) => Ok(pixels.image.clone()),
        Some((_, Some(note))) => Err(ViewerError::Render(note)),
        _ => Err(ViewerError::Render("no image was rendered".into())),
    }
}

/// State that the thread keeps between requests.
pub(crate) struct CpuWorker {
    mailbox: Mailbox,
    /// Message for the user if the CPU renders in place of another backend.
    pub note: Option<String>,
    speed: ThroughputEstimate,
    last: Option<FinishedPass>,
    previews: Previews,
    /// Budget of painting fields in training.
    pub budget: Option<Arc<PaintBudget>>,
    /// Threads that paint them: fewer than training's.
    few_threads: Option<ThreadPool>,
}

/// A published pass, kept so that a change of colours needs no new rays.
struct FinishedPass {
    request: RenderRequest,
    camera: Camera,
    frame: Arc<Frame>,
    /// Pixels of false colours that are refined.
    patches: Arc<Vec<Patch>>,
    /// The picture of one sample a pixel that `frame` is refined from, if it is.
    unrefined: Option<Arc<Frame>>,
    pass: RenderPass,
    seconds: f64,
}

impl RenderWorker for CpuWorker {
    fn render(&mut self, serial: u64, request: &RenderRequest) -> Result<(), String> {
        let Some(budget) = self.budget.clone().filter(|_| request.quality == Quality::LowLatency) else {
            return self.refine(serial, request).map_err(|e| e.to_string());
        };
        let build = || ThreadPoolBuilder::new().num_threads(budget.threads()).build();
        let pool = self.few_threads.take().map_or_else(build, Ok).map_err(|e| e.to_string())?;
        let rendered = pool.install(|| self.refine(serial, request)).map_err(|e| e.to_string());
        self.few_threads = Some(pool);
        rendered
    }
}

impl CpuWorker {
    /// A worker that renders the pictures of a moving camera from previews with [`Previews::on`], or the field alone.
    pub fn new(mailbox: Mailbox, previews: Previews) -> Self {
        Self {
            mailbox,
            note: None,
            speed: ThroughputEstimate::default(),
            last: None,
            previews,
            budget: None,
            few_threads: None,
        }
    }

    /// Waits until a field in training may be painted; `false` if a newer request came meanwhile. Returns at once without a budget.
    fn wait_for_budget(&self, serial: u64, request: &RenderRequest, has_moved: bool) -> bool {
        let budget = self.budget.as_ref().filter(|_| request.quality == Quality::LowLatency);
        while let Some(time) = budget.and_then(|b| b.wait(has_moved)) {
            if !self.mailbox.is_newest(serial) {
                return false;
            }
            std::thread::sleep(time);
        }
        true
    }

    /// Notes the time that painting a field in training took since `start`.
    fn spend(&self, request: &RenderRequest, start: Instant) {
        if let Some(budget) = self.budget.as_ref().filter(|_| request.quality == Quality::LowLatency) {
            budget.spend(budget.threads(), start.elapsed());
        }
    }

    /// Renders passes until the quality is reached or a newer request comes.
    fn refine(&mut self, serial: u64, request: &RenderRequest) -> Result<(), RenderError> {
        let has_moved = self.last.as_ref().is_none_or(|last| last.request.camera != request.camera);
        if !self.wait_for_budget(serial, request, has_moved) {
            return Ok(());
        }
        let prepared = Instant::now();
        if request.needs_soft_light() {
            request.scene.soft_light();
        }
        let renderer = request.scene.renderer()?;
        self.spend(request, prepared);
        let preview = self.previews.field(request);
        let mut plan = match self.last.take() {
            Some(last) if last.request.same_rays(request) => {
                let plan = ProgressivePlan::after(last.pass, request, &self.speed);
                self.publish(FinishedPass { request: request.clone(), ..last });
                plan
            }
            last => {
                let same = |l: &FinishedPass| (l.request.camera, l.request.mode) == (request.camera, request.mode);
                let replaces = last.as_ref().is_some_and(same);
                ProgressivePlan::new(request, &self.speed, replaces, preview.is_some())
            }
        };
        while let Some(pass) = plan.next_pass() {
            if pass.samples > 1 {
                if !self.refine_edges(serial, &renderer, request, pass, &plan)? {
                    return Ok(());
                }
                continue;
            }
            if !self.wait_for_budget(serial, request, has_moved) {
                return Ok(());
            }
            let start = Instant::now();
            let camera = downscaled(&request.camera, pass.divisor);
            let frame = match preview.as_ref().filter(|_| pass.preview) {
                Some(field) => {
                    let preview = preview::renderer(field, &request.scene)?;
                    self.render_pass(serial, &preview, request, &camera, pass, &plan)?
                }
                None => self.render_pass(serial, &renderer, request, &camera, pass, &plan)?,
            };
            self.spend(request, start);
            let Some(frame) = frame else { return Ok(()) };
            let seconds = start.elapsed().as_secs_f64();
            let rays = f64::from(camera.width) * f64::from(camera.height);
            self.speed.update(request, pass.preview, rays, seconds);
            self.publish(FinishedPass {
                request: request.clone(),
                camera,
                frame: Arc::new(frame),
                patches: Arc::default(),
                unrefined: None,
                pass,
                seconds,
            });
            if preview.is_none() && !self.bake(serial, request)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes the preview of the request's field, or a part of it if a newer request has come; then returns `false`.
    fn bake(&mut self, serial: u64, request: &RenderRequest) -> Result<bool, RenderError> {
        loop {
            let more = self.previews.bake(request)?;
            if !self.mailbox.is_newest(serial) {
                return Ok(false);
            }
            if !more {
                return Ok(true);
            }
        }
    }

    /// Renders the edges of the last picture, which has full resolution, with more samples; `false` if it was given up for a newer
    /// request.
    fn refine_edges(
        &mut self,
        serial: u64,
        renderer: &CpuRenderer<'_>,
        request: &RenderRequest,
        pass: RenderPass,
        plan: &ProgressivePlan,
    ) -> Result<bool, RenderError> {
        let start = Instant::now();
        let Some(last) = self.last.take() else { return Ok(true) };
        let unrefined = last.unrefined.clone().unwrap_or_else(|| last.frame.clone());
        let mut edges = EdgeRefiner::new(&unrefined, request, colour_ranges(&unrefined, request.mode));
        loop {
            let done = edges.advance(renderer, request, pass)?;
            if done >= 1.0 {
                break;
            }
            if !self.mailbox.is_newest(serial) {
                self.last = Some(last);
                return Ok(false);
            }
            self.mailbox.set_progress(serial, plan.progress(done));
        }
        let is_colour = !edges.frame.colour.is_empty();
        let frame = if is_colour { Arc::new(edges.frame) } else { unrefined.clone() };
        self.publish(FinishedPass {
            request: request.clone(),
            camera: request.camera,
            frame,
            patches: Arc::new(edges.patches),
            unrefined: Some(unrefined),
            pass,
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(true)
    }

    /// Renders one pass in bands; `None` if it was given up for a newer request.
    fn render_pass(
        &mut self,
        serial: u64,
        renderer: &CpuRenderer<'_>,
        request: &RenderRequest,
        camera: &Camera,
        pass: RenderPass,
        plan: &ProgressivePlan,
    ) -> Result<Option<Frame>, RenderError> {
        // The one sample goes through the pixel's centre, where depth is measured.
        let layers = request.mode.layers_with_depth();
        let mut whole: Option<Frame> = None;
        let mut row = 0;
        while row < camera.height {
            if !pass.must_finish && !self.mailbox.is_newest(serial) {
                return Ok(None);
            }
            let (rows, left) = (self.speed.band_rows(request, camera.width, pass), camera.height - row);
            // A last band of a row or two would be too small for a valid camera.
            let rows = if left < 2 * rows { left } else { rows };
            let band =
                Camera { height: rows, centre: camera.centre - glam::DVec2::new(0.0, f64::from(row)), ..*camera };
            let part = render_frame(renderer, &band, request, layers, (1, 0), Background::Transparent)?;
            match &mut whole {
                Some(whole) => whole.append_rows(&part),
                None => whole = Some(part),
            }
            row += rows;
            self.mailbox.set_progress(serial, plan.progress(row as f32 / camera.height as f32));
        }
        Ok(whole)
    }

    /// Tone maps a finished pass, publishes and keeps it.
    fn publish(&mut self, done: FinishedPass) {
        let mapped = tonemap(&done.frame, &done.patches, &done.request, &done.camera, None);
        let image = RenderedImage {
            pixels: PixelBuffer::Cpu(Arc::new(CpuPixels { image: mapped.image, frame: done.frame.clone() })),
            request: done.request.clone(),
            divisor: done.pass.divisor,
            samples: done.pass.samples,
            seconds: done.seconds,
            range: mapped.range,
            psnr: mapped.psnr,
            note: self.note.clone(),
        };
        self.last = Some(done);
        self.mailbox.publish(image);
    }
}

/// Camera of an image with one pixel for `divisor` × `divisor` of `camera`'s. Sees a little more to the right and below if
/// the size is not a multiple of `divisor`.
pub(crate) fn downscaled(camera: &Camera, divisor: u32) -> Camera {
    let by = f64::from(divisor.max(1));
    Camera {
        width: camera.width.div_ceil(divisor.max(1)),
        height: camera.height.div_ceil(divisor.max(1)),
        focal: camera.focal / by,
        centre: camera.centre / by,
        ..*camera
    }
}

/// Renders `layers` as seen by a camera, or a part of one, with this many samples a pixel and a seed of their places.
///
/// # Errors
/// Those of the renderers.
pub(crate) fn render_frame(
    renderer: &CpuRenderer<'_>,
    camera: &Camera,
    request: &RenderRequest,
    layers: LayerSet,
    (samples, seed): (u32, u64),
    background: Background,
) -> Result<Frame, RenderError> {
    let settings = render_settings(request, layers, (samples, seed));
    renderer.render(camera, &RenderSettings { background, ..settings })
}

/// Settings of a request's `layers` on nothing, with this many samples a pixel and a seed of their places.
pub(crate) fn render_settings(
    request: &RenderRequest,
    layers: LayerSet,
    (samples, seed): (u32, u64),
) -> RenderSettings {
    RenderSettings {
        layers,
        samples,
        filter: if samples > 1 { Filter::Tent } else { Filter::Box },
        shading: request.shading(),
        background: Background::Transparent,
        section: request.section,
        section_opacity: request.section_opacity,
        section_box: request.section_box(),
        seed,
    }
}

#[cfg(test)]
mod tests;
