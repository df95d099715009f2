//! The painter that renders on the CPU, in a thread of its own.
//!
//! A request is painted in passes: first at whatever resolution fits into a few hundredths of a second, then finer, then
//! with more samples a pixel. A pass is rendered in bands of rows; between bands the thread looks for a newer request. The
//! first pass of a request always ends, so that pictures keep coming while the camera moves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::layer::Show;
use super::painter::{CpuPicture, Painter, Picture, Shown, Update, View};
use super::passes::{Pace, Pass, Plan};
use super::scene::Renderer;
use super::tone::tone;
use crate::render::cpu::{Filter, RenderError, Shading};
use crate::render::{Background, Camera, Frame, LayerSet, RayCaster, RenderSettings, VolumeRenderSettings};

/// Called when there is news; from any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Renders on the CPU.
pub struct CpuPainter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    serial: u64,
}

struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
    /// Number of the newest request, looked at between bands.
    newest: AtomicU64,
    wake: Waker,
}

#[derive(Default)]
struct Slot {
    request: Option<(u64, View)>,
    shown: Option<Box<Shown>>,
    share: f32,
    /// Number of the last request that is done.
    done: u64,
    quit: bool,
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        // A panic elsewhere leaves the slot as it was: still whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CpuPainter {
    /// Starts the thread; `wake` is called when there is news.
    ///
    /// # Errors
    /// What the system says where no thread can be had.
    pub fn start(wake: Waker) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { slot: Mutex::default(), changed: Condvar::new(), newest: AtomicU64::new(0), wake });
        let worker = Worker { shared: shared.clone(), pace: Pace::default(), last: None };
        let thread = std::thread::Builder::new().name("painter".into()).spawn(move || worker.run())?;
        Ok(Self { shared, thread: Some(thread), serial: 0 })
    }
}

impl Painter for CpuPainter {
    fn request(&mut self, view: View) {
        self.serial += 1;
        self.shared.newest.store(self.serial, Ordering::SeqCst);
        let mut slot = self.shared.slot();
        slot.request = Some((self.serial, view));
        slot.share = 0.0;
        self.shared.changed.notify_one();
    }

    fn poll(&mut self) -> Update {
        let mut slot = self.shared.slot();
        Update { shown: slot.shown.take(), share: slot.share, done: slot.done == self.serial }
    }

    fn name(&self) -> &str {
        "CPU"
    }
}

impl Drop for CpuPainter {
    fn drop(&mut self) {
        self.shared.newest.store(u64::MAX, Ordering::SeqCst);
        self.shared.slot().quit = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panicked where this fails, which was reported.
            let _ = thread.join();
        }
    }
}

/// What the thread keeps between requests.
struct Worker {
    shared: Arc<Shared>,
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

impl Worker {
    fn run(mut self) {
        while let Some((serial, view)) = self.next() {
            let note = self.paint(serial, &view).err().map(|e| e.to_string());
            if let Some(note) = note {
                self.report(&view, note);
            }
            if self.is_newest(serial) {
                self.shared.slot().done = serial;
                (self.shared.wake)();
            }
        }
    }

    /// Waits for a request; `None` at the end.
    fn next(&self) -> Option<(u64, View)> {
        let mut slot = self.shared.slot();
        loop {
            if slot.quit {
                return None;
            }
            if let Some(request) = slot.request.take() {
                return Some(request);
            }
            slot = self.shared.changed.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_newest(&self, serial: u64) -> bool {
        self.shared.newest.load(Ordering::SeqCst) == serial
    }

    /// Passes until the effort is spent or a newer request comes.
    fn paint(&mut self, serial: u64, view: &View) -> Result<(), RenderError> {
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
        renderer: &Renderer<'_>,
        view: &View,
        camera: &Camera,
        pass: Pass,
    ) -> Result<Option<Frame>, RenderError> {
        let mut whole: Option<Frame> = None;
        let mut row = 0;
        while row < camera.height {
            if !pass.first && !self.is_newest(serial) {
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
            self.shared.slot().share = row as f32 / camera.height as f32;
            (self.shared.wake)();
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
            note: None,
        };
        self.last = Some(done);
        self.publish(shown);
    }

    fn publish(&self, shown: Shown) {
        self.shared.slot().shown = Some(Box::new(shown));
        (self.shared.wake)();
    }

    /// A picture of nothing that says why.
    fn report(&mut self, view: &View, note: String) {
        let frame = Arc::new(Frame { width: 1, height: 1, ..Frame::default() });
        let empty = View { show: Show::Shaded, ..view.clone() };
        let image = tone(&frame, &empty, &view.camera, true).image;
        self.last = None;
        self.publish(Shown {
            picture: Picture::Cpu(Arc::new(CpuPicture { image, frame })),
            view: view.clone(),
            divisor: view.camera.width.max(view.camera.height),
            samples: 1,
            seconds: 0.0,
            range: None,
            psnr: None,
            note: Some(note),
        });
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
    renderer: &Renderer<'_>,
    camera: &Camera,
    view: &View,
    layers: LayerSet,
    pass: Pass,
    background: Background,
) -> Result<Frame, RenderError> {
    let filter = if pass.samples > 1 { Filter::Tent } else { Filter::Box };
    let (samples, section, seed) = (pass.samples, view.section, pass.seed);
    match renderer {
        Renderer::Surface(tracer) => {
            let shading = if view.shadows { Shading::studio() } else { Shading::default() };
            tracer.render(camera, &RenderSettings { layers, samples, filter, shading, background, section, seed })
        }
        Renderer::Volume(volume) => {
            let settings = VolumeRenderSettings { layers, samples, filter, background, section, seed };
            volume.render(camera as &dyn RayCaster, &settings)
        }
    }
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
