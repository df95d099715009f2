//! The painter that renders in shaders, on the device that presents: pictures never pass through memory.
//!
//! It works in a thread of its own, tile by tile, and looks for a newer request after each. What shaders can't show, fields
//! that are no models or too wide and the difference to a capture's image, is painted by the CPU.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cpu_painter::{Worker, scaled};
use crate::desk::{Desk, ThreadPainter, Waker, Work};
use crate::display::{Display, Ranges};
use crate::layer::Show;
use crate::painter::{Effort, Picture, Shown, View};
use crate::passes::{Pace, Plan};
use crate::scene::{Field, Scene};
use crate::tone;
use nstr_pipeline::renderer::CpuRenderer;
use nstr_pipeline::upload;
use nstr_pipeline::upload::RenderKind;
use nstr_render::cpu::{Filter, Shading};
use nstr_render::gpu::{Canvas, Gpu, GpuError, GpuRenderer, Job};
use nstr_image::colour::Background;
use nstr_camera::camera::Camera;
use nstr_render::RenderSettings;

/// Starts a painter on `gpu`, the window's device; `wake` is called when there is news.
///
/// # Errors
/// What the system says where no thread can be had.
pub fn start(gpu: Gpu, wake: Waker) -> std::io::Result<ThreadPainter> {
    ThreadPainter::start(format!("GPU, {}", gpu.name()), wake, |desk| Box::new(GpuWork::new(gpu, desk)))
}

/// Shortest time between pictures of one pass as its samples come in.
const BETWEEN: Duration = Duration::from_millis(200);

/// What the thread keeps between requests.
struct GpuWork {
    desk: Desk,
    gpu: Gpu,
    display: Display,
    pace: Pace,
    /// The field on the device, and the scene that it is of.
    uploaded: Option<(Arc<Scene>, GpuRenderer)>,
    /// What was shown last.
    shown: Option<(Camera, Show)>,
    cpu: Worker,
}

/// One picture in the making.
struct Pass<'a> {
    view: &'a View,
    canvas: Canvas,
    size: (u32, u32),
    divisor: u32,
    samples: u32,
    start: Instant,
}

impl Work for GpuWork {
    fn paint(&mut self, serial: u64, view: &View) -> Result<(), String> {
        let painted = match self.upload(view) {
            Ok(true) => self.passes(serial, view),
            Ok(false) => {
                self.cpu.note = None;
                return self.cpu.paint(serial, view);
            }
            Err(e) => Err(e),
        };
        let Err(e) = painted else { return Ok(()) };
        // Whatever was on the device is no longer trusted.
        self.uploaded = None;
        self.cpu.note = Some(format!("painted on the CPU: {e}"));
        self.cpu.paint(serial, view)
    }
}

impl GpuWork {
    fn new(gpu: Gpu, desk: Desk) -> Self {
        let (display, cpu) = (Display::new(&gpu), Worker::new(desk.clone()));
        Self { desk, gpu, display, pace: Pace::default(), uploaded: None, shown: None, cpu }
    }

    /// Brings the view's field to the device; `false` where the CPU is to paint it.
    fn upload(&mut self, view: &View) -> Result<bool, GpuError> {
        let scene = &view.scene;
        let Some(model) = scene.model.as_ref().filter(|_| view.show != Show::Error) else { return Ok(false) };
        if self.uploaded.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, scene)) {
            return Ok(true);
        }
        let prepared = scene.renderer()?;
        let rays = match (&scene.field, &prepared) {
            (Field::Sdf(source), CpuRenderer::Surface(tracer)) => {
                RenderKind::Surface { lipschitz: source.lipschitz(), empty: tracer.grid().map(|g| &**g) }
            }
            (Field::Radiance(source, settings), _) => {
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

    /// Passes until the effort is spent or a newer request comes: coarse ones first, then all samples at full size.
    fn passes(&mut self, serial: u64, view: &View) -> Result<(), GpuError> {
        let Some((_, renderer)) = &self.uploaded else { return Ok(()) };
        let mut plan = Plan::new(view, &self.pace, self.shown == Some((view.camera, view.show)));
        let mut ranges = None;
        while let Some(planned) = plan.next_pass() {
            let samples = match view.effort {
                Effort::Full(samples) if planned.samples > 1 => samples,
                _ => 1,
            };
            let camera = scaled(&view.camera, planned.divisor);
            let settings = settings(view, samples);
            let size = (camera.width, camera.height);
            let canvas = renderer.canvas(size, &settings)?;
            let mut pass = Pass { view, canvas, size, divisor: planned.divisor, samples, start: Instant::now() };
            let mut job = renderer.start(&mut pass.canvas, &camera, &settings)?;
            let (mut published, mut at) = (0, None::<Instant>);
            loop {
                let more = renderer.advance(&mut job)?;
                if !planned.first && !self.desk.is_newest(serial) {
                    return Ok(());
                }
                self.desk.progress(job.share() as f32);
                let due = at.is_none_or(|at| at.elapsed() > BETWEEN) || !more;
                if job.samples_done() > published && due {
                    // Only false colours need to know the values.
                    let plain = matches!(view.show, Show::Shaded | Show::Normals);
                    if ranges.is_none() && !plain {
                        let frame = renderer.read(&pass.canvas, view.show.layers())?;
                        ranges = Some(tone::ranges(&frame, view.show));
                    }
                    self.show(renderer, &pass, &job, ranges);
                    (published, at) = (job.samples_done(), Some(Instant::now()));
                }
                if !more {
                    break;
                }
            }
            self.shown = Some((view.camera, view.show));
            if samples > 1 {
                break;
            }
            let rays = f64::from(size.0) * f64::from(size.1);
            self.pace.learn(view, rays, pass.start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn show(&self, renderer: &GpuRenderer, pass: &Pass<'_>, job: &Job, ranges: Option<Ranges>) {
        let share = job.samples_done() as f32 / pass.samples as f32;
        let width = renderer.field().spec().spectrum_width() as u32;
        let spans = ranges.unwrap_or_default();
        let picture = self.display.draw(&self.gpu, &pass.canvas, pass.size, pass.view, spans, (share, width));
        let scalar = !matches!(pass.view.show, Show::Shaded | Show::Normals | Show::Spectrum | Show::Error);
        self.desk.publish(Shown {
            picture: Picture::Gpu(picture),
            view: pass.view.clone(),
            divisor: pass.divisor,
            samples: job.samples_done(),
            seconds: pass.start.elapsed().as_secs_f64(),
            range: ranges.filter(|_| scalar).map(|r| r[0]),
            psnr: None,
            note: None,
        });
    }
}

fn settings(view: &View, samples: u32) -> RenderSettings {
    RenderSettings {
        layers: view.show.layers(),
        samples,
        filter: if samples > 1 { Filter::Tent } else { Filter::Box },
        shading: if view.shadows { Shading::studio() } else { Shading::default() },
        // Laid behind the object when the picture is drawn.
        background: Background::Transparent,
        section: view.section,
        seed: 0,
    }
}
