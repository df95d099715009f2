//! The painter that renders on the CPU, in a thread of its own.
//!
//! A request is painted in passes: first at whatever resolution fits into a few hundredths of a second, then finer, then
//! with more samples a pixel. A pass is rendered in bands of rows; between bands the thread looks for a newer request. The
//! first pass of a request always ends, so that pictures keep coming while the camera moves.

use std::sync::Arc;
use std::time::Instant;

use crate::desk::{Desk, ThreadPainter, Waker, Work};
use crate::painter::{CpuPicture, Picture, Shown, View};
use crate::passes::{Pace, Pass, Plan};
use crate::tone::tone;
use nstr_render::cpu::{Filter, RenderError, Shading};
use nstr_image::colour::Background;
use nstr_camera::camera::Camera;
use nstr_render::{Frame, LayerSet, RenderSettings};
use nstr_pipeline::renderer::CpuRenderer;

/// Starts a painter that renders on the CPU; `wake` is called when there is news.
///
/// # Errors
/// What the system says where no thread can be had.
pub fn start(wake: Waker) -> std::io::Result<ThreadPainter> {
    ThreadPainter::start("CPU".into(), wake, |desk| Box::new(Worker::new(desk)))
}

/// What the thread keeps between requests.
pub(super) struct Worker {
    desk: Desk,
    /// Why the CPU paints what something else was asked for, for the user.
    pub(super) note: Option<String>,
    pace: Pace,
    /// The last finished pass.
    last: Option<Finished>,
}

/// A pass that was shown, so that other colours need no new rays.
struct Finished {
    view: View,
    camera: Camera,
    frame: Arc<Frame>,
    pass: Pass,
    samples: u32,
    seconds: f64,
}

impl Work for Worker {
    fn paint(&mut self, serial: u64, view: &View) -> Result<(), String> {
        self.passes(serial, view).map_err(|e| e.to_string())
    }
}

impl Worker {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, note: None, pace: Pace::default(), last: None }
    }

    /// Passes until the effort is spent or a newer request comes.
    fn passes(&mut self, serial: u64, view: &View) -> Result<(), RenderError> {
        let renderer = view.scene.renderer()?;
        let mut plan = match self.last.take() {
            Some(last) if last.view.same_rays(view) => {
                let plan = Plan::after(last.pass, last.samples, view, &self.pace);
                self.show(Finished { view: view.clone(), ..last });
                plan
            }
            last => {
                let same = |l: &Finished| (l.view.camera, l.view.show) == (view.camera, view.show);
                Plan::new(view, &self.pace, last.as_ref().is_some_and(same))
            }
        };
        while let Some(pass) = plan.next_pass() {
            let start = Instant::now();
            let camera = scaled(&view.camera, pass.divisor);
            let Some(frame) = self.pass(serial, &renderer, view, &camera, pass)? else { return Ok(()) };
            let seconds = start.elapsed().as_secs_f64();
            let rays = f64::from(camera.width) * f64::from(camera.height) * f64::from(pass.samples);
            self.pace.learn(view, rays, seconds);
            let (frame, samples) = match self.last.take_if(|_| pass.adds) {
                Some(last) => (mean(&last.frame, last.samples, frame, pass.samples), last.samples + pass.samples),
                None => (frame, pass.samples),
            };
            self.show(Finished { view: view.clone(), camera, frame: Arc::new(frame), pass, samples, seconds });
        }
        Ok(())
    }

    /// Renders one pass in bands; `None` if it was given up.
    fn pass(
        &mut self,
        serial: u64,
        renderer: &CpuRenderer<'_>,
        view: &View,
        camera: &Camera,
        pass: Pass,
    ) -> Result<Option<Frame>, RenderError> {
        let mut whole: Option<Frame> = None;
        let mut row = 0;
        while row < camera.height {
            if !pass.first && !self.desk.is_newest(serial) {
                return Ok(None);
            }
            let (rows, left) = (self.pace.rows(view, camera.width, pass.samples), camera.height - row);
            // A last band of a row or two would see too little to be a camera.
            let rows = if left < 2 * rows { left } else { rows };
            let band =
                Camera { height: rows, centre: camera.centre - glam::DVec2::new(0.0, f64::from(row)), ..*camera };
            let part = render(renderer, &band, view, view.show.layers(), pass, Background::Transparent)?;
            match &mut whole {
                Some(whole) => append(whole, part),
                None => whole = Some(part),
            }
            row += rows;
            self.desk.progress(row as f32 / camera.height as f32);
        }
        Ok(whole)
    }

    /// Colours a finished pass, hands it out and keeps it.
    fn show(&mut self, done: Finished) {
        let toned = tone(&done.frame, &done.view, &done.camera, true);
        let shown = Shown {
            picture: Picture::Cpu(Arc::new(CpuPicture { image: toned.image, frame: done.frame.clone() })),
            view: done.view.clone(),
            divisor: done.pass.divisor,
            samples: done.samples,
            seconds: done.seconds,
            range: toned.range,
            psnr: toned.psnr,
            note: self.note.clone(),
        };
        self.last = Some(done);
        self.desk.publish(shown);
    }
}

/// The camera of a picture of every `divisor`-th pixel, which sees a little more to the right and below where the size
/// isn't a multiple.
pub fn scaled(camera: &Camera, divisor: u32) -> Camera {
    let by = f64::from(divisor.max(1));
    Camera {
        width: camera.width.div_ceil(divisor.max(1)),
        height: camera.height.div_ceil(divisor.max(1)),
        focal: camera.focal / by,
        centre: camera.centre / by,
        ..*camera
    }
}

/// Layers of what a camera (or a band of one) sees.
///
/// # Errors
/// Those of the renderers.
pub fn render(
    renderer: &CpuRenderer<'_>,
    camera: &Camera,
    view: &View,
    layers: LayerSet,
    pass: Pass,
    background: Background,
) -> Result<Frame, RenderError> {
    let filter = if pass.samples > 1 { Filter::Tent } else { Filter::Box };
    let shading = if view.shadows { Shading::studio() } else { Shading::default() };
    let (samples, section, seed) = (pass.samples, view.section, pass.seed);
    renderer.render(camera, &RenderSettings { layers, samples, filter, shading, background, section, seed })
}

/// Puts a band below what there is.
fn append(whole: &mut Frame, part: Frame) {
    whole.height += part.height;
    whole.colour.extend(part.colour);
    whole.alpha.extend(part.alpha);
    whole.depth_ray.extend(part.depth_ray);
    whole.depth_z.extend(part.depth_z);
    whole.position.extend(part.position);
    whole.normal.extend(part.normal);
    whole.curvature.extend(part.curvature);
    whole.steps.extend(part.steps);
    whole.grad_s.extend(part.grad_s);
    whole.residual.extend(part.residual);
    whole.spectrum.extend(part.spectrum);
    whole.stats.add(&part.stats);
}

/// Mean of colour and alpha of `count` samples and `more` of another frame.
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
