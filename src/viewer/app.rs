//! Event loop of the viewer and life of its window.

use std::collections::VecDeque;
use std::fmt::Arguments;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glam::DVec3;
use nstr_camera::orbit::Up;
use nstr_pipeline::RendererChoice;
use winit::dpi::PhysicalSize;
use winit::event_loop::{ActiveEventLoop, EventLoopProxy};
use winit::window::Window;

use self::clipboard::Clipboard;
use crate::bench::BenchReport;
use crate::camera_path::CameraPath;
use crate::error::ViewerError;
use crate::input::Input;
use crate::panel::{self, Canvas};
use crate::presenter::{Presenter, Viewport};
use crate::recent_files::RecentFiles;
use crate::render_backend::{RenderBackend, RenderRequest, RenderStatus, RenderedImage};
use crate::render_thread::Waker;
use crate::session::Session;
use crate::training::TrainingPhase;
use crate::video_export::{VideoExport, VideoFormat};
use crate::view_scores::ViewScores;
use crate::{cpu_backend, gpu_backend};

mod attention;
mod bench;
mod clipboard;
mod commands;
mod events;
mod frame;
mod input;
mod opening;
mod options;
mod saving;
mod script_driver;
mod window;

pub(crate) use opening::models_beside;
pub use options::ViewerOptions;

use attention::Attention;
use bench::BenchDriver;
use saving::FileSaver;
use script_driver::ScriptDriver;

/// Event that another thread sends to the event loop.
#[derive(Debug)]
enum UserEvent {
    /// A render or training thread has something new to poll.
    Wake,
}

/// Opens the window and returns when it is closed. Must be called on the main thread, once a process.
///
/// # Errors
/// [`ViewerError`] without a display or graphics adapter, for an unreadable camera path, and for a script that fails.
pub fn run(options: ViewerOptions) -> Result<(), ViewerError> {
    run_app(options, None).map(|_| ())
}

/// Opens the window like [`run`], drives a few motions of the camera by itself, closes the window, and returns what it measured;
/// `None` if the user closed the window before.
///
/// # Errors
/// As [`run`]; a picture that is not refined within minutes.
pub fn run_bench(options: ViewerOptions) -> Result<Option<BenchReport>, ViewerError> {
    run_app(options, Some(BenchDriver::new()))
}

fn run_app(options: ViewerOptions, bench: Option<BenchDriver>) -> Result<Option<BenchReport>, ViewerError> {
    if let Some(path) = &options.camera_path {
        // Checked before the window opens and before a fit starts.
        CameraPath::load(path, &placeholder_camera()).map_err(ViewerError::Path)?;
    }
    let events = window::event_loop()?;
    let mut app = App::new(options, events.create_proxy());
    app.bench = bench;
    let ended = events.run_app(&mut app).map_err(|e| ViewerError::EventLoop(e.to_string()));
    match app.failure.take() {
        Some(failure) => Err(failure),
        None => ended.map(|()| app.bench.and_then(BenchDriver::into_report)),
    }
}

/// Camera before the scene is known.
fn placeholder_camera() -> crate::camera::ViewCamera {
    window::home_camera((DVec3::ZERO, DVec3::ONE), Up::Y)
}

/// Minimum time between presented frames.
const FRAME_INTERVAL: Duration = Duration::from_millis(8);
/// Minimum time between presented frames of a software driver: presenting takes CPU time from rendering.
const SOFTWARE_FRAME_INTERVAL: Duration = Duration::from_millis(16);
/// Interval at which the render progress and the quit flag are checked.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum time step of camera motion in seconds, so that a stalled frame does not jump.
const MAX_TIME_STEP: f64 = 0.1;

