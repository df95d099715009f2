//! Backend that renders on the CPU, in a thread of its own.
//!
//! A request is rendered in passes: first at a resolution that fits into a few hundredths of a second, then finer, then with
//! more samples a pixel. A pass is rendered in bands of rows; between bands the thread checks for a newer request. The first
//! pass of a request is always finished, so that images keep coming while the camera moves.

use std::sync::Arc;
use std::time::Instant;

use nstr_camera::camera::Camera;
use nstr_image::Rgba8;
use nstr_image::colour::Background;
use nstr_pipeline::renderer::CpuRenderer;
use nstr_render::{Filter, RenderError, Shading};
use nstr_render::{Frame, LayerSet, RenderSettings};

use crate::error::ViewerError;
use crate::progressive::{ProgressivePlan, RenderPass, ThroughputEstimate};
use crate::render_backend::{CpuPixels, PixelBuffer, RenderBackend, RenderRequest, RenderedImage};
use crate::render_thread::{Mailbox, RenderThread, RenderWorker, Waker};
use crate::tonemap::tonemap;

/// Starts a backend that renders on the CPU; `wake` is called after every change that `poll` would show.
///
/// # Errors
/// The system's error if it has no thread to give.
pub(crate) fn start(wake: Waker) -> std::io::Result<RenderThread> {
    RenderThread::start("CPU".into(), wake, |mailbox| Box::new(CpuWorker::new(mailbox)))
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
    let mut backend = start(wake).map_err(ViewerError::Thread)?;
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
}

/// A published pass, kept so that a change of colours needs no new rays.
struct FinishedPass {
    request: RenderRequest,
    camera: Camera,
    frame: Arc<Frame>,
    pass: RenderPass,
    samples: u32,
    seconds: f64,
}

impl RenderWorker for CpuWorker {
    fn render(&mut self, serial: u64, request: &RenderRequest) -> Result<(), String> {
        self.refine(serial, request).map_err(|e| e.to_string())
    }
}

impl CpuWorker {
    pub fn new(mailbox: Mailbox) -> Self {
        Self { mailbox, note: None, speed: ThroughputEstimate::default(), last: None }
    }

    /// Renders passes until the quality is reached or a newer request comes.
    fn refine(&mut self, serial: u64, request: &RenderRequest) -> Result<(), RenderError> {
        let renderer = request.scene.renderer()?;
        let mut plan = match self.last.take() {
            Some(last) if last.request.same_rays(request) => {
                let plan = ProgressivePlan::after(last.pass, last.samples, request, &self.speed);
                self.publish(FinishedPass { request: request.clone(), ..last });
                plan
            }
            last => {
                let same = |l: &FinishedPass| (l.request.camera, l.request.mode) == (request.camera, request.mode);
                ProgressivePlan::new(request, &self.speed, last.as_ref().is_some_and(same))
            }
        };
        while let Some(pass) = plan.next_pass() {
            let start = Instant::now();
            let camera = downscaled(&request.camera, pass.divisor);
            let Some(frame) = self.render_pass(serial, &renderer, request, &camera, pass)? else { return Ok(()) };
            let seconds = start.elapsed().as_secs_f64();
            let rays = f64::from(camera.width) * f64::from(camera.height) * f64::from(pass.samples);
            self.speed.update(request, rays, seconds);
            let depth = self.depth_of_last(request, &frame);
            let (mut frame, samples) = match self.last.take_if(|_| pass.accumulates) {
                Some(last) => (mean(&last.frame, last.samples, frame, pass.samples), last.samples + pass.samples),
                None => (frame, pass.samples),
            };
            if frame.depth_ray.is_empty() {
                frame.depth_ray = depth;
            }
            let frame = Arc::new(frame);
            self.publish(FinishedPass { request: request.clone(), camera, frame, pass, samples, seconds });
        }
        Ok(())
    }

    /// Depths of the last pass where it has the rays and the size of `frame`; else none.
    fn depth_of_last(&self, request: &RenderRequest, frame: &Frame) -> Vec<f32> {
        let size = (frame.width, frame.height);
        let same = |l: &&FinishedPass| (l.frame.width, l.frame.height) == size && l.request.same_rays(request);
        match self.last.as_ref().filter(|_| frame.depth_ray.is_empty()).filter(same) {
            Some(last) => last.frame.depth_ray.clone(),
            None => Vec::new(),
        }
    }

    /// Renders one pass in bands; `None` if it was given up for a newer request.
    fn render_pass(
        &mut self,
        serial: u64,
        renderer: &CpuRenderer<'_>,
        request: &RenderRequest,
        camera: &Camera,
        pass: RenderPass,
    ) -> Result<Option<Frame>, RenderError> {
        // One sample goes through the pixel's centre, where depth is measured; several would need another ray.
        let layers = if pass.samples == 1 { request.mode.layers_with_depth() } else { request.mode.layers() };
        let mut whole: Option<Frame> = None;
        let mut row = 0;
        while row < camera.height {
            if !pass.must_finish && !self.mailbox.is_newest(serial) {
                return Ok(None);
            }
            let (rows, left) = (self.speed.band_rows(request, camera.width, pass.samples), camera.height - row);
            // A last band of a row or two would be too small for a valid camera.
            let rows = if left < 2 * rows { left } else { rows };
            let band =
                Camera { height: rows, centre: camera.centre - glam::DVec2::new(0.0, f64::from(row)), ..*camera };
            let part = render_frame(renderer, &band, request, layers, pass, Background::Transparent)?;
            match &mut whole {
                Some(whole) => whole.append_rows(&part),
                None => whole = Some(part),
            }
            row += rows;
            self.mailbox.set_progress(row as f32 / camera.height as f32);
        }
        Ok(whole)
    }

    /// Tone maps a finished pass, publishes and keeps it.
    fn publish(&mut self, done: FinishedPass) {
        let mapped = tonemap(&done.frame, &done.request, &done.camera, true);
        let image = RenderedImage {
            pixels: PixelBuffer::Cpu(Arc::new(CpuPixels { image: mapped.image, frame: done.frame.clone() })),
            request: done.request.clone(),
            divisor: done.pass.divisor,
            samples: done.samples,
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

/// Renders `layers` as seen by a camera, or a band of one.
///
/// # Errors
/// Those of the renderers.
pub(crate) fn render_frame(
    renderer: &CpuRenderer<'_>,
    camera: &Camera,
    request: &RenderRequest,
    layers: LayerSet,
    pass: RenderPass,
    background: Background,
) -> Result<Frame, RenderError> {
    let filter = if pass.samples > 1 { Filter::Tent } else { Filter::Box };
    let shading = if request.shadows { Shading::studio() } else { Shading::default() };
    let (samples, section, seed) = (pass.samples, request.section, pass.seed);
    renderer.render(camera, &RenderSettings { layers, samples, filter, shading, background, section, seed })
}

/// Mean colour and alpha of `count` samples of `sum` and `more` of `other`, whose other layers are kept.
fn mean(sum: &Frame, count: u32, mut other: Frame, more: u32) -> Frame {
    let share = count as f32 / (count + more) as f32;
    let mix = |a: &mut f32, b: f32| *a += (b - *a) * share;
    for (a, b) in other.colour.iter_mut().zip(&sum.colour) {
        a.iter_mut().zip(b).for_each(|(a, b)| mix(a, *b));
    }
    other.alpha.iter_mut().zip(&sum.alpha).for_each(|(a, b)| mix(a, *b));
    other
}

#[cfg(test)]
mod tests;
