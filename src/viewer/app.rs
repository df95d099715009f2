//! Event loop of the viewer and life of its window.

use std::collections::VecDeque;
use std::fmt::Arguments;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use glam::DVec3;
use nstr_camera::orbit::Up;
use nstr_capture as capture;
use nstr_pipeline::RendererChoice;
use winit::application::ApplicationHandler;
use winit::dpi::{LogicalSize, PhysicalSize};
use winit::event::{StartCause, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoopProxy};
use winit::window::{Window, WindowId};

use self::clipboard::Clipboard;
use crate::bench::BenchReport;
use crate::camera_path::CameraPath;
use crate::display_mode::DisplayMode;
use crate::error::ViewerError;
use crate::event_conversion;
use crate::input::Input;
use crate::panel::{self, Canvas, PanelCommand, PanelInfo};
use crate::presenter::{Overlay, Presenter, Viewport};
use crate::reference_mesh::ReferenceMesh;
use crate::render_backend::{RenderBackend, RenderRequest, RenderStatus, RenderedImage};
use crate::render_thread::Waker;
use crate::scene::Scene;
use crate::script::Script;
use crate::session::{DisplaySettings, Session};
use crate::training::{Training, TrainingPhase};
use crate::view_scores::ViewScores;
use crate::{cpu_backend, gpu_backend};

mod attention;
mod bench;
mod clipboard;
mod input;
mod opening;
mod saving;
mod window;

pub(crate) use opening::models_beside;

use attention::Attention;
use bench::BenchDriver;
use input::ScriptDriver;
use saving::FileSaver;

