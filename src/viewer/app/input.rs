//! Input of the user and of scripts: both become the same events, actions and commands.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use glam::DVec2;
use nstr_image::png;
use winit::dpi::PhysicalSize;
use winit::event_loop::ActiveEventLoop;
use winit::window::Fullscreen;

use crate::app::{App, OpenWindow};
use crate::error::ViewerError;
use crate::event_conversion;
use crate::input::{Action, InputEvent, Modifiers};
use crate::panel::PanelCommand;
use crate::panel::canvas::is_on_wipe;
use crate::presenter::{Overlay, Presenter, Viewport};
use crate::readout::readout;
use crate::render_backend::RenderedImage;
use crate::script::{Script, ScriptStep};
use crate::session::Effect;
use crate::view_scores::ViewScores;

/// Maximum wait of a script for a refined image.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// Time that a script gives the window system to resize or minimise the window.
const RESIZE_TIME: Duration = Duration::from_millis(400);
/// Number of pointer events of a scripted drag.
const DRAG_EVENTS: usize = 12;
/// Time between the events of a scripted drag.
const EVENT_INTERVAL: Duration = Duration::from_millis(16);

/// Upper left corner of a viewport, pixels of the window.
fn origin(viewport: Viewport) -> DVec2 {
    DVec2::new(f64::from(viewport.x), f64::from(viewport.y))
}

/// A viewport in points of `scale` pixels.
fn points(viewport: Viewport, scale: f32) -> egui::Rect {
    let Viewport { x, y, width, height } = viewport;
    let [x, y, width, height] = [x, y, width, height].map(|v| v as f32 / scale);
    egui::Rect::from_min_size(egui::pos2(x, y), egui::vec2(width, height))
}

impl App {
    /// Processes an event of the user or a script.
    pub(super) fn handle_event(&mut self, event: InputEvent) {
        let on_image = self.is_on_image(event);
        let drags = self.input.is_dragging() && matches!(event, InputEvent::Pointer(_));
        let Some(action) = self.input.handle(event, on_image) else {
            self.dirty |= !drags;
            return;
        };
        match action {
            // The image alone changes, and is drawn when it comes.
            Action::Orbit(_) | Action::Pan(_) | Action::Look(_) => {
                self.session.act(action, self.image_size());
                self.has_moved = true;
            }
            _ => self.execute(PanelCommand::Act(self.on_picture(action))),
        }
    }

    /// The action with places in pixels of the picture instead of the window.
    fn on_picture(&self, action: Action) -> Action {
        let origin = self.opened.as_ref().map_or(DVec2::ZERO, |o| origin(o.viewport));
        match action {
            Action::Pick(at) => Action::Pick(at - origin),
            Action::CentreOn(at) => Action::CentreOn(at - origin),
            Action::Measure(at) => Action::Measure(at - origin),
            other => other,
        }
    }

    /// Reads the picture under the pointer, unless something moves or the panel is in between.
    pub(super) fn read_pointer(&mut self, opened: &OpenWindow) {
        (self.session.readout, self.session.hovered_view) = (None, None);
        let event = InputEvent::Wheel(0.0);
        if self.input.is_dragging() || self.is_moving() || !self.belongs_to_image(event, opened) {
            return;
        }
        let pixel = self.input.pointer() - origin(opened.viewport);
        let size = (opened.viewport.width.max(1), opened.viewport.height.max(1));
        self.session.hovered_view = self.session.view_at(pixel, size);
        self.session.readout = self.image.as_ref().and_then(|image| readout(image, pixel));
    }

    /// Whether an event belongs to the image, not to the panel.
    fn is_on_image(&self, event: InputEvent) -> bool {
        self.opened.as_ref().is_some_and(|opened| self.belongs_to_image(event, opened))
    }

    fn belongs_to_image(&self, event: InputEvent, opened: &OpenWindow) -> bool {
        let context = opened.egui.egui_ctx();
        match event {
            InputEvent::Button { .. } | InputEvent::Wheel(_) => {
                let Viewport { width, height, .. } = opened.viewport;
                let at = self.input.pointer() - origin(opened.viewport);
                let inside = at.x >= 0.0 && at.y >= 0.0 && at.x < f64::from(width) && at.y < f64::from(height);
                let point = self.input.pointer() / f64::from(context.pixels_per_point());
                let place = egui::pos2(point.x as f32, point.y as f32);
                let layer = context.layer_id_at(place);
                let inside =
                    inside && !is_on_wipe(&self.session, points(opened.viewport, context.pixels_per_point()), place);
                inside && layer.is_none_or(|l| l.order == egui::Order::Background) && !context.egui_is_using_pointer()
            }
            InputEvent::Key { .. } => !context.egui_wants_keyboard_input(),
            _ => true,
        }
    }

