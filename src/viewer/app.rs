//! The event loop and the window's life.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use glam::DVec3;
use winit::application::ApplicationHandler;
use winit::dpi::{LogicalSize, PhysicalSize};
use winit::event::{StartCause, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoopProxy};
use winit::window::{Window, WindowId};

use crate::desk::Waker;
use crate::error::ViewerError;
use crate::input::{Event, Input};
use crate::painter::{Painter, Shown, Update, View};
use crate::panel;
use crate::panel::{Command, Facts};
use crate::present::{Overlay, Presenter, Viewport};
use crate::recording::Recording;
use crate::scene::Scene;
use crate::script::Script;
use crate::session::{Effect, Session, Settings};
use crate::training::{Phase, Training};
use crate::translate;
use crate::{cpu_painter, gpu_painter};
use nstr_capture as capture;
use nstr_pipeline::RendererChoice;
use nstr_camera::orbit::Up;

mod display;
mod drive;
mod place;
mod saving;

use place::{first_view, home, viewport};

/// What a viewer begins with.
pub struct Setup {
    /// Name of what is shown.
    pub title: String,
    /// Lines about it, for the panel.
    pub details: Vec<String>,
    /// Size of the window, physical pixels; `None`: 1280×800 points, whatever the display's density.
    pub size: Option<(u32, u32)>,
    /// The field; `None` where training brings it.
    pub scene: Option<Arc<Scene>>,
    /// A capture's images; none where there is none.
    pub views: Arc<Vec<capture::View>>,
    /// How things look at first.
    pub settings: Settings,
    /// Which painter renders.
    pub renderer: RendererChoice,
    /// Folder and beginning of the names of saved pictures.
    pub stem: PathBuf,
    /// Camera path to begin with.
    pub path: Option<PathBuf>,
    /// The run that is looked at.
    pub training: Option<Training>,
    /// Events that come by themselves.
    pub script: Option<Script>,
    /// Closes the window when it becomes true.
    pub quit: Option<Arc<AtomicBool>>,
}

/// Something happened on another thread.
#[derive(Debug)]
struct News;

/// Opens the window and returns when it is closed. To be called on the main thread, once.
///
/// # Errors
/// Without a display or a graphics driver, where the camera path can't be read, and where a script can't be followed.
pub fn run(setup: Setup) -> Result<(), ViewerError> {
    if let Some(path) = &setup.path {
        // Before a window opens, and before a fit begins.
        Recording::load(path, &home((DVec3::ZERO, DVec3::ONE), Up::Y)).map_err(ViewerError::Path)?;
    }
    let events = display::event_loop()?;
    let mut app = App::new(setup, events.create_proxy());
    let ended = events.run_app(&mut app).map_err(|e| ViewerError::EventLoop(e.to_string()));
    match app.failure.take() {
        Some(failure) => Err(failure),
        None => ended,
    }
}

/// Shortest time between two presented pictures, and where the processor draws them: presenting takes time from painting.
const FRAME: [Duration; 2] = [Duration::from_millis(8), Duration::from_millis(30)];
/// Time between looks at progress, and at whether to quit.
const LOOK: Duration = Duration::from_millis(250);
/// Longest step of a flight, seconds: what a stall must not leap over.
const LEAP: f64 = 0.1;

/// What exists while there is a window.
struct Opened {
    window: Arc<Window>,
    presenter: Presenter,
    egui: egui_winit::State,
    /// Where the picture is.
    viewport: Viewport,
}

struct App {
    setup: Setup,
    proxy: EventLoopProxy<News>,
    session: Session,
    input: Input,
    painter: Option<Box<dyn Painter>>,
    opened: Option<Opened>,
    requested: Option<View>,
    shown: Option<Shown>,
    update: Update,
    /// PNG files to write when the picture is refined.
    pngs: Vec<PathBuf>,
    /// EXR files being written, by threads.
    exrs: Vec<std::thread::JoinHandle<String>>,
    /// When pictures were presented lately.
    presented: VecDeque<Instant>,
    /// When the panel wants to be drawn again.
    again: Option<Instant>,
    last: Instant,
    dirty: bool,
    driver: Option<drive::Driver>,
    failure: Option<ViewerError>,
}