/// Options of a viewer.
pub struct ViewerOptions {
    /// Name of the model or input.
    pub title: String,
    /// Lines about it for the panel.
    pub details: Vec<String>,
    /// Size of the window in physical pixels; `None` for 1280×800 points.
    pub size: Option<(u32, u32)>,
    /// Field to show; `None` if training brings it.
    pub scene: Option<Arc<Scene>>,
    /// Mesh that a surface is compared with.
    pub mesh: Option<ReferenceMesh>,
    /// Images of a capture, which may be empty.
    pub views: Arc<Vec<capture::View>>,
    /// Display settings at the start.
    pub settings: DisplaySettings,
    /// Renderer of the images.
    pub renderer: RendererChoice,
    /// Folder and beginning of the names of saved files.
    pub output_stem: PathBuf,
    /// Camera path to load at the start.
    pub camera_path: Option<PathBuf>,
    /// Training run to show.
    pub training: Option<Training>,
    /// Script to run.
    pub script: Option<Script>,
    /// Whether the window closes once training is over.
    pub close_when_done: bool,
    /// Flag that closes the window once it is true.
    pub quit: Option<Arc<AtomicBool>>,
}

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
        let is_training = matches!(training.phase(), TrainingPhase::Running | TrainingPhase::Stopping);
        self.dirty |= is_training != self.session.is_training;
        self.session.is_training = is_training;
        if self.status.done && is_training && self.attention.wants_picture(training.paint_budget()) {
            self.attention.picture_requested();
            training.request_snapshot();
        }
    }

    /// Advances the camera, lays the panel out, requests an image, and presents.
    fn redraw(&mut self, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        self.poll();
        let now = Instant::now();
        self.last_redraw = now;
        // Before anything is drawn, so that the next image is rendered meanwhile.
        self.follow_camera();
        let Some(mut opened) = self.opened.take() else { return Ok(()) };
        let size = opened.window.inner_size();
        if size.width == 0 || size.height == 0 {
            self.opened = Some(opened);
            return Ok(());
        }
        opened.presenter.resize(size.width, size.height)?;
        opened.presenter.background = self.session.settings.background;
        self.dirty = false;
        self.read_pointer(&opened);
        if let Some(scores) = &self.scores {
            scores.wait(!self.status.done);
        }
        let (overlay, commands) = self.layout_ui(&mut opened, (size.width, size.height));
        self.opened = Some(opened);
        commands.into_iter().for_each(|c| self.execute(c));
        self.request_frame();
        self.save_files();
        let Some(opened) = &mut self.opened else { return Ok(()) };
        opened.presenter.present(self.image.as_ref(), opened.viewport, &overlay)?;
        if let Some(training) = &self.options.training {
            let budget = training.paint_budget();
            budget.spend(if opened.presenter.is_software() { budget.cores() } else { 1 }, now.elapsed());
        }
        self.presented.push_back(now);
        if let Some(bench) = &mut self.bench {
            bench.presented(&opened.presenter, self.image.as_ref(), now);
        }
        if let Some(driver) = &mut self.driver {
            driver.write_screenshot(&mut opened.presenter, self.image.as_ref(), opened.viewport, &overlay)?;
        }
        if self.driver.as_ref().is_some_and(ScriptDriver::closes) {
            self.close(events);
        }
        Ok(())
    }

    /// Runs the panel; returns its triangles and the commands of the user.
    fn layout_ui(&mut self, opened: &mut OpenWindow, size: (u32, u32)) -> (Overlay, Vec<PanelCommand>) {
        let context = opened.egui.egui_ctx().clone();
        let training = self.options.training.as_ref().map(Training::status);
        let adapter = opened.presenter.adapter();
        let fps = self.frames_per_second();
        let info = PanelInfo {
            title: &self.options.title,
            details: &self.options.details,
            image: self.image.as_ref(),
            progress: self.status.progress,
            done: self.status.done,
            backend: self.backend.as_ref().map_or("", |b| b.name()),
            adapter: &adapter,
            fps,
            training: training.as_ref(),
            scores: self.scores.as_ref(),
            paint_shares: self.options.training.as_ref().map_or((0.0, 0.0), |t| {
                let budget = t.paint_budget();
                (budget.share(), budget.taken())
            }),
        };
        let raw = opened.egui.take_egui_input(&opened.window);
        let (mut commands, mut remaining) = (Vec::new(), egui::Rect::NOTHING);
        let (session, canvas) = (&mut self.session, &mut self.canvas);
        let before = session.settings;
        let output = context.run_ui(raw, |ui| {
            let (requested, rest) = panel::show(ui, session, &info, canvas);
            commands.extend(requested);
            remaining = rest;
        });
        self.dirty |= before != session.settings;
        opened.clipboard.after_frame(&output.platform_output.commands);
        opened.egui.handle_platform_output(&opened.window, output.platform_output);
        let delay = output.viewport_output.get(&egui::ViewportId::ROOT).map_or(Duration::MAX, |v| v.repaint_delay);
        // Once more when the message ends, to remove it.
        let message_time = session.message().map(|m| m.1);
        let delay = message_time.map_or(delay, |left| delay.min(left + Duration::from_millis(20)));
        self.repaint_at = Instant::now().checked_add(delay);
        let scale = output.pixels_per_point;
        let viewport = window::viewport(remaining, scale, size);
        if (viewport.width, viewport.height) != (opened.viewport.width, opened.viewport.height) {
            session.resized((viewport.width.max(1), viewport.height.max(1)));
        }
        opened.viewport = viewport;
        let primitives = context.tessellate(output.shapes, scale);
        (Overlay { primitives, textures: output.textures_delta, pixels_per_point: scale }, commands)
    }

    /// Advances the camera's own motion, and requests an image if the camera has moved.
    fn follow_camera(&mut self) {
        let now = Instant::now();
        let elapsed = (now - self.advanced).as_secs_f64().min(MAX_TIME_STEP);
        self.advanced = now;
        self.has_moved |= self.session.advance(elapsed, self.input.flight());
        if self.has_moved {
            self.request_frame();
        }
    }

    /// Sends a request to the backend if it differs from the last.
    fn request_frame(&mut self) {
        self.has_moved = false;
        let Viewport { width, height, .. } = self.opened.as_ref().map_or(Viewport::EMPTY, |o| o.viewport);
        if width == 0 || height == 0 {
            return;
        }
        if let Some(mesh) = self.session.mesh.as_ref().filter(|_| self.session.settings.mode == DisplayMode::Error) {
            mesh.prepare(self.waker());
        }
        let Some(request) = self.session.render_request((width, height)) else { return };
        if self.requested.as_ref().is_some_and(|r| r.same(&request)) {
            return;
        }
        if let Some(backend) = &mut self.backend {
            backend.request(request.clone());
            self.requested = Some(request);
            self.status.done = false;
        }
    }

    /// Whether presenting would leave training its share: always unless training runs.
    fn may_present(&mut self) -> bool {
        let Some(training) = self.options.training.as_ref().filter(|_| self.session.is_training) else { return true };
        if self.driver.as_ref().is_some_and(ScriptDriver::wants_screenshot) {
            return true;
        }
        if let Some(opened) = &self.opened {
            self.attention.look_at(&opened.window);
        }
        self.attention.may_present(training.paint_budget(), self.last_redraw)
    }

    /// Starts to render all layers to an EXR file.
    fn save_exr(&mut self, file: PathBuf) {
        let Some(request) = self.session.render_request(self.image_size()) else { return };
        self.session.notify(format!("rendering {}", file.display()));
        let waker = self.waker();
        self.saver.save_exr(file, request, waker);
    }

    /// Writes the PNG files that wait for the image if it is refined, and reports files that are written.
    fn save_files(&mut self) {
        let mut messages = self.saver.exr_messages();
        if self.saver.wants_image()
            && self.is_refined()
            && messages.is_empty()
            && let Some(image) = &self.image
        {
            messages.extend(self.saver.write_pngs(image, self.opened.as_ref().map(|o| &o.presenter)));
        }
        for message in messages {
            self.session.notify(message);
            self.dirty = true;
        }
    }

    /// Presented frames a second; `None` unless the camera moves.
    fn frames_per_second(&mut self) -> Option<f64> {
        let now = Instant::now();
        while self.presented.front().is_some_and(|t| now - *t > Duration::from_secs(1)) {
            self.presented.pop_front();
        }
        let first = *self.presented.front()?;
        let moves = self.is_moving() || self.input.is_dragging();
        (moves && self.presented.len() > 2).then(|| self.presented.len() as f64 / (now - first).as_secs_f64().max(1e-3))
    }

    fn close(&mut self, events: &ActiveEventLoop) {
        for file in self.saver.abandon_pngs() {
            let reason = "was not written: the window closed before its picture was refined";
            note(format_args!("{} {reason}", file.display()));
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

impl ApplicationHandler<UserEvent> for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.opened.is_some() {
            return;
        }
        match self.open(events) {
            Ok(opened) => {
                opened.window.request_redraw();
                self.opened = Some(opened);
            }
            Err(failure) => self.fail(events, failure),
        }
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, mut event: WindowEvent) {
        let Some(opened) = &mut self.opened else { return };
        opened.clipboard.before_event(&mut opened.egui, &event);
        let repaint = opened.egui.on_window_event(&opened.window, &event).repaint;
        // A drag changes the image alone, which is drawn when it comes.
        self.dirty |= repaint && !(self.input.is_dragging() && matches!(event, WindowEvent::CursorMoved { .. }));
        match &mut event {
            WindowEvent::CloseRequested | WindowEvent::Destroyed => self.close(events),
            WindowEvent::ScaleFactorChanged { scale_factor, inner_size_writer } => {
                // A Wayland window learns its scale after it is created: the requested size must stay in pixels.
                if let Some((w, h)) = self.options.size.take()
                    && opened.window.inner_size().to_logical::<u32>(*scale_factor) == LogicalSize::new(w, h)
                {
                    let _ = inner_size_writer.request_inner_size(PhysicalSize::new(w, h));
                }
                self.dirty = true;
            }
            WindowEvent::Occluded(covered) => {
                self.attention.is_covered = *covered;
                self.dirty |= !*covered;
            }
            WindowEvent::Resized(_) => self.dirty = true,
            WindowEvent::DroppedFile(file) => {
                if let Some(effect) = self.session.load_dropped_file(file) {
                    self.apply(effect);
                }
                self.dirty = true;
            }
            WindowEvent::RedrawRequested => {
                if let Err(failure) = self.redraw(events) {
                    self.fail(events, failure);
                }
            }
            other => {
                self.attention.touched(other);
                if let Some(event) = event_conversion::from_winit(other, opened.window.scale_factor()) {
                    self.handle_event(event);
                }
            }
        }
    }

    fn user_event(&mut self, _: &ActiveEventLoop, _: UserEvent) {
        // Something of another thread than the renderer's may be there too.
        self.dirty |= self.scores.is_some() || self.session.missing_image().is_some();
        self.poll();
    }

    fn new_events(&mut self, events: &ActiveEventLoop, _: StartCause) {
        let failed = |t: &Training| matches!(t.phase(), TrainingPhase::Failed(_)) && self.image.is_none();
        let over = |t: &Training| matches!(t.phase(), TrainingPhase::Done(_) | TrainingPhase::Failed(_));
        let closes = self.options.close_when_done && self.options.training.as_ref().is_some_and(over);
        if closes
            || self.options.quit.as_ref().is_some_and(|q| q.load(Ordering::SeqCst))
            || self.options.training.as_ref().is_some_and(failed)
        {
            self.close(events);
        }
    }

    fn about_to_wait(&mut self, events: &ActiveEventLoop) {
        if let Err(failure) = self.run_script(events) {
            return self.fail(events, failure);
        }
        if let Err(failure) = self.run_bench(events) {
            return self.fail(events, failure);
        }
        self.save_files();
        self.follow_camera();
        let now = Instant::now();
        let interval = match self.opened.as_ref().is_some_and(|o| o.presenter.is_software()) {
            true => SOFTWARE_FRAME_INTERVAL,
            false => FRAME_INTERVAL,
        };
        let earliest = self.last_redraw + interval;
        let repaint = self.repaint_at.is_some_and(|t| t <= now);
        // Progress alone is displayed only now and then: presenting takes time from rendering.
        let progress = !self.status.done && self.last_redraw + STATUS_INTERVAL <= now;
        let may_present = self.may_present();
        if (self.dirty || repaint || progress) && now >= earliest && may_present {
            self.repaint_at = None;
            if let Some(opened) = &self.opened {
                opened.window.request_redraw();
            }
        }
        let (redraws, moves) = (self.dirty, self.is_moving());
        let is_driven = self.driver.is_some() || self.bench.is_some();
        let polls = !self.status.done || self.options.quit.is_some() || is_driven;
        let next = [
            (redraws && may_present).then_some(earliest.max(now + Duration::from_millis(1))),
            self.repaint_at.filter(|_| may_present),
            (!may_present).then_some(now + STATUS_INTERVAL / 4),
            moves.then_some(now + FRAME_INTERVAL),
            polls.then_some(now + if is_driven { FRAME_INTERVAL } else { STATUS_INTERVAL }),
        ];
        events.set_control_flow(match next.into_iter().flatten().min() {
            Some(at) => ControlFlow::WaitUntil(at),
            None => ControlFlow::Wait,
        });
    }

    fn exiting(&mut self, _: &ActiveEventLoop) {
        self.saver.finish();
        self.backend = None;
        self.opened = None;
    }
}