    /// Executes a command of the panel, or an action of a key.
    pub(super) fn execute(&mut self, command: PanelCommand) {
        let size = self.image_size();
        match command {
            PanelCommand::Act(action) => {
                if let Some(effect) = self.session.act(action, size) {
                    self.apply(effect);
                }
            }
            PanelCommand::SavePath => self.session.save_path(size),
            PanelCommand::ClearPath => self.session.clear_path(),
            PanelCommand::SetPaintShare(share) => {
                if let Some(training) = &self.options.training {
                    training.paint_budget().set_share(share);
                }
            }
            PanelCommand::Open(path) => self.open_model(path),
            PanelCommand::GoToView(view) => self.session.go_to_view(view, size),
            PanelCommand::EnsureView => {
                self.session.ensure_view(size);
            }
            PanelCommand::MeasureViews => self.measure_views(),
            PanelCommand::ToggleMeasuring => {
                let armed = self.session.measurement.armed;
                self.session.measurement.clear();
                self.session.measurement.armed = !armed;
            }
            PanelCommand::StopTraining => {
                if let Some(training) = &self.options.training {
                    training.stop();
                }
            }
        }
        self.dirty = true;
    }

    /// Starts to measure the field at each image of the capture.
    fn measure_views(&mut self) {
        let Some(scene) = self.session.scene.clone() else { return };
        let background = self.session.settings.background.srgb().unwrap_or([1.0; 3]);
        match ViewScores::start(&scene, &self.session.views, background, self.waker()) {
            Ok(scores) => self.scores = Some(scores),
            Err(reason) => self.session.notify_error(reason),
        }
    }

    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Open(path) => self.open_model(path),
            Effect::FullScreen => {
                if let Some(opened) = &self.opened {
                    let is_full = opened.window.fullscreen().is_some();
                    opened.window.set_fullscreen((!is_full).then_some(Fullscreen::Borderless(None)));
                }
            }
            Effect::SavePng(file) => self.saver.save_png(file),
            Effect::SaveExr(file) => self.save_exr(file),
            Effect::Copy(text) => {
                if let Some(opened) = &mut self.opened {
                    opened.egui.set_clipboard_text(text);
                }
            }
            Effect::Paste => {
                let size = self.image_size();
                let text = self.opened.as_mut().and_then(|o| o.egui.clipboard_text());
                self.session.paste(&text.unwrap_or_default(), size);
            }
            Effect::Pause => {
                if let Some(training) = &self.options.training {
                    training.toggle_pause();
                }
            }
        }
    }

    /// Runs the script as far as it can run now.
    ///
    /// # Errors
    /// [`ViewerError::Script`] if an image is not refined in time.
    pub(super) fn run_script(&mut self, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        let Some(mut driver) = self.driver.take() else { return Ok(()) };
        let result = self.advance_script(&mut driver, events);
        self.driver = Some(driver);
        result
    }

    fn advance_script(&mut self, driver: &mut ScriptDriver, events: &ActiveEventLoop) -> Result<(), ViewerError> {
        loop {
            if driver.screenshot.is_some() || driver.closes || self.opened.is_none() {
                return Ok(());
            }
            if let Some((delay, event)) = driver.events.front().copied() {
                if driver.since.elapsed() < delay {
                    return Ok(());
                }
                driver.events.pop_front();
                driver.since = Instant::now();
                self.inject(event);
                continue;
            }
            if let Some(wait) = driver.wait {
                if !self.is_over(driver, wait)? {
                    return Ok(());
                }
                driver.wait = None;
            }
            let Some((line, step)) = driver.script.next_step() else { return Ok(()) };
            driver.line = line;
            driver.since = Instant::now();
            self.start_step(driver, step, events);
        }
    }

    fn is_over(&self, driver: &ScriptDriver, wait: Wait) -> Result<bool, ViewerError> {
        let waited = driver.since.elapsed();
        let over = match wait {
            Wait::Time(time) => return Ok(waited >= time),
            Wait::Resize => return Ok(waited >= RESIZE_TIME),
            Wait::Image => self.image.is_some(),
            Wait::Refined => {
                self.is_refined() && self.opening.is_none() && self.saver.is_idle() && !self.session.is_training
            }
        };
        match over || waited < MAX_WAIT {
            true => Ok(over),
            false => Err(driver.error(&format!("the picture was not refined within {} s", MAX_WAIT.as_secs()))),
        }
    }

    fn start_step(&mut self, driver: &mut ScriptDriver, step: ScriptStep, events: &ActiveEventLoop) {
        let Some(opened) = &self.opened else { return };
        match step {
            ScriptStep::WaitRefined => driver.wait = Some(Wait::Refined),
            ScriptStep::WaitImage => driver.wait = Some(Wait::Image),
            ScriptStep::Wait(time) => driver.wait = Some(Wait::Time(time)),
            ScriptStep::Resize(w, h) => {
                // The new size comes as an event, or at once.
                let _ = opened.window.request_inner_size(PhysicalSize::new(w, h));
                driver.wait = Some(Wait::Resize);
            }
            ScriptStep::Minimise(on) => {
                opened.window.set_minimized(on);
                driver.wait = Some(Wait::Resize);
            }
            ScriptStep::Load(file) => {
                if let Some(effect) = self.session.load_dropped_file(&file) {
                    self.apply(effect);
                }
            }
            ScriptStep::Screenshot(file) => driver.screenshot = Some(file),
            ScriptStep::SaveImage(file) => {
                match file.extension().and_then(|e| e.to_str()) {
                    Some("exr") => self.save_exr(file),
                    _ => self.saver.save_png(file),
                }
                driver.wait = Some(Wait::Refined);
            }
            ScriptStep::Close => {
                driver.closes = true;
                self.close(events);
            }
            other => driver.queue(&other),
        }
        self.dirty = true;
    }

    /// Passes a scripted event to the panel and to the image.
    pub(super) fn inject(&mut self, event: InputEvent) {
        self.attention.touched_by_script();
        if let Some(opened) = &mut self.opened {
            let scale = opened.egui.egui_ctx().pixels_per_point();
            if let Some(event) = event_conversion::to_egui(event, self.input.pointer(), scale) {
                opened.egui.egui_input_mut().events.push(event);
            }
        }
        self.handle_event(event);
    }
}