impl App {
    fn new(mut setup: Setup, proxy: EventLoopProxy<News>) -> Self {
        let start = match &setup.scene {
            Some(scene) => first_view(scene),
            None => home((DVec3::ZERO, DVec3::ONE), Up::Y),
        };
        let mut session = Session::new(start, setup.settings, setup.stem.clone());
        session.scene = setup.scene.take();
        if !setup.views.is_empty() {
            // In the window's shape as soon as it has one.
            session.set_views(setup.views.clone(), setup.size.unwrap_or((1280, 800)));
        }
        // A fit's camera is known later.
        if let Some(path) = setup.path.take_if(|_| session.scene.is_some()) {
            session.load_path(&path);
        }
        let driver = setup.script.take().map(drive::Driver::new);
        Self {
            setup,
            proxy,
            session,
            input: Input::default(),
            painter: None,
            opened: None,
            requested: None,
            shown: None,
            update: Update { shown: None, share: 0.0, done: false },
            pngs: Vec::new(),
            exrs: Vec::new(),
            presented: VecDeque::new(),
            again: None,
            last: Instant::now(),
            dirty: true,
            driver,
            failure: None,
        }
    }

    fn waker(&self) -> Waker {
        let proxy = std::sync::Mutex::new(self.proxy.clone());
        Arc::new(move || {
            if let Ok(proxy) = proxy.lock() {
                // The loop is over where this fails.
                let _ = proxy.send_event(News);
            }
        })
    }

    fn open(&mut self, events: &ActiveEventLoop) -> Result<Opened, ViewerError> {
        let title = format!("{} - nstr", self.setup.title);
        let window = events.create_window(place::window(title, self.setup.size));
        let window = window.map_err(|e| ViewerError::Display(e.to_string()))?;
        let window = Arc::new(window);
        let presenter = Presenter::new(window.clone())?;
        let context = egui::Context::default();
        panel::style(&context);
        let side = presenter.max_side() as usize;
        let scale = window.scale_factor() as f32;
        let egui =
            egui_winit::State::new(context, egui::ViewportId::ROOT, &window, Some(scale), window.theme(), Some(side));
        self.painter = Some(self.painter(&presenter)?);
        if let Some(training) = &self.setup.training {
            training.on_news(self.waker());
            training.open();
        }
        let PhysicalSize { width, height } = window.inner_size();
        Ok(Opened { window, presenter, egui, viewport: Viewport { x: 0, y: 0, width, height } })
    }

    /// The painter asked for: on the presenter's device unless that is a program on the processor, which the processor's
    /// own renderer outruns.
    fn painter(&self, presenter: &Presenter) -> Result<Box<dyn Painter>, ViewerError> {
        let gpu = match self.setup.renderer {
            RendererChoice::Cpu => false,
            RendererChoice::Auto => !presenter.is_software(),
            RendererChoice::Gpu => true,
        };
        let started = match gpu {
            true => gpu_painter::start(presenter.gpu()?, self.waker()),
            false => cpu_painter::start(self.waker()),
        };
        Ok(Box::new(started.map_err(|e| ViewerError::Surface(e.to_string()))?))
    }

    /// Size of the picture.
    fn size(&self) -> (u32, u32) {
        self.opened.as_ref().map_or((1, 1), |o| (o.viewport.width.max(1), o.viewport.height.max(1)))
    }

    /// An event of the user's, or a script's.
    fn take(&mut self, event: Event) {
        let free = self.is_free(event);
        let action = self.input.take(event, free);
        if let Some(action) = action {
            self.act(Command::Act(action));
        }
        self.dirty = true;
    }