/// Prints a note on standard error; unlike `eprintln!`, without a panic where that is closed.
fn note(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// State that exists while the window is open.
struct OpenWindow {
    window: Arc<Window>,
    presenter: Presenter,
    egui: egui_winit::State,
    clipboard: Clipboard,
    /// Rectangle of the image.
    viewport: Viewport,
}

struct App {
    options: ViewerOptions,
    proxy: EventLoopProxy<UserEvent>,
    session: Session,
    input: Input,
    backend: Option<Box<dyn RenderBackend>>,
    opened: Option<OpenWindow>,
    /// Last request to the backend.
    requested: Option<RenderRequest>,
    /// Newest image.
    image: Option<RenderedImage>,
    status: RenderStatus,
    saver: FileSaver,
    /// Video that is being rendered.
    video: Option<VideoExport>,
    recent: RecentFiles,
    /// Whether the shown model is among the recent ones.
    is_listed: bool,
    canvas: Canvas,
    /// Model that is being read.
    opening: Option<opening::Opening>,
    /// Quality at each image of the capture.
    scores: Option<ViewScores>,
    /// Times of the frames presented in the last second.
    presented: VecDeque<Instant>,
    /// Time at which the panel wants to be drawn again.
    repaint_at: Option<Instant>,
    last_redraw: Instant,
    /// Time up to which the camera's own motion is taken into account.
    advanced: Instant,
    /// Whether the camera has moved since the last request.
    has_moved: bool,
    /// What the window knows of its user's attention.
    attention: Attention,
    /// Whether the window must be drawn again.
    dirty: bool,
    driver: Option<ScriptDriver>,
    bench: Option<BenchDriver>,
    failure: Option<ViewerError>,
}

impl App {
    fn new(mut options: ViewerOptions, proxy: EventLoopProxy<UserEvent>) -> Self {
        let home = match &options.scene {
            Some(scene) => window::first_camera(scene),
            None => placeholder_camera(),
        };
        let mut session = Session::new(home, options.settings, options.output_stem.clone());
        session.bounds = options.scene.as_ref().map(|scene| scene.bounds());
        session.scene = options.scene.take();
        session.mesh = options.mesh.take();
        session.video_format = VideoFormat::available();
        session.model_file = options.model_file.take();
        if !options.views.is_empty() {
            // The camera adapts to the shape of the window once it has one.
            session.set_views(options.views.clone(), options.size.unwrap_or((1280, 800)));
        }
        // The home camera of a fit is not known yet, so that its path is loaded later.
        if let Some(path) = options.camera_path.take_if(|_| session.scene.is_some()) {
            session.load_path(&path);
        }
        let driver = options.script.take().map(ScriptDriver::new);
        Self {
            options,
            proxy,
            session,
            input: Input::default(),
            backend: None,
            opened: None,
            requested: None,
            image: None,
            status: RenderStatus { image: None, progress: 0.0, done: false },
            saver: FileSaver::default(),
            video: None,
            recent: RecentFiles::of_user(),
            is_listed: false,
            canvas: Canvas::default(),
            opening: None,
            scores: None,
            presented: VecDeque::new(),
            repaint_at: None,
            last_redraw: Instant::now(),
            advanced: Instant::now(),
            has_moved: false,
            attention: Attention::default(),
            dirty: true,
            driver,
            bench: None,
            failure: None,
        }
    }

    fn waker(&self) -> Waker {
        let proxy = std::sync::Mutex::new(self.proxy.clone());
        Arc::new(move || {
            if let Ok(proxy) = proxy.lock() {
                // Fails only if the event loop has ended.
                let _ = proxy.send_event(UserEvent::Wake);
            }
        })
    }

    fn open(&mut self, events: &ActiveEventLoop) -> Result<OpenWindow, ViewerError> {
        let title = format!("{} - nstr", self.options.title);
        let monitor = events.primary_monitor().or_else(|| events.available_monitors().next());
        let screen = monitor.map(|m| (m.size(), m.scale_factor()));
        let window = events.create_window(window::window_attributes(title, self.options.size, screen));
        let window = Arc::new(window.map_err(|e| ViewerError::Display(e.to_string()))?);
        let presenter = Presenter::new(window.clone())?;
        let context = egui::Context::default();
        panel::set_style(&context);
        let side = presenter.max_side() as usize;
        let scale = window.scale_factor() as f32;
        let egui =
            egui_winit::State::new(context, egui::ViewportId::ROOT, &window, Some(scale), window.theme(), Some(side));
        self.backend = Some(self.start_backend(&presenter)?);
        if let Some(file) = self.session.model_file.clone().filter(|_| self.session.scene.is_some()) {
            self.list_model(&file);
        }
        if let Some(training) = &self.options.training {
            training.set_waker(self.waker());
            training.window_opened();
        }
        let PhysicalSize { width, height } = window.inner_size();
        Ok(OpenWindow {
            window,
            presenter,
            egui,
            clipboard: Clipboard::new(),
            viewport: Viewport { x: 0, y: 0, width, height },
        })
    }

    /// Starts the chosen backend. Automatic choice takes the presenter's device unless it is a software driver, which is
    /// slower than the CPU renderer.
    fn start_backend(&self, presenter: &Presenter) -> Result<Box<dyn RenderBackend>, ViewerError> {
        let gpu = match self.options.renderer {
            RendererChoice::Cpu => false,
            RendererChoice::Auto => !presenter.is_software(),
            RendererChoice::Gpu => true,
        };
        let started = match gpu {
            true => gpu_backend::start(presenter.gpu()?, self.waker()),
            false => cpu_backend::start(self.waker(), self.options.training.as_ref().map(|t| t.paint_budget().clone())),
        };
        Ok(Box::new(started.map_err(ViewerError::Thread)?))
    }

    /// Size of the image in pixels; at least 1×1.
    fn image_size(&self) -> (u32, u32) {
        self.opened.as_ref().map_or((1, 1), |o| (o.viewport.width.max(1), o.viewport.height.max(1)))
    }

    /// Whether the displayed image is the requested one at its full quality.
    fn is_refined(&self) -> bool {
        let current = match (&self.image, &self.requested) {
            (Some(image), Some(requested)) => image.request.same(requested),
            _ => false,
        };
        self.status.done && current && !self.dirty && !self.has_moved && !self.is_moving()
    }

    /// Whether the camera moves by itself: it flies or follows the path.
    fn is_moving(&self) -> bool {
        self.input.flight().is_some() || self.session.playback_time.is_some()
    }

    /// Takes what the render backend and the training thread have published.
    fn poll(&mut self) {
        if let Some(backend) = &mut self.backend {
            let mut status = backend.poll();
            if let Some(image) = status.image.take() {
                self.image = Some(*image);
                self.dirty = true;
            }
            self.dirty |= status.done != self.status.done;
            self.status = status;
        }
        self.take_opened_model();
        let Some(training) = self.options.training.clone() else { return };
        if let Some(scene) = training.take_fit_scene() {
            self.session.set_home(window::home_camera(scene.bounds, scene.up));
            self.session.bounds = Some(scene.bounds);
            if !scene.views.is_empty() {
                self.session.set_views(scene.views, self.image_size());
            }
            if let Some(path) = self.options.camera_path.take() {
                self.session.load_path(&path);
            }
        }
        if let Some(scene) = training.take_scene() {
            self.session.set_scene(scene);
            self.dirty = true;
        }
        let phase = training.phase();
        if let (TrainingPhase::Done(_), Some(file)) =
            (&phase, self.session.model_file.clone().filter(|_| !self.is_listed))
        {
            self.list_model(&file);
        }
        let is_training = matches!(phase, TrainingPhase::Running | TrainingPhase::Stopping);
        self.dirty |= is_training != self.session.is_training;
        self.session.is_training = is_training;
        if self.status.done && is_training && self.attention.wants_picture(training.paint_budget()) {
            self.attention.picture_requested();
            training.request_snapshot();
        }
    }

    /// Remembers a model for later sessions.
    fn list_model(&mut self, file: &Path) {
        self.is_listed = true;
        self.recent.add(file);
    }

    fn close(&mut self, events: &ActiveEventLoop) {
        for file in self.saver.abandon_pngs() {
            let reason = "was not written: the window closed before its picture was refined";
            note(format_args!("{} {reason}", file.display()));
        }
        if let Some(video) = self.video.take() {
            note(format_args!("the video was not written: the window closed before it was rendered"));
            video.abandon();
        }
        if let Some(training) = &self.options.training {
            training.stop();
        }
        events.exit();
    }

    fn fail(&mut self, events: &ActiveEventLoop, failure: ViewerError) {
        self.failure = Some(failure);
        self.close(events);
    }
}