/// Script in progress.
pub(super) struct ScriptDriver {
    script: Script,
    /// Events to come, each after a delay.
    events: VecDeque<(Duration, InputEvent)>,
    /// Line of the current step.
    line: usize,
    wait: Option<Wait>,
    /// Time of the last event, or the start of the current step.
    since: Instant,
    /// File for the window's content when it is presented next.
    screenshot: Option<PathBuf>,
    closes: bool,
}

/// Condition that ends the wait of a script.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Refined,
    Image,
    Time(Duration),
    /// The window system had time to resize the window, or to refuse.
    Resize,
}

impl ScriptDriver {
    /// Starts a script.
    pub fn new(script: Script) -> Self {
        Self {
            script,
            events: VecDeque::new(),
            line: 0,
            wait: None,
            since: Instant::now(),
            screenshot: None,
            closes: false,
        }
    }

    /// Whether a screenshot waits for the next presented frame.
    pub fn wants_screenshot(&self) -> bool {
        self.screenshot.is_some()
    }

    /// Whether the script closed the window.
    pub fn closes(&self) -> bool {
        self.closes
    }

    fn error(&self, reason: &str) -> ViewerError {
        ViewerError::Script(format!("{}: line {}: {reason}", self.script.name(), self.line))
    }

    /// Writes the screenshot that is due, with the content that was just presented.
    ///
    /// # Errors
    /// Errors of the driver, and [`ViewerError::Script`] for files that cannot be written.
    pub fn write_screenshot(
        &mut self,
        presenter: &mut Presenter,
        image: Option<&RenderedImage>,
        viewport: Viewport,
        overlay: &Overlay,
    ) -> Result<(), ViewerError> {
        let Some(file) = self.screenshot.take() else { return Ok(()) };
        let mut screenshot = presenter.screenshot(image, viewport, overlay)?;
        screenshot.data.chunks_exact_mut(4).for_each(|p| p[3] = 255);
        png::write(&file, &screenshot).map_err(|e| self.error(&e.to_string()))
    }

    /// Queues the events of a key, drag, click or turn of the wheel.
    fn queue(&mut self, step: &ScriptStep) {
        let none = Duration::ZERO;
        let mut push = |delay, event| self.events.push_back((delay, event));
        match *step {
            ScriptStep::Key(key, modifiers, time) => {
                push(none, InputEvent::Modifiers(modifiers));
                push(none, InputEvent::Key { key, down: true, repeat: false });
                push(time, InputEvent::Key { key, down: false, repeat: false });
                push(none, InputEvent::Modifiers(Modifiers::default()));
            }
            ScriptStep::Drag(button, modifiers, from, to) => {
                push(none, InputEvent::Modifiers(modifiers));
                push(none, InputEvent::Pointer(from));
                push(EVENT_INTERVAL, InputEvent::Button { button, down: true });
                for i in 1..=DRAG_EVENTS {
                    push(EVENT_INTERVAL, InputEvent::Pointer(from.lerp(to, i as f64 / DRAG_EVENTS as f64)));
                }
                push(EVENT_INTERVAL, InputEvent::Button { button, down: false });
                push(none, InputEvent::Modifiers(Modifiers::default()));
            }
            ScriptStep::Hold(key, modifiers, down) => {
                push(none, InputEvent::Modifiers(modifiers));
                push(none, InputEvent::Key { key, down, repeat: false });
                push(none, InputEvent::Modifiers(Modifiers::default()));
            }
            // Drawn before the next step.
            ScriptStep::Move(to) => {
                push(none, InputEvent::Pointer(to));
                push(4 * EVENT_INTERVAL, InputEvent::Pointer(to));
            }
            ScriptStep::Click(button, modifiers, at) => {
                push(none, InputEvent::Modifiers(modifiers));
                push(none, InputEvent::Pointer(at));
                push(4 * EVENT_INTERVAL, InputEvent::Button { button, down: true });
                push(4 * EVENT_INTERVAL, InputEvent::Button { button, down: false });
                push(4 * EVENT_INTERVAL, InputEvent::Pointer(at));
                push(none, InputEvent::Modifiers(Modifiers::default()));
            }
            ScriptStep::Wheel(notches) => push(none, InputEvent::Wheel(notches)),
            _ => {}
        }
    }
}