    /// Whether an event is the picture's, not the panel's.
    fn is_free(&self, event: Event) -> bool {
        let Some(opened) = &self.opened else { return false };
        let context = opened.egui.egui_ctx();
        match event {
            Event::Button { .. } | Event::Wheel(_) => {
                let Viewport { x, y, width, height } = opened.viewport;
                let at = self.input.pointer() - glam::DVec2::new(f64::from(x), f64::from(y));
                let over = at.x >= 0.0 && at.y >= 0.0 && at.x < f64::from(width) && at.y < f64::from(height);
                let point = self.input.pointer() / f64::from(context.pixels_per_point());
                let layer = context.layer_id_at(egui::pos2(point.x as f32, point.y as f32));
                over && layer.is_none_or(|l| l.order == egui::Order::Background) && !context.egui_is_using_pointer()
            }
            Event::Key { .. } => !context.egui_wants_keyboard_input(),
            _ => true,
        }
    }

    fn act(&mut self, command: Command) {
        let size = self.size();
        match command {
            Command::Act(action) => {
                if let Some(effect) = self.session.act(action, size) {
                    self.effect(effect);
                }
            }
            Command::SavePath => self.session.save_path(size),
            Command::ClearPath => self.session.clear_path(),
            Command::Stop => {
                if let Some(training) = &self.setup.training {
                    training.stop();
                }
            }
        }
        self.dirty = true;
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::SavePng(file) => self.pngs.push(file),
            Effect::SaveExr(file) => self.save_exr(file),
            Effect::Copy(text) => {
                if let Some(opened) = &mut self.opened {
                    opened.egui.set_clipboard_text(text);
                }
            }
            Effect::Paste => {
                let size = self.size();
                let text = self.opened.as_mut().and_then(|o| o.egui.clipboard_text());
                self.session.paste(&text.unwrap_or_default(), size);
            }
            Effect::Pause => {
                if let Some(training) = &self.setup.training {
                    training.pause();
                }
            }
        }
    }

    /// Whether the picture on the screen is the one asked for, to the full effort.
    fn is_refined(&self) -> bool {
        let same = |s: &Shown, v: &View| s.view.same(v);
        let whole = self.shown.as_ref().zip(self.requested.as_ref()).is_some_and(|(s, v)| same(s, v));
        self.update.done && whole && !self.dirty && self.input.course().is_none() && self.session.playing.is_none()
    }

    /// Takes in what the painter and the trainer have.
    fn hear(&mut self) {
        if let Some(painter) = &mut self.painter {
            let mut update = painter.poll();
            if let Some(shown) = update.shown.take() {
                self.shown = Some(*shown);
                self.dirty = true;
            }
            self.dirty |= update.done != self.update.done;
            self.update = update;
        }
        let Some(training) = self.setup.training.clone() else { return };
        if let Some(start) = training.take_start() {
            self.session.set_home(home(start.bounds, start.up));
            if !start.views.is_empty() {
                self.session.set_views(start.views, self.size());
            }
            if let Some(path) = self.setup.path.take() {
                self.session.load_path(&path);
            }
        }
        if let Some(scene) = training.take_scene() {
            self.session.scene = Some(scene);
            self.dirty = true;
        }
        let passing = matches!(training.phase(), Phase::Running | Phase::Stopping);
        self.dirty |= passing != self.session.passing;
        self.session.passing = passing;
        if self.update.done && passing {
            training.want();
        }
    }

    /// Lets time pass, lays the panel out, asks for the view, presents.
    fn redraw(&mut self, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        self.hear();
        let now = Instant::now();
        let passed = (now - self.last).as_secs_f64().min(LEAP);
        self.last = now;
        self.session.advance(passed, self.input.course());
        let Some(mut opened) = self.opened.take() else { return Ok(()) };
        let size = opened.window.inner_size();
        if size.width == 0 || size.height == 0 {
            self.opened = Some(opened);
            return Ok(());
        }
        opened.presenter.resize(size.width, size.height)?;
        self.dirty = false;
        let (overlay, commands) = self.lay_out(&mut opened, (size.width, size.height));
        self.opened = Some(opened);
        commands.into_iter().for_each(|c| self.act(c));
        self.ask();
        self.save_due();
        let Some(opened) = &mut self.opened else { return Ok(()) };
        opened.presenter.present(self.shown.as_ref(), opened.viewport, &overlay)?;
        self.presented.push_back(now);
        if let Some(driver) = &mut self.driver {
            driver.presented(&mut opened.presenter, self.shown.as_ref(), opened.viewport, &overlay)?;
        }
        if self.driver.as_ref().is_some_and(drive::Driver::closes) {
            self.close(events);
        }
        Ok(())
    }

    /// Runs the panel; its triangles and what was asked for on it.
    fn lay_out(&mut self, opened: &mut Opened, size: (u32, u32)) -> (Overlay, Vec<Command>) {
        let context = opened.egui.egui_ctx().clone();
        let report = self.setup.training.as_ref().map(Training::report);
        let adapter = opened.presenter.adapter();
        let fps = self.fps();
        let facts = Facts {
            title: &self.setup.title,
            details: &self.setup.details,
            shown: self.shown.as_ref(),
            share: self.update.share,
            done: self.update.done,
            devices: (self.painter.as_ref().map_or("", |p| p.name()), &adapter),
            fps,
            training: report.as_ref(),
        };
        let raw = opened.egui.take_egui_input(&opened.window);
        let (mut commands, mut left) = (Vec::new(), egui::Rect::NOTHING);
        let session = &mut self.session;
        let before = session.settings;
        let output = context.run_ui(raw, |ui| {
            let (asked, rest) = panel::show(ui, session, &facts);
            commands.extend(asked);
            left = rest;
        });
        self.dirty |= before != session.settings;
        opened.egui.handle_platform_output(&opened.window, output.platform_output);
        let wait = output.viewport_output.get(&egui::ViewportId::ROOT).map_or(Duration::MAX, |v| v.repaint_delay);
        let message = session.message().map(|m| m.1);
        let wait = message.map_or(wait, |left| wait.min(left + Duration::from_millis(20)));
        self.again = Instant::now().checked_add(wait);
        let scale = output.pixels_per_point;
        let viewport = viewport(left, scale, size);
        if (viewport.width, viewport.height) != (opened.viewport.width, opened.viewport.height) {
            session.resized((viewport.width.max(1), viewport.height.max(1)));
        }
        opened.viewport = viewport;
        let primitives = context.tessellate(output.shapes, scale);
        (Overlay { primitives, textures: output.textures_delta, pixels_per_point: scale }, commands)
    }

    /// Asks the painter where something else is to be seen.
    fn ask(&mut self) {
        let Viewport { width, height, .. } = self.opened.as_ref().map_or(EMPTY, |o| o.viewport);
        if width == 0 || height == 0 {
            return;
        }
        let Some(view) = self.session.view((width, height)) else { return };
        if self.requested.as_ref().is_some_and(|r| r.same(&view)) {
            return;
        }
        if let Some(painter) = &mut self.painter {
            painter.request(view.clone());
            self.requested = Some(view);
            self.update.done = false;
        }
    }

    /// Pictures a second, while they follow each other.
    fn fps(&mut self) -> Option<f64> {
        let now = Instant::now();
        while self.presented.front().is_some_and(|t| now - *t > Duration::from_secs(1)) {
            self.presented.pop_front();
        }
        let first = *self.presented.front()?;
        let moves = self.session.playing.is_some() || self.input.course().is_some() || self.input.dragging();
        (moves && self.presented.len() > 2).then(|| self.presented.len() as f64 / (now - first).as_secs_f64().max(1e-3))
    }

    fn close(&mut self, events: &ActiveEventLoop) {
        for file in self.pngs.drain(..) {
            eprintln!("note: {} was not written: the window closed before its picture was refined", file.display());
        }
        if let Some(training) = &self.setup.training {
            training.stop();
        }
        events.exit();
    }

    fn fail(&mut self, events: &ActiveEventLoop, failure: ViewerError) {
        self.failure = Some(failure);
        self.close(events);
    }

    /// Whether pictures follow each other by themselves.
    fn moves(&self) -> bool {
        self.input.course().is_some() || self.session.playing.is_some()
    }
}

const EMPTY: Viewport = Viewport { x: 0, y: 0, width: 0, height: 0 };

impl ApplicationHandler<News> for App {
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
        self.dirty |= opened.egui.on_window_event(&opened.window, &event).repaint;
        match &mut event {
            WindowEvent::CloseRequested | WindowEvent::Destroyed => self.close(events),
            WindowEvent::ScaleFactorChanged { scale_factor, inner_size_writer } => {
                // On Wayland a window learns its scale after it is there: what was asked for are pixels still, not points.
                if let Some((w, h)) = self.setup.size.take()
                    && opened.window.inner_size().to_logical::<u32>(*scale_factor) == LogicalSize::new(w, h)
                {
                    let _ = inner_size_writer.request_inner_size(PhysicalSize::new(w, h));
                }
                self.dirty = true;
            }
            WindowEvent::Resized(_) | WindowEvent::Occluded(false) => self.dirty = true,
            WindowEvent::DroppedFile(file) => {
                self.session.drop_file(file);
                self.dirty = true;
            }
            WindowEvent::RedrawRequested => {
                if let Err(failure) = self.redraw(events) {
                    self.fail(events, failure);
                }
            }
            other => {
                if let Some(event) = translate::event(other, opened.window.scale_factor()) {
                    self.take(event);
                }
            }
        }
    }

    fn user_event(&mut self, _: &ActiveEventLoop, _: News) {
        self.hear();
    }

    fn new_events(&mut self, events: &ActiveEventLoop, _: StartCause) {
        let over = |t: &Training| matches!(t.phase(), Phase::Failed(_)) && self.shown.is_none();
        if self.setup.quit.as_ref().is_some_and(|q| q.load(Ordering::SeqCst))
            || self.setup.training.as_ref().is_some_and(over)
        {
            self.close(events);
        }
    }

    fn about_to_wait(&mut self, events: &ActiveEventLoop) {
        if let Err(failure) = self.drive(events) {
            return self.fail(events, failure);
        }
        self.save_due();
        let now = Instant::now();
        let frame = FRAME[usize::from(self.opened.as_ref().is_some_and(|o| o.presenter.is_software()))];
        let earliest = self.last + frame;
        let due = self.again.is_some_and(|t| t <= now);
        // Progress alone is shown now and then: presenting takes time from painting.
        let slow = !self.update.done && self.last + LOOK <= now;
        if (self.dirty || due || slow || self.moves()) && now >= earliest {
            self.again = None;
            if let Some(opened) = &self.opened {
                opened.window.request_redraw();
            }
        }
        let wanted = self.dirty || self.moves();
        let polls = !self.update.done || self.setup.quit.is_some() || self.driver.is_some();
        let next = [
            wanted.then_some(earliest.max(now + Duration::from_millis(1))),
            self.again,
            polls.then_some(now + if self.driver.is_some() { FRAME[0] } else { LOOK }),
        ];
        events.set_control_flow(match next.into_iter().flatten().min() {
            Some(at) => ControlFlow::WaitUntil(at),
            None => ControlFlow::Wait,
        });
    }

    fn exiting(&mut self, _: &ActiveEventLoop) {
        for thread in self.exrs.drain(..) {
            // Its picture is worth the wait; what it says nobody reads any more.
            let _ = thread.join();
        }
        self.painter = None;
        self.opened = None;
    }
}
